//! What the sentry lends to the shim, so that calls which only change it need no hand-over.
//!
//! A thread's signal mask and the head of its robust list are stored by the guest and looked at by the sentry much more seldom. While they
//! are lent, they are in the slot, in one word each with a bit that says so: `SIGKILL`'s of a mask, which is never in one, and the
//! highest of an address. The shim changes a word only by comparing and exchanging it; whoever needs it in the sentry exchanges it for
//! zero, and the shim's next look finds nothing and asks. So nobody ever sees a word that is about to change.
//!
//! The actions of signals are lent to the only thread of a process, which also takes them back itself; others only end the lending.
//! Lent are those that are the default and nothing else; the shim may give them a restorer and nothing else, as programs do that put signals
//! back before execve. Who sends a signal cannot tell the difference.
//!
//! All of this is the guest's own wish and trusted for nothing else: a guest that writes its slot says that it has called.

use syscall_tables::nr;

use super::{
    layout::{copy, slot},
    slot::Slot,
};
use crate::{Lent, PlainActions};

/// `SIGKILL` in a mask.
const MASK_LENT: u64 = 1 << 8;
/// No address of a guest.
const ADDRESS_LENT: u64 = 1 << 63;
/// Actions that the shim may tell but not set, by signal less one: of `SIGKILL` and `SIGSTOP`, which nobody may; of `SIGCHLD`, `SIGCONT`,
/// `SIGURG` and `SIGWINCH`, because that forgets them where they are pending.
pub(super) const LASTING_ACTIONS: u32 = 1 << 8 | 1 << 18 | 1 << 16 | 1 << 17 | 1 << 22 | 1 << 27;

/// What the first item of the row of a call has in the table of copies.
pub(super) fn bit(number: u64) -> u32 {
    match number {
        nr::rt_sigaction | nr::rt_sigprocmask | nr::set_robust_list => copy::LOCAL,
        _ => 0,
    }
}

/// Where something is, and the bit that says so.
fn place(what: Lent) -> (usize, u64) {
    match what {
        Lent::Mask => (slot::LENT_MASK, MASK_LENT),
        Lent::RobustList => (slot::LENT_ROBUST_LIST, ADDRESS_LENT),
    }
}

impl Slot {
    /// Lends `value`; `false` if it cannot be.
    pub(super) fn lend(&self, what: Lent, value: u64) -> bool {
        let (at, bit) = place(what);
        if value & bit != 0 {
            return false;
        }
        self.set64(at, value | bit);
        true
    }

    /// What it is now, if it is lent.
    pub(super) fn look_at(&self, what: Lent) -> Option<u64> {
        let (at, bit) = place(what);
        let word = self.get64(at);
        (word & bit != 0).then_some(word & !bit)
    }

    /// Takes it back, if it is lent.
    pub(super) fn take_back(&self, what: Lent) -> Option<u64> {
        let (at, bit) = place(what);
        let word = self.swap64(at, 0);
        (word & bit != 0).then_some(word & !bit)
    }

    /// Lends the actions in `defaults`, by signal less one.
    pub(super) fn lend_actions(&self, defaults: u64) {
        self.set_words(slot::LENT_DEFAULTS, &[defaults | MASK_LENT, 0, 0]);
    }

    /// The shim's next look finds that no actions are lent.
    pub(super) fn stop_lending_actions(&self) {
        self.set64(slot::LENT_DEFAULTS, 0);
    }

    /// Takes the actions back: which have changed. For the thread itself.
    pub(super) fn take_actions(&self) -> Option<PlainActions> {
        let mut words = [0; 3];
        self.get_words(slot::LENT_DEFAULTS, &mut words);
        self.set_words(slot::LENT_DEFAULTS, &[0; 3]);
        let [_, plain, restorer] = words;
        let changed = plain & !u64::from(LASTING_ACTIONS);
        (changed != 0).then_some(PlainActions { signals: changed, restorer })
    }

    /// For a slot that is about to be another thread's.
    pub(super) fn forget_lent(&self) {
        self.set_words(slot::LENT_MASK, &[0; 5]);
    }
}
