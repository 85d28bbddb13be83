//! TCP between sockets of this stack: byte streams with TCP's states and errors, without segments.
//!
//! Each endpoint has an inbox; sending is putting into the peer's. An end of stream (FIN) finishes the peer's inbox, a reset
//! leaves an error behind. Closing is immediate: what a closed endpoint sent is in the peer's inbox already. Of
//! TIME_WAIT only its hold on the port is left.
//!
//! * `connect.rs`: bind, listen, connect, accept, shutdown, close. `transfer.rs`: bytes, urgent data, readiness.
//!
//! Locks, outer first: `Stack::tcp`, `Tcp::state` of *one* endpoint, inboxes. Notifications are sent with none held.

mod connect;
#[cfg(test)]
mod tests;
pub mod transfer;

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::{
    notify::{Notify, Ready},
    ports::Coverage,
    stack::{Stack, remember},
    stream::ByteStream,
};

/// What one side adds to a connection's buffering unless told otherwise: together as much as Linux's autotuning reaches
/// on the loopback.
const DEFAULT_CAPACITY: usize = 1_310_720;
/// How long a port is kept after its connection was closed from this end first (`TCP_TIMEWAIT_LEN`).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// The state of a connection, with the numbers of /proc/net/tcp and `tcpi_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TcpState {
    Established = 1,
    SynSent = 2,
    FinWait2 = 5,
    #[default]
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
}

/// What a socket is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) addr: SocketAddr,
    /// What bind(2) made of it, before connect(2) narrowed it down.
    pub(crate) coverage: Coverage,
    /// The guest asked for this address.
    pub(crate) chose_addr: bool,
}

/// bind(2)'s wishes.
#[derive(Clone, Copy, Debug)]
pub struct BindWish {
    /// v4-mapped addresses must have been unmapped.
    pub addr: SocketAddr,
    pub v6only: bool,
    pub reuse: bool,
    pub reuseport: bool,
    pub uid: u32,
    /// Any address may be bound to (`IP_FREEBIND`).
    pub free: bool,
    pub now: Instant,
}

impl BindWish {
    pub(crate) fn coverage(&self) -> Coverage {
        Coverage::of(self.addr.ip(), self.v6only)
    }
}

#[derive(Default)]
pub(crate) struct State {
    phase: Phase,
    bound: Option<Bound>,
    peer_addr: Option<SocketAddr>,
    /// Whom the connection is with; gone once the connection is.
    peer: Option<Arc<Tcp>>,
    /// shutdown(SHUT_RD).
    no_receive: bool,
    /// shutdown(SHUT_WR).
    no_send: bool,
    /// The peer has said that it will send no more.
    fin_received: bool,
    listener: Option<Listener>,
    /// A byte of urgent data that arrived.
    urgent: Option<Urgent>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    /// Waiting for room in a listener's queue.
    Connecting,
    /// connect(2) has begun without waiting and the guest has not heard yet that it succeeded.
    Connected {
        told: bool,
    },
    /// connect(2) has begun without waiting and failed.
    Failed,
    /// There was a connection and it was reset.
    Reset,
    Listening,
}

#[derive(Default)]
struct Listener {
    backlog: usize,
    /// Connections to be accepted.
    ready: VecDeque<Arc<Tcp>>,
    /// Endpoints that want to connect and wait for room.
    waiting: VecDeque<Weak<Tcp>>,
}

/// Urgent data (tcp(7)): one byte, which has a place in the stream. It is in the stream too if the receiver wants it so
/// (`SO_OOBINLINE`) when it arrives; then it counts as taken.
#[derive(Clone, Copy, Debug)]
struct Urgent {
    /// How many bytes of the stream come before it.
    at: u64,
    byte: u8,
    taken: bool,
}

/// A TCP endpoint.
pub struct Tcp {
    pub(crate) stack: Arc<Stack>,
    pub(crate) id: u64,
    me: Weak<Tcp>,
    inbox: ByteStream,
    pub(crate) state: Mutex<State>,
    notify: OnceLock<Arc<dyn Notify>>,
    /// The pending error; zero for none.
    error: AtomicI32,
    /// Urgent data is part of the stream (`SO_OOBINLINE`).
    inline: AtomicBool,
    send_capacity: AtomicUsize,
    receive_capacity: AtomicUsize,
    /// Bytes sent and received, for `TCP_INFO`.
    sent: AtomicU64,
    /// Whose it is, for /proc/net/tcp: inode and user.
    owner: Mutex<(u64, u32)>,
}

/// A line of /proc/net/tcp.
#[derive(Clone, Copy, Debug)]
pub struct TcpRow {
    pub local: SocketAddr,
    pub peer: Option<SocketAddr>,
    pub state: TcpState,
    pub sending: usize,
    pub receiving: usize,
    pub inode: u64,
    pub uid: u32,
}

