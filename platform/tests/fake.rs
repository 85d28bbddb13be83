//! The fake platform keeps the contract as far as tests of the sentry depend on it.

use std::{
    io::Write,
    os::{fd::AsFd, unix::fs::FileExt},
    thread,
    time::Duration,
};

use platform::{
    AccessFault, Backing, Context, Errno, MapError, PageRange, Platform, Process, Prot, Registers, Trap,
    UserAddr,
    fake::{Fake, Script},
};

const ANON: Backing<'static> = Backing::Anonymous { no_reserve: false };
const RW: Prot = Prot::READ.with(Prot::WRITE);
const A: u64 = 0x1000_0000;
const B: u64 = 0x2000_0000;

fn pages(start: u64, len: u64) -> PageRange {
    PageRange::covering(start, len).expect("a page range")
}

fn start(script: Script) -> Process {
    Fake::new([script]).new_process().expect("a process")
}

fn read(context: &mut dyn Context, at: u64, len: usize) -> Result<Vec<u8>, AccessFault> {
    let mut bytes = vec![0; len];
    context.read(UserAddr(at), &mut bytes).map(|()| bytes)
}

#[test]
fn calls_are_made_and_their_results_recorded() {
    let script = Script::new().call(39, [0; 6]).then(|guest| {
        let first = guest.result(0);
        guest.call(1, [first, 2, 3, 4, 5, 6])
    });
    let record = script.record();
    let mut process = start(script);
    let mut regs = Registers::entry(A, 0);
    assert_eq!(process.context.run(&mut regs), Trap::Syscall);
    assert_eq!((regs.rax, regs.orig_rax, regs.rip), (39, 39, A + 2));
    regs.rax = 7;
    assert_eq!(process.context.run(&mut regs), Trap::Syscall);
    assert_eq!((regs.rax, regs.arguments()), (1, [7, 2, 3, 4, 5, 6]));
    assert_eq!(record.get(), [7]);
    regs.rax = 8;
    assert_eq!(process.context.run(&mut regs), Trap::Gone);
    assert_eq!(record.get(), [7, 8]);
}

#[test]
fn memory_can_be_mapped_protected_moved_and_unmapped() {
    let mut process = start(Script::new());
    let context = &mut *process.context;
    context.map(pages(A, 0x4000), ANON, RW).expect("map");
    context.write(UserAddr(A + 0x1ffe), b"abcd").expect("write");
    assert_eq!(read(context, A + 0x1ffe, 4).expect("read"), b"abcd");
    context.protect(pages(A, 0x1000), Prot::READ).expect("protect");
    assert_eq!(context.write(UserAddr(A), b"x"), Err(AccessFault { done: 0 }));
    assert_eq!(context.write(UserAddr(A + 0x3fff), b"xy"), Err(AccessFault { done: 1 }));
    context.protect(pages(A + 0x2000, 0x1000), Prot::NONE).expect("protect");
    assert_eq!(read(context, A + 0x1ffe, 4), Err(AccessFault { done: 2 }));
    assert_eq!(context.protect(pages(A, 0x8000), RW), Err(MapError::Refused(Errno::ENOMEM)));
    context.protect(pages(A, 0x4000), RW).expect("protect");

    context.remap(pages(A + 0x1000, 0x2000), pages(B, 0x3000)).expect_err("two mappings");
    context.map(pages(A, 0x4000), ANON, RW).expect("map");
    context.write(UserAddr(A + 0x1ffe), b"abcd").expect("write");
    context.remap(pages(A + 0x1000, 0x2000), pages(B, 0x3000)).expect("remap");
    assert_eq!(read(context, B + 0xffe, 4).expect("read"), b"abcd");
    assert_eq!(read(context, A + 0x1ffe, 4), Err(AccessFault { done: 0 }));
    assert_eq!(read(context, A + 0x3000, 1).expect("the end stays"), [0]);
    context.advise(pages(B, 0x1000), libc::MADV_DONTNEED).expect("advise");
    assert_eq!(read(context, B + 0xffe, 4).expect("read"), b"\0\0cd");
    assert_eq!(process.space.resident(), 4096);
    context.unmap(pages(B, 0x4000)).expect("unmap");
    assert_eq!(read(context, B, 1), Err(AccessFault { done: 0 }));
}

#[test]
fn files_are_mapped_private_and_shared() {
    let mut process = start(Script::new());
    let context = &mut *process.context;
    let file = std::fs::File::from(host::memfd::create(c"test", 0).expect("memfd"));
    (&file).write_all(&[1; 5000]).expect("write");
    let private = Backing::Private { file: file.as_fd(), offset: 4096 };
    let shared = Backing::Shared { file: file.as_fd(), offset: 4096 };
    context.map(pages(A, 8192), private, RW).expect("map");
    context.map(pages(B, 8192), shared, RW).expect("map");
    context.write(UserAddr(A), &[2]).expect("write");
    context.write(UserAddr(B + 1), &[3]).expect("write");
    assert_eq!(read(context, A, 3).expect("read"), [2, 1, 1]);
    assert_eq!(read(context, B, 3).expect("read"), [1, 3, 1]);
    let mut back = [0; 2];
    file.read_exact_at(&mut back, 4096).expect("read");
    assert_eq!(back, [1, 3]);
    assert_eq!(read(context, B + 4094, 4), Err(AccessFault { done: 2 }), "past the end of the file");
}

#[test]
fn fork_copies_memory_and_threads_share_it() {
    let mut parent =
        start(Script::new().child(Script::new().call(1, [0; 6])).child(Script::new().call(2, [0; 6])));
    parent.context.map(pages(A, 4096), ANON, RW).expect("map");
    let mut child = parent.context.fork().expect("fork");
    let mut thread = parent.context.clone_thread().expect("a thread");
    let mut regs = Registers::default();
    assert_eq!((child.context.run(&mut regs), regs.rax), (Trap::Syscall, 1));
    assert_eq!((thread.run(&mut regs), regs.rax), (Trap::Syscall, 2));
    thread.write(UserAddr(A), b"x").expect("write");
    assert_eq!(read(&mut *parent.context, A, 1).expect("read"), b"x");
    assert_eq!(read(&mut *child.context, A, 1).expect("read"), b"\0");
    assert_eq!(thread.compare_exchange_u32(UserAddr(A), 0x78, 9), Ok(0x78));
    assert_eq!(thread.compare_exchange_u32(UserAddr(A), 0x78, 7), Ok(9));
}

#[test]
fn kicks_and_kills_end_waits() {
    let mut process = start(Script::new().wait().wait().wait());
    let kick = process.context.kicker();
    kick.kick();
    let mut regs = Registers::default();
    assert_eq!(process.context.run(&mut regs), Trap::Interrupted, "a kick before run is kept");
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        kick.kick();
    });
    assert_eq!(process.context.run(&mut regs), Trap::Interrupted);
    later.join().expect("joined");
    let space = process.space.clone();
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        space.kill();
    });
    assert_eq!(process.context.run(&mut regs), Trap::Gone);
    later.join().expect("joined");
    assert_eq!(process.context.unmap(pages(A, 4096)), Err(MapError::Gone));
    assert!(process.context.fork().is_err());
}
