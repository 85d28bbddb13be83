//! Device drivers: what opening a character or block device leads to, by its number.

use std::{collections::HashMap, sync::Arc};

use linux_abi::{Errno, Result};
use parking_lot::RwLock;

use super::{
    file::FileOps,
    inode::{FileType, Inode},
};
use crate::task::Task;

/// Opens devices of one number.
pub trait Driver: Send + Sync {
    /// Opens the device behind `inode`.
    ///
    /// # Errors
    /// Whatever open(2) on it fails with.
    fn open(&self, task: &Task, inode: &Arc<dyn Inode>, flags: u32) -> Result<Box<dyn FileOps>>;
}

/// The drivers of a kernel.
#[derive(Default)]
pub struct Devices {
    drivers: RwLock<HashMap<(FileType, u64), Arc<dyn Driver>>>,
}

impl Devices {
    /// Makes `driver` responsible for the device `rdev` (see [`linux_abi::stat::makedev`]) of this kind.
    pub fn register(&self, kind: FileType, rdev: u64, driver: Arc<dyn Driver>) {
        self.drivers.write().insert((kind, rdev), driver);
    }

    /// Opens the device `inode` stands for.
    ///
    /// # Errors
    /// `ENXIO` if there is no such device.
    pub fn open(&self, task: &Task, inode: &Arc<dyn Inode>, flags: u32) -> Result<Box<dyn FileOps>> {
        let key = (inode.kind(), inode.attr()?.rdev);
        let driver = self.drivers.read().get(&key).cloned().ok_or(Errno::ENXIO)?;
        driver.open(task, inode, flags)
    }
}
