//! Lists of host operations that a stub's shim runs for the sentry.

use super::{
    layout::{OP_COMPARE, OP_COPY, OP_MUST_SUCCEED, slot},
    slot::Slot,
};
use crate::{Errno, PageRange, Prot};

/// The value a result holds until the operation has run.
const NOT_RUN: u64 = Errno::ECANCELED.as_return();

/// One host system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    number: u64,
    args: [u64; 6],
}

/// A system-call number as an operation's.
const fn call(number: libc::c_long, args: [u64; 6]) -> Op {
    Op { number: number.cast_unsigned(), args }
}

/// A descriptor argument.
const fn fd(fd: i32) -> u64 {
    fd as i64 as u64
}

impl Op {
    /// Any call.
    pub(super) const fn new(number: libc::c_long, args: [u64; 6]) -> Op {
        call(number, args)
    }

    /// The same, but if it fails the rest of the list is not run.
    pub(super) const fn or_stop(self) -> Op {
        Op { number: self.number | OP_MUST_SUCCEED, ..self }
    }

    /// `mmap(2)` at exactly `range`.
    pub(super) fn mmap(range: PageRange, prot: Prot, flags: i32, file: i32, offset: u64) -> Op {
        let prot = readable(prot);
        let flags = fd(flags);
        call(libc::SYS_mmap, [range.start(), range.len(), prot.0.into(), flags, fd(file), offset])
    }

    /// `mprotect(2)`.
    pub(super) fn mprotect(range: PageRange, prot: Prot) -> Op {
        call(libc::SYS_mprotect, [range.start(), range.len(), readable(prot).0.into(), 0, 0, 0])
    }

    /// `munmap(2)`.
    pub(super) fn munmap(start: u64, len: u64) -> Op {
        call(libc::SYS_munmap, [start, len, 0, 0, 0, 0])
    }

    /// `close(2)`.
    pub(super) fn close(file: i32) -> Op {
        call(libc::SYS_close, [fd(file), 0, 0, 0, 0, 0])
    }

    /// `prctl(PR_SET_PDEATHSIG, SIGKILL)`: the stub ends with the thread that started the platform. Not inherited by fork.
    pub(super) fn die_with_sentry() -> Op {
        let [option, signal] = [libc::PR_SET_PDEATHSIG, libc::SIGKILL].map(|n| n.cast_unsigned().into());
        call(libc::SYS_prctl, [option, signal, 0, 0, 0, 0])
    }

    /// Copies memory inside the stub; the result is how many bytes were copied before a fault.
    pub(super) fn copy(to: u64, from: u64, len: u64) -> Op {
        Op { number: OP_COPY.into(), args: [to, from, len, 0, 0, 0] }
    }

    /// The three arguments of [`Op::copy`], from which this came.
    pub(super) fn as_copy(&self) -> [u64; 3] {
        let [to, from, len, ..] = self.args;
        [to, from, len]
    }
}

impl Op {
    /// Replaces a word by `new` if it is `old`, atomically; the result is what it was.
    pub(super) fn compare_exchange(at: u64, old: u32, new: u32) -> Op {
        Op { number: OP_COMPARE.into(), args: [at, old.into(), new.into(), 0, 0, 0] }
    }
}

/// x86 has no pages that can be written but not read; say so to the host, so that the sentry can read them as the guest can.
fn readable(prot: Prot) -> Prot {
    if prot.has(Prot::WRITE) { prot.with(Prot::READ) } else { prot }
}

/// The results of a list, copied out of the slot: allegations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Results {
    values: [u64; slot::OPS_MAX],
}

impl Results {
    /// The result of operation `index`: what the call returned, or its error.
    pub(super) fn get(&self, index: usize) -> Result<u64, Errno> {
        let value = self.values.get(index).copied().unwrap_or(NOT_RUN);
        match i32::try_from(value.wrapping_neg()) {
            Ok(error @ 1..4096) => Err(Errno::from_raw(error)),
            _ => Ok(value),
        }
    }

    /// Without the first `count`.
    pub(super) fn from(mut self, count: usize) -> Results {
        self.values.rotate_left(count.min(slot::OPS_MAX));
        self
    }

    /// The first error among operations `0..count`.
    pub(super) fn all(&self, count: usize) -> Result<(), Errno> {
        (0..count).try_for_each(|index| self.get(index).map(drop))
    }
}

impl Slot {
    /// Writes a list of operations and what to do after it. At most [`slot::OPS_MAX`].
    pub(super) fn set_ops(&self, ops: &[Op], flags: u32) {
        let ops = ops.get(..slot::OPS_MAX).unwrap_or(ops);
        for (index, op) in ops.iter().enumerate() {
            let [a, b, c, d, e, f] = op.args;
            self.set_words(slot::OPS + index * slot::OP_LEN, &[op.number, a, b, c, d, e, f, NOT_RUN]);
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most OPS_MAX")]
        self.set32(slot::OP_COUNT, ops.len() as u32);
        self.set32(slot::FLAGS, flags);
    }

    /// Copies the results of the last list, of `count` operations.
    pub(super) fn results(&self, count: usize) -> Results {
        let mut values = [NOT_RUN; slot::OPS_MAX];
        for (index, value) in values.iter_mut().enumerate().take(count) {
            *value = self.get64(slot::OPS + index * slot::OP_LEN + slot::OP_RESULT);
        }
        Results { values }
    }
}
