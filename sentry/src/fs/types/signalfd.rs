//! signalfd(2): signals that are read.
//!
//! A signalfd has no signals of its own: it shows those of whoever reads or polls it.

use std::sync::Arc;

use linux_abi::{
    Errno, Result,
    event::{SFD_NONBLOCK, SignalfdSiginfo},
    fcntl::O_RDWR,
};
use parking_lot::Mutex;
use zerocopy::{FromZeros, IntoBytes};

use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        io::{Sink, Source},
    },
    signal::{
        SigSet,
        info::{Fields, SigInfo},
    },
    task::current::current,
    wait::{Events, WaitQueue, Watch},
};

/// A set of signals to be read.
pub struct SignalFd {
    mask: Mutex<SigSet>,
    /// Announces changes of the mask.
    queue: WaitQueue,
}

impl SignalFd {
    /// An open file for the signals in `mask`; `flags` are `SFD_*`.
    pub fn open(mask: SigSet, flags: u32) -> Arc<File> {
        let ops = SignalFd { mask: Mutex::new(mask), queue: WaitQueue::new() };
        File::anonymous(Box::new(ops), O_RDWR | flags & SFD_NONBLOCK)
    }

    /// Replaces the set.
    pub fn set_mask(&self, mask: SigSet) {
        *self.mask.lock() = mask;
        self.queue.wake(Events::IN);
    }
}

impl FileOps for SignalFd {
    /// As many signals as there are and fit.
    fn read(&self, cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        const SIZE: usize = size_of::<SignalfdSiginfo>();
        if dst.remaining() < SIZE {
            return Err(Errno::EINVAL);
        }
        let mask = *self.mask.lock();
        let mut done = 0;
        while dst.remaining() >= SIZE
            && let Some(info) = cx.task.take_signal(mask)
        {
            match dst.put(to_siginfo(&info).as_bytes()) {
                Ok(SIZE) => done += SIZE,
                _ if done > 0 => break,
                _ => return Err(Errno::EFAULT),
            }
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn ignores_seeks(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        let Some(task) = current() else { return Events::empty() };
        if let Some(watch) = watch {
            self.queue.register(watch);
            task.group.signal_events.register(watch);
        }
        let wanted = *self.mask.lock();
        if task.pending_signals().intersection(wanted).is_empty() { Events::empty() } else { Events::IN }
    }

    fn anonymous_name(&self) -> String {
        String::from("anon_inode:[signalfd]")
    }

    fn fdinfo(&self) -> String {
        format!("sigmask:\t{:016x}\n", self.mask.lock().0)
    }
}

/// `signalfd_copyinfo`.
fn to_siginfo(info: &SigInfo) -> SignalfdSiginfo {
    let mut out = SignalfdSiginfo::new_zeroed();
    out.signo = info.signo.cast_unsigned();
    out.errno = info.errno;
    out.code = info.code;
    #[expect(clippy::cast_possible_truncation, reason = "sigval is a union of an int and a pointer")]
    let int = |value: u64| value as i32;
    match info.fields {
        Fields::Kill { pid, uid } => {
            out.pid = pid.cast_unsigned();
            out.uid = uid;
        }
        Fields::Queue { pid, uid, value } => {
            out.pid = pid.cast_unsigned();
            out.uid = uid;
            out.ptr = value;
            out.int = int(value);
        }
        Fields::Timer { id, overrun, value } => {
            out.tid = id.cast_unsigned();
            out.overrun = overrun.cast_unsigned();
            out.ptr = value;
            out.int = int(value);
        }
        Fields::Child { pid, uid, status, utime, stime } => {
            out.pid = pid.cast_unsigned();
            out.uid = uid;
            out.status = status;
            out.utime = utime.cast_unsigned();
            out.stime = stime.cast_unsigned();
        }
        Fields::Fault { addr } => out.addr = addr.0,
        Fields::Poll { band, fd } => {
            out.band = u32::try_from(band & 0xffff_ffff).unwrap_or(0);
            out.fd = fd;
        }
        Fields::Sys { call_addr, syscall, arch } => {
            out.call_addr = call_addr.0;
            out.syscall = syscall;
            out.arch = arch;
        }
        // As the kernel reads a siginfo with a negative code: sender and value. Its first four bytes are padding.
        Fields::Raw(raw) => {
            let word = |at: usize| {
                let mut bytes = [0; 8];
                for (to, from) in bytes.iter_mut().zip(raw.iter().skip(at)) {
                    *to = *from;
                }
                u64::from_le_bytes(bytes)
            };
            out.pid = int(word(4)).cast_unsigned();
            out.uid = int(word(8)).cast_unsigned();
            out.ptr = word(12);
            out.int = int(word(12));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queued_values_arrive_whole_and_as_int() {
        let fields = Fields::Queue { pid: 7, uid: 8, value: 0x1_0000_0002 };
        let info = SigInfo { signo: 34, errno: 0, code: -1, fields };
        let out = to_siginfo(&info);
        assert_eq!(
            (out.signo, out.code, out.pid, out.uid, out.ptr, out.int),
            (34, -1, 7, 8, 0x1_0000_0002, 2)
        );
        // The same through the bytes a guest passes to rt_sigqueueinfo.
        let raw = SigInfo::from_bytes(&info.to_bytes());
        let out = to_siginfo(&raw);
        assert_eq!(
            (out.signo, out.code, out.pid, out.uid, out.ptr, out.int),
            (34, -1, 7, 8, 0x1_0000_0002, 2)
        );
    }
}
