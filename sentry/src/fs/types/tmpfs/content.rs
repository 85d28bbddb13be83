//! The bytes of a regular file.
//!
//! Small files without holes are bytes in the sentry's memory: to read and write there takes no call of the host. A file that
//! outgrows [`SMALL`], gets a hole or is mapped moves to a host memfd, for good.
//!
//! Accounting: `charged` bytes of the filesystem's budget belong to this file. For a memfd the pages below `dense` are
//! all allocated; as long as writes stay there or extend it, the charge is exact by itself, otherwise the host is asked.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use linux_abi::{
    Errno, PAGE_SIZE, Result,
    fcntl::{
        F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE, FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, SEEK_DATA,
    },
};
use nix::{
    fcntl::{FallocateFlags, FcntlArg, SealFlag},
    sys::{memfd::MFdFlags, uio},
    unistd::Whence,
};

use super::{blocks::Blocks, budget::Budget};

/// The most a file holds without a memfd.
const SMALL: u64 = 1 << 20;
/// The largest file (`MAX_LFS_FILESIZE`).
pub(super) const MAX_SIZE: u64 = i64::MAX as u64;

/// A file's bytes and size.
pub(super) struct Content {
    form: Form,
    size: u64,
    charged: u64,
    /// `F_SEAL_*`, where the file can be sealed.
    seals: u32,
}

enum Form {
    Small(Blocks),
    Host(Host),
}

struct Host {
    file: Arc<OwnedFd>,
    /// Every page below is allocated.
    dense: u64,
    /// Pages above `dense` may be allocated.
    sparse: bool,
    /// A guest has, or had, it mapped shared.
    mapped: bool,
}

/// What a reader copies from, without the file's lock.
pub(super) enum Readable {
    /// A block, where in it to begin, and how much of the file it stands for from there on: it is followed by a hole.
    Small {
        bytes: Arc<Vec<u8>>,
        from: usize,
        len: usize,
    },
    Host(Arc<OwnedFd>),
}

fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_raw(error as i32)
}

pub(super) fn page_up(at: u64) -> u64 {
    at.saturating_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
}

fn page_down(at: u64) -> u64 {
    at & !(PAGE_SIZE - 1)
}

fn offset(at: u64) -> Result<i64> {
    i64::try_from(at).map_err(|_| Errno::EFBIG)
}

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn new_memfd() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    nix::sys::memfd::memfd_create(c"sandbox-file", flags).map_err(errno)
}

impl Host {
    fn allocated(&self) -> Result<u64> {
        let stat = nix::sys::stat::fstat(self.file.as_fd()).map_err(errno)?;
        Ok(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512))
    }
}

impl Content {
    /// An empty file that cannot be sealed.
    pub(super) fn new() -> Content {
        Content {
            form: Form::Small(Blocks::default()),
            size: 0,
            charged: 0,
            seals: linux_abi::fcntl::F_SEAL_SEAL,
        }
    }

    /// An empty file whose seals the host enforces.
    pub(super) fn sealable() -> Result<Content> {
        let mut content = Content::new();
        content.seals = 0;
        content.form =
            Form::Host(Host { file: Arc::new(new_memfd()?), dense: 0, sparse: false, mapped: false });
        Ok(content)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of memory it takes.
    pub(super) fn allocated(&self) -> u64 {
        match &self.form {
            Form::Host(host) if host.mapped => host.allocated().unwrap_or(self.charged),
            _ => self.charged,
        }
    }

    /// Gives the charge back; the file is going away.
    pub(super) fn release(&mut self, budget: &Budget) {
        budget.give_bytes(std::mem::take(&mut self.charged));
        self.form = Form::Small(Blocks::default());
    }

    /// What is at `at`.
    pub(super) fn readable(&self, at: u64) -> Readable {
        match &self.form {
            Form::Small(blocks) => {
                let (bytes, from, len) = blocks.at(at);
                Readable::Small { bytes, from, len }
            }
            Form::Host(host) => Readable::Host(Arc::clone(&host.file)),
        }
    }

    /// Writes all of `data` at `at`, or as much as there is room for.
    pub(super) fn write(&mut self, budget: &Budget, at: u64, data: &[u8]) -> Result<usize> {
        if self.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        let data = data.get(..index(MAX_SIZE.saturating_sub(at))).unwrap_or(data);
        if data.is_empty() {
            return Err(Errno::EFBIG);
        }
        let end = at + data.len() as u64;
        if self.seals & F_SEAL_GROW != 0 && end > self.size {
            return Err(Errno::EPERM);
        }
        if end > SMALL || self.leaves_hole(at) {
            self.make_host(budget)?;
        }
        let done = match &mut self.form {
            Form::Small(blocks) => {
                let charge = page_up(end.max(blocks.len()));
                if charge > self.charged {
                    budget.take_bytes(charge - self.charged)?;
                    self.charged = charge;
                }
                blocks.write(at, data);
                data.len()
            }
            Form::Host(host) => write_host(host, &mut self.charged, budget, at, data)?,
        };
        self.size = self.size.max(at + done as u64);
        Ok(done)
    }

    /// Sets the size.
    pub(super) fn set_size(&mut self, budget: &Budget, size: u64) -> Result<()> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        if (size < self.size && self.seals & F_SEAL_SHRINK != 0)
            || (size > self.size && self.seals & F_SEAL_GROW != 0)
        {
            return Err(Errno::EPERM);
        }
        match &mut self.form {
            Form::Small(blocks) => {
                blocks.truncate(size);
                let charge = page_up(blocks.len());
                budget.correct_bytes(self.charged, charge);
                self.charged = charge;
            }
            Form::Host(host) => {
                nix::unistd::ftruncate(host.file.as_fd(), offset(size)?).map_err(errno)?;
                if size < self.size {
                    host.dense = host.dense.min(page_up(size));
                    settle(host, &mut self.charged, budget)?;
                }
            }
        }
        self.size = size;
        Ok(())
    }

