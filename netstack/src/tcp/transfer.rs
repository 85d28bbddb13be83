//! Bytes, urgent data, readiness.

use std::sync::{Arc, atomic::Ordering};

use linux_abi::{Errno, Result};

use super::{Phase, Tcp, Urgent};
use crate::{
    notify::Ready,
    stream::{CHUNK, ReadMode, Step},
};

/// What a receive wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpRecv {
    /// The bytes stay (`MSG_PEEK`).
    pub peek: bool,
    /// A peek begins so many bytes on (`SO_PEEK_OFF`).
    pub skip: usize,
    /// At most so many bytes.
    pub max: usize,
    /// `EAGAIN` while there is less and more may come.
    pub at_least: usize,
}

impl Tcp {
    /// The peer to send to.
    fn peer_for_sending(&self) -> Result<Arc<Tcp>> {
        let state = self.state.lock();
        if state.phase == Phase::Connecting {
            return Err(Errno::EAGAIN);
        }
        match &state.peer {
            Some(peer) if !state.no_send => {
                let peer = Arc::clone(peer);
                drop(state);
                self.take_error()?;
                Ok(peer)
            }
            _ => {
                drop(state);
                self.take_error()?;
                Err(Errno::EPIPE)
            }
        }
    }

    /// Sends up to `max` bytes that `fill` provides, as many as there is room for.
    ///
    /// # Errors
    /// `EAGAIN` without room, `EPIPE`, a pending error, or `fill`'s.
    pub fn send(&self, max: usize, fill: &mut dyn FnMut(&mut [u8]) -> Result<usize>) -> Result<usize> {
        let peer = self.peer_for_sending()?;
        let mut done = 0;
        while done < max {
            match peer.inbox.write(max - done, &mut None, fill) {
                Ok(0) => break,
                Ok(count) => {
                    done += count;
                    peer.announce(Ready::READ);
                }
                Err(Errno::EPIPE) => {
                    // The peer is closed. The segment leaves, and what comes back is a reset.
                    self.reset();
                    done += swallow(max - done, fill)?;
                    break;
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        self.sent.fetch_add(done as u64, Ordering::Relaxed);
        Ok(done)
    }

    /// Sends one byte of urgent data (`MSG_OOB`).
    ///
    /// # Errors
    /// As [`Tcp::send`].
    pub fn send_urgent(&self, byte: u8) -> Result<()> {
        let peer = self.peer_for_sending()?;
        let at = peer.inbox.positions().1;
        let inline = peer.inline.load(Ordering::Relaxed);
        if inline {
            peer.inbox.write(1, &mut None, &mut |into| {
                into.fill(byte);
                Ok(into.len())
            })?;
        }
        peer.state.lock().urgent = Some(Urgent { at, byte, taken: inline });
        peer.announce(Ready::URGENT.with(Ready::READ));
        Ok(())
    }

    /// Takes the urgent byte (`MSG_OOB`).
    ///
    /// # Errors
    /// `EINVAL` if there is none, or it was taken, or it is part of the stream.
    pub fn recv_urgent(&self, peek: bool) -> Result<u8> {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Closed | Phase::Failed | Phase::Listening) {
            return Err(Errno::ENOTCONN);
        }
        match &mut state.urgent {
            Some(urgent) if !urgent.taken => {
                urgent.taken = !peek;
                Ok(urgent.byte)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether the next byte of the stream is the one after the urgent mark (`SIOCATMARK`).
    pub fn at_mark(&self) -> bool {
        let urgent = self.state.lock().urgent;
        urgent.is_some_and(|urgent| urgent.at == self.inbox.positions().0)
    }

    /// Gives received bytes to `sink`, which says how many it took.
    ///
    /// # Errors
    /// `EAGAIN` when there are none yet, `ENOTCONN`, a pending error, or `sink`'s.
    pub fn recv(&self, want: TcpRecv, sink: &mut dyn FnMut(&[u8]) -> Result<usize>) -> Result<usize> {
        let (phase, peer, no_receive, urgent) = {
            let state = self.state.lock();
            (state.phase, state.peer.clone(), state.no_receive, state.urgent)
        };
        match phase {
            Phase::Closed | Phase::Failed | Phase::Listening => {
                self.take_error()?;
                return Err(Errno::ENOTCONN);
            }
            Phase::Connecting => return Err(Errno::EAGAIN),
            Phase::Connected { .. } | Phase::Reset => {}
        }
        let mut left = want.max;
        if let Some(urgent) = urgent {
            let (consumed, _) = self.inbox.positions();
            let before = usize::try_from(urgent.at.saturating_sub(consumed)).unwrap_or(usize::MAX);
            if before > 0 {
                // A read stops at the mark.
                left = left.min(before);
            } else if !want.peek && urgent.at < consumed {
                self.state.lock().urgent = None;
            }
        }
        if want.at_least > 1 {
            let status = self.inbox.status();
            if status.queued < want.at_least && !status.finished && !no_receive {
                return Err(Errno::EAGAIN);
            }
        }
        let mode = if want.peek { ReadMode::Peek(want.skip) } else { ReadMode::Consume };
        let result = self.inbox.read(mode, &mut |(), bytes| {
            let part = bytes.get(..left).unwrap_or(bytes);
            let took = sink(part)?.min(part.len());
            left -= took;
            Ok(if took < bytes.len() || left == 0 { Step::Last(took) } else { Step::Took(took) })
        });
        match result {
            Ok(done) => {
                if done.room_opened
                    && let Some(peer) = peer
                {
                    peer.announce(Ready::WRITE);
                }
                if done.bytes == 0 && want.max > 0 && !self.state.lock().fin_received {
                    self.take_error()?;
                }
                Ok(done.bytes)
            }
            Err(Errno::EAGAIN) => {
                self.take_error()?;
                if no_receive { Ok(0) } else { Err(Errno::EAGAIN) }
            }
            Err(errno) => Err(errno),
        }
    }

    /// Bytes that can be received (`SIOCINQ`).
    ///
    /// # Errors
    /// `EINVAL` for a listener.
    pub fn readable(&self) -> Result<usize> {
        if self.state.lock().phase == Phase::Listening {
            return Err(Errno::EINVAL);
        }
        Ok(self.inbox.status().queued)
    }

    /// Bytes the peer has not taken and would not have acknowledged (`SIOCOUTQ`).
    ///
    /// # Errors
    /// `EINVAL` for a listener.
    pub fn unsent(&self) -> Result<usize> {
        let peer = {
            let state = self.state.lock();
            if state.phase == Phase::Listening {
                return Err(Errno::EINVAL);
            }
            state.peer.clone()
        };
        Ok(peer.map_or(0, |peer| {
            let window = peer.receive_capacity.load(Ordering::Relaxed);
            peer.inbox.status().queued.saturating_sub(window)
        }))
    }

    /// Readiness (`tcp_poll`). There is something to read from `rcvlowat` bytes on.
    pub fn ready(&self, rcvlowat: usize) -> Ready {
        const IN: u32 = Ready::READ.0;
        const OUT: u32 = Ready::WRITE.0;
        const HUP: u32 = 0x10;
        const ERR: u32 = 0x08;
        const RDHUP: u32 = 0x2000;
        let (phase, peer, no_receive, no_send, fin, urgent, pending) = {
            let state = self.state.lock();
            let pending = state.listener.as_ref().is_some_and(|listener| !listener.ready.is_empty());
            let no_receive = state.no_receive || state.fin_received;
            (
                state.phase,
                state.peer.clone(),
                no_receive,
                state.no_send,
                state.fin_received,
                state.urgent,
                pending,
            )
        };
        let mut events = if self.has_error() { ERR } else { 0 };
        match phase {
            Phase::Listening => return Ready(if pending { IN } else { 0 }),
            Phase::Closed => return Ready(events | OUT | HUP),
            Phase::Failed => return Ready(events | IN | OUT | HUP | RDHUP),
            Phase::Connecting => return Ready(events),
            Phase::Connected { .. } | Phase::Reset => {}
        }
        if (no_receive && no_send) || phase == Phase::Reset {
            events |= HUP;
        }
        if no_receive || fin {
            events |= IN | RDHUP;
        }
        let status = self.inbox.status();
        if status.queued >= rcvlowat.max(1) {
            events |= IN;
        }
        if urgent.is_some_and(|urgent| !urgent.taken) {
            events |= Ready::URGENT.0;
        }
        let writable = peer.is_none_or(|peer| {
            let status = peer.inbox.status();
            status.writable || status.refused || status.finished
        });
        if no_send || writable {
            events |= OUT;
        }
        Ready(events)
    }
}

/// Takes up to `max` bytes from `fill` that nobody will receive.
fn swallow(max: usize, fill: &mut dyn FnMut(&mut [u8]) -> Result<usize>) -> Result<usize> {
    let mut scratch = vec![0; max.min(CHUNK)];
    let mut done = 0;
    while done < max {
        let want = scratch.len().min(max - done);
        let count = fill(scratch.get_mut(..want).unwrap_or_default())?;
        if count == 0 {
            break;
        }
        done += count;
    }
    Ok(done)
}
