//! The open slave of a pty: the terminal that programs see.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use linux_abi::{Errno, Result};

use super::{
    ioctl, job,
    pair::Pty,
    termios::{ICANON, TOSTOP, VMIN, VTIME},
};
use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        io::{Sink, Source},
    },
    signal::{SIGTTIN, SIGTTOU},
    task::ThreadCx,
    wait::{Events, Watch},
};

/// The most that one read or write moves.
const CHUNK: usize = 4096;

/// An open terminal.
pub struct Slave {
    pty: Arc<Pty>,
    /// Somebody sleeps in a read: if the master closes meanwhile, that read fails; later ones see the end.
    reading: AtomicBool,
}

impl Slave {
    pub(super) fn new(pty: Arc<Pty>) -> Slave {
        Slave { pty, reading: AtomicBool::new(false) }
    }

    /// The pty.
    pub fn pty(&self) -> &Arc<Pty> {
        &self.pty
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        if self.pty.slaves.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.pty.master_events.wake(Events::all());
        }
    }
}

impl FileOps for Slave {
    fn read(&self, cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        job::check(&self.pty, cx.task, SIGTTIN)?;
        let max = dst.remaining().min(CHUNK);
        let bytes = {
            let mut state = self.pty.state.lock();
            if state.hung_up {
                return if self.reading.swap(false, Ordering::Relaxed) { Err(Errno::EIO) } else { Ok(0) };
            }
            self.reading.store(!cx.file.nonblocking(), Ordering::Relaxed);
            if max == 0 {
                return Ok(0);
            }
            let termios = state.termios;
            let raw = !termios.has_local(ICANON);
            if raw
                && !state.discipline.has_input(&termios)
                && termios.number(VMIN) > 0
                && state.discipline.readable() == 0
            {
                return Err(Errno::EAGAIN);
            }
            if raw
                && termios.number(VMIN) > 0
                && termios.number(VTIME) == 0
                && !state.discipline.has_input(&termios)
            {
                return Err(Errno::EAGAIN);
            }
            match state.discipline.read(&termios, max) {
                Some(bytes) => bytes,
                // MIN 0 TIME 0 polls; MIN 0 TIME > 0 waits, up to a deadline that `read_deadline` tells the caller.
                None if raw && termios.number(VMIN) == 0 && termios.number(VTIME) == 0 => Vec::new(),
                None => return Err(Errno::EAGAIN),
            }
        };
        self.reading.store(false, Ordering::Relaxed);
        self.pty.master_events.wake(Events::OUT | Events::WRNORM);
        if bytes.is_empty() { Ok(0) } else { dst.put(&bytes) }
    }

    fn write(&self, cx: FileCx<'_>, src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        if self.pty.state.lock().termios.has_local(TOSTOP) {
            job::check(&self.pty, cx.task, SIGTTOU)?;
        }
        let mut done = 0;
        while src.remaining() > 0 {
            let taken = src.drain(CHUNK, &mut |bytes| {
                let mut state = self.pty.state.lock();
                if state.hung_up {
                    return Err(Errno::EIO);
                }
                let termios = state.termios;
                Ok(state.discipline.write(&termios, bytes))
            });
            match taken {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
            self.pty.master_events.wake(Events::IN | Events::RDNORM);
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.pty.slave_events.register(watch);
        }
        let state = self.pty.state.lock();
        let mut events = Events::empty();
        if state.discipline.has_input(&state.termios) {
            events |= Events::IN | Events::RDNORM;
        }
        if state.discipline.output_room() > 0 {
            events |= Events::OUT | Events::WRNORM;
        }
        if state.hung_up {
            events |= Events::IN | Events::RDNORM | Events::OUT | Events::WRNORM | Events::ERR | Events::HUP;
        }
        events
    }

    fn read_deadline(&self) -> Option<Instant> {
        let termios = self.pty.state.lock().termios;
        let tenths = u64::from(termios.number(VTIME));
        let timed = !termios.has_local(ICANON) && termios.number(VMIN) == 0 && tenths > 0;
        timed.then(|| Instant::now() + Duration::from_millis(100 * tenths))
    }

    fn ioctl(&self, cx: &mut ThreadCx, file: &Arc<File>, request: u32, arg: u64) -> Result<u64> {
        ioctl::slave(cx, self, file, request, arg)
    }
}
