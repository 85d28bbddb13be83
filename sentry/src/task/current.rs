//! Which task the calling host thread runs.
//!
//! For the few questions whose answer depends on who asks although nobody tells: poll(2) on a signalfd shows the signals of
//! the polling process, whoever made the descriptor.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, Weak},
};

use super::Task;

thread_local! {
    static CURRENT: RefCell<Weak<Task>> = const { RefCell::new(Weak::new()) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The number of the system call that this host thread is in: what was true at its start may be taken for true until its end.
/// Zero on the kernel's own threads.
pub fn call_number() -> u64 {
    CALLS.get()
}

/// A system call begins.
pub(super) fn begin_call() {
    CALLS.set(CALLS.get().wrapping_add(1));
}

/// The task of this host thread; none on the kernel's own threads.
pub fn current() -> Option<Arc<Task>> {
    CURRENT.with_borrow(Weak::upgrade)
}

/// Says that this host thread runs `task`.
pub(super) fn set_current(task: &Arc<Task>) {
    CURRENT.with_borrow_mut(|current| *current = Arc::downgrade(task));
}
