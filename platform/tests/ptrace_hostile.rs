//! Hostile guests on the ptrace backend: the tests of `hostile.rs`.
#![cfg(target_arch = "x86_64")]

#[path = "hostile.rs"]
mod tests;
