//! System calls: from a number and six words to a handler.
//!
//! The rows of the `syscall-tables` crate say which calls there are and what their arguments mean; a row that claims support
//! and has no handler does not compile. One file per family of the manual; a handler decodes, finds the object, calls it and
//! copies out.

mod handlers;

pub mod access;
pub mod aio;
pub mod chmod;
pub mod close;
pub mod credentials;
pub mod directory;
pub mod dup;
pub mod epoll;
pub mod eventfd;
pub mod fcntl;
pub mod flock;
pub mod futex;
pub mod futex2;
mod futex_pi;
pub mod getdents;
pub mod identity;
pub mod inotify;
pub mod ioctl;
pub mod kcmp;
pub mod keyctl;
pub mod legacy;
pub mod link;
pub mod lseek;
pub mod membarrier;
pub mod memfd;
pub mod memory;
pub mod mknod;
pub mod mount;
pub mod mqueue;
pub mod msg;
pub mod numa;
pub mod open;
pub mod pidfd;
pub mod pipe;
pub mod poll;
pub mod prctl;
pub mod process;
pub mod process_memory;
pub mod ptrace;
pub mod read_write;
pub mod resource;
pub mod rseq;
pub mod sched;
pub mod seccomp;
pub mod sem;
pub mod sendfile;
pub mod shm;
pub mod signal;
pub mod signalfd;
pub mod socket;
pub mod socket_message;
pub mod socket_option;
pub mod splice;
pub mod stat;
pub mod sync;
mod target;
mod temporary_mask;
#[cfg(test)]
mod tests;
pub mod time;
mod timeout;
pub mod timers;
pub mod truncate;
pub mod utime;
pub mod xattr;
pub mod xattrat;

use linux_abi::{Errno, UserAddr};

use crate::{
    error::{IntoOutcome, Outcome, SysResult},
    task::{RestartBlock, ThreadCx},
};

/// What a register word becomes as an argument. Infallible: it is an allegation, checked by the handler in Linux's order.
trait FromArg {
    fn from_arg(word: u64) -> Self;
}

macro_rules! truncating {
    ($($t:ty),*) => {$(
        impl FromArg for $t {
            #[expect(clippy::allow_attributes, reason = "which casts lose bits depends on the type")]
            #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "registers are cut to the argument's type")]
            fn from_arg(word: u64) -> $t {
                word as $t
            }
        }
    )*};
}
truncating!(i32, u32, i64, u64, usize);

impl FromArg for UserAddr {
    fn from_arg(word: u64) -> UserAddr {
        UserAddr(word)
    }
}

macro_rules! answer {
    (full, $cx:ident, $words:ident, $name:ident,) => {
        handlers::$name($cx).into_outcome()
    };
    (full, $cx:ident, $words:ident, $name:ident, $($arg:ident: $ty:ident),*) => {{
        let mut words = $words.into_iter();
        $(let $arg: syscall_tables::rust_type!($ty) = FromArg::from_arg(words.next().unwrap_or(0));)*
        handlers::$name($cx, $($arg),*).into_outcome()
    }};
    (partial, $($rest:tt)*) => { answer!(full, $($rest)*) };
    (not_yet($errno:ident), $cx:ident, $words:ident, $name:ident, $($rest:tt)*) => {{
        $cx.task.kernel.unimplemented.note(stringify!($name));
        Outcome::Fail(Errno::$errno)
    }};
    (never($errno:ident), $($rest:tt)*) => { Outcome::Fail(Errno::$errno) };
}

macro_rules! dispatcher {
    ($($nr:literal $name:ident ($($arg:ident: $ty:ident $(($($of:tt)*))?),*)
        => $level:ident $(($errno:ident))? $($note:literal)?;)*) => {
        fn call(cx: &mut ThreadCx, nr: u64, words: [u64; 6]) -> Outcome {
            match nr {
                $($nr => answer!($level $(($errno))?, cx, words, $name, $($arg: $ty),*),)*
                _ => Outcome::Fail(Errno::ENOSYS),
            }
        }
    };
}
syscall_tables::x86_64!(dispatcher);

/// Answers the system call in the registers of `cx`.
pub(crate) fn dispatch(cx: &mut ThreadCx) -> Outcome {
    let (number, words) = cx.call();
    call(cx, number, words)
}

/// Goes on with an interrupted call (restart_syscall(2)).
pub(crate) fn restart(cx: &mut ThreadCx, block: RestartBlock) -> SysResult<u64> {
    match block {
        RestartBlock::Poll { fds, count, deadline } => {
            poll::poll_restart(cx, fds, count, deadline).map(|ready| ready as u64)
        }
        RestartBlock::Futex { addr, value, bitset, private, deadline } => {
            futex::futex_restart(cx, addr, value, bitset, private, deadline).map(|woken| woken as u64)
        }
        RestartBlock::Sleep { clock, deadline, remaining } => {
            time::sleep_restart(cx, clock, deadline, remaining).map(|()| 0)
        }
    }
}
