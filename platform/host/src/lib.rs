//! The safe edge of the host kernel: what nix lacks, wrapped so that no caller needs `unsafe`.
//!
//! For starting and confining the project's own processes: [`spawn`], [`caps`], [`mount`], [`tty`], [`seccomp`],
//! [`violations`].
//!
//! For the platform: [`shared`], memory shared with a process that is not trusted; [`futex`], sleeping on a word of it;
//! [`memfd`]; [`fdpass`], passing descriptors; [`process`], other processes' memory, signals, ends and clocks;
//! [`ptrace`], tracing them; [`membarrier`]; [`image`], starting a program from memory; [`cpu`], what the processor has.

pub mod caps;
#[cfg(target_arch = "x86_64")]
pub mod cpu;
pub mod fdpass;
pub mod futex;
pub mod image;
pub mod membarrier;
pub mod memfd;
pub mod mount;
pub mod process;
#[cfg(target_arch = "x86_64")]
pub mod ptrace;
pub mod random;
pub mod seccomp;
pub mod shared;
pub mod spawn;
pub mod tty;
pub mod violations;

use std::io;

/// Turns the -1 convention of libc into a `Result`.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
