//! Patched call sites: system calls that reach the shim by a jump instead of a trap. `site.rs` has the bytes.
//!
//! A site is patched once it has trapped some times, and only in private, executable, never writable mappings of files.
//!
//! While other threads run, a site is written in steps: first `int3` over its first byte, then what follows, then the first byte;
//! each ends with an `mprotect` that interrupts all processors which run the process (Intel SDM 9.1.3, cross-modifying code).
//! Whoever runs into the `int3` has made the call ([`Patches::repair`]). For a numbered site the steps follow at once, since a
//! thread that stands on the old `syscall` instruction can be helped. A compared site stays at the first step until every
//! thread that was running then has been seen elsewhere.
//!
//! The shim finds its slot through the GS base, so a process whose guest sets its own is not patched, or not any more.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    layout::{PATCH_TABLE, PATCH_TABLE_LEN, PATCHES_MAX, THUNK_LEN, THUNKS, slot},
    ops::{Op, Results},
    shim,
    site::{self, Shape, Site},
    slot::Slot,
    verdicts::Source,
};
use crate::{PageRange, Prot, Registers};

/// A site is looked at when it has trapped for a multiple of this.
const THRESHOLD: u32 = 4;
/// A compared site, which takes a search through its mapping.
const COMPARED_THRESHOLD: u32 = 64;
/// Mappings larger than this are not searched.
const SEARCH_MAX: u64 = 16 << 20;
/// Bounds of what is remembered of a guest.
const COUNTS_MAX: usize = 512;
const TEXTS_MAX: usize = 512;
/// The most operations that [`Patches::patch`] or [`Patches::proceed`] give.
pub(super) const PATCH_MAX: usize = 2 + 4 + 9;

const RX: Prot = Prot::READ.with(Prot::EXEC);
const RW: Prot = Prot::READ.with(Prot::WRITE);
const RWX: Prot = RW.with(Prot::EXEC);

/// Calls that replace the registers or the thread, for which the sentry needs a signal frame anyway: rt_sigreturn, clone, fork,
/// vfork, execve, exit, arch_prctl, exit_group, execveat, clone3.
const NEVER: [u64; 10] = [15, 56, 57, 58, 59, 60, 158, 231, 322, 435];

/// What is known of a process's call sites.
#[derive(Clone, Debug, Default)]
pub(super) struct Patches {
    off: bool,
    /// Mappings whose sites may be patched, by their starts.
    texts: BTreeMap<u64, Text>,
    /// How often a site has trapped, by return address.
    counts: HashMap<u64, u32>,
    /// Sites with other bytes than their own, by address.
    sites: BTreeMap<u64, Patched>,
    /// Compared sites in the first step.
    begun: Vec<u64>,
    /// Slots of threads that have been running since the last of them was begun.
    awaited: HashSet<u64>,
    /// By thunk: where its calls return to in the guest's code.
    thunks: Vec<u64>,
    table_mapped: bool,
    thunks_mapped: bool,
    /// How many threads are copying the memory: no site may be written.
    frozen: u32,
    /// Sites are being written by the shim of the slot at this address, with so many operations.
    busy: Option<(u64, usize)>,
}

/// A mapping whose sites may be patched.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where its bytes come from, if that can be said.
    pub(super) source: Option<Arc<Source>>,
}

/// What must be done before a site may be patched.
#[derive(Clone, Debug)]
pub(super) enum Search {
    Nothing,
    /// A search for branches to [`Site::back`], unless it is known what that would find.
    Branches {
        text: Text,
        worth_it: bool,
    },
}

/// A site that has other bytes than its own.
#[derive(Clone, Copy, Debug)]
struct Patched {
    site: Site,
    thunk: u64,
    /// Where calls of a compared site return to in the thunk.
    inside: Option<u64>,
}

/// What a patched site did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// Nothing: the trap is the guest's own.
    None,
    /// It made a call: the registers are those of a system call now.
    Call,
}

/// What threads that do not hold the lock need to know.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// There are compared sites: addresses must be translated.
    pub(super) compared: AtomicBool,
    /// Some of them are in the first step.
    pub(super) begun: AtomicBool,
}

impl Hints {
    pub(super) fn of(patches: &Patches) -> Hints {
        let hints = Hints::default();
        hints.update(patches);
        hints
    }

    pub(super) fn update(&self, patches: &Patches) {
        let compared = patches.sites.values().any(|patched| matches!(patched.site.shape, Shape::Compared(_)));
        self.compared.store(compared, Ordering::SeqCst);
        self.begun.store(!patches.begun.is_empty(), Ordering::SeqCst);
    }
}

