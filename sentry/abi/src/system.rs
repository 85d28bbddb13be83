//! The system as a whole: uname(2), sysinfo(2), personality(2), getrandom(2), syslog(2), rseq(2), kcmp(2).

// Personalities and their flags.

/// Linux.
pub const PER_LINUX: u32 = 0;
/// uname says i686.
pub const PER_LINUX32: u32 = 0x8;
/// uname says 2.6.
pub const UNAME26: u32 = 0x20000;
/// No address randomisation.
pub const ADDR_NO_RANDOMIZE: u32 = 0x40000;
/// Function pointers are descriptors.
pub const FDPIC_FUNCPTRS: u32 = 0x80000;
/// Map page zero.
pub const MMAP_PAGE_ZERO: u32 = 0x10_0000;
/// The old layout.
pub const ADDR_COMPAT_LAYOUT: u32 = 0x20_0000;
/// Readable is executable.
pub const READ_IMPLIES_EXEC: u32 = 0x40_0000;
/// 32-bit addresses.
pub const ADDR_LIMIT_32BIT: u32 = 0x80_0000;
/// Short inode numbers.
pub const SHORT_INODE: u32 = 0x100_0000;
/// Whole seconds.
pub const WHOLE_SECONDS: u32 = 0x200_0000;
/// select does not change its timeout.
pub const STICKY_TIMEOUTS: u32 = 0x400_0000;
/// Addresses below 3 GiB.
pub const ADDR_LIMIT_3GB: u32 = 0x800_0000;

// Flags of getrandom(2).

/// Do not wait for entropy.
pub const GRND_NONBLOCK: u32 = 0x1;
/// The blocking pool.
pub const GRND_RANDOM: u32 = 0x2;
/// Even before there is entropy.
pub const GRND_INSECURE: u32 = 0x4;

// Actions of syslog(2).

/// Nothing.
pub const SYSLOG_ACTION_CLOSE: i32 = 0;
/// Nothing.
pub const SYSLOG_ACTION_OPEN: i32 = 1;
/// Read, waiting for messages.
pub const SYSLOG_ACTION_READ: i32 = 2;
/// Read what is there.
pub const SYSLOG_ACTION_READ_ALL: i32 = 3;
/// Read and clear.
pub const SYSLOG_ACTION_READ_CLEAR: i32 = 4;
/// Clear.
pub const SYSLOG_ACTION_CLEAR: i32 = 5;
/// Silence the console.
pub const SYSLOG_ACTION_CONSOLE_OFF: i32 = 6;
/// Restore the console.
pub const SYSLOG_ACTION_CONSOLE_ON: i32 = 7;
/// Set the console's level.
pub const SYSLOG_ACTION_CONSOLE_LEVEL: i32 = 8;
/// How much is unread?
pub const SYSLOG_ACTION_SIZE_UNREAD: i32 = 9;
/// How big is the buffer?
pub const SYSLOG_ACTION_SIZE_BUFFER: i32 = 10;

// Flags of rseq(2) and of its critical sections.

/// Unregister.
pub const RSEQ_FLAG_UNREGISTER: u32 = 0x1;
/// Do not restart on preemption.
pub const RSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT: u32 = 0x1;
/// Do not restart on signals.
pub const RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL: u32 = 0x2;
/// Do not restart on migration.
pub const RSEQ_CS_FLAG_NO_RESTART_ON_MIGRATE: u32 = 0x4;

// `cpu_id` of a thread without a registration that works.

/// Not yet.
pub const RSEQ_CPU_ID_UNINITIALIZED: u32 = 0xffff_ffff;
/// Failed.
pub const RSEQ_CPU_ID_REGISTRATION_FAILED: u32 = 0xffff_fffe;

// What kcmp(2) compares.

/// Open files.
pub const KCMP_FILE: i32 = 0;
/// Memory.
pub const KCMP_VM: i32 = 1;
/// Descriptor tables.
pub const KCMP_FILES: i32 = 2;
/// Roots and working directories.
pub const KCMP_FS: i32 = 3;
/// Signal actions.
pub const KCMP_SIGHAND: i32 = 4;
/// Input/output contexts.
pub const KCMP_IO: i32 = 5;
/// Semaphore adjustments.
pub const KCMP_SYSVSEM: i32 = 6;
/// Targets of epoll.
pub const KCMP_EPOLL_TFD: i32 = 7;

uapi! {
    /// `struct new_utsname`.
    pub struct Utsname {
        /// The system's name.
        pub sysname: [u8; 65],
        /// The host's name.
        pub nodename: [u8; 65],
        /// The kernel's release.
        pub release: [u8; 65],
        /// The kernel's version.
        pub version: [u8; 65],
        /// The machine.
        pub machine: [u8; 65],
        /// The domain's name.
        pub domainname: [u8; 65],
    }

    /// `struct sysinfo`.
    pub struct Sysinfo {
        /// Seconds since starting up.
        pub uptime: i64,
        /// Load of 1, 5 and 15 minutes, in 65536ths.
        pub loads: [u64; 3],
        /// Memory.
        pub totalram: u64,
        /// Free memory.
        pub freeram: u64,
        /// Shared memory.
        pub sharedram: u64,
        /// Memory of buffers.
        pub bufferram: u64,
        /// Swap.
        pub totalswap: u64,
        /// Free swap.
        pub freeswap: u64,
        /// Threads.
        pub procs: u16,
        /// Padding.
        pub pad: [u16; 3],
        /// High memory.
        pub totalhigh: u64,
        /// Free high memory.
        pub freehigh: u64,
        /// The unit of all these, bytes.
        pub mem_unit: u32,
        /// Padding.
        pub _f: u32,
    }

    /// `struct rseq`, its original fields.
    pub struct Rseq {
        /// The processor, perhaps stale.
        pub cpu_id_start: u32,
        /// The processor, or `RSEQ_CPU_ID_*`.
        pub cpu_id: u32,
        /// The critical section.
        pub rseq_cs: u64,
        /// `RSEQ_CS_FLAG_*`.
        pub flags: u32,
        /// The memory node.
        pub node_id: u32,
        /// The processor's number among those of the process.
        pub mm_cid: u32,
        /// Padding.
        pub _pad: u32,
    }

    /// `struct rseq_cs`: a critical section.
    pub struct RseqCs {
        /// 0.
        pub version: u32,
        /// `RSEQ_CS_FLAG_*`.
        pub flags: u32,
        /// Where it starts.
        pub start_ip: u64,
        /// Its length.
        pub post_commit_offset: u64,
        /// Where to go when it is interrupted.
        pub abort_ip: u64,
    }

    /// `struct cachestat_range`.
    pub struct CachestatRange {
        /// The first byte.
        pub off: u64,
        /// How many; 0 means to the end.
        pub len: u64,
    }

    /// `struct cachestat`: pages of a file in memory.
    pub struct Cachestat {
        /// Cached.
        pub nr_cache: u64,
        /// Dirty.
        pub nr_dirty: u64,
        /// Being written.
        pub nr_writeback: u64,
        /// Evicted.
        pub nr_evicted: u64,
        /// Evicted lately.
        pub nr_recently_evicted: u64,
    }
}
