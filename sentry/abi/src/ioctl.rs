//! Numbers of ioctl(2) commands: terminals, files, sockets.

// Terminals (ioctl_tty(2)).

/// Get the settings.
pub const TCGETS: u32 = 0x5401;
/// Set the settings.
pub const TCSETS: u32 = 0x5402;
/// Set them after output.
pub const TCSETSW: u32 = 0x5403;
/// Set them after output, dropping input.
pub const TCSETSF: u32 = 0x5404;
/// Get the old structure.
pub const TCGETA: u32 = 0x5405;
/// Set the old structure.
pub const TCSETA: u32 = 0x5406;
/// Set it after output.
pub const TCSETAW: u32 = 0x5407;
/// Set it after output, dropping input.
pub const TCSETAF: u32 = 0x5408;
/// Send a break, or drain.
pub const TCSBRK: u32 = 0x5409;
/// Stop and start.
pub const TCXONC: u32 = 0x540a;
/// Drop data.
pub const TCFLSH: u32 = 0x540b;
/// Exclusive.
pub const TIOCEXCL: u32 = 0x540c;
/// Not exclusive.
pub const TIOCNXCL: u32 = 0x540d;
/// Make it the controlling terminal.
pub const TIOCSCTTY: u32 = 0x540e;
/// Get the foreground process group.
pub const TIOCGPGRP: u32 = 0x540f;
/// Set it.
pub const TIOCSPGRP: u32 = 0x5410;
/// Bytes waiting for output.
pub const TIOCOUTQ: u32 = 0x5411;
/// Fake input.
pub const TIOCSTI: u32 = 0x5412;
/// Get the window's size.
pub const TIOCGWINSZ: u32 = 0x5413;
/// Set it.
pub const TIOCSWINSZ: u32 = 0x5414;
/// Get modem lines.
pub const TIOCMGET: u32 = 0x5415;
/// Set modem lines.
pub const TIOCMBIS: u32 = 0x5416;
/// Clear modem lines.
pub const TIOCMBIC: u32 = 0x5417;
/// Set all modem lines.
pub const TIOCMSET: u32 = 0x5418;
/// Get the software carrier.
pub const TIOCGSOFTCAR: u32 = 0x5419;
/// Set it.
pub const TIOCSSOFTCAR: u32 = 0x541a;
/// Bytes waiting for input (`TIOCINQ`).
pub const FIONREAD: u32 = 0x541b;
/// Console subfunctions.
pub const TIOCLINUX: u32 = 0x541c;
/// Redirect the console.
pub const TIOCCONS: u32 = 0x541d;
/// Get serial settings.
pub const TIOCGSERIAL: u32 = 0x541e;
/// Set serial settings.
pub const TIOCSSERIAL: u32 = 0x541f;
/// Packet mode.
pub const TIOCPKT: u32 = 0x5420;
/// Set or clear `O_NONBLOCK`.
pub const FIONBIO: u32 = 0x5421;
/// Give up the controlling terminal.
pub const TIOCNOTTY: u32 = 0x5422;
/// Set the line discipline.
pub const TIOCSETD: u32 = 0x5423;
/// Get the line discipline.
pub const TIOCGETD: u32 = 0x5424;
/// Send a break of some length.
pub const TCSBRKP: u32 = 0x5425;
/// Break on.
pub const TIOCSBRK: u32 = 0x5427;
/// Break off.
pub const TIOCCBRK: u32 = 0x5428;
/// Get the session.
pub const TIOCGSID: u32 = 0x5429;
/// Get the settings, with speeds.
pub const TCGETS2: u32 = 0x802c_542a;
/// Set the settings, with speeds.
pub const TCSETS2: u32 = 0x402c_542b;
/// Set them after output.
pub const TCSETSW2: u32 = 0x402c_542c;
/// Set them after output, dropping input.
pub const TCSETSF2: u32 = 0x402c_542d;
/// The number of a pseudo-terminal.
pub const TIOCGPTN: u32 = 0x8004_5430;
/// Lock or unlock a pseudo-terminal.
pub const TIOCSPTLCK: u32 = 0x4004_5431;
/// The terminal's device number.
pub const TIOCGDEV: u32 = 0x8004_5432;
/// Send a signal to the foreground group.
pub const TIOCSIG: u32 = 0x4004_5436;
/// Hang up.
pub const TIOCVHANGUP: u32 = 0x5437;
/// Get packet mode.
pub const TIOCGPKT: u32 = 0x8004_5438;
/// Get the lock of a pseudo-terminal.
pub const TIOCGPTLCK: u32 = 0x8004_5439;
/// Is it exclusive?
pub const TIOCGEXCL: u32 = 0x8004_5440;
/// Open the other end of a pseudo-terminal.
pub const TIOCGPTPEER: u32 = 0x5441;
/// Clear close-on-exec.
pub const FIONCLEX: u32 = 0x5450;
/// Set close-on-exec.
pub const FIOCLEX: u32 = 0x5451;
/// Set or clear `O_ASYNC`.
pub const FIOASYNC: u32 = 0x5452;
/// Get the size of a file.
pub const FIOQSIZE: u32 = 0x5460;

