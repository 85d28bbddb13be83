//! Resource limits of the sentry process itself, and of how many tasks it and its stubs may be on the host.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Context, Result};

/// What a sandbox has of the host's process ids if nobody says: an eighth for guests, and as much for the sentry's threads.
const SHARE: u64 = 8;
/// No more than this by default, however many ids the host has: each task costs memory.
const MOST: u64 = 8192;
/// Mappings of the sentry for each guest thread: stack, signal stack, a guard each, a slot; and one for all else.
const MAPPINGS: u64 = 6;
/// Host tasks besides two for each of the guest's: idle threads of the sentry, its timers and servers, stubs kept ready.
const SPARE_TASKS: u64 = 128;

/// How many threads the guests of a sandbox may be: what was asked for as far as the sentry can hold them, or a share of what
/// this host has. To be asked in the host's own pid namespace: since Linux 6.14 each has a `pid_max`.
pub fn pids(wanted: Option<u64>) -> u64 {
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let holds = (read("vm/max_map_count").unwrap_or(65_530) / MAPPINGS).max(64);
    let ids = read("kernel/pid_max").into_iter().chain(read("kernel/threads-max")).min().unwrap_or(32_768);
    wanted.unwrap_or_else(|| (ids / SHARE).clamp(64, MOST)).min(holds)
}

/// How many tasks the host should let a sandbox have whose guests may be `pids`: a guest that makes host processes behind
/// the sentry's back meets this limit. `None` where the host would count other sandboxes too: before Linux 5.14
/// `RLIMIT_NPROC` counted a user's processes in all user namespaces.
pub fn host_tasks(pids: u64) -> Option<u64> {
    let release = nix::sys::utsname::uname().ok()?.release().to_str()?.to_owned();
    let mut numbers = release.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
    let version = (numbers.next()?, numbers.next()?);
    (version >= (5, 14)).then(|| pids.saturating_mul(2).saturating_add(SPARE_TASKS))
}

/// No core files (they would hold guest memory), and as many descriptors as the host allows: guests' files are held here.
///
/// # Errors
/// As setrlimit(2): none in practice.
pub fn set() -> Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("setrlimit(RLIMIT_CORE)")?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit(RLIMIT_NOFILE)")?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("setrlimit(RLIMIT_NOFILE)")?;
    }
    Ok(())
}
