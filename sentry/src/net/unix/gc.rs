//! Finds unix sockets that are in flight only to each other, and lets go of them (`net/unix/garbage.c`).
//!
//! A file in flight is a *candidate* if every reference to it is in some socket's inbox. Sockets that are no candidates are
//! live, and so is what can be received from them. The other candidates are garbage: nobody can ever receive them.
//!
//! The inboxes are scanned one after the other while the sandbox runs on. That is sound because references are counted
//! before *and* after the scan: a candidate had no reference outside inboxes all along, so it can only have been taken out
//! of the inbox of a live socket, and then it is seen there (and marked live), or missed (and the counts differ).
//! Connections waiting to be accepted count as live: what is in flight to those of a dead listener stays until the limit.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use linux_abi::socket::AF_UNIX;

use super::{Inbox, UnixNs, UnixSocket, scm::Scm};
use crate::{
    fs::file::File,
    net::{control::ControlMessage, file::SocketFile},
};

/// How many sockets in flight are not worth a collection by their sender.
const MANY: usize = 64;

/// When collections happen.
#[derive(Default)]
pub struct Collector {
    running: AtomicBool,
    /// Sockets closed since the last collection.
    closed: AtomicUsize,
    /// A sender of sockets collects once so many are in flight.
    many: AtomicUsize,
}

/// The inode number of the unix socket that `file` is.
pub(super) fn unix_number(file: &File) -> Option<u64> {
    let base = file.downcast::<SocketFile>()?.socket().base();
    (base.domain == AF_UNIX).then(|| base.inode.number())
}

impl UnixSocket {
    fn for_each_file_queued(&self, visit: &mut dyn FnMut(&Arc<File>)) {
        let mut show = |scm: &Scm| {
            if let Some(rights) = &scm.rights {
                rights.files().iter().for_each(&mut *visit);
            }
        };
        match &self.inbox {
            Inbox::Stream(stream) => stream.for_each_meta(&mut show),
            Inbox::Packets(queue) => queue.for_each_scm(&mut show),
        }
    }
}

/// What is known of one unix socket in flight.
struct Candidate {
    file: Weak<File>,
    references: usize,
    seen: usize,
}

impl UnixNs {
    /// Collects, if a socket's closing may have made garbage. Amortised over the closed sockets.
    pub(super) fn collect_cycles(&self) {
        if self.in_flight.sockets() == 0 {
            return;
        }
        let closed = self.collector.closed.fetch_add(1, Ordering::Relaxed);
        if closed >= (self.all.lock().len() / 4).saturating_sub(16) {
            self.collect();
        }
    }

    fn collect(&self) {
        if self.collector.running.swap(true, Ordering::AcqRel) {
            return;
        }
        self.collector.closed.store(0, Ordering::Relaxed);
        let garbage = self.find_garbage();
        self.collector.running.store(false, Ordering::Release);
        for socket in garbage {
            match &socket.inbox {
                Inbox::Stream(stream) => {
                    stream.discard();
                }
                Inbox::Packets(queue) => {
                    queue.discard();
                }
            }
        }
    }

    /// Collects before `control` is sent, if it has files and many sockets are in flight: sockets whose last references are in
    /// flight are never closed, so nobody else may ever collect them. Amortised: the next time when twice as many are left.
    pub(super) fn collect_if_many(&self, control: &[ControlMessage]) {
        let sends_files = control.iter().any(|message| matches!(message, ControlMessage::Rights(_)));
        let in_flight = self.in_flight.sockets();
        if !sends_files || in_flight < MANY.max(self.collector.many.load(Ordering::Relaxed)) {
            return;
        }
        self.collect();
        self.collector.many.store(self.in_flight.sockets().saturating_mul(2), Ordering::Relaxed);
    }

    fn find_garbage(&self) -> Vec<Arc<UnixSocket>> {
        let sockets = self.list();
        let mut candidates: HashMap<u64, Candidate> = HashMap::new();
        for socket in &sockets {
            socket.for_each_file_queued(&mut |file| {
                if let Some(number) = unix_number(file) {
                    candidates.entry(number).or_insert_with(|| Candidate {
                        file: Arc::downgrade(file),
                        references: 0,
                        seen: 0,
                    });
                }
            });
        }
        for candidate in candidates.values_mut() {
            candidate.references = candidate.file.strong_count();
        }
        let mut holds: HashMap<u64, Vec<u64>> = HashMap::new();
        for socket in &sockets {
            let mut held = Vec::new();
            socket.for_each_file_queued(&mut |file| held.extend(unix_number(file)));
            for number in &held {
                if let Some(candidate) = candidates.get_mut(number) {
                    candidate.seen += 1;
                }
            }
            if !held.is_empty() {
                holds.insert(socket.base.inode.number(), held);
            }
        }
        candidates.retain(|_, c| c.references == c.seen && c.file.strong_count() == c.seen);
        let mut live: HashSet<u64> = HashSet::new();
        let mut to_visit: Vec<u64> = holds.keys().copied().filter(|n| !candidates.contains_key(n)).collect();
        while let Some(number) = to_visit.pop() {
            if live.insert(number)
                && let Some(held) = holds.get(&number)
            {
                to_visit.extend(held);
            }
        }
        let is_garbage = |socket: &Arc<UnixSocket>| {
            let number = socket.base.inode.number();
            candidates.contains_key(&number) && !live.contains(&number)
        };
        sockets.into_iter().filter(is_garbage).collect()
    }
}
