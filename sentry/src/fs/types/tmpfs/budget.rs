//! How much a tmpfs may hold, and all of them together.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use linux_abi::{Errno, Result};

/// Two limits with what is used of them.
pub(super) struct Budget {
    bytes: Counter,
    inodes: Counter,
    /// What it shares with the sandbox's other filesystems in memory.
    total: OnceLock<Arc<FileMemory>>,
}

/// What all files in memory of a sandbox may hold, whatever the sizes of their filesystems add up to.
pub struct FileMemory(Counter);

impl FileMemory {
    /// For a sandbox with that many bytes of memory: five eighths of it.
    pub fn of_memory(memory: u64) -> Arc<FileMemory> {
        Arc::new(FileMemory(Counter::new(memory / 8 * 5)))
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.0.used()
    }
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
        Budget { bytes: Counter::new(bytes), inodes: Counter::new(inodes), total: OnceLock::new() }
    }

    /// Counts towards `total` too. To be called before anything is taken.
    pub(super) fn share(&self, total: &Arc<FileMemory>) {
        let _ = self.total.set(Arc::clone(total));
    }

    /// Takes bytes. `ENOSPC` if there are not so many.
    pub(super) fn take_bytes(&self, count: u64) -> Result<()> {
        self.bytes.take(count)?;
        if let Some(total) = self.total.get()
            && let Err(errno) = total.0.take(count)
        {
            self.bytes.give(count);
            return Err(errno);
        }
        Ok(())
    }

    /// Gives bytes back.
    pub(super) fn give_bytes(&self, count: u64) {
        self.bytes.give(count);
        if let Some(total) = self.total.get() {
            total.0.give(count);
        }
    }

    /// Replaces a charge that was an estimate by the truth, which may exceed the limit (memory that a guest filled
    /// through a mapping).
    pub(super) fn correct_bytes(&self, charged: u64, actual: u64) {
        if actual > charged {
            let more = actual - charged;
            self.bytes.used.fetch_add(more, Ordering::Relaxed);
            if let Some(total) = self.total.get() {
                total.0.used.fetch_add(more, Ordering::Relaxed);
            }
        } else {
            self.give_bytes(charged - actual);
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
