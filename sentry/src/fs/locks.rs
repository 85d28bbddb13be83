//! File locks: flock(2), fcntl(2) POSIX and OFD locks.

/// The locks on one inode.
#[derive(Default)]
pub struct LockState {}
