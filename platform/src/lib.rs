//! Runs guest code and hands its traps to the sentry. The only place with `unsafe`.
//!
//! A backend is an implementation of three traits:
//!
//! * [`Platform`] makes address spaces. One per sandbox.
//! * [`AddressSpace`] is a Linux address space with Linux's semantics: copy-on-write fork, private
//!   and shared file mappings, page faults. *Whoever owns the pages resolves the faults*: the sentry
//!   keeps only the metadata (its VMAs) and hears of a fault only when no mapping can satisfy it.
//! * [`Context`] is one guest thread. It is owned by exactly one thread of the sentry, which calls
//!   [`Context::run`] in a loop. All changes to an address space are made *through a context* that
//!   belongs to it, because that is who can carry them out.
//!
//! # What a backend may assume
//! The sentry never calls two methods of one context at once, keeps every mapping inside
//! [`Layout::usable`], never overlaps [`Layout::reserved`], passes page-aligned ranges, and has resolved
//! every placement: no mapping is "anywhere".
//!
//! # What the sentry may assume
//! No method blocks for longer than the guest's own thread needs to reach the kernel, except `run`.
//! Nothing a guest does makes a method panic. When the host process behind an address space is gone
//! (killed by the host, say), every method that needs it fails with [`Gone`] or `Trap::Gone`.
//!
//! # Safety rules
//! Words that a guest can write (slots, frames, memory) are allegations: read once, volatile, validated.

pub mod fake;
#[cfg(target_arch = "x86_64")]
pub mod ptrace;
pub mod registers;
mod sleeper;
#[cfg(target_arch = "x86_64")]
pub mod systrap;

use std::{os::fd::BorrowedFd, sync::Arc, time::Duration};

pub use linux_abi::{Errno, PageRange, UserAddr};
pub use registers::Registers;
pub use sleeper::{Sleeper, begin_answer, wake_now};

/// Says that the calling thread of the sentry is about to sleep until a time, or will never run guests.
///
/// A backend may keep a thread that runs a guest on one processor, beside its guest. That is wrong for a thread that the clock
/// will wake, and for threads that such a thread starts, which inherit its affinity: so call this before such a sleep, and first
/// thing in a thread that does other work. Cheap when there is nothing to do.
pub fn leave_processor() {
    #[cfg(target_arch = "x86_64")]
    systrap::leave_processor();
}

/// The processor that the calling thread is kept on, beside its guest.
#[must_use]
pub fn home() -> Option<u32> {
    #[cfg(target_arch = "x86_64")]
    return systrap::home();
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Why [`Context::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A system call. `rax` holds its number (also in `orig_rax`), the argument registers its arguments, and
    /// `rip` points just past the instruction. The sentry puts the result into `rax`.
    Syscall,
    /// A memory access that no mapping allows, or that a mapping could not satisfy (past the end of a file).
    /// `rip` points at the instruction: the guest retries it unless the sentry changes the registers.
    Fault(Fault),
    /// Any other processor exception, already translated to the signal Linux would send.
    Exception(Exception),
    /// The host refused a change to the memory that had been left for later (see [`Context`]), the last one asked for or one before it:
    /// the guest has not run, and the registers are as they were.
    Refused(Errno),
    /// [`Kick::kick`] was called. May be spurious. The registers are those of the interrupted guest code.
    Interrupted,
    /// The host thread or process behind this context is gone. Nothing will ever run in it again.
    Gone,
}

/// A page fault the host could not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The address accessed (`si_addr`, CR2).
    pub addr: UserAddr,
    /// What the access was.
    pub access: Access,
    /// The signal Linux would send: `SIGSEGV` or `SIGBUS`.
    pub signo: i32,
    /// `si_code`: `SEGV_MAPERR` (1), `SEGV_ACCERR` (2), `BUS_ADRERR` (2), …, or `SI_KERNEL` (0x80).
    pub code: i32,
    /// The processor's page-fault error code, for `uc_mcontext.err`.
    pub error_code: u64,
    /// The processor's vector, for `uc_mcontext.trapno`.
    pub trapno: u64,
}

/// What kind of access faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// A processor exception other than a page fault: `SIGFPE`, `SIGILL`, `SIGTRAP`, some `SIGBUS`/`SIGSEGV` (`#GP`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The signal Linux would send.
    pub signo: i32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub addr: UserAddr,
    /// The processor's error code.
    pub error_code: u64,
    /// The processor's vector.
    pub trapno: u64,
}

/// The host process or thread behind an object no longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Why a change to an address space failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The host refused: usually `ENOMEM` (limits), `EINVAL`, `EACCES` or `EPERM` (the file cannot be mapped so).
    Refused(Errno),
    /// The host process is gone.
    Gone,
}

