//! Patched call sites: what a guest and the sentry see must be what a trap shows.
#![cfg(target_arch = "x86_64")]

mod common;

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use common::{ANON, CODE, DATA, RW, RX, call, memfd, pages, systrap, within};
use platform::{
    Backing, Context, Fault, Platform, Process, Registers, Trap, UserAddr,
    systrap::{Config, Systrap},
};

/// `mov eax,39; syscall; inc rbx; paddq xmm0,xmm1; jmp` back.
const LOOP: &[u8] = &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x48, 0xff, 0xc3, 0x66, 0x0f, 0xd4, 0xc1, 0xeb, 0xf0];
/// The return address of its call.
const BACK: u64 = CODE + 7;
/// Enough calls for the site to be patched.
const ENOUGH: u64 = 12;

/// A process with `code` as a private mapping of a file, as a program is.
fn process(platform: &Systrap, code: &[u8]) -> (Process, Registers) {
    let mut process = platform.new_process().expect("a process");
    let file = memfd(code);
    let context = &mut process.context;
    context.map(pages(CODE, 4096), Backing::Private { file: file.as_fd(), offset: 0 }, RX).expect("map");
    context.map(pages(DATA, 4096), ANON, RW).expect("map");
    (process, Registers::entry(CODE, DATA + 4096))
}

fn site(process: &Process) -> [u8; 7] {
    let mut bytes = [0; 7];
    process.space.read(UserAddr(CODE), &mut bytes).expect("readable");
    bytes
}

/// Runs the loop until its site is patched.
fn warm_up(guest: &mut Process, regs: &mut Registers) {
    for _ in 0..ENOUGH {
        assert_eq!(call(&mut *guest.context, regs), 39);
    }
    assert_eq!(site(guest)[..3], [0xff, 0x24, 0x25]);
}

#[test]
fn a_patched_call_is_a_call() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, LOOP);
    let random = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    regs.fs_base = 0x7000;
    for round in 0..50 {
        let set = Registers {
            r15: random(round + 1),
            r14: random(round + 2),
            r13: random(round + 3),
            r12: random(round + 4),
            rbp: random(round + 5),
            rbx: random(round + 6),
            r10: random(round + 7),
            r9: random(round + 8),
            r8: random(round + 9),
            rax: random(round + 10),
            rdx: random(round + 11),
            rsi: random(round + 12),
            rdi: random(round + 13),
            rsp: random(round + 14),
            fs_base: round << 12,
            eflags: 0x202 | (round & 1) << 10,
            ..regs
        };
        regs = set;
        assert_eq!(guest.context.run(&mut regs), Trap::Syscall, "{round}");
        // The loop's `inc` has run since the second round.
        let rbx = if round == 0 { set.rbx } else { set.rbx.wrapping_add(1) };
        let eflags = regs.eflags;
        assert_eq!(eflags & 0x600, set.eflags & 0x600);
        let expected =
            Registers { rax: 39, orig_rax: 39, rbx, rip: BACK, rcx: BACK, r11: eflags, eflags, ..set };
        assert_eq!(Registers { r11: eflags, ..regs }, expected, "round {round}");
        assert_eq!(regs.r11 | 0x1_0000, eflags | 0x1_0000, "round {round}");
    }
    assert_eq!(site(&guest)[..3], [0xff, 0x24, 0x25], "it was patched meanwhile");
    assert_eq!(site(&guest)[5], 0x06);
}

#[test]
fn extended_state_survives_patched_calls() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, LOOP);
    call(&mut *guest.context, &mut regs);
    let mut state = guest.context.extended_state().expect("alive");
    state[160..168].copy_from_slice(&0_u64.to_le_bytes());
    state[176..184].copy_from_slice(&3_u64.to_le_bytes());
    state[512] |= 2;
    guest.context.set_extended_state(&state).expect("alive");
    for round in 1..=40_u64 {
        call(&mut *guest.context, &mut regs);
        // Looking at it in between must not change it.
        if round % 7 == 0 {
            let state = guest.context.extended_state().expect("alive");
            assert_eq!(state[160..168], (3 * round).to_le_bytes());
        }
    }
    let mut state = guest.context.extended_state().expect("alive");
    assert_eq!(state[160..168], 120_u64.to_le_bytes());
    state[160] = 7;
    guest.context.set_extended_state(&state).expect("alive");
    call(&mut *guest.context, &mut regs);
    assert_eq!(guest.context.extended_state().expect("alive")[160], 10);
}

