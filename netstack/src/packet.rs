//! IP packets, for the few who want to see them: raw, ping and packet sockets. TCP and UDP between sockets of this stack have
//! none unless somebody looks.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Protocol numbers.
pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// The header's length without options.
pub const V4_HEADER: usize = 20;
pub const V6_HEADER: usize = 40;

/// One packet.
#[derive(Clone, Debug)]
pub struct Packet {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    pub ttl: u8,
    pub tos: u8,
    /// As on a wire, header included.
    pub bytes: Arc<[u8]>,
    /// The header's length.
    pub header: usize,
}

/// What goes into a header.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    pub ttl: u8,
    pub tos: u8,
    /// The identification of a v4 packet.
    pub id: u16,
}

/// The Internet checksum (RFC 1071) of the parts, each but the last of even length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        let (pairs, rest) = part.as_chunks::<2>();
        sum += pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum::<u64>();
        sum += rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The checksum of `payload` with the pseudo header of its addresses (RFC 768, RFC 8200).
pub fn transport_checksum(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let tail = [0, 0, 0, protocol];
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => checksum(&[&from.octets(), &to.octets(), &len, &tail, payload]),
        (IpAddr::V6(from), IpAddr::V6(to)) => checksum(&[&from.octets(), &to.octets(), &len, &tail, payload]),
        _ => 0,
    }
}

/// Stores a checksum, or any other number in network order.
pub fn put16(bytes: &mut [u8], at: usize, value: u16) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value.to_be_bytes()) {
        *to = from;
    }
}

impl Packet {
    /// A packet with `payload`; `None` if it would be too long, or its ends are of two families.
    pub fn build(head: Head, payload: &[u8]) -> Option<Packet> {
        let mut bytes = Vec::with_capacity(V6_HEADER + payload.len());
        match (head.from, head.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let total = u16::try_from(payload.len() + V4_HEADER).ok()?;
                bytes.extend([0x45, head.tos]);
                bytes.extend(total.to_be_bytes());
                bytes.extend(head.id.to_be_bytes());
                // Do not fragment: nothing does here.
                bytes.extend([0x40, 0, head.ttl, head.protocol, 0, 0]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
                let sum = checksum(&[&bytes]);
                put16(&mut bytes, 10, sum);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                bytes.extend([0x60 | head.tos >> 4, head.tos << 4, 0, 0]);
                bytes.extend(u16::try_from(payload.len()).ok()?.to_be_bytes());
                bytes.extend([head.protocol, head.ttl]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
            }
            _ => return None,
        }
        let header = bytes.len();
        bytes.extend_from_slice(payload);
        let Head { from, to, protocol, ttl, tos, .. } = head;
        Some(Packet { from, to, protocol, ttl, tos, bytes: bytes.into(), header })
    }

    /// Reads a packet somebody made; `None` if it is none.
    pub fn parse(bytes: &[u8]) -> Option<Packet> {
        let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        match bytes.first()? >> 4 {
            4 => {
                let header = usize::from(bytes.first()? & 15) * 4;
                let total = usize::from(word(2)?);
                if header < V4_HEADER || total < header || total > bytes.len() {
                    return None;
                }
                let from: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
                let to: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
                Some(Packet {
                    from: Ipv4Addr::from(from).into(),
                    to: Ipv4Addr::from(to).into(),
                    protocol: *bytes.get(9)?,
                    ttl: *bytes.get(8)?,
                    tos: *bytes.get(1)?,
                    bytes: bytes.get(..total)?.into(),
                    header,
                })
            }
            6 => {
                let total = usize::from(word(4)?) + V6_HEADER;
                let from: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                let to: [u8; 16] = bytes.get(24..40)?.try_into().ok()?;
                Some(Packet {
                    from: Ipv6Addr::from(from).into(),
                    to: Ipv6Addr::from(to).into(),
                    protocol: *bytes.get(6)?,
                    ttl: *bytes.get(7)?,
                    tos: (word(0)? >> 4) as u8,
                    bytes: bytes.get(..total)?.into(),
                    header: V6_HEADER,
                })
            }
            _ => None,
        }
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.header..).unwrap_or_default()
    }

    /// The Ethernet type.
    pub fn ether_type(&self) -> u16 {
        if self.from.is_ipv4() { 0x0800 } else { 0x86dd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(from: &str, to: &str, protocol: u8) -> Head {
        Head { from: from.parse().unwrap(), to: to.parse().unwrap(), protocol, ttl: 64, tos: 8, id: 7 }
    }

    #[test]
    fn what_is_built_parses_again() {
        for (from, to) in [("127.0.0.1", "127.0.0.2"), ("::1", "::1")] {
            let built = Packet::build(head(from, to, UDP), b"payload").unwrap();
            let parsed = Packet::parse(&built.bytes).unwrap();
            assert_eq!((parsed.from, parsed.to, parsed.protocol), (built.from, built.to, UDP));
            assert_eq!((parsed.ttl, parsed.tos, parsed.payload()), (64, 8, &b"payload"[..]));
        }
        let v4 = Packet::build(head("127.0.0.1", "127.0.0.2", UDP), b"").unwrap();
        assert_eq!(checksum(&[&v4.bytes]), 0);
        assert!(Packet::build(head("127.0.0.1", "::1", UDP), b"").is_none());
        assert!(Packet::build(head("127.0.0.1", "127.0.0.1", UDP), &[0; 65_516]).is_none());
    }

    #[test]
    fn nonsense_is_no_packet() {
        for bytes in [&[][..], &[0x45], &[0x40; 20], &[0x60; 40], &[0xff; 100], &[0x4f; 30]] {
            assert!(Packet::parse(bytes).is_none());
        }
    }
}
