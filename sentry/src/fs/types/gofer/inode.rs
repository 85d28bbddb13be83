//! The inodes of files of the host.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, OnceLock, Weak},
};

use gofer_proto::{
    Attr as ProtoAttr, LinkTarget, Name, NodeId, OpenFlags, Opened, RenameFlags, Unlink, WalkEnd, Walked,
    XattrFlags, XattrName, message::Rename,
};
use linux_abi::{
    Errno, Result,
    fcntl::{O_ACCMODE, O_RDONLY, RENAME_EXCHANGE, RENAME_WHITEOUT},
};
use parking_lot::Mutex;

use super::{
    FileKey, GoferFs, convert,
    file::GoferFile,
    listing::{Entry, Listing},
};
use crate::{
    fs::{
        directory::DirectoryFile,
        file::FileOps,
        inode::{Attr, DirEntry, FileSystem, FileType, Inode, InodeCommon, NewNode, SetAttr},
    },
    task::Task,
};

/// The most names a directory remembers as not being there.
const MAX_ABSENT: usize = 4096;

/// A file of the host.
pub struct GoferInode {
    common: InodeCommon,
    fs: Arc<GoferFs>,
    node: NodeId,
    key: FileKey,
    ino: u64,
    kind: FileType,
    attr: Mutex<ProtoAttr>,
    /// A symbolic link's target never changes.
    target: OnceLock<Box<[u8]>>,
    names: Mutex<Names>,
    reader: Mutex<Weak<OwnedFd>>,
    writer: Mutex<Weak<OwnedFd>>,
}

/// What is known of a directory's entries.
#[derive(Default)]
struct Names {
    /// Found, or (exclusive mounts only) known not to be there.
    known: HashMap<Box<[u8]>, Option<Weak<GoferInode>>>,
    listing: Option<Arc<Listing>>,
}

