//! Socket addresses as bytes (`struct sockaddr`), and the inet ones decoded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use linux_abi::{
    Errno, Result,
    socket::{AF_INET, AF_INET6, SOCKADDR_STORAGE},
};

/// An address to be given to a guest: its family and the rest, as it lies in memory.
#[derive(Clone, Copy)]
pub struct SocketAddress {
    bytes: [u8; SOCKADDR_STORAGE],
    len: usize,
}

impl SocketAddress {
    /// An address made of these bytes; what is beyond [`SOCKADDR_STORAGE`] is cut off.
    pub fn new(bytes: &[u8]) -> SocketAddress {
        let mut address =
            SocketAddress { bytes: [0; SOCKADDR_STORAGE], len: bytes.len().min(SOCKADDR_STORAGE) };
        for (to, from) in address.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        address
    }

    /// The bytes, of the address's true length.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// An inet address for a socket of `family`: v4 addresses are mapped for `AF_INET6`.
    pub fn from_inet(address: SocketAddr, family: u16) -> SocketAddress {
        if family == AF_INET6 {
            let (ip, flow, scope) = match address {
                SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0, 0),
                SocketAddr::V6(v6) => (*v6.ip(), v6.flowinfo(), v6.scope_id()),
            };
            let mut bytes = [0; 28];
            bytes[..2].copy_from_slice(&AF_INET6.to_ne_bytes());
            bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
            bytes[4..8].copy_from_slice(&flow.to_be_bytes());
            bytes[8..24].copy_from_slice(&ip.octets());
            bytes[24..28].copy_from_slice(&scope.to_ne_bytes());
            SocketAddress::new(&bytes)
        } else {
            let ip = match unmapped(address.ip()) {
                IpAddr::V4(ip) => ip,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            };
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&AF_INET.to_ne_bytes());
            bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
            bytes[4..8].copy_from_slice(&ip.octets());
            SocketAddress::new(&bytes)
        }
    }
}

impl std::fmt::Debug for SocketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", self.as_bytes())
    }
}

/// A mapped v4 address as what it is.
pub fn unmapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// `sa_family`, if the address is long enough to have one.
pub fn family(address: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes([*address.first()?, *address.get(1)?]))
}

fn word<const N: usize>(address: &[u8], at: usize) -> Option<[u8; N]> {
    address.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A `struct sockaddr_in`, whatever its family says.
pub fn decode_v4(address: &[u8]) -> Result<SocketAddr> {
    if address.len() < 16 {
        return Err(Errno::EINVAL);
    }
    let port = u16::from_be_bytes(word(address, 2).ok_or(Errno::EINVAL)?);
    let ip: [u8; 4] = word(address, 4).ok_or(Errno::EINVAL)?;
    Ok(SocketAddr::new(Ipv4Addr::from(ip).into(), port))
}

/// A `struct sockaddr_in6`, whatever its family says; without the scope (24 bytes) it is RFC 2133's, still accepted.
pub fn decode_v6(address: &[u8]) -> Result<SocketAddr> {
    if address.len() < 24 {
        return Err(Errno::EINVAL);
    }
    let port = u16::from_be_bytes(word(address, 2).ok_or(Errno::EINVAL)?);
    let flow = u32::from_be_bytes(word(address, 4).ok_or(Errno::EINVAL)?);
    let ip: [u8; 16] = word(address, 8).ok_or(Errno::EINVAL)?;
    let scope = word(address, 24).map_or(0, u32::from_ne_bytes);
    Ok(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
}
