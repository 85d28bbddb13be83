//! The client: a pool of connections, each carrying one call at a time.
//!
//! Any thread may call at any time. A call takes an idle connection for itself; if there is none it waits,
//! and whoever returns one opens another for it, up to the limit given at the start. A new connection is a
//! socketpair(2) whose far end goes to the gofer over an existing one: a caller whose seccomp filter forbids
//! that calls [`Client::grow`] beforehand and gets as many as it will ever need.
//!
//! Lock order: `pool` and `released` are never held together, and neither across a call.
//!
//! The calls themselves are in [`calls`].

mod calls;

use std::os::fd::{AsFd, OwnedFd};

use linux_abi::{Errno, Result};
use parking_lot::{Condvar, Mutex};

use crate::{
    MAX_MESSAGE, MAX_RELEASE, MAX_SMALL_REPLY,
    message::Request,
    transport,
    types::{HandleId, NodeId},
    wire::{Reader, Wire, Writer},
};

/// Connections that are opened because the idle ones are served on other processors.
const SPREAD: usize = 4;
/// How many ids to give back wait for company before a message is spent on them.
const RELEASE_BATCH: usize = 64;

/// A connection to a gofer. See the module's documentation.
#[derive(Debug)]
pub struct Client {
    pool: Mutex<Pool>,
    /// Signalled when a connection becomes idle, and when none is left.
    returned: Condvar,
    released: Mutex<Vec<u64>>,
}

#[derive(Debug)]
struct Pool {
    idle: Vec<Channel>,
    /// Connections there are, idle or in use.
    total: usize,
    /// Connections there may be.
    limit: usize,
    /// Threads without one.
    waiting: usize,
}

/// One connection and its buffers.
#[derive(Debug)]
struct Channel {
    socket: OwnedFd,
    /// The processor that the gofer serves it on.
    cpu: Option<u32>,
    message: Vec<u8>,
    reply: Box<[u8]>,
}

impl Client {
    /// A client over a connection to a gofer, which may become up to `limit` connections.
    pub fn new(socket: OwnedFd, limit: usize) -> Client {
        Client {
            pool: Mutex::new(Pool {
                idle: vec![Channel::new(socket)],
                total: 1,
                limit: limit.max(1),
                waiting: 0,
            }),
            returned: Condvar::new(),
            released: Mutex::new(Vec::new()),
        }
    }

    /// Opens connections until there are `count`, or as many as the limit allows.
    pub fn grow(&self, count: usize) -> Result<()> {
        loop {
            let mut channel = self.take()?;
            if !self.reserve(|pool| pool.total < count) {
                self.put(channel);
                return Ok(());
            }
            let added = channel.add_connection();
            self.put(channel);
            match added {
                Ok(new) => self.put(new),
                Err(errno) => {
                    self.forget_one();
                    return Err(errno);
                }
            }
        }
    }

    /// Gives references back. They travel in batches, without an answer; nothing waits for it.
    pub fn release(&self, nodes: &[NodeId]) {
        self.give_back(nodes.iter().map(|node| node.0));
    }

    /// Closes an open directory.
    pub fn close(&self, handle: HandleId) {
        self.give_back([handle.0].into_iter());
    }

    /// Sends what [`release`](Client::release) and [`close`](Client::close) still hold back.
    pub fn flush_released(&self) {
        let ids = std::mem::take(&mut *self.released.lock());
        self.send_released(&ids);
    }

    fn give_back(&self, ids: impl Iterator<Item = u64>) {
        let full = {
            let mut released = self.released.lock();
            released.extend(ids);
            if released.len() < RELEASE_BATCH {
                return;
            }
            std::mem::take(&mut *released)
        };
        self.send_released(&full);
    }

    fn send_released(&self, ids: &[u64]) {
        for some in ids.chunks(MAX_RELEASE) {
            let Ok(mut channel) = self.take() else { return };
            // A connection that cannot be written to is gone, and with the last one all nodes are.
            match channel.send(&Request::Release { ids: some.to_vec() }) {
                Ok(()) => self.put(channel),
                Err(_) => self.forget_one(),
            }
        }
    }

    /// Makes a call whose answer is short, and may bring a descriptor.
    fn call<T: for<'a> Wire<'a>>(&self, request: &Request<'_>) -> Result<(T, Option<OwnedFd>)> {
        self.on_channel(|channel| {
            channel.send(request)?;
            let (len, fd) = transport::receive_with_fd(&channel.socket, &mut channel.reply)
                .map_err(|_| Lost)
                .and_then(|(len, fd)| if len == 0 { Err(Lost) } else { Ok((len, fd)) })?;
            Ok(decode(channel.reply.get(..len).unwrap_or(&[]), value).map(|value| (value, fd)))
        })
    }

    /// Makes a call whose answer is short, and may bring several descriptors.
    fn call_for_fds<T: for<'a> Wire<'a>>(&self, request: &Request<'_>) -> Result<(T, Vec<OwnedFd>)> {
        self.on_channel(|channel| {
            channel.send(request)?;
            let (len, fds) =
                transport::receive_with_fds(&channel.socket, &mut channel.reply).map_err(|_| Lost)?;
            if len == 0 {
                return Err(Lost);
            }
            Ok(decode(channel.reply.get(..len).unwrap_or(&[]), value).map(|value| (value, fds)))
        })
    }

