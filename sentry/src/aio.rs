//! Linux's own asynchronous input and output (io_setup(2), `fs/aio.c`): contexts, requests that wait, and their events.
//!
//! Reading, writing and syncing are done while they are submitted, as Linux does them for files in the page cache; only
//! `IOCB_CMD_POLL` waits. The calls are in `syscalls/aio.rs`.
//!
//! * [`Contexts`]: those of one address space, by the address of their ring. The ring is a page of zeros: a library that would
//!   look into it finds no magic number there and makes the call.
//! * [`Context`]: its requests and events. Each request holds a slot from its submission until its event is fetched.
//! * [`Poll`]: a request that waits. The file's wake-up only arms its timer, because wakers may not look at files; the timers' thread
//!   looks, and completes it.
//!
//! Lock order: a context's state is a leaf but for wait queues, which are woken after it is released. A [`Poll`]'s watch is dropped
//! without locks.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use linux_abi::{Errno, Result, aio::IoEvent};
use parking_lot::Mutex;

use crate::{
    fs::{file::File, types::eventfd::EventFd},
    kernel::Kernel,
    time::timer_queue::{Timer, TimerTarget},
    wait::{Events, Pollable, WaitQueue, Wake, Watch},
};

/// `fs.aio-max-nr`: the requests of all contexts.
pub const MAX_REQUESTS: u64 = 65536;
/// The most contexts of one address space, each of which may have a few requests more than it asked for.
const MAX_CONTEXTS: usize = 4096;

/// The contexts of an address space. They end with it.
#[derive(Default)]
pub struct Contexts(Mutex<BTreeMap<u64, Arc<Context>>>);

impl Contexts {
    /// The context whose ring was mapped at `id`.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn get(&self, id: u64) -> Result<Arc<Context>> {
        self.0.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// Adds one.
    ///
    /// # Errors
    /// `EAGAIN` if there are too many.
    pub fn add(&self, id: u64, context: Arc<Context>) -> Result<()> {
        let mut contexts = self.0.lock();
        if contexts.len() >= MAX_CONTEXTS {
            return Err(Errno::EAGAIN);
        }
        contexts.insert(id, context);
        Ok(())
    }

    /// Removes one.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn remove(&self, id: u64) -> Result<Arc<Context>> {
        self.0.lock().remove(&id).ok_or(Errno::EINVAL)
    }
}

/// How many requests all contexts of a sandbox asked for (`fs.aio-nr`).
#[derive(Default)]
pub struct Usage(AtomicU64);

impl Usage {
    /// /proc/sys/fs/aio-nr.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A context.
pub struct Context {
    usage: Arc<Usage>,
    /// Its share of the usage.
    asked: u64,
    /// How many requests it may have.
    slots: usize,
    state: Mutex<State>,
    /// Announces events, and the end.
    pub queue: WaitQueue,
}

#[derive(Default)]
struct State {
    /// Requests that wait, by the address of their `struct iocb` and a number.
    waiting: BTreeMap<(u64, u64), Arc<Poll>>,
    next: u64,
    /// Slots of requests that are being submitted.
    starting: usize,
    events: VecDeque<IoEvent>,
    ended: bool,
}

/// A slot for a request that is being submitted; given back unless the request is done or waits.
pub struct Slot<'a>(&'a Arc<Context>);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.state.lock().starting -= 1;
    }
}

/// What a request's event says besides its result, and who else hears of it.
#[derive(Clone)]
pub struct Request {
    pub data: u64,
    pub obj: u64,
    /// An open eventfd.
    pub signal: Option<Arc<File>>,
}

impl Request {
    fn tell(&self) {
        if let Some(event) = self.signal.as_deref().and_then(File::downcast::<EventFd>) {
            // A full counter stays full.
            let _ = event.add(1);
        }
    }
}

