//! Pending signals and masks.

use std::{collections::VecDeque, sync::Arc};

use platform::{Context, Kick, Lent};

use super::{SIGRTMIN, SigSet, UNBLOCKABLE, info::SigInfo};
use crate::task::wait::ExitStatus;

/// Signals that wait for delivery: standard ones at most once each, real-time ones queued.
#[derive(Default)]
pub struct Pending {
    set: SigSet,
    queue: VecDeque<SigInfo>,
}

impl Pending {
    /// The pending signals.
    pub fn set(&self) -> SigSet {
        self.set
    }

    /// Queued entries, for `RLIMIT_SIGPENDING` and /proc.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Makes `info.signo` pending. A standard signal that is pending already is not queued again. When
    /// `queue_full`, real-time signals sent by the kernel or kill still become pending, but their information is lost;
    /// returns false for those where Linux reports `EAGAIN` (rt_sigqueueinfo).
    pub fn push(&mut self, info: SigInfo, queue_full: bool) -> bool {
        let had = self.set.has(info.signo);
        if info.signo < SIGRTMIN && had {
            return true;
        }
        if queue_full && info.signo >= SIGRTMIN {
            if info.code < 0 && info.code != super::info::SI_TKILL {
                return false;
            }
            self.set.add(info.signo);
            return true;
        }
        self.set.add(info.signo);
        self.queue.push_back(info);
        true
    }

    /// Takes the next signal that is in `wanted`: synchronous faults first, then the lowest number.
    pub fn take(&mut self, wanted: SigSet) -> Option<SigInfo> {
        const SYNCHRONOUS: SigSet = SigSet(
            1 << (super::SIGSEGV - 1)
                | 1 << (super::SIGBUS - 1)
                | 1 << (super::SIGILL - 1)
                | 1 << (super::SIGTRAP - 1)
                | 1 << (super::SIGFPE - 1)
                | 1 << (super::SIGSYS - 1),
        );
        let ready = self.set.intersection(wanted);
        let signo = ready.intersection(SYNCHRONOUS).first().or_else(|| ready.first())?;
        let at = self.queue.iter().position(|info| info.signo == signo);
        let info = at.and_then(|at| self.queue.remove(at));
        if !self.queue.iter().any(|info| info.signo == signo) {
            self.set.remove(signo);
        }
        Some(info.unwrap_or_else(|| SigInfo::user(signo, super::info::SI_USER, 0, 0)))
    }

    /// Removes every pending signal in `which`.
    pub fn discard(&mut self, which: SigSet) {
        self.set = self.set.without(which);
        self.queue.retain(|info| !which.has(info.signo));
    }

    /// Takes back a queued signal.
    pub fn remove(&mut self, matches: impl Fn(&SigInfo) -> bool) {
        let Some(info) = self.queue.iter().position(matches).and_then(|at| self.queue.remove(at)) else {
            return;
        };
        if !self.queue.iter().any(|other| other.signo == info.signo) {
            self.set.remove(info.signo);
        }
    }

    /// The pending information for `signo`, mutable: a timer adds its overruns there.
    pub fn find_mut(&mut self, matches: impl Fn(&SigInfo) -> bool) -> Option<&mut SigInfo> {
        self.queue.iter_mut().find(|info| matches(info))
    }
}

/// An alternate signal stack (sigaltstack(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AltStack {
    pub sp: u64,
    pub flags: u32,
    pub size: u64,
}

/// The signal state of one thread.
pub struct ThreadSignals {
    /// Signals sent to this thread.
    pub pending: Pending,
    /// The mask, as far as the sentry knows.
    blocked: SigSet,
    /// The guest may change the mask without a call: who has it.
    holder: Option<Arc<dyn Kick>>,
    /// The mask to go back to after a handler that interrupted sigsuspend, ppoll, ….
    pub saved_mask: Option<SigSet>,
    /// Signals sigtimedwait waits for although they are blocked.
    pub waiting_for: SigSet,
    /// The alternate stack.
    pub alt_stack: AltStack,
    /// The thread must end (exec by another thread, exit_group).
    pub exit_requested: bool,
}

impl ThreadSignals {
    /// No signal pending.
    pub fn new(blocked: u64) -> ThreadSignals {
        ThreadSignals {
            pending: Pending::default(),
            blocked: SigSet(blocked),
            holder: None,
            saved_mask: None,
            waiting_for: SigSet::EMPTY,
            alt_stack: AltStack { flags: 2, ..AltStack::default() },
            exit_requested: false,
        }
    }

    /// The mask at some time during the call.
    pub fn mask(&self) -> SigSet {
        let lent = self.holder.as_ref().and_then(|holder| holder.look_at(Lent::Mask));
        lent.map_or(self.blocked, |mask| SigSet(mask).without(UNBLOCKABLE))
    }

    /// The mask, which only a system call changes from now on. Who makes a signal pending, or is told that one is, decides with this: a
    /// guest that unblocks it later asks.
    pub fn blocked(&mut self) -> SigSet {
        self.blocked = self.mask_taken_back();
        self.blocked
    }

    fn mask_taken_back(&mut self) -> SigSet {
        let lent = self.holder.take().and_then(|holder| holder.take_back(Lent::Mask));
        lent.map_or(self.blocked, |mask| SigSet(mask).without(UNBLOCKABLE))
    }

    /// Changes the mask. `SIGKILL` and `SIGSTOP` stay unblocked.
    pub fn set_blocked(&mut self, mask: SigSet) {
        self.mask_taken_back();
        self.blocked = mask.without(UNBLOCKABLE);
    }

    /// Lets the guest change the mask without a call. Only while nothing is pending for the thread or its process.
    pub fn lend_mask(&mut self, context: &mut dyn Context) {
        if self.pending.is_empty() && self.saved_mask.is_none() && self.waiting_for.is_empty() {
            let mask = self.blocked();
            if context.lend(Lent::Mask, mask.0) {
                self.holder = Some(context.kicker());
            }
        }
    }
}

/// The signal state that the threads of a process share.
#[derive(Default)]
pub struct GroupSignals {
    /// Signals sent to the process.
    pub pending: Pending,
    /// Set when the whole process is ending, with how.
    pub exiting: Option<ExitStatus>,
    /// Job control.
    pub stop: StopState,
    /// A stop or continuation the parent has not been told of.
    pub report: Option<crate::task::tree::StopReport>,
    /// Another thread is in execve and waits for all others to end.
    pub exec_in_progress: bool,
}

/// Whether a process is stopped by job control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopState {
    /// No.
    #[default]
    Running,
    /// Its threads are stopping or stopped because of this signal.
    Stopped(i32),
}
