//! Signal actions (sigaction(2)) and the default action of each signal (signal(7)).

use std::sync::Arc;

use parking_lot::Mutex;

use super::{NSIG, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, SigSet};

pub use linux_abi::signal::{
    SA_EXPOSE_TAGBITS, SA_NOCLDSTOP, SA_NOCLDWAIT, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART,
    SA_RESTORER, SA_SIGINFO, SIG_DFL, SIG_IGN,
};

/// The flags Linux keeps on x86-64; it clears all others.
pub const SA_KNOWN: u64 = SA_NOCLDSTOP
    | SA_NOCLDWAIT
    | SA_SIGINFO
    | SA_EXPOSE_TAGBITS
    | SA_RESTORER
    | SA_ONSTACK
    | SA_RESTART
    | SA_NODEFER
    | SA_RESETHAND;

/// `struct sigaction`, as the kernel keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// `SIG_DFL`, `SIG_IGN` or an address.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

/// The actions of a process. Shared between processes only by `CLONE_SIGHAND`.
#[derive(Default)]
pub struct SigHandlers {
    actions: Mutex<Table>,
}

struct Table([Action; NSIG as usize]);

impl Default for Table {
    fn default() -> Table {
        Table([Action::default(); NSIG as usize])
    }
}

fn index(signo: i32) -> usize {
    usize::try_from(signo.saturating_sub(1)).unwrap_or(0)
}

impl SigHandlers {
    /// The action for `signo`; the default for a number that is no signal.
    pub fn get(&self, signo: i32) -> Action {
        self.actions.lock().0.get(index(signo)).copied().unwrap_or_default()
    }

    /// Sets the action for `signo`, returning the old one.
    pub fn set(&self, signo: i32, action: Action) -> Action {
        let mut actions = self.actions.lock();
        actions.0.get_mut(index(signo)).map_or_else(Action::default, |slot| std::mem::replace(slot, action))
    }

    /// Signals with the default action and nothing else.
    pub fn defaults(&self) -> SigSet {
        let actions = self.actions.lock();
        let default = (1..=NSIG).filter(|signo| actions.0.get(index(*signo)) == Some(&Action::default()));
        SigSet(default.fold(0, |set, signo| set | SigSet::of(signo).0))
    }

    /// Gives those of `signals` that have the default action and nothing else a restorer.
    pub fn set_plain(&self, signals: SigSet, restorer: u64) {
        for (action, signo) in self.actions.lock().0.iter_mut().zip(1..) {
            if signals.has(signo) && *action == Action::default() {
                *action = Action { flags: SA_RESTORER, restorer, ..Action::default() };
            }
        }
    }

    /// A copy (fork).
    pub fn duplicate(&self) -> Arc<SigHandlers> {
        Arc::new(SigHandlers { actions: Mutex::new(Table(self.actions.lock().0)) })
    }

    /// Caught signals go back to the default; ignored ones stay ignored (execve).
    pub fn reset_caught(&self) {
        for action in &mut self.actions.lock().0 {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = Action { handler, ..Action::default() };
        }
    }

    /// All signals to their default (`CLONE_CLEAR_SIGHAND`): caught ones only, as Linux does.
    pub fn clear(&self) {
        self.reset_caught();
    }
}

/// What happens when a signal is neither caught nor ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends and would leave a core file.
    Core,
    /// The process stops.
    Stop,
    /// The process continues if it was stopped.
    Continue,
    /// Nothing.
    Ignore,
}

/// The default action of `signo` (signal(7)).
pub fn default_action(signo: i32) -> DefaultAction {
    match signo {
        SIGCHLD | SIGURG | SIGWINCH => DefaultAction::Ignore,
        SIGCONT => DefaultAction::Continue,
        SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => DefaultAction::Stop,
        super::SIGQUIT
        | super::SIGILL
        | super::SIGTRAP
        | super::SIGABRT
        | super::SIGBUS
        | super::SIGFPE
        | super::SIGSEGV
        | super::SIGXCPU
        | super::SIGXFSZ
        | super::SIGSYS => DefaultAction::Core,
        _ => DefaultAction::Terminate,
    }
}
