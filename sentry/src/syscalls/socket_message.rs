//! send(2), recv(2) and their relatives; also read(2) and write(2) on sockets, which have timeouts like them.
//!
//! A socket does what it can at once. What makes a call blocking is here: waiting, going on after partial transfers, timeouts,
//! `SIGPIPE`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use linux_abi::{
    Errno, Result, UserAddr,
    socket::{
        AF_NETLINK, AF_UNIX, MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_EOR, MSG_ERRQUEUE, MSG_NOSIGNAL,
        MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_WAITFORONE, MSG_ZEROCOPY, SCM_CREDENTIALS, SCM_RIGHTS,
        SOCK_SEQPACKET, SOCK_STREAM, SOCKADDR_STORAGE, SOL_SOCKET, UIO_MAXIOV,
    },
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::socket::{read_address, socket_at, wait_error, write_address};
use crate::{
    error::{SysError, SysResult},
    fs::{
        file::File,
        io::{Segment, Sink, Source, UserSink, UserSource},
    },
    net::{
        base::Flags,
        control::{self, ControlMessage},
        inet::errors,
        socket::{Caller, Received, RecvArgs, SendArgs, Socket},
    },
    signal::{
        self, SIGPIPE,
        info::{SI_USER, SigInfo},
    },
    task::{
        Task, ThreadCx,
        usermem::{MAX_RW_COUNT, UserMemory},
    },
    wait::Events,
};

/// `net.core.optmem_max`: the most control data of a message.
const OPTMEM_MAX: u64 = 131_072;
/// Not for 64-bit callers.
const MSG_CMSG_COMPAT: u32 = 0x8000_0000;

/// `struct user_msghdr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct MsgHdr {
    name: u64,
    namelen: i32,
    _pad: u32,
    iov: u64,
    iovlen: u64,
    control: u64,
    controllen: u64,
    flags: u32,
    _pad2: u32,
}

/// Where the fields are that recvmsg(2) writes.
const NAMELEN_AT: u64 = 8;
const CONTROLLEN_AT: u64 = 40;
const FLAGS_AT: u64 = 48;
/// `sizeof(struct mmsghdr)`, and where its `msg_len` is.
const MMSGHDR_SIZE: u64 = 64;
const MSG_LEN_AT: u64 = 56;

impl MsgHdr {
    /// Copies the header and its segments in (`copy_msghdr_from_user`).
    fn read(cx: &mut ThreadCx, at: UserAddr) -> Result<(MsgHdr, Vec<Segment>)> {
        let mut header: MsgHdr = cx.read_obj(at)?;
        if header.name == 0 {
            header.namelen = 0;
        }
        if header.namelen < 0 {
            return Err(Errno::EINVAL);
        }
        header.namelen = header.namelen.min(128);
        let count = usize::try_from(header.iovlen).unwrap_or(usize::MAX);
        if count > UIO_MAXIOV {
            return Err(Errno::EMSGSIZE);
        }
        let segments = cx.read_iovec(UserAddr(header.iov), count)?;
        Ok((header, segments))
    }
}

fn raise_sigpipe(task: &Arc<Task>) {
    let info = SigInfo::user(SIGPIPE, SI_USER, task.pid(), task.creds().ruid);
    // Fails only for a task that is ending.
    let _ = signal::send::send_to_task(task, info);
}

