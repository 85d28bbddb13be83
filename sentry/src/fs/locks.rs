//! File locks: flock(2), and fcntl(2)'s POSIX and open-file-description (OFD) locks.
//!
//! flock locks lie on whole files and belong to open file descriptions. POSIX locks lie on ranges and belong to
//! descriptor tables; OFD locks lie on ranges and belong to descriptions. The two families ignore each other.
//!
//! Nothing here sleeps: a lock that cannot be had is `EAGAIN`, and [`LockState::changed`] tells when to try again.

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::wait::WaitQueue;

/// The most range locks on one inode: they are memory of the sentry.
const MAX_RANGES: usize = 4096;

/// Who holds a range lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A descriptor table (a process): its id.
    Process(u64),
    /// An open file description: its id.
    Description(u64),
}

/// A lock on bytes `start..=end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLock {
    pub owner: Owner,
    /// Exclusive (`F_WRLCK`), not shared (`F_RDLCK`).
    pub exclusive: bool,
    pub start: u64,
    /// Inclusive; `i64::MAX` is the end of any file.
    pub end: u64,
    /// Who set it, for `F_GETLK`; -1 for OFD locks.
    pub pid: i32,
}

impl RangeLock {
    fn conflicts(&self, other: &RangeLock) -> bool {
        self.owner != other.owner
            && (self.exclusive || other.exclusive)
            && self.start <= other.end
            && other.start <= self.end
    }
}

/// A flock(2) lock: the id of the description that holds it.
#[derive(Clone, Copy, Debug)]
struct Flock {
    description: u64,
    exclusive: bool,
}

/// The locks on one inode.
#[derive(Default)]
pub struct LockState {
    held: Mutex<Held>,
    changed: WaitQueue,
}

#[derive(Default)]
struct Held {
    flocks: Vec<Flock>,
    ranges: Vec<RangeLock>,
}

