//! Terminals: ptys, their line discipline, job control (termios(3), pty(7), ioctl_tty(2)).
//!
//! * `termios.rs`: settings.
//! * `discipline.rs`: N_TTY: canonical input, editing, echo, signal characters, output processing.
//! * `pair.rs`: [`Pty`], the state behind a master and its slaves.
//! * `master.rs`, `slave.rs`: the open ends; `ioctl.rs`: what both answer; `job.rs`: sessions and process groups.
//! * `devpts.rs`: the filesystem with `ptmx` and the slaves; `console.rs` (above): a pty whose master is the host.
//!
//! Lock order: task tree → `Pty::state`. Signals are sent with no terminal lock held.

pub mod devpts;
mod discipline;
mod ioctl;
mod job;
mod master;
pub mod pair;
mod slave;
pub mod termios;

use std::sync::Arc;

use linux_abi::{Errno, Result, stat::makedev};

pub use self::{master::Master, pair::Pty, slave::Slave};
use crate::{
    fs::{
        device::{Devices, Driver},
        file::FileOps,
        inode::{FileType, Inode},
    },
    task::Task,
};

/// Makes the terminal drivers known.
pub fn register(devices: &Devices) {
    devices.register(FileType::CharDevice, makedev(5, 0), Arc::new(Controlling));
}

/// Makes `pty` the controlling terminal of `task`, a session leader without one.
pub(super) fn make_controlling(pty: &Arc<Pty>, task: &Task) {
    job::adopt_on_open(pty, task);
}

/// /dev/tty: the controlling terminal of whoever opens it.
struct Controlling;

impl Driver for Controlling {
    fn open(&self, task: &Task, _inode: &Arc<dyn Inode>, _flags: u32) -> Result<Box<dyn FileOps>> {
        if task.group.lost_terminal.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Errno::ENXIO);
        }
        let tree = task.kernel.tasks.lock();
        let sid = tree.process(task.pid()).map_or(0, |process| process.sid);
        let tty = tree.session(sid).and_then(|session| session.tty.clone()).ok_or(Errno::ENXIO)?;
        drop(tree);
        tty.open_slave()
    }
}
