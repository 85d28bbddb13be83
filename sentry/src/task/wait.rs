//! How processes end, and how their parents hear of it: wait4(2), waitid(2).

use std::time::Duration;

use linux_abi::{Errno, Result};

use super::{
    Pid, Task, ThreadGroup,
    tree::{Process, StopReport, TaskTree, Zombie},
};
use crate::{
    error::{RestartKind, SysError, SysResult},
    signal::{
        SIGCHLD,
        action::{SA_NOCLDSTOP, SA_NOCLDWAIT, SIG_IGN},
        info::{CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, Fields, SigInfo},
        send,
    },
    wait::Events,
};

pub use linux_abi::wait::{WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WUNTRACED};

pub const WNOTHREAD: u32 = 0x2000_0000;
pub const WALL: u32 = 0x4000_0000;
pub const WCLONE: u32 = 0x8000_0000;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By exit(2), with the low eight bits of its code.
    Exited(u8),
    /// By a signal; `core` is the flag `WCOREDUMP` shows.
    Signaled { signo: i32, core: bool },
}

impl ExitStatus {
    /// The status word of wait4(2).
    pub fn wait_status(self) -> i32 {
        match self {
            ExitStatus::Exited(code) => i32::from(code) << 8,
            ExitStatus::Signaled { signo, core } => signo | if core { 0x80 } else { 0 },
        }
    }

    /// `si_code` and `si_status` of the parent's `SIGCHLD`.
    pub fn child_code(self) -> (i32, i32) {
        match self {
            ExitStatus::Exited(code) => (CLD_EXITED, i32::from(code)),
            ExitStatus::Signaled { signo, core: true } => (CLD_DUMPED, signo),
            ExitStatus::Signaled { signo, core: false } => (CLD_KILLED, signo),
        }
    }
}

/// Which children a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Any child.
    Any,
    /// The child with this id.
    Pid(Pid),
    /// Any child in this process group.
    Group(Pid),
}

/// What a wait found.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    pub pid: Pid,
    pub uid: u32,
    /// wait4's status word.
    pub status: i32,
    /// waitid's `si_code` and `si_status`.
    pub code: (i32, i32),
    /// Processor time of the child and its waited-for children, for `ru_utime`.
    pub time: Duration,
    pub max_rss: u64,
}

impl Task {
    /// Waits for a child as `which` and `options` (`W*`) say. `None` with `WNOHANG` and nothing to report.
    ///
    /// # Errors
    /// `ECHILD` if no child could ever satisfy it; a restart when interrupted.
    pub fn wait_for_child(&self, which: Which, options: u32) -> SysResult<Option<Waited>> {
        let attempt = || match self.look_at_children(which, options) {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) if options & WNOHANG != 0 => Ok(None),
            Ok(None) => Err(Errno::EAGAIN),
            Err(errno) => Err(errno),
        };
        self.block_on(&self.group.child_events, Events::IN, None, attempt)
            .map_err(|error| error.or_restart(RestartKind::Sys, Errno::EAGAIN))
            .map_err(|error: SysError| error)
    }

    fn look_at_children(&self, which: Which, options: u32) -> Result<Option<Waited>> {
        let mut tree = self.kernel.tasks.lock();
        let me_pid = self.pid();
        let mut eligible = false;
        if self.kernel.tracees.load(std::sync::atomic::Ordering::SeqCst) > 0 || !tree.ended_tracees.is_empty()
        {
            match self.look_at_tracees(&mut tree, which, options) {
                Tracees::Event(waited) => return Ok(Some(waited)),
                Tracees::Running => eligible = true,
                Tracees::None => {}
            }
        }
        let me = tree.process(me_pid).ok_or(Errno::ECHILD)?;
        let mut found = None;
        let (first, last) = if let Which::Pid(pid) = which { (pid, pid) } else { (0, Pid::MAX) };
        for &pid in me.children.range(first..=last) {
            let Some(child) = tree.process(pid) else { continue };
            if !matches(pid, child, which) || !right_kind(child, options) {
                continue;
            }
            if options & WNOTHREAD != 0 && child.parent_thread != self.tid() {
                continue;
            }
            // A zombie can only ever be waited for with WEXITED.
            if child.zombie.is_some() && options & WEXITED == 0 {
                continue;
            }
            eligible = true;
            if let Some(event) = event_of(child, options) {
                found = Some((pid, event));
                break;
            }
        }
        let Some((pid, event)) = found else {
            return if eligible { Ok(None) } else { Err(Errno::ECHILD) };
        };
        let consume = options & WNOWAIT == 0;
        Ok(Some(match event {
            Event::Zombie(zombie) => {
                if consume {
                    reap(&mut tree, pid);
                    let mut usage = self.group.usage.lock();
                    usage.children += zombie.own_time + zombie.children_time;
                    usage.max_rss = usage.max_rss.max(zombie.max_rss);
                }
                Waited {
                    pid,
                    uid: zombie.uid,
                    status: zombie.status.wait_status(),
                    code: zombie.status.child_code(),
                    time: zombie.own_time + zombie.children_time,
                    max_rss: zombie.max_rss,
                }
            }
            Event::Report(report, uid) => {
                if consume && let Some(child) = tree.process_mut(pid) {
                    child.stop_report = None;
                }
                let (status, code) = match report {
                    StopReport::Stopped(signo) => ((signo << 8) | 0x7f, (CLD_STOPPED, signo)),
                    StopReport::Continued => (0xffff, (CLD_CONTINUED, crate::signal::SIGCONT)),
                };
                Waited { pid, uid, status, code, time: Duration::ZERO, max_rss: 0 }
            }
        }))
    }
}

