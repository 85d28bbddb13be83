//! Who a process is: ids of processes, groups and sessions (getpid(2), setpgid(2), setsid(2)), and names of the system
//! (uname(2), sethostname(2)).

use std::sync::{Arc, atomic::Ordering};

use linux_abi::{Errno, UserAddr};
use platform::Answer;

use crate::{
    credentials::Caps,
    error::SysResult,
    task::{Pid, ThreadCx, usermem::UserMemory},
};

/// The kernel release programs see. They choose their calls by it.
pub const RELEASE: &str = "6.18.0";
/// The build string programs see.
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC";

/// getpid(2).
pub fn getpid(cx: &mut ThreadCx) -> SysResult<Pid> {
    let pid = cx.task.pid();
    cx.remember(Answer::Pid, pid.cast_unsigned());
    Ok(pid)
}

/// gettid(2).
pub fn gettid(cx: &mut ThreadCx) -> SysResult<Pid> {
    let tid = cx.task.tid();
    cx.remember(Answer::Tid, tid.cast_unsigned());
    Ok(tid)
}

/// getppid(2).
pub fn getppid(cx: &mut ThreadCx) -> SysResult<Pid> {
    let task = Arc::clone(&cx.task);
    let tree = task.kernel.tasks.lock();
    let parent = tree.process(task.pid()).map_or(0, |process| process.parent);
    // Under the lock: whoever changes the parent takes the answer back.
    cx.remember(Answer::ParentPid, parent.cast_unsigned());
    Ok(parent)
}

/// set_tid_address(2).
pub fn set_tid_address(cx: &mut ThreadCx, at: UserAddr) -> SysResult<Pid> {
    cx.task.clear_child_tid.store(at.0, Ordering::Relaxed);
    Ok(cx.task.tid())
}

/// getpgrp(2).
pub fn getpgrp(cx: &mut ThreadCx) -> SysResult<Pid> {
    getpgid(cx, 0)
}

/// getpgid(2).
pub fn getpgid(cx: &mut ThreadCx, pid: i32) -> SysResult<Pid> {
    let pid = if pid == 0 { cx.task.pid() } else { pid };
    let tree = cx.task.kernel.tasks.lock();
    let pid = tree.thread(pid).map_or(pid, |thread| thread.pid());
    Ok(tree.process(pid).ok_or(Errno::ESRCH)?.pgid)
}

/// getsid(2).
pub fn getsid(cx: &mut ThreadCx, pid: i32) -> SysResult<Pid> {
    let pid = if pid == 0 { cx.task.pid() } else { pid };
    let tree = cx.task.kernel.tasks.lock();
    let pid = tree.thread(pid).map_or(pid, |thread| thread.pid());
    Ok(tree.process(pid).ok_or(Errno::ESRCH)?.sid)
}

/// setpgid(2).
pub fn setpgid(cx: &mut ThreadCx, pid: i32, pgid: i32) -> SysResult<()> {
    let me = cx.task.pid();
    let pid = if pid == 0 { me } else { pid };
    let pgid = if pgid == 0 { pid } else { pgid };
    if pgid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut tree = cx.task.kernel.tasks.lock();
    if tree.process(pid).is_none() && tree.thread(pid).is_some() {
        return Err(Errno::EINVAL.into());
    }
    let target = tree.process(pid).ok_or(Errno::ESRCH)?;
    let my_sid = tree.process(me).ok_or(Errno::ESRCH)?.sid;
    if target.parent == me {
        if target.sid != my_sid {
            return Err(Errno::EPERM.into());
        }
        if target.group.has_execed.load(Ordering::Relaxed) {
            return Err(Errno::EACCES.into());
        }
    } else if pid != me {
        return Err(Errno::ESRCH.into());
    }
    if target.sid == pid {
        return Err(Errno::EPERM.into());
    }
    if pgid != pid && !tree.group_members(pgid).any(|(_, member)| member.sid == my_sid) {
        return Err(Errno::EPERM.into());
    }
    tree.set_group(pid, pgid);
    Ok(())
}

/// setsid(2).
pub fn setsid(cx: &mut ThreadCx) -> SysResult<Pid> {
    let me = cx.task.pid();
    let mut tree = cx.task.kernel.tasks.lock();
    if tree.group_members(me).next().is_some() {
        return Err(Errno::EPERM.into());
    }
    tree.start_session(me);
    Ok(me)
}

/// uname(2).
pub fn uname(cx: &mut ThreadCx, buf: UserAddr) -> SysResult<()> {
    const FIELD: usize = 65;
    let uts = cx.task.kernel.uts.read().clone();
    let mut bytes = [0; 6 * FIELD];
    let fields: [&[u8]; 6] =
        [b"Linux", &uts.hostname, RELEASE.as_bytes(), VERSION.as_bytes(), b"x86_64", &uts.domainname];
    for (slot, value) in bytes.chunks_exact_mut(FIELD).zip(fields) {
        for (to, from) in slot.iter_mut().take(FIELD - 1).zip(value) {
            *to = *from;
        }
    }
    Ok(cx.write_bytes(buf, &bytes)?)
}

fn new_name(cx: &mut ThreadCx, name: UserAddr, len: i32) -> SysResult<Vec<u8>> {
    if !cx.task.capable(Caps::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    let len = usize::try_from(len).ok().filter(|len| *len <= 64).ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; len];
    cx.read_bytes(name, &mut bytes)?;
    Ok(bytes)
}

/// sethostname(2).
pub fn sethostname(cx: &mut ThreadCx, name: UserAddr, len: i32) -> SysResult<()> {
    let name = new_name(cx, name, len)?;
    cx.task.kernel.uts.write().hostname = name;
    Ok(())
}

/// setdomainname(2).
pub fn setdomainname(cx: &mut ThreadCx, name: UserAddr, len: i32) -> SysResult<()> {
    let name = new_name(cx, name, len)?;
    cx.task.kernel.uts.write().domainname = name;
    Ok(())
}

/// unshare(2): what can be unshared without namespaces.
pub fn unshare(cx: &mut ThreadCx, flags: u64) -> SysResult<()> {
    use crate::task::clone::{
        CLONE_FILES, CLONE_FS, CLONE_NAMESPACES, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM,
    };
    let known =
        CLONE_FILES | CLONE_FS | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NAMESPACES;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let shared = cx.task.kernel.tasks.lock().threads_of(cx.task.pid()).len() > 1;
    if flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) != 0 && shared {
        return Err(Errno::EINVAL.into());
    }
    if flags & CLONE_NAMESPACES != 0 {
        let privileged = cx.task.capable(Caps::SYS_ADMIN);
        return Err(if privileged { Errno::EINVAL } else { Errno::EPERM }.into());
    }
    if flags & CLONE_SYSVSEM != 0 {
        crate::ipc::sem::end_undo(&cx.task);
    }
    if flags & CLONE_FILES != 0 {
        let files = cx.task.files()?.duplicate();
        cx.task.set_files(Some(files));
    }
    if flags & CLONE_FS != 0 {
        let fs = cx.task.fs().duplicate();
        cx.task.set_fs(fs);
    }
    Ok(())
}

/// setns(2): there are no namespaces to enter.
pub fn setns(cx: &mut ThreadCx, fd: i32, _kind: u32) -> SysResult<()> {
    let file = cx.task.file(fd)?;
    drop(Arc::clone(&file));
    Err(Errno::EINVAL.into())
}
