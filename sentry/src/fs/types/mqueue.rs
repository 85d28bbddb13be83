//! The filesystem of POSIX message queues (mq_overview(7)): one flat, sticky directory, once a sandbox.
//!
//! Whoever mounts it sees the same queues, so nothing of it is kept in the tree of names. A queue lives as long as it has a name or
//! somebody has it open.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use linux_abi::{Errno, Result, fcntl::SEEK_END, ipc::MqAttr};
use parking_lot::Mutex;

use crate::{
    fs::{
        directory::DirectoryFile,
        file::{File, FileCx, FileOps},
        inode::{
            Attr, DirEntry, FileSystem, FileTime, FileType, Inode, InodeCommon, NewNode, SetAttr, StatFs,
        },
        io::{Sink, Source},
        mount::Mount,
        path::Path,
    },
    ipc::mqueue::{Maker, Queue, Registry},
    task::Task,
    wait::{Events, Watch},
};

/// `MQUEUE_MAGIC`.
const MAGIC: u64 = 0x1980_0202;
/// `FILENT_SIZE`, `DIRENT_SIZE`.
const FILE_SIZE: u64 = 80;
const ENTRY_SIZE: u64 = 20;

/// The filesystem.
pub struct MqueueFs {
    dev: u64,
    pub registry: Registry,
    this: Weak<MqueueFs>,
    root: Arc<Root>,
    /// Where mq_open(3) looks names up, whether or not the filesystem is mounted anywhere.
    mount: Mutex<Weak<Mount>>,
}

impl MqueueFs {
    /// Without queues, as the device `dev`; messages may take a part of `memory`.
    pub fn new(dev: u64, memory: u64) -> Arc<MqueueFs> {
        Arc::new_cyclic(|this| MqueueFs {
            dev,
            registry: Registry::of_memory(memory),
            this: Weak::clone(this),
            root: Arc::new(Root {
                fs: Weak::clone(this),
                common: InodeCommon::default(),
                meta: Mutex::new(Meta::new(0o1777, 0, 0)),
                queues: Mutex::default(),
            }),
            mount: Mutex::default(),
        })
    }

    /// The directory of all queues.
    pub fn directory(&self) -> Option<Path> {
        let mut kept = self.mount.lock();
        if let Some(mount) = kept.upgrade() {
            return Some(mount.root_path());
        }
        let mount = Mount::new(self.this.upgrade()?, b"mqueue", 0);
        *kept = Arc::downgrade(&mount);
        Some(mount.root_path())
    }

    /// Makes the queue `name`.
    ///
    /// # Errors
    /// `EEXIST`; those of [`Registry::make`].
    pub fn create(
        &self,
        name: &[u8],
        node: &NewNode<'_>,
        maker: Maker,
        attr: Option<&MqAttr>,
    ) -> Result<Arc<dyn Inode>> {
        self.root.create(name, node, maker, attr).map(|inode| inode as Arc<dyn Inode>)
    }
}

impl FileSystem for MqueueFs {
    fn name(&self) -> &'static str {
        "mqueue"
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::<Root>::clone(&self.root)
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: linux_abi::PAGE_SIZE, name_max: 255, ..StatFs::default() })
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

impl Meta {
    fn new(perm: u32, uid: u32, gid: u32) -> Meta {
        let now = FileTime::now();
        Meta { perm, uid, gid, atime: now, mtime: now, ctime: now }
    }

    fn change(&mut self, change: &SetAttr) {
        self.perm = change.perm.unwrap_or(self.perm);
        self.uid = change.uid.unwrap_or(self.uid);
        self.gid = change.gid.unwrap_or(self.gid);
        self.atime = change.atime.unwrap_or(self.atime);
        self.mtime = change.mtime.unwrap_or(self.mtime);
        if !change.only_atime() {
            self.ctime = FileTime::now();
        }
    }

    fn attr(&self, kind: FileType, ino: u64, dev: u64, nlink: u32, size: u64) -> Attr {
        Attr {
            kind,
            perm: self.perm,
            ino,
            dev,
            rdev: 0,
            nlink,
            uid: self.uid,
            gid: self.gid,
            size,
            blocks: 0,
            blksize: 4096,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: None,
        }
    }
}

/// The directory.
struct Root {
    fs: Weak<MqueueFs>,
    common: InodeCommon,
    meta: Mutex<Meta>,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    by_name: BTreeMap<Box<[u8]>, Arc<QueueInode>>,
    last_ino: u64,
}

fn gone(fs: &Weak<MqueueFs>) -> Arc<dyn FileSystem> {
    // Inodes hold their filesystem weakly; without it they are only looked at while the sandbox ends.
    fs.upgrade().unwrap_or_else(|| MqueueFs::new(0, 0))
}

impl Root {
    fn create(
        &self,
        name: &[u8],
        node: &NewNode<'_>,
        maker: Maker,
        attr: Option<&MqAttr>,
    ) -> Result<Arc<QueueInode>> {
        let fs = self.fs.upgrade().ok_or(Errno::EACCES)?;
        let mut queues = self.queues.lock();
        if queues.by_name.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let queue = fs.registry.make(maker, attr)?;
        queues.last_ino += 1;
        let inode = Arc::new(QueueInode {
            fs: Weak::clone(&self.fs),
            // The directory is 1.
            ino: queues.last_ino + 1,
            common: InodeCommon::default(),
            meta: Mutex::new(Meta::new(node.perm & 0o7777, node.uid, node.gid)),
            linked: true.into(),
            queue,
        });
        queues.by_name.insert(name.into(), Arc::clone(&inode));
        drop(queues);
        self.changed();
        Ok(inode)
    }

