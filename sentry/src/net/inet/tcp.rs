//! TCP sockets (tcp(7)).

use std::{sync::Arc, time::Instant};

use linux_abi::{
    Errno, Result,
    socket::{
        IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MTU, IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_TOS,
        IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_IF, IPV6_V6ONLY,
        MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP, MSG_FASTOPEN, MSG_OOB, MSG_PEEK, MSG_TRUNC, SO_OOBINLINE,
        SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVLOWAT, SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF, SO_SNDBUFFORCE,
        SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP, SOL_UDP, SOMAXCONN, TCP_CONGESTION, TCP_INFO, TCP_MAXSEG,
        TCP_ULP,
    },
};
use netstack::{
    Stack,
    tcp::{Tcp, TcpState, transfer::TcpRecv},
};
use parking_lot::Mutex;

use super::{
    Destination, any, decode_bind, decode_destination, notifier,
    options::{InetOptions, decode_int, priority_of},
    wish,
};
use crate::{
    fs::io::{Sink, Source},
    net::{
        address::SocketAddress,
        base::{Flags, SocketBase},
        inode::SockFs,
        socket::{Caller, Received, RecvArgs, SendArgs, Shutdown, Socket},
    },
    wait::{Events, Watch},
};

/// What getsockopt(2) shows before anything was set (`tcp_wmem[1]`, `tcp_rmem[1]`).
const SNDBUF_DEFAULT: i32 = 16_384;
const RCVBUF_DEFAULT: i32 = 131_072;
/// The largest segment on the loopback: its MTU without the headers of IP and TCP (with timestamps).
const LOOPBACK_MSS: i32 = 65_483;
/// The segment size assumed before there is a connection.
const UNCONNECTED_MSS: i32 = 536;
/// `TCP_CA_NAME_MAX`.
const CONGESTION_NAME_LEN: usize = 16;

/// A TCP socket.
pub struct TcpSocket {
    base: SocketBase,
    tcp: Arc<Tcp>,
    options: InetOptions,
    congestion: Mutex<&'static str>,
    sockfs: Arc<SockFs>,
}

impl TcpSocket {
    /// socket(2).
    pub fn new(stack: &Arc<Stack>, base: SocketBase, sockfs: Arc<SockFs>) -> Arc<TcpSocket> {
        base.set_buffer_defaults(SNDBUF_DEFAULT, RCVBUF_DEFAULT);
        TcpSocket::build(stack.tcp(), base, InetOptions::default(), "cubic", sockfs)
    }

    fn build(
        tcp: Arc<Tcp>,
        base: SocketBase,
        options: InetOptions,
        congestion: &'static str,
        sockfs: Arc<SockFs>,
    ) -> Arc<TcpSocket> {
        tcp.set_inline(base.flags().contains(Flags::OOBINLINE));
        tcp.set_notify(notifier(&base));
        tcp.set_owner(base.inode.number(), base.inode.uid());
        Arc::new(TcpSocket { base, tcp, options, congestion: Mutex::new(congestion), sockfs })
    }

    fn begin_connect(&self, address: &[u8], nonblocking: bool) -> Result<()> {
        match decode_destination(&self.base, &self.options, address)? {
            Destination::Nobody => {
                self.tcp.disconnect();
                Ok(())
            }
            Destination::At(to) => {
                self.tcp.connect(to, &wish(&self.base, &self.options, any(self.base.domain)), nonblocking)
            }
        }
    }

    fn is_connected(&self) -> bool {
        matches!(self.tcp.tcp_state(), TcpState::Established | TcpState::FinWait2 | TcpState::CloseWait)
    }

    /// `struct tcp_info`, as far as there is anything to tell.
    fn info(&self) -> Vec<u8> {
        let mut info = vec![0; 248];
        let mut put = |at: usize, bytes: &[u8]| {
            for (to, from) in info.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        };
        let state = self.tcp.tcp_state();
        put(0, &[state as u8]);
        let mut words = vec![(8, 200_000), (12, 40_000), (16, LOOPBACK_MSS), (20, UNCONNECTED_MSS)];
        if state == TcpState::Listen {
            let (ready, backlog) = self.tcp.backlog();
            words.push((24, i32::try_from(ready).unwrap_or(i32::MAX)));
            words.push((28, i32::try_from(backlog).unwrap_or(i32::MAX)));
        } else {
            // Options negotiated: timestamps, SACK, window scaling (7 and 7).
            put(5, &[7]);
            put(6, &[0x77]);
            // pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss.
            words.extend([
                (60, 65_535),
                (64, 65_483),
                (68, 30),
                (72, 15),
                (76, i32::MAX),
                (80, 10),
                (84, LOOPBACK_MSS),
            ]);
        }
        for (at, word) in words {
            put(at, &word.to_ne_bytes());
        }
        let (sent, received) = self.tcp.counters();
        // bytes_acked, bytes_received, bytes_sent.
        put(120, &sent.to_ne_bytes());
        put(128, &received.to_ne_bytes());
        put(200, &sent.to_ne_bytes());
        info
    }

