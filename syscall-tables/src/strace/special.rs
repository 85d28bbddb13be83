//! Calls whose arguments or results do not follow from their types: how many arguments there are, flags that share a word, results.

use linux_abi::{fcntl, futex, ioctl, mman, prctl, sched, socket, stat};

use super::{
    Known,
    names::{ACCESS_MODE, FD_FLAGS, SEALS, names},
    structs,
    text::Printer,
    threads,
};
use crate::{nr, structs::Struct, types::Set};

/// How many of its arguments a call has, given what the first ones say.
pub(super) fn shown(known: Known) -> usize {
    let creates = |flags: u32| flags & (fcntl::O_CREAT | fcntl::O_TMPFILE & !fcntl::O_DIRECTORY) != 0;
    match u64::from(known.row.nr) {
        nr::open if !creates(known.word(1)) => 2,
        nr::openat if !creates(known.word(2)) => 3,
        nr::mknod if !is_device(known.word(1)) => 2,
        nr::mknodat if !is_device(known.word(2)) => 3,
        nr::mremap if known.arg(3) & mman::MREMAP_FIXED == 0 => 4,
        nr::fcntl => match known.word(1) {
            fcntl::F_GETFD
            | fcntl::F_GETFL
            | fcntl::F_GETOWN
            | fcntl::F_GETSIG
            | fcntl::F_GETLEASE
            | fcntl::F_GETPIPE_SZ
            | fcntl::F_GET_SEALS => 2,
            _ => 3,
        },
        nr::ioctl => match known.word(1) {
            ioctl::FIOCLEX
            | ioctl::FIONCLEX
            | ioctl::TIOCNOTTY
            | ioctl::TIOCEXCL
            | ioctl::TIOCNXCL
            | ioctl::TIOCVHANGUP => 2,
            _ => 3,
        },
        nr::futex => match threads::futex_command(known) {
            futex::FUTEX_WAKE | futex::FUTEX_UNLOCK_PI | futex::FUTEX_TRYLOCK_PI => 3,
            futex::FUTEX_WAIT | futex::FUTEX_LOCK_PI | futex::FUTEX_LOCK_PI2 => 4,
            futex::FUTEX_REQUEUE => 5,
            _ => 6,
        },
        nr::prctl => match known.word(0).cast_signed() {
            prctl::PR_GET_DUMPABLE
            | prctl::PR_GET_KEEPCAPS
            | prctl::PR_GET_SECCOMP
            | prctl::PR_GET_SECUREBITS
            | prctl::PR_GET_TIMERSLACK
            | prctl::PR_GET_TIMING => 1,
            prctl::PR_SET_PDEATHSIG
            | prctl::PR_GET_PDEATHSIG
            | prctl::PR_SET_DUMPABLE
            | prctl::PR_SET_KEEPCAPS
            | prctl::PR_SET_NAME
            | prctl::PR_GET_NAME
            | prctl::PR_CAPBSET_READ
            | prctl::PR_CAPBSET_DROP
            | prctl::PR_SET_SECUREBITS
            | prctl::PR_SET_TIMERSLACK
            | prctl::PR_SET_CHILD_SUBREAPER
            | prctl::PR_GET_CHILD_SUBREAPER
            | prctl::PR_GET_TID_ADDRESS
            | prctl::PR_SET_PTRACER => 2,
            _ => 5,
        },
        nr::membarrier => 2,
        nr::arch_prctl => 2,
        _ => known.row.args.len(),
    }
}

fn is_device(mode: u32) -> bool {
    matches!(mode & stat::S_IFMT, stat::S_IFCHR | stat::S_IFBLK)
}

/// Whether the mode argument holds a file type.
pub(super) fn makes_node(known: Known) -> bool {
    known.is(nr::mknod) || known.is(nr::mknodat)
}

/// Whether the buffer holds random bytes.
pub(super) fn is_random(known: Known) -> bool {
    known.is(nr::getrandom)
}

/// Whether the argument is the time that is left of a sleep, which only an interrupted one has.
pub(super) fn is_remainder(known: Known, index: usize) -> bool {
    let sleeps = known.is(nr::nanosleep) && index == 1 || known.is(nr::clock_nanosleep) && index == 3;
    sleeps && !written_on_failure(known)
}

