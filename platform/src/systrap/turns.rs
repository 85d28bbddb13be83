//! Pairs that take turns: who they are, where they run, and when one is to let another run.
//!
//! Their guests share one processor and their sentry threads another ([`super::pace`]). Whoever waits there looks out for what it
//! waits for, and gives its processor away as soon as another of the table can use it: a sentry thread when another one has a
//! request to answer, a guest when a sentry thread has answered another guest and says so.

use std::sync::{
    Arc, Mutex, TryLockError,
    atomic::{AtomicU32, Ordering},
};

use super::{
    layout::slot,
    seat::{Doing, Seat},
    slot::Slot,
    unit::lock,
};

/// As many share two processors.
const MAX: usize = 6;

/// The pairs of one sandbox that take turns.
#[derive(Debug, Default)]
pub(super) struct Table {
    members: Mutex<Members>,
    /// How many there are.
    count: AtomicU32,
}

#[derive(Debug, Default)]
struct Members {
    chairs: Chairs,
    pairs: Vec<(Slot, Arc<Seat>)>,
}

/// The processors of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chairs {
    pub(super) guests: u32,
    pub(super) sentry: u32,
}

impl Table {
    /// Whether there are any.
    pub(super) fn is_used(&self) -> bool {
        self.len() > 0
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        (self.len() as usize) < MAX
    }

    /// The calling thread of the sentry and its guest take turns too. The first choose where.
    pub(super) fn join(&self, slot: &Slot, choose: impl FnOnce() -> Chairs) -> Chairs {
        let mut members = lock(&self.members);
        if members.pairs.is_empty() {
            members.chairs = choose();
        }
        members.pairs.push((slot.clone(), Seat::own()));
        self.count.fetch_add(1, Ordering::Relaxed);
        members.chairs
    }

    /// The calling thread and its guest leave.
    pub(super) fn leave(&self) {
        let own = Seat::own();
        let mut members = lock(&self.members);
        let before = members.pairs.len();
        members.pairs.retain(|(_, seat)| !Arc::ptr_eq(seat, &own));
        let left = u32::try_from(before - members.pairs.len()).unwrap_or(0);
        self.count.fetch_sub(left, Ordering::Relaxed);
    }

    /// Whether another sentry thread could use the processor. `true` if that is not known.
    pub(super) fn others_have_work(&self) -> bool {
        self.any_other(|slot, seat| match seat.doing() {
            Doing::Work => true,
            Doing::Look => slot.request().load(Ordering::Relaxed) == slot.get32(slot::NEXT),
            Doing::Sleep => false,
        })
    }

    /// Tells the guests of others, who may be looking for answers, that one can go on.
    pub(super) fn pass_turn(&self) {
        self.any_other(|other, _| {
            other.set32(slot::TURN, 1);
            false
        });
    }

    fn any_other(&self, mut is: impl FnMut(&Slot, &Seat) -> bool) -> bool {
        if self.len() < 2 {
            return false;
        }
        // Who has the lock may wait for this processor.
        let members = match self.members.try_lock() {
            Ok(members) => members,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return true,
        };
        Seat::with_own(|own| {
            members.pairs.iter().any(|(slot, seat)| !std::ptr::eq(Arc::as_ptr(seat), own) && is(slot, seat))
        })
    }
}
