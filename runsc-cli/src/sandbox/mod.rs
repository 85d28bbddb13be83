//! The process tree of a sandbox, seen from `runsc`: [`launch`] starts the sentry and the gofer, [`supervise`] stays with
//! a foreground run until its end.
//!
//! ```text
//! runsc ──control socket──► sentry (pid 1 of its namespace) ──stubs…
//!   └────control socket──► gofer  (pid 1 of its namespace)
//!                            ▲ one connection per root, from the sentry
//! ```
//!
//! Who ends whom: both children get `SIGKILL` when an attached `runsc` ends; the sentry ends when a gofer connection
//! does, and the gofer when all of its connections have; stubs end with their pid namespace.

pub mod cgroup;
pub mod hints;
pub mod idmap;
pub mod janitor;
pub mod launch;
pub mod memory_guard;
pub mod supervise;
pub mod terminal;
