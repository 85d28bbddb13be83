//! `sandbox run`: runs a program of this host, or of a directory, in a sandbox of its own.

use std::{
    env,
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};

use crate::{
    control::{
        protocol::{Capabilities, MountFlags, Platform, Process, SandboxConfig, Strace, Terminal},
        wire::{Attachments, Bytes},
    },
    error::{Context, Error, Result},
    logging,
    mounts::{Tree, Writes, guest_path},
    sandbox::{
        cgroup::Cgroup,
        janitor::{Janitor, Leftovers},
        launch::{Plan, launch},
        supervise::{Signals, supervise},
        terminal::RawTerminal,
    },
    users::{User, Users},
};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What root may do in a sandbox: the capabilities docker gives a container.
const ROOT_CAPABILITIES: u64 = 0xa804_25fb;

/// Run a program in a sandbox.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Directory that becomes the guest's root. Writes to it stay in memory.
    #[arg(long, value_name = "DIR", default_value = "/")]
    rootfs: PathBuf,
    /// Mount a directory or file of the host; `ro` unless said otherwise. Repeatable.
    #[arg(short = 'v', long = "volume", value_name = "HOST:GUEST[:ro|rw]")]
    volumes: Vec<String>,
    /// Working directory. Default: the current one if the guest has it, else `/`.
    #[arg(short = 'w', long, value_name = "DIR")]
    workdir: Option<String>,
    /// Set an environment variable, or pass one on. Repeatable.
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// User and group, names or numbers of the guest.
    #[arg(short = 'u', long, value_name = "USER[:GROUP]", default_value = "0")]
    user: String,
    /// The guest's host name.
    #[arg(long, default_value = "sandbox")]
    hostname: String,
    /// Give the program a terminal.
    #[arg(short = 't', long)]
    tty: bool,
    /// Standard input is always passed on: no effect, for those used to docker.
    #[arg(short = 'i', long = "interactive")]
    _interactive: bool,
    /// Network: `none` is a loopback device and nothing else.
    #[arg(long, value_name = "MODE", default_value = "none")]
    net: String,
    /// How guest code runs.
    #[arg(long, value_enum, default_value_t)]
    platform: Platform,
    /// Leave the guest's system-call instructions as they are (systrap): slower, and invisible to the guest.
    #[arg(long)]
    systrap_disable_syscall_patching: bool,
    /// Print system calls to standard error: all, or those named.
    #[arg(long, value_name = "CALLS", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    strace: Option<Vec<String>>,
    /// Memory limit in bytes, or with a suffix k, m, g.
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    memory: Option<u64>,
    /// The most processes and threads in the guest.
    #[arg(long, value_name = "N")]
    pids: Option<u64>,
    /// End the sandbox after this time (exit code 124). Seconds, or with a suffix s, m, h.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Log what happens to standard error, or to `--debug-log`.
    #[arg(long)]
    debug: bool,
    /// File for the debug log.
    #[arg(long, value_name = "FILE")]
    debug_log: Option<PathBuf>,
    /// The program, looked up in the guest's PATH, and its arguments.
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    command: Vec<std::ffi::OsString>,
}

