//! memfd_create(2), and the seals of fcntl(2).

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{
        F_SEAL_EXEC, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE, O_LARGEFILE, O_RDWR,
    },
};

use crate::{
    fs::{
        dentry::Dentry,
        file::{File, WriteAccess},
        inode::{FileType, Inode, NewNode},
        mount,
        types::tmpfs::{TmpFile, TmpInode},
    },
    task::{ThreadCx, usermem::UserMemory},
};

use linux_abi::mman::{MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC, MFD_NOEXEC_SEAL};

/// Longest name, with its NUL.
const NAME_MAX: usize = 250;

/// memfd_create(2).
pub fn memfd_create(cx: &mut ThreadCx, name: UserAddr, flags: u32) -> Result<i32> {
    if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) != 0
        || flags & (MFD_NOEXEC_SEAL | MFD_EXEC) == MFD_NOEXEC_SEAL | MFD_EXEC
    {
        return Err(Errno::EINVAL);
    }
    let name = cx.read_cstring(name, NAME_MAX).map_err(|errno| match errno {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        other => other,
    })?;
    let creds = cx.task.creds();
    let no_exec = flags & MFD_NOEXEC_SEAL != 0;
    let node = NewNode {
        kind: FileType::Regular,
        perm: if no_exec { 0o666 } else { 0o777 },
        uid: creds.fsuid,
        gid: creds.fsgid,
        rdev: 0,
        target: b"",
    };
    let inode = cx.task.kernel.shmem.unnamed_file(&node, no_exec || flags & MFD_ALLOW_SEALING != 0)?;
    inode.forget_links();
    if no_exec {
        inode.add_seals(F_SEAL_EXEC)?;
    }
    let place = mount::nameless(
        Inode::filesystem(&*inode),
        Dentry::unattached(&[b"/memfd:", &name[..]].concat(), inode.clone()),
    );
    let dynamic = place.inode().clone();
    let file = File::opened_with(
        Box::new(TmpFile::new(inode)),
        O_RDWR | O_LARGEFILE,
        place,
        WriteAccess::writer(&dynamic)?,
    );
    cx.task.install(file, flags & MFD_CLOEXEC != 0)
}

fn sealed(file: &File) -> Result<&TmpInode> {
    let inode = file.downcast::<TmpFile>().ok_or(Errno::EINVAL)?.inode();
    Ok(inode)
}

/// `F_GET_SEALS`.
///
/// # Errors
/// `EINVAL` for files that have none.
pub(super) fn get_seals(file: &File) -> Result<u64> {
    sealed(file)?.seals().map(u64::from)
}

/// `F_ADD_SEALS`.
///
/// # Errors
/// `EPERM` for files that are not writable or sealed for good, `EBUSY` if mapped writable, `EINVAL`.
pub(super) fn add_seals(file: &File, seals: u32) -> Result<u64> {
    const KNOWN: u32 = linux_abi::fcntl::F_SEAL_SEAL
        | F_SEAL_SHRINK
        | F_SEAL_GROW
        | F_SEAL_WRITE
        | F_SEAL_FUTURE_WRITE
        | F_SEAL_EXEC;
    if !file.writable() {
        return Err(Errno::EPERM);
    }
    if seals & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = sealed(file)?;
    let mut seals = seals;
    // What can no longer change its executability can no longer change either, if it is executable.
    if seals & F_SEAL_EXEC != 0 && inode.attr()?.perm & 0o111 != 0 {
        seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    }
    inode.add_seals(seals).map(|()| 0)
}
