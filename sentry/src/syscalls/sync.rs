//! sync(2), syncfs(2), fsync(2), fdatasync(2), sync_file_range(2).

use linux_abi::{Errno, Result};

use crate::{
    fs::inode::{FileSystem, FileType},
    task::ThreadCx,
};

/// sync(2).
pub fn sync(cx: &mut ThreadCx) -> Result<()> {
    let namespace = cx.task.fs().root().mount.namespace();
    for mount in namespace.map(|namespace| namespace.list()).unwrap_or_default() {
        // sync(2) has no way to fail.
        let _ = FileSystem::sync(&*mount.fs);
    }
    Ok(())
}

/// syncfs(2).
pub fn syncfs(cx: &mut ThreadCx, fd: i32) -> Result<()> {
    let file = cx.task.file(fd)?;
    file.inode().map_or(Ok(()), |inode| FileSystem::sync(&*inode.filesystem()))
}

/// fsync(2).
pub fn fsync(cx: &mut ThreadCx, fd: i32) -> Result<()> {
    cx.task.file(fd)?.ops().sync()
}

/// fdatasync(2).
pub fn fdatasync(cx: &mut ThreadCx, fd: i32) -> Result<()> {
    cx.task.file(fd)?.ops().sync()
}

/// sync_file_range(2).
pub fn sync_file_range(cx: &mut ThreadCx, fd: i32, offset: i64, length: i64, flags: u32) -> Result<()> {
    const ALL: u32 = 7;
    if flags & !ALL != 0 || offset < 0 || length < 0 || offset.checked_add(length).is_none() {
        return Err(Errno::EINVAL);
    }
    let file = cx.task.file(fd)?;
    let kind = file.inode().map(|inode| inode.kind());
    if !matches!(kind, Some(FileType::Regular | FileType::Directory | FileType::BlockDevice)) {
        return Err(Errno::ESPIPE);
    }
    file.ops().sync()
}
