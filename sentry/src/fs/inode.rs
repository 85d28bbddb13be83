//! Inodes: what a file *is*, apart from its names ([`super::dentry`]) and from being open ([`super::file`]).
//!
//! [`Inode`] holds only what differs between filesystems; [`InodeCommon`] is the state every inode has.
//! Permission checks are the VFS's business (`fs/permission.rs`): an `Inode` method does what it is told.
//! Methods never block on other guests. A method a kind of file does not have returns the errno Linux gives.

use std::{any::Any, sync::Arc};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use super::{file::FileOps, inotify_hook::WatchSet, locks::LockState, path::Path};
use crate::{credentials::Credentials, fs::types::pipe::Pipe, task::Task};

/// What kind of file an inode is. Never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

impl FileType {
    /// The `S_IFMT` bits of `st_mode`.
    pub const fn mode_bits(self) -> u32 {
        match self {
            FileType::Fifo => 0o010_000,
            FileType::CharDevice => 0o020_000,
            FileType::Directory => 0o040_000,
            FileType::BlockDevice => 0o060_000,
            FileType::Regular => 0o100_000,
            FileType::Symlink => 0o120_000,
            FileType::Socket => 0o140_000,
        }
    }

    /// The kind named by the `S_IFMT` bits of `mode`.
    pub const fn from_mode(mode: u32) -> Option<FileType> {
        Some(match mode & 0o170_000 {
            0o010_000 => FileType::Fifo,
            0o020_000 => FileType::CharDevice,
            0o040_000 => FileType::Directory,
            0o060_000 => FileType::BlockDevice,
            0o100_000 => FileType::Regular,
            0o120_000 => FileType::Symlink,
            0o140_000 => FileType::Socket,
            _ => return None,
        })
    }

    /// `d_type` in directory entries.
    pub const fn dirent_type(self) -> u8 {
        match self {
            FileType::Fifo => 1,
            FileType::CharDevice => 2,
            FileType::Directory => 4,
            FileType::BlockDevice => 6,
            FileType::Regular => 8,
            FileType::Symlink => 10,
            FileType::Socket => 12,
        }
    }
}

/// A point in time as inodes store it, since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, below 10⁹.
    pub nsec: u32,
}

impl FileTime {
    /// The present, by the host's clock: guests see the same one.
    pub fn now() -> FileTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        FileTime { sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nsec: since.subsec_nanos() }
    }
}

/// `struct stat`, before it has a layout.
#[derive(Clone, Copy, Debug)]
pub struct Attr {
    pub kind: FileType,
    /// Permission bits with setuid, setgid and sticky (`07777`).
    pub perm: u32,
    pub ino: u64,
    /// Device of the filesystem, in the kernel's encoding (`makedev`).
    pub dev: u64,
    /// Device the inode stands for, if it is one.
    pub rdev: u64,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// 512-byte units.
    pub blocks: u64,
    pub blksize: u32,
    pub atime: FileTime,
    pub mtime: FileTime,
    pub ctime: FileTime,
    pub btime: Option<FileTime>,
}

impl Attr {
    /// `st_mode`.
    pub fn mode(&self) -> u32 {
        self.kind.mode_bits() | self.perm
    }

    /// What of it permissions depend on.
    pub fn ownership(&self) -> Ownership {
        Ownership { kind: self.kind, perm: self.perm, uid: self.uid, gid: self.gid }
    }
}

/// What permissions depend on.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    pub kind: FileType,
    /// Permission bits with setuid, setgid and sticky (`07777`).
    pub perm: u32,
    pub uid: u32,
    pub gid: u32,
}

/// Changes to attributes. `None` leaves a field alone. ctime follows by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    /// `07777` bits.
    pub perm: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<FileTime>,
    pub mtime: Option<FileTime>,
}

impl SetAttr {
    /// Whether nothing but the access time changes: that alone does not count as a change of the inode.
    pub fn only_atime(&self) -> bool {
        let others =
            self.perm.or(self.uid).or(self.gid).is_some() || self.size.is_some() || self.mtime.is_some();
        self.atime.is_some() && !others
    }
}

/// A file to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    pub kind: FileType,
    /// `07777` bits, the umask already applied.
    pub perm: u32,
    pub uid: u32,
    pub gid: u32,
    /// For devices.
    pub rdev: u64,
    /// For symlinks.
    pub target: &'a [u8],
}

/// One entry as a directory lists it.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    pub name: &'a [u8],
    pub ino: u64,
    pub kind: FileType,
    /// Position to continue *after* this entry (`d_off`). Zero is the start; must be stable while entries are removed.
    pub next: u64,
}

