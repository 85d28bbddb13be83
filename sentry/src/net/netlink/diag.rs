//! `NETLINK_SOCK_DIAG` (sock_diag(7)): what sockets there are. What `ss` asks before it reads /proc/net.

use std::net::{IpAddr, SocketAddr};

use linux_abi::{
    Errno,
    socket::{AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM},
};
use netstack::Stack;

use super::route::Request;
use crate::net::{
    socket::Socket,
    unix::{UnixNs, UnixSocket},
};

/// `SOCK_DIAG_BY_FAMILY`.
pub(super) const BY_FAMILY: u16 = 20;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const TCP_ESTABLISHED: u8 = 1;
const TCP_CLOSE: u8 = 7;
const TCP_LISTEN: u8 = 10;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_RQLEN: u16 = 4;
/// `UDIAG_SHOW_*`.
const SHOW_NAME: u32 = 1;
const SHOW_PEER: u32 = 4;
const SHOW_RQLEN: u32 = 16;

fn word(payload: &[u8], at: usize) -> Option<u32> {
    payload.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

/// Answers a dump; single sockets are not looked up.
pub(super) fn dump(request: &Request<'_>, stack: &Stack, unix: &UnixNs) -> Result<Vec<Vec<u8>>, Errno> {
    let payload = request.payload;
    let [family, protocol, ..] = payload else { return Err(Errno::EINVAL) };
    if !request.is_dump() {
        return Err(Errno::EOPNOTSUPP);
    }
    match (u16::from(*family), *protocol) {
        (family @ (AF_INET | AF_INET6), IPPROTO_TCP | IPPROTO_UDP) => {
            let states = word(payload, 4).ok_or(Errno::EINVAL)?;
            Ok(inet(request, stack, family, *protocol, states))
        }
        (AF_UNIX, _) => {
            let states = word(payload, 4).ok_or(Errno::EINVAL)?;
            let show = word(payload, 12).ok_or(Errno::EINVAL)?;
            let sockets = unix.list();
            Ok(sockets.iter().filter_map(|socket| local(request, socket, states, show)).collect())
        }
        _ => Err(Errno::ENOENT),
    }
}

/// One internet socket.
struct Row {
    local: SocketAddr,
    peer: Option<SocketAddr>,
    state: u8,
    receiving: usize,
    sending: usize,
    inode: u64,
    uid: u32,
}

fn inet(request: &Request<'_>, stack: &Stack, family: u16, protocol: u8, states: u32) -> Vec<Vec<u8>> {
    let rows: Vec<Row> = if protocol == IPPROTO_TCP {
        let row = |row: netstack::tcp::TcpRow| Row {
            local: row.local,
            peer: row.peer,
            state: row.state as u8,
            receiving: row.receiving,
            sending: row.sending,
            inode: row.inode,
            uid: row.uid,
        };
        stack.tcp_rows().into_iter().map(row).collect()
    } else {
        let row = |row: netstack::udp::UdpRow| Row {
            local: row.local,
            peer: row.peer,
            state: if row.peer.is_some() { TCP_ESTABLISHED } else { TCP_CLOSE },
            receiving: row.receiving,
            sending: 0,
            inode: row.inode,
            uid: row.uid,
        };
        stack.udp_rows().into_iter().map(row).collect()
    };
    rows.iter()
        .filter(|row| row.local.is_ipv6() == (family == AF_INET6) && states & 1 << row.state != 0)
        .map(|row| inet_message(request, family, row))
        .collect()
}

/// `struct inet_diag_msg`.
fn inet_message(request: &Request<'_>, family: u16, row: &Row) -> Vec<u8> {
    let peer = row.peer;
    let address = |ip: Option<IpAddr>| {
        let mut bytes = [0; 16];
        match ip {
            Some(IpAddr::V4(ip)) => bytes[..4].copy_from_slice(&ip.octets()),
            Some(IpAddr::V6(ip)) => bytes = ip.octets(),
            None => {}
        }
        bytes
    };
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes();
    let mut body = vec![u8::try_from(family).unwrap_or(0), row.state, 0, 0];
    body.extend(row.local.port().to_be_bytes());
    body.extend(peer.map_or(0, |peer| peer.port()).to_be_bytes());
    body.extend(address(Some(row.local.ip())));
    body.extend(address(peer.map(|peer| peer.ip())));
    // Interface, cookie, expiry.
    body.extend([0; 4]);
    body.extend(row.inode.to_ne_bytes());
    body.extend([0; 4]);
    body.extend(number(row.receiving));
    body.extend(number(row.sending));
    body.extend(row.uid.to_ne_bytes());
    body.extend(((row.inode & 0xffff_ffff) as u32).to_ne_bytes());
    request.reply(BY_FAMILY).put(&body).finish()
}

/// `struct unix_diag_msg` and what was asked for.
fn local(request: &Request<'_>, socket: &UnixSocket, states: u32, show: u32) -> Option<Vec<u8>> {
    let base = socket.base();
    let peer = socket.peer_number();
    let state = match (socket.is_listening(), peer) {
        (true, _) => TCP_LISTEN,
        (false, Some(_)) => TCP_ESTABLISHED,
        (false, None) => TCP_CLOSE,
    };
    if states & 1 << state == 0 {
        return None;
    }
    let low = |number: u64| ((number & 0xffff_ffff) as u32).to_ne_bytes();
    let number = base.inode.number();
    let kind = u8::try_from(base.kind).unwrap_or(SOCK_STREAM as u8);
    let mut message = request
        .reply(BY_FAMILY)
        .put(&[u8::try_from(AF_UNIX).unwrap_or(0), kind, state, 0])
        .put(&low(number))
        .put(&number.to_ne_bytes());
    if show & SHOW_NAME != 0
        && let Some(name) = socket.raw_name()
    {
        message = message.attribute(UNIX_DIAG_NAME, &name);
    }
    if show & SHOW_PEER != 0
        && let Some(peer) = peer
    {
        message = message.attribute(UNIX_DIAG_PEER, &low(peer));
    }
    if show & SHOW_RQLEN != 0 {
        let queued = u32::try_from(socket.readable_bytes().unwrap_or(0)).unwrap_or(u32::MAX);
        let lengths = [queued.to_ne_bytes(), 0u32.to_ne_bytes()].concat();
        message = message.attribute(UNIX_DIAG_RQLEN, &lengths);
    }
    Some(message.finish())
}
