//! `runsc exec`: runs another process in a container.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use clap::Args;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};

use super::{Global, create::send_console, standard_streams, write_pid_file};
use crate::{
    capabilities,
    control::{
        client::Client,
        protocol::{Event, Process, Reply, Request, Target, Terminal},
        wire::Attachments,
    },
    error::{Context, Error, Result},
    mounts::guest_path,
    sandbox::{supervise::Signals, terminal::RawTerminal},
    spec::process_of,
    state::Status,
    users::Users,
};

/// Run another process in a container.
#[derive(Args, Debug)]
pub struct ExecArgs {
    /// Working directory.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set an environment variable. Repeatable.
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// User and group.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Supplementary groups.
    #[arg(short = 'g', long, value_name = "GID", value_delimiter = ',')]
    additional_gids: Vec<u32>,
    /// Add a capability. Repeatable.
    #[arg(short, long, value_name = "CAP", value_delimiter = ',')]
    cap: Vec<String>,
    /// Do not wait for its end.
    #[arg(short, long)]
    detach: bool,
    /// Give it a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Read OCI's process from this file instead.
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// File for a process id of the host. There is one process of the host for all: the sentry.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// File for its process id in the guest.
    #[arg(long, value_name = "FILE")]
    internal_pid_file: Option<PathBuf>,
    /// Unix socket that receives the terminal.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Name of the container.
    #[arg(value_name = "ID")]
    id: String,
    /// The program and its arguments.
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<std::ffi::OsString>,
}

/// Runs it. The exit code is its own.
///
/// # Errors
/// The container does not run, or the program cannot be started.
pub fn exec(global: &Global, args: &ExecArgs) -> Result<u8> {
    let store = global.store();
    let state = store.load(&args.id)?;
    let status = state.status();
    if status == Status::Stopped {
        return Err(Error::new(format!("cannot exec in a container that is {status}")));
    }
    let (mut process, wants_terminal) = described(args, &state.process, &state.rootfs)?;
    let signals = Signals::hold()?;
    let mut attachments = Attachments::default();
    let mut raw = None;
    if !wants_terminal {
        process.stdio = standard_streams(&mut attachments)?;
    } else if let Some(path) = &args.console_socket {
        let wire = attachments.attach(send_console(path, 24, 80)?);
        process.terminal = Some(Terminal { wire, rows: 24, cols: 80 });
    } else {
        let terminal = RawTerminal::new(std::io::stdin().as_fd())?;
        let (rows, cols) = terminal.size();
        process.terminal = Some(Terminal { wire: attachments.attach_copy(terminal.as_fd())?, rows, cols });
        raw = Some(terminal);
    }
    let mut client = Client::connect(&store.control_socket(&args.id))?;
    let pid = match client.call(Request::Exec(Box::new(process)), &attachments)? {
        Reply::Started { pid } => pid,
        Reply::NotStarted { exit, message } => return Err(Error::new(message).with_exit(exit)),
        other => return Err(Error::new(format!("unexpected reply {other:?}"))),
    };
    drop(attachments);
    if let Some(path) = &args.pid_file {
        write_pid_file(path, state.sentry.pid)?;
    }
    if let Some(path) = &args.internal_pid_file {
        write_pid_file(path, pid)?;
    }
    if args.detach {
        return Ok(0);
    }
    follow(&mut client, pid, &signals, raw.as_ref())
}

/// The process, and whether it wants a terminal.
fn described(args: &ExecArgs, first: &Process, rootfs: &Path) -> Result<(Process, bool)> {
    if let Some(path) = &args.process {
        let text = fs::read(path).context(path.display())?;
        let process: oci_spec::runtime::Process = serde_json::from_slice(&text).context(path.display())?;
        return Ok((process_of(&process)?, process.terminal().unwrap_or(false)));
    }
    if args.command.is_empty() {
        return Err(Error::new("no command"));
    }
    let mut process = first.clone();
    process.argv = args.command.iter().map(|arg| arg.as_encoded_bytes().into()).collect();
    for variable in &args.env {
        let Some((name, _)) = variable.split_once('=') else {
            return Err(Error::new(format!("--env {variable:?} is not NAME=VALUE")));
        };
        let prefix = format!("{name}=").into_bytes();
        process.env.retain(|other| !other.0.starts_with(&prefix));
        process.env.push(variable.as_str().into());
    }
    if let Some(cwd) = &args.cwd {
        process.cwd = guest_path(cwd).context("--cwd")?.as_str().into();
    }
    if let Some(user) = &args.user {
        let user = Users::read(rootfs).find(user)?;
        (process.uid, process.gid, process.additional_gids) = (user.uid, user.gid, user.additional_gids);
        if user.uid != 0 {
            process.capabilities.effective = 0;
            process.capabilities.permitted = 0;
        }
    }
    process.additional_gids.extend(&args.additional_gids);
    let more = capabilities::set(&args.cap)?;
    let sets = &mut process.capabilities;
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        *set |= more;
    }
    Ok((process, args.tty))
}

/// Forwards signals and window sizes until the process ends.
fn follow(client: &mut Client, pid: i32, signals: &Signals, terminal: Option<&RawTerminal>) -> Result<u8> {
    let none = Attachments::default();
    let wait = client.send(Request::Wait { pid }, &none)?;
    loop {
        let mut fds = [client.as_fd(), signals.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other.context("poll")?,
        };
        let [said, signal] = fds.map(|fd| fd.any().unwrap_or(false));
        if said {
            match client.next_event()? {
                Some(Event::Reply { id, reply: Reply::Exited { status } }) if id == wait => {
                    return Ok(status.code());
                }
                Some(Event::Reply { id, reply: Reply::Failed { message } }) if id == wait => {
                    return Err(Error::new(message));
                }
                Some(_) => {}
                // The container's end is that of all of its processes.
                None => return Ok(128 + Signal::SIGKILL as u8),
            }
        }
        if signal {
            while let Some(signal) = signals.next() {
                let request = match (signal, terminal) {
                    (Signal::SIGWINCH, None) => continue,
                    (Signal::SIGWINCH, Some(terminal)) => {
                        let (rows, cols) = terminal.size();
                        Request::Resize { pid, rows, cols }
                    }
                    _ => Request::Kill { to: Target::Process(pid), signal: signal as i32 },
                };
                client.send(request, &none)?;
            }
        }
    }
}
