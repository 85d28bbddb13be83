//! Mounts: which filesystem is attached where (mount_namespaces(7)).
//!
//! A [`Mount`] shows the tree below one dentry of a filesystem. A [`MountNamespace`] is a tree of mounts: it maps a place
//! (mount, dentry) to the mount that covers it. `Dentry::mounts` counts the mounts on a dentry in all namespaces, so that
//! a walk looks into the table only where there is something to find.
//!
//! Lock order: the namespace's table → a mount's `place`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use linux_abi::{Errno, Result, fcntl::MS_RDONLY};
use parking_lot::{Mutex, RwLock};

use super::{dentry::Dentry, inode::FileSystem, path::Path};

/// The most mounts in one namespace (`fs.mount-max`, but smaller: they are the guest's to make).
const MOUNT_MAX: usize = 10_000;

/// One attached filesystem tree.
pub struct Mount {
    /// Its number in /proc/PID/mountinfo.
    pub id: u64,
    /// The filesystem.
    pub fs: Arc<dyn FileSystem>,
    /// What is shown at the mount point.
    pub root: Arc<Dentry>,
    /// The first column of /proc/mounts.
    pub source: Vec<u8>,
    flags: AtomicU64,
    place: Mutex<Place>,
}

/// Where a mount is attached.
#[derive(Default)]
struct Place {
    namespace: Weak<MountNamespace>,
    on: Option<Path>,
}

/// The flags a mount has for itself (`MS_*`); everything else of mount(2) is about the call.
pub const PER_MOUNT_FLAGS: u64 = MS_RDONLY
    | linux_abi::fcntl::MS_NOSUID
    | linux_abi::fcntl::MS_NODEV
    | linux_abi::fcntl::MS_NOEXEC
    | linux_abi::fcntl::MS_NOSYMFOLLOW
    | linux_abi::fcntl::MS_NOATIME
    | linux_abi::fcntl::MS_NODIRATIME
    | linux_abi::fcntl::MS_RELATIME
    | linux_abi::fcntl::MS_STRICTATIME;

impl Mount {
    /// The whole of `fs`, attached nowhere yet. `flags` are `MS_*`.
    pub fn new(fs: Arc<dyn FileSystem>, source: &[u8], flags: u64) -> Arc<Mount> {
        let root = Dentry::root(fs.root());
        Mount::build(fs, root, source, flags)
    }

    /// The tree at `path` once more, for attaching elsewhere (`MS_BIND`).
    pub fn bind(path: &Path) -> Arc<Mount> {
        let (fs, dentry) = (Arc::clone(&path.mount.fs), Arc::clone(&path.dentry));
        Mount::build(fs, dentry, &path.mount.source, path.mount.flags())
    }

