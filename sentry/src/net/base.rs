//! The state every socket has, and the options of level `SOL_SOCKET` (socket(7)).

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use linux_abi::{Errno, Result, socket as abi};
use netstack::bpf::Program;
use parking_lot::Mutex;

use super::{
    inode::SocketInode,
    socket::{Caller, Socket, Ucred},
};
use crate::{
    credentials::Caps,
    wait::{Events, WaitQueue},
};

/// `net.core.wmem_max` and `net.core.rmem_max`: what a guest may ask for (and gets twice).
const BUFFER_MAX: i32 = 4 << 20;
/// `SOCK_MIN_SNDBUF`.
const SNDBUF_MIN: i32 = 4608;
/// `SOCK_MIN_RCVBUF`.
const RCVBUF_MIN: i32 = 2304;
/// `net.core.wmem_default` and `net.core.rmem_default`.
pub const BUFFER_DEFAULT: i32 = 212_992;
/// A stamp that is not there.
const NO_STAMP: i64 = -1;
/// A timeout of "none".
const NO_TIMEOUT: u64 = u64::MAX;

bitflags::bitflags! {
    /// Options that are on or off.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        const REUSEADDR = 1;
        const REUSEPORT = 1 << 1;
        const KEEPALIVE = 1 << 2;
        const BROADCAST = 1 << 3;
        const OOBINLINE = 1 << 4;
        const PASSCRED = 1 << 5;
        const DONTROUTE = 1 << 6;
        const TIMESTAMP = 1 << 7;
        const TIMESTAMPNS = 1 << 8;
        const DEBUG = 1 << 9;
        const NO_CHECK = 1 << 10;
        const RXQ_OVFL = 1 << 11;
        const PASSSEC = 1 << 12;
        const LOCK_FILTER = 1 << 13;
        const SELECT_ERR_QUEUE = 1 << 14;
        const NOFCS = 1 << 15;
        const PREFER_BUSY_POLL = 1 << 16;
        const RCVMARK = 1 << 17;
        /// The guest chose the buffer size: no autotuning.
        const SNDBUF_LOCKED = 1 << 18;
        const RCVBUF_LOCKED = 1 << 19;
        const ZEROCOPY = 1 << 20;
    }
}

/// Which option a boolean option is.
const BOOLEANS: &[(i32, Flags)] = &[
    (abi::SO_DEBUG, Flags::DEBUG),
    (abi::SO_REUSEADDR, Flags::REUSEADDR),
    (abi::SO_REUSEPORT, Flags::REUSEPORT),
    (abi::SO_KEEPALIVE, Flags::KEEPALIVE),
    (abi::SO_BROADCAST, Flags::BROADCAST),
    (abi::SO_OOBINLINE, Flags::OOBINLINE),
    (abi::SO_PASSCRED, Flags::PASSCRED),
    (abi::SO_DONTROUTE, Flags::DONTROUTE),
    (abi::SO_TIMESTAMP_OLD, Flags::TIMESTAMP),
    (abi::SO_TIMESTAMP_NEW, Flags::TIMESTAMP),
    (abi::SO_TIMESTAMPNS_OLD, Flags::TIMESTAMPNS),
    (abi::SO_TIMESTAMPNS_NEW, Flags::TIMESTAMPNS),
    (abi::SO_NO_CHECK, Flags::NO_CHECK),
    (abi::SO_RXQ_OVFL, Flags::RXQ_OVFL),
    (abi::SO_PASSSEC, Flags::PASSSEC),
    (abi::SO_LOCK_FILTER, Flags::LOCK_FILTER),
    (abi::SO_SELECT_ERR_QUEUE, Flags::SELECT_ERR_QUEUE),
    (abi::SO_NOFCS, Flags::NOFCS),
    (abi::SO_PREFER_BUSY_POLL, Flags::PREFER_BUSY_POLL),
    (abi::SO_RCVMARK, Flags::RCVMARK),
    (abi::SO_ZEROCOPY, Flags::ZEROCOPY),
];

