//! Copies that come with a call: what the sentry reads and writes through them must be the guest's memory.
#![cfg(target_arch = "x86_64")]

mod common;

use std::os::fd::AsFd;

use common::{ANON, CODE, DATA, RW, RX, call, memfd, pages, systrap};
use platform::{
    AccessFault, Backing, Context, Platform, Process, Prot, Registers, UserAddr, systrap::Systrap,
};

const READ: u64 = 0;
const WRITE: u64 = 1;
const OPEN: u64 = 2;
const STAT: u64 = 4;
const POLL: u64 = 7;
const SELECT: u64 = 23;
const WRITEV: u64 = 20;
const NANOSLEEP: u64 = 35;

/// `syscall; mov rcx,[rbx]; mov eax,NR; syscall` as trap and, once it has run some times, as patched site.
fn process(platform: &Systrap, number: u64) -> (Process, Registers) {
    let mut process = platform.new_process().expect("a process");
    let mut code = vec![0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x48, 0x8b, 0x0b, 0xeb, 0xf4];
    code[1] = u8::try_from(number).expect("a small number");
    let file = memfd(&code);
    let context = &mut process.context;
    context.map(pages(CODE, 4096), Backing::Private { file: file.as_fd(), offset: 0 }, RX).expect("map");
    context.map(pages(DATA, 0x4000), ANON, RW).expect("map");
    let regs = Registers { rbx: DATA, ..Registers::entry(CODE, 0) };
    (process, regs)
}

/// Makes a call with `args` by a trap and by a patched site, and runs `check` after each.
fn both(number: u64, args: [u64; 5], check: impl Fn(&mut dyn Context)) {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, number);
    for round in 0..24 {
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8] = args;
        assert_eq!(call(&mut *guest.context, &mut regs), number);
        // Every round the memory is as the first found it.
        if round == 0 || round == 23 {
            check(&mut *guest.context);
            let zeros = vec![0; 0x4000];
            guest.context.write(UserAddr(DATA), &zeros).expect("writable");
        }
    }
    let mut site = [0; 1];
    guest.space.read(UserAddr(CODE), &mut site).expect("readable");
    assert_eq!(site, [0xff], "patched");
}

fn bytes(context: &mut dyn Context, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    context.read(UserAddr(at), &mut bytes).expect("readable");
    bytes
}

#[test]
fn arguments_are_the_guests_memory() {
    let platform = systrap();
    for len in [1, 7, 64, 300, 4096, 5000, 9000] {
        let (mut guest, mut regs) = process(&platform, WRITE);
        for round in 0..30_u8 {
            let data: Vec<u8> = (0..len).map(|n| (n as u8).wrapping_mul(7).wrapping_add(round)).collect();
            guest.context.write(UserAddr(DATA + 8), &data).expect("write");
            (regs.rsi, regs.rdx) = (DATA + 8, len as u64);
            call(&mut *guest.context, &mut regs);
            assert_eq!(bytes(&mut *guest.context, DATA + 8, len), data);
            assert_eq!(bytes(&mut *guest.context, DATA + 8 + len as u64 / 2, len - len / 2), data[len / 2..]);
            // A write in between is seen by the next read, whichever way either goes.
            guest.context.write(UserAddr(DATA + 8), &[0xaa]).expect("write");
            assert_eq!(bytes(&mut *guest.context, DATA + 8, len)[0], 0xaa);
        }
    }
}

#[test]
fn strings_end_with_the_page() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, OPEN);
    let end = DATA + 0x4000;
    guest.context.write(UserAddr(end - 5), b"path\0").expect("write");
    for _ in 0..20 {
        regs.rdi = end - 5;
        call(&mut *guest.context, &mut regs);
        assert_eq!(bytes(&mut *guest.context, end - 5, 5), b"path\0");
        assert_eq!(guest.context.read(UserAddr(end - 5), &mut [0; 6]), Err(AccessFault { done: 5 }));
        for bad in [0, 8, end, 1 << 47, 1 << 63, u64::MAX - 2] {
            regs.rdi = bad;
            call(&mut *guest.context, &mut regs);
            assert_eq!(
                guest.context.read(UserAddr(bad), &mut [0; 1]),
                Err(AccessFault { done: 0 }),
                "{bad:#x}"
            );
        }
    }
}

