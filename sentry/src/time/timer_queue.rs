//! The kernel's timers: one host thread that sleeps until the earliest deadline.
//!
//! The thread is started with the first timer that is armed and does not wake while none is. Targets are called without
//! the queue's lock, and may be called although they have just been cancelled or re-armed: they look at their own state,
//! under their own lock, and ignore a call that comes too early.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Instant,
};

use parking_lot::{Condvar, Mutex};

/// The stack of the timers' thread: sending a signal is the most it does.
const STACK_SIZE: usize = 256 << 10;

/// What happens when a timer expires.
pub trait TimerTarget: Send + Sync {
    /// Its deadline has passed. Called on the timers' thread: must not block.
    fn expired(&self);
}

/// The timers of a sandbox. Dropping it ends their thread.
#[derive(Default)]
pub struct TimerQueue {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// In order of deadline; the number makes the keys differ.
    armed: BTreeMap<(Instant, u64), Weak<dyn TimerTarget>>,
    next_id: u64,
    running: bool,
    ended: bool,
}

/// One timer. Dropping it cancels it.
pub struct Timer {
    shared: Arc<Shared>,
    target: Weak<dyn TimerTarget>,
    armed: Mutex<Option<(Instant, u64)>>,
}

impl TimerQueue {
    /// A timer that is not armed.
    pub fn timer(&self, target: Weak<dyn TimerTarget>) -> Timer {
        Timer { shared: Arc::clone(&self.shared), target, armed: Mutex::new(None) }
    }
}

impl Drop for TimerQueue {
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Timer {
    /// Calls the target at `deadline`, and no longer at the one before; never, if there is none.
    pub fn set(&self, deadline: Option<Instant>) {
        let mut armed = self.armed.lock();
        let mut state = self.shared.state.lock();
        if let Some(key) = armed.take() {
            state.armed.remove(&key);
        }
        let Some(deadline) = deadline else { return };
        state.next_id += 1;
        let key = (deadline, state.next_id);
        state.armed.insert(key, Weak::clone(&self.target));
        *armed = Some(key);
        let is_first = state.armed.first_key_value().is_some_and(|(first, _)| *first == key);
        if !state.running && !state.ended {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name(String::from("timers")).stack_size(STACK_SIZE);
            // Without a thread, the next timer that is armed tries again.
            state.running = thread.spawn(move || shared.run()).is_ok();
        } else if is_first {
            self.shared.changed.notify_one();
        }
    }

    /// Does not call the target any more.
    pub fn cancel(&self) {
        self.set(None);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.ended {
            let Some((&(deadline, id), _)) = state.armed.first_key_value() else {
                self.changed.wait(&mut state);
                continue;
            };
            if deadline > Instant::now() {
                self.changed.wait_until(&mut state, deadline);
                continue;
            }
            let target = state.armed.remove(&(deadline, id)).and_then(|target| target.upgrade());
            parking_lot::MutexGuard::unlocked(&mut state, || {
                if let Some(target) = target {
                    target.expired();
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    struct Report(u32, Mutex<mpsc::Sender<u32>>);
    impl TimerTarget for Report {
        fn expired(&self) {
            let _ = self.1.lock().send(self.0);
        }
    }

    #[test]
    fn timers_expire_in_order_and_cancelled_ones_do_not() {
        let queue = TimerQueue::default();
        let (sender, receiver) = mpsc::channel();
        let targets: Vec<Arc<dyn TimerTarget>> =
            (0..4).map(|n| Arc::new(Report(n, Mutex::new(sender.clone()))) as Arc<dyn TimerTarget>).collect();
        let timers: Vec<Timer> = targets.iter().map(|target| queue.timer(Arc::downgrade(target))).collect();
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        timers[0].set(at(60));
        timers[1].set(at(20));
        timers[2].set(at(30));
        timers[3].set(at(5));
        timers[3].set(at(40));
        timers[2].cancel();
        let order: Vec<u32> =
            (0..3).map(|_| receiver.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
        assert_eq!(order, [1, 3, 0]);
        assert!(start.elapsed() >= Duration::from_millis(60));
        assert!(receiver.recv_timeout(Duration::from_millis(30)).is_err());
    }
}
