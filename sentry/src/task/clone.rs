//! clone(2), clone3(2), fork(2), vfork(2) (`kernel/fork.c`).

use std::sync::{Arc, atomic::Ordering};

use linux_abi::{
    Errno, Result, UserAddr,
    ptrace::{
        PTRACE_EVENT_CLONE, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE,
        PTRACE_O_TRACECLONE, PTRACE_O_TRACEFORK, PTRACE_O_TRACEVFORK, PTRACE_O_TRACEVFORKDONE,
    },
};
use parking_lot::{Mutex, RwLock};

use super::{Pid, Task, TaskInit, ThreadCx, ThreadGroup, VforkWait, run, tree::Process};
use crate::{
    credentials::Caps,
    error::{RestartKind, SysError, SysResult},
    fs::{file::File, types::pidfd::PidFd},
    limits::RLIMIT_NPROC,
    signal::state::{AltStack, GroupSignals},
};

pub use linux_abi::sched::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_CLEAR_SIGHAND, CLONE_DETACHED, CLONE_FILES, CLONE_FS,
    CLONE_INTO_CGROUP, CLONE_IO, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID,
    CLONE_NEWTIME, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_PARENT, CLONE_PARENT_SETTID, CLONE_PIDFD, CLONE_PTRACE,
    CLONE_SETTLS, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_UNTRACED, CLONE_VFORK, CLONE_VM,
};

/// Every flag that asks for a namespace.
pub const CLONE_NAMESPACES: u64 = CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWTIME;

/// The arguments of a clone, however they were passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneRequest {
    pub flags: u64,
    pub exit_signal: i32,
    /// Initial stack pointer; zero keeps the parent's.
    pub stack: u64,
    pub parent_tid: UserAddr,
    pub child_tid: UserAddr,
    pub pidfd: UserAddr,
    pub tls: u64,
    /// `clone3`'s `set_tid`.
    pub set_tid: Option<Pid>,
}

impl ThreadCx {
    /// Makes a thread or process.
    ///
    /// # Errors
    /// Those of clone(2).
    pub fn clone_task(&mut self, request: &CloneRequest) -> SysResult<Pid> {
        check_flags(&self.task, request)?;
        self.know_actions();
        let flags = request.flags;
        let parent = Arc::clone(&self.task);
        if parent.group.signals.lock().exiting.is_some() {
            return Err(SysError::Restart(RestartKind::NoIntr));
        }
        let tid = self.allocate(request)?;
        let vfork = (flags & CLONE_VFORK != 0).then(|| VforkWait::new(parent.waker()));
        let child = self.build_child(request, tid, vfork.clone())?;
        if flags & CLONE_PARENT_SETTID != 0 {
            // Errors are ignored, as in Linux; directly, since the child may run at once.
            let _ = self.write_now(request.parent_tid, &tid.to_le_bytes());
        }
        let (task, context, regs) = child;
        let event = trace_event(flags, request.exit_signal);
        let traced = parent.trace.is_on()
            && flags & CLONE_UNTRACED == 0
            && (flags & CLONE_PTRACE != 0 || parent.trace.lock().options & event.1 != 0);
        if traced {
            super::trace::adopt_child(&parent, &task);
        }
        let started =
            self.install_pidfd(request, &task).and_then(|()| run::spawn(Arc::clone(&task), context, regs));
        if let Err(errno) = started {
            if traced {
                task.trace_detach(0);
            }
            let mut tree = parent.kernel.tasks.lock();
            if tree.remove_thread(&task) == 0 && flags & CLONE_THREAD == 0 {
                tree.remove_process(tid);
            }
            if let Some(mm) = task.set_mm(None) {
                mm.remove_user();
            }
            drop(tree);
            return Err(errno.into());
        }
        let message = u64::from(tid.unsigned_abs());
        if traced {
            self.trace_event(event.0, event.1, message);
        }
        if let Some(vfork) = vfork {
            // Only death interrupts; then the child keeps the memory and nobody waits.
            let _ = parent.wait_killable(|| vfork.is_done().then_some(()));
            if parent.trace.is_on() {
                self.trace_event(PTRACE_EVENT_VFORK_DONE, PTRACE_O_TRACEVFORKDONE, message);
            }
        }
        Ok(tid)
    }

    /// `CLONE_PIDFD`: gives the parent its descriptor, before the child runs.
    fn install_pidfd(&mut self, request: &CloneRequest, child: &Arc<Task>) -> Result<()> {
        if request.flags & CLONE_PIDFD == 0 {
            return Ok(());
        }
        let parent = Arc::clone(&self.task);
        let fd = parent
            .install(File::anonymous(Box::new(PidFd::new(&parent, Arc::clone(&child.group))), 2), true)?;
        self.write_now(request.pidfd, &fd.to_le_bytes()).inspect_err(|_| {
            if let Ok(files) = parent.files() {
                // Another thread may have closed it meanwhile.
                let _ = files.remove(fd);
            }
        })
    }

