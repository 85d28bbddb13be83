//! execve(2)'s inner half: from a file to an address space that is ready to run.
//!
//! * `script.rs`: `#!` lines.
//! * `elf.rs`: ELF headers, decoded with every bound checked.
//! * `image.rs`: segments into memory.
//! * `stack.rs`: arguments, environment and auxiliary vector.

pub mod elf;
pub mod image;
pub mod script;
pub mod stack;

use std::sync::Arc;

use linux_abi::{Errno, Result};

use crate::{
    fs::{
        file::{File, FileCx},
        io::BufferSink,
    },
    task::Task,
};

/// Reads at `offset` until `buffer` is full or the file ends; returns how much was read.
pub(crate) fn read_at(task: &Task, file: &Arc<File>, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let mut pos = offset.checked_add(done as u64).ok_or(Errno::EINVAL)?;
        let count = file.ops().read(FileCx { task, file }, &mut BufferSink::new(rest), &mut pos)?;
        if count == 0 {
            break;
        }
        done += count;
    }
    Ok(done)
}
