//! The gofer's system calls: all that the host kernel lets it do. Everything else kills it.
//!
//! Sorted by name, with the reason for each. Paths that these calls take are relative to an open directory below
//! a root, or lead to one of the gofer's own descriptors; there is no other file in its world.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::error::Error;

/// What the configuration makes necessary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Some root is not read-only.
    pub changes: bool,
    /// Some root lets the client connect to sockets.
    pub sockets: bool,
}

/// When a call is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    /// Always.
    Always,
    /// If some root can be changed.
    Changes,
    /// If sockets may be connected to.
    Sockets,
    /// If the masked bits of an argument (its number, the mask, the value) have that value.
    Bits(u8, u64, u64),
    /// If sockets may be connected to, and an argument has that value.
    SocketsAnd(u8, u64),
}
use When::{Always, Bits, Changes, Sockets, SocketsAnd};

/// Flags of a `clone` that makes a thread.
const THREAD: u64 =
    (libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD)
        .cast_unsigned() as u64;
const EXECUTABLE: u64 = libc::PROT_EXEC.cast_unsigned() as u64;
const GETFD: u64 = libc::F_GETFD.cast_unsigned() as u64;
const LOCAL: u64 = libc::AF_UNIX.cast_unsigned() as u64;

#[rustfmt::skip]
const ALLOWED: &[(&str, c_long, When, &str)] = &[
    ("brk",             libc::SYS_brk,             Always,                      "allocator"),
    ("clock_gettime",   libc::SYS_clock_gettime,   Always,                      "log, where the vDSO does not answer"),
    ("clone",           libc::SYS_clone,           Bits(0, THREAD, THREAD),     "a thread for each connection; never a process"),
    ("clone3",          libc::SYS_clone3,          Always,                      "fails with ENOSYS (see DENIED), so that libc takes clone, whose flags can be checked"),
    ("close",           libc::SYS_close,           Always,                      "nodes, directories, connections"),
    ("connect",         libc::SYS_connect,         Sockets,                     "Connect"),
    ("dup",             libc::SYS_dup,             Always,                      "Changes"),
    ("exit",            libc::SYS_exit,            Always,                      "end of a thread"),
    ("exit_group",      libc::SYS_exit_group,      Always,                      "end of the process"),
    ("fallocate",       libc::SYS_fallocate,       Changes,                     "Fallocate"),
    ("fchmodat",        libc::SYS_fchmodat,        Changes,                     "SetAttr and new files"),
    ("fchownat",        libc::SYS_fchownat,        Changes,                     "SetAttr and new files"),
    ("fcntl",           libc::SYS_fcntl,           Bits(1, u64::MAX, GETFD),    "the standard library's checks of descriptors in debug builds"),
    ("fdatasync",       libc::SYS_fdatasync,       Always,                      "Fsync"),
    ("fstatfs",         libc::SYS_fstatfs,         Always,                      "StatFs; telling a procfs at a mount point"),
    ("fsync",           libc::SYS_fsync,           Always,                      "Fsync"),
    ("ftruncate",       libc::SYS_ftruncate,       Changes,                     "SetAttr"),
    ("futex",           libc::SYS_futex,           Always,                      "locks"),
    ("getdents64",      libc::SYS_getdents64,      Always,                      "ReadDir"),
    ("getpid",          libc::SYS_getpid,          Always,                      "abort(3)"),
    ("getrandom",       libc::SYS_getrandom,       Always,                      "seeds of hash tables"),
    ("gettid",          libc::SYS_gettid,          Always,                      "abort(3)"),
    ("getxattr",        libc::SYS_getxattr,        Always,                      "GetXattr"),
    ("inotify_add_watch", libc::SYS_inotify_add_watch, Always,                  "Changes"),
    ("inotify_init1",   libc::SYS_inotify_init1,   Always,                      "Changes"),
    ("inotify_rm_watch", libc::SYS_inotify_rm_watch, Always,                    "Changes"),
    ("linkat",          libc::SYS_linkat,          Changes,                     "Link"),
    ("listxattr",       libc::SYS_listxattr,       Always,                      "ListXattr"),
    ("lseek",           libc::SYS_lseek,           Always,                      "ReadDir from another position"),
    ("madvise",         libc::SYS_madvise,         Always,                      "allocator, stacks of threads that ended"),
    ("mkdirat",         libc::SYS_mkdirat,         Changes,                     "Mkdir"),
    ("mknodat",         libc::SYS_mknodat,         Changes,                     "Mknod"),
    ("mmap",            libc::SYS_mmap,            Bits(2, EXECUTABLE, 0),      "allocator, stacks"),
    ("mprotect",        libc::SYS_mprotect,        Bits(2, EXECUTABLE, 0),      "allocator, guard pages"),
    ("mremap",          libc::SYS_mremap,          Always,                      "allocator"),
    ("munmap",          libc::SYS_munmap,          Always,                      "allocator, stacks"),
    ("openat",          libc::SYS_openat,          Always,                      "opening a file behind an O_PATH descriptor"),
    ("openat2",         libc::SYS_openat2,         Always,                      "looking names up, making files"),
    ("prlimit64",       libc::SYS_prlimit64,       Bits(2, u64::MAX, 0),        "reads how many descriptors there may be; libc, the size of stacks"),
    ("readlinkat",      libc::SYS_readlinkat,      Always,                      "ReadLink, walks that end at a link"),
    ("recvfrom",        libc::SYS_recvfrom,        Always,                      "requests"),
    ("recvmsg",         libc::SYS_recvmsg,         Always,                      "AddConnection"),
    ("removexattr",     libc::SYS_removexattr,     Changes,                     "RemoveXattr"),
    ("renameat2",       libc::SYS_renameat2,       Changes,                     "Rename"),
    ("restart_syscall", libc::SYS_restart_syscall, Always,                      "the kernel, after a stop"),
    ("rseq",            libc::SYS_rseq,            Always,                      "libc, in a new thread"),
    ("rt_sigaction",    libc::SYS_rt_sigaction,    Always,                      "abort(3)"),
    ("rt_sigprocmask",  libc::SYS_rt_sigprocmask,  Always,                      "start and end of threads"),
    ("rt_sigreturn",    libc::SYS_rt_sigreturn,    Always,                      "the standard library's handler of stack overflows"),
    ("sched_getaffinity", libc::SYS_sched_getaffinity, Always,                  "libc, choosing an arena"),
    ("sched_setaffinity", libc::SYS_sched_setaffinity, Always,                  "Follow"),
    ("sched_yield",     libc::SYS_sched_yield,     Always,                      "locks"),
    ("sendmsg",         libc::SYS_sendmsg,         Always,                      "answers"),
    ("set_robust_list", libc::SYS_set_robust_list, Always,                      "libc, in a new thread"),
    ("setxattr",        libc::SYS_setxattr,        Changes,                     "SetXattr"),
    ("sigaltstack",     libc::SYS_sigaltstack,     Always,                      "the standard library, in a new thread"),
    ("socket",          libc::SYS_socket,          SocketsAnd(0, LOCAL),        "Connect"),
    ("statx",           libc::SYS_statx,           Always,                      "attributes"),
    ("symlinkat",       libc::SYS_symlinkat,       Changes,                     "Symlink"),
    ("tgkill",          libc::SYS_tgkill,          Always,                      "abort(3)"),
    ("umask",           libc::SYS_umask,           Always,                      "once, at the start"),
    ("unlinkat",        libc::SYS_unlinkat,        Changes,                     "Unlink; new files that could not be completed"),
    ("utimensat",       libc::SYS_utimensat,       Changes,                     "SetAttr"),
    ("write",           libc::SYS_write,           Always,                      "log, messages of a panic"),
];

