//! The inodes of a tmpfs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use linux_abi::{
    Errno, PAGE_SIZE, Result,
    fcntl::{F_SEAL_EXEC, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT},
};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::{TmpFs, budget::Budget, content::Content, directory::Entries, file::TmpFile, xattr::Xattrs};
use crate::{
    fs::{
        directory::DirectoryFile,
        file::FileOps,
        inode::{
            Attr, DirEntry, FileSystem, FileTime, FileType, Inode, InodeCommon, NewNode, Ownership, SetAttr,
        },
    },
    task::Task,
};

/// What a directory entry adds to a directory's size (`BOGO_DIRENT_SIZE`).
const ENTRY_SIZE: u64 = 20;
/// Entries taken out of a directory at a time while listing.
const LIST_STEP: usize = 64;

/// A file of a tmpfs.
pub struct TmpInode {
    common: InodeCommon,
    pub(super) fs: Arc<TmpFs>,
    pub(super) ino: u64,
    pub(super) kind: FileType,
    rdev: u64,
    pub(super) meta: RwLock<Meta>,
    pub(super) body: Body,
    xattrs: Mutex<Xattrs>,
    /// Its place in the budget has to be given back.
    charged: AtomicBool,
}

pub(super) struct Meta {
    perm: u32,
    uid: u32,
    gid: u32,
    pub(super) nlink: u32,
    pub(super) atime: FileTime,
    pub(super) mtime: FileTime,
    pub(super) ctime: FileTime,
    pub(super) btime: FileTime,
}

pub(super) enum Body {
    Regular(RwLock<Content>),
    Directory(RwLock<Entries>),
    Symlink(Box<[u8]>),
    Special,
}

impl TmpInode {
    /// An inode with one link that is in no directory; its place in the budget was taken.
    pub(super) fn build(fs: &Arc<TmpFs>, node: &NewNode<'_>) -> Arc<TmpInode> {
        let now = FileTime::now();
        Arc::new(TmpInode {
            common: InodeCommon::default(),
            fs: Arc::clone(fs),
            ino: fs.new_ino(),
            kind: node.kind,
            rdev: node.rdev,
            meta: RwLock::new(Meta {
                perm: node.perm & 0o7777,
                uid: node.uid,
                gid: node.gid,
                nlink: 1,
                atime: now,
                mtime: now,
                ctime: now,
                btime: now,
            }),
            body: match node.kind {
                FileType::Regular => Body::Regular(RwLock::new(Content::new())),
                FileType::Directory => Body::Directory(RwLock::default()),
                FileType::Symlink => Body::Symlink(node.target.into()),
                _ => Body::Special,
            },
            xattrs: Mutex::default(),
            charged: AtomicBool::new(false),
        })
    }

    pub(super) fn hold_charge(&self) {
        self.charged.store(true, Ordering::Relaxed);
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.fs.budget
    }

