//! Listening, connecting and accepting; readiness.

use std::sync::{Arc, Weak, atomic::Ordering};

use linux_abi::{
    Errno, Result,
    socket::{AF_UNSPEC, SOCK_DGRAM, SOMAXCONN},
};

use super::{
    Inbox, MAX_DGRAM_QLEN, NO_RECEIVE, NO_SEND, Phase, UnixSocket,
    address::{Target, UnixAddress},
    identity,
};
use crate::{
    net::{address::family, base::Flags, socket::Caller},
    wait::{Events, Watch},
};

impl UnixSocket {
    pub(super) fn start_listening(&self, caller: Caller<'_>, backlog: i32) -> Result<()> {
        if self.base.kind == SOCK_DGRAM {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if state.address.is_none() || !matches!(state.phase, Phase::Unconnected | Phase::Listening) {
            return Err(Errno::EINVAL);
        }
        state.phase = Phase::Listening;
        // A negative backlog counts as the largest: the comparison is unsigned.
        let backlog = if backlog < 0 { SOMAXCONN } else { backlog.min(SOMAXCONN) };
        let grew = usize::try_from(backlog).unwrap_or(0) > state.backlog;
        state.backlog = usize::try_from(backlog).unwrap_or(0);
        state.peer_creds = Some(identity(caller));
        drop(state);
        if grew {
            self.room.wake(Events::all());
        }
        Ok(())
    }

    /// The address in `bytes`, if it is a name.
    pub(super) fn named(bytes: &[u8]) -> Result<UnixAddress> {
        match UnixAddress::decode(bytes)? {
            Target::Named(name) => Ok(name),
            Target::Unnamed => Err(Errno::EINVAL),
        }
    }

    /// With `SO_PASSCRED`, whoever sends must have a name.
    pub(super) fn autobind_for_credentials(&self) -> Result<()> {
        if self.base.flags().contains(Flags::PASSCRED) && self.address().is_none() {
            return self.autobind();
        }
        Ok(())
    }

    pub(super) fn connect_stream(&self, caller: Caller<'_>, address: &[u8]) -> Result<()> {
        let name = Self::named(address)?;
        self.autobind_for_credentials()?;
        let listener = self.find(caller, &name)?;
        {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Unconnected => state.phase = Phase::Connecting,
                Phase::Connected => return Err(Errno::EISCONN),
                Phase::Connecting => return Err(Errno::EALREADY),
                Phase::Listening | Phase::Closed => return Err(Errno::EINVAL),
            }
        }
        let result = self.join_backlog(caller, &listener);
        let mut state = self.state.lock();
        match result {
            Ok((child, creds)) => {
                state.phase = Phase::Connected;
                state.peer = Some(child);
                state.peer_creds = creds;
                drop(state);
                self.apply_send_buffer();
                self.base.queue.wake(Events::OUT | Events::WRNORM);
                listener.base.queue.wake(Events::IN | Events::RDNORM);
                Ok(())
            }
            Err(errno) => {
                state.phase = Phase::Unconnected;
                state.blocked_on =
                    if errno == Errno::EAGAIN { Arc::downgrade(&listener) } else { Weak::new() };
                Err(errno)
            }
        }
    }

    /// Puts the other end of a connection with this socket into the backlog of `listener`.
    #[expect(clippy::type_complexity, reason = "the pair is what the caller stores")]
    fn join_backlog(
        &self,
        caller: Caller<'_>,
        listener: &Arc<UnixSocket>,
    ) -> Result<(Arc<UnixSocket>, Option<(super::Ucred, Arc<[u32]>)>)> {
        let inode = self.ns.sockfs.new_inode(listener.base.inode.uid(), 0);
        let child = self.ns.build(listener.base.inherit(inode));
        {
            let mut state = child.state.lock();
            state.phase = Phase::Connected;
            state.peer = self.me.upgrade();
            state.peer_creds = Some(identity(caller));
        }
        let result = {
            let mut state = listener.state.lock();
            if state.phase != Phase::Listening || listener.shutdown_bits() & NO_RECEIVE != 0 {
                Err(Errno::ECONNREFUSED)
            } else if state.pending.len() > state.backlog {
                Err(Errno::EAGAIN)
            } else {
                child.state.lock().address = state.address.clone();
                child.apply_send_buffer_to(self);
                state.pending.push_back(Arc::clone(&child));
                Ok(state.peer_creds.clone())
            }
        };
        match result {
            Ok(creds) => Ok((child, creds)),
            Err(errno) => {
                // Nobody has seen the child: it must not tell this socket of its end.
                child.state.lock().peer = None;
                child.tear_down(false);
                Err(errno)
            }
        }
    }

    pub(super) fn take_pending(&self) -> Result<Arc<UnixSocket>> {
        if self.base.kind == SOCK_DGRAM {
            return Err(Errno::EOPNOTSUPP);
        }
        let child = {
            let mut state = self.state.lock();
            if state.phase != Phase::Listening {
                return Err(Errno::EINVAL);
            }
            match state.pending.pop_front() {
                Some(child) => child,
                // accept(2) after shutdown(2) of a listener: skb_recv_datagram() gives no error, accept does.
                None if self.shutdown_bits() & NO_RECEIVE != 0 => return Err(Errno::EINVAL),
                None => return Err(Errno::EAGAIN),
            }
        };
        self.room.wake(Events::OUT | Events::WRNORM);
        Ok(child)
    }

