//! Tracing threads of other processes (`ptrace(2)`): stopping them, their registers, and running them until their next
//! system call without making it.
//!
//! A tracer is a *thread*: all functions but [`seize`] fail with `ESRCH` when another thread of this program calls them, or
//! when the thread is not stopped where that is needed. Threads are traced until [`detach`], their end, or the end of the
//! tracing thread, which kills their process.

use std::{io, mem::MaybeUninit};

use crate::check;

/// Linux's names for the extended state and the general registers as "register sets" (`elf.h`).
const NT_X86_XSTATE: usize = 0x202;
const NT_PRSTATUS: usize = 1;
/// The bit of a stop's status that tells a stop at a system call (`PTRACE_O_TRACESYSGOOD`).
const AT_CALL: i32 = 0x80;

/// The general registers in the order of `struct user_regs_struct`.
#[cfg(target_arch = "x86_64")]
pub type Words = [u64; 27];

/// What a traced thread did next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is about to make a system call, which [`emulate`] skips.
    Call,
    /// It is about to receive this signal.
    Signal(i32),
    /// It stopped for [`interrupt`], or because its whole process was stopped.
    Interrupt,
    /// It has ended, and is a zombie.
    Ended,
}

/// Makes a request.
///
/// # Safety
/// `address` and `data` are what `number` takes; memory they point to is valid for it.
unsafe fn request(number: libc::c_uint, tid: i32, address: usize, data: usize) -> io::Result<libc::c_long> {
    // SAFETY: the caller's promise. Through syscall(2), as libc's ptrace gives some requests another meaning.
    check(unsafe { libc::syscall(libc::SYS_ptrace, u64::from(number), tid, address, data) })
}

/// A request that reads or writes no memory of ours.
fn plain(number: libc::c_uint, tid: i32, data: usize) -> io::Result<()> {
    // SAFETY: by name and by use below, `data` is a number.
    unsafe { request(number, tid, 0, data) }.map(drop)
}

/// A request on a register set; returns how many bytes it has.
///
/// # Safety
/// `set` is valid for reading (`PTRACE_SETREGSET`) or writing (`PTRACE_GETREGSET`) of `len` bytes.
unsafe fn regset(number: libc::c_uint, tid: i32, kind: usize, set: *mut u8, len: usize) -> io::Result<usize> {
    let mut vector = libc::iovec { iov_base: set.cast(), iov_len: len };
    let data = (&raw mut vector).addr();
    // SAFETY: `vector` is valid, and describes what the caller promises. The address is passed as a number, as in C.
    unsafe { request(number, tid, kind, data) }?;
    Ok(vector.iov_len)
}

/// Begins to trace `tid`, which runs on.
///
/// # Errors
/// `ESRCH`, `EPERM` (also for a zombie).
pub fn seize(tid: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    plain(libc::PTRACE_SEIZE, tid, usize::try_from(options).unwrap_or(0))
}

