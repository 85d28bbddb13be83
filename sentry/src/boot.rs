//! From outside the sandbox to its first process: what runsc tells the sentry, and what it may ask of it.

use std::{os::fd::OwnedFd, sync::Arc};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;
use platform::{Platform, Registers};

use crate::{
    credentials::{Caps, Credentials},
    fs::{
        assemble::{self, Attachment},
        fd_table::FdTable,
        file::File,
        path::Path,
        walk::Lookup,
    },
    kernel::{HostInfo, Kernel, KernelInit},
    limits::{Limit, Limits},
    mm::Mm,
    signal::{SIGCHLD, info::SigInfo, send},
    strace::Strace,
    task::{
        Pid, Task, TaskInit, ThreadGroup, exec, exec::ExecRequest, fs_context::FsContext, run, tree::Process,
    },
};

pub use crate::task::wait::ExitStatus;

/// What a sandbox is made of.
pub struct SandboxConfig {
    pub hostname: String,
    /// `--pids`: the most threads there may be.
    pub pids_limit: Option<u64>,
    /// `--memory`: what /proc/meminfo says, and the bound of in-memory files.
    pub memory_limit: Option<u64>,
    /// `--strace`.
    pub strace: Option<Strace>,
    pub host: HostInfo,
}

/// A process to be started from outside.
pub struct ProcessSpec {
    pub argv: Vec<Vec<u8>>,
    pub env: Vec<Vec<u8>>,
    pub cwd: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    pub capabilities: Capabilities,
    pub no_new_privileges: bool,
    /// Resource (`RLIMIT_*`), soft, hard.
    pub rlimits: Vec<(u32, u64, u64)>,
    pub umask: Option<u32>,
    /// The raw host side of a terminal, and its first size (rows, columns).
    pub terminal: Option<(Terminal, (u16, u16))>,
    /// Standard input, output and error; `None` is /dev/null.
    pub stdio: [Option<OwnedFd>; 3],
}

/// The wire of a terminal that lives in the sandbox.
pub struct Terminal {
    /// What is typed comes from here.
    pub input: OwnedFd,
    /// What is shown goes there.
    pub output: OwnedFd,
}

/// The five capability sets of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// Why a process could not be started.
#[derive(Clone, Debug)]
pub struct SpawnError {
    pub errno: Errno,
    /// What was being done.
    pub what: Step,
}

/// A step of starting a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making a mount of the configuration, at this path: before the first process.
    Mount(Vec<u8>),
    /// Making the process, in words.
    Prepare(&'static str),
    /// Entering its working directory.
    WorkingDirectory,
    /// Finding and executing its program.
    Program,
}

/// A process as `ps` shows it.
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    pub pid: Pid,
    pub ppid: Pid,
    pub uid: u32,
    pub name: String,
    pub threads: usize,
    /// Seconds since the process was made.
    pub age: u64,
    /// Processor time in milliseconds.
    pub cpu_ms: u64,
}

/// A running sandbox.
pub struct Sentry {
    kernel: Arc<Kernel>,
    root: Path,
    /// Mounts to be made when there is a process to make them for.
    mounts: Mutex<Vec<Attachment>>,
}

impl Sentry {
    /// A kernel whose file tree is at `root`, without processes.
    pub fn new(
        config: SandboxConfig,
        platform: Arc<dyn Platform>,
        make_root: impl FnOnce(&Arc<Kernel>) -> Result<Path>,
    ) -> Result<Arc<Sentry>> {
        let kernel = Kernel::new(KernelInit {
            platform,
            host: HostInfo { memory: config.memory_limit.unwrap_or(config.host.memory), ..config.host },
            hostname: config.hostname.into_bytes(),
            strace: config.strace,
            pids_limit: config.pids_limit.and_then(|limit| usize::try_from(limit).ok()),
        });
        let root = make_root(&kernel)?;
        Ok(Arc::new(Sentry { kernel, root, mounts: Mutex::default() }))
    }

    /// Mounts to be made before the first process runs, in this order.
    pub fn mount_first(&self, mounts: Vec<Attachment>) {
        self.mounts.lock().extend(mounts);
    }

