//! Threads and scheduling: clone(2), unshare(2), setns(2), sched(7), membarrier(2).

// Flags of clone(2), unshare(2) and setns(2).

/// clone: the bits that hold the exit signal.
pub const CSIGNAL: u64 = 0xff;
/// A new time namespace; not with clone(2).
pub const CLONE_NEWTIME: u64 = 0x80;
/// Share memory.
pub const CLONE_VM: u64 = 0x100;
/// Share root, working directory and umask.
pub const CLONE_FS: u64 = 0x200;
/// Share the descriptor table.
pub const CLONE_FILES: u64 = 0x400;
/// Share signal actions.
pub const CLONE_SIGHAND: u64 = 0x800;
/// Return a process descriptor.
pub const CLONE_PIDFD: u64 = 0x1000;
/// Trace the child too.
pub const CLONE_PTRACE: u64 = 0x2000;
/// Wait until the child lets go of the memory.
pub const CLONE_VFORK: u64 = 0x4000;
/// The child's parent is the caller's.
pub const CLONE_PARENT: u64 = 0x8000;
/// A thread of the same process.
pub const CLONE_THREAD: u64 = 0x10000;
/// A new mount namespace.
pub const CLONE_NEWNS: u64 = 0x20000;
/// Share semaphore adjustments.
pub const CLONE_SYSVSEM: u64 = 0x40000;
/// Set the thread pointer.
pub const CLONE_SETTLS: u64 = 0x80000;
/// Store the id in the parent.
pub const CLONE_PARENT_SETTID: u64 = 0x10_0000;
/// Clear the id, and wake, when the child ends.
pub const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
/// Ignored.
pub const CLONE_DETACHED: u64 = 0x40_0000;
/// No tracer may be forced on the child.
pub const CLONE_UNTRACED: u64 = 0x80_0000;
/// Store the id in the child.
pub const CLONE_CHILD_SETTID: u64 = 0x100_0000;
/// A new cgroup namespace.
pub const CLONE_NEWCGROUP: u64 = 0x200_0000;
/// A new UTS namespace.
pub const CLONE_NEWUTS: u64 = 0x400_0000;
/// A new IPC namespace.
pub const CLONE_NEWIPC: u64 = 0x800_0000;
/// A new user namespace.
pub const CLONE_NEWUSER: u64 = 0x1000_0000;
/// A new pid namespace.
pub const CLONE_NEWPID: u64 = 0x2000_0000;
/// A new network namespace.
pub const CLONE_NEWNET: u64 = 0x4000_0000;
/// Share the input/output context.
pub const CLONE_IO: u64 = 0x8000_0000;
/// clone3: caught signals back to the default.
pub const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// clone3: into the given cgroup.
pub const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

// Sizes of `struct clone_args`.

/// The first version.
pub const CLONE_ARGS_SIZE_VER0: u64 = 64;
/// With `set_tid`.
pub const CLONE_ARGS_SIZE_VER1: u64 = 80;
/// With `cgroup`.
pub const CLONE_ARGS_SIZE_VER2: u64 = 88;

// Scheduling policies.

/// The default (`SCHED_NORMAL`).
pub const SCHED_OTHER: u32 = 0;
/// First in, first out.
pub const SCHED_FIFO: u32 = 1;
/// Round robin.
pub const SCHED_RR: u32 = 2;
/// For batches.
pub const SCHED_BATCH: u32 = 3;
/// When nothing else runs.
pub const SCHED_IDLE: u32 = 5;
/// By deadline.
pub const SCHED_DEADLINE: u32 = 6;
/// Extensible.
pub const SCHED_EXT: u32 = 7;

// Added to a policy.

/// Children start with the default.
pub const SCHED_RESET_ON_FORK: u32 = 0x4000_0000;

// Flags of `struct sched_attr`.

