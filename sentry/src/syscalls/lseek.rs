//! lseek(2).

use linux_abi::{
    Errno, Result,
    fcntl::{SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET},
};

use crate::task::ThreadCx;

/// lseek(2).
pub fn lseek(cx: &mut ThreadCx, fd: i32, offset: i64, whence: u32) -> Result<u64> {
    let file = cx.task.file(fd)?;
    if whence > SEEK_HOLE {
        return Err(Errno::EINVAL);
    }
    if !file.ops().seekable() {
        return if file.ops().ignores_seeks() { Ok(0) } else { Err(Errno::ESPIPE) };
    }
    if file.ops().keeps_offset() {
        return file.ops().seek_from(&file, offset, whence);
    }
    let mut position = file.offset.lock();
    let base = match whence {
        SEEK_SET => 0,
        SEEK_CUR => *position,
        SEEK_DATA | SEEK_HOLE => {
            *position = file.ops().seek_from(&file, offset, whence)?;
            return Ok(*position);
        }
        _ => file.ops().seek_from(&file, offset, SEEK_END)?,
    };
    let sum = base.checked_add_signed(offset).filter(|&sum| i64::try_from(sum).is_ok());
    // Overflow and a position before the start are the same error for files (EOVERFLOW is for 32-bit callers).
    *position = sum.ok_or(Errno::EINVAL)?;
    Ok(*position)
}
