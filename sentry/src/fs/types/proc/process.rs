//! The names in a process's directory, and their smaller contents.

use std::{
    fmt::Write,
    sync::{Arc, atomic::Ordering},
};

use linux_abi::{Errno, Result, UserAddr};

use super::{inode::Who, maps, status};
use crate::{
    fs::{
        describe::{describe, path_of},
        file::File,
        inode::FileType,
        path::Path,
        walk::nameless_path,
    },
    kernel::Kernel,
    task::Task,
};

/// A name in a process's directory.
pub(super) struct PidEntry {
    pub(super) name: &'static str,
    pub(super) perm: u32,
    pub(super) node: PidNode,
}

type Show = fn(&Kernel, &Who, &Task) -> Result<Vec<u8>>;
type Store = fn(&Kernel, &Who, &Task, &[u8]) -> Result<()>;

/// What is behind it.
pub(super) enum PidNode {
    Text(Show),
    Writable(Show, Store),
    Link(fn(&Task) -> Result<Path>),
    Memory,
    Tasks,
    Descriptors,
    DescriptorInfos,
    Namespaces,
    Net,
}

impl PidEntry {
    pub(super) fn kind(&self) -> FileType {
        match self.node {
            PidNode::Text(_) | PidNode::Writable(..) | PidNode::Memory => FileType::Regular,
            PidNode::Link(_) => FileType::Symlink,
            _ => FileType::Directory,
        }
    }

    /// Its position in the directory.
    pub(super) fn index(&self) -> u64 {
        ENTRIES.iter().position(|entry| std::ptr::eq(entry, self)).unwrap_or(0) as u64
    }
}

/// The entries of a process's directory, or of a thread's.
pub(super) fn entries(thread: bool) -> impl Iterator<Item = &'static PidEntry> {
    ENTRIES.iter().filter(move |entry| !(thread && matches!(entry.node, PidNode::Tasks)))
}

/// The entry `name` of such a directory.
pub(super) fn find(name: &[u8], thread: bool) -> Option<&'static PidEntry> {
    entries(thread).find(|entry| entry.name.as_bytes() == name)
}

/// The links in /proc/PID/ns.
pub(super) static NAMESPACES: &[&str] =
    &["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];

const fn text(name: &'static str, perm: u32, show: Show) -> PidEntry {
    PidEntry { name, perm, node: PidNode::Text(show) }
}

const fn writable(name: &'static str, show: Show, store: Store) -> PidEntry {
    PidEntry { name, perm: 0o644, node: PidNode::Writable(show, store) }
}

const fn directory(name: &'static str, perm: u32, node: PidNode) -> PidEntry {
    PidEntry { name, perm, node }
}

const fn link(name: &'static str, follow: fn(&Task) -> Result<Path>) -> PidEntry {
    PidEntry { name, perm: 0o777, node: PidNode::Link(follow) }
}

static ENTRIES: &[PidEntry] = &[
    text("auxv", 0o400, auxv),
    text("cgroup", 0o444, |_, _, _| Ok(b"0::/\n".to_vec())),
    text("cmdline", 0o444, cmdline),
    writable("comm", comm, set_comm),
    writable("coredump_filter", |_, _, _| Ok(b"00000033\n".to_vec()), |_, _, _, _| Ok(())),
    link("cwd", |task| Ok(task.fs().cwd())),
    text("environ", 0o400, environ),
    link("exe", exe),
    directory("fd", 0o500, PidNode::Descriptors),
    directory("fdinfo", 0o555, PidNode::DescriptorInfos),
    text("gid_map", 0o444, |_, _, _| Ok(b"         0          0 4294967295\n".to_vec())),
    text("io", 0o400, |_, _, _| {
        Ok(b"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n".to_vec())
    }),
    text("limits", 0o444, status::limits),
    writable("loginuid", |_, _, _| Ok(b"4294967295".to_vec()), |_, _, _, _| Err(Errno::EPERM)),
    text("maps", 0o444, maps::maps),
    PidEntry { name: "mem", perm: 0o600, node: PidNode::Memory },
    text("mountinfo", 0o444, maps::mountinfo),
    text("mounts", 0o444, maps::mounts),
    text("mountstats", 0o400, |_, _, _| Ok(Vec::new())),
    directory("net", 0o555, PidNode::Net),
    directory("ns", 0o511, PidNode::Namespaces),
    writable("oom_adj", |_, _, _| Ok(b"0\n".to_vec()), |_, _, _, _| Ok(())),
    text("oom_score", 0o444, |_, _, _| Ok(b"0\n".to_vec())),
    writable("oom_score_adj", oom_score_adj, set_oom_score_adj),
    text("personality", 0o400, |_, who, _| {
        Ok(format!("{:08x}\n", who.group.personality.load(Ordering::Relaxed)).into_bytes())
    }),
    link("root", |task| Ok(task.fs().root())),
    text("schedstat", 0o444, |_, _, _| Ok(b"0 0 0\n".to_vec())),
    text("setgroups", 0o444, |_, _, _| Ok(b"allow\n".to_vec())),
    text("smaps", 0o444, maps::smaps),
    text("smaps_rollup", 0o444, maps::smaps_rollup),
    text("stat", 0o444, status::stat),
    text("statm", 0o444, status::statm),
    text("status", 0o444, status::status),
    directory("task", 0o555, PidNode::Tasks),
    text("timerslack_ns", 0o444, |kernel, who, _| {
        Ok(format!("{}\n", who.task(kernel)?.scheduling.lock().timer_slack_ns).into_bytes())
    }),
    text("uid_map", 0o444, |_, _, _| Ok(b"         0          0 4294967295\n".to_vec())),
    text("wchan", 0o444, |_, _, _| Ok(b"0".to_vec())),
];

fn exe(task: &Task) -> Result<Path> {
    task.group.executable.lock().as_ref().and_then(|file| file.path().cloned()).ok_or(Errno::ENOENT)
}

/// Guest memory from `range`, as far as it can be read.
fn memory(
    kernel: &Kernel,
    who: &Who,
    range: impl Fn(&crate::mm::ProgramInfo) -> (u64, u64),
) -> Result<Vec<u8>> {
    const MOST: u64 = 8 << 20;
    let Ok(task) = who.task(kernel) else { return Ok(Vec::new()) };
    let Ok(mm) = task.mm() else { return Ok(Vec::new()) };
    let (start, end) = range(&mm.info());
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(start).min(MOST)).unwrap_or(0)];
    if let Err(fault) = mm.space.read(UserAddr(start), &mut bytes) {
        bytes.truncate(fault.done);
    }
    Ok(bytes)
}

