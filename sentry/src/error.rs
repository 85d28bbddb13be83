//! What a system call comes to: a value, an errno, or a request to be restarted.
//!
//! A restart is not an errno, so `512` cannot leak to a guest; only `signal/restart.rs` decides what becomes of it.

use linux_abi::Errno;

/// Why a system call did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysError {
    /// It failed.
    Errno(Errno),
    /// A signal interrupted it.
    Restart(RestartKind),
}

/// What an interrupted call wants to happen after the signal (`ERESTART*` in the kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartKind {
    /// Restart, unless a handler without `SA_RESTART` ran (`ERESTARTSYS`).
    Sys,
    /// Always restart (`ERESTARTNOINTR`).
    NoIntr,
    /// Restart only if no handler ran; otherwise `EINTR` (`ERESTARTNOHAND`).
    NoHand,
    /// As `NoHand`, but restarted through restart_syscall(2) with what the call left in its task's restart block
    /// (`ERESTART_RESTARTBLOCK`): relative timeouts.
    Block,
}

impl From<Errno> for SysError {
    fn from(errno: Errno) -> SysError {
        SysError::Errno(errno)
    }
}

/// The result of a system-call handler.
pub type SysResult<T = u64> = Result<T, SysError>;

/// What the run loop does with the registers after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Put this into the return register.
    Return(u64),
    /// Fail with this errno.
    Fail(Errno),
    /// Interrupted: `signal/restart.rs` decides.
    Restart(RestartKind),
    /// The handler has set the registers itself (rt_sigreturn, execve).
    KeepRegisters,
    /// The thread ends (exit(2), exit_group(2)).
    Exit(crate::task::wait::ExitStatus),
}

/// Whatever a handler returns, as an [`Outcome`].
pub trait IntoOutcome {
    /// Converts.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// A success value that fits the return register.
pub trait ReturnValue {
    /// The register's content.
    fn to_register(self) -> u64;
}

macro_rules! return_values {
    ($($t:ty => |$v:ident| $e:expr;)*) => {
        $(impl ReturnValue for $t { fn to_register(self) -> u64 { let $v = self; $e } })*
    };
}

return_values! {
    u64 => |v| v;
    usize => |v| v as u64;
    u32 => |v| u64::from(v);
    i64 => |v| v.cast_unsigned();
    i32 => |v| i64::from(v).cast_unsigned();
    () => |_v| 0;
    linux_abi::UserAddr => |v| v.0;
}

impl<T: ReturnValue, E: Into<SysError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => Outcome::Return(value.to_register()),
            Err(error) => match error.into() {
                SysError::Errno(errno) => Outcome::Fail(errno),
                SysError::Restart(kind) => Outcome::Restart(kind),
            },
        }
    }
}