    fn write_now(&mut self, at: UserAddr, bytes: &[u8]) -> Result<()> {
        self.context.space().write(at, bytes).map_err(|_| Errno::EFAULT)
    }

    fn allocate(&self, request: &CloneRequest) -> Result<Pid> {
        let task = &self.task;
        let creds = task.creds();
        let mut tree = task.kernel.tasks.lock();
        let limit = task.group.limits.lock().soft(RLIMIT_NPROC);
        let privileged =
            creds.ruid == 0 || creds.capable(Caps::SYS_RESOURCE) || creds.capable(Caps::SYS_ADMIN);
        if !privileged && limit != u64::MAX {
            let mine = tree.threads().filter(|other| other.creds().ruid == creds.ruid).count();
            if mine as u64 >= limit {
                return Err(Errno::EAGAIN);
            }
        }
        match request.set_tid {
            Some(tid) => tree.claim_pid(tid),
            None => tree.allocate_pid(),
        }
    }

    /// Everything about the child, in the tree but not running.
    fn build_child(
        &mut self,
        request: &CloneRequest,
        tid: Pid,
        vfork: Option<Arc<VforkWait>>,
    ) -> Result<(Arc<Task>, Box<dyn platform::Context>, platform::Registers)> {
        let flags = request.flags;
        let parent = Arc::clone(&self.task);
        let mm = parent.mm()?;
        let (mut context, mm) = if flags & CLONE_VM != 0 {
            let context = self.context.clone_thread()?;
            mm.add_user();
            (context, mm)
        } else {
            let process = self.context.fork()?;
            let mm = mm.forked(Arc::clone(&process.space));
            (process.context, mm)
        };
        let files = parent.files()?;
        let files = if flags & CLONE_FILES != 0 { files } else { files.duplicate() };
        let fs = if flags & CLONE_FS != 0 { parent.fs() } else { parent.fs().duplicate() };
        let group = if flags & CLONE_THREAD != 0 {
            Arc::clone(&parent.group)
        } else {
            child_group(&parent.group, tid, flags)
        };
        let (blocked, alt_stack) = {
            let signals = parent.signals.lock();
            (signals.mask(), signals.alt_stack)
        };
        let mut scheduling = *parent.scheduling.lock();
        if scheduling.reset_on_fork {
            scheduling.policy = 0;
            scheduling.priority = 0;
            scheduling.nice = scheduling.nice.max(0);
            scheduling.reset_on_fork = false;
        }
        let child = Task::new(TaskInit {
            kernel: Arc::clone(&parent.kernel),
            group,
            tid,
            creds: parent.kernel.keys.for_child(&parent.creds(), flags & CLONE_THREAD != 0)?,
            files,
            fs,
            mm,
            blocked: blocked.0,
            name: *parent.name.lock(),
            no_new_privs: parent.no_new_privs.load(Ordering::Relaxed),
            scheduling,
        });
        // A thread that shares memory must not run handlers on its maker's stack; a vfork child runs alone.
        if flags & (CLONE_VM | CLONE_VFORK) != CLONE_VM {
            child.signals.lock().alt_stack = alt_stack;
        } else {
            child.signals.lock().alt_stack = AltStack { flags: 2, ..AltStack::default() };
        }
        if flags & CLONE_VM == 0 {
            *child.rseq.lock() = *parent.rseq.lock();
        }
        if flags & CLONE_SYSVSEM != 0 {
            crate::ipc::sem::share_undo(&parent, &child);
        }
        *child.vfork_done.lock() = vfork;
        if flags & CLONE_CHILD_CLEARTID != 0 {
            child.clear_child_tid.store(request.child_tid.0, Ordering::Relaxed);
        }
        if flags & CLONE_CHILD_SETTID != 0 {
            let _ = if flags & CLONE_VM == 0 {
                context.initialise(request.child_tid, &tid.to_le_bytes())
            } else {
                context.space().write(request.child_tid, &tid.to_le_bytes())
            };
        }
        let mut regs = *self.registers();
        regs.rax = 0;
        regs.orig_rax = u64::MAX;
        if request.stack != 0 {
            regs.rsp = request.stack;
        }
        if flags & CLONE_SETTLS != 0 {
            regs.fs_base = request.tls;
        }
        enter_tree(&parent, &child, request);
        if flags & CLONE_THREAD == 0 {
            child.group.timers.cpu_limit_changed(&child);
        }
        Ok((child, context, regs))
    }
}

