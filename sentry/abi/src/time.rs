//! Time: clocks, timers and their structures (clock_gettime(2), timer_create(2), setitimer(2), adjtimex(2)).

// Clocks.

/// The time of day.
pub const CLOCK_REALTIME: i32 = 0;
/// Time since some start, without jumps.
pub const CLOCK_MONOTONIC: i32 = 1;
/// Processor time of the process.
pub const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
/// Processor time of the thread.
pub const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
/// Without adjustments of its rate.
pub const CLOCK_MONOTONIC_RAW: i32 = 4;
/// Faster, coarser.
pub const CLOCK_REALTIME_COARSE: i32 = 5;
/// Faster, coarser.
pub const CLOCK_MONOTONIC_COARSE: i32 = 6;
/// Monotonic, including suspension.
pub const CLOCK_BOOTTIME: i32 = 7;
/// Real time that wakes the machine.
pub const CLOCK_REALTIME_ALARM: i32 = 8;
/// Boot time that wakes the machine.
pub const CLOCK_BOOTTIME_ALARM: i32 = 9;
/// Removed.
pub const CLOCK_SGI_CYCLE: i32 = 10;
/// International atomic time.
pub const CLOCK_TAI: i32 = 11;

// Flags of timer_settime(2) and clock_nanosleep(2).

/// The time is absolute.
pub const TIMER_ABSTIME: u32 = 1;

// Timers of setitimer(2).

/// Real time; `SIGALRM`.
pub const ITIMER_REAL: i32 = 0;
/// User time; `SIGVTALRM`.
pub const ITIMER_VIRTUAL: i32 = 1;
/// Processor time; `SIGPROF`.
pub const ITIMER_PROF: i32 = 2;

// How an event is notified (`sigev_notify`).

/// By a signal.
pub const SIGEV_SIGNAL: i32 = 0;
/// Not at all.
pub const SIGEV_NONE: i32 = 1;
/// By a thread, which the C library makes.
pub const SIGEV_THREAD: i32 = 2;
/// By a signal to a thread.
pub const SIGEV_THREAD_ID: i32 = 4;

// Units.

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: i64 = 1_000_000_000;

// What adjtimex(2) sets (`modes`).

/// The offset.
pub const ADJ_OFFSET: u32 = 0x1;
/// The frequency.
pub const ADJ_FREQUENCY: u32 = 0x2;
/// The maximum error.
pub const ADJ_MAXERROR: u32 = 0x4;
/// The estimated error.
pub const ADJ_ESTERROR: u32 = 0x8;
/// The status.
pub const ADJ_STATUS: u32 = 0x10;
/// The time constant.
pub const ADJ_TIMECONST: u32 = 0x20;
/// The offset of TAI.
pub const ADJ_TAI: u32 = 0x80;
/// Add to the time.
pub const ADJ_SETOFFSET: u32 = 0x100;
/// Microseconds.
pub const ADJ_MICRO: u32 = 0x1000;
/// Nanoseconds.
pub const ADJ_NANO: u32 = 0x2000;
/// The tick.
pub const ADJ_TICK: u32 = 0x4000;
/// As adjtime(3).
pub const ADJ_OFFSET_SINGLESHOT: u32 = 0x8001;
/// Read what is left of it.
pub const ADJ_OFFSET_SS_READ: u32 = 0xa001;

// Clock status.

/// The clock is not synchronised.
pub const STA_UNSYNC: i32 = 0x40;

// What adjtimex(2) returns.

/// Synchronised.
pub const TIME_OK: i32 = 0;
/// Not synchronised.
pub const TIME_ERROR: i32 = 5;

// Ticks of times(2) a second.

/// Fixed by the ABI.
pub const USER_HZ: i64 = 100;