    fn changed(&self) {
        let now = FileTime::now();
        let mut meta = self.meta.lock();
        (meta.atime, meta.mtime, meta.ctime) = (now, now, now);
    }
}

impl Inode for Root {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn attr(&self) -> Result<Attr> {
        let size = ENTRY_SIZE * self.queues.lock().by_name.len() as u64;
        let dev = self.fs.upgrade().map_or(0, |fs| fs.dev);
        Ok(self.meta.lock().attr(FileType::Directory, 1, dev, 2, size))
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        self.meta.lock().change(change);
        Ok(())
    }

    fn open(self: Arc<Self>, _task: &Task, _flags: u32) -> Result<Box<dyn FileOps>> {
        Ok(Box::new(DirectoryFile::new(self)))
    }

    fn cacheable(&self) -> bool {
        false
    }

    fn lookup(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.queues.lock().by_name.get(name).cloned().ok_or(Errno::ENOENT)?;
        Ok(found)
    }

    /// By open(2): with the default attributes, and counted for its owner without a limit but the number of queues.
    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        if node.kind != FileType::Regular {
            return Err(Errno::EPERM);
        }
        let maker = Maker { uid: node.uid, privileged: false, limit: u64::MAX };
        Root::create(self, name, node, maker, None).map(|inode| inode as Arc<dyn Inode>)
    }

    fn unlink(&self, name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        let removed = self.queues.lock().by_name.remove(name).ok_or(Errno::ENOENT)?;
        removed.linked.store(false, std::sync::atomic::Ordering::Relaxed);
        self.changed();
        Ok(())
    }

    fn entries(&self, _task: &Task, from: u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        let mut listed: Vec<(u64, Box<[u8]>)> = {
            let queues = self.queues.lock();
            queues.by_name.iter().map(|(name, inode)| (inode.ino, name.clone())).collect()
        };
        // Inode numbers only grow: they are the positions.
        listed.sort_unstable();
        for (ino, name) in listed.iter().filter(|(ino, _)| *ino > from) {
            if !emit(DirEntry { name, ino: *ino, kind: FileType::Regular, next: *ino }) {
                break;
            }
        }
        Ok(())
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        gone(&self.fs)
    }
}

/// A queue's inode.
pub struct QueueInode {
    fs: Weak<MqueueFs>,
    ino: u64,
    common: InodeCommon,
    meta: Mutex<Meta>,
    /// It has a name.
    linked: std::sync::atomic::AtomicBool,
    queue: Queue,
}

impl QueueInode {
    /// A message came or went: all three times are now.
    fn used(&self) {
        let now = FileTime::now();
        let mut meta = self.meta.lock();
        (meta.atime, meta.mtime, meta.ctime) = (now, now, now);
    }
}

impl Drop for QueueInode {
    fn drop(&mut self) {
        if let Some(fs) = self.fs.upgrade() {
            fs.registry.forget(&self.queue);
        }
    }
}

impl Inode for QueueInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn attr(&self) -> Result<Attr> {
        let dev = self.fs.upgrade().map_or(0, |fs| fs.dev);
        let links = u32::from(self.linked.load(std::sync::atomic::Ordering::Relaxed));
        Ok(self.meta.lock().attr(FileType::Regular, self.ino, dev, links, FILE_SIZE))
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        // Its size means nothing and stays as it is.
        self.meta.lock().change(change);
        Ok(())
    }

    fn open(self: Arc<Self>, _task: &Task, _flags: u32) -> Result<Box<dyn FileOps>> {
        Ok(Box::new(MqFile { inode: self }))
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        gone(&self.fs)
    }
}

/// An open queue (a message queue descriptor is a file descriptor).
pub struct MqFile {
    inode: Arc<QueueInode>,
}

impl MqFile {
    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.inode.queue
    }

    /// Marks the queue as just used.
    pub fn touch(&self) {
        self.inode.used();
    }
}

impl FileOps for MqFile {
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, pos: &mut u64) -> Result<usize> {
        let text = self.inode.queue.describe();
        let from = usize::try_from(*pos).unwrap_or(usize::MAX);
        let rest = text.as_bytes().get(from..).unwrap_or_default();
        let count = rest.len().min(dst.remaining());
        let done = if count > 0 { dst.put(rest.get(..count).unwrap_or_default())? } else { 0 };
        *pos = pos.saturating_add(done as u64);
        Ok(done)
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.inode.queue.events.register(watch);
        }
        self.inode.queue.ready()
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_from(&self, _file: &File, _offset: i64, whence: u32) -> Result<u64> {
        if whence == SEEK_END { Ok(FILE_SIZE) } else { Err(Errno::EINVAL) }
    }

    fn on_close(&self, cx: FileCx<'_>) {
        self.inode.queue.unregister(cx.task);
    }
}
