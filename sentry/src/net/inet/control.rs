//! Control messages of IP sockets (ip(7), ipv6(7)).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{SystemTime, UNIX_EPOCH},
};

use linux_abi::{
    Errno, Result,
    socket::{
        AF_INET, AF_INET6, IP_PKTINFO, IP_RECVORIGDSTADDR, IP_RECVTOS, IP_RECVTTL, IP_TOS, IP_TTL,
        IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVPKTINFO, IPV6_RECVTCLASS, IPV6_TCLASS,
        SO_TIMESTAMP_OLD, SO_TIMESTAMPNS_OLD, SOL_IP, SOL_IPV6, SOL_SOCKET,
    },
};
use netstack::udp::{Datagram, UdpSend};

use super::options::{InetOptions, decode_int};
use crate::net::{
    address::{SocketAddress, unmapped},
    base::Flags,
    control::ControlMessage,
};

/// The loopback's interface index.
const LO: i32 = 1;

/// Applies what control messages say to a datagram to be sent (`ip_cmsg_send`, `ip6_datagram_send_ctl`).
///
/// # Errors
/// `EINVAL`.
pub(super) fn apply(control: &[ControlMessage], domain: u16, how: &mut UdpSend) -> Result<()> {
    for message in control {
        let ControlMessage::Other { level, kind, data } = message else { continue };
        match (*level, *kind) {
            (SOL_IP, IP_PKTINFO) => {
                let [_, source, _] = data.as_chunks::<4>().0 else { return Err(Errno::EINVAL) };
                let source = Ipv4Addr::from(*source);
                how.source = (!source.is_unspecified()).then_some(source.into());
            }
            (SOL_IP, IP_TTL) => how.ttl = byte_in(data, 1)?,
            (SOL_IP, IP_TOS) => {
                let tos = match data.as_slice() {
                    [tos] => *tos,
                    _ => byte_in(data, 0)?,
                };
                how.tos = tos;
            }
            (SOL_IPV6, IPV6_PKTINFO) if domain == AF_INET6 => {
                let source = data.first_chunk::<16>().filter(|_| data.len() >= 20).ok_or(Errno::EINVAL)?;
                let source = unmapped(Ipv6Addr::from(*source).into());
                how.source = (!source.is_unspecified()).then_some(source);
            }
            // Minus one asks for what the socket would use anyway.
            (SOL_IPV6, IPV6_HOPLIMIT | IPV6_TCLASS) if domain == AF_INET6 && decode_int(data)? == -1 => {}
            (SOL_IPV6, IPV6_HOPLIMIT) if domain == AF_INET6 => how.ttl = byte_in(data, 0)?,
            (SOL_IPV6, IPV6_TCLASS) if domain == AF_INET6 => how.tos = byte_in(data, 0)?,
            (SOL_IP | SOL_IPV6, _) => return Err(Errno::EINVAL),
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            _ => {}
        }
    }
    Ok(())
}

fn byte_in(data: &[u8], min: i32) -> Result<u8> {
    let number = decode_int(data)?;
    u8::try_from(number).ok().filter(|_| number >= min).ok_or(Errno::EINVAL)
}

/// The control messages that come with a datagram received.
pub(super) fn received(
    datagram: &Datagram,
    domain: u16,
    flags: Flags,
    options: &InetOptions,
) -> Vec<ControlMessage> {
    let mut messages = Vec::new();
    let mut push = |level, kind, data: &[u8]| {
        messages.push(ControlMessage::Other { level, kind, data: data.to_vec() });
    };
    if flags.intersects(Flags::TIMESTAMP | Flags::TIMESTAMPNS) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = flags.contains(Flags::TIMESTAMPNS);
        let fraction = if nanos { now.subsec_nanos() } else { now.subsec_micros() };
        let words = [now.as_secs().to_ne_bytes(), u64::from(fraction).to_ne_bytes()].concat();
        push(SOL_SOCKET, if nanos { SO_TIMESTAMPNS_OLD } else { SO_TIMESTAMP_OLD }, &words);
    }
    let on = |level, name| options.get(level, name) != 0;
    let to = datagram.to.ip();
    if let IpAddr::V4(to) = to {
        if on(SOL_IP, IP_PKTINFO) {
            let info = [LO.to_ne_bytes(), to.octets(), to.octets()].concat();
            push(SOL_IP, IP_PKTINFO, &info);
        }
        if on(SOL_IP, IP_RECVTTL) {
            push(SOL_IP, IP_TTL, &i32::from(datagram.ttl).to_ne_bytes());
        }
        if on(SOL_IP, IP_RECVTOS) {
            push(SOL_IP, IP_TOS, &[datagram.tos]);
        }
        if on(SOL_IP, IP_RECVORIGDSTADDR) {
            let address = SocketAddress::from_inet(SocketAddr::new(to.into(), datagram.to.port()), AF_INET);
            push(SOL_IP, IP_RECVORIGDSTADDR, address.as_bytes());
        }
    }
    if domain == AF_INET6 {
        let to = match to {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        if on(SOL_IPV6, IPV6_RECVPKTINFO) {
            let mut info = to.octets().to_vec();
            info.extend_from_slice(&LO.to_ne_bytes());
            push(SOL_IPV6, IPV6_PKTINFO, &info);
        }
        if on(SOL_IPV6, IPV6_RECVHOPLIMIT) {
            push(SOL_IPV6, IPV6_HOPLIMIT, &i32::from(datagram.ttl).to_ne_bytes());
        }
        if on(SOL_IPV6, IPV6_RECVTCLASS) {
            push(SOL_IPV6, IPV6_TCLASS, &i32::from(datagram.tos).to_ne_bytes());
        }
    }
    messages
}
