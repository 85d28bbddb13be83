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

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy has what the platforms say they need.
    #[test]
    fn platforms_get_their_calls() {
        let policy = include_str!("sentry.policy");
        let allowed = |platform: &str, call: &str| {
            policy.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(call)
                    && words
                        .next()
                        .is_none_or(|word| !word.starts_with('@') || word == format!("@{platform}"))
            })
        };
        for (platform, calls) in
            [("systrap", platform::systrap::host_calls()), ("ptrace", &platform::ptrace::host_calls())]
        {
            for (call, why) in calls {
                assert!(allowed(platform, call), "{platform} needs {call}: {why}");
            }
        }
        assert!(!allowed("systrap", "ptrace") && !allowed("systrap", "execve"));
    }

    /// What the filter does to a process: a forbidden call ends it, a call that is to fail fails, the others work.
    #[test]
    fn verdicts() {
        let verdict = |call: fn() -> String| {
            std::thread::spawn(move || {
                lock(Platform::Systrap, OnViolation::Kill).unwrap();
                call()
            })
            .join()
            .unwrap()
        };
        let open = || std::fs::File::open("/etc/passwd").unwrap_err().raw_os_error().unwrap_or(0).to_string();
        assert_eq!(verdict(open), libc::ENOENT.to_string());
        let thread = || std::thread::spawn(|| "made".to_owned()).join().unwrap();
        assert_eq!(verdict(thread), "made");
        let memory =
            || nix::sys::memfd::memfd_create(c"x", nix::sys::memfd::MFdFlags::empty()).is_ok().to_string();
        assert_eq!(verdict(memory), "true");
    }
}
