//! Calls that the shim answers itself, where handing over would be all the work.
//!
//! Most of them are questions with an answer that seldom changes ([`Answer`]): the sentry leaves it in the slot when it has given it once,
//! and takes all of them back when one may have changed, or when calls are to be seen. `sched_yield(2)` is passed on to the host.
//!
//! Only patched calls are answered so.

use std::sync::atomic::Ordering;

use syscall_tables::nr;

use super::{
    layout::{copy, slot},
    slot::Slot,
};
use crate::Answer;

/// How many there are.
const COUNT: usize = 8;
/// Says that a word holds an answer.
const KNOWN: u64 = 1 << 63;

/// The item in the table of copies for a call that the shim answers.
pub(super) fn item(number: u64) -> Option<u32> {
    let answer = match number {
        nr::sched_yield => Answer::Yield,
        nr::getpid => Answer::Pid,
        nr::gettid => Answer::Tid,
        nr::getppid => Answer::ParentPid,
        nr::getuid => Answer::Uid,
        nr::geteuid => Answer::EffectiveUid,
        nr::getgid => Answer::Gid,
        nr::getegid => Answer::EffectiveGid,
        _ => return None,
    };
    Some(copy::ANSWER | u32::try_from(offset(answer)).ok()? << 16)
}

/// Where the answer is in a slot.
fn offset(answer: Answer) -> usize {
    slot::ANSWERS + answer as usize * 8
}

impl Slot {
    /// Leaves an answer for the shim.
    pub(super) fn remember(&self, answer: Answer, value: u32) {
        self.set64(offset(answer), KNOWN | u64::from(value));
    }

    /// Takes all answers back: the shim's next look finds none.
    pub(super) fn forget_answers(&self) {
        self.set_words(slot::ANSWERS, &[0; COUNT]);
        self.stop_lending_actions();
        // The guest may hear of the change in another way at once.
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}
