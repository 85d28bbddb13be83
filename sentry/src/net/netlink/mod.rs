//! AF_NETLINK (netlink(7)): how programs ask for interfaces, addresses and routes.
//!
//! A request is answered while it is sent; replies wait in a bounded queue. `route.rs` knows the answers of `NETLINK_ROUTE`,
//! `diag.rs` those of `NETLINK_SOCK_DIAG`. On `NETLINK_USERSOCK` programs send to each other.
//! `NETLINK_KOBJECT_UEVENT` sockets exist and never hear anything: no device comes or goes here.

mod diag;
mod route;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

use linux_abi::{
    Errno, Result,
    socket::{AF_NETLINK, AF_UNSPEC, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOL_NETLINK},
};
use netstack::Stack;
use parking_lot::Mutex;

use super::{
    address::{SocketAddress, family},
    base::{Flags, SocketBase},
    control::ControlMessage,
    socket::{Caller, Received, RecvArgs, SendArgs, Shutdown, Socket, Ucred},
    unix::UnixNs,
};
use crate::{
    credentials::Caps,
    fs::io::{Sink, Source},
    wait::{Events, Watch},
};

use linux_abi::netlink::{
    NETLINK_ADD_MEMBERSHIP as ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP as DROP_MEMBERSHIP,
    NETLINK_KOBJECT_UEVENT, NETLINK_LIST_MEMBERSHIPS as LIST_MEMBERSHIPS, NETLINK_PKTINFO as PKTINFO,
    NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_USERSOCK,
};

/// The options of netlink(7) go up to here (`NETLINK_GET_STRICT_CHK`).
const LAST_OPTION: i32 = 12;
/// Options that are read back; the others take an argument and are forgotten.
const FLAG_OPTIONS: [i32; 6] = [3, 4, 5, 10, 11, 12];
/// How many groups a protocol has (`RTNLGRP_MAX`, rounded up).
const GROUPS: i32 = 64;

/// The port numbers in use, by protocol, and whose they are.
#[derive(Default)]
pub struct NetlinkPorts(Mutex<HashMap<(i32, u32), Weak<NetlinkSocket>>>);

impl NetlinkPorts {
    /// Takes `port`, or with zero some free one: the process's id first, as Linux does.
    fn take(&self, protocol: i32, port: u32, pid: i32, owner: &Weak<NetlinkSocket>) -> Result<u32> {
        let mut used = self.0.lock();
        let mut insert = |port: u32| {
            let free = !used.contains_key(&(protocol, port));
            if free {
                used.insert((protocol, port), Weak::clone(owner));
            }
            free
        };
        if port != 0 {
            return if insert(port) { Ok(port) } else { Err(Errno::EADDRINUSE) };
        }
        let first = pid.unsigned_abs();
        let mut others = (0..u32::MAX / 2).map(|n| u32::MAX - 4096 - n);
        let free = if insert(first) { Some(first) } else { others.find(|port| insert(*port)) };
        free.ok_or(Errno::EADDRINUSE)
    }

    fn release(&self, protocol: i32, port: u32) {
        self.0.lock().remove(&(protocol, port));
    }

    /// Who has `port`.
    fn owner(&self, protocol: i32, port: u32) -> Option<Arc<NetlinkSocket>> {
        self.0.lock().get(&(protocol, port))?.upgrade()
    }

    /// Everybody of `protocol` who is in one of `groups`.
    fn members(&self, protocol: i32, groups: u64) -> Vec<Arc<NetlinkSocket>> {
        let all: Vec<_> = {
            let used = self.0.lock();
            used.iter().filter(|((p, _), _)| *p == protocol).filter_map(|(_, s)| s.upgrade()).collect()
        };
        all.into_iter().filter(|socket| socket.state.lock().groups & groups != 0).collect()
    }
}

/// What netlink sockets tell about.
#[derive(Clone)]
pub struct Subjects {
    pub stack: Arc<Stack>,
    pub unix: Arc<UnixNs>,
}

/// A netlink socket.
pub struct NetlinkSocket {
    base: SocketBase,
    me: Weak<NetlinkSocket>,
    ports: Arc<NetlinkPorts>,
    subjects: Subjects,
    state: Mutex<State>,
}

/// A message to be received.
#[derive(Clone)]
struct Letter {
    /// The sender's port; zero for the kernel.
    from: u32,
    creds: Ucred,
    data: Vec<u8>,
}

#[derive(Default)]
struct State {
    port: u32,
    groups: u64,
    letters: VecDeque<Letter>,
    queued: usize,
    options: [bool; LAST_OPTION as usize + 1],
}

/// Who the kernel is.
const KERNEL: Ucred = Ucred { pid: 0, uid: 0, gid: 0 };
/// What a message costs of the receive buffer besides its bytes.
const OVERHEAD: usize = 256;

