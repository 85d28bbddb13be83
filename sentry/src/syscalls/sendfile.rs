//! sendfile(2), copy_file_range(2).

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{O_APPEND, SEEK_CUR, SEEK_SET},
    stat::makedev,
};

use super::read_write::{At, failed, read_once, write_all, write_once};
use crate::{
    error::{SysError, SysResult},
    fs::{
        file::File,
        inode::{FileType, same_inode},
        io::{Buffer, BufferSink, BufferSource},
    },
    task::{
        ThreadCx,
        usermem::{MAX_RW_COUNT, UserMemory},
    },
};

/// How much is copied at a time.
pub(super) const CHUNK: usize = Buffer::KEPT;

/// sendfile(2).
pub fn sendfile(
    cx: &mut ThreadCx,
    out_fd: i32,
    in_fd: i32,
    offset: UserAddr,
    count: usize,
) -> SysResult<usize> {
    let input = cx.task.file(in_fd)?;
    if !input.readable() {
        return Err(Errno::EBADF.into());
    }
    let mut place = Place::new(cx, &input, offset)?;
    let output = cx.task.file(out_fd)?;
    if !output.writable() {
        return Err(Errno::EBADF.into());
    }
    let kind = input.inode().map(|inode| inode.kind());
    let has_bytes = matches!(kind, Some(FileType::Regular | FileType::BlockDevice))
        || (kind == Some(FileType::CharDevice) && input.ops().seekable() && can_give(&input));
    if !has_bytes || output.flags() & O_APPEND != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut buffer = Buffer::new(CHUNK.min(count));
    let mut total = 0;
    let count = count.min(MAX_RW_COUNT);
    let result = loop {
        if total == count {
            break Ok(());
        }
        let chunk = match read_chunk(cx, &input, &mut buffer, place.at, count - total) {
            Ok([]) => break Ok(()),
            Ok(chunk) => chunk,
            Err(errno) => break Err(SysError::Errno(errno)),
        };
        let written =
            write_all(&cx.task, &output, &mut BufferSource::new(chunk), At::Offset, output.nonblocking());
        match written {
            Ok(written) => {
                total += written;
                place.at = place.at.saturating_add(written as u64);
                if written < chunk.len() {
                    break Ok(());
                }
            }
            Err(error) => {
                if let SysError::Errno(errno) = error {
                    failed(&cx.task, errno);
                }
                break Err(error);
            }
        }
    };
    place.store(cx, &input, offset)?;
    if total > 0 { Ok(total) } else { result.map(|()| 0) }
}

/// Whether anything can be taken from `file` without a copy to memory of the caller's (`f_op->splice_read`).
pub(super) fn can_give(file: &File) -> bool {
    let Some(inode) = file.inode() else { return true };
    match inode.kind() {
        FileType::Directory => false,
        // `/dev/null` only takes.
        FileType::CharDevice => inode.attr().is_ok_and(|attr| attr.rdev != makedev(1, 3)),
        _ => true,
    }
}

/// copy_file_range(2).
pub fn copy_file_range(
    cx: &mut ThreadCx,
    in_fd: i32,
    in_offset: UserAddr,
    out_fd: i32,
    out_offset: UserAddr,
    count: usize,
    flags: u32,
) -> SysResult<usize> {
    let input = cx.task.file(in_fd)?;
    let output = cx.task.file(out_fd)?;
    let mut from = Place::new(cx, &input, in_offset)?;
    let mut to = Place::new(cx, &output, out_offset)?;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let count = check_copy(&input, &output, from.at, to.at, count)?;
    let mut buffer = Buffer::new(CHUNK.min(count));
    let mut total = 0;
    let mut result = Ok(());
    while total < count {
        let copied = read_chunk(cx, &input, &mut buffer, from.at, count - total).and_then(|chunk| {
            if chunk.is_empty() {
                return Ok(0);
            }
            write_once(&cx.task, &output, &mut BufferSource::new(chunk), At::Position(to.at))
        });
        match copied {
            Ok(0) => break,
            Ok(copied) => {
                total += copied;
                from.at = from.at.saturating_add(copied as u64);
                to.at = to.at.saturating_add(copied as u64);
            }
            Err(errno) => {
                failed(&cx.task, errno);
                result = Err(errno);
                break;
            }
        }
    }
    from.store(cx, &input, in_offset)?;
    to.store(cx, &output, out_offset)?;
    if total > 0 { Ok(total) } else { result.map(|()| 0).map_err(SysError::from) }
}

/// What may be copied, in the order Linux looks (`generic_copy_file_checks`).
fn check_copy(input: &Arc<File>, output: &Arc<File>, from: u64, to: u64, count: usize) -> Result<usize> {
    let (Some(source), Some(target)) = (input.inode(), output.inode()) else { return Err(Errno::EINVAL) };
    let kinds = [source.kind(), target.kind()];
    if kinds.contains(&FileType::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds != [FileType::Regular; 2] {
        return Err(Errno::EINVAL);
    }
    if !input.readable() || !output.writable() || output.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let overflow = |at: u64| at.checked_add(count as u64).is_none_or(|end| i64::try_from(end).is_err());
    if overflow(from) || overflow(to) {
        return Err(Errno::EOVERFLOW);
    }
    let left = source.attr()?.size.saturating_sub(from);
    let count = count.min(usize::try_from(left).unwrap_or(usize::MAX)).min(MAX_RW_COUNT);
    if same_inode(source, target)
        && from < to.saturating_add(count as u64)
        && to < from.saturating_add(count as u64)
    {
        return Err(Errno::EINVAL);
    }
    Ok(count)
}

/// Up to `want` bytes at `at`, through `buffer`.
pub(super) fn read_chunk<'b>(
    cx: &ThreadCx,
    file: &File,
    buffer: &'b mut [u8],
    at: u64,
    want: usize,
) -> Result<&'b [u8]> {
    let want = want.min(buffer.len());
    let space = buffer.get_mut(..want).unwrap_or_default();
    let mut sink = BufferSink::new(space);
    let done = read_once(&cx.task, file, &mut sink, At::Position(at))?;
    Ok(buffer.get(..done).unwrap_or_default())
}

/// A position that came from the caller or from the description, and goes back there.
pub(super) struct Place {
    pub(super) at: u64,
}

impl Place {
    pub(super) fn new(cx: &mut ThreadCx, file: &File, pointer: UserAddr) -> Result<Place> {
        if pointer.is_null() && file.ops().keeps_offset() && file.ops().seekable() {
            return file.ops().seek_from(file, 0, SEEK_CUR).map(|at| Place { at });
        }
        if pointer.is_null() {
            return Ok(Place { at: *file.offset.lock() });
        }
        if !file.ops().seekable() {
            return Err(Errno::ESPIPE);
        }
        let at: i64 = cx.read_obj(pointer)?;
        Ok(Place { at: u64::try_from(at).map_err(|_| Errno::EINVAL)? })
    }

    pub(super) fn store(&self, cx: &mut ThreadCx, file: &File, pointer: UserAddr) -> Result<()> {
        if pointer.is_null() && file.ops().keeps_offset() && file.ops().seekable() {
            let at = i64::try_from(self.at).map_err(|_| Errno::EOVERFLOW)?;
            return file.ops().seek_from(file, at, SEEK_SET).map(drop);
        }
        if pointer.is_null() {
            *file.offset.lock() = self.at;
            return Ok(());
        }
        cx.write_obj(pointer, &self.at)
    }
}
