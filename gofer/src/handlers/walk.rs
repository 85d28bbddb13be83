//! Walks: the way from names to nodes.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use gofer_proto::{
    FileKind, Name, NodeId, OpenFlags, Stats, WalkEnd, Walked,
    message::{EntryReply, OpenReply, WalkReply},
    transport::errno,
    types::LinkText,
    wire::{Wire, Writer},
};
use linux_abi::{Errno, Result};

use super::{Reply, open};
use crate::{
    node::{Found, Node},
    server::Server,
};

/// Looks names up and takes references; then perhaps opens the last file.
pub(super) fn walk(
    server: &Server,
    from: NodeId,
    names: &[Name<'_>],
    flags: Option<OpenFlags>,
    out: &mut Writer<'_>,
) -> Result<Reply> {
    if flags.is_some_and(|flags| flags.contains(OpenFlags::TRUNC)) {
        return Err(Errno::EINVAL);
    }
    let mut at = server.table.node(from)?;
    let mut found = Vec::with_capacity(names.len());
    let mut end = WalkEnd::Complete;
    for name in names {
        match step(server, &at, *name) {
            Ok((walked, node)) => {
                found.push(walked);
                at = node;
            }
            Err(errno) => {
                end = walk_end(!found.is_empty(), at.kind, errno);
                break;
            }
        }
    }
    let is_link = !found.is_empty() && at.kind == FileKind::Symlink;
    let link = if is_link { Some(link_text(&*at.fd()?)?) } else { None };
    let opened = match (end, flags, at.kind) {
        (WalkEnd::Complete, Some(flags), FileKind::Regular | FileKind::Directory) => {
            Some(open::open_node(server, &at, flags))
        }
        _ => None,
    };
    let (opened, fd) = match opened {
        None => (None, None),
        Some(Ok((opened, fd))) => (Some(opened), fd),
        Some(Err(errno)) => (Some(OpenReply::Failed(errno)), None),
    };
    WalkReply { found, end, link, opened }.put(out);
    Ok(Reply { fds: fd.into_iter().collect() })
}

/// Looks up entries of a directory and takes references; perhaps opens them.
pub(super) fn entries(
    server: &Server,
    dir: NodeId,
    names: &[Name<'_>],
    open: bool,
    out: &mut Writer<'_>,
) -> Result<Reply> {
    let dir = server.table.node(dir)?;
    let mut found = Vec::with_capacity(names.len());
    let mut fds = Vec::new();
    for name in names {
        let Ok((walked, node)) = step(server, &dir, *name) else {
            found.push(None);
            continue;
        };
        let file = (open && node.kind == FileKind::Regular)
            .then(|| open::open_node(server, &node, OpenFlags::empty()).ok()?.1)
            .flatten();
        found.push(Some(EntryReply { walked, opened: file.is_some() }));
        fds.extend(file);
    }
    found.put(out);
    Ok(Reply { fds })
}

fn step(server: &Server, at: &Arc<Node>, name: Name<'_>) -> Result<(Walked, Arc<Node>)> {
    let found = Found::look_up(&*at.fd()?, &at.as_above(), name)?;
    let attr = found.attr;
    let node = Node::below(at, name, found)?;
    Ok((server.refer(&node, attr)?, node))
}

/// Names behind a link are the client's to resolve; names behind any other file that is no directory are an error.
fn walk_end(any_found: bool, last: FileKind, errno: Errno) -> WalkEnd {
    if any_found && last == FileKind::Symlink { WalkEnd::Symlink } else { WalkEnd::Failed(errno) }
}

/// Looks names up without taking references.
pub(super) fn stat(server: &Server, from: NodeId, names: &[Name<'_>]) -> Result<Stats> {
    let start = server.table.node(from)?;
    let mut fd: Arc<OwnedFd> = start.fd()?;
    let mut above = start.as_above();
    let mut last = start.kind;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match Found::look_up(&fd, &above, *name) {
            Ok(next) => {
                above = next.as_above();
                last = next.attr.kind();
                found.push(next.attr);
                fd = Arc::new(next.fd);
            }
            Err(errno) => {
                let end = walk_end(!found.is_empty(), last, errno);
                return Ok(Stats { found, end });
            }
        }
    }
    Ok(Stats { found, end: WalkEnd::Complete })
}

/// The target of a symbolic link.
pub(super) fn readlink(server: &Server, id: NodeId) -> Result<LinkText> {
    let node = server.usable(id)?;
    if node.kind != FileKind::Symlink {
        return Err(Errno::EINVAL);
    }
    link_text(&*node.fd()?)
}

fn link_text(fd: impl AsFd) -> Result<LinkText> {
    let text = rustix::fs::readlinkat(fd, c"", Vec::new()).map_err(errno)?;
    Ok(LinkText(text.into_bytes().into()))
}

/// A new entry of `dir` that the gofer has just made and found again.
pub(super) fn enter(server: &Server, dir: &Arc<Node>, name: Name<'_>, found: Found) -> Result<Walked> {
    let attr = found.attr;
    let node = Node::below(dir, name, found)?;
    if attr.kind() == FileKind::Directory {
        return server.refer(&node, attr);
    }
    // Most new files are written, and perhaps renamed, before anybody asks for their attributes.
    server.refer_unwatched(&node, attr)
}
