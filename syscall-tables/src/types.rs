//! What an argument of a system call is: enough to dispatch it, to copy what it points at, and to print it.
//!
//! The vocabulary of the tables, with the Rust type that a handler receives (see [`rust_type!`](crate::rust_type)):
//!
//! | In the table | Rust | Meaning |
//! |---|---|---|
//! | `i32` `u32` `i64` `u64` `usize` | itself | a number |
//! | `Hex` / `Hex32` | `u64` / `u32` | a number that is best read in hexadecimal |
//! | `Fd` `DirFd` | `i32` | a file descriptor; `DirFd` may be `AT_FDCWD` |
//! | `Pid` `SigNo` `Key` | `i32` | a process or thread, a signal, a System V key |
//! | `Uid` `Gid` `Mode` `Dev` | `u32` | a user, a group, permission bits, a device number |
//! | `Enum(X)` / `Cmd(X)` | `i32` / `u32` | one of the values of set `X` |
//! | `Flags(X)` / `Flags64(X)` | `u32` / `u64` | flags of set `X` |
//! | `SockOpt(level)` | `i32` | a socket option of the level in argument `level` |
//! | `CmdArg` | `u64` | a word whose meaning depends on the command before it |
//! | `Addr` | `UserAddr` | an address that is not read or written through |
//! | `Ptr` | `UserAddr` | a pointer to something this table does not describe |
//! | `Path` `CStr` | `UserAddr` | a NUL-terminated path, or other string |
//! | `Argv` `Envp` | `UserAddr` | a null-terminated array of strings |
//! | `InBuf(n)` `OutBuf(n)` | `UserAddr` | as many bytes as argument `n` says |
//! | `OutCStr(n)` `OutDirents(n)` | `UserAddr` | the same, known to hold a string or directory entries |
//! | `InStruct(S)` `OutStruct(S)` `InOutStruct(S)` | `UserAddr` | one structure `S` |
//! | `InSized(S, n)` | `UserAddr` | an extensible structure, its size in argument `n` |
//! | `InArray(S, n)` `OutArray(S, n)` `InOutArray(S, n)` | `UserAddr` | as many structures as argument `n` says |
//! | `InIoVec(n)` `OutIoVec(n)` | `UserAddr` | `n` iovecs, whose buffers are read or written by the call |
//! | `InSockAddr(n)` `OutSockAddr(p)` | `UserAddr` | a socket address; its size is argument `n`, or where `p` points |
//! | `InOpt(n)` `OutOpt(p)` | `UserAddr` | a socket option's value, sized likewise |
//! | `InCpuSet(n)` `OutCpuSet(n)` | `UserAddr` | a set of processors of `n` bytes |
//! | `FdSet(n)` | `UserAddr` | an `fd_set` of `n` descriptors, read and written |
//!
//! `In` is what the kernel reads, `Out` what it writes. Every pointer may be null or wild.

use crate::structs::Struct;

/// The position of an argument in its row.
pub type ArgIndex = u8;

/// An argument's type. The variants are those of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the module's table documents them in one place")]
pub enum ArgType {
    I32,
    U32,
    I64,
    U64,
    Usize,
    Hex,
    Hex32,
    Fd,
    DirFd,
    Pid,
    SigNo,
    Key,
    Uid,
    Gid,
    Mode,
    Dev,
    Enum(Set),
    Cmd(Set),
    Flags(Set),
    Flags64(Set),
    SockOpt(ArgIndex),
    CmdArg,
    Addr,
    Ptr,
    Path,
    CStr,
    Argv,
    Envp,
    InBuf(ArgIndex),
    OutBuf(ArgIndex),
    OutCStr(ArgIndex),
    OutDirents(ArgIndex),
    InStruct(Struct),
    OutStruct(Struct),
    InOutStruct(Struct),
    InSized(Struct, ArgIndex),
    InArray(Struct, ArgIndex),
    OutArray(Struct, ArgIndex),
    InOutArray(Struct, ArgIndex),
    InIoVec(ArgIndex),
    OutIoVec(ArgIndex),
    InSockAddr(ArgIndex),
    OutSockAddr(ArgIndex),
    InOpt(ArgIndex),
    OutOpt(ArgIndex),
    InCpuSet(ArgIndex),
    OutCpuSet(ArgIndex),
    FdSet(ArgIndex),
}

