//! Inherited host descriptors (standard input, output and error of `sandbox run`) as guest files.
//!
//! The open file description is shared with processes of the host: its `O_NONBLOCK` is never changed (poll(2) is asked
//! before anything that could block), and its offset is the one that moves. Readiness comes from one host thread
//! ([`HostPoller`]) that is started when somebody first waits.

use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use linux_abi::{
    Errno, Result, UserAddr,
    fcntl::{SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE},
    stat::makedev,
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        stat::FileStat,
        uio,
    },
    unistd::Whence,
};
use parking_lot::Mutex;

use crate::{
    fs::{
        file::{File, FileCx, FileOps, OFFSET_OF_FILE},
        inode::{Attr, FileSystem, FileTime, FileType, Inode, InodeCommon, SetAttr, StatFs},
        io::{Sink, Source},
    },
    task::{Task, ThreadCx, usermem::UserMemory},
    wait::{Events, WaitQueue, Watch},
};

use linux_abi::ioctl::{FIONREAD, TCGETS, TIOCGWINSZ};

/// The most one read or write of a regular file moves at once.
const STEP: usize = 256 << 10;
/// What a pipe takes without blocking once poll(2) says that it is writable (`PIPE_BUF`).
const PIPE_BUF: usize = 4096;
/// The device number of these files' own filesystem.
const DEV: u64 = 2;

fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_raw(error as i32)
}

/// A host descriptor and what there is once of it, however often guests open it.
struct Host {
    fd: OwnedFd,
    kind: FileType,
    queue: WaitQueue,
    /// Its number with the poller, once somebody waited.
    watched: OnceLock<Option<u64>>,
    poller: Arc<HostPoller>,
}

impl Host {
    /// What poll(2) says now.
    fn ready(&self) -> Events {
        if matches!(self.kind, FileType::Regular | FileType::Directory) {
            return Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        }
        let all = PollFlags::POLLIN
            | PollFlags::POLLOUT
            | PollFlags::POLLPRI
            | PollFlags::POLLRDNORM
            | PollFlags::POLLWRNORM;
        let mut fds = [PollFd::new(self.fd.as_fd(), all)];
        match nix::poll::poll(&mut fds, PollTimeout::ZERO) {
            Ok(_) => {
                let found = fds.first().and_then(PollFd::revents).unwrap_or(PollFlags::empty());
                Events::from_bits_truncate(u32::from(found.bits().cast_unsigned()))
            }
            Err(_) => Events::ERR,
        }
    }

    fn expect(&self, wanted: Events) -> Result<()> {
        if self.ready().intersects(wanted) { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    fn seekable(&self) -> bool {
        self.kind == FileType::Regular
    }

    fn seek(&self, offset: i64, whence: u32) -> Result<u64> {
        let whence = match whence {
            SEEK_CUR => Whence::SeekCur,
            SEEK_END => Whence::SeekEnd,
            SEEK_DATA => Whence::SeekData,
            SEEK_HOLE => Whence::SeekHole,
            _ => Whence::SeekSet,
        };
        let at = nix::unistd::lseek(self.fd.as_fd(), offset, whence).map_err(errno)?;
        u64::try_from(at).map_err(|_| Errno::EINVAL)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(Some(id)) = self.watched.get() {
            self.poller.forget(*id, &self.fd);
        }
    }
}

/// The open file.
pub struct HostFile {
    host: Arc<Host>,
}

/// Opens an inherited descriptor for guests; `owner` is who it shows as its owner.
///
/// # Errors
/// The host's.
pub fn adopt(task: &Task, fd: OwnedFd, owner: (u32, u32)) -> Result<Arc<File>> {
    let stat = nix::sys::stat::fstat(fd.as_fd()).map_err(errno)?;
    let kind = FileType::from_mode(stat.st_mode).unwrap_or(FileType::CharDevice);
    let flags = nix::fcntl::fcntl(fd.as_fd(), nix::fcntl::FcntlArg::F_GETFL).map_err(errno)?.cast_unsigned();
    let poller = Arc::clone(&task.kernel.host_poller);
    let host = Arc::new(Host { fd, kind, queue: WaitQueue::new(), watched: OnceLock::new(), poller });
    let inode: Arc<dyn Inode> = Arc::new(HostInode {
        common: InodeCommon::default(),
        host: Arc::clone(&host),
        shown: Mutex::new(Shown { uid: owner.0, gid: owner.1, perm: stat.st_mode & 0o7777 }),
    });
    // The host's O_NONBLOCK is not the guest's.
    let flags = flags & !linux_abi::fcntl::O_NONBLOCK;
    Ok(File::unnamed(Box::new(HostFile { host }), flags, inode))
}

impl FileOps for HostFile {
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, pos: &mut u64) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        self.host.expect(Events::IN | Events::HUP | Events::ERR)?;
        let at = (*pos != OFFSET_OF_FILE).then_some(*pos);
        dst.fill(STEP, &mut |buffer| match at {
            None => nix::unistd::read(self.host.fd.as_fd(), buffer).map_err(errno),
            Some(at) => {
                let at = i64::try_from(at).map_err(|_| Errno::EINVAL)?;
                uio::pread(self.host.fd.as_fd(), buffer, at).map_err(errno)
            }
        })
    }

