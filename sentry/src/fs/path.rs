//! A place in the file tree: a dentry as seen through a mount.

use std::sync::Arc;

use super::{dentry::Dentry, inode::Inode, mount::Mount};

/// A place in the file tree (`struct path`).
#[derive(Clone)]
pub struct Path {
    /// Through which mount.
    pub mount: Arc<Mount>,
    /// Which name.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// The inode at this place.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// Whether both are the same place.
    pub fn same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}