/// A named set of constants that flags, commands and enumerations are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the call or the prefix whose constants it holds")]
pub enum Set {
    Access,
    ArchPrctl,
    At,
    AtAccess,
    AtRemove,
    Clock,
    Clone,
    CloseRange,
    EpollCreate,
    EpollOp,
    EventFd,
    Fadvise,
    Falloc,
    Family,
    Fcntl,
    Flock,
    Futex,
    Futex2,
    GetRandom,
    IdType,
    Inotify,
    InotifyInit,
    Ioctl,
    Ipc,
    IpcCmd,
    Itimer,
    Kcmp,
    Madvise,
    Map,
    Membarrier,
    Memfd,
    Mlock2,
    Mlockall,
    Mount,
    Mremap,
    Msg,
    MsgQueue,
    Msync,
    Open,
    OpenExtra,
    Personality,
    PidfdOpen,
    Prctl,
    PrioWhich,
    Prot,
    Ptrace,
    Rename,
    Rlimit,
    Rseq,
    RusageWho,
    Rwf,
    Sched,
    Seccomp,
    SemCmd,
    Shmat,
    Shut,
    SigHow,
    SignalFd,
    SockFlags,
    SockLevel,
    SockType,
    Splice,
    Statx,
    SyncFileRange,
    Syslog,
    Timer,
    TimerFd,
    TimerFdSet,
    Umount,
    Wait,
    Whence,
    Xattr,
}

/// The Rust type in which a handler receives an argument of the given table type.
///
/// This is all a dispatcher needs, together with the rows:
///
/// ```
/// struct Context;
/// trait FromArg { fn from_arg(word: u64) -> Self; }
/// impl FromArg for i32 { fn from_arg(word: u64) -> i32 { word as i32 } }
/// # impl FromArg for u32 { fn from_arg(word: u64) -> u32 { word as u32 } }
/// # impl FromArg for usize { fn from_arg(word: u64) -> usize { word as usize } }
/// # impl FromArg for syscall_tables::UserAddr { fn from_arg(word: u64) -> Self { syscall_tables::UserAddr(word) } }
/// mod handlers {
///     pub fn close(_: &mut super::Context, fd: i32) -> i64 { i64::from(fd) }
/// }
///
/// macro_rules! answer {
///     // A handler that is missing, or takes something else, is a compile error here.
///     (full $(,)? $cx:ident, $words:ident, $name:ident, $($arg:ident: $ty:ident),*) => {{
///         let mut words = $words.into_iter();
///         $(let $arg: syscall_tables::rust_type!($ty) = FromArg::from_arg(words.next().unwrap_or(0));)*
///         handlers::$name($cx, $($arg),*)
///     }};
///     (partial, $($rest:tt)*) => { answer!(full, $($rest)*) };
///     ($level:ident($errno:ident), $($rest:tt)*) => { -i64::from(linux_abi::Errno::$errno.raw()) };
/// }
/// macro_rules! dispatcher {
///     ($($nr:literal $name:ident ($($arg:ident: $ty:ident $(($($of:tt)*))?),*)
///         => $level:ident $(($errno:ident))? $($note:literal)?;)*) => {
///         fn dispatch(cx: &mut Context, nr: u64, words: [u64; 6]) -> i64 {
///             match nr {
///                 $($nr => answer!($level $(($errno))?, cx, words, $name, $($arg: $ty),*),)*
///                 _ => -i64::from(linux_abi::Errno::ENOSYS.raw()),
///             }
///         }
///     };
/// }
/// dispatcher! {
///     3   close     (fd: Fd)                                 => full;
///     321 bpf       (cmd: i32, attr: Ptr, size: u32)         => never(EPERM) "no BPF virtual machine";
/// }
/// fn main() {
///     assert_eq!(dispatch(&mut Context, 3, [7, 0, 0, 0, 0, 0]), 7);
///     assert_eq!(dispatch(&mut Context, 321, [0; 6]), -1);
/// }
/// ```
#[macro_export]
macro_rules! rust_type {
    (i32) => {
        i32
    };
    (u32) => {
        u32
    };
    (i64) => {
        i64
    };
    (u64) => {
        u64
    };
    (usize) => {
        usize
    };
    (Hex) => {
        u64
    };
    (Hex32) => {
        u32
    };
    (Fd) => {
        i32
    };
    (DirFd) => {
        i32
    };
    (Pid) => {
        i32
    };
    (SigNo) => {
        i32
    };
    (Key) => {
        i32
    };
    (Uid) => {
        u32
    };
    (Gid) => {
        u32
    };
    (Mode) => {
        u32
    };
    (Dev) => {
        u32
    };
    (Enum) => {
        i32
    };
    (Cmd) => {
        u32
    };
    (Flags) => {
        u32
    };
    (Flags64) => {
        u64
    };
    (SockOpt) => {
        i32
    };
    (CmdArg) => {
        u64
    };
    // Pointers. Named one by one, so that a type misspelt in the table does not pass for one.
    (Addr) => {
        $crate::UserAddr
    };
    (Ptr) => {
        $crate::UserAddr
    };
    (Path) => {
        $crate::UserAddr
    };
    (CStr) => {
        $crate::UserAddr
    };
    (Argv) => {
        $crate::UserAddr
    };
    (Envp) => {
        $crate::UserAddr
    };
    (InBuf) => {
        $crate::UserAddr
    };
    (OutBuf) => {
        $crate::UserAddr
    };
    (OutCStr) => {
        $crate::UserAddr
    };
    (OutDirents) => {
        $crate::UserAddr
    };
    (InStruct) => {
        $crate::UserAddr
    };
    (OutStruct) => {
        $crate::UserAddr
    };
    (InOutStruct) => {
        $crate::UserAddr
    };
    (InSized) => {
        $crate::UserAddr
    };
    (InArray) => {
        $crate::UserAddr
    };
    (OutArray) => {
        $crate::UserAddr
    };
    (InOutArray) => {
        $crate::UserAddr
    };
    (InIoVec) => {
        $crate::UserAddr
    };
    (OutIoVec) => {
        $crate::UserAddr
    };
    (InSockAddr) => {
        $crate::UserAddr
    };
    (OutSockAddr) => {
        $crate::UserAddr
    };
    (InOpt) => {
        $crate::UserAddr
    };
    (OutOpt) => {
        $crate::UserAddr
    };
    (InCpuSet) => {
        $crate::UserAddr
    };
    (OutCpuSet) => {
        $crate::UserAddr
    };
    (FdSet) => {
        $crate::UserAddr
    };
}

