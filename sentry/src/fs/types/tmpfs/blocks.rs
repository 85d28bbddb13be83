//! The bytes of a file that the sentry keeps in its own memory.
//!
//! They are in blocks, so that a reader who is still copying out of one does not make a writer copy the whole file. All but
//! the last are full: a file with holes is better off in a memfd.

use std::sync::Arc;

/// The length of a block.
const BLOCK: usize = 64 << 10;

/// An array of bytes.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Arc<Vec<u8>>>);

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Blocks {
    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        self.0.split_last().map_or(0, |(last, full)| (full.len() * BLOCK + last.len()) as u64)
    }

    /// Writes `data` at `at`, after zeros if that is past the end.
    pub(super) fn write(&mut self, at: u64, data: &[u8]) {
        let len = self.len();
        if len < at {
            self.put(index(len), &vec![0; index(at - len)]);
        }
        self.put(index(at), data);
    }

    /// Writes `data` at `at`, which is not past the end.
    fn put(&mut self, at: usize, data: &[u8]) {
        let (mut at, mut data) = (at, data);
        while !data.is_empty() {
            let (block, from) = (at / BLOCK, at % BLOCK);
            if block == self.0.len() {
                self.0.push(Arc::default());
            }
            let Some(bytes) = self.0.get_mut(block).map(Arc::make_mut) else { return };
            let (part, rest) = data.split_at(data.len().min(BLOCK - from));
            let over = bytes.len().saturating_sub(from).min(part.len());
            let (replace, append) = part.split_at(over);
            if let Some(target) = bytes.get_mut(from..from + over) {
                target.copy_from_slice(replace);
            }
            bytes.extend_from_slice(append);
            at += part.len();
            data = rest;
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

    /// The block at `at`: its bytes, where in them, and how much of the file it stands for from there on; where it has no bytes,
    /// these are zeros.
    pub(super) fn at(&self, at: u64) -> (Arc<Vec<u8>>, usize, usize) {
        let at = index(at);
        let bytes = self.0.get(at / BLOCK).map_or_else(Arc::default, Arc::clone);
        (bytes, at % BLOCK, BLOCK - at % BLOCK)
    }

    /// The blocks' bytes, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|bytes| bytes.as_slice())
    }
}

#[cfg(test)]
mod tests {
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
    fn writes_cross_blocks() {
        let mut blocks = Blocks::default();
        blocks.write(B - 2, b"abcd");
        assert_eq!(blocks.len(), B + 2);
        assert_eq!(read(&blocks, B - 3, B + 4), b"\0abcd\0\0");
        blocks.write(B - 1, b"xyz!");
        assert_eq!((blocks.len(), read(&blocks, B - 2, B + 3)), (B + 3, b"axyz!".to_vec()));
        blocks.write(2 * B, b"");
        blocks.write(2 * B, b"e");
        assert_eq!(blocks.iter().map(<[u8]>::len).collect::<Vec<_>>(), [BLOCK, BLOCK, 1]);
    }

    #[test]
    fn truncation() {
        let mut blocks = Blocks::default();
        blocks.write(0, &[7; 3 * BLOCK]);
        for len in [2 * B + 5, 2 * B, B - 1, 1, 0] {
            blocks.truncate(len);
            assert_eq!(blocks.len(), len);
        }
        blocks.write(0, b"a");
        blocks.truncate(B);
        assert_eq!((blocks.len(), read(&blocks, 0, 2)), (1, b"a\0".to_vec()));
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
