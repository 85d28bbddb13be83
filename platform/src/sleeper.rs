//! Threads of the sentry that sleep for their guests, and who wakes them when.
//!
//! Who is woken may take the processor from the waker at once. So a thread that answers a system call wakes others only when it has
//! given back its locks and its own guest has the answer ([`Sleeper::wake_soon`]).

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Instant,
};

#[cfg(target_arch = "x86_64")]
use crate::systrap;

/// The most threads that one call wakes at its end; it wakes the others at once.
const SOON_MAX: usize = 32;

thread_local! {
    /// Whom this thread will wake.
    static SOON: RefCell<Vec<Arc<Sleeper>>> = const { RefCell::new(Vec::new()) };
    static ANSWERING: Cell<bool> = const { Cell::new(false) };
}

/// Says that the calling thread begins to answer a system call of its guest. [`crate::Context::step`] ends that.
pub fn begin_answer() {
    ANSWERING.set(true);
}

/// Wakes whom the calling thread was to wake soon. For backends, as soon as the guest has its answer or before it gets it; and for
/// who answers a call and is about to wait.
pub fn wake_now() {
    ANSWERING.set(false);
    SOON.with_borrow_mut(|soon| soon.drain(..).for_each(|sleeper| sleeper.wake()));
}

/// Whether somebody waits for [`wake_now`].
pub(crate) fn is_to_wake() -> bool {
    SOON.with_borrow(|soon| !soon.is_empty())
}

/// A thread of the sentry that sleeps for its guest.
#[derive(Debug)]
pub struct Sleeper {
    thread: Thread,
    /// It sleeps, or is about to.
    parked: AtomicBool,
    #[cfg(target_arch = "x86_64")]
    seat: Arc<systrap::Seat>,
}

impl Sleeper {
    /// The calling thread.
    #[must_use]
    pub fn current() -> Arc<Sleeper> {
        Arc::new(Sleeper {
            thread: thread::current(),
            parked: AtomicBool::new(false),
            #[cfg(target_arch = "x86_64")]
            seat: systrap::Seat::own(),
        })
    }

    /// Sleeps until woken or until `deadline`, perhaps less. Must be the calling thread. Does not sleep if `awake` says so after
    /// all others have been woken.
    pub fn sleep(&self, deadline: Option<Instant>, awake: &AtomicBool) {
        if awake.load(Ordering::SeqCst) {
            return wake_now();
        }
        #[cfg(target_arch = "x86_64")]
        systrap::about_to_sleep();
        // One of them may run at once, and for long.
        wake_now();
        if awake.load(Ordering::SeqCst) {
            return;
        }
        self.parked.store(true, Ordering::Relaxed);
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                crate::leave_processor();
                thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
        self.parked.store(false, Ordering::Relaxed);
    }

    /// Ends this or the next sleep.
    pub fn wake(&self) {
        if self.parked.load(Ordering::Relaxed) {
            self.bring_here();
        }
        self.thread.unpark();
    }

    /// As [`Sleeper::wake`], but when the calling thread has answered the system call that it answers now, if it does.
    pub fn wake_soon(self: &Arc<Sleeper>) {
        let soon = ANSWERING.get()
            && SOON.with_borrow_mut(|soon| {
                let room = soon.len() < SOON_MAX;
                if room {
                    soon.push(Arc::clone(self));
                }
                room
            });
        if !soon {
            self.wake();
        }
    }

    /// Says that the caller is about to wake this thread. If it is kept on one processor, that becomes the caller's: waking it
    /// where it is would cost ten times as much if that processor is idle.
    pub fn bring_here(&self) {
        #[cfg(target_arch = "x86_64")]
        self.seat.bring_here();
    }
}
