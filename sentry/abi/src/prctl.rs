//! Process controls: prctl(2), arch_prctl(2), seccomp(2).

// Options of prctl(2).

/// Signal for the parent's death.
pub const PR_SET_PDEATHSIG: i32 = 1;
/// Get it.
pub const PR_GET_PDEATHSIG: i32 = 2;
/// Can the process be dumped and traced?
pub const PR_GET_DUMPABLE: i32 = 3;
/// Say whether.
pub const PR_SET_DUMPABLE: i32 = 4;
/// Get alignment control.
pub const PR_GET_UNALIGN: i32 = 5;
/// Set alignment control.
pub const PR_SET_UNALIGN: i32 = 6;
/// Are capabilities kept across setuid?
pub const PR_GET_KEEPCAPS: i32 = 7;
/// Say whether.
pub const PR_SET_KEEPCAPS: i32 = 8;
/// Get floating-point emulation.
pub const PR_GET_FPEMU: i32 = 9;
/// Set floating-point emulation.
pub const PR_SET_FPEMU: i32 = 10;
/// Get floating-point exceptions.
pub const PR_GET_FPEXC: i32 = 11;
/// Set floating-point exceptions.
pub const PR_SET_FPEXC: i32 = 12;
/// Get how time is measured.
pub const PR_GET_TIMING: i32 = 13;
/// Set how time is measured.
pub const PR_SET_TIMING: i32 = 14;
/// Name the thread.
pub const PR_SET_NAME: i32 = 15;
/// Get the thread's name.
pub const PR_GET_NAME: i32 = 16;
/// Get the byte order.
pub const PR_GET_ENDIAN: i32 = 19;
/// Set the byte order.
pub const PR_SET_ENDIAN: i32 = 20;
/// Get the seccomp mode.
pub const PR_GET_SECCOMP: i32 = 21;
/// Set the seccomp mode.
pub const PR_SET_SECCOMP: i32 = 22;
/// Is a capability in the bounding set?
pub const PR_CAPBSET_READ: i32 = 23;
/// Drop one from it.
pub const PR_CAPBSET_DROP: i32 = 24;
/// May the time-stamp counter be read?
pub const PR_GET_TSC: i32 = 25;
/// Say whether.
pub const PR_SET_TSC: i32 = 26;
/// Get the secure bits.
pub const PR_GET_SECUREBITS: i32 = 27;
/// Set the secure bits.
pub const PR_SET_SECUREBITS: i32 = 28;
/// Set the slack of timers.
pub const PR_SET_TIMERSLACK: i32 = 29;
/// Get the slack of timers.
pub const PR_GET_TIMERSLACK: i32 = 30;
/// Disable performance counters.
pub const PR_TASK_PERF_EVENTS_DISABLE: i32 = 31;
/// Enable performance counters.
pub const PR_TASK_PERF_EVENTS_ENABLE: i32 = 32;
/// Set the policy for memory errors.
pub const PR_MCE_KILL: i32 = 33;
/// Get it.
pub const PR_MCE_KILL_GET: i32 = 34;
/// Change what the kernel knows of the address space.
pub const PR_SET_MM: i32 = 35;
/// Say who may trace.
pub const PR_SET_PTRACER: i32 = 1499557217;
/// Adopt orphaned descendants.
pub const PR_SET_CHILD_SUBREAPER: i32 = 36;
/// Does it?
pub const PR_GET_CHILD_SUBREAPER: i32 = 37;
/// execve grants no privileges, for good.
pub const PR_SET_NO_NEW_PRIVS: i32 = 38;
/// Is that set?
pub const PR_GET_NO_NEW_PRIVS: i32 = 39;
/// Get the address that is cleared at exit.
pub const PR_GET_TID_ADDRESS: i32 = 40;
/// Disable transparent huge pages.
pub const PR_SET_THP_DISABLE: i32 = 41;
/// Are they disabled?
pub const PR_GET_THP_DISABLE: i32 = 42;
/// Removed.
pub const PR_MPX_ENABLE_MANAGEMENT: i32 = 43;
/// Removed.
pub const PR_MPX_DISABLE_MANAGEMENT: i32 = 44;
/// Set the floating-point mode (MIPS).
pub const PR_SET_FP_MODE: i32 = 45;
/// Get it.
pub const PR_GET_FP_MODE: i32 = 46;
/// Change the ambient capabilities.
pub const PR_CAP_AMBIENT: i32 = 47;
/// Get speculation controls.
pub const PR_GET_SPECULATION_CTRL: i32 = 52;
/// Set speculation controls.
pub const PR_SET_SPECULATION_CTRL: i32 = 53;
/// Part of writing back memory.
pub const PR_SET_IO_FLUSHER: i32 = 57;
/// Is it?
pub const PR_GET_IO_FLUSHER: i32 = 58;
/// Redirect system calls to a signal.
pub const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
/// Core scheduling.
pub const PR_SCHED_CORE: i32 = 62;
/// Deny memory that is both writable and executable.
pub const PR_SET_MDWE: i32 = 65;
/// Is it denied?
pub const PR_GET_MDWE: i32 = 66;
/// Merge equal pages.
pub const PR_SET_MEMORY_MERGE: i32 = 67;
/// Are they merged?
pub const PR_GET_MEMORY_MERGE: i32 = 68;
/// Create timers with given ids.
pub const PR_TIMER_CREATE_RESTORE_IDS: i32 = 77;
/// Private futex hash.
pub const PR_FUTEX_HASH: i32 = 78;
/// Name memory.
pub const PR_SET_VMA: i32 = 1398164801;

