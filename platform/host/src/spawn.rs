//! Starts a program in new namespaces: one `clone` and one `execve`, with nothing inherited but three descriptors.
//!
//! [`Spawn`] says what to start, [`Child`] is the running process, held by a pidfd. The child shares the caller's
//! memory until its `execve` (`CLONE_VM | CLONE_VFORK`), so no page is copied and the caller knows when `spawn`
//! returns whether the program could be executed. Between the two the child only makes system calls: it neither
//! allocates nor locks.
//!
//! The child keeps its capabilities across `execve` through the ambient set ([`Spawn::keep_capabilities`]): at that
//! moment the identity maps of a new user namespace are not written yet, so it has no user id to be root with.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, pthread_sigmask},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use crate::caps;

/// Room for the child's few frames before `execve`.
const STACK_BYTES: usize = 32 * 1024;

/// What to start.
#[derive(Clone, Copy, Debug)]
pub struct Spawn<'a> {
    /// Path of the program; resolved in the child.
    pub exe: &'a CStr,
    /// Its arguments, the zeroth included. The environment is empty.
    pub argv: &'a [&'a CStr],
    /// `CLONE_NEW*` flags.
    pub namespaces: c_int,
    /// Standard input, output and error. Every other descriptor is closed.
    pub stdio: [BorrowedFd<'a>; 3],
    /// The signal the child gets when the calling thread ends. The kernel forgets it when the child changes its
    /// user ids: set it again there.
    pub parent_death_signal: Option<Signal>,
    /// Raise all permitted capabilities into the ambient set, so that they survive `execve`.
    pub keep_capabilities: bool,
}

/// A process that was started and has not been waited for.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Child {
    /// Its process id in the caller's pid namespace.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Becomes readable when the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends `SIGKILL`. No error if it is gone.
    pub fn kill(&self) {
        let _ = send_signal(self.pidfd.as_fd(), Signal::SIGKILL);
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As waitid(2); `ECHILD` when it was waited for before.
    pub fn wait(&self) -> nix::Result<WaitStatus> {
        loop {
            match waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED) {
                Err(Errno::EINTR) => {}
                other => return other,
            }
        }
    }

    /// Its end, if it has come.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn try_wait(&self) -> nix::Result<Option<WaitStatus>> {
        match waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)? {
            WaitStatus::StillAlive => Ok(None),
            status => Ok(Some(status)),
        }
    }
}

/// A pidfd of a process (`pidfd_open(2)`).
///
/// # Errors
/// `ESRCH`.
pub fn open_pidfd(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: takes two numbers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0u32) })?;
    // SAFETY: pidfd_open returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).map_err(|_| Errno::EBADF)?) })
}

/// Sends a signal to the process of a pidfd: never to another one that got its number.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<(), Errno> {
    let (fd, number) = (pidfd.as_raw_fd(), signal as c_int);
    // SAFETY: numbers, and a null siginfo, which means kill(2)'s.
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd, number, ptr::null_mut::<libc::siginfo_t>(), 0u32)
    };
    Errno::result(done).map(drop)
}

/// Which step failed.
#[derive(Debug)]
pub struct SpawnError {
    /// The system call, for messages.
    pub step: &'static str,
    /// Why.
    pub errno: Errno,
}

impl std::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.step, self.errno.desc())
    }
}

impl std::error::Error for SpawnError {}

/// What the child reads, and where it leaves the reason why it could not start.
struct Shared {
    exe: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    stdio: [RawFd; 3],
    death_signal: c_int,
    keep_capabilities: bool,
    failed: Option<SpawnError>,
}

impl Spawn<'_> {
    /// Starts the program. Returns when it has been executed.
    ///
    /// # Errors
    /// The first step that failed: `clone` (`EPERM`, `ENOSPC`: namespaces are not allowed; `EAGAIN`: process limit) or
    /// one of the child's.
    pub fn spawn(&self) -> Result<Child, SpawnError> {
        // Numbers above 2, so that no dup2 in the child overwrites a source of a later one.
        let mut sources = Vec::with_capacity(3);
        for fd in self.stdio {
            sources.push(duplicate_above_stdio(fd).map_err(|errno| SpawnError { step: "fcntl", errno })?);
        }
        let mut stdio = [-1; 3];
        for (number, source) in stdio.iter_mut().zip(&sources) {
            *number = source.as_raw_fd();
        }
        let argv: Vec<*const c_char> =
            self.argv.iter().map(|arg| arg.as_ptr()).chain([ptr::null()]).collect();
        let envp = [ptr::null()];
        let mut shared = Shared {
            exe: self.exe.as_ptr(),
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            stdio,
            death_signal: self.parent_death_signal.map_or(0, |signal| signal as c_int),
            keep_capabilities: self.keep_capabilities,
            failed: None,
        };
        let mut stack = vec![0u128; STACK_BYTES / size_of::<u128>()];
        let mut pidfd: RawFd = -1;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | self.namespaces;

        // No handler of this process may run in the child while they share memory.
        let mut old_mask = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut old_mask))
            .map_err(|errno| SpawnError { step: "sigprocmask", errno })?;
        let top = stack.as_mut_ptr_range().end;
        // SAFETY: `top` is the 16-byte aligned end of a stack that outlives the call; CLONE_VFORK suspends this thread
        // until the child has left our memory, so `shared`, the vectors it points to and `stack` stay valid and
        // unaliased for it; `child_main` only makes system calls. The pidfd is stored before clone returns.
        let pid =
            unsafe { libc::clone(child_main, top.cast(), flags, (&raw mut shared).cast(), &raw mut pidfd) };
        let clone_errno = Errno::last();
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&old_mask), None);
        if pid < 0 {
            return Err(SpawnError { step: "clone", errno: clone_errno });
        }
        // SAFETY: clone succeeded, so CLONE_PIDFD stored a new descriptor that nothing else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        let child = Child { pid: Pid::from_raw(pid), pidfd };
        match shared.failed.take() {
            None => Ok(child),
            Some(error) => {
                let _ = child.wait();
                Err(error)
            }
        }
    }
}

