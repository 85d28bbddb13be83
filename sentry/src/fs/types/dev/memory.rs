//! The memory devices: null(4), full(4), random(4).

use std::sync::Arc;

use linux_abi::{Errno, Result, stat::makedev};

use crate::{
    fs::{
        device::{Devices, Driver},
        file::{File, FileCx, FileOps, Mappable},
        inode::{FileType, Inode},
        io::{Sink, Source},
    },
    task::Task,
    wait::{Events, Watch},
};

/// The most that is produced at once.
const CHUNK: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    Null,
    Zero,
    Full,
    Random,
}

pub(super) fn register(devices: &Devices) {
    for (minor, device) in
        [(3, Memory::Null), (5, Memory::Zero), (7, Memory::Full), (8, Memory::Random), (9, Memory::Random)]
    {
        devices.register(FileType::CharDevice, makedev(1, minor), Arc::new(device));
    }
}

impl Driver for Memory {
    fn open(&self, _task: &Task, _inode: &Arc<dyn Inode>, _flags: u32) -> Result<Box<dyn FileOps>> {
        Ok(Box::new(*self))
    }
}

impl FileOps for Memory {
    fn read(&self, cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        if *self == Memory::Null {
            return Ok(0);
        }
        let mut done = 0;
        while dst.remaining() > 0 {
            let filled = dst.fill(CHUNK, &mut |buffer| {
                match self {
                    Memory::Random => cx.task.kernel.fill_random(buffer),
                    _ => buffer.fill(0),
                }
                Ok(buffer.len())
            });
            match filled {
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
            if cx.task.interrupted() {
                break;
            }
        }
        Ok(done)
    }

    fn write(&self, _cx: FileCx<'_>, src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        if *self == Memory::Full {
            return Err(Errno::ENOSPC);
        }
        let count = src.remaining();
        src.advance(count);
        Ok(count)
    }

    fn poll(&self, _file: &File, _watch: Option<&mut Watch>) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn seekable(&self) -> bool {
        true
    }

    /// lseek(2) stays where it is (`null_lseek`).
    fn keeps_offset(&self) -> bool {
        true
    }

    fn seek_from(&self, _file: &File, _offset: i64, _whence: u32) -> Result<u64> {
        Ok(0)
    }

    fn mappable(&self, _writable_shared: bool) -> Result<Mappable<'_>> {
        match self {
            Memory::Zero => Ok(Mappable::Anonymous),
            _ => Err(Errno::ENODEV),
        }
    }
}
