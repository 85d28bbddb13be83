//! The shim's code and the ELF image that carries it into the zygote.
//!
//! # Safety
//! The only `unsafe` here is in reading the shim's own bytes between its two symbols.

use std::{arch::global_asm, io, os::fd::OwnedFd, slice};

use super::{
    copies, frame,
    kick::KICK_SIGNAL,
    layout::{self, copy, event, feature, flag, slot, word},
    lent,
};

global_asm!(
    include_str!("shim.s"),
    zygote_unit = const layout::UNITS,
    unit_len = const layout::UNIT_LEN,
    slot_len = const layout::SLOT_LEN,
    shim_len = const layout::SHIM_LEN - CODE,
    uc_mcontext = const frame::UC_MCONTEXT,
    uc_eflags = const frame::UC_MCONTEXT + 136,
    registers = const slot::REGISTERS,
    answer_flags = const slot::ANSWER_FLAGS,
    number = const slot::NUMBER,
    arguments = const slot::ARGUMENTS,
    result = const slot::RESULT,
    small_stack = const slot::SMALL_STACK,
    kick = const slot::KICK,
    kick_signal = const KICK_SIGNAL,
    record_count = const slot::RECORD_COUNT,
    records = const slot::RECORDS,
    in_area = const slot::IN,
    small_in = const slot::SMALL_IN,
    small_in_len = const slot::SMALL_IN_LEN,
    out_area = const slot::OUT,
    copy_table_rows = const layout::COPY_TABLE_ROWS,
    copy_table_distance = const layout::SHIM_LEN - CODE,
    copy_in = const copy::IN,
    copy_out = const copy::OUT,
    copy_in_page = const copy::IN_PAGE,
    copy_times = const copy::TIMES,
    copy_bits = const copy::BITS,
    copy_row_len = const layout::COPY_ROW_LEN,
    copy_answer = const copy::ANSWER,
    copy_local = const copy::LOCAL,
    siginfo = const frame::SIGINFO,
    audit_arch = const host::seccomp::ARCH_X86_64,
    unseen = const slot::UNSEEN,
    lent_mask = const slot::LENT_MASK,
    lent_robust_list = const slot::LENT_ROBUST_LIST,
    lent_defaults = const slot::LENT_DEFAULTS,
    lent_plain = const slot::LENT_PLAIN,
    lent_restorer = const slot::LENT_RESTORER,
    lasting_actions = const lent::LASTING_ACTIONS,
    local_out = const slot::LOCAL_OUT,
    copy_out_max = const copy::OUT_MAX,
    uc_rip = const frame::UC_RIP,
    frame = const slot::FRAME,
    signo = const slot::SIGNO,
    fs = const slot::FS,
    gs = const slot::GS,
    tsc = const slot::TSC,
    request = const slot::REQUEST,
    reply = const slot::REPLY,
    spin = const slot::SPIN,
    spin_pauses = const slot::SPIN_PAUSES,
    turn = const slot::TURN,
    next = const slot::NEXT,
    op_count = const slot::OP_COUNT,
    flags = const slot::FLAGS,
    resume_at = const slot::RESUME_AT,
    new_fs = const slot::NEW_FS,
    new_gs = const slot::NEW_GS,
    features = const slot::FEATURES,
    ops = const slot::OPS,
    ops_max = const slot::OPS_MAX,
    op_len = const slot::OP_LEN,
    op_result = const slot::OP_RESULT,
    op_copy = const layout::OP_COPY,
    op_compare = const layout::OP_COMPARE,
    empty = const word::EMPTY,
    posted = const word::POSTED,
    asleep = const word::ASLEEP,
    exiting = const word::EXITING,
    flag_resume = const flag::RESUME,
    flag_exit = const flag::EXIT,
    flag_fast = const flag::FAST,
    flag_set_fs = const flag::SET_FS,
    flag_result = const flag::RESULT,
    flag_copy = const flag::COPY,
    flag_here = const flag::HERE,
    flag_upgrade = const flag::UPGRADE,
    event_fast_call = const event::FAST_CALL,
    event_fast_kick = const event::FAST_KICK,
    event_upgraded = const event::UPGRADED,
    event_answered = const event::ANSWERED,
    feature_fsgsbase = const feature::FSGSBASE,
);

