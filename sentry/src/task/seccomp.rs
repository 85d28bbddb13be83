//! Which system calls a thread may make (seccomp(2), `kernel/seccomp.c`).
//!
//! * [`Seccomp`] is a thread's state: none, strict mode, or a list of filters that only grows.
//! * [`judge`] runs before every call of a thread that has one.
//!
//! Every call of a guest is a trap that the sentry answers, patched call sites included; so nothing passes a filter by.
//!
//! Lock order: the lock in [`Seccomp`] is a leaf; `TaskTree` comes before it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use linux_abi::{
    Errno, Result, UserAddr,
    prctl::{
        SECCOMP_MODE_DISABLED, SECCOMP_MODE_FILTER, SECCOMP_MODE_STRICT, SECCOMP_RET_ACTION_FULL,
        SECCOMP_RET_ALLOW, SECCOMP_RET_DATA, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG,
        SECCOMP_RET_TRACE, SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF,
    },
    ptrace::{PTRACE_EVENT_SECCOMP, PTRACE_O_TRACESECCOMP},
    signal::SYS_SECCOMP,
};
use parking_lot::Mutex;
use platform::Registers;

use super::{Pid, Task, ThreadCx, wait::ExitStatus};
use crate::{
    bpf::Program,
    error::Outcome,
    signal::{
        SIGKILL, SIGSYS,
        info::{Fields, SigInfo},
        send,
    },
};

/// `AUDIT_ARCH_X86_64`.
const ARCH: u32 = 0xc000_003e;
/// The most instructions of all filters of a thread (`MAX_INSNS_PER_PATH`), each filter counting for some more.
const MAX_INSTRUCTIONS: usize = 32_768;
const FILTER_PENALTY: usize = 4;
/// The highest errno a filter can make a call fail with (`MAX_ERRNO`).
const MAX_ERRNO: u32 = 4095;
/// `read`, `write`, `_exit`, `rt_sigreturn`: all that strict mode leaves.
const STRICT: [u64; 4] = [0, 1, 60, 15];

/// The state of a thread.
#[derive(Default)]
pub struct Seccomp {
    /// `SECCOMP_MODE_*`; mirrors `filters`, for the way of every call.
    mode: AtomicU64,
    /// Oldest first. Threads that have a common history share the programs.
    filters: Mutex<Arc<[Arc<Program>]>>,
}

impl Seccomp {
    /// Whether calls must be judged.
    pub fn is_on(&self) -> bool {
        self.mode() != SECCOMP_MODE_DISABLED
    }

    /// `SECCOMP_MODE_*`.
    pub fn mode(&self) -> u64 {
        self.mode.load(Ordering::SeqCst)
    }

    /// How many filters there are.
    pub fn filter_count(&self) -> usize {
        self.filters.lock().len()
    }

    /// What a new thread gets from its maker.
    pub fn inherit(&self, parent: &Seccomp) {
        let filters = Arc::clone(&parent.filters.lock());
        *self.filters.lock() = filters;
        self.mode.store(parent.mode(), Ordering::SeqCst);
    }

