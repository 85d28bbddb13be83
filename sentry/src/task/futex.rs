//! Futexes (futex(7)): who sleeps on which word of guest memory.
//!
//! A waiter queues itself **before** it reads the word and then sleeps; a waker changes the word before it looks at the
//! queue. So no wake-up is lost, and no lock is held over an access to guest memory (but see `pi.rs`). A waiter that was
//! woken between queueing and reading an unexpected value reports the wake-up, not the value: somebody counted on it.
//!
//! * `futex.rs`: the table, plain waiting and waking.
//! * `futex/pi.rs`: priority-inheritance futexes, whose word holds the owner's thread id.
//! * `futex/robust.rs`: what an ending thread does to the locks it holds.
//!
//! Locks: shards in the order of their indices → [`Waiter::state`].

pub mod pi;
pub mod robust;

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::AtomicUsize},
};

use linux_abi::{Errno, Result};
use parking_lot::{Mutex, MutexGuard};

use self::pi::PiLock;
pub use self::robust::exit_robust_list;
use super::{Pid, Task, block::TaskWaker};
use crate::mm::FutexKey;

/// How many locks the table is spread over.
const SHARDS: usize = 64;

/// All futexes somebody waits on.
pub struct FutexTable {
    shards: Box<[Mutex<Shard>; SHARDS]>,
    hasher: RandomState,
    /// How many PI futexes have waiters: an ending thread need not look for its own if there are none.
    pi_count: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    queues: HashMap<FutexKey, VecDeque<Arc<Waiter>>>,
    pi: HashMap<FutexKey, PiLock>,
}

/// A thread that waits on one futex.
pub struct Waiter {
    waker: Arc<TaskWaker>,
    bitset: u32,
    tid: Pid,
    /// Set for `FUTEX_WAIT_REQUEUE_PI`: the PI futex this waiter may be moved to.
    pi_target: Option<FutexKey>,
    state: Mutex<State>,
}

/// Where a waiter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the plain queue of this futex.
    Queued(FutexKey),
    /// In the queue of this PI futex.
    PiQueued(FutexKey),
    /// In no queue any more.
    Woken,
    /// Owns the PI futex: its word says so already.
    Granted,
    /// Owns the PI futex because the owner ended: the word must still be written, by the waiter.
    Inherited,
}

impl Default for FutexTable {
    fn default() -> FutexTable {
        FutexTable {
            shards: Box::new(std::array::from_fn(|_| Mutex::default())),
            hasher: RandomState::new(),
            pi_count: AtomicUsize::new(0),
        }
    }
}

impl Waiter {
    fn new(task: &Task, bitset: u32, pi_target: Option<FutexKey>, state: State) -> Arc<Waiter> {
        Waiter::with_waker(task.waker(), task.tid(), bitset, pi_target, state)
    }

    fn with_waker(
        waker: Arc<TaskWaker>,
        tid: Pid,
        bitset: u32,
        pi_target: Option<FutexKey>,
        state: State,
    ) -> Arc<Waiter> {
        Arc::new(Waiter { waker, bitset, tid, pi_target, state: Mutex::new(state) })
    }

    /// Whether it was woken.
    pub fn is_woken(&self) -> bool {
        !matches!(*self.state.lock(), State::Queued(_) | State::PiQueued(_))
    }

    /// Makes it leave its queue as `state`; the caller has taken it out and notifies it.
    fn finish(&self, state: State) {
        *self.state.lock() = state;
    }
}

