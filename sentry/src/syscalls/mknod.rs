//! mkdir(2), rmdir(2), mknod(2).

use linux_abi::{Errno, Result, UserAddr, fcntl::AT_FDCWD};

use crate::{
    fs::{
        entries::{self, Node},
        inode::FileType,
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// mkdir(2).
pub fn mkdir(cx: &mut ThreadCx, path: UserAddr, mode: u32) -> Result<()> {
    mkdirat(cx, AT_FDCWD, path, mode)
}

/// mkdirat(2).
pub fn mkdirat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, mode: u32) -> Result<()> {
    let path = cx.read_path(path)?;
    // Linux takes the sticky bit from mkdir, but not setuid and setgid.
    entries::make(&cx.task, dirfd, &path, &Node::plain(FileType::Directory, mode & 0o1777)).map(drop)
}

/// rmdir(2).
pub fn rmdir(cx: &mut ThreadCx, path: UserAddr) -> Result<()> {
    let path = cx.read_path(path)?;
    entries::rmdir(&cx.task, AT_FDCWD, &path)
}

/// mknod(2).
pub fn mknod(cx: &mut ThreadCx, path: UserAddr, mode: u32, dev: u32) -> Result<()> {
    mknodat(cx, AT_FDCWD, path, mode, dev)
}

/// mknodat(2).
pub fn mknodat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, mode: u32, dev: u32) -> Result<()> {
    const S_IFMT: u32 = 0o170_000;
    let kind = match (mode & S_IFMT, FileType::from_mode(mode)) {
        (0, _) => FileType::Regular,
        (_, Some(FileType::Directory)) => return Err(Errno::EPERM),
        (_, None | Some(FileType::Symlink)) => return Err(Errno::EINVAL),
        (_, Some(kind)) => kind,
    };
    let device = matches!(kind, FileType::CharDevice | FileType::BlockDevice);
    let path = cx.read_path(path)?;
    let rdev = if device { u64::from(dev) } else { 0 };
    let node = Node { kind, perm: mode & 0o7777, rdev, target: b"" };
    entries::make(&cx.task, dirfd, &path, &node).map(drop)
}