unsafe extern "C" {
    static systrap_shim_start: u8;
    static systrap_shim_entry: u8;
    static systrap_shim_handler: u8;
    static systrap_shim_restorer: u8;
    static systrap_shim_fast: u8;
    static systrap_shim_end: u8;
}

/// Size of the ELF and program headers, which come first in the image.
const HEADERS: u64 = 64 + 2 * 56;
/// Where the code starts in the image and in its page.
const CODE: u64 = HEADERS.next_multiple_of(64);

/// The shim's bytes.
fn code() -> &'static [u8] {
    let start = &raw const systrap_shim_start;
    let len = (&raw const systrap_shim_end).addr() - start.addr();
    // SAFETY: both symbols bound one piece of this program's text.
    unsafe { slice::from_raw_parts(start, len) }
}

/// The address in a stub of a symbol of the shim.
fn address(symbol: *const u8) -> u64 {
    layout::SHIM + CODE + (symbol.addr() - (&raw const systrap_shim_start).addr()) as u64
}

/// The address of the signal handler.
pub(super) fn handler() -> u64 {
    address(&raw const systrap_shim_handler)
}

/// The address of the handler's return, `SA_RESTORER`.
pub(super) fn restorer() -> u64 {
    address(&raw const systrap_shim_restorer)
}

/// Where thunks of patched calls jump to.
pub(super) fn fast() -> u64 {
    address(&raw const systrap_shim_fast)
}

/// A memfd with a static executable (elf(5)) that consists of the shim alone, at its fixed address.
pub(super) fn image() -> io::Result<OwnedFd> {
    let code = code();
    debug_assert!(CODE + code.len() as u64 <= layout::SHIM_LEN, "the shim outgrew its page");
    let table = copies::table();
    let len = layout::SHIM_LEN + table.len() as u64;
    let mut image = Vec::with_capacity(4096);
    // e_ident: 64-bit, little-endian, System V.
    image.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // e_type ET_EXEC, e_machine EM_X86_64, e_version.
    image.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [address(&raw const systrap_shim_entry), 64, 0] {
        image.extend_from_slice(&word.to_le_bytes()); // e_entry, e_phoff, e_shoff
    }
    image.extend_from_slice(&0_u32.to_le_bytes()); // e_flags
    for half in [64_u16, 56, 2, 64, 0, 0] {
        image.extend_from_slice(&half.to_le_bytes()); // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
    }
    // PT_LOAD, readable and executable: the whole file.
    image.extend_from_slice(&1_u32.to_le_bytes());
    image.extend_from_slice(&5_u32.to_le_bytes());
    for word in [0, layout::SHIM, layout::SHIM, len, len, 4096] {
        image.extend_from_slice(&word.to_le_bytes()); // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
    }
    // PT_GNU_STACK: no executable stack.
    image.extend_from_slice(&0x6474_e551_u32.to_le_bytes());
    image.extend_from_slice(&6_u32.to_le_bytes());
    image.extend_from_slice(&[0; 48]);
    image.resize(usize::try_from(CODE).unwrap_or(0), 0);
    image.extend_from_slice(code);
    image.resize(usize::try_from(layout::SHIM_LEN).unwrap_or(0), 0);
    image.extend_from_slice(&table);

    let file = host::memfd::create(c"systrap-shim", 0)?;
    io::Write::write_all(&mut std::fs::File::from(file.try_clone()?), &image)?;
    host::memfd::seal(
        std::os::fd::AsFd::as_fd(&file),
        libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL,
    )?;
    Ok(file)
}
