//! Units of slots: their addresses, and the memfds behind them.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use host::shared::SharedMap;

use super::{
    layout::{SLOTS_PER_UNIT, UNIT_COUNT, UNIT_LEN, UNITS, word},
    slot::Slot,
};
use crate::Errno;

/// Locks a mutex whose data stays valid whatever its holders did.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The unit addresses of a sandbox that are in use. Unit 0 is the zygote's and not among them.
#[derive(Debug)]
pub(super) struct UnitAddresses {
    free: Vec<u32>,
    next: u32,
}

impl UnitAddresses {
    pub(super) fn new() -> UnitAddresses {
        UnitAddresses { free: Vec::new(), next: 1 }
    }

    fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            let index = self.next;
            self.next = index.checked_add(1).filter(|_| index < UNIT_COUNT)?;
            Some(index)
        })
    }
}

/// A unit of one process.
#[derive(Debug)]
pub(super) struct Unit {
    map: Arc<SharedMap>,
    index: u32,
    /// Bit set: the slot is a live thread's.
    used: u32,
    /// Bit set: the slot's thread was told to exit.
    leaving: u32,
    addresses: Option<Arc<Mutex<UnitAddresses>>>,
}

impl Unit {
    /// A new unit at a free address, and the memfd to map there in the guest.
    pub(super) fn new(addresses: &Arc<Mutex<UnitAddresses>>) -> Result<(Unit, OwnedFd), Errno> {
        let index = lock(addresses).take().ok_or(Errno::EAGAIN)?;
        let made = Unit::at(index);
        let owner = Arc::clone(addresses);
        match made {
            Ok((mut unit, file)) => {
                unit.addresses = Some(owner);
                Ok((unit, file))
            }
            Err(error) => {
                lock(addresses).free.push(index);
                Err(error)
            }
        }
    }

    /// The zygote's unit.
    pub(super) fn zygote() -> Result<(Unit, OwnedFd), Errno> {
        Unit::at(0)
    }

    fn at(index: u32) -> Result<(Unit, OwnedFd), Errno> {
        let file = host::memfd::create(c"systrap-slots", UNIT_LEN)?;
        // A truncated file would raise SIGBUS in the sentry.
        host::memfd::seal(file.as_fd(), libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL)?;
        let len = usize::try_from(UNIT_LEN).map_err(|_| Errno::EINVAL)?;
        let map = Arc::new(SharedMap::new(file.as_fd(), len)?);
        Ok((Unit { map, index, used: 0, leaving: 0, addresses: None }, file))
    }

    /// Its address in the guest.
    pub(super) fn address(&self) -> u64 {
        UNITS + u64::from(self.index) * UNIT_LEN
    }

    fn slot(&self, index: usize) -> Slot {
        Slot::new(&self.map, self.address(), index)
    }

    /// A slot for a new thread.
    pub(super) fn take_slot(&mut self) -> Option<Slot> {
        for index in 0..SLOTS_PER_UNIT {
            let bit = 1 << index;
            let slot = self.slot(index);
            let left = self.leaving & bit != 0 && slot.request().load(Ordering::Acquire) == word::EXITING;
            if self.used & bit == 0 || left {
                self.used |= bit;
                self.leaving &= !bit;
                return Some(slot);
            }
        }
        None
    }

    /// Says that the thread of the slot at `address` was told to exit. The slot is free once the thread says that it leaves.
    pub(super) fn leave_slot(&mut self, address: u64) {
        if let Some(index) = (0..SLOTS_PER_UNIT).find(|index| self.slot(*index).address() == address) {
            self.leaving |= 1 << index;
        }
    }

    /// Wakes everyone who waits for a thread of this unit.
    pub(super) fn mark_gone(&self) {
        for index in (0..SLOTS_PER_UNIT).filter(|index| self.used & 1 << index != 0) {
            self.slot(index).mark_gone();
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if let Some(addresses) = &self.addresses {
            lock(addresses).free.push(self.index);
        }
    }
}
