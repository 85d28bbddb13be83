//! /proc/PID/maps, smaps, mounts, mountinfo.

use std::{fmt::Write, sync::Arc};

use linux_abi::Result;
use platform::Prot;

use super::inode::Who;
use crate::{
    fs::describe::{describe, path_of},
    kernel::Kernel,
    mm::vma::{Backing, Vma, VmaFlags},
    task::Task,
};

/// The mappings of a process; none for one that has ended.
fn mappings(kernel: &Kernel, who: &Who, task: &Task) -> Result<(Vec<Vma>, (u64, u64), u64)> {
    let Ok(target) = who.task(kernel) else { return Ok((Vec::new(), (0, 0), 0)) };
    crate::syscalls::memory::check_access(task, &target).map_err(|_| linux_abi::Errno::EACCES)?;
    let Ok(mm) = target.mm() else { return Ok((Vec::new(), (0, 0), 0)) };
    Ok((mm.mappings(), mm.heap(), mm.resident()))
}

fn head(text: &mut String, vma: &Vma, heap: (u64, u64), task: &Task) {
    let flag = |prot: Prot, letter: char| if vma.prot.has(prot) { letter } else { '-' };
    let shared = if vma.flags.contains(VmaFlags::SHARED) { 's' } else { 'p' };
    let (offset, dev, ino) = match &vma.backing {
        Backing::File { file, offset } => {
            let attr = file.inode().and_then(|inode| inode.attr().ok());
            (*offset, attr.map_or(0, |attr| attr.dev), attr.map_or(0, |attr| attr.ino))
        }
        Backing::SharedMemory { memory, offset } => (*offset, 1, memory.ino()),
        Backing::Anonymous | Backing::Special(_) => (0, 0, 0),
    };
    let start = text.len();
    let _ = write!(
        text,
        "{:08x}-{:08x} {}{}{}{shared} {offset:08x} {:02x}:{:02x} {ino}",
        vma.range.start(),
        vma.range.end(),
        flag(Prot::READ, 'r'),
        flag(Prot::WRITE, 'w'),
        flag(Prot::EXEC, 'x'),
        (dev >> 8) & 0xfff,
        (dev & 0xff) | ((dev >> 12) & 0xf_ff00),
    );
    let name = match &vma.backing {
        Backing::File { file, .. } => match file.path() {
            Some(path) => String::from_utf8_lossy(&path_of(path, &task.fs().root())).into_owned(),
            None => String::new(),
        },
        Backing::SharedMemory { memory, .. } => match &memory.segment {
            Some(segment) => format!("/SYSV{:08x} (deleted)", segment.key),
            None => "/dev/zero (deleted)".to_owned(),
        },
        Backing::Special(name) => (*name).to_owned(),
        Backing::Anonymous if vma.flags.contains(VmaFlags::STACK) => "[stack]".to_owned(),
        Backing::Anonymous
            if heap.0 <= vma.range.start() && vma.range.end() <= heap.1.next_multiple_of(4096) =>
        {
            "[heap]".to_owned()
        }
        Backing::Anonymous => vma.name.as_ref().map(|name| format!("[anon:{name}]")).unwrap_or_default(),
    };
    if name.is_empty() {
        text.push(' ');
    } else {
        while text.len() - start < 73 {
            text.push(' ');
        }
        text.push_str(&name.replace('\n', "\\012"));
    }
    text.push('\n');
}

pub(super) fn maps(kernel: &Kernel, who: &Who, task: &Task) -> Result<Vec<u8>> {
    let (mappings, heap, _) = mappings(kernel, who, task)?;
    let mut text = String::new();
    for vma in &mappings {
        head(&mut text, vma, heap, task);
    }
    Ok(text.into_bytes())
}

