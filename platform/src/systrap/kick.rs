//! Interrupting a guest thread.

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicBool, Ordering},
};

use super::{slot::Slot, space::Space, unit::lock};
use crate::{Kick, Lent};

/// The signal that interrupts guest code. The guest never sees it: its own signals are the sentry's business.
pub(super) const KICK_SIGNAL: i32 = libc::SIGUSR2;

/// The kick of one context.
#[derive(Debug)]
pub(super) struct Kicker {
    /// Whether the thread runs guest code, or is about to. Set before `kicked` is looked at, and whoever kicks looks at it after
    /// setting that: one of the two sees the other.
    running: Arc<AtomicBool>,
    kicked: AtomicBool,
    /// The host thread; none once the context is dropped.
    target: Mutex<Option<(Weak<Space>, i32)>>,
    slot: Slot,
}

impl Kicker {
    /// `running` is for others to look at.
    pub(super) fn new(space: &Arc<Space>, tid: i32, slot: Slot, running: Arc<AtomicBool>) -> Kicker {
        let target = Mutex::new(Some((Arc::downgrade(space), tid)));
        Kicker { running, kicked: AtomicBool::new(false), target, slot }
    }

    /// Before the guest runs. `false`: it was kicked and must not.
    pub(super) fn enter(&self) -> bool {
        // A barrier: what the thread looks at from now on, others changed before they looked whether it runs, or it sees the change.
        self.running.swap(true, Ordering::SeqCst);
        if !self.kicked.load(Ordering::SeqCst) {
            return true;
        }
        self.running.store(false, Ordering::SeqCst);
        self.kicked.swap(false, Ordering::SeqCst);
        false
    }

    /// The guest has stopped. `alone`: the process has no other thread that could look at that just now, so no barrier is needed.
    pub(super) fn stopped(&self, alone: bool) {
        if alone {
            self.running.store(false, Ordering::Release);
        } else {
            self.running.swap(false, Ordering::SeqCst);
        }
    }

    /// After the guest ran; `kicked` if the kick's signal is what stopped it.
    pub(super) fn leave(&self, kicked: bool) {
        self.running.store(false, Ordering::Release);
        if kicked {
            self.kicked.swap(false, Ordering::SeqCst);
        }
    }

    /// The context is gone.
    pub(super) fn disarm(&self) {
        *lock(&self.target) = None;
    }
}

impl Kick for Kicker {
    fn forget_answers(&self) {
        // Of another thread, if this one is gone and its slot is used again: it asks once more.
        self.slot.forget_answers();
    }

    fn look_at(&self, what: Lent) -> Option<u64> {
        lock(&self.target).as_ref().and_then(|_| self.slot.look_at(what))
    }

    fn take_back(&self, what: Lent) -> Option<u64> {
        // Once the context is gone, the slot may be another thread's.
        lock(&self.target).as_ref().and_then(|_| self.slot.take_back(what))
    }

    fn kick(&self) {
        // Whoever kicks a running guest first sends the signal; the kick of a stopped one is seen by `enter`.
        if self.kicked.swap(true, Ordering::SeqCst) || !self.running.load(Ordering::SeqCst) {
            return;
        }
        if let Some((space, tid)) = &*lock(&self.target)
            && let Some(space) = space.upgrade()
        {
            let _ = space.with_pid(|pid| host::process::tgkill(pid, *tid, KICK_SIGNAL));
        }
    }
}
