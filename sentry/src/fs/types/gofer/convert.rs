//! The protocol's nouns as the VFS's, and back.

use std::os::fd::OwnedFd;

use gofer_proto::{
    FileKind, NewFile, Owner, SetTime, Timestamp,
    attr::{Attr as ProtoAttr, SetAttr as ProtoSetAttr},
};
use linux_abi::{Errno, Result, stat::makedev};

use crate::fs::inode::{Attr, FileTime, FileType, NewNode, Ownership, SetAttr};

pub(super) fn kind(kind: FileKind) -> FileType {
    match kind {
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::Fifo,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Regular | FileKind::Unknown => FileType::Regular,
    }
}

pub(super) fn file_kind(kind: FileType) -> FileKind {
    match kind {
        FileType::Regular => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
    }
}

fn time(time: Timestamp) -> FileTime {
    FileTime { sec: time.sec, nsec: time.nsec }
}

/// Attributes as guests see them: under the mount's own device number.
pub(super) fn attr(attr: &ProtoAttr, dev: u64, ino: u64) -> Attr {
    Attr {
        kind: kind(attr.kind()),
        perm: attr.mode & 0o7777,
        ino,
        dev,
        rdev: makedev(attr.rdev.major, attr.rdev.minor),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        size: attr.size,
        blocks: attr.blocks,
        blksize: attr.blksize,
        atime: time(attr.atime),
        mtime: time(attr.mtime),
        ctime: time(attr.ctime),
        btime: attr.btime.map(time),
    }
}

/// What permissions depend on.
pub(super) fn ownership(attr: &ProtoAttr) -> Ownership {
    Ownership { kind: kind(attr.kind()), perm: attr.mode & 0o7777, uid: attr.uid, gid: attr.gid }
}

pub(super) fn change(change: &SetAttr) -> ProtoSetAttr {
    let time = |time: Option<FileTime>| time.map(|at| SetTime::At(Timestamp { sec: at.sec, nsec: at.nsec }));
    ProtoSetAttr {
        size: change.size,
        owner: Owner { uid: change.uid, gid: change.gid },
        mode: change.perm,
        atime: time(change.atime),
        mtime: time(change.mtime),
    }
}

pub(super) fn new_file(node: &NewNode<'_>) -> NewFile {
    NewFile { mode: node.perm & 0o7777, owner: Owner { uid: Some(node.uid), gid: Some(node.gid) } }
}

/// What the host says of an open file. Kind, permission bits, owner and group are those of `before`: seen from the sentry's user
/// namespace, an owner may be nobody.
pub(super) fn stat(descriptor: &OwnedFd, before: &ProtoAttr) -> Result<ProtoAttr> {
    let stat = nix::sys::stat::fstat(descriptor).map_err(|error| Errno::from_raw(error as i32))?;
    let time = |sec, nsec| Timestamp { sec, nsec: u32::try_from(nsec).unwrap_or(0) };
    Ok(ProtoAttr {
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        ..*before
    })
}
