//! Opening and controlling files: open(2), openat2(2), fcntl(2), flock(2), rename(2), lseek(2) and their neighbours.

pub use crate::{
    mount::*,
    stat::{S_ISGID, S_ISUID, S_ISVTX},
};

// The access mode and flags of open(2).

/// Open for reading only.
pub const O_RDONLY: u32 = 0;
/// Open for writing only.
pub const O_WRONLY: u32 = 0o1;
/// Open for reading and writing.
pub const O_RDWR: u32 = 0o2;
/// The bits that hold the access mode.
pub const O_ACCMODE: u32 = 0o3;
/// Create the file if it does not exist.
pub const O_CREAT: u32 = 0o100;
/// With `O_CREAT`: fail if it exists.
pub const O_EXCL: u32 = 0o200;
/// Do not make a terminal the controlling one.
pub const O_NOCTTY: u32 = 0o400;
/// Cut the file to no length.
pub const O_TRUNC: u32 = 0o1000;
/// Write at the end, always.
pub const O_APPEND: u32 = 0o2000;
/// Operations return `EAGAIN` instead of waiting.
pub const O_NONBLOCK: u32 = 0o4000;
/// Writes wait until the data is on the medium.
pub const O_DSYNC: u32 = 0o10000;
/// Send `SIGIO` when input or output becomes possible (`FASYNC`).
pub const O_ASYNC: u32 = 0o20000;
/// Go around the page cache.
pub const O_DIRECT: u32 = 0o40000;
/// Allow sizes beyond 32 bits; every 64-bit open has it.
pub const O_LARGEFILE: u32 = 0o100000;
/// Fail unless the path is a directory.
pub const O_DIRECTORY: u32 = 0o200000;
/// Fail if the last component is a symbolic link.
pub const O_NOFOLLOW: u32 = 0o400000;
/// Do not update the time of access.
pub const O_NOATIME: u32 = 0o1000000;
/// Close at execve.
pub const O_CLOEXEC: u32 = 0o2000000;
/// Writes wait until data and metadata are on the medium.
pub const O_SYNC: u32 = 0o4010000;
/// A place in the tree, not an open file.
pub const O_PATH: u32 = 0o10000000;
/// An unnamed file in the directory; includes `O_DIRECTORY`.
pub const O_TMPFILE: u32 = 0o20200000;
/// The old name of `O_NONBLOCK`.
pub const O_NDELAY: u32 = 0o4000;

// Directory descriptors with a meaning of their own.

/// The working directory.
pub const AT_FDCWD: i32 = -100;

// Flags of the `*at` calls.

/// Do not follow a symbolic link at the end.
pub const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// faccessat2: check with the effective ids.
pub const AT_EACCESS: u32 = 0x200;
/// unlinkat: remove a directory.
pub const AT_REMOVEDIR: u32 = 0x200;
/// linkat: follow a symbolic link at the end.
pub const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// Do not trigger automounts.
pub const AT_NO_AUTOMOUNT: u32 = 0x800;
/// An empty path means the directory descriptor itself.
pub const AT_EMPTY_PATH: u32 = 0x1000;
/// statx: the bits that choose how attributes are synchronised.
pub const AT_STATX_SYNC_TYPE: u32 = 0x6000;
/// statx: as stat does.
pub const AT_STATX_SYNC_AS_STAT: u32 = 0;
/// statx: ask the server.
pub const AT_STATX_FORCE_SYNC: u32 = 0x2000;
/// statx: what is cached will do.
pub const AT_STATX_DONT_SYNC: u32 = 0x4000;
/// open_tree, mount_setattr: the whole subtree.
pub const AT_RECURSIVE: u32 = 0x8000;
/// name_to_handle_at: a handle for comparing only.
pub const AT_HANDLE_FID: u32 = 0x200;
/// name_to_handle_at: the unique 64-bit mount id.
pub const AT_HANDLE_MNT_ID_UNIQUE: u32 = 0x1;
/// execveat: only check whether it could be executed.
pub const AT_EXECVE_CHECK: u32 = 0x10000;

// What openat2(2) must not walk through.

/// No mount points.
pub const RESOLVE_NO_XDEV: u64 = 0x1;
/// No magic links such as those in `/proc/PID/fd`.
pub const RESOLVE_NO_MAGICLINKS: u64 = 0x2;
/// No symbolic links.
pub const RESOLVE_NO_SYMLINKS: u64 = 0x4;
/// Nothing above the directory.
pub const RESOLVE_BENEATH: u64 = 0x8;
/// Take the directory for the root.
pub const RESOLVE_IN_ROOT: u64 = 0x10;
/// Only what is cached; else `EAGAIN`.
pub const RESOLVE_CACHED: u64 = 0x20;

// Commands of fcntl(2).

