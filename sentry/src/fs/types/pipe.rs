//! Pipes and FIFOs (pipe(7), fifo(7)).
//!
//! A [`Pipe`] is the buffer and the count of its ends; a [`PipeFile`] is one open end (or both, for a FIFO opened
//! `O_RDWR`). An anonymous pipe has an inode of `pipefs`; a FIFO's pipe hangs on [`InodeCommon::fifo`] of its inode and
//! lives as long as that, but forgets its content with its last end.
//!
//! Locks: `Pipe::state` is held while bytes are copied, as in Linux: that is what makes writes atomic.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY},
};
use parking_lot::Mutex;

use super::{
    pipe_buffer::{Buffer, PIPE_BUF},
    pipe_inode::PipeInode,
    pipe_pages::{Charge, PipePages},
};
use crate::{
    error::{RestartKind, SysResult},
    fs::{
        file::{File, FileCx, FileOps},
        inode::Inode,
        io::{Sink, Source},
    },
    task::{Task, ThreadCx, usermem::UserMemory},
    wait::{Events, WaitQueue, Watch},
};

use linux_abi::ioctl::FIONREAD;

/// `/proc/sys/fs/pipe-max-size`. Nobody gets more here, whatever their capabilities: it is the sentry's memory.
pub const PIPE_MAX_SIZE: u32 = 1 << 20;

/// What a reader finds ready.
const READABLE: Events = Events::IN.union(Events::RDNORM);
/// What a writer finds ready.
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);

/// The buffer between the two ends.
pub struct Pipe {
    state: Mutex<State>,
    queue: WaitQueue,
    /// Inode number of an anonymous pipe; zero for a FIFO.
    ino: u64,
    pages: Arc<PipePages>,
}

#[derive(Default)]
struct State {
    buffer: Buffer,
    /// The buffer's capacity, counted; there while an end is open.
    charge: Option<Charge>,
    readers: u32,
    writers: u32,
    /// How often the ends were opened: a FIFO's open waits for the other's count to move.
    reader_opens: u64,
    writer_opens: u64,
}

impl Pipe {
    /// A pipe without ends, one of those that share `pages`.
    pub fn new(ino: u64, pages: &Arc<PipePages>) -> Arc<Pipe> {
        Arc::new(Pipe { state: Mutex::default(), queue: WaitQueue::new(), ino, pages: Arc::clone(pages) })
    }

    /// Adds an end. The pipe is told of its end by dropping the [`PipeFile`]. Also tells whether the other side was open
    /// at that moment, and how often it had been opened.
    ///
    /// # Errors
    /// `ENFILE` if it is the first and all pipes together hold too much.
    fn open_end(self: &Arc<Self>, read: bool, write: bool) -> Result<(PipeFile, bool, u64)> {
        let (partner_there, partner_opens) = {
            let mut state = self.state.lock();
            if state.charge.is_none() {
                let charge = self.pages.charge()?;
                state.buffer.set_slots(charge.slots())?;
                state.charge = Some(charge);
            }
            state.readers += u32::from(read);
            state.writers += u32::from(write);
            state.reader_opens += u64::from(read);
            state.writer_opens += u64::from(write);
            if read {
                (state.writers > 0, state.writer_opens)
            } else {
                (state.readers > 0, state.reader_opens)
            }
        };
        self.queue.wake(Events::all());
        let end = PipeFile { pipe: Arc::clone(self), read, write, no_hup_at: AtomicU64::new(u64::MAX) };
        Ok((end, partner_there, partner_opens))
    }

