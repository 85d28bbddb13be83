//! close(2), close_range(2).

use linux_abi::{Errno, Result};

use crate::{fs::close as vfs, task::ThreadCx};

use linux_abi::fcntl::{CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE};

/// close(2).
pub fn close(cx: &mut ThreadCx, fd: i32) -> Result<()> {
    let table = cx.task.files()?;
    let file = table.remove(fd)?;
    vfs::close(&cx.task, &table, &file);
    Ok(())
}

/// close_range(2).
pub fn close_range(cx: &mut ThreadCx, first: u32, last: u32, flags: u32) -> Result<()> {
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        let own = cx.task.files()?.duplicate();
        if let Some(shared) = cx.task.set_files(Some(own)) {
            vfs::close_all(&cx.task, shared);
        }
    }
    let table = cx.task.files()?;
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        table.close_range_on_exec(first, last);
        return Ok(());
    }
    for file in table.remove_range(first, last, |_| true) {
        vfs::close(&cx.task, &table, &file);
    }
    Ok(())
}
