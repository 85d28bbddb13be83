//! splice(2), tee(2), vmsplice(2).
//!
//! Data is copied, not moved by page; what can be observed is the same.

use std::sync::Arc;

use linux_abi::{Errno, UserAddr, fcntl::O_APPEND};

use super::{
    read_write::{At, read_once, readv, write_all, write_once, writev},
    sendfile::{CHUNK, Place, can_give, read_chunk},
};
use crate::{
    error::{RestartKind, SysError, SysResult},
    fs::{
        file::File,
        io::{Buffer, BufferSink, BufferSource},
        types::pipe::PipeFile,
    },
    task::ThreadCx,
    wait::{Events, Pollable},
};

use linux_abi::fcntl::SPLICE_F_NONBLOCK;

/// `MOVE`, `NONBLOCK`, `MORE`, `GIFT`.
const SPLICE_F_ALL: u32 = 15;

/// splice(2).
pub fn splice(
    cx: &mut ThreadCx,
    in_fd: i32,
    in_offset: UserAddr,
    out_fd: i32,
    out_offset: UserAddr,
    len: usize,
    flags: u32,
) -> SysResult<usize> {
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let input = cx.task.file(in_fd)?;
    let output = cx.task.file(out_fd)?;
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF.into());
    }
    let nonblocking = flags & SPLICE_F_NONBLOCK != 0;
    match (input.downcast::<PipeFile>(), output.downcast::<PipeFile>()) {
        (Some(_), Some(_)) => {
            if !in_offset.is_null() || !out_offset.is_null() {
                return Err(Errno::ESPIPE.into());
            }
            between_pipes(cx, &input, &output, len, nonblocking, false)
        }
        (Some(_), None) => {
            if !in_offset.is_null() {
                return Err(Errno::ESPIPE.into());
            }
            if output.flags() & O_APPEND != 0 {
                return Err(Errno::EINVAL.into());
            }
            from_pipe(cx, &input, &output, out_offset, len, nonblocking)
        }
        (None, Some(_)) => {
            if !out_offset.is_null() {
                return Err(Errno::ESPIPE.into());
            }
            to_pipe(cx, &input, in_offset, &output, len, nonblocking)
        }
        (None, None) => Err(Errno::EINVAL.into()),
    }
}

/// tee(2).
pub fn tee(cx: &mut ThreadCx, in_fd: i32, out_fd: i32, len: usize, flags: u32) -> SysResult<usize> {
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let input = cx.task.file(in_fd)?;
    let output = cx.task.file(out_fd)?;
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF.into());
    }
    between_pipes(cx, &input, &output, len, flags & SPLICE_F_NONBLOCK != 0, true)
}

/// vmsplice(2).
pub fn vmsplice(cx: &mut ThreadCx, fd: i32, iov: UserAddr, count: usize, flags: u32) -> SysResult<usize> {
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.file(fd)?;
    if file.downcast::<PipeFile>().is_none() {
        return Err(Errno::EBADF.into());
    }
    if flags & SPLICE_F_NONBLOCK != 0 {
        let interest = if file.writable() { Events::OUT } else { Events::IN };
        if (file.poll(None) & (interest | Events::HUP | Events::ERR)).is_empty() {
            return Err(Errno::EAGAIN.into());
        }
    }
    if file.writable() { writev(cx, fd, iov, count) } else { readv(cx, fd, iov, count) }
}

