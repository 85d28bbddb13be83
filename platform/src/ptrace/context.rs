//! One guest thread.

use std::{io, sync::Arc, time::Duration};

use host::ptrace::{self, Stop};

use super::hold::Hold;
use crate::{
    AccessFault, AddressSpace, Backing, Context, Errno, Exception, Gone, Kick, MapError, PageRange, Process,
    Prot, Registers, Trap, UserAddr, systrap::SystrapContext,
};

/// `si_code` of `SIGSYS` from a filter (`SYS_SECCOMP`).
const SYS_SECCOMP: i32 = 1;
const SI_KERNEL: i32 = 0x80;
/// The processor's vector of a general-protection fault, and its error code for `int 0x80`: `vector << 3 | IDT`.
const GENERAL_PROTECTION: u64 = 13;
const INT_80: u64 = 0x80 << 3 | 2;
/// More than any processor's extended state (AMX: 11 KiB).
const STATE_MAX: usize = 32 << 10;

/// A guest thread, whose host thread rests or is held.
pub(super) struct PtraceContext {
    inner: SystrapContext,
    hold: Option<Hold>,
}

impl PtraceContext {
    pub(super) fn new(inner: SystrapContext) -> PtraceContext {
        PtraceContext { inner, hold: None }
    }

    pub(super) fn into_process(self) -> Process {
        Process { space: Arc::clone(self.inner.space()), context: Box::new(self) }
    }

    /// The thread at rest, for operations.
    fn rest(&mut self) -> Result<&mut SystrapContext, Gone> {
        if let Some(hold) = self.hold.take() {
            if !hold.is_ours() {
                log::error!("a guest thread was used by two threads");
                self.hold = Some(hold);
                return Err(Gone);
            }
            if hold.release().is_err() {
                // Only a dying thread refuses.
                hold.bury(self.inner.is_leader());
                return Err(Gone);
            }
        }
        Ok(&mut self.inner)
    }

    /// The thread held by the calling thread.
    fn hold(&mut self) -> Result<&Hold, Gone> {
        let hold = match self.hold.take() {
            Some(hold) => hold,
            None => Hold::take(&mut self.inner)?,
        };
        let hold = self.hold.insert(hold);
        if hold.is_ours() { Ok(hold) } else { Err(Gone) }
    }

    /// Runs `f` with the thread held, and lets it rest again if it did.
    fn while_held<T>(&mut self, f: impl FnOnce(i32) -> io::Result<T>) -> Result<T, Gone> {
        if self.inner.is_dead() {
            return Err(Gone);
        }
        let rested = self.hold.is_none();
        let result = f(self.hold()?.tid()).map_err(|_| Gone);
        if rested {
            self.rest()?;
        }
        result
    }

    /// Resumes the guest until its next trap.
    fn resume(&mut self, regs: &mut Registers) -> Result<Trap, Gone> {
        let stop = self.hold()?.run(regs, 0);
        match stop {
            Ok(Stop::Call) => {
                self.registers(regs)?;
                // `syscall` leaves its return address in rcx; `int 0x80` does not, and here has its gate closed.
                if regs.rcx == regs.rip {
                    regs.rax = regs.orig_rax;
                    return Ok(Trap::Syscall);
                }
                regs.rax = regs.orig_rax;
                regs.orig_rax = u64::MAX;
                regs.rip = regs.rip.wrapping_sub(2);
                Ok(Trap::Exception(Exception {
                    signo: libc::SIGSEGV,
                    code: SI_KERNEL,
                    addr: UserAddr(0),
                    error_code: INT_80,
                    trapno: GENERAL_PROTECTION,
                }))
            }
            Ok(Stop::Signal(signo)) => self.signal(signo, regs),
            Ok(Stop::Ended | Stop::Interrupt) | Err(_) => Err(self.lose()),
        }
    }

    fn registers(&mut self, regs: &mut Registers) -> Result<(), Gone> {
        let read = self.hold()?.registers(regs);
        read.map_err(|_| self.lose())
    }

    /// The thread has ended or cannot be used any more: takes its process with it.
    fn lose(&mut self) -> Gone {
        self.inner.kill();
        if let Some(hold) = self.hold.take() {
            hold.bury(self.inner.is_leader());
        }
        Gone
    }

    /// The guest stopped for a signal.
    fn signal(&mut self, signo: i32, regs: &mut Registers) -> Result<Trap, Gone> {
        self.registers(regs)?;
        let tid = self.hold()?.tid();
        let code = ptrace::signal_code(tid).map_err(|_| self.lose())?;
        match signo {
            // A call through the vsyscall page, which the host looks at as one that was made.
            libc::SIGSYS if code == SYS_SECCOMP => {
                regs.orig_rax = regs.rax;
                Ok(Trap::Syscall)
            }
            libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL | libc::SIGTRAP if code > 0 => {
                regs.orig_rax = u64::MAX;
                self.fault(signo, regs).map_err(|_| self.lose())
            }
            // A kick, or something that somebody on the host sent.
            _ => {
                regs.orig_rax = u64::MAX;
                Ok(Trap::Interrupted)
            }
        }
    }

