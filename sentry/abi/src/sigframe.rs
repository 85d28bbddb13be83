//! The frame that the kernel puts on the stack for a signal handler on x86-64 (`arch/x86/include/uapi/asm/sigcontext.h`).

use crate::signal::{SigInfo, StackT};

/// `UC_FP_XSTATE`: the frame's floating-point state has the extended form.
pub const UC_FP_XSTATE: u64 = 0x1;
/// `UC_SIGCONTEXT_SS`: `ss` is saved.
pub const UC_SIGCONTEXT_SS: u64 = 0x2;
/// `UC_STRICT_RESTORE_SS`: `ss` is restored as it is.
pub const UC_STRICT_RESTORE_SS: u64 = 0x4;
/// Marks an extended state, at its start (`sw_reserved`).
pub const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// Marks an extended state, just behind it.
pub const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// The size of [`FP_XSTATE_MAGIC2`].
pub const FP_XSTATE_MAGIC2_SIZE: u32 = 4;
/// How much below the stack pointer a handler must leave alone.
pub const REDZONE_SIZE: u64 = 128;

uapi! {
    /// `struct sigcontext`: the registers.
    pub struct Sigcontext {
        /// Register r8.
        pub r8: u64,
        /// Register r9.
        pub r9: u64,
        /// Register r10.
        pub r10: u64,
        /// Register r11.
        pub r11: u64,
        /// Register r12.
        pub r12: u64,
        /// Register r13.
        pub r13: u64,
        /// Register r14.
        pub r14: u64,
        /// Register r15.
        pub r15: u64,
        /// Register rdi.
        pub di: u64,
        /// Register rsi.
        pub si: u64,
        /// Register rbp.
        pub bp: u64,
        /// Register rbx.
        pub bx: u64,
        /// Register rdx.
        pub dx: u64,
        /// Register rax.
        pub ax: u64,
        /// Register rcx.
        pub cx: u64,
        /// Register rsp.
        pub sp: u64,
        /// Register rip.
        pub ip: u64,
        /// The flags.
        pub flags: u64,
        /// Segment cs.
        pub cs: u16,
        /// Segment gs; unused.
        pub gs: u16,
        /// Segment fs; unused.
        pub fs: u16,
        /// Segment ss.
        pub ss: u16,
        /// The error code of the exception.
        pub err: u64,
        /// The number of the exception.
        pub trapno: u64,
        /// The signal mask, its first word.
        pub oldmask: u64,
        /// The address of the page fault.
        pub cr2: u64,
        /// Where the floating-point state is; null for none.
        pub fpstate: u64,
        /// Unused.
        pub reserved1: [u64; 8],
    }

    /// `struct ucontext`, as it lies on the stack.
    pub struct Ucontext {
        /// `UC_*`.
        pub uc_flags: u64,
        /// Unused.
        pub uc_link: u64,
        /// The alternate stack.
        pub uc_stack: StackT,
        /// The registers.
        pub uc_mcontext: Sigcontext,
        /// The signal mask to return to.
        pub uc_sigmask: u64,
    }

    /// `struct rt_sigframe`: what a handler finds on its stack. The floating-point state lies above it.
    pub struct RtSigframe {
        /// The return address: `sa_restorer`.
        pub pretcode: u64,
        /// What rt_sigreturn restores.
        pub uc: Ucontext,
        /// Why.
        pub info: SigInfo,
    }

    /// `struct _fpx_sw_bytes`: what the kernel says about an extended state, in its unused bytes.
    pub struct FpxSwBytes {
        /// [`FP_XSTATE_MAGIC1`].
        pub magic1: u32,
        /// The size of everything, the second magic included.
        pub extended_size: u32,
        /// Which states are there.
        pub xfeatures: u64,
        /// The size of the state.
        pub xstate_size: u32,
        /// Unused.
        pub padding: [u32; 7],
    }

    /// `struct _fpstate_64`: the floating-point state (FXSAVE).
    pub struct Fpstate {
        /// Control word.
        pub cwd: u16,
        /// Status word.
        pub swd: u16,
        /// Tag word, abridged.
        pub twd: u16,
        /// Last opcode.
        pub fop: u16,
        /// Last instruction.
        pub rip: u64,
        /// Last operand.
        pub rdp: u64,
        /// SSE control and status.
        pub mxcsr: u32,
        /// Which bits of it there are.
        pub mxcsr_mask: u32,
        /// The x87 registers, 16 bytes each.
        pub st_space: [u32; 32],
        /// The SSE registers, 16 bytes each.
        pub xmm_space: [u32; 64],
        /// Unused.
        pub reserved2: [u32; 12],
        /// About what follows.
        pub sw_reserved: FpxSwBytes,
    }

    /// `struct _xstate_header`: the start of what follows [`Fpstate`] in an extended state.
    pub struct XstateHeader {
        /// Which states are there.
        pub xfeatures: u64,
        /// Unused.
        pub reserved1: [u64; 2],
        /// Unused.
        pub reserved2: [u64; 5],
    }
}
