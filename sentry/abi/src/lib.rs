//! What Linux programs and their kernel agree on: numbers, flags and structure layouts.
//!
//! Nothing here has behaviour. Types are plain data (`zerocopy` where they cross the user
//! boundary), named as in the man pages, with the same field names and units.
//!
//! * [`errno`]: error numbers.
//! * [`addr`]: user addresses and ranges: *allegations* by the guest, not references.
//! * The rest: constants and structures by area, named after the header or man page they come from. A constant has
//!   the width in which handlers meet it. `tests/headers.rs` compares them with the system's C headers.
#![forbid(unsafe_code)]

#[macro_use]
mod uapi;

pub mod addr;
pub mod aio;
pub mod auxv;
pub mod capability;
pub mod errno;
pub mod event;
pub mod fcntl;
pub mod futex;
pub mod inet;
pub mod ioctl;
pub mod ipc;
pub mod mman;
pub mod mount;
pub mod netlink;
pub mod prctl;
pub mod ptrace;
pub mod resource;
pub mod sched;
pub mod sigframe;
pub mod signal;
pub mod socket;
pub mod stat;
pub mod system;
pub mod termios;
pub mod time;
pub mod wait;

pub use addr::{PAGE_SIZE, PageRange, UserAddr};
pub use errno::{Errno, Result};
