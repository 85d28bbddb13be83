//! ELF headers (elf(5)), decoded with every bound checked. The file is hostile.

use std::sync::Arc;

use linux_abi::{Errno, PAGE_SIZE, Result};

use super::read_at;
use crate::{fs::file::File, task::Task};

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;

/// Size of the first header.
pub const EHDR_SIZE: usize = 64;
const PHDR_SIZE: usize = 56;

/// A segment to be mapped.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub vaddr: u64,
    pub offset: u64,
    pub file_size: u64,
    pub mem_size: u64,
    /// `PF_X` = 1, `PF_W` = 2, `PF_R` = 4.
    pub flags: u32,
}

/// The headers of a program or its interpreter.
#[derive(Clone, Debug)]
pub struct Headers {
    pub entry: u64,
    /// `ET_DYN`: may be placed anywhere.
    pub relocatable: bool,
    pub segments: Vec<Segment>,
    pub interpreter: Option<Vec<u8>>,
    /// Virtual address of the program headers, if a segment holds them.
    pub phdr: u64,
    pub phnum: u64,
    /// Whether the stack must be executable.
    pub exec_stack: bool,
    /// The largest alignment a segment asks for.
    pub alignment: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The first page of `file`, or as much as there is: what most files need to be known by.
///
/// # Errors
/// Those of reading.
pub fn head(task: &Task, file: &Arc<File>) -> Result<Vec<u8>> {
    let mut head = vec![0; PAGE_SIZE as usize];
    let got = read_at(task, file, 0, &mut head)?;
    head.truncate(got);
    Ok(head)
}

/// Reads `size` bytes at `offset`, from `head` if they are there; returns what there is.
fn part(task: &Task, file: &Arc<File>, head: &[u8], offset: u64, size: usize) -> Result<Vec<u8>> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    if let Some(part) = start.checked_add(size).and_then(|end| head.get(start..end)) {
        return Ok(part.to_vec());
    }
    let mut part = vec![0; size];
    let got = read_at(task, file, offset, &mut part)?;
    part.truncate(got);
    Ok(part)
}

/// Decodes the headers of `file`, whose first bytes are `head`.
///
/// # Errors
/// `ENOEXEC` for what Linux does not run; `EIO` and the like from reading.
pub fn read(task: &Task, file: &Arc<File>, head: &[u8]) -> Result<Headers> {
    let header = head.get(..EHDR_SIZE).ok_or(Errno::ENOEXEC)?;
    let kind = u16_at(header, 16);
    if !header.starts_with(b"\x7fELF") || !matches!(kind, ET_EXEC | ET_DYN) || u16_at(header, 18) != EM_X86_64
    {
        return Err(Errno::ENOEXEC);
    }
    let (phoff, phentsize, phnum) = (u64_at(header, 32), u16_at(header, 54), u16_at(header, 56));
    let table_size = PHDR_SIZE * usize::from(phnum);
    if usize::from(phentsize) != PHDR_SIZE || phnum == 0 || table_size > 65_536 {
        return Err(Errno::ENOEXEC);
    }
    let table = part(task, file, head, phoff, table_size).map_err(|_| Errno::ENOEXEC)?;
    if table.len() < table_size {
        return Err(Errno::ENOEXEC);
    }
    let mut headers = Headers {
        entry: u64_at(header, 24),
        relocatable: kind == ET_DYN,
        segments: Vec::new(),
        interpreter: None,
        phdr: 0,
        phnum: u64::from(phnum),
        exec_stack: false,
        alignment: PAGE_SIZE,
    };
    for entry in table.chunks_exact(PHDR_SIZE) {
        decode_entry(task, file, head, entry, &mut headers)?;
    }
    // As load_elf_binary(): the last segment that has them in the file counts, whatever PT_PHDR says.
    let holds = |s: &&Segment| s.offset <= phoff && phoff - s.offset < s.file_size;
    headers.phdr =
        headers.segments.iter().rev().find(holds).map_or(0, |s| (phoff - s.offset).wrapping_add(s.vaddr));
    Ok(headers)
}

fn decode_entry(
    task: &Task,
    file: &Arc<File>,
    head: &[u8],
    entry: &[u8],
    headers: &mut Headers,
) -> Result<()> {
    let segment = Segment {
        flags: u32_at(entry, 4),
        offset: u64_at(entry, 8),
        vaddr: u64_at(entry, 16),
        file_size: u64_at(entry, 32),
        mem_size: u64_at(entry, 40),
    };
    match u32_at(entry, 0) {
        PT_LOAD => {
            let align = u64_at(entry, 48);
            if align.is_power_of_two() {
                headers.alignment = headers.alignment.max(align.min(1 << 30));
            }
            headers.segments.push(segment);
        }
        PT_INTERP if headers.interpreter.is_none() => {
            let size = usize::try_from(segment.file_size).map_err(|_| Errno::ENOEXEC)?;
            if !(2..=4096).contains(&size) {
                return Err(Errno::ENOEXEC);
            }
            let mut path = part(task, file, head, segment.offset, size)?;
            if path.len() < size {
                return Err(Errno::EIO);
            }
            if path.pop() != Some(0) {
                return Err(Errno::ENOEXEC);
            }
            // A path ends at its first NUL.
            path.truncate(path.iter().position(|&byte| byte == 0).unwrap_or(path.len()));
            headers.interpreter = Some(path);
        }
        PT_GNU_STACK => headers.exec_stack = segment.flags & 1 != 0,
        _ => {}
    }
    Ok(())
}

impl Headers {
    /// First page and end of everything that is mapped, as the file numbers addresses.
    ///
    /// # Errors
    /// `EINVAL` if there is nothing, or it wraps around.
    pub fn extent(&self) -> Result<(u64, u64)> {
        let start = self.segments.iter().map(|s| s.vaddr).min().ok_or(Errno::EINVAL)? & !(PAGE_SIZE - 1);
        let mut end = 0;
        for segment in &self.segments {
            end = end.max(segment.vaddr.checked_add(segment.mem_size).ok_or(Errno::EINVAL)?);
        }
        let end = end.checked_add(PAGE_SIZE - 1).ok_or(Errno::EINVAL)? & !(PAGE_SIZE - 1);
        if end > 1 << 47 { Err(Errno::ENOMEM) } else { Ok((start, end)) }
    }
}
