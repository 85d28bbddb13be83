//! From a path to a place (path_resolution(7), openat2(2); `fs/namei.c`).
//!
//! * [`resolve`] follows a whole path; [`parent_of`] stops before the last component, for calls that make or remove it.
//! * [`Walker`] is the machine behind both, for open(2), which may have to follow the last component after all.
//!
//! Every directory on the way must be searchable; errors come in Linux's order: not a directory, no search permission,
//! name too long, no such entry.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use linux_abi::{
    Errno, Result,
    fcntl::{AT_FDCWD, MS_NOSYMFOLLOW},
};

use super::{
    dentry::Dentry,
    inode::{FileType, Inode},
    mount,
    path::Path,
    permission::{Access, may},
};
use crate::{credentials::Credentials, task::Task};

pub use linux_abi::mount::NAME_MAX;

/// The most symbolic links one resolution follows (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

bitflags::bitflags! {
    /// How to resolve.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Lookup: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1;
        /// The result must be a directory.
        const DIRECTORY = 1 << 1;
        /// An empty path means the descriptor itself (`AT_EMPTY_PATH`).
        const EMPTY = 1 << 2;
        /// `RESOLVE_NO_XDEV`.
        const NO_XDEV = 1 << 3;
        /// `RESOLVE_NO_MAGICLINKS`.
        const NO_MAGICLINKS = 1 << 4;
        /// `RESOLVE_NO_SYMLINKS`.
        const NO_SYMLINKS = 1 << 5;
        /// `RESOLVE_BENEATH`.
        const BENEATH = 1 << 6;
        /// `RESOLVE_IN_ROOT`.
        const IN_ROOT = 1 << 7;
        /// `RESOLVE_CACHED`.
        const CACHED = 1 << 8;
        /// The file is opened for reading next.
        const OPEN = 1 << 9;
        const SCOPED = Self::BENEATH.bits() | Self::IN_ROOT.bits();
    }
}

/// What a name is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Any,
    /// To be opened for reading.
    Open,
}

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// There is none: the path was `/`, or the descriptor itself.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// An entry's name.
    Name(Vec<u8>),
}

/// Where a path leads, but for its last component. The directory is searchable.
pub struct Parent {
    /// The directory the last component is to be looked up in.
    pub dir: Path,
    /// The last component.
    pub last: Last,
    /// Slashes followed it: it must be a directory.
    pub trailing_slash: bool,
}

/// Follows the whole of `path`, relative to `dirfd`.
///
/// # Errors
/// Those of path_resolution(7); `EBADF` for a bad `dirfd`.
pub fn resolve(task: &Task, dirfd: i32, path: &[u8], flags: Lookup) -> Result<Path> {
    resolve_as(task, task.creds(), dirfd, path, flags)
}

/// As [`resolve`], with other credentials than the task's (access(2)).
///
/// # Errors
/// As [`resolve`].
pub fn resolve_as(
    task: &Task,
    creds: Arc<Credentials>,
    dirfd: i32,
    path: &[u8],
    flags: Lookup,
) -> Result<Path> {
    Walker::new(task, creds, dirfd, path, flags)?.finish()
}

/// Follows `path` up to its last component.
///
/// # Errors
/// As [`resolve`].
pub fn parent_of(task: &Task, dirfd: i32, path: &[u8], flags: Lookup) -> Result<Parent> {
    Walker::new(task, task.creds(), dirfd, path, flags)?.parent()
}

/// A resolution in progress.
pub struct Walker<'a> {
    task: &'a Task,
    creds: Arc<Credentials>,
    flags: Lookup,
    /// Nothing above this can be reached; above the task's root if `None`.
    scope: Option<Path>,
    at: Path,
    /// What is still to be followed, from `from` on.
    rest: Cow<'a, [u8]>,
    from: usize,
    links: u32,
    /// A trailing slash was seen.
    must_be_dir: bool,
}

/// A component of the rest: where it is, and what comes after.
#[derive(Clone, Copy)]
struct Component {
    start: usize,
    end: usize,
    is_final: bool,
    slash: bool,
}