impl LockState {
    /// Announces that locks were released.
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Takes or converts a flock(2) lock.
    ///
    /// # Errors
    /// `EAGAIN` if others hold it. A conversion that fails has lost the lock it had, as in Linux.
    pub fn flock(&self, description: u64, exclusive: bool) -> Result<()> {
        let mut held = self.held.lock();
        let mut lost = false;
        if let Some(at) = held.flocks.iter().position(|lock| lock.description == description) {
            if held.flocks.get(at).is_some_and(|lock| lock.exclusive == exclusive) {
                return Ok(());
            }
            held.flocks.swap_remove(at);
            lost = true;
        }
        let free =
            if exclusive { held.flocks.is_empty() } else { !held.flocks.iter().any(|lock| lock.exclusive) };
        if free {
            held.flocks.push(Flock { description, exclusive });
        }
        drop(held);
        if lost {
            self.announce();
        }
        if free { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// Releases the flock(2) lock of a description.
    pub fn unflock(&self, description: u64) {
        let mut held = self.held.lock();
        let before = held.flocks.len();
        held.flocks.retain(|lock| lock.description != description);
        let released = held.flocks.len() != before;
        drop(held);
        if released {
            self.announce();
        }
    }

    /// A lock that keeps `wanted` from being taken (`F_GETLK`).
    pub fn blocker(&self, wanted: &RangeLock) -> Option<RangeLock> {
        self.held.lock().ranges.iter().find(|lock| lock.conflicts(wanted)).copied()
    }

    /// Takes a range lock, replacing what the owner had there.
    ///
    /// # Errors
    /// `EAGAIN` if others hold part of it; `ENOLCK` for too many locks.
    pub fn lock_range(&self, wanted: &RangeLock) -> Result<()> {
        let mut held = self.held.lock();
        if held.ranges.iter().any(|lock| lock.conflicts(wanted)) {
            return Err(Errno::EAGAIN);
        }
        if held.ranges.len() + 2 > MAX_RANGES {
            return Err(Errno::ENOLCK);
        }
        held.carve(wanted.owner, wanted.start, wanted.end);
        held.insert(*wanted);
        drop(held);
        // An exclusive lock may have become a shared one.
        self.announce();
        Ok(())
    }

    /// Releases what `owner` holds in `start..=end`.
    ///
    /// # Errors
    /// `ENOLCK` for too many locks.
    pub fn unlock_range(&self, owner: Owner, start: u64, end: u64) -> Result<()> {
        let mut held = self.held.lock();
        if held.ranges.len() + 1 > MAX_RANGES {
            return Err(Errno::ENOLCK);
        }
        let changed = held.carve(owner, start, end);
        drop(held);
        if changed {
            self.announce();
        }
        Ok(())
    }

    /// Releases everything of `owner` (close(2), exit).
    pub fn release(&self, owner: Owner) {
        let mut held = self.held.lock();
        let before = held.ranges.len();
        held.ranges.retain(|lock| lock.owner != owner);
        let changed = held.ranges.len() != before;
        drop(held);
        if changed {
            self.announce();
        }
    }

    /// All locks, for /proc/locks: flock(2) ones as (description, exclusive), and the ranges.
    pub fn list(&self) -> (Vec<(u64, bool)>, Vec<RangeLock>) {
        let held = self.held.lock();
        let flocks = held.flocks.iter().map(|lock| (lock.description, lock.exclusive)).collect();
        (flocks, held.ranges.clone())
    }

    fn announce(&self) {
        self.changed.wake(crate::wait::Events::all());
    }
}

impl Held {
    /// Cuts `start..=end` out of the owner's locks. Tells whether there was something to cut.
    fn carve(&mut self, owner: Owner, start: u64, end: u64) -> bool {
        let mut changed = false;
        let mut kept = Vec::with_capacity(self.ranges.len() + 1);
        for lock in self.ranges.drain(..) {
            if lock.owner != owner || lock.end < start || lock.start > end {
                kept.push(lock);
                continue;
            }
            changed = true;
            if lock.start < start {
                kept.push(RangeLock { end: start - 1, ..lock });
            }
            if lock.end > end {
                kept.push(RangeLock { start: end + 1, ..lock });
            }
        }
        self.ranges = kept;
        changed
    }

    /// Adds a lock, joined with its owner's neighbours of the same kind.
    fn insert(&mut self, mut lock: RangeLock) {
        self.ranges.retain(|other| {
            let joins = other.owner == lock.owner
                && other.exclusive == lock.exclusive
                && other.start <= lock.end.saturating_add(1)
                && lock.start <= other.end.saturating_add(1);
            if joins {
                lock.start = lock.start.min(other.start);
                lock.end = lock.end.max(other.end);
            }
            !joins
        });
        self.ranges.push(lock);
        self.ranges.sort_by_key(|lock| lock.start);
    }
}

/// Which process waits for which (`F_SETLKW`), to find deadlocks.
#[derive(Default)]
pub struct LockWaits(Mutex<std::collections::HashMap<Owner, Owner>>);

impl LockWaits {
    /// Notes that `waiter` is about to wait for `holder`, until [`LockWaits::done`].
    ///
    /// # Errors
    /// `EDEADLK` if `holder` waits, directly or not, for `waiter`.
    pub fn wait(&self, waiter: Owner, holder: Owner) -> Result<()> {
        let mut waits = self.0.lock();
        let mut at = holder;
        // Every owner waits for at most one other: a walk longer than the map goes in a circle.
        for _ in 0..=waits.len() {
            if at == waiter {
                return Err(Errno::EDEADLK);
            }
            match waits.get(&at) {
                Some(&next) => at = next,
                None => break,
            }
        }
        waits.insert(waiter, holder);
        Ok(())
    }

    /// `waiter` no longer waits.
    pub fn done(&self, waiter: Owner) {
        self.0.lock().remove(&waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Owner = Owner::Process(1);
    const B: Owner = Owner::Process(2);

    fn lock(owner: Owner, exclusive: bool, start: u64, end: u64) -> RangeLock {
        RangeLock { owner, exclusive, start, end, pid: 1 }
    }

    fn spans(state: &LockState) -> Vec<(u64, u64, bool)> {
        state.list().1.iter().map(|lock| (lock.start, lock.end, lock.exclusive)).collect()
    }

    #[test]
    fn ranges_split_and_join() {
        let state = LockState::default();
        state.lock_range(&lock(A, true, 0, 99)).unwrap();
        state.lock_range(&lock(A, false, 40, 59)).unwrap();
        assert_eq!(spans(&state).len(), 3);
        assert_eq!(state.lock_range(&lock(B, false, 50, 50)), Ok(()));
        assert_eq!(state.lock_range(&lock(B, false, 39, 50)), Err(Errno::EAGAIN));
        state.release(B);
        state.lock_range(&lock(A, true, 40, 59)).unwrap();
        assert_eq!(spans(&state), [(0, 99, true)]);
        state.unlock_range(A, 10, 19).unwrap();
        assert_eq!(spans(&state), [(0, 9, true), (20, 99, true)]);
        assert_eq!(state.blocker(&lock(B, false, 0, 5)).map(|lock| lock.end), Some(9));
        assert_eq!(state.blocker(&lock(B, false, 12, 15)), None);
    }

    #[test]
    fn flock_converts_and_excludes() {
        let state = LockState::default();
        state.flock(1, false).unwrap();
        state.flock(2, false).unwrap();
        assert_eq!(state.flock(1, true), Err(Errno::EAGAIN));
        state.unflock(2);
        state.flock(1, true).unwrap();
        assert_eq!(state.flock(2, false), Err(Errno::EAGAIN));
    }

    #[test]
    fn circles_are_found() {
        let waits = LockWaits::default();
        waits.wait(A, B).unwrap();
        assert_eq!(waits.wait(B, A), Err(Errno::EDEADLK));
        waits.done(A);
        assert_eq!(waits.wait(B, A), Ok(()));
    }
}
