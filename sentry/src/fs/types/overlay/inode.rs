//! The inodes of an overlay: attributes, links, extended attributes.

use std::sync::{Arc, Weak};

use linux_abi::{Errno, Result};
use parking_lot::{Mutex, RwLock};

use super::{
    Lower, OverlayFs,
    directory::{Change, Changes},
    file::OverlayFile,
};
use crate::{
    fs::{
        directory::DirectoryFile,
        file::FileOps,
        inode::{Attr, DirEntry, FileSystem, FileType, Inode, InodeCommon, NewNode, Ownership, SetAttr},
        types::tmpfs::{TmpFs, TmpInode},
    },
    task::Task,
};

/// A file of an overlay.
pub struct OverlayInode {
    common: InodeCommon,
    this: Weak<OverlayInode>,
    pub(super) fs: Weak<OverlayFs>,
    /// Where its upper inode is made, which outlives the filesystem's tables.
    pub(super) upper_fs: Arc<TmpFs>,
    dev: u64,
    ino: u64,
    kind: FileType,
    lower: Option<Arc<dyn Lower>>,
    pub(super) upper: RwLock<Upper>,
    /// Held while bytes are copied up.
    pub(super) copying: Mutex<()>,
    pub(super) changes: RwLock<Changes>,
}

/// What has been changed about a file.
#[derive(Default)]
pub(super) struct Upper {
    /// Attributes and extended attributes, and the bytes if `has_data`.
    pub(super) inode: Option<Arc<TmpInode>>,
    pub(super) has_data: bool,
    /// What names removed while there was no upper inode took from the number of links.
    pub(super) lost_links: u32,
}

impl OverlayInode {
    /// An inode that is what `lower` is.
    pub(super) fn over(fs: &Arc<OverlayFs>, lower: Arc<dyn Lower>) -> Arc<OverlayInode> {
        let (kind, ino) = (lower.kind(), lower.attr().map_or_else(|_| fs.new_ino(), |attr| attr.ino));
        OverlayInode::build(fs, kind, ino, Some(lower), Upper::default())
    }

    /// A new file.
    pub(super) fn made(fs: &Arc<OverlayFs>, upper: Arc<TmpInode>) -> Arc<OverlayInode> {
        let (kind, ino) = (upper.kind(), fs.new_ino());
        OverlayInode::build(fs, kind, ino, None, Upper { inode: Some(upper), has_data: true, lost_links: 0 })
    }

    fn build(
        fs: &Arc<OverlayFs>,
        kind: FileType,
        ino: u64,
        lower: Option<Arc<dyn Lower>>,
        upper: Upper,
    ) -> Arc<OverlayInode> {
        Arc::new_cyclic(|this| OverlayInode {
            common: InodeCommon::default(),
            this: Weak::clone(this),
            fs: Arc::downgrade(fs),
            upper_fs: Arc::clone(&fs.upper),
            dev: fs.dev,
            ino,
            kind,
            lower,
            upper: RwLock::new(upper),
            copying: Mutex::default(),
            changes: RwLock::default(),
        })
    }

