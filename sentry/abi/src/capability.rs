//! Capabilities (capabilities(7)).

// Capability numbers.

/// Change owners.
pub const CAP_CHOWN: u32 = 0;
/// Ignore permissions.
pub const CAP_DAC_OVERRIDE: u32 = 1;
/// Ignore permissions to read and search.
pub const CAP_DAC_READ_SEARCH: u32 = 2;
/// Ignore the need to own a file.
pub const CAP_FOWNER: u32 = 3;
/// Keep set-id bits.
pub const CAP_FSETID: u32 = 4;
/// Signal anybody.
pub const CAP_KILL: u32 = 5;
/// Change groups.
pub const CAP_SETGID: u32 = 6;
/// Change users.
pub const CAP_SETUID: u32 = 7;
/// Change capabilities.
pub const CAP_SETPCAP: u32 = 8;
/// Change immutable files.
pub const CAP_LINUX_IMMUTABLE: u32 = 9;
/// Bind ports below 1024.
pub const CAP_NET_BIND_SERVICE: u32 = 10;
/// Broadcast.
pub const CAP_NET_BROADCAST: u32 = 11;
/// Administer networks.
pub const CAP_NET_ADMIN: u32 = 12;
/// Raw and packet sockets.
pub const CAP_NET_RAW: u32 = 13;
/// Lock memory.
pub const CAP_IPC_LOCK: u32 = 14;
/// Ignore IPC permissions.
pub const CAP_IPC_OWNER: u32 = 15;
/// Load kernel modules.
pub const CAP_SYS_MODULE: u32 = 16;
/// Raw input and output.
pub const CAP_SYS_RAWIO: u32 = 17;
/// chroot.
pub const CAP_SYS_CHROOT: u32 = 18;
/// Trace anybody.
pub const CAP_SYS_PTRACE: u32 = 19;
/// Process accounting.
pub const CAP_SYS_PACCT: u32 = 20;
/// Much else.
pub const CAP_SYS_ADMIN: u32 = 21;
/// Reboot.
pub const CAP_SYS_BOOT: u32 = 22;
/// Raise priorities.
pub const CAP_SYS_NICE: u32 = 23;
/// Raise limits.
pub const CAP_SYS_RESOURCE: u32 = 24;
/// Set clocks.
pub const CAP_SYS_TIME: u32 = 25;
/// Configure terminals.
pub const CAP_SYS_TTY_CONFIG: u32 = 26;
/// Make devices.
pub const CAP_MKNOD: u32 = 27;
/// Lease files.
pub const CAP_LEASE: u32 = 28;
/// Write audit records.
pub const CAP_AUDIT_WRITE: u32 = 29;
/// Control auditing.
pub const CAP_AUDIT_CONTROL: u32 = 30;
/// Give files capabilities.
pub const CAP_SETFCAP: u32 = 31;
/// Override mandatory access control.
pub const CAP_MAC_OVERRIDE: u32 = 32;
/// Configure it.
pub const CAP_MAC_ADMIN: u32 = 33;
/// Read the kernel's log.
pub const CAP_SYSLOG: u32 = 34;
/// Wake the machine.
pub const CAP_WAKE_ALARM: u32 = 35;
/// Keep it awake.
pub const CAP_BLOCK_SUSPEND: u32 = 36;
/// Read audit records.
pub const CAP_AUDIT_READ: u32 = 37;
/// Performance counters.
pub const CAP_PERFMON: u32 = 38;
/// BPF programs.
pub const CAP_BPF: u32 = 39;
/// Checkpoint and restore.
pub const CAP_CHECKPOINT_RESTORE: u32 = 40;
/// The last one.
pub const CAP_LAST_CAP: u32 = 40;

// Versions of capget(2).

/// 32 bits.
pub const _LINUX_CAPABILITY_VERSION_1: u32 = 0x1998_0330;
/// 64 bits; do not use.
pub const _LINUX_CAPABILITY_VERSION_2: u32 = 0x2007_1026;
/// 64 bits.
pub const _LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

// File capabilities (`security.capability`).

/// The bits that hold the revision.
pub const VFS_CAP_REVISION_MASK: u32 = 0xff00_0000;
/// 32 bits.
pub const VFS_CAP_REVISION_1: u32 = 0x100_0000;
/// 64 bits.
pub const VFS_CAP_REVISION_2: u32 = 0x200_0000;
/// 64 bits and a root user id.
pub const VFS_CAP_REVISION_3: u32 = 0x300_0000;
/// Effective at once.
pub const VFS_CAP_FLAGS_EFFECTIVE: u32 = 0x1;

uapi! {
    /// `struct __user_cap_header_struct`.
    pub struct UserCapHeader {
        /// `_LINUX_CAPABILITY_VERSION_*`.
        pub version: u32,
        /// The thread; 0 is the caller.
        pub pid: i32,
    }

    /// `struct __user_cap_data_struct`: 32 capabilities; there are two from version 2 on.
    pub struct UserCapData {
        /// In effect.
        pub effective: u32,
        /// Could be put into effect.
        pub permitted: u32,
        /// Kept across execve, with the file's consent.
        pub inheritable: u32,
    }

    /// `struct vfs_ns_cap_data`: the value of `security.capability`; the last word only in revision 3.
    pub struct VfsCapData {
        /// `VFS_CAP_*`.
        pub magic_etc: u32,
        /// Permitted and inheritable: capabilities 0 to 31, then 32 to 63.
        pub data: [[u32; 2]; 2],
        /// The root of the user namespace.
        pub rootid: u32,
    }
}
