//! Process file descriptors (pidfd_open(2)).

use std::sync::Arc;

use linux_abi::{Errno, Result};

use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        io::{Sink, Source},
    },
    task::{Pid, Task, ThreadGroup},
    wait::{Events, Watch},
};

/// A process, held by its identity: a later process with the same id is another one.
pub struct PidFd {
    group: Arc<ThreadGroup>,
    kernel: Arc<crate::kernel::Kernel>,
}

impl PidFd {
    /// A descriptor's worth of `group`.
    pub fn new(task: &Task, group: Arc<ThreadGroup>) -> PidFd {
        PidFd { group, kernel: Arc::clone(&task.kernel) }
    }

    /// The process, if it has not been waited for.
    ///
    /// # Errors
    /// `ESRCH`.
    pub fn group(&self) -> Result<Arc<ThreadGroup>> {
        let tree = self.kernel.tasks.lock();
        let same =
            tree.process(self.group.pid).is_some_and(|process| Arc::ptr_eq(&process.group, &self.group));
        if same { Ok(Arc::clone(&self.group)) } else { Err(Errno::ESRCH) }
    }

    fn has_exited(&self) -> bool {
        let tree = self.kernel.tasks.lock();
        tree.process(self.group.pid)
            .is_none_or(|process| !Arc::ptr_eq(&process.group, &self.group) || process.zombie.is_some())
    }
}

/// The id of the process that `file` stands for, if it is a pidfd.
pub fn pid_of(file: &File) -> Option<Pid> {
    file.downcast::<PidFd>().map(|pidfd| pidfd.group.pid)
}

impl FileOps for PidFd {
    fn anonymous_name(&self) -> String {
        String::from("anon_inode:[pidfd]")
    }

    fn read(&self, _cx: FileCx<'_>, _dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.group.exit_events.register(watch);
        }
        if self.has_exited() { Events::IN | Events::RDNORM } else { Events::empty() }
    }

    fn fdinfo(&self) -> String {
        let pid = if self.has_exited() { -1 } else { self.group.pid };
        format!("Pid:\t{pid}\nNSpid:\t{pid}\n")
    }
}
