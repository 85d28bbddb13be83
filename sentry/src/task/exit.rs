//! The end of threads and processes: exit(2), exit_group(2), and what a fatal signal does (`kernel/exit.c`).

use std::sync::{Arc, atomic::Ordering};

use linux_abi::UserAddr;

use super::{
    Pid, Task, ThreadCx,
    tree::{TaskTree, Zombie},
    wait::{self, ExitStatus, Told},
};
use crate::{
    signal::{SIGCONT, SIGHUP, SIGKILL, info::SigInfo, send},
    wait::Events,
};

impl Task {
    /// Starts the end of the whole process with `status`, unless it is ending already: every thread will leave at its
    /// next look at its signals (`do_group_exit`).
    pub fn begin_group_exit(&self, status: ExitStatus) {
        let threads = self.kernel.tasks.lock().threads_of(self.pid());
        {
            let mut signals = self.group.signals.lock();
            if signals.exiting.is_some() {
                return;
            }
            signals.exiting = Some(status);
            signals.stop = crate::signal::state::StopState::Running;
        }
        for thread in threads {
            thread.notify_signal();
        }
    }
}

impl ThreadCx {
    /// The last thing a task's thread does. `status` is the process's if this is its last thread.
    pub(crate) fn exit(mut self, status: ExitStatus) {
        self.task.release_tracees();
        // From here on it can inherit no futex.
        self.task.futexes_left.store(true, Ordering::SeqCst);
        // Its children belong to another thread of the process before anybody can know that it ends.
        self.task.kernel.tasks.lock().hand_over_children(self.task.pid(), self.task.tid());
        self.release_memory();
        let task = Arc::clone(&self.task);
        self.account_time();
        if let Ok(mm) = task.mm() {
            // If there are changes, nobody will hear of their failure.
            let _ = self.context.finish();
            mm.leave();
        }
        // The host thread goes first: a parent that has waited must find the memory and threads gone.
        drop(self.context);
        crate::ipc::sem::end_undo(&task);
        if let Some(files) = task.set_files(None) {
            crate::fs::close::close_all(&task, files);
        }
        leave_tree(&task, status);
    }

    /// Adds the time of this thread, or rather of all that ever ran in its memory, to its process's.
    fn account_time(&mut self) {
        let Ok(mm) = self.task.mm() else { return };
        let threads = self.task.kernel.tasks.lock().process(self.task.pid()).map_or(0, |p| p.threads.len());
        if mm.users() <= threads {
            // Nobody else uses the memory, so the host's count for all of it is the process's. It is asked without the stub's help.
            let time = mm.space.cpu_time();
            let mut usage = self.task.group.usage.lock();
            usage.exited_threads = usage.exited_threads.max(time);
        } else {
            let time = self.context.cpu_time();
            self.task.group.usage.lock().exited_threads += time;
        }
    }

    /// What must be written into guest memory before it goes: robust futexes, `clear_child_tid`; then lets go of it, the host's
    /// view of rseq included. Also the
    /// first half of execve (`exec_mm_release`).
    pub(crate) fn release_memory(&mut self) {
        crate::task::futex::exit_robust_list(self);
        let clear = self.task.clear_child_tid.swap(0, Ordering::Relaxed);
        // Only if somebody else may look: otherwise Linux skips it too.
        if self.task.mm().is_ok_and(|mm| mm.users() > 1) {
            *self.task.rseq.lock() = None;
            self.context.release((clear != 0).then_some(UserAddr(clear)));
            if clear != 0 {
                crate::task::futex::wake_address(&self.task, clear, 1);
            }
        }
        if let Some(wait) = self.task.vfork_done.lock().take() {
            wait.finish();
        }
    }
}

/// Takes an ended task out of the tree; the last thread turns the process into a zombie.
fn leave_tree(task: &Arc<Task>, status: ExitStatus) {
    let kernel = Arc::clone(&task.kernel);
    let uid = task.creds().ruid;
    if let Some(mm) = task.set_mm(None) {
        let peak = mm.resident();
        let mut usage = task.group.usage.lock();
        usage.max_rss = usage.max_rss.max(peak);
        drop(usage);
        mm.remove_user();
    }
    let mut tree = kernel.tasks.lock();
    signal_death_to_children(&tree, task);
    if task.trace.is_on() {
        let whole = task.group.signals.lock().exiting;
        let last = tree.threads_of(task.pid()).len() <= 1;
        super::trace::note_end(&mut tree, task, whole.unwrap_or(status), last);
    }
    if tree.remove_thread(task) > 0 {
        drop(tree);
        crate::signal::stop::report_if_complete(task);
        // A thread that execs waits for the others to go.
        task.group.child_events.wake(Events::IN);
        for other in kernel.tasks.lock().threads_of(task.pid()) {
            other.waker().notify();
        }
        return;
    }
    let status = task.group.signals.lock().exiting.unwrap_or(status);
    let usage = *task.group.usage.lock();
    let zombie = Zombie {
        status,
        uid,
        own_time: usage.exited_threads,
        children_time: usage.children,
        max_rss: usage.max_rss,
    };
    task.group.timers.clear();
    let pid = task.pid();
    if let Some(process) = tree.process_mut(pid) {
        process.zombie = Some(zombie);
        process.stop_report = None;
    }
    let mut told = Vec::new();
    let reparented = reparent_children(&mut tree, pid, &mut told);
    let hang_up = end_session_or_orphan_groups(&mut tree, pid, &reparented);
    told.extend(wait::report_exit(&mut tree, pid));
    drop(tree);
    told.into_iter().for_each(Told::wake);
    if let Some(tty) = hang_up {
        tty.hang_up();
    }
    kernel.process_ended(pid, status);
}

