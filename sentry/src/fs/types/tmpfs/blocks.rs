//! The bytes of a file that the sentry keeps in its own memory.
//!
//! They are in blocks, so that a reader who is still copying out of one does not make a writer copy the whole file, and
//! so that what was never written takes no memory: a block ends where the last byte was written to it, and the rest is a hole.

use std::sync::Arc;

use linux_abi::{PAGE_SIZE, fcntl::SEEK_DATA};

use super::content::page_up;

/// The length of a block.
const BLOCK: usize = 64 << 10;

/// A sparse array of bytes.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Arc<Vec<u8>>>);

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// The parts of `[at, end)` by block: the block's index, and the range in it.
fn parts(at: usize, end: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let (first, last) = (at / BLOCK, end.div_ceil(BLOCK));
    (first..last).map(move |block| {
        let start = block * BLOCK;
        (block, at.saturating_sub(start).min(BLOCK), end.saturating_sub(start).min(BLOCK))
    })
}

/// Memory that a block of this length is accounted for with.
fn pages(len: usize) -> u64 {
    page_up(len as u64)
}

impl Blocks {
    fn held(&self, block: usize) -> usize {
        self.0.get(block).map_or(0, |bytes| bytes.len())
    }

    /// Bytes of memory they take, in whole pages.
    pub(super) fn allocated(&self) -> u64 {
        self.0.iter().map(|bytes| pages(bytes.len())).sum()
    }

    /// How many more they take after a write of `[at, end)`.
    pub(super) fn growth(&self, at: u64, end: u64) -> u64 {
        let more = |(block, _, to): (usize, usize, usize)| {
            let held = self.held(block);
            pages(to.max(held)).saturating_sub(pages(held))
        };
        parts(index(at), index(end)).map(more).sum()
    }

    /// Writes `data` at `at`.
    pub(super) fn write(&mut self, at: u64, data: &[u8]) {
        let at = index(at);
        let mut data = data;
        for (block, from, to) in parts(at, at.saturating_add(data.len())) {
            if self.0.len() <= block {
                self.0.resize_with(block + 1, Arc::default);
            }
            let Some(bytes) = self.0.get_mut(block).map(Arc::make_mut) else { return };
            let (part, rest) = data.split_at(to.saturating_sub(from).min(data.len()));
            data = rest;
            if bytes.len() == from {
                bytes.extend_from_slice(part);
                continue;
            }
            if bytes.len() < to {
                bytes.resize(to, 0);
            }
            if let Some(target) = bytes.get_mut(from..to) {
                target.copy_from_slice(part);
            }
        }
    }

    /// Forgets everything from `at` on.
    pub(super) fn truncate(&mut self, at: u64) {
        let at = index(at);
        self.0.truncate(at.div_ceil(BLOCK));
        if let Some(last) = self.0.get_mut(at / BLOCK)
            && last.len() > at % BLOCK
        {
            let last = Arc::make_mut(last);
            last.truncate(at % BLOCK);
            last.shrink_to_fit();
        }
    }

    /// Makes `[at, end)` zero, with less memory where that is simple.
    pub(super) fn punch(&mut self, at: u64, end: u64) {
        for (block, from, to) in parts(index(at), index(end).min(self.0.len() * BLOCK)) {
            let Some(bytes) = self.0.get_mut(block).filter(|bytes| bytes.len() > from) else { continue };
            let bytes = Arc::make_mut(bytes);
            if to >= bytes.len() {
                bytes.truncate(from);
                bytes.shrink_to_fit();
            } else if let Some(hole) = bytes.get_mut(from..to) {
                hole.fill(0);
            }
        }
    }

    /// The block at `at`: its bytes, where in them, and how much of the file it stands for from there on.
    pub(super) fn at(&self, at: u64) -> (Arc<Vec<u8>>, usize, usize) {
        let at = index(at);
        let bytes = self.0.get(at / BLOCK).map_or_else(Arc::default, Arc::clone);
        (bytes, at % BLOCK, BLOCK - at % BLOCK)
    }

