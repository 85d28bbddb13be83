//! Everything at once on the ptrace backend: the tests of `stress.rs`.
#![cfg(target_arch = "x86_64")]

#[path = "stress.rs"]
mod tests;
