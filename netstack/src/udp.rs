//! UDP between sockets of this stack: datagrams go straight into the receiver's queue.
//!
//! Locks, outer first: `Stack::udp`, `Udp::state`, `Udp::mailbox`; notifications are sent with none held.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::{
    mailbox::{Letter, Mailbox, Report},
    notify::Ready,
    packet::{Head, Packet, UDP, put16, transport_checksum},
    ports::{Claim, Coverage},
    stack::{Route, Stack, flow_hash, remember},
    tcp::BindWish,
};

/// What an IPv4 packet holds after the headers of IP and UDP; IPv6 does not count its own header.
const MAX_V4: usize = 65_507;
const MAX_V6: usize = 65_527;
/// The length of a UDP header.
const HEADER: usize = 8;
/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6`, with type and code of an unreachable port.
const PORT_UNREACHABLE_V4: (u8, u8, u8) = (2, 3, 3);
const PORT_UNREACHABLE_V6: (u8, u8, u8) = (3, 1, 4);

/// A datagram that arrived.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub data: Arc<[u8]>,
    pub ttl: u8,
    pub tos: u8,
}

/// What to send and how.
#[derive(Clone, Debug)]
pub struct UdpSend {
    /// v4-mapped addresses must have been unmapped; `None` for the peer.
    pub to: Option<SocketAddr>,
    /// From which address, if not the socket's own (`IP_PKTINFO`).
    pub source: Option<IpAddr>,
    pub ttl: u8,
    pub tos: u8,
    /// `SO_BROADCAST`.
    pub broadcast: bool,
    /// Groups are reached by the loopback (`IP_MULTICAST_IF`).
    pub multicast_out: bool,
}

#[derive(Default)]
struct State {
    /// Local address, what bind(2) made of it, and whether the guest chose the address and the port.
    bound: Option<(SocketAddr, Coverage, bool, bool)>,
    /// The address the guest chose, when it is bound to no port any more.
    chosen: Option<IpAddr>,
    peer: Option<SocketAddr>,
    no_receive: bool,
    no_send: bool,
    groups: Vec<IpAddr>,
}

impl Letter for Datagram {
    fn len(&self) -> usize {
        self.data.len()
    }
}

/// A UDP endpoint.
pub struct Udp {
    stack: Arc<Stack>,
    id: u64,
    me: Weak<Udp>,
    state: Mutex<State>,
    pub mailbox: Mailbox<Datagram>,
    owner: Mutex<(u64, u32)>,
    closed: AtomicBool,
}

/// A line of /proc/net/udp.
#[derive(Clone, Copy, Debug)]
pub struct UdpRow {
    pub local: SocketAddr,
    pub peer: Option<SocketAddr>,
    pub receiving: usize,
    pub inode: u64,
    pub uid: u32,
    pub drops: usize,
}

impl Stack {
    /// A new endpoint.
    pub fn udp(self: &Arc<Self>) -> Arc<Udp> {
        let udp = Arc::new_cyclic(|me| Udp {
            stack: Arc::clone(self),
            id: self.id(),
            me: Weak::clone(me),
            state: Mutex::default(),
            mailbox: Mailbox::new(self.pool()),
            owner: Mutex::new((0, 0)),
            closed: AtomicBool::new(false),
        });
        remember(&mut self.udp.lock().all, &udp);
        udp
    }

    /// All bound endpoints, for /proc/net/udp.
    pub fn udp_rows(&self) -> Vec<UdpRow> {
        let all: Vec<Arc<Udp>> = self.udp.lock().all.iter().filter_map(Weak::upgrade).collect();
        let row = |udp: &Arc<Udp>| {
            let (local, peer) = {
                let state = udp.state.lock();
                (state.bound?.0, state.peer)
            };
            let (inode, uid) = *udp.owner.lock();
            let (receiving, drops) = (udp.mailbox.used(), udp.mailbox.drops());
            Some(UdpRow { local, peer, receiving, inode, uid, drops })
        };
        all.iter().filter_map(row).collect()
    }

    /// The packet that carries a datagram.
    fn udp_packet(&self, datagram: &Datagram) -> Option<Packet> {
        let Datagram { from, to, ttl, tos, .. } = *datagram;
        let id = self.random() as u16;
        let head = Head { from: from.ip(), to: to.ip(), protocol: UDP, ttl, tos, id };
        Packet::build(head, &segment(datagram))
    }

    /// Who gets a datagram.
    fn udp_receivers(&self, from: SocketAddr, to: SocketAddr) -> Vec<Arc<Udp>> {
        let table = self.udp.lock();
        let accepts = |udp: &Arc<Udp>| udp.state.lock().peer.is_none_or(|peer| peer == from);
        if self.route(to.ip()) == Route::Local {
            let found = table.ports.find(to.port(), flow_hash(from, to), &|claim, udp| {
                let peer = udp.state.lock().peer;
                if peer.is_some_and(|peer| peer != from) {
                    return None;
                }
                claim.coverage.score(to.ip()).map(|score| score + if peer.is_some() { 8 } else { 0 })
            });
            return found.into_iter().collect();
        }
        let holders = table.ports.holders(to.port());
        let joined = |udp: &Arc<Udp>| udp.state.lock().groups.contains(&to.ip());
        // A v4 group that anybody here has joined reaches all sockets of the port (IP_MULTICAST_ALL).
        let anybody = to.is_ipv4() && holders.iter().any(|(_, udp)| joined(udp));
        let broadcast = self.route(to.ip()) == Route::Broadcast;
        let wanted = |(claim, udp): &(Claim, Arc<Udp>)| {
            claim.coverage.score(to.ip()).is_some() && accepts(udp) && (broadcast || anybody || joined(udp))
        };
        holders.into_iter().filter(wanted).map(|(_, udp)| udp).collect()
    }
}

/// A datagram with its UDP header.
fn segment(datagram: &Datagram) -> Vec<u8> {
    let mut bytes = datagram.from.port().to_be_bytes().to_vec();
    bytes.extend(datagram.to.port().to_be_bytes());
    bytes.extend(u16::try_from(datagram.data.len() + HEADER).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend_from_slice(&datagram.data);
    let sum = transport_checksum(datagram.from.ip(), datagram.to.ip(), UDP, &bytes);
    put16(&mut bytes, 6, if sum == 0 { u16::MAX } else { sum });
    bytes
}

/// Joins or leaves a group.
///
/// # Errors
/// `EADDRINUSE` when joined already, `EADDRNOTAVAIL` when not, `ENOBUFS` for too many (`igmp_max_memberships`).
pub(crate) fn change_groups(groups: &mut Vec<IpAddr>, group: IpAddr, join: bool) -> Result<()> {
    let at = groups.iter().position(|joined| *joined == group);
    match (join, at) {
        (true, Some(_)) => Err(Errno::EADDRINUSE),
        (true, None) if groups.len() >= 20 => Err(Errno::ENOBUFS),
        (true, None) => {
            groups.push(group);
            Ok(())
        }
        (false, Some(at)) => {
            groups.remove(at);
            Ok(())
        }
        (false, None) => Err(Errno::EADDRNOTAVAIL),
    }
}

impl Udp {
    /// Sets whose it is, for [`UdpRow`].
    pub fn set_owner(&self, inode: u64, uid: u32) {
        *self.owner.lock() = (inode, uid);
    }

    /// bind(2).
    ///
    /// # Errors
    /// `EINVAL` when bound already, `EADDRNOTAVAIL`, `EADDRINUSE`.
    pub fn bind(&self, wish: &BindWish) -> Result<()> {
        let ip = wish.addr.ip();
        if !wish.free && !self.stack.is_bindable(ip) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let mut table = self.stack.udp.lock();
        let mut state = self.state.lock();
        if state.bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let coverage = wish.coverage();
        let claim = Claim {
            id: self.id,
            coverage,
            reuse: wish.reuse,
            reuseport: wish.reuseport,
            uid: wish.uid,
            listening: false,
            accepted: false,
        };
        let asked = wish.addr.port();
        let port = if asked == 0 {
            let (range, random) = (self.stack.port_range(), self.stack.random());
            table.ports.bind_any(range, random, claim, Weak::clone(&self.me), wish.now)?
        } else {
            table.ports.bind(asked, claim, Weak::clone(&self.me), wish.now)?;
            asked
        };
        state.bound = Some((SocketAddr::new(ip, port), coverage, !ip.is_unspecified(), asked != 0));
        Ok(())
    }

    /// Gives the socket a port if it has none.
    ///
    /// # Errors
    /// `EAGAIN` when there is none left.
    pub fn autobind(&self, wish: &BindWish) -> Result<()> {
        let chosen = {
            let state = self.state.lock();
            if state.bound.is_some() {
                return Ok(());
            }
            state.chosen
        };
        let addr = chosen.map_or(wish.addr, |ip| SocketAddr::new(ip, 0));
        let wish = &BindWish { addr, ..*wish };
        // udp_lib_get_port() fails with EADDRINUSE, which send and connect report as EAGAIN.
        match self.bind(wish) {
            Err(Errno::EADDRINUSE) => Err(Errno::EAGAIN),
            Err(Errno::EINVAL) => Ok(()),
            done => done,
        }
    }

    /// connect(2): whom to send to and to receive from.
    ///
    /// # Errors
    /// `ENETUNREACH`, `EACCES` for a broadcast address without `SO_BROADCAST`.
    pub fn connect(
        &self,
        to: SocketAddr,
        wish: &BindWish,
        broadcast: bool,
        multicast_out: bool,
    ) -> Result<()> {
        let to = SocketAddr::new(Stack::destination(to.ip()), to.port());
        self.check_route(to.ip(), broadcast, multicast_out)?;
        let source = self.stack.source_for(to.ip())?;
        self.autobind(wish)?;
        let mut table = self.stack.udp.lock();
        let mut state = self.state.lock();
        let Some((addr, coverage, chose_addr, chose_port)) = state.bound else { return Err(Errno::EAGAIN) };
        let ip = if addr.ip().is_unspecified() || !chose_addr { source } else { addr.ip() };
        if ip.is_ipv4() != to.is_ipv4() {
            return Err(Errno::ENETUNREACH);
        }
        let narrowed = Coverage::of(ip, true);
        let _ = table.ports.change(addr.port(), self.id, &|claim| claim.coverage = narrowed);
        state.bound = Some((SocketAddr::new(ip, addr.port()), coverage, chose_addr, chose_port));
        state.peer = Some(to);
        Ok(())
    }

    /// connect(2) to `AF_UNSPEC`.
    pub fn disconnect(&self, any: IpAddr) {
        let mut table = self.stack.udp.lock();
        let mut state = self.state.lock();
        state.peer = None;
        if let Some((addr, coverage, chose_addr, chose_port)) = state.bound {
            if !chose_port {
                table.ports.release(addr.port(), self.id);
                state.bound = None;
                state.chosen = chose_addr.then_some(addr.ip());
            } else if !chose_addr {
                state.bound = Some((SocketAddr::new(any, addr.port()), coverage, chose_addr, chose_port));
                let _ = table.ports.change(addr.port(), self.id, &|claim| claim.coverage = coverage);
            }
        }
    }

    fn check_route(&self, ip: IpAddr, broadcast: bool, multicast_out: bool) -> Result<()> {
        match self.stack.route(ip) {
            Route::Unreachable => Err(Errno::ENETUNREACH),
            Route::Multicast if !multicast_out => Err(Errno::ENETUNREACH),
            Route::Broadcast if !broadcast => Err(Errno::EACCES),
            _ => Ok(()),
        }
    }

    /// Whether [`Udp::send`] would get as far as looking at the data: for errors that come first.
    ///
    /// # Errors
    /// `EMSGSIZE`, `EDESTADDRREQ`, `EPIPE`, `EINVAL`, a pending error.
    pub fn may_send(&self, how: &UdpSend, len: usize) -> Result<SocketAddr> {
        if len > 65_535 {
            return Err(Errno::EMSGSIZE);
        }
        let (peer, no_send) = {
            let state = self.state.lock();
            (state.peer, state.no_send)
        };
        let to = how.to.or(peer).ok_or(Errno::EDESTADDRREQ)?;
        if to.port() == 0 {
            return Err(Errno::EINVAL);
        }
        let to = SocketAddr::new(Stack::destination(to.ip()), to.port());
        self.mailbox.take_error()?;
        if no_send {
            return Err(Errno::EPIPE);
        }
        self.check_route(to.ip(), how.broadcast, how.multicast_out)?;
        let most = if to.is_ipv4() { MAX_V4 } else { MAX_V6 };
        if len > most { Err(Errno::EMSGSIZE) } else { Ok(to) }
    }

    /// Sends a datagram. `wish` is what to bind to if that has not happened yet.
    ///
    /// # Errors
    /// Those of [`Udp::may_send`], `ENETUNREACH`, `EINVAL` for a source that is not this host's.
    pub fn send(&self, how: &UdpSend, data: Arc<[u8]>, wish: &BindWish) -> Result<()> {
        let to = self.may_send(how, data.len())?;
        self.autobind(wish)?;
        let (bound, peer) = {
            let state = self.state.lock();
            (state.bound, state.peer)
        };
        let (local, ..) = bound.ok_or(Errno::EAGAIN)?;
        let source = match how.source {
            Some(ip) if self.stack.route(ip) != Route::Local => return Err(Errno::EINVAL),
            Some(ip) => ip,
            None if local.ip().is_unspecified() || self.stack.route(local.ip()) != Route::Local => {
                self.stack.source_for(to.ip())?
            }
            None => local.ip(),
        };
        if source.is_ipv4() != to.is_ipv4() {
            return Err(Errno::ENETUNREACH);
        }
        let from = SocketAddr::new(source, local.port());
        let datagram = Datagram { from, to, data, ttl: how.ttl, tos: how.tos };
        let packet = if self.stack.is_observed() { self.stack.udp_packet(&datagram) } else { None };
        if let Some(packet) = &packet {
            self.stack.observe(packet);
        }
        let receivers = self.stack.udp_receivers(from, to);
        if receivers.is_empty() && self.stack.route(to.ip()) == Route::Local {
            if let Some(packet) = &packet {
                self.stack.port_unreachable(packet);
            }
            // ICMP port unreachable comes back.
            if peer == Some(to) || self.mailbox.wants_reports() {
                let (origin, kind, code) =
                    if to.is_ipv4() { PORT_UNREACHABLE_V4 } else { PORT_UNREACHABLE_V6 };
                self.mailbox.fail(Report {
                    errno: Errno::ECONNREFUSED,
                    origin,
                    kind,
                    code,
                    info: 0,
                    offender: Some(to.ip()),
                    to,
                    data: datagram.data.to_vec(),
                });
            }
            return Ok(());
        }
        for receiver in receivers {
            receiver.deliver(datagram.clone());
        }
        Ok(())
    }

    /// A packet that a raw or packet socket sent.
    pub(crate) fn deliver_packet(stack: &Arc<Stack>, packet: &Packet) {
        let payload = packet.payload();
        let Some([f0, f1, t0, t1, l0, l1, ..]) = payload.first_chunk::<HEADER>() else { return };
        let from = SocketAddr::new(packet.from, u16::from_be_bytes([*f0, *f1]));
        let to = SocketAddr::new(packet.to, u16::from_be_bytes([*t0, *t1]));
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some(data) = payload.get(HEADER..len) else { return };
        let receivers = stack.udp_receivers(from, to);
        if receivers.is_empty() && stack.route(to.ip()) == Route::Local {
            stack.port_unreachable(packet);
        }
        let datagram = Datagram { from, to, data: data.into(), ttl: packet.ttl, tos: packet.tos };
        for receiver in receivers {
            receiver.deliver(datagram.clone());
        }
    }

    fn deliver(&self, mut datagram: Datagram) {
        if let Some(filter) = self.mailbox.filter() {
            // Filters see the UDP header.
            let segment = segment(&datagram);
            let kept = filter.keep(&segment);
            if kept == 0 {
                self.mailbox.count_drop();
                return;
            }
            let kept = kept.max(HEADER) - HEADER;
            if let Some(cut) = datagram.data.get(..kept) {
                datagram.data = cut.into();
            }
        }
        self.mailbox.deliver(datagram);
    }

    /// Shows the first datagram to `look`; removes it if `consume`. A peek may `skip` bytes of the queue: `look` is told how many
    /// of the datagram it gets are among them. `Ok(None)`: shut down.
    ///
    /// # Errors
    /// As [`Mailbox::recv`].
    pub fn recv<T>(
        &self,
        consume: bool,
        skip: usize,
        look: &mut dyn FnMut(&Datagram, usize) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.mailbox.recv_past(consume, skip, look) {
            Err(Errno::EAGAIN) if self.state.lock().no_receive => Ok(None),
            done => done.map(Some),
        }
    }

    /// Joins (or leaves) a group.
    ///
    /// # Errors
    /// `EADDRINUSE` when joined already, `EADDRNOTAVAIL` when not, `ENOBUFS` for too many (`igmp_max_memberships`).
    pub fn set_membership(&self, group: IpAddr, join: bool) -> Result<()> {
        change_groups(&mut self.state.lock().groups, group, join)
    }

    /// The local address.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        let state = self.state.lock();
        let chosen = state.chosen.map(|ip| SocketAddr::new(ip, 0));
        state.bound.map(|(addr, ..)| addr).or(chosen)
    }

    /// `SO_REUSEADDR` or `SO_REUSEPORT` changed.
    pub fn set_reuse(&self, reuse: bool, reuseport: bool) {
        let mut table = self.stack.udp.lock();
        if let Some((addr, ..)) = self.state.lock().bound {
            table.ports.set_reuse(addr.port(), self.id, reuse, reuseport);
        }
    }

    /// The peer.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.state.lock().peer
    }

    /// shutdown(2): takes effect even when it fails.
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

    /// close(2).
    pub fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        {
            let mut table = self.stack.udp.lock();
            let mut state = self.state.lock();
            if let Some((addr, ..)) = state.bound.take() {
                table.ports.release(addr.port(), self.id);
            }
        }
        self.mailbox.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(addr: &str) -> BindWish {
        BindWish {
            addr: addr.parse().unwrap(),
            v6only: false,
            reuse: false,
            reuseport: false,
            uid: 0,
            free: false,
            now: std::time::Instant::now(),
        }
    }

    fn to(addr: Option<&str>) -> UdpSend {
        UdpSend {
            to: addr.map(|addr| addr.parse().unwrap()),
            source: None,
            ttl: 64,
            tos: 0,
            broadcast: false,
            multicast_out: false,
        }
    }

    fn any() -> BindWish {
        wish("0.0.0.0:0")
    }

    fn take(udp: &Udp) -> Result<(SocketAddr, Vec<u8>)> {
        Ok(udp.recv(true, 0, &mut |d, _| Ok((d.from, d.data.to_vec())))?.unwrap())
    }

    #[test]
    fn datagrams_reach_the_best_receiver() {
        let stack = Stack::new(1);
        let (wild, exact, from) = (stack.udp(), stack.udp(), stack.udp());
        wild.bind(&wish("0.0.0.0:5000")).unwrap();
        assert_eq!(exact.bind(&wish("127.0.0.1:5000")), Err(Errno::EADDRINUSE));
        exact.bind(&wish("127.0.0.2:5001")).unwrap();
        from.send(&to(Some("127.0.0.1:5000")), (*b"a").into(), &any()).unwrap();
        from.send(&to(Some("127.0.0.1:5001")), (*b"b").into(), &any()).unwrap();
        from.send(&to(Some("127.0.0.2:5001")), (*b"c").into(), &any()).unwrap();
        let (sender, data) = take(&wild).unwrap();
        assert_eq!((sender.ip(), data), ("127.0.0.1".parse().unwrap(), b"a".to_vec()));
        assert_eq!(sender.port(), from.local_addr().unwrap().port());
        assert_eq!(take(&wild), Err(Errno::EAGAIN));
        assert_eq!(take(&exact).unwrap().1, b"c");
    }

    #[test]
    fn a_connected_socket_hears_of_closed_ports_and_only_its_peer() {
        let stack = Stack::new(1);
        let (client, server, stranger) = (stack.udp(), stack.udp(), stack.udp());
        client.connect("127.0.0.1:6000".parse().unwrap(), &any(), false, false).unwrap();
        client.send(&to(None), (*b"x").into(), &any()).unwrap();
        assert_eq!(client.ready().0 & 8, 8);
        assert_eq!(client.send(&to(None), (*b"x").into(), &any()), Err(Errno::ECONNREFUSED));
        server.bind(&wish("[::]:6000")).unwrap();
        client.send(&to(None), (*b"y").into(), &any()).unwrap();
        let (from, data) = take(&server).unwrap();
        assert_eq!((Some(from), data), (client.local_addr(), b"y".to_vec()));
        let local = client.local_addr().unwrap().to_string();
        stranger.send(&to(Some(&local)), (*b"z").into(), &any()).unwrap();
        assert_eq!(take(&client), Err(Errno::EAGAIN));
    }

    #[test]
    fn only_the_loopback_is_reachable() {
        let stack = Stack::new(1);
        let udp = stack.udp();
        let send = |addr| udp.send(&to(Some(addr)), (*b"x").into(), &any());
        assert_eq!(send("10.0.0.1:1"), Err(Errno::ENETUNREACH));
        assert_eq!(send("224.0.0.1:1"), Err(Errno::ENETUNREACH));
        assert_eq!(send("127.255.255.255:1"), Err(Errno::EACCES));
        assert_eq!(send("127.0.0.1:0"), Err(Errno::EINVAL));
        assert_eq!(udp.send(&to(None), (*b"x").into(), &any()), Err(Errno::EDESTADDRREQ));
        let big: Arc<[u8]> = vec![0; 65_508].into();
        assert_eq!(udp.send(&to(Some("127.0.0.1:1")), big, &any()), Err(Errno::EMSGSIZE));
        assert_eq!(stack.udp().bind(&wish("10.0.0.1:0")), Err(Errno::EADDRNOTAVAIL));
    }

    #[test]
    fn a_full_receive_buffer_drops() {
        let stack = Stack::new(1);
        let (client, server) = (stack.udp(), stack.udp());
        server.bind(&wish("127.0.0.1:7000")).unwrap();
        server.mailbox.set_limit(3000);
        for _ in 0..5 {
            client.send(&to(Some("127.0.0.1:7000")), vec![0; 1000].into(), &any()).unwrap();
        }
        assert!(take(&server).is_ok());
        assert_eq!(take(&server), Err(Errno::EAGAIN));
    }
}
