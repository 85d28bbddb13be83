//! Descriptor tables: small integers to open file descriptions (`struct files_struct`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use super::{file::File, locks::Owner};

/// The most descriptors any table can hold (`fs.nr_open`).
pub const NR_OPEN: u32 = 1 << 20;

/// A table of descriptors, shared by the threads of a process (or by `CLONE_FILES`).
pub struct FdTable {
    slots: Mutex<Slots>,
    /// Identity as an owner of POSIX locks.
    id: u64,
}

#[derive(Clone, Default)]
struct Slots {
    entries: Vec<Option<Entry>>,
    /// No free slot lies below this one.
    first_free: usize,
    open: usize,
}

#[derive(Clone)]
struct Entry {
    file: Arc<File>,
    close_on_exec: bool,
}

impl Slots {
    fn lowest_free(&self, from: usize) -> usize {
        let mut at = from.max(self.first_free);
        while self.entries.get(at).is_some_and(Option::is_some) {
            at += 1;
        }
        at
    }

    fn put(&mut self, at: usize, entry: Entry) -> Option<Arc<File>> {
        if self.entries.len() <= at {
            self.entries.resize(at + 1, None);
        }
        let old = self.entries.get_mut(at).and_then(|slot| slot.replace(entry));
        if old.is_none() {
            self.open += 1;
        }
        old.map(|entry| entry.file)
    }

    fn take(&mut self, at: usize) -> Option<Arc<File>> {
        let entry = self.entries.get_mut(at)?.take()?;
        self.open -= 1;
        self.first_free = self.first_free.min(at);
        while self.entries.last().is_some_and(Option::is_none) {
            self.entries.pop();
        }
        Some(entry.file)
    }
}

fn index(fd: i32) -> Result<usize> {
    usize::try_from(fd).map_err(|_| Errno::EBADF)
}

fn number(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

impl FdTable {
    /// An empty table.
    pub fn new() -> Arc<FdTable> {
        FdTable::build(Slots::default())
    }

    /// A copy with the same descriptions (fork).
    pub fn duplicate(&self) -> Arc<FdTable> {
        FdTable::build(self.slots.lock().clone())
    }

    fn build(slots: Slots) -> Arc<FdTable> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(FdTable { slots: Mutex::new(slots), id: NEXT.fetch_add(1, Ordering::Relaxed) })
    }

    /// Identity of this table among all there ever were.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Who its POSIX locks belong to.
    pub fn lock_owner(&self) -> Owner {
        Owner::Process(self.id)
    }

    /// Releases the POSIX locks on a file of which a descriptor was just closed: closing *any* descriptor of a file
    /// gives up all of the process's locks on it (fcntl(2)).
    pub fn release_locks(&self, file: &File) {
        if let Some(inode) = file.inode() {
            inode.common().locks.release(self.lock_owner());
        }
    }

    /// The file at `fd`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get(&self, fd: i32) -> Result<Arc<File>> {
        let at = index(fd)?;
        let slots = self.slots.lock();
        let entry = slots.entries.get(at).and_then(Option::as_ref).ok_or(Errno::EBADF)?;
        Ok(Arc::clone(&entry.file))
    }

    /// Installs `file` at the lowest free descriptor that is at least `from` and below `limit`.
    ///
    /// # Errors
    /// `EMFILE`; `EINVAL` if `from` is not below `limit` (`F_DUPFD`).
    pub fn install_from(&self, file: Arc<File>, close_on_exec: bool, from: i32, limit: u64) -> Result<i32> {
        let from = usize::try_from(from).map_err(|_| Errno::EINVAL)?;
        let limit = usize::try_from(limit.min(u64::from(NR_OPEN))).unwrap_or(0);
        if from >= limit && from > 0 {
            return Err(Errno::EINVAL);
        }
        let mut slots = self.slots.lock();
        let at = slots.lowest_free(from);
        if at >= limit {
            return Err(Errno::EMFILE);
        }
        if from <= slots.first_free {
            slots.first_free = at + 1;
        }
        slots.put(at, Entry { file, close_on_exec });
        Ok(number(at))
    }

    /// Fails as [`FdTable::install_from`] would, for calls that must not do anything in vain.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn check_room(&self, limit: u64) -> Result<()> {
        let slots = self.slots.lock();
        if slots.lowest_free(0) as u64 >= limit.min(u64::from(NR_OPEN)) { Err(Errno::EMFILE) } else { Ok(()) }
    }

    /// Installs `file` at exactly `fd`, returning what it replaces (dup2).
    ///
    /// # Errors
    /// `EBADF` if `fd` is not below `limit`.
    pub fn install_at(
        &self,
        file: Arc<File>,
        close_on_exec: bool,
        fd: i32,
        limit: u64,
    ) -> Result<Option<Arc<File>>> {
        let at = index(fd)?;
        if at as u64 >= limit.min(u64::from(NR_OPEN)) {
            return Err(Errno::EBADF);
        }
        Ok(self.slots.lock().put(at, Entry { file, close_on_exec }))
    }

    /// Takes `fd` out of the table.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn remove(&self, fd: i32) -> Result<Arc<File>> {
        let at = index(fd)?;
        self.slots.lock().take(at).ok_or(Errno::EBADF)
    }

    /// `FD_CLOEXEC` of `fd`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close_on_exec(&self, fd: i32) -> Result<bool> {
        let at = index(fd)?;
        let slots = self.slots.lock();
        slots.entries.get(at).and_then(Option::as_ref).map(|entry| entry.close_on_exec).ok_or(Errno::EBADF)
    }

    /// Sets `FD_CLOEXEC` of `fd`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_close_on_exec(&self, fd: i32, on: bool) -> Result<()> {
        let at = index(fd)?;
        let mut slots = self.slots.lock();
        let entry = slots.entries.get_mut(at).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        entry.close_on_exec = on;
        Ok(())
    }

    /// Sets `FD_CLOEXEC` of every descriptor in `from..=to`.
    pub fn close_range_on_exec(&self, from: u32, to: u32) {
        let mut slots = self.slots.lock();
        let count = (to as usize).saturating_add(1).saturating_sub(from as usize);
        for entry in slots.entries.iter_mut().skip(from as usize).take(count).flatten() {
            entry.close_on_exec = true;
        }
    }

    /// Takes every descriptor in `from..=to` that `which` selects (given its close-on-exec flag) out of the table.
    pub fn remove_range(&self, from: u32, to: u32, which: impl Fn(bool) -> bool) -> Vec<Arc<File>> {
        let mut slots = self.slots.lock();
        let end = slots.entries.len().min((to as usize).saturating_add(1));
        let mut removed = Vec::new();
        for at in from as usize..end {
            let selected =
                slots.entries.get(at).and_then(Option::as_ref).is_some_and(|e| which(e.close_on_exec));
            if selected && let Some(file) = slots.take(at) {
                removed.push(file);
            }
        }
        removed
    }

    /// The open descriptors and their files, in order.
    pub fn list(&self) -> Vec<(i32, Arc<File>)> {
        let slots = self.slots.lock();
        let open = slots.entries.iter().enumerate();
        open.filter_map(|(at, entry)| Some((number(at), Arc::clone(&entry.as_ref()?.file)))).collect()
    }

    /// How many descriptors are open.
    pub fn open_count(&self) -> usize {
        self.slots.lock().open
    }
}

impl Drop for FdTable {
    /// The process is gone.
    fn drop(&mut self) {
        let owner = self.lock_owner();
        for entry in self.slots.get_mut().entries.drain(..).flatten() {
            if let Some(inode) = entry.file.inode() {
                inode.common().locks.release(owner);
            }
        }
    }
}
