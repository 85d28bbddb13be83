//! System calls from end to end, made by scripted threads: dispatch, run loop, exit. No process of the host is involved.

use std::{collections::BTreeSet, sync::Arc};

use linux_abi::Errno;
use platform::{
    Registers,
    fake::{Fake, Guest, Script},
};

use crate::{
    credentials::Credentials,
    fs::{
        fd_table::FdTable,
        mount::{Mount, MountNamespace},
        types::tmpfs::{TmpFs, TmpOptions},
    },
    kernel::{HostInfo, Kernel, KernelInit},
    mm::Mm,
    signal::SIGCHLD,
    task::{
        Scheduling, Task, TaskInit, ThreadGroup, fs_context::FsContext, run, tree::Process, wait::ExitStatus,
    },
};

/// System call numbers.
const READ: u64 = 0;
const WRITE: u64 = 1;
const MMAP: u64 = 9;
const RT_SIGPROCMASK: u64 = 14;
const PAUSE: u64 = 34;
const GETPID: u64 = 39;
const FORK: u64 = 57;
const EXIT: u64 = 60;
const WAIT4: u64 = 61;
const KILL: u64 = 62;
const EXIT_GROUP: u64 = 231;
const PIPE2: u64 = 293;

/// A page that [`with_memory`] maps.
const A: u64 = 0x1000_0000;

/// A script whose process has memory at [`A`]: its first call.
fn with_memory() -> Script {
    // PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED.
    Script::new().call(MMAP, [A, 4096, 3, 0x32, u64::MAX, 0])
}

/// Runs a process that follows `script` as the first of a new sandbox, in an empty file tree, until it has ended.
fn run_script(script: Script) -> ExitStatus {
    let kernel = Kernel::new(KernelInit {
        platform: Arc::new(Fake::new([script])),
        host: HostInfo { cpus: 1, memory: 1 << 30, ..HostInfo::default() },
        hostname: b"test".to_vec(),
        pids_limit: None,
        strace: None,
    });
    let files = TmpFs::new(kernel.new_dev(), &TmpOptions::with_size(1 << 20));
    let namespace = MountNamespace::new(Mount::new(files, b"root", 0));
    let root = namespace.root().expect("a root");
    let process = kernel.platform.new_process().expect("a process");
    let pid = kernel.tasks.lock().allocate_pid().expect("a process id");
    let group = Arc::new(ThreadGroup::new(pid));
    let task = Task::new(TaskInit {
        kernel: Arc::clone(&kernel),
        group: Arc::clone(&group),
        tid: pid,
        creds: Arc::new(Credentials::user(0, 0, &[])),
        files: FdTable::new(),
        fs: FsContext::new(root.clone(), root, 0o022),
        mm: Mm::new(process.space, kernel.platform.layout()),
        blocked: 0,
        name: [0; 16],
        no_new_privs: false,
        scheduling: Scheduling::default(),
    });
    let node = Process {
        group,
        parent: 0,
        children: BTreeSet::new(),
        pgid: pid,
        sid: pid,
        threads: vec![pid],
        exit_signal: SIGCHLD,
        zombie: None,
        stop_report: None,
        parent_thread: 0,
    };
    kernel.tasks.lock().add_process(&task, node);
    kernel.watch_exit(pid);
    run::spawn(task, process.context, Registers::entry(0x40_0000, 0)).expect("a thread");
    kernel.wait_exit(pid).expect("watched")
}

fn error(errno: Errno) -> u64 {
    errno.as_return()
}

/// The two descriptors that pipe2(2) wrote.
fn pipe_ends(guest: &Guest<'_>) -> [u64; 2] {
    let word = |at| guest.read(at, 4).try_into().map_or(u64::MAX, |bytes| u32::from_le_bytes(bytes).into());
    [word(A), word(A + 4)]
}

