//! Memory: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), brk(2), mlock(2), msync(2), mincore(2), process_vm_readv(2).

use linux_abi::{Errno, PAGE_SIZE, PageRange, Result, UserAddr};
use platform::Prot;

use crate::{
    credentials::Caps,
    error::SysResult,
    limits::Limits,
    mm::{
        map::{Caller, MAP_ANONYMOUS, MapRequest},
        map_errno,
    },
    task::{Task, ThreadCx, usermem::UserMemory},
};

fn limits(cx: &ThreadCx) -> (Limits, Caps) {
    (*cx.task.group.limits.lock(), cx.task.creds().effective)
}

/// The low half of a register: arguments that are `int` or `unsigned int` in the kernel.
fn low(word: u64) -> u32 {
    u32::try_from(word & 0xffff_ffff).unwrap_or(0)
}

/// mmap(2).
pub fn mmap(
    cx: &mut ThreadCx,
    addr: UserAddr,
    len: usize,
    prot: u64,
    flags: u64,
    fd: i32,
    offset: u64,
) -> SysResult<UserAddr> {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let flags = low(flags);
    let file = if flags & MAP_ANONYMOUS == 0 { Some(cx.task.file(fd)?) } else { None };
    let (limits, caps) = limits(cx);
    let mm = cx.task.mm()?;
    let request = MapRequest {
        addr: addr.0,
        len: len as u64,
        prot: Prot(low(prot) & 7),
        flags,
        file: file.as_ref(),
        offset,
        memory: None,
    };
    Ok(mm.mmap(&mut *cx.context, &Caller { limits: &limits, caps }, &request)?)
}

/// munmap(2).
pub fn munmap(cx: &mut ThreadCx, addr: UserAddr, len: usize) -> SysResult<()> {
    Ok(cx.task.mm()?.munmap(&mut *cx.context, addr.0, len as u64)?)
}

/// mprotect(2).
pub fn mprotect(cx: &mut ThreadCx, addr: UserAddr, len: usize, prot: u64) -> SysResult<()> {
    Ok(cx.task.mm()?.mprotect(&mut *cx.context, addr.0, len as u64, low(prot))?)
}

/// pkey_mprotect(2): there are no protection keys, so only key -1 is one.
pub fn pkey_mprotect(cx: &mut ThreadCx, addr: UserAddr, len: usize, prot: u64, pkey: i32) -> SysResult<()> {
    if pkey != -1 && len > 0 {
        return Err(Errno::EINVAL.into());
    }
    mprotect(cx, addr, len, prot)
}

/// brk(2).
pub fn brk(cx: &mut ThreadCx, addr: UserAddr) -> SysResult<u64> {
    let (limits, _) = limits(cx);
    Ok(cx.task.mm()?.brk(&mut *cx.context, &limits, addr.0))
}

/// mremap(2).
pub fn mremap(
    cx: &mut ThreadCx,
    old: UserAddr,
    old_len: usize,
    new_len: usize,
    flags: u64,
    new: UserAddr,
) -> SysResult<UserAddr> {
    let (limits, caps) = limits(cx);
    let mm = cx.task.mm()?;
    let caller = Caller { limits: &limits, caps };
    let what = (old.0, old_len as u64, new_len as u64);
    Ok(mm.mremap(&mut *cx.context, &caller, what, low(flags), new.0)?)
}

/// madvise(2).
pub fn madvise(cx: &mut ThreadCx, addr: UserAddr, len: usize, advice: i32) -> SysResult<()> {
    Ok(cx.task.mm()?.madvise(&mut *cx.context, addr.0, len as u64, advice)?)
}

/// mlock(2).
pub fn mlock(cx: &mut ThreadCx, addr: UserAddr, len: usize) -> SysResult<()> {
    let (limits, caps) = limits(cx);
    Ok(cx.task.mm()?.mlock(&Caller { limits: &limits, caps }, addr.0, len as u64, true)?)
}

/// mlock2(2).
pub fn mlock2(cx: &mut ThreadCx, addr: UserAddr, len: usize, flags: u32) -> SysResult<()> {
    if flags & !1 != 0 {
        return Err(Errno::EINVAL.into());
    }
    mlock(cx, addr, len)
}

/// munlock(2).
pub fn munlock(cx: &mut ThreadCx, addr: UserAddr, len: usize) -> SysResult<()> {
    let (limits, caps) = limits(cx);
    Ok(cx.task.mm()?.mlock(&Caller { limits: &limits, caps }, addr.0, len as u64, false)?)
}

