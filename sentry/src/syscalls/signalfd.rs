//! signalfd(2).

use linux_abi::{
    Errno, Result, UserAddr,
    event::{SFD_CLOEXEC, SFD_NONBLOCK},
};

use crate::{
    fs::types::signalfd::SignalFd,
    signal::{SigSet, UNBLOCKABLE},
    task::{ThreadCx, usermem::UserMemory},
};

/// signalfd(2) of old.
pub fn signalfd(cx: &mut ThreadCx, fd: i32, mask: UserAddr, size: usize) -> Result<i32> {
    signalfd4(cx, fd, mask, size, 0)
}

/// signalfd4(2), which is what signalfd(3) calls: makes one, or gives the one at `fd` another set.
pub fn signalfd4(cx: &mut ThreadCx, fd: i32, mask: UserAddr, size: usize, flags: u32) -> Result<i32> {
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = SigSet(cx.read_obj::<u64>(mask)?).without(UNBLOCKABLE);
    if flags & !(SFD_CLOEXEC | SFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    if fd == -1 {
        return cx.task.install(SignalFd::open(mask, flags), flags & SFD_CLOEXEC != 0);
    }
    let file = cx.task.file(fd)?;
    file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?.set_mask(mask);
    Ok(fd)
}
