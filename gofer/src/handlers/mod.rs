//! One function for each request: find the nodes, check the policy, make the host call.
//!
//! What these share: ids are resolved first (`EBADF`), then the kind of file is checked, then whether the root is read-only
//! (`EROFS`), and only then the host is asked, so that a refused call has no effects. Permissions of
//! guest users are the sentry's business; the host checks the gofer's.

mod attr;
mod make;
mod open;
mod readdir;
mod rename;
mod walk;
mod xattr;

use std::{os::fd::OwnedFd, sync::Arc};

use gofer_proto::{
    FileKind, Name, NodeId, Request,
    message::XattrValue,
    wire::{Wire, Writer},
};
use linux_abi::{Errno, Result};

use crate::{node::Node, resolve, server::Server};

/// What goes with an answer, besides the bytes in the writer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) fds: Vec<OwnedFd>,
}

impl Reply {
    pub(crate) fn plain() -> Reply {
        Reply { fds: Vec::new() }
    }
}

/// Answers a request: puts the value into `out`, or fails.
pub(crate) fn answer(server: &Server, request: Request<'_>, out: &mut Writer<'_>) -> Result<Reply> {
    match request {
        Request::Attach { root } => value(out, &server.attach(root)?),
        Request::Walk { from, names, open } => walk::walk(server, from, &names, open, out),
        Request::Entries { dir, names, open } => walk::entries(server, dir, &names, open, out),
        Request::Stat { from, names } => value(out, &walk::stat(server, from, &names)?),
        Request::Open { node, flags } => open::open(server, node, flags, out),
        Request::Create { dir, name, flags, new } => open::create(server, dir, name, flags, &new, out),
        Request::GetAttr { node } => value(out, &attr::getattr(server, node)?),
        Request::SetAttr { node, change } => value(out, &attr::setattr(server, node, &change)?),
        Request::Mkdir { dir, name, new } => value(out, &make::mkdir(server, dir, name, &new)?),
        Request::Symlink { dir, name, target, owner } => {
            value(out, &make::symlink(server, dir, name, target, owner)?)
        }
        Request::Link { node, dir, name } => value(out, &make::link(server, node, dir, name)?),
        Request::Mknod { dir, name, kind, new } => value(out, &make::mknod(server, dir, name, kind, &new)?),
        Request::Unlink { dir, name, what } => value(out, &rename::unlink(server, dir, name, what)?),
        Request::Rename { rename } => value(out, &rename::rename(server, &rename)?),
        Request::ReadDir { handle, cookie, wants } => {
            readdir::readdir(server, handle, cookie, wants, out).map(|()| Reply::plain())
        }
        Request::List { node } => readdir::list(server, node, out).map(|()| Reply::plain()),
        Request::ReadLink { node } => value(out, &walk::readlink(server, node)?),
        Request::StatFs { node } => value(out, &attr::statfs(server, node)?),
        Request::GetXattr { node, name } => value(out, &XattrValue(&xattr::get(server, node, name)?)),
        Request::SetXattr { node, name, value: XattrValue(bytes), flags } => {
            value(out, &xattr::set(server, node, name, bytes, flags)?)
        }
        Request::ListXattr { node } => value(out, &XattrValue(&xattr::list(server, node)?)),
        Request::RemoveXattr { node, name } => value(out, &xattr::remove(server, node, name)?),
        Request::Fsync { node, sync } => value(out, &attr::fsync(server, node, sync)?),
        Request::Fallocate { node, mode, offset, len } => {
            value(out, &attr::fallocate(server, node, mode, offset, len)?)
        }
        Request::Changes { root } => Ok(Reply { fds: vec![server.changes(root)?] }),
        Request::Connect { node, kind } => open::connect(server, node, kind),
        // The connection sees to these itself.
        Request::Release { .. } | Request::AddConnection {} | Request::Follow { .. } => Err(Errno::EPROTO),
    }
}

fn value<'a, T: Wire<'a>>(out: &mut Writer<'_>, value: &T) -> Result<Reply> {
    value.put(out);
    Ok(Reply::plain())
}

/// A directory whose entries may be looked at.
fn directory(server: &Server, id: NodeId) -> Result<Arc<Node>> {
    let node = server.usable(id)?;
    if node.kind == FileKind::Directory { Ok(node) } else { Err(Errno::ENOTDIR) }
}

/// A directory whose entries may be changed.
fn changeable(server: &Server, id: NodeId) -> Result<Arc<Node>> {
    let dir = directory(server, id)?;
    if server.policy(&dir).read_only { Err(Errno::EROFS) } else { Ok(dir) }
}

/// A directory that may get an entry called `name`. On a read-only file system Linux says `EEXIST` rather
/// than `EROFS` if there is one (`filename_create()`, fs/namei.c).
fn changeable_at(server: &Server, id: NodeId, name: Name<'_>) -> Result<Arc<Node>> {
    match changeable(server, id) {
        Err(Errno::EROFS) => {
            let there = resolve::lookup(&*directory(server, id)?.fd()?, name).is_ok();
            Err(if there { Errno::EEXIST } else { Errno::EROFS })
        }
        result => result,
    }
}
