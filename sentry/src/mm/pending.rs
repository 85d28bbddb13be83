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
use platform::{Context, Prot};

use super::{Mm, State, map_errno};

/// The last changes of each thread.
#[derive(Clone, Default)]
pub(super) struct Pending {
    freed: Vec<(ThreadId, PageRange)>,
    undo: Vec<(ThreadId, Undo)>,
}

/// How to take back a change that the host refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    /// A mapping was made there, where nothing was.
    Map(PageRange),
    /// The protection was this.
    Protect(PageRange, Prot),
    /// The program break was there.
    Break(u64),
}

impl Pending {
    /// The calling thread begins to change something: all that it asked for before is done.
    pub(super) fn begin(&mut self) {
        if !self.freed.is_empty() || !self.undo.is_empty() {
            let me = thread::current().id();
            self.freed.retain(|(thread, _)| *thread != me);
            self.undo.retain(|(thread, _)| *thread != me);
        }
    }

    /// Addresses become free.
    pub(super) fn free(&mut self, range: PageRange) {
        self.freed.push((thread::current().id(), range));
    }

    /// Something changes that can be taken back. A call makes either only such changes, or none.
    pub(super) fn changes(&mut self, undo: Undo) {
        self.undo.push((thread::current().id(), undo));
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

    /// What the calling thread's last call changed, the last change first.
    fn take_undo(&mut self) -> Vec<Undo> {
        let me = thread::current().id();
        let mut mine: Vec<_> =
            self.undo.extract_if(.., |(thread, _)| *thread == me).map(|(_, undo)| undo).collect();
        mine.reverse();
        mine
    }
}

impl State {
    /// Begins a change by the calling thread.
    pub(super) fn begin(&mut self) {
        self.pending.begin();
    }
}

impl Mm {
    /// The host refused what the calling thread asked for last. It is taken back as a whole: the host may have done a part. Returns
    /// what the call returns, if not an error.
    ///
    /// # Errors
    /// `ENOMEM`: it cannot be taken back, and memory is not as it should be.
    pub fn refused(&self, context: &mut dyn Context) -> Result<Option<u64>> {
        let mut state = self.state.lock();
        let undo = state.pending.take_undo();
        if undo.is_empty() {
            return Err(Errno::ENOMEM);
        }
        let mut returns = None;
        for undo in undo {
            match undo {
                Undo::Map(range) => {
                    context.unmap(range).map_err(map_errno)?;
                    state.vmas.remove(range);
                }
                Undo::Protect(range, prot) => {
                    context.protect(range, prot).map_err(map_errno)?;
                    state.vmas.update(range, |vma| vma.prot = prot);
                }
                Undo::Break(at) => {
                    state.brk = at;
                    returns = Some(at);
                }
            }
        }
        Ok(returns)
    }

    /// The calling thread acts for another task from now on, or for none.
    pub fn leave(&self) {
        self.state.lock().begin();
    }
}

#[cfg(test)]
mod tests {
    use platform::{
        Platform, Prot,
        fake::{Fake, Script},
    };

    use super::*;
    use crate::{
        credentials::Caps,
        limits::Limits,
        mm::map::{Caller, MAP_ANONYMOUS, MAP_PRIVATE, MapRequest},
    };

    fn map(mm: &Mm, context: &mut dyn Context, len: u64) -> u64 {
        let limits = Limits::unlimited();
        let caller = Caller { limits: &limits, caps: Caps::empty() };
        let flags = MAP_PRIVATE | MAP_ANONYMOUS;
        let request =
            MapRequest { addr: 0, len, prot: Prot::READ, flags, file: None, memory: None, offset: 0 };
        mm.mmap(context, &caller, &request).expect("mmap").0
    }

    #[test]
    fn another_thread_gets_freed_addresses_only_when_the_first_has_gone_on() {
        let platform = Fake::new([Script::new()]);
        let mut process = platform.new_process().expect("a process");
        let context = &mut *process.context;
        let mm = Mm::new(process.space, platform.layout());
        mm.add_user();
        let first = map(&mm, context, 0x1000);
        mm.munmap(context, first, 0x1000).expect("munmap");
        let other = |context: &mut dyn Context| {
            thread::scope(|scope| {
                let mm = &mm;
                let got = scope.spawn(move || {
                    let at = map(mm, context, 0x1000);
                    mm.munmap(context, at, 0x1000).expect("munmap");
                    mm.leave();
                    at
                });
                got.join().expect("joined")
            })
        };
        assert_ne!(other(context), first, "it is not unmapped yet");
        assert_eq!(map(&mm, context, 0x1000), first, "but for the thread itself it is free");
        mm.munmap(context, first, 0x1000).expect("munmap");
        mm.leave();
        assert_eq!(other(context), first);
    }

    #[test]
    fn a_refused_mapping_is_forgotten() {
        let platform = Fake::new([Script::new()]);
        let mut process = platform.new_process().expect("a process");
        let context = &mut *process.context;
        let mm = Mm::new(process.space, platform.layout());
        let at = map(&mm, context, 0x3000);
        assert_eq!(mm.refused(context), Ok(None));
        assert!(mm.find(at).is_none());
        assert_eq!(mm.refused(context), Err(Errno::ENOMEM), "only once");
        let at = map(&mm, context, 0x3000);
        mm.munmap(context, at, 0x1000).expect("munmap");
        assert_eq!(mm.refused(context), Err(Errno::ENOMEM), "what was there is gone");
    }

    #[test]
    fn a_refused_protection_is_as_before() {
        let platform = Fake::new([Script::new()]);
        let mut process = platform.new_process().expect("a process");
        let context = &mut *process.context;
        let mm = Mm::new(process.space, platform.layout());
        let at = map(&mm, context, 0x3000);
        mm.mprotect(context, at, 0x1000, 0).expect("mprotect");
        mm.mprotect(context, at, 0x2000, 3).expect("mprotect");
        assert_eq!(mm.refused(context), Ok(None));
        let prot = |at| mm.find(at).map(|vma| vma.prot);
        assert_eq!(prot(at), Some(Prot::NONE), "the first call was done");
        assert_eq!(prot(at + 0x1000), Some(Prot::READ));
        assert_eq!(prot(at + 0x2000), Some(Prot::READ));
    }

    #[test]
    fn a_refused_break_stays_where_it_was() {
        let platform = Fake::new([Script::new()]);
        let mut process = platform.new_process().expect("a process");
        let context = &mut *process.context;
        let mm = Mm::new(process.space, platform.layout());
        let limits = Limits::unlimited();
        mm.set_heap_start(0x100_0000);
        assert_eq!(mm.brk(context, &limits, 0x100_2000), 0x100_2000);
        assert_eq!(mm.brk(context, &limits, 0x100_5000), 0x100_5000);
        assert_eq!(mm.refused(context), Ok(Some(0x100_2000)));
        assert_eq!(mm.brk(context, &limits, 0), 0x100_2000);
        assert!(mm.find(0x100_1000).is_some());
        assert!(mm.find(0x100_2000).is_none());
    }

    #[test]
    fn whole_huge_pages_are_aligned() {
        let platform = Fake::new([Script::new()]);
        let mut process = platform.new_process().expect("a process");
        let context = &mut *process.context;
        let mm = Mm::new(process.space, platform.layout());
        map(&mm, context, 0x1000);
        assert_eq!(map(&mm, context, 4 << 20) % (2 << 20), 0);
        let small = map(&mm, context, 0x5000);
        assert_eq!(map(&mm, context, 6 << 20) % (2 << 20), 0);
        assert!(mm.find(small).is_some_and(|vma| vma.range.start() <= small));
    }
}
