//! Typed access to the guest memory of the running thread.
//!
//! Every function copies: there are no references into guest memory. A value is read once, and the copy is what is
//! validated.

use linux_abi::{Errno, Result, UserAddr};
use platform::Context;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::ThreadCx;
use crate::fs::io::Segment;

pub use linux_abi::mount::PATH_MAX;

/// `IOV_MAX` / `UIO_MAXIOV`.
pub const IOV_MAX: usize = 1024;
/// The most one read or write moves (`MAX_RW_COUNT`).
pub const MAX_RW_COUNT: usize = 0x7fff_f000;

/// Typed copies from and to guest memory.
pub trait UserMemory {
    /// Copies exactly `into.len()` bytes in.
    ///
    /// # Errors
    /// `EFAULT`.
    fn read_bytes(&mut self, at: UserAddr, into: &mut [u8]) -> Result<()>;

    /// Copies bytes out.
    ///
    /// # Errors
    /// `EFAULT`.
    fn write_bytes(&mut self, at: UserAddr, from: &[u8]) -> Result<()>;

    /// How many bytes at `at` can be read, up to `into.len()`.
    fn read_partial(&mut self, at: UserAddr, into: &mut [u8]) -> usize;

    /// Whether an empty string is known to be there. `false`: look.
    fn is_empty_string(&mut self, at: UserAddr) -> bool;

    /// Copies a value in.
    ///
    /// # Errors
    /// `EFAULT`.
    fn read_obj<T: FromBytes + IntoBytes + FromZeros>(&mut self, at: UserAddr) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read_bytes(at, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies a value out.
    ///
    /// # Errors
    /// `EFAULT`.
    fn write_obj<T: IntoBytes + Immutable>(&mut self, at: UserAddr, value: &T) -> Result<()> {
        self.write_bytes(at, value.as_bytes())
    }

    /// Copies `count` values in. The caller has bounded `count`.
    ///
    /// # Errors
    /// `EFAULT`.
    fn read_array<T: FromBytes + IntoBytes + FromZeros>(
        &mut self,
        at: UserAddr,
        count: usize,
    ) -> Result<Vec<T>> {
        let mut values = T::new_vec_zeroed(count).map_err(|_| Errno::ENOMEM)?;
        let bytes = values.as_mut_slice().as_mut_bytes();
        if !bytes.is_empty() {
            self.read_bytes(at, bytes)?;
        }
        Ok(values)
    }

    /// A NUL-terminated string of at most `max` bytes, terminator included.
    ///
    /// # Errors
    /// `EFAULT`; `ENAMETOOLONG` if there is no NUL within `max`.
    fn read_cstring(&mut self, at: UserAddr, max: usize) -> Result<Vec<u8>> {
        let mut string = Vec::new();
        if self.is_empty_string(at) {
            return Ok(string);
        }
        while string.len() < max {
            let from = at.checked_add(string.len() as u64).ok_or(Errno::EFAULT)?;
            // Not past the page: the next one may not be there, and need not be.
            let in_page = usize::try_from(linux_abi::PAGE_SIZE - from.0 % linux_abi::PAGE_SIZE).unwrap_or(1);
            let mut chunk = [0; 256];
            let want = in_page.min(chunk.len()).min(max - string.len());
            let got = self.read_partial(from, chunk.get_mut(..want).unwrap_or_default());
            let chunk = chunk.get(..got).unwrap_or_default();
            if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
                string.extend_from_slice(chunk.get(..end).unwrap_or_default());
                return Ok(string);
            }
            if got < want {
                return Err(Errno::EFAULT);
            }
            string.extend_from_slice(chunk);
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// A path argument.
    ///
    /// # Errors
    /// `EFAULT`, `ENAMETOOLONG`.
    fn read_path(&mut self, at: UserAddr) -> Result<Vec<u8>> {
        self.read_cstring(at, PATH_MAX)
    }

    /// An `iovec` array. Lengths are cut so that their sum stays within [`MAX_RW_COUNT`].
    ///
    /// # Errors
    /// `EINVAL` for a bad count or a length above `SSIZE_MAX`; `EFAULT`.
    fn read_iovec(&mut self, at: UserAddr, count: usize) -> Result<Vec<Segment>> {
        if count > IOV_MAX {
            return Err(Errno::EINVAL);
        }
        let raw: Vec<[u64; 2]> = self.read_array(at, count)?;
        let mut left = MAX_RW_COUNT;
        let mut segments = Vec::with_capacity(raw.len());
        for [addr, len] in raw {
            if i64::try_from(len).is_err() {
                return Err(Errno::EINVAL);
            }
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(left);
            left -= len;
            segments.push(Segment { addr: UserAddr(addr), len });
        }
        Ok(segments)
    }
}

impl UserMemory for dyn Context {
    fn read_bytes(&mut self, at: UserAddr, into: &mut [u8]) -> Result<()> {
        self.read(at, into).map_err(|_| Errno::EFAULT)
    }

    fn write_bytes(&mut self, at: UserAddr, from: &[u8]) -> Result<()> {
        self.write(at, from).map_err(|_| Errno::EFAULT)
    }

    fn read_partial(&mut self, at: UserAddr, into: &mut [u8]) -> usize {
        match self.read(at, into) {
            Ok(()) => into.len(),
            Err(fault) => fault.done.min(into.len()),
        }
    }

    fn is_empty_string(&mut self, at: UserAddr) -> bool {
        Context::is_empty_string(self, at)
    }
}

impl UserMemory for ThreadCx {
    fn read_bytes(&mut self, at: UserAddr, into: &mut [u8]) -> Result<()> {
        self.context.as_mut().read_bytes(at, into)
    }

    fn write_bytes(&mut self, at: UserAddr, from: &[u8]) -> Result<()> {
        self.context.as_mut().write_bytes(at, from)
    }

    fn read_partial(&mut self, at: UserAddr, into: &mut [u8]) -> usize {
        self.context.as_mut().read_partial(at, into)
    }

    fn is_empty_string(&mut self, at: UserAddr) -> bool {
        self.context.is_empty_string(at)
    }
}