impl<'a> Walker<'a> {
    /// Starts at `dirfd`, the working directory or the root.
    ///
    /// # Errors
    /// `ENOENT` for an empty path, `EBADF`, `ENOTDIR`, `EXDEV` for an absolute path with `RESOLVE_BENEATH`.
    pub fn new(
        task: &'a Task,
        creds: Arc<Credentials>,
        dirfd: i32,
        path: &'a [u8],
        flags: Lookup,
    ) -> Result<Walker<'a>> {
        if path.is_empty() && !flags.contains(Lookup::EMPTY) {
            return Err(Errno::ENOENT);
        }
        let absolute = path.first() == Some(&b'/');
        if absolute && flags.contains(Lookup::BENEATH) {
            return Err(Errno::EXDEV);
        }
        let scoped = flags.intersects(Lookup::SCOPED);
        let at = if absolute && !scoped {
            task.root()
        } else if dirfd == AT_FDCWD {
            task.cwd()
        } else {
            let file = task.file_or_path(dirfd)?;
            let place = match file.path() {
                Some(path) => path.clone(),
                None if path.is_empty() => {
                    let inode = file.inode().ok_or(Errno::EBADF)?;
                    nameless_path(Arc::clone(inode))
                }
                None => return Err(Errno::ENOTDIR),
            };
            if !path.is_empty() && place.inode().kind() != FileType::Directory {
                return Err(Errno::ENOTDIR);
            }
            place
        };
        let scope = scoped.then(|| at.clone());
        let rest = Cow::Borrowed(path);
        Ok(Walker { task, creds, flags, scope, at, rest, from: 0, links: 0, must_be_dir: false })
    }

    /// Goes to the end.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn finish(mut self) -> Result<Path> {
        let purpose = if self.flags.contains(Lookup::OPEN) { Purpose::Open } else { Purpose::Any };
        while let Some(last) = self.go_to_last()? {
            let follow = self.must_be_dir || self.flags.contains(Lookup::FOLLOW);
            self.step(last, follow, purpose)?;
        }
        self.arrived()
    }

    /// Goes to the last component and stops before it.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn parent(mut self) -> Result<Parent> {
        let last = self.walk_to_last()?.unwrap_or(Last::Root);
        Ok(Parent { dir: self.at, last, trailing_slash: self.must_be_dir })
    }

    /// Follows everything but the last component, which it returns; `None` if nothing is left.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn walk_to_last(&mut self) -> Result<Option<Last>> {
        let last = self.go_to_last()?;
        Ok(last.map(|component| match self.name(component) {
            b"." => Last::Dot,
            b".." => Last::DotDot,
            name => Last::Name(name.to_vec()),
        }))
    }

    fn go_to_last(&mut self) -> Result<Option<Component>> {
        while let Some(component) = self.peek() {
            self.may_search()?;
            if component.is_final {
                self.must_be_dir |= component.slash;
                return Ok(Some(component));
            }
            self.step(component, true, Purpose::Any)?;
            if self.at.inode().kind() != FileType::Directory {
                return Err(Errno::ENOTDIR);
            }
        }
        Ok(None)
    }

    /// Follows the symbolic link `link`, which the caller found as the last component.
    ///
    /// # Errors
    /// `ELOOP`, and those of reading it.
    pub fn follow_last(&mut self, link: &Path) -> Result<()> {
        self.from = self.peek().map_or(self.rest.len(), |component| component.end);
        self.follow(link)
    }

    /// The place that was reached.
    ///
    /// # Errors
    /// `ENOTDIR` if it should be a directory.
    pub fn arrived(self) -> Result<Path> {
        let directory = self.must_be_dir || self.flags.contains(Lookup::DIRECTORY);
        if directory && self.at.inode().kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.at)
    }

    /// Whether nothing is left to walk.
    pub fn is_at_end(&self) -> bool {
        self.peek().is_none()
    }

    /// Where the walk is now.
    pub fn place(&self) -> &Path {
        &self.at
    }

    /// Whether the path ended in a slash.
    pub fn trailing_slash(&self) -> bool {
        self.must_be_dir
    }

    /// Looks up `name` where the walk is now; mounts on it are crossed.
    ///
    /// # Errors
    /// `ENAMETOOLONG`, `ENOENT`, `EXDEV`.
    pub fn lookup(&self, name: &[u8]) -> Result<Path> {
        let dentry = self.find(name, Purpose::Any)?;
        self.crossed(Path { mount: Arc::clone(&self.at.mount), dentry })
    }

    /// The entry `name` where the walk is now, whatever is mounted there.
    fn find(&self, name: &[u8], purpose: Purpose) -> Result<Arc<Dentry>> {
        if self.flags.contains(Lookup::CACHED)
            && (self.at.dentry.child(name).is_none() || !self.at.inode().cacheable())
        {
            return Err(Errno::EAGAIN);
        }
        lookup_child(self.task, &self.at, name, purpose)
    }

    /// What is mounted at `path`, or `path`.
    fn crossed(&self, path: Path) -> Result<Path> {
        if path.dentry.mounts.load(Ordering::Acquire) == 0 {
            return Ok(path);
        }
        self.same_mount(mount::cross(path))
    }

    fn same_mount(&self, path: Path) -> Result<Path> {
        if self.flags.contains(Lookup::NO_XDEV) && !Arc::ptr_eq(&path.mount, &self.at.mount) {
            return Err(Errno::EXDEV);
        }
        Ok(path)
    }

    fn peek(&self) -> Option<Component> {
        let rest = self.rest.get(self.from..)?;
        let start = rest.iter().position(|&byte| byte != b'/')?;
        let rest = rest.get(start..)?;
        let len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (_, tail) = rest.split_at_checked(len)?;
        let is_final = tail.iter().all(|&byte| byte == b'/');
        let start = self.from + start;
        Some(Component { start, end: start + len, is_final, slash: !tail.is_empty() })
    }

    fn name(&self, component: Component) -> &[u8] {
        self.rest.get(component.start..component.end).unwrap_or_default()
    }

    fn may_search(&self) -> Result<()> {
        let inode = self.at.inode();
        if inode.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        may(&self.creds, &inode.ownership()?, Access::EXEC)
    }

    fn step(&mut self, component: Component, follow: bool, purpose: Purpose) -> Result<()> {
        let child = match self.name(component) {
            b"." => None,
            b".." => {
                self.up()?;
                None
            }
            name => Some(self.find(name, purpose)?),
        };
        self.from = component.end;
        let Some(dentry) = child else { return Ok(()) };
        let is_plain = dentry.inode().kind() != FileType::Symlink || !follow;
        if is_plain && dentry.mounts.load(Ordering::Acquire) == 0 {
            self.at.dentry = dentry;
            return Ok(());
        }
        let child = self.crossed(Path { mount: Arc::clone(&self.at.mount), dentry })?;
        if follow && child.inode().kind() == FileType::Symlink {
            return self.follow(&child);
        }
        self.at = child;
        Ok(())
    }

    fn up(&mut self) -> Result<()> {
        let root = self.root();
        loop {
            if self.at.same(&root) {
                return if self.flags.contains(Lookup::BENEATH) { Err(Errno::EXDEV) } else { Ok(()) };
            }
            if !Arc::ptr_eq(&self.at.dentry, &self.at.mount.root) {
                break;
            }
            let Some(on) = self.at.mount.mountpoint() else { return Ok(()) };
            self.at = self.same_mount(on)?;
        }
        if let Some(parent) = self.at.dentry.parent() {
            let up = mount::cross(Path { mount: Arc::clone(&self.at.mount), dentry: parent });
            self.at = self.same_mount(up)?;
        }
        Ok(())
    }

    /// Continues with what `link`, a symbolic link in the current directory, says.
    fn follow(&mut self, link: &Path) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS
            || self.flags.contains(Lookup::NO_SYMLINKS)
            || link.mount.has(MS_NOSYMFOLLOW)
        {
            return Err(Errno::ELOOP);
        }
        if let Some(target) = link.inode().follow_magic(self.task)? {
            if self.flags.contains(Lookup::NO_MAGICLINKS) {
                return Err(Errno::ELOOP);
            }
            if self.flags.intersects(Lookup::SCOPED) {
                return Err(Errno::EXDEV);
            }
            self.at = self.same_mount(target)?;
            return Ok(());
        }
        let mut text = link.inode().readlink(self.task)?;
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        if text.first() == Some(&b'/') {
            if self.flags.contains(Lookup::BENEATH) {
                return Err(Errno::EXDEV);
            }
            self.at = self.same_mount(self.root())?;
        }
        text.extend_from_slice(self.rest.get(self.from..).unwrap_or_default());
        self.rest = Cow::Owned(text);
        self.from = 0;
        Ok(())
    }

    fn root(&self) -> Path {
        self.scope.clone().unwrap_or_else(|| self.task.root())
    }
}

