//! AF_PACKET (packet(7)) on the loopback.
//!
//! What is seen: datagrams, ICMP, and what raw and packet sockets send. TCP connections inside the sandbox have no packets.
//! There are no rings: libpcap and others fall back to recvfrom(2).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI32, Ordering},
};

use linux_abi::{
    Errno, Result,
    socket::{
        AF_PACKET, MSG_OOB, MSG_PEEK, MSG_TRUNC, SO_RCVBUF, SO_RCVBUFFORCE, SOCK_RAW, SOL_PACKET, SOL_SOCKET,
    },
};
use netstack::{
    Stack,
    bpf::Program,
    mailbox::Filter,
    tap::{Frame, LINK_HEADER, Tap},
};

use super::{
    address::{SocketAddress, family},
    base::SocketBase,
    control::ControlMessage,
    inet::notifier,
    interface::{ARPHRD_LOOPBACK, LO_INDEX, LO_MTU},
    socket::{Caller, Received, RecvArgs, SendArgs, Shutdown, Socket},
};
use crate::{
    fs::io::{Sink, Source},
    wait::{Events, Watch},
};

const PACKET_ADD_MEMBERSHIP: i32 = 1;
const PACKET_DROP_MEMBERSHIP: i32 = 2;
const PACKET_STATISTICS: i32 = 6;
const PACKET_AUXDATA: i32 = 8;
/// `sizeof(struct sockaddr_ll)`, and where its address is.
const ADDRESS_LEN: usize = 20;
const HARDWARE_AT: usize = 12;
/// `sll_pkttype` of what arrives and of what leaves.
const PACKET_HOST: u8 = 0;
const PACKET_OUTGOING: u8 = 4;
/// `TP_STATUS_USER`.
const TP_STATUS_USER: u32 = 1;

/// A packet socket.
pub struct PacketSocket {
    base: SocketBase,
    tap: Arc<Tap>,
    /// The interface it is bound to; zero for all.
    interface: AtomicI32,
    auxdata: AtomicBool,
}

/// A `struct sockaddr_ll`: protocol and interface.
fn decode(address: &[u8]) -> Result<(u16, i32)> {
    let [f0, f1, p0, p1, i0, i1, i2, i3, ..] = address else { return Err(Errno::EINVAL) };
    if address.len() < HARDWARE_AT + 6 || family(&[*f0, *f1]) != Some(AF_PACKET) {
        return Err(Errno::EINVAL);
    }
    Ok((u16::from_be_bytes([*p0, *p1]), i32::from_ne_bytes([*i0, *i1, *i2, *i3])))
}

fn encode(protocol: u16, interface: i32, kind: u8, len: usize) -> SocketAddress {
    let mut bytes = AF_PACKET.to_ne_bytes().to_vec();
    bytes.extend(protocol.to_be_bytes());
    bytes.extend(interface.to_ne_bytes());
    let known = interface != 0;
    bytes.extend(if known { ARPHRD_LOOPBACK } else { 0 }.to_ne_bytes());
    bytes.extend([kind, if known { 6 } else { 0 }]);
    bytes.resize(len, 0);
    SocketAddress::new(&bytes)
}

impl PacketSocket {
    /// socket(2); `protocol` is in network order, as given.
    pub fn new(stack: &Arc<Stack>, base: SocketBase) -> Arc<PacketSocket> {
        let tap = stack.tap(base.kind == SOCK_RAW);
        tap.mailbox.set_notify(notifier(&base));
        tap.set_protocol(u16::try_from(base.protocol & 0xffff).unwrap_or(0).swap_bytes());
        Arc::new(PacketSocket { base, tap, interface: AtomicI32::new(0), auxdata: AtomicBool::new(false) })
    }

    fn receive(&self, frame: &Frame, args: &RecvArgs, sink: &mut dyn Sink) -> Result<Received> {
        let want = frame.data.len().min(sink.remaining());
        let bytes = if want > 0 { sink.put(frame.data.get(..want).unwrap_or_default())? } else { 0 };
        if bytes < want {
            return Err(Errno::EFAULT);
        }
        let mut control = Vec::new();
        if args.want_control && self.auxdata.load(Ordering::Relaxed) {
            // struct tpacket_auxdata.
            let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes();
            let mut data = TP_STATUS_USER.to_ne_bytes().to_vec();
            data.extend(word(frame.whole));
            data.extend(word(frame.data.len()));
            let network = if self.tap.is_raw() { 14u16 } else { 0 };
            data.extend(0u16.to_ne_bytes());
            data.extend(network.to_ne_bytes());
            data.extend([0; 4]);
            control.push(ControlMessage::Other { level: SOL_PACKET, kind: PACKET_AUXDATA, data });
        }
        let kind = if frame.outgoing { PACKET_OUTGOING } else { PACKET_HOST };
        Ok(Received {
            bytes,
            message: Some(frame.data.len()),
            from: Some(encode(frame.ether_type, LO_INDEX, kind, ADDRESS_LEN)),
            control,
            flags: if want < frame.data.len() { MSG_TRUNC } else { 0 },
        })
    }
}

