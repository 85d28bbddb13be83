//! Futexes whose word holds the owner's thread id (`FUTEX_LOCK_PI` …).
//!
//! What Linux calls priority inheritance is here only the protocol: the word, `FUTEX_WAITERS`, and the hand-over to the
//! longest waiter. The word and the queue must agree, so the shard's lock is held over compare-and-swaps of the word, as
//! Linux holds its hash bucket's.
//!
//! When an owner ends, its longest waiter inherits the lock. The word is then written by the heir, who knows its address;
//! until it has, the [`PiLock`] stays in the table so that nobody takes the lock meanwhile.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use linux_abi::{
    Errno, Result, UserAddr,
    futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS},
};
use platform::Context;

use super::{FutexTable, Shard, State, Waiter};
use crate::{
    mm::FutexKey,
    task::{Pid, Task},
};

/// A PI futex with waiters.
pub(super) struct PiLock {
    owner: Pid,
    waiters: VecDeque<Arc<Waiter>>,
}

/// The word of a futex.
pub trait Word {
    /// Its value.
    ///
    /// # Errors
    /// `EFAULT`.
    fn load(&mut self) -> Result<u32>;

    /// Replaces it if it is `old`; returns what it was.
    ///
    /// # Errors
    /// `EFAULT`.
    fn compare_exchange(&mut self, old: u32, new: u32) -> Result<u32>;
}

/// A word in the memory of the calling thread.
pub struct UserWord<'a> {
    pub context: &'a mut dyn Context,
    pub addr: UserAddr,
}

impl Word for UserWord<'_> {
    fn load(&mut self) -> Result<u32> {
        let mut word = [0; 4];
        self.context.read(self.addr, &mut word).map_err(|_| Errno::EFAULT)?;
        Ok(u32::from_le_bytes(word))
    }

    fn compare_exchange(&mut self, old: u32, new: u32) -> Result<u32> {
        self.context.compare_exchange_u32(self.addr, old, new).map_err(|_| Errno::EFAULT)
    }
}

/// How often a changing word is tried again before the caller is told to (`EAGAIN`).
const TRIES: usize = 1000;

/// Changes the word until `change` has had its way with a value that was still there: it returns the new value, or an
/// error to give up.
///
/// # Errors
/// `change`'s, `EFAULT`, `EAGAIN` if the word never stood still.
pub fn update(word: &mut dyn Word, mut change: impl FnMut(u32) -> Result<u32>) -> Result<u32> {
    let mut value = word.load()?;
    for _ in 0..TRIES {
        let new = match change(value) {
            // Its owner may have given the word back just before it ended (`handle_exit_race`, kernel/futex/pi.c).
            Err(Errno::ESRCH) => match word.load()? {
                same if same == value => return Err(Errno::ESRCH),
                other => {
                    value = other;
                    continue;
                }
            },
            result => result?,
        };
        let was = word.compare_exchange(value, new)?;
        if was == value {
            return Ok(value);
        }
        value = was;
    }
    Err(Errno::EAGAIN)
}

fn id(tid: Pid) -> u32 {
    tid.cast_unsigned() & FUTEX_TID_MASK
}

fn owner(word: u32) -> Pid {
    (word & FUTEX_TID_MASK).cast_signed()
}

/// Tells whether a thread exists that can own a futex.
pub type IsAlive<'a> = &'a dyn Fn(Pid) -> bool;

impl FutexTable {
    /// Takes the lock for the calling thread, or queues it: then the waiter is returned.
    ///
    /// # Errors
    /// `EDEADLK` if it has it already, `ESRCH` if the owner does not exist, `EAGAIN` instead of queueing if `try_only`.
    pub fn lock_pi(
        &self,
        task: &Task,
        key: FutexKey,
        word: &mut dyn Word,
        try_only: bool,
        is_alive: IsAlive<'_>,
    ) -> Result<Option<Arc<Waiter>>> {
        let waiter = Waiter::new(task, u32::MAX, None, State::Woken);
        let mut shard = self.shard(&key);
        let granted = self.acquire_or_queue(&mut shard, key, &waiter, word, try_only, is_alive)?;
        Ok((!granted).then_some(waiter))
    }

