//! POSIX timers (timer_create(2)).
//!
//! A timer sends at most one signal at a time. When that is taken from the queue ([`PosixTimer::signal_taken`]), the
//! expiries since are its overrun, and only then the timer runs on: so an interval of a nanosecond costs no more than the
//! program's own handling of the signals.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use super::{
    clock::Clock,
    process_timers::send_to,
    schedule::{Schedule, TimeSource},
    timer_queue::{Timer, TimerTarget},
};
use crate::{
    kernel::Kernel,
    limits::RLIMIT_SIGPENDING,
    signal::{
        info::{Fields, SI_TIMER, SigInfo},
        send,
        state::Pending,
    },
    task::{Pid, Task},
};

/// How long a periodic timer waits whose signal is ignored.
const IGNORED: Duration = Duration::from_millis(10);

/// What an expiry does (`struct sigevent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// Nothing.
    None,
    /// Sends this signal to the process.
    Process { signo: i32 },
    /// Sends this signal to this thread.
    Thread { signo: i32, tid: Pid },
}

/// A POSIX timer.
pub struct PosixTimer {
    id: i32,
    kernel: Weak<Kernel>,
    pid: Pid,
    notify: Notify,
    value: u64,
    /// The time line of absolute times.
    source: TimeSource,
    state: Mutex<State>,
    timer: Timer,
}

struct State {
    /// The time line `schedule` runs on.
    source: TimeSource,
    schedule: Schedule,
    /// Its signal was sent and not taken yet.
    sent: bool,
    /// Of the signal taken last (timer_getoverrun(2)).
    overrun: i32,
}

/// Makes a timer that is not armed; returns its id. `value` defaults to the id.
///
/// # Errors
/// `EAGAIN` if the process has as many as it may.
pub fn create(task: &Task, source: TimeSource, notify: Notify, value: Option<u64>) -> Result<i32> {
    let limit = task.group.limits.lock().soft(RLIMIT_SIGPENDING);
    let mut timers = task.group.timers.posix.lock();
    if timers.timers.len() as u64 >= limit.min(1 << 16) {
        return Err(Errno::EAGAIN);
    }
    while timers.timers.contains_key(&timers.next_id) {
        timers.next_id = timers.next_id.checked_add(1).unwrap_or(0);
    }
    let id = timers.next_id;
    timers.next_id = id.checked_add(1).unwrap_or(0);
    let timer = Arc::new_cyclic(|timer: &Weak<PosixTimer>| {
        let target: Weak<dyn TimerTarget> = timer.clone();
        PosixTimer {
            id,
            kernel: Arc::downgrade(&task.kernel),
            pid: task.pid(),
            notify,
            value: value.unwrap_or(u64::from(id.cast_unsigned())),
            source: source.clone(),
            state: Mutex::new(State { source, schedule: Schedule::default(), sent: false, overrun: 0 }),
            timer: task.kernel.timers.timer(target),
        }
    });
    timers.timers.insert(id, timer);
    Ok(id)
}

/// The timer with this id.
///
/// # Errors
/// `EINVAL` if there is none.
pub fn find(task: &Task, id: i32) -> Result<Arc<PosixTimer>> {
    task.group.timers.posix.lock().timers.get(&id).cloned().ok_or(Errno::EINVAL)
}

/// timer_delete(2).
///
/// # Errors
/// `EINVAL` if there is none.
pub fn delete(task: &Task, id: i32) -> Result<()> {
    let timer = task.group.timers.posix.lock().timers.remove(&id).ok_or(Errno::EINVAL)?;
    timer.timer.cancel();
    timer.take_back();
    Ok(())
}

impl PosixTimer {
    /// timer_settime(2): a zero `value` disarms it. Returns the setting before.
    pub fn set(&self, value: Duration, interval: Duration, absolute: bool) -> (Duration, Duration) {
        let before = self.get();
        // Relative times are not changed by setting the wall clock.
        let source = match &self.source {
            TimeSource::Clock(_) if !absolute => TimeSource::Clock(Clock::MONOTONIC),
            source => source.clone(),
        };
        let now = source.now();
        self.take_back();
        let first = if absolute { value } else { now.saturating_add(value) };
        let mut state = self.state.lock();
        state.schedule = if value.is_zero() { Schedule::default() } else { Schedule::new(first, interval) };
        state.source = source;
        state.sent = false;
        state.overrun = 0;
        self.arm(&state, now, None);
        before
    }

