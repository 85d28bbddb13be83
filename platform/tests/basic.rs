//! Single guest threads on any backend with stubs: calls, faults, exceptions, extended state, memory, kicks.
#![cfg(target_arch = "x86_64")]

mod common;

use std::{arch::x86_64::__cpuid_count, os::fd::AsFd, thread, time::Duration};

use common::{ANON, CODE, DATA, RW, RX, call, memfd, pages, platform, process, within};
use platform::{Access, AccessFault, Backing, Errno, MapError, Platform, Prot, Registers, Trap, UserAddr};

/// `syscall` in a loop.
const CALLS: &[u8] = &[0x0f, 0x05, 0xeb, 0xfc];
/// `syscall; jmp .` backwards to itself after the call.
const SPIN: &[u8] = &[0xeb, 0xfe];

#[test]
fn a_system_call_traps_with_its_arguments_and_returns_its_result() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, CALLS);
    (regs.rax, regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9) = (39, 1, 2, 3, 4, 5, 6);
    (regs.rbx, regs.rbp, regs.r12, regs.r13, regs.r14, regs.r15) = (7, 8, 9, 10, 11, 12);
    regs.fs_base = 0x1234_5000;
    regs.gs_base = 0x4321_0000;
    let start = regs;
    assert_eq!(guest.context.run(&mut regs), Trap::Syscall);
    let expected = Registers { rip: CODE + 2, orig_rax: 39, rcx: CODE + 2, r11: regs.r11, ..start };
    assert_eq!(regs, Registers { eflags: start.eflags, ..expected });
    assert_eq!(regs.r11 & 0x202, 0x202);
    regs.rax = 42;
    assert_eq!(call(&mut *guest.context, &mut regs), 42);
    // uretprobe and uprobe pass seccomp on Linux 6.14 and later (kernel/seccomp.c); outside a probe they only fail.
    for number in (0..1000).filter(|number| !(335..=336).contains(number)) {
        regs.rax = number;
        assert_eq!(call(&mut *guest.context, &mut regs), number);
    }
}

#[test]
fn every_register_can_be_changed() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, CALLS);
    call(&mut *guest.context, &mut regs);
    let random = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let new = Registers {
        r15: random(1),
        r14: random(2),
        r13: random(3),
        r12: random(4),
        rbp: random(5),
        rbx: random(6),
        r11: 0,
        r10: random(8),
        r9: random(9),
        r8: random(10),
        rax: random(11),
        rcx: 0,
        rdx: random(13),
        rsi: random(14),
        rdi: random(15),
        orig_rax: 0,
        rip: CODE,
        rsp: 0xdead_beef_0000_0001,
        fs_base: 0x7000_0000_0000,
        gs_base: 0x10,
        eflags: 0x202 | 0x8d5,
        ..regs
    };
    regs = new;
    assert_eq!(guest.context.run(&mut regs), Trap::Syscall);
    let seen = Registers { rcx: 0, r11: 0, ..regs };
    assert_eq!(seen, Registers { orig_rax: new.rax, rip: CODE + 2, ..new });
}

#[test]
fn faults_tell_address_and_access() {
    let platform = platform();
    // mov rax,[rdi]; mov [rsi],rax; jmp rdx
    let code = [0x48, 0x8b, 0x07, 0x48, 0x89, 0x06, 0xff, 0xe2];
    let (mut guest, mut regs) = process(&platform, &code);
    (regs.rdi, regs.rsi, regs.rdx) = (0x77_7000, CODE, DATA);
    let fault = |trap| match trap {
        Trap::Fault(fault) => fault,
        other => panic!("{other:?}"),
    };
    let read = fault(guest.context.run(&mut regs));
    assert_eq!((read.addr, read.access, read.signo, read.code), (UserAddr(0x77_7000), Access::Read, 11, 1));
    assert_eq!((read.trapno, read.error_code, regs.rip, regs.orig_rax), (14, 4, CODE, u64::MAX));
    guest.context.map(pages(0x77_7000, 4096), ANON, Prot::READ).expect("map");
    let write = fault(guest.context.run(&mut regs));
    assert_eq!((write.addr, write.access, write.signo, write.code), (UserAddr(CODE), Access::Write, 11, 2));
    assert_eq!(regs.rip, CODE + 3);
    regs.rip = CODE + 6;
    let fetch = fault(guest.context.run(&mut regs));
    assert_eq!((fetch.addr, fetch.access, fetch.code), (UserAddr(DATA), Access::Execute, 2));

    // Past the end of a file: SIGBUS.
    let file = memfd(b"x");
    let backing = Backing::Private { file: file.as_fd(), offset: 0 };
    guest.context.map(pages(0x88_0000, 8192), backing, Prot::READ).expect("map");
    (regs.rip, regs.rdi) = (CODE, 0x88_1008);
    let past = fault(guest.context.run(&mut regs));
    assert_eq!((past.addr, past.signo, past.code), (UserAddr(0x88_1008), 7, 2));
    assert_eq!(guest.space.read(UserAddr(0x88_0ffe), &mut [0; 4]), Err(AccessFault { done: 2 }));
}

