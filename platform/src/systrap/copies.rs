//! Copies between guest memory and a slot that the shim makes with a call, where the sentry would need a host call.
//!
//! With a call, the shim copies what its arguments point at, and finds out whether what they are to receive can be written, as
//! the row of the call in [`table`] says. It leaves a record of each. The sentry's reads are then answered from the slot, and
//! its writes wait there for the shim to copy them when it returns to the guest.
//!
//! Records are allegations like everything in a slot: with a false one a guest deceives itself about its own memory.

use syscall_tables::{
    copy::{Copying, Kind, Len},
    nr,
};

use super::{
    answers,
    layout::{COPY_ROW_LEN, COPY_TABLE_ROWS, copy, flag, slot},
    lent,
    ops::Op,
    slot::Slot,
};
use crate::Registers;

/// Items that a row has room for.
const ITEMS: usize = COPY_ROW_LEN / 4;
/// How much of a string is copied: no more than to the end of its page.
const STRING_LEN: u32 = 256;
/// The most that the shim multiplies the length of one element with.
const TIMES_MAX: u64 = 65536;
/// The most writes that wait.
pub(super) const WRITES_MAX: usize = 8;

/// The table of the shim.
pub(super) fn table() -> Vec<u8> {
    let mut table = Vec::with_capacity(COPY_TABLE_ROWS * COPY_ROW_LEN);
    for number in 0..COPY_TABLE_ROWS as u64 {
        let plan = syscall_tables::copy_plan(number).map_or(&[][..], |plan| plan.items());
        let known = answers::item(number).or_else(|| (number == nr::rt_sigreturn).then(signal_frame));
        let mut items = plan.iter().filter_map(item).chain(known).chain([0; ITEMS]);
        let first = items.next().unwrap_or(0) | lent::bit(number);
        table.extend([first].into_iter().chain(items).take(ITEMS).flat_map(u32::to_le_bytes));
    }
    table
}

/// What rt_sigreturn(2) reads: the frame at the stack pointer.
fn signal_frame() -> u32 {
    /// Index of rsp in a `sigcontext`.
    const RSP: u32 = 15;
    /// What is in front of the extended state, with the hole before that, and behind it.
    const OTHERS: usize = 440 + 64 + 4;
    let len = u32::try_from(host::cpu::xstate().size + OTHERS).unwrap_or(0);
    RSP | copy::IN | len.min(0xffff) << 16
}

/// The index in a `sigcontext` of the register that holds an argument.
fn register(argument: u8) -> Option<u32> {
    [8, 9, 12, 2, 0, 1].get(usize::from(argument)).copied()
}

/// An item of the table, if the shim can do it.
fn item(copying: &Copying) -> Option<u32> {
    let (what, len) = match copying.kind {
        Kind::CString => (copy::IN | copy::IN_PAGE, Len::Const(STRING_LEN)),
        Kind::In(len) => (copy::IN, len),
        Kind::Out(len) => (copy::OUT, len),
        Kind::InOut(len) => (copy::IN | copy::OUT, len),
        Kind::InVec { count } | Kind::OutVec { count } => (copy::IN, Len::ArgTimes(count, 16)),
    };
    let times = |argument, factor: u32| Some(copy::TIMES | register(argument)? << 8 | factor << 16);
    let len = match len {
        Len::Const(len) if len < 1 << 16 => len << 16,
        Len::Arg(argument) => times(argument, 1)?,
        Len::ArgTimes(argument, factor) if factor < 1 << 16 => times(argument, factor)?,
        Len::ArgBits(argument) => times(argument, 8)? | copy::BITS,
        Len::Const(_) | Len::ArgTimes(..) | Len::Pointed(_) => return None,
    };
    Some(register(copying.arg)? | what | len)
}

/// Item `index` of the shim's row of `call`.
fn described(call: &Call, index: usize) -> Option<&'static Copying> {
    let plan = syscall_tables::copy_plan(call.number)?;
    plan.items().iter().filter(|copying| item(copying).is_some()).nth(index)
}

/// Where item `index` of the shim's row of `call` is, if it is a string.
fn string(call: &Call, index: usize) -> Option<u64> {
    let copying = described(call, index).filter(|copying| matches!(copying.kind, Kind::CString))?;
    call.arguments.get(usize::from(copying.arg)).copied()
}

/// What item `index` of the shim's row of `call` is to receive.
fn receives(call: &Call, index: usize) -> Option<Piece> {
    let copying = described(call, index)?;
    let (Kind::Out(len) | Kind::InOut(len)) = copying.kind else { return None };
    let argument = |argument: u8| call.arguments.get(usize::from(argument)).copied();
    let len = match len {
        Len::Const(len) => u64::from(len),
        Len::Arg(count) => argument(count)?,
        Len::ArgTimes(count, factor) => argument(count)?.min(TIMES_MAX) * u64::from(factor),
        Len::ArgBits(count) => argument(count)?.min(TIMES_MAX).div_ceil(64) * 8,
        Len::Pointed(_) => return None,
    };
    Piece::new(argument(copying.arg)?, usize::try_from(len.min(copy::OUT_MAX.into())).ok()?)
}