    pub(super) fn write_lock(&self) -> MutexGuard<'_, ()> {
        self.common.write_lock.lock()
    }

    /// The filesystem it is on.
    pub fn tmpfs(&self) -> Arc<TmpFs> {
        Arc::clone(&self.fs)
    }

    /// It has no name (memfd_create(2)).
    pub fn forget_links(&self) {
        self.set_links(0);
    }

    /// The bytes of a regular file.
    pub(super) fn content(&self) -> Result<&RwLock<Content>> {
        match &self.body {
            Body::Regular(content) => Ok(content),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn directory(&self) -> Result<&RwLock<Entries>> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Updates the times after a write; `perm` may take permission bits away.
    pub(super) fn written(&self, perm: impl FnOnce(&Attr) -> Option<u32>) {
        let mut meta = self.meta.write();
        let now = FileTime::now();
        (meta.mtime, meta.ctime) = (now, now);
        if meta.perm & 0o6000 != 0 {
            let attr = self.describe(&meta);
            meta.perm = perm(&attr).unwrap_or(meta.perm);
        }
    }

    fn describe(&self, meta: &Meta) -> Attr {
        let (size, blocks) = match &self.body {
            Body::Regular(content) => {
                let content = content.read();
                (content.size(), content.allocated() / 512)
            }
            Body::Directory(entries) => (ENTRY_SIZE * (2 + entries.read().len() as u64), 0),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Special => (0, 0),
        };
        Attr {
            kind: self.kind,
            perm: meta.perm,
            ino: self.ino,
            dev: self.fs.dev,
            rdev: self.rdev,
            nlink: meta.nlink,
            uid: meta.uid,
            gid: meta.gid,
            size,
            blocks,
            blksize: u32::try_from(PAGE_SIZE).unwrap_or(4096),
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: Some(meta.btime),
        }
    }

    pub(super) fn make_sealable(&self) -> Result<()> {
        *self.content()?.write() = Content::sealable()?;
        Ok(())
    }

    /// `F_GET_SEALS`.
    ///
    /// # Errors
    /// `EINVAL` for what is no regular file.
    pub fn seals(&self) -> Result<u32> {
        self.content().map(|content| content.read().seals()).map_err(|_| Errno::EINVAL)
    }

    /// `F_ADD_SEALS`.
    ///
    /// # Errors
    /// `EPERM` if it cannot be sealed (any more), `EBUSY` if it is mapped writable.
    pub fn add_seals(&self, seals: u32) -> Result<()> {
        self.content().map_err(|_| Errno::EINVAL)?.write().add_seals(seals)
    }

    fn new_child(&self, name: &[u8], inode: &Arc<TmpInode>) -> Result<()> {
        let mut entries = self.directory()?.write();
        if entries.dead {
            return Err(Errno::ENOENT);
        }
        if entries.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        entries.insert(name, Arc::clone(inode));
        Ok(())
    }

    /// Takes away one of its names.
    fn lost_name(&self) {
        self.fs.budget.give_inode();
        self.add_links(-1);
    }
}

fn tmp(inode: &Arc<dyn Inode>) -> Result<Arc<TmpInode>> {
    Arc::clone(inode).downcast().ok_or(Errno::EXDEV)
}

impl Inode for TmpInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        self.kind
    }

    fn times(&self) -> Result<[FileTime; 3]> {
        let meta = self.meta.read();
        Ok([meta.atime, meta.mtime, meta.ctime])
    }

    fn attr(&self) -> Result<Attr> {
        Ok(self.describe(&self.meta.read()))
    }

    fn ownership(&self) -> Result<Ownership> {
        let meta = self.meta.read();
        Ok(Ownership { kind: self.kind, perm: meta.perm, uid: meta.uid, gid: meta.gid })
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        if let Some(perm) = change.perm
            && let Body::Regular(content) = &self.body
            && content.read().seals() & F_SEAL_EXEC != 0
            && (perm ^ self.meta.read().perm) & 0o111 != 0
        {
            return Err(Errno::EPERM);
        }
        if let Some(size) = change.size {
            self.content()?.write().set_size(&self.fs.budget, size)?;
        }
        let mut meta = self.meta.write();
        let now = FileTime::now();
        meta.perm = change.perm.map_or(meta.perm, |perm| perm & 0o7777);
        meta.uid = change.uid.unwrap_or(meta.uid);
        meta.gid = change.gid.unwrap_or(meta.gid);
        if change.size.is_some() {
            meta.mtime = now;
        }
        meta.atime = change.atime.unwrap_or(meta.atime);
        meta.mtime = change.mtime.unwrap_or(meta.mtime);
        if !change.only_atime() {
            meta.ctime = now;
        }
        Ok(())
    }

    fn open(self: Arc<Self>, _task: &Task, _flags: u32) -> Result<Box<dyn FileOps>> {
        match self.kind {
            FileType::Regular => Ok(Box::new(TmpFile::new(self))),
            FileType::Directory => Ok(Box::new(DirectoryFile::new(self))),
            _ => Err(Errno::ENXIO),
        }
    }

    fn is_absent(&self, name: &[u8]) -> bool {
        self.directory().is_ok_and(|entries| entries.read().get(name).is_none())
    }

    fn lookup(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.find(name)?;
        Ok(found)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        // One for the inode and one for its name, given back separately.
        self.fs.budget.take_inode()?;
        if let Err(errno) = self.fs.budget.take_inode() {
            self.fs.budget.give_inode();
            return Err(errno);
        }
        let inode = TmpInode::build(&self.fs, node);
        inode.hold_charge();
        let directory = node.kind == FileType::Directory;
        if directory {
            inode.set_links(2);
        }
        if let Err(errno) = self.new_child(name, &inode) {
            self.fs.budget.give_inode();
            return Err(errno);
        }
        if directory {
            self.add_links(1);
        }
        self.changed();
        Ok(inode)
    }

    fn create_unnamed(&self, node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        self.directory()?;
        let inode = self.fs.unnamed_file(node, false)?;
        inode.set_links(0);
        Ok(inode)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let target = tmp(target)?;
        if target.kind == FileType::Directory {
            return Err(Errno::EPERM);
        }
        let nlink = target.meta.read().nlink;
        if nlink == 0 && !target.common.linkable.swap(false, Ordering::Relaxed) {
            return Err(Errno::ENOENT);
        }
        if nlink == u32::MAX {
            return Err(Errno::EMLINK);
        }
        self.fs.budget.take_inode()?;
        if let Err(errno) = self.new_child(name, &target) {
            self.fs.budget.give_inode();
            return Err(errno);
        }
        target.add_links(1);
        self.changed();
        Ok(())
    }

    fn unlink(&self, name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        let removed = {
            let mut entries = self.directory()?.write();
            if entries.get(name).ok_or(Errno::ENOENT)?.kind == FileType::Directory {
                return Err(Errno::EISDIR);
            }
            entries.remove(name).ok_or(Errno::ENOENT)?
        };
        removed.lost_name();
        self.changed();
        Ok(())
    }

    fn rmdir(&self, name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        let removed = {
            let mut entries = self.directory()?.write();
            let victim = Arc::clone(entries.get(name).ok_or(Errno::ENOENT)?);
            victim.bury()?;
            entries.remove(name);
            victim
        };
        removed.lost_name();
        removed.set_links(0);
        self.add_links(-1);
        self.changed();
        Ok(())
    }

    fn rename(&self, old: &[u8], new_dir: &Arc<dyn Inode>, new: &[u8], flags: u32) -> Result<()> {
        let new_dir = tmp(new_dir)?;
        let moved = self.directory()?.read().get(old).cloned().ok_or(Errno::ENOENT)?;
        let target = new_dir.directory()?.read().get(new).cloned();
        if flags & RENAME_EXCHANGE != 0 {
            return self.exchange(old, &moved, &new_dir, new, &target.ok_or(Errno::ENOENT)?);
        }
        let is_dir = moved.kind == FileType::Directory;
        if let Some(target) = &target {
            if flags & RENAME_NOREPLACE != 0 {
                return Err(Errno::EEXIST);
            }
            if Arc::ptr_eq(target, &moved) {
                return Ok(());
            }
            match (is_dir, target.kind == FileType::Directory) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) => target.bury()?,
                (false, false) => {}
            }
        } else if new_dir.directory()?.read().dead {
            return Err(Errno::ENOENT);
        }
        let whiteout = if flags & RENAME_WHITEOUT != 0 { Some(self.new_whiteout()?) } else { None };
        {
            let mut entries = new_dir.directory()?.write();
            if entries.replace(new, Arc::clone(&moved)).is_none() {
                entries.insert(new, Arc::clone(&moved));
            }
        }
        {
            let mut entries = self.directory()?.write();
            match whiteout {
                Some(whiteout) => drop(entries.replace(old, whiteout)),
                None => drop(entries.remove(old)),
            }
        }
        if let Some(target) = target {
            target.lost_name();
            if is_dir {
                target.set_links(0);
                new_dir.add_links(-1);
            }
        }
        if is_dir {
            self.add_links(-1);
            new_dir.add_links(1);
        }
        self.changed();
        new_dir.changed();
        moved.meta.write().ctime = FileTime::now();
        Ok(())
    }

    fn entries(&self, _task: &Task, from: u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        let mut from = from;
        loop {
            // Copied out in pieces: `emit` may write to guest memory.
            let batch = self.directory()?.read().after(from, LIST_STEP);
            let Some((last, _)) = batch.last() else { return Ok(()) };
            from = *last;
            for (position, entry) in &batch {
                let inode = &entry.inode;
                if !emit(DirEntry { name: &entry.name, ino: inode.ino, kind: inode.kind, next: *position }) {
                    return Ok(());
                }
            }
        }
    }

    fn readlink(&self, _task: &Task) -> Result<Vec<u8>> {
        self.target()
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.xattrs.lock().get(name)
    }

    fn set_xattr(&self, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result<()> {
        let mut xattrs = self.xattrs.lock();
        match value {
            Some(value) => xattrs.set(&self.fs.budget, name, value, flags)?,
            None => xattrs.remove(&self.fs.budget, name)?,
        }
        self.meta.write().ctime = FileTime::now();
        Ok(())
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        Ok(self.xattrs.lock().names())
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        Arc::clone(&self.fs) as Arc<dyn FileSystem>
    }
}