#[test]
fn exceptions_are_the_signals_linux_sends() {
    let platform = platform();
    let (mut guest, start) = process(&platform, &[0; 64]);
    let mut run = |code: &[u8], change: fn(&mut Registers)| {
        guest.context.protect(pages(CODE, 64), RW).expect("protect");
        guest.context.write(UserAddr(CODE), code).expect("write");
        guest.context.protect(pages(CODE, 64), RX).expect("protect");
        let mut regs = start;
        change(&mut regs);
        match guest.context.run(&mut regs) {
            Trap::Exception(e) => (e.signo, e.code, e.trapno, e.error_code, regs.rip - CODE),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(run(&[0x0f, 0x0b], |_| ()), (4, 2, 6, 0, 0), "ud2");
    assert_eq!(run(&[0xcc], |_| ()), (5, 0x80, 3, 0, 1), "int3");
    assert_eq!(run(&[0xf7, 0xf1], |_| ()), (8, 1, 0, 0, 0), "div ecx");
    assert_eq!(run(&[0xf4], |_| ()), (11, 0x80, 13, 0, 0), "hlt");
    assert_eq!(run(&[0x90, 0x90], |regs| regs.eflags |= 0x100), (5, 2, 1, 0, 1), "single step");
    assert_eq!(run(&[0x48, 0x8b, 0x00], |regs| regs.rax = 1 << 63), (11, 0x80, 13, 0, 0), "not canonical");
    assert_eq!(run(&[0xcd, 0x80], |_| ()), (11, 0x80, 13, 0x402, 0), "int 0x80");
    assert_eq!(run(&[0xcd, 0x40], |_| ()), (11, 0x80, 13, 0x202, 0), "int 0x40");
}

#[test]
fn memory_can_be_mapped_protected_moved_and_unmapped() {
    let platform = platform();
    let (mut guest, _) = process(&platform, CALLS);
    let context = &mut guest.context;
    let (a, b) = (0x1000_0000, 0x2000_0000);
    context.map(pages(a, 0x4000), ANON, RW).expect("map");
    context.write(UserAddr(a + 0x1ffe), b"abcd").expect("write");
    let mut four = [0; 4];
    context.read(UserAddr(a + 0x1ffe), &mut four).expect("read");
    assert_eq!(&four, b"abcd");

    context.protect(pages(a, 0x1000), Prot::READ).expect("protect");
    assert_eq!(context.write(UserAddr(a), b"x"), Err(AccessFault { done: 0 }));
    context.protect(pages(a, 0x1000), Prot::NONE).expect("protect");
    assert_eq!(context.read(UserAddr(a), &mut four), Err(AccessFault { done: 0 }));
    let refused = context.protect(pages(0x3000_0000, 4096), RW).and_then(|()| context.finish());
    assert_eq!(refused, Err(MapError::Refused(Errno::ENOMEM)));
    context.protect(pages(a, 0x4000), Prot::WRITE).expect("protect");
    context.read(UserAddr(a + 0x1ffe), &mut four).expect("x86 pages that can be written can be read");

    context.remap(pages(a, 0x4000), pages(b, 0x8000)).expect("remap");
    context.read(UserAddr(b + 0x1ffe), &mut four).expect("read");
    assert_eq!(&four, b"abcd");
    assert_eq!(context.read(UserAddr(a + 0x1ffe), &mut four), Err(AccessFault { done: 0 }));
    context.remap(pages(b, 0x8000), pages(b, 0x2000)).expect("shrink");
    assert_eq!(context.read(UserAddr(b + 0x1ffe), &mut four), Err(AccessFault { done: 2 }));
    context.advise(pages(b, 0x2000), libc::MADV_DONTNEED).expect("advise");
    let mut two = [9; 2];
    context.read(UserAddr(b + 0x1ffe), &mut two).expect("read");
    assert_eq!(two, [0, 0]);
    context.unmap(pages(b, 0x8000)).expect("unmap");
    context.unmap(pages(b, 0x8000)).expect("unmapping nothing");
    assert_eq!(context.read(UserAddr(b), &mut two), Err(AccessFault { done: 0 }));

    let mut big = vec![7; 3 << 20];
    context.map(pages(a, 3 << 20), ANON, RW).expect("map");
    context.write(UserAddr(a), &big).expect("write");
    big.fill(0);
    context.read(UserAddr(a), &mut big).expect("read");
    assert!(big.iter().all(|byte| *byte == 7));
    assert!(matches!(context.map(pages(0x6800_0000_0000, 0), ANON, RW), Err(MapError::Refused(_))));
}

#[test]
fn files_are_mapped_private_and_shared() {
    let platform = platform();
    let (mut guest, _) = process(&platform, CALLS);
    let context = &mut guest.context;
    let file = memfd(&[1; 8192]);
    let at = |at: u64, prot, shared: bool| {
        let (file, offset) = (file.as_fd(), 4096);
        let backing =
            if shared { Backing::Shared { file, offset } } else { Backing::Private { file, offset } };
        (pages(at, 4096), backing, prot)
    };
    for (range, backing, prot) in
        [at(0x1000_0000, RW, false), at(0x2000_0000, RW, true), at(0x3000_0000, RX, true)]
    {
        context.map(range, backing, prot).expect("map");
    }
    context.write(UserAddr(0x1000_0000), &[2]).expect("write");
    let mut byte = [0];
    context.read(UserAddr(0x2000_0000), &mut byte).expect("read");
    assert_eq!(byte, [1], "a private write stays private");
    context.write(UserAddr(0x2000_0000), &[3]).expect("write");
    context.read(UserAddr(0x3000_0000), &mut byte).expect("read");
    assert_eq!(byte, [3], "a shared write is seen");
    context.read(UserAddr(0x1000_0000), &mut byte).expect("read");
    assert_eq!(byte, [2]);
    let file = std::fs::File::from(file);
    let mut back = [0; 2];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut back, 4095).expect("read");
    assert_eq!(back, [1, 3]);
    let read_only = std::fs::File::open("/proc/self/exe").expect("open");
    let backing = Backing::Shared { file: read_only.as_fd(), offset: 0 };
    let refused = context.map(pages(0x1000_0000, 4096), backing, RW).and_then(|()| context.finish());
    assert_eq!(refused, Err(MapError::Refused(Errno::EACCES)));
    for _ in 0..50 {
        context
            .map(pages(0x1000_0000, 4096), Backing::Private { file: read_only.as_fd(), offset: 0 }, RX)
            .expect("map");
    }
    context.read(UserAddr(0x1000_0001), &mut back).expect("read");
    assert_eq!(&back, b"EL");
}

#[test]
fn extended_state_survives_and_can_be_changed() {
    let platform = platform();
    // syscall; vpaddq zmm16 += zmm16 or paddq xmm0,xmm0; syscall …
    let (mut guest, mut regs) = process(&platform, &[0x0f, 0x05, 0x66, 0x0f, 0xd4, 0xc0, 0xeb, 0xf8]);
    let layout = platform.layout().clone();
    call(&mut *guest.context, &mut regs);
    let area = guest.context.extended_state().expect("alive");
    assert_eq!(area.len(), layout.xsave_size);
    assert_eq!(area[464..468], 0x4650_5853_u32.to_le_bytes(), "FP_XSTATE_MAGIC1");
    assert_eq!(area[24..28], 0x1f80_u32.to_le_bytes(), "MXCSR");
    // The host's own frames must agree with what we computed.
    let (features, size) = (layout.xfeatures, layout.xsave_size as u64);
    assert_eq!(area[472..480], features.to_le_bytes());
    assert_eq!(area[480..484], size.to_le_bytes()[..4]);

    let mut new = area.clone();
    new[160..168].copy_from_slice(&21_u64.to_le_bytes()); // xmm0
    new[168..176].copy_from_slice(&5_u64.to_le_bytes());
    new[512] |= 2;
    // What the processor refuses must be cleared, not kill the guest.
    new[520..576].fill(0xff);
    new[519] = 0xff;
    new[28..32].fill(0xff);
    new[24..28].copy_from_slice(&0xffff_ffff_u32.to_le_bytes());
    let high = __cpuid_count(0xd, 7).ebx as usize;
    let zmm = features & 0x80 != 0;
    if zmm {
        new[high..high + 1024].fill(0x5a);
        new[512] |= 0xe0;
    }
    guest.context.set_extended_state(&new).expect("alive");
    for round in 1..=3_u64 {
        call(&mut *guest.context, &mut regs);
        let seen = guest.context.extended_state().expect("alive");
        assert_eq!(seen[160..168], (21_u64 << round).to_le_bytes());
        assert_eq!(seen[168..176], (5_u64 << round).to_le_bytes());
        if zmm {
            assert!(seen[high..high + 1024].iter().all(|byte| *byte == 0x5a));
        }
    }
    guest.context.set_extended_state(&[]).expect("alive");
    call(&mut *guest.context, &mut regs);
    let seen = guest.context.extended_state().expect("alive");
    assert_eq!(seen[160..176], [0; 16]);
    assert_eq!(seen[24..28], 0x1f80_u32.to_le_bytes(), "MXCSR");
    // An area of the legacy kind only.
    guest.context.set_extended_state(&new[..512]).expect("alive");
    call(&mut *guest.context, &mut regs);
    assert_eq!(guest.context.extended_state().expect("alive")[160..168], 42_u64.to_le_bytes());
    guest.context.set_extended_state(&[1; 100]).expect("alive");
    call(&mut *guest.context, &mut regs);
}

#[test]
fn a_spinning_guest_can_be_kicked() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, SPIN);
    let kick = guest.context.kicker();
    for round in 0..20 {
        let kick = kick.clone();
        let delay = Duration::from_millis(round % 4);
        let thread = thread::spawn(move || {
            thread::sleep(delay);
            kick.kick();
        });
        let before = regs;
        assert_eq!(guest.context.run(&mut regs), Trap::Interrupted);
        assert_eq!(Registers { eflags: before.eflags, orig_rax: before.orig_rax, ..regs }, before);
        thread.join().expect("joined");
    }
    kick.kick();
    assert_eq!(guest.context.run(&mut regs), Trap::Interrupted, "a kick before run is kept");
    drop(guest);
    kick.kick();
}

