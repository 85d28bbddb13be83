//! rseq(2).

use linux_abi::{Errno, Result, UserAddr};

use crate::task::{Rseq, ThreadCx};

use linux_abi::system::RSEQ_FLAG_UNREGISTER;

/// The size of the first `struct rseq`, and the least there may be.
const ORIGINAL_SIZE: u32 = 32;

/// rseq(2). `ENOSYS` on platforms that cannot have the host watch the area: programs then do without.
pub fn rseq(cx: &mut ThreadCx, area: UserAddr, len: u32, flags: u32, signature: u32) -> Result<()> {
    let current = *cx.task.rseq.lock();
    if flags & RSEQ_FLAG_UNREGISTER != 0 {
        if flags != RSEQ_FLAG_UNREGISTER {
            return Err(Errno::EINVAL);
        }
        let registered = current.filter(|r| r.addr == area.0 && r.len == len).ok_or(Errno::EINVAL)?;
        if registered.signature != signature {
            return Err(Errno::EPERM);
        }
        cx.context.set_rseq(None)?;
        *cx.task.rseq.lock() = None;
        return Ok(());
    }
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    if let Some(registered) = current {
        return Err(match registered {
            r if r.addr != area.0 || r.len != len => Errno::EINVAL,
            r if r.signature != signature => Errno::EPERM,
            _ => Errno::EBUSY,
        });
    }
    if len < ORIGINAL_SIZE || !area.0.is_multiple_of(u64::from(ORIGINAL_SIZE)) {
        return Err(Errno::EINVAL);
    }
    cx.context.set_rseq(Some((area, len, signature)))?;
    *cx.task.rseq.lock() = Some(Rseq { addr: area.0, len, signature });
    Ok(())
}
