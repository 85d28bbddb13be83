//! eventfd(2).

use linux_abi::{
    Errno, Result,
    event::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE},
};

use crate::{fs::types::eventfd::EventFd, task::ThreadCx};

/// eventfd(2) of old.
pub fn eventfd(cx: &mut ThreadCx, count: u32) -> Result<i32> {
    eventfd2(cx, count, 0)
}

/// eventfd2(2), which is what eventfd(3) calls.
pub fn eventfd2(cx: &mut ThreadCx, count: u32, flags: u32) -> Result<i32> {
    if flags & !(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    cx.task.install(EventFd::open(count, flags), flags & EFD_CLOEXEC != 0)
}