impl Stack {
    /// A new endpoint.
    pub fn tcp(self: &Arc<Self>) -> Arc<Tcp> {
        let tcp = Arc::new_cyclic(|me| Tcp {
            stack: Arc::clone(self),
            id: self.id(),
            me: Weak::clone(me),
            inbox: ByteStream::new(2 * DEFAULT_CAPACITY, Arc::clone(&self.pool)),
            state: Mutex::default(),
            notify: OnceLock::new(),
            error: AtomicI32::new(0),
            inline: AtomicBool::new(false),
            send_capacity: AtomicUsize::new(DEFAULT_CAPACITY),
            receive_capacity: AtomicUsize::new(DEFAULT_CAPACITY),
            sent: AtomicU64::new(0),
            owner: Mutex::new((0, 0)),
        });
        remember(&mut self.tcp.lock().all, &tcp);
        tcp
    }

    /// All endpoints that have an address, for /proc/net/tcp.
    pub fn tcp_rows(&self) -> Vec<TcpRow> {
        let all: Vec<Arc<Tcp>> = self.tcp.lock().all.iter().filter_map(Weak::upgrade).collect();
        all.iter().filter_map(|tcp| tcp.row()).collect()
    }
}

impl Tcp {
    /// Sets who is told of changes; once.
    pub fn set_notify(&self, notify: Arc<dyn Notify>) {
        let _ = self.notify.set(notify);
    }

    /// Sets whose it is, for [`TcpRow`].
    pub fn set_owner(&self, inode: u64, uid: u32) {
        *self.owner.lock() = (inode, uid);
    }

    pub(crate) fn announce(&self, ready: Ready) {
        if let Some(notify) = self.notify.get() {
            notify.notify(ready);
        }
    }

    fn set_error(&self, errno: Errno) {
        self.error.store(errno.raw(), Ordering::Release);
    }

    /// Takes the pending error.
    ///
    /// # Errors
    /// That error.
    pub fn take_error(&self) -> Result<()> {
        match self.error.swap(0, Ordering::AcqRel) {
            0 => Ok(()),
            raw => Err(Errno::from_raw(raw)),
        }
    }

    /// Whether an error is pending.
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::Acquire) != 0
    }

    /// `SO_OOBINLINE`.
    pub fn set_inline(&self, on: bool) {
        self.inline.store(on, Ordering::Relaxed);
    }

    /// `SO_REUSEADDR` or `SO_REUSEPORT` changed.
    pub fn set_reuse(&self, reuse: bool, reuseport: bool) {
        let mut table = self.stack.tcp.lock();
        if let Some(bound) = self.state.lock().bound {
            table.ports.set_reuse(bound.addr.port(), self.id, reuse, reuseport);
        }
    }

    /// How much this side buffers of what it sends and of what it receives; `None` for the default.
    pub fn set_capacities(&self, send: Option<usize>, receive: Option<usize>) {
        self.send_capacity.store(send.unwrap_or(DEFAULT_CAPACITY), Ordering::Relaxed);
        self.receive_capacity.store(receive.unwrap_or(DEFAULT_CAPACITY), Ordering::Relaxed);
        let peer = self.state.lock().peer.clone();
        if let Some(peer) = peer {
            self.size_inboxes(&peer);
        }
    }

    fn size_inboxes(&self, peer: &Tcp) {
        for (receiver, sender) in [(self, peer), (peer, self)] {
            let limit = receiver.receive_capacity.load(Ordering::Relaxed)
                + sender.send_capacity.load(Ordering::Relaxed);
            if receiver.inbox.set_limit(limit) {
                sender.announce(Ready::WRITE);
            }
        }
    }

    /// The state as TCP calls it.
    pub fn tcp_state(&self) -> TcpState {
        let state = self.state.lock();
        match state.phase {
            Phase::Closed | Phase::Failed | Phase::Reset => TcpState::Close,
            Phase::Connecting => TcpState::SynSent,
            Phase::Listening => TcpState::Listen,
            Phase::Connected { .. } => match (state.no_send, state.fin_received) {
                (false, false) => TcpState::Established,
                (true, false) => TcpState::FinWait2,
                (false, true) => TcpState::CloseWait,
                // Both ends are done: TIME_WAIT or LAST_ACK at once become CLOSE.
                (true, true) => TcpState::Close,
            },
        }
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.state.lock().bound.map(|bound| bound.addr)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        let state = self.state.lock();
        match state.phase {
            Phase::Connected { .. } => state.peer_addr.ok_or(Errno::ENOTCONN),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// Bytes sent and received since it was connected.
    pub fn counters(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.inbox.positions().1)
    }

    fn row(&self) -> Option<TcpRow> {
        let (local, peer, to) = {
            let state = self.state.lock();
            (state.bound?.addr, state.peer_addr, state.peer.clone())
        };
        let (inode, uid) = *self.owner.lock();
        let tcp_state = self.tcp_state();
        if tcp_state == TcpState::Close {
            return None;
        }
        let sending = to.map_or(0, |to| to.inbox.status().queued);
        let receiving =
            if tcp_state == TcpState::Listen { self.backlog().0 } else { self.inbox.status().queued };
        Some(TcpRow { local, peer, state: tcp_state, sending, receiving, inode, uid })
    }

    /// Of a listener: connections to be accepted, and how many may wait.
    pub fn backlog(&self) -> (usize, usize) {
        let state = self.state.lock();
        state.listener.as_ref().map_or((0, 0), |listener| (listener.ready.len(), listener.backlog))
    }
}

/// The unspecified address of the family of `ip`.
fn any_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}
