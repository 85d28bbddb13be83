//! The receiving side of an endpoint that takes whole messages: a bounded queue, its filter, pending errors.
//!
//! A message that finds the queue full, or that the filter refuses, is dropped and counted, as datagrams are. Errors that the
//! owner wants reported in full (`IP_RECVERR`) wait in a bounded queue of their own.
//!
//! Locks: `reader` before `queue`; notifications are sent with none held.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering},
    },
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::{
    notify::{Notify, Ready},
    stream::{ChunkPool, Held},
};

/// What a message costs of a receive buffer besides its bytes.
pub const OVERHEAD: usize = 512;
/// The most errors that wait to be asked for.
const MAX_REPORTS: usize = 64;

/// Decides which packets a socket wants (`SO_ATTACH_FILTER`).
pub trait Filter: Send + Sync {
    /// How many bytes of `packet` to keep; zero drops it.
    fn keep(&self, packet: &[u8]) -> usize;
}

/// Something that waits in a mailbox.
pub trait Letter: Clone {
    /// Bytes of data.
    fn len(&self) -> usize;

    /// Whether there is no data.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An error in full (`struct sock_extended_err` and what comes with it).
#[derive(Clone, Debug)]
pub struct Report {
    pub errno: Errno,
    /// `SO_EE_ORIGIN_*`.
    pub origin: u8,
    /// ICMP type and code.
    pub kind: u8,
    pub code: u8,
    pub info: u32,
    /// Who says so.
    pub offender: Option<IpAddr>,
    /// Where the message that failed was to go.
    pub to: SocketAddr,
    /// That message.
    pub data: Vec<u8>,
}

struct Queue<T> {
    /// Each with its part of the memory of all sockets.
    letters: VecDeque<(T, Held)>,
    bytes: usize,
    closed: bool,
    reports: VecDeque<Report>,
}

/// Where messages wait for their receiver.
pub struct Mailbox<T> {
    queue: Mutex<Queue<T>>,
    /// Held while somebody peeks or takes.
    reader: Mutex<()>,
    notify: OnceLock<Arc<dyn Notify>>,
    filter: Mutex<Option<Arc<dyn Filter>>>,
    error: AtomicI32,
    wants_reports: AtomicBool,
    limit: AtomicUsize,
    drops: AtomicUsize,
    pool: Arc<ChunkPool>,
}

impl<T: Letter> Mailbox<T> {
    /// An empty one, whose messages take memory of `pool`.
    pub fn new(pool: &Arc<ChunkPool>) -> Mailbox<T> {
        let queue = Queue { letters: VecDeque::new(), bytes: 0, closed: false, reports: VecDeque::new() };
        Mailbox {
            queue: Mutex::new(queue),
            reader: Mutex::new(()),
            notify: OnceLock::new(),
            filter: Mutex::new(None),
            error: AtomicI32::new(0),
            wants_reports: AtomicBool::new(false),
            limit: AtomicUsize::new(212_992),
            drops: AtomicUsize::new(0),
            pool: Arc::clone(pool),
        }
    }

    /// Sets who is told of changes; once.
    pub fn set_notify(&self, notify: Arc<dyn Notify>) {
        let _ = self.notify.set(notify);
    }

    /// Tells the owner that `ready` may be true.
    pub fn announce(&self, ready: Ready) {
        if let Some(notify) = self.notify.get() {
            notify.notify(ready);
        }
    }

    /// `SO_RCVBUF`.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// `SO_ATTACH_FILTER`, `SO_DETACH_FILTER`.
    pub fn set_filter(&self, filter: Option<Arc<dyn Filter>>) {
        *self.filter.lock() = filter;
    }

    /// The filter.
    pub fn filter(&self) -> Option<Arc<dyn Filter>> {
        self.filter.lock().clone()
    }

    /// `IP_RECVERR`: errors wait in full, or not any more.
    pub fn set_wants_reports(&self, wants: bool) {
        self.wants_reports.store(wants, Ordering::Relaxed);
        if !wants {
            self.queue.lock().reports.clear();
        }
    }

    /// Whether errors are wanted in full.
    pub fn wants_reports(&self) -> bool {
        self.wants_reports.load(Ordering::Relaxed)
    }

    /// Makes an error pending, in full if that is wanted.
    pub fn fail(&self, report: Report) {
        self.error.store(report.errno.raw(), Ordering::Release);
        if self.wants_reports() {
            let mut queue = self.queue.lock();
            if queue.reports.len() < MAX_REPORTS && !queue.closed {
                queue.reports.push_back(report);
            }
        }
        self.announce(Ready::ALL);
    }

