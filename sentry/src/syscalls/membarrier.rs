//! membarrier(2).
//!
//! Guest threads run in other host processes, so every command becomes the host's `MEMBARRIER_CMD_GLOBAL`, which reaches
//! them all. It is slower than an expedited one, and does not serialise instruction streams: `SYNC_CORE` is not offered.

use std::sync::atomic::Ordering;

use linux_abi::{Errno, Result};

use crate::task::ThreadCx;

const QUERY: i32 = 0;
const GLOBAL: i32 = 1;
const GLOBAL_EXPEDITED: i32 = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: i32 = 1 << 2;
const PRIVATE_EXPEDITED: i32 = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;
const GET_REGISTRATIONS: i32 = 1 << 9;
const OFFERED: i32 = GLOBAL
    | GLOBAL_EXPEDITED
    | REGISTER_GLOBAL_EXPEDITED
    | PRIVATE_EXPEDITED
    | REGISTER_PRIVATE_EXPEDITED
    | GET_REGISTRATIONS;

/// membarrier(2).
pub fn membarrier(cx: &mut ThreadCx, command: i32, flags: u32, _cpu: i32) -> Result<i32> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let registered = &cx.task.group.membarrier;
    match command {
        QUERY => Ok(if host::membarrier::has_global() { OFFERED } else { 0 }),
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => {
            registered.fetch_or(command, Ordering::SeqCst);
            Ok(0)
        }
        GET_REGISTRATIONS => Ok(registered.load(Ordering::SeqCst)),
        PRIVATE_EXPEDITED if registered.load(Ordering::SeqCst) & REGISTER_PRIVATE_EXPEDITED == 0 => {
            Err(Errno::EPERM)
        }
        GLOBAL | GLOBAL_EXPEDITED | PRIVATE_EXPEDITED => {
            host::membarrier::global().map_err(|_| Errno::EINVAL)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
