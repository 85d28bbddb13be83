//! Processes and threads on any backend with stubs: fork, threads, many of each, and what is left behind.
#![cfg(target_arch = "x86_64")]

mod common;

use std::{fs, sync::Mutex, thread, time::Duration};

use common::{CODE, DATA, call, platform, process, within};
use platform::{Context, Process, Registers, Trap, UserAddr};

/// Tests here count descriptors and mappings of the whole test process, so they run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> impl Drop {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `syscall; jmp` back.
const CALLS: &[u8] = &[0x0f, 0x05, 0xeb, 0xfc];
/// `mov [rdi],rsi; syscall; mov rax,[rdi]; syscall; jmp` to the second call.
const STORE: &[u8] = &[0x48, 0x89, 0x37, 0x0f, 0x05, 0x48, 0x8b, 0x07, 0x0f, 0x05, 0xeb, 0xfc];

fn word(process: &Process, at: u64) -> u64 {
    let mut bytes = [0; 8];
    process.space.read(UserAddr(at), &mut bytes).expect("readable");
    u64::from_le_bytes(bytes)
}

#[test]
fn fork_copies_memory_on_write() {
    let _alone = alone();
    let platform = platform();
    let (mut parent, mut regs) = process(&platform, STORE);
    (regs.rdi, regs.rsi) = (DATA, 1);
    regs.fs_base = 0x1000;
    call(&mut *parent.context, &mut regs);
    let mut state = parent.context.extended_state().expect("alive");
    state[160] = 0x77;
    state[512] |= 2;
    parent.context.set_extended_state(&state).expect("alive");

    let mut child = parent.context.fork().expect("fork");
    let mut child_regs = Registers { rip: CODE, rsi: 2, ..regs };
    call(&mut *child.context, &mut child_regs);
    assert_eq!(child_regs.fs_base, 0x1000);
    assert_eq!(child.context.extended_state().expect("alive")[160], 0x77);
    assert_eq!((word(&parent, DATA), word(&child, DATA)), (1, 2));
    assert_eq!(call(&mut *parent.context, &mut regs), 1, "the parent reads its own");
    assert_eq!(call(&mut *child.context, &mut child_regs), 2);

    // The child can do everything a parent can, and outlives it.
    let mut grandchild = child.context.fork().expect("fork");
    drop(parent);
    drop(child);
    let mut regs = Registers { rip: CODE, rsi: 3, ..child_regs };
    call(&mut *grandchild.context, &mut regs);
    assert_eq!(word(&grandchild, DATA), 3);
    let regs = common::load(&mut *grandchild.context, CALLS);
    assert_eq!(call(&mut *grandchild.context, &mut { regs }), 0);
}

#[test]
fn threads_share_memory_and_end_alone() {
    let _alone = alone();
    let platform = platform();
    let (mut first, mut regs) = process(&platform, STORE);
    (regs.rdi, regs.rsi) = (DATA, 1);
    call(&mut *first.context, &mut regs);
    let start = regs;
    let mut threads: Vec<Box<dyn Context>> = Vec::new();
    for _ in 0..40 {
        threads.push(first.context.clone_thread().expect("a thread"));
    }
    let results: Vec<_> = threads
        .into_iter()
        .enumerate()
        .map(|(index, mut context)| {
            thread::spawn(move || {
                let index = index as u64;
                let at = DATA + 8 + 8 * index;
                let mut regs =
                    Registers { rip: CODE, rdi: at, rsi: index + 100, fs_base: index << 12, ..start };
                for _ in 0..200 {
                    regs.rip = CODE;
                    call(&mut *context, &mut regs);
                    assert_eq!(regs.fs_base, index << 12);
                }
                // Thread of a thread.
                let mut other = context.clone_thread().expect("a thread");
                drop(context);
                call(&mut *other, &mut regs);
                regs.rax
            })
        })
        .collect();
    for (index, thread) in results.into_iter().enumerate() {
        assert_eq!(thread.join().expect("joined"), index as u64 + 100);
    }
    assert_eq!(word(&first, DATA + 8 + 8 * 39), 139);
    assert_eq!(call(&mut *first.context, &mut regs), 1);
    // A forked child of a process with many units has one thread and works.
    let mut child = first.context.fork().expect("fork");
    let mut regs = Registers { rip: CODE, rsi: 9, ..start };
    call(&mut *child.context, &mut regs);
    assert_eq!(word(&child, DATA), 9);
}

