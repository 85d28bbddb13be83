//! Packet sockets (packet(7)) on the loopback: they see every packet once going out and once coming in.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use crate::{
    mailbox::{Letter, Mailbox},
    packet::Packet,
    stack::Stack,
};

/// An Ethernet header.
pub const LINK_HEADER: usize = 14;
/// Every protocol (`ETH_P_ALL`).
pub const ETH_P_ALL: u16 = 3;

/// A frame that was seen.
#[derive(Clone, Debug)]
pub struct Frame {
    /// With the Ethernet header for raw sockets, without for the others.
    pub data: Arc<[u8]>,
    pub ether_type: u16,
    /// It was leaving (`PACKET_OUTGOING`), not arriving.
    pub outgoing: bool,
    /// Its length before a filter cut it.
    pub whole: usize,
}

impl Letter for Frame {
    fn len(&self) -> usize {
        self.data.len()
    }
}

/// A packet socket's endpoint.
pub struct Tap {
    stack: Arc<Stack>,
    me: Weak<Tap>,
    /// Frames come with their link header (`SOCK_RAW`).
    with_link: bool,
    /// Which Ethernet type it hears; zero for none.
    protocol: AtomicU32,
    pub mailbox: Mailbox<Frame>,
    seen: AtomicUsize,
}

impl Stack {
    /// A new endpoint, which hears nothing yet.
    pub fn tap(self: &Arc<Self>, with_link: bool) -> Arc<Tap> {
        let tap = Arc::new_cyclic(|me| Tap {
            stack: Arc::clone(self),
            me: Weak::clone(me),
            with_link,
            protocol: AtomicU32::new(0),
            mailbox: Mailbox::new(self.pool()),
            seen: AtomicUsize::new(0),
        });
        self.raw.lock().taps.push(Arc::downgrade(&tap));
        self.observers.fetch_add(1, Ordering::Relaxed);
        tap
    }
}

impl Tap {
    /// Which Ethernet type to hear.
    pub fn set_protocol(&self, protocol: u16) {
        self.protocol.store(u32::from(protocol), Ordering::Relaxed);
    }

    /// As [`Tap::set_protocol`] set it.
    pub fn protocol(&self) -> u16 {
        (self.protocol.load(Ordering::Relaxed) & 0xffff) as u16
    }

    /// Whether frames have a link header.
    pub fn is_raw(&self) -> bool {
        self.with_link
    }

    /// Packets seen and lost since the last question (`PACKET_STATISTICS`).
    pub fn statistics(&self) -> (usize, usize) {
        (self.seen.swap(0, Ordering::Relaxed), self.mailbox.drops())
    }

    pub(crate) fn see(&self, packet: &Packet) {
        let protocol = self.protocol();
        let ether_type = packet.ether_type();
        let all = protocol == ETH_P_ALL;
        if !all && protocol != ether_type {
            return;
        }
        let mut frame = Vec::with_capacity(LINK_HEADER + packet.bytes.len());
        if self.with_link {
            frame.extend([0; 12]);
            frame.extend(ether_type.to_be_bytes());
        }
        frame.extend_from_slice(&packet.bytes);
        let whole = frame.len();
        let kept = self.mailbox.filter().map_or(whole, |filter| filter.keep(&frame).min(whole));
        if kept == 0 {
            return;
        }
        frame.truncate(kept);
        let data: Arc<[u8]> = frame.into();
        // Only those who hear everything hear what leaves (ptype_all).
        for outgoing in [true, false] {
            if all || !outgoing {
                self.seen.fetch_add(1, Ordering::Relaxed);
                self.mailbox.deliver(Frame { data: Arc::clone(&data), ether_type, outgoing, whole });
            }
        }
    }

    /// Sends a frame's payload: other packet sockets see it. A v6 packet then goes its way; what comes from 127.0.0.0/8 that
    /// way is a martian and goes no further (`ip_route_input_slow`), and there are no other v4 addresses here.
    pub fn send(&self, packet: &[u8]) {
        match Packet::parse(packet) {
            Some(packet) if packet.from.is_ipv6() => self.stack.transmit(&packet),
            Some(packet) => self.stack.show_taps(&packet),
            None => {}
        }
    }

    /// close(2).
    pub fn close(&self) {
        {
            let mut table = self.stack.raw.lock();
            let before = table.taps.len();
            table.taps.retain(|tap| !Weak::ptr_eq(tap, &self.me));
            self.stack.observers.fetch_sub(before - table.taps.len(), Ordering::Relaxed);
        }
        self.mailbox.close();
    }
}