impl GoferInode {
    pub(super) fn new(fs: Arc<GoferFs>, walked: &Walked, key: FileKey, ino: u64) -> Arc<GoferInode> {
        Arc::new(GoferInode {
            common: InodeCommon::default(),
            fs,
            node: walked.node,
            key,
            ino,
            kind: convert::kind(walked.attr.kind()),
            attr: Mutex::new(walked.attr),
            target: OnceLock::new(),
            names: Mutex::default(),
            reader: Mutex::default(),
            writer: Mutex::default(),
        })
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    pub(super) fn fs(&self) -> &GoferFs {
        &self.fs
    }

    /// Whether `attr` can be this file's: inode numbers are used again.
    pub(super) fn matches(&self, attr: &ProtoAttr) -> bool {
        let known = self.attr.lock();
        convert::kind(attr.kind()) == self.kind && known.btime == attr.btime
    }

    pub(super) fn refresh(&self, attr: &ProtoAttr) {
        *self.attr.lock() = *attr;
    }

    /// Notes a write that ended at `end`.
    pub(super) fn grew(&self, end: u64) {
        let now = crate::fs::inode::FileTime::now();
        let now = gofer_proto::Timestamp { sec: now.sec, nsec: now.nsec };
        let mut attr = self.attr.lock();
        attr.size = attr.size.max(end);
        (attr.mtime, attr.ctime) = (now, now);
    }

    fn exclusive(&self) -> bool {
        self.fs.options.exclusive
    }

    /// A host descriptor for reading a regular file.
    ///
    /// # Errors
    /// The gofer's.
    pub fn host_file(&self) -> Result<Arc<OwnedFd>> {
        self.descriptor(&self.reader, OpenFlags::empty())
    }

    /// A host descriptor for writing (and, if the host lets us, reading) a regular file.
    pub(super) fn writable_file(&self) -> Result<Arc<OwnedFd>> {
        match self.descriptor(&self.writer, OpenFlags::RDWR) {
            Err(Errno::EACCES) => self.descriptor(&self.writer, OpenFlags::WRONLY),
            other => other,
        }
    }

    fn descriptor(&self, slot: &Mutex<Weak<OwnedFd>>, flags: OpenFlags) -> Result<Arc<OwnedFd>> {
        let mut slot = slot.lock();
        if let Some(open) = slot.upgrade() {
            return Ok(open);
        }
        let Opened::File(descriptor) = self.fs.client.open(self.node, flags)? else {
            return Err(Errno::EISDIR);
        };
        let descriptor = Arc::new(descriptor);
        *slot = Arc::downgrade(&descriptor);
        self.fs.keep(&descriptor);
        Ok(descriptor)
    }

    /// The entry `name`.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, the gofer's.
    pub fn find(&self, name: &[u8]) -> Result<Arc<GoferInode>> {
        if self.kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        if self.exclusive()
            && let Some(answer) = self.remembered(name)
        {
            return answer;
        }
        let name = Name::new(name)?;
        let walk = self.fs.client.walk(self.node, &[name])?;
        let found = match (walk.found.first(), walk.end) {
            (Some(walked), _) => Ok(*walked),
            (None, WalkEnd::Failed(errno)) => Err(errno),
            (None, _) => Err(Errno::ENOENT),
        };
        match found {
            Ok(walked) => {
                let inode = self.fs.intern(&walked)?;
                if let Some(target) = walk.link {
                    let _ = inode.target.set(target);
                }
                self.remember(name.as_bytes(), Some(&inode));
                Ok(inode)
            }
            Err(errno) => {
                if errno == Errno::ENOENT {
                    self.remember(name.as_bytes(), None);
                }
                Err(errno)
            }
        }
    }

    /// What is known of `name` without asking.
    fn remembered(&self, name: &[u8]) -> Option<Result<Arc<GoferInode>>> {
        let names = self.names.lock();
        match names.known.get(name)? {
            None => Some(Err(Errno::ENOENT)),
            Some(inode) => inode.upgrade().map(Ok),
        }
    }

    fn remember(&self, name: &[u8], inode: Option<&Arc<GoferInode>>) {
        if !self.exclusive() {
            return;
        }
        let mut names = self.names.lock();
        if names.known.len() >= MAX_ABSENT {
            names.known.retain(|_, known| known.as_ref().is_some_and(|inode| inode.strong_count() > 0));
            if names.known.len() >= MAX_ABSENT {
                names.known.clear();
            }
        }
        names.known.insert(name.into(), inode.map(Arc::downgrade));
    }

    /// This sandbox changed the entry `name`.
    fn forget(&self, name: &[u8]) {
        self.names.lock().known.remove(name);
        self.invalidate();
    }

    /// The attributes changed in a way that only the host knows exactly.
    fn invalidate(&self) {
        if let Ok(attr) = self.fs.client.getattr(self.node) {
            self.refresh(&attr);
        }
    }

    fn listing(&self, fresh: bool) -> Result<Arc<Listing>> {
        if self.kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let kept = self.names.lock().listing.clone();
        if let Some(listing) = kept.filter(|_| !fresh) {
            return Ok(listing);
        }
        let listing = Listing::take(&self.fs.client, self.node)?;
        self.names.lock().listing = Some(Arc::clone(&listing));
        Ok(listing)
    }

    /// A listing that may be kept for as long as nobody changes the directory.
    fn whole_listing(&self) -> Result<Arc<Listing>> {
        self.listing(!(self.exclusive() && self.fs.options.read_only))
    }

    /// Lists all entries: name, inode number, kind.
    ///
    /// # Errors
    /// `ENOTDIR`, the gofer's.
    pub fn list(&self, emit: &mut dyn FnMut(&[u8], u64, FileType) -> bool) -> Result<()> {
        let listing = self.whole_listing()?;
        for Entry { name, ino, kind, .. } in listing.iter() {
            if !emit(name, *ino, *kind) {
                break;
            }
        }
        Ok(())
    }

    /// A symbolic link's target.
    ///
    /// # Errors
    /// `EINVAL`, the gofer's.
    pub fn target(&self) -> Result<Vec<u8>> {
        if self.kind != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = self.target.get() {
            return Ok(target.to_vec());
        }
        let target = self.fs.client.readlink(self.node)?;
        Ok(self.target.get_or_init(|| target).to_vec())
    }

    fn made(&self, name: &[u8], walked: &Walked) -> Result<Arc<dyn Inode>> {
        let inode = self.fs.intern(walked)?;
        self.remember(name, Some(&inode));
        self.invalidate();
        Ok(inode)
    }
}

impl Drop for GoferInode {
    fn drop(&mut self) {
        self.fs.forget(self.key, self.node);
    }
}

fn gofer(inode: &Arc<dyn Inode>) -> Result<Arc<GoferInode>> {
    Arc::clone(inode).downcast().ok_or(Errno::EXDEV)
}

impl Inode for GoferInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        self.kind
    }

    fn attr(&self) -> Result<Attr> {
        if !self.exclusive() {
            self.refresh(&self.fs.client.getattr(self.node)?);
        }
        Ok(convert::attr(&self.attr.lock(), self.fs.dev, self.ino))
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        let attr = self.fs.client.setattr(self.node, &convert::change(change))?;
        self.refresh(&attr);
        Ok(())
    }

    fn open(self: Arc<Self>, _task: &Task, flags: u32) -> Result<Box<dyn FileOps>> {
        match self.kind {
            FileType::Regular => {
                let descriptor =
                    if flags & O_ACCMODE == O_RDONLY { self.host_file()? } else { self.writable_file()? };
                Ok(Box::new(GoferFile::new(self, descriptor)))
            }
            FileType::Directory => Ok(Box::new(DirectoryFile::new(self))),
            _ => Err(Errno::ENXIO),
        }
    }

    fn revalidate(&self, name: &[u8], child: &Arc<dyn Inode>) -> bool {
        if self.exclusive() {
            return true;
        }
        let Some(child) = child.downcast_ref::<GoferInode>() else { return false };
        let Ok(name) = Name::new(name) else { return false };
        let Ok(stats) = self.fs.client.stat(self.node, &[name]) else { return false };
        let Some(attr) = stats.found.first() else { return false };
        let same = (attr.dev.major, attr.dev.minor, attr.ino) == child.key && child.matches(attr);
        if same {
            child.refresh(attr);
        }
        same
    }

    fn lookup(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.find(name)?;
        Ok(found)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        let client = &self.fs.client;
        let entry = Name::new(name)?;
        let new = convert::new_file(node);
        let walked = match node.kind {
            FileType::Regular => {
                let (walked, descriptor) = client.create(self.node, entry, OpenFlags::RDWR, new)?;
                let inode = self.fs.intern(&walked)?;
                let descriptor = Arc::new(descriptor);
                *inode.writer.lock() = Arc::downgrade(&descriptor);
                self.fs.keep(&descriptor);
                self.remember(name, Some(&inode));
                self.invalidate();
                return Ok(inode);
            }
            FileType::Directory => client.mkdir(self.node, entry, new)?,
            FileType::Symlink => {
                client.symlink(self.node, entry, LinkTarget::new(node.target)?, new.owner)?
            }
            kind => client.mknod(self.node, entry, convert::file_kind(kind), new)?,
        };
        self.made(name, &walked)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let target = gofer(target)?;
        let walked = self.fs.client.link(target.node, self.node, Name::new(name)?)?;
        self.made(name, &walked).map(drop)
    }

    fn unlink(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        self.fs.client.unlink(self.node, Name::new(name)?, Unlink::File)?;
        self.forget(name);
        if let Some(child) = child.downcast_ref::<GoferInode>() {
            let mut attr = child.attr.lock();
            attr.nlink = attr.nlink.saturating_sub(1);
        }
        Ok(())
    }

    fn rmdir(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        self.fs.client.unlink(self.node, Name::new(name)?, Unlink::Directory)?;
        self.forget(name);
        if let Some(child) = child.downcast_ref::<GoferInode>() {
            child.attr.lock().nlink = 0;
        }
        Ok(())
    }

    fn rename(&self, old: &[u8], new_dir: &Arc<dyn Inode>, new: &[u8], flags: u32) -> Result<()> {
        if flags & RENAME_WHITEOUT != 0 {
            return Err(Errno::EINVAL);
        }
        let new_dir = gofer(new_dir)?;
        let moved = self.find(old)?;
        let replaced = new_dir.find(new).ok();
        let exchanged = replaced.as_ref().filter(|_| flags & RENAME_EXCHANGE != 0);
        self.fs.client.rename(&Rename {
            from_dir: self.node,
            from_name: Name::new(old)?,
            to_dir: new_dir.node,
            to_name: Name::new(new)?,
            flags: RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?,
            moved: Some(moved.node),
            exchanged: exchanged.map(|inode| inode.node),
        })?;
        self.forget(old);
        new_dir.forget(new);
        if let Some(replaced) = &replaced {
            replaced.invalidate();
        }
        Ok(())
    }

    fn entries(&self, _task: &Task, from: u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        let listing = if from == 0 { self.whole_listing()? } else { self.listing(false)? };
        for (next, Entry { name, ino, kind, .. }) in listing.after(from) {
            if !emit(DirEntry { name, ino: *ino, kind: *kind, next }) {
                break;
            }
        }
        Ok(())
    }

    fn readlink(&self, _task: &Task) -> Result<Vec<u8>> {
        self.target()
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.fs.client.getxattr(self.node, XattrName::new(name)?)
    }

    fn set_xattr(&self, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result<()> {
        let name = XattrName::new(name)?;
        match value {
            Some(value) => {
                let flags = XattrFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
                self.fs.client.setxattr(self.node, name, value, flags)
            }
            None => self.fs.client.removexattr(self.node, name),
        }
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        let names = self.fs.client.listxattr(self.node)?;
        Ok(names.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        Arc::clone(&self.fs) as Arc<dyn FileSystem>
    }
}
