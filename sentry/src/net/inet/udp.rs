//! UDP sockets (udp(7)).

use std::sync::Arc;

use linux_abi::{
    Errno, Result,
    socket::{
        AF_INET, AF_INET6, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MTU, IP_MULTICAST_TTL, IP_RECVERR,
        IP_TOS, IP_TTL, IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP, IPV6_RECVERR, IPV6_TCLASS, IPV6_UNICAST_HOPS,
        IPV6_V6ONLY, MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC, SO_RCVBUF,
        SO_RCVBUFFORCE, SO_REUSEADDR, SO_REUSEPORT, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP, SOL_UDP, UDP_CORK,
    },
};
use netstack::{
    Stack,
    bpf::Program,
    mailbox::Filter,
    udp::{Datagram, Udp, UdpSend},
};

use parking_lot::Mutex;

use super::{
    Destination, any, control, decode_bind, decode_destination, errors, notifier,
    options::{InetOptions, decode_group_request, decode_membership_v4, decode_membership_v6, priority_of},
    wish,
};
use crate::{
    fs::io::{Sink, Source},
    net::{
        address::SocketAddress,
        base::{Flags, SocketBase},
        socket::{Caller, Received, RecvArgs, SendArgs, Shutdown, Socket},
    },
    wait::{Events, Watch},
};

/// A UDP socket.
pub struct UdpSocket {
    base: SocketBase,
    udp: Arc<Udp>,
    options: InetOptions,
    /// What was sent with `MSG_MORE` or `UDP_CORK`, and how.
    corked: Mutex<Option<(UdpSend, Vec<u8>)>>,
}

impl UdpSocket {
    /// socket(2).
    pub fn new(stack: &Arc<Stack>, base: SocketBase) -> Arc<UdpSocket> {
        let udp = stack.udp();
        udp.mailbox.set_notify(notifier(&base));
        udp.set_owner(base.inode.number(), base.inode.uid());
        Arc::new(UdpSocket { base, udp, options: InetOptions::default(), corked: Mutex::new(None) })
    }

    fn byte_option(&self, level: i32, name: i32) -> u8 {
        u8::try_from(self.options.get(level, name)).unwrap_or(0)
    }

    /// How a datagram to `to` is sent.
    fn how(&self, to: Option<&[u8]>) -> Result<UdpSend> {
        let to = match to.map(|to| decode_destination(&self.base, &self.options, to)).transpose()? {
            None => None,
            Some(Destination::At(to)) => Some(to),
            // udp_sendmsg takes AF_UNSPEC for AF_INET; AF_INET6 sockets send to their peer.
            Some(Destination::Nobody) if self.base.domain == AF_INET6 => None,
            Some(Destination::Nobody) => Some(crate::net::address::decode_v4(to.unwrap_or_default())?),
        };
        let v6 = to.or_else(|| self.udp.peer_addr()).is_some_and(|to| to.is_ipv6());
        let multicast = to.is_some_and(|to| to.ip().is_multicast());
        let ttl = match (v6, multicast) {
            (true, _) => self.byte_option(SOL_IPV6, IPV6_UNICAST_HOPS),
            (false, true) => self.byte_option(SOL_IP, IP_MULTICAST_TTL),
            (false, false) => self.byte_option(SOL_IP, IP_TTL),
        };
        Ok(UdpSend {
            to,
            source: None,
            ttl,
            tos: if v6 { self.byte_option(SOL_IPV6, IPV6_TCLASS) } else { self.byte_option(SOL_IP, IP_TOS) },
            broadcast: self.base.flags().contains(Flags::BROADCAST),
            multicast_out: self.options.multicast_out(),
        })
    }

