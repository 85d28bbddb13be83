//! The calls, one method each. All block until the gofer answers, and none is interrupted by signals.
//!
//! Errors are the host kernel's, except: `EBADF` for an id that is not the client's, `ESTALE` for a node whose
//! file is no longer where it was found (walk again), `ENFILE` when the gofer holds as many nodes or
//! directories for the client as it will, `EIO` when the gofer is gone, `EMFILE` when this
//! process may have no more descriptors, `EPROTO` when the two sides disagree.

use std::os::fd::OwnedFd;

use linux_abi::{Errno, Result};

use super::Client;
use crate::{
    MAX_WALK, MAX_XATTR,
    attr::{Attr, FileKind, NewFile, Owner, SetAttr},
    message::{EntryReply, OpenReply, Rename, Request, WalkReply, XattrValue},
    name::{LinkTarget, Name, XattrName},
    types::{
        DirBatch, DirWants, FoundEntry, HandleId, LinkText, NodeId, OpenFlags, Opened, SocketType, Stats,
        Sync, Unlink, VolumeStat, Walk, WalkEnd, Walked, XattrFlags,
    },
    wire::{Reader, Wire},
};

impl Client {
    /// A reference to one of the gofer's roots: 0 is the sandbox's `/`, the bind mounts follow.
    pub fn attach(&self, root: u32) -> Result<Walked> {
        self.ask(&Request::Attach { root })
    }

    /// The queue of changes to the files of root number `root`: see [`Request::Changes`].
    pub fn changes(&self, root: u32) -> Result<OwnedFd> {
        let ((), fd) = self.call(&Request::Changes { root })?;
        fd.ok_or(Errno::EPROTO)
    }

