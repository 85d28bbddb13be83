//! The sentry: a Linux kernel in user space.
//!
//! Reading order for newcomers: [`task`] (what a thread is and its run loop), [`syscalls`] (dispatch), [`wait`] and
//! `task/block.rs` (sleeping), [`fs`] (files), [`mm`] (memory), [`signal`], then whatever you came for.
//!
//! Rules: no `unsafe`; nothing a guest does may panic; operations on files never block (`EAGAIN`), only
//! `task/block.rs` sleeps; no lock is held while sleeping or while the guest runs.
#![forbid(unsafe_code)]

pub mod aio;
pub mod boot;
pub mod bpf;
pub mod credentials;
pub mod error;
pub mod fs;
pub mod ipc;
pub mod kernel;
pub mod keys;
pub mod limits;
pub mod loader;
pub mod mm;
pub mod net;
pub mod signal;
pub mod strace;
pub mod syscalls;
pub mod task;
pub mod time;
pub mod wait;
