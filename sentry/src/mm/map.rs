//! mmap(2) and munmap(2): placement, checks in Linux's order, bookkeeping (`mm/mmap.c`).

use std::{os::fd::AsFd, sync::Arc};

use linux_abi::{Errno, PAGE_SIZE, PageRange, Result, UserAddr};
use platform::{Backing as HostBacking, Context, Piece, Prot};

use super::{
    MAX_MAP_COUNT, MMAP_MIN_ADDR, Mm, State, map_errno,
    pending::Undo,
    policy::MemoryPolicy,
    vma::{Backing, SharedMemory, Vma, VmaFlags},
};
use crate::{
    credentials::Caps,
    fs::file::{File, Mappable},
    limits::{Limits, RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK},
};

pub const MAP_SHARED: u32 = 1;
pub const MAP_PRIVATE: u32 = 2;
pub const MAP_SHARED_VALIDATE: u32 = 3;
pub const MAP_TYPE: u32 = 0xf;
pub const MAP_FIXED: u32 = 0x10;
pub const MAP_ANONYMOUS: u32 = 0x20;
pub const MAP_32BIT: u32 = 0x40;
pub const MAP_GROWSDOWN: u32 = 0x100;
pub const MAP_LOCKED: u32 = 0x2000;
pub const MAP_NORESERVE: u32 = 0x4000;
pub const MAP_POPULATE: u32 = 0x8000;
pub const MAP_STACK: u32 = 0x2_0000;
pub const MAP_HUGETLB: u32 = 0x4_0000;
pub const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;

/// Mappings that are whole huge pages are placed so that they can have some.
const HUGE_PAGE: u64 = 2 << 20;

/// The flags that `MAP_SHARED_VALIDATE` accepts (`LEGACY_MAP_MASK`).
const LEGACY_FLAGS: u32 = MAP_SHARED
    | MAP_PRIVATE
    | MAP_FIXED
    | MAP_ANONYMOUS
    | 0x0800
    | 0x1000
    | MAP_GROWSDOWN
    | MAP_LOCKED
    | MAP_NORESERVE
    | MAP_POPULATE
    | 0x1_0000
    | 0x2_0000
    | MAP_HUGETLB
    | MAP_32BIT
    | 0xfc00_0000;

/// An mmap(2) call, its file already found.
pub struct MapRequest<'a> {
    pub addr: u64,
    pub len: u64,
    pub prot: Prot,
    pub flags: u32,
    pub file: Option<&'a Arc<File>>,
    pub offset: u64,
    /// With `MAP_SHARED | MAP_ANONYMOUS`: this memory (shmat(2)) instead of new.
    pub memory: Option<&'a Arc<SharedMemory>>,
}

/// What limits the caller.
pub struct Caller<'a> {
    pub limits: &'a Limits,
    pub caps: Caps,
}

impl Mm {
    /// mmap(2) after its first checks (offset alignment, descriptor).
    ///
    /// # Errors
    /// Those of mmap(2), in the kernel's order.
    pub fn mmap(
        &self,
        context: &mut dyn Context,
        caller: &Caller<'_>,
        request: &MapRequest<'_>,
    ) -> Result<UserAddr> {
        let mut state = self.state.lock();
        state.begin();
        let vma = establish(context, self.prepare(&state, caller, request)?)?;
        let range = vma.range;
        if request.flags & MAP_POPULATE != 0 {
            context.finish().map_err(map_errno)?;
            // Best effort, as in Linux.
            let _ = context.advise(range, if request.prot.has(Prot::WRITE) { 23 } else { 22 });
        } else {
            state.pending.changes(Undo::Map(range));
        }
        state.vmas.remove(range);
        state.vmas.insert(vma);
        Ok(UserAddr(range.start()))
    }