/// Whether the call failed but wrote its result all the same.
pub(super) fn written_on_failure(known: Known) -> bool {
    let interrupted = known.result.and_then(super::error) == Some(linux_abi::Errno::EINTR);
    interrupted && (known.is(nr::nanosleep) || known.is(nr::clock_nanosleep))
}

/// One of a set's values, with what may be added to it.
pub(super) fn value(p: &mut Printer<'_>, set: Set, value: u32) {
    match set {
        Set::Futex => {
            let private = value & futex::FUTEX_PRIVATE_FLAG != 0;
            let realtime = value & futex::FUTEX_CLOCK_REALTIME != 0;
            let command = value & !(futex::FUTEX_PRIVATE_FLAG | futex::FUTEX_CLOCK_REALTIME);
            p.value(u64::from(command), names(set));
            p.put(if private { "_PRIVATE" } else { "" });
            p.put(if realtime { "|FUTEX_CLOCK_REALTIME" } else { "" });
        }
        Set::SockType => {
            let mask = socket::SOCK_TYPE_MASK.cast_unsigned();
            p.value(u64::from(value & mask), names(set));
            if value & !mask != 0 {
                p.put("|");
                p.flags(u64::from(value & !mask), names(Set::SockFlags));
            }
        }
        Set::Sched if value & sched::SCHED_RESET_ON_FORK != 0 => {
            p.value(u64::from(value & !sched::SCHED_RESET_ON_FORK), names(set));
            p.put("|SCHED_RESET_ON_FORK");
        }
        Set::Ioctl => match names(set).known.iter().find(|(known, _)| *known == u64::from(value)) {
            Some((_, name)) => p.put(name),
            None => {
                let direction = match value >> 30 {
                    ioctl::IOC_NONE => "_IOC_NONE",
                    ioctl::IOC_WRITE => "_IOC_WRITE",
                    ioctl::IOC_READ => "_IOC_READ",
                    _ => "_IOC_READ|_IOC_WRITE",
                };
                p.put_fmt(format_args!("_IOC({direction}, "));
                p.hex(u64::from(value >> 8 & 0xff));
                p.put(", ");
                p.hex(u64::from(value & 0xff));
                p.put(", ");
                p.hex(u64::from(value >> 16 & 0x3fff));
                p.put(")");
            }
        },
        _ => p.value(u64::from(value), names(set)),
    }
}

/// The flags of open(2), access mode first.
pub(super) fn open_flags(p: &mut Printer<'_>, flags: u64) {
    let mode = u64::from(fcntl::O_ACCMODE);
    p.value(flags & mode, ACCESS_MODE);
    if flags & !mode != 0 {
        p.put("|");
        // O_TMPFILE contains O_DIRECTORY, and comes first in the list for that.
        p.flags(flags & !mode, names(Set::Open));
    }
}

/// The flags of a set, with what they share a word with.
pub(super) fn flags(p: &mut Printer<'_>, known: Known, set: Set, flags: u64) {
    match set {
        Set::Map => {
            let start = p.text.len();
            p.put(match flags & mman::MAP_TYPE {
                mman::MAP_SHARED => "MAP_SHARED",
                mman::MAP_PRIVATE => "MAP_PRIVATE",
                mman::MAP_SHARED_VALIDATE => "MAP_SHARED_VALIDATE",
                mman::MAP_DROPPABLE => "MAP_DROPPABLE",
                _ => "MAP_FILE",
            });
            let left = p.some_flags(flags & !mman::MAP_TYPE, names(set), start);
            if left != 0 {
                p.put_fmt(format_args!("|{left:#x}"));
            }
        }
        Set::At if known.is(nr::statx) => {
            let sync = u64::from(fcntl::AT_STATX_SYNC_TYPE);
            let start = p.text.len();
            p.put(if flags & sync == 0 { "AT_STATX_SYNC_AS_STAT" } else { "" });
            let left = p.some_flags(flags, names(set), start);
            if left != 0 {
                p.put_fmt(format_args!("|{left:#x}"));
            }
        }
        Set::Statx => statx_mask(p, flags),
        Set::Ipc => {
            let start = p.text.len();
            p.some_flags(flags & !0o777, names(set), start);
            p.put(if p.text.len() > start { "|" } else { "" });
            p.mode(u32::try_from(flags & 0o777).unwrap_or(0));
        }
        _ => p.flags(flags, names(set)),
    }
}

