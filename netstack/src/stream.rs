//! One direction of a byte stream: a bounded queue of segments.
//!
//! Bytes are copied in once (by the writer, into a segment nobody else sees yet) and out once (by the reader, from a
//! segment it has taken off the queue). So no lock that the other side needs is held during either copy, and the two
//! sides run in parallel. Readers exclude each other for the length of a read, as Linux's do (`u->iolock`, `lock_sock`).
//!
//! A segment may carry metadata (control messages of unix sockets); [`Meta`] says what may be merged.
//!
//! Invariants: `len` counts the bytes on the queue and those in a reader's hands; `len + reserved <= limit` when room
//! was promised; memory is at most four times `limit` plus one chunk.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

/// The most one write moves, and the size of the largest segment.
pub const CHUNK: usize = 64 << 10;
/// Segment sizes: a write gets the smallest that fits.
const CLASSES: [usize; 3] = [4 << 10, 16 << 10, CHUNK];
/// Writes up to this are appended to the last segment if they fit, at the price of a second copy.
const MERGE: usize = 4 << 10;
/// How many large chunks a [`ChunkPool`] keeps.
const POOLED: usize = 32;

/// What a segment carries besides bytes.
pub trait Meta: Default + Send {
    /// Whether bytes with `next` may be appended to bytes with `self`, `next` being dropped.
    fn accepts(&self, next: &Self) -> bool;
}

impl Meta for () {
    fn accepts(&self, (): &()) -> bool {
        true
    }
}

/// Memory beyond which each socket gets little, unless a pool is told otherwise (as `tcp_mem` does for TCP).
const PRESSURE: usize = 256 << 20;
/// What a stream, or a sender of datagrams, may hold then.
const LIMIT_UNDER_PRESSURE: usize = CHUNK;

/// Where the memory of all sockets of a stack comes from. Keeps some large chunks between uses, so that streams need neither
/// allocate nor clear them, and counts what is in use. Under pressure each socket gets little; at twice that, nothing.
pub struct ChunkPool {
    free: Mutex<Vec<Box<[u8]>>>,
    in_use: AtomicUsize,
    pressure: AtomicUsize,
}

impl Default for ChunkPool {
    fn default() -> ChunkPool {
        ChunkPool {
            free: Mutex::default(),
            in_use: AtomicUsize::new(0),
            pressure: AtomicUsize::new(PRESSURE),
        }
    }
}

/// Memory of a pool that is not a chunk; given back when dropped.
#[derive(Debug)]
pub struct Held {
    pool: Arc<ChunkPool>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for ChunkPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkPool").field("in_use", &self.in_use()).finish_non_exhaustive()
    }
}

impl ChunkPool {
    fn get(self: &Arc<Self>, want: usize) -> Chunk {
        let class = CLASSES.into_iter().find(|&class| class >= want).unwrap_or(CHUNK);
        let pooled = if class == CHUNK { self.free.lock().pop() } else { None };
        self.in_use.fetch_add(class, Ordering::Relaxed);
        let bytes = pooled.unwrap_or_else(|| vec![0; class].into_boxed_slice());
        Chunk { bytes, pool: Arc::clone(self) }
    }

    /// How many bytes all streams together hold memory for.
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Sets how many bytes are so many that each socket gets little.
    pub fn set_pressure(&self, bytes: usize) {
        self.pressure.store(bytes, Ordering::Relaxed);
    }

    fn is_pressed(&self) -> bool {
        self.in_use() > self.pressure.load(Ordering::Relaxed)
    }

    /// What a sender of datagrams may have in flight whose limit is `limit`.
    pub fn limit_now(&self, limit: usize) -> usize {
        if self.is_pressed() { limit.min(LIMIT_UNDER_PRESSURE) } else { limit }
    }

    /// Fails when there is no memory for anybody.
    ///
    /// # Errors
    /// `ENOBUFS`.
    fn available(&self) -> Result<()> {
        let most = self.pressure.load(Ordering::Relaxed).saturating_mul(2);
        if self.in_use() > most { Err(Errno::ENOBUFS) } else { Ok(()) }
    }

    /// Counts the memory of a datagram.
    ///
    /// # Errors
    /// `ENOBUFS` if there is none left.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Result<Held> {
        self.available()?;
        self.in_use.fetch_add(bytes, Ordering::Relaxed);
        Ok(Held { pool: Arc::clone(self), bytes })
    }
}

