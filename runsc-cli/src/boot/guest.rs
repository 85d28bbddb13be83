//! The seam between the command line and the sentry library: turns what `runsc` says into what the sentry takes.

use std::{os::fd::OwnedFd, sync::Arc};

use linux_abi::Errno;
use platform::{ptrace::Ptrace, systrap::Systrap};
use sentry::{
    boot::{self, Sentry, SpawnError, Step},
    fs::mount::MountNamespace,
    kernel::HostInfo,
};

use super::tree;
use crate::{
    control::{
        protocol::{ExitStatus, Platform, Process, ProcessInfo, SandboxConfig, Target},
        wire::Attachments,
    },
    error::{CANNOT_EXECUTE, Context, Error, NOT_FOUND, Result, SANDBOX_FAILED},
};

/// Makes the platform. Must be called while the process has one thread.
///
/// # Errors
/// The host lacks what it needs.
pub(super) fn make_platform(
    platform: Platform,
    patching: bool,
    host_tasks: Option<u64>,
) -> Result<Arc<dyn platform::Platform>> {
    let config = platform::systrap::Config { max_host_threads: host_tasks, ..Default::default() };
    match platform {
        Platform::Systrap => {
            let systrap = Systrap::new(config.patching(patching));
            Ok(Arc::new(systrap.context("the systrap platform")?))
        }
        Platform::Ptrace => {
            let ptrace = Ptrace::new(config);
            Ok(Arc::new(ptrace.context("the ptrace platform")?))
        }
    }
}

/// The guest's kernel.
pub(super) struct Guest {
    sentry: Arc<Sentry>,
    /// Mounts know it weakly.
    _namespace: Arc<MountNamespace>,
}

impl Guest {
    /// Boots it.
    ///
    /// # Errors
    /// Its root cannot be mounted.
    pub(super) fn new(
        config: SandboxConfig,
        host: HostInfo,
        platform: Arc<dyn platform::Platform>,
        gofer: OwnedFd,
        fds: &mut Attachments,
    ) -> Result<Guest> {
        let strace = match config.strace {
            Some(strace) => {
                Some(sentry::strace::Strace::new(strace.calls.as_deref(), fds.take(strace.sink)?))
            }
            None => None,
        };
        let mounts = config.mounts;
        let config = boot::SandboxConfig {
            hostname: String::from_utf8_lossy(&config.hostname.0).into_owned(),
            pids_limit: config.pids_limit,
            memory_limit: config.memory_limit,
            strace,
            host,
        };
        let mut made = None;
        let sentry = Sentry::new(config, platform, |kernel| {
            let (root, attachments) = tree::build(kernel, &mounts, gofer)?;
            let namespace = MountNamespace::new(Arc::clone(&root));
            made = Some((namespace, attachments));
            Ok(root.root_path())
        })
        .context("mounting the root")?;
        let (namespace, attachments) = made.ok_or_else(|| Error::new("the guest has no root"))?;
        sentry.mount_first(attachments);
        Ok(Guest { sentry, _namespace: namespace })
    }

    /// Starts a process.
    ///
    /// # Errors
    /// A message, and the exit code that goes with it.
    pub(super) fn spawn(&self, process: Process, fds: &mut Attachments) -> Result<i32> {
        let program = process.argv.first().map(|name| String::from_utf8_lossy(&name.0).into_owned());
        let cwd = String::from_utf8_lossy(&process.cwd.0).into_owned();
        let spec = specification(process, fds)?;
        self.sentry.spawn(spec).map_err(|SpawnError { errno, what }| {
            let exit = match (&what, errno) {
                (Step::Mount(_) | Step::Prepare(_), _) => SANDBOX_FAILED,
                (_, Errno::ENOENT | Errno::ENOTDIR) => NOT_FOUND,
                _ => CANNOT_EXECUTE,
            };
            let what = match what {
                Step::Mount(path) => format!("mounting {}", String::from_utf8_lossy(&path)),
                Step::Prepare(what) => what.to_owned(),
                Step::WorkingDirectory => format!("working directory {cwd}"),
                Step::Program => program.unwrap_or_default(),
            };
            Error::new(format!("{what}: {}", description(errno))).with_exit(exit)
        })
    }

    /// Waits until a process ends.
    pub(super) fn wait(&self, pid: i32) -> Option<ExitStatus> {
        Some(match self.sentry.wait(pid)? {
            boot::ExitStatus::Exited(code) => ExitStatus::Exited(code),
            boot::ExitStatus::Signaled { signo, .. } => {
                ExitStatus::Signaled(u8::try_from(signo).unwrap_or(u8::MAX))
            }
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// No such process.
    pub(super) fn kill(&self, to: Target, signal: i32) -> Result<()> {
        match to {
            Target::All => {
                self.sentry.kill_all(signal);
                Ok(())
            }
            Target::Process(pid) => self.sentry.kill(pid, signal, false).context("kill"),
        }
    }

    /// Tells a process's terminal its size.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn resize(&self, pid: i32, rows: u16, cols: u16) -> Result<()> {
        self.sentry.resize(pid, rows, cols).context("resize")
    }

    /// The guest's processes.
    pub(super) fn processes(&self) -> Vec<ProcessInfo> {
        let now = crate::time::now().as_secs();
        let info = |process: boot::ProcessInfo| ProcessInfo {
            uid: process.uid,
            pid: process.pid,
            ppid: process.ppid,
            threads: u32::try_from(process.threads).unwrap_or(u32::MAX),
            cpu_ms: process.cpu_ms,
            started: now.saturating_sub(process.age),
            command: process.name,
        };
        self.sentry.processes().into_iter().map(info).collect()
    }
}

fn specification(process: Process, fds: &mut Attachments) -> Result<boot::ProcessSpec> {
    let terminal = match &process.terminal {
        None => None,
        Some(terminal) => {
            let input = fds.take(terminal.wire)?;
            let output = input.try_clone().context("copying a descriptor")?;
            Some((boot::Terminal { input, output }, (terminal.rows, terminal.cols)))
        }
    };
    let [stdin, stdout, stderr] = process.stdio.map(|at| at.map(|at| fds.take(at)).transpose());
    let bytes = |all: Vec<crate::control::wire::Bytes>| all.into_iter().map(|bytes| bytes.0).collect();
    let sets = process.capabilities;
    Ok(boot::ProcessSpec {
        argv: bytes(process.argv),
        env: bytes(process.env),
        cwd: process.cwd.0,
        uid: process.uid,
        gid: process.gid,
        additional_gids: process.additional_gids,
        capabilities: boot::Capabilities {
            bounding: sets.bounding,
            effective: sets.effective,
            permitted: sets.permitted,
            inheritable: sets.inheritable,
            ambient: sets.ambient,
        },
        no_new_privileges: process.no_new_privileges,
        rlimits: process.rlimits,
        umask: Some(process.umask),
        terminal,
        stdio: [stdin?, stdout?, stderr?],
    })
}

/// strerror(3)'s words: the sentry has the host's numbers.
fn description(errno: Errno) -> &'static str {
    nix::errno::Errno::from_raw(errno.raw()).desc()
}
