//! The receive queue of unix sockets that keep message boundaries (`SOCK_DGRAM`, `SOCK_SEQPACKET`).
//!
//! Each queued packet is charged to its sender's send buffer until it is received or dropped. A message is copied in before
//! and out after the queue's lock is held.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak, atomic::Ordering},
};

use linux_abi::{Errno, Result};
use netstack::stream::Held;
use parking_lot::Mutex;

use super::{UnixSocket, address::UnixAddress, scm::Scm};
use crate::wait::Events;

/// What a packet costs besides its bytes (about `SKB_TRUESIZE(0)`).
const OVERHEAD: usize = 768;

/// One message.
pub(super) struct Packet {
    pub(super) data: Box<[u8]>,
    pub(super) from: Option<Arc<UnixAddress>>,
    pub(super) scm: Scm,
    _charge: Charge,
}

/// What a message takes of its sender's send buffer.
struct Charge {
    sender: Weak<UnixSocket>,
    bytes: usize,
    _held: Held,
}

impl Packet {
    /// A message from `sender`, charged to it; `held` is its memory.
    pub(super) fn new(
        sender: &UnixSocket,
        data: Box<[u8]>,
        from: Option<Arc<UnixAddress>>,
        scm: Scm,
        held: Held,
    ) -> Packet {
        let bytes = Packet::cost(data.len());
        sender.base.in_flight.fetch_add(bytes, Ordering::Relaxed);
        Packet { data, from, scm, _charge: Charge { sender: Weak::clone(&sender.me), bytes, _held: held } }
    }

    /// What a message of `len` bytes costs.
    pub(super) fn cost(len: usize) -> usize {
        len + OVERHEAD
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.upgrade() {
            sender.base.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
            sender.base.queue.wake(Events::OUT | Events::WRNORM | Events::WRBAND);
        }
    }
}

/// A queue of messages.
#[derive(Default)]
pub(super) struct PacketQueue {
    state: Mutex<State>,
    /// Held by a reader from taking a packet to having put it back, if it does.
    reader: Mutex<()>,
}

#[derive(Default)]
struct State {
    packets: VecDeque<Packet>,
    /// Nothing more will come.
    finished: bool,
    /// The socket is gone.
    discarded: bool,
}

impl PacketQueue {
    /// Appends a message; with a `limit`, only if there are no more than that many yet (`unix_recvq_full`).
    ///
    /// # Errors
    /// `EPIPE` when the receiver takes no more, `ECONNREFUSED` when it is gone, `EAGAIN` when full; the packet comes back.
    pub(super) fn push(&self, packet: Packet, limit: Option<usize>) -> Result<(), (Errno, Packet)> {
        let mut state = self.state.lock();
        if state.discarded {
            return Err((Errno::ECONNREFUSED, packet));
        }
        if state.finished {
            return Err((Errno::EPIPE, packet));
        }
        if limit.is_some_and(|limit| state.packets.len() > limit) {
            return Err((Errno::EAGAIN, packet));
        }
        state.packets.push_back(packet);
        Ok(())
    }

    /// Shows the first message to `look`, and removes it if `consume` and `look` succeeds. A peek may `skip` bytes: `look` is told
    /// how many of the message it gets are among them. `Ok(None)`: nothing will come.
    ///
    /// # Errors
    /// `EAGAIN` when there is none, or `look`'s: the message stays, unlike in Linux, where a fault loses it.
    pub(super) fn pop<T>(
        &self,
        consume: bool,
        skip: &mut usize,
        look: &mut dyn FnMut(&mut Packet, usize) -> Result<T>,
    ) -> Result<Option<T>> {
        let _turn = self.reader.lock();
        let mut packet = {
            let mut state = self.state.lock();
            // The messages in front of the place where a peek begins.
            let mut at = 0;
            while let Some(packet) = state.packets.get(at)
                && *skip > 0
                && *skip >= packet.data.len()
            {
                *skip -= packet.data.len();
                at += 1;
            }
            if at > 0 {
                let packet = state.packets.get_mut(at).ok_or(Errno::EAGAIN)?;
                return look(packet, *skip).map(Some);
            }
            match state.packets.pop_front() {
                Some(packet) => packet,
                None if state.finished => return Ok(None),
                None => return Err(Errno::EAGAIN),
            }
        };
        let result = look(&mut packet, *skip);
        if !consume || result.is_err() {
            let mut state = self.state.lock();
            if !state.discarded {
                state.packets.push_front(packet);
            }
        }
        result.map(Some)
    }

    /// Whether a further message would find more than `limit` before it.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.state.lock().packets.len() > limit
    }

    /// Number of messages, and length of the first.
    pub(super) fn status(&self) -> (usize, Option<usize>) {
        let state = self.state.lock();
        (state.packets.len(), state.packets.front().map(|packet| packet.data.len()))
    }

    /// Nothing more will come.
    pub(super) fn finish(&self) {
        self.state.lock().finished = true;
    }

    /// Drops the messages; returns how many there were.
    pub(super) fn clear(&self) -> usize {
        let packets = std::mem::take(&mut self.state.lock().packets);
        packets.len()
    }

    /// The socket is gone: as [`PacketQueue::clear`], and no message is taken any more.
    pub(super) fn discard(&self) -> usize {
        {
            let mut state = self.state.lock();
            state.finished = true;
            state.discarded = true;
        }
        self.clear()
    }

    /// Shows the files in the queue to `visit`.
    pub(super) fn for_each_scm(&self, visit: &mut dyn FnMut(&Scm)) {
        self.state.lock().packets.iter().for_each(|packet| visit(&packet.scm));
    }
}