#[test]
fn a_killed_stub_is_gone() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, SPIN);
    let space = guest.space.clone();
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        space.kill();
    });
    let mut guest = within(Duration::from_secs(10), move || {
        assert_eq!(guest.context.run(&mut regs), Trap::Gone);
        guest
    });
    killer.join().expect("joined");
    assert_eq!(guest.context.run(&mut regs), Trap::Gone);
    assert_eq!(guest.context.map(pages(DATA, 4096), ANON, RW), Err(MapError::Gone));
    assert_eq!(guest.context.read(UserAddr(CODE), &mut [0]), Err(AccessFault { done: 0 }));
    assert_eq!(guest.context.extended_state(), Err(platform::Gone));
    assert!(guest.context.fork().is_err());
    assert!(guest.context.clone_thread().is_err());
    // The others live.
    let (mut other, mut regs) = process(&platform, CALLS);
    call(&mut *other.context, &mut regs);
}

#[test]
fn reset_empties_all_but_the_vdso() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, CALLS);
    call(&mut *guest.context, &mut regs);
    guest.context.map(pages(0x7fff_0000_0000, 4096), ANON, RW).expect("map");
    guest.context.reset().expect("reset");
    for at in [CODE, DATA, 0x7fff_0000_0000] {
        assert_eq!(guest.context.read(UserAddr(at), &mut [0]), Err(AccessFault { done: 0 }));
    }
    if let Some(vdso) = platform.layout().vdso {
        let mut magic = [0; 4];
        guest.context.read(UserAddr(vdso.image.start()), &mut magic).expect("the vdso");
        assert_eq!(&magic, b"\x7fELF");
    }
    let mut regs = common::load(&mut *guest.context, CALLS);
    regs.rax = 77;
    assert_eq!(call(&mut *guest.context, &mut regs), 77);
}

