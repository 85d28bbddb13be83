//! What a file looks like, what it is to look like, and what of that is to change. Named as in statx(2).

use linux_abi::{Errno, Result};

use crate::wire::{Reader, Wire, Writer, wire_enum, wire_struct};

/// What kind of file a mode describes (`S_IFMT`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// `S_IFREG`
    Regular,
    /// `S_IFDIR`
    Directory,
    /// `S_IFLNK`
    Symlink,
    /// `S_IFIFO`
    Fifo,
    /// `S_IFSOCK`
    Socket,
    /// `S_IFCHR`
    CharDevice,
    /// `S_IFBLK`
    BlockDevice,
    /// Directory entries of file systems that do not say (`DT_UNKNOWN`).
    Unknown,
}
wire_enum!(FileKind {
    Regular = 0,
    Directory = 1,
    Symlink = 2,
    Fifo = 3,
    Socket = 4,
    CharDevice = 5,
    BlockDevice = 6,
    Unknown = 7,
});

impl FileKind {
    /// The kind that the type bits of `mode` stand for.
    pub const fn from_mode(mode: u32) -> FileKind {
        match mode & libc::S_IFMT {
            libc::S_IFREG => FileKind::Regular,
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFLNK => FileKind::Symlink,
            libc::S_IFIFO => FileKind::Fifo,
            libc::S_IFSOCK => FileKind::Socket,
            libc::S_IFCHR => FileKind::CharDevice,
            libc::S_IFBLK => FileKind::BlockDevice,
            _ => FileKind::Unknown,
        }
    }
}

/// A device number. The halves are kept apart: `makedev` is the business of whoever fills a `struct stat`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Dev {
    /// Driver.
    pub major: u32,
    /// Instance.
    pub minor: u32,
}
wire_struct!(Dev { major, minor });

/// A time stamp of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    /// Seconds since the epoch.
    pub sec: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nsec: u32,
}

impl Wire<'_> for Timestamp {
    fn put(&self, out: &mut Writer<'_>) {
        self.sec.put(out);
        self.nsec.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        let (sec, nsec) = (i64::get(from)?, u32::get(from)?);
        // utimensat(2): EINVAL outside this range (UTIME_NOW and UTIME_OMIT have types of their own).
        if nsec < 1_000_000_000 { Ok(Timestamp { sec, nsec }) } else { Err(Errno::EINVAL) }
    }
}

/// The attributes of a file, as statx(2) reports them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Type and permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Inode number, unique within `dev`.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Preferred size of I/O.
    pub blksize: u32,
    /// File system that the file is on.
    pub dev: Dev,
    /// Device that the file stands for.
    pub rdev: Dev,
    /// Host mount that the file was reached through; it differs from the parent's at a mount point.
    /// 0 where the host kernel does not say (before 5.8).
    pub mount: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Creation, where the file system knows it.
    pub btime: Option<Timestamp>,
}
wire_struct!(Attr {
    mode,
    nlink,
    uid,
    gid,
    ino,
    size,
    blocks,
    blksize,
    dev,
    rdev,
    mount,
    atime,
    mtime,
    ctime,
    btime
});

impl Attr {
    /// What kind of file it is.
    pub const fn kind(&self) -> FileKind {
        FileKind::from_mode(self.mode)
    }
}

/// One time of a [`SetAttr`]; `None` there is `UTIME_OMIT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// `UTIME_NOW`, by the clock of the host.
    Now,
    /// This time.
    At(Timestamp),
}

impl Wire<'_> for SetTime {
    fn put(&self, out: &mut Writer<'_>) {
        match self {
            SetTime::Now => None,
            SetTime::At(time) => Some(*time),
        }
        .put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        Ok(Option::<Timestamp>::get(from)?.map_or(SetTime::Now, SetTime::At))
    }
}

/// Owner and group to give a file; `None` leaves what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Owner {
    /// User.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

impl Wire<'_> for Owner {
    fn put(&self, out: &mut Writer<'_>) {
        self.uid.put(out);
        self.gid.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        let owner = Owner { uid: Option::get(from)?, gid: Option::get(from)? };
        // (uid_t)-1 is no user: chown(2) takes it for "leave as it is".
        if owner.uid == Some(u32::MAX) || owner.gid == Some(u32::MAX) {
            return Err(Errno::EINVAL);
        }
        Ok(owner)
    }
}

/// Permission bits that chmod(2) knows.
pub const MODE_BITS: u32 = 0o7777;

/// Attributes to change; `None` leaves what is there. Applied in this order, up to the first error:
/// size, owner, mode, times (each would disturb what comes before it if it came later).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttr {
    /// truncate(2).
    pub size: Option<u64>,
    /// chown(2).
    pub owner: Owner,
    /// chmod(2): only bits of [`MODE_BITS`].
    pub mode: Option<u32>,
    /// Last read.
    pub atime: Option<SetTime>,
    /// Last change.
    pub mtime: Option<SetTime>,
}

impl Wire<'_> for SetAttr {
    fn put(&self, out: &mut Writer<'_>) {
        self.size.put(out);
        self.owner.put(out);
        self.mode.put(out);
        self.atime.put(out);
        self.mtime.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        let change = SetAttr {
            size: Option::get(from)?,
            owner: Owner::get(from)?,
            mode: Option::get(from)?,
            atime: Option::get(from)?,
            mtime: Option::get(from)?,
        };
        if change.mode.is_some_and(|mode| mode & !MODE_BITS != 0) {
            return Err(Errno::EINVAL);
        }
        Ok(change)
    }
}

/// What a new file is to look like. The gofer has no umask: mode and owner come out exactly as asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewFile {
    /// Permission bits: only bits of [`MODE_BITS`].
    pub mode: u32,
    /// Who owns it; the gofer's own user where `None`.
    pub owner: Owner,
}

impl Wire<'_> for NewFile {
    fn put(&self, out: &mut Writer<'_>) {
        self.mode.put(out);
        self.owner.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        let new = NewFile { mode: u32::get(from)?, owner: Owner::get(from)? };
        if new.mode & !MODE_BITS == 0 { Ok(new) } else { Err(Errno::EINVAL) }
    }
}
