//! Where inotify hangs on inodes, and how the VFS tells it what happened (fsnotify in Linux).
//!
//! The system calls that change or use files call the functions here, after the fact and without locks that a waker could
//! need. While nobody watches anything they cost one load.
//!
//! Lock order: an instance's own lock, then [`WatchSet`]'s.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use linux_abi::event::{
    IN_ACCESS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF,
    IN_EXCL_UNLINK, IN_ISDIR, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN,
};
use parking_lot::Mutex;

use super::{
    dentry::Dentry,
    file::File,
    inode::{FileType, Inode},
    path::Path,
    types::inotify::Instance,
};

/// What a sandbox knows of inotify as a whole.
#[derive(Default)]
pub struct InotifyState {
    /// Watches in all instances.
    pub(super) watches: Arc<AtomicUsize>,
    cookie: AtomicU32,
}

impl InotifyState {
    /// Whether anybody watches anything.
    pub fn is_used(&self) -> bool {
        self.watches.load(Ordering::Relaxed) > 0
    }
}

/// The inotify watches on one inode.
#[derive(Default)]
pub struct WatchSet {
    count: AtomicUsize,
    watches: Mutex<Vec<Arc<InodeWatch>>>,
    /// Open descriptions: an inode without names ends with the last of them.
    opens: AtomicUsize,
    nameless: AtomicBool,
}

/// One instance's watch on an inode.
pub struct InodeWatch {
    /// The watch descriptor.
    pub wd: i32,
    /// The events asked for, and the `IN_*` flags that stay with a watch.
    pub mask: AtomicU32,
    /// Whose it is.
    pub instance: Weak<Instance>,
}

impl WatchSet {
    /// Adds a watch.
    pub fn add(&self, watch: Arc<InodeWatch>) {
        let mut watches = self.watches.lock();
        watches.push(watch);
        self.count.store(watches.len(), Ordering::Release);
    }

