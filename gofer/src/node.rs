//! A file that the client knows: what it is, and how to get at it.
//!
//! A [`Node`] holds an `O_PATH` descriptor, which pins the file itself: renames and replacements on the host do
//! not change what the client's reference means. Descriptors are scarce, so only the most recently
//! used [`Limits::open_nodes`](crate::Limits) nodes keep theirs ([`Stock`]); a node that lost it is looked up again by its
//! name in its parent, and is only accepted if it is the same file (`ESTALE` otherwise). Root nodes never lose theirs.
//!
//! A node keeps its ancestors alive, whether or not the client still refers to them.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use gofer_proto::{Attr, Dev, FileKind, Name, Timestamp};
use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::{
    resolve::{self, OwnFds},
    watch::{Watch, Watches},
};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Node {
    /// Number of the root that it is below.
    pub(crate) root: usize,
    /// Its kind, which an inode never changes.
    pub(crate) kind: FileKind,
    /// Nothing below it may be looked up, and it may not be opened: it is part of a procfs.
    pub(crate) closed: bool,
    notifies: bool,
    mount: u64,
    watch: OnceLock<Watch>,
    identity: Identity,
    /// Roots have no place and need none: they are never closed.
    is_root: bool,
    /// `None` for roots, and for nodes whose place got lost ([`Node::move_to`]).
    place: Mutex<Option<Place>>,
    fd: Mutex<Option<Arc<OwnedFd>>>,
    /// Second chance in the ring.
    used: AtomicBool,
    stock: Arc<Stock>,
}

/// What makes a file the same file. Inode numbers are soon used again, creation times are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    dev: Dev,
    ino: u64,
    btime: Option<Timestamp>,
}

impl Identity {
    fn of(attr: &Attr) -> Identity {
        Identity { dev: attr.dev, ino: attr.ino, btime: attr.btime }
    }
}

/// Where a file was found.
#[derive(Clone, Debug)]
struct Place {
    parent: Arc<Node>,
    name: Box<[u8]>,
}

/// A file just looked up, of which there is no node (yet).
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) fd: OwnedFd,
    pub(crate) attr: Attr,
    pub(crate) closed: bool,
    /// Its file system tells of changes.
    notifies: bool,
}

impl Found {
    /// Looks `name` up in a directory, of which `closed` and `mount` are known.
    pub(crate) fn look_up(dir: &OwnedFd, above: &Above, name: Name<'_>) -> Result<Found> {
        if above.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if above.closed {
            return Err(Errno::EACCES);
        }
        Found::inspect(resolve::lookup(dir, name)?, Some(above))
    }

    /// A file that is already open, below the directory described by `above` if that is not `None`.
    pub(crate) fn inspect(fd: OwnedFd, above: Option<&Above>) -> Result<Found> {
        let attr = resolve::attr(&fd)?;
        let same_mount = above.is_some_and(|above| above.mount == attr.mount && above.dev == attr.dev);
        let (closed, notifies) = match above.filter(|_| same_mount) {
            Some(above) => (false, above.notifies),
            None => {
                let nature = resolve::nature(&fd)?;
                (nature.procfs, nature.notifies)
            }
        };
        Ok(Found { fd, attr, closed, notifies })
    }

    /// What matters about it to files below it.
    pub(crate) fn as_above(&self) -> Above {
        Above {
            kind: self.attr.kind(),
            closed: self.closed,
            notifies: self.notifies,
            mount: self.attr.mount,
            dev: self.attr.dev,
        }
    }
}

/// What matters about a directory to a file below it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Above {
    kind: FileKind,
    closed: bool,
    notifies: bool,
    mount: u64,
    dev: Dev,
}

impl Node {
    /// The node of a root.
    pub(crate) fn root(number: usize, found: Found, stock: &Arc<Stock>) -> Result<Arc<Node>> {
        Node::new(number, found, None, stock)
    }

