//! Where everything of the platform is: in a guest's address space, and inside a slot.
//!
//! The platform owns one region of every guest address space, at a fixed address that neither programs nor the usual
//! host layouts use, so that a saved sandbox can be restored under another sentry:
//!
//! ```text
//! REGION  +0x00000   the shim (one page of code)
//!         +0x01000   what the shim copies for which call
//!         +0x04000   thunks of patched call sites
//!         +0x10000   the host's vvar and vdso pages
//!         +0x40000   unit 0: slots of the zygote
//!         +0x80000   unit 1 …
//! ```
//!
//! A *slot* is what one guest thread and its sentry thread share. Slots come in *units* of [`SLOTS_PER_UNIT`], each unit
//! one memfd that only one guest process maps. No two processes of a sandbox use the same unit address, because a forking
//! thread maps its child's unit next to its own.

use linux_abi::PageRange;

/// First address of the platform's region.
pub(super) const REGION: u64 = 0x6800_0000_0000;
/// Length of the region: room for 65 535 units.
pub(super) const REGION_LEN: u64 = 0x4_0000_0000;
/// Past the last usable address of an x86-64 process (`TASK_SIZE_MAX`).
pub(super) const TASK_END: u64 = 0x7fff_ffff_f000;

/// The shim's code.
pub(super) const SHIM: u64 = REGION;
/// Bytes reserved for the shim's code.
pub(super) const SHIM_LEN: u64 = 0x1000;
/// Rows of the table of copies, which is right behind the code in the shim's image, by system-call number.
pub(super) const COPY_TABLE_ROWS: usize = 512;
/// Bytes of a row.
pub(super) const COPY_ROW_LEN: usize = 16;
/// Thunks of patched call sites.
pub(super) const THUNKS: u64 = REGION + 0x4000;
/// Bytes in a thunk.
pub(super) const THUNK_LEN: u64 = 48;
/// How many sites of a process can be patched.
pub(super) const PATCHES_MAX: u64 = 1024;
/// Where the host's vvar and vdso are moved to.
pub(super) const VDSO: u64 = REGION + 0x1_0000;
/// The most they may take.
pub(super) const VDSO_MAX: u64 = 0x2_0000;
/// The first unit.
pub(super) const UNITS: u64 = REGION + UNIT_LEN;

/// Bytes in a slot.
pub(super) const SLOT_LEN: usize = 0x8000;
/// Slots in a unit.
pub(super) const SLOTS_PER_UNIT: usize = 8;
/// Bytes in a unit.
pub(super) const UNIT_LEN: u64 = (SLOT_LEN * SLOTS_PER_UNIT) as u64;
/// How many units there are.
#[expect(clippy::cast_possible_truncation, reason = "65535")]
pub(super) const UNIT_COUNT: u32 = ((REGION_LEN - UNIT_LEN) / UNIT_LEN) as u32;

/// Pointers to the thunks, for the jumps that replace call sites: their addresses make the old middle of a patched site an
/// invalid opcode (see `patch.rs`).
pub(super) const PATCH_TABLE: u64 = 0x6_0000;
/// Its length.
pub(super) const PATCH_TABLE_LEN: u64 = PATCHES_MAX * 8;

/// The ranges that the sentry must leave alone.
pub(super) fn reserved() -> Vec<PageRange> {
    [(PATCH_TABLE, PATCH_TABLE + PATCH_TABLE_LEN), (REGION, REGION + REGION_LEN)]
        .into_iter()
        .filter_map(|(start, end)| PageRange::new(start, end))
        .collect()
}

/// Offsets inside a slot.
///
/// A patched call takes one cache line each way: the first, written by the shim, and the second, written by the sentry. The rest
/// is looked at when it is needed.
pub(super) mod slot {
    /// Shim to sentry: [`super::word`] values.
    pub(in super::super) const REQUEST: usize = 0x00;
    /// The signal that trapped, 0 when a list of operations is done, or one of [`super::event`].
    pub(in super::super) const SIGNO: usize = 0x04;
    /// How many [`RECORDS`] there are, in the lowest byte. Bits 16 to 19: items of the call's row that can all be written. Bits 20
    /// to 23: items that are empty strings. Of those there are no records.
    pub(in super::super) const RECORD_COUNT: usize = 0x08;
    /// A patched call's number.
    pub(in super::super) const NUMBER: usize = 0x0c;
    /// Its six arguments.
    pub(in super::super) const ARGUMENTS: usize = 0x10;

