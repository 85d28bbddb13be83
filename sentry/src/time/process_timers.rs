//! The timers of a process: setitimer(2), `RLIMIT_CPU`, and where its POSIX timers (`posix_timers.rs`) are kept.
//!
//! Each timer's expiry is worked out under its own lock, then acted on without it. Those locks are below the task tree:
//! the tree may be locked when they are taken, and is never taken under them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use linux_abi::{
    Errno, Result,
    time::{ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL},
};
use parking_lot::Mutex;

use super::{
    clock::Clock,
    posix_timers::PosixTimer,
    schedule::{Schedule, TimeSource},
    timer_queue::{Timer, TimerTarget},
};
use crate::{
    kernel::Kernel,
    limits::{RLIM_INFINITY, RLIMIT_CPU},
    signal::{
        SIGALRM, SIGKILL, SIGPROF, SIGVTALRM, SIGXCPU,
        info::{Fields, SigInfo},
        send,
    },
    task::{Pid, Task},
};

/// The shortest time between two signals of an interval timer: shorter intervals make one signal of several.
const SHORTEST: Duration = Duration::from_micros(100);

/// Interval and POSIX timers of one process.
#[derive(Default)]
pub struct ProcessTimers {
    /// By `ITIMER_*`.
    intervals: Mutex<[Option<Arc<IntervalTimer>>; 3]>,
    cpu_limit: Mutex<Option<Arc<CpuLimit>>>,
    pub(super) posix: Mutex<PosixTimers>,
}

/// The POSIX timers by id.
#[derive(Default)]
pub(super) struct PosixTimers {
    pub(super) timers: BTreeMap<i32, Arc<PosixTimer>>,
    pub(super) next_id: i32,
}

impl ProcessTimers {
    /// Ends all timers (exit).
    pub fn clear(&self) {
        let intervals = std::mem::take(&mut *self.intervals.lock());
        let limit = self.cpu_limit.lock().take();
        drop((intervals, limit));
        self.clear_posix();
    }

    /// Deletes POSIX timers (execve).
    pub fn clear_posix(&self) {
        let timers = std::mem::take(&mut self.posix.lock().timers);
        drop(timers);
    }

    /// `RLIMIT_CPU` has changed, or is new to the process (fork).
    pub fn cpu_limit_changed(&self, task: &Task) {
        if task.group.limits.lock().soft(RLIMIT_CPU) == RLIM_INFINITY {
            *self.cpu_limit.lock() = None;
            return;
        }
        let limit = Arc::new_cyclic(|limit: &Weak<CpuLimit>| {
            let target: Weak<dyn TimerTarget> = limit.clone();
            CpuLimit {
                kernel: Arc::downgrade(&task.kernel),
                pid: task.pid(),
                source: TimeSource::process_cpu(task),
                timer: task.kernel.timers.timer(target),
            }
        });
        limit.expired();
        *self.cpu_limit.lock() = Some(limit);
    }

    /// A signal was taken from a queue: if it is a POSIX timer's, says how often the timer has expired since it was sent,
    /// and starts the timer again. Called without locks.
    pub(crate) fn signal_taken(&self, mut info: SigInfo) -> SigInfo {
        if let Fields::Timer { id, overrun, .. } = &mut info.fields {
            let timer = self.posix.lock().timers.get(id).cloned();
            if let Some(timer) = timer {
                *overrun = timer.signal_taken();
            }
        }
        info
    }
}

/// One of the three interval timers.
struct IntervalTimer {
    kernel: Weak<Kernel>,
    pid: Pid,
    signo: i32,
    source: TimeSource,
    schedule: Mutex<Schedule>,
    timer: Timer,
}

impl IntervalTimer {
    fn new(task: &Task, which: i32) -> Arc<IntervalTimer> {
        let (signo, source) = match which {
            ITIMER_REAL => (SIGALRM, TimeSource::Clock(Clock::MONOTONIC)),
            ITIMER_VIRTUAL => (SIGVTALRM, TimeSource::process_cpu(task)),
            _ => (SIGPROF, TimeSource::process_cpu(task)),
        };
        Arc::new_cyclic(|timer: &Weak<IntervalTimer>| {
            let target: Weak<dyn TimerTarget> = timer.clone();
            IntervalTimer {
                kernel: Arc::downgrade(&task.kernel),
                pid: task.pid(),
                signo,
                source,
                schedule: Mutex::default(),
                timer: task.kernel.timers.timer(target),
            }
        })
    }

