//! stat(2), statx(2), statfs(2).

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{
        AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_DONT_SYNC, AT_STATX_FORCE_SYNC,
        AT_SYMLINK_NOFOLLOW,
    },
    stat::{
        STATX_ATTR_MOUNT_ROOT, STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID, STATX_RESERVED, Stat, Statfs,
        Statx, StatxTimestamp, major, minor,
    },
};

use super::target::{Target, lookup_of};
use crate::{
    fs::{
        file::File,
        inode::{Attr, FileSystem, FileTime},
        path::Path,
        walk::Lookup,
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// `ST_VALID`: `f_flags` means something.
const ST_VALID: i64 = 0x20;
/// The device and inode number of files that have neither (`anon_inodefs`).
const ANON_DEV: u64 = 13;
const ANON_INO: u64 = 1;

/// stat(2).
pub fn stat(cx: &mut ThreadCx, path: UserAddr, buf: UserAddr) -> Result<()> {
    newfstatat(cx, AT_FDCWD, path, buf, 0)
}

/// lstat(2).
pub fn lstat(cx: &mut ThreadCx, path: UserAddr, buf: UserAddr) -> Result<()> {
    newfstatat(cx, AT_FDCWD, path, buf, AT_SYMLINK_NOFOLLOW)
}

/// fstat(2).
pub fn fstat(cx: &mut ThreadCx, fd: i32, buf: UserAddr) -> Result<()> {
    let file = cx.task.file_or_path(fd)?;
    let stat = file_stat(&file)?;
    cx.write_obj(buf, &stat)
}

/// fstatat(2).
pub fn newfstatat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, buf: UserAddr, flags: u32) -> Result<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let stat = match look(cx, dirfd, path, flags)? {
        Found::File(file) => file_stat(&file)?,
        Found::Place(place) => encode(&place.inode().attr()?),
    };
    cx.write_obj(buf, &stat)
}

enum Found {
    Place(Path),
    File(Arc<File>),
}

/// What a stat call is about. An empty path (or, since Linux 6.11, none) with `AT_EMPTY_PATH` is the descriptor.
fn look(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, flags: u32) -> Result<Found> {
    let empty_allowed = flags & AT_EMPTY_PATH != 0;
    let name = if empty_allowed && path.is_null() { Vec::new() } else { cx.read_path(path)? };
    if name.is_empty() && empty_allowed && dirfd != AT_FDCWD {
        return Ok(Found::File(cx.task.file_or_path(dirfd)?));
    }
    Ok(Found::Place(crate::fs::walk::resolve(&cx.task, dirfd, &name, lookup_of(flags))?))
}

fn file_stat(file: &File) -> Result<Stat> {
    match file.inode() {
        Some(inode) => Ok(encode(&inode.attr()?)),
        None => Ok(anonymous_stat()),
    }
}

/// What eventfd, epoll and their like show: mode 0600 and no type.
fn anonymous_stat() -> Stat {
    Stat {
        st_dev: ANON_DEV,
        st_ino: ANON_INO,
        st_nlink: 1,
        st_mode: 0o600,
        st_blksize: 4096,
        ..Stat::default()
    }
}

fn encode(attr: &Attr) -> Stat {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Stat {
        st_dev: attr.dev,
        st_ino: attr.ino,
        st_nlink: u64::from(attr.nlink),
        st_mode: attr.mode(),
        st_uid: attr.uid,
        st_gid: attr.gid,
        pad0: 0,
        st_rdev: attr.rdev,
        st_size: signed(attr.size),
        st_blksize: i64::from(attr.blksize),
        st_blocks: signed(attr.blocks),
        st_atime: attr.atime.sec,
        st_atime_nsec: u64::from(attr.atime.nsec),
        st_mtime: attr.mtime.sec,
        st_mtime_nsec: u64::from(attr.mtime.nsec),
        st_ctime: attr.ctime.sec,
        st_ctime_nsec: u64::from(attr.ctime.nsec),
        unused: [0; 3],
    }
}

