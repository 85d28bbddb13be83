//! The inodes of files of the host.
//!
//! * `names.rs`: a directory's entries; `ahead.rs`: those that are wanted next. `descriptors.rs`: a regular file's descriptors.

mod ahead;
mod descriptors;
mod names;

use std::{
    os::fd::OwnedFd,
    sync::{Arc, OnceLock, Weak},
};

use gofer_proto::{
    Attr as ProtoAttr, LinkTarget, Name, NodeId, OpenFlags, RenameFlags, Unlink, Walked, XattrFlags,
    XattrName, message::Rename,
};
use linux_abi::{
    Errno, Result,
    event::{IN_CREATE, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO},
    fcntl::{O_ACCMODE, O_RDONLY, RENAME_EXCHANGE, RENAME_WHITEOUT, S_ISGID, S_ISUID},
};
use parking_lot::Mutex;

use self::ahead::Ahead;
use super::{
    FileKey, GoferFs,
    changes::Moment,
    convert,
    file::GoferFile,
    listing::{Entry, Listing},
};
use crate::{
    fs::{
        directory::DirectoryFile,
        file::FileOps,
        inode::{Attr, DirEntry, FileSystem, FileType, Inode, InodeCommon, NewNode, Ownership, SetAttr},
        name_hash::NameMap,
    },
    task::Task,
};

/// The most names a directory remembers as not being there.
const MAX_ABSENT: usize = 4096;

/// A file of the host.
pub struct GoferInode {
    common: InodeCommon,
    this: Weak<GoferInode>,
    fs: Arc<GoferFs>,
    node: NodeId,
    key: FileKey,
    ino: u64,
    kind: FileType,
    attr: Mutex<Known>,
    /// A symbolic link's target never changes.
    target: OnceLock<Box<[u8]>>,
    names: Mutex<Names>,
    reader: Mutex<Weak<OwnedFd>>,
    writer: Mutex<Weak<OwnedFd>>,
}

/// What is known of the attributes.
struct Known {
    attr: ProtoAttr,
    /// All of them are true, and those that matter for permissions are. What may change without the sandbox is true only as
    /// long as changes are heard of.
    current: bool,
    access_current: bool,
    /// The number that events of changes carry, if there are any.
    watch: Option<u32>,
}

/// What is known of a directory's entries.
#[derive(Default)]
struct Names {
    /// Found, or known not to be there.
    known: NameMap<Box<[u8]>, Option<Weak<GoferInode>>>,
    listing: Option<Arc<Listing>>,
    /// Nothing has changed since it was taken.
    listing_is_current: bool,
    ahead: Ahead,
    /// Found ahead the last time, and perhaps not asked for yet.
    held: Vec<Arc<GoferInode>>,
}

