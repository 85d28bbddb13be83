//! Limits and usage: getrlimit(2), getrusage(2).

use crate::time::Timeval;

// Resources with limits.

/// Processor seconds.
pub const RLIMIT_CPU: u32 = 0;
/// Size of a file.
pub const RLIMIT_FSIZE: u32 = 1;
/// Size of data.
pub const RLIMIT_DATA: u32 = 2;
/// Size of the stack.
pub const RLIMIT_STACK: u32 = 3;
/// Size of a core file.
pub const RLIMIT_CORE: u32 = 4;
/// Resident memory; has no effect.
pub const RLIMIT_RSS: u32 = 5;
/// Threads of the user.
pub const RLIMIT_NPROC: u32 = 6;
/// Highest descriptor, plus one.
pub const RLIMIT_NOFILE: u32 = 7;
/// Locked memory.
pub const RLIMIT_MEMLOCK: u32 = 8;
/// Address space.
pub const RLIMIT_AS: u32 = 9;
/// File locks; has no effect.
pub const RLIMIT_LOCKS: u32 = 10;
/// Queued signals.
pub const RLIMIT_SIGPENDING: u32 = 11;
/// Bytes in message queues.
pub const RLIMIT_MSGQUEUE: u32 = 12;
/// Ceiling of the nice value.
pub const RLIMIT_NICE: u32 = 13;
/// Ceiling of the real-time priority.
pub const RLIMIT_RTPRIO: u32 = 14;
/// Real-time microseconds without a block.
pub const RLIMIT_RTTIME: u32 = 15;
/// How many there are.
pub const RLIM_NLIMITS: u32 = 16;

// No limit.

/// No limit.
pub const RLIM_INFINITY: u64 = 0xffff_ffff_ffff_ffff;

// Whose usage.

/// The process.
pub const RUSAGE_SELF: i32 = 0;
/// Its waited-for descendants.
pub const RUSAGE_CHILDREN: i32 = -1;
/// The thread.
pub const RUSAGE_THREAD: i32 = 1;

uapi! {
    /// `struct rlimit64`, which is x86-64's `struct rlimit`.
    pub struct Rlimit {
        /// The soft limit, which holds.
        pub rlim_cur: u64,
        /// The hard limit, to which the soft one can be raised.
        pub rlim_max: u64,
    }

    /// `struct rusage`.
    pub struct Rusage {
        /// Time in the program.
        pub ru_utime: Timeval,
        /// Time in the kernel.
        pub ru_stime: Timeval,
        /// Most resident memory, KiB.
        pub ru_maxrss: i64,
        /// Unused.
        pub ru_ixrss: i64,
        /// Unused.
        pub ru_idrss: i64,
        /// Unused.
        pub ru_isrss: i64,
        /// Page faults without input.
        pub ru_minflt: i64,
        /// Page faults with input.
        pub ru_majflt: i64,
        /// Unused.
        pub ru_nswap: i64,
        /// Blocks read.
        pub ru_inblock: i64,
        /// Blocks written.
        pub ru_oublock: i64,
        /// Unused.
        pub ru_msgsnd: i64,
        /// Unused.
        pub ru_msgrcv: i64,
        /// Unused.
        pub ru_nsignals: i64,
        /// Switches by choice.
        pub ru_nvcsw: i64,
        /// Switches by force.
        pub ru_nivcsw: i64,
    }
}
