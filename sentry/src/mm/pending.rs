//! Changes that the platform may not have made yet, because the thread that asked for them has not run since
//! ([`platform::Context`]).
//!
//! * An address that a thread has freed must not be given to another: its unmapping could come after the other's mapping.
//! * A mapping that the host refuses after all must be forgotten again.
//!
//! Threads are known here by the host thread that acts for them, which is one at a time. What a thread asked for is done
//! when it asks for the next thing; so all of this is about the last call of each.

use std::thread::{self, ThreadId};

use linux_abi::{Errno, PageRange, Result};
use platform::Context;

use super::{Mm, State, map_errno};

/// The last changes of each thread.
#[derive(Clone, Default)]
pub(super) struct Pending {
    freed: Vec<(ThreadId, PageRange)>,
    mapped: Vec<(ThreadId, PageRange)>,
}

impl Pending {
    /// The calling thread begins to change something: all that it asked for before is done.
    pub(super) fn begin(&mut self) {
        if !self.freed.is_empty() || !self.mapped.is_empty() {
            let me = thread::current().id();
            self.freed.retain(|(thread, _)| *thread != me);
            self.mapped.retain(|(thread, _)| *thread != me);
        }
    }

    /// Addresses become free.
    pub(super) fn free(&mut self, range: PageRange) {
        self.freed.push((thread::current().id(), range));
    }

    /// A mapping is made, by the only change of this call.
    pub(super) fn map(&mut self, range: PageRange) {
        self.mapped.push((thread::current().id(), range));
    }

    /// What of `range` another thread is about to unmap, if anything.
    pub(super) fn freed_in(&self, range: PageRange) -> Option<PageRange> {
        if self.freed.is_empty() {
            return None;
        }
        let me = thread::current().id();
        self.freed
            .iter()
            .find(|(thread, freed)| *thread != me && freed.overlaps(range))
            .map(|(_, freed)| *freed)
    }

    fn take_mapped(&mut self) -> Option<PageRange> {
        let me = thread::current().id();
        let index = self.mapped.iter().position(|(thread, _)| *thread == me)?;
        Some(self.mapped.swap_remove(index).1)
    }
}

impl State {
    /// Begins a change by the calling thread.
    pub(super) fn begin(&mut self) {
        self.pending.begin();
    }
}

impl Mm {
    /// The host refused what the calling thread asked for last. If that was a mapping, it is forgotten, and whatever the host has
    /// at its place with it.
    ///
    /// # Errors
    /// `ENOMEM`: it was something else, and memory is not as it should be.
    pub fn refused(&self, context: &mut dyn Context) -> Result<()> {
        let mut state = self.state.lock();
        let range = state.pending.take_mapped().ok_or(Errno::ENOMEM)?;
        context.unmap(range).map_err(map_errno)?;
        state.vmas.remove(range);
        Ok(())
    }

    /// The calling thread acts for another task from now on, or for none.
    pub fn leave(&self) {
        self.state.lock().begin();
    }
}