/// Memory of a pool; goes back when dropped.
struct Chunk {
    bytes: Box<[u8]>,
    pool: Arc<ChunkPool>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.pool.in_use.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        if self.bytes.len() == CHUNK {
            let mut free = self.pool.free.lock();
            if free.len() < POOLED {
                free.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

struct Segment<M> {
    data: Chunk,
    start: usize,
    end: usize,
    meta: M,
}

impl<M> Segment<M> {
    fn bytes(&self) -> &[u8] {
        self.data.bytes.get(self.start..self.end).unwrap_or_default()
    }
}

struct State<M> {
    segments: VecDeque<Segment<M>>,
    len: usize,
    reserved: usize,
    limit: usize,
    /// Memory is short, as far as this stream has noticed.
    pressed: bool,
    /// The writer will write no more.
    finished: bool,
    /// The reader wants no more.
    refused: bool,
    /// The reader is gone, and what was queued with it.
    discarded: bool,
    /// A writer found no room since the last time room was announced.
    starved: bool,
    /// Bytes ever read, for urgent marks.
    consumed: u64,
    /// Bytes ever written.
    produced: u64,
}

impl<M> State<M> {
    fn limit(&self) -> usize {
        if self.pressed { self.limit.min(LIMIT_UNDER_PRESSURE) } else { self.limit }
    }

    fn room(&self) -> usize {
        self.limit().saturating_sub(self.len).saturating_sub(self.reserved)
    }

    /// As `sk_stream_is_writeable`: a third of the buffer is free.
    fn writable(&self) -> bool {
        let room = self.room();
        room > 0 && room >= self.limit() / 3
    }

    fn announce_room(&mut self) -> bool {
        let announce = self.starved && (self.writable() || self.refused);
        if announce {
            self.starved = false;
        }
        announce
    }
}

/// What a reader did with a piece of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Took that many bytes of it; go on if that was all of it.
    Took(usize),
    /// Took that many bytes; stop.
    Last(usize),
    /// Took nothing; stop.
    Stop,
}

/// Whether a read consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// Bytes read are gone.
    Consume,
    /// Bytes stay (`MSG_PEEK`); skips as many bytes as given first.
    Peek(usize),
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadDone {
    /// Bytes the reader took. Zero at the end of the stream.
    pub bytes: usize,
    /// Writers must be told that there is room.
    pub room_opened: bool,
}

/// A snapshot for poll(2) and ioctls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes a reader can have.
    pub queued: usize,
    /// The writer is done.
    pub finished: bool,
    /// The reader is done.
    pub refused: bool,
    /// A writer should try.
    pub writable: bool,
}

/// A bounded queue of bytes.
pub struct ByteStream<M = ()> {
    state: Mutex<State<M>>,
    reader: Mutex<()>,
    pool: Arc<ChunkPool>,
}

impl<M: Meta> ByteStream<M> {
    /// An empty stream that holds at most `limit` bytes.
    pub fn new(limit: usize, pool: Arc<ChunkPool>) -> ByteStream<M> {
        let state = State {
            segments: VecDeque::new(),
            len: 0,
            reserved: 0,
            limit,
            pressed: false,
            finished: false,
            refused: false,
            discarded: false,
            starved: false,
            consumed: 0,
            produced: 0,
        };
        ByteStream { state: Mutex::new(state), reader: Mutex::new(()), pool }
    }

