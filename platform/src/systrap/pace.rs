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
//! Pairs that take turns, each waiting for the other for microseconds (a request and its answer through a pipe, a socket, a
//! futex), share two such processors: the guests one, their sentry threads the other. All of them poll, and between looks let
//! the others run; so nobody has to be woken on an idle processor, and a turn costs less than one wake-up. Pairs whose guests do
//! little but call (a server and its clients) share two processors in the same way, because together they need no more, and
//! a hand-over on one processor costs more than the call; each then goes on for a while before it lets another run.
//!
//! All times are in ticks of the time-stamp counter. Those from a slot are allegations, and only decide about the guest's
//! own speed.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use host::{cpu, process};

use super::{
    cpus::{Cpus, Presence, ROUND_US},
    layout::{slot, word},
    seat::{self, Doing, Place, Polled, place_self},
    slot::Slot,
    turns::Chairs,
};
use crate::sleeper;

/// A guest that runs this long without a trap is left to the host's scheduler.
pub(super) const LONG_RUN: Duration = Duration::from_millis(5);
/// A guest that runs for less between traps may be polled for, in µs…
const HOT_US: u64 = 20;
/// …after so many such runs in a row.
const HOT_RUNS: u32 = 16;
/// How long to poll before sleeping, in µs.
const POLL_US: u64 = 100;
/// How often to look before looking at the clock.
const LOOKS: u32 = 8;
/// For how many rounds of [`ROUND_US`] the guest's side looks for a reply before it sleeps. A thread that is about to sleep for
/// its guest says so, and then it does not.
const ROUNDS: u32 = 20;
/// A call that slept for less than this, in µs, waited for another guest's turn…
const TURN_US: u64 = 150;
/// …and after so many such calls in a row the guest is one of those that take turns.
const TURNS: u32 = 4;
/// So is one that does little but call, its runs taking less than so long on average, hand-over included, in µs, while
/// another guest leaves it no second processor.
const BRIEF_US: u64 = 5;
/// The weight of all earlier runs in that average, and how long one counts at most, in µs.
const RUN_WEIGHT: u64 = 16;
const LONG_US: u64 = 100;
/// One who took his turn wakes the next when he is about to wait himself, or after so long, in µs.
const HOLD_US: u64 = 1;
/// Who takes turns goes on for so long, in µs, while others have work,…
const STRETCH_US: u64 = 30;
/// …if his guest calls again within so long, in µs, which includes its change of places with another: two of those cost more than
/// a call.
const GRACE_US: u64 = 3;
/// As [`STOLEN_US`], where polling threads let each other run.
const STOLEN_TURN_US: u64 = 200;
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

/// How one pair runs.
#[derive(Debug)]
pub(super) struct Pace {
    /// The guest's host thread.
    tid: i32,
    /// Where that may run.
    stub: Place,
    polling: bool,
    /// It takes turns with others, there; it is polling then.
    turning: Option<Chairs>,
    /// Calls in a row that waited for no longer than a turn, of those that waited.
    turns: u32,
    /// Those that the last call woke have not been told yet.
    holding: bool,
    /// It is one of [`Cpus::guests`].
    counted: bool,
    /// And of [`Cpus::brief`].
    counted_brief: bool,
    /// The guest's last run was long.
    slow: bool,
    /// Short runs in a row.
    hot: u32,
    /// How long the guest runs between traps, times [`RUN_WEIGHT`]: a moving average.
    run: u64,
    /// It takes turns because it does little but call.
    brief: bool,
    /// The last time that polling ended, it was because a call waited.
    waits: bool,
    /// Since when it has had its turn.
    stretch: u64,
    /// Requests served since polling began.
    served: u32,
    /// How often this thread of the sentry had lost its processor to another thread.
    preemptions: u64,
    crowded: u32,
    late: u32,
    /// How many times of either it takes; doubles with every move.
    move_after: u32,
    resumed: u64,
    /// Not polling before then, and not taking turns either.
    not_before: u64,
    not_to_turn: u64,
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

/// How a pair polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Alone,
    /// It takes turns with others, because it waits for them or they all do little but call.
    InTurn,
}

