//! Handing a stub its reply and waiting for its next request.
//!
//! The words are described in [`super::layout::word`]. A thread that is not looking at its word sleeps in a futex, and only
//! then is it woken; so an idle sandbox makes no wake-ups and a busy one no needless calls.

use std::{
    ops::Range,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use host::futex::{self, Woken};

use super::{
    copies::{Copies, Only},
    deferred::Deferred,
    layout::{event, flag, slot, word},
    ops::{Op, Results},
    pace::Pace,
    slot::Slot,
    space::Space,
};
use crate::{AddressSpace, Errno, Gone, MapError};

/// After this long a stub that does not finish its operations is taken for hostile and killed. The longest that is honest is
/// populating a large mapping.
const OPERATIONS_TIMEOUT: Duration = Duration::from_secs(60);

/// Sleeps until the stub's request is there.
fn wait(slot: &Slot, expected: u32, space: &Space, timeout: Option<Duration>) -> Result<(), Stop> {
    let request = slot.request();
    let deadline = timeout.map(|t| Instant::now() + t);
    let mut seen = request.load(Ordering::Acquire);
    loop {
        if space.is_dead() {
            return Err(Stop::Gone);
        }
        if seen == expected {
            return Ok(());
        }
        if let Err(now) = request.compare_exchange(seen, word::ASLEEP, Ordering::SeqCst, Ordering::SeqCst) {
            seen = now;
            continue;
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if futex::wait(request, word::ASLEEP, left) == Woken::Timeout {
            return Err(Stop::Timeout);
        }
        seen = request.load(Ordering::Acquire);
    }
}

/// Why a wait ended without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Gone,
    Timeout,
}

/// How a guest is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// From the signal frame whose ucontext is at this address.
    Frame(u64),
    /// From a patched call, with the registers in the slot.
    Fast { set_fs: bool },
    /// The same, with the registers as the guest left them there but for the call's result.
    Call,
}

/// A stub thread, as its sentry thread sees it. It is stopped in its shim except between [`Stub::resume`] and its return.
#[derive(Debug)]
pub(super) struct Stub {
    pub(super) slot: Slot,
    /// The request that is expected: one of two, in turn, so that nobody has to take the last one away.
    expected: u32,
    /// The thread was born with a first reply in its slot and has not been heard of yet.
    newborn: bool,
    /// Nothing was handed to the thread yet, and this is what it has to do before anything else.
    first: Option<Vec<Op>>,
    pub(super) pace: Pace,
    pub(super) copies: Copies,
    pub(super) deferred: Deferred,
}

/// How a resumption ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// The guest ran until its next trap.
    Trapped,
    /// A deferred change failed, so the guest has not run.
    Refused(Errno),
}

impl Stub {
    /// The thread that is born into `slot`, whose first reply is posted. Affinity is inherited from the parent.
    pub(super) fn newborn(slot: Slot, tid: i32, parent: Option<&Pace>) -> Stub {
        Stub { newborn: true, first: None, ..Stub::waiting(slot, tid, parent, Vec::new()) }
    }

    /// The thread that is born into `slot` and waits there for its first reply, which is to begin with `first`.
    pub(super) fn waiting(slot: Slot, tid: i32, parent: Option<&Pace>, first: Vec<Op>) -> Stub {
        Stub {
            slot,
            expected: word::POSTED,
            newborn: false,
            first: Some(first),
            pace: Pace::new(tid, parent),
            copies: Copies::default(),
            deferred: Deferred::default(),
        }
    }

    /// Whether nothing was handed to the thread yet.
    pub(super) fn is_new(&self) -> bool {
        self.first.is_some()
    }

    /// Waits until a new thread has taken a first reply that was posted before it was born.
    pub(super) fn settle(&mut self, space: &Space) -> Result<(), Gone> {
        if self.newborn {
            self.wait_for_operations(space)?;
            self.newborn = false;
        }
        Ok(())
    }

    /// Waits for the end of operations.
    fn wait_for_operations(&self, space: &Space) -> Result<(), Gone> {
        wait(&self.slot, self.expected, space, Some(OPERATIONS_TIMEOUT)).map_err(|stop| {
            if stop == Stop::Timeout {
                log::warn!("stub {} does not answer; killing it", space.pid());
                space.kill();
            }
            Gone
        })?;
        if self.slot.get32(slot::SIGNO) != 0 {
            // The shim itself faulted: the guest took its slot or its code away.
            space.kill();
            return Err(Gone);
        }
        Ok(())
    }

    /// Posts the reply that is in the slot.
    fn post(&mut self) {
        self.expected ^= word::POSTED ^ word::POSTED_AGAIN;
        self.slot.set32(slot::NEXT, self.expected);
        if self.slot.reply().swap(word::POSTED, Ordering::SeqCst) == word::ASLEEP {
            futex::wake(self.slot.reply(), 1);
        }
    }

    /// Hands `ops` to the stub without waiting. [`Stub::finish`] must follow.
    pub(super) fn begin(&mut self, space: &Space, ops: &[Op]) -> Result<(), Gone> {
        self.settle(space)?;
        self.slot.set_ops(ops, 0);
        self.post();
        Ok(())
    }

    /// Waits for the end of the `count` operations given to [`Stub::begin`].
    pub(super) fn finish(&mut self, space: &Space, count: usize) -> Result<Results, Gone> {
        let cpus = &space.shared.cpus;
        if !self.pace.poll_for_operations(cpus, &self.slot, self.expected) {
            self.wait_for_operations(space)?;
        }
        Ok(self.slot.results(count))
    }

