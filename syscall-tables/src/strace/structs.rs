//! Structures and arrays.

use linux_abi::{
    fcntl, ipc, resource, signal, stat,
    stat::{major, minor},
};

use super::{
    Known,
    names::{
        CHILD_CODES, EPOLL_EVENTS, FILE_SYSTEMS, FILE_TYPE, POLL_EVENTS, SA_FLAGS, SI_CODES, SS_FLAGS,
        STATFS_FLAGS,
    },
    sockets, special,
    text::{Fields, Printer, SHOWN},
    threads,
};
use crate::{nr, structs::Struct};

/// A directory's descriptor.
pub(super) fn dirfd(p: &mut Printer<'_>, fd: i32) {
    if fd == fcntl::AT_FDCWD { p.put("AT_FDCWD") } else { p.put_fmt(format_args!("{fd}")) }
}

/// A device number.
pub(super) fn device(p: &mut Printer<'_>, dev: u64) {
    p.put("makedev(");
    p.hex(u64::from(major(dev)));
    p.put(", ");
    p.hex(u64::from(minor(dev)));
    p.put(")");
}

/// A mode with its file type.
pub(super) fn file_mode(p: &mut Printer<'_>, mode: u32) {
    let kind = mode & stat::S_IFMT;
    if kind != 0 {
        match FILE_TYPE.known.iter().find(|(known, _)| *known == u64::from(kind)) {
            Some((_, name)) => p.put(name),
            None => p.put_fmt(format_args!("{kind:#o}")),
        }
        p.put("|");
        for (bit, name) in
            [(stat::S_ISUID, "S_ISUID|"), (stat::S_ISGID, "S_ISGID|"), (stat::S_ISVTX, "S_ISVTX|")]
        {
            p.put(if mode & bit != 0 { name } else { "" });
        }
        return p.mode(mode & 0o777);
    }
    p.mode(mode);
}

/// A null-terminated array of strings.
pub(super) fn strings(p: &mut Printer<'_>, at: u64) {
    let count = pointers(p, at);
    let Some(count) = count else { return p.address(at) };
    p.list(count, |p, index| {
        let string = p.fields::<8>(at.wrapping_add(index.wrapping_mul(8))).map_or(0, |word| word.u64(0));
        p.string(string);
    });
}

/// How many pointers there are before the null; `None` if that cannot be read, or there are very many.
fn pointers(p: &mut Printer<'_>, at: u64) -> Option<u64> {
    const MOST: u64 = 4096;
    (0..MOST).find_map(|index| match p.fields::<8>(at.wrapping_add(index * 8)) {
        None => Some(None),
        Some(word) => (word.u64(0) == 0).then_some(Some(index)),
    })?
}

/// The environment: how many variables.
pub(super) fn environment(p: &mut Printer<'_>, at: u64) {
    p.address(at);
    match pointers(p, at) {
        Some(1) => p.put(" /* 1 var */"),
        Some(count) => p.put_fmt(format_args!(" /* {count} vars */")),
        None => {}
    }
}

/// A structure.
pub(super) fn one(p: &mut Printer<'_>, known: Known, of: Struct, at: u64) {
    if at == 0 {
        return p.put("NULL");
    }
    if !read_one(p, known, of, at) {
        p.address(at);
    }
}

/// An array of structures.
pub(super) fn array(p: &mut Printer<'_>, known: Known, of: Struct, at: u64, count: u64) {
    if at == 0 {
        return p.put("NULL");
    }
    if p.fields::<1>(at).is_none() && count > 0 {
        return p.address(at);
    }
    let size = u64::from(of.size());
    p.list(count, |p, index| one(p, known, of, at.wrapping_add(index.wrapping_mul(size))));
}

/// An array of `struct iovec`, of whose buffers `bytes` hold something.
pub(super) fn iovec(p: &mut Printer<'_>, at: u64, count: u64, bytes: u64) {
    if at == 0 || (count > 0 && p.fields::<16>(at).is_none()) {
        return p.address(at);
    }
    let mut left = bytes;
    p.list(count, |p, index| match p.fields::<16>(at.wrapping_add(index.wrapping_mul(16))) {
        None => p.put("..."),
        Some(part) => {
            let (base, len) = (part.u64(0), part.u64(8));
            p.put("{iov_base=");
            let shown = len.min(left);
            left -= shown;
            if shown == 0 && base != 0 && bytes != u64::MAX {
                p.put("\"\"");
            } else {
                p.buffer(base, shown);
            }
            p.put_fmt(format_args!(", iov_len={len}}}"));
        }
    });
}

