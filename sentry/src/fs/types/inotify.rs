//! inotify(7): a queue of what happened to watched files.
//!
//! An [`Instance`] owns its watches; each watch also hangs, through [`InodeWatch`], on its inode. A watch keeps the dentry it
//! was made by, so that the filesystem does not forget the inode it hangs on.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use linux_abi::{
    Errno, Result, UserAddr,
    event::{
        IN_ALL_EVENTS, IN_DELETE_SELF, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD, IN_MASK_CREATE,
        IN_MOVE_SELF, IN_NONBLOCK, IN_ONESHOT, IN_Q_OVERFLOW, IN_UNMOUNT, InotifyEvent,
    },
};
use parking_lot::Mutex;
use zerocopy::IntoBytes;

use crate::{
    fs::{
        dentry::Dentry,
        file::{File, FileCx, FileOps},
        inotify_hook::{InodeWatch, InotifyState},
        io::{Sink, Source},
    },
    task::{ThreadCx, usermem::UserMemory},
    wait::{Events, WaitQueue, Watch},
};

use linux_abi::ioctl::FIONREAD;

/// `fs.inotify.max_queued_events`.
const MAX_QUEUED: usize = 16_384;
/// The most watches of all instances together (`fs.inotify.max_user_watches`).
const MAX_WATCHES: usize = 65_536;

/// What stays with a watch.
const KEPT: u32 = IN_ALL_EVENTS | IN_UNMOUNT | IN_EXCL_UNLINK | IN_ONESHOT;

/// An inotify instance as an open file.
pub struct Inotify(Arc<Instance>);

/// An inotify instance.
pub struct Instance {
    state: Mutex<State>,
    queue: WaitQueue,
    /// Watches of the whole sandbox.
    total: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    watches: BTreeMap<i32, Entry>,
    last_wd: i32,
    events: VecDeque<Event>,
}

struct Entry {
    dentry: Arc<Dentry>,
    watch: Arc<InodeWatch>,
}

#[derive(PartialEq, Eq)]
struct Event {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: Box<[u8]>,
}

impl Event {
    /// The name's bytes with at least one NUL, in units of the structure; none without a name.
    fn name_len(&self) -> usize {
        const UNIT: usize = size_of::<InotifyEvent>();
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(UNIT) }
    }

    fn len(&self) -> usize {
        size_of::<InotifyEvent>() + self.name_len()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let len = u32::try_from(self.name_len()).unwrap_or(0);
        let head = InotifyEvent { wd: self.wd, mask: self.mask, cookie: self.cookie, len };
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(&self.name);
        bytes.resize(self.len(), 0);
        bytes
    }
}

impl Inotify {
    /// An open file with an empty instance; `flags` are `IN_NONBLOCK` and `IN_CLOEXEC`.
    pub fn open(sandbox: &InotifyState, flags: u32) -> Arc<File> {
        let total = Arc::clone(&sandbox.watches);
        let instance = Arc::new(Instance { state: Mutex::default(), queue: WaitQueue::new(), total });
        File::anonymous(Box::new(Inotify(instance)), flags & IN_NONBLOCK)
    }

    /// inotify_add_watch(2): watches what `dentry` names, or changes the watch there is. `mask` has been validated.
    ///
    /// # Errors
    /// `EEXIST` with `IN_MASK_CREATE`, `ENOSPC`.
    pub fn add_watch(&self, dentry: &Arc<Dentry>, mask: u32) -> Result<i32> {
        let inode = dentry.inode();
        let set = &inode.common().watches;
        let instance = Arc::downgrade(&self.0);
        let mut state = self.0.state.lock();
        if let Some(watch) = set.of(&instance) {
            if mask & IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            if mask & IN_MASK_ADD != 0 {
                watch.mask.fetch_or(mask & KEPT, Ordering::Relaxed);
            } else {
                watch.mask.store(mask & KEPT, Ordering::Relaxed);
            }
            return Ok(watch.wd);
        }
        if self.0.total.load(Ordering::Relaxed) >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        let mut wd = state.last_wd;
        loop {
            wd = wd.checked_add(1).unwrap_or(1);
            if !state.watches.contains_key(&wd) {
                break;
            }
        }
        state.last_wd = wd;
        let watch = Arc::new(InodeWatch { wd, mask: AtomicU32::new(mask & KEPT), instance });
        state.watches.insert(wd, Entry { dentry: Arc::clone(dentry), watch: Arc::clone(&watch) });
        self.0.total.fetch_add(1, Ordering::Relaxed);
        set.add(watch);
        Ok(wd)
    }

