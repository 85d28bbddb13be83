//! socket(2), socketpair(2), bind(2), listen(2), accept(2), connect(2), getsockname(2), getpeername(2), shutdown(2).

use std::{sync::Arc, time::Instant};

use linux_abi::{
    Errno, Result, UserAddr,
    socket::{SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_TYPE_MASK, SOCKADDR_STORAGE},
};

use crate::{
    error::{RestartKind, SysError, SysResult},
    fs::file::File,
    net::{
        address::SocketAddress,
        file::SocketFile,
        socket::{Caller, Shutdown, Socket},
    },
    task::{Task, ThreadCx, block::WaitError, usermem::UserMemory},
    wait::Events,
};

/// The socket at `fd`, with its open file.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`.
pub(super) fn socket_at(task: &Task, fd: i32) -> Result<(Arc<File>, Arc<dyn Socket>)> {
    let file = task.file(fd)?;
    let socket =
        file.downcast::<SocketFile>().map(|file| Arc::clone(file.socket())).ok_or(Errno::ENOTSOCK)?;
    Ok((file, socket))
}

/// What an interrupted or late wait comes to (`sock_intr_errno`): calls with a timeout are not restarted.
pub(super) fn wait_error(error: WaitError, has_timeout: bool, late: Errno) -> SysError {
    match error {
        WaitError::Interrupted if has_timeout => Errno::EINTR.into(),
        other => other.or_restart(RestartKind::Sys, late),
    }
}

/// Copies an address in (`move_addr_to_kernel`).
pub(super) fn read_address(cx: &mut ThreadCx, at: UserAddr, len: i32) -> Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > SOCKADDR_STORAGE {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len];
    if len > 0 {
        cx.read_bytes(at, &mut bytes)?;
    }
    Ok(bytes)
}

/// Copies an address out, cut to what `*len_at` allows, and its true length (`move_addr_to_user`).
pub(super) fn write_address(cx: &mut ThreadCx, address: &[u8], at: UserAddr, len_at: UserAddr) -> Result<()> {
    let room: i32 = cx.read_obj(len_at)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let shown = address.get(..room.min(address.len())).unwrap_or_default();
    if !shown.is_empty() {
        cx.write_bytes(at, shown)?;
    }
    cx.write_obj(len_at, &i32::try_from(address.len()).unwrap_or(i32::MAX))
}

fn split_kind(kind: i32) -> Result<(i32, bool, bool)> {
    let flags = kind & !SOCK_TYPE_MASK;
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok((kind & SOCK_TYPE_MASK, flags & SOCK_NONBLOCK != 0, flags & SOCK_CLOEXEC != 0))
}

/// socket(2).
pub fn socket(cx: &mut ThreadCx, family: i32, kind: i32, protocol: i32) -> Result<i32> {
    let (kind, nonblocking, close_on_exec) = split_kind(kind)?;
    let socket = cx.task.kernel.net.socket(Caller::Task(&cx.task), family, kind, protocol)?;
    cx.task.install(SocketFile::open(socket, nonblocking), close_on_exec)
}

/// socketpair(2).
pub fn socketpair(cx: &mut ThreadCx, family: i32, kind: i32, protocol: i32, fds: UserAddr) -> Result<()> {
    let (kind, nonblocking, close_on_exec) = split_kind(kind)?;
    let pair = cx.task.kernel.net.pair(Caller::Task(&cx.task), family, kind, protocol)?;
    let [one, other] = pair.map(|socket| SocketFile::open(socket, nonblocking));
    let first = cx.task.install(one, close_on_exec)?;
    let second = match cx.task.install(other, close_on_exec) {
        Ok(second) => second,
        Err(errno) => {
            cx.task.files()?.remove(first)?;
            return Err(errno);
        }
    };
    let numbers = [first.to_ne_bytes(), second.to_ne_bytes()].concat();
    if let Err(errno) = cx.write_bytes(fds, &numbers) {
        let files = cx.task.files()?;
        files.remove(first)?;
        files.remove(second)?;
        return Err(errno);
    }
    Ok(())
}

