//! truncate(2), ftruncate(2), fallocate(2), posix_fadvise(2), readahead(2).

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{
        AT_FDCWD, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE, FALLOC_FL_UNSHARE_RANGE, FALLOC_FL_WRITE_ZEROES, FALLOC_FL_ZERO_RANGE,
    },
};

use super::target::Target;
use crate::{
    fs::{
        file::WriteAccess,
        file_limits,
        inode::FileType,
        inotify_hook, open,
        permission::{self, Access},
        walk::Lookup,
    },
    task::ThreadCx,
};

/// truncate(2).
pub fn truncate(cx: &mut ThreadCx, path: UserAddr, length: i64) -> Result<()> {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let target = Target::at(cx, AT_FDCWD, path, Lookup::FOLLOW)?;
    match target.inode.kind() {
        FileType::Regular => {}
        FileType::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    target.want_write()?;
    permission::check(&cx.task.creds(), &target.inode.attr()?, Access::WRITE)?;
    let _writer = WriteAccess::writer(&target.inode)?;
    resize(cx, &target, length)
}

/// ftruncate(2).
pub fn ftruncate(cx: &mut ThreadCx, fd: i32, length: i64) -> Result<()> {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = cx.task.file(fd)?;
    let regular = file.inode().is_some_and(|inode| inode.kind() == FileType::Regular);
    if !regular || !file.writable() {
        return Err(Errno::EINVAL);
    }
    resize(cx, &Target::of_file(&file)?, length)
}

fn resize(cx: &ThreadCx, target: &Target, length: u64) -> Result<()> {
    if length > target.inode.attr()?.size {
        file_limits::check_size(&cx.task, length).inspect_err(|_| file_limits::too_big(&cx.task))?;
    }
    open::truncate(&cx.task, &target.inode, length)?;
    if let Some(path) = &target.path {
        inotify_hook::truncated(&cx.task.kernel.inotify, &path.dentry);
    }
    Ok(())
}

/// fallocate(2).
pub fn fallocate(cx: &mut ThreadCx, fd: i32, mode: u32, offset: i64, len: i64) -> Result<()> {
    let file = cx.task.file(fd)?;
    let (Ok(start), Some(length)) = (u64::try_from(offset), u64::try_from(len).ok().filter(|&len| len > 0))
    else {
        return Err(Errno::EINVAL);
    };
    let known = FALLOC_FL_KEEP_SIZE
        | FALLOC_FL_PUNCH_HOLE
        | FALLOC_FL_COLLAPSE_RANGE
        | FALLOC_FL_ZERO_RANGE
        | FALLOC_FL_INSERT_RANGE
        | FALLOC_FL_UNSHARE_RANGE
        | FALLOC_FL_WRITE_ZEROES;
    if mode & !known != 0
        || mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE
    {
        return Err(Errno::EOPNOTSUPP);
    }
    // Zeros are written to be there: no mode that only remembers them, or has them beyond the end, goes with that.
    if mode & FALLOC_FL_WRITE_ZEROES != 0 && mode != FALLOC_FL_WRITE_ZEROES {
        return Err(Errno::EOPNOTSUPP);
    }
    if mode & FALLOC_FL_PUNCH_HOLE != 0 && mode & FALLOC_FL_KEEP_SIZE == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    match file.inode().map(|inode| inode.kind()) {
        Some(FileType::Fifo) => return Err(Errno::ESPIPE),
        Some(FileType::Directory) => return Err(Errno::EISDIR),
        Some(FileType::Regular) => {}
        _ => return Err(Errno::ENODEV),
    }
    let end = start.checked_add(length).filter(|&end| i64::try_from(end).is_ok()).ok_or(Errno::EFBIG)?;
    if mode & FALLOC_FL_KEEP_SIZE == 0 {
        file_limits::check_size(&cx.task, end).inspect_err(|_| file_limits::too_big(&cx.task))?;
    }
    if mode == FALLOC_FL_WRITE_ZEROES {
        return Err(Errno::EOPNOTSUPP);
    }
    file.ops().allocate(mode, start, length)
}

/// posix_fadvise(2): checked, and otherwise left to the host's own read-ahead.
pub fn fadvise64(cx: &mut ThreadCx, fd: i32, _offset: i64, len: i64, advice: i32) -> Result<()> {
    const LAST_ADVICE: i32 = 5;
    let file = cx.task.file(fd)?;
    if !file.ops().seekable() && file.inode().is_some_and(|inode| inode.kind() == FileType::Fifo) {
        return Err(Errno::ESPIPE);
    }
    if len < 0 || !(0..=LAST_ADVICE).contains(&advice) { Err(Errno::EINVAL) } else { Ok(()) }
}

/// readahead(2).
pub fn readahead(cx: &mut ThreadCx, fd: i32, _offset: i64, _count: usize) -> Result<()> {
    let file = cx.task.file(fd)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    let regular = file.inode().is_some_and(|inode| inode.kind() == FileType::Regular);
    if regular { Ok(()) } else { Err(Errno::EINVAL) }
}
