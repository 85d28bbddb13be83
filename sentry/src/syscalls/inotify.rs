//! inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2).

use linux_abi::{
    Errno, Result, UserAddr,
    event::{
        IN_ALL_EVENTS, IN_CLOEXEC, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD,
        IN_MASK_CREATE, IN_NONBLOCK, IN_ONESHOT, IN_ONLYDIR, IN_Q_OVERFLOW, IN_UNMOUNT,
    },
    fcntl::AT_FDCWD,
};

use crate::{
    fs::{
        permission::{self, Access},
        types::inotify::Inotify,
        walk::{Lookup, resolve},
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// `ALL_INOTIFY_BITS`.
const KNOWN: u32 = IN_ALL_EVENTS
    | IN_UNMOUNT
    | IN_Q_OVERFLOW
    | IN_IGNORED
    | IN_ONLYDIR
    | IN_DONT_FOLLOW
    | IN_EXCL_UNLINK
    | IN_MASK_ADD
    | IN_MASK_CREATE
    | IN_ISDIR
    | IN_ONESHOT;

/// inotify_init(2).
pub fn inotify_init(cx: &mut ThreadCx) -> Result<i32> {
    inotify_init1(cx, 0)
}

/// inotify_init1(2).
pub fn inotify_init1(cx: &mut ThreadCx, flags: u32) -> Result<i32> {
    if flags & !(IN_CLOEXEC | IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = Inotify::open(&cx.task.kernel.inotify, flags);
    cx.task.install(file, flags & IN_CLOEXEC != 0)
}

/// inotify_add_watch(2).
pub fn inotify_add_watch(cx: &mut ThreadCx, fd: i32, path: UserAddr, mask: u32) -> Result<i32> {
    if mask & KNOWN == 0 || mask & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.task.file(fd)?;
    if mask & IN_MASK_ADD != 0 && mask & IN_MASK_CREATE != 0 {
        return Err(Errno::EINVAL);
    }
    let inotify = file.downcast::<Inotify>().ok_or(Errno::EINVAL)?;
    let path = cx.read_path(path)?;
    let mut lookup = Lookup::empty();
    lookup.set(Lookup::FOLLOW, mask & IN_DONT_FOLLOW == 0);
    lookup.set(Lookup::DIRECTORY, mask & IN_ONLYDIR != 0);
    let place = resolve(&cx.task, AT_FDCWD, &path, lookup)?;
    permission::check_path(&cx.task.creds(), &place, Access::READ)?;
    inotify.add_watch(&place.dentry, mask)
}

/// inotify_rm_watch(2).
pub fn inotify_rm_watch(cx: &mut ThreadCx, fd: i32, wd: i32) -> Result<()> {
    let file = cx.task.file(fd)?;
    file.downcast::<Inotify>().ok_or(Errno::EINVAL)?.remove_watch(wd)
}
