//! Tests of the two programs as a whole, on this host. What the host does not allow is skipped, with the reason printed.
#![expect(clippy::unwrap_used, reason = "this is how a test fails")]
#![expect(clippy::duplicate_mod, reason = "the same tests on two platforms")]

mod common;
mod jail;
mod kill;
mod lifecycle;
mod many;
mod run;
#[path = "run.rs"]
mod run_on_ptrace;
mod verbs;