fn later(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Sends the bytes in `segments`.
fn transmit(
    cx: &mut ThreadCx,
    file: &File,
    socket: &dyn Socket,
    segments: &[Segment],
    mut args: SendArgs<'_>,
) -> SysResult<usize> {
    let ThreadCx { task, context, .. } = cx;
    let mut source = UserSource::new(context.as_mut(), segments);
    let base = socket.base();
    let nonblocking = file.nonblocking() || args.flags & MSG_DONTWAIT != 0;
    args.nonblocking = nonblocking;
    let timeout = base.send_timeout();
    let deadline = later(timeout);
    let no_signal = args.flags & MSG_NOSIGNAL != 0;
    let zerocopy = args.flags & MSG_ZEROCOPY != 0 && base.flags().contains(Flags::ZEROCOPY);
    let mut done = 0;
    let failure: SysError = loop {
        let mut attempt = || socket.send(Caller::Task(task), &mut args, &mut source);
        let result = if nonblocking {
            attempt().map_err(SysError::from)
        } else {
            task.block_on(file, Events::WRITE, deadline, attempt)
                .map_err(|error| wait_error(error, timeout.is_some(), Errno::EAGAIN))
        };
        match result {
            Ok(sent) => {
                done += sent;
                if base.kind != SOCK_STREAM || sent == 0 || source.remaining() == 0 {
                    if zerocopy {
                        base.note_zerocopy();
                    }
                    return Ok(done);
                }
            }
            Err(error) => break error,
        }
    };
    if done > 0 {
        if zerocopy {
            base.note_zerocopy();
        }
        return Ok(done);
    }
    if failure == SysError::Errno(Errno::EPIPE) && base.kind == SOCK_STREAM && !no_signal {
        raise_sigpipe(task);
    }
    Err(failure)
}

/// Receives into `segments`. The bytes counted are those stored.
fn receive(
    cx: &mut ThreadCx,
    file: &File,
    socket: &dyn Socket,
    segments: &[Segment],
    mut args: RecvArgs,
) -> SysResult<Received> {
    let ThreadCx { task, context, .. } = cx;
    let mut sink = UserSink::new(context.as_mut(), segments);
    let base = socket.base();
    // Families without such a queue do not know the flag.
    if args.flags & MSG_ERRQUEUE != 0 && !matches!(base.domain, AF_UNIX | AF_NETLINK) {
        return Ok(receive_error(socket, &mut sink)?);
    }
    let nonblocking = file.nonblocking() || args.flags & MSG_DONTWAIT != 0;
    args.nonblocking = nonblocking;
    let len = sink.remaining();
    let stream = base.kind == SOCK_STREAM;
    let target = if args.flags & MSG_WAITALL != 0 { len } else { base.rcvlowat().min(len) };
    if stream && !nonblocking && args.flags & MSG_PEEK != 0 {
        args.at_least = target;
    }
    let timeout = base.receive_timeout();
    let deadline = later(timeout);
    let mut all: Option<Received> = None;
    loop {
        let mut attempt = || socket.recv(Caller::Task(task), &args, &mut sink);
        let result = if nonblocking {
            attempt().map_err(SysError::from)
        } else {
            task.block_on(file, Events::READ, deadline, attempt)
                .map_err(|error| wait_error(error, timeout.is_some(), Errno::EAGAIN))
        };
        let got = match (result, all.take()) {
            (Ok(got), None) => got,
            (Ok(more), Some(before)) => Received { bytes: before.bytes + more.bytes, ..before },
            (Err(_), Some(before)) => return Ok(before),
            (Err(error), None) => return Err(error),
        };
        let progress = sink.remaining();
        let over =
            !stream || nonblocking || args.flags & MSG_PEEK != 0 || got.bytes >= target || progress == 0;
        if !stream {
            base.note_message();
        }
        if over || got.bytes == 0 || !got.control.is_empty() || socket_ended(socket) {
            return Ok(got);
        }
        all = Some(got);
    }
}

/// `MSG_ERRQUEUE`: what failed, and which `MSG_ZEROCOPY` sends are done.
fn receive_error(socket: &dyn Socket, sink: &mut dyn Sink) -> Result<Received> {
    match socket.base().take_zerocopy() {
        Some(range) => Ok(errors::zerocopy_done(range, socket.base().domain)),
        None => socket.recv_error(sink),
    }
}

/// Whether waiting for more is pointless: the peer has finished, or there is an error to be reported by the next call.
fn socket_ended(socket: &dyn Socket) -> bool {
    let events = socket.poll(None);
    events.intersects(Events::RDHUP | Events::HUP | Events::ERR) && socket.readable_bytes().unwrap_or(0) == 0
}

fn one_segment(addr: UserAddr, len: usize) -> [Segment; 1] {
    [Segment { addr, len: len.min(MAX_RW_COUNT) }]
}

/// read(2) and readv(2) on a socket.
///
/// # Errors
/// As recv(2).
pub fn read_socket(
    cx: &mut ThreadCx,
    file: &File,
    socket: &dyn Socket,
    segments: &[Segment],
) -> SysResult<usize> {
    if segments.iter().all(|segment| segment.len == 0) {
        return Ok(0);
    }
    Ok(receive(cx, file, socket, segments, RecvArgs::default())?.bytes)
}

/// write(2) and writev(2) on a socket, `SIGPIPE` included.
///
/// # Errors
/// As send(2).
pub fn write_socket(
    cx: &mut ThreadCx,
    file: &File,
    socket: &dyn Socket,
    segments: &[Segment],
) -> SysResult<usize> {
    let flags = if socket.base().kind == SOCK_SEQPACKET { MSG_EOR } else { 0 };
    transmit(cx, file, socket, segments, SendArgs { flags, ..SendArgs::default() })
}

/// sendto(2).
pub fn sendto(
    cx: &mut ThreadCx,
    fd: i32,
    buf: UserAddr,
    len: usize,
    flags: u32,
    addr: UserAddr,
    addrlen: i32,
) -> SysResult<usize> {
    let (file, socket) = socket_at(&cx.task, fd)?;
    let to = if addr.is_null() { None } else { Some(read_address(cx, addr, addrlen)?) };
    let args = SendArgs { to: to.as_deref().filter(|to| !to.is_empty()), flags, ..SendArgs::default() };
    transmit(cx, &file, &*socket, &one_segment(buf, len), args)
}

/// recvfrom(2).
pub fn recvfrom(
    cx: &mut ThreadCx,
    fd: i32,
    buf: UserAddr,
    len: usize,
    flags: u32,
    addr: UserAddr,
    addrlen: UserAddr,
) -> SysResult<usize> {
    let (file, socket) = socket_at(&cx.task, fd)?;
    let args = RecvArgs { flags, ..RecvArgs::default() };
    let got = receive(cx, &file, &*socket, &one_segment(buf, len), args)?;
    if !addr.is_null() {
        let from = got.from.as_ref().map(|from| from.as_bytes()).unwrap_or_default();
        write_address(cx, from, addr, addrlen)?;
    }
    Ok(returned(&got, flags))
}

/// What a receive returns: with `MSG_TRUNC`, the true length of a message.
fn returned(got: &Received, flags: u32) -> usize {
    got.message.filter(|_| flags & MSG_TRUNC != 0).unwrap_or(got.bytes)
}

/// sendmsg(2).
pub fn sendmsg(cx: &mut ThreadCx, fd: i32, msg: UserAddr, flags: u32) -> SysResult<usize> {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (file, socket) = socket_at(&cx.task, fd)?;
    send_message(cx, &file, &*socket, msg, flags)
}

fn send_message(
    cx: &mut ThreadCx,
    file: &File,
    socket: &dyn Socket,
    msg: UserAddr,
    flags: u32,
) -> SysResult<usize> {
    let (header, segments) = MsgHdr::read(cx, msg)?;
    let to = read_address(cx, UserAddr(header.name), header.namelen)?;
    let control = read_control(cx, &header)?;
    let to = Some(to.as_slice()).filter(|to| !to.is_empty());
    transmit(cx, file, socket, &segments, SendArgs { to, flags, control, nonblocking: false })
}

fn read_control(cx: &mut ThreadCx, header: &MsgHdr) -> Result<Vec<ControlMessage>> {
    if header.controllen == 0 || header.control == 0 {
        return Ok(Vec::new());
    }
    if header.controllen > OPTMEM_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut buffer = vec![0; usize::try_from(header.controllen).unwrap_or(0)];
    cx.read_bytes(UserAddr(header.control), &mut buffer)?;
    control::decode(&buffer, &|fd| cx.task.file_or_path(fd))
}

/// recvmsg(2).
pub fn recvmsg(cx: &mut ThreadCx, fd: i32, msg: UserAddr, flags: u32) -> SysResult<usize> {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (file, socket) = socket_at(&cx.task, fd)?;
    receive_message(cx, &file, &*socket, msg, flags)
}

fn receive_message(
    cx: &mut ThreadCx,
    file: &File,
    socket: &dyn Socket,
    msg: UserAddr,
    flags: u32,
) -> SysResult<usize> {
    let (header, segments) = MsgHdr::read(cx, msg)?;
    let args = RecvArgs { flags, want_control: header.controllen > 0, ..RecvArgs::default() };
    let mut got = receive(cx, file, socket, &segments, args)?;
    let room = usize::try_from(header.controllen).unwrap_or(usize::MAX).min(SOCKADDR_STORAGE << 10);
    let room = if header.control == 0 { 0 } else { room };
    let messages = std::mem::take(&mut got.control);
    let (control, truncated) = encode_control(&cx.task, messages, room, flags & MSG_CMSG_CLOEXEC != 0)?;
    if !control.is_empty() {
        cx.write_bytes(UserAddr(header.control), &control)?;
    }
    if header.name != 0 {
        let from = got.from.as_ref().map(|from| from.as_bytes()).unwrap_or_default();
        let fits = usize::try_from(header.namelen).unwrap_or(0).min(from.len());
        if fits > 0 {
            cx.write_bytes(UserAddr(header.name), from.get(..fits).unwrap_or_default())?;
        }
        let len = i32::try_from(from.len()).unwrap_or(i32::MAX);
        cx.write_obj(msg.wrapping_add(NAMELEN_AT), &len)?;
    }
    let out_flags = got.flags | if truncated { MSG_CTRUNC } else { 0 } | flags & MSG_CMSG_CLOEXEC;
    cx.write_obj(msg.wrapping_add(FLAGS_AT), &out_flags)?;
    cx.write_obj(msg.wrapping_add(CONTROLLEN_AT), &(control.len() as u64))?;
    Ok(returned(&got, flags))
}

/// Control messages as bytes; installs the files that came along (`scm_detach_fds`). Also whether something did not fit.
fn encode_control(
    task: &Task,
    messages: Vec<ControlMessage>,
    room: usize,
    close_on_exec: bool,
) -> Result<(Vec<u8>, bool)> {
    let mut buffer = Vec::new();
    let mut truncated = false;
    for message in messages {
        match message {
            ControlMessage::Credentials(creds) => {
                truncated |=
                    control::encode(&mut buffer, room, SOL_SOCKET, SCM_CREDENTIALS, &creds.to_bytes());
            }
            ControlMessage::Other { level, kind, data } => {
                truncated |= control::encode(&mut buffer, room, level, kind, &data);
            }
            ControlMessage::Rights(files) => {
                let fit = control::rights_that_fit(buffer.len(), room);
                let count = files.len();
                let mut numbers = Vec::new();
                for file in files.into_iter().take(fit) {
                    match task.install(file, close_on_exec) {
                        Ok(fd) => numbers.extend_from_slice(&fd.to_ne_bytes()),
                        Err(_) => break,
                    }
                }
                truncated |= numbers.len() / 4 < count;
                if !numbers.is_empty() {
                    control::encode(&mut buffer, room, SOL_SOCKET, SCM_RIGHTS, &numbers);
                }
            }
        }
    }
    Ok((buffer, truncated))
}

/// sendmmsg(2).
pub fn sendmmsg(cx: &mut ThreadCx, fd: i32, msgs: UserAddr, vlen: u32, flags: u32) -> SysResult<usize> {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (file, socket) = socket_at(&cx.task, fd)?;
    let count = usize::try_from(vlen).unwrap_or(usize::MAX).min(UIO_MAXIOV);
    for index in 0..count {
        let at = msgs.wrapping_add(index as u64 * MMSGHDR_SIZE);
        let sent = send_message(cx, &file, &*socket, at, flags);
        let result = sent.and_then(|sent| {
            let sent = u32::try_from(sent).unwrap_or(u32::MAX);
            Ok(cx.write_obj(at.wrapping_add(MSG_LEN_AT), &sent)?)
        });
        if let Err(error) = result {
            return if index > 0 { Ok(index) } else { Err(error) };
        }
    }
    Ok(count)
}

/// recvmmsg(2).
pub fn recvmmsg(
    cx: &mut ThreadCx,
    fd: i32,
    msgs: UserAddr,
    vlen: u32,
    flags: u32,
    timeout: UserAddr,
) -> SysResult<usize> {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let deadline = if timeout.is_null() {
        None
    } else {
        let [sec, nsec]: [i64; 2] = cx.read_obj(timeout)?;
        let sec = u64::try_from(sec).map_err(|_| Errno::EINVAL)?;
        let nsec = u32::try_from(nsec).ok().filter(|nsec| *nsec < 1_000_000_000).ok_or(Errno::EINVAL)?;
        Instant::now().checked_add(Duration::new(sec, nsec))
    };
    let (file, socket) = socket_at(&cx.task, fd)?;
    socket.take_error()?;
    let mut flags = flags;
    let mut count = 0;
    let outcome = loop {
        if count >= usize::try_from(vlen).unwrap_or(usize::MAX) {
            break Ok(());
        }
        let at = msgs.wrapping_add(count as u64 * MMSGHDR_SIZE);
        let got = receive_message(cx, &file, &*socket, at, flags & !MSG_WAITFORONE);
        let result = got.and_then(|bytes| {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            Ok(cx.write_obj(at.wrapping_add(MSG_LEN_AT), &bytes)?)
        });
        if let Err(error) = result {
            break Err(error);
        }
        count += 1;
        if flags & MSG_WAITFORONE != 0 {
            flags |= MSG_DONTWAIT;
        }
        // The timeout is only looked at after a message (recvmmsg(2), BUGS).
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break Ok(());
        }
    };
    if let Some(deadline) = deadline
        && count > 0
    {
        let left = deadline.saturating_duration_since(Instant::now());
        let words = [i64::try_from(left.as_secs()).unwrap_or(i64::MAX), i64::from(left.subsec_nanos())];
        cx.write_obj(timeout, &words)?;
    }
    match outcome {
        Ok(()) => Ok(count),
        Err(error) if count == 0 => Err(error),
        Err(error) => {
            // Reported by the next call.
            if let SysError::Errno(errno) = error
                && errno != Errno::EAGAIN
            {
                socket.base().set_error(errno);
            }
            Ok(count)
        }
    }
}
