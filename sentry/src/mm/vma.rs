//! Mappings (`struct vm_area_struct`) and the ordered set of them.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bitflags::bitflags;
use linux_abi::{PageRange, Result};
use platform::Prot;

use super::policy::MemoryPolicy;
use crate::fs::file::File;

bitflags! {
    /// What a mapping is like (`vm_flags`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct VmaFlags: u32 {
        /// `MAP_SHARED`.
        const SHARED = 1;
        /// `MAP_GROWSDOWN`.
        const GROWS_DOWN = 1 << 1;
        /// `MAP_NORESERVE`.
        const NO_RESERVE = 1 << 2;
        /// mlock(2).
        const LOCKED = 1 << 3;
        /// `MADV_DONTFORK`.
        const DONT_FORK = 1 << 4;
        /// `MADV_WIPEONFORK`.
        const WIPE_ON_FORK = 1 << 5;
        /// The initial stack.
        const STACK = 1 << 6;
        /// The program break area.
        const HEAP = 1 << 7;
        /// `MADV_DONTDUMP`.
        const DONT_DUMP = 1 << 8;
        /// A shared mapping that may never become writable.
        const NO_WRITE = 1 << 9;
        /// A mapping that may never become executable (noexec mount).
        const NO_EXEC = 1 << 10;
        /// mseal(2).
        const SEALED = 1 << 11;
    }
}

/// Shared anonymous memory.
#[derive(Debug)]
pub struct SharedMemory {
    /// The memfd that holds it.
    pub fd: OwnedFd,
    /// Its number among all of its kind.
    number: u64,
    /// The System V segment it is.
    pub segment: Option<Segment>,
}

/// What a System V segment is known by.
#[derive(Debug)]
pub struct Segment {
    /// Its key when it was made.
    pub key: i32,
    id: OnceLock<i32>,
}

impl SharedMemory {
    /// For `MAP_SHARED | MAP_ANONYMOUS`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(len: u64) -> Result<SharedMemory> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let fd = host::memfd::create(c"shared", len)?;
        Ok(SharedMemory { fd, number: NEXT.fetch_add(1, Ordering::Relaxed), segment: None })
    }

    /// For shmget(2).
    ///
    /// # Errors
    /// The host's.
    pub fn for_segment(key: i32, len: u64) -> Result<SharedMemory> {
        let segment = Some(Segment { key, id: OnceLock::new() });
        Ok(SharedMemory { segment, ..SharedMemory::new(len)? })
    }

    /// The segment has got its identifier.
    pub fn set_segment(&self, id: i32) {
        if let Some(segment) = &self.segment {
            let _ = segment.id.set(id);
        }
    }

    /// The identifier of the segment it is.
    pub fn segment_id(&self) -> Option<i32> {
        self.segment.as_ref()?.id.get().copied()
    }

    /// Its inode number, for /proc/PID/maps.
    pub fn ino(&self) -> u64 {
        self.segment_id().map_or(self.number, |id| u64::from(id.unsigned_abs()))
    }
}

/// What is behind a mapping.
#[derive(Clone)]
pub enum Backing {
    /// Private zero pages.
    Anonymous,
    /// A file, from this offset on.
    File { file: Arc<File>, offset: u64 },
    /// Shared anonymous memory, from this offset on.
    SharedMemory { memory: Arc<SharedMemory>, offset: u64 },
    /// The platform's own (`[vdso]`, `[vvar]`).
    Special(&'static str),
}

impl Backing {
    /// The backing `bytes` further on.
    #[must_use]
    pub fn advanced(&self, bytes: u64) -> Backing {
        match self {
            Backing::File { file, offset } => {
                Backing::File { file: Arc::clone(file), offset: offset + bytes }
            }
            Backing::SharedMemory { memory, offset } => {
                Backing::SharedMemory { memory: Arc::clone(memory), offset: offset + bytes }
            }
            other => other.clone(),
        }
    }

