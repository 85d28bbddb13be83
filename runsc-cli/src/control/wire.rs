//! Messages between the processes of a sandbox: one JSON value and any number of descriptors in one packet of a
//! `SOCK_SEQPACKET` socket.
//!
//! A message refers to its descriptors by [`FdRef`]; [`Attachments`] collects them on the way out and hands each
//! of them out once on the way in. A value too large for a packet travels in a sealed memfd that is the packet's
//! first descriptor. Both sides read it once, into memory of their own, and never more than [`MAX_MESSAGE`].

use std::{
    fs::File,
    io::{IoSlice, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::MsgFlags,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Context, Error, Result};

/// Values up to this size travel in the packet itself.
const INLINE_BYTES: usize = 32 * 1024;
/// The longest value that is accepted: room for 2 MiB of arguments and as much environment.
const MAX_MESSAGE: u64 = 16 << 20;

/// First byte of a packet: the value follows.
const INLINE: u8 = b'I';
/// First byte of a packet: the value is in the first descriptor.
const IN_MEMFD: u8 = b'M';

/// A descriptor that travels with a message: its position among the attachments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct FdRef(usize);

/// The descriptors of one message.
#[derive(Debug, Default)]
pub struct Attachments(Vec<Option<OwnedFd>>);

impl Attachments {
    /// Adds a descriptor.
    pub fn attach(&mut self, fd: impl Into<OwnedFd>) -> FdRef {
        self.0.push(Some(fd.into()));
        FdRef(self.0.len() - 1)
    }

    /// Adds a copy of a descriptor.
    ///
    /// # Errors
    /// As dup(2).
    pub fn attach_copy(&mut self, fd: BorrowedFd<'_>) -> Result<FdRef> {
        Ok(self.attach(fd.try_clone_to_owned().context("copying a descriptor")?))
    }

    /// Takes a descriptor out. Each can be taken once.
    ///
    /// # Errors
    /// The peer referred to one that it did not send.
    pub fn take(&mut self, at: FdRef) -> Result<OwnedFd> {
        self.0
            .get_mut(at.0)
            .and_then(Option::take)
            .ok_or_else(|| Error::new("a message refers to a descriptor that did not come with it"))
    }
}

/// Sends a message. `fds` are copied, the caller's stay open until dropped.
///
/// # Errors
/// The peer is gone (`EPIPE`), or the host's.
pub fn send<T: Serialize>(socket: BorrowedFd<'_>, message: &T, fds: &Attachments) -> Result<()> {
    let body = serde_json::to_vec(message).context("encoding a message")?;
    let mut descriptors: Vec<BorrowedFd<'_>> = fds.0.iter().flatten().map(AsFd::as_fd).collect();
    let memfd;
    let sent = if body.len() <= INLINE_BYTES {
        host::fdpass::send(
            socket,
            &[IoSlice::new(&[INLINE]), IoSlice::new(&body)],
            &descriptors,
            MsgFlags::empty(),
        )
    } else {
        memfd = sealed_memfd(&body).context("memfd_create")?;
        descriptors.insert(0, memfd.as_fd());
        host::fdpass::send(socket, &[IoSlice::new(&[IN_MEMFD])], &descriptors, MsgFlags::empty())
    };
    sent.map(drop).context("sending a message")
}

/// Waits for a message. `None`: the peer has closed its side or died.
///
/// # Errors
/// What came is not a message, or the host's.
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> Result<Option<(T, Attachments)>> {
    receive_with(socket, MsgFlags::empty())
}

/// As [`receive`], with flags for recvmsg(2).
///
/// # Errors
/// As [`receive`].
pub fn receive_with<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
    flags: MsgFlags,
) -> Result<Option<(T, Attachments)>> {
    let mut packet = vec![0; INLINE_BYTES + 1];
    let (length, mut descriptors) = match host::fdpass::receive(socket, &mut packet, flags) {
        // A peer that died with unread data in its queue.
        Err(Errno::ECONNRESET) => return Ok(None),
        other => other.context("receiving a message")?,
    };
    let value = match packet.get(..length).and_then(<[u8]>::split_first) {
        None if descriptors.is_empty() => return Ok(None),
        Some((&INLINE, body)) => serde_json::from_slice(body),
        Some((&IN_MEMFD, [])) if !descriptors.is_empty() => {
            let body = read_bounded(descriptors.remove(0)).context("reading a message")?;
            serde_json::from_slice(&body)
        }
        _ => return Err(Error::new("a peer sent a malformed message")),
    };
    let value = value.context("a peer sent a malformed message")?;
    Ok(Some((value, Attachments(descriptors.into_iter().map(Some).collect()))))
}

