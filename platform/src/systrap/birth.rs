//! How stub processes and threads are born.
//!
//! A stub process is always a `clone(CLONE_PARENT)` made by another stub: by the zygote for a fresh one, by the forking
//! guest's own thread for a copy. The parent maps the child's unit of slots next to its own, clones with the stack pointer in
//! the child's slot, and unmaps it again. The child waits in its slot. The first list of operations that it gets takes the
//! parent's units away; that of a fork is handed to it with whatever is to be done there next.
//!
//! # Trust
//! The parent of a fork may be hostile, and the child's process number comes out of its slot. [`Birth::complete`] accepts the
//! number only if that process is a child of the sentry, not known by another name, and maps the child's slot at its address:
//! only descendants of the parent can. What a hostile parent can do is keep a hand in its *own* child. An execve that raises
//! guest privileges must therefore move to a fresh process.

use std::{
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    sync::atomic::Ordering,
};

use host::process::{Children, WaitMode};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socketpair};

use super::{
    filter::{FORK_FLAGS, THREAD_FLAGS},
    frame::Frame,
    handover::Stub,
    layout::{self, UNIT_LEN, slot, word},
    ops::{Op, Results},
    pace::Pace,
    patch::Patches,
    slot::Slot,
    space::{Idle, Space},
    spare::Spare,
    unit::{Unit, lock},
};
use crate::{Errno, PageRange, Prot};

/// The descriptor of a stub's private socket.
const SOCKET: i32 = 0;
/// The first descriptor that a stub receives: the lowest free number.
pub(super) const FIRST: i32 = 1;
const SECOND: i32 = 2;

/// Offsets in a slot's data area of what `recvmsg` needs.
const MSGHDR: usize = slot::DATA;
const IOVEC: usize = slot::DATA + 64;
const BYTE: usize = slot::DATA + 80;
const CONTROL: usize = slot::DATA + 128;
const CONTROL_LEN: u64 = 64;
/// Where a slot keeps the processor time that its host thread had used before it became this guest thread.
pub(super) const START_TIME: usize = slot::DATA + 0x280;

/// The operation that receives descriptors which the sentry has sent already.
pub(super) fn receive(slot: &Slot) -> Op {
    // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
    slot.set_words(MSGHDR, &[0, 0, slot.guest(IOVEC), 1, slot.guest(CONTROL), CONTROL_LEN, 0]);
    slot.set_words(IOVEC, &[slot.guest(BYTE), 1]);
    let flags = libc::MSG_DONTWAIT.cast_unsigned().into();
    Op::new(libc::SYS_recvmsg, [SOCKET.cast_unsigned().into(), slot.guest(MSGHDR), flags, 0, 0, 0]).or_stop()
}

/// The operation that maps the unit received as [`FIRST`].
fn map_unit(address: u64) -> Result<Op, Errno> {
    let range = PageRange::covering(address, UNIT_LEN).ok_or(Errno::EINVAL)?;
    let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE;
    Ok(Op::mmap(range, Prot::READ.with(Prot::WRITE), flags, FIRST, 0))
}

/// `clone(2)`; its result is at `CLONE` in the list of [`Birth::ops`].
fn clone(flags: u32, stack: u64) -> Op {
    Op::new(libc::SYS_clone, [flags.into(), stack, 0, 0, 0, 0])
}

/// Which result of [`Birth::ops`] is the child's process number.
const CLONE: usize = 2;

/// A process that is being born.
#[derive(Debug)]
pub(super) struct Birth {
    unit: Unit,
    slot: Slot,
    socket: OwnedFd,
    nonce: u64,
    /// The frame that the child will return from.
    pub(super) frame: Frame,
    /// For the parent to run.
    pub(super) ops: Vec<Op>,
    /// For the child to run, if they are not in its slot already.
    first: Option<Vec<Op>>,
}

/// When a child does what it has to do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// When it is born, though nobody needs it yet.
    AtOnce,
    /// With what is asked of it first.
    WhenUsed,
}

impl Birth {
    /// Prepares a child of `parent`, whose thread at `slot` is stopped in `frame`. The caller holds `parent.files`.
    pub(super) fn prepare(
        parent: &Space,
        at: &Slot,
        frame: Option<&Frame>,
        begin: Begin,
    ) -> Result<Birth, Errno> {
        let shared = &parent.shared;
        let Spare { mut unit, memory, ours, theirs } = shared.spares.take(&shared.addresses)?;
        let slot = unit.take_slot().ok_or(Errno::EAGAIN)?;
        let nonce = shared.next_serial();
        slot.prepare(shared.features, nonce);
        slot.set_words(START_TIME, &[0, 0]);
        let frame =
            frame.map_or(Frame::made_up(&shared.xstate), |frame| frame.copy(at, &slot, &shared.xstate));

        let socket = SOCKET.cast_unsigned().into();
        let mut first = vec![Op::new(libc::SYS_dup2, [SECOND.cast_unsigned().into(), socket, 0, 0, 0, 0])];
        first.extend([Op::close(SECOND), Op::close(FIRST)]);
        first.extend(shared.config.die_with_creator.then(Op::die_with_sentry));
        let (below, above) = (unit.address(), unit.address() + UNIT_LEN);
        let end = layout::REGION + layout::REGION_LEN;
        first.extend([Op::munmap(layout::UNITS, below - layout::UNITS), Op::munmap(above, end - above)]);
        let first = match begin {
            Begin::AtOnce => {
                slot.set_ops(&first, 0);
                slot.reply().store(word::POSTED, Ordering::Release);
                None
            }
            Begin::WhenUsed => {
                slot.reply().store(word::EMPTY, Ordering::Release);
                Some(first)
            }
        };

        send(parent, &[memory.as_fd(), theirs.as_fd()])?;
        let ops = vec![
            receive(at),
            map_unit(unit.address())?.or_stop(),
            clone(FORK_FLAGS, slot.guest(frame.stack_below())),
            Op::close(FIRST),
            Op::close(SECOND),
            Op::munmap(unit.address(), UNIT_LEN),
        ];
        Ok(Birth { unit, slot, socket: ours, nonce, frame, ops, first })
    }

