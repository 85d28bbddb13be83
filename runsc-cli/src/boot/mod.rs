//! The sentry process, from its first instruction to the guest's first.
//!
//! `runsc` starts it by re-executing itself, as the first process of a new user and pid namespace, with a control
//! socket as standard input and an empty environment. [`main`] then, in this order: leaves the host's other
//! namespaces, learns its configuration, becomes nobody, makes the platform (whose processes have no capabilities from
//! the start), leaves the host's files together with them, gives up its own capabilities, installs its
//! system-call filter, and serves.

mod guest;
mod server;
mod tree;

use std::{
    convert::Infallible,
    fs::File,
    io::Write,
    os::fd::{AsFd, BorrowedFd},
    process::ExitCode,
    time::Instant,
};

use nix::sys::prctl;
use sentry::kernel::HostInfo;

use crate::{
    control::{
        protocol::{BootConfig, Event},
        wire::{self, Attachments},
    },
    error::{Context, Error, Result, SANDBOX_FAILED},
    jail::{self, seccomp::OnViolation},
    logging,
};

/// Entry point of the sentry process.
pub fn main() -> ExitCode {
    let stdin = std::io::stdin();
    let control = stdin.as_fd();
    let Err(error) = boot(control);
    let event = Event::Failed { message: error.to_string() };
    if wire::send(control, &event, &Attachments::default()).is_err() {
        eprintln!("this is the sentry's part of runsc: it is not started by hand");
    }
    ExitCode::from(SANDBOX_FAILED)
}

fn boot(control: BorrowedFd<'_>) -> Result<Infallible> {
    let mut phases = Phases::start();
    report_panics();
    // Needs nothing from `runsc`, which maps our ids meanwhile.
    jail::namespaces::enter()?;
    phases.end("namespaces");
    let received = wire::receive::<BootConfig>(control)?;
    let Some((config, mut fds)) = received else {
        return Err(Error::new("the process that started the sandbox is gone"));
    };
    logging::to_stderr(config.log_level, "sentry");
    phases.end("configuration");
    jail::namespaces::take_identity(config.identity, config.attached, control)?;
    // Changing ids made this process undumpable, and so its own /proc files root's.
    prctl::set_dumpable(true).context("prctl(PR_SET_DUMPABLE)")?;
    if !jail::root::mount_proc()? {
        log::info!("no /proc of our own here: guests have no vdso");
    }
    jail::limits::set()?;
    prctl::set_no_new_privs().context("prctl(PR_SET_NO_NEW_PRIVS)")?;
    host::caps::keep_from_programs().context("dropping capabilities")?;
    phases.end("identity");

    // It looks at its first stub in /proc, so it comes before the empty root, to which stubs move as well.
    let mut oom_score = OomScore::open();
    oom_score.set(OomScore::STUBS);
    // Before the platform, which chooses on which processor this thread runs.
    let host = HostInfo::gather();
    let host_tasks = config.sandbox.pids_limit.and_then(jail::limits::host_tasks);
    let platform = guest::make_platform(config.platform, config.patching, host_tasks)?;
    oom_score.restore();
    drop(oom_score);
    phases.end("platform");

    jail::root::enter_empty()?;
    host::caps::drop_all().context("dropping capabilities")?;
    prctl::set_dumpable(false).context("prctl(PR_SET_DUMPABLE)")?;
    phases.end("jail");

    let on_violation = if config.log_level >= log::LevelFilter::Debug {
        host::violations::report().context("sigaction")?;
        OnViolation::Report
    } else {
        OnViolation::Kill
    };
    jail::seccomp::lock(config.platform, on_violation)?;
    phases.end("filter");

    let listener = config.listener.map(|at| fds.take(at)).transpose()?;
    let gofer = fds.take(config.gofer)?;
    let gofer_lifeline = gofer.try_clone().context("copying a descriptor")?;
    let guest = guest::Guest::new(config.sandbox, host, platform, gofer, &mut fds)?;
    phases.end("kernel");
    if config.log_level >= log::LevelFilter::Debug || !config.attached {
        wire::send(control, &Event::Ready { phases: phases.ended }, &Attachments::default())?;
    }
    let first = server::First { process: config.process, fds, attached: config.attached };
    server::serve(guest, control, first, config.start, listener, gofer_lifeline)
}

/// A panic is a bug: the sandbox ends, and says where.
fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("sentry: {info}");
        let event = Event::Panicked { message: info.to_string() };
        let _ = wire::send(std::io::stdin().as_fd(), &event, &Attachments::default());
    }));
}

/// How long each step of the start took.
struct Phases {
    last: Instant,
    ended: Vec<(String, u64)>,
}

impl Phases {
    fn start() -> Phases {
        Phases { last: Instant::now(), ended: Vec::new() }
    }

    fn end(&mut self, name: &str) {
        let now = Instant::now();
        let took = now.duration_since(self.last).as_micros();
        self.ended.push((name.to_owned(), u64::try_from(took).unwrap_or(u64::MAX)));
        self.last = now;
    }
}

/// Makes the host's memory killer take a guest process before the sentry. Best effort: /proc may not be there.
struct OomScore {
    file: Option<File>,
    before: String,
}

impl OomScore {
    /// Stubs first of all.
    const STUBS: &str = "1000";
    const PATH: &str = "/proc/self/oom_score_adj";

    fn open() -> OomScore {
        let before = std::fs::read_to_string(OomScore::PATH).unwrap_or_default();
        OomScore { file: File::options().write(true).open(OomScore::PATH).ok(), before }
    }

    fn set(&mut self, score: &str) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(score.as_bytes())
        {
            log::debug!("oom_score_adj: {error}");
        }
    }

    fn restore(&mut self) {
        let before = std::mem::take(&mut self.before);
        self.set(before.trim());
    }
}
