//! `--strace`: every system call of the guest as a line in strace(1)'s format.

use std::{collections::BTreeSet, fs::File, io::Write, os::fd::OwnedFd};

use linux_abi::UserAddr;
use parking_lot::Mutex;
use syscall_tables::strace::Call;

use crate::{
    error::Outcome,
    task::{ThreadCx, usermem::UserMemory},
};

/// Where the lines go, and which calls get one.
pub struct Strace {
    /// Numbers; `None` means all.
    calls: Option<BTreeSet<u64>>,
    sink: Mutex<File>,
}

impl Strace {
    /// Lines go to `sink`, for the calls with these names (all without names). Names that are no calls select nothing.
    pub fn new(calls: Option<&[String]>, sink: OwnedFd) -> Strace {
        let number = |name: &String| {
            syscall_tables::X86_64.iter().find(|row| row.name == name).map(|row| row.nr.into())
        };
        let calls = calls.map(|names| names.iter().filter_map(number).collect());
        Strace { calls, sink: Mutex::new(File::from(sink)) }
    }

    /// What is known of a call before it is made; `None` if it gets no line.
    pub(crate) fn enter(&self, cx: &mut ThreadCx) -> Option<Call> {
        let (nr, args) = cx.call();
        if self.calls.as_ref().is_some_and(|calls| !calls.contains(&nr)) {
            return None;
        }
        Some(Call::enter(nr, args, &mut |at, buffer| cx.read_partial(UserAddr(at), buffer)))
    }

    /// Prints the line of a call that ended with `outcome`.
    pub(crate) fn leave(&self, cx: &mut ThreadCx, call: &Call, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Return(value) => Some(*value),
            Outcome::Fail(errno) => Some(errno.as_return()),
            Outcome::Restart(_) => Some(linux_abi::Errno::EINTR.as_return()),
            Outcome::KeepRegisters => Some(0),
            Outcome::Exit(_) => None,
        };
        let line = call.line(result, &mut |at, buffer| cx.read_partial(UserAddr(at), buffer));
        let tid = cx.task.tid();
        // A reader that has gone is no reason to end the guest.
        let _ = writeln!(self.sink.lock(), "[pid {tid:>5}] {line}");
    }
}
