//! Raw sockets (raw(7)) and ping sockets (icmp(7)), and the packets they exchange with the stack.
//!
//! [`Stack::transmit`] is the way of a packet over the loopback: to packet sockets, to raw sockets, and to the protocol it is
//! for. ICMP echo is answered here. TCP segments of raw sockets reach nobody: connections have none.
//!
//! Locks: `Stack::raw` before `Raw::state`; mailboxes last.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::{
    mailbox::{Mailbox, Report},
    notify::Ready,
    packet::{Head, ICMP, ICMPV6, Packet, TCP, UDP, V4_HEADER, checksum, put16, transport_checksum},
    stack::{Route, Stack, remember},
    tap::Tap,
    udp::{Datagram, Udp},
};

/// ICMP types.
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;
const V6_UNREACHABLE: u8 = 1;
const V6_ECHO: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;
/// ICMP codes of [`UNREACHABLE`] and [`V6_UNREACHABLE`].
const PROTOCOL_UNREACHABLE: u8 = 2;
const PORT_UNREACHABLE: u8 = 3;
const V6_PORT_UNREACHABLE: u8 = 4;
/// Sends whole packets, receives none (`IPPROTO_RAW`).
const IPPROTO_RAW: u8 = 255;
/// How much of a packet an ICMP error repeats.
const QUOTED: usize = 548;
const HOP_LIMIT: u8 = 64;

/// What raw, ping and packet sockets there are.
#[derive(Default)]
pub(crate) struct RawTable {
    all: Vec<Weak<Raw>>,
    /// Ping sockets by family and identifier; the last one gets the answers.
    pings: HashMap<(bool, u16), Vec<Weak<Raw>>>,
    pub(crate) taps: Vec<Weak<Tap>>,
}

/// What kind of socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawKind {
    /// Everything of one protocol.
    Raw(u8),
    /// Answers to its own ICMP echo requests.
    Ping,
}

#[derive(Default)]
struct State {
    bound: Option<IpAddr>,
    /// The identifier of a ping socket.
    ident: Option<u16>,
    peer: Option<SocketAddr>,
    no_receive: bool,
    no_send: bool,
    groups: Vec<IpAddr>,
}

/// A raw or ping endpoint.
pub struct Raw {
    stack: Arc<Stack>,
    me: Weak<Raw>,
    pub kind: RawKind,
    v6: bool,
    state: Mutex<State>,
    pub mailbox: Mailbox<Datagram>,
    /// ICMP types not wanted: `ICMP_FILTER` has a bit for each of 32, `ICMP6_FILTER` for each of 256.
    icmp_filter: [AtomicU32; 8],
    owner: AtomicU64,
}

/// How to send.
#[derive(Clone, Copy, Debug)]
pub struct RawSend {
    pub to: SocketAddr,
    pub source: Option<IpAddr>,
    pub ttl: u8,
    pub tos: u8,
    /// The data has an IP header (`IP_HDRINCL`).
    pub with_header: bool,
    /// `SO_BROADCAST`.
    pub broadcast: bool,
    pub multicast_out: bool,
    /// Where in the data a checksum goes (`IPV6_CHECKSUM`).
    pub checksum_at: Option<usize>,
}

/// A line of /proc/net/raw.
#[derive(Clone, Copy, Debug)]
pub struct RawRow {
    pub local: Option<IpAddr>,
    pub peer: Option<SocketAddr>,
    pub v6: bool,
    pub protocol: u8,
    pub ping: bool,
    /// The identifier of a ping socket.
    pub ident: u16,
    pub receiving: usize,
    pub owner: u64,
    pub drops: usize,
}

impl Stack {
    /// A new raw or ping endpoint; `owner` is its inode's number.
    pub fn raw(self: &Arc<Self>, kind: RawKind, v6: bool, owner: u64) -> Arc<Raw> {
        let raw = Arc::new_cyclic(|me| Raw {
            stack: Arc::clone(self),
            me: Weak::clone(me),
            kind,
            v6,
            state: Mutex::default(),
            mailbox: Mailbox::new(self.pool()),
            icmp_filter: Default::default(),
            owner: AtomicU64::new(owner),
        });
        if matches!(kind, RawKind::Raw(_)) {
            remember(&mut self.raw.lock().all, &raw);
            self.observers.fetch_add(1, Ordering::Relaxed);
        }
        raw
    }

