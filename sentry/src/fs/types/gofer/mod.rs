//! Files of the host, reached through the gofer process.
//!
//! * `inode.rs`: [`GoferInode`], one per file of the host, however many names it has.
//! * `listing.rs`: directories, listed in batches.
//! * `file.rs`: open files; their bytes are read and written through descriptors that the gofer donates, without it.
//! * `guess.rs`: whether what is looked up will be opened.
//! * `changes.rs`: what the host tells of changes by others.
//! * `convert.rs`: the protocol's nouns as the VFS's.
//!
//! A mount is *exclusive* if only the sandbox changes the files: then attributes and names, found and not found, are asked
//! for once. Otherwise they are asked for again after the host told of a change, or, on filesystems of the host that do not tell
//! (network filesystems), each time they are needed.

mod changes;
mod convert;
mod file;
mod guess;
mod inode;
mod listing;

use std::{
    collections::{HashMap, VecDeque},
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use gofer_proto::{Client, NodeId, Walked};
use linux_abi::Result;
use nix::sys::resource::{Resource, getrlimit};
use parking_lot::Mutex;

use self::changes::{Changes, Moment};
pub(super) use self::file::{read_at, seek};
use self::guess::Guess;
pub use self::inode::GoferInode;
use crate::fs::inode::{FileSystem, Inode, StatFs};

/// How many descriptors that nobody has open are kept for the next open. Few of files that others may remove: as long as they are
/// open, they take room on the host.
const KEPT_DESCRIPTORS: usize = 256;
/// The same of a tree that nobody changes, if this process may have many: to have a file opened takes two changes of process.
const KEPT_EXCLUSIVE: usize = 8192;
/// How many directories hold what was found ahead.
const HOLDING: usize = 32;
/// Where the number of a host device begins in an inode number, for files on other devices than the root.
const DEVICE_SHIFT: u32 = 52;

/// How a tree of the host is mounted.
#[derive(Clone, Copy, Debug)]
pub struct GoferOptions {
    /// Nobody but the sandbox changes it.
    pub exclusive: bool,
    /// It cannot be changed at all (the gofer makes sure, too).
    pub read_only: bool,
}

/// A tree of the host.
pub struct GoferFs {
    client: Arc<Client>,
    dev: u64,
    options: GoferOptions,
    /// Of a tree that is not exclusive, if the host tells.
    changes: Option<Changes>,
    inodes: Mutex<HashMap<FileKey, Weak<GoferInode>>>,
    /// Host devices, the root's first.
    devices: Mutex<Vec<(u32, u32)>>,
    root: Mutex<Root>,
    root_node: NodeId,
    descriptors: Mutex<VecDeque<Arc<OwnedFd>>>,
    max_descriptors: usize,
    /// Directories that hold what was found ahead.
    holding: Mutex<VecDeque<Weak<GoferInode>>>,
    guess: Guess,
    this: Weak<GoferFs>,
}

/// What makes a file of the host itself: device and inode number.
type FileKey = (u32, u32, u64);

/// The root belongs to whoever asks for it first, its mount; the other way round there would be a circle.
enum Root {
    Fresh(Walked),
    Taken(Weak<GoferInode>),
}

impl GoferFs {
    /// The gofer's root number `root` as a filesystem with the device number `dev`.
    ///
    /// # Errors
    /// The gofer's.
    pub fn new(client: Arc<Client>, root: u32, dev: u64, options: GoferOptions) -> Result<Arc<GoferFs>> {
        // Without (the user has too many inotify instances), nothing is remembered.
        let changes = if options.exclusive { None } else { Changes::new(&client, root).ok() };
        let walked = client.attach(root)?;
        let device = (walked.attr.dev.major, walked.attr.dev.minor);
        Ok(Arc::new_cyclic(|this| GoferFs {
            client,
            dev,
            options,
            changes,
            inodes: Mutex::default(),
            devices: Mutex::new(vec![device]),
            root: Mutex::new(Root::Fresh(walked)),
            root_node: walked.node,
            descriptors: Mutex::default(),
            max_descriptors: if options.exclusive { many_descriptors() } else { KEPT_DESCRIPTORS },
            holding: Mutex::default(),
            guess: Guess::default(),
            this: Weak::clone(this),
        }))
    }

    /// The root as what it is.
    ///
    /// # Errors
    /// `EIO` if it is gone.
    pub fn root_inode(&self) -> Result<Arc<GoferInode>> {
        let mut root = self.root.lock();
        let inode = match &*root {
            Root::Fresh(walked) => Some(self.intern(walked, None)?),
            Root::Taken(inode) => inode.upgrade(),
        };
        let inode = match inode {
            Some(inode) => inode,
            None => {
                let since = self.moment();
                self.intern(&self.client.look_at(self.root_node)?, since)?
            }
        };
        *root = Root::Taken(Arc::downgrade(&inode));
        Ok(inode)
    }

    fn changes(&self) -> Option<&Changes> {
        self.changes.as_ref()
    }

    /// Takes note of what others have changed. `false`: the host does not tell.
    fn catch_up(&self) -> bool {
        self.changes.as_ref().is_some_and(Changes::catch_up)
    }

    /// Now; `None` if it does not matter.
    fn moment(&self) -> Option<Moment> {
        self.changes.as_ref().map(Changes::moment)
    }

    /// Runs `remember` with whether what the gofer said of the time since `since` is still true, as far as the host tells.
    fn settle<T>(&self, since: Option<Moment>, remember: impl FnOnce(bool) -> T) -> T {
        match (&self.changes, since) {
            (Some(changes), Some(since)) => changes.settle(since, remember),
            _ => remember(self.options.exclusive),
        }
    }

    /// The inode for what a walk found at `since`: the one there is, or a new one. The reference to the node is used up.
    fn intern(&self, walked: &Walked, since: Option<Moment>) -> Result<Arc<GoferInode>> {
        let inode = self.inode(walked)?;
        self.watched(walked, Some(&inode));
        inode.learn(&walked.attr, since);
        Ok(inode)
    }

    /// Notes under which number changes of `inode` are told.
    fn watched(&self, walked: &Walked, inode: Option<&Arc<GoferInode>>) {
        if let (Some(watch), Some(changes), Some(inode)) = (walked.watch, &self.changes, inode) {
            changes.register(watch, inode);
            inode.watched(watch);
        }
    }

    fn inode(&self, walked: &Walked) -> Result<Arc<GoferInode>> {
        let attr = &walked.attr;
        let key = (attr.dev.major, attr.dev.minor, attr.ino);
        let mut inodes = self.inodes.lock();
        let known = inodes.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.as_ref().filter(|known| known.matches(attr)) {
            drop(inodes);
            if walked.node != known.node() && walked.node != self.root_node {
                self.client.release(&[walked.node]);
            }
            return Ok(Arc::clone(known));
        }
        let fs = self.this.upgrade().ok_or(linux_abi::Errno::EIO)?;
        let inode = GoferInode::new(fs, walked, key, self.inode_number(attr));
        inodes.insert(key, Arc::downgrade(&inode));
        drop(inodes);
        // A stale inode of the same number may end here; its drop takes the lock.
        drop(known);
        Ok(inode)
    }

    /// An inode number that is unique in this filesystem, although it may show several of the host.
    fn inode_number(&self, attr: &gofer_proto::Attr) -> u64 {
        let device = (attr.dev.major, attr.dev.minor);
        let mut devices = self.devices.lock();
        let index = devices.iter().position(|&known| known == device).unwrap_or_else(|| {
            devices.push(device);
            devices.len() - 1
        });
        attr.ino ^ (index as u64).wrapping_shl(DEVICE_SHIFT)
    }

    /// Forgets an inode that is being dropped, and gives its node back.
    fn forget(&self, key: FileKey, node: NodeId) {
        let mut inodes = self.inodes.lock();
        if inodes.get(&key).is_some_and(|known| known.strong_count() == 0) {
            inodes.remove(&key);
        }
        drop(inodes);
        if node != self.root_node {
            self.client.release(&[node]);
        }
    }

    /// Keeps a descriptor open for a while.
    fn keep(&self, descriptor: &Arc<OwnedFd>) {
        let mut kept = self.descriptors.lock();
        kept.push_back(Arc::clone(descriptor));
        let oldest = if kept.len() > self.max_descriptors { kept.pop_front() } else { None };
        drop(kept);
        drop(oldest);
    }

    /// `directory` has begun to hold what was found ahead: another one may have to stop.
    fn holds(&self, directory: Weak<GoferInode>) {
        let mut holding = self.holding.lock();
        holding.push_back(directory);
        let oldest = if holding.len() > HOLDING { holding.pop_front() } else { None };
        drop(holding);
        if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
            oldest.let_held_go();
        }
    }

    /// Keeps it no longer: its file has no name any more, and would take room on the host.
    fn discard(&self, descriptor: &Arc<OwnedFd>) {
        let mut kept = self.descriptors.lock();
        let at = kept.iter().rposition(|other| Arc::ptr_eq(other, descriptor));
        let discarded = at.and_then(|at| kept.remove(at));
        drop(kept);
        drop(discarded);
    }

    /// Closes all that are kept: this process may have no more.
    fn discard_all(&self) {
        let kept = std::mem::take(&mut *self.descriptors.lock());
        drop(kept);
    }
}

/// What is kept of a tree that nobody changes: half of what this process may have, at most.
fn many_descriptors() -> usize {
    let (may_have, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
    usize::try_from(may_have / 2).unwrap_or(usize::MAX).min(KEPT_EXCLUSIVE)
}

impl Drop for GoferFs {
    fn drop(&mut self) {
        self.client.release(&[self.root_node]);
    }
}

impl FileSystem for GoferFs {
    fn name(&self) -> &'static str {
        "gofer"
    }

    /// # Panics
    /// Never: a root that cannot be had any more is shown as an empty directory.
    fn root(&self) -> Arc<dyn Inode> {
        match self.root_inode() {
            Ok(inode) => inode,
            Err(_) => super::tmpfs::TmpFs::new(self.dev, &super::tmpfs::TmpOptions::with_size(0)).root(),
        }
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn statfs(&self) -> Result<StatFs> {
        let volume = self.client.statfs(self.root_node)?;
        Ok(StatFs {
            magic: volume.kind,
            block_size: volume.frsize,
            blocks: volume.blocks,
            blocks_free: volume.bfree,
            blocks_available: volume.bavail,
            files: volume.files,
            files_free: volume.ffree,
            name_max: volume.namelen,
        })
    }
}
