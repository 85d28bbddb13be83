//! Scheduling: sched(7), nice values, processor affinity, I/O priorities, getcpu(2).
//!
//! Guest threads are scheduled by the host. What is set here is checked, kept and shown as on Linux, but changes nothing.

use std::{sync::Arc, time::Duration};

use linux_abi::{
    Errno, Result, UserAddr,
    sched::{
        IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE, IOPRIO_CLASS_NONE, IOPRIO_CLASS_RT, IOPRIO_CLASS_SHIFT,
        IOPRIO_WHO_PGRP, IOPRIO_WHO_PROCESS, IOPRIO_WHO_USER, PRIO_PGRP, PRIO_PROCESS, PRIO_USER,
        SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_FLAG_ALL, SCHED_FLAG_KEEP_PARAMS,
        SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_RESET_ON_FORK, SCHED_IDLE, SCHED_OTHER, SCHED_RESET_ON_FORK,
        SCHED_RR, SchedAttr,
    },
    time::Timespec,
};
use zerocopy::IntoBytes;

use crate::{
    credentials::Caps,
    kernel::Kernel,
    limits::{RLIMIT_NICE, RLIMIT_RTPRIO},
    task::{Pid, Scheduling, Task, ThreadCx, usermem::UserMemory},
};

/// sched_yield(2).
pub fn sched_yield(cx: &mut ThreadCx) -> Result<()> {
    platform::wake_now();
    std::thread::yield_now();
    cx.remember(platform::Answer::Yield, 0);
    Ok(())
}

/// getcpu(2).
pub fn getcpu(cx: &mut ThreadCx, cpu: UserAddr, node: UserAddr, _cache: UserAddr) -> Result<()> {
    // The sentry's thread is kept where the guest's runs.
    let current = nix::sched::sched_getcpu().map_or(0, |cpu| u32::try_from(cpu).unwrap_or(0));
    if !cpu.is_null() {
        cx.write_obj(cpu, &current)?;
    }
    if !node.is_null() {
        cx.write_obj(node, &0u32)?;
    }
    Ok(())
}

/// The thread a sched_* call is about; zero is the caller.
fn target(cx: &ThreadCx, pid: Pid) -> Result<Arc<Task>> {
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    if pid == 0 {
        return Ok(Arc::clone(&cx.task));
    }
    cx.task.kernel.tasks.lock().thread(pid).cloned().ok_or(Errno::ESRCH)
}

/// Whether the caller may change `target` (`check_same_owner`).
fn owns(cx: &ThreadCx, target: &Task) -> bool {
    let (mine, theirs) = (cx.task.creds(), target.creds());
    mine.euid == theirs.euid || mine.euid == theirs.ruid || mine.capable(Caps::SYS_NICE)
}

/// The processors there are, as a mask.
fn online(kernel: &Kernel) -> u64 {
    match kernel.host.cpus.max(1) {
        cpus @ 1..64 => (1 << cpus) - 1,
        _ => u64::MAX,
    }
}

/// sched_getaffinity(2); returns how many bytes of mask there are.
pub fn sched_getaffinity(cx: &mut ThreadCx, pid: Pid, len: u32, mask: UserAddr) -> Result<usize> {
    let online = online(&cx.task.kernel);
    if u64::from(len) * 8 < u64::from(cx.task.kernel.host.cpus.min(64)) || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let affinity = target(cx, pid)?.scheduling.lock().affinity & online;
    cx.write_obj(mask, &affinity)?;
    Ok(8)
}

/// sched_setaffinity(2).
pub fn sched_setaffinity(cx: &mut ThreadCx, pid: Pid, len: u32, mask: UserAddr) -> Result<()> {
    let mut bytes = [0; 8];
    let count = (len as usize).min(bytes.len());
    cx.read_bytes(mask, bytes.get_mut(..count).unwrap_or_default())?;
    let target = target(cx, pid)?;
    if !owns(cx, &target) {
        return Err(Errno::EPERM);
    }
    let affinity = u64::from_le_bytes(bytes) & online(&cx.task.kernel);
    if affinity == 0 {
        return Err(Errno::EINVAL);
    }
    target.scheduling.lock().affinity = affinity;
    Ok(())
}

fn is_realtime(policy: u32) -> bool {
    matches!(policy, SCHED_FIFO | SCHED_RR)
}

