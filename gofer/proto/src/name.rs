//! Names that are safe to hand to the host kernel, as types.
//!
//! Holding a [`Name`] proves: 1..=255 bytes, no `/`, no NUL, neither `.` nor `..`. It can therefore
//! only ever mean an entry of the directory it is looked up in. The checks run where names are
//! decoded, so nothing behind the decoder can forget them.

use linux_abi::{Errno, Result};

use crate::wire::{Reader, Wire, Writer};

/// Longest path component (`NAME_MAX`, `include/uapi/linux/limits.h`).
pub const NAME_MAX: usize = 255;
/// Longest symbolic link: `PATH_MAX` less its NUL.
pub const LINK_MAX: usize = 4095;
/// Longest name of an extended attribute (`XATTR_NAME_MAX`).
pub const XATTR_NAME_MAX: usize = 255;

/// One component of a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks a name: `ENAMETOOLONG` over 255 bytes, `EINVAL` if it is no name of an entry.
    pub fn new(bytes: &'a [u8]) -> Result<Name<'a>> {
        if bytes.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|&b| b == b'/' || b == 0) {
            return Err(Errno::EINVAL);
        }
        Ok(Name(bytes))
    }

    /// The bytes of the name.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// What a symbolic link says: 1..=4095 bytes without NUL. Nobody but the guest's kernel interprets it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkTarget<'a>(&'a [u8]);

impl<'a> LinkTarget<'a> {
    /// Checks a target: `ENOENT` if empty and `ENAMETOOLONG` if too long, as symlink(2).
    pub fn new(bytes: &'a [u8]) -> Result<LinkTarget<'a>> {
        match bytes.len() {
            0 => Err(Errno::ENOENT),
            1..=LINK_MAX if bytes.contains(&0) => Err(Errno::EINVAL),
            1..=LINK_MAX => Ok(LinkTarget(bytes)),
            _ => Err(Errno::ENAMETOOLONG),
        }
    }

    /// The bytes of the target.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// The name of an extended attribute, prefix included (`user.mime_type`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct XattrName<'a>(&'a [u8]);

impl<'a> XattrName<'a> {
    /// Checks a name: `ERANGE` if empty or too long, as setxattr(2).
    pub fn new(bytes: &'a [u8]) -> Result<XattrName<'a>> {
        match bytes.len() {
            1..=XATTR_NAME_MAX if bytes.contains(&0) => Err(Errno::EINVAL),
            1..=XATTR_NAME_MAX => Ok(XattrName(bytes)),
            _ => Err(Errno::ERANGE),
        }
    }

    /// The bytes of the name.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

macro_rules! checked_bytes {
    ($name:ident, $max:expr) => {
        impl<'a> Wire<'a> for $name<'a> {
            fn put(&self, out: &mut Writer<'_>) {
                out.bytes(self.0);
            }
            fn get(from: &mut Reader<'a>) -> Result<Self> {
                // One byte more than allowed is let through so that the type's own errno answers it.
                $name::new(from.bytes($max + 1)?)
            }
        }

        impl core::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "\"{}\"", self.0.escape_ascii())
            }
        }
    };
}
checked_bytes!(Name, NAME_MAX);
checked_bytes!(LinkTarget, LINK_MAX);
checked_bytes!(XattrName, XATTR_NAME_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_directory() {
        for bad in [&b""[..], b".", b"..", b"/", b"a/b", b"/etc", b"a/", b"a\0", b"\0"] {
            assert_eq!(Name::new(bad), Err(Errno::EINVAL), "{bad:?}");
        }
        assert_eq!(Name::new(&[b'a'; 256]), Err(Errno::ENAMETOOLONG));
        for good in [&b"a"[..], b"...", b".a", b"..a", b"a b", b"\xff\xfe", &[b'a'; 255]] {
            assert_eq!(Name::new(good).map(Name::as_bytes), Ok(good));
        }
    }

    #[test]
    fn targets_and_xattr_names() {
        assert_eq!(LinkTarget::new(b""), Err(Errno::ENOENT));
        assert_eq!(LinkTarget::new(&[b'a'; 4096]), Err(Errno::ENAMETOOLONG));
        assert!(LinkTarget::new(&[b'/'; 4095]).is_ok());
        assert_eq!(LinkTarget::new(b"a\0b"), Err(Errno::EINVAL));
        assert_eq!(XattrName::new(b""), Err(Errno::ERANGE));
        assert_eq!(XattrName::new(&[b'a'; 256]), Err(Errno::ERANGE));
        assert!(XattrName::new(b"user.a").is_ok());
    }
}