fn duplicate_above_stdio(fd: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: F_DUPFD_CLOEXEC returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

extern "C" fn child_main(shared: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a pointer to a `Shared` that nothing else touches until this process is out of its memory.
    let shared = unsafe { &mut *shared.cast::<Shared>() };
    shared.failed = Some(run_child(shared));
    // SAFETY: _exit has no preconditions; it leaves the shared memory without running any destructor.
    unsafe { libc::_exit(127) }
}

/// Comes back only on failure.
fn run_child(shared: &Shared) -> SpawnError {
    let fail = |step| SpawnError { step, errno: Errno::last() };
    for (target, source) in (0..).zip(shared.stdio) {
        // SAFETY: replaces a descriptor of this process, which owns its table (no CLONE_FILES).
        if unsafe { libc::dup2(source, target) } < 0 {
            return fail("dup2");
        }
    }
    // SAFETY: as above.
    if unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) } < 0 {
        return fail("close_range (Linux 5.9)");
    }
    // A session of its own: signals from the terminal reach only the process that supervises the sandbox.
    // SAFETY: no preconditions.
    if unsafe { libc::setsid() } < 0 {
        return fail("setsid");
    }
    if shared.death_signal != 0 {
        // SAFETY: PR_SET_PDEATHSIG takes a number.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, shared.death_signal) } < 0 {
            return fail("prctl(PR_SET_PDEATHSIG)");
        }
    }
    if shared.keep_capabilities
        && let Err(errno) = caps::raise_ambient()
    {
        return SpawnError { step: "raising ambient capabilities", errno };
    }
    if let Err(errno) = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None) {
        return SpawnError { step: "sigprocmask", errno };
    }
    // SAFETY: a terminated path and two null-terminated arrays of terminated strings, all owned by `spawn`'s frame.
    unsafe { libc::execve(shared.exe, shared.argv, shared.envp) };
    fail("execve")
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, pipe},
    };

    use super::*;

    fn sh(script: &CStr, stdout: BorrowedFd<'_>, namespaces: c_int) -> Result<Child, SpawnError> {
        let null = File::open("/dev/null").unwrap();
        Spawn {
            exe: c"/bin/sh",
            argv: &[c"sh", c"-c", script],
            namespaces,
            stdio: [null.as_fd(), stdout, stdout],
            parent_death_signal: Some(Signal::SIGKILL),
            keep_capabilities: namespaces != 0,
        }
        .spawn()
    }

    #[test]
    fn runs_with_nothing_inherited() {
        let leaked = fcntl(File::open("/dev/null").unwrap(), FcntlArg::F_DUPFD(100)).unwrap();
        let (mut reader, writer) = pipe().unwrap();
        let child = sh(c"exec ls /proc/self/fd; ", writer.as_fd(), 0).unwrap();
        drop(writer);
        let mut out = String::new();
        reader.read_to_string(&mut out).unwrap();
        assert!(matches!(child.wait(), Ok(WaitStatus::Exited(_, 0))));
        // 3 is ls's own view of the directory.
        assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"], "leaked {leaked}");
        // SAFETY: the number came from F_DUPFD above and nothing else owns it.
        drop(unsafe { OwnedFd::from_raw_fd(leaked) });
    }

    #[test]
    fn reports_what_failed() {
        let null = File::open("/dev/null").unwrap();
        let error = Spawn {
            exe: c"/nonexistent",
            argv: &[c"x"],
            namespaces: 0,
            stdio: [null.as_fd(); 3],
            parent_death_signal: None,
            keep_capabilities: false,
        }
        .spawn()
        .unwrap_err();
        assert_eq!((error.step, error.errno), ("execve", Errno::ENOENT));
    }

    #[test]
    fn is_first_of_its_pid_namespace_with_capabilities() {
        let (mut reader, writer) = pipe().unwrap();
        let script = c"read a b < /proc/self/stat; echo $$; grep -E 'Cap(Eff|Amb)' /proc/self/status";
        let child = match sh(script, writer.as_fd(), libc::CLONE_NEWUSER | libc::CLONE_NEWPID) {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: no user namespaces here: {error}");
                return;
            }
        };
        drop(writer);
        let mut out = String::new();
        reader.read_to_string(&mut out).unwrap();
        let _ = child.wait();
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines.first(), Some(&"1"));
        for line in &lines[1..] {
            assert!(!line.ends_with("\t0000000000000000"), "{line}");
        }
    }
}
