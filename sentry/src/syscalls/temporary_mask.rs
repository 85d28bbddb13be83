//! The signal mask that ppoll, pselect6, epoll_pwait and sigsuspend put in force for their own duration.

use std::sync::Arc;

use linux_abi::{Errno, Result, UserAddr};

use crate::{
    signal::SigSet,
    task::{Task, ThreadCx, usermem::UserMemory},
};

/// Puts the mask at `mask` in force, if there is one (`set_user_sigmask`).
///
/// # Errors
/// `EINVAL` for a size other than 8, `EFAULT`.
pub(super) fn set(cx: &mut ThreadCx, mask: UserAddr, size: usize) -> Result<()> {
    if mask.is_null() {
        return Ok(());
    }
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = SigSet(cx.read_obj::<u64>(mask)?);
    let before = cx.task.blocked();
    cx.task.signals.lock().saved_mask = Some(before);
    cx.task.set_blocked(mask);
    Ok(())
}

/// Ends it, unless a signal interrupted the call: then the handler runs under the temporary mask and its frame restores
/// the old one (`restore_saved_sigmask_unless`).
pub(super) fn restore_unless(task: &Arc<Task>, interrupted: bool) {
    if interrupted {
        return;
    }
    let saved = task.signals.lock().saved_mask.take();
    if let Some(mask) = saved {
        task.set_blocked(mask);
    }
}
