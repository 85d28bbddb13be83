//! How values become bytes: little-endian, in field order, lists and strings with their length in front.
//!
//! [`Reader`] never reads past its input and never allocates more than the input justifies;
//! [`Writer`] never grows past its limit. A value that cannot be decoded is `EPROTO`, unless its
//! type has a better errno for what is wrong with it (a name that is too long, say).

use linux_abi::{Errno, Result};

/// A value with a wire form.
pub trait Wire<'a>: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Writer<'_>);
    /// Takes the value off the front of `from`.
    fn get(from: &mut Reader<'a>) -> Result<Self>;
}

/// A message being taken apart.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `message`.
    pub fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { rest: message }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Errno::EPROTO)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Errno::EPROTO)?;
        self.rest = tail;
        Ok(*head)
    }

    /// A byte string of at most `max` bytes (`EPROTO` if it says that it is longer).
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8]> {
        let len = usize::try_from(u32::get(self)?).map_err(|_| Errno::EPROTO)?;
        if len > max {
            return Err(Errno::EPROTO);
        }
        self.take(len)
    }

    /// A list of at most `max` values.
    pub fn list<T: Wire<'a>>(&mut self, max: usize) -> Result<Vec<T>> {
        let len = usize::from(u16::get(self)?);
        // Every value is at least one byte: a length that the message cannot hold allocates nothing.
        if len > max || len > self.rest.len() {
            return Err(Errno::EPROTO);
        }
        (0..len).map(|_| T::get(self)).collect()
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The end of the message: bytes left over mean that the two sides disagree.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Errno::EPROTO) }
    }
}

/// A message being put together in a buffer that is reused from message to message.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
    limit: usize,
    overflowed: bool,
}

impl<'b> Writer<'b> {
    /// Starts an empty message of at most `limit` bytes.
    pub fn new(out: &'b mut Vec<u8>, limit: usize) -> Writer<'b> {
        out.clear();
        Writer { out, limit, overflowed: false }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        if self.overflowed || bytes.len() > self.limit.saturating_sub(self.out.len()) {
            self.overflowed = true;
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Appends a byte string with its length in front.
    pub fn bytes(&mut self, bytes: &[u8]) {
        match u32::try_from(bytes.len()) {
            Ok(len) => {
                len.put(self);
                self.raw(bytes);
            }
            Err(_) => self.overflowed = true,
        }
    }

    /// Appends a list with its length in front.
    pub fn list<'a, T: Wire<'a>>(&mut self, items: &[T]) {
        match u16::try_from(items.len()) {
            Ok(len) => {
                len.put(self);
                items.iter().for_each(|item| item.put(self));
            }
            Err(_) => self.overflowed = true,
        }
    }

    /// How long the message is: a place to [`rewind`](Writer::rewind) to.
    pub fn mark(&self) -> usize {
        self.out.len()
    }

    /// Forgets everything after `mark`, an overflow included.
    pub fn rewind(&mut self, mark: usize) {
        self.out.truncate(mark);
        self.overflowed = false;
    }

    /// Whether something did not fit since the last rewind.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The finished message, or `EMSGSIZE` if it did not fit.
    pub fn finish(self) -> Result<&'b [u8]> {
        if self.overflowed { Err(Errno::EMSGSIZE) } else { Ok(self.out) }
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl Wire<'_> for $int {
            fn put(&self, out: &mut Writer<'_>) {
                out.raw(&self.to_le_bytes());
            }
            fn get(from: &mut Reader<'_>) -> Result<Self> {
                from.array().map(<$int>::from_le_bytes)
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 i64);

impl Wire<'_> for bool {
    fn put(&self, out: &mut Writer<'_>) {
        u8::from(*self).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Errno::EPROTO),
        }
    }
}

/// The answer of a call that only succeeds or fails.
impl Wire<'_> for () {
    fn put(&self, _out: &mut Writer<'_>) {}
    fn get(_from: &mut Reader<'_>) -> Result<Self> {
        Ok(())
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    fn put(&self, out: &mut Writer<'_>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(from: &mut Reader<'a>) -> Result<Self> {
        if bool::get(from)? { T::get(from).map(Some) } else { Ok(None) }
    }
}

impl Wire<'_> for Errno {
    fn put(&self, out: &mut Writer<'_>) {
        // Errno values are 1..=4095.
        self.raw().cast_unsigned().put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        let raw = u32::get(from)?;
        i32::try_from(raw).map(Errno::from_raw).map_err(|_| Errno::EPROTO)
    }
}

/// Derives [`Wire`] for a plain structure: its fields, in the order given.
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::wire::Wire<'_> for $name {
            fn put(&self, out: &mut $crate::wire::Writer<'_>) {
                $($crate::wire::Wire::put(&self.$field, out);)*
            }
            fn get(from: &mut $crate::wire::Reader<'_>) -> linux_abi::Result<Self> {
                Ok($name { $($field: $crate::wire::Wire::get(from)?),* })
            }
        }
    };
}

/// Derives [`Wire`] for a field-less enum with a `u8` number per variant.
macro_rules! wire_enum {
    ($name:ident { $($variant:ident = $number:literal),* $(,)? }) => {
        impl $crate::wire::Wire<'_> for $name {
            fn put(&self, out: &mut $crate::wire::Writer<'_>) {
                let number: u8 = match self { $($name::$variant => $number),* };
                number.put(out);
            }
            fn get(from: &mut $crate::wire::Reader<'_>) -> linux_abi::Result<Self> {
                match u8::get(from)? {
                    $($number => Ok($name::$variant),)*
                    _ => Err(linux_abi::Errno::EPROTO),
                }
            }
        }
    };
}

/// Derives [`Wire`] for a `u32` bitflags type; unknown bits are `EINVAL`, as in most system calls.
macro_rules! wire_flags {
    ($name:ident) => {
        impl $crate::wire::Wire<'_> for $name {
            fn put(&self, out: &mut $crate::wire::Writer<'_>) {
                self.bits().put(out);
            }
            fn get(from: &mut $crate::wire::Reader<'_>) -> linux_abi::Result<Self> {
                $name::from_bits(u32::get(from)?).ok_or(linux_abi::Errno::EINVAL)
            }
        }
    };
}

pub(crate) use {wire_enum, wire_flags, wire_struct};