// Arguments of prctl(2).

/// `PR_SET_VMA`: name anonymous memory.
pub const PR_SET_VMA_ANON_NAME: u64 = 0;
/// `PR_CAP_AMBIENT`: is it set?
pub const PR_CAP_AMBIENT_IS_SET: u64 = 1;
/// `PR_CAP_AMBIENT`: raise.
pub const PR_CAP_AMBIENT_RAISE: u64 = 2;
/// `PR_CAP_AMBIENT`: lower.
pub const PR_CAP_AMBIENT_LOWER: u64 = 3;
/// `PR_CAP_AMBIENT`: lower all.
pub const PR_CAP_AMBIENT_CLEAR_ALL: u64 = 4;
/// `PR_SET_TSC`: allow.
pub const PR_TSC_ENABLE: u64 = 1;
/// `PR_SET_TSC`: fault.
pub const PR_TSC_SIGSEGV: u64 = 2;
/// `PR_SET_MM`: start of text.
pub const PR_SET_MM_START_CODE: u64 = 1;
/// `PR_SET_MM`: end of text.
pub const PR_SET_MM_END_CODE: u64 = 2;
/// `PR_SET_MM`: start of data.
pub const PR_SET_MM_START_DATA: u64 = 3;
/// `PR_SET_MM`: end of data.
pub const PR_SET_MM_END_DATA: u64 = 4;
/// `PR_SET_MM`: the stack.
pub const PR_SET_MM_START_STACK: u64 = 5;
/// `PR_SET_MM`: start of the heap.
pub const PR_SET_MM_START_BRK: u64 = 6;
/// `PR_SET_MM`: end of the heap.
pub const PR_SET_MM_BRK: u64 = 7;
/// `PR_SET_MM`: start of the arguments.
pub const PR_SET_MM_ARG_START: u64 = 8;
/// `PR_SET_MM`: end of the arguments.
pub const PR_SET_MM_ARG_END: u64 = 9;
/// `PR_SET_MM`: start of the environment.
pub const PR_SET_MM_ENV_START: u64 = 10;
/// `PR_SET_MM`: end of the environment.
pub const PR_SET_MM_ENV_END: u64 = 11;
/// `PR_SET_MM`: the auxiliary vector.
pub const PR_SET_MM_AUXV: u64 = 12;
/// `PR_SET_MM`: `/proc/PID/exe`.
pub const PR_SET_MM_EXE_FILE: u64 = 13;
/// `PR_SET_MM`: all of them.
pub const PR_SET_MM_MAP: u64 = 14;
/// `PR_SET_MM`: the size of all of them.
pub const PR_SET_MM_MAP_SIZE: u64 = 15;
/// `PR_MCE_KILL`: back to the default.
pub const PR_MCE_KILL_CLEAR: u64 = 0;
/// `PR_MCE_KILL`: set.
pub const PR_MCE_KILL_SET: u64 = 1;
/// `PR_MCE_KILL`: when touched.
pub const PR_MCE_KILL_LATE: u64 = 0;
/// `PR_MCE_KILL`: at once.
pub const PR_MCE_KILL_EARLY: u64 = 1;
/// `PR_MCE_KILL`: as the system.
pub const PR_MCE_KILL_DEFAULT: u64 = 2;
/// Speculation: store bypass.
pub const PR_SPEC_STORE_BYPASS: u64 = 0;
/// Speculation: indirect branches.
pub const PR_SPEC_INDIRECT_BRANCH: u64 = 1;
/// Speculation: flush the cache.
pub const PR_SPEC_L1D_FLUSH: u64 = 2;
/// `PR_SET_SYSCALL_USER_DISPATCH`: off.
pub const PR_SYS_DISPATCH_OFF: u64 = 0;
/// `PR_SET_SYSCALL_USER_DISPATCH`: on.
pub const PR_SYS_DISPATCH_ON: u64 = 1;