    /// All raw and ping endpoints, for /proc/net/raw and /proc/net/icmp.
    pub fn raw_rows(&self) -> Vec<RawRow> {
        let all: Vec<Arc<Raw>> = {
            let table = self.raw.lock();
            table.all.iter().chain(table.pings.values().flatten()).filter_map(Weak::upgrade).collect()
        };
        all.iter().map(|raw| raw.row()).collect()
    }

    /// Whether packets have to be made for somebody to see.
    pub(crate) fn is_observed(&self) -> bool {
        self.observers.load(Ordering::Relaxed) > 0
    }

    /// Sends a packet over the loopback.
    pub fn transmit(self: &Arc<Self>, packet: &Packet) {
        let wanted = self.observe(packet);
        let Some(kind) = packet.payload().first().copied() else { return };
        match (packet.protocol, kind) {
            (ICMP, ECHO) if packet.from.is_ipv4() && packet.payload().len() >= 8 => {
                self.answer_echo(packet, ECHO_REPLY);
            }
            (ICMPV6, V6_ECHO) if packet.from.is_ipv6() && packet.payload().len() >= 8 => {
                self.answer_echo(packet, V6_ECHO_REPLY);
            }
            (ICMP, ECHO_REPLY) | (ICMPV6, V6_ECHO_REPLY) => self.deliver_reply(packet),
            (ICMP | ICMPV6 | TCP, _) => {}
            (UDP, _) => Udp::deliver_packet(self, packet),
            _ if !wanted && self.route(packet.to) == Route::Local && packet.from.is_ipv4() => {
                self.unreachable(packet, PROTOCOL_UNREACHABLE);
            }
            _ => {}
        }
    }

    /// Shows a packet to raw and packet sockets; whether a raw one took it.
    pub(crate) fn observe(&self, packet: &Packet) -> bool {
        self.show_taps(packet);
        let raws: Vec<Arc<Raw>> = self.raw.lock().all.iter().filter_map(Weak::upgrade).collect();
        let mut wanted = false;
        for raw in raws {
            if raw.accepts(packet) {
                wanted = true;
                raw.take(packet);
            }
        }
        wanted
    }

    /// Shows a packet to packet sockets.
    pub(crate) fn show_taps(&self, packet: &Packet) {
        let taps: Vec<Arc<Tap>> = self.raw.lock().taps.iter().filter_map(Weak::upgrade).collect();
        for tap in taps {
            tap.see(packet);
        }
    }

    fn answer_echo(self: &Arc<Self>, request: &Packet, kind: u8) {
        if self.route(request.to) == Route::Unreachable {
            return;
        }
        let from = match self.route(request.to) {
            Route::Local => request.to,
            // Broadcasts and groups are not answered (icmp_echo_ignore_broadcasts).
            _ => return,
        };
        let mut payload = request.payload().to_vec();
        if let Some(first) = payload.first_mut() {
            *first = kind;
        }
        self.send_icmp(from, request.from, payload);
    }

    fn send_icmp(self: &Arc<Self>, from: IpAddr, to: IpAddr, mut payload: Vec<u8>) {
        put16(&mut payload, 2, 0);
        let protocol = if from.is_ipv4() { ICMP } else { ICMPV6 };
        let sum = if from.is_ipv4() {
            checksum(&[&payload])
        } else {
            transport_checksum(from, to, ICMPV6, &payload)
        };
        put16(&mut payload, 2, sum);
        let id = self.random() as u16;
        let head = Head { from, to, protocol, ttl: HOP_LIMIT, tos: 0, id };
        if let Some(packet) = Packet::build(head, &payload) {
            self.transmit(&packet);
        }
    }

    /// Answers a packet nobody takes.
    pub(crate) fn unreachable(self: &Arc<Self>, packet: &Packet, code: u8) {
        let v4 = packet.from.is_ipv4();
        let kind = if v4 { UNREACHABLE } else { V6_UNREACHABLE };
        let code = if !v4 && code == PORT_UNREACHABLE { V6_PORT_UNREACHABLE } else { code };
        let quoted = packet.bytes.get(..packet.bytes.len().min(QUOTED)).unwrap_or_default();
        let payload = [&[kind, code, 0, 0, 0, 0, 0, 0], quoted].concat();
        self.send_icmp(packet.to, packet.from, payload);
    }

