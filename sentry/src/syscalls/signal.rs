//! Signals: rt_sigaction(2), rt_sigprocmask(2), kill(2), sigaltstack(2), rt_sigtimedwait(2) and their kin.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use linux_abi::{Errno, Result, UserAddr};

use crate::{
    credentials::{Caps, Credentials},
    error::{Outcome, RestartKind, SysError, SysResult},
    signal::{
        SIGCONT, SigSet, UNBLOCKABLE,
        action::{Action, DefaultAction, SA_KNOWN, SIG_DFL, SIG_IGN, default_action},
        frame,
        info::{SI_TKILL, SI_USER, SigInfo},
        is_valid, send,
        state::AltStack,
    },
    task::{Pid, Task, ThreadCx, block::WaitError, usermem::UserMemory},
};

const SIGSET_SIZE: usize = 8;

/// rt_sigreturn(2).
pub fn rt_sigreturn(cx: &mut ThreadCx) -> Outcome {
    frame::rt_sigreturn(cx)
}

/// rt_sigaction(2).
pub fn rt_sigaction(
    cx: &mut ThreadCx,
    signo: i32,
    new: UserAddr,
    old: UserAddr,
    size: usize,
) -> SysResult<()> {
    if size != SIGSET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let wanted = if new.is_null() {
        None
    } else {
        let [handler, flags, restorer, mask]: [u64; 4] = cx.read_obj(new)?;
        let mask = SigSet(mask).without(UNBLOCKABLE);
        Some(Action { handler, flags: flags & SA_KNOWN, restorer, mask })
    };
    if !is_valid(signo) || (wanted.is_some() && UNBLOCKABLE.has(signo)) {
        return Err(Errno::EINVAL.into());
    }
    cx.know_actions();
    let handlers = Arc::clone(&cx.task.group.handlers.read());
    let before = match wanted {
        Some(action) => {
            let before = handlers.set(signo, action);
            // Ignoring a signal forgets it where it is pending.
            let ignored = action.handler == SIG_IGN
                || (action.handler == SIG_DFL
                    && matches!(default_action(signo), DefaultAction::Ignore | DefaultAction::Continue));
            if ignored {
                forget(&cx.task, SigSet::of(signo));
            }
            before
        }
        None => handlers.get(signo),
    };
    drop(handlers);
    cx.lend_actions();
    if !old.is_null() {
        cx.write_obj(old, &[before.handler, before.flags, before.restorer, before.mask.0])?;
    }
    Ok(())
}

fn forget(task: &Task, which: SigSet) {
    let threads = task.kernel.tasks.lock().threads_of(task.pid());
    task.group.signals.lock().pending.discard(which);
    for thread in threads {
        thread.signals.lock().pending.discard(which);
    }
}

/// rt_sigprocmask(2).
pub fn rt_sigprocmask(
    cx: &mut ThreadCx,
    how: i32,
    new: UserAddr,
    old: UserAddr,
    size: usize,
) -> SysResult<()> {
    if size != SIGSET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let before = cx.task.blocked();
    if !new.is_null() {
        let set = SigSet(cx.read_obj(new)?);
        let mask = match how {
            0 => before.union(set),
            1 => before.without(set),
            2 => set,
            _ => return Err(Errno::EINVAL.into()),
        };
        let task = Arc::clone(&cx.task);
        task.set_blocked(mask);
        cx.lend();
    }
    if !old.is_null() {
        cx.write_obj(old, &before.0)?;
    }
    Ok(())
}

/// rt_sigpending(2).
pub fn rt_sigpending(cx: &mut ThreadCx, set: UserAddr, size: usize) -> SysResult<()> {
    if size > SIGSET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let pending = cx.task.pending_signals().intersection(cx.task.blocked()).0.to_le_bytes();
    Ok(cx.write_bytes(set, pending.get(..size).unwrap_or_default())?)
}

/// rt_sigsuspend(2).
pub fn rt_sigsuspend(cx: &mut ThreadCx, mask: UserAddr, size: usize) -> SysResult<()> {
    if size != SIGSET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let mask = SigSet(cx.read_obj(mask)?);
    set_temporary_mask(&cx.task, mask);
    match cx.task.sleep_until(None) {
        Err(_) => Err(SysError::Restart(RestartKind::NoHand)),
        Ok(()) => Err(Errno::EINTR.into()),
    }
}

/// Puts `mask` in force until the next return to guest code or the end of the handler that interrupts the call.
pub(crate) fn set_temporary_mask(task: &Arc<Task>, mask: SigSet) {
    let before = task.blocked();
    task.signals.lock().saved_mask = Some(before);
    task.set_blocked(mask);
    // The old mask must come back even if nothing interrupts.
    task.set_signal_pending(task.interrupted());
}