    /// Adds to the datagram that is being put together; without `more`, sends it.
    fn send_corked(&self, args: &SendArgs<'_>, source: &mut dyn Source, more: bool) -> Result<usize> {
        let len = source.remaining();
        let mut corked = self.corked.lock();
        if corked.is_none() {
            let mut how = self.how(args.to)?;
            control::apply(&args.control, self.base.domain, &mut how)?;
            self.udp.may_send(&how, len)?;
            *corked = Some((how, Vec::new()));
        }
        let Some((how, data)) = &mut *corked else { return Err(Errno::EAGAIN) };
        let before = data.len();
        if self.udp.may_send(how, before + len).is_err() {
            return Err(Errno::EMSGSIZE);
        }
        data.resize(before + len, 0);
        if len > 0 && source.peek(data.get_mut(before..).unwrap_or_default())? < len {
            data.truncate(before);
            return Err(Errno::EFAULT);
        }
        source.advance(len);
        drop(corked);
        if !more {
            self.uncork()?;
        }
        Ok(len)
    }

    /// Sends what was put together.
    fn uncork(&self) -> Result<()> {
        let Some((how, data)) = self.corked.lock().take() else { return Ok(()) };
        self.udp.send(&how, data.into(), &wish(&self.base, &self.options, any(self.base.domain)))
    }
}

impl Socket for UdpSocket {
    fn base(&self) -> &SocketBase {
        &self.base
    }

    fn take_error(&self) -> Result<()> {
        self.udp.mailbox.take_error()?;
        self.base.take_error()
    }

    fn bind(&self, caller: Caller<'_>, address: &[u8]) -> Result<()> {
        self.udp.bind(&decode_bind(caller, &self.base, &self.options, address)?)
    }

    fn connect(&self, _caller: Caller<'_>, address: &[u8], _nonblocking: bool) -> Result<()> {
        match decode_destination(&self.base, &self.options, address)? {
            Destination::Nobody => {
                self.udp.disconnect(any(self.base.domain).ip());
                Ok(())
            }
            Destination::At(to) => {
                let broadcast = self.base.flags().contains(Flags::BROADCAST);
                let wish = wish(&self.base, &self.options, any(self.base.domain));
                self.udp.connect(to, &wish, broadcast, self.options.multicast_out())
            }
        }
    }

    fn send(&self, _caller: Caller<'_>, args: &mut SendArgs<'_>, source: &mut dyn Source) -> Result<usize> {
        let len = source.remaining();
        if len > 0xffff {
            return Err(Errno::EMSGSIZE);
        }
        if args.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let wish = wish(&self.base, &self.options, any(self.base.domain));
        self.udp.autobind(&wish)?;
        let more = args.flags & MSG_MORE != 0 || self.options.get(SOL_UDP, UDP_CORK) != 0;
        if more || self.corked.lock().is_some() {
            return self.send_corked(args, source, more);
        }
        let mut how = self.how(args.to)?;
        control::apply(&args.control, self.base.domain, &mut how)?;
        self.udp.may_send(&how, len)?;
        let mut data: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
        if let Some(buffer) = Arc::get_mut(&mut data)
            && len > 0
            && source.peek(buffer)? < len
        {
            return Err(Errno::EFAULT);
        }
        self.udp.send(&how, data, &wish)?;
        source.advance(len);
        Ok(len)
    }