/// What a look at tracees found.
enum Tracees {
    /// Something to report.
    Event(Waited),
    /// Some that match run.
    Running,
    /// None matches.
    None,
}

impl Task {
    /// The tracees of this process: their stops are reported whatever the options say, their ends with `WEXITED`.
    fn look_at_tracees(&self, tree: &mut TaskTree, which: Which, options: u32) -> Tracees {
        let wanted = |tid: Pid, pgid: Pid| match which {
            Which::Any => true,
            Which::Pid(pid) => tid == pid,
            Which::Group(group) => pgid == group,
        };
        let consume = options & WNOWAIT == 0;
        if options & WEXITED != 0
            && let Some(at) =
                tree.ended_tracees.iter().position(|e| e.tracer == self.pid() && wanted(e.tid, e.pgid))
            && let Some(ended) = tree.ended_tracees.get(at).copied()
        {
            if consume {
                tree.ended_tracees.remove(at);
            }
            return Tracees::Event(Waited {
                pid: ended.tid,
                uid: ended.uid,
                status: ended.status.wait_status(),
                code: ended.status.child_code(),
                time: Duration::ZERO,
                max_rss: 0,
            });
        }
        let mut matched = false;
        for task in tree.threads().filter(|task| task.trace.is_on()) {
            let pgid = tree.process(task.pid()).map_or(0, |process| process.pgid);
            let mut state = task.trace.lock();
            let Some((tid, pid)) = state.tracer else { continue };
            let mine = pid == self.pid() && (options & WNOTHREAD == 0 || tid == self.tid());
            if !mine || !wanted(task.tid(), pgid) {
                continue;
            }
            matched = true;
            let Some(stop) = state.stop.as_mut().filter(|stop| !stop.reported && !stop.listening) else {
                continue;
            };
            stop.reported = consume;
            return Tracees::Event(Waited {
                pid: task.tid(),
                uid: task.creds().ruid,
                status: stop.code << 8 | 0x7f,
                code: (crate::signal::info::CLD_TRAPPED, stop.code),
                time: Duration::ZERO,
                max_rss: 0,
            });
        }
        if matched { Tracees::Running } else { Tracees::None }
    }
}

enum Event {
    Zombie(Zombie),
    Report(StopReport, u32),
}

fn matches(pid: Pid, child: &Process, which: Which) -> bool {
    match which {
        Which::Any => true,
        Which::Pid(wanted) => pid == wanted,
        Which::Group(pgid) => child.pgid == pgid,
    }
}