/// Runs the program. The exit code is its own.
///
/// # Errors
/// The sandbox failed, or the program could not be started.
pub fn run(args: RunArgs) -> Result<u8> {
    let started = Instant::now();
    let log = open_log(&args)?;
    let log_level = if args.debug { log::LevelFilter::Debug } else { log::LevelFilter::Warn };
    logging::to_stderr(log_level, "sandbox");
    if args.net != "none" {
        return Err(Error::new(format!("--net {}: only none exists so far", args.net)));
    }
    let signals = Signals::hold()?;
    let mut attachments = Attachments::default();
    let (tree, workdir) = file_tree(&args)?;
    let terminal = args.tty.then(|| RawTerminal::new(std::io::stdin().as_fd())).transpose()?;
    let process = process(&args, workdir, terminal.as_ref(), &mut attachments)?;
    let strace = match &args.strace {
        None => None,
        Some(calls) => {
            let stderr = std::io::stderr();
            let sink = attachments.attach_copy(log.as_ref().map_or(stderr.as_fd(), AsFd::as_fd))?;
            Some(Strace { calls: (!calls.is_empty()).then(|| calls.clone()), sink })
        }
    };
    let sandbox = SandboxConfig {
        hostname: args.hostname.as_str().into(),
        domainname: "(none)".into(),
        pids_limit: args.pids,
        memory_limit: args.memory,
        strace,
        mounts: tree.mounts,
    };
    let (cgroup, _janitor) = limit_memory(args.memory)?.unzip();
    let mut sandbox = launch(Plan {
        platform: args.platform,
        patching: !args.systrap_disable_syscall_patching,
        sandbox,
        process,
        start: true,
        attachments,
        roots: tree.roots,
        listener: None,
        attached: true,
        log_level,
        log,
        cgroup,
    })?;
    log::debug!("start: everything sent after {} µs", started.elapsed().as_micros());
    let deadline = args.timeout.and_then(|timeout| started.checked_add(timeout));
    let result = supervise(&mut sandbox, &signals, terminal.as_ref(), deadline);
    log::debug!("end: after {} µs", started.elapsed().as_micros());
    result
}

/// Where the children log.
fn open_log(args: &RunArgs) -> Result<Option<OwnedFd>> {
    match &args.debug_log {
        Some(path) => {
            let file = File::options().create(true).append(true).open(path).context(path.display())?;
            Ok(Some(file.into()))
        }
        None if args.debug => {
            std::io::stderr().as_fd().try_clone_to_owned().map(Some).context("standard error")
        }
        None => Ok(None),
    }
}

/// The guest's mounts and its working directory.
fn file_tree(args: &RunArgs) -> Result<(Tree, String)> {
    let mut tree = Tree::default();
    if !args.rootfs.is_dir() {
        return Err(Error::new(format!("--rootfs {}: not a directory", args.rootfs.display())));
    }
    tree.host(&args.rootfs, "/", Writes::ToMemory, MountFlags::default()).context("--rootfs")?;
    tree.standard();
    let mut volumes = Vec::new();
    for volume in &args.volumes {
        let (source, destination, writes) = parse_volume(volume)?;
        tree.host(&source, &destination, writes, MountFlags::default()).context(format!("-v {volume}"))?;
        volumes.push((source, destination));
    }
    let workdir = match &args.workdir {
        Some(dir) => guest_path(Path::new(dir)).context("-w")?,
        None => default_workdir(&args.rootfs, &volumes),
    };
    Ok((tree, workdir))
}

/// `HOST:GUEST[:ro|rw]`.
fn parse_volume(volume: &str) -> Result<(PathBuf, String, Writes)> {
    let fail = |why: &str| Error::new(format!("-v {volume}: {why}"));
    let mut fields = volume.split(':');
    let (Some(source), Some(destination)) = (fields.next(), fields.next()) else {
        return Err(fail("not HOST:GUEST[:ro|rw]"));
    };
    let writes = match (fields.next(), fields.next()) {
        (None | Some("ro"), None) => Writes::Refused,
        (Some("rw"), None) => Writes::ToHost,
        _ => return Err(fail("not HOST:GUEST[:ro|rw]")),
    };
    let source = std::path::absolute(source).map_err(|error| fail(&error.to_string()))?;
    let destination = guest_path(Path::new(destination)).map_err(|error| fail(&error.to_string()))?;
    if destination == "/" {
        return Err(fail("the root is --rootfs"));
    }
    Ok((source, destination, writes))
}

