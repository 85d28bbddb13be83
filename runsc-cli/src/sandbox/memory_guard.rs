//! The memory limit of a foreground sandbox that has no control group: this process looks at how much its stubs hold, and kills
//! the largest when it is too much, as Linux's memory killer would.
//!
//! What is counted: anonymous memory of the stubs and of the sentry, and the most shared memory that any one stub has mapped.
//! Files in memory have a bound of their own, which the sentry keeps.
//! Looking costs time, so the less is in use, the rarer it is done: so rarely that memory which grows as fast as
//! processors can touch it is seen in time. A guest can exceed the limit for the length of one interval.

use std::{
    fs,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};

/// How fast memory can grow, in bytes a second: what two processors touch.
const GROWTH: u64 = 4 << 30;
/// Never more often than this, nor more rarely.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(10);
/// How long an unchanged sandbox may be left alone, however near its limit.
const UNCHANGED: Duration = Duration::from_millis(80);

/// Watches one sandbox.
#[derive(Debug)]
pub struct MemoryGuard {
    sentry: Pid,
    limit: u64,
    next: Instant,
    last: u64,
    interval: Duration,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// All is well, or a guest process was killed.
    Guarded,
    /// Too much is in use, and not by a guest process: the sandbox has to end.
    Exhausted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    anonymous: u64,
    shared: u64,
}

impl MemoryGuard {
    /// Watches the children of `sentry`, which may hold `limit` bytes.
    pub fn new(sentry: Pid, limit: u64) -> MemoryGuard {
        let now = Instant::now();
        let interval = interval(limit);
        MemoryGuard { sentry, limit, next: now.checked_add(interval).unwrap_or(now), last: 0, interval }
    }

    /// The bound of a sandbox without a limit: four fifths of this machine's memory.
    pub fn default_limit() -> Option<u64> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        field(&text, "MemTotal:").map(|total| total / 5 * 4)
    }

    /// When to look next.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Looks, and kills if it must.
    pub fn look(&mut self) -> Look {
        let stubs = children(self.sentry);
        let mut total = held(self.sentry).anonymous;
        // One read a process says what it has at most; most sandboxes are far below their limit.
        let resident: u64 = stubs.iter().map(|pid| resident(*pid)).sum();
        let mut largest = None;
        if total.saturating_add(resident) > self.limit {
            let all: Vec<(u64, Pid)> = stubs
                .iter()
                .map(|pid| {
                    let held = held(*pid);
                    total = total.saturating_add(held.anonymous);
                    (held.anonymous.saturating_add(held.shared), *pid)
                })
                .collect();
            // Shared memory of several processes is mostly the same.
            let shared = stubs.iter().map(|pid| held(*pid).shared).max().unwrap_or(0);
            total = total.saturating_add(shared);
            largest = all.into_iter().max();
        } else {
            total = total.saturating_add(resident);
        }
        let unchanged = total.abs_diff(self.last) <= self.limit / 100;
        self.last = total;
        let wanted = interval(self.limit.saturating_sub(total));
        self.interval = match wanted {
            wanted if unchanged && wanted < UNCHANGED => self.interval.saturating_mul(2).min(UNCHANGED),
            wanted => wanted,
        };
        let look = match largest {
            Some((_, pid)) if total > self.limit => {
                log::warn!("{total} bytes are in use, {} allowed: killing the largest process", self.limit);
                kill_child(pid, self.sentry);
                self.interval = SHORTEST;
                Look::Guarded
            }
            None if total > self.limit => Look::Exhausted,
            _ => Look::Guarded,
        };
        let now = Instant::now();
        self.next = now.checked_add(self.interval).unwrap_or(now);
        look
    }
}

/// How long it takes to fill `headroom`.
fn interval(headroom: u64) -> Duration {
    Duration::from_millis(headroom / (GROWTH / 1000)).clamp(SHORTEST, LONGEST)
}

/// The stubs: all are children of the sentry, whoever made them (`CLONE_PARENT`).
fn children(parent: Pid) -> Vec<Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect()
}

/// Memory in use, file pages included.
fn resident(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(4096)
}

fn held(pid: Pid) -> Held {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name| field(&text, name).unwrap_or(0);
    Held { anonymous: field("RssAnon:"), shared: field("RssShmem:") }
}

/// A line `NAME   COUNT kB` of a file in /proc, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Kills a child of `parent`, and nobody who got its number meanwhile.
fn kill_child(pid: Pid, parent: Pid) {
    let Ok(pidfd) = host::spawn::open_pidfd(pid) else { return };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ppid = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
    if ppid == Some(parent.to_string().as_str()) {
        let _ = host::spawn::send_signal(pidfd.as_fd(), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_headroom_is_looked_at_often() {
        assert_eq!(interval(0), SHORTEST);
        assert_eq!(interval(400 << 20).as_millis(), 97);
        assert_eq!(interval(u64::MAX), LONGEST);
    }

    #[test]
    fn fields_of_proc() {
        let text = "VmPeak:\t 1 kB\nRssAnon:\t      12 kB\n";
        assert_eq!(field(text, "RssAnon:"), Some(12 << 10));
        assert_eq!(field(text, "RssShmem:"), None);
        assert!(MemoryGuard::default_limit().unwrap() > 0);
        let mine = held(nix::unistd::getpid());
        assert!(mine.anonymous > 0 && resident(nix::unistd::getpid()) >= mine.anonymous);
    }
}
