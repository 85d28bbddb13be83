//! mount(2), umount(2), pivot_root(2).

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{
        AT_FDCWD, MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MOVE, MS_PRIVATE, MS_REC, MS_REMOUNT,
        MS_SHARED, MS_SILENT, MS_SLAVE, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
    },
};

use crate::{
    credentials::Caps,
    fs::{
        inode::FileType,
        mount::{self, Mount, MountNamespace},
        path::Path,
        registry,
        types::tmpfs::TmpFs,
        walk::{Lookup, resolve},
    },
    task::{Task, ThreadCx, usermem::UserMemory},
};

/// `MS_MGC_VAL`, which very old programs put into the upper half of the flags.
const MAGIC: u64 = 0xc0ed_0000;
const PROPAGATION: u64 = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
/// Longest type name and option string.
const PAGE: usize = 4096;

/// mount(2).
pub fn mount(
    cx: &mut ThreadCx,
    source: UserAddr,
    target: UserAddr,
    kind: UserAddr,
    flags: u64,
    data: UserAddr,
) -> Result<()> {
    let kind = optional(cx, kind)?;
    let source = optional(cx, source)?;
    let target = cx.read_path(target)?;
    let data = if data.is_null() { Vec::new() } else { read_options(cx, data)? };
    let task = &cx.task;
    let place = resolve(task, AT_FDCWD, &target, Lookup::FOLLOW)?;
    admin(task)?;
    let flags = if flags & 0xffff_0000 == MAGIC { flags & 0xffff } else { flags };
    let source = source.unwrap_or_default();
    if flags & MS_REMOUNT != 0 {
        return remount(task, &place, flags, &data);
    }
    let namespace = namespace_of(task)?;
    if flags & MS_BIND != 0 {
        return bind(task, &namespace, &source, &place, flags);
    }
    if flags & PROPAGATION != 0 {
        // There is one namespace per container and nothing to propagate to.
        let alone =
            (flags & PROPAGATION).is_power_of_two() && flags & !(PROPAGATION | MS_REC | MS_SILENT) == 0;
        return if alone && is_mount_root(&place) { Ok(()) } else { Err(Errno::EINVAL) };
    }
    if flags & MS_MOVE != 0 {
        let from = resolve(task, AT_FDCWD, &source, Lookup::FOLLOW)?;
        return if is_mount_root(&from) {
            namespace.relocate(&from.mount, &place)
        } else {
            Err(Errno::EINVAL)
        };
    }
    let kind = kind.ok_or(Errno::EINVAL)?;
    let fs = task.kernel.filesystems.get(&kind)?.mount(task, &source, &data)?;
    let new = Mount::new(fs, if source.is_empty() { b"none" } else { &source }, flags);
    attach(&namespace, &place, &new)
}

fn attach(namespace: &Arc<MountNamespace>, place: &Path, new: &Arc<Mount>) -> Result<()> {
    let directory = |path: &Path| path.inode().kind() == FileType::Directory;
    if directory(place) != directory(&new.root_path()) {
        return Err(Errno::ENOTDIR);
    }
    namespace.attach(place, new)
}

fn optional(cx: &mut ThreadCx, at: UserAddr) -> Result<Option<Vec<u8>>> {
    if at.is_null() { Ok(None) } else { cx.read_path(at).map(Some) }
}

/// The options: up to a page, of which what follows may be missing.
fn read_options(cx: &mut ThreadCx, at: UserAddr) -> Result<Vec<u8>> {
    let mut page = vec![0; PAGE];
    let got = cx.read_partial(at, &mut page);
    if got == 0 {
        return Err(Errno::EFAULT);
    }
    page.truncate(got);
    let end = page.iter().position(|&byte| byte == 0).unwrap_or(page.len());
    page.truncate(end);
    Ok(page)
}