/// State that every inode has, whatever its filesystem. Objects that exist only while in use are made lazily.
#[derive(Default)]
pub struct InodeCommon {
    /// flock, POSIX and OFD locks.
    pub locks: LockState,
    /// inotify watches.
    pub watches: WatchSet,
    /// The pipe behind an open FIFO.
    pub fifo: Mutex<Option<Arc<Pipe>>>,
    /// The unix socket bound here (a `net::unix` endpoint; weak, typed there).
    pub socket: Mutex<Option<std::sync::Weak<dyn Any + Send + Sync>>>,
    /// Open-for-write descriptions, minus executions: `ETXTBSY` both ways.
    pub writers: std::sync::atomic::AtomicI32,
    /// Made without a name, and may get a first one (`I_LINKABLE`: `O_TMPFILE` without `O_EXCL`).
    pub linkable: std::sync::atomic::AtomicBool,
    /// Serialises size changes with O_APPEND writes (`i_rwsem` of a regular file) and entry changes of a directory.
    pub write_lock: Mutex<()>,
}

/// An inode of some filesystem.
pub trait Inode: Any + Send + Sync {
    /// The common state.
    fn common(&self) -> &InodeCommon;

    /// What kind of file this is. Never blocks.
    fn kind(&self) -> FileType;

    /// Current attributes.
    ///
    /// # Errors
    /// Those of a remote filesystem (`EIO`, `ESTALE`).
    fn attr(&self) -> Result<Attr>;

    /// As [`Inode::attr`], for permission checks: only kind, permission bits, owner and group need to be true now.
    ///
    /// # Errors
    /// As [`Inode::attr`].
    fn access_attr(&self) -> Result<Attr> {
        self.attr()
    }

    /// As [`Inode::access_attr`], no more than that.
    ///
    /// # Errors
    /// As [`Inode::attr`].
    fn ownership(&self) -> Result<Ownership> {
        self.access_attr().map(|attr| attr.ownership())
    }

    /// Applies `change`. Permissions were checked; setuid bits are cleared by the caller.
    ///
    /// # Errors
    /// `EPERM` where a filesystem has no such attribute, `EROFS`, `ENOSPC`, `EFBIG`.
    fn set_attr(&self, change: &SetAttr) -> Result<()>;

    /// Whether the time of a read is to be kept in the attributes. Not where it is the business of whoever really reads.
    fn keeps_access_time(&self) -> bool {
        true
    }

    /// Access, modification and change time: of [`Inode::attr`], or cheaper.
    ///
    /// # Errors
    /// As [`Inode::attr`].
    fn times(&self) -> Result<[FileTime; 3]> {
        self.attr().map(|attr| [attr.atime, attr.mtime, attr.ctime])
    }

    /// Whether [`Inode::open`] is asked even for a FIFO, a socket or a device, because the inode stands for a file of the
    /// host.
    fn opens_itself(&self) -> bool {
        false
    }

    /// Prepares an open file. Called for regular files, directories and (by filesystems with such files) anything
    /// special; FIFOs, sockets and devices are dispatched by the VFS before this. `flags` are the `O_*` flags;
    /// `O_CREAT`, `O_EXCL` and `O_TRUNC` have been dealt with.
    ///
    /// # Errors
    /// Any errno of open(2) that only the filesystem knows.
    fn open(self: Arc<Self>, task: &Task, flags: u32) -> Result<Box<dyn FileOps>>;

    /// Whether the VFS may keep what [`Inode::lookup`] returned, found or not found. procfs says no.
    fn cacheable(&self) -> bool {
        true
    }

    /// Whether a cached child is still what the name means. Only asked on filesystems that others change too.
    fn revalidate(&self, _name: &[u8], _child: &Arc<dyn Inode>) -> bool {
        true
    }

