//! What an overlay needs of the tree below it. The tree is not changed by anybody.

use std::{os::fd::OwnedFd, sync::Arc};

use linux_abi::Result;

use crate::fs::{
    inode::{FileType, Inode},
    types::{gofer::GoferInode, tmpfs::TmpInode},
};

/// An inode that can lie under an overlay.
pub trait Lower: Inode {
    /// The entry `name` of a directory.
    ///
    /// # Errors
    /// `ENOENT`.
    fn find(&self, name: &[u8]) -> Result<Arc<dyn Lower>>;

    /// As [`Lower::find`], for an entry that is opened for reading next.
    ///
    /// # Errors
    /// As [`Lower::find`].
    fn find_to_open(&self, name: &[u8]) -> Result<Arc<dyn Lower>> {
        self.find(name)
    }

    /// Gives every entry of a directory after the first `skip` to `emit` (name, inode number, kind), always in the same order,
    /// until it returns false.
    ///
    /// # Errors
    /// `ENOTDIR`.
    fn list(&self, skip: usize, emit: &mut dyn FnMut(&[u8], u64, FileType) -> bool) -> Result<()>;

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL`.
    fn target(&self) -> Result<Vec<u8>>;

    /// A readable host file with the bytes of a regular file.
    ///
    /// # Errors
    /// Those of opening it.
    fn host_file(&self) -> Result<Arc<OwnedFd>>;
}

impl Lower for GoferInode {
    fn find(&self, name: &[u8]) -> Result<Arc<dyn Lower>> {
        let found = GoferInode::find(self, name)?;
        Ok(found)
    }

    fn find_to_open(&self, name: &[u8]) -> Result<Arc<dyn Lower>> {
        let found = GoferInode::find_to_open(self, name)?;
        Ok(found)
    }

    fn list(&self, skip: usize, emit: &mut dyn FnMut(&[u8], u64, FileType) -> bool) -> Result<()> {
        GoferInode::list(self, skip, emit)
    }

    fn target(&self) -> Result<Vec<u8>> {
        GoferInode::target(self)
    }

    fn host_file(&self) -> Result<Arc<OwnedFd>> {
        GoferInode::host_file(self)
    }
}

impl Lower for TmpInode {
    fn find(&self, name: &[u8]) -> Result<Arc<dyn Lower>> {
        let found = TmpInode::find(self, name)?;
        Ok(found)
    }

    fn list(&self, skip: usize, emit: &mut dyn FnMut(&[u8], u64, FileType) -> bool) -> Result<()> {
        TmpInode::list(self, skip, emit)
    }

    fn target(&self) -> Result<Vec<u8>> {
        TmpInode::target(self)
    }

    fn host_file(&self) -> Result<Arc<OwnedFd>> {
        TmpInode::host_file(self)
    }
}
