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

pub use linux_abi::signal::{
    NSIG, SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGKILL,
    SIGPIPE, SIGPROF, SIGPWR, SIGQUIT, SIGRTMIN, SIGSEGV, SIGSTKFLT, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP,
    SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};

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
