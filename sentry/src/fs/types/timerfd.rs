//! timerfd_create(2): a timer that is read.
//!
//! The timer's thread only announces the first expiry since the last read; later ones are counted when somebody looks, so
//! that a short interval costs nothing while nobody does (as in Linux, which restarts the timer at read).

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        io::{Sink, Source},
    },
    time::{
        clock::Clock,
        schedule::Schedule,
        timer_queue::{Timer, TimerQueue, TimerTarget},
    },
    wait::{Events, WaitQueue, Watch},
};

/// A timer behind a descriptor.
pub struct TimerFd(Arc<Inner>);

struct Inner {
    clock_id: i32,
    /// The clock of absolute times.
    clock: Clock,
    state: Mutex<State>,
    queue: WaitQueue,
    timer: Timer,
}

struct State {
    /// The clock `schedule` runs on: relative times are not changed by setting the wall clock.
    clock: Clock,
    schedule: Schedule,
    /// Expiries that were not read yet.
    ticks: u64,
    settime_flags: u32,
}

impl State {
    fn count(&mut self) {
        let expired = self.schedule.elapse(self.clock.now());
        self.ticks = self.ticks.saturating_add(expired);
    }

    fn setting(&self) -> (Duration, Duration) {
        (self.schedule.remaining(self.clock.now()), self.schedule.interval())
    }
}

impl TimerTarget for Inner {
    fn expired(&self) {
        let early = {
            let mut state = self.state.lock();
            state.count();
            let next = state.schedule.next().filter(|_| state.ticks == 0);
            next.and_then(|next| state.clock.instant_at(next))
        };
        match early {
            // The wall clock was set back.
            Some(again) => self.timer.set(Some(again)),
            None => self.queue.wake(Events::IN),
        }
    }
}

impl TimerFd {
    /// A timer on `clock` that is not armed.
    pub fn new(timers: &TimerQueue, clock_id: i32, clock: Clock) -> TimerFd {
        TimerFd(Arc::new_cyclic(|inner: &Weak<Inner>| {
            let target: Weak<dyn TimerTarget> = inner.clone();
            Inner {
                clock_id,
                clock,
                state: Mutex::new(State { clock, schedule: Schedule::default(), ticks: 0, settime_flags: 0 }),
                queue: WaitQueue::new(),
                timer: timers.timer(target),
            }
        }))
    }

    /// timerfd_settime(2): a zero `value` disarms it. Returns the setting before.
    pub fn set(
        &self,
        value: Duration,
        interval: Duration,
        absolute: bool,
        flags: u32,
    ) -> (Duration, Duration) {
        let inner = &*self.0;
        let mut state = inner.state.lock();
        let before = state.setting();
        state.clock = if absolute { inner.clock } else { Clock::MONOTONIC };
        let first = if absolute { value } else { state.clock.now().saturating_add(value) };
        state.schedule = if value.is_zero() { Schedule::default() } else { Schedule::new(first, interval) };
        state.ticks = 0;
        state.settime_flags = flags;
        let deadline = state.schedule.next().and_then(|next| state.clock.instant_at(next));
        inner.timer.set(deadline);
        before
    }

    /// timerfd_gettime(2): the time until it expires next, and its interval.
    pub fn get(&self) -> (Duration, Duration) {
        let mut state = self.0.state.lock();
        state.count();
        state.setting()
    }

    /// Takes the number of expiries.
    fn take(&self) -> Result<u64> {
        let mut state = self.0.state.lock();
        state.count();
        if state.ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        let ticks = std::mem::take(&mut state.ticks);
        let deadline = state.schedule.next().and_then(|next| state.clock.instant_at(next));
        self.0.timer.set(deadline);
        Ok(ticks)
    }
}

impl FileOps for TimerFd {
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        if dst.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let ticks = self.take()?;
        match dst.put(&ticks.to_le_bytes())? {
            8 => Ok(8),
            _ => Err(Errno::EFAULT),
        }
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn ignores_seeks(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.0.queue.register(watch);
        }
        let mut state = self.0.state.lock();
        state.count();
        if state.ticks > 0 { Events::IN } else { Events::empty() }
    }

    fn anonymous_name(&self) -> String {
        String::from("anon_inode:[timerfd]")
    }

    fn fdinfo(&self) -> String {
        let (value, interval) = self.get();
        let state = self.0.state.lock();
        format!(
            "clockid: {}\nticks: {}\nsettime flags: 0{:o}\nit_value: ({}, {})\nit_interval: ({}, {})\n",
            self.0.clock_id,
            state.ticks,
            state.settime_flags,
            value.as_secs(),
            value.subsec_nanos(),
            interval.as_secs(),
            interval.subsec_nanos()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_are_counted_and_announced() {
        let timers = TimerQueue::default();
        let ops = TimerFd::new(&timers, 1, Clock::MONOTONIC);
        let file = File::anonymous(Box::new(TimerFd::new(&timers, 1, Clock::MONOTONIC)), 0);
        assert_eq!(ops.take(), Err(Errno::EAGAIN));
        assert_eq!(ops.get(), (Duration::ZERO, Duration::ZERO));
        ops.set(Duration::from_millis(5), Duration::from_millis(5), false, 0);
        std::thread::sleep(Duration::from_millis(23));
        assert_eq!(ops.poll(&file, None), Events::IN);
        let ticks = ops.take().unwrap();
        assert!((4..100).contains(&ticks), "{ticks}");
        let before = ops.set(Duration::ZERO, Duration::ZERO, false, 0);
        assert!(before.0 <= Duration::from_millis(5) && before.1 == Duration::from_millis(5));
        assert_eq!(ops.take(), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_waiter_is_woken_without_looking() {
        struct Flag(Mutex<std::sync::mpsc::Sender<()>>);
        impl crate::wait::Wake for Flag {
            fn wake(&self, _ready: Events) {
                let _ = self.0.lock().send(());
            }
        }
        let timers = TimerQueue::default();
        let file = File::anonymous(Box::new(TimerFd::new(&timers, 1, Clock::MONOTONIC)), 0);
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut watch = Watch::new(Arc::new(Flag(Mutex::new(sender))), Events::IN);
        file.ops().poll(&file, Some(&mut watch));
        let past = Clock::MONOTONIC.now() - Duration::from_millis(1);
        file.downcast::<TimerFd>().unwrap().set(past, Duration::ZERO, true, 1);
        assert!(receiver.recv_timeout(Duration::from_secs(5)).is_ok());
    }
}
