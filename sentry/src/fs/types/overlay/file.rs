//! Open regular files of an overlay: the host's bytes until somebody writes, then the upper ones. A file that was opened
//! before it was copied up follows it.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
};

use linux_abi::{
    Errno, Result,
    fcntl::{O_ACCMODE, O_RDONLY},
};

use super::OverlayInode;
use crate::{
    fs::{
        file::{File, FileCx, FileOps, Mappable},
        io::{Sink, Source},
        types::{
            gofer::{read_at, seek},
            tmpfs::TmpFile,
        },
    },
    wait::{Events, Watch},
};

/// An open regular file.
pub(super) struct OverlayFile {
    inode: Arc<OverlayInode>,
    lower: Option<Arc<OwnedFd>>,
    upper: OnceLock<TmpFile>,
}

impl OverlayFile {
    pub(super) fn open(inode: Arc<OverlayInode>, flags: u32) -> Result<OverlayFile> {
        let file = OverlayFile { inode, lower: None, upper: OnceLock::new() };
        if flags & O_ACCMODE != O_RDONLY {
            file.inode.copy_up_data(u64::MAX)?;
        }
        if file.upper().is_some() {
            return Ok(file);
        }
        let lower = file.inode.lower().ok_or(Errno::EIO)?.host_file()?;
        Ok(OverlayFile { lower: Some(lower), ..file })
    }

    fn upper(&self) -> Option<&TmpFile> {
        if let Some(upper) = self.upper.get() {
            return Some(upper);
        }
        let inode = self.inode.upper_data()?;
        Some(self.upper.get_or_init(|| TmpFile::new(inode)))
    }

    fn lower(&self) -> Result<&Arc<OwnedFd>> {
        self.lower.as_ref().ok_or(Errno::EIO)
    }
}

impl FileOps for OverlayFile {
    fn read(&self, cx: FileCx<'_>, dst: &mut dyn Sink, pos: &mut u64) -> Result<usize> {
        match self.upper() {
            Some(upper) => upper.read(cx, dst, pos),
            None => read_at(self.lower()?, dst, pos),
        }
    }

    fn write(&self, cx: FileCx<'_>, src: &mut dyn Source, pos: &mut u64) -> Result<usize> {
        self.upper().ok_or(Errno::EBADF)?.write(cx, src, pos)
    }

    fn poll(&self, _file: &File, _watch: Option<&mut Watch>) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_from(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        match self.upper() {
            Some(upper) => upper.seek_from(file, offset, whence),
            None => seek(self.lower()?, offset, whence),
        }
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.upper().ok_or(Errno::EBADF)?.allocate(mode, offset, len)
    }

    fn mappable(&self, writable_shared: bool) -> Result<Mappable<'_>> {
        match self.upper() {
            Some(upper) => upper.mappable(writable_shared),
            None if writable_shared => Err(Errno::EACCES),
            None => Ok(Mappable::Shared(Arc::clone(self.lower()?))),
        }
    }
}