    /// The kernel.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// Starts a process: the first one, or another beside it (exec).
    ///
    /// # Errors
    /// [`SpawnError`]; nothing is left behind.
    pub fn spawn(&self, spec: ProcessSpec) -> Result<Pid, SpawnError> {
        let failed = |what| move |errno| SpawnError { errno, what };
        let kernel = &self.kernel;
        let process = kernel.platform.new_process().map_err(failed(Step::Prepare("making a process")))?;
        let pid =
            kernel.tasks.lock().allocate_pid().map_err(failed(Step::Prepare("allocating a process id")))?;
        let mm = Mm::new(process.space, kernel.platform.layout());
        let group =
            Arc::new(ThreadGroup { limits: Mutex::new(limits(&spec.rlimits)), ..ThreadGroup::new(pid) });
        let files = FdTable::new();
        let task = Task::new(TaskInit {
            kernel: Arc::clone(kernel),
            group: Arc::clone(&group),
            tid: pid,
            creds: Arc::new(credentials(&spec)),
            files: Arc::clone(&files),
            fs: FsContext::new(self.root.clone(), self.root.clone(), spec.umask.unwrap_or(0o022)),
            mm,
            blocked: 0,
            name: [0; 16],
            no_new_privs: spec.no_new_privileges,
            scheduling: crate::task::Scheduling::default(),
        });
        for mount in std::mem::take(&mut *self.mounts.lock()) {
            assemble::attach(&task, &mount)
                .map_err(|errno| SpawnError { errno, what: Step::Mount(mount.at.clone()) })?;
        }
        let cwd = crate::fs::walk::resolve(
            &task,
            linux_abi::fcntl::AT_FDCWD,
            &spec.cwd,
            Lookup::FOLLOW | Lookup::DIRECTORY,
        )
        .map_err(failed(Step::WorkingDirectory))?;
        task.fs().set_cwd(cwd);
        {
            let mut tree = kernel.tasks.lock();
            let node = Process {
                group: Arc::clone(&group),
                parent: 0,
                children: std::collections::BTreeSet::new(),
                pgid: pid,
                sid: pid,
                threads: vec![pid],
                exit_signal: SIGCHLD,
                zombie: None,
                stop_report: None,
                parent_thread: 0,
            };
            tree.add_process(&task, node);
        }
        let started = self.start(&task, process.context, spec);
        if started.is_err() {
            let mut tree = kernel.tasks.lock();
            tree.remove_thread(&task);
            tree.remove_process(pid);
        }
        started.map(|()| pid)
    }

    fn start(
        &self,
        task: &Arc<Task>,
        context: Box<dyn platform::Context>,
        spec: ProcessSpec,
    ) -> Result<(), SpawnError> {
        let failed = |what| move |errno| SpawnError { errno, what };
        let files = task.files().map_err(failed(Step::Prepare("opening standard files")))?;
        for (fd, file) in self
            .standard_files(task, spec.terminal, spec.stdio)
            .map_err(failed(Step::Prepare("opening standard files")))?
        {
            files
                .install_at(file, false, fd, 1024)
                .map_err(failed(Step::Prepare("opening standard files")))?;
        }
        let path = self.find_program(task, &spec.argv, &spec.env).map_err(failed(Step::Program))?;
        let request = ExecRequest {
            dirfd: linux_abi::fcntl::AT_FDCWD,
            path,
            argv: spec.argv,
            envp: spec.env,
            flags: 0,
        };
        let program = exec::find(task, request).map_err(failed(Step::Program))?;
        self.kernel.watch_exit(task.pid());
        let entered = run::spawn_program(Arc::clone(task), context, Registers::default(), program);
        entered.map_err(failed(Step::Prepare("starting a thread")))
    }

    fn standard_files(
        &self,
        task: &Arc<Task>,
        terminal: Option<(Terminal, (u16, u16))>,
        stdio: [Option<OwnedFd>; 3],
    ) -> Result<Vec<(i32, Arc<File>)>> {
        if let Some((wire, size)) = terminal {
            return crate::fs::types::console::open(task, wire, size);
        }
        crate::fs::types::stdio::open(task, stdio)
    }

