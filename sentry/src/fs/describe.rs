//! How a place is written as a path: getcwd(2), /proc (`d_path` in the kernel).

use std::sync::Arc;

use super::path::Path;

/// A place in words.
pub struct Description {
    /// The path below the root, or up to where its mounts end.
    pub path: Vec<u8>,
    /// Whether it leads to the root it was asked for.
    pub reachable: bool,
    /// Whether the name has been removed.
    pub deleted: bool,
}

/// Describes `path` as seen from `root`.
pub fn describe(path: &Path, root: &Path) -> Description {
    let deleted = path.dentry.is_deleted();
    if deleted && path.dentry.parent().is_none() && !path.dentry.name().is_empty() {
        // In no directory: `pipe:[7]`, `/memfd:name`.
        return Description { path: path.dentry.name().into_vec(), reachable: true, deleted };
    }
    let mut names: Vec<Box<[u8]>> = Vec::new();
    let (mut mount, mut dentry) = (Arc::clone(&path.mount), Arc::clone(&path.dentry));
    let reachable = loop {
        if Arc::ptr_eq(&mount, &root.mount) && Arc::ptr_eq(&dentry, &root.dentry) {
            break true;
        }
        if Arc::ptr_eq(&dentry, &mount.root) {
            let Some(on) = mount.mountpoint() else { break false };
            (mount, dentry) = (on.mount, on.dentry);
            continue;
        }
        names.push(dentry.name());
        let Some(parent) = dentry.parent() else { break false };
        dentry = parent;
    };
    let mut text = Vec::new();
    for name in names.iter().rev() {
        text.push(b'/');
        text.extend_from_slice(name);
    }
    if text.is_empty() {
        text.push(b'/');
    }
    Description { path: text, reachable, deleted }
}

/// The path of `path` as /proc shows it to a process whose root is `root`: with ` (deleted)` behind removed names.
pub fn path_of(path: &Path, root: &Path) -> Vec<u8> {
    let description = describe(path, root);
    let mut text = description.path;
    if description.deleted && text.first() == Some(&b'/') {
        text.extend_from_slice(b" (deleted)");
    }
    text
}