impl Patches {
    /// For a guest that must not be patched.
    pub(super) fn off() -> Patches {
        Patches { off: true, ..Patches::default() }
    }

    /// Keeps all sites as they are, for a thread that is about to copy the memory: what is known of them, for the copy.
    /// `None`: a site is being written.
    pub(super) fn freeze(&mut self) -> Option<Patches> {
        if self.busy.is_some() {
            return None;
        }
        let copy = Patches { awaited: HashSet::new(), frozen: 0, ..self.clone() };
        self.frozen += 1;
        Some(copy)
    }

    /// After [`Patches::freeze`].
    pub(super) fn thaw(&mut self) {
        self.frozen = self.frozen.saturating_sub(1);
    }

    /// Whether a site may be written now.
    fn is_free(&self) -> bool {
        !self.off && self.busy.is_none() && self.frozen == 0
    }

    /// After execve: everything but the thunks' memory is gone.
    pub(super) fn reset(&mut self) {
        *self = Patches { off: self.off, thunks_mapped: self.thunks_mapped, ..Patches::default() };
    }

    /// Whether it matters that a private file mapping is made.
    pub(super) fn wants(&self, prot: Prot) -> bool {
        !self.off && prot == RX && self.texts.len() < TEXTS_MAX
    }

    /// A private file mapping that matters was made.
    pub(super) fn mapped(&mut self, range: PageRange, source: Option<Arc<Source>>) {
        let (start, end) = (range.start(), range.end());
        self.texts.insert(start, Text { start, end, source });
    }

    /// Mappings in `range` are about to change in some way: nothing there is patched from now on.
    pub(super) fn changed(&mut self, range: PageRange) {
        let before = self.texts.range(..range.end()).rev();
        let overlapping = before.take_while(|(_, text)| text.end > range.start());
        for start in overlapping.map(|(start, _)| *start).collect::<Vec<_>>() {
            self.texts.remove(&start);
            self.counts.retain(|back, _| !range.contains(*back));
        }
    }

    /// Memory in `range` is about to go: its sites are forgotten.
    pub(super) fn gone(&mut self, range: PageRange) {
        self.changed(range);
        let sites = self.sites.range(range.start()..range.end());
        for start in sites.map(|(start, _)| *start).collect::<Vec<_>>() {
            self.sites.remove(&start);
            self.begun.retain(|begun| *begun != start);
        }
    }

    /// Whether there are sites in `range`.
    pub(super) fn any_in(&self, range: PageRange) -> bool {
        self.sites.range(range.start()..range.end()).next().is_some()
    }

    /// The text mapping around a return address, if its sites may be patched now.
    fn text(&self, back: u64) -> Option<&Text> {
        let (_, text) = self.texts.range(..back).next_back()?;
        let inside =
            text.start + site::BEFORE <= back && back - site::BEFORE + site::AROUND as u64 <= text.end;
        (inside && self.is_free() && (self.thunks.len() as u64) < PATCHES_MAX).then_some(text)
    }

    /// Counts a trap of the call that returns to `regs.rip`: how often it has trapped, when it is worth a look at its site.
    pub(super) fn count(&mut self, regs: &Registers) -> Option<u32> {
        if NEVER.contains(&regs.rax) || self.text(regs.rip).is_none() {
            return None;
        }
        if self.counts.len() >= COUNTS_MAX {
            self.counts.clear();
        }
        let count = self.counts.entry(regs.rip).or_insert(0);
        *count = count.saturating_add(1);
        count.is_multiple_of(THRESHOLD).then_some(*count)
    }

    /// What must be done before a site that trapped `count` times may be patched. `None`: it is not to be patched.
    pub(super) fn search(&self, site: &Site, count: u32) -> Option<Search> {
        if let Shape::Numbered(_) = site.shape {
            return Some(Search::Nothing);
        }
        let text = self.text(site.back())?;
        // Once: what is found does not change.
        let worth_it = count == COMPARED_THRESHOLD;
        (text.end - text.start <= SEARCH_MAX).then(|| Search::Branches { text: text.clone(), worth_it })
    }

