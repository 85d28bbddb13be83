//! The frame a signal handler runs on, and the way back: `struct rt_sigframe` of x86-64 (`arch/x86/kernel/signal_64.c`).
//!
//! From low to high addresses: return address, `ucontext`, `siginfo`, then (64-byte aligned) the extended state.

use linux_abi::{Errno, Result, UserAddr};
use platform::registers::{USER_CS, USER_SS};

use super::{
    SigSet,
    action::{Action, SA_ONSTACK, SA_RESTORER},
    info::{Fields, SI_KERNEL, SigInfo},
    state::AltStack,
};
use crate::{
    error::Outcome,
    task::{ThreadCx, usermem::UserMemory},
};

use linux_abi::sigframe::{FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2};
pub use linux_abi::signal::{SS_AUTODISARM, SS_DISABLE, SS_ONSTACK};

/// `MINSIGSTKSZ`.
pub const MIN_STACK: u64 = 2048;

const UCONTEXT_SIZE: usize = 304;
const SIGINFO_SIZE: usize = 128;
const FRAME_SIZE: usize = 8 + UCONTEXT_SIZE + SIGINFO_SIZE;
/// Bytes between them, at most.
const HOLE: usize = 64;
const RED_ZONE: u64 = 128;
/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_FLAGS: u64 = 7;
/// Where `struct _fpx_sw_bytes` lies in the legacy area.
const SW_RESERVED: usize = 464;
const LEGACY_SIZE: usize = 512;
/// Flags a guest may restore: CF PF AF ZF SF TF DF OF RF AC.
const USER_EFLAGS: u64 = 0x50dd5;
const EFLAGS_TF: u64 = 0x100;
const EFLAGS_DF: u64 = 0x400;
const EFLAGS_RF: u64 = 0x1_0000;

impl AltStack {
    /// Whether `sp` lies on this stack.
    pub fn contains(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && sp > self.sp && sp - self.sp <= self.size
    }

    /// `SS_ONSTACK`, `SS_DISABLE` or nothing, for a thread with this stack pointer (`sas_ss_flags`).
    pub fn state(&self, sp: u64) -> u32 {
        if self.size == 0 {
            SS_DISABLE
        } else if self.contains(sp) {
            SS_ONSTACK
        } else {
            0
        }
    }
}

/// Little-endian words in a byte buffer.
struct Words<'a>(&'a mut [u8]);

impl Words<'_> {
    fn put(&mut self, at: usize, value: u64) {
        for (to, from) in self.0.iter_mut().skip(at).zip(value.to_le_bytes()) {
            *to = from;
        }
    }

    fn get(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(self.0.iter().skip(at)) {
            *to = *from;
        }
        u64::from_le_bytes(word)
    }
}

