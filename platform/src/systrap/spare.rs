//! What a process needs that is about to be born, and what one leaves that has ended.
//!
//! A fork waits for a unit of slots and a socket, and the parent of a process that ends waits until both are gone. So the reaper, for
//! which nobody waits, makes as many ahead as were needed lately, and takes the old ones away.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    birth,
    unit::{Unit, UnitAddresses, lock},
};
use crate::Errno;

/// The most that are made ahead.
const SPARES_MAX: usize = 12;
/// The most that wait to be taken away: descriptors and mappings of the sentry.
const LEFT_MAX: usize = 64;

/// For one process.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) unit: Unit,
    /// The unit's memory, to be mapped by the process.
    pub(super) memory: OwnedFd,
    /// The process's private socket: our end and its end.
    pub(super) ours: OwnedFd,
    pub(super) theirs: OwnedFd,
}

impl Spare {
    fn new(addresses: &Arc<Mutex<UnitAddresses>>) -> Result<Spare, Errno> {
        let (unit, memory) = Unit::new(addresses)?;
        let (ours, theirs) = birth::pair()?;
        Ok(Spare { unit, memory, ours, theirs })
    }
}

/// Those of a sandbox.
#[derive(Debug, Default)]
pub(super) struct Spares {
    ready: Mutex<Vec<Spare>>,
    /// How many were needed since the reaper looked.
    needed: AtomicUsize,
    left: Mutex<Vec<(Vec<Unit>, OwnedFd)>>,
}

impl Spares {
    /// One that is ready, or a new one.
    ///
    /// # Errors
    /// `EAGAIN`, and the host's.
    pub(super) fn take(&self, addresses: &Arc<Mutex<UnitAddresses>>) -> Result<Spare, Errno> {
        self.needed.fetch_add(1, Ordering::Relaxed);
        let ready = lock(&self.ready).pop();
        ready.map_or_else(|| Spare::new(addresses), Ok)
    }

    /// What a process has left.
    pub(super) fn leave(&self, units: Vec<Unit>, socket: OwnedFd) {
        let mut left = lock(&self.left);
        if left.len() < LEFT_MAX {
            left.push((units, socket));
        }
    }

    /// Whether nothing was made ahead.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.ready).is_empty()
    }

    /// Gives up what was made ahead.
    pub(super) fn clear(&self) {
        let ready = std::mem::take(&mut *lock(&self.ready));
        drop(ready);
        let left = std::mem::take(&mut *lock(&self.left));
        drop(left);
    }

    /// The reaper's part.
    pub(super) fn tidy(&self, addresses: &Arc<Mutex<UnitAddresses>>) {
        let left = std::mem::take(&mut *lock(&self.left));
        drop(left);
        let wanted = self.needed.swap(0, Ordering::Relaxed).min(SPARES_MAX);
        let surplus = {
            let mut ready = lock(&self.ready);
            let keep = ready.len().div_ceil(2).max(wanted).min(ready.len());
            ready.split_off(keep)
        };
        drop(surplus);
        while lock(&self.ready).len() < wanted {
            let Ok(spare) = Spare::new(addresses) else { return };
            lock(&self.ready).push(spare);
        }
    }
}
