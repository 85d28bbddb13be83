//! Tasks: the guest's threads and processes.
//!
//! * [`Task`] is a guest thread; one host thread of the sentry runs it (`run.rs`).
//! * [`ThreadGroup`] is a guest process: what its threads share by `CLONE_THREAD`.
//! * [`tree::TaskTree`] (one per sandbox, one lock) is who exists and who is whose child, group and session.
//! * [`ThreadCx`] is a running task together with what only its own thread may touch: registers and [`Context`].
//!
//! Reading order: `mod.rs`, `run.rs`, `block.rs`, `clone.rs`, `exec.rs`, `exit.rs`, `wait.rs`.
//!
//! Lock order (outer first): `TaskTree` → `ThreadGroup::signals` → `Task::signals` → `SigHandlers` → wait queues.
//! The `RwLock<Arc<…>>` fields are leaves: clone the `Arc` and let go.

pub mod block;
pub mod clone;
pub mod current;
pub mod exec;
pub mod exit;
pub mod fs_context;
pub mod futex;
pub mod pool;
pub mod rseq;
pub mod run;
pub mod seccomp;
pub mod trace;
pub mod tree;
pub mod usermem;
pub mod wait;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

use linux_abi::{Errno, Result};
use parking_lot::{Mutex, RwLock};
use platform::{Context, Kick, Registers};

use self::{block::TaskWaker, fs_context::FsContext};
use crate::{
    credentials::{Caps, Credentials},
    fs::{fd_table::FdTable, file::File, path::Path},
    kernel::Kernel,
    limits::Limits,
    mm::Mm,
    signal::{
        action::SigHandlers,
        state::{GroupSignals, ThreadSignals},
    },
    time::process_timers::ProcessTimers,
};

/// A thread id or process id as guests see it.
pub type Pid = i32;

/// A guest thread.
pub struct Task {
    /// The sandbox it lives in.
    pub kernel: Arc<Kernel>,
    /// Its process.
    pub group: Arc<ThreadGroup>,
    /// Changes only when a non-leader execs and becomes the leader.
    tid: AtomicI32,
    creds: RwLock<Arc<Credentials>>,
    files: RwLock<Option<Arc<FdTable>>>,
    fs: RwLock<Arc<FsContext>>,
    mm: RwLock<Option<Arc<Mm>>>,
    /// Pending signals, mask and alternate stack.
    pub signals: Mutex<ThreadSignals>,
    /// `TIF_SIGPENDING`: set by whoever may have made a signal deliverable, cleared by the task itself.
    signal_pending: AtomicBool,
    waker: Arc<TaskWaker>,
    kicker: RwLock<Option<Arc<dyn Kick>>>,
    in_guest: AtomicBool,
    sleeping: AtomicBool,
    stopped: AtomicBool,
    /// `prctl(PR_SET_NAME)`.
    pub name: Mutex<[u8; 16]>,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: AtomicBool,
    /// Which system calls it may make.
    pub seccomp: seccomp::Seccomp,
    /// Who traces it.
    pub trace: trace::Trace,
    /// What its end does to semaphores.
    pub sem_undo: crate::ipc::sem::Undo,
    /// `set_tid_address`, `CLONE_CHILD_CLEARTID`.
    pub clear_child_tid: AtomicU64,
    /// Head of the robust futex list, and its length argument.
    robust_list: AtomicU64,
    /// It ends and has given up the futexes it owns: nobody may wait for it any more.
    pub futexes_left: AtomicBool,
    /// `rseq` registration: address, and signature in the upper half of the pair.
    pub rseq: Mutex<Option<Rseq>>,
    /// What restart_syscall(2) continues.
    pub restart_block: Mutex<Option<RestartBlock>>,
    /// `PR_SET_PDEATHSIG`.
    pub parent_death_signal: AtomicI32,
    /// The vfork parent that waits for this task to let go of its memory.
    pub vfork_done: Mutex<Option<Arc<VforkWait>>>,
    /// Scheduling attributes that sched_* and nice read back.
    pub scheduling: Mutex<Scheduling>,
    /// When it was made.
    pub started: std::time::Instant,
}

/// A registered rseq area.
#[derive(Clone, Copy, Debug)]
pub struct Rseq {
    pub addr: u64,
    pub len: u32,
    pub signature: u32,
}

