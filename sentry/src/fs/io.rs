//! Where the bytes of a read go and where those of a write come from: guest memory or a buffer.
//!
//! Files take a [`Sink`] or a [`Source`] and never a slice of guest memory: there is no such thing
//! (`docs/conventions.md`). Both keep a position, so a file may call them many times.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
};

use linux_abi::{Errno, Result, UserAddr};
use platform::Context;

/// The most that is copied through one intermediate buffer.
const CHUNK: usize = 256 << 10;

/// Takes bytes.
pub trait Sink {
    /// How many more bytes it wants.
    fn remaining(&self) -> usize;

    /// Appends as much of `data` as is wanted; returns how much that was.
    ///
    /// # Errors
    /// `EFAULT` if not even the first byte could be stored.
    fn put(&mut self, data: &[u8]) -> Result<usize>;

    /// Lets `produce` fill a buffer of at most `max` (and at most what is wanted) bytes, then appends what it made. The buffer
    /// is not empty before: `produce` must not count what it has not written.
    ///
    /// # Errors
    /// `produce`'s, or `EFAULT`: then what was produced is lost, as in Linux.
    fn fill(&mut self, max: usize, produce: &mut dyn FnMut(&mut [u8]) -> Result<usize>) -> Result<usize> {
        with_buffer(max.min(self.remaining()), |buffer| {
            let made = produce(buffer)?.min(buffer.len());
            self.put(buffer.get(..made).unwrap_or_default())
        })
    }
}

/// Gives bytes.
pub trait Source {
    /// How many more bytes it has.
    fn remaining(&self) -> usize;

    /// Copies the next bytes out without consuming them; returns how many (short at the end).
    ///
    /// # Errors
    /// `EFAULT` if not even the first byte could be loaded.
    fn peek(&mut self, into: &mut [u8]) -> Result<usize>;

    /// Consumes `count` bytes.
    fn advance(&mut self, count: usize);

    /// Copies the next bytes out and consumes them.
    ///
    /// # Errors
    /// As [`Source::peek`].
    fn take(&mut self, into: &mut [u8]) -> Result<usize> {
        let count = self.peek(into)?;
        self.advance(count);
        Ok(count)
    }

    /// Lets `consume` look at up to `max` bytes and say how many of them it took.
    ///
    /// # Errors
    /// `consume`'s, or `EFAULT`.
    fn drain(&mut self, max: usize, consume: &mut dyn FnMut(&[u8]) -> Result<usize>) -> Result<usize> {
        with_buffer(max.min(self.remaining()), |buffer| {
            let have = self.peek(buffer)?;
            let taken = consume(buffer.get(..have).unwrap_or_default())?.min(have);
            self.advance(taken);
            Ok(taken)
        })
    }
}

thread_local! {
    /// What the last copy of this thread used.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs `copy` with a buffer of `len` bytes, or as many as are copied at once.
fn with_buffer<T>(len: usize, copy: impl FnOnce(&mut [u8]) -> Result<T>) -> Result<T> {
    copy(&mut Buffer::new(len.min(CHUNK)))
}

/// A buffer for one copy. What is in it is arbitrary: a new one for each copy would have to be cleared, which takes as long as
/// copying.
pub struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// The longest that costs nothing.
    pub const KEPT: usize = 64 << 10;

    /// `len` bytes.
    pub fn new(len: usize) -> Buffer {
        // Taken, for a copy may lead to another one.
        let mut bytes = BUFFER.take();
        if bytes.len() < len {
            bytes = vec![0; len];
        }
        Buffer { bytes, len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() <= Buffer::KEPT {
            BUFFER.set(std::mem::take(&mut self.bytes));
        }
    }
}

/// One piece of guest memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// First byte.
    pub addr: UserAddr,
    /// Length in bytes.
    pub len: usize,
}

/// The next piece of `segments` from `at` on, at most `max` bytes long.
fn next_piece(segments: &[Segment], at: &mut (usize, usize), max: usize) -> Option<Segment> {
    loop {
        let segment = segments.get(at.0)?;
        if at.1 >= segment.len {
            *at = (at.0 + 1, 0);
            continue;
        }
        let len = (segment.len - at.1).min(max);
        return (len > 0).then(|| Segment { addr: segment.addr.wrapping_add(at.1 as u64), len });
    }
}

/// Guest memory of the thread in `context`, as the target of a read(2) or readv(2).
pub struct UserSink<'a> {
    context: &'a mut dyn Context,
    segments: &'a [Segment],
    at: (usize, usize),
    remaining: usize,
}