// Arguments of `TCFLSH`.

/// Drop input.
pub const TCIFLUSH: u32 = 0;
/// Drop output.
pub const TCOFLUSH: u32 = 1;
/// Drop both.
pub const TCIOFLUSH: u32 = 2;

// Arguments of `TCXONC`.

/// Stop output.
pub const TCOOFF: u32 = 0;
/// Start output.
pub const TCOON: u32 = 1;
/// Send a stop character.
pub const TCIOFF: u32 = 2;
/// Send a start character.
pub const TCION: u32 = 3;

// Packet mode's control bytes.

/// Data.
pub const TIOCPKT_DATA: u8 = 0;
/// Input was dropped.
pub const TIOCPKT_FLUSHREAD: u8 = 0x1;
/// Output was dropped.
pub const TIOCPKT_FLUSHWRITE: u8 = 0x2;
/// Output stopped.
pub const TIOCPKT_STOP: u8 = 0x4;
/// Output started.
pub const TIOCPKT_START: u8 = 0x8;
/// No flow control.
pub const TIOCPKT_NOSTOP: u8 = 0x10;
/// Flow control.
pub const TIOCPKT_DOSTOP: u8 = 0x20;
/// Settings changed.
pub const TIOCPKT_IOCTL: u8 = 0x40;

// Files and file systems.

/// Map a block.
pub const FIBMAP: u32 = 0x1;
/// Get the block size.
pub const FIGETBSZ: u32 = 0x2;
/// Freeze.
pub const FIFREEZE: u32 = 0xc004_5877;
/// Thaw.
pub const FITHAW: u32 = 0xc004_5878;
/// Discard what is free.
pub const FITRIM: u32 = 0xc018_5879;
/// Share another file's blocks.
pub const FICLONE: u32 = 0x4004_9409;
/// Share a range of them.
pub const FICLONERANGE: u32 = 0x4020_940d;
/// Share equal ranges.
pub const FIDEDUPERANGE: u32 = 0xc018_9436;
/// Map extents.
pub const FS_IOC_FIEMAP: u32 = 0xc020_660b;
/// Get inode flags.
pub const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
/// Set inode flags.
pub const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
/// Get the inode's generation.
pub const FS_IOC_GETVERSION: u32 = 0x8008_7601;
/// Get extended inode flags.
pub const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
/// Set extended inode flags.
pub const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
/// The size of a block device.
pub const BLKGETSIZE64: u32 = 0x8008_1272;
/// The sector size of a block device.
pub const BLKSSZGET: u32 = 0x1268;

// Sockets and network devices (netdevice(7)).