/// The remainder of an interrupted call with a relative timeout.
#[derive(Clone, Debug)]
pub enum RestartBlock {
    /// nanosleep, clock_nanosleep: until `deadline`, remainder to `remaining`.
    Sleep { clock: i32, deadline: std::time::Instant, remaining: u64 },
    /// poll: on the same descriptors until `deadline`.
    Poll { fds: u64, count: u32, deadline: Option<std::time::Instant> },
    /// futex wait with a relative timeout.
    Futex { addr: u64, value: u32, bitset: u32, private: bool, deadline: Option<std::time::Instant> },
}

/// vfork(2)'s rendezvous.
#[derive(Default)]
pub struct VforkWait {
    done: AtomicBool,
    parent: OnceLock<Arc<TaskWaker>>,
}

impl VforkWait {
    /// The parent sleeps on `waker`.
    pub fn new(waker: Arc<TaskWaker>) -> Arc<VforkWait> {
        let wait = VforkWait::default();
        let _ = wait.parent.set(waker);
        Arc::new(wait)
    }

    /// The child no longer uses the parent's memory.
    pub fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
        if let Some(parent) = self.parent.get() {
            parent.notify();
        }
    }

    /// Whether the child is done.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}

/// What sched_setscheduler, setpriority and sched_setaffinity stored.
#[derive(Clone, Copy, Debug)]
pub struct Scheduling {
    pub nice: i32,
    pub policy: u32,
    pub priority: i32,
    pub reset_on_fork: bool,
    /// Affinity mask over at most 64 processors.
    pub affinity: u64,
    pub io_priority: u32,
    pub timer_slack_ns: u64,
    /// set_mempolicy(2).
    pub memory_policy: crate::mm::policy::MemoryPolicy,
}

impl Default for Scheduling {
    fn default() -> Scheduling {
        Scheduling {
            nice: 0,
            policy: 0,
            priority: 0,
            reset_on_fork: false,
            affinity: u64::MAX,
            io_priority: 0,
            timer_slack_ns: 50_000,
            memory_policy: crate::mm::policy::MemoryPolicy::default(),
        }
    }
}

/// A guest process.
pub struct ThreadGroup {
    /// The process id; the leader's thread id.
    pub pid: Pid,
    /// Shared pending signals, stop and exit state.
    pub signals: Mutex<GroupSignals>,
    /// Signal actions (`CLONE_SIGHAND` may share them between processes).
    pub handlers: RwLock<Arc<SigHandlers>>,
    /// Resource limits.
    pub limits: Mutex<Limits>,
    /// Interval and POSIX timers.
    pub timers: ProcessTimers,
    /// Announces changes of children: `wait4` sleeps here.
    pub child_events: crate::wait::WaitQueue,
    /// Announces signals that became pending: signalfd and sigtimedwait sleep here.
    pub signal_events: crate::wait::WaitQueue,
    /// Announces the exit: pidfds.
    pub exit_events: crate::wait::WaitQueue,
    /// `execve`d at least once since fork (setpgid's rule).
    pub has_execed: AtomicBool,
    /// `PR_SET_DUMPABLE`.
    pub dumpable: AtomicBool,
    /// It gave its session's terminal up (`TIOCNOTTY`).
    pub lost_terminal: AtomicBool,
    /// /proc/PID/oom_score_adj.
    pub oom_score_adj: AtomicI32,
    /// personality(2).
    pub personality: std::sync::atomic::AtomicU32,
    /// `PR_SET_CHILD_SUBREAPER`.
    pub is_subreaper: AtomicBool,
    /// The executable (`/proc/PID/exe`).
    pub executable: Mutex<Option<Arc<File>>>,
    /// What membarrier(2) was told to expect.
    pub membarrier: AtomicI32,
    /// Processor time of threads and memory that are gone, and of children that were waited for.
    pub usage: Mutex<Usage>,
    /// When the process was made.
    pub started: std::time::Instant,
}

/// Accumulated resource usage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Threads of this process that have exited.
    pub exited_threads: Duration,
    /// Children (and theirs) that were waited for.
    pub children: Duration,
    /// Largest resident set seen, in bytes.
    pub max_rss: u64,
}

