//! Open regular files of the host.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use linux_abi::{
    Errno, Result,
    fcntl::{SEEK_DATA, SEEK_HOLE},
};
use nix::{sys::uio, unistd::Whence};

use super::inode::GoferInode;
use crate::{
    fs::{
        file::{File, FileCx, FileOps, Mappable},
        file_limits,
        inode::{Inode, SetAttr},
        io::{Sink, Source},
        open::appends,
        permission,
    },
    wait::{Events, Watch},
};

/// How much one step of a large read or write moves.
const STEP: usize = 256 << 10;

fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_raw(error as i32)
}

/// An open regular file: a donated descriptor.
pub(super) struct GoferFile {
    inode: Arc<GoferInode>,
    descriptor: Arc<OwnedFd>,
}

impl GoferFile {
    pub(super) fn new(inode: Arc<GoferInode>, descriptor: Arc<OwnedFd>) -> GoferFile {
        GoferFile { inode, descriptor }
    }

    fn size(&self) -> Result<u64> {
        let stat = nix::sys::stat::fstat(self.descriptor.as_fd()).map_err(errno)?;
        u64::try_from(stat.st_size).map_err(|_| Errno::EIO)
    }
}

/// Reads from `descriptor` at `*pos` until `dst` is full or the file ends.
pub(in crate::fs::types) fn read_at(
    descriptor: &OwnedFd,
    dst: &mut dyn Sink,
    pos: &mut u64,
) -> Result<usize> {
    let mut total = 0;
    while dst.remaining() > 0 {
        let want = dst.remaining().min(STEP);
        let at = i64::try_from(*pos).map_err(|_| Errno::EINVAL)?;
        match dst.fill(want, &mut |buffer| uio::pread(descriptor.as_fd(), buffer, at).map_err(errno)) {
            Ok(done) => {
                total += done;
                *pos = pos.saturating_add(done as u64);
                if done < want {
                    break;
                }
            }
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(total)
}

/// `SEEK_END`, `SEEK_DATA` and `SEEK_HOLE` of a host file.
pub(in crate::fs::types) fn seek(descriptor: &OwnedFd, offset: i64, whence: u32) -> Result<u64> {
    let whence = match whence {
        SEEK_DATA => Whence::SeekData,
        SEEK_HOLE => Whence::SeekHole,
        _ => {
            let stat = nix::sys::stat::fstat(descriptor.as_fd()).map_err(errno)?;
            return u64::try_from(stat.st_size).map_err(|_| Errno::EIO);
        }
    };
    // The offset this moves is nobody's: the sentry reads and writes by position.
    let found = nix::unistd::lseek(descriptor.as_fd(), offset, whence).map_err(errno)?;
    u64::try_from(found).map_err(|_| Errno::EIO)
}

impl FileOps for GoferFile {
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, pos: &mut u64) -> Result<usize> {
        read_at(&self.descriptor, dst, pos)
    }

    fn write(&self, cx: FileCx<'_>, src: &mut dyn Source, pos: &mut u64) -> Result<usize> {
        if src.remaining() == 0 {
            return Ok(0);
        }
        let _sizes = self.inode.common().write_lock.lock();
        if appends(cx.file) {
            *pos = self.size()?;
        }
        let room = file_limits::room(cx.task, *pos, src.remaining() as u64, i64::MAX.unsigned_abs())?;
        let mut left = usize::try_from(room).unwrap_or(usize::MAX);
        let mut total = 0;
        while left > 0 {
            let at = i64::try_from(*pos).map_err(|_| Errno::EFBIG)?;
            let mut store = |data: &[u8]| uio::pwrite(self.descriptor.as_fd(), data, at).map_err(errno);
            match src.drain(left.min(STEP), &mut store) {
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
        self.inode.grew(*pos);
        // The host does not know that the writer is no longer the owner.
        if self.inode.had_set_id()
            && let Some(perm) = permission::after_write(&cx.task.creds(), &self.inode.access_attr()?)
        {
            self.inode.set_attr(&SetAttr { perm: Some(perm), ..SetAttr::default() })?;
        }
        Ok(total)
    }

    fn poll(&self, _file: &File, _watch: Option<&mut Watch>) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_from(&self, _file: &File, offset: i64, whence: u32) -> Result<u64> {
        seek(&self.descriptor, offset, whence)
    }

    fn sync(&self) -> Result<()> {
        nix::unistd::fsync(self.descriptor.as_fd()).map_err(errno)
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.inode.fs().client.fallocate(self.inode.node(), mode, offset, len)?;
        let size = self.size()?;
        self.inode.grew(size);
        Ok(())
    }

    fn mappable(&self, writable_shared: bool) -> Result<Mappable<'_>> {
        if writable_shared {
            self.inode.writable_file().map(Mappable::Shared)
        } else {
            Ok(Mappable::Borrowed(self.descriptor.as_fd()))
        }
    }
}