/// Duplicate the descriptor, not below the argument.
pub const F_DUPFD: u32 = 0;
/// Get the descriptor's flags.
pub const F_GETFD: u32 = 1;
/// Set the descriptor's flags.
pub const F_SETFD: u32 = 2;
/// Get the file's status flags.
pub const F_GETFL: u32 = 3;
/// Set the file's status flags.
pub const F_SETFL: u32 = 4;
/// Which lock would block this one?
pub const F_GETLK: u32 = 5;
/// Set or clear a lock.
pub const F_SETLK: u32 = 6;
/// Set a lock, waiting for it.
pub const F_SETLKW: u32 = 7;
/// Who gets `SIGIO`.
pub const F_SETOWN: u32 = 8;
/// Who gets `SIGIO`?
pub const F_GETOWN: u32 = 9;
/// Which signal to send instead of `SIGIO`.
pub const F_SETSIG: u32 = 10;
/// Which signal is sent?
pub const F_GETSIG: u32 = 11;
/// Who gets `SIGIO`: a thread, process or group.
pub const F_SETOWN_EX: u32 = 15;
/// Who gets `SIGIO`? With its kind.
pub const F_GETOWN_EX: u32 = 16;
/// Which user ids set the owner?
pub const F_GETOWNER_UIDS: u32 = 17;
/// Which lock would block this open file's?
pub const F_OFD_GETLK: u32 = 36;
/// Set or clear a lock of the open file.
pub const F_OFD_SETLK: u32 = 37;
/// Set a lock of the open file, waiting for it.
pub const F_OFD_SETLKW: u32 = 38;
/// Set a lease.
pub const F_SETLEASE: u32 = 1024;
/// Get the lease.
pub const F_GETLEASE: u32 = 1025;
/// Signal changes in a directory.
pub const F_NOTIFY: u32 = 1026;
/// Do the two descriptors name one open file?
pub const F_DUPFD_QUERY: u32 = 1027;
/// Did this open create the file?
pub const F_CREATED_QUERY: u32 = 1028;
/// Cancel a blocking lock (kernel-internal).
pub const F_CANCELLK: u32 = 1029;
/// Duplicate the descriptor with close-on-exec.
pub const F_DUPFD_CLOEXEC: u32 = 1030;
/// Set a pipe's capacity.
pub const F_SETPIPE_SZ: u32 = 1031;
/// Get a pipe's capacity.
pub const F_GETPIPE_SZ: u32 = 1032;
/// Seal a memory file.
pub const F_ADD_SEALS: u32 = 1033;
/// Get a memory file's seals.
pub const F_GET_SEALS: u32 = 1034;
/// Get the inode's write-life hint.
pub const F_GET_RW_HINT: u32 = 1035;
/// Set the inode's write-life hint.
pub const F_SET_RW_HINT: u32 = 1036;
/// Get the open file's write-life hint.
pub const F_GET_FILE_RW_HINT: u32 = 1037;
/// Set the open file's write-life hint.
pub const F_SET_FILE_RW_HINT: u32 = 1038;

// Descriptor flags.

/// Close at execve.
pub const FD_CLOEXEC: u32 = 1;

// Kinds of record locks (`l_type`).

/// Shared.
pub const F_RDLCK: i16 = 0;
/// Exclusive.
pub const F_WRLCK: i16 = 1;
/// None.
pub const F_UNLCK: i16 = 2;

// Kinds of owners (`F_SETOWN_EX`).

/// A thread.
pub const F_OWNER_TID: i32 = 0;
/// A process.
pub const F_OWNER_PID: i32 = 1;
/// A process group.
pub const F_OWNER_PGRP: i32 = 2;

// Seals of a memory file.

/// No more seals.
pub const F_SEAL_SEAL: u32 = 0x1;
/// The file must not shrink.
pub const F_SEAL_SHRINK: u32 = 0x2;
/// The file must not grow.
pub const F_SEAL_GROW: u32 = 0x4;
/// The contents must not change.
pub const F_SEAL_WRITE: u32 = 0x8;
/// No new ways to write it.
pub const F_SEAL_FUTURE_WRITE: u32 = 0x10;
/// Execute permission must not change.
pub const F_SEAL_EXEC: u32 = 0x20;

// Operations of flock(2).

/// Shared.
pub const LOCK_SH: u32 = 0x1;
/// Exclusive.
pub const LOCK_EX: u32 = 0x2;
/// Do not wait.
pub const LOCK_NB: u32 = 0x4;
/// Unlock.
pub const LOCK_UN: u32 = 0x8;

// Where lseek(2) counts from.

/// The start.
pub const SEEK_SET: u32 = 0;
/// The current offset.
pub const SEEK_CUR: u32 = 1;
/// The end.
pub const SEEK_END: u32 = 2;
/// The next data.
pub const SEEK_DATA: u32 = 3;
/// The next hole.
pub const SEEK_HOLE: u32 = 4;

// What access(2) asks for.

/// Does it exist?
pub const F_OK: u32 = 0;
/// May it be executed or searched?
pub const X_OK: u32 = 1;
/// May it be written?
pub const W_OK: u32 = 2;
/// May it be read?
pub const R_OK: u32 = 4;

// Flags of renameat2(2).

/// Fail if the new name exists.
pub const RENAME_NOREPLACE: u32 = 0x1;
/// Swap the two.
pub const RENAME_EXCHANGE: u32 = 0x2;
/// Leave a whiteout at the old name.
pub const RENAME_WHITEOUT: u32 = 0x4;

