//! procfs (proc(5)): the kernel's state as files.
//!
//! * `inode.rs`: [`ProcInode`], every kind of node.
//! * `tree.rs`: which names there are outside the processes' directories.
//! * `process.rs`: the names in a process's directory; `status.rs`, `maps.rs`: their larger contents.
//! * `system.rs`: the contents outside.
//! * `file.rs`: reading a text that is made when a read starts at its beginning, and writing to the few that can be written.
//!
//! Nothing is cached: every lookup looks at the task tree.

mod file;
mod inode;
mod maps;
mod process;
mod status;
mod sysctl;
mod system;
mod tree;

use std::sync::{Arc, Weak};

use linux_abi::Result;

use self::inode::{Node, ProcInode};
use crate::{
    fs::inode::{FileSystem, Inode, StatFs},
    kernel::Kernel,
};

/// `PROC_SUPER_MAGIC`.
const MAGIC: u64 = 0x9fa0;

/// A procfs.
pub struct ProcFs {
    kernel: Weak<Kernel>,
    dev: u64,
    this: Weak<ProcFs>,
}

impl ProcFs {
    /// The processes of `kernel`, as the device `dev`.
    pub fn new(kernel: &Arc<Kernel>, dev: u64) -> Arc<ProcFs> {
        Arc::new_cyclic(|this| ProcFs { kernel: Arc::downgrade(kernel), dev, this: this.clone() })
    }
}

impl FileSystem for ProcFs {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn root(&self) -> Arc<dyn Inode> {
        ProcInode::make(self.this.clone(), self.kernel.clone(), Node::Root)
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
}
