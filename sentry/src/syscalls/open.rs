//! open(2), creat(2), openat2(2).

use linux_abi::{
    Errno, UserAddr,
    fcntl::{AT_FDCWD, O_CLOEXEC, O_CREAT, O_LARGEFILE, O_TRUNC, O_WRONLY},
};

use crate::{
    error::{SysError, SysResult},
    fs::open::{OpenHow, open as open_file},
    task::{ThreadCx, usermem::UserMemory},
};

/// open(2).
pub fn open(cx: &mut ThreadCx, path: UserAddr, flags: u32, mode: u32) -> SysResult<i32> {
    openat(cx, AT_FDCWD, path, flags, mode)
}

/// creat(2).
pub fn creat(cx: &mut ThreadCx, path: UserAddr, mode: u32) -> SysResult<i32> {
    openat(cx, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)
}

/// openat(2).
pub fn openat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, flags: u32, mode: u32) -> SysResult<i32> {
    install(cx, dirfd, path, &OpenHow::from_open(flags, mode))
}

/// openat2(2).
pub fn openat2(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, how: UserAddr, size: usize) -> SysResult<i32> {
    const KNOWN: usize = 24;
    const PAGE: usize = 4096;
    if size < KNOWN {
        return Err(Errno::EINVAL.into());
    }
    if size > PAGE {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = vec![0; size];
    cx.read_bytes(how, &mut bytes)?;
    let (words, rest) = bytes.split_at(KNOWN);
    // What a newer structure has must be zero (`copy_struct_from_user`).
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    let mut words = words.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
    let mut next = || words.next().unwrap_or(0);
    let (flags, mode, resolve) = (next(), next(), next());
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let mode = u32::try_from(mode).map_err(|_| Errno::EINVAL)?;
    install(cx, dirfd, path, &OpenHow { flags: flags | O_LARGEFILE, mode, resolve })
}

fn install(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, how: &OpenHow) -> SysResult<i32> {
    how.validate()?;
    let path = cx.read_path(path)?;
    // Linux takes the descriptor first.
    let limit = cx.task.group.limits.lock().nofile();
    cx.task.files()?.check_room(limit)?;
    let file = open_file(&cx.task, dirfd, &path, how)?;
    cx.task.install(file, how.flags & O_CLOEXEC != 0).map_err(SysError::from)
}
