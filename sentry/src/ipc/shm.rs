//! Shared memory segments (`ipc/shm.c`).
//!
//! A segment is a memfd. Who has it attached is not counted: every mapping holds the [`SharedMemory`], so its references are the
//! count, whatever splits, forks or ends a mapping. A removed segment keeps a weak reference and is gone with the last mapping.

use std::sync::{Arc, Weak};

use linux_abi::{
    Errno, PAGE_SIZE, Result, UserAddr,
    ipc::{SHM_DEST, SHM_HUGETLB, SHM_LOCKED, ShmInfo, ShmidDs, Shminfo},
};

use super::{
    Name, Perm, now,
    table::{Get, Object, Table},
};
use crate::{
    credentials::{Caps, Credentials},
    limits::RLIMIT_MEMLOCK,
    mm::vma::SharedMemory,
    task::{Pid, Task},
};

/// `SHMMNI`, `SHMMAX`, `SHMALL`.
pub const MAX_SEGMENTS: usize = 4096;
const MAX_SIZE: u64 = u64::MAX - (1 << 24);
const MAX_PAGES: u64 = u64::MAX - (1 << 24);

/// All segments.
pub type Segments = Table<Segment>;

/// A segment.
pub struct Segment {
    perm: Perm,
    size: u64,
    memory: Memory,
    locked: bool,
    attached: i64,
    detached: i64,
    changed: i64,
    creator: Pid,
    last: Pid,
}

enum Memory {
    Kept(Arc<SharedMemory>),
    /// After `IPC_RMID`: as long as it is attached.
    Removed(Weak<SharedMemory>),
}

impl Object for Segment {
    fn perm(&self) -> &Perm {
        &self.perm
    }

    fn perm_mut(&mut self) -> &mut Perm {
        &mut self.perm
    }

    fn is_gone(&self) -> bool {
        matches!(&self.memory, Memory::Removed(memory) if memory.strong_count() == 0)
    }
}

impl Segment {
    fn attachments(&self) -> u64 {
        match &self.memory {
            Memory::Kept(memory) => Arc::strong_count(memory).saturating_sub(1) as u64,
            Memory::Removed(memory) => memory.strong_count() as u64,
        }
    }

    fn pages(&self) -> u64 {
        self.size.div_ceil(PAGE_SIZE)
    }

    /// The mode with the flags that only show.
    fn shown_mode(&self) -> u32 {
        let removed = matches!(self.memory, Memory::Removed(_));
        let flag = |on: bool, flag: i32| if on { flag.cast_unsigned() } else { 0 };
        self.perm.mode | flag(removed, SHM_DEST) | flag(self.locked, SHM_LOCKED)
    }

    fn to_abi(&self) -> ShmidDs {
        let mut perm = self.perm.to_abi();
        perm.mode = self.shown_mode();
        ShmidDs {
            shm_perm: perm,
            shm_segsz: self.size,
            shm_atime: self.attached,
            shm_dtime: self.detached,
            shm_ctime: self.changed,
            shm_cpid: self.creator,
            shm_lpid: self.last,
            shm_nattch: self.attachments(),
            ..ShmidDs::default()
        }
    }

    /// The line of /proc/sysvipc/shm.
    pub(super) fn show(&self, id: i32) -> String {
        let Perm { key, uid, gid, cuid, cgid, .. } = self.perm;
        format!(
            "{key:10} {id:10}  {:4o} {:21} {:5} {:5}  {:5} {uid:5} {gid:5} {cuid:5} {cgid:5} {:10} {:10} {:10} {:21} {:21}\n",
            self.shown_mode(),
            self.size,
            self.creator,
            self.last,
            self.attachments(),
            self.attached,
            self.detached,
            self.changed,
            0,
            0,
        )
    }
}

/// shmget(2).
///
/// # Errors
/// Those of shmget(2).
pub fn get(task: &Task, key: i32, size: u64, flags: i32) -> Result<i32> {
    let creds = task.creds();
    let mut segments = task.kernel.ipc.shm.lock();
    let fits = |segment: &Segment| if segment.size < size { Err(Errno::EINVAL) } else { Ok(()) };
    if let Get::Found(id) = segments.get(key, flags, &creds, fits)? {
        return Ok(id);
    }
    if size == 0 || size > MAX_SIZE {
        return Err(Errno::EINVAL);
    }
    if flags & SHM_HUGETLB != 0 {
        // There is no pool of huge pages to take them from.
        return Err(Errno::ENOMEM);
    }
    let pages: u64 = segments.iter().map(|(_, segment)| segment.pages()).sum();
    let rounded = UserAddr(size).page_up().ok_or(Errno::EINVAL)?.0;
    if segments.count() >= MAX_SEGMENTS {
        return Err(Errno::ENOSPC);
    }
    if pages.saturating_add(rounded / PAGE_SIZE) > task.kernel.host.memory / PAGE_SIZE {
        return Err(Errno::ENOMEM);
    }
    let memory = Arc::new(SharedMemory::for_segment(key, rounded)?);
    let segment = Segment {
        perm: Perm::new(task, key, flags),
        size,
        memory: Memory::Kept(Arc::clone(&memory)),
        locked: false,
        attached: 0,
        detached: 0,
        changed: now(),
        creator: task.pid(),
        last: 0,
    };
    let id = segments.add(segment, MAX_SEGMENTS)?;
    memory.set_segment(id);
    Ok(id)
}

