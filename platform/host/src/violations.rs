//! Says which system call a seccomp filter has refused, for people who debug one.
//!
//! A filter whose action is `SECCOMP_RET_TRAP` sends `SIGSYS`; the handler installed here prints the call's number to
//! standard error and ends the process with that signal.

use std::ffi::{c_int, c_void};

use nix::{errno::Errno, sys::signal};

/// Installs the handler.
///
/// # Errors
/// As sigaction(2): none in practice.
pub fn report() -> Result<(), Errno> {
    let action = signal::SigAction::new(
        signal::SigHandler::SigAction(handler),
        // The second SIGSYS finds the default action: the process ends.
        signal::SaFlags::SA_SIGINFO | signal::SaFlags::SA_RESETHAND,
        signal::SigSet::empty(),
    );
    // SAFETY: the handler only makes async-signal-safe calls on its own stack data.
    unsafe { signal::sigaction(signal::Signal::SIGSYS, &action) }.map(drop)
}

extern "C" fn handler(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    /// The layout of `siginfo_t` for `SIGSYS` (`_sigsys` in the kernel's uapi/asm-generic/siginfo.h).
    #[repr(C)]
    struct SigSys {
        signo: c_int,
        errno: c_int,
        code: c_int,
        call_addr: *mut c_void,
        syscall: c_int,
        arch: u32,
    }
    // SAFETY: the kernel passes a siginfo_t, which is larger than and laid out as `SigSys` for this signal.
    let mut number = unsafe { (*info.cast::<SigSys>()).syscall };
    let mut line = *b"forbidden host system call      \n";
    let end = line.len() - 1;
    let digits = line.get_mut(end - 5..end).into_iter().flatten().rev();
    for digit in digits {
        *digit = b'0'.saturating_add(u8::try_from(number.rem_euclid(10)).unwrap_or(0));
        number /= 10;
        if number == 0 {
            break;
        }
    }
    // SAFETY: writes a local buffer.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    // SAFETY: no preconditions. Blocked while the handler runs, delivered with the default action when it returns.
    unsafe { libc::raise(libc::SIGSYS) };
}