    /// fallocate(2).
    pub(super) fn allocate(&mut self, budget: &Budget, mode: u32, at: u64, len: u64) -> Result<()> {
        let end = at.checked_add(len).filter(|&end| end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        let keep_size = mode & FALLOC_FL_KEEP_SIZE != 0;
        match mode & !FALLOC_FL_KEEP_SIZE {
            FALLOC_FL_PUNCH_HOLE if keep_size => {
                if self.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0 {
                    return Err(Errno::EPERM);
                }
                self.punch(budget, at, end)
            }
            zero @ (0 | FALLOC_FL_ZERO_RANGE) => {
                if !keep_size && end > self.size && self.seals & F_SEAL_GROW != 0 {
                    return Err(Errno::EPERM);
                }
                if zero == FALLOC_FL_ZERO_RANGE {
                    self.punch(budget, at, end.min(page_up(self.size)).max(at))?;
                }
                self.reserve(budget, at, end, keep_size)
            }
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Whether whole pages before `at` are missing.
    fn leaves_hole(&self, at: u64) -> bool {
        matches!(&self.form, Form::Small(blocks) if page_down(at) > page_up(blocks.len()))
    }

    fn punch(&mut self, budget: &Budget, at: u64, end: u64) -> Result<()> {
        if matches!(&self.form, Form::Small(blocks) if end < blocks.len()) {
            self.make_host(budget)?;
        }
        match &mut self.form {
            Form::Small(blocks) => {
                blocks.truncate(at);
                let charge = page_up(blocks.len());
                budget.correct_bytes(self.charged, charge);
                self.charged = charge;
                Ok(())
            }
            Form::Host(host) => {
                if end > at {
                    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                    let length = offset(end - at)?;
                    nix::fcntl::fallocate(host.file.as_fd(), flags, offset(at)?, length).map_err(errno)?;
                    if at < host.dense {
                        host.dense = page_down(at);
                        host.sparse = true;
                    }
                }
                settle(host, &mut self.charged, budget)
            }
        }
    }

    fn reserve(&mut self, budget: &Budget, at: u64, end: u64, keep_size: bool) -> Result<()> {
        self.make_host(budget)?;
        let Form::Host(host) = &mut self.form else { return Err(Errno::EIO) };
        let upper = page_up(end).saturating_sub(page_down(at).max(host.dense));
        budget.take_bytes(upper)?;
        self.charged += upper;
        let length = offset(end - at)?;
        let done = nix::fcntl::fallocate(
            host.file.as_fd(),
            FallocateFlags::FALLOC_FL_KEEP_SIZE,
            offset(at)?,
            length,
        );
        if page_down(at) <= host.dense && done.is_ok() {
            host.dense = host.dense.max(page_up(end));
        }
        host.sparse = true;
        settle(host, &mut self.charged, budget)?;
        done.map_err(errno)?;
        if !keep_size && end > self.size {
            nix::unistd::ftruncate(host.file.as_fd(), offset(end)?).map_err(errno)?;
            self.size = end;
        }
        Ok(())
    }

    /// `SEEK_DATA` and `SEEK_HOLE`.
    pub(super) fn seek(&self, at: u64, whence: u32) -> Result<u64> {
        if at >= self.size {
            return Err(Errno::ENXIO);
        }
        let data = whence == SEEK_DATA;
        match &self.form {
            Form::Small(blocks) => match (at < blocks.len(), data) {
                (true, true) | (false, false) => Ok(at),
                (true, false) => Ok(blocks.len().min(self.size)),
                (false, true) => Err(Errno::ENXIO),
            },
            Form::Host(host) => {
                // The offset this moves is nobody's: the sentry reads and writes by position.
                let whence = if data { Whence::SeekData } else { Whence::SeekHole };
                let found = nix::unistd::lseek(host.file.as_fd(), offset(at)?, whence).map_err(errno)?;
                u64::try_from(found).map_err(|_| Errno::EIO)
            }
        }
    }

    /// The memfd that holds the file, for a mapping.
    pub(super) fn host_file(&mut self, budget: &Budget, shared: bool) -> Result<Arc<OwnedFd>> {
        self.make_host(budget)?;
        let Form::Host(host) = &mut self.form else { return Err(Errno::ENODEV) };
        host.mapped |= shared;
        Ok(Arc::clone(&host.file))
    }

    pub(super) fn seals(&self) -> u32 {
        self.seals
    }

    /// Adds seals; the host knows whether somebody has it mapped writable.
    pub(super) fn add_seals(&mut self, seals: u32) -> Result<()> {
        let Form::Host(host) = &self.form else { return Err(Errno::EPERM) };
        if self.seals & linux_abi::fcntl::F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM);
        }
        // F_SEAL_SEAL and F_SEAL_EXEC are about this file, not about the memfd behind it.
        let enforced = seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
        let flags = SealFlag::from_bits_truncate(enforced.cast_signed());
        nix::fcntl::fcntl(host.file.as_fd(), FcntlArg::F_ADD_SEALS(flags)).map_err(errno)?;
        self.seals |= seals;
        Ok(())
    }

    fn make_host(&mut self, budget: &Budget) -> Result<()> {
        let Form::Small(blocks) = &self.form else { return Ok(()) };
        let mut host = Host { file: Arc::new(new_memfd()?), dense: 0, sparse: false, mapped: false };
        nix::unistd::ftruncate(host.file.as_fd(), offset(self.size)?).map_err(errno)?;
        let mut at = 0;
        for bytes in blocks.iter() {
            let mut done = 0;
            while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
                done += uio::pwrite(host.file.as_fd(), rest, offset(at + done as u64)?).map_err(errno)?;
            }
            at += done as u64;
        }
        let dense = page_up(at);
        host.dense = dense;
        self.form = Form::Host(host);
        budget.correct_bytes(self.charged, dense);
        self.charged = dense;
        Ok(())
    }
}

