//! futex(2), futex_waitv(2) and the futex2 calls, robust lists.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use linux_abi::{
    Errno, Result, UserAddr,
    futex::{
        FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI,
        FUTEX_LOCK_PI2, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_WAIT,
        FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_WAITV_MAX, FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP,
        FUTEX2_PRIVATE, FUTEX2_SIZE_U32, FutexWaitv, RobustListHead,
    },
    time::{CLOCK_MONOTONIC, CLOCK_REALTIME, Timespec},
};

use crate::{
    error::{RestartKind, SysError, SysResult},
    mm::FutexKey,
    task::{
        Pid, RestartBlock, ThreadCx,
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
type Deadline = Option<Instant>;

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
    let has_timeout =
        matches!(command, FUTEX_WAIT | FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI);
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

fn key(cx: &ThreadCx, addr: UserAddr, private: bool) -> Result<FutexKey> {
    if !addr.0.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    cx.task.mm()?.futex_key(addr.0, private)
}

fn table(cx: &ThreadCx) -> &FutexTable {
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

fn wait_once(
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
    let key = key(cx, addr, private)?;
    let waiter = table(cx).queue(&cx.task, key, bitset);
    let word = cx.read_obj::<u32>(addr);
    if word != Ok(value) {
        // A wake-up that came meanwhile was meant for us.
        return if table(cx).cancel(&waiter) { Ok(0) } else { Err(word.err().unwrap_or(Errno::EAGAIN).into()) };
    }
    match sleep(cx, &waiter, deadline) {
        Ok(()) => Ok(0),
        Err(error) => Err(error.or_restart(RestartKind::Sys, Errno::ETIMEDOUT)),
    }
}

/// Sleeps until the waiter is woken; takes it out of its queue.
fn sleep(cx: &ThreadCx, waiter: &Arc<Waiter>, deadline: Deadline) -> Result<(), WaitError> {
    let result = cx.task.wait_for(deadline, || waiter.is_woken().then_some(()));
    if table(cx).cancel(waiter) { Ok(()) } else { result }
}

fn wake(cx: &ThreadCx, addr: UserAddr, count: usize, bitset: u32, private: bool) -> Result<usize> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    table(cx).wake(&key(cx, addr, private)?, count, bitset)
}

fn requeue(
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

/// Whether a thread exists that can own a PI futex.
fn is_alive(cx: &ThreadCx) -> impl Fn(Pid) -> bool + use<> {
    let kernel = Arc::clone(&cx.task.kernel);
    move |tid| {
        let tree = kernel.tasks.lock();
        tree.thread(tid).is_some_and(|task| !task.futexes_left.load(std::sync::atomic::Ordering::SeqCst))
    }
}

/// Takes the lock, or queues and returns the waiter.
fn start_lock_pi(cx: &mut ThreadCx, key: FutexKey, addr: UserAddr, try_only: bool) -> Result<Option<Arc<Waiter>>> {
    let is_alive = is_alive(cx);
    let mut word = UserWord { context: &mut *cx.context, addr };
    cx.task.kernel.futexes.lock_pi(&cx.task, key, &mut word, try_only, &is_alive)
}

fn finish_pi(cx: &mut ThreadCx, waiter: &Waiter, key: &FutexKey, addr: UserAddr) -> Result<bool> {
    let mut word = UserWord { context: &mut *cx.context, addr };
    cx.task.kernel.futexes.finish_pi(waiter, key, &mut word)
}

fn lock_pi(cx: &mut ThreadCx, addr: UserAddr, private: bool, deadline: Deadline) -> SysResult<usize> {
    let key = key(cx, addr, private)?;
    let Some(waiter) = start_lock_pi(cx, key, addr, false)? else { return Ok(0) };
    sleep(cx, &waiter, deadline).map_err(|e| e.or_restart(RestartKind::NoIntr, Errno::ETIMEDOUT))?;
    finish_pi(cx, &waiter, &key, addr)?;
    Ok(0)
}

fn try_lock_pi(cx: &mut ThreadCx, addr: UserAddr, private: bool) -> SysResult<usize> {
    let key = key(cx, addr, private)?;
    start_lock_pi(cx, key, addr, true)?;
    Ok(0)
}

fn unlock_pi(cx: &mut ThreadCx, addr: UserAddr, private: bool) -> Result<usize> {
    let key = key(cx, addr, private)?;
    let mut word = UserWord { context: &mut *cx.context, addr };
    cx.task.kernel.futexes.unlock_pi(cx.task.tid(), key, &mut word)?;
    Ok(0)
}

fn wait_requeue_pi(
    cx: &mut ThreadCx,
    addr: UserAddr,
    value: u32,
    bitset: u32,
    target: UserAddr,
    private: bool,
    deadline: Deadline,
) -> SysResult<usize> {
    if addr == target || bitset == 0 {
        return Err(Errno::EINVAL.into());
    }
    let (key, target_key) = (key(cx, addr, private)?, self::key(cx, target, private)?);
    let waiter = table(cx).queue_for_pi(&cx.task, key, target_key, bitset);
    let word = cx.read_obj::<u32>(addr);
    if word != Ok(value) && !table(cx).cancel(&waiter) {
        return Err(word.err().unwrap_or(Errno::EAGAIN).into());
    }
    let result = cx.task.wait_for(deadline, || waiter.is_woken().then_some(()));
    let requeued = table(cx).is_requeued(&waiter);
    if !table(cx).cancel(&waiter)
        && let Err(error) = result
    {
        // Once moved, the wait cannot be restarted: the condition it waited for has come.
        return Err(match error {
            WaitError::Interrupted if requeued => Errno::EAGAIN.into(),
            error => error.or_restart(RestartKind::NoIntr, Errno::ETIMEDOUT),
        });
    }
    finish_pi(cx, &waiter, &target_key, target)?;
    Ok(0)
}

fn requeue_pi(
    cx: &mut ThreadCx,
    addr: UserAddr,
    target: UserAddr,
    wake: u32,
    requeue: u32,
    expected: u32,
    private: bool,
) -> Result<usize> {
    let requeue = usize::try_from(requeue.cast_signed()).map_err(|_| Errno::EINVAL)?;
    if wake != 1 || addr == target {
        return Err(Errno::EINVAL);
    }
    let (key, target_key) = (key(cx, addr, private)?, self::key(cx, target, private)?);
    if cx.read_obj::<u32>(addr)? != expected {
        return Err(Errno::EAGAIN);
    }
    let is_alive = is_alive(cx);
    let mut word = UserWord { context: &mut *cx.context, addr: target };
    cx.task.kernel.futexes.requeue_pi(key, target_key, &mut word, requeue.saturating_add(1), &is_alive)
}

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
pub fn futex_requeue(cx: &mut ThreadCx, waiters: UserAddr, flags: u32, wake: i32, count: i32) -> Result<usize> {
    if flags != 0 || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let [from, to] = cx.read_obj::<[FutexWaitv; 2]>(waiters)?;
    let ((from, value, from_private), (to, _, to_private)) = (check_waitv(&from)?, check_waitv(&to)?);
    let (wake, count) = (wake.cast_unsigned(), count.cast_unsigned());
    requeue(cx, (from, from_private), (to, to_private), wake, count, Some(value))
}

/// set_robust_list(2).
pub fn set_robust_list(cx: &mut ThreadCx, head: UserAddr, len: usize) -> Result<()> {
    if len != size_of::<RobustListHead>() {
        return Err(Errno::EINVAL);
    }
    cx.task.robust_list.store(head.0, std::sync::atomic::Ordering::Relaxed);
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
    cx.write_obj(head, &task.robust_list.load(std::sync::atomic::Ordering::Relaxed))
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

    #[test]
    fn futex2_flags_are_checked() {
        assert_eq!(futex2_private(2), Ok(false));
        assert_eq!(futex2_private(2 | 128), Ok(true));
        for bad in [0, 1, 3, 6, 2 | 256] {
            assert_eq!(futex2_private(bad), Err(Errno::EINVAL), "{bad}");
        }
    }
}