/// The state every socket has.
pub struct SocketBase {
    pub domain: u16,
    /// `SOCK_STREAM`, ….
    pub kind: i32,
    pub protocol: i32,
    /// Announces everything that changes this socket's readiness.
    pub queue: WaitQueue,
    /// The inode that fstat(2) shows.
    pub inode: Arc<SocketInode>,
    flags: AtomicU32,
    sndbuf: AtomicI32,
    rcvbuf: AtomicI32,
    rcvlowat: AtomicI32,
    priority: AtomicI32,
    mark: AtomicU32,
    peek_off: AtomicI32,
    busy_poll: AtomicI32,
    timestamping: AtomicI32,
    bound_device: AtomicI32,
    max_pacing_rate: AtomicU64,
    /// Nanoseconds, or [`NO_TIMEOUT`].
    rcvtimeo: AtomicU64,
    sndtimeo: AtomicU64,
    /// Seconds; negative when `SO_LINGER` is off.
    linger: AtomicI32,
    /// The pending error (`sk_err`), as an errno; zero for none.
    error: AtomicI32,
    /// `SO_ATTACH_FILTER`.
    filter: Mutex<Option<Arc<Program>>>,
    /// When the last message was received, in nanoseconds since the epoch, as `SIOCGSTAMP` tells it: [`NO_STAMP`] before the
    /// first, zero if nobody had asked by then.
    stamp: AtomicI64,
    /// `MSG_ZEROCOPY` sends that are done and not yet told: first and number, and how many there have been.
    zerocopy: Mutex<(u32, u32, u32)>,
    /// Bytes this socket has in others' receive queues (`sk_wmem_alloc`).
    pub in_flight: AtomicUsize,
}

