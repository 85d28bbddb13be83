//! What the host tells of changes that others make to a shared tree, so that what is known of it need not be asked for again.
//!
//! The gofer watches every file that the sentry has a reference to (inotify(7)) and hands the queue over. The host puts an event
//! into the queue before the call that made the change returns. So whoever reads the queue first ([`Changes::catch_up`]) and then
//! finds something remembered may rely on it: nothing that had happened when the guest asked is missed.
//!
//! An answer of the gofer is remembered only if no event was taken between asking and remembering ([`Moment`]): otherwise the
//! event might have been about it. Events of the sandbox's own changes are announced beforehand ([`Changes::expect`]), so
//! that they do not make it forget what it has just learned.
//!
//! Lock order: [`Changes`]'s own, then those of the inodes. No inode is dropped under it, for that may talk to the gofer.

use std::{
    cell::Cell,
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use gofer_proto::Client;
use linux_abi::{
    Result,
    event::{IN_CREATE, IN_DELETE, IN_IGNORED, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_Q_OVERFLOW},
};
use parking_lot::Mutex;

use super::GoferInode;
use crate::task::current;

/// Changes of a directory's entries.
const ENTRY: u32 = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
/// `struct inotify_event` without its name.
const HEADER: usize = 16;
/// How much of the queue is read at a time, in pages: more than it usually holds (`fs.inotify.max_queued_events`).
const MAX_READS: u32 = 256;

/// The changes of one shared tree.
pub(super) struct Changes {
    queue: OwnedFd,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The inodes by the numbers that events carry. Two, if they replaced each other a moment ago.
    watched: HashMap<u32, Vec<Weak<GoferInode>>>,
    /// Events that were not expected, ever.
    count: u64,
    expected: Vec<Expected>,
}

/// A change of an entry that the sandbox is about to make.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Expected {
    watch: u32,
    event: u32,
    name: Box<[u8]>,
}

impl Expected {
    /// Which entry.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }
}

/// A point between events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

thread_local! {
    /// The system call for which this thread last read the queue: once is enough.
    static CAUGHT_UP: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
}

impl Changes {
    /// Those of the gofer's root number `root`, which is attached afterwards.
    pub(super) fn new(client: &Client, root: u32) -> Result<Changes> {
        Ok(Changes { queue: client.changes(root)?, known: Mutex::default() })
    }

    /// Takes note of everything that has happened. `false`: more happens than there is time for, or the queue is broken.
    pub(super) fn catch_up(&self) -> bool {
        let call = (std::ptr::from_ref(self).addr(), current::call_number());
        if CAUGHT_UP.get() == call && call.1 != 0 {
            return true;
        }
        // What would be dropped under the lock.
        let mut used = Vec::new();
        let done = self.known.lock().read(&self.queue, &mut used);
        if done {
            CAUGHT_UP.set(call);
        }
        done
    }

    /// Now.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.known.lock().count)
    }

    /// Runs `remember` with whether nothing has happened since `since`, and lets nothing happen meanwhile.
    pub(super) fn settle<T>(&self, since: Moment, remember: impl FnOnce(bool) -> T) -> T {
        let known = self.known.lock();
        remember(known.count == since.0)
    }

    /// `inode` is watched under the number `watch`.
    pub(super) fn register(&self, watch: u32, inode: &Arc<GoferInode>) {
        let mut known = self.known.lock();
        let same = known.watched.entry(watch).or_default();
        same.retain(|other| other.strong_count() > 0);
        if !same.iter().any(|other| std::ptr::eq(other.as_ptr(), Arc::as_ptr(inode))) {
            same.push(Arc::downgrade(inode));
        }
    }

    /// The sandbox is about to do what will be seen as `event` of the entry `name`.
    pub(super) fn expect(&self, watch: u32, event: u32, name: &[u8]) -> Expected {
        let expected = Expected { watch, event, name: name.into() };
        self.known.lock().expected.push(expected.clone());
        expected
    }

    /// It did not do it. `true`: somebody else did.
    pub(super) fn unexpect(&self, expected: &Expected) -> bool {
        !self.known.lock().take_expected(expected)
    }
}

impl Known {
    /// Takes the events in `queue`, if that has an end. (Somebody may make events as fast as they are read.)
    fn read(&mut self, queue: &OwnedFd, used: &mut Vec<Arc<GoferInode>>) -> bool {
        let mut buffer = [0; 4096];
        for _ in 0..MAX_READS {
            match nix::unistd::read(queue, &mut buffer) {
                Ok(len) if len > 0 => self.take(buffer.get(..len).unwrap_or_default(), used),
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => return true,
                _ => break,
            }
        }
        self.forget_all(used);
        false
    }

    /// Takes the events in `bytes`.
    fn take(&mut self, bytes: &[u8], used: &mut Vec<Arc<GoferInode>>) {
        let mut rest = bytes;
        while let Some((header, behind)) = rest.split_at_checked(HEADER) {
            let word = |index: usize| {
                let bytes = header.get(index * 4..index * 4 + 4).and_then(|bytes| bytes.try_into().ok());
                bytes.map_or(0, u32::from_ne_bytes)
            };
            let (watch, event, len) = (word(0), word(1), word(3) as usize);
            let (name, behind) = behind.split_at_checked(len).unwrap_or((behind, &[]));
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            self.happened(watch, event, name.get(..end).unwrap_or_default(), used);
            rest = behind;
        }
    }

    fn happened(&mut self, watch: u32, event: u32, name: &[u8], used: &mut Vec<Arc<GoferInode>>) {
        if event & IN_Q_OVERFLOW != 0 {
            self.forget_all(used);
            return;
        }
        if event & ENTRY != 0 {
            let expected = Expected { watch, event: event & ENTRY, name: name.into() };
            if self.take_expected(&expected) {
                return;
            }
        } else if !name.is_empty() {
            // About the attributes of an entry, which is watched itself.
            return;
        }
        self.count += 1;
        let inodes = self.watched.get(&watch).into_iter().flatten();
        for inode in inodes.filter_map(Weak::upgrade) {
            if event & ENTRY != 0 {
                used.extend(inode.entry_changed(name));
            } else if event & IN_IGNORED != 0 {
                inode.unwatched(watch);
            } else {
                inode.attributes_changed(event & IN_MODIFY != 0);
            }
            used.push(inode);
        }
        if event & IN_IGNORED != 0 {
            self.watched.remove(&watch);
            self.expected.retain(|expected| expected.watch != watch);
        }
    }

    fn take_expected(&mut self, expected: &Expected) -> bool {
        let at = self.expected.iter().position(|other| other == expected);
        at.map(|at| self.expected.swap_remove(at)).is_some()
    }

    /// Anything may have happened.
    fn forget_all(&mut self, used: &mut Vec<Arc<GoferInode>>) {
        self.count += 1;
        self.expected.clear();
        let before = used.len();
        used.extend(self.watched.values().flatten().filter_map(Weak::upgrade));
        for inode in used.iter().skip(before) {
            inode.forget_everything();
        }
    }
}