/// Calls that fail instead of killing, with what: libc goes on without them.
const DENIED: &[(c_long, i32)] = &[(libc::SYS_clone3, libc::ENOSYS)];

/// Loads the filter for this thread and all that it starts, for good.
pub(crate) fn load(needs: Needs) -> Result<(), Error> {
    // The kernel takes the strictest verdict of all filters. The allow-list comes last, for it forbids loading more.
    for (call, errno) in DENIED {
        seccompiler::apply_filter(&deny(*call, *errno)?)?;
    }
    seccompiler::apply_filter(&allow(needs)?)?;
    Ok(())
}

fn deny(call: c_long, errno: i32) -> Result<BpfProgram, BackendError> {
    let rules = BTreeMap::from([(call, Vec::new())]);
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(errno.unsigned_abs()))
}

fn allow(needs: Needs) -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for (_, call, when, _) in ALLOWED {
        let conditions = match *when {
            Always => Vec::new(),
            Changes if needs.changes => Vec::new(),
            Sockets if needs.sockets => Vec::new(),
            Changes | Sockets => continue,
            Bits(argument, mask, value) => vec![argument_bits(argument, mask, value)?],
            SocketsAnd(argument, value) if needs.sockets => vec![argument_bits(argument, u64::MAX, value)?],
            SocketsAnd(..) => continue,
        };
        rules.insert(*call, conditions);
    }
    compile(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

fn argument_bits(argument: u8, mask: u64, value: u64) -> Result<SeccompRule, BackendError> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)?])
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, listed, std::env::consts::ARCH.try_into()?)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_says_why() {
        for pair in ALLOWED.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} comes after {}", pair[1].0, pair[0].0);
        }
        for (name, .., why) in ALLOWED {
            assert!(!why.is_empty(), "{name}");
        }
        for (call, _) in DENIED {
            assert!(ALLOWED.iter().any(|(_, allowed, ..)| allowed == call));
        }
    }

    #[test]
    fn read_only_roots_need_no_call_that_changes_files() {
        let all = allow(Needs { changes: true, sockets: true }).unwrap().len();
        let none = allow(Needs { changes: false, sockets: false }).unwrap().len();
        assert!(none < all);
    }
}
