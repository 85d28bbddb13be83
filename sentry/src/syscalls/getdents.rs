//! getdents(2), getdents64(2).

use linux_abi::{Errno, Result, UserAddr};

use crate::{
    fs::{
        file::FileCx,
        inode::{DirEntry, FileType},
        times,
    },
    task::{ThreadCx, usermem::UserMemory},
};

/// The most that is returned at once: it passes through a buffer of the sentry.
const MAX_BUFFER: usize = 256 << 10;

/// getdents64(2).
pub fn getdents64(cx: &mut ThreadCx, fd: i32, buf: UserAddr, count: u32) -> Result<usize> {
    list(cx, fd, buf, count, encode64)
}

/// getdents(2), with `struct linux_dirent`.
pub fn getdents(cx: &mut ThreadCx, fd: i32, buf: UserAddr, count: u32) -> Result<usize> {
    list(cx, fd, buf, count, encode)
}

fn list(
    cx: &mut ThreadCx,
    fd: i32,
    buf: UserAddr,
    count: u32,
    encode: fn(&DirEntry<'_>, &mut Vec<u8>),
) -> Result<usize> {
    let file = cx.task.file(fd)?;
    let inode = file.inode().filter(|inode| inode.kind() == FileType::Directory).ok_or(Errno::ENOTDIR)?;
    let room = usize::try_from(count).unwrap_or(usize::MAX).min(MAX_BUFFER);
    let mut bytes: Vec<u8> = Vec::new();
    let mut record = Vec::new();
    let mut too_small = false;
    let mut offset = file.offset.lock();
    let mut position = *offset;
    let task = &cx.task;
    file.ops().read_dir(FileCx { task, file: &file }, &mut position, &mut |entry| {
        record.clear();
        encode(&entry, &mut record);
        if bytes.len() + record.len() > room {
            too_small = bytes.is_empty();
            return false;
        }
        bytes.extend_from_slice(&record);
        true
    })?;
    if too_small {
        return Err(Errno::EINVAL);
    }
    cx.write_bytes(buf, &bytes)?;
    *offset = position;
    times::accessed(&file, &**inode);
    Ok(bytes.len())
}

fn begin(entry: &DirEntry<'_>, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&entry.ino.to_le_bytes());
    out.extend_from_slice(&entry.next.to_le_bytes());
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
}

/// `struct linux_dirent64`: ino, off, reclen, type, name, NUL, padding.
fn encode64(entry: &DirEntry<'_>, out: &mut Vec<u8>) {
    let length = (19 + entry.name.len() + 1).next_multiple_of(8);
    begin(entry, length, out);
    out.push(entry.kind.dirent_type());
    out.extend_from_slice(entry.name);
    out.resize(length, 0);
}

/// `struct linux_dirent`: ino, off, reclen, name, NUL, padding; the type in the last byte.
fn encode(entry: &DirEntry<'_>, out: &mut Vec<u8>) {
    let length = (18 + entry.name.len() + 2).next_multiple_of(8);
    begin(entry, length, out);
    out.extend_from_slice(entry.name);
    out.resize(length - 1, 0);
    out.push(entry.kind.dirent_type());
}