    /// Runs the writes that wait, the deferred operations and then `ops` in the stub. Nobody can be told of a deferred change that
    /// fails here: it ends the process, as Linux ends one when memory is short.
    pub(super) fn run(&mut self, space: &Space, ops: &[Op]) -> Result<Results, Gone> {
        let mut all = self.first.take().unwrap_or_default();
        all.extend(self.copies.take_writes(&self.slot));
        let deferred = self.deferred.append_to(&mut all);
        if all.len() + ops.len() > slot::OPS_MAX {
            self.run_list(space, &all, deferred)?;
            return self.run_list(space, ops, 0..0);
        }
        let before = all.len();
        all.extend_from_slice(ops);
        Ok(self.run_list(space, &all, deferred)?.from(before))
    }

    fn run_list(&mut self, space: &Space, list: &[Op], deferred: Range<usize>) -> Result<Results, Gone> {
        self.settle(space)?;
        self.pace.before_operations(&space.shared.cpus, &self.slot);
        self.begin(space, list)?;
        let results = self.finish(space, list.len())?;
        if let Some(errno) = self.deferred.failed(&results, deferred) {
            log::warn!("stub {}: a deferred change failed: {errno}", space.pid());
            space.kill();
            return Err(Gone);
        }
        Ok(results)
    }

    /// Runs what waits for the next hand-over, if anything does. Failures are as with [`Stub::run`].
    pub(super) fn run_waiting(&mut self, space: &Space) -> Result<(), Gone> {
        if self.is_at_rest() { Ok(()) } else { self.run(space, &[]).map(drop) }
    }

    /// Whether the thread waits for a reply and nothing waits for it.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.newborn && self.first.is_none() && self.deferred.is_empty() && !self.copies.has_writes()
    }

    /// Runs the writes that wait and the deferred operations.
    pub(super) fn run_deferred(&mut self, space: &Space) -> Result<(), MapError> {
        let mut all = self.first.take().unwrap_or_default();
        all.extend(self.copies.take_writes(&self.slot));
        let deferred = self.deferred.append_to(&mut all);
        let results = self.run_list(space, &all, 0..0)?;
        self.deferred.failed(&results, deferred).map_or(Ok(()), |errno| Err(MapError::Refused(errno)))
    }

    /// Makes a signal frame for a thread that is stopped in a patched call.
    pub(super) fn upgrade(&mut self, space: &Space) -> Result<(), Gone> {
        self.slot.set_ops(&[], flag::UPGRADE);
        self.post();
        let made = if self.pace.poll_for_operations(&space.shared.cpus, &self.slot, self.expected) {
            Ok(())
        } else {
            wait(&self.slot, self.expected, space, Some(OPERATIONS_TIMEOUT))
        };
        match made {
            Ok(()) if self.slot.get32(slot::SIGNO) == event::UPGRADED => Ok(()),
            _ => {
                space.kill();
                Err(Gone)
            }
        }
    }

    /// Runs `ops`, the writes that wait and the deferred operations, returns to the guest and waits for its next trap.
    pub(super) fn resume(&mut self, space: &Space, ops: Vec<Op>, how: Resume) -> Result<Resumed, Gone> {
        self.settle(space)?;
        let flags = match how {
            Resume::Frame(at) => {
                self.slot.set64(slot::RESUME_AT, at);
                flag::RESUME
            }
            Resume::Call => flag::RESUME | flag::FAST | flag::RESULT,
            Resume::Fast { set_fs: false } => flag::RESUME | flag::FAST,
            Resume::Fast { set_fs: true } => flag::RESUME | flag::FAST | flag::SET_FS,
        };
        let mut all = ops;
        all.append(&mut self.first.take().unwrap_or_default());
        let alone = how == Resume::Call && all.is_empty() && self.deferred.is_empty();
        let deferred = if let Some(only) = alone.then(|| self.copies.take_only_write()).flatten() {
            let (words, here) = match only {
                Only::There { to, len, from } => ([to, len, from, 0], 0),
                Only::Here { to, len, data: [first, second] } => ([to, len, first, second], flag::HERE),
            };
            self.slot.set_words(slot::RESUME_AT, &words);
            self.slot.set_ops(&[], flags | flag::COPY | here);
            0..0
        } else {
            all.extend(self.copies.take_writes(&self.slot));
            let deferred = self.deferred.append_to(&mut all);
            self.slot.set_ops(&all, flags);
            deferred
        };
        let cpus = &space.shared.cpus;
        self.pace.before(cpus, &self.slot);
        self.post();
        self.pace.posted(cpus);
        let result = self.wait_for_trap(space);
        self.pace.after(cpus, &self.slot);
        result?;
        if deferred.is_empty() || self.slot.get32(slot::SIGNO) != 0 {
            return Ok(Resumed::Trapped);
        }
        let results = self.slot.results(all.len());
        Ok(self.deferred.failed(&results, deferred).map_or(Resumed::Trapped, Resumed::Refused))
    }

    /// Waits for the guest's next trap.
    fn wait_for_trap(&mut self, space: &Space) -> Result<(), Gone> {
        let cpus = &space.shared.cpus;
        if self.pace.poll(cpus, &self.slot, self.expected) {
            return Ok(());
        }
        match wait(&self.slot, self.expected, space, self.pace.patience()) {
            Err(Stop::Timeout) => self.pace.long_run(cpus),
            result => return result.map_err(|_| Gone),
        }
        wait(&self.slot, self.expected, space, None).map_err(|_| Gone)
    }

    /// Ends the thread.
    pub(super) fn exit(&mut self, space: &Space) {
        if self.settle(space).is_ok() {
            let mut last = self.first.take().unwrap_or_default();
            self.deferred.append_to(&mut last);
            self.slot.set_ops(&last, flag::EXIT);
            self.post();
        }
    }
}
