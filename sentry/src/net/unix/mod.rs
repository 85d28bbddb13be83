//! Unix sockets (unix(7)): streams, datagrams and sequenced packets between the sandbox's own processes.
//!
//! Every socket has an inbox; sending is putting into the peer's inbox, so a transfer takes one lock at a time and copies each
//! byte once in and once out. Connected sockets hold each other; [`Socket::close`] breaks that cycle.
//!
//! * `address.rs`, `path.rs`: names. `scm.rs`: what travels with bytes. `packets.rs`: inboxes with message boundaries.
//! * `transfer.rs`: sending and receiving. `connection.rs`: listening, connecting, accepting.
//!
//! Locks: `UnixSocket::state` of one socket at a time; inboxes and the namespace's tables are leaves. Nothing is dropped
//! under a lock that may be the last reference to a socket or file.

pub mod address;
mod connection;
#[cfg(test)]
mod fuzz;
pub mod gc;
mod packets;
mod path;
pub mod scm;
#[cfg(test)]
mod tests;
mod transfer;
mod urgent;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use linux_abi::{
    Errno, Result,
    socket::{AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM},
};
use netstack::stream::{ByteStream, ChunkPool};
use parking_lot::Mutex;

use self::{
    address::{Target, UnixAddress},
    gc::Collector,
    packets::PacketQueue,
    scm::{InFlight, Scm},
    urgent::Urgent,
};
use super::{
    address::SocketAddress,
    base::SocketBase,
    inode::SockFs,
    socket::{Caller, Received, RecvArgs, SendArgs, Shutdown, Socket, Ucred},
};
use crate::{
    fs::{
        dentry::Dentry,
        io::{Sink, Source},
    },
    wait::{Events, WaitQueue, Watch},
};

/// `net.unix.max_dgram_qlen`.
const MAX_DGRAM_QLEN: usize = 10;

/// Receiving is over (`RCV_SHUTDOWN`).
const NO_RECEIVE: u8 = 1;
/// Sending is over (`SEND_SHUTDOWN`).
const NO_SEND: u8 = 2;

/// The unix sockets of a sandbox.
pub struct UnixNs {
    sockfs: Arc<SockFs>,
    pool: Arc<ChunkPool>,
    /// Names in the abstract namespace.
    names: Mutex<HashMap<Box<[u8]>, Weak<UnixSocket>>>,
    /// All sockets, by inode number.
    all: Mutex<HashMap<u64, Weak<UnixSocket>>>,
    in_flight: Arc<InFlight>,
    next_name: AtomicU64,
    collector: Collector,
}

impl UnixNs {
    /// No sockets yet.
    pub fn new(sockfs: Arc<SockFs>, pool: Arc<ChunkPool>) -> Arc<UnixNs> {
        Arc::new(UnixNs {
            sockfs,
            pool,
            names: Mutex::default(),
            all: Mutex::default(),
            in_flight: Arc::default(),
            next_name: AtomicU64::new(0),
            collector: Collector::default(),
        })
    }

