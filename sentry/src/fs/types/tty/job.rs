//! Terminals and job control: controlling terminals, foreground and background (`drivers/tty/tty_jobctrl.c`).

use std::sync::Arc;

use linux_abi::{Errno, Result, UserAddr};

use super::pair::Pty;
use crate::{
    credentials::Caps,
    signal::{SIGTTIN, SIGTTOU, action::SIG_IGN, info::SigInfo, send},
    task::{Pid, Task, ThreadCx, usermem::UserMemory},
};

/// The caller's session and process group.
fn family(task: &Task) -> (Pid, Pid) {
    task.kernel.tasks.lock().process(task.pid()).map_or((0, 0), |process| (process.sid, process.pgid))
}

fn controls(pty: &Pty, sid: Pid) -> bool {
    pty.state.lock().session == Some(sid)
}

/// A background process that reads (`SIGTTIN`), or writes or changes settings (`SIGTTOU`), stops (`__tty_check_change`).
///
/// # Errors
/// `EIO` where stopping is impossible; otherwise the signal was sent and the call is to be made again: `EINTR`.
pub(super) fn check(pty: &Pty, task: &Task, signo: i32) -> Result<()> {
    let (sid, pgid) = family(task);
    if !controls(pty, sid) {
        return Ok(());
    }
    let foreground = task.kernel.tasks.lock().session(sid).map_or(0, |session| session.foreground);
    if foreground == 0 || foreground == pgid {
        return Ok(());
    }
    let ignored = task.blocked().has(signo) || task.group.handlers.read().get(signo).handler == SIG_IGN;
    if ignored {
        return if signo == SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
    }
    if task.kernel.tasks.lock().is_orphaned(pgid, None) {
        return Err(Errno::EIO);
    }
    send::send_to_pgrp(&task.kernel, pgid, SigInfo::kernel(signo));
    // The pending signal ends the wait that EAGAIN starts; the call restarts when the process continues.
    Err(Errno::EAGAIN)
}

/// Opening a terminal makes it the controlling terminal of a session leader without one (`tty_open_proc_set_tty`).
pub(super) fn adopt_on_open(pty: &Arc<Pty>, task: &Task) {
    let mut tree = task.kernel.tasks.lock();
    let Some(process) = tree.process(task.pid()) else { return };
    let (sid, pgid) = (process.sid, process.pgid);
    if sid != task.pid() {
        return;
    }
    let Some(session) = tree.session_mut(sid) else { return };
    let mut state = pty.state.lock();
    if session.tty.is_none() && state.session.is_none() {
        let terminal: crate::fs::types::tty_hook::TtyRef = Arc::clone(pty) as _;
        session.tty = Some(terminal);
        session.foreground = pgid;
        state.session = Some(sid);
    }
}

/// `TIOCSCTTY`.
pub(super) fn set_controlling(pty: &Arc<Pty>, task: &Task, steal: bool) -> Result<()> {
    let mut tree = task.kernel.tasks.lock();
    let process = tree.process(task.pid()).ok_or(Errno::EIO)?;
    let (sid, pgid) = (process.sid, process.pgid);
    let mut state = pty.state.lock();
    if sid == task.pid() && state.session == Some(sid) {
        return Ok(());
    }
    let has_one = tree.session(sid).is_some_and(|session| session.tty.is_some());
    if sid != task.pid() || has_one {
        return Err(Errno::EPERM);
    }
    if let Some(other) = state.session {
        if !steal || !task.capable(Caps::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        if let Some(session) = tree.session_mut(other) {
            session.tty = None;
        }
    }
    let session = tree.session_mut(sid).ok_or(Errno::EPERM)?;
    session.tty = Some(Arc::clone(pty) as _);
    session.foreground = pgid;
    state.session = Some(sid);
    Ok(())
}

/// `TIOCNOTTY`.
pub(super) fn give_up(pty: &Arc<Pty>, task: &Task) -> Result<()> {
    let (sid, _) = family(task);
    if !controls(pty, sid) {
        return Err(Errno::ENOTTY);
    }
    if sid != task.pid() {
        // Only this process (and what it forks) loses it.
        let had = !task.group.lost_terminal.swap(true, std::sync::atomic::Ordering::Relaxed);
        return if had { Ok(()) } else { Err(Errno::ENOTTY) };
    }
    let foreground = {
        let mut tree = task.kernel.tasks.lock();
        pty.state.lock().session = None;
        tree.session_mut(sid).map_or(0, |session| {
            session.tty = None;
            std::mem::take(&mut session.foreground)
        })
    };
    for signo in [crate::signal::SIGHUP, crate::signal::SIGCONT] {
        send::send_to_pgrp(&task.kernel, foreground, SigInfo::kernel(signo));
    }
    Ok(())
}

/// `TIOCGPGRP`. The master may ask for its slave's.
pub(super) fn foreground(pty: &Pty, cx: &mut ThreadCx, arg: u64, master: bool) -> Result<u64> {
    let (sid, _) = family(&cx.task);
    if !master && !controls(pty, sid) {
        return Err(Errno::ENOTTY);
    }
    let session = pty.state.lock().session;
    let tree = cx.task.kernel.tasks.lock();
    let pgid = session.and_then(|sid| tree.session(sid)).map_or(0, |session| session.foreground);
    drop(tree);
    cx.write_obj(UserAddr(arg), &pgid).map(|()| 0)
}

/// `TIOCSPGRP`.
pub(super) fn set_foreground(pty: &Pty, cx: &mut ThreadCx, arg: u64) -> Result<u64> {
    check(pty, &cx.task, SIGTTOU).map_err(restarting)?;
    let (sid, _) = family(&cx.task);
    if !controls(pty, sid) {
        return Err(Errno::ENOTTY);
    }
    let pgid: i32 = cx.read_obj(UserAddr(arg))?;
    if pgid < 0 {
        return Err(Errno::EINVAL);
    }
    let mut tree = cx.task.kernel.tasks.lock();
    let member = tree.group_members(pgid).next().map(|(_, process)| process.sid);
    match member {
        None => return Err(Errno::ESRCH),
        Some(other) if other != sid => return Err(Errno::EPERM),
        Some(_) => {}
    }
    if let Some(session) = tree.session_mut(sid) {
        session.foreground = pgid;
    }
    Ok(0)
}

/// `TIOCGSID`.
pub(super) fn session(pty: &Pty, cx: &mut ThreadCx, arg: u64, master: bool) -> Result<u64> {
    let (sid, _) = family(&cx.task);
    if !master && !controls(pty, sid) {
        return Err(Errno::ENOTTY);
    }
    let session = pty.state.lock().session.ok_or(Errno::ENOTTY)?;
    cx.write_obj(UserAddr(arg), &session).map(|()| 0)
}

/// ioctl(2) has no wait to end: a background caller that was signalled hears `EINTR`.
pub(super) fn restarting(errno: Errno) -> Errno {
    if errno == Errno::EAGAIN { Errno::EINTR } else { errno }
}