    /// True if the lock is the waiter's now, false if it was queued.
    fn acquire_or_queue(
        &self,
        shard: &mut Shard,
        key: FutexKey,
        waiter: &Arc<Waiter>,
        word: &mut dyn Word,
        try_only: bool,
        is_alive: IsAlive<'_>,
    ) -> Result<bool> {
        let has_waiters = shard.pi.contains_key(&key);
        let mut granted = false;
        let before = update(word, |value| {
            if owner(value) == waiter.tid {
                return Err(Errno::EDEADLK);
            }
            granted = owner(value) == 0 && !has_waiters;
            if granted {
                return Ok(value & FUTEX_OWNER_DIED | id(waiter.tid));
            }
            if try_only {
                return Err(Errno::EAGAIN);
            }
            if !has_waiters && !is_alive(owner(value)) {
                return Err(Errno::ESRCH);
            }
            Ok(value | FUTEX_WAITERS)
        })?;
        if granted {
            waiter.finish(State::Granted);
            return Ok(true);
        }
        let lock = shard.pi.entry(key).or_insert_with(|| {
            self.pi_count.fetch_add(1, Ordering::SeqCst);
            PiLock { owner: owner(before), waiters: VecDeque::new() }
        });
        waiter.finish(State::PiQueued(key));
        lock.waiters.push_back(Arc::clone(waiter));
        Ok(false)
    }

    /// Hands the lock to the longest waiter, or frees it.
    ///
    /// # Errors
    /// `EPERM` if the caller is not the owner.
    pub fn unlock_pi(&self, tid: Pid, key: FutexKey, word: &mut dyn Word) -> Result<()> {
        let mut shard = self.shard(&key);
        let heir = shard.pi.get(&key).and_then(|lock| lock.waiters.front()).cloned();
        let new = heir.as_ref().map_or(0, |heir| FUTEX_WAITERS | id(heir.tid));
        update(word, |value| if owner(value) == tid { Ok(new) } else { Err(Errno::EPERM) })?;
        let Some(heir) = heir else { return Ok(()) };
        if let Some(lock) = shard.pi.get_mut(&key) {
            lock.waiters.pop_front();
            lock.owner = heir.tid;
        }
        self.drop_if_unused(&mut shard, &key);
        heir.finish(State::Granted);
        drop(shard);
        heir.waker.notify();
        Ok(())
    }

