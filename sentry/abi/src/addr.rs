//! Guest addresses. Holding one proves nothing: whether memory is there is found out by using it.

use core::fmt;

/// Bytes in a page. Every supported architecture uses 4 KiB pages.
pub const PAGE_SIZE: u64 = 4096;

/// An address that a guest supplied or will see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserAddr(pub u64);

impl UserAddr {
    /// The null pointer.
    pub const NULL: UserAddr = UserAddr(0);

    /// Whether this is the null pointer.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// `self + bytes`, or `None` past the end of the address space.
    pub const fn checked_add(self, bytes: u64) -> Option<UserAddr> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(UserAddr(sum)),
            None => None,
        }
    }

    /// `self + bytes`, wrapping: for addresses that are checked when they are used.
    pub const fn wrapping_add(self, bytes: u64) -> UserAddr {
        UserAddr(self.0.wrapping_add(bytes))
    }

    /// Rounded down to a page boundary.
    pub const fn page_down(self) -> UserAddr {
        UserAddr(self.0 & !(PAGE_SIZE - 1))
    }

    /// Rounded up to a page boundary, or `None` where that overflows.
    pub const fn page_up(self) -> Option<UserAddr> {
        match self.0.checked_add(PAGE_SIZE - 1) {
            Some(sum) => Some(UserAddr(sum & !(PAGE_SIZE - 1))),
            None => None,
        }
    }

    /// Whether the address is a multiple of the page size.
    pub const fn is_page_aligned(self) -> bool {
        self.0.is_multiple_of(PAGE_SIZE)
    }
}

impl fmt::Debug for UserAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A half-open, page-aligned, non-wrapping range of guest addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRange {
    start: u64,
    end: u64,
}

impl PageRange {
    /// The range `[start, end)`, if both are page-aligned and `start <= end`.
    pub const fn new(start: u64, end: u64) -> Option<PageRange> {
        if start <= end && start.is_multiple_of(PAGE_SIZE) && end.is_multiple_of(PAGE_SIZE) {
            Some(PageRange { start, end })
        } else {
            None
        }
    }

    /// The pages that `[addr, addr + len)` touches; `addr` must be page-aligned, `len` is rounded up.
    pub fn covering(addr: u64, len: u64) -> Option<PageRange> {
        let end = UserAddr(addr.checked_add(len)?).page_up()?.0;
        PageRange::new(addr, end)
    }

    /// First address.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// First address past the range.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Length in bytes.
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether the range holds no page.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `addr` lies in the range.
    pub const fn contains(self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }

    /// Whether `other` lies wholly in the range.
    pub const fn contains_range(self, other: PageRange) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two share a page.
    pub const fn overlaps(self, other: PageRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The shared part, if any.
    pub fn intersection(self, other: PageRange) -> Option<PageRange> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(PageRange { start, end })
    }
}

impl fmt::Debug for PageRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.start, self.end)
    }
}