    fn recv(&self, _caller: Caller<'_>, args: &RecvArgs, sink: &mut dyn Sink) -> Result<Received> {
        let consume = args.flags & MSG_PEEK == 0;
        let skip = if consume { 0 } else { self.base.peek_offset().unwrap_or(0) };
        let received = self.udp.recv(consume, skip, &mut |datagram: &Datagram, skip| {
            let data = datagram.data.get(skip..).unwrap_or_default();
            let want = data.len().min(sink.remaining());
            let bytes = if want > 0 { sink.put(data.get(..want).unwrap_or_default())? } else { 0 };
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
                message: Some(data.len()),
                from: Some(SocketAddress::from_inet(datagram.from, self.base.domain)),
                control,
                flags: if want < data.len() { MSG_TRUNC } else { 0 },
            })
        })?;
        if let Some(received) = &received {
            let whole = received.message.unwrap_or(0);
            self.base.move_peek_offset(if consume { whole } else { received.bytes }, !consume);
        }
        match received {
            None if args.nonblocking => Err(Errno::EAGAIN),
            received => Ok(received.unwrap_or_default()),
        }
    }

    fn recv_error(&self, sink: &mut dyn Sink) -> Result<Received> {
        let report = self.udp.mailbox.take_report().ok_or(Errno::EAGAIN)?;
        errors::received(&report, self.base.domain, sink)
    }

    fn set_filter(&self, filter: Option<Arc<Program>>) -> Result<()> {
        self.udp.mailbox.set_filter(filter.map(|filter| filter as Arc<dyn Filter>));
        Ok(())
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.udp.shutdown(how.read, how.write)
    }

    fn local_name(&self) -> Result<SocketAddress> {
        let local = self.udp.local_addr().unwrap_or_else(|| any(self.base.domain));
        Ok(SocketAddress::from_inet(local, self.base.domain))
    }

    fn peer_name(&self) -> Result<SocketAddress> {
        Ok(SocketAddress::from_inet(self.udp.peer_addr().ok_or(Errno::ENOTCONN)?, self.base.domain))
    }

    fn get_option(&self, level: i32, name: i32, len: usize) -> Result<Vec<u8>> {
        match (level, name) {
            (SOL_SOCKET | SOL_TCP, _) => Err(Errno::ENOPROTOOPT),
            (SOL_IP, IP_MTU) if self.udp.peer_addr().is_some() => Ok(65_535i32.to_ne_bytes().to_vec()),
            (SOL_IP, IP_MTU) => Err(Errno::ENOTCONN),
            _ => self.options.get_option(self.base.domain, level, name, len),
        }
    }

    fn set_option(&self, caller: Caller<'_>, level: i32, name: i32, value: &[u8]) -> Result<()> {
        match (level, name) {
            (SOL_SOCKET | SOL_TCP, _) => Err(Errno::ENOPROTOOPT),
            (SOL_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP) => {
                self.udp.set_membership(decode_membership_v4(value)?, name == IP_ADD_MEMBERSHIP)
            }
            (SOL_IPV6, IPV6_JOIN_GROUP | IPV6_LEAVE_GROUP) if self.base.domain == AF_INET6 => {
                self.udp.set_membership(decode_membership_v6(value)?, name == IPV6_JOIN_GROUP)
            }
            (SOL_IP, MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP) => {
                self.udp.set_membership(decode_group_request(value, AF_INET)?, name == MCAST_JOIN_GROUP)
            }
            (SOL_IPV6, MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP) if self.base.domain == AF_INET6 => {
                self.udp.set_membership(decode_group_request(value, AF_INET6)?, name == MCAST_JOIN_GROUP)
            }
            (SOL_UDP, UDP_CORK) => {
                self.options.set_option(caller, self.base.domain, level, name, value)?;
                if self.options.get(level, name) == 0 { self.uncork() } else { Ok(()) }
            }
            (SOL_IPV6, IPV6_V6ONLY) if self.udp.local_addr().is_some() => Err(Errno::EINVAL),
            _ => {
                self.options.set_option(caller, self.base.domain, level, name, value)?;
                if (level, name) == (SOL_IP, IP_TOS) {
                    self.base.set_priority(priority_of(self.options.get(level, name)));
                }
                let wants = self.options.get(SOL_IP, IP_RECVERR) != 0
                    || self.options.get(SOL_IPV6, IPV6_RECVERR) != 0;
                self.udp.mailbox.set_wants_reports(wants);
                Ok(())
            }
        }
    }

    fn option_changed(&self, name: i32) {
        match name {
            SO_RCVBUF | SO_RCVBUFFORCE => self.udp.mailbox.set_limit(self.base.rcvbuf()),
            SO_REUSEADDR | SO_REUSEPORT => {
                let flags = self.base.flags();
                self.udp.set_reuse(flags.contains(Flags::REUSEADDR), flags.contains(Flags::REUSEPORT));
            }
            _ => {}
        }
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.udp.mailbox.first_len().unwrap_or(0))
    }

    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.base.queue.register(watch);
        }
        let mut events = Events::from_bits_truncate(self.udp.ready().0);
        if self.base.has_error() {
            events |= Events::ERR;
        }
        events
    }

    fn close(&self) {
        self.udp.close();
    }
}
