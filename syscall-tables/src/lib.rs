//! What the system-call ABI *is*: one row per system call, with its number, name, typed arguments and support level.
//!
//! The rows are an X-macro, [`x86_64!`](crate::x86_64), so that each user can make of them what it needs:
//!
//! * the sentry's dispatcher calls a handler for each row that claims one;
//! * systrap's shim copies what arguments point at, as [`copy_plan`] says;
//! * [`strace`] prints calls as strace(1) does;
//! * [`compatibility`] writes `docs/compatibility.md`.
//!
//! Reading order: `x86_64.rs` (the table), `types.rs` (its vocabulary), then whichever use you came for.
#![forbid(unsafe_code)]

pub mod compatibility;
pub mod copy;
pub mod strace;
pub mod structs;
pub mod types;
mod x86_64;

pub use copy::{CopyPlan, copy_plan};
pub use linux_abi::{Errno, UserAddr};
use structs::Struct;
use types::{ArgType, Set, arg_type};

/// One system call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number.
    pub nr: u32,
    /// Its name, as in the kernel's table.
    pub name: &'static str,
    /// Its arguments, at most six.
    pub args: &'static [Arg],
    /// How much of it there is.
    pub support: Support,
}

/// One argument of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its name, mostly the man page's.
    pub name: &'static str,
    /// What it is.
    pub ty: ArgType,
}

/// How much of a system call there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works as on Linux.
    Full,
    /// Some of it works; the text says what does not.
    Partial(&'static str),
    /// Nobody has written it; callers get the errno.
    NotYet(Errno),
    /// It has no place in a sandbox, or none in Linux any more; callers get the errno, readers the reason.
    Never(Errno, &'static str),
}

macro_rules! support {
    (full) => {
        Support::Full
    };
    (partial $note:literal) => {
        Support::Partial($note)
    };
    (not_yet($errno:ident)) => {
        Support::NotYet(Errno::$errno)
    };
    (never($errno:ident) $note:literal) => {
        Support::Never(Errno::$errno, $note)
    };
}

macro_rules! row {
    ($nr:literal $name:ident ($($arg:ident: $ty:ident $(($($of:tt)*))?),*) => $($support:tt)*) => {{
        const NAMES: &[&str] = &[$(stringify!($arg)),*];
        // Rows without arguments do not use it.
        let _ = NAMES;
        Row {
            nr: $nr,
            name: stringify!($name),
            args: const { &[$(Arg { name: stringify!($arg), ty: arg_type!(NAMES, $ty $(($($of)*))?) }),*] },
            support: support!($($support)*),
        }
    }};
}

macro_rules! rows {
    ($($nr:literal $name:ident $args:tt => $level:ident $(($errno:ident))? $($note:literal)?;)*) => {
        /// Every system call of x86-64, in the order of their numbers.
        pub static X86_64: &[Row] = &[$(row!($nr $name $args => $level $(($errno))? $($note)?)),*];

        /// The numbers of the system calls, by name.
        #[expect(non_upper_case_globals, reason = "the names are Linux's")]
        pub mod nr {
            $(
                #[doc = concat!("The number of `", stringify!($name), "`.")]
                pub const $name: u64 = $nr;
            )*
        }
    };
}
crate::x86_64!(rows);

/// One more than the highest number in the table.
pub(crate) const NUMBERS: usize = 470;

/// Where each number's row is in [`X86_64`], plus one; zero for a number without one.
static INDEX: [u16; NUMBERS] = {
    let mut index = [0; NUMBERS];
    let mut at = 0;
    while at < X86_64.len() {
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 65536 rows")]
        let position = at as u16 + 1;
        let slot = &mut index[X86_64[at].nr as usize];
        assert!(*slot == 0, "two rows have the same number");
        *slot = position;
        at += 1;
    }
    index
};

/// The position in [`X86_64`] of the call numbered `nr`.
pub(crate) fn position(nr: u64) -> Option<usize> {
    let entry = *INDEX.get(usize::try_from(nr).ok()?)?;
    usize::from(entry).checked_sub(1)
}

/// The call numbered `nr`, if Linux has one.
pub fn row(nr: u64) -> Option<&'static Row> {
    X86_64.get(position(nr)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_to_their_rows() {
        assert_eq!(row(0).map(|r| r.name), Some("read"));
        assert_eq!(row(334).map(|r| r.name), Some("rseq"));
        assert_eq!(row(469).map(|r| r.name), Some("file_setattr"));
        assert!(row(337).is_none() && row(423).is_none() && row(470).is_none() && row(u64::MAX).is_none());
        assert!(X86_64.is_sorted_by_key(|row| row.nr));
        assert_eq!(nr::openat, 257);
    }

    #[test]
    fn every_number_of_the_installed_headers_is_here() {
        let path = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
        let Ok(header) = std::fs::read_to_string(path) else { return };
        let mut seen = 0;
        for line in header.lines() {
            let mut words = line.split_whitespace();
            let (Some("#define"), Some(name), Some(nr)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let Some(name) = name.strip_prefix("__NR_") else { continue };
            assert_eq!(row(nr.parse().unwrap()).map(|row| row.name), Some(name), "number {nr}");
            seen += 1;
        }
        assert!(seen > 300);
    }

    #[test]
    fn arguments_refer_to_each_other() {
        let read = row(nr::read).unwrap();
        assert_eq!(read.args[1], Arg { name: "buf", ty: ArgType::OutBuf(2) });
        let getsockname = row(nr::getsockname).unwrap();
        assert_eq!(getsockname.args[1].ty, ArgType::OutSockAddr(2));
        assert!(X86_64.iter().all(|row| row.args.len() <= 6));
    }
}
