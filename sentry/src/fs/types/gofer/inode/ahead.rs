//! Looking ahead: who goes through a directory file by file (tar, cp, git, make) is told of several at once, since each question to
//! the gofer takes two changes of process.
//!
//! The order is that of the directory's listing, or of the names. Which one, if any, is seen from the names that were asked for: a few
//! in a row that stand near each other. What is found ahead is remembered like any other answer, and held until there is too
//! much of it.

use std::{
    mem,
    sync::{Arc, Weak},
};

use gofer_proto::{Name, OpenFlags, Walk, WalkEnd};

use super::{super::listing::Listing, GoferInode};

/// How many names in a row make an order.
const ENOUGH: u8 = 3;
/// The same without a listing, which has to be taken first.
const ENOUGH_TO_LIST: u8 = 6;
/// How many entries may be left out between two that are asked for.
const GAP: usize = 8;
/// The most that are asked for ahead.
const MOST: usize = 31;

/// The most entries of a directory that are put in order.
const LARGEST: usize = 1 << 16;

/// What was asked for in a directory lately.
#[derive(Default)]
pub(super) struct Ahead {
    last: Box<[u8]>,
    /// How many names came behind the one before.
    rising: u8,
    listed: Course,
    sorted: Course,
}

/// A way through a list.
#[derive(Default)]
struct Course {
    /// The place behind the last name that was asked for.
    next: usize,
    /// How many in a row were near it.
    run: u8,
}

impl Course {
    fn comes_by(&mut self, at: usize) {
        let near = at >= self.next && at - self.next < GAP;
        self.run = if near { self.run.saturating_add(1) } else { 0 };
        self.next = at + 1;
    }

    /// How many to ask for: more and more of them.
    fn wanted(&self) -> usize {
        match self.run.checked_sub(ENOUGH) {
            None => 0,
            Some(times) => MOST.min(4 << times.min(3)),
        }
    }
}

impl Ahead {
    /// `name` is asked for. Whether that is what somebody does who goes through the directory in the order of the names.
    fn asked(&mut self, name: &[u8]) -> bool {
        self.rising = if *name > *self.last { self.rising.saturating_add(1) } else { 0 };
        self.last = name.into();
        self.rising >= ENOUGH_TO_LIST
    }

    /// The entries of `listing` to ask for together with `name`; `is_known` says what need not be.
    fn choose(&mut self, name: &[u8], listing: &Listing, is_known: impl Fn(&[u8]) -> bool) -> Vec<Box<[u8]>> {
        let Some((sorted, listed)) = listing.position(name) else { return Vec::new() };
        self.listed.comes_by(listed);
        self.sorted.comes_by(sorted);
        let by_name = self.sorted.run > self.listed.run;
        let course = if by_name { &mut self.sorted } else { &mut self.listed };
        let wanted = course.wanted();
        let kind = listing.get(listed, false).map(|entry| entry.kind);
        let mut chosen = Vec::new();
        for place in course.next..course.next.saturating_add(2 * wanted) {
            let Some(entry) = listing.get(place, by_name).filter(|_| chosen.len() < wanted) else { break };
            if Some(entry.kind) == kind && !is_known(&entry.name) {
                chosen.push(entry.name.clone());
                course.next = place + 1;
            }
        }
        chosen
    }
}

impl GoferInode {
    /// The names to ask for together with `name`.
    pub(super) fn names_ahead(&self, name: &[u8]) -> Vec<Box<[u8]>> {
        let mut names = self.names.lock();
        let rises = names.ahead.asked(name);
        let listing = names.listing.clone();
        let listing = match listing {
            Some(listing) if listing.len() > LARGEST => return Vec::new(),
            Some(listing) => listing,
            None if rises => {
                drop(names);
                let Ok(listing) = self.listing(true) else { return Vec::new() };
                names = self.names.lock();
                listing
            }
            None => return Vec::new(),
        };
        let names = &mut *names;
        let known = &names.known;
        names.ahead.choose(name, &listing, |name| match known.get(name) {
            Some(Some(inode)) => inode.strong_count() > 0,
            Some(None) => true,
            None => false,
        })
    }

