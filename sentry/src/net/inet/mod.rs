//! AF_INET and AF_INET6: thin adapters over the `netstack` crate.
//!
//! * `options.rs`: options of the levels below the socket. `tcp.rs`, `udp.rs`, `raw.rs`: the sockets. `control.rs`,
//!   `errors.rs`: control messages.
//!
//! Addresses are unmapped on the way in (`::ffff:1.2.3.4` is `1.2.3.4`) and mapped on the way out of AF_INET6 sockets.

pub mod control;
pub mod errors;
pub mod options;
pub mod raw;
pub mod tcp;
pub mod udp;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use linux_abi::{
    Errno, Result,
    socket::{AF_INET, AF_INET6, AF_UNSPEC, IPV6_V6ONLY, SOL_IPV6},
};
use netstack::{Notify, Ready, tcp::BindWish};

use self::options::InetOptions;
use super::{
    address::{decode_v4, decode_v6, family, unmapped},
    base::{Flags, SocketBase},
    socket::Caller,
};
use crate::{
    credentials::Caps,
    wait::{Events, WaitQueue},
};

/// Ports below this need `CAP_NET_BIND_SERVICE` (`net.ipv4.ip_unprivileged_port_start`).
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

impl Notify for WaitQueue {
    fn notify(&self, ready: Ready) {
        self.wake(Events::from_bits_truncate(ready.0));
    }
}

/// The queue of a socket, as the stack tells it of changes.
pub(super) fn notifier(base: &SocketBase) -> Arc<dyn Notify> {
    Arc::new(base.queue.clone())
}

/// What a guest named as a destination.
enum Destination {
    /// `AF_UNSPEC`: none any more.
    Nobody,
    At(SocketAddr),
}

fn any(domain: u16) -> SocketAddr {
    let ip: IpAddr =
        if domain == AF_INET6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}

fn is_v6only(options: &InetOptions) -> bool {
    options.get(SOL_IPV6, IPV6_V6ONLY) != 0
}

/// Decodes an address to connect or send to.
fn decode_destination(base: &SocketBase, options: &InetOptions, bytes: &[u8]) -> Result<Destination> {
    let family = family(bytes).ok_or(Errno::EINVAL)?;
    let address = match (base.domain, family) {
        (_, AF_UNSPEC) => return Ok(Destination::Nobody),
        (AF_INET, AF_INET) => decode_v4(bytes)?,
        (AF_INET6, AF_INET6) => decode_v6(bytes)?,
        // Datagram sockets of AF_INET6 take v4 addresses too.
        (AF_INET6, AF_INET) if base.kind != linux_abi::socket::SOCK_STREAM => {
            if is_v6only(options) {
                return Err(Errno::ENETUNREACH);
            }
            decode_v4(bytes)?
        }
        (AF_INET, _) if bytes.len() < 16 => return Err(Errno::EINVAL),
        (AF_INET6, _) if bytes.len() < 24 => return Err(Errno::EINVAL),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let ip = unmapped(address.ip());
    if ip.is_ipv4() && base.domain == AF_INET6 && is_v6only(options) {
        return Err(Errno::ENETUNREACH);
    }
    Ok(Destination::At(SocketAddr::new(ip, address.port())))
}

/// Decodes an address to bind to, and checks that the caller may have its port.
fn decode_bind(
    caller: Caller<'_>,
    base: &SocketBase,
    options: &InetOptions,
    bytes: &[u8],
) -> Result<BindWish> {
    let address = if base.domain == AF_INET6 {
        let address = decode_v6(bytes)?;
        if family(bytes) != Some(AF_INET6) {
            return Err(Errno::EAFNOSUPPORT);
        }
        address
    } else {
        let address = decode_v4(bytes)?;
        // For compatibility, AF_UNSPEC with INADDR_ANY is AF_INET (inet_bind).
        let compatible = family(bytes) == Some(AF_UNSPEC) && address.ip().is_unspecified();
        if family(bytes) != Some(AF_INET) && !compatible {
            return Err(Errno::EAFNOSUPPORT);
        }
        address
    };
    let ip = unmapped(address.ip());
    if ip != address.ip() && is_v6only(options) {
        return Err(Errno::EINVAL);
    }
    let port = address.port();
    if (1..FIRST_UNPRIVILEGED_PORT).contains(&port) && !caller.creds().capable(Caps::NET_BIND_SERVICE) {
        return Err(Errno::EACCES);
    }
    Ok(wish(base, options, SocketAddr::new(ip, port)))
}

/// A wish to be bound to `addr`, with the options as they are.
fn wish(base: &SocketBase, options: &InetOptions, addr: SocketAddr) -> BindWish {
    let flags = base.flags();
    BindWish {
        addr,
        v6only: is_v6only(options),
        reuse: flags.contains(Flags::REUSEADDR),
        reuseport: flags.contains(Flags::REUSEPORT),
        uid: base.inode.uid(),
        free: options.is_freebind(),
        now: std::time::Instant::now(),
    }
}