    /// What there is, and where.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let data = self.0.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty());
        data.map(|(block, bytes)| ((block * BLOCK) as u64, bytes.as_slice()))
    }

    /// `SEEK_DATA` and `SEEK_HOLE` from `at`. `None`: nothing but a hole follows (and for `SEEK_HOLE` it begins at `at`).
    pub(super) fn seek(&self, at: u64, whence: u32) -> Option<u64> {
        let mut found = at;
        for (start, bytes) in self.iter() {
            let end = start + bytes.len() as u64;
            if whence == SEEK_DATA {
                if end > at {
                    return Some(at.max(start));
                }
            } else if start <= found && found < end {
                found = end;
            }
        }
        (whence != SEEK_DATA && found > at).then_some(found)
    }

    /// The end of the bytes, in whole pages, if none are missing before that.
    pub(super) fn dense(&self) -> Option<u64> {
        let (last, all) = self.0.split_last()?;
        let whole = |bytes: &Arc<Vec<u8>>| pages(bytes.len()) == BLOCK as u64;
        all.iter().all(whole).then(|| (all.len() * BLOCK) as u64 + pages(last.len()))
    }
}

const _: () = assert!((BLOCK as u64).is_multiple_of(PAGE_SIZE));

#[cfg(test)]
mod tests {
    use linux_abi::fcntl::SEEK_HOLE;

    use super::*;

    const B: u64 = BLOCK as u64;

    fn read(blocks: &Blocks, from: u64, to: u64) -> Vec<u8> {
        (from..to)
            .map(|at| {
                let (bytes, from, _) = blocks.at(at);
                bytes.get(from).copied().unwrap_or(0)
            })
            .collect()
    }

    #[test]
    fn writes_cross_blocks_and_leave_holes() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.growth(B - 2, B + 2), B + PAGE_SIZE);
        blocks.write(B - 2, b"abcd");
        assert_eq!(blocks.allocated(), B + PAGE_SIZE);
        assert_eq!(blocks.dense(), Some(B + PAGE_SIZE));
        assert_eq!(read(&blocks, B - 3, B + 4), b"\0abcd\0\0");
        assert_eq!(blocks.growth(B + 2, B + 3), 0);
        blocks.write(4 * B + 1, b"x");
        assert_eq!(blocks.dense(), None);
        assert_eq!(blocks.seek(0, SEEK_HOLE), Some(B + 2));
        assert_eq!(blocks.seek(B + 2, SEEK_HOLE), None);
        assert_eq!(blocks.seek(B + 2, SEEK_DATA), Some(4 * B));
        assert_eq!(blocks.seek(4 * B + 2, SEEK_DATA), None);
        assert_eq!(
            blocks.iter().map(|(at, bytes)| (at, bytes.len())).collect::<Vec<_>>(),
            [(0, BLOCK), (B, 2), (4 * B, 2)]
        );
    }

    #[test]
    fn truncation_and_holes_give_memory_back() {
        let mut blocks = Blocks::default();
        blocks.write(0, &[7; 3 * BLOCK]);
        blocks.punch(B + 5, 2 * B + 5);
        assert_eq!(blocks.allocated(), B + PAGE_SIZE + B);
        assert_eq!(read(&blocks, B + 4, B + 6), [7, 0]);
        assert_eq!(read(&blocks, 2 * B + 4, 2 * B + 6), [0, 7]);
        blocks.truncate(2 * B);
        assert_eq!(blocks.allocated(), B + PAGE_SIZE);
        blocks.truncate(1);
        assert_eq!(blocks.allocated(), PAGE_SIZE);
        blocks.punch(0, u64::MAX);
        assert_eq!((blocks.allocated(), blocks.seek(0, SEEK_DATA)), (0, None));
    }

    #[test]
    fn a_reader_keeps_what_it_has() {
        let mut blocks = Blocks::default();
        blocks.write(0, b"old");
        let (before, ..) = blocks.at(0);
        blocks.write(0, b"new");
        assert_eq!((before.as_slice(), read(&blocks, 0, 3).as_slice()), (&b"old"[..], &b"new"[..]));
    }
}
