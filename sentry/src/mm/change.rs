//! Changes to existing mappings: mprotect(2), mremap(2), madvise(2), mlock(2), msync(2), mincore(2).

use linux_abi::{Errno, PAGE_SIZE, PageRange, Result, UserAddr};
use platform::{Context, Prot};

use super::{
    MAX_MAP_COUNT, Mm,
    map::{Caller, MAP_FIXED},
    map_errno,
    pending::Undo,
    policy::MemoryPolicy,
    vma::{Backing, VmaFlags},
};
use crate::limits::{RLIMIT_AS, RLIMIT_MEMLOCK};

pub const MREMAP_MAYMOVE: u32 = 1;
pub const MREMAP_FIXED: u32 = 2;
pub const MREMAP_DONTUNMAP: u32 = 4;

pub const PROT_GROWSDOWN: u32 = 0x0100_0000;
pub const PROT_GROWSUP: u32 = 0x0200_0000;

pub use linux_abi::mman::{
    MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED, MADV_FREE, MADV_KEEPONFORK,
    MADV_MERGEABLE, MADV_REMOVE, MADV_UNMERGEABLE, MADV_WIPEONFORK,
};

impl Mm {
    /// mprotect(2). `prot` holds the raw argument.
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM` for holes (what precedes the first hole is changed, as in Linux), `EACCES`.
    pub fn mprotect(&self, context: &mut dyn Context, addr: u64, len: u64, prot: u32) -> Result<()> {
        let grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
        if grows == PROT_GROWSDOWN | PROT_GROWSUP || !UserAddr(addr).is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let mut range =
            PageRange::covering(addr, len).filter(|range| !range.is_empty()).ok_or(Errno::ENOMEM)?;
        let prot = prot & !(PROT_GROWSDOWN | PROT_GROWSUP);
        if prot & !7 != 0 && prot & !0xf != 0 {
            return Err(Errno::EINVAL);
        }
        let prot = Prot(prot & 7);
        let mut state = self.state.lock();
        state.begin();
        let first = state.vmas.next_after(range.start()).ok_or(Errno::ENOMEM)?;
        if grows == PROT_GROWSDOWN {
            if first.range.start() >= range.end() {
                return Err(Errno::ENOMEM);
            }
            if !first.flags.contains(VmaFlags::GROWS_DOWN) {
                return Err(Errno::EINVAL);
            }
            range =
                PageRange::new(first.range.start().min(range.start()), range.end()).ok_or(Errno::EINVAL)?;
        } else if first.range.start() > range.start() {
            return Err(Errno::ENOMEM);
        } else if grows == PROT_GROWSUP {
            return Err(Errno::EINVAL);
        }
        if state.vmas.len() + 2 > MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        // Linux goes mapping by mapping: what precedes an error stays changed.
        let pieces: Vec<_> = state.vmas.overlapping(range).cloned().collect();
        let mut at = range.start();
        for vma in pieces {
            if vma.range.start() > at {
                return Err(Errno::ENOMEM);
            }
            if vma.flags.contains(VmaFlags::SEALED) || matches!(vma.backing, Backing::Special(_)) {
                return Err(Errno::EPERM);
            }
            if (prot.has(Prot::WRITE) && vma.flags.contains(VmaFlags::NO_WRITE))
                || (prot.has(Prot::EXEC) && vma.flags.contains(VmaFlags::NO_EXEC))
            {
                return Err(Errno::EACCES);
            }
            let Some(piece) = vma.range.intersection(range) else { continue };
            at = piece.end();
            if vma.prot == prot {
                continue;
            }
            context.protect(piece, prot).map_err(map_errno)?;
            if prot.has(Prot::EXEC) || vma.flags.contains(VmaFlags::SHARED) {
                // The host may say no: the file may be open for less there, or be on a mount without execution.
                context.finish().map_err(map_errno)?;
            }
            state.pending.changes(Undo::Protect(piece, vma.prot));
            state.vmas.update(piece, |vma| vma.prot = prot);
        }
        if at < range.end() { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// mremap(2).
    ///
    /// # Errors
    /// Those of mremap(2).
    pub fn mremap(
        &self,
        context: &mut dyn Context,
        caller: &Caller<'_>,
        (old_addr, old_len, new_len): (u64, u64, u64),
        flags: u32,
        new_addr: u64,
    ) -> Result<UserAddr> {
        let unknown = flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) != 0;
        if unknown || (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0 && flags & MREMAP_MAYMOVE == 0) {
            return Err(Errno::EINVAL);
        }
        let page_up = |len: u64| UserAddr(len).page_up().map(|len| len.0).ok_or(Errno::EINVAL);
        let (old_len, new_len) = (page_up(old_len)?, page_up(new_len)?);
        if (flags & MREMAP_DONTUNMAP != 0 && old_len != new_len)
            || !UserAddr(old_addr).is_page_aligned()
            || new_len == 0
        {
            return Err(Errno::EINVAL);
        }
        let old = PageRange::covering(old_addr, old_len).ok_or(Errno::EINVAL)?;
        let mut state = self.state.lock();
        state.begin();
        if flags & MREMAP_FIXED != 0 {
            let new = PageRange::covering(new_addr, new_len).ok_or(Errno::EINVAL)?;
            if new.end() > self.layout.usable.end() || new.overlaps(old) {
                return Err(Errno::EINVAL);
            }
        }
        let vma = state.vmas.find(old.start()).cloned().ok_or(Errno::EFAULT)?;
        if vma.flags.contains(VmaFlags::SEALED) {
            return Err(Errno::EPERM);
        }
        if matches!(vma.backing, Backing::Special(_)) {
            return Err(Errno::EINVAL);
        }
        if old_len == 0 {
            // A second mapping of the same shared pages.
            if !vma.flags.contains(VmaFlags::SHARED) || flags & MREMAP_MAYMOVE == 0 {
                return Err(Errno::EINVAL);
            }
            let fixed = if flags & MREMAP_FIXED != 0 { MAP_FIXED } else { 0 };
            let range = self.place(&state, new_addr, new_len, fixed)?;
            let mut copy = vma.clone();
            copy.backing = vma.backing.advanced(old.start() - vma.range.start());
            copy.range = range;
            let copy = super::map::establish(context, copy)?;
            state.vmas.remove(range);
            state.vmas.insert(copy);
            return Ok(UserAddr(range.start()));
        }
        // Shrinking may span several mappings; everything else must lie within one.
        if old.end() > vma.range.end()
            && (new_len > old_len || flags & MREMAP_FIXED != 0 || !state.vmas.covers(old))
        {
            return Err(Errno::EFAULT);
        }
        if new_len > old_len {
            let space = caller.limits.soft(RLIMIT_AS);
            let total: u64 = state.vmas.iter().map(|v| v.range.len()).sum();
            if space != u64::MAX && total.saturating_add(new_len - old_len) > space {
                return Err(Errno::ENOMEM);
            }
        }
        if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) == 0 {
            if new_len <= old_len {
                let tail = PageRange::new(old.start() + new_len, old.end()).ok_or(Errno::EINVAL)?;
                if !tail.is_empty() {
                    self.unmap_locked(&mut state, context, tail)?;
                }
                return Ok(UserAddr(old.start()));
            }
            // Grow in place where there is room.
            if old.end() == vma.range.end()
                && let Some(tail) = PageRange::covering(old.end(), new_len - old_len)
                && tail.end() <= self.layout.usable.end()
                && state.vmas.overlapping(tail).next().is_none()
                && state.pending.freed_in(tail).is_none()
                && !self.layout.reserved.iter().any(|reserved| reserved.overlaps(tail))
            {
                let mut grown = vma.clone();
                grown.backing = vma.backing.advanced(vma.range.len());
                grown.range = tail;
                let grown = super::map::establish(context, grown)?;
                state.vmas.insert(grown);
                return Ok(UserAddr(old.start()));
            }
            if flags & MREMAP_MAYMOVE == 0 {
                return Err(Errno::ENOMEM);
            }
        }
        let fixed = if flags & MREMAP_FIXED != 0 { MAP_FIXED } else { 0 };
        let new = self.place(&state, new_addr, new_len, fixed)?;
        if fixed != 0 {
            self.unmap_locked(&mut state, context, new)?;
        }
        // The part of the old mapping that survives moves; a longer new mapping continues the same backing.
        let moved_len = old_len.min(new_len);
        let from = PageRange::new(old.start(), old.start() + moved_len).ok_or(Errno::EINVAL)?;
        let to = PageRange::new(new.start(), new.start() + moved_len).ok_or(Errno::EINVAL)?;
        let mut moved = vma.clone();
        moved.backing = vma.backing.advanced(old.start() - vma.range.start());
        moved.range = to;
        context.remap(from, to).map_err(map_errno)?;
        state.vmas.remove(from);
        if new_len > moved_len {
            let mut tail = moved.clone();
            tail.backing = moved.backing.advanced(moved_len);
            tail.range = PageRange::new(to.end(), new.end()).ok_or(Errno::EINVAL)?;
            let tail = super::map::establish(context, tail)?;
            state.vmas.insert(tail);
        }
        let name = moved.name.clone();
        state.vmas.insert(moved);
        if old_len > moved_len {
            let rest = PageRange::new(from.end(), old.end()).ok_or(Errno::EINVAL)?;
            self.unmap_locked(&mut state, context, rest)?;
        }
        if flags & MREMAP_DONTUNMAP != 0 {
            let mut left = vma;
            left.backing = left.backing.advanced(from.start() - left.range.start());
            left.range = from;
            left.name = name;
            let left = super::map::establish(context, left)?;
            state.vmas.insert(left);
        }
        Ok(UserAddr(new.start()))
    }

    /// madvise(2).
    ///
    /// # Errors
    /// `EINVAL` for a bad range or unknown advice; `ENOMEM` for holes, after the rest was advised.
    pub fn madvise(&self, context: &mut dyn Context, addr: u64, len: u64, advice: i32) -> Result<()> {
        if !matches!(advice, 0..=4 | 8..=23 | 25 | 26 | 100 | 101 | 102 | 103) {
            return Err(Errno::EINVAL);
        }
        if !UserAddr(addr).is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let rounded = UserAddr(len).page_up().ok_or(Errno::EINVAL)?.0;
        let range = PageRange::covering(addr, rounded).ok_or(Errno::EINVAL)?;
        if matches!(advice, 100 | 101) {
            return Err(Errno::EPERM);
        }
        if range.is_empty() {
            return Ok(());
        }
        let mut state = self.state.lock();
        state.begin();
        let pieces: Vec<_> = state.vmas.overlapping(range).cloned().collect();
        for vma in &pieces {
            let Some(piece) = vma.range.intersection(range) else { continue };
            let anonymous_private = matches!(vma.backing, Backing::Anonymous);
            match advice {
                MADV_DONTNEED | 24 if vma.flags.contains(VmaFlags::LOCKED) => return Err(Errno::EINVAL),
                MADV_FREE | MADV_WIPEONFORK if !anonymous_private => return Err(Errno::EINVAL),
                MADV_REMOVE if vma.flags.contains(VmaFlags::LOCKED) => return Err(Errno::EINVAL),
                MADV_REMOVE if !vma.flags.contains(VmaFlags::SHARED) || !vma.prot.has(Prot::WRITE) => {
                    return Err(Errno::EACCES);
                }
                _ => {}
            }
            // Advice that changes what the pages hold or how fork treats them must reach the host; read-ahead and
            // merging hints must not: they cost time and mean nothing here.
            let to_host = matches!(
                advice,
                MADV_DONTNEED
                    | MADV_FREE
                    | MADV_REMOVE
                    | MADV_DONTFORK
                    | MADV_DOFORK
                    | 14
                    | 15
                    | MADV_WIPEONFORK
                    | MADV_KEEPONFORK
                    | 22
                    | 23
                    | 20
                    | 21
                    | 25
            );
            if to_host && !matches!(vma.backing, Backing::Special(_)) {
                context.advise(piece, advice).map_err(map_errno)?;
            }
            let (flag, on) = match advice {
                MADV_DONTFORK => (VmaFlags::DONT_FORK, true),
                MADV_DOFORK => (VmaFlags::DONT_FORK, false),
                MADV_WIPEONFORK => (VmaFlags::WIPE_ON_FORK, true),
                MADV_KEEPONFORK => (VmaFlags::WIPE_ON_FORK, false),
                MADV_DONTDUMP => (VmaFlags::DONT_DUMP, true),
                MADV_DODUMP => (VmaFlags::DONT_DUMP, false),
                _ => continue,
            };
            state.vmas.update(piece, |vma| vma.flags.set(flag, on));
        }
        if state.vmas.covers(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// mlock(2) and munlock(2): only the bookkeeping. Guest memory is not pinned: the sandbox has no such right.
    ///
    /// # Errors
    /// `ENOMEM` for holes or above `RLIMIT_MEMLOCK`, `EPERM` when that is zero.
    pub fn mlock(&self, caller: &Caller<'_>, addr: u64, len: u64, on: bool) -> Result<()> {
        let start = addr & !(PAGE_SIZE - 1);
        // As Linux rounds: what is longer than the address space may come to nothing.
        let len = len.wrapping_add(addr - start).wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
        let range = PageRange::covering(start, len).ok_or(Errno::EINVAL)?;
        let mut state = self.state.lock();
        if on {
            let limit = caller.limits.soft(RLIMIT_MEMLOCK);
            let privileged = caller.caps.contains(crate::credentials::Caps::IPC_LOCK);
            if limit == 0 && !privileged {
                return Err(Errno::EPERM);
            }
            let locked: u64 = state
                .vmas
                .iter()
                .filter(|v| v.flags.contains(VmaFlags::LOCKED) && !v.range.overlaps(range))
                .map(|v| v.range.len())
                .sum();
            if locked.saturating_add(range.len()) > limit && !privileged {
                return Err(Errno::ENOMEM);
            }
        }
        if !state.vmas.covers(range) {
            return Err(Errno::ENOMEM);
        }
        state.vmas.update(range, |vma| vma.flags.set(VmaFlags::LOCKED, on));
        Ok(())
    }

    /// mlockall(2), munlockall(2).
    pub fn lock_all(&self, current: bool, future: bool) {
        let mut state = self.state.lock();
        state.lock_future = future;
        state.vmas.for_each_mut(|vma| vma.flags.set(VmaFlags::LOCKED, current));
    }

    /// Whether every page of the range is mapped (msync, mincore).
    pub fn is_mapped(&self, range: PageRange) -> bool {
        self.state.lock().vmas.covers(range)
    }

    /// mseal(2).
    ///
    /// # Errors
    /// `ENOMEM` for holes.
    pub fn mseal(&self, range: PageRange) -> Result<()> {
        let mut state = self.state.lock();
        if !state.vmas.covers(range) {
            return Err(Errno::ENOMEM);
        }
        state.vmas.update(range, |vma| vma.flags |= VmaFlags::SEALED);
        Ok(())
    }

    /// mbind(2).
    ///
    /// # Errors
    /// `EFAULT` for holes.
    pub fn set_memory_policy(&self, range: PageRange, policy: MemoryPolicy) -> Result<()> {
        let mut state = self.state.lock();
        if !state.vmas.covers(range) {
            return Err(Errno::EFAULT);
        }
        state.vmas.update(range, |vma| vma.policy = policy);
        Ok(())
    }

    /// The policy of the mapping at `addr`.
    ///
    /// # Errors
    /// `EFAULT` if there is none.
    pub fn memory_policy(&self, addr: u64) -> Result<MemoryPolicy> {
        self.state.lock().vmas.find(addr).map(|vma| vma.policy).ok_or(Errno::EFAULT)
    }

    /// The policies of the mappings in `range`.
    pub fn memory_policies(&self, range: PageRange) -> Vec<MemoryPolicy> {
        self.state.lock().vmas.overlapping(range).map(|vma| vma.policy).collect()
    }

    /// `PR_SET_VMA_ANON_NAME`.
    ///
    /// # Errors
    /// `ENOMEM` for holes, `EBADF` for file mappings.
    pub fn set_anon_name(&self, range: PageRange, name: Option<&str>) -> Result<()> {
        let name: Option<std::sync::Arc<str>> = name.map(Into::into);
        let mut state = self.state.lock();
        if state.vmas.overlapping(range).any(|vma| matches!(vma.backing, Backing::File { .. })) {
            return Err(Errno::EBADF);
        }
        if !state.vmas.covers(range) {
            return Err(Errno::ENOMEM);
        }
        state.vmas.update(range, |vma| vma.name.clone_from(&name));
        Ok(())
    }
}