    /// As [`Stack::unreachable`], of a UDP port.
    pub(crate) fn port_unreachable(self: &Arc<Self>, packet: &Packet) {
        self.unreachable(packet, PORT_UNREACHABLE);
    }

    fn deliver_reply(&self, packet: &Packet) {
        let Some(ident) = packet.payload().get(4..6).and_then(|ident| ident.first_chunk()) else { return };
        let key = (packet.from.is_ipv6(), u16::from_be_bytes(*ident));
        let ping = self.raw.lock().pings.get(&key).and_then(|pings| pings.last()?.upgrade());
        if let Some(ping) = ping {
            ping.take(packet);
        }
    }
}

impl Raw {
    fn row(&self) -> RawRow {
        let state = self.state.lock();
        RawRow {
            local: state.bound,
            peer: state.peer,
            v6: self.v6,
            protocol: self.protocol(),
            ping: self.kind == RawKind::Ping,
            ident: state.ident.unwrap_or(0),
            receiving: self.mailbox.used(),
            owner: self.owner.load(Ordering::Relaxed),
            drops: self.mailbox.drops(),
        }
    }

    fn protocol(&self) -> u8 {
        match (self.kind, self.v6) {
            (RawKind::Raw(protocol), _) => protocol,
            (RawKind::Ping, false) => ICMP,
            (RawKind::Ping, true) => ICMPV6,
        }
    }

    /// Whether a raw socket gets this packet (`raw_v4_match`, `icmp_filter`).
    fn accepts(&self, packet: &Packet) -> bool {
        let protocol = self.protocol();
        if protocol != packet.protocol || protocol == IPPROTO_RAW || self.v6 != packet.from.is_ipv6() {
            return false;
        }
        if matches!(protocol, ICMP | ICMPV6) {
            let kind = usize::from(packet.payload().first().copied().unwrap_or(0));
            let word = self.icmp_filter.get(kind / 32).map_or(0, |word| word.load(Ordering::Relaxed));
            // ICMP_FILTER only knows the first 32 types.
            if (self.v6 || kind < 32) && word & 1 << (kind % 32) != 0 {
                return false;
            }
        }
        let state = self.state.lock();
        let group = packet.to.is_multicast();
        state.bound.is_none_or(|bound| bound == packet.to || group)
            && state.peer.is_none_or(|peer| peer.ip() == packet.from)
            && (!group || !self.v6 || state.groups.contains(&packet.to))
    }

    fn take(&self, packet: &Packet) {
        // v4 raw sockets see headers, the others do not.
        let whole = !self.v6 && self.kind != RawKind::Ping;
        let data = if whole { &packet.bytes } else { packet.payload() };
        let kept = match self.mailbox.filter() {
            None => data.len(),
            Some(filter) => filter.keep(data).min(data.len()),
        };
        if kept == 0 && !data.is_empty() {
            self.mailbox.count_drop();
            return;
        }
        let ident = if self.kind == RawKind::Ping { self.state.lock().ident.unwrap_or(0) } else { 0 };
        self.mailbox.deliver(Datagram {
            from: SocketAddr::new(packet.from, 0),
            to: SocketAddr::new(packet.to, ident),
            data: data.get(..kept).unwrap_or_default().into(),
            ttl: packet.ttl,
            tos: packet.tos,
        });
    }