/// `PR_SET_PDEATHSIG`: children made by this thread hear of its end.
fn signal_death_to_children(tree: &TaskTree, task: &Task) {
    let Some(process) = tree.process(task.pid()) else { return };
    for &child in &process.children {
        let Some(child_process) = tree.process(child) else { continue };
        if child_process.parent_thread != task.tid() {
            continue;
        }
        for thread in tree.threads_of(child) {
            let signo = thread.parent_death_signal.load(Ordering::Relaxed);
            if signo != 0 {
                let info = SigInfo::user(signo, 0, task.pid(), task.creds().ruid);
                send::queue_to_group(&thread.group, &tree.threads_of(child), info);
                break;
            }
        }
    }
}

/// Gives the children of `pid` to its reaper. Zombies among them that the reaper ignores go at once; of others it is told.
fn reparent_children(tree: &mut TaskTree, pid: Pid, told: &mut Vec<Told>) -> Vec<Pid> {
    let children: Vec<Pid> =
        tree.process(pid).map(|p| p.children.iter().copied().collect()).unwrap_or_default();
    if children.is_empty() {
        return children;
    }
    let reaper = tree.reaper_for(pid);
    for &child in &children {
        let mut is_zombie = false;
        if let Some(process) = tree.process_mut(child) {
            process.parent = reaper;
            process.parent_thread = reaper;
            process.exit_signal = crate::signal::SIGCHLD;
            is_zombie = process.zombie.is_some();
        }
        tree.threads_of(child).iter().for_each(|thread| thread.forget_answers());
        if let Some(new_parent) = tree.process_mut(reaper) {
            new_parent.children.insert(child);
        }
        if is_zombie {
            told.extend(wait::report_exit(tree, child));
        }
    }
    if let Some(process) = tree.process_mut(pid) {
        process.children.clear();
    }
    children
}

/// A session leader's end hangs up its terminal; a process group that becomes orphaned while a member is stopped gets `SIGHUP`
/// and `SIGCONT`.
fn end_session_or_orphan_groups(
    tree: &mut TaskTree,
    pid: Pid,
    reparented: &[Pid],
) -> Option<crate::fs::types::tty_hook::TtyRef> {
    let (pgid, sid, parent) = tree.process(pid).map(|p| (p.pgid, p.sid, p.parent))?;
    let mut tty = None;
    if sid == pid
        && let Some(session) = tree.session_mut(sid)
    {
        tty = session.tty.take();
        let foreground = session.foreground;
        if tty.is_some() {
            for signo in [SIGHUP, SIGCONT] {
                signal_process_group(tree, foreground, signo);
            }
        }
    }
    // Only a parent in another group of the session keeps a group from being orphaned: the process was that to its children's, and
    // its own parent to its own, or nothing changes (`kill_orphaned_pgrp`).
    let mut groups: Vec<Pid> = reparented
        .iter()
        .filter_map(|&child| tree.process(child))
        .filter(|child| child.pgid != pgid && child.sid == sid)
        .map(|child| child.pgid)
        .collect();
    groups
        .extend(tree.process(parent).filter(|parent| parent.pgid != pgid && parent.sid == sid).map(|_| pgid));
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        if tree.is_orphaned(group, Some(pid)) && tree.has_stopped_member(group) {
            for signo in [SIGHUP, SIGCONT] {
                signal_process_group(tree, group, signo);
            }
        }
    }
    tty
}

/// Sends a kernel signal to every process of a group, with the tree locked.
pub(crate) fn signal_process_group(tree: &TaskTree, pgid: Pid, signo: i32) {
    for (pid, process) in tree.group_members(pgid) {
        send::queue_to_group(&process.group, &tree.threads_of(pid), SigInfo::kernel(signo));
    }
}

/// Kills every process of the sandbox but `except`: the end of the first process.
pub(crate) fn kill_all(kernel: &crate::kernel::Kernel, except: Pid) {
    let tree = kernel.tasks.lock();
    for (pid, process) in tree.processes() {
        if pid != except {
            send::queue_to_group(&process.group, &tree.threads_of(pid), SigInfo::kernel(SIGKILL));
        }
    }
}