// Modes of fallocate(2).

/// Do not extend the size.
pub const FALLOC_FL_KEEP_SIZE: u32 = 0x1;
/// Free the range.
pub const FALLOC_FL_PUNCH_HOLE: u32 = 0x2;
/// Cut the range out.
pub const FALLOC_FL_COLLAPSE_RANGE: u32 = 0x8;
/// Zero the range.
pub const FALLOC_FL_ZERO_RANGE: u32 = 0x10;
/// Make room.
pub const FALLOC_FL_INSERT_RANGE: u32 = 0x20;
/// Unshare the range's blocks.
pub const FALLOC_FL_UNSHARE_RANGE: u32 = 0x40;
/// Write zeros, and do not just remember them.
pub const FALLOC_FL_WRITE_ZEROES: u32 = 0x80;

// Flags of splice(2), tee(2) and vmsplice(2).

/// Move pages if possible.
pub const SPLICE_F_MOVE: u32 = 0x1;
/// Do not wait on pipes.
pub const SPLICE_F_NONBLOCK: u32 = 0x2;
/// More will come.
pub const SPLICE_F_MORE: u32 = 0x4;
/// The pages are a gift.
pub const SPLICE_F_GIFT: u32 = 0x8;

// Advice of posix_fadvise(2).

/// None.
pub const POSIX_FADV_NORMAL: i32 = 0;
/// Random access.
pub const POSIX_FADV_RANDOM: i32 = 1;
/// Sequential access.
pub const POSIX_FADV_SEQUENTIAL: i32 = 2;
/// Will be needed.
pub const POSIX_FADV_WILLNEED: i32 = 3;
/// Will not be needed.
pub const POSIX_FADV_DONTNEED: i32 = 4;
/// Will be used once.
pub const POSIX_FADV_NOREUSE: i32 = 5;

// Flags of preadv2(2) and pwritev2(2).

/// Poll for completion.
pub const RWF_HIPRI: u32 = 0x1;
/// As `O_DSYNC`.
pub const RWF_DSYNC: u32 = 0x2;
/// As `O_SYNC`.
pub const RWF_SYNC: u32 = 0x4;
/// Do not wait for data.
pub const RWF_NOWAIT: u32 = 0x8;
/// As `O_APPEND`.
pub const RWF_APPEND: u32 = 0x10;
/// Ignore `O_APPEND`.
pub const RWF_NOAPPEND: u32 = 0x20;
/// All or nothing.
pub const RWF_ATOMIC: u32 = 0x40;
/// Drop from the cache afterwards.
pub const RWF_DONTCACHE: u32 = 0x80;

// Flags of sync_file_range(2).

/// Wait for writes under way first.
pub const SYNC_FILE_RANGE_WAIT_BEFORE: u32 = 0x1;
/// Start writing.
pub const SYNC_FILE_RANGE_WRITE: u32 = 0x2;
/// Wait for the writes.
pub const SYNC_FILE_RANGE_WAIT_AFTER: u32 = 0x4;

// Flags of close_range(2).

/// Unshare the table first.
pub const CLOSE_RANGE_UNSHARE: u32 = 0x2;
/// Set close-on-exec instead of closing.
pub const CLOSE_RANGE_CLOEXEC: u32 = 0x4;

// What `F_NOTIFY` reports.

/// A file was read.
pub const DN_ACCESS: u32 = 0x1;
/// A file was changed.
pub const DN_MODIFY: u32 = 0x2;
/// A file was created.
pub const DN_CREATE: u32 = 0x4;
/// A file was removed.
pub const DN_DELETE: u32 = 0x8;
/// A file was renamed.
pub const DN_RENAME: u32 = 0x10;
/// Attributes changed.
pub const DN_ATTRIB: u32 = 0x20;
/// Keep reporting.
pub const DN_MULTISHOT: u32 = 0x8000_0000;

uapi! {
    /// `struct flock`: a record lock.
    pub struct Flock {
        /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`.
        pub l_type: i16,
        /// Where `l_start` counts from (`SEEK_*`).
        pub l_whence: i16,
        /// Padding.
        pub _pad0: u32,
        /// The first byte.
        pub l_start: i64,
        /// How many bytes; 0 means to the end, negative ones are before the start.
        pub l_len: i64,
        /// Who holds it.
        pub l_pid: i32,
        /// Padding.
        pub _pad1: u32,
    }

    /// `struct f_owner_ex`: who gets `SIGIO`.
    pub struct FOwnerEx {
        /// `F_OWNER_*`.
        pub r#type: i32,
        /// The thread, process or group.
        pub pid: i32,
    }

    /// `struct open_how` of openat2(2).
    pub struct OpenHow {
        /// `O_*`.
        pub flags: u64,
        /// Permissions of a new file.
        pub mode: u64,
        /// `RESOLVE_*`.
        pub resolve: u64,
    }

    /// `struct iovec`: a part of a buffer.
    pub struct Iovec {
        /// Where it is.
        pub iov_base: u64,
        /// Its length in bytes.
        pub iov_len: u64,
    }
}
