//! Raw sockets (raw(7)) and ping sockets (icmp(7)).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use linux_abi::{
    Errno, Result,
    socket::{
        AF_INET6, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MULTICAST_TTL, IP_RECVERR, IP_TOS, IP_TTL,
        IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP, IPV6_RECVERR, IPV6_TCLASS, IPV6_UNICAST_HOPS, MSG_OOB, MSG_PEEK,
        MSG_TRUNC, SO_RCVBUF, SO_RCVBUFFORCE, SOL_ICMPV6, SOL_IP, SOL_IPV6, SOL_RAW, SOL_SOCKET, SOL_TCP,
        SOL_UDP,
    },
};
use netstack::{
    Stack,
    bpf::Program,
    mailbox::Filter,
    raw::{Raw, RawKind, RawSend},
    udp::{Datagram, UdpSend},
};

use super::{
    Destination, any, control, decode_destination, errors, notifier,
    options::{InetOptions, decode_int, decode_membership_v4, decode_membership_v6},
};
use crate::{
    fs::io::{Sink, Source},
    net::{
        address::{SocketAddress, decode_v4, decode_v6, family, unmapped},
        base::{Flags, SocketBase},
        socket::{Caller, Received, RecvArgs, SendArgs, Shutdown, Socket},
    },
    wait::{Events, Watch},
};

const IP_HDRINCL: i32 = 3;
const IPV6_CHECKSUM: i32 = 7;
/// The only option of `SOL_RAW` and of `SOL_ICMPV6`.
const ICMP_FILTER: i32 = 1;
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;
const IPPROTO_RAW: u8 = 255;

/// A raw or ping socket.
pub struct RawSocket {
    base: SocketBase,
    raw: Arc<Raw>,
    options: InetOptions,
    with_header: AtomicI32,
    /// `IPV6_CHECKSUM`; negative for none.
    checksum_at: AtomicI32,
}

impl RawSocket {
    /// socket(2). Who may have one was checked.
    pub fn new(stack: &Arc<Stack>, base: SocketBase, kind: RawKind) -> Arc<RawSocket> {
        let v6 = base.domain == AF_INET6;
        let raw = stack.raw(kind, v6, base.inode.number());
        raw.mailbox.set_notify(notifier(&base));
        let with_header = AtomicI32::new(i32::from(kind == RawKind::Raw(IPPROTO_RAW) && !v6));
        let icmp = kind == RawKind::Raw(IPPROTO_ICMPV6);
        let checksum_at = AtomicI32::new(if icmp { 2 } else { -1 });
        Arc::new(RawSocket { base, raw, options: InetOptions::default(), with_header, checksum_at })
    }

    fn protocol(&self) -> u8 {
        match self.raw.kind {
            RawKind::Raw(protocol) => protocol,
            RawKind::Ping if self.base.domain == AF_INET6 => IPPROTO_ICMPV6,
            RawKind::Ping => IPPROTO_ICMP,
        }
    }

    fn decode(&self, address: &[u8]) -> Result<SocketAddr> {
        let v6 = self.base.domain == AF_INET6;
        let at = if v6 { decode_v6(address)? } else { decode_v4(address)? };
        if family(address) != Some(self.base.domain) && family(address) != Some(0) {
            return Err(Errno::EAFNOSUPPORT);
        }
        let ip = unmapped(at.ip());
        // v6 raw sockets have nothing to do with v4 packets.
        if v6 && ip.is_ipv4() { Err(Errno::EADDRNOTAVAIL) } else { Ok(SocketAddr::new(ip, at.port())) }
    }

    fn how(&self, to: Option<&[u8]>) -> Result<UdpSend> {
        let to = match to {
            Some(to) => self.decode(to).map_err(|errno| match errno {
                Errno::EADDRNOTAVAIL => Errno::ENETUNREACH,
                other => other,
            })?,
            None => self.raw.peer_addr().ok_or(Errno::EDESTADDRREQ)?,
        };
        let byte = |level, name| u8::try_from(self.options.get(level, name)).unwrap_or(0);
        let v6 = to.is_ipv6();
        let ttl = match (v6, to.ip().is_multicast()) {
            (true, _) => byte(SOL_IPV6, IPV6_UNICAST_HOPS),
            (false, true) => byte(SOL_IP, IP_MULTICAST_TTL),
            (false, false) => byte(SOL_IP, IP_TTL),
        };
        Ok(UdpSend {
            to: Some(to),
            source: None,
            ttl,
            tos: if v6 { byte(SOL_IPV6, IPV6_TCLASS) } else { byte(SOL_IP, IP_TOS) },
            broadcast: self.base.flags().contains(Flags::BROADCAST),
            multicast_out: self.options.multicast_out(),
        })
    }

