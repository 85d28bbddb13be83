//! What the tests of the backends share: making a process and giving it code.
#![allow(dead_code, clippy::panic, reason = "tests; each uses its part")]

use std::{os::fd::OwnedFd, sync::mpsc, thread, time::Duration};

use platform::{
    Backing, Context, Errno, Layout, PageRange, Platform, Process, Prot, Registers, Trap, UserAddr,
    ptrace::Ptrace,
    systrap::{Config, Systrap},
};

/// Where guest code goes.
pub(crate) const CODE: u64 = 0x40_0000;
/// A writable page for guests.
pub(crate) const DATA: u64 = 0x50_0000;
/// Bytes there.
pub(crate) const DATA_LEN: u64 = 0x1_0000;

pub(crate) const RW: Prot = Prot::READ.with(Prot::WRITE);
pub(crate) const RX: Prot = Prot::READ.with(Prot::EXEC);
pub(crate) const ANON: Backing<'static> = Backing::Anonymous { no_reserve: false };

pub(crate) fn systrap() -> Systrap {
    Systrap::new(Config::default()).expect("systrap works here")
}

/// The platform to test: ptrace in the test programs whose name begins so, else systrap.
pub(crate) struct Backend(Box<dyn Platform>);

/// Whether it is ptrace.
pub(crate) const TRACED: bool = module_path!().as_bytes()[0] == b'p';

pub(crate) fn platform() -> Backend {
    Backend(if TRACED {
        Box::new(Ptrace::new(Config::default()).expect("ptrace works here"))
    } else {
        Box::new(systrap())
    })
}

impl Platform for Backend {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn layout(&self) -> &Layout {
        self.0.layout()
    }

    fn new_process(&self) -> Result<Process, Errno> {
        self.0.new_process()
    }
}

pub(crate) fn pages(start: u64, len: u64) -> PageRange {
    PageRange::covering(start, len).expect("a page range")
}

/// Maps `code` at [`CODE`] and a data page, and returns registers to start it with.
pub(crate) fn load(context: &mut dyn Context, code: &[u8]) -> Registers {
    let range = pages(CODE, code.len().max(1) as u64);
    context.map(range, ANON, RW).expect("mapping code");
    context.write(UserAddr(CODE), code).expect("writing code");
    context.protect(range, RX).expect("protecting code");
    context.map(pages(DATA, DATA_LEN), ANON, RW).expect("mapping data");
    Registers::entry(CODE, DATA + DATA_LEN)
}

/// A process that runs `code`.
pub(crate) fn process(platform: &Backend, code: &[u8]) -> (Process, Registers) {
    let mut process = platform.new_process().expect("a process");
    let regs = load(&mut *process.context, code);
    (process, regs)
}

/// Runs to the next trap, which must be a system call; returns its number.
pub(crate) fn call(context: &mut dyn Context, regs: &mut Registers) -> u64 {
    match context.run(regs) {
        Trap::Syscall => regs.rax,
        other => panic!("{other:?} at {:#x}", regs.rip),
    }
}

pub(crate) fn memfd(content: &[u8]) -> OwnedFd {
    use std::io::Write;
    let file = std::fs::File::from(host::memfd::create(c"test", 0).expect("memfd"));
    (&file).write_all(content).expect("write");
    file.into()
}

/// Runs `f` on a thread of its own and fails if it takes longer than `limit`.
pub(crate) fn within<T: Send + 'static>(limit: Duration, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || send.send(f()));
    match receive.recv_timeout(limit) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still running after {limit:?}"),
        Err(_) => {
            thread.join().expect("no panic").expect("sent");
            panic!("no result")
        }
    }
}
