//! How the entries of a directory differ from those of the lower directory.

use std::{collections::BTreeMap, sync::Arc};

use super::inode::OverlayInode;
use crate::fs::name_hash::NameMap;

/// What a changed name means now.
#[derive(Clone)]
pub(super) enum Change {
    /// The lower directory has it, and it was removed.
    Gone,
    /// It means this. `over_lower`: the lower directory has something of that name, too.
    Here { inode: Arc<OverlayInode>, over_lower: bool },
}

/// The changed names of a directory.
#[derive(Default)]
pub(super) struct Changes {
    by_name: NameMap<Arc<[u8]>, (Change, u64)>,
    /// Names that the lower directory does not have, by their positions in a listing; never used twice.
    added: BTreeMap<u64, Arc<[u8]>>,
    last_position: u64,
    /// The directory was removed: nothing can be added any more.
    pub(super) dead: bool,
}

impl Changes {
    pub(super) fn get(&self, name: &[u8]) -> Option<&Change> {
        self.by_name.get(name).map(|(change, _)| change)
    }

    /// Lets `name` mean `inode`. `in_lower`: there is a lower entry of that name. Returns what it meant, if that was a change.
    pub(super) fn set(&mut self, name: &[u8], inode: Arc<OverlayInode>, in_lower: bool) -> Option<Change> {
        let change = Change::Here { inode, over_lower: in_lower };
        if let Some((old, _)) = self.by_name.get_mut(name) {
            return Some(std::mem::replace(old, change));
        }
        let name: Arc<[u8]> = name.into();
        let mut position = 0;
        if !in_lower {
            self.last_position += 1;
            position = self.last_position;
            self.added.insert(position, Arc::clone(&name));
        }
        self.by_name.insert(name, (change, position));
        None
    }

    /// Removes `name`. `in_lower`: there is a lower entry of that name, which must stay hidden.
    pub(super) fn remove(&mut self, name: &[u8], in_lower: bool) -> Option<Change> {
        if in_lower {
            let gone = (Change::Gone, 0);
            return match self.by_name.get_mut(name) {
                Some(slot) => Some(std::mem::replace(slot, gone).0),
                None => {
                    self.by_name.insert(name.into(), gone);
                    None
                }
            };
        }
        let (old, position) = self.by_name.remove(name)?;
        self.added.remove(&position);
        Some(old)
    }

    /// Whether any name means something.
    pub(super) fn any_here(&self) -> bool {
        self.by_name.values().any(|(change, _)| matches!(change, Change::Here { .. }))
    }

    /// Up to `count` added names after `position`.
    pub(super) fn added_after(
        &self,
        position: u64,
        count: usize,
    ) -> Vec<(u64, Arc<[u8]>, Arc<OverlayInode>)> {
        let Some(from) = position.checked_add(1) else { return Vec::new() };
        let named = self.added.range(from..).filter_map(|(&at, name)| match self.get(name) {
            Some(Change::Here { inode, .. }) => Some((at, Arc::clone(name), Arc::clone(inode))),
            _ => None,
        });
        named.take(count).collect()
    }

    /// All inodes, for an iterative drop.
    pub(super) fn take_all(&mut self) -> Vec<Arc<OverlayInode>> {
        self.added.clear();
        let changes = std::mem::take(&mut self.by_name);
        let inodes = changes.into_values().filter_map(|(change, _)| match change {
            Change::Here { inode, .. } => Some(inode),
            Change::Gone => None,
        });
        inodes.collect()
    }

    /// How many changed names there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}
