//! Job-control stops: `SIGSTOP`, `SIGTSTP`, `SIGTTIN`, `SIGTTOU` and what `SIGCONT` undoes.

use super::{SIGSTOP, send, state::StopState};
use crate::task::{Task, tree::StopReport, wait};

/// Stops the process of `task` because of `signo`, unless the signal is one that an orphaned process group ignores.
pub(super) fn begin(task: &Task, signo: i32) {
    let tree = task.kernel.tasks.lock();
    let Some(process) = tree.process(task.pid()) else { return };
    if signo != SIGSTOP && tree.is_orphaned(process.pgid, None) {
        return;
    }
    {
        let mut signals = task.group.signals.lock();
        if signals.exiting.is_some() || signals.stop != StopState::Running {
            return;
        }
        signals.stop = StopState::Stopped(signo);
        signals.report = Some(StopReport::Stopped(signo));
    }
    let threads = tree.threads_of(task.pid());
    drop(tree);
    for thread in threads {
        if thread.tid() != task.tid() {
            thread.notify_signal();
        }
    }
}

/// Sleeps while the process is stopped. Only `SIGCONT` and death end it.
pub(super) fn wait(task: &Task) {
    task.set_stopped(true);
    report_if_complete(task);
    let running =
        || (task.group.signals.lock().stop == StopState::Running || task.trace.is_on()).then_some(());
    // Interrupted means: must die, which the caller looks at next.
    let _ = task.wait_killable(|| running().or_else(|| task.is_killed().then_some(())));
    task.set_stopped(false);
    report_continued(task);
}

/// A tracer hears of stops in its own way: the parent's report is taken back, that of a continuation is made.
pub(super) fn settle_traced(task: &Task) {
    task.group.signals.lock().report.take_if(|report| matches!(report, StopReport::Stopped(_)));
    report_continued(task);
}

fn report_continued(task: &Task) {
    let report = task.group.signals.lock().report.take_if(|report| *report == StopReport::Continued);
    if let Some(report) = report {
        let mut tree = task.kernel.tasks.lock();
        wait::report_stop(&mut tree, task.pid(), report, task.creds().ruid);
    }
}

/// Tells the parent that the process has stopped, once its last thread has (`do_notify_parent_cldstop`).
pub(crate) fn report_if_complete(task: &Task) {
    let mut tree = task.kernel.tasks.lock();
    if !tree.threads_of(task.pid()).iter().all(|thread| thread.is_stopped()) {
        return;
    }
    let stopped = |report: &mut StopReport| matches!(report, StopReport::Stopped(_));
    let report = task.group.signals.lock().report.take_if(stopped);
    if let Some(report) = report {
        wait::report_stop(&mut tree, task.pid(), report, task.creds().ruid);
    }
}

/// Whether the process is stopped.
pub(super) fn is_stopped(task: &Task) -> bool {
    task.group.signals.lock().stop != StopState::Running
}

/// Re-exported for the terminal: stops a background process group.
pub fn stop_background(kernel: &crate::kernel::Kernel, pgid: crate::task::Pid, signo: i32) {
    send::send_to_pgrp(kernel, pgid, super::info::SigInfo::kernel(signo));
}