impl Pace {
    /// For a thread whose parent runs at `parent`'s pace, since affinity is inherited.
    pub(super) fn new(tid: i32, parent: Option<&Pace>) -> Pace {
        Pace {
            tid,
            stub: parent.map_or(Place::Unknown, |parent| parent.stub),
            polling: false,
            turning: None,
            turns: 0,
            holding: false,
            counted: false,
            counted_brief: false,
            slow: false,
            hot: 0,
            run: 0,
            brief: false,
            waits: false,
            stretch: 0,
            served: 0,
            preemptions: 0,
            crowded: 0,
            late: 0,
            move_after: MOVE_AFTER,
            resumed: 0,
            not_before: 0,
            not_to_turn: 0,
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
        let now = cpu::ticks();
        if self.polls_alone()
            && now.wrapping_sub(self.resumed) < POLL_US * cpus.ticks_per_us
            && !seat::has_slept()
        {
            // The guest still looks for its reply. Everything is as it was; and the less is written, the sooner the reply is there.
            self.resumed = now;
            return;
        }
        if cpus.count > 1 {
            self.decide(cpus, slot);
        }
        if !self.polls_alone() {
            self.enter(cpus);
        }
        slot.set32(slot::SPIN, if self.polling { ROUNDS } else { 0 });
        self.resumed = cpu::ticks();
    }

    /// Whether this pair polls and does not take turns.
    fn polls_alone(&self) -> bool {
        self.polling && self.turning.is_none()
    }

    /// Counts the guest that is about to run, or runs.
    fn enter(&mut self, cpus: &Cpus) {
        if self.turning.is_none() {
            self.count(cpus);
        }
        if let Some(home) = self.home(cpus) {
            home.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&mut self, cpus: &Cpus) {
        self.counted = true;
        cpus.counts.guests.fetch_add(1, Ordering::Relaxed);
        self.counted_brief = self.hot >= HOT_RUNS && self.is_brief(cpus);
        if self.counted_brief {
            cpus.counts.brief.fetch_add(1, Ordering::Relaxed);
        }
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
        cpus.counts.home(cpu)
    }

    fn decide(&mut self, cpus: &Cpus, slot: &Slot) {
        let slept = seat::slept();
        if let Some(since) = slept {
            let turn = cpu::ticks().saturating_sub(since) < TURN_US * cpus.ticks_per_us;
            self.turns = if turn { self.turns.saturating_add(1) } else { 0 };
        }
        if self.polling {
            let in_time = slot.reply().load(Ordering::Relaxed) != word::ASLEEP;
            match self.turning {
                None if in_time => {
                    if self.be_present(cpus) {
                        return;
                    }
                    self.stop_polling(cpus, End::Crowded);
                }
                Some(chairs) if in_time && (self.turns > 0 || self.brief) => {
                    if slept.is_some() {
                        // Somebody may have brought it elsewhere to wake it.
                        place_self(&cpus.all, Place::Only(chairs.sentry));
                    }
                    return;
                }
                // The call took long, and the guest's side gave up looking.
                _ => {
                    self.stop_polling(cpus, End::Slow);
                    self.waits = slept.is_some();
                }
            }
        }
        if self.slow {
            self.place_stub(cpus, Place::Everywhere);
            return;
        }
        let here = cpu::current();
        if let Some(how) = self.may_poll(cpus) {
            self.start_polling(cpus, slot, here, how);
            return;
        }
        let others = cpus.counts.home(here).map_or(0, |home| home.load(Ordering::Relaxed));
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

    /// Whether to poll, and how.
    fn may_poll(&self, cpus: &Cpus) -> Option<How> {
        let now = cpu::ticks();
        let others = cpus.counts.guests.load(Ordering::Relaxed);
        let (used, hot) = (cpus.table.is_used(), self.hot >= HOT_RUNS && now > self.not_before);
        // Those on the same processor may be whom it takes turns with.
        let same = self.home(cpus).map_or(0, |home| home.load(Ordering::Relaxed));
        let may_turn = cpus.table.has_room() && now > self.not_to_turn;
        if self.turns >= TURNS {
            return (others.saturating_sub(same) + 1 < cpus.count && may_turn && (used || hot))
                .then_some(How::InTurn);
        }
        if !hot {
            return None;
        }
        // Others like it are about to do the same.
        let like = cpus.counts.brief.load(Ordering::Relaxed) + u32::from(cpus.counts.is_polled());
        let unlike = others.saturating_sub(like);
        // Where there are processors for all, they need not share.
        let many = 2 * (others + cpus.table.len() + 1) >= cpus.count;
        let brief = many && unlike + 1 < cpus.count && may_turn && self.is_brief(cpus);
        if brief && (self.waits || used) {
            return Some(How::InTurn);
        }
        if others + u32::from(used) + 1 < cpus.count && !cpus.counts.is_polled() {
            return Some(How::Alone);
        }
        brief.then_some(How::InTurn)
    }

    fn is_brief(&self, cpus: &Cpus) -> bool {
        self.run < BRIEF_US * RUN_WEIGHT * cpus.ticks_per_us
    }

    fn start_polling(&mut self, cpus: &Cpus, slot: &Slot, here: u32, how: How) {
        self.polling = true;
        self.served = 0;
        self.preemptions = process::preemptions();
        slot.set32(slot::SPIN_PAUSES, cpus.pauses_per_round);
        let patient = how == How::InTurn;
        seat::polled_by(Some(Polled { slot: slot.clone(), patient, presence: None }));
        let (guest, sentry) = if how == How::Alone {
            (here, Place::Except(here))
        } else {
            let chairs = cpus.table.join(slot, || cpus.chairs(here));
            self.turning = Some(chairs);
            self.brief = self.is_brief(cpus);
            (chairs.guests, Place::Only(chairs.sentry))
        };
        self.place_stub(cpus, Place::Only(guest));
        place_self(&cpus.all, sentry);
        if !patient && !self.be_present(cpus) {
            self.stop_polling(cpus, End::Crowded);
        }
    }

    /// Counts the guest for as long as this pair polls without taking turns. `false`: another one does.
    fn be_present(&self, cpus: &Cpus) -> bool {
        let Place::Only(home) = self.stub else { return false };
        seat::be_present(|| Presence::begin(&cpus.counts, home))
    }

    /// The guest ends.
    pub(super) fn end(&mut self, cpus: &Cpus) {
        if self.polling {
            self.stop_polling(cpus, End::Slow);
        }
    }

    fn stop_polling(&mut self, cpus: &Cpus, end: End) {
        self.polling = false;
        self.hot = 0;
        seat::polled_by(None);
        if self.turning.take().is_some() {
            self.turns = 0;
            cpus.table.leave();
        }
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
        if end == End::Preempted {
            self.not_to_turn = self.not_before;
        }
    }

    /// After the reply was posted: lets the guest run where it shares its processor.
    pub(super) fn posted(&mut self, cpus: &Cpus) {
        if self.turning.is_some() {
            cpus.table.pass_turn();
        }
        let held = std::mem::take(&mut self.holding);
        if self.turning.is_some() && !held {
            // The guest may be about to wait too; then this thread need not run again after those that it wakes.
            self.holding = sleeper::is_to_wake();
        } else {
            crate::wake_now();
        }
    }

    /// Polls for the `expected` request, if this pair does. `true`: it is there.
    pub(super) fn poll(&mut self, cpus: &Cpus, slot: &Slot, expected: u32) -> bool {
        if !self.polling {
            return false;
        }
        let turning = self.turning.is_some();
        if turning {
            seat::set_doing(Doing::Look);
        }
        let end = self.look(cpus, slot, expected);
        if turning {
            seat::set_doing(Doing::Work);
        }
        let Some(end) = end else {
            self.served = self.served.saturating_add(1);
            return true;
        };
        self.stop_polling(cpus, end);
        // The guest is still running.
        if turning {
            self.count(cpus);
        } else {
            self.enter(cpus);
        }
        // Sleep where the guest is.
        if let Place::Only(_) = self.stub {
            place_self(&cpus.all, self.stub);
        }
        false
    }

    /// Polls for the end of operations, if this pair polls; they take longer than most requests.
    pub(super) fn poll_for_operations(&mut self, cpus: &Cpus, slot: &Slot, expected: u32) -> bool {
        self.polling && self.look(cpus, slot, expected).is_none()
    }

    /// Polls until the request is there (`None`), or it is time to end.
    fn look(&mut self, cpus: &Cpus, slot: &Slot, expected: u32) -> Option<End> {
        let stolen = if self.turning.is_some() { STOLEN_TURN_US } else { STOLEN_US };
        // Most requests are there before it is worth looking at the clock.
        for _ in 0..LOOKS {
            if slot.request().load(Ordering::Acquire) == expected {
                return None;
            }
            std::hint::spin_loop();
        }
        let start = cpu::ticks();
        let mut last = start;
        let mut next = start + ROUND_US * cpus.ticks_per_us;
        loop {
            for _ in 0..8 {
                if slot.request().load(Ordering::Acquire) == expected {
                    return None;
                }
                std::hint::spin_loop();
            }
            let now = cpu::ticks();
            if now.wrapping_sub(last) > stolen * cpus.ticks_per_us && self.was_preempted() {
                return Some(End::Preempted);
            }
            if now.wrapping_sub(start) > POLL_US * cpus.ticks_per_us {
                return Some(End::Slow);
            }
            // Another guest that just had its turn may be about to sit down too.
            if cpus.are_crowded()
                && (self.turning.is_none() || now.wrapping_sub(start) > TURN_US / 4 * cpus.ticks_per_us)
            {
                return Some(End::Crowded);
            }
            last = now;
            if self.holding {
                if now.wrapping_sub(start) < HOLD_US * cpus.ticks_per_us {
                    continue;
                }
                self.holding = false;
                crate::wake_now();
            }
            let goes_on = now.wrapping_sub(start) < GRACE_US * cpus.ticks_per_us
                && now.wrapping_sub(self.stretch) < STRETCH_US * cpus.ticks_per_us;
            if self.turning.is_some() && !goes_on && (now > next || cpus.table.others_have_work()) {
                thread::yield_now();
                let now = cpu::ticks();
                next = now + ROUND_US * cpus.ticks_per_us;
                self.stretch = now;
            }
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
        if self.polls_alone() {
            self.hot = self.hot.saturating_add(1);
            return;
        }
        if std::mem::take(&mut self.counted) {
            cpus.counts.guests.fetch_sub(1, Ordering::Relaxed);
            if std::mem::take(&mut self.counted_brief) {
                cpus.counts.brief.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if let Some(home) = self.home(cpus) {
            home.fetch_sub(1, Ordering::Relaxed);
        }
        let now = cpu::ticks();
        // A poller sees it when it happens, and the shim does not look at the clock then.
        let trapped = if self.polling { now } else { slot.get64(slot::TSC) };
        let trapped = if trapped < self.resumed { now } else { trapped };
        let ran = trapped.saturating_sub(self.resumed);
        self.slow =
            ran > LONG_RUN.as_micros().try_into().unwrap_or(u64::MAX).saturating_mul(cpus.ticks_per_us);
        self.run = self.run - self.run / RUN_WEIGHT + ran.min(LONG_US * cpus.ticks_per_us);
        self.hot = if ran < HOT_US * cpus.ticks_per_us { self.hot.saturating_add(1) } else { 0 };
        let late = now.saturating_sub(trapped) > LATE_US * cpus.ticks_per_us;
        if late {
            self.late += 1;
        } else if self.hot.is_multiple_of(64) {
            self.late = 0;
        }
    }
}