/// The least and the greatest priority of a policy.
fn priorities(policy: i32) -> Result<(i32, i32)> {
    match u32::try_from(policy).map_err(|_| Errno::EINVAL)? {
        SCHED_FIFO | SCHED_RR => Ok((1, 99)),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok((0, 0)),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_max(2).
pub fn sched_get_priority_max(_cx: &mut ThreadCx, policy: i32) -> Result<i32> {
    priorities(policy).map(|(_, max)| max)
}

/// sched_get_priority_min(2).
pub fn sched_get_priority_min(_cx: &mut ThreadCx, policy: i32) -> Result<i32> {
    priorities(policy).map(|(min, _)| min)
}

/// sched_getscheduler(2).
pub fn sched_getscheduler(cx: &mut ThreadCx, pid: Pid) -> Result<u32> {
    let scheduling = *target(cx, pid)?.scheduling.lock();
    Ok(scheduling.policy | if scheduling.reset_on_fork { SCHED_RESET_ON_FORK } else { 0 })
}

/// sched_getparam(2).
pub fn sched_getparam(cx: &mut ThreadCx, pid: Pid, at: UserAddr) -> Result<()> {
    if at.is_null() {
        return Err(Errno::EINVAL);
    }
    let priority = target(cx, pid)?.scheduling.lock().priority;
    cx.write_obj(at, &priority)
}

/// sched_setscheduler(2).
pub fn sched_setscheduler(cx: &mut ThreadCx, pid: Pid, policy: i32, at: UserAddr) -> Result<()> {
    let policy = u32::try_from(policy).map_err(|_| Errno::EINVAL)?;
    set_policy(cx, pid, Some(policy), at)
}

/// sched_setparam(2).
pub fn sched_setparam(cx: &mut ThreadCx, pid: Pid, at: UserAddr) -> Result<()> {
    set_policy(cx, pid, None, at)
}

fn set_policy(cx: &mut ThreadCx, pid: Pid, policy: Option<u32>, at: UserAddr) -> Result<()> {
    if at.is_null() || pid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority: i32 = cx.read_obj(at)?;
    let target = target(cx, pid)?;
    let old = *target.scheduling.lock();
    let mut new = Scheduling { priority, ..old };
    if let Some(policy) = policy {
        new.policy = policy & !SCHED_RESET_ON_FORK;
        new.reset_on_fork = policy & SCHED_RESET_ON_FORK != 0;
        if new.policy == SCHED_DEADLINE {
            return Err(Errno::EINVAL);
        }
    }
    apply(cx, &target, old, new)
}

/// `__sched_setscheduler`: checks and stores.
fn apply(cx: &ThreadCx, target: &Task, old: Scheduling, new: Scheduling) -> Result<()> {
    let (least, greatest) = priorities(i32::try_from(new.policy).map_err(|_| Errno::EINVAL)?)?;
    if new.priority < least || new.priority > greatest {
        return Err(Errno::EINVAL);
    }
    if !cx.task.capable(Caps::SYS_NICE) {
        let limit = target.group.limits.lock().soft(RLIMIT_RTPRIO);
        let above = new.priority > old.priority && u64::from(new.priority.unsigned_abs()) > limit;
        if is_realtime(new.policy) && ((new.policy != old.policy && limit == 0) || above) {
            return Err(Errno::EPERM);
        }
        if new.nice < old.nice && !may_be_nice(target, new.nice) {
            return Err(Errno::EPERM);
        }
        if !owns(cx, target) || (old.reset_on_fork && !new.reset_on_fork) {
            return Err(Errno::EPERM);
        }
    }
    *target.scheduling.lock() = new;
    Ok(())
}

/// sched_rr_get_interval(2).
pub fn sched_rr_get_interval(cx: &mut ThreadCx, pid: Pid, at: UserAddr) -> Result<()> {
    let interval = match target(cx, pid)?.scheduling.lock().policy {
        SCHED_FIFO => Duration::ZERO,
        SCHED_RR => Duration::from_millis(100),
        _ => Duration::from_millis(4),
    };
    cx.write_obj(at, &Timespec::from(interval))
}

/// The first version of `struct sched_attr`.
const ATTR_SIZE: u32 = 48;

/// sched_getattr(2).
pub fn sched_getattr(cx: &mut ThreadCx, pid: Pid, at: UserAddr, size: u32, flags: u32) -> Result<()> {
    if at.is_null() || !(ATTR_SIZE..=4096).contains(&size) || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let scheduling = *target(cx, pid)?.scheduling.lock();
    let realtime = is_realtime(scheduling.policy);
    let attr = SchedAttr {
        size: ATTR_SIZE,
        policy: scheduling.policy,
        flags: if scheduling.reset_on_fork { SCHED_FLAG_RESET_ON_FORK } else { 0 },
        nice: if realtime { 0 } else { scheduling.nice },
        priority: scheduling.priority.unsigned_abs(),
        ..SchedAttr::default()
    };
    cx.write_obj(at, &attr)
}

/// sched_setattr(2). `SCHED_DEADLINE` is nobody's.
pub fn sched_setattr(cx: &mut ThreadCx, pid: Pid, at: UserAddr, flags: u32) -> Result<()> {
    if at.is_null() || pid < 0 || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let size = match cx.read_obj::<u32>(at)? {
        0 => ATTR_SIZE,
        size if !(ATTR_SIZE..=4096).contains(&size) => {
            cx.write_obj(at, &ATTR_SIZE)?;
            return Err(Errno::E2BIG);
        }
        size => size,
    };
    let mut bytes = vec![0; size as usize];
    cx.read_bytes(at, &mut bytes)?;
    let mut attr = SchedAttr::default();
    for (to, from) in attr.as_mut_bytes().iter_mut().zip(&bytes) {
        *to = *from;
    }
    // The second version's utilisation clamps may be given, but do nothing.
    if bytes.iter().skip(56).any(|&byte| byte != 0) {
        cx.write_obj(at, &ATTR_SIZE)?;
        return Err(Errno::E2BIG);
    }
    if attr.flags & !SCHED_FLAG_ALL != 0 || attr.policy.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let target = target(cx, pid)?;
    let old = *target.scheduling.lock();
    let mut new = Scheduling { reset_on_fork: attr.flags & SCHED_FLAG_RESET_ON_FORK != 0, ..old };
    if attr.flags & SCHED_FLAG_KEEP_POLICY == 0 {
        new.policy = attr.policy;
    }
    if attr.flags & SCHED_FLAG_KEEP_PARAMS == 0 {
        new.priority = i32::try_from(attr.priority).map_err(|_| Errno::EINVAL)?;
        if !is_realtime(new.policy) {
            new.nice = attr.nice.clamp(-20, 19);
        }
    }
    if new.policy == SCHED_DEADLINE {
        return Err(Errno::EPERM);
    }
    apply(cx, &target, old, new)
}

/// Whether `RLIMIT_NICE` allows this nice value (`is_nice_reduction`).
fn may_be_nice(target: &Task, nice: i32) -> bool {
    u64::from((20 - nice).unsigned_abs()) <= target.group.limits.lock().soft(RLIMIT_NICE)
}

/// A choice of threads, as getpriority(2) and ioprio_get(2) make it.
enum Who {
    Thread,
    Group,
    User,
}

/// The threads chosen by `who`; zero is the caller's own.
///
/// # Errors
/// `ESRCH` if there are none.
fn chosen(cx: &ThreadCx, which: &Who, who: i32) -> Result<Vec<Arc<Task>>> {
    let tree = cx.task.kernel.tasks.lock();
    let tasks: Vec<Arc<Task>> = match which {
        Who::Thread if who == 0 => vec![Arc::clone(&cx.task)],
        Who::Thread => tree.thread(who).into_iter().cloned().collect(),
        Who::Group => {
            let pgid =
                if who == 0 { tree.process(cx.task.pid()).map_or(0, |process| process.pgid) } else { who };
            tree.group_members(pgid).flat_map(|(pid, _)| tree.threads_of(pid)).collect()
        }
        Who::User => {
            let uid = if who == 0 { cx.task.creds().ruid } else { who.cast_unsigned() };
            tree.threads().filter(|task| task.creds().ruid == uid).cloned().collect()
        }
    };
    if tasks.is_empty() { Err(Errno::ESRCH) } else { Ok(tasks) }
}

fn priority_who(which: i32) -> Result<Who> {
    match which {
        PRIO_PROCESS => Ok(Who::Thread),
        PRIO_PGRP => Ok(Who::Group),
        PRIO_USER => Ok(Who::User),
        _ => Err(Errno::EINVAL),
    }
}

/// getpriority(2): 20 minus the nice value, of the chosen the greatest.
pub fn getpriority(cx: &mut ThreadCx, which: i32, who: i32) -> Result<i32> {
    let tasks = chosen(cx, &priority_who(which)?, who)?;
    Ok(tasks.iter().map(|task| 20 - task.scheduling.lock().nice).max().unwrap_or(20))
}

/// setpriority(2). The error is that of the last thread that could not be changed.
pub fn setpriority(cx: &mut ThreadCx, which: i32, who: i32, nice: i32) -> Result<()> {
    let nice = nice.clamp(-20, 19);
    let mut result = Ok(());
    for task in chosen(cx, &priority_who(which)?, who)? {
        let (mine, theirs) = (cx.task.creds(), task.creds());
        let capable = mine.capable(Caps::SYS_NICE);
        if theirs.ruid != mine.euid && theirs.euid != mine.euid && !capable {
            result = Err(Errno::EPERM);
        } else if nice < task.scheduling.lock().nice && !capable && !may_be_nice(&task, nice) {
            result = Err(Errno::EACCES);
        } else {
            task.scheduling.lock().nice = nice;
        }
    }
    result
}

fn io_who(which: i32) -> Result<Who> {
    match which {
        IOPRIO_WHO_PROCESS => Ok(Who::Thread),
        IOPRIO_WHO_PGRP => Ok(Who::Group),
        IOPRIO_WHO_USER => Ok(Who::User),
        _ => Err(Errno::EINVAL),
    }
}

/// ioprio_set(2).
pub fn ioprio_set(cx: &mut ThreadCx, which: i32, who: i32, priority: i32) -> Result<()> {
    let priority = u32::try_from(priority).map_err(|_| Errno::EINVAL)?;
    check_io_priority(cx, priority)?;
    for task in chosen(cx, &io_who(which)?, who)? {
        let (mine, theirs) = (cx.task.creds(), task.creds());
        if theirs.ruid != mine.euid && theirs.ruid != mine.ruid && !mine.capable(Caps::SYS_NICE) {
            return Err(Errno::EPERM);
        }
        task.scheduling.lock().io_priority = priority;
    }
    Ok(())
}

/// Whether the caller may use this priority (`ioprio_check_cap`).
///
/// # Errors
/// `EINVAL`, `EPERM`.
pub(super) fn check_io_priority(cx: &ThreadCx, priority: u32) -> Result<()> {
    match priority >> IOPRIO_CLASS_SHIFT {
        IOPRIO_CLASS_RT if !cx.task.capable(Caps::SYS_NICE) && !cx.task.capable(Caps::SYS_ADMIN) => {
            Err(Errno::EPERM)
        }
        IOPRIO_CLASS_RT | IOPRIO_CLASS_BE | IOPRIO_CLASS_IDLE => Ok(()),
        IOPRIO_CLASS_NONE if priority & 7 == 0 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// ioprio_get(2): of the chosen, the highest priority.
pub fn ioprio_get(cx: &mut ThreadCx, which: i32, who: i32) -> Result<u32> {
    let tasks = chosen(cx, &io_who(which)?, who)?;
    Ok(tasks.iter().map(|task| task.scheduling.lock().io_priority).reduce(best_io_priority).unwrap_or(0))
}

/// `ioprio_best`: the lower number, where "none" counts as the middle of best-effort.
fn best_io_priority(a: u32, b: u32) -> u32 {
    let rank = |priority: u32| {
        if priority >> IOPRIO_CLASS_SHIFT == IOPRIO_CLASS_NONE {
            IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | 4
        } else {
            priority
        }
    };
    if rank(b) < rank(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_their_priorities() {
        assert_eq!(priorities(1), Ok((1, 99)));
        assert_eq!(priorities(0), Ok((0, 0)));
        assert_eq!(priorities(4), Err(Errno::EINVAL));
        assert_eq!(priorities(-1), Err(Errno::EINVAL));
    }

    #[test]
    fn the_best_io_priority_is_the_lowest_number() {
        let class = |class: u32, level: u32| class << IOPRIO_CLASS_SHIFT | level;
        assert_eq!(best_io_priority(class(3, 0), class(2, 7)), class(2, 7));
        assert_eq!(best_io_priority(0, class(2, 5)), 0);
        assert_eq!(best_io_priority(0, class(2, 3)), class(2, 3));
    }
}
