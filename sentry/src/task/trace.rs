//! A traced thread (ptrace(2), `kernel/ptrace.c`): its stops, and what its tracer may do to it meanwhile.
//!
//! * [`Trace`] is a thread's state as a tracee; [`TraceState`] what changes under its lock.
//! * [`ThreadCx::trace_stop`] is the only place where a tracee stops. Its own thread sleeps there: it hands its registers out, takes
//!   them back when it goes on, and carries out the [`Request`]s that only the owner of a `Context` can.
//!
//! The tracer is a thread; it alone may make requests. `syscalls/ptrace.rs` decodes them.
//!
//! Lock order: `TaskTree` → `TraceState` → signals → wait queues.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use linux_abi::{
    Errno, PAGE_SIZE, PageRange, Result, UserAddr,
    ptrace::{
        PTRACE_EVENT_EXIT, PTRACE_EVENT_STOP, PTRACE_O_EXITKILL, PTRACE_O_TRACEEXEC, PTRACE_O_TRACEEXIT,
        PTRACE_O_TRACESYSGOOD,
    },
};
use parking_lot::{Mutex, MutexGuard};
use platform::{Prot, Registers};

use super::{Pid, Task, ThreadCx, tree::TaskTree, wait::ExitStatus};
use crate::{
    signal::{
        SIGCHLD, SIGKILL, SIGSTOP, SIGTRAP,
        info::{CLD_TRAPPED, Fields, SigInfo},
        send,
    },
    wait::{Events, WaitQueue},
};

/// `EFLAGS.TF`.
const TRAP_FLAG: u64 = 0x100;
/// The most ended tracees that a tracer can be told of.
const MAX_ENDED: usize = 32_768;

/// A thread as a tracee.
#[derive(Default)]
pub struct Trace {
    /// Mirrors whether there is a tracer, for the way of every call.
    on: AtomicBool,
    state: Mutex<TraceState>,
    /// Announces replies to requests.
    replies: WaitQueue,
}

/// What changes under the lock.
#[derive(Default)]
pub struct TraceState {
    /// The tracing thread, and its process.
    pub tracer: Option<(Pid, Pid)>,
    /// `PTRACE_O_*`.
    pub options: u64,
    /// Attached by `PTRACE_SEIZE`.
    pub seized: bool,
    /// How far it runs.
    pub mode: Mode,
    /// The stop it is in.
    pub stop: Option<Stop>,
    /// What `PTRACE_GETEVENTMSG` tells.
    pub message: u64,
    /// `PTRACE_INTERRUPT`, or the first stop of a seized child.
    pub interrupt: bool,
    /// It was let go on although its process is stopped by job control.
    pub past_group_stop: bool,
    resume: Option<Resume>,
    request: Option<Request>,
    reply: Option<Result<Vec<u8>>>,
}

/// How far a tracee runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Until a signal or event.
    #[default]
    Continue,
    /// Until the next entry to or exit from a system call.
    Syscall,
    /// For one instruction.
    Step,
}

/// A stop.
pub struct Stop {
    /// The signal, with the event above it.
    pub code: i32,
    /// Its cause; a group stop has none.
    pub info: Option<SigInfo>,
    pub place: Place,
    /// wait(2) has told of it.
    pub reported: bool,
    /// `PTRACE_LISTEN`.
    pub listening: bool,
    /// The registers, which the tracer may change.
    pub regs: Registers,
}

/// Where a stop is, for `PTRACE_GET_SYSCALL_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Entry,
    Exit,
    Seccomp,
    Elsewhere,
}

/// How a tracee goes on.
#[derive(Clone, Copy, Debug)]
enum Resume {
    /// In the mode that was set, with this signal.
    With(i32),
    /// It listens no longer.
    Trap,
}

/// What only the tracee's own thread can do.
#[derive(Clone, Debug)]
pub enum Request {
    /// The extended state.
    Extended,
    /// Replace it.
    SetExtended(Vec<u8>),
    /// Write memory, protected or not.
    Poke(UserAddr, Vec<u8>),
}

