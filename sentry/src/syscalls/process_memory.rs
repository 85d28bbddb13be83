//! The memory of other processes, named by a descriptor: process_madvise(2), process_mrelease(2). And pkey_alloc(2), pkey_free(2).

use std::sync::Arc;

use linux_abi::{Errno, PAGE_SIZE, PageRange, Result, UserAddr};

use super::memory::check_access;
use crate::{
    credentials::Caps,
    error::SysResult,
    fs::types::pidfd::PidFd,
    task::{Task, ThreadCx, ThreadGroup, usermem::UserMemory},
};

use linux_abi::mman::{MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT, MADV_WILLNEED};

fn process(cx: &ThreadCx, pidfd: i32) -> Result<(Arc<ThreadGroup>, Arc<Task>)> {
    let file = cx.task.file(pidfd)?;
    let group = file.downcast::<PidFd>().ok_or(Errno::EBADF)?.group()?;
    let task = cx.task.kernel.tasks.lock().threads_of(group.pid).into_iter().next().ok_or(Errno::ESRCH)?;
    Ok((group, task))
}

/// process_madvise(2): gives the bytes that the advice was taken for.
pub fn process_madvise(
    cx: &mut ThreadCx,
    pidfd: i32,
    iov: UserAddr,
    count: usize,
    advice: i32,
    flags: u32,
) -> SysResult<usize> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let segments = cx.read_iovec(iov, count)?;
    let (_, target) = process(cx, pidfd)?;
    check_access(&cx.task, &target)?;
    let (mm, own) = (target.mm().map_err(|_| Errno::ESRCH)?, cx.task.mm()?);
    let remote = mm.id() != own.id();
    if remote && !matches!(advice, MADV_COLD | MADV_PAGEOUT | MADV_WILLNEED | MADV_COLLAPSE) {
        return Err(Errno::EINVAL.into());
    }
    if remote && !cx.task.capable(Caps::SYS_NICE) {
        return Err(Errno::EPERM.into());
    }
    let mut total = 0;
    for segment in segments {
        let done = if remote {
            // Advice about pages is the host's to take; it is checked.
            let pages = PageRange::covering(segment.addr.0, segment.len as u64);
            let mapped = segment.addr.0.is_multiple_of(PAGE_SIZE) && pages.is_some();
            match pages.filter(|_| mapped) {
                None => Err(Errno::EINVAL),
                Some(pages) if mm.is_mapped(pages) => Ok(()),
                Some(_) => Err(Errno::ENOMEM),
            }
        } else {
            own.madvise(&mut *cx.context, segment.addr.0, segment.len as u64, advice)
        };
        match done {
            Ok(()) => total += segment.len,
            Err(errno) if total == 0 => return Err(errno.into()),
            Err(_) => break,
        }
    }
    Ok(total)
}

/// process_mrelease(2): a process that is being killed lets go of its memory by itself, and at once.
pub fn process_mrelease(cx: &mut ThreadCx, pidfd: i32, flags: u32) -> SysResult<()> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (group, _) = process(cx, pidfd)?;
    let ending = group.signals.lock().exiting.is_some();
    if ending { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

/// pkey_alloc(2): there are no protection keys.
pub fn pkey_alloc(_cx: &mut ThreadCx, flags: u64, rights: u64) -> Result<u64> {
    const ALL_RIGHTS: u64 = 3;
    Err(if flags != 0 || rights & !ALL_RIGHTS != 0 { Errno::EINVAL } else { Errno::ENOSPC })
}

/// pkey_free(2).
pub fn pkey_free(_cx: &mut ThreadCx, _key: i32) -> Result<u64> {
    Err(Errno::EINVAL)
}
