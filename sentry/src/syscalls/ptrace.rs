//! ptrace(2): what tracers ask. `task/trace.rs` is what becomes of it.

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    ptrace::{
        PTRACE_ATTACH, PTRACE_CONT, PTRACE_DETACH, PTRACE_GET_SYSCALL_INFO, PTRACE_GETEVENTMSG,
        PTRACE_GETFPREGS, PTRACE_GETREGS, PTRACE_GETREGSET, PTRACE_GETSIGINFO, PTRACE_GETSIGMASK,
        PTRACE_INTERRUPT, PTRACE_KILL, PTRACE_LISTEN, PTRACE_O_MASK, PTRACE_O_SUSPEND_SECCOMP,
        PTRACE_PEEKDATA, PTRACE_PEEKTEXT, PTRACE_PEEKUSER, PTRACE_POKEDATA, PTRACE_POKETEXT, PTRACE_POKEUSER,
        PTRACE_SEIZE, PTRACE_SETFPREGS, PTRACE_SETOPTIONS, PTRACE_SETREGS, PTRACE_SETREGSET,
        PTRACE_SETSIGINFO, PTRACE_SETSIGMASK, PTRACE_SINGLESTEP, PTRACE_SYSCALL, PTRACE_TRACEME,
    },
};
use platform::Registers;

use super::memory::check_access;
use crate::{
    error::SysResult,
    signal::{SIGKILL, SIGSTOP, SigSet, info::SigInfo, send},
    task::{
        Pid, Task, ThreadCx,
        trace::{Mode, Place, Request, Stop},
        usermem::UserMemory,
    },
};

/// Words of `struct user_regs_struct`, and bytes of `struct user`.
const WORDS: usize = 27;
const USER_SIZE: u64 = 912;
/// Bytes of `struct user_i387_struct`: the legacy part of the extended state.
const FXSAVE: usize = 512;
/// Where in the extended state a tracer finds XCR0.
const XCR0: usize = 464;
const NT_PRSTATUS: u64 = 1;
const NT_PRFPREG: u64 = 2;
const NT_X86_XSTATE: u64 = 0x202;
/// The flags a tracer may change (`FLAG_MASK`).
const EFLAGS: u64 = 0x0005_4dd5;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// ptrace(2).
pub fn ptrace(cx: &mut ThreadCx, request: i32, pid: i32, addr: u64, data: u64) -> SysResult<u64> {
    let (addr, data) = (UserAddr(addr), UserAddr(data));
    let task = Arc::clone(&cx.task);
    match request {
        PTRACE_TRACEME => {
            let parent = {
                let tree = task.kernel.tasks.lock();
                let process = tree.process(task.pid()).ok_or(Errno::EPERM)?;
                (process.parent_thread, process.parent)
            };
            return Ok(task.trace_by(parent, 0, false).map(|()| 0)?);
        }
        PTRACE_ATTACH | PTRACE_SEIZE => return Ok(attach(&task, request, pid, addr.0, data.0).map(|()| 0)?),
        _ => {}
    }
    let target = task.kernel.tasks.lock().thread(pid).cloned().ok_or(Errno::ESRCH)?;
    let (stopped, seized) = {
        let state = target.trace.lock();
        if state.tracer.is_none_or(|(tid, _)| tid != task.tid()) {
            return Err(Errno::ESRCH.into());
        }
        (state.stop.as_ref().is_some_and(|stop| !stop.listening), state.seized)
    };
    match request {
        PTRACE_KILL => {
            send::send_to_group(&task.kernel, &target.group, SigInfo::kernel(SIGKILL))?;
            return Ok(0);
        }
        PTRACE_INTERRUPT => {
            if !seized {
                return Err(Errno::EIO.into());
            }
            target.trace.lock().interrupt = true;
            target.notify_signal();
            return Ok(0);
        }
        _ if !stopped => return Err(Errno::ESRCH.into()),
        _ => {}
    }
    let signal = i32::try_from(data.0).ok().filter(|signal| (0..=64).contains(signal)).ok_or(Errno::EIO);
    match request {
        PTRACE_CONT => target.trace_resume(Mode::Continue, signal?),
        PTRACE_SYSCALL => target.trace_resume(Mode::Syscall, signal?),
        PTRACE_SINGLESTEP => target.trace_resume(Mode::Step, signal?),
        PTRACE_DETACH => target.trace_detach(signal?),
        PTRACE_LISTEN => listen(&target, seized)?,
        PTRACE_SETOPTIONS => {
            // Filters cannot be suspended.
            if data.0 & !(PTRACE_O_MASK & !PTRACE_O_SUSPEND_SECCOMP) != 0 {
                return Err(Errno::EINVAL.into());
            }
            target.trace.lock().options = data.0;
        }
        PTRACE_GETEVENTMSG => {
            let message = target.trace.lock().message;
            cx.write_obj(data, &message)?;
        }
        PTRACE_GETSIGINFO => {
            let info = with_stop(&target, |stop| stop.info)?.ok_or(Errno::EINVAL)?;
            cx.write_bytes(data, &info.to_bytes())?;
        }
        PTRACE_SETSIGINFO => {
            let mut bytes = [0; 128];
            cx.read_bytes(data, &mut bytes)?;
            let info = SigInfo::from_bytes(&bytes);
            with_stop(&target, |stop| stop.info.replace(info).map(|_| ()))?.ok_or(Errno::EINVAL)?;
        }
        PTRACE_GETSIGMASK | PTRACE_SETSIGMASK if addr.0 != 8 => return Err(Errno::EINVAL.into()),
        PTRACE_GETSIGMASK => cx.write_obj(data, &target.blocked().0)?,
        PTRACE_SETSIGMASK => {
            let mask: u64 = cx.read_obj(data)?;
            target.set_blocked(SigSet(mask));
        }
        PTRACE_GET_SYSCALL_INFO => return syscall_info(cx, &target, addr.0, data),
        _ => return Ok(state_request(cx, &target, request, addr, data)?),
    }
    Ok(0)
}

