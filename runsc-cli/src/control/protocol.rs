//! What is said over the control sockets.
//!
//! `runsc` starts a conversation with a child by sending it its configuration ([`BootConfig`], [`GoferConfig`]).
//! The sentry then answers [`Request`]s, on that socket and on every connection to the container's listening
//! socket. Every request carries a number that its [`Reply`] repeats; replies may come in any order.

use serde::{Deserialize, Serialize};

use super::wire::{Bytes, FdRef};

/// Which backend runs guest code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Seccomp traps and shared memory.
    #[default]
    Systrap,
    /// `PTRACE_SYSEMU`: slower, needs less of the host.
    Ptrace,
}

impl Platform {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Platform::Systrap => "systrap",
            Platform::Ptrace => "ptrace",
        }
    }
}

/// What a child process does about its user and group id in its new user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Become this user and group (both the same number), if it is not that already.
    pub id: Option<u32>,
    /// Give up supplementary groups (impossible where setgroups(2) is denied).
    pub drop_groups: bool,
}

/// All the sentry process is told before it locks itself in.
#[derive(Debug, Serialize, Deserialize)]
pub struct BootConfig {
    /// Its ids.
    pub identity: Identity,
    /// End when `runsc` ends: for foreground runs.
    pub attached: bool,
    /// Log to standard error at this level.
    pub log_level: log::LevelFilter,
    /// How guest code runs.
    pub platform: Platform,
    /// Replace system-call instructions that run often (systrap).
    pub patching: bool,
    /// The guest's kernel.
    pub sandbox: SandboxConfig,
    /// The first process.
    pub process: Process,
    /// Start it without waiting for [`Request::Start`].
    pub start: bool,
    /// The connection to the gofer.
    pub gofer: FdRef,
    /// The bound and listening control socket of a container with OCI verbs.
    pub listener: Option<FdRef>,
}

/// What the guest's kernel looks like.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// uname(2)'s node name.
    pub hostname: Bytes,
    /// uname(2)'s domain name.
    pub domainname: Bytes,
    /// The most tasks that may exist.
    pub pids_limit: Option<u64>,
    /// The most memory, in bytes, as the guest sees it; enforcement is the host's cgroup.
    pub memory_limit: Option<u64>,
    /// System-call tracing.
    pub strace: Option<Strace>,
    /// Mounts, in order; the first is the root.
    pub mounts: Vec<Mount>,
}

/// `--strace`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Strace {
    /// Only these calls.
    pub calls: Option<Vec<String>>,
    /// Where the lines go.
    pub sink: FdRef,
}

/// One mount of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, normalised path in the guest. The sentry resolves it in the guest's own tree.
    pub destination: Bytes,
    /// What is mounted.
    pub kind: MountKind,
    /// What a process may do there.
    pub flags: MountFlags,
}

/// Per-mount flags, as in mount(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountFlags {
    /// `MS_RDONLY`.
    pub read_only: bool,
    /// `MS_NOSUID`.
    pub no_suid: bool,
    /// `MS_NODEV`.
    pub no_dev: bool,
    /// `MS_NOEXEC`.
    pub no_exec: bool,
    /// `MS_NOATIME`.
    pub no_atime: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A directory or file of the host, through the gofer.
    Gofer {
        /// Which of the gofer's roots.
        root: usize,
        /// Writes go to memory; the host's files do not change.
        overlay: bool,
        /// It is a regular file, not a directory.
        file: bool,
    },
    /// Memory.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
        /// Mode of its root.
        mode: u32,
        /// Owner of its root.
        uid: u32,
        /// Group of its root.
        gid: u32,
    },
    /// procfs.
    Proc,
    /// sysfs.
    Sysfs,
    /// A tmpfs with the standard devices in it.
    Dev,
    /// Pseudo-terminals.
    Devpts,
    /// POSIX message queues.
    Mqueue,
    /// Control groups.
    Cgroup,
    /// Path of the guest that becomes unreachable (`linux.maskedPaths`).
    Masked,
    /// Path of the guest that becomes read-only (`linux.readonlyPaths`).
    ReadOnly,
}

