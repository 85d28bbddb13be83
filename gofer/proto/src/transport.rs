//! How messages and descriptors cross a socket.
//!
//! `SOCK_SEQPACKET`: the kernel keeps message boundaries, so there is no half-read message to
//! recover from and no length to believe. Descriptors are received in one function only; everywhere
//! else the kernel drops what a peer attaches, before it becomes a descriptor of ours.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use linux_abi::{Errno, Result};
use rustix::{
    io::retry_on_intr,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
};

use crate::MAX_WALK;

/// Two ends of a new connection.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(errno)
}

/// Sends one message, with at most one descriptor. Waits while the peer's queue is full.
pub fn send(socket: impl AsFd, message: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<()> {
    send_with_fds(socket, message, fd.as_slice())
}

/// As [`send`], with up to [`MAX_WALK`] descriptors.
pub fn send_with_fds(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_WALK))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::EMSGSIZE);
    }
    let parts = [IoSlice::new(message)];
    let sent = retry_on_intr(|| rustix::net::sendmsg(&socket, &parts, &mut control, SendFlags::NOSIGNAL))
        .map_err(errno)?;
    if sent == message.len() { Ok(()) } else { Err(Errno::EIO) }
}

/// Receives one message of at most `max` bytes into `buffer`; descriptors that come with it are dropped by
/// the kernel. An empty buffer afterwards means that the peer is gone. `EMSGSIZE` if the message was longer.
///
/// `buffer` keeps its capacity, and only the pages that messages fill are ever touched.
pub fn receive(socket: impl AsFd, buffer: &mut Vec<u8>, max: usize) -> Result<()> {
    buffer.clear();
    buffer.reserve_exact(max);
    let (_, len) = retry_on_intr(|| {
        rustix::net::recv(&socket, rustix::buffer::spare_capacity(buffer), RecvFlags::TRUNC)
    })
    .map_err(errno)?;
    if len > buffer.len() { Err(Errno::EMSGSIZE) } else { Ok(()) }
}

/// Receives one message and the descriptor that came with it, if any. No bytes: the peer is gone.
pub fn receive_with_fd(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| {
        rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })
    .map_err(errno)?;
    // Taking every message out closes what nobody keeps.
    let fd = control.drain().fold(None, |kept, message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => kept.or(fds.next()),
        _ => kept,
    });
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(Errno::EMSGSIZE);
    }
    Ok((received.bytes, fd))
}

/// Receives one message and the descriptors that came with it, in their order; if this process may have no more, only the first of
/// them. No bytes: the peer is gone.
pub fn receive_with_fds(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_WALK))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| {
        rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })
    .map_err(errno)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            fds.extend(some);
        }
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(Errno::EMSGSIZE);
    }
    Ok((received.bytes, fds))
}

/// Errors of the host kernel are the guest's errors.
pub fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}
