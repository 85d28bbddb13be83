//! Sockets: families, types, options, flags and addresses (socket(2), socket(7), unix(7)).

pub use crate::{
    inet::*,
    ioctl::{
        FIOGETOWN, FIONREAD, FIOSETOWN, SIOCATMARK, SIOCETHTOOL, SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFCONF,
        SIOCGIFDSTADDR, SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMAP, SIOCGIFMETRIC, SIOCGIFMTU,
        SIOCGIFNAME, SIOCGIFNETMASK, SIOCGIFTXQLEN, SIOCGPGRP, SIOCGSTAMP, SIOCGSTAMPNS, SIOCOUTQ,
        SIOCOUTQNSD, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFMTU, SIOCSPGRP,
    },
};

// Address families.

/// Unspecified.
pub const AF_UNSPEC: u16 = 0;
/// Local.
pub const AF_UNIX: u16 = 1;
/// Internet.
pub const AF_INET: u16 = 2;
/// IPX.
pub const AF_IPX: u16 = 4;
/// Internet, version 6.
pub const AF_INET6: u16 = 10;
/// Key management.
pub const AF_KEY: u16 = 15;
/// Netlink.
pub const AF_NETLINK: u16 = 16;
/// Packets.
pub const AF_PACKET: u16 = 17;
/// Cryptography.
pub const AF_ALG: u16 = 38;
/// Virtual machines.
pub const AF_VSOCK: u16 = 40;
/// Express data path.
pub const AF_XDP: u16 = 44;

// The end of the address families.

/// One more than the last.
pub const AF_MAX: i32 = 46;

// Socket types.

/// A stream.
pub const SOCK_STREAM: i32 = 1;
/// Datagrams.
pub const SOCK_DGRAM: i32 = 2;
/// Raw packets.
pub const SOCK_RAW: i32 = 3;
/// Reliable datagrams.
pub const SOCK_RDM: i32 = 4;
/// Records.
pub const SOCK_SEQPACKET: i32 = 5;
/// Congestion-controlled datagrams.
pub const SOCK_DCCP: i32 = 6;
/// Obsolete.
pub const SOCK_PACKET: i32 = 10;
/// One more than the last.
pub const SOCK_MAX: i32 = 11;
/// The bits that hold the type.
pub const SOCK_TYPE_MASK: i32 = 0xf;

// Flags in the type, and of accept4(2).

/// Close at execve.
pub const SOCK_CLOEXEC: i32 = 0o2000000;
/// Do not wait.
pub const SOCK_NONBLOCK: i32 = 0o4000;

// Levels of options.

/// The socket itself.
pub const SOL_SOCKET: i32 = 1;
/// Internet (`IPPROTO_IP`).
pub const SOL_IP: i32 = 0;
/// TCP (`IPPROTO_TCP`).
pub const SOL_TCP: i32 = 6;
/// UDP (`IPPROTO_UDP`).
pub const SOL_UDP: i32 = 17;
/// Internet, version 6 (`IPPROTO_IPV6`).
pub const SOL_IPV6: i32 = 41;
/// ICMP, version 6.
pub const SOL_ICMPV6: i32 = 58;
/// Raw packets.
pub const SOL_RAW: i32 = 255;
/// Packets.
pub const SOL_PACKET: i32 = 263;
/// Netlink.
pub const SOL_NETLINK: i32 = 270;
/// Virtual machines.
pub const SOL_VSOCK: i32 = 287;

// Options of `SOL_SOCKET`.

