//! System V IPC (sysvipc(7)) and POSIX message queues (mq_overview(7)).

// Flags and commands that all have.

/// Create if it does not exist.
pub const IPC_CREAT: i32 = 0o1000;
/// Fail if it exists.
pub const IPC_EXCL: i32 = 0o2000;
/// Do not wait.
pub const IPC_NOWAIT: i32 = 0o4000;
/// Remove.
pub const IPC_RMID: i32 = 0;
/// Change.
pub const IPC_SET: i32 = 0o1;
/// Get.
pub const IPC_STAT: i32 = 0o2;
/// Get limits.
pub const IPC_INFO: i32 = 0o3;
/// New structures; always so on 64-bit systems.
pub const IPC_64: i32 = 0o400;

// Keys.

/// A new object for nobody else.
pub const IPC_PRIVATE: i32 = 0;

// Commands of shmctl(2).

/// Lock in memory.
pub const SHM_LOCK: i32 = 11;
/// Unlock.
pub const SHM_UNLOCK: i32 = 12;
/// Get by index.
pub const SHM_STAT: i32 = 13;
/// Get usage.
pub const SHM_INFO: i32 = 14;
/// Get by index, without permission.
pub const SHM_STAT_ANY: i32 = 15;

// Flags of shmget(2), shmat(2) and `shm_perm.mode`.

/// Attach for reading.
pub const SHM_RDONLY: i32 = 0o10000;
/// Round the address down.
pub const SHM_RND: i32 = 0o20000;
/// Replace what is mapped.
pub const SHM_REMAP: i32 = 0o40000;
/// Executable.
pub const SHM_EXEC: i32 = 0o100000;
/// Will be removed.
pub const SHM_DEST: i32 = 0o1000;
/// Is locked.
pub const SHM_LOCKED: i32 = 0o2000;
/// Huge pages.
pub const SHM_HUGETLB: i32 = 0o4000;
/// Do not reserve swap.
pub const SHM_NORESERVE: i32 = 0o10000;

// Commands of semctl(2).

/// Who operated last?
pub const GETPID: i32 = 11;
/// Get a value.
pub const GETVAL: i32 = 12;
/// Get all values.
pub const GETALL: i32 = 13;
/// How many wait for more?
pub const GETNCNT: i32 = 14;
/// How many wait for zero?
pub const GETZCNT: i32 = 15;
/// Set a value.
pub const SETVAL: i32 = 16;
/// Set all values.
pub const SETALL: i32 = 17;
/// Get by index.
pub const SEM_STAT: i32 = 18;
/// Get usage.
pub const SEM_INFO: i32 = 19;
/// Get by index, without permission.
pub const SEM_STAT_ANY: i32 = 20;

// Flags of a semaphore operation.

/// Undo at exit.
pub const SEM_UNDO: i16 = 0x1000;

// Limits of semaphores.

/// Sets.
pub const SEMMNI: i32 = 32000;
/// Semaphores in a set.
pub const SEMMSL: i32 = 32000;
/// Operations in a call.
pub const SEMOPM: i32 = 500;
/// Highest value.
pub const SEMVMX: i32 = 32767;

// Commands of msgctl(2).

/// Get by index.
pub const MSG_STAT: i32 = 11;
/// Get usage.
pub const MSG_INFO: i32 = 12;
/// Get by index, without permission.
pub const MSG_STAT_ANY: i32 = 13;

// Flags of msgrcv(2).

/// Cut messages that are too long.
pub const MSG_NOERROR: i32 = 0o10000;
/// Any type but the given one.
pub const MSG_EXCEPT: i32 = 0o20000;
/// Copy, do not take.
pub const MSG_COPY: i32 = 0o40000;

// Limits of message queues.

/// Queues.
pub const MSGMNI: i32 = 32000;
/// Bytes in a message.
pub const MSGMAX: i32 = 8192;
/// Bytes in a queue.
pub const MSGMNB: i32 = 16384;