    fn arm(&self, schedule: &Schedule, now: Duration) {
        let deadline = schedule.next().and_then(|next| self.source.instant_at(next, now));
        let earliest = Instant::now() + SHORTEST;
        let deadline = deadline.map(|at| if schedule.interval().is_zero() { at } else { at.max(earliest) });
        self.timer.set(deadline);
    }

    fn get(&self, now: Duration) -> (Duration, Duration) {
        let schedule = self.schedule.lock();
        (schedule.remaining(now), schedule.interval())
    }
}

impl TimerTarget for IntervalTimer {
    fn expired(&self) {
        let now = self.source.now();
        let count = {
            let mut schedule = self.schedule.lock();
            let count = schedule.elapse(now);
            self.arm(&schedule, now);
            count
        };
        if count > 0 {
            send_to(&self.kernel, self.pid, SigInfo::kernel(self.signo));
        }
    }
}

/// Sends to a process by id, if it still exists.
pub(super) fn send_to(kernel: &Weak<Kernel>, pid: Pid, info: SigInfo) {
    let Some(kernel) = kernel.upgrade() else { return };
    let group = kernel.tasks.lock().process(pid).map(|process| Arc::clone(&process.group));
    if let Some(group) = group {
        // Standard signals are never too many.
        let _ = send::send_to_group(&kernel, &group, info);
    }
}

fn index(which: i32) -> Result<usize> {
    match which {
        ITIMER_REAL | ITIMER_VIRTUAL | ITIMER_PROF => usize::try_from(which).map_err(|_| Errno::EINVAL),
        _ => Err(Errno::EINVAL),
    }
}

/// getitimer(2): the time until it expires next, and its interval.
///
/// # Errors
/// `EINVAL` for an unknown timer.
pub fn get_interval(task: &Task, which: i32) -> Result<(Duration, Duration)> {
    let timer = task.group.timers.intervals.lock().get(index(which)?).cloned().flatten();
    Ok(timer.map_or((Duration::ZERO, Duration::ZERO), |timer| timer.get(timer.source.now())))
}

/// setitimer(2): a zero `value` disarms it. Returns the setting before.
///
/// # Errors
/// `EINVAL` for an unknown timer.
pub fn set_interval(
    task: &Task,
    which: i32,
    value: Duration,
    interval: Duration,
) -> Result<(Duration, Duration)> {
    let timer = {
        let mut timers = task.group.timers.intervals.lock();
        let slot = timers.get_mut(index(which)?).ok_or(Errno::EINVAL)?;
        if slot.is_none() && value.is_zero() {
            return Ok((Duration::ZERO, Duration::ZERO));
        }
        Arc::clone(slot.get_or_insert_with(|| IntervalTimer::new(task, which)))
    };
    let now = timer.source.now();
    let before = timer.get(now);
    let mut schedule = timer.schedule.lock();
    *schedule = if value.is_zero() {
        Schedule::default()
    } else {
        Schedule::new(now.saturating_add(value), interval)
    };
    timer.arm(&schedule, now);
    Ok(before)
}

/// Watches a process with a limit on its processor time.
struct CpuLimit {
    kernel: Weak<Kernel>,
    pid: Pid,
    source: TimeSource,
    timer: Timer,
}

impl TimerTarget for CpuLimit {
    /// `SIGXCPU` each second from the soft limit on, `SIGKILL` at the hard one (`check_process_timers`).
    fn expired(&self) {
        let Some(kernel) = self.kernel.upgrade() else { return };
        let group = kernel.tasks.lock().process(self.pid).map(|process| Arc::clone(&process.group));
        let Some(group) = group else { return };
        let now = self.source.now();
        let limit = {
            let mut limits = group.limits.lock();
            let Ok(mut limit) = limits.get(RLIMIT_CPU) else { return };
            if now < Duration::from_secs(limit.hard) && now >= Duration::from_secs(limit.soft) {
                drop(limits);
                send_to(&self.kernel, self.pid, SigInfo::kernel(SIGXCPU));
                limits = group.limits.lock();
                limit.soft = limit.soft.saturating_add(1);
                let _ = limits.set(RLIMIT_CPU, limit);
            }
            limit
        };
        if now >= Duration::from_secs(limit.hard) {
            send_to(&self.kernel, self.pid, SigInfo::kernel(SIGKILL));
            return;
        }
        self.timer.set(self.source.instant_at(Duration::from_secs(limit.soft.min(limit.hard)), now));
    }
}
