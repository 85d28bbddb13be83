//! Memory shared with a process that is not trusted.
//!
//! [`SharedMap`] never hands out a reference to plain bytes: the other side may write at any time, so data is copied
//! with volatile accesses and the words that order those copies are atomics. A copy must be validated before use, and
//! never be read twice.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::check;

/// A `MAP_SHARED` mapping of a file, readable and writable.
///
/// Offsets are the caller's own numbers, never the other side's: an access outside the mapping or one that is not
/// aligned is a bug of the caller and panics.
#[derive(Debug)]
pub struct SharedMap {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain memory that any thread may access; every access is volatile or atomic.
unsafe impl Send for SharedMap {}
// SAFETY: as above; no method creates a reference to non-atomic memory.
unsafe impl Sync for SharedMap {}

impl SharedMap {
    /// Maps the first `len` bytes of `file`. The file must not be truncated below that while the map lives (seal it with
    /// `F_SEAL_SHRINK`), or accesses raise `SIGBUS`.
    ///
    /// # Errors
    /// Those of `mmap(2)`.
    pub fn new(file: BorrowedFd<'_>, len: usize) -> io::Result<SharedMap> {
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no existing memory.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(SharedMap { base, len })
    }

    /// Length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The address of `size` bytes at `offset`.
    fn at(&self, offset: usize, size: usize, align: usize) -> *mut u8 {
        assert!(offset.checked_add(size).is_some_and(|end| end <= self.len), "outside the shared map");
        assert!(offset.is_multiple_of(align), "unaligned access to a shared map");
        // SAFETY: the assertion above keeps the result inside the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// The word at `offset` as an atomic.
    #[must_use]
    pub fn atomic(&self, offset: usize) -> &AtomicU32 {
        let word = self.at(offset, 4, 4).cast::<u32>();
        // SAFETY: `at` checked bounds and alignment; the mapping lives as long as `self`; the word is only accessed
        // atomically on this side, and by another process on the other, which the language does not see.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// Reads the word at `offset`.
    #[must_use]
    pub fn get32(&self, offset: usize) -> u32 {
        let word = self.at(offset, 4, 4).cast::<u32>();
        // SAFETY: in bounds and aligned (`at`).
        unsafe { word.read_volatile() }
    }

    /// Writes the word at `offset`.
    pub fn set32(&self, offset: usize, value: u32) {
        let word = self.at(offset, 4, 4).cast::<u32>();
        // SAFETY: in bounds and aligned (`at`).
        unsafe { word.write_volatile(value) }
    }

    /// Reads the 64-bit word at `offset`.
    #[must_use]
    pub fn get64(&self, offset: usize) -> u64 {
        let word = self.at(offset, 8, 8).cast::<u64>();
        // SAFETY: in bounds and aligned (`at`).
        unsafe { word.read_volatile() }
    }

    /// Writes the 64-bit word at `offset`.
    pub fn set64(&self, offset: usize, value: u64) {
        let word = self.at(offset, 8, 8).cast::<u64>();
        // SAFETY: in bounds and aligned (`at`).
        unsafe { word.write_volatile(value) }
    }

    /// Exchanges the 64-bit word at `offset` for `value`.
    #[must_use]
    pub fn swap64(&self, offset: usize, value: u64) -> u64 {
        let word = self.at(offset, 8, 8).cast::<u64>();
        // SAFETY: in bounds and aligned (`at`); the mapping lives as long as `self`, and another process may change the word at any
        // time, which atomic accesses allow.
        unsafe { AtomicU64::from_ptr(word) }.swap(value, Ordering::SeqCst)
    }

    /// Reads consecutive 64-bit words from `offset`.
    pub fn get_words(&self, offset: usize, into: &mut [u64]) {
        let from = self.at(offset, size_of_val(into), 8).cast::<u64>();
        for (index, word) in into.iter_mut().enumerate() {
            // SAFETY: `at` checked that the whole slice is in bounds.
            let from = unsafe { from.add(index) };
            // SAFETY: in bounds and aligned.
            *word = unsafe { from.read_volatile() };
        }
    }

    /// Writes consecutive 64-bit words from `offset`.
    pub fn set_words(&self, offset: usize, from: &[u64]) {
        let to = self.at(offset, size_of_val(from), 8).cast::<u64>();
        for (index, word) in from.iter().enumerate() {
            // SAFETY: `at` checked that the whole slice is in bounds.
            let to = unsafe { to.add(index) };
            // SAFETY: in bounds and aligned.
            unsafe { to.write_volatile(*word) };
        }
    }

    /// Says that the line at `offset` will be read soon.
    pub fn prefetch(&self, offset: usize) {
        let at = self.at(offset, 1, 1);
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint: it reads nothing and cannot fault, whatever the address; this one is in bounds.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// Copies bytes out of the map.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        let from = self.at(offset, into.len(), 1);
        // SAFETY: in bounds; `into` is ours alone and so does not overlap. The other process may write meanwhile: the
        // bytes are then arbitrary, which is all that a copy of `u8`s made by `memcpy` can come to.
        unsafe { ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) }
    }

    /// Copies bytes into the map.
    pub fn write(&self, offset: usize, from: &[u8]) {
        let to = self.at(offset, from.len(), 1);
        // SAFETY: in bounds; `from` is a reference and so does not overlap the map.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and every borrow of it has ended.
        let result = unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        if let Err(error) = check(result.into()) {
            log::error!("munmap of a shared map: {error}");
        }
    }
}
