//! The loop of every guest thread: run until a trap, answer it, look at signals, run again.

use std::sync::{Arc, atomic::Ordering};

use linux_abi::{Errno, UserAddr};
use platform::{Context, Fault, Registers, Trap};

use super::{Task, ThreadCx, trace::Place, wait::ExitStatus};
use crate::{
    error::{Outcome, RestartKind},
    limits::RLIMIT_STACK,
    signal::{
        SIGKILL,
        deliver::{self, Next},
        info::SigInfo,
        send,
    },
    syscalls,
};

/// Starts the host thread of `task`.
///
/// # Errors
/// `EAGAIN` when the host has no thread left.
pub(crate) fn spawn(task: Arc<Task>, context: Box<dyn Context>, regs: Registers) -> linux_abi::Result<()> {
    let kernel = Arc::clone(&task.kernel);
    let cx = ThreadCx { task, context, regs, fault: LastFault::default() };
    kernel.threads.run(move || cx.run())
}

/// As [`spawn`], for a process that comes from outside: its thread first loads `program`.
///
/// # Errors
/// `EAGAIN` when the host has no thread left.
pub(crate) fn spawn_program(
    task: Arc<Task>,
    context: Box<dyn Context>,
    regs: Registers,
    program: super::exec::Program,
) -> linux_abi::Result<()> {
    let kernel = Arc::clone(&task.kernel);
    let mut cx = ThreadCx { task, context, regs, fault: LastFault::default() };
    kernel.threads.run(move || match cx.enter(&program) {
        Ok(()) => {
            drop(program);
            cx.run();
        }
        Err(_) => cx.exit(ExitStatus::Signaled { signo: SIGKILL, core: false }),
    })
}

/// What signal frames show of the thread's last fault.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastFault {
    pub addr: u64,
    pub error_code: u64,
    pub trapno: u64,
}

impl ThreadCx {
    fn run(mut self) {
        self.task.waker.bind_current_thread();
        super::current::set_current(&self.task);
        *self.task.kicker.write() = Some(self.context.kicker());
        self.lend();
        let mut interrupted = None;
        let status = loop {
            if interrupted.is_some() || self.task.interrupted() {
                match deliver::before_resume(&mut self, interrupted.take()) {
                    Next::Resume => {}
                    Next::Exit(status) => break status,
                }
            }
            if self.is_traced() {
                self.trace_flags();
            }
            interrupted = match self.run_guest() {
                Step::Continue(interrupted) => interrupted,
                Step::Exit(status) => break status,
            };
        };
        platform::wake_now();
        self.exit(status);
    }

    /// One stretch of guest code and the answer to its trap.
    fn run_guest(&mut self) -> Step {
        self.task.in_guest.store(true, Ordering::SeqCst);
        // Whoever makes a signal pending sets the flag first and then looks at `in_guest`: one of us sees the other.
        if self.task.interrupted() {
            self.task.in_guest.store(false, Ordering::Relaxed);
            return Step::Continue(None);
        }
        let trap = self.context.step(&mut self.regs);
        self.task.in_guest.store(false, Ordering::Relaxed);
        match trap {
            Trap::Syscall => return self.system_call(),
            Trap::Fault(fault) => self.page_fault(fault),
            Trap::Exception(exception) => {
                self.fault = LastFault {
                    addr: exception.addr.0,
                    error_code: exception.error_code,
                    trapno: exception.trapno,
                };
                let info = SigInfo::fault(exception.signo, exception.code, exception.addr);
                send::force(&self.task, info);
            }
            Trap::Refused(errno) => {
                if let Some(status) = self.call_refused(errno) {
                    return Step::Exit(status);
                }
            }
            Trap::Interrupted => {}
            // Killed from outside: the host was out of memory, or the guest destroyed its own stub.
            Trap::Gone => return Step::Exit(self.lose()),
        }
        Step::Continue(None)
    }

