//! One connection: take a request, answer it, until the client hangs up.
//!
//! A message that makes no sense gets an error as its answer, for messages cannot get out of step on a
//! `SOCK_SEQPACKET` socket. Whatever is wrong with the socket itself ends the connection.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use gofer_proto::{
    MAX_MESSAGE, Request, transport,
    wire::{Wire, Writer},
};
use linux_abi::{Errno, Result};

use crate::{
    handlers::{self, Reply},
    server::Server,
};

/// Serves a connection to its end.
pub(crate) fn serve(server: &Arc<Server>, socket: OwnedFd) {
    let mut request = Vec::new();
    let mut reply = Vec::new();
    loop {
        let received = transport::receive(&socket, &mut request, MAX_MESSAGE);
        if received.is_err_and(|errno| errno != Errno::EMSGSIZE) || request.is_empty() {
            return;
        }
        let mut out = Writer::new(&mut reply, MAX_MESSAGE);
        0_u32.put(&mut out);
        let result = received.and_then(|()| Request::decode(&request)).and_then(|request| match request {
            Request::Release { ids } => {
                server.table.release(&ids);
                Ok(None)
            }
            Request::Follow { cpu } => {
                follow(cpu);
                Ok(None)
            }
            Request::AddConnection {} => add_connection(server, &socket).map(|()| Some(Reply::plain())),
            request => handlers::answer(server, request, &mut out).map(Some),
        });
        let fds = match result {
            Ok(None) => continue,
            Ok(Some(reply)) => reply.fds,
            Err(errno) => {
                out.rewind(0);
                errno.put(&mut out);
                Vec::new()
            }
        };
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let sent = out.finish().and_then(|message| transport::send_with_fds(&socket, message, &fds));
        if sent.is_err() {
            return;
        }
    }
}

/// The socket itself comes with the next message.
fn add_connection(server: &Arc<Server>, socket: &OwnedFd) -> Result<()> {
    let (_, new) = transport::receive_with_fd(socket, &mut [0])?;
    server.add_connection(new.ok_or(Errno::EPROTO)?)
}

/// Moves the calling thread to a processor. Where it may not run there, it stays where it is, which is only slower.
fn follow(cpu: u32) {
    let mut set = rustix::thread::CpuSet::new();
    if let Some(cpu) = usize::try_from(cpu).ok().filter(|cpu| *cpu < rustix::thread::CpuSet::MAX_CPU) {
        set.set(cpu);
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}
