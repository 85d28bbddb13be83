//! epoll_create(2), epoll_ctl(2), epoll_wait(2).

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    event::{EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EpollEvent},
    fcntl::O_RDWR,
};
use zerocopy::IntoBytes;

use super::{temporary_mask, timeout::Timeout};
use crate::{
    fs::{
        file::File,
        types::epoll::{self, Epoll},
    },
    task::{Task, ThreadCx, block::WaitError, usermem::UserMemory},
};

/// The most events one call takes (`EP_MAX_EVENTS`).
const MAX_EVENTS: i32 = i32::MAX / 12;
/// The most that are collected before they are copied out: more come with the next call.
const BATCH: usize = 4096;

/// epoll_create(2).
pub fn epoll_create(cx: &mut ThreadCx, size: i32) -> Result<i32> {
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    epoll_create1(cx, 0)
}

/// epoll_create1(2).
pub fn epoll_create1(cx: &mut ThreadCx, flags: u32) -> Result<i32> {
    if flags & !EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    cx.task.install(File::anonymous(Box::new(Epoll::new()), O_RDWR), flags & EPOLL_CLOEXEC != 0)
}

/// epoll_ctl(2).
pub fn epoll_ctl(cx: &mut ThreadCx, epfd: i32, op: i32, fd: i32, event: UserAddr) -> Result<()> {
    let event: EpollEvent = if op == EPOLL_CTL_DEL { EpollEvent::default() } else { cx.read_obj(event)? };
    let epoll_file = cx.task.file(epfd)?;
    let file = cx.task.file(fd)?;
    match op {
        EPOLL_CTL_ADD => epoll::add(&cx.task.kernel.epoll_nesting, &epoll_file, fd, &file, event),
        EPOLL_CTL_MOD => epoll::modify(&epoll_file, fd, &file, event),
        EPOLL_CTL_DEL => epoll::remove(&epoll_file, fd, &file),
        _ => epoll::bad_operation(&epoll_file, &file),
    }
}

/// epoll_wait(2).
pub fn epoll_wait(cx: &mut ThreadCx, epfd: i32, events: UserAddr, max: i32, timeout: i32) -> Result<usize> {
    wait(cx, epfd, events, max, Timeout::from_millis(timeout))
}

/// epoll_pwait(2).
pub fn epoll_pwait(
    cx: &mut ThreadCx,
    epfd: i32,
    events: UserAddr,
    max: i32,
    timeout: i32,
    mask: UserAddr,
    size: usize,
) -> Result<usize> {
    masked_wait(cx, epfd, events, max, Timeout::from_millis(timeout), mask, size)
}

/// epoll_pwait2(2).
pub fn epoll_pwait2(
    cx: &mut ThreadCx,
    epfd: i32,
    events: UserAddr,
    max: i32,
    timeout: UserAddr,
    mask: UserAddr,
    size: usize,
) -> Result<usize> {
    let timeout = Timeout::read_timespec(cx, timeout)?;
    masked_wait(cx, epfd, events, max, timeout, mask, size)
}

fn masked_wait(
    cx: &mut ThreadCx,
    epfd: i32,
    events: UserAddr,
    max: i32,
    timeout: Timeout,
    mask: UserAddr,
    size: usize,
) -> Result<usize> {
    temporary_mask::set(cx, mask, size)?;
    let result = wait(cx, epfd, events, max, timeout);
    temporary_mask::restore_unless(&cx.task, result == Err(Errno::EINTR));
    result
}

/// Interrupted, it fails with `EINTR` whatever the signal (signal(7)).
fn wait(cx: &mut ThreadCx, epfd: i32, events: UserAddr, max: i32, timeout: Timeout) -> Result<usize> {
    if max <= 0 || max > MAX_EVENTS {
        return Err(Errno::EINVAL);
    }
    let file = cx.task.file(epfd)?;
    let epoll = file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let max = usize::try_from(max).unwrap_or(1).min(BATCH);
    let found = match collect(&cx.task, epoll, max, timeout) {
        Ok(found) => found,
        Err(WaitError::TimedOut) => return Ok(0),
        Err(WaitError::Interrupted) => return Err(Errno::EINTR),
        Err(WaitError::Failed(errno)) => return Err(errno),
    };
    if !found.is_empty() {
        cx.write_bytes(events, found.as_slice().as_bytes())?;
    }
    Ok(found.len())
}

fn collect(
    task: &Arc<Task>,
    epoll: &Epoll,
    max: usize,
    timeout: Timeout,
) -> Result<Vec<EpollEvent>, WaitError> {
    let found = epoll.collect(max);
    if !found.is_empty() {
        epoll.pass_on();
    }
    if !found.is_empty() || timeout == Timeout::Zero {
        return Ok(found);
    }
    let watch = epoll.watch_exclusively(task.waker());
    let result =
        task.wait_for(timeout.deadline(), || Some(epoll.collect(max)).filter(|found| !found.is_empty()));
    // We may have been woken for what we did not take: a signal came, or there was more.
    drop(watch);
    epoll.pass_on();
    result
}