impl TmpInode {
    /// Marks a directory as removed, if it is one and empty.
    fn bury(&self) -> Result<()> {
        let mut entries = self.directory()?.write();
        if !entries.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        entries.dead = true;
        Ok(())
    }

    /// The character device 0:0 that hides a name of a lower layer.
    fn new_whiteout(&self) -> Result<Arc<TmpInode>> {
        self.fs.budget.take_inode()?;
        if let Err(errno) = self.fs.budget.take_inode() {
            self.fs.budget.give_inode();
            return Err(errno);
        }
        let meta = self.meta.read();
        let node = NewNode {
            kind: FileType::CharDevice,
            perm: 0,
            uid: meta.uid,
            gid: meta.gid,
            rdev: 0,
            target: b"",
        };
        let inode = TmpInode::build(&self.fs, &node);
        inode.hold_charge();
        Ok(inode)
    }

    fn exchange(
        &self,
        old: &[u8],
        moved: &Arc<TmpInode>,
        new_dir: &Arc<TmpInode>,
        new: &[u8],
        target: &Arc<TmpInode>,
    ) -> Result<()> {
        if Arc::ptr_eq(moved, target) {
            return Ok(());
        }
        let _ = new_dir.directory()?.write().replace(new, Arc::clone(moved));
        let _ = self.directory()?.write().replace(old, Arc::clone(target));
        let is_dir = |inode: &TmpInode| i32::from(inode.kind == FileType::Directory);
        let gained = is_dir(moved) - is_dir(target);
        if gained != 0 && !std::ptr::eq(self, Arc::as_ptr(new_dir)) {
            new_dir.add_links(gained);
            self.add_links(-gained);
        }
        self.changed();
        new_dir.changed();
        let now = FileTime::now();
        moved.meta.write().ctime = now;
        target.meta.write().ctime = now;
        Ok(())
    }

    fn take_children(&mut self) -> Vec<Arc<TmpInode>> {
        match &mut self.body {
            Body::Directory(entries) => entries.get_mut().take_all(),
            _ => Vec::new(),
        }
    }
}

impl Drop for TmpInode {
    /// A loop, not a recursion: a tree may be deeper than a stack.
    fn drop(&mut self) {
        if let Body::Regular(content) = &mut self.body {
            content.get_mut().release(&self.fs.budget);
        }
        self.xattrs.get_mut().release(&self.fs.budget);
        if *self.charged.get_mut() {
            self.fs.budget.give_inode();
        }
        let mut pending = self.take_children();
        while let Some(child) = pending.pop() {
            self.fs.budget.give_inode();
            if let Some(mut child) = Arc::into_inner(child) {
                pending.append(&mut child.take_children());
            }
        }
    }
}
