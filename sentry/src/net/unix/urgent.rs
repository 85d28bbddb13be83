//! Urgent data on unix streams (`MSG_OOB`, `manage_oob` in net/unix/af_unix.c).
//!
//! The urgent byte lies in the stream like any other; what is kept here is where. A read stops in front of it. A read that
//! begins at it passes over it, or takes it if the reader wants it in line (`SO_OOBINLINE`). Only the last one sent is urgent.

use std::{collections::VecDeque, sync::Arc};

use linux_abi::{Errno, Result, socket::MSG_OOB};
use netstack::stream::{ByteStream, ReadMode, Step};

use super::{Inbox, UnixSocket, scm::Scm};
use crate::{
    fs::io::{Sink, Source},
    net::{base::Flags, socket::Received},
    wait::Events,
};

/// The most urgent bytes that were taken and still lie in a stream.
const MAX_TAKEN: usize = 256;

/// Where the urgent bytes of an inbox are, counted from the stream's beginning.
#[derive(Default)]
pub(super) struct Urgent {
    /// The one that can be had.
    current: Option<u64>,
    /// Those that were had, in order: they are passed over.
    taken: VecDeque<u64>,
}

impl Urgent {
    fn first(&self) -> Option<u64> {
        self.taken.front().copied().into_iter().chain(self.current).min()
    }
}

/// How a read of the stream must be made.
pub(super) struct Around {
    /// It must end after so many bytes.
    pub(super) limit: usize,
    /// A peek must begin so many bytes on.
    pub(super) skip: usize,
}

impl UnixSocket {
    fn is_inline(&self) -> bool {
        self.base.flags().contains(Flags::OOBINLINE)
    }

    /// Sends the last byte of `source`, and marks it in the peer's stream.
    pub(super) fn send_urgent(
        peer: &Arc<UnixSocket>,
        stream: &ByteStream<Scm>,
        source: &mut dyn Source,
        scm: &mut Option<Scm>,
    ) -> Result<()> {
        if peer.urgent.lock().taken.len() >= MAX_TAKEN {
            return Err(Errno::ENOBUFS);
        }
        let mut at = 0;
        if stream.write(1, scm, &mut |chunk| source.take(chunk))? == 1 {
            at = stream.positions().1.saturating_sub(1);
        }
        peer.urgent.lock().current = Some(at);
        peer.base.queue.wake(Events::PRI | Events::IN | Events::RDNORM);
        Ok(())
    }

    /// Takes the urgent byte (`unix_stream_recv_urg`).
    pub(super) fn recv_urgent(
        &self,
        stream: &ByteStream<Scm>,
        peek: bool,
        sink: &mut dyn Sink,
    ) -> Result<Received> {
        let at = self.urgent.lock().current.filter(|_| !self.is_inline()).ok_or(Errno::EINVAL)?;
        let ahead = usize::try_from(at.saturating_sub(stream.positions().0)).unwrap_or(usize::MAX);
        let mut byte = [0];
        stream.read(ReadMode::Peek(ahead), &mut |_, bytes| {
            for (to, from) in byte.iter_mut().zip(bytes) {
                *to = *from;
            }
            Ok(Step::Last(1))
        })?;
        let bytes = sink.put(&byte)?;
        if !peek {
            let mut urgent = self.urgent.lock();
            if urgent.current == Some(at) {
                urgent.current = None;
                urgent.taken.push_back(at);
            }
        }
        Ok(Received { bytes, flags: MSG_OOB, ..Received::default() })
    }

    /// How a read is to go around the urgent bytes. Drops those that it passes over.
    pub(super) fn around_urgent(&self, stream: &ByteStream<Scm>, peek: bool) -> Around {
        let mut skip = 0;
        loop {
            let position = stream.positions().0 + skip as u64;
            let mut urgent = self.urgent.lock();
            urgent.taken.retain(|at| *at >= position);
            let none = Around { limit: usize::MAX, skip };
            let Some(at) = urgent.first() else { return none };
            if at > position {
                return Around { limit: usize::try_from(at - position).unwrap_or(usize::MAX), skip };
            }
            let is_current = urgent.current == Some(at);
            if at < position || (is_current && self.is_inline()) {
                // It was read in line, or will be now.
                if is_current && !peek {
                    urgent.current = None;
                }
                return none;
            }
            if peek {
                skip += 1;
                if urgent.taken.iter().chain(&urgent.current).all(|at| *at <= position) {
                    return Around { limit: usize::MAX, skip };
                }
                continue;
            }
            if is_current {
                urgent.current = None;
            }
            drop(urgent);
            let passed = stream.read(ReadMode::Consume, &mut |_, _| Ok(Step::Last(1)));
            if passed.is_err() {
                return none;
            }
        }
    }

    /// `POLLPRI`.
    pub(super) fn has_urgent(&self) -> bool {
        self.urgent.lock().current.is_some()
    }

    /// `SIOCATMARK`.
    pub(super) fn is_at_mark(&self) -> bool {
        let Inbox::Stream(stream) = &self.inbox else { return false };
        let position = stream.positions().0;
        self.urgent.lock().first() == Some(position)
    }
}
