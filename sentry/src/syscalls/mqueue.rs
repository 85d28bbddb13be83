//! POSIX message queues: mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2), mq_getsetattr(2).

use std::{sync::Arc, time::Instant};

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{O_ACCMODE, O_CREAT, O_EXCL, O_NONBLOCK, O_PATH, O_TRUNC},
    ipc::MqAttr,
    socket::AF_NETLINK,
    time::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, Sigevent, Timespec},
};

use super::socket::socket_at;
use crate::{
    credentials::Caps,
    error::{RestartKind, SysResult},
    fs::{
        file::File,
        inode::FileType,
        open::open_place,
        path::Path,
        permission::{self, Access},
        types::mqueue::MqFile,
        walk::{NAME_MAX, lookup_child_locked},
    },
    ipc::mqueue::{MQ_PRIO_MAX, Maker, Notify},
    limits::RLIMIT_MSGQUEUE,
    task::{ThreadCx, usermem::UserMemory},
    time::clock::Clock,
    wait::Events,
};

/// Highest signal number.
const NSIG: i32 = 64;

/// A queue's name as `lookup_noperm` takes it: no path. The C library has taken the leading slash off.
fn read_name(cx: &mut ThreadCx, name: UserAddr) -> Result<Vec<u8>> {
    let name = cx.read_path(name)?;
    if name.is_empty() { Err(Errno::ENOENT) } else { Ok(name) }
}

fn check_name(name: &[u8]) -> Result<()> {
    if matches!(name, b"." | b"..") || name.contains(&b'/') {
        return Err(Errno::EACCES);
    }
    if name.len() > NAME_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(()) }
}

fn directory(cx: &ThreadCx) -> Result<Path> {
    cx.task.kernel.mqueue.directory().ok_or(Errno::EACCES)
}

/// mq_open(2).
pub fn mq_open(cx: &mut ThreadCx, name: UserAddr, flags: u32, mode: u32, attr: UserAddr) -> SysResult<i32> {
    let attr: Option<MqAttr> = if attr.is_null() { None } else { Some(cx.read_obj(attr)?) };
    let name = read_name(cx, name)?;
    let limit = cx.task.group.limits.lock().nofile();
    cx.task.files()?.check_room(limit)?;
    check_name(&name)?;
    let place = find_or_make(cx, &name, flags, mode, attr.as_ref())?;
    // A queue has no contents to cut off, and its descriptor is not a place.
    let file = open_place(&cx.task, place, flags & !(O_TRUNC | O_PATH))?;
    // Always closed by execve(2).
    Ok(cx.task.install(file, true)?)
}

fn find_or_make(cx: &ThreadCx, name: &[u8], flags: u32, mode: u32, attr: Option<&MqAttr>) -> Result<Path> {
    let task = &cx.task;
    let dir = directory(cx)?;
    let _entries = dir.inode().common().write_lock.lock();
    let creds = task.creds();
    let found = lookup_child_locked(task, &dir, name);
    let dentry = match found {
        Err(Errno::ENOENT) => {
            if flags & O_CREAT == 0 {
                return Err(Errno::ENOENT);
            }
            permission::may_create(&creds, &dir)?;
            let perm = mode & 0o7777 & !task.fs().umask();
            let node =
                permission::new_node(&creds, &dir.inode().access_attr()?, FileType::Regular, perm, 0, b"");
            let maker = Maker {
                uid: creds.ruid,
                privileged: creds.capable(Caps::SYS_RESOURCE),
                limit: task.group.limits.lock().soft(RLIMIT_MSGQUEUE),
            };
            let inode = task.kernel.mqueue.create(name, &node, maker, attr)?;
            dir.dentry.adopt(name, inode)
        }
        found => {
            let dentry = found?;
            if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL {
                return Err(Errno::EEXIST);
            }
            if flags & O_ACCMODE == O_ACCMODE {
                return Err(Errno::EINVAL);
            }
            permission::check(&creds, &dentry.inode().access_attr()?, Access::of_open(flags & O_ACCMODE))?;
            dentry
        }
    };
    Ok(Path { mount: Arc::clone(&dir.mount), dentry })
}

/// mq_unlink(2).
pub fn mq_unlink(cx: &mut ThreadCx, name: UserAddr) -> Result<()> {
    let name = read_name(cx, name)?;
    check_name(&name)?;
    let dir = directory(cx)?;
    let task = &cx.task;
    let _entries = dir.inode().common().write_lock.lock();
    let dentry = lookup_child_locked(task, &dir, &name)?;
    permission::may_delete(&task.creds(), &dir, &dentry.inode().access_attr()?, false)?;
    dir.inode().unlink(&name, dentry.inode())?;
    dir.dentry.forget(&name, true);
    Ok(())
}

/// The queue at `fd`, open for what `allowed` asks.
fn queue_at(cx: &ThreadCx, fd: i32, allowed: fn(&File) -> bool) -> Result<Arc<File>> {
    let file = cx.task.file(fd)?;
    let is_queue = file.downcast::<MqFile>().is_some();
    if is_queue && allowed(&file) { Ok(file) } else { Err(Errno::EBADF) }
}

