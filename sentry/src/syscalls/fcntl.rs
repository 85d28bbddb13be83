//! fcntl(2): descriptors, flags, owners, seals, pipes, and record locks.

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{
        DN_MULTISHOT, F_ADD_SEALS, F_CREATED_QUERY, F_DUPFD, F_DUPFD_CLOEXEC, F_DUPFD_QUERY,
        F_GET_FILE_RW_HINT, F_GET_RW_HINT, F_GET_SEALS, F_GETFD, F_GETFL, F_GETLEASE, F_GETLK, F_GETOWN,
        F_GETOWN_EX, F_GETOWNER_UIDS, F_GETPIPE_SZ, F_GETSIG, F_NOTIFY, F_OFD_GETLK, F_OFD_SETLK,
        F_OFD_SETLKW, F_OWNER_PGRP, F_OWNER_PID, F_OWNER_TID, F_RDLCK, F_SET_FILE_RW_HINT, F_SET_RW_HINT,
        F_SETFD, F_SETFL, F_SETLEASE, F_SETLK, F_SETLKW, F_SETOWN, F_SETOWN_EX, F_SETPIPE_SZ, F_SETSIG,
        F_UNLCK, F_WRLCK, FD_CLOEXEC, O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME, O_NONBLOCK, O_PATH, SEEK_CUR,
        SEEK_END, SEEK_SET,
    },
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::memfd;
use crate::{
    credentials::Caps,
    error::{RestartKind, SysError, SysResult},
    fs::{
        fasync,
        file::File,
        inode::FileType,
        locks::{LockState, Owner, RangeLock},
        permission,
        types::pipe::PipeFile,
    },
    signal::NSIG,
    task::{ThreadCx, usermem::UserMemory},
    wait::Events,
};

/// Flags that `F_SETFL` changes.
const CHANGEABLE: u32 = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;

/// fcntl(2).
pub fn fcntl(cx: &mut ThreadCx, fd: i32, command: u32, arg: u64) -> SysResult<u64> {
    let file = cx.task.file_or_path(fd)?;
    let path_allowed = matches!(
        command,
        F_DUPFD | F_DUPFD_CLOEXEC | F_DUPFD_QUERY | F_CREATED_QUERY | F_GETFD | F_SETFD | F_GETFL
    );
    if file.flags() & O_PATH != 0 && !path_allowed {
        return Err(Errno::EBADF.into());
    }
    match command {
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
            return set_lock(cx, &file, command, UserAddr(arg));
        }
        F_GETLK | F_OFD_GETLK => get_lock(cx, &file, command, UserAddr(arg)).map(|()| 0),
        _ => simple(cx, fd, &file, command, arg),
    }
    .map_err(SysError::from)
}

/// A word as the `int` most commands take.
fn int(arg: u64) -> i32 {
    let [a, b, c, d, ..] = arg.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

fn simple(cx: &mut ThreadCx, fd: i32, file: &Arc<File>, command: u32, arg: u64) -> Result<u64> {
    let number = int(arg);
    let table = cx.task.files()?;
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let limit = cx.task.group.limits.lock().nofile();
            if u64::try_from(number).map_or(true, |from| from >= limit) {
                return Err(Errno::EINVAL);
            }
            let new = table.install_from(Arc::clone(file), command == F_DUPFD_CLOEXEC, number, limit)?;
            u64::try_from(new).map_err(|_| Errno::EMFILE)
        }
        F_DUPFD_QUERY => {
            let other = cx.task.file_or_path(number)?;
            Ok(u64::from(Arc::ptr_eq(file, &other)))
        }
        F_CREATED_QUERY => Ok(0),
        F_GETFD => Ok(if table.close_on_exec(fd)? { u64::from(FD_CLOEXEC) } else { 0 }),
        F_SETFD => table.set_close_on_exec(fd, number.cast_unsigned() & FD_CLOEXEC != 0).map(|()| 0),
        F_GETFL => Ok(u64::from(file.flags())),
        F_SETFL => set_flags(cx, fd, file, number.cast_unsigned()).map(|()| 0),
        F_SETOWN | F_GETOWN | F_SETOWN_EX | F_GETOWN_EX | F_SETSIG | F_GETSIG | F_GETOWNER_UIDS => {
            owner(cx, file, command, arg)
        }
        F_GETPIPE_SZ => Ok(u64::from(pipe(file)?.pipe().capacity())),
        F_SETPIPE_SZ => pipe(file)?.pipe().set_capacity(number.cast_unsigned()).map(u64::from),
        F_ADD_SEALS => memfd::add_seals(file, number.cast_unsigned()),
        F_GET_SEALS => memfd::get_seals(file),
        F_GETLEASE => Ok(u64::from(F_UNLCK.cast_unsigned())),
        F_GET_RW_HINT | F_GET_FILE_RW_HINT => cx.write_obj(UserAddr(arg), &0_u64).map(|()| 0),
        F_SET_RW_HINT | F_SET_FILE_RW_HINT => {
            let hint: u64 = cx.read_obj(UserAddr(arg))?;
            if hint > 5 { Err(Errno::EINVAL) } else { Ok(0) }
        }
        F_NOTIFY => {
            // Nobody can have asked; asking is refused as where directories do not tell.
            let is_directory = file.inode().is_some_and(|inode| inode.kind() == FileType::Directory);
            match number.cast_unsigned() & !DN_MULTISHOT {
                0 => Ok(0),
                _ if is_directory => Err(Errno::EINVAL),
                _ => Err(Errno::ENOTDIR),
            }
        }
        F_SETLEASE if file.inode().is_some_and(|inode| inode.kind() == FileType::Regular) => {
            let owner = file.inode().map_or(Ok(0), |inode| inode.attr().map(|attr| attr.uid))?;
            let creds = cx.task.creds();
            if creds.fsuid != owner && !creds.capable(Caps::LEASE) {
                return Err(Errno::EACCES);
            }
            // Nobody gets one, as on filesystems without leases: so there is none to give up.
            Err(if number == i32::from(F_UNLCK) { Errno::EAGAIN } else { Errno::EINVAL })
        }
        _ => Err(Errno::EINVAL),
    }
}

