//! The sandbox's kernel: what exists once.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use platform::Platform;

use crate::fs::{dentry::DentryCache, device::Devices, types::pipe_inode::PipeFs};

/// One sandbox's kernel. Everything global hangs here: there are no statics with state.
pub struct Kernel {
    /// What runs guest code.
    pub platform: Arc<dyn Platform>,
    /// Host and domain name.
    pub uts: RwLock<Uts>,
    /// Recently used names.
    pub dentries: DentryCache,
    /// Held over renames of directories, and over walks that must not see one (`s_vfs_rename_mutex`).
    pub rename_lock: Mutex<()>,
    /// Device drivers.
    pub devices: Devices,
    /// Held over changes of interest lists of epoll instances that watch each other.
    pub epoll_nesting: Mutex<()>,
    /// Where anonymous pipes have their inodes.
    pub pipefs: Arc<PipeFs>,
    /// When the sandbox was started: the zero of `CLOCK_BOOTTIME` as guests see uptime.
    pub started: std::time::Instant,
}

/// uname(2)'s variable parts.
#[derive(Clone, Debug)]
pub struct Uts {
    pub hostname: Vec<u8>,
    pub domainname: Vec<u8>,
}
