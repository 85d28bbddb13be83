//! Making, removing and renaming names (`fs/namei.c`). What mkdir(2), mknod(2), symlink(2), link(2), unlink(2), rmdir(2),
//! rename(2) and bind(2) of unix sockets have in common.
//!
//! Lock order: the kernel's `rename_lock`, then the `write_lock` of directories in the order of their addresses.

use std::sync::{Arc, atomic::Ordering};

use linux_abi::{
    Errno, Result,
    fcntl::{RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT},
};

use super::{
    dentry::Dentry,
    inode::{FileType, Inode, same_inode},
    inotify_hook,
    path::Path,
    permission::{self, Access},
    walk::{Last, Lookup, NAME_MAX, Parent, lookup_child_locked, parent_of},
};
use crate::{
    credentials::{Caps, Credentials},
    task::Task,
};

/// A node to be made: kind and permission bits (umask not yet applied), and what its kind needs.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub kind: FileType,
    pub perm: u32,
    pub rdev: u64,
    pub target: &'a [u8],
}

impl Node<'_> {
    /// A node that is neither a device nor a symbolic link.
    pub fn plain(kind: FileType, perm: u32) -> Node<'static> {
        Node { kind, perm, rdev: 0, target: b"" }
    }
}

/// Makes `node` at `path`.
///
/// # Errors
/// Those of mknod(2), mkdir(2) and symlink(2).
pub fn make(task: &Task, dirfd: i32, path: &[u8], node: &Node<'_>) -> Result<Path> {
    let Parent { dir, last, trailing_slash } = parent_of(task, dirfd, path, Lookup::empty())?;
    let Last::Name(name) = last else { return Err(Errno::EEXIST) };
    let _entries = dir.inode().common().write_lock.lock();
    let creds = task.creds();
    let device = matches!(node.kind, FileType::CharDevice | FileType::BlockDevice);
    let whiteout = node.kind == FileType::CharDevice && node.rdev == 0;
    let bad_slash = trailing_slash && node.kind != FileType::Directory;
    if device || bad_slash || !refuses_itself(&creds, &dir, &name) {
        expect_free(task, &dir, &name, bad_slash)?;
    }
    dir.mount.want_write()?;
    permission::may_create(&creds, &dir)?;
    if device && !whiteout && !creds.capable(Caps::MKNOD) {
        return Err(Errno::EPERM);
    }
    let perm = if node.kind == FileType::Symlink { 0o777 } else { node.perm & !task.fs().umask() };
    let new =
        permission::new_node(&creds, &dir.inode().access_attr()?, node.kind, perm, node.rdev, node.target);
    let inode = dir.inode().create(&name, &new)?;
    let place = adopt(task, &dir, &name, inode);
    inotify_hook::created(&task.kernel.inotify, dir.inode(), &name, place.inode());
    Ok(place)
}

/// Puts a new entry into the tree of dentries.
fn adopt(task: &Task, dir: &Path, name: &[u8], inode: Arc<dyn Inode>) -> Path {
    let dentry = dir.dentry.adopt(name, inode);
    if dir.inode().cacheable() {
        task.kernel.dentries.keep(Arc::clone(&dentry));
    }
    Path { mount: Arc::clone(&dir.mount), dentry }
}

