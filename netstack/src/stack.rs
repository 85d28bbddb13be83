//! The stack: its addresses, its routes, and the tables of its protocols.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::{
    ports::{PortRange, Ports},
    raw::RawTable,
    stream::ChunkPool,
    tcp::Tcp,
    udp::Udp,
};

/// A network stack whose only interface is the loopback.
pub struct Stack {
    pub(crate) pool: Arc<ChunkPool>,
    pub(crate) tcp: Mutex<TcpTable>,
    pub(crate) udp: Mutex<UdpTable>,
    pub(crate) raw: Mutex<RawTable>,
    /// How many raw and packet sockets there are.
    pub(crate) observers: AtomicUsize,
    port_range: AtomicU32,
    random: AtomicU64,
    next_id: AtomicU64,
}

#[derive(Default)]
pub(crate) struct TcpTable {
    pub(crate) ports: Ports<Tcp>,
    /// Local and remote end of every connection.
    pub(crate) connections: HashSet<(SocketAddr, SocketAddr)>,
    pub(crate) all: Vec<Weak<Tcp>>,
}

#[derive(Default)]
pub(crate) struct UdpTable {
    pub(crate) ports: Ports<Udp>,
    pub(crate) all: Vec<Weak<Udp>>,
}

/// Adds to a list of weak references, dropping dead ones now and then.
pub(crate) fn remember<T>(list: &mut Vec<Weak<T>>, item: &Arc<T>) {
    if list.len() >= 64 && list.len().is_power_of_two() {
        list.retain(|item| item.strong_count() > 0);
    }
    list.push(Arc::downgrade(item));
}

/// What kind of destination an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One of the stack's own addresses.
    Local,
    /// The loopback network's broadcast address.
    Broadcast,
    /// A group.
    Multicast,
    /// Nowhere this stack can reach.
    Unreachable,
}

impl Stack {
    /// A stack that derives ports from `seed`.
    pub fn new(seed: u64) -> Arc<Stack> {
        Arc::new(Stack {
            pool: Arc::default(),
            tcp: Mutex::default(),
            udp: Mutex::default(),
            raw: Mutex::default(),
            observers: AtomicUsize::new(0),
            port_range: AtomicU32::new(32768 << 16 | 60999),
            random: AtomicU64::new(seed | 1),
            next_id: AtomicU64::new(1),
        })
    }

    /// The chunks its streams share.
    pub fn pool(&self) -> &Arc<ChunkPool> {
        &self.pool
    }

    /// `net.ipv4.ip_local_port_range`.
    pub fn port_range(&self) -> PortRange {
        let both = self.port_range.load(Ordering::Relaxed);
        PortRange { low: (both >> 16) as u16, high: (both & 0xffff) as u16 }
    }

    /// Sets `net.ipv4.ip_local_port_range`.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn set_port_range(&self, low: u16, high: u16) -> Result<()> {
        if low == 0 || low > high {
            return Err(Errno::EINVAL);
        }
        self.port_range.store(u32::from(low) << 16 | u32::from(high), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A pseudo-random number (splitmix64): good enough to spread ports, not to keep secrets.
    pub(crate) fn random(&self) -> u32 {
        let mut x = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x >> 32) as u32
    }

    /// What kind of destination `ip` is.
    pub fn route(&self, ip: IpAddr) -> Route {
        match ip {
            IpAddr::V4(v4) if v4 == Ipv4Addr::new(127, 255, 255, 255) => Route::Broadcast,
            IpAddr::V4(v4) if v4.is_loopback() => Route::Local,
            IpAddr::V4(v4) if v4.is_multicast() => Route::Multicast,
            IpAddr::V6(v6) if v6 == Ipv6Addr::LOCALHOST => Route::Local,
            IpAddr::V6(v6) if v6.is_multicast() => Route::Multicast,
            _ => Route::Unreachable,
        }
    }

    /// Whether a socket may be bound to `ip`.
    pub fn is_bindable(&self, ip: IpAddr) -> bool {
        ip.is_unspecified() || self.route(ip) != Route::Unreachable
    }

    /// The destination that `ip` means: an unspecified address is this host.
    pub fn destination(ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            other => other,
        }
    }

    /// The address that packets to `to` come from.
    ///
    /// # Errors
    /// `ENETUNREACH`.
    pub fn source_for(&self, to: IpAddr) -> Result<IpAddr> {
        match (self.route(to), to) {
            (Route::Unreachable, _) => Err(Errno::ENETUNREACH),
            (_, IpAddr::V4(_)) => Ok(Ipv4Addr::LOCALHOST.into()),
            (_, IpAddr::V6(_)) => Ok(Ipv6Addr::LOCALHOST.into()),
        }
    }
}

/// A number that is the same for all packets of a flow, to choose among sockets that share a port.
pub(crate) fn flow_hash(from: SocketAddr, to: SocketAddr) -> u32 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (from, to).hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}
