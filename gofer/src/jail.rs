//! What the gofer does to itself before it listens to a client.
//!
//! The namespaces are the parent's work. Then, in this order:
//! 1. the limit of descriptors goes up, and every descriptor that is not the gofer's is closed;
//! 2. a private copy of the mount below `/proc/self/fd` becomes the root directory: all paths there are lead to
//!    descriptors that the process has anyway, and `..` of it is itself;
//! 3. all capabilities go but the few that let root act on other users' files, and `no_new_privs` keeps them from coming back;
//! 4. the system-call filter is loaded ([`policy`]).
//!
//! A root that was opened with [`Root::open`](crate::Root::open) by a privileged caller is a mount of its own as well: then the
//! descriptors lead nowhere else either.

pub mod policy;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use rustix::{
    fs::{CWD, Mode, OFlags, RawDir},
    mount::OpenTreeFlags,
};

use crate::{
    config::{Config, Confinement},
    error::{Doing, Error},
    process,
    resolve::OwnFds,
};

/// capabilities(7) (include/uapi/linux/capability.h).
mod capability {
    pub(super) const CHOWN: u64 = 1 << 0;
    pub(super) const DAC_OVERRIDE: u64 = 1 << 1;
    pub(super) const DAC_READ_SEARCH: u64 = 1 << 2;
    pub(super) const FOWNER: u64 = 1 << 3;
    pub(super) const FSETID: u64 = 1 << 4;
}

/// Locks the process in. `keep` are descriptors that it needs, besides standard input, output and error and
/// the roots. Afterwards the process can only [`serve`](crate::serve).
///
/// The process must have one thread, for most of this is per thread.
pub fn enter(config: &Config, keep: &[BorrowedFd<'_>]) -> Result<OwnFds, Error> {
    process::raise_descriptor_limit()?;
    let roots = config.roots.iter().map(|root| root.fd.as_fd());
    let mut kept: Vec<RawFd> = roots.chain(keep.iter().copied()).map(|fd| fd.as_raw_fd()).collect();
    kept.extend([0, 1, 2]);
    close_others(&kept)?;
    let own_fds = match leave_the_tree() {
        Err(error) if config.confinement == Confinement::IfPermitted => {
            log::warn!("the gofer stays in the host's file tree: {error}");
            OwnFds::in_proc()
        }
        result => result?,
    };
    let can_change = config.roots.iter().any(|root| !root.policy.read_only);
    host::caps::keep_only(capabilities(can_change)).doing("drop capabilities")?;
    rustix::thread::set_no_new_privs(true).doing("set no_new_privs")?;
    policy::load(policy::Needs {
        changes: can_change,
        sockets: config.roots.iter().any(|root| root.policy.sockets),
    })?;
    Ok(own_fds)
}

/// What a gofer that was started as root keeps of being root.
fn capabilities(can_change: bool) -> u64 {
    let read = capability::DAC_READ_SEARCH;
    let change = capability::CHOWN | capability::DAC_OVERRIDE | capability::FOWNER | capability::FSETID;
    if can_change { read | change } else { read }
}

/// Closes what the parent left open by mistake.
fn close_others(kept: &[RawFd]) -> Result<(), Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open("/proc/self/fd", flags, Mode::empty()).doing("open /proc/self/fd")?;
    let mut others = Vec::new();
    let mut buffer = Vec::with_capacity(4096);
    let mut entries = RawDir::new(&dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.doing("read /proc/self/fd")?;
        let number = entry.file_name().to_str().ok().and_then(|name| name.parse::<RawFd>().ok());
        others.extend(number.filter(|number| !kept.contains(number) && *number != dir.as_raw_fd()));
    }
    for fd in others {
        nix::unistd::close(fd).doing("close a descriptor")?;
    }
    Ok(())
}

/// Makes the directory of the process's own descriptors its root.
fn leave_the_tree() -> Result<OwnFds, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let own =
        rustix::mount::open_tree(CWD, "/proc/self/fd", flags).doing("copy the mount of /proc/self/fd")?;
    rustix::process::fchdir(&own).doing("enter the new root")?;
    rustix::process::chroot(".").doing("change the root directory")?;
    Ok(OwnFds::at_root(own))
}