    /// The guest's signal is of its own making. Its frame alone says what the processor reported, so one is made: on the
    /// thread's signal stack, where the shim's handler posts it before it makes its first call.
    fn fault(&mut self, signo: i32, regs: &mut Registers) -> io::Result<Trap> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let top = self.inner.signal_stack();
        let hold = self.hold().map_err(|Gone| gone())?;
        let tid = hold.tid();
        // The handler begins with the initial extended state.
        let mut state = vec![0; STATE_MAX];
        let len = ptrace::extended_state(tid, &mut state)?;
        state.truncate(len);
        if !hold.handle(regs, top, signo)? {
            return Err(gone());
        }
        ptrace::set_extended_state(tid, &state)?;
        ptrace::set_signal_mask(tid, 0)?;
        self.inner.take_fault(regs).ok_or_else(gone)
    }
}

impl Context for PtraceContext {
    fn run(&mut self, regs: &mut Registers) -> Trap {
        crate::wake_now();
        if !self.inner.enter() {
            return if self.inner.is_dead() { Trap::Gone } else { Trap::Interrupted };
        }
        let trap = self.resume(regs).unwrap_or(Trap::Gone);
        self.inner.leave(trap == Trap::Interrupted);
        trap
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        self.inner.kicker()
    }

    fn space(&self) -> &Arc<dyn AddressSpace> {
        self.inner.space()
    }

    fn extended_state(&mut self) -> Result<Vec<u8>, Gone> {
        let mut area = vec![0; STATE_MAX];
        let len = self.while_held(|tid| ptrace::extended_state(tid, &mut area))?;
        area.truncate(len);
        self.inner.describe_state(&mut area);
        Ok(area)
    }

    fn set_extended_state(&mut self, area: &[u8]) -> Result<(), Gone> {
        let clean = self.inner.clean_state(area);
        self.while_held(|tid| {
            // The host wants all that it gives, which is more where guests do not get every component.
            let mut all = vec![0; STATE_MAX];
            let len = ptrace::extended_state(tid, &mut all)?;
            all.truncate(len);
            all.iter_mut().zip(&clean).for_each(|(to, from)| *to = *from);
            ptrace::set_extended_state(tid, &all)
        })
    }

    fn read(&mut self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault> {
        self.inner.space().read(at, into)
    }

    fn write(&mut self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault> {
        self.inner.space().write(at, from)
    }

    fn compare_exchange_u32(&mut self, at: UserAddr, old: u32, new: u32) -> Result<u32, AccessFault> {
        self.rest().map_err(|Gone| AccessFault { done: 0 })?.compare_exchange_u32(at, old, new)
    }

    fn map(&mut self, range: PageRange, backing: Backing<'_>, prot: Prot) -> Result<(), MapError> {
        self.rest()?.map(range, backing, prot)
    }

    fn unmap(&mut self, range: PageRange) -> Result<(), MapError> {
        self.rest()?.unmap(range)
    }

    fn protect(&mut self, range: PageRange, prot: Prot) -> Result<(), MapError> {
        self.rest()?.protect(range, prot)
    }

    fn remap(&mut self, from: PageRange, to: PageRange) -> Result<(), MapError> {
        self.rest()?.remap(from, to)
    }

    fn advise(&mut self, range: PageRange, advice: i32) -> Result<(), MapError> {
        self.rest()?.advise(range, advice)
    }

    fn clone_thread(&mut self) -> Result<Box<dyn Context>, Errno> {
        // The host gives the new thread a copy of the extended state, which no code of the shim changes.
        let thread = self.rest().map_err(|Gone| Errno::EAGAIN)?.new_thread()?;
        Ok(Box::new(PtraceContext::new(thread)))
    }

    fn fork(&mut self) -> Result<Process, Errno> {
        let process = self.rest().map_err(|Gone| Errno::EAGAIN)?.new_process()?;
        Ok(PtraceContext::new(process).into_process())
    }

    fn reset(&mut self) -> Result<(), MapError> {
        self.rest()?.reset()?;
        Ok(self.set_extended_state(&[])?)
    }

    fn cpu_time(&mut self) -> Duration {
        self.rest().map_or(Duration::ZERO, Context::cpu_time)
    }

    fn residency(&mut self, range: PageRange, pages: &mut [u8]) -> Result<(), MapError> {
        self.rest()?.residency(range, pages)
    }

    fn release(&mut self, clear: Option<UserAddr>) {
        if let Ok(inner) = self.rest() {
            inner.release(clear);
        }
    }

    fn set_rseq(&mut self, area: Option<(UserAddr, u32, u32)>) -> Result<(), Errno> {
        self.rest().map_err(|Gone| Errno::ESRCH)?.set_rseq(area)
    }
}

impl Drop for PtraceContext {
    fn drop(&mut self) {
        // A thread that ends while it is held by a thread that ends would take its process with it. If it is gone, all is well.
        let _ = self.rest();
    }
}
