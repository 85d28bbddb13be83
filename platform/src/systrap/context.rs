//! One guest thread.

use std::{
    os::fd::BorrowedFd,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    birth::{self, Birth, FIRST},
    deferred,
    frame::{Cause, Frame},
    handover::Stub,
    kick::Kicker,
    layout::{REGION, REGION_LEN, TASK_END, feature, slot},
    ops::Op,
    space::Space,
    unit::lock,
};
use crate::{
    Access, AccessFault, AddressSpace, Backing, Context, Errno, Exception, Fault, Gone, Kick, MapError,
    PageRange, Process, Prot, Registers, Trap, UserAddr,
};

/// `AUDIT_ARCH_X86_64`.
const ARCH: u32 = host::seccomp::ARCH_X86_64;
/// The processor's page-fault vector and error bits (Intel SDM 6.15).
const PAGE_FAULT: u64 = 14;
const GENERAL_PROTECTION: u64 = 13;
const PF_WRITE: u64 = 1 << 1;
const PF_EXECUTE: u64 = 1 << 4;
const SI_KERNEL: i32 = 0x80;
/// `arch_prctl(2)` codes.
const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;

/// A guest thread: a thread of a stub process, stopped in its shim except during [`Context::run`].
pub(super) struct SystrapContext {
    stub: Stub,
    frame: Frame,
    own: Arc<Space>,
    space: Arc<dyn AddressSpace>,
    kicker: Arc<Kicker>,
    /// FS and GS bases that the thread has, where only system calls can change them.
    bases: (u64, u64),
}

impl SystrapContext {
    pub(super) fn new(space: &Arc<Space>, tid: i32, stub: Stub, frame: Frame) -> SystrapContext {
        SystrapContext {
            stub,
            frame,
            own: Arc::clone(space),
            space: Arc::clone(space) as Arc<dyn AddressSpace>,
            kicker: Arc::new(Kicker::new(space, tid)),
            bases: (0, 0),
        }
    }

    /// The first context of a new process.
    pub(super) fn process((space, stub, frame): (Arc<Space>, Stub, Frame)) -> Process {
        let context = SystrapContext::new(&space, space.pid(), stub, frame);
        Process { space, context: Box::new(context) }
    }

    /// Runs one operation.
    fn op(&mut self, op: Op) -> Result<(), MapError> {
        let results = self.stub.run(&self.own, &[op])?;
        results.get(0).map(drop).map_err(MapError::Refused)
    }

    /// Runs one operation that cannot fail, now or with the next hand-over.
    fn soon(&mut self, op: Op) -> Result<(), MapError> {
        self.stub.settle(&self.own)?;
        self.own.deferred.count_change();
        if self.own.defer(&self.stub.slot, op) { Ok(()) } else { self.op(op) }
    }

    /// Runs one operation that changes mappings.
    fn change(&mut self, op: Op) -> Result<(), MapError> {
        self.own.deferred.count_change();
        self.op(op)
    }

    /// Maps a file: its descriptor goes to the stub, is mapped there, and is closed again.
    fn map_file(&mut self, file: BorrowedFd<'_>, map: Op) -> Result<(), MapError> {
        self.own.deferred.count_change();
        let _files = lock(&self.own.files);
        birth::send(&self.own, &[file]).map_err(MapError::Refused)?;
        let ops = [birth::receive(&self.stub.slot), map, Op::close(FIRST)];
        let results = self.stub.run(&self.own, &ops)?;
        results.get(0).map_err(|_| MapError::Refused(Errno::ENOMEM))?;
        results.get(1).map(drop).map_err(MapError::Refused)
    }

    /// Sets the segment bases for the next return.
    fn set_bases(&mut self, fs: u64, gs: u64) -> Result<(), Gone> {
        // A base that is not canonical would fault in the shim; no thread can have one (arch_prctl(2) refuses).
        let [fs, gs] = [fs, gs].map(|base| if base < TASK_END { base } else { 0 });
        if self.own.shared.features & feature::FSGSBASE != 0 {
            self.stub.slot.set64(slot::NEW_FS, fs);
            self.stub.slot.set64(slot::NEW_GS, gs);
        } else if self.bases != (fs, gs) {
            let set = |code, base| Op::new(libc::SYS_arch_prctl, [code, base, 0, 0, 0, 0]);
            self.stub.run(&self.own, &[set(ARCH_SET_FS, fs), set(ARCH_SET_GS, gs)])?;
            self.bases = (fs, gs);
        }
        Ok(())
    }

