//! `runsc create`: sets a container up; its program waits for `start`.

use std::{
    io::IoSlice,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
};

use clap::Args;
use nix::{
    pty::Winsize,
    sys::{
        socket::{AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, listen, socket},
        termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr},
    },
};

use super::{Global, standard_streams, write_pid_file};
use crate::{
    control::{
        protocol::{Event, SandboxConfig, Terminal},
        wire::Attachments,
    },
    error::{Context, Error, Result},
    sandbox::{
        cgroup::Cgroup,
        hints,
        launch::{Plan, Sandbox, launch},
        terminal::RawTerminal,
    },
    spec::{self, Container},
    state::{Locked, ProcessId, State},
    time,
};

/// Create a container.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Directory with config.json.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(super) bundle: PathBuf,
    /// Unix socket that receives the terminal, if the configuration wants one.
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// File for the sandbox's process id.
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// There is no pivot_root in the guest's kernel: no effect.
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Name of the container.
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

/// Creates a container.
///
/// # Errors
/// The bundle is not acceptable, or the sandbox cannot be set up. Nothing is left behind then.
pub fn create(global: &Global, args: &CreateArgs) -> Result<()> {
    set_up(global, args, Style::Detached { start: false })?.sandbox.detach();
    Ok(())
}

/// Who looks after the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Other commands. `start`: its program starts at once.
    Detached {
        /// Start at once.
        start: bool,
    },
    /// This process, which has the terminal that the program wants.
    Attached,
}

/// A container that has been set up.
pub(super) struct Created {
    pub(super) sandbox: Sandbox,
    /// This process's terminal, if the container's first process has it.
    pub(super) terminal: Option<RawTerminal>,
    pub(super) state: State,
    pub(super) locked: Locked,
}

/// Sets a container up and remembers it.
pub(super) fn set_up(global: &Global, args: &CreateArgs, style: Style) -> Result<Created> {
    global.check_network()?;
    let container = spec::load(&args.bundle, global.overlay2)?;
    if !container.annotations.is_empty() {
        log::debug!("annotations have no effect: {:?}", container.annotations.keys());
    }
    let store = global.store();
    let locked = store.create(&args.id)?;
    let socket = store.control_socket(&args.id);
    match start(global, args, style, container, &locked, &socket) {
        Ok((sandbox, state, terminal)) => Ok(Created { sandbox, terminal, state, locked }),
        Err(error) => {
            let _ = locked.remove();
            Err(error)
        }
    }
}

fn start(
    global: &Global,
    args: &CreateArgs,
    style: Style,
    container: Container,
    locked: &Locked,
    socket: &Path,
) -> Result<(Sandbox, State, Option<RawTerminal>)> {
    let log = global.open_debug_log("create", &args.id)?;
    let mut attachments = Attachments::default();
    let strace = global.strace(log.as_ref(), &mut attachments)?;
    let mut process = container.process.clone();
    let mut terminal = None;
    match (container.terminal, style) {
        (false, _) => process.stdio = standard_streams(&mut attachments)?,
        (true, Style::Attached) if args.console_socket.is_none() => {
            let own = RawTerminal::new(std::io::stdin().as_fd())?;
            let (rows, cols) = own.size();
            process.terminal = Some(Terminal { wire: attachments.attach_copy(own.as_fd())?, rows, cols });
            terminal = Some(own);
        }
        (true, _) => {
            let path = args.console_socket.as_ref().ok_or_else(|| {
                Error::new("the configuration wants a terminal: --console-socket must say who receives it")
            })?;
            let (rows, cols) = container.console_size.unwrap_or((24, 80));
            let wire = attachments.attach(send_console(path, rows, cols)?);
            process.terminal = Some(Terminal { wire, rows, cols });
        }
    }
    let cgroup = limit_memory(global, args, &container)?;
    let cgroup_dir = cgroup.as_ref().map(|cgroup| cgroup.dir().to_owned());
    let mut sandbox = launch(Plan {
        platform: global.platform,
        patching: !global.systrap_disable_syscall_patching,
        sandbox: SandboxConfig { strace, mounts: container.tree.mounts, ..container.sandbox },
        process,
        start: style != Style::Detached { start: false },
        attachments,
        roots: container.tree.roots,
        listener: Some(listen_at(socket)?),
        attached: style == Style::Attached,
        log_level: global.log_level(),
        log,
        cgroup,
    })?;
    if style != Style::Attached {
        wait_until_ready(&mut sandbox)?;
    }
    let state = State {
        id: args.id.clone(),
        bundle: container.bundle,
        rootfs: container.rootfs,
        created: time::rfc3339(time::now()),
        owner: nix::unistd::geteuid().as_raw(),
        oci_version: container.oci_version,
        annotations: container.annotations,
        started: style != Style::Detached { start: false },
        process: container.process,
        sentry: ProcessId::of(sandbox.sentry.pid())?,
        gofer: ProcessId::of(sandbox.gofer.pid())?,
        cgroup: cgroup_dir,
    };
    locked.save(&state)?;
    if let Some(path) = &args.pid_file {
        write_pid_file(path, state.sentry.pid)?;
    }
    Ok((sandbox, state, terminal))
}

