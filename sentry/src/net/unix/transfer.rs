//! Sending and receiving.

use std::sync::{Arc, Weak, atomic::Ordering};

use linux_abi::{
    Errno, Result,
    socket::{MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_SEQPACKET},
};
use netstack::{
    mailbox::Filter,
    stream::{ByteStream, ReadMode, Step},
};

use super::{
    Inbox, MAX_DGRAM_QLEN, NO_RECEIVE, NO_SEND, Phase, UnixSocket,
    address::UnixAddress,
    packets::{Packet, PacketQueue},
    scm::{self, Scm},
};
use crate::{
    fs::{
        file::File,
        io::{Sink, Source},
    },
    net::{
        base::Flags,
        socket::{Caller, Received, RecvArgs, SendArgs, Ucred},
    },
    wait::Events,
};

const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);

impl UnixSocket {
    fn passes_creds(&self) -> bool {
        self.base.flags().contains(Flags::PASSCRED)
    }

    /// `unix_stream_sendmsg`.
    pub(super) fn send_stream(
        &self,
        caller: Caller<'_>,
        args: &mut SendArgs<'_>,
        source: &mut dyn Source,
    ) -> Result<usize> {
        let (phase, peer) = {
            let state = self.state.lock();
            (state.phase, state.peer.clone())
        };
        if args.to.is_some() {
            return Err(if phase == Phase::Connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let peer = peer.ok_or(Errno::ENOTCONN)?;
        if self.shutdown_bits() & NO_SEND != 0 {
            return Err(Errno::EPIPE);
        }
        self.base.take_error()?;
        let Inbox::Stream(stream) = &peer.inbox else { return Err(Errno::ENOTCONN) };
        let record = self.passes_creds() || peer.passes_creds();
        self.ns.collect_if_many(&args.control);
        let scm = Scm::prepare(caller, &mut args.control, record, &self.ns.in_flight)?;
        let creds = scm.creds;
        // The last byte is the urgent one.
        let urgent = args.flags & MSG_OOB != 0 && source.remaining() > 0;
        let mut scm = Some(scm);
        let mut done = 0;
        loop {
            let left = source.remaining();
            if left == 0 {
                return Ok(done);
            }
            if urgent && left == 1 {
                return match Self::send_urgent(&peer, stream, source, &mut scm) {
                    Ok(()) => Ok(done + 1),
                    Err(_) if done > 0 => Ok(done),
                    Err(errno) => Err(errno),
                };
            }
            let left = left - usize::from(urgent);
            match stream.write(left, &mut scm, &mut |chunk| source.take(chunk)) {
                Ok(0) => return Ok(done),
                Ok(count) => {
                    done += count;
                    scm.get_or_insert_with(|| Scm { creds, rights: None });
                    peer.base.queue.wake(Events::IN | Events::RDNORM);
                }
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => {
                    if let Some(scm) = scm {
                        scm.give_back(&mut args.control);
                    }
                    return Err(errno);
                }
            }
        }
    }

    /// `unix_stream_read_generic`.
    pub(super) fn recv_stream(
        &self,
        stream: &ByteStream<Scm>,
        args: &RecvArgs,
        sink: &mut dyn Sink,
    ) -> Result<Received> {
        if args.flags & MSG_OOB != 0 {
            return self.recv_urgent(stream, args.flags & MSG_PEEK != 0, sink);
        }
        let (connected, peer) = {
            let state = self.state.lock();
            (state.phase == Phase::Connected, state.peer.clone())
        };
        if !connected {
            return Err(Errno::EINVAL);
        }
        if args.at_least > 1 {
            let status = stream.status();
            if status.queued < args.at_least && !status.finished {
                return Err(Errno::EAGAIN);
            }
        }
        let peek = args.flags & MSG_PEEK != 0;
        let pass_creds = self.passes_creds();
        let mut creds: Option<Option<Ucred>> = None;
        let mut files: Vec<Arc<File>> = Vec::new();
        if sink.remaining() == 0 {
            return Ok(Received::default());
        }
        let around = self.around_urgent(stream, peek);
        let mut limit = around.limit;
        let mode = if peek {
            ReadMode::Peek(self.base.peek_offset().unwrap_or(0).saturating_add(around.skip))
        } else {
            ReadMode::Consume
        };
        let result = stream.read(mode, &mut |scm: &mut Scm, bytes| {
            if pass_creds && creds.is_some_and(|first| first != scm.creds) {
                return Ok(Step::Stop);
            }
            let want = bytes.len().min(sink.remaining()).min(limit);
            let shown = bytes.get(..want).unwrap_or(bytes);
            let took = sink.put(shown)?;
            limit -= took.min(limit);
            creds.get_or_insert(scm.creds);
            let mut last = took < bytes.len() || limit == 0;
            if took > 0 && scm.rights.is_some() {
                files = match (peek, &scm.rights) {
                    (true, Some(rights)) => rights.files().to_vec(),
                    _ => scm.rights.take().map(scm::Rights::take).unwrap_or_default(),
                };
                last = true;
            }
            Ok(if last { Step::Last(took) } else { Step::Took(took) })
        });
        let done = match result {
            Ok(done) => done,
            Err(errno) => {
                if errno == Errno::EAGAIN {
                    self.base.take_error()?;
                }
                return Err(errno);
            }
        };
        self.base.move_peek_offset(done.bytes, peek);
        if done.bytes == 0 {
            // The end: an error that came with it is reported first.
            self.base.take_error()?;
        }
        if done.room_opened
            && let Some(peer) = &peer
        {
            peer.base.queue.wake(WRITABLE);
        }
        let from =
            if done.bytes > 0 { peer.and_then(|peer| peer.address()).map(|a| a.encode()) } else { None };
        Ok(Received {
            bytes: done.bytes,
            message: None,
            from,
            control: scm::received(creds.flatten(), files, pass_creds && done.bytes > 0),
            flags: 0,
        })
    }

    /// `unix_dgram_sendmsg`, `unix_seqpacket_sendmsg`.
    pub(super) fn send_packet(
        &self,
        caller: Caller<'_>,
        args: &mut SendArgs<'_>,
        source: &mut dyn Source,
    ) -> Result<usize> {
        let sequenced = self.base.kind == SOCK_SEQPACKET;
        if sequenced {
            self.base.take_error()?;
            if self.state.lock().phase != Phase::Connected {
                return Err(Errno::ENOTCONN);
            }
        }
        if args.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let named = match args.to {
            Some(bytes) if !sequenced => Some(Self::named(bytes)?),
            _ => None,
        };
        let connected = self.state.lock().peer.clone();
        if named.is_none() && connected.is_none() {
            return Err(Errno::ENOTCONN);
        }
        self.autobind_for_credentials()?;
        let len = source.remaining();
        if len > self.base.sndbuf().saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        self.base.take_error()?;
        if self.shutdown_bits() & NO_SEND != 0 {
            return Err(Errno::EPIPE);
        }
        if self.base.in_flight.load(Ordering::Relaxed) >= self.ns.pool.limit_now(self.base.sndbuf()) {
            return Err(Errno::EAGAIN);
        }
        let to = match (&named, connected) {
            (Some(name), _) => self.find(caller, name)?,
            (None, Some(peer)) => peer,
            (None, None) => return Err(Errno::ENOTCONN),
        };
        if !sequenced {
            self.may_send_to(&to)?;
        }
        if to.shutdown_bits() & NO_RECEIVE != 0 {
            return Err(self.refused(&to, named.is_none()));
        }
        let Inbox::Packets(inbox) = &to.inbox else { return Err(Errno::EPROTOTYPE) };
        let limit = (!sequenced && self.is_limited_by(&to)).then_some(MAX_DGRAM_QLEN);
        if limit.is_some_and(|limit| inbox.is_full(limit)) {
            self.wait_for(&to);
            return Err(Errno::EAGAIN);
        }
        let held = self.ns.pool.hold(Packet::cost(len))?;
        let mut data = vec![0; len].into_boxed_slice();
        if len > 0 && source.peek(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        if let Some(filter) = to.base.filter() {
            // What the receiver does not want is lost without a word.
            let kept = filter.keep(&data);
            if kept == 0 {
                source.advance(len);
                return Ok(len);
            }
            if kept < len {
                data = data.get(..kept).unwrap_or_default().into();
            }
        }
        let record = self.passes_creds() || to.passes_creds();
        self.ns.collect_if_many(&args.control);
        let scm = Scm::prepare(caller, &mut args.control, record, &self.ns.in_flight)?;
        let packet = Packet::new(self, data, self.address(), scm, held);
        match inbox.push(packet, limit) {
            Ok(()) => {}
            Err((Errno::EAGAIN, mut packet)) => {
                // Lost a race for the last place: what goes with it goes back to the caller, who will try again.
                std::mem::take(&mut packet.scm).give_back(&mut args.control);
                self.wait_for(&to);
                return Err(Errno::EAGAIN);
            }
            Err(_) => return Err(self.refused(&to, named.is_none())),
        }
        source.advance(len);
        to.base.queue.wake(Events::IN | Events::RDNORM);
        Ok(len)
    }

    /// The error of sending to a socket that takes nothing; a dead peer is let go of.
    fn refused(&self, to: &UnixSocket, is_peer: bool) -> Errno {
        if self.base.kind == SOCK_SEQPACKET || to.state.lock().phase != Phase::Closed {
            return Errno::EPIPE;
        }
        if is_peer {
            let old = {
                let mut state = self.state.lock();
                state.phase = Phase::Unconnected;
                state.peer.take()
            };
            drop(old);
        }
        Errno::ECONNREFUSED
    }

    fn wait_for(&self, to: &Arc<UnixSocket>) {
        let old: Weak<UnixSocket> = std::mem::replace(&mut self.state.lock().blocked_on, Arc::downgrade(to));
        drop(old);
    }

    /// `unix_dgram_recvmsg`, `unix_seqpacket_recvmsg`.
    pub(super) fn recv_packet(
        &self,
        queue: &PacketQueue,
        args: &RecvArgs,
        sink: &mut dyn Sink,
    ) -> Result<Received> {
        if self.base.kind == SOCK_SEQPACKET && self.state.lock().phase != Phase::Connected {
            return Err(Errno::ENOTCONN);
        }
        if args.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        self.base.take_error()?;
        let peek = args.flags & MSG_PEEK != 0;
        let pass_creds = self.passes_creds();
        let mut skip = if peek { self.base.peek_offset().unwrap_or(0) } else { 0 };
        let received = queue.pop(!peek, &mut skip, &mut |packet: &mut Packet, skip| {
            let data = packet.data.get(skip..).unwrap_or_default();
            let want = data.len().min(sink.remaining());
            let shown = data.get(..want).unwrap_or_default();
            let bytes = if want > 0 { sink.put(shown)? } else { 0 };
            if bytes < want {
                return Err(Errno::EFAULT);
            }
            let whole = data.len();
            let files = match &packet.scm.rights {
                None => Vec::new(),
                Some(rights) if peek => rights.files().to_vec(),
                Some(_) => packet.scm.rights.take().map(scm::Rights::take).unwrap_or_default(),
            };
            Ok(Received {
                bytes,
                message: Some(whole),
                from: packet.from.as_deref().map(UnixAddress::encode),
                control: scm::received(packet.scm.creds, files, pass_creds),
                flags: if want < whole { MSG_TRUNC } else { 0 },
            })
        })?;
        if !peek {
            self.room.wake(WRITABLE);
        }
        if let Some(received) = &received {
            let whole = received.message.unwrap_or(0);
            self.base.move_peek_offset(if peek { received.bytes } else { whole }, peek);
        }
        match received {
            // A datagram socket that was shut down: only waiting calls see the end.
            None if args.nonblocking && self.base.kind != SOCK_SEQPACKET => Err(Errno::EAGAIN),
            received => Ok(received.unwrap_or_default()),
        }
    }
}
