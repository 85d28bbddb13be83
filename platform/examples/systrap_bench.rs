//! What the systrap backend's operations cost, beside the host's own, in one run. Minimum and median of batches, in µs.
//!
//! `systrap_bench [NAME…]` runs only the named measurements. Run it under `taskset` and beside busy loops to see how the
//! hand-over behaves there.

use std::{
    fs::File,
    hint::black_box,
    io::Write,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use platform::{
    Backing, Context, PageRange, Platform, Process, Prot, Registers, Trap, UserAddr,
    systrap::{Config, Systrap},
};

const CODE: u64 = 0x40_0000;
const AREA: u64 = 0x1000_0000;
const BATCHES: usize = 41;
const RW: Prot = Prot::READ.with(Prot::WRITE);
const RX: Prot = Prot::READ.with(Prot::EXEC);
const ANON: Backing<'static> = Backing::Anonymous { no_reserve: false };

/// `syscall; jmp` back.
const CALLS: &[u8] = &[0x0f, 0x05, 0xeb, 0xfc];
/// `mov eax,110; syscall; jmp` back: a site that can be patched.
const NUMBERED: &[u8] = &[0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
/// The same, twice.
const NUMBERED_TWICE: &[u8] = &[0xb8, 9, 0, 0, 0, 0x0f, 0x05, 0xb8, 11, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf0];
/// `mov byte [rdi],1; add rdi,4096; dec esi; jnz; syscall; jmp` to the call.
const TOUCH: &[u8] =
    &[0xc6, 0x07, 1, 0x48, 0x81, 0xc7, 0, 0x10, 0, 0, 0xff, 0xce, 0x75, 0xf2, 0x0f, 0x05, 0xeb, 0xf0];

fn pages(start: u64, len: u64) -> PageRange {
    PageRange::covering(start, len).expect("a range")
}

fn process(platform: &Systrap, code: &[u8]) -> (Process, Registers) {
    let mut process = platform.new_process().expect("a process");
    let context = &mut process.context;
    let file = File::from(host::memfd::create(c"guest", 0).expect("memfd"));
    (&file).write_all(code).expect("write");
    context.map(pages(CODE, 4096), Backing::Private { file: file.as_fd(), offset: 0 }, RX).expect("map");
    (process, Registers::entry(CODE, 0))
}

fn trap(context: &mut dyn Context, regs: &mut Registers) {
    let trap = context.run(regs);
    assert_eq!(trap, Trap::Syscall, "rip {:#x}", regs.rip);
}

/// Runs `f`, which does `per_batch` operations, and prints the time of one.
fn measure(name: &str, per_batch: u32, mut f: impl FnMut()) {
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    if !wanted.is_empty() && !wanted.iter().any(|w| name.contains(w.as_str())) {
        return;
    }
    f();
    let mut times: Vec<_> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed() / per_batch
        })
        .collect();
    times.sort();
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!("{name:40} {:8.2} ({:.2})", us(times[0]), us(times[BATCHES / 2]));
}

/// What happens in a forked child of the host: it exits.
fn native_fork() {
    // SAFETY: the child calls nothing but _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

fn native_map(len: usize) -> *mut u8 {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping of the kernel's choice.
    unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0).cast() }
}

fn native_unmap(at: *mut u8, len: usize) {
    // SAFETY: mapped by `native_map`, and not used any more.
    unsafe { libc::munmap(at.cast(), len) };
}

fn native_touch(at: *mut u8, count: usize) {
    for page in 0..count {
        // SAFETY: the mapping has `count` pages.
        let byte = unsafe { at.add(page * 4096) };
        // SAFETY: as above.
        unsafe { byte.write_volatile(1) };
    }
}

fn native() {
    measure("native getppid", 1000, || {
        for _ in 0..1000 {
            // SAFETY: no memory is involved.
            black_box(unsafe { libc::getppid() });
        }
    });
    measure("native mmap+munmap", 100, || {
        for _ in 0..100 {
            native_unmap(native_map(4096), 4096);
        }
    });
    measure("native first touch", 512, || {
        let at = native_map(512 * 4096);
        native_touch(at, 512);
        native_unmap(at, 512 * 4096);
    });
    measure("native fork+exit+wait", 20, || (0..20).for_each(|_| native_fork()));
    measure("native thread create+join", 20, || {
        (0..20).for_each(|_| std::thread::spawn(|| ()).join().expect("joined"));
    });
}