/// Children start with the default.
pub const SCHED_FLAG_RESET_ON_FORK: u64 = 0x1;
/// Reclaim unused bandwidth.
pub const SCHED_FLAG_RECLAIM: u64 = 0x2;
/// Tell about overruns.
pub const SCHED_FLAG_DL_OVERRUN: u64 = 0x4;
/// Keep the policy.
pub const SCHED_FLAG_KEEP_POLICY: u64 = 0x8;
/// Keep the parameters.
pub const SCHED_FLAG_KEEP_PARAMS: u64 = 0x10;
/// Set the lower clamp.
pub const SCHED_FLAG_UTIL_CLAMP_MIN: u64 = 0x20;
/// Set the upper clamp.
pub const SCHED_FLAG_UTIL_CLAMP_MAX: u64 = 0x40;
/// All of them.
pub const SCHED_FLAG_ALL: u64 = 0x7f;

// Whose priority (getpriority(2)).

/// A process.
pub const PRIO_PROCESS: i32 = 0;
/// A process group.
pub const PRIO_PGRP: i32 = 1;
/// A user.
pub const PRIO_USER: i32 = 2;

// Whose input/output priority (ioprio_set(2)).

/// A process.
pub const IOPRIO_WHO_PROCESS: i32 = 1;
/// A process group.
pub const IOPRIO_WHO_PGRP: i32 = 2;
/// A user.
pub const IOPRIO_WHO_USER: i32 = 3;

// Classes of input/output priority.

/// Where the class is in a priority.
pub const IOPRIO_CLASS_SHIFT: u32 = 13;
/// None.
pub const IOPRIO_CLASS_NONE: u32 = 0;
/// Real time.
pub const IOPRIO_CLASS_RT: u32 = 1;
/// Best effort.
pub const IOPRIO_CLASS_BE: u32 = 2;
/// When nothing else wants.
pub const IOPRIO_CLASS_IDLE: u32 = 3;

// Commands of membarrier(2).

/// Which commands are there?
pub const MEMBARRIER_CMD_QUERY: i32 = 0;
/// A barrier on every thread.
pub const MEMBARRIER_CMD_GLOBAL: i32 = 0x1;
/// A barrier on every thread of registered processes.
pub const MEMBARRIER_CMD_GLOBAL_EXPEDITED: i32 = 0x2;
/// Register for that.
pub const MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED: i32 = 0x4;
/// A barrier on every thread of this process.
pub const MEMBARRIER_CMD_PRIVATE_EXPEDITED: i32 = 0x8;
/// Register for that.
pub const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: i32 = 0x10;
/// The same, and serialise instructions.
pub const MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE: i32 = 0x20;
/// Register for that.
pub const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: i32 = 0x40;
/// The same, and restart rseq sections.
pub const MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ: i32 = 0x80;
/// Register for that.
pub const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ: i32 = 0x100;
/// What is registered?
pub const MEMBARRIER_CMD_GET_REGISTRATIONS: i32 = 0x200;

// Flags of membarrier(2).

/// Only the given processor.
pub const MEMBARRIER_CMD_FLAG_CPU: u32 = 0x1;

uapi! {
    /// `struct clone_args` of clone3(2).
    pub struct CloneArgs {
        /// `CLONE_*`.
        pub flags: u64,
        /// Where to store the process descriptor.
        pub pidfd: u64,
        /// Where the child stores its id.
        pub child_tid: u64,
        /// Where the parent stores the child's id.
        pub parent_tid: u64,
        /// The signal for the child's end.
        pub exit_signal: u64,
        /// The lowest address of the stack.
        pub stack: u64,
        /// Its size.
        pub stack_size: u64,
        /// The thread pointer.
        pub tls: u64,
        /// An array of ids to choose.
        pub set_tid: u64,
        /// Its length.
        pub set_tid_size: u64,
        /// The cgroup's descriptor.
        pub cgroup: u64,
    }

    /// `struct sched_param`.
    pub struct SchedParam {
        /// The real-time priority.
        pub sched_priority: i32,
    }

    /// `struct sched_attr` of sched_setattr(2), its first version; the second adds clamps of utilisation.
    pub struct SchedAttr {
        /// Its size, as the program knows it.
        pub size: u32,
        /// `SCHED_*`.
        pub policy: u32,
        /// `SCHED_FLAG_*`.
        pub flags: u64,
        /// The nice value.
        pub nice: i32,
        /// The real-time priority.
        pub priority: u32,
        /// Runtime in a period, nanoseconds.
        pub runtime: u64,
        /// The deadline in a period, nanoseconds.
        pub deadline: u64,
        /// The period, nanoseconds.
        pub period: u64,
    }
}
