//! Futexes.
use super::ThreadCx;
use crate::mm::Mm;

/// Marks the robust futexes of an ending thread as left by a dead owner.
pub(crate) fn exit_robust_list(_cx: &mut ThreadCx) {}

/// Wakes up to `count` waiters on the word at `addr`.
pub(crate) fn wake_address(_mm: &Mm, _addr: u64, _count: u32) {}