#[test]
fn the_sentry_may_go_elsewhere_after_a_patched_call() {
    let platform = systrap();
    // At +0x40: mov eax,rcx's neighbours untouched: ud2.
    let mut code = LOOP.to_vec();
    code.resize(0x40, 0x90);
    code.extend_from_slice(&[0x0f, 0x0b]);
    let (mut guest, mut regs) = process(&platform, &code);
    warm_up(&mut guest, &mut regs);
    // As for a signal handler: other rip, other rcx.
    let mut handler = Registers { rip: CODE + 0x40, rcx: 0x1234, r11: 0x5678, ..regs };
    assert!(matches!(guest.context.run(&mut handler), Trap::Exception(e) if e.signo == 4));
    assert_eq!((handler.rip, handler.rcx, handler.r11), (CODE + 0x40, 0x1234, 0x5678));
    // As rt_sigreturn.
    call(&mut *guest.context, &mut regs);
    // As a restarted call: back to the syscall instruction, which is not there any more.
    regs.rip -= 2;
    regs.rax = 77;
    assert_eq!(guest.context.run(&mut regs), Trap::Syscall);
    assert_eq!((regs.rax, regs.orig_rax, regs.rip, regs.rcx), (77, 77, BACK, BACK));
    call(&mut *guest.context, &mut regs);
    // With single steps.
    regs.eflags |= 0x100;
    assert!(matches!(guest.context.run(&mut regs), Trap::Exception(e) if e.signo == 5));
    assert_eq!(regs.rip, BACK + 3);
}

#[test]
fn fork_thread_and_exec_from_a_patched_call() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, LOOP);
    warm_up(&mut guest, &mut regs);
    let mut child = guest.context.fork().expect("fork");
    let mut child_regs = Registers { rax: 0, ..regs };
    for _ in 0..5 {
        call(&mut *child.context, &mut child_regs);
        call(&mut *guest.context, &mut regs);
    }
    let mut thread = child.context.clone_thread().expect("a thread");
    let mut thread_regs = Registers { fs_base: 0x9000, ..child_regs };
    for _ in 0..5 {
        call(&mut *thread, &mut thread_regs);
        assert_eq!(thread_regs.fs_base, 0x9000);
        call(&mut *child.context, &mut child_regs);
    }
    drop(thread);
    guest.context.reset().expect("reset");
    let file = memfd(LOOP);
    guest
        .context
        .map(pages(CODE, 4096), Backing::Private { file: file.as_fd(), offset: 0 }, RX)
        .expect("map");
    guest.context.finish().expect("finish");
    let mut regs = Registers::entry(CODE, 0);
    assert_eq!(site(&guest)[0], 0xb8);
    warm_up(&mut guest, &mut regs);
    let mut grandchild = guest.context.fork().expect("fork");
    warm_up(&mut grandchild, &mut regs);
}

#[test]
fn what_must_not_be_patched_is_not() {
    let run = |platform: &Systrap, prepare: fn(&mut dyn Context, &mut Registers), number: u8| {
        let mut code = LOOP.to_vec();
        code[1] = number;
        let (mut guest, mut regs) = process(platform, &code);
        prepare(&mut *guest.context, &mut regs);
        for _ in 0..ENOUGH {
            assert_eq!(call(&mut *guest.context, &mut regs), u64::from(number));
        }
        site(&guest)
    };
    let platform = systrap();
    assert_eq!(run(&platform, |_, _| (), 39)[0], 0xff);
    for number in [15, 56, 57, 58, 59, 60, 231] {
        assert_eq!(run(&platform, |_, _| (), number)[0], 0xb8, "{number}");
    }
    assert_eq!(run(&platform, |_, regs| regs.gs_base = 0x5000, 39)[0], 0xb8, "the guest has a GS base");
    let reprotect = |context: &mut dyn Context, _: &mut Registers| {
        context.protect(pages(CODE, 4096), RX).expect("protect");
    };
    assert_eq!(run(&platform, reprotect, 39)[0], 0xb8, "it may have been written");
    let plain = Systrap::new(Config::default().patching(false)).expect("systrap");
    assert_eq!(run(&plain, |_, _| (), 39)[0], 0xb8, "switched off");
    // Shared text is the file itself.
    let mut guest = platform.new_process().expect("a process");
    let file = memfd(LOOP);
    guest.context.map(pages(CODE, 4096), Backing::Shared { file: file.as_fd(), offset: 0 }, RX).expect("map");
    let mut regs = Registers::entry(CODE, 0);
    for _ in 0..ENOUGH {
        call(&mut *guest.context, &mut regs);
    }
    assert_eq!(site(&guest)[0], 0xb8);
}

