//! Clocks and timers.
pub mod process_timers;
