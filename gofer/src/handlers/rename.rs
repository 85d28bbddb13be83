//! Names that go, and names that change.

use std::sync::Arc;

use gofer_proto::{Name, NodeId, RenameFlags, Unlink, message::Rename, transport::errno};
use linux_abi::{Errno, Result};
use rustix::fs::AtFlags;

use super::changeable;
use crate::{node::Node, server::Server};

/// unlink(2), rmdir(2).
pub(super) fn unlink(server: &Server, dir: NodeId, name: Name<'_>, what: Unlink) -> Result<()> {
    let dir = changeable(server, dir)?;
    let flags = match what {
        Unlink::File => AtFlags::empty(),
        Unlink::Directory => AtFlags::REMOVEDIR,
    };
    rustix::fs::unlinkat(&*dir.fd()?, name.as_bytes(), flags).map_err(errno)
}

/// renameat2(2).
pub(super) fn rename(server: &Server, rename: &Rename<'_>) -> Result<()> {
    let from = changeable(server, rename.from_dir)?;
    let to = changeable(server, rename.to_dir)?;
    // Roots may be one file system on the host, with different policies here.
    if from.root != to.root {
        return Err(Errno::EXDEV);
    }
    // EBADF before anything has happened.
    let node = |id: Option<NodeId>| id.map(|id| server.table.node(id)).transpose();
    let moved = node(rename.moved)?;
    let exchanged = node(rename.exchanged)?;

    let flags = rustix::fs::RenameFlags::from_bits_retain(rename.flags.bits());
    let (from_fd, to_fd) = (from.fd()?, to.fd()?);
    let (old, new) = (rename.from_name.as_bytes(), rename.to_name.as_bytes());
    rustix::fs::renameat_with(&*from_fd, old, &*to_fd, new, flags).map_err(errno)?;

    if let Some(node) = moved {
        moved_to(server, &node, &to, rename.to_name);
    }
    if let Some(node) = exchanged
        && rename.flags.contains(RenameFlags::EXCHANGE)
    {
        moved_to(server, &node, &from, rename.from_name);
    }
    Ok(())
}

/// Records a node's new place. If the client lied about which node that is, it will be `ESTALE` once it has to
/// be found again.
fn moved_to(server: &Server, node: &Arc<Node>, dir: &Arc<Node>, name: Name<'_>) {
    let _one_at_a_time = server.moves.lock();
    node.move_to(dir, name);
}