/// Waits, unless told not to, until `attempt` on `file` succeeds.
fn wait<T>(
    cx: &ThreadCx,
    file: &Arc<File>,
    interest: Events,
    nonblocking: bool,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> SysResult<T> {
    if nonblocking || file.nonblocking() {
        return attempt().map_err(SysError::from);
    }
    cx.task
        .block_on(&**file, interest, None, attempt)
        .map_err(|error| error.or_restart(RestartKind::Sys, Errno::EAGAIN))
}

fn between_pipes(
    cx: &ThreadCx,
    input: &Arc<File>,
    output: &Arc<File>,
    len: usize,
    nonblocking: bool,
    keep: bool,
) -> SysResult<usize> {
    let (Some(from), Some(to)) = (input.downcast::<PipeFile>(), output.downcast::<PipeFile>()) else {
        return Err(Errno::EINVAL.into());
    };
    let (from, to) = (from.pipe(), to.pipe());
    loop {
        if from.is_empty() && !from.has_writers() {
            return Ok(0);
        }
        let (full, interest) = if from.is_empty() { (input, Events::READ) } else { (output, Events::WRITE) };
        let attempt = || from.transfer(to, len, keep);
        if nonblocking || full.nonblocking() {
            return attempt().map_err(SysError::from);
        }
        let again = || match attempt() {
            // The other end is in the way now, or nobody is left to write: look again.
            Err(Errno::EAGAIN) if from.is_empty() != (interest == Events::READ) || !from.has_writers() => {
                Ok(None)
            }
            other => other.map(Some),
        };
        let done = cx.task.block_on(&**full, interest, None, again);
        if let Some(done) = done.map_err(|error| error.or_restart(RestartKind::Sys, Errno::EAGAIN))? {
            return Ok(done);
        }
    }
}

/// From a file to a pipe: what was read but found no room is read again by the next call, as the offset tells.
fn to_pipe(
    cx: &mut ThreadCx,
    input: &Arc<File>,
    in_offset: UserAddr,
    output: &Arc<File>,
    len: usize,
    nonblocking: bool,
) -> SysResult<usize> {
    if !can_give(input) {
        return Err(Errno::EINVAL.into());
    }
    let mut buffer = Buffer::new(len.min(CHUNK));
    if !input.ops().seekable() {
        if !in_offset.is_null() {
            return Err(Errno::ESPIPE.into());
        }
        // There must be room first: a stream cannot be read twice.
        wait(cx, output, Events::WRITE, nonblocking, || {
            let ready = output.poll(None) & (Events::OUT | Events::ERR);
            if ready.is_empty() { Err(Errno::EAGAIN) } else { Ok(()) }
        })?;
        let filled = wait(cx, input, Events::READ, nonblocking, || {
            read_once(&cx.task, input, &mut BufferSink::new(&mut buffer), At::Offset)
        })?;
        let mut source = BufferSource::new(buffer.get(..filled).unwrap_or_default());
        return write_all(&cx.task, output, &mut source, At::Offset, false);
    }
    let mut place = Place::new(cx, input, in_offset)?;
    let chunk = read_chunk(cx, input, &mut buffer, place.at, len)?;
    if chunk.is_empty() {
        return Ok(0);
    }
    let done = wait(cx, output, Events::WRITE, nonblocking, || {
        write_once(&cx.task, output, &mut BufferSource::new(chunk), At::Offset)
    })?;
    place.at = place.at.saturating_add(done as u64);
    place.store(cx, input, in_offset)?;
    Ok(done)
}

fn from_pipe(
    cx: &mut ThreadCx,
    input: &Arc<File>,
    output: &Arc<File>,
    out_offset: UserAddr,
    len: usize,
    nonblocking: bool,
) -> SysResult<usize> {
    let seekable = output.ops().seekable();
    if !out_offset.is_null() && !seekable {
        return Err(Errno::ESPIPE.into());
    }
    let mut place = Place::new(cx, output, out_offset)?;
    if !seekable {
        wait(cx, output, Events::WRITE, nonblocking, || {
            let ready = output.poll(None) & (Events::OUT | Events::ERR | Events::HUP);
            if ready.is_empty() { Err(Errno::EAGAIN) } else { Ok(()) }
        })?;
    }
    let mut buffer = Buffer::new(len.min(CHUNK));
    let filled = wait(cx, input, Events::READ, nonblocking, || {
        read_once(&cx.task, input, &mut BufferSink::new(&mut buffer), At::Offset)
    })?;
    let mut source = BufferSource::new(buffer.get(..filled).unwrap_or_default());
    if filled == 0 {
        return Ok(0);
    }
    let at = if seekable { At::Position(place.at) } else { At::Offset };
    let done = write_all(&cx.task, output, &mut source, at, false)?;
    if seekable {
        place.at = place.at.saturating_add(done as u64);
        place.store(cx, output, out_offset)?;
    }
    Ok(done)
}
