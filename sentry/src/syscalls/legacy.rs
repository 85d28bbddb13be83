//! Calls of old that a few programs still make: ustat(2), sysfs(2), modify_ldt(2).

use linux_abi::{Errno, PAGE_SIZE, Result, UserAddr};

use crate::task::{ThreadCx, usermem::UserMemory};

/// ustat(2): how much is free on the mounted filesystem with this device number.
pub fn ustat(cx: &mut ThreadCx, dev: u32, at: UserAddr) -> Result<()> {
    let namespace = cx.task.fs().root().mount.namespace().ok_or(Errno::EINVAL)?;
    let mounts = namespace.list();
    let mount = mounts.iter().find(|mount| mount.fs.dev() == u64::from(dev)).ok_or(Errno::EINVAL)?;
    let stat = mount.fs.statfs()?;
    // `struct ustat`: an int, a long, and two names that nobody fills in.
    let mut bytes = [0_u8; 32];
    let (blocks, inodes) = bytes.split_at_mut(8);
    let free = i32::try_from(stat.blocks_free).unwrap_or(i32::MAX);
    for (to, from) in blocks.iter_mut().zip(free.to_ne_bytes()) {
        *to = from;
    }
    for (to, from) in inodes.iter_mut().zip(stat.files_free.to_ne_bytes()) {
        *to = from;
    }
    cx.write_bytes(at, &bytes)
}

/// sysfs(2), which is not about the filesystem of that name: the kinds of filesystems, by index.
pub fn sysfs(cx: &mut ThreadCx, option: i32, arg1: u64, arg2: u64) -> Result<u64> {
    let names = cx.task.kernel.filesystems.names();
    match option {
        1 => {
            let name = cx.read_path(UserAddr(arg1))?;
            let index = names.iter().position(|known| known.as_bytes() == name);
            index.map(|index| index as u64).ok_or(Errno::EINVAL)
        }
        2 => {
            let index = usize::try_from(arg1 & 0xffff_ffff).map_err(|_| Errno::EINVAL)?;
            let name = names.get(index).ok_or(Errno::EINVAL)?;
            cx.write_bytes(UserAddr(arg2), &[name.as_bytes(), b"\0"].concat())?;
            Ok(0)
        }
        3 => Ok(names.len() as u64),
        _ => Err(Errno::EINVAL),
    }
}

/// modify_ldt(2): there is no table to read, and none can be made. Its result is 32 bits wide, so on Linux, too, an errno is no
/// negative number to 64-bit programs.
pub fn modify_ldt(cx: &mut ThreadCx, function: i32, at: UserAddr, count: usize) -> Result<u64> {
    const DEFAULT_SIZE: usize = 128;
    const ENTRY_SIZE: usize = 16;
    let failed = |errno: Errno| u64::from((-errno.raw()).cast_unsigned());
    Ok(match function {
        0 => 0,
        2 => {
            let size = count.min(DEFAULT_SIZE);
            match cx.write_bytes(at, vec![0; size].get(..size).unwrap_or_default()) {
                Ok(()) => size as u64,
                Err(errno) => failed(errno),
            }
        }
        1 | 0x11 if count != ENTRY_SIZE => failed(Errno::EINVAL),
        _ => failed(Errno::ENOSYS),
    })
}

/// cachestat(2): what a file holds counts as cached.
pub fn cachestat(cx: &mut ThreadCx, fd: i32, range: UserAddr, at: UserAddr, flags: u32) -> Result<()> {
    let file = cx.task.file(fd)?;
    let [from, len]: [u64; 2] = cx.read_obj(range)?;
    let attr = file.inode().map(|inode| inode.attr()).transpose()?;
    if !file.writable()
        && let Some(attr) = &attr
    {
        let creds = cx.task.creds();
        let may_write = crate::fs::permission::check(&creds, attr, crate::fs::permission::Access::WRITE);
        if !crate::fs::permission::is_owner(&creds, attr) && may_write.is_err() {
            return Err(Errno::EPERM);
        }
    }
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let size = attr.map_or(0, |attr| attr.size);
    let end = if len == 0 { u64::MAX } else { from.saturating_add(len) };
    let (first, last) = (from / PAGE_SIZE, end.min(size).div_ceil(PAGE_SIZE));
    cx.write_obj(at, &[last.saturating_sub(first), 0, 0, 0, 0])
}
