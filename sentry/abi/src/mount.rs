//! Mounts (mount(2), umount2(2), the mount API), and flags and limits of extended attributes (xattr(7)).

// Flags of mount(2).

/// Read-only.
pub const MS_RDONLY: u64 = 0x1;
/// Ignore set-id bits.
pub const MS_NOSUID: u64 = 0x2;
/// No devices.
pub const MS_NODEV: u64 = 0x4;
/// No execution.
pub const MS_NOEXEC: u64 = 0x8;
/// Write at once.
pub const MS_SYNCHRONOUS: u64 = 0x10;
/// Change an existing mount.
pub const MS_REMOUNT: u64 = 0x20;
/// Allow mandatory locks.
pub const MS_MANDLOCK: u64 = 0x40;
/// Directory changes at once.
pub const MS_DIRSYNC: u64 = 0x80;
/// Do not follow symbolic links.
pub const MS_NOSYMFOLLOW: u64 = 0x100;
/// No access times.
pub const MS_NOATIME: u64 = 0x400;
/// No access times of directories.
pub const MS_NODIRATIME: u64 = 0x800;
/// A second view of an existing tree.
pub const MS_BIND: u64 = 0x1000;
/// Move a mount.
pub const MS_MOVE: u64 = 0x2000;
/// The whole subtree.
pub const MS_REC: u64 = 0x4000;
/// Do not log.
pub const MS_SILENT: u64 = 0x8000;
/// Access-control lists.
pub const MS_POSIXACL: u64 = 0x10000;
/// Cannot be bind-mounted.
pub const MS_UNBINDABLE: u64 = 0x20000;
/// No propagation.
pub const MS_PRIVATE: u64 = 0x40000;
/// Propagation in one direction.
pub const MS_SLAVE: u64 = 0x80000;
/// Propagation both ways.
pub const MS_SHARED: u64 = 0x10_0000;
/// Access times only when they would change order.
pub const MS_RELATIME: u64 = 0x20_0000;
/// Mounted by the kernel.
pub const MS_KERNMOUNT: u64 = 0x40_0000;
/// Count inode versions.
pub const MS_I_VERSION: u64 = 0x80_0000;
/// Access times always.
pub const MS_STRICTATIME: u64 = 0x100_0000;
/// Write times lazily.
pub const MS_LAZYTIME: u64 = 0x200_0000;
/// The old magic number in the upper half.
pub const MS_MGC_VAL: u64 = 0xc0ed_0000;
/// The bits that hold it.
pub const MS_MGC_MSK: u64 = 0xffff_0000;

// Flags of umount2(2).

/// Abort requests under way.
pub const MNT_FORCE: u32 = 0x1;
/// Now from sight, later in fact.
pub const MNT_DETACH: u32 = 0x2;
/// Mark for expiry, or unmount if marked.
pub const MNT_EXPIRE: u32 = 0x4;
/// Do not follow a symbolic link.
pub const UMOUNT_NOFOLLOW: u32 = 0x8;

// Flags of open_tree(2), move_mount(2), fsopen(2), fsmount(2) and fspick(2).

/// A detached copy of the tree.
pub const OPEN_TREE_CLONE: u32 = 0x1;
/// Close at execve.
pub const OPEN_TREE_CLOEXEC: u32 = 0x80000;
/// Follow symbolic links in the source.
pub const MOVE_MOUNT_F_SYMLINKS: u32 = 0x1;
/// Follow automounts in the source.
pub const MOVE_MOUNT_F_AUTOMOUNTS: u32 = 0x2;
/// The source may be an empty path.
pub const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
/// Follow symbolic links in the target.
pub const MOVE_MOUNT_T_SYMLINKS: u32 = 0x10;
/// Follow automounts in the target.
pub const MOVE_MOUNT_T_AUTOMOUNTS: u32 = 0x20;
/// The target may be an empty path.
pub const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
/// Close at execve.
pub const FSOPEN_CLOEXEC: u32 = 0x1;
/// Close at execve.
pub const FSPICK_CLOEXEC: u32 = 0x1;
/// Close at execve.
pub const FSMOUNT_CLOEXEC: u32 = 0x1;

// Attributes of mount_setattr(2).

/// Read-only.
pub const MOUNT_ATTR_RDONLY: u64 = 0x1;
/// Ignore set-id bits.
pub const MOUNT_ATTR_NOSUID: u64 = 0x2;
/// No devices.
pub const MOUNT_ATTR_NODEV: u64 = 0x4;
/// No execution.
pub const MOUNT_ATTR_NOEXEC: u64 = 0x8;
/// No access times.
pub const MOUNT_ATTR_NOATIME: u64 = 0x10;
/// Access times always.
pub const MOUNT_ATTR_STRICTATIME: u64 = 0x20;
/// No access times of directories.
pub const MOUNT_ATTR_NODIRATIME: u64 = 0x80;
/// Map ids through a user namespace.
pub const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
/// Do not follow symbolic links.
pub const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

// Flags of setxattr(2).

/// Fail if it exists.
pub const XATTR_CREATE: u32 = 0x1;
/// Fail if it does not exist.
pub const XATTR_REPLACE: u32 = 0x2;

// Limits of names and attributes.

/// The longest name of a file.
pub const NAME_MAX: usize = 255;
/// The longest path, terminator included.
pub const PATH_MAX: usize = 4096;
/// The longest name of an attribute.
pub const XATTR_NAME_MAX: usize = 255;
/// The longest value of an attribute.
pub const XATTR_SIZE_MAX: usize = 65536;
/// The longest list of attributes.
pub const XATTR_LIST_MAX: usize = 65536;

uapi! {
    /// `struct mount_attr` of mount_setattr(2).
    pub struct MountAttr {
        /// `MOUNT_ATTR_*` to set.
        pub attr_set: u64,
        /// `MOUNT_ATTR_*` to clear.
        pub attr_clr: u64,
        /// The kind of propagation (`MS_PRIVATE` and so on).
        pub propagation: u64,
        /// The user namespace of `MOUNT_ATTR_IDMAP`.
        pub userns_fd: u64,
    }

    /// `struct xattr_args` of setxattrat(2).
    pub struct XattrArgs {
        /// Where the value is.
        pub value: u64,
        /// Its size.
        pub size: u32,
        /// `XATTR_*`.
        pub flags: u32,
    }
}