/// statx(2).
pub fn statx(
    cx: &mut ThreadCx,
    dirfd: i32,
    path: UserAddr,
    flags: u32,
    mask: u32,
    buf: UserAddr,
) -> Result<()> {
    const SYNC: u32 = AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC;
    if mask & STATX_RESERVED != 0
        || flags & SYNC == SYNC
        || flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | SYNC) != 0
    {
        return Err(Errno::EINVAL);
    }
    let target = match look(cx, dirfd, path, flags)? {
        Found::File(file) => Target::of_file(&file).ok(),
        Found::Place(place) => Some(Target { inode: Arc::clone(place.inode()), path: Some(place) }),
    };
    let statx = match target {
        Some(target) => encode_statx(&target)?,
        // An open file without an inode.
        None => Statx {
            stx_mask: STATX_BASIC_STATS,
            stx_blksize: 4096,
            stx_nlink: 1,
            stx_mode: 0o600,
            stx_ino: ANON_INO,
            stx_dev_minor: minor(ANON_DEV),
            ..Statx::default()
        },
    };
    cx.write_obj(buf, &statx)
}

fn encode_statx(target: &Target) -> Result<Statx> {
    let attr = target.inode.attr()?;
    let stamp = |time: FileTime| StatxTimestamp { tv_sec: time.sec, tv_nsec: time.nsec, reserved: 0 };
    let mut statx = Statx {
        stx_mask: STATX_BASIC_STATS,
        stx_blksize: attr.blksize,
        stx_nlink: attr.nlink,
        stx_uid: attr.uid,
        stx_gid: attr.gid,
        stx_mode: u16::try_from(attr.mode()).unwrap_or(0),
        stx_ino: attr.ino,
        stx_size: attr.size,
        stx_blocks: attr.blocks,
        stx_attributes_mask: STATX_ATTR_MOUNT_ROOT,
        stx_atime: stamp(attr.atime),
        stx_ctime: stamp(attr.ctime),
        stx_mtime: stamp(attr.mtime),
        stx_rdev_major: major(attr.rdev),
        stx_rdev_minor: minor(attr.rdev),
        stx_dev_major: major(attr.dev),
        stx_dev_minor: minor(attr.dev),
        ..Statx::default()
    };
    if let Some(btime) = attr.btime {
        statx.stx_mask |= STATX_BTIME;
        statx.stx_btime = stamp(btime);
    }
    if let Some(path) = &target.path {
        statx.stx_mask |= STATX_MNT_ID;
        statx.stx_mnt_id = path.mount.id;
        if std::sync::Arc::ptr_eq(&path.dentry, &path.mount.root) {
            statx.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
        }
    }
    Ok(statx)
}

/// statfs(2).
pub fn statfs(cx: &mut ThreadCx, path: UserAddr, buf: UserAddr) -> Result<()> {
    let target = Target::at(cx, AT_FDCWD, path, Lookup::FOLLOW)?;
    let answer = encode_statfs(&target)?;
    cx.write_obj(buf, &answer)
}

/// fstatfs(2).
pub fn fstatfs(cx: &mut ThreadCx, fd: i32, buf: UserAddr) -> Result<()> {
    const ANON_INODE_FS_MAGIC: i64 = 0x0904_1934;
    let file = cx.task.file_or_path(fd)?;
    let answer = match Target::of_file(&file) {
        Ok(target) => encode_statfs(&target)?,
        Err(_) => Statfs {
            f_type: ANON_INODE_FS_MAGIC,
            f_bsize: 4096,
            f_frsize: 4096,
            f_namelen: 255,
            ..Statfs::default()
        },
    };
    cx.write_obj(buf, &answer)
}

fn encode_statfs(target: &Target) -> Result<Statfs> {
    let fs = target.inode.filesystem();
    let stats = FileSystem::statfs(&*fs)?;
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let dev = fs.dev();
    let mount = target.path.as_ref().map_or(0, |path| path.mount.flags());
    Ok(Statfs {
        f_type: signed(stats.magic),
        f_bsize: signed(stats.block_size),
        f_blocks: stats.blocks,
        f_bfree: stats.blocks_free,
        f_bavail: stats.blocks_available,
        f_files: stats.files,
        f_ffree: stats.files_free,
        f_fsid: [i32::try_from(dev & 0x7fff_ffff).unwrap_or(0), 0],
        f_namelen: signed(stats.name_max),
        f_frsize: signed(stats.block_size),
        f_flags: ST_VALID | mount_flags(mount),
        f_spare: [0; 4],
    })
}

/// `ST_*` of a mount's `MS_*` flags.
fn mount_flags(flags: u64) -> i64 {
    use linux_abi::fcntl::{
        MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_STRICTATIME,
    };
    const ST_RELATIME: u64 = 0x1000;
    let same = flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME);
    let relative = if flags & (MS_NOATIME | MS_STRICTATIME) == 0 { ST_RELATIME } else { 0 };
    i64::try_from(same | relative).unwrap_or(0)
}
