//! One guest thread.

use std::{
    iter,
    os::fd::BorrowedFd,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use super::{
    birth::{self, Begin, Birth, FIRST},
    deferred,
    frame::{Cause, Frame},
    handover::{Resume, Resumed, Stub},
    kick::Kicker,
    layout::{REGION, REGION_LEN, TASK_END, THUNKS, VDSO, event, feature, slot},
    ops::Op,
    pace::Pace,
    patch::Repair,
    reaper::REST,
    site::Site,
    space::{Idle, Space},
    unit::lock,
};
use crate::{
    Access, AccessFault, AddressSpace, Answer, Backing, Context, Errno, Exception, Fault, Gone, Kick, Lent,
    MapError, PageRange, Piece, PlainActions, Process, Prot, Registers, Trap, UserAddr,
};

/// `AUDIT_ARCH_X86_64`.
const ARCH: u32 = host::seccomp::ARCH_X86_64;
/// The processor's page-fault vector and error bits (Intel SDM 6.15).
const PAGE_FAULT: u64 = 14;
const GENERAL_PROTECTION: u64 = 13;
const PF_WRITE: u64 = 1 << 1;
const PF_EXECUTE: u64 = 1 << 4;
const SI_KERNEL: i32 = 0x80;
/// `EFLAGS.TF`.
const TRAP_FLAG: u64 = 0x100;
/// `arch_prctl(2)` codes.
const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;

/// A guest thread: a thread of a stub process, stopped in its shim except during [`Context::run`].
pub(crate) struct SystrapContext {
    pub(super) stub: Stub,
    /// The host thread.
    pub(super) tid: i32,
    /// Where the registers of the stopped thread are.
    frame: Frame,
    /// It is stopped in a patched call: `frame` has no extended state.
    fast: bool,
    /// It was stopped in a patched call, and the caller has only the registers that came with the request.
    incomplete: bool,
    pub(super) own: Arc<Space>,
    /// It is the process's first thread, which must not end before the others: the host finds a process's memory through it.
    leader: bool,
    space: Arc<dyn AddressSpace>,
    pub(super) kicker: Arc<Kicker>,
    /// FS and GS bases that the host thread has.
    bases: (u64, u64),
    /// The guest's rseq area, if the host watches it for this thread: address, length, signature.
    rseq: Option<(UserAddr, u32, u32)>,
    /// A call site to patch.
    pub(super) candidate: Option<Site>,
    /// Where the last patched call returns to, for the guest and in its thunk.
    thunk: (u64, u64),
}

impl SystrapContext {
    pub(super) fn new(space: &Arc<Space>, tid: i32, stub: Stub, frame: Frame) -> SystrapContext {
        SystrapContext {
            tid,
            frame,
            fast: false,
            incomplete: false,
            own: Arc::clone(space),
            leader: space.with_pid(|pid| pid == tid).unwrap_or(false),
            space: Arc::clone(space) as Arc<dyn AddressSpace>,
            kicker: Arc::new(Kicker::new(space, tid, stub.slot.clone(), space.enter_thread(&stub.slot))),
            bases: (0, 0),
            rseq: None,
            candidate: None,
            thunk: (0, 0),
            stub,
        }
    }

    /// The first context of a new process.
    pub(super) fn first((space, stub, frame): (Arc<Space>, Stub, Frame)) -> SystrapContext {
        SystrapContext::new(&space, space.pid(), stub, frame)
    }

    /// The same as a process.
    pub(super) fn into_process(self) -> Process {
        Process { space: Arc::clone(&self.space), context: Box::new(self) }
    }

    /// [`Context::clone_thread`].
    pub(crate) fn new_thread(&mut self) -> Result<SystrapContext, Errno> {
        self.need_frame().map_err(|_| Errno::EAGAIN)?;
        let (tid, stub, frame) = birth::thread(&self.own, &mut self.stub, &self.frame)?;
        Ok(SystrapContext::new(&self.own, tid, stub, frame))
    }

    /// [`Context::fork`].
    pub(crate) fn new_process(&mut self) -> Result<SystrapContext, Errno> {
        self.need_frame().map_err(|_| Errno::EAGAIN)?;
        self.while_frozen(|context, patches| {
            let own = &context.own;
            let files = lock(&own.files);
            let birth = Birth::prepare(own, &context.stub.slot, Some(&context.frame), Begin::WhenUsed)?;
            let results = context.stub.run(own, &birth.ops).map_err(|_| Errno::EAGAIN)?;
            drop(files);
            let born = birth.complete(own, &results, Some(&context.stub.pace), patches)?;
            let mut child = SystrapContext::first(born);
            child.rseq = context.rseq;
            Ok(child)
        })
    }

    /// Leaves the host thread where it is, for another guest thread. `false`: it has to end.
    ///
    /// Not one that is stopped in a patched call: there kicks are not blocked, and the frame of one that is on its way would
    /// come to lie where the next guest thread's is made.
    fn park(&mut self) -> bool {
        let thread = || Idle {
            tid: self.tid,
            slot: self.stub.slot.clone(),
            pace: Pace::new(self.tid, Some(&self.stub.pace)),
        };
        !self.fast
            && self.rseq.is_none()
            && self.own.shared.may_park
            && self.stub.is_at_rest()
            && self.own.keep(thread())
    }

    /// Runs one operation.
    fn op(&mut self, op: Op) -> Result<(), MapError> {
        let results = self.stub.run(&self.own, &[op])?;
        results.get(0).map(drop).map_err(MapError::Refused)
    }

    /// Makes sure that no write to this memory waits, and no change to mappings.
    fn run_writes(&mut self, at: UserAddr, len: usize) {
        if self.stub.copies.is_pending(at.0, len) || !self.stub.deferred.is_empty() {
            // If the stub is gone, the access that follows says so.
            let _ = self.stub.run(&self.own, &[]);
        }
    }

    /// Whether so many operations may wait for the next hand-over.
    fn may_defer(&self, count: usize) -> bool {
        self.own.shared.may_defer
            && !self.own.is_dead()
            && !self.own.mappings.are_many()
            && self.stub.deferred.has_room(count)
    }

    /// Runs one operation that changes mappings, with the next hand-over if possible.
    fn soon(&mut self, op: Op) -> Result<(), MapError> {
        self.own.mappings.count_change();
        if self.may_defer(1) {
            self.stub.deferred.push(op);
            return Ok(());
        }
        self.op(op)
    }

    /// Runs one operation that changes mappings.
    fn change(&mut self, op: Op) -> Result<(), MapError> {
        self.own.mappings.count_change();
        self.op(op)
    }

    /// Maps pieces of a file: its descriptor goes to the stub, is mapped there as `maps` say, and is closed again.
    fn map_file(&mut self, file: BorrowedFd<'_>, maps: &[Op]) -> Result<(), MapError> {
        maps.iter().for_each(|_| self.own.mappings.count_change());
        let own = Arc::clone(&self.own);
        let _files = lock(&own.files);
        let list = |slot| iter::once(birth::receive(slot)).chain(maps.iter().copied());
        // Threads share their descriptors, so with several of them the file must not stay open until this one runs.
        if own.threads.load(Ordering::Relaxed) == 1 && self.may_defer(maps.len() + 2) {
            birth::send(&own, &[file]).map_err(MapError::Refused)?;
            self.stub.deferred.push_with_file(list(&self.stub.slot).chain([Op::close(FIRST)]));
            return Ok(());
        }
        if !self.stub.deferred.is_empty() {
            // They may have a file too.
            self.stub.run_deferred(&own)?;
        }
        birth::send(&own, &[file]).map_err(MapError::Refused)?;
        let ops: Vec<_> = list(&self.stub.slot).chain([Op::close(FIRST)]).collect();
        let results = self.stub.run(&own, &ops)?;
        results.get(0).map_err(|_| MapError::Refused(Errno::ENOMEM))?;
        results.all(maps.len() + 1).map_err(MapError::Refused)
    }

    fn has_fsgsbase(&self) -> bool {
        self.own.shared.features & feature::FSGSBASE != 0
    }

    /// Whether the shim finds its slot by the GS base of guests that do not use it.
    pub(super) fn uses_gs(&self) -> bool {
        self.own.shared.config.patch && self.has_fsgsbase()
    }

    /// Sets the segment bases for the next return from a frame.
    fn set_bases(&mut self, fs: u64, gs: u64) -> Result<(), Gone> {
        let [fs, gs] = [fs, gs].map(canonical);
        if !self.has_fsgsbase() {
            if self.bases != (fs, gs) {
                let set = |code, base| Op::new(libc::SYS_arch_prctl, [code, base, 0, 0, 0, 0]);
                self.stub.run(&self.own, &[set(ARCH_SET_FS, fs), set(ARCH_SET_GS, gs)])?;
                self.bases = (fs, gs);
            }
            return Ok(());
        }
        let ours = self.uses_gs() && gs == 0;
        if self.uses_gs() && !ours {
            self.unpatch()?;
        }
        self.stub.slot.set64(slot::NEW_FS, fs);
        self.stub.slot.set64(slot::NEW_GS, if ours { self.stub.slot.address() } else { gs });
        Ok(())
    }

    /// Makes sure that the stopped thread has a signal frame.
    fn need_frame(&mut self) -> Result<(), Gone> {
        self.stub.settle(&self.own)?;
        if self.fast {
            self.stub.upgrade(&self.own)?;
            self.frame = Frame::posted(&self.stub.slot, &self.own.shared.xstate).ok_or_else(|| {
                self.own.kill();
                Gone
            })?;
            self.fast = false;
        }
        Ok(())
    }

    /// Puts the registers where the shim takes them from.
    fn prepare(&mut self, regs: &Registers) -> Result<Resume, Gone> {
        self.stub.settle(&self.own)?;
        if self.incomplete && self.fast {
            self.stub.slot.set64(slot::RESULT, regs.rax);
            return Ok(Resume::Call);
        }
        let mut complete = *regs;
        self.complete(&mut complete);
        let regs = &complete;
        // A patched call returns with its return address in rcx, as a system call does.
        let returns = regs.rip == regs.rcx && regs.rip < TASK_END;
        let rip = if self.fast && regs.rip == self.thunk.0 { self.thunk.1 } else { self.moved(regs.rip) };
        let regs = &Registers { rip, ..*regs };
        if self.fast && returns && regs.gs_base == 0 && regs.eflags & TRAP_FLAG == 0 {
            self.frame.set_general(&self.stub.slot, regs);
            let fs = canonical(regs.fs_base);
            let set_fs = fs != self.bases.0;
            if set_fs {
                self.stub.slot.set64(slot::NEW_FS, fs);
            }
            return Ok(Resume::Fast { set_fs });
        }
        self.need_frame()?;
        self.set_bases(regs.fs_base, regs.gs_base)?;
        self.frame.set_registers(&self.stub.slot, regs);
        Ok(Resume::Frame(self.frame.address(&self.stub.slot)))
    }

    /// Resumes the guest until its next trap.
    fn resume(&mut self, regs: &mut Registers) -> Result<Trap, Gone> {
        self.stub.copies.forget();
        // A long list has no room for patches; there will be others.
        let ops = if self.stub.deferred.has_room(deferred::SPARE) { self.patch() } else { Vec::new() };
        let how = self.prepare(regs)?;
        let patching = !ops.is_empty();
        let result = self.stub.resume(&self.own, ops, how);
        self.kicker.stopped(self.own.threads.load(Ordering::Relaxed) == 1);
        self.stopped();
        let resumed = result?;
        if patching {
            self.patched();
        }
        if let Resumed::Refused(errno) = resumed {
            return Ok(Trap::Refused(errno));
        }
        let slot = &self.stub.slot;
        let event = slot.get32(slot::SIGNO);
        if event == event::FAST_KICK {
            // Nothing has changed, not even the FS base.
            regs.orig_rax = u64::MAX;
            return Ok(Trap::Interrupted);
        }
        if event == event::ANSWERED {
            self.fast = true;
            self.frame = Frame::fast();
            self.incomplete = true;
            (regs.rax, regs.orig_rax) = (slot.get64(slot::REGISTERS + 104), u64::MAX);
            self.complete(regs);
            return Ok(Trap::Interrupted);
        }
        if event == event::FAST_CALL {
            self.fast = true;
            self.frame = Frame::fast();
            self.incomplete = true;
            let mut request = [0; 7];
            slot.get_words(slot::RECORD_COUNT, &mut request);
            let [number, rdi, rsi, rdx, r10, r8, r9] = request;
            if number & 0xff != 0 {
                // The call has arguments in memory. They come from the guest's processor while the call is looked up.
                slot.prefetch(slot::RECORDS);
            }
            let number = number >> 32;
            *regs = Registers { rax: number, orig_rax: number, rdi, rsi, rdx, r10, r8, r9, ..*regs };
            return Ok(Trap::Syscall);
        }
        self.fast = false;
        self.incomplete = false;
        let frame = Frame::posted(slot, &self.own.shared.xstate).filter(|_| event != 0);
        let Some(frame) = frame else {
            self.own.kill();
            return Err(Gone);
        };
        self.frame = frame;
        let (resumed, fast) = (regs.rip, matches!(how, Resume::Fast { .. }));
        frame.registers(slot, regs);
        if fast && regs.rip == self.thunk.1 && resumed == self.thunk.0 {
            // A kick took it on its way to the thunk.
            regs.rip = resumed;
        }
        if regs.rip >= THUNKS && regs.rip < VDSO && regs.rip == slot.get64(slot::REGISTERS + 128) {
            // On its way back from a patched call.
            regs.rip = lock(&self.own.patches).guest_address(regs.rip);
        }
        if self.has_fsgsbase() {
            self.bases = (canonical(slot.get64(slot::FS)), canonical(slot.get64(slot::GS)));
            let stopped_before_set_fs = how == Resume::Fast { set_fs: true } && regs.rip == resumed;
            if !stopped_before_set_fs {
                regs.fs_base = self.bases.0;
            }
            let ours = self.uses_gs() && self.bases.1 == slot.address();
            regs.gs_base = if ours { 0 } else { self.bases.1 };
        }
        let cause = frame.cause(slot);
        Ok(trap(event.cast_signed(), &cause, regs))
    }

    /// [`Context::step`].
    fn step_to(&mut self, regs: &mut Registers) -> Trap {
        self.stub.copies.forget();
        if !self.kicker.enter() {
            // The kick is told now; what the shim remembers of it is done with.
            self.stub.slot.set32(slot::KICK, 0);
            crate::wake_now();
            return if self.own.is_dead() { Trap::Gone } else { Trap::Interrupted };
        }
        let trap = self.run_on(regs).unwrap_or(Trap::Gone);
        self.kicker.leave(trap == Trap::Interrupted);
        trap
    }

    /// Resumes the guest until its next trap, and makes a call of one that a patched site caused.
    fn run_on(&mut self, regs: &mut Registers) -> Result<Trap, Gone> {
        let trap = self.resume(regs)?;
        let signo = match trap {
            Trap::Exception(exception) => exception.signo,
            Trap::Fault(fault) => fault.signo,
            Trap::Interrupted | Trap::Refused(_) | Trap::Gone => return Ok(trap),
            Trap::Syscall => {
                if !self.fast {
                    self.consider(regs);
                }
                self.stub.copies.call(regs);
                return Ok(trap);
            }
        };
        match lock(&self.own.patches).repair(signo, regs) {
            Repair::None => Ok(trap),
            Repair::Call => Ok(Trap::Syscall),
        }
    }
}

/// Maps zero pages.
fn anonymous(range: PageRange, prot: Prot, flags: i32) -> Op {
    Op::mmap(range, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | flags, -1, 0)
}

/// A segment base that no instruction of the shim faults with: no thread can have another (arch_prctl(2) refuses).
pub(super) fn canonical(base: u64) -> u64 {
    if base < TASK_END { base } else { 0 }
}

/// Translates a signal of the host into a trap.
pub(super) fn trap(signo: i32, cause: &Cause, regs: &mut Registers) -> Trap {
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
        let trap = self.step_to(regs);
        self.complete(regs);
        trap
    }

    fn step(&mut self, regs: &mut Registers) -> Trap {
        self.step_to(regs)
    }

    fn complete(&mut self, regs: &mut Registers) {
        if !std::mem::take(&mut self.incomplete) {
            return;
        }
        let slot = &self.stub.slot;
        let (rax, orig_rax) = (regs.rax, regs.orig_rax);
        Frame::fast().registers(slot, regs);
        (regs.rax, regs.orig_rax) = (rax, orig_rax);
        self.bases.0 = canonical(slot.get64(slot::FS));
        (regs.fs_base, regs.gs_base) = (self.bases.0, 0);
        if regs.rip >= THUNKS && regs.rip < VDSO {
            let back = lock(&self.own.patches).guest_address(regs.rip);
            self.thunk = (back, regs.rip);
            (regs.rip, regs.rcx) = (back, back);
        }
    }

    fn remember(&mut self, answer: Answer, value: u32) {
        self.stub.slot.remember(answer, value);
    }

    fn lend(&mut self, what: Lent, value: u64) -> bool {
        self.stub.slot.lend(what, value)
    }

    fn lend_actions(&mut self, defaults: u64) {
        self.stub.slot.lend_actions(defaults);
    }

    fn take_actions(&mut self) -> Option<PlainActions> {
        self.stub.slot.take_actions()
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
        self.need_frame()?;
        Ok(self.frame.extended_state(&self.stub.slot, &self.own.shared.xstate))
    }

    fn set_extended_state(&mut self, area: &[u8]) -> Result<(), Gone> {
        if self.own.is_dead() {
            return Err(Gone);
        }
        self.need_frame()?;
        self.frame.set_extended_state(&self.stub.slot, &self.own.shared.xstate, area);
        Ok(())
    }

    fn read(&mut self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault> {
        self.run_writes(at, into.len());
        if self.stub.copies.read(&self.stub.slot, at.0, into) {
            return Ok(());
        }
        self.own.read(at, into)
    }

    fn is_empty_string(&mut self, at: UserAddr) -> bool {
        !self.stub.copies.is_pending(at.0, 1) && self.stub.copies.is_empty_string(&self.stub.slot, at.0)
    }

    fn write(&mut self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault> {
        self.run_writes(at, from.len());
        if self.stub.copies.write(&self.stub.slot, at.0, from) {
            return Ok(());
        }
        self.stub.copies.changed(at.0, from.len());
        self.own.write(at, from)
    }

    fn map(&mut self, range: PageRange, backing: Backing<'_>, prot: Prot) -> Result<(), MapError> {
        self.gone(range);
        match backing {
            Backing::Anonymous { no_reserve } => {
                let map = anonymous(range, prot, if no_reserve { libc::MAP_NORESERVE } else { 0 });
                if range.is_empty() || range.len() > deferred::MAX_LEN {
                    self.change(map)
                } else {
                    self.soon(map)
                }
            }
            Backing::Private { file, offset } => {
                self.map_image(file, &[Piece { range, prot, offset: Some(offset) }])
            }
            Backing::Shared { file, offset } => self
                .map_file(file, &[Op::mmap(range, prot, libc::MAP_SHARED | libc::MAP_FIXED, FIRST, offset)]),
        }
    }

    fn map_image(&mut self, file: BorrowedFd<'_>, pieces: &[Piece]) -> Result<(), MapError> {
        let map = |piece: &Piece| match piece.offset {
            Some(offset) => {
                Op::mmap(piece.range, piece.prot, libc::MAP_PRIVATE | libc::MAP_FIXED, FIRST, offset)
            }
            None => anonymous(piece.range, piece.prot, 0),
        };
        for part in pieces.chunks(deferred::MAX / 2) {
            part.iter().for_each(|piece| self.gone(piece.range));
            self.map_file(file, &part.iter().map(map).collect::<Vec<_>>())?;
            self.mapped_image(file, part);
        }
        Ok(())
    }

    fn initialise(&mut self, at: UserAddr, bytes: &[u8]) -> Result<(), AccessFault> {
        let deferred = &self.stub.deferred;
        if (deferred.is_empty() && !self.stub.is_new()) || !self.stub.deferred.has_room(1) {
            return self.write(at, bytes);
        }
        let Stub { copies, deferred, slot, .. } = &mut self.stub;
        match copies.store(slot, bytes) {
            Some(from) => {
                deferred.push(Op::copy(at.0, from, bytes.len() as u64));
                Ok(())
            }
            None => self.write(at, bytes),
        }
    }

    fn clear(&mut self, at: UserAddr, len: usize) -> Result<(), AccessFault> {
        /// So many come from the slot, and are copied on from there.
        const ZEROS: usize = 256;
        let own = len.min(ZEROS);
        self.initialise(at, &[0; ZEROS][..own])?;
        let rest = (len - own) as u64;
        match at.checked_add(own as u64) {
            Some(to) if rest > 0 && self.may_defer(1) => {
                self.stub.deferred.push(Op::copy(to.0, at.0, rest));
                Ok(())
            }
            Some(to) if rest > 0 => self.write(to, &vec![0; len - own]),
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), MapError> {
        if self.stub.deferred.is_empty() { Ok(()) } else { self.stub.run_deferred(&self.own) }
    }

    fn unmap(&mut self, range: PageRange) -> Result<(), MapError> {
        self.gone(range);
        let unmap = Op::munmap(range.start(), range.len());
        if range.is_empty() { self.op(unmap) } else { self.soon(unmap) }
    }

    fn protect(&mut self, range: PageRange, prot: Prot) -> Result<(), MapError> {
        self.changed(range);
        self.soon(Op::mprotect(range, prot))
    }

    fn remap(&mut self, from: PageRange, to: PageRange) -> Result<(), MapError> {
        self.moving(from)?;
        self.gone(to);
        let flags = if from.start() == to.start() { 0 } else { libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED };
        let args = [from.start(), from.len(), to.len(), flags.cast_unsigned().into(), to.start(), 0];
        self.change(Op::new(libc::SYS_mremap, args))
    }

    fn advise(&mut self, range: PageRange, advice: i32) -> Result<(), MapError> {
        self.changed(range);
        let op = Op::new(
            libc::SYS_madvise,
            [range.start(), range.len(), i64::from(advice).cast_unsigned(), 0, 0, 0],
        );
        if advice == libc::MADV_DONTNEED { self.soon(op) } else { self.change(op) }
    }

    fn clone_thread(&mut self) -> Result<Box<dyn Context>, Errno> {
        Ok(Box::new(self.new_thread()?))
    }

    fn fork(&mut self) -> Result<Process, Errno> {
        let child = self.new_process().or_else(|_| {
            // Perhaps there are as many processes as may be, and some of them wait for the reaper.
            thread::park_timeout(2 * REST);
            self.new_process()
        });
        Ok(child?.into_process())
    }

    fn compare_exchange_u32(&mut self, at: UserAddr, old: u32, new: u32) -> Result<u32, AccessFault> {
        let fault = AccessFault { done: 0 };
        self.stub.copies.changed(at.0, 4);
        let results =
            self.stub.run(&self.own, &[Op::compare_exchange(at.0, old, new)]).map_err(|Gone| fault)?;
        let was = results.get(0).map_err(|_| fault)?;
        #[expect(clippy::cast_possible_truncation, reason = "the result of a comparison of 32 bits")]
        Ok(was as u32)
    }

    fn reset(&mut self) -> Result<(), MapError> {
        self.incomplete = false;
        self.need_frame()?;
        self.forget_patches();
        self.frame.set_extended_state(&self.stub.slot, &self.own.shared.xstate, &[]);
        self.own.mappings.reset();
        if let Some(area) = self.rseq.take() {
            self.soon(rseq(area, RSEQ_UNREGISTER))?;
        }
        let high = REGION + REGION_LEN;
        self.soon(Op::munmap(0, REGION))?;
        self.soon(Op::munmap(high, TASK_END - high))
    }

    fn cpu_time(&mut self) -> Duration {
        if self.op(birth::thread_clock(self.stub.slot.guest(slot::DATA))).is_err() {
            return Duration::ZERO;
        }
        let [now, start] = [slot::DATA, birth::START_TIME].map(|at| {
            let mut time = [0; 2];
            self.stub.slot.get_words(at, &mut time);
            let [seconds, nanos] = time;
            // Out of a slot: an allegation, though about the guest's own time.
            Duration::new(
                seconds.min(u64::from(u32::MAX)),
                u32::try_from(nanos).unwrap_or(0).min(999_999_999),
            )
        });
        now.saturating_sub(start)
    }

    fn residency(&mut self, range: PageRange, pages: &mut [u8]) -> Result<(), MapError> {
        // Where results go that the shim copies; those that wait are copied first.
        let at = self.stub.slot.guest(slot::OUT);
        let mut start = range.start();
        for part in pages.chunks_mut(slot::STACK - slot::OUT) {
            let len = part.len() as u64 * linux_abi::PAGE_SIZE;
            self.op(Op::new(libc::SYS_mincore, [start, len, at, 0, 0, 0]))?;
            self.stub.slot.read(slot::OUT, part);
            start = start.saturating_add(len);
        }
        Ok(())
    }

    fn set_rseq(&mut self, area: Option<(UserAddr, u32, u32)>) -> Result<(), Errno> {
        let shared = Arc::clone(&self.own.shared);
        let op = match (area, self.rseq) {
            (Some(new), _) => rseq(new, 0),
            (None, Some(old)) => rseq(old, RSEQ_UNREGISTER),
            (None, None) => return Err(Errno::EINVAL),
        };
        // The host refuses a sound area only if it has no rseq at all, and then it refuses the first already.
        if area.is_some_and(|(at, ..)| at.0 < TASK_END)
            && shared.has_rseq.load(Ordering::Relaxed)
            && self.may_defer(1)
        {
            self.stub.deferred.push(op);
        } else {
            self.op(op).map_err(|error| match error {
                MapError::Refused(errno) => errno,
                MapError::Gone => Errno::ESRCH,
            })?;
            shared.has_rseq.store(true, Ordering::Relaxed);
        }
        self.rseq = area;
        Ok(())
    }

    fn release(&mut self, clear: Option<UserAddr>) {
        let Some(area) = self.rseq else {
            let _ = clear.map(|at| self.write(at, &[0; 4]));
            return;
        };
        let mut ops = vec![rseq(area, RSEQ_UNREGISTER)];
        if let Some(at) = clear {
            let zeros = self.stub.copies.store(&self.stub.slot, &[0; 4]);
            ops.extend(zeros.map(|zeros| Op::copy(at.0, zeros, 4)));
            self.stub.copies.changed(at.0, 4);
        }
        if self.stub.run(&self.own, &ops).is_ok_and(|results| results.get(0).is_ok()) {
            self.rseq = None;
        }
    }
}

/// `RSEQ_FLAG_UNREGISTER`.
const RSEQ_UNREGISTER: u64 = 1;

/// rseq(2).
fn rseq((at, len, signature): (UserAddr, u32, u32), flags: u64) -> Op {
    Op::new(libc::SYS_rseq, [at.0, len.into(), flags, signature.into(), 0, 0])
}

impl Drop for SystrapContext {
    fn drop(&mut self) {
        self.kicker.disarm();
        self.stub.pace.end(&self.own.shared.cpus);
        self.own.leave_thread(&self.stub.slot);
        if self.own.threads.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.own.kill();
        } else if !self.leader {
            // The first thread stays where it is: without it, the memory has no process number any more.
            if !self.park() {
                self.stub.exit(&self.own);
                self.own.leave_slot(&self.stub.slot);
            }
        }
    }
}
