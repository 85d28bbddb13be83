//! Hostile guests on any backend with stubs: they scribble over their slots and make the shim's calls themselves. The sentry must
//! neither panic nor wait for ever, and the host must not be reached.
#![cfg(target_arch = "x86_64")]

mod common;

use std::{
    arch::global_asm,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{ANON, CODE, DATA, RW, call, pages, platform, process, within};
use platform::{AddressSpace, Context, Process, Registers, Trap, UserAddr};

/// The platform's region, from `layout.rs`: the shim, and units of slots from the first.
const SHIM: u64 = 0x6800_0000_0000;
const UNIT: u64 = 0x4_0000;

// rdi: where to scribble; rbx: random; esi: how many words before the next call; r8: mask of the offset.
global_asm!(
    ".globl hostile_scribble",
    "hostile_scribble:",
    "mov r9d, esi",
    "2: movabs rax, 6364136223846793005",
    "imul rbx, rax",
    "add rbx, 12345",
    "mov rcx, rbx",
    "shr rcx, 30",
    "and rcx, r8",
    "mov rdx, rbx",
    "shr rdx, 33",
    "test rbx, 0x100000",
    "jz 3f",
    "and edx, 7", // Often a small number: a word of the protocol.
    "3: mov [rdi + rcx], rdx",
    "dec r9d",
    "jnz 2b",
    "mov eax, 39",
    "syscall",
    "jmp hostile_scribble",
    ".globl hostile_scribble_end",
    "hostile_scribble_end:",
);

unsafe extern "C" {
    static hostile_scribble: u8;
    static hostile_scribble_end: u8;
}

fn scribble() -> Vec<u8> {
    let start = &raw const hostile_scribble;
    let len = (&raw const hostile_scribble_end).addr() - start.addr();
    // SAFETY: the two symbols bound a piece of this program's text.
    unsafe { std::slice::from_raw_parts(start, len) }.to_vec()
}

/// The address of the first unit that the process maps.
fn unit_of(space: &dyn AddressSpace) -> u64 {
    (1..200).map(|n| SHIM + n * UNIT).find(|at| space.read(UserAddr(*at), &mut [0]).is_ok()).expect("a unit")
}

/// Does everything a sentry does with a context, ignoring errors.
fn drive(context: &mut dyn Context, start: Registers, stop: &AtomicBool) {
    let mut round = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let mut regs = Registers { rbx: start.rbx.wrapping_add(round), ..start };
        if context.run(&mut regs) == Trap::Gone {
            return;
        }
        round += 1;
        match round % 16 {
            1 => drop(context.map(pages(0x1000_0000, 0x2000), ANON, RW)),
            2 => drop(context.extended_state()),
            3 => drop(context.set_extended_state(&vec![0xff; 4096])),
            4 => drop(context.unmap(pages(0x1000_0000, 0x2000))),
            5 if round % 64 == 5 => drop(context.fork()),
            6 => drop(context.clone_thread()),
            7 => drop(context.cpu_time()),
            8 => drop(context.set_extended_state(&[])),
            9 => drop(context.write(UserAddr(DATA), &[1; 64])),
            _ => {}
        }
    }
}