// Codes of arch_prctl(2).

/// Set the base of `gs`.
pub const ARCH_SET_GS: i32 = 0x1001;
/// Set the base of `fs`.
pub const ARCH_SET_FS: i32 = 0x1002;
/// Get the base of `fs`.
pub const ARCH_GET_FS: i32 = 0x1003;
/// Get the base of `gs`.
pub const ARCH_GET_GS: i32 = 0x1004;
/// Does `cpuid` work?
pub const ARCH_GET_CPUID: i32 = 0x1011;
/// Say whether.
pub const ARCH_SET_CPUID: i32 = 0x1012;
/// Which extended states are there?
pub const ARCH_GET_XCOMP_SUPP: i32 = 0x1021;
/// Which may be used?
pub const ARCH_GET_XCOMP_PERM: i32 = 0x1022;
/// Ask to use one.
pub const ARCH_REQ_XCOMP_PERM: i32 = 0x1023;
/// An old probe for shadow stacks, which the C library still makes.
pub const ARCH_CET_STATUS: i32 = 0x3001;
/// Enable a shadow stack.
pub const ARCH_SHSTK_ENABLE: i32 = 0x5001;
/// Disable it.
pub const ARCH_SHSTK_DISABLE: i32 = 0x5002;
/// Lock that choice.
pub const ARCH_SHSTK_LOCK: i32 = 0x5003;
/// Unlock it.
pub const ARCH_SHSTK_UNLOCK: i32 = 0x5004;
/// Which is it?
pub const ARCH_SHSTK_STATUS: i32 = 0x5005;

// Operations of seccomp(2).

/// Strict mode.
pub const SECCOMP_SET_MODE_STRICT: u32 = 0;
/// Add a filter.
pub const SECCOMP_SET_MODE_FILTER: u32 = 1;
/// Is an action there?
pub const SECCOMP_GET_ACTION_AVAIL: u32 = 2;
/// Sizes of the notification structures.
pub const SECCOMP_GET_NOTIF_SIZES: u32 = 3;

// Modes of `PR_SET_SECCOMP`.

/// None.
pub const SECCOMP_MODE_DISABLED: u64 = 0;
/// Strict mode.
pub const SECCOMP_MODE_STRICT: u64 = 1;
/// A filter.
pub const SECCOMP_MODE_FILTER: u64 = 2;

// Flags of `SECCOMP_SET_MODE_FILTER`.

/// Every thread.
pub const SECCOMP_FILTER_FLAG_TSYNC: u32 = 0x1;
/// Log actions.
pub const SECCOMP_FILTER_FLAG_LOG: u32 = 0x2;
/// Keep speculation.
pub const SECCOMP_FILTER_FLAG_SPEC_ALLOW: u32 = 0x4;
/// Return a descriptor for notifications.
pub const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 0x8;
/// `TSYNC` fails with `ESRCH`.
pub const SECCOMP_FILTER_FLAG_TSYNC_ESRCH: u32 = 0x10;
/// Only fatal signals interrupt a notification.
pub const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: u32 = 0x20;