/// pause(2).
pub fn pause(cx: &mut ThreadCx) -> SysResult<()> {
    match cx.task.sleep_until(None) {
        Err(_) => Err(SysError::Restart(RestartKind::NoHand)),
        Ok(()) => Err(Errno::EINTR.into()),
    }
}

/// rt_sigtimedwait(2).
pub fn rt_sigtimedwait(
    cx: &mut ThreadCx,
    set: UserAddr,
    info: UserAddr,
    timeout: UserAddr,
    size: usize,
) -> SysResult<i32> {
    if size != SIGSET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let wanted = SigSet(cx.read_obj(set)?).without(UNBLOCKABLE);
    let deadline = if timeout.is_null() {
        None
    } else {
        let [sec, nsec]: [i64; 2] = cx.read_obj(timeout)?;
        let sec = u64::try_from(sec).map_err(|_| Errno::EINVAL)?;
        let nsec = u32::try_from(nsec).ok().filter(|nsec| *nsec < 1_000_000_000).ok_or(Errno::EINVAL)?;
        Some(Instant::now().checked_add(Duration::new(sec, nsec)))
    };
    let task = Arc::clone(&cx.task);
    let found = match task.take_signal(wanted) {
        Some(found) => found,
        None => {
            task.signals.lock().waiting_for = wanted;
            // A wanted signal raises `signal_pending` although it is blocked: take it before calling that an interruption.
            let waited = loop {
                let waited = task.wait_for(deadline.flatten(), || task.take_signal(wanted));
                match waited {
                    Err(WaitError::Interrupted) => {
                        if let Some(found) = task.take_signal(wanted) {
                            break Ok(found);
                        }
                        task.refresh_signal_pending();
                        if task.interrupted() {
                            break Err(WaitError::Interrupted);
                        }
                    }
                    other => break other,
                }
            };
            task.signals.lock().waiting_for = SigSet::EMPTY;
            task.refresh_signal_pending();
            waited.map_err(|error| match error {
                WaitError::TimedOut => Errno::EAGAIN,
                _ => Errno::EINTR,
            })?
        }
    };
    if !info.is_null() {
        cx.write_bytes(info, &found.to_bytes())?;
    }
    Ok(found.signo)
}

/// Whether `sender` may signal a task with `target`'s credentials (`kill_ok_by_cred`).
fn may_signal(sender: &Credentials, target: &Credentials) -> bool {
    sender.euid == target.suid
        || sender.euid == target.ruid
        || sender.ruid == target.suid
        || sender.ruid == target.ruid
        || sender.capable(Caps::KILL)
}

/// Permission to send `signo` from `task` to the process `pid` whose credentials are `target`'s.
fn check_permission(task: &Task, target: &Task, signo: i32) -> Result<()> {
    if task.pid() == target.pid() || may_signal(&task.creds(), &target.creds()) {
        return Ok(());
    }
    let tree = task.kernel.tasks.lock();
    let same_session = tree.process(task.pid()).map(|p| p.sid) == tree.process(target.pid()).map(|p| p.sid);
    if signo == SIGCONT && same_session { Ok(()) } else { Err(Errno::EPERM) }
}

fn user_info(task: &Task, signo: i32, code: i32) -> SigInfo {
    SigInfo::user(signo, code, task.pid(), task.creds().ruid)
}

