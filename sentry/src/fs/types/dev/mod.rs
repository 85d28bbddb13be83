//! /dev: a tmpfs with the devices every program expects.
//!
//! * `memory.rs`: null, zero, full, random, urandom.
//! * Terminals (`tty`, `ptmx`, `console`) are in `fs/types/tty/`.

mod memory;

use std::sync::Arc;

use linux_abi::{Result, stat::makedev};

use super::{
    tmpfs::{TmpFs, TmpOptions},
    tty,
};
use crate::{
    fs::{
        device::Devices,
        inode::{FileSystem, FileType, Inode, NewNode},
    },
    kernel::Kernel,
};

/// Most bytes of a /dev (it is a tmpfs, and /dev/shm may be mounted elsewhere).
const SIZE: u64 = 64 << 20;

/// Makes every driver known.
pub fn register(devices: &Devices) {
    memory::register(devices);
    tty::register(devices);
}

/// A /dev with its nodes and links.
///
/// # Errors
/// `ENOSPC`: cannot happen with the size it has.
pub fn new(kernel: &Arc<Kernel>, dev: u64) -> Result<Arc<dyn FileSystem>> {
    let options = TmpOptions { mode: 0o755, ..TmpOptions::with_size(SIZE.min(kernel.host.memory)) };
    let fs = TmpFs::new(dev, &options).sharing(&kernel.file_memory);
    let root: Arc<dyn Inode> = fs.root_inode();
    // The tree is kept by its mount; until there is one, by the filesystem's own first reference.
    let node = |kind, perm, rdev, target| NewNode { kind, perm, uid: 0, gid: 0, rdev, target };
    for (name, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        root.create(name.as_bytes(), &node(FileType::CharDevice, 0o666, makedev(major, minor), b""))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        root.create(name.as_bytes(), &node(FileType::Symlink, 0o777, 0, target.as_bytes()))?;
    }
    for (name, perm) in [("pts", 0o755), ("shm", 0o1777), ("mqueue", 0o1777)] {
        root.create(name.as_bytes(), &node(FileType::Directory, perm, 0, b""))?;
    }
    Ok(Arc::new(Populated { fs, _root: root }))
}

/// A tmpfs that keeps its first tree although nothing is mounted yet.
struct Populated {
    fs: Arc<TmpFs>,
    _root: Arc<dyn Inode>,
}

impl FileSystem for Populated {
    fn name(&self) -> &'static str {
        "tmpfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.fs.root_inode()
    }

    fn dev(&self) -> u64 {
        self.fs.dev()
    }

    fn statfs(&self) -> Result<crate::fs::inode::StatFs> {
        self.fs.statfs()
    }

    fn options(&self) -> String {
        self.fs.options()
    }
}