impl SocketBase {
    /// With the default options.
    pub fn new(domain: u16, kind: i32, protocol: i32, inode: Arc<SocketInode>) -> SocketBase {
        SocketBase {
            domain,
            kind,
            protocol,
            queue: WaitQueue::new(),
            inode,
            flags: AtomicU32::new(0),
            sndbuf: AtomicI32::new(BUFFER_DEFAULT),
            rcvbuf: AtomicI32::new(BUFFER_DEFAULT),
            rcvlowat: AtomicI32::new(1),
            priority: AtomicI32::new(0),
            mark: AtomicU32::new(0),
            peek_off: AtomicI32::new(-1),
            busy_poll: AtomicI32::new(0),
            timestamping: AtomicI32::new(0),
            bound_device: AtomicI32::new(0),
            max_pacing_rate: AtomicU64::new(u64::MAX),
            rcvtimeo: AtomicU64::new(NO_TIMEOUT),
            sndtimeo: AtomicU64::new(NO_TIMEOUT),
            linger: AtomicI32::new(-1),
            error: AtomicI32::new(0),
            filter: Mutex::new(None),
            stamp: AtomicI64::new(NO_STAMP),
            zerocopy: Mutex::default(),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// A socket that accept(2) made: it inherits the listener's options.
    pub fn inherit(&self, inode: Arc<SocketInode>) -> SocketBase {
        let base = SocketBase::new(self.domain, self.kind, self.protocol, inode);
        let copy =
            |to: &AtomicI32, from: &AtomicI32| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        base.flags.store(self.flags.load(Ordering::Relaxed), Ordering::Relaxed);
        copy(&base.sndbuf, &self.sndbuf);
        copy(&base.rcvbuf, &self.rcvbuf);
        copy(&base.rcvlowat, &self.rcvlowat);
        copy(&base.priority, &self.priority);
        copy(&base.linger, &self.linger);
        copy(&base.bound_device, &self.bound_device);
        base.mark.store(self.mark.load(Ordering::Relaxed), Ordering::Relaxed);
        base.filter.lock().clone_from(&self.filter.lock());
        base.rcvtimeo.store(self.rcvtimeo.load(Ordering::Relaxed), Ordering::Relaxed);
        base.sndtimeo.store(self.sndtimeo.load(Ordering::Relaxed), Ordering::Relaxed);
        base
    }

    /// The on/off options.
    pub fn flags(&self) -> Flags {
        Flags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    fn set_flag(&self, flag: Flags, on: bool) {
        if on {
            self.flags.fetch_or(flag.bits(), Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag.bits(), Ordering::Relaxed);
        }
    }

    /// `sk_sndbuf`.
    pub fn sndbuf(&self) -> usize {
        usize::try_from(self.sndbuf.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// `sk_rcvbuf`.
    pub fn rcvbuf(&self) -> usize {
        usize::try_from(self.rcvbuf.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Sets both buffer sizes as a protocol's defaults.
    pub fn set_buffer_defaults(&self, sndbuf: i32, rcvbuf: i32) {
        self.sndbuf.store(sndbuf, Ordering::Relaxed);
        self.rcvbuf.store(rcvbuf, Ordering::Relaxed);
    }

    /// `SO_RCVLOWAT`.
    pub fn rcvlowat(&self) -> usize {
        usize::try_from(self.rcvlowat.load(Ordering::Relaxed)).unwrap_or(1).max(1)
    }

    /// `SO_RCVTIMEO`.
    pub fn receive_timeout(&self) -> Option<Duration> {
        timeout(self.rcvtimeo.load(Ordering::Relaxed))
    }

    /// `SO_SNDTIMEO`.
    pub fn send_timeout(&self) -> Option<Duration> {
        timeout(self.sndtimeo.load(Ordering::Relaxed))
    }

    /// `SO_LINGER`'s seconds, when on.
    pub fn linger(&self) -> Option<u32> {
        u32::try_from(self.linger.load(Ordering::Relaxed)).ok()
    }

    /// `SO_PRIORITY`, as a type of service implies it.
    pub fn set_priority(&self, priority: i32) {
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// Notes that a message was received.
    pub fn note_message(&self) {
        match self.stamp.load(Ordering::Relaxed) {
            NO_STAMP => self.stamp.store(0, Ordering::Relaxed),
            0 => {}
            _ => self.stamp.store(now_nanos(), Ordering::Relaxed),
        }
    }

    /// When the last message was received (`sock_gettstamp`). From the first question on this is noted.
    ///
    /// # Errors
    /// `ENOENT` before the first message.
    pub fn stamp(&self) -> Result<Duration> {
        let nanos = match self.stamp.load(Ordering::Relaxed) {
            NO_STAMP => return Err(Errno::ENOENT),
            0 => {
                let now = now_nanos();
                self.stamp.store(now, Ordering::Relaxed);
                now
            }
            nanos => nanos,
        };
        Ok(Duration::from_nanos(nanos.unsigned_abs()))
    }

    /// Notes that a `MSG_ZEROCOPY` send is done: it was copied, so at once.
    pub fn note_zerocopy(&self) {
        let mut state = self.zerocopy.lock();
        let (first, count, total) = *state;
        *state = (if count == 0 { total } else { first }, count.saturating_add(1), total.wrapping_add(1));
        drop(state);
        self.queue.wake(Events::ERR);
    }

    /// The first and last number of the `MSG_ZEROCOPY` sends to be told of, if there are any.
    pub fn take_zerocopy(&self) -> Option<(u32, u32)> {
        let mut state = self.zerocopy.lock();
        let (first, count, total) = *state;
        let last = count.checked_sub(1).map(|more| first.wrapping_add(more));
        *state = (first, 0, total);
        last.map(|last| (first, last))
    }

    /// The filter attached.
    pub fn filter(&self) -> Option<Arc<Program>> {
        self.filter.lock().clone()
    }

    /// `SO_MARK`.
    pub fn mark(&self) -> u32 {
        self.mark.load(Ordering::Relaxed)
    }

    /// `SO_PEEK_OFF`, when on: where `MSG_PEEK` looks.
    pub fn peek_offset(&self) -> Option<usize> {
        usize::try_from(self.peek_off.load(Ordering::Relaxed)).ok()
    }

    /// Moves the peek offset on after peeking at `bytes`, or back after they were taken.
    pub fn move_peek_offset(&self, bytes: usize, peeked: bool) {
        let Some(offset) = self.peek_offset() else { return };
        let moved = if peeked { offset.saturating_add(bytes) } else { offset.saturating_sub(bytes) };
        self.peek_off.store(i32::try_from(moved).unwrap_or(i32::MAX), Ordering::Relaxed);
    }

    /// Makes `error` pending.
    pub fn set_error(&self, error: Errno) {
        self.error.store(error.raw(), Ordering::Release);
    }

    /// Whether poll(2) shows an error.
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::Acquire) != 0
            || (self.flags().contains(Flags::ZEROCOPY) && self.zerocopy.lock().1 > 0)
    }

    /// Takes the pending error.
    ///
    /// # Errors
    /// That error.
    pub fn take_error(&self) -> Result<()> {
        if self.error.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        match self.error.swap(0, Ordering::AcqRel) {
            0 => Ok(()),
            raw => Err(Errno::from_raw(raw)),
        }
    }
}

fn now_nanos() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

fn timeout(nanos: u64) -> Option<Duration> {
    (nanos != NO_TIMEOUT).then(|| Duration::from_nanos(nanos))
}

fn int(value: &[u8]) -> Result<i32> {
    value.first_chunk::<4>().map(|word| i32::from_ne_bytes(*word)).ok_or(Errno::EINVAL)
}

fn long_pair(value: &[u8]) -> Result<[i64; 2]> {
    let (words, _) = value.as_chunks::<8>();
    match words {
        [first, second, ..] => Ok([i64::from_ne_bytes(*first), i64::from_ne_bytes(*second)]),
        _ => Err(Errno::EINVAL),
    }
}

/// `sock_set_timeout`: zero means none, a negative time means at once.
fn decode_timeout(value: &[u8]) -> Result<u64> {
    let [sec, usec] = long_pair(value)?;
    if !(0..1_000_000).contains(&usec) {
        return Err(Errno::EDOM);
    }
    if sec < 0 {
        return Ok(0);
    }
    if sec == 0 && usec == 0 {
        return Ok(NO_TIMEOUT);
    }
    let nanos = sec.cast_unsigned().checked_mul(1_000_000_000);
    Ok(nanos.and_then(|n| n.checked_add(usec.cast_unsigned() * 1000)).unwrap_or(NO_TIMEOUT))
}

fn encode_timeout(nanos: u64) -> Vec<u8> {
    let micros = if nanos == NO_TIMEOUT { 0 } else { nanos / 1000 };
    [micros / 1_000_000, micros % 1_000_000].into_iter().flat_map(u64::to_ne_bytes).collect()
}

/// getsockopt(2) at level `SOL_SOCKET`; `len` is how much the caller takes.
///
/// # Errors
/// `ENOPROTOOPT` and what single options say.
pub fn get_option(socket: &dyn Socket, name: i32, len: usize) -> Result<Vec<u8>> {
    let base = socket.base();
    if let Some((_, flag)) = BOOLEANS.iter().find(|(option, _)| *option == name) {
        return Ok(i32::from(base.flags().contains(*flag)).to_ne_bytes().to_vec());
    }
    let value = match name {
        abi::SO_TYPE => base.kind,
        abi::SO_DOMAIN => i32::from(base.domain),
        abi::SO_PROTOCOL => base.protocol,
        abi::SO_ERROR => socket.take_error().map_or_else(Errno::raw, |()| 0),
        abi::SO_SNDBUF => base.sndbuf.load(Ordering::Relaxed),
        abi::SO_RCVBUF => base.rcvbuf.load(Ordering::Relaxed),
        abi::SO_PRIORITY => base.priority.load(Ordering::Relaxed),
        abi::SO_RCVLOWAT => base.rcvlowat.load(Ordering::Relaxed),
        abi::SO_SNDLOWAT => 1,
        abi::SO_BSDCOMPAT | abi::SO_RESERVE_MEM | abi::SO_INCOMING_NAPI_ID => 0,
        abi::SO_ACCEPTCONN => i32::from(socket.is_listening()),
        abi::SO_MARK => base.mark().cast_signed(),
        abi::SO_PEEK_OFF => base.peek_off.load(Ordering::Relaxed),
        abi::SO_BUSY_POLL => base.busy_poll.load(Ordering::Relaxed),
        abi::SO_TIMESTAMPING_OLD | abi::SO_TIMESTAMPING_NEW => base.timestamping.load(Ordering::Relaxed),
        abi::SO_BPF_EXTENSIONS => 64,
        abi::SO_INCOMING_CPU => -1,
        abi::SO_BINDTOIFINDEX => base.bound_device.load(Ordering::Relaxed),
        abi::SO_TXREHASH => 1,
        abi::SO_BUF_LOCK => {
            let flags = base.flags();
            i32::from(flags.contains(Flags::SNDBUF_LOCKED))
                | i32::from(flags.contains(Flags::RCVBUF_LOCKED)) << 1
        }
        abi::SO_LINGER => {
            let seconds = base.linger.load(Ordering::Relaxed);
            let pair = [i32::from(seconds >= 0), seconds.max(0)];
            return Ok(pair.into_iter().flat_map(i32::to_ne_bytes).collect());
        }
        abi::SO_RCVTIMEO_OLD | abi::SO_RCVTIMEO_NEW => {
            return Ok(encode_timeout(base.rcvtimeo.load(Ordering::Relaxed)));
        }
        abi::SO_SNDTIMEO_OLD | abi::SO_SNDTIMEO_NEW => {
            return Ok(encode_timeout(base.sndtimeo.load(Ordering::Relaxed)));
        }
        abi::SO_PEERCRED => {
            let peer = socket.peer_creds().map_or(Ucred::NOBODY, |(cred, _)| cred);
            return Ok(peer.to_bytes().to_vec());
        }
        abi::SO_PEERGROUPS => {
            let (_, groups) = socket.peer_creds().ok_or(Errno::ENODATA)?;
            return Ok(groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect());
        }
        abi::SO_PEERNAME => {
            let name = socket.peer_name()?;
            // sock_getsockopt: the caller must take the whole address.
            return if len < name.as_bytes().len() {
                Err(Errno::EINVAL)
            } else {
                Ok(name.as_bytes().to_vec())
            };
        }
        abi::SO_COOKIE | abi::SO_NETNS_COOKIE => {
            let cookie = if name == abi::SO_COOKIE { base.inode.number() } else { 1 };
            return if len < 8 { Err(Errno::EINVAL) } else { Ok(cookie.to_ne_bytes().to_vec()) };
        }
        abi::SO_MAX_PACING_RATE => {
            let rate = base.max_pacing_rate.load(Ordering::Relaxed);
            if len >= 8 {
                return Ok(rate.to_ne_bytes().to_vec());
            }
            u32::try_from(rate).unwrap_or(u32::MAX).cast_signed()
        }
        abi::SO_BINDTODEVICE => {
            let bound = base.bound_device.load(Ordering::Relaxed) != 0;
            return match (bound, len) {
                (false, _) => Ok(Vec::new()),
                // IFNAMSIZ.
                (true, ..16) => Err(Errno::EINVAL),
                (true, _) => Ok(b"lo\0".to_vec()),
            };
        }
        _ => return socket.get_option(abi::SOL_SOCKET, name, len),
    };
    Ok(value.to_ne_bytes().to_vec())
}

/// setsockopt(2) at level `SOL_SOCKET`.
///
/// # Errors
/// `EINVAL` for a short value, `ENOPROTOOPT`, and what single options say.
pub fn set_option(socket: &dyn Socket, caller: Caller<'_>, name: i32, value: &[u8]) -> Result<()> {
    let base = socket.base();
    if name == abi::SO_BINDTODEVICE {
        return bind_to_device(base, value);
    }
    let number = int(value)?;
    let privileged = || {
        let creds = caller.creds();
        creds.capable(Caps::NET_ADMIN) || creds.capable(Caps::NET_RAW)
    };
    if let Some((_, flag)) = BOOLEANS.iter().find(|(option, _)| *option == name) {
        let unix = base.domain == abi::AF_UNIX || base.domain == abi::AF_NETLINK;
        match *flag {
            Flags::DEBUG if number != 0 && !caller.creds().capable(Caps::NET_ADMIN) => {
                return Err(Errno::EACCES);
            }
            Flags::REUSEPORT if number != 0 && unix => return Err(Errno::EOPNOTSUPP),
            Flags::LOCK_FILTER if number == 0 && base.flags().contains(Flags::LOCK_FILTER) => {
                return Err(Errno::EPERM);
            }
            Flags::PASSSEC | Flags::PASSCRED if !unix => return Err(Errno::EOPNOTSUPP),
            Flags::ZEROCOPY if unix || base.domain == abi::AF_PACKET => return Err(Errno::EOPNOTSUPP),
            Flags::ZEROCOPY if !(0..=1).contains(&number) => return Err(Errno::EINVAL),
            // There is one kind of time stamp or the other.
            Flags::TIMESTAMP | Flags::TIMESTAMPNS => {
                base.set_flag(Flags::TIMESTAMP | Flags::TIMESTAMPNS, false);
            }
            _ => {}
        }
        base.set_flag(*flag, number != 0);
        socket.option_changed(name);
        return Ok(());
    }
    match name {
        abi::SO_TYPE
        | abi::SO_PROTOCOL
        | abi::SO_DOMAIN
        | abi::SO_ERROR
        | abi::SO_SNDLOWAT
        | abi::SO_ACCEPTCONN
        | abi::SO_PEERCRED
        | abi::SO_PEERGROUPS
        | abi::SO_COOKIE => return Err(Errno::ENOPROTOOPT),
        abi::SO_SNDBUF | abi::SO_SNDBUFFORCE => {
            let asked = limit_buffer(caller, number, name == abi::SO_SNDBUFFORCE)?;
            base.sndbuf.store(asked.saturating_mul(2).max(SNDBUF_MIN), Ordering::Relaxed);
            base.set_flag(Flags::SNDBUF_LOCKED, true);
        }
        abi::SO_RCVBUF | abi::SO_RCVBUFFORCE => {
            let asked = limit_buffer(caller, number, name == abi::SO_RCVBUFFORCE)?;
            base.rcvbuf.store(asked.saturating_mul(2).max(RCVBUF_MIN), Ordering::Relaxed);
            base.set_flag(Flags::RCVBUF_LOCKED, true);
        }
        abi::SO_PRIORITY => {
            if !(0..=6).contains(&number) && !privileged() {
                return Err(Errno::EPERM);
            }
            base.priority.store(number, Ordering::Relaxed);
        }
        abi::SO_MARK => {
            if !privileged() {
                return Err(Errno::EPERM);
            }
            base.mark.store(number.cast_unsigned(), Ordering::Relaxed);
        }
        abi::SO_LINGER => {
            let seconds = value.get(4..8).map(int).ok_or(Errno::EINVAL)??;
            base.linger.store(if number == 0 { -1 } else { seconds.max(0) }, Ordering::Relaxed);
        }
        abi::SO_RCVLOWAT => {
            let bytes = if number < 0 { i32::MAX } else { number.max(1) };
            base.rcvlowat.store(bytes, Ordering::Relaxed);
        }
        abi::SO_RCVTIMEO_OLD | abi::SO_RCVTIMEO_NEW => {
            base.rcvtimeo.store(decode_timeout(value)?, Ordering::Relaxed);
        }
        abi::SO_SNDTIMEO_OLD | abi::SO_SNDTIMEO_NEW => {
            base.sndtimeo.store(decode_timeout(value)?, Ordering::Relaxed);
        }
        abi::SO_TIMESTAMPING_OLD | abi::SO_TIMESTAMPING_NEW => {
            if number & !0x7_ffff != 0 {
                return Err(Errno::EINVAL);
            }
            base.timestamping.store(number, Ordering::Relaxed);
        }
        abi::SO_PEEK_OFF => {
            let has_offset = match base.domain {
                abi::AF_UNIX => true,
                abi::AF_INET | abi::AF_INET6 => base.kind != abi::SOCK_RAW,
                _ => false,
            };
            if !has_offset {
                return Err(Errno::EOPNOTSUPP);
            }
            base.peek_off.store(number, Ordering::Relaxed);
        }
        abi::SO_BUSY_POLL => {
            if number < 0 {
                return Err(Errno::EINVAL);
            }
            if number > base.busy_poll.load(Ordering::Relaxed) && !caller.creds().capable(Caps::NET_ADMIN) {
                return Err(Errno::EPERM);
            }
            base.busy_poll.store(number, Ordering::Relaxed);
        }
        abi::SO_MAX_PACING_RATE => {
            let rate = value
                .first_chunk::<8>()
                .map_or(u64::from(number.cast_unsigned()), |r| u64::from_ne_bytes(*r));
            base.max_pacing_rate.store(rate, Ordering::Relaxed);
        }
        abi::SO_BINDTOIFINDEX => {
            if number < 0 {
                return Err(Errno::EINVAL);
            }
            if number > 1 {
                return Err(Errno::ENODEV);
            }
            base.bound_device.store(number, Ordering::Relaxed);
        }
        abi::SO_BSDCOMPAT | abi::SO_INCOMING_CPU | abi::SO_TXREHASH => {}
        abi::SO_DETACH_FILTER => return change_filter(socket, None),
        _ => return socket.set_option(caller, abi::SOL_SOCKET, name, value),
    }
    socket.option_changed(name);
    Ok(())
}

/// `SO_ATTACH_FILTER` with a program, `SO_DETACH_FILTER` without.
///
/// # Errors
/// `EPERM` when the filter is locked, `ENOENT` when there is none to detach.
pub fn change_filter(socket: &dyn Socket, filter: Option<Arc<Program>>) -> Result<()> {
    let base = socket.base();
    if base.flags().contains(Flags::LOCK_FILTER) {
        return Err(Errno::EPERM);
    }
    if filter.is_none() && base.filter().is_none() {
        return Err(Errno::ENOENT);
    }
    base.filter.lock().clone_from(&filter);
    socket.set_filter(filter)
}

fn limit_buffer(caller: Caller<'_>, asked: i32, force: bool) -> Result<i32> {
    if force && !caller.creds().capable(Caps::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    // `val` is unsigned in the comparison: a negative size asks for the most.
    Ok(if asked < 0 { BUFFER_MAX } else { asked.min(BUFFER_MAX) })
}

fn bind_to_device(base: &SocketBase, value: &[u8]) -> Result<()> {
    // IFNAMSIZ - 1 significant bytes, up to a NUL.
    let name = value.get(..15).unwrap_or(value);
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let index = match name {
        b"" => 0,
        b"lo" => 1,
        _ => return Err(Errno::ENODEV),
    };
    base.bound_device.store(index, Ordering::Relaxed);
    Ok(())
}
