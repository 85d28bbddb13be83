//! What the names in a directory mean, and what of that is remembered.

use std::sync::Arc;

use gofer_proto::{Name, Opened, Walk, WalkEnd};
use linux_abi::{Errno, Result};

use super::{
    super::{
        changes::{Expected, Moment},
        listing::{Entry, Listing},
    },
    GoferInode, MAX_ABSENT,
};
use crate::fs::inode::FileType;

impl GoferInode {
    /// The entry `name`.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, the gofer's.
    pub fn find(&self, name: &[u8]) -> Result<Arc<GoferInode>> {
        let mut asked = false;
        let found = self.find_and(name, self.fs.guess.will_open(), &mut asked);
        if let Ok(inode) = &found
            && asked
            && inode.kind == FileType::Regular
        {
            self.fs.guess.looked_up(inode.node);
        }
        found
    }

    /// As [`GoferInode::find`]; a regular file comes with a descriptor for reading, if the gofer may read it.
    ///
    /// # Errors
    /// As [`GoferInode::find`].
    pub fn find_to_open(&self, name: &[u8]) -> Result<Arc<GoferInode>> {
        self.find_and(name, true, &mut false)
    }

    /// Finds `name`, with a descriptor if `open`. Says whether the gofer was `asked`.
    fn find_and(&self, name: &[u8], open: bool, asked: &mut bool) -> Result<Arc<GoferInode>> {
        let mut opened = None;
        let found = self.find_by(name, |name| {
            *asked = true;
            let mut walk = self.walk_on(name, open)?;
            opened = walk.opened.take();
            Ok(walk)
        });
        match (opened, &found) {
            (Some(Ok(Opened::File(descriptor))), Ok(inode)) => {
                inode.opened(&mut inode.reader.lock(), descriptor);
            }
            (Some(Ok(Opened::Directory(handle))), _) => self.fs.client.close(handle),
            _ => {}
        }
        found
    }

    pub(super) fn find_by(
        &self,
        name: &[u8],
        walk: impl FnOnce(Name<'_>) -> Result<Walk>,
    ) -> Result<Arc<GoferInode>> {
        if self.kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        if self.is_sure()
            && let Some(answer) = self.remembered(name)
        {
            return answer;
        }
        let name = Name::new(name)?;
        let since = self.fs.moment();
        let walk = walk(name)?;
        let found = match (walk.found.first(), walk.end) {
            (Some(walked), _) => Ok(*walked),
            (None, WalkEnd::Failed(errno)) => Err(errno),
            (None, _) => Err(Errno::ENOENT),
        };
        match found {
            Ok(walked) => {
                let inode = self.fs.intern(&walked, since)?;
                if let Some(target) = walk.link {
                    let _ = inode.target.set(target);
                }
                self.remember(name.as_bytes(), Some(&inode), since);
                Ok(inode)
            }
            Err(errno) => {
                if errno == Errno::ENOENT {
                    self.remember(name.as_bytes(), None, since);
                }
                Err(errno)
            }
        }
    }

    /// What is known of `name` without asking.
    fn remembered(&self, name: &[u8]) -> Option<Result<Arc<GoferInode>>> {
        let names = self.names.lock();
        match names.known.get(name)? {
            None => Some(Err(Errno::ENOENT)),
            Some(inode) => inode.upgrade().map(Ok),
        }
    }

    /// `name` meant `inode`, or nothing, at `since`.
    pub(super) fn remember(&self, name: &[u8], inode: Option<&Arc<GoferInode>>, since: Option<Moment>) {
        self.fs.settle(since, |still| {
            if !still || !(self.exclusive() || self.attr.lock().watch.is_some()) {
                return;
            }
            let mut names = self.names.lock();
            if names.known.len() >= MAX_ABSENT {
                names.known.retain(|_, known| known.as_ref().is_some_and(|inode| inode.strong_count() > 0));
                if names.known.len() >= MAX_ABSENT {
                    names.known.clear();
                }
            }
            names.known.insert(name.into(), inode.map(Arc::downgrade));
        });
    }

    /// This sandbox changed the entry `name`: it means `inode` now, or nothing.
    pub(super) fn changed(&self, name: &[u8], inode: Option<&Arc<GoferInode>>, since: Option<Moment>) {
        self.entry_changed(name);
        self.remember(name, inode, since);
    }

    /// Tells the queue of changes to expect `event` of the entry `name`.
    pub(super) fn expect(&self, event: u32, name: &[u8]) -> Option<Expected> {
        let watch = self.attr.lock().watch?;
        Some(self.fs.changes()?.expect(watch, event, name))
    }

    /// What was expected for `result`, the outcome of a change, did not happen if that failed.
    pub(super) fn expected<T>(&self, expected: Option<Expected>, result: Result<T>) -> Result<T> {
        if let (Err(_), Some(expected), Some(changes)) = (&result, expected, self.fs.changes())
            && changes.unexpect(&expected)
        {
            // Somebody else did it.
            self.entry_changed(expected.name());
        }
        result
    }

    pub(super) fn listing(&self, fresh: bool) -> Result<Arc<Listing>> {
        if self.kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let kept = self.names.lock().listing.clone();
        if let Some(listing) = kept.filter(|_| !fresh) {
            return Ok(listing);
        }
        let since = self.fs.moment();
        let listing = Listing::take(&self.fs.client, self.node)?;
        // Whoever goes on with a listing finds it there even if it is old.
        self.fs.settle(since, |still| {
            let mut names = self.names.lock();
            names.listing_is_current = still;
            names.listing = Some(Arc::clone(&listing));
        });
        Ok(listing)
    }

    /// A listing of what is there now.
    pub(super) fn whole_listing(&self) -> Result<Arc<Listing>> {
        let keep = if self.exclusive() { self.fs.options.read_only } else { self.is_sure() };
        let current = keep && self.names.lock().listing_is_current;
        self.listing(!current)
    }

    /// Lists the entries after the first `skip`: name, inode number, kind.
    ///
    /// # Errors
    /// `ENOTDIR`, the gofer's.
    pub fn list(&self, skip: usize, emit: &mut dyn FnMut(&[u8], u64, FileType) -> bool) -> Result<()> {
        let listing = self.whole_listing()?;
        for Entry { name, ino, kind, .. } in listing.skip(skip) {
            if !emit(name, *ino, *kind) {
                break;
            }
        }
        Ok(())
    }
}