    /// Makes several private mappings of one file, at fixed places, for execve. `pieces` are ranges with what they are to be and
    /// their offsets in the file; without, they are zero pages.
    ///
    /// # Errors
    /// Those of mmap(2). Some may have been made, and all must go.
    pub fn map_image(
        &self,
        context: &mut dyn Context,
        file: &Arc<File>,
        pieces: &[(u64, u64, Prot, Option<u64>)],
    ) -> Result<()> {
        let limits = Limits::unlimited();
        let caller = Caller { limits: &limits, caps: Caps::empty() };
        let mut state = self.state.lock();
        state.begin();
        let mut vmas = Vec::with_capacity(pieces.len());
        for &(addr, len, prot, offset) in pieces {
            let anonymous = if offset.is_none() { MAP_ANONYMOUS } else { 0 };
            let request = MapRequest {
                addr,
                len,
                prot,
                flags: MAP_PRIVATE | MAP_FIXED | anonymous,
                file: offset.map(|_| file),
                offset: offset.unwrap_or(0),
                memory: None,
            };
            vmas.push(self.prepare(&state, &caller, &request)?);
        }
        let mappable = file.ops().mappable(false)?;
        let fd = match &mappable {
            Mappable::Borrowed(fd) => Some(*fd),
            Mappable::Shared(fd) => Some(fd.as_fd()),
            Mappable::Anonymous => None,
        };
        if let Some(fd) = fd {
            let piece = |(vma, piece): (&Vma, &(u64, u64, Prot, Option<u64>))| Piece {
                range: vma.range,
                prot: vma.prot,
                offset: piece.3,
            };
            let pieces: Vec<Piece> = vmas.iter().zip(pieces).map(piece).collect();
            context.map_image(fd, &pieces).map_err(map_errno)?;
        } else {
            vmas = vmas.into_iter().map(|vma| establish(context, vma)).collect::<Result<_>>()?;
        }
        for vma in vmas {
            state.vmas.remove(vma.range);
            state.vmas.insert(vma);
        }
        Ok(())
    }

    /// The checks of mmap(2), and what it would make.
    fn prepare(&self, state: &State, caller: &Caller<'_>, request: &MapRequest<'_>) -> Result<Vma> {
        let mut flags = request.flags;
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        if flags & MAP_FIXED_NOREPLACE != 0 {
            flags |= MAP_FIXED;
        }
        let len = UserAddr(request.len).page_up().filter(|len| len.0 != 0).ok_or(Errno::ENOMEM)?.0;
        request.offset.checked_add(len).ok_or(Errno::EOVERFLOW)?;
        let hint = if flags & MAP_FIXED != 0 { request.addr } else { round_hint(request.addr) };
        if state.vmas.len() > MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        let range = self.place(state, hint, len, flags)?;
        if range.start() < MMAP_MIN_ADDR && !caller.caps.contains(Caps::SYS_RAWIO) {
            return Err(Errno::EPERM);
        }
        if flags & MAP_FIXED_NOREPLACE != 0 && state.vmas.overlapping(range).next().is_some() {
            return Err(Errno::EEXIST);
        }
        let mut vma_flags = check_type(request, flags)?;
        if flags & MAP_NORESERVE != 0 {
            vma_flags |= VmaFlags::NO_RESERVE;
        }
        if flags & MAP_GROWSDOWN != 0 {
            vma_flags |= VmaFlags::GROWS_DOWN;
        }
        if flags & MAP_LOCKED != 0 || state.lock_future {
            vma_flags |= VmaFlags::LOCKED;
        }
        if vma_flags.contains(VmaFlags::LOCKED) && !caller.caps.contains(Caps::IPC_LOCK) {
            let locked = |vma: &&Vma| vma.flags.contains(VmaFlags::LOCKED);
            let held: u64 = state.vmas.iter().filter(locked).map(|vma| vma.range.len()).sum();
            if held.saturating_add(len) > caller.limits.soft(RLIMIT_MEMLOCK) {
                return Err(Errno::EAGAIN);
            }
        }
        let backing = match request.file {
            Some(file) => Backing::File { file: Arc::clone(file), offset: request.offset },
            None if let Some(memory) = request.memory => {
                if !request.prot.has(Prot::WRITE) {
                    vma_flags |= VmaFlags::NO_WRITE;
                }
                Backing::SharedMemory { memory: Arc::clone(memory), offset: 0 }
            }
            None if vma_flags.contains(VmaFlags::SHARED) => {
                Backing::SharedMemory { memory: new_shared_memory(len)?, offset: 0 }
            }
            None => Backing::Anonymous,
        };
        let vma = Vma {
            range,
            prot: request.prot,
            flags: vma_flags,
            backing,
            name: None,
            policy: MemoryPolicy::default(),
        };
        check_limits(state, caller.limits, &vma)?;
        if state.vmas.len_after_replacing(range) > MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        if state.vmas.overlapping(range).any(|old| old.flags.contains(VmaFlags::SEALED)) {
            return Err(Errno::EPERM);
        }
        Ok(vma)
    }