    /// Sentry to shim: [`super::word`] values.
    pub(in super::super) const REPLY: usize = 0x40;
    /// How many operations to run.
    pub(in super::super) const OP_COUNT: usize = 0x44;
    /// [`super::flag`] bits.
    pub(in super::super) const FLAGS: usize = 0x48;
    /// For how many rounds to look for a reply before sleeping.
    pub(in super::super) const SPIN: usize = 0x4c;
    /// Address of the `ucontext` to return to.
    pub(in super::super) const RESUME_AT: usize = 0x50;
    /// FS base to return with.
    pub(in super::super) const NEW_FS: usize = 0x58;
    /// GS base to return with. There are eight bytes more for [`super::flag::HERE`].
    pub(in super::super) const NEW_GS: usize = 0x60;
    /// Not zero: another guest on this processor can go on.
    pub(in super::super) const TURN: usize = 0x78;
    /// What the shim is to post as its next request.
    pub(in super::super) const NEXT: usize = 0x7c;
    /// What a patched call returns, with [`super::flag::RESULT`].
    pub(in super::super) const RESULT: usize = 0x70;

    /// Address of the `ucontext` of the signal frame.
    pub(in super::super) const FRAME: usize = 0xc0;
    /// FS base at the trap.
    pub(in super::super) const FS: usize = 0xc8;
    /// GS base at the trap.
    pub(in super::super) const GS: usize = 0xd0;
    /// The time-stamp counter at the trap.
    pub(in super::super) const TSC: usize = 0xd8;
    /// Set by the shim: a kick came while it worked for a patched call.
    pub(in super::super) const KICK: usize = 0xe0;

    /// [`super::feature`] bits of the processor.
    pub(in super::super) const FEATURES: usize = 0xe4;
    /// How often to look for a reply in a round.
    pub(in super::super) const SPIN_PAUSES: usize = 0xe8;

    /// Proof that a process maps this slot: see `birth.rs`.
    pub(in super::super) const NONCE: usize = 0x80;

    /// Registers of a thread that came through a patched call, as a `sigcontext`.
    pub(in super::super) const REGISTERS: usize = 0x100;
    /// The guest's flags while the shim looks for an answer, as `lahf` and `seto` give them.
    pub(in super::super) const ANSWER_FLAGS: usize = 0x1a0;
    /// Answers to calls that the shim gives itself, by [`crate::Answer`]. Bit 63 says that there is one.
    pub(in super::super) const ANSWERS: usize = 0x1c0;
    /// Top of the shim's stack while it works for a patched call; there is room for a few words.
    pub(in super::super) const SMALL_STACK: usize = 0x1000;

    /// What the shim copied or looked at for the current call: address (8 bytes), length (4), and the offset of the copy in the
    /// slot (4), which is zero for memory that was found writable.
    pub(in super::super) const RECORDS: usize = SMALL_IN + SMALL_IN_LEN;
    /// A copy of so many bytes or less, if it is the first: in one line with its record.
    pub(in super::super) const SMALL_IN: usize = 0x200;
    /// See [`SMALL_IN`].
    pub(in super::super) const SMALL_IN_LEN: usize = 0x30;
    /// The most records, of 16 bytes.
    pub(in super::super) const RECORDS_MAX: usize = 8;

    /// What calls change that the shim answers itself (`lent.rs`): the signal mask…
    pub(in super::super) const LENT_MASK: usize = 0x2c0;
    /// …the head of the robust list…
    pub(in super::super) const LENT_ROBUST_LIST: usize = 0x2c8;
    /// …which actions of signals are as at the start of a program…
    pub(in super::super) const LENT_DEFAULTS: usize = 0x2d0;
    /// …which are not, but have a restorer only…
    pub(in super::super) const LENT_PLAIN: usize = 0x2d8;
    /// …and that.
    pub(in super::super) const LENT_RESTORER: usize = 0x2e0;
    /// Counts trapped calls that may be answered by the shim.
    pub(in super::super) const UNSEEN: usize = 0x2e8;
    /// Where the shim makes what it copies to the guest.
    pub(in super::super) const LOCAL_OUT: usize = 0x300;

    /// The operations.
    pub(in super::super) const OPS: usize = 0x400;
    /// Bytes an operation takes: number, six arguments, result.
    pub(in super::super) const OP_LEN: usize = 64;
    /// Offset of the result in an operation.
    pub(in super::super) const OP_RESULT: usize = 56;
    /// The most operations in one list.
    pub(in super::super) const OPS_MAX: usize = 40;

    /// Data that goes with operations.
    pub(in super::super) const DATA: usize = 0x1000;
    /// Bytes to be written to call sites.
    pub(in super::super) const PATCH_DATA: usize = 0x1300;
    /// Arguments that the shim copied.
    pub(in super::super) const IN: usize = 0x1400;
    /// Results for the shim to copy.
    pub(in super::super) const OUT: usize = 0x2800;

    /// The alternate signal stack, up to the end of the slot.
    pub(in super::super) const STACK: usize = 0x4000;
    /// Its length.
    pub(in super::super) const STACK_LEN: usize = super::SLOT_LEN - STACK;
}