fn wait_until_ready(sandbox: &mut Sandbox) -> Result<()> {
    match sandbox.control.next_event()? {
        Some(Event::Ready { phases }) => {
            log::debug!("start: sentry: {phases:?}");
            Ok(())
        }
        Some(Event::Failed { message }) => {
            Err(Error::new(format!("starting the sentry: {message}{}", hints::blocked_by())))
        }
        Some(Event::Panicked { message }) => Err(Error::new(format!("sentry: {message}"))),
        Some(Event::Reply { .. }) => Err(Error::new("the sentry answers before it is asked")),
        None => Err(crate::sandbox::supervise::gofer_failure(sandbox)
            .unwrap_or_else(|| Error::new("the sentry ended while it was set up"))),
    }
}

/// The container's control socket. Bound by a short path: the directory's may be longer than a socket's may be.
fn listen_at(path: &Path) -> Result<OwnedFd> {
    let directory = path.parent().ok_or_else(|| Error::new("control socket"))?;
    let directory = std::fs::File::open(directory).context(directory.display())?;
    let short = crate::control::client::short_path(&directory, path)?;
    let socket =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).context("socket")?;
    let address = UnixAddr::new(&short).context("control socket")?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &address).context(path.display())?;
    listen(&socket, Backlog::new(16).context("listen")?).context("listen")?;
    Ok(socket)
}

/// Makes a terminal on the host, sends its master to whoever listens, and returns its raw slave.
pub(super) fn send_console(path: &Path, rows: u16, cols: u16) -> Result<OwnedFd> {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = nix::pty::openpty(Some(&size), None).context("openpty")?;
    // The guest's own terminal does everything that a terminal does; this one only carries bytes.
    let mut raw = tcgetattr(&pty.slave).context("tcgetattr")?;
    cfmakeraw(&mut raw);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).context("tcsetattr")?;
    let stream = UnixStream::connect(path).context(path.display())?;
    host::fdpass::send(
        stream.as_fd(),
        &[IoSlice::new(b"terminal")],
        &[pty.master.as_fd()],
        MsgFlags::empty(),
    )
    .context(path.display())?;
    Ok(pty.slave)
}

fn limit_memory(global: &Global, args: &CreateArgs, container: &Container) -> Result<Option<Cgroup>> {
    let Some(limit) = container.sandbox.memory_limit.filter(|_| !global.ignore_cgroups) else {
        return Ok(None);
    };
    // systemd's "slice:prefix:name" is no path.
    let path = container.cgroups_path.as_deref().filter(|path| !path.to_string_lossy().contains(':'));
    let cgroup = Cgroup::plan(&format!("runsc-{}", args.id), path)?;
    match cgroup.create(limit) {
        Ok(()) => Ok(Some(cgroup)),
        Err(error) => {
            cgroup.remove();
            log::warn!("the memory limit is not enforced by the host: {error}");
            eprintln!("runsc: warning: the memory limit is not enforced by the host: {error}");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_console_arrives_raw_and_sized() {
        let path = std::env::temp_dir().join(format!("runsc-console-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let slave = send_console(&path, 30, 90).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 64];
        let (_, mut fds) = host::fdpass::receive(stream.as_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        let master = fds.remove(0);
        assert_eq!(crate::sandbox::terminal::size(master.as_fd()), (30, 90));
        let flags = tcgetattr(&slave).unwrap().local_flags;
        assert!(!flags.contains(nix::sys::termios::LocalFlags::ECHO));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn long_paths_can_be_listened_at() {
        let deep = std::env::temp_dir().join(format!("runsc-{}-{}", std::process::id(), "x".repeat(150)));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("control.sock");
        let _listener = listen_at(&path).unwrap();
        crate::control::client::Client::connect(&path).unwrap();
        std::fs::remove_dir_all(deep).unwrap();
    }
}