#[test]
fn a_guest_that_begins_to_use_gs_is_unpatched() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, LOOP);
    warm_up(&mut guest, &mut regs);
    regs.gs_base = DATA;
    for _ in 0..ENOUGH {
        call(&mut *guest.context, &mut regs);
        assert_eq!(regs.gs_base, DATA);
    }
    assert_eq!(site(&guest), LOOP[..7]);
    let mut data = [0; 512];
    guest.space.read(UserAddr(DATA), &mut data).expect("read");
    assert_eq!(data, [0; 512], "nothing of the shim's was written there");

    // By itself, with wrgsbase: mov eax,39; syscall; wrgsbase rbx; jmp back.
    let (mut guest, mut regs) =
        process(&platform, &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xf3, 0x48, 0x0f, 0xae, 0xdb, 0xeb, 0xf2]);
    for _ in 0..40 {
        regs.rbx = 0x10;
        assert_eq!(call(&mut *guest.context, &mut regs), 39);
        assert_eq!(regs.rip, BACK);
    }
}

#[test]
fn no_kick_is_lost() {
    let platform = systrap();
    // mov eax,39; syscall; jmp .
    let (mut guest, mut regs) = process(&platform, &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xfe]);
    for _ in 0..ENOUGH {
        regs.rip = CODE;
        // From the loop to the call again: through a kick.
        call(&mut *guest.context, &mut regs);
    }
    assert_eq!(site(&guest)[0], 0xff);
    let kick = guest.context.kicker();
    let (round, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let kicker = {
        let (round, done, stop) = (round.clone(), done.clone(), stop.clone());
        thread::spawn(move || {
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let now = round.load(Ordering::Acquire);
                if now != last {
                    for _ in 0..(now * 7919) % 3000 {
                        std::hint::spin_loop();
                    }
                    kick.kick();
                    done.store(now, Ordering::Release);
                    last = now;
                }
                thread::yield_now();
            }
        })
    };
    within(Duration::from_secs(60), move || {
        for number in 1..=400 {
            round.store(number, Ordering::Release);
            // The call, then the loop, which only a kick ends. It may come before the call.
            let mut calls = 0;
            loop {
                match guest.context.run(&mut regs) {
                    Trap::Syscall => calls += 1,
                    Trap::Interrupted => break,
                    other => panic!("{other:?} {:#x}", regs.rip),
                }
                assert!(calls <= 1);
            }
            // One that was left over from the round before leaves this round's for the next.
            while done.load(Ordering::Acquire) != number {
                std::hint::spin_loop();
            }
            regs.rip = CODE;
            regs.rcx = CODE;
        }
        stop.store(true, Ordering::Relaxed);
    });
    kicker.join().expect("joined");
}

#[test]
fn threads_run_through_sites_while_they_are_patched() {
    // Sixty-four sites in a row: mov eax,N; syscall; then jmp back to the first.
    let mut code = Vec::new();
    for number in 0..64_u8 {
        code.extend_from_slice(&[0xb8, 100 + number, 0, 0, 0, 0x0f, 0x05]);
    }
    let back = -(i32::try_from(code.len() + 5).expect("small"));
    code.push(0xe9);
    code.extend_from_slice(&back.to_le_bytes());
    for _ in 0..10 {
        let platform = systrap();
        let (mut guest, regs) = process(&platform, &code);
        let mut contexts: Vec<_> = (0..5).map(|_| guest.context.clone_thread().expect("a thread")).collect();
        contexts.push(guest.context);
        let last = contexts.remove(0);
        let threads: Vec<_> = contexts
            .into_iter()
            .map(|mut context| {
                thread::spawn(move || {
                    let mut regs = regs;
                    for round in 0..64 * 30 {
                        let number = call(&mut *context, &mut regs);
                        assert_eq!(number, 100 + round % 64);
                        assert_eq!(regs.rip, CODE + 7 * (round % 64 + 1));
                    }
                })
            })
            .collect();
        within(Duration::from_secs(60), move || {
            threads.into_iter().for_each(|thread| thread.join().expect("joined"));
        });
        let mut bytes = vec![0; 64 * 7];
        last.space().read(UserAddr(CODE), &mut bytes).expect("readable though the first thread is gone");
        assert!(bytes.chunks(7).filter(|site| site[0] == 0xff).count() > 16);
    }
}

