//! Readiness: who waits for what, and how they are told.
//!
//! The idiom, for both sides:
//! * A *source* (pipe, socket, child table …) owns a [`WaitQueue`]. After it changes, **having released the lock
//!   that guards the change or not**, it calls [`WaitQueue::wake`] with the events that may now be true.
//! * A *waiter* registers a [`Watch`] **before** it looks at the state, then looks, then sleeps. So no wake-up is lost.
//!
//! Only `task/block.rs` sleeps. Everything else returns `EAGAIN`.
//!
//! Lock rules: [`Wake::wake`] runs under the locks of whoever wakes, but not under the queue's. It must not register or drop a
//! [`Watch`] and may take only leaf locks. It may still be called once after its watch has ended.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use bitflags::bitflags;
use parking_lot::Mutex;

bitflags! {
    /// Readiness, with the values of poll(2) and epoll(7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Events: u32 {
        const IN = 0x001;
        const PRI = 0x002;
        const OUT = 0x004;
        const ERR = 0x008;
        const HUP = 0x010;
        const NVAL = 0x020;
        const RDNORM = 0x040;
        const RDBAND = 0x080;
        const WRNORM = 0x100;
        const WRBAND = 0x200;
        const MSG = 0x400;
        const RDHUP = 0x2000;
        /// What a reader waits for.
        const READ = Self::IN.bits() | Self::RDNORM.bits() | Self::RDHUP.bits() | Self::HUP.bits() | Self::ERR.bits();
        /// What a writer waits for.
        const WRITE = Self::OUT.bits() | Self::WRNORM.bits() | Self::HUP.bits() | Self::ERR.bits();
    }
}

/// Told when something a [`Watch`] is interested in may have happened. Spurious calls are allowed.
pub trait Wake: Send + Sync {
    /// `ready` are the events the source announced, restricted to the watch's interest.
    fn wake(&self, ready: Events);
}

/// A list of waiters. Cheap to clone: clones are the same queue.
#[derive(Clone, Default)]
pub struct WaitQueue(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Mirrors `waiters.len()`, so that waking nobody costs one load.
    count: AtomicUsize,
    waiters: Mutex<Vec<Entry>>,
}

struct Entry {
    id: u64,
    interest: Events,
    exclusive: bool,
    waker: Arc<dyn Wake>,
}

impl WaitQueue {
    /// An empty queue.
    pub fn new() -> WaitQueue {
        WaitQueue::default()
    }

    /// Wakes everybody interested in any of `ready`, but at most one of the exclusive waiters.
    pub fn wake(&self, ready: Events) {
        // Pairs with the fence in `register`: either this load sees the waiter, or the waiter's look at the
        // state sees the change that this wake announces.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.0.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Not under the lock: who is woken may run at once, on this processor, and is about to end its watch.
        for (waker, hit) in self.hit(ready) {
            waker.wake(hit);
        }
    }

    /// Who is to be woken.
    fn hit(&self, ready: Events) -> Vec<(Arc<dyn Wake>, Events)> {
        let mut exclusive_done = false;
        let mut hits = Vec::new();
        for entry in self.0.waiters.lock().iter() {
            let hit = entry.interest & ready;
            if hit.is_empty() || (entry.exclusive && exclusive_done) {
                continue;
            }
            exclusive_done |= entry.exclusive;
            hits.push((Arc::clone(&entry.waker), hit));
        }
        hits
    }

    /// Adds `watch` to this queue until the watch is dropped.
    pub fn register(&self, watch: &mut Watch) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut waiters = self.0.waiters.lock();
        waiters.push(Entry {
            id,
            interest: watch.interest,
            exclusive: watch.exclusive,
            waker: Arc::clone(&watch.waker),
        });
        self.0.count.store(waiters.len(), Ordering::Relaxed);
        drop(waiters);
        std::sync::atomic::fence(Ordering::SeqCst);
        watch.entries.push((self.clone(), id));
    }

    fn remove(&self, id: u64) {
        let mut waiters = self.0.waiters.lock();
        waiters.retain(|entry| entry.id != id);
        self.0.count.store(waiters.len(), Ordering::Relaxed);
    }
}

/// One waiter's registrations, on any number of queues. Dropping it ends them.
pub struct Watch {
    waker: Arc<dyn Wake>,
    interest: Events,
    exclusive: bool,
    entries: Vec<(WaitQueue, u64)>,
}

impl Watch {
    /// A watch that is registered nowhere yet. Errors and hang-ups are always of interest, as in poll(2).
    pub fn new(waker: Arc<dyn Wake>, interest: Events) -> Watch {
        Watch { waker, interest: interest | Events::ERR | Events::HUP, exclusive: false, entries: Vec::new() }
    }

    /// Of all exclusive watches on a queue only one is woken (`EPOLLEXCLUSIVE`).
    #[must_use]
    pub fn exclusive(mut self) -> Watch {
        self.exclusive = true;
        self
    }

    /// What the watch waits for.
    pub fn interest(&self) -> Events {
        self.interest
    }

    /// Whether any queue was found to register on. A watch on nothing will never wake.
    pub fn is_registered(&self) -> bool {
        !self.entries.is_empty()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (queue, id) in self.entries.drain(..) {
            queue.remove(id);
        }
    }
}

/// Something with a readiness.
pub trait Pollable {
    /// Registers `watch` (if given) on the queues that announce changes, *then* returns what is ready now.
    fn poll(&self, watch: Option<&mut Watch>) -> Events;
}

/// A bare queue is never ready by itself: its waiters look at the state it announces.
impl Pollable for WaitQueue {
    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.register(watch);
        }
        Events::empty()
    }
}
