//! The inodes of anonymous pipes, and `pipefs`, the filesystem they are on (which nobody mounts).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use super::{pipe::Pipe, pipe_pages::PipePages};
use crate::{
    credentials::Credentials,
    fs::{
        file::FileOps,
        inode::{Attr, FileSystem, FileTime, FileType, Inode, InodeCommon, SetAttr, StatFs},
    },
    task::Task,
};

/// `PIPEFS_MAGIC`.
const MAGIC: u64 = 0x5049_5045;
/// `makedev(0, 14)`: a minor that the allocator of mounted filesystems does not hand out.
const DEV: u64 = 14;

/// The filesystem of anonymous pipes.
pub struct PipeFs {
    next_ino: AtomicU64,
    pages: Arc<PipePages>,
}

impl PipeFs {
    /// The filesystem of a kernel whose pipes may have `pages`.
    pub fn new(pages: PipePages) -> Arc<PipeFs> {
        Arc::new(PipeFs { next_ino: AtomicU64::new(1), pages: Arc::new(pages) })
    }

    /// What all pipes and FIFOs hold.
    pub(super) fn pages(&self) -> &Arc<PipePages> {
        &self.pages
    }
}

impl FileSystem for PipeFs {
    fn name(&self) -> &'static str {
        "pipefs"
    }

    /// Never asked for: pipefs cannot be mounted.
    fn root(&self) -> Arc<dyn Inode> {
        PipeInode::new(&PipeFs::new(PipePages::default()), &Credentials::default())
    }

    fn dev(&self) -> u64 {
        DEV
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
}

/// The inode of an anonymous pipe.
pub struct PipeInode {
    fs: Arc<PipeFs>,
    common: InodeCommon,
    pipe: Arc<Pipe>,
    attr: Mutex<Attr>,
}

fn now() -> FileTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    FileTime { sec: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nsec: now.subsec_nanos() }
}

impl PipeInode {
    /// A new pipe that belongs to `creds`.
    pub(super) fn new(fs: &Arc<PipeFs>, creds: &Credentials) -> Arc<PipeInode> {
        let ino = fs.next_ino.fetch_add(1, Ordering::Relaxed);
        let pipe = Pipe::new(ino, fs.pages());
        let common = InodeCommon::default();
        *common.fifo.lock() = Some(Arc::clone(&pipe));
        let time = now();
        let attr = Attr {
            kind: FileType::Fifo,
            perm: 0o600,
            ino,
            dev: DEV,
            rdev: 0,
            nlink: 1,
            uid: creds.fsuid,
            gid: creds.fsgid,
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
        };
        Arc::new(PipeInode { fs: Arc::clone(fs), common, pipe, attr: Mutex::new(attr) })
    }

    pub(super) fn pipe(&self) -> Arc<Pipe> {
        Arc::clone(&self.pipe)
    }
}

impl Inode for PipeInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn attr(&self) -> Result<Attr> {
        Ok(*self.attr.lock())
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        let mut attr = self.attr.lock();
        attr.perm = change.perm.unwrap_or(attr.perm);
        attr.uid = change.uid.unwrap_or(attr.uid);
        attr.gid = change.gid.unwrap_or(attr.gid);
        attr.atime = change.atime.unwrap_or(attr.atime);
        attr.mtime = change.mtime.unwrap_or(attr.mtime);
        attr.ctime = now();
        Ok(())
    }

    /// The VFS opens FIFOs with [`super::pipe::open_fifo`].
    fn open(self: Arc<Self>, _task: &Task, _flags: u32) -> Result<Box<dyn FileOps>> {
        Err(Errno::ENXIO)
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        Arc::<PipeFs>::clone(&self.fs)
    }
}
