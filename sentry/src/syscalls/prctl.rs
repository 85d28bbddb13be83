//! prctl(2), arch_prctl(2), personality(2), and other per-process switches.

use std::sync::atomic::Ordering;

use linux_abi::{Errno, PageRange, UserAddr};

use crate::{
    credentials::{CAP_LAST_CAP, Caps, Credentials, SECBIT_KEEP_CAPS, SECBIT_NO_CAP_AMBIENT_RAISE},
    error::SysResult,
    signal::is_valid,
    task::{ThreadCx, usermem::UserMemory},
};

use linux_abi::prctl::{
    PR_CAP_AMBIENT, PR_CAPBSET_DROP, PR_CAPBSET_READ, PR_GET_CHILD_SUBREAPER, PR_GET_DUMPABLE,
    PR_GET_IO_FLUSHER, PR_GET_KEEPCAPS, PR_GET_MDWE, PR_GET_NAME, PR_GET_NO_NEW_PRIVS, PR_GET_PDEATHSIG,
    PR_GET_SECCOMP, PR_GET_SECUREBITS, PR_GET_SPECULATION_CTRL, PR_GET_THP_DISABLE, PR_GET_TID_ADDRESS,
    PR_GET_TIMERSLACK, PR_GET_TIMING, PR_GET_TSC, PR_MCE_KILL, PR_MCE_KILL_CLEAR, PR_MCE_KILL_DEFAULT,
    PR_MCE_KILL_GET, PR_MCE_KILL_SET, PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, PR_SET_IO_FLUSHER,
    PR_SET_KEEPCAPS, PR_SET_MDWE, PR_SET_MM, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG,
    PR_SET_PTRACER, PR_SET_SECCOMP, PR_SET_SECUREBITS, PR_SET_SPECULATION_CTRL, PR_SET_SYSCALL_USER_DISPATCH,
    PR_SET_THP_DISABLE, PR_SET_TIMERSLACK, PR_SET_TIMING, PR_SET_VMA, PR_TASK_PERF_EVENTS_DISABLE,
    PR_TASK_PERF_EVENTS_ENABLE,
};

/// `PR_SPEC_L1D_FLUSH`.
const LAST_SPECULATION: u64 = 2;

