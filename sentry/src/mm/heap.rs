//! brk(2).

use linux_abi::{Errno, PageRange, Result, UserAddr};
use platform::{Backing as HostBacking, Context, Prot};

use super::{
    Mm, map_errno,
    pending::Undo,
    policy::MemoryPolicy,
    vma::{Backing, Vma, VmaFlags},
};
use crate::limits::{Limits, RLIMIT_AS, RLIMIT_DATA};

impl Mm {
    /// Where the heap of a new program starts.
    pub fn set_heap_start(&self, start: u64) {
        let mut state = self.state.lock();
        state.brk_start = start;
        state.brk = start;
    }

    /// brk(2) as the kernel has it: returns the break as it is afterwards, moved or not.
    pub fn brk(&self, context: &mut dyn Context, limits: &Limits, wanted: u64) -> u64 {
        let mut state = self.state.lock();
        state.begin();
        let old = state.brk;
        if wanted < state.brk_start || wanted == old {
            return old;
        }
        let (Some(old_end), Some(new_end)) = (UserAddr(old).page_up(), UserAddr(wanted).page_up()) else {
            return old;
        };
        let done = if new_end.0 <= old_end.0 {
            PageRange::new(new_end.0, old_end.0)
                .filter(|range| !range.is_empty())
                .map_or(Ok(()), |range| self.unmap_locked(&mut state, context, range))
        } else {
            self.grow_heap(&mut state, context, limits, (old_end.0, new_end.0), wanted)
        };
        if done.is_ok() {
            state.brk = wanted;
        }
        state.brk
    }

    fn grow_heap(
        &self,
        state: &mut super::State,
        context: &mut dyn Context,
        limits: &Limits,
        (start, end): (u64, u64),
        wanted: u64,
    ) -> Result<()> {
        if wanted - state.brk_start > limits.soft(RLIMIT_DATA) || end > self.layout.usable.end() {
            return Err(Errno::ENOMEM);
        }
        let space = limits.soft(RLIMIT_AS);
        if space != u64::MAX {
            let total: u64 = state.vmas.iter().map(|v| v.range.len()).sum();
            if total.saturating_add(end - start) > space {
                return Err(Errno::ENOMEM);
            }
        }
        let range = PageRange::new(start, end).ok_or(Errno::ENOMEM)?;
        let taken = state.vmas.overlapping(range).next().is_some() || state.pending.freed_in(range).is_some();
        if taken || self.layout.reserved.iter().any(|reserved| reserved.overlaps(range)) {
            return Err(Errno::ENOMEM);
        }
        let prot = Prot::READ.with(Prot::WRITE);
        context.map(range, HostBacking::Anonymous { no_reserve: false }, prot).map_err(map_errno)?;
        let old = state.brk;
        state.pending.changes(Undo::Break(old));
        state.pending.changes(Undo::Map(range));
        state.vmas.insert(Vma {
            range,
            prot,
            flags: VmaFlags::HEAP,
            backing: Backing::Anonymous,
            name: None,
            policy: MemoryPolicy::default(),
        });
        Ok(())
    }
}
