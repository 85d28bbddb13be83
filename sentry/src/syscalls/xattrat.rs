//! setxattrat(2), getxattrat(2), listxattrat(2), removexattrat(2): attributes of what a descriptor and a path name together.

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW},
};

use super::{
    target::Target,
    xattr::{arguments, get, names, read_name, set},
};
use crate::task::{ThreadCx, usermem::UserMemory};

/// `XATTR_ARGS_SIZE_VER0`, and the most that is looked at.
const ARGS_SIZE: usize = 16;
const ARGS_MAX: usize = 4096;

/// `struct xattr_args`.
struct Args {
    value: UserAddr,
    size: usize,
    flags: u32,
}

fn read_args(cx: &mut ThreadCx, at: UserAddr, size: usize) -> Result<Args> {
    if size < ARGS_SIZE {
        return Err(Errno::EINVAL);
    }
    if size > ARGS_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; size];
    cx.read_bytes(at, &mut bytes)?;
    let (known, rest) = bytes.split_at(ARGS_SIZE);
    // What a newer structure has must be zero (`copy_struct_from_user`).
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let word = |from: usize| {
        let bytes = known.get(from..from + 4).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    let value = u64::from(word(0)) | u64::from(word(4)) << 32;
    Ok(Args { value: UserAddr(value), size: usize::try_from(word(8)).unwrap_or(usize::MAX), flags: word(12) })
}

fn check_flags(flags: u32) -> Result<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

fn target(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, flags: u32) -> Result<Target> {
    if path.is_null() && flags & AT_EMPTY_PATH != 0 && dirfd >= 0 {
        return Target::of_fd(cx, dirfd);
    }
    Target::with_flags(cx, dirfd, path, flags)
}

/// setxattrat(2).
pub fn setxattrat(
    cx: &mut ThreadCx,
    dirfd: i32,
    path: UserAddr,
    at_flags: u32,
    name: UserAddr,
    args: UserAddr,
    size: usize,
) -> Result<()> {
    let args = read_args(cx, args, size)?;
    check_flags(at_flags)?;
    let (name, value) = arguments(cx, name, args.value, args.size, args.flags)?;
    let target = target(cx, dirfd, path, at_flags)?;
    set(cx, &target, &name, Some(&value), args.flags)
}

/// getxattrat(2).
pub fn getxattrat(
    cx: &mut ThreadCx,
    dirfd: i32,
    path: UserAddr,
    at_flags: u32,
    name: UserAddr,
    args: UserAddr,
    size: usize,
) -> Result<usize> {
    let args = read_args(cx, args, size)?;
    if args.flags != 0 {
        return Err(Errno::EINVAL);
    }
    check_flags(at_flags)?;
    let name = read_name(cx, name)?;
    let target = target(cx, dirfd, path, at_flags)?;
    get(cx, &target, &name, args.value, args.size)
}

/// listxattrat(2).
pub fn listxattrat(
    cx: &mut ThreadCx,
    dirfd: i32,
    path: UserAddr,
    at_flags: u32,
    list: UserAddr,
    size: usize,
) -> Result<usize> {
    check_flags(at_flags)?;
    let target = target(cx, dirfd, path, at_flags)?;
    names(cx, &target, list, size)
}

/// removexattrat(2).
pub fn removexattrat(
    cx: &mut ThreadCx,
    dirfd: i32,
    path: UserAddr,
    at_flags: u32,
    name: UserAddr,
) -> Result<()> {
    check_flags(at_flags)?;
    let name = read_name(cx, name)?;
    let target = target(cx, dirfd, path, at_flags)?;
    set(cx, &target, &name, None, 0)
}
