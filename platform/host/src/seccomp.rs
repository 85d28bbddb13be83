//! A small assembler for seccomp programs, and loading them.
//!
//! Programs are straight lists of tests that end in a return, built in order; that is all that the filters here need and
//! all that a reviewer can follow. Field offsets are those of `struct seccomp_data` (`include/uapi/linux/seccomp.h`).

use std::io;

use crate::check;

/// One BPF instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if the test holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// `seccomp_data.nr`.
pub const NR: u32 = 0;
/// `seccomp_data.arch`.
pub const ARCH: u32 = 4;
/// `seccomp_data.instruction_pointer`, low half; the high half follows.
pub const IP: u32 = 8;

/// The low half of argument `n`; the high half follows.
#[must_use]
pub const fn arg(n: u32) -> u32 {
    16 + 8 * n
}

/// `SECCOMP_RET_ALLOW`.
pub const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_TRAP`.
pub const TRAP: u32 = 0x0003_0000;
/// `AUDIT_ARCH_X86_64`.
pub const ARCH_X86_64: u32 = 0xc000_003e;

const LD_W_ABS: u16 = 0x20;
const JEQ_K: u16 = 0x15;
const JGE_K: u16 = 0x35;
const JSET_K: u16 = 0x45;
const RET_K: u16 = 0x06;

/// Loads the word at `offset` of `seccomp_data`.
#[must_use]
pub const fn load(offset: u32) -> Instruction {
    Instruction { code: LD_W_ABS, jt: 0, jf: 0, k: offset }
}

/// Returns `action`.
#[must_use]
pub const fn ret(action: u32) -> Instruction {
    Instruction { code: RET_K, jt: 0, jf: 0, k: action }
}

/// Skips `jt` instructions if the loaded word is `k`, else `jf`.
#[must_use]
pub const fn if_eq(k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: JEQ_K, jt, jf, k }
}

/// Skips `jt` instructions if the loaded word is at least `k`, else `jf`.
#[must_use]
pub const fn if_ge(k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: JGE_K, jt, jf, k }
}

/// Skips `jt` instructions if the loaded word has a bit of `k`, else `jf`.
#[must_use]
pub const fn if_any(k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: JSET_K, jt, jf, k }
}

/// The program as the kernel reads it.
#[must_use]
pub fn to_bytes(program: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    bytes
}

/// Installs `program` for the whole calling process (all threads) after `no_new_privs`. There is no way back.
///
/// # Errors
/// `EINVAL` for a bad program; `ESRCH` if a thread cannot take it.
pub fn install(program: &[Instruction]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let fprog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: no memory is involved.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
    // SAFETY: `fprog` describes `program`, whose layout is that of sock_filter; the kernel copies it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
    match check(result)? {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}
