//! What all connections of a client share, and the threads that serve them.
//!
//! One thread a connection, with a small stack: a call that hangs in some file system of the host holds up
//! nobody but the one who made it. The server ends when the last connection does.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
    thread,
};

use gofer_proto::{Attr, NodeId, Walked};
use linux_abi::{Errno, Result};
use parking_lot::{Condvar, Mutex};

use crate::{
    config::{Config, Policy},
    connection,
    error::{self, Doing, Error},
    node::{Found, Node, Stock},
    resolve::{self, OwnFds},
    table::Table,
    watch::Watches,
};

/// Stack of a connection's thread. The deepest is a readdir, with a buffer of 32 KiB.
const STACK: usize = 128 << 10;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Server {
    roots: Vec<(Arc<Node>, Policy)>,
    /// By root: the watches of its nodes, if the client wants to hear of changes.
    watches: Vec<OnceLock<Arc<Watches>>>,
    pub(crate) own_fds: OwnFds,
    pub(crate) table: Table,
    /// Held while nodes are told their new places.
    pub(crate) moves: Mutex<()>,
    connections: Mutex<u32>,
    max_connections: u32,
    /// Signalled when a connection ends.
    ended: Condvar,
}

impl Server {
    pub(crate) fn new(config: Config, own_fds: OwnFds) -> Result<Server, Error> {
        let limits = config.limits;
        let stock = Stock::new(limits.nodes, limits.open_nodes);
        let mut roots = Vec::with_capacity(config.roots.len());
        for (number, root) in config.roots.into_iter().enumerate() {
            resolve::probe(&root.fd)?;
            let node = Found::inspect(root.fd, None).and_then(|found| Node::root(number, found, &stock));
            roots.push((node.map_err(error::io).doing("look at a root")?, root.policy));
        }
        Ok(Server {
            watches: roots.iter().map(|_| OnceLock::new()).collect(),
            roots,
            own_fds,
            table: Table::new(limits.nodes, limits.directories),
            moves: Mutex::new(()),
            connections: Mutex::new(0),
            max_connections: limits.connections,
            ended: Condvar::new(),
        })
    }

    /// Serves `first` and the connections that come of it, until all have ended.
    pub(crate) fn run(self: &Arc<Server>, first: OwnedFd) {
        *self.connections.lock() = 1;
        connection::serve(self, first);
        let mut connections = self.connections.lock();
        *connections = connections.saturating_sub(1);
        while *connections > 0 {
            self.ended.wait(&mut connections);
        }
    }

    /// Serves one more connection, in a thread of its own.
    pub(crate) fn add_connection(self: &Arc<Server>, socket: OwnedFd) -> Result<()> {
        {
            let mut connections = self.connections.lock();
            if *connections >= self.max_connections {
                return Err(Errno::ENFILE);
            }
            *connections = connections.saturating_add(1);
        }
        let server = Arc::clone(self);
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || {
            connection::serve(&server, socket);
            server.connection_ended();
        });
        thread.map(drop).map_err(|error| {
            self.connection_ended();
            Errno::from(error)
        })
    }

    fn connection_ended(&self) {
        let mut connections = self.connections.lock();
        *connections = connections.saturating_sub(1);
        self.ended.notify_all();
    }

    /// A reference to a root.
    pub(crate) fn attach(&self, root: u32) -> Result<Walked> {
        let root = usize::try_from(root).map_err(|_| Errno::EINVAL)?;
        let (node, _) = self.roots.get(root).ok_or(Errno::EINVAL)?;
        self.refer(node, resolve::attr(&*node.fd()?)?)
    }

    /// Gives the client a reference to `node`, whose attributes have just been `attr`. If its root is watched, so is the node
    /// from now on, and the attributes are those of after that.
    pub(crate) fn refer(&self, node: &Arc<Node>, attr: Attr) -> Result<Walked> {
        let (attr, watch) = match self.watch(node) {
            Some(watch) => (resolve::attr(&*node.fd()?)?, Some(watch)),
            None => (attr, None),
        };
        Ok(Walked { watch, ..self.refer_unwatched(node, attr)? })
    }

    /// As [`Server::refer`], for a file that is watched when somebody asks for its attributes.
    pub(crate) fn refer_unwatched(&self, node: &Arc<Node>, attr: Attr) -> Result<Walked> {
        Ok(Walked { node: self.table.add_node(Arc::clone(node))?, attr, watch: None })
    }

    /// Watches `node`, if its root is watched and it can be. The number of the watch.
    pub(crate) fn watch(&self, node: &Arc<Node>) -> Option<u32> {
        let watches = self.watches.get(node.root)?.get()?;
        node.watch(watches, &self.own_fds)
    }

    /// The queue of changes of a root, which is watched from now on.
    pub(crate) fn changes(&self, root: u32) -> Result<OwnedFd> {
        let slot = usize::try_from(root).ok().and_then(|root| self.watches.get(root)).ok_or(Errno::EINVAL)?;
        let watches = match slot.get() {
            Some(watches) => Arc::clone(watches),
            None => {
                let new = Watches::new()?;
                Arc::clone(slot.get_or_init(|| new))
            }
        };
        watches.queue()
    }

    /// What may be done to a node. Without its root, nothing.
    pub(crate) fn policy(&self, node: &Node) -> Policy {
        let nothing = Policy { read_only: true, ..Policy::default() };
        self.roots.get(node.root).map_or(nothing, |(_, policy)| *policy)
    }

    /// A node that may be opened, or have its attributes changed.
    pub(crate) fn usable(&self, id: NodeId) -> Result<Arc<Node>> {
        let node = self.table.node(id)?;
        if node.closed { Err(Errno::EACCES) } else { Ok(node) }
    }

    /// A node that may be changed.
    pub(crate) fn writable(&self, id: NodeId) -> Result<Arc<Node>> {
        let node = self.usable(id)?;
        if self.policy(&node).read_only { Err(Errno::EROFS) } else { Ok(node) }
    }
}