impl Context {
    /// A context for `asked` requests (`ioctx_alloc`).
    ///
    /// # Errors
    /// `EINVAL` for far too many, `EAGAIN` for more than the sandbox may have.
    pub fn new(kernel: &Kernel, asked: u32) -> Result<Arc<Context>> {
        const EVENT_LIMIT: u64 = 0x1000_0000 / 32;
        // Linux does not let few processors' batches take all slots.
        let slots = u64::from(asked.max(kernel.host.cpus.saturating_mul(4))) * 2;
        if slots > EVENT_LIMIT {
            return Err(Errno::EINVAL);
        }
        // Small contexts have more slots than they ask for: those count too, or many could hold too much.
        let asked = u64::from(asked).max(slots / 4);
        let usage = Arc::clone(&kernel.aio);
        let take = |used: u64| used.checked_add(asked).filter(|&used| used <= MAX_REQUESTS);
        usage.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| Errno::EAGAIN)?;
        Ok(Arc::new(Context {
            usage,
            asked,
            slots: usize::try_from(slots).unwrap_or(0),
            state: Mutex::default(),
            queue: WaitQueue::new(),
        }))
    }

    /// The most requests of one io_submit(2).
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// A slot for another request.
    ///
    /// # Errors
    /// `EAGAIN` if all are taken.
    pub fn slot(self: &Arc<Self>) -> Result<Slot<'_>> {
        let mut state = self.state.lock();
        if state.starting + state.waiting.len() + state.events.len() >= self.slots {
            return Err(Errno::EAGAIN);
        }
        state.starting += 1;
        Ok(Slot(self))
    }

    /// A request is done.
    pub fn complete(&self, request: &Request, res: i64) {
        self.state.lock().events.push_back(IoEvent { data: request.data, obj: request.obj, res, res2: 0 });
        self.queue.wake(Events::IN);
        request.tell();
    }

    /// Takes up to `most` events.
    pub fn take(&self, most: usize) -> Vec<IoEvent> {
        let mut state = self.state.lock();
        let count = most.min(state.events.len());
        state.events.drain(..count).collect()
    }

    /// Whether there are events to take.
    pub fn has_events(&self) -> bool {
        !self.state.lock().events.is_empty()
    }

    /// Whether it was destroyed.
    pub fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Forgets all requests; who waits for events does so no longer.
    pub fn end(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.ended = true;
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
        self.queue.wake(Events::all());
    }

    /// Waits until `file` is ready for one of `events` (`IOCB_CMD_POLL`).
    pub fn poll(self: &Arc<Self>, kernel: &Kernel, request: Request, file: Arc<File>, events: Events) {
        let key = {
            let mut state = self.state.lock();
            state.next += 1;
            (request.obj, state.next)
        };
        let poll = Arc::new_cyclic(|this: &Weak<Poll>| {
            let target: Weak<dyn TimerTarget> = this.clone();
            let alarm = Arc::new(Alarm(kernel.timers.timer(target)));
            Poll {
                key,
                context: Arc::downgrade(self),
                request,
                file,
                events,
                watch: Mutex::new(Some(Watch::new(alarm, events))),
            }
        });
        self.state.lock().waiting.insert(key, Arc::clone(&poll));
        let ready = {
            let mut watch = poll.watch.lock();
            poll.file.poll(watch.as_mut())
        };
        if ready.intersects(events) {
            poll.finish(self, ready & events);
        }
    }

    /// Ends the wait of the request at `obj`, whose event says so (io_cancel(2)).
    ///
    /// # Errors
    /// `EINVAL` if there is no such request, or it is done.
    pub fn cancel(&self, obj: u64) -> Result<()> {
        let first =
            self.state.lock().waiting.range((obj, 0)..=(obj, u64::MAX)).next().map(|(_, p)| Arc::clone(p));
        first.ok_or(Errno::EINVAL)?.finish(self, Events::empty());
        Ok(())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.usage.0.fetch_sub(self.asked, Ordering::Relaxed);
    }
}

/// A request that waits for a file.
struct Poll {
    key: (u64, u64),
    context: Weak<Context>,
    request: Request,
    file: Arc<File>,
    events: Events,
    watch: Mutex<Option<Watch>>,
}

impl Poll {
    /// Completes it, unless somebody else just did.
    fn finish(&self, context: &Context, ready: Events) {
        if context.state.lock().waiting.remove(&self.key).is_none() {
            return;
        }
        let watch = self.watch.lock().take();
        drop(watch);
        context.complete(&self.request, i64::from(ready.bits()));
    }
}

impl TimerTarget for Poll {
    fn expired(&self) {
        let Some(context) = self.context.upgrade() else { return };
        let ready = self.file.poll(None) & self.events;
        if !ready.is_empty() {
            self.finish(&context, ready);
        }
    }
}

/// Has a request looked at as soon as possible.
struct Alarm(Timer);

impl Wake for Alarm {
    fn wake(&self, _ready: Events) {
        self.0.set(Some(Instant::now()));
    }
}
