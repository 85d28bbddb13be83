//! What travels with bytes between unix sockets: credentials and open files.
//!
//! Files in flight are counted and bounded, for the sandbox as a whole ([`InFlight`]). A file whose last reference is in
//! flight is closed when the message is dropped; as that may close a socket that holds further messages, and so on, files
//! are dropped by a loop over a list and never recursively: a guest must not choose the depth of our stack.
//!
//! Sockets that are in flight only to each other (cycles) keep each other alive. Their number is bounded by the same limit;
//! `net/unix/gc.rs` finds them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use linux_abi::{Errno, Result};
use netstack::stream::Meta;
use parking_lot::Mutex;

use crate::{
    credentials::Caps,
    fs::file::File,
    limits::RLIMIT_NOFILE,
    net::{
        control::ControlMessage,
        socket::{Caller, Ucred},
    },
};

/// The most files that can be in flight in a sandbox, whoever sends them.
const MAX_IN_FLIGHT: usize = 32 << 10;

/// Files that are in messages and not yet received.
#[derive(Default)]
pub struct InFlight {
    count: AtomicUsize,
    /// How many of them are unix sockets.
    sockets: AtomicUsize,
    /// Files to be dropped.
    doomed: Mutex<Doomed>,
}

#[derive(Default)]
struct Doomed {
    files: Vec<Arc<File>>,
    /// Somebody is dropping them.
    draining: bool,
}

impl InFlight {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many of them are unix sockets: without any there are no cycles.
    pub fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    fn add(&self, files: &[Arc<File>]) {
        self.count.fetch_add(files.len(), Ordering::Relaxed);
        self.sockets.fetch_add(sockets_among(files), Ordering::Relaxed);
    }

    fn remove(&self, files: &[Arc<File>]) {
        self.count.fetch_sub(files.len(), Ordering::Relaxed);
        self.sockets.fetch_sub(sockets_among(files), Ordering::Relaxed);
    }

    /// Whether `caller` may send `more` files (`too_many_unix_fds`).
    fn admit(&self, caller: Caller<'_>, more: usize) -> Result<()> {
        let count = self.count();
        if count.saturating_add(more) > MAX_IN_FLIGHT {
            return Err(Errno::ETOOMANYREFS);
        }
        let limit = caller.task().map_or(1024, |task| task.group.limits.lock().soft(RLIMIT_NOFILE));
        if count as u64 > limit {
            let creds = caller.creds();
            if !creds.capable(Caps::SYS_RESOURCE) && !creds.capable(Caps::SYS_ADMIN) {
                return Err(Errno::ETOOMANYREFS);
            }
        }
        Ok(())
    }

    /// Drops `files` without recursion.
    pub fn bury(&self, files: Vec<Arc<File>>) {
        let mut doomed = self.doomed.lock();
        doomed.files.extend(files);
        if doomed.draining {
            return;
        }
        doomed.draining = true;
        while let Some(file) = doomed.files.pop() {
            drop(doomed);
            drop(file);
            doomed = self.doomed.lock();
        }
        doomed.draining = false;
    }
}

fn sockets_among(files: &[Arc<File>]) -> usize {
    files.iter().filter(|file| super::gc::unix_number(file).is_some()).count()
}

/// Open files in flight.
pub struct Rights {
    files: Vec<Arc<File>>,
    in_flight: Arc<InFlight>,
}

impl Rights {
    /// The files, for the receiver.
    pub fn take(mut self) -> Vec<Arc<File>> {
        self.in_flight.remove(&self.files);
        std::mem::take(&mut self.files)
    }

    /// The files.
    pub fn files(&self) -> &[Arc<File>] {
        &self.files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            self.in_flight.remove(&files);
            self.in_flight.bury(files);
        }
    }
}

/// What travels with a message.
#[derive(Default)]
pub struct Scm {
    /// Who sent it, if that was recorded.
    pub creds: Option<Ucred>,
    /// Files.
    pub rights: Option<Rights>,
}

impl Scm {
    /// Takes what unix sockets send out of `control`. `record_creds`: one end asked for credentials (`SO_PASSCRED`).
    ///
    /// # Errors
    /// `EPERM` for credentials the caller may not claim, `ETOOMANYREFS`; `EINVAL` for control messages of other levels
    /// is not given: they are ignored, as in `__scm_send`.
    pub fn prepare(
        caller: Caller<'_>,
        control: &mut Vec<ControlMessage>,
        record_creds: bool,
        in_flight: &Arc<InFlight>,
    ) -> Result<Scm> {
        let mut scm = Scm::default();
        if control.is_empty() {
            if record_creds {
                scm.creds = Some(Ucred::of(caller));
            }
            return Ok(scm);
        }
        for message in control.iter() {
            match message {
                ControlMessage::Credentials(claimed) => {
                    may_claim(caller, *claimed)?;
                    scm.creds = Some(*claimed);
                }
                ControlMessage::Rights(files) => in_flight.admit(caller, files.len())?,
                ControlMessage::Other { level, .. } if *level == linux_abi::socket::SOL_SOCKET => {
                    return Err(Errno::EINVAL);
                }
                ControlMessage::Other { .. } => {}
            }
        }
        for message in control.drain(..) {
            if let ControlMessage::Rights(files) = message {
                in_flight.add(&files);
                scm.rights = Some(Rights { files, in_flight: Arc::clone(in_flight) });
            }
        }
        if record_creds && scm.creds.is_none() {
            scm.creds = Some(Ucred::of(caller));
        }
        Ok(scm)
    }
}

impl Scm {
    /// Puts everything back where [`Scm::prepare`] took it from: the message was not sent after all.
    pub fn give_back(mut self, control: &mut Vec<ControlMessage>) {
        control.extend(self.creds.take().map(ControlMessage::Credentials));
        control.extend(self.rights.take().map(|rights| ControlMessage::Rights(rights.take())));
    }
}

impl Meta for Scm {
    fn accepts(&self, next: &Scm) -> bool {
        self.creds == next.creds && self.rights.is_none() && next.rights.is_none()
    }
}

/// `scm_check_creds`.
fn may_claim(caller: Caller<'_>, claimed: Ucred) -> Result<()> {
    let creds = caller.creds();
    let pid_ok = claimed.pid == caller.pid() || creds.capable(Caps::SYS_ADMIN);
    let uid_ok = [creds.ruid, creds.euid, creds.suid].contains(&claimed.uid) || creds.capable(Caps::SETUID);
    let gid_ok = [creds.rgid, creds.egid, creds.sgid].contains(&claimed.gid) || creds.capable(Caps::SETGID);
    if claimed.uid == u32::MAX || claimed.gid == u32::MAX {
        return Err(Errno::EINVAL);
    }
    if pid_ok && uid_ok && gid_ok { Ok(()) } else { Err(Errno::EPERM) }
}

/// The control messages a receiver gets (`scm_recv_unix`). `pass_creds`: it asked for credentials.
pub fn received(creds: Option<Ucred>, files: Vec<Arc<File>>, pass_creds: bool) -> Vec<ControlMessage> {
    /// `overflowuid`: who sent before anybody asked.
    const OVERFLOW: Ucred = Ucred { pid: 0, uid: 65534, gid: 65534 };
    let mut control = Vec::new();
    if pass_creds {
        control.push(ControlMessage::Credentials(creds.unwrap_or(OVERFLOW)));
    }
    if !files.is_empty() {
        control.push(ControlMessage::Rights(files));
    }
    control
}