    /// execvp(3)'s search: a name without a slash is looked up in `PATH`.
    fn find_program(&self, task: &Arc<Task>, argv: &[Vec<u8>], env: &[Vec<u8>]) -> Result<Vec<u8>> {
        let name = argv.first().ok_or(Errno::ENOENT)?;
        if name.contains(&b'/') {
            return Ok(name.clone());
        }
        if name.is_empty() {
            return Err(Errno::ENOENT);
        }
        let path =
            env.iter().find_map(|var| var.strip_prefix(b"PATH=")).unwrap_or(b"/usr/local/bin:/usr/bin:/bin");
        let mut result = Errno::ENOENT;
        for dir in path.split(|&byte| byte == b':') {
            let dir = if dir.is_empty() { b".".as_slice() } else { dir };
            let candidate = [dir, b"/", name].concat();
            match crate::fs::open::open_exec(task, linux_abi::fcntl::AT_FDCWD, &candidate, Lookup::FOLLOW) {
                Ok(_) => return Ok(candidate),
                Err(Errno::EACCES) => result = Errno::EACCES,
                Err(_) => {}
            }
        }
        Err(result)
    }

    /// Waits for a process that was started by [`Sentry::spawn`]. `None` if there is none, or it was waited for already.
    pub fn wait(&self, pid: Pid) -> Option<ExitStatus> {
        let status = self.kernel.wait_exit(pid)?;
        self.kernel.consoles.drain();
        self.kernel.forget_exit(pid);
        Some(status)
    }

    /// Sends a signal to a process, or to its whole process group.
    ///
    /// # Errors
    /// `ESRCH`.
    pub fn kill(&self, pid: Pid, signo: i32, to_group: bool) -> Result<()> {
        let info = SigInfo::user(signo, 0, 0, 0);
        let (group, pgid) = {
            let tree = self.kernel.tasks.lock();
            let process = tree.process(pid).filter(|process| process.zombie.is_none()).ok_or(Errno::ESRCH)?;
            (Arc::clone(&process.group), process.pgid)
        };
        if to_group {
            send::send_to_pgrp(&self.kernel, pgid, info);
            return Ok(());
        }
        send::send_to_group(&self.kernel, &group, info)
    }

    /// Sends a signal to every process.
    pub fn kill_all(&self, signo: i32) {
        let groups: Vec<Arc<ThreadGroup>> =
            self.kernel.tasks.lock().processes().map(|(_, process)| Arc::clone(&process.group)).collect();
        for group in groups {
            let _ = send::send_to_group(&self.kernel, &group, SigInfo::user(signo, 0, 0, 0));
        }
    }

    /// Tells the controlling terminal of `pid` its size.
    ///
    /// # Errors
    /// `ESRCH`, `ENOTTY`.
    pub fn resize(&self, pid: Pid, rows: u16, columns: u16) -> Result<()> {
        let tty = {
            let tree = self.kernel.tasks.lock();
            let sid = tree.process(pid).ok_or(Errno::ESRCH)?.sid;
            tree.session(sid).and_then(|session| session.tty.clone()).ok_or(Errno::ENOTTY)?
        };
        tty.resize(rows, columns);
        Ok(())
    }

    /// Every process.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let tree = self.kernel.tasks.lock();
        let mut list = Vec::new();
        for (pid, process) in tree.processes() {
            let threads = tree.threads_of(pid);
            let Some(first) = threads.first() else { continue };
            let name = *first.name.lock();
            let name: Vec<u8> = name.into_iter().take_while(|&byte| byte != 0).collect();
            list.push(ProcessInfo {
                pid,
                ppid: process.parent,
                uid: first.creds().euid,
                name: String::from_utf8_lossy(&name).into_owned(),
                threads: threads.len(),
                age: process.group.started.elapsed().as_secs(),
                cpu_ms: first
                    .mm()
                    .map_or(0, |mm| u64::try_from(mm.space.cpu_time().as_millis()).unwrap_or(0)),
            });
        }
        list
    }
}

fn limits(wanted: &[(u32, u64, u64)]) -> Limits {
    let mut limits = Limits::default();
    for &(resource, soft, hard) in wanted {
        // Unknown resources were refused when the configuration was read.
        let _ = limits.set(resource as usize, Limit { soft, hard });
    }
    limits
}

fn credentials(spec: &ProcessSpec) -> Credentials {
    let set = Caps::from_bits_truncate;
    let caps = spec.capabilities;
    Credentials {
        bounding: set(caps.bounding),
        effective: set(caps.effective),
        permitted: set(caps.permitted),
        inheritable: set(caps.inheritable),
        ambient: set(caps.ambient),
        ..Credentials::user(spec.uid, spec.gid, &spec.additional_gids)
    }
}
