//! New names: directories, links, fifos, sockets.
//!
//! A new file gets exactly the mode and the owner asked for. The owner comes before the set-id bits, so that no
//! moment shows a set-user-id file of the wrong user; if a later step fails the name is taken away again.

use std::{os::fd::OwnedFd, sync::Arc};

use gofer_proto::{FileKind, LinkTarget, MODE_BITS, Name, NewFile, NodeId, Owner, Walked, transport::errno};
use linux_abi::{Errno, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode};

use super::{changeable_at, walk};
use crate::{
    node::{Found, Node},
    resolve,
    server::Server,
};

/// mkdir(2).
pub(super) fn mkdir(server: &Server, dir: NodeId, name: Name<'_>, new: &NewFile) -> Result<Walked> {
    let dir = changeable_at(server, dir, name)?;
    let fd = dir.fd()?;
    rustix::fs::mkdirat(&*fd, name.as_bytes(), Mode::from_raw_mode(new.mode & 0o777)).map_err(errno)?;
    finish(server, &dir, &fd, name, FileKind::Directory, |found| dress(server, found, new))
}

/// symlink(2).
pub(super) fn symlink(
    server: &Server,
    dir: NodeId,
    name: Name<'_>,
    target: LinkTarget<'_>,
    owner: Owner,
) -> Result<Walked> {
    let dir = changeable_at(server, dir, name)?;
    let fd = dir.fd()?;
    rustix::fs::symlinkat(target.as_bytes(), &*fd, name.as_bytes()).map_err(errno)?;
    finish(server, &dir, &fd, name, FileKind::Symlink, |found| chown(found, owner).map(drop))
}

/// mknod(2), but no devices: the gofer has no capability for them either.
pub(super) fn mknod(
    server: &Server,
    dir: NodeId,
    name: Name<'_>,
    kind: FileKind,
    new: &NewFile,
) -> Result<Walked> {
    let file_type = match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Fifo => FileType::Fifo,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice | FileKind::BlockDevice | FileKind::Directory => return Err(Errno::EPERM),
        FileKind::Symlink | FileKind::Unknown => return Err(Errno::EINVAL),
    };
    let dir = changeable_at(server, dir, name)?;
    let fd = dir.fd()?;
    let mode = Mode::from_raw_mode(new.mode & 0o777);
    rustix::fs::mknodat(&*fd, name.as_bytes(), file_type, mode, 0).map_err(errno)?;
    finish(server, &dir, &fd, name, kind, |found| dress(server, found, new))
}

/// link(2).
pub(super) fn link(server: &Server, node: NodeId, dir: NodeId, name: Name<'_>) -> Result<Walked> {
    let node = server.usable(node)?;
    let dir = changeable_at(server, dir, name)?;
    // Roots may be one file system on the host, with different policies here.
    if node.root != dir.root {
        return Err(Errno::EXDEV);
    }
    let fd = dir.fd()?;
    let old = node.fd()?;
    rustix::fs::linkat(CWD, server.own_fds.path(&*old), &*fd, name.as_bytes(), AtFlags::SYMLINK_FOLLOW)
        .map_err(errno)?;
    let found = Found::look_up(&fd, &dir.as_above(), name)?;
    walk::enter(server, &dir, name, found)
}

/// Finds what was just made, checks that it is that, completes it with `complete`, and gives it to the client.
fn finish(
    server: &Server,
    dir: &Arc<Node>,
    dir_fd: &OwnedFd,
    name: Name<'_>,
    kind: FileKind,
    complete: impl FnOnce(&mut Found) -> Result<()>,
) -> Result<Walked> {
    let mut found = Found::look_up(dir_fd, &dir.as_above(), name)?;
    // Somebody on the host may have replaced it: what they put there is not ours to change or to remove.
    let links = found.attr.nlink;
    if found.attr.kind() != kind || (kind != FileKind::Directory && links != 1) {
        return Err(Errno::ESTALE);
    }
    complete(&mut found).and_then(|()| walk::enter(server, dir, name, found)).inspect_err(|_| {
        let flags = if kind == FileKind::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let _ = rustix::fs::unlinkat(dir_fd, name.as_bytes(), flags);
    })
}

/// Gives a new file its owner and mode, as far as it does not have them.
pub(super) fn dress(server: &Server, found: &mut Found, new: &NewFile) -> Result<()> {
    let changed = chown(found, new.owner)?;
    if changed || found.attr.mode & MODE_BITS != new.mode {
        // Through the descriptor: the name may mean something else by now.
        let path = server.own_fds.path(&found.fd);
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(new.mode), AtFlags::empty()).map_err(errno)?;
        found.attr = resolve::attr(&found.fd)?;
    }
    Ok(())
}

/// Whether there was something to change.
fn chown(found: &mut Found, owner: Owner) -> Result<bool> {
    let uid = owner.uid.filter(|uid| *uid != found.attr.uid);
    let gid = owner.gid.filter(|gid| *gid != found.attr.gid);
    if uid.is_none() && gid.is_none() {
        return Ok(false);
    }
    set_owner(&found.fd, uid, gid)?;
    found.attr = resolve::attr(&found.fd)?;
    Ok(true)
}

/// chown(2) of an open file. The protocol has made sure that no id is -1.
pub(super) fn set_owner(fd: &OwnedFd, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    let (uid, gid) = (uid.map(rustix::fs::Uid::from_raw), gid.map(rustix::fs::Gid::from_raw));
    rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH).map_err(errno)
}
