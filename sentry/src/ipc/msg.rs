//! Message queues (`ipc/msg.c`).

use std::collections::VecDeque;

use linux_abi::{
    Errno, Result,
    ipc::{IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MSG_NOERROR, MSGMAX, MSGMNB, MSGMNI, Msginfo, MsqidDs},
};

use super::{
    Name, Perm, now,
    table::{Get, Object, Table},
};
use crate::{
    credentials::Caps,
    error::{RestartKind, SysResult},
    kernel::Kernel,
    task::{Pid, Task},
    wait::{Events, WaitQueue},
};

/// The most bytes that all queues may hold, with what each message costs besides its text: memory of the sentry.
const MAX_BYTES: usize = 64 << 20;
const MESSAGE_COST: usize = 64;

/// All queues.
#[derive(Default)]
pub struct Queues {
    table: Table<Queue>,
    /// What all queues hold.
    bytes: usize,
}

/// A queue.
pub struct Queue {
    perm: Perm,
    messages: VecDeque<Message>,
    /// Bytes in it, and how many there may be.
    bytes: usize,
    limit: usize,
    sent: i64,
    received: i64,
    changed: i64,
    sender: Pid,
    receiver: Pid,
    /// Announces messages, room and the removal.
    events: WaitQueue,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: i64,
    pub text: Vec<u8>,
}

impl Object for Queue {
    fn perm(&self) -> &Perm {
        &self.perm
    }

    fn perm_mut(&mut self) -> &mut Perm {
        &mut self.perm
    }
}

impl Queue {
    /// Where the message is that a receiver with these arguments wants.
    fn find(&self, kind: i64, flags: i32) -> Option<usize> {
        if flags & MSG_COPY != 0 {
            return usize::try_from(kind).ok().filter(|&at| at < self.messages.len());
        }
        match kind {
            0 => (!self.messages.is_empty()).then_some(0),
            1.. => self.messages.iter().position(|m| (m.kind == kind) == (flags & MSG_EXCEPT == 0)),
            // The lowest type up to the given one, the oldest among equals.
            _ => {
                let most = i64::try_from(kind.unsigned_abs()).unwrap_or(i64::MAX);
                let fits = |(_, message): &(usize, &Message)| message.kind <= most;
                let lowest =
                    self.messages.iter().enumerate().filter(fits).min_by_key(|(at, m)| (m.kind, *at));
                lowest.map(|(at, _)| at)
            }
        }
    }

    /// The line of /proc/sysvipc/msg.
    pub(super) fn show(&self, id: i32) -> String {
        let Perm { key, uid, gid, cuid, cgid, mode, .. } = self.perm;
        format!(
            "{key:10} {id:10}  {mode:4o}  {:10} {:10} {:5} {:5} {uid:5} {gid:5} {cuid:5} {cgid:5} {:10} {:10} {:10}\n",
            self.bytes,
            self.messages.len(),
            self.sender,
            self.receiver,
            self.sent,
            self.received,
            self.changed,
        )
    }
}

impl Queues {
    /// All queues.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, &Queue)> {
        self.table.iter()
    }
}

/// msgget(2).
///
/// # Errors
/// Those of msgget(2).
pub fn get(task: &Task, key: i32, flags: i32) -> Result<i32> {
    let creds = task.creds();
    let mut queues = task.kernel.ipc.msg.lock();
    if let Get::Found(id) = queues.table.get(key, flags, &creds, |_| Ok(()))? {
        return Ok(id);
    }
    let queue = Queue {
        perm: Perm::new(task, key, flags),
        messages: VecDeque::new(),
        bytes: 0,
        limit: usize::try_from(MSGMNB).unwrap_or(0),
        sent: 0,
        received: 0,
        changed: now(),
        sender: 0,
        receiver: 0,
        events: WaitQueue::new(),
    };
    queues.table.add(queue, usize::try_from(MSGMNI).unwrap_or(0))
}

fn events_of(task: &Task, id: i32) -> Result<WaitQueue> {
    Ok(task.kernel.ipc.msg.lock().table.find(id)?.events.clone())
}

/// msgsnd(2), its message copied in.
///
/// # Errors
/// Those of msgsnd(2).
pub fn send(task: &Task, id: i32, message: Message, flags: i32) -> SysResult<()> {
    let events = events_of(task, id)?;
    let mut message = Some(message);
    let mut slept = false;
    let attempt = || {
        let mut guard = task.kernel.ipc.msg.lock();
        let queues = &mut *guard;
        let total = queues.bytes;
        let queue = queues.table.find(id).map_err(|errno| if slept { Errno::EIDRM } else { errno })?;
        queue.perm.check(&task.creds(), 0o222)?;
        let length = message.as_ref().map_or(0, |message| message.text.len());
        if queue.bytes + length > queue.limit || queue.messages.len() + 1 > queue.limit {
            slept = true;
            return if flags & IPC_NOWAIT != 0 { Ok(Err(Errno::EAGAIN)) } else { Err(Errno::EAGAIN) };
        }
        if total + length + MESSAGE_COST > MAX_BYTES {
            return Err(Errno::ENOMEM);
        }
        if let Some(message) = message.take() {
            queue.messages.push_back(message);
        }
        queue.bytes += length;
        queue.sender = task.pid();
        queue.sent = now();
        queue.events.wake(Events::IN);
        queues.bytes = total + length + MESSAGE_COST;
        Ok(Ok(()))
    };
    let done = task
        .block_on(&events, Events::OUT, None, attempt)
        .map_err(|error| error.or_restart(RestartKind::NoHand, Errno::EAGAIN))?;
    Ok(done?)
}

