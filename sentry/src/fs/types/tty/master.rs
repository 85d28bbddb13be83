//! The open master of a pty.

use std::sync::{Arc, Weak};

use linux_abi::{Errno, Result};

use super::{devpts::DevPts, ioctl, pair::Pty};
use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        io::{Sink, Source},
    },
    task::ThreadCx,
    wait::{Events, Watch},
};

/// The most that one read or write moves.
const CHUNK: usize = 4096;

/// What opening ptmx gives.
pub struct Master {
    pty: Arc<Pty>,
    /// Where its slave has a name.
    home: Weak<DevPts>,
}

impl Master {
    pub(super) fn new(pty: Arc<Pty>, home: Weak<DevPts>) -> Master {
        Master { pty, home }
    }

    /// The pty.
    pub fn pty(&self) -> &Arc<Pty> {
        &self.pty
    }

    /// The filesystem the slave is on.
    pub(super) fn home(&self) -> Option<Arc<DevPts>> {
        self.home.upgrade()
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.pty.master_closed();
        if let Some(home) = self.home.upgrade() {
            home.forget(self.pty.index);
        }
    }
}

impl FileOps for Master {
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        let mut room = dst.remaining().min(CHUNK);
        if room == 0 {
            return Ok(0);
        }
        let packet = {
            let mut state = self.pty.state.lock();
            let status = std::mem::take(&mut state.packet_status);
            state.packet_mode.then_some(status)
        };
        if let Some(status) = packet.filter(|&status| status != 0) {
            return dst.put(&[status]);
        }
        if packet.is_some() {
            room -= 1;
        }
        let bytes = self.pty.output(room);
        if bytes.is_empty() {
            return Err(if self.pty.is_abandoned() { Errno::EIO } else { Errno::EAGAIN });
        }
        let head = if packet.is_some() { dst.put(&[0])? } else { 0 };
        Ok(head + dst.put(&bytes)?)
    }

    fn write(&self, _cx: FileCx<'_>, src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        let mut done = 0;
        while src.remaining() > 0 {
            let taken = src.drain(CHUNK, &mut |bytes| Ok(self.pty.input(bytes)))?;
            done += taken;
            if taken == 0 {
                return if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) };
            }
        }
        Ok(done)
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.pty.master_events.register(watch);
        }
        let state = self.pty.state.lock();
        let mut events = Events::empty();
        if state.discipline.output_len() > 0 || (state.packet_mode && state.packet_status != 0) {
            events |= Events::IN | Events::RDNORM;
        }
        if state.packet_mode && state.packet_status != 0 {
            events |= Events::PRI;
        }
        if state.discipline.input_room(&state.termios) > 0 {
            events |= Events::OUT | Events::WRNORM;
        }
        drop(state);
        if self.pty.is_abandoned() {
            events |= Events::HUP;
        }
        events
    }

    fn ioctl(&self, cx: &mut ThreadCx, _file: &Arc<File>, request: u32, arg: u64) -> Result<u64> {
        ioctl::master(cx, self, request, arg)
    }

    fn sync(&self) -> Result<()> {
        Err(Errno::EINVAL)
    }
}
