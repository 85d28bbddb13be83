//! Names: the tree of directory entries that are in use or were lately, each with its inode.
//!
//! A dentry keeps its parent alive; a parent knows its children weakly, and a bounded list
//! ([`DentryCache`]) keeps the recently used ones. So the tree holds what is open, mounted on or a
//! working directory, plus a bounded number of others.
//!
//! Lock order: a directory's `InodeCommon::write_lock` → `children` → nothing; `Place` (name and parent) is written only
//! under the kernel's rename lock. No dentry is dropped while a `children` lock is held: its `Drop` takes its parent's.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use parking_lot::{Mutex, RwLock};

use super::{inode::Inode, name_hash::NameMap};

/// A name in a directory, and what it means.
pub struct Dentry {
    place: RwLock<Place>,
    inode: Arc<dyn Inode>,
    children: Mutex<NameMap<Box<[u8]>, Weak<Dentry>>>,
    /// How many mounts sit on this dentry, in all namespaces.
    pub mounts: AtomicU32,
    deleted: AtomicBool,
    /// Used since the cache last looked at it.
    referenced: AtomicBool,
    /// Its place in the [`DentryCache`].
    slot: AtomicUsize,
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
            referenced: AtomicBool::new(false),
            slot: AtomicUsize::new(usize::MAX),
        })
    }

    /// The child `name`, which means `inode`; an existing dentry for the same inode is reused.
    pub fn adopt(self: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let existing = self.child(name);
        if let Some(existing) = existing
            && super::inode::same_inode(&existing.inode, &inode)
        {
            return existing;
        }
        let child = Dentry::build(name.into(), Some(Arc::clone(self)), inode);
        self.children.lock().insert(name.into(), Arc::downgrade(&child));
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
        let child = self.children.lock().get(name).and_then(Weak::upgrade)?;
        if !child.referenced.load(Ordering::Relaxed) {
            child.referenced.store(true, Ordering::Relaxed);
        }
        Some(child)
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

    /// Moves this dentry to `name` in `parent`; what had that name is deleted. The caller holds the kernel's rename lock.
    pub fn relocate(self: &Arc<Self>, parent: &Arc<Dentry>, name: &[u8]) {
        let (old_parent, old_name) = self.set_place(parent, name);
        if let Some(old_parent) = old_parent {
            old_parent.unlist(&old_name, self);
        }
        let replaced =
            parent.children.lock().insert(name.into(), Arc::downgrade(self)).and_then(|c| c.upgrade());
        if let Some(replaced) = replaced
            && !Arc::ptr_eq(&replaced, self)
        {
            replaced.deleted.store(true, Ordering::Release);
        }
    }

    /// Swaps the places of two dentries (`RENAME_EXCHANGE`). The caller holds the kernel's rename lock.
    pub fn exchange(self: &Arc<Self>, other: &Arc<Dentry>) {
        let (Some(here), Some(there)) = (self.parent(), other.parent()) else { return };
        let (this_name, other_name) = (self.name(), other.name());
        self.set_place(&there, &other_name);
        other.set_place(&here, &this_name);
        here.children.lock().insert(this_name, Arc::downgrade(other));
        there.children.lock().insert(other_name, Arc::downgrade(self));
    }

    fn set_place(&self, parent: &Arc<Dentry>, name: &[u8]) -> (Option<Arc<Dentry>>, Box<[u8]>) {
        let mut place = self.place.write();
        (place.parent.replace(Arc::clone(parent)), std::mem::replace(&mut place.name, name.into()))
    }

    /// Takes `child` out of the list of children if it is the one listed as `name`.
    fn unlist(&self, name: &[u8], child: &Dentry) {
        let mut children = self.children.lock();
        if children.get(name).is_some_and(|listed| std::ptr::eq(listed.as_ptr(), child)) {
            children.remove(name);
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

    /// Gives an unattached dentry its first name (linkat(2) of an `O_TMPFILE` file).
    pub fn revive(&self) {
        self.deleted.store(false, Ordering::Release);
    }

    /// Whether this is `ancestor` or lies below it. The caller holds the kernel's rename lock.
    pub fn is_below(self: &Arc<Self>, ancestor: &Arc<Dentry>) -> bool {
        let mut at = Some(Arc::clone(self));
        while let Some(dentry) = at {
            if Arc::ptr_eq(&dentry, ancestor) {
                return true;
            }
            at = dentry.parent();
        }
        false
    }
}

impl Drop for Dentry {
    /// A loop, not a recursion: guests can make chains of any depth (mkdir + chdir).
    fn drop(&mut self) {
        let mut parent = self.leave();
        while let Some(mut last) = parent.and_then(Arc::into_inner) {
            parent = last.leave();
        }
    }
}

impl Dentry {
    /// Leaves the parent, which is returned: it may lose its last child with this.
    fn leave(&mut self) -> Option<Arc<Dentry>> {
        let place = self.place.get_mut();
        let (parent, name) = (place.parent.take()?, std::mem::take(&mut place.name));
        parent.unlist(&name, self);
        Some(parent)
    }
}

/// Keeps recently used dentries alive, a bounded number of them (second chance: what was used since the hand last
/// passed stays).
pub struct DentryCache {
    ring: Mutex<Ring>,
    limit: usize,
}

#[derive(Default)]
struct Ring {
    slots: Vec<Option<Arc<Dentry>>>,
    hand: usize,
}

impl DentryCache {
    /// Keeps at most `limit` dentries.
    pub fn new(limit: usize) -> DentryCache {
        DentryCache { ring: Mutex::default(), limit: limit.max(1) }
    }

    /// Keeps `dentry` for a while.
    pub fn keep(&self, dentry: Arc<Dentry>) {
        let evicted = self.ring.lock().insert(dentry, self.limit);
        // Dropped outside the lock: it may be the last reference to a whole chain of parents.
        drop(evicted);
    }

    /// Lets go of `dentry` at once: its name is gone, and nothing may keep its inode's storage.
    pub fn discard(&self, dentry: &Arc<Dentry>) {
        let at = dentry.slot.load(Ordering::Relaxed);
        let mut ring = self.ring.lock();
        let dropped = ring.slots.get_mut(at).and_then(|slot| slot.take_if(|kept| Arc::ptr_eq(kept, dentry)));
        drop(ring);
        drop(dropped);
    }

    /// Lets go of every dentry that `of` selects (a filesystem that is unmounted).
    pub fn discard_if(&self, of: impl Fn(&Dentry) -> bool) {
        let mut ring = self.ring.lock();
        let dropped: Vec<_> =
            ring.slots.iter_mut().filter_map(|slot| slot.take_if(|dentry| of(dentry))).collect();
        drop(ring);
        drop(dropped);
    }
}

impl Ring {
    fn insert(&mut self, dentry: Arc<Dentry>, limit: usize) -> Option<Arc<Dentry>> {
        if self.slots.len() < limit {
            dentry.slot.store(self.slots.len(), Ordering::Relaxed);
            self.slots.push(Some(dentry));
            return None;
        }
        // Bounded: a full turn of referenced dentries would otherwise hold the lock for long.
        for _ in 0..16 {
            let referenced = self.slots.get(self.hand).and_then(Option::as_ref);
            if !referenced.is_some_and(|kept| kept.referenced.swap(false, Ordering::Relaxed)) {
                break;
            }
            self.hand = (self.hand + 1) % limit;
        }
        let at = self.hand;
        self.hand = (self.hand + 1) % limit;
        dentry.slot.store(at, Ordering::Relaxed);
        self.slots.get_mut(at).and_then(|slot| slot.replace(dentry))
    }
}
