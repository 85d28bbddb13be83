//! Where a guest thread and its sentry thread run, and whether the sentry polls.
//!
//! Waking a thread on the same processor costs some 5 µs whatever else runs; waking an idle processor of a virtual machine costs
//! 60–170 µs. So whoever wakes the other first moves it to its own processor, and a pair that hands over often stays on one:
//! the pair's *home*. The host's scheduler gets its freedom back when the guest runs for longer without a trap, when others of
//! this sandbox keep running on the same processor while another has none, or when hand-overs come late because something
//! else runs there.
//!
//! A pair that hands over all the time may instead use two processors, the sentry polling for the guest's request and the
//! guest for the reply. That takes a processor, so only one sentry thread of a sandbox does, only while fewer guests run than
//! there are processors, and not for a while after it turned out to be a mistake.
//!
//! All times are in ticks of the time-stamp counter. Those from a slot are allegations, and only decide about the guest's
//! own speed.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use host::{
    cpu,
    process::{self, CpuSet},
};

use super::{
    layout::{slot, word},
    seat::{self, Place, place_self},
    slot::Slot,
};

/// A guest that runs this long without a trap is left to the host's scheduler.
pub(super) const LONG_RUN: Duration = Duration::from_millis(5);
/// A guest that runs for less between traps may be polled for, in µs…
const HOT_US: u64 = 20;
/// …after so many such runs in a row.
const HOT_RUNS: u32 = 16;
/// How long to poll before sleeping, in µs.
const POLL_US: u64 = 50;
/// How long the guest's side looks for a reply before it sleeps, in µs. A thread that is about to sleep for its guest says so.
const SPIN_US: u64 = 50;
/// A poller that loses its processor for so long, in µs, may be in somebody's way, or its virtual processor was stolen.
const STOLEN_US: u64 = 25;
/// Not polling again after polling for few requests: at first, and at most, in µs.
const BACKOFF_US: u64 = 500;
const BACKOFF_MAX_US: u64 = 200_000;
/// Polling pays if it serves so many: each saves some 5 µs, and to begin and end costs 100 to 200.
const GOOD_RUN: u32 = 32;
/// The same after being in somebody's way, and what shows that they have gone.
const CONTENDED_US: u64 = 2_000;
const CONTENDED_MAX_US: u64 = 1_000_000;
const UNCONTENDED_RUN: u32 = 20_000;
/// A hand-over on one processor that took so long, in µs, waited for somebody else.
const LATE_US: u64 = 200;
/// So many of those, or of meetings with other guests, send a pair elsewhere: at first, and at most.
const MOVE_AFTER: u32 = 4;
const MOVE_AFTER_MAX: u32 = 4096;

/// What the pairs of a sandbox know of each other.
#[derive(Debug)]
pub(super) struct Cpus {
    all: CpuSet,
    count: u32,
    /// Guests running now, on all processors and by home.
    guests: AtomicU32,
    homes: Vec<AtomicU32>,
    polling: AtomicBool,
    ticks_per_us: u64,
    spins: u32,
}

impl Cpus {
    /// Looks at the caller's affinity, and measures its clocks for some microseconds.
    pub(super) fn new() -> Cpus {
        let here = process::affinity(0).unwrap_or(CpuSet::only(0));
        // Of several platforms, later ones may be started by a thread that has been moved.
        let all = seat::everywhere(here);
        let (ticks_per_us, ticks_per_pause) = cpu::calibrate();
        let highest = (0..CpuSet::CAPACITY).rev().find(|cpu| all.has(*cpu)).unwrap_or(0);
        Cpus {
            all,
            count: all.count(),
            guests: AtomicU32::new(0),
            homes: (0..=highest).map(|_| AtomicU32::new(0)).collect(),
            polling: AtomicBool::new(false),
            ticks_per_us,
            spins: u32::try_from(SPIN_US * ticks_per_us / ticks_per_pause).unwrap_or(0),
        }
    }

    /// Sends a stub that is about to be killed to another processor, if no guest needs that one: taking a memory down takes
    /// long, and the guest that waits for the end goes on here.
    pub(super) fn release(&self, tid: i32) {
        if self.count > 1 && self.guests.load(Ordering::Relaxed) + 1 < self.count {
            // One that cannot be moved dies where it is.
            let _ = process::set_affinity(tid, &self.all.without(cpu::current()));
        }
    }

    /// A processor on which no guest of this sandbox is at home.
    fn empty(&self) -> Option<u32> {
        (0..)
            .zip(&self.homes)
            .find(|(cpu, home)| self.all.has(*cpu) && home.load(Ordering::Relaxed) == 0)
            .map(|(cpu, _)| cpu)
    }
}

