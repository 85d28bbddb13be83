//! Telling a client of the changes that others make to its files (inotify(7)), so that it need not ask whether what it knows
//! is still true.
//!
//! The client gets the queue itself and reads it before it relies on what it remembers: the host puts an event there before the
//! call that made the change returns, so nothing that has happened is ever missed. This process only adds and removes watches.
//!
//! Every node of a watched root has its own watch: then neither hard links nor the path that a change was made by matter. The
//! host gives two watches of one file one number, so they are counted.

use std::{collections::HashMap, os::fd::OwnedFd, sync::Arc};

use gofer_proto::{FileKind, transport::errno};
use linux_abi::{Errno, Result};
use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::resolve::OwnFds;

/// The most watches of one root: each keeps an inode of the host in memory. What has none is asked for every time.
const MAX_WATCHES: usize = 1 << 15;

/// The watches of a root.
#[derive(Debug)]
pub(crate) struct Watches {
    queue: OwnedFd,
    /// How many nodes share a watch.
    counts: Mutex<HashMap<i32, u32>>,
}

/// A node's share in the watch of its file.
#[derive(Debug)]
pub(crate) struct Watch {
    watches: Arc<Watches>,
    number: i32,
}

impl Watches {
    /// An empty queue. `EMFILE` if the user has too many already.
    pub(crate) fn new() -> Result<Arc<Watches>> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(errno)?;
        Ok(Arc::new(Watches { queue, counts: Mutex::default() }))
    }

    /// The queue, for the client.
    pub(crate) fn queue(&self) -> Result<OwnedFd> {
        rustix::io::dup(&self.queue).map_err(errno)
    }

    /// Watches the file behind `fd`. Fails where the user may not read the file, and when there are too many watches.
    pub(crate) fn add(self: &Arc<Self>, own_fds: &OwnFds, fd: &OwnedFd, kind: FileKind) -> Result<Watch> {
        let events = WatchFlags::ATTRIB
            | if kind == FileKind::Directory {
                WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO
            } else {
                WatchFlags::MODIFY
            };
        let mut counts = self.counts.lock();
        if counts.len() >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        let number = inotify::add_watch(&self.queue, own_fds.path(fd), events).map_err(errno)?;
        let count = counts.entry(number).or_default();
        *count = count.saturating_add(1);
        Ok(Watch { watches: Arc::clone(self), number })
    }
}

impl Watch {
    /// What its events carry.
    pub(crate) fn number(&self) -> u32 {
        self.number.cast_unsigned()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut counts = self.watches.counts.lock();
        let Some(count) = counts.get_mut(&self.number) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&self.number);
            // Gone already if the file is.
            let _ = inotify::remove_watch(&self.watches.queue, self.number);
        }
    }
}
