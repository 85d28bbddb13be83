//! Names: the tree of directory entries that are in use or were lately, each with its inode.
//!
//! A dentry keeps its parent alive; a parent knows its children weakly, and a bounded list
//! ([`DentryCache`]) keeps the recently used ones. So the tree holds what is open, mounted on or a
//! working directory, plus a bounded number of others.
//!
//! Lock order: parent's `children` before child's; `Place` (name and parent) only under the rename lock for writing.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use super::inode::Inode;

/// A name in a directory, and what it means.
pub struct Dentry {
    place: RwLock<Place>,
    inode: Arc<dyn Inode>,
    children: Mutex<HashMap<Box<[u8]>, Weak<Dentry>>>,
    /// How many mounts sit on this dentry, in all namespaces.
    pub mounts: AtomicU32,
    deleted: AtomicBool,
}

struct Place {
    name: Box<[u8]>,
    parent: Option<Arc<Dentry>>,
}

impl Dentry {
    /// The root of a filesystem.
    pub fn root(inode: Arc<dyn Inode>) -> Arc<Dentry> {
        Dentry::build(Box::default(), None, inode)
    }

    fn build(name: Box<[u8]>, parent: Option<Arc<Dentry>>, inode: Arc<dyn Inode>) -> Arc<Dentry> {
        Arc::new(Dentry {
            place: RwLock::new(Place { name, parent }),
            inode,
            children: Mutex::default(),
            mounts: AtomicU32::new(0),
            deleted: AtomicBool::new(false),
        })
    }

    /// The child `name`, which means `inode`; an existing dentry for the same inode is reused.
    pub fn adopt(self: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let mut children = self.children.lock();
        if let Some(existing) = children.get(name).and_then(Weak::upgrade)
            && super::inode::same_inode(&existing.inode, &inode)
        {
            return existing;
        }
        let child = Dentry::build(name.into(), Some(Arc::clone(self)), inode);
        if children.len() >= 64 && children.len().is_power_of_two() {
            children.retain(|_, child| child.strong_count() > 0);
        }
        children.insert(name.into(), Arc::downgrade(&child));
        child
    }

    /// A dentry that is in no directory: pipes, `O_TMPFILE`, memfds. Shown as deleted.
    pub fn unattached(name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let dentry = Dentry::build(name.into(), None, inode);
        dentry.deleted.store(true, Ordering::Relaxed);
        dentry
    }

    /// The cached child `name`.
    pub fn child(&self, name: &[u8]) -> Option<Arc<Dentry>> {
        self.children.lock().get(name).and_then(Weak::upgrade)
    }

    /// Forgets the cached child `name`; it is gone from its directory if `deleted`.
    pub fn forget(&self, name: &[u8], deleted: bool) {
        let child = self.children.lock().remove(name).and_then(|child| child.upgrade());
        if let Some(child) = child
            && deleted
        {
            child.deleted.store(true, Ordering::Release);
        }
    }

    /// Moves this dentry to `name` in `parent`. The caller holds the kernel's rename lock.
    pub fn relocate(self: &Arc<Self>, parent: &Arc<Dentry>, name: &[u8]) {
        let (old_parent, old_name) = {
            let mut place = self.place.write();
            let old = (place.parent.replace(Arc::clone(parent)), std::mem::replace(&mut place.name, name.into()));
            (old.0, old.1)
        };
        if let Some(old_parent) = old_parent {
            let mut children = old_parent.children.lock();
            if children.get(&old_name).and_then(Weak::upgrade).is_some_and(|c| Arc::ptr_eq(&c, self)) {
                children.remove(&old_name);
            }
        }
        let replaced = parent.children.lock().insert(name.into(), Arc::downgrade(self));
        if let Some(replaced) = replaced.and_then(|c| c.upgrade())
            && !Arc::ptr_eq(&replaced, self)
        {
            replaced.deleted.store(true, Ordering::Release);
        }
    }

    /// What the name means.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// Its own name; empty for a root.
    pub fn name(&self) -> Box<[u8]> {
        self.place.read().name.clone()
    }

    /// The directory it is in; `None` for a root.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.read().parent.clone()
    }

    /// Whether its name has been removed.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }
}

/// Keeps recently used dentries alive, a bounded number of them, first in first out.
pub struct DentryCache {
    recent: Mutex<VecDeque<Arc<Dentry>>>,
    limit: usize,
}

impl DentryCache {
    /// Keeps at most `limit` dentries.
    pub fn new(limit: usize) -> DentryCache {
        DentryCache { recent: Mutex::default(), limit }
    }

    /// Keeps `dentry` for a while.
    pub fn keep(&self, dentry: Arc<Dentry>) {
        let evicted = {
            let mut recent = self.recent.lock();
            recent.push_back(dentry);
            if recent.len() > self.limit { recent.pop_front() } else { None }
        };
        // Dropped outside the lock: it may be the last reference to a whole chain of parents.
        drop(evicted);
    }
}