#[test]
fn killing_a_process_ends_all_its_threads() {
    let _alone = alone();
    let platform = platform();
    let (mut first, mut regs) = process(&platform, &[0x0f, 0x05, 0xeb, 0xfe]); // syscall; jmp .
    call(&mut *first.context, &mut regs);
    let contexts: Vec<_> = (0..20).map(|_| first.context.clone_thread().expect("a thread")).collect();
    let threads: Vec<_> = contexts
        .into_iter()
        .map(|mut context| {
            thread::spawn(move || {
                let mut regs = regs;
                context.run(&mut regs)
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(20));
    first.space.kill();
    within(Duration::from_secs(20), move || {
        for thread in threads {
            assert_eq!(thread.join().expect("joined"), Trap::Gone);
        }
    });
    assert_eq!(first.context.run(&mut regs), Trap::Gone);
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").expect("proc").count()
}

fn mappings() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("proc");
    maps.lines().filter(|line| line.contains("systrap-slots")).count()
}

#[test]
fn many_processes_and_threads_leave_nothing_behind() {
    let _alone = alone();
    let platform = platform();
    drop(process(&platform, CALLS));
    // The reaper may still be holding it.
    thread::sleep(Duration::from_millis(100));
    let before = (open_files(), mappings());
    let mut parents = Vec::new();
    for _ in 0..4 {
        parents.push(process(&platform, CALLS));
    }
    for round in 0..50 {
        let mut children = Vec::new();
        for (parent, regs) in &mut parents {
            call(&mut *parent.context, regs);
            let mut child = parent.context.fork().expect("fork");
            let mut child_regs = *regs;
            call(&mut *child.context, &mut child_regs);
            children.push(child);
            if round % 10 == 0 {
                children.push(process(&platform, CALLS).0);
            }
        }
    }
    for (parent, regs) in &mut parents {
        for _ in 0..5 {
            let mut threads = Vec::new();
            for _ in 0..25 {
                let mut context = parent.context.clone_thread().expect("a thread");
                let mut regs = *regs;
                regs.rip = CODE;
                call(&mut *context, &mut regs);
                threads.push(context);
            }
        }
    }
    drop(parents);
    // The reaper may still be holding the last of them.
    for _ in 0..100 {
        if (open_files(), mappings()) == before {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!((open_files(), mappings()), before);
}

#[test]
fn parallel_forks_and_threads() {
    let _alone = alone();
    let platform = std::sync::Arc::new(platform());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let platform = platform.clone();
            thread::spawn(move || {
                let (mut parent, mut regs) = process(&platform, CALLS);
                for round in 0..40 {
                    regs.rax = round;
                    assert_eq!(call(&mut *parent.context, &mut regs), round);
                    let mut child = parent.context.fork().expect("fork");
                    let mut other = child.context.clone_thread().expect("a thread");
                    let mut child_regs = regs;
                    call(&mut *child.context, &mut child_regs);
                    drop(child);
                    let mut other_regs = regs;
                    call(&mut *other, &mut other_regs);
                    let mut third = other.clone_thread().expect("a thread");
                    let mut third_regs = regs;
                    assert_eq!(call(&mut *third, &mut third_regs), round);
                }
            })
        })
        .collect();
    within(Duration::from_secs(60), move || {
        threads.into_iter().for_each(|thread| thread.join().expect("joined"));
    });
}

#[test]
fn dropping_the_platform_ends_every_stub() {
    let _alone = alone();
    let stubs = || {
        let mut count = 0;
        for entry in fs::read_dir("/proc").expect("proc").flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1).map(str::to_owned));
            if parent == Some(std::process::id().to_string()) {
                count += 1;
            }
        }
        count
    };
    let platform = platform();
    let (guest, _) = process(&platform, CALLS);
    // The spare is made in the background.
    for _ in 0..200 {
        if stubs() >= 3 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(stubs(), 3);
    drop(platform);
    drop(guest);
    for _ in 0..200 {
        if stubs() == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{} stubs are left", stubs());
}