/// Makes the guest run `action`'s handler for `info` next, and afterwards continue where it is, with `return_mask`.
///
/// # Errors
/// `EFAULT` if the stack cannot take the frame.
pub(super) fn push(cx: &mut ThreadCx, info: &SigInfo, action: &Action, return_mask: SigSet) -> Result<()> {
    if action.flags & SA_RESTORER == 0 {
        return Err(Errno::EFAULT);
    }
    let alt = cx.task.signals.lock().alt_stack;
    let regs = *cx.registers();
    let mut sp = regs.rsp.wrapping_sub(RED_ZONE);
    let on_alt = alt.contains(regs.rsp);
    let mut entering_alt = false;
    if action.flags & SA_ONSTACK != 0 && alt.size != 0 && !on_alt {
        sp = alt.sp.wrapping_add(alt.size);
        entering_alt = true;
    }
    let mut extended = cx.context.extended_state().map_err(|_| Errno::EFAULT)?;
    extended.extend_from_slice(&FP_XSTATE_MAGIC2.to_le_bytes());
    let fpstate = sp.wrapping_sub(extended.len() as u64) & !63;
    let frame = (fpstate.wrapping_sub(FRAME_SIZE as u64) & !15).wrapping_sub(8);
    if (on_alt || entering_alt)
        && alt.flags & SS_AUTODISARM == 0
        && !(frame > alt.sp && frame - alt.sp <= alt.size)
    {
        return Err(Errno::EFAULT);
    }
    let mut bytes = [0; FRAME_SIZE];
    let mut words = Words(&mut bytes);
    words.put(0, action.restorer);
    // ucontext
    words.put(8, UC_FLAGS);
    words.put(24, alt.sp);
    words.put(32, u64::from((alt.flags & SS_AUTODISARM) | alt.state(regs.rsp)));
    words.put(40, alt.size);
    // sigcontext
    let selectors = (regs.cs & 0xffff) | (regs.ss & 0xffff) << 48;
    let (error, trapno, cr2) = match info.fields {
        Fields::Fault { addr } => (cx.fault.error_code, cx.fault.trapno, addr.0),
        _ if info.code == SI_KERNEL => (cx.fault.error_code, cx.fault.trapno, cx.fault.addr),
        _ => (cx.fault.error_code, cx.fault.trapno, cx.fault.addr),
    };
    let registers = [
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
        selectors,
        error,
        trapno,
        return_mask.0,
        cr2,
        fpstate,
    ];
    for (index, value) in registers.into_iter().enumerate() {
        words.put(48 + 8 * index, value);
    }
    words.put(8 + UCONTEXT_SIZE - 8, return_mask.0);
    for (to, from) in bytes.iter_mut().skip(8 + UCONTEXT_SIZE).zip(info.to_bytes()) {
        *to = from;
    }
    // In one piece, with what is between them: it is below the guest's stack.
    let distance = fpstate.checked_sub(frame).and_then(|distance| usize::try_from(distance).ok());
    let hole = distance.and_then(|distance| distance.checked_sub(FRAME_SIZE));
    let hole = hole.filter(|hole| *hole < 2 * HOLE).ok_or(Errno::EFAULT)?;
    let mut all = Vec::with_capacity(FRAME_SIZE + hole + extended.len());
    all.extend_from_slice(&bytes);
    all.resize(FRAME_SIZE + hole, 0);
    all.extend_from_slice(&extended);
    cx.write_bytes(UserAddr(frame), &all)?;
    if alt.flags & SS_AUTODISARM != 0 && entering_alt {
        cx.task.signals.lock().alt_stack = AltStack { flags: SS_DISABLE, ..AltStack::default() };
    }
    let regs = cx.registers();
    regs.rdi = u64::from(info.signo.unsigned_abs());
    regs.rsi = frame.wrapping_add(8 + UCONTEXT_SIZE as u64);
    regs.rdx = frame.wrapping_add(8);
    regs.rax = 0;
    regs.rip = action.handler;
    regs.rsp = frame;
    regs.cs = USER_CS;
    regs.ss = USER_SS;
    regs.eflags &= !(EFLAGS_DF | EFLAGS_RF | EFLAGS_TF);
    regs.orig_rax = u64::MAX;
    Ok(())
}

/// rt_sigreturn(2): everything back from the frame at the stack pointer.
pub fn rt_sigreturn(cx: &mut ThreadCx) -> Outcome {
    if restore(cx).is_err() {
        let task = std::sync::Arc::clone(&cx.task);
        super::send::force(&task, SigInfo::kernel(super::SIGSEGV));
    }
    Outcome::KeepRegisters
}

fn restore(cx: &mut ThreadCx) -> Result<()> {
    // The handler's `ret` has popped the return address.
    let rsp = cx.registers().rsp;
    // All of it at once, if the extended state is where the kernel puts it; otherwise as much as there is.
    let full = cx.task.kernel.platform.layout().xsave_size.max(LEGACY_SIZE);
    let mut frame = vec![0; FRAME_SIZE + HOLE + full + 4];
    if cx.read_bytes(UserAddr(rsp), &mut frame).is_err() {
        frame.truncate(UCONTEXT_SIZE);
        cx.read_bytes(UserAddr(rsp), &mut frame)?;
    }
    let (bytes, _) = frame.split_at_mut_checked(UCONTEXT_SIZE).ok_or(Errno::EFAULT)?;
    let mut bytes: [u8; UCONTEXT_SIZE] = (&*bytes).try_into().map_err(|_| Errno::EFAULT)?;
    let words = Words(&mut bytes);
    let word = |index: usize| words.get(40 + 8 * index);
    let fpstate = word(23);
    let extended = read_extended(cx, fpstate, &Around { at: rsp, bytes: &frame })?;
    cx.context.set_extended_state(&extended).map_err(|_| Errno::EFAULT)?;
    let regs = cx.registers();
    regs.r8 = word(0);
    regs.r9 = word(1);
    regs.r10 = word(2);
    regs.r11 = word(3);
    regs.r12 = word(4);
    regs.r13 = word(5);
    regs.r14 = word(6);
    regs.r15 = word(7);
    regs.rdi = word(8);
    regs.rsi = word(9);
    regs.rbp = word(10);
    regs.rbx = word(11);
    regs.rdx = word(12);
    regs.rax = word(13);
    regs.rcx = word(14);
    regs.rsp = word(15);
    regs.rip = word(16);
    regs.eflags = (regs.eflags & !USER_EFLAGS) | (word(17) & USER_EFLAGS);
    regs.cs = USER_CS;
    regs.ss = USER_SS;
    regs.orig_rax = u64::MAX;
    #[expect(clippy::cast_possible_truncation, reason = "ss_flags is a 32-bit field in a 64-bit slot")]
    let (sp, flags, size) = (words.get(16), words.get(24) as u32, words.get(32));
    let mask = SigSet(words.get(UCONTEXT_SIZE - 8));
    let task = std::sync::Arc::clone(&cx.task);
    task.set_blocked(mask);
    // As sigaltstack(2) would; errors are ignored (`restore_altstack`).
    let _ = set_alt_stack(cx, AltStack { sp, flags, size });
    Ok(())
}

