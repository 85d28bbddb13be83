//! Waiting for files and for what is made to be waited for: poll(2), epoll(7), eventfd(2), timerfd_create(2), signalfd(2), inotify(7).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

// Events of poll(2).

/// Input.
pub const POLLIN: u16 = 0x1;
/// Urgent input.
pub const POLLPRI: u16 = 0x2;
/// Room for output.
pub const POLLOUT: u16 = 0x4;
/// Error.
pub const POLLERR: u16 = 0x8;
/// Hangup.
pub const POLLHUP: u16 = 0x10;
/// Not an open descriptor.
pub const POLLNVAL: u16 = 0x20;
/// Normal input.
pub const POLLRDNORM: u16 = 0x40;
/// Band input.
pub const POLLRDBAND: u16 = 0x80;
/// Room for normal output.
pub const POLLWRNORM: u16 = 0x100;
/// Room for band output.
pub const POLLWRBAND: u16 = 0x200;
/// Unused.
pub const POLLMSG: u16 = 0x400;
/// Unused.
pub const POLLREMOVE: u16 = 0x1000;
/// The peer has shut its writing half.
pub const POLLRDHUP: u16 = 0x2000;

// Events and modes of epoll.

/// Input.
pub const EPOLLIN: u32 = 0x1;
/// Urgent input.
pub const EPOLLPRI: u32 = 0x2;
/// Room for output.
pub const EPOLLOUT: u32 = 0x4;
/// Error.
pub const EPOLLERR: u32 = 0x8;
/// Hangup.
pub const EPOLLHUP: u32 = 0x10;
/// Not an open descriptor.
pub const EPOLLNVAL: u32 = 0x20;
/// Normal input.
pub const EPOLLRDNORM: u32 = 0x40;
/// Band input.
pub const EPOLLRDBAND: u32 = 0x80;
/// Room for normal output.
pub const EPOLLWRNORM: u32 = 0x100;
/// Room for band output.
pub const EPOLLWRBAND: u32 = 0x200;
/// Unused.
pub const EPOLLMSG: u32 = 0x400;
/// The peer has shut its writing half.
pub const EPOLLRDHUP: u32 = 0x2000;
/// Wake one waiter, not all.
pub const EPOLLEXCLUSIVE: u32 = 0x1000_0000;
/// Keep the machine awake.
pub const EPOLLWAKEUP: u32 = 0x2000_0000;
/// Once.
pub const EPOLLONESHOT: u32 = 0x4000_0000;
/// Only when something changes.
pub const EPOLLET: u32 = 0x8000_0000;

// Operations of epoll_ctl(2).

/// Add.
pub const EPOLL_CTL_ADD: i32 = 1;
/// Remove.
pub const EPOLL_CTL_DEL: i32 = 2;
/// Change.
pub const EPOLL_CTL_MOD: i32 = 3;

// Flags of epoll_create1(2).

/// Close at execve.
pub const EPOLL_CLOEXEC: u32 = 0x80000;

// Flags of eventfd2(2).

/// Reads take one.
pub const EFD_SEMAPHORE: u32 = 0x1;
/// Close at execve.
pub const EFD_CLOEXEC: u32 = 0x80000;
/// Do not wait.
pub const EFD_NONBLOCK: u32 = 0x800;

// Flags of timerfd_create(2).

/// Close at execve.
pub const TFD_CLOEXEC: u32 = 0x80000;
/// Do not wait.
pub const TFD_NONBLOCK: u32 = 0x800;

// Flags of timerfd_settime(2).

/// The time is absolute.
pub const TFD_TIMER_ABSTIME: u32 = 0x1;
/// Reads fail when the clock jumps.
pub const TFD_TIMER_CANCEL_ON_SET: u32 = 0x2;

// Flags of signalfd4(2).

/// Close at execve.
pub const SFD_CLOEXEC: u32 = 0x80000;
/// Do not wait.
pub const SFD_NONBLOCK: u32 = 0x800;

// Events and options of inotify.