fn usage(text: &mut String, size: u64, resident: u64) {
    let (size, resident) = (size / 1024, resident / 1024);
    for (name, value) in [
        ("Size", size),
        ("KernelPageSize", 4),
        ("MMUPageSize", 4),
        ("Rss", resident),
        ("Pss", resident),
        ("Shared_Clean", 0),
        ("Shared_Dirty", 0),
        ("Private_Clean", 0),
        ("Private_Dirty", resident),
        ("Referenced", resident),
        ("Anonymous", resident),
        ("AnonHugePages", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", 0),
    ] {
        let _ = writeln!(text, "{:<16}{value:>8} kB", format!("{name}:"));
    }
}

pub(super) fn smaps(kernel: &Kernel, who: &Who, task: &Task) -> Result<Vec<u8>> {
    let (mappings, heap, resident) = mappings(kernel, who, task)?;
    let total: u64 = mappings.iter().map(|vma| vma.range.len()).sum::<u64>().max(1);
    let mut text = String::new();
    for vma in &mappings {
        head(&mut text, vma, heap, task);
        // The host tells the sum only: spread by size.
        let share = u128::from(resident) * u128::from(vma.range.len()) / u128::from(total);
        usage(&mut text, vma.range.len(), u64::try_from(share).unwrap_or(0) & !4095);
        text.push_str("VmFlags: rd wr mr mw me\n");
    }
    Ok(text.into_bytes())
}

pub(super) fn smaps_rollup(kernel: &Kernel, who: &Who, task: &Task) -> Result<Vec<u8>> {
    let (mappings, _, resident) = mappings(kernel, who, task)?;
    let (Some(first), Some(last)) = (mappings.first(), mappings.last()) else { return Ok(Vec::new()) };
    let mut text = format!(
        "{:08x}-{:08x} ---p 00000000 00:00 0                          [rollup]\n",
        first.range.start(),
        last.range.end()
    );
    usage(&mut text, 0, resident);
    Ok(text.into_bytes())
}

/// A field of mounts(5), with blanks and the like in octal.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                let _ = write!(text, "\\{byte:03o}");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}

/// The mount flags as options.
fn flag_options(flags: u64) -> String {
    let mut options = String::from(if flags & linux_abi::fcntl::MS_RDONLY != 0 { "ro" } else { "rw" });
    for (flag, name) in [
        (linux_abi::fcntl::MS_NOSUID, ",nosuid"),
        (linux_abi::fcntl::MS_NODEV, ",nodev"),
        (linux_abi::fcntl::MS_NOEXEC, ",noexec"),
        (linux_abi::fcntl::MS_NOATIME, ",noatime"),
        (linux_abi::fcntl::MS_NODIRATIME, ",nodiratime"),
        (linux_abi::fcntl::MS_RELATIME, ",relatime"),
    ] {
        if flags & flag != 0 {
            options.push_str(name);
        }
    }
    options
}

pub(super) fn mounts(kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    let target = who.task(kernel)?;
    let root = target.fs().root();
    let Some(namespace) = root.mount.namespace() else { return Ok(Vec::new()) };
    let mut text = String::new();
    for mount in namespace.list() {
        let place = describe(&mount.root_path(), &root);
        if !place.reachable {
            continue;
        }
        let options = mount.fs.options();
        let separator = if options.is_empty() { "" } else { "," };
        let _ = writeln!(
            text,
            "{} {} {} {}{separator}{options} 0 0",
            escape(&mount.source),
            escape(&place.path),
            mount.fs.name(),
            flag_options(mount.flags()),
        );
    }
    Ok(text.into_bytes())
}

pub(super) fn mountinfo(kernel: &Kernel, who: &Who, _task: &Task) -> Result<Vec<u8>> {
    let target = who.task(kernel)?;
    let root = target.fs().root();
    let Some(namespace) = root.mount.namespace() else { return Ok(Vec::new()) };
    let mut text = String::new();
    for mount in namespace.list() {
        let place = describe(&mount.root_path(), &root);
        if !place.reachable {
            continue;
        }
        let parent = mount.mountpoint().map_or(mount.id, |on| on.mount.id);
        let fs_root = crate::fs::types::proc::maps::root_in_filesystem(&mount.root);
        let dev = mount.fs.dev();
        let options = mount.fs.options();
        let separator = if options.is_empty() { "" } else { "," };
        let _ = writeln!(
            text,
            "{} {parent} {}:{} {} {} {} - {} {} rw{separator}{options}",
            mount.id,
            (dev >> 8) & 0xfff,
            (dev & 0xff) | ((dev >> 12) & 0xf_ff00),
            escape(&fs_root),
            escape(&place.path),
            flag_options(mount.flags()),
            mount.fs.name(),
            escape(&mount.source),
        );
    }
    Ok(text.into_bytes())
}

/// The path of a mount's root within its filesystem.
pub(super) fn root_in_filesystem(root: &Arc<crate::fs::dentry::Dentry>) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = Arc::clone(root);
    while let Some(parent) = at.parent() {
        names.push(at.name());
        at = parent;
    }
    if names.is_empty() {
        return b"/".to_vec();
    }
    names.iter().rev().flat_map(|name| [b"/".as_slice(), name].concat()).collect()
}
