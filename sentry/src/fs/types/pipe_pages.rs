//! What all pipes and FIFOs together may hold.
//!
//! As `account_pipe_buffers` in Linux's `fs/pipe.c`, with two differences: the count is the sandbox's, not a user's, and
//! nobody is exempt, because the memory is the sentry's. A [`Charge`] is one pipe's part, by its capacity.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use linux_abi::{Errno, Result};

use super::pipe_buffer::{DEFAULT_SLOTS, PIPE_BUF};

/// `/proc/sys/fs/pipe-user-pages-soft`.
const SOFT: usize = 16 << 10;
/// Slots of a pipe made above the soft limit (`PIPE_MIN_DEF_BUFFERS`).
const MIN_SLOTS: usize = 2;

/// The pages of all pipes of a sandbox.
pub struct PipePages {
    used: AtomicUsize,
    /// Above it, pipes get [`MIN_SLOTS`] and cannot grow.
    soft: usize,
    /// Above it there are no more pipes.
    hard: usize,
}

impl Default for PipePages {
    fn default() -> PipePages {
        PipePages { used: AtomicUsize::new(0), soft: SOFT, hard: 4 * SOFT }
    }
}

impl PipePages {
    /// Limits for a sandbox with that many bytes of memory: a 32nd of it, at most what Linux allows a user.
    pub fn of_memory(memory: u64) -> PipePages {
        let share = usize::try_from(memory / 32).unwrap_or(usize::MAX) / PIPE_BUF;
        let soft = share.clamp(64 * DEFAULT_SLOTS, SOFT);
        PipePages { soft, hard: 4 * soft, ..PipePages::default() }
    }

    /// A new pipe's part.
    ///
    /// # Errors
    /// `ENFILE`.
    pub(super) fn charge(self: &Arc<Self>) -> Result<Charge> {
        let slots = match self.add(DEFAULT_SLOTS, self.soft) {
            Ok(()) => DEFAULT_SLOTS,
            Err(()) => self.add(MIN_SLOTS, self.hard).map(|()| MIN_SLOTS).map_err(|()| Errno::ENFILE)?,
        };
        Ok(Charge { pages: Arc::clone(self), slots })
    }

    fn add(&self, count: usize, limit: usize) -> core::result::Result<(), ()> {
        let sum = |used: usize| used.checked_add(count).filter(|sum| *sum <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).map(drop).map_err(drop)
    }
}

/// What one pipe may hold. Given back when dropped.
pub(super) struct Charge {
    pages: Arc<PipePages>,
    slots: usize,
}

impl Charge {
    /// How many slots.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Changes that.
    ///
    /// # Errors
    /// `EPERM` if it grows beyond what all pipes may have.
    pub(super) fn resize(&mut self, slots: usize) -> Result<()> {
        if slots > self.slots {
            self.pages.add(slots - self.slots, self.pages.soft).map_err(|()| Errno::EPERM)?;
        } else {
            self.pages.used.fetch_sub(self.slots - slots, Ordering::Relaxed);
        }
        self.slots = slots;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.pages.used.fetch_sub(self.slots, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pipes_get_little_and_then_nothing() {
        let pages = Arc::new(PipePages { soft: 32, hard: 36, ..PipePages::default() });
        let mut first = pages.charge().unwrap();
        let second = pages.charge().unwrap();
        assert_eq!((first.slots(), second.slots()), (16, 16));
        assert_eq!(first.resize(32), Err(Errno::EPERM));
        let small = [pages.charge().unwrap(), pages.charge().unwrap()];
        assert_eq!(small[1].slots(), 2);
        assert_eq!(pages.charge().err(), Some(Errno::ENFILE));
        first.resize(1).unwrap();
        drop((first, second, small));
        assert_eq!(pages.used.load(Ordering::Relaxed), 0);
    }
}
