//! flock(2).

use std::sync::Arc;

use linux_abi::{
    Errno,
    fcntl::{LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN},
};

use crate::{
    error::{RestartKind, SysError, SysResult},
    task::ThreadCx,
    wait::Events,
};

/// Of flock(2), once.
const LOCK_MAND: u32 = 32;

/// flock(2).
pub fn flock(cx: &mut ThreadCx, fd: i32, operation: u32) -> SysResult<()> {
    // Mandatory locks of shares are no more, and ignored.
    if operation & LOCK_MAND != 0 {
        return Ok(());
    }
    let exclusive = match operation & !LOCK_NB {
        LOCK_SH => false,
        LOCK_EX => true,
        LOCK_UN => {
            let file = cx.task.file(fd)?;
            if let Some(inode) = file.inode() {
                inode.common().locks.unflock(file.id());
            }
            return Ok(());
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let file = cx.task.file(fd)?;
    if !file.readable() && !file.writable() {
        return Err(Errno::EBADF.into());
    }
    // Files without an inode share one on Linux, where such locks work but mean nothing.
    let Some(inode) = file.inode() else { return Ok(()) };
    let locks = &inode.common().locks;
    let attempt = || locks.flock(file.id(), exclusive);
    if operation & LOCK_NB != 0 {
        return attempt().map_err(SysError::from);
    }
    let task = Arc::clone(&cx.task);
    task.block_on(locks.changed(), Events::all(), None, attempt)
        .map_err(|error| error.or_restart(RestartKind::Sys, Errno::EAGAIN))
}
