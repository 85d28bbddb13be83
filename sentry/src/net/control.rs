//! Control messages (cmsg(3)): ancillary data of sendmsg(2) and recvmsg(2).

use std::sync::Arc;

use linux_abi::{
    Errno, Result,
    socket::{SCM_CREDENTIALS, SCM_MAX_FD, SCM_RIGHTS, SOL_SOCKET},
};

use super::socket::Ucred;
use crate::fs::file::File;

/// `sizeof(struct cmsghdr)`.
pub const HEADER: usize = 16;

/// One control message.
pub enum ControlMessage {
    /// `SCM_RIGHTS`: open files.
    Rights(Vec<Arc<File>>),
    /// `SCM_CREDENTIALS`.
    Credentials(Ucred),
    /// Anything else, as bytes.
    Other { level: i32, kind: i32, data: Vec<u8> },
}

/// Bytes a control message of `len` data bytes takes up (`CMSG_SPACE`).
pub const fn space(len: usize) -> usize {
    HEADER + len.next_multiple_of(8)
}

/// Told the level, type and data of each control message.
pub type Visit<'a> = &'a mut dyn FnMut(i32, i32, &[u8]) -> Result<()>;

/// Walks the headers of a control buffer: calls `visit(level, type, data)` for each.
///
/// # Errors
/// `EINVAL` for a malformed header (`CMSG_OK`), or `visit`'s.
pub fn parse(buffer: &[u8], visit: Visit<'_>) -> Result<()> {
    let mut at = 0;
    // A remainder too short for a header ends the list (`CMSG_NXTHDR`).
    while let Some(header) = buffer.get(at..at + HEADER) {
        let number = |from: usize| {
            let mut word = [0; 8];
            for (to, byte) in word.iter_mut().zip(header.iter().skip(from)) {
                *to = *byte;
            }
            u64::from_ne_bytes(word)
        };
        let len = usize::try_from(number(0)).unwrap_or(usize::MAX);
        if len < HEADER || len > buffer.len() - at {
            return Err(Errno::EINVAL);
        }
        let word = number(8);
        let (level, kind) = ((word & 0xffff_ffff) as u32, (word >> 32) as u32);
        let data = buffer.get(at + HEADER..at + len).unwrap_or_default();
        visit(level.cast_signed(), kind.cast_signed(), data)?;
        at += len.next_multiple_of(8);
    }
    Ok(())
}

/// Decodes the control buffer of a sendmsg(2); `file` resolves descriptors.
///
/// # Errors
/// `EINVAL`, or `file`'s (`EBADF`).
pub fn decode(buffer: &[u8], file: &dyn Fn(i32) -> Result<Arc<File>>) -> Result<Vec<ControlMessage>> {
    let mut messages = Vec::new();
    let mut rights: Vec<Arc<File>> = Vec::new();
    parse(buffer, &mut |level, kind, data| {
        match (level, kind) {
            (SOL_SOCKET, SCM_RIGHTS) => {
                let (fds, _) = data.as_chunks::<4>();
                if rights.len() + fds.len() > SCM_MAX_FD {
                    return Err(Errno::EINVAL);
                }
                for fd in fds {
                    rights.push(file(i32::from_ne_bytes(*fd))?);
                }
            }
            (SOL_SOCKET, SCM_CREDENTIALS) => {
                let (words, rest) = data.as_chunks::<4>();
                let ([pid, uid, gid], []) = (words, rest) else { return Err(Errno::EINVAL) };
                messages.push(ControlMessage::Credentials(Ucred {
                    pid: i32::from_ne_bytes(*pid),
                    uid: u32::from_ne_bytes(*uid),
                    gid: u32::from_ne_bytes(*gid),
                }));
            }
            _ => messages.push(ControlMessage::Other { level, kind, data: data.to_vec() }),
        }
        Ok(())
    })?;
    if !rights.is_empty() {
        messages.push(ControlMessage::Rights(rights));
    }
    Ok(messages)
}

/// Appends a control message to `buffer`, which may grow to `room` bytes. Data that does not fit is cut; returns whether that
/// was so (`MSG_CTRUNC`). Padding is only added where there is room, as put_cmsg() does.
pub fn encode(buffer: &mut Vec<u8>, room: usize, level: i32, kind: i32, data: &[u8]) -> bool {
    let left = room.saturating_sub(buffer.len());
    if left < HEADER {
        return true;
    }
    let fits = data.len().min(left - HEADER);
    buffer.extend_from_slice(&((HEADER + fits) as u64).to_ne_bytes());
    buffer.extend_from_slice(&level.to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(data.get(..fits).unwrap_or_default());
    let padded = buffer.len().next_multiple_of(8).min(room);
    buffer.resize(padded, 0);
    fits < data.len()
}

/// How many descriptors fit into a control message after `used` of `room` bytes (`scm_detach_fds`).
pub fn rights_that_fit(used: usize, room: usize) -> usize {
    room.saturating_sub(used).saturating_sub(HEADER) / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_parses_again() {
        let mut buffer = Vec::new();
        assert!(!encode(&mut buffer, 64, 1, 2, &[7; 12]));
        assert!(!encode(&mut buffer, 64, 41, 50, &[8; 4]));
        let mut seen = Vec::new();
        parse(&buffer, &mut |level, kind, data| {
            seen.push((level, kind, data.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(1, 2, vec![7; 12]), (41, 50, vec![8; 4])]);
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused() {
        let mut buffer = Vec::new();
        encode(&mut buffer, 64, 1, 1, &[0; 4]);
        buffer[0] = 60;
        assert_eq!(parse(&buffer, &mut |_, _, _| Ok(())), Err(Errno::EINVAL));
        buffer[..8].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(parse(&buffer, &mut |_, _, _| Ok(())), Err(Errno::EINVAL));
    }

    #[test]
    fn data_that_does_not_fit_is_cut() {
        let mut buffer = Vec::new();
        assert!(encode(&mut buffer, 20, 1, 1, &[0; 8]));
        assert_eq!(buffer.len(), 20);
        assert!(encode(&mut buffer, 20, 1, 1, &[0; 8]));
    }
}