    fn write(&self, _cx: FileCx<'_>, src: &mut dyn Source, pos: &mut u64) -> Result<usize> {
        let step = if self.host.seekable() { STEP } else { PIPE_BUF };
        let mut at = (*pos != OFFSET_OF_FILE).then_some(*pos);
        let mut total = 0;
        while src.remaining() > 0 {
            if let Err(errno) = self.host.expect(Events::OUT | Events::ERR) {
                return if total > 0 { Ok(total) } else { Err(errno) };
            }
            let done = src.drain(step, &mut |data| match at {
                None => nix::unistd::write(self.host.fd.as_fd(), data).map_err(errno),
                Some(at) => {
                    let at = i64::try_from(at).map_err(|_| Errno::EINVAL)?;
                    uio::pwrite(self.host.fd.as_fd(), data, at).map_err(errno)
                }
            });
            match done {
                Ok(0) => break,
                Ok(done) => {
                    total += done;
                    at = at.map(|at| at.saturating_add(done as u64));
                }
                Err(errno) if total == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(total)
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.host.queue.register(watch);
            self.host.watched.get_or_init(|| self.host.poller.watch(&self.host.fd, self.host.queue.clone()));
        }
        self.host.ready()
    }

    fn seekable(&self) -> bool {
        self.host.seekable()
    }

    fn keeps_offset(&self) -> bool {
        true
    }

    fn seek_from(&self, _file: &File, offset: i64, whence: u32) -> Result<u64> {
        self.host.seek(offset, whence)
    }

    fn ioctl(&self, cx: &mut ThreadCx, _file: &Arc<File>, request: u32, arg: u64) -> Result<u64> {
        let arg = UserAddr(arg);
        match request {
            TCGETS => {
                let termios = nix::sys::termios::tcgetattr(self.host.fd.as_fd()).map_err(errno)?;
                cx.write_bytes(arg, &encode_termios(&termios))?;
            }
            TIOCGWINSZ => {
                let size = host::tty::window_size(self.host.fd.as_fd()).map_err(errno)?;
                cx.write_obj(arg, &[size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel])?;
            }
            FIONREAD => {
                let count = host::tty::input_available(self.host.fd.as_fd()).map_err(errno)?;
                cx.write_obj(arg, &count)?;
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn sync(&self) -> Result<()> {
        nix::unistd::fsync(self.host.fd.as_fd()).map_err(errno)
    }

    fn writes_fully(&self) -> bool {
        !self.host.seekable()
    }

    fn anonymous_name(&self) -> String {
        match self.host.kind {
            FileType::Fifo => "pipe:[host]".to_owned(),
            FileType::Socket => "socket:[host]".to_owned(),
            _ => "host:[file]".to_owned(),
        }
    }
}

/// `struct termios` of the kernel: four words of flags, the line discipline, and 19 characters.
fn encode_termios(termios: &nix::sys::termios::Termios) -> [u8; 36] {
    let words = [
        termios.input_flags.bits(),
        termios.output_flags.bits(),
        termios.control_flags.bits(),
        termios.local_flags.bits(),
    ];
    let words = words.iter().flat_map(|word| word.to_le_bytes());
    let line = [termios.line_discipline];
    let bytes = words.chain(line).chain(termios.control_chars.iter().copied().take(19));
    let mut out = [0; 36];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = from;
    }
    out
}

/// What guests see of such a file besides its bytes.
pub struct HostInode {
    common: InodeCommon,
    host: Arc<Host>,
    /// The host's owner means nothing here.
    shown: Mutex<Shown>,
}

#[derive(Clone, Copy)]
struct Shown {
    uid: u32,
    gid: u32,
    perm: u32,
}

fn time(sec: i64, nsec: i64) -> FileTime {
    FileTime { sec, nsec: u32::try_from(nsec).unwrap_or(0) }
}

impl Inode for HostInode {
    fn common(&self) -> &InodeCommon {
        &self.common
    }

    fn kind(&self) -> FileType {
        self.host.kind
    }

    fn attr(&self) -> Result<Attr> {
        let stat: FileStat = nix::sys::stat::fstat(self.host.fd.as_fd()).map_err(errno)?;
        let shown = *self.shown.lock();
        let rdev = makedev(
            u32::try_from(nix::sys::stat::major(stat.st_rdev)).unwrap_or(0),
            u32::try_from(nix::sys::stat::minor(stat.st_rdev)).unwrap_or(0),
        );
        Ok(Attr {
            kind: self.host.kind,
            perm: shown.perm,
            ino: stat.st_ino,
            dev: DEV,
            rdev,
            nlink: 1,
            uid: shown.uid,
            gid: shown.gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            btime: None,
        })
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        let mut shown = self.shown.lock();
        shown.uid = change.uid.unwrap_or(shown.uid);
        shown.gid = change.gid.unwrap_or(shown.gid);
        shown.perm = change.perm.unwrap_or(shown.perm);
        if let Some(size) = change.size {
            let size = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
            nix::unistd::ftruncate(self.host.fd.as_fd(), size).map_err(errno)?;
        }
        Ok(())
    }

    fn opens_itself(&self) -> bool {
        true
    }

    /// Another view of the same description: the host's file may have no name to open it by.
    fn open(self: Arc<Self>, _task: &Task, _flags: u32) -> Result<Box<dyn FileOps>> {
        Ok(Box::new(HostFile { host: Arc::clone(&self.host) }))
    }

    fn filesystem(&self) -> Arc<dyn FileSystem> {
        Arc::new(HostFs)
    }
}

/// Where inherited files seem to be.
struct HostFs;

impl FileSystem for HostFs {
    fn name(&self) -> &'static str {
        "hostfs"
    }

    /// Never asked for: it cannot be mounted.
    fn root(&self) -> Arc<dyn Inode> {
        crate::fs::types::tmpfs::TmpFs::new(DEV, &crate::fs::types::tmpfs::TmpOptions::with_size(0)).root()
    }

    fn dev(&self) -> u64 {
        DEV
    }

    fn statfs(&self) -> Result<StatFs> {
        const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
        Ok(StatFs { magic: ANON_INODE_FS_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
}

/// Tells wait queues of what happens to host descriptors. One host thread, started when first needed.
#[derive(Default)]
pub struct HostPoller {
    epoll: OnceLock<Option<Arc<Epoll>>>,
    queues: Arc<Mutex<HashMap<u64, WaitQueue>>>,
    next: AtomicU64,
}

impl HostPoller {
    /// Announces every change of `fd` to `queue`. `None` for files that are always ready.
    fn watch(&self, fd: &OwnedFd, queue: WaitQueue) -> Option<u64> {
        let epoll = self.epoll.get_or_init(|| self.start()).as_ref()?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.queues.lock().insert(id, queue);
        // Edge-triggered: a level that nobody acts on must not keep the thread running.
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLPRI
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        if epoll.add(fd, EpollEvent::new(flags, id)).is_err() {
            self.queues.lock().remove(&id);
            return None;
        }
        Some(id)
    }

    fn forget(&self, id: u64, fd: &OwnedFd) {
        if let Some(Some(epoll)) = self.epoll.get() {
            // The description may live on in the host.
            let _ = epoll.delete(fd);
        }
        self.queues.lock().remove(&id);
    }

    fn start(&self) -> Option<Arc<Epoll>> {
        let epoll = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok()?);
        let (poll, queues) = (Arc::clone(&epoll), Arc::clone(&self.queues));
        let run = move || {
            let mut events = [EpollEvent::empty(); 16];
            loop {
                let count = match poll.wait(&mut events, EpollTimeout::NONE) {
                    Ok(count) => count,
                    Err(nix::errno::Errno::EINTR) => continue,
                    Err(_) => return,
                };
                for event in events.iter().take(count) {
                    let queue = queues.lock().get(&event.data()).cloned();
                    let ready = Events::from_bits_truncate(event.events().bits().cast_unsigned());
                    if let Some(queue) = queue {
                        queue.wake(ready | Events::RDNORM | Events::WRNORM);
                    }
                }
            }
        };
        std::thread::Builder::new().name("host-poller".into()).spawn(run).ok()?;
        Some(epoll)
    }
}