    /// Appends at most [`CHUNK`] of up to `max` bytes that `fill` puts into the buffer it is given. `meta` is taken if any were.
    ///
    /// # Errors
    /// `EAGAIN` without room, `EPIPE` when the stream is closed at either end, `ENOBUFS` when all streams together hold
    /// too much, or `fill`'s.
    pub fn write(
        &self,
        max: usize,
        meta: &mut Option<M>,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<usize> {
        let want = {
            let mut state = self.state.lock();
            if state.refused || state.finished {
                return Err(Errno::EPIPE);
            }
            state.pressed = self.pool.is_pressed();
            let room = state.room();
            if room == 0 && max > 0 {
                state.starved = true;
                return Err(Errno::EAGAIN);
            }
            let want = max.min(room).min(CHUNK);
            self.pool.available()?;
            state.reserved += want;
            want
        };
        let mut chunk = self.pool.get(want);
        let filled = fill(chunk.bytes.get_mut(..want).unwrap_or_default()).map(|count| count.min(want));
        let mut state = self.state.lock();
        state.reserved -= want;
        let count = filled?;
        if state.refused || state.finished {
            return Err(Errno::EPIPE);
        }
        let unused = Self::append(&mut state, chunk, count, meta);
        drop(state);
        drop(unused);
        Ok(count)
    }

    /// Queues the first `count` bytes of `chunk`; gives the chunk back if it was not needed.
    fn append(state: &mut State<M>, chunk: Chunk, count: usize, meta: &mut Option<M>) -> Option<Chunk> {
        if count == 0 {
            return Some(chunk);
        }
        let meta = meta.take().unwrap_or_default();
        state.len += count;
        state.produced += count as u64;
        if count <= MERGE
            && let Some(tail) = state.segments.back_mut()
            && tail.meta.accepts(&meta)
            && let Some(space) = tail.data.bytes.get_mut(tail.end..tail.end + count)
        {
            space.copy_from_slice(chunk.bytes.get(..count).unwrap_or_default());
            tail.end += count;
            return Some(chunk);
        }
        state.segments.push_back(Segment { data: chunk, start: 0, end: count, meta });
        None
    }

    /// Shows the queued bytes to `visit`, piece by piece, until it stops.
    ///
    /// # Errors
    /// `EAGAIN` when nothing is queued and more may come; `visit`'s if it comes before anything was taken.
    pub fn read(
        &self,
        mode: ReadMode,
        visit: &mut dyn FnMut(&mut M, &[u8]) -> Result<Step>,
    ) -> Result<ReadDone> {
        let _turn = self.reader.lock();
        let mut skip = if let ReadMode::Peek(offset) = mode { offset } else { 0 };
        let mut peeked = Vec::new();
        let mut done = ReadDone { bytes: 0, room_opened: false };
        let mut failed = None;
        let mut state = self.state.lock();
        let mut seen = false;
        while let Some(mut segment) = state.segments.pop_front() {
            drop(state);
            let bytes = segment.bytes();
            let hidden = skip.min(bytes.len());
            skip -= hidden;
            let shown = segment.data.bytes.get(segment.start + hidden..segment.end).unwrap_or_default();
            let step = if shown.is_empty() { Ok(Step::Took(0)) } else { visit(&mut segment.meta, shown) };
            seen |= !shown.is_empty();
            let (took, stop) = match step {
                Ok(Step::Took(took)) => (took.min(shown.len()), took < shown.len()),
                Ok(Step::Last(took)) => (took.min(shown.len()), true),
                Ok(Step::Stop) => (0, true),
                Err(errno) => {
                    failed = Some(errno);
                    (0, true)
                }
            };
            done.bytes += took;
            if mode == ReadMode::Consume {
                segment.start += took;
                let emptied = segment.start >= segment.end;
                state = self.state.lock();
                state.len = state.len.saturating_sub(took);
                state.consumed += took as u64;
                done.room_opened |= state.announce_room();
                if emptied || state.discarded {
                    // Outside the lock: what a segment carries may lead back here when it is dropped.
                    drop(state);
                    drop(segment);
                    state = self.state.lock();
                } else {
                    state.segments.push_front(segment);
                }
            } else {
                peeked.push(segment);
                state = self.state.lock();
            }
            if stop {
                break;
            }
        }
        if !state.discarded {
            for segment in peeked.drain(..).rev() {
                state.segments.push_front(segment);
            }
        }
        let over = state.finished || state.refused;
        drop(state);
        drop(peeked);
        if done.bytes > 0 || (seen && failed.is_none()) {
            return Ok(done);
        }
        match failed {
            Some(errno) => Err(errno),
            None if over => Ok(done),
            None => Err(Errno::EAGAIN),
        }
    }

    /// The writer will write no more; what is queued can still be read.
    pub fn finish(&self) {
        self.state.lock().finished = true;
    }

    /// The reader wants no more: writes fail. What is queued stays readable.
    pub fn refuse(&self) {
        let mut state = self.state.lock();
        state.refused = true;
        state.starved = false;
    }

    /// The reader is gone: writes fail, what is queued is dropped. Returns how many bytes that was.
    pub fn discard(&self) -> usize {
        let mut state = self.state.lock();
        state.refused = true;
        state.discarded = true;
        state.starved = false;
        let segments = std::mem::take(&mut state.segments);
        let len = std::mem::take(&mut state.len);
        drop(state);
        // Outside the lock: what a segment carries may lead back here when it is dropped.
        drop(segments);
        len
    }

    /// Begins anew, empty.
    pub fn reopen(&self) {
        self.discard();
        let mut state = self.state.lock();
        state.finished = false;
        state.refused = false;
        state.discarded = false;
        state.consumed = 0;
        state.produced = 0;
    }

    /// Changes the limit; returns whether writers must be told that there is room.
    pub fn set_limit(&self, limit: usize) -> bool {
        let mut state = self.state.lock();
        state.limit = limit;
        state.announce_room()
    }

    /// A snapshot. If there is no room, the next room will be announced.
    pub fn status(&self) -> Status {
        let mut state = self.state.lock();
        state.pressed = self.pool.is_pressed();
        let writable = state.writable();
        if !writable {
            state.starved = true;
        }
        Status { queued: state.len, finished: state.finished, refused: state.refused, writable }
    }

    /// Shows what the queued segments carry.
    pub fn for_each_meta(&self, visit: &mut dyn FnMut(&M)) {
        self.state.lock().segments.iter().for_each(|segment| visit(&segment.meta));
    }

    /// Positions in the stream: (bytes ever read, bytes ever written).
    pub fn positions(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.consumed, state.produced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(limit: usize) -> ByteStream {
        ByteStream::new(limit, Arc::default())
    }

    fn put(stream: &ByteStream, data: &[u8]) -> Result<usize> {
        let mut at = 0;
        stream.write(data.len(), &mut None, &mut |into| {
            let part = &data[at..at + into.len()];
            into.copy_from_slice(part);
            at += part.len();
            Ok(part.len())
        })
    }

    fn get(stream: &ByteStream, mode: ReadMode, max: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        stream.read(mode, &mut |(), bytes| {
            let count = bytes.len().min(max - out.len());
            out.extend_from_slice(&bytes[..count]);
            Ok(if count < bytes.len() { Step::Last(count) } else { Step::Took(count) })
        })?;
        Ok(out)
    }

    #[test]
    fn bytes_come_out_in_order_across_segments() {
        let stream = stream(1 << 20);
        let data: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut sent = 0;
        while sent < data.len() {
            sent += put(&stream, &data[sent..(sent + 50_000).min(data.len())]).unwrap();
        }
        assert_eq!(get(&stream, ReadMode::Peek(0), 70_000).unwrap(), data[..70_000]);
        assert_eq!(get(&stream, ReadMode::Peek(60_000), 100).unwrap(), data[60_000..60_100]);
        assert_eq!(get(&stream, ReadMode::Consume, 70_001).unwrap(), data[..70_001]);
        assert_eq!(get(&stream, ReadMode::Consume, usize::MAX >> 1).unwrap(), data[70_001..]);
        assert_eq!(get(&stream, ReadMode::Consume, 1), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_full_stream_announces_room_once_a_third_is_free() {
        let stream = stream(900);
        assert_eq!(put(&stream, &[7; 1000]), Ok(900));
        assert_eq!(put(&stream, &[7; 1]), Err(Errno::EAGAIN));
        let take =
            |n: usize| stream.read(ReadMode::Consume, &mut |(), b| Ok(Step::Last(n.min(b.len())))).unwrap();
        assert!(!take(299).room_opened);
        assert!(take(1).room_opened);
        assert!(!take(1).room_opened);
        assert!(stream.status().writable);
    }

    #[test]
    fn small_writes_share_a_segment() {
        let stream = stream(10_000);
        for i in 0..100u8 {
            put(&stream, &[i; 10]).unwrap();
        }
        assert_eq!(stream.state.lock().segments.len(), 1);
        assert_eq!(stream.status().queued, 1000);
    }

    #[test]
    fn the_end_comes_after_the_data() {
        let stream = stream(100);
        put(&stream, b"last").unwrap();
        stream.finish();
        assert_eq!(put(&stream, b"x"), Err(Errno::EPIPE));
        assert_eq!(get(&stream, ReadMode::Consume, 10).unwrap(), b"last");
        assert_eq!(get(&stream, ReadMode::Consume, 10).unwrap(), b"");
    }

    #[test]
    fn a_fault_of_the_reader_loses_nothing() {
        let stream = stream(100);
        put(&stream, b"abc").unwrap();
        let fault = stream.read(ReadMode::Consume, &mut |(), _| Err(Errno::EFAULT));
        assert_eq!(fault, Err(Errno::EFAULT));
        assert_eq!(get(&stream, ReadMode::Consume, 10).unwrap(), b"abc");
    }

    #[test]
    fn streams_share_the_memory_there_is() {
        let pool = Arc::<ChunkPool>::default();
        let stream: ByteStream = ByteStream::new(1 << 20, Arc::clone(&pool));
        put(&stream, &[1; CHUNK]).unwrap();
        assert_eq!(pool.in_use(), CHUNK);
        pool.in_use.fetch_add(PRESSURE, Ordering::Relaxed);
        assert_eq!(put(&stream, &[1; 10]), Err(Errno::EAGAIN));
        assert!(!stream.status().writable);
        // The reader's progress is announced even so.
        let took = stream.read(ReadMode::Consume, &mut |(), bytes| Ok(Step::Last(bytes.len() / 2))).unwrap();
        assert!(took.room_opened);
        assert_eq!(put(&stream, &[1; 10]), Ok(10));
        pool.in_use.fetch_sub(PRESSURE, Ordering::Relaxed);
        assert_eq!(put(&stream, &[1; CHUNK]), Ok(CHUNK));
        stream.discard();
        assert_eq!(pool.in_use(), 0);
    }
}