    /// The host refused what the last system call asked of it, so the call fails. If that cannot be, the process ends.
    pub(crate) fn call_refused(&mut self, errno: Errno) -> Option<ExitStatus> {
        match self.task.mm().and_then(|mm| mm.refused(&mut *self.context)) {
            Ok(returns) => self.regs.rax = returns.unwrap_or(errno.as_return()),
            Err(_) => return Some(self.lose()),
        }
        None
    }

    /// The process cannot go on.
    fn lose(&self) -> ExitStatus {
        let status = ExitStatus::Signaled { signo: SIGKILL, core: false };
        self.task.begin_group_exit(status);
        status
    }

    fn system_call(&mut self) -> Step {
        self.regs.orig_rax = self.regs.rax;
        super::current::begin_call();
        platform::begin_answer();
        let outcome = if self.task.kernel.strace.is_some() { self.traced_call() } else { self.answer() };
        let interrupted = match outcome {
            Outcome::Return(value) => {
                self.regs.rax = value;
                None
            }
            Outcome::Fail(errno) => {
                self.regs.rax = errno.as_return();
                None
            }
            Outcome::Restart(kind) => {
                // For whoever looks before it is decided (ptrace, strace).
                self.regs.rax = Errno::EINTR.as_return();
                Some(kind)
            }
            Outcome::KeepRegisters => None,
            Outcome::Exit(status) => return Step::Exit(status),
        };
        if self.is_traced() {
            return Step::Continue(self.traced_exit(interrupted));
        }
        Step::Continue(interrupted)
    }

    /// Makes the call, if the thread may, between the stops of a tracee.
    fn answer(&mut self) -> Outcome {
        if !self.is_traced() {
            return self.judged_call();
        }
        self.regs.rax = Errno::ENOSYS.as_return();
        self.trace_call(Place::Entry);
        // The tracer may have changed the call, or taken it away.
        if self.regs.orig_rax & 0xffff_ffff == 0xffff_ffff {
            return Outcome::KeepRegisters;
        }
        self.regs.rax = self.regs.orig_rax;
        self.judged_call()
    }

    fn judged_call(&mut self) -> Outcome {
        if self.task.seccomp.is_on()
            && let Some(outcome) = super::seccomp::judge(self)
        {
            return outcome;
        }
        syscalls::dispatch(self)
    }

    /// As `answer`, with a line of strace.
    fn traced_call(&mut self) -> Outcome {
        let kernel = Arc::clone(&self.task.kernel);
        let call = kernel.strace.as_ref().and_then(|strace| strace.enter(self));
        let outcome = self.answer();
        if let (Some(strace), Some(call)) = (&kernel.strace, call) {
            strace.leave(self, &call, &outcome);
        }
        outcome
    }

    /// The stop of a tracee at the end of a call. It sees what Linux would show of an interrupted one, and may undo that.
    fn traced_exit(&mut self, interrupted: Option<RestartKind>) -> Option<RestartKind> {
        let Some(kind) = interrupted else {
            self.trace_call(Place::Exit);
            return None;
        };
        let shown = match kind {
            RestartKind::Sys => 512_u64,
            RestartKind::NoIntr => 513,
            RestartKind::NoHand => 514,
            RestartKind::Block => 516,
        };
        self.regs.rax = shown.wrapping_neg();
        self.trace_call(Place::Exit);
        (self.regs.rax == shown.wrapping_neg()).then_some(kind)
    }

    fn page_fault(&mut self, fault: Fault) {
        self.fault = LastFault { addr: fault.addr.0, error_code: fault.error_code, trapno: fault.trapno };
        let limit = self.task.group.limits.lock().soft(RLIMIT_STACK);
        if let Ok(mm) = self.task.mm()
            && mm.grow_stack(&mut *self.context, fault.addr.0, limit)
        {
            return;
        }
        send::force(&self.task, SigInfo::fault(fault.signo, fault.code, UserAddr(fault.addr.0)));
    }
}

enum Step {
    Continue(Option<RestartKind>),
    Exit(ExitStatus),
}