    fn may_enter(&self, mode: u64) -> Result<()> {
        let now = self.mode();
        if now == SECCOMP_MODE_DISABLED || now == mode { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn set_filters(&self, filters: Arc<[Arc<Program>]>) {
        *self.filters.lock() = filters;
        self.mode.store(SECCOMP_MODE_FILTER, Ordering::SeqCst);
    }

    /// Whether this thread's filters are the beginning of `longer` (`is_ancestor`).
    fn is_prefix_of(&self, longer: &[Arc<Program>]) -> bool {
        let mine = self.filters.lock();
        mine.len() <= longer.len() && mine.iter().zip(longer).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// Who gets a new filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The calling thread.
    Thread,
    /// All threads of the process, or none (`SECCOMP_FILTER_FLAG_TSYNC`).
    Process,
}

/// Strict mode.
///
/// # Errors
/// `EINVAL` if there are filters.
pub fn enter_strict(task: &Task) -> Result<()> {
    task.seccomp.may_enter(SECCOMP_MODE_STRICT)?;
    task.seccomp.mode.store(SECCOMP_MODE_STRICT, Ordering::SeqCst);
    task.see_every_call();
    Ok(())
}

/// Adds a filter. `Some` is a thread whose filters differ, so that it cannot have the same: then nothing was done.
///
/// # Errors
/// `EINVAL` in strict mode, `ENOMEM` for too many instructions.
pub fn add_filter(task: &Task, program: Program, scope: Scope) -> Result<Option<Pid>> {
    let tree = task.kernel.tasks.lock();
    task.seccomp.may_enter(SECCOMP_MODE_FILTER)?;
    let old = Arc::clone(&task.seccomp.filters.lock());
    let total: usize = old.iter().map(|filter| filter.len() + FILTER_PENALTY).sum();
    if total + program.len() > MAX_INSTRUCTIONS {
        return Err(Errno::ENOMEM);
    }
    let others = match scope {
        Scope::Thread => Vec::new(),
        Scope::Process => tree.threads_of(task.pid()),
    };
    let cannot = |other: &&Arc<Task>| match other.seccomp.mode() {
        SECCOMP_MODE_DISABLED => false,
        SECCOMP_MODE_FILTER => !other.seccomp.is_prefix_of(&old),
        _ => true,
    };
    if let Some(other) = others.iter().find(cannot) {
        return Ok(Some(other.tid()));
    }
    let filters: Arc<[Arc<Program>]> = old.iter().cloned().chain([Arc::new(program)]).collect();
    task.seccomp.set_filters(Arc::clone(&filters));
    task.see_every_call();
    for other in others {
        if task.no_new_privs.load(Ordering::Relaxed) {
            other.no_new_privs.store(true, Ordering::Relaxed);
        }
        other.seccomp.set_filters(Arc::clone(&filters));
        other.see_every_call();
    }
    Ok(None)
}

/// `struct seccomp_data` of the call in `regs`.
fn data_of(regs: &Registers) -> [u8; 64] {
    let mut data = [0; 64];
    let number = regs.orig_rax & 0xffff_ffff;
    let words = [number | u64::from(ARCH) << 32, regs.rip].into_iter().chain(regs.arguments());
    for (to, word) in data.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    data
}

/// What is to become of the call in the registers of `cx`, unless it is allowed.
pub(super) fn judge(cx: &mut ThreadCx) -> Option<Outcome> {
    let task = Arc::clone(&cx.task);
    if task.seccomp.mode() == SECCOMP_MODE_STRICT {
        let allowed = STRICT.contains(&(cx.regs.orig_rax & 0xffff_ffff));
        return (!allowed).then_some(Outcome::Exit(ExitStatus::Signaled { signo: SIGKILL, core: false }));
    }
    let regs = *cx.registers();
    let verdict = {
        let filters = Arc::clone(&task.seccomp.filters.lock());
        let data = data_of(&regs);
        // The action that comes first as a signed number wins; among equals the newest filter's.
        let verdicts = filters.iter().rev().map(|filter| filter.run(&data, &()));
        verdicts.fold(SECCOMP_RET_ALLOW, |worst, next| if rank(next) < rank(worst) { next } else { worst })
    };
    let datum = verdict & SECCOMP_RET_DATA;
    Some(match verdict & SECCOMP_RET_ACTION_FULL {
        SECCOMP_RET_ALLOW | SECCOMP_RET_LOG => return None,
        SECCOMP_RET_ERRNO => Outcome::Return(u64::from(datum.min(MAX_ERRNO)).wrapping_neg()),
        SECCOMP_RET_TRAP => {
            cx.regs.rax = cx.regs.orig_rax;
            send::force(&task, violation(&regs, i32::try_from(datum).unwrap_or(0)));
            Outcome::KeepRegisters
        }
        SECCOMP_RET_TRACE if cx.is_traced() => return traced(cx, datum),
        // Nobody traces or listens.
        SECCOMP_RET_TRACE | SECCOMP_RET_USER_NOTIF => Outcome::Fail(Errno::ENOSYS),
        SECCOMP_RET_KILL_THREAD if task.kernel.tasks.lock().threads_of(task.pid()).len() > 1 => {
            Outcome::Exit(ExitStatus::Signaled { signo: SIGSYS, core: false })
        }
        // `SECCOMP_RET_KILL_PROCESS`, and what is unknown.
        _ => {
            let status = ExitStatus::Signaled { signo: SIGSYS, core: task.dumps_core() };
            task.begin_group_exit(status);
            Outcome::Exit(status)
        }
    })
}

/// `SECCOMP_RET_TRACE`: the tracer may change the call or take it away.
fn traced(cx: &mut ThreadCx, datum: u32) -> Option<Outcome> {
    if !cx.trace_event(PTRACE_EVENT_SECCOMP, PTRACE_O_TRACESECCOMP, datum.into()) {
        return Some(Outcome::Fail(Errno::ENOSYS));
    }
    if cx.regs.orig_rax & 0xffff_ffff == 0xffff_ffff {
        return Some(Outcome::KeepRegisters);
    }
    cx.regs.rax = cx.regs.orig_rax;
    None
}

#[expect(clippy::cast_possible_wrap, reason = "the order of actions is that of signed numbers")]
fn rank(verdict: u32) -> i32 {
    (verdict & SECCOMP_RET_ACTION_FULL) as i32
}

#[expect(clippy::cast_possible_truncation, reason = "the number is an int")]
fn violation(regs: &Registers, errno: i32) -> SigInfo {
    let fields = Fields::Sys { call_addr: UserAddr(regs.rip), syscall: regs.orig_rax as i32, arch: ARCH };
    SigInfo { signo: SIGSYS, errno, code: SYS_SECCOMP, fields }
}
