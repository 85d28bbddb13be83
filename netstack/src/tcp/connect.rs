//! From bind(2) to close(2).

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Instant,
};

use linux_abi::{Errno, Result};

use super::{BindWish, Bound, Listener, Phase, State, TIME_WAIT, Tcp, any_like};
use crate::{
    notify::Ready,
    ports::{Claim, Coverage},
    stack::{Route, Stack, TcpTable, flow_hash},
};

/// How many endpoints may wait for room in a listener's queue (`tcp_max_syn_backlog`); others are refused.
const MAX_WAITING: usize = 4096;

impl Tcp {
    fn claim(&self, wish: &BindWish) -> Claim {
        Claim {
            id: self.id,
            coverage: wish.coverage(),
            reuse: wish.reuse,
            reuseport: wish.reuseport,
            uid: wish.uid,
            listening: false,
            accepted: false,
        }
    }

    /// bind(2).
    ///
    /// # Errors
    /// `EINVAL` when bound or connected already, `EADDRNOTAVAIL`, `EADDRINUSE`.
    pub fn bind(&self, wish: &BindWish) -> Result<()> {
        let ip = wish.addr.ip();
        if !wish.free && !self.stack.is_bindable(ip) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let mut table = self.stack.tcp.lock();
        let mut state = self.state.lock();
        if state.phase != Phase::Closed || state.bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let claim = self.claim(wish);
        let asked = wish.addr.port();
        let port = if asked == 0 {
            let (range, random) = (self.stack.port_range(), self.stack.random());
            table.ports.bind_any(range, random, claim, Weak::clone(&self.me), wish.now)?
        } else {
            table.ports.bind(asked, claim, Weak::clone(&self.me), wish.now)?;
            asked
        };
        state.bound = Some(Bound {
            addr: SocketAddr::new(ip, port),
            coverage: claim.coverage,
            chose_addr: !ip.is_unspecified(),
        });
        Ok(())
    }