    /// Takes the oldest full error; the pending one becomes that of the next, as `sock_dequeue_err_skb` does.
    pub fn take_report(&self) -> Option<Report> {
        let mut queue = self.queue.lock();
        let report = queue.reports.pop_front()?;
        let next = queue.reports.front().map_or(0, |next| next.errno.raw());
        self.error.store(next, Ordering::Release);
        Some(report)
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

    /// Whether poll(2) shows an error.
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::Acquire) != 0
            || (self.wants_reports() && !self.queue.lock().reports.is_empty())
    }

    /// Adds a message if there is room.
    pub fn deliver(&self, letter: T) {
        let cost = letter.len() + OVERHEAD;
        {
            let held = self.pool.hold(cost);
            let mut queue = self.queue.lock();
            if queue.closed {
                return;
            }
            let limit = self.pool.limit_now(self.limit.load(Ordering::Relaxed));
            let fits = queue.bytes + cost <= limit || queue.letters.is_empty();
            let Some(held) = held.ok().filter(|_| fits) else {
                drop(queue);
                self.count_drop();
                return;
            };
            queue.bytes += cost;
            queue.letters.push_back((letter, held));
        }
        self.announce(Ready::READ);
    }

    /// Notes that a message was lost.
    pub fn count_drop(&self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages lost so far.
    pub fn drops(&self) -> usize {
        self.drops.load(Ordering::Relaxed)
    }

    /// Shows the first message to `look`; removes it if `consume`, even if `look` fails, as Linux does.
    ///
    /// # Errors
    /// `EAGAIN` when there is none, a pending error, or `look`'s.
    pub fn recv<R>(&self, consume: bool, look: &mut dyn FnMut(&T) -> Result<R>) -> Result<R> {
        self.recv_past(consume, 0, &mut |letter, _| look(letter))
    }

    /// As [`Mailbox::recv`]; a peek skips messages that lie in the first `skip` bytes, and tells how many of the one it
    /// shows do (`SO_PEEK_OFF`).
    ///
    /// # Errors
    /// As [`Mailbox::recv`].
    pub fn recv_past<R>(
        &self,
        consume: bool,
        mut skip: usize,
        look: &mut dyn FnMut(&T, usize) -> Result<R>,
    ) -> Result<R> {
        self.take_error()?;
        let _turn = self.reader.lock();
        let letter = {
            let mut queue = self.queue.lock();
            let front = if consume {
                skip = 0;
                queue.letters.pop_front().map(|(letter, _)| letter)
            } else {
                let mut letters = queue.letters.iter().map(|(letter, _)| letter);
                letters
                    .find(|letter| {
                        letter.len() > skip || skip == 0 || {
                            skip -= letter.len();
                            false
                        }
                    })
                    .cloned()
            };
            if consume && let Some(letter) = &front {
                queue.bytes = queue.bytes.saturating_sub(letter.len() + OVERHEAD);
            }
            front
        };
        look(&letter.ok_or(Errno::EAGAIN)?, skip)
    }

    /// Length of the first message, if there is one (`SIOCINQ`).
    pub fn first_len(&self) -> Option<usize> {
        self.queue.lock().letters.front().map(|(letter, _)| letter.len())
    }

    /// Bytes accounted, for /proc/net.
    pub fn used(&self) -> usize {
        self.queue.lock().bytes
    }

    /// Whether a message waits.
    pub fn has_mail(&self) -> bool {
        !self.queue.lock().letters.is_empty()
    }

    /// Readiness (`datagram_poll`) of an endpoint shut down so far.
    pub fn ready(&self, no_receive: bool, no_send: bool) -> Ready {
        let mut events = Ready::WRITE.0;
        if self.has_error() {
            events |= 0x08;
        }
        if no_receive {
            events |= Ready::READ_CLOSED.0;
        }
        if no_receive && no_send {
            events |= 0x10;
        }
        if self.has_mail() {
            events |= Ready::READ.0;
        }
        Ready(events)
    }

    /// The endpoint is gone.
    pub fn close(&self) {
        let (letters, reports) = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            queue.bytes = 0;
            (std::mem::take(&mut queue.letters), std::mem::take(&mut queue.reports))
        };
        drop((letters, reports));
    }
}
