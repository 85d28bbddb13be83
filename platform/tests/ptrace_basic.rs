//! Single guest threads on the ptrace backend: the tests of `basic.rs`.
#![cfg(target_arch = "x86_64")]

#[path = "basic.rs"]
mod tests;
