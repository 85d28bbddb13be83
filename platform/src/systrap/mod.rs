//! The systrap backend: guest code runs in *stub* processes of the host, whose system calls are caught by seccomp.
//!
//! * A stub holds guest memory, one page of shim code, and slots: memory it shares with the sentry ([`layout`]).
//! * Every trap of a guest thread is a signal on an alternate stack inside the thread's slot; the shim's handler tells the
//!   sentry and waits ([`shim`], [`handover`]). The sentry reads and edits the signal frame in place ([`frame`]).
//! * Changes to a stub are lists of host calls which its shim runs for the sentry ([`ops`]); a seccomp filter bounds them
//!   ([`filter`]). Guest memory is read and written with copies that the shim makes ([`copies`]), or `process_vm_readv(2)` ([`space`]).
//! * Some calls the shim answers itself ([`answers`], [`lent`]).
//! * Call sites that trap often are replaced by jumps to the shim ([`patch`], [`site`]).
//! * Stubs are copies of a zygote or of the forking guest ([`zygote`], [`birth`]); a thread notices their ends ([`reaper`]).
//!
//! # Safety
//! The guest can write everything in its slots at any time, run the shim's code from any instruction, and make every call of
//! the filter. The sentry therefore treats what it reads from a slot as allegations, and never waits for a stub without its
//! death, a kick or a time limit ending the wait.

mod answers;
mod birth;
mod calls;
mod context;
mod copies;
mod cpus;
mod deferred;
mod filter;
mod frame;
mod handover;
mod kick;
mod layout;
mod lent;
mod ops;
mod pace;
mod patch;
mod patching;
mod reaper;
mod seat;
mod shim;
mod site;
mod slot;
mod space;
mod spare;
pub(crate) mod traced;
mod turns;
mod unit;
mod verdicts;
mod zygote;

use std::{
    fmt, fs,
    sync::{Arc, Mutex},
};

pub use calls::host_calls;
pub(crate) use context::SystrapContext;
pub(crate) use seat::{Seat, about_to_sleep, home, leave_processor};

use self::{
    layout::TASK_END,
    reaper::{Running, Shared},
    unit::lock,
    zygote::Zygote,
};
use crate::{Errno, Layout, PageRange, Platform, Process};

/// What can be chosen about the backend.
#[derive(Clone, Debug)]
pub struct Config {
    /// Keep one fresh stub process ready for the next [`Platform::new_process`].
    pub spare: bool,
    /// Replace system-call instructions that run often by jumps to the shim. A guest can see that in its code.
    pub patch: bool,
    /// Stubs die with the thread that calls [`Systrap::new`] (`PR_SET_PDEATHSIG`), so that a sentry that is killed leaves none
    /// behind even where no PID namespace ends with it. That thread must then live as long as the platform.
    pub die_with_creator: bool,
    /// `RLIMIT_NPROC` of the stubs: a bound on the host processes and threads that guests can make, counted per user and
    /// user namespace (the sentry's own threads too). Has no effect for root of the initial user namespace; there, and in any
    /// case better, a pids cgroup bounds them.
    pub max_host_threads: Option<u64>,
}

impl Config {
    /// The same, with or without patched call sites (`--no-patch`).
    #[must_use]
    pub fn patching(self, patch: bool) -> Config {
        Config { patch, ..self }
    }

    /// The same, with a bound on host processes and threads.
    #[must_use]
    pub fn bounded(self, max_host_threads: u64) -> Config {
        Config { max_host_threads: Some(max_host_threads), ..self }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config { spare: true, patch: true, die_with_creator: true, max_host_threads: None }
    }
}

/// Why the backend cannot be used on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The zygote could not be started.
    Start(Errno),
    /// A step of the zygote's set-up was refused.
    SetUp(&'static str, Errno),
    /// The zygote died in that step.
    ZygoteDied(&'static str),
    /// The processor's extended state of so many bytes is too large for a slot.
    ExtendedState(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Start(errno) => write!(f, "cannot start the first stub process: {errno}"),
            Error::SetUp(step, errno) => write!(f, "setting up the first stub process: {step}: {errno}"),
            Error::ZygoteDied(step) => write!(f, "the first stub process died during: {step}"),
            Error::ExtendedState(size) => write!(f, "extended state of {size} bytes does not fit in a slot"),
        }
    }
}

impl std::error::Error for Error {}

/// The systrap platform of one sandbox. Dropping it ends all its stubs.
#[derive(Debug)]
pub struct Systrap {
    layout: Layout,
    shared: Arc<Shared>,
    zygote: Mutex<Zygote>,
}

impl Systrap {
    /// Starts the platform: a zygote process that is ready to be copied.
    ///
    /// To be called before the sentry drops its privileges and loads its filter, but in its final user, PID, mount and network
    /// namespaces and with its final user and group: stubs inherit them and must stay the sentry's equals, or it may not
    /// access their memory. The caller's signal mask and dispositions do not matter, except that `SIGCHLD` must not be
    /// ignored (`SIG_IGN`), here or later, and no other code may wait for children of unknown number.
    ///
    /// A hostile guest can make its own stubs outlive the sentry ([`Config::die_with_creator`] notwithstanding) unless they are
    /// in a PID namespace that dies with it.
    ///
    /// # Errors
    /// [`Error`]: what the host refused.
    pub fn new(config: Config) -> Result<Systrap, Error> {
        Systrap::start(config, Running::Handled)
    }

    fn start(config: Config, running: Running) -> Result<Systrap, Error> {
        let spare = config.spare;
        let (mut zygote, vdso) = Zygote::start(config, running)?;
        if spare {
            zygote.begin_spare().map_err(Error::Start)?;
        }
        let shared = Arc::clone(zygote.shared());
        let usable = PageRange::new(lowest_address(), TASK_END).ok_or(Error::Start(Errno::EINVAL))?;
        let layout = Layout {
            usable,
            reserved: layout::reserved(),
            vdso,
            xsave_size: shared.xstate.size,
            xfeatures: shared.xstate.features,
            // A guest that changed GS by itself would break patched calls.
            hidden_hwcap2: 2,
        };
        Ok(Systrap { layout, shared, zygote: Mutex::new(zygote) })
    }

    /// A process whose only thread rests in its shim.
    pub(crate) fn resting_process(&self) -> Result<SystrapContext, Errno> {
        self.shared.start_reaper()?;
        let mut zygote = lock(&self.zygote);
        let born = zygote.process()?;
        if self.shared.config.spare
            && let Err(error) = zygote.begin_spare()
        {
            log::warn!("no spare stub: {error}");
        }
        drop(zygote);
        Ok(SystrapContext::first(born))
    }
}

impl Drop for Systrap {
    fn drop(&mut self) {
        let zygote = lock(&self.zygote);
        self.shared.kill_all();
        drop(zygote);
    }
}

/// The lowest address that the host lets a process map.
fn lowest_address() -> u64 {
    let limit =
        fs::read_to_string("/proc/sys/vm/mmap_min_addr").ok().and_then(|text| text.trim().parse().ok());
    let limit: u64 = limit.unwrap_or(0x1_0000);
    limit.next_multiple_of(4096).max(4096)
}

impl Platform for Systrap {
    fn name(&self) -> &'static str {
        "systrap"
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn new_process(&self) -> Result<Process, Errno> {
        Ok(self.resting_process()?.into_process())
    }
}
