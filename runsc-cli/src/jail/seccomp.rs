//! The sentry's host system-call filter: `sentry.policy`, compiled when the program was built.

use seccompiler::sock_filter;

use crate::{
    control::protocol::Platform,
    error::{Error, Result},
};

include!(concat!(env!("OUT_DIR"), "/filters.rs"));

/// What happens to a process that makes a forbidden call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnViolation {
    /// It is killed.
    Kill,
    /// It gets `SIGSYS`, which [`host::violations`] reports before it ends. The call is not made either way.
    Report,
}

/// Applies the filter to this thread and all it starts, for good. Sets `no_new_privs`.
///
/// # Errors
/// The host has no seccomp filters.
pub fn lock(platform: Platform, on_violation: OnViolation) -> Result<()> {
    let (errno, allow): (_, &[sock_filter]) = match (platform, on_violation) {
        (Platform::Systrap, OnViolation::Kill) => (SYSTRAP_ERRNO, &SYSTRAP_KILL),
        (Platform::Systrap, OnViolation::Report) => (SYSTRAP_ERRNO, &SYSTRAP_TRAP),
        (Platform::Ptrace, OnViolation::Kill) => (PTRACE_ERRNO, &PTRACE_KILL),
        (Platform::Ptrace, OnViolation::Report) => (PTRACE_ERRNO, &PTRACE_TRAP),
    };
    // The allow-list last: it forbids the call that installs filters.
    for filter in errno.iter().copied().chain([allow]) {
        seccompiler::apply_filter(filter)
            .map_err(|error| Error::new(format!("installing the system-call filter: {error}")))?;
    }
    Ok(())
}
