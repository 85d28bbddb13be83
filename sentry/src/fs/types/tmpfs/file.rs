//! Open regular files of a tmpfs.

use std::sync::Arc;

use linux_abi::{
    Errno, Result,
    fcntl::{SEEK_DATA, SEEK_HOLE},
};

use super::{
    content::{MAX_SIZE, Readable},
    inode::TmpInode,
};
use crate::{
    fs::{
        file::{File, FileCx, FileOps, Mappable},
        file_limits,
        inode::DirEntry,
        io::{Sink, Source},
        open::appends,
        permission, times,
    },
    wait::{Events, Watch},
};

/// How much one step of a large read or write moves.
const STEP: usize = 256 << 10;

/// An open regular file.
pub struct TmpFile {
    inode: Arc<TmpInode>,
}

impl TmpFile {
    /// An open description of `inode`, which must be a regular file.
    pub fn new(inode: Arc<TmpInode>) -> TmpFile {
        TmpFile { inode }
    }

    /// The file (for its seals).
    pub fn inode(&self) -> &Arc<TmpInode> {
        &self.inode
    }
}

impl FileOps for TmpFile {
    fn read(&self, cx: FileCx<'_>, dst: &mut dyn Sink, pos: &mut u64) -> Result<usize> {
        let mut total = 0;
        while dst.remaining() > 0 {
            let (size, readable) = {
                let content = self.inode.content()?.read();
                (content.size(), content.readable(*pos))
            };
            let left = size.saturating_sub(*pos);
            if left == 0 {
                break;
            }
            let mut want = usize::try_from(left).unwrap_or(usize::MAX).min(STEP).min(dst.remaining());
            if let Readable::Small { len, .. } = &readable {
                want = want.min(*len);
            }
            let done = match copy_out(&readable, *pos, want, dst) {
                Ok(done) => done,
                Err(errno) if total == 0 => return Err(errno),
                Err(_) => break,
            };
            total += done;
            *pos = pos.saturating_add(done as u64);
            if done < want {
                break;
            }
        }
        times::accessed(cx.file, &*self.inode);
        Ok(total)
    }

    fn write(&self, cx: FileCx<'_>, src: &mut dyn Source, pos: &mut u64) -> Result<usize> {
        if src.remaining() == 0 {
            return Ok(0);
        }
        let content = self.inode.content()?;
        let _sizes = self.inode.write_lock();
        if appends(cx.file) {
            *pos = content.read().size();
        }
        let room = file_limits::room(cx.task, *pos, src.remaining() as u64, MAX_SIZE)?;
        let mut left = usize::try_from(room).unwrap_or(usize::MAX);
        let mut total = 0;
        while left > 0 {
            let at = *pos;
            let mut stored = |data: &[u8]| content.write().write(self.inode.budget(), at, data);
            match src.drain(left.min(STEP), &mut stored) {
                Ok(0) => break,
                Ok(done) => {
                    total += done;
                    left -= done;
                    *pos = pos.saturating_add(done as u64);
                }
                Err(errno) if total == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        self.inode.written(|attr| permission::after_write(&cx.task.creds(), attr));
        Ok(total)
    }

    fn poll(&self, _file: &File, _watch: Option<&mut Watch>) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_from(&self, _file: &File, offset: i64, whence: u32) -> Result<u64> {
        let content = self.inode.content()?.read();
        if !matches!(whence, SEEK_DATA | SEEK_HOLE) {
            return Ok(content.size());
        }
        content.seek(u64::try_from(offset).map_err(|_| Errno::ENXIO)?, whence)
    }

    fn read_dir(
        &self,
        _cx: FileCx<'_>,
        _pos: &mut u64,
        _emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<()> {
        let _sizes = self.inode.write_lock();
        self.inode.content()?.write().allocate(self.inode.budget(), mode, offset, len)?;
        self.inode.written(|_| None);
        Ok(())
    }

    fn mappable(&self, writable_shared: bool) -> Result<Mappable<'_>> {
        let host = self.inode.content()?.write().host_file(self.inode.budget(), writable_shared)?;
        Ok(Mappable::Shared(host))
    }
}

fn copy_out(from: &Readable, at: u64, want: usize, dst: &mut dyn Sink) -> Result<usize> {
    match from {
        Readable::Small { bytes, from, .. } => {
            let held = bytes.get(*from..).unwrap_or_default();
            let held = held.get(..want).unwrap_or(held);
            let done = if held.is_empty() { 0 } else { dst.put(held)? };
            if done < held.len() || done == want {
                return Ok(done);
            }
            // The rest is a hole.
            let zeros = dst.fill(want - done, &mut |buffer| {
                buffer.fill(0);
                Ok(buffer.len())
            });
            match zeros {
                Ok(zeros) => Ok(done + zeros),
                Err(errno) if done == 0 => Err(errno),
                Err(_) => Ok(done),
            }
        }
        Readable::Host(file) => dst.fill(want, &mut |buffer| {
            let at = i64::try_from(at).map_err(|_| Errno::EINVAL)?;
            nix::sys::uio::pread(file, buffer, at).map_err(|error| Errno::from_raw(error as i32))
        }),
    }
}
