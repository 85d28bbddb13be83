//! The processors that a sandbox may use, and what the pairs of a guest and its sentry thread know of each other's use of them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use host::{
    cpu,
    process::{self, CpuSet},
};

use super::{
    seat,
    turns::{Chairs, Table},
};

/// How long either side of a polling pair looks before it lets others run, in µs.
pub(super) const ROUND_US: u64 = 5;

/// What the pairs of a sandbox know of each other.
#[derive(Debug)]
pub(super) struct Cpus {
    pub(super) all: CpuSet,
    pub(super) count: u32,
    pub(super) counts: Arc<Counts>,
    /// The pairs that take turns.
    pub(super) table: Table,
    pub(super) ticks_per_us: u64,
    /// Of [`ROUND_US`].
    pub(super) pauses_per_round: u32,
}

/// How many guests run now.
#[derive(Debug)]
pub(super) struct Counts {
    /// All but those that take turns.
    pub(super) guests: AtomicU32,
    /// All of them, by home.
    homes: Vec<AtomicU32>,
    /// Those of `guests` that lately did little but call, but for one that is polled for alone.
    pub(super) brief: AtomicU32,
    /// Whether somebody polls who does not take turns.
    polling: AtomicBool,
}

impl Counts {
    /// How many are at home on processor `cpu`.
    pub(super) fn home(&self, cpu: u32) -> Option<&AtomicU32> {
        self.homes.get(cpu as usize)
    }

    /// Whether somebody polls who does not take turns.
    pub(super) fn is_polled(&self) -> bool {
        self.polling.load(Ordering::Relaxed)
    }
}

/// A guest that is counted, and polled for, until its sentry thread stops to poll or sleeps: so a call changes no counters.
#[derive(Debug)]
pub(super) struct Presence {
    counts: Arc<Counts>,
    home: u32,
}

impl Presence {
    /// Counts a guest at home on processor `home`. `None`: somebody else polls.
    pub(super) fn begin(counts: &Arc<Counts>, home: u32) -> Option<Presence> {
        if counts.polling.swap(true, Ordering::Acquire) {
            return None;
        }
        counts.guests.fetch_add(1, Ordering::Relaxed);
        if let Some(at_home) = counts.home(home) {
            at_home.fetch_add(1, Ordering::Relaxed);
        }
        Some(Presence { counts: Arc::clone(counts), home })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(at_home) = self.counts.home(self.home) {
            at_home.fetch_sub(1, Ordering::Relaxed);
        }
        self.counts.guests.fetch_sub(1, Ordering::Relaxed);
        self.counts.polling.store(false, Ordering::Release);
    }
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
            counts: Arc::new(Counts {
                guests: AtomicU32::new(0),
                homes: (0..=highest).map(|_| AtomicU32::new(0)).collect(),
                brief: AtomicU32::new(0),
                polling: AtomicBool::new(false),
            }),
            table: Table::default(),
            ticks_per_us,
            pauses_per_round: u32::try_from(ROUND_US * ticks_per_us / ticks_per_pause).unwrap_or(1).max(1),
        }
    }

    /// Sends a stub that is about to be killed to another processor, if no guest needs that one: taking a memory down takes
    /// long, and the guest that waits for the end goes on here.
    pub(super) fn release(&self, tid: i32) {
        if self.count > 1 && self.counts.guests.load(Ordering::Relaxed) + 1 < self.count {
            // One that cannot be moved dies where it is.
            let _ = process::set_affinity(tid, &self.all.without(cpu::current()));
        }
    }

    /// Whether guests leave no processor to poll on.
    pub(super) fn are_crowded(&self) -> bool {
        self.counts.guests.load(Ordering::Relaxed) + u32::from(self.table.is_used()) >= self.count
    }

    /// Where pairs may take turns if one of them is on processor `here`.
    pub(super) fn chairs(&self, here: u32) -> Chairs {
        let other = || (0..u32::MAX).find(|cpu| *cpu != here && self.all.has(*cpu));
        let sentry = self.empty().filter(|cpu| *cpu != here).or_else(other).unwrap_or(here);
        Chairs { guests: here, sentry }
    }

    /// A processor on which no guest of this sandbox is at home.
    pub(super) fn empty(&self) -> Option<u32> {
        (0..)
            .zip(&self.counts.homes)
            .find(|(cpu, home)| self.all.has(*cpu) && home.load(Ordering::Relaxed) == 0)
            .map(|(cpu, _)| cpu)
    }
}
