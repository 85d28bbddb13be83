//! Open files of procfs: a text, made when a read starts at its beginning.

use std::sync::Arc;

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use super::inode::ProcInode;
use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        io::{Sink, Source},
    },
    wait::{Events, Watch},
};

/// The most that one write takes in.
const MAX_WRITE: usize = 4096;

/// An open file of procfs.
pub(super) struct ProcFile {
    inode: Arc<ProcInode>,
    text: Mutex<Option<Vec<u8>>>,
}

impl ProcFile {
    pub(super) fn new(inode: Arc<ProcInode>) -> ProcFile {
        ProcFile { inode, text: Mutex::default() }
    }
}

impl FileOps for ProcFile {
    fn read(&self, cx: FileCx<'_>, dst: &mut dyn Sink, pos: &mut u64) -> Result<usize> {
        if let Some(result) = self.inode.read_memory(cx.task, dst, pos) {
            return result;
        }
        let mut text = self.text.lock();
        if *pos == 0 || text.is_none() {
            *text = Some(self.inode.text(cx.task)?);
        }
        let text = text.as_deref().unwrap_or_default();
        let from = usize::try_from(*pos).unwrap_or(usize::MAX);
        let count = dst.put(text.get(from..).unwrap_or_default())?;
        *pos += count as u64;
        Ok(count)
    }

    fn write(&self, cx: FileCx<'_>, src: &mut dyn Source, pos: &mut u64) -> Result<usize> {
        if let Some(result) = self.inode.write_memory(cx.task, src, pos) {
            return result;
        }
        let mut bytes = vec![0; src.remaining().min(MAX_WRITE)];
        let count = src.take(&mut bytes)?;
        bytes.truncate(count);
        self.inode.store(cx.task, &bytes)?;
        *pos += count as u64;
        Ok(count)
    }

    fn poll(&self, _file: &File, _watch: Option<&mut Watch>) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_from(&self, _file: &File, _offset: i64, _whence: u32) -> Result<u64> {
        // The files have no size of their own.
        Err(Errno::EINVAL)
    }
}
