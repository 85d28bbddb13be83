//! Inodes of a tmpfs as layers of an overlay: without names as its upper inodes, in tests whole trees as its lower ones.

use std::sync::Arc;

use linux_abi::{Errno, Result};

use super::inode::{Body, TmpInode};
use crate::fs::inode::{Attr, FileTime, FileType};

impl TmpInode {
    /// Sets the number of links.
    pub(in crate::fs::types) fn set_links(&self, nlink: u32) {
        self.meta.write().nlink = nlink;
    }

    /// Adds to the number of links.
    pub(in crate::fs::types) fn add_links(&self, by: i32) {
        let mut meta = self.meta.write();
        meta.nlink = meta.nlink.saturating_add_signed(by);
        meta.ctime = FileTime::now();
    }

    /// The entries changed.
    pub(in crate::fs::types) fn changed(&self) {
        let mut meta = self.meta.write();
        let now = FileTime::now();
        (meta.mtime, meta.ctime) = (now, now);
    }

    /// Takes over the links and times of the file it is a copy of.
    pub(in crate::fs::types) fn adopt(&self, attr: &Attr) {
        let mut meta = self.meta.write();
        meta.nlink = attr.nlink;
        (meta.atime, meta.mtime, meta.ctime) = (attr.atime, attr.mtime, attr.ctime);
        meta.btime = attr.btime.unwrap_or(attr.ctime);
    }

    /// Writes bytes without touching the times.
    pub(in crate::fs::types) fn write_at(&self, at: u64, data: &[u8]) -> Result<()> {
        let mut rest = data;
        let mut at = at;
        while !rest.is_empty() {
            let done = self.content()?.write().write(&self.fs.budget, at, rest)?;
            rest = rest.get(done..).unwrap_or_default();
            at = at.saturating_add(done as u64);
        }
        Ok(())
    }

    /// Sets the size without touching the times.
    pub(in crate::fs::types) fn resize(&self, size: u64) -> Result<()> {
        self.content()?.write().set_size(&self.fs.budget, size)
    }

    /// The entry `name`.
    pub(in crate::fs::types) fn find(&self, name: &[u8]) -> Result<Arc<TmpInode>> {
        self.directory()?.read().get(name).cloned().ok_or(Errno::ENOENT)
    }

    /// The entries after the first `skip`: name, inode number, kind.
    pub(in crate::fs::types) fn list(
        &self,
        skip: usize,
        emit: &mut dyn FnMut(&[u8], u64, FileType) -> bool,
    ) -> Result<()> {
        for (_, entry) in self.directory()?.read().after(0, usize::MAX).into_iter().skip(skip) {
            if !emit(&entry.name, entry.inode.ino, entry.inode.kind) {
                break;
            }
        }
        Ok(())
    }

    /// A symbolic link's target.
    pub(in crate::fs::types) fn target(&self) -> Result<Vec<u8>> {
        match &self.body {
            Body::Symlink(target) => Ok(target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// A host file with the bytes of a regular file.
    pub(in crate::fs::types) fn host_file(&self) -> Result<Arc<std::os::fd::OwnedFd>> {
        self.content()?.write().host_file(&self.fs.budget, false)
    }
}

#[cfg(test)]
impl TmpInode {
    pub(super) fn names_after(&self, position: u64) -> Vec<Vec<u8>> {
        let entries = self.directory().unwrap().read().after(position, 100);
        entries.into_iter().map(|(_, entry)| entry.name.to_vec()).collect()
    }

    pub(super) fn entry(&self, name: &[u8]) -> Option<Arc<dyn crate::fs::inode::Inode>> {
        let found = self.directory().unwrap().read().get(name).cloned()?;
        Some(found)
    }

    pub(super) fn drop_children(&self) {
        let children = self.directory().unwrap().write().take_all();
        children.iter().for_each(|_| self.fs.budget.give_inode());
    }
}
