//! Open directories, for every filesystem that lists its entries by [`Inode::entries`].
//!
//! Position 0 is `.`, 1 is `..`; a filesystem's own positions follow, shifted by two.

use std::sync::Arc;

use linux_abi::{
    Errno, Result,
    fcntl::{SEEK_DATA, SEEK_HOLE},
};

use super::{
    file::{File, FileCx, FileOps},
    inode::{DirEntry, FileType, Inode},
    io::{Sink, Source},
};
use crate::wait::{Events, Watch};

/// How far a filesystem's positions are shifted.
const DOTS: u64 = 2;

/// An open directory.
pub struct DirectoryFile {
    inode: Arc<dyn Inode>,
}

impl DirectoryFile {
    /// Lists `inode`.
    pub fn new(inode: Arc<dyn Inode>) -> DirectoryFile {
        DirectoryFile { inode }
    }
}

impl FileOps for DirectoryFile {
    fn read(&self, _cx: FileCx<'_>, _dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn poll(&self, _file: &File, _watch: Option<&mut Watch>) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_from(&self, _file: &File, _offset: i64, whence: u32) -> Result<u64> {
        if matches!(whence, SEEK_DATA | SEEK_HOLE) { Err(Errno::EINVAL) } else { Ok(i64::MAX.unsigned_abs()) }
    }

    fn read_dir(
        &self,
        cx: FileCx<'_>,
        pos: &mut u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<()> {
        let path = cx.file.path();
        if path.is_some_and(|path| path.dentry.is_deleted()) {
            return Err(Errno::ENOENT);
        }
        let kind = FileType::Directory;
        if *pos == 0 {
            if !emit(DirEntry { name: b".", ino: self.inode.attr()?.ino, kind, next: 1 }) {
                return Ok(());
            }
            *pos = 1;
        }
        if *pos == 1 {
            let parent = path.and_then(|path| path.dentry.parent());
            let ino = parent.map_or_else(|| self.inode.attr(), |parent| parent.inode().attr())?.ino;
            if !emit(DirEntry { name: b"..", ino, kind, next: DOTS }) {
                return Ok(());
            }
            *pos = DOTS;
        }
        self.inode.entries(cx.task, pos.saturating_sub(DOTS), &mut |entry| {
            let next = entry.next.saturating_add(DOTS);
            let taken = emit(DirEntry { next, ..entry });
            if taken {
                *pos = next;
            }
            taken
        })
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