/// Debugging.
pub const SO_DEBUG: i32 = 1;
/// Reuse addresses.
pub const SO_REUSEADDR: i32 = 2;
/// The type.
pub const SO_TYPE: i32 = 3;
/// The pending error; clears it.
pub const SO_ERROR: i32 = 4;
/// Do not use gateways.
pub const SO_DONTROUTE: i32 = 5;
/// May broadcast.
pub const SO_BROADCAST: i32 = 6;
/// Size of the send buffer.
pub const SO_SNDBUF: i32 = 7;
/// Size of the receive buffer.
pub const SO_RCVBUF: i32 = 8;
/// Probe idle connections.
pub const SO_KEEPALIVE: i32 = 9;
/// Urgent data in line.
pub const SO_OOBINLINE: i32 = 10;
/// No checksums.
pub const SO_NO_CHECK: i32 = 11;
/// Priority.
pub const SO_PRIORITY: i32 = 12;
/// What close does with unsent data.
pub const SO_LINGER: i32 = 13;
/// Ignored.
pub const SO_BSDCOMPAT: i32 = 14;
/// Share the address between sockets.
pub const SO_REUSEPORT: i32 = 15;
/// Receive credentials.
pub const SO_PASSCRED: i32 = 16;
/// The peer's credentials.
pub const SO_PEERCRED: i32 = 17;
/// Least input to wake for.
pub const SO_RCVLOWAT: i32 = 18;
/// Least room to wake for.
pub const SO_SNDLOWAT: i32 = 19;
/// Timeout of receiving (`SO_RCVTIMEO`).
pub const SO_RCVTIMEO_OLD: i32 = 20;
/// Timeout of sending (`SO_SNDTIMEO`).
pub const SO_SNDTIMEO_OLD: i32 = 21;
/// Bind to an interface.
pub const SO_BINDTODEVICE: i32 = 25;
/// Filter packets.
pub const SO_ATTACH_FILTER: i32 = 26;
/// Do not.
pub const SO_DETACH_FILTER: i32 = 27;
/// The peer's name.
pub const SO_PEERNAME: i32 = 28;
/// Time stamps (`SO_TIMESTAMP`).
pub const SO_TIMESTAMP_OLD: i32 = 29;
/// Does it listen?
pub const SO_ACCEPTCONN: i32 = 30;
/// The peer's security label.
pub const SO_PEERSEC: i32 = 31;
/// Size of the send buffer, past the limit.
pub const SO_SNDBUFFORCE: i32 = 32;
/// Size of the receive buffer, past the limit.
pub const SO_RCVBUFFORCE: i32 = 33;
/// Receive security labels.
pub const SO_PASSSEC: i32 = 34;
/// Time stamps in nanoseconds.
pub const SO_TIMESTAMPNS_OLD: i32 = 35;
/// Mark packets.
pub const SO_MARK: i32 = 36;
/// Time stamps of many kinds.
pub const SO_TIMESTAMPING_OLD: i32 = 37;
/// The protocol.
pub const SO_PROTOCOL: i32 = 38;
/// The family.
pub const SO_DOMAIN: i32 = 39;
/// Count dropped packets.
pub const SO_RXQ_OVFL: i32 = 40;
/// Wireless status.
pub const SO_WIFI_STATUS: i32 = 41;
/// Where peeking continues.
pub const SO_PEEK_OFF: i32 = 42;
/// No frame check sequence.
pub const SO_NOFCS: i32 = 43;
/// Keep the filter.
pub const SO_LOCK_FILTER: i32 = 44;
/// Errors as urgent data.
pub const SO_SELECT_ERR_QUEUE: i32 = 45;
/// Poll busily.
pub const SO_BUSY_POLL: i32 = 46;
/// Limit the rate.
pub const SO_MAX_PACING_RATE: i32 = 47;
/// Which BPF extensions are there?
pub const SO_BPF_EXTENSIONS: i32 = 48;
/// The processor of arrival.
pub const SO_INCOMING_CPU: i32 = 49;
/// Filter packets with BPF.
pub const SO_ATTACH_BPF: i32 = 50;
/// Choose among sharing sockets.
pub const SO_ATTACH_REUSEPORT_CBPF: i32 = 51;
/// The same, with BPF.
pub const SO_ATTACH_REUSEPORT_EBPF: i32 = 52;
/// Memory in use.
pub const SO_MEMINFO: i32 = 55;
/// The queue of arrival.
pub const SO_INCOMING_NAPI_ID: i32 = 56;
/// The socket's number.
pub const SO_COOKIE: i32 = 57;
/// The peer's groups.
pub const SO_PEERGROUPS: i32 = 59;
/// Send without copying.
pub const SO_ZEROCOPY: i32 = 60;
/// When to send.
pub const SO_TXTIME: i32 = 61;
/// Bind to an interface, by number.
pub const SO_BINDTOIFINDEX: i32 = 62;
/// Time stamps, 64 bits.
pub const SO_TIMESTAMP_NEW: i32 = 63;
/// Time stamps in nanoseconds, 64 bits.
pub const SO_TIMESTAMPNS_NEW: i32 = 64;
/// Time stamps of many kinds, 64 bits.
pub const SO_TIMESTAMPING_NEW: i32 = 65;
/// Timeout of receiving, 64 bits.
pub const SO_RCVTIMEO_NEW: i32 = 66;
/// Timeout of sending, 64 bits.
pub const SO_SNDTIMEO_NEW: i32 = 67;
/// Do not choose among sharing sockets.
pub const SO_DETACH_REUSEPORT_BPF: i32 = 68;
/// Prefer to poll busily.
pub const SO_PREFER_BUSY_POLL: i32 = 69;
/// How much.
pub const SO_BUSY_POLL_BUDGET: i32 = 70;
/// The network namespace's number.
pub const SO_NETNS_COOKIE: i32 = 71;
/// Keep buffer sizes.
pub const SO_BUF_LOCK: i32 = 72;
/// Reserve memory.
pub const SO_RESERVE_MEM: i32 = 73;
/// Choose new paths.
pub const SO_TXREHASH: i32 = 74;
/// Receive marks.
pub const SO_RCVMARK: i32 = 75;
/// Receive process descriptors.
pub const SO_PASSPIDFD: i32 = 76;
/// The peer's process descriptor.
pub const SO_PEERPIDFD: i32 = 77;

// Flags of send(2), recv(2) and `msg_flags`.

