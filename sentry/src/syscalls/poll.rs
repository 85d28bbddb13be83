//! poll(2), ppoll(2), select(2), pselect6(2).

use std::{sync::Arc, time::Duration};

use linux_abi::{
    Errno, Result, UserAddr,
    event::PollFd,
    time::{Timespec, Timeval},
};
use zerocopy::IntoBytes;

use super::{temporary_mask, timeout::Timeout};
use crate::{
    error::{RestartKind, SysError, SysResult},
    fs::{fd_table::NR_OPEN, file::File},
    task::{RestartBlock, Task, ThreadCx, block::WaitError, usermem::UserMemory},
    wait::{Events, Pollable, Watch},
};

/// What makes a descriptor readable, writable and exceptional for select(2).
const READ_SET: Events =
    Events::RDNORM.union(Events::RDBAND).union(Events::IN).union(Events::HUP).union(Events::ERR);
const WRITE_SET: Events = Events::WRNORM.union(Events::WRBAND).union(Events::OUT).union(Events::ERR);
const EXCEPT_SET: Events = Events::PRI;

/// One descriptor that is looked at.
struct Polled {
    /// `None`: nothing to look at (a negative or bad descriptor).
    file: Option<Arc<File>>,
    interest: Events,
    ready: Events,
}

/// Looks at all of `set`; returns how many are ready.
fn look(set: &mut [Polled]) -> usize {
    let mut count = 0;
    for polled in set {
        if let Some(file) = &polled.file {
            polled.ready = file.poll(None) & polled.interest;
        }
        count += usize::from(!polled.ready.is_empty());
    }
    count
}

/// Waits until something in `set` is ready; returns how many are, zero after `timeout`.
fn poll_files(task: &Task, set: &mut [Polled], timeout: Timeout) -> Result<usize, WaitError> {
    let count = look(set);
    if count > 0 || timeout == Timeout::Zero {
        return Ok(count);
    }
    let mut watches = Vec::with_capacity(set.len());
    for polled in set.iter() {
        if let Some(file) = &polled.file {
            let mut watch = Watch::new(task.waker(), polled.interest);
            file.poll(Some(&mut watch));
            watches.push(watch);
        }
    }
    let found = task.wait_for(timeout.deadline(), || Some(look(set)).filter(|&count| count > 0));
    match found {
        Err(WaitError::TimedOut) => Ok(0),
        other => other,
    }
}

/// poll(2).
pub fn poll(cx: &mut ThreadCx, fds: UserAddr, count: u32, timeout: i32) -> SysResult<usize> {
    poll_until(cx, fds, count, Timeout::from_millis(timeout))
}

/// poll(2) after a signal that ran no handler (restart_syscall(2)).
pub(super) fn poll_restart(
    cx: &mut ThreadCx,
    fds: u64,
    count: u32,
    deadline: Option<std::time::Instant>,
) -> SysResult<usize> {
    poll_until(cx, UserAddr(fds), count, deadline.map_or(Timeout::Never, Timeout::Until))
}

fn poll_until(cx: &mut ThreadCx, fds: UserAddr, count: u32, timeout: Timeout) -> SysResult<usize> {
    let result = do_poll(cx, fds, count, timeout);
    if result == Err(SysError::Restart(RestartKind::NoHand)) {
        *cx.task.restart_block.lock() =
            Some(RestartBlock::Poll { fds: fds.0, count, deadline: timeout.deadline() });
        return Err(SysError::Restart(RestartKind::Block));
    }
    result
}

/// ppoll(2). What is left of the timeout is written back.
pub fn ppoll(
    cx: &mut ThreadCx,
    fds: UserAddr,
    count: u32,
    time: UserAddr,
    mask: UserAddr,
    size: usize,
) -> SysResult<usize> {
    let timeout = Timeout::read_timespec(cx, time)?;
    temporary_mask::set(cx, mask, size)?;
    let result = do_poll(cx, fds, count, timeout);
    finish(cx, result, timeout, |cx, left| cx.write_obj(time, &Timespec::from(left)))
}

/// `poll_select_finish`: mask, remaining time, and no restart where that could not be stored.
fn finish(
    cx: &mut ThreadCx,
    result: SysResult<usize>,
    timeout: Timeout,
    store: impl FnOnce(&mut ThreadCx, Duration) -> Result<()>,
) -> SysResult<usize> {
    let interrupted = result == Err(SysError::Restart(RestartKind::NoHand));
    temporary_mask::restore_unless(&cx.task, interrupted);
    if let Some(left) = timeout.remaining()
        && store(cx, left).is_err()
        && interrupted
    {
        return Err(Errno::EINTR.into());
    }
    result
}

fn interrupted(error: WaitError) -> SysError {
    error.or_restart(RestartKind::NoHand, Errno::EAGAIN)
}