    /// timer_gettime(2): the time until it expires next, and its interval.
    pub fn get(&self) -> (Duration, Duration) {
        let source = self.state.lock().source.clone();
        let now = source.now();
        let state = self.state.lock();
        (state.schedule.remaining(now), state.schedule.interval())
    }

    /// timer_getoverrun(2).
    pub fn overrun(&self) -> i32 {
        self.state.lock().overrun
    }

    fn arm(&self, state: &State, now: Duration, not_before: Option<Duration>) {
        if self.notify == Notify::None {
            return;
        }
        let deadline = state.schedule.next().and_then(|next| state.source.instant_at(next, now));
        let earliest = not_before.and_then(|wait| Instant::now().checked_add(wait));
        self.timer.set(deadline.map(|at| earliest.map_or(at, |earliest| at.max(earliest))));
    }

    /// Its signal is being delivered: returns the overrun, and lets the timer run on.
    pub(super) fn signal_taken(&self) -> i32 {
        let source = self.state.lock().source.clone();
        let now = source.now();
        let mut state = self.state.lock();
        if !state.sent {
            return 0;
        }
        state.sent = false;
        let missed = state.schedule.elapse(now);
        state.overrun = i32::try_from(missed).unwrap_or(i32::MAX);
        self.arm(&state, now, None);
        state.overrun
    }

    /// Calls `with` with the queue that its signal goes to.
    fn with_queue<T>(&self, with: impl FnOnce(&mut Pending) -> T) -> Option<T> {
        let kernel = self.kernel.upgrade()?;
        match self.notify {
            Notify::None => None,
            Notify::Process { .. } => {
                let group =
                    kernel.tasks.lock().process(self.pid).map(|process| Arc::clone(&process.group))?;
                let mut signals = group.signals.lock();
                Some(with(&mut signals.pending))
            }
            Notify::Thread { tid, .. } => {
                let task = kernel.tasks.lock().thread(tid).cloned()?;
                let mut signals = task.signals.lock();
                Some(with(&mut signals.pending))
            }
        }
    }

    fn is_mine(&self, info: &SigInfo) -> bool {
        matches!(info.fields, Fields::Timer { id, .. } if id == self.id)
    }

    /// A signal that was sent and not taken yet belongs to a setting that is no more.
    fn take_back(&self) {
        self.with_queue(|pending| pending.remove(|info| self.is_mine(info)));
    }

    /// Sends the signal; false if it was not queued (the process ignores it).
    fn send(&self, signo: i32) -> bool {
        let fields = Fields::Timer { id: self.id, overrun: 0, value: self.value };
        let info = SigInfo { signo, errno: 0, code: SI_TIMER, fields };
        match self.notify {
            Notify::None => return false,
            Notify::Process { .. } => send_to(&self.kernel, self.pid, info),
            Notify::Thread { tid, .. } => {
                let task = self.kernel.upgrade().and_then(|kernel| kernel.tasks.lock().thread(tid).cloned());
                if let Some(task) = task {
                    // A full queue loses it; the timer runs on.
                    let _ = send::send_to_task(&task, info);
                }
            }
        }
        self.with_queue(|pending| pending.find_mut(|info| self.is_mine(info)).is_some()).unwrap_or(false)
    }
}

impl TimerTarget for PosixTimer {
    fn expired(&self) {
        let source = self.state.lock().source.clone();
        let now = source.now();
        let signo = match self.notify {
            Notify::None => return,
            Notify::Process { signo } | Notify::Thread { signo, .. } => signo,
        };
        {
            let mut state = self.state.lock();
            if state.sent {
                return;
            }
            if state.schedule.elapse(now) == 0 {
                self.arm(&state, now, None);
                return;
            }
            // Before it is sent: the program may take it at once.
            state.sent = true;
        }
        if !self.send(signo) {
            // Taken already (then it is armed again), or ignored: it runs on without signals.
            let mut state = self.state.lock();
            if state.sent {
                state.sent = false;
                self.arm(&state, now, Some(IGNORED));
            }
        }
    }
}
