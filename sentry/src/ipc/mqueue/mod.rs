//! POSIX message queues (mq_overview(7), `ipc/mqueue.c`): what a queue holds, and who is told of messages.
//!
//! * [`Queue`] is one queue; its name is an entry of the filesystem (`fs/types/mqueue.rs`), its calls are in
//!   `syscalls/mqueue.rs`.
//! * [`Registry`] counts queues and what they may hold, by user ([`Registry::charge`], `RLIMIT_MSGQUEUE`), and bounds what all
//!   messages take of the sentry's memory ([`Registry::load`]).
//! * `notify.rs`: mq_notify(3).
//!
//! Lock order: a queue's state → wait queues and signals; the registry's locks are leaves.

mod notify;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use linux_abi::{Errno, Result, ipc::MqAttr};
use parking_lot::{Mutex, MutexGuard};

pub use self::notify::{Notification, Notify};
use crate::wait::{Events, WaitQueue};

/// Priorities are below this (`MQ_PRIO_MAX`).
pub const MQ_PRIO_MAX: u32 = 32768;
/// What `CAP_SYS_RESOURCE` may ask for (`HARD_MSGMAX`, `HARD_MSGSIZEMAX`).
const HARD_MSGMAX: i64 = 65536;
const HARD_MSGSIZEMAX: i64 = 16 << 20;
/// What everybody may, and gets by default (`DFLT_MSG`, `DFLT_MSGSIZE` and their maxima; /proc/sys/fs/mqueue).
const MSG_MAX: i64 = 10;
const MSGSIZE_MAX: i64 = 8192;
/// The most queues, and the most with `CAP_SYS_RESOURCE`: each takes memory of the sentry.
const QUEUES_MAX: usize = 256;
const HARD_QUEUES_MAX: usize = 1024;
/// What Linux counts for each message besides its bytes (`struct msg_msg`, `struct posix_msg_tree_node`).
const MESSAGE_COST: u64 = 48;
const NODE_COST: u64 = 48;

/// Who makes a queue.
#[derive(Clone, Copy, Debug)]
pub struct Maker {
    pub uid: u32,
    /// `CAP_SYS_RESOURCE`.
    pub privileged: bool,
    /// `RLIMIT_MSGQUEUE`.
    pub limit: u64,
}

/// What all queues of a sandbox share.
pub struct Registry {
    usage: Mutex<Usage>,
    /// Bytes of all messages, and how many there may be.
    held: Arc<AtomicUsize>,
    most: usize,
}

#[derive(Default)]
struct Usage {
    queues: usize,
    /// What the queues of each user may hold.
    bytes: HashMap<u32, u64>,
}

/// A queue's share of its maker's limit.
struct Share {
    uid: u32,
    bytes: u64,
}

/// A message, and its share of the memory for messages, which it gives back.
pub struct Message {
    pub priority: u32,
    pub text: Vec<u8>,
    held: Arc<AtomicUsize>,
}

impl Drop for Message {
    fn drop(&mut self) {
        self.held.fetch_sub(cost(self.text.len()), Ordering::Relaxed);
    }
}

fn cost(length: usize) -> usize {
    length.saturating_add(64)
}

impl Registry {
    /// Where messages may take a 32nd of `memory`.
    pub fn of_memory(memory: u64) -> Registry {
        let most = usize::try_from(memory / 32).unwrap_or(usize::MAX).clamp(1 << 20, 256 << 20);
        Registry { usage: Mutex::default(), held: Arc::default(), most }
    }

    /// A message whose `length` bytes are to be filled in.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn load(&self, priority: u32, length: usize) -> Result<Message> {
        let take = |held: usize| held.checked_add(cost(length)).filter(|&held| held <= self.most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| Errno::ENOMEM)?;
        Ok(Message { priority, text: vec![0; length], held: Arc::clone(&self.held) })
    }

    /// Checks the attributes of a new queue and makes it (`mqueue_get_inode`).
    ///
    /// # Errors
    /// `ENOSPC` for too many queues, `EINVAL` for attributes beyond the limits, `EMFILE` for more than `RLIMIT_MSGQUEUE`.
    pub fn make(&self, maker: Maker, attr: Option<&MqAttr>) -> Result<Queue> {
        let mut usage = self.usage.lock();
        if usage.queues >= if maker.privileged { HARD_QUEUES_MAX } else { QUEUES_MAX } {
            return Err(Errno::ENOSPC);
        }
        let (most, size) = attr.map_or((MSG_MAX, MSGSIZE_MAX), |attr| (attr.mq_maxmsg, attr.mq_msgsize));
        let (most_allowed, size_allowed) =
            if maker.privileged { (HARD_MSGMAX, HARD_MSGSIZEMAX) } else { (MSG_MAX, MSGSIZE_MAX) };
        if !(1..=most_allowed).contains(&most) || !(1..=size_allowed).contains(&size) {
            return Err(Errno::EINVAL);
        }
        let (most, size) = (most.unsigned_abs(), size.unsigned_abs());
        // All within the limits above: nothing overflows.
        let bytes = most * (size + MESSAGE_COST) + most.min(u64::from(MQ_PRIO_MAX)) * NODE_COST;
        let used = usage.bytes.get(&maker.uid).copied().unwrap_or(0).saturating_add(bytes);
        if used > maker.limit {
            return Err(Errno::EMFILE);
        }
        usage.bytes.insert(maker.uid, used);
        usage.queues += 1;
        Ok(Queue {
            most: usize::try_from(most).unwrap_or(0),
            size: usize::try_from(size).unwrap_or(0),
            share: Share { uid: maker.uid, bytes },
            state: Mutex::default(),
            events: WaitQueue::new(),
        })
    }

    /// Takes back what `queue`, which is no more, was counted for.
    pub fn forget(&self, queue: &Queue) {
        let mut usage = self.usage.lock();
        usage.queues = usage.queues.saturating_sub(1);
        let Share { uid, bytes } = queue.share;
        if let Some(used) = usage.bytes.get_mut(&uid) {
            *used = used.saturating_sub(bytes);
            if *used == 0 {
                usage.bytes.remove(&uid);
            }
        }
    }
}

