//! The structures that system calls read and write, by name, with the size each has on x86-64.

macro_rules! structs {
    ($($name:ident = $size:literal,)*) => {
        /// A structure that a system call's argument points at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "named after the C structures")]
        pub enum Struct { $($name,)* }

        impl Struct {
            /// Its size in bytes, in the kernel's layout.
            pub const fn size(self) -> u32 {
                match self { $(Struct::$name => $size,)* }
            }
        }
    };
}

structs! {
    Cachestat = 40,
    CachestatRange = 16,
    CapData = 24,
    CapHeader = 8,
    CloneArgs = 88,
    EpollEvent = 12,
    FdPair = 8,
    FutexWaitv = 24,
    Id = 4,
    Int = 4,
    Iovec = 16,
    Itimerspec = 32,
    Itimerval = 32,
    Long = 8,
    Mmsghdr = 64,
    MountAttr = 32,
    MqAttr = 64,
    Msghdr = 56,
    Off = 8,
    OpenHow = 24,
    Pointer = 8,
    PollFd = 8,
    Rlimit = 16,
    Rusage = 144,
    SchedParam = 4,
    Sembuf = 6,
    SigAction = 32,
    SigInfo = 128,
    SigSet = 8,
    SigSetArg = 16,
    Sigevent = 64,
    SockLen = 4,
    StackT = 24,
    Stat = 144,
    Statfs = 120,
    Statx = 256,
    Sysinfo = 112,
    Timespec = 16,
    TimespecPair = 32,
    Timeval = 16,
    TimevalPair = 32,
    Timex = 208,
    Timezone = 8,
    Tms = 32,
    Ustat = 32,
    Utimbuf = 16,
    Utsname = 390,
    WaitStatus = 4,
    XattrArgs = 16,
}
