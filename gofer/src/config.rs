//! What a gofer serves, and how its parent tells it.
//!
//! The parent opens the roots, because it can still see the host's tree, and sends everything over the
//! socket that later carries the first connection: nothing is left to command lines and inherited numbers.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use gofer_proto::{
    transport,
    wire::{Reader, Wire, Writer},
};
use linux_abi::Errno;
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::OpenTreeFlags,
};

use crate::error::{self, Doing, Error};

/// Everything a gofer needs to know.
#[derive(Debug)]
pub struct Config {
    /// What it serves; number 0 is the sandbox's `/`, bind mounts follow.
    pub roots: Vec<Root>,
    /// What a client may use up.
    pub limits: Limits,
    /// How hard the process insists on its jail.
    pub confinement: Confinement,
}

/// A directory or file of the host, and what may be done below it.
#[derive(Debug)]
pub struct Root {
    /// The directory (or, for the bind mount of a file, the file), opened with `O_PATH` or better.
    pub fd: OwnedFd,
    /// What may be done.
    pub policy: Policy,
}

/// What a client may do below a root.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Nothing may be changed.
    pub read_only: bool,
    /// Sockets of the host may be connected to.
    pub sockets: bool,
    /// Fifos of the host may be opened.
    pub fifos: bool,
    /// Devices of the host may be opened.
    pub devices: bool,
}

/// Bounds on what a client can make the gofer hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Files it knows (a few hundred bytes each).
    pub nodes: u32,
    /// Of those, files it keeps open. Others are found again through their parents when needed.
    pub open_nodes: u32,
    /// Directories open for reading.
    pub directories: u32,
    /// Connections, each a thread.
    pub connections: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { nodes: 1 << 18, open_nodes: 8192, directories: 1024, connections: 64 }
    }
}

/// Whether a gofer that cannot lock itself away serves all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confinement {
    /// It does not start.
    Required,
    /// It does without what needs privileges (leaving the host's tree), for callers that have none.
    IfPermitted,
}

impl Root {
    /// Opens what is at `path` on the host, for the parent.
    ///
    /// Where the caller may mount, the root is a private copy of the mounts there: above it there is nothing to
    /// escape to, and a read-only root is read-only to the host kernel. Elsewhere it is the place itself.
    /// The caller resolves `path` itself, links and all, and trusts it.
    pub fn open(path: &Path, policy: Policy) -> io::Result<Root> {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let fd = match rustix::mount::open_tree(CWD, path, flags) {
            Ok(tree) => {
                if policy.read_only {
                    match host::mount::set_read_only(tree.as_fd()) {
                        // Before Linux 5.12 it is only the gofer that refuses changes.
                        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
                        result => result?,
                    }
                }
                tree
            }
            // Not privileged; or (EINVAL) the mount is another namespace's, which may not be copied.
            Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {
                rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Root { fd, policy })
    }
}

/// Most roots: far over what container configurations have.
const MAX_ROOTS: u16 = 1024;
/// Longest message of a configuration.
const MAX_CONFIG_MESSAGE: usize = 256;
/// What the first message begins with: both ends come from one build.
const MAGIC: u64 = u64::from_le_bytes(*b"gofer-01");

impl Config {
    /// Sends the configuration to the gofer at the other end of `socket`, for the parent.
    pub fn send(&self, socket: impl AsFd) -> Result<(), Error> {
        let mut buffer = Vec::new();
        let mut out = Writer::new(&mut buffer, MAX_CONFIG_MESSAGE);
        MAGIC.put(&mut out);
        let roots = u16::try_from(self.roots.len()).map_err(|_| Error::BadConfig)?;
        roots.put(&mut out);
        self.limits.put(&mut out);
        (self.confinement == Confinement::Required).put(&mut out);
        self.send_one(&socket, out, None)?;
        for root in &self.roots {
            let mut out = Writer::new(&mut buffer, MAX_CONFIG_MESSAGE);
            root.policy.put(&mut out);
            self.send_one(&socket, out, Some(&root.fd))?;
        }
        Ok(())
    }

    fn send_one(&self, socket: impl AsFd, out: Writer<'_>, fd: Option<&OwnedFd>) -> Result<(), Error> {
        let message = out.finish().map_err(|_| Error::BadConfig)?;
        transport::send(socket, message, fd.map(AsFd::as_fd))
            .map_err(error::io)
            .doing("send the configuration")
    }

    /// Receives what the parent [sent](Config::send).
    pub fn receive(socket: impl AsFd) -> Result<Config, Error> {
        let mut buffer = [0; MAX_CONFIG_MESSAGE];
        let (head, _) = receive_one(&socket, &mut buffer)?;
        let (roots, limits, required) = parse_head(head).map_err(|_| Error::BadConfig)?;
        let mut config = Config {
            roots: Vec::with_capacity(usize::from(roots)),
            limits,
            confinement: if required { Confinement::Required } else { Confinement::IfPermitted },
        };
        for _ in 0..roots {
            let (message, fd) = receive_one(&socket, &mut buffer)?;
            let policy = Policy::get(&mut Reader::new(message)).map_err(|_| Error::BadConfig)?;
            config.roots.push(Root { fd: fd.ok_or(Error::BadConfig)?, policy });
        }
        Ok(config)
    }
}

fn receive_one(
    socket: impl AsFd,
    buffer: &mut [u8; MAX_CONFIG_MESSAGE],
) -> Result<(&[u8], Option<OwnedFd>), Error> {
    let (len, fd) =
        transport::receive_with_fd(socket, buffer).map_err(error::io).doing("receive the configuration")?;
    Ok((buffer.get(..len).unwrap_or(&[]), fd))
}

fn parse_head(message: &[u8]) -> linux_abi::Result<(u16, Limits, bool)> {
    let mut from = Reader::new(message);
    if u64::get(&mut from)? != MAGIC {
        return Err(Errno::EPROTO);
    }
    let roots = u16::get(&mut from)?;
    if roots > MAX_ROOTS {
        return Err(Errno::E2BIG);
    }
    let head = (roots, Limits::get(&mut from)?, bool::get(&mut from)?);
    from.finish()?;
    Ok(head)
}

impl Wire<'_> for Limits {
    fn put(&self, out: &mut Writer<'_>) {
        self.nodes.put(out);
        self.open_nodes.put(out);
        self.directories.put(out);
        self.connections.put(out);
    }
    fn get(from: &mut Reader<'_>) -> linux_abi::Result<Self> {
        Ok(Limits {
            nodes: u32::get(from)?,
            open_nodes: u32::get(from)?,
            directories: u32::get(from)?,
            connections: u32::get(from)?,
        })
    }
}

impl Wire<'_> for Policy {
    fn put(&self, out: &mut Writer<'_>) {
        self.read_only.put(out);
        self.sockets.put(out);
        self.fifos.put(out);
        self.devices.put(out);
    }
    fn get(from: &mut Reader<'_>) -> linux_abi::Result<Self> {
        Ok(Policy {
            read_only: bool::get(from)?,
            sockets: bool::get(from)?,
            fifos: bool::get(from)?,
            devices: bool::get(from)?,
        })
    }
}
