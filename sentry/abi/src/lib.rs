//! What Linux programs and their kernel agree on: numbers, flags and structure layouts.
//!
//! Nothing here has behaviour. Types are plain data (`zerocopy` where they cross the user
//! boundary), named as in the man pages, with the same field names and units.
//!
//! * [`errno`]: error numbers.
//! * [`addr`]: user addresses and ranges: *allegations* by the guest, not references.
//! * [`event`]: poll, epoll and the descriptors that exist to be waited for.
//! * [`fcntl`]: flags and commands of the file calls.
//! * [`futex`]: futexes and robust lists.
//! * [`socket`]: sockets: families, options, message flags.
//! * [`sched`]: scheduling.
//! * [`stat`]: structures of the stat family.
//! * [`time`]: clocks and times.
#![forbid(unsafe_code)]

pub mod addr;
pub mod errno;
pub mod event;
pub mod fcntl;
pub mod futex;
pub mod socket;
pub mod sched;
pub mod stat;
pub mod time;

pub use addr::{PAGE_SIZE, PageRange, UserAddr};
pub use errno::{Errno, Result};
