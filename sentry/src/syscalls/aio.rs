//! Linux's own asynchronous input and output: io_setup(2), io_destroy(2), io_submit(2), io_cancel(2), io_getevents(2),
//! io_pgetevents(2).

use std::{sync::Arc, time::Instant};

use linux_abi::{
    Errno, PAGE_SIZE, Result, UserAddr,
    aio::{
        IOCB_CMD_FDSYNC, IOCB_CMD_FSYNC, IOCB_CMD_POLL, IOCB_CMD_PREAD, IOCB_CMD_PREADV, IOCB_CMD_PWRITE,
        IOCB_CMD_PWRITEV, IOCB_FLAG_IOPRIO, IOCB_FLAG_RESFD, IoEvent, Iocb,
    },
    time::Timespec,
};
use platform::Prot;

use super::{
    read_write::{At, one, read_into, write_from},
    sched::check_io_priority,
    temporary_mask,
};
use crate::{
    aio::{Context, Request},
    error::{RestartKind, SysError, SysResult},
    fs::{file::File, io::Segment, types::eventfd::EventFd},
    mm::map::{Caller, MAP_ANONYMOUS, MAP_PRIVATE, MapRequest},
    task::{ThreadCx, block::WaitError, usermem::UserMemory},
    wait::Events,
};

use linux_abi::fcntl::{RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC};

/// Events copied out at a time.
const STEP: usize = 64;
/// Where `key` and `buf` of a `struct iocb` are.
const KEY_AT: u64 = 8;

/// io_setup(2).
pub fn io_setup(cx: &mut ThreadCx, count: u32, at: UserAddr) -> Result<()> {
    let before: u64 = cx.read_obj(at)?;
    if before != 0 || count == 0 {
        return Err(Errno::EINVAL);
    }
    let context = Context::new(&cx.task.kernel, count)?;
    let ring = map_ring(cx)?;
    let mm = cx.task.mm()?;
    let done = mm.aio.add(ring.0, context).and_then(|()| {
        cx.write_obj(at, &ring.0).inspect_err(|_| {
            let _ = mm.aio.remove(ring.0);
        })
    });
    if done.is_err() {
        let _ = mm.munmap(&mut *cx.context, ring.0, PAGE_SIZE);
    }
    done
}

fn map_ring(cx: &mut ThreadCx) -> Result<UserAddr> {
    let limits = *cx.task.group.limits.lock();
    let caller = Caller { limits: &limits, caps: cx.task.creds().effective };
    let request = MapRequest {
        addr: 0,
        len: PAGE_SIZE,
        prot: Prot::READ.with(Prot::WRITE),
        flags: MAP_PRIVATE | MAP_ANONYMOUS,
        file: None,
        offset: 0,
        memory: None,
    };
    cx.task.mm()?.mmap(&mut *cx.context, &caller, &request)
}

/// io_destroy(2).
pub fn io_destroy(cx: &mut ThreadCx, id: u64) -> Result<()> {
    let mm = cx.task.mm()?;
    mm.aio.remove(id)?.end();
    // The program may have unmapped it.
    let _ = mm.munmap(&mut *cx.context, id, PAGE_SIZE);
    Ok(())
}

/// io_submit(2).
pub fn io_submit(cx: &mut ThreadCx, id: u64, count: i64, list: UserAddr) -> Result<usize> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let context = cx.task.mm()?.aio.get(id)?;
    let count = count.min(context.slots());
    for done in 0..count {
        let entry = list.checked_add(done as u64 * 8).ok_or(Errno::EFAULT);
        let submitted = entry
            .and_then(|entry| cx.read_obj::<u64>(entry))
            .and_then(|iocb| submit(cx, &context, UserAddr(iocb)));
        if let Err(errno) = submitted {
            return if done == 0 { Err(errno) } else { Ok(done) };
        }
    }
    Ok(count)
}