    /// The entry `name` of this directory; never called for `.` and `..`.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    fn lookup(&self, _task: &Task, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOTDIR)
    }

    /// Whether it is certain, without asking anybody, that there is no entry `name`. Takes no lock of the VFS.
    fn is_absent(&self, _name: &[u8]) -> bool {
        false
    }

    /// As [`Inode::lookup`], for an entry that is opened for reading next if its permissions allow it: a filesystem for which both
    /// take long may do them at once.
    ///
    /// # Errors
    /// As [`Inode::lookup`].
    fn lookup_to_open(&self, task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.lookup(task, name)
    }

    /// Whether to look up a name before making it takes long: then [`Inode::create`] and [`Inode::link`] are asked at once, if
    /// nothing else can be wrong.
    fn is_remote(&self) -> bool {
        false
    }

    /// Makes a new entry. Atomic: `EEXIST` if the name is taken.
    ///
    /// # Errors
    /// `EEXIST`, `ENOSPC`, `EROFS`, `EPERM` where the kind is not supported.
    fn create(&self, _name: &[u8], _node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOTDIR)
    }

    /// A regular file without a name (`O_TMPFILE`).
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    fn create_unnamed(&self, _node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// A new name for `target`, an inode of the same filesystem (checked by the caller).
    ///
    /// # Errors
    /// `EEXIST`, `EMLINK`, `EPERM`.
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes the non-directory `child` with its `name`.
    ///
    /// # Errors
    /// `ENOENT`, `EROFS`, `EPERM`.
    fn unlink(&self, _name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes the empty directory `child`.
    ///
    /// # Errors
    /// `ENOTEMPTY`, `ENOENT`, `EROFS`, `EPERM`.
    fn rmdir(&self, _name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Moves `old` to `new` in `new_dir` (same filesystem), with renameat2(2)'s `RENAME_*` flags; replaces the target as
    /// Linux does. Kinds and emptiness are checked here; permissions and loops were checked by the caller.
    ///
    /// # Errors
    /// `ENOENT`, `EEXIST`, `ENOTEMPTY`, `EISDIR`, `ENOTDIR`, `EXDEV`, `EINVAL` for unsupported flags.
    fn rename(&self, _old: &[u8], _new_dir: &Arc<dyn Inode>, _new: &[u8], _flags: u32) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Emits the entries after position `from` (without `.` and `..`) until `emit` returns false.
    ///
    /// # Errors
    /// `ENOTDIR`.
    fn entries(&self, _task: &Task, _from: u64, _emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    /// The target of a symlink.
    ///
    /// # Errors
    /// `EINVAL` for anything else.
    fn readlink(&self, _task: &Task) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    /// Where a *magic* link (`/proc/self/fd/3`, `/proc/self/exe`) leads, which need not have a name.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    fn follow_magic(&self, _task: &Task) -> Result<Option<Path>> {
        Ok(None)
    }

    /// The value of extended attribute `name` (with its prefix, `user.…`).
    ///
    /// # Errors
    /// `ENODATA`, `EOPNOTSUPP`.
    fn xattr(&self, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets (or, with `None`, removes) an extended attribute. `flags`: `XATTR_CREATE`, `XATTR_REPLACE`.
    ///
    /// # Errors
    /// `EEXIST`, `ENODATA`, `EOPNOTSUPP`, `ENOSPC`, `ERANGE`.
    fn set_xattr(&self, _name: &[u8], _value: Option<&[u8]>, _flags: u32) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The names of all extended attributes.
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    /// The filesystem this inode belongs to.
    fn filesystem(&self) -> Arc<dyn FileSystem>;
}

impl dyn Inode {
    /// The inode as its concrete type, for a filesystem's own use.
    pub fn downcast<T: Inode>(self: Arc<Self>) -> Option<Arc<T>> {
        let any: Arc<dyn Any + Send + Sync> = self;
        any.downcast().ok()
    }

    /// As [`Self::downcast`], borrowed.
    pub fn downcast_ref<T: Inode>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// statfs(2)'s answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatFs {
    /// `f_type`: the filesystem's magic number.
    pub magic: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    pub blocks_available: u64,
    pub files: u64,
    pub files_free: u64,
    pub name_max: u64,
}

/// A mounted or mountable filesystem.
pub trait FileSystem: Send + Sync {
    /// Its name in /proc/mounts.
    fn name(&self) -> &'static str;

    /// The root directory.
    fn root(&self) -> Arc<dyn Inode>;

    /// Its device number.
    fn dev(&self) -> u64;

    /// Capacity.
    ///
    /// # Errors
    /// Those of a remote filesystem.
    fn statfs(&self) -> Result<StatFs>;

    /// Options for /proc/mounts, comma-separated, without `rw`/`ro`.
    fn options(&self) -> String {
        String::new()
    }

    /// Writes everything back.
    ///
    /// # Errors
    /// `EIO`.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// Identity for "is it the same file": the object, not its numbers.
pub fn same_inode(a: &Arc<dyn Inode>, b: &Arc<dyn Inode>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

/// Who asks, for code that has no task (the loader at boot).
pub type Caller<'a> = &'a Credentials;