fn do_poll(cx: &mut ThreadCx, at: UserAddr, count: u32, timeout: Timeout) -> SysResult<usize> {
    if u64::from(count) > cx.task.group.limits.lock().nofile().min(u64::from(NR_OPEN)) {
        return Err(Errno::EINVAL.into());
    }
    let mut fds: Vec<PollFd> = cx.read_array(at, count as usize)?;
    let mut set: Vec<Polled> = fds.iter().map(|fd| polled(&cx.task, fd)).collect();
    let ready = poll_files(&cx.task, &mut set, timeout).map_err(interrupted)?;
    for (fd, polled) in fds.iter_mut().zip(&set) {
        fd.revents = u16::try_from(polled.ready.bits()).unwrap_or(0);
    }
    if !fds.is_empty() {
        cx.write_bytes(at, fds.as_slice().as_bytes())?;
    }
    Ok(ready)
}

fn polled(task: &Task, fd: &PollFd) -> Polled {
    let interest = Events::from_bits_truncate(u32::from(fd.events)) | Events::ERR | Events::HUP;
    if fd.fd < 0 {
        return Polled { file: None, interest, ready: Events::empty() };
    }
    match task.file(fd.fd) {
        Ok(file) => Polled { file: Some(file), interest, ready: Events::empty() },
        Err(_) => Polled { file: None, interest, ready: Events::NVAL },
    }
}

/// select(2).
pub fn select(
    cx: &mut ThreadCx,
    count: i32,
    read: UserAddr,
    write: UserAddr,
    except: UserAddr,
    time: UserAddr,
) -> SysResult<usize> {
    let timeout = Timeout::read_timeval(cx, time)?;
    let result = do_select(cx, count, [read, write, except], timeout);
    finish(cx, result, timeout, |cx, left| cx.write_obj(time, &Timeval::from(left)))
}

/// pselect6(2). The mask comes with its size in a structure at `mask`.
pub fn pselect6(
    cx: &mut ThreadCx,
    count: i32,
    read: UserAddr,
    write: UserAddr,
    except: UserAddr,
    time: UserAddr,
    mask: UserAddr,
) -> SysResult<usize> {
    let [mask, size] = if mask.is_null() { [0, 0] } else { cx.read_obj::<[u64; 2]>(mask)? };
    let timeout = Timeout::read_timespec(cx, time)?;
    temporary_mask::set(cx, UserAddr(mask), usize::try_from(size).unwrap_or(0))?;
    let result = do_select(cx, count, [read, write, except], timeout);
    finish(cx, result, timeout, |cx, left| cx.write_obj(time, &Timespec::from(left)))
}

/// A set of descriptors, as a guest's `fd_set` of 64-bit words.
type Bits = Vec<u64>;

fn bit(bits: &Bits, fd: usize) -> bool {
    bits.get(fd / 64).is_some_and(|word| word & (1 << (fd % 64)) != 0)
}

fn set_bit(bits: &mut Bits, fd: usize) {
    if let Some(word) = bits.get_mut(fd / 64) {
        *word |= 1 << (fd % 64);
    }
}

fn do_select(cx: &mut ThreadCx, count: i32, at: [UserAddr; 3], timeout: Timeout) -> SysResult<usize> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?.min(NR_OPEN as usize);
    let mut asked: [Bits; 3] = Default::default();
    for (bits, &at) in asked.iter_mut().zip(&at) {
        let words = count.div_ceil(64);
        *bits = if at.is_null() { vec![0; words] } else { cx.read_array(at, words)? };
    }
    let mut fds = Vec::new();
    let mut set = Vec::new();
    for fd in 0..count {
        let mut interest = Events::empty();
        for (bits, events) in asked.iter().zip([READ_SET, WRITE_SET, EXCEPT_SET]) {
            if bit(bits, fd) {
                interest |= events;
            }
        }
        if !interest.is_empty() {
            let file = cx.task.file(i32::try_from(fd).unwrap_or(-1))?;
            fds.push(fd);
            set.push(Polled { file: Some(file), interest, ready: Events::empty() });
        }
    }
    poll_files(&cx.task, &mut set, timeout).map_err(interrupted)?;
    let mut found: [Bits; 3] = std::array::from_fn(|_| vec![0; count.div_ceil(64)]);
    let mut total = 0;
    for (&fd, polled) in fds.iter().zip(&set) {
        for ((found, asked), events) in found.iter_mut().zip(&asked).zip([READ_SET, WRITE_SET, EXCEPT_SET]) {
            if bit(asked, fd) && polled.ready.intersects(events) {
                set_bit(found, fd);
                total += 1;
            }
        }
    }
    for (bits, &at) in found.iter().zip(&at) {
        if !at.is_null() && !bits.is_empty() {
            cx.write_bytes(at, bits.as_slice().as_bytes())?;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::types::eventfd::EventFd;

    #[test]
    fn looks_at_each_file_for_its_own_events() {
        let file = EventFd::open(1, 0);
        let one = |interest| Polled { file: Some(Arc::clone(&file)), interest, ready: Events::empty() };
        let mut set = [one(Events::IN), one(Events::PRI), one(WRITE_SET)];
        assert_eq!(look(&mut set), 2);
        assert_eq!(set.map(|p| p.ready), [Events::IN, Events::empty(), Events::OUT]);
    }

    #[test]
    fn bits_are_found_across_words() {
        let mut bits = vec![0; 2];
        set_bit(&mut bits, 63);
        set_bit(&mut bits, 64);
        assert_eq!(bits, [1 << 63, 1]);
        assert!(bit(&bits, 64) && !bit(&bits, 65) && !bit(&bits, 1000));
    }
}