impl From<Gone> for MapError {
    fn from(Gone: Gone) -> MapError {
        MapError::Gone
    }
}

/// A memory access by the sentry that hit memory the guest does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessFault {
    /// How many bytes were transferred before the fault.
    pub done: usize,
}

/// Page protection: `PROT_READ | PROT_WRITE | PROT_EXEC`, with Linux's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prot(pub u32);

impl Prot {
    /// No access.
    pub const NONE: Prot = Prot(0);
    /// `PROT_READ`.
    pub const READ: Prot = Prot(1);
    /// `PROT_WRITE`.
    pub const WRITE: Prot = Prot(2);
    /// `PROT_EXEC`.
    pub const EXEC: Prot = Prot(4);

    /// Whether all of `other` is allowed.
    pub const fn has(self, other: Prot) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Prot) -> Prot {
        Prot(self.0 | other.0)
    }
}

/// What is behind the pages of a new mapping.
#[derive(Clone, Copy, Debug)]
pub enum Backing<'a> {
    /// Zero-filled private memory (`MAP_PRIVATE | MAP_ANONYMOUS`); `no_reserve` adds `MAP_NORESERVE`.
    Anonymous { no_reserve: bool },
    /// Copy-on-write pages of a file (`MAP_PRIVATE`).
    Private { file: BorrowedFd<'a>, offset: u64 },
    /// The pages of a file themselves (`MAP_SHARED`). Shared anonymous memory is a memfd.
    Shared { file: BorrowedFd<'a>, offset: u64 },
}

/// The shape of every address space of a platform.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Where guest mappings may be placed.
    pub usable: PageRange,
    /// Ranges inside `usable` that belong to the platform. Sorted, disjoint.
    pub reserved: Vec<PageRange>,
    /// The vDSO image and its data pages as they are mapped in every new address space, if the platform
    /// provides them. They survive [`Context::reset`] and are copied by fork.
    pub vdso: Option<Vdso>,
    /// Size in bytes of the extended state that [`Context::extended_state`] returns, and of
    /// `_fpstate` in signal frames: the XSAVE area in standard format.
    pub xsave_size: usize,
    /// XCR0: which state components the area has.
    pub xfeatures: u64,
    /// `AT_HWCAP2` bits guests must not see.
    pub hidden_hwcap2: u64,
}

/// Where the vDSO is.
#[derive(Clone, Copy, Debug)]
pub struct Vdso {
    /// The ELF image (`AT_SYSINFO_EHDR`).
    pub image: PageRange,
    /// Its data pages.
    pub vvar: PageRange,
}

/// A way to run guests. One per sandbox.
pub trait Platform: Send + Sync {
    /// `systrap`, `ptrace`, …
    fn name(&self) -> &'static str;

    /// The shape of the address spaces it makes.
    fn layout(&self) -> &Layout;

    /// An empty address space and its first thread, whose registers are all zero until the first
    /// [`Context::run`]. Takes a ready one from a pool where it can.
    ///
    /// # Errors
    /// The host's: `EAGAIN` (process limit), `ENOMEM`, `EMFILE`.
    fn new_process(&self) -> Result<Process, Errno>;
}

/// A new address space with its first thread.
pub struct Process {
    /// The address space.
    pub space: Arc<dyn AddressSpace>,
    /// Its only thread.
    pub context: Box<dyn Context>,
}