/// A message queue.
pub struct Queue {
    /// `mq_maxmsg`, `mq_msgsize`.
    most: usize,
    size: usize,
    share: Share,
    state: Mutex<State>,
    /// Announces messages and room.
    pub events: WaitQueue,
}

#[derive(Default)]
struct State {
    /// By priority; the lists are not empty.
    messages: BTreeMap<u32, VecDeque<Message>>,
    count: usize,
    bytes: usize,
    /// Receivers that sleep.
    receivers: usize,
    notify: Option<Notification>,
}

/// One receiver that sleeps; while there is one for each message, nobody is notified.
pub struct Receiver<'a>(&'a Queue);

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.receivers = state.receivers.saturating_sub(1);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// `mq_msgsize`.
    pub fn message_size(&self) -> usize {
        self.size
    }

    /// mq_getattr(3), but for the flags.
    pub fn attr(&self) -> MqAttr {
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        MqAttr {
            mq_maxmsg: number(self.most),
            mq_msgsize: number(self.size),
            mq_curmsgs: number(self.lock().count),
            ..MqAttr::default()
        }
    }

    /// Adds the message in `message`, and says who is to be notified of it.
    ///
    /// # Errors
    /// `EAGAIN` if the queue is full.
    pub fn send(&self, message: &mut Option<Message>) -> Result<Option<Notification>> {
        let mut state = self.lock();
        if state.count >= self.most {
            return Err(Errno::EAGAIN);
        }
        let Some(message) = message.take() else { return Ok(None) };
        let awaited = state.receivers > state.count;
        state.bytes += message.text.len();
        state.count += 1;
        state.messages.entry(message.priority).or_default().push_back(message);
        let notify = if state.count == 1 && !awaited { state.notify.take() } else { None };
        drop(state);
        self.events.wake(Events::IN | Events::RDNORM);
        Ok(notify)
    }

    /// Takes the oldest message of the highest priority.
    ///
    /// # Errors
    /// `EAGAIN` if the queue is empty.
    pub fn receive(&self) -> Result<Message> {
        let mut state = self.lock();
        let mut highest = state.messages.last_entry().ok_or(Errno::EAGAIN)?;
        let message = highest.get_mut().pop_front().ok_or(Errno::EAGAIN)?;
        if highest.get().is_empty() {
            highest.remove();
        }
        state.count -= 1;
        state.bytes -= message.text.len();
        drop(state);
        self.events.wake(Events::OUT | Events::WRNORM);
        Ok(message)
    }

    /// Counts the caller as waiting for a message.
    pub fn await_message(&self) -> Receiver<'_> {
        self.lock().receivers += 1;
        Receiver(self)
    }

    /// What poll(2) says.
    pub fn ready(&self) -> Events {
        let state = self.lock();
        let mut ready = Events::empty();
        if state.count > 0 {
            ready |= Events::IN | Events::RDNORM;
        }
        if state.count < self.most {
            ready |= Events::OUT | Events::WRNORM;
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Maker = Maker { uid: 7, privileged: false, limit: 200_000 };

    #[test]
    fn users_are_limited() {
        let registry = Registry::of_memory(1 << 30);
        let first = registry.make(USER, None).unwrap();
        let second = registry.make(USER, None).unwrap();
        assert!(matches!(registry.make(USER, None), Err(Errno::EMFILE)));
        assert!(registry.make(Maker { uid: 8, ..USER }, None).is_ok());
        registry.forget(&first);
        assert!(registry.make(USER, None).is_ok());
        registry.forget(&second);
        let large = MqAttr { mq_maxmsg: 11, mq_msgsize: 1, ..MqAttr::default() };
        assert!(matches!(registry.make(USER, Some(&large)), Err(Errno::EINVAL)));
        assert!(registry.make(Maker { privileged: true, ..USER }, Some(&large)).is_ok());
    }

    #[test]
    fn highest_priority_comes_first_and_memory_returns() {
        let registry = Registry::of_memory(1 << 30);
        let queue = registry.make(USER, None).unwrap();
        for (priority, length) in [(1, 1), (9, 2), (9, 3)] {
            let mut message = Some(registry.load(priority, length).unwrap());
            assert!(queue.send(&mut message).unwrap().is_none());
        }
        let order: Vec<usize> = (0..3).map(|_| queue.receive().unwrap().text.len()).collect();
        assert_eq!(order, [2, 3, 1]);
        assert!(matches!(queue.receive(), Err(Errno::EAGAIN)));
        assert_eq!(registry.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn messages_are_bounded_by_memory() {
        let registry = Registry::of_memory(0);
        let first = registry.load(0, 1 << 19).unwrap();
        assert!(matches!(registry.load(0, 1 << 19), Err(Errno::ENOMEM)));
        drop(first);
        assert!(registry.load(0, 1 << 19).is_ok());
    }
}
