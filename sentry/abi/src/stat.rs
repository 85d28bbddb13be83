//! What stat(2), statx(2), statfs(2) and getdents(2) return, and file modes.

// File types and permissions (inode(7)).

/// The bits that hold the type.
pub const S_IFMT: u32 = 0o170000;
/// Socket.
pub const S_IFSOCK: u32 = 0o140000;
/// Symbolic link.
pub const S_IFLNK: u32 = 0o120000;
/// Regular file.
pub const S_IFREG: u32 = 0o100000;
/// Block device.
pub const S_IFBLK: u32 = 0o60000;
/// Directory.
pub const S_IFDIR: u32 = 0o40000;
/// Character device.
pub const S_IFCHR: u32 = 0o20000;
/// FIFO.
pub const S_IFIFO: u32 = 0o10000;
/// Set-user-id.
pub const S_ISUID: u32 = 0o4000;
/// Set-group-id.
pub const S_ISGID: u32 = 0o2000;
/// Sticky.
pub const S_ISVTX: u32 = 0o1000;
/// All of the owner's permissions.
pub const S_IRWXU: u32 = 0o700;
/// The owner may read.
pub const S_IRUSR: u32 = 0o400;
/// The owner may write.
pub const S_IWUSR: u32 = 0o200;
/// The owner may execute.
pub const S_IXUSR: u32 = 0o100;
/// All of the group's permissions.
pub const S_IRWXG: u32 = 0o70;
/// The group may read.
pub const S_IRGRP: u32 = 0o40;
/// The group may write.
pub const S_IWGRP: u32 = 0o20;
/// The group may execute.
pub const S_IXGRP: u32 = 0o10;
/// All of the others' permissions.
pub const S_IRWXO: u32 = 0o7;
/// Others may read.
pub const S_IROTH: u32 = 0o4;
/// Others may write.
pub const S_IWOTH: u32 = 0o2;
/// Others may execute.
pub const S_IXOTH: u32 = 0o1;
/// All permission bits, set-id and sticky included.
pub const S_IALLUGO: u32 = 0o7777;
/// All permissions of everybody.
pub const S_IRWXUGO: u32 = 0o777;
/// Everybody's execute permission.
pub const S_IXUGO: u32 = 0o111;

// File types in directory entries (`d_type`).

/// Unknown; ask stat.
pub const DT_UNKNOWN: u8 = 0;
/// FIFO.
pub const DT_FIFO: u8 = 1;
/// Character device.
pub const DT_CHR: u8 = 2;
/// Directory.
pub const DT_DIR: u8 = 4;
/// Block device.
pub const DT_BLK: u8 = 6;
/// Regular file.
pub const DT_REG: u8 = 8;
/// Symbolic link.
pub const DT_LNK: u8 = 10;
/// Socket.
pub const DT_SOCK: u8 = 12;
/// Whiteout.
pub const DT_WHT: u8 = 14;

// Nanoseconds with a meaning of their own (utimensat(2)).

/// Now.
pub const UTIME_NOW: i64 = 0x3fff_ffff;
/// Leave the time alone.
pub const UTIME_OMIT: i64 = 0x3fff_fffe;

// What statx(2) is asked for and returns (`stx_mask`).

/// The file type.
pub const STATX_TYPE: u32 = 0x1;
/// The permissions.
pub const STATX_MODE: u32 = 0x2;
/// The number of links.
pub const STATX_NLINK: u32 = 0x4;
/// The owner.
pub const STATX_UID: u32 = 0x8;
/// The group.
pub const STATX_GID: u32 = 0x10;
/// The time of access.
pub const STATX_ATIME: u32 = 0x20;
/// The time of modification.
pub const STATX_MTIME: u32 = 0x40;
/// The time of change.
pub const STATX_CTIME: u32 = 0x80;
/// The inode number.
pub const STATX_INO: u32 = 0x100;
/// The size.
pub const STATX_SIZE: u32 = 0x200;
/// The blocks in use.
pub const STATX_BLOCKS: u32 = 0x400;
/// All that stat returns.
pub const STATX_BASIC_STATS: u32 = 0x7ff;
/// The time of creation.
pub const STATX_BTIME: u32 = 0x800;
/// The mount id.
pub const STATX_MNT_ID: u32 = 0x1000;
/// Alignment for direct input and output.
pub const STATX_DIOALIGN: u32 = 0x2000;
/// The unique 64-bit mount id.
pub const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
/// The subvolume.
pub const STATX_SUBVOL: u32 = 0x8000;
/// Limits of atomic writes.
pub const STATX_WRITE_ATOMIC: u32 = 0x10000;
/// Alignment for direct reads.
pub const STATX_DIO_READ_ALIGN: u32 = 0x20000;
/// Reserved; asking for it is an error (`STATX__RESERVED`).
pub const STATX_RESERVED: u32 = 0x8000_0000;

