//! Processes and threads on the ptrace backend: the tests of `many.rs`.
#![cfg(target_arch = "x86_64")]

#[path = "many.rs"]
mod tests;
