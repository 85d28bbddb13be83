//! Interrupting a guest thread.

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicU32, Ordering},
};

use super::{slot::Slot, space::Space, unit::lock};
use crate::{Kick, Lent};

/// The signal that interrupts guest code. The guest never sees it: its own signals are the sentry's business.
pub(super) const KICK_SIGNAL: i32 = libc::SIGUSR2;

const RUNNING: u32 = 1;
const KICKED: u32 = 2;

/// The kick of one context.
#[derive(Debug)]
pub(super) struct Kicker {
    state: AtomicU32,
    /// The host thread; none once the context is dropped.
    target: Mutex<Option<(Weak<Space>, i32)>>,
    slot: Slot,
}

impl Kicker {
    pub(super) fn new(space: &Arc<Space>, tid: i32, slot: Slot) -> Kicker {
        Kicker { state: AtomicU32::new(0), target: Mutex::new(Some((Arc::downgrade(space), tid))), slot }
    }

    /// Before the guest runs. `false`: it was kicked and must not.
    pub(super) fn enter(&self) -> bool {
        let entered = self.state.compare_exchange(0, RUNNING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !entered {
            self.state.store(0, Ordering::SeqCst);
        }
        entered
    }

    /// After the guest ran; `kicked` if the kick's signal is what stopped it.
    pub(super) fn leave(&self, kicked: bool) {
        let keep = if kicked { 0 } else { KICKED };
        self.state.fetch_and(keep, Ordering::SeqCst);
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
        if self.state.fetch_or(KICKED, Ordering::SeqCst) != RUNNING {
            return;
        }
        if let Some((space, tid)) = &*lock(&self.target)
            && let Some(space) = space.upgrade()
        {
            let _ = space.with_pid(|pid| host::process::tgkill(pid, *tid, KICK_SIGNAL));
        }
    }
}