fn admin(task: &Task) -> Result<()> {
    if task.capable(Caps::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}

fn namespace_of(task: &Task) -> Result<Arc<MountNamespace>> {
    task.fs().root().mount.namespace().ok_or(Errno::EINVAL)
}

fn is_mount_root(path: &Path) -> bool {
    Arc::ptr_eq(&path.dentry, &path.mount.root)
}

fn remount(task: &Task, place: &Path, flags: u64, data: &[u8]) -> Result<()> {
    if !is_mount_root(place) {
        return Err(Errno::EINVAL);
    }
    if flags & MS_BIND == 0
        && !data.is_empty()
        && let Some(tmpfs) = tmpfs_of(place)
    {
        let asked = registry::tmpfs_options(task, data)?;
        if data.windows(5).any(|option| option == b"size=") {
            tmpfs.set_size(asked.size)?;
        }
    }
    place.mount.set_flags(flags);
    Ok(())
}

fn tmpfs_of(place: &Path) -> Option<Arc<TmpFs>> {
    let root = place.mount.fs.root().downcast::<crate::fs::types::tmpfs::TmpInode>()?;
    Some(root.tmpfs())
}

fn bind(task: &Task, namespace: &Arc<MountNamespace>, source: &[u8], place: &Path, flags: u64) -> Result<()> {
    let from = resolve(task, AT_FDCWD, source, Lookup::FOLLOW)?;
    let new = Mount::bind(&from);
    attach(namespace, place, &new)?;
    if flags & MS_REC != 0 {
        namespace.bind_children(&from, &new)?;
    }
    Ok(())
}

/// umount2(2).
pub fn umount2(cx: &mut ThreadCx, target: UserAddr, flags: u32) -> Result<()> {
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = cx.read_path(target)?;
    let lookup = if flags & UMOUNT_NOFOLLOW != 0 { Lookup::empty() } else { Lookup::FOLLOW };
    let task = &cx.task;
    let place = mount::cross(resolve(task, AT_FDCWD, &path, lookup)?);
    if !is_mount_root(&place) {
        return Err(Errno::EINVAL);
    }
    admin(task)?;
    if flags & MNT_EXPIRE != 0 {
        // Needs two calls on Linux; the first one always fails so.
        return Err(if flags & (MNT_FORCE | MNT_DETACH) != 0 { Errno::EINVAL } else { Errno::EAGAIN });
    }
    let mount = Arc::clone(&place.mount);
    drop(place);
    // The one reference that is known is the local one.
    let only_idle = if flags & MNT_DETACH != 0 { None } else { Some(1) };
    let gone = namespace_of(task)?.detach(&mount, only_idle)?;
    drop(mount);
    for mount in gone {
        let dev = mount.fs.dev();
        task.kernel.dentries.discard_if(|dentry| dentry.inode().filesystem().dev() == dev);
    }
    Ok(())
}

/// pivot_root(2).
pub fn pivot_root(cx: &mut ThreadCx, new_root: UserAddr, put_old: UserAddr) -> Result<()> {
    admin(&cx.task)?;
    let new_path = cx.read_path(new_root)?;
    let old_path = cx.read_path(put_old)?;
    let task = &cx.task;
    let directory = Lookup::FOLLOW | Lookup::DIRECTORY;
    let new = resolve(task, AT_FDCWD, &new_path, directory)?;
    let old = resolve(task, AT_FDCWD, &old_path, directory)?;
    let root = task.fs().root();
    let namespace = namespace_of(task)?;
    if !is_mount_root(&new) || !is_mount_root(&root) || namespace.root().is_none_or(|top| !top.same(&root)) {
        return Err(Errno::EINVAL);
    }
    if Arc::ptr_eq(&new.mount, &root.mount) || Arc::ptr_eq(&old.mount, &root.mount) {
        return Err(Errno::EBUSY);
    }
    if !is_reachable(&old, &new) {
        return Err(Errno::EINVAL);
    }
    namespace.pivot(&new.mount, &old)?;
    let threads: Vec<Arc<Task>> = task.kernel.tasks.lock().threads().cloned().collect();
    for thread in threads {
        let fs = thread.fs();
        if fs.root().same(&root) {
            fs.set_root(new.clone());
        }
        if fs.cwd().same(&root) {
            fs.set_cwd(new.clone());
        }
    }
    Ok(())
}

/// Whether `place` is `top` or below it, across mounts.
fn is_reachable(place: &Path, top: &Path) -> bool {
    let mut at = place.clone();
    loop {
        if Arc::ptr_eq(&at.mount, &top.mount) {
            return at.dentry.is_below(&top.dentry);
        }
        let Some(on) = at.mount.mountpoint() else { return false };
        at = on;
    }
}