/// How one pair runs.
#[derive(Debug)]
pub(super) struct Pace {
    /// The guest's host thread.
    tid: i32,
    /// Where that may run.
    stub: Place,
    polling: bool,
    /// The guest's last run was long.
    slow: bool,
    /// Short runs in a row.
    hot: u32,
    /// Requests served since polling began.
    served: u32,
    /// How often this thread of the sentry had lost its processor to another thread.
    preemptions: u64,
    crowded: u32,
    late: u32,
    /// How many times of either it takes; doubles with every move.
    move_after: u32,
    resumed: u64,
    not_before: u64,
    backoff: u64,
    contended: u64,
}

/// Why polling ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The guest did not call, or waited long for an answer.
    Slow,
    /// Other threads of the host want the processor.
    Preempted,
    /// As many guests run as there are processors.
    Crowded,
}

impl Pace {
    /// For a thread whose parent runs at `parent`'s pace, since affinity is inherited.
    pub(super) fn new(tid: i32, parent: Option<&Pace>) -> Pace {
        Pace {
            tid,
            stub: parent.map_or(Place::Unknown, |parent| parent.stub),
            polling: false,
            slow: false,
            hot: 0,
            served: 0,
            preemptions: 0,
            crowded: 0,
            late: 0,
            move_after: MOVE_AFTER,
            resumed: 0,
            not_before: 0,
            backoff: BACKOFF_US,
            contended: CONTENDED_US,
        }
    }

    fn place_stub(&mut self, cpus: &Cpus, place: Place) {
        if self.stub != place && process::set_affinity(self.tid, &place.set(&cpus.all)).is_ok() {
            self.stub = place;
        }
    }

    /// Before the guest is resumed: decides where it runs.
    pub(super) fn before(&mut self, cpus: &Cpus, slot: &Slot) {
        if cpus.count > 1 {
            self.decide(cpus, slot);
        }
        cpus.guests.fetch_add(1, Ordering::Relaxed);
        if let Some(home) = self.home(cpus) {
            home.fetch_add(1, Ordering::Relaxed);
        }
        slot.set32(slot::SPIN, if self.polling { cpus.spins } else { 0 });
        self.resumed = cpu::ticks();
    }

    /// Before operations are handed to the stub: wakes it on this processor.
    pub(super) fn before_operations(&mut self, cpus: &Cpus, slot: &Slot) {
        if cpus.count > 1 && !self.polling && slot.reply().load(Ordering::Relaxed) == word::ASLEEP {
            let here = Place::Only(cpu::current());
            self.place_stub(cpus, here);
            place_self(&cpus.all, here);
        }
    }