/// The entry `name` of the directory `dir`, from the cache or from the filesystem. Does not cross mounts.
///
/// # Errors
/// `ENAMETOOLONG`, `ENOENT`.
pub fn lookup_child(task: &Task, dir: &Path, name: &[u8], purpose: Purpose) -> Result<Arc<Dentry>> {
    if let Some(cached) = cached_child(dir, name) {
        return Ok(cached);
    }
    if name.len() <= NAME_MAX && dir.inode().is_absent(name) {
        return Err(Errno::ENOENT);
    }
    // Removals hold this lock too: what was found cannot be gone before it is in the tree of dentries.
    let _entries = dir.inode().common().write_lock.lock();
    lookup_child_locked_for(task, dir, name, purpose)
}

/// As [`lookup_child`], for callers that hold the directory's `write_lock`.
///
/// # Errors
/// As [`lookup_child`].
pub fn lookup_child_locked(task: &Task, dir: &Path, name: &[u8]) -> Result<Arc<Dentry>> {
    lookup_child_locked_for(task, dir, name, Purpose::Any)
}

fn lookup_child_locked_for(task: &Task, dir: &Path, name: &[u8], purpose: Purpose) -> Result<Arc<Dentry>> {
    if let Some(cached) = cached_child(dir, name) {
        return Ok(cached);
    }
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let inode = match purpose {
        Purpose::Any => dir.inode().lookup(task, name)?,
        Purpose::Open => dir.inode().lookup_to_open(task, name)?,
    };
    let dentry = dir.dentry.adopt(name, inode);
    if dir.inode().cacheable() {
        task.kernel.dentries.keep(Arc::clone(&dentry));
    }
    Ok(dentry)
}

fn cached_child(dir: &Path, name: &[u8]) -> Option<Arc<Dentry>> {
    let inode = dir.inode();
    let child = dir.dentry.child(name)?;
    // What is mounted on must stay reachable, whatever the filesystem says.
    let valid = child.mounts.load(Ordering::Acquire) > 0
        || (inode.cacheable() && inode.revalidate(name, child.inode()));
    valid.then_some(child)
}

/// A place for an inode that is in no directory (an open pipe, for `AT_EMPTY_PATH` and /proc/PID/fd).
pub fn nameless_path(inode: Arc<dyn Inode>) -> Path {
    let fs = inode.filesystem();
    mount::nameless(fs, Dentry::unattached(b"/", inode))
}