/// Whether the shim may have put a copy there.
fn is_copy(offset: usize, len: usize) -> bool {
    let within = |start, end| offset >= start && offset.checked_add(len).is_some_and(|last| last <= end);
    within(slot::IN, slot::OUT) || within(slot::SMALL_IN, slot::RECORDS)
}

/// A system call.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    number: u64,
    arguments: [u64; 6],
}

/// A piece of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u64,
    end: u64,
}

impl Piece {
    fn new(start: u64, len: usize) -> Option<Piece> {
        Some(Piece { start, end: start.checked_add(len as u64)? })
    }

    fn covers(self, other: Piece) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    fn overlaps(self, other: Piece) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// A write of a few bytes.
#[derive(Debug)]
struct Small {
    piece: Piece,
    data: [u8; flag::HERE_LEN],
    len: usize,
}

/// The only write of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Only {
    /// Of bytes that are in the slot.
    There { to: u64, len: u64, from: u64 },
    /// Of these bytes.
    Here { to: u64, len: u64, data: [u64; 2] },
}

/// What the shim copied for the current call, and what it is to copy.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// The thread is stopped in this call, whose records have not been looked at.
    fresh: Option<Call>,
    /// Copies in the slot and their offsets.
    read: Vec<(Piece, usize)>,
    writable: Vec<Piece>,
    /// Where empty strings are.
    empty: Vec<u64>,
    /// A write that waits and has a place in the reply, if no other follows.
    small: Option<Small>,
    /// Writes that wait, and the memory they change.
    writes: Vec<(Piece, Op)>,
    /// Bytes they take of the slot.
    used: usize,
}

impl Copies {
    /// The thread is stopped in a system call.
    pub(super) fn call(&mut self, regs: &Registers) {
        let &Registers { orig_rax, rdi, rsi, rdx, r10, r8, r9, .. } = regs;
        self.fresh = Some(Call { number: orig_rax, arguments: [rdi, rsi, rdx, r10, r8, r9] });
    }

    /// The thread is about to run, or its memory to change: records say nothing any more.
    pub(super) fn forget(&mut self) {
        self.fresh = None;
        self.read.clear();
        self.writable.clear();
        self.empty.clear();
    }

    fn look(&mut self, at: &Slot) {
        let Some(call) = self.fresh.take() else { return };
        let found = at.get32(slot::RECORD_COUNT);
        let whole = (0..ITEMS).filter(|index| found >> (16 + index) & 1 == 1);
        self.writable.extend(whole.filter_map(|index| receives(&call, index)));
        if found >> 20 & 0xf != 0 {
            let empty = (0..ITEMS).filter(|index| found >> (20 + index) & 1 == 1);
            self.empty.extend(empty.filter_map(|index| string(&call, index)));
        }
        let count = (found & 0xff).min(slot::RECORDS_MAX as u32) as usize;
        for index in 0..count {
            let mut record = [0; 2];
            at.get_words(slot::RECORDS + index * 16, &mut record);
            let [start, rest] = record;
            let (len, offset) = (rest as u32 as usize, (rest >> 32) as usize);
            let Some(piece) = Piece::new(start, len) else { continue };
            if offset == 0 {
                self.writable.push(piece);
            } else if is_copy(offset, len) {
                self.read.push((piece, offset));
            }
        }
    }

    /// Whether a write that waits changes this memory.
    pub(super) fn is_pending(&self, start: u64, len: usize) -> bool {
        let small = self.small.as_ref().map(|small| small.piece);
        let mut pieces = self.writes.iter().map(|(write, _)| *write).chain(small);
        Piece::new(start, len).is_some_and(|piece| pieces.any(|write| write.overlaps(piece)))
    }

    /// Reads from what came with the call. `false`: it did not.
    pub(super) fn read(&mut self, at: &Slot, start: u64, into: &mut [u8]) -> bool {
        self.look(at);
        let Some(piece) = Piece::new(start, into.len()) else { return false };
        let Some((copied, offset)) = self.read.iter().find(|(copied, _)| copied.covers(piece)) else {
            return false;
        };
        #[expect(clippy::cast_possible_truncation, reason = "less than the length of a record")]
        at.read(offset + (start - copied.start) as usize, into);
        true
    }

    /// Whether the shim found an empty string there. `false`: that is not known.
    pub(super) fn is_empty_string(&mut self, at: &Slot, start: u64) -> bool {
        self.look(at);
        self.empty.contains(&start)
    }