/// msgrcv(2): the message, cut to `size`.
///
/// # Errors
/// Those of msgrcv(2).
pub fn receive(task: &Task, id: i32, size: usize, kind: i64, flags: i32) -> SysResult<Message> {
    if flags & MSG_COPY != 0 && (flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0) {
        return Err(Errno::EINVAL.into());
    }
    let events = events_of(task, id)?;
    let mut slept = false;
    let attempt = || {
        let mut guard = task.kernel.ipc.msg.lock();
        let queues = &mut *guard;
        let queue = queues.table.find(id).map_err(|errno| if slept { Errno::EIDRM } else { errno })?;
        queue.perm.check(&task.creds(), 0o444)?;
        let Some(at) = queue.find(kind, flags) else {
            slept = true;
            return if flags & IPC_NOWAIT != 0 { Ok(Err(Errno::ENOMSG)) } else { Err(Errno::EAGAIN) };
        };
        let length = queue.messages.get(at).map_or(0, |message| message.text.len());
        if length > size && flags & MSG_NOERROR == 0 {
            return Err(Errno::E2BIG);
        }
        let mut message = if flags & MSG_COPY != 0 {
            queue.messages.get(at).cloned().ok_or(Errno::ENOMSG)?
        } else {
            let message = queue.messages.remove(at).ok_or(Errno::ENOMSG)?;
            queue.bytes = queue.bytes.saturating_sub(length);
            queue.receiver = task.pid();
            queue.received = now();
            queue.events.wake(Events::OUT);
            queues.bytes = queues.bytes.saturating_sub(length + MESSAGE_COST);
            message
        };
        message.text.truncate(size);
        Ok(Ok(message))
    };
    let done = task
        .block_on(&events, Events::IN, None, attempt)
        .map_err(|error| error.or_restart(RestartKind::NoHand, Errno::EAGAIN))?;
    Ok(done?)
}

/// `IPC_STAT`, `MSG_STAT`, `MSG_STAT_ANY`: also the identifier.
///
/// # Errors
/// `EINVAL`, `EACCES`.
pub fn stat(task: &Task, name: Name) -> Result<(i32, MsqidDs)> {
    let mut queues = task.kernel.ipc.msg.lock();
    let (id, queue) = queues.table.look_at(name, &task.creds())?;
    let stat = MsqidDs {
        msg_perm: queue.perm.to_abi(),
        msg_stime: queue.sent,
        msg_rtime: queue.received,
        msg_ctime: queue.changed,
        msg_cbytes: queue.bytes as u64,
        msg_qnum: queue.messages.len() as u64,
        msg_qbytes: queue.limit as u64,
        msg_lspid: queue.sender,
        msg_lrpid: queue.receiver,
        ..MsqidDs::default()
    };
    Ok((id, stat))
}

/// `IPC_SET`.
///
/// # Errors
/// `EINVAL`, `EPERM`.
pub fn set(task: &Task, id: i32, from: &MsqidDs) -> Result<()> {
    let creds = task.creds();
    let mut queues = task.kernel.ipc.msg.lock();
    let queue = queues.table.find_owned(id, &creds)?;
    if from.msg_qbytes > u64::from(MSGMNB.unsigned_abs()) && !creds.capable(Caps::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    queue.perm.update(&from.msg_perm)?;
    queue.limit = usize::try_from(from.msg_qbytes).unwrap_or(usize::MAX).min(MAX_BYTES);
    queue.changed = now();
    // More may fit now, and others may use it or no longer.
    queue.events.wake(Events::IN | Events::OUT);
    Ok(())
}

/// `IPC_RMID`.
///
/// # Errors
/// `EINVAL`, `EPERM`.
pub fn remove(task: &Task, id: i32) -> Result<()> {
    let mut queues = task.kernel.ipc.msg.lock();
    queues.table.find_owned(id, &task.creds())?;
    let queue = queues.table.remove(id)?;
    queues.bytes = queues.bytes.saturating_sub(queue.bytes + queue.messages.len() * MESSAGE_COST);
    drop(queues);
    queue.events.wake(Events::IN | Events::OUT);
    Ok(())
}

/// `IPC_INFO` (limits) and `MSG_INFO` (limits and usage), and the highest place in use.
pub fn info(kernel: &Kernel, usage: bool) -> (i32, Msginfo) {
    let mut queues = kernel.ipc.msg.lock();
    let number = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
    let mut info = Msginfo {
        msgpool: MSGMNI * (MSGMNB / 1024),
        msgmap: MSGMNB,
        msgmax: MSGMAX,
        msgmnb: MSGMNB,
        msgmni: MSGMNI,
        msgssz: 16,
        msgtql: MSGMNB,
        msgseg: 0xffff,
        ..Msginfo::default()
    };
    if usage {
        info.msgpool = number(queues.table.count());
        info.msgmap = number(queues.table.iter().map(|(_, queue)| queue.messages.len()).sum());
        info.msgtql = number(queues.table.iter().map(|(_, queue)| queue.bytes).sum());
    }
    (queues.table.highest(), info)
}
