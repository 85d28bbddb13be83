//! How much a tmpfs may hold.

use std::sync::atomic::{AtomicU64, Ordering};

use linux_abi::{Errno, Result};

/// Two limits with what is used of them.
pub(super) struct Budget {
    bytes: Counter,
    inodes: Counter,
}

struct Counter {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Counter {
    fn new(limit: u64) -> Counter {
        Counter { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    /// Takes `amount`, all or nothing.
    fn take(&self, amount: u64) -> Result<()> {
        let limit = self.limit.load(Ordering::Relaxed);
        let add = |used: u64| used.checked_add(amount).filter(|&sum| sum <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map(drop).map_err(|_| Errno::ENOSPC)
    }

    fn give(&self, amount: u64) {
        let subtract = |used: u64| Some(used.saturating_sub(amount));
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }
}

impl Budget {
    pub(super) fn new(bytes: u64, inodes: u64) -> Budget {
        Budget { bytes: Counter::new(bytes), inodes: Counter::new(inodes) }
    }

    /// Takes bytes. `ENOSPC` if there are not so many.
    pub(super) fn take_bytes(&self, count: u64) -> Result<()> {
        self.bytes.take(count)
    }

    /// Gives bytes back.
    pub(super) fn give_bytes(&self, count: u64) {
        self.bytes.give(count);
    }

    /// Replaces a charge that was an estimate by the truth, which may exceed the limit (memory that a guest filled
    /// through a mapping).
    pub(super) fn correct_bytes(&self, charged: u64, actual: u64) {
        if actual > charged {
            self.bytes.used.fetch_add(actual - charged, Ordering::Relaxed);
        } else {
            self.bytes.give(charged - actual);
        }
    }

    /// Takes an inode or a name: both are memory of the sentry.
    pub(super) fn take_inode(&self) -> Result<()> {
        self.inodes.take(1)
    }

    /// Gives an inode or a name back.
    pub(super) fn give_inode(&self) {
        self.inodes.give(1);
    }

    /// Bytes: (limit, used).
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.bytes.limit(), self.bytes.used())
    }

    /// Inodes: (limit, used).
    pub(super) fn inodes(&self) -> (u64, u64) {
        (self.inodes.limit(), self.inodes.used())
    }

    /// Changes a limit (`MS_REMOUNT`).
    pub(super) fn set_byte_limit(&self, limit: u64) -> Result<()> {
        if limit < self.bytes.used() {
            return Err(Errno::EINVAL);
        }
        self.bytes.limit.store(limit, Ordering::Relaxed);
        Ok(())
    }
}