/// Urgent data.
pub const MSG_OOB: u32 = 0x1;
/// Leave the data.
pub const MSG_PEEK: u32 = 0x2;
/// Do not use gateways.
pub const MSG_DONTROUTE: u32 = 0x4;
/// Control data was cut.
pub const MSG_CTRUNC: u32 = 0x8;
/// Unused.
pub const MSG_PROXY: u32 = 0x10;
/// The message was cut; return its whole length.
pub const MSG_TRUNC: u32 = 0x20;
/// Do not wait.
pub const MSG_DONTWAIT: u32 = 0x40;
/// End of a record.
pub const MSG_EOR: u32 = 0x80;
/// Wait for everything.
pub const MSG_WAITALL: u32 = 0x100;
/// Unused.
pub const MSG_FIN: u32 = 0x200;
/// Unused.
pub const MSG_SYN: u32 = 0x400;
/// The neighbour is alive.
pub const MSG_CONFIRM: u32 = 0x800;
/// Unused.
pub const MSG_RST: u32 = 0x1000;
/// From the error queue.
pub const MSG_ERRQUEUE: u32 = 0x2000;
/// No `SIGPIPE`.
pub const MSG_NOSIGNAL: u32 = 0x4000;
/// More will come.
pub const MSG_MORE: u32 = 0x8000;
/// recvmmsg: wait for one only.
pub const MSG_WAITFORONE: u32 = 0x10000;
/// More messages will come.
pub const MSG_BATCH: u32 = 0x40000;
/// Do not copy.
pub const MSG_ZEROCOPY: u32 = 0x400_0000;
/// Send with the connection request.
pub const MSG_FASTOPEN: u32 = 0x2000_0000;
/// Received descriptors close at execve.
pub const MSG_CMSG_CLOEXEC: u32 = 0x4000_0000;

// Control messages of `SOL_SOCKET`.

/// Descriptors.
pub const SCM_RIGHTS: i32 = 1;
/// Credentials.
pub const SCM_CREDENTIALS: i32 = 2;
/// A security label.
pub const SCM_SECURITY: i32 = 3;
/// A process descriptor.
pub const SCM_PIDFD: i32 = 4;

// Halves of shutdown(2).

/// Reading.
pub const SHUT_RD: i32 = 0;
/// Writing.
pub const SHUT_WR: i32 = 1;
/// Both.
pub const SHUT_RDWR: i32 = 2;

// Limits.

/// The default of the longest queue of listen(2) (`net.core.somaxconn`).
pub const SOMAXCONN: i32 = 4096;

// Limits of addresses and messages.

/// The longest address (`struct sockaddr_storage`).
pub const SOCKADDR_STORAGE: usize = 128;
/// The most descriptors in a message.
pub const SCM_MAX_FD: usize = 253;
/// The most parts of a message, and the most messages of sendmmsg(2).
pub const UIO_MAXIOV: usize = 1024;

// Lingering control of `SO_BUF_LOCK`.

/// The send buffer's size.
pub const SOCK_SNDBUF_LOCK: i32 = 1;
/// The receive buffer's size.
pub const SOCK_RCVBUF_LOCK: i32 = 2;

uapi! {
    /// `struct sockaddr_un`: the address of a local socket.
    pub struct SockaddrUn {
        /// `AF_UNIX`.
        pub sun_family: u16,
        /// The path; one that starts with NUL is an abstract name.
        pub sun_path: [u8; 108],
    }

    /// `struct msghdr`, as the kernel reads it.
    pub struct Msghdr {
        /// Where the address is.
        pub msg_name: u64,
        /// Its size.
        pub msg_namelen: u32,
        /// Padding.
        pub _pad0: u32,
        /// Where the parts are.
        pub msg_iov: u64,
        /// How many.
        pub msg_iovlen: u64,
        /// Where control data is.
        pub msg_control: u64,
        /// Its size.
        pub msg_controllen: u64,
        /// `MSG_*`.
        pub msg_flags: u32,
        /// Padding.
        pub _pad1: u32,
    }

    /// `struct mmsghdr`: one of several messages.
    pub struct Mmsghdr {
        /// The message.
        pub msg_hdr: Msghdr,
        /// Its length, once sent or received.
        pub msg_len: u32,
        /// Padding.
        pub _pad: u32,
    }

    /// `struct cmsghdr`: the head of a control message. Each starts at a multiple of 8 bytes.
    pub struct Cmsghdr {
        /// Its length, head included.
        pub cmsg_len: u64,
        /// `SOL_*`.
        pub cmsg_level: i32,
        /// `SCM_*`, or an option of the level.
        pub cmsg_type: i32,
    }

    /// `struct ucred`: credentials of a peer.
    pub struct Ucred {
        /// The process.
        pub pid: i32,
        /// The user.
        pub uid: u32,
        /// The group.
        pub gid: u32,
    }

    /// `struct linger`, of `SO_LINGER`.
    pub struct Linger {
        /// Whether to wait.
        pub l_onoff: i32,
        /// How many seconds.
        pub l_linger: i32,
    }
}
