//! sysfs (sysfs(5)): what programs read of it. A fixed tree of texts: processors, huge pages, the loopback interface.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::SystemTime,
};

use linux_abi::{Errno, Result};

use crate::{
    fs::{
        directory::DirectoryFile,
        file::{File, FileCx, FileOps},
        inode::{Attr, DirEntry, FileSystem, FileTime, FileType, Inode, InodeCommon, SetAttr, StatFs},
        io::{Sink, Source},
    },
    kernel::Kernel,
    task::Task,
    wait::{Events, Watch},
};

/// `SYSFS_MAGIC`.
const MAGIC: u64 = 0x6265_6572;

/// A sysfs.
pub struct SysFs {
    dev: u64,
    root: Arc<Entry>,
    made: FileTime,
    this: Weak<SysFs>,
}

/// A directory or a text, and its number.
struct Entry {
    ino: u64,
    content: Content,
}

enum Content {
    Directory(BTreeMap<String, Arc<Entry>>),
    Text(String),
}

impl SysFs {
    /// As the device `dev`.
    pub fn new(kernel: &Arc<Kernel>, dev: u64) -> Arc<SysFs> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let made = FileTime { sec: i64::try_from(now.as_secs()).unwrap_or(0), nsec: now.subsec_nanos() };
        let mut builder = Builder { next: 2, root: BTreeMap::new() };
        describe(&mut builder, kernel.host.cpus.max(1));
        let root = Arc::new(Entry { ino: 1, content: Content::Directory(finish(builder.root)) });
        Arc::new_cyclic(|this| SysFs { dev, root, made, this: Weak::clone(this) })
    }
}

/// The tree while it grows.
struct Builder {
    next: u64,
    root: BTreeMap<String, Draft>,
}

enum Draft {
    Directory(u64, BTreeMap<String, Draft>),
    Text(u64, String),
}

impl Builder {
    /// Adds the file `path` (or, with no text, a directory) and the directories above it.
    fn add(&mut self, path: &str, text: Option<&str>) {
        let mut at = &mut self.root;
        let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
        for part in directories.split('/').filter(|part| !part.is_empty()) {
            let next = self.next;
            let draft = at.entry(part.to_owned()).or_insert_with(|| Draft::Directory(next, BTreeMap::new()));
            self.next += 1;
            match draft {
                Draft::Directory(_, children) => at = children,
                Draft::Text(..) => return,
            }
        }
        let draft = match text {
            Some(text) => Draft::Text(self.next, format!("{text}\n")),
            None => Draft::Directory(self.next, BTreeMap::new()),
        };
        at.entry(name.to_owned()).or_insert(draft);
        self.next += 1;
    }
}

fn finish(drafts: BTreeMap<String, Draft>) -> BTreeMap<String, Arc<Entry>> {
    let entry = |draft| match draft {
        Draft::Directory(ino, children) => Entry { ino, content: Content::Directory(finish(children)) },
        Draft::Text(ino, text) => Entry { ino, content: Content::Text(text) },
    };
    drafts.into_iter().map(|(name, draft)| (name, Arc::new(entry(draft)))).collect()
}

fn describe(builder: &mut Builder, cpus: u32) {
    let range = if cpus == 1 { "0".to_owned() } else { format!("0-{}", cpus - 1) };
    for name in ["online", "possible", "present"] {
        builder.add(&format!("devices/system/cpu/{name}"), Some(&range));
    }
    builder.add("devices/system/cpu/offline", Some(""));
    builder.add("devices/system/cpu/kernel_max", Some("63"));
    for cpu in 0..cpus.min(64) {
        let base = format!("devices/system/cpu/cpu{cpu}");
        builder.add(&format!("{base}/topology/core_id"), Some(&cpu.to_string()));
        builder.add(&format!("{base}/topology/physical_package_id"), Some("0"));
        builder.add(&format!("{base}/topology/thread_siblings_list"), Some(&cpu.to_string()));
        builder.add(&format!("{base}/online"), Some("1"));
    }
    builder.add("devices/system/node/online", Some("0"));
    builder.add("devices/system/node/possible", Some("0"));
    builder.add("devices/system/node/node0/cpulist", Some(&range));
    builder.add("kernel/mm/transparent_hugepage/enabled", Some("always [madvise] never"));
    builder.add("kernel/mm/transparent_hugepage/defrag", Some("always defer defer+madvise [madvise] never"));
    builder.add("kernel/mm/transparent_hugepage/hpage_pmd_size", Some("2097152"));
    for directory in
        ["block", "bus", "class", "dev", "firmware", "fs/cgroup", "module", "power", "kernel/debug"]
    {
        builder.add(directory, None);
    }
    for (name, text) in [
        ("address", "00:00:00:00:00:00"),
        ("flags", "0x9"),
        ("ifindex", "1"),
        ("mtu", "65536"),
        ("operstate", "unknown"),
        ("type", "772"),
    ] {
        builder.add(&format!("class/net/lo/{name}"), Some(text));
    }
}

