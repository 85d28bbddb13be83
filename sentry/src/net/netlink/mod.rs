//! AF_NETLINK (netlink(7)): how programs ask for interfaces, addresses and routes.
//!
//! A request is answered while it is sent; replies wait in a bounded queue. `route.rs` knows the answers of `NETLINK_ROUTE`.
//! `NETLINK_KOBJECT_UEVENT` sockets exist and never hear anything: no device comes or goes here.

mod route;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use linux_abi::{
    Errno, Result,
    socket::{AF_NETLINK, AF_UNSPEC, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOL_NETLINK},
};
use parking_lot::Mutex;

use super::{
    address::{SocketAddress, family},
    base::SocketBase,
    socket::{Caller, Received, RecvArgs, SendArgs, Shutdown, Socket},
};
use crate::{
    fs::io::{Sink, Source},
    wait::{Events, Watch},
};

use linux_abi::netlink::{NETLINK_KOBJECT_UEVENT, NETLINK_ROUTE};

/// The options of netlink(7) go up to here (`NETLINK_GET_STRICT_CHK`).
const LAST_OPTION: i32 = 12;
/// Options that are read back; the others take an argument and are forgotten.
const FLAG_OPTIONS: [i32; 6] = [3, 4, 5, 10, 11, 12];

/// The port numbers in use.
#[derive(Default)]
pub struct NetlinkPorts(Mutex<HashSet<(i32, u32)>>);

impl NetlinkPorts {
    /// Takes `port`, or with zero some free one: the process's id first, as Linux does.
    fn take(&self, protocol: i32, port: u32, pid: i32) -> Result<u32> {
        let mut used = self.0.lock();
        if port != 0 {
            return if used.insert((protocol, port)) { Ok(port) } else { Err(Errno::EADDRINUSE) };
        }
        let first = pid.unsigned_abs();
        let others = (0..u32::MAX / 2).map(|n| u32::MAX - 4096 - n);
        let free = std::iter::once(first).chain(others).find(|port| used.insert((protocol, *port)));
        free.ok_or(Errno::EADDRINUSE)
    }

    fn release(&self, protocol: i32, port: u32) {
        self.0.lock().remove(&(protocol, port));
    }
}

/// A netlink socket.
pub struct NetlinkSocket {
    base: SocketBase,
    ports: Arc<NetlinkPorts>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    port: u32,
    groups: u32,
    replies: VecDeque<Vec<u8>>,
    queued: usize,
    options: [bool; LAST_OPTION as usize + 1],
}

impl NetlinkSocket {
    /// socket(2).
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` for protocols there are none of.
    pub fn new(base: SocketBase, ports: &Arc<NetlinkPorts>) -> Result<Arc<NetlinkSocket>> {
        if !matches!(base.protocol, NETLINK_ROUTE | NETLINK_KOBJECT_UEVENT) {
            return Err(Errno::EPROTONOSUPPORT);
        }
        Ok(Arc::new(NetlinkSocket { base, ports: Arc::clone(ports), state: Mutex::default() }))
    }

    fn autobind(&self, caller: Caller<'_>) -> Result<u32> {
        let mut state = self.state.lock();
        if state.port == 0 {
            state.port = self.ports.take(self.base.protocol, 0, caller.pid())?;
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

    fn bind(&self, caller: Caller<'_>, address: &[u8]) -> Result<()> {
        let (port, groups) = Self::decode(address)?;
        let mut state = self.state.lock();
        if state.port != 0 {
            if port != state.port && port != 0 {
                return Err(Errno::EINVAL);
            }
        } else {
            state.port = self.ports.take(self.base.protocol, port, caller.pid())?;
        }
        state.groups = groups;
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
        if let Some(to) = args.to {
            let (port, groups) = Self::decode(to)?;
            if groups != 0 {
                return Err(Errno::EPERM);
            }
            if port != 0 {
                return Err(Errno::ECONNREFUSED);
            }
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
        if self.base.protocol != NETLINK_ROUTE {
            return Err(Errno::ECONNREFUSED);
        }
        let replies = route::answer(&request, port, &caller.creds());
        let mut overrun = false;
        {
            let mut state = self.state.lock();
            for reply in replies {
                if state.queued + reply.len() > self.base.rcvbuf() && state.queued > 0 {
                    overrun = true;
                    break;
                }
                state.queued += reply.len();
                state.replies.push_back(reply);
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
        let reply = {
            let mut state = self.state.lock();
            if args.flags & MSG_PEEK != 0 {
                state.replies.front().cloned().ok_or(Errno::EAGAIN)?
            } else {
                let reply = state.replies.pop_front().ok_or(Errno::EAGAIN)?;
                state.queued = state.queued.saturating_sub(reply.len());
                reply
            }
        };
        let want = reply.len().min(sink.remaining());
        let bytes = if want > 0 { sink.put(reply.get(..want).unwrap_or_default())? } else { 0 };
        Ok(Received {
            bytes,
            message: Some(reply.len()),
            from: Some(Self::encode(0, 0)),
            control: Vec::new(),
            flags: if want < reply.len() { MSG_TRUNC } else { 0 },
        })
    }

    fn shutdown(&self, _how: Shutdown) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn local_name(&self) -> Result<SocketAddress> {
        let state = self.state.lock();
        Ok(Self::encode(state.port, state.groups))
    }

    fn peer_name(&self) -> Result<SocketAddress> {
        Ok(Self::encode(0, 0))
    }

    fn get_option(&self, level: i32, name: i32, _len: usize) -> Result<Vec<u8>> {
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
        if let Some(option) = usize::try_from(name).ok().and_then(|at| state.options.get_mut(at)) {
            *option = value != 0;
        }
        Ok(())
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.state.lock().replies.front().map_or(0, Vec::len))
    }

    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.base.queue.register(watch);
        }
        let mut events = Events::OUT | Events::WRNORM | Events::WRBAND;
        if !self.state.lock().replies.is_empty() {
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
