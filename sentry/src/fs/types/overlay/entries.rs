//! What is done to the entries of an overlay's directories. The VFS holds the directories' `write_lock`.

use std::sync::Arc;

use linux_abi::{
    Errno, Result,
    fcntl::{RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT},
};

use super::{Lower, OverlayInode, directory::Change, inode::answer};
use crate::fs::inode::{DirEntry, FileType, Inode, NewNode};

/// Where the positions of added names begin in a listing; below are those of the lower directory.
const ADDED: u64 = 1 << 62;
/// Added names taken out of a directory at a time while listing.
const LIST_STEP: usize = 64;

impl OverlayInode {
    /// The entry `name`.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, the lower filesystem's.
    pub fn find(&self, name: &[u8]) -> Result<Arc<OverlayInode>> {
        self.find_by(name, |lower| lower.find(name))
    }

    /// As [`OverlayInode::find`], for an entry that is opened for reading next.
    ///
    /// # Errors
    /// As [`OverlayInode::find`].
    pub(super) fn find_to_open(&self, name: &[u8]) -> Result<Arc<OverlayInode>> {
        self.find_by(name, |lower| lower.find_to_open(name))
    }

    fn find_by(
        &self,
        name: &[u8],
        find: impl FnOnce(&Arc<dyn Lower>) -> Result<Arc<dyn Lower>>,
    ) -> Result<Arc<OverlayInode>> {
        if self.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        if let Some(change) = self.changes.read().get(name) {
            return answer(change);
        }
        let lower = find(self.lower().ok_or(Errno::ENOENT)?)?;
        Ok(self.overlay()?.wrap(lower))
    }

    /// Whether the lower directory has something called `name`, given whether `name` means something now.
    fn over_lower(&self, name: &[u8], exists: bool) -> bool {
        match self.changes.read().get(name) {
            Some(Change::Here { over_lower, .. }) => *over_lower,
            Some(Change::Gone) => true,
            // Unchanged: what it means, the lower directory says.
            None => exists,
        }
    }

    /// Gets ready for a change of the entries: it shows in the attributes, and may need memory for a name.
    fn prepare(&self) -> Result<()> {
        self.copy_up_attributes()?;
        self.upper_fs.charge_name()
    }

    /// Changes `name`, for which [`OverlayInode::prepare`] took memory.
    fn change(&self, name: &[u8], inode: Option<Arc<OverlayInode>>, over_lower: bool) {
        let mut changes = self.changes.write();
        let before = changes.len();
        let replaced = match inode {
            Some(inode) => changes.set(name, inode, over_lower),
            None => changes.remove(name, over_lower),
        };
        let after = changes.len();
        drop(changes);
        // The caller has what was replaced, too: this is not its end.
        drop(replaced);
        // One was charged; what is held now is `after - before` more.
        for _ in after..before + 1 {
            self.upper_fs.release_name();
        }
        if let Some(upper) = &self.upper.read().inode {
            upper.changed();
        }
    }

