//! What Linux programs and their kernel agree on: numbers, flags and structure layouts.
//!
//! Nothing here has behaviour. Types are plain data (`zerocopy` where they cross the user
//! boundary), named as in the man pages, with the same field names and units.
//!
//! * [`errno`]: error numbers.
//! * [`addr`]: user addresses and ranges: *allegations* by the guest, not references.
#![forbid(unsafe_code)]

pub mod addr;
pub mod errno;

pub use addr::{PAGE_SIZE, PageRange, UserAddr};
pub use errno::{Errno, Result};
pub mod fcntl;
