//! Extended attributes (xattr(7)): `user.`, `trusted.` and `security.` names with bounded values.

use std::collections::BTreeMap;

use linux_abi::{
    Errno, Result,
    fcntl::{XATTR_CREATE, XATTR_REPLACE},
};

use super::budget::Budget;

/// Most bytes of names of one inode (`XATTR_LIST_MAX`).
const LIST_MAX: usize = 64 << 10;
/// What an attribute costs besides its name and value.
const OVERHEAD: u64 = 64;

/// The attributes of one inode.
#[derive(Default)]
pub(super) struct Xattrs(BTreeMap<Box<[u8]>, Box<[u8]>>);

fn cost(name: &[u8], value: &[u8]) -> u64 {
    (name.len() as u64).saturating_add(value.len() as u64).saturating_add(OVERHEAD)
}

fn check_name(name: &[u8]) -> Result<()> {
    let known = [&b"user."[..], b"trusted.", b"security."];
    if known.iter().any(|prefix| name.starts_with(prefix)) { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

impl Xattrs {
    pub(super) fn get(&self, name: &[u8]) -> Result<Vec<u8>> {
        check_name(name)?;
        self.0.get(name).map(|value| value.to_vec()).ok_or(Errno::ENODATA)
    }

    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        self.0.keys().map(|name| name.to_vec()).collect()
    }

    pub(super) fn set(&mut self, budget: &Budget, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        check_name(name)?;
        let old = self.0.get(name);
        if flags & XATTR_CREATE != 0 && old.is_some() {
            return Err(Errno::EEXIST);
        }
        if flags & XATTR_REPLACE != 0 && old.is_none() {
            return Err(Errno::ENODATA);
        }
        if old.is_none() {
            let listed: usize = self.0.keys().map(|name| name.len() + 1).sum();
            if listed + name.len() + 1 > LIST_MAX {
                return Err(Errno::ENOSPC);
            }
        }
        let freed = old.map_or(0, |old| cost(name, old));
        budget.take_bytes(cost(name, value))?;
        budget.give_bytes(freed);
        self.0.insert(name.into(), value.into());
        Ok(())
    }

    pub(super) fn remove(&mut self, budget: &Budget, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let value = self.0.remove(name).ok_or(Errno::ENODATA)?;
        budget.give_bytes(cost(name, &value));
        Ok(())
    }

    pub(super) fn release(&mut self, budget: &Budget) {
        for (name, value) in std::mem::take(&mut self.0) {
            budget.give_bytes(cost(&name, &value));
        }
    }
}