    pub(super) fn connect_datagram(&self, caller: Caller<'_>, address: &[u8]) -> Result<()> {
        let peer = if family(address) == Some(AF_UNSPEC) {
            None
        } else {
            let name = Self::named(address)?;
            self.autobind_for_credentials()?;
            let other = self.find(caller, &name)?;
            self.may_send_to(&other)?;
            Some(other)
        };
        let (old, purge) = {
            let mut state = self.state.lock();
            let changed = match (&state.peer, &peer) {
                (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
                (Some(_), None) => true,
                (None, _) => false,
            };
            state.phase = if peer.is_some() { Phase::Connected } else { Phase::Unconnected };
            (std::mem::replace(&mut state.peer, peer), changed)
        };
        if let Some(old) = old.filter(|_| purge) {
            self.forget_datagrams_of(&old);
        }
        self.base.queue.wake(Events::all());
        Ok(())
    }

    /// `unix_dgram_disconnected`: what the old peer had sent is dropped, and it hears of it.
    fn forget_datagrams_of(&self, old: &UnixSocket) {
        if let Inbox::Packets(queue) = &self.inbox
            && queue.clear() > 0
        {
            self.room.wake(Events::OUT | Events::WRNORM);
            let was_mutual =
                old.state.lock().peer.as_ref().is_some_and(|p| Arc::as_ptr(p) == self.me.as_ptr());
            if was_mutual {
                old.base.set_error(Errno::ECONNRESET);
                old.base.queue.wake(Events::ERR);
            }
        }
    }

    /// `unix_may_send`: a connected socket takes datagrams from its peer only.
    pub(super) fn may_send_to(&self, other: &UnixSocket) -> Result<()> {
        let state = other.state.lock();
        match &state.peer {
            Some(peer) if Arc::as_ptr(peer) != self.me.as_ptr() => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }

    /// Makes the room in the peer's inbox what `SO_SNDBUF` says.
    pub(super) fn apply_send_buffer(&self) {
        let peer = self.state.lock().peer.clone();
        if let Some(peer) = peer {
            self.apply_send_buffer_to(&peer);
        }
    }

    fn apply_send_buffer_to(&self, peer: &UnixSocket) {
        if let Inbox::Stream(stream) = &peer.inbox
            && stream.set_limit(self.base.sndbuf())
        {
            self.base.queue.wake(Events::OUT | Events::WRNORM | Events::WRBAND);
        }
    }

    /// `unix_poll` and `unix_dgram_poll`.
    pub(super) fn poll_events(&self, mut watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch.as_deref_mut() {
            self.base.queue.register(watch);
        }
        let (phase, peer, blocked_on, pending) = {
            let state = self.state.lock();
            (state.phase, state.peer.clone(), state.blocked_on.upgrade(), state.pending.len())
        };
        if let Some(watch) = watch
            && let Some(other) = blocked_on.or_else(|| peer.clone().filter(|_| self.base.kind == SOCK_DGRAM))
        {
            other.room.register(watch);
        }
        let mut events = Events::empty();
        let bits = self.shutdown_bits();
        if self.base.has_error() {
            events |= Events::ERR;
        }
        if bits == NO_RECEIVE | NO_SEND {
            events |= Events::HUP;
        }
        if bits & NO_RECEIVE != 0 {
            events |= Events::RDHUP | Events::IN | Events::RDNORM;
        }
        let readable = match &self.inbox {
            _ if phase == Phase::Listening => pending > 0,
            Inbox::Stream(stream) => stream.status().queued >= self.base.rcvlowat(),
            Inbox::Packets(queue) => queue.status().0 > 0,
        };
        if readable {
            events |= Events::IN | Events::RDNORM;
        }
        if self.has_urgent() {
            events |= Events::PRI;
        }
        if self.base.kind != SOCK_DGRAM
            && matches!(phase, Phase::Unconnected | Phase::Connecting | Phase::Closed)
        {
            events |= Events::HUP;
        }
        if phase != Phase::Listening && self.is_writable(peer.as_deref()) {
            events |= Events::OUT | Events::WRNORM | Events::WRBAND;
        }
        events
    }

    fn is_writable(&self, peer: Option<&UnixSocket>) -> bool {
        match peer.map(|peer| (&peer.inbox, peer)) {
            None => true,
            Some((Inbox::Stream(stream), _)) => {
                let status = stream.status();
                status.writable || status.finished || status.refused
            }
            Some((Inbox::Packets(queue), peer)) => {
                let used = self.base.in_flight.load(Ordering::Relaxed);
                used.saturating_mul(4) <= self.ns.pool.limit_now(self.base.sndbuf())
                    && !(self.is_limited_by(peer) && queue.is_full(MAX_DGRAM_QLEN))
            }
        }
    }

    /// Whether the length of the peer's queue limits this sender: not if the two are connected to each other.
    pub(super) fn is_limited_by(&self, peer: &UnixSocket) -> bool {
        let state = peer.state.lock();
        peer.me.as_ptr() != self.me.as_ptr()
            && state.peer.as_ref().is_none_or(|back| Arc::as_ptr(back) != self.me.as_ptr())
    }
}