/// The current directory, if the guest has it.
fn default_workdir(rootfs: &Path, volumes: &[(PathBuf, String)]) -> String {
    let here =
        env::current_dir().ok().and_then(|dir| guest_path(&dir).ok()).unwrap_or_else(|| "/".to_owned());
    let mounted = volumes.iter().rev().find_map(|(source, destination)| {
        let below = Path::new(&here).strip_prefix(destination).ok()?;
        Some((source.as_path(), below.to_path_buf()))
    });
    let (root, below) =
        mounted.unwrap_or_else(|| (rootfs, Path::new(here.trim_start_matches('/')).to_path_buf()));
    if is_directory_below(root, &below) { here } else { "/".to_owned() }
}

fn is_directory_below(root: &Path, path: &Path) -> bool {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    open(root, flags, nix::sys::stat::Mode::empty()).is_ok_and(|root| openat2(root, path, how).is_ok())
}

/// The guest's first process.
fn process(
    args: &RunArgs,
    cwd: String,
    terminal: Option<&RawTerminal>,
    attachments: &mut Attachments,
) -> Result<Process> {
    let user = Users::read(&args.rootfs).find(&args.user)?;
    let env = environment(args, &user, |name| env::var_os(name));
    let root = if user.uid == 0 { ROOT_CAPABILITIES } else { 0 };
    let mut process = Process {
        argv: args.command.iter().map(|arg| Bytes::from(arg.as_encoded_bytes())).collect(),
        env,
        cwd: cwd.into_bytes().into(),
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.additional_gids,
        umask: 0o022,
        capabilities: Capabilities {
            bounding: ROOT_CAPABILITIES,
            effective: root,
            permitted: root,
            inheritable: 0,
            ambient: 0,
        },
        no_new_privileges: false,
        rlimits: Vec::new(),
        stdio: [None; 3],
        terminal: None,
    };
    match terminal {
        Some(terminal) => {
            let (rows, cols) = terminal.size();
            process.terminal =
                Some(Terminal { wire: attachments.attach_copy(terminal.as_fd())?, rows, cols });
        }
        None => process.stdio = crate::commands::standard_streams(attachments)?,
    }
    Ok(process)
}

/// As docker sets it up: a few variables of its own, then those asked for.
fn environment(args: &RunArgs, user: &User, host: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<Bytes> {
    let mut variables: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut set = |name: &str, value: &[u8]| {
        variables.retain(|(other, _)| other != name.as_bytes());
        variables.push((name.into(), value.into()));
    };
    set("PATH", DEFAULT_PATH.as_bytes());
    set("HOSTNAME", args.hostname.as_bytes());
    if args.tty {
        set("TERM", b"xterm");
    }
    set("HOME", user.home.as_bytes());
    for wanted in &args.env {
        match wanted.split_once('=') {
            Some((name, value)) => set(name, value.as_bytes()),
            None => {
                if let Some(value) = host(wanted) {
                    set(wanted, value.as_encoded_bytes());
                }
            }
        }
    }
    variables.into_iter().map(|(name, value)| Bytes([name, value].join(&b'='))).collect()
}

/// A control group with this limit, and someone who removes it if this process cannot.
fn limit_memory(limit: Option<u64>) -> Result<Option<(Cgroup, Janitor)>> {
    let Some(limit) = limit else { return Ok(None) };
    let prepared = Cgroup::plan(&format!("sandbox-{}", std::process::id()), None).and_then(|cgroup| {
        let leftovers = Leftovers { cgroup: Some(cgroup.dir().to_owned()), container: None };
        let janitor = Janitor::start(&leftovers)?;
        match cgroup.create(limit) {
            Ok(()) => Ok((cgroup, janitor)),
            Err(error) => {
                cgroup.remove();
                Err(error)
            }
        }
    });
    match prepared {
        Ok(both) => Ok(Some(both)),
        Err(error) => {
            // Then the memory guard does what it can.
            log::info!("no control group for --memory: {error}");
            Ok(None)
        }
    }
}

/// `1048576`, `1024k`, `1m`, `2g`, with an optional `b` at the end.
fn parse_size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (number, unit) = match lower.strip_suffix(['k', 'm', 'g', 't']) {
        Some(number) => (number, lower.chars().last()),
        None => (lower, None),
    };
    let shift = match unit {
        Some('k') => 10,
        Some('m') => 20,
        Some('g') => 30,
        Some('t') => 40,
        _ => 0,
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| "a number of bytes, or with a suffix k, m, g".to_owned())
}