/// Read.
pub const IN_ACCESS: u32 = 0x1;
/// Changed.
pub const IN_MODIFY: u32 = 0x2;
/// Attributes changed.
pub const IN_ATTRIB: u32 = 0x4;
/// Closed, having been open for writing.
pub const IN_CLOSE_WRITE: u32 = 0x8;
/// Closed, not having been open for writing.
pub const IN_CLOSE_NOWRITE: u32 = 0x10;
/// Opened.
pub const IN_OPEN: u32 = 0x20;
/// Moved away.
pub const IN_MOVED_FROM: u32 = 0x40;
/// Moved here.
pub const IN_MOVED_TO: u32 = 0x80;
/// Created.
pub const IN_CREATE: u32 = 0x100;
/// Removed.
pub const IN_DELETE: u32 = 0x200;
/// The watched file was removed.
pub const IN_DELETE_SELF: u32 = 0x400;
/// The watched file was moved.
pub const IN_MOVE_SELF: u32 = 0x800;
/// The file system was unmounted.
pub const IN_UNMOUNT: u32 = 0x2000;
/// Events were lost.
pub const IN_Q_OVERFLOW: u32 = 0x4000;
/// The watch is gone.
pub const IN_IGNORED: u32 = 0x8000;
/// Either way of closing.
pub const IN_CLOSE: u32 = 0x18;
/// Either way of moving.
pub const IN_MOVE: u32 = 0xc0;
/// Everything that can be watched.
pub const IN_ALL_EVENTS: u32 = 0xfff;
/// Only if it is a directory.
pub const IN_ONLYDIR: u32 = 0x100_0000;
/// Do not follow a symbolic link.
pub const IN_DONT_FOLLOW: u32 = 0x200_0000;
/// No events of files without names.
pub const IN_EXCL_UNLINK: u32 = 0x400_0000;
/// Fail if it is watched already.
pub const IN_MASK_CREATE: u32 = 0x1000_0000;
/// Add to the mask.
pub const IN_MASK_ADD: u32 = 0x2000_0000;
/// The subject is a directory.
pub const IN_ISDIR: u32 = 0x4000_0000;
/// Once.
pub const IN_ONESHOT: u32 = 0x8000_0000;

// Flags of inotify_init1(2).

/// Close at execve.
pub const IN_CLOEXEC: u32 = 0x80000;
/// Do not wait.
pub const IN_NONBLOCK: u32 = 0x800;

uapi! {
    /// `struct pollfd`.
    pub struct PollFd {
        /// The descriptor; a negative one is skipped.
        pub fd: i32,
        /// What to wait for.
        pub events: u16,
        /// What happened.
        pub revents: u16,
    }

    /// `struct signalfd_siginfo`: what reading a signalfd returns.
    pub struct SignalfdSiginfo {
        /// The signal.
        pub signo: u32,
        /// Unused.
        pub errno: i32,
        /// Why it was sent.
        pub code: i32,
        /// Who sent it.
        pub pid: u32,
        /// As which user.
        pub uid: u32,
        /// The descriptor (`SIGIO`).
        pub fd: i32,
        /// The timer.
        pub tid: u32,
        /// The events (`SIGIO`).
        pub band: u32,
        /// The timer's overruns.
        pub overrun: u32,
        /// The trap.
        pub trapno: u32,
        /// The exit status or signal (`SIGCHLD`).
        pub status: i32,
        /// The value, as an integer.
        pub int: i32,
        /// The value, as a pointer.
        pub ptr: u64,
        /// User time (`SIGCHLD`).
        pub utime: u64,
        /// System time (`SIGCHLD`).
        pub stime: u64,
        /// The address of the fault.
        pub addr: u64,
        /// The least significant bit of that address.
        pub addr_lsb: u16,
        /// Padding.
        pub pad2: u16,
        /// The system call (`SIGSYS`).
        pub syscall: i32,
        /// Where it was made.
        pub call_addr: u64,
        /// On which architecture.
        pub arch: u32,
        /// Padding.
        pub pad: [u8; 28],
    }

    /// `struct inotify_event`, without the name that follows.
    pub struct InotifyEvent {
        /// The watch.
        pub wd: i32,
        /// What happened.
        pub mask: u32,
        /// Connects the two halves of a move.
        pub cookie: u32,
        /// The size of the name, padding included.
        pub len: u32,
    }
}

/// `struct epoll_event`, packed on x86-64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
pub struct EpollEvent {
    /// `EPOLL*`.
    pub events: u32,
    /// The program's own.
    pub data: u64,
}
