//! Who may do what to a file: permission bits and the capabilities that override them (credentials(7), capabilities(7),
//! path_resolution(7); `fs/namei.c`, `fs/attr.c`).

use linux_abi::{
    Errno, Result,
    fcntl::{S_ISGID, S_ISUID, S_ISVTX},
};

use super::{
    inode::{Attr, FileType, NewNode, Ownership, SetAttr},
    path::Path,
};
use crate::credentials::{Caps, Credentials};

bitflags::bitflags! {
    /// What is asked for (`MAY_*`; the values are those of access(2)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        const EXEC = 1;
        const WRITE = 2;
        const READ = 4;
    }
}

impl Access {
    /// What the access mode of open(2) needs.
    pub fn of_open(flags: u32) -> Access {
        match flags & linux_abi::fcntl::O_ACCMODE {
            linux_abi::fcntl::O_RDONLY => Access::READ,
            linux_abi::fcntl::O_WRONLY => Access::WRITE,
            _ => Access::READ | Access::WRITE,
        }
    }
}

/// Whether `creds` may access an inode with these attributes (`generic_permission`).
///
/// # Errors
/// `EACCES`.
pub fn check(creds: &Credentials, attr: &Attr, want: Access) -> Result<()> {
    may(creds, &attr.ownership(), want)
}

/// As [`check`].
///
/// # Errors
/// `EACCES`.
pub fn may(creds: &Credentials, attr: &Ownership, want: Access) -> Result<()> {
    let class = if creds.fsuid == attr.uid {
        6
    } else if creds.in_group(attr.gid) {
        3
    } else {
        0
    };
    if (attr.perm >> class) & 7 & want.bits() == want.bits() {
        return Ok(());
    }
    let reads_only = match attr.kind {
        FileType::Directory => !want.contains(Access::WRITE),
        _ => want == Access::READ,
    };
    if reads_only && creds.capable(Caps::DAC_READ_SEARCH) {
        return Ok(());
    }
    let executable = attr.kind == FileType::Directory || attr.perm & 0o111 != 0;
    if (executable || !want.contains(Access::EXEC)) && creds.capable(Caps::DAC_OVERRIDE) {
        return Ok(());
    }
    Err(Errno::EACCES)
}

/// As [`check`], for a place.
///
/// # Errors
/// `EACCES`; those of a remote filesystem.
pub fn check_path(creds: &Credentials, path: &Path, want: Access) -> Result<()> {
    may(creds, &path.inode().ownership()?, want)
}

/// Whether `creds` own the inode or may act as if they did (`inode_owner_or_capable`).
pub fn is_owner(creds: &Credentials, attr: &Attr) -> bool {
    creds.fsuid == attr.uid || creds.capable(Caps::FOWNER)
}

/// Whether an entry may be made in `dir`.
///
/// # Errors
/// `ENOENT` in a removed directory, `EACCES`.
pub fn may_create(creds: &Credentials, dir: &Path) -> Result<()> {
    if dir.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    check_path(creds, dir, Access::WRITE | Access::EXEC)
}

/// Whether the entry for `victim` may be removed from `dir`; `directory`: by rmdir.
///
/// # Errors
/// `EACCES`; `EPERM` in a sticky directory; `ENOTDIR`, `EISDIR`.
pub fn may_delete(creds: &Credentials, dir: &Path, victim: &Attr, directory: bool) -> Result<()> {
    let attr = dir.inode().access_attr()?;
    check(creds, &attr, Access::WRITE | Access::EXEC)?;
    let others_sticky = attr.perm & S_ISVTX != 0 && creds.fsuid != victim.uid && creds.fsuid != attr.uid;
    if others_sticky && !creds.capable(Caps::FOWNER) {
        return Err(Errno::EPERM);
    }
    match (directory, victim.kind == FileType::Directory) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}

/// Owner and mode of a node to be made in a directory (`inode_init_owner`): setgid directories pass on their group.
pub fn new_node<'a>(
    creds: &Credentials,
    dir: &Attr,
    kind: FileType,
    perm: u32,
    rdev: u64,
    target: &'a [u8],
) -> NewNode<'a> {
    let mut node = NewNode { kind, perm, uid: creds.fsuid, gid: creds.fsgid, rdev, target };
    if dir.perm & S_ISGID != 0 {
        node.gid = dir.gid;
        let group_executable = S_ISGID | 0o010;
        if kind == FileType::Directory {
            node.perm |= S_ISGID;
        } else if perm & group_executable == group_executable
            && !creds.in_group(dir.gid)
            && !creds.capable(Caps::FSETID)
        {
            node.perm &= !S_ISGID;
        }
    }
    node
}

