//! getsockopt(2), setsockopt(2).

use std::sync::Arc;

use linux_abi::{
    Errno, Result, UserAddr,
    socket::{
        AF_INET, AF_PACKET, SO_ATTACH_FILTER, SO_PEERGROUPS, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_IP,
        SOL_RAW, SOL_SOCKET, SOL_TCP, SOL_UDP,
    },
};

use netstack::{
    bpf::{self, Instruction, Program},
    tap::LINK_HEADER,
};

use super::socket::socket_at;
use crate::{
    net::{
        base,
        socket::{Caller, Socket},
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// The Ethernet type of what most filters see.
const ETH_P_IP: u16 = 0x0800;

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
    if !knows_level(&*socket, level) {
        return Err(Errno::EOPNOTSUPP);
    }
    if level == SOL_SOCKET && optname == SO_ATTACH_FILTER {
        return get_filter(cx, &*socket, room, optval, optlen);
    }
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

/// Whether getsockopt(2) asks the socket at all: for AF_INET, another protocol's level is not even an option that is not there
/// (`do_ip_getsockopt`).
fn knows_level(socket: &dyn Socket, level: i32) -> bool {
    let base = socket.base();
    let own = match base.kind {
        SOCK_STREAM => SOL_TCP,
        SOCK_DGRAM => SOL_UDP,
        _ => SOL_RAW,
    };
    base.domain != AF_INET || matches!(level, SOL_SOCKET | SOL_IP) || level == own
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
    if level == SOL_SOCKET && optname == SO_ATTACH_FILTER {
        return attach_filter(cx, &*socket, &value);
    }
    let caller = Caller::Task(&cx.task);
    if level == SOL_SOCKET {
        base::set_option(&*socket, caller, optname, &value)
    } else {
        socket.set_option(caller, level, optname, &value)
    }
}

/// `SO_ATTACH_FILTER`: `value` is a `struct sock_fprog`.
fn attach_filter(cx: &mut ThreadCx, socket: &dyn Socket, value: &[u8]) -> Result<()> {
    let [l0, l1, _, _, _, _, _, _, pointer @ ..] = value else { return Err(Errno::EINVAL) };
    let pointer: [u8; 8] = pointer.try_into().map_err(|_| Errno::EINVAL)?;
    let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
    if len == 0 || len > bpf::MAX_LEN {
        return Err(Errno::EINVAL);
    }
    let words: Vec<[u8; 8]> = cx.read_array(UserAddr(u64::from_ne_bytes(pointer)), len)?;
    let code: Vec<Instruction> = words.into_iter().map(Instruction::from_bytes).collect();
    let base = socket.base();
    let has_link_header = base.domain == AF_PACKET && base.kind == SOCK_RAW;
    let program = Program::new(&code, if has_link_header { LINK_HEADER } else { 0 }, ETH_P_IP)?;
    base::change_filter(socket, Some(Arc::new(program)))
}

/// `SO_GET_FILTER`: lengths count instructions (`sk_get_filter`).
fn get_filter(
    cx: &mut ThreadCx,
    socket: &dyn Socket,
    room: usize,
    optval: UserAddr,
    optlen: UserAddr,
) -> Result<()> {
    let filter = socket.base().filter();
    let code = filter.as_ref().map(|filter| filter.code()).unwrap_or_default();
    if room > 0 && !code.is_empty() {
        if room < code.len() {
            return Err(Errno::EINVAL);
        }
        let bytes: Vec<u8> = code.iter().flat_map(|op| op.to_bytes()).collect();
        cx.write_bytes(optval, &bytes)?;
    }
    cx.write_obj(optlen, &i32::try_from(code.len()).unwrap_or(i32::MAX))
}