    /// munmap(2).
    ///
    /// # Errors
    /// `EINVAL` for a bad range; `ENOMEM` if a split would exceed the number of mappings; `EPERM` if sealed.
    pub fn munmap(&self, context: &mut dyn Context, addr: u64, len: u64) -> Result<()> {
        let usable_end = self.layout.usable.end();
        if !UserAddr(addr).is_page_aligned() || addr > usable_end || len > usable_end - addr {
            return Err(Errno::EINVAL);
        }
        let range = PageRange::covering(addr, len).filter(|range| !range.is_empty()).ok_or(Errno::EINVAL)?;
        let mut state = self.state.lock();
        state.begin();
        if state.vmas.len_after_replacing(range) > MAX_MAP_COUNT + 1 {
            return Err(Errno::ENOMEM);
        }
        self.unmap_locked(&mut state, context, range)
    }

    /// shmdt(2): removes what is left of the segment that was attached at `addr`; returns its identifier.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn detach(&self, context: &mut dyn Context, addr: u64) -> Result<i32> {
        let mut state = self.state.lock();
        state.begin();
        let mut found: Option<(i32, Arc<SharedMemory>)> = None;
        let mut pieces = Vec::new();
        for vma in state.vmas.iter().filter(|vma| vma.range.start() >= addr) {
            let Backing::SharedMemory { memory, offset } = &vma.backing else { continue };
            let same = found.as_ref().is_none_or(|(_, first)| Arc::ptr_eq(first, memory));
            if let Some(id) = memory.segment_id()
                && same
                && vma.range.start() - addr == *offset
            {
                pieces.push(vma.range);
                found.get_or_insert_with(|| (id, Arc::clone(memory)));
            }
        }
        let (id, _) = found.filter(|_| UserAddr(addr).is_page_aligned()).ok_or(Errno::EINVAL)?;
        for piece in pieces {
            self.unmap_locked(&mut state, context, piece)?;
        }
        Ok(id)
    }

    /// Removes every mapping in `range`, with the list locked.
    pub(super) fn unmap_locked(
        &self,
        state: &mut State,
        context: &mut dyn Context,
        range: PageRange,
    ) -> Result<()> {
        if state.vmas.overlapping(range).any(|vma| vma.flags.contains(VmaFlags::SEALED)) {
            return Err(Errno::EPERM);
        }
        // Only what is mapped: the platform's own ranges lie in between.
        let mapped: Vec<PageRange> =
            state.vmas.overlapping(range).filter_map(|v| v.range.intersection(range)).collect();
        for piece in joined(&mapped) {
            context.unmap(piece).map_err(map_errno)?;
        }
        if !mapped.is_empty() && self.users() > 1 {
            state.pending.free(range);
        }
        state.vmas.remove(range);
        Ok(())
    }

    /// The highest place at or below `wanted` where a stack of `size` bytes fits.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn top_for_stack(&self, wanted: u64, size: u64) -> Result<u64> {
        let state = self.state.lock();
        self.highest_gap(&state, wanted, size).map(PageRange::end).ok_or(Errno::ENOMEM)
    }

    /// A free range of `len` bytes where mmap would put one.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn free_range(&self, len: u64) -> Result<u64> {
        let state = self.state.lock();
        let len = UserAddr(len).page_up().ok_or(Errno::ENOMEM)?.0;
        self.place(&state, 0, len, 0).map(PageRange::start)
    }

    /// Maps the initial stack, whole: the host gives pages as they are touched.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn map_stack(&self, context: &mut dyn Context, top: u64, size: u64, prot: Prot) -> Result<()> {
        let range = PageRange::new(top - size, top).ok_or(Errno::ENOMEM)?;
        let flags = VmaFlags::GROWS_DOWN | VmaFlags::STACK | VmaFlags::NO_RESERVE;
        let vma = establish(
            context,
            Vma {
                range,
                prot,
                flags,
                backing: Backing::Anonymous,
                name: None,
                policy: MemoryPolicy::default(),
            },
        )?;
        self.state.lock().vmas.insert(vma);
        Ok(())
    }

    /// Where a mapping of `len` bytes goes (`get_unmapped_area`).
    pub(super) fn place(&self, state: &State, hint: u64, len: u64, flags: u32) -> Result<PageRange> {
        let usable = self.layout.usable;
        if len > usable.end() {
            return Err(Errno::ENOMEM);
        }
        if flags & MAP_FIXED != 0 {
            if hint > usable.end() - len {
                return Err(Errno::ENOMEM);
            }
            let range = PageRange::covering(hint, len).ok_or(Errno::EINVAL)?;
            if self.layout.reserved.iter().any(|reserved| reserved.overlaps(range)) {
                return Err(Errno::ENOMEM);
            }
            return Ok(range);
        }
        let free = |range: &PageRange| {
            range.start() >= MMAP_MIN_ADDR
                && range.end() <= usable.end()
                && state.vmas.overlapping(*range).next().is_none()
                && state.pending.freed_in(*range).is_none()
                && !self.layout.reserved.iter().any(|reserved| reserved.overlaps(*range))
        };
        if hint != 0
            && let Some(range) = PageRange::covering(hint & !(PAGE_SIZE - 1), len).filter(free)
        {
            return Ok(range);
        }
        let top = if flags & MAP_32BIT != 0 { 0x8000_0000 } else { state.mmap_top };
        if flags & (MAP_ANONYMOUS | MAP_32BIT | MAP_STACK | MAP_TYPE) == MAP_ANONYMOUS | MAP_PRIVATE
            && len.is_multiple_of(HUGE_PAGE)
        {
            // So that the host can back it with huge pages (`thp_get_unmapped_area`).
            let padded = self.highest_gap(state, top, len + HUGE_PAGE - PAGE_SIZE);
            let start = padded.map(|gap| gap.end().saturating_sub(len) & !(HUGE_PAGE - 1));
            if let Some(range) = start.and_then(|start| PageRange::covering(start, len)) {
                return Ok(range);
            }
        }
        self.highest_gap(state, top, len)
            .or_else(|| self.highest_gap(state, usable.end(), len))
            .ok_or(Errno::ENOMEM)
    }

    /// The highest free range of `len` bytes below `top`.
    fn highest_gap(&self, state: &State, top: u64, len: u64) -> Option<PageRange> {
        let mut top = top;
        loop {
            let gap = self.highest_unmapped(state, top, len)?;
            match state.pending.freed_in(gap) {
                None => return Some(gap),
                Some(freed) => top = freed.start().min(gap.end()),
            }
        }
    }

    /// The same, where no mapping is any more.
    fn highest_unmapped(&self, state: &State, top: u64, len: u64) -> Option<PageRange> {
        let mut end = top;
        // Walk mappings and reserved ranges downwards together.
        let mut reserved = self.layout.reserved.iter().rev().peekable();
        let mut vmas = state.vmas.iter().rev().peekable();
        loop {
            let next_reserved = reserved.peek().map(|range| **range);
            let next_vma = vmas.peek().map(|vma| vma.range);
            let obstacle = match (next_reserved, next_vma) {
                (Some(a), Some(b)) if a.start() > b.start() => reserved.next().copied(),
                (Some(_) | None, Some(b)) => {
                    vmas.next();
                    Some(b)
                }
                (Some(_), None) => reserved.next().copied(),
                (None, None) => None,
            };
            let floor = obstacle.map_or(MMAP_MIN_ADDR, PageRange::end);
            if floor < end && end - floor >= len {
                return PageRange::new(end - len, end);
            }
            end = end.min(obstacle?.start());
        }
    }
}