/// What shmat(2) is to map, and how long it is. `flags` are the permission bits it needs.
///
/// # Errors
/// `EINVAL`, `EACCES`.
pub fn open(task: &Task, id: i32, flags: i32) -> Result<(Arc<SharedMemory>, u64)> {
    let mut segments = task.kernel.ipc.shm.lock();
    let segment = segments.find(id)?;
    segment.perm.check(&task.creds(), flags)?;
    let memory = match &segment.memory {
        Memory::Kept(memory) => Arc::clone(memory),
        Memory::Removed(memory) => memory.upgrade().ok_or(Errno::EINVAL)?,
    };
    Ok((memory, segment.size))
}

/// Remembers that `task` attached or detached segment `id`.
pub fn note_use(task: &Task, id: i32, attached: bool) {
    if let Ok(segment) = task.kernel.ipc.shm.lock().find(id) {
        segment.last = task.pid();
        *if attached { &mut segment.attached } else { &mut segment.detached } = now();
    }
}

/// `IPC_STAT`, `SHM_STAT`, `SHM_STAT_ANY`: also the identifier.
///
/// # Errors
/// `EINVAL`, `EACCES`.
pub fn stat(task: &Task, name: Name) -> Result<(i32, ShmidDs)> {
    let mut segments = task.kernel.ipc.shm.lock();
    let (id, segment) = segments.look_at(name, &task.creds())?;
    Ok((id, segment.to_abi()))
}

/// `IPC_SET`.
///
/// # Errors
/// `EINVAL`, `EPERM`.
pub fn set(task: &Task, id: i32, from: &ShmidDs) -> Result<()> {
    let mut segments = task.kernel.ipc.shm.lock();
    let segment = segments.find_owned(id, &task.creds())?;
    segment.perm.update(&from.shm_perm)?;
    segment.changed = now();
    Ok(())
}

/// `IPC_RMID`.
///
/// # Errors
/// `EINVAL`, `EPERM`.
pub fn remove(task: &Task, id: i32) -> Result<()> {
    let mut segments = task.kernel.ipc.shm.lock();
    segments.find_owned(id, &task.creds())?;
    segments.forget_key(id)?;
    let segment = segments.find(id)?;
    if let Memory::Kept(memory) = &segment.memory {
        let weak = Arc::downgrade(memory);
        segment.memory = Memory::Removed(weak);
    }
    // Sweeps it out if nothing has it attached.
    segments.count();
    Ok(())
}

/// `SHM_LOCK`, `SHM_UNLOCK`: only noted, since guest memory is not pinned.
///
/// # Errors
/// `EINVAL`, `EPERM`, `ENOMEM`.
pub fn lock(task: &Task, id: i32, on: bool) -> Result<()> {
    let creds: Arc<Credentials> = task.creds();
    let limit = task.group.limits.lock().soft(RLIMIT_MEMLOCK);
    let mut segments = task.kernel.ipc.shm.lock();
    let segment = segments.find(id)?;
    if !creds.capable(Caps::IPC_LOCK) {
        if creds.euid != segment.perm.uid && creds.euid != segment.perm.cuid {
            return Err(Errno::EPERM);
        }
        if on && limit == 0 {
            return Err(Errno::EPERM);
        }
        if on && !segment.locked && segment.size > limit {
            return Err(Errno::ENOMEM);
        }
    }
    segment.locked = on;
    Ok(())
}

/// `IPC_INFO`: limits, and the highest place in use.
pub fn limits(task: &Task) -> (i32, Shminfo) {
    let info = Shminfo {
        shmmax: MAX_SIZE,
        shmmin: 1,
        shmmni: MAX_SEGMENTS as u64,
        shmseg: MAX_SEGMENTS as u64,
        shmall: MAX_PAGES,
        ..Shminfo::default()
    };
    (task.kernel.ipc.shm.lock().highest(), info)
}

/// `SHM_INFO`: usage, and the highest place in use.
pub fn usage(task: &Task) -> (i32, ShmInfo) {
    let mut segments = task.kernel.ipc.shm.lock();
    let pages = segments.iter().map(|(_, segment)| segment.pages()).sum();
    let info = ShmInfo {
        used_ids: i32::try_from(segments.count()).unwrap_or(i32::MAX),
        shm_tot: pages,
        ..ShmInfo::default()
    };
    (segments.highest(), info)
}