uapi! {
    /// `struct ipc64_perm`.
    pub struct IpcPerm {
        /// The key.
        pub key: i32,
        /// The owner.
        pub uid: u32,
        /// The owner's group.
        pub gid: u32,
        /// The creator.
        pub cuid: u32,
        /// The creator's group.
        pub cgid: u32,
        /// Permissions.
        pub mode: u32,
        /// A sequence number.
        pub seq: u16,
        /// Padding.
        pub __pad2: [u16; 3],
        /// Unused.
        pub __unused: [u64; 2],
    }

    /// `struct shmid64_ds`.
    pub struct ShmidDs {
        /// Permissions.
        pub shm_perm: IpcPerm,
        /// The size in bytes.
        pub shm_segsz: u64,
        /// When it was last attached.
        pub shm_atime: i64,
        /// When it was last detached.
        pub shm_dtime: i64,
        /// When it was last changed.
        pub shm_ctime: i64,
        /// Who created it.
        pub shm_cpid: i32,
        /// Who operated last.
        pub shm_lpid: i32,
        /// How often it is attached.
        pub shm_nattch: u64,
        /// Unused.
        pub __unused: [u64; 2],
    }

    /// `struct shminfo64`: limits of shared memory.
    pub struct Shminfo {
        /// The largest segment.
        pub shmmax: u64,
        /// The smallest segment.
        pub shmmin: u64,
        /// The most segments.
        pub shmmni: u64,
        /// The most segments of a process.
        pub shmseg: u64,
        /// The most pages.
        pub shmall: u64,
        /// Unused.
        pub __unused: [u64; 4],
    }

    /// `struct shm_info`: usage of shared memory.
    pub struct ShmInfo {
        /// Segments.
        pub used_ids: i32,
        /// Padding.
        pub _pad: u32,
        /// Pages.
        pub shm_tot: u64,
        /// Resident pages.
        pub shm_rss: u64,
        /// Swapped pages.
        pub shm_swp: u64,
        /// Unused.
        pub swap_attempts: u64,
        /// Unused.
        pub swap_successes: u64,
    }

    /// `struct semid64_ds`.
    pub struct SemidDs {
        /// Permissions.
        pub sem_perm: IpcPerm,
        /// When it was last operated on.
        pub sem_otime: i64,
        /// Unused.
        pub __unused1: u64,
        /// When it was last changed.
        pub sem_ctime: i64,
        /// Unused.
        pub __unused2: u64,
        /// How many semaphores.
        pub sem_nsems: u64,
        /// Unused.
        pub __unused3: [u64; 2],
    }

    /// `struct sembuf`: an operation on a semaphore.
    pub struct Sembuf {
        /// Which of the set.
        pub sem_num: u16,
        /// What to add.
        pub sem_op: i16,
        /// `IPC_NOWAIT`, `SEM_UNDO`.
        pub sem_flg: i16,
    }

    /// `struct seminfo`: limits or usage of semaphores.
    pub struct Seminfo {
        /// Unused.
        pub semmap: i32,
        /// The most sets.
        pub semmni: i32,
        /// The most semaphores.
        pub semmns: i32,
        /// Unused.
        pub semmnu: i32,
        /// The most semaphores of a set.
        pub semmsl: i32,
        /// The most operations of a call.
        pub semopm: i32,
        /// Unused.
        pub semume: i32,
        /// Unused; or sets in use.
        pub semusz: i32,
        /// The highest value.
        pub semvmx: i32,
        /// Unused; or semaphores in use.
        pub semaem: i32,
    }

    /// `struct msqid64_ds`.
    pub struct MsqidDs {
        /// Permissions.
        pub msg_perm: IpcPerm,
        /// When it was last sent to.
        pub msg_stime: i64,
        /// When it was last received from.
        pub msg_rtime: i64,
        /// When it was last changed.
        pub msg_ctime: i64,
        /// Bytes in it.
        pub msg_cbytes: u64,
        /// Messages in it.
        pub msg_qnum: u64,
        /// The most bytes in it.
        pub msg_qbytes: u64,
        /// Who sent last.
        pub msg_lspid: i32,
        /// Who received last.
        pub msg_lrpid: i32,
        /// Unused.
        pub __unused: [u64; 2],
    }

    /// `struct msginfo`: limits or usage of message queues.
    pub struct Msginfo {
        /// Unused; or queues in use.
        pub msgpool: i32,
        /// Unused; or messages.
        pub msgmap: i32,
        /// The largest message.
        pub msgmax: i32,
        /// The most bytes of a queue.
        pub msgmnb: i32,
        /// The most queues.
        pub msgmni: i32,
        /// Unused.
        pub msgssz: i32,
        /// Unused; or bytes.
        pub msgtql: i32,
        /// Unused.
        pub msgseg: u16,
        /// Padding.
        pub _pad: u16,
    }

    /// `struct mq_attr`: a POSIX message queue.
    pub struct MqAttr {
        /// `O_NONBLOCK`.
        pub mq_flags: i64,
        /// The most messages.
        pub mq_maxmsg: i64,
        /// The largest message.
        pub mq_msgsize: i64,
        /// Messages in it.
        pub mq_curmsgs: i64,
        /// Unused.
        pub __reserved: [i64; 4],
    }
}
