//! The standard files of a process that was started from outside.

use std::{os::fd::OwnedFd, sync::Arc};

use linux_abi::{
    Errno, Result,
    fcntl::{AT_FDCWD, O_RDWR},
};

use super::hostfile;
use crate::{
    error::SysError,
    fs::{
        file::File,
        open::{OpenHow, open as open_file},
    },
    task::Task,
};

/// Guest files over inherited host descriptors; what is missing is the guest's /dev/null, if it has one.
///
/// # Errors
/// Those of the host.
pub fn open(task: &Arc<Task>, stdio: [Option<OwnedFd>; 3]) -> Result<Vec<(i32, Arc<File>)>> {
    let creds = task.creds();
    let owner = (creds.fsuid, creds.fsgid);
    let mut files = Vec::new();
    for (number, fd) in (0..).zip(stdio) {
        let file = match fd {
            Some(fd) => hostfile::adopt(task, fd, owner)?,
            None => match open_file(task, AT_FDCWD, b"/dev/null", &OpenHow::from_open(O_RDWR, 0)) {
                Ok(file) => file,
                Err(SysError::Errno(Errno::ENOENT | Errno::ENXIO | Errno::ENOTDIR)) => continue,
                Err(SysError::Errno(errno)) => return Err(errno),
                Err(SysError::Restart(_)) => return Err(Errno::EINTR),
            },
        };
        files.push((number, file));
    }
    Ok(files)
}
