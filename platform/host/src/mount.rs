//! Properties of mounts that nix has no call for.

use std::{
    ffi::{c_int, c_uint},
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// `struct mount_attr`, version 0 (include/uapi/linux/mount.h).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// `MOUNT_ATTR_RDONLY` (include/uapi/linux/mount.h).
const RDONLY: u64 = 1;

/// Makes the mount that `root` is the root of, and all mounts below it, read-only: mount_setattr(2).
///
/// # Errors
/// As mount_setattr(2): `ENOSYS` before Linux 5.12, `EPERM` without `CAP_SYS_ADMIN`.
pub fn set_read_only(root: BorrowedFd<'_>) -> io::Result<()> {
    let attr = MountAttr { set: RDONLY, clear: 0, propagation: 0, userns_fd: 0 };
    let flags = (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as c_uint;
    // SAFETY: the path is a terminated string and `attr` is as long as the size says; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            root.as_raw_fd() as c_int,
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    crate::check(result).map(drop)
}