    fn continues(&self, other: &Backing, gap: u64) -> bool {
        match (self, other) {
            (Backing::Anonymous, Backing::Anonymous) => true,
            (Backing::File { file: a, offset: x }, Backing::File { file: b, offset: y }) => {
                Arc::ptr_eq(a, b) && x + gap == *y
            }
            (
                Backing::SharedMemory { memory: a, offset: x },
                Backing::SharedMemory { memory: b, offset: y },
            ) => Arc::ptr_eq(a, b) && x + gap == *y,
            _ => false,
        }
    }
}

/// One mapping.
#[derive(Clone)]
pub struct Vma {
    pub range: PageRange,
    pub prot: Prot,
    pub flags: VmaFlags,
    pub backing: Backing,
    /// `PR_SET_VMA_ANON_NAME`.
    pub name: Option<Arc<str>>,
    /// mbind(2).
    pub policy: MemoryPolicy,
}

impl Vma {
    /// One of the platform's own mappings.
    pub fn special(range: PageRange, prot: Prot, name: &'static str) -> Vma {
        let (flags, backing) = (VmaFlags::DONT_DUMP, Backing::Special(name));
        Vma { range, prot, flags, backing, name: None, policy: MemoryPolicy::default() }
    }

    /// Whether it counts as data (`RLIMIT_DATA`): private and writable.
    pub fn is_data(&self) -> bool {
        self.prot.has(Prot::WRITE)
            && !self.flags.contains(VmaFlags::SHARED)
            && !self.flags.contains(VmaFlags::STACK)
    }

    fn merges_with(&self, next: &Vma) -> bool {
        self.range.end() == next.range.start()
            && self.prot == next.prot
            && self.flags == next.flags
            && self.name == next.name
            && self.policy == next.policy
            && self.backing.continues(&next.backing, self.range.len())
    }

    fn part(&self, range: PageRange) -> Vma {
        Vma { range, backing: self.backing.advanced(range.start() - self.range.start()), ..self.clone() }
    }
}

/// Disjoint mappings in order of address; neighbours that can be one are one.
#[derive(Clone, Default)]
pub struct VmaSet {
    by_start: BTreeMap<u64, Vma>,
}

impl VmaSet {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.by_start.values()
    }

    /// The one that holds `addr`.
    pub fn find(&self, addr: u64) -> Option<&Vma> {
        self.by_start.range(..=addr).next_back().map(|(_, vma)| vma).filter(|vma| vma.range.contains(addr))
    }

    /// The first that ends above `addr`.
    pub fn next_after(&self, addr: u64) -> Option<&Vma> {
        self.find(addr).or_else(|| self.by_start.range(addr..).next().map(|(_, vma)| vma))
    }

    /// The last that ends at or below `addr`.
    pub fn previous_before(&self, addr: u64) -> Option<&Vma> {
        self.by_start.range(..addr).next_back().map(|(_, vma)| vma).filter(|vma| vma.range.end() <= addr)
    }

    /// Those that overlap `range`, in order.
    pub fn overlapping(&self, range: PageRange) -> impl DoubleEndedIterator<Item = &Vma> {
        let from = self.find(range.start()).map_or(range.start(), |vma| vma.range.start());
        let end = range.end().max(from);
        self.by_start.range(from..end).map(|(_, vma)| vma).filter(move |vma| vma.range.overlaps(range))
    }

    /// Whether every page of `range` is mapped.
    pub fn covers(&self, range: PageRange) -> bool {
        let mut at = range.start();
        for vma in self.overlapping(range) {
            if vma.range.start() > at {
                return false;
            }
            at = vma.range.end();
        }
        at >= range.end()
    }

    /// Adds a mapping where there is none, joining it with its neighbours where they are alike.
    pub fn insert(&mut self, vma: Vma) {
        if vma.range.is_empty() {
            return;
        }
        let mut vma = vma;
        if let Some(previous) = self.previous_before(vma.range.start())
            && previous.merges_with(&vma)
        {
            let start = previous.range.start();
            if let (Some(previous), Some(range)) =
                (self.by_start.remove(&start), PageRange::new(start, vma.range.end()))
            {
                vma = Vma { range, ..previous };
            }
        }
        if let Some(next) = self.by_start.get(&vma.range.end())
            && vma.merges_with(next)
            && let Some(range) = PageRange::new(vma.range.start(), next.range.end())
        {
            self.by_start.remove(&vma.range.end());
            vma.range = range;
        }
        self.by_start.insert(vma.range.start(), vma);
    }