/// What a new task starts from; fields as in [`Task`].
pub struct TaskInit {
    pub kernel: Arc<Kernel>,
    pub group: Arc<ThreadGroup>,
    pub tid: Pid,
    pub creds: Arc<Credentials>,
    pub files: Arc<FdTable>,
    pub fs: Arc<FsContext>,
    pub mm: Arc<Mm>,
    pub blocked: u64,
    pub name: [u8; 16],
    pub no_new_privs: bool,
    pub scheduling: Scheduling,
}

impl Task {
    /// A task that is not in the tree and not running yet.
    pub fn new(init: TaskInit) -> Arc<Task> {
        Arc::new(Task {
            kernel: init.kernel,
            group: init.group,
            tid: AtomicI32::new(init.tid),
            creds: RwLock::new(init.creds),
            files: RwLock::new(Some(init.files)),
            fs: RwLock::new(init.fs),
            mm: RwLock::new(Some(init.mm)),
            signals: Mutex::new(ThreadSignals::new(init.blocked)),
            signal_pending: AtomicBool::new(false),
            waker: Arc::default(),
            kicker: RwLock::new(None),
            in_guest: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            name: Mutex::new(init.name),
            no_new_privs: AtomicBool::new(init.no_new_privs),
            seccomp: seccomp::Seccomp::default(),
            trace: trace::Trace::default(),
            sem_undo: Mutex::default(),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            futexes_left: AtomicBool::new(false),
            rseq: Mutex::new(None),
            restart_block: Mutex::new(None),
            parent_death_signal: AtomicI32::new(0),
            vfork_done: Mutex::new(None),
            scheduling: Mutex::new(init.scheduling),
            started: std::time::Instant::now(),
        })
    }

    /// `gettid(2)`.
    pub fn tid(&self) -> Pid {
        self.tid.load(Ordering::Relaxed)
    }

    /// `getpid(2)`.
    pub fn pid(&self) -> Pid {
        self.group.pid
    }

    /// Takes over the leader's id (execve by another thread).
    pub(crate) fn set_tid(&self, tid: Pid) {
        self.tid.store(tid, Ordering::Relaxed);
        self.forget_answers();
    }

    /// Current credentials.
    pub fn creds(&self) -> Arc<Credentials> {
        Arc::clone(&self.creds.read())
    }

    /// Replaces the credentials of this thread.
    pub fn set_creds(&self, creds: Credentials) {
        *self.creds.write() = Arc::new(creds);
        self.forget_answers();
    }

    /// Something that the platform may answer by itself has changed ([`ThreadCx::remember`]).
    pub fn forget_answers(&self) {
        if let Some(kicker) = self.kicker.read().as_ref() {
            kicker.forget_answers();
        }
    }

    /// As [`Task::forget_answers`], and what the guest changes without a call is not lent any more: every call is to be seen.
    pub fn see_every_call(&self) {
        self.forget_answers();
        self.signals.lock().blocked();
        self.robust_list();
    }

    /// Head of the robust list.
    pub fn robust_list(&self) -> u64 {
        self.robust_list_of(&mut self.signals.lock())
    }

    /// As [`Task::robust_list`], for who holds this lock, which is what orders those who take the list back.
    fn robust_list_of(&self, _signals: &mut ThreadSignals) -> u64 {
        let lent =
            self.kicker.read().as_ref().and_then(|kicker| kicker.take_back(platform::Lent::RobustList));
        if let Some(head) = lent {
            self.robust_list.store(head, Ordering::Relaxed);
        }
        self.robust_list.load(Ordering::Relaxed)
    }

    /// Changes the head of the robust list.
    pub fn set_robust_list(&self, head: u64) {
        let mut signals = self.signals.lock();
        self.robust_list_of(&mut signals);
        self.robust_list.store(head, Ordering::Relaxed);
    }

    /// Whether the task has all of `caps` in its effective set.
    pub fn capable(&self, caps: Caps) -> bool {
        self.creds.read().capable(caps)
    }

    /// The descriptor table; an exiting task has none.
    ///
    /// # Errors
    /// `EBADF` for an exiting task.
    pub fn files(&self) -> Result<Arc<FdTable>> {
        self.files.read().clone().ok_or(Errno::EBADF)
    }

