//! What searches of texts have found, for the next process that maps the same file: most programs map the same libraries, and
//! many end before a search of their own would have been worth it.
//!
//! Searched is the file, not a guest's memory: a guest that has changed its own copy of a library says nothing about others'.

use std::{
    collections::HashMap,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::{Arc, Mutex, Weak},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::fstat,
};

use super::{site, unit::lock};

/// How many verdicts are kept.
const MAX: usize = 4096;
/// Of how many files there may be a descriptor.
const MAX_FILES: usize = 256;
/// Bytes that are searched at once, and how many of them twice, as a branch may straddle the border.
const CHUNK: usize = 64 << 10;
const OVERLAP: u64 = 8;

/// What the bytes of a mapping are: of which file, when it was changed last, and which of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Origin {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, i64),
    offset: u64,
    len: u64,
}

impl Origin {
    fn of(file: impl AsFd, offset: u64, len: u64) -> Option<Origin> {
        let stat = fstat(file.as_fd()).ok()?;
        let changed = (stat.st_ctime, stat.st_ctime_nsec);
        Some(Origin { device: stat.st_dev, inode: stat.st_ino, size: stat.st_size, changed, offset, len })
    }
}

/// A part of a file that is mapped by some guest. That keeps the file itself anyway, so a descriptor keeps nothing more.
#[derive(Debug)]
pub(super) struct Source {
    origin: Origin,
    file: std::fs::File,
}

/// Which sites branches may lead to the inside of. The locks are leaves.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// By how far behind the origin the site's call returns.
    known: Mutex<HashMap<(Origin, u64), bool>>,
    sources: Mutex<HashMap<Origin, Weak<Source>>>,
}

impl Verdicts {
    /// Where `len` bytes of `file` from `offset` on come from. `None` for what guests may have writable mappings of, by which
    /// they change it without a trace (such files the sentry has opened for writing), and when there are too many files.
    pub(super) fn source(&self, file: BorrowedFd<'_>, offset: u64, len: u64) -> Option<Arc<Source>> {
        let flags = OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL).ok()?);
        if flags & OFlag::O_ACCMODE != OFlag::O_RDONLY {
            return None;
        }
        let origin = Origin::of(file, offset, len)?;
        let mut sources = lock(&self.sources);
        if let Some(known) = sources.get(&origin).and_then(Weak::upgrade) {
            return Some(known);
        }
        if sources.len() >= MAX_FILES {
            sources.retain(|_, source| source.strong_count() > 0);
            if sources.len() >= MAX_FILES {
                return None;
            }
        }
        let descriptor: OwnedFd = file.try_clone_to_owned().ok()?;
        let source = Arc::new(Source { origin, file: descriptor.into() });
        sources.insert(origin, Arc::downgrade(&source));
        Some(source)
    }

    /// Whether no branch leads to `target`, which is so far behind the beginning of `source`, if somebody has searched.
    pub(super) fn get(&self, source: &Source, target: u64) -> Option<bool> {
        lock(&self.known).get(&(source.origin, target)).copied()
    }

    /// As [`Verdicts::get`], by a search.
    pub(super) fn search(&self, source: &Source, target: u64) -> bool {
        let free = !source.branches_to(target).unwrap_or(true);
        let mut known = lock(&self.known);
        if known.len() >= MAX {
            known.clear();
        }
        known.insert((source.origin, target), free);
        free
    }
}

impl Source {
    /// Whether a branch may lead to `target`. `None`: nobody can tell.
    fn branches_to(&self, target: u64) -> Option<bool> {
        let Origin { offset, len, size, .. } = self.origin;
        let end = u64::try_from(size).ok()?.saturating_sub(offset).min(len);
        let found =
            is_branch_target(0, end, target, |at, piece| self.file.read_exact_at(piece, offset + at).is_ok());
        let same = Origin::of(&self.file, offset, len)? == self.origin;
        same.then_some(found)
    }
}

/// Whether a branch in `[start, end)`, of which `read` reads pieces, may lead to `target`, or nobody can tell.
pub(super) fn is_branch_target(
    start: u64,
    end: u64,
    target: u64,
    read: impl Fn(u64, &mut [u8]) -> bool,
) -> bool {
    let mut chunk = vec![0; CHUNK];
    let mut at = start;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let Some(piece) = chunk.get_mut(..len) else { return true };
        if !read(at, piece) || site::is_branch_target(piece, at, target) {
            return true;
        }
        at = (at + len as u64)
            .checked_sub(OVERLAP)
            .filter(|next| *next > at && *next + OVERLAP < end)
            .unwrap_or(end);
    }
    false
}

#[cfg(test)]
mod tests {
    use std::{fs, os::fd::AsFd};

    use super::*;

    /// `jmp` to itself, behind 100,000 bytes, and to nothing.
    fn code() -> Vec<u8> {
        let mut code = vec![0x90; 200_000];
        code[100_000..100_005].copy_from_slice(&[0xe9, 0xfb, 0xff, 0xff, 0xff]);
        code
    }

    #[test]
    fn a_changed_file_is_another_one() {
        let path = std::env::temp_dir().join(format!("verdicts-{}", std::process::id()));
        let verdicts = Verdicts::default();
        fs::write(&path, code()).unwrap();
        let reader = fs::File::open(&path).unwrap();
        let source = |offset| verdicts.source(reader.as_fd(), offset, 0x10_0000).unwrap();
        let before = source(4096);
        let target = 100_000 - 4096;
        assert_eq!(verdicts.get(&before, target), None);
        assert!(!verdicts.search(&before, target) && verdicts.search(&before, target + 1));
        assert!(Arc::ptr_eq(&before, &source(4096)) && !Arc::ptr_eq(&before, &source(0)));
        assert_eq!(verdicts.get(&source(4096), target), Some(false));
        assert_eq!(verdicts.get(&source(4096), target + 1), Some(true));
        assert_eq!(verdicts.get(&source(0), target), None);
        // Written to: nobody can tell any more what the old mapping shows.
        fs::write(&path, "nothing").unwrap();
        assert_eq!(verdicts.get(&source(4096), target), None);
        assert!(!verdicts.search(&before, target + 2));
        let writer = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert!(verdicts.source(writer.as_fd(), 4096, 0x10_0000).is_none());
        fs::remove_file(&path).unwrap();
    }
}
