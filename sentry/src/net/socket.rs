//! What every socket can do, whatever its family.
//!
//! A [`Socket`] never blocks: what cannot be done yet fails with `EAGAIN` (or `EINPROGRESS`, for connect), and the socket's
//! queue announces the change. The system calls (`syscalls/socket*.rs`) sleep, loop over partial results and raise
//! `SIGPIPE`; [`super::file::SocketFile`] is a socket as an open file.

use std::sync::Arc;

use linux_abi::{Errno, Result};
use netstack::bpf::Program;

use super::{address::SocketAddress, base::SocketBase, control::ControlMessage};
use crate::{
    credentials::Credentials,
    fs::io::{Sink, Source},
    task::{Pid, Task},
    wait::{Events, Watch},
};

/// Who calls.
#[derive(Clone, Copy)]
pub enum Caller<'a> {
    /// A guest thread.
    Task(&'a Task),
    /// Nobody with a task: the kernel itself, and tests.
    Bare(&'a Arc<Credentials>, Pid),
}

impl Caller<'_> {
    /// The caller's credentials.
    pub fn creds(self) -> Arc<Credentials> {
        match self {
            Caller::Task(task) => task.creds(),
            Caller::Bare(creds, _) => Arc::clone(creds),
        }
    }

    /// The caller's process.
    pub fn pid(self) -> Pid {
        match self {
            Caller::Task(task) => task.pid(),
            Caller::Bare(_, pid) => pid,
        }
    }

    /// The caller's thread, if it is one.
    pub fn task(&self) -> Option<&Task> {
        match self {
            Caller::Task(task) => Some(task),
            Caller::Bare(..) => None,
        }
    }
}

/// `struct ucred`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ucred {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

impl Ucred {
    /// Where nobody is known to be at the other end.
    pub const NOBODY: Ucred = Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };

    /// The effective ids of the caller (`cred_to_ucred`).
    pub fn of(caller: Caller<'_>) -> Ucred {
        let creds = caller.creds();
        Ucred { pid: caller.pid(), uid: creds.euid, gid: creds.egid }
    }

    /// As in memory.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.pid.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.uid.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.gid.to_ne_bytes());
        bytes
    }
}

/// What a send(2) says besides its bytes.
#[derive(Default)]
pub struct SendArgs<'a> {
    /// `msg_name`.
    pub to: Option<&'a [u8]>,
    /// `MSG_*`.
    pub flags: u32,
    /// Control messages, already parsed. Descriptors are taken out when the message is queued.
    pub control: Vec<ControlMessage>,
    /// `O_NONBLOCK` or `MSG_DONTWAIT`: matters to sockets whose errors depend on it.
    pub nonblocking: bool,
}

/// What a recv(2) asks for besides bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecvArgs {
    /// `MSG_*`.
    pub flags: u32,
    /// `O_NONBLOCK` or `MSG_DONTWAIT`: after shutdown(2), some sockets only let waiting calls see the end.
    pub nonblocking: bool,
    /// The call can take control messages.
    pub want_control: bool,
    /// `EAGAIN` while less than this of a stream is queued and more may come (`MSG_PEEK | MSG_WAITALL`).
    pub at_least: usize,
}

/// What a recv(2) got besides bytes.
#[derive(Default)]
pub struct Received {
    /// Bytes that arrived in the sink.
    pub bytes: usize,
    /// The whole message's length, if the type has messages (`MSG_TRUNC` returns it).
    pub message: Option<usize>,
    /// The sender's address.
    pub from: Option<SocketAddress>,
    /// Control messages.
    pub control: Vec<ControlMessage>,
    /// `msg_flags`: `MSG_TRUNC`, `MSG_EOR`, `MSG_OOB`.
    pub flags: u32,
}

/// Which halves of a connection shutdown(2) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    pub read: bool,
    pub write: bool,
}

impl Shutdown {
    /// Both.
    pub const BOTH: Shutdown = Shutdown { read: true, write: true };

