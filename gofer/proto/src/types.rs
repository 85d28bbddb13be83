//! The nouns of the protocol other than attributes: ids, flags and results. Plain data, named as in the man pages.

use bitflags::bitflags;
use linux_abi::{Errno, Result};

use crate::{
    MAX_RELEASE, MAX_WALK,
    attr::{Attr, FileKind},
    name::{LINK_MAX, Name},
    wire::{Reader, Wire, Writer, wire_enum, wire_flags, wire_struct},
};

/// A file of the host as the gofer knows it. Belongs to the client until it releases it; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeId(pub u64);

/// An open directory. Belongs to the client until it closes it; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HandleId(pub u64);

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Wire<'_> for $name {
            fn put(&self, out: &mut Writer<'_>) {
                self.0.put(out);
            }
            fn get(from: &mut Reader<'_>) -> Result<Self> {
                u64::get(from).map($name)
            }
        }
    )*};
}
ids!(NodeId HandleId);

/// A type that may stand in a list, and how many of it at most.
pub trait Listed {
    /// Longest list that is accepted.
    const MAX: usize;
}

impl Listed for Name<'_> {
    const MAX: usize = MAX_WALK;
}
impl Listed for Walked {
    const MAX: usize = MAX_WALK;
}
impl Listed for Attr {
    const MAX: usize = MAX_WALK;
}
/// Ids of either kind, in a release.
impl Listed for u64 {
    const MAX: usize = MAX_RELEASE;
}

impl<'a, T: Wire<'a> + Listed> Wire<'a> for Vec<T> {
    fn put(&self, out: &mut Writer<'_>) {
        out.list(self);
    }
    fn get(from: &mut Reader<'a>) -> Result<Self> {
        from.list(T::MAX)
    }
}

bitflags! {
    /// The open(2) flags that mean something to the host, with the host's values. No `WRONLY` and no `RDWR` is
    /// `O_RDONLY`. `O_CREAT` is a call of its own; `O_CLOEXEC`, `O_NOFOLLOW` and `O_NOCTTY` always hold.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// Write only.
        const WRONLY = libc::O_WRONLY.cast_unsigned();
        /// Read and write.
        const RDWR = libc::O_RDWR.cast_unsigned();
        /// Cut to nothing.
        const TRUNC = libc::O_TRUNC.cast_unsigned();
        /// The host appends.
        const APPEND = libc::O_APPEND.cast_unsigned();
        /// Past the host's page cache.
        const DIRECT = libc::O_DIRECT.cast_unsigned();
        /// Data reach the disk before write(2) returns.
        const DSYNC = libc::O_DSYNC.cast_unsigned();
        /// Data and metadata do (includes the bit of `DSYNC`).
        const SYNC = libc::O_SYNC.cast_unsigned();
        /// Reading leaves the access time alone.
        const NOATIME = libc::O_NOATIME.cast_unsigned();
        /// `ENOTDIR` unless it is a directory.
        const DIRECTORY = libc::O_DIRECTORY.cast_unsigned();
    }
}

impl Wire<'_> for OpenFlags {
    fn put(&self, out: &mut Writer<'_>) {
        self.bits().put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        let flags = OpenFlags::from_bits(u32::get(from)?).ok_or(Errno::EINVAL)?;
        // Access mode 3 is a relic of the floppy driver.
        if flags.contains(OpenFlags::WRONLY | OpenFlags::RDWR) { Err(Errno::EINVAL) } else { Ok(flags) }
    }
}

impl OpenFlags {
    /// Whether opening with these flags can change the file.
    pub const fn writes(self) -> bool {
        self.intersects(OpenFlags::WRONLY.union(OpenFlags::RDWR).union(OpenFlags::TRUNC))
    }
}

bitflags! {
    /// Flags of renameat2(2). `RENAME_WHITEOUT` is missing: the gofer may not make devices.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct RenameFlags: u32 {
        /// `EEXIST` if the new name is taken.
        const NOREPLACE = libc::RENAME_NOREPLACE;
        /// Swap the two.
        const EXCHANGE = libc::RENAME_EXCHANGE;
    }
}
wire_flags!(RenameFlags);

bitflags! {
    /// Flags of setxattr(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct XattrFlags: u32 {
        /// `EEXIST` if there is such an attribute.
        const CREATE = libc::XATTR_CREATE.cast_unsigned();
        /// `ENODATA` if there is none.
        const REPLACE = libc::XATTR_REPLACE.cast_unsigned();
    }
}
wire_flags!(XattrFlags);

/// What [`unlink`](crate::Client::unlink) removes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unlink {
    /// unlink(2): anything but a directory.
    File,
    /// rmdir(2).
    Directory,
}
wire_enum!(Unlink { File = 0, Directory = 1 });

/// How much of a file is to reach the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// fsync(2).
    All,
    /// fdatasync(2).
    Data,
}
wire_enum!(Sync { All = 0, Data = 1 });

/// What directory entries are to come with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirWants {
    /// Name, inode number and kind, as getdents64(2).
    Names,
    /// Attributes too, at the price of one statx(2) an entry.
    Attributes,
}
wire_enum!(DirWants { Names = 0, Attributes = 1 });

/// Type of a unix socket to connect with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketType {
    /// `SOCK_STREAM`
    Stream,
    /// `SOCK_DGRAM`
    Datagram,
    /// `SOCK_SEQPACKET`
    SeqPacket,
}
wire_enum!(SocketType { Stream = 0, Datagram = 1, SeqPacket = 2 });