    fn apply_buffers(&self) {
        let flags = self.base.flags();
        // Half of what Linux calls the buffer is overhead.
        let send = flags.contains(Flags::SNDBUF_LOCKED).then(|| self.base.sndbuf() / 2);
        let receive = flags.contains(Flags::RCVBUF_LOCKED).then(|| self.base.rcvbuf() / 2);
        self.tcp.set_capacities(send, receive);
    }
}

impl Socket for TcpSocket {
    fn base(&self) -> &SocketBase {
        &self.base
    }

    fn take_error(&self) -> Result<()> {
        self.tcp.take_error()?;
        self.base.take_error()
    }

    fn bind(&self, caller: Caller<'_>, address: &[u8]) -> Result<()> {
        self.tcp.bind(&decode_bind(caller, &self.base, &self.options, address)?)
    }

    fn connect(&self, _caller: Caller<'_>, address: &[u8], nonblocking: bool) -> Result<()> {
        self.begin_connect(address, nonblocking)
    }

    fn connect_result(&self) -> Result<()> {
        self.tcp.connect_result()
    }

    fn listen(&self, _caller: Caller<'_>, backlog: i32) -> Result<()> {
        // A negative backlog counts as the largest: the comparison is unsigned.
        let backlog = usize::try_from(backlog).unwrap_or(usize::MAX).min(SOMAXCONN.unsigned_abs() as usize);
        self.tcp.listen(backlog, &wish(&self.base, &self.options, any(self.base.domain)))
    }

    fn accept(&self, caller: Caller<'_>) -> Result<Arc<dyn Socket>> {
        let tcp = self.tcp.accept()?;
        let creds = caller.creds();
        let base = self.base.inherit(self.sockfs.new_inode(creds.fsuid, creds.fsgid));
        let congestion = *self.congestion.lock();
        Ok(TcpSocket::build(tcp, base, self.options.duplicate(), congestion, Arc::clone(&self.sockfs)))
    }