    /// Sizes of what the filter options take: the v4 one is a word.
    fn icmp_filter_words(&self) -> usize {
        if self.base.domain == AF_INET6 { 8 } else { 1 }
    }

    fn has_icmp_filter(&self, level: i32, name: i32) -> bool {
        let wanted = match self.raw.kind {
            RawKind::Raw(IPPROTO_ICMP) => SOL_RAW,
            RawKind::Raw(IPPROTO_ICMPV6) => SOL_ICMPV6,
            _ => return false,
        };
        level == wanted && name == ICMP_FILTER
    }
}

impl Socket for RawSocket {
    fn base(&self) -> &SocketBase {
        &self.base
    }

    fn take_error(&self) -> Result<()> {
        self.raw.mailbox.take_error()?;
        self.base.take_error()
    }

    fn bind(&self, _caller: Caller<'_>, address: &[u8]) -> Result<()> {
        self.raw.bind(self.decode(address)?, self.options.is_freebind())
    }

    fn connect(&self, _caller: Caller<'_>, address: &[u8], _nonblocking: bool) -> Result<()> {
        let to = match decode_destination(&self.base, &self.options, address)? {
            Destination::Nobody => None,
            Destination::At(to) => Some(to),
        };
        let broadcast = self.base.flags().contains(Flags::BROADCAST);
        self.raw.connect(to, broadcast, self.options.multicast_out())
    }