/// Who gets `SIGIO`.
pub const FIOSETOWN: u32 = 0x8901;
/// Who gets `SIGIO`.
pub const SIOCSPGRP: u32 = 0x8902;
/// Who gets `SIGIO`?
pub const FIOGETOWN: u32 = 0x8903;
/// Who gets `SIGIO`?
pub const SIOCGPGRP: u32 = 0x8904;
/// Is the next byte urgent?
pub const SIOCATMARK: u32 = 0x8905;
/// The time of the last packet.
pub const SIOCGSTAMP: u32 = 0x8906;
/// The same, in nanoseconds.
pub const SIOCGSTAMPNS: u32 = 0x8907;
/// Add a route.
pub const SIOCADDRT: u32 = 0x890b;
/// Remove a route.
pub const SIOCDELRT: u32 = 0x890c;
/// The name of an interface.
pub const SIOCGIFNAME: u32 = 0x8910;
/// List addresses.
pub const SIOCGIFCONF: u32 = 0x8912;
/// Get flags.
pub const SIOCGIFFLAGS: u32 = 0x8913;
/// Set flags.
pub const SIOCSIFFLAGS: u32 = 0x8914;
/// Get the address.
pub const SIOCGIFADDR: u32 = 0x8915;
/// Set the address.
pub const SIOCSIFADDR: u32 = 0x8916;
/// Get the peer's address.
pub const SIOCGIFDSTADDR: u32 = 0x8917;
/// Set it.
pub const SIOCSIFDSTADDR: u32 = 0x8918;
/// Get the broadcast address.
pub const SIOCGIFBRDADDR: u32 = 0x8919;
/// Set it.
pub const SIOCSIFBRDADDR: u32 = 0x891a;
/// Get the netmask.
pub const SIOCGIFNETMASK: u32 = 0x891b;
/// Set it.
pub const SIOCSIFNETMASK: u32 = 0x891c;
/// Get the metric.
pub const SIOCGIFMETRIC: u32 = 0x891d;
/// Set it.
pub const SIOCSIFMETRIC: u32 = 0x891e;
/// Get the MTU.
pub const SIOCGIFMTU: u32 = 0x8921;
/// Set it.
pub const SIOCSIFMTU: u32 = 0x8922;
/// Rename an interface.
pub const SIOCSIFNAME: u32 = 0x8923;
/// Set the hardware address.
pub const SIOCSIFHWADDR: u32 = 0x8924;
/// Get it.
pub const SIOCGIFHWADDR: u32 = 0x8927;
/// Join a multicast group.
pub const SIOCADDMULTI: u32 = 0x8931;
/// Leave it.
pub const SIOCDELMULTI: u32 = 0x8932;
/// The number of an interface.
pub const SIOCGIFINDEX: u32 = 0x8933;
/// Get the length of the queue.
pub const SIOCGIFTXQLEN: u32 = 0x8942;
/// Set it.
pub const SIOCSIFTXQLEN: u32 = 0x8943;
/// Get the hardware map.
pub const SIOCGIFMAP: u32 = 0x8970;
/// Ethtool.
pub const SIOCETHTOOL: u32 = 0x8946;
/// Bridges.
pub const SIOCGIFBR: u32 = 0x8940;
/// Get an ARP entry.
pub const SIOCGARP: u32 = 0x8954;
/// Bytes not yet acknowledged (`TIOCOUTQ`).
pub const SIOCOUTQ: u32 = 0x5411;
/// Bytes not yet sent.
pub const SIOCOUTQNSD: u32 = 0x894b;
/// Bytes waiting for input (`FIONREAD`).
pub const SIOCINQ: u32 = 0x541b;
/// Make a tun or tap device.
pub const TUNSETIFF: u32 = 0x4004_54ca;
/// Which one is it?
pub const TUNGETIFF: u32 = 0x8004_54d2;

// Random numbers.

/// How much entropy is there?
pub const RNDGETENTCNT: u32 = 0x8004_5200;
/// Claim more.
pub const RNDADDTOENTCNT: u32 = 0x4004_5201;
/// Add some.
pub const RNDADDENTROPY: u32 = 0x4008_5203;

/// `_IO`, `_IOR`, `_IOW` and `_IOWR`: a command from its direction, size, type and number.
pub const fn ioc(direction: u32, kind: u8, number: u8, size: u32) -> u32 {
    direction << 30 | (size & 0x3fff) << 16 | (kind as u32) << 8 | number as u32
}

/// The direction of a command that carries no data.
pub const IOC_NONE: u32 = 0;
/// The direction of a command whose data the kernel reads.
pub const IOC_WRITE: u32 = 1;
/// The direction of a command whose data the kernel writes.
pub const IOC_READ: u32 = 2;