/// A file that a walk found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walked {
    /// The client's reference to it.
    pub node: NodeId,
    /// Its attributes at that moment.
    pub attr: Attr,
    /// The number that events of changes since then carry ([`Client::changes`](crate::Client::changes)), if it is watched.
    pub watch: Option<u32>,
}
wire_struct!(Walked { node, attr, watch });

/// What one of several names means, with a descriptor if it was opened.
pub type FoundEntry = (Walked, Option<std::os::fd::OwnedFd>);

/// Why a walk ended where it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkEnd {
    /// Every name was found.
    Complete,
    /// The last file found is a symbolic link, and there are names left.
    Symlink,
    /// The next name could not be looked up: `ENOENT`, `ENOTDIR`, `EACCES`, ...
    Failed(Errno),
}

impl Wire<'_> for WalkEnd {
    fn put(&self, out: &mut Writer<'_>) {
        match self {
            WalkEnd::Complete => 0_u8.put(out),
            WalkEnd::Symlink => 1_u8.put(out),
            WalkEnd::Failed(errno) => {
                2_u8.put(out);
                errno.put(out);
            }
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        match u8::get(from)? {
            0 => Ok(WalkEnd::Complete),
            1 => Ok(WalkEnd::Symlink),
            2 => Errno::get(from).map(WalkEnd::Failed),
            _ => Err(Errno::EPROTO),
        }
    }
}

/// Result of a walk.
#[derive(Debug)]
pub struct Walk {
    /// The files found, one for each name up to where it ended. All are the client's to release.
    pub found: Vec<Walked>,
    /// Why there are no more.
    pub end: WalkEnd,
    /// The target, if the last file found is a symbolic link.
    pub link: Option<Box<[u8]>>,
    /// What opening the last file gave, if that was asked for, all names were found and it is a regular file or a directory.
    pub opened: Option<Result<Opened>>,
}

/// Result of a walk that takes no references.
#[derive(Debug, PartialEq, Eq)]
pub struct Stats {
    /// Attributes of the files found, one for each name.
    pub found: Vec<Attr>,
    /// Why there are no more.
    pub end: WalkEnd,
}
wire_struct!(Stats { found, end });

/// An open file.
#[derive(Debug)]
pub enum Opened {
    /// A directory: entries are read through the gofer, for a directory descriptor would let the client out of it.
    Directory(HandleId),
    /// Anything else: the host's descriptor itself, close-on-exec. Fifos and devices are `O_NONBLOCK`.
    File(std::os::fd::OwnedFd),
}

/// One entry of a directory. `.` and `..` are not reported: the client has its own idea of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// Inode number (that of the covered directory at a mount point, as getdents64(2)).
    pub ino: u64,
    /// Where to go on after this entry.
    pub cookie: u64,
    /// Kind, where the file system says.
    pub kind: FileKind,
    /// Name.
    pub name: Name<'a>,
    /// Attributes, if they were wanted and the entry was still there.
    pub attr: Option<Attr>,
}

impl<'a> Wire<'a> for DirEntry<'a> {
    fn put(&self, out: &mut Writer<'_>) {
        self.ino.put(out);
        self.cookie.put(out);
        self.kind.put(out);
        self.name.put(out);
        self.attr.put(out);
    }
    fn get(from: &mut Reader<'a>) -> Result<Self> {
        Ok(DirEntry {
            ino: u64::get(from)?,
            cookie: u64::get(from)?,
            kind: FileKind::get(from)?,
            name: Name::get(from)?,
            attr: Option::get(from)?,
        })
    }
}

/// A run of directory entries, as they came off the wire.
#[derive(Debug)]
pub struct DirBatch {
    /// Encoded entries, checked by [`DirBatch::new`].
    entries: Box<[u8]>,
    /// Whether the directory ends here. There may be no entry at all in the last batch.
    pub end: bool,
}

impl DirBatch {
    /// Takes an answer apart: entries, and `end` as the last byte.
    pub fn new(mut from: Reader<'_>) -> Result<DirBatch> {
        let entries = from.take(from.len().checked_sub(1).ok_or(Errno::EPROTO)?)?;
        let end = bool::get(&mut from)?;
        let mut check = Reader::new(entries);
        while !check.is_empty() {
            DirEntry::get(&mut check)?;
        }
        Ok(DirBatch { entries: entries.into(), end })
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = DirEntry<'_>> {
        let mut rest = Reader::new(&self.entries);
        // Every entry was decoded once before: an error here would be the end of the entries.
        std::iter::from_fn(move || DirEntry::get(&mut rest).ok())
    }
}

/// What statfs(2) says about the volume that a file is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VolumeStat {
    /// `f_type`: a magic number.
    pub kind: u64,
    /// `f_bsize`: preferred size of I/O.
    pub bsize: u64,
    /// `f_blocks`, in units of `frsize`.
    pub blocks: u64,
    /// `f_bfree`
    pub bfree: u64,
    /// `f_bavail`: free for those who are not root.
    pub bavail: u64,
    /// `f_files`: inodes.
    pub files: u64,
    /// `f_ffree`
    pub ffree: u64,
    /// `f_namelen`
    pub namelen: u64,
    /// `f_frsize`
    pub frsize: u64,
    /// `f_flags` (`ST_*`).
    pub flags: u64,
}
wire_struct!(VolumeStat { kind, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags });

/// A symbolic link's target in an answer. Unlike [`LinkTarget`](crate::LinkTarget) it comes from the host kernel and may be empty
/// (`/proc` has such links).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkText(pub Box<[u8]>);

impl Wire<'_> for LinkText {
    fn put(&self, out: &mut Writer<'_>) {
        out.bytes(&self.0);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        Ok(LinkText(from.bytes(LINK_MAX + 1)?.into()))
    }
}
