//! Open file descriptions (open(2)): what descriptors point to.
//!
//! [`File`] owns what every open file has: flags, offset, the path it was opened by. [`FileOps`] is what differs.
//! Operations **never block**: they return `EAGAIN`, and the system call decides whether to sleep
//! ([`crate::task::Task::block_on`]).

use std::{
    any::Any,
    os::fd::BorrowedFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use super::{
    inode::Inode,
    io::{Sink, Source},
    locks::Owner,
    path::Path,
};
use crate::{
    credentials::Credentials,
    net::socket::Socket,
    task::{Task, ThreadCx},
    wait::{Events, Pollable, Watch},
};

/// What an operation on an open file may need to know about its caller.
#[derive(Clone, Copy)]
pub struct FileCx<'a> {
    /// The calling thread.
    pub task: &'a Task,
    /// The description the operation came through.
    pub file: &'a File,
}

/// Instead of a position: the offset that the file itself keeps.
pub const OFFSET_OF_FILE: u64 = u64::MAX;

/// The part of an open file that depends on its type. Everything is non-blocking.
pub trait FileOps: Any + Send + Sync {
    /// Reads at `*pos` and advances it. Streams ignore `pos`. Zero is end of file.
    ///
    /// # Errors
    /// `EAGAIN` when there is nothing yet; `EINVAL` for files that cannot be read.
    fn read(&self, cx: FileCx<'_>, dst: &mut dyn Sink, pos: &mut u64) -> Result<usize>;

    /// Writes at `*pos` and advances it. `O_APPEND` is the file's own business (it must be atomic).
    ///
    /// # Errors
    /// `EAGAIN` when there is no room yet; `EPIPE` (the system call raises `SIGPIPE`).
    fn write(&self, cx: FileCx<'_>, src: &mut dyn Source, pos: &mut u64) -> Result<usize>;

    /// Readiness: registers `watch`, then returns what is ready. Always-ready files return `IN | OUT | RDNORM | WRNORM`
    /// and register nowhere.
    fn poll(&self, file: &File, watch: Option<&mut Watch>) -> Events;

    /// Whether the file has a position: lseek, pread and pwrite work.
    fn seekable(&self) -> bool {
        false
    }

    /// Whether lseek(2) succeeds though there is no position (`noop_llseek`).
    fn ignores_seeks(&self) -> bool {
        false
    }

    /// Whether the offset is kept by the file itself, because it is shared with the host. Then reads and writes that
    /// should use it get [`OFFSET_OF_FILE`] as their position, and [`FileOps::seek_from`] answers every lseek(2).
    fn keeps_offset(&self) -> bool {
        false
    }

    /// The end for `SEEK_END`; also answers `SEEK_DATA`/`SEEK_HOLE` when `whence` is one of them.
    ///
    /// # Errors
    /// `ENXIO`, `EINVAL`.
    fn seek_from(&self, _file: &File, _offset: i64, _whence: u32) -> Result<u64> {
        Err(Errno::EINVAL)
    }

    /// Lists directory entries from `*pos`; `emit` returns false when its buffer is full (that entry is not consumed).
    ///
    /// # Errors
    /// `ENOTDIR`.
    fn read_dir(
        &self,
        _cx: FileCx<'_>,
        _pos: &mut u64,
        _emit: &mut dyn FnMut(super::inode::DirEntry<'_>) -> bool,
    ) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    /// Until when a blocking read may wait; then it returns 0 (`VTIME` of terminals).
    fn read_deadline(&self) -> Option<std::time::Instant> {
        None
    }

    /// ioctl(2). Requests common to all files (`FIONBIO`, `FIOCLEX`, …) were handled before.
    ///
    /// # Errors
    /// `ENOTTY`.
    fn ioctl(&self, _cx: &mut ThreadCx, _file: &Arc<File>, _request: u32, _arg: u64) -> Result<u64> {
        Err(Errno::ENOTTY)
    }

    /// fsync(2) and fdatasync(2).
    ///
    /// # Errors
    /// `EINVAL` for files without storage.
    fn sync(&self) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// fallocate(2); `mode` zero must grow the file unless `KEEP_SIZE`.
    ///
    /// # Errors
    /// `ENODEV`, `EOPNOTSUPP`, `ENOSPC`.
    fn allocate(&self, _mode: u32, _offset: u64, _len: u64) -> Result<()> {
        Err(Errno::ENODEV)
    }

    /// A host descriptor whose pages a mapping of this file shows, at the same offsets. `writable_shared`: it will be
    /// mapped `MAP_SHARED` and writable. Called with the file's mapping rights already checked.
    ///
    /// # Errors
    /// `ENODEV` for files that cannot be mapped.
    fn mappable(&self, _writable_shared: bool) -> Result<Mappable<'_>> {
        Err(Errno::ENODEV)
    }

    /// The file as a socket.
    fn as_socket(&self) -> Option<&dyn Socket> {
        None
    }

    /// Told at each close(2) of a descriptor of this file, in whichever task (`flush`).
    fn on_close(&self, _cx: FileCx<'_>) {}

    /// Told when `F_SETFL` changed the flags, for files that mirror them.
    fn flags_changed(&self, _flags: u32) {}

    /// Whether a blocking write goes on until everything is written, as it does for pipes, stream sockets and
    /// terminals: the system call then calls [`FileOps::write`] again after a partial write.
    fn writes_fully(&self) -> bool {
        false
    }

    /// What /proc/PID/fd/N shows for a file without a path: `pipe:[7]`, `anon_inode:[eventfd]`.
    fn anonymous_name(&self) -> String {
        String::from("anon_inode:[file]")
    }

    /// What /proc/PID/fdinfo shows beyond the common lines.
    fn fdinfo(&self) -> String {
        String::new()
    }
}

impl dyn FileOps {
    /// The operations as their concrete type.
    pub fn downcast_ref<T: FileOps>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// Where the pages of a mappable file are.
pub enum Mappable<'a> {
    /// In a host file that stays open as long as the `FileOps`.
    Borrowed(BorrowedFd<'a>),
    /// In a host file handed out for this mapping.
    Shared(Arc<std::os::fd::OwnedFd>),
    /// Zero pages: a mapping is anonymous memory (`/dev/zero`).
    Anonymous,
}

/// An open file description.
pub struct File {
    ops: Box<dyn FileOps>,
    /// `O_*` status flags and access mode.
    flags: AtomicU32,
    /// Held over a read or write that uses it (`f_pos_lock`).
    pub offset: Mutex<u64>,
    path: Option<Path>,
    /// The inode, for files that have one.
    inode: Option<Arc<dyn Inode>>,
    /// `F_SETOWN`, `F_SETSIG`.
    pub owner: Arc<Mutex<AsyncOwner>>,
    /// Sends it (`O_ASYNC`).
    pub(super) async_watch: Mutex<Option<Box<Watch>>>,
    /// Sends `SIGURG`.
    pub(super) urgent_watch: Mutex<Option<Box<Watch>>>,
    /// Identity for epoll, OFD locks and kcmp.
    id: u64,
    /// Its opening was announced, so its closing will be.
    announced: std::sync::atomic::AtomicBool,
    /// Keeps executions away, or writers.
    _access: WriteAccess,
    /// Who opened it, if it was opened by a path.
    opener: OnceLock<Arc<Credentials>>,
}

/// A share in an inode's count of writers or executions, given back when dropped.
pub struct WriteAccess(Option<(Arc<dyn Inode>, i32)>);

impl WriteAccess {
    /// No share.
    pub fn none() -> WriteAccess {
        WriteAccess(None)
    }

    /// A share that was added to the count already.
    pub(super) fn holding(inode: Arc<dyn Inode>, by: i32) -> WriteAccess {
        WriteAccess(Some((inode, by)))
    }
}

impl Drop for WriteAccess {
    fn drop(&mut self) {
        if let Some((inode, by)) = &self.0 {
            inode.common().writers.fetch_sub(*by, Ordering::AcqRel);
        }
    }
}

/// Who gets `SIGIO`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncOwner {
    /// Positive: thread group or thread; negative: process group; zero: nobody.
    pub pid: i32,
    /// `F_OWNER_TID`, `F_OWNER_PID`, `F_OWNER_PGRP`.
    pub kind: i32,
    /// `F_SETSIG`; zero means `SIGIO`.
    pub signal: i32,
}

impl File {
    /// A file that was opened by a path.
    pub fn opened(ops: Box<dyn FileOps>, flags: u32, path: Path) -> Arc<File> {
        File::opened_with(ops, flags, path, WriteAccess::none())
    }

    /// As [`File::opened`], with its share in the inode's count of writers or executions.
    pub fn opened_with(ops: Box<dyn FileOps>, flags: u32, path: Path, access: WriteAccess) -> Arc<File> {
        let inode = Arc::clone(path.inode());
        File::build(ops, flags, Some(path), Some(inode), access)
    }

    /// A file without a name: pipe, socket, eventfd, memfd …
    pub fn anonymous(ops: Box<dyn FileOps>, flags: u32) -> Arc<File> {
        File::build(ops, flags, None, None, WriteAccess::none())
    }

    /// A file without a name in the tree, but with an inode (pipes, sockets and memfds have attributes).
    pub fn unnamed(ops: Box<dyn FileOps>, flags: u32, inode: Arc<dyn Inode>) -> Arc<File> {
        File::build(ops, flags, None, Some(inode), WriteAccess::none())
    }

    fn build(
        ops: Box<dyn FileOps>,
        flags: u32,
        path: Option<Path>,
        inode: Option<Arc<dyn Inode>>,
        access: WriteAccess,
    ) -> Arc<File> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(File {
            ops,
            flags: AtomicU32::new(flags),
            offset: Mutex::new(0),
            path,
            inode,
            owner: Arc::default(),
            async_watch: Mutex::default(),
            urgent_watch: Mutex::default(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            announced: false.into(),
            _access: access,
            opener: OnceLock::new(),
        })
    }

    /// Tells inotify that the file was opened; it will hear of the end by itself.
    pub fn announce_open(&self, state: &super::inotify_hook::InotifyState) {
        if let Some(path) = &self.path {
            self.announced.store(true, Ordering::Relaxed);
            super::inotify_hook::opened(state, path);
        }
    }

    /// Notes who opened it.
    pub fn opened_by(&self, creds: Arc<Credentials>) {
        let _ = self.opener.set(creds);
    }

    /// Whether it was opened with exactly these credentials (`f_cred`).
    pub fn was_opened_by(&self, creds: &Arc<Credentials>) -> bool {
        self.opener.get().is_some_and(|opener| Arc::ptr_eq(opener, creds))
    }

    /// The type-specific part.
    pub fn ops(&self) -> &dyn FileOps {
        &*self.ops
    }

    /// The type-specific part, if it is a `T`.
    pub fn downcast<T: FileOps>(&self) -> Option<&T> {
        self.ops.downcast_ref()
    }

    /// Status flags and access mode (`F_GETFL`).
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Replaces the flags that `F_SETFL` may change.
    pub fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Ordering::Relaxed);
        self.ops.flags_changed(flags);
    }

    /// `O_NONBLOCK`.
    pub fn nonblocking(&self) -> bool {
        self.flags() & linux_abi::fcntl::O_NONBLOCK != 0
    }

    /// Whether the access mode allows reading.
    pub fn readable(&self) -> bool {
        let flags = self.flags();
        flags & linux_abi::fcntl::O_PATH == 0 && matches!(flags & 3, 0 | 2)
    }

    /// Whether the access mode allows writing.
    pub fn writable(&self) -> bool {
        let flags = self.flags();
        flags & linux_abi::fcntl::O_PATH == 0 && matches!(flags & 3, 1 | 2)
    }

    /// The path it was opened by.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref()
    }

    /// Its inode.
    pub fn inode(&self) -> Option<&Arc<dyn Inode>> {
        self.inode.as_ref()
    }

    /// A number no other open file of this sandbox has had.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for File {
    /// The last descriptor is gone, and with it the locks of this description.
    fn drop(&mut self) {
        *self.async_watch.get_mut() = None;
        if *self.announced.get_mut()
            && let Some(path) = &self.path
        {
            super::inotify_hook::closed(path, self.writable());
        }
        if let Some(inode) = &self.inode {
            let locks = &inode.common().locks;
            locks.unflock(self.id);
            locks.release(Owner::Description(self.id));
        }
    }
}

impl Pollable for File {
    fn poll(&self, watch: Option<&mut Watch>) -> Events {
        self.ops.poll(self, watch)
    }
}
