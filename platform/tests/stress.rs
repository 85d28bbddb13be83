//! Everything at once on any backend with stubs, for `STRESS_SECONDS` (2 by default): calls by trap and by patched site,
//! forks, threads, kicks, mapping changes, extended state; every step checks that the guest is where it must be.
#![expect(clippy::panic, reason = "tests")]
#![cfg(target_arch = "x86_64")]

mod common;

use std::{
    os::fd::AsFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{ANON, Backend, CODE, DATA, RW, RX, memfd, pages, platform, within};
use platform::{Backing, Context, Kick, Platform, Process, Registers, Trap, UserAddr};

/// `mov eax,1; syscall; inc rbx; paddq xmm0,xmm1; mov eax,2; syscall; inc rbx; paddq xmm0,xmm1; xor eax,eax; syscall;
/// cmp $-4096,rax; inc rbx; paddq xmm0,xmm1; jmp` back: a site of each shape that can be patched.
const CODE_BYTES: &[u8] = &[
    0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0x48, 0xff, 0xc3, 0x66, 0x0f, 0xd4, 0xc1, // 1
    0xb8, 2, 0, 0, 0, 0x0f, 0x05, 0x48, 0xff, 0xc3, 0x66, 0x0f, 0xd4, 0xc1, // 2
    0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x48, 0xff, 0xc3, 0x66, 0x0f, 0xd4,
    0xc1, // 0
    0xeb, 0xd1,
];
/// What the calls return to.
const BACKS: [u64; 3] = [CODE + 32, CODE + 7, CODE + 21];

struct World {
    platform: Backend,
    stop: AtomicBool,
    kicks: Mutex<Vec<Arc<dyn Kick>>>,
    calls: AtomicU64,
    kicked: AtomicU64,
    births: AtomicU64,
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// A guest thread and what must be true of it.
struct Guest {
    context: Box<dyn Context>,
    regs: Registers,
    calls: u64,
    started: u64,
}

impl Guest {
    fn first(world: &World) -> Guest {
        let Process { mut context, .. } = world.platform.new_process().expect("a process");
        let file = memfd(CODE_BYTES);
        context.map(pages(CODE, 4096), Backing::Private { file: file.as_fd(), offset: 0 }, RX).expect("map");
        context.map(pages(DATA, 4096), ANON, RW).expect("map");
        let mut state = context.extended_state().expect("alive");
        state[160..168].copy_from_slice(&0_u64.to_le_bytes());
        state[176..184].copy_from_slice(&3_u64.to_le_bytes());
        state[512] |= 2;
        context.set_extended_state(&state).expect("alive");
        world.kicks.lock().expect("lock").push(context.kicker());
        Guest { context, regs: Registers::entry(CODE, 0), calls: 0, started: 0 }
    }

    fn born(&self, world: &World, context: Box<dyn Context>) -> Guest {
        world.births.fetch_add(1, Ordering::Relaxed);
        world.kicks.lock().expect("lock").push(context.kicker());
        Guest { context, regs: self.regs, calls: self.calls, started: self.calls }
    }

    fn step(&mut self, world: &World, random: &mut Random) {
        loop {
            match self.context.run(&mut self.regs) {
                Trap::Syscall => break,
                Trap::Interrupted => world.kicked.fetch_add(1, Ordering::Relaxed),
                other => panic!("{other:?} at {:#x}", self.regs.rip),
            };
            if random.next(10) == 0 {
                self.check_state();
            }
        }
        world.calls.fetch_add(1, Ordering::Relaxed);
        self.calls += 1;
        let number = self.calls % 3;
        let regs = &self.regs;
        assert_eq!((regs.orig_rax, regs.rip, regs.rbx), (number, BACKS[number as usize], self.calls - 1));
        self.regs.rax = random.next(u64::MAX);
        match random.next(60) {
            0 => {
                let at = 0x1000_0000 + 4096 * random.next(16);
                self.context.map(pages(at, 4096), ANON, RW).expect("map");
                if random.next(2) == 0 {
                    let word = self.calls.to_le_bytes();
                    // Another thread of the process may have unmapped it.
                    let _ = self.context.write(UserAddr(at), &word);
                }
            }
            1 => self.context.unmap(pages(0x1000_0000, 4096 * random.next(16) + 4096)).expect("unmap"),
            2 => self.check_after_call(),
            3 => {
                let state = self.context.extended_state().expect("alive");
                self.context.set_extended_state(&state).expect("alive");
            }
            4 => drop(self.context.cpu_time()),
            5 => self.regs.fs_base = random.next(1 << 40),
            _ => {}
        }
    }

    fn sum(&mut self) -> u64 {
        let state = self.context.extended_state().expect("alive");
        u64::from_le_bytes(state[160..168].try_into().expect("8 bytes"))
    }

    /// Anywhere: one addition may follow the last call, and the next not be reached.
    fn check_state(&mut self) {
        let sum = self.sum();
        let calls = self.calls;
        assert!(
            sum == 3 * calls || sum + 3 == 3 * calls,
            "{sum} after {calls} calls at {:#x}",
            self.regs.rip
        );
    }

    /// At a call: all additions but that which follows it.
    fn check_after_call(&mut self) {
        assert_eq!(self.sum(), 3 * (self.calls - 1));
    }
}

fn live(world: &Arc<World>, mut guest: Guest, mut random: Random, depth: u32) {
    let mut others = Vec::new();
    let steps = if depth == 0 { u64::MAX } else { 20 + random.next(400) };
    for _ in 0..steps {
        if world.stop.load(Ordering::Relaxed) {
            break;
        }
        guest.step(world, &mut random);
        if depth < 3 && random.next(150) == 0 {
            // As a task that is cloned: its context is stopped at a call.
            let context = if random.next(2) == 0 {
                guest.context.fork().expect("fork").context
            } else {
                guest.context.clone_thread().expect("a thread")
            };
            let born = guest.born(world, context);
            let (world, random) = (world.clone(), Random(random.next(u64::MAX) | 1));
            others.push(thread::spawn(move || live(&world, born, random, depth + 1)));
            if others.len() > 4 {
                others.remove(0).join().expect("joined");
            }
        }
    }
    assert!(guest.calls > guest.started || world.stop.load(Ordering::Relaxed));
    for other in others {
        other.join().expect("joined");
    }
}

#[test]
fn stress() {
    let seconds = std::env::var("STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let world = Arc::new(World {
        platform: platform(),
        stop: AtomicBool::new(false),
        kicks: Mutex::default(),
        calls: AtomicU64::new(0),
        kicked: AtomicU64::new(0),
        births: AtomicU64::new(0),
    });
    let mut threads: Vec<_> = (1..=3_u64)
        .map(|seed| {
            let world = world.clone();
            thread::spawn(move || {
                let guest = Guest::first(&world);
                live(&world, guest, Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), 0);
            })
        })
        .collect();
    let kicker = world.clone();
    threads.push(thread::spawn(move || {
        let mut random = Random(99);
        while !kicker.stop.load(Ordering::Relaxed) {
            let mut kicks = kicker.kicks.lock().expect("lock");
            if !kicks.is_empty() {
                let index = random.next(kicks.len() as u64) as usize;
                kicks[index].kick();
                // Those of ended threads too, sometimes.
                if kicks.len() > 60 {
                    kicks.drain(3..40);
                }
            }
            drop(kicks);
            thread::sleep(Duration::from_micros(random.next(300)));
        }
    }));
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut last = 0;
    while Instant::now() < until {
        thread::sleep(Duration::from_secs(1));
        let calls = world.calls.load(Ordering::Relaxed);
        assert_ne!(calls, last, "nothing moves");
        last = calls;
    }
    world.stop.store(true, Ordering::Relaxed);
    within(Duration::from_secs(30), move || {
        threads.into_iter().for_each(|thread| thread.join().expect("joined"));
    });
    let count = |what: &AtomicU64| what.load(Ordering::Relaxed);
    println!(
        "{} calls, {} kicks, {} births",
        count(&world.calls),
        count(&world.kicked),
        count(&world.births)
    );
}
