//! chmod(2), chown(2).

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{AT_FDCWD, AT_SYMLINK_NOFOLLOW},
};

use super::target::Target;
use crate::{
    fs::{inode::FileType, permission, walk::Lookup},
    task::ThreadCx,
};

/// chmod(2).
pub fn chmod(cx: &mut ThreadCx, path: UserAddr, mode: u32) -> Result<()> {
    fchmodat(cx, AT_FDCWD, path, mode)
}

/// fchmod(2).
pub fn fchmod(cx: &mut ThreadCx, fd: i32, mode: u32) -> Result<()> {
    let target = Target::of_fd(cx, fd)?;
    change_mode(cx, &target, mode)
}

/// fchmodat(2), the system call: without flags.
pub fn fchmodat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, mode: u32) -> Result<()> {
    let target = Target::at(cx, dirfd, path, Lookup::FOLLOW)?;
    change_mode(cx, &target, mode)
}

/// fchmodat(2) as the manual has it.
pub fn fchmodat2(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, mode: u32, flags: u32) -> Result<()> {
    let target = Target::with_flags(cx, dirfd, path, flags)?;
    if flags & AT_SYMLINK_NOFOLLOW != 0 && target.inode.kind() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    change_mode(cx, &target, mode)
}

fn change_mode(cx: &ThreadCx, target: &Target, mode: u32) -> Result<()> {
    target.want_write()?;
    let change = permission::chmod(&cx.task.creds(), &target.inode.access_attr()?, mode)?;
    target.set_attr(&change)?;
    target.announce_change(cx);
    Ok(())
}

/// chown(2).
pub fn chown(cx: &mut ThreadCx, path: UserAddr, uid: u32, gid: u32) -> Result<()> {
    fchownat(cx, AT_FDCWD, path, uid, gid, 0)
}

/// lchown(2).
pub fn lchown(cx: &mut ThreadCx, path: UserAddr, uid: u32, gid: u32) -> Result<()> {
    fchownat(cx, AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW)
}

/// fchown(2).
pub fn fchown(cx: &mut ThreadCx, fd: i32, uid: u32, gid: u32) -> Result<()> {
    let target = Target::of_fd(cx, fd)?;
    change_owner(cx, &target, uid, gid)
}

/// fchownat(2).
pub fn fchownat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, uid: u32, gid: u32, flags: u32) -> Result<()> {
    let target = Target::with_flags(cx, dirfd, path, flags)?;
    change_owner(cx, &target, uid, gid)
}

/// `-1` leaves an id alone.
fn change_owner(cx: &ThreadCx, target: &Target, uid: u32, gid: u32) -> Result<()> {
    target.want_write()?;
    let id = |id: u32| (id != u32::MAX).then_some(id);
    let change = permission::chown(&cx.task.creds(), &target.inode.access_attr()?, id(uid), id(gid))?;
    target.set_attr(&change)?;
    target.announce_change(cx);
    Ok(())
}
