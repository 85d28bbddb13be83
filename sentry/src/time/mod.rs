//! Clocks and timers.
pub mod clock;
pub mod process_timers;