/// `eligible_child`: clone children (exit signal other than SIGCHLD) need `__WCLONE` or `__WALL`.
fn right_kind(child: &Process, options: u32) -> bool {
    options & WALL != 0 || (child.exit_signal != SIGCHLD) == (options & WCLONE != 0)
}

fn event_of(child: &Process, options: u32) -> Option<Event> {
    if let Some(zombie) = child.zombie {
        return (options & WEXITED != 0).then_some(Event::Zombie(zombie));
    }
    let wanted = match child.stop_report? {
        StopReport::Stopped(_) => WSTOPPED,
        StopReport::Continued => WCONTINUED,
    };
    // The leader may have exited; any thread's credentials do for the uid.
    (options & wanted != 0).then(|| Event::Report(child.stop_report.unwrap_or(StopReport::Continued), 0))
}

/// Removes a zombie that was waited for.
fn reap(tree: &mut TaskTree, pid: Pid) {
    tree.remove_process(pid);
}

/// Tells the parent of `pid` that it stopped or continued, with the tree locked (`do_notify_parent_cldstop`).
pub(crate) fn report_stop(tree: &mut TaskTree, pid: Pid, report: StopReport, uid: u32) {
    let Some(process) = tree.process_mut(pid) else { return };
    process.stop_report = Some(report);
    let parent_pid = process.parent;
    let Some(parent) = tree.process(parent_pid) else { return };
    let group = std::sync::Arc::clone(&parent.group);
    let threads = tree.threads_of(parent_pid);
    let action = group.handlers.read().get(SIGCHLD);
    let (code, status) = match report {
        StopReport::Stopped(signo) => (CLD_STOPPED, signo),
        StopReport::Continued => (CLD_CONTINUED, crate::signal::SIGCONT),
    };
    if action.handler != SIG_IGN && action.flags & SA_NOCLDSTOP == 0 {
        let fields = Fields::Child { pid, uid, status, utime: 0, stime: 0 };
        let info = SigInfo { signo: SIGCHLD, errno: 0, code, fields };
        send::queue_to_group(&group, &threads, info);
    }
    group.child_events.wake(Events::IN);
}

/// Who is to be woken when a process has ended. Not under the tree's lock: whoever wakes wants it first.
pub(crate) struct Told {
    parent: std::sync::Arc<ThreadGroup>,
    ended: std::sync::Arc<ThreadGroup>,
}

impl Told {
    /// Wakes them.
    pub(crate) fn wake(self) {
        self.parent.child_events.wake(Events::IN);
        self.ended.exit_events.wake(Events::IN | Events::RDNORM);
    }
}

/// Tells the parent of the zombie `pid` about it, with the tree locked (`do_notify_parent`), and removes the zombie if the parent
/// does not want to wait for it.
pub(crate) fn report_exit(tree: &mut TaskTree, pid: Pid) -> Option<Told> {
    let process = tree.process(pid)?;
    let (zombie, signo) = (process.zombie?, process.exit_signal);
    let ended = std::sync::Arc::clone(&process.group);
    let parent_pid = process.parent;
    let Some(parent) = tree.process(parent_pid) else {
        if parent_pid == 0 {
            tree.remove_process(pid);
        }
        return None;
    };
    let group = std::sync::Arc::clone(&parent.group);
    let threads = tree.threads_of(parent_pid);
    let mut unwanted = false;
    if signo == SIGCHLD {
        let action = group.handlers.read().get(SIGCHLD);
        unwanted = action.handler == SIG_IGN || action.flags & SA_NOCLDWAIT != 0;
    }
    if signo != 0 {
        let (code, status) = zombie.status.child_code();
        let ticks = i64::try_from(zombie.own_time.as_millis() / 10).unwrap_or(i64::MAX);
        let fields = Fields::Child { pid, uid: zombie.uid, status, utime: ticks, stime: 0 };
        send::queue_to_group(&group, &threads, SigInfo { signo, errno: 0, code, fields });
    }
    if unwanted {
        tree.remove_process(pid);
    }
    Some(Told { parent: group, ended })
}