/// Guest memory that was read already.
struct Around<'a> {
    at: u64,
    bytes: &'a [u8],
}

impl Around<'_> {
    fn read(&self, cx: &mut ThreadCx, at: u64, into: &mut [u8]) -> Result<()> {
        let offset = at.checked_sub(self.at).and_then(|offset| usize::try_from(offset).ok());
        let known = offset.and_then(|offset| self.bytes.get(offset..)?.get(..into.len()));
        match known {
            Some(known) => into.copy_from_slice(known),
            None => cx.read_bytes(UserAddr(at), into)?,
        }
        Ok(())
    }
}

/// The extended state a frame points to, in the form the platform takes.
fn read_extended(cx: &mut ThreadCx, fpstate: u64, around: &Around<'_>) -> Result<Vec<u8>> {
    if fpstate == 0 {
        return Ok(Vec::new());
    }
    let full = cx.task.kernel.platform.layout().xsave_size;
    let mut area = vec![0; full.max(LEGACY_SIZE)];
    around.read(cx, fpstate, area.get_mut(..LEGACY_SIZE).unwrap_or_default())?;
    let word = |area: &[u8], at: usize| {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(area.iter().skip(at)) {
            *to = *from;
        }
        u32::from_le_bytes(word)
    };
    let size = word(&area, SW_RESERVED + 16) as usize;
    let has_extended =
        word(&area, SW_RESERVED) == FP_XSTATE_MAGIC1 && size > LEGACY_SIZE && size <= full && {
            let mut magic = [0; 4];
            let at = UserAddr(fpstate).checked_add(size as u64).ok_or(Errno::EFAULT)?;
            around.read(cx, at.0, &mut magic)?;
            u32::from_le_bytes(magic) == FP_XSTATE_MAGIC2
        };
    if has_extended {
        let rest = area.get_mut(LEGACY_SIZE..size).unwrap_or_default();
        around.read(cx, fpstate.wrapping_add(LEGACY_SIZE as u64), rest)?;
    } else if let Some(header) = area.get_mut(LEGACY_SIZE) {
        // Only x87 and SSE state: the rest is as initialised.
        *header = 3;
    }
    Ok(area)
}

/// sigaltstack(2)'s setting part.
///
/// # Errors
/// `EPERM` while on the stack, `EINVAL` for unknown flags, `ENOMEM` for one too small.
pub fn set_alt_stack(cx: &mut ThreadCx, new: AltStack) -> Result<()> {
    let rsp = cx.registers().rsp;
    let mut signals = cx.task.signals.lock();
    if signals.alt_stack.contains(rsp) {
        return Err(Errno::EPERM);
    }
    let mode = new.flags & !SS_AUTODISARM;
    if mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0 {
        return Err(Errno::EINVAL);
    }
    if mode == SS_DISABLE {
        signals.alt_stack = AltStack { sp: 0, flags: new.flags, size: 0 };
        return Ok(());
    }
    if new.size < MIN_STACK {
        return Err(Errno::ENOMEM);
    }
    signals.alt_stack = new;
    Ok(())
}
