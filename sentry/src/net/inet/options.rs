//! Options of the levels `SOL_IP`, `SOL_IPV6`, `SOL_TCP` and `SOL_UDP` (ip(7), ipv6(7), tcp(7), udp(7)).
//!
//! Most options are numbers that are stored and read back, with a default and a range: [`TABLE`]. Where one has an effect, the
//! code that has it asks [`InetOptions::get`].

use linux_abi::{Errno, Result, socket as abi};
use parking_lot::Mutex;

use crate::{credentials::Caps, net::socket::Caller};

/// An option that is a number.
struct Number {
    level: i32,
    name: i32,
    default: i32,
    min: i32,
    max: i32,
    /// It is on or off: whatever was set, one is read back.
    is_flag: bool,
}

const fn number(level: i32, name: i32, default: i32, min: i32, max: i32) -> Number {
    Number { level, name, default, min, max, is_flag: false }
}

const fn flag(level: i32, name: i32) -> Number {
    Number { level, name, default: 0, min: 0, max: 1, is_flag: true }
}

const IP: i32 = abi::SOL_IP;
const IPV6: i32 = abi::SOL_IPV6;
const TCP: i32 = abi::SOL_TCP;
const UDP: i32 = abi::SOL_UDP;

/// Defaults and ranges are those of `net/ipv4/ip_sockglue.c`, `net/ipv6/ipv6_sockglue.c`, `net/ipv4/tcp.c`.
const TABLE: &[Number] = &[
    number(IP, abi::IP_TOS, 0, 0, 255),
    number(IP, abi::IP_TTL, 64, -1, 255),
    number(IP, abi::IP_MTU_DISCOVER, 1, 0, 5),
    number(IP, abi::IP_MINTTL, 0, 0, 255),
    number(IP, abi::IP_MULTICAST_TTL, 1, -1, 255),
    number(IP, abi::IP_MULTICAST_LOOP, 1, 0, 1),
    number(IP, abi::IP_MULTICAST_ALL, 1, 0, 1),
    flag(IP, abi::IP_RECVOPTS),
    flag(IP, abi::IP_RETOPTS),
    flag(IP, abi::IP_PKTINFO),
    flag(IP, abi::IP_RECVERR),
    flag(IP, abi::IP_RECVTTL),
    flag(IP, abi::IP_RECVTOS),
    flag(IP, abi::IP_FREEBIND),
    flag(IP, abi::IP_TRANSPARENT),
    flag(IP, abi::IP_RECVORIGDSTADDR),
    flag(IP, abi::IP_BIND_ADDRESS_NO_PORT),
    flag(IP, abi::IP_CHECKSUM),
    flag(IP, abi::IP_RECVFRAGSIZE),
    flag(IP, abi::IP_RECVERR_RFC4884),
    number(IPV6, abi::IPV6_V6ONLY, 0, i32::MIN, i32::MAX),
    number(IPV6, abi::IPV6_UNICAST_HOPS, 64, -1, 255),
    number(IPV6, abi::IPV6_MULTICAST_HOPS, 1, -1, 255),
    number(IPV6, abi::IPV6_MULTICAST_LOOP, 1, 0, 1),
    number(IPV6, abi::IPV6_MULTICAST_ALL, 1, 0, 1),
    number(IPV6, abi::IPV6_MTU_DISCOVER, 1, 0, 5),
    number(IPV6, abi::IPV6_TCLASS, 0, -1, 255),
    flag(IPV6, abi::IPV6_RECVERR),
    flag(IPV6, abi::IPV6_RECVPKTINFO),
    flag(IPV6, abi::IPV6_RECVHOPLIMIT),
    flag(IPV6, abi::IPV6_RECVTCLASS),
    flag(IPV6, abi::IPV6_AUTOFLOWLABEL),
    flag(IPV6, abi::IPV6_FREEBIND),
    flag(IPV6, abi::IPV6_DONTFRAG),
    number(IPV6, abi::IPV6_ADDR_PREFERENCES, 2, 0, 0x7fff),
    flag(TCP, abi::TCP_NODELAY),
    flag(TCP, abi::TCP_CORK),
    number(TCP, abi::TCP_KEEPIDLE, 7200, 1, 32767),
    number(TCP, abi::TCP_KEEPINTVL, 75, 1, 32767),
    number(TCP, abi::TCP_KEEPCNT, 9, 1, 127),
    number(TCP, abi::TCP_SYNCNT, 6, 1, 127),
    number(TCP, abi::TCP_LINGER2, 60, i32::MIN, i32::MAX),
    number(TCP, abi::TCP_DEFER_ACCEPT, 0, i32::MIN, i32::MAX),
    number(TCP, abi::TCP_WINDOW_CLAMP, 0, 0, i32::MAX),
    number(TCP, abi::TCP_QUICKACK, 1, i32::MIN, i32::MAX),
    number(TCP, abi::TCP_THIN_LINEAR_TIMEOUTS, 0, 0, 1),
    number(TCP, abi::TCP_USER_TIMEOUT, 0, 0, i32::MAX),
    number(TCP, abi::TCP_FASTOPEN, 0, 0, i32::MAX),
    number(TCP, abi::TCP_FASTOPEN_CONNECT, 0, 0, 1),
    number(TCP, abi::TCP_FASTOPEN_NO_COOKIE, 0, 0, 1),
    number(TCP, abi::TCP_NOTSENT_LOWAT, 0, i32::MIN, i32::MAX),
    number(TCP, abi::TCP_SAVE_SYN, 0, 0, 2),
    number(TCP, abi::TCP_INQ, 0, 0, 1),
    number(TCP, abi::TCP_MAXSEG, 0, 88, 32767),
    flag(UDP, abi::UDP_CORK),
    flag(UDP, abi::UDP_NO_CHECK6_TX),
    flag(UDP, abi::UDP_NO_CHECK6_RX),
];

