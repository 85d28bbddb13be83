//! access(2), faccessat(2).

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, MS_NOEXEC, MS_RDONLY},
};

use super::target::lookup_of;
use crate::{
    credentials::{Credentials, SECBIT_NO_SETUID_FIXUP},
    fs::{
        inode::FileType,
        permission::{Access, check},
        walk::resolve_as,
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// access(2).
pub fn access(cx: &mut ThreadCx, path: UserAddr, mode: u32) -> Result<()> {
    faccessat2(cx, AT_FDCWD, path, mode, 0)
}

/// faccessat(2), the system call: without flags.
pub fn faccessat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, mode: u32) -> Result<()> {
    faccessat2(cx, dirfd, path, mode, 0)
}

/// faccessat(2) as the manual has it.
pub fn faccessat2(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, mode: u32, flags: u32) -> Result<()> {
    if mode & !Access::all().bits() != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let creds = cx.task.creds();
    let creds = if flags & AT_EACCESS != 0 { creds } else { Arc::new(with_real_ids(&creds)) };
    let path = cx.read_path(path)?;
    let place = resolve_as(&cx.task, Arc::clone(&creds), dirfd, &path, lookup_of(flags))?;
    let want = Access::from_bits_truncate(mode);
    if want.is_empty() {
        return Ok(());
    }
    let kind = place.inode().kind();
    if want.contains(Access::EXEC) && kind == FileType::Regular && place.mount.has(MS_NOEXEC) {
        return Err(Errno::EACCES);
    }
    check(&creds, &place.inode().access_attr()?, want)?;
    let special =
        matches!(kind, FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket);
    if want.contains(Access::WRITE) && !special && place.mount.has(MS_RDONLY) {
        return Err(Errno::EROFS);
    }
    Ok(())
}

/// What the process could do if it gave up its effective ids (`access_override_creds`).
fn with_real_ids(creds: &Credentials) -> Credentials {
    let mut real = creds.clone();
    real.fsuid = creds.ruid;
    real.fsgid = creds.rgid;
    if creds.securebits & SECBIT_NO_SETUID_FIXUP == 0 {
        real.effective = if creds.ruid == 0 { creds.permitted } else { crate::credentials::Caps::empty() };
    }
    real
}
