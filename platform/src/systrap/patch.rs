//! Patched call sites: system calls that reach the shim by a jump instead of a trap.
//!
//! A site is patched once it has trapped some times. Only the seven bytes `mov $nr, %eax; syscall` are, which compilers and C
//! libraries write for most calls, and only in private, executable, never writable mappings of files:
//!
//! ```text
//! b8 NR NR NR NR 0f 05     mov $nr, %eax; syscall
//! ff 24 25 PP PP 06 00     jmp *PATCH_TABLE[n]        n's thunk: mov $nr, %eax; movabs $return, %rcx; jmp shim
//! ```
//!
//! The kernel gives a caller back its return address in rcx, so the thunk may use it, and nothing of the guest's is lost. Who
//! jumps to the old `syscall` instruction, or was about to run it, finds `06`, an invalid opcode; [`Patches::repair`] makes the
//! call of it that was meant. While other threads run, the first byte is `int3` until the rest is in place, and every change of
//! it ends with an `mprotect` that interrupts all processors which run the process (Intel SDM 9.1.3, cross-modifying code).
//!
//! The shim finds its slot through the GS base, so a process whose guest sets its own is not patched, or not any more.

use std::collections::{BTreeMap, HashMap};

use super::{
    layout::{PATCH_TABLE, PATCH_TABLE_LEN, PATCHES_MAX, THUNK_LEN, THUNKS, slot},
    ops::{Op, Results},
    shim,
    slot::Slot,
};
use crate::{PageRange, Prot, Registers};

/// A site is patched when it traps for this many times.
const THRESHOLD: u32 = 8;
/// Bounds of what is remembered of a guest.
const COUNTS_MAX: usize = 512;
const TEXTS_MAX: usize = 512;
/// Length of a site, and where in it the `syscall` instruction was.
const SITE_LEN: u64 = 7;
const SYSCALL_AT: u64 = 5;

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
    /// Mappings whose sites may be patched: start and end.
    texts: BTreeMap<u64, u64>,
    /// How often a site has trapped, by return address.
    counts: HashMap<u64, u32>,
    /// Patched sites by address: the number that was there.
    sites: BTreeMap<u64, u32>,
    /// Thunks used.
    used: u64,
    table_mapped: bool,
    thunks_mapped: bool,
    /// Sites are being written by the shim of the slot at this address, with so many operations.
    busy: Option<(u64, usize)>,
}

/// What to do about a trap that a patched site caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// It is the guest's own.
    None,
    /// The registers are those of a system call now.
    Call,
    /// The site is being written: try again.
    Again,
}

impl Patches {
    /// For a guest that must not be patched.
    pub(super) fn off() -> Patches {
        Patches { off: true, ..Patches::default() }
    }

    /// Whether another thread than that of `slot` is writing sites.
    pub(super) fn is_busy(&self, slot: &Slot) -> bool {
        self.busy.is_some_and(|(address, _)| address != slot.address())
    }

    /// For a forked process, in which nobody is writing.
    pub(super) fn inherited(&self) -> Patches {
        // The parent's thread that writes sites is not in the child, and may leave one half written: trust none.
        let off = self.off || self.busy.is_some();
        Patches { off, busy: None, ..self.clone() }
    }

    /// After execve: everything but the thunks' memory is gone.
    pub(super) fn reset(&mut self) {
        *self = Patches {
            off: self.off && self.busy.is_none(),
            thunks_mapped: self.thunks_mapped,
            ..Patches::default()
        };
    }

    /// A private file mapping was made.
    pub(super) fn mapped(&mut self, range: PageRange, prot: Prot) {
        self.changed(range);
        if !self.off && prot == RX && self.texts.len() < TEXTS_MAX {
            self.texts.insert(range.start(), range.end());
        }
    }

    /// Mappings in `range` are about to change: sites there are forgotten.
    pub(super) fn changed(&mut self, range: PageRange) {
        if self.texts.is_empty() {
            return;
        }
        let before = self.texts.range(..range.end()).rev();
        let overlapping: Vec<u64> =
            before.take_while(|(_, end)| **end > range.start()).map(|(start, _)| *start).collect();
        for start in overlapping {
            self.texts.remove(&start);
        }
        let sites: Vec<u64> = self.sites.range(range.start()..range.end()).map(|(site, _)| *site).collect();
        for site in sites {
            self.sites.remove(&site);
        }
    }