    /// Removes a watch.
    pub fn remove(&self, watch: &Arc<InodeWatch>) {
        let mut watches = self.watches.lock();
        watches.retain(|other| !Arc::ptr_eq(other, watch));
        self.count.store(watches.len(), Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The watch that `instance` has here.
    pub fn of(&self, instance: &Weak<Instance>) -> Option<Arc<InodeWatch>> {
        self.watches.lock().iter().find(|watch| Weak::ptr_eq(&watch.instance, instance)).cloned()
    }

    fn list(&self) -> Vec<Arc<InodeWatch>> {
        self.watches.lock().clone()
    }
}

/// Something happened to `inode` itself, or to its entry `name`. `unlinked`: through a name that is gone.
fn notify(inode: &Arc<dyn Inode>, mask: u32, name: Option<&[u8]>, cookie: u32, unlinked: bool) {
    let set = &inode.common().watches;
    if set.is_empty() {
        return;
    }
    for watch in set.list() {
        let wanted = watch.mask.load(Ordering::Relaxed);
        if wanted & mask == 0 || (unlinked && wanted & IN_EXCL_UNLINK != 0) {
            continue;
        }
        if let Some(instance) = watch.instance.upgrade() {
            instance.event(&watch, mask, name, cookie);
        }
    }
}

fn directory_flag(inode: &Arc<dyn Inode>) -> u32 {
    if inode.kind() == FileType::Directory { IN_ISDIR } else { 0 }
}

/// Something happened to the file `dentry` is a name of: first its directory hears of it, then itself.
fn notify_file(dentry: &Dentry, mask: u32) {
    let inode = dentry.inode();
    let flagged = mask | directory_flag(inode);
    if let Some(parent) = dentry.parent()
        && !parent.inode().common().watches.is_empty()
    {
        notify(parent.inode(), flagged, Some(&dentry.name()), 0, dentry.is_deleted());
    }
    notify(inode, flagged, None, 0, false);
}

/// An open file was used: `IN_ACCESS` or `IN_MODIFY`.
fn used(state: &InotifyState, file: &File, mask: u32) {
    if state.is_used()
        && let Some(path) = file.path()
    {
        notify_file(&path.dentry, mask);
    }
}

/// It was read from.
pub fn read(state: &InotifyState, file: &File) {
    used(state, file, IN_ACCESS);
}

/// It was written to.
pub fn written(state: &InotifyState, file: &File) {
    used(state, file, IN_MODIFY);
}

/// A file was opened. [`closed`] must follow.
pub fn opened(state: &InotifyState, path: &Path) {
    path.inode().common().watches.opens.fetch_add(1, Ordering::SeqCst);
    if state.is_used() {
        notify_file(&path.dentry, IN_OPEN);
    }
}

/// The last reference to an open file is gone.
pub fn closed(path: &Path, writable: bool) {
    notify_file(&path.dentry, if writable { IN_CLOSE_WRITE } else { IN_CLOSE_NOWRITE });
    let set = &path.inode().common().watches;
    if set.opens.fetch_sub(1, Ordering::SeqCst) == 1 && set.nameless.load(Ordering::SeqCst) {
        ended(path.inode());
    }
}

/// An inode has no names and is not open: it is gone.
fn ended(inode: &Arc<dyn Inode>) {
    let watches = std::mem::take(&mut *inode.common().watches.watches.lock());
    for watch in watches {
        if let Some(instance) = watch.instance.upgrade() {
            if watch.mask.load(Ordering::Relaxed) & IN_DELETE_SELF != 0 {
                instance.event(&watch, IN_DELETE_SELF, None, 0);
            }
            instance.end(&watch);
        }
    }
}

/// Attributes have changed.
pub fn attributes_changed(state: &InotifyState, dentry: &Dentry) {
    if state.is_used() {
        notify_file(dentry, IN_ATTRIB);
    }
}

/// The size was set.
pub fn truncated(state: &InotifyState, dentry: &Dentry) {
    if state.is_used() {
        notify_file(dentry, IN_MODIFY);
    }
}

/// `name` is new in `dir`.
pub fn created(state: &InotifyState, dir: &Arc<dyn Inode>, name: &[u8], inode: &Arc<dyn Inode>) {
    if state.is_used() {
        notify(dir, IN_CREATE | directory_flag(inode), Some(name), 0, false);
    }
}

/// A link to `inode` was made.
pub fn linked(state: &InotifyState, dir: &Arc<dyn Inode>, name: &[u8], inode: &Arc<dyn Inode>) {
    if state.is_used() {
        notify(inode, IN_ATTRIB, None, 0, false);
        notify(dir, IN_CREATE, Some(name), 0, false);
    }
}

/// `inode` lost a name; if it was the last, its watches end with its last use.
fn unlinked(inode: &Arc<dyn Inode>) {
    let set = &inode.common().watches;
    if set.is_empty() {
        return;
    }
    if inode.kind() == FileType::Directory || inode.attr().is_ok_and(|attr| attr.nlink == 0) {
        set.nameless.store(true, Ordering::SeqCst);
        if set.opens.load(Ordering::SeqCst) == 0 {
            ended(inode);
        }
    }
}

/// The link count of `inode` fell.
fn lost_link(inode: &Arc<dyn Inode>) {
    if inode.kind() != FileType::Directory {
        notify(inode, IN_ATTRIB, None, 0, false);
    }
}

/// `name`, which meant `inode`, was removed from `dir`.
pub fn removed(state: &InotifyState, dir: &Arc<dyn Inode>, name: &[u8], inode: &Arc<dyn Inode>) {
    if state.is_used() {
        lost_link(inode);
        notify(dir, IN_DELETE | directory_flag(inode), Some(name), 0, false);
        unlinked(inode);
    }
}

/// `inode` was moved from one name to another, where it replaced `target`.
pub fn moved(
    state: &InotifyState,
    from: (&Arc<dyn Inode>, &[u8]),
    to: (&Arc<dyn Inode>, &[u8]),
    inode: &Arc<dyn Inode>,
    target: Option<&Arc<dyn Inode>>,
) {
    if !state.is_used() {
        return;
    }
    // Zero means "not a move".
    let cookie = state.cookie.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
    let flag = directory_flag(inode);
    notify(from.0, IN_MOVED_FROM | flag, Some(from.1), cookie, false);
    notify(to.0, IN_MOVED_TO | flag, Some(to.1), cookie, false);
    if let Some(target) = target {
        lost_link(target);
    }
    notify(inode, IN_MOVE_SELF, None, 0, false);
    if let Some(target) = target {
        unlinked(target);
    }
}
