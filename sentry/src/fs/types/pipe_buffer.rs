//! What a pipe holds: bytes in a ring, and the page-sized slots that Linux accounts them in.
//!
//! Linux keeps a pipe's content in slots of at most one page. How full a pipe is, whether a write is atomic and where
//! a packet (`O_DIRECT`) ends all follow from the slots (`fs/pipe.c`), so they are kept here as numbers, while the bytes
//! themselves lie in one ring, which is what makes large transfers cheap.
//!
//! Invariants: the slots' lengths sum to `len`; `len <= ring.len()`; `ring.len()` is zero or a power of two.

use std::collections::VecDeque;

use linux_abi::{Errno, Result};

use crate::fs::io::{Sink, Source};

/// Bytes in a slot, and the largest write that is atomic.
pub(super) const PIPE_BUF: usize = 4096;
/// Slots of a new pipe (`PIPE_DEF_BUFFERS`).
pub(super) const DEFAULT_SLOTS: usize = 16;
/// Rings above this size are not kept while the pipe is empty.
const KEEP: usize = DEFAULT_SLOTS * PIPE_BUF;

/// One slot of the pipe.
#[derive(Clone, Copy)]
struct Slot {
    /// Unread bytes.
    len: usize,
    /// How much of the slot's page has ever been used: what was read from its front stays used.
    end: usize,
    /// The slot is a packet: nothing is appended, and one read ends with it.
    packet: bool,
}

/// The content of a pipe.
pub(super) struct Buffer {
    ring: Vec<u8>,
    head: usize,
    len: usize,
    slots: VecDeque<Slot>,
    max_slots: usize,
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer { ring: Vec::new(), head: 0, len: 0, slots: VecDeque::new(), max_slots: DEFAULT_SLOTS }
    }
}

