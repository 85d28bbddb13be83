//! utime(2), utimes(2), futimesat(2), utimensat(2).

use linux_abi::{Errno, Result, UserAddr, fcntl::AT_FDCWD};

use super::target::Target;
use crate::{
    fs::{
        inode::{FileTime, SetAttr},
        permission::{self, Access},
        walk::Lookup,
    },
    task::{ThreadCx, usermem::UserMemory},
};

use linux_abi::stat::{UTIME_NOW, UTIME_OMIT};

/// What becomes of one of the times.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Now,
    Omit,
    At(FileTime),
}

/// utime(2).
pub fn utime(cx: &mut ThreadCx, path: UserAddr, times: UserAddr) -> Result<()> {
    let times = if times.is_null() {
        [When::Now; 2]
    } else {
        let [atime, mtime]: [i64; 2] = cx.read_obj(times)?;
        [atime, mtime].map(|sec| When::At(FileTime { sec, nsec: 0 }))
    };
    let target = Target::at(cx, AT_FDCWD, path, Lookup::FOLLOW)?;
    change(cx, &target, times)
}

/// utimes(2).
pub fn utimes(cx: &mut ThreadCx, path: UserAddr, times: UserAddr) -> Result<()> {
    futimesat(cx, AT_FDCWD, path, times)
}

/// futimesat(2).
pub fn futimesat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, times: UserAddr) -> Result<()> {
    let times = if times.is_null() {
        [When::Now; 2]
    } else {
        let [atime, amicro, mtime, mmicro]: [i64; 4] = cx.read_obj(times)?;
        let at = |sec, micro: i64| -> Result<When> {
            let micro = u32::try_from(micro).ok().filter(|&micro| micro < 1_000_000).ok_or(Errno::EINVAL)?;
            Ok(When::At(FileTime { sec, nsec: micro * 1000 }))
        };
        [at(atime, amicro)?, at(mtime, mmicro)?]
    };
    let target =
        if path.is_null() { Target::of_fd(cx, dirfd)? } else { Target::at(cx, dirfd, path, Lookup::FOLLOW)? };
    change(cx, &target, times)
}

/// utimensat(2).
pub fn utimensat(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, times: UserAddr, flags: u32) -> Result<()> {
    let times = if times.is_null() {
        [When::Now; 2]
    } else {
        let [asec, anano, msec, mnano]: [i64; 4] = cx.read_obj(times)?;
        let at = |sec, nano: i64| -> Result<When> {
            match nano {
                UTIME_NOW => Ok(When::Now),
                UTIME_OMIT => Ok(When::Omit),
                nano => {
                    let nsec = u32::try_from(nano).ok().filter(|&nsec| nsec < 1_000_000_000);
                    Ok(When::At(FileTime { sec, nsec: nsec.ok_or(Errno::EINVAL)? }))
                }
            }
        };
        [at(asec, anano)?, at(msec, mnano)?]
    };
    if times == [When::Omit; 2] {
        return Ok(());
    }
    let target = if path.is_null() && dirfd != AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        Target::of_fd(cx, dirfd)?
    } else {
        Target::with_flags(cx, dirfd, path, flags)?
    };
    change(cx, &target, times)
}

fn change(cx: &ThreadCx, target: &Target, [atime, mtime]: [When; 2]) -> Result<()> {
    target.want_write()?;
    let creds = cx.task.creds();
    let attr = target.inode.attr()?;
    if (atime, mtime) == (When::Now, When::Now) {
        // Whoever may write may say that it did.
        if !permission::is_owner(&creds, &attr) {
            permission::check(&creds, &attr, Access::WRITE)?;
        }
    } else if !permission::is_owner(&creds, &attr) {
        return Err(Errno::EPERM);
    }
    let now = FileTime::now();
    let time = |when: When, old: FileTime| match when {
        When::Now => now,
        When::Omit => old,
        When::At(time) => time,
    };
    // Both are set, so that the change shows in ctime whichever was asked for.
    target.set_attr(&SetAttr {
        atime: Some(time(atime, attr.atime)),
        mtime: Some(time(mtime, attr.mtime)),
        ..SetAttr::default()
    })?;
    target.announce_change(cx);
    Ok(())
}
