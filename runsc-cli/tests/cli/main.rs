//! Tests of the two programs as a whole, on this host. What the host does not allow is skipped, with the reason printed.

mod common;
mod jail;
mod kill;
mod lifecycle;
mod run;
#[path = "run.rs"]
mod run_on_ptrace;
mod verbs;
