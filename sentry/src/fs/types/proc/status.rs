//! /proc/PID/stat, status, statm, limits.

use std::{fmt::Write, sync::Arc, time::Duration};

use linux_abi::{PAGE_SIZE, Result};

use super::{inode::Who, process::name_of};
use crate::{
    credentials::Caps,
    kernel::Kernel,
    limits::RLIM_INFINITY,
    mm::Sizes,
    signal::{
        NSIG, SigSet,
        action::{SIG_DFL, SIG_IGN},
    },
    task::{Pid, Task},
};

/// What both stat and status show of a process.
struct Facts {
    name: String,
    state: char,
    ppid: Pid,
    pgid: Pid,
    sid: Pid,
    tty: u64,
    foreground: Pid,
    threads: usize,
    time: Duration,
    children_time: Duration,
    started: Duration,
    task: Option<Arc<Task>>,
    sizes: Sizes,
    resident: u64,
}

fn facts(kernel: &Kernel, who: &Who) -> Facts {
    let tree = kernel.tasks.lock();
    let node = tree.process(who.group.pid);
    let (ppid, pgid, sid) = node.map_or((0, 0, 0), |node| (node.parent, node.pgid, node.sid));
    let zombie = node.is_none_or(|node| node.zombie.is_some());
    let own_time = node.and_then(|node| node.zombie).map(|zombie| zombie.own_time);
    let session = tree.session(sid);
    let tty = session.and_then(|session| session.tty.as_ref()).map_or(0, |tty| tty.device());
    let foreground = session.filter(|session| session.tty.is_some()).map_or(-1, |session| session.foreground);
    let threads = tree.threads_of(who.group.pid);
    drop(tree);
    let task = threads.iter().find(|task| who.tid.is_none_or(|tid| tid == task.tid())).cloned();
    let mm = task.as_ref().and_then(|task| task.mm().ok());
    let usage = *who.group.usage.lock();
    let time = own_time.unwrap_or_else(|| mm.as_ref().map_or(Duration::ZERO, |mm| mm.space.cpu_time()));
    Facts {
        name: task.as_ref().map(|task| name_of(task)).unwrap_or_default(),
        // A process whose first thread has ended is shown as a zombie while the others live.
        state: match threads.iter().find(|task| task.tid() == who.id()) {
            Some(task) if !zombie => task.state_letter(),
            _ => 'Z',
        },
        ppid,
        pgid,
        sid,
        tty,
        foreground,
        threads: threads.len(),
        time,
        children_time: usage.children,
        started: kernel.uptime().saturating_sub(who.group.started.elapsed()),
        sizes: mm.as_ref().map(|mm| mm.sizes()).unwrap_or_default(),
        resident: mm.as_ref().map_or(0, |mm| mm.resident()),
        task,
    }
}

fn ticks(time: Duration) -> u128 {
    time.as_millis() / 10
}

pub(super) fn stat(kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    let facts = facts(kernel, who);
    let (nice, policy, rt_priority) = facts.task.as_ref().map_or((0, 0, 0), |task| {
        let scheduling = task.scheduling.lock();
        (scheduling.nice, scheduling.policy, scheduling.priority)
    });
    let (pending, blocked, ignored, caught) = signal_sets(&facts);
    let info = facts.task.as_ref().and_then(|task| task.mm().ok()).map(|mm| (mm.info(), mm.heap()));
    let (code, data, stack, args, env, brk) = info
        .map_or(((0, 0), (0, 0), 0, (0, 0), (0, 0), 0), |(info, heap)| {
            (info.code, info.data, info.stack_top, info.args, info.environment, heap.0)
        });
    let text = format!(
        "{} ({}) {} {} {} {} {} {} 4194304 0 0 0 0 {} 0 {} 0 {} {nice} {} 0 {} {} {} 18446744073709551615 {} {} {stack} 0 0 {} {} {} {} 0 0 0 17 0 {rt_priority} {policy} 0 0 0 {} {} {brk} {} {} {} {} 0\n",
        who.id(),
        facts.name,
        facts.state,
        facts.ppid,
        facts.pgid,
        facts.sid,
        facts.tty,
        facts.foreground,
        ticks(facts.time),
        ticks(facts.children_time),
        20 + nice,
        facts.threads,
        ticks(facts.started),
        facts.sizes.total,
        facts.resident / PAGE_SIZE,
        code.0,
        code.1,
        pending.0 & 0x7fff_ffff,
        blocked.0 & 0x7fff_ffff,
        ignored.0 & 0x7fff_ffff,
        caught.0 & 0x7fff_ffff,
        data.0,
        data.1,
        args.0,
        args.1,
        env.0,
        env.1,
    );
    Ok(text.into_bytes())
}

/// Pending, blocked, ignored, caught.
fn signal_sets(facts: &Facts) -> (SigSet, SigSet, SigSet, SigSet) {
    let Some(task) = &facts.task else { return Default::default() };
    let (mut ignored, mut caught) = (SigSet::EMPTY, SigSet::EMPTY);
    let handlers = Arc::clone(&task.group.handlers.read());
    for signo in 1..=NSIG {
        match handlers.get(signo).handler {
            SIG_DFL => {}
            SIG_IGN => ignored.add(signo),
            _ => caught.add(signo),
        }
    }
    (task.pending_signals(), task.blocked(), ignored, caught)
}

