//! Directory entries: found by name, listed by a position that never changes while the entry exists.

use std::{collections::BTreeMap, sync::Arc};

use super::inode::TmpInode;
use crate::fs::name_hash::NameMap;

/// The entries of a directory.
#[derive(Default)]
pub(super) struct Entries {
    by_name: NameMap<Arc<[u8]>, u64>,
    by_position: BTreeMap<u64, Entry>,
    /// Positions are never used twice: a listing that goes on after any change neither repeats nor skips what stayed.
    last_position: u64,
    /// Removed (rmdir): nothing can be added any more.
    pub(super) dead: bool,
}

/// One entry.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: Arc<[u8]>,
    pub(super) inode: Arc<TmpInode>,
}

impl Entries {
    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<TmpInode>> {
        let position = self.by_name.get(name)?;
        self.by_position.get(position).map(|entry| &entry.inode)
    }

    pub(super) fn insert(&mut self, name: &[u8], inode: Arc<TmpInode>) {
        let name: Arc<[u8]> = name.into();
        self.last_position += 1;
        self.by_name.insert(Arc::clone(&name), self.last_position);
        self.by_position.insert(self.last_position, Entry { name, inode });
    }

    /// Lets `name`, which exists, mean `inode`; returns what it meant.
    pub(super) fn replace(&mut self, name: &[u8], inode: Arc<TmpInode>) -> Option<Arc<TmpInode>> {
        let position = self.by_name.get(name)?;
        let entry = self.by_position.get_mut(position)?;
        Some(std::mem::replace(&mut entry.inode, inode))
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Arc<TmpInode>> {
        let position = self.by_name.remove(name)?;
        self.by_position.remove(&position).map(|entry| entry.inode)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Up to `count` entries after `position`, with their positions.
    pub(super) fn after(&self, position: u64, count: usize) -> Vec<(u64, Entry)> {
        let Some(from) = position.checked_add(1) else { return Vec::new() };
        self.by_position.range(from..).take(count).map(|(&at, entry)| (at, entry.clone())).collect()
    }

    /// All inodes, for an iterative drop.
    pub(super) fn take_all(&mut self) -> Vec<Arc<TmpInode>> {
        self.by_name.clear();
        std::mem::take(&mut self.by_position).into_values().map(|entry| entry.inode).collect()
    }
}