    /// `ICMP_FILTER` and `ICMP6_FILTER`.
    pub fn set_icmp_filter(&self, words: &[u32]) {
        for (to, from) in self.icmp_filter.iter().zip(words) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    /// As [`Raw::set_icmp_filter`] set it.
    pub fn icmp_filter(&self) -> [u32; 8] {
        std::array::from_fn(|at| self.icmp_filter.get(at).map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    /// bind(2). `free`: any address will do.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`; `EINVAL` for ping sockets that are bound.
    pub fn bind(&self, to: SocketAddr, free: bool) -> Result<()> {
        if !free && !self.stack.is_bindable(to.ip()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if self.kind == RawKind::Ping {
            self.take_ident(to.port())?;
        }
        self.state.lock().bound = Some(to.ip()).filter(|ip| !ip.is_unspecified());
        Ok(())
    }

    /// Gives a ping socket an identifier, which it may share; zero chooses a free one (`ping_get_port`).
    fn take_ident(&self, wanted: u16) -> Result<()> {
        let mut table = self.stack.raw.lock();
        let mut state = self.state.lock();
        if state.ident.is_some() {
            return Err(Errno::EINVAL);
        }
        let ident = if wanted != 0 {
            wanted
        } else {
            let free = |ident: u16| !table.pings.contains_key(&(self.v6, ident));
            let first = self.stack.random() as u16;
            let mut candidates = (0..=u16::MAX).map(|n| first.wrapping_add(n)).filter(|ident| *ident != 0);
            candidates.find(|ident| free(*ident)).ok_or(Errno::EADDRINUSE)?
        };
        table.pings.entry((self.v6, ident)).or_default().push(Weak::clone(&self.me));
        state.ident = Some(ident);
        Ok(())
    }

    /// connect(2); `None` undoes it.
    ///
    /// # Errors
    /// `ENETUNREACH`, `EACCES` for broadcasts.
    pub fn connect(&self, to: Option<SocketAddr>, broadcast: bool, multicast_out: bool) -> Result<()> {
        let Some(to) = to else {
            self.state.lock().peer = None;
            return Ok(());
        };
        let to = SocketAddr::new(Stack::destination(to.ip()), to.port());
        self.check_route(to.ip(), broadcast, multicast_out)?;
        if self.kind == RawKind::Ping && self.state.lock().ident.is_none() {
            self.take_ident(0)?;
        }
        let source = self.stack.source_for(to.ip())?;
        let mut state = self.state.lock();
        state.bound.get_or_insert(source);
        state.peer = Some(to);
        Ok(())
    }

    fn check_route(&self, ip: IpAddr, broadcast: bool, multicast_out: bool) -> Result<()> {
        match self.stack.route(ip) {
            Route::Unreachable => Err(Errno::ENETUNREACH),
            Route::Multicast if !multicast_out => Err(Errno::ENETUNREACH),
            Route::Broadcast if !broadcast => Err(Errno::EACCES),
            _ => Ok(()),
        }
    }

    /// Sends `data`.
    ///
    /// # Errors
    /// `EMSGSIZE`, `EINVAL`, `EPIPE`, `ENETUNREACH`, `EACCES`, or a pending error.
    pub fn send(&self, how: &RawSend, data: &[u8]) -> Result<()> {
        self.mailbox.take_error()?;
        if self.state.lock().no_send {
            return Err(Errno::EPIPE);
        }
        let to = Stack::destination(how.to.ip());
        self.check_route(to, how.broadcast, how.multicast_out)?;
        let source = match how.source {
            Some(ip) if self.stack.route(ip) != Route::Local => return Err(Errno::EINVAL),
            Some(ip) => ip,
            None => match self.state.lock().bound.filter(|ip| self.stack.route(*ip) == Route::Local) {
                Some(ip) => ip,
                None => self.stack.source_for(to)?,
            },
        };
        let packet = if self.kind == RawKind::Ping {
            self.echo(source, to, how, data)?
        } else if how.with_header {
            self.with_header(source, data)?
        } else {
            let mut data = data.to_vec();
            let at = if self.v6 && self.protocol() == ICMPV6 { Some(2) } else { how.checksum_at };
            if let Some(at) = at.filter(|_| self.v6) {
                if at.checked_add(2).is_none_or(|end| end > data.len()) {
                    return Err(Errno::EINVAL);
                }
                put16(&mut data, at, 0);
                let sum = transport_checksum(source, to, self.protocol(), &data);
                put16(&mut data, at, sum);
            }
            self.build(source, to, how, &data)?
        };
        self.stack.transmit(&packet);
        Ok(())
    }

    fn build(&self, from: IpAddr, to: IpAddr, how: &RawSend, data: &[u8]) -> Result<Packet> {
        let id = self.stack.random() as u16;
        let head = Head { from, to, protocol: self.protocol(), ttl: how.ttl, tos: how.tos, id };
        Packet::build(head, data).ok_or(Errno::EMSGSIZE)
    }

    /// An echo request with this socket's identifier (`ping_common_sendmsg`).
    fn echo(&self, source: IpAddr, to: IpAddr, how: &RawSend, data: &[u8]) -> Result<Packet> {
        let [kind, code, ..] = data else { return Err(Errno::EINVAL) };
        if data.len() < 8 || *kind != if self.v6 { V6_ECHO } else { ECHO } || *code != 0 {
            return Err(Errno::EINVAL);
        }
        if self.state.lock().ident.is_none() {
            self.take_ident(0)?;
        }
        let ident = self.state.lock().ident.unwrap_or(0);
        let mut data = data.to_vec();
        put16(&mut data, 2, 0);
        put16(&mut data, 4, ident);
        let sum = if self.v6 { transport_checksum(source, to, ICMPV6, &data) } else { checksum(&[&data]) };
        put16(&mut data, 2, sum);
        self.build(source, to, how, &data)
    }

    /// Completes a header the guest made (`raw_send_hdrinc`): length and checksum always, identification and source where zero.
    fn with_header(&self, source: IpAddr, data: &[u8]) -> Result<Packet> {
        let total = u16::try_from(data.len()).map_err(|_| Errno::EMSGSIZE)?;
        let header = usize::from(data.first().copied().unwrap_or(0) & 15) * 4;
        if data.len() < V4_HEADER || header > data.len() {
            return Err(Errno::EINVAL);
        }
        let mut bytes = data.to_vec();
        if let (Some(from), IpAddr::V4(source)) = (bytes.get_mut(12..16), source)
            && from == [0; 4]
        {
            from.copy_from_slice(&source.octets());
        }
        put16(&mut bytes, 2, total);
        if bytes.get(4..6) == Some(&[0, 0]) {
            put16(&mut bytes, 4, self.stack.random() as u16);
        }
        put16(&mut bytes, 10, 0);
        let sum = checksum(&[bytes.get(..header).unwrap_or_default()]);
        put16(&mut bytes, 10, sum);
        // What is no packet goes nowhere, as on a wire.
        Packet::parse(&bytes).ok_or(Errno::EINVAL)
    }

    /// Takes a message; `Ok(None)`: shut down.
    ///
    /// # Errors
    /// As [`Mailbox::recv`].
    pub fn recv<T>(&self, consume: bool, look: &mut dyn FnMut(&Datagram) -> Result<T>) -> Result<Option<T>> {
        match self.mailbox.recv(consume, look) {
            Err(Errno::EAGAIN) if self.state.lock().no_receive => Ok(None),
            done => done.map(Some),
        }
    }

    /// Joins or leaves a group, as for UDP.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, `ENOBUFS`.
    pub fn set_membership(&self, group: IpAddr, join: bool) -> Result<()> {
        crate::udp::change_groups(&mut self.state.lock().groups, group, join)
    }

    /// Local address and identifier.
    pub fn local(&self) -> (Option<IpAddr>, u16) {
        let state = self.state.lock();
        (state.bound, state.ident.unwrap_or(0))
    }

    /// The peer.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.state.lock().peer
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn shutdown(&self, read: bool, write: bool) -> Result<()> {
        let connected = {
            let mut state = self.state.lock();
            state.no_receive |= read;
            state.no_send |= write;
            state.peer.is_some()
        };
        self.mailbox.announce(Ready::ALL);
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    /// Readiness (`datagram_poll`).
    pub fn ready(&self) -> Ready {
        let (no_receive, no_send) = {
            let state = self.state.lock();
            (state.no_receive, state.no_send)
        };
        self.mailbox.ready(no_receive, no_send)
    }

    /// A report of an error of this socket's own making.
    pub fn local_error(&self, errno: Errno, to: SocketAddr, info: u32) {
        let report =
            Report { errno, origin: 1, kind: 0, code: 0, info, offender: None, to, data: Vec::new() };
        self.mailbox.fail(report);
    }

    /// close(2).
    pub fn close(&self) {
        {
            let mut table = self.stack.raw.lock();
            if let Some(ident) = self.state.lock().ident.take() {
                let key = (self.v6, ident);
                if let Some(pings) = table.pings.get_mut(&key) {
                    pings.retain(|ping| !Weak::ptr_eq(ping, &self.me));
                    if pings.is_empty() {
                        table.pings.remove(&key);
                    }
                }
            }
            let before = table.all.len();
            table.all.retain(|raw| !Weak::ptr_eq(raw, &self.me));
            self.stack.observers.fetch_sub(before - table.all.len(), Ordering::Relaxed);
        }
        self.mailbox.close();
    }
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