    /// Asks for `name` and the names `ahead` at once. `None`: it is to be asked for alone.
    pub(super) fn walk_ahead(&self, name: Name<'_>, ahead: &[Box<[u8]>], open: bool) -> Option<Walk> {
        let mut names = vec![name];
        names.extend(ahead.iter().filter_map(|name| Name::new(name).ok()));
        let since = self.fs.moment();
        let mut answers = self.fs.client.entries(self.node, &names, open).ok()?.into_iter();
        let first = answers.next()?;
        let mut found = Vec::with_capacity(ahead.len());
        for (name, answer) in names.iter().skip(1).zip(answers) {
            let Some((walked, descriptor)) = answer else { continue };
            let Ok(inode) = self.fs.intern(&walked, since) else { continue };
            if let Some(descriptor) = descriptor {
                inode.opened(&mut inode.reader.lock(), descriptor);
            }
            self.remember(name.as_bytes(), Some(&inode), since);
            found.push(inode);
        }
        self.hold(found);
        let (walked, descriptor) = first?;
        let opened = descriptor.map(|descriptor| Ok(gofer_proto::Opened::File(descriptor)));
        Some(Walk { found: vec![walked], end: WalkEnd::Complete, link: None, opened })
    }

    /// Holds `inodes` in place of what was found ahead before.
    fn hold(&self, inodes: Vec<Arc<GoferInode>>) {
        let before = mem::replace(&mut self.names.lock().held, inodes);
        if before.is_empty() {
            self.fs.holds(Weak::clone(&self.this));
        }
        // With no lock held: to drop an inode may talk to the gofer.
        drop(before);
    }

    /// Holds nothing any more.
    pub(in super::super) fn let_held_go(&self) {
        let held = mem::take(&mut self.names.lock().held);
        drop(held);
    }

    /// As [`GoferInode::walk_ahead`], or alone if nothing is to be asked for ahead.
    pub(super) fn walk_on(&self, name: Name<'_>, open: bool) -> linux_abi::Result<Walk> {
        let ahead = self.names_ahead(name.as_bytes());
        if !ahead.is_empty()
            && let Some(walk) = self.walk_ahead(name, &ahead, open)
        {
            return Ok(walk);
        }
        if open {
            self.fs.client.walk_open(self.node, &[name], OpenFlags::empty())
        } else {
            self.fs.client.walk(self.node, &[name])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{inode::FileType, types::gofer::listing::Entry};

    fn listing(names: &[&str]) -> Listing {
        let entry = |(at, name): (usize, &&str)| {
            let kind = if name.starts_with('d') { FileType::Directory } else { FileType::Regular };
            Entry { name: name.as_bytes().into(), ino: 1, kind, cookie: at as u64 + 1 }
        };
        Listing::of(names.iter().enumerate().map(entry).collect())
    }

    fn chosen(ahead: &mut Ahead, name: &str, listing: &Listing) -> Vec<String> {
        let names = ahead.choose(name.as_bytes(), listing, |name| name == b"f7");
        names.into_iter().map(|name| String::from_utf8(name.into()).unwrap()).collect()
    }

    #[test]
    fn an_order_is_found_and_followed() {
        let listing = listing(&["f3", "f9", "d1", "f1", "f8", "f2", "f7", "f6", "d2", "f5", "f4"]);
        let mut ahead = Ahead::default();
        for name in ["f9", "f1"] {
            assert!(chosen(&mut ahead, name, &listing).is_empty());
        }
        // What is known is left out, and so are directories.
        assert_eq!(chosen(&mut ahead, "f8", &listing), ["f2", "f6", "f5", "f4"]);
        assert!(chosen(&mut ahead, "f0", &listing).is_empty());

        let mut ahead = Ahead::default();
        for name in ["f1", "f2"] {
            assert!(chosen(&mut ahead, name, &listing).is_empty());
        }
        assert_eq!(chosen(&mut ahead, "f3", &listing), ["f4", "f5", "f6", "f8"]);
        // Back and forth is no order.
        for name in ["f8", "f3", "f9", "f3", "f8"] {
            assert!(chosen(&mut ahead, name, &listing).is_empty(), "{name}");
        }
    }

    #[test]
    fn rising_names_are_worth_a_listing() {
        let mut ahead = Ahead::default();
        let rises = ["a", "b", "c", "d", "e", "f", "b"].map(|name| ahead.asked(name.as_bytes()));
        assert_eq!(rises, [false, false, false, false, false, true, false]);
    }
}