#[test]
fn memory_changes_with_a_patched_call() {
    let platform = systrap();
    // mov eax,39; syscall; mov [rdi],rbx; jmp back.
    let (mut guest, mut regs) =
        process(&platform, &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x48, 0x89, 0x1f, 0xeb, 0xf4]);
    (regs.rdi, regs.rbx) = (0x1000_0000, 5);
    for round in 0..40_u64 {
        call(&mut *guest.context, &mut regs);
        guest.context.map(pages(0x1000_0000, 4096), ANON, RW).expect("map");
        regs.rbx = round;
        call(&mut *guest.context, &mut regs);
        let mut word = [0; 8];
        guest.context.read(UserAddr(0x1000_0000), &mut word).expect("read");
        assert_eq!(u64::from_le_bytes(word), round);
        guest.context.unmap(pages(0x1000_0000, 4096)).expect("unmap");
        let trap = guest.context.run(&mut regs);
        assert!(matches!(trap, Trap::Fault(Fault { addr: UserAddr(0x1000_0000), .. })), "{trap:?}");
        guest.context.map(pages(0x1000_0000, 4096), ANON, RW).expect("map");
    }
    assert_eq!(site(&guest)[0], 0xff);
}

/// Padding; `xor eax,eax; syscall; cmp $-4096,rax; ja +4; inc rbx; jmp` back `; nop; inc r12; jmp` back.
const COMPARED: &[u8] = &[
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff,
    0xff, 0x77, 0x05, 0x48, 0xff, 0xc3, 0xeb, 0xef, 0x49, 0xff, 0xc4, 0xeb, 0xea,
];
const COMPARED_BACK: u64 = CODE + 12;

fn compared_site(process: &Process) -> [u8; 8] {
    let mut bytes = [0; 8];
    process.space.read(UserAddr(CODE + 10), &mut bytes).expect("readable");
    bytes
}

#[test]
fn a_compared_call_is_a_call() {
    let platform = systrap();
    let (mut guest, mut regs) = process(&platform, COMPARED);
    let (mut good, mut bad) = (0, 0);
    for round in 0..300_u64 {
        regs.rdi = round;
        regs.fs_base = round << 12;
        let before = regs;
        assert_eq!(call(&mut *guest.context, &mut regs), 0);
        let (eflags, back) = (regs.eflags, COMPARED_BACK);
        let expected = Registers {
            rax: 0,
            orig_rax: 0,
            rip: back,
            rcx: back,
            rbx: good,
            r12: bad,
            eflags,
            r11: regs.r11,
            ..before
        };
        assert_eq!(regs, expected, "round {round}");
        if round % 5 == 0 {
            regs.rax = (-4_i64).cast_unsigned();
            bad += 1;
        } else {
            regs.rax = round;
            good += 1;
        }
        if round % 16 == 3 {
            // Through a signal frame: everything is the same.
            let state = guest.context.extended_state().expect("alive");
            guest.context.set_extended_state(&state).expect("alive");
        }
        if round % 16 == 4 {
            // As from rt_sigreturn.
            regs.rcx = 5;
        }
        if round % 16 == 5 {
            // As restarted.
            let result = regs.rax;
            (regs.rip, regs.rax) = (COMPARED_BACK - 2, 0);
            assert_eq!(call(&mut *guest.context, &mut regs), 0);
            assert_eq!(regs.rip, COMPARED_BACK);
            regs.rax = result;
        }
        if round == 200 {
            assert_eq!(compared_site(&guest)[..3], [0xff, 0x24, 0x25], "it was patched meanwhile");
            let mut child = guest.context.fork().expect("fork");
            let mut child_regs = Registers { rax: 7, ..regs };
            for _ in 0..3 {
                assert_eq!(call(&mut *child.context, &mut child_regs), 0);
                assert_eq!(child_regs.rip, COMPARED_BACK);
            }
            assert_eq!(
                (child_regs.rbx, child_regs.r12),
                (good + 2 - u64::from(round % 5 != 0) + 1, bad - u64::from(round % 5 == 0))
            );
        }
    }
    // Unmapped and mapped again, it is as it was.
    let file = memfd(COMPARED);
    guest
        .context
        .map(pages(CODE, 4096), Backing::Private { file: file.as_fd(), offset: 0 }, RX)
        .expect("map");
    guest.context.finish().expect("finish");
    assert_eq!(compared_site(&guest), COMPARED[10..18]);
    regs.rax = 0;
    call(&mut *guest.context, &mut regs);
    assert_eq!(regs.rbx, good);
    // With a GS base of its own.
    for _ in 0..200 {
        call(&mut *guest.context, &mut regs);
    }
    assert_eq!(compared_site(&guest)[0], 0xff);
    regs.gs_base = 0x1000;
    let count = regs.rbx;
    for _ in 0..5 {
        call(&mut *guest.context, &mut regs);
    }
    assert_eq!((regs.rbx, compared_site(&guest)), (count + 5, COMPARED[10..18].try_into().expect("8 bytes")));
}

