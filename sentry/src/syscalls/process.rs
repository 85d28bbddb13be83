//! clone(2), fork(2), vfork(2), clone3(2), execve(2), execveat(2), exit(2), exit_group(2), wait4(2), waitid(2).

use linux_abi::{Errno, UserAddr};

use crate::{
    error::{Outcome, SysResult},
    signal::{
        SIGCHLD,
        info::{Fields, SigInfo},
        is_valid,
    },
    task::{
        Pid, ThreadCx,
        clone::{
            CLONE_CLEAR_SIGHAND, CLONE_DETACHED, CLONE_INTO_CGROUP, CLONE_PARENT_SETTID, CLONE_PIDFD,
            CLONE_THREAD, CLONE_VFORK, CLONE_VM, CloneRequest,
        },
        exec::{ExecRequest, read_strings, string_budget},
        usermem::UserMemory,
        wait::{
            ExitStatus, WALL, WCLONE, WCONTINUED, WEXITED, WNOHANG, WNOTHREAD, WNOWAIT, WSTOPPED, WUNTRACED,
            Waited, Which,
        },
    },
};

/// clone(2).
pub fn clone(
    cx: &mut ThreadCx,
    flags: u64,
    stack: UserAddr,
    parent_tid: UserAddr,
    child_tid: UserAddr,
    tls: UserAddr,
) -> SysResult<Pid> {
    let flags32 = flags & 0xffff_ffff;
    let exit_signal = i32::try_from(flags32 & 0xff).unwrap_or(0);
    let flags = flags32 & !0xff;
    if flags & CLONE_PIDFD != 0 && flags & CLONE_PARENT_SETTID != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (stack, tls, pidfd) = (stack.0, tls.0, parent_tid);
    cx.clone_task(&CloneRequest {
        flags,
        exit_signal,
        stack,
        parent_tid,
        child_tid,
        pidfd,
        tls,
        set_tid: None,
    })
}

/// fork(2).
pub fn fork(cx: &mut ThreadCx) -> SysResult<Pid> {
    cx.clone_task(&CloneRequest { exit_signal: SIGCHLD, ..CloneRequest::default() })
}

/// vfork(2).
pub fn vfork(cx: &mut ThreadCx) -> SysResult<Pid> {
    cx.clone_task(&CloneRequest {
        flags: CLONE_VM | CLONE_VFORK,
        exit_signal: SIGCHLD,
        ..CloneRequest::default()
    })
}

