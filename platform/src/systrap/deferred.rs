//! Changes to an address space that wait for the next hand-over.
//!
//! A hand-over costs more than the change itself, and a guest that maps memory is about to be resumed anyway. So changes that
//! cannot fail, but by the host running out of something, are kept and run by the shim right before it returns to the guest.
//! One that fails all the same ends the guest, as Linux ends a process when memory is short.
//!
//! Only a process with one thread defers: with more, another thread could be told of a change that has not happened. Whoever
//! looks at the memory from outside runs the deferred changes first ([`Space::flush`]).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{
    handover,
    ops::{Op, Results},
    slot::Slot,
    space::Space,
    unit::lock,
};
use crate::{AddressSpace, Gone};

/// The most that are kept.
const MAX: usize = 16;
/// Larger mappings may be refused by the host (`overcommit_memory` 0 refuses what is larger than all memory).
pub(super) const MAX_LEN: u64 = 64 << 20;
/// With more mappings the host may refuse another (`vm.max_map_count`, 65530).
const MANY_MAPPINGS: u32 = 50_000;

/// What is kept, and for which thread's stub.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    any: AtomicBool,
    kept: Mutex<(Option<Slot>, Vec<Op>)>,
    /// Never less than the number of mappings the host has.
    mappings: AtomicU32,
}

impl Deferred {
    /// For a copy of an address space.
    pub(super) fn inherited(&self) -> Deferred {
        Deferred { mappings: AtomicU32::new(self.mappings.load(Ordering::Relaxed)), ..Deferred::default() }
    }

    /// Counts a change: it splits two mappings at most.
    pub(super) fn count_change(&self) {
        let _ = self.mappings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(2));
    }

    /// The address space is empty.
    pub(super) fn reset_count(&self) {
        self.mappings.store(0, Ordering::Relaxed);
    }
}

impl Space {
    /// Keeps `op` for the next hand-over to the stub at `slot`, the process's only thread, which is stopped. `false`: it must be
    /// run now.
    pub(super) fn defer(&self, slot: &Slot, op: Op) -> bool {
        let allowed = self.shared.may_defer
            && !self.is_dead()
            && self.threads.load(Ordering::Relaxed) == 1
            && self.deferred.mappings.load(Ordering::Relaxed) < MANY_MAPPINGS;
        if !allowed {
            return false;
        }
        let mut kept = lock(&self.deferred.kept);
        if kept.1.len() >= MAX {
            return false;
        }
        kept.0 = Some(slot.clone());
        kept.1.push(op.or_stop());
        self.deferred.any.store(true, Ordering::Release);
        true
    }

    /// The deferred changes, for the thread's own hand-over.
    pub(super) fn take_deferred(&self) -> Vec<Op> {
        if !self.deferred.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut kept = lock(&self.deferred.kept);
        self.deferred.any.store(false, Ordering::Release);
        std::mem::take(&mut kept.1)
    }

    /// Ends the process if one of the first `count` operations, which were deferred, failed.
    pub(super) fn check_deferred(&self, results: &Results, count: usize) -> Result<(), Gone> {
        if let Err(errno) = results.all(count) {
            log::warn!("stub {}: a deferred change failed: {errno}", self.pid());
            self.kill();
            return Err(Gone);
        }
        Ok(())
    }

    /// Runs the deferred changes now, so that the memory can be looked at.
    pub(super) fn flush(&self) {
        if !self.deferred.any.load(Ordering::Acquire) {
            return;
        }
        // Held until they have run: the stub's own thread takes them under the lock, and finds none.
        let mut kept = lock(&self.deferred.kept);
        let ops = std::mem::take(&mut kept.1);
        if let Some(slot) = kept.0.as_ref().filter(|_| !ops.is_empty())
            && let Ok(results) = handover::run_for(slot, self, &ops)
        {
            let _ = self.check_deferred(&results, ops.len());
        }
        self.deferred.any.store(false, Ordering::Release);
    }
}
