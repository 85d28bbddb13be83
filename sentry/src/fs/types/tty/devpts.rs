//! devpts: `ptmx` and the slaves of the ptys that it made.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::SystemTime,
};

use linux_abi::{Errno, Result, stat::makedev};
use parking_lot::Mutex;

use super::{
    job,
    master::Master,
    pair::{Pty, SLAVE_MAJOR},
};
use crate::{
    fs::{
        directory::DirectoryFile,
        file::FileOps,
        inode::{Attr, DirEntry, FileSystem, FileTime, FileType, Inode, InodeCommon, SetAttr, StatFs},
        path::Path,
        walk::{Lookup, resolve},
    },
    kernel::Kernel,
    task::Task,
};

/// `DEVPTS_SUPER_MAGIC`.
const MAGIC: u64 = 0x1cd1;
/// The most ptys of one sandbox (`kernel.pty.max`).
const MAX_PTYS: u32 = 4096;

/// A devpts.
pub struct DevPts {
    kernel: Weak<Kernel>,
    dev: u64,
    slaves: Mutex<BTreeMap<u32, Arc<PtsInode>>>,
    this: Weak<DevPts>,
}

impl DevPts {
    /// Without ptys, as the device `dev`.
    pub fn new(kernel: &Arc<Kernel>, dev: u64) -> Arc<DevPts> {
        let fs = Arc::new_cyclic(|this| DevPts {
            kernel: Arc::downgrade(kernel),
            dev,
            slaves: Mutex::default(),
            this: Weak::clone(this),
        });
        let mut first = kernel.devpts.lock();
        if first.strong_count() == 0 {
            *first = Arc::downgrade(&fs);
        }
        drop(first);
        fs
    }

    /// Makes a pty whose slave belongs to `uid` and `gid`.
    ///
    /// # Errors
    /// `ENOSPC` when there are too many.
    pub fn make_pty(&self, uid: u32, gid: u32) -> Result<Arc<Pty>> {
        let kernel = self.kernel.upgrade().ok_or(Errno::EIO)?;
        let mut slaves = self.slaves.lock();
        let index = (0..MAX_PTYS).find(|index| !slaves.contains_key(index)).ok_or(Errno::ENOSPC)?;
        let pty = Pty::new(&kernel, index);
        let inode = PtsInode::new(self.this.clone(), Node::Slave(Arc::clone(&pty)), 0o620, uid, gid);
        slaves.insert(index, inode);
        Ok(pty)
    }

    /// The slave's inode.
    pub fn slave(&self, index: u32) -> Option<Arc<dyn Inode>> {
        self.slaves.lock().get(&index).map(|inode| Arc::clone(inode) as Arc<dyn Inode>)
    }

    pub(super) fn forget(&self, index: u32) {
        self.slaves.lock().remove(&index);
    }

    /// The path of a slave as `task` sees it, at the usual place.
    pub fn place_of(&self, task: &Task, index: u32) -> Option<Path> {
        let path = format!("/dev/pts/{index}");
        resolve(task, linux_abi::fcntl::AT_FDCWD, path.as_bytes(), Lookup::FOLLOW).ok()
    }
}

impl FileSystem for DevPts {
    fn name(&self) -> &'static str {
        "devpts"
    }

    fn root(&self) -> Arc<dyn Inode> {
        PtsInode::new(self.this.clone(), Node::Root, 0o755, 0, 0)
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn options(&self) -> String {
        "gid=5,mode=620,ptmxmode=666".to_owned()
    }
}

enum Node {
    Root,
    Ptmx,
    Slave(Arc<Pty>),
}

/// A node of a devpts.
struct PtsInode {
    fs: Weak<DevPts>,
    node: Node,
    common: InodeCommon,
    meta: Mutex<Meta>,
}

#[derive(Clone, Copy)]
struct Meta {
    perm: u32,
    uid: u32,
    gid: u32,
    time: FileTime,
}