    /// Counts a trap of the call that returns to `regs.rip`. `true`: it is worth a look at its site.
    pub(super) fn count(&mut self, regs: &Registers) -> bool {
        if NEVER.contains(&regs.rax) || !self.may_patch(regs.rip) {
            return false;
        }
        if self.counts.len() >= COUNTS_MAX {
            self.counts.clear();
        }
        let count = self.counts.entry(regs.rip).or_insert(0);
        // Once past the threshold and still here: of another kind, or there was no time.
        *count = count.saturating_add(1);
        count.is_multiple_of(THRESHOLD)
    }

    /// Whether the site of a call that returns to `rip` may be patched now.
    fn may_patch(&self, rip: u64) -> bool {
        let inside = |(start, end): (&u64, &u64)| *start + SITE_LEN <= rip && rip <= *end;
        let text = self.texts.range(..rip).next_back().is_some_and(inside);
        text && !self.off && self.busy.is_none() && self.used < PATCHES_MAX
    }

    /// The address of the site of the call that returns to `rip`.
    pub(super) fn site(rip: u64) -> u64 {
        rip.wrapping_sub(SITE_LEN)
    }

    /// The operations that patch the site whose bytes are `bytes`; none if it is of another kind. They must be run next in the
    /// stub of `slot`, which is stopped. `alone`: no other thread runs.
    pub(super) fn patch(&mut self, at: &Slot, regs: &Registers, bytes: [u8; 7], alone: bool) -> Vec<Op> {
        let site = Patches::site(regs.rip);
        let [0xb8, n0, n1, n2, n3, 0x0f, 0x05] = bytes else { return Vec::new() };
        let number = u32::from_le_bytes([n0, n1, n2, n3]);
        if u64::from(number) != regs.rax || self.sites.contains_key(&site) || !self.may_patch(regs.rip) {
            return Vec::new();
        }
        let (pointer, thunk) = (PATCH_TABLE + self.used * 8, THUNKS + self.used * THUNK_LEN);
        let Some(mut ops) = self.map_tables() else { return Vec::new() };
        self.used += 1;
        self.sites.insert(site, number);

        let mut data = Data { slot: at, next: slot::PATCH_DATA };
        let Some(page) = PageRange::covering(thunk & !4095, 4096) else { return Vec::new() };
        // With other threads, one may be in another thunk of the page.
        let writable = if alone { RW } else { RWX };
        ops.push(Op::mprotect(page, writable));
        ops.push(data.copy(thunk, &thunk_code(thunk, number, regs.rip)));
        ops.push(Op::mprotect(page, RX));
        ops.push(data.copy(pointer, &thunk.to_le_bytes()));
        ops.extend(write_site(&mut data, site, jump(pointer), alone));
        self.busy = Some((at.address(), ops.len()));
        ops
    }