/// A traced thread that ended, for a tracer that is not its parent.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub tracer: Pid,
    pub tid: Pid,
    pub pgid: Pid,
    pub uid: u32,
    pub status: ExitStatus,
}

impl Trace {
    /// Whether there is a tracer.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// The state.
    pub fn lock(&self) -> MutexGuard<'_, TraceState> {
        self.state.lock()
    }

    /// The tracing process, 0 for none.
    pub fn tracer_pid(&self) -> Pid {
        if self.is_on() { self.lock().tracer.map_or(0, |(_, pid)| pid) } else { 0 }
    }

    /// Whether it must stop before it goes on.
    pub fn wants_stop(&self) -> bool {
        self.is_on() && self.lock().interrupt
    }
}

impl Task {
    /// Makes the thread `tracer` trace this one.
    ///
    /// # Errors
    /// `EPERM` if it has a tracer.
    pub fn trace_by(&self, tracer: (Pid, Pid), options: u64, seized: bool) -> Result<()> {
        let mut state = self.trace.lock();
        if state.tracer.is_some() {
            return Err(Errno::EPERM);
        }
        *state = TraceState { tracer: Some(tracer), options, seized, ..TraceState::default() };
        self.kernel.tracees.fetch_add(1, Ordering::SeqCst);
        self.trace.on.store(true, Ordering::SeqCst);
        drop(state);
        // Its tracer is to see every call.
        self.see_every_call();
        Ok(())
    }

    /// Ends the tracing; a stop ends with `signal`.
    pub fn trace_detach(&self, signal: i32) {
        let mut state = self.trace.lock();
        if state.tracer.take().is_some() {
            self.kernel.tracees.fetch_sub(1, Ordering::SeqCst);
            self.trace.on.store(false, Ordering::SeqCst);
        }
        state.mode = Mode::Continue;
        state.options = 0;
        state.interrupt = false;
        state.resume = Some(Resume::With(signal));
        drop(state);
        self.notify_signal();
    }

    /// Lets a stopped tracee go on.
    pub fn trace_resume(&self, mode: Mode, signal: i32) {
        let mut state = self.trace.lock();
        state.mode = mode;
        state.resume = Some(Resume::With(signal));
        drop(state);
        self.waker().notify();
    }

    /// Has the stopped tracee `target` carry out a request.
    ///
    /// # Errors
    /// Those of the request; `ESRCH` if it stops no longer, `EINTR`.
    pub fn trace_request(&self, target: &Task, request: Request) -> Result<Vec<u8>> {
        target.trace.lock().request = Some(request);
        target.waker().notify();
        let attempt = || {
            let mut state = target.trace.lock();
            if state.stop.is_none() {
                return Err(Errno::ESRCH);
            }
            state.reply.take().ok_or(Errno::EAGAIN)
        };
        match self.block_on(&target.trace.replies, Events::IN, None, attempt) {
            Ok(reply) => reply,
            Err(super::block::WaitError::Failed(errno)) => Err(errno),
            Err(_) => Err(Errno::EINTR),
        }
    }

    /// Writes a page or less of a stopped tracee's memory, protected or not.
    ///
    /// # Errors
    /// `EIO` where there is none, or if the caller is not the tracer.
    pub fn trace_poke(&self, target: &Task, at: UserAddr, bytes: &[u8]) -> Result<()> {
        let mine = {
            let state = target.trace.lock();
            state.stop.is_some() && state.tracer.is_some_and(|(tid, _)| tid == self.tid())
        };
        if !mine {
            return Err(Errno::EIO);
        }
        self.trace_request(target, Request::Poke(at, bytes.to_vec())).map(|_| ()).map_err(|_| Errno::EIO)
    }

