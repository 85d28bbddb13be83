//! The timers of a process: setitimer(2), timer_create(2).

/// Interval and POSIX timers of one process.
#[derive(Default)]
pub struct ProcessTimers {}
