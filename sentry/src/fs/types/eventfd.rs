//! eventfd(2): a counter that can be waited for.

use std::sync::Arc;

use linux_abi::{Errno, Result, event::EFD_SEMAPHORE};
use parking_lot::Mutex;

use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        io::{Sink, Source},
    },
    wait::{Events, WaitQueue, Watch},
};

/// The counter never reaches this.
const LIMIT: u64 = u64::MAX;

/// An event counter.
pub struct EventFd {
    count: Mutex<u64>,
    queue: WaitQueue,
    semaphore: bool,
}

impl EventFd {
    /// A counter that starts at `count`; `flags` are `EFD_*`.
    pub fn new(count: u32, flags: u32) -> EventFd {
        EventFd {
            count: Mutex::new(u64::from(count)),
            queue: WaitQueue::new(),
            semaphore: flags & EFD_SEMAPHORE != 0,
        }
    }

    /// An open file with such a counter.
    pub fn open(count: u32, flags: u32) -> Arc<File> {
        let status = linux_abi::fcntl::O_RDWR | flags & linux_abi::event::EFD_NONBLOCK;
        File::anonymous(Box::new(EventFd::new(count, flags)), status)
    }

    /// Takes the count, or one of it (`EFD_SEMAPHORE`).
    fn take(&self) -> Result<u64> {
        let taken = {
            let mut count = self.count.lock();
            let taken = if self.semaphore { (*count).min(1) } else { *count };
            *count -= taken;
            taken
        };
        if taken == 0 {
            return Err(Errno::EAGAIN);
        }
        self.queue.wake(Events::OUT);
        Ok(taken)
    }

    /// Adds to the count.
    ///
    /// # Errors
    /// `EINVAL` for `u64::MAX`; `EAGAIN` if the count would reach it.
    pub fn add(&self, value: u64) -> Result<()> {
        if value == LIMIT {
            return Err(Errno::EINVAL);
        }
        {
            let mut count = self.count.lock();
            let sum = count.checked_add(value).filter(|&sum| sum < LIMIT).ok_or(Errno::EAGAIN)?;
            *count = sum;
        }
        self.queue.wake(Events::IN);
        Ok(())
    }
}

impl FileOps for EventFd {
    fn read(&self, _cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        if dst.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        // As Linux: a count that could not be stored is lost.
        let taken = self.take()?;
        match dst.put(&taken.to_le_bytes())? {
            8 => Ok(8),
            _ => Err(Errno::EFAULT),
        }
    }

    fn write(&self, _cx: FileCx<'_>, src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        if src.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let mut value = [0; 8];
        if src.peek(&mut value)? < 8 {
            return Err(Errno::EFAULT);
        }
        self.add(u64::from_le_bytes(value))?;
        src.advance(8);
        Ok(8)
    }

    fn ignores_seeks(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            self.queue.register(watch);
        }
        let count = *self.count.lock();
        let mut ready = Events::empty();
        if count > 0 {
            ready |= Events::IN;
        }
        if count == LIMIT {
            ready |= Events::ERR;
        }
        if count < LIMIT - 1 {
            ready |= Events::OUT;
        }
        ready
    }

    fn anonymous_name(&self) -> String {
        String::from("anon_inode:[eventfd]")
    }

    fn fdinfo(&self) -> String {
        format!(
            "eventfd-count: {:16x}\neventfd-semaphore: {}\n",
            *self.count.lock(),
            u32::from(self.semaphore)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_blocks_at_both_ends() {
        let event = EventFd::new(0, 0);
        assert_eq!(event.take(), Err(Errno::EAGAIN));
        assert_eq!(event.add(3), Ok(()));
        assert_eq!(event.add(4), Ok(()));
        assert_eq!(event.take(), Ok(7));
        assert_eq!(event.add(u64::MAX), Err(Errno::EINVAL));
        assert_eq!(event.add(u64::MAX - 1), Ok(()));
        assert_eq!(event.add(1), Err(Errno::EAGAIN));
        let file = EventFd::open(0, 0);
        assert_eq!(event.poll(&file, None), Events::IN);
    }

    #[test]
    fn semaphore_gives_one_at_a_time() {
        let event = EventFd::new(2, EFD_SEMAPHORE);
        assert_eq!(event.take(), Ok(1));
        assert_eq!(event.take(), Ok(1));
        assert_eq!(event.take(), Err(Errno::EAGAIN));
    }
}