fn attach(task: &Task, request: i32, pid: Pid, addr: u64, options: u64) -> Result<()> {
    let seized = request == PTRACE_SEIZE;
    if seized && (addr != 0 || options & !(PTRACE_O_MASK & !PTRACE_O_SUSPEND_SECCOMP) != 0) {
        return Err(Errno::EIO);
    }
    let target = task.kernel.tasks.lock().thread(pid).cloned().ok_or(Errno::ESRCH)?;
    if target.pid() == task.pid() {
        return Err(Errno::EPERM);
    }
    check_access(task, &target)?;
    target.trace_by((task.tid(), task.pid()), if seized { options } else { 0 }, seized)?;
    if seized {
        // One that is stopped says so to its new tracer.
        target.notify_signal();
        Ok(())
    } else {
        send::send_to_task(&target, SigInfo::kernel(SIGSTOP))
    }
}

fn with_stop<T>(target: &Task, f: impl FnOnce(&mut Stop) -> T) -> Result<T> {
    target.trace.lock().stop.as_mut().map(f).ok_or(Errno::ESRCH)
}

/// `PTRACE_LISTEN`: only in a group stop of a seized tracee.
fn listen(target: &Task, seized: bool) -> Result<()> {
    let allowed = with_stop(target, |stop| {
        let event = stop.code >> 8 == linux_abi::ptrace::PTRACE_EVENT_STOP;
        stop.listening = seized && event;
        stop.listening
    })?;
    if !allowed {
        return Err(Errno::EIO);
    }
    target.waker().notify();
    Ok(())
}