/// Runs threads that scribble over all the slots of their process for some time, then kills it.
fn storm(words_between_calls: u64, mask: u64, threads: usize) {
    let platform = Arc::new(platform());
    let until = Instant::now() + Duration::from_secs(2);
    let mut rounds = 0;
    while Instant::now() < until {
        rounds += 1;
        let (Process { space, mut context }, mut regs) = process(&platform, &scribble());
        regs.rdi = unit_of(&*space);
        (regs.rsi, regs.r8) = (words_between_calls, mask);
        let stop = Arc::new(AtomicBool::new(false));
        let mut contexts: Vec<_> = (1..threads).map(|_| context.clone_thread().expect("a thread")).collect();
        contexts.push(context);
        let running: Vec<_> = contexts
            .into_iter()
            .zip(1_u64..)
            .map(|(mut context, seed)| {
                let stop = stop.clone();
                let regs =
                    Registers { rbx: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(rounds), ..regs };
                thread::spawn(move || drive(&mut *context, regs, &stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        space.kill();
        within(Duration::from_secs(20), move || {
            running.into_iter().for_each(|thread| thread.join().expect("no panic"));
        });
    }
    // Others are not disturbed.
    let (mut guest, mut regs) = process(&platform, &[0x0f, 0x05]);
    call(&mut *guest.context, &mut regs);
    assert!(rounds > 3, "{rounds}");
}

#[test]
fn one_thread_scribbles_over_its_slot() {
    storm(50, 0x7ff8, 1);
}

#[test]
fn one_thread_scribbles_over_its_header() {
    storm(3, 0xf8, 1);
}

#[test]
fn many_threads_scribble_over_all_slots() {
    storm(200, 0x3_fff8, 6);
}

#[test]
fn threads_scribble_over_headers_while_others_call() {
    storm(5, 0x1_80f8, 3);
}

/// The first `syscall` instruction of the shim.
fn shim_syscall(space: &dyn AddressSpace) -> u64 {
    let mut code = vec![0; 4096];
    space.read(UserAddr(SHIM), &mut code).expect("the shim");
    let at = code.windows(2).position(|two| two == [0x0f, 0x05]).expect("a syscall");
    SHIM + at as u64
}

#[test]
fn the_shims_calls_are_bounded() {
    let platform = platform();
    let (mut guest, start) = process(&platform, &[0x0f, 0x05]);
    let syscall = shim_syscall(&*guest.space);
    let allowed = [
        libc::SYS_futex,
        libc::SYS_rt_sigreturn,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_mincore,
        libc::SYS_rseq,
        libc::SYS_sched_yield,
        libc::SYS_close,
        libc::SYS_exit,
        // Pass seccomp on Linux 6.14 and later.
        335,
        336,
    ];
    let mut try_one = |number: u64, args: [u64; 3]| {
        let [rdi, rsi, rdx] = args;
        let mut regs = Registers { rip: syscall, rax: number, rdi, rsi, rdx, ..start };
        let trap = guest.context.run(&mut regs);
        assert_eq!(
            (trap, regs.rax, regs.rip),
            (Trap::Syscall, number, syscall + 2),
            "call {number} {args:x?}"
        );
    };
    for number in 0..600_i64 {
        if !allowed.contains(&number) {
            try_one(number.cast_unsigned(), [u64::MAX, u64::MAX, 0]);
            try_one(number.cast_unsigned() | 0x4000_0000, [0, 0, 0]);
        }
    }
    let thread_flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;
    for (number, args) in [
        (libc::SYS_clone, [17, 0, 0]),
        (libc::SYS_clone, [0x8000 | 17 | 1 << 32, 0, 0]),
        (libc::SYS_clone, [thread_flags | 0x1000_0000, 0, 0]),
        (libc::SYS_clone, [thread_flags | 0x20_0000, 0, 0]),
        (libc::SYS_futex, [DATA, 6, 0]),
        (libc::SYS_futex, [DATA, 1 << 32, 0]),
        (libc::SYS_recvmsg, [1, DATA, 0]),
        (libc::SYS_dup2, [0, 1, 0]),
        (libc::SYS_clock_gettime, [0, DATA, 0]),
        (libc::SYS_arch_prctl, [0x1003, DATA, 0]),
        (libc::SYS_arch_prctl, [0x1023, 18, 0]),
    ] {
        try_one(number.cast_unsigned(), args);
    }
}

#[test]
fn a_guest_that_takes_its_shim_or_slot_away_dies_alone() {
    if common::TRACED {
        return; // There a guest makes no host calls.
    }
    let platform = platform();
    for target in ["shim", "slot", "everything"] {
        let (mut guest, start) = process(&platform, &[0x0f, 0x05, 0xeb, 0xfe]);
        let (at, len) = match target {
            "shim" => (SHIM, 4096),
            "slot" => (unit_of(&*guest.space), UNIT),
            _ => (0, 0x7fff_ffff_f000),
        };
        let syscall = shim_syscall(&*guest.space);
        let mut regs = Registers { rip: syscall, rax: 11, rdi: at, rsi: len, ..start };
        let outcome = within(Duration::from_secs(10), move || {
            loop {
                match guest.context.run(&mut regs) {
                    Trap::Gone => return "gone",
                    // Past the syscall is `ud2`: it is stopped there with its memory gone.
                    _ if guest.context.map(pages(DATA, 4096), ANON, RW).is_err() => return "refused",
                    _ => regs.rip = CODE,
                }
            }
        });
        assert!(["gone", "refused"].contains(&outcome));
    }
    let (mut guest, mut regs) = process(&platform, &[0x0f, 0x05]);
    call(&mut *guest.context, &mut regs);
}

#[test]
fn a_thread_that_leaves_on_its_own_can_be_killed() {
    if common::TRACED {
        return;
    }
    let platform = platform();
    let (guest, start) = process(&platform, &[0x0f, 0x05]);
    let syscall = shim_syscall(&*guest.space);
    let mut regs = Registers { rip: syscall, rax: 60, rdi: 0, ..start };
    let (space, mut context) = (guest.space, guest.context);
    let mut other = context.clone_thread().expect("a thread");
    let waiting = thread::spawn(move || context.run(&mut regs));
    thread::sleep(Duration::from_millis(50));
    let mut regs = start;
    call(&mut *other, &mut regs);
    space.kill();
    let ended = within(Duration::from_secs(10), move || waiting.join().expect("no panic"));
    assert_eq!(ended, Trap::Gone);
}

#[test]
fn a_guest_on_the_signal_stack_is_an_ordinary_guest() {
    let platform = platform();
    let (mut guest, start) = process(&platform, &[0x0f, 0x05, 0xeb, 0xfc]);
    let slot = unit_of(&*guest.space);
    for rsp in [slot + 0x8000, slot + 0x7000, slot + 0x4100, slot, 8, u64::MAX, 1 << 63] {
        let mut regs = Registers { rsp, ..start };
        call(&mut *guest.context, &mut regs);
        assert_eq!(regs.rsp, rsp);
    }
    // Alignment checking on, direction backwards.
    let mut regs = Registers { eflags: 0x4_0602, ..start };
    call(&mut *guest.context, &mut regs);
    call(&mut *guest.context, &mut regs);
    if let Trap::Syscall = guest.context.run(&mut regs) {
        assert_eq!(regs.eflags & 0x4_0400, 0x4_0400);
    } else {
        panic!("no call");
    }
}
