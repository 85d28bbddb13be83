//! Anonymous files (`memfd_create(2)`).

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use crate::check;

/// A new anonymous file of `len` bytes that can be sealed.
///
/// # Errors
/// The host's: `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn create(name: &CStr, len: u64) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string; the call has no other memory effects.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) };
    let fd = i32::try_from(check(fd)?).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let len = libc::off_t::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::ftruncate(fd.as_raw_fd(), len) }.into())?;
    Ok(fd)
}

/// Adds `seals` (`F_SEAL_*`).
///
/// # Errors
/// Those of `fcntl(2)`.
pub fn seal(file: BorrowedFd<'_>, seals: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }.into())?;
    Ok(())
}