/// An `fd_set`.
pub(super) fn fd_set(p: &mut Printer<'_>, at: u64, count: u64) {
    if at == 0 {
        return p.put("NULL");
    }
    let mut first = true;
    p.put("[");
    bits(p, at, count.min(1024), |p, fd| {
        p.put(if first { "" } else { " " });
        first = false;
        p.put_fmt(format_args!("{fd}"));
    });
    p.put("]");
}

/// Calls `each` with every bit that is set.
pub(super) fn bits<'a>(
    p: &mut Printer<'a>,
    at: u64,
    count: u64,
    mut each: impl FnMut(&mut Printer<'a>, u64),
) {
    for byte in 0..count.div_ceil(8) {
        let Some(bits) = p.fields::<1>(at.wrapping_add(byte)) else { return };
        for bit in 0..8 {
            if bits.u8(0) >> bit & 1 != 0 && byte * 8 + bit < count {
                each(p, byte * 8 + bit);
            }
        }
    }
}

/// A set of processors.
pub(super) fn cpu_set(p: &mut Printer<'_>, at: u64, len: u64) {
    if at == 0 || p.fields::<1>(at).is_none() {
        return p.address(at);
    }
    fd_set(p, at, len.min(1024) * 8);
}

/// Directory entries: how many.
pub(super) fn directory_entries(p: &mut Printer<'_>, known: Known, at: u64) {
    p.address(at);
    let end = known.count().min(1 << 20);
    let (mut offset, mut entries) = (0, 0u64);
    while offset < end {
        // struct linux_dirent64 and struct linux_dirent have d_reclen in the same place.
        let Some(entry) = p.fields::<18>(at.wrapping_add(offset)) else { break };
        offset += u64::from(entry.u16(16)).max(1);
        entries += 1;
    }
    p.put_fmt(format_args!(" /* {entries} {} */", if entries == 1 { "entry" } else { "entries" }));
}

fn timespec(p: &mut Printer<'_>, seconds: i64, nanoseconds: i64) {
    p.put_fmt(format_args!("{{tv_sec={seconds}, tv_nsec={nanoseconds}}}"));
}

fn timeval(p: &mut Printer<'_>, seconds: i64, microseconds: i64) {
    p.put_fmt(format_args!("{{tv_sec={seconds}, tv_usec={microseconds}}}"));
}

fn limit(p: &mut Printer<'_>, limit: u64) {
    match limit {
        resource::RLIM_INFINITY => p.put("RLIM64_INFINITY"),
        _ if limit > 1024 && limit.is_multiple_of(1024) => p.put_fmt(format_args!("{}*1024", limit / 1024)),
        _ => p.put_fmt(format_args!("{limit}")),
    }
}

/// The status of a child, as wait4(2) stores it.
fn wait_status(p: &mut Printer<'_>, status: u32) {
    #[expect(clippy::cast_possible_wrap, reason = "seven or eight bits")]
    let (code, signo) = ((status >> 8 & 0xff) as i32, (status & 0x7f) as i32);
    match status & 0xffff {
        0xffff => p.put("{WIFCONTINUED(s)}"),
        low if low & 0xff == 0x7f => {
            p.put("{WIFSTOPPED(s) && WSTOPSIG(s) == ");
            p.signal(code);
            p.put("}");
        }
        low if low & 0x7f == 0 => p.put_fmt(format_args!("{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}")),
        low => {
            p.put("{WIFSIGNALED(s) && WTERMSIG(s) == ");
            p.signal(signo);
            p.put(if low & 0x80 != 0 { " && WCOREDUMP(s)}" } else { "}" });
        }
    }
}

