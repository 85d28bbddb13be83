//! Signals: numbers, actions, why they were sent, alternate stacks, notification (signal(7), sigaction(2)).

use zerocopy::IntoBytes as _;

// Signal numbers.

/// Hangup.
pub const SIGHUP: i32 = 1;
/// Interrupt from the keyboard.
pub const SIGINT: i32 = 2;
/// Quit from the keyboard.
pub const SIGQUIT: i32 = 3;
/// Illegal instruction.
pub const SIGILL: i32 = 4;
/// Trace or breakpoint trap.
pub const SIGTRAP: i32 = 5;
/// abort(3).
pub const SIGABRT: i32 = 6;
/// Bus error.
pub const SIGBUS: i32 = 7;
/// Arithmetic error.
pub const SIGFPE: i32 = 8;
/// Kill.
pub const SIGKILL: i32 = 9;
/// User-defined.
pub const SIGUSR1: i32 = 10;
/// Invalid memory reference.
pub const SIGSEGV: i32 = 11;
/// User-defined.
pub const SIGUSR2: i32 = 12;
/// Write to a pipe without readers.
pub const SIGPIPE: i32 = 13;
/// alarm(2).
pub const SIGALRM: i32 = 14;
/// Terminate.
pub const SIGTERM: i32 = 15;
/// Unused.
pub const SIGSTKFLT: i32 = 16;
/// A child ended, stopped or continued.
pub const SIGCHLD: i32 = 17;
/// Continue.
pub const SIGCONT: i32 = 18;
/// Stop.
pub const SIGSTOP: i32 = 19;
/// Stop from the keyboard.
pub const SIGTSTP: i32 = 20;
/// Terminal input in the background.
pub const SIGTTIN: i32 = 21;
/// Terminal output in the background.
pub const SIGTTOU: i32 = 22;
/// Urgent data on a socket.
pub const SIGURG: i32 = 23;
/// Too much processor time.
pub const SIGXCPU: i32 = 24;
/// File too large.
pub const SIGXFSZ: i32 = 25;
/// Virtual timer.
pub const SIGVTALRM: i32 = 26;
/// Profiling timer.
pub const SIGPROF: i32 = 27;
/// The window changed its size.
pub const SIGWINCH: i32 = 28;
/// Input or output is possible.
pub const SIGIO: i32 = 29;
/// Power failure.
pub const SIGPWR: i32 = 30;
/// Bad system call.
pub const SIGSYS: i32 = 31;
/// The first real-time signal (of the kernel's; C libraries keep some for themselves).
pub const SIGRTMIN: i32 = 32;
/// The last real-time signal.
pub const SIGRTMAX: i32 = 64;
/// How many signals there are.
pub const NSIG: i32 = 64;

// Handlers that are no addresses.

/// The default action.
pub const SIG_DFL: u64 = 0;
/// Ignore.
pub const SIG_IGN: u64 = 1;

// Flags of sigaction(2).

/// No `SIGCHLD` for stopped children.
pub const SA_NOCLDSTOP: u64 = 0x1;
/// Children do not become zombies.
pub const SA_NOCLDWAIT: u64 = 0x2;
/// The handler takes three arguments.
pub const SA_SIGINFO: u64 = 0x4;
/// Never supported, for probing.
pub const SA_UNSUPPORTED: u64 = 0x400;
/// Keep tag bits in fault addresses.
pub const SA_EXPOSE_TAGBITS: u64 = 0x800;
/// `sa_restorer` is set.
pub const SA_RESTORER: u64 = 0x400_0000;
/// Run on the alternate stack.
pub const SA_ONSTACK: u64 = 0x800_0000;
/// Restart system calls.
pub const SA_RESTART: u64 = 0x1000_0000;
/// Do not block the signal in its handler.
pub const SA_NODEFER: u64 = 0x4000_0000;
/// Back to the default on entry.
pub const SA_RESETHAND: u64 = 0x8000_0000;

// How rt_sigprocmask(2) changes the mask.

/// Add.
pub const SIG_BLOCK: i32 = 0;
/// Remove.
pub const SIG_UNBLOCK: i32 = 1;
/// Replace.
pub const SIG_SETMASK: i32 = 2;

// State of the alternate stack.

/// In use.
pub const SS_ONSTACK: u32 = 0x1;
/// None.
pub const SS_DISABLE: u32 = 0x2;
/// Forget it while a handler runs.
pub const SS_AUTODISARM: u32 = 0x8000_0000;

// Sizes of the alternate stack.

/// The smallest.
pub const MINSIGSTKSZ: u64 = 2048;