impl Buffer {
    /// Bytes to read.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether no slot is free.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= self.max_slots
    }

    /// Capacity in bytes (`F_GETPIPE_SZ`).
    pub(super) fn capacity(&self) -> usize {
        self.max_slots * PIPE_BUF
    }

    /// Changes the number of slots, a power of two.
    ///
    /// # Errors
    /// `EBUSY` if more are in use.
    pub(super) fn set_slots(&mut self, slots: usize) -> Result<()> {
        if self.slots.len() > slots {
            return Err(Errno::EBUSY);
        }
        self.max_slots = slots;
        Ok(())
    }

    /// Moves as much of `src` in as there is room for. A write of up to [`PIPE_BUF`] bytes goes in whole or not at all.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room, `EFAULT` from `src` before the first byte.
    pub(super) fn write(&mut self, src: &mut dyn Source, packet: bool) -> Result<usize> {
        let total = src.remaining();
        let mut done = 0;
        let odd = total % PIPE_BUF;
        // As pipe_write: the part of the write that fills no page joins the last slot if it fits there wholly.
        if odd > 0 && self.slots.back().is_some_and(|last| !last.packet && last.end + odd <= PIPE_BUF) {
            done = self.append(src, odd)?;
            if let Some(last) = self.slots.back_mut() {
                last.len += done;
                last.end += done;
            }
            if done < odd {
                return Ok(done);
            }
        }
        let free = self.max_slots.saturating_sub(self.slots.len());
        let want = (total - done).min(free * PIPE_BUF);
        if want == 0 {
            return if done > 0 || total == 0 { Ok(done) } else { Err(Errno::EAGAIN) };
        }
        let added = match self.append(src, want) {
            Ok(added) => added,
            Err(_) if done > 0 => 0,
            Err(errno) => return Err(errno),
        };
        self.add_slots(added, packet);
        Ok(done + added)
    }

    /// Accounts `count` bytes just appended in new slots.
    fn add_slots(&mut self, count: usize, packet: bool) {
        let mut left = count;
        while left > 0 {
            let len = left.min(PIPE_BUF);
            self.slots.push_back(Slot { len, end: len, packet });
            left -= len;
        }
    }

    /// Moves bytes out. Stops after the first packet, whose unread rest is lost.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing, `EFAULT` from `dst` before the first byte.
    pub(super) fn read(&mut self, dst: &mut dyn Sink) -> Result<usize> {
        if self.slots.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let mut available = 0;
        for slot in &self.slots {
            available += slot.len;
            if slot.packet || available >= dst.remaining() {
                break;
            }
        }
        let want = available.min(dst.remaining());
        let (first, second) = self.pieces(want);
        let mut done = dst.put(first)?;
        if done == first.len() && !second.is_empty() {
            // What arrived before a fault counts.
            done += dst.put(second).unwrap_or(0);
        }
        self.consume(done, true);
        Ok(done)
    }

    /// Moves up to `max` bytes to the end of `to`, slot by slot, packets as packets (splice). With `keep`, copies (tee).
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing to move or no room for it.
    pub(super) fn transfer(&mut self, to: &mut Buffer, max: usize, keep: bool) -> Result<usize> {
        let mut done = 0;
        let mut at = 0;
        while done < max && !to.is_full() {
            let Some(slot) = self.slots.get(at).copied() else { break };
            let take = slot.len.min(max - done);
            let start = if keep { done } else { 0 };
            let (first, second) = self.pieces_from(start, take);
            to.append_slice(first);
            to.append_slice(second);
            to.add_slots(take, slot.packet);
            done += take;
            if keep {
                at += 1;
            } else {
                self.consume(take, false);
            }
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    /// Forgets everything, the memory too, and goes back to the default capacity.
    pub(super) fn clear(&mut self) {
        *self = Buffer::default();
    }

    /// Removes `count` bytes from the front. With `cut`, a packet that has been read from is removed whole.
    fn consume(&mut self, count: usize, cut: bool) {
        let mut left = count;
        let mut removed = 0;
        while left > 0 {
            let Some(slot) = self.slots.front_mut() else { break };
            if left < slot.len && !(cut && slot.packet) {
                slot.len -= left;
                removed += left;
                break;
            }
            removed += slot.len;
            left = left.saturating_sub(slot.len);
            self.slots.pop_front();
        }
        self.len = self.len.saturating_sub(removed);
        self.head = self.wrap(self.head + removed);
        if self.len == 0 {
            // The same few pages again, which are warm.
            self.head = 0;
            if self.ring.len() > KEEP {
                self.ring = Vec::new();
            }
        }
    }

    fn wrap(&self, at: usize) -> usize {
        at & self.ring.len().saturating_sub(1)
    }

    /// The first `count` bytes, in up to two pieces.
    fn pieces(&self, count: usize) -> (&[u8], &[u8]) {
        self.pieces_from(0, count)
    }

    fn pieces_from(&self, skip: usize, count: usize) -> (&[u8], &[u8]) {
        let start = self.wrap(self.head + skip);
        let first = count.min(self.ring.len() - start);
        (
            self.ring.get(start..start + first).unwrap_or_default(),
            self.ring.get(..count - first).unwrap_or_default(),
        )
    }

    /// Appends up to `count` bytes of `src` to the ring, not to the slots.
    fn append(&mut self, src: &mut dyn Source, count: usize) -> Result<usize> {
        self.grow(self.len + count);
        let mut done = 0;
        while done < count {
            let start = self.wrap(self.head + self.len);
            let space = (count - done).min(self.ring.len() - start);
            let Some(space) = self.ring.get_mut(start..start + space) else { break };
            let asked = space.len();
            match src.take(space) {
                Ok(got) => {
                    self.len += got;
                    done += got;
                    if got < asked {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }

    fn append_slice(&mut self, bytes: &[u8]) {
        let mut src = crate::fs::io::BufferSource::new(bytes);
        // A buffer of our own does not fault.
        let _ = self.append(&mut src, bytes.len());
    }

    /// Makes the ring hold at least `size` bytes.
    fn grow(&mut self, size: usize) {
        if size <= self.ring.len() {
            return;
        }
        let mut ring = vec![0; size.next_power_of_two().max(PIPE_BUF)];
        let (first, second) = self.pieces(self.len);
        for (to, from) in ring.iter_mut().zip(first.iter().chain(second)) {
            *to = *from;
        }
        self.ring = ring;
        self.head = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::io::{BufferSink, BufferSource};

    fn write(buffer: &mut Buffer, bytes: &[u8], packet: bool) -> Result<usize> {
        buffer.write(&mut BufferSource::new(bytes), packet)
    }

    fn read(buffer: &mut Buffer, max: usize) -> Result<Vec<u8>> {
        let mut out = vec![0; max];
        let got = buffer.read(&mut BufferSink::new(&mut out))?;
        out.truncate(got);
        Ok(out)
    }

    #[test]
    fn small_writes_share_a_slot() {
        let mut buffer = Buffer::default();
        for _ in 0..PIPE_BUF {
            assert_eq!(write(&mut buffer, b"x", false), Ok(1));
        }
        assert_eq!(buffer.slots.len(), 1);
        assert_eq!(buffer.len(), PIPE_BUF);
    }

    #[test]
    fn full_after_capacity_and_a_small_write_is_whole_or_nothing() {
        let mut buffer = Buffer::default();
        assert_eq!(write(&mut buffer, &[1; 100_000], false), Ok(65536));
        assert!(buffer.is_full());
        assert_eq!(write(&mut buffer, b"x", false), Err(Errno::EAGAIN));
        // A page that was read in part is not free.
        assert_eq!(read(&mut buffer, 4095).map(|v| v.len()), Ok(4095));
        assert_eq!(write(&mut buffer, &[2; 10], false), Err(Errno::EAGAIN));
        assert_eq!(read(&mut buffer, 1).map(|v| v.len()), Ok(1));
        assert_eq!(write(&mut buffer, &[2; 4096], false), Ok(4096));
        assert_eq!(write(&mut buffer, &[2; 1], false), Err(Errno::EAGAIN));
    }

    #[test]
    fn two_writes_of_half_a_page_and_one_byte_use_two_slots() {
        let mut buffer = Buffer::default();
        assert_eq!(write(&mut buffer, &[1; 2049], false), Ok(2049));
        assert_eq!(write(&mut buffer, &[1; 2049], false), Ok(2049));
        assert_eq!(buffer.slots.len(), 2);
    }

    #[test]
    fn bytes_come_out_in_order_around_the_ring() {
        let mut buffer = Buffer::default();
        let (mut sent, mut received) = (0u32, 0u32);
        for round in 0..2000usize {
            let count = (round * 7919) % 5000;
            let bytes: Vec<u8> = (0..count).map(|i| (sent as usize + i) as u8).collect();
            if let Ok(done) = write(&mut buffer, &bytes, false) {
                sent += done as u32;
            }
            for byte in read(&mut buffer, (round * 104_729) % 6000).unwrap_or_default() {
                assert_eq!(byte, received as u8);
                received += 1;
            }
        }
        assert!(received > 1_000_000);
        assert_eq!(buffer.len(), (sent - received) as usize);
        assert_eq!(buffer.slots.iter().map(|s| s.len).sum::<usize>(), buffer.len());
    }

    #[test]
    fn a_packet_ends_a_read_and_its_rest_is_lost() {
        let mut buffer = Buffer::default();
        write(&mut buffer, b"abcdef", true).unwrap();
        write(&mut buffer, b"ghi", true).unwrap();
        assert_eq!(buffer.slots.len(), 2);
        assert_eq!(read(&mut buffer, 4).unwrap(), b"abcd");
        assert_eq!(read(&mut buffer, 100).unwrap(), b"ghi");
        assert_eq!(buffer.len(), 0);
        // More than PIPE_BUF becomes several packets.
        assert_eq!(write(&mut buffer, &[7; 5000], true), Ok(5000));
        assert_eq!(read(&mut buffer, 8000).unwrap().len(), 4096);
        assert_eq!(read(&mut buffer, 8000).unwrap().len(), 904);
    }

    #[test]
    fn shrinking_below_what_is_used_is_refused() {
        let mut buffer = Buffer::default();
        write(&mut buffer, &[0; 8192], false).unwrap();
        assert_eq!(buffer.set_slots(1), Err(Errno::EBUSY));
        assert_eq!(buffer.set_slots(2), Ok(()));
        assert!(buffer.is_full());
    }

    #[test]
    fn tee_copies_and_splice_moves() {
        let (mut from, mut to) = (Buffer::default(), Buffer::default());
        write(&mut from, b"hello", false).unwrap();
        write(&mut from, b"packet", true).unwrap();
        assert_eq!(from.transfer(&mut to, 100, true), Ok(11));
        assert_eq!(from.len(), 11);
        assert_eq!(read(&mut to, 100).unwrap(), b"hellopacket");
        assert_eq!(from.transfer(&mut to, 3, false), Ok(3));
        assert_eq!(read(&mut from, 100).unwrap(), b"lopacket");
        assert_eq!(read(&mut to, 100).unwrap(), b"hel");
        assert_eq!(from.transfer(&mut to, 3, false), Err(Errno::EAGAIN));
    }
}
