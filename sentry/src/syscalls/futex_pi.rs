//! The commands of futex(2) for words that hold their owner's thread id.

use std::sync::Arc;

use linux_abi::{Errno, Result, UserAddr};

use super::futex::{Deadline, key, sleep, table};
use crate::{
    error::{RestartKind, SysResult},
    mm::FutexKey,
    task::{
        Pid, ThreadCx,
        block::WaitError,
        futex::{Waiter, pi::UserWord},
        usermem::UserMemory,
    },
};

/// Whether a thread exists that can own a PI futex.
fn is_alive(cx: &ThreadCx) -> impl Fn(Pid) -> bool + use<> {
    let kernel = Arc::clone(&cx.task.kernel);
    move |tid| {
        let tree = kernel.tasks.lock();
        tree.thread(tid).is_some_and(|task| !task.futexes_left.load(std::sync::atomic::Ordering::SeqCst))
    }
}

/// Takes the lock, or queues and returns the waiter.
fn start_lock_pi(
    cx: &mut ThreadCx,
    key: FutexKey,
    addr: UserAddr,
    try_only: bool,
) -> Result<Option<Arc<Waiter>>> {
    let is_alive = is_alive(cx);
    let mut word = UserWord { context: &mut *cx.context, addr };
    cx.task.kernel.futexes.lock_pi(&cx.task, key, &mut word, try_only, &is_alive)
}

fn finish_pi(cx: &mut ThreadCx, waiter: &Waiter, key: &FutexKey, addr: UserAddr) -> Result<bool> {
    let mut word = UserWord { context: &mut *cx.context, addr };
    cx.task.kernel.futexes.finish_pi(waiter, key, &mut word)
}

pub(super) fn lock_pi(
    cx: &mut ThreadCx,
    addr: UserAddr,
    private: bool,
    deadline: Deadline,
) -> SysResult<usize> {
    let key = key(cx, addr, private)?;
    let Some(waiter) = start_lock_pi(cx, key, addr, false)? else { return Ok(0) };
    sleep(cx, &waiter, deadline).map_err(|e| e.or_restart(RestartKind::NoIntr, Errno::ETIMEDOUT))?;
    finish_pi(cx, &waiter, &key, addr)?;
    Ok(0)
}

pub(super) fn try_lock_pi(cx: &mut ThreadCx, addr: UserAddr, private: bool) -> SysResult<usize> {
    let key = key(cx, addr, private)?;
    start_lock_pi(cx, key, addr, true)?;
    Ok(0)
}

pub(super) fn unlock_pi(cx: &mut ThreadCx, addr: UserAddr, private: bool) -> Result<usize> {
    let key = key(cx, addr, private)?;
    let mut word = UserWord { context: &mut *cx.context, addr };
    cx.task.kernel.futexes.unlock_pi(cx.task.tid(), key, &mut word)?;
    Ok(0)
}

pub(super) fn wait_requeue_pi(
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
    let (key, target_key) = (key(cx, addr, private)?, super::futex::key(cx, target, private)?);
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

pub(super) fn requeue_pi(
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
    let (key, target_key) = (key(cx, addr, private)?, super::futex::key(cx, target, private)?);
    if cx.read_obj::<u32>(addr)? != expected {
        return Err(Errno::EAGAIN);
    }
    let is_alive = is_alive(cx);
    let mut word = UserWord { context: &mut *cx.context, addr: target };
    cx.task.kernel.futexes.requeue_pi(key, target_key, &mut word, requeue.saturating_add(1), &is_alive)
}
