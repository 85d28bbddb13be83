//! The clocks (clock_gettime(2)).
//!
//! Guests read `CLOCK_REALTIME`, `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME` through the host's vDSO, without the sentry; so the
//! sentry's answers are the host's too. Inside the sentry a point in time is an [`Instant`]; the functions here turn a
//! guest's absolute times into one.

use std::time::{Duration, Instant};

use linux_abi::{
    Errno, Result,
    time::{
        CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
        CLOCK_REALTIME, CLOCK_REALTIME_ALARM, CLOCK_REALTIME_COARSE, CLOCK_TAI,
    },
};
use nix::time::{ClockId, clock_getres, clock_gettime};

/// Ticks of times(2) and /proc in a second (`USER_HZ`).
pub const USER_HZ: u64 = 100;

/// `time` in ticks of [`USER_HZ`].
pub fn ticks(time: Duration) -> i64 {
    i64::try_from(time.as_millis() / u128::from(1000 / USER_HZ)).unwrap_or(i64::MAX)
}

/// A clock that all processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(ClockId);

impl Clock {
    /// `CLOCK_MONOTONIC`.
    pub const MONOTONIC: Clock = Clock(ClockId::CLOCK_MONOTONIC);
    /// `CLOCK_REALTIME`.
    pub const REALTIME: Clock = Clock(ClockId::CLOCK_REALTIME);

    /// The clock with this id; `None` for CPU-time clocks and unknown ones.
    pub fn from_id(id: i32) -> Option<Clock> {
        Some(Clock(match id {
            CLOCK_REALTIME | CLOCK_REALTIME_ALARM => ClockId::CLOCK_REALTIME,
            CLOCK_MONOTONIC => ClockId::CLOCK_MONOTONIC,
            CLOCK_MONOTONIC_RAW => ClockId::CLOCK_MONOTONIC_RAW,
            CLOCK_REALTIME_COARSE => ClockId::CLOCK_REALTIME_COARSE,
            CLOCK_MONOTONIC_COARSE => ClockId::CLOCK_MONOTONIC_COARSE,
            CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => ClockId::CLOCK_BOOTTIME,
            CLOCK_TAI => ClockId::CLOCK_TAI,
            _ => return None,
        }))
    }

    /// The clock with this id, if something can sleep or time out on it.
    ///
    /// # Errors
    /// `EINVAL` for an unknown clock, `EOPNOTSUPP` for one that cannot be slept on, `EPERM` for one that needs
    /// `CAP_WAKE_ALARM`, which nobody has here.
    pub fn for_sleeping(id: i32) -> Result<Clock> {
        match id {
            CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM => Err(Errno::EPERM),
            CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => Err(Errno::EOPNOTSUPP),
            _ => Clock::from_id(id).ok_or(Errno::EINVAL),
        }
    }

    /// Its time now, since its zero.
    pub fn now(self) -> Duration {
        // Only an unknown clock fails.
        clock_gettime(self.0).map_or(Duration::ZERO, Duration::from)
    }

    /// Its resolution.
    pub fn resolution(self) -> Duration {
        clock_getres(self.0).map_or(Duration::from_nanos(1), Duration::from)
    }

    /// Whether it is the wall clock, which can be set.
    pub fn is_wall(self) -> bool {
        matches!(self.0, ClockId::CLOCK_REALTIME | ClockId::CLOCK_TAI)
    }

    /// When this clock will show `time`. A wall clock is taken to run on as it does now. `None` means never.
    pub fn instant_at(self, time: Duration) -> Option<Instant> {
        // In this order the result is late, never early.
        let now = self.now();
        let instant = Instant::now();
        if time <= now { Some(instant) } else { instant.checked_add(time - now) }
    }

    /// What this clock shows at `instant`.
    pub fn time_at(self, instant: Instant) -> Duration {
        let now = Instant::now();
        let time = self.now();
        if instant >= now { time.saturating_add(instant - now) } else { time.saturating_sub(now - instant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_times_become_instants() {
        for clock in [Clock::MONOTONIC, Clock::REALTIME] {
            let target = clock.now() + Duration::from_secs(5);
            let left = clock.instant_at(target).unwrap() - Instant::now();
            assert!(left > Duration::from_millis(4900) && left < Duration::from_millis(5100), "{left:?}");
            let back = clock.time_at(Instant::now() + left);
            assert!(back.abs_diff(target) < Duration::from_millis(100));
        }
        assert!(Clock::MONOTONIC.instant_at(Duration::ZERO).unwrap() <= Instant::now());
        assert_eq!(Clock::MONOTONIC.instant_at(Duration::MAX), None);
    }

    #[test]
    fn clocks_that_cannot_be_slept_on_say_so() {
        assert_eq!(Clock::for_sleeping(CLOCK_MONOTONIC_RAW), Err(Errno::EOPNOTSUPP));
        assert_eq!(Clock::for_sleeping(CLOCK_BOOTTIME_ALARM), Err(Errno::EPERM));
        assert_eq!(Clock::for_sleeping(10), Err(Errno::EINVAL));
        assert_eq!(Clock::for_sleeping(CLOCK_MONOTONIC), Ok(Clock::MONOTONIC));
    }

    #[test]
    fn ticks_are_hundredths() {
        assert_eq!(ticks(Duration::from_millis(1239)), 123);
    }
}