/// Half of `SOCK_MIN_RCVBUF`.
const MIN_WINDOW_CLAMP: i32 = 1152;
/// `TCP_FIN_TIMEOUT_MAX`, in seconds.
const MAX_LINGER2: i32 = 120;

fn find(level: i32, name: i32) -> Option<&'static Number> {
    TABLE.iter().find(|option| option.level == level && option.name == name)
}

/// The options a socket's owner has set; the others have their defaults.
#[derive(Default)]
pub struct InetOptions {
    set: Mutex<Vec<(i32, i32, i32)>>,
    /// `IP_MULTICAST_IF`, `IPV6_MULTICAST_IF`: the loopback was chosen.
    multicast_out: Mutex<bool>,
}

impl InetOptions {
    /// A copy, for an accepted socket.
    #[must_use]
    pub fn duplicate(&self) -> InetOptions {
        InetOptions {
            set: Mutex::new(self.set.lock().clone()),
            multicast_out: Mutex::new(*self.multicast_out.lock()),
        }
    }

    /// The value of an option of [`TABLE`].
    pub fn get(&self, level: i32, name: i32) -> i32 {
        let set = self.set.lock();
        let chosen = set.iter().find(|(l, n, _)| *l == level && *n == name).map(|(_, _, value)| *value);
        drop(set);
        chosen.unwrap_or_else(|| find(level, name).map_or(0, |option| option.default))
    }

    fn put(&self, level: i32, name: i32, value: i32) {
        let mut set = self.set.lock();
        match set.iter_mut().find(|(l, n, _)| *l == level && *n == name) {
            Some(entry) => entry.2 = value,
            None => set.push((level, name, value)),
        }
    }

    /// Whether the socket may be bound to any address.
    pub fn is_freebind(&self) -> bool {
        self.get(IP, abi::IP_FREEBIND) != 0
            || self.get(IP, abi::IP_TRANSPARENT) != 0
            || self.get(IPV6, abi::IPV6_FREEBIND) != 0
    }

    /// Whether groups are reached by the loopback.
    pub fn multicast_out(&self) -> bool {
        *self.multicast_out.lock()
    }

