//! When a timer expires, and how often it has: arithmetic on one time line, without a clock.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::clock::Clock;
use crate::{
    kernel::Kernel,
    task::{Pid, Task},
};

/// The first expiry still to come, and the time between it and later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    next: Option<Duration>,
    interval: Duration,
}

impl Schedule {
    /// First at `first` on the time line, then every `interval` unless that is zero.
    pub fn new(first: Duration, interval: Duration) -> Schedule {
        Schedule { next: Some(first), interval }
    }

    /// When it expires next.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// The time between expiries; zero if there is only one.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How often it has expired up to `now` since this was asked last.
    pub fn elapse(&mut self, now: Duration) -> u64 {
        let Some(next) = self.next.filter(|&next| next <= now) else { return 0 };
        if self.interval.is_zero() {
            self.next = None;
            return 1;
        }
        let interval = self.interval.as_nanos();
        let count = (now - next).as_nanos() / interval + 1;
        self.next = duration(interval.saturating_mul(count)).and_then(|passed| next.checked_add(passed));
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// The time until it expires next, zero if it does not, as timer_gettime(2) shows it: at least a nanosecond.
    pub fn remaining(&self, now: Duration) -> Duration {
        let mut copy = *self;
        copy.elapse(now);
        copy.next.map_or(Duration::ZERO, |next| (next - now).max(Duration::from_nanos(1)))
    }
}

fn duration(nanos: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
}

/// A time line that timers run on.
#[derive(Clone)]
pub enum TimeSource {
    /// A clock.
    Clock(Clock),
    /// The processor time of a process: looked at now and then, as nothing announces it.
    ProcessCpu { kernel: Weak<Kernel>, pid: Pid },
}

/// The least time between two looks at processor time, a tick in Linux.
const CPU_TICK: Duration = Duration::from_millis(4);
/// Between looks at it while the process uses none.
const CPU_IDLE: Duration = Duration::from_millis(100);

impl TimeSource {
    /// The processor time of `task`'s process.
    pub fn process_cpu(task: &Task) -> TimeSource {
        TimeSource::ProcessCpu { kernel: Arc::downgrade(&task.kernel), pid: task.pid() }
    }

    /// The time now. Must not be called with a timer's lock held: it looks at the task tree.
    pub fn now(&self) -> Duration {
        match self {
            TimeSource::Clock(clock) => clock.now(),
            TimeSource::ProcessCpu { kernel, pid } => {
                kernel.upgrade().map_or(Duration::ZERO, |kernel| process_cpu_time(&kernel, *pid))
            }
        }
    }

    /// When to look whether `time` has come, given that it is `now` there. For a clock, that is when it has.
    pub fn instant_at(&self, time: Duration, now: Duration) -> Option<Instant> {
        match self {
            TimeSource::Clock(clock) => clock.instant_at(time),
            TimeSource::ProcessCpu { .. } => {
                // All processors may be at work for it at once.
                let left = time.saturating_sub(now) / 8;
                Instant::now().checked_add(left.clamp(CPU_TICK, CPU_IDLE))
            }
        }
    }
}

/// The processor time that process `pid` has used.
pub fn process_cpu_time(kernel: &Kernel, pid: Pid) -> Duration {
    let threads = kernel.tasks.lock().threads_of(pid);
    match threads.first() {
        Some(task) => {
            task.mm().map_or_else(|_| task.group.usage.lock().exited_threads, |mm| mm.space.cpu_time())
        }
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_single_expiry_counts_once() {
        let mut schedule = Schedule::new(ms(10), Duration::ZERO);
        assert_eq!(schedule.elapse(ms(9)), 0);
        assert_eq!(schedule.remaining(ms(4)), ms(6));
        assert_eq!(schedule.elapse(ms(10)), 1);
        assert_eq!(schedule.elapse(ms(20)), 0);
        assert_eq!(schedule.remaining(ms(20)), Duration::ZERO);
    }

    #[test]
    fn periods_that_were_missed_are_counted() {
        let mut schedule = Schedule::new(ms(10), ms(3));
        assert_eq!(schedule.elapse(ms(10)), 1);
        assert_eq!(schedule.next(), Some(ms(13)));
        assert_eq!(schedule.remaining(ms(14)), ms(2));
        assert_eq!(schedule.elapse(ms(21)), 3);
        assert_eq!(schedule.next(), Some(ms(22)));
        // Billions of periods at once.
        let mut fast = Schedule::new(Duration::ZERO, Duration::from_nanos(1));
        assert_eq!(fast.elapse(Duration::from_secs(5)), 5_000_000_001);
        assert_eq!(fast.elapse(Duration::MAX), u64::MAX);
        assert_eq!(fast.next(), None);
    }
}
