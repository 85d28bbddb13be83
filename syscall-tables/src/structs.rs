//! The structures that system calls read and write, by name, with the size each has on x86-64.

use linux_abi::{
    capability, event, fcntl, futex, ipc, mount, resource, sched, signal, socket, stat, system, time,
};

macro_rules! structs {
    ($($name:ident = $layout:ty,)*) => {
        /// A structure that a system call's argument points at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "named after the C structures")]
        pub enum Struct { $($name,)* }

        impl Struct {
            /// Its size in bytes, in the kernel's layout.
            pub const fn size(self) -> u32 {
                let size = match self { $(Struct::$name => size_of::<$layout>(),)* };
                #[expect(clippy::cast_possible_truncation, reason = "none is that large")]
                let size = size as u32;
                size
            }
        }
    };
}

structs! {
    Cachestat = system::Cachestat,
    CachestatRange = system::CachestatRange,
    CapData = [capability::UserCapData; 2],
    CapHeader = capability::UserCapHeader,
    CloneArgs = sched::CloneArgs,
    EpollEvent = event::EpollEvent,
    FdPair = [i32; 2],
    FutexWaitv = futex::FutexWaitv,
    Id = u32,
    Int = i32,
    Iovec = fcntl::Iovec,
    Itimerspec = time::Itimerspec,
    Itimerval = time::Itimerval,
    Long = i64,
    Mmsghdr = socket::Mmsghdr,
    MountAttr = mount::MountAttr,
    MqAttr = ipc::MqAttr,
    Msghdr = socket::Msghdr,
    Off = i64,
    OpenHow = fcntl::OpenHow,
    Pointer = u64,
    PollFd = event::PollFd,
    Rlimit = resource::Rlimit,
    Rusage = resource::Rusage,
    SchedParam = sched::SchedParam,
    Sembuf = ipc::Sembuf,
    SigAction = signal::SigAction,
    SigInfo = signal::SigInfo,
    SigSet = u64,
    SigSetArg = signal::SigSetArg,
    Sigevent = time::Sigevent,
    SockLen = u32,
    StackT = signal::StackT,
    Stat = stat::Stat,
    Statfs = stat::Statfs,
    Statx = stat::Statx,
    Sysinfo = system::Sysinfo,
    Timespec = time::Timespec,
    TimespecPair = [time::Timespec; 2],
    Timeval = time::Timeval,
    TimevalPair = [time::Timeval; 2],
    Timex = time::Timex,
    Timezone = time::Timezone,
    Tms = time::Tms,
    Ustat = [u64; 4],
    Utimbuf = time::Utimbuf,
    Utsname = system::Utsname,
    WaitStatus = i32,
    XattrArgs = mount::XattrArgs,
}

#[cfg(test)]
mod tests {
    use super::Struct;

    #[test]
    fn sizes_are_those_of_x86_64() {
        let sizes = [
            (Struct::Cachestat, 40),
            (Struct::CachestatRange, 16),
            (Struct::CapData, 24),
            (Struct::CapHeader, 8),
            (Struct::CloneArgs, 88),
            (Struct::EpollEvent, 12),
            (Struct::FdPair, 8),
            (Struct::FutexWaitv, 24),
            (Struct::Id, 4),
            (Struct::Int, 4),
            (Struct::Iovec, 16),
            (Struct::Itimerspec, 32),
            (Struct::Itimerval, 32),
            (Struct::Long, 8),
            (Struct::Mmsghdr, 64),
            (Struct::MountAttr, 32),
            (Struct::MqAttr, 64),
            (Struct::Msghdr, 56),
            (Struct::Off, 8),
            (Struct::OpenHow, 24),
            (Struct::Pointer, 8),
            (Struct::PollFd, 8),
            (Struct::Rlimit, 16),
            (Struct::Rusage, 144),
            (Struct::SchedParam, 4),
            (Struct::Sembuf, 6),
            (Struct::SigAction, 32),
            (Struct::SigInfo, 128),
            (Struct::SigSet, 8),
            (Struct::SigSetArg, 16),
            (Struct::Sigevent, 64),
            (Struct::SockLen, 4),
            (Struct::StackT, 24),
            (Struct::Stat, 144),
            (Struct::Statfs, 120),
            (Struct::Statx, 256),
            (Struct::Sysinfo, 112),
            (Struct::Timespec, 16),
            (Struct::TimespecPair, 32),
            (Struct::Timeval, 16),
            (Struct::TimevalPair, 32),
            (Struct::Timex, 208),
            (Struct::Timezone, 8),
            (Struct::Tms, 32),
            (Struct::Ustat, 32),
            (Struct::Utimbuf, 16),
            (Struct::Utsname, 390),
            (Struct::WaitStatus, 4),
            (Struct::XattrArgs, 16),
        ];
        for (of, size) in sizes {
            assert_eq!(of.size(), size, "{of:?}");
        }
    }
}