/// prctl(2).
pub fn prctl(cx: &mut ThreadCx, option: i32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) -> SysResult<u64> {
    let rest_zero = |args: &[u64]| if args.iter().all(|&arg| arg == 0) { Ok(()) } else { Err(Errno::EINVAL) };
    let low = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or(0);
    let task = std::sync::Arc::clone(&cx.task);
    let group = &task.group;
    match option {
        PR_SET_PDEATHSIG => {
            let signo = i32::try_from(arg2).map_err(|_| Errno::EINVAL)?;
            if signo != 0 && !is_valid(signo) {
                return Err(Errno::EINVAL.into());
            }
            task.parent_death_signal.store(signo, Ordering::Relaxed);
        }
        PR_GET_PDEATHSIG => {
            cx.write_obj(UserAddr(arg2), &task.parent_death_signal.load(Ordering::Relaxed))?;
        }
        PR_GET_DUMPABLE => return Ok(u64::from(group.dumpable.load(Ordering::Relaxed))),
        PR_SET_DUMPABLE => match arg2 {
            0 | 1 => group.dumpable.store(arg2 == 1, Ordering::Relaxed),
            _ => return Err(Errno::EINVAL.into()),
        },
        PR_GET_KEEPCAPS => return Ok(u64::from(task.creds().securebits & SECBIT_KEEP_CAPS != 0)),
        PR_SET_KEEPCAPS => {
            let mut creds = Credentials::clone(&task.creds());
            match arg2 {
                0 => creds.securebits &= !SECBIT_KEEP_CAPS,
                1 => creds.securebits |= SECBIT_KEEP_CAPS,
                _ => return Err(Errno::EINVAL.into()),
            }
            task.set_creds(creds);
        }
        PR_GET_TIMING => {}
        PR_GET_SECCOMP => return Ok(task.seccomp.mode()),
        PR_SET_SECCOMP => return super::seccomp::set_mode(cx, arg2, UserAddr(arg3)).map(|()| 0),
        PR_SET_TIMING => rest_zero(&[arg2])?,
        PR_SET_NAME => {
            let mut name = [0; 16];
            let mut bytes = [0; 15];
            let got = cx.read_partial(UserAddr(arg2), &mut bytes);
            let end = bytes.iter().take(got).position(|&byte| byte == 0);
            if end.is_none() && got < bytes.len() {
                return Err(Errno::EFAULT.into());
            }
            for (to, from) in name.iter_mut().zip(bytes.iter().take(end.unwrap_or(bytes.len()))) {
                *to = *from;
            }
            *task.name.lock() = name;
        }
        PR_GET_NAME => {
            let name = *task.name.lock();
            cx.write_bytes(UserAddr(arg2), &name)?;
        }
        PR_CAPBSET_READ => return Ok(u64::from(task.creds().bounding.contains(capability(arg2)?))),
        PR_CAPBSET_DROP => {
            let mut creds = Credentials::clone(&task.creds());
            if !creds.capable(Caps::SETPCAP) {
                return Err(Errno::EPERM.into());
            }
            let cap = capability(arg2)?;
            creds.bounding.remove(cap);
            task.set_creds(creds);
        }
        PR_GET_TSC => cx.write_obj(UserAddr(arg2), &1u32)?,
        PR_GET_SECUREBITS => return Ok(u64::from(task.creds().securebits)),
        PR_SET_SECUREBITS => {
            let mut creds = Credentials::clone(&task.creds());
            if !creds.capable(Caps::SETPCAP) {
                return Err(Errno::EPERM.into());
            }
            let locked = (creds.securebits >> 1) & 0x55;
            let wanted = low(arg2);
            if arg2 & !0xff != 0
                || (creds.securebits ^ wanted) & locked != 0
                || creds.securebits & 0xaa & !wanted != 0
            {
                return Err(Errno::EPERM.into());
            }
            creds.securebits = wanted;
            task.set_creds(creds);
        }
        PR_SET_TIMERSLACK => task.scheduling.lock().timer_slack_ns = if arg2 == 0 { 50_000 } else { arg2 },
        PR_GET_TIMERSLACK => return Ok(task.scheduling.lock().timer_slack_ns),
        PR_SET_MM => {
            return Err(if task.capable(Caps::SYS_RESOURCE) { Errno::EINVAL } else { Errno::EPERM }.into());
        }
        PR_SET_CHILD_SUBREAPER => group.is_subreaper.store(arg2 != 0, Ordering::Relaxed),
        PR_GET_CHILD_SUBREAPER => {
            cx.write_obj(UserAddr(arg2), &i32::from(group.is_subreaper.load(Ordering::Relaxed)))?;
        }
        PR_SET_NO_NEW_PRIVS => {
            if arg2 != 1 {
                return Err(Errno::EINVAL.into());
            }
            rest_zero(&[arg3, arg4, arg5])?;
            task.no_new_privs.store(true, Ordering::Relaxed);
        }
        PR_GET_NO_NEW_PRIVS => {
            rest_zero(&[arg2, arg3, arg4, arg5])?;
            return Ok(u64::from(task.no_new_privs.load(Ordering::Relaxed)));
        }
        PR_GET_TID_ADDRESS => cx.write_obj(UserAddr(arg2), &task.clear_child_tid.load(Ordering::Relaxed))?,
        PR_SET_THP_DISABLE => rest_zero(&[arg4, arg5])?,
        PR_GET_THP_DISABLE => rest_zero(&[arg2, arg3, arg4, arg5])?,
        PR_CAP_AMBIENT => return ambient(cx, arg2, arg3, arg4, arg5),
        PR_GET_SPECULATION_CTRL => {
            rest_zero(&[arg3, arg4, arg5])?;
            if arg2 > LAST_SPECULATION {
                return Err(Errno::ENODEV.into());
            }
        }
        PR_SET_SPECULATION_CTRL => {
            rest_zero(&[arg4, arg5])?;
            return Err(if arg2 > LAST_SPECULATION { Errno::ENODEV } else { Errno::ENXIO }.into());
        }
        // There are no performance counters to stop.
        PR_TASK_PERF_EVENTS_DISABLE | PR_TASK_PERF_EVENTS_ENABLE => {}
        PR_MCE_KILL => {
            rest_zero(&[arg4, arg5])?;
            let known = match arg2 {
                PR_MCE_KILL_CLEAR => arg3 == 0,
                PR_MCE_KILL_SET => arg3 <= PR_MCE_KILL_DEFAULT,
                _ => false,
            };
            if !known {
                return Err(Errno::EINVAL.into());
            }
        }
        PR_MCE_KILL_GET => {
            rest_zero(&[arg2, arg3, arg4, arg5])?;
            return Ok(PR_MCE_KILL_DEFAULT);
        }
        PR_SET_IO_FLUSHER | PR_GET_IO_FLUSHER => {
            if !task.capable(Caps::SYS_RESOURCE) {
                return Err(Errno::EPERM.into());
            }
            let used = if option == PR_SET_IO_FLUSHER { arg2 > 1 } else { arg2 != 0 };
            if used {
                return Err(Errno::EINVAL.into());
            }
            rest_zero(&[arg3, arg4, arg5])?;
        }
        // Neither can be switched on: off is what they are.
        PR_SET_SYSCALL_USER_DISPATCH | PR_SET_MDWE | PR_GET_MDWE => rest_zero(&[arg2, arg3, arg4, arg5])?,
        PR_SET_PTRACER => {}
        PR_SET_VMA => return name_memory(cx, arg2, arg3, arg4, arg5),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

fn capability(number: u64) -> Result<Caps, Errno> {
    let number = u32::try_from(number).ok().filter(|n| *n <= CAP_LAST_CAP).ok_or(Errno::EINVAL)?;
    Ok(Caps::from_bits_truncate(1 << number))
}

/// `PR_CAP_AMBIENT`.
fn ambient(cx: &mut ThreadCx, action: u64, cap: u64, arg4: u64, arg5: u64) -> SysResult<u64> {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    let mut creds = Credentials::clone(&cx.task.creds());
    if arg4 != 0 || arg5 != 0 || (action == CLEAR_ALL && cap != 0) {
        return Err(Errno::EINVAL.into());
    }
    if action == CLEAR_ALL {
        creds.ambient = Caps::empty();
        cx.task.set_creds(creds);
        return Ok(0);
    }
    let cap = capability(cap)?;
    match action {
        IS_SET => return Ok(u64::from(creds.ambient.contains(cap))),
        RAISE => {
            let allowed = creds.permitted.contains(cap)
                && creds.inheritable.contains(cap)
                && creds.securebits & SECBIT_NO_CAP_AMBIENT_RAISE == 0;
            if !allowed {
                return Err(Errno::EPERM.into());
            }
            creds.ambient |= cap;
        }
        LOWER => creds.ambient.remove(cap),
        _ => return Err(Errno::EINVAL.into()),
    }
    cx.task.set_creds(creds);
    Ok(0)
}

/// `PR_SET_VMA_ANON_NAME`.
fn name_memory(cx: &mut ThreadCx, what: u64, addr: u64, len: u64, name: u64) -> SysResult<u64> {
    if what != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = if name == 0 {
        None
    } else {
        let bytes = cx.read_cstring(UserAddr(name), 80).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::EINVAL,
            other => other,
        })?;
        let fine = |byte: &u8| byte.is_ascii_graphic() && !b"\\`$[]".contains(byte) || *byte == b' ';
        if !bytes.iter().all(fine) {
            return Err(Errno::EINVAL.into());
        }
        Some(String::from_utf8(bytes).map_err(|_| Errno::EINVAL)?)
    };
    if !UserAddr(addr).is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let range = PageRange::covering(addr, len).ok_or(Errno::EINVAL)?;
    if range.is_empty() {
        return Ok(0);
    }
    cx.task.mm()?.set_anon_name(range, name.as_deref())?;
    Ok(0)
}

