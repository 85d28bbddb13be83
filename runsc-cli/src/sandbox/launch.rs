//! Starts the sentry and the gofer.
//!
//! Both are this program again, started in parallel with nothing but a control socket and their standard error. Each enters
//! its namespaces while this process maps its ids, and finds its configuration on the socket afterwards.

use std::{
    ffi::CStr,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use host::spawn::{Child, Spawn, SpawnError};
use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    },
};

use super::{cgroup::Cgroup, hints, idmap, memory_guard::MemoryGuard};
use crate::{
    control::{
        client::Client,
        protocol::{BootConfig, GoferConfig, Platform, Process, SandboxConfig},
        wire::{self, Attachments},
    },
    error::{Context, Error, Result},
    jail,
};

/// First argument of the sentry process.
pub const BOOT: &CStr = c"boot";
/// First argument of the gofer process.
pub const GOFER: &CStr = c"gofer";

const SELF: &CStr = c"/proc/self/exe";

/// What to start.
#[derive(Debug)]
pub struct Plan {
    /// How guest code runs.
    pub platform: Platform,
    /// Replace system-call instructions that run often (systrap).
    pub patching: bool,
    /// The guest's kernel. Its mounts refer to `roots`.
    pub sandbox: SandboxConfig,
    /// The first process.
    pub process: Process,
    /// Start it at once; otherwise, when asked to.
    pub start: bool,
    /// Descriptors that `sandbox` and `process` refer to.
    pub attachments: Attachments,
    /// What the gofer serves.
    pub roots: Vec<gofer::Root>,
    /// The control socket of a container with OCI verbs.
    pub listener: Option<OwnedFd>,
    /// The sandbox ends with this process.
    pub attached: bool,
    /// How much the children log.
    pub log_level: log::LevelFilter,
    /// Where they log; nowhere without.
    pub log: Option<OwnedFd>,
    /// Where they are accounted.
    pub cgroup: Option<Cgroup>,
}

/// The processes of a sandbox. Dropped without [`Sandbox::detach`], they are killed and waited for.
#[derive(Debug)]
pub struct Sandbox {
    /// The sentry.
    pub sentry: Child,
    /// The gofer.
    pub gofer: Child,
    /// The control socket of the sentry.
    pub control: Client,
    /// Where the gofer says why it could not start.
    pub gofer_control: OwnedFd,
    /// Limits its memory where no cgroup does.
    pub guard: Option<MemoryGuard>,
    /// Removed after the processes.
    cgroup: Option<Cgroup>,
    detached: bool,
}

impl Sandbox {
    /// Ends the sandbox and waits for its processes. Their cgroup is removed.
    pub fn end(&mut self) {
        self.sentry.kill();
        self.gofer.kill();
        let _ = self.sentry.wait();
        let _ = self.gofer.wait();
        if let Some(cgroup) = self.cgroup.take() {
            cgroup.remove();
        }
    }

    /// Lets the processes live on.
    pub fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.detached {
            self.end();
        }
    }
}

/// Starts the processes. The sentry says [`Event::Ready`](crate::control::protocol::Event) when it has set itself up.
///
/// # Errors
/// The host forbids it; the message names the setting.
pub fn launch(plan: Plan) -> Result<Sandbox> {
    let started = Instant::now();
    let null = File::options().read(true).write(true).open("/dev/null").context("/dev/null")?;
    let stderr = plan.log.as_ref().map_or(null.as_fd(), AsFd::as_fd);
    let (sentry_control, sentry_end) = pair()?;
    let (gofer_control, gofer_end) = pair()?;
    let spawn = |verb, end: &OwnedFd| spawn(verb, [end.as_fd(), null.as_fd(), stderr], plan.attached);

    let sentry = spawn(BOOT, &sentry_end)?;
    drop(sentry_end);
    let gofer = match spawn(GOFER, &gofer_end) {
        Ok(gofer) => gofer,
        Err(error) => {
            sentry.kill();
            let _ = sentry.wait();
            return Err(error);
        }
    };
    drop(gofer_end);
    log::debug!("start: both processes after {} µs", started.elapsed().as_micros());
    let limit = plan.sandbox.memory_limit.or_else(MemoryGuard::default_limit);
    let guard = limit.filter(|_| plan.attached && plan.cgroup.is_none());
    // From here on, every way out ends both.
    let sandbox = Sandbox {
        guard: guard.map(|limit| MemoryGuard::new(sentry.pid(), limit)),
        sentry,
        gofer,
        control: Client::new(sentry_control),
        gofer_control,
        cgroup: plan.cgroup,
        detached: false,
    };
    if let Some(cgroup) = &sandbox.cgroup {
        cgroup.add(sandbox.sentry.pid())?;
        cgroup.add(sandbox.gofer.pid())?;
    }

    let map = |child: &Child, role| {
        idmap::write(child.pid(), role).map_err(|error| {
            Error::new(format!("setting up a user namespace: {error}{}", hints::blocked_by()))
        })
    };
    let (to_gofer, at_gofer) = pair()?;
    let mut fds = Attachments::default();
    let writable = plan.roots.iter().any(|root| !root.policy.read_only);
    let config = GoferConfig {
        identity: map(&sandbox.gofer, idmap::Role::Gofer { writable })?,
        attached: plan.attached,
        log_level: plan.log_level,
        connection: fds.attach(at_gofer),
    };
    wire::send(sandbox.gofer_control.as_fd(), &config, &fds).context("configuring the gofer")?;
    drop(fds);
    let roots = gofer::Config {
        roots: plan.roots,
        limits: gofer::Limits::default(),
        confinement: gofer::Confinement::Required,
    };
    // Before the sentry gets this end: the configuration is the first thing that comes to the gofer.
    roots.send(&to_gofer).context("configuring the gofer")?;
    drop(roots);

    let mut fds = plan.attachments;
    let config = BootConfig {
        identity: map(&sandbox.sentry, idmap::Role::Sentry)?,
        attached: plan.attached,
        log_level: plan.log_level,
        platform: plan.platform,
        patching: plan.patching,
        sandbox: SandboxConfig {
            pids_limit: Some(jail::limits::pids(plan.sandbox.pids_limit)),
            ..plan.sandbox
        },
        process: plan.process,
        start: plan.start,
        gofer: fds.attach(to_gofer),
        listener: plan.listener.map(|fd| fds.attach(fd)),
    };
    wire::send(sandbox.control.as_fd(), &config, &fds).context("configuring the sentry")?;
    log::debug!("start: both configured after {} µs", started.elapsed().as_micros());
    Ok(sandbox)
}

fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).context("socketpair")
}

fn spawn(verb: &CStr, stdio: [BorrowedFd<'_>; 3], attached: bool) -> Result<Child> {
    let spawn = Spawn {
        exe: SELF,
        argv: &[c"runsc", verb],
        namespaces: jail::namespaces::AT_CLONE,
        stdio,
        parent_death_signal: attached.then_some(Signal::SIGKILL),
        keep_capabilities: true,
    };
    spawn.spawn().map_err(|error| {
        let hint = match error {
            SpawnError {
                step: "clone",
                errno: Errno::EPERM | Errno::ENOSPC | Errno::EUSERS | Errno::EINVAL,
            } => hints::blocked_by(),
            _ => String::new(),
        };
        Error::new(format!("starting a process in new user and pid namespaces: {error}{hint}"))
    })
}