    /// The tracing thread ends: its tracees are let go, or killed if it wanted that.
    pub(super) fn release_tracees(&self) {
        if self.kernel.tracees.load(Ordering::SeqCst) == 0 {
            return;
        }
        let all: Vec<Arc<Task>> = self.kernel.tasks.lock().threads().cloned().collect();
        for task in all {
            let (mine, kill) = {
                let state = task.trace.lock();
                let mine = state.tracer.is_some_and(|(tid, _)| tid == self.tid());
                (mine, state.options & PTRACE_O_EXITKILL != 0)
            };
            if mine {
                task.trace_detach(0);
            }
            if mine && kill {
                let _ = send::send_to_group(&self.kernel, &task.group, SigInfo::kernel(SIGKILL));
            }
        }
    }
}

/// Tells the tracer of a stop, with the tree locked.
fn tell(tree: &TaskTree, task: &Task, tracer: Pid, code: i32) {
    let Some(process) = tree.process(tracer) else { return };
    let fields =
        Fields::Child { pid: task.tid(), uid: task.creds().ruid, status: code & 0x7f, utime: 0, stime: 0 };
    let info = SigInfo { signo: SIGCHLD, errno: 0, code: CLD_TRAPPED, fields };
    send::queue_to_group(&process.group, &tree.threads_of(tracer), info);
    process.group.child_events.wake(Events::IN);
}

/// An ended tracee, with the tree locked: a tracer that is not going to see it as its child hears of it here.
pub(super) fn note_end(tree: &mut TaskTree, task: &Task, status: ExitStatus, whole_process: bool) {
    let Some((_, tracer)) = task.trace.lock().tracer.take() else { return };
    task.kernel.tracees.fetch_sub(1, Ordering::SeqCst);
    task.trace.on.store(false, Ordering::SeqCst);
    let Some(process) = tree.process(task.pid()) else { return };
    let is_child = whole_process && task.tid() == task.pid() && process.parent == tracer;
    let (pgid, uid) = (process.pgid, task.creds().ruid);
    let Some(group) = tree.process(tracer).map(|process| Arc::clone(&process.group)) else { return };
    if !is_child && tree.ended_tracees.len() < MAX_ENDED {
        tree.ended_tracees.push(Ended { tracer, tid: task.tid(), pgid, uid, status });
    }
    group.child_events.wake(Events::IN);
}

impl ThreadCx {
    /// Whether the thread has a tracer.
    pub fn is_traced(&self) -> bool {
        self.task.trace.is_on()
    }

    /// Stops for the tracer until that lets the thread go on; returns the signal it is to get, and the stop's cause, which the
    /// tracer may have changed.
    pub(crate) fn trace_stop(
        &mut self,
        code: i32,
        info: Option<SigInfo>,
        place: Place,
    ) -> (i32, Option<SigInfo>) {
        let task = Arc::clone(&self.task);
        let _ = self.context.finish();
        let mut again = Some((code, info));
        let mut outcome = (0, None);
        while let Some((code, info)) = again.take() {
            if task.is_killed() {
                return (0, None);
            }
            let tree = task.kernel.tasks.lock();
            {
                let mut state = task.trace.lock();
                let Some((_, tracer)) = state.tracer else { return outcome };
                let regs = *self.registers();
                (state.resume, state.request, state.reply) = (None, None, None);
                state.stop = Some(Stop { code, info, place, reported: false, listening: false, regs });
                drop(state);
                tell(&tree, &task, tracer, code);
            }
            drop(tree);
            match self.serve_tracer(&task) {
                (Some(Resume::With(wanted)), info) => outcome = (wanted, info),
                (Some(Resume::Trap), _) => {
                    again = Some((SIGTRAP | PTRACE_EVENT_STOP << 8, Some(SigInfo::kernel(SIGTRAP))));
                }
                (None, _) => {}
            }
        }
        outcome
    }