    /// Resumes the guest and reads the frame of its next trap. `None`: the stub is gone, or lies.
    fn resume(&mut self, regs: &mut Registers) -> Option<(i32, Cause)> {
        self.stub.settle(&self.own).ok()?;
        self.set_bases(regs.fs_base, regs.gs_base).ok()?;
        let slot = &self.stub.slot;
        self.frame.set_registers(slot, regs);
        self.stub.resume(&self.own, self.frame.address(&self.stub.slot)).ok()?;
        let slot = &self.stub.slot;
        let signo = slot.get32(slot::SIGNO).cast_signed();
        let frame = Frame::posted(slot, &self.own.shared.xstate).filter(|_| signo != 0);
        let Some(frame) = frame else {
            self.own.kill();
            return None;
        };
        self.frame = frame;
        if self.own.shared.features & feature::FSGSBASE != 0 {
            regs.fs_base = slot.get64(slot::FS);
            regs.gs_base = slot.get64(slot::GS);
        }
        frame.registers(slot, regs);
        Some((signo, frame.cause(slot)))
    }
}

/// Translates a signal of the host into a trap.
fn trap(signo: i32, cause: &Cause, regs: &mut Registers) -> Trap {
    let &Cause { code, addr, error_code, trapno, cr2, arch } = cause;
    let exception = |signo, code, addr, error_code, trapno| {
        Trap::Exception(Exception { signo, code, addr: UserAddr(addr), error_code, trapno })
    };
    match signo {
        libc::SIGSYS if code == 1 && arch == ARCH => {
            regs.orig_rax = regs.rax;
            Trap::Syscall
        }
        // `int 0x80`: as on a kernel without 32-bit calls, the gate is closed. The error code names the vector.
        libc::SIGSYS if code == 1 => {
            regs.rip = regs.rip.wrapping_sub(2);
            exception(libc::SIGSEGV, SI_KERNEL, 0, 0x80 << 3 | 2, GENERAL_PROTECTION)
        }
        // Sent, not raised.
        _ if code <= 0 => Trap::Interrupted,
        libc::SIGSEGV | libc::SIGBUS if trapno == PAGE_FAULT => {
            let access = match error_code {
                e if e & PF_EXECUTE != 0 => Access::Execute,
                e if e & PF_WRITE != 0 => Access::Write,
                _ => Access::Read,
            };
            Trap::Fault(Fault { addr: UserAddr(cr2), access, signo, code, error_code, trapno })
        }
        libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL | libc::SIGTRAP => {
            exception(signo, code, addr, error_code, trapno)
        }
        _ => Trap::Interrupted,
    }
}

impl Context for SystrapContext {
    fn run(&mut self, regs: &mut Registers) -> Trap {
        if !self.kicker.enter() {
            return if self.own.is_dead() { Trap::Gone } else { Trap::Interrupted };
        }
        let trap = match self.resume(regs) {
            Some((signo, cause)) => trap(signo, &cause, regs),
            None => Trap::Gone,
        };
        self.kicker.leave(trap == Trap::Interrupted);
        trap
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        Arc::clone(&self.kicker) as Arc<dyn Kick>
    }

    fn space(&self) -> &Arc<dyn AddressSpace> {
        &self.space
    }

    fn extended_state(&mut self) -> Result<Vec<u8>, Gone> {
        if self.own.is_dead() {
            return Err(Gone);
        }
        Ok(self.frame.extended_state(&self.stub.slot, &self.own.shared.xstate))
    }

    fn set_extended_state(&mut self, area: &[u8]) -> Result<(), Gone> {
        if self.own.is_dead() {
            return Err(Gone);
        }
        self.frame.set_extended_state(&self.stub.slot, &self.own.shared.xstate, area);
        Ok(())
    }

