//! The timers of a process: setitimer(2), timer_create(2).

/// Interval and POSIX timers of one process.
#[derive(Default)]
pub struct ProcessTimers {}

impl ProcessTimers {
    /// Ends all timers (exit).
    pub fn clear(&self) {}

    /// Deletes POSIX timers (execve).
    pub fn clear_posix(&self) {}

    /// `RLIMIT_CPU` has changed.
    pub fn cpu_limit_changed(&self, _task: &crate::task::Task) {}
}