impl Socket for PacketSocket {
    fn base(&self) -> &SocketBase {
        &self.base
    }

    fn bind(&self, _caller: Caller<'_>, address: &[u8]) -> Result<()> {
        if address.len() < ADDRESS_LEN {
            return Err(Errno::EINVAL);
        }
        let (protocol, interface) = decode(address)?;
        if !matches!(interface, 0 | LO_INDEX) {
            return Err(Errno::ENODEV);
        }
        self.interface.store(interface, Ordering::Relaxed);
        if protocol != 0 {
            self.tap.set_protocol(protocol);
        }
        Ok(())
    }

    fn connect(&self, _caller: Caller<'_>, _address: &[u8], _nonblocking: bool) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn send(&self, _caller: Caller<'_>, args: &mut SendArgs<'_>, source: &mut dyn Source) -> Result<usize> {
        let interface = match args.to {
            Some(to) => decode(to)?.1,
            None => self.interface.load(Ordering::Relaxed),
        };
        if interface != LO_INDEX {
            return Err(Errno::ENXIO);
        }
        let link = if self.tap.is_raw() { LINK_HEADER } else { 0 };
        let len = source.remaining();
        if len < link {
            return Err(Errno::EINVAL);
        }
        if len > usize::try_from(LO_MTU).unwrap_or(0) + link {
            return Err(Errno::EMSGSIZE);
        }
        let mut data = vec![0; len];
        if len > 0 && source.take(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        self.tap.send(data.get(link..).unwrap_or_default());
        Ok(len)
    }

    fn recv(&self, _caller: Caller<'_>, args: &RecvArgs, sink: &mut dyn Sink) -> Result<Received> {
        if args.flags & MSG_OOB != 0 {
            return Err(Errno::EINVAL);
        }
        let consume = args.flags & MSG_PEEK == 0;
        self.tap.mailbox.recv(consume, &mut |frame| self.receive(frame, args, sink))
    }

    fn set_filter(&self, filter: Option<Arc<Program>>) -> Result<()> {
        self.tap.mailbox.set_filter(filter.map(|filter| filter as Arc<dyn Filter>));
        Ok(())
    }

    fn shutdown(&self, _how: Shutdown) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn local_name(&self) -> Result<SocketAddress> {
        let interface = self.interface.load(Ordering::Relaxed);
        let len = HARDWARE_AT + if interface == 0 { 0 } else { 6 };
        Ok(encode(self.tap.protocol(), interface, 0, len))
    }

    fn peer_name(&self) -> Result<SocketAddress> {
        Err(Errno::EOPNOTSUPP)
    }

    fn get_option(&self, level: i32, name: i32, _len: usize) -> Result<Vec<u8>> {
        match (level, name) {
            (SOL_PACKET, PACKET_STATISTICS) => {
                let (seen, dropped) = self.tap.statistics();
                let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes();
                Ok([word(seen), word(dropped)].concat())
            }
            (SOL_PACKET, PACKET_AUXDATA) => {
                Ok(i32::from(self.auxdata.load(Ordering::Relaxed)).to_ne_bytes().to_vec())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_option(&self, _caller: Caller<'_>, level: i32, name: i32, value: &[u8]) -> Result<()> {
        let first = value.first_chunk::<4>().map(|word| i32::from_ne_bytes(*word));
        match (level, name) {
            (SOL_SOCKET, _) => Err(Errno::ENOPROTOOPT),
            (SOL_PACKET, PACKET_ADD_MEMBERSHIP | PACKET_DROP_MEMBERSHIP) => {
                // struct packet_mreq; the loopback hears everything anyway.
                let interface = first.filter(|_| value.len() >= 16).ok_or(Errno::EINVAL)?;
                if interface == LO_INDEX { Ok(()) } else { Err(Errno::ENODEV) }
            }
            (SOL_PACKET, PACKET_AUXDATA) => {
                self.auxdata.store(first.ok_or(Errno::EINVAL)? != 0, Ordering::Relaxed);
                Ok(())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn option_changed(&self, name: i32) {
        if matches!(name, SO_RCVBUF | SO_RCVBUFFORCE) {
            self.tap.mailbox.set_limit(self.base.rcvbuf());
        }
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.tap.mailbox.first_len().unwrap_or(0))
    }

    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.base.queue.register(watch);
        }
        let mut events = Events::from_bits_truncate(self.tap.mailbox.ready(false, false).0);
        if self.base.has_error() {
            events |= Events::ERR;
        }
        events
    }

    fn close(&self) {
        self.tap.close();
    }
}