fn cmdline(kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    let mut bytes = memory(kernel, who, |info| info.args)?;
    // setproctitle(3) overwrites the last terminator and goes on into the environment.
    if bytes.last().is_some_and(|&byte| byte != 0) {
        bytes.extend(memory(kernel, who, |info| info.environment)?);
        if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
            bytes.truncate(end + 1);
        }
    }
    Ok(bytes)
}

fn environ(kernel: &Kernel, who: &Who, task: &Task) -> Result<Vec<u8>> {
    let target = who.task(kernel)?;
    crate::syscalls::memory::check_access(task, &target).map_err(|_| Errno::EACCES)?;
    memory(kernel, who, |info| info.environment)
}

fn auxv(kernel: &Kernel, who: &Who, task: &Task) -> Result<Vec<u8>> {
    let target = who.task(kernel)?;
    crate::syscalls::memory::check_access(task, &target).map_err(|_| Errno::EACCES)?;
    let info = target.mm()?.info();
    Ok(info.auxv.iter().flat_map(|(key, value)| [key.to_le_bytes(), value.to_le_bytes()]).flatten().collect())
}

/// The name of a thread, without its padding.
pub(super) fn name_of(task: &Task) -> String {
    let name = *task.name.lock();
    let name: Vec<u8> = name.into_iter().take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&name).into_owned()
}

fn comm(kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    Ok(format!("{}\n", name_of(&*who.task(kernel)?)).into_bytes())
}

fn set_comm(kernel: &Kernel, who: &Who, task: &Task, bytes: &[u8]) -> Result<()> {
    let target = who.task(kernel)?;
    if target.pid() != task.pid() {
        return Err(Errno::EINVAL);
    }
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().take(15).zip(bytes) {
        *to = *from;
    }
    if let Some(last) =
        bytes.len().checked_sub(1).filter(|&last| last < 15 && bytes.get(last) == Some(&b'\n'))
    {
        name[last.min(15)] = 0;
    }
    *target.name.lock() = name;
    Ok(())
}

fn oom_score_adj(_kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    Ok(format!("{}\n", who.group.oom_score_adj.load(Ordering::Relaxed)).into_bytes())
}

fn set_oom_score_adj(_kernel: &Kernel, who: &Who, task: &Task, bytes: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let value: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    let lower = value < who.group.oom_score_adj.load(Ordering::Relaxed);
    if lower && !task.capable(crate::credentials::Caps::SYS_RESOURCE) {
        return Err(Errno::EACCES);
    }
    who.group.oom_score_adj.store(value, Ordering::Relaxed);
    Ok(())
}

/// Where a descriptor's link leads.
pub(super) fn place_of(file: &Arc<File>) -> Result<Path> {
    match (file.path(), file.inode()) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(inode)) => Ok(nameless_path(Arc::clone(inode))),
        (None, None) => Err(Errno::ENXIO),
    }
}

/// The text of a descriptor's link.
pub(super) fn describe_file(file: &Arc<File>, task: &Task) -> Vec<u8> {
    if let Some(path) = file.path() {
        let description = describe(path, &task.fs().root());
        return if description.path.first() == Some(&b'/') {
            path_of(path, &task.fs().root())
        } else {
            description.path
        };
    }
    if let Some(inode) = file.inode() {
        let ino = inode.attr().map_or(0, |attr| attr.ino);
        match inode.kind() {
            FileType::Fifo => return format!("pipe:[{ino}]").into_bytes(),
            FileType::Socket => return format!("socket:[{ino}]").into_bytes(),
            _ => {}
        }
    }
    file.ops().anonymous_name().into_bytes()
}

/// /proc/PID/fdinfo/FD.
pub(super) fn descriptor_info(kernel: &Kernel, who: &Who, fd: i32) -> Result<Vec<u8>> {
    let task = who.task(kernel)?;
    let files = task.files()?;
    let file = files.get(fd).map_err(|_| Errno::ENOENT)?;
    let close_on_exec = if files.close_on_exec(fd).unwrap_or(false) { 0o2_000_000 } else { 0 };
    let offset = *file.offset.lock();
    let ino = file.inode().and_then(|inode| inode.attr().ok()).map_or(0, |attr| attr.ino);
    let mut text = String::new();
    let _ = write!(
        text,
        "pos:\t{offset}\nflags:\t0{:o}\nmnt_id:\t1\nino:\t{ino}\n",
        file.flags() | close_on_exec
    );
    text.push_str(&file.ops().fdinfo());
    Ok(text.into_bytes())
}
