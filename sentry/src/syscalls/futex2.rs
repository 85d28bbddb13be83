//! futex_waitv(2), futex_wake(2), futex_wait(2), futex_requeue(2).

use linux_abi::{
    Errno, Result, UserAddr,
    futex::{FUTEX_BITSET_MATCH_ANY, FUTEX_WAITV_MAX, FUTEX2_PRIVATE, FUTEX2_SIZE_U32, FutexWaitv},
    time::{CLOCK_MONOTONIC, CLOCK_REALTIME, Timespec},
};

use super::futex::{Deadline, key, requeue, table, wait_once, wake};
use crate::{
    error::{RestartKind, SysResult},
    task::{ThreadCx, usermem::UserMemory},
    time::clock::Clock,
};

/// The flags of a futex2 call: whether the futex is private.
fn futex2_private(flags: u32) -> Result<bool> {
    if flags & !FUTEX2_PRIVATE != FUTEX2_SIZE_U32 {
        return Err(Errno::EINVAL);
    }
    Ok(flags & FUTEX2_PRIVATE != 0)
}

/// An absolute timeout on one of the two clocks that futexes know.
fn futex2_deadline(cx: &mut ThreadCx, timeout: UserAddr, clock: i32) -> Result<Deadline> {
    if timeout.is_null() {
        return Ok(None);
    }
    let clock = match clock {
        CLOCK_MONOTONIC => Clock::MONOTONIC,
        CLOCK_REALTIME => Clock::REALTIME,
        _ => return Err(Errno::EINVAL),
    };
    let time: Timespec = cx.read_obj(timeout)?;
    Ok(clock.instant_at(time.to_duration().ok_or(Errno::EINVAL)?))
}

fn check_waitv(entry: &FutexWaitv) -> Result<(UserAddr, u32, bool)> {
    if entry.reserved != 0 {
        return Err(Errno::EINVAL);
    }
    let private = futex2_private(entry.flags)?;
    Ok((UserAddr(entry.uaddr), u32::try_from(entry.val).map_err(|_| Errno::EINVAL)?, private))
}

/// futex_waitv(2): waits on many futexes at once; returns the position of one that was woken.
pub fn futex_waitv(
    cx: &mut ThreadCx,
    entries: UserAddr,
    count: u32,
    flags: u32,
    timeout: UserAddr,
    clock: i32,
) -> SysResult<usize> {
    if flags != 0 || count == 0 || count > FUTEX_WAITV_MAX || entries.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let deadline = futex2_deadline(cx, timeout, clock)?;
    let entries: Vec<FutexWaitv> = cx.read_array(entries, count as usize)?;
    let entries = entries.iter().map(check_waitv).collect::<Result<Vec<_>>>()?;
    let mut waiters = Vec::with_capacity(entries.len());
    let mut failed = None;
    for &(addr, value, private) in &entries {
        let looked = key(cx, addr, private).and_then(|key| {
            waiters.push(table(cx).queue(&cx.task, key, FUTEX_BITSET_MATCH_ANY));
            cx.read_obj::<u32>(addr)
        });
        if looked != Ok(value) {
            failed = Some(looked.err().unwrap_or(Errno::EAGAIN));
            break;
        }
    }
    let slept = match failed {
        Some(errno) => Err(errno.into()),
        None => {
            let any = || waiters.iter().any(|waiter| waiter.is_woken()).then_some(());
            let slept = cx.task.wait_for(deadline, any);
            slept.map_err(|error| error.or_restart(RestartKind::Sys, Errno::ETIMEDOUT))
        }
    };
    let mut woken = None;
    for (at, waiter) in waiters.iter().enumerate() {
        if table(cx).cancel(waiter) {
            woken = Some(at);
        }
    }
    match woken {
        Some(at) => Ok(at),
        None => slept.map(|()| 0),
    }
}

/// The bit set of a futex2 call.
fn futex2_mask(mask: u64) -> Result<u32> {
    u32::try_from(mask).ok().filter(|&mask| mask != 0).ok_or(Errno::EINVAL)
}

/// futex_wake(2).
pub fn futex_wake(cx: &mut ThreadCx, addr: UserAddr, mask: u64, count: i32, flags: u32) -> Result<usize> {
    let private = futex2_private(flags)?;
    let mask = futex2_mask(mask)?;
    wake(cx, addr, usize::try_from(count).unwrap_or(0), mask, private)
}

/// futex_wait(2).
pub fn futex_wait(
    cx: &mut ThreadCx,
    addr: UserAddr,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: UserAddr,
    clock: i32,
) -> SysResult<usize> {
    let private = futex2_private(flags)?;
    let value = u32::try_from(value).map_err(|_| Errno::EINVAL)?;
    let mask = futex2_mask(mask)?;
    let deadline = futex2_deadline(cx, timeout, clock)?;
    wait_once(cx, addr, value, mask, private, deadline)
}

/// futex_requeue(2).
pub fn futex_requeue(
    cx: &mut ThreadCx,
    waiters: UserAddr,
    flags: u32,
    wake: i32,
    count: i32,
) -> Result<usize> {
    if flags != 0 || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let [from, to] = cx.read_obj::<[FutexWaitv; 2]>(waiters)?;
    let ((from, value, from_private), (to, _, to_private)) = (check_waitv(&from)?, check_waitv(&to)?);
    let (wake, count) = (wake.cast_unsigned(), count.cast_unsigned());
    requeue(cx, (from, from_private), (to, to_private), wake, count, Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn futex2_flags_are_checked() {
        assert_eq!(futex2_private(2), Ok(false));
        assert_eq!(futex2_private(2 | 128), Ok(true));
        for bad in [0, 1, 3, 6, 2 | 256] {
            assert_eq!(futex2_private(bad), Err(Errno::EINVAL), "{bad}");
        }
    }
}