// Actions of a filter.

/// End the process.
pub const SECCOMP_RET_KILL_PROCESS: u32 = 0x8000_0000;
/// End the thread.
pub const SECCOMP_RET_KILL_THREAD: u32 = 0;
/// Send `SIGSYS`.
pub const SECCOMP_RET_TRAP: u32 = 0x30000;
/// Return an error.
pub const SECCOMP_RET_ERRNO: u32 = 0x50000;
/// Ask the listener.
pub const SECCOMP_RET_USER_NOTIF: u32 = 0x7fc0_0000;
/// Ask the tracer.
pub const SECCOMP_RET_TRACE: u32 = 0x7ff0_0000;
/// Allow, and log.
pub const SECCOMP_RET_LOG: u32 = 0x7ffc_0000;
/// Allow.
pub const SECCOMP_RET_ALLOW: u32 = 0x7fff_0000;
/// The bits that hold the action.
pub const SECCOMP_RET_ACTION_FULL: u32 = 0xffff_0000;
/// The bits that hold its datum.
pub const SECCOMP_RET_DATA: u32 = 0xffff;

// Secure bits.

/// User 0 is nothing special.
pub const SECBIT_NOROOT: u32 = 0x1;
/// And that stays.
pub const SECBIT_NOROOT_LOCKED: u32 = 0x2;
/// setuid does not change capabilities.
pub const SECBIT_NO_SETUID_FIXUP: u32 = 0x4;
/// And that stays.
pub const SECBIT_NO_SETUID_FIXUP_LOCKED: u32 = 0x8;
/// Capabilities are kept across setuid.
pub const SECBIT_KEEP_CAPS: u32 = 0x10;
/// And that stays.
pub const SECBIT_KEEP_CAPS_LOCKED: u32 = 0x20;
/// Ambient capabilities cannot be raised.
pub const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 0x40;
/// And that stays.
pub const SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED: u32 = 0x80;

uapi! {
    /// `struct sock_fprog`: a classic BPF program.
    pub struct SockFprog {
        /// How many instructions.
        pub len: u16,
        /// Padding.
        pub _pad: [u16; 3],
        /// Where they are.
        pub filter: u64,
    }

    /// `struct sock_filter`: an instruction of classic BPF.
    pub struct SockFilter {
        /// The operation.
        pub code: u16,
        /// Jump if true.
        pub jt: u8,
        /// Jump if false.
        pub jf: u8,
        /// The operand.
        pub k: u32,
    }

    /// `struct seccomp_data`: what a seccomp filter sees.
    pub struct SeccompData {
        /// The number of the call.
        pub nr: i32,
        /// The architecture.
        pub arch: u32,
        /// Where it was made.
        pub instruction_pointer: u64,
        /// Its arguments.
        pub args: [u64; 6],
    }

    /// `struct prctl_mm_map` of `PR_SET_MM_MAP`.
    pub struct PrctlMmMap {
        /// Start of text.
        pub start_code: u64,
        /// End of text.
        pub end_code: u64,
        /// Start of data.
        pub start_data: u64,
        /// End of data.
        pub end_data: u64,
        /// Start of the heap.
        pub start_brk: u64,
        /// End of the heap.
        pub brk: u64,
        /// The stack.
        pub start_stack: u64,
        /// Start of the arguments.
        pub arg_start: u64,
        /// End of the arguments.
        pub arg_end: u64,
        /// Start of the environment.
        pub env_start: u64,
        /// End of the environment.
        pub env_end: u64,
        /// Where the auxiliary vector is.
        pub auxv: u64,
        /// Its size.
        pub auxv_size: u32,
        /// The executable's descriptor; -1 for no change.
        pub exe_fd: u32,
    }
}

/// `AUDIT_ARCH_X86_64`: the architecture in [`SeccompData`] and `SIGSYS`.
pub const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
