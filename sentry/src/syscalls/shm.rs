//! shmget(2), shmat(2), shmdt(2), shmctl(2).

use std::sync::Arc;

use linux_abi::{
    Errno, PAGE_SIZE, UserAddr,
    ipc::{
        IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, SHM_EXEC, SHM_INFO, SHM_LOCK, SHM_RDONLY, SHM_REMAP, SHM_RND,
        SHM_STAT, SHM_STAT_ANY, SHM_UNLOCK,
    },
};
use platform::Prot;

use crate::{
    error::SysResult,
    ipc::{Name, shm},
    mm::map::{Caller, MAP_ANONYMOUS, MAP_FIXED, MAP_SHARED, MapRequest},
    task::{ThreadCx, usermem::UserMemory},
};

/// shmget(2).
pub fn shmget(cx: &mut ThreadCx, key: i32, size: usize, flags: u32) -> SysResult<i32> {
    Ok(shm::get(&cx.task, key, size as u64, flags.cast_signed())?)
}

/// shmat(2).
pub fn shmat(cx: &mut ThreadCx, id: i32, addr: UserAddr, flags: u32) -> SysResult<UserAddr> {
    let flags = flags.cast_signed();
    let mut at = addr.0;
    let mut map_flags = MAP_SHARED | MAP_ANONYMOUS;
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    if at == 0 {
        if flags & SHM_REMAP != 0 {
            return Err(Errno::EINVAL.into());
        }
    } else {
        if !at.is_multiple_of(PAGE_SIZE) {
            if flags & SHM_RND == 0 {
                return Err(Errno::EINVAL.into());
            }
            at &= !(PAGE_SIZE - 1);
            if at == 0 && flags & SHM_REMAP != 0 {
                return Err(Errno::EINVAL.into());
            }
        }
        map_flags |= MAP_FIXED;
    }
    let (mut prot, mut access) =
        if flags & SHM_RDONLY != 0 { (Prot::READ, 0o444) } else { (Prot::READ.with(Prot::WRITE), 0o666) };
    if flags & SHM_EXEC != 0 {
        prot = prot.with(Prot::EXEC);
        access |= 0o111;
    }
    let (memory, size) = shm::open(&cx.task, id, access)?;
    let mm = cx.task.mm()?;
    if at != 0 && flags & SHM_REMAP == 0 {
        let end = at.checked_add(size).ok_or(Errno::EINVAL)?;
        if mm.mappings().iter().any(|vma| vma.range.start() < end && at < vma.range.end()) {
            return Err(Errno::EINVAL.into());
        }
    }
    let limits = *cx.task.group.limits.lock();
    let caps = cx.task.creds().effective;
    let request = MapRequest {
        addr: at,
        len: size,
        prot,
        flags: map_flags,
        file: None,
        offset: 0,
        memory: Some(&memory),
    };
    let task = Arc::clone(&cx.task);
    let place = mm.mmap(&mut *cx.context, &Caller { limits: &limits, caps }, &request)?;
    shm::note_use(&task, id, true);
    Ok(place)
}

/// shmdt(2).
pub fn shmdt(cx: &mut ThreadCx, addr: UserAddr) -> SysResult<()> {
    let mm = cx.task.mm()?;
    let id = mm.detach(&mut *cx.context, addr.0)?;
    // The segment may be gone with it.
    shm::note_use(&cx.task, id, false);
    Ok(())
}

/// shmctl(2).
pub fn shmctl(cx: &mut ThreadCx, id: i32, command: i32, buf: UserAddr) -> SysResult<i32> {
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL.into());
    }
    let task = Arc::clone(&cx.task);
    match command {
        IPC_INFO => {
            let (highest, info) = shm::limits(&task);
            cx.write_obj(buf, &info)?;
            return Ok(highest);
        }
        SHM_INFO => {
            let (highest, info) = shm::usage(&task);
            cx.write_obj(buf, &info)?;
            return Ok(highest);
        }
        IPC_STAT => cx.write_obj(buf, &shm::stat(&task, Name::Id(id))?.1)?,
        SHM_STAT | SHM_STAT_ANY => {
            let name = if command == SHM_STAT { Name::Index(id) } else { Name::AnyIndex(id) };
            let (id, stat) = shm::stat(&task, name)?;
            cx.write_obj(buf, &stat)?;
            return Ok(id);
        }
        IPC_SET => {
            let from = cx.read_obj(buf)?;
            shm::set(&task, id, &from)?;
        }
        IPC_RMID => shm::remove(&task, id)?,
        SHM_LOCK | SHM_UNLOCK => shm::lock(&task, id, command == SHM_LOCK)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
