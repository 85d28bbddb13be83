//! Sockets: addresses, options, messages.

use linux_abi::socket;

use super::{
    Known,
    names::{NETLINK, PROTOCOLS, SCM_TYPES, names},
    structs::{iovec, one},
    text::{Fields, Printer},
};
use crate::{nr, structs::Struct, types::Set};

/// Whether this makes a socket: its protocol belongs to its family.
pub(super) fn is_socket(known: Known) -> bool {
    known.is(nr::socket) || known.is(nr::socketpair)
}

/// The protocol of a socket.
pub(super) fn protocol(p: &mut Printer<'_>, known: Known) {
    let protocol = u64::from(known.word(2));
    match u16::try_from(known.word(0)) {
        Ok(socket::AF_INET | socket::AF_INET6) => p.value(protocol, PROTOCOLS),
        Ok(socket::AF_NETLINK) => p.value(protocol, NETLINK),
        _ => p.put_fmt(format_args!("{protocol}")),
    }
}

/// The size of a socket's address: before and after.
pub(super) fn socket_length(p: &mut Printer<'_>, known: Known, at: u64) {
    let before = known.len_before;
    match p.fields::<4>(at) {
        None => p.address(at),
        Some(after) if known.result.is_some() && !known.failed() && after.u32(0) != before => {
            p.put_fmt(format_args!("[{before} => {}]", after.u32(0)));
        }
        Some(_) => p.put_fmt(format_args!("[{before}]")),
    }
}

/// The address of a socket, `len` bytes.
pub(super) fn socket_address(p: &mut Printer<'_>, at: u64, len: u64) {
    let mut bytes = [0; 128];
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
    let got = bytes.get_mut(..len).map_or(0, |room| p.read(at, room));
    if at == 0 || len < 2 || got < len {
        return p.address(at);
    }
    let address = Fields(bytes);
    p.put("{sa_family=");
    p.value(u64::from(address.u16(0)), names(Set::Family));
    match address.u16(0) {
        socket::AF_INET if len >= 8 => {
            let [a, b, c, d] = address.u32(4).to_le_bytes();
            let port = address.u16(2).swap_bytes();
            p.put_fmt(format_args!(", sin_port=htons({port}), sin_addr=inet_addr(\"{a}.{b}.{c}.{d}\")"));
        }
        socket::AF_INET6 if len >= 24 => {
            let ip = std::net::Ipv6Addr::from(
                (u128::from(address.u64(16)) << 64 | u128::from(address.u64(8))).swap_bytes(),
            );
            let (port, flow, scope) =
                (address.u16(2).swap_bytes(), address.u32(4).swap_bytes(), address.u32(24));
            p.put_fmt(format_args!(
                ", sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), inet_pton(AF_INET6, \"{ip}\", &sin6_addr), sin6_scope_id={scope}"
            ));
        }
        socket::AF_UNIX => {
            let path = bytes.get(2..len).unwrap_or_default();
            match path.split_first() {
                None => {}
                Some((0, name)) => {
                    p.put(", sun_path=@");
                    p.quoted(name, false);
                }
                Some(_) => {
                    p.put(", sun_path=");
                    let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                    p.quoted(path.get(..end).unwrap_or_default(), false);
                }
            }
        }
        socket::AF_NETLINK if len >= 12 => {
            p.put_fmt(format_args!(", nl_pid={}, nl_groups={:08x}", address.i32(4), address.u32(8)));
        }
        _ => {
            p.put(", sa_data=");
            p.quoted(bytes.get(2..len.min(16)).unwrap_or_default(), false);
        }
    }
    p.put("}");
}

