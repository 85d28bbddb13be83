//! Clocks and timers.
//!
//! * `clock.rs`: what time it is.
//! * `schedule.rs`: when a timer expires.
//! * `timer_queue.rs`: who wakes up for it.
//! * `process_timers.rs`, `posix_timers.rs`: the timers that send signals. (timerfd is in `fs/types`.)

pub mod clock;
pub mod posix_timers;
pub mod process_timers;
pub mod schedule;
pub mod timer_queue;
