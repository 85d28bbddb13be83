//! Limits and usage: getrlimit(2), prlimit64(2), getrusage(2), sysinfo(2), and randomness (getrandom(2)).

use std::{sync::Arc, time::Duration};

use linux_abi::{Errno, Result, UserAddr};

use crate::{
    credentials::Caps,
    error::SysResult,
    fs::fd_table::NR_OPEN,
    limits::{Limit, RLIM_INFINITY, RLIM_NLIMITS, RLIMIT_NOFILE},
    task::{Task, ThreadCx, usermem::UserMemory},
};

/// getrlimit(2).
pub fn getrlimit(cx: &mut ThreadCx, resource: u32, at: UserAddr) -> SysResult<()> {
    let limit = cx.task.group.limits.lock().get(resource as usize)?;
    Ok(cx.write_obj(at, &[limit.soft, limit.hard])?)
}

/// setrlimit(2).
pub fn setrlimit(cx: &mut ThreadCx, resource: u32, at: UserAddr) -> SysResult<()> {
    let [soft, hard]: [u64; 2] = cx.read_obj(at)?;
    let task = Arc::clone(&cx.task);
    Ok(set_limit(&task, &task, resource, Limit { soft, hard })?)
}

fn set_limit(caller: &Task, target: &Task, resource: u32, new: Limit) -> Result<()> {
    let resource = resource as usize;
    if resource >= RLIM_NLIMITS || new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if resource == RLIMIT_NOFILE && new.hard != RLIM_INFINITY && new.hard > u64::from(NR_OPEN) {
        return Err(Errno::EPERM);
    }
    let mut limits = target.group.limits.lock();
    if new.hard > limits.get(resource)?.hard && !caller.capable(Caps::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    if resource == RLIMIT_NOFILE && new.hard == RLIM_INFINITY {
        return Err(Errno::EPERM);
    }
    limits.set(resource, new)?;
    drop(limits);
    if resource == crate::limits::RLIMIT_CPU {
        target.group.timers.cpu_limit_changed(target);
    }
    Ok(())
}

/// prlimit64(2).
pub fn prlimit64(cx: &mut ThreadCx, pid: i32, resource: u32, new: UserAddr, old: UserAddr) -> SysResult<()> {
    let wanted = if new.is_null() {
        None
    } else {
        let [soft, hard]: [u64; 2] = cx.read_obj(new)?;
        Some(Limit { soft, hard })
    };
    let target = if pid == 0 {
        Arc::clone(&cx.task)
    } else {
        cx.task.kernel.tasks.lock().thread(pid).cloned().ok_or(Errno::ESRCH)?
    };
    if target.pid() != cx.task.pid() {
        let (mine, theirs) = (cx.task.creds(), target.creds());
        let same = [theirs.ruid, theirs.euid, theirs.suid].iter().all(|&id| id == mine.ruid)
            && [theirs.rgid, theirs.egid, theirs.sgid].iter().all(|&id| id == mine.rgid);
        if !same && !mine.capable(Caps::SYS_RESOURCE) {
            return Err(Errno::EPERM.into());
        }
    }
    let before = target.group.limits.lock().get(resource as usize)?;
    if let Some(limit) = wanted {
        set_limit(&cx.task, &target, resource, limit)?;
    }
    if !old.is_null() {
        cx.write_obj(old, &[before.soft, before.hard])?;
    }
    Ok(())
}

/// `struct rusage` for this processor time (all of it shown as user time) and peak memory in bytes.
pub(crate) fn rusage_bytes(time: Duration, max_rss: u64) -> [u8; 144] {
    let mut bytes = [0; 144];
    let words = [time.as_secs(), u64::from(time.subsec_micros()), 0, 0, max_rss / 1024];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// getrusage(2).
pub fn getrusage(cx: &mut ThreadCx, who: i32, at: UserAddr) -> SysResult<()> {
    let usage = *cx.task.group.usage.lock();
    let (time, max_rss) = match who {
        0 => {
            let mm = cx.task.mm()?;
            (mm.space.cpu_time(), usage.max_rss.max(mm.resident()))
        }
        -1 => (usage.children, usage.max_rss),
        1 => (cx.context.cpu_time(), usage.max_rss.max(cx.task.mm()?.space.resident())),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(cx.write_bytes(at, &rusage_bytes(time, max_rss))?)
}

/// sysinfo(2).
pub fn sysinfo(cx: &mut ThreadCx, at: UserAddr) -> SysResult<()> {
    let kernel = &cx.task.kernel;
    let processes = kernel.tasks.lock().thread_count();
    let memory = kernel.host.memory;
    let mut bytes = [0; 112];
    let words = [kernel.uptime().as_secs(), 0, 0, 0, memory, memory / 4 * 3, 0, 0, 0, 0];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    let processes = u16::try_from(processes).unwrap_or(u16::MAX);
    for (at, value) in [(80, processes.to_le_bytes().as_slice()), (104, 1u32.to_le_bytes().as_slice())] {
        for (to, from) in bytes.iter_mut().skip(at).zip(value) {
            *to = *from;
        }
    }
    Ok(cx.write_bytes(at, &bytes)?)
}

/// getrandom(2).
pub fn getrandom(cx: &mut ThreadCx, buf: UserAddr, len: usize, flags: u32) -> SysResult<usize> {
    const NONBLOCK: u32 = 1;
    const RANDOM: u32 = 2;
    const INSECURE: u32 = 4;
    if flags & !(NONBLOCK | RANDOM | INSECURE) != 0 || flags & (RANDOM | INSECURE) == RANDOM | INSECURE {
        return Err(Errno::EINVAL.into());
    }
    let len = len.min(crate::task::usermem::MAX_RW_COUNT);
    let mut done = 0;
    while done < len {
        let mut chunk = vec![0; (len - done).min(64 << 10)];
        cx.task.kernel.fill_random(&mut chunk);
        if let Err(errno) = cx.write_bytes(buf.wrapping_add(done as u64), &chunk) {
            return if done == 0 { Err(errno.into()) } else { Ok(done) };
        }
        done += chunk.len();
        if cx.task.interrupted() && done < len && done >= 256 {
            break;
        }
    }
    Ok(done)
}
