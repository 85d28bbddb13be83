//! What the sentry itself must be allowed to call for this backend, once it has locked itself down.

/// Host system calls with the reason for each. Sorted.
const CALLS: &[(&str, &str)] = &[
    ("clock_gettime", "processor time of stubs"),
    ("close", "sockets and memfds of stubs"),
    ("fcntl", "seals of slot memfds"),
    ("ftruncate", "size of slot memfds"),
    ("futex", "hand-over to and from stubs"),
    ("getcpu", "where a guest thread is to be woken: `getcpu` where the vdso does not answer"),
    ("getrusage", "whether a polling thread is in the way of others"),
    ("kill", "ending stubs"),
    ("memfd_create", "slots of new stubs"),
    ("mmap", "mapping slots"),
    ("munmap", "unmapping slots"),
    ("process_vm_readv", "reading guest memory"),
    ("process_vm_writev", "writing guest memory"),
    ("sched_setaffinity", "running a sentry thread and its guest thread on one processor"),
    ("sched_yield", "waiting for another thread's change to call sites"),
    ("sendmsg", "passing files to stubs"),
    ("socketpair", "the private socket of a new stub"),
    ("tgkill", "interrupting guest threads"),
    ("waitid", "noticing the ends of stubs"),
];

/// Host system calls that the sentry needs for the systrap platform after its lock-down, with reasons. Besides these it
/// starts one thread (`clone3` and what the C library does around it).
#[must_use]
pub fn host_calls() -> &'static [(&'static str, &'static str)] {
    CALLS
}
