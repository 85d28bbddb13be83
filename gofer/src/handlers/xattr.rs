//! Extended attributes (xattr(7)).
//!
//! The host's calls need a descriptor that is open for more than its path, or a path: ours is the link to
//! the descriptor, which works for every kind of file, whatever its permissions.

use gofer_proto::{MAX_XATTR, NodeId, XattrFlags, XattrName, transport::errno};
use linux_abi::{Errno, Result};
use rustix::buffer::spare_capacity;

use crate::server::Server;

/// getxattr(2).
pub(super) fn get(server: &Server, id: NodeId, name: XattrName<'_>) -> Result<Vec<u8>> {
    let fd = server.usable(id)?.fd()?;
    // Only what the host fills in is ever touched.
    let mut value = Vec::with_capacity(MAX_XATTR);
    rustix::fs::getxattr(server.own_fds.path(&*fd), name.as_bytes(), spare_capacity(&mut value))
        .map_err(errno)?;
    Ok(value)
}

/// listxattr(2).
pub(super) fn list(server: &Server, id: NodeId) -> Result<Vec<u8>> {
    let fd = server.usable(id)?.fd()?;
    let mut names: Vec<u8> = Vec::with_capacity(MAX_XATTR);
    rustix::fs::listxattr(server.own_fds.path(&*fd), spare_capacity(&mut names)).map_err(errno)?;
    Ok(names)
}

/// setxattr(2).
pub(super) fn set(
    server: &Server,
    id: NodeId,
    name: XattrName<'_>,
    value: &[u8],
    flags: XattrFlags,
) -> Result<()> {
    let node = server.writable(id)?;
    may_change(name)?;
    let fd = node.fd()?;
    let flags = rustix::fs::XattrFlags::from_bits_retain(flags.bits());
    rustix::fs::setxattr(server.own_fds.path(&*fd), name.as_bytes(), value, flags).map_err(errno)
}

/// removexattr(2).
pub(super) fn remove(server: &Server, id: NodeId, name: XattrName<'_>) -> Result<()> {
    let node = server.writable(id)?;
    may_change(name)?;
    let fd = node.fd()?;
    rustix::fs::removexattr(server.own_fds.path(&*fd), name.as_bytes()).map_err(errno)
}

/// The host interprets the other namespaces: capabilities and labels of files are not a guest's to set there.
fn may_change(name: XattrName<'_>) -> Result<()> {
    let name = name.as_bytes();
    if name.starts_with(b"security.") || name.starts_with(b"trusted.") { Err(Errno::EPERM) } else { Ok(()) }
}