fn mq(file: &File) -> Result<&MqFile> {
    file.downcast::<MqFile>().ok_or(Errno::EBADF)
}

/// An absolute time of the wall clock; `None` is never.
fn read_deadline(cx: &mut ThreadCx, at: UserAddr) -> Result<Option<Instant>> {
    if at.is_null() {
        return Ok(None);
    }
    let time: Timespec = cx.read_obj(at)?;
    Ok(Clock::REALTIME.instant_at(time.to_duration().ok_or(Errno::EINVAL)?))
}

/// mq_timedsend(2).
pub fn mq_timedsend(
    cx: &mut ThreadCx,
    fd: i32,
    text: UserAddr,
    len: usize,
    priority: u32,
    timeout: UserAddr,
) -> SysResult<()> {
    let deadline = read_deadline(cx, timeout)?;
    if priority >= MQ_PRIO_MAX {
        return Err(Errno::EINVAL.into());
    }
    let file = queue_at(cx, fd, File::writable)?;
    let (mq, task) = (mq(&file)?, Arc::clone(&cx.task));
    if len > mq.queue().message_size() {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut message = task.kernel.mqueue.registry.load(priority, len)?;
    if len > 0 {
        cx.read_bytes(text, &mut message.text)?;
    }
    let mut message = Some(message);
    let mut attempt = || mq.queue().send(&mut message);
    let notify = if file.nonblocking() {
        attempt()?
    } else {
        task.block_on(&mq.queue().events, Events::OUT, deadline, attempt)
            .map_err(|error| error.or_restart(RestartKind::Sys, Errno::ETIMEDOUT))?
    };
    mq.touch();
    if let Some(notify) = notify {
        notify.send(&task);
    }
    Ok(())
}

/// mq_timedreceive(2).
pub fn mq_timedreceive(
    cx: &mut ThreadCx,
    fd: i32,
    buffer: UserAddr,
    len: usize,
    priority: UserAddr,
    timeout: UserAddr,
) -> SysResult<usize> {
    let deadline = read_deadline(cx, timeout)?;
    let file = queue_at(cx, fd, File::readable)?;
    let (mq, task) = (mq(&file)?, Arc::clone(&cx.task));
    if len < mq.queue().message_size() {
        return Err(Errno::EMSGSIZE.into());
    }
    let message = match mq.queue().receive() {
        Err(Errno::EAGAIN) if !file.nonblocking() => {
            let waiting = mq.queue().await_message();
            let received = task.block_on(&mq.queue().events, Events::IN, deadline, || mq.queue().receive());
            drop(waiting);
            received.map_err(|error| error.or_restart(RestartKind::Sys, Errno::ETIMEDOUT))?
        }
        received => received?,
    };
    mq.touch();
    if !priority.is_null() {
        cx.write_obj(priority, &message.priority)?;
    }
    if !message.text.is_empty() {
        cx.write_bytes(buffer, &message.text)?;
    }
    Ok(message.text.len())
}

/// mq_notify(2).
pub fn mq_notify(cx: &mut ThreadCx, fd: i32, event: UserAddr) -> Result<()> {
    let how = if event.is_null() { None } else { Some(read_notify(cx, event)?) };
    let file = queue_at(cx, fd, |_| true)?;
    let mq = mq(&file)?;
    match how {
        None => {
            if mq.queue().unregister(&cx.task) {
                mq.touch();
            }
        }
        Some(how) => {
            mq.queue().register(&cx.task, how)?;
            mq.touch();
        }
    }
    Ok(())
}

fn read_notify(cx: &mut ThreadCx, event: UserAddr) -> Result<Notify> {
    let event: Sigevent = cx.read_obj(event)?;
    match event.notify {
        SIGEV_NONE => Ok(Notify::None),
        SIGEV_SIGNAL if (0..=NSIG).contains(&event.signo) => {
            Ok(Notify::Signal { signo: event.signo, value: event.value })
        }
        SIGEV_THREAD => {
            let cookie = cx.read_obj(UserAddr(event.value))?;
            let (_, socket) = socket_at(&cx.task, event.signo)?;
            if socket.base().domain != AF_NETLINK {
                return Err(Errno::EINVAL);
            }
            Ok(Notify::Thread { socket, cookie })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// mq_getsetattr(2).
pub fn mq_getsetattr(cx: &mut ThreadCx, fd: i32, new: UserAddr, old: UserAddr) -> Result<()> {
    let new: Option<MqAttr> = if new.is_null() { None } else { Some(cx.read_obj(new)?) };
    let flags = new.map(|new| u32::try_from(new.mq_flags).map_err(|_| Errno::EINVAL)).transpose()?;
    if flags.is_some_and(|flags| flags & !O_NONBLOCK != 0) {
        return Err(Errno::EINVAL);
    }
    let file = queue_at(cx, fd, |_| true)?;
    let mq = mq(&file)?;
    let before = MqAttr { mq_flags: i64::from(file.flags() & O_NONBLOCK), ..mq.queue().attr() };
    if let Some(flags) = flags {
        file.set_flags(file.flags() & !O_NONBLOCK | flags);
        mq.touch();
    }
    if old.is_null() { Ok(()) } else { cx.write_obj(old, &before) }
}