    /// listen(2). `wish` is what to bind to if that has not happened yet.
    ///
    /// # Errors
    /// `EINVAL` when connected, `EADDRINUSE` when somebody else listens.
    pub fn listen(&self, backlog: usize, wish: &BindWish) -> Result<()> {
        let bound = {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Listening => {
                    if let Some(listener) = &mut state.listener {
                        listener.backlog = backlog;
                    }
                    return Ok(());
                }
                Phase::Closed => state.bound,
                _ => return Err(Errno::EINVAL),
            }
        };
        if bound.is_none() {
            self.bind(wish)?;
        }
        let mut table = self.stack.tcp.lock();
        let mut state = self.state.lock();
        let port = state.bound.ok_or(Errno::EINVAL)?.addr.port();
        table.ports.change(port, self.id, &|claim| {
            claim.listening = true;
            claim.reuse = wish.reuse;
            claim.reuseport = wish.reuseport;
        })?;
        state.phase = Phase::Listening;
        state.no_receive = false;
        state.no_send = false;
        state.listener = Some(Listener { backlog, ..Listener::default() });
        Ok(())
    }

    /// connect(2). `wish` is what to bind to if that has not happened yet. Connections are made at once, but with
    /// `nonblocking` the guest only hears that they are being made, as on Linux.
    ///
    /// # Errors
    /// `EINPROGRESS`, `EALREADY`: [`Tcp::connect_result`] will tell. `EISCONN`, `ENETUNREACH`, `EADDRNOTAVAIL`, `ECONNREFUSED`.
    pub fn connect(&self, to: SocketAddr, wish: &BindWish, nonblocking: bool) -> Result<()> {
        {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Closed => {}
                Phase::Connected { told: false } => {
                    state.phase = Phase::Connected { told: true };
                    return Ok(());
                }
                Phase::Connected { told: true } | Phase::Listening | Phase::Reset => {
                    return Err(Errno::EISCONN);
                }
                Phase::Connecting => return Err(Errno::EALREADY),
                Phase::Failed => {
                    state.phase = Phase::Closed;
                    drop(state);
                    self.take_error()?;
                    return Err(Errno::ECONNABORTED);
                }
            }
        }
        let to = SocketAddr::new(Stack::destination(to.ip()), to.port());
        if self.stack.route(to.ip()) != Route::Local {
            return Err(Errno::ENETUNREACH);
        }
        let local = self.choose_local(to, wish)?;
        let outcome = match self.find_listener(local, to) {
            Some(listener) => self.join(&listener, local, to),
            // Both sides open at once: the connection is with itself.
            None if local == to => {
                let mut state = self.state.lock();
                state.phase = Phase::Connected { told: false };
                state.peer = self.me.upgrade();
                Ok(())
            }
            None => Err(Errno::ECONNREFUSED),
        };
        match outcome {
            Ok(()) if nonblocking => {
                self.announce(Ready::WRITE);
                Err(Errno::EINPROGRESS)
            }
            Ok(()) => self.connect_result(),
            Err(Errno::EINPROGRESS) => Err(Errno::EINPROGRESS),
            Err(errno) => {
                self.abandon(if nonblocking { Phase::Failed } else { Phase::Closed });
                if !nonblocking {
                    return Err(errno);
                }
                self.set_error(errno);
                self.announce(Ready::ALL);
                Err(Errno::EINPROGRESS)
            }
        }
    }

    /// The local end of a connection to `to`, noted as taken. The phase becomes `Connecting`.
    fn choose_local(&self, to: SocketAddr, wish: &BindWish) -> Result<SocketAddr> {
        let source = self.stack.source_for(to.ip())?;
        let mut table = self.stack.tcp.lock();
        let mut state = self.state.lock();
        let local = match state.bound {
            Some(bound) => {
                let ip = if bound.addr.ip().is_unspecified() { source } else { bound.addr.ip() };
                if ip.is_ipv4() != to.is_ipv4() {
                    return Err(Errno::ENETUNREACH);
                }
                let local = SocketAddr::new(ip, bound.addr.port());
                if table.connections.contains(&(local, to)) {
                    return Err(Errno::EADDRNOTAVAIL);
                }
                let narrowed = Coverage::of(ip, true);
                // Narrower than before: nobody can mind.
                let _ = table.ports.change(local.port(), self.id, &|claim| claim.coverage = narrowed);
                state.bound = Some(Bound { addr: local, ..bound });
                local
            }
            None => {
                let mut claim = self.claim(wish);
                claim.coverage = Coverage::of(source, true);
                let (range, random) = (self.stack.port_range(), self.stack.random());
                let table = &mut *table;
                let connections = &table.connections;
                let unique = |port| !connections.contains(&(SocketAddr::new(source, port), to));
                let port = table.ports.connect(range, random, claim, &unique)?;
                let addr = SocketAddr::new(source, port);
                state.bound = Some(Bound { addr, coverage: claim.coverage, chose_addr: false });
                addr
            }
        };
        table.connections.insert((local, to));
        state.peer_addr = Some(to);
        state.phase = Phase::Connecting;
        state.fin_received = false;
        state.no_receive = false;
        state.no_send = false;
        self.inbox.reopen();
        Ok(local)
    }

    fn find_listener(&self, from: SocketAddr, to: SocketAddr) -> Option<Arc<Tcp>> {
        let table = self.stack.tcp.lock();
        table.ports.find(to.port(), flow_hash(from, to), &|claim, _| {
            if claim.listening { claim.coverage.score(to.ip()) } else { None }
        })
    }

    /// Puts the other end of this endpoint's connection into the queue of `listener`, or this endpoint among those who wait.
    fn join(&self, listener: &Arc<Tcp>, local: SocketAddr, to: SocketAddr) -> Result<()> {
        let me = self.me.upgrade().ok_or(Errno::ECONNREFUSED)?;
        {
            let mut state = listener.state.lock();
            let queue = state.listener.as_mut().ok_or(Errno::ECONNREFUSED)?;
            if queue.ready.len() > queue.backlog {
                if queue.waiting.len() >= MAX_WAITING {
                    return Err(Errno::ECONNREFUSED);
                }
                queue.waiting.push_back(Arc::downgrade(&me));
                return Err(Errno::EINPROGRESS);
            }
        }
        let child = self.stack.tcp();
        {
            let mut state = child.state.lock();
            state.phase = Phase::Connected { told: true };
            state.peer = Some(me);
            state.peer_addr = Some(local);
            state.bound = Some(Bound { addr: to, coverage: Coverage::of(to.ip(), true), chose_addr: true });
        }
        {
            let mut table = self.stack.tcp.lock();
            table.connections.insert((to, local));
            if let Some(claim) = table.ports.claim(to.port(), listener.id) {
                let coverage = Coverage::of(to.ip(), true);
                table.ports.accept(to.port(), Claim { id: child.id, coverage, listening: false, ..claim });
            }
        }
        let (send, receive) = (&listener.send_capacity, &listener.receive_capacity);
        let load = |value: &std::sync::atomic::AtomicUsize| value.load(std::sync::atomic::Ordering::Relaxed);
        child.send_capacity.store(load(send), std::sync::atomic::Ordering::Relaxed);
        child.receive_capacity.store(load(receive), std::sync::atomic::Ordering::Relaxed);
        child.size_inboxes(self);
        let queued = {
            let mut state = listener.state.lock();
            state.listener.as_mut().map(|queue| queue.ready.push_back(Arc::clone(&child)))
        };
        if queued.is_none() {
            child.state.lock().peer = None;
            child.release_port(None);
            return Err(Errno::ECONNREFUSED);
        }
        {
            let mut state = self.state.lock();
            if state.phase == Phase::Connecting {
                state.phase = Phase::Connected { told: false };
                state.peer = Some(child);
            }
        }
        listener.announce(Ready::READ);
        Ok(())
    }

    /// How the connection that is being made came out.
    ///
    /// # Errors
    /// `EAGAIN` as long as that is open; the reason if it failed.
    pub fn connect_result(&self) -> Result<()> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Connecting => Err(Errno::EAGAIN),
            Phase::Connected { .. } => {
                state.phase = Phase::Connected { told: true };
                Ok(())
            }
            Phase::Failed => {
                state.phase = Phase::Closed;
                drop(state);
                self.take_error()?;
                Err(Errno::ECONNABORTED)
            }
            _ => {
                drop(state);
                self.take_error()
            }
        }
    }

    /// Lets go of the connection that was to be made.
    fn abandon(&self, phase: Phase) {
        let mut table = self.stack.tcp.lock();
        let mut state = self.state.lock();
        state.phase = phase;
        let old_peer = state.peer.take();
        if let (Some(bound), Some(to)) = (state.bound, state.peer_addr.take()) {
            table.connections.remove(&(bound.addr, to));
            self.widen(&mut table, &mut state, bound);
        }
        drop(state);
        drop(table);
        drop(old_peer);
    }

    /// accept(2).
    ///
    /// # Errors
    /// `EINVAL` when not listening, `EAGAIN`.
    pub fn accept(&self) -> Result<Arc<Tcp>> {
        let (child, waiting) = {
            let mut state = self.state.lock();
            let queue = state.listener.as_mut().ok_or(Errno::EINVAL)?;
            let child = queue.ready.pop_front().ok_or(Errno::EAGAIN)?;
            (child, queue.waiting.pop_front())
        };
        let mut waiting = waiting;
        while let Some(next) = waiting {
            if self.admit(&next) {
                break;
            }
            let mut state = self.state.lock();
            waiting = state.listener.as_mut().and_then(|queue| queue.waiting.pop_front());
        }
        Ok(child)
    }

    /// Lets an endpoint that waited join the queue; false if it does not want to any more.
    fn admit(&self, waiting: &Weak<Tcp>) -> bool {
        let (Some(client), Some(me)) = (waiting.upgrade(), self.me.upgrade()) else { return false };
        let ends = {
            let state = client.state.lock();
            match (state.phase, state.bound, state.peer_addr) {
                (Phase::Connecting, Some(bound), Some(to)) => (bound.addr, to),
                _ => return false,
            }
        };
        match client.join(&me, ends.0, ends.1) {
            Ok(()) => client.announce(Ready::WRITE),
            Err(Errno::EINPROGRESS) => {}
            Err(errno) => client.refuse(errno),
        }
        true
    }

    /// The connection that was being made failed.
    fn refuse(&self, errno: Errno) {
        if self.state.lock().phase == Phase::Connecting {
            self.abandon(Phase::Failed);
            self.set_error(errno);
            self.announce(Ready::ALL);
        }
    }

    /// connect(2) to `AF_UNSPEC`: the connection is reset, a listener stops listening.
    pub fn disconnect(&self) {
        self.end(true);
        self.inbox.reopen();
        let mut table = self.stack.tcp.lock();
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        state.no_receive = false;
        state.no_send = false;
        state.fin_received = false;
        let _ = self.take_error();
        if let Some(bound) = state.bound {
            self.widen(&mut table, &mut state, bound);
            let _ = table.ports.change(bound.addr.port(), self.id, &|claim| claim.listening = false);
        }
    }

    /// After a connection: the port stays, the address too if the guest chose it (`tcp_disconnect`).
    fn widen(&self, table: &mut TcpTable, state: &mut State, bound: Bound) {
        let ip = if bound.chose_addr { bound.addr.ip() } else { any_like(bound.addr.ip()) };
        state.bound = Some(Bound { addr: SocketAddr::new(ip, bound.addr.port()), ..bound });
        let _ = table.ports.change(bound.addr.port(), self.id, &|claim| claim.coverage = bound.coverage);
    }

    /// Ends what there is: a connection (by a reset if `abort`), a listener with its queue.
    ///
    /// True if a connection ended from this end first, so that TIME_WAIT would be here.
    fn end(&self, abort: bool) -> bool {
        let (peer, listener, was_connected, finished, fin_received) = {
            let mut table = self.stack.tcp.lock();
            let mut state = self.state.lock();
            if let (Some(bound), Some(to)) = (state.bound, state.peer_addr.take()) {
                table.connections.remove(&(bound.addr, to));
            }
            let was_connected = matches!(state.phase, Phase::Connected { .. });
            state.phase = Phase::Closed;
            (state.peer.take(), state.listener.take(), was_connected, state.no_send, state.fin_received)
        };
        let unread = self.inbox.discard() > 0;
        let mut waits = false;
        if let Some(peer) = peer
            && was_connected
        {
            if abort || unread {
                peer.reset();
            } else {
                // Whoever says first that it is done has to wait.
                waits = !fin_received;
                if !finished {
                    peer.receive_fin();
                }
            }
        }
        if let Some(listener) = listener {
            for child in listener.ready {
                child.end(true);
                child.release_port(None);
            }
            for client in listener.waiting {
                if let Some(client) = client.upgrade() {
                    client.refuse(Errno::ECONNREFUSED);
                }
            }
        }
        waits
    }

    fn release_port(&self, later: Option<Instant>) {
        let mut table = self.stack.tcp.lock();
        let mut state = self.state.lock();
        if let Some(bound) = state.bound.take() {
            match later {
                Some(until) => table.ports.release_later(bound.addr.port(), self.id, until),
                None => table.ports.release(bound.addr.port(), self.id),
            }
        }
    }

    /// close(2). `abort`: `SO_LINGER` with a timeout of zero. Unread data resets the connection too.
    pub fn close(&self, abort: bool, now: Instant) {
        let waits = self.end(abort);
        self.release_port(if waits { now.checked_add(TIME_WAIT) } else { None });
        self.announce(Ready::ALL);
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn shutdown(&self, read: bool, write: bool) -> Result<()> {
        let peer = {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Closed | Phase::Failed | Phase::Reset => return Err(Errno::ENOTCONN),
                Phase::Listening | Phase::Connecting => {
                    drop(state);
                    if read || self.state.lock().phase == Phase::Connecting {
                        self.disconnect();
                        self.announce(Ready::ALL);
                    }
                    return Ok(());
                }
                Phase::Connected { .. } => {}
            }
            let first = write && !state.no_send;
            state.no_receive |= read;
            state.no_send |= write;
            state.peer.clone().filter(|_| first)
        };
        if let Some(peer) = peer {
            peer.receive_fin();
        }
        self.announce(Ready::ALL);
        Ok(())
    }

    /// The peer will send no more.
    fn receive_fin(&self) {
        self.state.lock().fin_received = true;
        self.inbox.finish();
        self.announce(Ready::ALL);
    }

    /// The peer wants to hear no more of this connection (RST).
    pub(super) fn reset(&self) {
        let peer = {
            let mut table = self.stack.tcp.lock();
            let mut state = self.state.lock();
            if !matches!(state.phase, Phase::Connected { .. } | Phase::Connecting) {
                return;
            }
            if let (Some(bound), Some(to)) = (state.bound, state.peer_addr) {
                table.connections.remove(&(bound.addr, to));
            }
            // tcp_reset(): whoever knew of the peer's FIN was warned.
            self.set_error(if state.fin_received { Errno::EPIPE } else { Errno::ECONNRESET });
            state.phase = Phase::Reset;
            state.no_receive = true;
            state.no_send = true;
            state.peer.take()
        };
        self.inbox.finish();
        drop(peer);
        self.announce(Ready::ALL);
    }
}