/// Joins adjacent ranges.
fn joined(ranges: &[PageRange]) -> Vec<PageRange> {
    let mut out: Vec<PageRange> = Vec::new();
    for range in ranges {
        match out.last_mut().and_then(|last| (last.end() == range.start()).then_some(last)) {
            Some(last) => *last = PageRange::new(last.start(), range.end()).unwrap_or(*last),
            None => out.push(*range),
        }
    }
    out
}

/// `round_hint_to_min`: a hint below the minimum is moved up to it; zero is no hint.
fn round_hint(addr: u64) -> u64 {
    let addr = addr & !(PAGE_SIZE - 1);
    if addr != 0 && addr < MMAP_MIN_ADDR { MMAP_MIN_ADDR } else { addr }
}

/// The checks on mapping type and file rights, in do_mmap()'s order.
fn check_type(request: &MapRequest<'_>, flags: u32) -> Result<VmaFlags> {
    let kind = flags & MAP_TYPE;
    let Some(file) = request.file else {
        return match kind {
            MAP_SHARED if flags & MAP_GROWSDOWN != 0 => Err(Errno::EINVAL),
            MAP_SHARED => Ok(VmaFlags::SHARED),
            MAP_PRIVATE => Ok(VmaFlags::empty()),
            _ => Err(Errno::EINVAL),
        };
    };
    let mut out = VmaFlags::empty();
    match kind {
        MAP_SHARED | MAP_SHARED_VALIDATE => {
            if kind == MAP_SHARED_VALIDATE && flags & !(LEGACY_FLAGS | MAP_FIXED_NOREPLACE) != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if request.prot.has(Prot::WRITE) && !file.writable() {
                return Err(Errno::EACCES);
            }
            if !file.readable() {
                return Err(Errno::EACCES);
            }
            out |= VmaFlags::SHARED;
            if !file.writable() {
                out |= VmaFlags::NO_WRITE;
            }
        }
        MAP_PRIVATE => {
            if !file.readable() {
                return Err(Errno::EACCES);
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    if file.path().is_some_and(|path| path.mount.has(linux_abi::fcntl::MS_NOEXEC)) {
        if request.prot.has(Prot::EXEC) {
            return Err(Errno::EPERM);
        }
        out |= VmaFlags::NO_EXEC;
    }
    let writable_shared = out.contains(VmaFlags::SHARED) && request.prot.has(Prot::WRITE);
    let mappable = file.ops().mappable(writable_shared)?;
    if flags & MAP_GROWSDOWN != 0 {
        return Err(Errno::EINVAL);
    }
    drop(mappable);
    Ok(out)
}

/// `may_expand_vm`: `RLIMIT_AS` and `RLIMIT_DATA`.
fn check_limits(state: &State, limits: &Limits, vma: &Vma) -> Result<()> {
    let (space, data) = (limits.soft(RLIMIT_AS), limits.soft(RLIMIT_DATA));
    if space == u64::MAX && data == u64::MAX {
        return Ok(());
    }
    let replaced: u64 = state
        .vmas
        .overlapping(vma.range)
        .filter_map(|v| v.range.intersection(vma.range))
        .map(PageRange::len)
        .sum();
    let total: u64 = state.vmas.iter().map(|v| v.range.len()).sum();
    if (total - replaced).saturating_add(vma.range.len()) > space {
        return Err(Errno::ENOMEM);
    }
    let used: u64 = state.vmas.iter().filter(|v| v.is_data()).map(|v| v.range.len()).sum();
    if vma.is_data() && used.saturating_add(vma.range.len()) > data {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

/// Memory for `MAP_SHARED | MAP_ANONYMOUS`.
fn new_shared_memory(len: u64) -> Result<Arc<super::vma::SharedMemory>> {
    Ok(Arc::new(super::vma::SharedMemory::new(len)?))
}

/// Makes the host mapping for `vma`; returns the mapping as it is to be recorded.
pub(super) fn establish(context: &mut dyn Context, mut vma: Vma) -> Result<Vma> {
    let shared = vma.flags.contains(VmaFlags::SHARED);
    let no_reserve = vma.flags.contains(VmaFlags::NO_RESERVE);
    let done = match &vma.backing {
        Backing::Anonymous => context.map(vma.range, HostBacking::Anonymous { no_reserve }, vma.prot),
        Backing::Special(_) => return Err(Errno::EINVAL),
        Backing::SharedMemory { memory, offset } => {
            context.map(vma.range, HostBacking::Shared { file: memory.fd.as_fd(), offset: *offset }, vma.prot)
        }
        Backing::File { file, offset } => {
            let mappable = file.ops().mappable(shared && vma.prot.has(Prot::WRITE))?;
            let fd = match &mappable {
                Mappable::Borrowed(fd) => *fd,
                Mappable::Shared(fd) => fd.as_fd(),
                Mappable::Anonymous if shared => {
                    let memory = new_shared_memory(vma.range.len())?;
                    vma.backing = Backing::SharedMemory { memory, offset: 0 };
                    return establish(context, vma);
                }
                Mappable::Anonymous => {
                    vma.backing = Backing::Anonymous;
                    return establish(context, vma);
                }
            };
            let backing = if shared {
                HostBacking::Shared { file: fd, offset: *offset }
            } else {
                HostBacking::Private { file: fd, offset: *offset }
            };
            context.map(vma.range, backing, vma.prot)
        }
    };
    done.map_err(map_errno)?;
    Ok(vma)
}
