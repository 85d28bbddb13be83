//! Signals (signal(7)).
//!
//! * `action.rs`: what a process does with each signal.
//! * `state.rs`: what is pending and blocked.
//! * `send.rs`: how a signal becomes pending, and who is told.
//! * `deliver.rs`: what happens on the way back to guest code: handlers, default actions, restarts.
//! * `frame.rs`: the stack frame a handler runs on, and rt_sigreturn.
//! * `stop.rs`: job-control stops.

pub mod action;
pub mod deliver;
pub mod frame;
pub mod info;
pub mod restart;
pub mod send;
pub mod state;
pub mod stop;

/// A set of signals: bit `n - 1` is signal `n`, as in the kernel's `sigset_t`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SigSet(pub u64);

/// `SIGKILL` and `SIGSTOP`, which nothing can block, catch or ignore.
pub const UNBLOCKABLE: SigSet = SigSet(1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1));

/// The highest signal number.
pub const NSIG: i32 = 64;
/// The first real-time signal.
pub const SIGRTMIN: i32 = 32;

pub const SIGHUP: i32 = 1;
pub const SIGINT: i32 = 2;
pub const SIGQUIT: i32 = 3;
pub const SIGILL: i32 = 4;
pub const SIGTRAP: i32 = 5;
pub const SIGABRT: i32 = 6;
pub const SIGBUS: i32 = 7;
pub const SIGFPE: i32 = 8;
pub const SIGKILL: i32 = 9;
pub const SIGUSR1: i32 = 10;
pub const SIGSEGV: i32 = 11;
pub const SIGUSR2: i32 = 12;
pub const SIGPIPE: i32 = 13;
pub const SIGALRM: i32 = 14;
pub const SIGTERM: i32 = 15;
pub const SIGSTKFLT: i32 = 16;
pub const SIGCHLD: i32 = 17;
pub const SIGCONT: i32 = 18;
pub const SIGSTOP: i32 = 19;
pub const SIGTSTP: i32 = 20;
pub const SIGTTIN: i32 = 21;
pub const SIGTTOU: i32 = 22;
pub const SIGURG: i32 = 23;
pub const SIGXCPU: i32 = 24;
pub const SIGXFSZ: i32 = 25;
pub const SIGVTALRM: i32 = 26;
pub const SIGPROF: i32 = 27;
pub const SIGWINCH: i32 = 28;
pub const SIGIO: i32 = 29;
pub const SIGPWR: i32 = 30;
pub const SIGSYS: i32 = 31;

impl SigSet {
    /// No signal.
    pub const EMPTY: SigSet = SigSet(0);

    /// The set of one signal; empty for a number that is none.
    pub const fn of(signo: i32) -> SigSet {
        if signo >= 1 && signo <= NSIG { SigSet(1 << (signo - 1)) } else { SigSet(0) }
    }

    /// Whether `signo` is in the set.
    pub const fn has(self, signo: i32) -> bool {
        self.0 & SigSet::of(signo).0 != 0
    }

    /// Adds a signal.
    pub fn add(&mut self, signo: i32) {
        self.0 |= SigSet::of(signo).0;
    }

    /// Removes a signal.
    pub fn remove(&mut self, signo: i32) {
        self.0 &= !SigSet::of(signo).0;
    }

    /// Both.
    #[must_use]
    pub const fn union(self, other: SigSet) -> SigSet {
        SigSet(self.0 | other.0)
    }

    /// In `self` but not in `other`.
    #[must_use]
    pub const fn without(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }

    /// In both.
    #[must_use]
    pub const fn intersection(self, other: SigSet) -> SigSet {
        SigSet(self.0 & other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest signal in the set.
    pub fn first(self) -> Option<i32> {
        (self.0 != 0).then(|| i32::try_from(self.0.trailing_zeros() + 1).unwrap_or(1))
    }
}

impl std::fmt::Debug for SigSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Whether `signo` is a signal number (0 is not).
pub const fn is_valid(signo: i32) -> bool {
    signo >= 1 && signo <= NSIG
}