/// mlockall(2).
pub fn mlockall(cx: &mut ThreadCx, flags: u32) -> SysResult<()> {
    const CURRENT: u32 = 1;
    const FUTURE: u32 = 2;
    const ONFAULT: u32 = 4;
    if flags == 0 || flags & !(CURRENT | FUTURE | ONFAULT) != 0 || flags == ONFAULT {
        return Err(Errno::EINVAL.into());
    }
    let (limits, caps) = limits(cx);
    let limit = limits.soft(crate::limits::RLIMIT_MEMLOCK);
    let mm = cx.task.mm()?;
    if !caps.contains(Caps::IPC_LOCK) {
        if limit == 0 {
            return Err(Errno::EPERM.into());
        }
        if flags & CURRENT != 0 && mm.sizes().total > limit {
            return Err(Errno::ENOMEM.into());
        }
    }
    mm.lock_all(flags & CURRENT != 0, flags & FUTURE != 0);
    Ok(())
}

/// munlockall(2).
pub fn munlockall(cx: &mut ThreadCx) -> SysResult<()> {
    cx.task.mm()?.lock_all(false, false);
    Ok(())
}

/// msync(2). Shared mappings *are* the file's pages, so there is nothing to write to it.
pub fn msync(cx: &mut ThreadCx, addr: UserAddr, len: usize, flags: u32) -> SysResult<()> {
    const ASYNC: u32 = 1;
    const INVALIDATE: u32 = 2;
    const SYNC: u32 = 4;
    if flags & !(ASYNC | INVALIDATE | SYNC) != 0
        || !addr.is_page_aligned()
        || flags & (ASYNC | SYNC) == ASYNC | SYNC
    {
        return Err(Errno::EINVAL.into());
    }
    let range = PageRange::covering(addr.0, len as u64).ok_or(Errno::ENOMEM)?;
    let mm = cx.task.mm()?;
    if flags & INVALIDATE != 0 {
        let locked = |vma: &crate::mm::vma::Vma| {
            vma.range.overlaps(range) && vma.flags.contains(crate::mm::vma::VmaFlags::LOCKED)
        };
        if mm.mappings().iter().any(locked) {
            return Err(Errno::EBUSY.into());
        }
    }
    if !mm.is_mapped(range) {
        return Err(Errno::ENOMEM.into());
    }
    if flags & SYNC != 0 {
        for vma in mm.mappings().iter().filter(|vma| vma.range.overlaps(range)) {
            write_back(vma)?;
        }
    }
    Ok(())
}

/// Writes a shared mapping back. Whether it was written to is not known: it is taken to have been.
fn write_back(vma: &crate::mm::vma::Vma) -> Result<(), Errno> {
    use crate::{
        fs::inode::{FileTime, SetAttr},
        mm::vma::{Backing, VmaFlags},
    };
    let Backing::File { file, .. } = &vma.backing else { return Ok(()) };
    if !vma.flags.contains(VmaFlags::SHARED) || !file.writable() || !vma.prot.has(Prot::WRITE) {
        return Ok(());
    }
    if let Some(inode) = file.inode() {
        inode.set_attr(&SetAttr { mtime: Some(FileTime::now()), ..SetAttr::default() })?;
    }
    file.ops().sync()
}

/// mincore(2).
pub fn mincore(cx: &mut ThreadCx, addr: UserAddr, len: usize, vec: UserAddr) -> SysResult<()> {
    /// Pages that are asked about at once.
    const STEP: usize = 4096;
    if !addr.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let range = PageRange::covering(addr.0, len as u64).ok_or(Errno::ENOMEM)?;
    let (mm, mut start, mut at) = (cx.task.mm()?, range.start(), vec);
    if range.end() > mm.layout().usable.end() {
        return Err(Errno::ENOMEM.into());
    }
    // What was told before a hole stays told.
    while start < range.end() {
        let end = range.end().min(start + STEP as u64 * PAGE_SIZE);
        let part = PageRange::new(start, end).filter(|part| mm.is_mapped(*part)).ok_or(Errno::ENOMEM)?;
        let mut pages = [0; STEP];
        let pages = pages.get_mut(..usize::try_from(part.len() / PAGE_SIZE).unwrap_or(0)).unwrap_or_default();
        cx.context.residency(part, pages).map_err(map_errno)?;
        pages.iter_mut().for_each(|page| *page &= 1);
        cx.write_bytes(at, pages)?;
        (start, at) = (end, at.wrapping_add(pages.len() as u64));
        if cx.task.is_killed() {
            break;
        }
    }
    Ok(())
}

/// mseal(2).
pub fn mseal(cx: &mut ThreadCx, addr: UserAddr, len: usize, flags: u64) -> SysResult<()> {
    if flags != 0 || !addr.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let range = PageRange::covering(addr.0, len as u64).ok_or(Errno::EINVAL)?;
    if range.is_empty() {
        return Ok(());
    }
    Ok(cx.task.mm()?.mseal(range)?)
}