// Why a signal was sent (`si_code`), any signal.

/// kill(2).
pub const SI_USER: i32 = 0;
/// The kernel.
pub const SI_KERNEL: i32 = 128;
/// sigqueue(3).
pub const SI_QUEUE: i32 = -1;
/// A timer.
pub const SI_TIMER: i32 = -2;
/// A message queue.
pub const SI_MESGQ: i32 = -3;
/// Asynchronous input or output.
pub const SI_ASYNCIO: i32 = -4;
/// Queued `SIGIO`.
pub const SI_SIGIO: i32 = -5;
/// tkill(2), tgkill(2).
pub const SI_TKILL: i32 = -6;
/// execve killed the thread.
pub const SI_DETHREAD: i32 = -7;
/// Asynchronous name lookup.
pub const SI_ASYNCNL: i32 = -60;

// `si_code` of `SIGCHLD`.

/// Ended.
pub const CLD_EXITED: i32 = 1;
/// Killed.
pub const CLD_KILLED: i32 = 2;
/// Killed, with a core file.
pub const CLD_DUMPED: i32 = 3;
/// Trapped.
pub const CLD_TRAPPED: i32 = 4;
/// Stopped.
pub const CLD_STOPPED: i32 = 5;
/// Continued.
pub const CLD_CONTINUED: i32 = 6;

// `si_code` of `SIGSEGV`.

/// Nothing is mapped there.
pub const SEGV_MAPERR: i32 = 1;
/// What is mapped there does not allow it.
pub const SEGV_ACCERR: i32 = 2;
/// Bounds check failed.
pub const SEGV_BNDERR: i32 = 3;
/// The protection key does not allow it.
pub const SEGV_PKUERR: i32 = 4;

// `si_code` of `SIGBUS`.

/// Misaligned.
pub const BUS_ADRALN: i32 = 1;
/// No such physical address, or past the end of the file.
pub const BUS_ADRERR: i32 = 2;
/// Hardware error of the object.
pub const BUS_OBJERR: i32 = 3;
/// Memory error, action required.
pub const BUS_MCEERR_AR: i32 = 4;
/// Memory error, action optional.
pub const BUS_MCEERR_AO: i32 = 5;

// `si_code` of `SIGFPE`.

/// Integer division by zero.
pub const FPE_INTDIV: i32 = 1;
/// Integer overflow.
pub const FPE_INTOVF: i32 = 2;
/// Division by zero.
pub const FPE_FLTDIV: i32 = 3;
/// Overflow.
pub const FPE_FLTOVF: i32 = 4;
/// Underflow.
pub const FPE_FLTUND: i32 = 5;
/// Inexact result.
pub const FPE_FLTRES: i32 = 6;
/// Invalid operation.
pub const FPE_FLTINV: i32 = 7;
/// Subscript out of range.
pub const FPE_FLTSUB: i32 = 8;

// `si_code` of `SIGILL`.

/// Illegal opcode.
pub const ILL_ILLOPC: i32 = 1;
/// Illegal operand.
pub const ILL_ILLOPN: i32 = 2;
/// Illegal addressing mode.
pub const ILL_ILLADR: i32 = 3;
/// Illegal trap.
pub const ILL_ILLTRP: i32 = 4;
/// Privileged opcode.
pub const ILL_PRVOPC: i32 = 5;
/// Privileged register.
pub const ILL_PRVREG: i32 = 6;
/// Coprocessor error.
pub const ILL_COPROC: i32 = 7;
/// Stack error.
pub const ILL_BADSTK: i32 = 8;

// `si_code` of `SIGTRAP`.

/// Breakpoint.
pub const TRAP_BRKPT: i32 = 1;
/// Single step.
pub const TRAP_TRACE: i32 = 2;
/// Branch.
pub const TRAP_BRANCH: i32 = 3;
/// Hardware breakpoint.
pub const TRAP_HWBKPT: i32 = 4;

// `si_code` of `SIGIO`.

/// Input.
pub const POLL_IN: i32 = 1;
/// Room for output.
pub const POLL_OUT: i32 = 2;
/// A message.
pub const POLL_MSG: i32 = 3;
/// An error.
pub const POLL_ERR: i32 = 4;
/// Urgent input.
pub const POLL_PRI: i32 = 5;
/// Hangup.
pub const POLL_HUP: i32 = 6;

// `si_code` of `SIGSYS`.

/// A seccomp filter.
pub const SYS_SECCOMP: i32 = 1;
/// Syscall user dispatch.
pub const SYS_USER_DISPATCH: i32 = 2;

