//! membarrier(2), the commands that reach all threads of the host.

use std::io;

use crate::check;

const MEMBARRIER_CMD_QUERY: libc::c_long = 0;
const MEMBARRIER_CMD_GLOBAL: libc::c_long = 1;

fn membarrier(command: libc::c_long) -> io::Result<libc::c_long> {
    // SAFETY: takes no pointers; QUERY and GLOBAL change nothing but the order of memory accesses.
    check(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
}

/// Whether [`global`] works here.
#[must_use]
pub fn has_global() -> bool {
    membarrier(MEMBARRIER_CMD_QUERY).is_ok_and(|commands| commands & MEMBARRIER_CMD_GLOBAL != 0)
}

/// Waits until every running thread of the host has passed a full memory barrier. Takes milliseconds.
///
/// # Errors
/// The host's: `ENOSYS`, `EINVAL` on hosts with isolated processors.
pub fn global() -> io::Result<()> {
    membarrier(MEMBARRIER_CMD_GLOBAL).map(drop)
}
