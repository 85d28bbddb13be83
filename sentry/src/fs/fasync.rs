//! `O_ASYNC`: a signal when a pipe or socket becomes ready (`F_SETOWN` in fcntl(2), `fs/fcntl.c`); `SIGURG`, which whoever
//! owns a socket gets without asking.
//!
//! A file with the flag has a [`Watch`] on itself whose waker sends the signal. It runs under the locks of whoever wakes and takes
//! the task tree's: so it is only offered for files whose queues are never touched with the tree locked.

use std::sync::{Arc, Weak};

use linux_abi::fcntl::{F_OWNER_PGRP, F_OWNER_TID, O_ASYNC};
use parking_lot::Mutex;

use super::{
    file::{AsyncOwner, File},
    inode::FileType,
    types::{inotify::Inotify, pipe::PipeFile},
};
use crate::{
    kernel::Kernel,
    signal::{
        SIGIO, SIGURG,
        info::{Fields, SigInfo},
        send,
    },
    wait::{Events, Pollable, Wake, Watch},
};

use linux_abi::signal::{POLL_IN, POLL_OUT};

struct Notifier {
    kernel: Weak<Kernel>,
    owner: Arc<Mutex<AsyncOwner>>,
    /// The descriptor that `O_ASYNC` was set through.
    fd: i32,
}

/// Whether `file` may have `O_ASYNC` at all (`f_op->fasync`).
pub fn is_able(file: &File) -> bool {
    file.downcast::<PipeFile>().is_some()
        || file.ops().as_socket().is_some()
        || file.downcast::<Inotify>().is_some()
        || is_terminal(file)
}

/// Among character devices only those of major 1 (`/dev/null` and such) are no terminals.
fn is_terminal(file: &File) -> bool {
    const MEMORY_MAJOR: u64 = 1;
    let Some(inode) = file.inode().filter(|inode| inode.kind() == FileType::CharDevice) else { return false };
    inode.attr().is_ok_and(|attr| attr.rdev >> 8 != MEMORY_MAJOR)
}

/// Follows a change of `O_ASYNC` in `file`'s flags, made through descriptor `fd`.
pub fn update(kernel: &Arc<Kernel>, fd: i32, file: &File) {
    let sends = file.downcast::<PipeFile>().is_some() || file.ops().as_socket().is_some();
    let on = file.flags() & O_ASYNC != 0 && sends;
    let mut slot = file.async_watch.lock();
    if on == slot.is_some() {
        return;
    }
    *slot = None;
    if on {
        let notifier = Notifier { kernel: Arc::downgrade(kernel), owner: Arc::clone(&file.owner), fd };
        let mut interest = Events::empty();
        interest.set(Events::IN, file.readable());
        interest.set(Events::OUT, file.writable());
        let mut watch = Watch::new(Arc::new(notifier), interest);
        file.poll(Some(&mut watch));
        *slot = Some(Box::new(watch));
    }
}

/// Follows a change of `file`'s owner: urgent data on a socket is told to them (`sk_send_sigurg`).
pub fn owner_changed(kernel: &Arc<Kernel>, file: &File) {
    if file.ops().as_socket().is_none() {
        return;
    }
    let mut slot = file.urgent_watch.lock();
    if slot.is_none() {
        let notifier = Urgent { kernel: Arc::downgrade(kernel), owner: Arc::clone(&file.owner) };
        let mut watch = Watch::new(Arc::new(notifier), Events::PRI);
        file.poll(Some(&mut watch));
        *slot = Some(Box::new(watch));
    }
}

struct Urgent {
    kernel: Weak<Kernel>,
    owner: Arc<Mutex<AsyncOwner>>,
}

impl Wake for Urgent {
    /// `send_sigurg`.
    fn wake(&self, ready: Events) {
        let owner = *self.owner.lock();
        let Some(kernel) = self.kernel.upgrade().filter(|_| owner.pid != 0) else { return };
        if ready.contains(Events::PRI) {
            send(&kernel, owner, SigInfo::kernel(SIGURG));
        }
    }
}

impl Wake for Notifier {
    /// `kill_fasync`.
    fn wake(&self, ready: Events) {
        let owner = *self.owner.lock();
        let Some(kernel) = self.kernel.upgrade().filter(|_| owner.pid != 0) else { return };
        let (code, band) = if ready.intersects(Events::IN | Events::HUP) {
            (POLL_IN, Events::IN | Events::RDNORM)
        } else {
            (POLL_OUT, Events::OUT | Events::WRNORM | Events::WRBAND)
        };
        let fields = Fields::Poll { band: i64::from(band.bits()), fd: self.fd };
        let chosen = SigInfo { signo: owner.signal, errno: 0, code, fields };
        // A signal that was asked for tells which file it was; if there are too many, plain SIGIO must do.
        if owner.signal == 0 || !send(&kernel, owner, chosen) {
            send(&kernel, owner, SigInfo::kernel(SIGIO));
        }
    }
}

/// Sends to the owner; false if the queue is full.
fn send(kernel: &Kernel, owner: AsyncOwner, info: SigInfo) -> bool {
    match owner.kind {
        F_OWNER_PGRP => {
            send::send_to_pgrp(kernel, owner.pid.wrapping_abs(), info);
            true
        }
        F_OWNER_TID => {
            let task = kernel.tasks.lock().thread(owner.pid).cloned();
            task.is_none_or(|task| send::send_to_task(&task, info).is_ok())
        }
        _ => {
            let group = kernel.tasks.lock().process(owner.pid).map(|process| Arc::clone(&process.group));
            group.is_none_or(|group| send::send_to_group(kernel, &group, info).is_ok())
        }
    }
}