impl GoferInode {
    pub(super) fn new(fs: Arc<GoferFs>, walked: &Walked, key: FileKey, ino: u64) -> Arc<GoferInode> {
        Arc::new_cyclic(|this| GoferInode {
            this: Weak::clone(this),
            common: InodeCommon::default(),
            fs,
            node: walked.node,
            key,
            ino,
            kind: convert::kind(walked.attr.kind()),
            attr: Mutex::new(Known { attr: walked.attr, current: false, access_current: false, watch: None }),
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
        convert::kind(attr.kind()) == self.kind && known.attr.btime == attr.btime
    }

    /// The gofer said `attr`, which was true at `since`.
    pub(super) fn learn(&self, attr: &ProtoAttr, since: Option<Moment>) {
        self.fs.settle(since, |still| {
            let mut known = self.attr.lock();
            let current = still && (self.exclusive() || known.watch.is_some());
            (known.attr, known.current, known.access_current) = (*attr, current, current);
        });
    }

    /// It is watched.
    pub(super) fn watched(&self, watch: u32) {
        self.attr.lock().watch = Some(watch);
    }

    /// It no longer is under that number.
    pub(super) fn unwatched(&self, watch: u32) {
        let mut known = self.attr.lock();
        if known.watch == Some(watch) {
            (known.watch, known.current, known.access_current) = (None, false, false);
            drop(known);
            self.forget_everything();
        }
    }

    /// Somebody changed the attributes. `contents`: by writing.
    pub(super) fn attributes_changed(&self, contents: bool) {
        let mut known = self.attr.lock();
        known.current = false;
        known.access_current &= contents;
    }

    /// Somebody changed the entry `name`. What it meant has changed, too (a removed directory has no links); it is returned for
    /// the caller to drop.
    pub(super) fn entry_changed(&self, name: &[u8]) -> Option<Arc<GoferInode>> {
        let meant = {
            let mut names = self.names.lock();
            names.listing_is_current = false;
            let meant = names.known.remove(name).flatten().and_then(|meant| meant.upgrade());
            // Nobody is to hold a file that has lost its name.
            if let Some(meant) = &meant {
                names.held.retain(|held| !Arc::ptr_eq(held, meant));
            }
            meant
        };
        self.attr.lock().current = false;
        let meant = meant?;
        if !self.exclusive() {
            meant.attr.lock().current = false;
        }
        Some(meant)
    }

    /// Events were lost.
    pub(super) fn forget_everything(&self) {
        let mut names = self.names.lock();
        // What is held stays so: inodes are not dropped here.
        let held = std::mem::take(&mut names.held);
        *names = Names { held, ..Names::default() };
        drop(names);
        self.attributes_changed(false);
    }

    /// Notes a write that ended at `end`.
    pub(super) fn grew(&self, end: u64) {
        let now = crate::fs::inode::FileTime::now();
        let now = gofer_proto::Timestamp { sec: now.sec, nsec: now.nsec };
        let mut known = self.attr.lock();
        known.attr.size = known.attr.size.max(end);
        (known.attr.mtime, known.attr.ctime) = (now, now);
        known.current &= self.exclusive();
    }

    fn exclusive(&self) -> bool {
        self.fs.options.exclusive
    }

    /// Whether what is remembered is true now.
    fn is_sure(&self) -> bool {
        self.exclusive() || (self.fs.catch_up() && self.attr.lock().watch.is_some())
    }

    /// Shows the attributes, asked for if `enough` says that what is known of them does not do.
    fn attr_if<T>(&self, enough: impl Fn(&Known) -> bool, show: impl FnOnce(&ProtoAttr) -> T) -> Result<T> {
        let sure = self.is_sure();
        let known = self.attr.lock();
        if !sure || !enough(&known) {
            let before = Some(known.attr).filter(|_| sure && known.access_current);
            drop(known);
            let since = self.fs.moment();
            let attr = match before.and_then(|before| Some((before, self.open_descriptor()?))) {
                Some((before, descriptor)) => convert::stat(&descriptor, &before)?,
                None => {
                    let looked = self.fs.client.look_at(self.node)?;
                    self.fs.watched(&looked, self.this.upgrade().as_ref());
                    looked.attr
                }
            };
            self.learn(&attr, since);
            return Ok(show(&attr));
        }
        Ok(show(&known.attr))
    }

    /// Whether it had set-id bits when last heard of.
    pub(super) fn had_set_id(&self) -> bool {
        self.attr.lock().attr.mode & (S_ISUID | S_ISGID) != 0
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

    /// The attributes changed in a way that only the host knows exactly.
    fn ask_again(&self) {
        if self.exclusive() {
            if let Ok(attr) = self.fs.client.getattr(self.node) {
                self.learn(&attr, None);
            }
        } else {
            self.attr.lock().current = false;
        }
    }

    fn remove(&self, name: &[u8], what: Unlink) -> Result<()> {
        let since = self.fs.moment();
        let expected = self.expect(IN_DELETE, name);
        let removed = Name::new(name).and_then(|entry| self.fs.client.unlink(self.node, entry, what));
        self.expected(expected, removed)?;
        self.changed(name, None, since);
        self.ask_again();
        Ok(())
    }

    fn made(&self, name: &[u8], walked: &Walked, since: Option<Moment>) -> Result<Arc<GoferInode>> {
        let inode = self.fs.intern(walked, since)?;
        self.changed(name, Some(&inode), since);
        self.ask_again();
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
        self.attr_if(|known| known.current, |attr| convert::attr(attr, self.fs.dev, self.ino))
    }

    fn access_attr(&self) -> Result<Attr> {
        self.attr_if(|known| known.access_current, |attr| convert::attr(attr, self.fs.dev, self.ino))
    }

    fn ownership(&self) -> Result<Ownership> {
        self.attr_if(|known| known.access_current, convert::ownership)
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        let since = self.fs.moment();
        let attr = self.fs.client.setattr(self.node, &convert::change(change))?;
        self.learn(&attr, since);
        Ok(())
    }

    /// The gofer's read is one on the host, which keeps its time; to set it would change the time of the last change, too.
    fn keeps_access_time(&self) -> bool {
        false
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
        self.find(name).is_ok_and(|now| std::ptr::eq(&*now, child))
    }

    fn is_absent(&self, name: &[u8]) -> bool {
        self.is_sure() && matches!(self.names.lock().known.get(name), Some(None))
    }

    fn lookup(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.find(name)?;
        Ok(found)
    }

    fn lookup_to_open(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.find_to_open(name)?;
        Ok(found)
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        let client = &self.fs.client;
        let entry = Name::new(name)?;
        let new = convert::new_file(node);
        let since = self.fs.moment();
        let expected = self.expect(IN_CREATE, name);
        let made = match node.kind {
            FileType::Regular => client
                .create(self.node, entry, OpenFlags::RDWR, new)
                .map(|(walked, descriptor)| (walked, Some(descriptor))),
            FileType::Directory => client.mkdir(self.node, entry, new).map(|walked| (walked, None)),
            FileType::Symlink => LinkTarget::new(node.target)
                .and_then(|target| client.symlink(self.node, entry, target, new.owner))
                .map(|walked| (walked, None)),
            kind => {
                client.mknod(self.node, entry, convert::file_kind(kind), new).map(|walked| (walked, None))
            }
        };
        let (walked, descriptor) = self.expected(expected, made)?;
        let inode = self.made(name, &walked, since)?;
        if let Some(descriptor) = descriptor {
            inode.opened(&mut inode.writer.lock(), descriptor);
        }
        Ok(inode)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let target = gofer(target)?;
        let since = self.fs.moment();
        let expected = self.expect(IN_CREATE, name);
        let linked = Name::new(name).and_then(|entry| self.fs.client.link(target.node, self.node, entry));
        let walked = self.expected(expected, linked)?;
        self.made(name, &walked, since).map(drop)
    }

    fn unlink(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        self.remove(name, Unlink::File)?;
        if let Some(child) = child.downcast_ref::<GoferInode>() {
            let mut known = child.attr.lock();
            known.attr.nlink = known.attr.nlink.saturating_sub(1);
            let is_gone = known.attr.nlink == 0;
            drop(known);
            if is_gone {
                child.let_go();
            }
        }
        Ok(())
    }

    fn rmdir(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        self.remove(name, Unlink::Directory)?;
        if let Some(child) = child.downcast_ref::<GoferInode>() {
            child.attr.lock().attr.nlink = 0;
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
        let exchange = flags & RENAME_EXCHANGE != 0;
        let exchanged = replaced.as_ref().filter(|_| exchange);
        let rename = Rename {
            from_dir: self.node,
            from_name: Name::new(old)?,
            to_dir: new_dir.node,
            to_name: Name::new(new)?,
            flags: RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?,
            moved: Some(moved.node),
            exchanged: exchanged.map(|inode| inode.node),
        };
        let since = self.fs.moment();
        // An exchange is seen as two moves; what it is not worth to tell apart is asked for again.
        let expected = if exchange {
            (None, None)
        } else {
            (self.expect(IN_MOVED_FROM, old), new_dir.expect(IN_MOVED_TO, new))
        };
        let result = self.expected(expected.0, self.fs.client.rename(&rename));
        new_dir.expected(expected.1, result)?;
        if exchange {
            self.entry_changed(old);
            new_dir.entry_changed(new);
        } else {
            self.changed(old, None, since);
            new_dir.changed(new, Some(&moved), since);
        }
        for touched in [Some(&moved), replaced.as_ref()].into_iter().flatten() {
            touched.ask_again();
        }
        self.ask_again();
        new_dir.ask_again();
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