    /// Makes a file.
    pub(super) fn make(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<OverlayInode>> {
        self.expect_free(name)?;
        let fs = self.overlay()?;
        let over_lower = self.over_lower(name, false);
        self.prepare()?;
        let upper = self.upper_fs.unnamed_file(node, false).inspect_err(|_| self.upper_fs.release_name())?;
        let inode = OverlayInode::made(&fs, Arc::clone(&upper));
        if node.kind == FileType::Directory {
            upper.set_links(2);
            self.add_links(1)?;
        }
        self.change(name, Some(Arc::clone(&inode)), over_lower);
        Ok(inode)
    }

    fn expect_free(&self, name: &[u8]) -> Result<()> {
        if self.changes.read().dead {
            return Err(Errno::ENOENT);
        }
        match self.find(name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn add_link(&self, name: &[u8], target: &Arc<OverlayInode>) -> Result<()> {
        self.expect_free(name)?;
        let upper = target.copy_up_attributes()?;
        let links = upper.attr()?.nlink;
        if links == 0 && !target.common().linkable.swap(false, std::sync::atomic::Ordering::Relaxed) {
            return Err(Errno::ENOENT);
        }
        if links == u32::MAX {
            return Err(Errno::EMLINK);
        }
        let over_lower = self.over_lower(name, false);
        self.prepare()?;
        upper.add_links(1);
        self.change(name, Some(Arc::clone(target)), over_lower);
        Ok(())
    }

    pub(super) fn remove_file(&self, name: &[u8], child: &Arc<OverlayInode>) -> Result<()> {
        if child.kind() == FileType::Directory {
            return Err(Errno::EISDIR);
        }
        let over_lower = self.over_lower(name, true);
        self.prepare()?;
        self.change(name, None, over_lower);
        child.lost_name();
        Ok(())
    }

    pub(super) fn remove_directory(&self, name: &[u8], child: &Arc<OverlayInode>) -> Result<()> {
        if child.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let over_lower = self.over_lower(name, true);
        self.prepare()?;
        child.bury().inspect_err(|_| self.upper_fs.release_name())?;
        self.change(name, None, over_lower);
        child.removed();
        self.add_links(-1)
    }

    /// Marks a directory as removed, if it is empty.
    fn bury(&self) -> Result<()> {
        let mut changes = self.changes.write();
        let mut empty = !changes.any_here();
        if let Some(lower) = self.lower().filter(|_| empty) {
            lower.list(0, &mut |name, _, _| {
                empty = changes.get(name).is_some();
                empty
            })?;
        }
        if !empty {
            return Err(Errno::ENOTEMPTY);
        }
        changes.dead = true;
        Ok(())
    }

    pub(super) fn move_entry(
        &self,
        old: &[u8],
        new_dir: &Arc<OverlayInode>,
        new: &[u8],
        flags: u32,
    ) -> Result<()> {
        let moved = self.find(old)?;
        let target = match new_dir.find(new) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        if target.as_ref().is_some_and(|target| Arc::ptr_eq(target, &moved)) {
            return Ok(());
        }
        let old_over = self.over_lower(old, true);
        let new_over = new_dir.over_lower(new, target.is_some());
        if flags & RENAME_EXCHANGE != 0 {
            let target = target.ok_or(Errno::ENOENT)?;
            self.prepare()?;
            new_dir.prepare().inspect_err(|_| self.upper_fs.release_name())?;
            new_dir.change(new, Some(Arc::clone(&moved)), new_over);
            self.change(old, Some(Arc::clone(&target)), old_over);
            let gained = i32::from(moved.is_dir()) - i32::from(target.is_dir());
            return self.passed_on(new_dir, gained);
        }
        if let Some(target) = &target {
            if flags & RENAME_NOREPLACE != 0 {
                return Err(Errno::EEXIST);
            }
            match (moved.is_dir(), target.is_dir()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                _ => {}
            }
        } else if new_dir.changes.read().dead {
            return Err(Errno::ENOENT);
        }
        self.prepare()?;
        new_dir.prepare().inspect_err(|_| self.upper_fs.release_name())?;
        if let Some(target) = target.as_ref().filter(|target| target.is_dir()) {
            target.bury().inspect_err(|_| (0..2).for_each(|_| self.upper_fs.release_name()))?;
        }
        let whiteout = if flags & RENAME_WHITEOUT != 0 { Some(self.whiteout()?) } else { None };
        new_dir.change(new, Some(Arc::clone(&moved)), new_over);
        self.change(old, whiteout, old_over);
        if let Some(target) = &target {
            if target.is_dir() {
                target.removed();
                new_dir.add_links(-1)?;
            } else {
                target.lost_name();
            }
        }
        self.passed_on(new_dir, i32::from(moved.is_dir()))
    }

    fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// `count` directories went from here to `new_dir`.
    fn passed_on(&self, new_dir: &OverlayInode, count: i32) -> Result<()> {
        if count != 0 && !std::ptr::eq(self, new_dir) {
            new_dir.add_links(count)?;
            self.add_links(-count)?;
        }
        Ok(())
    }

    /// The character device 0:0 that overlays of the guest's own take for a removed name.
    fn whiteout(&self) -> Result<Arc<OverlayInode>> {
        let attr = self.attr()?;
        let kind = FileType::CharDevice;
        let node = NewNode { kind, perm: 0, uid: attr.uid, gid: attr.gid, rdev: 0, target: b"" };
        Ok(OverlayInode::made(&self.overlay()?, self.upper_fs.unnamed_file(&node, false)?))
    }

    /// Lists the entries after position `from`: the lower directory's names first, whatever they mean now, then the added
    /// ones. A name never changes its place.
    pub(super) fn list_from(&self, from: u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        if self.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut room = true;
        if let Some(lower) = self.lower().filter(|_| from < ADDED) {
            let mut next = from;
            lower.list(usize::try_from(from).unwrap_or(usize::MAX), &mut |name, ino, kind| {
                next += 1;
                let change = self.changes.read().get(name).cloned();
                room = match change {
                    Some(Change::Gone) => true,
                    Some(Change::Here { inode, .. }) => {
                        emit(DirEntry { name, ino: inode.ino(), kind: inode.kind(), next })
                    }
                    None => emit(DirEntry { name, ino, kind, next }),
                };
                room
            })?;
        }
        let mut position = from.saturating_sub(ADDED);
        while room {
            let batch = self.changes.read().added_after(position, LIST_STEP);
            let Some((last, ..)) = batch.last() else { break };
            position = *last;
            for (at, name, inode) in &batch {
                room = emit(DirEntry { name, ino: inode.ino(), kind: inode.kind(), next: ADDED + at });
                if !room {
                    break;
                }
            }
        }
        Ok(())
    }
}