    fn drop_if_unused(&self, shard: &mut Shard, key: &FutexKey) {
        if shard.pi.get(key).is_some_and(|lock| lock.waiters.is_empty()) {
            shard.pi.remove(key);
            self.pi_count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    pub(super) fn remove_pi(&self, shard: &mut Shard, key: &FutexKey, waiter: &Arc<Waiter>) {
        if let Some(lock) = shard.pi.get_mut(key) {
            lock.waiters.retain(|queued| !Arc::ptr_eq(queued, waiter));
        }
        self.drop_if_unused(shard, key);
    }

    /// What a waiter does when it has been woken: true if the lock is its own. The heir of an ended owner writes the word.
    ///
    /// # Errors
    /// `EFAULT` if the word is gone.
    pub fn finish_pi(&self, waiter: &Waiter, key: &FutexKey, word: &mut dyn Word) -> Result<bool> {
        let state = *waiter.state.lock();
        if state != State::Inherited {
            return Ok(state == State::Granted);
        }
        let mut shard = self.shard(key);
        let written = update(word, |_| Ok(id(waiter.tid) | FUTEX_WAITERS | FUTEX_OWNER_DIED));
        self.drop_if_unused(&mut shard, key);
        written.map(|_| true)
    }

    /// Thread `tid` ends: the longest waiter of each PI futex it owns inherits it (`exit_pi_state_list`).
    pub(super) fn owner_ended(&self, tid: Pid) {
        if self.pi_count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for shard in self.shards.iter() {
            let mut heirs = Vec::new();
            for lock in shard.lock().pi.values_mut().filter(|lock| lock.owner == tid) {
                if let Some(heir) = lock.waiters.pop_front() {
                    lock.owner = heir.tid;
                    heir.finish(State::Inherited);
                    heirs.push(heir);
                }
            }
            for heir in heirs {
                heir.waker.notify();
            }
        }
    }

    /// Queues the calling thread on a plain futex from which it will be moved to the PI futex `target`.
    pub fn queue_for_pi(&self, task: &Task, key: FutexKey, target: FutexKey, bitset: u32) -> Arc<Waiter> {
        let waiter = Waiter::new(task, bitset, Some(target), State::Queued(key));
        self.enqueue(key, &waiter);
        waiter
    }

    /// Moves up to `count` waiters of `from` to the PI futex `to`; the first gets it if it is free. Returns how many moved.
    ///
    /// # Errors
    /// `EINVAL` if a waiter expects to be moved elsewhere or not at all; those of [`FutexTable::lock_pi`].
    pub fn requeue_pi(
        &self,
        from: FutexKey,
        to: FutexKey,
        word: &mut dyn Word,
        count: usize,
        is_alive: IsAlive<'_>,
    ) -> Result<usize> {
        if from == to {
            return Err(Errno::EINVAL);
        }
        let (mut shard, mut other) = self.two_shards(&from, &to);
        let mut moved = 0;
        while moved < count {
            let Some(waiter) = shard.queues.get(&from).and_then(|queue| queue.front()).cloned() else {
                break;
            };
            if waiter.pi_target != Some(to) {
                return if moved > 0 { Ok(moved) } else { Err(Errno::EINVAL) };
            }
            let target = other.as_deref_mut().unwrap_or(&mut *shard);
            match self.acquire_or_queue(target, to, &waiter, word, false, is_alive) {
                Ok(granted) => {
                    shard.remove(&from, &waiter);
                    moved += 1;
                    if granted {
                        waiter.waker.notify();
                    }
                }
                Err(_) if moved > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(moved)
    }

    /// Whether a waiter has been moved to a PI futex (and still waits there).
    pub fn is_requeued(&self, waiter: &Waiter) -> bool {
        matches!(*waiter.state.lock(), State::PiQueued(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: FutexKey = FutexKey::Private { mm: 1, addr: 0x1000 };
    const CONDITION: FutexKey = FutexKey::Private { mm: 1, addr: 0x2000 };

    impl Word for u32 {
        fn load(&mut self) -> Result<u32> {
            Ok(*self)
        }
        fn compare_exchange(&mut self, old: u32, new: u32) -> Result<u32> {
            let was = *self;
            if was == old {
                *self = new;
            }
            Ok(was)
        }
    }

    fn lock(table: &FutexTable, tid: Pid, word: &mut u32, try_only: bool) -> Result<Option<Arc<Waiter>>> {
        let waiter = Waiter::with_waker(Arc::default(), tid, u32::MAX, None, State::Woken);
        let mut shard = table.shard(&KEY);
        let granted = table.acquire_or_queue(&mut shard, KEY, &waiter, word, try_only, &|tid| tid < 100)?;
        Ok((!granted).then_some(waiter))
    }

    #[test]
    fn hand_over_goes_through_the_word() {
        let table = FutexTable::default();
        let mut word = 0;
        assert!(lock(&table, 7, &mut word, false).unwrap().is_none());
        assert_eq!(word, 7);
        assert_eq!(lock(&table, 7, &mut word, false).err(), Some(Errno::EDEADLK));
        assert_eq!(lock(&table, 8, &mut word, true).err(), Some(Errno::EAGAIN));
        let second = lock(&table, 8, &mut word, false).unwrap().unwrap();
        let third = lock(&table, 9, &mut word, false).unwrap().unwrap();
        assert_eq!(word, 7 | FUTEX_WAITERS);
        assert_eq!(table.wake(&KEY, 1, 1), Err(Errno::EINVAL));
        assert_eq!(table.unlock_pi(8, KEY, &mut word), Err(Errno::EPERM));
        assert_eq!(table.unlock_pi(7, KEY, &mut word), Ok(()));
        assert_eq!(word, 8 | FUTEX_WAITERS);
        assert_eq!(table.finish_pi(&second, &KEY, &mut word), Ok(true));
        assert!(!table.cancel(&third));
        assert_eq!(table.unlock_pi(8, KEY, &mut word), Ok(()));
        assert_eq!(word, 0);
        assert_eq!(table.pi_count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_dead_owner_is_no_owner() {
        let table = FutexTable::default();
        let mut word = 100;
        assert_eq!(lock(&table, 7, &mut word, false).err(), Some(Errno::ESRCH));
        word = FUTEX_OWNER_DIED;
        assert!(lock(&table, 7, &mut word, false).unwrap().is_none());
        assert_eq!(word, FUTEX_OWNER_DIED | 7);
    }

    /// A word whose owner gives it back and ends while it is looked at.
    struct GivenBack(u32);

    impl Word for GivenBack {
        fn load(&mut self) -> Result<u32> {
            Ok(std::mem::replace(&mut self.0, 0))
        }
        fn compare_exchange(&mut self, old: u32, new: u32) -> Result<u32> {
            self.0.compare_exchange(old, new)
        }
    }

    #[test]
    fn an_owner_may_end_after_giving_the_word_back() {
        let mut word = GivenBack(100);
        let table = FutexTable::default();
        let waiter = Waiter::with_waker(Arc::default(), 7, u32::MAX, None, State::Woken);
        let mut shard = table.shard(&KEY);
        let taken = table.acquire_or_queue(&mut shard, KEY, &waiter, &mut word, false, &|tid| tid < 100);
        assert_eq!((taken, word.0), (Ok(true), 7));
    }

    #[test]
    fn the_heir_of_an_ended_owner_writes_the_word() {
        let table = FutexTable::default();
        let mut word = 7;
        let heir = lock(&table, 8, &mut word, false).unwrap().unwrap();
        table.owner_ended(7);
        assert!(heir.is_woken());
        // The robust list has cleared the owner; nobody may slip in before the heir.
        word = FUTEX_OWNER_DIED | FUTEX_WAITERS;
        let late = lock(&table, 9, &mut word, false).unwrap().unwrap();
        assert!(table.cancel(&heir));
        assert_eq!(table.finish_pi(&heir, &KEY, &mut word), Ok(true));
        assert_eq!(word, 8 | FUTEX_WAITERS | FUTEX_OWNER_DIED);
        assert_eq!(table.unlock_pi(8, KEY, &mut word), Ok(()));
        assert_eq!(table.finish_pi(&late, &KEY, &mut word), Ok(true));
        assert_eq!(table.pi_count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn condition_waiters_move_to_the_lock() {
        let table = FutexTable::default();
        let mut word = 0;
        let waiters: Vec<_> = (1..4)
            .map(|tid| {
                let state = State::Queued(CONDITION);
                let waiter = Waiter::with_waker(Arc::default(), tid, u32::MAX, Some(KEY), state);
                table.enqueue(CONDITION, &waiter);
                waiter
            })
            .collect();
        assert_eq!(table.wake(&CONDITION, 1, 1), Err(Errno::EINVAL));
        assert_eq!(table.requeue_pi(CONDITION, KEY, &mut word, 2, &|_| true), Ok(2));
        assert_eq!(word, 1 | FUTEX_WAITERS);
        assert!(waiters[0].is_woken() && table.is_requeued(&waiters[1]) && !table.is_requeued(&waiters[2]));
        assert_eq!(table.unlock_pi(1, KEY, &mut word), Ok(()));
        assert!(waiters[1].is_woken());
        assert!(!table.cancel(&waiters[2]));
    }
}
