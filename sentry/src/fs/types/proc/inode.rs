//! The nodes of procfs.

use std::sync::{Arc, Weak};

use linux_abi::{Errno, Result, UserAddr};

use super::{
    MAGIC, ProcFs,
    file::ProcFile,
    process::{self, PidEntry, PidNode},
    tree::{self, Content, Entry},
};
use crate::{
    fs::{
        directory::DirectoryFile,
        file::FileOps,
        inode::{Attr, DirEntry, FileSystem, FileTime, FileType, Inode, InodeCommon, SetAttr},
        io::{Sink, Source},
        path::Path,
    },
    kernel::Kernel,
    task::{Pid, Task, ThreadGroup},
};

/// Whose directory it is: a process, or one thread of it.
#[derive(Clone)]
pub(super) struct Who {
    pub(super) group: Arc<ThreadGroup>,
    /// The thread for /proc/PID/task/TID; the process otherwise.
    pub(super) tid: Option<Pid>,
}

impl Who {
    /// A thread that can answer: the one named, or any of the process.
    ///
    /// # Errors
    /// `ESRCH` for one that has ended.
    pub(super) fn task(&self, kernel: &Kernel) -> Result<Arc<Task>> {
        let tree = kernel.tasks.lock();
        let task = match self.tid {
            Some(tid) => tree.thread(tid).cloned(),
            None => tree.threads_of(self.group.pid).into_iter().next(),
        };
        task.filter(|task| Arc::ptr_eq(&task.group, &self.group)).ok_or(Errno::ESRCH)
    }

    /// The number its directory is named by.
    pub(super) fn id(&self) -> Pid {
        self.tid.unwrap_or(self.group.pid)
    }
}

