//! A file per verb. [`dispatch`] runs `runsc`'s; [`sandbox_run`] is `sandbox run`.
//!
//! Names, meanings and output formats are those of runc and of gVisor's runsc wherever they have them.

pub mod create;
pub mod delete;
pub mod exec;
pub mod kill;
pub mod list;
pub mod ps;
pub mod run;
pub mod sandbox_run;
pub mod spec;
pub mod start;
pub mod state;

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::ExitCode,
};

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::{
    control::{
        protocol::{Platform, Strace},
        wire::{Attachments, FdRef},
    },
    error::{Context, Error, Result},
    logging,
    spec::{Overlay, parse_overlay},
    state::Store,
};

/// Run OCI containers on a kernel of their own.
#[derive(Parser, Debug)]
#[command(name = "runsc", version)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that come before the verb.
#[derive(Args, Debug)]
pub struct Global {
    /// Directory for the state of containers.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// How guest code runs.
    #[arg(long, value_enum, default_value_t)]
    platform: Platform,
    /// Leave the guest's system-call instructions as they are (systrap): slower, and invisible to the guest.
    #[arg(long)]
    systrap_disable_syscall_patching: bool,
    /// Network: `none` is a loopback device and nothing else.
    #[arg(long, default_value = "none")]
    network: String,
    /// Do not use control groups.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    ignore_cgroups: bool,
    /// Runs without privileges are recognised: no effect.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    rootless: bool,
    /// systemd is not asked to make control groups: no effect.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    systemd_cgroup: bool,
    /// Where writes to the host's files go: `none`, `root:memory` or `all:memory`.
    #[arg(long, value_name = "OVERLAY", value_parser = parse_overlay, default_value = "root:memory")]
    overlay2: Overlay,
    /// Log in detail.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    debug: bool,
    /// File for the sentry's and the gofer's log. `%ID%` and `%COMMAND%` are replaced; a name that ends in `/` is a directory.
    #[arg(long, value_name = "FILE")]
    debug_log: Option<String>,
    /// File for errors and warnings of `runsc` itself.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How `--log` is written.
    #[arg(long, value_enum, default_value_t)]
    log_format: logging::Format,
    /// Log system calls.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    strace: bool,
    /// Only these.
    #[arg(long, value_name = "CALLS", value_delimiter = ',')]
    strace_syscalls: Vec<String>,
}

#[derive(Subcommand, Debug)]
enum Command {
    Create(create::CreateArgs),
    Delete(delete::DeleteArgs),
    Exec(Box<exec::ExecArgs>),
    Kill(kill::KillArgs),
    List(list::ListArgs),
    Ps(ps::PsArgs),
    Run(run::RunArgs),
    Spec(spec::SpecArgs),
    Start(start::StartArgs),
    State(state::StateArgs),
}

/// Exit code of the verbs that report on containers or act on existing ones, as runc has it.
const FAILED: u8 = 1;

/// Runs a verb and reports its failure.
pub fn dispatch(cli: Cli) -> ExitCode {
    let global = &cli.global;
    let result = start_log(global).and_then(|()| match cli.command {
        Command::Create(args) => create::create(global, &args).map(|()| 0),
        Command::Run(args) => run::run(global, &args),
        Command::Exec(args) => exec::exec(global, &args),
        Command::Delete(args) => delete::delete(global, &args).map(|()| 0).map_err(failed),
        Command::Kill(args) => kill::kill(global, &args).map(|()| 0).map_err(failed),
        Command::List(args) => list::list(global, &args).map(|()| 0).map_err(failed),
        Command::Ps(args) => ps::ps(global, &args).map(|()| 0).map_err(failed),
        Command::Spec(args) => spec::spec(&args).map(|()| 0).map_err(failed),
        Command::Start(args) => start::start(global, &args).map(|()| 0).map_err(failed),
        Command::State(args) => state::state(global, &args).map(|()| 0).map_err(failed),
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::error!("{error}");
            eprintln!("runsc: {error}");
            ExitCode::from(error.exit)
        }
    }
}

fn failed(error: Error) -> Error {
    error.with_exit(FAILED)
}

fn start_log(global: &Global) -> Result<()> {
    let open = |path: &PathBuf| File::options().create(true).append(true).open(path).context(path.display());
    let file = global.log.as_ref().map(open).transpose()?;
    let level = if global.debug { log::LevelFilter::Debug } else { log::LevelFilter::Warn };
    logging::to_file(level, "runsc", file, global.log_format);
    Ok(())
}

impl Global {
    /// The containers.
    pub(crate) fn store(&self) -> Store {
        let root = self.root.clone().unwrap_or_else(|| {
            let private = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !nix::unistd::geteuid().is_root());
            private.map_or_else(|| PathBuf::from("/var/run"), PathBuf::from).join("runsc")
        });
        Store::new(std::path::absolute(&root).unwrap_or(root))
    }

    fn log_level(&self) -> log::LevelFilter {
        if self.debug { log::LevelFilter::Debug } else { log::LevelFilter::Warn }
    }

    fn check_network(&self) -> Result<()> {
        match self.network.as_str() {
            "none" => Ok(()),
            other => Err(Error::new(format!("--network {other}: only none exists so far"))),
        }
    }

    /// Where the children of a command log.
    fn open_debug_log(&self, command: &str, id: &str) -> Result<Option<OwnedFd>> {
        let Some(pattern) = &self.debug_log else {
            let stderr = std::io::stderr();
            return self
                .debug
                .then(|| stderr.as_fd().try_clone_to_owned())
                .transpose()
                .context("standard error");
        };
        let mut path = pattern.replace("%ID%", id).replace("%COMMAND%", command);
        if path.ends_with('/') {
            path.push_str(&format!("runsc.log.{id}.{command}.txt"));
        }
        let file = File::options().create(true).append(true).open(&path).context(path)?;
        Ok(Some(file.into()))
    }

    fn strace(&self, log: Option<&OwnedFd>, attachments: &mut Attachments) -> Result<Option<Strace>> {
        if !self.strace {
            return Ok(None);
        }
        let stderr = std::io::stderr();
        let sink = attachments.attach_copy(log.map_or(stderr.as_fd(), AsFd::as_fd))?;
        let calls = (!self.strace_syscalls.is_empty()).then(|| self.strace_syscalls.clone());
        Ok(Some(Strace { calls, sink }))
    }
}

/// This process's standard streams, for a guest process.
pub(crate) fn standard_streams(attachments: &mut Attachments) -> Result<[Option<FdRef>; 3]> {
    Ok([
        Some(attachments.attach_copy(std::io::stdin().as_fd())?),
        Some(attachments.attach_copy(std::io::stdout().as_fd())?),
        Some(attachments.attach_copy(std::io::stderr().as_fd())?),
    ])
}

/// Writes a pid file: it appears with its contents.
pub(crate) fn write_pid_file(path: &std::path::Path, pid: i32) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Error::new(format!("{}: not a file name", path.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let new = path.with_file_name(hidden);
    std::fs::write(&new, pid.to_string()).context(new.display())?;
    std::fs::rename(&new, path).context(path.display())
}