fn signal_info(p: &mut Printer<'_>, info: &Fields<128>) {
    let (signo, code) = (info.i32(0), info.i32(8));
    p.put("{si_signo=");
    p.signal(signo);
    p.put(", si_code=");
    let child = signo == signal::SIGCHLD && (1..=6).contains(&code);
    p.value(u64::from(code.cast_unsigned()), if child { CHILD_CODES } else { SI_CODES });
    if info.i32(4) != 0 {
        p.put_fmt(format_args!(", si_errno={}", info.i32(4)));
    }
    if child {
        p.put_fmt(format_args!(", si_pid={}, si_uid={}, si_status=", info.i32(16), info.u32(20)));
        if code == signal::CLD_EXITED {
            p.put_fmt(format_args!("{}", info.i32(24)));
        } else {
            p.signal(info.i32(24));
        }
        p.put_fmt(format_args!(", si_utime={}, si_stime={}", info.i64(32), info.i64(40)));
    } else if code <= 0 {
        p.put_fmt(format_args!(", si_pid={}, si_uid={}", info.i32(16), info.u32(20)));
        if code == signal::SI_QUEUE {
            p.put_fmt(format_args!(
                ", si_value={{sival_int={}, sival_ptr={:#x}}}",
                info.i32(24),
                info.u64(24)
            ));
        }
    } else if matches!(
        signo,
        signal::SIGSEGV | signal::SIGBUS | signal::SIGFPE | signal::SIGILL | signal::SIGTRAP
    ) {
        p.put(", si_addr=");
        p.address(info.u64(16));
    }
    p.put("}");
}