#[test]
fn a_compared_site_with_a_branch_to_its_comparison_is_left_alone() {
    let platform = systrap();
    let mut code = COMPARED.to_vec();
    code.resize(0x800, 0x90);
    // jmp to the comparison, from afar.
    code.push(0xe9);
    let distance = 12 - i32::try_from(code.len() + 4).expect("small");
    code.extend_from_slice(&distance.to_le_bytes());
    let (mut guest, mut regs) = process(&platform, &code);
    for _ in 0..300 {
        regs.rax = 0;
        call(&mut *guest.context, &mut regs);
    }
    assert_eq!(compared_site(&guest), COMPARED[10..18]);
}

#[test]
fn threads_run_through_compared_sites_while_they_are_patched() {
    // Sixteen sites in a row: mov r15d,N; mov eax,r15d; syscall; cmp; adc r14,1 (the flags of cmp must arrive).
    let mut code = Vec::new();
    const LEN: u64 = 6 + 3 + 2 + 6 + 4;
    for number in 0..16_u8 {
        code.extend_from_slice(&[0x41, 0xbf, 100 + number, 0, 0, 0, 0x44, 0x89, 0xf8, 0x0f, 0x05]);
        code.extend_from_slice(&[0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x49, 0x83, 0xd6, 0x01]);
    }
    let back = -(i32::try_from(code.len() + 5).expect("small"));
    code.push(0xe9);
    code.extend_from_slice(&back.to_le_bytes());
    for _ in 0..4 {
        let platform = systrap();
        let (mut guest, regs) = process(&platform, &code);
        let mut contexts: Vec<_> = (0..5).map(|_| guest.context.clone_thread().expect("a thread")).collect();
        contexts.push(guest.context);
        let last = contexts.remove(0);
        let threads: Vec<_> = contexts
            .into_iter()
            .zip(1_u64..)
            .map(|(mut context, seed)| {
                thread::spawn(move || {
                    let (mut regs, mut sum) = (regs, 0);
                    for round in 0..16 * 400_u64 {
                        let number = call(&mut *context, &mut regs);
                        assert_eq!(number, 100 + round % 16);
                        assert_eq!(regs.rip, CODE + LEN * (round % 16) + 11);
                        assert_eq!(regs.r14, sum, "round {round}");
                        // Below -4096 the comparison sets the carry flag, above it does not.
                        let error = (round * seed) % 3 == 0;
                        regs.rax = if error { u64::MAX } else { 1 };
                        sum += if error { 1 } else { 2 };
                    }
                })
            })
            .collect();
        within(Duration::from_secs(60), move || {
            threads.into_iter().for_each(|thread| thread.join().expect("joined"));
        });
        let mut bytes = vec![0; code.len()];
        last.space().read(UserAddr(CODE), &mut bytes).expect("readable");
        let patched = (0..16).filter(|n| bytes[*n * LEN as usize + 9] == 0xff).count();
        assert!(patched >= 8, "{patched} of 16");
    }
}