    /// shutdown(2)'s argument.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn from_how(how: i32) -> Result<Shutdown> {
        Ok(match how {
            linux_abi::socket::SHUT_RD => Shutdown { read: true, write: false },
            linux_abi::socket::SHUT_WR => Shutdown { read: false, write: true },
            linux_abi::socket::SHUT_RDWR => Shutdown::BOTH,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// A socket. All operations are non-blocking.
pub trait Socket: Send + Sync {
    /// The state every socket has.
    fn base(&self) -> &SocketBase;

    /// Takes the pending error (`SO_ERROR`).
    ///
    /// # Errors
    /// That error.
    fn take_error(&self) -> Result<()> {
        self.base().take_error()
    }

    /// Queues a message from the kernel for the program to receive. Only netlink sockets take any.
    ///
    /// # Errors
    /// `EINVAL`; `ENOBUFS` without room.
    fn kernel_message(&self, _data: &[u8]) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// bind(2).
    ///
    /// # Errors
    /// Those of the man page.
    fn bind(&self, caller: Caller<'_>, address: &[u8]) -> Result<()>;

    /// connect(2). `Ok` when connected at once; `EINPROGRESS` when begun now (with `nonblocking`, also when done at once, as
    /// Linux does), `EALREADY` when begun before: the caller then waits for [`Socket::connect_result`]. `EAGAIN` when it
    /// cannot begin yet.
    ///
    /// # Errors
    /// Those of the man page.
    fn connect(&self, caller: Caller<'_>, address: &[u8], nonblocking: bool) -> Result<()>;

    /// How the connection that is being made came out.
    ///
    /// # Errors
    /// `EAGAIN` as long as it is not decided.
    fn connect_result(&self) -> Result<()> {
        Ok(())
    }

    /// listen(2).
    ///
    /// # Errors
    /// `EOPNOTSUPP`, `EINVAL`, `EADDRINUSE`.
    fn listen(&self, _caller: Caller<'_>, _backlog: i32) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// accept(2).
    ///
    /// # Errors
    /// `EAGAIN`, `EINVAL` if not listening, `EOPNOTSUPP`.
    fn accept(&self, _caller: Caller<'_>) -> Result<Arc<dyn Socket>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sends what fits. Streams may take less than all.
    ///
    /// # Errors
    /// `EAGAIN` if nothing fits; `EPIPE`, for which the system call raises `SIGPIPE`.
    fn send(&self, caller: Caller<'_>, args: &mut SendArgs<'_>, source: &mut dyn Source) -> Result<usize>;

    /// Receives what is there.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there.
    fn recv(&self, caller: Caller<'_>, args: &RecvArgs, sink: &mut dyn Sink) -> Result<Received>;

    /// Receives an error in full (`MSG_ERRQUEUE`).
    ///
    /// # Errors
    /// `EAGAIN` if there is none.
    fn recv_error(&self, _sink: &mut dyn Sink) -> Result<Received> {
        Err(Errno::EAGAIN)
    }

    /// Told of the filter that [`SocketBase`] has from now on.
    ///
    /// # Errors
    /// None so far.
    fn set_filter(&self, _filter: Option<Arc<Program>>) -> Result<()> {
        Ok(())
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// `ENOTCONN`.
    fn shutdown(&self, how: Shutdown) -> Result<()>;

    /// getsockname(2).
    ///
    /// # Errors
    /// Rarely any.
    fn local_name(&self) -> Result<SocketAddress>;

    /// getpeername(2).
    ///
    /// # Errors
    /// `ENOTCONN`.
    fn peer_name(&self) -> Result<SocketAddress>;

    /// getsockopt(2) for what [`SocketBase`] does not answer. `len` is how much the caller takes.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EOPNOTSUPP`.
    fn get_option(&self, level: i32, _name: i32, _len: usize) -> Result<Vec<u8>> {
        Err(if level == linux_abi::socket::SOL_SOCKET { Errno::ENOPROTOOPT } else { Errno::EOPNOTSUPP })
    }

    /// setsockopt(2) for what [`SocketBase`] does not know.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EOPNOTSUPP`, `EINVAL`.
    fn set_option(&self, _caller: Caller<'_>, level: i32, _name: i32, _value: &[u8]) -> Result<()> {
        Err(if level == linux_abi::socket::SOL_SOCKET { Errno::ENOPROTOOPT } else { Errno::EOPNOTSUPP })
    }

    /// Told after an option of [`SocketBase`] changed.
    fn option_changed(&self, _name: i32) {}

    /// `FIONREAD`: bytes that can be read (of a message type: of the first message).
    ///
    /// # Errors
    /// `EINVAL` for listeners.
    fn readable_bytes(&self) -> Result<usize>;

    /// `SIOCOUTQ`: bytes sent and not yet taken by the peer.
    ///
    /// # Errors
    /// `EINVAL` for listeners.
    fn unsent_bytes(&self) -> Result<usize> {
        Ok(0)
    }

    /// `SIOCATMARK`.
    ///
    /// # Errors
    /// `ENOTTY` where there is no urgent data.
    fn at_mark(&self) -> Result<bool> {
        Err(Errno::ENOTTY)
    }

    /// Whether [`Socket::listen`] succeeded (`SO_ACCEPTCONN`).
    fn is_listening(&self) -> bool {
        false
    }

    /// Who is at the other end (`SO_PEERCRED`).
    fn peer_creds(&self) -> Option<(Ucred, Arc<[u32]>)> {
        None
    }

    /// Readiness: registers, then looks.
    fn poll(&self, watch: Option<&mut Watch>) -> Events;

    /// The last descriptor is gone.
    fn close(&self);
}