    /// getsockopt(2) for options that are the same in all protocols. `len` is how much the caller takes.
    ///
    /// # Errors
    /// `ENOPROTOOPT`.
    pub fn get_option(&self, domain: u16, level: i32, name: i32, len: usize) -> Result<Vec<u8>> {
        if level == IPV6 && domain != abi::AF_INET6 {
            return Err(Errno::ENOPROTOOPT);
        }
        match (level, name) {
            (IP, abi::IP_OPTIONS) => return Ok(Vec::new()),
            (IP, abi::IP_MULTICAST_IF) => return Ok(vec![0; 4]),
            (IPV6, abi::IPV6_MULTICAST_IF) => {
                return Ok(i32::from(self.multicast_out()).to_ne_bytes().to_vec());
            }
            _ => {}
        }
        find(level, name).ok_or(Errno::ENOPROTOOPT)?;
        let value = self.get(level, name);
        // ip_getsockopt: a caller with less room than an int gets a byte, if the value is one.
        if let Ok(byte) = u8::try_from(value)
            && level == IP
            && (1..4).contains(&len)
        {
            return Ok(vec![byte]);
        }
        Ok(value.to_ne_bytes().to_vec())
    }

    /// setsockopt(2) for options that are the same in all protocols.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EINVAL`, `EPERM`.
    pub fn set_option(
        &self,
        caller: Caller<'_>,
        domain: u16,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<()> {
        if level == IPV6 && domain != abi::AF_INET6 {
            return Err(Errno::ENOPROTOOPT);
        }
        match (level, name) {
            (IP, abi::IP_OPTIONS) if value.is_empty() => return Ok(()),
            (IP, abi::IP_MULTICAST_IF) => return self.set_multicast_interface_v4(value),
            (IPV6, abi::IPV6_MULTICAST_IF) => {
                let index = decode_int(value)?;
                if !(0..=1).contains(&index) {
                    return Err(Errno::ENODEV);
                }
                *self.multicast_out.lock() = index == 1;
                return Ok(());
            }
            _ => {}
        }
        let option = find(level, name).ok_or(Errno::ENOPROTOOPT)?;
        let mut number = match (value, level) {
            // ip_setsockopt: a byte will do for a number.
            ([byte, ..], IP) if value.len() < 4 => i32::from(*byte),
            _ => decode_int(value)?,
        };
        if option.is_flag {
            number = i32::from(number != 0);
        }
        let default_hops = matches!(
            (level, name),
            (IP, abi::IP_TTL | abi::IP_MULTICAST_TTL)
                | (IPV6, abi::IPV6_UNICAST_HOPS | abi::IPV6_MULTICAST_HOPS | abi::IPV6_TCLASS)
        );
        if number == -1 && default_hops {
            number = option.default;
        } else if (level, name) == (IP, abi::IP_TTL) && number == 0 {
            return Err(Errno::EINVAL);
        } else if (level, name) == (IP, abi::IP_TOS) {
            number &= 0xff;
        }
        if !(option.min..=option.max).contains(&number) {
            return Err(if level == UDP { Errno::ENOPROTOOPT } else { Errno::EINVAL });
        }
        if (level, name) == (IP, abi::IP_TRANSPARENT) && number != 0 {
            let creds = caller.creds();
            if !creds.capable(Caps::NET_ADMIN) && !creds.capable(Caps::NET_RAW) {
                return Err(Errno::EPERM);
            }
        }
        match (level, name) {
            (TCP, abi::TCP_DEFER_ACCEPT) => number = whole_retransmissions(number),
            (TCP, abi::TCP_WINDOW_CLAMP) if number != 0 => number = number.max(MIN_WINDOW_CLAMP),
            (TCP, abi::TCP_LINGER2) => number = number.clamp(-1, MAX_LINGER2),
            _ => {}
        }
        self.put(level, name, number);
        Ok(())
    }

    /// `struct in_addr`, `ip_mreq` or `ip_mreqn`.
    fn set_multicast_interface_v4(&self, value: &[u8]) -> Result<()> {
        let (address, index) = decode_v4_interface(value)?;
        let lo = index == 1 || address.first() == Some(&127);
        if !lo && (address != [0; 4] || index != 0) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        *self.multicast_out.lock() = lo;
        Ok(())
    }
}

/// Seconds as the time that a whole number of retransmissions takes (`secs_to_retrans`, `retrans_to_secs`).
fn whole_retransmissions(seconds: i32) -> i32 {
    let (mut timeout, mut period) = (1, 1);
    if seconds <= 0 {
        return 0;
    }
    for _ in 1..255 {
        if seconds <= period {
            break;
        }
        timeout = (timeout * 2).min(120);
        period += timeout;
    }
    period
}

/// The priority that a type of service implies (`ip_tos2prio`).
pub(super) fn priority_of(tos: i32) -> i32 {
    const PRIORITIES: [i32; 16] = [0, 1, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4];
    let index = usize::try_from((tos & 0x1e) >> 1).unwrap_or(0);
    PRIORITIES.get(index).copied().unwrap_or(0)
}

/// The group of `MCAST_JOIN_GROUP` and `MCAST_LEAVE_GROUP`, for either family.
///
/// # Errors
/// As [`decode_membership_v4`].
pub fn decode_group_request(value: &[u8], family: u16) -> Result<std::net::IpAddr> {
    // struct group_req: the interface, padding, a sockaddr_storage.
    const SIZE: usize = 136;
    if value.len() < SIZE {
        return Err(Errno::EINVAL);
    }
    let index = decode_int(value)?;
    let address = value.get(8..).unwrap_or_default();
    if crate::net::address::family(address) != Some(family) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    let group = if family == abi::AF_INET6 {
        crate::net::address::decode_v6(address)?
    } else {
        crate::net::address::decode_v4(address)?
    };
    match (group.ip().is_multicast(), index) {
        (false, _) => Err(Errno::EINVAL),
        (true, 1) => Ok(group.ip()),
        (true, _) => Err(Errno::ENODEV),
    }
}

/// The interface in a `struct in_addr`, `ip_mreq` or `ip_mreqn`: address and index.
fn decode_v4_interface(value: &[u8]) -> Result<([u8; 4], i32)> {
    let (words, _) = value.as_chunks::<4>();
    match words {
        [] => Err(Errno::EINVAL),
        [address] => Ok((*address, 0)),
        [_, address] => Ok((*address, 0)),
        [_, address, index, ..] => Ok((*address, i32::from_ne_bytes(*index))),
    }
}

/// The group and interface of `IP_ADD_MEMBERSHIP` and `IP_DROP_MEMBERSHIP`.
///
/// # Errors
/// `EINVAL` for what is no group, `ENODEV` for another interface than the loopback.
pub fn decode_membership_v4(value: &[u8]) -> Result<std::net::IpAddr> {
    let (words, _) = value.as_chunks::<4>();
    let ([group, _] | [group, _, _, ..]) = words else { return Err(Errno::EINVAL) };
    let (address, index) = decode_v4_interface(value)?;
    let group = std::net::Ipv4Addr::from(*group);
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    // Without an interface the route decides, and there is none for groups.
    if index == 1 || (index == 0 && address.first() == Some(&127)) {
        Ok(group.into())
    } else {
        Err(Errno::ENODEV)
    }
}

/// The group of `IPV6_JOIN_GROUP` and `IPV6_LEAVE_GROUP`.
///
/// # Errors
/// As [`decode_membership_v4`].
pub fn decode_membership_v6(value: &[u8]) -> Result<std::net::IpAddr> {
    let group = value.first_chunk::<16>().ok_or(Errno::EINVAL)?;
    let index = value.get(16..20).map(decode_int).ok_or(Errno::EINVAL)??;
    let group = std::net::Ipv6Addr::from(*group);
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    if index == 1 { Ok(group.into()) } else { Err(Errno::ENODEV) }
}

/// An option's value as an int.
pub(super) fn decode_int(value: &[u8]) -> Result<i32> {
    value.first_chunk::<4>().map(|word| i32::from_ne_bytes(*word)).ok_or(Errno::EINVAL)
}
