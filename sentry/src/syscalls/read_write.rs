//! read(2), write(2), pread(2), pwrite(2), readv(2), writev(2), preadv2(2), pwritev2(2).

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{O_APPEND, RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOAPPEND, RWF_NOWAIT, RWF_SYNC},
};

use super::socket_message;
use crate::{
    error::{RestartKind, SysError, SysResult},
    fs::{
        file::{File, FileCx, OFFSET_OF_FILE},
        file_limits, inotify_hook,
        io::{Segment, Sink, Source, UserSink, UserSource},
    },
    signal::{
        SIGPIPE,
        info::{SI_USER, SigInfo},
        send::send_to_task,
    },
    task::{
        Task, ThreadCx,
        block::WaitError,
        usermem::{MAX_RW_COUNT, UserMemory},
    },
    wait::Events,
};

/// Where in the file.
#[derive(Clone, Copy)]
pub(super) enum At {
    /// At its offset, which moves.
    Offset,
    /// There; its offset stays.
    Position(u64),
}

/// read(2).
pub fn read(cx: &mut ThreadCx, fd: i32, buf: UserAddr, count: usize) -> SysResult<usize> {
    let file = cx.task.file(fd)?;
    read_into(cx, &file, &[one(buf, count)?], At::Offset, 0)
}

/// write(2).
pub fn write(cx: &mut ThreadCx, fd: i32, buf: UserAddr, count: usize) -> SysResult<usize> {
    let file = cx.task.file(fd)?;
    write_from(cx, &file, &[one(buf, count)?], At::Offset, 0)
}

/// pread(2).
pub fn pread64(cx: &mut ThreadCx, fd: i32, buf: UserAddr, count: usize, offset: i64) -> SysResult<usize> {
    let at = position(offset)?;
    let file = cx.task.file(fd)?;
    read_into(cx, &file, &[one(buf, count)?], at, 0)
}

/// pwrite(2).
pub fn pwrite64(cx: &mut ThreadCx, fd: i32, buf: UserAddr, count: usize, offset: i64) -> SysResult<usize> {
    let at = position(offset)?;
    let file = cx.task.file(fd)?;
    write_from(cx, &file, &[one(buf, count)?], at, 0)
}

/// readv(2).
pub fn readv(cx: &mut ThreadCx, fd: i32, iov: UserAddr, count: usize) -> SysResult<usize> {
    let file = cx.task.file(fd)?;
    let segments = cx.read_iovec(iov, count)?;
    read_into(cx, &file, &segments, At::Offset, 0)
}

/// writev(2).
pub fn writev(cx: &mut ThreadCx, fd: i32, iov: UserAddr, count: usize) -> SysResult<usize> {
    let file = cx.task.file(fd)?;
    let segments = cx.read_iovec(iov, count)?;
    write_from(cx, &file, &segments, At::Offset, 0)
}

/// preadv(2). The high half of the position is for 32-bit callers: the low one has it all.
pub fn preadv(
    cx: &mut ThreadCx,
    fd: i32,
    iov: UserAddr,
    count: usize,
    pos: i64,
    _high: u64,
) -> SysResult<usize> {
    let at = position(pos)?;
    let file = cx.task.file(fd)?;
    let segments = cx.read_iovec(iov, count)?;
    read_into(cx, &file, &segments, at, 0)
}

/// pwritev(2).
pub fn pwritev(
    cx: &mut ThreadCx,
    fd: i32,
    iov: UserAddr,
    count: usize,
    pos: i64,
    _high: u64,
) -> SysResult<usize> {
    let at = position(pos)?;
    let file = cx.task.file(fd)?;
    let segments = cx.read_iovec(iov, count)?;
    write_from(cx, &file, &segments, at, 0)
}

/// preadv2(2).
pub fn preadv2(
    cx: &mut ThreadCx,
    fd: i32,
    iov: UserAddr,
    count: usize,
    pos: i64,
    _high: u64,
    flags: u32,
) -> SysResult<usize> {
    let at = if pos == -1 { At::Offset } else { position(pos)? };
    let file = cx.task.file(fd)?;
    let segments = cx.read_iovec(iov, count)?;
    if flags & !(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT) != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    read_into(cx, &file, &segments, at, flags)
}

