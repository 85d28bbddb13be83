//! Waiting for children: wait4(2), waitid(2), pidfd_open(2).

// Options.

/// Do not wait.
pub const WNOHANG: u32 = 0x1;
/// Stopped children too (`WSTOPPED`).
pub const WUNTRACED: u32 = 0x2;
/// waitid: stopped children.
pub const WSTOPPED: u32 = 0x2;
/// waitid: ended children.
pub const WEXITED: u32 = 0x4;
/// Continued children too.
pub const WCONTINUED: u32 = 0x8;
/// Leave the child waitable.
pub const WNOWAIT: u32 = 0x100_0000;
/// Not the children of other threads.
pub const __WNOTHREAD: u32 = 0x2000_0000;
/// Every kind of child.
pub const __WALL: u32 = 0x4000_0000;
/// Children that do not send `SIGCHLD`.
pub const __WCLONE: u32 = 0x8000_0000;

// Whom waitid(2) waits for.

/// Any child.
pub const P_ALL: i32 = 0;
/// A process.
pub const P_PID: i32 = 1;
/// A process group.
pub const P_PGID: i32 = 2;
/// A process descriptor.
pub const P_PIDFD: i32 = 3;

// Flags of pidfd_open(2).

/// Waiting on it does not wait.
pub const PIDFD_NONBLOCK: u32 = 0x800;
/// A thread.
pub const PIDFD_THREAD: u32 = 0x80;