    /// Cuts `range` out, splitting what straddles its ends; returns what was there.
    pub fn remove(&mut self, range: PageRange) -> Vec<Vma> {
        let affected: Vec<u64> = self.overlapping(range).map(|vma| vma.range.start()).collect();
        let mut removed = Vec::with_capacity(affected.len());
        for start in affected {
            let Some(vma) = self.by_start.remove(&start) else { continue };
            for rest in [
                PageRange::new(vma.range.start(), range.start()),
                PageRange::new(range.end(), vma.range.end()),
            ] {
                if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
                    let rest = vma.part(rest);
                    self.by_start.insert(rest.range.start(), rest);
                }
            }
            if let Some(inside) = vma.range.intersection(range) {
                removed.push(vma.part(inside));
            }
        }
        removed
    }

    /// Applies `change` to the parts of mappings inside `range`, splitting and joining as needed.
    pub fn update(&mut self, range: PageRange, change: impl Fn(&mut Vma)) {
        for mut vma in self.remove(range) {
            change(&mut vma);
            self.insert(vma);
        }
        // The first piece may now be like what precedes the range, and what follows like the last piece: `insert` has
        // joined both.
    }

    /// Keeps only some mappings.
    pub fn retain(&mut self, keep: impl Fn(&Vma) -> bool) {
        self.by_start.retain(|_, vma| keep(vma));
    }

    /// Changes every mapping in a way that keeps its range.
    pub fn for_each_mut(&mut self, change: impl Fn(&mut Vma)) {
        self.by_start.values_mut().for_each(change);
    }

    /// How many mappings there would be at most after cutting `range` out and adding one.
    pub fn len_after_replacing(&self, range: PageRange) -> usize {
        let inside = self.overlapping(range).count();
        self.len() + if inside == 0 { 1 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vma(start: u64, end: u64, prot: Prot) -> Vma {
        let range = PageRange::new(start, end).unwrap();
        let (flags, backing) = (VmaFlags::empty(), Backing::Anonymous);
        Vma { range, prot, flags, backing, name: None, policy: MemoryPolicy::default() }
    }

    fn shape(set: &VmaSet) -> Vec<(u64, u64, u32)> {
        set.iter().map(|v| (v.range.start(), v.range.end(), v.prot.0)).collect()
    }

    #[test]
    fn neighbours_alike_become_one_and_cuts_split() {
        let mut set = VmaSet::default();
        set.insert(vma(0x1000, 0x2000, Prot::READ));
        set.insert(vma(0x3000, 0x4000, Prot::READ));
        set.insert(vma(0x2000, 0x3000, Prot::READ));
        assert_eq!(shape(&set), [(0x1000, 0x4000, 1)]);
        set.remove(PageRange::new(0x2000, 0x3000).unwrap());
        assert_eq!(shape(&set), [(0x1000, 0x2000, 1), (0x3000, 0x4000, 1)]);
        set.insert(vma(0x2000, 0x3000, Prot::NONE));
        set.update(PageRange::new(0x1000, 0x4000).unwrap(), |v| v.prot = Prot::READ);
        assert_eq!(shape(&set), [(0x1000, 0x4000, 1)]);
    }

    #[test]
    fn coverage_sees_holes() {
        let mut set = VmaSet::default();
        set.insert(vma(0x1000, 0x2000, Prot::READ));
        set.insert(vma(0x3000, 0x4000, Prot::READ));
        assert!(!set.covers(PageRange::new(0x1000, 0x4000).unwrap()));
        assert!(set.covers(PageRange::new(0x3000, 0x4000).unwrap()));
        assert!(!set.covers(PageRange::new(0x0, 0x2000).unwrap()));
        assert!(!set.covers(PageRange::new(0x3000, 0x5000).unwrap()));
    }
}