/// A Linux address space. Lives until the last context in it and the last `Arc` are gone.
pub trait AddressSpace: Send + Sync {
    /// Copies guest memory into `into`. Page protections are honoured as for the guest's own access.
    ///
    /// # Errors
    /// [`AccessFault`] with the number of bytes that were copied before the first inaccessible page.
    fn read(&self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault>;

    /// Copies `from` to guest memory.
    ///
    /// # Errors
    /// As [`AddressSpace::read`].
    fn write(&self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault>;

    /// Processor time used by all threads that ever ran here (user + system of the guest's own execution).
    fn cpu_time(&self) -> Duration;

    /// Resident memory in bytes, where the host tells it cheaply.
    fn resident(&self) -> u64;

    /// Ends every thread at once: all contexts return [`Trap::Gone`], pending calls fail with [`Gone`].
    fn kill(&self);
}

/// A question that a backend may answer itself, once it was told the answer: see [`Context::remember`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `getpid(2)`.
    Pid,
    /// `gettid(2)`.
    Tid,
    /// `getppid(2)`.
    ParentPid,
    /// `getuid(2)`.
    Uid,
    /// `geteuid(2)`.
    EffectiveUid,
    /// `getgid(2)`.
    Gid,
    /// `getegid(2)`.
    EffectiveGid,
    /// `sched_yield(2)`: zero, after the host's.
    Yield,
}

/// What a backend may let the guest change without a trap: see [`Context::lend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lent {
    /// The signal mask, a bit for each signal less one: rt_sigprocmask(2).
    Mask,
    /// Address of the robust list: set_robust_list(2).
    RobustList,
}

/// Actions of signals that the guest has changed without a trap: now they have this restorer, `SA_RESTORER`, and are the
/// default ones otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainActions {
    /// Which, a bit for each signal less one.
    pub signals: u64,
    /// Address of the restorer.
    pub restorer: u64,
}

/// A piece of memory that [`Context::map_image`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where.
    pub range: PageRange,
    /// What may be done with it.
    pub prot: Prot,
    /// Where its bytes are in the file; zero pages if nowhere.
    pub offset: Option<u64>,
}

/// One guest thread. Dropping it ends the host thread behind it (the process too, if it was the last).
///
/// Changes to memory ([`Context::map`] to [`Context::advise`], [`Context::reset`]) are made in the order of the calls, but perhaps
/// not before the thread runs, reads or writes; [`Context::finish`] makes them now. Until then other threads see the memory
/// as it was. So the sentry must not give an address to another thread that this one has freed and not yet run since. What
/// the host refuses when the thread is about to run is [`Trap::Refused`].
pub trait Context: Send {
    /// Resumes the guest with `regs` until its next trap, and stores its registers into `regs`.
    ///
    /// General registers, `rip`, `rflags` and the segment bases are always complete and may all be changed
    /// between calls. Extended state is separate: see [`Context::extended_state`].
    ///
    /// Before it waits for the guest it calls [`wake_now`]; best when the guest can go on already.
    fn run(&mut self, regs: &mut Registers) -> Trap;

    /// As [`Context::run`], but after a system call only `rax`, `orig_rax` and the argument registers are there: the others are
    /// whatever they were until [`Context::complete`] gets them. If it was not called, only `rax` matters when the guest is resumed.
    fn step(&mut self, regs: &mut Registers) -> Trap {
        self.run(regs)
    }

    /// Gets the registers that [`Context::step`] left out. `rax` and `orig_rax` stay as they are.
    fn complete(&mut self, _regs: &mut Registers) {}

    /// Tells the answer of a call that asks nothing but `answer`. The guest may then get it without a trap, until
    /// [`Kick::forget_answers`]. For values that only change together with a call of that.
    fn remember(&mut self, _answer: Answer, _value: u32) {}

    /// Lets the guest change `what`, which is `value` now, without a trap until [`Kick::take_back`]. `false`: it cannot.
    fn lend(&mut self, _what: Lent, _value: u64) -> bool {
        false
    }

    /// Lets the guest change the actions in `defaults` without a trap, a bit for each signal less one, until
    /// [`Context::take_actions`]: as [`PlainActions`] says, and where nothing is forgotten that is pending. They must be the default
    /// ones, with nothing else. For a thread that shares its actions with no other.
    fn lend_actions(&mut self, _defaults: u64) {}

    /// Takes the actions back, if any were lent: which the guest has changed.
    fn take_actions(&mut self) -> Option<PlainActions> {
        None
    }

    /// Interrupts `run` from other threads.
    fn kicker(&self) -> Arc<dyn Kick>;

