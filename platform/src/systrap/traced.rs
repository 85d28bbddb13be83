//! What the ptrace backend takes over from this one: stubs and their births, operations, kicks. Only the running of guest
//! code is its own.
//!
//! There a thread *rests* in its shim, untraced and waiting for operations, as it does here between two runs; or it is stopped
//! by its tracer, and then must not be given operations.

use std::sync::atomic::Ordering;

use super::{
    Config, Error, Systrap,
    context::{self, SystrapContext},
    frame::{self, Frame},
    layout::{SLOT_LEN, slot, word},
    reaper::Running,
    zygote,
};
use crate::{AddressSpace, Gone, Registers, Trap};

/// The signal mask of a thread that rests.
pub(crate) const RESTING_MASK: u64 = !zygote::UNBLOCKED;
/// Bits of `xstate_bv`: x87 and SSE.
const X87: u8 = 1;
const SSE: u8 = 2;
const XSTATE_BV: usize = 512;
/// Where x87 state and SSE registers are in the area, besides the control words (Intel SDM 13.4.1).
const X87_PARTS: [(usize, usize); 2] = [(2, 24), (32, 160)];
const SSE_PARTS: [(usize, usize); 1] = [(160, 416)];

impl Systrap {
    /// Starts a platform for a backend that traces its threads.
    pub(crate) fn traced(config: Config) -> Result<Systrap, Error> {
        let running = Running::traced().map_err(Error::Start)?;
        Systrap::start(config.patching(false), running)
    }
}

impl SystrapContext {
    /// Waits until a newly born thread rests.
    pub(crate) fn settle(&mut self) -> Result<(), Gone> {
        if self.stub.is_new() { self.stub.run(&self.own, &[]).map(drop) } else { self.stub.settle(&self.own) }
    }

    /// The host thread's number.
    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }

    /// Whether it is the thread whose number is the process's.
    pub(crate) fn is_leader(&self) -> bool {
        self.tid == self.own.pid()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.own.is_dead()
    }

    pub(crate) fn kill(&self) {
        self.own.kill();
    }

    /// Runs `f` with the thread's number, which is the thread's before and after: `f` traces it, so that it cannot be reused.
    pub(crate) fn take(&self, f: impl FnOnce(i32) -> std::io::Result<()>) -> Result<(), Gone> {
        let taken = self.own.with_pid(|pid| {
            f(self.tid)?;
            host::process::tgkill(pid, self.tid, 0)
        })?;
        taken.map_err(|_| Gone)
    }

    /// Before the guest runs. `false`: it was kicked and must not.
    pub(crate) fn enter(&self) -> bool {
        // What was posted before is nothing that the guest posts.
        self.stub.slot.request().store(word::EMPTY, Ordering::Relaxed);
        self.kicker.enter()
    }

    /// After the guest ran; `kicked` if it will return [`Trap::Interrupted`].
    pub(crate) fn leave(&self, kicked: bool) {
        self.kicker.leave(kicked);
    }

    /// The top of the thread's signal stack.
    pub(crate) fn signal_stack(&self) -> u64 {
        self.stub.slot.guest(SLOT_LEN)
    }

    /// What the shim's handler has just posted of a fault; the thread is not to go on from there. `None`: it lies.
    pub(crate) fn take_fault(&mut self, regs: &mut Registers) -> Option<Trap> {
        let slot = &self.stub.slot;
        let posted = slot.request().swap(word::EMPTY, Ordering::Acquire) == slot.get32(slot::NEXT);
        let signo = slot.get32(slot::SIGNO).cast_signed();
        let frame = Frame::posted(slot, &self.own.shared.xstate).filter(|_| posted)?;
        Some(context::trap(signo, &frame.cause(slot), regs))
    }

    /// Describes an area of extended state that the host has given, and makes it as long as guests are told.
    pub(crate) fn describe_state(&self, area: &mut Vec<u8>) {
        area.resize(self.own.shared.xstate.size, 0);
        frame::describe(area, &self.own.shared.xstate);
    }

    /// What of an extended state the processor accepts. Every host accepts that x87 and SSE are not left out.
    pub(crate) fn clean_state(&self, area: &[u8]) -> Vec<u8> {
        let mut clean = frame::sanitise(area, &self.own.shared.xstate);
        let present = clean.get(XSTATE_BV).copied().unwrap_or(0);
        let initial = frame::sanitise(&[], &self.own.shared.xstate);
        let absent = |bit, parts: &'static [(usize, usize)]| parts.iter().filter(move |_| present & bit == 0);
        for &(start, end) in
            absent(X87, &[(0, 2)]).chain(absent(X87, &X87_PARTS)).chain(absent(SSE, &SSE_PARTS))
        {
            if let (Some(to), Some(from)) = (clean.get_mut(start..end), initial.get(start..end)) {
                to.copy_from_slice(from);
            }
        }
        if let Some(byte) = clean.get_mut(XSTATE_BV) {
            *byte |= X87 | SSE;
        }
        clean
    }
}
