//! chdir(2), chroot(2), getcwd(2), umask(2).

use linux_abi::{Errno, Result, UserAddr, fcntl::AT_FDCWD};

use crate::{
    credentials::Caps,
    fs::{
        describe::describe,
        inode::FileType,
        permission::{Access, check_path},
        walk::{Lookup, resolve},
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// chdir(2).
pub fn chdir(cx: &mut ThreadCx, path: UserAddr) -> Result<()> {
    let path = cx.read_path(path)?;
    let place = resolve(&cx.task, AT_FDCWD, &path, Lookup::FOLLOW | Lookup::DIRECTORY)?;
    check_path(&cx.task.creds(), &place, Access::EXEC)?;
    cx.task.fs().set_cwd(place);
    Ok(())
}

/// fchdir(2).
pub fn fchdir(cx: &mut ThreadCx, fd: i32) -> Result<()> {
    let file = cx.task.file_or_path(fd)?;
    let place =
        file.path().filter(|path| path.inode().kind() == FileType::Directory).ok_or(Errno::ENOTDIR)?;
    check_path(&cx.task.creds(), place, Access::EXEC)?;
    cx.task.fs().set_cwd(place.clone());
    Ok(())
}

/// chroot(2).
pub fn chroot(cx: &mut ThreadCx, path: UserAddr) -> Result<()> {
    let path = cx.read_path(path)?;
    let place = resolve(&cx.task, AT_FDCWD, &path, Lookup::FOLLOW | Lookup::DIRECTORY)?;
    check_path(&cx.task.creds(), &place, Access::EXEC)?;
    if !cx.task.capable(Caps::SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    cx.task.fs().set_root(place);
    Ok(())
}

/// getcwd(2), the system call: it returns the length with the terminating NUL.
pub fn getcwd(cx: &mut ThreadCx, buf: UserAddr, size: usize) -> Result<usize> {
    const UNREACHABLE: &[u8] = b"(unreachable)";
    let fs = cx.task.fs();
    let description = describe(&fs.cwd(), &fs.root());
    if description.deleted {
        return Err(Errno::ENOENT);
    }
    let mut text = if description.reachable { Vec::new() } else { UNREACHABLE.to_vec() };
    text.extend_from_slice(&description.path);
    text.push(0);
    if text.len() > 4096 {
        return Err(Errno::ENAMETOOLONG);
    }
    if text.len() > size {
        return Err(Errno::ERANGE);
    }
    cx.write_bytes(buf, &text)?;
    Ok(text.len())
}

/// umask(2).
pub fn umask(cx: &mut ThreadCx, mask: u32) -> Result<u32> {
    Ok(cx.task.fs().set_umask(mask))
}
