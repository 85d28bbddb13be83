//! Why a gofer cannot start. Once it serves, errors are errnos in answers.

use std::io;

/// Why a gofer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host kernel is too old, or something filters system calls.
    #[error("the host kernel has no usable openat2(2), which came with Linux 5.6: {0}")]
    NoOpenat2(io::Error),
    /// The parent's messages make no sense.
    #[error("the configuration received from the parent is not valid")]
    BadConfig,
    /// Something else failed.
    #[error("cannot {doing}: {source}")]
    Host {
        /// What was being done.
        doing: &'static str,
        /// How it failed.
        source: io::Error,
    },
    /// The system-call filter could not be made or loaded.
    #[error("cannot load the system-call filter: {0}")]
    Filter(#[from] seccompiler::Error),
    /// The filter's table is wrong.
    #[error("cannot build the system-call filter: {0}")]
    Policy(#[from] seccompiler::BackendError),
}

/// Says what was being done when an error came up.
pub(crate) trait Doing<T> {
    /// `doing` completes the sentence "cannot ...".
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::Host { doing, source: error.into() })
    }
}

/// An errno as the standard library's error.
pub(crate) fn io(errno: linux_abi::Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw())
}