    /// Looks `names` up, each below the one before, and takes a reference to every file found. Stops behind the
    /// first symbolic link and before the first name that cannot be looked up.
    pub fn walk(&self, from: NodeId, names: &[Name<'_>]) -> Result<Walk> {
        self.walk_perhaps_open(from, names, None)
    }

    /// [`walk`](Client::walk), and opens the last file in the same round trip if it is a regular file or a
    /// directory. The caller checks the guest's permissions on what was found, and drops what it may not have.
    pub fn walk_open(&self, from: NodeId, names: &[Name<'_>], flags: OpenFlags) -> Result<Walk> {
        self.walk_perhaps_open(from, names, Some(flags))
    }

    fn walk_perhaps_open(&self, from: NodeId, names: &[Name<'_>], open: Option<OpenFlags>) -> Result<Walk> {
        let mut walk = Walk { found: Vec::new(), end: WalkEnd::Complete, link: None, opened: None };
        let mut from = from;
        let mut rest = names;
        loop {
            let (some, more) = rest.split_at(rest.len().min(MAX_WALK));
            let open = if more.is_empty() { open } else { None };
            let step = self.call::<WalkReply>(&Request::Walk { from, names: some.to_vec(), open });
            let (reply, fd) = match step {
                Ok(step) => step,
                Err(errno) => {
                    self.release(&walk.found.iter().map(|walked| walked.node).collect::<Vec<_>>());
                    return Err(errno);
                }
            };
            if let Some(last) = reply.found.last() {
                from = last.node;
            }
            walk.found.extend(reply.found);
            walk.link = reply.link.map(|text| text.0);
            walk.opened = reply.opened.map(|opened| opened_file(opened, fd));
            walk.end = reply.end;
            if more.is_empty() || walk.end != WalkEnd::Complete {
                return Ok(walk);
            }
            if walk.link.is_some() {
                // The last of these names is a link, and there are more names after them.
                walk.end = WalkEnd::Symlink;
                return Ok(walk);
            }
            rest = more;
        }
    }

    /// Looks names up like [`walk`](Client::walk), but takes no references. At most [`MAX_WALK`] names
    /// (`E2BIG`).
    pub fn stat(&self, from: NodeId, names: &[Name<'_>]) -> Result<Stats> {
        if names.len() > MAX_WALK {
            return Err(Errno::E2BIG);
        }
        self.ask(&Request::Stat { from, names: names.to_vec() })
    }

    /// Looks up entries of one directory; regular files come with a descriptor for reading if `open` and the gofer may have one.
    /// As many answers as names; `None` is what could not be found now. At most [`MAX_WALK`] names (`E2BIG`).
    pub fn entries(&self, dir: NodeId, names: &[Name<'_>], open: bool) -> Result<Vec<Option<FoundEntry>>> {
        if names.len() > MAX_WALK {
            return Err(Errno::E2BIG);
        }
        let request = Request::Entries { dir, names: names.to_vec(), open };
        let (found, fds) = self.call_for_fds::<Vec<Option<EntryReply>>>(&request)?;
        let mut fds = fds.into_iter();
        let mut answers = Vec::with_capacity(names.len());
        for entry in found {
            let descriptor = entry.filter(|entry| entry.opened).and_then(|_| fds.next());
            answers.push(entry.map(|entry| (entry.walked, descriptor)));
        }
        answers.resize_with(names.len(), || None);
        Ok(answers)
    }

    /// Opens a file. Symbolic links are `ELOOP`, sockets `ENXIO`, fifos and devices `EACCES` unless the
    /// gofer's configuration lets them through.
    pub fn open(&self, node: NodeId, flags: OpenFlags) -> Result<Opened> {
        let (opened, fd) = self.call(&Request::Open { node, flags })?;
        opened_file(opened, fd)
    }

    /// Makes a regular file that was not there (`EEXIST`) and opens it.
    pub fn create(
        &self,
        dir: NodeId,
        name: Name<'_>,
        flags: OpenFlags,
        new: NewFile,
    ) -> Result<(Walked, OwnedFd)> {
        match self.call(&Request::Create { dir, name, flags, new })? {
            (walked, Some(fd)) => Ok((walked, fd)),
            (_, None) => Err(Errno::EPROTO),
        }
    }

    /// The attributes of a file.
    pub fn getattr(&self, node: NodeId) -> Result<Attr> {
        self.look_at(node).map(|walked| walked.attr)
    }

    /// Attributes, and the number of the watch that the file has from then on if its root is watched.
    pub fn look_at(&self, node: NodeId) -> Result<Walked> {
        self.ask(&Request::GetAttr { node })
    }

    /// Changes attributes and returns them all as they are then.
    pub fn setattr(&self, node: NodeId, change: &SetAttr) -> Result<Attr> {
        self.ask(&Request::SetAttr { node, change: *change })
    }

    /// Makes a directory.
    pub fn mkdir(&self, dir: NodeId, name: Name<'_>, new: NewFile) -> Result<Walked> {
        self.ask(&Request::Mkdir { dir, name, new })
    }

    /// Makes a symbolic link.
    pub fn symlink(
        &self,
        dir: NodeId,
        name: Name<'_>,
        target: LinkTarget<'_>,
        owner: Owner,
    ) -> Result<Walked> {
        self.ask(&Request::Symlink { dir, name, target, owner })
    }

    /// Makes a hard link to `node`.
    pub fn link(&self, node: NodeId, dir: NodeId, name: Name<'_>) -> Result<Walked> {
        self.ask(&Request::Link { node, dir, name })
    }

    /// Makes a regular file, a fifo or the name of a socket; anything else is `EPERM`.
    pub fn mknod(&self, dir: NodeId, name: Name<'_>, kind: FileKind, new: NewFile) -> Result<Walked> {
        self.ask(&Request::Mknod { dir, name, kind, new })
    }

    /// Removes a name.
    pub fn unlink(&self, dir: NodeId, name: Name<'_>, what: Unlink) -> Result<()> {
        self.ask(&Request::Unlink { dir, name, what })
    }

    /// Renames.
    pub fn rename(&self, rename: &Rename<'_>) -> Result<()> {
        self.ask(&Request::Rename { rename: *rename })
    }

    /// The next entries of an open directory: those behind `cookie`, which is 0 or that of an entry seen before.
    pub fn readdir(&self, handle: HandleId, cookie: u64, wants: DirWants) -> Result<DirBatch> {
        self.call_long(&Request::ReadDir { handle, cookie, wants }, DirBatch::new)
    }

    /// The first entries of a directory, without attributes. What does not fit is to be had from an open one.
    pub fn list(&self, node: NodeId) -> Result<DirBatch> {
        self.call_long(&Request::List { node }, DirBatch::new)
    }

    /// The target of a symbolic link.
    pub fn readlink(&self, node: NodeId) -> Result<Box<[u8]>> {
        self.ask::<LinkText>(&Request::ReadLink { node }).map(|text| text.0)
    }

    /// The volume that a file is on.
    pub fn statfs(&self, node: NodeId) -> Result<VolumeStat> {
        self.ask(&Request::StatFs { node })
    }

    /// The value of an extended attribute.
    pub fn getxattr(&self, node: NodeId, name: XattrName<'_>) -> Result<Vec<u8>> {
        self.call_long(&Request::GetXattr { node, name }, xattr_value)
    }

    /// Sets an extended attribute. Only `user.` and POSIX ACLs: `EPERM` for `security.` and `trusted.`.
    pub fn setxattr(&self, node: NodeId, name: XattrName<'_>, value: &[u8], flags: XattrFlags) -> Result<()> {
        if value.len() > MAX_XATTR {
            return Err(Errno::E2BIG);
        }
        self.ask(&Request::SetXattr { node, name, value: XattrValue(value), flags })
    }

    /// The names of the extended attributes, each with a NUL behind it.
    pub fn listxattr(&self, node: NodeId) -> Result<Vec<u8>> {
        self.call_long(&Request::ListXattr { node }, xattr_value)
    }

    /// Removes an extended attribute.
    pub fn removexattr(&self, node: NodeId, name: XattrName<'_>) -> Result<()> {
        self.ask(&Request::RemoveXattr { node, name })
    }

    /// Writes a file or directory back. (For an open regular file, fsync(2) on its descriptor is the same.)
    pub fn fsync(&self, node: NodeId, sync: Sync) -> Result<()> {
        self.ask(&Request::Fsync { node, sync })
    }

    /// fallocate(2), with its `mode` bits.
    pub fn fallocate(&self, node: NodeId, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.ask(&Request::Fallocate { node, mode, offset, len })
    }

    /// Connects to a socket that a process of the host listens on, if the configuration allows (`EACCES`). The
    /// descriptor is non-blocking.
    pub fn connect(&self, node: NodeId, kind: SocketType) -> Result<OwnedFd> {
        let ((), fd) = self.call(&Request::Connect { node, kind })?;
        fd.ok_or(Errno::EPROTO)
    }

    /// A call whose answer brings no descriptor.
    fn ask<T: for<'a> Wire<'a>>(&self, request: &Request<'_>) -> Result<T> {
        self.call(request).map(|(value, _)| value)
    }
}

fn opened_file(reply: OpenReply, fd: Option<OwnedFd>) -> Result<Opened> {
    match (reply, fd) {
        (OpenReply::File, Some(fd)) => Ok(Opened::File(fd)),
        // This process has no room for it.
        (OpenReply::File, None) => Err(Errno::EMFILE),
        (OpenReply::Directory(handle), _) => Ok(Opened::Directory(handle)),
        (OpenReply::Failed(errno), _) => Err(errno),
    }
}

fn xattr_value(mut from: Reader<'_>) -> Result<Vec<u8>> {
    let value = XattrValue::get(&mut from)?.0.to_vec();
    from.finish()?;
    Ok(value)
}