    /// Makes a call whose answer may be as long as a message gets.
    fn call_long<T>(&self, request: &Request<'_>, parse: impl FnOnce(Reader<'_>) -> Result<T>) -> Result<T> {
        self.on_channel(|channel| {
            channel.send(request)?;
            let mut reply = Vec::new();
            transport::receive(&channel.socket, &mut reply, MAX_MESSAGE).map_err(|_| Lost)?;
            if reply.is_empty() {
                return Err(Lost);
            }
            Ok(decode(&reply, parse))
        })
    }

    /// Runs `talk` with a connection of its own. An `Err` of its own is a broken connection.
    fn on_channel<T>(
        &self,
        talk: impl FnOnce(&mut Channel) -> std::result::Result<Result<T>, Lost>,
    ) -> Result<T> {
        let mut channel = self.take()?;
        let moved = channel.follow();
        match moved.and_then(|moved| talk(&mut channel).map(|result| (moved, result))) {
            Ok((moved, result)) => {
                self.put_and_serve_waiters(channel, moved);
                result
            }
            Err(Lost) => {
                self.forget_one();
                Err(Errno::EIO)
            }
        }
    }

    /// Takes an idle connection, waiting for one if need be. `EIO` if the gofer is gone.
    fn take(&self) -> Result<Channel> {
        let here = processor();
        let mut pool = self.pool.lock();
        loop {
            if let Some(near) = pool.idle.iter().rposition(|channel| channel.cpu == here) {
                return Ok(pool.idle.swap_remove(near));
            }
            if let Some(channel) = pool.idle.pop() {
                return Ok(channel);
            }
            if pool.total == 0 {
                return Err(Errno::EIO);
            }
            pool.waiting = pool.waiting.saturating_add(1);
            self.returned.wait(&mut pool);
            pool.waiting = pool.waiting.saturating_sub(1);
        }
    }

    fn put(&self, channel: Channel) {
        self.pool.lock().idle.push(channel);
        self.returned.notify_one();
    }

    /// Returns a connection; if threads are waiting, or this one had to be moved to the caller's processor, and another one
    /// is allowed, uses it to make that first.
    fn put_and_serve_waiters(&self, mut channel: Channel, moved: bool) {
        if self.reserve(|pool| pool.waiting > 0 || (moved && pool.total < SPREAD)) {
            match channel.add_connection() {
                Ok(new) => self.put(new),
                Err(_) => {
                    // Not to be had (a full descriptor table, say): make do with those there are.
                    let mut pool = self.pool.lock();
                    pool.total = pool.total.saturating_sub(1);
                    pool.limit = pool.total;
                }
            }
        }
        self.put(channel);
    }

    /// Counts a connection that is about to be made, if the limit allows another and `wanted` says so. The caller
    /// holds a connection, so that `total` cannot mislead those who wait into waiting for ever.
    fn reserve(&self, wanted: impl FnOnce(&Pool) -> bool) -> bool {
        let mut pool = self.pool.lock();
        let grow = pool.total < pool.limit && wanted(&pool);
        if grow {
            pool.total = pool.total.saturating_add(1);
        }
        grow
    }

    /// Accounts for a connection that is no more.
    fn forget_one(&self) {
        let mut pool = self.pool.lock();
        pool.total = pool.total.saturating_sub(1);
        if pool.total == 0 {
            self.returned.notify_all();
        }
    }
}

/// The processor that the caller runs on.
fn processor() -> Option<u32> {
    nix::sched::sched_getcpu().ok().and_then(|cpu| u32::try_from(cpu).ok())
}

/// The connection broke.
#[derive(Debug)]
struct Lost;

impl Channel {
    fn new(socket: OwnedFd) -> Channel {
        Channel { socket, cpu: None, message: Vec::new(), reply: vec![0; MAX_SMALL_REPLY].into() }
    }

    /// Has it served on the caller's processor. `true` if it was served on another one before.
    fn follow(&mut self) -> std::result::Result<bool, Lost> {
        let Some(cpu) = processor().filter(|here| self.cpu != Some(*here)) else { return Ok(false) };
        self.send(&Request::Follow { cpu })?;
        Ok(self.cpu.replace(cpu).is_some())
    }

    fn send(&mut self, request: &Request<'_>) -> std::result::Result<(), Lost> {
        let mut out = Writer::new(&mut self.message, MAX_MESSAGE);
        request.encode(&mut out);
        let message = out.finish().map_err(|_| Lost)?;
        transport::send(&self.socket, message, None).map_err(|_| Lost)
    }

    fn add_connection(&mut self) -> Result<Channel> {
        let (ours, theirs) = transport::pair()?;
        self.send(&Request::AddConnection {}).map_err(|Lost| Errno::EIO)?;
        transport::send(&self.socket, &[0], Some(theirs.as_fd()))?;
        let (len, _) = transport::receive_with_fd(&self.socket, &mut self.reply)?;
        decode(self.reply.get(..len).unwrap_or(&[]), value::<()>)?;
        Ok(Channel::new(ours))
    }
}

/// Splits an answer into its errno and what `parse` makes of the rest.
fn decode<T>(reply: &[u8], parse: impl FnOnce(Reader<'_>) -> Result<T>) -> Result<T> {
    let mut from = Reader::new(reply);
    match u32::get(&mut from)? {
        0 => parse(from),
        raw => Err(i32::try_from(raw).map_or(Errno::EPROTO, Errno::from_raw)),
    }
}

/// Parses an answer that is one value.
fn value<T: for<'a> Wire<'a>>(mut from: Reader<'_>) -> Result<T> {
    let value = T::get(&mut from)?;
    from.finish()?;
    Ok(value)
}
