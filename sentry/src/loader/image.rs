//! The segments of an ELF file into memory (`elf_load`, `set_brk`, `padzero`).

use std::sync::Arc;

use linux_abi::{Errno, PAGE_SIZE, Result, UserAddr};
use platform::{Context, Prot};

use super::elf::{Headers, Segment};
use crate::{
    credentials::Caps,
    fs::file::File,
    limits::Limits,
    mm::{
        Mm,
        map::{Caller, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MapRequest},
    },
};

/// Maps every segment of `file` at its address plus `bias`. Returns the end of the highest.
///
/// # Errors
/// `ENOMEM`, `EINVAL`: the process must die, it has lost its old image.
pub(crate) fn map_segments(
    mm: &Mm,
    context: &mut dyn Context,
    file: &Arc<File>,
    headers: &Headers,
    bias: u64,
) -> Result<u64> {
    let mut end = 0;
    for segment in &headers.segments {
        map_segment(mm, context, file, segment, bias)?;
        end = end.max(segment.vaddr.wrapping_add(bias).wrapping_add(segment.mem_size));
    }
    Ok(end)
}

fn map_segment(
    mm: &Mm,
    context: &mut dyn Context,
    file: &Arc<File>,
    segment: &Segment,
    bias: u64,
) -> Result<()> {
    let prot = protection(segment.flags);
    let vaddr = segment.vaddr.checked_add(bias).ok_or(Errno::EINVAL)?;
    let in_page = vaddr % PAGE_SIZE;
    let start = vaddr - in_page;
    let page_up = |at: u64| UserAddr(at).page_up().map(|at| at.0).ok_or(Errno::EINVAL);
    let file_end = vaddr.checked_add(segment.file_size).ok_or(Errno::EINVAL)?;
    let mem_end = vaddr.checked_add(segment.mem_size.max(segment.file_size)).ok_or(Errno::EINVAL)?;
    if segment.file_size > 0 {
        let offset = segment.offset.checked_sub(in_page).ok_or(Errno::EINVAL)?;
        if offset % PAGE_SIZE != 0 {
            return Err(Errno::EINVAL);
        }
        map(mm, context, (start, page_up(file_end)? - start), prot, Some((file, offset)))?;
    }
    if segment.mem_size > segment.file_size {
        let zero_from = if segment.file_size > 0 { page_up(file_end)? } else { start };
        // The rest of the last page from the file, if the program could write it itself.
        if segment.file_size > 0 && prot.has(Prot::WRITE) && zero_from > file_end {
            let zeros = vec![0; usize::try_from(zero_from - file_end).unwrap_or(0)];
            context.write(UserAddr(file_end), &zeros).map_err(|_| Errno::EFAULT)?;
        }
        let zero_to = page_up(mem_end)?;
        if zero_to > zero_from {
            map(mm, context, (zero_from, zero_to - zero_from), prot, None)?;
        }
    }
    Ok(())
}

/// Maps at a fixed place, without limits: the loader's mappings count, but are not refused.
pub(crate) fn map(
    mm: &Mm,
    context: &mut dyn Context,
    (addr, len): (u64, u64),
    prot: Prot,
    file: Option<(&Arc<File>, u64)>,
) -> Result<()> {
    let limits = Limits::unlimited();
    let caller = Caller { limits: &limits, caps: Caps::empty() };
    let anonymous = if file.is_none() { MAP_ANONYMOUS } else { 0 };
    let request = MapRequest {
        addr,
        len,
        prot,
        flags: MAP_PRIVATE | MAP_FIXED | anonymous,
        file: file.map(|(file, _)| file),
        offset: file.map_or(0, |(_, offset)| offset),
    };
    mm.mmap(context, &caller, &request).map(drop)
}

fn protection(flags: u32) -> Prot {
    let bit = |flag: u32, prot: Prot| if flags & flag != 0 { prot } else { Prot::NONE };
    bit(4, Prot::READ).with(bit(2, Prot::WRITE)).with(bit(1, Prot::EXEC))
}