fn check_signo(signo: i32) -> Result<()> {
    if signo == 0 || is_valid(signo) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// kill(2).
pub fn kill(cx: &mut ThreadCx, pid: i32, signo: i32) -> SysResult<()> {
    let task = &cx.task;
    let info = user_info(task, signo, SI_USER);
    let sent = match pid {
        1.. => kill_process(task, pid, info),
        i32::MIN => Err(Errno::ESRCH),
        -1 => {
            let others: Vec<Pid> = {
                let tree = task.kernel.tasks.lock();
                tree.processes().map(|(pid, _)| pid).filter(|&pid| pid > 1 && pid != task.pid()).collect()
            };
            kill_many(task, &others, info)
        }
        _ => {
            let members: Vec<Pid> = {
                let tree = task.kernel.tasks.lock();
                let pgid = if pid == 0 { tree.process(task.pid()).map_or(0, |p| p.pgid) } else { -pid };
                tree.group_members(pgid).map(|(pid, _)| pid).collect()
            };
            kill_many(task, &members, info)
        }
    };
    Ok(sent?)
}

fn kill_many(task: &Task, pids: &[Pid], info: SigInfo) -> Result<()> {
    check_signo(info.signo)?;
    let mut result = Err(Errno::ESRCH);
    for &pid in pids {
        match kill_process(task, pid, info) {
            Ok(()) => result = Ok(()),
            Err(errno) if result == Err(Errno::ESRCH) => result = Err(errno),
            Err(_) => {}
        }
    }
    result
}

/// Sends to one process, with its checks. Zombies count as existing.
pub(crate) fn kill_process(task: &Task, pid: Pid, info: SigInfo) -> Result<()> {
    check_signo(info.signo)?;
    let (group, target) = {
        let tree = task.kernel.tasks.lock();
        // A thread id names its process, as in Linux.
        let pid = tree.thread(pid).map_or(pid, |thread| thread.pid());
        let process = tree.process(pid).ok_or(Errno::ESRCH)?;
        (Arc::clone(&process.group), tree.threads_of(pid).into_iter().next())
    };
    let Some(target) = target else { return Ok(()) };
    check_permission(task, &target, info.signo)?;
    if info.signo != 0 {
        send::send_to_group(&task.kernel, &group, info)?;
    }
    Ok(())
}

/// tkill(2).
pub fn tkill(cx: &mut ThreadCx, tid: i32, signo: i32) -> SysResult<()> {
    if tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = user_info(&cx.task, signo, SI_TKILL);
    Ok(kill_thread(&cx.task, None, tid, info)?)
}

/// tgkill(2).
pub fn tgkill(cx: &mut ThreadCx, pid: i32, tid: i32, signo: i32) -> SysResult<()> {
    if tid <= 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = user_info(&cx.task, signo, SI_TKILL);
    Ok(kill_thread(&cx.task, Some(pid), tid, info)?)
}

fn kill_thread(task: &Task, pid: Option<Pid>, tid: Pid, info: SigInfo) -> Result<()> {
    let target = {
        let tree = task.kernel.tasks.lock();
        let target = tree.thread(tid).ok_or(Errno::ESRCH)?;
        if pid.is_some_and(|pid| pid != target.pid()) {
            return Err(Errno::ESRCH);
        }
        Arc::clone(target)
    };
    check_signo(info.signo)?;
    check_permission(task, &target, info.signo)?;
    if info.signo != 0 {
        send::send_to_task(&target, info)?;
    }
    Ok(())
}

fn queued_info(cx: &mut ThreadCx, signo: i32, at: UserAddr, target: Pid) -> Result<SigInfo> {
    let mut bytes = [0; 128];
    cx.read_bytes(at, &mut bytes)?;
    let info = SigInfo { signo, ..SigInfo::from_bytes(&bytes) };
    // Nobody may pretend to be the kernel or kill(2) towards others.
    if (info.code >= 0 || info.code == SI_TKILL) && target != cx.task.pid() {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

/// rt_sigqueueinfo(2).
pub fn rt_sigqueueinfo(cx: &mut ThreadCx, pid: i32, signo: i32, info: UserAddr) -> SysResult<()> {
    let info = queued_info(cx, signo, info, pid)?;
    Ok(kill_process(&cx.task, pid, info)?)
}

/// rt_tgsigqueueinfo(2).
pub fn rt_tgsigqueueinfo(cx: &mut ThreadCx, pid: i32, tid: i32, signo: i32, info: UserAddr) -> SysResult<()> {
    if tid <= 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = queued_info(cx, signo, info, pid)?;
    Ok(kill_thread(&cx.task, Some(pid), tid, info)?)
}

/// sigaltstack(2).
pub fn sigaltstack(cx: &mut ThreadCx, new: UserAddr, old: UserAddr) -> SysResult<()> {
    let before = cx.task.signals.lock().alt_stack;
    if !new.is_null() {
        let [sp, flags, size]: [u64; 3] = cx.read_obj(new)?;
        #[expect(clippy::cast_possible_truncation, reason = "ss_flags is a 32-bit field in a 64-bit slot")]
        frame::set_alt_stack(cx, AltStack { sp, flags: flags as u32, size })?;
    }
    if !old.is_null() {
        let flags = before.state(cx.registers().rsp) | (before.flags & frame::SS_AUTODISARM);
        cx.write_obj(old, &[before.sp, u64::from(flags), before.size])?;
    }
    Ok(())
}

/// restart_syscall(2): goes on with what a signal interrupted.
pub fn restart_syscall(cx: &mut ThreadCx) -> SysResult<u64> {
    let block = cx.task.restart_block.lock().take();
    match block {
        Some(block) => super::restart(cx, block),
        None => Err(Errno::EINTR.into()),
    }
}