/// Requests about registers and memory.
fn state_request(
    cx: &mut ThreadCx,
    target: &Arc<Task>,
    request: i32,
    addr: UserAddr,
    data: UserAddr,
) -> Result<u64> {
    let task = Arc::clone(&cx.task);
    match request {
        PTRACE_PEEKTEXT | PTRACE_PEEKDATA => {
            let mut word = [0; 8];
            target.mm()?.space.read(addr, &mut word).map_err(|_| Errno::EIO)?;
            cx.write_bytes(data, &word)?;
        }
        PTRACE_POKETEXT | PTRACE_POKEDATA => {
            task.trace_request(target, Request::Poke(addr, data.0.to_le_bytes().to_vec()))?;
        }
        PTRACE_PEEKUSER => {
            let at = user_offset(addr)?;
            let word = with_stop(target, |stop| words(&stop.regs).get(at).copied().unwrap_or(0))?;
            cx.write_obj(data, &word)?;
        }
        PTRACE_POKEUSER => {
            let at = user_offset(addr)?;
            let mut all = with_stop(target, |stop| words(&stop.regs))?;
            match all.get_mut(at) {
                Some(word) => *word = data.0,
                // Debug registers: none can be set.
                None if data.0 == 0 => return Ok(0),
                None => return Err(Errno::EIO),
            }
            with_stop(target, |stop| set_words(&mut stop.regs, &all))?;
        }
        PTRACE_GETREGS => cx.write_obj(data, &with_stop(target, |stop| words(&stop.regs))?)?,
        PTRACE_SETREGS => {
            let all: [u64; WORDS] = cx.read_obj(data)?;
            with_stop(target, |stop| set_words(&mut stop.regs, &all))?;
        }
        PTRACE_GETFPREGS => {
            let area = task.trace_request(target, Request::Extended)?;
            cx.write_bytes(data, area.get(..FXSAVE).ok_or(Errno::EIO)?)?;
        }
        PTRACE_SETFPREGS => {
            let mut legacy = vec![0; FXSAVE];
            cx.read_bytes(data, &mut legacy)?;
            set_extended(&task, target, &legacy)?;
        }
        PTRACE_GETREGSET | PTRACE_SETREGSET => return register_set(cx, target, request, addr.0, data),
        _ => return Err(Errno::EIO),
    }
    Ok(0)
}

fn user_offset(addr: UserAddr) -> Result<usize> {
    if !addr.0.is_multiple_of(8) || addr.0 >= USER_SIZE {
        return Err(Errno::EIO);
    }
    usize::try_from(addr.0 / 8).map_err(|_| Errno::EIO)
}

/// `PTRACE_GETREGSET`, `PTRACE_SETREGSET`.
fn register_set(
    cx: &mut ThreadCx,
    target: &Arc<Task>,
    request: i32,
    kind: u64,
    iovec: UserAddr,
) -> Result<u64> {
    let task = Arc::clone(&cx.task);
    let [base, len]: [u64; 2] = cx.read_obj(iovec)?;
    let current = match kind {
        NT_PRSTATUS => {
            let words = with_stop(target, |stop| words(&stop.regs))?;
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        }
        NT_PRFPREG => {
            let mut area = task.trace_request(target, Request::Extended)?;
            area.truncate(FXSAVE);
            area
        }
        NT_X86_XSTATE => {
            let mut area = task.trace_request(target, Request::Extended)?;
            // Debuggers find XCR0 among the bytes that are left to software.
            let features = task.kernel.platform.layout().xfeatures.to_le_bytes();
            for (to, from) in area.iter_mut().skip(XCR0).zip(features) {
                *to = from;
            }
            area
        }
        _ => return Err(Errno::EINVAL),
    };
    if !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(len).unwrap_or(usize::MAX).min(current.len());
    let mut bytes = current;
    if request == PTRACE_GETREGSET {
        cx.write_bytes(UserAddr(base), bytes.get(..count).unwrap_or_default())?;
    } else {
        cx.read_bytes(UserAddr(base), bytes.get_mut(..count).unwrap_or_default())?;
        if kind == NT_PRSTATUS {
            let mut all = [0; WORDS];
            for (word, bytes) in all.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            with_stop(target, |stop| set_words(&mut stop.regs, &all))?;
        } else {
            set_extended(&task, target, &bytes)?;
        }
    }
    cx.write_obj(iovec.wrapping_add(8), &(count as u64))?;
    Ok(0)
}

