//! Who exists: processes, threads, families, process groups and sessions. One lock for all of it
//! (`tasklist_lock` in Linux), held for short, never while sleeping.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use linux_abi::{Errno, Result};

use super::{Pid, Task, ThreadGroup, wait::ExitStatus};
use crate::fs::types::tty_hook::TtyRef;

/// The highest process id (`kernel.pid_max` of small systems; ids wrap around below it).
pub const PID_MAX: Pid = 32_768 * 4;
/// After a wrap-around, ids start here (`RESERVED_PIDS`).
const RESERVED_PIDS: Pid = 300;

/// All processes and threads of a sandbox.
#[derive(Default)]
pub struct TaskTree {
    processes: BTreeMap<Pid, Process>,
    threads: BTreeMap<Pid, Arc<Task>>,
    sessions: BTreeMap<Pid, Session>,
    /// The processes of each process group, zombies included.
    groups: BTreeMap<Pid, BTreeSet<Pid>>,
    last_pid: Pid,
    /// Traced threads that ended and that their tracers have not waited for.
    pub(super) ended_tracees: Vec<super::trace::Ended>,
    /// `--pids`: the most threads there may be.
    limit: Option<usize>,
}

/// A process as the tree sees it.
pub struct Process {
    pub group: Arc<ThreadGroup>,
    /// Zero for the first process.
    pub parent: Pid,
    pub children: BTreeSet<Pid>,
    /// Changed by [`TaskTree::set_group`] only.
    pub pgid: Pid,
    pub sid: Pid,
    /// Living threads, the leader first while it lives.
    pub threads: Vec<Pid>,
    /// Sent to the parent at exit (`clone`'s low byte).
    pub exit_signal: i32,
    /// Set when the process has ended and was not waited for yet.
    pub zombie: Option<Zombie>,
    /// A stop (with its signal) or a continuation that the parent was not told of by wait yet.
    pub stop_report: Option<StopReport>,
    /// The thread that made this child (`__WNOTHREAD`, `PR_SET_PDEATHSIG`).
    pub parent_thread: Pid,
}

/// What waitid(2) can report of a living child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReport {
    /// Stopped by this signal.
    Stopped(i32),
    /// Continued.
    Continued,
}

/// What remains of a process until its parent waits for it.
#[derive(Clone, Copy, Debug)]
pub struct Zombie {
    pub status: ExitStatus,
    pub uid: u32,
    /// Processor time of the process, and of the children it waited for.
    pub own_time: std::time::Duration,
    pub children_time: std::time::Duration,
    pub max_rss: u64,
}

/// A session (setsid(2)).
#[derive(Default)]
pub struct Session {
    /// The controlling terminal.
    pub tty: Option<TtyRef>,
    /// The foreground process group of that terminal.
    pub foreground: Pid,
}

impl TaskTree {
    /// An empty tree that never holds more than `limit` threads.
    pub fn new(limit: Option<usize>) -> TaskTree {
        TaskTree { limit, ..TaskTree::default() }
    }

    /// A free id.
    ///
    /// # Errors
    /// `EAGAIN` if the limit on threads is reached or no id is free.
    pub fn allocate_pid(&mut self) -> Result<Pid> {
        if self.limit.is_some_and(|limit| self.threads.len() >= limit) {
            return Err(Errno::EAGAIN);
        }
        for _ in 0..PID_MAX {
            self.last_pid = if self.last_pid + 1 >= PID_MAX { RESERVED_PIDS } else { self.last_pid + 1 };
            if !self.is_used(self.last_pid) {
                return Ok(self.last_pid);
            }
        }
        Err(Errno::EAGAIN)
    }

    fn is_used(&self, id: Pid) -> bool {
        self.threads.contains_key(&id)
            || self.processes.contains_key(&id)
            || self.sessions.contains_key(&id)
            || self.groups.contains_key(&id)
    }

    /// Takes exactly this id (`clone3`'s `set_tid`).
    ///
    /// # Errors
    /// `EEXIST`.
    pub fn claim_pid(&mut self, id: Pid) -> Result<Pid> {
        if self.is_used(id) { Err(Errno::EEXIST) } else { Ok(id) }
    }

    /// Adds a process with its first thread.
    pub fn add_process(&mut self, leader: &Arc<Task>, process: Process) {
        let pid = leader.pid();
        if let Some(parent) = self.processes.get_mut(&process.parent) {
            parent.children.insert(pid);
        }
        self.sessions.entry(process.sid).or_default();
        self.groups.entry(process.pgid).or_default().insert(pid);
        self.processes.insert(pid, process);
        self.threads.insert(leader.tid(), Arc::clone(leader));
    }

    /// Adds a thread to its process.
    pub fn add_thread(&mut self, task: &Arc<Task>) {
        self.threads.insert(task.tid(), Arc::clone(task));
        if let Some(process) = self.processes.get_mut(&task.pid()) {
            process.threads.push(task.tid());
        }
    }

    /// Removes a thread; returns how many its process has left.
    pub fn remove_thread(&mut self, task: &Task) -> usize {
        self.threads.remove(&task.tid());
        let Some(process) = self.processes.get_mut(&task.pid()) else { return 0 };
        process.threads.retain(|&tid| tid != task.tid());
        process.threads.len()
    }

