//! epoll(7): which of many files are ready, without looking at all of them.
//!
//! [`Epoll`] holds the interest list; each [`Item`] has a [`Watch`] on its file whose waker puts the item's key on the
//! ready list. epoll_wait looks only at the ready list. The ready list ([`Ready`]) is an object of its own because wakers
//! run under the lock of the queue that wakes them: they must never own (and so never drop) a watch.
//!
//! Items know their file weakly: when its last descriptor closes, the item is dead and is dropped when it is met.
//!
//! Locks, outer first: `Kernel::epoll_nesting` (changes of nested interest lists) → `Epoll::items` → the watched file's
//! own locks (another epoll's `items`, nested without cycles) → wait queues → `Ready::list`.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use linux_abi::{
    Errno, Result,
    event::{EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP, EpollEvent},
};
use parking_lot::Mutex;

use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        inode::FileType,
        io::{Sink, Source},
    },
    task::ThreadCx,
    wait::{Events, Pollable, WaitQueue, Wake, Watch},
};

/// The most epoll instances that may watch each other in a row (`EP_MAX_NESTS`).
const MAX_NESTS: usize = 4;
/// The most items of one instance. Linux limits them per user (`fs.epoll.max_user_watches`).
const MAX_ITEMS: usize = 1 << 20;
/// The bits that are not events.
const FLAGS: u32 = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;
/// What may accompany `EPOLLEXCLUSIVE`.
const EXCLUSIVE_OK: u32 = Events::IN.bits()
    | Events::OUT.bits()
    | Events::ERR.bits()
    | Events::HUP.bits()
    | EPOLLWAKEUP
    | EPOLLET
    | EPOLLEXCLUSIVE;

/// What an item is known by: the open file description and the descriptor it was added through.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    file: u64,
    fd: i32,
}

/// An epoll instance.
pub struct Epoll {
    items: Mutex<HashMap<Key, Item>>,
    ready: Arc<Ready>,
    /// The epoll files that watch this one, for the depth check. May hold dead ones.
    watched_by: Mutex<Vec<Weak<File>>>,
}

struct Item {
    file: Weak<File>,
    events: u32,
    data: u64,
    waker: Arc<ItemWaker>,
    /// Ends with the item.
    _watch: Watch,
}

/// The keys of items that may be ready, in the order in which they became so.
#[derive(Default)]
struct Ready {
    list: Mutex<VecDeque<Key>>,
    queue: WaitQueue,
}

struct ItemWaker {
    ready: Arc<Ready>,
    key: Key,
    /// Whether the key is on the list.
    queued: AtomicBool,
}

impl ItemWaker {
    fn enqueue(&self) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.ready.list.lock().push_back(self.key);
        }
    }
}

impl Wake for ItemWaker {
    fn wake(&self, _ready: Events) {
        self.enqueue();
        self.ready.queue.wake(Events::IN | Events::RDNORM);
    }
}

impl Item {
    /// What is ready and asked for; `None` if the file is closed.
    fn poll(&self) -> Option<Events> {
        let file = self.file.upgrade()?;
        Some(file.poll(None) & interest(self.events))
    }
}

/// The events that item flags `events` ask for. An item disabled by `EPOLLONESHOT` asks for none.
fn interest(events: u32) -> Events {
    Events::from_bits_truncate(events & !FLAGS)
}

/// Whether a file has a readiness of its own (`file_can_poll`): regular files, directories and the simplest devices have
/// not, and are recognised by announcing nothing.
fn can_poll(file: &File) -> bool {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(&self, _ready: Events) {}
    }
    let kind = file.inode().map(|inode| inode.kind());
    if matches!(kind, None | Some(FileType::Fifo | FileType::Socket)) {
        return true;
    }
    let mut watch = Watch::new(Arc::new(Nobody), Events::empty());
    file.poll(Some(&mut watch));
    watch.is_registered()
}