    /// Replaces the table (unshare, exec, exit), returning the old one.
    pub fn set_files(&self, files: Option<Arc<FdTable>>) -> Option<Arc<FdTable>> {
        std::mem::replace(&mut *self.files.write(), files)
    }

    /// The open file at `fd`, `O_PATH` files included.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn file_or_path(&self, fd: i32) -> Result<Arc<File>> {
        self.files.read().as_ref().ok_or(Errno::EBADF)?.get(fd)
    }

    /// The open file at `fd`, which must not be `O_PATH`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn file(&self, fd: i32) -> Result<Arc<File>> {
        let file = self.file_or_path(fd)?;
        if file.flags() & linux_abi::fcntl::O_PATH != 0 { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// Installs `file` at the lowest free descriptor within `RLIMIT_NOFILE`.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn install(&self, file: Arc<File>, close_on_exec: bool) -> Result<i32> {
        let limit = self.group.limits.lock().nofile();
        self.files()?.install_from(file, close_on_exec, 0, limit)
    }

    /// Root, working directory and umask.
    pub fn fs(&self) -> Arc<FsContext> {
        Arc::clone(&self.fs.read())
    }

    /// The root directory.
    pub fn root(&self) -> Path {
        self.fs.read().root()
    }

    /// The working directory.
    pub fn cwd(&self) -> Path {
        self.fs.read().cwd()
    }

    /// Replaces root, working directory and umask (unshare).
    pub fn set_fs(&self, fs: Arc<FsContext>) {
        *self.fs.write() = fs;
    }

    /// The address space; an exiting task has none.
    ///
    /// # Errors
    /// `ESRCH` for an exiting task.
    pub fn mm(&self) -> Result<Arc<Mm>> {
        self.mm.read().clone().ok_or(Errno::ESRCH)
    }

    /// Replaces the address space (exec, exit), returning the old one.
    pub fn set_mm(&self, mm: Option<Arc<Mm>>) -> Option<Arc<Mm>> {
        std::mem::replace(&mut *self.mm.write(), mm)
    }

    /// Whether a deliverable signal may be pending: sleeping calls must end.
    pub fn interrupted(&self) -> bool {
        self.signal_pending.load(Ordering::SeqCst)
    }

    /// Sets or clears the hint that a signal is deliverable.
    pub fn set_signal_pending(&self, on: bool) {
        self.signal_pending.store(on, Ordering::SeqCst);
    }

    /// Whether a fatal signal of this process counts as having dumped core. No core files are written.
    pub fn dumps_core(&self) -> bool {
        self.group.limits.lock().soft(crate::limits::RLIMIT_CORE) > 0
            && self.group.dumpable.load(Ordering::Relaxed)
    }

    /// Whether the task has been killed.
    pub fn must_die(&self) -> bool {
        self.group.signals.lock().exiting.is_some() || self.signals.lock().exit_requested
    }

    /// Makes the task look at its signals: ends its sleep or interrupts its guest code.
    pub fn notify_signal(&self) {
        self.signal_pending.store(true, Ordering::SeqCst);
        self.waker.notify();
        if self.in_guest.load(Ordering::SeqCst)
            && let Some(kicker) = self.kicker.read().as_ref()
        {
            kicker.kick();
        }
    }

    fn waker_ref(&self) -> &TaskWaker {
        &self.waker
    }

    fn waker_arc(&self) -> &Arc<TaskWaker> {
        &self.waker
    }

    fn set_sleeping(&self, on: bool) {
        self.sleeping.store(on, Ordering::Relaxed);
    }

    /// The state letter of /proc/PID/stat for a task that exists: `R`, `S` or `T`.
    pub fn state_letter(&self) -> char {
        if self.trace.is_on() && self.trace.lock().stop.is_some() {
            't'
        } else if self.stopped.load(Ordering::Relaxed) {
            'T'
        } else if self.sleeping.load(Ordering::Relaxed) {
            'S'
        } else {
            'R'
        }
    }

    /// Whether job control has stopped the task.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Marks the task as stopped by job control.
    pub fn set_stopped(&self, on: bool) {
        self.stopped.store(on, Ordering::Relaxed);
    }
}

