//! What a context does about call sites: finds them, patches them, and hides that they are patched.

use std::{os::fd::BorrowedFd, sync::atomic::Ordering};

use super::{
    context::SystrapContext,
    ops::Op,
    patch::{Hints, Patches, Search, Text, restore},
    site::{self, Shape, Site},
    unit::lock,
    verdicts::is_branch_target,
};
use crate::{AddressSpace, Errno, Gone, PageRange, Piece, Registers, UserAddr};

/// How long to wait for another thread's patch to be written, in yields.
const WRITING_MAX: u32 = 100_000;

impl SystrapContext {
    /// Whether no branch leads into a compared site. No if that is not known and not `worth_it` to search.
    fn is_compared_free(&self, site: &Site, text: &Text, worth_it: bool) -> bool {
        let Some(source) = &text.source else {
            let read = |at, piece: &mut [u8]| self.own.read(UserAddr(at), piece).is_ok();
            return worth_it && !is_branch_target(text.start, text.end, site.back(), read);
        };
        let verdicts = &self.own.shared.verdicts;
        let target = site.back() - text.start;
        let known = verdicts.get(source, target);
        known.unwrap_or_else(|| worth_it && verdicts.search(source, target))
    }

    /// Pieces of `file` were mapped, privately.
    pub(super) fn mapped_image(&self, file: BorrowedFd<'_>, pieces: &[Piece]) {
        for piece in pieces {
            let Some(offset) = piece.offset.filter(|_| lock(&self.own.patches).wants(piece.prot)) else {
                continue;
            };
            let source = self.own.shared.verdicts.source(file, offset, piece.range.len());
            lock(&self.own.patches).mapped(piece.range, source);
        }
    }

    /// Looks whether the site of a call that trapped is worth patching.
    pub(super) fn consider(&mut self, regs: &Registers) {
        if !self.uses_gs() || regs.gs_base != 0 {
            return;
        }
        let Some(count) = lock(&self.own.patches).count(regs) else { return };
        let mut bytes = [0; site::AROUND];
        if self.own.read(UserAddr(regs.rip.wrapping_sub(site::BEFORE)), &mut bytes).is_err() {
            return;
        }
        let Some(site) = Site::recognise(regs.rip, bytes) else { return };
        if matches!(site.shape, Shape::Numbered(number) if u64::from(number) != regs.rax) {
            return;
        }
        let search = lock(&self.own.patches).search(&site, count);
        let may_be_patched = match search {
            Some(Search::Nothing) => true,
            Some(Search::Branches { text, worth_it }) => self.is_compared_free(&site, &text, worth_it),
            None => false,
        };
        self.candidate = may_be_patched.then_some(site);
    }

    /// The operations that patch sites, if there is something to do.
    pub(super) fn patch(&mut self) -> Vec<Op> {
        let (slot, hints) = (&self.stub.slot, &self.own.hints);
        if let Some(site) = self.candidate.take() {
            let alone = self.own.threads.load(Ordering::Relaxed) == 1;
            let mut patches = lock(&self.own.patches);
            let ops = patches.patch(slot, site, alone);
            // In this order: a thread that runs sees the hint, or is seen to run.
            hints.update(&patches);
            let own = slot.address();
            patches.wait_for(self.own.running().into_iter().filter(|slot| *slot != own));
            return ops;
        }
        if !hints.begun.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let mut patches = lock(&self.own.patches);
        let ops = patches.proceed(slot);
        hints.update(&patches);
        ops
    }

    /// Where to resume a guest that is to run at `rip`: elsewhere, if the code there has moved into a thunk.
    pub(super) fn moved(&self, rip: u64) -> u64 {
        if !self.own.hints.compared.load(Ordering::SeqCst) {
            return rip;
        }
        let Some((start, expected, moved)) = lock(&self.own.patches).replaced(&self.stub.slot, rip) else {
            return rip;
        };
        let Some(expected) = expected else { return moved };
        // The guest may have written other code there.
        let mut bytes = vec![0; expected.len()];
        if self.own.read(UserAddr(start), &mut bytes).is_ok() && bytes == expected {
            return moved;
        }
        lock(&self.own.patches).forget(start);
        rip
    }

    /// The thread has stopped.
    pub(super) fn stopped(&self) {
        if self.own.hints.begun.load(Ordering::SeqCst) {
            lock(&self.own.patches).stopped(&self.stub.slot);
        }
    }

    /// After the operations of [`SystrapContext::patch`].
    pub(super) fn patched(&mut self) {
        let slot = &self.stub.slot;
        let mut patches = lock(&self.own.patches);
        if let Some(count) = patches.expects(slot) {
            patches.written(&slot.results(count), count);
        }
    }

    /// Takes all patches back.
    pub(super) fn unpatch(&mut self) -> Result<(), Gone> {
        let sites = lock(&self.own.patches).undo();
        for site in &sites {
            let ops = restore(site, &self.stub.slot);
            self.stub.run(&self.own, &ops)?;
        }
        self.update_patches(Patches::undone);
        Ok(())
    }

    /// Changes what is known of sites, with the hints.
    fn update_patches(&self, change: impl FnOnce(&mut Patches)) {
        let mut patches = lock(&self.own.patches);
        change(&mut patches);
        Hints::update(&self.own.hints, &patches);
    }

    /// Mappings are about to change: what is known of the memory there may be wrong.
    pub(super) fn changed(&mut self, range: PageRange) {
        self.stub.copies.forget();
        if self.uses_gs() {
            lock(&self.own.patches).changed(range);
        }
    }

    /// Mappings are about to go, or be replaced.
    pub(super) fn gone(&mut self, range: PageRange) {
        self.stub.copies.forget();
        if self.uses_gs() {
            self.update_patches(|patches| patches.gone(range));
        }
    }

    /// Mappings are about to move: thunks lead to where code was.
    pub(super) fn moving(&mut self, range: PageRange) -> Result<(), Gone> {
        if self.uses_gs() && lock(&self.own.patches).any_in(range) {
            self.unpatch()?;
        }
        self.gone(range);
        Ok(())
    }

    /// Execve.
    pub(super) fn forget_patches(&mut self) {
        self.stub.copies.forget();
        self.candidate = None;
        self.update_patches(Patches::reset);
    }

    /// Runs `copy`, which copies the memory, while nobody writes call sites; gives it what is known of them.
    pub(super) fn while_frozen<T>(
        &mut self,
        copy: impl FnOnce(&mut SystrapContext, Patches) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        for _ in 0..WRITING_MAX {
            let frozen = lock(&self.own.patches).freeze();
            if let Some(patches) = frozen {
                let result = copy(self, patches);
                lock(&self.own.patches).thaw();
                return result;
            }
            std::thread::yield_now();
        }
        Err(Errno::EAGAIN)
    }
}