uapi! {
    /// `struct sigaction`, as the kernel reads it.
    pub struct SigAction {
        /// `SIG_DFL`, `SIG_IGN` or the handler's address.
        pub sa_handler: u64,
        /// `SA_*`.
        pub sa_flags: u64,
        /// Where the handler returns to.
        pub sa_restorer: u64,
        /// Blocked while the handler runs: bit `n - 1` is signal `n`.
        pub sa_mask: u64,
    }

    /// `stack_t`: an alternate signal stack.
    pub struct StackT {
        /// The lowest address.
        pub ss_sp: u64,
        /// `SS_*`.
        pub ss_flags: u32,
        /// Padding.
        pub _pad: u32,
        /// Its size in bytes.
        pub ss_size: u64,
    }

    /// The last argument of pselect6(2) and io_pgetevents(2): a signal mask with its size.
    pub struct SigSetArg {
        /// Where the mask is.
        pub ss: u64,
        /// Its size.
        pub ss_len: u64,
    }

    /// `siginfo_t`: why a signal was sent. The fields after `si_code` depend on it; see the constructors.
    pub struct SigInfo {
        /// The signal.
        pub si_signo: i32,
        /// An error number; mostly 0.
        pub si_errno: i32,
        /// Why it was sent.
        pub si_code: i32,
        /// Padding.
        pub _pad: i32,
        /// The rest, as 32-bit words.
        pub _sifields: [u32; 28],
    }

    /// The rest of [`SigInfo`] for kill(2): who sent it.
    pub struct SigInfoKill {
        /// The process.
        pub si_pid: i32,
        /// Its user.
        pub si_uid: u32,
    }

    /// The rest of [`SigInfo`] for sigqueue(3).
    pub struct SigInfoQueue {
        /// The process.
        pub si_pid: i32,
        /// Its user.
        pub si_uid: u32,
        /// The value.
        pub si_value: u64,
    }

    /// The rest of [`SigInfo`] for timers.
    pub struct SigInfoTimer {
        /// The timer.
        pub si_timerid: i32,
        /// Expirations since the one that is signalled.
        pub si_overrun: i32,
        /// The value.
        pub si_value: u64,
    }

    /// The rest of [`SigInfo`] for `SIGCHLD`.
    pub struct SigInfoChild {
        /// The child.
        pub si_pid: i32,
        /// Its user.
        pub si_uid: u32,
        /// The exit status, or the signal.
        pub si_status: i32,
        /// Padding.
        pub _pad: u32,
        /// User time, in ticks.
        pub si_utime: i64,
        /// System time, in ticks.
        pub si_stime: i64,
    }

    /// The rest of [`SigInfo`] for faults.
    pub struct SigInfoFault {
        /// Where.
        pub si_addr: u64,
        /// How exactly (memory errors), and padding.
        pub si_addr_lsb: u64,
    }

    /// The rest of [`SigInfo`] for `SIGIO`.
    pub struct SigInfoPoll {
        /// The events.
        pub si_band: i64,
        /// The descriptor.
        pub si_fd: i32,
        /// Padding.
        pub _pad: u32,
    }

    /// The rest of [`SigInfo`] for `SIGSYS`.
    pub struct SigInfoSys {
        /// Where the call was made.
        pub si_call_addr: u64,
        /// Its number.
        pub si_syscall: i32,
        /// The architecture (`AUDIT_ARCH_*`).
        pub si_arch: u32,
    }
}

/// A structure that may follow `si_code`.
pub trait SigInfoFields: zerocopy::IntoBytes + zerocopy::FromBytes + zerocopy::Immutable {}

impl SigInfoFields for SigInfoKill {}
impl SigInfoFields for SigInfoQueue {}
impl SigInfoFields for SigInfoTimer {}
impl SigInfoFields for SigInfoChild {}
impl SigInfoFields for SigInfoFault {}
impl SigInfoFields for SigInfoPoll {}
impl SigInfoFields for SigInfoSys {}

impl SigInfo {
    /// The cause `si_code` of signal `si_signo`, with what belongs to it.
    pub fn new(si_signo: i32, si_code: i32, fields: impl SigInfoFields) -> SigInfo {
        let mut info = SigInfo { si_signo, si_code, ..SigInfo::default() };
        // Every structure of the trait is shorter than the words it goes into.
        let _ = fields.write_to_prefix(info._sifields.as_mut_bytes());
        info
    }

    /// What belongs to the cause, taken for an `F`.
    pub fn fields<F: SigInfoFields + Default>(&self) -> F {
        F::read_from_prefix(self._sifields.as_bytes()).map_or_else(|_| F::default(), |(fields, _)| fields)
    }
}