/// `10`, `0.5`, `10s`, `2m`, `1h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().last()),
        None => (text, None),
    };
    let factor = match unit {
        Some('m') => 60.0,
        Some('h') => 3600.0,
        Some('d') => 86_400.0,
        _ => 1.0,
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * factor);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "a number of seconds, or with a suffix s, m, h, d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn args(words: &[&str]) -> RunArgs {
        Cli::try_parse_from([&["sandbox"], words].concat()).unwrap().run
    }

    #[test]
    fn options_end_at_the_program() {
        let parsed = args(&["-e", "A=1", "--strace", "ls", "-t", "--", "-e"]);
        assert_eq!(parsed.command, ["ls", "-t", "--", "-e"]);
        assert_eq!(parsed.env, ["A=1"]);
        assert_eq!(parsed.strace, Some(vec![]));
        assert!(!parsed.tty);
        let parsed = args(&["--strace=open,read", "--", "-x"]);
        assert_eq!(parsed.strace, Some(vec!["open".into(), "read".into()]));
        assert_eq!(parsed.command, ["-x"]);
        assert!(Cli::try_parse_from(["sandbox"]).is_err());
    }

    #[test]
    fn volumes() {
        let parse = |text: &str| parse_volume(text).map_err(|error| error.to_string());
        assert_eq!(parse("/a:/b"), Ok(("/a".into(), "/b".into(), Writes::Refused)));
        assert_eq!(parse("/a:/b/:rw"), Ok(("/a".into(), "/b".into(), Writes::ToHost)));
        assert_eq!(parse("/a:/b:ro"), Ok(("/a".into(), "/b".into(), Writes::Refused)));
        for bad in ["/a", "/a:", "/a:b", "/a:/b:rx", "/a:/b:ro:", "/a:/../b", "/a:/"] {
            assert!(parse(bad).unwrap_err().starts_with("-v "), "{bad}");
        }
    }

    #[test]
    fn environments_are_dockers() {
        let user = User { home: "/root".into(), ..User::default() };
        let host = |name: &str| (name == "LANG").then(|| "C".into());
        let text = |args: &RunArgs| {
            let bytes = environment(args, &user, host);
            bytes.into_iter().map(|b| String::from_utf8(b.0).unwrap()).collect::<Vec<_>>()
        };
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(text(&args(&["x"])), [&path, "HOSTNAME=sandbox", "HOME=/root"]);
        let given =
            args(&["-t", "-e", "LANG", "-e", "NOTSET", "-e", "HOME=/x", "-e", "E=", "--hostname", "h", "x"]);
        assert_eq!(text(&given), [&path, "HOSTNAME=h", "TERM=xterm", "LANG=C", "HOME=/x", "E="]);
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(parse_size("64m"), Ok(64 << 20));
        assert_eq!(parse_size("1Gb"), Ok(1 << 30));
        assert_eq!(parse_size("4096"), Ok(4096));
        for bad in ["", "m", "-1", "0", "1x", "99999999999g"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1", "0", "inf", "nan", "1e99"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_working_directory_follows_the_guest() {
        let here = guest_path(&env::current_dir().unwrap()).unwrap();
        assert_eq!(default_workdir(Path::new("/"), &[]), here);
        assert_eq!(default_workdir(Path::new("/proc/self/fdinfo"), &[]), "/");
        let volume = (env::current_dir().unwrap(), here.clone());
        assert_eq!(default_workdir(Path::new("/proc/self/fdinfo"), &[volume]), here);
    }
}