/// Replaces the beginning of the extended state.
fn set_extended(task: &Task, target: &Task, bytes: &[u8]) -> Result<()> {
    let mut area = task.trace_request(target, Request::Extended)?;
    for (to, from) in area.iter_mut().zip(bytes) {
        *to = *from;
    }
    // x87 and SSE are in use from now on (`xstate_bv`).
    if let Some(features) = area.get_mut(FXSAVE) {
        *features |= 3;
    }
    task.trace_request(target, Request::SetExtended(area)).map(|_| ())
}

fn words(r: &Registers) -> [u64; WORDS] {
    [
        r.r15, r.r14, r.r13, r.r12, r.rbp, r.rbx, r.r11, r.r10, r.r9, r.r8, r.rax, r.rcx, r.rdx, r.rsi,
        r.rdi, r.orig_rax, r.rip, r.cs, r.eflags, r.rsp, r.ss, r.fs_base, r.gs_base, r.ds, r.es, r.fs, r.gs,
    ]
}

/// Takes over what a guest may set: not the segments, not the flags that are the system's.
fn set_words(regs: &mut Registers, words: &[u64; WORDS]) {
    let old = *regs;
    let [
        r15,
        r14,
        r13,
        r12,
        rbp,
        rbx,
        r11,
        r10,
        r9,
        r8,
        rax,
        rcx,
        rdx,
        rsi,
        rdi,
        orig_rax,
        rip,
        _,
        eflags,
        rsp,
        _,
        fs_base,
        gs_base,
        ..,
    ] = *words;
    *regs = Registers {
        r15,
        r14,
        r13,
        r12,
        rbp,
        rbx,
        r11,
        r10,
        r9,
        r8,
        rax,
        rcx,
        rdx,
        rsi,
        rdi,
        orig_rax,
        rip,
        eflags: (old.eflags & !EFLAGS) | (eflags & EFLAGS),
        rsp,
        fs_base,
        gs_base,
        ..old
    };
}

/// `PTRACE_GET_SYSCALL_INFO`: copies what fits, returns what there is.
fn syscall_info(cx: &mut ThreadCx, target: &Task, size: u64, data: UserAddr) -> SysResult<u64> {
    let message = target.trace.lock().message;
    let (place, regs) = with_stop(target, |stop| (stop.place, stop.regs))?;
    let operation = match place {
        Place::Elsewhere => 0_u8,
        Place::Entry => 1,
        Place::Exit => 2,
        Place::Seccomp => 3,
    };
    let mut bytes = vec![operation, 0, 0, 0];
    bytes.extend(AUDIT_ARCH_X86_64.to_le_bytes());
    bytes.extend(regs.rip.to_le_bytes());
    bytes.extend(regs.rsp.to_le_bytes());
    match place {
        Place::Elsewhere => {}
        Place::Exit => {
            let failed = regs.rax > u64::MAX - 4095;
            bytes.extend(regs.rax.to_le_bytes());
            bytes.push(u8::from(failed));
        }
        Place::Entry | Place::Seccomp => {
            bytes.extend(regs.orig_rax.to_le_bytes());
            bytes.extend(regs.arguments().iter().flat_map(|word| word.to_le_bytes()));
            if place == Place::Seccomp {
                bytes.extend(u32::try_from(message & 0xffff).unwrap_or(0).to_le_bytes());
            }
        }
    }
    let count = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
    cx.write_bytes(data, bytes.get(..count).unwrap_or_default())?;
    Ok(bytes.len() as u64)
}
