//! Puts together what a guest sees as its file tree: mounts for the sentry and, for those that are the host's files,
//! roots for the gofer.

use std::path::{Component, Path};

use crate::{
    control::{
        protocol::{Mount, MountFlags, MountKind},
        wire::Bytes,
    },
    error::{Context, Error, Result},
};

/// What happens to a guest's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// They stay in memory; the host's files do not change.
    ToMemory,
    /// They change the host's files.
    ToHost,
    /// There are none.
    Refused,
}

/// A guest's file tree, in the order of mounting.
#[derive(Debug, Default)]
pub struct Tree {
    /// For the sentry.
    pub mounts: Vec<Mount>,
    /// For the gofer.
    pub roots: Vec<gofer::Root>,
}

impl Tree {
    /// Mounts a directory or file of the host.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn host(
        &mut self,
        source: &Path,
        destination: &str,
        writes: Writes,
        flags: MountFlags,
    ) -> Result<()> {
        let metadata = source.metadata().context(source.display())?;
        let file = !metadata.is_dir();
        if writes == Writes::ToMemory && file {
            return Err(Error::new(format!("{}: a file cannot be under an overlay", source.display())));
        }
        let policy = gofer::Policy { read_only: writes != Writes::ToHost, ..gofer::Policy::default() };
        let root = gofer::Root::open(source, policy).context(source.display())?;
        let kind = MountKind::Gofer { root: self.roots.len(), overlay: writes == Writes::ToMemory, file };
        self.roots.push(root);
        let flags = MountFlags { read_only: flags.read_only || writes == Writes::Refused, ..flags };
        self.push(destination, kind, flags);
        Ok(())
    }

    /// Mounts something that is the sentry's.
    pub fn push(&mut self, destination: &str, kind: MountKind, flags: MountFlags) {
        self.mounts.push(Mount { destination: Bytes::from(destination), kind, flags });
    }

    /// What every Linux program expects to find.
    pub fn standard(&mut self) {
        let none = MountFlags::default();
        let inert = MountFlags { no_suid: true, no_dev: true, no_exec: true, ..none };
        self.push("/proc", MountKind::Proc, inert);
        self.push("/sys", MountKind::Sysfs, MountFlags { read_only: true, ..inert });
        self.push("/dev", MountKind::Dev, MountFlags { no_suid: true, ..none });
        self.push("/dev/pts", MountKind::Devpts, MountFlags { no_suid: true, no_exec: true, ..none });
        self.push("/dev/shm", MountKind::Tmpfs { size: None, mode: 0o1777, uid: 0, gid: 0 }, inert);
        self.push("/dev/mqueue", MountKind::Mqueue, inert);
    }
}

/// A path in the guest: absolute, without `.` and repeated or trailing slashes. `..` is refused, because what it means
/// depends on links that only the guest's tree knows.
///
/// # Errors
/// It is relative, or has `..` or a zero byte in it.
pub fn guest_path(path: &Path) -> Result<String> {
    let shown = path.display();
    let mut normal = String::new();
    let mut absolute = false;
    for component in path.components() {
        match component {
            Component::RootDir => absolute = true,
            Component::CurDir => {}
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| Error::new(format!("{shown} is not UTF-8")))?;
                normal.push('/');
                normal.push_str(name);
            }
            _ => return Err(Error::new(format!("{shown} has a \"..\" in it"))),
        }
    }
    if !absolute {
        return Err(Error::new(format!("{shown} is not an absolute path")));
    }
    if normal.contains('\0') {
        return Err(Error::new(format!("{shown} has a zero byte in it")));
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_paths() {
        let path = |text: &str| guest_path(Path::new(text)).map_err(|error| error.to_string());
        assert_eq!(path("/"), Ok("/".into()));
        assert_eq!(path("//a/./b//c/"), Ok("/a/b/c".into()));
        assert_eq!(path("a"), Err("a is not an absolute path".into()));
        assert_eq!(path("/a/../b"), Err("/a/../b has a \"..\" in it".into()));
        assert!(path("/a\0b").is_err());
    }
}
