//! System calls as strace(1) prints them.
//!
//! A [`Call`] is made when a thread enters the kernel, which is when most arguments can be read, and is finished with
//! the result, which is when the rest can:
//!
//! ```
//! use syscall_tables::strace::Call;
//! let memory = &mut |at: u64, into: &mut [u8]| {
//!     let here: &[u8] = if at == 0x1000 { b"/etc/motd\0" } else { b"" };
//!     let count = here.len().min(into.len());
//!     into[..count].copy_from_slice(&here[..count]);
//!     count
//! };
//! let call = Call::enter(257, [-100i64 as u64, 0x1000, 0, 0, 0, 0], memory);
//! let enoent = -2i64 as u64;
//! assert_eq!(
//!     call.line(Some(enoent), memory),
//!     "openat(AT_FDCWD, \"/etc/motd\", O_RDONLY) = -1 ENOENT (No such file or directory)"
//! );
//! ```
//!
//! A call that others overtake is printed in two parts: `head() + " <unfinished ...>"`, and later [`Call::resumed`].
//! The text follows strace 6.1 with its default options; what it does not decode in detail, it shows as a number or an
//! address. Everything read from the guest is data to print and no more: lengths and counts are cut before use.
//!
//! * `names.rs`: the names of flags and values.
//! * `text.rs`: quoting, flags, signal sets, and the reader of guest memory.
//! * `structs.rs`: structures.
//! * `sockets.rs`, `threads.rs`, `commands.rs`: what belongs to these.
//! * `special.rs`: how many arguments a call has, flags that share a word, and results.
//! * `strerror.rs`: what errors mean.

mod commands;
mod names;
mod sockets;
mod special;
mod strerror;
mod structs;
mod text;
mod threads;

#[cfg(test)]
mod tests;

pub use strerror::strerror;

use crate::{
    ArgType, Row,
    structs::Struct,
    types::{ArgIndex, Set},
};
use text::{Printer, error};

/// Where results are aligned (strace's `-a`).
const RESULT_COLUMN: usize = 40;

/// A system call between its start and its end.
#[derive(Clone, Debug)]
pub struct Call {
    row: Option<&'static Row>,
    args: [u64; 6],
    head: String,
    /// The first argument that `head` does not have.
    next: usize,
    /// What a `socklen_t` held at the start.
    len_before: u32,
}

/// What a printer of one argument knows.
#[derive(Clone, Copy)]
struct Known {
    row: &'static Row,
    args: [u64; 6],
    /// The result; `None` while there is none.
    result: Option<u64>,
    len_before: u32,
}

impl Known {
    /// The value of an argument.
    fn arg(&self, index: ArgIndex) -> u64 {
        self.args.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// The 32 bits of an argument that the kernel looks at.
    fn word(&self, index: ArgIndex) -> u32 {
        u32::try_from(self.arg(index) & 0xffff_ffff).unwrap_or(0)
    }

    fn failed(&self) -> bool {
        self.result.is_none_or(|result| error(result).is_some())
    }

    /// The result as a count, zero if the call failed.
    fn count(&self) -> u64 {
        self.result.filter(|&result| error(result).is_none()).unwrap_or(0)
    }

    fn is(&self, nr: u64) -> bool {
        u64::from(self.row.nr) == nr
    }
}

impl Call {
    /// A thread makes the call `nr`. `memory` reads guest memory: it copies what is at an address, and returns how many
    /// bytes there were.
    pub fn enter(nr: u64, args: [u64; 6], memory: &mut dyn FnMut(u64, &mut [u8]) -> usize) -> Call {
        let mut printer = Printer::new(memory);
        let row = crate::row(nr);
        let mut call = Call { row, args, head: String::new(), next: 0, len_before: 0 };
        let Some(row) = row else {
            printer.put_fmt(format_args!("syscall_{nr:#x}("));
            for (index, arg) in args.iter().enumerate() {
                printer.put(if index > 0 { ", " } else { "" });
                printer.put_fmt(format_args!("{arg:#x}"));
            }
            call.head = printer.text;
            return call;
        };
        for (arg, value) in row.args.iter().zip(args) {
            if arg.ty == ArgType::InOutStruct(Struct::SockLen) {
                call.len_before = printer.fields::<4>(value).map_or(0, |len| len.u32(0));
            }
        }
        printer.put(row.name);
        printer.put("(");
        let known = call.known(row, None);
        if threads::arguments(&mut printer, known) {
            call.next = 6;
        } else {
            let shown = special::shown(known);
            while let Some(arg) = row.args.get(call.next).filter(|_| call.next < shown) {
                printer.put(if call.next > 0 { ", " } else { "" });
                if late(arg.ty, call.args.get(call.next).copied().unwrap_or(0), known) {
                    break;
                }
                argument(&mut printer, known, call.next, arg.ty);
                call.next += 1;
            }
        }
        call.head = printer.text;
        call
    }

