//! Terminal settings (`struct ktermios`, `struct winsize`).

use linux_abi::termios::NCCS;
pub use linux_abi::termios::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ECHOPRT, EXTPROC, ICANON, ICRNL, IEXTEN, IGNCR, IMAXBEL,
    INLCR, ISIG, ISTRIP, IUCLC, IUTF8, IXANY, IXON, NOFLSH, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST,
    TABDLY, TOSTOP, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT, VMIN, VQUIT, VREPRINT, VSTART, VSTOP,
    VSUSP, VTIME, VWERASE, XTABS,
};

/// `struct ktermios`.
#[derive(Clone, Copy, Debug)]
pub struct Termios {
    pub input: u32,
    pub output: u32,
    pub control: u32,
    pub local: u32,
    pub line: u8,
    pub chars: [u8; NCCS],
    pub input_speed: u32,
    pub output_speed: u32,
}

impl Default for Termios {
    /// `tty_std_termios`.
    fn default() -> Termios {
        Termios {
            input: ICRNL | IXON,
            output: OPOST | ONLCR,
            // B38400 | CS8 | CREAD
            control: 0o17 | 0o60 | 0o200,
            local: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            line: 0,
            chars: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
            input_speed: 38_400,
            output_speed: 38_400,
        }
    }
}

impl Termios {
    /// Bytes of `struct termios` (TCGETS).
    pub const SIZE: usize = 36;
    /// Bytes of `struct termios2` (TCGETS2).
    pub const SIZE2: usize = 44;

    /// The control character `index`; `None` if it is disabled.
    pub fn char(&self, index: usize) -> Option<u8> {
        self.chars.get(index).copied().filter(|&byte| byte != 0)
    }

    /// The number in a control character that is none (`VMIN`, `VTIME`).
    pub fn number(&self, index: usize) -> u8 {
        self.chars.get(index).copied().unwrap_or(0)
    }

    /// Whether all local flags in `flags` are set.
    pub fn has_local(&self, flags: u32) -> bool {
        self.local & flags == flags
    }

    /// As `struct termios2`; its head is `struct termios`.
    pub fn to_bytes(&self) -> [u8; Termios::SIZE2] {
        let mut bytes = [0; Termios::SIZE2];
        let words = [self.input, self.output, self.control, self.local];
        let flags = words.into_iter().flat_map(u32::to_le_bytes);
        let speeds = [self.input_speed, self.output_speed].into_iter().flat_map(u32::to_le_bytes);
        let all = flags.chain([self.line]).chain(self.chars).chain(speeds);
        for (to, from) in bytes.iter_mut().zip(all) {
            *to = from;
        }
        bytes
    }

    /// From `struct termios` or `struct termios2`; speeds that are not there stay.
    #[must_use]
    pub fn updated(&self, bytes: &[u8]) -> Termios {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        let mut chars = [0; NCCS];
        for (to, from) in chars.iter_mut().zip(bytes.iter().skip(17)) {
            *to = *from;
        }
        Termios {
            input: word(0).unwrap_or(0),
            output: word(4).unwrap_or(0),
            control: word(8).unwrap_or(0),
            local: word(12).unwrap_or(0),
            line: bytes.get(16).copied().unwrap_or(0),
            chars,
            input_speed: word(36).unwrap_or(self.input_speed),
            output_speed: word(40).unwrap_or(self.output_speed),
        }
    }
}

/// `struct winsize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
    pub x_pixels: u16,
    pub y_pixels: u16,
}

impl WindowSize {
    /// As the structure.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        let fields = [self.rows, self.columns, self.x_pixels, self.y_pixels];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flat_map(u16::to_le_bytes)) {
            *to = from;
        }
        bytes
    }

    /// From the structure.
    pub fn from_bytes(bytes: [u8; 8]) -> WindowSize {
        let [a, b, c, d, e, f, g, h] = bytes;
        let pair = |low, high| u16::from_le_bytes([low, high]);
        WindowSize { rows: pair(a, b), columns: pair(c, d), x_pixels: pair(e, f), y_pixels: pair(g, h) }
    }
}