/// remap_file_pages(2): deprecated, and only for shared file mappings. Nothing uses it.
pub fn remap_file_pages(
    _cx: &mut ThreadCx,
    _addr: UserAddr,
    _size: usize,
    _prot: u64,
    _pgoff: usize,
    _flags: u64,
) -> SysResult<()> {
    Err(Errno::EINVAL.into())
}

/// Whether `task` may look into `target` (`ptrace_may_access` with `PTRACE_MODE_ATTACH_REALCREDS`).
///
/// # Errors
/// `EPERM`.
pub(crate) fn check_access(task: &Task, target: &Task) -> Result<()> {
    if task.pid() == target.pid() {
        return Ok(());
    }
    let (mine, theirs) = (task.creds(), target.creds());
    let same = [theirs.euid, theirs.suid, theirs.ruid].iter().all(|&id| id == mine.ruid)
        && [theirs.egid, theirs.sgid, theirs.rgid].iter().all(|&id| id == mine.rgid);
    let dumpable = target.group.dumpable.load(std::sync::atomic::Ordering::Relaxed);
    if mine.capable(Caps::SYS_PTRACE) || (same && dumpable && mine.permitted.contains(theirs.permitted)) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// process_vm_readv(2).
pub fn process_vm_readv(
    cx: &mut ThreadCx,
    pid: i32,
    local: UserAddr,
    liovcnt: u64,
    remote: UserAddr,
    riovcnt: u64,
    flags: u64,
) -> SysResult<usize> {
    process_vm(cx, pid, (local, liovcnt), (remote, riovcnt), flags, false)
}

/// process_vm_writev(2).
pub fn process_vm_writev(
    cx: &mut ThreadCx,
    pid: i32,
    local: UserAddr,
    liovcnt: u64,
    remote: UserAddr,
    riovcnt: u64,
    flags: u64,
) -> SysResult<usize> {
    process_vm(cx, pid, (local, liovcnt), (remote, riovcnt), flags, true)
}

fn process_vm(
    cx: &mut ThreadCx,
    pid: i32,
    (local, local_count): (UserAddr, u64),
    (remote, remote_count): (UserAddr, u64),
    flags: u64,
    write: bool,
) -> SysResult<usize> {
    const CHUNK: usize = 64 << 10;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let count = |n: u64| usize::try_from(n).map_err(|_| Errno::EINVAL);
    let local = cx.read_iovec(local, count(local_count)?)?;
    let remote = cx.read_iovec(remote, count(remote_count)?)?;
    let target = cx.task.kernel.tasks.lock().thread(pid).cloned().ok_or(Errno::ESRCH)?;
    check_access(&cx.task, &target)?;
    let mm = target.mm()?;
    let mut local = Cursor::new(&local);
    let mut remote = Cursor::new(&remote);
    let mut done = 0;
    while let (Some((here, here_len)), Some((there, there_len))) = (local.peek(), remote.peek()) {
        let len = here_len.min(there_len).min(CHUNK);
        let mut buffer = vec![0; len];
        let moved = if write {
            let got = cx.read_partial(here, &mut buffer);
            match mm.space.write(there, buffer.get(..got).unwrap_or_default()) {
                Ok(()) => got,
                Err(fault) => fault.done,
            }
        } else {
            let got = match mm.space.read(there, &mut buffer) {
                Ok(()) => len,
                Err(fault) => fault.done,
            };
            cx.write_bytes(here, buffer.get(..got).unwrap_or_default())?;
            got
        };
        done += moved;
        if moved < len {
            return if done == 0 { Err(Errno::EFAULT.into()) } else { Ok(done) };
        }
        local.advance(len);
        remote.advance(len);
    }
    Ok(done)
}

/// Walks a list of segments.
struct Cursor<'a> {
    segments: &'a [crate::fs::io::Segment],
    offset: usize,
}

impl<'a> Cursor<'a> {
    fn new(segments: &'a [crate::fs::io::Segment]) -> Cursor<'a> {
        Cursor { segments, offset: 0 }
    }

    fn peek(&mut self) -> Option<(UserAddr, usize)> {
        loop {
            let first = self.segments.first()?;
            if self.offset < first.len {
                return Some((first.addr.wrapping_add(self.offset as u64), first.len - self.offset));
            }
            self.segments = self.segments.get(1..).unwrap_or_default();
            self.offset = 0;
        }
    }

    fn advance(&mut self, len: usize) {
        self.offset += len;
    }
}
