//! Access times: when a read counts (`touch_atime`, `relatime_need_update` in `fs/inode.c`).

use linux_abi::fcntl::{MS_NOATIME, MS_NODIRATIME, MS_STRICTATIME, O_NOATIME};

use super::{
    file::File,
    inode::{FileTime, FileType, Inode, SetAttr},
};

/// A day, after which relatime updates in any case.
const DAY: i64 = 24 * 60 * 60;

/// Notes that `inode` was read through `file`.
pub fn accessed(file: &File, inode: &dyn Inode) {
    if !inode.keeps_access_time() {
        return;
    }
    let flags = file.path().map_or(0, |path| path.mount.flags());
    if file.flags() & O_NOATIME != 0
        || flags & MS_NOATIME != 0
        || (flags & MS_NODIRATIME != 0 && inode.kind() == FileType::Directory)
    {
        return;
    }
    let Ok([atime, mtime, ctime]) = inode.times() else { return };
    let now = FileTime::now();
    let recent = atime > mtime && atime > ctime && now.sec.saturating_sub(atime.sec) < DAY;
    if recent && flags & MS_STRICTATIME == 0 {
        return;
    }
    // A file that cannot keep the time has none.
    let _ = inode.set_attr(&SetAttr { atime: Some(now), ..SetAttr::default() });
}
