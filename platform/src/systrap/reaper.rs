//! What all stubs of a sandbox have in common, and the thread that notices their ends.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use host::{
    cpu::XState,
    process::{Children, WaitMode},
};
use nix::{
    errno::Errno as HostErrno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use super::{
    Config,
    cpus::Cpus,
    space::Space,
    spare::Spares,
    unit::{UnitAddresses, lock},
    verdicts::Verdicts,
};
use crate::Errno;

/// How long the reaper rests when it has reaped.
pub(super) const REST: Duration = Duration::from_millis(2);

/// For how many longer rests it keeps what it has made ahead.
const SOON: u32 = 5;

/// How guest code runs, and so how the ends of stubs are noticed.
#[derive(Debug)]
pub(super) enum Running {
    /// Traps are signals that the shim handles. Stubs are waited for as a group.
    Handled,
    /// Threads are traced while they run. To wait for the group would be to be told of every stop of a traced thread
    /// (`wait_task_stopped` in the host's `kernel/exit.c`), so each stub is watched on its own.
    Traced(Watch),
}

impl Running {
    /// For stubs whose threads are traced.
    pub(super) fn traced() -> Result<Running, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(errno)?;
        Ok(Running::Traced(Watch { epoll, watched: Mutex::default() }))
    }
}

/// Descriptors of stubs, readable when they have ended.
#[derive(Debug)]
pub(super) struct Watch {
    epoll: Epoll,
    watched: Mutex<HashMap<i32, OwnedFd>>,
}

impl Watch {
    fn add(&self, pid: i32) -> Result<(), Errno> {
        let file = host::process::open(pid)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, i64::from(pid).cast_unsigned());
        let mut watched = lock(&self.watched);
        self.epoll.add(&file, event).map_err(errno)?;
        watched.insert(pid, file);
        Ok(())
    }

    /// Waits for the next end. `None`: nothing is watched.
    fn next(&self) -> Option<i32> {
        let mut events = [EpollEvent::empty()];
        loop {
            if lock(&self.watched).is_empty() {
                return None;
            }
            match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(0) | Err(HostErrno::EINTR) => continue,
                Ok(_) => {}
                Err(error) => {
                    log::error!("waiting for stubs: {error}");
                    return None;
                }
            }
            let pid = events.first().and_then(|event| i32::try_from(event.data()).ok())?;
            lock(&self.watched).remove(&pid);
            return Some(pid);
        }
    }
}

fn errno(error: HostErrno) -> Errno {
    Errno::from_raw(error as i32)
}

/// State of a sandbox's platform.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) xstate: XState,
    /// [`super::layout::feature`] bits.
    pub(super) features: u32,
    pub(super) cpus: Cpus,
    /// Whether changes may be deferred: the host does not refuse memory that a guest may have.
    pub(super) may_defer: bool,
    /// Whether the host has taken an rseq area.
    pub(super) has_rseq: AtomicBool,
    /// Whether host threads may wait for another guest thread. A traced one belongs to the sentry thread that traced it.
    pub(super) may_park: bool,
    pub(super) addresses: Arc<Mutex<UnitAddresses>>,
    /// The process group of all stubs, which is the zygote's process number.
    group: i32,
    /// What is known of call sites in files.
    pub(super) verdicts: Verdicts,
    running: Running,
    processes: Mutex<HashMap<i32, Weak<Space>>>,
    serial: AtomicU64,
    reaping: AtomicBool,
    pub(super) spares: Spares,
}

impl Shared {
    pub(super) fn new(config: Config, running: Running, xstate: XState, features: u32, group: i32) -> Shared {
        Shared {
            config,
            xstate,
            features,
            cpus: Cpus::new(),
            // A traced thread cannot run what somebody else wants to have run.
            may_defer: matches!(running, Running::Handled) && host::process::memory_is_unlimited(),
            has_rseq: AtomicBool::new(false),
            may_park: matches!(running, Running::Handled),
            addresses: Arc::new(Mutex::new(UnitAddresses::new())),
            group,
            running,
            processes: Mutex::default(),
            verdicts: Verdicts::default(),
            serial: AtomicU64::new(1),
            reaping: AtomicBool::new(false),
            spares: Spares::default(),
        }
    }

    /// A number never given before.
    pub(super) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// Enters a process, so that its end is noticed.
    ///
    /// # Errors
    /// `EEXIST` if another process is known by that number: the caller was lied to. `EMFILE`.
    pub(super) fn register(&self, space: &Arc<Space>) -> Result<(), Errno> {
        let mut processes = lock(&self.processes);
        if processes.get(&space.pid()).is_some_and(|known| known.strong_count() != 0) {
            return Err(Errno::EEXIST);
        }
        if let Running::Traced(watch) = &self.running {
            watch.add(space.pid())?;
        }
        processes.insert(space.pid(), Arc::downgrade(space));
        Ok(())
    }

    /// Removes a process whose space is being dropped.
    pub(super) fn forget(&self, pid: i32) {
        let mut processes = lock(&self.processes);
        if processes.get(&pid).is_some_and(|known| known.strong_count() == 0) {
            processes.remove(&pid);
        }
    }

    /// Ends all stubs, those that the sentry does not know included: a hostile guest can make some. For while the zygote lives,
    /// whose number is the group's.
    pub(super) fn kill_all(&self) {
        if let Err(error) = host::process::kill(-self.group, libc::SIGKILL) {
            log::debug!("ending all stubs: {error}");
        }
    }

    /// Starts the reaper, once. Not done by the constructor: the sentry starts threads only after it has locked itself down.
    pub(super) fn start_reaper(self: &Arc<Shared>) -> Result<(), Errno> {
        if self.reaping.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let shared = Arc::clone(self);
        let started =
            thread::Builder::new().name("reaper".into()).stack_size(64 << 10).spawn(move || shared.reap());
        if started.is_err() {
            self.reaping.store(false, Ordering::Relaxed);
        }
        started.map(drop).map_err(Errno::from)
    }

    /// Until there are no stubs any more.
    fn reap(&self) {
        crate::leave_processor();
        if let Running::Traced(watch) = &self.running {
            while let Some(pid) = watch.next() {
                self.ended(pid);
            }
        }
        loop {
            let pid = match host::process::wait(Children::Group(self.group), WaitMode::Peek) {
                Ok(Some(pid)) => pid,
                Ok(None) => continue,
                Err(error) => {
                    log::debug!("reaper ends: {error}");
                    return;
                }
            };
            self.ended(pid);
            while let Ok(Some(pid)) = host::process::wait(Children::Group(self.group), WaitMode::Poll) {
                self.ended(pid);
            }
            // Many may end soon. Nobody waits for it but guests whose stubs ended by themselves.
            thread::park_timeout(REST);
            self.spares.tidy(&self.addresses);
            self.keep_spares();
        }
    }

    /// Gives up what was made ahead, unless another stub ends soon.
    fn keep_spares(&self) {
        for _ in 0..SOON {
            if self.spares.is_empty()
                || !matches!(host::process::wait(Children::Group(self.group), WaitMode::Poll), Ok(None))
            {
                return;
            }
            thread::park_timeout(4 * REST);
        }
        self.spares.clear();
    }

    /// Takes note of the end of a stub, which is a zombie.
    fn ended(&self, pid: i32) {
        let reap = || {
            if let Err(error) = host::process::wait(Children::Pid(pid), WaitMode::Reap) {
                log::error!("reaping stub {pid}: {error}");
            }
        };
        let known = lock(&self.processes).remove(&pid).and_then(|space| space.upgrade());
        match known {
            Some(space) => space.end(reap),
            None => reap(),
        }
    }
}