    fn send(&self, _caller: Caller<'_>, args: &mut SendArgs<'_>, source: &mut dyn Source) -> Result<usize> {
        if args.flags & MSG_FASTOPEN != 0
            && let Some(to) = args.to
        {
            match self.begin_connect(to, args.nonblocking) {
                Ok(()) | Err(Errno::EISCONN) => {}
                Err(Errno::EINPROGRESS | Errno::EALREADY) if !args.nonblocking => return Err(Errno::EAGAIN),
                Err(errno) => return Err(errno),
            }
        }
        let len = source.remaining();
        if args.flags & MSG_OOB == 0 || len == 0 {
            return self.tcp.send(len, &mut |chunk| source.take(chunk));
        }
        let mut done = 0;
        while done + 1 < len {
            match self.tcp.send(len - done - 1, &mut |chunk| source.take(chunk)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno),
            }
        }
        let mut byte = [0];
        source.take(&mut byte)?;
        let [byte] = byte;
        self.tcp.send_urgent(byte)?;
        Ok(done + 1)
    }

    fn recv(&self, _caller: Caller<'_>, args: &RecvArgs, sink: &mut dyn Sink) -> Result<Received> {
        let peek = args.flags & MSG_PEEK != 0;
        if args.flags & MSG_OOB != 0 {
            let byte = self.tcp.recv_urgent(peek)?;
            let fits = sink.remaining() > 0;
            let bytes = if fits { sink.put(&[byte])? } else { 0 };
            let flags = MSG_OOB | if fits { 0 } else { MSG_TRUNC };
            return Ok(Received { bytes, flags, ..Received::default() });
        }
        let max = sink.remaining();
        if max == 0 {
            return Ok(Received::default());
        }
        let skip = if peek { self.base.peek_offset().unwrap_or(0) } else { 0 };
        let want = TcpRecv { peek, skip, max, at_least: args.at_least };
        let bytes = if args.flags & MSG_TRUNC != 0 {
            // tcp(7): the bytes are thrown away.
            self.tcp.recv(want, &mut |bytes| Ok(bytes.len()))?
        } else {
            self.tcp.recv(want, &mut |bytes| sink.put(bytes))?
        };
        self.base.move_peek_offset(bytes, peek);
        Ok(Received { bytes, ..Received::default() })
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.tcp.shutdown(how.read, how.write)
    }

    fn local_name(&self) -> Result<SocketAddress> {
        let local = self.tcp.local_addr().unwrap_or_else(|| any(self.base.domain));
        Ok(SocketAddress::from_inet(local, self.base.domain))
    }

    fn peer_name(&self) -> Result<SocketAddress> {
        Ok(SocketAddress::from_inet(self.tcp.peer_addr()?, self.base.domain))
    }

    fn get_option(&self, level: i32, name: i32, len: usize) -> Result<Vec<u8>> {
        match (level, name) {
            (SOL_SOCKET | SOL_UDP, _) => Err(Errno::ENOPROTOOPT),
            (SOL_TCP, TCP_INFO) => Ok(self.info()),
            (SOL_TCP, TCP_CONGESTION) => {
                let mut name = self.congestion.lock().as_bytes().to_vec();
                name.resize(CONGESTION_NAME_LEN, 0);
                Ok(name)
            }
            (SOL_TCP, TCP_ULP) => Ok(Vec::new()),
            (SOL_TCP, TCP_MAXSEG) => {
                let chosen = self.options.get(level, name);
                let mss = if self.is_connected() { LOOPBACK_MSS } else { UNCONNECTED_MSS };
                Ok((if chosen > 0 { chosen.min(mss.max(chosen)) } else { mss }).to_ne_bytes().to_vec())
            }
            (SOL_IP, IP_MTU) if self.is_connected() => Ok(65_535i32.to_ne_bytes().to_vec()),
            (SOL_IP, IP_MTU) => Err(Errno::ENOTCONN),
            _ => self.options.get_option(self.base.domain, level, name, len),
        }
    }

    fn set_option(&self, caller: Caller<'_>, level: i32, name: i32, value: &[u8]) -> Result<()> {
        match (level, name) {
            (SOL_SOCKET | SOL_UDP, _) => Err(Errno::ENOPROTOOPT),
            (SOL_TCP, TCP_CONGESTION) => {
                let wanted = value.split(|&byte| byte == 0).next().unwrap_or_default();
                *self.congestion.lock() = match wanted {
                    b"cubic" => "cubic",
                    b"reno" => "reno",
                    b"" => return Err(Errno::EINVAL),
                    _ => return Err(Errno::ENOENT),
                };
                Ok(())
            }
            (SOL_IPV6, IPV6_V6ONLY) if self.tcp.local_addr().is_some() => Err(Errno::EINVAL),
            (SOL_TCP, TCP_ULP) => Err(Errno::ENOENT),
            // Groups are for datagrams.
            (SOL_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP | MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP)
            | (SOL_IPV6, IPV6_JOIN_GROUP | IPV6_LEAVE_GROUP | MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP) => {
                Err(Errno::EPROTO)
            }
            (SOL_IP, IP_MULTICAST_TTL | IP_MULTICAST_IF) => Err(Errno::EINVAL),
            (SOL_IPV6, IPV6_MULTICAST_HOPS | IPV6_MULTICAST_IF) => Err(Errno::ENOPROTOOPT),
            (SOL_IP, IP_TOS) => {
                // Two bits are congestion notification's own.
                let tos = match value {
                    [byte] => i32::from(*byte),
                    _ => decode_int(value)?,
                };
                let tos = tos & 0xfc | self.options.get(level, name) & 3;
                self.base.set_priority(priority_of(tos));
                self.options.set_option(caller, self.base.domain, level, name, &tos.to_ne_bytes())
            }
            _ => self.options.set_option(caller, self.base.domain, level, name, value),
        }
    }

    fn option_changed(&self, name: i32) {
        match name {
            SO_SNDBUF | SO_SNDBUFFORCE | SO_RCVBUF | SO_RCVBUFFORCE => self.apply_buffers(),
            SO_REUSEADDR | SO_REUSEPORT => {
                let flags = self.base.flags();
                self.tcp.set_reuse(flags.contains(Flags::REUSEADDR), flags.contains(Flags::REUSEPORT));
            }
            SO_OOBINLINE => self.tcp.set_inline(self.base.flags().contains(Flags::OOBINLINE)),
            SO_RCVLOWAT => self.base.queue.wake(Events::IN | Events::RDNORM),
            _ => {}
        }
    }

    fn readable_bytes(&self) -> Result<usize> {
        self.tcp.readable()
    }

    fn unsent_bytes(&self) -> Result<usize> {
        self.tcp.unsent()
    }

    fn at_mark(&self) -> Result<bool> {
        Ok(self.tcp.at_mark())
    }

    fn is_listening(&self) -> bool {
        self.tcp.tcp_state() == TcpState::Listen
    }

    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.base.queue.register(watch);
        }
        let mut events = Events::from_bits_truncate(self.tcp.ready(self.base.rcvlowat()).0);
        if self.base.has_error() {
            events |= Events::ERR;
        }
        events
    }

    fn close(&self) {
        self.tcp.close(self.base.linger() == Some(0), Instant::now());
    }
}
