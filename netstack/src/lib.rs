//! The network stack: sans-IO, without a clock, and without knowledge of Linux tasks or descriptors.
//!
//! So far it serves the loopback only. Two sockets of one sandbox exchange bytes and datagrams through buffers, not
//! packets, with the semantics and errors of TCP and UDP.
//!
//! * [`stack`]: addresses, routes, tables. [`ports`]: bind conflicts and ephemeral ports.
//! * [`tcp`], [`udp`]: the protocols. [`raw`], [`tap`]: raw, ping and packet sockets. [`packet`]: what these see.
//! * [`mailbox`]: where messages wait. [`bpf`]: which of them are wanted.
//! * [`stream`]: a bounded queue of bytes between one writer's side and one reader's side; copied in once, out once.
//! * [`Notify`]: how an endpoint tells whoever waits for it.
//!
//! Nothing here blocks: an operation that cannot proceed fails with `EAGAIN`, and a notification follows.
#![forbid(unsafe_code)]

pub mod bpf;
#[cfg(test)]
mod fuzz;
pub mod mailbox;
pub mod notify;
pub mod packet;
pub mod ports;
pub mod raw;
pub mod stack;
pub mod stream;
pub mod tap;
pub mod tcp;
pub mod udp;

pub use notify::{Notify, Ready};
pub use stack::{Route, Stack};