    fn build(fs: Arc<dyn FileSystem>, root: Arc<Dentry>, source: &[u8], flags: u64) -> Arc<Mount> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Mount {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            fs,
            root,
            source: source.to_vec(),
            flags: AtomicU64::new(flags & PER_MOUNT_FLAGS),
            place: Mutex::default(),
        })
    }

    /// Its `MS_*` flags.
    pub fn flags(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Replaces its flags (`MS_REMOUNT | MS_BIND`).
    pub fn set_flags(&self, flags: u64) {
        self.flags.store(flags & PER_MOUNT_FLAGS, Ordering::Relaxed);
    }

    /// Whether any of `flags` is set.
    pub fn has(&self, flags: u64) -> bool {
        self.flags() & flags != 0
    }

    /// `EROFS` on a read-only mount (`mnt_want_write`).
    ///
    /// # Errors
    /// `EROFS`.
    pub fn want_write(&self) -> Result<()> {
        if self.has(MS_RDONLY) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// What it is attached to; `None` for the root of a namespace and for detached mounts.
    pub fn mountpoint(&self) -> Option<Path> {
        self.place.lock().on.clone()
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> Option<Arc<MountNamespace>> {
        self.place.lock().namespace.upgrade()
    }

    /// The root directory of this mount as a place.
    pub fn root_path(self: &Arc<Self>) -> Path {
        Path { mount: Arc::clone(self), dentry: Arc::clone(&self.root) }
    }
}

/// A place outside every namespace, for inodes without a name (pipes, memfds) that need a [`Path`] all the same.
pub fn nameless(fs: Arc<dyn FileSystem>, dentry: Arc<Dentry>) -> Path {
    Path { mount: Mount::build(fs, Arc::clone(&dentry), b"none", 0), dentry }
}

/// `path`, or the root of the topmost mount that covers it.
pub fn cross(mut path: Path) -> Path {
    while path.dentry.mounts.load(Ordering::Acquire) > 0 {
        let Some(mount) = path.mount.namespace().and_then(|namespace| namespace.mount_on(&path)) else {
            break;
        };
        path = mount.root_path();
    }
    path
}

/// A mount and the address of a dentry, which the mount on it keeps alive.
type Key = (u64, usize);

fn key(path: &Path) -> Key {
    (path.mount.id, Arc::as_ptr(&path.dentry).addr())
}

/// A tree of mounts.
pub struct MountNamespace {
    table: RwLock<Table>,
}

struct Table {
    /// In the order they were attached; the root first.
    mounts: Vec<Arc<Mount>>,
    covers: HashMap<Key, Arc<Mount>>,
}

impl MountNamespace {
    /// A namespace whose root is `root`.
    pub fn new(root: Arc<Mount>) -> Arc<MountNamespace> {
        let namespace = Arc::new(MountNamespace {
            table: RwLock::new(Table { mounts: vec![Arc::clone(&root)], covers: HashMap::new() }),
        });
        root.place.lock().namespace = Arc::downgrade(&namespace);
        namespace
    }

    /// The root directory.
    pub fn root(&self) -> Option<Path> {
        self.table.read().mounts.first().map(Mount::root_path)
    }

    /// All mounts, in the order they were attached.
    pub fn list(&self) -> Vec<Arc<Mount>> {
        self.table.read().mounts.clone()
    }

    /// The mount that covers exactly `path`.
    pub fn mount_on(&self, path: &Path) -> Option<Arc<Mount>> {
        self.table.read().covers.get(&key(path)).cloned()
    }

    /// Attaches `mount` at `on` (covered places are crossed first, so the newest mount wins).
    ///
    /// # Errors
    /// `EINVAL` if `on` is not in this namespace, `ENOENT` if it was removed, `ENOSPC` for too many mounts.
    pub fn attach(self: &Arc<Self>, on: &Path, mount: &Arc<Mount>) -> Result<()> {
        let mut table = self.table.write();
        let mut on = on.clone();
        while let Some(above) = table.covers.get(&key(&on)) {
            on = above.root_path();
        }
        if !table.mounts.iter().any(|known| Arc::ptr_eq(known, &on.mount)) {
            return Err(Errno::EINVAL);
        }
        if on.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        if table.mounts.len() >= MOUNT_MAX {
            return Err(Errno::ENOSPC);
        }
        table.attach(self, on, mount);
        Ok(())
    }

    /// Whether another mount is attached to a place in `mount`.
    pub fn has_children(&self, mount: &Arc<Mount>) -> bool {
        self.table.read().children(mount).next().is_some()
    }

    /// Removes `mount` and everything attached below it. Returns what was removed, for the caller to drop.
    ///
    /// # Errors
    /// `EINVAL` if it is not in this namespace or its root; `EBUSY` if `only_idle` and something is attached below or
    /// more than `known_references` others hold it.
    pub fn detach(&self, mount: &Arc<Mount>, only_idle: Option<usize>) -> Result<Vec<Arc<Mount>>> {
        let mut table = self.table.write();
        if !table.mounts.iter().skip(1).any(|known| Arc::ptr_eq(known, mount)) {
            return Err(Errno::EINVAL);
        }
        if let Some(known_references) = only_idle {
            // Two references are this table's.
            let busy = Arc::strong_count(mount) > known_references.saturating_add(2);
            if busy || table.children(mount).next().is_some() {
                return Err(Errno::EBUSY);
            }
        }
        let tree = table.subtree(mount);
        for member in &tree {
            table.remove(member);
        }
        Ok(tree)
    }

    /// Moves `mount` to `on` (`MS_MOVE`).
    ///
    /// # Errors
    /// `EINVAL` for mounts of other namespaces and for the root; `ELOOP` if `on` lies in the moved tree.
    pub fn relocate(self: &Arc<Self>, mount: &Arc<Mount>, on: &Path) -> Result<()> {
        let mut table = self.table.write();
        let known = |table: &Table, wanted: &Arc<Mount>| table.mounts.iter().any(|m| Arc::ptr_eq(m, wanted));
        if !known(&table, mount) || !known(&table, &on.mount) || mount.mountpoint().is_none() {
            return Err(Errno::EINVAL);
        }
        if table.subtree(mount).iter().any(|member| Arc::ptr_eq(member, &on.mount)) {
            return Err(Errno::ELOOP);
        }
        table.remove(mount);
        table.attach(self, on.clone(), mount);
        Ok(())
    }

    /// Copies of the mounts below `from` that are attached to places below `root`, attached to the copy `to`
    /// (`MS_BIND | MS_REC`).
    ///
    /// # Errors
    /// As [`MountNamespace::attach`].
    pub fn bind_children(self: &Arc<Self>, from: &Path, to: &Arc<Mount>) -> Result<()> {
        let mut pending = vec![(Arc::clone(&from.mount), Arc::clone(to))];
        while let Some((original, copy)) = pending.pop() {
            let children: Vec<_> = self.table.read().children(&original).cloned().collect();
            for child in children {
                let Some(on) = child.mountpoint() else { continue };
                if Arc::ptr_eq(&child, to) || !on.dentry.is_below(&copy.root) {
                    continue;
                }
                let twin = Mount::bind(&child.root_path());
                self.attach(&Path { mount: Arc::clone(&copy), dentry: on.dentry }, &twin)?;
                pending.push((child, twin));
            }
        }
        Ok(())
    }

    /// A copy of the whole namespace (`CLONE_NEWNS`), and where each of `places` is in it.
    pub fn duplicate(&self, places: &mut [&mut Path]) -> Arc<MountNamespace> {
        let originals = self.list();
        let copies: HashMap<u64, Arc<Mount>> =
            originals.iter().map(|mount| (mount.id, Mount::bind(&mount.root_path()))).collect();
        let namespace = Arc::new(MountNamespace {
            table: RwLock::new(Table { mounts: Vec::new(), covers: HashMap::new() }),
        });
        let mut table = namespace.table.write();
        for original in &originals {
            let Some(copy) = copies.get(&original.id) else { continue };
            let on = original.mountpoint().and_then(|on| Some((copies.get(&on.mount.id)?, on.dentry)));
            match on {
                Some((parent, dentry)) => {
                    table.attach(&namespace, Path { mount: Arc::clone(parent), dentry }, copy);
                }
                None => {
                    copy.place.lock().namespace = Arc::downgrade(&namespace);
                    table.mounts.push(Arc::clone(copy));
                }
            }
        }
        drop(table);
        for place in places {
            if let Some(copy) = copies.get(&place.mount.id) {
                place.mount = Arc::clone(copy);
            }
        }
        namespace
    }

    /// Makes `new_root` the root mount and attaches the old one at `put_old` (pivot_root(2)); the caller checked both.
    ///
    /// # Errors
    /// `EINVAL` if they are not as pivot_root(2) wants them.
    pub fn pivot(self: &Arc<Self>, new_root: &Arc<Mount>, put_old: &Path) -> Result<()> {
        let mut table = self.table.write();
        let old_root = table.mounts.first().cloned().ok_or(Errno::EINVAL)?;
        if Arc::ptr_eq(&old_root, new_root) {
            return Err(Errno::EBUSY);
        }
        if !table.mounts.iter().any(|known| Arc::ptr_eq(known, new_root)) {
            return Err(Errno::EINVAL);
        }
        table.remove(new_root);
        new_root.place.lock().namespace = Arc::downgrade(self);
        table.mounts.retain(|mount| !Arc::ptr_eq(mount, &old_root));
        table.mounts.insert(0, Arc::clone(new_root));
        table.attach(self, put_old.clone(), &old_root);
        Ok(())
    }
}

impl Table {
    fn attach(&mut self, namespace: &Arc<MountNamespace>, on: Path, mount: &Arc<Mount>) {
        on.dentry.mounts.fetch_add(1, Ordering::Release);
        self.covers.insert(key(&on), Arc::clone(mount));
        self.mounts.push(Arc::clone(mount));
        *mount.place.lock() = Place { namespace: Arc::downgrade(namespace), on: Some(on) };
    }

    fn remove(&mut self, mount: &Arc<Mount>) {
        let place = std::mem::take(&mut *mount.place.lock());
        if let Some(on) = place.on {
            self.covers.remove(&key(&on));
            on.dentry.mounts.fetch_sub(1, Ordering::Release);
        }
        self.mounts.retain(|known| !Arc::ptr_eq(known, mount));
    }

    fn children<'a>(&'a self, mount: &'a Arc<Mount>) -> impl Iterator<Item = &'a Arc<Mount>> {
        self.mounts.iter().filter(|child| child.mountpoint().is_some_and(|on| Arc::ptr_eq(&on.mount, mount)))
    }

    /// `top` and every mount attached below it, parents first.
    fn subtree(&self, top: &Arc<Mount>) -> Vec<Arc<Mount>> {
        let mut found = vec![Arc::clone(top)];
        let mut at = 0;
        while let Some(mount) = found.get(at).cloned() {
            found.extend(self.children(&mount).cloned());
            at += 1;
        }
        found
    }
}

impl Drop for MountNamespace {
    /// Lets go of the mount points one by one: a chain of mounts on mounts must not be dropped by recursion.
    fn drop(&mut self) {
        let table = self.table.get_mut();
        table.covers.clear();
        for mount in table.mounts.iter().rev() {
            if let Some(on) = std::mem::take(&mut *mount.place.lock()).on {
                on.dentry.mounts.fetch_sub(1, Ordering::Release);
            }
        }
    }
}
