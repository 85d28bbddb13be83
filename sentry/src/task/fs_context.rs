//! A task's view of the file tree: root, working directory, umask (`struct fs_struct`).

use std::sync::Arc;

use parking_lot::RwLock;

use crate::fs::path::Path;

/// Shared by the threads of a process (or by `CLONE_FS`).
pub struct FsContext {
    state: RwLock<State>,
}

#[derive(Clone)]
struct State {
    root: Path,
    cwd: Path,
    umask: u32,
}

impl FsContext {
    /// A new view.
    pub fn new(root: Path, cwd: Path, umask: u32) -> Arc<FsContext> {
        Arc::new(FsContext { state: RwLock::new(State { root, cwd, umask }) })
    }

    /// A copy (fork).
    pub fn duplicate(&self) -> Arc<FsContext> {
        Arc::new(FsContext { state: RwLock::new(self.state.read().clone()) })
    }

    /// The root directory.
    pub fn root(&self) -> Path {
        self.state.read().root.clone()
    }

    /// The working directory.
    pub fn cwd(&self) -> Path {
        self.state.read().cwd.clone()
    }

    /// Changes the root (chroot).
    pub fn set_root(&self, root: Path) {
        self.state.write().root = root;
    }

    /// Changes the working directory.
    pub fn set_cwd(&self, cwd: Path) {
        self.state.write().cwd = cwd;
    }

    /// The file mode creation mask.
    pub fn umask(&self) -> u32 {
        self.state.read().umask
    }

    /// Replaces the mask, returning the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        std::mem::replace(&mut self.state.write().umask, umask & 0o777)
    }
}
