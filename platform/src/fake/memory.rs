//! The memory of a fake guest: mappings, and the pages of them that were written.
//!
//! Invariants: regions do not overlap; every page of `pages` lies in a region that is not shared.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt, sync::Arc};

use crate::{AccessFault, Backing, Errno, PageRange, Prot, UserAddr};

const PAGE: u64 = 4096;
const PAGE_LEN: usize = 4096;

/// What pages hold that were not written.
#[derive(Clone, Debug)]
enum Source {
    Zero,
    Private(Arc<File>, u64),
    Shared(Arc<File>, u64),
}

impl Source {
    /// The same, `bytes` further on.
    fn at(&self, bytes: u64) -> Source {
        match self {
            Source::Zero => Source::Zero,
            Source::Private(file, offset) => Source::Private(Arc::clone(file), offset.wrapping_add(bytes)),
            Source::Shared(file, offset) => Source::Shared(Arc::clone(file), offset.wrapping_add(bytes)),
        }
    }
}

/// A mapping.
#[derive(Clone, Debug)]
struct Region {
    end: u64,
    prot: Prot,
    source: Source,
}

/// Guest memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    regions: BTreeMap<u64, Region>,
    pages: BTreeMap<u64, Box<[u8; PAGE_LEN]>>,
}

impl Memory {
    /// The region that `address` lies in, and where it starts.
    fn region(&self, address: u64) -> Option<(u64, &Region)> {
        let (start, region) = self.regions.range(..=address).next_back()?;
        (address < region.end).then_some((*start, region))
    }

    /// Makes a region boundary at `address`.
    fn cut(&mut self, address: u64) {
        let Some((start, region)) = self.region(address) else { return };
        if start == address {
            return;
        }
        let upper = Region { source: region.source.at(address - start), ..region.clone() };
        if let Some(lower) = self.regions.get_mut(&start) {
            lower.end = address;
        }
        self.regions.insert(address, upper);
    }

    /// Makes region boundaries at both ends.
    fn cut_out(&mut self, range: PageRange) {
        self.cut(range.start());
        self.cut(range.end());
    }

    /// Whether all of `range` is mapped.
    fn is_mapped(&self, range: PageRange) -> bool {
        let mut at = range.start();
        while at < range.end() {
            match self.region(at) {
                Some((_, region)) => at = region.end,
                None => return false,
            }
        }
        true
    }