/// All the gofer process is told before it locks itself in.
#[derive(Debug, Serialize, Deserialize)]
pub struct GoferConfig {
    /// Its ids.
    pub identity: Identity,
    /// End when `runsc` ends.
    pub attached: bool,
    /// Log to standard error at this level.
    pub log_level: log::LevelFilter,
    /// The sentry's connection. [`gofer::Config`] comes on it first.
    pub connection: FdRef,
}

/// A guest process to start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Arguments; the zeroth names the program, looked up in `PATH` if it has no slash.
    pub argv: Vec<Bytes>,
    /// Environment.
    pub env: Vec<Bytes>,
    /// Absolute working directory.
    pub cwd: Bytes,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// File mode creation mask.
    pub umask: u32,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// Resource limits: `RLIMIT_*` number, soft, hard.
    pub rlimits: Vec<(u32, u64, u64)>,
    /// Standard input, output and error; none of them with a terminal.
    pub stdio: [Option<FdRef>; 3],
    /// The process gets a terminal of the guest, whose other end is this descriptor.
    pub terminal: Option<Terminal>,
}

/// The host's side of a guest terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Raw bytes in both directions.
    pub wire: FdRef,
    /// Window size at the start: rows and columns.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// The five capability sets, one bit per capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Bounding.
    pub bounding: u64,
    /// Effective.
    pub effective: u64,
    /// Permitted.
    pub permitted: u64,
    /// Inheritable.
    pub inheritable: u64,
    /// Ambient.
    pub ambient: u64,
}

/// A request and its number.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// Repeated by the reply.
    pub id: u64,
    /// What to do.
    pub request: Request,
}

/// What the sentry can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Start the container's first process.
    Start,
    /// Start another process.
    Exec(Box<Process>),
    /// Say when this guest process ends.
    Wait {
        /// Its id in the guest.
        pid: i32,
    },
    /// Send a signal.
    Kill {
        /// To whom.
        to: Target,
        /// Its number.
        signal: i32,
    },
    /// Tell a process's terminal its new size.
    Resize {
        /// Its id in the guest.
        pid: i32,
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// List the guest's processes.
    Processes,
    /// Whether the first process has been started.
    State,
    /// End everything.
    Shutdown,
}

/// Receivers of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// One process.
    Process(i32),
    /// All processes.
    All,
}

/// What the sentry says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The sandbox is ready for requests: every mount exists.
    Ready {
        /// Microseconds since the boot process started, by phase.
        phases: Vec<(String, u64)>,
    },
    /// It could not be set up. The last message.
    Failed {
        /// Why.
        message: String,
    },
    /// A bug in the sentry; it ends now.
    Panicked {
        /// Where and why.
        message: String,
    },
    /// The answer to a request.
    Reply {
        /// The request's number.
        id: u64,
        /// The answer.
        reply: Reply,
    },
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// Done.
    Done,
    /// `Start`, `Exec`: the process runs.
    Started {
        /// Its id in the guest.
        pid: i32,
    },
    /// `Start`, `Exec`: the process could not be started.
    NotStarted {
        /// The exit code that goes with it.
        exit: u8,
        /// For the user.
        message: String,
    },
    /// `Wait`.
    Exited {
        /// How it ended.
        status: ExitStatus,
    },
    /// `Processes`.
    Processes(Vec<ProcessInfo>),
    /// `State`.
    State {
        /// The first process has been started.
        started: bool,
    },
    /// The request failed.
    Failed {
        /// Why.
        message: String,
    },
}

/// How a guest process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitStatus {
    /// exit(2)'s argument, one byte.
    Exited(u8),
    /// The number of the signal that killed it.
    Signaled(u8),
}

impl ExitStatus {
    /// As shells tell it: the code, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            ExitStatus::Exited(code) => code,
            ExitStatus::Signaled(signal) => signal.saturating_add(128),
        }
    }
}

/// A line of `runsc ps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// User id.
    pub uid: u32,
    /// Process id in the guest.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Number of threads.
    pub threads: u32,
    /// Processor time in milliseconds.
    pub cpu_ms: u64,
    /// Start, in seconds since the epoch.
    pub started: u64,
    /// Name.
    pub command: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_shells() {
        assert_eq!(ExitStatus::Exited(3).code(), 3);
        assert_eq!(ExitStatus::Signaled(9).code(), 137);
    }
}
