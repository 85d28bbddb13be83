//! pipe(2), pipe2(2).

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{O_CLOEXEC, O_DIRECT, O_NONBLOCK},
};

use crate::{
    fs::types::pipe::new_pipe,
    task::{ThreadCx, usermem::UserMemory},
};

/// pipe(2).
pub fn pipe(cx: &mut ThreadCx, fds: UserAddr) -> Result<()> {
    pipe2(cx, fds, 0)
}

/// pipe2(2).
pub fn pipe2(cx: &mut ThreadCx, fds: UserAddr, flags: u32) -> Result<()> {
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let close_on_exec = flags & O_CLOEXEC != 0;
    let (reader, writer) = new_pipe(&cx.task, flags)?;
    let read_fd = cx.task.install(reader, close_on_exec)?;
    let table = cx.task.files()?;
    let installed = cx.task.install(writer, close_on_exec);
    let result = installed.and_then(|write_fd| cx.write_obj(fds, &[read_fd, write_fd]));
    if result.is_err() {
        // Nobody was told of them.
        drop(table.remove(read_fd));
        if let Ok(write_fd) = installed {
            drop(table.remove(write_fd));
        }
    }
    result
}
