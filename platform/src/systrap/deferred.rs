//! Changes to an address space that wait for the next hand-over.
//!
//! A hand-over costs more than the change itself, and a guest that maps memory is about to be resumed anyway. So the changes
//! of a call are kept, and run by the shim right before it returns to the guest. If one fails, the shim does not return, and
//! the sentry hears of it instead of the next trap ([`crate::Trap::Refused`]).
//!
//! Each thread keeps its own changes. Others may see the memory as it was until the thread that changes it runs, as if it had
//! asked a little later; what must not happen meanwhile is said at [`crate::Context`].

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    birth::FIRST,
    copies::WRITES_MAX,
    layout::slot,
    ops::{Op, Results},
    patch::PATCH_MAX,
};
use crate::Errno;

/// The most that a thread keeps.
pub(super) const MAX: usize = 28;
/// So much room must be left for patches to go with them.
pub(super) const SPARE: usize = 11;
/// Larger mappings may be refused by the host (`overcommit_memory` 0 refuses what is larger than all memory).
pub(super) const MAX_LEN: u64 = 64 << 20;
/// With more mappings the host may refuse another (`vm.max_map_count`, 65530).
const MANY_MAPPINGS: u32 = 50_000;

const _: () = assert!(MAX + WRITES_MAX <= slot::OPS_MAX, "writes go with them");
const _: () =
    assert!(MAX - SPARE + WRITES_MAX + PATCH_MAX <= slot::OPS_MAX, "patches do where there is room");

/// What one thread keeps.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    ops: Vec<Op>,
    /// A file was sent to the stub for them.
    file: bool,
}

impl Deferred {
    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub(super) fn has_room(&self, count: usize) -> bool {
        self.ops.len() + count <= MAX
    }

    /// Keeps an operation, after which the others are not to be run if it fails.
    pub(super) fn push(&mut self, op: Op) {
        self.ops.push(op.or_stop());
    }

    /// Keeps operations of which the first receives a file and the last closes it.
    pub(super) fn push_with_file(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.file = true;
        self.ops.extend(ops.into_iter().map(Op::or_stop));
    }

    /// Moves the operations to the end of `list`; returns where they are.
    pub(super) fn append_to(&mut self, list: &mut Vec<Op>) -> Range<usize> {
        let start = list.len();
        list.append(&mut self.ops);
        start..list.len()
    }

    /// Which of the operations that were at `range` of a list has failed, if one has. What it leaves behind is cleaned up with the
    /// next list.
    pub(super) fn failed(&mut self, results: &Results, range: Range<usize>) -> Option<Errno> {
        let errno = range.clone().find_map(|index| results.get(index).err());
        let file = std::mem::take(&mut self.file);
        if errno.is_some() && file {
            // Not or_stop: it may never have arrived.
            self.ops.push(Op::close(FIRST));
        }
        errno
    }
}

/// How many mappings a process may have on the host: never less than it has.
#[derive(Debug, Default)]
pub(super) struct Mappings(AtomicU32);

impl Mappings {
    /// For a copy of an address space.
    pub(super) fn inherited(&self) -> Mappings {
        Mappings(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }

    /// Counts a change: it splits two mappings at most.
    pub(super) fn count_change(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(2));
    }

    /// The address space is empty.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether the host may refuse more.
    pub(super) fn are_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MANY_MAPPINGS
    }
}