/// bind(2).
pub fn bind(cx: &mut ThreadCx, fd: i32, addr: UserAddr, addrlen: i32) -> Result<()> {
    let (_file, socket) = socket_at(&cx.task, fd)?;
    let address = read_address(cx, addr, addrlen)?;
    socket.bind(Caller::Task(&cx.task), &address)
}

/// listen(2).
pub fn listen(cx: &mut ThreadCx, fd: i32, backlog: i32) -> Result<()> {
    let (_file, socket) = socket_at(&cx.task, fd)?;
    socket.listen(Caller::Task(&cx.task), backlog)
}

/// accept(2).
pub fn accept(cx: &mut ThreadCx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> SysResult<i32> {
    accept4(cx, fd, addr, addrlen, 0)
}

/// accept4(2).
pub fn accept4(cx: &mut ThreadCx, fd: i32, addr: UserAddr, addrlen: UserAddr, flags: u32) -> SysResult<i32> {
    let (file, listener) = socket_at(&cx.task, fd)?;
    let flags = flags.cast_signed();
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    // A connection must not be lost because there is no descriptor for it.
    let limit = cx.task.group.limits.lock().nofile();
    if cx.task.files()?.open_count() as u64 >= limit {
        return Err(Errno::EMFILE.into());
    }
    let task = &cx.task;
    let attempt = || listener.accept(Caller::Task(task));
    let accepted = if file.nonblocking() {
        attempt()?
    } else {
        let timeout = listener.base().receive_timeout();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        task.block_on(&*file, Events::READ, deadline, attempt)
            .map_err(|error| wait_error(error, timeout.is_some(), Errno::EAGAIN))?
    };
    let name = accepted.peer_name();
    let accepted = SocketFile::open(accepted, flags & SOCK_NONBLOCK != 0);
    if !addr.is_null() {
        let name = name.map_err(|_| Errno::ECONNABORTED)?;
        write_address(cx, name.as_bytes(), addr, addrlen)?;
    }
    Ok(cx.task.install(accepted, flags & SOCK_CLOEXEC != 0)?)
}

/// connect(2).
pub fn connect(cx: &mut ThreadCx, fd: i32, addr: UserAddr, addrlen: i32) -> SysResult<()> {
    let (file, socket) = socket_at(&cx.task, fd)?;
    let address = read_address(cx, addr, addrlen)?;
    let task = &cx.task;
    let nonblocking = file.nonblocking();
    let begin = || socket.connect(Caller::Task(task), &address, nonblocking);
    let begun = begin();
    if nonblocking {
        return Ok(begun?);
    }
    let timeout = socket.base().send_timeout();
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    match begun {
        Err(Errno::EAGAIN) => task
            .block_on(&*file, Events::WRITE, deadline, begin)
            .map_err(|error| wait_error(error, timeout.is_some(), Errno::EAGAIN)),
        Err(Errno::EINPROGRESS | Errno::EALREADY) => task
            .block_on(&*file, Events::WRITE, deadline, || socket.connect_result())
            .map_err(|error| wait_error(error, timeout.is_some(), Errno::EINPROGRESS)),
        done => Ok(done?),
    }
}

/// getsockname(2).
pub fn getsockname(cx: &mut ThreadCx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> Result<()> {
    let (_file, socket) = socket_at(&cx.task, fd)?;
    let name: SocketAddress = socket.local_name()?;
    write_address(cx, name.as_bytes(), addr, addrlen)
}

/// getpeername(2).
pub fn getpeername(cx: &mut ThreadCx, fd: i32, addr: UserAddr, addrlen: UserAddr) -> Result<()> {
    let (_file, socket) = socket_at(&cx.task, fd)?;
    let name = socket.peer_name()?;
    write_address(cx, name.as_bytes(), addr, addrlen)
}

/// shutdown(2).
pub fn shutdown(cx: &mut ThreadCx, fd: i32, how: i32) -> Result<()> {
    let (_file, socket) = socket_at(&cx.task, fd)?;
    socket.shutdown(Shutdown::from_how(how)?)
}
