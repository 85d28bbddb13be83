//! The control server of the sentry process: its main thread, for the whole life of the sandbox.
//!
//! It waits for requests on the control socket and on connections to the container's listening socket, and for the end of
//! the gofer. Requests are answered at once, except that each `Wait` has a thread. When the guest's first process
//! ends, the process ends with its exit code, and the kernel ends everything else in the pid namespace.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    process::exit,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::MsgFlags,
};

use super::guest::Guest;
use crate::{
    control::{
        protocol::{Call, Event, ExitStatus, Process, Reply, Request},
        wire::{self, Attachments},
    },
    error::{Context, Error, Result, SANDBOX_FAILED},
};

/// Stack of a thread that only waits for a guest process.
const WAITER_STACK: usize = 64 * 1024;
/// The most connections at a time.
const MAX_CONNECTIONS: usize = 64;

/// The guest's first process.
pub(super) struct First {
    /// What to start.
    pub(super) process: Process,
    /// Descriptors that it refers to.
    pub(super) fds: Attachments,
    /// `runsc` follows the sandbox and ends with it.
    pub(super) attached: bool,
}

struct Server {
    guest: Arc<Guest>,
    attached: bool,
    /// The first process, until it is started.
    first: Mutex<Option<(Process, Attachments)>>,
}

/// Serves until the sandbox ends. `start`: the first process starts at once.
///
/// # Errors
/// Waiting is impossible.
pub(super) fn serve(
    guest: Guest,
    control: BorrowedFd<'_>,
    first: First,
    start: bool,
    listener: Option<OwnedFd>,
    gofer: OwnedFd,
) -> Result<Infallible> {
    let attached = first.attached;
    let server =
        Server { guest: Arc::new(guest), attached, first: Mutex::new(Some((first.process, first.fds))) };
    let listener = listener.map(UnixListener::from);
    let mut connections = BTreeMap::new();
    let mut next_key = 0u64;
    let control = Arc::new(control.try_clone_to_owned().context("copying a descriptor")?);
    connections.insert(next_key, control.clone());
    if start {
        server.start(&control, 0);
    }
    loop {
        let keys: Vec<u64> = connections.keys().copied().collect();
        let mut fds: Vec<PollFd<'_>> =
            connections.values().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
        // Nothing is read from the gofer here: the end of a connection is reported without being asked for.
        fds.push(PollFd::new(gofer.as_fd(), PollFlags::empty()));
        if let Some(listener) = &listener
            && connections.len() < MAX_CONNECTIONS
        {
            fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other.context("poll")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        drop(fds);
        let (from_clients, rest) = ready.split_at(keys.len());
        let (from_gofer, from_listener) = rest.split_at(1);
        if from_gofer.contains(&true) {
            log::error!("the gofer is gone");
            exit(SANDBOX_FAILED.into());
        }
        if from_listener.contains(&true)
            && let Some(listener) = &listener
            && let Ok((connection, _)) = listener.accept()
        {
            next_key += 1;
            connections.insert(next_key, Arc::new(OwnedFd::from(connection)));
        }
        for (key, _) in keys.iter().zip(from_clients).filter(|(_, ready)| **ready) {
            let Some(connection) = connections.get(key) else { continue };
            if !server.answer(connection) {
                connections.remove(key);
                if attached && *key == 0 {
                    log::info!("runsc is gone");
                    exit(SANDBOX_FAILED.into());
                }
            }
        }
    }
}

impl Server {
    /// Reads one request and answers it. `false`: the connection is at its end.
    fn answer(&self, connection: &Arc<OwnedFd>) -> bool {
        let (Call { id, request }, mut fds) =
            match wire::receive_with::<Call>(connection.as_fd(), MsgFlags::MSG_DONTWAIT) {
                Ok(Some(call)) => call,
                Ok(None) => return false,
                Err(error) => {
                    log::warn!("control: {error}");
                    return false;
                }
            };
        log::debug!("control: {id}: {request:?}");
        let done = |result: Result<()>| match result {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Failed { message: error.to_string() },
        };
        let reply = match request {
            Request::Start => return self.start(connection, id),
            Request::Exec(process) => match self.guest.spawn(*process, &mut fds) {
                Ok(pid) => Reply::Started { pid },
                Err(error) => not_started(error),
            },
            Request::Wait { pid } => {
                let (guest, connection) = (self.guest.clone(), connection.clone());
                let waiter = thread::Builder::new().name("wait".into()).stack_size(WAITER_STACK);
                match waiter.spawn(move || {
                    let reply = match guest.wait(pid) {
                        Some(status) => Reply::Exited { status },
                        None => Reply::Failed { message: format!("there is no process {pid} to wait for") },
                    };
                    send(&connection, id, reply);
                }) {
                    Ok(_) => return true,
                    Err(error) => Reply::Failed { message: format!("cannot wait: {error}") },
                }
            }
            Request::Kill { to, signal } => done(self.guest.kill(to, signal)),
            Request::Resize { pid, rows, cols } => done(self.guest.resize(pid, rows, cols)),
            Request::Processes => Reply::Processes(self.guest.processes()),
            Request::State => Reply::State { started: self.first().is_none() },
            Request::Shutdown => exit(0),
        };
        send(connection, id, reply)
    }

    fn first(&self) -> MutexGuard<'_, Option<(Process, Attachments)>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the first process, whose end is the sandbox's.
    fn start(&self, connection: &Arc<OwnedFd>, id: u64) -> bool {
        let Some((process, mut fds)) = self.first().take() else {
            return send(
                connection,
                id,
                Reply::Failed { message: "the container is already running".into() },
            );
        };
        let pid = match self.guest.spawn(process, &mut fds) {
            Ok(pid) => pid,
            Err(error) => {
                send(connection, id, not_started(error));
                exit(SANDBOX_FAILED.into());
            }
        };
        // Someone who follows the sandbox learns of its end from the process: no reply is needed, and none is waited for.
        if !self.attached {
            send(connection, id, Reply::Started { pid });
        }
        let guest = self.guest.clone();
        let waiter = thread::Builder::new().name("init".into()).stack_size(WAITER_STACK);
        if let Err(error) =
            waiter.spawn(move || exit(guest.wait(pid).map_or(SANDBOX_FAILED, ExitStatus::code).into()))
        {
            log::error!("cannot wait for the first process: {error}");
            exit(SANDBOX_FAILED.into());
        }
        true
    }
}

fn not_started(error: Error) -> Reply {
    Reply::NotStarted { exit: error.exit, message: error.message }
}

/// `false`: the client does not listen.
fn send(connection: &OwnedFd, id: u64, reply: Reply) -> bool {
    match wire::send(connection.as_fd(), &Event::Reply { id, reply }, &Attachments::default()) {
        Ok(()) => true,
        Err(error) => {
            log::debug!("control: {error}");
            false
        }
    }
}