    /// The node of a file just found under `name` in `parent`. `ENFILE` if there are too many.
    pub(crate) fn below(parent: &Arc<Node>, name: Name<'_>, found: Found) -> Result<Arc<Node>> {
        let place = Place { parent: Arc::clone(parent), name: name.as_bytes().into() };
        let node = Node::new(parent.root, found, Some(place), &parent.stock)?;
        node.stock.admit(&node);
        Ok(node)
    }

    fn new(root: usize, found: Found, place: Option<Place>, stock: &Arc<Stock>) -> Result<Arc<Node>> {
        stock.count_node()?;
        stock.open.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Node {
            root,
            kind: found.attr.kind(),
            closed: found.closed,
            notifies: found.notifies,
            watch: OnceLock::new(),
            mount: found.attr.mount,
            identity: Identity::of(&found.attr),
            is_root: place.is_none(),
            place: Mutex::new(place),
            fd: Mutex::new(Some(Arc::new(found.fd))),
            used: AtomicBool::new(false),
            stock: Arc::clone(stock),
        }))
    }

    /// What matters about it to files below it.
    pub(crate) fn as_above(&self) -> Above {
        Above {
            kind: self.kind,
            closed: self.closed,
            notifies: self.notifies,
            mount: self.mount,
            dev: self.identity.dev,
        }
    }

    /// The number of its watch, which is added to `watches` if there is none yet. `None` if it cannot be watched.
    pub(crate) fn watch(self: &Arc<Node>, watches: &Arc<Watches>, own_fds: &OwnFds) -> Option<u32> {
        if !self.notifies || self.closed {
            return None;
        }
        if let Some(watch) = self.watch.get() {
            return Some(watch.number());
        }
        let new = watches.add(own_fds, &*self.fd().ok()?, self.kind).ok()?;
        Some(self.watch.get_or_init(|| new).number())
    }

    /// Its descriptor, opened again if need be. Stays open while the caller holds it.
    pub(crate) fn fd(self: &Arc<Node>) -> Result<Arc<OwnedFd>> {
        if let Some(fd) = self.open_fd() {
            return Ok(fd);
        }
        // A rename may have come in between reading the places and looking them up: the second attempt sees the new ones.
        match self.find_again() {
            Err(Errno::ESTALE) => self.find_again(),
            result => result,
        }
    }

    fn open_fd(&self) -> Option<Arc<OwnedFd>> {
        let fd = self.fd.lock().clone();
        if fd.is_some() {
            self.used.store(true, Ordering::Relaxed);
        }
        fd
    }

    /// Looks it up from its nearest ancestor that is open. Not recursive: directories can be nested deeply.
    fn find_again(self: &Arc<Node>) -> Result<Arc<OwnedFd>> {
        let mut steps: Vec<(Arc<Node>, Box<[u8]>)> = Vec::new();
        let mut node = Arc::clone(self);
        let mut fd = loop {
            if let Some(fd) = node.open_fd() {
                break fd;
            }
            let place = node.place.lock().clone().ok_or(Errno::ESTALE)?;
            steps.push((node, place.name));
            node = place.parent;
        };
        while let Some((node, name)) = steps.pop() {
            let again = Name::new(&name).and_then(|name| resolve::lookup(&*fd, name));
            let again = again.map_err(|errno| match errno {
                Errno::ENOENT | Errno::ENOTDIR => Errno::ESTALE,
                other => other,
            })?;
            if Identity::of(&resolve::attr(&again)?) != node.identity {
                return Err(Errno::ESTALE);
            }
            fd = node.keep(again);
        }
        Ok(fd)
    }

    /// Takes a descriptor, unless another thread was faster.
    fn keep(self: &Arc<Node>, fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = {
            let mut slot = self.fd.lock();
            if let Some(there) = &*slot {
                return Arc::clone(there);
            }
            let fd = Arc::new(fd);
            *slot = Some(Arc::clone(&fd));
            self.stock.open.fetch_add(1, Ordering::Relaxed);
            fd
        };
        self.stock.admit(self);
        fd
    }

    /// Records that the file is now called `name` in `parent`. The caller excludes other moves.
    ///
    /// What is known of the ancestors of `parent` may be outdated, if somebody on the host renamed directories. If by
    /// that the node would become its own ancestor, it has no known place from now on.
    pub(crate) fn move_to(self: &Arc<Node>, parent: &Arc<Node>, name: Name<'_>) {
        if self.is_root || parent.root != self.root {
            return;
        }
        let place = (!parent.is_below(self))
            .then(|| Place { parent: Arc::clone(parent), name: name.as_bytes().into() });
        let old = std::mem::replace(&mut *self.place.lock(), place);
        // Outside the lock: the last reference to the old parent may go with it.
        drop(old);
    }

    fn is_below(self: &Arc<Node>, ancestor: &Arc<Node>) -> bool {
        let mut at = Some(Arc::clone(self));
        while let Some(node) = at {
            if Arc::ptr_eq(&node, ancestor) {
                return true;
            }
            at = node.place.lock().as_ref().map(|place| Arc::clone(&place.parent));
        }
        false
    }

    /// Gives the descriptor up; whoever is using it at the moment keeps it until done.
    fn evict(&self) -> Option<Arc<OwnedFd>> {
        let fd = self.fd.lock().take();
        if fd.is_some() {
            self.stock.open.fetch_sub(1, Ordering::Relaxed);
        }
        fd
    }
}

