//! Sockets.
//!
//! * `socket.rs`: what every socket can do. `base.rs`: the state and options every socket has. `file.rs`: a socket as an open
//!   file. `address.rs`, `control.rs`: what guests pass along. `inode.rs`: what fstat(2) shows.
//! * `unix/`: AF_UNIX.
//!
//! [`NetNs`] is the network namespace; a sandbox has one.

pub mod address;
pub mod base;
pub mod control;
pub mod file;
pub mod inode;
pub mod ioctl;
pub mod socket;
pub mod unix;

use std::sync::Arc;

use linux_abi::{Errno, Result, socket as abi};
use netstack::stream::ChunkPool;

use self::{
    inode::SockFs,
    socket::{Caller, Socket},
    unix::UnixNs,
};

/// What the sockets of a sandbox share (network_namespaces(7)).
pub struct NetNs {
    /// Where sockets have their inodes.
    pub sockfs: Arc<SockFs>,
    /// Unix sockets.
    pub unix: Arc<UnixNs>,
}

impl Default for NetNs {
    fn default() -> NetNs {
        let sockfs = Arc::<SockFs>::default();
        let pool = Arc::<ChunkPool>::default();
        NetNs { unix: UnixNs::new(Arc::clone(&sockfs), pool), sockfs }
    }
}

impl NetNs {
    /// socket(2), without its flags.
    ///
    /// # Errors
    /// `EAFNOSUPPORT`, `EINVAL`, and those of the family.
    pub fn socket(&self, caller: Caller<'_>, domain: i32, kind: i32, protocol: i32) -> Result<Arc<dyn Socket>> {
        if !(0..abi::AF_MAX).contains(&domain) {
            return Err(Errno::EAFNOSUPPORT);
        }
        if !(0..abi::SOCK_MAX).contains(&kind) {
            return Err(Errno::EINVAL);
        }
        match u16::try_from(domain).unwrap_or(abi::AF_UNSPEC) {
            abi::AF_UNIX => Ok(self.unix.socket(caller, kind, protocol)?),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// socketpair(2), without its flags.
    ///
    /// # Errors
    /// As [`NetNs::socket`]; `EOPNOTSUPP` for families without pairs.
    pub fn pair(&self, caller: Caller<'_>, domain: i32, kind: i32, protocol: i32) -> Result<[Arc<dyn Socket>; 2]> {
        if domain == i32::from(abi::AF_UNIX) && (0..abi::SOCK_MAX).contains(&kind) {
            let [one, other] = self.unix.pair(caller, kind, protocol)?;
            return Ok([one, other]);
        }
        self.socket(caller, domain, kind, protocol)?.close();
        Err(Errno::EOPNOTSUPP)
    }
}
