//! One kind of error for the whole command line: a line for the user and the exit code that goes with it.

use std::fmt;

/// The sandbox itself failed (docker's 125).
pub const SANDBOX_FAILED: u8 = 125;
/// The program exists but cannot be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// There is no such program.
pub const NOT_FOUND: u8 = 127;
/// `--timeout` expired, as timeout(1) says it.
pub const TIMED_OUT: u8 = 124;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// One line, without the program's name.
    pub message: String,
    /// The process's exit code.
    pub exit: u8,
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the sandbox itself.
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), exit: SANDBOX_FAILED }
    }

    /// The same message with another exit code.
    #[must_use]
    pub fn with_exit(self, exit: u8) -> Error {
        Error { exit, ..self }
    }
}

impl fmt::Display for Error {
    /// Always one line: what came from a file or from another process may contain anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.message.trim_end().chars() {
            match c {
                '\n' => f.write_str("; ")?,
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// `WHAT: the error`.
    ///
    /// # Errors
    /// The receiver's.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Describe> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::new(format!("{what}: {}", error.describe())))
    }
}

/// How an error reads after a colon. System errors are strerror(3)'s words, without numbers.
pub trait Describe {
    /// The words.
    fn describe(&self) -> String;
}

impl Describe for nix::errno::Errno {
    fn describe(&self) -> String {
        self.desc().to_owned()
    }
}

impl Describe for linux_abi::Errno {
    fn describe(&self) -> String {
        nix::errno::Errno::from_raw(self.raw()).desc().to_owned()
    }
}

impl Describe for std::io::Error {
    fn describe(&self) -> String {
        match self.raw_os_error() {
            Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
            None => self.to_string(),
        }
    }
}

impl Describe for Error {
    fn describe(&self) -> String {
        self.message.clone()
    }
}

/// For errors that say it well themselves.
macro_rules! describe_as_displayed {
    ($($error:ty),* $(,)?) => {
        $(impl Describe for $error {
            fn describe(&self) -> String {
                self.to_string()
            }
        })*
    };
}

describe_as_displayed!(host::spawn::SpawnError, gofer::Error, platform::systrap::Error, serde_json::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_harmless_line() {
        let error = Error::new("a\nb\u{1b}[31m\n");
        assert_eq!(error.to_string(), "a; b\\u{1b}[31m");
    }

    #[test]
    fn context_reads_like_the_tools_do() {
        let result: std::result::Result<(), _> = Err(nix::errno::Errno::ENOENT);
        assert_eq!(result.context("open x").unwrap_err().to_string(), "open x: No such file or directory");
        let result: std::result::Result<(), _> = Err(std::io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(result.context("open x").unwrap_err().to_string(), "open x: Permission denied");
    }
}