/// The value of a socket option.
pub(super) fn option_value(p: &mut Printer<'_>, known: Known, at: u64, len: u64) {
    let (level, name) = (known.arg(1) & 0xffff_ffff, known.arg(2) & 0xffff_ffff);
    let is = |wanted: i32| {
        level == u64::from(socket::SOL_SOCKET.unsigned_abs()) && name == u64::from(wanted.unsigned_abs())
    };
    match len {
        8 if is(socket::SO_LINGER) => {
            let Some(linger) = p.fields::<8>(at) else { return p.address(at) };
            p.put_fmt(format_args!("{{l_onoff={}, l_linger={}}}", linger.i32(0), linger.i32(4)));
        }
        12 if is(socket::SO_PEERCRED) => {
            let Some(cred) = p.fields::<12>(at) else { return p.address(at) };
            p.put_fmt(format_args!("{{pid={}, uid={}, gid={}}}", cred.i32(0), cred.u32(4), cred.u32(8)));
        }
        16 if is(socket::SO_RCVTIMEO_OLD) || is(socket::SO_SNDTIMEO_OLD) => {
            one(p, known, Struct::Timeval, at);
        }
        4 => match p.fields::<4>(at) {
            Some(value) => p.put_fmt(format_args!("[{}]", value.i32(0))),
            None => p.address(at),
        },
        _ => p.buffer(at, len),
    }
}

/// `struct msghdr`; of its buffers `bytes` hold something.
pub(super) fn message(p: &mut Printer<'_>, message: &Fields<56>, bytes: u64) {
    let (name, name_len) = (message.u64(0), u64::from(message.u32(8)));
    p.put("{msg_name=");
    if name_len == 0 {
        p.address(name);
    } else {
        socket_address(p, name, name_len);
    }
    p.put_fmt(format_args!(", msg_namelen={name_len}, msg_iov="));
    iovec(p, message.u64(16), message.u64(24), bytes);
    p.put_fmt(format_args!(", msg_iovlen={}", message.u64(24)));
    let (control, control_len) = (message.u64(32), message.u64(40));
    if control != 0 && control_len != 0 {
        p.put(", msg_control=");
        control_messages(p, control, control_len.min(4096));
    }
    p.put_fmt(format_args!(", msg_controllen={control_len}, msg_flags="));
    p.flags(u64::from(message.u32(48)), names(Set::Msg));
    p.put("}");
}

fn control_messages(p: &mut Printer<'_>, at: u64, len: u64) {
    p.put("[");
    let mut offset = 0;
    while let Some(head) = p.fields::<16>(at.wrapping_add(offset)).filter(|_| offset + 16 <= len) {
        let (size, level, kind) = (head.u64(0), head.i32(8), head.i32(12));
        let data = size.saturating_sub(16).min(len - offset - 16);
        p.put_fmt(format_args!("{}{{cmsg_len={size}, cmsg_level=", if offset > 0 { ", " } else { "" }));
        p.value(u64::from(level.cast_unsigned()), names(Set::SockLevel));
        p.put(", cmsg_type=");
        let from = at.wrapping_add(offset + 16);
        if level == socket::SOL_SOCKET {
            p.value(u64::from(kind.cast_unsigned()), SCM_TYPES);
        } else {
            p.put_fmt(format_args!("{kind:#x}"));
        }
        if level == socket::SOL_SOCKET && kind == socket::SCM_RIGHTS {
            p.put(", cmsg_data=");
            p.list(data / 4, |p, index| {
                let fd = p.fields::<4>(from.wrapping_add(index * 4)).map_or(-1, |fd| fd.i32(0));
                p.put_fmt(format_args!("{fd}"));
            });
        } else if level == socket::SOL_SOCKET && kind == socket::SCM_CREDENTIALS && data >= 12 {
            let cred = p.fields::<12>(from).unwrap_or(Fields([0; 12]));
            let (pid, uid, gid) = (cred.i32(0), cred.u32(4), cred.u32(8));
            p.put_fmt(format_args!(", cmsg_data={{pid={pid}, uid={uid}, gid={gid}}}"));
        } else if data > 0 {
            p.put(", cmsg_data=");
            p.buffer_hex(from, data);
        }
        p.put("}");
        offset += size.max(16).saturating_add(7) & !7;
        if offset >= len {
            break;
        }
    }
    p.put("]");
}
