//! The messages that the sentry and the gofer exchange, and the sentry's side of the conversation.
//!
//! The protocol is a set of blocking calls over `SOCK_SEQPACKET` unix sockets: one message asks, one
//! message answers, host file descriptors travel beside the answer (`SCM_RIGHTS`). A connection
//! carries one call at a time; a client that wants concurrency opens more connections, and all
//! connections of a client see the same nodes. Files are named by [`NodeId`]s that a walk hands
//! out, never by paths, and `..` does not exist: the client keeps its own parents.
//!
//! Who trusts whom: the gofer believes nothing that arrives (its client may be a sentry that a
//! guest has taken over), so every decoder here is total: bounded, checked, free of panics. The
//! client decodes answers with the same functions.
//!
//! Reading order:
//! * [`name`]: what a path component may be.
//! * [`attr`]: what a file looks like and what is to change about it.
//! * [`types`]: ids, flags, results.
//! * [`message`]: every request, with the answer it gets. This is the protocol.
//! * [`wire`]: how values become bytes.
//! * [`transport`]: how bytes and descriptors cross the socket.
//! * [`client`]: the thread-safe client that the sentry's gofer file system is written on.
#![forbid(unsafe_code)]

pub mod attr;
pub mod client;
pub mod message;
pub mod name;
pub mod transport;
pub mod types;
pub mod wire;

pub use attr::{Attr, Dev, FileKind, MODE_BITS, NewFile, Owner, SetAttr, SetTime, Timestamp};
pub use client::Client;
pub use message::{Rename, Request};
pub use name::{LinkTarget, Name, XattrName};
pub use types::{
    DirBatch, DirEntry, DirWants, HandleId, NodeId, OpenFlags, Opened, RenameFlags, SocketType, Stats, Sync,
    Unlink, VolumeStat, Walk, WalkEnd, Walked, XattrFlags,
};

/// Most names in one walk; [`Client`] splits longer walks.
pub const MAX_WALK: usize = 32;
/// Most ids in one release message.
pub const MAX_RELEASE: usize = 512;
/// Longest value of an extended attribute, and longest list of their names (`XATTR_SIZE_MAX`,
/// `XATTR_LIST_MAX`, `include/uapi/linux/limits.h`).
pub const MAX_XATTR: usize = 64 << 10;
/// Most bytes of directory entries in one answer.
pub const MAX_DIR_BATCH: usize = 64 << 10;
/// Longest message, either way: the largest payload and its header.
pub const MAX_MESSAGE: usize = MAX_XATTR + 1024;
/// Longest answer of the calls that can donate a descriptor or return a walk.
pub const MAX_SMALL_REPLY: usize = 12 << 10;
