//! Where inotify hangs on inodes.

/// The inotify watches on one inode.
#[derive(Default)]
pub struct WatchSet {}