    /// Sleeps in a stop, carrying out requests.
    fn serve_tracer(&mut self, task: &Arc<Task>) -> (Option<Resume>, Option<SigInfo>) {
        enum Next {
            Resume(Resume),
            Request(Request),
            Killed,
        }
        let resume = loop {
            let next = task.wait_killable(|| {
                let mut state = task.trace.lock();
                let listening = state.stop.as_ref().is_some_and(|stop| stop.listening);
                if let Some(request) = state.request.take() {
                    return Some(Next::Request(request));
                }
                if let Some(resume) = state.resume.take() {
                    return Some(Next::Resume(resume));
                }
                drop(state);
                if listening && task.group.signals.lock().stop == crate::signal::state::StopState::Running {
                    return Some(Next::Resume(Resume::Trap));
                }
                task.is_killed().then_some(Next::Killed)
            });
            match next {
                Ok(Next::Request(request)) => {
                    let reply = self.carry_out(request);
                    task.trace.lock().reply = Some(reply);
                    task.trace.replies.wake(Events::IN);
                }
                Ok(Next::Resume(resume)) => break Some(resume),
                Ok(Next::Killed) | Err(_) => break None,
            }
        };
        let stop = task.trace.lock().stop.take();
        task.trace.replies.wake(Events::IN);
        let Some(stop) = stop else { return (resume, None) };
        self.regs = stop.regs;
        (resume, stop.info)
    }

    fn carry_out(&mut self, request: Request) -> Result<Vec<u8>> {
        match request {
            Request::Extended => self.context.extended_state().map_err(|_| Errno::ESRCH),
            Request::SetExtended(area) => {
                self.context.set_extended_state(&area).map(|()| Vec::new()).map_err(|_| Errno::ESRCH)
            }
            Request::Poke(at, bytes) => self.poke(at, &bytes).map(|()| Vec::new()),
        }
    }

    /// Writes where the guest itself may not (`FOLL_FORCE`): private mappings get a copy of the page.
    fn poke(&mut self, at: UserAddr, bytes: &[u8]) -> Result<()> {
        if self.context.write(at, bytes).is_ok() {
            return Ok(());
        }
        let mm = self.task.mm()?;
        let start = at.0 & !(PAGE_SIZE - 1);
        let end = at.0.checked_add(bytes.len() as u64).ok_or(Errno::EIO)?;
        let range = PageRange::covering(start, end - start).ok_or(Errno::EIO)?;
        let vma = mm.find(at.0).filter(|vma| end <= vma.range.end()).ok_or(Errno::EIO)?;
        if vma.flags.contains(crate::mm::vma::VmaFlags::SHARED)
            || matches!(vma.backing, crate::mm::vma::Backing::Special(_))
        {
            return Err(Errno::EIO);
        }
        let refused = |_| Errno::EIO;
        self.context.protect(range, Prot::READ.with(Prot::WRITE)).map_err(refused)?;
        let written = self.context.write(at, bytes).map_err(|_| Errno::EIO);
        self.context.protect(range, vma.prot).map_err(refused)?;
        self.context.finish().map_err(refused)?;
        written
    }

    /// A system call begins or ends, with the call's registers in `regs`.
    pub(super) fn trace_call(&mut self, place: Place) {
        let (mode, options) = {
            let state = self.task.trace.lock();
            (state.mode, state.options)
        };
        let step_over = mode == Mode::Step && place == Place::Exit;
        if mode != Mode::Syscall && !step_over {
            return;
        }
        let good = options & PTRACE_O_TRACESYSGOOD != 0 && mode == Mode::Syscall;
        let code = SIGTRAP | if good { 0x80 } else { 0 };
        let info = SigInfo { code, ..SigInfo::user(SIGTRAP, 0, self.task.pid(), self.task.creds().ruid) };
        let (signal, _) = self.trace_stop(code, Some(info), place);
        if signal != 0 {
            let _ = send::send_to_task(&self.task, SigInfo::user(signal, 0, self.task.trace.tracer_pid(), 0));
        }
    }

    /// An event, if the tracer wants to hear of it.
    pub(crate) fn trace_event(&mut self, event: i32, option: u64, message: u64) -> bool {
        {
            let mut state = self.task.trace.lock();
            if state.tracer.is_none() || state.options & option == 0 {
                return false;
            }
            state.message = message;
        }
        let code = SIGTRAP | event << 8;
        let info = SigInfo { code, ..SigInfo::user(SIGTRAP, 0, self.task.pid(), self.task.creds().ruid) };
        self.trace_stop(code, Some(info), Place::Elsewhere);
        true
    }

