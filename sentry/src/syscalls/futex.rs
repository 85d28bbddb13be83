//! futex(2) and robust lists. Commands for PI futexes are in `futex_pi.rs`, the calls that came later in `futex2.rs`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use linux_abi::{
    Errno, Result, UserAddr,
    futex::{
        FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI,
        FUTEX_LOCK_PI2, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_WAIT,
        FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP,
        RobustListHead,
    },
    time::Timespec,
};

use super::futex_pi::{lock_pi, requeue_pi, try_lock_pi, unlock_pi, wait_requeue_pi};
use crate::{
    error::{RestartKind, SysError, SysResult},
    mm::FutexKey,
    task::{
        RestartBlock, ThreadCx,
        block::WaitError,
        futex::{
            FutexTable, Waiter,
            pi::{UserWord, update},
        },
        usermem::UserMemory,
    },
    time::clock::Clock,
};

/// When to give up.
pub(super) type Deadline = Option<Instant>;

/// futex(2).
pub fn futex(
    cx: &mut ThreadCx,
    addr: UserAddr,
    op: i32,
    value: u32,
    timeout: UserAddr,
    addr2: UserAddr,
    value3: u32,
) -> SysResult<usize> {
    let op = op.cast_unsigned();
    let private = op & FUTEX_PRIVATE_FLAG != 0;
    let realtime = op & FUTEX_CLOCK_REALTIME != 0;
    let command = op & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    let has_timeout = matches!(
        command,
        FUTEX_WAIT | FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI
    );
    let deadline = if has_timeout && !timeout.is_null() {
        let time: Timespec = cx.read_obj(timeout)?;
        let time = time.to_duration().ok_or(Errno::EINVAL)?;
        // FUTEX_LOCK_PI alone measures by the wall clock without being told to.
        let clock = if realtime || command == FUTEX_LOCK_PI { Clock::REALTIME } else { Clock::MONOTONIC };
        deadline(clock, time, command != FUTEX_WAIT)
    } else {
        None
    };
    if realtime && !matches!(command, FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2) {
        return Err(Errno::ENOSYS.into());
    }
    // In the place of the timeout, other commands have a count.
    #[expect(clippy::cast_possible_truncation, reason = "an int passed as a pointer")]
    let value2 = timeout.0 as u32;
    match command {
        FUTEX_WAIT => wait(cx, addr, value, FUTEX_BITSET_MATCH_ANY, private, deadline),
        FUTEX_WAIT_BITSET => wait(cx, addr, value, value3, private, deadline),
        FUTEX_WAKE => Ok(wake(cx, addr, at_least_one(value), FUTEX_BITSET_MATCH_ANY, private)?),
        FUTEX_WAKE_BITSET => Ok(wake(cx, addr, at_least_one(value), value3, private)?),
        FUTEX_REQUEUE => Ok(requeue(cx, (addr, private), (addr2, private), value, value2, None)?),
        FUTEX_CMP_REQUEUE => Ok(requeue(cx, (addr, private), (addr2, private), value, value2, Some(value3))?),
        FUTEX_WAKE_OP => Ok(wake_op(cx, addr, addr2, value, value2, value3, private)?),
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 => lock_pi(cx, addr, private, deadline),
        FUTEX_TRYLOCK_PI => try_lock_pi(cx, addr, private),
        FUTEX_UNLOCK_PI => Ok(unlock_pi(cx, addr, private)?),
        FUTEX_WAIT_REQUEUE_PI => wait_requeue_pi(cx, addr, value, value3, addr2, private, deadline),
        FUTEX_CMP_REQUEUE_PI => Ok(requeue_pi(cx, addr, addr2, value, value2, value3, private)?),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// When `clock` shows `time`, or when `time` will have passed. `None` is never.
fn deadline(clock: Clock, time: Duration, absolute: bool) -> Deadline {
    if absolute { clock.instant_at(time) } else { Instant::now().checked_add(time) }
}

/// The old calls wake one even if asked to wake none, or fewer.
fn at_least_one(count: u32) -> usize {
    usize::try_from(count.cast_signed().max(1)).unwrap_or(1)
}

pub(super) fn key(cx: &mut ThreadCx, addr: UserAddr, private: bool) -> Result<FutexKey> {
    if !addr.0.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if !private {
        // The page must be there, also to be woken at: `get_futex_key` pins it.
        cx.read_obj::<u32>(addr)?;
    }
    cx.task.mm()?.futex_key(addr.0, private)
}

pub(super) fn table(cx: &ThreadCx) -> &FutexTable {
    &cx.task.kernel.futexes
}

/// Waits while the word is `value`; interrupted, it goes on to the same deadline.
fn wait(
    cx: &mut ThreadCx,
    addr: UserAddr,
    value: u32,
    bitset: u32,
    private: bool,
    deadline: Deadline,
) -> SysResult<usize> {
    let result = wait_once(cx, addr, value, bitset, private, deadline);
    if result == Err(SysError::Restart(RestartKind::Sys)) && deadline.is_some() {
        *cx.task.restart_block.lock() =
            Some(RestartBlock::Futex { addr: addr.0, value, bitset, private, deadline });
        return Err(SysError::Restart(RestartKind::Block));
    }
    result
}

/// FUTEX_WAIT after a signal that ran no handler (restart_syscall(2)).
pub(super) fn futex_restart(
    cx: &mut ThreadCx,
    addr: u64,
    value: u32,
    bitset: u32,
    private: bool,
    deadline: Deadline,
) -> SysResult<usize> {
    wait(cx, UserAddr(addr), value, bitset, private, deadline)
}

pub(super) fn wait_once(
    cx: &mut ThreadCx,
    addr: UserAddr,
    value: u32,
    bitset: u32,
    private: bool,
    deadline: Deadline,
) -> SysResult<usize> {
    if bitset == 0 {
        return Err(Errno::EINVAL.into());
    }
    // Not by `key`: that the page is there shows below.
    if !addr.0.is_multiple_of(4) {
        return Err(Errno::EINVAL.into());
    }
    let key = cx.task.mm()?.futex_key(addr.0, private)?;
    let waiter = table(cx).queue(&cx.task, key, bitset);
    let word = cx.read_obj::<u32>(addr);
    if word != Ok(value) {
        // A wake-up that came meanwhile was meant for us.
        return if table(cx).cancel(&waiter) {
            Ok(0)
        } else {
            Err(word.err().unwrap_or(Errno::EAGAIN).into())
        };
    }
    match sleep(cx, &waiter, deadline) {
        Ok(()) => Ok(0),
        Err(error) => Err(error.or_restart(RestartKind::Sys, Errno::ETIMEDOUT)),
    }
}

/// Sleeps until the waiter is woken; takes it out of its queue.
pub(super) fn sleep(cx: &ThreadCx, waiter: &Arc<Waiter>, deadline: Deadline) -> Result<(), WaitError> {
    let result = cx.task.wait_for(deadline, || waiter.is_woken().then_some(()));
    if table(cx).cancel(waiter) { Ok(()) } else { result }
}

pub(super) fn wake(
    cx: &mut ThreadCx,
    addr: UserAddr,
    count: usize,
    bitset: u32,
    private: bool,
) -> Result<usize> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    let key = key(cx, addr, private)?;
    table(cx).wake(&key, count, bitset)
}

pub(super) fn requeue(
    cx: &mut ThreadCx,
    from: (UserAddr, bool),
    to: (UserAddr, bool),
    wake: u32,
    requeue: u32,
    expected: Option<u32>,
) -> Result<usize> {
    let wake = usize::try_from(wake.cast_signed()).map_err(|_| Errno::EINVAL)?;
    let requeue = usize::try_from(requeue.cast_signed()).map_err(|_| Errno::EINVAL)?;
    let (from_key, to_key) = (key(cx, from.0, from.1)?, key(cx, to.0, to.1)?);
    if let Some(expected) = expected
        && cx.read_obj::<u32>(from.0)? != expected
    {
        return Err(Errno::EAGAIN);
    }
    table(cx).requeue(&from_key, &to_key, wake, requeue)
}

/// `FUTEX_WAKE_OP`'s encoded operation.
struct WakeOp {
    op: u32,
    operand: u32,
    compare: u32,
    with: i32,
}

impl WakeOp {
    fn decode(code: u32) -> WakeOp {
        let field = |shift: u32| (code >> shift << 20).cast_signed() >> 20;
        let operand = field(12).cast_unsigned();
        // FUTEX_OP_OPARG_SHIFT
        let operand = if code >> 31 != 0 { 1 << (operand & 31) } else { operand };
        WakeOp { op: code >> 28 & 7, operand, compare: code >> 24 & 15, with: field(0) }
    }

    fn apply(&self, old: u32) -> Result<u32> {
        Ok(match self.op {
            0 => self.operand,
            1 => old.wrapping_add(self.operand),
            2 => old | self.operand,
            3 => old & !self.operand,
            4 => old ^ self.operand,
            _ => return Err(Errno::ENOSYS),
        })
    }

    fn holds(&self, old: u32) -> Result<bool> {
        let old = old.cast_signed();
        Ok(match self.compare {
            0 => old == self.with,
            1 => old != self.with,
            2 => old < self.with,
            3 => old >= self.with,
            4 => old <= self.with,
            5 => old > self.with,
            _ => return Err(Errno::ENOSYS),
        })
    }
}

fn wake_op(
    cx: &mut ThreadCx,
    addr: UserAddr,
    addr2: UserAddr,
    count: u32,
    count2: u32,
    code: u32,
    private: bool,
) -> Result<usize> {
    let (key, key2) = (key(cx, addr, private)?, key(cx, addr2, private)?);
    let op = WakeOp::decode(code);
    let mut word = UserWord { context: &mut *cx.context, addr: addr2 };
    let old = update(&mut word, |value| op.apply(value))?;
    let holds = op.holds(old)?;
    let woken = table(cx).wake(&key, at_least_one(count), FUTEX_BITSET_MATCH_ANY)?;
    let more = if holds { table(cx).wake(&key2, at_least_one(count2), FUTEX_BITSET_MATCH_ANY)? } else { 0 };
    Ok(woken + more)
}

/// set_robust_list(2).
pub fn set_robust_list(cx: &mut ThreadCx, head: UserAddr, len: usize) -> Result<()> {
    if len != size_of::<RobustListHead>() {
        return Err(Errno::EINVAL);
    }
    cx.task.set_robust_list(head.0);
    cx.lend();
    Ok(())
}

/// get_robust_list(2).
pub fn get_robust_list(cx: &mut ThreadCx, pid: i32, head: UserAddr, len: UserAddr) -> Result<()> {
    let task = if pid == 0 {
        Arc::clone(&cx.task)
    } else {
        Arc::clone(cx.task.kernel.tasks.lock().thread(pid).ok_or(Errno::ESRCH)?)
    };
    // As ptrace_may_access, as far as it can differ in one user namespace.
    if task.pid() != cx.task.pid()
        && task.creds().ruid != cx.task.creds().ruid
        && !cx.task.capable(crate::credentials::Caps::SYS_PTRACE)
    {
        return Err(Errno::EPERM);
    }
    cx.write_obj(len, &size_of::<RobustListHead>())?;
    cx.write_obj(head, &task.robust_list())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_op_is_decoded_as_by_linux() {
        // FUTEX_OP(FUTEX_OP_ADD, -1, FUTEX_OP_CMP_GT, 1), as glibc's condition variables used it.
        let op = WakeOp::decode(1 << 28 | 5 << 24 | 0xfff << 12 | 1);
        assert_eq!(op.apply(10), Ok(9));
        assert_eq!((op.holds(2), op.holds(1)), (Ok(true), Ok(false)));
        // FUTEX_OP_OPARG_SHIFT: 1 << 4, or-ed.
        let op = WakeOp::decode((8 | 2) << 28 | 4 << 12);
        assert_eq!(op.apply(1), Ok(17));
        assert_eq!(op.holds(0), Ok(true));
        let op = WakeOp::decode(7 << 28 | 9 << 24);
        assert_eq!((op.apply(0), op.holds(0)), (Err(Errno::ENOSYS), Err(Errno::ENOSYS)));
    }
}
