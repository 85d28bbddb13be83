//! Every request and what answers it.
//!
//! A request is its number (`u16`) and its fields. An answer is an errno (`u32`, 0 for success) and, if that
//! is 0, the value named after `->` below. A descriptor travels with an answer exactly where this says so.

use linux_abi::{Errno, Result};

use crate::{
    MAX_WALK, MAX_XATTR,
    attr::{FileKind, NewFile, Owner, SetAttr},
    name::{LinkTarget, Name, XattrName},
    types::{
        DirWants, HandleId, LinkText, Listed, NodeId, OpenFlags, RenameFlags, SocketType, Sync, Unlink,
        WalkEnd, Walked, XattrFlags,
    },
    wire::{Reader, Wire, Writer, wire_struct},
};

macro_rules! requests {
    ($($(#[$doc:meta])* $number:literal $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        /// A question to the gofer.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "the fields' types say what they are")]
        pub enum Request<'a> {
            $($(#[$doc])* $name { $($field: $type),* },)*
        }

        impl<'a> Request<'a> {
            /// Appends number and fields.
            pub fn encode(&self, out: &mut Writer<'_>) {
                match self {
                    $(Request::$name { $($field),* } => {
                        u16::put(&$number, out);
                        $($field.put(out);)*
                    })*
                }
            }

            /// Takes a whole message apart; what is not exactly one request is an error.
            pub fn decode(message: &'a [u8]) -> Result<Request<'a>> {
                let mut from = Reader::new(message);
                let request = match u16::get(&mut from)? {
                    $($number => Request::$name { $($field: Wire::get(&mut from)?),* },)*
                    _ => return Err(Errno::EPROTO),
                };
                from.finish()?;
                Ok(request)
            }
        }
    };
}

requests! {
    /// A reference to the root number `root` of the gofer's configuration. -> [`Walked`]
    1 Attach { root: u32 }
    /// Looks names up one below the other, without ever following a link, and opens the last file if it is a regular
    /// file or a directory and all were found. `TRUNC` is refused: nobody has checked permissions yet.
    /// -> [`WalkReply`] and perhaps a descriptor
    2 Walk { from: NodeId, names: Vec<Name<'a>>, open: Option<OpenFlags> }
    /// Walks without taking references: for revalidation. -> [`Stats`](crate::Stats)
    3 Stat { from: NodeId, names: Vec<Name<'a>> }
    /// Opens a file. -> [`OpenReply`] and perhaps a descriptor
    4 Open { node: NodeId, flags: OpenFlags }
    /// Makes a regular file, always exclusively, and opens it. -> [`Walked`] and a descriptor
    5 Create { dir: NodeId, name: Name<'a>, flags: OpenFlags, new: NewFile }
    /// -> [`Walked`], with the node that was asked for: it is no new reference
    6 GetAttr { node: NodeId }
    /// -> [`Attr`](crate::Attr), as it is afterwards
    7 SetAttr { node: NodeId, change: SetAttr }
    /// -> [`Walked`]
    8 Mkdir { dir: NodeId, name: Name<'a>, new: NewFile }
    /// -> [`Walked`]
    9 Symlink { dir: NodeId, name: Name<'a>, target: LinkTarget<'a>, owner: Owner }
    /// -> [`Walked`]
    10 Link { node: NodeId, dir: NodeId, name: Name<'a> }
    /// Makes a regular file, a fifo or a socket's name; devices are `EPERM`. -> [`Walked`]
    11 Mknod { dir: NodeId, name: Name<'a>, kind: FileKind, new: NewFile }
    /// -> nothing
    12 Unlink { dir: NodeId, name: Name<'a>, what: Unlink }
    /// -> nothing
    13 Rename { rename: Rename<'a> }
    /// Entries after `cookie`, 0 being the start. -> [`DirEntry`](crate::DirEntry)s, and behind them whether the directory ends there (`bool`)
    14 ReadDir { handle: HandleId, cookie: u64, wants: DirWants }
    /// -> [`LinkText`]
    15 ReadLink { node: NodeId }
    /// -> [`VolumeStat`](crate::VolumeStat)
    16 StatFs { node: NodeId }
    /// -> [`XattrValue`]
    17 GetXattr { node: NodeId, name: XattrName<'a> }
    /// -> nothing
    18 SetXattr { node: NodeId, name: XattrName<'a>, value: XattrValue<'a>, flags: XattrFlags }
    /// -> [`XattrValue`]: names, each with a NUL behind it
    19 ListXattr { node: NodeId }
    /// -> nothing
    20 RemoveXattr { node: NodeId, name: XattrName<'a> }
    /// -> nothing
    21 Fsync { node: NodeId, sync: Sync }
    /// fallocate(2) with its `mode` bits. -> nothing
    22 Fallocate { node: NodeId, mode: u32, offset: u64, len: u64 }
    /// Connects to a socket that a process of the host listens on. -> nothing, and a descriptor
    23 Connect { node: NodeId, kind: SocketType }
    /// Gives ids of nodes and handles back; unknown ones are ignored. No answer.
    24 Release { ids: Vec<u64> }
    /// Serve one more connection: the next message on this one brings it (any byte, one descriptor). -> nothing
    25 AddConnection {}
    /// Serve this connection on processor `cpu` from now on: there the client waits for its answers, and waking a thread of
    /// another processor takes several times as long (measured in a virtual machine: 60 µs against 5). No answer.
    26 Follow { cpu: u32 }
    /// From now on, reports changes of the files of root number `root` that the client has references to, as far as their
    /// file systems say (inotify(7)); to be asked for before [`Attach`](Request::Attach). -> nothing, and a descriptor: the queue
    27 Changes { root: u32 }
    /// The first entries of a directory without opening it, as [`ReadDir`](Request::ReadDir) answers for a handle. What does not
    /// fit is to be read through a handle.
    28 List { node: NodeId }
    /// Looks up entries of one directory and takes a reference to every file found; if `open`, opens those that are regular files
    /// for reading. What cannot be found or opened is left out: nobody needs it yet. -> a list of perhaps an [`EntryReply`] for
    /// each name, and the descriptors of what is `opened`, in order
    29 Entries { dir: NodeId, names: Vec<Name<'a>>, open: bool }
}

/// renameat2(2), and which of the client's nodes it moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rename<'a> {
    /// Directory of the old name.
    pub from_dir: NodeId,
    /// Old name.
    pub from_name: Name<'a>,
    /// Directory of the new name.
    pub to_dir: NodeId,
    /// New name.
    pub to_name: Name<'a>,
    /// How.
    pub flags: RenameFlags,
    /// The node of the old name, if the client has one: the gofer then finds it again at its new place.
    pub moved: Option<NodeId>,
    /// With `EXCHANGE`, the node of the new name likewise.
    pub exchanged: Option<NodeId>,
}

impl<'a> Wire<'a> for Rename<'a> {
    fn put(&self, out: &mut Writer<'_>) {
        self.from_dir.put(out);
        self.from_name.put(out);
        self.to_dir.put(out);
        self.to_name.put(out);
        self.flags.put(out);
        self.moved.put(out);
        self.exchanged.put(out);
    }
    fn get(from: &mut Reader<'a>) -> Result<Self> {
        Ok(Rename {
            from_dir: Wire::get(from)?,
            from_name: Wire::get(from)?,
            to_dir: Wire::get(from)?,
            to_name: Wire::get(from)?,
            flags: Wire::get(from)?,
            moved: Wire::get(from)?,
            exchanged: Wire::get(from)?,
        })
    }
}

/// The value of an extended attribute, or a list of names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XattrValue<'a>(pub &'a [u8]);

impl<'a> Wire<'a> for XattrValue<'a> {
    fn put(&self, out: &mut Writer<'_>) {
        out.bytes(self.0);
    }
    fn get(from: &mut Reader<'a>) -> Result<Self> {
        // setxattr(2): E2BIG for a value over XATTR_SIZE_MAX.
        let value = from.bytes(MAX_XATTR + 1)?;
        if value.len() > MAX_XATTR { Err(Errno::E2BIG) } else { Ok(XattrValue(value)) }
    }
}

/// What opening gave; the descriptor of `File` travels beside the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenReply {
    /// The message brings a descriptor.
    File,
    /// A directory to read.
    Directory(HandleId),
    /// Inside a [`WalkReply`] only: the walk succeeded, opening did not.
    Failed(Errno),
}

impl Wire<'_> for OpenReply {
    fn put(&self, out: &mut Writer<'_>) {
        match self {
            OpenReply::File => 0_u8.put(out),
            OpenReply::Directory(handle) => {
                1_u8.put(out);
                handle.put(out);
            }
            OpenReply::Failed(errno) => {
                2_u8.put(out);
                errno.put(out);
            }
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self> {
        match u8::get(from)? {
            0 => Ok(OpenReply::File),
            1 => HandleId::get(from).map(OpenReply::Directory),
            2 => Errno::get(from).map(OpenReply::Failed),
            _ => Err(Errno::EPROTO),
        }
    }
}

/// What one of several names means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryReply {
    /// The file.
    pub walked: Walked,
    /// The message brings a descriptor.
    pub opened: bool,
}
wire_struct!(EntryReply { walked, opened });

impl Listed for Option<EntryReply> {
    const MAX: usize = MAX_WALK;
}

/// The wire form of [`Walk`](crate::Walk).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WalkReply {
    /// Files found.
    pub found: Vec<Walked>,
    /// Why no more.
    pub end: WalkEnd,
    /// Target of the last, if it is a link.
    pub link: Option<LinkText>,
    /// Result of opening the last.
    pub opened: Option<OpenReply>,
}
wire_struct!(WalkReply { found, end, link, opened });

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
