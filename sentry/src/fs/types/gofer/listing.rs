//! Directory listings: taken whole, in batches, and kept while somebody goes through them.

use std::sync::{Arc, OnceLock};

use gofer_proto::{Client, DirWants, HandleId, NodeId, OpenFlags, Opened};
use linux_abi::{Errno, Result};

use super::convert;
use crate::fs::inode::FileType;

/// The most entries of a directory that are shown: a listing is memory of the sentry.
const MAX_ENTRIES: usize = 1 << 20;

/// An entry.
pub(super) struct Entry {
    pub(super) name: Box<[u8]>,
    pub(super) ino: u64,
    pub(super) kind: FileType,
    /// The host's own position behind it.
    pub(super) cookie: u64,
}

/// All entries of a directory at some moment.
pub(super) struct Listing {
    entries: Vec<Entry>,
    /// Their places in the order of the names.
    sorted: OnceLock<Box<[u32]>>,
}

/// Closes the gofer's handle at the end.
struct Handle<'a>(&'a Client, HandleId);

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        self.0.close(self.1);
    }
}

impl Listing {
    /// Lists `node`.
    pub(super) fn take(client: &Client, node: NodeId) -> Result<Arc<Listing>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut batch = client.list(node)?;
        let mut handle = None;
        loop {
            let before = entries.len();
            entries.extend(batch.iter().map(|entry| Entry {
                name: entry.name.as_bytes().into(),
                ino: entry.ino,
                kind: convert::kind(entry.kind),
                cookie: entry.cookie,
            }));
            let last = entries.last().map_or(0, |entry| entry.cookie);
            if batch.end || entries.len() == before || entries.len() >= MAX_ENTRIES {
                entries.shrink_to_fit();
                return Ok(Arc::new(Listing::of(entries)));
            }
            let open = match &handle {
                Some(Handle(_, open)) => *open,
                None => {
                    let Opened::Directory(open) = client.open(node, OpenFlags::DIRECTORY)? else {
                        return Err(Errno::ENOTDIR);
                    };
                    handle = Some(Handle(client, open));
                    open
                }
            };
            batch = client.readdir(open, last, DirWants::Names)?;
        }
    }

    /// One of these entries.
    pub(super) fn of(entries: Vec<Entry>) -> Listing {
        Listing { entries, sorted: OnceLock::new() }
    }

    /// Which places the entries have, in the order of their names.
    fn sorted(&self) -> &[u32] {
        self.sorted.get_or_init(|| {
            let mut named: Vec<(&[u8], u32)> =
                self.entries.iter().map(|entry| &*entry.name).zip(0..).collect();
            named.sort_unstable();
            named.into_iter().map(|(_, place)| place).collect()
        })
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry at a place in the listing, or in the order of the names.
    pub(super) fn get(&self, place: usize, by_name: bool) -> Option<&Entry> {
        let place = if by_name { *self.sorted().get(place)? as usize } else { place };
        self.entries.get(place)
    }

    /// The places of `name` in the order of the names, and in the listing.
    pub(super) fn position(&self, name: &[u8]) -> Option<(usize, usize)> {
        let name_at = |place: &u32| self.entries.get(*place as usize).map(|entry| &*entry.name);
        let at = self.sorted().binary_search_by(|place| name_at(place).cmp(&Some(name))).ok()?;
        Some((at, *self.sorted().get(at)? as usize))
    }

    /// The entries after the first `count`.
    pub(super) fn skip(&self, count: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(count)
    }

    /// The entries after the host's position `cookie`, with their own. Positions grow along a listing on the filesystems
    /// people use; where they do not, an entry may be missed only if the one before it was removed meanwhile.
    pub(super) fn after(&self, cookie: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let start = match cookie {
            0 => 0,
            cookie => {
                // Mostly in order, and then a listing of many calls takes no longer by each of them.
                let sorted = self.entries.binary_search_by_key(&cookie, |entry| entry.cookie).ok();
                let exact = sorted.or_else(|| self.entries.iter().position(|entry| entry.cookie == cookie));
                exact
                    .map(|at| at + 1)
                    .or_else(|| self.entries.iter().position(|entry| entry.cookie > cookie))
                    .unwrap_or(self.entries.len())
            }
        };
        self.entries.iter().skip(start).map(|entry| (entry.cookie, entry))
    }
}
