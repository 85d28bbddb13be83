//! Sockets.
//!
//! * `socket.rs`: what every socket can do. `base.rs`: the state and options every socket has. `file.rs`: a socket as an open
//!   file. `address.rs`, `control.rs`: what guests pass along. `inode.rs`: what fstat(2) shows.
//! * `unix/`: AF_UNIX. `inet/`: AF_INET and AF_INET6, over the `netstack` crate. `packet.rs`: AF_PACKET. `netlink/`, `interface.rs`: what
//!   interfaces there are. `proc.rs`: /proc/net.
//!
//! [`NetNs`] is the network namespace; a sandbox has one.

pub mod address;
pub mod base;
pub mod control;
pub mod file;
pub mod inet;
pub mod inode;
pub mod interface;
pub mod ioctl;
pub mod netlink;
pub mod packet;
pub mod proc;
pub mod socket;
pub mod unix;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use linux_abi::{Errno, Result, socket as abi};
use netstack::{Stack, raw::RawKind};
use parking_lot::Mutex;

use self::{
    base::SocketBase,
    inet::{raw::RawSocket, tcp::TcpSocket, udp::UdpSocket},
    inode::SockFs,
    netlink::{NetlinkPorts, NetlinkSocket, Subjects},
    packet::PacketSocket,
    socket::{Caller, Socket},
    unix::UnixNs,
};
use crate::credentials::{Caps, Credentials};

/// What the sockets of a sandbox share (network_namespaces(7)).
pub struct NetNs {
    /// Where sockets have their inodes.
    pub sockfs: Arc<SockFs>,
    /// Unix sockets.
    pub unix: Arc<UnixNs>,
    /// TCP and UDP.
    pub stack: Arc<Stack>,
    netlink: Arc<NetlinkPorts>,
    /// First and last group whose members may have ping sockets (`net.ipv4.ping_group_range`); nobody's by default.
    pub ping_groups: Mutex<(u32, u32)>,
}

impl Default for NetNs {
    fn default() -> NetNs {
        let sockfs = Arc::<SockFs>::default();
        // Ports need not be secret from the guests, who share them: the clock is seed enough.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stack = Stack::new(u64::from(now.subsec_nanos()) << 32 | now.as_secs());
        NetNs {
            unix: UnixNs::new(Arc::clone(&sockfs), Arc::clone(stack.pool())),
            sockfs,
            stack,
            netlink: Arc::default(),
            ping_groups: Mutex::new((1, 0)),
        }
    }
}

impl NetNs {
    /// For a sandbox with that many bytes of memory: a sixteenth of it is much for all socket buffers together.
    pub fn with_memory(memory: u64) -> NetNs {
        let net = NetNs::default();
        let share = usize::try_from(memory / 16).unwrap_or(usize::MAX);
        net.stack.pool().set_pressure(share.clamp(4 << 20, 256 << 20));
        net
    }