    /// The operations that patch `site`, or begin to. They must be run next in the stub of `slot`, which is stopped.
    /// [`Patches::wait_for`] must follow.
    pub(super) fn patch(&mut self, at: &Slot, site: Site, alone: bool) -> Vec<Op> {
        if self.sites.contains_key(&site.start) || self.text(site.back()).is_none() {
            return Vec::new();
        }
        let index = self.thunks.len() as u64;
        let (pointer, thunk) = (PATCH_TABLE + index * 8, THUNKS + index * THUNK_LEN);
        let (code, back) = site.thunk(index);
        let (Some(mut ops), Some(page)) = (self.map_tables(), pages(thunk, THUNK_LEN)) else {
            return Vec::new();
        };

        let mut data = Data { slot: at, next: slot::PATCH_DATA };
        // With other threads, one may be in another thunk of the page.
        ops.push(Op::mprotect(page, if alone { RW } else { RWX }));
        ops.push(data.copy(thunk, &code));
        ops.push(Op::mprotect(page, RX));
        ops.push(data.copy(pointer, &thunk.to_le_bytes()));
        let compared = matches!(site.shape, Shape::Compared(_));
        if compared && !alone {
            ops.extend(data.write(site.start, &INT3, false));
            self.begun.push(site.start);
        } else {
            ops.extend(data.write(site.start, &site.replacement(pointer), alone));
        }
        self.sites.insert(site.start, Patched { site, thunk: index, inside: compared.then_some(back) });
        self.thunks.push(site.back());
        self.busy = Some((at.address(), ops.len()));
        ops
    }

    /// If a compared site was begun: waits for these slots, of threads that run.
    pub(super) fn wait_for(&mut self, running: impl Iterator<Item = u64>) {
        if !self.begun.is_empty() {
            self.awaited.extend(running);
        }
    }

    /// The operations that end what [`Patches::patch`] began, once it is time.
    pub(super) fn proceed(&mut self, at: &Slot) -> Vec<Op> {
        if !self.is_free() || !self.awaited.is_empty() {
            return Vec::new();
        }
        let Some(patched) = self.begun.pop().and_then(|start| self.sites.get(&start)) else {
            return Vec::new();
        };
        let mut data = Data { slot: at, next: slot::PATCH_DATA };
        let bytes = patched.site.replacement(PATCH_TABLE + patched.thunk * 8);
        let ops = data.write(patched.site.start, &bytes, false);
        self.busy = Some((at.address(), ops.len()));
        ops
    }

    /// Maps pointers and thunks, if they are not yet.
    fn map_tables(&mut self) -> Option<Vec<Op>> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let mut ops = Vec::new();
        if !self.table_mapped {
            ops.push(Op::mmap(pages(PATCH_TABLE, PATCH_TABLE_LEN)?, RW, flags, -1, 0));
        }
        if !self.thunks_mapped {
            ops.push(Op::mmap(pages(THUNKS, PATCHES_MAX * THUNK_LEN)?, RX, flags, -1, 0));
        }
        (self.table_mapped, self.thunks_mapped) = (true, true);
        Some(ops)
    }

    /// How many results [`Patches::written`] wants to see of the stub at `slot`.
    pub(super) fn expects(&self, slot: &Slot) -> Option<usize> {
        self.busy.filter(|(address, _)| *address == slot.address()).map(|(_, count)| count)
    }

    /// The operations of [`Patches::patch`] or [`Patches::proceed`] have run.
    pub(super) fn written(&mut self, results: &Results, count: usize) {
        self.busy = None;
        if let Err(errno) = results.all(count) {
            log::info!("call sites cannot be patched here: {errno}");
            self.off = true;
        }
    }

    /// The thread of `slot` is stopped.
    pub(super) fn stopped(&mut self, slot: &Slot) {
        self.awaited.remove(&slot.address());
    }

    /// Takes every patch back: the sites to give to [`restore`], one after the other. [`Patches::undone`] must follow.
    pub(super) fn undo(&mut self) -> Vec<Site> {
        self.off = true;
        self.sites.values().map(|patched| patched.site).collect()
    }

    /// The operations of [`Patches::undo`] have run.
    pub(super) fn undone(&mut self) {
        self.sites.clear();
        self.begun.clear();
        self.awaited.clear();
    }

    /// Where the guest is that called through a thunk and is to return to `back`.
    pub(super) fn guest_address(&self, back: u64) -> u64 {
        let index = back.checked_sub(THUNKS).and_then(|offset| usize::try_from(offset / THUNK_LEN).ok());
        index.and_then(|index| self.thunks.get(index).copied()).unwrap_or(back)
    }

    /// The site whose old `cmp` is at `rip`, where a thread of `slot` is about to run, if it is elsewhere too: its start, its
    /// bytes if they must be there now, and where the `cmp` is instead. If it is still there only, the thread is awaited.
    pub(super) fn replaced(&mut self, slot: &Slot, rip: u64) -> Option<(u64, Option<Vec<u8>>, u64)> {
        let patched = self.sites.get(&rip.wrapping_sub(2)).filter(|patched| patched.site.back() == rip)?;
        let (start, inside) = (patched.site.start, patched.inside?);
        if self.begun.contains(&start) {
            // The thunk is there once nobody writes it.
            if self.busy.is_some() {
                self.awaited.insert(slot.address());
                return None;
            }
            return Some((start, None, inside));
        }
        let bytes = patched.site.replacement(PATCH_TABLE + patched.thunk * 8);
        Some((start, self.busy.is_none().then_some(bytes), inside))
    }

    /// The site at `start` was overwritten by the guest itself.
    pub(super) fn forget(&mut self, start: u64) {
        self.sites.remove(&start);
        self.begun.retain(|begun| *begun != start);
    }

    /// Looks at an exception: did a patched site cause it?
    pub(super) fn repair(&self, signo: i32, regs: &mut Registers) -> Repair {
        let back = match signo {
            // The old place of the syscall instruction.
            libc::SIGILL => {
                let patched = self.sites.range(..regs.rip).next_back();
                let hit = patched.filter(|(_, patched)| patched.site.syscall() == regs.rip);
                hit.map(|(_, patched)| patched.site.back())
            }
            // `int3` of a site that is being written, or waits to be.
            libc::SIGTRAP => self.sites.get(&regs.rip.wrapping_sub(1)).map(|patched| {
                if let Shape::Numbered(number) = patched.site.shape {
                    regs.rax = number.into();
                }
                patched.site.back()
            }),
            // The first instruction for patched calls faults if the guest lost our GS base.
            libc::SIGSEGV if regs.rip == shim::fast() => Some(self.guest_address(regs.rcx)),
            _ => None,
        };
        let Some(back) = back else { return Repair::None };
        (regs.rip, regs.rcx, regs.r11, regs.orig_rax) = (back, back, regs.eflags, regs.rax);
        Repair::Call
    }
}

