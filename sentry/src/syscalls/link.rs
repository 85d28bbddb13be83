//! link(2), unlink(2), symlink(2), readlink(2), rename(2).

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW},
};

use crate::{
    credentials::Caps,
    fs::{
        entries::{self, Node},
        inode::FileType,
        walk::{Lookup, resolve},
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// link(2).
pub fn link(cx: &mut ThreadCx, old: UserAddr, new: UserAddr) -> Result<()> {
    linkat(cx, AT_FDCWD, old, AT_FDCWD, new, 0)
}

/// linkat(2).
pub fn linkat(
    cx: &mut ThreadCx,
    old_fd: i32,
    old: UserAddr,
    new_fd: i32,
    new: UserAddr,
    flags: u32,
) -> Result<()> {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut lookup = Lookup::empty();
    lookup.set(Lookup::FOLLOW, flags & AT_SYMLINK_FOLLOW != 0);
    lookup.set(Lookup::EMPTY, flags & AT_EMPTY_PATH != 0);
    let old_path = cx.read_path(old)?;
    let new_path = cx.read_path(new)?;
    if old_path.is_empty() && flags & AT_EMPTY_PATH != 0 && !cx.task.capable(Caps::DAC_READ_SEARCH) {
        // Since Linux 6.10 whoever opened the file may link it, too.
        let opener = cx.task.file_or_path(old_fd).is_ok_and(|file| file.was_opened_by(&cx.task.creds()));
        if !opener {
            return Err(Errno::ENOENT);
        }
    }
    let place = resolve(&cx.task, old_fd, &old_path, lookup)?;
    entries::link(&cx.task, &place, new_fd, &new_path)
}

/// unlink(2).
pub fn unlink(cx: &mut ThreadCx, path: UserAddr) -> Result<()> {
    unlinkat(cx, AT_FDCWD, path, 0)
}

/// unlinkat(2).
pub fn unlinkat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, flags: u32) -> Result<()> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let path = cx.read_path(path)?;
    if flags & AT_REMOVEDIR != 0 {
        entries::rmdir(&cx.task, dirfd, &path)
    } else {
        entries::unlink(&cx.task, dirfd, &path)
    }
}

/// symlink(2).
pub fn symlink(cx: &mut ThreadCx, target: UserAddr, path: UserAddr) -> Result<()> {
    symlinkat(cx, target, AT_FDCWD, path)
}

/// symlinkat(2).
pub fn symlinkat(cx: &mut ThreadCx, target: UserAddr, dirfd: i32, path: UserAddr) -> Result<()> {
    let target = cx.read_path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let path = cx.read_path(path)?;
    let node = Node { kind: FileType::Symlink, perm: 0o777, rdev: 0, target: &target };
    entries::make(&cx.task, dirfd, &path, &node).map(drop)
}

/// readlink(2).
pub fn readlink(cx: &mut ThreadCx, path: UserAddr, buf: UserAddr, size: i32) -> Result<usize> {
    readlinkat(cx, AT_FDCWD, path, buf, size)
}

/// readlinkat(2).
pub fn readlinkat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, buf: UserAddr, size: i32) -> Result<usize> {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let path = cx.read_path(path)?;
    let place = resolve(&cx.task, dirfd, &path, empty_if(dirfd, &path))?;
    if place.inode().kind() != FileType::Symlink {
        // The descriptor itself was meant, and it is no link.
        return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
    }
    let mut target = place.inode().readlink(&cx.task)?;
    target.truncate(size);
    cx.write_bytes(buf, &target)?;
    Ok(target.len())
}

/// An empty path means the `O_PATH` descriptor of a link.
fn empty_if(dirfd: i32, path: &[u8]) -> Lookup {
    if path.is_empty() && dirfd != AT_FDCWD { Lookup::EMPTY } else { Lookup::empty() }
}

/// rename(2).
pub fn rename(cx: &mut ThreadCx, old: UserAddr, new: UserAddr) -> Result<()> {
    renameat2(cx, AT_FDCWD, old, AT_FDCWD, new, 0)
}

/// renameat(2).
pub fn renameat(cx: &mut ThreadCx, old_fd: i32, old: UserAddr, new_fd: i32, new: UserAddr) -> Result<()> {
    renameat2(cx, old_fd, old, new_fd, new, 0)
}

/// renameat2(2).
pub fn renameat2(
    cx: &mut ThreadCx,
    old_fd: i32,
    old: UserAddr,
    new_fd: i32,
    new: UserAddr,
    flags: u32,
) -> Result<()> {
    let old = cx.read_path(old)?;
    let new = cx.read_path(new)?;
    entries::rename(&cx.task, (old_fd, &old), (new_fd, &new), flags)
}
