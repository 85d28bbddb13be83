//! The side of `runsc`: sends requests to a sentry and waits for replies.
//!
//! The sentry is not trusted: what it sends is bounded by [`super::wire`], and every text is escaped when it is printed.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, socket};

use super::{
    protocol::{Call, Event, Reply, Request},
    wire::{self, Attachments},
};
use crate::error::{Context, Error, Result};

/// A connection to a sentry.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    last_id: u64,
}

impl Client {
    /// Uses an established connection.
    pub fn new(socket: OwnedFd) -> Client {
        Client { socket, last_id: 0 }
    }

    /// Connects to a container's control socket.
    ///
    /// # Errors
    /// Nobody listens there (`ECONNREFUSED`, `ENOENT`).
    pub fn connect(path: &Path) -> Result<Client> {
        let directory = path.parent().ok_or_else(|| Error::new("control socket"))?;
        let directory = File::open(directory).context("connecting to the container")?;
        let path = short_path(&directory, path)?;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
            .context("socket")?;
        let address = UnixAddr::new(&path).context("control socket")?;
        connect(socket.as_raw_fd(), &address).context("connecting to the container")?;
        Ok(Client::new(socket))
    }

    /// Sends a request and returns its number.
    ///
    /// # Errors
    /// The sentry is gone.
    pub fn send(&mut self, request: Request, fds: &Attachments) -> Result<u64> {
        self.last_id += 1;
        wire::send(self.socket.as_fd(), &Call { id: self.last_id, request }, fds)?;
        Ok(self.last_id)
    }

    /// The next thing the sentry says. `None`: it is gone.
    ///
    /// # Errors
    /// As [`wire::receive`].
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        Ok(wire::receive(self.socket.as_fd())?.map(|(event, _)| event))
    }

    /// The next thing the sentry has said already.
    ///
    /// # Errors
    /// Nothing is there yet, or as [`wire::receive`].
    pub fn try_event(&mut self) -> Result<Option<Event>> {
        Ok(wire::receive_with(self.socket.as_fd(), MsgFlags::MSG_DONTWAIT)?.map(|(event, _)| event))
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// The sentry is gone, or says [`Reply::Failed`].
    pub fn call(&mut self, request: Request, fds: &Attachments) -> Result<Reply> {
        let sent = self.send(request, fds)?;
        loop {
            match self.next_event()? {
                Some(Event::Reply { id, reply }) if id == sent => {
                    return match reply {
                        Reply::Failed { message } => Err(Error::new(message)),
                        reply => Ok(reply),
                    };
                }
                Some(Event::Panicked { message }) => return Err(Error::new(format!("sentry: {message}"))),
                Some(Event::Failed { message }) => return Err(Error::new(message)),
                Some(Event::Ready { .. } | Event::Reply { .. }) => {}
                None => return Err(Error::new("the sandbox ended")),
            }
        }
    }
}

/// A path to the same file through its open directory: a socket's path may have 107 bytes.
///
/// # Errors
/// The path has no file name.
pub fn short_path(directory: &File, path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Error::new("control socket"))?;
    Ok(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
