//! The auxiliary vector (getauxval(3)).

// Types of entries.

/// The end.
pub const AT_NULL: u64 = 0;
/// Ignored.
pub const AT_IGNORE: u64 = 1;
/// The program's descriptor.
pub const AT_EXECFD: u64 = 2;
/// Where the program headers are.
pub const AT_PHDR: u64 = 3;
/// The size of one.
pub const AT_PHENT: u64 = 4;
/// How many.
pub const AT_PHNUM: u64 = 5;
/// The page size.
pub const AT_PAGESZ: u64 = 6;
/// Where the interpreter is.
pub const AT_BASE: u64 = 7;
/// Flags.
pub const AT_FLAGS: u64 = 8;
/// The program's entry point.
pub const AT_ENTRY: u64 = 9;
/// The real user.
pub const AT_UID: u64 = 11;
/// The effective user.
pub const AT_EUID: u64 = 12;
/// The real group.
pub const AT_GID: u64 = 13;
/// The effective group.
pub const AT_EGID: u64 = 14;
/// The platform's name.
pub const AT_PLATFORM: u64 = 15;
/// What the processor can do.
pub const AT_HWCAP: u64 = 16;
/// Ticks of times(2) a second.
pub const AT_CLKTCK: u64 = 17;
/// Do not trust the environment.
pub const AT_SECURE: u64 = 23;
/// The real platform's name.
pub const AT_BASE_PLATFORM: u64 = 24;
/// Sixteen random bytes.
pub const AT_RANDOM: u64 = 25;
/// More of what the processor can do.
pub const AT_HWCAP2: u64 = 26;
/// How much of `struct rseq` the kernel fills.
pub const AT_RSEQ_FEATURE_SIZE: u64 = 27;
/// How `struct rseq` must be aligned.
pub const AT_RSEQ_ALIGN: u64 = 28;
/// The program's path.
pub const AT_EXECFN: u64 = 31;
/// The vDSO.
pub const AT_SYSINFO_EHDR: u64 = 33;
/// The smallest alternate stack.
pub const AT_MINSIGSTKSZ: u64 = 51;
