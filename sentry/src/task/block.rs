//! The only place where a task sleeps.
//!
//! A task is a host thread. It sleeps by parking that thread, and wakes because a [`Watch`] it registered fired, because
//! a signal for it is pending, or because a deadline passed. No lock may be held here.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use linux_abi::{Errno, Result};
use platform::Sleeper;

use super::Task;
use crate::{
    error::{RestartKind, SysError},
    wait::{Events, Pollable, Wake, Watch},
};

/// Wakes one task. Shared by everything that may have to.
#[derive(Default)]
pub struct TaskWaker {
    notified: AtomicBool,
    sleeper: OnceLock<Arc<Sleeper>>,
}

impl TaskWaker {
    /// Binds the waker to the calling thread, which becomes the task's.
    pub fn bind_current_thread(&self) {
        let _ = self.sleeper.set(Sleeper::current());
    }

    /// Makes the current or next sleep end.
    pub fn notify(&self) {
        if !self.notified.swap(true, Ordering::SeqCst)
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.wake();
        }
    }

    /// As [`TaskWaker::notify`], but when the calling thread has answered its guest's call, if it is in one.
    pub fn notify_soon(&self) {
        if !self.notified.swap(true, Ordering::SeqCst)
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.wake_soon();
        }
    }

    fn arm(&self) {
        self.notified.store(false, Ordering::SeqCst);
    }
}

impl Wake for TaskWaker {
    fn wake(&self, _ready: Events) {
        self.notify_soon();
    }
}

/// Why a wait ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// A signal is pending.
    Interrupted,
    /// The deadline passed.
    TimedOut,
    /// The operation failed with something other than `EAGAIN`.
    Failed(Errno),
}

impl WaitError {
    /// The system call's error: interrupted calls restart as `kind` says, late ones fail with `late`.
    pub fn or_restart(self, kind: RestartKind, late: Errno) -> SysError {
        match self {
            WaitError::Interrupted => SysError::Restart(kind),
            WaitError::TimedOut => SysError::Errno(late),
            WaitError::Failed(errno) => SysError::Errno(errno),
        }
    }
}

impl Task {
    /// Tries `attempt` until it returns something other than `EAGAIN`, sleeping in between until `on` announces
    /// `interest`.
    ///
    /// # Errors
    /// [`WaitError`]; the attempt is always made at least once.
    pub fn block_on<T>(
        &self,
        on: &dyn Pollable,
        interest: Events,
        deadline: Option<Instant>,
        mut attempt: impl FnMut() -> Result<T>,
    ) -> Result<T, WaitError> {
        match attempt() {
            Err(Errno::EAGAIN) => {}
            done => return done.map_err(WaitError::Failed),
        }
        let mut watch = Watch::new(self.waker(), interest);
        on.poll(Some(&mut watch));
        loop {
            self.waker_ref().arm();
            match attempt() {
                Err(Errno::EAGAIN) => {}
                done => return done.map_err(WaitError::Failed),
            }
            self.sleep(deadline)?;
        }
    }

    /// Sleeps until `deadline` (or for ever), or until a signal is pending.
    ///
    /// # Errors
    /// `Interrupted` or `TimedOut`; never returns successfully.
    pub fn sleep_until(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        loop {
            self.waker_ref().arm();
            self.sleep(deadline)?;
        }
    }

    /// Runs `attempt` (which registers and looks for itself) until it gives a value; it is called again after each
    /// wake-up of this task's waker. For callers that watch several things at once (poll, select, epoll_wait, futex).
    ///
    /// # Errors
    /// `Interrupted` or `TimedOut`.
    pub fn wait_for<T>(
        &self,
        deadline: Option<Instant>,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        loop {
            self.waker_ref().arm();
            if let Some(value) = attempt() {
                return Ok(value);
            }
            self.sleep(deadline)?;
        }
    }

    /// As [`Task::wait_for`], but only `SIGKILL` interrupts (`TASK_KILLABLE`): for vfork's parent, coredumps, stops.
    ///
    /// # Errors
    /// `Interrupted` when the task must die.
    pub fn wait_killable<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> Result<T, WaitError> {
        loop {
            self.waker_ref().arm();
            if let Some(value) = attempt() {
                return Ok(value);
            }
            if self.must_die() {
                return Err(WaitError::Interrupted);
            }
            self.park(None);
        }
    }

    /// Sleeps once. Returns when notified; spuriously too.
    fn sleep(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        if self.interrupted() {
            return Err(WaitError::Interrupted);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(WaitError::TimedOut);
        }
        self.park(deadline);
        Ok(())
    }

    fn park(&self, deadline: Option<Instant>) {
        let waker = self.waker_ref();
        if let Some(sleeper) = waker.sleeper.get() {
            self.set_sleeping(true);
            sleeper.sleep(deadline, &waker.notified);
            self.set_sleeping(false);
        }
    }

    /// The waker, to be stored where something may have to wake this task.
    pub fn waker(&self) -> Arc<TaskWaker> {
        Arc::clone(self.waker_arc())
    }
}
