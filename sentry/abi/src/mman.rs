//! Memory: mmap(2), mremap(2), madvise(2), mlock(2), memfd_create(2).

// Protection.

/// No access.
pub const PROT_NONE: u64 = 0;
/// May be read.
pub const PROT_READ: u64 = 0x1;
/// May be written.
pub const PROT_WRITE: u64 = 0x2;
/// May be executed.
pub const PROT_EXEC: u64 = 0x4;
/// May hold atomics; ignored.
pub const PROT_SEM: u64 = 0x8;
/// Extend the change to the start of a growing mapping.
pub const PROT_GROWSDOWN: u64 = 0x100_0000;
/// Extend the change to the end of a growing mapping.
pub const PROT_GROWSUP: u64 = 0x200_0000;

// Flags of mmap(2).

/// Share changes.
pub const MAP_SHARED: u64 = 0x1;
/// Keep changes private.
pub const MAP_PRIVATE: u64 = 0x2;
/// Share changes; unknown flags are errors.
pub const MAP_SHARED_VALIDATE: u64 = 0x3;
/// The bits that hold the kind of sharing.
pub const MAP_TYPE: u64 = 0xf;
/// May be dropped under memory pressure.
pub const MAP_DROPPABLE: u64 = 0x8;
/// Exactly there, replacing what is there.
pub const MAP_FIXED: u64 = 0x10;
/// Not backed by a file.
pub const MAP_ANONYMOUS: u64 = 0x20;
/// Below 2 GiB.
pub const MAP_32BIT: u64 = 0x40;
/// Grows down, as a stack.
pub const MAP_GROWSDOWN: u64 = 0x100;
/// Ignored.
pub const MAP_DENYWRITE: u64 = 0x800;
/// Ignored.
pub const MAP_EXECUTABLE: u64 = 0x1000;
/// Lock the pages.
pub const MAP_LOCKED: u64 = 0x2000;
/// Do not reserve swap.
pub const MAP_NORESERVE: u64 = 0x4000;
/// Fault the pages in now.
pub const MAP_POPULATE: u64 = 0x8000;
/// With `MAP_POPULATE`: do not wait.
pub const MAP_NONBLOCK: u64 = 0x10000;
/// For a stack; ignored.
pub const MAP_STACK: u64 = 0x20000;
/// Huge pages.
pub const MAP_HUGETLB: u64 = 0x40000;
/// Synchronous faults, for persistent memory.
pub const MAP_SYNC: u64 = 0x80000;
/// Exactly there, unless something is there.
pub const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
/// Need not be zeroed; ignored.
pub const MAP_UNINITIALIZED: u64 = 0x400_0000;

// The size of huge pages in the flags.

/// Where the logarithm of the size is.
pub const MAP_HUGE_SHIFT: u32 = 26;
/// How wide it is.
pub const MAP_HUGE_MASK: u32 = 63;

// Flags of mremap(2).

/// May move.
pub const MREMAP_MAYMOVE: u64 = 0x1;
/// Move to the given address.
pub const MREMAP_FIXED: u64 = 0x2;
/// Leave the old range mapped.
pub const MREMAP_DONTUNMAP: u64 = 0x4;

// Flags of msync(2).

/// Schedule the write.
pub const MS_ASYNC: u32 = 0x1;
/// Invalidate other mappings.
pub const MS_INVALIDATE: u32 = 0x2;
/// Wait for the write.
pub const MS_SYNC: u32 = 0x4;

// Advice of madvise(2).

/// None.
pub const MADV_NORMAL: i32 = 0;
/// Random access.
pub const MADV_RANDOM: i32 = 1;
/// Sequential access.
pub const MADV_SEQUENTIAL: i32 = 2;
/// Will be needed.
pub const MADV_WILLNEED: i32 = 3;
/// Drop the pages.
pub const MADV_DONTNEED: i32 = 4;
/// May be dropped until written again.
pub const MADV_FREE: i32 = 8;
/// Free the backing store.
pub const MADV_REMOVE: i32 = 9;
/// Not inherited by fork.
pub const MADV_DONTFORK: i32 = 10;
/// Inherited by fork.
pub const MADV_DOFORK: i32 = 11;
/// May be merged with equal pages.
pub const MADV_MERGEABLE: i32 = 12;
/// Must not be merged.
pub const MADV_UNMERGEABLE: i32 = 13;
/// Prefer huge pages.
pub const MADV_HUGEPAGE: i32 = 14;
/// No huge pages.
pub const MADV_NOHUGEPAGE: i32 = 15;
/// Leave out of core files.
pub const MADV_DONTDUMP: i32 = 16;
/// Put into core files.
pub const MADV_DODUMP: i32 = 17;
/// Zero in the child of a fork.
pub const MADV_WIPEONFORK: i32 = 18;
/// Undo `MADV_WIPEONFORK`.
pub const MADV_KEEPONFORK: i32 = 19;
/// Not needed soon.
pub const MADV_COLD: i32 = 20;
/// Reclaim now.
pub const MADV_PAGEOUT: i32 = 21;
/// Fault in for reading.
pub const MADV_POPULATE_READ: i32 = 22;
/// Fault in for writing.
pub const MADV_POPULATE_WRITE: i32 = 23;
/// As `MADV_DONTNEED`, locked pages too.
pub const MADV_DONTNEED_LOCKED: i32 = 24;
/// Make huge pages now.
pub const MADV_COLLAPSE: i32 = 25;
/// Poison a page (for tests).
pub const MADV_HWPOISON: i32 = 100;
/// Take a page offline softly.
pub const MADV_SOFT_OFFLINE: i32 = 101;
/// Make guard pages.
pub const MADV_GUARD_INSTALL: i32 = 102;
/// Remove guard pages.
pub const MADV_GUARD_REMOVE: i32 = 103;

// Flags of mlockall(2) and mlock2(2).

/// What is mapped now.
pub const MCL_CURRENT: u32 = 0x1;
/// What will be mapped.
pub const MCL_FUTURE: u32 = 0x2;
/// Lock pages as they are faulted in.
pub const MCL_ONFAULT: u32 = 0x4;
/// Lock pages as they are faulted in.
pub const MLOCK_ONFAULT: u32 = 0x1;

// Flags of memfd_create(2).

/// Close at execve.
pub const MFD_CLOEXEC: u32 = 0x1;
/// Allow seals.
pub const MFD_ALLOW_SEALING: u32 = 0x2;
/// Huge pages.
pub const MFD_HUGETLB: u32 = 0x4;
/// Not executable, and sealed so.
pub const MFD_NOEXEC_SEAL: u32 = 0x8;
/// Executable.
pub const MFD_EXEC: u32 = 0x10;

// Rights of a protection key.

/// No access.
pub const PKEY_DISABLE_ACCESS: u32 = 0x1;
/// No writing.
pub const PKEY_DISABLE_WRITE: u32 = 0x2;