    fn read(&mut self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault> {
        self.own.read(at, into)
    }

    fn write(&mut self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault> {
        self.own.write(at, from)
    }

    fn map(&mut self, range: PageRange, backing: Backing<'_>, prot: Prot) -> Result<(), MapError> {
        match backing {
            Backing::Anonymous { no_reserve } => {
                let no_reserve = if no_reserve { libc::MAP_NORESERVE } else { 0 };
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | no_reserve;
                let map = Op::mmap(range, prot, flags, -1, 0);
                if range.is_empty() || range.len() > deferred::MAX_LEN {
                    self.change(map)
                } else {
                    self.soon(map)
                }
            }
            Backing::Private { file, offset } => {
                self.map_file(file, Op::mmap(range, prot, libc::MAP_PRIVATE | libc::MAP_FIXED, FIRST, offset))
            }
            Backing::Shared { file, offset } => {
                self.map_file(file, Op::mmap(range, prot, libc::MAP_SHARED | libc::MAP_FIXED, FIRST, offset))
            }
        }
    }

    fn unmap(&mut self, range: PageRange) -> Result<(), MapError> {
        let unmap = Op::munmap(range.start(), range.len());
        if range.is_empty() { self.op(unmap) } else { self.soon(unmap) }
    }

    fn protect(&mut self, range: PageRange, prot: Prot) -> Result<(), MapError> {
        self.change(Op::mprotect(range, prot))
    }

    fn remap(&mut self, from: PageRange, to: PageRange) -> Result<(), MapError> {
        let flags = if from.start() == to.start() { 0 } else { libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED };
        let args = [from.start(), from.len(), to.len(), flags.cast_unsigned().into(), to.start(), 0];
        self.change(Op::new(libc::SYS_mremap, args))
    }

    fn advise(&mut self, range: PageRange, advice: i32) -> Result<(), MapError> {
        let advice = i64::from(advice).cast_unsigned();
        self.change(Op::new(libc::SYS_madvise, [range.start(), range.len(), advice, 0, 0, 0]))
    }

    fn clone_thread(&mut self) -> Result<Box<dyn Context>, Errno> {
        self.stub.settle(&self.own).map_err(|_| Errno::EAGAIN)?;
        let (tid, stub, frame) = birth::thread(&self.own, &mut self.stub, &self.frame)?;
        Ok(Box::new(SystrapContext::new(&self.own, tid, stub, frame)))
    }

    fn fork(&mut self) -> Result<Process, Errno> {
        self.stub.settle(&self.own).map_err(|_| Errno::EAGAIN)?;
        let files = lock(&self.own.files);
        let birth = Birth::prepare(&self.own, &self.stub.slot, Some(&self.frame))?;
        let results = self.stub.run(&self.own, &birth.ops).map_err(|_| Errno::EAGAIN)?;
        drop(files);
        Ok(SystrapContext::process(birth.complete(&self.own, &results, Some(&self.stub.pace))?))
    }

    fn reset(&mut self) -> Result<(), MapError> {
        let high = REGION + REGION_LEN;
        let ops = [Op::munmap(0, REGION), Op::munmap(high, TASK_END - high)];
        let results = self.stub.run(&self.own, &ops)?;
        self.frame.set_extended_state(&self.stub.slot, &self.own.shared.xstate, &[]);
        self.own.deferred.reset_count();
        results.all(ops.len()).map_err(MapError::Refused)
    }

    fn cpu_time(&mut self) -> Duration {
        /// `CLOCK_THREAD_CPUTIME_ID`.
        const THREAD: u64 = 3;
        let at = self.stub.slot.guest(slot::DATA);
        let clock = Op::new(libc::SYS_clock_gettime, [THREAD, at, 0, 0, 0, 0]);
        if self.op(clock).is_err() {
            return Duration::ZERO;
        }
        let mut time = [0; 2];
        self.stub.slot.get_words(slot::DATA, &mut time);
        let [seconds, nanos] = time;
        // Out of a slot: an allegation, though about the guest's own time.
        Duration::new(seconds.min(u64::from(u32::MAX)), u32::try_from(nanos).unwrap_or(0).min(999_999_999))
    }
}

impl Drop for SystrapContext {
    fn drop(&mut self) {
        self.kicker.disarm();
        if self.own.threads.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.own.kill();
        } else {
            self.stub.exit(&self.own);
            self.own.leave_slot(&self.stub.slot);
        }
    }
}