impl FutexTable {
    fn index(&self, key: &FutexKey) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }

    fn shard(&self, key: &FutexKey) -> MutexGuard<'_, Shard> {
        self.shards[self.index(key) % SHARDS].lock()
    }

    /// Queues the calling thread. It must then look at the word, and call [`FutexTable::cancel`] when it is done.
    pub fn queue(&self, task: &Task, key: FutexKey, bitset: u32) -> Arc<Waiter> {
        let waiter = Waiter::new(task, bitset, None, State::Queued(key));
        self.enqueue(key, &waiter);
        waiter
    }

    fn enqueue(&self, key: FutexKey, waiter: &Arc<Waiter>) {
        self.shard(&key).queues.entry(key).or_default().push_back(Arc::clone(waiter));
    }

    /// Takes a waiter out of its queue. True if it had been woken.
    pub fn cancel(&self, waiter: &Arc<Waiter>) -> bool {
        loop {
            let state = *waiter.state.lock();
            let (State::Queued(key) | State::PiQueued(key)) = state else { return true };
            let mut shard = self.shard(&key);
            // It may have been moved or woken while we took the lock.
            if *waiter.state.lock() != state {
                continue;
            }
            if matches!(state, State::Queued(_)) {
                shard.remove(&key, waiter);
            } else {
                self.remove_pi(&mut shard, &key, waiter);
            }
            waiter.finish(State::Woken);
            return false;
        }
    }

    /// Wakes up to `count` waiters on `key` that share a bit with `bitset`; returns how many.
    ///
    /// # Errors
    /// `EINVAL` if somebody waits there for a PI futex.
    pub fn wake(&self, key: &FutexKey, count: usize, bitset: u32) -> Result<usize> {
        let woken = {
            let mut shard = self.shard(key);
            if shard.pi.contains_key(key) {
                return Err(Errno::EINVAL);
            }
            shard.take(key, count, bitset)?
        };
        for waiter in &woken {
            waiter.waker.notify_soon();
        }
        Ok(woken.len())
    }

    /// Wakes up to `wake` waiters of `from` and moves up to `requeue` others to `to`; returns how many it touched.
    ///
    /// # Errors
    /// `EINVAL` if somebody waits there for a PI futex.
    pub fn requeue(&self, from: &FutexKey, to: &FutexKey, wake: usize, requeue: usize) -> Result<usize> {
        let (woken, moved) = {
            let (mut shard, mut other) = self.two_shards(from, to);
            let woken = shard.take(from, wake, u32::MAX)?;
            let moving = if from == to { Vec::new() } else { shard.take(from, requeue, u32::MAX)? };
            let target = other.as_deref_mut().unwrap_or(&mut *shard);
            for waiter in &moving {
                waiter.finish(State::Queued(*to));
                target.queues.entry(*to).or_default().push_back(Arc::clone(waiter));
            }
            let stayed =
                if from == to { shard.queues.get(from).map_or(0, |q| q.len().min(requeue)) } else { 0 };
            (woken, moving.len() + stayed)
        };
        for waiter in &woken {
            waiter.waker.notify_soon();
        }
        Ok(woken.len() + moved)
    }

    /// The shards of both keys, the second only if it is another one.
    fn two_shards(
        &self,
        a: &FutexKey,
        b: &FutexKey,
    ) -> (MutexGuard<'_, Shard>, Option<MutexGuard<'_, Shard>>) {
        match self.index(a).cmp(&self.index(b)) {
            std::cmp::Ordering::Equal => (self.shard(a), None),
            std::cmp::Ordering::Less => {
                let first = self.shard(a);
                (first, Some(self.shard(b)))
            }
            std::cmp::Ordering::Greater => {
                let second = self.shard(b);
                (self.shard(a), Some(second))
            }
        }
    }
}

impl Shard {
    fn remove(&mut self, key: &FutexKey, waiter: &Arc<Waiter>) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.retain(|queued| !Arc::ptr_eq(queued, waiter));
            if queue.is_empty() {
                self.queues.remove(key);
            }
        }
    }

    /// Takes up to `count` matching waiters out, marked as woken; the caller notifies them.
    fn take(&mut self, key: &FutexKey, count: usize, bitset: u32) -> Result<Vec<Arc<Waiter>>> {
        let Some(queue) = self.queues.get_mut(key) else { return Ok(Vec::new()) };
        let mut taken = Vec::new();
        let mut at = 0;
        while taken.len() < count
            && let Some(waiter) = queue.get(at)
        {
            if waiter.pi_target.is_some() {
                if taken.is_empty() {
                    return Err(Errno::EINVAL);
                }
                break;
            }
            if waiter.bitset & bitset == 0 {
                at += 1;
                continue;
            }
            waiter.finish(State::Woken);
            taken.extend(queue.remove(at));
        }
        if queue.is_empty() {
            self.queues.remove(key);
        }
        Ok(taken)
    }
}