/// What a node is.
#[derive(Clone)]
pub(super) enum Node {
    Root,
    /// An entry of the fixed part.
    Fixed(&'static Entry),
    /// A process's or thread's directory.
    Process(Who),
    /// Something in it.
    InProcess(Who, &'static PidEntry),
    /// /proc/PID/task/TID is a `Process`; these are the entries of fd, fdinfo and ns.
    Descriptor(Who, i32),
    DescriptorInfo(Who, i32),
    Namespace(Who, &'static str),
}

/// A node of procfs.
pub(super) struct ProcInode {
    fs: Weak<ProcFs>,
    kernel: Weak<Kernel>,
    pub(super) node: Node,
    common: InodeCommon,
}

impl ProcInode {
    pub(super) fn make(fs: Weak<ProcFs>, kernel: Weak<Kernel>, node: Node) -> Arc<dyn Inode> {
        Arc::new(ProcInode { fs, kernel, node, common: InodeCommon::default() })
    }

    fn sibling(&self, node: Node) -> Arc<dyn Inode> {
        ProcInode::make(self.fs.clone(), self.kernel.clone(), node)
    }

    fn kernel(&self) -> Result<Arc<Kernel>> {
        self.kernel.upgrade().ok_or(Errno::ESRCH)
    }

    /// The text of a file.
    pub(super) fn text(&self, task: &Task) -> Result<Vec<u8>> {
        self.check_alive()?;
        let kernel = self.kernel()?;
        match &self.node {
            Node::Fixed(Entry { content: Content::Text(make), .. }) => Ok(make(&kernel, task)),
            Node::Fixed(Entry { content: Content::Sysctl(make, _), .. }) => Ok(make(&kernel)),
            Node::InProcess(who, PidEntry { node: PidNode::Text(make), .. }) => make(&kernel, who, task),
            Node::InProcess(who, PidEntry { node: PidNode::Writable(make, _), .. }) => {
                make(&kernel, who, task)
            }
            Node::DescriptorInfo(who, fd) => process::descriptor_info(&kernel, who, *fd),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Takes what was written to a file.
    pub(super) fn store(&self, task: &Task, bytes: &[u8]) -> Result<()> {
        let kernel = self.kernel()?;
        match &self.node {
            Node::Fixed(Entry { content: Content::Sysctl(_, Some(store)), .. }) => store(&kernel, bytes),
            Node::InProcess(who, PidEntry { node: PidNode::Writable(_, store), .. }) => {
                store(&kernel, who, task, bytes)
            }
            _ => Err(Errno::EACCES),
        }
    }

    fn is_memory(&self) -> Option<&Who> {
        match &self.node {
            Node::InProcess(who, PidEntry { node: PidNode::Memory, .. }) => Some(who),
            _ => None,
        }
    }

    /// Reads /proc/PID/mem; `None` for other files.
    pub(super) fn read_memory(
        &self,
        task: &Task,
        dst: &mut dyn Sink,
        pos: &mut u64,
    ) -> Option<Result<usize>> {
        let who = self.is_memory()?;
        Some(self.memory_of(who, task).and_then(|mm| {
            let at = UserAddr(*pos);
            let count = dst.fill(64 << 10, &mut |buffer| match mm.space.read(at, buffer) {
                Ok(()) => Ok(buffer.len()),
                Err(fault) if fault.done > 0 => Ok(fault.done),
                Err(_) => Err(Errno::EIO),
            })?;
            *pos += count as u64;
            Ok(count)
        }))
    }

    /// Writes /proc/PID/mem; `None` for other files.
    pub(super) fn write_memory(
        &self,
        task: &Task,
        src: &mut dyn Source,
        pos: &mut u64,
    ) -> Option<Result<usize>> {
        let who = self.is_memory()?;
        Some(self.memory_of(who, task).and_then(|mm| {
            let at = UserAddr(*pos);
            let target = who.task(&*self.kernel()?)?;
            let count = src.drain(64 << 10, &mut |buffer| match mm.space.write(at, buffer) {
                Ok(()) => Ok(buffer.len()),
                Err(fault) if fault.done > 0 => Ok(fault.done),
                // A tracer may write what its tracee may not.
                Err(_) => task.trace_poke(&target, at, buffer).map(|()| buffer.len()),
            })?;
            *pos += count as u64;
            Ok(count)
        }))
    }

    fn memory_of(&self, who: &Who, task: &Task) -> Result<Arc<crate::mm::Mm>> {
        let target = who.task(&*self.kernel()?)?;
        crate::syscalls::memory::check_access(task, &target).map_err(|_| Errno::EACCES)?;
        target.mm()
    }

    /// Who owns a node of a process: its user, or root where it is not dumpable.
    fn owner(&self, who: &Who) -> (u32, u32) {
        let Ok(kernel) = self.kernel() else { return (0, 0) };
        let Ok(task) = who.task(&kernel) else { return (0, 0) };
        let creds = task.creds();
        let dumpable = who.group.dumpable.load(std::sync::atomic::Ordering::Relaxed);
        if dumpable { (creds.euid, creds.egid) } else { (0, 0) }
    }

    fn links(&self) -> u32 {
        match &self.node {
            Node::InProcess(who, PidEntry { node: PidNode::Tasks, .. }) => {
                let threads =
                    self.kernel().map_or(0, |kernel| kernel.tasks.lock().threads_of(who.group.pid).len());
                2 + u32::try_from(threads).unwrap_or(0)
            }
            _ if self.kind() == FileType::Directory => 2,
            _ => 1,
        }
    }

    /// A number that is the same whenever the same thing is looked up.
    fn number(&self) -> u64 {
        let of = |id: Pid, what: u64| (u64::from(id.unsigned_abs()) << 24) + what;
        match &self.node {
            Node::Root => 1,
            Node::Fixed(entry) => 0x1000_0000_0000 + std::ptr::from_ref(*entry).addr() as u64 % 0x1000_0000,
            Node::Process(who) => of(who.id(), 1),
            Node::InProcess(who, entry) => of(who.id(), 2 + entry.index()),
            Node::Descriptor(who, fd) => of(who.id(), 0x10_0000 + u64::from(fd.unsigned_abs())),
            Node::DescriptorInfo(who, fd) => of(who.id(), 0x40_0000 + u64::from(fd.unsigned_abs())),
            Node::Namespace(_, name) => 0xf000_0000 + name.bytes().map(u64::from).sum::<u64>(),
        }
    }

    /// A descriptor's link is readable and writable as the descriptor is.
    fn descriptor_perm(&self, who: &Who, fd: i32) -> u32 {
        let file = self.kernel().and_then(|kernel| who.task(&kernel)).and_then(|task| task.file_or_path(fd));
        file.map_or(0, |file| {
            0o100 | if file.readable() { 0o400 } else { 0 } | if file.writable() { 0o200 } else { 0 }
        })
    }

    /// What a process's directory needs to have anything in it.
    fn check_alive(&self) -> Result<()> {
        let who = match &self.node {
            Node::Process(who) | Node::InProcess(who, _) | Node::DescriptorInfo(who, _) => who,
            _ => return Ok(()),
        };
        let kernel = self.kernel()?;
        let tree = kernel.tasks.lock();
        let same = tree.process(who.group.pid).is_some_and(|process| Arc::ptr_eq(&process.group, &who.group));
        if same { Ok(()) } else { Err(Errno::ESRCH) }
    }

    fn perm(&self) -> u32 {
        match &self.node {
            Node::Root | Node::Process(_) => 0o555,
            Node::Fixed(entry) => entry.perm(),
            Node::InProcess(_, entry) => entry.perm,
            Node::Descriptor(who, fd) => self.descriptor_perm(who, *fd),
            Node::DescriptorInfo(..) => 0o444,
            Node::Namespace(..) => 0o777,
        }
    }
}

impl Inode for ProcInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        match &self.node {
            Node::Root | Node::Process(_) => FileType::Directory,
            Node::Fixed(entry) => entry.kind(),
            Node::InProcess(_, entry) => entry.kind(),
            Node::Descriptor(..) | Node::Namespace(..) => FileType::Symlink,
            Node::DescriptorInfo(..) => FileType::Regular,
        }
    }

    fn attr(&self) -> Result<Attr> {
        let (uid, gid) = match &self.node {
            Node::Process(who)
            | Node::InProcess(who, _)
            | Node::Descriptor(who, _)
            | Node::DescriptorInfo(who, _)
            | Node::Namespace(who, _) => self.owner(who),
            _ => (0, 0),
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let time = FileTime { sec: i64::try_from(now.as_secs()).unwrap_or(0), nsec: now.subsec_nanos() };
        Ok(Attr {
            kind: self.kind(),
            perm: self.perm(),
            ino: self.number(),
            dev: self.fs.upgrade().map_or(0, |fs| fs.dev()),
            rdev: 0,
            nlink: self.links(),
            uid,
            gid,
            size: if matches!(self.node, Node::Descriptor(..)) { 64 } else { 0 },
            blocks: 0,
            blksize: 1024,
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
        })
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        // O_TRUNC on a file that can be written changes nothing.
        let only_size = change.perm.is_none() && change.uid.is_none() && change.gid.is_none();
        if only_size { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn open(self: Arc<Self>, task: &Task, flags: u32) -> Result<Box<dyn FileOps>> {
        if self.kind() == FileType::Directory {
            return Ok(Box::new(DirectoryFile::new(self)));
        }
        if let Some(who) = self.is_memory() {
            self.memory_of(who, task)?;
        }
        if flags & 3 != 0 && self.perm() & 0o222 == 0 {
            return Err(Errno::EACCES);
        }
        Ok(Box::new(ProcFile::new(self)))
    }

    fn cacheable(&self) -> bool {
        false
    }

    fn lookup(&self, task: &Task, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.check_alive()?;
        let kernel = self.kernel()?;
        let number = || parse_number(name).ok_or(Errno::ENOENT);
        match &self.node {
            Node::Root => {
                if let Some(entry) = tree::find(tree::ROOT, name) {
                    return Ok(self.sibling(Node::Fixed(entry)));
                }
                let id = number()?;
                let group = process_or_thread(&kernel, id)?;
                let tid = (group.pid != id).then_some(id);
                Ok(self.sibling(Node::Process(Who { group, tid })))
            }
            Node::Fixed(Entry { content: Content::Directory(entries), .. }) => {
                let entry = tree::find(entries, name).ok_or(Errno::ENOENT)?;
                Ok(self.sibling(Node::Fixed(entry)))
            }
            Node::Process(who) => {
                let entry = process::find(name, who.tid.is_some()).ok_or(Errno::ENOENT)?;
                // A zombie has no descriptors, but its directory is there.
                Ok(self.sibling(Node::InProcess(who.clone(), entry)))
            }
            Node::InProcess(who, entry) => match entry.node {
                PidNode::Tasks => {
                    let tid = number()?;
                    let tree = kernel.tasks.lock();
                    let thread = tree
                        .thread(tid)
                        .filter(|t| Arc::ptr_eq(&t.group, &who.group))
                        .ok_or(Errno::ENOENT)?;
                    Ok(self.sibling(Node::Process(Who { group: Arc::clone(&thread.group), tid: Some(tid) })))
                }
                PidNode::Descriptors | PidNode::DescriptorInfos => {
                    let target = who.task(&kernel).map_err(|_| Errno::ENOENT)?;
                    crate::syscalls::memory::check_access(task, &target).map_err(|_| Errno::EACCES)?;
                    let fd = number()?;
                    target.file_or_path(fd).map_err(|_| Errno::ENOENT)?;
                    let links = matches!(entry.node, PidNode::Descriptors);
                    let who = who.clone();
                    Ok(self.sibling(if links {
                        Node::Descriptor(who, fd)
                    } else {
                        Node::DescriptorInfo(who, fd)
                    }))
                }
                PidNode::Namespaces => {
                    let name =
                        process::NAMESPACES.iter().find(|n| n.as_bytes() == name).ok_or(Errno::ENOENT)?;
                    Ok(self.sibling(Node::Namespace(who.clone(), name)))
                }
                PidNode::Net => {
                    let entry = tree::find(tree::NET, name).ok_or(Errno::ENOENT)?;
                    Ok(self.sibling(Node::Fixed(entry)))
                }
                _ => Err(Errno::ENOTDIR),
            },
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn create(&self, _name: &[u8], _node: &crate::fs::inode::NewNode<'_>) -> Result<Arc<dyn Inode>> {
        Err(if self.kind() == FileType::Directory { Errno::ENOENT } else { Errno::ENOTDIR })
    }

    fn entries(&self, _task: &Task, from: u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        let kernel = self.kernel()?;
        let mut list: Vec<(String, FileType, u64)> = Vec::new();
        // Positions: fixed names count from 1, numbered ones follow by their number, so that both are stable.
        const NUMBERED: u64 = 0x1000;
        let fixed = |list: &mut Vec<(String, FileType, u64)>, entries: &'static [Entry]| {
            for (index, entry) in entries.iter().enumerate() {
                list.push((entry.name.to_owned(), entry.kind(), index as u64 + 1));
            }
        };
        let numbered = |list: &mut Vec<(String, FileType, u64)>, numbers: Vec<i32>, kind: FileType| {
            for number in numbers {
                list.push((number.to_string(), kind, NUMBERED + u64::from(number.unsigned_abs())));
            }
        };
        match &self.node {
            Node::Root => {
                fixed(&mut list, tree::ROOT);
                let pids = kernel.tasks.lock().processes().map(|(pid, _)| pid).collect();
                numbered(&mut list, pids, FileType::Directory);
            }
            Node::Fixed(Entry { content: Content::Directory(entries), .. }) => fixed(&mut list, entries),
            Node::Process(who) => {
                for entry in process::entries(who.tid.is_some()) {
                    list.push((entry.name.to_owned(), entry.kind(), entry.index() + 1));
                }
            }
            Node::InProcess(who, entry) => match entry.node {
                PidNode::Tasks => {
                    let tids =
                        kernel.tasks.lock().threads_of(who.group.pid).iter().map(|t| t.tid()).collect();
                    numbered(&mut list, tids, FileType::Directory);
                }
                PidNode::Descriptors | PidNode::DescriptorInfos => {
                    let files = who.task(&kernel).and_then(|task| task.files());
                    let fds = files
                        .map(|files| files.list().into_iter().map(|(fd, _)| fd).collect())
                        .unwrap_or_default();
                    let links = matches!(entry.node, PidNode::Descriptors);
                    numbered(&mut list, fds, if links { FileType::Symlink } else { FileType::Regular });
                }
                PidNode::Namespaces => {
                    for (index, name) in process::NAMESPACES.iter().enumerate() {
                        list.push(((*name).to_owned(), FileType::Symlink, index as u64 + 1));
                    }
                }
                PidNode::Net => fixed(&mut list, tree::NET),
                _ => return Err(Errno::ENOTDIR),
            },
            _ => return Err(Errno::ENOTDIR),
        }
        for (name, kind, position) in list {
            if position > from
                && !emit(DirEntry { name: name.as_bytes(), ino: position, kind, next: position })
            {
                break;
            }
        }
        Ok(())
    }

    fn readlink(&self, task: &Task) -> Result<Vec<u8>> {
        let kernel = self.kernel()?;
        match &self.node {
            Node::Fixed(Entry { content: Content::Link(make), .. }) => Ok(make(task)),
            Node::InProcess(who, PidEntry { node: PidNode::Link(follow), .. }) => {
                let target = who.task(&kernel)?;
                crate::syscalls::memory::check_access(task, &target).map_err(|_| Errno::EACCES)?;
                let path = follow(&target)?;
                Ok(crate::fs::describe::path_of(&path, &task.fs().root()))
            }
            Node::Descriptor(who, fd) => {
                let target = who.task(&kernel)?;
                crate::syscalls::memory::check_access(task, &target).map_err(|_| Errno::EACCES)?;
                let file = target.file_or_path(*fd).map_err(|_| Errno::ENOENT)?;
                Ok(process::describe_file(&file, task))
            }
            Node::Namespace(_, name) => {
                let kind = name.trim_end_matches("_for_children");
                Ok(format!("{kind}:[{}]", 4_026_531_834 + kind.len() as u64 + u64::from(kind.as_bytes()[0]))
                    .into_bytes())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn follow_magic(&self, task: &Task) -> Result<Option<Path>> {
        let kernel = self.kernel()?;
        match &self.node {
            Node::InProcess(who, PidEntry { node: PidNode::Link(follow), .. }) => {
                let target = who.task(&kernel)?;
                crate::syscalls::memory::check_access(task, &target).map_err(|_| Errno::EACCES)?;
                follow(&target).map(Some)
            }
            Node::Descriptor(who, fd) => {
                let target = who.task(&kernel)?;
                crate::syscalls::memory::check_access(task, &target).map_err(|_| Errno::EACCES)?;
                let file = target.file_or_path(*fd).map_err(|_| Errno::ENOENT)?;
                process::place_of(&file).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        match self.fs.upgrade() {
            Some(fs) => fs,
            // Only while the sandbox ends.
            None => Arc::new(ProcFs { kernel: self.kernel.clone(), dev: MAGIC, this: Weak::new() }),
        }
    }
}

/// The process with this number, or the process of the thread with it (which readdir does not show).
fn process_or_thread(kernel: &Kernel, id: Pid) -> Result<Arc<ThreadGroup>> {
    let tree = kernel.tasks.lock();
    if let Some(process) = tree.process(id) {
        return Ok(Arc::clone(&process.group));
    }
    tree.thread(id).map(|thread| Arc::clone(&thread.group)).ok_or(Errno::ENOENT)
}

fn parse_number(name: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(name).ok()?;
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}