    fn home<'a>(&self, cpus: &'a Cpus) -> Option<&'a AtomicU32> {
        let Place::Only(cpu) = self.stub else { return None };
        cpus.homes.get(cpu as usize)
    }

    fn decide(&mut self, cpus: &Cpus, slot: &Slot) {
        if self.polling {
            if slot.reply().load(Ordering::Relaxed) != word::ASLEEP {
                return;
            }
            // The call took long, and the guest's side gave up looking.
            self.stop_polling(cpus, End::Slow);
        }
        if self.slow {
            self.place_stub(cpus, Place::Everywhere);
            return;
        }
        let here = cpu::current();
        if self.hot >= HOT_RUNS && self.may_poll(cpus) {
            self.polling = true;
            self.served = 0;
            self.preemptions = process::preemptions();
            seat::polled_by(Some(slot.clone()));
            self.place_stub(cpus, Place::Only(here));
            place_self(&cpus.all, Place::Except(here));
            return;
        }
        let others = cpus.homes.get(here as usize).map_or(0, |home| home.load(Ordering::Relaxed));
        self.crowded = if others > 0 { self.crowded + 1 } else { 0 };
        let mut home = here;
        if self.crowded >= self.move_after || self.late >= self.move_after {
            (self.crowded, self.late) = (0, 0);
            self.move_after = (self.move_after * 2).min(MOVE_AFTER_MAX);
            home = cpus.empty().unwrap_or(here);
        }
        self.place_stub(cpus, Place::Only(home));
        place_self(&cpus.all, Place::Only(home));
    }

    fn may_poll(&self, cpus: &Cpus) -> bool {
        cpus.guests.load(Ordering::Relaxed) + 1 < cpus.count
            && !cpus.polling.load(Ordering::Relaxed)
            && cpu::ticks() > self.not_before
    }

    fn stop_polling(&mut self, cpus: &Cpus, end: End) {
        self.polling = false;
        self.hot = 0;
        seat::polled_by(None);
        if self.served >= UNCONTENDED_RUN {
            self.contended = CONTENDED_US;
        }
        let pause = match end {
            End::Preempted => {
                let pause = self.contended;
                self.contended = (pause * 2).min(CONTENDED_MAX_US);
                pause
            }
            End::Slow | End::Crowded if self.served >= GOOD_RUN => {
                self.backoff = BACKOFF_US;
                0
            }
            End::Slow | End::Crowded => {
                let pause = self.backoff;
                self.backoff = (pause * 2).min(BACKOFF_MAX_US);
                pause
            }
        };
        self.not_before = cpu::ticks() + pause * cpus.ticks_per_us;
    }

    /// Polls for the request, if this pair does. `true`: it is there.
    pub(super) fn poll(&mut self, cpus: &Cpus, slot: &Slot) -> bool {
        if !self.polling {
            return false;
        }
        if cpus.polling.swap(true, Ordering::Acquire) {
            self.stop_polling(cpus, End::Crowded);
        } else {
            let end = self.poll_alone(cpus, slot);
            cpus.polling.store(false, Ordering::Release);
            match end {
                None => {
                    self.served = self.served.saturating_add(1);
                    return true;
                }
                Some(end) => self.stop_polling(cpus, end),
            }
        }
        // Sleep where the guest is.
        if let Place::Only(_) = self.stub {
            place_self(&cpus.all, self.stub);
        }
        false
    }

    /// Polls for the end of operations, if this pair polls; they take longer than most requests.
    pub(super) fn poll_for_operations(&mut self, cpus: &Cpus, slot: &Slot) -> bool {
        self.polling && self.poll_alone(cpus, slot).is_none()
    }

    /// Polls until the request is there (`None`), or it is time to end.
    fn poll_alone(&mut self, cpus: &Cpus, slot: &Slot) -> Option<End> {
        let start = cpu::ticks();
        let mut last = start;
        loop {
            for _ in 0..8 {
                if slot.request().load(Ordering::Acquire) == word::POSTED {
                    return None;
                }
                std::hint::spin_loop();
            }
            let now = cpu::ticks();
            if now.wrapping_sub(last) > STOLEN_US * cpus.ticks_per_us && self.was_preempted() {
                return Some(End::Preempted);
            }
            if now.wrapping_sub(start) > POLL_US * cpus.ticks_per_us {
                return Some(End::Slow);
            }
            if cpus.guests.load(Ordering::Relaxed) >= cpus.count {
                return Some(End::Crowded);
            }
            last = now;
        }
    }

    /// Whether another thread of the host took the processor since this was last asked. That it was lost is not enough: the
    /// hypervisor takes it too, and polling less does not help there.
    fn was_preempted(&mut self) -> bool {
        let before = std::mem::replace(&mut self.preemptions, process::preemptions());
        self.preemptions != before
    }

    /// How long to sleep before [`Pace::long_run`].
    pub(super) fn patience(&self) -> Option<Duration> {
        matches!(self.stub, Place::Only(_)).then_some(LONG_RUN)
    }

    /// The guest has been running for long: it may run anywhere.
    pub(super) fn long_run(&mut self, cpus: &Cpus) {
        if let Some(home) = self.home(cpus) {
            home.fetch_sub(1, Ordering::Relaxed);
        }
        self.place_stub(cpus, Place::Everywhere);
        // Were it not allowed, asking again would not help.
        self.stub = Place::Everywhere;
    }

    /// After the guest's trap, or its end.
    pub(super) fn after(&mut self, cpus: &Cpus, slot: &Slot) {
        cpus.guests.fetch_sub(1, Ordering::Relaxed);
        if let Some(home) = self.home(cpus) {
            home.fetch_sub(1, Ordering::Relaxed);
        }
        let now = cpu::ticks();
        // A poller sees it when it happens, and needs no more of the slot than the request.
        let trapped = if self.polling { now } else { slot.get64(slot::TSC) };
        let ran = trapped.saturating_sub(self.resumed);
        self.slow =
            ran > LONG_RUN.as_micros().try_into().unwrap_or(u64::MAX).saturating_mul(cpus.ticks_per_us);
        self.hot = if ran < HOT_US * cpus.ticks_per_us { self.hot.saturating_add(1) } else { 0 };
        let late = now.saturating_sub(trapped) > LATE_US * cpus.ticks_per_us;
        if late {
            self.late += 1;
        } else if self.hot.is_multiple_of(64) {
            self.late = 0;
        }
    }
}
