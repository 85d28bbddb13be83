//! `NETLINK_ROUTE` (rtnetlink(7)): what there is to say of a host whose only interface is the loopback.

use linux_abi::{
    Errno,
    socket::{AF_INET, AF_INET6, AF_UNSPEC},
};

use crate::{
    credentials::{Caps, Credentials},
    net::interface::{ARPHRD_LOOPBACK, LO_FLAGS, LO_INDEX, LO_MTU, LO_NAME},
};

use linux_abi::inet::IFF_LOWER_UP;
use linux_abi::netlink::{
    IFA_ADDRESS, IFA_CACHEINFO, IFA_FLAGS, IFA_LABEL, IFA_LOCAL, IFLA_ADDRESS, IFLA_BROADCAST, IFLA_GROUP,
    IFLA_IFNAME, IFLA_LINKMODE, IFLA_MTU, IFLA_NUM_RX_QUEUES, IFLA_NUM_TX_QUEUES, IFLA_OPERSTATE,
    IFLA_PROMISCUITY, IFLA_QDISC, IFLA_TXQLEN, NLM_F_ACK, NLM_F_DUMP, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, RT_SCOPE_HOST, RT_SCOPE_LINK, RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN, RTA_DST,
    RTA_OIF, RTA_PREFSRC, RTA_TABLE, RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE, RTM_GETRULE, RTM_NEWADDR,
    RTM_NEWLINK, RTM_NEWROUTE, RTM_NEWRULE, RTN_BROADCAST, RTN_LOCAL, RTPROT_KERNEL,
};

const HEADER: usize = 16;

/// The message types come in fours: new, delete, get, set.
const RTM_KIND_GET: u16 = 2;
const RTM_MAX: u16 = 123;

/// How long the datagrams of a dump get (`NLMSG_GOODSIZE`).
const DATAGRAM: usize = 8 << 10;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FR_ACT_TO_TBL: u8 = 1;
/// `RTM_F_LOOKUP_TABLE`: say which table a route is really in.
const RTM_F_LOOKUP_TABLE: u32 = 0x1000;

const IFA_F_PERMANENT: u8 = 0x80;

/// A message being built.
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new(kind: u16, flags: u16, seq: u32, port: u32) -> Message {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&seq.to_ne_bytes());
        bytes.extend_from_slice(&port.to_ne_bytes());
        Message(bytes)
    }

    pub(super) fn put(mut self, bytes: &[u8]) -> Message {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn attribute(self, kind: u16, value: &[u8]) -> Message {
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        self.put(&bytes)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.splice(..4, len.to_ne_bytes());
        self.0
    }
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) kind: u16,
    flags: u16,
    seq: u32,
    /// To whom the answer goes.
    port: u32,
    header: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Request<'_> {
    pub(super) fn is_dump(&self) -> bool {
        self.flags & NLM_F_DUMP == NLM_F_DUMP
    }

    pub(super) fn reply(&self, kind: u16) -> Message {
        Message::new(kind, if self.is_dump() { NLM_F_MULTI } else { 0 }, self.seq, self.port)
    }

    fn family(&self) -> u16 {
        self.payload.first().map_or(AF_UNSPEC, |family| u16::from(*family))
    }

    /// `NLMSG_ERROR`, which without an error is an acknowledgement.
    fn error(&self, errno: Option<Errno>) -> Vec<u8> {
        let code = errno.map_or(0, |errno| -errno.raw());
        let message =
            Message::new(NLMSG_ERROR, 0, self.seq, self.port).put(&code.to_ne_bytes()).put(self.header);
        if errno.is_some() { message.put(self.payload).finish() } else { message.finish() }
    }
}

/// The datagrams that answer `bytes`, which may hold several requests.
pub(super) fn answer(bytes: &[u8], port: u32, creds: &Credentials) -> Vec<Vec<u8>> {
    answer_with(bytes, port, &|request| {
        if request.kind > RTM_MAX {
            Err(Errno::EOPNOTSUPP)
        } else if request.kind % 4 != RTM_KIND_GET {
            Err(if creds.capable(Caps::NET_ADMIN) { Errno::EOPNOTSUPP } else { Errno::EPERM })
        } else if request.is_dump() {
            Ok(dump(request))
        } else {
            get(request)
        }
    })
}

