//! What a descriptor or a path argument refers to.

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW},
};

use crate::{
    fs::{
        file::File,
        inode::{Inode, SetAttr},
        inotify_hook,
        path::Path,
        walk::{Lookup, resolve},
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// An inode, with the place it was found at if it has one.
pub(super) struct Target {
    pub(super) inode: Arc<dyn Inode>,
    pub(super) path: Option<Path>,
}

impl Target {
    /// What an open file is a view of.
    ///
    /// # Errors
    /// `EBADF` for files without an inode.
    pub(super) fn of_file(file: &File) -> Result<Target> {
        let inode = Arc::clone(file.inode().ok_or(Errno::EBADF)?);
        Ok(Target { inode, path: file.path().cloned() })
    }

    /// What descriptor `fd`, which must not be `O_PATH`, is a view of.
    ///
    /// # Errors
    /// `EBADF`.
    pub(super) fn of_fd(cx: &ThreadCx, fd: i32) -> Result<Target> {
        Target::of_file(&*cx.task.file(fd)?)
    }

    /// What the path at `path`, relative to `dirfd`, leads to.
    ///
    /// # Errors
    /// Those of path resolution.
    pub(super) fn at(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, lookup: Lookup) -> Result<Target> {
        let path = cx.read_path(path)?;
        let place = resolve(&cx.task, dirfd, &path, lookup)?;
        Ok(Target { inode: Arc::clone(place.inode()), path: Some(place) })
    }

    /// As [`Target::at`], with the `AT_*` flags of a call that follows symbolic links unless told not to.
    ///
    /// # Errors
    /// As [`Target::at`]; `EINVAL` for other flags.
    pub(super) fn with_flags(cx: &mut ThreadCx, dirfd: i32, path: UserAddr, flags: u32) -> Result<Target> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        Target::at(cx, dirfd, path, lookup_of(flags))
    }

    /// Applies a change of attributes.
    ///
    /// # Errors
    /// `EROFS`, the filesystem's.
    pub(super) fn set_attr(&self, change: &SetAttr) -> Result<()> {
        self.inode.set_attr(change)
    }

    /// Tells inotify of changed attributes.
    pub(super) fn announce_change(&self, cx: &ThreadCx) {
        if let Some(path) = &self.path {
            inotify_hook::attributes_changed(&cx.task.kernel.inotify, &path.dentry);
        }
    }

    /// Checks that the mount may be written to.
    ///
    /// # Errors
    /// `EROFS`.
    pub(super) fn want_write(&self) -> Result<()> {
        self.path.as_ref().map_or(Ok(()), |path| path.mount.want_write())
    }
}

/// `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH` as ways to look up.
pub(super) fn lookup_of(flags: u32) -> Lookup {
    let mut lookup = Lookup::empty();
    lookup.set(Lookup::FOLLOW, flags & AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(Lookup::EMPTY, flags & AT_EMPTY_PATH != 0);
    lookup
}
