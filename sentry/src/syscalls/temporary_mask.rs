//! The signal mask that ppoll, pselect6, epoll_pwait and sigsuspend put in force for their own duration.

use linux_abi::{Errno, Result, UserAddr};

use crate::{
    signal::{SigSet, UNBLOCKABLE},
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
    let mask = SigSet(cx.read_obj::<u64>(mask)?).without(UNBLOCKABLE);
    let group = cx.task.group.signals.lock();
    let mut own = cx.task.signals.lock();
    own.saved_mask = Some(own.blocked);
    own.blocked = mask;
    let deliverable = own.pending.set().union(group.pending.set()).without(mask);
    drop(own);
    drop(group);
    if !deliverable.is_empty() {
        cx.task.set_signal_pending(true);
    }
    Ok(())
}

/// Ends it, unless a signal interrupted the call: then the handler runs under the temporary mask and its frame restores
/// the old one (`restore_saved_sigmask_unless`).
pub(super) fn restore_unless(task: &Task, interrupted: bool) {
    if interrupted {
        return;
    }
    let group = task.group.signals.lock();
    let mut own = task.signals.lock();
    if let Some(mask) = own.saved_mask.take() {
        own.blocked = mask;
        let deliverable = own.pending.set().union(group.pending.set()).without(mask);
        drop(own);
        drop(group);
        if !deliverable.is_empty() {
            task.set_signal_pending(true);
        }
    }
}