/// What answers one request.
type Answer<'a> = &'a dyn Fn(&Request<'_>) -> Result<Vec<Vec<u8>>, Errno>;

/// The datagrams that answer `bytes`, which may hold several requests, each answered by `one`.
pub(super) fn answer_with(bytes: &[u8], port: u32, one: Answer<'_>) -> Vec<Vec<u8>> {
    let mut replies = Vec::new();
    let mut rest = bytes;
    // What is too short for a header, or claims to be longer than it is, ends the walk (netlink_rcv_skb).
    while let Some(header) = rest.first_chunk::<HEADER>() {
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(payload) = rest.get(HEADER..len) else { break };
        let request = Request {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            seq: u32::from_ne_bytes([s0, s1, s2, s3]),
            port,
            header,
            payload,
        };
        answer_one(&request, one, &mut replies);
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    replies
}

fn answer_one(request: &Request<'_>, one: Answer<'_>, replies: &mut Vec<Vec<u8>>) {
    if request.flags & NLM_F_REQUEST == 0 || request.kind < RTM_NEWLINK {
        if request.flags & NLM_F_ACK != 0 {
            replies.push(request.error(None));
        }
        return;
    }
    match one(request) {
        Ok(messages) => {
            // Datagrams of a size that callers have room for.
            let mut datagram: Vec<u8> = Vec::new();
            for message in messages {
                if !datagram.is_empty() && datagram.len() + message.len() > DATAGRAM {
                    replies.push(std::mem::take(&mut datagram));
                }
                datagram.extend(message);
            }
            if !datagram.is_empty() {
                replies.push(datagram);
            }
            if request.is_dump() {
                let done = Message::new(NLMSG_DONE, NLM_F_MULTI, request.seq, request.port);
                replies.push(done.put(&0i32.to_ne_bytes()).finish());
            } else if request.flags & NLM_F_ACK != 0 {
                replies.push(request.error(None));
            }
        }
        Err(errno) => replies.push(request.error(Some(errno))),
    }
}

fn dump(request: &Request<'_>) -> Vec<Vec<u8>> {
    let family = request.family();
    let wants = |f: u16| family == AF_UNSPEC || family == f;
    let mut messages = Vec::new();
    match request.kind {
        RTM_GETLINK => messages.push(link(request)),
        RTM_GETADDR => {
            if wants(AF_INET) {
                messages.push(address(request, AF_INET));
            }
            if wants(AF_INET6) {
                messages.push(address(request, AF_INET6));
            }
        }
        RTM_GETROUTE => {
            if wants(AF_INET) {
                messages.push(route(request, AF_INET, &[127, 0, 0, 0], 8, RTN_LOCAL));
                messages.push(route(request, AF_INET, &[127, 0, 0, 1], 32, RTN_LOCAL));
                messages.push(route(request, AF_INET, &[127, 255, 255, 255], 32, RTN_BROADCAST));
            }
            if wants(AF_INET6) {
                messages.push(route(request, AF_INET6, &V6_LOCALHOST, 128, RTN_LOCAL));
            }
        }
        RTM_GETRULE => {
            for family in [AF_INET, AF_INET6].into_iter().filter(|family| wants(*family)) {
                messages.push(rule(request, family, 0, RT_TABLE_LOCAL));
                messages.push(rule(request, family, 32_766, RT_TABLE_MAIN));
                if family == AF_INET {
                    messages.push(rule(request, family, 32_767, RT_TABLE_DEFAULT));
                }
            }
        }
        // Neighbours, queueing disciplines …: none.
        _ => {}
    }
    messages
}

fn get(request: &Request<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    match request.kind {
        RTM_GETLINK => {
            let index = request.payload.get(4..8).and_then(|word| word.first_chunk()).ok_or(Errno::EINVAL)?;
            let index = i32::from_ne_bytes(*index);
            let name = attributes(request.payload.get(16..).unwrap_or_default(), IFLA_IFNAME);
            let named = name.is_some_and(|name| name.strip_suffix(b"\0").unwrap_or(name) == LO_NAME);
            match (index, name) {
                (LO_INDEX, _) => Ok(vec![link(request)]),
                (0, Some(_)) if named => Ok(vec![link(request)]),
                (0, None) => Err(Errno::EINVAL),
                _ => Err(Errno::ENODEV),
            }
        }
        RTM_GETROUTE => {
            let to = attributes(request.payload.get(12..).unwrap_or_default(), RTA_DST);
            let flags = request.payload.get(8..12).and_then(|word| word.first_chunk());
            let says_table = flags.is_some_and(|word| u32::from_ne_bytes(*word) & RTM_F_LOOKUP_TABLE != 0);
            let route = |request: &Request<'_>, family, to: &[u8], prefix, kind| {
                let table = if says_table { RT_TABLE_LOCAL } else { RT_TABLE_MAIN };
                route_in(request, table, family, to, prefix, kind)
            };
            match (request.family(), to) {
                (AF_INET, Some(to @ [127, _, _, _])) => Ok(vec![route(request, AF_INET, to, 32, RTN_LOCAL)]),
                (AF_INET6, Some(to)) if to == V6_LOCALHOST => {
                    Ok(vec![route(request, AF_INET6, to, 128, RTN_LOCAL)])
                }
                _ => Err(Errno::ENETUNREACH),
            }
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// The value of attribute `wanted`.
fn attributes(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some([l0, l1, k0, k1]) = rest.first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = rest.get(4..len)?;
        if u16::from_ne_bytes([*k0, *k1]) & 0x3fff == wanted {
            return Some(value);
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

const V6_LOCALHOST: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// `struct ifinfomsg` and its attributes.
fn link(request: &Request<'_>) -> Vec<u8> {
    let kind = [[0, 0], ARPHRD_LOOPBACK.to_ne_bytes()].concat();
    request
        .reply(RTM_NEWLINK)
        .put(&kind)
        .put(&LO_INDEX.to_ne_bytes())
        .put(&(LO_FLAGS | IFF_LOWER_UP).to_ne_bytes())
        .put(&0u32.to_ne_bytes())
        .attribute(IFLA_IFNAME, b"lo\0")
        .attribute(IFLA_TXQLEN, &1000u32.to_ne_bytes())
        .attribute(IFLA_OPERSTATE, &[0])
        .attribute(IFLA_LINKMODE, &[0])
        .attribute(IFLA_MTU, &LO_MTU.to_ne_bytes())
        .attribute(IFLA_GROUP, &0u32.to_ne_bytes())
        .attribute(IFLA_PROMISCUITY, &0u32.to_ne_bytes())
        .attribute(IFLA_NUM_TX_QUEUES, &1u32.to_ne_bytes())
        .attribute(IFLA_NUM_RX_QUEUES, &1u32.to_ne_bytes())
        .attribute(IFLA_QDISC, b"noqueue\0")
        .attribute(IFLA_ADDRESS, &[0; 6])
        .attribute(IFLA_BROADCAST, &[0; 6])
        .finish()
}

/// `struct ifaddrmsg` and its attributes.
fn address(request: &Request<'_>, family: u16) -> Vec<u8> {
    let v4 = family == AF_INET;
    let address: &[u8] = if v4 { &[127, 0, 0, 1] } else { &V6_LOCALHOST };
    let family = u8::try_from(family).unwrap_or(0);
    let message = request
        .reply(RTM_NEWADDR)
        .put(&[family, if v4 { 8 } else { 128 }, IFA_F_PERMANENT, RT_SCOPE_HOST])
        .put(&LO_INDEX.to_ne_bytes())
        .attribute(IFA_ADDRESS, address);
    let message =
        if v4 { message.attribute(IFA_LOCAL, address).attribute(IFA_LABEL, b"lo\0") } else { message };
    // Preferred and valid for ever; created and updated at the start.
    let cache_info = [u32::MAX, u32::MAX, 0, 0].map(u32::to_ne_bytes).concat();
    message
        .attribute(IFA_CACHEINFO, &cache_info)
        .attribute(IFA_FLAGS, &u32::from(IFA_F_PERMANENT).to_ne_bytes())
        .finish()
}

/// `struct fib_rule_hdr` and its attributes: where routes are looked for.
fn rule(request: &Request<'_>, family: u16, priority: u32, table: u8) -> Vec<u8> {
    let message = request
        .reply(RTM_NEWRULE)
        .put(&[u8::try_from(family).unwrap_or(0), 0, 0, 0, table, 0, 0, FR_ACT_TO_TBL])
        .put(&0u32.to_ne_bytes())
        .attribute(FRA_TABLE, &u32::from(table).to_ne_bytes());
    if priority == 0 {
        return message.finish();
    }
    message.attribute(FRA_PRIORITY, &priority.to_ne_bytes()).finish()
}

/// A route of the table of local addresses.
fn route(request: &Request<'_>, family: u16, to: &[u8], prefix: u8, kind: u8) -> Vec<u8> {
    route_in(request, RT_TABLE_LOCAL, family, to, prefix, kind)
}

/// `struct rtmsg` and its attributes.
fn route_in(request: &Request<'_>, table: u8, family: u16, to: &[u8], prefix: u8, kind: u8) -> Vec<u8> {
    let scope = if kind == RTN_BROADCAST { RT_SCOPE_LINK } else { RT_SCOPE_HOST };
    let family_byte = u8::try_from(family).unwrap_or(0);
    let message = request
        .reply(RTM_NEWROUTE)
        .put(&[family_byte, prefix, 0, 0])
        .put(&[table, RTPROT_KERNEL, scope, kind])
        .put(&0u32.to_ne_bytes())
        .attribute(RTA_TABLE, &u32::from(table).to_ne_bytes())
        .attribute(RTA_DST, to);
    let message = if family == AF_INET { message.attribute(RTA_PREFSRC, &[127, 0, 0, 1]) } else { message };
    message.attribute(RTA_OIF, &LO_INDEX.to_ne_bytes()).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        Message::new(kind, flags | NLM_F_REQUEST, 7, 0).put(payload).finish()
    }

    fn kinds(replies: &[Vec<u8>]) -> Vec<u16> {
        let mut kinds = Vec::new();
        for reply in replies {
            let mut rest = reply.as_slice();
            while rest.len() >= HEADER {
                let len = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
                assert_eq!(rest[8], 7);
                kinds.push(u16::from_ne_bytes(rest[4..6].try_into().unwrap()));
                rest = &rest[len..];
            }
        }
        kinds
    }

    #[test]
    fn dumps_end_with_done() {
        let creds = Credentials::default();
        let links = answer(&request(RTM_GETLINK, NLM_F_DUMP, &[0; 16]), 1, &creds);
        assert_eq!(kinds(&links), [RTM_NEWLINK, NLMSG_DONE]);
        let addresses = answer(&request(RTM_GETADDR, NLM_F_DUMP, &[10, 0, 0, 0]), 1, &creds);
        assert_eq!(kinds(&addresses), [RTM_NEWADDR, NLMSG_DONE]);
        assert_eq!(kinds(&answer(&request(30, NLM_F_DUMP, &[0; 4]), 1, &creds)), [NLMSG_DONE]);
    }

    #[test]
    fn errors_and_acknowledgements() {
        let creds = Credentials::default();
        let errno = |reply: &[u8]| -i32::from_ne_bytes(reply[16..20].try_into().unwrap());
        let new = answer(&request(RTM_NEWLINK, NLM_F_ACK, &[0; 16]), 1, &creds);
        assert_eq!((kinds(&new), errno(&new[0])), (vec![NLMSG_ERROR], Errno::EPERM.raw()));
        let mut payload = [0; 16];
        payload[4] = 2;
        let absent = answer(&request(RTM_GETLINK, 0, &payload), 1, &creds);
        assert_eq!(errno(&absent[0]), Errno::ENODEV.raw());
        payload[4] = 1;
        let both = answer(&request(RTM_GETLINK, NLM_F_ACK, &payload), 1, &creds);
        assert_eq!(kinds(&both), [RTM_NEWLINK, NLMSG_ERROR]);
        assert_eq!(errno(&both[1]), 0);
    }

    #[test]
    fn malformed_requests_end_the_walk() {
        let creds = Credentials::default();
        assert!(answer(&[0; 15], 1, &creds).is_empty());
        assert!(answer(&[0; 64], 1, &creds).is_empty());
        assert!(answer(&[0xff; 64], 1, &creds).is_empty());
    }
}