    fn read(&self, dst: &mut dyn Sink) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let (result, made_room) = {
            let mut state = self.state.lock();
            if state.buffer.is_empty() && state.writers == 0 {
                return Ok(0);
            }
            let was_full = state.buffer.is_full();
            (state.buffer.read(dst), was_full && !state.buffer.is_full())
        };
        if made_room {
            self.queue.wake(WRITABLE);
        }
        result
    }

    fn write(&self, src: &mut dyn Source, packet: bool) -> Result<usize> {
        if src.remaining() == 0 {
            return Ok(0);
        }
        let result = {
            let mut state = self.state.lock();
            if state.readers == 0 {
                return Err(Errno::EPIPE);
            }
            state.buffer.write(src, packet)
        };
        if result.is_ok() {
            self.queue.wake(READABLE);
        }
        result
    }

    /// Moves (or with `keep` copies) up to `max` bytes from `self` to `to` without touching guest memory.
    ///
    /// # Errors
    /// `EINVAL` for the same pipe, `EPIPE`; `EAGAIN` when `self` is empty or `to` is full: [`Pipe::is_empty`] tells which.
    pub fn transfer(self: &Arc<Self>, to: &Arc<Pipe>, max: usize, keep: bool) -> Result<usize> {
        if Arc::ptr_eq(self, to) {
            return Err(Errno::EINVAL);
        }
        let result = {
            // Two locks of one kind: always the lower address first.
            let (mut from_state, mut to_state);
            if Arc::as_ptr(self) < Arc::as_ptr(to) {
                from_state = self.state.lock();
                to_state = to.state.lock();
            } else {
                to_state = to.state.lock();
                from_state = self.state.lock();
            }
            if to_state.readers == 0 {
                return Err(Errno::EPIPE);
            }
            if from_state.buffer.is_empty() && from_state.writers == 0 {
                return Ok(0);
            }
            from_state.buffer.transfer(&mut to_state.buffer, max, keep)
        };
        if result.is_ok() {
            to.queue.wake(READABLE);
            if !keep {
                self.queue.wake(WRITABLE);
            }
        }
        result
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.state.lock().buffer.is_empty()
    }

    /// Bytes that can be read.
    pub fn available(&self) -> usize {
        self.state.lock().buffer.len()
    }

    /// Whether a writer is left.
    pub fn has_writers(&self) -> bool {
        self.state.lock().writers > 0
    }

    /// Whether a reader is left.
    pub fn has_readers(&self) -> bool {
        self.state.lock().readers > 0
    }

    /// Capacity in bytes (`F_GETPIPE_SZ`).
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.state.lock().buffer.capacity()).unwrap_or(PIPE_MAX_SIZE)
    }

    /// Sets the capacity to at least `size` (`F_SETPIPE_SZ`), returning what it became.
    ///
    /// # Errors
    /// `EINVAL` above 2 GiB, `EPERM` above [`PIPE_MAX_SIZE`] or what all pipes may have unless the pipe shrinks, `EBUSY`
    /// if it holds more.
    pub fn set_capacity(&self, size: u32) -> Result<u32> {
        if size > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let rounded = size.max(4096).next_power_of_two();
        let made_room = {
            let mut state = self.state.lock();
            let old = state.buffer.capacity();
            if rounded > PIPE_MAX_SIZE && rounded as usize > old {
                return Err(Errno::EPERM);
            }
            let was_full = state.buffer.is_full();
            let slots = rounded as usize / PIPE_BUF;
            if slots * PIPE_BUF > old
                && let Some(charge) = &mut state.charge
            {
                charge.resize(slots)?;
            }
            state.buffer.set_slots(slots)?;
            if let Some(charge) = &mut state.charge {
                charge.resize(slots)?;
            }
            was_full && !state.buffer.is_full()
        };
        if made_room {
            self.queue.wake(WRITABLE);
        }
        Ok(rounded)
    }
}

/// A pipe's changes can be waited for; what they are is looked at by whoever waits.
impl crate::wait::Pollable for Pipe {
    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        self.queue.poll(watch)
    }
}

/// One open end of a pipe; both for a FIFO opened `O_RDWR`.
pub struct PipeFile {
    pipe: Arc<Pipe>,
    read: bool,
    write: bool,
    /// A reader that opened a FIFO without waiting sees no hang-up until a writer has come: the value of `writer_opens` at
    /// which it sees none. `u64::MAX`: it sees every hang-up.
    no_hup_at: AtomicU64,
}

impl PipeFile {
    /// The pipe.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }
}

