//! ioctl(2) on sockets: requests that do not depend on the family.

use std::sync::Arc;

use linux_abi::{Errno, Result, UserAddr, socket as abi};

use super::{interface, socket::Socket};
use crate::{
    fs::{fasync, file::File},
    task::{ThreadCx, usermem::UserMemory},
};

/// Carries out `request`.
///
/// # Errors
/// `ENOTTY`, `EFAULT`, and those of the request.
pub fn ioctl(
    socket: &Arc<dyn Socket>,
    cx: &mut ThreadCx,
    file: &Arc<File>,
    request: u32,
    arg: u64,
) -> Result<u64> {
    let number = match request {
        abi::FIONREAD => socket.readable_bytes()?,
        abi::SIOCOUTQ => socket.unsent_bytes()?,
        abi::SIOCATMARK if unix_datagrams(&**socket) => return Err(Errno::EOPNOTSUPP),
        abi::SIOCATMARK => usize::from(socket.at_mark()?),
        abi::FIOGETOWN | abi::SIOCGPGRP => {
            let pid = file.owner.lock().pid;
            cx.write_obj(UserAddr(arg), &pid)?;
            return Ok(0);
        }
        abi::FIOSETOWN | abi::SIOCSPGRP => {
            let pid: i32 = cx.read_obj(UserAddr(arg))?;
            if pid == i32::MIN {
                return Err(Errno::EINVAL);
            }
            file.owner.lock().pid = pid;
            fasync::owner_changed(&cx.task.kernel, file);
            return Ok(0);
        }
        abi::SIOCGSTAMP | abi::SIOCGSTAMPNS => {
            let stamp = socket.base().stamp()?;
            let nanos = request == abi::SIOCGSTAMPNS;
            let fraction = if nanos { stamp.subsec_nanos() } else { stamp.subsec_micros() };
            cx.write_obj(UserAddr(arg), &[stamp.as_secs(), u64::from(fraction)])?;
            return Ok(0);
        }
        _ => return interface::ioctl(cx, request, arg),
    };
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    cx.write_obj(UserAddr(arg), &number)?;
    Ok(0)
}

/// Unix sockets without urgent data say that they have none.
fn unix_datagrams(socket: &dyn Socket) -> bool {
    let base = socket.base();
    base.domain == abi::AF_UNIX && base.kind != abi::SOCK_STREAM
}
