//! Where the threads of the sentry run: beside their guests, or beside whoever wakes them.
//!
//! A thread that runs a guest is kept on one processor ([`super::pace`]). Others that wake it bring it to theirs first, because
//! waking an idle processor of a virtual machine costs ten times what it costs to wake a thread on one's own.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
};

use host::{
    cpu,
    process::{self, CpuSet},
};

use super::{cpus::Presence, layout::slot, slot::Slot, unit::lock};

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
    /// A [`Doing`], while its pair takes turns with others.
    doing: AtomicU8,
}

/// What a thread of the sentry does, as far as others care that take turns with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It answers a call.
    Work,
    /// It looks for a request.
    Look,
    /// It waits for somebody else's turn.
    Sleep,
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

    /// Gives `f` the calling thread's.
    pub(super) fn with_own<T>(f: impl FnOnce(&Seat) -> T) -> T {
        OWN.with(|own| f(own))
    }

    pub(super) fn doing(&self) -> Doing {
        match self.doing.load(Ordering::Relaxed) {
            0 => Doing::Work,
            1 => Doing::Look,
            _ => Doing::Sleep,
        }
    }

    fn set_doing(&self, doing: Doing) {
        self.doing.store(doing as u8, Ordering::Relaxed);
    }

    /// See [`crate::Sleeper::bring_here`].
    pub(crate) fn bring_here(&self) {
        self.set_doing(Doing::Work);
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

/// A guest that looks for replies without sleeping.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) slot: Slot,
    /// It takes turns: it is to look even while the sentry's thread sleeps, because that will not be for long.
    pub(super) patient: bool,
    /// How it is counted; not while the sentry's thread sleeps.
    pub(super) presence: Option<Presence>,
}

thread_local! {
    /// Where this thread of the sentry may run.
    static OWN: Arc<Seat> = Arc::new(Seat {
        tid: process::own_tid(),
        place: Mutex::new(Place::Unknown),
        only: AtomicU32::new(Seat::NONE),
        doing: AtomicU8::new(Doing::Work as u8),
    });
    /// The guest that looks for replies of this thread without sleeping.
    static POLLED: RefCell<Option<Polled>> = const { RefCell::new(None) };
    /// When this thread began to sleep for its guest's current call, in ticks; zero if it has not.
    static SLEPT: Cell<u64> = const { Cell::new(0) };
}

/// Where threads may run that have no home: where the platform was started.
static EVERYWHERE: OnceLock<CpuSet> = OnceLock::new();

/// Where threads may run that have no home; `here`, if nobody said so yet.
pub(super) fn everywhere(here: CpuSet) -> CpuSet {
    *EVERYWHERE.get_or_init(|| here)
}

/// Says which guest looks for replies of this thread without sleeping.
pub(super) fn polled_by(polled: Option<Polled>) {
    POLLED.set(polled);
}

/// Counts the guest that looks for replies of this thread again, by `begin`, if it is not. `false`: it cannot be.
pub(super) fn be_present(begin: impl FnOnce() -> Option<Presence>) -> bool {
    POLLED.with_borrow_mut(|polled| {
        let Some(polled) = polled else { return false };
        if polled.presence.is_none() {
            polled.presence = begin();
        }
        polled.presence.is_some()
    })
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

/// Says what the calling thread does.
pub(super) fn set_doing(doing: Doing) {
    OWN.with(|own| own.set_doing(doing));
}

/// Whether this thread slept for the guest's call that it is about to answer.
pub(super) fn has_slept() -> bool {
    SLEPT.get() != 0
}

/// When this thread began to sleep for the guest's call that it is about to answer, if it did; and forgets it.
pub(super) fn slept() -> Option<u64> {
    let since = SLEPT.replace(0);
    if since != 0 {
        set_doing(Doing::Work);
    }
    (since != 0).then_some(since)
}

/// Tells the guest not to look for a reply: see [`crate::Sleeper::sleep`].
pub(crate) fn about_to_sleep() {
    if SLEPT.get() == 0 {
        SLEPT.set(cpu::ticks());
    }
    set_doing(Doing::Sleep);
    POLLED.with_borrow_mut(|polled| {
        let Some(Polled { slot, patient, presence }) = polled else { return };
        if *patient {
            slot.set32(slot::TURN, 1);
        } else {
            slot.set32(slot::SPIN, 0);
        }
        *presence = None;
    });
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
