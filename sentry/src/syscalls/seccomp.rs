//! seccomp(2), and its part of prctl(2).

use std::sync::atomic::Ordering;

use linux_abi::{
    Errno, Result, UserAddr,
    prctl::{
        SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_TSYNC,
        SECCOMP_FILTER_FLAG_TSYNC_ESRCH, SECCOMP_GET_ACTION_AVAIL, SECCOMP_GET_NOTIF_SIZES,
        SECCOMP_MODE_FILTER, SECCOMP_MODE_STRICT, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
        SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG, SECCOMP_RET_TRACE,
        SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF, SECCOMP_SET_MODE_FILTER, SECCOMP_SET_MODE_STRICT,
    },
};

use crate::{
    bpf::{Instruction, MAX_INSTRUCTIONS, Program, Use},
    credentials::Caps,
    error::SysResult,
    task::{
        ThreadCx,
        seccomp::{Scope, add_filter, enter_strict},
        usermem::UserMemory,
    },
};

/// seccomp(2).
pub fn seccomp(cx: &mut ThreadCx, operation: u32, flags: u32, args: UserAddr) -> SysResult<u64> {
    match operation {
        SECCOMP_SET_MODE_STRICT => {
            if flags != 0 || !args.is_null() {
                return Err(Errno::EINVAL.into());
            }
            enter_strict(&cx.task)?;
        }
        SECCOMP_SET_MODE_FILTER => return Ok(set_filter(cx, flags, args)?),
        SECCOMP_GET_ACTION_AVAIL => {
            if flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            let action: u32 = cx.read_obj(args)?;
            let known = [
                SECCOMP_RET_KILL_PROCESS,
                SECCOMP_RET_KILL_THREAD,
                SECCOMP_RET_TRAP,
                SECCOMP_RET_ERRNO,
                SECCOMP_RET_USER_NOTIF,
                SECCOMP_RET_TRACE,
                SECCOMP_RET_LOG,
                SECCOMP_RET_ALLOW,
            ];
            if !known.contains(&action) {
                return Err(Errno::EOPNOTSUPP.into());
            }
        }
        SECCOMP_GET_NOTIF_SIZES => {
            if flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            // `struct seccomp_notif`, `seccomp_notif_resp`, `seccomp_data`.
            cx.write_obj(args, &[80_u16, 24, 64])?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// `PR_SET_SECCOMP`.
pub(super) fn set_mode(cx: &mut ThreadCx, mode: u64, filter: UserAddr) -> SysResult<()> {
    match mode {
        SECCOMP_MODE_STRICT => enter_strict(&cx.task)?,
        SECCOMP_MODE_FILTER => {
            set_filter(cx, 0, filter)?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

/// Adds the filter of `struct sock_fprog` at `args`. Returns a thread that could not be synchronised.
fn set_filter(cx: &mut ThreadCx, flags: u32, args: UserAddr) -> Result<u64> {
    // Without `SECCOMP_FILTER_FLAG_NEW_LISTENER`: no supervisor in user space.
    let known = SECCOMP_FILTER_FLAG_TSYNC
        | SECCOMP_FILTER_FLAG_LOG
        | SECCOMP_FILTER_FLAG_SPEC_ALLOW
        | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let program = read_program(cx, args)?;
    let scope = if flags & SECCOMP_FILTER_FLAG_TSYNC != 0 { Scope::Process } else { Scope::Thread };
    match add_filter(&cx.task, program, scope)? {
        None => Ok(0),
        Some(_) if flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH != 0 => Err(Errno::ESRCH),
        Some(tid) => Ok(u64::try_from(tid).unwrap_or(0)),
    }
}

fn read_program(cx: &mut ThreadCx, args: UserAddr) -> Result<Program> {
    // The length is two bytes, the pointer is at eight.
    let [length, code]: [u64; 2] = cx.read_obj(args)?;
    let length = usize::try_from(length & 0xffff).unwrap_or(0);
    if length == 0 || length > MAX_INSTRUCTIONS {
        return Err(Errno::EINVAL);
    }
    // An unprivileged program that execs gives no privileges to a program under a filter of its choice.
    if !cx.task.no_new_privs.load(Ordering::Relaxed) && !cx.task.capable(Caps::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    let mut bytes = vec![0; length * Instruction::SIZE];
    cx.read_bytes(UserAddr(code), &mut bytes)?;
    Program::check(Instruction::decode(&bytes), Use::SystemCall)
}
