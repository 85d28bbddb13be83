//! Addresses of unix sockets (unix(7)): a path, an abstract name, or none.

use linux_abi::{Errno, Result, socket::AF_UNIX};

use crate::net::address::{SocketAddress, family};

/// `sizeof(sun_path)`.
const PATH_MAX: usize = 108;

/// What a unix socket can be bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixAddress {
    /// A name in the file tree, as it was given to bind(2).
    Path(Box<[u8]>),
    /// A name in the abstract namespace, without its leading NUL.
    Abstract(Box<[u8]>),
}

/// What a guest passed as an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A name.
    Named(UnixAddress),
    /// Only the family: bind(2) chooses a name.
    Unnamed,
}

impl UnixAddress {
    /// Decodes a `struct sockaddr_un` (`unix_validate_addr`, `unix_mkname_bsd`).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn decode(bytes: &[u8]) -> Result<Target> {
        if family(bytes) != Some(AF_UNIX) || bytes.len() > PATH_MAX + 2 {
            return Err(Errno::EINVAL);
        }
        let name = bytes.get(2..).unwrap_or_default();
        Ok(match name.split_first() {
            None => Target::Unnamed,
            Some((0, name)) => Target::Named(UnixAddress::Abstract(name.into())),
            Some(_) => {
                let path = name.split(|&byte| byte == 0).next().unwrap_or_default();
                Target::Named(UnixAddress::Path(path.into()))
            }
        })
    }

    /// As getsockname(2) gives it.
    pub fn encode(&self) -> SocketAddress {
        let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
        match self {
            UnixAddress::Path(path) => {
                bytes.extend_from_slice(path);
                bytes.push(0);
            }
            UnixAddress::Abstract(name) => {
                bytes.push(0);
                bytes.extend_from_slice(name);
            }
        }
        SocketAddress::new(&bytes)
    }

    /// The address of a socket that may have none.
    pub fn encode_or_unnamed(address: Option<&UnixAddress>) -> SocketAddress {
        address.map_or_else(|| SocketAddress::new(&AF_UNIX.to_ne_bytes()), UnixAddress::encode)
    }

    /// As in /proc/net/unix.
    pub fn display(&self) -> String {
        match self {
            UnixAddress::Path(path) => String::from_utf8_lossy(path).into_owned(),
            UnixAddress::Abstract(name) => format!("@{}", String::from_utf8_lossy(name).replace('\0', "@")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_decide_what_an_address_is() {
        assert_eq!(UnixAddress::decode(&[1, 0]), Ok(Target::Unnamed));
        assert_eq!(UnixAddress::decode(&[2, 0]), Err(Errno::EINVAL));
        assert_eq!(UnixAddress::decode(&[1]), Err(Errno::EINVAL));
        assert_eq!(UnixAddress::decode(&[1; 111]), Err(Errno::EINVAL));
        let path = Target::Named(UnixAddress::Path((*b"ab").into()));
        assert_eq!(UnixAddress::decode(b"\x01\0ab"), Ok(path.clone()));
        assert_eq!(UnixAddress::decode(b"\x01\0ab\0junk"), Ok(path));
        let name = Target::Named(UnixAddress::Abstract((*b"a\0").into()));
        assert_eq!(UnixAddress::decode(b"\x01\0\0a\0"), Ok(name));
        let empty = Target::Named(UnixAddress::Abstract((*b"").into()));
        assert_eq!(UnixAddress::decode(b"\x01\0\0"), Ok(empty));
    }
}
