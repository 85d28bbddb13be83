//! ioctl(2): what all files have; the rest is the file's.

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{O_APPEND, O_ASYNC, O_NONBLOCK},
};

use crate::{
    fs::{fasync, file::File, inode::FileType},
    task::{ThreadCx, usermem::UserMemory},
};

use linux_abi::ioctl::{
    FIBMAP, FICLONE, FICLONERANGE, FIDEDUPERANGE, FIGETBSZ, FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD,
    FIOQSIZE, FS_IOC_GETFLAGS,
};

/// ioctl(2).
pub fn ioctl(cx: &mut ThreadCx, fd: i32, request: u32, arg: u64) -> Result<u64> {
    let file = cx.task.file(fd)?;
    match request {
        FIOCLEX | FIONCLEX => cx.task.files()?.set_close_on_exec(fd, request == FIOCLEX).map(|()| 0),
        FIONBIO | FIOASYNC => {
            let on: i32 = cx.read_obj(UserAddr(arg))?;
            let changes = (on != 0) != (file.flags() & O_ASYNC != 0);
            if request == FIOASYNC && changes && !fasync::is_able(&file) {
                return Err(Errno::ENOTTY);
            }
            let flag = if request == FIONBIO { O_NONBLOCK } else { O_ASYNC };
            let flags = if on != 0 { file.flags() | flag } else { file.flags() & !flag };
            file.set_flags(flags);
            fasync::update(&cx.task.kernel, fd, &file);
            Ok(0)
        }
        FIOQSIZE => {
            let attr = file.inode().ok_or(Errno::ENOTTY)?.attr()?;
            if !matches!(attr.kind, FileType::Regular | FileType::Directory | FileType::Symlink) {
                return Err(Errno::ENOTTY);
            }
            cx.write_obj(UserAddr(arg), &attr.size).map(|()| 0)
        }
        FIONREAD if is_regular(&file) => {
            let size = file.inode().ok_or(Errno::ENOTTY)?.attr()?.size;
            let left = size.saturating_sub(*file.offset.lock());
            cx.write_obj(UserAddr(arg), &i32::try_from(left).unwrap_or(i32::MAX)).map(|()| 0)
        }
        FIGETBSZ if is_regular(&file) => cx.write_obj(UserAddr(arg), &4096_i32).map(|()| 0),
        FIBMAP if is_regular(&file) => Err(Errno::EPERM),
        FICLONE => refuse_clone(cx, &file, arg),
        FICLONERANGE => {
            let range: [u64; 4] = cx.read_obj(UserAddr(arg))?;
            refuse_clone(cx, &file, range.first().copied().unwrap_or(0))
        }
        FIDEDUPERANGE if is_regular(&file) => Err(Errno::EOPNOTSUPP),
        FS_IOC_GETFLAGS if has_attributes(&file) => cx.write_obj(UserAddr(arg), &0_u32).map(|()| 0),
        _ => file.ops().ioctl(cx, &file, request, arg),
    }
}

/// `FICLONE`: no filesystem shares blocks; what is wrong besides comes first (`vfs_clone_file_range`).
fn refuse_clone(cx: &ThreadCx, target: &File, source: u64) -> Result<u64> {
    let source = i32::try_from(source & 0xffff_ffff).map_err(|_| Errno::EBADF)?;
    let source = cx.task.file(source)?;
    let (Some(from), Some(to)) = (source.inode(), target.inode()) else { return Err(Errno::EXDEV) };
    if from.attr()?.dev != to.attr()?.dev {
        return Err(Errno::EXDEV);
    }
    let kinds = [from.kind(), to.kind()];
    if kinds.contains(&FileType::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds != [FileType::Regular; 2] {
        return Err(Errno::EINVAL);
    }
    if !source.readable() || !target.writable() || target.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    Err(Errno::EOPNOTSUPP)
}

/// Whether the file is on a filesystem with attributes as chattr(1) has them. None is ever set.
fn has_attributes(file: &File) -> bool {
    file.inode().is_some_and(|inode| {
        matches!(inode.kind(), FileType::Regular | FileType::Directory)
            && matches!(inode.filesystem().name(), "tmpfs" | "overlay")
    })
}

fn is_regular(file: &File) -> bool {
    file.inode().is_some_and(|inode| inode.kind() == FileType::Regular)
}