    pub(super) fn map(&mut self, range: PageRange, backing: Backing<'_>, prot: Prot) -> Result<(), Errno> {
        if range.is_empty() {
            return Err(Errno::EINVAL);
        }
        let open = |file: std::os::fd::BorrowedFd<'_>| -> Result<Arc<File>, Errno> {
            Ok(Arc::new(File::from(file.try_clone_to_owned()?)))
        };
        let source = match backing {
            Backing::Anonymous { .. } => Source::Zero,
            Backing::Private { file, offset } => Source::Private(open(file)?, offset),
            Backing::Shared { file, offset } => Source::Shared(open(file)?, offset),
        };
        self.unmap(range);
        self.regions.insert(range.start(), Region { end: range.end(), prot, source });
        Ok(())
    }

    pub(super) fn unmap(&mut self, range: PageRange) {
        self.cut_out(range);
        self.regions.retain(|start, _| !range.contains(*start));
        self.pages.retain(|page, _| !range.contains(*page));
    }

    pub(super) fn protect(&mut self, range: PageRange, prot: Prot) -> Result<(), Errno> {
        if !self.is_mapped(range) {
            return Err(Errno::ENOMEM);
        }
        self.cut_out(range);
        for (_, region) in self.regions.range_mut(range.start()..range.end()) {
            region.prot = prot;
        }
        Ok(())
    }

    pub(super) fn remap(&mut self, from: PageRange, to: PageRange) -> Result<(), Errno> {
        let (start, region) = self.region(from.start()).ok_or(Errno::EFAULT)?;
        if region.end < from.end() || from.is_empty() || to.is_empty() {
            return Err(Errno::EFAULT);
        }
        let moved =
            Region { end: to.end(), prot: region.prot, source: region.source.at(from.start() - start) };
        let pages: Vec<_> = (from.start()..from.end())
            .step_by(PAGE_LEN)
            .filter_map(|page| Some((page - from.start() + to.start(), self.pages.remove(&page)?)))
            .collect();
        self.unmap(from);
        self.unmap(to);
        self.regions.insert(to.start(), moved);
        self.pages.extend(pages.into_iter().filter(|(page, _)| to.contains(*page)));
        Ok(())
    }

    pub(super) fn advise(&mut self, range: PageRange, advice: i32) -> Result<(), Errno> {
        if !self.is_mapped(range) {
            return Err(Errno::ENOMEM);
        }
        if advice == libc::MADV_DONTNEED {
            self.pages.retain(|page, _| !range.contains(*page));
        }
        Ok(())
    }

    pub(super) fn resident(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// The content of a page that may be read. `None`: there is none, or it may not.
    fn page(&self, page: u64) -> Option<[u8; PAGE_LEN]> {
        let (start, region) = self.region(page)?;
        if !region.prot.has(Prot::READ) && !region.prot.has(Prot::WRITE) {
            return None;
        }
        if let Some(bytes) = self.pages.get(&page) {
            return Some(**bytes);
        }
        match &region.source {
            Source::Zero => Some([0; PAGE_LEN]),
            Source::Private(file, offset) | Source::Shared(file, offset) => {
                file_page(file, offset.wrapping_add(page - start)).ok().flatten()
            }
        }
    }

    pub(super) fn read(&self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault> {
        for (done, page, within, len) in pieces(at, into.len()) {
            let bytes = self.page(page).ok_or(AccessFault { done })?;
            if let (Some(to), Some(from)) = (into.get_mut(done..done + len), bytes.get(within..within + len))
            {
                to.copy_from_slice(from);
            }
        }
        covered(at, into.len())
    }

    pub(super) fn write(&mut self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault> {
        for (done, page, within, len) in pieces(at, from.len()) {
            let fault = AccessFault { done };
            let (start, region) = self.region(page).ok_or(fault)?;
            if !region.prot.has(Prot::WRITE) {
                return Err(fault);
            }
            let from = from.get(done..done + len).unwrap_or_default();
            if let Source::Shared(file, offset) = &region.source {
                let offset = offset.wrapping_add(page - start);
                file_page(file, offset).ok().flatten().ok_or(fault)?;
                file.write_all_at(from, offset + within as u64).map_err(|_| fault)?;
                continue;
            }
            let mut bytes = self.page(page).ok_or(fault)?;
            if let Some(to) = bytes.get_mut(within..within + len) {
                to.copy_from_slice(from);
            }
            self.pages.insert(page, Box::new(bytes));
        }
        covered(at, from.len())
    }

    pub(super) fn compare_exchange_u32(
        &mut self,
        at: UserAddr,
        old: u32,
        new: u32,
    ) -> Result<u32, AccessFault> {
        let mut word = [0; 4];
        self.read(at, &mut word)?;
        let was = u32::from_le_bytes(word);
        self.write(at, &if was == old { new } else { was }.to_le_bytes())?;
        Ok(was)
    }
}

/// The page of a file at `offset`, filled up with zeroes; `None` past its end.
fn file_page(file: &File, offset: u64) -> io::Result<Option<[u8; PAGE_LEN]>> {
    let mut bytes = [0; PAGE_LEN];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok((filled > 0).then_some(bytes))
}

/// Splits an access at page boundaries: bytes done before, the page, the offset in it, the length. Ends where addresses do.
fn pieces(at: UserAddr, len: usize) -> impl Iterator<Item = (usize, u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let left = len.checked_sub(done).filter(|left| *left > 0)?;
        let from = at.0.checked_add(done as u64)?;
        let within = usize::try_from(from % PAGE).ok()?;
        let piece = (done, from - from % PAGE, within, left.min(PAGE_LEN - within));
        done += piece.3;
        Some(piece)
    })
}

/// Whether so many bytes have addresses.
fn covered(at: UserAddr, len: usize) -> Result<(), AccessFault> {
    match at.0.checked_add(len as u64) {
        Some(_) => Ok(()),
        None => Err(AccessFault { done: usize::try_from(u64::MAX - at.0).unwrap_or(usize::MAX) }),
    }
}
