//! How a signal becomes pending, and who is told (`kernel/signal.c`: `prepare_signal`, `send_signal_locked`, `complete_signal`).

use std::sync::Arc;

use linux_abi::{Errno, Result};

use super::{
    SIGCONT, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SigSet,
    action::{DefaultAction, SIG_DFL, SIG_IGN, default_action},
    info::SigInfo,
    state::StopState,
};
use crate::{
    kernel::Kernel,
    limits::RLIMIT_SIGPENDING,
    task::{
        Pid, Task, ThreadGroup,
        tree::{StopReport, TaskTree},
        wait::ExitStatus,
    },
    wait::Events,
};

const STOP_SIGNALS: SigSet =
    SigSet(1 << (SIGSTOP - 1) | 1 << (SIGTSTP - 1) | 1 << (SIGTTIN - 1) | 1 << (SIGTTOU - 1));

/// Sends to one thread (tgkill, faults, thread-directed timers).
///
/// # Errors
/// `EAGAIN` when the queue of real-time signals is full.
pub fn send_to_task(task: &Arc<Task>, info: SigInfo) -> Result<()> {
    let tree = task.kernel.tasks.lock();
    prepare(&tree, &task.group, info.signo);
    let threads = tree.threads_of(task.pid());
    drop(tree);
    queue(&task.group, &threads, Some(task), info)
}

/// Sends to a process.
///
/// # Errors
/// `EAGAIN` when the queue of real-time signals is full.
pub fn send_to_group(kernel: &Kernel, group: &Arc<ThreadGroup>, info: SigInfo) -> Result<()> {
    let tree = kernel.tasks.lock();
    prepare(&tree, group, info.signo);
    let threads = tree.threads_of(group.pid);
    drop(tree);
    queue(group, &threads, None, info)
}

/// Sends to every process of a process group. Returns how many there were.
pub fn send_to_pgrp(kernel: &Kernel, pgid: Pid, info: SigInfo) -> usize {
    let tree = kernel.tasks.lock();
    let mut count = 0;
    for (pid, process) in tree.group_members(pgid) {
        prepare(&tree, &process.group, info.signo);
        let _ = queue(&process.group, &tree.threads_of(pid), None, info);
        count += 1;
    }
    count
}

/// As [`send_to_group`], with the tree locked by the caller; a full queue loses the signal.
pub(crate) fn queue_to_group(group: &Arc<ThreadGroup>, threads: &[Arc<Task>], info: SigInfo) {
    prepare_locked(group, threads, info.signo);
    let _ = queue(group, threads, None, info);
}

fn prepare(tree: &TaskTree, group: &Arc<ThreadGroup>, signo: i32) {
    prepare_locked(group, &tree.threads_of(group.pid), signo);
}

/// Stop signals and `SIGCONT` cancel each other, whatever the process does with them.
fn prepare_locked(group: &Arc<ThreadGroup>, threads: &[Arc<Task>], signo: i32) {
    if STOP_SIGNALS.has(signo) {
        discard(group, threads, SigSet::of(SIGCONT));
    } else if signo == SIGCONT {
        discard(group, threads, STOP_SIGNALS);
        continue_group(group, threads);
    } else if signo == SIGKILL {
        group.signals.lock().stop = StopState::Running;
    }
}

fn discard(group: &ThreadGroup, threads: &[Arc<Task>], which: SigSet) {
    group.signals.lock().pending.discard(which);
    for thread in threads {
        thread.signals.lock().pending.discard(which);
    }
}

/// Ends a job-control stop. The parent is told by the first thread that runs again (`signal/stop.rs`).
fn continue_group(group: &ThreadGroup, threads: &[Arc<Task>]) {
    {
        let mut signals = group.signals.lock();
        if signals.stop == StopState::Running {
            return;
        }
        signals.stop = StopState::Running;
        signals.report = Some(StopReport::Continued);
    }
    for thread in threads {
        thread.notify_signal();
    }
}

/// Whether `signo` would do nothing to a process with these actions.
fn is_ignored(group: &ThreadGroup, signo: i32) -> bool {
    let action = group.handlers.read().get(signo);
    action.handler == SIG_IGN
        || (action.handler == SIG_DFL && default_action(signo) == DefaultAction::Ignore)
        || (action.handler == SIG_DFL && signo == SIGCONT)
}

/// Makes the signal pending and tells somebody.
fn queue(
    group: &Arc<ThreadGroup>,
    threads: &[Arc<Task>],
    target: Option<&Arc<Task>>,
    info: SigInfo,
) -> Result<()> {
    let signo = info.signo;
    // An ignored signal is dropped, unless it is blocked: the action may change before it is unblocked.
    let traced = threads.iter().any(|task| task.trace.is_on());
    if signo != SIGKILL && !traced && is_ignored(group, signo) {
        let blocked = match target {
            Some(task) => wants_blocked(task, signo),
            None => threads.iter().any(|task| wants_blocked(task, signo)),
        };
        if !blocked {
            return Ok(());
        }
    }
    let limit = usize::try_from(group.limits.lock().soft(RLIMIT_SIGPENDING)).unwrap_or(usize::MAX);
    let queued = match target {
        Some(task) => {
            let mut signals = task.signals.lock();
            let full = signals.pending.len() >= limit;
            signals.pending.push(info, full)
        }
        None => {
            let mut signals = group.signals.lock();
            let full = signals.pending.len() >= limit;
            signals.pending.push(info, full)
        }
    };
    if !queued {
        return Err(Errno::EAGAIN);
    }
    group.signal_events.wake(Events::IN);
    if signo == SIGKILL {
        // Decided now: whoever takes it out of the queue may be slower than a thread that calls exit_group.
        let killed = ExitStatus::Signaled { signo, core: false };
        group.signals.lock().exiting.get_or_insert(killed);
        // Everybody must see it, stopped or not.
        for thread in threads {
            thread.notify_signal();
        }
        return Ok(());
    }
    let wants = |task: &Arc<Task>| {
        let mut signals = task.signals.lock();
        !signals.blocked().has(signo) || signals.waiting_for.has(signo)
    };
    match target {
        Some(task) => {
            if wants(task) {
                task.notify_signal();
            }
        }
        None => {
            // The main thread first, as Linux prefers it; else anyone who can take it.
            let leader = threads.iter().find(|task| task.tid() == group.pid && wants(task));
            if let Some(task) = leader.or_else(|| threads.iter().find(|task| wants(task))) {
                task.notify_signal();
            }
        }
    }
    Ok(())
}

fn wants_blocked(task: &Task, signo: i32) -> bool {
    let mut signals = task.signals.lock();
    signals.blocked().has(signo) || signals.waiting_for.has(signo)
}

/// A synchronous signal (fault) for the calling thread: cannot be blocked or ignored away (`force_sig_info`).
pub fn force(task: &Arc<Task>, info: SigInfo) {
    let signo = info.signo;
    {
        let handlers = task.group.handlers.read();
        let action = handlers.get(signo);
        let mut signals = task.signals.lock();
        let mask = signals.blocked();
        if mask.has(signo) || action.handler == SIG_IGN {
            handlers.set(signo, super::action::Action::default());
        }
        signals.set_blocked(mask.without(SigSet::of(signo)));
        signals.pending.push(info, false);
    }
    task.set_signal_pending(true);
}