    /// Leaves a write for the shim. `false`: it cannot.
    pub(super) fn write(&mut self, at: &Slot, start: u64, from: &[u8]) -> bool {
        self.look(at);
        let Some(piece) = Piece::new(start, from.len()) else { return false };
        let writable = self.writable.iter().any(|writable| writable.covers(piece));
        if !writable || self.writes.len() >= WRITES_MAX {
            return false;
        }
        let mut data = [0; flag::HERE_LEN];
        if self.small.is_none()
            && self.writes.is_empty()
            && let Some(room) = data.get_mut(..from.len())
        {
            room.copy_from_slice(from);
            self.changed(start, from.len());
            self.small = Some(Small { piece, data, len: from.len() });
            return true;
        }
        self.put_small(at);
        self.put(at, piece, from)
    }

    /// Leaves a write in the slot. `false`: there is no room.
    fn put(&mut self, at: &Slot, piece: Piece, from: &[u8]) -> bool {
        let Some(stored) = self.store(at, from) else { return false };
        self.changed(piece.start, from.len());
        self.writes.push((piece, Op::copy(piece.start, stored, from.len() as u64)));
        true
    }

    /// Makes a write like others of the small one. It is the first, so there is room.
    fn put_small(&mut self, at: &Slot) {
        if let Some(Small { piece, data, len }) = self.small.take() {
            self.put(at, piece, data.get(..len).unwrap_or_default());
        }
    }

    /// Puts bytes into the slot for a later operation of the next list; returns where the stub has them.
    pub(super) fn store(&mut self, at: &Slot, bytes: &[u8]) -> Option<u64> {
        let room = slot::STACK - slot::OUT - self.used;
        if bytes.len() > room {
            return None;
        }
        let offset = slot::OUT + self.used;
        at.write(offset, bytes);
        self.used += bytes.len().next_multiple_of(16).min(room);
        Some(at.guest(offset))
    }

    /// Memory was written: copies of it are old.
    pub(super) fn changed(&mut self, start: u64, len: usize) {
        if let Some(piece) = Piece::new(start, len) {
            self.read.retain(|(copied, _)| !copied.overlaps(piece));
            self.empty.retain(|at| !Piece { start: *at, end: at.saturating_add(1) }.overlaps(piece));
        }
    }

    /// Whether writes wait.
    pub(super) fn has_writes(&self) -> bool {
        self.small.is_some() || !self.writes.is_empty()
    }

    /// The only write, if there is one and no more.
    pub(super) fn take_only_write(&mut self) -> Option<Only> {
        if let Some(Small { piece, data, len }) = self.small.take() {
            let (words, _) = data.as_chunks();
            let data = [0, 1].map(|word| words.get(word).map_or(0, |bytes| u64::from_le_bytes(*bytes)));
            return Some(Only::Here { to: piece.start, len: len as u64, data });
        }
        let [(_, op)] = self.writes.as_slice() else { return None };
        let [to, from, len] = op.as_copy();
        self.writes.clear();
        self.used = 0;
        Some(Only::There { to, len, from })
    }

    /// The writes, to be run with the next hand-over, before anything else can change the memory.
    pub(super) fn take_writes(&mut self, at: &Slot) -> impl Iterator<Item = Op> {
        self.put_small(at);
        self.used = 0;
        self.writes.drain(..).map(|(_, op)| op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_the_shim_reads() {
        let table = table();
        let row = |number: u64| {
            let at = number as usize * COPY_ROW_LEN;
            let item = |n: usize| u32::from_le_bytes(table[at + 4 * n..at + 4 * n + 4].try_into().unwrap());
            [item(0), item(1)]
        };
        // rsi, as many bytes as rdx says.
        assert_eq!(row(nr::write), [9 | 1 << 4 | 1 << 7 | 12 << 8 | 1 << 16, 0]);
        assert_eq!(row(nr::read), [9 | 1 << 5 | 1 << 7 | 12 << 8 | 1 << 16, 0]);
        assert_eq!(row(nr::open), [8 | 1 << 4 | 1 << 6 | 256 << 16, 0]);
        assert_eq!(row(nr::stat), [8 | 1 << 4 | 1 << 6 | 256 << 16, 9 | 1 << 5 | 144 << 16]);
        assert_eq!(row(nr::getpid), [1 << 13 | 0x1c0 << 16, 0]);
        assert_eq!(row(nr::getegid), [1 << 13 | 0x1f0 << 16, 0]);
        assert_eq!(row(nr::sched_yield), [1 << 13 | 0x1f8 << 16, 0]);
        assert_eq!(row(nr::getpgrp), [0, 0]);
        assert_eq!(row(nr::set_robust_list), [1 << 14, 0]);
        assert_eq!(row(nr::rt_sigprocmask), [9 | 1 << 4 | 1 << 14 | 8 << 16, 12 | 1 << 5 | 8 << 16]);
        assert_eq!(row(nr::rt_sigaction), [9 | 1 << 4 | 1 << 14 | 32 << 16, 12 | 1 << 5 | 32 << 16]);
        assert_eq!(row(nr::futex), [0, 0]);
        assert_eq!(table.len(), COPY_TABLE_ROWS * COPY_ROW_LEN);
    }
}