/// Whether the peer has closed its side or died. Does not wait.
pub fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let mut poll = [PollFd::new(socket, PollFlags::empty())];
    nix::poll::poll(&mut poll, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn sealed_memfd(body: &[u8]) -> std::io::Result<OwnedFd> {
    let memfd = memfd_create(c"message", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(memfd);
    file.write_all(body)?;
    let seals =
        SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

fn read_bounded(memfd: OwnedFd) -> std::io::Result<Vec<u8>> {
    let mut file = File::from(memfd);
    file.rewind()?;
    let mut body = Vec::new();
    file.take(MAX_MESSAGE).read_to_end(&mut body)?;
    Ok(body)
}

/// Bytes that need not be UTF-8, as a JSON string with one character for each byte: ASCII stays readable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.iter().copied().map(char::from).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.chars()
            .map(|c| u8::try_from(c).map_err(|_| serde::de::Error::custom("not a byte")))
            .collect::<Result<_, _>>()
            .map(Bytes)
    }
}

impl<T: Into<Vec<u8>>> From<T> for Bytes {
    fn from(bytes: T) -> Bytes {
        Bytes(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    #[test]
    fn small_and_large_values_arrive_with_their_descriptors() {
        for size in [0, 5, INLINE_BYTES + 1, 3 << 20] {
            let (ours, theirs) = pair();
            let mut fds = Attachments::default();
            let (mut reader, writer) = std::io::pipe().unwrap();
            let at = fds.attach(writer);
            let bytes = Bytes((0..size).map(|i| u8::try_from(i % 256).unwrap()).collect());
            send(ours.as_fd(), &(at, &bytes), &fds).unwrap();
            drop(fds);
            let ((at, got), mut fds) = receive::<(FdRef, Bytes)>(theirs.as_fd()).unwrap().unwrap();
            assert_eq!(got, bytes);
            File::from(fds.take(at).unwrap()).write_all(b"!").unwrap();
            assert!(fds.take(at).is_err(), "taken twice");
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "!");
        }
    }

    #[test]
    fn end_of_stream_is_none() {
        let (ours, theirs) = pair();
        drop(ours);
        assert!(receive::<()>(theirs.as_fd()).unwrap().is_none());
    }

    #[test]
    fn malformed_packets_are_errors() {
        for packet in [&b""[..], b"X", b"M", b"Mx", b"I", b"I{", b"I[1]"] {
            let (ours, theirs) = pair();
            host::fdpass::send(ours.as_fd(), &[IoSlice::new(packet)], &[], MsgFlags::empty()).unwrap();
            drop(ours);
            match receive::<String>(theirs.as_fd()) {
                Ok(None) => assert!(packet.is_empty()),
                Ok(Some(_)) => panic!("accepted {packet:?}"),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn bytes_outside_utf8_survive() {
        let bytes = Bytes((0..=255).collect());
        let text = serde_json::to_string(&bytes).unwrap();
        assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap(), bytes);
        assert!(serde_json::from_str::<Bytes>("\"\u{100}\"").is_err());
        assert_eq!(serde_json::to_string(&Bytes::from("abc")).unwrap(), "\"abc\"");
    }
}
