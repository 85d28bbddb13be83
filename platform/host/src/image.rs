//! Starting a program image from memory, with a clean descriptor table and nothing of the caller's memory.

use std::{
    ffi::{c_int, c_void},
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use crate::check;

/// What the child needs; lives on the parent's stack while the parent is suspended.
struct Start {
    image: c_int,
    fds: [c_int; 2],
    mask: u64,
    /// Why the image could not be started, written by the child.
    error: AtomicI32,
}

/// Descriptors are first moved up here, out of the way of their final numbers.
const SCRATCH: c_int = 64;

/// Starts the static ELF `image` in a new session with `fds` as descriptors 0 and 1 and no other, and `blocked` as its
/// signal mask. Returns its process number.
///
/// # Errors
/// Those of `clone(2)` and `execveat(2)`.
pub fn start(image: BorrowedFd<'_>, fds: [BorrowedFd<'_>; 2], blocked: u64) -> io::Result<i32> {
    let start = Start {
        image: image.as_raw_fd(),
        fds: fds.map(|fd| fd.as_raw_fd()),
        mask: blocked,
        error: AtomicI32::new(0),
    };
    let mut stack = vec![0_u128; 2048];
    let top = stack.as_mut_ptr_range().end;
    let argument = ptr::from_ref(&start).cast_mut().cast::<c_void>();
    let all = u64::MAX;
    let mut old = 0_u64;
    // No handler of ours may run in the child while it shares our memory.
    // SAFETY: both masks are valid 8-byte sets.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, &raw mut old, 8) };
    // SAFETY: CLONE_VFORK suspends this thread until the child has left our memory by exec or exit, so `stack` and `start`
    // outlive its use of them; `child` makes raw system calls only.
    let pid = unsafe {
        libc::clone(child, top.cast(), libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, argument)
    };
    let result = check(pid.into());
    // SAFETY: `old` is the mask saved above.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const old, ptr::null_mut::<u64>(), 8)
    };
    result?;
    drop(stack);
    match start.error.load(Ordering::Relaxed) {
        0 => Ok(pid),
        error => {
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// Runs in the child, in the parent's memory: nothing but system calls.
extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: `start` passes a `Start` that outlives the child's use of it.
    let start = unsafe { &*argument.cast_const().cast::<Start>() };
    let mut moved = [0; 3];
    for (to, from) in moved.iter_mut().zip([start.fds[0], start.fds[1], start.image]) {
        // SAFETY: no memory is involved.
        *to = unsafe { libc::fcntl(from, libc::F_DUPFD, SCRATCH) };
    }
    for (to, from) in (0..).zip(moved) {
        // SAFETY: no memory is involved. Replaces our own copy of the descriptor table only (no CLONE_FILES).
        unsafe { libc::dup2(from, to) };
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    // SAFETY: as above.
    unsafe { libc::fcntl(2, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_setsid) };
    let mask = &raw const start.mask;
    // SAFETY: `mask` is a valid 8-byte set.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, mask, ptr::null_mut::<u64>(), 8) };
    let none = [ptr::null::<u8>()];
    // SAFETY: all pointers are valid; on success nothing of this program remains.
    unsafe {
        libc::syscall(libc::SYS_execveat, 2, c"".as_ptr(), none.as_ptr(), none.as_ptr(), libc::AT_EMPTY_PATH)
    };
    start.error.store(io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOEXEC), Ordering::Relaxed);
    // SAFETY: ends this process without running anything of the parent's.
    unsafe { libc::syscall(libc::SYS_exit, 127) };
    127
}
