//! From lower to upper: attributes when any of them changes, bytes when a file is opened for writing.

use std::{os::fd::AsFd, sync::Arc};

use linux_abi::{Errno, Result};

use super::{Lower, OverlayInode};
use crate::fs::{
    inode::{FileType, Inode, NewNode},
    types::tmpfs::TmpInode,
};

/// How much is copied at a time. A step of nothing but zeros becomes a hole.
const STEP: usize = 64 << 10;

impl OverlayInode {
    /// The upper inode, for changing attributes.
    ///
    /// # Errors
    /// `ENOSPC`, the lower filesystem's.
    pub(super) fn copy_up_attributes(&self) -> Result<Arc<TmpInode>> {
        if let Some(upper) = &self.upper.read().inode {
            return Ok(Arc::clone(upper));
        }
        let _copying = self.copying.lock();
        self.attributes_up()
    }

    /// The upper inode, for writing; of the lower bytes those below `keep` are needed.
    ///
    /// # Errors
    /// As [`OverlayInode::copy_up_attributes`].
    pub(super) fn copy_up_data(&self, keep: u64) -> Result<Arc<TmpInode>> {
        if let Some(upper) = self.upper_data() {
            return Ok(upper);
        }
        let _copying = self.copying.lock();
        let upper = self.attributes_up()?;
        if self.upper.read().has_data {
            return Ok(upper);
        }
        let lower = self.lower().ok_or(Errno::EIO)?;
        copy_bytes(&**lower, &upper, keep)?;
        self.upper.write().has_data = true;
        Ok(upper)
    }

    /// The rest of [`OverlayInode::copy_up_attributes`], with `copying` held.
    fn attributes_up(&self) -> Result<Arc<TmpInode>> {
        if let Some(upper) = &self.upper.read().inode {
            return Ok(Arc::clone(upper));
        }
        let lower = self.lower().ok_or(Errno::EIO)?;
        let mut attr = lower.attr()?;
        let target = if attr.kind == FileType::Symlink { lower.target()? } else { Vec::new() };
        let node = NewNode {
            kind: attr.kind,
            perm: attr.perm,
            uid: attr.uid,
            gid: attr.gid,
            rdev: attr.rdev,
            target: &target,
        };
        let upper = self.upper_fs.unnamed_file(&node, false)?;
        for name in lower.xattr_names().unwrap_or_default() {
            match lower.xattr(&name).and_then(|value| upper.set_xattr(&name, Some(&value), 0)) {
                // What tmpfs has no place for is of no use here.
                Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENODATA | Errno::EPERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        let mut state = self.upper.write();
        attr.nlink = attr.nlink.saturating_sub(std::mem::take(&mut state.lost_links));
        upper.adopt(&attr);
        state.inode = Some(Arc::clone(&upper));
        state.has_data = attr.kind != FileType::Regular;
        drop(state);
        self.pin();
        Ok(upper)
    }
}

fn copy_bytes(lower: &dyn Lower, upper: &TmpInode, keep: u64) -> Result<()> {
    let size = lower.attr()?.size.min(keep);
    let mut at = 0;
    if size > 0 {
        let file = lower.host_file()?;
        let mut buffer = vec![0; STEP];
        while at < size {
            let want = usize::try_from(size - at).unwrap_or(STEP).min(STEP);
            let space = buffer.get_mut(..want).ok_or(Errno::EIO)?;
            let from = i64::try_from(at).map_err(|_| Errno::EFBIG)?;
            let done = nix::sys::uio::pread(file.as_fd(), space, from)
                .map_err(|error| Errno::from_raw(error as i32))?;
            let bytes = space.get(..done).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            if bytes.iter().any(|&byte| byte != 0) {
                upper.write_at(at, bytes)?;
            }
            at += done as u64;
        }
    }
    upper.resize(size)
}
