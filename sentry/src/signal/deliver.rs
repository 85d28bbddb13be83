//! What happens on the way back to guest code: stops, default actions, handlers, restarts.

use std::sync::Arc;

use super::{
    SIGKILL, SIGSEGV, SigSet, UNBLOCKABLE,
    action::{Action, DefaultAction, SA_NODEFER, SA_RESETHAND, SIG_DFL, SIG_IGN, default_action},
    frame,
    info::SigInfo,
    restart, send, stop,
};
use crate::{
    error::RestartKind,
    task::{Task, ThreadCx, wait::ExitStatus},
};

/// What the run loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Run the guest.
    Resume,
    /// End this thread.
    Exit(ExitStatus),
}

impl Task {
    /// Changes the mask. `SIGKILL` and `SIGSTOP` stay unblocked.
    pub fn set_blocked(self: &Arc<Self>, mask: SigSet) {
        let newly = {
            let mut signals = self.signals.lock();
            let newly = mask.without(UNBLOCKABLE).without(signals.blocked());
            signals.set_blocked(mask);
            newly
        };
        self.refresh_signal_pending();
        // Shared signals this thread can no longer take must find another (`retarget_shared_pending`).
        let orphaned = self.group.signals.lock().pending.set().intersection(newly);
        if !orphaned.is_empty() {
            for other in self.kernel.tasks.lock().threads_of(self.pid()) {
                if !orphaned.without(other.signals.lock().blocked()).is_empty() {
                    other.notify_signal();
                }
            }
        }
    }

    /// The mask.
    pub fn blocked(&self) -> SigSet {
        self.signals.lock().mask()
    }

    /// Recomputes `TIF_SIGPENDING`.
    pub fn refresh_signal_pending(&self) {
        let group = self.group.signals.lock();
        let mut own = self.signals.lock();
        let pending = own.pending.set().union(group.pending.set());
        let ready = !pending.is_empty() && !pending.without(own.blocked()).is_empty();
        let pending = ready
            || group.exiting.is_some()
            || own.exit_requested
            || self.trace.wants_stop()
            || (group.stop != super::state::StopState::Running && !self.trace.is_on())
            || (group.stop != super::state::StopState::Running && !self.trace.lock().past_group_stop)
            || group.report.is_some();
        self.set_signal_pending(pending);
    }

    /// Takes the next deliverable signal: own ones before the process's, faults first.
    fn dequeue(&self) -> Option<SigInfo> {
        let mut group = self.group.signals.lock();
        let mut own = self.signals.lock();
        let wanted = SigSet(!own.mask().0);
        let taken = own.pending.take(wanted).or_else(|| group.pending.take(wanted));
        drop((own, group));
        taken.map(|info| self.group.timers.signal_taken(info))
    }

    /// Takes a pending signal that is in `wanted`, blocked or not (sigtimedwait, signalfd).
    pub fn take_signal(&self, wanted: SigSet) -> Option<SigInfo> {
        let mut group = self.group.signals.lock();
        let mut own = self.signals.lock();
        let taken = own.pending.take(wanted).or_else(|| group.pending.take(wanted));
        drop((own, group));
        taken.map(|info| self.group.timers.signal_taken(info))
    }

    /// Signals that are pending for this thread.
    pub fn pending_signals(&self) -> SigSet {
        let group = self.group.signals.lock();
        let own = self.signals.lock();
        own.pending.set().union(group.pending.set())
    }

    /// Whether the thread must end, and how its process does.
    pub fn is_killed(&self) -> bool {
        let group = self.group.signals.lock();
        let own = self.signals.lock();
        group.exiting.is_some()
            || own.exit_requested
            || own.pending.set().has(SIGKILL)
            || group.pending.set().has(SIGKILL)
    }
}

/// Looks at everything that may be pending. `interrupted` is the restart the last system call asked for.
pub(crate) fn before_resume(cx: &mut ThreadCx, interrupted: Option<RestartKind>) -> Next {
    let mut interrupted = interrupted;
    // A handler must see the call's result, and while the process is stopped others may look at its memory.
    if let Err(platform::MapError::Refused(errno)) = cx.context.finish()
        && let Some(status) = cx.call_refused(errno)
    {
        return Next::Exit(status);
    }
    loop {
        cx.task.set_signal_pending(false);
        if let Some(status) = ending(&cx.task) {
            return Next::Exit(status);
        }
        if cx.is_traced() && !cx.task.is_killed() {
            stop::settle_traced(&cx.task);
            if cx.trace_pending() {
                continue;
            }
        }
        if stop::is_stopped(&cx.task) && !cx.is_traced() && !cx.task.is_killed() {
            stop::wait(&cx.task);
            continue;
        }
        let Some(info) = cx.task.dequeue() else {
            if let Some(kind) = interrupted.take() {
                restart::without_handler(cx.registers(), kind);
            }
            let saved = cx.task.signals.lock().saved_mask.take();
            if let Some(mask) = saved {
                let task = Arc::clone(&cx.task);
                task.set_blocked(mask);
            } else {
                cx.task.refresh_signal_pending();
            }
            if cx.task.interrupted() {
                continue;
            }
            return Next::Resume;
        };
        let info = if cx.is_traced() {
            match cx.trace_signal(info) {
                Some(info) => info,
                None => continue,
            }
        } else {
            info
        };
        let action = cx.task.group.handlers.read().get(info.signo);
        match action.handler {
            SIG_IGN => {}
            SIG_DFL => match default_action(info.signo) {
                DefaultAction::Ignore | DefaultAction::Continue => {}
                DefaultAction::Stop => stop::begin(&cx.task, info.signo),
                DefaultAction::Terminate | DefaultAction::Core => {
                    let core = default_action(info.signo) == DefaultAction::Core && cx.task.dumps_core();
                    let status = ExitStatus::Signaled { signo: info.signo, core };
                    cx.trace_exit(status);
                    cx.task.begin_group_exit(status);
                }
            },
            _ => {
                if let Some(kind) = interrupted.take() {
                    restart::with_handler(cx.registers(), kind, action.flags);
                }
                run_handler(cx, &info, action);
            }
        }
    }
}

fn ending(task: &Task) -> Option<ExitStatus> {
    if let Some(status) = task.group.signals.lock().exiting {
        return Some(status);
    }
    task.signals.lock().exit_requested.then_some(ExitStatus::Exited(0))
}

/// Puts the frame for `action` on the guest's stack and its mask in force.
fn run_handler(cx: &mut ThreadCx, info: &SigInfo, action: Action) {
    let task = Arc::clone(&cx.task);
    if action.flags & SA_RESETHAND != 0 {
        task.group.handlers.read().set(info.signo, Action { handler: SIG_DFL, ..action });
    }
    let return_mask = {
        let mut signals = task.signals.lock();
        signals.saved_mask.take().unwrap_or_else(|| signals.mask())
    };
    crate::task::rseq::abort_critical_section(cx);
    if frame::push(cx, info, &action, return_mask).is_err() {
        // The stack is unusable. A fault in the SIGSEGV handler's own frame is fatal.
        if info.signo == SIGSEGV {
            task.group.handlers.read().set(SIGSEGV, Action::default());
        }
        send::force(&task, SigInfo::kernel(SIGSEGV));
        return;
    }
    let mut mask = task.blocked().union(action.mask);
    if action.flags & SA_NODEFER == 0 {
        mask.add(info.signo);
    }
    task.set_blocked(mask);
}