/// pwritev2(2).
pub fn pwritev2(
    cx: &mut ThreadCx,
    fd: i32,
    iov: UserAddr,
    count: usize,
    pos: i64,
    _high: u64,
    flags: u32,
) -> SysResult<usize> {
    const KNOWN: u32 = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND;
    let at = if pos == -1 { At::Offset } else { position(pos)? };
    let file = cx.task.file(fd)?;
    let segments = cx.read_iovec(iov, count)?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if flags & (RWF_APPEND | RWF_NOAPPEND) == RWF_APPEND | RWF_NOAPPEND {
        return Err(Errno::EINVAL.into());
    }
    let done = write_from(cx, &file, &segments, at, flags)?;
    if flags & (RWF_DSYNC | RWF_SYNC) != 0 {
        file.ops().sync()?;
    }
    Ok(done)
}

/// Where user space ends on x86-64 (`TASK_SIZE_MAX`).
const USER_END: u64 = 0x7fff_ffff_f000;

/// One buffer, which must lie in user space as a whole even if less of it is used (`access_ok`).
pub(super) fn one(addr: UserAddr, len: usize) -> Result<Segment> {
    addr.checked_add(len as u64).filter(|end| end.0 <= USER_END).ok_or(Errno::EFAULT)?;
    Ok(Segment { addr, len: len.min(MAX_RW_COUNT) })
}

pub(super) fn position(offset: i64) -> Result<At> {
    u64::try_from(offset).map(At::Position).map_err(|_| Errno::EINVAL)
}

fn seekable_at(file: &File, at: At) -> Result<()> {
    if matches!(at, At::Position(_)) && !file.ops().seekable() { Err(Errno::ESPIPE) } else { Ok(()) }
}

/// Reads into guest memory, waiting if there is nothing yet.
pub(super) fn read_into(
    cx: &mut ThreadCx,
    file: &Arc<File>,
    segments: &[Segment],
    at: At,
    flags: u32,
) -> SysResult<usize> {
    seekable_at(file, at)?;
    if !file.readable() {
        return Err(Errno::EBADF.into());
    }
    if flags == 0
        && let Some(socket) = file.ops().as_socket()
    {
        return socket_message::read_socket(cx, file, socket, segments);
    }
    let task = Arc::clone(&cx.task);
    let context = &mut *cx.context;
    let mut attempt = || read_once(&task, file, &mut UserSink::new(context, segments), at);
    if file.nonblocking() || flags & RWF_NOWAIT != 0 {
        return attempt().map_err(SysError::from);
    }
    match task.block_on(&**file, Events::READ, file.ops().read_deadline(), attempt) {
        // Only terminals have a deadline, and its passing is an empty read.
        Err(WaitError::TimedOut) => Ok(0),
        done => done.map_err(|error| error.or_restart(RestartKind::Sys, Errno::EAGAIN)),
    }
}

/// One attempt at reading.
///
/// # Errors
/// The file's.
pub(super) fn read_once(task: &Task, file: &File, sink: &mut dyn Sink, at: At) -> Result<usize> {
    let cx = FileCx { task, file };
    let done = match at {
        At::Position(mut position) => file.ops().read(cx, sink, &mut position),
        At::Offset if file.ops().keeps_offset() => file.ops().read(cx, sink, &mut { OFFSET_OF_FILE }),
        At::Offset if !file.ops().seekable() => file.ops().read(cx, sink, &mut 0),
        At::Offset => file.ops().read(cx, sink, &mut file.offset.lock()),
    }?;
    if done > 0 {
        inotify_hook::read(&task.kernel.inotify, file);
    }
    Ok(done)
}

