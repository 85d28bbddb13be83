//! Removes what a foreground run leaves on the host, should `runsc` be killed before it can: a control group, a state
//! directory.
//!
//! It is this program again, in a session of its own, waiting on a socket. It is only started when there is something to remove.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::ExitCode,
};

use host::spawn::{Child, Spawn};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use crate::{
    control::wire::{self, Attachments},
    error::{Context, Result, SANDBOX_FAILED},
    state::Store,
};

/// First argument of the janitor process.
pub const JANITOR: &std::ffi::CStr = c"janitor";

/// What to remove.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Leftovers {
    /// The directory of a control group.
    pub cgroup: Option<PathBuf>,
    /// A container's root directory and id.
    pub container: Option<(PathBuf, String)>,
}

/// A running janitor. Dropped, it is told that nothing is left to do.
#[derive(Debug)]
pub struct Janitor {
    process: Child,
    socket: OwnedFd,
}

impl Janitor {
    /// Starts one.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(leftovers: &Leftovers) -> Result<Janitor> {
        let (socket, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .context("socketpair")?;
        let null = File::options().read(true).write(true).open("/dev/null").context("/dev/null")?;
        let process = Spawn {
            exe: c"/proc/self/exe",
            argv: &[c"runsc", JANITOR],
            namespaces: 0,
            stdio: [theirs.as_fd(), null.as_fd(), null.as_fd()],
            parent_death_signal: None,
            keep_capabilities: false,
        }
        .spawn()
        .context("starting the janitor")?;
        wire::send(socket.as_fd(), leftovers, &Attachments::default())?;
        Ok(Janitor { process, socket })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        let _ = wire::send(self.socket.as_fd(), &(), &Attachments::default());
        let _ = self.process.wait();
    }
}

/// Entry point of the janitor process.
pub fn main() -> ExitCode {
    let stdin = std::io::stdin();
    let Ok(Some((leftovers, _))) = wire::receive::<Leftovers>(stdin.as_fd()) else {
        return ExitCode::from(SANDBOX_FAILED);
    };
    if !matches!(wire::receive::<()>(stdin.as_fd()), Ok(Some(_))) {
        if let Some(dir) = leftovers.cgroup {
            Cgroup::at(dir).remove();
        }
        if let Some((root, id)) = leftovers.container {
            Store::new(root).forget(&id);
        }
    }
    ExitCode::SUCCESS
}