    pub(super) fn lower(&self) -> Option<&Arc<dyn Lower>> {
        self.lower.as_ref()
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    /// The filesystem; it is gone only when nothing can reach it any more.
    pub(super) fn overlay(&self) -> Result<Arc<OverlayFs>> {
        self.fs.upgrade().ok_or(Errno::EIO)
    }

    /// The upper inode, if its bytes are the file's.
    pub(super) fn upper_data(&self) -> Option<Arc<TmpInode>> {
        let upper = self.upper.read();
        upper.inode.clone().filter(|_| upper.has_data)
    }

    /// Adds `by` to the number of links.
    pub(super) fn add_links(&self, by: i32) -> Result<()> {
        self.copy_up_attributes()?.add_links(by);
        Ok(())
    }

    /// A name of this file was removed.
    pub(super) fn lost_name(&self) {
        let mut upper = self.upper.write();
        let left = match &upper.inode {
            Some(inode) => {
                inode.add_links(-1);
                inode.attr().map_or(0, |attr| attr.nlink)
            }
            None => {
                upper.lost_links = upper.lost_links.saturating_add(1);
                let links =
                    self.lower.as_ref().and_then(|lower| lower.attr().ok()).map_or(0, |attr| attr.nlink);
                links.saturating_sub(upper.lost_links)
            }
        };
        drop(upper);
        if let Ok(fs) = self.overlay() {
            if left == 0 {
                fs.unpin(self);
            } else {
                self.pin();
            }
        }
    }

    /// Differs from the lower inode from now on.
    pub(super) fn pin(&self) {
        if let (Ok(fs), Some(this)) = (self.overlay(), self.this.upgrade()) {
            fs.pin(&this);
        }
    }

    /// This directory was removed.
    pub(super) fn removed(&self) {
        let upper = self.upper.read();
        if let Some(inode) = &upper.inode {
            inode.set_links(0);
        }
        drop(upper);
        if let Ok(fs) = self.overlay() {
            fs.unpin(self);
        }
    }
}

impl Inode for OverlayInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        self.kind
    }

    fn attr(&self) -> Result<Attr> {
        let upper = self.upper.read();
        let mut attr = match (&upper.inode, &self.lower) {
            (Some(inode), _) if upper.has_data || self.kind != FileType::Regular => inode.attr()?,
            (Some(inode), Some(lower)) => {
                let below = lower.attr()?;
                Attr { size: below.size, blocks: below.blocks, ..inode.attr()? }
            }
            (None, Some(lower)) => lower.attr()?,
            (Some(inode), None) => inode.attr()?,
            (None, None) => return Err(Errno::EIO),
        };
        attr.nlink = attr.nlink.saturating_sub(upper.lost_links);
        (attr.dev, attr.ino) = (self.dev, self.ino);
        if self.kind == FileType::Directory {
            attr.size = 4096;
        }
        Ok(attr)
    }

    fn ownership(&self) -> Result<Ownership> {
        match (&self.upper.read().inode, &self.lower) {
            (Some(upper), _) => upper.ownership(),
            (None, Some(lower)) => lower.ownership(),
            (None, None) => Err(Errno::EIO),
        }
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        let upper = match change.size {
            Some(size) => self.copy_up_data(size)?,
            None => self.copy_up_attributes()?,
        };
        upper.set_attr(change)
    }

    /// As Linux's overlay (`ovl_update_time()`, fs/overlayfs/inode.c): reading copies nothing up.
    fn keeps_access_time(&self) -> bool {
        self.upper.read().inode.is_some()
    }

    fn open(self: Arc<Self>, _task: &Task, flags: u32) -> Result<Box<dyn FileOps>> {
        match self.kind {
            FileType::Regular => Ok(Box::new(OverlayFile::open(self, flags)?)),
            FileType::Directory => Ok(Box::new(DirectoryFile::new(self))),
            _ => Err(Errno::ENXIO),
        }
    }

    fn is_absent(&self, name: &[u8]) -> bool {
        match self.changes.read().get(name) {
            Some(Change::Gone) => true,
            Some(Change::Here { .. }) => false,
            None => self.lower.as_ref().is_none_or(|lower| lower.is_absent(name)),
        }
    }

    fn lookup(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.find(name)?;
        Ok(found)
    }

    fn lookup_to_open(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.find_to_open(name)?;
        Ok(found)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        let made = self.make(name, node)?;
        Ok(made)
    }

    fn create_unnamed(&self, node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        let fs = self.overlay()?;
        let upper = self.upper_fs.unnamed_file(node, false)?;
        upper.set_links(0);
        Ok(OverlayInode::made(&fs, upper))
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.add_link(name, &overlay(target)?)
    }

    fn unlink(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        self.remove_file(name, &overlay(child)?)
    }

    fn rmdir(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        self.remove_directory(name, &overlay(child)?)
    }

    fn rename(&self, old: &[u8], new_dir: &Arc<dyn Inode>, new: &[u8], flags: u32) -> Result<()> {
        self.move_entry(old, &overlay(new_dir)?, new, flags)
    }

    fn entries(&self, _task: &Task, from: u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        self.list_from(from, emit)
    }

    fn readlink(&self, _task: &Task) -> Result<Vec<u8>> {
        match (&self.lower, &self.upper.read().inode) {
            (Some(lower), _) => lower.target(),
            (None, Some(upper)) => upper.target(),
            (None, None) => Err(Errno::EINVAL),
        }
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        let upper = self.upper.read().inode.clone();
        match (upper, &self.lower) {
            (Some(upper), _) => upper.xattr(name),
            (None, Some(lower)) => lower.xattr(name),
            (None, None) => Err(Errno::EIO),
        }
    }

    fn set_xattr(&self, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result<()> {
        self.copy_up_attributes()?.set_xattr(name, value, flags)
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        let upper = self.upper.read().inode.clone();
        match (upper, &self.lower) {
            (Some(upper), _) => upper.xattr_names(),
            (None, Some(lower)) => lower.xattr_names(),
            (None, None) => Err(Errno::EIO),
        }
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        match self.fs.upgrade() {
            Some(fs) => fs,
            None => Arc::clone(&self.upper_fs) as Arc<dyn FileSystem>,
        }
    }
}

/// An inode of an overlay as what it is.
pub(super) fn overlay(inode: &Arc<dyn Inode>) -> Result<Arc<OverlayInode>> {
    Arc::clone(inode).downcast().ok_or(Errno::EXDEV)
}

impl Drop for OverlayInode {
    /// A loop, not a recursion: a tree may be deeper than a stack.
    fn drop(&mut self) {
        let mut pending = self.leave();
        while let Some(child) = pending.pop() {
            if let Some(mut child) = Arc::into_inner(child) {
                pending.append(&mut child.leave());
            }
        }
    }
}

impl OverlayInode {
    /// Gives everything back; the children that are left are the caller's.
    fn leave(&mut self) -> Vec<Arc<OverlayInode>> {
        let changes = self.changes.get_mut();
        for _ in 0..changes.len() {
            self.upper_fs.release_name();
        }
        let children = changes.take_all();
        if let (Some(fs), Some(lower)) = (self.fs.upgrade(), &self.lower) {
            fs.forget(lower);
        }
        children
    }
}

/// What a changed name means, as a lookup's answer.
pub(super) fn answer(change: &Change) -> Result<Arc<OverlayInode>> {
    match change {
        Change::Here { inode, .. } => Ok(Arc::clone(inode)),
        Change::Gone => Err(Errno::ENOENT),
    }
}
