//! A stub process: one guest address space.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    deferred::Mappings,
    pace::Pace,
    patch::{Hints, Patches},
    reaper::Shared,
    slot::Slot,
    unit::{Unit, lock},
};
use crate::{AccessFault, AddressSpace, Errno, Gone, UserAddr};

/// The most host threads of a process that wait to be used again.
const MAX_IDLE: usize = 4;

/// A host thread that waits in its slot to become another guest thread: to end one and start one costs more.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) tid: i32,
    pub(super) slot: Slot,
    pub(super) pace: Pace,
}

/// A stub process.
///
/// Lock order: `files`, then `units`, then `alive`; `patches`, then `running`. `idle` is a leaf.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) shared: Arc<Shared>,
    pid: i32,
    /// Set once the process has ended. Waits look at it; whoever uses `pid` takes `alive` instead.
    dead: AtomicBool,
    killed: AtomicBool,
    /// Whether `pid` is this process. Held for reading while the number is used, so that it cannot be reaped and reused
    /// in between.
    alive: RwLock<bool>,
    units: Mutex<Vec<Unit>>,
    /// Our end of the process's private socket.
    socket: Option<OwnedFd>,
    /// Held while a list of operations receives descriptors: the process's threads share their numbers.
    pub(super) files: Mutex<()>,
    /// How many contexts there are.
    pub(super) threads: AtomicUsize,
    pub(super) mappings: Mappings,
    /// Host threads whose guest threads have ended.
    idle: Mutex<Vec<Idle>>,
    pub(super) patches: Mutex<Patches>,
    pub(super) hints: Hints,
    /// By slot: whether the thread there runs guest code.
    running: Mutex<HashMap<u64, Arc<AtomicBool>>>,
}

impl Space {
    pub(super) fn new(
        shared: &Arc<Shared>,
        pid: i32,
        unit: Unit,
        socket: OwnedFd,
        mappings: Mappings,
        patches: Patches,
    ) -> Arc<Space> {
        Arc::new(Space {
            shared: Arc::clone(shared),
            pid,
            dead: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            alive: RwLock::new(true),
            units: Mutex::new(vec![unit]),
            socket: Some(socket),
            files: Mutex::new(()),
            threads: AtomicUsize::new(1),
            mappings,
            idle: Mutex::default(),
            hints: Hints::of(&patches),
            patches: Mutex::new(patches),
            running: Mutex::default(),
        })
    }

    /// Our end of the process's private socket.
    pub(super) fn socket(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.socket.as_ref().map(AsFd::as_fd).ok_or(Errno::ESRCH)
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Runs `f` with the process number, which stays this process's meanwhile.
    pub(super) fn with_pid<T>(&self, f: impl FnOnce(i32) -> T) -> Result<T, Gone> {
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        if *alive { Ok(f(self.pid)) } else { Err(Gone) }
    }

    /// Called by the reaper when the process has ended: runs `reap`, after which the number may be reused.
    pub(super) fn end(&self, reap: impl FnOnce()) {
        self.dead.store(true, Ordering::SeqCst);
        let mut alive = self.alive.write().unwrap_or_else(PoisonError::into_inner);
        *alive = false;
        reap();
        drop(alive);
        for unit in &*lock(&self.units) {
            unit.mark_gone();
        }
    }

    /// Enters a thread. The flag is for it to set while it runs guest code.
    pub(super) fn enter_thread(&self, slot: &Slot) -> Arc<AtomicBool> {
        let flag = Arc::<AtomicBool>::default();
        lock(&self.running).insert(slot.address(), Arc::clone(&flag));
        flag
    }

    /// Removes a thread.
    pub(super) fn leave_thread(&self, slot: &Slot) {
        lock(&self.running).remove(&slot.address());
        lock(&self.patches).stopped(slot);
    }

    /// The slots of the threads that run guest code.
    pub(super) fn running(&self) -> Vec<u64> {
        let running = lock(&self.running);
        running.iter().filter(|(_, flag)| flag.load(Ordering::SeqCst)).map(|(slot, _)| *slot).collect()
    }

    /// A free slot in a unit that is mapped already.
    pub(super) fn take_slot(&self) -> Option<Slot> {
        lock(&self.units).iter_mut().find_map(Unit::take_slot)
    }

    /// Gives back the slot of a thread that was told to exit.
    pub(super) fn leave_slot(&self, slot: &Slot) {
        for unit in &mut *lock(&self.units) {
            unit.leave_slot(slot.address());
        }
    }

    /// Keeps a host thread that waits in its slot. `false`: there are enough.
    pub(super) fn keep(&self, thread: Idle) -> bool {
        let mut idle = lock(&self.idle);
        let room = idle.len() < MAX_IDLE;
        if room {
            idle.push(thread);
        }
        room
    }

    /// A host thread that waits in its slot: the one that came last, whose memory is warm.
    pub(super) fn take_idle(&self) -> Option<Idle> {
        lock(&self.idle).pop()
    }

    /// Adds a unit that the process has mapped.
    pub(super) fn add_unit(&self, unit: Unit) {
        let mut units = lock(&self.units);
        if self.is_dead() {
            unit.mark_gone();
        }
        units.push(unit);
    }
}

impl AddressSpace for Space {
    fn read(&self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let from = at.checked_add(done as u64).ok_or(AccessFault { done })?;
            match self.with_pid(|pid| host::process::read_memory(pid, from.0, rest)) {
                Ok(Ok(n)) if n > 0 => done += n,
                _ => return Err(AccessFault { done }),
            }
        }
        Ok(())
    }

    fn write(&self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault> {
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let to = at.checked_add(done as u64).ok_or(AccessFault { done })?;
            match self.with_pid(|pid| host::process::write_memory(pid, to.0, rest)) {
                Ok(Ok(n)) if n > 0 => done += n,
                _ => return Err(AccessFault { done }),
            }
        }
        Ok(())
    }

    fn cpu_time(&self) -> Duration {
        self.with_pid(host::process::cpu_time).ok().and_then(Result::ok).unwrap_or_default()
    }

    fn resident(&self) -> u64 {
        0
    }

    fn kill(&self) {
        if !self.killed.swap(true, Ordering::Relaxed) {
            // An error means that it has ended already.
            let _ = self.with_pid(|pid| {
                self.shared.cpus.release(pid);
                host::process::kill(pid, libc::SIGKILL)
            });
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // Before the process ends: the reaper looks after that. Where it watches each process by itself, it does nothing else.
        if !self.is_dead()
            && self.shared.may_park
            && let Some(socket) = self.socket.take()
        {
            let units = self.units.get_mut().unwrap_or_else(PoisonError::into_inner);
            self.shared.spares.leave(std::mem::take(units), socket);
        }
        self.kill();
        self.shared.forget(self.pid);
    }
}