impl State {
    fn push(&mut self, letter: Letter, limit: usize) -> Result<()> {
        let cost = letter.data.len() + OVERHEAD;
        if self.queued + cost > limit && !self.letters.is_empty() {
            return Err(Errno::ENOBUFS);
        }
        self.queued += cost;
        self.letters.push_back(letter);
        Ok(())
    }
}

impl NetlinkSocket {
    /// socket(2).
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` for protocols there are none of.
    pub fn new(
        base: SocketBase,
        ports: &Arc<NetlinkPorts>,
        subjects: Subjects,
    ) -> Result<Arc<NetlinkSocket>> {
        if !matches!(
            base.protocol,
            NETLINK_ROUTE | NETLINK_USERSOCK | NETLINK_SOCK_DIAG | NETLINK_KOBJECT_UEVENT
        ) {
            return Err(Errno::EPROTONOSUPPORT);
        }
        Ok(Arc::new_cyclic(|me| NetlinkSocket {
            base,
            me: Weak::clone(me),
            ports: Arc::clone(ports),
            subjects,
            state: Mutex::default(),
        }))
    }

    fn autobind(&self, caller: Caller<'_>) -> Result<u32> {
        let mut state = self.state.lock();
        if state.port == 0 {
            state.port = self.ports.take(self.base.protocol, 0, caller.pid(), &self.me)?;
        }
        Ok(state.port)
    }

    /// Decodes a `struct sockaddr_nl`: port and groups.
    fn decode(address: &[u8]) -> Result<(u32, u32)> {
        if family(address) != Some(AF_NETLINK) {
            return Err(Errno::EINVAL);
        }
        let word = |at: usize| {
            let bytes = address.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
            bytes.map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
        };
        Ok((word(4)?, word(8)?))
    }

    /// Sends to another program, or to all that are in a group.
    fn send_to_users(&self, port: u32, groups: u32, letter: &Letter) -> Result<()> {
        for member in self.ports.members(self.base.protocol, u64::from(groups)) {
            if !Weak::ptr_eq(&member.me, &self.me) {
                // Who has no room misses it.
                let _ = member.take_letter(letter.clone());
            }
        }
        if port == 0 && groups != 0 {
            return Ok(());
        }
        self.ports.owner(self.base.protocol, port).ok_or(Errno::ECONNREFUSED)?.take_letter(letter.clone())
    }

    fn take_letter(&self, letter: Letter) -> Result<()> {
        self.state.lock().push(letter, self.base.rcvbuf())?;
        self.base.queue.wake(Events::IN | Events::RDNORM);
        Ok(())
    }

    fn encode(port: u32, groups: u32) -> SocketAddress {
        let mut bytes = AF_NETLINK.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&port.to_ne_bytes());
        bytes.extend_from_slice(&groups.to_ne_bytes());
        SocketAddress::new(&bytes)
    }
}

impl Socket for NetlinkSocket {
    fn base(&self) -> &SocketBase {
        &self.base
    }

    fn kernel_message(&self, data: &[u8]) -> Result<()> {
        self.take_letter(Letter { from: 0, creds: KERNEL, data: data.to_vec() })
    }

    fn bind(&self, caller: Caller<'_>, address: &[u8]) -> Result<()> {
        let (port, groups) = Self::decode(address)?;
        let mut state = self.state.lock();
        if state.port != 0 {
            if port != state.port && port != 0 {
                return Err(Errno::EINVAL);
            }
        } else {
            state.port = self.ports.take(self.base.protocol, port, caller.pid(), &self.me)?;
        }
        state.groups = state.groups & !u64::from(u32::MAX) | u64::from(groups);
        Ok(())
    }

    fn connect(&self, caller: Caller<'_>, address: &[u8], _nonblocking: bool) -> Result<()> {
        if family(address) == Some(AF_UNSPEC) {
            return Ok(());
        }
        let (port, groups) = Self::decode(address)?;
        if port != 0 || groups != 0 {
            return Err(Errno::EPERM);
        }
        self.autobind(caller).map(|_| ())
    }

    fn send(&self, caller: Caller<'_>, args: &mut SendArgs<'_>, source: &mut dyn Source) -> Result<usize> {
        if args.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let (to_port, to_groups) = args.to.map_or(Ok((0, 0)), Self::decode)?;
        let between_users = self.base.protocol == NETLINK_USERSOCK;
        let beyond_the_kernel = to_port != 0 || to_groups != 0;
        if beyond_the_kernel && !between_users && (to_groups != 0 || !caller.creds().capable(Caps::NET_ADMIN))
        {
            return Err(Errno::EPERM);
        }
        let port = self.autobind(caller)?;
        let len = source.remaining();
        if len > self.base.sndbuf().saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        let mut request = vec![0; len];
        if len > 0 && source.take(&mut request)? < len {
            return Err(Errno::EFAULT);
        }
        if between_users {
            let letter = Letter { from: port, creds: Ucred::of(caller), data: request };
            return self.send_to_users(to_port, to_groups, &letter).map(|()| len);
        }
        if to_port != 0 {
            return Err(Errno::ECONNREFUSED);
        }
        let replies = match self.base.protocol {
            NETLINK_ROUTE => route::answer(&request, port, &caller.creds()),
            NETLINK_SOCK_DIAG => route::answer_with(&request, port, &|request| match request.kind {
                diag::BY_FAMILY => diag::dump(request, &self.subjects.stack, &self.subjects.unix),
                _ => Err(Errno::EINVAL),
            }),
            _ => return Err(Errno::ECONNREFUSED),
        };
        let mut overrun = false;
        {
            let mut state = self.state.lock();
            for data in replies {
                let letter = Letter { from: 0, creds: KERNEL, data };
                if state.push(letter, self.base.rcvbuf()).is_err() {
                    overrun = true;
                    break;
                }
            }
        }
        if overrun {
            self.base.set_error(Errno::ENOBUFS);
        }
        self.base.queue.wake(Events::IN | Events::RDNORM);
        Ok(len)
    }

    fn recv(&self, _caller: Caller<'_>, args: &RecvArgs, sink: &mut dyn Sink) -> Result<Received> {
        if args.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        self.base.take_error()?;
        let (letter, wants_info) = {
            let mut state = self.state.lock();
            let wants_info = state.options.get(PKTINFO as usize).copied().unwrap_or(false);
            let letter = if args.flags & MSG_PEEK != 0 {
                state.letters.front().cloned().ok_or(Errno::EAGAIN)?
            } else {
                let letter = state.letters.pop_front().ok_or(Errno::EAGAIN)?;
                state.queued = state.queued.saturating_sub(letter.data.len() + OVERHEAD);
                letter
            };
            (letter, wants_info)
        };
        let want = letter.data.len().min(sink.remaining());
        let bytes = if want > 0 { sink.put(letter.data.get(..want).unwrap_or_default())? } else { 0 };
        let mut control = Vec::new();
        if args.want_control {
            if wants_info {
                // The group it was sent to: none.
                control.push(ControlMessage::Other { level: SOL_NETLINK, kind: PKTINFO, data: vec![0; 4] });
            }
            if self.base.flags().contains(Flags::PASSCRED) {
                control.push(ControlMessage::Credentials(letter.creds));
            }
        }
        Ok(Received {
            bytes,
            message: Some(letter.data.len()),
            from: Some(Self::encode(letter.from, 0)),
            control,
            flags: if want < letter.data.len() { MSG_TRUNC } else { 0 },
        })
    }

    fn shutdown(&self, _how: Shutdown) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn local_name(&self) -> Result<SocketAddress> {
        let state = self.state.lock();
        Ok(Self::encode(state.port, (state.groups & u64::from(u32::MAX)) as u32))
    }

    fn peer_name(&self) -> Result<SocketAddress> {
        Ok(Self::encode(0, 0))
    }

    fn get_option(&self, level: i32, name: i32, _len: usize) -> Result<Vec<u8>> {
        if (level, name) == (SOL_NETLINK, LIST_MEMBERSHIPS) {
            return Ok(self.state.lock().groups.to_ne_bytes().to_vec());
        }
        if level != SOL_NETLINK || !FLAG_OPTIONS.contains(&name) {
            return Err(Errno::ENOPROTOOPT);
        }
        let on = usize::try_from(name).ok().and_then(|at| self.state.lock().options.get(at).copied());
        Ok(i32::from(on.unwrap_or(false)).to_ne_bytes().to_vec())
    }

    fn set_option(&self, _caller: Caller<'_>, level: i32, name: i32, value: &[u8]) -> Result<()> {
        if level != SOL_NETLINK || !(1..=LAST_OPTION).contains(&name) {
            return Err(Errno::ENOPROTOOPT);
        }
        let value = value.first_chunk::<4>().map(|word| i32::from_ne_bytes(*word)).ok_or(Errno::EINVAL)?;
        let mut state = self.state.lock();
        if matches!(name, ADD_MEMBERSHIP | DROP_MEMBERSHIP) {
            if !(1..=GROUPS).contains(&value) {
                return Err(Errno::EINVAL);
            }
            let group = 1u64 << (value - 1);
            if name == ADD_MEMBERSHIP {
                state.groups |= group;
            } else {
                state.groups &= !group;
            }
            return Ok(());
        }
        if let Some(option) = usize::try_from(name).ok().and_then(|at| state.options.get_mut(at)) {
            *option = value != 0;
        }
        Ok(())
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.state.lock().letters.front().map_or(0, |letter| letter.data.len()))
    }

    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.base.queue.register(watch);
        }
        let mut events = Events::OUT | Events::WRNORM | Events::WRBAND;
        if !self.state.lock().letters.is_empty() {
            events |= Events::IN | Events::RDNORM;
        }
        if self.base.has_error() {
            events |= Events::ERR;
        }
        events
    }

    fn close(&self) {
        let port = std::mem::take(&mut self.state.lock().port);
        if port != 0 {
            self.ports.release(self.base.protocol, port);
        }
    }
}