/// The event that a tracer hears of, and the option by which it asks to.
fn trace_event(flags: u64, exit_signal: i32) -> (i32, u64) {
    if flags & CLONE_VFORK != 0 {
        (PTRACE_EVENT_VFORK, PTRACE_O_TRACEVFORK)
    } else if exit_signal == crate::signal::SIGCHLD {
        (PTRACE_EVENT_FORK, PTRACE_O_TRACEFORK)
    } else {
        (PTRACE_EVENT_CLONE, PTRACE_O_TRACECLONE)
    }
}

fn enter_tree(parent: &Arc<Task>, child: &Arc<Task>, request: &CloneRequest) {
    let mut tree = parent.kernel.tasks.lock();
    // Under the tree's lock: a filter that is being given to all threads reaches this one too, here or there.
    child.seccomp.inherit(&parent.seccomp);
    child.no_new_privs.fetch_or(parent.no_new_privs.load(Ordering::Relaxed), Ordering::Relaxed);
    if request.flags & CLONE_THREAD != 0 {
        tree.add_thread(child);
        drop(tree);
        // A group exit or execve that began meanwhile has not seen the new thread.
        let exiting = child.group.signals.lock();
        let must_go = exiting.exiting.is_some() || exiting.exec_in_progress;
        let must_stop = exiting.stop != crate::signal::state::StopState::Running;
        drop(exiting);
        if must_go {
            child.signals.lock().exit_requested = true;
        }
        if must_go || must_stop {
            child.notify_signal();
        }
        return;
    }
    let Some(mine) = tree.process(parent.pid()) else { return };
    let (pgid, sid) = (mine.pgid, mine.sid);
    let (parent_pid, parent_thread, exit_signal) = if request.flags & CLONE_PARENT != 0 {
        (mine.parent, mine.parent_thread, mine.exit_signal)
    } else {
        (parent.pid(), parent.tid(), request.exit_signal)
    };
    tree.add_process(
        child,
        Process {
            group: Arc::clone(&child.group),
            parent: parent_pid,
            children: std::collections::BTreeSet::new(),
            pgid,
            sid,
            threads: vec![child.tid()],
            exit_signal,
            zombie: None,
            stop_report: None,
            parent_thread,
        },
    );
}

/// The process-wide state of a new process.
fn child_group(parent: &Arc<ThreadGroup>, pid: Pid, flags: u64) -> Arc<ThreadGroup> {
    let handlers = parent.handlers.read();
    let handlers = if flags & CLONE_SIGHAND != 0 { Arc::clone(&handlers) } else { handlers.duplicate() };
    if flags & CLONE_CLEAR_SIGHAND != 0 {
        handlers.clear();
    }
    Arc::new(ThreadGroup {
        pid,
        signals: Mutex::new(GroupSignals::default()),
        handlers: RwLock::new(handlers),
        limits: Mutex::new(*parent.limits.lock()),
        dumpable: parent.dumpable.load(Ordering::Relaxed).into(),
        lost_terminal: parent.lost_terminal.load(Ordering::Relaxed).into(),
        oom_score_adj: parent.oom_score_adj.load(Ordering::Relaxed).into(),
        personality: parent.personality.load(Ordering::Relaxed).into(),
        executable: Mutex::new(parent.executable.lock().clone()),
        membarrier: parent.membarrier.load(Ordering::Relaxed).into(),
        ..ThreadGroup::new(pid)
    })
}

/// The checks of copy_process() that need no resources.
fn check_flags(task: &Task, request: &CloneRequest) -> Result<()> {
    let flags = request.flags;
    let needs = |flag: u64, other: u64| flags & flag != 0 && flags & other == 0;
    let invalid = flags & (CLONE_NEWNS | CLONE_FS) == CLONE_NEWNS | CLONE_FS
        || flags & (CLONE_NEWUSER | CLONE_FS) == CLONE_NEWUSER | CLONE_FS
        || needs(CLONE_THREAD, CLONE_SIGHAND)
        || needs(CLONE_SIGHAND, CLONE_VM)
        || (flags & CLONE_THREAD != 0 && flags & (CLONE_NEWUSER | CLONE_NEWPID) != 0)
        || (flags & CLONE_SIGHAND != 0 && flags & CLONE_CLEAR_SIGHAND != 0)
        || (flags & CLONE_PIDFD != 0 && flags & CLONE_DETACHED != 0);
    if invalid {
        return Err(Errno::EINVAL);
    }
    // The first process cannot get siblings: they would have no parent to reap them.
    if flags & CLONE_PARENT != 0 && task.pid() == 1 {
        return Err(Errno::EINVAL);
    }
    if flags & CLONE_NAMESPACES != 0 {
        // No namespaces can be made yet; say what a kernel without them, or a caller without rights, hears.
        return Err(if task.capable(Caps::SYS_ADMIN) { Errno::EINVAL } else { Errno::EPERM });
    }
    Ok(())
}
