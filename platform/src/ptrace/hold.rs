//! A host thread in the hands of its tracer: stopped, until it is let run or put back to rest.

use std::{
    io,
    thread::{self, ThreadId},
};

use host::ptrace::{self, Stop, Words};

use crate::{
    Gone, Registers, registers,
    systrap::{SystrapContext, traced::RESTING_MASK},
};

/// Past the last segment base that the host takes (`TASK_SIZE_MAX`).
const BASE_END: u64 = 0x7fff_ffff_f000;
/// `orig_rax` of a thread that is in no system call, so that the host restarts none.
const NO_CALL: u64 = u64::MAX;

/// A thread that the calling thread traces, stopped but for [`Hold::run`].
#[derive(Debug)]
pub(super) struct Hold {
    tid: i32,
    tracer: ThreadId,
    /// The registers it rested with.
    resting: Registers,
}

impl Hold {
    /// Stops a thread that rests.
    pub(super) fn take(context: &mut SystrapContext) -> Result<Hold, Gone> {
        context.settle()?;
        context.take(ptrace::seize)?;
        let mut hold =
            Hold { tid: context.tid(), tracer: thread::current().id(), resting: Registers::default() };
        match hold.stop_resting() {
            Ok(true) => Ok(hold),
            // It ended, or it is the guest that broke its shim.
            Ok(false) | Err(_) => {
                context.kill();
                hold.bury(context.is_leader());
                Err(Gone)
            }
        }
    }

    /// `false`: it stopped for something else.
    fn stop_resting(&mut self) -> io::Result<bool> {
        ptrace::interrupt(self.tid)?;
        let stop = ptrace::wait(self.tid)?;
        if self.without_sent_signals(stop)? != Stop::Interrupt {
            return Ok(false);
        }
        // It waits for operations, or is about to. The call it may be in may end early: the shim looks again.
        self.resting = from_words(ptrace::registers(self.tid)?);
        ptrace::set_signal_mask(self.tid, 0)?;
        Ok(true)
    }

    /// Whether the calling thread may do anything with it.
    pub(super) fn is_ours(&self) -> bool {
        self.tracer == thread::current().id()
    }

    /// The host thread, for requests that read or change its state.
    pub(super) fn tid(&self) -> i32 {
        self.tid
    }

    /// Lets it rest again.
    pub(super) fn release(&self) -> io::Result<()> {
        ptrace::set_registers(self.tid, &words(&self.resting))?;
        ptrace::set_signal_mask(self.tid, RESTING_MASK)?;
        ptrace::detach(self.tid)
    }

    /// Waits for the end of a thread that is dying, if nobody else does. The process itself is buried by the reaper.
    pub(super) fn bury(&self, leader: bool) {
        if !leader && self.is_ours() {
            let _ = ptrace::reap(self.tid);
        }
    }

    /// Sets its registers, delivers `signal` unless it is 0, and runs it until it stops at a call or for a signal, or ends.
    pub(super) fn run(&self, regs: &Registers, signal: i32) -> io::Result<Stop> {
        ptrace::set_registers(self.tid, &words(regs))?;
        ptrace::emulate(self.tid, signal)?;
        loop {
            match ptrace::wait(self.tid)? {
                // Somebody on the host stopped the process: go on, as it would do on its own.
                Stop::Interrupt => ptrace::emulate(self.tid, 0)?,
                stop => return Ok(stop),
            }
        }
    }

    /// Delivers `signal`, which is of the guest's own making, to the shim's handler on the stack below `top`, and runs that up
    /// to its first call. `false`: it did not come so far.
    pub(super) fn handle(&self, regs: &Registers, top: u64, signal: i32) -> io::Result<bool> {
        let stop = self.run(&Registers { rsp: top, ..*regs }, signal)?;
        Ok(self.without_sent_signals(stop)? == Stop::Call)
    }

    /// Runs on if it stopped for a signal that somebody on the host sent (`SIGSTOP` cannot be blocked), and drops that.
    fn without_sent_signals(&self, mut stop: Stop) -> io::Result<Stop> {
        while matches!(stop, Stop::Signal(_)) && ptrace::signal_code(self.tid)? <= 0 {
            ptrace::emulate(self.tid, 0)?;
            stop = ptrace::wait(self.tid)?;
        }
        Ok(stop)
    }

    /// Reads its registers.
    pub(super) fn registers(&self, regs: &mut Registers) -> io::Result<()> {
        *regs = from_words(ptrace::registers(self.tid)?);
        Ok(())
    }
}

/// Registers as the host takes them: guests have the segments of 64-bit code and no others.
fn words(regs: &Registers) -> Words {
    let base = |base| if base < BASE_END { base } else { 0 };
    [
        regs.r15,
        regs.r14,
        regs.r13,
        regs.r12,
        regs.rbp,
        regs.rbx,
        regs.r11,
        regs.r10,
        regs.r9,
        regs.r8,
        regs.rax,
        regs.rcx,
        regs.rdx,
        regs.rsi,
        regs.rdi,
        NO_CALL,
        regs.rip,
        registers::USER_CS,
        regs.eflags,
        regs.rsp,
        registers::USER_SS,
        base(regs.fs_base),
        base(regs.gs_base),
        0,
        0,
        0,
        0,
    ]
}

fn from_words(words: Words) -> Registers {
    let [
        r15,
        r14,
        r13,
        r12,
        rbp,
        rbx,
        r11,
        r10,
        r9,
        r8,
        rax,
        rcx,
        rdx,
        rsi,
        rdi,
        orig_rax,
        rip,
        _,
        eflags,
        rsp,
        _,
        fs_base,
        gs_base,
        ..,
    ] = words;
    Registers {
        r15,
        r14,
        r13,
        r12,
        rbp,
        rbx,
        r11,
        r10,
        r9,
        r8,
        rax,
        rcx,
        rdx,
        rsi,
        rdi,
        orig_rax,
        rip,
        cs: registers::USER_CS,
        eflags,
        rsp,
        ss: registers::USER_SS,
        fs_base,
        gs_base,
        ds: 0,
        es: 0,
        fs: 0,
        gs: 0,
    }
}