/// Wakes up to `count` threads that wait on the word at `addr` of `task`'s memory, as FUTEX_WAKE does without
/// `FUTEX_PRIVATE_FLAG`: for `clear_child_tid` and robust lists.
pub fn wake_address(task: &Task, addr: u64, count: usize) {
    if let Ok(mm) = task.mm()
        && let Ok(key) = mm.futex_key(addr, false)
    {
        // Nobody hears of a PI waiter in the wrong place.
        let _ = task.kernel.futexes.wake(&key, count, u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: FutexKey = FutexKey::Private { mm: 1, addr: 0x1000 };
    const B: FutexKey = FutexKey::Shared { object: 1, offset: 0x1000 };

    fn waiter(table: &FutexTable, key: FutexKey, bitset: u32) -> Arc<Waiter> {
        let waiter = Waiter::with_waker(Arc::default(), 1, bitset, None, State::Queued(key));
        table.enqueue(key, &waiter);
        waiter
    }

    #[test]
    fn wakes_in_order_and_by_bits() {
        let table = FutexTable::default();
        let waiters = [waiter(&table, A, 1), waiter(&table, A, 2), waiter(&table, A, 3)];
        assert_eq!(table.wake(&B, 9, u32::MAX), Ok(0));
        assert_eq!(table.wake(&A, 1, 2), Ok(1));
        assert_eq!(waiters.each_ref().map(|w| w.is_woken()), [false, true, false]);
        assert_eq!(table.wake(&A, 9, u32::MAX), Ok(2));
        assert!(table.shard(&A).queues.is_empty());
    }

    #[test]
    fn cancelling_tells_whether_it_was_woken() {
        let table = FutexTable::default();
        let (first, second) = (waiter(&table, A, 1), waiter(&table, A, 1));
        assert_eq!(table.wake(&A, 1, 1), Ok(1));
        assert!(table.cancel(&first));
        assert!(!table.cancel(&second));
        assert_eq!(table.wake(&A, 1, 1), Ok(0));
    }

    #[test]
    fn requeued_waiters_wake_at_their_new_place() {
        let table = FutexTable::default();
        let waiters: Vec<_> = (0..4).map(|_| waiter(&table, A, u32::MAX)).collect();
        assert_eq!(table.requeue(&A, &B, 1, 2), Ok(3));
        assert_eq!(waiters.iter().filter(|w| w.is_woken()).count(), 1);
        assert_eq!(table.wake(&B, 9, u32::MAX), Ok(2));
        assert!(!table.cancel(&waiters[3]));
        // To itself: counted, not moved.
        let _stays = waiter(&table, A, 1);
        assert_eq!(table.requeue(&A, &A, 0, 5), Ok(1));
        assert_eq!(table.wake(&A, 9, 1), Ok(1));
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let table = FutexTable::default();
        let word = AtomicU32::new(0);
        const ROUNDS: u32 = 20_000;
        // Two threads take turns; each sleeps on the word while it is not its turn.
        let turn = |parity: u32| {
            for _ in 0..ROUNDS {
                loop {
                    let seen = word.load(Ordering::SeqCst);
                    if seen % 2 == parity {
                        break;
                    }
                    let waker: Arc<TaskWaker> = Arc::default();
                    waker.bind_current_thread();
                    let waiter = Waiter::with_waker(waker, 1, 1, None, State::Queued(A));
                    table.enqueue(A, &waiter);
                    if word.load(Ordering::SeqCst) == seen {
                        while !waiter.is_woken() {
                            std::thread::park_timeout(std::time::Duration::from_secs(5));
                        }
                    }
                    table.cancel(&waiter);
                }
                word.fetch_add(1, Ordering::SeqCst);
                table.wake(&A, 1, 1).unwrap();
            }
        };
        let started = std::time::Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| turn(0));
            scope.spawn(|| turn(1));
        });
        assert_eq!(word.load(Ordering::SeqCst), 2 * ROUNDS);
        assert!(started.elapsed() < std::time::Duration::from_secs(4), "somebody slept into the timeout");
    }
}
