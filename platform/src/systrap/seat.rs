//! Where the threads of the sentry run: beside their guests, or beside whoever wakes them.
//!
//! A thread that runs a guest is kept on one processor ([`super::pace`]). Others that wake it bring it to theirs first, because
//! waking an idle processor of a virtual machine costs ten times what it costs to wake a thread on one's own.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use host::{
    cpu,
    process::{self, CpuSet},
};

use super::{layout::slot, slot::Slot, unit::lock};

/// Where a thread may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Unknown,
    Everywhere,
    Only(u32),
    Except(u32),
}

impl Place {
    pub(super) fn set(self, all: &CpuSet) -> CpuSet {
        match self {
            Place::Only(cpu) => CpuSet::only(cpu),
            Place::Except(cpu) => all.without(cpu),
            Place::Everywhere | Place::Unknown => *all,
        }
    }
}

/// Where one thread of the sentry may run. Its wakers may move it.
#[derive(Debug)]
pub(crate) struct Seat {
    tid: i32,
    /// Changed with the thread's affinity.
    place: Mutex<Place>,
    /// Mirrors `place`: the processor if it is [`Place::Only`], [`Seat::NONE`] otherwise.
    only: AtomicU32,
}

impl Seat {
    const NONE: u32 = u32::MAX;

    /// The calling thread's.
    pub(crate) fn own() -> Arc<Seat> {
        OWN.with(Arc::clone)
    }

    fn set(&self, place: Place, all: &CpuSet) {
        let mut old = lock(&self.place);
        if *old != place && process::set_affinity(self.tid, &place.set(all)).is_ok() {
            *old = place;
            let only = if let Place::Only(cpu) = place { cpu } else { Seat::NONE };
            self.only.store(only, Ordering::Relaxed);
        }
    }

    /// See [`crate::Sleeper::bring_here`].
    pub(crate) fn bring_here(&self) {
        let only = self.only.load(Ordering::Relaxed);
        if only == Seat::NONE {
            return;
        }
        let here = cpu::current();
        if only != here
            && let Some(all) = EVERYWHERE.get()
        {
            self.set(Place::Only(here), all);
        }
    }
}

thread_local! {
    /// Where this thread of the sentry may run.
    static OWN: Arc<Seat> = Arc::new(Seat {
        tid: process::own_tid(),
        place: Mutex::new(Place::Unknown),
        only: AtomicU32::new(Seat::NONE),
    });
    /// The slot whose guest looks for replies of this thread without sleeping.
    static POLLED: Cell<Option<Slot>> = const { Cell::new(None) };
}

/// Where threads may run that have no home: where the platform was started.
static EVERYWHERE: OnceLock<CpuSet> = OnceLock::new();

/// Where threads may run that have no home; `here`, if nobody said so yet.
pub(super) fn everywhere(here: CpuSet) -> CpuSet {
    *EVERYWHERE.get_or_init(|| here)
}

/// Says which slot's guest looks for replies of this thread without sleeping.
pub(super) fn polled_by(slot: Option<Slot>) {
    POLLED.set(slot);
}

/// Lets the calling thread run everywhere again: see [`crate::leave_processor`].
pub(crate) fn leave_processor() {
    if let Some(all) = EVERYWHERE.get() {
        OWN.with(|own| {
            let place = *lock(&own.place);
            if matches!(place, Place::Unknown | Place::Only(_)) {
                own.set(Place::Everywhere, all);
            }
        });
    }
}

/// Tells the guest not to look for a reply: see [`crate::Sleeper::about_to_sleep`].
pub(crate) fn about_to_sleep() {
    if let Some(slot) = POLLED.take() {
        slot.set32(slot::SPIN, 0);
        POLLED.set(Some(slot));
    }
}

/// The one processor that the calling thread may run on: see [`crate::home`].
pub(crate) fn home() -> Option<u32> {
    let only = OWN.with(|own| own.only.load(Ordering::Relaxed));
    (only != Seat::NONE).then_some(only)
}

/// Moves the calling thread.
pub(super) fn place_self(all: &CpuSet, place: Place) {
    OWN.with(|own| {
        let same = matches!(place, Place::Only(cpu) if own.only.load(Ordering::Relaxed) == cpu);
        if !same {
            own.set(place, all);
        }
    });
}
