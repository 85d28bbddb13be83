//! The namespaces of the sentry and the gofer, and the identity they take in their user namespace.
//!
//! The user and pid namespaces are made by the `clone` that starts the process ([`AT_CLONE`]); the process makes the
//! others itself ([`enter`]), while `runsc` writes its identity maps.

use std::os::fd::BorrowedFd;

use nix::{
    libc::c_int,
    sched::{CloneFlags, unshare},
    sys::{prctl, signal::Signal},
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};

use crate::{
    control::protocol::Identity,
    error::{Context, Result},
};

/// Namespaces that only clone can put a process into.
pub const AT_CLONE: c_int = libc::CLONE_NEWUSER | libc::CLONE_NEWPID;

/// Enters new mount, IPC, UTS and network namespaces. The network namespace has a loopback device that is down.
///
/// # Errors
/// `EPERM`, `ENOSPC`: the host forbids it; see [`crate::sandbox::hints`].
pub fn enter() -> Result<()> {
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWNET,
    )
    .context("entering new mount, ipc, uts and network namespaces")?;
    // What uname tells about the host must not be there to be told.
    nix::unistd::sethostname("sandbox").context("sethostname")
}

/// Takes the ids that `runsc` has mapped for this process.
///
/// `attached`: die with the process that started this one. Changing ids makes the kernel forget that, so it is said
/// again here; `control` tells whether that process died in between.
///
/// # Errors
/// The ids are not mapped, or the starter is gone.
pub fn take_identity(identity: Identity, attached: bool, control: BorrowedFd<'_>) -> Result<()> {
    if identity.drop_groups {
        setgroups(&[]).context("setgroups")?;
    }
    if let Some(id) = identity.id {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        setresgid(gid, gid, gid).context("setresgid")?;
        setresuid(uid, uid, uid).context("setresuid")?;
    }
    if attached {
        prctl::set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
        if crate::control::wire::is_closed(control) {
            return Err(crate::error::Error::new("the process that started the sandbox is gone"));
        }
    }
    Ok(())
}