/// Values of the request and reply words. Whoever waits changes the word to `ASLEEP` before it sleeps; whoever posts exchanges it
/// for `POSTED`, and wakes the other side only if it found `ASLEEP`. Requests are `POSTED` and `POSTED_AGAIN` in turn.
pub(super) mod word {
    /// Nothing there; the other side may be looking.
    pub(in super::super) const EMPTY: u32 = 0;
    /// Something is there to take.
    pub(in super::super) const POSTED: u32 = 1;
    /// The next request after `POSTED`.
    pub(in super::super) const POSTED_AGAIN: u32 = 5;
    /// Nothing there, and the other side sleeps.
    pub(in super::super) const ASLEEP: u32 = 2;
    /// Request only, by the sentry: the process is gone.
    pub(in super::super) const GONE: u32 = 3;
    /// Request only, by the shim: the thread is about to exit and will not touch the slot again.
    pub(in super::super) const EXITING: u32 = 4;
}

/// Bits of an item of the table of copies. Registers are given as their index in a `sigcontext`.
pub(super) mod copy {
    /// Bits 0–3: the register that holds the pointer. This bit: copy from there.
    pub(in super::super) const IN: u32 = 1 << 4;
    /// Look whether it can be written.
    pub(in super::super) const OUT: u32 = 1 << 5;
    /// Not past the page.
    pub(in super::super) const IN_PAGE: u32 = 1 << 6;
    /// The length is the register in bits 8–11 times the number in bits 16–31; otherwise it is that number.
    pub(in super::super) const TIMES: u32 = 1 << 7;
    /// With `TIMES`: the register counts bits, in whole 64-bit words.
    pub(in super::super) const BITS: u32 = 1 << 12;
    /// Of the first item, alone: the shim itself answers the call, with the word at the offset in bits 16–31 of the slot, if
    /// there is an answer. `sched_yield` is then left to the host.
    pub(in super::super) const ANSWER: u32 = 1 << 13;
    /// Of the first item: the shim may answer the call, once it has copied what the row says.
    pub(in super::super) const LOCAL: u32 = 1 << 14;
    /// The most bytes that are looked at for writing.
    pub(in super::super) const OUT_MAX: u32 = 4096;
}

/// What the shim does after the operations.
pub(super) mod flag {
    /// Return to the guest instead of posting that the operations are done.
    pub(in super::super) const RESUME: u32 = 1;
    /// End the thread.
    pub(in super::super) const EXIT: u32 = 2;
    /// With `RESUME`: return to a patched call, with the registers in the slot.
    pub(in super::super) const FAST: u32 = 4;
    /// With `FAST`: set the FS base too.
    pub(in super::super) const SET_FS: u32 = 8;
    /// With `FAST`: the registers are those of the call but for its result.
    pub(in super::super) const RESULT: u32 = 32;
    /// With `RESULT`: first copy [`super::slot::NEW_FS`] bytes from [`super::slot::NEW_GS`] to [`super::slot::RESUME_AT`], which are not
    /// needed for what they are called after.
    pub(in super::super) const COPY: u32 = 64;
    /// With `COPY`: the bytes begin where their address would be. There are [`HERE_LEN`] at most.
    pub(in super::super) const HERE: u32 = 128;
    /// See [`HERE`].
    pub(in super::super) const HERE_LEN: usize = 16;
    /// Make a signal frame of a patched call, and post it.
    pub(in super::super) const UPGRADE: u32 = 16;
}

/// What is posted in place of a signal's number.
pub(super) mod event {
    /// A patched call: the registers are in the slot.
    pub(in super::super) const FAST_CALL: u32 = 0x1001;
    /// A kick on the way back to the guest: nothing has changed.
    pub(in super::super) const FAST_KICK: u32 = 0x1002;
    /// A kick on the way back from a patched call that the shim answered: the registers are in the slot.
    pub(in super::super) const ANSWERED: u32 = 0x1004;
    /// The signal frame asked for with [`super::flag::UPGRADE`].
    pub(in super::super) const UPGRADED: u32 = 0x1003;
}

/// Processor features, for the shim.
pub(super) mod feature {
    /// `rdfsbase`, `wrfsbase` and the GS forms may be used.
    pub(in super::super) const FSGSBASE: u32 = 1;
}

/// Bit in an operation's number: stop the list here if it fails.
pub(super) const OP_MUST_SUCCEED: u64 = 1 << 32;
/// An operation that is no system call: copy `args[2]` bytes from `args[1]` to `args[0]`; the result is how many arrived.
pub(super) const OP_COPY: u32 = 0x1000;
/// Another: replace the 32-bit word at `args[0]` by `args[2]` if it is `args[1]`; the result is what it was, or `EFAULT`.
pub(super) const OP_COMPARE: u32 = 0x1001;
