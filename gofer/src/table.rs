//! The ids that the client holds, and what they stand for.
//!
//! Ids are counted up and never used twice, so a stale one is `EBADF` and not somebody else's file. Nodes and
//! open directories share the numbers, for they are given back together.

use std::{collections::HashMap, os::fd::OwnedFd, sync::Arc};

use gofer_proto::{HandleId, NodeId};
use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::node::Node;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Mutex<Entries>,
    max_nodes: usize,
    max_directories: usize,
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    nodes: HashMap<u64, Arc<Node>>,
    directories: HashMap<u64, Arc<Directory>>,
}

/// A directory open for reading.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) reader: Mutex<Reader>,
}

/// The descriptor of an open directory.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) fd: OwnedFd,
    /// The cookie of the entry that it stands behind, if that is known.
    pub(crate) position: Option<u64>,
}

impl Table {
    pub(crate) fn new(max_nodes: u32, max_directories: u32) -> Table {
        let count = |max: u32| usize::try_from(max).unwrap_or(usize::MAX);
        Table {
            entries: Mutex::default(),
            max_nodes: count(max_nodes),
            max_directories: count(max_directories),
        }
    }

    /// Gives the client a reference to `node`.
    pub(crate) fn add_node(&self, node: Arc<Node>) -> Result<NodeId> {
        let mut entries = self.entries.lock();
        // There can be more references than nodes: every attach is one.
        if entries.nodes.len() >= self.max_nodes {
            return Err(Errno::ENFILE);
        }
        let id = entries.next_id();
        entries.nodes.insert(id, node);
        Ok(NodeId(id))
    }

    /// Gives the client an open directory.
    pub(crate) fn add_directory(&self, fd: OwnedFd) -> Result<HandleId> {
        let mut entries = self.entries.lock();
        if entries.directories.len() >= self.max_directories {
            return Err(Errno::ENFILE);
        }
        let id = entries.next_id();
        entries
            .directories
            .insert(id, Arc::new(Directory { reader: Mutex::new(Reader { fd, position: Some(0) }) }));
        Ok(HandleId(id))
    }

    pub(crate) fn node(&self, id: NodeId) -> Result<Arc<Node>> {
        self.entries.lock().nodes.get(&id.0).cloned().ok_or(Errno::EBADF)
    }

    pub(crate) fn directory(&self, id: HandleId) -> Result<Arc<Directory>> {
        self.entries.lock().directories.get(&id.0).cloned().ok_or(Errno::EBADF)
    }

    /// Takes references back.
    pub(crate) fn release(&self, ids: &[u64]) {
        let mut nodes = Vec::new();
        let mut directories = Vec::new();
        {
            let mut entries = self.entries.lock();
            for id in ids {
                nodes.extend(entries.nodes.remove(id));
                directories.extend(entries.directories.remove(id));
            }
        }
        // Descriptors are closed here, outside the lock.
        drop((nodes, directories));
    }
}

impl Entries {
    fn next_id(&mut self) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.last
    }
}
