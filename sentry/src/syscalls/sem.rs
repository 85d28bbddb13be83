//! semget(2), semop(2), semtimedop(2), semctl(2).

use std::sync::Arc;

use linux_abi::{
    Errno, UserAddr,
    ipc::{
        GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, SEM_INFO, SEM_STAT,
        SEM_STAT_ANY, SETALL, SETVAL, Sembuf,
    },
};

use super::timeout::Timeout;
use crate::{
    error::SysResult,
    ipc::{
        Name,
        sem::{self, Question},
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// semget(2).
pub fn semget(cx: &mut ThreadCx, key: i32, count: i32, flags: u32) -> SysResult<i32> {
    Ok(sem::get(&cx.task, key, count, flags.cast_signed())?)
}

/// semop(2).
pub fn semop(cx: &mut ThreadCx, id: i32, operations: UserAddr, count: u32) -> SysResult<()> {
    semtimedop(cx, id, operations, count, UserAddr(0))
}

/// semtimedop(2).
pub fn semtimedop(
    cx: &mut ThreadCx,
    id: i32,
    operations: UserAddr,
    count: u32,
    timeout: UserAddr,
) -> SysResult<()> {
    let deadline = match Timeout::read_timespec(cx, timeout)? {
        Timeout::Zero => Some(std::time::Instant::now()),
        Timeout::Until(deadline) => Some(deadline),
        Timeout::Never => None,
    };
    if count < 1 || id < 0 {
        return Err(Errno::EINVAL.into());
    }
    if count > sem::MAX_OPERATIONS {
        return Err(Errno::E2BIG.into());
    }
    let operations: Vec<Sembuf> = cx.read_array(operations, count as usize)?;
    sem::operate(&cx.task, id, &operations, deadline)
}

/// semctl(2).
pub fn semctl(cx: &mut ThreadCx, id: i32, number: i32, command: i32, arg: u64) -> SysResult<i32> {
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    let task = Arc::clone(&cx.task);
    let at = UserAddr(arg);
    let ask = |question| Ok(sem::ask(&task, id, number, question)?);
    match command {
        IPC_INFO | SEM_INFO => {
            let (highest, info) = sem::info(&task.kernel, command == SEM_INFO);
            cx.write_obj(at, &info)?;
            return Ok(highest);
        }
        IPC_STAT => cx.write_obj(at, &sem::stat(&task, Name::Id(id))?.1)?,
        SEM_STAT | SEM_STAT_ANY => {
            let name = if command == SEM_STAT { Name::Index(id) } else { Name::AnyIndex(id) };
            let (id, stat) = sem::stat(&task, name)?;
            cx.write_obj(at, &stat)?;
            return Ok(id);
        }
        GETVAL => return ask(Question::Value),
        GETPID => return ask(Question::LastPid),
        GETNCNT => return ask(Question::WaitingForMore),
        GETZCNT => return ask(Question::WaitingForZero),
        GETALL => {
            let bytes: Vec<u8> =
                sem::values(&task, id)?.iter().flat_map(|value| value.to_le_bytes()).collect();
            cx.write_bytes(at, &bytes)?;
        }
        SETALL => {
            let count = sem::size(&task, id, 0o222)?;
            let values: Vec<u16> = cx.read_array(at, count)?;
            sem::set_values(&task, id, &values)?;
        }
        SETVAL => {
            // The union's `int`.
            let value = i32::from_le_bytes(arg.to_le_bytes().first_chunk().copied().unwrap_or_default());
            sem::set_value(&task, id, number, value)?;
        }
        IPC_SET => {
            let from = cx.read_obj(at)?;
            sem::set(&task, id, &from)?;
        }
        IPC_RMID => sem::remove(&task, id)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
