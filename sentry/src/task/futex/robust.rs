//! Robust futexes: what becomes of the locks of a thread that ends (`exit_robust_list` in `kernel/futex/core.c`).

use linux_abi::{
    Errno, Result, UserAddr,
    futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, RobustListHead},
};

use super::{
    pi::{UserWord, Word, update},
    wake_address,
};
use crate::task::{ThreadCx, usermem::UserMemory};

/// The most entries that are looked at (`ROBUST_LIST_LIMIT`): the list is the guest's and may be circular.
const LIMIT: usize = 2048;

/// Marks the locks of an ending (or execing) thread: those on its robust list and the PI futexes others wait for. The
/// thread's memory must still be there.
pub fn exit_robust_list(cx: &mut ThreadCx) {
    let head = cx.task.robust_list();
    cx.task.set_robust_list(0);
    // Nobody can wait for a lock in memory that goes.
    if head != 0 && cx.task.mm().is_ok_and(|mm| mm.is_seen_by_others()) {
        // A list that cannot be read ends there, as in Linux.
        let _ = walk(cx, head);
    }
    cx.task.kernel.futexes.owner_ended(cx.task.tid());
}

fn walk(cx: &mut ThreadCx, head_addr: u64) -> Result<()> {
    let head: RobustListHead = cx.read_obj(UserAddr(head_addr))?;
    // Bit 0 of a pointer says that the lock is a PI futex.
    let pending = head.pending & !1;
    let mut entry = head.next;
    for _ in 0..LIMIT {
        let at = entry & !1;
        if at == head_addr {
            break;
        }
        let next: Result<u64> = cx.read_obj(UserAddr(at));
        if at != pending {
            owner_died(cx, at.wrapping_add_signed(head.futex_offset), entry & 1 != 0, false)?;
        }
        entry = next?;
    }
    if pending != 0 {
        let addr = pending.wrapping_add_signed(head.futex_offset);
        owner_died(cx, addr, head.pending & 1 != 0, true)?;
    }
    Ok(())
}

/// `handle_futex_death`.
fn owner_died(cx: &mut ThreadCx, addr: u64, pi: bool, pending: bool) -> Result<()> {
    if !addr.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let tid = cx.task.tid().cast_unsigned() & FUTEX_TID_MASK;
    let mut word = UserWord { context: &mut *cx.context, addr: UserAddr(addr) };
    let value = word.load()?;
    if pending && !pi && value & FUTEX_TID_MASK == 0 {
        // It ended between unlocking and waking.
        wake_address(&cx.task, addr, 1);
        return Ok(());
    }
    let marked = update(&mut word, |value| {
        if value & FUTEX_TID_MASK == tid {
            Ok(value & FUTEX_WAITERS | FUTEX_OWNER_DIED)
        } else {
            Err(Errno::EPERM)
        }
    });
    match marked {
        Ok(value) if !pi && value & FUTEX_WAITERS != 0 => wake_address(&cx.task, addr, 1),
        // Not this thread's lock.
        Ok(_) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    Ok(())
}
