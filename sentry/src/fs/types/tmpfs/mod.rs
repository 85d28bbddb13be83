//! tmpfs: files in memory (tmpfs(5)).
//!
//! * `inode.rs`: [`TmpInode`], every kind of file.
//! * `directory.rs`: entries with stable positions.
//! * `content.rs`: the bytes of regular files; `file.rs`: reading and writing them.
//! * `layer.rs`: what overlays need.
//! * `budget.rs`: what it all may take.
//!
//! Names, inodes, bytes and extended attributes are all charged to the filesystem's limits, so a guest cannot make the
//! sentry hold more than its mount allows.

mod blocks;
mod budget;
mod content;
mod directory;
mod file;
mod inode;
mod layer;
mod xattr;

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use linux_abi::{PAGE_SIZE, Result};
use parking_lot::Mutex;

use self::budget::Budget;
pub use self::{budget::FileMemory, file::TmpFile, inode::TmpInode};
use super::super::inode::{FileSystem, FileType, Inode, NewNode, StatFs};

/// `TMPFS_MAGIC`.
const MAGIC: u64 = 0x0102_1994;

/// Mount options.
#[derive(Clone, Copy, Debug)]
pub struct TmpOptions {
    /// Most bytes.
    pub size: u64,
    /// Most inodes and names.
    pub inodes: u64,
    /// Of the root directory.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl TmpOptions {
    /// At most `size` bytes; otherwise as tmpfs(5) has it by default.
    pub fn with_size(size: u64) -> TmpOptions {
        TmpOptions { size, inodes: (size / PAGE_SIZE).max(1024), mode: 0o1777, uid: 0, gid: 0 }
    }
}

/// A tmpfs.
pub struct TmpFs {
    dev: u64,
    budget: Budget,
    next_ino: AtomicU64,
    options: Mutex<TmpOptions>,
    root: Mutex<Root>,
    this: Weak<TmpFs>,
}

/// The root belongs to whoever asks for it first (its mount): inodes hold their filesystem, so it cannot hold them.
enum Root {
    Fresh(Arc<TmpInode>),
    Taken(Weak<TmpInode>),
}

impl TmpFs {
    /// An empty filesystem with the device number `dev`.
    pub fn new(dev: u64, options: &TmpOptions) -> Arc<TmpFs> {
        let fs = Arc::new_cyclic(|this| TmpFs {
            dev,
            budget: Budget::new(options.size, options.inodes),
            next_ino: AtomicU64::new(1),
            options: Mutex::new(*options),
            root: Mutex::new(Root::Taken(Weak::new())),
            this: Weak::clone(this),
        });
        *fs.root.lock() = Root::Fresh(fs.make_root());
        fs
    }

    /// Counts what it holds towards `total` too. To be called while it is empty.
    #[must_use]
    pub fn sharing(self: Arc<Self>, total: &Arc<FileMemory>) -> Arc<TmpFs> {
        self.budget.share(total);
        self
    }

    fn make_root(self: &Arc<Self>) -> Arc<TmpInode> {
        let options = *self.options.lock();
        let node = NewNode {
            kind: FileType::Directory,
            perm: options.mode & 0o7777,
            uid: options.uid,
            gid: options.gid,
            rdev: 0,
            target: b"",
        };
        let root = TmpInode::build(self, &node);
        root.set_links(2);
        root
    }

    /// The root directory as what it is.
    pub fn root_inode(&self) -> Arc<TmpInode> {
        let mut root = self.root.lock();
        let found = match &*root {
            Root::Fresh(inode) => Some(Arc::clone(inode)),
            Root::Taken(inode) => inode.upgrade(),
        };
        // A filesystem whose tree is gone is gone; whoever still asks sees an empty one.
        let inode = found.or_else(|| self.this.upgrade().map(|fs| fs.make_root()));
        let inode = inode.unwrap_or_else(|| TmpFs::new(self.dev, &self.options.lock()).make_root());
        *root = Root::Taken(Arc::downgrade(&inode));
        inode
    }

    /// A regular file that is in no directory. `sealable`: memfd_create(2) with `MFD_ALLOW_SEALING`.
    ///
    /// # Errors
    /// `ENOSPC`, the host's.
    pub fn unnamed_file(self: &Arc<Self>, node: &NewNode<'_>, sealable: bool) -> Result<Arc<TmpInode>> {
        self.budget.take_inode()?;
        let inode = TmpInode::build(self, node);
        inode.hold_charge();
        if sealable {
            inode.make_sealable()?;
        }
        Ok(inode)
    }

    /// Takes memory for a name that somebody else keeps.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(in crate::fs::types) fn charge_name(&self) -> Result<()> {
        self.budget.take_inode()
    }

    /// Gives the memory for a name back.
    pub(in crate::fs::types) fn release_name(&self) {
        self.budget.give_inode();
    }

    /// Changes the size limit (`MS_REMOUNT` with `size=`).
    ///
    /// # Errors
    /// `EINVAL` if more is in use.
    pub fn set_size(&self, size: u64) -> Result<()> {
        self.budget.set_byte_limit(size)?;
        self.options.lock().size = size;
        Ok(())
    }

    fn new_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }
}

impl FileSystem for TmpFs {
    fn name(&self) -> &'static str {
        "tmpfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root_inode()
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn statfs(&self) -> Result<StatFs> {
        let ((bytes, used), (inodes, used_inodes)) = (self.budget.bytes(), self.budget.inodes());
        let free = bytes.saturating_sub(used) / PAGE_SIZE;
        Ok(StatFs {
            magic: MAGIC,
            block_size: PAGE_SIZE,
            blocks: bytes / PAGE_SIZE,
            blocks_free: free,
            blocks_available: free,
            files: inodes,
            files_free: inodes.saturating_sub(used_inodes),
            name_max: 255,
        })
    }

    fn options(&self) -> String {
        let options = self.options.lock();
        let mut text = format!("size={}k", options.size / 1024);
        if options.mode != 0o1777 {
            text.push_str(&format!(",mode={:o}", options.mode));
        }
        text
    }
}

#[cfg(test)]
mod tests;
