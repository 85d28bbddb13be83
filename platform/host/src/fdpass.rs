//! Messages with descriptors over Unix sockets (`SCM_RIGHTS`, unix(7)).
//!
//! Received descriptors are owned, close-on-exec and bounded in number: what a peer sends beyond
//! [`MAX_DESCRIPTORS`] makes the message an error, never a leak.

use std::{
    io::IoSlice,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
};

/// The most descriptors one message may carry (the kernel's own limit is 253, `SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 64;

/// Sends `data` with copies of `descriptors`. Returns how many bytes went (all of them on a `SOCK_SEQPACKET` socket).
/// Never raises `SIGPIPE`; restarts when interrupted.
///
/// # Errors
/// As sendmsg(2); `EINVAL` for more than [`MAX_DESCRIPTORS`].
pub fn send(
    socket: BorrowedFd<'_>,
    data: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
    flags: MsgFlags,
) -> Result<usize, Errno> {
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(Errno::EINVAL);
    }
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control: &[ControlMessage<'_>] = if numbers.is_empty() { &[] } else { &rights };
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), data, control, flags | MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Receives one message into `buffer`: its length and its descriptors. A length of 0 without descriptors is the end of
/// the stream. Restarts when interrupted.
///
/// # Errors
/// As recvmsg(2); `EMSGSIZE` when `buffer` is too small for the packet or too many descriptors came. They are closed then.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    // Not nix's recvmsg: it hides the descriptors of a truncated control message, which are ours nevertheless.
    let mut data = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = ControlBuffer([0; CONTROL_WORDS]);
    // SAFETY: all-zero bytes are a valid msghdr: null pointers with zero lengths.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut data;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control.0);
    let flags = (flags | MsgFlags::MSG_CMSG_CLOEXEC).bits();
    let length = loop {
        // SAFETY: `header` describes the one buffer and the control space above, both exclusively ours.
        match Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) }) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let descriptors = take_descriptors(&header);
    if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(Errno::EMSGSIZE);
    }
    // recvmsg returned no error, so the length is not negative.
    Ok((usize::try_from(length).unwrap_or(0), descriptors))
}

/// Words of a control buffer for [`MAX_DESCRIPTORS`]: one `cmsghdr` and the numbers.
const CONTROL_WORDS: usize =
    (size_of::<libc::cmsghdr>() + MAX_DESCRIPTORS * size_of::<RawFd>()).div_ceil(size_of::<u64>());

/// Aligned as `cmsghdr` must be.
#[repr(C)]
struct ControlBuffer([u64; CONTROL_WORDS]);

/// Owns every descriptor in the control message of a `recvmsg` that has just succeeded.
fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel filled `msg_control` up to `msg_controllen`.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole, aligned header inside the buffer.
        let part = unsafe { next.read() };
        if (part.cmsg_level, part.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: as above; only computes the address behind the header.
            let mut number = unsafe { libc::CMSG_DATA(next) }.cast::<RawFd>();
            for _ in 0..part.cmsg_len.saturating_sub(size_of::<libc::cmsghdr>()) / size_of::<RawFd>() {
                // SAFETY: inside the part's `cmsg_len` bytes.
                let descriptor = unsafe { number.read_unaligned() };
                // SAFETY: the kernel has just installed this descriptor for us; nothing else owns it.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(descriptor) });
                // SAFETY: at most one past the part's end.
                number = unsafe { number.add(1) };
            }
        }
        // SAFETY: `next` came from this header.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    descriptors
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write},
        os::fd::AsFd,
    };

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    #[test]
    fn descriptors_arrive_owned() {
        let (ours, theirs) = pair();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let sent = send(ours.as_fd(), &[IoSlice::new(b"hi")], &[writer.as_fd()], MsgFlags::empty());
        assert_eq!(sent, Ok(2));
        drop(writer);
        let mut buffer = [0; 16];
        let (length, mut descriptors) = receive(theirs.as_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        assert_eq!(&buffer[..length], b"hi");
        assert_eq!(descriptors.len(), 1);
        File::from(descriptors.remove(0)).write_all(b"x").unwrap();
        let mut out = Vec::new();
        reader.read_to_end(&mut out).unwrap();
        assert_eq!(out, b"x");
        drop(ours);
        assert_eq!(receive(theirs.as_fd(), &mut buffer, MsgFlags::empty()).unwrap().0, 0);
    }

    #[test]
    fn too_much_is_refused_and_closed() {
        let (ours, theirs) = pair();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let many = vec![writer.as_fd(); MAX_DESCRIPTORS + 1];
        assert_eq!(send(ours.as_fd(), &[IoSlice::new(b"x")], &many, MsgFlags::empty()), Err(Errno::EINVAL));
        // A peer that does not use this module may send more.
        let numbers = vec![writer.as_raw_fd(); 2 * MAX_DESCRIPTORS];
        let rights = [ControlMessage::ScmRights(&numbers)];
        sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None).unwrap();
        send(ours.as_fd(), &[IoSlice::new(&[0; 17])], &[writer.as_fd()], MsgFlags::empty()).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(receive(theirs.as_fd(), &mut buffer, MsgFlags::empty()).unwrap_err(), Errno::EMSGSIZE);
        assert_eq!(receive(theirs.as_fd(), &mut buffer, MsgFlags::empty()).unwrap_err(), Errno::EMSGSIZE);
        drop(writer);
        // Ends only if no copy is left.
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    }
}
