//! What all stubs of a sandbox have in common, and the thread that notices their ends.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use host::{
    cpu::XState,
    process::{Children, WaitMode},
};

use super::{
    Config,
    pace::Cpus,
    space::Space,
    unit::{UnitAddresses, lock},
};
use crate::Errno;

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
    pub(super) addresses: Arc<Mutex<UnitAddresses>>,
    /// The process group of all stubs, which is the zygote's process number.
    group: i32,
    processes: Mutex<HashMap<i32, Weak<Space>>>,
    serial: AtomicU64,
    reaping: AtomicBool,
}

impl Shared {
    pub(super) fn new(config: Config, xstate: XState, features: u32, group: i32) -> Shared {
        Shared {
            config,
            xstate,
            features,
            cpus: Cpus::new(),
            may_defer: host::process::memory_is_unlimited(),
            addresses: Arc::new(Mutex::new(UnitAddresses::new())),
            group,
            processes: Mutex::default(),
            serial: AtomicU64::new(1),
            reaping: AtomicBool::new(false),
        }
    }

    /// A number never given before.
    pub(super) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// Enters a process, so that its end is noticed.
    ///
    /// # Errors
    /// `EEXIST` if another process is known by that number: the caller was lied to.
    pub(super) fn register(&self, space: &Arc<Space>) -> Result<(), Errno> {
        let mut processes = lock(&self.processes);
        if processes.get(&space.pid()).is_some_and(|known| known.strong_count() != 0) {
            return Err(Errno::EEXIST);
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
        loop {
            let pid = match host::process::wait(Children::Group(self.group), WaitMode::Peek) {
                Ok(Some(pid)) => pid,
                Ok(None) => continue,
                Err(error) => {
                    log::debug!("reaper ends: {error}");
                    return;
                }
            };
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
}
