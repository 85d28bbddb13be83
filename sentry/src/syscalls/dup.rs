//! dup(2), dup2(2), dup3(2).

use linux_abi::{Errno, Result, fcntl::O_CLOEXEC};

use crate::{fs::close, task::ThreadCx};

/// dup(2).
pub fn dup(cx: &mut ThreadCx, fd: i32) -> Result<i32> {
    let file = cx.task.file_or_path(fd)?;
    cx.task.install(file, false)
}

/// dup2(2).
pub fn dup2(cx: &mut ThreadCx, old: i32, new: i32) -> Result<i32> {
    if old == new {
        cx.task.file_or_path(old)?;
        return Ok(new);
    }
    duplicate(cx, old, new, false)
}

/// dup3(2).
pub fn dup3(cx: &mut ThreadCx, old: i32, new: i32, flags: u32) -> Result<i32> {
    if flags & !O_CLOEXEC != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    duplicate(cx, old, new, flags & O_CLOEXEC != 0)
}

fn duplicate(cx: &mut ThreadCx, old: i32, new: i32, close_on_exec: bool) -> Result<i32> {
    let limit = cx.task.group.limits.lock().nofile();
    if u64::try_from(new).map_or(true, |new| new >= limit) {
        return Err(Errno::EBADF);
    }
    let file = cx.task.file_or_path(old)?;
    let table = cx.task.files()?;
    if let Some(replaced) = table.install_at(file, close_on_exec, new, limit)? {
        close::close(&cx.task, &table, &replaced);
    }
    Ok(new)
}