/// clone3(2).
pub fn clone3(cx: &mut ThreadCx, args: UserAddr, size: usize) -> SysResult<Pid> {
    const SIZE_VER0: usize = 64;
    const WORDS: usize = 11;
    if size > 4096 {
        return Err(Errno::E2BIG.into());
    }
    if size < SIZE_VER0 {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = vec![0; size];
    cx.read_bytes(args, &mut bytes)?;
    // A newer structure is fine as long as what this kernel does not know is zero (`copy_struct_from_user`).
    if bytes.get(WORDS * 8..).is_some_and(|rest| rest.iter().any(|&byte| byte != 0)) {
        return Err(Errno::E2BIG.into());
    }
    let word = |index: usize| {
        let bytes = bytes.get(index * 8..index * 8 + 8).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    };
    let (flags, exit_signal, stack, stack_size) = (word(0), word(4), word(5), word(6));
    let (set_tid, set_tid_size) = (word(8), word(9));
    let known = 0xffff_ffff | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
    let invalid = flags & !known != 0
        || flags & (CLONE_DETACHED | 0xff) & !0x80 != 0
        || (exit_signal != 0 && !i32::try_from(exit_signal).is_ok_and(is_valid))
        || (flags & CLONE_THREAD != 0 && exit_signal != 0)
        || (stack == 0) != (stack_size == 0)
        || set_tid_size > 32
        || (set_tid == 0) != (set_tid_size == 0);
    if invalid {
        return Err(Errno::EINVAL.into());
    }
    if flags & CLONE_INTO_CGROUP != 0 {
        return Err(Errno::EBADF.into());
    }
    let set_tid = if set_tid_size > 0 {
        if set_tid_size > 1 {
            return Err(Errno::EINVAL.into());
        }
        let wanted: i32 = cx.read_obj(UserAddr(set_tid))?;
        if wanted < 1 {
            return Err(Errno::EINVAL.into());
        }
        if !cx
            .task
            .capable(crate::credentials::Caps::SYS_ADMIN | crate::credentials::Caps::CHECKPOINT_RESTORE)
        {
            return Err(Errno::EPERM.into());
        }
        Some(wanted)
    } else {
        None
    };
    let stack_top = if stack == 0 { 0 } else { stack.checked_add(stack_size).ok_or(Errno::EINVAL)? };
    cx.clone_task(&CloneRequest {
        flags,
        exit_signal: i32::try_from(exit_signal).unwrap_or(0),
        stack: stack_top,
        parent_tid: UserAddr(word(3)),
        child_tid: UserAddr(word(2)),
        pidfd: UserAddr(word(1)),
        tls: word(7),
        set_tid,
    })
}

/// execve(2).
pub fn execve(cx: &mut ThreadCx, path: UserAddr, argv: UserAddr, envp: UserAddr) -> Outcome {
    execveat(cx, linux_abi::fcntl::AT_FDCWD, path, argv, envp, 0)
}

/// execveat(2).
pub fn execveat(
    cx: &mut ThreadCx,
    dirfd: i32,
    path: UserAddr,
    argv: UserAddr,
    envp: UserAddr,
    flags: u32,
) -> Outcome {
    let mut request = || {
        let path = cx.read_path(path)?;
        let mut budget = string_budget(&cx.task);
        let argv = read_strings(cx, argv, &mut budget)?;
        let envp = read_strings(cx, envp, &mut budget)?;
        Ok(ExecRequest { dirfd, path, argv, envp, flags })
    };
    match request() {
        Ok(request) => cx.exec(request),
        Err(errno) => Outcome::Fail(errno),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "exit codes are cut to eight bits"
)]
fn code(status: i32) -> ExitStatus {
    ExitStatus::Exited(status as u8)
}

/// exit(2): this thread.
pub fn exit(cx: &mut ThreadCx, status: i32) -> Outcome {
    cx.trace_exit(code(status));
    Outcome::Exit(code(status))
}

/// exit_group(2): the process.
pub fn exit_group(cx: &mut ThreadCx, status: i32) -> Outcome {
    cx.trace_exit(code(status));
    cx.task.begin_group_exit(code(status));
    Outcome::Exit(code(status))
}

/// wait4(2).
pub fn wait4(
    cx: &mut ThreadCx,
    pid: i32,
    status: UserAddr,
    options: u32,
    rusage: UserAddr,
) -> SysResult<Pid> {
    if options & !(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WCLONE | WALL) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let which = match pid {
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => Which::Any,
        0 => Which::Group(own_group(cx)),
        1.. => Which::Pid(pid),
        _ => Which::Group(-pid),
    };
    let Some(found) = cx.task.wait_for_child(which, options | WEXITED)? else { return Ok(0) };
    if !status.is_null() {
        cx.write_obj(status, &found.status)?;
    }
    write_rusage(cx, rusage, &found)?;
    Ok(found.pid)
}

fn own_group(cx: &ThreadCx) -> Pid {
    cx.task.kernel.tasks.lock().process(cx.task.pid()).map_or(0, |process| process.pgid)
}

fn write_rusage(cx: &mut ThreadCx, at: UserAddr, found: &Waited) -> SysResult<()> {
    if !at.is_null() {
        let usage = super::resource::rusage_bytes(found.time, found.max_rss);
        cx.write_bytes(at, &usage)?;
    }
    Ok(())
}

/// waitid(2).
pub fn waitid(
    cx: &mut ThreadCx,
    kind: i32,
    id: i32,
    info: UserAddr,
    options: u32,
    rusage: UserAddr,
) -> SysResult<()> {
    let known = WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WNOTHREAD | WCLONE | WALL;
    if options & !known != 0 || options & (WEXITED | WSTOPPED | WCONTINUED) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut options = options;
    let mut nonblocking = false;
    let which = match kind {
        0 => Which::Any,
        1 if id > 0 => Which::Pid(id),
        2 if id > 0 => Which::Group(id),
        2 if id == 0 => Which::Group(own_group(cx)),
        3 => {
            let file = cx.task.file(id)?;
            nonblocking = file.nonblocking() && options & WNOHANG == 0;
            if nonblocking {
                options |= WNOHANG;
            }
            Which::Pid(crate::fs::types::pidfd::pid_of(&file).ok_or(Errno::EBADF)?)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let found = cx.task.wait_for_child(which, options)?;
    if nonblocking && found.is_none() {
        return Err(Errno::EAGAIN.into());
    }
    if let Some(found) = &found {
        write_rusage(cx, rusage, found)?;
    }
    if !info.is_null() {
        // Only these fields are stored; with nothing found, zeros.
        let (signo, code, pid, uid, status) = found
            .map_or((0, 0, 0, 0, 0), |found| (SIGCHLD, found.code.0, found.pid, found.uid, found.code.1));
        let fields = Fields::Child { pid, uid, status, utime: 0, stime: 0 };
        let bytes = SigInfo { signo, errno: 0, code, fields }.to_bytes();
        cx.write_bytes(info, bytes.get(..28).unwrap_or_default())?;
    }
    Ok(())
}