    /// socket(2), without its flags.
    ///
    /// # Errors
    /// `EAFNOSUPPORT`, `EINVAL`, and those of the family.
    pub fn socket(
        &self,
        caller: Caller<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> Result<Arc<dyn Socket>> {
        if !(0..abi::AF_MAX).contains(&domain) {
            return Err(Errno::EAFNOSUPPORT);
        }
        if !(0..abi::SOCK_MAX).contains(&kind) {
            return Err(Errno::EINVAL);
        }
        match u16::try_from(domain).unwrap_or(abi::AF_UNSPEC) {
            abi::AF_UNIX => Ok(self.unix.socket(caller, kind, protocol)?),
            family @ (abi::AF_INET | abi::AF_INET6) => self.inet_socket(caller, family, kind, protocol),
            abi::AF_NETLINK => self.netlink_socket(caller, kind, protocol),
            abi::AF_PACKET => self.packet_socket(caller, kind, protocol),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    fn packet_socket(&self, caller: Caller<'_>, kind: i32, protocol: i32) -> Result<Arc<dyn Socket>> {
        let creds = caller.creds();
        if !creds.capable(Caps::NET_RAW) {
            return Err(Errno::EPERM);
        }
        if !matches!(kind, abi::SOCK_RAW | abi::SOCK_DGRAM) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        let inode = self.sockfs.new_inode(creds.fsuid, creds.fsgid);
        Ok(PacketSocket::new(&self.stack, SocketBase::new(abi::AF_PACKET, kind, protocol, inode)))
    }

    /// Whether one of the caller's groups may have ping sockets (`ping_init_sock`).
    fn may_ping(&self, creds: &Credentials) -> bool {
        let (low, high) = *self.ping_groups.lock();
        let allowed = |gid: u32| (low..=high).contains(&gid);
        allowed(creds.egid) || creds.groups.iter().any(|gid| allowed(*gid))
    }

    fn netlink_socket(&self, caller: Caller<'_>, kind: i32, protocol: i32) -> Result<Arc<dyn Socket>> {
        if !matches!(kind, abi::SOCK_RAW | abi::SOCK_DGRAM) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        let creds = caller.creds();
        let inode = self.sockfs.new_inode(creds.fsuid, creds.fsgid);
        let base = SocketBase::new(abi::AF_NETLINK, kind, protocol, inode);
        let subjects = Subjects { stack: Arc::clone(&self.stack), unix: Arc::clone(&self.unix) };
        Ok(NetlinkSocket::new(base, &self.netlink, subjects)?)
    }

    /// `inet_create`, `inet6_create`.
    fn inet_socket(
        &self,
        caller: Caller<'_>,
        family: u16,
        kind: i32,
        protocol: i32,
    ) -> Result<Arc<dyn Socket>> {
        if !(0..=abi::IPPROTO_MPTCP).contains(&protocol) {
            return Err(Errno::EINVAL);
        }
        let creds = caller.creds();
        let base = |protocol| {
            SocketBase::new(family, kind, protocol, self.sockfs.new_inode(creds.fsuid, creds.fsgid))
        };
        let ping = if family == abi::AF_INET { abi::IPPROTO_ICMP } else { abi::IPPROTO_ICMPV6 };
        match (kind, protocol) {
            (abi::SOCK_STREAM, abi::IPPROTO_IP | abi::IPPROTO_TCP) => {
                Ok(TcpSocket::new(&self.stack, base(abi::IPPROTO_TCP), Arc::clone(&self.sockfs)))
            }
            (abi::SOCK_DGRAM, abi::IPPROTO_IP | abi::IPPROTO_UDP) => {
                Ok(UdpSocket::new(&self.stack, base(abi::IPPROTO_UDP)))
            }
            (abi::SOCK_DGRAM, protocol) if protocol == ping => {
                if self.may_ping(&creds) {
                    Ok(RawSocket::new(&self.stack, base(protocol), RawKind::Ping))
                } else {
                    Err(Errno::EACCES)
                }
            }
            (abi::SOCK_RAW, abi::IPPROTO_IP) => Err(Errno::EPROTONOSUPPORT),
            (abi::SOCK_RAW, _) if !creds.capable(Caps::NET_RAW) => Err(Errno::EPERM),
            (abi::SOCK_RAW, protocol) => {
                let number = u8::try_from(protocol).map_err(|_| Errno::EPROTONOSUPPORT)?;
                Ok(RawSocket::new(&self.stack, base(protocol), RawKind::Raw(number)))
            }
            (abi::SOCK_STREAM | abi::SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    /// socketpair(2), without its flags.
    ///
    /// # Errors
    /// As [`NetNs::socket`]; `EOPNOTSUPP` for families without pairs.
    pub fn pair(
        &self,
        caller: Caller<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> Result<[Arc<dyn Socket>; 2]> {
        if domain == i32::from(abi::AF_UNIX) && (0..abi::SOCK_MAX).contains(&kind) {
            let [one, other] = self.unix.pair(caller, kind, protocol)?;
            return Ok([one, other]);
        }
        self.socket(caller, domain, kind, protocol)?.close();
        Err(Errno::EOPNOTSUPP)
    }
}