fn main() {
    let start = Instant::now();
    let platform = Systrap::new(Config::default()).expect("systrap works here");
    println!("{:40} {:8.2}", "Systrap::new", start.elapsed().as_secs_f64() * 1e6);
    let start = Instant::now();
    let first = platform.new_process().expect("a process");
    println!("{:40} {:8.2}", "first new_process", start.elapsed().as_secs_f64() * 1e6);
    drop(first);
    native();

    for (name, code) in [("trap", CALLS), ("trap, patched site", NUMBERED)] {
        let (mut guest, mut regs) = process(&platform, code);
        measure(name, 1000, || (0..1000).for_each(|_| trap(&mut *guest.context, &mut regs)));
    }
    let (mut guest, mut regs) = process(&platform, CALLS);
    measure("mmap+munmap (2 traps)", 100, || {
        for _ in 0..100 {
            trap(&mut *guest.context, &mut regs);
            guest.context.map(pages(AREA, 4096), ANON, RW).expect("map");
            trap(&mut *guest.context, &mut regs);
            guest.context.unmap(pages(AREA, 4096)).expect("unmap");
        }
    });
    for (name, number, len) in [
        ("write 64 bytes", 1, 64),
        ("write 4096 bytes", 1, 4096),
        ("read 64 bytes", 0, 64),
        ("read 4096 bytes", 0, 4096),
        ("open, 256 bytes", 2, 256),
        ("stat, 256 in, 144 out", 4, 144),
    ] {
        let mut code = NUMBERED.to_vec();
        code[1] = number;
        let (mut guest, start) = process(&platform, &code);
        guest.context.map(pages(AREA, 0x10000), ANON, RW).expect("map");
        let mut regs = Registers { rdi: AREA, rsi: AREA + 0x4000, rdx: len as u64, ..start };
        let mut buffer = vec![0; len];
        measure(&format!("{name}, patched"), 1000, || {
            for _ in 0..1000 {
                trap(&mut *guest.context, &mut regs);
                match number {
                    0 => guest.context.write(UserAddr(AREA + 0x4000), &buffer).expect("write"),
                    1 => guest.context.read(UserAddr(AREA + 0x4000), &mut buffer).expect("read"),
                    2 => guest.context.read(UserAddr(AREA), &mut buffer).expect("read"),
                    _ => {
                        guest.context.read(UserAddr(AREA), &mut [0; 256]).expect("read");
                        guest.context.write(UserAddr(AREA + 0x4000), &buffer).expect("write");
                    }
                }
            }
        });
    }
    let (mut guest, mut regs) = process(&platform, NUMBERED_TWICE);
    measure("mmap+munmap, patched (2 traps)", 100, || {
        for _ in 0..100 {
            trap(&mut *guest.context, &mut regs);
            guest.context.map(pages(AREA, 4096), ANON, RW).expect("map");
            trap(&mut *guest.context, &mut regs);
            guest.context.unmap(pages(AREA, 4096)).expect("unmap");
        }
    });
    measure("read 64 bytes of the guest", 100, || {
        (0..100).for_each(|_| guest.context.read(UserAddr(CODE), &mut [0; 64]).expect("read"));
    });
    let (mut guest, start) = process(&platform, TOUCH);
    measure("first touch", 512, || {
        let mut regs = Registers { rdi: AREA, rsi: 512, ..start };
        guest.context.map(pages(AREA, 512 * 4096), ANON, RW).expect("map");
        trap(&mut *guest.context, &mut regs);
        guest.context.unmap(pages(AREA, 512 * 4096)).expect("unmap");
    });
    let (mut guest, mut regs) = process(&platform, CALLS);
    measure("fork+first trap+end", 20, || {
        for _ in 0..20 {
            trap(&mut *guest.context, &mut regs);
            let mut child = guest.context.fork().expect("fork");
            trap(&mut *child.context, &mut regs.clone());
        }
    });
    measure("fork call alone", 20, || {
        let children: Vec<_> = (0..20).map(|_| guest.context.fork().expect("fork")).collect();
        drop(children);
    });
    measure("new process+first trap+end", 20, || {
        for _ in 0..20 {
            let (mut guest, mut regs) = process(&platform, CALLS);
            trap(&mut *guest.context, &mut regs);
        }
    });
    measure("thread create+first trap+end", 20, || {
        for _ in 0..20 {
            trap(&mut *guest.context, &mut regs);
            let mut thread = guest.context.clone_thread().expect("a thread");
            trap(&mut *thread, &mut regs.clone());
        }
    });
}
