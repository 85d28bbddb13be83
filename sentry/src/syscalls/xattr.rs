//! setxattr(2), getxattr(2), listxattr(2), removexattr(2).

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{AT_FDCWD, XATTR_CREATE, XATTR_REPLACE},
};

use super::target::Target;
use crate::{
    credentials::Caps,
    fs::{
        inode::FileType,
        permission::{self, Access},
        walk::Lookup,
    },
    task::{ThreadCx, usermem::UserMemory},
};

use linux_abi::mount::NAME_MAX;

/// `XATTR_SIZE_MAX`, `XATTR_LIST_MAX`.
const SIZE_MAX: usize = 64 << 10;

/// setxattr(2).
pub fn setxattr(
    cx: &mut ThreadCx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<()> {
    let (name, value) = arguments(cx, name, value, size, flags)?;
    let target = Target::at(cx, AT_FDCWD, path, Lookup::FOLLOW)?;
    set(cx, &target, &name, Some(&value), flags)
}

/// lsetxattr(2).
pub fn lsetxattr(
    cx: &mut ThreadCx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<()> {
    let (name, value) = arguments(cx, name, value, size, flags)?;
    let target = Target::at(cx, AT_FDCWD, path, Lookup::empty())?;
    set(cx, &target, &name, Some(&value), flags)
}

/// fsetxattr(2).
pub fn fsetxattr(
    cx: &mut ThreadCx,
    fd: i32,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<()> {
    let target = Target::of_fd(cx, fd)?;
    let (name, value) = arguments(cx, name, value, size, flags)?;
    set(cx, &target, &name, Some(&value), flags)
}

pub(super) fn read_name(cx: &mut ThreadCx, name: UserAddr) -> Result<Vec<u8>> {
    match cx.read_cstring(name, NAME_MAX + 1) {
        Err(Errno::ENAMETOOLONG) => Err(Errno::ERANGE),
        Ok(name) if name.is_empty() => Err(Errno::ERANGE),
        other => other,
    }
}

pub(super) fn arguments(
    cx: &mut ThreadCx,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<(Vec<u8>, Vec<u8>)> {
    if flags & !(XATTR_CREATE | XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = read_name(cx, name)?;
    if size > SIZE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; size];
    cx.read_bytes(value, &mut bytes)?;
    Ok((name, bytes))
}

/// Who may see or change an attribute depends on its name space (`xattr_permission`).
fn allowed(cx: &ThreadCx, target: &Target, name: &[u8], want: Access) -> Result<()> {
    // A prefix alone is no name (`xattr_resolve_name`).
    if matches!(name, b"user." | b"trusted." | b"security.") {
        return Err(Errno::EINVAL);
    }
    let creds = cx.task.creds();
    if want == Access::WRITE {
        target.want_write()?;
    }
    if name.starts_with(b"trusted.") {
        let missing = if want == Access::WRITE { Errno::EPERM } else { Errno::ENODATA };
        return if creds.capable(Caps::SYS_ADMIN) { Ok(()) } else { Err(missing) };
    }
    let attr = target.inode.attr()?;
    if name.starts_with(b"security.") || name.starts_with(b"system.") {
        let free = want == Access::READ || name.starts_with(b"system.");
        let capability = name == b"security.capability" && creds.capable(Caps::SETFCAP);
        return if free || capability || creds.capable(Caps::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) };
    }
    if name.starts_with(b"user.") {
        let missing = if want == Access::WRITE { Errno::EPERM } else { Errno::ENODATA };
        if !matches!(attr.kind, FileType::Regular | FileType::Directory) {
            return Err(missing);
        }
        let sticky = attr.kind == FileType::Directory && attr.perm & linux_abi::fcntl::S_ISVTX != 0;
        if sticky && want == Access::WRITE && !permission::is_owner(&creds, &attr) {
            return Err(Errno::EPERM);
        }
    }
    permission::check(&creds, &attr, want)
}

pub(super) fn set(
    cx: &ThreadCx,
    target: &Target,
    name: &[u8],
    value: Option<&[u8]>,
    flags: u32,
) -> Result<()> {
    allowed(cx, target, name, Access::WRITE)?;
    target.inode.set_xattr(name, value, flags)?;
    target.announce_change(cx);
    Ok(())
}

/// getxattr(2).
pub fn getxattr(
    cx: &mut ThreadCx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
) -> Result<usize> {
    let name = read_name(cx, name)?;
    let target = Target::at(cx, AT_FDCWD, path, Lookup::FOLLOW)?;
    get(cx, &target, &name, value, size)
}

/// lgetxattr(2).
pub fn lgetxattr(
    cx: &mut ThreadCx,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
) -> Result<usize> {
    let name = read_name(cx, name)?;
    let target = Target::at(cx, AT_FDCWD, path, Lookup::empty())?;
    get(cx, &target, &name, value, size)
}

/// fgetxattr(2).
pub fn fgetxattr(cx: &mut ThreadCx, fd: i32, name: UserAddr, value: UserAddr, size: usize) -> Result<usize> {
    let target = Target::of_fd(cx, fd)?;
    let name = read_name(cx, name)?;
    get(cx, &target, &name, value, size)
}

pub(super) fn get(
    cx: &mut ThreadCx,
    target: &Target,
    name: &[u8],
    value: UserAddr,
    size: usize,
) -> Result<usize> {
    allowed(cx, target, name, Access::READ)?;
    let bytes = target.inode.xattr(name)?;
    give(cx, &bytes, value, size)
}

/// Copies out, or with a size of zero only tells the size.
fn give(cx: &mut ThreadCx, bytes: &[u8], to: UserAddr, size: usize) -> Result<usize> {
    if size == 0 {
        return Ok(bytes.len());
    }
    if bytes.len() > size {
        return Err(Errno::ERANGE);
    }
    cx.write_bytes(to, bytes)?;
    Ok(bytes.len())
}

/// listxattr(2).
pub fn listxattr(cx: &mut ThreadCx, path: UserAddr, list: UserAddr, size: usize) -> Result<usize> {
    let target = Target::at(cx, AT_FDCWD, path, Lookup::FOLLOW)?;
    names(cx, &target, list, size)
}

/// llistxattr(2).
pub fn llistxattr(cx: &mut ThreadCx, path: UserAddr, list: UserAddr, size: usize) -> Result<usize> {
    let target = Target::at(cx, AT_FDCWD, path, Lookup::empty())?;
    names(cx, &target, list, size)
}

/// flistxattr(2).
pub fn flistxattr(cx: &mut ThreadCx, fd: i32, list: UserAddr, size: usize) -> Result<usize> {
    let target = Target::of_fd(cx, fd)?;
    names(cx, &target, list, size)
}

pub(super) fn names(cx: &mut ThreadCx, target: &Target, list: UserAddr, size: usize) -> Result<usize> {
    let privileged = cx.task.capable(Caps::SYS_ADMIN);
    let mut bytes = Vec::new();
    for name in target.inode.xattr_names()? {
        if privileged || !name.starts_with(b"trusted.") {
            bytes.extend_from_slice(&name);
            bytes.push(0);
        }
    }
    give(cx, &bytes, list, size)
}

/// removexattr(2).
pub fn removexattr(cx: &mut ThreadCx, path: UserAddr, name: UserAddr) -> Result<()> {
    let name = read_name(cx, name)?;
    let target = Target::at(cx, AT_FDCWD, path, Lookup::FOLLOW)?;
    set(cx, &target, &name, None, 0)
}

/// lremovexattr(2).
pub fn lremovexattr(cx: &mut ThreadCx, path: UserAddr, name: UserAddr) -> Result<()> {
    let name = read_name(cx, name)?;
    let target = Target::at(cx, AT_FDCWD, path, Lookup::empty())?;
    set(cx, &target, &name, None, 0)
}

/// fremovexattr(2).
pub fn fremovexattr(cx: &mut ThreadCx, fd: i32, name: UserAddr) -> Result<()> {
    let target = Target::of_fd(cx, fd)?;
    let name = read_name(cx, name)?;
    set(cx, &target, &name, None, 0)
}
