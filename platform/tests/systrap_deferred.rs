//! Changes to memory that are made when the guest runs next.
#![cfg(target_arch = "x86_64")]

mod common;

use std::{fs::File, os::fd::AsFd};

use common::{ANON, CODE, DATA, RW, call, memfd, pages, platform, process};
use platform::{Backing, Errno, MapError, Piece, Prot, Registers, Trap, UserAddr};

/// `mov al, [rdi]; syscall; jmp` back.
const LOOK: &[u8] = &[0x8a, 0x07, 0x0f, 0x05, 0xeb, 0xfa];
const A: u64 = 0x1000_0000;

/// What the guest sees at `at`, which must be mapped.
fn look(guest: &mut platform::Process, regs: &mut Registers, at: u64) -> u64 {
    (regs.rax, regs.rdi, regs.rip) = (0, at, CODE);
    call(&mut *guest.context, regs)
}

#[test]
fn the_guest_does_not_run_after_a_refusal() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, LOOK);
    let read_only = File::open("/proc/self/exe").expect("open");
    assert_eq!(look(&mut guest, &mut regs, DATA), 0);
    // More often than a stub may have descriptors: none stays open.
    for round in 0..20 {
        let backing = Backing::Shared { file: read_only.as_fd(), offset: 0 };
        guest.context.map(pages(A, 4096), backing, RW).expect("left for later");
        guest.context.map(pages(A + 0x1000, 4096), ANON, RW).expect("left for later");
        let before = regs;
        assert_eq!(guest.context.run(&mut regs), Trap::Refused(Errno::EACCES), "round {round}");
        assert_eq!(regs, before);
        assert_eq!(look(&mut guest, &mut regs, DATA), 0);
        (regs.rdi, regs.rip) = (A + 0x1000, CODE);
        assert!(matches!(guest.context.run(&mut regs), Trap::Fault(_)), "what came after it was not done");
    }
}

#[test]
fn a_refusal_can_be_asked_for() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, LOOK);
    let nothing = pages(0x3000_0000, 4096);
    guest.context.protect(nothing, RW).expect("left for later");
    assert_eq!(guest.context.finish(), Err(MapError::Refused(Errno::ENOMEM)));
    assert_eq!(guest.context.finish(), Ok(()));
    assert_eq!(look(&mut guest, &mut regs, DATA), 0);
}

#[test]
fn many_changes_are_made_in_order() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, LOOK);
    let file = memfd(&[7; 8192]);
    for round in 0..100 {
        let at = A + round * 0x1_0000;
        guest.context.map(pages(at, 0x3000), ANON, RW).expect("map");
        guest.context.unmap(pages(at + 0x1000, 0x1000)).expect("unmap");
        let backing = Backing::Private { file: file.as_fd(), offset: 4096 };
        guest.context.map(pages(at + 0x1000, 0x1000), backing, RW).expect("map");
        guest.context.protect(pages(at + 0x1000, 0x1000), Prot::READ).expect("protect");
    }
    for round in 0..100 {
        let at = A + round * 0x1_0000;
        assert_eq!(look(&mut guest, &mut regs, at), 0);
        assert_eq!(look(&mut guest, &mut regs, at + 0x1000), 7);
    }
    assert!(guest.context.write(UserAddr(A + 0x1000), &[1]).is_err());
}

#[test]
fn an_image_is_mapped_and_initialised() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, LOOK);
    assert_eq!(look(&mut guest, &mut regs, DATA), 0);
    let content: Vec<u8> = (0..0x4000_u32).map(|at| (at / 16) as u8 | 1).collect();
    let file = memfd(&content);
    let piece = |at, len, prot, offset| Piece { range: pages(A + at, len), prot, offset };
    let pieces = [
        piece(0, 0x1000, Prot::READ, Some(0)),
        piece(0x1000, 0x2000, RW, Some(0x2000)),
        piece(0x3000, 0x5000, RW, None),
        piece(0x7000, 0x1000, Prot::READ, Some(0x1000)),
    ];
    guest.context.map_image(file.as_fd(), &pieces).expect("map");
    guest.context.clear(UserAddr(A + 0x2123), 0xedd).expect("clear");
    guest.context.initialise(UserAddr(A + 0x4ffc), b"stack").expect("initialise");
    assert_eq!(look(&mut guest, &mut regs, A + 0x10), 1);
    let mut bytes = vec![9; 0x8000];
    guest.context.read(UserAddr(A), &mut bytes).expect("read");
    assert_eq!(bytes[..0x1000], content[..0x1000]);
    assert_eq!(bytes[0x1000..0x2123], content[0x2000..0x3123]);
    assert!(bytes[0x2123..0x4ffc].iter().all(|byte| *byte == 0));
    assert_eq!(&bytes[0x4ffc..0x5001], b"stack");
    assert!(bytes[0x5001..0x7000].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[0x7000..], content[0x1000..0x2000]);
}

#[test]
fn threads_keep_their_own_changes() {
    let platform = platform();
    let (mut guest, mut regs) = process(&platform, LOOK);
    assert_eq!(look(&mut guest, &mut regs, DATA), 0);
    let mut other = guest.context.clone_thread().expect("a thread");
    let mut others = Registers { rip: CODE, rdi: DATA, rax: 0, ..regs };
    assert_eq!(call(&mut *other, &mut others), 0);
    guest.context.map(pages(A, 4096), ANON, RW).expect("map");
    other.map(pages(2 * A, 4096), ANON, RW).expect("map");
    (others.rax, others.rdi, others.rip) = (0, 2 * A, CODE);
    assert_eq!(call(&mut *other, &mut others), 0);
    assert_eq!(look(&mut guest, &mut regs, A), 0);
    assert_eq!(look(&mut guest, &mut regs, 2 * A), 0);
    // With two threads, files are mapped at once.
    let file = memfd(&[5; 4096]);
    let backing = || Backing::Shared { file: file.as_fd(), offset: 0 };
    other.map(pages(3 * A, 4096), backing(), RW).expect("map");
    assert_eq!(look(&mut guest, &mut regs, 3 * A), 5);
    other.unmap(pages(3 * A, 4096)).expect("unmap");
    drop(other);
    assert_eq!(look(&mut guest, &mut regs, A), 0);
}
