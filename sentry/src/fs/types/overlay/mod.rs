//! A writable view of a read-only tree: changes stay in memory, the tree below is never touched.
//!
//! There is no second tree of directories. An [`OverlayInode`] stands for a file; it has up to two sources:
//! * `lower`, what the read-only tree says ([`Lower`]: the gofer's files, or a tmpfs in tests), and
//! * `upper`, a nameless tmpfs inode with attributes, extended attributes and, once written to, the bytes.
//!
//! A directory keeps only how its entries differ from the lower directory's (`directory.rs`): names that were added, replaced
//! or removed. So renaming a directory of a million files moves one entry, and a chmod of a big file copies no bytes.
//!
//! Whatever has been changed is *pinned*: kept as long as the filesystem, and found again through its lower inode. So
//! hard links in the lower tree stay links, and inode numbers stay the same when a file is changed.
//!
//! * `inode.rs`: inodes and what is done to them; `copy_up.rs`: from lower to upper.
//! * `directory.rs`: changed entries; `entries.rs`: what is done to them.
//! * `file.rs`: open files. `lower.rs`: what a lower tree must be able to do.

mod copy_up;
mod directory;
mod entries;
mod file;
mod inode;
mod lower;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use linux_abi::{Errno, PAGE_SIZE, Result};
use parking_lot::Mutex;

pub use self::{inode::OverlayInode, lower::Lower};
use super::tmpfs::TmpFs;
use crate::fs::inode::{FileSystem, Inode, StatFs};

/// `OVERLAYFS_SUPER_MAGIC`.
const MAGIC: u64 = 0x794c_7630;
/// Where the inode numbers of new files begin: above those of the host's usual filesystems.
const FIRST_INO: u64 = 1 << 48;

/// An overlay.
pub struct OverlayFs {
    dev: u64,
    /// Where the upper inodes are made: it bounds what the changes may take.
    upper: Arc<TmpFs>,
    table: Mutex<Table>,
    next_ino: AtomicU64,
    root: Mutex<Root>,
}

/// The inodes over lower inodes, by the address of the lower one (which they keep alive).
#[derive(Default)]
struct Table {
    known: HashMap<usize, Weak<OverlayInode>>,
    /// Those that differ from the lower one.
    pinned: HashMap<usize, Arc<OverlayInode>>,
}

/// The root belongs to whoever asks for it first, its mount; the other way round there would be a circle.
enum Root {
    Fresh(Arc<OverlayInode>),
    Taken(Weak<OverlayInode>),
}

fn address(lower: &Arc<dyn Lower>) -> usize {
    Arc::as_ptr(lower).cast::<()>().addr()
}

impl OverlayFs {
    /// A writable view of the tree below `lower`, with the device number `dev`; `upper` is an empty tmpfs, which holds the
    /// changes and says how many there may be.
    pub fn new(dev: u64, lower: Arc<dyn Lower>, upper: Arc<TmpFs>) -> Arc<OverlayFs> {
        let fs = Arc::new(OverlayFs {
            dev,
            upper,
            table: Mutex::default(),
            next_ino: AtomicU64::new(FIRST_INO),
            root: Mutex::new(Root::Taken(Weak::new())),
        });
        let root = fs.wrap(lower);
        *fs.root.lock() = Root::Fresh(root);
        fs
    }

    /// The inode over `lower`: the one there is, or a new one.
    fn wrap(self: &Arc<Self>, lower: Arc<dyn Lower>) -> Arc<OverlayInode> {
        let key = address(&lower);
        let mut table = self.table.lock();
        if let Some(pinned) = table.pinned.get(&key) {
            return Arc::clone(pinned);
        }
        if let Some(known) = table.known.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let inode = OverlayInode::over(self, lower);
        table.known.insert(key, Arc::downgrade(&inode));
        inode
    }

    /// Keeps `inode`, which now differs from what is below it.
    fn pin(&self, inode: &Arc<OverlayInode>) {
        if let Some(lower) = inode.lower() {
            self.table.lock().pinned.insert(address(lower), Arc::clone(inode));
        }
    }

    /// Lets go of `inode`, which has lost its last name.
    fn unpin(&self, inode: &OverlayInode) {
        if let Some(lower) = inode.lower() {
            let released = self.table.lock().pinned.remove(&address(lower));
            // Its drop takes the lock.
            drop(released);
        }
    }

    /// `lower` no longer has an inode over it.
    fn forget(&self, lower: &Arc<dyn Lower>) {
        let mut table = self.table.lock();
        let key = address(lower);
        if table.known.get(&key).is_some_and(|known| known.strong_count() == 0) {
            table.known.remove(&key);
        }
    }

    fn new_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    fn root_inode(&self) -> Result<Arc<OverlayInode>> {
        let mut root = self.root.lock();
        let inode = match &*root {
            Root::Fresh(inode) => Some(Arc::clone(inode)),
            Root::Taken(inode) => inode.upgrade(),
        };
        let inode = inode.ok_or(Errno::EIO)?;
        *root = Root::Taken(Arc::downgrade(&inode));
        Ok(inode)
    }
}

impl FileSystem for OverlayFs {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn root(&self) -> Arc<dyn Inode> {
        match self.root_inode() {
            Ok(inode) => inode,
            // The tree is gone, and with it everything that was in it.
            Err(_) => self.upper.root(),
        }
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: PAGE_SIZE, ..self.upper.statfs()? })
    }
}

impl Drop for OverlayFs {
    /// Pinned directories hold what was made in them: they are let go one by one.
    fn drop(&mut self) {
        let pinned = std::mem::take(&mut self.table.get_mut().pinned);
        drop(pinned);
    }
}