    /// The address space this thread runs in.
    fn space(&self) -> &Arc<dyn AddressSpace>;

    /// The stopped guest's extended state as an XSAVE area in standard format, [`Layout::xsave_size`] bytes.
    ///
    /// # Errors
    /// [`Gone`].
    fn extended_state(&mut self) -> Result<Vec<u8>, Gone>;

    /// Replaces the extended state. The area is an allegation by the guest: the platform clears every bit the
    /// processor would refuse (reserved header bytes, unknown components, MXCSR reserved bits). An empty slice
    /// means the initial state, as after execve.
    ///
    /// # Errors
    /// [`Gone`].
    fn set_extended_state(&mut self, area: &[u8]) -> Result<(), Gone>;

    /// Copies guest memory as seen by this thread. Same as [`AddressSpace::read`], but may use data that came with
    /// the trap, which is faster; prefer it for the arguments of the current system call.
    ///
    /// # Errors
    /// As [`AddressSpace::read`].
    fn read(&mut self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault>;

    /// Whether what came with the trap says that there is an empty string. `false`: it does not say.
    fn is_empty_string(&mut self, _at: UserAddr) -> bool {
        false
    }

    /// Writes guest memory, visible to this thread when it next runs, and to others no later than that.
    ///
    /// # Errors
    /// As [`AddressSpace::read`].
    fn write(&mut self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault>;

    /// Replaces the 32-bit word at `at` (four-byte aligned, checked by the caller) by `new` if it is `old`, and returns
    /// what it was. Must be one atomic operation as seen by every guest thread that maps the word, and needs write access
    /// even if it does not write, as Linux's `futex_cmpxchg_value_locked`.
    ///
    /// **This default is not atomic**: guest threads that run meanwhile can change the word between the read and the write.
    /// Backends replace it: stubs do it with a `lock cmpxchg` of their own.
    ///
    /// # Errors
    /// As [`AddressSpace::read`].
    fn compare_exchange_u32(&mut self, at: UserAddr, old: u32, new: u32) -> Result<u32, AccessFault> {
        let mut word = [0; 4];
        self.read(at, &mut word)?;
        let was = u32::from_le_bytes(word);
        self.write(at, &if was == old { new } else { was }.to_le_bytes())?;
        Ok(was)
    }

    /// Maps `range`, replacing what is there (`MAP_FIXED`).
    ///
    /// # Errors
    /// [`MapError`]. Nothing is changed on an error, except that old mappings in `range` may be gone.
    fn map(&mut self, range: PageRange, backing: Backing<'_>, prot: Prot) -> Result<(), MapError>;

    /// Makes private mappings from one file, each as [`Context::map`] would, in this order.
    ///
    /// # Errors
    /// [`MapError`]; some may have been made.
    fn map_image(&mut self, file: BorrowedFd<'_>, pieces: &[Piece]) -> Result<(), MapError> {
        pieces.iter().try_for_each(|piece| {
            let backing = match piece.offset {
                Some(offset) => Backing::Private { file, offset },
                None => Backing::Anonymous { no_reserve: false },
            };
            self.map(piece.range, backing, piece.prot)
        })
    }

    /// As [`Context::write`], into memory that was mapped since the thread last ran: nobody need hear of faults.
    ///
    /// # Errors
    /// As [`AddressSpace::read`].
    fn initialise(&mut self, at: UserAddr, bytes: &[u8]) -> Result<(), AccessFault> {
        self.write(at, bytes)
    }

    /// As [`Context::initialise`], with less than a page of zeros.
    ///
    /// # Errors
    /// As [`AddressSpace::read`].
    fn clear(&mut self, at: UserAddr, len: usize) -> Result<(), AccessFault> {
        self.write(at, &vec![0; len])
    }

    /// Makes the changes that were left for later.
    ///
    /// # Errors
    /// [`MapError`], for the first that failed; those after it are forgotten.
    fn finish(&mut self) -> Result<(), MapError> {
        Ok(())
    }

    /// Removes every mapping in `range`.
    ///
    /// # Errors
    /// [`MapError`]; unmapping nothing is no error.
    fn unmap(&mut self, range: PageRange) -> Result<(), MapError>;

    /// Changes the protection of the mappings in `range`, all of which must exist.
    ///
    /// # Errors
    /// [`MapError`].
    fn protect(&mut self, range: PageRange, prot: Prot) -> Result<(), MapError>;

    /// Moves the one mapping at `from` to `to` (possibly of another length), replacing what is there:
    /// `mremap(MREMAP_MAYMOVE | MREMAP_FIXED)`, or in place if `from.start() == to.start()`.
    ///
    /// # Errors
    /// [`MapError`].
    fn remap(&mut self, from: PageRange, to: PageRange) -> Result<(), MapError>;

    /// `madvise(2)` for the advice values that have an effect on memory contents or residency
    /// (`MADV_DONTNEED`, `MADV_FREE`, `MADV_REMOVE`, `MADV_(NO)HUGEPAGE`, `MADV_POPULATE_*`, `MADV_WIPEONFORK`, `MADV_DONTFORK` …).
    ///
    /// # Errors
    /// [`MapError`].
    fn advise(&mut self, range: PageRange, advice: i32) -> Result<(), MapError>;

    /// A new thread in the same address space. It first runs with the registers passed to its own first
    /// [`Context::run`], and with a copy of this thread's extended state.
    ///
    /// # Errors
    /// The host's: `EAGAIN`, `ENOMEM`.
    fn clone_thread(&mut self) -> Result<Box<dyn Context>, Errno>;

    /// A copy-on-write copy of the address space, with one thread that has a copy of this thread's
    /// extended state.
    ///
    /// # Errors
    /// The host's: `EAGAIN`, `ENOMEM`.
    fn fork(&mut self) -> Result<Process, Errno>;

    /// Empties the address space in place (all but [`Layout::reserved`] and the vDSO) for execve. Must be the only
    /// thread in it. Extended state becomes the initial state.
    ///
    /// # Errors
    /// [`MapError`]; after one the process can only be killed.
    fn reset(&mut self) -> Result<(), MapError>;

    /// Processor time used by this guest thread.
    fn cpu_time(&mut self) -> Duration;

    /// Says for each page of `range`, which is mapped, whether it is in memory (mincore(2)): bit 0 of its byte in `pages`. Backends
    /// that do not know say yes.
    ///
    /// # Errors
    /// [`MapError`].
    fn residency(&mut self, range: PageRange, pages: &mut [u8]) -> Result<(), MapError> {
        let _ = range;
        pages.fill(1);
        Ok(())
    }

    /// Registers the guest's rseq(2) area (address, length, signature) with the host for this thread, or ends the
    /// registration: the host alone knows of preemptions and migrations. Until it is ended the guest's area is written at
    /// every return to user mode; a backend ends it before the memory goes away. Copied by [`Context::fork`], not by
    /// [`Context::clone_thread`].
    ///
    /// # Errors
    /// `ENOSYS` where it cannot be done; the host's.
    fn set_rseq(&mut self, _area: Option<(UserAddr, u32, u32)>) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// For a thread that leaves memory which others go on using: ends its rseq(2) registration, and only then writes zero to
    /// `clear`, because whoever sees that may free the memory. Failures do not matter (`mm_release` in Linux).
    fn release(&mut self, clear: Option<UserAddr>) {
        let _ = clear.map(|at| self.write(at, &[0; 4]));
    }
}

/// Interrupts a guest thread.
pub trait Kick: Send + Sync {
    /// Makes the current or the next [`Context::run`] return [`Trap::Interrupted`] (or another trap that
    /// happened first; the kick then stays pending). Never blocks; harmless when the thread is gone.
    fn kick(&self);

    /// Takes back what [`Context::remember`] was told: when this returns, the thread's next question traps. So does its next change
    /// of an action of [`Context::lend_actions`]; those that it made are kept.
    fn forget_answers(&self) {}

    /// What the guest made of what [`Context::lend`] lent, as [`Kick::take_back`], which stays lent.
    fn look_at(&self, _what: Lent) -> Option<u64> {
        None
    }

    /// Takes back what [`Context::lend`] lent, with what the guest made of it: an allegation. When this returns, the next call that
    /// changes it traps. `None` if it is not lent, or the thread is gone.
    fn take_back(&self, _what: Lent) -> Option<u64> {
        None
    }
}
