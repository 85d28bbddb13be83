//! The signal frame in a slot (`struct rt_sigframe`, `arch/x86/include/uapi/asm/sigcontext.h`).
//!
//! The shim's handler runs on an alternate stack inside the slot, so the frame that the host kernel pushed is there for the
//! sentry to read and edit, and one `rt_sigreturn` restores everything: registers, extended state, signal mask and stack.
//! For a new thread the sentry makes up a frame.
//!
//! ```text
//! ucontext: flags 0, link 8, stack 16 {sp, flags, size}, sigcontext 40, mask 296    siginfo follows at 304
//! ```

use host::cpu::XState;

use super::{
    layout::{SLOT_LEN, slot},
    slot::Slot,
};
use crate::{Registers, registers};

/// Offsets in the ucontext.
const UC_FLAGS: usize = 0;
const UC_STACK: usize = 16;
pub(super) const UC_MCONTEXT: usize = 40;
const UC_SIGMASK: usize = 296;
pub(super) const SIGINFO: usize = 304;
const SIGINFO_LEN: usize = 128;
/// Offset of the saved `rip`.
pub(super) const UC_RIP: usize = UC_MCONTEXT + 128;
/// Offset of the saved pointer to the extended state.
const UC_FPSTATE: usize = UC_MCONTEXT + 184;

/// Bytes in front of the extended state: return address, ucontext, siginfo.
const FRAME_LEN: usize = 8 + SIGINFO + SIGINFO_LEN;

