//! kcmp(2): whether two processes share an object.

use std::{cmp::Ordering, sync::Arc};

use linux_abi::{Errno, Result, UserAddr};

use super::memory::check_access;
use crate::{
    fs::{file::File, types::epoll::Epoll},
    task::{Task, ThreadCx, usermem::UserMemory},
};

use linux_abi::system::{
    KCMP_EPOLL_TFD, KCMP_FILE, KCMP_FILES, KCMP_FS, KCMP_IO, KCMP_SIGHAND, KCMP_SYSVSEM, KCMP_VM,
};

/// kcmp(2): 0 for the same, 1 and 2 for an order that means nothing.
pub fn kcmp(cx: &mut ThreadCx, pid1: i32, pid2: i32, kind: i32, idx1: u64, idx2: u64) -> Result<u64> {
    let (first, second) = {
        let tree = cx.task.kernel.tasks.lock();
        let find = |pid| tree.thread(pid).cloned().ok_or(Errno::ESRCH);
        (find(pid1)?, find(pid2)?)
    };
    check_access(&cx.task, &first)?;
    check_access(&cx.task, &second)?;
    let order = match kind {
        KCMP_FILE => file(&first, idx1)?.id().cmp(&file(&second, idx2)?.id()),
        KCMP_VM => mm(&first).cmp(&mm(&second)),
        KCMP_FILES => files(&first).cmp(&files(&second)),
        KCMP_FS => cookie(cx, &Arc::as_ptr(&first.fs())).cmp(&cookie(cx, &Arc::as_ptr(&second.fs()))),
        KCMP_SIGHAND => {
            let of = |task: &Task| cookie(cx, &Arc::as_ptr(&task.group.handlers.read()));
            of(&first).cmp(&of(&second))
        }
        // Nobody has an input/output context, and undo lists are found by other means.
        KCMP_IO | KCMP_SYSVSEM => Ordering::Equal,
        KCMP_EPOLL_TFD => {
            let [epoll, fd, nth]: [u32; 3] = cx.read_obj(UserAddr(idx2))?;
            let wanted = file(&first, idx1)?;
            let epoll = file(&second, u64::from(epoll))?;
            let watched = epoll.downcast::<Epoll>().ok_or(Errno::EINVAL)?.watched(fd.cast_signed(), nth)?;
            wanted.id().cmp(&watched)
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(match order {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    })
}

fn file(task: &Task, fd: u64) -> Result<Arc<File>> {
    let fd = i32::try_from(fd & 0xffff_ffff).map_err(|_| Errno::EBADF)?;
    task.file_or_path(fd).map_err(|_| Errno::EBADF)
}

fn mm(task: &Task) -> Option<u64> {
    task.mm().ok().map(|mm| mm.id())
}

fn files(task: &Task) -> Option<u64> {
    task.files().ok().map(|files| files.id())
}

/// Stands for an address of the sentry's without telling it.
fn cookie<T>(cx: &ThreadCx, at: &*const T) -> u64 {
    use std::hash::BuildHasher;
    cx.task.kernel.secret.hash_one(at.addr())
}
