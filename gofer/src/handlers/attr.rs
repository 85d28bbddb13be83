//! Attributes of files and volumes, and getting them to disk.

use gofer_proto::{Attr, FileKind, NodeId, SetAttr, SetTime, Sync, VolumeStat, Walked, transport::errno};
use linux_abi::{Errno, Result};
use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::make;
use crate::{resolve, server::Server};

/// stat(2).
pub(super) fn getattr(server: &Server, id: NodeId) -> Result<Walked> {
    let node = server.table.node(id)?;
    // First the watch: what happens after it is told.
    let watch = server.watch(&node);
    Ok(Walked { node: id, attr: resolve::attr(&*node.fd()?)?, watch })
}

/// statfs(2).
pub(super) fn statfs(server: &Server, id: NodeId) -> Result<VolumeStat> {
    resolve::volume(&*server.table.node(id)?.fd()?)
}

/// truncate(2), chown(2), chmod(2), utimensat(2), in this order: truncating sets the time of modification, and
/// changing the owner clears set-id bits.
pub(super) fn setattr(server: &Server, id: NodeId, change: &SetAttr) -> Result<Attr> {
    let node = server.writable(id)?;
    let fd = node.fd()?;
    if let Some(size) = change.size {
        match node.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        let file = server.own_fds.reopen(&*fd, OFlags::WRONLY)?;
        rustix::fs::ftruncate(file, size).map_err(errno)?;
    }
    if change.owner.uid.is_some() || change.owner.gid.is_some() {
        make::set_owner(&fd, change.owner.uid, change.owner.gid)?;
    }
    if let Some(mode) = change.mode {
        if node.kind == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let path = server.own_fds.path(&*fd);
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty()).map_err(errno)?;
    }
    if change.atime.is_some() || change.mtime.is_some() {
        let times =
            Timestamps { last_access: timespec(change.atime), last_modification: timespec(change.mtime) };
        rustix::fs::utimensat(CWD, server.own_fds.path(&*fd), &times, AtFlags::empty()).map_err(errno)?;
    }
    resolve::attr(&*fd)
}

fn timespec(time: Option<SetTime>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(SetTime::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(SetTime::At(time)) => Timespec { tv_sec: time.sec, tv_nsec: time.nsec.into() },
    }
}

/// fsync(2), fdatasync(2).
pub(super) fn fsync(server: &Server, id: NodeId, sync: Sync) -> Result<()> {
    let node = server.usable(id)?;
    if !matches!(node.kind, FileKind::Regular | FileKind::Directory) {
        return Err(Errno::EINVAL);
    }
    let file = server.own_fds.reopen(&*node.fd()?, OFlags::RDONLY)?;
    match sync {
        Sync::All => rustix::fs::fsync(file),
        Sync::Data => rustix::fs::fdatasync(file),
    }
    .map_err(errno)
}

/// fallocate(2). The kinds in the order and with the errors of `vfs_fallocate()`, fs/open.c.
pub(super) fn fallocate(server: &Server, id: NodeId, mode: u32, offset: u64, len: u64) -> Result<()> {
    let node = server.writable(id)?;
    match node.kind {
        FileKind::Regular => {}
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    let file = server.own_fds.reopen(&*node.fd()?, OFlags::WRONLY)?;
    rustix::fs::fallocate(file, FallocateFlags::from_bits_retain(mode), offset, len).map_err(errno)
}