/// Checks a chmod to `perm` and gives the bits to set.
///
/// # Errors
/// `EPERM`.
pub fn chmod(creds: &Credentials, attr: &Attr, perm: u32) -> Result<SetAttr> {
    if !is_owner(creds, attr) {
        return Err(Errno::EPERM);
    }
    let mut perm = perm & 0o7777;
    if !creds.in_group(attr.gid) && !creds.capable(Caps::FSETID) {
        perm &= !S_ISGID;
    }
    Ok(SetAttr { perm: Some(perm), ..SetAttr::default() })
}

/// Checks a chown and gives the changes, the loss of setuid bits included.
///
/// # Errors
/// `EPERM`.
pub fn chown(creds: &Credentials, attr: &Attr, uid: Option<u32>, gid: Option<u32>) -> Result<SetAttr> {
    let owner = creds.fsuid == attr.uid;
    let uid_ok = uid.is_none_or(|uid| owner && uid == attr.uid);
    let gid_ok = gid.is_none_or(|gid| owner && (gid == attr.gid || creds.in_group(gid)));
    let allowed = uid_ok && gid_ok;
    if !allowed && !creds.capable(Caps::CHOWN) {
        return Err(Errno::EPERM);
    }
    let mut change = SetAttr { uid, gid, ..SetAttr::default() };
    if attr.kind != FileType::Directory {
        let mut perm = attr.perm & !S_ISUID;
        let shared = creds.in_group(attr.gid) || creds.capable(Caps::FSETID);
        if perm & S_ISGID != 0 && (perm & 0o010 != 0 || !shared) {
            perm &= !S_ISGID;
        }
        change.perm = (perm != attr.perm).then_some(perm);
    }
    Ok(change)
}

/// The permission bits left after someone wrote to the file, if they change (`file_remove_privs`).
pub fn after_write(creds: &Credentials, attr: &Attr) -> Option<u32> {
    if attr.perm & (S_ISUID | S_ISGID) == 0 || attr.kind != FileType::Regular || creds.capable(Caps::FSETID) {
        return None;
    }
    let mut perm = attr.perm & !S_ISUID;
    if perm & 0o010 != 0 || !creds.in_group(attr.gid) {
        perm &= !S_ISGID;
    }
    (perm != attr.perm).then_some(perm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::inode::FileTime;

    fn attr(kind: FileType, perm: u32, uid: u32, gid: u32) -> Attr {
        let time = FileTime::default();
        Attr {
            kind,
            perm,
            ino: 1,
            dev: 1,
            rdev: 0,
            nlink: 1,
            uid,
            gid,
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
        }
    }

    #[test]
    fn the_first_matching_class_decides() {
        let file = attr(FileType::Regular, 0o077, 1, 2);
        let owner = Credentials::user(1, 2, &[]);
        assert_eq!(check(&owner, &file, Access::READ), Err(Errno::EACCES));
        assert_eq!(check(&Credentials::user(9, 9, &[2]), &file, Access::READ | Access::WRITE), Ok(()));
        let mut root = Credentials::user(0, 0, &[]);
        root.effective = Caps::DAC_OVERRIDE;
        assert_eq!(check(&root, &attr(FileType::Regular, 0, 1, 1), Access::EXEC), Err(Errno::EACCES));
        assert_eq!(check(&root, &attr(FileType::Directory, 0, 1, 1), Access::EXEC), Ok(()));
        root.effective = Caps::DAC_READ_SEARCH;
        assert_eq!(check(&root, &attr(FileType::Directory, 0, 1, 1), Access::READ | Access::EXEC), Ok(()));
        assert_eq!(check(&root, &attr(FileType::Regular, 0, 1, 1), Access::WRITE), Err(Errno::EACCES));
    }

    #[test]
    fn chown_strips_setuid_and_needs_the_group() {
        let owner = Credentials::user(1, 2, &[3]);
        let file = attr(FileType::Regular, 0o6755, 1, 2);
        assert_eq!(chown(&owner, &file, None, Some(3)).unwrap().perm, Some(0o755));
        assert_eq!(chown(&owner, &file, None, Some(4)).unwrap_err(), Errno::EPERM);
        assert_eq!(chown(&owner, &file, Some(5), None).unwrap_err(), Errno::EPERM);
        // Without group execution, setgid once meant mandatory locking: it stays.
        let locked = attr(FileType::Regular, 0o2644, 1, 2);
        assert_eq!(chown(&owner, &locked, None, Some(3)).unwrap().perm, None);
    }
}