const INT3: [u8; 1] = [0xcc];

/// The operations that make a site what it was. They must be run in the stub of `slot` before others that have data.
pub(super) fn restore(site: &Site, slot: &Slot) -> Vec<Op> {
    Data { slot, next: slot::PATCH_DATA }.write(site.start, &site.original(), false)
}

/// The pages of `[start, start + len)`.
fn pages(start: u64, len: u64) -> Option<PageRange> {
    PageRange::new(start & !4095, (start + len).next_multiple_of(4096))
}

/// Bytes for operations to copy.
struct Data<'a> {
    slot: &'a Slot,
    next: usize,
}

impl Data<'_> {
    fn copy(&mut self, to: u64, bytes: &[u8]) -> Op {
        let at = self.next;
        self.slot.write(at, bytes);
        self.next += bytes.len();
        Op::copy(to, self.slot.guest(at), bytes.len() as u64)
    }

    /// Writes code, in steps if other threads may run it.
    fn write(&mut self, at: u64, bytes: &[u8], alone: bool) -> Vec<Op> {
        let Some(pages) = pages(at, bytes.len() as u64) else { return Vec::new() };
        let (open, close) = (Op::mprotect(pages, RWX), Op::mprotect(pages, RX));
        let mut step = |at, bytes: &[u8]| [open, self.copy(at, bytes), close];
        match bytes {
            [first, tail @ ..] if !alone && !tail.is_empty() => {
                [step(at, &INT3), step(at + 1, tail), step(at, &[*first])].concat()
            }
            _ => step(at, bytes).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> PageRange {
        PageRange::new(start, end).unwrap()
    }

    #[test]
    fn changes_forget_what_they_overlap() {
        let mut patches = Patches::default();
        for start in [0x1000, 0x4000, 0x8000] {
            patches.mapped(range(start, start + 0x2000), None);
            let site = Site { start: start + 0x10, shape: Shape::Numbered(1) };
            patches.sites.insert(site.start, Patched { site, thunk: 0, inside: None });
        }
        assert!(patches.wants(RX) && !patches.wants(RW));
        patches.gone(range(0x5000, 0x9000));
        assert_eq!(patches.texts.keys().collect::<Vec<_>>(), [&0x1000]);
        assert_eq!(patches.sites.keys().collect::<Vec<_>>(), [&0x1010, &0x4010]);
        patches.changed(range(0, 0x2000));
        assert!(patches.texts.is_empty() && patches.any_in(range(0, 0x2000)));
    }
}
