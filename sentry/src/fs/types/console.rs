//! Terminals whose master is outside the sandbox: what `sandbox run -t` and `runsc exec -t` give a process.
//!
//! The pty with its line discipline is the sentry's; the host sees a raw wire. Two threads move bytes, each asleep in the
//! host kernel or parked unless there is something to move.

use std::{
    fs::File as HostFile,
    io::{Read, Write},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use linux_abi::{Errno, Result, fcntl::O_RDWR};
use parking_lot::Mutex;

use super::tty::{Pty, devpts::DevPts, termios::WindowSize};
use crate::{
    boot::Terminal,
    fs::{file::File, walk::nameless_path},
    task::Task,
    wait::{Events, Wake, Watch},
};

/// How long the end of a process waits for its last output to reach the host.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
const STACK_SIZE: usize = 64 << 10;

/// The consoles of a sandbox.
#[derive(Default)]
pub struct Consoles {
    open: Mutex<Vec<Arc<Console>>>,
}

struct Console {
    pty: Arc<Pty>,
    /// The output thread holds bytes that it has not written yet.
    writing: AtomicBool,
    /// The host no longer takes output.
    broken: AtomicBool,
}

impl Consoles {
    /// Waits until what processes have written has reached the host, or a limit has passed.
    pub fn drain(&self) {
        let deadline = Instant::now() + DRAIN_LIMIT;
        let consoles = self.open.lock().clone();
        for console in consoles {
            while console.is_busy() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Console {
    fn is_busy(&self) -> bool {
        let waiting = self.writing.load(Ordering::SeqCst) || self.pty.has_output();
        waiting && !self.broken.load(Ordering::SeqCst)
    }
}

/// Makes a pty whose other end is `wire`, the controlling terminal of `task`, and returns its standard descriptors.
///
/// # Errors
/// `ENOSPC` for too many ptys, `EAGAIN` when the host has no thread left.
pub fn open(task: &Arc<Task>, wire: Terminal, size: (u16, u16)) -> Result<Vec<(i32, Arc<File>)>> {
    let kernel = &task.kernel;
    let named = kernel.devpts.lock().upgrade();
    let devpts = named.clone().unwrap_or_else(|| DevPts::new(kernel, 0));
    let creds = task.creds();
    let pty = devpts.make_pty(creds.euid, creds.egid)?;
    pty.set_locked(false);
    pty.set_size(WindowSize { rows: size.0, columns: size.1, ..WindowSize::default() });
    let slave = pty.open_slave()?;
    super::tty::make_controlling(&pty, task);
    let place = match named.and_then(|fs| fs.place_of(task, pty.index)) {
        Some(place) => place,
        None => nameless_path(devpts.slave(pty.index).ok_or(Errno::EIO)?),
    };
    let file = File::opened(Box::new(slave), O_RDWR, place);
    let console = Arc::new(Console {
        pty: Arc::clone(&pty),
        writing: AtomicBool::new(false),
        broken: AtomicBool::new(false),
    });
    start_input(Arc::clone(&pty), wire.input)?;
    start_output(Arc::clone(&console), wire.output)?;
    kernel.consoles.open.lock().push(console);
    // The devpts must outlive the pty's name.
    Ok((0..3).map(|fd| (fd, Arc::clone(&file))).collect())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE);
    builder.spawn(run).map(drop).map_err(|_| Errno::EAGAIN)
}

/// From the host to the pty.
fn start_input(pty: Arc<Pty>, from: OwnedFd) -> Result<()> {
    spawn("console-in", move || {
        let mut from = HostFile::from(from);
        let mut buffer = [0; 1024];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let mut rest = buffer.get(..count).unwrap_or_default();
            while !rest.is_empty() {
                let taken = pty.input(rest);
                rest = rest.get(taken..).unwrap_or_default();
                if taken == 0 {
                    // The program does not read: what was typed ahead waits.
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(&self, _ready: Events) {
        self.0.unpark();
    }
}

/// From the pty to the host.
fn start_output(console: Arc<Console>, to: OwnedFd) -> Result<()> {
    spawn("console-out", move || {
        let mut to = HostFile::from(to);
        let mut watch = Watch::new(Arc::new(Unpark(thread::current())), Events::all());
        console.pty.master_events().register(&mut watch);
        loop {
            console.writing.store(true, Ordering::SeqCst);
            let bytes = console.pty.output(4096);
            let done = bytes.is_empty() || to.write_all(&bytes).is_ok();
            console.writing.store(false, Ordering::SeqCst);
            if !done {
                break;
            }
            if bytes.is_empty() {
                thread::park();
            }
        }
        console.broken.store(true, Ordering::SeqCst);
        console.pty.master_closed();
    })
}
