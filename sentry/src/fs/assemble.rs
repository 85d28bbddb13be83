//! Puts a sandbox's file tree together before its first process runs: the mounts of a container's configuration.
//!
//! Mount points are resolved in the guest's own tree, symbolic links included, as its root user; those that do not exist are
//! made, as container runtimes do.

use std::sync::Arc;

use linux_abi::{Errno, Result, fcntl::AT_FDCWD};

use super::{
    inode::{FileType, NewNode},
    mount::Mount,
    path::Path,
    walk::{Lookup, resolve_as},
};
use crate::{
    credentials::{Caps, Credentials},
    task::Task,
};

/// A mount and the place it goes to.
pub struct Attachment {
    /// Absolute path.
    pub at: Vec<u8>,
    /// What is mounted.
    pub mount: Arc<Mount>,
    /// What is made if nothing is there: a directory, or a file for something to cover.
    pub kind: FileType,
}

/// Mounts one. `task` has the root of the tree as its root.
///
/// # Errors
/// Those of path_resolution(7) and mkdir(2); `ENOTDIR` if a directory is to cover something else, or the other way around.
pub fn attach(task: &Task, Attachment { at, mount, kind }: &Attachment) -> Result<()> {
    let place = mount_point(task, at, *kind)?;
    if (place.inode().kind() == FileType::Directory) != (*kind == FileType::Directory) {
        return Err(Errno::ENOTDIR);
    }
    place.mount.namespace().ok_or(Errno::EINVAL)?.attach(&place, mount)
}

/// The place at `path`, made if need be.
fn mount_point(task: &Task, path: &[u8], kind: FileType) -> Result<Path> {
    let root = Arc::new(Credentials { effective: Caps::all(), ..Credentials::user(0, 0, &[]) });
    let resolve = |path: &[u8]| resolve_as(task, Arc::clone(&root), AT_FDCWD, path, Lookup::FOLLOW);
    match resolve(path) {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    let mut dir = resolve(b"/")?;
    let mut end = 0;
    for name in path.split(|&byte| byte == b'/') {
        let start = end;
        end = start + name.len() + 1;
        if name.is_empty() {
            continue;
        }
        // `end` counts the slash after the name, which the last one does not have.
        let prefix = path.get(..end - 1).unwrap_or(path);
        dir = match resolve(prefix) {
            Err(Errno::ENOENT) => {
                let kind = if prefix.len() == path.len() { kind } else { FileType::Directory };
                let perm = if kind == FileType::Directory { 0o755 } else { 0o644 };
                let node = NewNode { kind, perm, uid: 0, gid: 0, rdev: 0, target: b"" };
                dir.inode().create(name, &node)?;
                resolve(prefix)?
            }
            other => other?,
        };
    }
    Ok(dir)
}