impl PtsInode {
    fn new(fs: Weak<DevPts>, node: Node, perm: u32, uid: u32, gid: u32) -> Arc<PtsInode> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = FileTime { sec: i64::try_from(now.as_secs()).unwrap_or(0), nsec: now.subsec_nanos() };
        let meta = Mutex::new(Meta { perm, uid, gid, time });
        Arc::new(PtsInode { fs, node, common: InodeCommon::default(), meta })
    }
}

impl Inode for PtsInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        if matches!(self.node, Node::Root) { FileType::Directory } else { FileType::CharDevice }
    }

    fn attr(&self) -> Result<Attr> {
        let meta = *self.meta.lock();
        let (ino, rdev) = match &self.node {
            Node::Root => (1, 0),
            Node::Ptmx => (2, makedev(5, 2)),
            Node::Slave(pty) => (u64::from(pty.index) + 3, makedev(SLAVE_MAJOR, pty.index)),
        };
        Ok(Attr {
            kind: self.kind(),
            perm: meta.perm,
            ino,
            dev: self.fs.upgrade().map_or(0, |fs| fs.dev),
            rdev,
            nlink: if self.kind() == FileType::Directory { 2 } else { 1 },
            uid: meta.uid,
            gid: meta.gid,
            size: 0,
            blocks: 0,
            blksize: 1024,
            atime: meta.time,
            mtime: meta.time,
            ctime: meta.time,
            btime: None,
        })
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        let mut meta = self.meta.lock();
        meta.perm = change.perm.unwrap_or(meta.perm);
        meta.uid = change.uid.unwrap_or(meta.uid);
        meta.gid = change.gid.unwrap_or(meta.gid);
        meta.time = change.mtime.unwrap_or(meta.time);
        Ok(())
    }

    fn open(self: Arc<Self>, task: &Task, flags: u32) -> Result<Box<dyn FileOps>> {
        match &self.node {
            Node::Root => Ok(Box::new(DirectoryFile::new(self))),
            Node::Ptmx => {
                let fs = self.fs.upgrade().ok_or(Errno::EIO)?;
                let creds = task.creds();
                let pty = fs.make_pty(creds.fsuid, creds.fsgid)?;
                Ok(Box::new(Master::new(pty, Weak::clone(&self.fs))))
            }
            Node::Slave(pty) => {
                let slave = pty.open_slave()?;
                if flags & linux_abi::fcntl::O_NOCTTY == 0 {
                    job::adopt_on_open(pty, task);
                }
                Ok(Box::new(slave))
            }
        }
    }

    fn cacheable(&self) -> bool {
        false
    }

    fn lookup(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if !matches!(self.node, Node::Root) {
            return Err(Errno::ENOTDIR);
        }
        if name == b"ptmx" {
            return Ok(PtsInode::new(Weak::clone(&self.fs), Node::Ptmx, 0o666, 0, 0));
        }
        let fs = self.fs.upgrade().ok_or(Errno::ENOENT)?;
        let index = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or(Errno::ENOENT)?;
        fs.slave(index).ok_or(Errno::ENOENT)
    }

    fn entries(&self, _task: &Task, from: u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        if !matches!(self.node, Node::Root) {
            return Err(Errno::ENOTDIR);
        }
        let fs = self.fs.upgrade().ok_or(Errno::ENOENT)?;
        let mut entries = vec![("ptmx".to_owned(), 1)];
        entries.extend(fs.slaves.lock().keys().map(|index| (index.to_string(), u64::from(*index) + 2)));
        for (name, next) in entries.into_iter().filter(|(_, next)| *next > from) {
            if !emit(DirEntry { name: name.as_bytes(), ino: next + 1, kind: FileType::CharDevice, next }) {
                break;
            }
        }
        Ok(())
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        match self.fs.upgrade() {
            Some(fs) => fs,
            // Only while the sandbox ends.
            None => {
                Arc::new(DevPts { kernel: Weak::new(), dev: 0, slaves: Mutex::default(), this: Weak::new() })
            }
        }
    }
}
