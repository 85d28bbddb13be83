//! One slot: what a guest thread and its sentry thread share, seen from the sentry.
//!
//! Everything read here was written by the guest's side and is an allegation. Offsets are ours: constants of
//! [`super::layout`], or offsets that [`Slot::offset_of`] checked.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use host::shared::SharedMap;

use super::layout::{SLOT_LEN, slot, word};

/// A slot of a mapped unit.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    map: Arc<SharedMap>,
    base: usize,
    address: u64,
}

impl Slot {
    /// Slot `index` of the unit that is mapped at `map` here and at `unit` in the guest.
    pub(super) fn new(map: &Arc<SharedMap>, unit: u64, index: usize) -> Slot {
        let base = index * SLOT_LEN;
        Slot { map: Arc::clone(map), base, address: unit + base as u64 }
    }

    /// Its address in the guest.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// The guest address of `offset`.
    pub(super) fn guest(&self, offset: usize) -> u64 {
        self.address + offset as u64
    }

    /// The offset of `len` bytes at guest address `address`, if they lie in the slot's signal stack and are aligned.
    pub(super) fn offset_of(&self, address: u64, len: usize, align: usize) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(self.address)?).ok()?;
        let end = offset.checked_add(len)?;
        (offset >= slot::STACK && end <= SLOT_LEN && offset.is_multiple_of(align)).then_some(offset)
    }

    /// The request word.
    pub(super) fn request(&self) -> &AtomicU32 {
        self.map.atomic(self.base + slot::REQUEST)
    }

    /// The reply word.
    pub(super) fn reply(&self) -> &AtomicU32 {
        self.map.atomic(self.base + slot::REPLY)
    }

    pub(super) fn get32(&self, offset: usize) -> u32 {
        self.map.get32(self.base + offset)
    }

    pub(super) fn set32(&self, offset: usize, value: u32) {
        self.map.set32(self.base + offset, value);
    }

    pub(super) fn get64(&self, offset: usize) -> u64 {
        self.map.get64(self.base + offset)
    }

    pub(super) fn set64(&self, offset: usize, value: u64) {
        self.map.set64(self.base + offset, value);
    }

    pub(super) fn swap64(&self, offset: usize, value: u64) -> u64 {
        self.map.swap64(self.base + offset, value)
    }

    /// Says that the line at `offset` will be read soon.
    pub(super) fn prefetch(&self, offset: usize) {
        self.map.prefetch(self.base + offset);
    }

    pub(super) fn get_words(&self, offset: usize, into: &mut [u64]) {
        self.map.get_words(self.base + offset, into);
    }

    pub(super) fn set_words(&self, offset: usize, from: &[u64]) {
        self.map.set_words(self.base + offset, from);
    }

    pub(super) fn read(&self, offset: usize, into: &mut [u8]) {
        self.map.read(self.base + offset, into);
    }

    pub(super) fn write(&self, offset: usize, from: &[u8]) {
        self.map.write(self.base + offset, from);
    }

    /// Prepares the slot for a thread that is about to be born into it: its first reply is already there.
    pub(super) fn prepare(&self, features: u32, nonce: u64) {
        self.set32(slot::FEATURES, features);
        self.set64(slot::NONCE, nonce);
        self.set32(slot::SPIN, 0);
        self.set32(slot::KICK, 0);
        self.forget_answers();
        self.forget_lent();
        self.set32(slot::NEXT, word::POSTED);
        self.request().store(word::EMPTY, Ordering::Relaxed);
    }

    /// Says that the process is gone, and wakes who waits for it. For after its end, when nobody else writes.
    pub(super) fn mark_gone(&self) {
        self.request().swap(word::GONE, Ordering::SeqCst);
        host::futex::wake(self.request(), i32::MAX);
    }
}
