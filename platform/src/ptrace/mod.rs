//! The ptrace backend: for hosts where the systrap backend does not work, and to compare it with.
//!
//! Stubs are those of the systrap backend, made by it in the same way, and changed by the same operations ([`crate::systrap`]).
//! Guest code however runs under `PTRACE_SYSEMU`: a thread of the sentry that runs a guest thread traces that thread's host
//! thread, which stops at every system call without making it, and at every signal. So a trap needs no shim, no signal frame
//! and no filter, but four or five host calls and two switches.
//!
//! * A host thread *rests* in its shim, untraced, from its birth to its first run and whenever operations are to be run in it;
//!   it is *held*, stopped by its tracer, from a run to the next operation ([`context`], [`hold`]).
//! * What a fault was, ptrace does not tell; so the host is let deliver its signal to the shim's handler, whose frame does.
//! * Only the tracing thread can make requests. That is the thread that called [`Context::run`](crate::Context::run); a context
//!   that has been run cannot be run on another thread, but for when it rests.
//!
//! # Safety
//! A guest makes no host calls at all while it runs. While one thread of it runs operations, other threads can change them, as
//! with systrap: the filter bounds what comes of that. When the sentry dies, held stubs die with it (`PTRACE_O_EXITKILL`).

mod context;
mod hold;

use self::context::PtraceContext;
use crate::{Errno, Layout, Platform, Process, systrap::Systrap};

/// What can be chosen about the backend; [`Config::patch`] does nothing here.
pub use crate::systrap::Config;
pub use crate::systrap::Error;

/// The ptrace platform of one sandbox. Dropping it ends all its stubs.
#[derive(Debug)]
pub struct Ptrace {
    systrap: Systrap,
    layout: Layout,
}

impl Ptrace {
    /// Starts the platform, with the demands of [`Systrap::new`]. The sentry must also be allowed to trace: Yama's
    /// `ptrace_scope` may be 0 or 1.
    ///
    /// # Errors
    /// [`Error`]: what the host refused.
    pub fn new(config: Config) -> Result<Ptrace, Error> {
        let systrap = Systrap::traced(config)?;
        let layout = Layout { hidden_hwcap2: 0, ..systrap.layout().clone() };
        Ok(Ptrace { systrap, layout })
    }
}

impl Platform for Ptrace {
    fn name(&self) -> &'static str {
        "ptrace"
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn new_process(&self) -> Result<Process, Errno> {
        Ok(PtraceContext::new(self.systrap.resting_process()?).into_process())
    }
}

/// Besides those of systrap. Sorted.
const CALLS: &[(&str, &str)] = &[
    ("epoll_ctl", "noticing the ends of stubs"),
    ("epoll_wait", "noticing the ends of stubs"),
    ("pidfd_open", "noticing the ends of stubs"),
    ("ptrace", "running guest code"),
];

/// Host system calls that the sentry needs for the ptrace platform after its lock-down, with reasons. Besides these it
/// starts one thread (`clone3` and what the C library does around it).
#[must_use]
pub fn host_calls() -> Vec<(&'static str, &'static str)> {
    let mut calls = [crate::systrap::host_calls(), CALLS].concat();
    calls.sort_unstable();
    calls
}