/// A task on its own thread: the only owner of its registers and its [`Context`].
pub struct ThreadCx {
    /// The task.
    pub task: Arc<Task>,
    /// Its guest thread.
    pub context: Box<dyn Context>,
    /// Its registers; in a system call only those of the call, until [`ThreadCx::registers`] gets the others.
    regs: Registers,
    /// Its last fault, for signal frames.
    pub fault: run::LastFault,
}

impl ThreadCx {
    /// All its registers. `rax` holds the call's number until the call is answered.
    pub fn registers(&mut self) -> &mut Registers {
        self.context.complete(&mut self.regs);
        &mut self.regs
    }

    /// The system call in the registers: its number and arguments.
    pub fn call(&self) -> (u64, [u64; 6]) {
        // The kernel takes the number as an `int`.
        (self.regs.rax & 0xffff_ffff, self.regs.arguments())
    }

    /// Lets the platform answer this question from now on, unless every call is to be seen.
    pub fn remember(&mut self, answer: platform::Answer, value: u32) {
        if self.task.kernel.strace.is_some() || self.task.seccomp.is_on() || self.is_traced() {
            return;
        }
        self.context.remember(answer, value);
        // Another thread may have given this one a filter or begun to trace it meanwhile, and may have forgotten too early.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.task.seccomp.is_on() || self.is_traced() {
            self.task.forget_answers();
        }
    }

    /// Lets the guest change what nothing looks at now without a system call, unless every call is to be seen.
    pub fn lend(&mut self) {
        if self.task.kernel.strace.is_some() || self.task.seccomp.is_on() || self.is_traced() {
            return;
        }
        let task = Arc::clone(&self.task);
        {
            let group = task.group.signals.lock();
            let mut signals = task.signals.lock();
            if group.pending.is_empty() {
                signals.lend_mask(&mut *self.context);
            }
            self.context.lend(platform::Lent::RobustList, task.robust_list_of(&mut signals));
        }
        // As in `remember`.
        std::sync::atomic::fence(Ordering::SeqCst);
        if task.seccomp.is_on() || self.is_traced() {
            task.see_every_call();
        }
    }

    /// As [`ThreadCx::lend`], of the actions of signals. They are taken back by [`ThreadCx::know_actions`].
    pub fn lend_actions(&mut self) {
        if self.task.kernel.strace.is_some() || self.task.seccomp.is_on() || self.is_traced() {
            return;
        }
        let task = Arc::clone(&self.task);
        let alone = task.kernel.tasks.lock().process(task.pid()).is_some_and(|p| p.threads.len() == 1);
        let handlers = task.group.handlers.read();
        if alone && Arc::strong_count(&handlers) == 1 {
            self.context.lend_actions(handlers.defaults().0);
            drop(handlers);
            std::sync::atomic::fence(Ordering::SeqCst);
            if self.task.seccomp.is_on() || self.is_traced() {
                self.task.forget_answers();
            }
        }
    }

    /// Puts what the guest made of actions that were lent to where everybody looks. Before they are told, set, copied or shared.
    pub fn know_actions(&mut self) {
        let Some(plain) = self.context.take_actions() else { return };
        let handlers = self.task.group.handlers.read();
        handlers.set_plain(crate::signal::SigSet(plain.signals), plain.restorer);
    }
}

impl ThreadGroup {
    /// A process with nothing inherited.
    pub fn new(pid: Pid) -> ThreadGroup {
        ThreadGroup {
            pid,
            signals: Mutex::default(),
            handlers: RwLock::default(),
            limits: Mutex::default(),
            timers: ProcessTimers::default(),
            child_events: crate::wait::WaitQueue::new(),
            signal_events: crate::wait::WaitQueue::new(),
            exit_events: crate::wait::WaitQueue::new(),
            has_execed: AtomicBool::new(false),
            dumpable: AtomicBool::new(true),
            lost_terminal: AtomicBool::new(false),
            oom_score_adj: AtomicI32::new(0),
            personality: std::sync::atomic::AtomicU32::new(0),
            is_subreaper: AtomicBool::new(false),
            executable: Mutex::new(None),
            membarrier: AtomicI32::new(0),
            usage: Mutex::default(),
            started: std::time::Instant::now(),
        }
    }
}