/// Fails unless nothing has this name (`filename_create`).
fn expect_free(task: &Task, dir: &Path, name: &[u8], bad_slash: bool) -> Result<()> {
    match lookup_child_locked(task, dir, name) {
        Ok(_) => Err(Errno::EEXIST),
        Err(Errno::ENOENT) if !bad_slash => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether the filesystem may be asked to make `name` in `dir` at once: nothing but `EEXIST` can be wrong, which it says itself, and
/// to look first would take long.
pub(super) fn refuses_itself(creds: &Credentials, dir: &Path, name: &[u8]) -> bool {
    dir.inode().is_remote()
        && dir.dentry.child(name).is_none()
        && name.len() <= NAME_MAX
        && dir.mount.want_write().is_ok()
        && permission::may_create(creds, dir).is_ok()
}

/// Gives the file at `old` another name.
///
/// # Errors
/// Those of link(2).
pub fn link(task: &Task, old: &Path, dirfd: i32, path: &[u8]) -> Result<()> {
    let Parent { dir, last, trailing_slash } = parent_of(task, dirfd, path, Lookup::empty())?;
    let Last::Name(name) = last else { return Err(Errno::EEXIST) };
    let _entries = dir.inode().common().write_lock.lock();
    let creds = task.creds();
    let bad_target = !Arc::ptr_eq(&old.mount, &dir.mount) || old.inode().kind() == FileType::Directory;
    if trailing_slash || bad_target || !refuses_itself(&creds, &dir, &name) {
        expect_free(task, &dir, &name, trailing_slash)?;
    }
    dir.mount.want_write()?;
    if !Arc::ptr_eq(&old.mount, &dir.mount) {
        return Err(Errno::EXDEV);
    }
    permission::may_create(&creds, &dir)?;
    if old.inode().kind() == FileType::Directory {
        return Err(Errno::EPERM);
    }
    dir.inode().link(&name, old.inode())?;
    adopt(task, &dir, &name, Arc::clone(old.inode()));
    inotify_hook::linked(&task.kernel.inotify, dir.inode(), &name, old.inode());
    Ok(())
}

/// Removes the name `path` of something that is not a directory.
///
/// # Errors
/// Those of unlink(2).
pub fn unlink(task: &Task, dirfd: i32, path: &[u8]) -> Result<()> {
    let Parent { dir, last, trailing_slash } = parent_of(task, dirfd, path, Lookup::empty())?;
    let Last::Name(name) = last else { return Err(Errno::EISDIR) };
    dir.mount.want_write()?;
    let victim = {
        let _entries = dir.inode().common().write_lock.lock();
        let victim = lookup_child_locked(task, &dir, &name)?;
        let kind = victim.inode().kind();
        if trailing_slash {
            return Err(if kind == FileType::Directory { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        permission::may_delete(&task.creds(), &dir, &victim.inode().access_attr()?, false)?;
        not_mounted(&victim)?;
        dir.inode().unlink(&name, victim.inode())?;
        dir.dentry.forget(&name, true);
        victim
    };
    inotify_hook::removed(&task.kernel.inotify, dir.inode(), &name, victim.inode());
    task.kernel.dentries.discard(&victim);
    Ok(())
}

/// Removes the empty directory `path`.
///
/// # Errors
/// Those of rmdir(2).
pub fn rmdir(task: &Task, dirfd: i32, path: &[u8]) -> Result<()> {
    let Parent { dir, last, .. } = parent_of(task, dirfd, path, Lookup::empty())?;
    let name = match last {
        Last::Name(name) => name,
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Dot => return Err(Errno::EINVAL),
        Last::Root => return Err(Errno::EBUSY),
    };
    dir.mount.want_write()?;
    let victim = {
        let _entries = dir.inode().common().write_lock.lock();
        let victim = lookup_child_locked(task, &dir, &name)?;
        permission::may_delete(&task.creds(), &dir, &victim.inode().access_attr()?, true)?;
        not_mounted(&victim)?;
        // Nothing can be made in it while its own entries are locked; from then on it is marked as deleted.
        let inside = victim.inode().common().write_lock.lock();
        dir.inode().rmdir(&name, victim.inode())?;
        dir.dentry.forget(&name, true);
        drop(inside);
        victim
    };
    inotify_hook::removed(&task.kernel.inotify, dir.inode(), &name, victim.inode());
    task.kernel.dentries.discard(&victim);
    Ok(())
}

fn not_mounted(dentry: &Dentry) -> Result<()> {
    if dentry.mounts.load(Ordering::Acquire) > 0 { Err(Errno::EBUSY) } else { Ok(()) }
}

/// Moves a name.
///
/// # Errors
/// Those of renameat2(2).
pub fn rename(
    task: &Task,
    (old_fd, old_path): (i32, &[u8]),
    (new_fd, new_path): (i32, &[u8]),
    flags: u32,
) -> Result<()> {
    let exclusive = flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) != 0 && flags & RENAME_EXCHANGE != 0;
    if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) != 0 || exclusive {
        return Err(Errno::EINVAL);
    }
    let from = parent_of(task, old_fd, old_path, Lookup::empty())?;
    let to = parent_of(task, new_fd, new_path, Lookup::empty())?;
    if !Arc::ptr_eq(&from.dir.mount, &to.dir.mount) {
        return Err(Errno::EXDEV);
    }
    let Last::Name(old_name) = &from.last else { return Err(Errno::EBUSY) };
    let Last::Name(new_name) = &to.last else {
        return Err(if flags & RENAME_NOREPLACE != 0 { Errno::EEXIST } else { Errno::EBUSY });
    };
    from.dir.mount.want_write()?;
    if flags & RENAME_WHITEOUT != 0 && !task.creds().capable(Caps::MKNOD) {
        return Err(Errno::EPERM);
    }
    let replaced = {
        let _renames = task.kernel.rename_lock.lock();
        let (first, second) = in_order(from.dir.inode(), to.dir.inode());
        let _first = first.common().write_lock.lock();
        let _second = second.map(|inode| inode.common().write_lock.lock());
        rename_locked(task, &from, old_name, &to, new_name, flags)?
    };
    if let Some(replaced) = replaced {
        task.kernel.dentries.discard(&replaced);
    }
    Ok(())
}

/// Two directories in the order their locks are taken; the second only if it is another.
fn in_order<'a>(
    a: &'a Arc<dyn Inode>,
    b: &'a Arc<dyn Inode>,
) -> (&'a Arc<dyn Inode>, Option<&'a Arc<dyn Inode>>) {
    let address = |inode: &Arc<dyn Inode>| Arc::as_ptr(inode).cast::<()>().addr();
    match address(a).cmp(&address(b)) {
        std::cmp::Ordering::Less => (a, Some(b)),
        std::cmp::Ordering::Equal => (a, None),
        std::cmp::Ordering::Greater => (b, Some(a)),
    }
}

/// The rest of [`rename`], with everything locked. Returns what lost its name.
fn rename_locked(
    task: &Task,
    from: &Parent,
    old_name: &[u8],
    to: &Parent,
    new_name: &[u8],
    flags: u32,
) -> Result<Option<Arc<Dentry>>> {
    let exchange = flags & RENAME_EXCHANGE != 0;
    let moved = lookup_child_locked(task, &from.dir, old_name)?;
    let target = match lookup_child_locked(task, &to.dir, new_name) {
        Ok(_) if flags & RENAME_NOREPLACE != 0 => return Err(Errno::EEXIST),
        Ok(target) => Some(target),
        Err(Errno::ENOENT) if !exchange => None,
        Err(errno) => return Err(errno),
    };
    let is_dir = |dentry: &Dentry| dentry.inode().kind() == FileType::Directory;
    let moved_dir = is_dir(&moved);
    let target_dir = target.as_deref().is_some_and(is_dir);
    if exchange && !target_dir && to.trailing_slash {
        return Err(Errno::ENOTDIR);
    }
    if !moved_dir && (from.trailing_slash || (!exchange && to.trailing_slash)) {
        return Err(Errno::ENOTDIR);
    }
    if moved_dir && to.dir.dentry.is_below(&moved) {
        return Err(Errno::EINVAL);
    }
    if let Some(target) = target.as_ref().filter(|_| target_dir)
        && from.dir.dentry.is_below(target)
    {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    if let Some(target) = &target
        && same_inode(moved.inode(), target.inode())
    {
        return Ok(None);
    }
    let creds = task.creds();
    permission::may_delete(&creds, &from.dir, &moved.inode().access_attr()?, moved_dir)?;
    match &target {
        None => permission::may_create(&creds, &to.dir)?,
        Some(target) => {
            let as_directory = if exchange { target_dir } else { moved_dir };
            permission::may_delete(&creds, &to.dir, &target.inode().access_attr()?, as_directory)?;
        }
    }
    // Its `..` changes, which is a write to it.
    let other_parent = !same_inode(from.dir.inode(), to.dir.inode());
    if other_parent && moved_dir {
        permission::check(&creds, &moved.inode().access_attr()?, Access::WRITE)?;
    }
    if let Some(target) = target.as_ref().filter(|_| other_parent && exchange && target_dir) {
        permission::check(&creds, &target.inode().access_attr()?, Access::WRITE)?;
    }
    not_mounted(&moved)?;
    target.as_deref().map_or(Ok(()), not_mounted)?;
    // Nothing may be made in a directory that is being replaced.
    let inside = target.as_ref().filter(|_| target_dir && !exchange);
    let locked = inside.map(|target| target.inode().common().write_lock.lock());
    from.dir.inode().rename(old_name, to.dir.inode(), new_name, flags)?;
    drop(locked);
    let state = &task.kernel.inotify;
    let (from_dir, to_dir) = (from.dir.inode(), to.dir.inode());
    if exchange {
        if let Some(target) = &target {
            moved.exchange(target);
            inotify_hook::moved(state, (from_dir, old_name), (to_dir, new_name), moved.inode(), None);
            inotify_hook::moved(state, (to_dir, new_name), (from_dir, old_name), target.inode(), None);
        }
        return Ok(None);
    }
    moved.relocate(&to.dir.dentry, new_name);
    let replaced = target.as_ref().map(|target| target.inode());
    inotify_hook::moved(state, (from_dir, old_name), (to_dir, new_name), moved.inode(), replaced);
    Ok(target)
}
