//! How a name becomes a file, and what the host kernel says about files.
//!
//! This is the security kernel of the gofer. A name is looked up in [`lookup`] and [`create`] only, always as one
//! component below an open directory, with `openat2(2)`: the kernel guarantees that the result is an entry of that
//! directory and that no link was followed. What is done to a file afterwards goes through its own descriptor,
//! under `/proc/self/fd` where a call wants a path ([`OwnFds`]).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use gofer_proto::{Attr, Dev, Name, Timestamp, VolumeStat, transport::errno};
use linux_abi::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxFlags, StatxTimestamp};

use crate::error::Error;

/// Mounts below a root are part of it, so `NO_XDEV` is not here.
const STAY_INSIDE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Finds an entry of `dir` without opening it: nothing happens to the file, whatever kind it is.
pub(crate) fn lookup(dir: impl AsFd, name: Name<'_>) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(dir, name.as_bytes(), flags, Mode::empty(), STAY_INSIDE).map_err(errno)
}

/// Makes a regular file in `dir` and opens it. It was not there before.
pub(crate) fn create(dir: impl AsFd, name: Name<'_>, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat2(dir, name.as_bytes(), flags, mode, STAY_INSIDE).map_err(errno)
}

/// Checks at the start what everything depends on.
pub(crate) fn probe(dir: impl AsFd) -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    // A root that is a single file answers ENOTDIR, which shows as well that the call exists.
    match rustix::fs::openat2(dir, ".", flags, Mode::empty(), STAY_INSIDE) {
        Ok(_) | Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS) => Ok(()),
        Err(error) => Err(Error::NoOpenat2(error.into())),
    }
}

/// The attributes of an open file, however it was opened.
pub(crate) fn attr(fd: impl AsFd) -> Result<Attr> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    attr_at(fd, c"", flags)
}

/// The attributes of an entry of `dir`, for listings.
pub(crate) fn attr_of_entry(dir: impl AsFd, name: Name<'_>) -> Result<Attr> {
    attr_at(dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

fn attr_at(dir: impl AsFd, path: impl rustix::path::Arg, flags: AtFlags) -> Result<Attr> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(dir, path, flags, mask).map_err(errno)?;
    let known = StatxFlags::from_bits_retain(stat.stx_mask);
    Ok(attr_from(&stat, known))
}

fn attr_from(stat: &Statx, known: StatxFlags) -> Attr {
    Attr {
        mode: u32::from(stat.stx_mode),
        nlink: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        ino: stat.stx_ino,
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        blksize: stat.stx_blksize,
        dev: Dev { major: stat.stx_dev_major, minor: stat.stx_dev_minor },
        rdev: Dev { major: stat.stx_rdev_major, minor: stat.stx_rdev_minor },
        mount: if known.contains(StatxFlags::MNT_ID) { stat.stx_mnt_id } else { 0 },
        atime: timestamp(&stat.stx_atime),
        mtime: timestamp(&stat.stx_mtime),
        ctime: timestamp(&stat.stx_ctime),
        btime: known.contains(StatxFlags::BTIME).then(|| timestamp(&stat.stx_btime)),
    }
}

fn timestamp(time: &StatxTimestamp) -> Timestamp {
    // The client refuses nanoseconds out of range, which only a broken file system reports.
    Timestamp { sec: time.tv_sec, nsec: time.tv_nsec.min(999_999_999) }
}

/// What a kind of file system means for the files on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Nature {
    /// It is a procfs: a door to every process that the gofer's user may inspect, itself included.
    pub(crate) procfs: bool,
    /// Every change is made through this host's kernel, which tells of it (inotify(7)). Not so on network file systems.
    pub(crate) notifies: bool,
}

/// What the file system that a file is on means for it.
pub(crate) fn nature(fd: impl AsFd) -> Result<Nature> {
    /// Magic numbers of local file systems (`include/uapi/linux/magic.h`): ext2 to ext4, xfs, btrfs, f2fs, tmpfs, ramfs, overlay,
    /// erofs, squashfs.
    const LOCAL: [i64; 9] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0xf2f5_2010,
        0x0102_1994,
        0x8584_58f6,
        0x794c_7630,
        0xe0f5_e1e2,
        0x7371_7368,
    ];
    let kind = rustix::fs::fstatfs(fd).map_err(errno)?.f_type;
    Ok(Nature { procfs: kind == rustix::fs::PROC_SUPER_MAGIC, notifies: LOCAL.contains(&kind) })
}

/// What statfs(2) says about the volume that a file is on.
pub(crate) fn volume(fd: impl AsFd) -> Result<VolumeStat> {
    // fstatfs(2) for the type, fstatvfs(3) (the same call) for fields in types that are the same everywhere.
    let kind = rustix::fs::fstatfs(&fd).map_err(errno)?.f_type;
    let stat = rustix::fs::fstatvfs(&fd).map_err(errno)?;
    Ok(VolumeStat {
        kind: u64::try_from(kind).unwrap_or(0),
        bsize: stat.f_bsize,
        blocks: stat.f_blocks,
        bfree: stat.f_bfree,
        bavail: stat.f_bavail,
        files: stat.f_files,
        ffree: stat.f_ffree,
        namelen: stat.f_namemax,
        frsize: stat.f_frsize,
        flags: stat.f_flag.bits(),
    })
}

/// Where this process finds its own descriptors as files.
///
/// An `O_PATH` descriptor cannot be read, truncated or asked for attributes; the link that `/proc/self/fd` has for it
/// leads to exactly that file, however it is called by now. Made by [`OwnFds::in_proc`] or by the jail, where these
/// links are all that is left of the file system.
#[derive(Debug)]
pub struct OwnFds {
    prefix: &'static str,
    /// The mount that is the root, if it is. Closing it early would make the kernel take it apart, which costs
    /// up to some milliseconds (`dissolve_on_fput()`, fs/namespace.c).
    _root: Option<OwnedFd>,
}

impl OwnFds {
    /// In the `/proc` of a process that is not in a jail.
    pub fn in_proc() -> OwnFds {
        OwnFds { prefix: "/proc/self/fd/", _root: None }
    }

    /// In a process whose root directory is its own `/proc/self/fd`, by way of the mount `root`.
    pub(crate) fn at_root(root: OwnedFd) -> OwnFds {
        OwnFds { prefix: "/", _root: Some(root) }
    }

    /// A path that leads to the file behind `fd`; links are to be followed, even to a link.
    pub(crate) fn path(&self, fd: impl AsFd) -> String {
        format!("{}{}", self.prefix, fd.as_fd().as_raw_fd())
    }

    /// Opens the file behind `fd` (not a link, for which this is `ELOOP`) once more.
    pub(crate) fn reopen(&self, fd: impl AsFd, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        rustix::fs::openat(CWD, self.path(fd), flags, Mode::empty()).map_err(errno)
    }
}