impl FileSystem for SysFs {
    fn name(&self) -> &'static str {
        "sysfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        SysInode::make(Weak::clone(&self.this), Arc::clone(&self.root))
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
}

struct SysInode {
    fs: Weak<SysFs>,
    entry: Arc<Entry>,
    common: InodeCommon,
}

impl SysInode {
    fn make(fs: Weak<SysFs>, entry: Arc<Entry>) -> Arc<dyn Inode> {
        Arc::new(SysInode { fs, entry, common: InodeCommon::default() })
    }
}

impl Inode for SysInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        match self.entry.content {
            Content::Directory(_) => FileType::Directory,
            Content::Text(_) => FileType::Regular,
        }
    }

    fn attr(&self) -> Result<Attr> {
        let fs = self.fs.upgrade();
        let time = fs.as_ref().map(|fs| fs.made).unwrap_or_default();
        let directory = self.kind() == FileType::Directory;
        Ok(Attr {
            kind: self.kind(),
            perm: if directory { 0o755 } else { 0o444 },
            ino: self.entry.ino,
            dev: fs.map_or(0, |fs| fs.dev),
            rdev: 0,
            nlink: if directory { 2 } else { 1 },
            uid: 0,
            gid: 0,
            size: if directory { 0 } else { 4096 },
            blocks: 0,
            blksize: 4096,
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
        })
    }

    fn set_attr(&self, _change: &SetAttr) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn open(self: Arc<Self>, _task: &Task, _flags: u32) -> Result<Box<dyn FileOps>> {
        match self.entry.content {
            Content::Directory(_) => Ok(Box::new(DirectoryFile::new(self))),
            Content::Text(_) => Ok(Box::new(SysFile(Arc::clone(&self.entry)))),
        }
    }

    fn lookup(&self, _task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let Content::Directory(children) = &self.entry.content else { return Err(Errno::ENOTDIR) };
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let child = children.get(name).ok_or(Errno::ENOENT)?;
        Ok(SysInode::make(Weak::clone(&self.fs), Arc::clone(child)))
    }

    fn entries(&self, _task: &Task, from: u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        let Content::Directory(children) = &self.entry.content else { return Err(Errno::ENOTDIR) };
        let mut next = 0;
        for (name, child) in children {
            next += 1;
            let kind = if matches!(child.content, Content::Directory(_)) {
                FileType::Directory
            } else {
                FileType::Regular
            };
            if next > from && !emit(DirEntry { name: name.as_bytes(), ino: child.ino, kind, next }) {
                break;
            }
        }
        Ok(())
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        match self.fs.upgrade() {
            Some(fs) => fs,
            // Only while the sandbox ends.
            None => Arc::new(SysFs {
                dev: 0,
                root: Arc::clone(&self.entry),
                made: FileTime::default(),
                this: Weak::new(),
            }),
        }
    }
}

/// An open text.
struct SysFile(Arc<Entry>);

impl FileOps for SysFile {
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, pos: &mut u64) -> Result<usize> {
        let Content::Text(text) = &self.0.content else { return Err(Errno::EISDIR) };
        let from = usize::try_from(*pos).unwrap_or(usize::MAX);
        let count = dst.put(text.as_bytes().get(from..).unwrap_or_default())?;
        *pos += count as u64;
        Ok(count)
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EACCES)
    }

    fn poll(&self, _file: &File, _watch: Option<&mut Watch>) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn seekable(&self) -> bool {
        true
    }
}
