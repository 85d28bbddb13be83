//! ptrace(2) and process_vm_readv(2).

// Requests.

/// Be traced by the parent.
pub const PTRACE_TRACEME: i32 = 0;
/// Read a word of memory.
pub const PTRACE_PEEKTEXT: i32 = 0x1;
/// Read a word of memory.
pub const PTRACE_PEEKDATA: i32 = 0x2;
/// Read a word of the user area.
pub const PTRACE_PEEKUSER: i32 = 0x3;
/// Write a word of memory.
pub const PTRACE_POKETEXT: i32 = 0x4;
/// Write a word of memory.
pub const PTRACE_POKEDATA: i32 = 0x5;
/// Write a word of the user area.
pub const PTRACE_POKEUSER: i32 = 0x6;
/// Continue.
pub const PTRACE_CONT: i32 = 0x7;
/// Kill.
pub const PTRACE_KILL: i32 = 0x8;
/// Execute one instruction.
pub const PTRACE_SINGLESTEP: i32 = 0x9;
/// Get registers.
pub const PTRACE_GETREGS: i32 = 0xc;
/// Set registers.
pub const PTRACE_SETREGS: i32 = 0xd;
/// Get floating-point registers.
pub const PTRACE_GETFPREGS: i32 = 0xe;
/// Set floating-point registers.
pub const PTRACE_SETFPREGS: i32 = 0xf;
/// Attach.
pub const PTRACE_ATTACH: i32 = 0x10;
/// Detach.
pub const PTRACE_DETACH: i32 = 0x11;
/// Get a thread area.
pub const PTRACE_GET_THREAD_AREA: i32 = 0x19;
/// Set a thread area.
pub const PTRACE_SET_THREAD_AREA: i32 = 0x1a;
/// arch_prctl for the tracee.
pub const PTRACE_ARCH_PRCTL: i32 = 0x1e;
/// Continue to the next system call.
pub const PTRACE_SYSCALL: i32 = 0x18;
/// The same, without executing it.
pub const PTRACE_SYSEMU: i32 = 0x1f;
/// One instruction, or a system call not executed.
pub const PTRACE_SYSEMU_SINGLESTEP: i32 = 0x20;
/// Set options.
pub const PTRACE_SETOPTIONS: i32 = 0x4200;
/// Get the event's message.
pub const PTRACE_GETEVENTMSG: i32 = 0x4201;
/// Get the signal's cause.
pub const PTRACE_GETSIGINFO: i32 = 0x4202;
/// Set it.
pub const PTRACE_SETSIGINFO: i32 = 0x4203;
/// Get a register set.
pub const PTRACE_GETREGSET: i32 = 0x4204;
/// Set a register set.
pub const PTRACE_SETREGSET: i32 = 0x4205;
/// Attach without stopping.
pub const PTRACE_SEIZE: i32 = 0x4206;
/// Stop.
pub const PTRACE_INTERRUPT: i32 = 0x4207;
/// Stay stopped, but listen.
pub const PTRACE_LISTEN: i32 = 0x4208;
/// Read queued signals.
pub const PTRACE_PEEKSIGINFO: i32 = 0x4209;
/// Get the signal mask.
pub const PTRACE_GETSIGMASK: i32 = 0x420a;
/// Set it.
pub const PTRACE_SETSIGMASK: i32 = 0x420b;
/// Get a filter.
pub const PTRACE_SECCOMP_GET_FILTER: i32 = 0x420c;
/// What is the system call?
pub const PTRACE_GET_SYSCALL_INFO: i32 = 0x420e;

// Options.

/// Mark stops at system calls.
pub const PTRACE_O_TRACESYSGOOD: u64 = 0x1;
/// Stop at fork.
pub const PTRACE_O_TRACEFORK: u64 = 0x2;
/// Stop at vfork.
pub const PTRACE_O_TRACEVFORK: u64 = 0x4;
/// Stop at clone.
pub const PTRACE_O_TRACECLONE: u64 = 0x8;
/// Stop at execve.
pub const PTRACE_O_TRACEEXEC: u64 = 0x10;
/// Stop at the end of vfork.
pub const PTRACE_O_TRACEVFORKDONE: u64 = 0x20;
/// Stop before the end.
pub const PTRACE_O_TRACEEXIT: u64 = 0x40;
/// Stop at `SECCOMP_RET_TRACE`.
pub const PTRACE_O_TRACESECCOMP: u64 = 0x80;
/// Kill when the tracer ends.
pub const PTRACE_O_EXITKILL: u64 = 0x10_0000;
/// Suspend filters.
pub const PTRACE_O_SUSPEND_SECCOMP: u64 = 0x20_0000;
/// All of them.
pub const PTRACE_O_MASK: u64 = 0x30_00ff;

// Events.

/// fork.
pub const PTRACE_EVENT_FORK: i32 = 1;
/// vfork.
pub const PTRACE_EVENT_VFORK: i32 = 2;
/// clone.
pub const PTRACE_EVENT_CLONE: i32 = 3;
/// execve.
pub const PTRACE_EVENT_EXEC: i32 = 4;
/// The end of vfork.
pub const PTRACE_EVENT_VFORK_DONE: i32 = 5;
/// About to end.
pub const PTRACE_EVENT_EXIT: i32 = 6;
/// A filter.
pub const PTRACE_EVENT_SECCOMP: i32 = 7;
/// A stop.
pub const PTRACE_EVENT_STOP: i32 = 128;

uapi! {
    /// `struct user_regs_struct`: the registers of x86-64.
    pub struct UserRegs {
        /// Register r15.
        pub r15: u64,
        /// Register r14.
        pub r14: u64,
        /// Register r13.
        pub r13: u64,
        /// Register r12.
        pub r12: u64,
        /// Register rbp.
        pub rbp: u64,
        /// Register rbx.
        pub rbx: u64,
        /// Register r11.
        pub r11: u64,
        /// Register r10.
        pub r10: u64,
        /// Register r9.
        pub r9: u64,
        /// Register r8.
        pub r8: u64,
        /// Register rax.
        pub rax: u64,
        /// Register rcx.
        pub rcx: u64,
        /// Register rdx.
        pub rdx: u64,
        /// Register rsi.
        pub rsi: u64,
        /// Register rdi.
        pub rdi: u64,
        /// The number of the system call, or -1.
        pub orig_rax: u64,
        /// Register rip.
        pub rip: u64,
        /// Segment cs.
        pub cs: u64,
        /// The flags.
        pub eflags: u64,
        /// Register rsp.
        pub rsp: u64,
        /// Segment ss.
        pub ss: u64,
        /// The base of fs.
        pub fs_base: u64,
        /// The base of gs.
        pub gs_base: u64,
        /// Segment ds.
        pub ds: u64,
        /// Segment es.
        pub es: u64,
        /// Segment fs.
        pub fs: u64,
        /// Segment gs.
        pub gs: u64,
    }
}