impl Drop for Node {
    /// Frees ancestors that nobody else refers to, one after the other: a client can nest directories deeper than
    /// a stack can follow.
    fn drop(&mut self) {
        self.stock.nodes.fetch_sub(1, Ordering::Relaxed);
        drop(self.evict());
        let mut next = self.place.get_mut().take();
        while let Some(place) = next {
            next = Arc::into_inner(place.parent).and_then(|mut parent| parent.place.get_mut().take());
        }
    }
}

/// Counts nodes, and decides which of them stay open.
#[derive(Debug)]
pub(crate) struct Stock {
    nodes: AtomicU32,
    max_nodes: u32,
    /// Nodes with a descriptor, roots included.
    open: AtomicU32,
    max_open: u32,
    /// Nodes that have a descriptor and may lose it, roughly the least recently used first: a clock. Among them are
    /// nodes that are gone by now.
    ring: Mutex<VecDeque<Weak<Node>>>,
}

impl Stock {
    pub(crate) fn new(max_nodes: u32, max_open: u32) -> Arc<Stock> {
        Arc::new(Stock {
            nodes: AtomicU32::new(0),
            max_nodes,
            open: AtomicU32::new(0),
            max_open,
            ring: Mutex::default(),
        })
    }

    fn count_node(&self) -> Result<()> {
        let count = |nodes: u32| (nodes < self.max_nodes).then_some(nodes.saturating_add(1));
        self.nodes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count)
            .map(drop)
            .map_err(|_| Errno::ENFILE)
    }

    /// Takes note of a node that has just got a descriptor, at the expense of others if there are too many.
    fn admit(&self, node: &Arc<Node>) {
        // Dropped after the lock is released: closing may take its time on some file systems.
        let mut done_with = Vec::new();
        let mut ring = self.ring.lock();
        let open = usize::try_from(self.open.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        // What is gone goes when it is most of the ring: the ring is as long as it is useful, at constant cost.
        if ring.len() > open.saturating_mul(2).saturating_add(64) {
            ring.retain(|node| node.strong_count() > 0);
        }
        // One newcomer takes every node's second chance at most once.
        let mut chances = ring.len();
        while self.open.load(Ordering::Relaxed) > self.max_open {
            let Some(oldest) = ring.pop_front() else { break };
            let Some(oldest) = oldest.upgrade() else { continue };
            let fd = if chances > 0 && oldest.used.swap(false, Ordering::Relaxed) {
                chances = chances.saturating_sub(1);
                ring.push_back(Arc::downgrade(&oldest));
                None
            } else {
                oldest.evict()
            };
            done_with.push((fd, oldest));
        }
        ring.push_back(Arc::downgrade(node));
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