    /// inotify_rm_watch(2).
    ///
    /// # Errors
    /// `EINVAL` if there is no such watch.
    pub fn remove_watch(&self, wd: i32) -> Result<()> {
        if self.0.remove(wd) { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watches = std::mem::take(&mut self.0.state.lock().watches);
        self.0.total.fetch_sub(watches.len(), Ordering::Relaxed);
        for entry in watches.values() {
            entry.dentry.inode().common().watches.remove(&entry.watch);
        }
    }
}

impl Instance {
    /// Something a watch asks for happened.
    pub fn event(&self, watch: &Arc<InodeWatch>, mask: u32, name: Option<&[u8]>, cookie: u32) {
        // What happened to the watched thing itself is not said to have happened to a directory.
        let mask = if mask & (IN_DELETE_SELF | IN_MOVE_SELF) != 0 { mask & !IN_ISDIR } else { mask };
        let name = name.unwrap_or_default().into();
        self.push(Event { wd: watch.wd, mask, cookie, name });
        if watch.mask.load(Ordering::Relaxed) & IN_ONESHOT != 0 {
            self.remove(watch.wd);
        }
    }

    /// The inode a watch hangs on is gone.
    pub fn end(&self, watch: &InodeWatch) {
        self.remove(watch.wd);
    }

    fn push(&self, event: Event) {
        {
            let mut state = self.state.lock();
            if state.events.back() == Some(&event) {
                return;
            }
            if state.events.len() >= MAX_QUEUED {
                let overflow = Event { wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: Box::default() };
                if state.events.back() == Some(&overflow) {
                    return;
                }
                state.events.push_back(overflow);
            } else {
                state.events.push_back(event);
            }
        }
        self.queue.wake(Events::IN | Events::RDNORM);
    }

    fn remove(&self, wd: i32) -> bool {
        let Some(entry) = self.state.lock().watches.remove(&wd) else { return false };
        self.total.fetch_sub(1, Ordering::Relaxed);
        entry.dentry.inode().common().watches.remove(&entry.watch);
        self.push(Event { wd, mask: IN_IGNORED, cookie: 0, name: Box::default() });
        true
    }

    /// Takes the next event if it fits into `space`.
    fn take(&self, space: usize) -> Result<Option<Vec<u8>>> {
        let mut state = self.state.lock();
        let Some(event) = state.events.front() else { return Ok(None) };
        if event.len() > space {
            return Err(Errno::EINVAL);
        }
        Ok(state.events.pop_front().map(|event| event.to_bytes()))
    }
}

impl FileOps for Inotify {
    /// As many whole events as there are and fit.
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        let mut done = 0;
        loop {
            match self.0.take(dst.remaining()) {
                Ok(Some(bytes)) => match dst.put(&bytes) {
                    Ok(count) if count == bytes.len() => done += count,
                    _ => return Err(Errno::EFAULT),
                },
                Ok(None) if done == 0 => return Err(Errno::EAGAIN),
                Err(errno) if done == 0 => return Err(errno),
                Ok(None) | Err(_) => return Ok(done),
            }
        }
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn ignores_seeks(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.0.queue.register(watch);
        }
        if self.0.state.lock().events.is_empty() { Events::empty() } else { Events::IN | Events::RDNORM }
    }

    fn ioctl(&self, cx: &mut ThreadCx, _file: &Arc<File>, request: u32, arg: u64) -> Result<u64> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let len: usize = self.0.state.lock().events.iter().map(Event::len).sum();
        cx.write_obj(UserAddr(arg), &i32::try_from(len).unwrap_or(i32::MAX))?;
        Ok(0)
    }

    fn anonymous_name(&self) -> String {
        String::from("anon_inode:inotify")
    }

    fn fdinfo(&self) -> String {
        let state = self.0.state.lock();
        let line = |(wd, entry): (&i32, &Entry)| {
            let attr = entry.dentry.inode().attr();
            let (ino, dev) = attr.map_or((0, 0), |attr| (attr.ino, attr.dev));
            let mask = entry.watch.mask.load(Ordering::Relaxed);
            format!("inotify wd:{wd:x} ino:{ino:x} sdev:{dev:x} mask:{mask:x} ignored_mask:0 \n")
        };
        state.watches.iter().map(line).collect()
    }
}

#[cfg(test)]
#[path = "inotify_tests.rs"]
mod tests;
