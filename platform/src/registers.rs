//! A guest thread's general registers.

/// The user-visible registers of an x86-64 thread, in the order of `struct user_regs_struct`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The number of the system call that trapped; `u64::MAX` after any other trap.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

/// The 64-bit user code segment selector.
pub const USER_CS: u64 = 0x33;
/// The user data segment selector.
pub const USER_SS: u64 = 0x2b;

impl Registers {
    /// The state a program starts with: everything zero but where it starts and its stack.
    pub fn entry(rip: u64, rsp: u64) -> Registers {
        Registers {
            rip,
            rsp,
            cs: USER_CS,
            ss: USER_SS,
            eflags: 0x202,
            orig_rax: u64::MAX,
            ..Registers::default()
        }
    }

    /// The six argument registers of a system call, in order.
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}