    /// The children that thread `tid` of `pid` made belong to another of its threads from now on.
    pub fn hand_over_children(&mut self, pid: Pid, tid: Pid) {
        let Some(process) = self.processes.get(&pid) else { return };
        let Some(&heir) = process.threads.iter().find(|&&other| other != tid) else { return };
        for child in process.children.clone() {
            if let Some(child) = self.processes.get_mut(&child)
                && child.parent_thread == tid
            {
                child.parent_thread = heir;
            }
        }
    }

    /// Gives `task` the leader's id (execve by another thread; the leader is gone by now).
    pub fn become_leader(&mut self, task: &Arc<Task>) {
        self.threads.remove(&task.tid());
        let pid = task.pid();
        if let Some(process) = self.processes.get_mut(&pid) {
            process.threads = vec![pid];
        }
        task.set_tid(pid);
        self.threads.insert(pid, Arc::clone(task));
    }

    /// Removes a process that was waited for (or that nobody will wait for).
    pub fn remove_process(&mut self, pid: Pid) -> Option<Process> {
        let process = self.processes.remove(&pid)?;
        self.leave_group(pid, process.pgid);
        if let Some(parent) = self.processes.get_mut(&process.parent) {
            parent.children.remove(&pid);
        }
        if !self.processes.values().any(|other| other.sid == process.sid) {
            self.sessions.remove(&process.sid);
        }
        Some(process)
    }

    /// The thread with this id.
    pub fn thread(&self, tid: Pid) -> Option<&Arc<Task>> {
        self.threads.get(&tid)
    }

    /// The process with this id, zombies included.
    pub fn process(&self, pid: Pid) -> Option<&Process> {
        self.processes.get(&pid)
    }

    /// As [`TaskTree::process`], to change it.
    pub fn process_mut(&mut self, pid: Pid) -> Option<&mut Process> {
        self.processes.get_mut(&pid)
    }

    /// All processes, zombies included, in order of id.
    pub fn processes(&self) -> impl Iterator<Item = (Pid, &Process)> {
        self.processes.iter().map(|(&pid, process)| (pid, process))
    }

    /// All threads, in order of id.
    pub fn threads(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.threads.values()
    }

    /// The living threads of a process.
    pub fn threads_of(&self, pid: Pid) -> Vec<Arc<Task>> {
        let Some(process) = self.processes.get(&pid) else { return Vec::new() };
        process.threads.iter().filter_map(|tid| self.threads.get(tid)).cloned().collect()
    }

    /// How many threads there are.
    pub fn thread_count(&self) -> usize {
        self.threads.len()
    }

    fn leave_group(&mut self, pid: Pid, pgid: Pid) {
        if let Some(members) = self.groups.get_mut(&pgid) {
            members.remove(&pid);
            if members.is_empty() {
                self.groups.remove(&pgid);
            }
        }
    }

    /// Moves `pid` to another process group.
    pub fn set_group(&mut self, pid: Pid, pgid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let old = std::mem::replace(&mut process.pgid, pgid);
        self.leave_group(pid, old);
        self.groups.entry(pgid).or_default().insert(pid);
    }

    /// Makes `pid` the leader of a new session and process group, without a terminal.
    pub fn start_session(&mut self, pid: Pid) {
        self.set_group(pid, pid);
        let old = self.processes.get_mut(&pid).map(|process| std::mem::replace(&mut process.sid, pid));
        self.sessions.insert(pid, Session::default());
        if let Some(old) = old
            && !self.processes.values().any(|other| other.sid == old)
        {
            self.sessions.remove(&old);
        }
    }

    /// The session with this id.
    pub fn session_mut(&mut self, sid: Pid) -> Option<&mut Session> {
        self.sessions.get_mut(&sid)
    }

    /// The session with this id.
    pub fn session(&self, sid: Pid) -> Option<&Session> {
        self.sessions.get(&sid)
    }

    /// The processes of a process group.
    pub fn group_members(&self, pgid: Pid) -> impl Iterator<Item = (Pid, &Process)> {
        let members = self.groups.get(&pgid).into_iter().flatten();
        members.filter_map(|pid| self.processes.get(pid).map(|process| (*pid, process)))
    }

    /// Whether a process group is orphaned: no member has a parent in another group of the same session
    /// (`will_become_orphaned_pgrp`), leaving `ignoring` out.
    pub fn is_orphaned(&self, pgid: Pid, ignoring: Option<Pid>) -> bool {
        !self.group_members(pgid).any(|(pid, process)| {
            Some(pid) != ignoring
                && process.zombie.is_none()
                && self
                    .process(process.parent)
                    .is_some_and(|parent| parent.pgid != pgid && parent.sid == process.sid)
        })
    }

    /// Whether any member of a process group is stopped.
    pub fn has_stopped_member(&self, pgid: Pid) -> bool {
        self.group_members(pgid).any(|(_, process)| {
            matches!(process.group.signals.lock().stop, crate::signal::state::StopState::Stopped(_))
        })
    }

    /// Who adopts the orphans of `pid`: its nearest living subreaper ancestor, else the first process.
    pub fn reaper_for(&self, pid: Pid) -> Pid {
        let mut at = self.process(pid).map_or(0, |process| process.parent);
        while let Some(process) = self.process(at) {
            if process.zombie.is_none()
                && process.group.is_subreaper.load(std::sync::atomic::Ordering::Relaxed)
                && !process.threads.is_empty()
            {
                return at;
            }
            at = process.parent;
        }
        1
    }
}