/// Starts one request (`io_submit_one`). What goes wrong from the transfer itself on is the event's result.
fn submit(cx: &mut ThreadCx, context: &Arc<Context>, at: UserAddr) -> Result<()> {
    let iocb: Iocb = cx.read_obj(at)?;
    if iocb.reserved != 0 || i64::try_from(iocb.nbytes).is_err() {
        return Err(Errno::EINVAL);
    }
    let _slot = context.slot()?;
    let file = cx.task.file(iocb.fildes.cast_signed())?;
    let mut request = Request { data: iocb.data, obj: at.0, signal: None };
    if iocb.flags & IOCB_FLAG_RESFD != 0 {
        let event = cx.task.file(iocb.resfd.cast_signed())?;
        if event.downcast::<EventFd>().is_none() {
            return Err(Errno::EINVAL);
        }
        request.signal = Some(event);
    }
    cx.write_obj(at.checked_add(KEY_AT).ok_or(Errno::EFAULT)?, &0u32)?;
    let done = match iocb.opcode {
        IOCB_CMD_PREAD | IOCB_CMD_PREADV | IOCB_CMD_PWRITE | IOCB_CMD_PWRITEV => transfer(cx, &file, &iocb)?,
        IOCB_CMD_FSYNC | IOCB_CMD_FDSYNC => {
            if iocb.buf != 0 || iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
                return Err(Errno::EINVAL);
            }
            file.ops().sync()?;
            0
        }
        IOCB_CMD_POLL => return poll(cx, context, request, file, &iocb),
        _ => return Err(Errno::EINVAL),
    };
    context.complete(&request, done);
    Ok(())
}

fn transfer(cx: &mut ThreadCx, file: &Arc<File>, iocb: &Iocb) -> Result<i64> {
    let flags = iocb.rw_flags;
    if iocb.flags & IOCB_FLAG_IOPRIO != 0 {
        check_io_priority(cx, u32::from(iocb.reqprio.cast_unsigned()))?;
    }
    if flags & !(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let writes = matches!(iocb.opcode, IOCB_CMD_PWRITE | IOCB_CMD_PWRITEV);
    if !(if writes { file.writable() } else { file.readable() }) {
        return Err(Errno::EBADF);
    }
    let length = usize::try_from(iocb.nbytes).unwrap_or(usize::MAX);
    let segments: Vec<Segment> = match iocb.opcode {
        IOCB_CMD_PREADV | IOCB_CMD_PWRITEV => cx.read_iovec(UserAddr(iocb.buf), length)?,
        _ => vec![one(UserAddr(iocb.buf), length)?],
    };
    let position = u64::try_from(iocb.offset).map_err(|_| Errno::EINVAL)?;
    // Streams have no position and ignore it.
    let at = if file.ops().seekable() { At::Position(position) } else { At::Offset };
    let done = if writes {
        write_from(cx, file, &segments, at, flags)
    } else {
        read_into(cx, file, &segments, at, flags)
    };
    let done = match done {
        Ok(_) if writes && flags & (RWF_DSYNC | RWF_SYNC) != 0 => {
            file.ops().sync().map_err(SysError::from).and(done)
        }
        done => done,
    };
    Ok(match done {
        Ok(count) => i64::try_from(count).unwrap_or(i64::MAX),
        // It cannot be made again.
        Err(SysError::Restart(_)) => -i64::from(Errno::EINTR.raw()),
        Err(SysError::Errno(errno)) => -i64::from(errno.raw()),
    })
}

fn poll(cx: &ThreadCx, context: &Arc<Context>, request: Request, file: Arc<File>, iocb: &Iocb) -> Result<()> {
    let events = u16::try_from(iocb.buf).map_err(|_| Errno::EINVAL)?;
    if iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
        return Err(Errno::EINVAL);
    }
    let events = Events::from_bits_truncate(u32::from(events)) | Events::ERR | Events::HUP;
    context.poll(&cx.task.kernel, request, file, events);
    Ok(())
}

