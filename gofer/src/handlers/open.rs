//! Opening, creating, connecting: everything that hands a descriptor to the client.
//!
//! What comes out is only ever what the policy of the root allows:
//!
//! | kind        | result                                                                          |
//! |-------------|---------------------------------------------------------------------------------|
//! | regular     | the host's descriptor; `EROFS` for writing below a read-only root               |
//! | directory   | a handle to read entries with; `EISDIR` for writing                             |
//! | link        | `ELOOP`, as `O_NOFOLLOW`                                                        |
//! | fifo        | `EACCES`, or the host's descriptor, non-blocking, if the root allows fifos      |
//! | device      | `EACCES` as on a `nodev` mount, or the same, if the root allows devices         |
//! | socket      | `ENXIO`, as open(2); to connect is `EACCES` unless the root allows sockets      |
//!
//! A non-blocking open of a fifo without readers for writing is `ENXIO`: the client waits and tries again.

use gofer_proto::{
    FileKind, Name, NewFile, NodeId, OpenFlags, SocketType,
    message::OpenReply,
    transport::errno,
    wire::{Wire, Writer},
};
use linux_abi::{Errno, Result};
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    net::{AddressFamily, SocketAddrUnix, SocketFlags},
};
use std::{os::fd::OwnedFd, sync::Arc};

use super::{Reply, changeable_at, make, walk};
use crate::{
    node::{Found, Node},
    resolve,
    server::Server,
};

/// Opens a node.
pub(super) fn open(server: &Server, id: NodeId, flags: OpenFlags, out: &mut Writer<'_>) -> Result<Reply> {
    let (reply, fd) = open_node(server, &server.table.node(id)?, flags)?;
    reply.put(out);
    Ok(Reply { fds: fd.into_iter().collect() })
}

/// Opens a node that has been found already.
pub(super) fn open_node(
    server: &Server,
    node: &Arc<Node>,
    flags: OpenFlags,
) -> Result<(OpenReply, Option<OwnedFd>)> {
    let policy = server.policy(node);
    if node.closed {
        return Err(Errno::EACCES);
    }
    // The order of may_open(), fs/namei.c. The permission to write is asked for first only where it can be refused
    // because of the file system, which is not so for fifos, devices and sockets (`sb_permission()`).
    let extra = match node.kind {
        FileKind::Symlink | FileKind::Unknown => return Err(Errno::ELOOP),
        FileKind::Directory if flags.writes() => return Err(Errno::EISDIR),
        FileKind::Directory => OFlags::DIRECTORY,
        _ if flags.contains(OpenFlags::DIRECTORY) => return Err(Errno::ENOTDIR),
        FileKind::Regular if flags.writes() && policy.read_only => return Err(Errno::EROFS),
        FileKind::Regular => OFlags::empty(),
        FileKind::Socket => return Err(Errno::ENXIO),
        FileKind::Fifo if !policy.fifos => return Err(Errno::EACCES),
        FileKind::CharDevice | FileKind::BlockDevice if !policy.devices => return Err(Errno::EACCES),
        FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => OFlags::NONBLOCK,
    };
    let fd = server.own_fds.reopen(&*node.fd()?, host_flags(flags) | extra)?;
    if node.kind == FileKind::Directory {
        Ok((OpenReply::Directory(server.table.add_directory(fd)?), None))
    } else {
        Ok((OpenReply::File, Some(fd)))
    }
}

/// The flags have the host's values already.
fn host_flags(flags: OpenFlags) -> OFlags {
    OFlags::from_bits_retain(flags.bits())
}

/// Makes a regular file and opens it.
pub(super) fn create(
    server: &Server,
    dir: NodeId,
    name: Name<'_>,
    flags: OpenFlags,
    new: &NewFile,
    out: &mut Writer<'_>,
) -> Result<Reply> {
    if flags.contains(OpenFlags::DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    let dir = changeable_at(server, dir, name)?;
    let dir_fd = dir.fd()?;
    // No set-id bits before the file has its owner.
    let mode = Mode::from_raw_mode(new.mode & 0o777);
    let fd = resolve::create(&*dir_fd, name, host_flags(flags), mode)?;
    let entered = server.own_fds.reopen(&fd, OFlags::PATH).and_then(|path_fd| {
        let mut found = Found::inspect(path_fd, Some(&dir.as_above()))?;
        make::dress(server, &mut found, new)?;
        walk::enter(server, &dir, name, found)
    });
    match entered {
        Ok(walked) => {
            walked.put(out);
            Ok(Reply { fds: vec![fd] })
        }
        Err(errno) => {
            // All or nothing.
            let _ = rustix::fs::unlinkat(&*dir_fd, name.as_bytes(), AtFlags::empty());
            Err(errno)
        }
    }
}

/// Connects to a listening socket of the host. The descriptor is non-blocking, and so is connecting: `EAGAIN` if the
/// listener's queue is full.
pub(super) fn connect(server: &Server, id: NodeId, kind: SocketType) -> Result<Reply> {
    let node = server.usable(id)?;
    // unix_find_bsd(), net/unix/af_unix.c: permission to write first, then whether it is a socket.
    if !server.policy(&node).sockets {
        return Err(Errno::EACCES);
    }
    if node.kind != FileKind::Socket {
        return Err(Errno::ECONNREFUSED);
    }
    let kind = match kind {
        SocketType::Stream => rustix::net::SocketType::STREAM,
        SocketType::Datagram => rustix::net::SocketType::DGRAM,
        SocketType::SeqPacket => rustix::net::SocketType::SEQPACKET,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).map_err(errno)?;
    let fd = node.fd()?;
    let address = SocketAddrUnix::new(server.own_fds.path(&*fd)).map_err(errno)?;
    rustix::net::connect(&socket, &address).map_err(errno)?;
    Ok(Reply { fds: vec![socket] })
}