#[test]
fn a_pipe_carries_bytes_between_two_calls() {
    let script = with_memory()
        .call(GETPID, [0; 6])
        .call(PIPE2, [A, 0, 0, 0, 0, 0])
        .then(|guest| {
            guest.write(A + 16, b"hello").expect("mapped");
            let [_, end] = pipe_ends(guest);
            guest.call(WRITE, [end, A + 16, 5, 0, 0, 0])
        })
        .then(|guest| {
            let [end, _] = pipe_ends(guest);
            guest.call(READ, [end, A + 32, 100, 0, 0, 0])
        })
        .then(|guest| {
            let code = if guest.read(A + 32, 6) == b"hello\0" { 7 } else { 1 };
            guest.call(EXIT_GROUP, [code, 0, 0, 0, 0, 0])
        });
    let results = script.record();
    assert_eq!(run_script(script), ExitStatus::Exited(7));
    assert_eq!(results.get(), [A, 1, 0, 5, 5]);
}

#[test]
fn bad_arguments_fail_as_on_linux() {
    let script = with_memory()
        .call(READ, [5, A, 1, 0, 0, 0])
        .call(PIPE2, [8, 0, 0, 0, 0, 0])
        .call(PIPE2, [A, 0x4000_0000, 0, 0, 0, 0])
        .call(WRITE, [u64::MAX, A, 1, 0, 0, 0])
        .call(100_000, [0; 6])
        .call(EXIT, [0x1ff, 0, 0, 0, 0, 0]);
    let results = script.record();
    assert_eq!(run_script(script), ExitStatus::Exited(0xff));
    let [ebadf, efault, einval] = [Errno::EBADF, Errno::EFAULT, Errno::EINVAL].map(error);
    assert_eq!(results.get(), [A, ebadf, efault, einval, ebadf, error(Errno::ENOSYS)]);
}

#[test]
fn a_parent_waits_for_its_child_which_has_memory_of_its_own() {
    let child = Script::new()
        .then(|guest| {
            guest.write(A + 64, b"child").expect("mapped");
            guest.call(GETPID, [0; 6])
        })
        .call(EXIT_GROUP, [3, 0, 0, 0, 0, 0]);
    let child_results = child.record();
    let script = with_memory()
        .call(FORK, [0; 6])
        .call(WAIT4, [u64::MAX, A, 0, 0, 0, 0])
        .call(WAIT4, [u64::MAX, A, 0, 0, 0, 0])
        .then(|guest| {
            let right = guest.read(A, 4) == 0x300_u32.to_le_bytes() && guest.read(A + 64, 5) == [0; 5];
            guest.call(EXIT_GROUP, [u64::from(!right), 0, 0, 0, 0, 0])
        })
        .child(child);
    let results = script.record();
    assert_eq!(run_script(script), ExitStatus::Exited(0));
    assert_eq!(results.get(), [A, 2, 2, error(Errno::ECHILD)]);
    assert_eq!(child_results.get(), [2]);
}

#[test]
fn a_signal_ends_a_sleeping_child_and_is_what_wait_tells() {
    let script = with_memory()
        .call(FORK, [0; 6])
        .then(|guest| guest.call(KILL, [guest.result(1), 15, 0, 0, 0, 0]))
        .call(WAIT4, [u64::MAX, A, 0, 0, 0, 0])
        .then(|guest| {
            guest.call(EXIT_GROUP, [guest.read(A, 1).first().copied().unwrap_or(0).into(), 0, 0, 0, 0, 0])
        })
        .child(Script::new().call(PAUSE, [0; 6]));
    let results = script.record();
    assert_eq!(run_script(script), ExitStatus::Exited(15));
    assert_eq!(results.get(), [A, 2, 0, 2]);
}

#[test]
fn a_kick_reaches_a_thread_in_guest_code() {
    // The child blocks nothing and computes for ever; the parent's signal must interrupt it there.
    let script = with_memory()
        .call(RT_SIGPROCMASK, [0, 0, A, 8, 0, 0])
        .call(FORK, [0; 6])
        .then(|guest| guest.call(KILL, [guest.result(2), 9, 0, 0, 0, 0]))
        .call(WAIT4, [u64::MAX, A, 0, 0, 0, 0])
        .then(|guest| {
            guest.call(EXIT_GROUP, [guest.read(A, 1).first().copied().unwrap_or(0).into(), 0, 0, 0, 0, 0])
        })
        .child(Script::new().wait().wait());
    assert_eq!(run_script(script), ExitStatus::Exited(9));
}

#[test]
fn a_killed_host_process_is_a_killed_guest() {
    assert_eq!(run_script(Script::new()), ExitStatus::Signaled { signo: 9, core: false });
}