impl<'a> UserSink<'a> {
    /// The caller has bounded the sum of the lengths (`MAX_RW_COUNT`).
    pub fn new(context: &'a mut dyn Context, segments: &'a [Segment]) -> UserSink<'a> {
        let remaining = segments.iter().map(|s| s.len).sum();
        UserSink { context, segments, at: (0, 0), remaining }
    }
}

impl Sink for UserSink<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn put(&mut self, data: &[u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            let Some(piece) = next_piece(self.segments, &mut self.at, rest.len()) else { break };
            let part = rest.get(..piece.len).unwrap_or(rest);
            let (stored, fault) = match self.context.write(piece.addr, part) {
                Ok(()) => (part.len(), false),
                Err(fault) => (fault.done.min(part.len()), true),
            };
            done += stored;
            self.at.1 += stored;
            self.remaining = self.remaining.saturating_sub(stored);
            if fault {
                return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}

/// Guest memory of the thread in `context`, as the origin of a write(2) or writev(2).
pub struct UserSource<'a> {
    context: &'a mut dyn Context,
    segments: &'a [Segment],
    at: (usize, usize),
    remaining: usize,
}

impl<'a> UserSource<'a> {
    /// The caller has bounded the sum of the lengths (`MAX_RW_COUNT`).
    pub fn new(context: &'a mut dyn Context, segments: &'a [Segment]) -> UserSource<'a> {
        let remaining = segments.iter().map(|s| s.len).sum();
        UserSource { context, segments, at: (0, 0), remaining }
    }
}

impl Source for UserSource<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn peek(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut at = self.at;
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(piece) = next_piece(self.segments, &mut at, rest.len()) else { break };
            let Some(part) = rest.get_mut(..piece.len) else { break };
            match self.context.read(piece.addr, part) {
                Ok(()) => {
                    done += piece.len;
                    at.1 += piece.len;
                }
                Err(fault) => {
                    done += fault.done.min(piece.len);
                    return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
                }
            }
        }
        Ok(done)
    }

    fn advance(&mut self, count: usize) {
        let mut left = count;
        while let Some(piece) = next_piece(self.segments, &mut self.at, left) {
            self.at.1 += piece.len;
            left -= piece.len;
        }
        self.remaining = self.remaining.saturating_sub(count);
    }
}

/// A buffer of the sentry's own as a sink (sendfile, the loader, …).
pub struct BufferSink<'a> {
    buffer: &'a mut [u8],
    filled: usize,
}

impl<'a> BufferSink<'a> {
    /// Fills `buffer` from its start.
    pub fn new(buffer: &'a mut [u8]) -> BufferSink<'a> {
        BufferSink { buffer, filled: 0 }
    }

    /// How many bytes arrived.
    pub fn filled(&self) -> usize {
        self.filled
    }
}

impl Sink for BufferSink<'_> {
    fn remaining(&self) -> usize {
        self.buffer.len() - self.filled
    }

    fn put(&mut self, data: &[u8]) -> Result<usize> {
        let space = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let count = data.len().min(space.len());
        for (to, from) in space.iter_mut().zip(data) {
            *to = *from;
        }
        self.filled += count;
        Ok(count)
    }

    fn fill(&mut self, max: usize, produce: &mut dyn FnMut(&mut [u8]) -> Result<usize>) -> Result<usize> {
        let space = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let len = max.min(space.len());
        let made = produce(space.get_mut(..len).unwrap_or_default())?.min(len);
        self.filled += made;
        Ok(made)
    }
}

/// A buffer of the sentry's own as a source.
pub struct BufferSource<'a>(&'a [u8]);

impl<'a> BufferSource<'a> {
    /// Gives the bytes of `buffer` in order.
    pub fn new(buffer: &'a [u8]) -> BufferSource<'a> {
        BufferSource(buffer)
    }
}

impl Source for BufferSource<'_> {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn peek(&mut self, into: &mut [u8]) -> Result<usize> {
        for (to, from) in into.iter_mut().zip(self.0) {
            *to = *from;
        }
        Ok(into.len().min(self.0.len()))
    }

    fn advance(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }

    fn drain(&mut self, max: usize, consume: &mut dyn FnMut(&[u8]) -> Result<usize>) -> Result<usize> {
        let part = self.0.get(..max).unwrap_or(self.0);
        let taken = consume(part)?.min(part.len());
        self.advance(taken);
        Ok(taken)
    }
}