#[test]
fn results_reach_the_guest_when_it_runs() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, READ);
    for round in 0..60_u64 {
        (regs.rsi, regs.rdx) = (DATA, 0x3000);
        call(&mut *guest.context, &mut regs);
        // The guest loads the first word into rcx; the next call's trap overwrites rcx, so look at memory instead.
        guest.context.write(UserAddr(DATA), &round.to_le_bytes()).expect("write");
        guest.context.write(UserAddr(DATA + 8), &[round as u8; 3000]).expect("write");
        if round % 3 == 0 {
            assert_eq!(bytes(&mut *guest.context, DATA, 8), round.to_le_bytes(), "own read");
        }
        if round % 4 == 0 {
            guest.context.write(UserAddr(DATA + 4), &[1, 2]).expect("over a write that waits");
        }
        for piece in 0..12 {
            guest
                .context
                .write(UserAddr(DATA + 0x1000 + piece * 0x111), &[piece as u8 + 1; 5])
                .expect("write");
        }
        call(&mut *guest.context, &mut regs);
        let mut word = [0; 8];
        guest.space.read(UserAddr(DATA), &mut word).expect("readable");
        let mut expected = round.to_le_bytes();
        if round % 4 == 0 {
            expected[4..6].copy_from_slice(&[1, 2]);
        }
        assert_eq!(word, expected, "round {round}");
        let mut rest = [0; 3000];
        guest.space.read(UserAddr(DATA + 8), &mut rest).expect("readable");
        assert_eq!(rest, [round as u8; 3000]);
        for piece in 0..12 {
            let mut five = [0; 5];
            guest.space.read(UserAddr(DATA + 0x1000 + piece * 0x111), &mut five).expect("readable");
            assert_eq!(five, [piece as u8 + 1; 5]);
        }
    }
}

#[test]
fn memory_that_cannot_be_written_is_not() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, READ);
    guest.context.protect(pages(DATA + 0x1000, 0x1000), Prot::READ).expect("protect");
    for _ in 0..20 {
        (regs.rsi, regs.rdx) = (DATA + 0xff0, 0x100);
        call(&mut *guest.context, &mut regs);
        guest.context.write(UserAddr(DATA + 0xff0), &[1; 16]).expect("writable");
        assert_eq!(guest.context.write(UserAddr(DATA + 0xff8), &[2; 16]), Err(AccessFault { done: 8 }));
        assert_eq!(guest.context.write(UserAddr(DATA + 0x1000), &[2; 16]), Err(AccessFault { done: 0 }));
        assert_eq!(bytes(&mut *guest.context, DATA + 0xff0, 16), [[1; 8], [2; 8]].concat());
        for bad in [0, 8, 1 << 47, u64::MAX - 8] {
            (regs.rsi, regs.rdx) = (bad, u64::MAX);
            call(&mut *guest.context, &mut regs);
            assert_eq!(guest.context.write(UserAddr(bad), &[1]), Err(AccessFault { done: 0 }));
        }
    }
    // Taken away while a write waits: nothing happens.
    (regs.rsi, regs.rdx) = (DATA, 64);
    call(&mut *guest.context, &mut regs);
    guest.context.write(UserAddr(DATA), &[5; 64]).expect("write");
    guest.context.unmap(pages(DATA, 0x1000)).expect("unmap");
    regs.rbx = DATA + 0x1000;
    call(&mut *guest.context, &mut regs);
    assert_eq!(guest.context.read(UserAddr(DATA), &mut [0]), Err(AccessFault { done: 0 }));
}

#[test]
fn writes_that_wait_are_in_a_forked_copy() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, READ);
    for round in 1..20 {
        (regs.rsi, regs.rdx) = (DATA, 64);
        call(&mut *guest.context, &mut regs);
        guest.context.write(UserAddr(DATA), &[round; 64]).expect("write");
        let mut child = guest.context.fork().expect("fork");
        assert_eq!(bytes(&mut *child.context, DATA, 64), [round; 64]);
        let mut thread = guest.context.clone_thread().expect("a thread");
        call(&mut *thread, &mut regs.clone());
        assert_eq!(bytes(&mut *thread, DATA, 64), [round; 64]);
    }
}

#[test]
fn calls_of_all_kinds() {
    both(STAT, [DATA, DATA + 0x1000, 0, 0, 0], |context| {
        assert_eq!(bytes(context, DATA, 256), [0; 256]);
        context.write(UserAddr(DATA + 0x1000), &[3; 144]).expect("write");
        assert_eq!(bytes(context, DATA + 0x1000, 144), [3; 144]);
    });
    both(POLL, [DATA, 3, 0, 0, 0], |context| {
        assert_eq!(bytes(context, DATA, 24), [0; 24]);
        context.write(UserAddr(DATA + 8), &[1; 8]).expect("write");
        assert_eq!(bytes(context, DATA, 24), [[0; 8], [1; 8], [0; 8]].concat());
    });
    both(POLL, [DATA, u64::MAX, 0, 0, 0], |context| assert_eq!(bytes(context, DATA, 24), [0; 24]));
    both(SELECT, [65, DATA, DATA + 16, 0, DATA + 32], |context| {
        assert_eq!(bytes(context, DATA, 16), [0; 16]);
        context.write(UserAddr(DATA + 16), &[1; 16]).expect("write");
        assert_eq!(bytes(context, DATA + 16, 16), [1; 16]);
    });
    both(WRITEV, [1, DATA, 4, 0, 0], |context| assert_eq!(bytes(context, DATA, 64), [0; 64]));
    both(NANOSLEEP, [DATA, DATA, 0, 0, 0], |context| {
        assert_eq!(bytes(context, DATA, 16), [0; 16]);
        context.write(UserAddr(DATA), &[9; 16]).expect("write");
        assert_eq!(bytes(context, DATA, 16), [9; 16]);
    });
}
