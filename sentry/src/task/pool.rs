//! Host threads for guest threads.
//!
//! A host thread is dear to start: its stack is mapped and faulted in, its signal stack too, and the C library prepares it.
//! So one whose guest thread has ended waits a while for the next.
//!
//! A thread that runs a guest is kept on one processor, beside its guest ([`platform::home`]), and waking it there from another
//! costs more than anything; so one that was elsewhere is brought here first.
//!
//! Lock order: `idle`, then `Worker::job`; both are leaves otherwise.

use std::{
    sync::Arc,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;
use platform::Sleeper;

/// The stack of a task's host thread. Handlers keep large buffers on the heap.
const STACK_SIZE: usize = 256 << 10;
/// The most threads that wait.
const MAX_IDLE: usize = 16;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce() + Send>;

/// The host threads of a sandbox that have nothing to do.
#[derive(Default)]
pub struct ThreadPool {
    idle: Mutex<Vec<Arc<Worker>>>,
}

/// A thread that waits.
struct Worker {
    thread: Thread,
    /// The processor it is kept on.
    home: Option<u32>,
    sleeper: Arc<Sleeper>,
    job: Mutex<Option<Job>>,
}

impl ThreadPool {
    /// Runs `job` on a thread of its own.
    ///
    /// # Errors
    /// `EAGAIN` when the host has no thread left.
    pub fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) -> Result<()> {
        if let Some(worker) = self.take(platform::home()) {
            worker.sleeper.bring_here();
            *worker.job.lock() = Some(Box::new(job));
            worker.thread.unpark();
            return Ok(());
        }
        let pool = Arc::clone(self);
        let work = move || {
            job();
            while let Some(next) = pool.wait() {
                next();
            }
        };
        thread::Builder::new().stack_size(STACK_SIZE).spawn(work).map(drop).map_err(|_| Errno::EAGAIN)
    }

    /// A waiting thread: one whose home is `home`, or one that can be brought there. Of these the one that waits for the least time,
    /// as its memory is warm.
    fn take(&self, home: Option<u32>) -> Option<Arc<Worker>> {
        let mut idle = self.idle.lock();
        let near = idle.iter().rposition(|worker| worker.home == home);
        let kept = || idle.iter().rposition(|worker| worker.home.is_some());
        let index = near.or_else(kept).or_else(|| idle.len().checked_sub(1))?;
        Some(idle.remove(index))
    }

    /// Waits for something to do. `None`: the calling thread is not needed.
    fn wait(&self) -> Option<Job> {
        let me = Arc::new(Worker {
            thread: thread::current(),
            home: platform::home(),
            sleeper: Sleeper::current(),
            job: Mutex::default(),
        });
        {
            let mut idle = self.idle.lock();
            if idle.len() >= MAX_IDLE {
                return None;
            }
            idle.push(Arc::clone(&me));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(job) = me.job.lock().take() {
                return Some(job);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let mut idle = self.idle.lock();
                if let Some(index) = idle.iter().position(|worker| Arc::ptr_eq(worker, &me)) {
                    idle.remove(index);
                    return None;
                }
                // Somebody has taken it, and is about to say what for.
                drop(idle);
                thread::park();
            } else {
                thread::park_timeout(left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_is_used_again() {
        let pool = Arc::<ThreadPool>::default();
        let (tell, told) = mpsc::channel();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let tell = tell.clone();
            pool.run(move || tell.send(thread::current().id()).unwrap()).unwrap();
            seen.push(told.recv().unwrap());
            while pool.idle.lock().is_empty() {
                thread::yield_now();
            }
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[1], seen[2]);
    }

    #[test]
    fn jobs_run_at_the_same_time_and_few_threads_stay() {
        let pool = Arc::<ThreadPool>::default();
        let (tell, told) = mpsc::channel();
        let gate = Arc::new(std::sync::Barrier::new(41));
        for _ in 0..40 {
            let (tell, gate) = (tell.clone(), Arc::clone(&gate));
            pool.run(move || {
                gate.wait();
                tell.send(()).unwrap();
            })
            .unwrap();
        }
        gate.wait();
        for _ in 0..40 {
            told.recv().unwrap();
        }
        thread::sleep(PATIENCE / 4);
        assert!(pool.idle.lock().len() <= MAX_IDLE);
        thread::sleep(PATIENCE * 2);
        assert!(pool.idle.lock().is_empty());
    }

    #[test]
    fn a_thread_that_gives_up_loses_no_job() {
        let pool = Arc::<ThreadPool>::default();
        let (tell, told) = mpsc::channel();
        for _ in 0..20 {
            let again = tell.clone();
            pool.run(move || again.send(()).unwrap()).unwrap();
            told.recv_timeout(Duration::from_secs(10)).unwrap();
            // About when the thread of the last job gives up.
            thread::sleep(PATIENCE / 10);
        }
    }
}
