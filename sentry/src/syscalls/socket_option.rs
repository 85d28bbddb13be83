//! getsockopt(2), setsockopt(2).

use linux_abi::{
    Errno, Result, UserAddr,
    socket::{SO_PEERGROUPS, SOL_SOCKET},
};

use super::socket::socket_at;
use crate::{
    net::{base, socket::Caller},
    task::{ThreadCx, usermem::UserMemory},
};

/// No option's value is longer.
const VALUE_MAX: usize = 4096;

/// getsockopt(2).
pub fn getsockopt(
    cx: &mut ThreadCx,
    fd: i32,
    level: i32,
    optname: i32,
    optval: UserAddr,
    optlen: UserAddr,
) -> Result<()> {
    let (_file, socket) = socket_at(&cx.task, fd)?;
    let room: i32 = cx.read_obj(optlen)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let value = if level == SOL_SOCKET {
        base::get_option(&*socket, optname, room)?
    } else {
        socket.get_option(level, optname, room)?
    };
    let len = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    if level == SOL_SOCKET && optname == SO_PEERGROUPS && room < value.len() {
        cx.write_obj(optlen, &len(value.len()))?;
        return Err(Errno::ERANGE);
    }
    let shown = value.get(..room.min(value.len())).unwrap_or_default();
    if !shown.is_empty() {
        cx.write_bytes(optval, shown)?;
    }
    cx.write_obj(optlen, &len(shown.len()))
}

/// setsockopt(2).
pub fn setsockopt(
    cx: &mut ThreadCx,
    fd: i32,
    level: i32,
    optname: i32,
    optval: UserAddr,
    optlen: i32,
) -> Result<()> {
    let (_file, socket) = socket_at(&cx.task, fd)?;
    let len = usize::try_from(optlen).map_err(|_| Errno::EINVAL)?;
    let mut value = vec![0; len.min(VALUE_MAX)];
    if len > 0 {
        cx.read_bytes(optval, &mut value)?;
    }
    let caller = Caller::Task(&cx.task);
    if level == SOL_SOCKET {
        base::set_option(&*socket, caller, optname, &value)
    } else {
        socket.set_option(caller, level, optname, &value)
    }
}
