//! Restartable sequences (rseq(2)).
//!
//! A critical section must be aborted whenever its thread is preempted, and preemption is the host's doing: so the area is
//! registered with the host, through the platform, or not at all ([`platform::Context::set_rseq`]). What is left to the
//! sentry is the signal frame: a handler must not interrupt a critical section either.

use linux_abi::{Result, UserAddr};

use super::{ThreadCx, usermem::UserMemory};

/// Offset of `rseq_cs` in `struct rseq`.
const RSEQ_CS: u64 = 8;

/// If the thread is in a critical section, moves it to the section's abort handler (`rseq_ip_fixup`). Called before a
/// signal frame is made.
pub fn abort_critical_section(cx: &mut ThreadCx) {
    let Some(rseq) = *cx.task.rseq.lock() else { return };
    // What cannot be read or does not make sense is left alone: the host kills for it when it looks.
    let _ = abort(cx, rseq.addr, rseq.signature);
}

fn abort(cx: &mut ThreadCx, area: u64, signature: u32) -> Result<()> {
    let pointer = UserAddr(area).wrapping_add(RSEQ_CS);
    let descriptor: u64 = cx.read_obj(pointer)?;
    if descriptor == 0 {
        return Ok(());
    }
    // version and flags, start_ip, post_commit_offset, abort_ip.
    let [_, start, length, abort_ip] = cx.read_obj::<[u64; 4]>(UserAddr(descriptor))?;
    cx.write_obj(pointer, &0u64)?;
    if cx.registers().rip.wrapping_sub(start) < length {
        let found: u32 = cx.read_obj(UserAddr(abort_ip.wrapping_sub(4)))?;
        if found == signature {
            cx.registers().rip = abort_ip;
        }
    }
    Ok(())
}
