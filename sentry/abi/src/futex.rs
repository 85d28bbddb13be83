//! Futexes: futex(2), futex_waitv(2), robust lists.

// Operations.

/// Sleep if the word has the value.
pub const FUTEX_WAIT: u32 = 0;
/// Wake.
pub const FUTEX_WAKE: u32 = 0x1;
/// Removed.
pub const FUTEX_FD: u32 = 0x2;
/// Wake some, move the rest.
pub const FUTEX_REQUEUE: u32 = 0x3;
/// The same, if the word has the value.
pub const FUTEX_CMP_REQUEUE: u32 = 0x4;
/// Change a second word, wake both.
pub const FUTEX_WAKE_OP: u32 = 0x5;
/// Lock, with priority inheritance.
pub const FUTEX_LOCK_PI: u32 = 0x6;
/// Unlock.
pub const FUTEX_UNLOCK_PI: u32 = 0x7;
/// Lock if free.
pub const FUTEX_TRYLOCK_PI: u32 = 0x8;
/// Sleep, with a mask and an absolute time.
pub const FUTEX_WAIT_BITSET: u32 = 0x9;
/// Wake, with a mask.
pub const FUTEX_WAKE_BITSET: u32 = 0xa;
/// Sleep, to be moved to a lock.
pub const FUTEX_WAIT_REQUEUE_PI: u32 = 0xb;
/// Wake one, move the rest to a lock.
pub const FUTEX_CMP_REQUEUE_PI: u32 = 0xc;
/// Lock, with a choice of clock.
pub const FUTEX_LOCK_PI2: u32 = 0xd;
/// Not shared between processes.
pub const FUTEX_PRIVATE_FLAG: u32 = 0x80;
/// The timeout is on the real-time clock.
pub const FUTEX_CLOCK_REALTIME: u32 = 0x100;
/// The bits of the operation alone.
pub const FUTEX_CMD_MASK: u32 = 0xffff_fe7f;

// The words of locks with owners, and masks.

/// Somebody waits.
pub const FUTEX_WAITERS: u32 = 0x8000_0000;
/// The owner ended without unlocking.
pub const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
/// The bits that hold the owner.
pub const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
/// Every bit.
pub const FUTEX_BITSET_MATCH_ANY: u32 = 0xffff_ffff;

// Operations and comparisons of `FUTEX_WAKE_OP`.

/// Store.
pub const FUTEX_OP_SET: u32 = 0;
/// Add.
pub const FUTEX_OP_ADD: u32 = 1;
/// Or.
pub const FUTEX_OP_OR: u32 = 2;
/// And not.
pub const FUTEX_OP_ANDN: u32 = 3;
/// Exclusive or.
pub const FUTEX_OP_XOR: u32 = 4;
/// The operand is a bit number.
pub const FUTEX_OP_OPARG_SHIFT: u32 = 8;
/// Equal.
pub const FUTEX_OP_CMP_EQ: u32 = 0;
/// Not equal.
pub const FUTEX_OP_CMP_NE: u32 = 1;
/// Less.
pub const FUTEX_OP_CMP_LT: u32 = 2;
/// Less or equal.
pub const FUTEX_OP_CMP_LE: u32 = 3;
/// Greater.
pub const FUTEX_OP_CMP_GT: u32 = 4;
/// Greater or equal.
pub const FUTEX_OP_CMP_GE: u32 = 5;

// Flags of futex_waitv(2) and the futex2 calls.

/// One byte.
pub const FUTEX2_SIZE_U8: u32 = 0;
/// Two bytes.
pub const FUTEX2_SIZE_U16: u32 = 0x1;
/// Four bytes.
pub const FUTEX2_SIZE_U32: u32 = 0x2;
/// Eight bytes.
pub const FUTEX2_SIZE_U64: u32 = 0x3;
/// With a node number.
pub const FUTEX2_NUMA: u32 = 0x4;
/// By memory policy.
pub const FUTEX2_MPOL: u32 = 0x8;
/// Not shared between processes.
pub const FUTEX2_PRIVATE: u32 = 0x80;
/// The bits that hold the size.
pub const FUTEX2_SIZE_MASK: u32 = 0x3;
/// The most words of futex_waitv.
pub const FUTEX_WAITV_MAX: u32 = 128;

// Limits.

/// The longest robust list that is walked.
pub const ROBUST_LIST_LIMIT: usize = 2048;

uapi! {
    /// `struct robust_list_head`.
    pub struct RobustListHead {
        /// The first entry; the last one points here.
        pub next: u64,
        /// Where the futex of an entry is, from the entry.
        pub futex_offset: i64,
        /// An entry that is being added or removed.
        pub pending: u64,
    }

    /// `struct futex_waitv` of futex_waitv(2).
    pub struct FutexWaitv {
        /// The value expected.
        pub val: u64,
        /// Where the word is.
        pub uaddr: u64,
        /// `FUTEX2_*`.
        pub flags: u32,
        /// Must be 0.
        pub reserved: u32,
    }
}