/// Checks of epoll_ctl(2) that do not depend on the interest list, in Linux's order. `event` is given for ADD and MOD.
fn check(epoll_file: &File, file: &File, add: bool, event: Option<EpollEvent>) -> Result<()> {
    if !can_poll(file) {
        return Err(Errno::EPERM);
    }
    if epoll_file.id() == file.id() || epoll_file.downcast::<Epoll>().is_none() {
        return Err(Errno::EINVAL);
    }
    if let Some(event) = event
        && event.events & EPOLLEXCLUSIVE != 0
        && (!add || event.events & !EXCLUSIVE_OK != 0 || file.downcast::<Epoll>().is_some())
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `EPOLL_CTL_ADD`. `nesting` is the kernel's lock over nested interest lists.
///
/// # Errors
/// Those of epoll_ctl(2).
pub fn add(
    nesting: &Mutex<()>,
    epoll_file: &Arc<File>,
    fd: i32,
    file: &Arc<File>,
    event: EpollEvent,
) -> Result<()> {
    check(epoll_file, file, true, Some(event))?;
    let epoll = epoll_file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let Some(inner) = file.downcast::<Epoll>() else {
        return epoll.insert(fd, file, event);
    };
    let _nesting = nesting.lock();
    let below = depth_below(file, epoll_file.id(), 1, &mut HashMap::new()).ok_or(Errno::ELOOP)?;
    let above = depth_above(epoll, &mut HashSet::new());
    if below + above > MAX_NESTS {
        return Err(Errno::ELOOP);
    }
    epoll.insert(fd, file, event)?;
    let mut watched_by = inner.watched_by.lock();
    watched_by.retain(|parent| parent.strong_count() > 0);
    watched_by.push(Arc::downgrade(epoll_file));
    Ok(())
}

/// How many epoll instances are in the longest row that starts with `file`; `None` if the row is too long or meets
/// `forbidden`.
fn depth_below(file: &File, forbidden: u64, level: usize, seen: &mut HashMap<u64, usize>) -> Option<usize> {
    let Some(epoll) = file.downcast::<Epoll>() else { return Some(0) };
    if file.id() == forbidden || level > MAX_NESTS + 1 {
        return None;
    }
    if let Some(&depth) = seen.get(&file.id()) {
        return Some(depth);
    }
    let inner: Vec<Arc<File>> = epoll.items.lock().values().filter_map(|item| item.file.upgrade()).collect();
    let mut deepest = 0;
    for file in &inner {
        deepest = deepest.max(depth_below(file, forbidden, level + 1, seen)?);
    }
    seen.insert(file.id(), deepest + 1);
    Some(deepest + 1)
}

/// How many instances watch `epoll` in a row.
fn depth_above(epoll: &Epoll, seen: &mut HashSet<u64>) -> usize {
    let parents: Vec<Arc<File>> = epoll.watched_by.lock().iter().filter_map(Weak::upgrade).collect();
    let mut deepest = 0;
    for parent in parents {
        if let Some(parent_epoll) = parent.downcast::<Epoll>()
            && seen.len() < 1000
            && seen.insert(parent.id())
        {
            deepest = deepest.max(1 + depth_above(parent_epoll, seen));
        }
    }
    deepest
}

/// `EPOLL_CTL_MOD`.
///
/// # Errors
/// Those of epoll_ctl(2).
pub fn modify(epoll_file: &Arc<File>, fd: i32, file: &Arc<File>, event: EpollEvent) -> Result<()> {
    check(epoll_file, file, false, Some(event))?;
    let epoll = epoll_file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let key = Key { file: file.id(), fd };
    {
        let items = epoll.items.lock();
        let item = items.get(&key).ok_or(Errno::ENOENT)?;
        if item.events & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
    }
    epoll.put(key, file, event);
    Ok(())
}

/// `EPOLL_CTL_DEL`.
///
/// # Errors
/// Those of epoll_ctl(2).
pub fn remove(epoll_file: &Arc<File>, fd: i32, file: &Arc<File>) -> Result<()> {
    check(epoll_file, file, false, None)?;
    let epoll = epoll_file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let key = Key { file: file.id(), fd };
    let removed = epoll.items.lock().remove(&key).ok_or(Errno::ENOENT)?;
    epoll.forget(key, Some(removed));
    if let Some(inner) = file.downcast::<Epoll>() {
        let mut watched_by = inner.watched_by.lock();
        if let Some(at) =
            watched_by.iter().position(|parent| std::ptr::eq(parent.as_ptr(), Arc::as_ptr(epoll_file)))
        {
            watched_by.swap_remove(at);
        }
    }
    Ok(())
}

/// An unknown operation fails last.
///
/// # Errors
/// Always: `EPERM` or `EINVAL`.
pub fn bad_operation(epoll_file: &Arc<File>, file: &Arc<File>) -> Result<()> {
    check(epoll_file, file, false, None)?;
    Err(Errno::EINVAL)
}

impl Epoll {
    /// An empty instance.
    pub fn new() -> Epoll {
        Epoll { items: Mutex::default(), ready: Arc::default(), watched_by: Mutex::default() }
    }

    fn insert(&self, fd: i32, file: &Arc<File>, event: EpollEvent) -> Result<()> {
        let key = Key { file: file.id(), fd };
        let mut dead = Vec::new();
        {
            let mut items = self.items.lock();
            if items.contains_key(&key) {
                return Err(Errno::EEXIST);
            }
            if items.len() >= 64 && items.len().is_power_of_two() {
                dead.extend(items.extract_if(|_, item| item.file.strong_count() == 0));
            }
            if items.len() >= MAX_ITEMS {
                return Err(Errno::ENOSPC);
            }
        }
        self.put(key, file, event);
        Ok(())
    }

    /// Adds or replaces the item `key`, and queues it if it is ready.
    fn put(&self, key: Key, file: &Arc<File>, event: EpollEvent) {
        let events = event.events & !EPOLLWAKEUP | (Events::ERR | Events::HUP).bits();
        let ready = Arc::clone(&self.ready);
        let waker = Arc::new(ItemWaker { ready, key, queued: AtomicBool::new(false) });
        let wake: Arc<dyn Wake> = waker.clone();
        let mut watch = Watch::new(wake, interest(events));
        let mut items = self.items.lock();
        let is_ready = file.poll(Some(&mut watch)).intersects(interest(events));
        let item = Item { file: Arc::downgrade(file), events, data: event.data, waker, _watch: watch };
        let queue_it = is_ready.then(|| Arc::clone(&item.waker));
        let old = items.insert(key, item);
        drop(items);
        self.forget(key, old);
        if let Some(waker) = queue_it {
            waker.wake(Events::IN);
        }
    }

    /// Drops an item that is no longer (or no longer under this waker) on the interest list.
    fn forget(&self, key: Key, item: Option<Item>) {
        let Some(item) = item else { return };
        let waker = Arc::clone(&item.waker);
        // Ends its watch: from here on nobody queues it.
        drop(item);
        if waker.queued.load(Ordering::SeqCst) {
            let mut list = self.ready.list.lock();
            if let Some(at) = list.iter().position(|&queued| queued == key) {
                list.remove(at);
            }
        }
    }

    /// Takes up to `max` ready events. What is still ready (level-triggered) goes to the end of the list, so that all
    /// files get their turn.
    pub fn collect(&self, max: usize) -> Vec<EpollEvent> {
        let mut found = Vec::new();
        let mut dead = Vec::new();
        {
            let mut items = self.items.lock();
            // Only what was on the list when we came: items that stay ready come back behind it.
            let mut left = self.ready.list.lock().len();
            while left > 0 && found.len() < max {
                left -= 1;
                let Some(key) = self.ready.list.lock().pop_front() else { break };
                let Some(item) = items.get_mut(&key) else { continue };
                // Cleared before the look: a change after it queues the item again.
                item.waker.queued.store(false, Ordering::SeqCst);
                let Some(ready) = item.poll() else {
                    dead.extend(items.remove(&key));
                    continue;
                };
                if ready.is_empty() {
                    continue;
                }
                found.push(EpollEvent { events: ready.bits(), data: item.data });
                if item.events & EPOLLONESHOT != 0 {
                    item.events &= FLAGS;
                } else if item.events & EPOLLET == 0 {
                    item.waker.enqueue();
                }
            }
        }
        drop(dead);
        found
    }

    /// Whether some item is ready. Takes those that are not off the list.
    fn any_ready(&self) -> bool {
        let mut dead = Vec::new();
        let items = &mut *self.items.lock();
        let mut left = self.ready.list.lock().len();
        while left > 0 {
            left -= 1;
            let Some(key) = self.ready.list.lock().pop_front() else { break };
            let Some(item) = items.get(&key) else { continue };
            item.waker.queued.store(false, Ordering::SeqCst);
            match item.poll() {
                None => dead.extend(items.remove(&key)),
                Some(ready) if ready.is_empty() => {}
                Some(_) => {
                    // Still unseen by epoll_wait: back to where it was.
                    if !item.waker.queued.swap(true, Ordering::SeqCst) {
                        self.ready.list.lock().push_front(key);
                    }
                    return true;
                }
            }
        }
        false
    }

    /// Whether the list holds anything, ready or not.
    fn has_candidates(&self) -> bool {
        !self.ready.list.lock().is_empty()
    }

    /// The identity of the file that was added as the `nth` one through descriptor `fd` (kcmp(2)).
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn watched(&self, fd: i32, nth: u32) -> Result<u64> {
        let mut files: Vec<u64> = {
            let items = self.items.lock();
            items
                .iter()
                .filter(|(key, item)| key.fd == fd && item.file.strong_count() > 0)
                .map(|(key, _)| key.file)
                .collect()
        };
        files.sort_unstable();
        usize::try_from(nth).ok().and_then(|nth| files.get(nth).copied()).ok_or(Errno::ENOENT)
    }

    /// Registers the caller of epoll_wait: one of them is woken for each event.
    pub fn watch_exclusively(&self, waker: Arc<dyn Wake>) -> Watch {
        let mut watch = Watch::new(waker, Events::IN).exclusive();
        self.ready.queue.register(&mut watch);
        watch
    }

    /// Passes a wake-up on that its receiver did not use up. To be called after the caller's watch is gone.
    pub fn pass_on(&self) {
        if self.has_candidates() {
            self.ready.queue.wake(Events::IN | Events::RDNORM);
        }
    }
}

impl Default for Epoll {
    fn default() -> Epoll {
        Epoll::new()
    }
}

impl FileOps for Epoll {
    fn read(&self, _cx: FileCx<'_>, _dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn ignores_seeks(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.ready.queue.register(watch);
        }
        if self.any_ready() { Events::IN | Events::RDNORM } else { Events::empty() }
    }

    fn ioctl(&self, _cx: &mut ThreadCx, _file: &Arc<File>, _request: u32, _arg: u64) -> Result<u64> {
        // `ep_eventpoll_ioctl` knows only parameters of busy polling, which there is none of.
        Err(Errno::EINVAL)
    }

    fn anonymous_name(&self) -> String {
        String::from("anon_inode:[eventpoll]")
    }

    fn fdinfo(&self) -> String {
        let items = self.items.lock();
        let lines = items.iter().map(|(key, item)| {
            format!("tfd: {:8} events: {:8x} data: {:16x}\n", key.fd, item.events, item.data)
        });
        lines.collect()
    }
}

#[cfg(test)]
#[path = "epoll_tests.rs"]
mod tests;