/// One attempt at writing.
///
/// # Errors
/// The file's.
pub(super) fn write_once(task: &Task, file: &File, source: &mut dyn Source, at: At) -> Result<usize> {
    let cx = FileCx { task, file };
    let done = match at {
        At::Position(mut position) => file.ops().write(cx, source, &mut position),
        At::Offset if file.ops().keeps_offset() => file.ops().write(cx, source, &mut { OFFSET_OF_FILE }),
        At::Offset if !file.ops().seekable() => file.ops().write(cx, source, &mut 0),
        At::Offset => file.ops().write(cx, source, &mut file.offset.lock()),
    }?;
    if done > 0 {
        inotify_hook::written(&task.kernel.inotify, file);
    }
    Ok(done)
}

/// Writes from guest memory, waiting while there is no room; streams go on until all is written.
pub(super) fn write_from(
    cx: &mut ThreadCx,
    file: &Arc<File>,
    segments: &[Segment],
    at: At,
    flags: u32,
) -> SysResult<usize> {
    seekable_at(file, at)?;
    if !file.writable() {
        return Err(Errno::EBADF.into());
    }
    if flags == 0
        && let Some(socket) = file.ops().as_socket()
    {
        return socket_message::write_socket(cx, file, socket, segments);
    }
    let task = Arc::clone(&cx.task);
    let mut source = UserSource::new(&mut *cx.context, segments);
    if flags & (RWF_APPEND | RWF_NOAPPEND) != 0 {
        return write_flagged(&task, file, &mut source, at, flags).map_err(SysError::from);
    }
    let nonblocking = file.nonblocking() || flags & RWF_NOWAIT != 0;
    let result = write_all(&task, file, &mut source, at, nonblocking);
    if let Err(SysError::Errno(errno)) = result {
        failed(&task, errno);
    }
    result
}

/// Writes until the source is used up, as far as the kind of file does that.
pub(super) fn write_all(
    task: &Arc<Task>,
    file: &Arc<File>,
    source: &mut dyn Source,
    at: At,
    nonblocking: bool,
) -> SysResult<usize> {
    if nonblocking {
        return write_once(task, file, source, at).map_err(SysError::from);
    }
    let mut total = 0;
    loop {
        let done = task
            .block_on(&**file, Events::WRITE, None, || write_once(task, file, source, at))
            .map_err(|error| error.or_restart(RestartKind::Sys, Errno::EAGAIN));
        match done {
            Ok(done) => {
                total += done;
                if done == 0 || source.remaining() == 0 || !file.ops().writes_fully() {
                    return Ok(total);
                }
            }
            Err(error) if total == 0 => return Err(error),
            Err(error) => {
                if let SysError::Errno(Errno::EPIPE) = error {
                    failed(task, Errno::EPIPE);
                }
                return Ok(total);
            }
        }
    }
}

/// The signals that go with a failed write.
pub(super) fn failed(task: &Arc<Task>, errno: Errno) {
    if errno == Errno::EPIPE {
        let info = SigInfo::user(SIGPIPE, SI_USER, task.pid(), task.creds().ruid);
        // A standard signal is never refused.
        let _ = send_to_task(task, info);
    } else if errno == Errno::EFBIG {
        file_limits::too_big(task);
    }
}

/// `RWF_APPEND` and `RWF_NOAPPEND`: this write sees another `O_APPEND` than the description has. The view through which
/// it is made shares everything else.
fn write_flagged(
    task: &Arc<Task>,
    file: &Arc<File>,
    source: &mut dyn Source,
    at: At,
    flags: u32,
) -> Result<usize> {
    let wanted = if flags & RWF_APPEND != 0 { file.flags() | O_APPEND } else { file.flags() & !O_APPEND };
    if wanted == file.flags() {
        return write_once(task, file, source, at);
    }
    let (Some(path), Some(inode)) = (file.path(), file.inode()) else { return Err(Errno::EOPNOTSUPP) };
    let view = File::opened(Arc::clone(inode).open(task, wanted)?, wanted, path.clone());
    match at {
        At::Position(_) => write_once(task, &view, source, at),
        At::Offset => {
            let mut offset = file.offset.lock();
            view.ops().write(FileCx { task, file: &view }, source, &mut offset)
        }
    }
}