// Attributes of a file (`stx_attributes`).

/// Compressed.
pub const STATX_ATTR_COMPRESSED: u64 = 0x4;
/// Cannot be changed.
pub const STATX_ATTR_IMMUTABLE: u64 = 0x10;
/// Can only be appended to.
pub const STATX_ATTR_APPEND: u64 = 0x20;
/// Not to be backed up.
pub const STATX_ATTR_NODUMP: u64 = 0x40;
/// Needs a key.
pub const STATX_ATTR_ENCRYPTED: u64 = 0x800;
/// An automount point.
pub const STATX_ATTR_AUTOMOUNT: u64 = 0x1000;
/// The root of a mount.
pub const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
/// Protected by fs-verity.
pub const STATX_ATTR_VERITY: u64 = 0x10_0000;
/// In direct-access mode.
pub const STATX_ATTR_DAX: u64 = 0x20_0000;

// File-system types (`f_type`).

/// tmpfs.
pub const TMPFS_MAGIC: i64 = 0x102_1994;
/// proc.
pub const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// sysfs.
pub const SYSFS_MAGIC: i64 = 0x6265_6572;
/// devpts.
pub const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
/// overlay.
pub const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630;
/// ext2, ext3 and ext4.
pub const EXT4_SUPER_MAGIC: i64 = 0xef53;
/// cgroup, version 1.
pub const CGROUP_SUPER_MAGIC: i64 = 0x27_e0eb;
/// cgroup, version 2.
pub const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
/// Pipes.
pub const PIPEFS_MAGIC: i64 = 0x5049_5045;
/// Sockets.
pub const SOCKFS_MAGIC: i64 = 0x534f_434b;
/// Anonymous inodes: epoll, eventfd and the like.
pub const ANON_INODE_FS_MAGIC: i64 = 0x904_1934;
/// Namespace files.
pub const NSFS_MAGIC: i64 = 0x6e73_6673;
/// Process descriptors.
pub const PID_FS_MAGIC: i64 = 0x5049_4446;
/// FUSE.
pub const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
/// 9p.
pub const V9FS_MAGIC: i64 = 0x102_1997;
/// ramfs.
pub const RAMFS_MAGIC: i64 = 0x8584_58f6;
/// hugetlbfs.
pub const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;
/// POSIX message queues.
pub const MQUEUE_MAGIC: i64 = 0x1980_0202;
/// bpf.
pub const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

// Mount flags in `f_flags`.

/// Read-only.
pub const ST_RDONLY: u64 = 0x1;
/// Set-id bits are ignored.
pub const ST_NOSUID: u64 = 0x2;
/// No devices.
pub const ST_NODEV: u64 = 0x4;
/// No execution.
pub const ST_NOEXEC: u64 = 0x8;
/// Writes wait for the medium.
pub const ST_SYNCHRONOUS: u64 = 0x10;
/// `f_flags` is filled in.
pub const ST_VALID: u64 = 0x20;
/// Mandatory locks.
pub const ST_MANDLOCK: u64 = 0x40;
/// No access times.
pub const ST_NOATIME: u64 = 0x400;
/// No access times of directories.
pub const ST_NODIRATIME: u64 = 0x800;
/// Access times only when they would change order.
pub const ST_RELATIME: u64 = 0x1000;
/// Symbolic links are not followed.
pub const ST_NOSYMFOLLOW: u64 = 0x2000;

