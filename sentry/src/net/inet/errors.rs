//! `MSG_ERRQUEUE`: errors in full (`ip_recv_error`, `ipv6_recv_error`).

use std::net::SocketAddr;

use linux_abi::{
    Result,
    inet::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6},
    socket::{AF_INET6, IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE, MSG_TRUNC, SOL_IP, SOL_IPV6},
};
use netstack::mailbox::Report;

use crate::{
    fs::io::Sink,
    net::{address::SocketAddress, control::ControlMessage, socket::Received},
};

const SO_EE_ORIGIN_ZEROCOPY: u8 = 5;
const SO_EE_CODE_ZEROCOPY_COPIED: u8 = 1;
/// Bytes of a `sockaddr_in6`, which is more than a `sockaddr_in` has.
const V6_ADDRESS: usize = 28;
const V4_ADDRESS: usize = 16;

/// `report` as a message received: the data that could not be delivered, and why as control data.
///
/// # Errors
/// `EFAULT`.
pub(super) fn received(report: &Report, domain: u16, sink: &mut dyn Sink) -> Result<Received> {
    let want = report.data.len().min(sink.remaining());
    let bytes = if want > 0 { sink.put(report.data.get(..want).unwrap_or_default())? } else { 0 };
    let mut error = report.errno.raw().to_ne_bytes().to_vec();
    error.extend([report.origin, report.kind, report.code, 0]);
    error.extend(report.info.to_ne_bytes());
    error.extend([0; 4]);
    let from_network = matches!(report.origin, SO_EE_ORIGIN_ICMP | SO_EE_ORIGIN_ICMP6);
    let v6 = domain == AF_INET6;
    let mut offender = match report.offender.filter(|_| from_network) {
        Some(ip) => SocketAddress::from_inet(SocketAddr::new(ip, 0), domain).as_bytes().to_vec(),
        None => Vec::new(),
    };
    offender.resize(if v6 { V6_ADDRESS } else { V4_ADDRESS }, 0);
    error.extend(offender);
    let (level, kind) = if v6 { (SOL_IPV6, IPV6_RECVERR) } else { (SOL_IP, IP_RECVERR) };
    Ok(Received {
        bytes,
        message: Some(report.data.len()),
        from: Some(SocketAddress::from_inet(report.to, domain)),
        control: vec![ControlMessage::Other { level, kind, data: error }],
        flags: MSG_ERRQUEUE | if want < report.data.len() { MSG_TRUNC } else { 0 },
    })
}

/// `MSG_ZEROCOPY` sends of these numbers are done; nothing here sends without copying.
pub fn zerocopy_done((first, last): (u32, u32), domain: u16) -> Received {
    let mut error = 0u32.to_ne_bytes().to_vec();
    error.extend([SO_EE_ORIGIN_ZEROCOPY, 0, SO_EE_CODE_ZEROCOPY_COPIED, 0]);
    error.extend(first.to_ne_bytes());
    error.extend(last.to_ne_bytes());
    let v6 = domain == AF_INET6;
    error.resize(error.len() + if v6 { V6_ADDRESS } else { V4_ADDRESS }, 0);
    let (level, kind) = if v6 { (SOL_IPV6, IPV6_RECVERR) } else { (SOL_IP, IP_RECVERR) };
    let control = vec![ControlMessage::Other { level, kind, data: error }];
    Received { message: Some(0), control, flags: MSG_ERRQUEUE, ..Received::default() }
}
