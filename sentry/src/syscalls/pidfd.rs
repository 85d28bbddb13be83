//! pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).

use std::sync::Arc;

use linux_abi::{Errno, UserAddr};

use crate::{
    error::SysResult,
    fs::{file::File, types::pidfd::PidFd},
    signal::info::{SI_TKILL, SI_USER, SigInfo},
    task::{ThreadCx, usermem::UserMemory},
};

const PIDFD_NONBLOCK: u32 = linux_abi::fcntl::O_NONBLOCK;

/// pidfd_open(2).
pub fn pidfd_open(cx: &mut ThreadCx, pid: i32, flags: u32) -> SysResult<i32> {
    if flags & !PIDFD_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = {
        let tree = cx.task.kernel.tasks.lock();
        match tree.process(pid) {
            Some(process) => Arc::clone(&process.group),
            // A thread that leads no process (`PIDFD_THREAD` is not supported).
            None if tree.thread(pid).is_some() => return Err(Errno::EINVAL.into()),
            None => return Err(Errno::ESRCH.into()),
        }
    };
    let file = File::anonymous(Box::new(PidFd::new(&cx.task, group)), 2 | (flags & PIDFD_NONBLOCK));
    Ok(cx.task.install(file, true)?)
}

/// pidfd_send_signal(2).
pub fn pidfd_send_signal(
    cx: &mut ThreadCx,
    pidfd: i32,
    signo: i32,
    info: UserAddr,
    flags: u32,
) -> SysResult<()> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.file(pidfd)?;
    let target = file.downcast::<PidFd>().ok_or(Errno::EBADF)?.group()?;
    let info = if info.is_null() {
        SigInfo::user(signo, SI_USER, cx.task.pid(), cx.task.creds().ruid)
    } else {
        let mut bytes = [0; 128];
        cx.read_bytes(info, &mut bytes)?;
        let info = SigInfo::from_bytes(&bytes);
        if info.signo != signo {
            return Err(Errno::EINVAL.into());
        }
        if (info.code >= 0 || info.code == SI_TKILL) && target.pid != cx.task.pid() {
            return Err(Errno::EPERM.into());
        }
        info
    };
    Ok(super::signal::kill_process(&cx.task, target.pid, info)?)
}

/// pidfd_getfd(2).
pub fn pidfd_getfd(cx: &mut ThreadCx, pidfd: i32, target_fd: i32, flags: u32) -> SysResult<i32> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = cx.task.file(pidfd)?;
    let group = file.downcast::<PidFd>().ok_or(Errno::EBADF)?.group()?;
    let target = cx.task.kernel.tasks.lock().threads_of(group.pid).into_iter().next().ok_or(Errno::ESRCH)?;
    super::memory::check_access(&cx.task, &target)?;
    let taken = target.file_or_path(target_fd)?;
    Ok(cx.task.install(taken, true)?)
}
