//! How far a file may grow: `RLIMIT_FSIZE` and the filesystem's own limit (`generic_write_check_limits`).

use std::sync::Arc;

use linux_abi::{Errno, Result};

use crate::{
    limits::{RLIM_INFINITY, RLIMIT_FSIZE},
    signal::{
        SIGXFSZ,
        info::{SI_USER, SigInfo},
        send::send_to_task,
    },
    task::Task,
};

/// How many of `count` bytes may be written at `pos` to a file that can have `max` bytes.
///
/// # Errors
/// `EFBIG` if none; the system call then sends `SIGXFSZ` (see [`too_big`]).
pub fn room(task: &Task, pos: u64, count: u64, max: u64) -> Result<u64> {
    let mut end = max;
    let limit = task.group.limits.lock().soft(RLIMIT_FSIZE);
    if limit != RLIM_INFINITY {
        if pos >= limit {
            return Err(Errno::EFBIG);
        }
        end = end.min(limit);
    }
    if pos >= end { Err(Errno::EFBIG) } else { Ok(count.min(end - pos)) }
}

/// Checks a new size (truncate(2), fallocate(2)).
///
/// # Errors
/// `EFBIG`, as [`room`].
pub fn check_size(task: &Task, size: u64) -> Result<()> {
    if size > task.group.limits.lock().soft(RLIMIT_FSIZE) {
        return Err(Errno::EFBIG);
    }
    Ok(())
}

/// Sends the `SIGXFSZ` that goes with an `EFBIG`, if the process has a limit of its own.
pub fn too_big(task: &Arc<Task>) {
    if task.group.limits.lock().soft(RLIMIT_FSIZE) != RLIM_INFINITY {
        let info = SigInfo::user(SIGXFSZ, SI_USER, task.pid(), task.creds().ruid);
        // It is a standard signal: the queue cannot be full.
        let _ = send_to_task(task, info);
    }
}