/// A mask of statx(2).
pub(super) fn statx_mask(p: &mut Printer<'_>, mask: u64) {
    let all = u64::from(stat::STATX_BASIC_STATS | stat::STATX_BTIME);
    if mask & all == all {
        p.put("STATX_ALL");
        if mask != all {
            p.put("|");
            p.flags(mask & !all, names(Set::Statx));
        }
    } else {
        p.flags(mask, names(Set::Statx));
    }
}

/// A time of utimensat(2).
pub(super) fn new_time(p: &mut Printer<'_>, seconds: i64, nanoseconds: i64) {
    match nanoseconds {
        stat::UTIME_NOW => p.put("UTIME_NOW"),
        stat::UTIME_OMIT => p.put("UTIME_OMIT"),
        _ => p.put_fmt(format_args!("{{tv_sec={seconds}, tv_nsec={nanoseconds}}}")),
    }
}

const DUMPABLE: [&str; 3] = ["SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT"];

/// A result that is no error.
pub(super) fn result(p: &mut Printer<'_>, known: Known, result: u64) {
    let number = result.cast_signed();
    match u64::from(known.row.nr) {
        nr::mmap | nr::mremap | nr::brk | nr::shmat => {
            p.put("= ");
            if result == 0 { p.put("NULL") } else { p.put_fmt(format_args!("{result:#x}")) }
        }
        nr::umask => {
            p.put("= ");
            p.mode(u32::try_from(result).unwrap_or(0));
        }
        nr::poll | nr::ppoll | nr::select | nr::pselect6 if result == 0 => p.put("= 0 (Timeout)"),
        nr::poll | nr::ppoll => {
            p.put_fmt(format_args!("= {number}"));
            structs::poll_results(p, known);
        }
        nr::select | nr::pselect6 => {
            p.put_fmt(format_args!("= {number}"));
            select_results(p, known);
        }
        nr::fcntl => match known.word(1) {
            fcntl::F_GETFL => noted(p, result, |p| {
                p.put("flags ");
                open_flags(p, result);
            }),
            fcntl::F_GETFD if result != 0 => noted(p, result, |p| {
                p.put("flags ");
                p.flags(result, FD_FLAGS);
            }),
            fcntl::F_GET_SEALS if result != 0 => noted(p, result, |p| {
                p.put("seals ");
                p.flags(result, SEALS);
            }),
            _ => p.put_fmt(format_args!("= {number}")),
        },
        nr::sched_getscheduler => {
            p.put_fmt(format_args!("= {number} ("));
            value(p, Set::Sched, u32::try_from(result).unwrap_or(0));
            p.put(")");
        }
        nr::membarrier if known.word(0) == 0 => {
            noted(p, result, |p| p.flags(result, names(Set::Membarrier)));
        }
        nr::prctl if known.word(0).cast_signed() == prctl::PR_GET_DUMPABLE => {
            p.put_fmt(format_args!("= {number}"));
            if let Some(name) = usize::try_from(result).ok().and_then(|at| DUMPABLE.get(at)) {
                p.put_fmt(format_args!(" ({name})"));
            }
        }
        _ => p.put_fmt(format_args!("= {number}")),
    }
}

fn noted(p: &mut Printer<'_>, result: u64, note: impl FnOnce(&mut Printer<'_>)) {
    p.put("= ");
    p.hex(result);
    p.put(" (");
    note(p);
    p.put(")");
}

fn select_results(p: &mut Printer<'_>, known: Known) {
    let count = known.arg(0).min(1024);
    let start = p.text.len();
    for (name, index) in [("in", 1), ("out", 2), ("except", 3)] {
        let at = known.arg(index);
        let mut any = false;
        if at != 0 {
            structs::bits(p, at, count, |_, _| any = true);
        }
        if any {
            p.put(if p.text.len() == start { " (" } else { ", " });
            p.put(name);
            p.put(" ");
            structs::fd_set(p, at, count);
        }
    }
    let timeout = known.arg(4);
    if timeout != 0 {
        p.put(if p.text.len() == start { " (" } else { ", " });
        p.put("left ");
        let of = if known.is(nr::select) { Struct::Timeval } else { Struct::Timespec };
        structs::one(p, known, of, timeout);
    }
    p.put(if p.text.len() == start { "" } else { ")" });
}