    /// socket(2).
    ///
    /// # Errors
    /// `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`.
    pub fn socket(self: &Arc<Self>, caller: Caller<'_>, kind: i32, protocol: i32) -> Result<Arc<UnixSocket>> {
        if protocol != 0 && protocol != i32::from(AF_UNIX) {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let kind = match kind {
            SOCK_STREAM | SOCK_DGRAM | SOCK_SEQPACKET => kind,
            SOCK_RAW => SOCK_DGRAM,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        let creds = caller.creds();
        let inode = self.sockfs.new_inode(creds.fsuid, creds.fsgid);
        Ok(self.build(SocketBase::new(AF_UNIX, kind, 0, inode)))
    }

    /// socketpair(2).
    ///
    /// # Errors
    /// As [`UnixNs::socket`].
    pub fn pair(
        self: &Arc<Self>,
        caller: Caller<'_>,
        kind: i32,
        protocol: i32,
    ) -> Result<[Arc<UnixSocket>; 2]> {
        let pair = [self.socket(caller, kind, protocol)?, self.socket(caller, kind, protocol)?];
        let [one, other] = &pair;
        for (socket, peer) in [(one, other), (other, one)] {
            let mut state = socket.state.lock();
            state.phase = Phase::Connected;
            state.peer = Some(Arc::clone(peer));
            state.peer_creds = Some(identity(caller));
        }
        Ok(pair)
    }

    fn build(self: &Arc<Self>, base: SocketBase) -> Arc<UnixSocket> {
        let number = base.inode.number();
        let socket = Arc::new_cyclic(|me| UnixSocket {
            inbox: match base.kind {
                SOCK_STREAM => Inbox::Stream(ByteStream::new(base.sndbuf(), Arc::clone(&self.pool))),
                _ => Inbox::Packets(PacketQueue::default()),
            },
            base,
            ns: Arc::clone(self),
            me: Weak::clone(me),
            state: Mutex::default(),
            shutdown: AtomicU8::new(0),
            room: WaitQueue::new(),
            urgent: Mutex::default(),
        });
        self.all.lock().insert(number, Arc::downgrade(&socket));
        socket
    }

    /// All sockets, for /proc/net/unix and the collector.
    pub fn list(&self) -> Vec<Arc<UnixSocket>> {
        self.all.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Files in flight.
    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }
}

/// A unix socket.
pub struct UnixSocket {
    base: SocketBase,
    ns: Arc<UnixNs>,
    me: Weak<UnixSocket>,
    inbox: Inbox,
    state: Mutex<State>,
    /// [`NO_RECEIVE`] and [`NO_SEND`].
    shutdown: AtomicU8,
    /// Announces that the inbox or the backlog has room again.
    room: WaitQueue,
    /// Of a stream.
    urgent: Mutex<Urgent>,
}

/// What arrived.
enum Inbox {
    Stream(ByteStream<Scm>),
    Packets(PacketQueue),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Unconnected,
    /// In connect(2).
    Connecting,
    Connected,
    Listening,
    Closed,
}

#[derive(Default)]
struct State {
    phase: Phase,
    address: Option<Arc<UnixAddress>>,
    /// The place a path name is. Its inode knows the socket; while the socket lives, so does this.
    bound: Option<Arc<Dentry>>,
    peer: Option<Arc<UnixSocket>>,
    /// Who is at the other end; of a listener, who listens.
    peer_creds: Option<(Ucred, Arc<[u32]>)>,
    backlog: usize,
    /// Connections not yet accepted.
    pending: VecDeque<Arc<UnixSocket>>,
    /// Whose `room` this socket waits for.
    blocked_on: Weak<UnixSocket>,
}

/// What `SO_PEERCRED` and `SO_PEERGROUPS` will show of the caller.
fn identity(caller: Caller<'_>) -> (Ucred, Arc<[u32]>) {
    (Ucred::of(caller), Arc::clone(&caller.creds().groups))
}

impl UnixSocket {
    fn shutdown_bits(&self) -> u8 {
        self.shutdown.load(Ordering::Acquire)
    }

    /// Ends receiving or sending on this end only, and tells its waiters.
    fn mark_shutdown(&self, bits: u8) {
        self.shutdown.fetch_or(bits, Ordering::AcqRel);
        if bits & NO_RECEIVE != 0 {
            match &self.inbox {
                Inbox::Stream(stream) => stream.finish(),
                Inbox::Packets(queue) => queue.finish(),
            }
        }
        self.base.queue.wake(Events::all());
    }

    fn address(&self) -> Option<Arc<UnixAddress>> {
        self.state.lock().address.clone()
    }

    /// The name, as in /proc/net/unix.
    pub fn display_name(&self) -> Option<String> {
        self.address().map(|address| address.display())
    }

    /// The name as it lies in an address, for sock_diag(7).
    pub fn raw_name(&self) -> Option<Vec<u8>> {
        let address = self.address()?.encode();
        address.as_bytes().get(2..).map(<[u8]>::to_vec)
    }

    /// The inode number of the peer.
    pub fn peer_number(&self) -> Option<u64> {
        self.state.lock().peer.as_ref().map(|peer| peer.base.inode.number())
    }

    /// Gives the socket the name `address`, which is at `place` if it is a path.
    fn set_address(&self, address: UnixAddress, place: Option<Arc<Dentry>>) -> Result<()> {
        let mut state = self.state.lock();
        if state.address.is_some() {
            return Err(Errno::EINVAL);
        }
        state.address = Some(Arc::new(address));
        state.bound = place;
        Ok(())
    }

    fn bind_abstract(&self, name: &[u8]) -> Result<()> {
        let mut names = self.ns.names.lock();
        if names.get(name).is_some_and(|socket| socket.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        self.set_address(UnixAddress::Abstract(name.into()), None)?;
        names.insert(name.into(), Weak::clone(&self.me));
        Ok(())
    }

    /// Chooses a name of five hexadecimal digits (unix(7), "Autobind feature").
    fn autobind(&self) -> Result<()> {
        for _ in 0..=0xf_ffff_u32 {
            if self.address().is_some() {
                return Ok(());
            }
            let number = self.ns.next_name.fetch_add(1, Ordering::Relaxed) & 0xf_ffff;
            match self.bind_abstract(format!("{number:05x}").as_bytes()) {
                Err(Errno::EADDRINUSE) => {}
                Err(Errno::EINVAL) => return Ok(()),
                done => return done,
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The socket that is called `address`.
    fn find(&self, caller: Caller<'_>, address: &UnixAddress) -> Result<Arc<UnixSocket>> {
        let found = match address {
            UnixAddress::Abstract(name) => self.ns.names.lock().get(name).and_then(Weak::upgrade),
            UnixAddress::Path(name) => Some(path::find(caller.task().ok_or(Errno::ENOENT)?, name)?),
        };
        let found = found.ok_or(Errno::ECONNREFUSED)?;
        if found.base.kind == self.base.kind { Ok(found) } else { Err(Errno::EPROTOTYPE) }
    }

    /// A pending error of a closed peer, and what is no longer wanted there.
    fn tear_down(&self, embryo: bool) {
        let (peer, pending, address, bound) = {
            let mut state = self.state.lock();
            state.phase = Phase::Closed;
            let pending = std::mem::take(&mut state.pending);
            (state.peer.take(), pending, state.address.clone(), state.bound.take())
        };
        self.ns.all.lock().remove(&self.base.inode.number());
        if let Some(UnixAddress::Abstract(name)) = address.as_deref() {
            let mut names = self.ns.names.lock();
            if names.get(name).is_some_and(|owner| Weak::ptr_eq(owner, &self.me)) {
                names.remove(name);
            }
        }
        if let Some(place) = bound {
            path::forget(&place, &self.me);
        }
        let unread = match &self.inbox {
            Inbox::Stream(stream) => stream.discard(),
            Inbox::Packets(queue) => queue.discard(),
        };
        self.shutdown.fetch_or(NO_RECEIVE | NO_SEND, Ordering::AcqRel);
        if let Some(peer) = peer
            && self.base.kind != SOCK_DGRAM
        {
            if unread > 0 || embryo {
                peer.base.set_error(Errno::ECONNRESET);
            }
            peer.mark_shutdown(NO_RECEIVE | NO_SEND);
        }
        for child in pending {
            child.tear_down(true);
        }
        self.room.wake(Events::all());
        self.base.queue.wake(Events::all());
    }
}

impl Socket for UnixSocket {
    fn base(&self) -> &SocketBase {
        &self.base
    }

    fn bind(&self, caller: Caller<'_>, address: &[u8]) -> Result<()> {
        let target = UnixAddress::decode(address)?;
        match target {
            Target::Unnamed => self.autobind(),
            _ if self.address().is_some() => Err(Errno::EINVAL),
            Target::Named(UnixAddress::Abstract(name)) => self.bind_abstract(&name),
            Target::Named(UnixAddress::Path(name)) => {
                let place = path::create(caller.task().ok_or(Errno::ENOENT)?, &name, &self.me)?;
                self.set_address(UnixAddress::Path(name), Some(place))
            }
        }
    }

    fn connect(&self, caller: Caller<'_>, address: &[u8], _nonblocking: bool) -> Result<()> {
        if self.base.kind == SOCK_DGRAM {
            self.connect_datagram(caller, address)
        } else {
            self.connect_stream(caller, address)
        }
    }

    fn listen(&self, caller: Caller<'_>, backlog: i32) -> Result<()> {
        self.start_listening(caller, backlog)
    }

    fn accept(&self, _caller: Caller<'_>) -> Result<Arc<dyn Socket>> {
        let child = self.take_pending()?;
        Ok(child)
    }

    fn send(&self, caller: Caller<'_>, args: &mut SendArgs<'_>, source: &mut dyn Source) -> Result<usize> {
        match self.base.kind {
            SOCK_STREAM => self.send_stream(caller, args, source),
            _ => self.send_packet(caller, args, source),
        }
    }

    fn recv(&self, _caller: Caller<'_>, args: &RecvArgs, sink: &mut dyn Sink) -> Result<Received> {
        match &self.inbox {
            Inbox::Stream(stream) => self.recv_stream(stream, args, sink),
            Inbox::Packets(queue) => self.recv_packet(queue, args, sink),
        }
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        let bits = if how.read { NO_RECEIVE } else { 0 } | if how.write { NO_SEND } else { 0 };
        let peer = self.state.lock().peer.clone();
        if let Some(peer) = peer
            && self.base.kind != SOCK_DGRAM
        {
            peer.mark_shutdown(if how.read { NO_SEND } else { 0 } | if how.write { NO_RECEIVE } else { 0 });
        }
        self.mark_shutdown(bits);
        self.room.wake(Events::all());
        Ok(())
    }

    fn local_name(&self) -> Result<SocketAddress> {
        Ok(UnixAddress::encode_or_unnamed(self.address().as_deref()))
    }

    fn peer_name(&self) -> Result<SocketAddress> {
        let peer = self.state.lock().peer.clone().ok_or(Errno::ENOTCONN)?;
        Ok(UnixAddress::encode_or_unnamed(peer.address().as_deref()))
    }

    fn option_changed(&self, name: i32) {
        // The send buffer of a stream is the room in its peer's inbox.
        if name == linux_abi::socket::SO_SNDBUF || name == linux_abi::socket::SO_SNDBUFFORCE {
            self.apply_send_buffer();
        }
    }

    fn readable_bytes(&self) -> Result<usize> {
        if self.is_listening() {
            return Err(Errno::EINVAL);
        }
        Ok(match &self.inbox {
            Inbox::Stream(stream) => stream.status().queued,
            Inbox::Packets(queue) => queue.status().1.unwrap_or(0),
        })
    }

    fn unsent_bytes(&self) -> Result<usize> {
        let peer = self.state.lock().peer.clone();
        Ok(match peer.as_deref().map(|peer| &peer.inbox) {
            Some(Inbox::Stream(stream)) => stream.status().queued,
            _ => self.base.in_flight.load(Ordering::Relaxed),
        })
    }

    fn at_mark(&self) -> Result<bool> {
        if self.base.kind == SOCK_STREAM { Ok(self.is_at_mark()) } else { Err(Errno::ENOTTY) }
    }

    fn is_listening(&self) -> bool {
        self.state.lock().phase == Phase::Listening
    }

    fn peer_creds(&self) -> Option<(Ucred, Arc<[u32]>)> {
        self.state.lock().peer_creds.clone()
    }

    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        self.poll_events(watch)
    }

    fn close(&self) {
        self.tear_down(false);
        self.ns.collect_cycles();
    }
}