fn pipe(file: &File) -> Result<&PipeFile> {
    file.downcast::<PipeFile>().ok_or(Errno::EBADF)
}

fn set_flags(cx: &ThreadCx, fd: i32, file: &File, flags: u32) -> Result<()> {
    let old = file.flags();
    if flags & O_NOATIME != 0
        && old & O_NOATIME == 0
        && let Some(inode) = file.inode()
        && !permission::is_owner(&cx.task.creds(), &inode.attr()?)
    {
        return Err(Errno::EPERM);
    }
    // Files that cannot tell of readiness never get the flag.
    let changeable = if fasync::is_able(file) { CHANGEABLE } else { CHANGEABLE & !O_ASYNC };
    file.set_flags((old & !changeable) | (flags & changeable));
    fasync::update(&cx.task.kernel, fd, file);
    Ok(())
}

/// Who gets `SIGIO`.
fn owner(cx: &mut ThreadCx, file: &File, command: u32, arg: u64) -> Result<u64> {
    let number = int(arg);
    match command {
        F_SETOWN => {
            let (kind, pid) = if number < 0 {
                (F_OWNER_PGRP, number.checked_neg().ok_or(Errno::EINVAL)?)
            } else {
                (F_OWNER_PID, number)
            };
            set_owner(cx, file, kind, pid)
        }
        // A process group is negative, which the C library must not take for an error.
        F_GETOWN => Ok(i64::from(file.owner.lock().pid).cast_unsigned()),
        F_SETOWN_EX => {
            let [kind, pid]: [i32; 2] = cx.read_obj(UserAddr(arg))?;
            if !matches!(kind, F_OWNER_TID | F_OWNER_PID | F_OWNER_PGRP) || pid < 0 {
                return Err(Errno::EINVAL);
            }
            set_owner(cx, file, kind, pid)
        }
        F_GETOWN_EX => {
            let owner = *file.owner.lock();
            cx.write_obj(UserAddr(arg), &[owner.kind, owner.pid.wrapping_abs()]).map(|()| 0)
        }
        F_SETSIG => {
            if !(0..=NSIG).contains(&number) {
                return Err(Errno::EINVAL);
            }
            file.owner.lock().signal = number;
            Ok(0)
        }
        F_GETSIG => Ok(u64::from(file.owner.lock().signal.cast_unsigned())),
        _ => Err(Errno::EINVAL),
    }
}

/// Zero is nobody.
fn set_owner(cx: &ThreadCx, file: &File, kind: i32, pid: i32) -> Result<u64> {
    let exists = {
        let tree = cx.task.kernel.tasks.lock();
        match kind {
            F_OWNER_PGRP => tree.group_members(pid).next().is_some(),
            F_OWNER_TID => tree.thread(pid).is_some(),
            _ => tree.process(pid).is_some(),
        }
    };
    if pid != 0 && !exists {
        return Err(Errno::ESRCH);
    }
    let mut owner = file.owner.lock();
    (owner.kind, owner.pid) = (kind, if kind == F_OWNER_PGRP { -pid } else { pid });
    drop(owner);
    fasync::owner_changed(&cx.task.kernel, file);
    Ok(0)
}

