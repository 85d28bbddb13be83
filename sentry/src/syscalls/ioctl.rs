//! ioctl(2): what all files have; the rest is the file's.

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{O_ASYNC, O_NONBLOCK},
};

use crate::{
    fs::{fasync, file::File, inode::FileType},
    task::{ThreadCx, usermem::UserMemory},
};

use linux_abi::ioctl::{
    FIBMAP, FICLONE, FICLONERANGE, FIDEDUPERANGE, FIGETBSZ, FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD,
    FIOQSIZE,
};

/// ioctl(2).
pub fn ioctl(cx: &mut ThreadCx, fd: i32, request: u32, arg: u64) -> Result<u64> {
    let file = cx.task.file(fd)?;
    match request {
        FIOCLEX | FIONCLEX => cx.task.files()?.set_close_on_exec(fd, request == FIOCLEX).map(|()| 0),
        FIONBIO | FIOASYNC => {
            let on: i32 = cx.read_obj(UserAddr(arg))?;
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
        FICLONE | FICLONERANGE | FIDEDUPERANGE if is_regular(&file) => Err(Errno::EOPNOTSUPP),
        _ => file.ops().ioctl(cx, &file, request, arg),
    }
}

fn is_regular(file: &File) -> bool {
    file.inode().is_some_and(|inode| inode.kind() == FileType::Regular)
}
