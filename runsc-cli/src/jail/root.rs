//! The file system of a jailed process: one empty directory that nobody can write to.

use nix::{
    fcntl::{OFlag, open},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::Mode,
    unistd::{chdir, fchdir, pivot_root},
};

use crate::error::{Context, Result};

/// Makes /proc show this process's own pid namespace, until [`enter_empty`] takes it away. `false`: the host does
/// not allow it, which containers with masked parts of /proc do not.
///
/// # Errors
/// The mounts of the host cannot be left alone.
pub fn mount_proc() -> Result<bool> {
    // Nothing that happens here may propagate to the host, nor the other way around.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("making all mounts private")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    Ok(mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).is_ok())
}

/// Makes an empty, read-only tmpfs the root of this process's mount namespace and detaches everything else.
/// Descriptors opened before stay usable. Processes that this one has forked go with it (pivot_root(2)). After [`mount_proc`].
///
/// # Errors
/// `EPERM`, `EACCES`: the host forbids mounting in user namespaces; see [`crate::sandbox::hints`].
pub fn enter_empty() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // Any directory that surely exists serves as mount point. One inode: the root itself.
    mount(Some("none"), "/proc", Some("tmpfs"), flags, Some("mode=0555,size=4k,nr_inodes=1"))
        .context("mounting an empty tmpfs")?;
    let root = open("/proc", OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .context("opening the new root")?;
    fchdir(&root).context("entering the new root")?;
    drop(root);
    // pivot_root(2), "pivot_root(".", ".")": the old root ends up mounted over the new one and is taken off again.
    pivot_root(".", ".").context("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context("detaching the old root")?;
    chdir("/").context("chdir")?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY,
        None::<&str>,
    )
    .context("making the root read-only")
}
