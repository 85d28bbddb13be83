//! Makes the filesystems of a guest from its configuration.

use std::{os::fd::OwnedFd, sync::Arc};

use gofer_proto::Client;
use linux_abi::{Errno, fcntl};
use sentry::{
    fs::{
        assemble::{Attachment, Change},
        inode::{FileSystem, FileType},
        mount::Mount,
        types::{
            dev,
            gofer::{GoferFs, GoferOptions},
            mqueue::MqueueFs,
            overlay::OverlayFs,
            proc::ProcFs,
            sysfs::SysFs,
            tmpfs::{TmpFs, TmpOptions},
            tty::devpts::DevPts,
        },
    },
    kernel::Kernel,
};

use crate::control::protocol::{self, MountFlags, MountKind};

/// How many threads can talk to the gofer at once.
const CONNECTIONS: usize = 4;

/// The root, and what goes on top of it.
pub(super) fn build(
    kernel: &Arc<Kernel>,
    mounts: &[protocol::Mount],
    gofer: OwnedFd,
) -> Result<(Arc<Mount>, Vec<Attachment>), Errno> {
    let (first, rest) = mounts.split_first().ok_or(Errno::EINVAL)?;
    let gofer = Arc::new(Client::new(gofer, CONNECTIONS));
    let mut attachments = Vec::new();
    for mount in rest {
        let at = mount.destination.0.clone();
        let change = match &mount.kind {
            MountKind::Masked => Change::Mask,
            MountKind::ReadOnly => Change::ReadOnly,
            other => {
                let Some(fs) = filesystem(kernel, &gofer, other)? else {
                    log::info!("a mount of {other:?} is not supported yet");
                    continue;
                };
                let kind = match other {
                    MountKind::Gofer { file: true, .. } => FileType::Regular,
                    _ => FileType::Directory,
                };
                Change::Mount { mount: Mount::new(fs, source(other), flags(mount.flags)), kind }
            }
        };
        attachments.push(Attachment { at, change });
    }
    let root = filesystem(kernel, &gofer, &first.kind)?.ok_or(Errno::ENODEV)?;
    Ok((Mount::new(root, b"root", flags(first.flags)), attachments))
}

/// A new filesystem. `None`: there is no such kind yet.
fn filesystem(
    kernel: &Arc<Kernel>,
    gofer: &Arc<Client>,
    kind: &MountKind,
) -> Result<Option<Arc<dyn FileSystem>>, Errno> {
    let dev = kernel.new_dev();
    Ok(Some(match *kind {
        MountKind::Tmpfs { size, mode, uid, gid } => {
            // tmpfs(5): half of the memory.
            let size = size.unwrap_or(kernel.host.memory / 2);
            TmpFs::new(dev, &TmpOptions { mode, uid, gid, ..TmpOptions::with_size(size) })
                .sharing(&kernel.file_memory)
        }
        MountKind::Proc => ProcFs::new(kernel, dev),
        MountKind::Sysfs => SysFs::new(kernel, dev),
        MountKind::Dev => dev::new(kernel, dev)?,
        MountKind::Devpts => DevPts::new(kernel, dev),
        MountKind::Gofer { root, overlay, .. } => {
            return host_tree(kernel, gofer, dev, root, overlay).map(Some);
        }
        MountKind::Mqueue => Arc::<MqueueFs>::clone(&kernel.mqueue),
        MountKind::Cgroup | MountKind::Masked | MountKind::ReadOnly => return Ok(None),
    }))
}

/// A tree of the host: as it is, or below an overlay that keeps changes in memory.
fn host_tree(
    kernel: &Arc<Kernel>,
    gofer: &Arc<Client>,
    dev: u64,
    root: usize,
    overlay: bool,
) -> Result<Arc<dyn FileSystem>, Errno> {
    let root = u32::try_from(root).map_err(|_| Errno::EINVAL)?;
    // Under an overlay nobody else is expected to change the files; otherwise they are shared with the host.
    let options = GoferOptions { exclusive: overlay, read_only: overlay };
    let files = GoferFs::new(Arc::clone(gofer), root, dev, options)?;
    if !overlay {
        return Ok(files);
    }
    let upper = TmpFs::new(kernel.new_dev(), &TmpOptions::with_size(kernel.host.memory / 2))
        .sharing(&kernel.file_memory);
    Ok(OverlayFs::new(kernel.new_dev(), files.root_inode()?, upper))
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