uapi! {
    /// `struct stat` of x86-64.
    pub struct Stat {
        /// The file system's device number.
        pub st_dev: u64,
        /// The inode number.
        pub st_ino: u64,
        /// Links.
        pub st_nlink: u64,
        /// Type and permissions.
        pub st_mode: u32,
        /// The owner.
        pub st_uid: u32,
        /// The group.
        pub st_gid: u32,
        /// Padding.
        pub pad0: u32,
        /// The device number, of a device.
        pub st_rdev: u64,
        /// The size in bytes.
        pub st_size: i64,
        /// The preferred size of reads and writes.
        pub st_blksize: i64,
        /// Blocks of 512 bytes in use.
        pub st_blocks: i64,
        /// When it was read, seconds.
        pub st_atime: i64,
        /// When it was read, nanoseconds.
        pub st_atime_nsec: u64,
        /// When it was written, seconds.
        pub st_mtime: i64,
        /// When it was written, nanoseconds.
        pub st_mtime_nsec: u64,
        /// When it was changed, seconds.
        pub st_ctime: i64,
        /// When it was changed, nanoseconds.
        pub st_ctime_nsec: u64,
        /// Unused.
        pub unused: [i64; 3],
    }

    /// `struct statx_timestamp`.
    pub struct StatxTimestamp {
        /// Seconds.
        pub tv_sec: i64,
        /// Nanoseconds.
        pub tv_nsec: u32,
        /// Padding.
        pub reserved: i32,
    }

    /// `struct statx`.
    pub struct Statx {
        /// What is filled in (`STATX_*`).
        pub stx_mask: u32,
        /// The preferred size of reads and writes.
        pub stx_blksize: u32,
        /// `STATX_ATTR_*`.
        pub stx_attributes: u64,
        /// Links.
        pub stx_nlink: u32,
        /// The owner.
        pub stx_uid: u32,
        /// The group.
        pub stx_gid: u32,
        /// Type and permissions.
        pub stx_mode: u16,
        /// Padding.
        pub spare0: u16,
        /// The inode number.
        pub stx_ino: u64,
        /// The size in bytes.
        pub stx_size: u64,
        /// Blocks of 512 bytes in use.
        pub stx_blocks: u64,
        /// Which attributes the file system knows.
        pub stx_attributes_mask: u64,
        /// When it was read.
        pub stx_atime: StatxTimestamp,
        /// When it was created.
        pub stx_btime: StatxTimestamp,
        /// When it was changed.
        pub stx_ctime: StatxTimestamp,
        /// When it was written.
        pub stx_mtime: StatxTimestamp,
        /// The device number, of a device: major.
        pub stx_rdev_major: u32,
        /// The device number, of a device: minor.
        pub stx_rdev_minor: u32,
        /// The file system's device number: major.
        pub stx_dev_major: u32,
        /// The file system's device number: minor.
        pub stx_dev_minor: u32,
        /// The mount.
        pub stx_mnt_id: u64,
        /// Alignment of memory for direct input and output.
        pub stx_dio_mem_align: u32,
        /// Alignment of offsets for direct input and output.
        pub stx_dio_offset_align: u32,
        /// The subvolume.
        pub stx_subvol: u64,
        /// Smallest atomic write.
        pub stx_atomic_write_unit_min: u32,
        /// Largest atomic write.
        pub stx_atomic_write_unit_max: u32,
        /// Most parts of an atomic write.
        pub stx_atomic_write_segments_max: u32,
        /// Alignment of offsets for direct reads.
        pub stx_dio_read_offset_align: u32,
        /// Largest atomic write that is fast.
        pub stx_atomic_write_unit_max_opt: u32,
        /// Padding.
        pub spare2: u32,
        /// Unused.
        pub spare3: [u64; 8],
    }

    /// `struct statfs`.
    pub struct Statfs {
        /// The type (`*_MAGIC`).
        pub f_type: i64,
        /// The preferred size of reads and writes.
        pub f_bsize: i64,
        /// Blocks.
        pub f_blocks: u64,
        /// Blocks that are free.
        pub f_bfree: u64,
        /// Blocks that are free to everybody.
        pub f_bavail: u64,
        /// Inodes.
        pub f_files: u64,
        /// Inodes that are free.
        pub f_ffree: u64,
        /// The file system's id.
        pub f_fsid: [i32; 2],
        /// The longest name.
        pub f_namelen: i64,
        /// The size of a block.
        pub f_frsize: i64,
        /// `ST_*`.
        pub f_flags: i64,
        /// Unused.
        pub f_spare: [i64; 4],
    }
}

/// A device number from its parts, as stat(2) returns it (`new_encode_dev`).
pub const fn makedev(major: u32, minor: u32) -> u64 {
    (minor & 0xff) as u64
        | ((major & 0xfff) as u64) << 8
        | ((minor & !0xff) as u64) << 12
        | ((major & !0xfff) as u64) << 32
}

/// The major part of a device number.
pub const fn major(dev: u64) -> u32 {
    (dev >> 8 & 0xfff) as u32 | (dev >> 32) as u32 & !0xfff
}

/// The minor part of a device number.
pub const fn minor(dev: u64) -> u32 {
    (dev & 0xff) as u32 | (dev >> 12) as u32 & !0xff
}