/// Asks a traced thread to stop, wherever it is.
///
/// # Errors
/// `ESRCH`.
pub fn interrupt(tid: i32) -> io::Result<()> {
    plain(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Stops tracing a stopped thread and lets it run.
///
/// # Errors
/// `ESRCH`.
pub fn detach(tid: i32) -> io::Result<()> {
    plain(libc::PTRACE_DETACH, tid, 0)
}

/// Lets a stopped thread run until its next system call, delivering `signal` first unless it is 0.
///
/// # Errors
/// `ESRCH`; `EIO` if the host cannot.
pub fn emulate(tid: i32, signal: i32) -> io::Result<()> {
    plain(libc::PTRACE_SYSEMU, tid, usize::try_from(signal).unwrap_or(0))
}

/// The general registers of a stopped thread.
///
/// # Errors
/// `ESRCH`.
pub fn registers(tid: i32) -> io::Result<Words> {
    let mut words: Words = [0; 27];
    // SAFETY: `words` is valid for writing.
    unsafe {
        regset(libc::PTRACE_GETREGSET, tid, NT_PRSTATUS, words.as_mut_ptr().cast(), size_of::<Words>())
    }?;
    Ok(words)
}

/// Sets the general registers of a stopped thread.
///
/// # Errors
/// `ESRCH`; `EIO` for segments and segment bases that no thread may have.
pub fn set_registers(tid: i32, words: &Words) -> io::Result<()> {
    let set = words.as_ptr().cast_mut().cast();
    // SAFETY: `words` is valid for reading, which is all that this request does.
    unsafe { regset(libc::PTRACE_SETREGSET, tid, NT_PRSTATUS, set, size_of::<Words>()) }.map(drop)
}

/// Reads the extended state of a stopped thread, an XSAVE area in standard format, and returns its length.
///
/// # Errors
/// `ESRCH`; `ENODEV` without XSAVE.
pub fn extended_state(tid: i32, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `into` is valid for writing.
    unsafe { regset(libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, into.as_mut_ptr(), into.len()) }
}

/// Replaces the extended state of a stopped thread: an area of the length that [`extended_state`] tells.
///
/// # Errors
/// `ESRCH`; `EINVAL`, `EFAULT` for an area that the host does not take.
pub fn set_extended_state(tid: i32, area: &[u8]) -> io::Result<()> {
    // SAFETY: `area` is valid for reading, which is all that this request does.
    unsafe { regset(libc::PTRACE_SETREGSET, tid, NT_X86_XSTATE, area.as_ptr().cast_mut(), area.len()) }
        .map(drop)
}

/// Replaces the signal mask of a stopped thread.
///
/// # Errors
/// `ESRCH`.
pub fn set_signal_mask(tid: i32, mask: u64) -> io::Result<()> {
    // SAFETY: the request reads 8 bytes of `mask`.
    unsafe { request(libc::PTRACE_SETSIGMASK, tid, size_of::<u64>(), (&raw const mask).addr()) }.map(drop)
}

/// `si_code` of the signal at which a thread has stopped.
///
/// # Errors
/// `ESRCH`; `EINVAL` if it is no such stop.
pub fn signal_code(tid: i32) -> io::Result<i32> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `info` is valid for writing.
    unsafe { request(libc::PTRACE_GETSIGINFO, tid, 0, info.as_mut_ptr().addr()) }?;
    // SAFETY: all-zero bytes are a valid siginfo_t, and the kernel has overwritten them with another.
    Ok(unsafe { info.assume_init() }.si_code)
}

/// Waits until a traced thread stops or ends. What it tells is left there: a zombie stays one (see [`reap`]).
///
/// # Errors
/// `ECHILD`: no such thread. Never `EINTR` (retried).
pub fn wait(tid: i32) -> io::Result<Stop> {
    let (code, status) = wait_for(tid, libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT)?;
    Ok(match (code, status) {
        (libc::CLD_TRAPPED, status) if status == libc::SIGTRAP | AT_CALL => Stop::Call,
        (libc::CLD_TRAPPED, status) if status >> 8 == 0 => Stop::Signal(status),
        (libc::CLD_TRAPPED | libc::CLD_STOPPED, _) => Stop::Interrupt,
        _ => Stop::Ended,
    })
}

/// Waits for the end of a traced thread and releases its number.
///
/// # Errors
/// `ECHILD`: no such thread.
pub fn reap(tid: i32) -> io::Result<()> {
    wait_for(tid, libc::WEXITED).map(drop)
}

/// `waitid(2)` for a thread: the `si_code` and `si_status` of what it tells.
fn wait_for(tid: i32, flags: i32) -> io::Result<(i32, i32)> {
    let id = libc::id_t::try_from(tid).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` is valid for writing one siginfo_t.
        let result = unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), flags | libc::__WALL) };
        match check(result.into()) {
            Ok(_) => {
                // SAFETY: all-zero bytes are a valid siginfo_t, and the kernel has overwritten them with another.
                let info = unsafe { info.assume_init() };
                // SAFETY: waitid fills the SIGCHLD variant.
                let status = unsafe { info.si_status() };
                return Ok((info.si_code, status));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
