//! The segments of an ELF file into memory (`elf_load`, `set_brk`, `padzero`).

use std::sync::Arc;

use linux_abi::{Errno, PAGE_SIZE, Result, UserAddr};
use platform::{Context, Prot};

use super::elf::{Headers, Segment};
use crate::{fs::file::File, mm::Mm};

/// What a segment becomes.
struct Parts {
    /// Its pages of the file, and the zero pages that follow: address, length, protection, offset.
    pages: Vec<(u64, u64, Prot, Option<u64>)>,
    /// The rest of its last page of the file, to be cleared.
    tail: Option<(u64, u64)>,
}

/// Maps every segment of `file` at its address plus `bias`. Returns the end of the highest.
///
/// # Errors
/// `ENOMEM`, `EINVAL`, `EFAULT`: the process must die, it has lost its old image.
pub(crate) fn map_segments(
    mm: &Mm,
    context: &mut dyn Context,
    file: &Arc<File>,
    headers: &Headers,
    bias: u64,
) -> Result<u64> {
    let mut end = 0;
    let mut pages = Vec::new();
    let mut tails = Vec::new();
    let size = file.inode().ok_or(Errno::EIO)?.attr()?.size;
    for segment in &headers.segments {
        let parts = segment_parts(segment, bias, size)?;
        end = end.max(segment.vaddr.wrapping_add(bias).wrapping_add(segment.mem_size));
        let cleared = |(addr, len, _, _): &(u64, u64, Prot, Option<u64>)| {
            tails.iter().any(|&(tail, tail_len)| tail < addr + len && *addr < tail + tail_len)
        };
        if parts.pages.iter().any(cleared) {
            // What was mapped there is to be cleared before this replaces it.
            map_and_clear(mm, context, file, &mut pages, &mut tails)?;
        }
        pages.extend(parts.pages);
        tails.extend(parts.tail);
    }
    map_and_clear(mm, context, file, &mut pages, &mut tails)?;
    Ok(end)
}

fn map_and_clear(
    mm: &Mm,
    context: &mut dyn Context,
    file: &Arc<File>,
    pages: &mut Vec<(u64, u64, Prot, Option<u64>)>,
    tails: &mut Vec<(u64, u64)>,
) -> Result<()> {
    mm.map_image(context, file, pages)?;
    for &(at, len) in &*tails {
        context.clear(UserAddr(at), usize::try_from(len).unwrap_or(0)).map_err(|_| Errno::EFAULT)?;
    }
    pages.clear();
    tails.clear();
    Ok(())
}

/// `size` is the file's.
fn segment_parts(segment: &Segment, bias: u64, size: u64) -> Result<Parts> {
    if segment.file_size > segment.mem_size {
        return Err(Errno::EINVAL);
    }
    let mut parts = Parts { pages: Vec::new(), tail: None };
    let prot = protection(segment.flags);
    let vaddr = segment.vaddr.checked_add(bias).ok_or(Errno::EINVAL)?;
    let in_page = vaddr % PAGE_SIZE;
    let start = vaddr - in_page;
    let page_up = |at: u64| UserAddr(at).page_up().map(|at| at.0).ok_or(Errno::EINVAL);
    let file_end = vaddr.checked_add(segment.file_size).ok_or(Errno::EINVAL)?;
    let mem_end = vaddr.checked_add(segment.mem_size).ok_or(Errno::EINVAL)?;
    if segment.file_size > 0 {
        let offset = segment.offset.checked_sub(in_page).ok_or(Errno::EINVAL)?;
        if offset % PAGE_SIZE != 0 {
            return Err(Errno::EINVAL);
        }
        parts.pages.push((start, page_up(file_end)? - start, prot, Some(offset)));
    }
    if segment.mem_size > segment.file_size {
        let zero_from = if segment.file_size > 0 { page_up(file_end)? } else { start };
        // The rest of the last page from the file, if the program could write it itself.
        if segment.file_size > 0 && prot.has(Prot::WRITE) && zero_from > file_end {
            // The page must be there to be cleared; this is asked now because clearing may be left for later.
            let tail_offset = segment.offset.checked_add(segment.file_size).ok_or(Errno::EINVAL)?;
            if tail_offset / PAGE_SIZE * PAGE_SIZE >= size {
                return Err(Errno::EFAULT);
            }
            parts.tail = Some((file_end, zero_from - file_end));
        }
        let zero_to = page_up(mem_end)?;
        if zero_to > zero_from {
            parts.pages.push((zero_from, zero_to - zero_from, prot, None));
        }
    }
    Ok(parts)
}

fn protection(flags: u32) -> Prot {
    let bit = |flag: u32, prot: Prot| if flags & flag != 0 { prot } else { Prot::NONE };
    bit(4, Prot::READ).with(bit(2, Prot::WRITE)).with(bit(1, Prot::EXEC))
}
