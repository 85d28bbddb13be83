//! Puts a sandbox's file tree together before its first process runs: the mounts of a container's configuration.
//!
//! Mount points are resolved in the guest's own tree, symbolic links included, as its root user; those that do not exist are
//! made, as container runtimes do.

use std::sync::Arc;

use linux_abi::{
    Errno, Result,
    fcntl::{AT_FDCWD, MS_RDONLY},
};

use super::{
    inode::{FileType, NewNode},
    mount::Mount,
    path::Path,
    types::tmpfs::{TmpFs, TmpOptions},
    walk::{Lookup, resolve_as},
};
use crate::{
    credentials::{Caps, Credentials},
    task::Task,
};

/// A change to the tree and the place it is made at.
pub struct Attachment {
    /// Absolute path.
    pub at: Vec<u8>,
    /// What happens there.
    pub change: Change,
}

/// What happens to a place.
pub enum Change {
    /// Something is mounted there. If nothing is there, `kind` is made: a directory, or a file for something to cover.
    Mount {
        /// What.
        mount: Arc<Mount>,
        /// A directory or a regular file.
        kind: FileType,
    },
    /// What is there is hidden: a directory looks empty, a file like /dev/null.
    Mask,
    /// What is there cannot be changed any more.
    ReadOnly,
}

/// Makes a change. `task` has the root of the tree as its root.
///
/// # Errors
/// Those of path_resolution(7) and mkdir(2); `ENOTDIR` if a directory is to cover something else, or the other way around.
pub fn attach(task: &Task, Attachment { at, change }: &Attachment) -> Result<()> {
    let (place, mount) = match change {
        Change::Mount { mount, kind } => {
            let place = mount_point(task, at, *kind)?;
            if (place.inode().kind() == FileType::Directory) != (*kind == FileType::Directory) {
                return Err(Errno::ENOTDIR);
            }
            (place, Arc::clone(mount))
        }
        Change::Mask | Change::ReadOnly => {
            let place = match resolve(task, at) {
                // There is nothing to protect.
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
                other => other?,
            };
            let mount = match change {
                Change::Mask if place.inode().kind() == FileType::Directory => {
                    let options = TmpOptions { mode: 0o755, inodes: 1, ..TmpOptions::with_size(0) };
                    Mount::new(TmpFs::new(task.kernel.new_dev(), &options), b"tmpfs", MS_RDONLY)
                }
                Change::Mask => Mount::bind(&resolve(task, b"/dev/null")?),
                _ => {
                    let mount = Mount::bind(&place);
                    mount.set_flags(mount.flags() | MS_RDONLY);
                    mount
                }
            };
            (place, mount)
        }
    };
    place.mount.namespace().ok_or(Errno::EINVAL)?.attach(&place, &mount)
}

/// Follows a path as root.
fn resolve(task: &Task, path: &[u8]) -> Result<Path> {
    let root = Credentials { effective: Caps::all(), ..Credentials::user(0, 0, &[]) };
    resolve_as(task, Arc::new(root), AT_FDCWD, path, Lookup::FOLLOW)
}

/// The place at `path`, made if need be.
fn mount_point(task: &Task, path: &[u8], kind: FileType) -> Result<Path> {
    match resolve(task, path) {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    let mut dir = resolve(task, b"/")?;
    let mut end = 0;
    for name in path.split(|&byte| byte == b'/') {
        let start = end;
        end = start + name.len() + 1;
        if name.is_empty() {
            continue;
        }
        // `end` counts the slash after the name, which the last one does not have.
        let prefix = path.get(..end - 1).unwrap_or(path);
        dir = match resolve(task, prefix) {
            Err(Errno::ENOENT) => {
                let kind = if prefix.len() == path.len() { kind } else { FileType::Directory };
                let perm = if kind == FileType::Directory { 0o755 } else { 0o644 };
                let node = NewNode { kind, perm, uid: 0, gid: 0, rdev: 0, target: b"" };
                dir.inode().create(name, &node)?;
                resolve(task, prefix)?
            }
            other => other?,
        };
    }
    Ok(dir)
}