    fn send(&self, _caller: Caller<'_>, args: &mut SendArgs<'_>, source: &mut dyn Source) -> Result<usize> {
        let len = source.remaining();
        if len > 0xffff {
            return Err(Errno::EMSGSIZE);
        }
        if args.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut how = self.how(args.to)?;
        control::apply(&args.control, self.base.domain, &mut how)?;
        let mut data = vec![0; len];
        if len > 0 && source.peek(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        let how = RawSend {
            to: how.to.ok_or(Errno::EDESTADDRREQ)?,
            source: how.source,
            ttl: how.ttl,
            tos: how.tos,
            with_header: self.with_header.load(Ordering::Relaxed) != 0,
            broadcast: how.broadcast,
            multicast_out: how.multicast_out,
            checksum_at: usize::try_from(self.checksum_at.load(Ordering::Relaxed)).ok(),
        };
        self.raw.send(&how, &data)?;
        source.advance(len);
        Ok(len)
    }

    fn recv(&self, _caller: Caller<'_>, args: &RecvArgs, sink: &mut dyn Sink) -> Result<Received> {
        if args.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let consume = args.flags & MSG_PEEK == 0;
        let received = self.raw.recv(consume, &mut |datagram: &Datagram| {
            let want = datagram.data.len().min(sink.remaining());
            let bytes = if want > 0 { sink.put(datagram.data.get(..want).unwrap_or_default())? } else { 0 };
            if bytes < want {
                return Err(Errno::EFAULT);
            }
            let control = if args.want_control {
                control::received(datagram, self.base.domain, self.base.flags(), &self.options)
            } else {
                Vec::new()
            };
            Ok(Received {
                bytes,
                message: Some(datagram.data.len()),
                from: Some(SocketAddress::from_inet(datagram.from, self.base.domain)),
                control,
                flags: if want < datagram.data.len() { MSG_TRUNC } else { 0 },
            })
        })?;
        match received {
            None if args.nonblocking => Err(Errno::EAGAIN),
            received => Ok(received.unwrap_or_default()),
        }
    }

    fn recv_error(&self, sink: &mut dyn Sink) -> Result<Received> {
        let report = self.raw.mailbox.take_report().ok_or(Errno::EAGAIN)?;
        errors::received(&report, self.base.domain, sink)
    }

    fn set_filter(&self, filter: Option<Arc<Program>>) -> Result<()> {
        self.raw.mailbox.set_filter(filter.map(|filter| filter as Arc<dyn Filter>));
        Ok(())
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.raw.shutdown(how.read, how.write)
    }

    fn local_name(&self) -> Result<SocketAddress> {
        let (ip, ident) = self.raw.local();
        // A raw socket's port is its protocol.
        let port = if self.raw.kind == RawKind::Ping { ident } else { u16::from(self.protocol()) };
        let ip = ip.unwrap_or_else(|| any(self.base.domain).ip());
        Ok(SocketAddress::from_inet(SocketAddr::new(ip, port), self.base.domain))
    }

    fn peer_name(&self) -> Result<SocketAddress> {
        let peer = self.raw.peer_addr().ok_or(Errno::ENOTCONN)?;
        Ok(SocketAddress::from_inet(peer, self.base.domain))
    }

    fn get_option(&self, level: i32, name: i32, len: usize) -> Result<Vec<u8>> {
        match (level, name) {
            (SOL_SOCKET | SOL_TCP | SOL_UDP, _) => Err(Errno::ENOPROTOOPT),
            (SOL_IP, IP_HDRINCL) if self.raw.kind != RawKind::Ping => {
                Ok(self.with_header.load(Ordering::Relaxed).to_ne_bytes().to_vec())
            }
            (SOL_IPV6 | SOL_RAW, IPV6_CHECKSUM) if self.base.domain == AF_INET6 => {
                Ok(self.checksum_at.load(Ordering::Relaxed).to_ne_bytes().to_vec())
            }
            _ if self.has_icmp_filter(level, name) => {
                let words = self.raw.icmp_filter();
                Ok(words.iter().take(self.icmp_filter_words()).flat_map(|word| word.to_ne_bytes()).collect())
            }
            (SOL_RAW, _) if self.protocol() != IPPROTO_ICMP => Err(Errno::EOPNOTSUPP),
            _ => self.options.get_option(self.base.domain, level, name, len),
        }
    }

    fn set_option(&self, caller: Caller<'_>, level: i32, name: i32, value: &[u8]) -> Result<()> {
        match (level, name) {
            (SOL_SOCKET | SOL_TCP | SOL_UDP, _) => return Err(Errno::ENOPROTOOPT),
            (SOL_IP, IP_HDRINCL) if self.raw.kind != RawKind::Ping => {
                self.with_header.store(i32::from(decode_int(value)? != 0), Ordering::Relaxed);
                return Ok(());
            }
            (SOL_IPV6 | SOL_RAW, IPV6_CHECKSUM) if self.base.domain == AF_INET6 => {
                let at = decode_int(value)?;
                // RFC 3542: ICMPv6 has its checksum where it has it; others' are at even places.
                if (self.protocol() == IPPROTO_ICMPV6 && level == SOL_IPV6) || (at > 0 && at % 2 != 0) {
                    return Err(Errno::EINVAL);
                }
                self.checksum_at.store(at.max(-1), Ordering::Relaxed);
                return Ok(());
            }
            (SOL_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP) => {
                return self.raw.set_membership(decode_membership_v4(value)?, name == IP_ADD_MEMBERSHIP);
            }
            (SOL_IPV6, IPV6_JOIN_GROUP | IPV6_LEAVE_GROUP) if self.base.domain == AF_INET6 => {
                return self.raw.set_membership(decode_membership_v6(value)?, name == IPV6_JOIN_GROUP);
            }
            _ if self.has_icmp_filter(level, name) => {
                let mut words = self.raw.icmp_filter();
                let given = value.as_chunks::<4>().0;
                for (to, from) in words.iter_mut().take(self.icmp_filter_words()).zip(given) {
                    *to = u32::from_ne_bytes(*from);
                }
                self.raw.set_icmp_filter(&words);
                return Ok(());
            }
            (SOL_RAW, _) if self.protocol() != IPPROTO_ICMP => return Err(Errno::EOPNOTSUPP),
            _ => {}
        }
        self.options.set_option(caller, self.base.domain, level, name, value)?;
        let wants =
            self.options.get(SOL_IP, IP_RECVERR) != 0 || self.options.get(SOL_IPV6, IPV6_RECVERR) != 0;
        self.raw.mailbox.set_wants_reports(wants);
        Ok(())
    }

    fn option_changed(&self, name: i32) {
        if matches!(name, SO_RCVBUF | SO_RCVBUFFORCE) {
            self.raw.mailbox.set_limit(self.base.rcvbuf());
        }
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.raw.mailbox.first_len().unwrap_or(0))
    }

    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.base.queue.register(watch);
        }
        let mut events = Events::from_bits_truncate(self.raw.ready().0);
        if self.base.has_error() {
            events |= Events::ERR;
        }
        events
    }

    fn close(&self) {
        self.raw.close();
    }
}
