//! The inodes of sockets: what fstat(2) and `/proc/PID/fd` show. They are in no directory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use crate::{
    fs::{
        file::FileOps,
        inode::{Attr, FileSystem, FileTime, FileType, Inode, InodeCommon, SetAttr, StatFs},
    },
    task::Task,
};

/// `SOCKFS_MAGIC`.
const SOCKFS_MAGIC: u64 = 0x534f_434b;
/// The anonymous device number sockfs has on an ordinary Linux.
const SOCKFS_DEV: u64 = 8;

/// The filesystem all sockets of a sandbox are on.
#[derive(Default)]
pub struct SockFs {
    next: AtomicU64,
}

impl SockFs {
    /// A new inode, owned by `uid`:`gid`.
    pub fn new_inode(self: &Arc<Self>, uid: u32, gid: u32) -> Arc<SocketInode> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now =
            FileTime { sec: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nsec: now.subsec_nanos() };
        Arc::new(SocketInode {
            common: InodeCommon::default(),
            // Small numbers belong to other filesystems in people's minds; Linux's start in the thousands too.
            number: self.next.fetch_add(1, Ordering::Relaxed) + 4096,
            meta: Mutex::new(Meta { perm: 0o777, uid, gid, atime: now, mtime: now, ctime: now }),
            fs: Arc::clone(self),
        })
    }
}

impl FileSystem for SockFs {
    fn name(&self) -> &'static str {
        "sockfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        // sockfs is never mounted: nobody can get at a root. A socket's inode stands in.
        Arc::new(SockFs::default()).new_inode(0, 0)
    }

    fn dev(&self) -> u64 {
        SOCKFS_DEV
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: SOCKFS_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
}

#[derive(Clone, Copy)]
struct Meta {
    perm: u32,
    uid: u32,
    gid: u32,
    atime: FileTime,
    mtime: FileTime,
    ctime: FileTime,
}

/// A socket's inode.
pub struct SocketInode {
    common: InodeCommon,
    number: u64,
    meta: Mutex<Meta>,
    fs: Arc<SockFs>,
}

impl SocketInode {
    /// The inode number, which serves as the socket's cookie too.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The owner, as /proc/net shows it.
    pub fn uid(&self) -> u32 {
        self.meta.lock().uid
    }

    /// What `/proc/PID/fd/N` reads.
    pub fn display_name(&self) -> String {
        format!("socket:[{}]", self.number)
    }
}

impl Inode for SocketInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        FileType::Socket
    }

    fn attr(&self) -> Result<Attr> {
        let meta = *self.meta.lock();
        Ok(Attr {
            kind: FileType::Socket,
            perm: meta.perm,
            ino: self.number,
            dev: SOCKFS_DEV,
            rdev: 0,
            nlink: 1,
            uid: meta.uid,
            gid: meta.gid,
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: None,
        })
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        if change.size.is_some() {
            return Err(Errno::EINVAL);
        }
        let mut meta = self.meta.lock();
        meta.perm = change.perm.unwrap_or(meta.perm);
        meta.uid = change.uid.unwrap_or(meta.uid);
        meta.gid = change.gid.unwrap_or(meta.gid);
        meta.atime = change.atime.unwrap_or(meta.atime);
        meta.mtime = change.mtime.unwrap_or(meta.mtime);
        Ok(())
    }

    fn open(self: Arc<Self>, _task: &Task, _flags: u32) -> Result<Box<dyn FileOps>> {
        // Through /proc/PID/fd: a socket cannot be opened again.
        Err(Errno::ENXIO)
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        Arc::<SockFs>::clone(&self.fs)
    }
}