/// The [`ArgType`] that a table's spelling denotes. `$names` are the names of the row's arguments.
macro_rules! arg_type {
    ($names:expr, i32) => {
        ArgType::I32
    };
    ($names:expr, u32) => {
        ArgType::U32
    };
    ($names:expr, i64) => {
        ArgType::I64
    };
    ($names:expr, u64) => {
        ArgType::U64
    };
    ($names:expr, usize) => {
        ArgType::Usize
    };
    ($names:expr, Enum($set:ident)) => {
        ArgType::Enum(Set::$set)
    };
    ($names:expr, Cmd($set:ident)) => {
        ArgType::Cmd(Set::$set)
    };
    ($names:expr, Flags($set:ident)) => {
        ArgType::Flags(Set::$set)
    };
    ($names:expr, Flags64($set:ident)) => {
        ArgType::Flags64(Set::$set)
    };
    ($names:expr, InStruct($of:ident)) => {
        ArgType::InStruct(Struct::$of)
    };
    ($names:expr, OutStruct($of:ident)) => {
        ArgType::OutStruct(Struct::$of)
    };
    ($names:expr, InOutStruct($of:ident)) => {
        ArgType::InOutStruct(Struct::$of)
    };
    ($names:expr, $kind:ident($of:ident, $count:ident)) => {
        ArgType::$kind(Struct::$of, $crate::types::position($names, stringify!($count)))
    };
    ($names:expr, $kind:ident($count:ident)) => {
        ArgType::$kind($crate::types::position($names, stringify!($count)))
    };
    ($names:expr, $plain:ident) => {
        ArgType::$plain
    };
}
pub(crate) use arg_type;

/// Where `name` is among `names`. Evaluated while compiling: a row that names an argument it lacks does not build.
pub(crate) const fn position(names: &[&str], name: &str) -> ArgIndex {
    let mut at = 0;
    while at < names.len() && !same(names[at].as_bytes(), name.as_bytes()) {
        at += 1;
    }
    assert!(at < names.len(), "a row refers to an argument that it does not have");
    #[expect(clippy::cast_possible_truncation, reason = "a call has at most six arguments")]
    let position = at as ArgIndex;
    position
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}