impl Drop for PipeFile {
    fn drop(&mut self) {
        {
            let mut state = self.pipe.state.lock();
            state.readers -= u32::from(self.read);
            state.writers -= u32::from(self.write);
            if state.readers == 0 && state.writers == 0 {
                state.buffer.clear();
                state.charge = None;
            }
        }
        self.pipe.queue.wake(Events::all());
    }
}

impl FileOps for PipeFile {
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        self.pipe.read(dst)
    }

    fn write(&self, cx: FileCx<'_>, src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        self.pipe.write(src, cx.file.flags() & O_DIRECT != 0)
    }

    /// As `pipe_poll`.
    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.pipe.queue.register(watch);
        }
        let state = self.pipe.state.lock();
        let mut ready = Events::empty();
        if self.read {
            if !state.buffer.is_empty() {
                ready |= READABLE;
            }
            if state.writers == 0 && self.no_hup_at.load(Ordering::Relaxed) != state.writer_opens {
                ready |= Events::HUP;
            }
        }
        if self.write {
            if !state.buffer.is_full() {
                ready |= WRITABLE;
            }
            if state.readers == 0 {
                ready |= Events::ERR;
            }
        }
        ready
    }

    fn ioctl(&self, cx: &mut ThreadCx, _file: &Arc<File>, request: u32, arg: u64) -> Result<u64> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let available = i32::try_from(self.pipe.available()).unwrap_or(i32::MAX);
        cx.write_obj(UserAddr(arg), &available)?;
        Ok(0)
    }

    fn writes_fully(&self) -> bool {
        true
    }

    fn anonymous_name(&self) -> String {
        format!("pipe:[{}]", self.pipe.ino)
    }
}

/// Both ends of a new anonymous pipe: the reading one first. `flags` are those of pipe2(2).
///
/// # Errors
/// `ENFILE` if all pipes together hold too much.
pub fn new_pipe(task: &Task, flags: u32) -> Result<(Arc<File>, Arc<File>)> {
    let inode = PipeInode::new(&task.kernel.pipefs, &task.creds());
    let pipe = inode.pipe();
    let node: Arc<dyn Inode> = inode;
    let reader = Box::new(pipe.open_end(true, false)?.0);
    let writer = Box::new(pipe.open_end(false, true)?.0);
    Ok((
        File::unnamed(reader, O_RDONLY | flags & O_NONBLOCK, Arc::clone(&node)),
        File::unnamed(writer, O_WRONLY | flags & (O_NONBLOCK | O_DIRECT), node),
    ))
}

/// Opens the FIFO `inode` (or, through /proc/PID/fd, an anonymous pipe), waiting for the other end as fifo(7) says.
///
/// # Errors
/// `ENXIO` for a writer that must not wait and has no reader; `EINVAL` for access mode 3; a restart if interrupted.
pub fn open_fifo(task: &Task, inode: &Arc<dyn Inode>, flags: u32) -> SysResult<Box<dyn FileOps>> {
    let pipe = Arc::clone(
        inode.common().fifo.lock().get_or_insert_with(|| Pipe::new(0, task.kernel.pipefs.pages())),
    );
    let (read, write) = match flags & 3 {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(Errno::EINVAL.into()),
    };
    let nonblock = flags & O_NONBLOCK != 0;
    if pipe.ino != 0 || (read && write) {
        return Ok(Box::new(pipe.open_end(read, write)?.0));
    }
    if write && nonblock && !pipe.has_readers() {
        return Err(Errno::ENXIO.into());
    }
    let (end, partner_there, partner_opens) = pipe.open_end(read, write)?;
    if partner_there {
        return Ok(Box::new(end));
    }
    if nonblock {
        end.no_hup_at.store(partner_opens, Ordering::Relaxed);
        return Ok(Box::new(end));
    }
    let came = || {
        let state = pipe.state.lock();
        let opens = if read { state.writer_opens } else { state.reader_opens };
        if opens == partner_opens { Err(Errno::EAGAIN) } else { Ok(()) }
    };
    task.block_on(&*pipe, Events::all(), None, came)
        .map_err(|e| e.or_restart(RestartKind::Sys, Errno::EAGAIN))?;
    Ok(Box::new(end))
}

#[cfg(test)]
#[path = "pipe_tests.rs"]
mod tests;
