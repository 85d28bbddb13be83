//! Timeouts as system calls take them.

use std::time::{Duration, Instant};

use linux_abi::{
    Errno, Result, UserAddr,
    time::{Timespec, Timeval},
};

use crate::task::{ThreadCx, usermem::UserMemory};

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    /// Not at all: look and return.
    Zero,
    /// Until then.
    Until(Instant),
    /// As long as it takes.
    Never,
}

impl Timeout {
    /// After `wait`.
    pub(super) fn after(wait: Duration) -> Timeout {
        if wait.is_zero() {
            return Timeout::Zero;
        }
        // What overflows is more than anybody will wait.
        Instant::now().checked_add(wait).map_or(Timeout::Never, Timeout::Until)
    }

    /// From milliseconds; negative means for ever.
    pub(super) fn from_millis(millis: i32) -> Timeout {
        u64::try_from(millis).map_or(Timeout::Never, |millis| Timeout::after(Duration::from_millis(millis)))
    }

    /// From the `struct timespec` at `at`; null means for ever.
    ///
    /// # Errors
    /// `EFAULT`, `EINVAL`.
    pub(super) fn read_timespec(cx: &mut ThreadCx, at: UserAddr) -> Result<Timeout> {
        if at.is_null() {
            return Ok(Timeout::Never);
        }
        let time: Timespec = cx.read_obj(at)?;
        Ok(Timeout::after(time.to_duration().ok_or(Errno::EINVAL)?))
    }

    /// From the `struct timeval` at `at`, whose microseconds select(2) allows to be any number; null means for ever.
    ///
    /// # Errors
    /// `EFAULT`, `EINVAL`.
    pub(super) fn read_timeval(cx: &mut ThreadCx, at: UserAddr) -> Result<Timeout> {
        if at.is_null() {
            return Ok(Timeout::Never);
        }
        let time: Timeval = cx.read_obj(at)?;
        let sec = time.sec.checked_add(time.usec / 1_000_000).ok_or(Errno::EINVAL)?;
        let time = Timespec { sec, nsec: (time.usec % 1_000_000) * 1000 };
        Ok(Timeout::after(time.to_duration().ok_or(Errno::EINVAL)?))
    }

    /// The deadline to sleep until.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Timeout::Zero => Some(Instant::now()),
            Timeout::Until(deadline) => Some(deadline),
            Timeout::Never => None,
        }
    }

    /// What is left of it; `None` where a call does not write that back.
    pub(super) fn remaining(self) -> Option<Duration> {
        match self {
            Timeout::Until(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
            Timeout::Zero | Timeout::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_become_deadlines() {
        assert_eq!(Timeout::from_millis(-1), Timeout::Never);
        assert_eq!(Timeout::from_millis(0), Timeout::Zero);
        let left = Timeout::from_millis(60_000).remaining().unwrap();
        assert!(left > Duration::from_secs(59) && left <= Duration::from_secs(60));
        assert_eq!(Timeout::after(Duration::MAX), Timeout::Never);
    }
}
