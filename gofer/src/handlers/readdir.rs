//! Listings.

use std::{mem::MaybeUninit, os::fd::OwnedFd};

use gofer_proto::{
    DirEntry, DirWants, FileKind, HandleId, MAX_DIR_BATCH, Name, NodeId,
    transport::errno,
    wire::{Wire, Writer},
};
use linux_abi::Result;
use rustix::fs::{FileType, OFlags, RawDir, RawDirEntry, SeekFrom};

use crate::{resolve, server::Server, table::Reader};

/// How much is read from the host at a time, on the stack.
const HOST_BATCH: usize = 28 << 10;
/// Room that a host batch takes in an answer: our entries are at most two bytes in 24 longer.
const ENCODED_BATCH: usize = HOST_BATCH + HOST_BATCH / 8;

/// getdents64(2), from a position that the client names.
pub(super) fn readdir(
    server: &Server,
    handle: HandleId,
    cookie: u64,
    wants: DirWants,
    out: &mut Writer<'_>,
) -> Result<()> {
    let directory = server.table.directory(handle)?;
    let mut reader = directory.reader.lock();
    if reader.position.take() != Some(cookie) {
        rustix::fs::seek(&reader.fd, SeekFrom::Start(cookie)).map_err(errno)?;
    }
    read_on(&mut reader, wants, out)
}

/// The first entries of a directory that is opened for this only.
pub(super) fn list(server: &Server, id: NodeId, out: &mut Writer<'_>) -> Result<()> {
    let node = super::directory(server, id)?;
    let fd = server.own_fds.reopen(&*node.fd()?, OFlags::DIRECTORY)?;
    read_on(&mut Reader { fd, position: None }, DirWants::Names, out)
}

/// As many entries as fit, from where the descriptor stands.
fn read_on(reader: &mut Reader, wants: DirWants, out: &mut Writer<'_>) -> Result<()> {
    let Reader { fd, position } = reader;
    let start = out.mark();
    let used = |out: &Writer<'_>| out.mark().saturating_sub(start);
    let mut buffer = [MaybeUninit::uninit(); HOST_BATCH];
    let mut entries = RawDir::new(&*fd, &mut buffer);
    let mut last_read = None;
    loop {
        if entries.is_buffer_empty()
            && used(out) > 0
            && used(out).saturating_add(ENCODED_BATCH) > MAX_DIR_BATCH
        {
            // All that was read from the host has been passed on: the descriptor stands where the client does.
            *position = last_read;
            false.put(out);
            return Ok(());
        }
        let entry = match entries.next() {
            None => {
                true.put(out);
                return Ok(());
            }
            // What was read is good; the error will be there again.
            Some(Err(_)) if used(out) > 0 => {
                false.put(out);
                return Ok(());
            }
            Some(entry) => entry.map_err(errno)?,
        };
        last_read = Some(entry.next_entry_cookie());
        let before = out.mark();
        put_entry(fd, &entry, wants, out);
        if used(out) > MAX_DIR_BATCH || out.overflowed() {
            out.rewind(before);
            false.put(out);
            return Ok(());
        }
    }
}

/// Skips `.` and `..`, and names that no path of ours could mean.
fn put_entry(dir: &OwnedFd, entry: &RawDirEntry<'_>, wants: DirWants, out: &mut Writer<'_>) {
    let Ok(name) = Name::new(entry.file_name().to_bytes()) else { return };
    let attr = match wants {
        DirWants::Names => None,
        DirWants::Attributes => resolve::attr_of_entry(dir, name).ok(),
    };
    DirEntry {
        ino: entry.ino(),
        cookie: entry.next_entry_cookie(),
        kind: kind(entry.file_type()),
        name,
        attr,
    }
    .put(out);
}

fn kind(file_type: FileType) -> FileKind {
    match file_type {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => FileKind::Unknown,
    }
}