#[test]
fn the_vdso_works_and_its_fallback_traps() {
    let platform = platform();
    let Some(vdso) = platform.layout().vdso else {
        eprintln!("skipped: no /proc, so no vdso");
        return;
    };
    let (mut guest, mut regs) = process(&platform, &[0xff, 0xd0, 0x0f, 0x05]); // call rax; syscall
    let offset = vdso_symbol("__vdso_clock_gettime");
    let mut clock = |clock: u64| {
        regs.rax = vdso.image.start() + offset;
        (regs.rdi, regs.rsi, regs.rip) = (clock, DATA, CODE);
        assert_eq!(guest.context.run(&mut regs), Trap::Syscall);
        let mut time = [0; 16];
        guest.context.read(UserAddr(DATA), &mut time).expect("read");
        (regs.rip, u64::from_le_bytes(time[..8].try_into().expect("8 bytes")))
    };
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let (rip, seconds) = clock(0);
    assert_eq!(rip, CODE + 4, "answered without a call");
    assert!(seconds.abs_diff(now) <= 1);
    // CLOCK_PROCESS_CPUTIME_ID is not for the vdso: its system call is the guest's.
    let (rip, _) = clock(2);
    assert!(vdso.image.contains(rip), "{rip:#x}");
}

/// The offset of a symbol of the vdso, from our own copy of it.
fn vdso_symbol(name: &str) -> u64 {
    // SAFETY: reads the auxiliary vector.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    let name = std::ffi::CString::new(name).expect("a name");
    // The dynamic loader knows the vdso as a library.
    // SAFETY: the library is loaded already.
    let library = unsafe { libc::dlopen(c"linux-vdso.so.1".as_ptr(), libc::RTLD_NOW) };
    // SAFETY: a handle and a C string.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) } as u64;
    assert!(symbol > base, "found");
    symbol - base
}

