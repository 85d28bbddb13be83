//! A pty: the state between a master and its slaves.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use linux_abi::{Errno, Result, stat::makedev};
use parking_lot::Mutex;

use super::{
    discipline::Discipline,
    slave::Slave,
    termios::{Termios, WindowSize},
};
use crate::{
    fs::{file::FileOps, types::tty_hook::Terminal},
    kernel::Kernel,
    signal::{SIGCONT, SIGHUP, SIGWINCH, info::SigInfo, send},
    task::Pid,
    wait::{Events, WaitQueue},
};

/// The number of a slave's driver (`UNIX98_PTY_SLAVE_MAJOR`).
pub const SLAVE_MAJOR: u32 = 136;

/// A pseudo-terminal.
pub struct Pty {
    /// Its number: /dev/pts/N.
    pub index: u32,
    pub(super) kernel: Weak<Kernel>,
    pub(super) state: Mutex<State>,
    /// Announces to readers and writers of the slave.
    pub(super) slave_events: WaitQueue,
    /// Announces to readers and writers of the master.
    pub(super) master_events: WaitQueue,
    /// Open slaves.
    pub(super) slaves: AtomicUsize,
    this: Weak<Pty>,
}

/// What changes.
pub(super) struct State {
    pub(super) termios: Termios,
    pub(super) size: WindowSize,
    pub(super) discipline: Discipline,
    /// `TIOCSPTLCK`: a locked slave cannot be opened.
    pub(super) locked: bool,
    /// The master was closed.
    pub(super) hung_up: bool,
    /// A slave has been open at least once: until then the master is not at its end.
    pub(super) was_open: bool,
    /// The session whose controlling terminal this is.
    pub(super) session: Option<Pid>,
    /// `TIOCPKT`, and what happened since the master last looked.
    pub(super) packet_mode: bool,
    pub(super) packet_status: u8,
    /// `TIOCEXCL`.
    pub(super) exclusive: bool,
}

impl Pty {
    /// Number `index`, locked as ptmx hands it out.
    pub fn new(kernel: &Arc<Kernel>, index: u32) -> Arc<Pty> {
        Arc::new_cyclic(|this| Pty {
            index,
            kernel: Arc::downgrade(kernel),
            state: Mutex::new(State {
                termios: Termios::default(),
                size: WindowSize::default(),
                discipline: Discipline::default(),
                locked: true,
                hung_up: false,
                was_open: false,
                session: None,
                packet_mode: false,
                packet_status: 0,
                exclusive: false,
            }),
            slave_events: WaitQueue::new(),
            master_events: WaitQueue::new(),
            slaves: AtomicUsize::new(0),
            this: Weak::clone(this),
        })
    }

    /// Opens the slave.
    ///
    /// # Errors
    /// `EIO` while locked or after the master's end.
    pub fn open_slave(&self) -> Result<Slave> {
        let this = self.this.upgrade().ok_or(Errno::EIO)?;
        let mut state = self.state.lock();
        if state.locked || state.hung_up {
            return Err(Errno::EIO);
        }
        state.was_open = true;
        drop(state);
        self.slaves.fetch_add(1, Ordering::SeqCst);
        Ok(Slave::new(this))
    }

    /// `TIOCSPTLCK`.
    pub fn set_locked(&self, locked: bool) {
        self.state.lock().locked = locked;
    }

    /// Characters arrive from the master's side. Returns how many were taken.
    pub fn input(&self, bytes: &[u8]) -> usize {
        let (taken, effects) = {
            let mut state = self.state.lock();
            let termios = state.termios;
            let taken = bytes.len().min(state.discipline.input_room(&termios));
            let bytes = bytes.get(..taken).unwrap_or_default();
            (taken, state.discipline.receive(&termios, bytes))
        };
        self.slave_events.wake(Events::IN | Events::RDNORM | Events::OUT | Events::WRNORM);
        self.master_events.wake(Events::IN | Events::RDNORM);
        for signo in effects.signals {
            self.signal_foreground(signo);
        }
        taken
    }

    /// Characters for the master's side, at most `max`.
    pub fn output(&self, max: usize) -> Vec<u8> {
        let bytes = self.state.lock().discipline.take_output(max);
        if !bytes.is_empty() {
            self.slave_events.wake(Events::OUT | Events::WRNORM);
        }
        bytes
    }

    /// Whether output waits for the master's side.
    pub fn has_output(&self) -> bool {
        self.state.lock().discipline.output_len() > 0
    }

    /// The queue that announces output to the master's side.
    pub fn master_events(&self) -> &WaitQueue {
        &self.master_events
    }

    /// Whether every slave that was ever open is closed.
    pub fn is_abandoned(&self) -> bool {
        self.state.lock().was_open && self.slaves.load(Ordering::SeqCst) == 0
    }

    /// Changes the size; the foreground process group hears of it.
    pub fn set_size(&self, size: WindowSize) {
        {
            let mut state = self.state.lock();
            if state.size == size {
                return;
            }
            state.size = size;
        }
        self.signal_foreground(SIGWINCH);
    }

    fn signal_foreground(&self, signo: i32) {
        let Some(kernel) = self.kernel.upgrade() else { return };
        let session = self.state.lock().session;
        let foreground =
            session.and_then(|sid| kernel.tasks.lock().session(sid).map(|session| session.foreground));
        if let Some(pgid) = foreground.filter(|&pgid| pgid > 0) {
            send::send_to_pgrp(&kernel, pgid, SigInfo::kernel(signo));
        }
    }

    /// The master is gone: readers see the end, writers fail, the session is told.
    pub fn master_closed(&self) {
        let session = {
            let mut state = self.state.lock();
            state.hung_up = true;
            state.session.take()
        };
        self.slave_events.wake(Events::all());
        let (Some(kernel), Some(sid)) = (self.kernel.upgrade(), session) else { return };
        let (leader, foreground) = {
            let mut tree = kernel.tasks.lock();
            let foreground = tree.session_mut(sid).map_or(0, |session| {
                session.tty = None;
                std::mem::take(&mut session.foreground)
            });
            (tree.process(sid).map(|process| Arc::clone(&process.group)), foreground)
        };
        for signo in [SIGHUP, SIGCONT] {
            if let Some(leader) = &leader {
                let _ = send::send_to_group(&kernel, leader, SigInfo::kernel(signo));
            }
            if foreground > 0 && foreground != sid {
                send::send_to_pgrp(&kernel, foreground, SigInfo::kernel(signo));
            }
        }
    }
}

impl Terminal for Pty {
    fn device(&self) -> u64 {
        makedev(SLAVE_MAJOR, self.index)
    }

    fn resize(&self, rows: u16, columns: u16) {
        self.set_size(WindowSize { rows, columns, ..WindowSize::default() });
    }

    fn hang_up(&self) {
        self.state.lock().session = None;
        self.slave_events.wake(Events::all());
        self.master_events.wake(Events::all());
    }

    fn open_slave(&self) -> Result<Box<dyn FileOps>> {
        Ok(Box::new(Pty::open_slave(self)?))
    }
}