pub(super) fn statm(kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    let facts = facts(kernel, who);
    let pages = |bytes: u64| bytes / PAGE_SIZE;
    let (sizes, resident) = (facts.sizes, pages(facts.resident));
    let data = pages(sizes.data + sizes.stack);
    Ok(format!("{} {resident} {} {} 0 {data} 0\n", pages(sizes.total), resident / 2, pages(sizes.code))
        .into_bytes())
}

pub(super) fn status(kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    let facts = facts(kernel, who);
    let state = match facts.state {
        'R' => "R (running)",
        'S' => "S (sleeping)",
        'T' => "T (stopped)",
        't' => "t (tracing stop)",
        _ => "Z (zombie)",
    };
    let pid = who.group.pid;
    let id = who.id();
    let mut text = String::new();
    let umask = facts.task.as_ref().map_or(0, |task| task.fs().umask());
    let _ = write!(
        text,
        "Name:\t{}\nUmask:\t{umask:04o}\nState:\t{state}\nTgid:\t{pid}\nNgid:\t0\nPid:\t{id}\nPPid:\t{}\nTracerPid:\t{}\n",
        facts.name,
        facts.ppid,
        facts.task.as_ref().map_or(0, |task| task.trace.tracer_pid()),
    );
    let Some(task) = &facts.task else {
        let _ = writeln!(text, "Threads:\t0");
        return Ok(text.into_bytes());
    };
    let creds = task.creds();
    let _ = writeln!(text, "Uid:\t{}\t{}\t{}\t{}", creds.ruid, creds.euid, creds.suid, creds.fsuid);
    let _ = writeln!(text, "Gid:\t{}\t{}\t{}\t{}", creds.rgid, creds.egid, creds.sgid, creds.fsgid);
    let fds = task.files().map_or(0, |files| files.open_count());
    let groups: String = creds.groups.iter().map(|gid| format!("{gid} ")).collect();
    let _ = writeln!(text, "FDSize:\t{}\nGroups:\t{groups}", fds.next_power_of_two().max(64));
    let _ = writeln!(
        text,
        "NStgid:\t{pid}\nNSpid:\t{id}\nNSpgid:\t{}\nNSsid:\t{}\nKthread:\t0",
        facts.pgid, facts.sid
    );
    for (name, bytes) in [
        ("VmPeak", facts.sizes.total),
        ("VmSize", facts.sizes.total),
        ("VmLck", facts.sizes.locked),
        ("VmPin", 0),
        ("VmHWM", facts.resident),
        ("VmRSS", facts.resident),
        ("RssAnon", facts.resident),
        ("RssFile", 0),
        ("RssShmem", 0),
        ("VmData", facts.sizes.data),
        ("VmStk", facts.sizes.stack),
        ("VmExe", facts.sizes.code),
        ("VmLib", 0),
        ("VmPTE", 64 << 10),
        ("VmSwap", 0),
    ] {
        let _ = writeln!(text, "{name}:\t{:>8} kB", bytes / 1024);
    }
    let (_, blocked, ignored, caught) = signal_sets(&facts);
    let own = task.signals.lock().pending.set();
    let queued = task.group.signals.lock().pending.len();
    let limit = task.group.limits.lock().soft(crate::limits::RLIMIT_SIGPENDING);
    let _ = write!(
        text,
        "CoreDumping:\t0\nTHP_enabled:\t1\nThreads:\t{}\nSigQ:\t{queued}/{limit}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
        facts.threads,
        own.0,
        task.group.signals.lock().pending.set().0,
        blocked.0,
        ignored.0,
        caught.0,
    );
    let caps = |set: Caps| set.bits();
    let _ = write!(
        text,
        "CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\nNoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{}\n",
        caps(creds.inheritable),
        caps(creds.permitted),
        caps(creds.effective),
        caps(creds.bounding),
        caps(creds.ambient),
        u8::from(task.no_new_privs.load(std::sync::atomic::Ordering::Relaxed)),
        task.seccomp.mode(),
        task.seccomp.filter_count(),
    );
    let cpus = kernel.host.cpus.clamp(1, 64);
    let mask = if cpus == 64 { u64::MAX } else { (1 << cpus) - 1 } & task.scheduling.lock().affinity;
    let _ = write!(
        text,
        "Cpus_allowed:\t{mask:x}\nCpus_allowed_list:\t0-{}\nMems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n",
        cpus - 1
    );
    Ok(text.into_bytes())
}

pub(super) fn limits(_kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    const NAMES: [(&str, &str); 16] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let limits = *who.group.limits.lock();
    let show = |value: u64| if value == RLIM_INFINITY { "unlimited".to_owned() } else { value.to_string() };
    let mut text = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (resource, (name, unit)) in NAMES.iter().enumerate() {
        let limit = limits.get(resource)?;
        let _ = writeln!(text, "{name:<25} {:<20} {:<20} {unit:<10}", show(limit.soft), show(limit.hard));
    }
    Ok(text.into_bytes())
}
