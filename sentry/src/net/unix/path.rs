//! Unix sockets in the file tree: bind(2) makes an inode of type socket, connect(2) finds it.

use std::{
    any::Any,
    sync::{Arc, Weak},
};

use linux_abi::{Errno, Result, fcntl::AT_FDCWD};

use super::UnixSocket;
use crate::{
    fs::{
        dentry::Dentry,
        inode::FileType,
        permission::{self, Access},
        walk::{self, Last, Lookup},
    },
    task::Task,
};

/// Makes the socket inode `name` and ties `socket` to it.
///
/// # Errors
/// `EADDRINUSE` if the name is taken, those of path_resolution(7), `EACCES`, `EROFS`.
pub(super) fn create(task: &Task, name: &[u8], socket: &Weak<UnixSocket>) -> Result<Arc<Dentry>> {
    let parent = walk::parent_of(task, AT_FDCWD, name, Lookup::empty())?;
    let Last::Name(last) = &parent.last else { return Err(Errno::EADDRINUSE) };
    let dir = &parent.dir;
    let _entries = dir.inode().common().write_lock.lock();
    match walk::lookup_child_locked(task, dir, last) {
        Err(Errno::ENOENT) if !parent.trailing_slash => {}
        Ok(_) => return Err(Errno::EADDRINUSE),
        Err(errno) => return Err(errno),
    }
    let creds = task.creds();
    dir.mount.want_write()?;
    permission::may_create(&creds, dir)?;
    let perm = 0o777 & !task.fs().umask();
    let node = permission::new_node(&creds, &dir.inode().attr()?, FileType::Socket, perm, 0, b"");
    let inode = dir.inode().create(last, &node).map_err(|errno| match errno {
        Errno::EEXIST => Errno::EADDRINUSE,
        other => other,
    })?;
    let any: Weak<dyn Any + Send + Sync> = Weak::<UnixSocket>::clone(socket);
    *inode.common().socket.lock() = Some(any);
    let dentry = dir.dentry.adopt(last, inode);
    task.kernel.dentries.keep(Arc::clone(&dentry));
    Ok(dentry)
}

/// The socket bound to the inode `name`, which the caller must be allowed to write.
///
/// # Errors
/// Those of path_resolution(7), `EACCES`; `ECONNREFUSED` if it is no socket or nobody is bound to it.
pub(super) fn find(task: &Task, name: &[u8]) -> Result<Arc<UnixSocket>> {
    let place = walk::resolve(task, AT_FDCWD, name, Lookup::FOLLOW)?;
    permission::check_path(&task.creds(), &place, Access::WRITE)?;
    if place.inode().kind() != FileType::Socket {
        return Err(Errno::ECONNREFUSED);
    }
    let bound = place.inode().common().socket.lock().clone();
    let socket = bound.and_then(|weak| weak.upgrade()).ok_or(Errno::ECONNREFUSED)?;
    socket.downcast().map_err(|_| Errno::ECONNREFUSED)
}

/// The socket at `place` is closed: the inode stays, and refuses connections.
pub(super) fn forget(place: &Dentry, socket: &Weak<UnixSocket>) {
    let mut bound = place.inode().common().socket.lock();
    let is_ours = bound.as_ref().is_some_and(|weak| std::ptr::addr_eq(weak.as_ptr(), socket.as_ptr()));
    if is_ours {
        *bound = None;
    }
}