/// Prints the structure, unless it cannot be read or there is nothing to say about it.
fn read_one(p: &mut Printer<'_>, known: Known, of: Struct, at: u64) -> bool {
    // Each arm reads what it prints; one that cannot leaves through `read`.
    macro_rules! read {
        ($size:literal) => {
            match p.fields::<$size>(at) {
                Some(fields) => fields,
                None => return false,
            }
        };
    }
    match of {
        Struct::Timespec | Struct::TimespecPair | Struct::Itimerspec => {
            let first = read!(16);
            if of == Struct::Timespec {
                timespec(p, first.i64(0), first.i64(8));
                return true;
            }
            let both = read!(32);
            if of == Struct::Itimerspec {
                p.put("{it_interval=");
                timespec(p, both.i64(0), both.i64(8));
                p.put(", it_value=");
                timespec(p, both.i64(16), both.i64(24));
                p.put("}");
            } else {
                p.put("[");
                special::new_time(p, both.i64(0), both.i64(8));
                p.put(", ");
                special::new_time(p, both.i64(16), both.i64(24));
                p.put("]");
            }
        }
        Struct::Timeval => {
            let time = read!(16);
            timeval(p, time.i64(0), time.i64(8));
        }
        Struct::TimevalPair | Struct::Itimerval => {
            let both = read!(32);
            let timer = of == Struct::Itimerval;
            p.put(if timer { "{it_interval=" } else { "[" });
            timeval(p, both.i64(0), both.i64(8));
            p.put(if timer { ", it_value=" } else { ", " });
            timeval(p, both.i64(16), both.i64(24));
            p.put(if timer { "}" } else { "]" });
        }
        Struct::Timezone => {
            let zone = read!(8);
            let (west, summer) = (zone.i32(0), zone.i32(4));
            p.put_fmt(format_args!("{{tz_minuteswest={west}, tz_dsttime={summer}}}"));
        }
        Struct::Utimbuf => {
            let times = read!(16);
            p.put_fmt(format_args!("{{actime={}, modtime={}}}", times.i64(0), times.i64(8)));
        }
        Struct::Tms => {
            let times = read!(32);
            let (user, system) = (times.i64(0), times.i64(8));
            let (child_user, child_system) = (times.i64(16), times.i64(24));
            p.put_fmt(format_args!(
                "{{tms_utime={user}, tms_stime={system}, tms_cutime={child_user}, tms_cstime={child_system}}}"
            ));
        }
        Struct::Stat => {
            let stat = read!(144);
            p.put("{st_mode=");
            file_mode(p, stat.u32(24));
            if matches!(stat.u32(24) & stat::S_IFMT, stat::S_IFCHR | stat::S_IFBLK) {
                p.put(", st_rdev=");
                device(p, stat.u64(40));
            } else {
                p.put_fmt(format_args!(", st_size={}", stat.i64(48)));
            }
            p.put(", ...}");
        }
        Struct::Statx => {
            let statx = read!(64);
            p.put("{stx_mask=");
            special::statx_mask(p, u64::from(statx.u32(0)));
            p.put(", stx_attributes=");
            p.hex(statx.u64(8));
            p.put(", stx_mode=");
            file_mode(p, u32::from(statx.u16(28)));
            p.put_fmt(format_args!(", stx_size={}, ...}}", statx.u64(40)));
        }
        Struct::Statfs => {
            let statfs = read!(88);
            p.put("{f_type=");
            p.value(statfs.u64(0), FILE_SYSTEMS);
            for (name, at) in
                [("bsize", 8), ("blocks", 16), ("bfree", 24), ("bavail", 32), ("files", 40), ("ffree", 48)]
            {
                p.put_fmt(format_args!(", f_{name}={}", statfs.u64(at)));
            }
            p.put(", f_fsid={val=[");
            p.hex(u64::from(statfs.u32(56)));
            p.put(", ");
            p.hex(u64::from(statfs.u32(60)));
            p.put_fmt(format_args!(
                "]}}, f_namelen={}, f_frsize={}, f_flags=",
                statfs.u64(64),
                statfs.u64(72)
            ));
            p.flags(statfs.u64(80), STATFS_FLAGS);
            p.put("}");
        }
        Struct::SigAction => {
            let action = read!(32);
            p.put("{sa_handler=");
            match action.u64(0) {
                signal::SIG_DFL => p.put("SIG_DFL"),
                signal::SIG_IGN => p.put("SIG_IGN"),
                handler => p.address(handler),
            }
            p.put(", sa_mask=");
            p.signal_set(action.u64(24));
            p.put(", sa_flags=");
            p.flags(action.u64(8), SA_FLAGS);
            if action.u64(8) & signal::SA_RESTORER != 0 {
                p.put(", sa_restorer=");
                p.address(action.u64(16));
            }
            p.put("}");
        }
        Struct::SigSet => {
            let set = read!(8);
            p.signal_set(set.u64(0));
        }
        Struct::SigSetArg => {
            let arg = read!(16);
            p.put("{sigmask=");
            one(p, known, Struct::SigSet, arg.u64(0));
            p.put_fmt(format_args!(", sigsetsize={}}}", arg.u64(8)));
        }
        Struct::SigInfo => {
            let info = read!(128);
            signal_info(p, &info);
        }
        Struct::StackT => {
            let stack = read!(24);
            p.put("{ss_sp=");
            p.address(stack.u64(0));
            p.put(", ss_flags=");
            p.flags(u64::from(stack.u32(8)), SS_FLAGS);
            p.put_fmt(format_args!(", ss_size={}}}", stack.u64(16)));
        }
        Struct::FdPair => {
            let pair = read!(8);
            p.put_fmt(format_args!("[{}, {}]", pair.i32(0), pair.i32(4)));
        }
        Struct::PollFd => {
            let entry = read!(8);
            p.put_fmt(format_args!("{{fd={}", entry.i32(0)));
            if entry.i32(0) >= 0 {
                p.put(", events=");
                p.flags(u64::from(entry.u16(4)), POLL_EVENTS);
            }
            p.put("}");
        }
        Struct::EpollEvent => {
            let event = read!(12);
            p.put("{events=");
            p.flags(u64::from(event.u32(0)), EPOLL_EVENTS);
            p.put_fmt(format_args!(", data={{u32={}, u64={}}}}}", event.u32(4), event.u64(4)));
        }
        Struct::Rlimit => {
            let rlimit = read!(16);
            p.put("{rlim_cur=");
            limit(p, rlimit.u64(0));
            p.put(", rlim_max=");
            limit(p, rlimit.u64(8));
            p.put("}");
        }
        Struct::Rusage => {
            let usage = read!(32);
            p.put("{ru_utime=");
            timeval(p, usage.i64(0), usage.i64(8));
            p.put(", ru_stime=");
            timeval(p, usage.i64(16), usage.i64(24));
            p.put(", ...}");
        }
        Struct::WaitStatus => {
            let status = read!(4);
            p.put("[");
            wait_status(p, status.u32(0));
            p.put("]");
        }
        Struct::Utsname => {
            p.put("{sysname=");
            p.string(at);
            p.put(", nodename=");
            p.string(at.wrapping_add(65));
            p.put(", ...}");
        }
        Struct::Sysinfo => {
            let info = read!(112);
            let (one, five, fifteen) = (info.u64(8), info.u64(16), info.u64(24));
            p.put_fmt(format_args!("{{uptime={}, loads=[{one}, {five}, {fifteen}]", info.i64(0)));
            for (name, at) in [
                ("totalram", 32),
                ("freeram", 40),
                ("sharedram", 48),
                ("bufferram", 56),
                ("totalswap", 64),
                ("freeswap", 72),
            ] {
                p.put_fmt(format_args!(", {name}={}", info.u64(at)));
            }
            let (procs, high, free, unit) = (info.u16(80), info.u64(88), info.u64(96), info.u32(104));
            p.put_fmt(format_args!(", procs={procs}, totalhigh={high}, freehigh={free}, mem_unit={unit}}}"));
        }
        Struct::Msghdr | Struct::Mmsghdr => {
            let header = read!(56);
            if of == Struct::Mmsghdr {
                let len = u64::from(read!(60).u32(56));
                p.put("{msg_hdr=");
                let sends = known.is(nr::sendmmsg);
                sockets::message(p, &header, if sends { u64::MAX } else { len });
                p.put_fmt(format_args!(", msg_len={len}}}"));
            } else {
                sockets::message(p, &header, known.result.map_or(u64::MAX, |_| known.count()));
            }
        }
        Struct::Iovec => {
            let part = read!(16);
            p.put("{iov_base=");
            p.address(part.u64(0));
            p.put_fmt(format_args!(", iov_len={}}}", part.u64(8)));
        }
        Struct::Sembuf => {
            let op = read!(6);
            p.put_fmt(format_args!("{{sem_num={}, sem_op={}, sem_flg=", op.u16(0), op.u16(2).cast_signed()));
            let flags = op.u16(4);
            let nowait = flags & ipc::IPC_NOWAIT.unsigned_abs() as u16 != 0;
            let undo = flags & ipc::SEM_UNDO.unsigned_abs() != 0;
            p.put(match (undo, nowait) {
                (true, true) => "SEM_UNDO|IPC_NOWAIT}",
                (true, false) => "SEM_UNDO}",
                (false, true) => "IPC_NOWAIT}",
                (false, false) => "0}",
            });
        }
        Struct::OpenHow => {
            let how = read!(24);
            p.put("{flags=");
            special::open_flags(p, how.u64(0));
            if how.u64(0) & u64::from(fcntl::O_CREAT) != 0 {
                p.put_fmt(format_args!(", mode=0{:o}", how.u64(8)));
            }
            p.put(", resolve=");
            p.hex(how.u64(16));
            p.put("}");
        }
        Struct::CloneArgs => threads::clone_args(p, known, at),
        Struct::SchedParam | Struct::Id | Struct::Int | Struct::SockLen => {
            let number = read!(4).i32(0);
            p.put_fmt(format_args!("[{number}]"));
        }
        Struct::Off | Struct::Long => {
            let number = read!(8).i64(0);
            p.put_fmt(format_args!("[{number}]"));
        }
        Struct::Pointer => {
            let number = read!(8).u64(0);
            p.put("[");
            p.address(number);
            p.put("]");
        }
        Struct::Cachestat
        | Struct::CachestatRange
        | Struct::CapData
        | Struct::CapHeader
        | Struct::FutexWaitv
        | Struct::MountAttr
        | Struct::MqAttr
        | Struct::Sigevent
        | Struct::Timex
        | Struct::Ustat
        | Struct::XattrArgs => return false,
    }
    true
}

/// What poll(2) found, as strace adds it to the result.
pub(super) fn poll_results(p: &mut Printer<'_>, known: Known) {
    let (at, count) = (known.arg(0), known.arg(1).min(SHOWN as u64));
    let mut first = true;
    p.put(" ([");
    for index in 0..count {
        let Some(entry) = p.fields::<8>(at.wrapping_add(index * 8)) else { break };
        if entry.i32(0) < 0 || entry.u16(6) == 0 {
            continue;
        }
        p.put_fmt(format_args!("{}{{fd={}, revents=", if first { "" } else { ", " }, entry.i32(0)));
        first = false;
        p.flags(u64::from(entry.u16(6)), POLL_EVENTS);
        p.put("}");
    }
    p.put("])");
}