    /// After execve: the event, or as of old a SIGTRAP.
    pub(super) fn trace_exec(&mut self, old_tid: Pid) {
        let message = u64::from(old_tid.unsigned_abs());
        if !self.trace_event(linux_abi::ptrace::PTRACE_EVENT_EXEC, PTRACE_O_TRACEEXEC, message)
            && !self.task.trace.lock().seized
        {
            let info = SigInfo::user(SIGTRAP, 0, self.task.pid(), self.task.creds().ruid);
            let _ = send::send_to_task(&self.task, info);
        }
    }

    /// Before the end that this thread has chosen or that a signal brings it.
    pub(crate) fn trace_exit(&mut self, status: ExitStatus) {
        if self.is_traced() {
            let message = u64::from(status.wait_status().unsigned_abs());
            self.trace_event(PTRACE_EVENT_EXIT, PTRACE_O_TRACEEXIT, message);
        }
    }

    /// The registers to go on with: one instruction or all.
    pub(super) fn trace_flags(&mut self) {
        let step = self.task.trace.lock().mode == Mode::Step;
        let regs = self.registers();
        regs.eflags = if step { regs.eflags | TRAP_FLAG } else { regs.eflags & !TRAP_FLAG };
    }

    /// Stops that are not for a signal of its own: `PTRACE_INTERRUPT`, job control. Returns whether it stopped.
    pub(crate) fn trace_pending(&mut self) -> bool {
        let stopped_by = match self.task.group.signals.lock().stop {
            crate::signal::state::StopState::Stopped(signo) => Some(signo),
            crate::signal::state::StopState::Running => None,
        };
        let (seized, interrupt, past) = {
            let mut state = self.task.trace.lock();
            if stopped_by.is_none() {
                state.past_group_stop = false;
            }
            let seized = state.seized;
            (seized, std::mem::take(&mut state.interrupt), state.past_group_stop)
        };
        let signo = match stopped_by {
            Some(signo) if !past => signo,
            _ if interrupt => SIGTRAP,
            _ => return false,
        };
        if stopped_by.is_some() {
            self.task.trace.lock().past_group_stop = true;
        }
        let code = if seized { signo | PTRACE_EVENT_STOP << 8 } else { signo };
        let info = seized.then(|| SigInfo { code, ..SigInfo::kernel(SIGTRAP) });
        self.trace_stop(code, info, Place::Elsewhere);
        true
    }

    /// A signal is about to be delivered: the tracer decides which.
    pub(crate) fn trace_signal(&mut self, info: SigInfo) -> Option<SigInfo> {
        if info.signo == SIGKILL {
            return Some(info);
        }
        self.task.trace.lock().message = 0;
        let (signo, left) = self.trace_stop(info.signo, Some(info), Place::Elsewhere);
        if signo == 0 {
            return None;
        }
        // What `PTRACE_SETSIGINFO` made of it, unless it is another signal now.
        let info = left
            .filter(|left| left.signo == signo)
            .unwrap_or_else(|| SigInfo::user(signo, 0, self.task.trace.tracer_pid(), self.task.creds().ruid));
        if self.task.blocked().has(signo) {
            let _ = send::send_to_task(&self.task, info);
            return None;
        }
        Some(info)
    }
}

/// A child of a tracee whose tracer wants to trace it too: it begins with a stop.
pub(super) fn adopt_child(parent: &Task, child: &Arc<Task>) {
    let (tracer, options, seized) = {
        let state = parent.trace.lock();
        let Some(tracer) = state.tracer else { return };
        (tracer, state.options, state.seized)
    };
    if child.trace_by(tracer, options, seized).is_err() {
        return;
    }
    if seized {
        child.trace.lock().interrupt = true;
    } else {
        child.signals.lock().pending.push(SigInfo::kernel(SIGSTOP), false);
    }
    child.set_signal_pending(true);
}