fn write_host(host: &mut Host, charged: &mut u64, budget: &Budget, at: u64, data: &[u8]) -> Result<usize> {
    let end = at + data.len() as u64;
    let first_new = page_down(at).max(host.dense);
    let mut data = data;
    let fresh = page_up(end).saturating_sub(first_new);
    if fresh > 0 && budget.take_bytes(fresh).is_ok() {
        *charged += fresh;
    } else if fresh > 0 {
        // Perhaps some of the pages are there already, or the rest of one is: what fits is written.
        settle(host, charged, budget)?;
        let (limit, used) = budget.bytes();
        let room = page_down(limit.saturating_sub(used));
        let fits = first_new.saturating_add(room).saturating_sub(at);
        data = data.get(..index(fits)).unwrap_or(data);
        if data.is_empty() {
            return Err(Errno::ENOSPC);
        }
        let fresh = page_up(at + data.len() as u64).saturating_sub(first_new);
        budget.take_bytes(fresh)?;
        *charged += fresh;
    }
    let done = uio::pwrite(host.file.as_fd(), data, offset(at)?).map_err(errno);
    let extends = page_down(at) <= host.dense;
    if let Ok(done) = done
        && extends
    {
        host.dense = host.dense.max(page_up(at + done as u64));
    }
    let exact = extends && !host.sparse && !host.mapped && done == Ok(data.len());
    host.sparse |= !extends;
    if !exact && fresh > 0 {
        settle(host, charged, budget)?;
    }
    done
}

/// Makes the charge what the host says the file takes.
fn settle(host: &Host, charged: &mut u64, budget: &Budget) -> Result<()> {
    let actual = host.allocated()?;
    budget.correct_bytes(*charged, actual);
    *charged = actual;
    Ok(())
}