uapi! {
    /// `struct timespec`.
    pub struct Timespec {
        /// Seconds.
        pub sec: i64,
        /// Nanoseconds.
        pub nsec: i64,
    }

    /// `struct timeval`.
    pub struct Timeval {
        /// Seconds.
        pub sec: i64,
        /// Microseconds.
        pub usec: i64,
    }

    /// `struct itimerspec`.
    pub struct Itimerspec {
        /// The period; 0 for once.
        pub interval: Timespec,
        /// The next expiration; 0 for none.
        pub value: Timespec,
    }

    /// `struct itimerval`.
    pub struct Itimerval {
        /// The period; 0 for once.
        pub interval: Timeval,
        /// The next expiration; 0 for none.
        pub value: Timeval,
    }

    /// `struct timezone`.
    pub struct Timezone {
        /// Minutes west of Greenwich.
        pub minutes_west: i32,
        /// Unused.
        pub dst_time: i32,
    }

    /// `struct utimbuf` of utime(2).
    pub struct Utimbuf {
        /// The time of access, seconds.
        pub actime: i64,
        /// The time of modification, seconds.
        pub modtime: i64,
    }

    /// `struct tms` of times(2), in ticks.
    pub struct Tms {
        /// User time.
        pub utime: i64,
        /// System time.
        pub stime: i64,
        /// User time of waited-for children.
        pub cutime: i64,
        /// System time of waited-for children.
        pub cstime: i64,
    }

    /// `struct timex` of adjtimex(2).
    pub struct Timex {
        /// What to set (`ADJ_*`).
        pub modes: u32,
        /// Padding.
        pub pad0: u32,
        /// The offset.
        pub offset: i64,
        /// The frequency's offset.
        pub freq: i64,
        /// The maximum error, microseconds.
        pub maxerror: i64,
        /// The estimated error, microseconds.
        pub esterror: i64,
        /// `STA_*`.
        pub status: i32,
        /// Padding.
        pub pad1: u32,
        /// The time constant of the loop.
        pub constant: i64,
        /// The precision, microseconds.
        pub precision: i64,
        /// The tolerance of the frequency.
        pub tolerance: i64,
        /// The time.
        pub time: Timeval,
        /// Microseconds between ticks.
        pub tick: i64,
        /// The frequency of pulses.
        pub ppsfreq: i64,
        /// Their jitter.
        pub jitter: i64,
        /// Their interval, as a shift.
        pub shift: i32,
        /// Padding.
        pub pad2: u32,
        /// Their stability.
        pub stabil: i64,
        /// Jitter limits exceeded.
        pub jitcnt: i64,
        /// Calibrations.
        pub calcnt: i64,
        /// Calibration errors.
        pub errcnt: i64,
        /// Stability limits exceeded.
        pub stbcnt: i64,
        /// The offset of TAI.
        pub tai: i32,
        /// Unused.
        pub pad3: [u32; 11],
    }

    /// `struct sigevent`: how to be notified.
    pub struct Sigevent {
        /// The value that comes with the signal.
        pub value: u64,
        /// The signal.
        pub signo: i32,
        /// `SIGEV_*`.
        pub notify: i32,
        /// The thread of `SIGEV_THREAD_ID`.
        pub tid: i32,
        /// Unused.
        pub pad: [i32; 11],
    }
}

impl Timespec {
    /// Whether Linux would take it as a time or timeout (`timespec64_valid`).
    pub const fn is_valid(self) -> bool {
        self.sec >= 0 && self.nsec >= 0 && self.nsec < NSEC_PER_SEC
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.sec == 0 && self.nsec == 0
    }

    /// As a length of time; `None` if it is not valid.
    pub fn to_duration(self) -> Option<core::time::Duration> {
        if !self.is_valid() {
            return None;
        }
        Some(core::time::Duration::new(u64::try_from(self.sec).ok()?, u32::try_from(self.nsec).ok()?))
    }
}

impl Timeval {
    /// As a length of time; `None` if it is not valid.
    pub fn to_duration(self) -> Option<core::time::Duration> {
        let nanos = u32::try_from(self.usec).ok().filter(|&usec| usec < 1_000_000)?.checked_mul(1000)?;
        Some(core::time::Duration::new(u64::try_from(self.sec).ok()?, nanos))
    }
}

impl From<core::time::Duration> for Timespec {
    fn from(time: core::time::Duration) -> Timespec {
        Timespec {
            sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            nsec: i64::from(time.subsec_nanos()),
        }
    }
}

impl From<core::time::Duration> for Timeval {
    fn from(time: core::time::Duration) -> Timeval {
        Timeval {
            sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            usec: i64::from(time.subsec_micros()),
        }
    }
}