/// io_cancel(2). Its event tells of the end, so the result is never filled in.
pub fn io_cancel(cx: &mut ThreadCx, id: u64, iocb: UserAddr, _result: UserAddr) -> Result<()> {
    let key: u32 = cx.read_obj(iocb.checked_add(KEY_AT).ok_or(Errno::EFAULT)?)?;
    if key != 0 {
        return Err(Errno::EINVAL);
    }
    cx.task.mm()?.aio.get(id)?.cancel(iocb.0)?;
    Err(Errno::EINPROGRESS)
}

/// io_getevents(2).
pub fn io_getevents(
    cx: &mut ThreadCx,
    id: u64,
    least: i64,
    most: i64,
    events: UserAddr,
    timeout: UserAddr,
) -> Result<usize> {
    let deadline = read_timeout(cx, timeout)?;
    match fetch(cx, id, least, most, events, deadline) {
        Ok((0, true)) => Err(Errno::EINTR),
        done => done.map(|(count, _)| count),
    }
}

/// io_pgetevents(2): `mask` is a structure with the mask's address and size.
pub fn io_pgetevents(
    cx: &mut ThreadCx,
    id: u64,
    least: i64,
    most: i64,
    events: UserAddr,
    timeout: UserAddr,
    mask: UserAddr,
) -> SysResult<usize> {
    let deadline = read_timeout(cx, timeout)?;
    let [mask, size] = if mask.is_null() { [0, 0] } else { cx.read_obj::<[u64; 2]>(mask)? };
    temporary_mask::set(cx, UserAddr(mask), usize::try_from(size).unwrap_or(usize::MAX))?;
    let done = fetch(cx, id, least, most, events, deadline);
    let interrupted = matches!(done, Ok((_, true)));
    temporary_mask::restore_unless(&cx.task, interrupted);
    match done {
        Ok((0, true)) => Err(SysError::Restart(RestartKind::NoHand)),
        done => Ok(done.map(|(count, _)| count)?),
    }
}

/// When to stop waiting; `None` is never.
fn read_timeout(cx: &mut ThreadCx, at: UserAddr) -> Result<Option<Instant>> {
    if at.is_null() {
        return Ok(None);
    }
    let time: Timespec = cx.read_obj(at)?;
    let now = Instant::now();
    // Linux does not look whether it is a time: what is before now has passed.
    let nanos = i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
    let wait = std::time::Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX));
    Ok(now.checked_add(wait))
}

/// Copies events out until there are `least` of them; tells how many, and whether a signal ended it.
fn fetch(
    cx: &mut ThreadCx,
    id: u64,
    least: i64,
    most: i64,
    events: UserAddr,
    deadline: Option<Instant>,
) -> Result<(usize, bool)> {
    let context = cx.task.mm()?.aio.get(id)?;
    if least > most || least < 0 {
        return Err(Errno::EINVAL);
    }
    let least = usize::try_from(least).unwrap_or(0);
    let most = usize::try_from(most).unwrap_or(0);
    let task = Arc::clone(&cx.task);
    let mut count = 0;
    loop {
        count += copy_out(cx, &context, events, count, most)?;
        if count >= least {
            return Ok((count, false));
        }
        let arrived = task.block_on(&context.queue, Events::IN, deadline, || {
            if context.has_events() || context.has_ended() { Ok(()) } else { Err(Errno::EAGAIN) }
        });
        match arrived {
            Ok(()) if context.has_ended() => return Ok((count, false)),
            Ok(()) => {}
            Err(WaitError::Interrupted) => return Ok((count, true)),
            Err(_) => return Ok((count, false)),
        }
    }
}

fn copy_out(cx: &mut ThreadCx, context: &Context, at: UserAddr, from: usize, most: usize) -> Result<usize> {
    let mut count = 0;
    loop {
        let batch: Vec<IoEvent> = context.take(STEP.min(most - from - count));
        if batch.is_empty() {
            return Ok(count);
        }
        for event in &batch {
            let offset = (from + count) as u64 * size_of::<IoEvent>() as u64;
            let place = at.checked_add(offset).ok_or(Errno::EFAULT)?;
            cx.write_obj(place, event)?;
            count += 1;
        }
    }
}