/// `struct flock`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    pad0: i32,
    start: i64,
    len: i64,
    pid: i32,
    pad1: i32,
}

impl Flock {
    /// The bytes it means (`flock64_to_posix_lock`).
    fn range(&self, file: &File) -> Result<(u64, u64)> {
        let base = match u32::from(self.whence.cast_unsigned()) {
            SEEK_SET => 0,
            SEEK_CUR => i64::try_from(*file.offset.lock()).unwrap_or(i64::MAX),
            SEEK_END => {
                let size = file.inode().map_or(Ok(0), |inode| inode.attr().map(|attr| attr.size))?;
                i64::try_from(size).unwrap_or(i64::MAX)
            }
            _ => return Err(Errno::EINVAL),
        };
        let start = base.checked_add(self.start).ok_or(Errno::EOVERFLOW)?;
        if start < 0 {
            return Err(Errno::EINVAL);
        }
        let (first, last) = match self.len {
            0 => (start, i64::MAX),
            len if len > 0 => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
            len => (start.checked_add(len).filter(|&first| first >= 0).ok_or(Errno::EINVAL)?, start - 1),
        };
        Ok((first.cast_unsigned(), last.cast_unsigned()))
    }
}

fn wanted(cx: &ThreadCx, file: &File, flock: &Flock, ofd: bool) -> Result<RangeLock> {
    if ofd && flock.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let (start, end) = flock.range(file)?;
    let owner = if ofd { Owner::Description(file.id()) } else { cx.task.files()?.lock_owner() };
    let pid = if ofd { -1 } else { cx.task.pid() };
    Ok(RangeLock { owner, exclusive: flock.kind == F_WRLCK, start, end, pid })
}

fn get_lock(cx: &mut ThreadCx, file: &File, command: u32, at: UserAddr) -> Result<()> {
    let mut flock: Flock = cx.read_obj(at)?;
    if !matches!(flock.kind, F_RDLCK | F_WRLCK) {
        return Err(Errno::EINVAL);
    }
    let wanted = wanted(cx, file, &flock, command == F_OFD_GETLK)?;
    match file.inode().and_then(|inode| inode.common().locks.blocker(&wanted)) {
        None => flock.kind = F_UNLCK,
        Some(blocker) => {
            flock.kind = if blocker.exclusive { F_WRLCK } else { F_RDLCK };
            flock.whence = 0;
            flock.start = blocker.start.cast_signed();
            let last = blocker.end.cast_signed();
            flock.len = if last == i64::MAX { 0 } else { last - flock.start + 1 };
            flock.pid = blocker.pid;
        }
    }
    cx.write_obj(at, &flock)
}

fn set_lock(cx: &mut ThreadCx, file: &Arc<File>, command: u32, at: UserAddr) -> SysResult<u64> {
    let flock: Flock = cx.read_obj(at)?;
    let ofd = matches!(command, F_OFD_SETLK | F_OFD_SETLKW);
    let lock = wanted(cx, file, &flock, ofd)?;
    let usable = match flock.kind {
        F_RDLCK => file.readable(),
        F_WRLCK => file.writable(),
        F_UNLCK => true,
        _ => return Err(Errno::EINVAL.into()),
    };
    if !usable {
        return Err(Errno::EBADF.into());
    }
    let Some(inode) = file.inode() else { return Ok(0) };
    let locks = &inode.common().locks;
    if flock.kind == F_UNLCK {
        return locks.unlock_range(lock.owner, lock.start, lock.end).map(|()| 0).map_err(SysError::from);
    }
    if matches!(command, F_SETLK | F_OFD_SETLK) {
        return locks.lock_range(&lock).map(|()| 0).map_err(SysError::from);
    }
    wait_for_lock(cx, locks, &lock, !ofd).map(|()| 0)
}

fn wait_for_lock(cx: &ThreadCx, locks: &LockState, lock: &RangeLock, detect: bool) -> SysResult<()> {
    let task = Arc::clone(&cx.task);
    let waits = &task.kernel.lock_waits;
    let result = task.block_on(locks.changed(), Events::all(), None, || {
        let result = locks.lock_range(lock);
        if result == Err(Errno::EAGAIN)
            && detect
            && let Some(blocker) = locks.blocker(lock)
        {
            waits.wait(lock.owner, blocker.owner)?;
        }
        result
    });
    waits.done(lock.owner);
    result.map_err(|error| error.or_restart(RestartKind::Sys, Errno::EAGAIN))
}
