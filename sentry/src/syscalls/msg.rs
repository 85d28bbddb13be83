//! msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use std::sync::Arc;

use linux_abi::{
    Errno, UserAddr,
    ipc::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, MSG_INFO, MSG_STAT, MSG_STAT_ANY, MSGMAX},
};

use crate::{
    error::SysResult,
    ipc::{
        Name,
        msg::{self, Message},
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// msgget(2).
pub fn msgget(cx: &mut ThreadCx, key: i32, flags: u32) -> SysResult<i32> {
    Ok(msg::get(&cx.task, key, flags.cast_signed())?)
}

/// msgsnd(2).
pub fn msgsnd(cx: &mut ThreadCx, id: i32, message: UserAddr, size: usize, flags: u32) -> SysResult<()> {
    let kind: i64 = cx.read_obj(message)?;
    if size > MSGMAX.unsigned_abs() as usize || id < 0 || kind < 1 {
        return Err(Errno::EINVAL.into());
    }
    let mut text = vec![0; size];
    cx.read_bytes(message.wrapping_add(8), &mut text)?;
    msg::send(&cx.task, id, Message { kind, text }, flags.cast_signed())
}

/// msgrcv(2).
pub fn msgrcv(
    cx: &mut ThreadCx,
    id: i32,
    buf: UserAddr,
    size: usize,
    kind: i64,
    flags: u32,
) -> SysResult<usize> {
    if id < 0 || i64::try_from(size).is_err() {
        return Err(Errno::EINVAL.into());
    }
    let message = msg::receive(&cx.task, id, size, kind, flags.cast_signed())?;
    cx.write_obj(buf, &message.kind)?;
    cx.write_bytes(buf.wrapping_add(8), &message.text)?;
    Ok(message.text.len())
}

/// msgctl(2).
pub fn msgctl(cx: &mut ThreadCx, id: i32, command: i32, buf: UserAddr) -> SysResult<i32> {
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL.into());
    }
    let task = Arc::clone(&cx.task);
    match command {
        IPC_INFO | MSG_INFO => {
            let (highest, info) = msg::info(&task.kernel, command == MSG_INFO);
            cx.write_obj(buf, &info)?;
            return Ok(highest);
        }
        IPC_STAT => cx.write_obj(buf, &msg::stat(&task, Name::Id(id))?.1)?,
        MSG_STAT | MSG_STAT_ANY => {
            let name = if command == MSG_STAT { Name::Index(id) } else { Name::AnyIndex(id) };
            let (id, stat) = msg::stat(&task, name)?;
            cx.write_obj(buf, &stat)?;
            return Ok(id);
        }
        IPC_SET => {
            let from = cx.read_obj(buf)?;
            msg::set(&task, id, &from)?;
        }
        IPC_RMID => msg::remove(&task, id)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