/// arch_prctl(2).
pub fn arch_prctl(cx: &mut ThreadCx, code: i32, addr: u64) -> SysResult<u64> {
    const SET_GS: i32 = 0x1001;
    const SET_FS: i32 = 0x1002;
    const GET_FS: i32 = 0x1003;
    const GET_GS: i32 = 0x1004;
    const GET_CPUID: i32 = 0x1011;
    const SET_CPUID: i32 = 0x1012;
    match code {
        SET_FS | SET_GS => {
            // Linux refuses what is not a canonical user address (`TASK_SIZE_MAX`).
            if addr >= (1 << 47) - 4096 {
                return Err(Errno::EPERM.into());
            }
            if code == SET_FS {
                cx.registers().fs_base = addr;
            } else {
                cx.registers().gs_base = addr;
            }
            Ok(0)
        }
        GET_FS | GET_GS => {
            let regs = cx.registers();
            let base = if code == GET_FS { regs.fs_base } else { regs.gs_base };
            cx.write_obj(UserAddr(addr), &base)?;
            Ok(0)
        }
        GET_CPUID => Ok(1),
        SET_CPUID => Err(Errno::ENODEV.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// personality(2): read back, with the bits that change nothing here.
pub fn personality(cx: &mut ThreadCx, persona: u32) -> SysResult<u32> {
    let slot = &cx.task.group.personality;
    let old = slot.load(Ordering::Relaxed);
    if persona != u32::MAX {
        slot.store(persona, Ordering::Relaxed);
    }
    Ok(old)
}

/// syslog(2): the log is empty, and not for everybody.
pub fn syslog(cx: &mut ThreadCx, action: i32, buf: UserAddr, len: i32) -> SysResult<u64> {
    const READ_ALL: i32 = 3;
    const SIZE_BUFFER: i32 = 10;
    if !cx.task.capable(Caps::SYSLOG) && !matches!(action, READ_ALL | SIZE_BUFFER) {
        return Err(Errno::EPERM.into());
    }
    match action {
        2 | READ_ALL | 4 if buf.is_null() || len < 0 => Err(Errno::EINVAL.into()),
        0..=9 => Ok(0),
        SIZE_BUFFER => Ok(1 << 18),
        _ => Err(Errno::EINVAL.into()),
    }
}
