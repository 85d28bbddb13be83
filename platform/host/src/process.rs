//! Other processes: their memory, signals, clocks, ends, and where they run.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{FromRawFd, OwnedFd},
    time::Duration,
};

use crate::check;

/// Reads from `address` of process `pid` (`process_vm_readv(2)`). Returns how many bytes were read; fewer than asked for
/// means that the next page is not readable.
///
/// # Errors
/// `EFAULT` if nothing could be read, `ESRCH` if the process is gone, `EPERM`.
pub fn read_memory(pid: i32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: into.len() };
    // SAFETY: `local` describes `into`; the kernel checks the remote range.
    let n = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Writes to `address` of process `pid` (`process_vm_writev(2)`), as [`read_memory`].
///
/// # Errors
/// As [`read_memory`].
pub fn write_memory(pid: i32, address: u64, from: &[u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: from.len() };
    // SAFETY: `local` describes `from`, which is only read; the kernel checks the remote range.
    let n = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Sends `signal` to a whole process.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Sends `signal` to thread `tid`, if it belongs to process `pid`.
///
/// # Errors
/// `ESRCH`, `EPERM`.
pub fn tgkill(pid: i32, tid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) }).map(drop)
}

/// A descriptor of process `pid` that becomes readable when the process has ended (`pidfd_open(2)`).
///
/// # Errors
/// `ESRCH`, `EMFILE`.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Which children [`wait`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// One process.
    Pid(i32),
    /// All of a process group.
    Group(i32),
}

/// What [`wait`] does besides telling of an ended child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitMode {
    /// Block until one has ended, and leave it as a zombie, so that its number is not reused yet.
    Peek,
    /// Block and reap.
    Reap,
    /// Only look, without blocking or reaping.
    Poll,
}

/// Waits for a child to end (`waitid(2)`). `Some(pid)` for one that ended, `None` if it lives (`Poll`).
///
/// # Errors
/// `ECHILD`: there are no such children. `EINTR` never (retried).
pub fn wait(which: Children, mode: WaitMode) -> io::Result<Option<i32>> {
    let (kind, id) = match which {
        Children::Pid(pid) => (libc::P_PID, pid),
        Children::Group(pgid) => (libc::P_PGID, pgid),
    };
    let id = libc::id_t::try_from(id).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = libc::WEXITED
        | match mode {
            WaitMode::Peek => libc::WNOWAIT,
            WaitMode::Reap => 0,
            WaitMode::Poll => libc::WNOWAIT | libc::WNOHANG,
        };
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` is valid for writing one siginfo_t.
        let result = unsafe { libc::waitid(kind, id, info.as_mut_ptr(), flags) };
        match check(result.into()) {
            Ok(_) => {
                // SAFETY: all-zero bytes are a valid siginfo_t, and the kernel may have overwritten them with another.
                let info = unsafe { info.assume_init() };
                // SAFETY: waitid fills the SIGCHLD variant, or leaves it zero.
                let pid = unsafe { info.si_pid() };
                return Ok((pid != 0).then_some(pid));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Processor time used by process `pid` (its `CPUCLOCK_SCHED` clock, `include/linux/posix-timers.h`).
///
/// # Errors
/// `EINVAL` if there is no such process.
pub fn cpu_time(pid: i32) -> io::Result<Duration> {
    let clock = (!pid << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) }.into())?;
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) else {
        return Ok(Duration::ZERO);
    };
    Ok(Duration::new(seconds, nanos))
}

/// A set of processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSet([u64; CpuSet::WORDS]);

impl CpuSet {
    const WORDS: usize = 16;
    /// How many processors a set can hold.
    pub const CAPACITY: u32 = 64 * 16;

    /// Only `cpu`, or the empty set if the number is too large.
    #[must_use]
    pub fn only(cpu: u32) -> CpuSet {
        let mut set = CpuSet([0; CpuSet::WORDS]);
        if let Some(word) = set.0.get_mut(cpu as usize / 64) {
            *word = 1 << (cpu % 64);
        }
        set
    }

    /// Whether `cpu` is in the set.
    #[must_use]
    pub fn has(&self, cpu: u32) -> bool {
        self.0.get(cpu as usize / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }

    /// The set without `cpu`.
    #[must_use]
    pub fn without(mut self, cpu: u32) -> CpuSet {
        if let Some(word) = self.0.get_mut(cpu as usize / 64) {
            *word &= !(1 << (cpu % 64));
        }
        self
    }

    /// How many processors are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

/// Where thread `tid` may run (0: the caller).
///
/// # Errors
/// `ESRCH`; `EINVAL` on hosts with more than [`CpuSet::CAPACITY`] processors.
pub fn affinity(tid: i32) -> io::Result<CpuSet> {
    let mut set = CpuSet([0; CpuSet::WORDS]);
    // SAFETY: the set is valid for writing of its size.
    check(unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, tid, size_of::<CpuSet>(), set.0.as_mut_ptr())
    })?;
    Ok(set)
}

/// Restricts where thread `tid` may run (0: the caller).
///
/// # Errors
/// `ESRCH`, `EPERM`, `EINVAL` for a set without a usable processor.
pub fn set_affinity(tid: i32, set: &CpuSet) -> io::Result<()> {
    // SAFETY: the set is valid for reading of its size.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, size_of::<CpuSet>(), set.0.as_ptr()) })
        .map(drop)
}

/// The calling thread's number.
#[must_use]
pub fn own_tid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

/// How often the calling thread had to leave its processor to another thread (`ru_nivcsw` of getrusage(2)).
#[must_use]
pub fn preemptions() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes a whole `rusage`.
    let _ = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: zeroed, which is a valid value, and perhaps written by the kernel.
    let usage = unsafe { usage.assume_init() };
    u64::try_from(usage.ru_nivcsw).unwrap_or(0)
}

/// Whether the host gives every process the memory it asks for: no resource limit of the caller on address space or data, and
/// no strict accounting (`vm.overcommit_memory` 2).
#[must_use]
pub fn memory_is_unlimited() -> bool {
    let unlimited = |resource| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is valid for writing.
        let result = unsafe { libc::getrlimit(resource, &raw mut limit) };
        result == 0 && limit.rlim_cur == libc::RLIM_INFINITY
    };
    let strict =
        std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "2");
    unlimited(libc::RLIMIT_AS) && unlimited(libc::RLIMIT_DATA) && !strict
}
