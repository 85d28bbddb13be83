//! Calls that the shim answers itself: the guest gets the answer, keeps everything else, and can be interrupted.
#![cfg(target_arch = "x86_64")]

mod common;

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use common::{ANON, CODE, DATA, RW, RX, call, memfd, pages, systrap};
use platform::{Answer, Backing, Platform, Process, Registers, Trap, systrap::Systrap};

/// `mov eax,39; syscall; inc rbx; jmp` back.
const GETPID: &[u8] = &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x48, 0xff, 0xc3, 0xeb, 0xf4];
/// `mov eax,24; syscall; inc rbx; jmp` back.
const YIELD: &[u8] = &[0xb8, 24, 0, 0, 0, 0x0f, 0x05, 0x48, 0xff, 0xc3, 0xeb, 0xf4];

/// A process with `code` whose call is patched.
fn process(platform: &Systrap, code: &[u8]) -> (Process, Registers) {
    let mut process = platform.new_process().expect("a process");
    let file = memfd(code);
    let context = &mut process.context;
    context.map(pages(CODE, 4096), Backing::Private { file: file.as_fd(), offset: 0 }, RX).expect("map");
    context.map(pages(DATA, 4096), ANON, RW).expect("map");
    let mut regs = Registers::entry(CODE, DATA + 4096);
    for _ in 0..20 {
        call(&mut **context, &mut regs);
    }
    (process, regs)
}

fn kick_after(process: &Process, time: Duration) -> thread::JoinHandle<()> {
    let kicker = process.context.kicker();
    thread::spawn(move || {
        thread::sleep(time);
        kicker.kick();
    })
}

#[test]
fn an_answer_needs_no_trap() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, GETPID);
    guest.context.remember(Answer::Pid, 0x8765_4321);
    let before = regs.rbx;
    let kick = kick_after(&guest, Duration::from_millis(20));
    let mut traps = 0;
    while guest.context.run(&mut regs) == Trap::Syscall {
        // The kick came while the shim looked.
        (regs.rax, traps) = (0x8765_4321, traps + 1);
    }
    kick.join().expect("kicked");
    assert!(traps <= 1 && regs.rbx - before > 1000, "{traps} traps in {} calls", regs.rbx - before);
    assert!(regs.rax == 0x8765_4321 || regs.rax == 39, "{:#x}", regs.rax);
    guest.context.kicker().forget_answers();
    assert_eq!(call(&mut *guest.context, &mut regs), 39);
}

#[test]
fn other_answers_do_not_count() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, GETPID);
    guest.context.remember(Answer::Tid, 5);
    assert_eq!(call(&mut *guest.context, &mut regs), 39);
}

#[test]
fn a_new_thread_knows_no_answers() {
    let platform = systrap();
    let (mut guest, regs) = process(&platform, GETPID);
    guest.context.remember(Answer::Pid, 5);
    let mut thread = guest.context.clone_thread().expect("a thread");
    assert_eq!(call(&mut *thread, &mut regs.clone()), 39);
    let mut child = guest.context.fork().expect("a process");
    assert_eq!(call(&mut *child.context, &mut regs.clone()), 39);
}

/// Interrupts the guest again and again, and looks at every register each time.
fn interrupted(code: &[u8], number: u64, answer: Answer, value: u64) {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, code);
    guest.context.remember(answer, u32::try_from(value).expect("small"));
    let done = Arc::new(AtomicBool::new(false));
    let kicks = {
        let (kicker, done) = (guest.context.kicker(), Arc::clone(&done));
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                kicker.kick();
                thread::sleep(Duration::from_micros(20));
            }
        })
    };
    // Carry, direction, and something in every register.
    let set = Registers {
        r15: 15,
        r14: 14,
        r13: 13,
        r12: 12,
        rbp: 5,
        r10: 10,
        r9: 9,
        r8: 8,
        rdx: 3,
        rsi: 6,
        rdi: 7,
        rsp: 0x1230,
        eflags: 0x602,
        ..regs
    };
    regs = Registers { rip: CODE, rax: value, eflags: 0x603, ..set };
    for round in 0..2000_u64 {
        // The guest's `inc` leaves the carry alone.
        let carry = round & 1;
        regs.eflags = regs.eflags & !1 | carry;
        let rbx = regs.rbx;
        let trap = guest.context.run(&mut regs);
        assert!(matches!(trap, Trap::Interrupted | Trap::Syscall), "{trap:?}");
        // The way to the shim leads through a thunk.
        let in_thunk = regs.rip >> 12 == 0x6800_0000_4000 >> 12;
        assert!(regs.rbx >= rbx && (in_thunk || (CODE..CODE + 12).contains(&regs.rip)), "{:#x}", regs.rip);
        assert_eq!(regs.eflags & 0x601, 0x600 | carry, "round {round} {trap:?}");
        let same = Registers {
            rax: set.rax,
            // Free in a call, and used in the thunk.
            rcx: set.rcx,
            rbx: set.rbx,
            rip: set.rip,
            r11: set.r11,
            eflags: set.eflags,
            orig_rax: set.orig_rax,
            ..regs
        };
        assert_eq!(same, set, "round {round} {trap:?}");
        if trap == Trap::Syscall {
            assert_eq!((regs.rax, regs.rip), (number, CODE + 7));
            regs.rax = value;
        } else if regs.rip != CODE + 5 && !in_thunk {
            assert!(regs.rax == value || regs.rip == CODE + 7, "{:#x} at {:#x}", regs.rax, regs.rip);
        }
    }
    done.store(true, Ordering::Relaxed);
    kicks.join().expect("kicked");
}

#[test]
fn answers_can_be_interrupted_anywhere() {
    interrupted(GETPID, 39, Answer::Pid, 77);
}

#[test]
fn yields_can_be_interrupted_anywhere() {
    interrupted(YIELD, 24, Answer::Yield, 0);
}