    /// Maps pointers and thunks, if they are not yet.
    fn map_tables(&mut self) -> Option<Vec<Op>> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let mut ops = Vec::new();
        if !self.table_mapped {
            ops.push(Op::mmap(PageRange::covering(PATCH_TABLE, PATCH_TABLE_LEN)?, RW, flags, -1, 0));
        }
        if !self.thunks_mapped {
            ops.push(Op::mmap(PageRange::covering(THUNKS, PATCHES_MAX * THUNK_LEN)?, RX, flags, -1, 0));
        }
        (self.table_mapped, self.thunks_mapped) = (true, true);
        Some(ops)
    }

    /// How many results [`Patches::written`] wants to see of the stub at `slot`.
    pub(super) fn expects(&self, slot: &Slot) -> Option<usize> {
        self.busy.filter(|(address, _)| *address == slot.address()).map(|(_, count)| count)
    }

    /// The operations of [`Patches::patch`] have run.
    pub(super) fn written(&mut self, results: &Results, count: usize) {
        self.busy = None;
        if let Err(errno) = results.all(count) {
            log::info!("call sites cannot be patched here: {errno}");
            self.off = true;
        }
    }

    /// Takes every patch back: the operations for it, in lists that can be run at once.
    pub(super) fn undo(&mut self, at: &Slot) -> Vec<Vec<Op>> {
        self.off = true;
        let original = |number: u32| {
            let [a, b, c, d] = number.to_le_bytes();
            [0xb8, a, b, c, d, 0x0f, 0x05]
        };
        let undo = |(site, number)| {
            let mut data = Data { slot: at, next: slot::PATCH_DATA };
            write_site(&mut data, site, original(number), false)
        };
        std::mem::take(&mut self.sites).into_iter().map(undo).collect()
    }

    /// Looks at an exception: did a patched site cause it?
    pub(super) fn repair(&self, signo: i32, regs: &mut Registers) -> Repair {
        let patched = |site: u64| self.sites.contains_key(&site);
        match signo {
            // The old place of the syscall instruction.
            libc::SIGILL if patched(regs.rip.wrapping_sub(SYSCALL_AT)) => {
                regs.rip = regs.rip.wrapping_add(SITE_LEN - SYSCALL_AT);
                (regs.rcx, regs.r11, regs.orig_rax) = (regs.rip, regs.eflags, regs.rax);
                Repair::Call
            }
            // `int3` of a site that is being written.
            libc::SIGTRAP if patched(regs.rip.wrapping_sub(1)) => {
                regs.rip = regs.rip.wrapping_sub(1);
                Repair::Again
            }
            // The first instruction for patched calls faults if the guest lost our GS base.
            libc::SIGSEGV if regs.rip == shim::fast() => {
                regs.rip = regs.rcx;
                (regs.r11, regs.orig_rax) = (regs.eflags, regs.rax);
                Repair::Call
            }
            _ => Repair::None,
        }
    }
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
}

/// `jmp *pointer`.
fn jump(pointer: u64) -> [u8; 7] {
    let [a, b, c, d, ..] = pointer.to_le_bytes();
    [0xff, 0x24, 0x25, a, b, c, d]
}

/// `mov $number, %eax; movabs $back, %rcx; jmp shim`.
fn thunk_code(thunk: u64, number: u32, back: u64) -> Vec<u8> {
    const LEN: u64 = 20;
    let mut code = vec![0xb8];
    code.extend_from_slice(&number.to_le_bytes());
    code.extend_from_slice(&[0x48, 0xb9]);
    code.extend_from_slice(&back.to_le_bytes());
    code.push(0xe9);
    let [a, b, c, d, ..] = shim::fast().wrapping_sub(thunk + LEN).to_le_bytes();
    code.extend_from_slice(&[a, b, c, d]);
    code
}

/// Writes seven bytes of code that other threads may be running.
fn write_site(data: &mut Data<'_>, site: u64, bytes: [u8; 7], alone: bool) -> Vec<Op> {
    const INT3: [u8; 1] = [0xcc];
    let Some(pages) = PageRange::new(site & !4095, (site + SITE_LEN).next_multiple_of(4096)) else {
        return Vec::new();
    };
    let ([first, tail @ ..], open, close) = (bytes, Op::mprotect(pages, RWX), Op::mprotect(pages, RX));
    if alone {
        return vec![open, data.copy(site, &bytes), close];
    }
    vec![
        open,
        data.copy(site, &INT3),
        close,
        open,
        data.copy(site + 1, &tail),
        close,
        open,
        data.copy(site, &[first]),
        close,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_syscall_becomes_an_invalid_opcode() {
        for index in 0..PATCHES_MAX {
            assert_eq!(jump(PATCH_TABLE + index * 8)[5], 0x06);
        }
    }

    #[test]
    fn changes_forget_what_they_overlap() {
        let range = |start, end| PageRange::new(start, end).unwrap();
        let mut patches = Patches::default();
        for start in [0x1000, 0x4000, 0x8000] {
            patches.mapped(range(start, start + 0x2000), RX);
            patches.sites.insert(start + 0x10, 1);
        }
        patches.mapped(range(0x1_0000, 0x1_1000), RW);
        patches.changed(range(0x5000, 0x9000));
        assert_eq!(patches.texts.keys().collect::<Vec<_>>(), [&0x1000]);
        assert_eq!(patches.sites.keys().collect::<Vec<_>>(), [&0x1010, &0x4010]);
        patches.changed(range(0, 0x2000));
        assert!(patches.texts.is_empty());
    }
}
