//! Which task the calling host thread runs.
//!
//! For the few questions whose answer depends on who asks although nobody tells: poll(2) on a signalfd shows the signals of
//! the polling process, whoever made the descriptor.

use std::{
    cell::RefCell,
    sync::{Arc, Weak},
};

use super::Task;

thread_local! {
    static CURRENT: RefCell<Weak<Task>> = const { RefCell::new(Weak::new()) };
}

/// The task of this host thread; none on the kernel's own threads.
pub fn current() -> Option<Arc<Task>> {
    CURRENT.with_borrow(Weak::upgrade)
}

/// Says that this host thread runs `task`.
pub(super) fn set_current(task: &Arc<Task>) {
    CURRENT.with_borrow_mut(|current| *current = Arc::downgrade(task));
}
