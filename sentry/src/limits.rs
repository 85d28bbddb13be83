//! Resource limits (getrlimit(2)).

use linux_abi::{Errno, Result};

/// No limit.
pub const RLIM_INFINITY: u64 = u64::MAX;

/// How many resources there are.
pub const RLIM_NLIMITS: usize = 16;

/// A soft and a hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// All limits of a process, indexed by `RLIMIT_*`.
#[derive(Clone, Copy, Debug)]
pub struct Limits([Limit; RLIM_NLIMITS]);

pub const RLIMIT_CPU: usize = 0;
pub const RLIMIT_FSIZE: usize = 1;
pub const RLIMIT_DATA: usize = 2;
pub const RLIMIT_STACK: usize = 3;
pub const RLIMIT_CORE: usize = 4;
pub const RLIMIT_RSS: usize = 5;
pub const RLIMIT_NPROC: usize = 6;
pub const RLIMIT_NOFILE: usize = 7;
pub const RLIMIT_MEMLOCK: usize = 8;
pub const RLIMIT_AS: usize = 9;
pub const RLIMIT_LOCKS: usize = 10;
pub const RLIMIT_SIGPENDING: usize = 11;
pub const RLIMIT_MSGQUEUE: usize = 12;
pub const RLIMIT_NICE: usize = 13;
pub const RLIMIT_RTPRIO: usize = 14;
pub const RLIMIT_RTTIME: usize = 15;

impl Default for Limits {
    /// What a login on a current distribution has.
    fn default() -> Limits {
        let infinite = Limit { soft: RLIM_INFINITY, hard: RLIM_INFINITY };
        let mut limits = Limits([infinite; RLIM_NLIMITS]);
        for (resource, soft, hard) in [
            (RLIMIT_STACK, 8 << 20, RLIM_INFINITY),
            (RLIMIT_CORE, 0, RLIM_INFINITY),
            (RLIMIT_NPROC, 30_000, 30_000),
            (RLIMIT_NOFILE, 1024, 1 << 20),
            (RLIMIT_MEMLOCK, 8 << 20, 8 << 20),
            (RLIMIT_SIGPENDING, 30_000, 30_000),
            (RLIMIT_MSGQUEUE, 819_200, 819_200),
            (RLIMIT_NICE, 0, 0),
            (RLIMIT_RTPRIO, 0, 0),
        ] {
            if let Some(limit) = limits.0.get_mut(resource) {
                *limit = Limit { soft, hard };
            }
        }
        limits
    }
}

impl Limits {
    /// The limit on `resource`.
    ///
    /// # Errors
    /// `EINVAL` if there is no such resource.
    pub fn get(&self, resource: usize) -> Result<Limit> {
        self.0.get(resource).copied().ok_or(Errno::EINVAL)
    }

    /// The soft limit on one of the `RLIMIT_*` constants.
    pub fn soft(&self, resource: usize) -> u64 {
        self.0.get(resource).map_or(RLIM_INFINITY, |limit| limit.soft)
    }

    /// Sets the limit on `resource`; the caller has checked permissions.
    ///
    /// # Errors
    /// `EINVAL` if there is no such resource.
    pub fn set(&mut self, resource: usize, limit: Limit) -> Result<()> {
        *self.0.get_mut(resource).ok_or(Errno::EINVAL)? = limit;
        Ok(())
    }

    /// The soft `RLIMIT_NOFILE`.
    pub fn nofile(&self) -> u64 {
        self.soft(RLIMIT_NOFILE)
    }
}

impl Limits {
    /// No limit on anything.
    pub fn unlimited() -> Limits {
        Limits([Limit { soft: RLIM_INFINITY, hard: RLIM_INFINITY }; RLIM_NLIMITS])
    }
}
