//! The handlers, by the names of the table's rows.

pub(super) use super::{
    credentials::{
        capget, capset, getegid, geteuid, getgid, getgroups, getresgid, getresuid, getuid, setfsgid, setfsuid, setgid,
        setgroups, setregid, setresgid, setresuid, setreuid, setuid,
    },
    epoll::{epoll_create, epoll_create1, epoll_ctl, epoll_pwait, epoll_pwait2, epoll_wait},
    eventfd::{eventfd, eventfd2},
    futex::{futex, futex_requeue, futex_wait, futex_waitv, futex_wake, get_robust_list, set_robust_list},
    identity::{
        getpgid, getpgrp, getpid, getppid, getsid, gettid, set_tid_address, setdomainname, sethostname, setns, setpgid,
        setsid, uname, unshare,
    },
    memory::{
        brk, madvise, mincore, mlock, mlock2, mlockall, mmap, mprotect, mremap, mseal, msync, munlock, munlockall,
        munmap, pkey_mprotect, process_vm_readv, process_vm_writev, remap_file_pages,
    },
    pidfd::{pidfd_getfd, pidfd_open, pidfd_send_signal},
    pipe::{pipe, pipe2},
    poll::{poll, ppoll, pselect6, select},
    prctl::{arch_prctl, personality, prctl, syslog},
    process::{clone, clone3, execve, execveat, exit, exit_group, fork, vfork, wait4, waitid},
    resource::{getrandom, getrlimit, getrusage, prlimit64, setrlimit, sysinfo},
    rseq::rseq,
    signal::{
        kill, pause, restart_syscall, rt_sigaction, rt_sigpending, rt_sigprocmask, rt_sigqueueinfo, rt_sigreturn,
        rt_sigsuspend, rt_sigtimedwait, rt_tgsigqueueinfo, sigaltstack, tgkill, tkill,
    },
    socket::{
        accept, accept4, bind, connect, getpeername, getsockname, listen, shutdown, socket, socketpair,
    },
    socket_message::{recvfrom, recvmmsg, recvmsg, sendmmsg, sendmsg, sendto},
    socket_option::{getsockopt, setsockopt},
    time::{
        adjtimex, clock_adjtime, clock_getres, clock_gettime, clock_nanosleep, gettimeofday, nanosleep, time,
        times,
    },
    timers::{
        alarm, getitimer, setitimer, timer_create, timer_delete, timer_getoverrun, timer_gettime,
        timer_settime, timerfd_create, timerfd_gettime, timerfd_settime,
    },
};
