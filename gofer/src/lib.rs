//! The gofer: the process through which a sandbox reaches files of the host.
//!
//! It holds a directory descriptor for the sandbox's `/` and for each bind mount, and answers the calls
//! of `gofer-proto` about what lies below them. Regular files are handed to the client as open host
//! descriptors, so reads, writes and mappings never come here; names, attributes and directories do.
//!
//! Threat model: the client is a sentry that a guest may have taken over, so
//! * names are resolved one component at a time with `openat2(2)`, which the host kernel keeps below the directory and
//!   off symbolic links, whatever other processes of the host do to the tree meanwhile ([`resolve`]);
//! * a file is acted on through the descriptor that resolving it gave, never by its name again ([`node`]);
//! * read-only roots are refused every change here, by the mount where the host lets us have one, and by
//!   the system-call filter when there is no other kind of root;
//! * memory, descriptors and threads that a client can cause to exist are bounded ([`Limits`]);
//! * nothing in `/proc` is served, so the gofer cannot be turned against itself;
//! * the process keeps five capabilities at most, no way back to the host's tree and few system calls ([`jail`]).
//!
//! Reading order: [`config`], [`process`] (a life from start to end), [`server`] and `connection` (threads),
//! [`node`] and [`resolve`] (how a file is held and found), then `handlers`, a file for each kind of call.
//!
//! Lock order: `Server::moves`, then a node's place, then nothing. The table of ids, the ring of open descriptors, a node's
//! descriptor and a directory's position are leaves. No lock but a directory's position is held across a
//! call into the host's file systems, any of which may hang.
#![forbid(unsafe_code)]

pub mod config;
mod connection;
mod error;
mod handlers;
pub mod jail;
mod node;
pub mod process;
mod resolve;
mod server;
mod table;
mod watch;

pub use config::{Config, Confinement, Limits, Policy, Root};
pub use error::Error;
pub use process::{control_from_stdin, run, serve};
pub use resolve::OwnFds;