    /// What can be printed before there is a result.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The whole line. A call that does not return has no result.
    pub fn line(&self, result: Option<u64>, memory: &mut dyn FnMut(u64, &mut [u8]) -> usize) -> String {
        self.finish(&self.head, result, memory)
    }

    /// The second part of a line whose first was printed already.
    pub fn resumed(&self, result: Option<u64>, memory: &mut dyn FnMut(u64, &mut [u8]) -> usize) -> String {
        let name = self.row.map_or("syscall", |row| row.name);
        self.finish(&format!("<... {name} resumed>"), result, memory)
    }

    fn known(&self, row: &'static Row, result: Option<u64>) -> Known {
        Known { row, args: self.args, result, len_before: self.len_before }
    }

    fn finish(
        &self,
        head: &str,
        result: Option<u64>,
        memory: &mut dyn FnMut(u64, &mut [u8]) -> usize,
    ) -> String {
        let mut printer = Printer::new(memory);
        printer.put(head);
        let known = self.row.map(|row| self.known(row, result));
        if let Some(known) = known {
            threads::late_arguments(&mut printer, known);
            let rest = known.row.args.iter().enumerate().take(special::shown(known)).skip(self.next);
            for (index, arg) in rest {
                printer.put(if index > self.next { ", " } else { "" });
                argument(&mut printer, known, index, arg.ty);
            }
        }
        printer.put(") ");
        while printer.text.len() < RESULT_COLUMN {
            printer.put(" ");
        }
        match (result, result.and_then(error)) {
            (None, _) => printer.put("= ?"),
            (Some(_), Some(errno)) => {
                printer.put_fmt(format_args!("= -1 {} ({})", errno.name(), strerror(errno)));
            }
            (Some(result), None) => match known {
                Some(known) => special::result(&mut printer, known, result),
                None => printer.put_fmt(format_args!("= {}", result.cast_signed())),
            },
        }
        printer.text
    }
}

/// Whether an argument has to wait for the result.
fn late(ty: ArgType, value: u64, known: Known) -> bool {
    match ty {
        ArgType::CmdArg => commands::late(known),
        _ if value == 0 => false,
        ArgType::OutBuf(_)
        | ArgType::OutCStr(_)
        | ArgType::OutDirents(_)
        | ArgType::OutStruct(_)
        | ArgType::OutArray(..)
        | ArgType::OutIoVec(_)
        | ArgType::OutSockAddr(_)
        | ArgType::OutOpt(_)
        | ArgType::OutCpuSet(_)
        | ArgType::InOutArray(Struct::Mmsghdr, _)
        | ArgType::InOutStruct(Struct::SockLen | Struct::Msghdr | Struct::Timex | Struct::CapHeader) => true,
        _ => false,
    }
}

/// Prints one argument. What only the result makes readable is an address without one.
fn argument(p: &mut Printer<'_>, known: Known, index: usize, ty: ArgType) {
    let value = known.args.get(index).copied().unwrap_or(0);
    // Registers are cut to the argument's type, as the kernel cuts them.
    #[expect(clippy::cast_possible_truncation, reason = "on purpose")]
    let (word, int) = (value as u32, value as i32);
    match ty {
        ArgType::I32 if index == 2 && sockets::is_socket(known) => sockets::protocol(p, known),
        ArgType::I32 | ArgType::Fd | ArgType::Pid => p.put_fmt(format_args!("{int}")),
        ArgType::U32 => p.put_fmt(format_args!("{word}")),
        ArgType::I64 => p.put_fmt(format_args!("{}", value.cast_signed())),
        ArgType::U64 | ArgType::Usize => p.put_fmt(format_args!("{value}")),
        ArgType::Hex => p.hex(value),
        ArgType::Hex32 => p.hex(u64::from(word)),
        ArgType::DirFd => structs::dirfd(p, int),
        ArgType::SigNo => p.signal(int),
        ArgType::Key if int == 0 => p.put("IPC_PRIVATE"),
        ArgType::Key => p.hex(u64::from(word)),
        ArgType::Uid | ArgType::Gid => p.id(word),
        ArgType::Mode if special::makes_node(known) => structs::file_mode(p, word),
        ArgType::Mode => p.mode(word),
        ArgType::Dev => structs::device(p, u64::from(word)),
        ArgType::Enum(set) | ArgType::Cmd(set) => special::value(p, set, word),
        ArgType::Flags(Set::Open) => special::open_flags(p, u64::from(word)),
        ArgType::Flags(set) => special::flags(p, known, set, u64::from(word)),
        ArgType::Flags64(set) => special::flags(p, known, set, value),
        ArgType::SockOpt(level) => {
            p.value(u64::from(word), names::socket_options(known.word(level).cast_signed()));
        }
        ArgType::CmdArg => commands::command_argument(p, known, value),
        ArgType::Addr | ArgType::Ptr => p.address(value),
        ArgType::Path => p.path(value),
        ArgType::CStr => p.string(value),
        ArgType::Argv => structs::strings(p, value),
        ArgType::Envp => structs::environment(p, value),
        ArgType::InBuf(len) => p.buffer(value, known.arg(len)),
        ArgType::InSockAddr(len) => sockets::socket_address(p, value, u64::from(known.word(len))),
        ArgType::InOpt(len) => sockets::option_value(p, known, value, u64::from(known.word(len))),
        ArgType::InCpuSet(len) => structs::cpu_set(p, value, u64::from(known.word(len))),
        ArgType::InStruct(of) | ArgType::InSized(of, _) => structs::one(p, known, of, value),
        ArgType::InOutStruct(Struct::SockLen) => sockets::socket_length(p, known, value),
        ArgType::InOutStruct(of) if !late(ty, value, known) => structs::one(p, known, of, value),
        ArgType::InArray(of, len) | ArgType::InOutArray(of, len) => {
            structs::array(p, known, of, value, u64::from(known.word(len)));
        }
        ArgType::InIoVec(len) => structs::iovec(p, value, known.arg(len), u64::MAX),
        ArgType::FdSet(count) => structs::fd_set(p, value, known.arg(count)),
        // What the kernel wrote, if it did.
        _ if known.failed() && !special::written_on_failure(known) => p.address(value),
        ArgType::OutBuf(_) if special::is_random(known) => p.buffer_hex(value, known.count()),
        ArgType::OutBuf(len) if known.arg(len) == 0 => p.address(value),
        ArgType::OutBuf(len) => p.buffer(value, known.count().min(known.arg(len))),
        ArgType::OutCStr(_) => p.buffer(value, known.count().saturating_sub(1)),
        ArgType::OutDirents(_) => structs::directory_entries(p, known, value),
        ArgType::OutStruct(Struct::WaitStatus) if known.count() == 0 => p.address(value),
        ArgType::OutStruct(Struct::Timespec) if special::is_remainder(known, index) => p.address(value),
        ArgType::OutStruct(of) | ArgType::InOutStruct(of) => structs::one(p, known, of, value),
        ArgType::OutArray(of, _) => structs::array(p, known, of, value, known.count()),
        ArgType::OutIoVec(len) => structs::iovec(p, value, known.arg(len), known.count()),
        ArgType::OutSockAddr(len) => {
            let len = p.fields::<4>(known.arg(len)).map_or(0, |len| len.u32(0)).min(known.len_before);
            if len == 0 { p.address(value) } else { sockets::socket_address(p, value, u64::from(len)) }
        }
        ArgType::OutOpt(len) => {
            let len = p.fields::<4>(known.arg(len)).map_or(0, |len| len.u32(0));
            sockets::option_value(p, known, value, u64::from(len));
        }
        ArgType::OutCpuSet(_) => structs::cpu_set(p, value, known.count()),
    }
}