/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS` (`asm/ucontext.h`).
const FLAGS: u64 = 7;
/// `SS_AUTODISARM` (sigaltstack(2)): every frame is pushed at the top of the stack, whatever the guest's rsp.
const SS_AUTODISARM: u64 = 1 << 31;

/// Offset of the software-reserved bytes in the legacy area, where the host describes the area (`struct _fpx_sw_bytes`).
const SW_BYTES: usize = 464;
const FP_XSTATE_MAGIC1: u64 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// Offset of `xstate_bv`, and past the header.
const XSTATE_BV: usize = 512;
const HEADER_END: usize = 576;
const MXCSR: usize = 24;

/// A checked frame in a slot: both offsets are inside the slot with room for what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Offset of the ucontext.
    uc: usize,
    /// Offset of the extended state; `None` makes the host load the initial state.
    fp: Option<usize>,
}

/// What the siginfo and the frame say about a trap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    pub(super) code: i32,
    pub(super) addr: u64,
    pub(super) arch: u32,
    pub(super) error_code: u64,
    pub(super) trapno: u64,
    pub(super) cr2: u64,
}

impl Frame {
    /// A made-up frame at the top of a slot, with the initial extended state.
    pub(super) fn made_up(xstate: &XState) -> Frame {
        let fp = Frame::made_up_fp(xstate);
        Frame { uc: (fp - FRAME_LEN + 8) / 16 * 16, fp: None }
    }

    /// Where the extended state of a made-up frame goes: where the host would put it (`fpu__alloc_mathframe`).
    fn made_up_fp(xstate: &XState) -> usize {
        (SLOT_LEN - xstate.size - 4) / 64 * 64
    }

    /// The frame that the shim posted, if it can be one.
    pub(super) fn posted(slot: &Slot, xstate: &XState) -> Option<Frame> {
        let uc = slot.offset_of(slot.get64(slot::FRAME), SIGINFO + SIGINFO_LEN, 8)?;
        let fp = slot.offset_of(slot.get64(uc + UC_FPSTATE), xstate.size + 4, 64);
        Some(Frame { uc, fp })
    }

    /// The registers of a patched call, in place of a frame.
    pub(super) fn fast() -> Frame {
        Frame { uc: slot::REGISTERS - UC_MCONTEXT, fp: None }
    }

    /// A stack pointer below the frame.
    pub(super) fn stack_below(&self) -> usize {
        (self.uc - 256) / 16 * 16
    }

    /// Guest address of the ucontext.
    pub(super) fn address(&self, slot: &Slot) -> u64 {
        slot.guest(self.uc)
    }

    /// Copies the extended state of `self` in `from` to the same offset in `to`, and describes the frame there.
    pub(super) fn copy(&self, from: &Slot, to: &Slot, xstate: &XState) -> Frame {
        let area = self.extended_state(from, xstate);
        let mut copy = Frame::made_up(xstate);
        if self.fp.is_some() {
            copy.set_extended_state(to, xstate, &area);
        }
        copy
    }

    /// Reads the registers. Segment bases are not in a frame; they are left alone.
    pub(super) fn registers(&self, slot: &Slot, regs: &mut Registers) {
        let mut words = [0; 18];
        slot.get_words(self.uc + UC_MCONTEXT, &mut words);
        let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags] =
            words;
        let (fs_base, gs_base) = (regs.fs_base, regs.gs_base);
        *regs = Registers {
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
            orig_rax: u64::MAX,
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
        };
    }

    /// Writes the general registers.
    pub(super) fn set_general(&self, slot: &Slot, regs: &Registers) {
        let segments = registers::USER_CS | registers::USER_SS << 48;
        slot.set_words(
            self.uc + UC_MCONTEXT,
            &[
                regs.r8,
                regs.r9,
                regs.r10,
                regs.r11,
                regs.r12,
                regs.r13,
                regs.r14,
                regs.r15,
                regs.rdi,
                regs.rsi,
                regs.rbp,
                regs.rbx,
                regs.rdx,
                regs.rax,
                regs.rcx,
                regs.rsp,
                regs.rip,
                regs.eflags,
                segments,
            ],
        );
    }

    /// Writes everything that `rt_sigreturn` restores: the registers, an empty mask, the slot's signal stack.
    pub(super) fn set_registers(&self, slot: &Slot, regs: &Registers) {
        self.set_general(slot, regs);
        let fp = self.fp.map_or(0, |fp| slot.guest(fp));
        slot.set64(self.uc + UC_FPSTATE, fp);
        slot.set64(self.uc + UC_SIGMASK, 0);
        slot.set64(self.uc + UC_FLAGS, FLAGS);
        slot.set_words(self.uc + UC_STACK, &[slot.guest(slot::STACK), SS_AUTODISARM, slot::STACK_LEN as u64]);
    }

    /// Reads why the signal came.
    pub(super) fn cause(&self, slot: &Slot) -> Cause {
        let mut info = [0; 4];
        slot.get_words(self.uc + SIGINFO, &mut info);
        let mut fault = [0; 4];
        slot.get_words(self.uc + UC_MCONTEXT + 152, &mut fault);
        let [_, code, addr, call] = info;
        let [error_code, trapno, _, cr2] = fault;
        #[expect(clippy::cast_possible_truncation, reason = "the fields are halves of these words")]
        Cause { code: code as i32, addr, arch: (call >> 32) as u32, error_code, trapno, cr2 }
    }

    /// Reads the extended state: an area in standard format.
    pub(super) fn extended_state(&self, slot: &Slot, xstate: &XState) -> Vec<u8> {
        let mut area = vec![0; xstate.size];
        match self.fp {
            Some(fp) => slot.read(fp, &mut area),
            None => initial(&mut area),
        }
        describe(&mut area, xstate);
        area
    }

    /// Replaces the extended state by what of `area` the processor accepts; an empty area is the initial state.
    pub(super) fn set_extended_state(&mut self, slot: &Slot, xstate: &XState, area: &[u8]) {
        if area.is_empty() {
            self.fp = None;
            return;
        }
        let fp = self.fp.unwrap_or_else(|| Frame::made_up_fp(xstate));
        let clean = sanitise(area, xstate);
        slot.write(fp, &clean);
        slot.write(fp + xstate.size, &FP_XSTATE_MAGIC2.to_le_bytes());
        self.fp = Some(fp);
    }
}

/// Writes `bytes` at `offset`, as far as the area reaches.
fn put(area: &mut [u8], offset: usize, bytes: &[u8]) {
    if let Some(to) = area.get_mut(offset..offset + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// The 64-bit word at `offset`, or 0 past the end.
fn word(area: &[u8], offset: usize) -> u64 {
    area.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The state a program starts with (Intel SDM 13.6): everything zero but the control words.
fn initial(area: &mut [u8]) {
    put(area, 0, &0x37f_u16.to_le_bytes());
    put(area, MXCSR, &0x1f80_u32.to_le_bytes());
}

/// Writes the bytes by which the host kernel knows the format of the area.
pub(super) fn describe(area: &mut [u8], xstate: &XState) {
    let size = xstate.size as u64;
    put(area, SW_BYTES, &(FP_XSTATE_MAGIC1 | (size + 4) << 32).to_le_bytes());
    put(area, SW_BYTES + 8, &xstate.features.to_le_bytes());
    put(area, SW_BYTES + 16, &size.to_le_bytes());
    put(area, SW_BYTES + 24, &[0; 24]);
}

/// Clears what XRSTOR would refuse (Intel SDM 13.8.1): unknown components, header bits, MXCSR's reserved bits.
pub(super) fn sanitise(area: &[u8], xstate: &XState) -> Vec<u8> {
    let mut clean = vec![0; xstate.size];
    initial(&mut clean);
    let len = area.len().min(clean.len());
    // Components that the given area does not hold in full keep their initial value.
    let known = match len {
        ..XSTATE_BV => return clean_described(clean, xstate),
        XSTATE_BV..HEADER_END => 3,
        _ if area.len() >= xstate.size => word(area, XSTATE_BV) & xstate.features,
        _ => word(area, XSTATE_BV) & 3,
    };
    if let (Some(to), Some(from)) = (clean.get_mut(..len), area.get(..len)) {
        to.copy_from_slice(from);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let mxcsr = word(area, MXCSR) as u32 & xstate.mxcsr_mask;
    put(&mut clean, MXCSR, &mxcsr.to_le_bytes());
    put(&mut clean, XSTATE_BV, &known.to_le_bytes());
    put(&mut clean, XSTATE_BV + 8, &[0; HEADER_END - XSTATE_BV - 8]);
    clean_described(clean, xstate)
}

fn clean_described(mut area: Vec<u8>, xstate: &XState) -> Vec<u8> {
    describe(&mut area, xstate);
    area
}
