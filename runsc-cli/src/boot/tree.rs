//! Makes the filesystems of a guest from its configuration.

use std::{os::fd::OwnedFd, sync::Arc};

use linux_abi::{Errno, fcntl};
use sentry::{
    fs::{
        assemble::Attachment,
        inode::{FileSystem, FileType},
        mount::Mount,
        types::{
            dev,
            proc::ProcFs,
            sysfs::SysFs,
            tmpfs::{TmpFs, TmpOptions},
            tty::devpts::DevPts,
        },
    },
    kernel::Kernel,
};

use crate::control::protocol::{self, MountFlags, MountKind};

/// Size of a tmpfs that says nothing about it, when the sandbox has no memory limit.
const TMPFS_BYTES: u64 = 1 << 30;

/// The root, and what goes on top of it.
pub(super) fn build(
    kernel: &Arc<Kernel>,
    mounts: &[protocol::Mount],
    _gofer: OwnedFd,
) -> Result<(Arc<Mount>, Vec<Attachment>), Errno> {
    let (first, rest) = mounts.split_first().ok_or(Errno::EINVAL)?;
    let mut attachments = Vec::new();
    for mount in rest {
        let shown = || String::from_utf8_lossy(&mount.destination.0);
        let kind = match mount.kind {
            MountKind::Gofer { file: true, .. } => FileType::Regular,
            _ => FileType::Directory,
        };
        match filesystem(kernel, mount) {
            Some(fs) => {
                let mounted = Mount::new(fs, source(&mount.kind), flags(mount.flags));
                attachments.push(Attachment { at: mount.destination.0.clone(), mount: mounted, kind });
            }
            None => log::warn!("mount of {:?} on {} is not supported yet", mount.kind, shown()),
        }
    }
    let root = filesystem(kernel, first)
        .unwrap_or_else(|| TmpFs::new(kernel.new_dev(), &TmpOptions::with_size(TMPFS_BYTES)));
    Ok((Mount::new(root, b"root", flags(first.flags)), attachments))
}

fn filesystem(kernel: &Arc<Kernel>, mount: &protocol::Mount) -> Option<Arc<dyn FileSystem>> {
    match mount.kind {
        MountKind::Tmpfs { size, mode, uid, gid } => {
            let options = TmpOptions { mode, uid, gid, ..TmpOptions::with_size(size.unwrap_or(TMPFS_BYTES)) };
            Some(TmpFs::new(kernel.new_dev(), &options))
        }
        MountKind::Proc => Some(ProcFs::new(kernel, kernel.new_dev())),
        MountKind::Sysfs => Some(SysFs::new(kernel, kernel.new_dev())),
        MountKind::Dev => dev::new(kernel, kernel.new_dev()).ok(),
        MountKind::Devpts => Some(DevPts::new(kernel, kernel.new_dev())),
        MountKind::Gofer { .. } | MountKind::Mqueue | MountKind::Cgroup | MountKind::Masked | MountKind::ReadOnly => {
            None
        }
    }
}

/// First column of /proc/mounts.
fn source(kind: &MountKind) -> &'static [u8] {
    match kind {
        MountKind::Gofer { .. } => b"host",
        MountKind::Tmpfs { .. } | MountKind::Dev | MountKind::Masked => b"tmpfs",
        MountKind::Proc | MountKind::ReadOnly => b"proc",
        MountKind::Sysfs => b"sysfs",
        MountKind::Devpts => b"devpts",
        MountKind::Mqueue => b"mqueue",
        MountKind::Cgroup => b"cgroup",
    }
}

/// As mount(2) has them.
fn flags(flags: MountFlags) -> u64 {
    [
        (flags.read_only, fcntl::MS_RDONLY),
        (flags.no_suid, fcntl::MS_NOSUID),
        (flags.no_dev, fcntl::MS_NODEV),
        (flags.no_exec, fcntl::MS_NOEXEC),
        (flags.no_atime, fcntl::MS_NOATIME),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(0, |all, (_, flag)| all | flag)
}