    /// Checks what the parent says and enters the new process. `pace` is the forking thread's, `patches` what is known of the
    /// memory's call sites.
    pub(super) fn complete(
        self,
        parent: &Space,
        results: &Results,
        pace: Option<&Pace>,
        patches: Patches,
    ) -> Result<(Arc<Space>, Stub, Frame), Errno> {
        let pid = i32::try_from(results.get(CLONE)?).map_err(|_| Errno::EAGAIN)?;
        let mut nonce = [0; 8];
        let at = self.slot.guest(slot::NONCE);
        let read = host::process::read_memory(pid, at, &mut nonce).map_err(|_| Errno::EAGAIN)?;
        if read != nonce.len() || u64::from_le_bytes(nonce) != self.nonce {
            return Err(Errno::EAGAIN);
        }
        let mappings = parent.mappings.inherited();
        let space = Space::new(&parent.shared, pid, self.unit, self.socket, mappings, patches);
        parent.shared.register(&space)?;
        match host::process::wait(Children::Pid(pid), WaitMode::Poll) {
            Ok(None) => {}
            _ => return Err(Errno::EAGAIN),
        }
        let stub = match self.first {
            None => Stub::newborn(self.slot, pid, pace),
            Some(first) => Stub::waiting(self.slot, pid, pace, first),
        };
        Ok((space, stub, self.frame))
    }
}

/// A new thread of the process of `parent`, which is stopped in `frame`: its thread number, stub and frame.
pub(super) fn thread(space: &Space, parent: &mut Stub, frame: &Frame) -> Result<(i32, Stub, Frame), Errno> {
    if let Some(again) = again(space, parent, frame) {
        return Ok(again);
    }
    let shared = &space.shared;
    let _files = lock(&space.files);
    let mut ops = Vec::new();
    let mut unit = None;
    let slot = match space.take_slot() {
        Some(slot) => slot,
        None => {
            let (mut new, file) = Unit::new(&shared.addresses)?;
            let slot = new.take_slot().ok_or(Errno::EAGAIN)?;
            send(space, &[file.as_fd()])?;
            ops.extend([receive(&parent.slot), map_unit(new.address())?.or_stop(), Op::close(FIRST)]);
            unit = Some(new);
            slot
        }
    };
    slot.prepare(shared.features, 0);
    slot.set_words(START_TIME, &[0, 0]);
    let born = frame.copy(&parent.slot, &slot, &shared.xstate);
    slot.reply().store(word::EMPTY, Ordering::Release);
    ops.push(clone(THREAD_FLAGS, slot.guest(born.stack_below())));

    let results = parent.run(space, &ops).map_err(|_| Errno::EAGAIN)?;
    if let Some(unit) = unit {
        results.get(1)?;
        space.add_unit(unit);
    }
    let tid = results.get(ops.len() - 1).and_then(|tid| i32::try_from(tid).map_err(|_| Errno::EAGAIN));
    match tid.and_then(|tid| if is_ours(space, tid) { Ok(tid) } else { Err(Errno::EAGAIN) }) {
        Ok(tid) => {
            space.threads.fetch_add(1, Ordering::Relaxed);
            Ok((tid, Stub::waiting(slot, tid, Some(&parent.pace), Vec::new()), born))
        }
        Err(error) => {
            // No thread will use the slot, or none that is known.
            slot.request().store(word::EXITING, Ordering::Release);
            space.leave_slot(&slot);
            Err(error)
        }
    }
}

/// Only a thread of this process may be taken for this thread.
fn is_ours(space: &Space, tid: i32) -> bool {
    matches!(space.with_pid(|pid| host::process::tgkill(pid, tid, 0)), Ok(Ok(())))
}

/// Makes the new thread of one that waits in its slot, as [`thread`].
fn again(space: &Space, parent: &mut Stub, frame: &Frame) -> Option<(i32, Stub, Frame)> {
    let Idle { tid, slot, pace } = space.take_idle()?;
    // What the parent has asked for must have happened before the child looks.
    if !is_ours(space, tid) || parent.run_waiting(space).is_err() {
        return None;
    }
    slot.prepare(space.shared.features, 0);
    let born = frame.copy(&parent.slot, &slot, &space.shared.xstate);
    space.threads.fetch_add(1, Ordering::Relaxed);
    let first = vec![thread_clock(slot.guest(START_TIME))];
    Some((tid, Stub::waiting(slot, tid, Some(&pace), first), born))
}

/// The operation that writes the thread's processor time to `at`.
pub(super) fn thread_clock(at: u64) -> Op {
    Op::new(libc::SYS_clock_gettime, [libc::CLOCK_THREAD_CPUTIME_ID.cast_unsigned().into(), at, 0, 0, 0, 0])
}

/// A new private socket of a process: our end and its end.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(|error| Errno::from_raw(error as i32))
}

/// Sends descriptors to a process, for [`receive`].
pub(super) fn send(space: &Space, files: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let data = [IoSlice::new(b"f")];
    let sent = host::fdpass::send(space.socket()?, &data, files, MsgFlags::MSG_DONTWAIT);
    sent.map(drop).map_err(|error| Errno::from_raw(error as i32))
}
