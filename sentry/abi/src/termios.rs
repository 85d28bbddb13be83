//! Terminal settings (termios(3)), in the kernel's layout.

// Input modes (`c_iflag`).

/// Ignore breaks.
pub const IGNBRK: u32 = 0o1;
/// A break interrupts.
pub const BRKINT: u32 = 0o2;
/// Ignore parity errors.
pub const IGNPAR: u32 = 0o4;
/// Mark parity errors.
pub const PARMRK: u32 = 0o10;
/// Check parity.
pub const INPCK: u32 = 0o20;
/// Strip the eighth bit.
pub const ISTRIP: u32 = 0o40;
/// Newline becomes carriage return.
pub const INLCR: u32 = 0o100;
/// Ignore carriage return.
pub const IGNCR: u32 = 0o200;
/// Carriage return becomes newline.
pub const ICRNL: u32 = 0o400;
/// Upper case becomes lower case.
pub const IUCLC: u32 = 0o1000;
/// Stop and start output.
pub const IXON: u32 = 0o2000;
/// Any character starts output.
pub const IXANY: u32 = 0o4000;
/// Stop and start input.
pub const IXOFF: u32 = 0o10000;
/// Bell when the queue is full.
pub const IMAXBEL: u32 = 0o20000;
/// Input is UTF-8.
pub const IUTF8: u32 = 0o40000;

// Output modes (`c_oflag`).

/// Process output.
pub const OPOST: u32 = 0o1;
/// Lower case becomes upper case.
pub const OLCUC: u32 = 0o2;
/// Newline becomes carriage return and newline.
pub const ONLCR: u32 = 0o4;
/// Carriage return becomes newline.
pub const OCRNL: u32 = 0o10;
/// No carriage return in column 0.
pub const ONOCR: u32 = 0o20;
/// Newline does the carriage return.
pub const ONLRET: u32 = 0o40;
/// Fill instead of delay.
pub const OFILL: u32 = 0o100;
/// Fill with DEL.
pub const OFDEL: u32 = 0o200;
/// Delay of tabs.
pub const TABDLY: u32 = 0o14000;
/// Expand tabs (`TAB3`).
pub const XTABS: u32 = 0o14000;

// Control modes (`c_cflag`).

/// The bits that hold the speed.
pub const CBAUD: u32 = 0o10017;
/// Hang up.
pub const B0: u32 = 0;
/// 9600 bits a second.
pub const B9600: u32 = 0o15;
/// 19200 bits a second.
pub const B19200: u32 = 0o16;
/// 38400 bits a second.
pub const B38400: u32 = 0o17;
/// 57600 bits a second.
pub const B57600: u32 = 0o10001;
/// 115200 bits a second.
pub const B115200: u32 = 0o10002;
/// A speed of its own.
pub const BOTHER: u32 = 0o10000;
/// The bits that hold the character size.
pub const CSIZE: u32 = 0o60;
/// 5 bits.
pub const CS5: u32 = 0;
/// 6 bits.
pub const CS6: u32 = 0o20;
/// 7 bits.
pub const CS7: u32 = 0o40;
/// 8 bits.
pub const CS8: u32 = 0o60;
/// Two stop bits.
pub const CSTOPB: u32 = 0o100;
/// Receive.
pub const CREAD: u32 = 0o200;
/// Parity.
pub const PARENB: u32 = 0o400;
/// Odd parity.
pub const PARODD: u32 = 0o1000;
/// Hang up at the last close.
pub const HUPCL: u32 = 0o2000;
/// Ignore modem lines.
pub const CLOCAL: u32 = 0o4000;
/// The bits that hold the input speed.
pub const CIBAUD: u32 = 0o2003600000;
/// Hardware flow control.
pub const CRTSCTS: u32 = 0o20000000000;

// Local modes (`c_lflag`).

/// Characters send signals.
pub const ISIG: u32 = 0o1;
/// Input by lines.
pub const ICANON: u32 = 0o2;
/// Upper and lower case by escapes.
pub const XCASE: u32 = 0o4;
/// Echo.
pub const ECHO: u32 = 0o10;
/// Erase shows.
pub const ECHOE: u32 = 0o20;
/// Kill shows.
pub const ECHOK: u32 = 0o40;
/// Echo newlines.
pub const ECHONL: u32 = 0o100;
/// Signals do not drop data.
pub const NOFLSH: u32 = 0o200;
/// Background output stops.
pub const TOSTOP: u32 = 0o400;
/// Echo control characters with a hat.
pub const ECHOCTL: u32 = 0o1000;
/// Print what is erased.
pub const ECHOPRT: u32 = 0o2000;
/// Kill erases the line.
pub const ECHOKE: u32 = 0o4000;
/// Output is dropped.
pub const FLUSHO: u32 = 0o10000;
/// Retype the input.
pub const PENDIN: u32 = 0o40000;
/// Extended characters.
pub const IEXTEN: u32 = 0o100000;
/// External processing.
pub const EXTPROC: u32 = 0o200000;

// Control characters (`c_cc`).

/// Interrupt.
pub const VINTR: usize = 0;
/// Quit.
pub const VQUIT: usize = 1;
/// Erase.
pub const VERASE: usize = 2;
/// Kill the line.
pub const VKILL: usize = 3;
/// End of file.
pub const VEOF: usize = 4;
/// Timeout of raw reads.
pub const VTIME: usize = 5;
/// Minimum of raw reads.
pub const VMIN: usize = 6;
/// Switch.
pub const VSWTC: usize = 7;
/// Start output.
pub const VSTART: usize = 8;
/// Stop output.
pub const VSTOP: usize = 9;
/// Suspend.
pub const VSUSP: usize = 10;
/// End of line.
pub const VEOL: usize = 11;
/// Reprint.
pub const VREPRINT: usize = 12;
/// Discard.
pub const VDISCARD: usize = 13;
/// Erase a word.
pub const VWERASE: usize = 14;
/// Take the next literally.
pub const VLNEXT: usize = 15;
/// End of line, another.
pub const VEOL2: usize = 16;
/// How many there are.
pub const NCCS: usize = 19;

uapi! {
    /// `struct termios`, as `TCGETS` returns it.
    pub struct Termios {
        /// Input modes.
        pub c_iflag: u32,
        /// Output modes.
        pub c_oflag: u32,
        /// Control modes.
        pub c_cflag: u32,
        /// Local modes.
        pub c_lflag: u32,
        /// The line discipline.
        pub c_line: u8,
        /// Control characters.
        pub c_cc: [u8; NCCS],
    }

    /// `struct termios2`, as `TCGETS2` returns it.
    pub struct Termios2 {
        /// Input modes.
        pub c_iflag: u32,
        /// Output modes.
        pub c_oflag: u32,
        /// Control modes.
        pub c_cflag: u32,
        /// Local modes.
        pub c_lflag: u32,
        /// The line discipline.
        pub c_line: u8,
        /// Control characters.
        pub c_cc: [u8; NCCS],
        /// The speed of input.
        pub c_ispeed: u32,
        /// The speed of output.
        pub c_ospeed: u32,
    }

    /// `struct winsize`.
    pub struct Winsize {
        /// Rows.
        pub ws_row: u16,
        /// Columns.
        pub ws_col: u16,
        /// Width in pixels.
        pub ws_xpixel: u16,
        /// Height in pixels.
        pub ws_ypixel: u16,
    }
}