#[test]
fn processor_time_is_counted() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, &[0xff, 0xc9, 0x75, 0xfc, 0x0f, 0x05]); // dec ecx; jnz; syscall
    regs.rcx = 100_000_000;
    call(&mut *guest.context, &mut regs);
    let (process, thread) = (guest.space.cpu_time(), guest.context.cpu_time());
    assert!(
        process >= Duration::from_millis(10) && thread >= Duration::from_millis(10),
        "{process:?} {thread:?}"
    );
    assert!(process < Duration::from_secs(20));
}

/// `lock inc dword [rdi]; dec esi; jnz; syscall`.
const COUNT: &[u8] = &[0xf0, 0xff, 0x07, 0xff, 0xce, 0x75, 0xf9, 0x0f, 0x05];

#[test]
fn comparing_is_atomic_against_running_guests() {
    const ROUNDS: u32 = 2000;
    const PER_ROUND: u32 = 100_000;
    let platform = platform();
    let (mut guest, start) = process(&platform, COUNT);
    let mut other = guest.context.clone_thread().expect("a thread");
    let mut regs = Registers { rdi: DATA, rsi: u64::from(ROUNDS * PER_ROUND / 100), ..start };
    // A tracer may not end before its guest.
    let step = std::sync::Arc::new(std::sync::Barrier::new(2));
    let counting = {
        let step = std::sync::Arc::clone(&step);
        std::thread::spawn(move || {
            assert_eq!(other.run(&mut regs), Trap::Syscall);
            step.wait();
            step.wait();
        })
    };
    let mut added = 0;
    let mut value = 0;
    while added < ROUNDS {
        let was =
            guest.context.compare_exchange_u32(UserAddr(DATA), value, value.wrapping_add(1)).expect("mapped");
        added += u32::from(was == value);
        value = if was == value { was.wrapping_add(1) } else { was };
    }
    step.wait();
    let mut word = [0; 4];
    guest.space.read(UserAddr(DATA), &mut word).expect("mapped");
    assert_eq!(u32::from_le_bytes(word), ROUNDS * PER_ROUND / 100 + added);
    // It needs memory that can be written, whatever is there.
    assert!(guest.context.compare_exchange_u32(UserAddr(CODE), 1, 2).is_err());
    assert!(guest.context.compare_exchange_u32(UserAddr(0x10_0000), 1, 2).is_err());
    assert_eq!(guest.context.compare_exchange_u32(UserAddr(DATA), 1, 2), Ok(u32::from_le_bytes(word)));
    step.wait();
    counting.join().expect("counted");
}
