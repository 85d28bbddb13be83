//! Threads: clone(2), clone3(2), futex(2).

use linux_abi::{futex, sched};

use super::{Known, names::names, special, structs::one, text::Printer};
use crate::{nr, structs::Struct, types::Set};

/// Prints the arguments of calls that name them or mix them. Returns whether it did.
pub(super) fn arguments(p: &mut Printer<'_>, known: Known) -> bool {
    match u64::from(known.row.nr) {
        nr::clone => {
            clone(p, known);
            true
        }
        nr::futex => {
            futex(p, known);
            true
        }
        _ => false,
    }
}

/// Prints what [`arguments`] had to leave for the end.
pub(super) fn late_arguments(p: &mut Printer<'_>, known: Known) {
    if !known.is(nr::clone) {
        return;
    }
    let [flags, _, parent_tid, child_tid, tls, _] = known.args;
    if flags & (sched::CLONE_PARENT_SETTID | sched::CLONE_PIDFD) != 0 {
        p.put(if flags & sched::CLONE_PIDFD != 0 { ", pidfd=" } else { ", parent_tid=" });
        if known.failed() { p.address(parent_tid) } else { one(p, known, Struct::Int, parent_tid) }
    }
    if flags & sched::CLONE_SETTLS != 0 {
        p.put(", tls=");
        p.address(tls);
    }
    if flags & (sched::CLONE_CHILD_SETTID | sched::CLONE_CHILD_CLEARTID) != 0 {
        p.put(", child_tidptr=");
        p.address(child_tid);
    }
}

fn clone_flags(p: &mut Printer<'_>, flags: u64, signal: u64) {
    let start = p.text.len();
    let left = p.some_flags(flags, names(Set::Clone), start);
    if left != 0 {
        p.put(if p.text.len() > start { "|" } else { "" });
        p.hex(left);
    }
    if signal != 0 {
        p.put(if p.text.len() > start { "|" } else { "" });
        p.signal(i32::try_from(signal).unwrap_or(0));
    }
    if p.text.len() == start {
        p.put("0");
    }
}

fn clone(p: &mut Printer<'_>, known: Known) {
    let [flags, stack, ..] = known.args;
    p.put("child_stack=");
    p.address(stack);
    p.put(", flags=");
    clone_flags(p, flags & !sched::CSIGNAL, flags & sched::CSIGNAL);
}

/// `struct clone_args`.
pub(super) fn clone_args(p: &mut Printer<'_>, known: Known, at: u64) {
    let Some(args) = p.fields::<64>(at).filter(|_| known.arg(1) >= 64) else { return p.address(at) };
    let flags = args.u64(0);
    p.put("{flags=");
    clone_flags(p, flags, 0);
    if flags & sched::CLONE_PIDFD != 0 {
        p.put(", pidfd=");
        p.address(args.u64(8));
    }
    if flags & (sched::CLONE_CHILD_SETTID | sched::CLONE_CHILD_CLEARTID) != 0 {
        p.put(", child_tid=");
        p.address(args.u64(16));
    }
    if flags & sched::CLONE_PARENT_SETTID != 0 {
        p.put(", parent_tid=");
        p.address(args.u64(24));
    }
    p.put(", exit_signal=");
    p.signal(i32::try_from(args.u64(32)).unwrap_or(0));
    p.put(", stack=");
    p.address(args.u64(40));
    p.put(", stack_size=");
    p.hex(args.u64(48));
    if flags & sched::CLONE_SETTLS != 0 {
        p.put(", tls=");
        p.address(args.u64(56));
    }
    p.put("}");
}

pub(super) fn futex_command(known: Known) -> u32 {
    known.word(1) & !(futex::FUTEX_PRIVATE_FLAG | futex::FUTEX_CLOCK_REALTIME)
}

fn futex(p: &mut Printer<'_>, known: Known) {
    let [uaddr, _, _, timeout, uaddr2, _] = known.args;
    let (val, val2, val3) = (known.word(2), known.word(3), known.word(5));
    p.address(uaddr);
    p.put(", ");
    special::value(p, Set::Futex, known.word(1));
    let command = futex_command(known);
    match command {
        futex::FUTEX_LOCK_PI | futex::FUTEX_LOCK_PI2 => {
            p.put(", ");
            one(p, known, Struct::Timespec, timeout);
            return;
        }
        futex::FUTEX_UNLOCK_PI | futex::FUTEX_TRYLOCK_PI => return,
        _ => p.put_fmt(format_args!(", {val}")),
    }
    match command {
        futex::FUTEX_WAIT | futex::FUTEX_WAIT_BITSET | futex::FUTEX_WAIT_REQUEUE_PI => {
            p.put(", ");
            one(p, known, Struct::Timespec, timeout);
            if command == futex::FUTEX_WAIT_REQUEUE_PI {
                p.put(", ");
                p.address(uaddr2);
            } else if command == futex::FUTEX_WAIT_BITSET {
                p.put(", ");
                bitset(p, val3);
            }
        }
        futex::FUTEX_WAKE => {}
        futex::FUTEX_WAKE_BITSET => {
            p.put(", ");
            bitset(p, val3);
        }
        futex::FUTEX_REQUEUE | futex::FUTEX_CMP_REQUEUE | futex::FUTEX_CMP_REQUEUE_PI => {
            p.put_fmt(format_args!(", {val2}, "));
            p.address(uaddr2);
            if command != futex::FUTEX_REQUEUE {
                p.put_fmt(format_args!(", {val3}"));
            }
        }
        _ => {
            p.put_fmt(format_args!(", {val2}, "));
            p.address(uaddr2);
            p.put_fmt(format_args!(", {val3:#x}"));
        }
    }
}

fn bitset(p: &mut Printer<'_>, mask: u32) {
    if mask == futex::FUTEX_BITSET_MATCH_ANY {
        p.put("FUTEX_BITSET_MATCH_ANY");
    } else {
        p.hex(u64::from(mask));
    }
}
