//! Arguments whose meaning depends on a command: fcntl(2), ioctl(2), prctl(2), arch_prctl(2).

use linux_abi::{fcntl, ioctl, prctl};

use super::{
    Known,
    names::{FD_FLAGS, LOCK_TYPE, SEALS, names},
    special::open_flags,
    structs::one,
    text::Printer,
};
use crate::{nr, structs::Struct, types::Set};

/// Whether a command's argument has to wait for the result.
pub(super) fn late(known: Known) -> bool {
    match u64::from(known.row.nr) {
        nr::ioctl => matches!(
            known.word(1),
            ioctl::TIOCGWINSZ
                | ioctl::TIOCGPGRP
                | ioctl::TIOCGSID
                | ioctl::TIOCGPTN
                | ioctl::FIONREAD
                | ioctl::TIOCOUTQ
                | ioctl::TCGETS
        ),
        nr::fcntl => matches!(known.word(1), fcntl::F_GETLK | fcntl::F_OFD_GETLK),
        nr::arch_prctl => is_arch_get(known),
        nr::prctl => known.word(0).cast_signed() == prctl::PR_GET_NAME,
        _ => false,
    }
}

fn is_arch_get(known: Known) -> bool {
    matches!(known.word(0).cast_signed(), prctl::ARCH_GET_FS | prctl::ARCH_GET_GS)
}

/// An argument whose meaning depends on a command.
pub(super) fn command_argument(p: &mut Printer<'_>, known: Known, value: u64) {
    match u64::from(known.row.nr) {
        nr::fcntl => fcntl_argument(p, known, value),
        nr::ioctl => ioctl_argument(p, known, value),
        nr::arch_prctl if is_arch_get(known) && !known.failed() => {
            one(p, known, Struct::Pointer, value);
        }
        nr::arch_prctl => p.hex(value),
        nr::prctl if value == known.arg(1) => match known.word(0).cast_signed() {
            prctl::PR_SET_NAME => p.string(value),
            prctl::PR_GET_NAME if !known.failed() => p.string(value),
            prctl::PR_GET_NAME => p.address(value),
            prctl::PR_SET_PDEATHSIG => p.signal(i32::try_from(value).unwrap_or(0)),
            prctl::PR_SET_TIMERSLACK | prctl::PR_CAPBSET_READ | prctl::PR_CAPBSET_DROP => {
                p.put_fmt(format_args!("{value}"));
            }
            _ => p.hex_or_digit(value),
        },
        _ => p.hex_or_digit(value),
    }
}

impl Printer<'_> {
    /// Small numbers in decimal, others in hexadecimal.
    fn hex_or_digit(&mut self, number: u64) {
        if number < 10 { self.put_fmt(format_args!("{number}")) } else { self.hex(number) }
    }
}

fn fcntl_argument(p: &mut Printer<'_>, known: Known, value: u64) {
    match known.word(1) {
        fcntl::F_SETFD => p.flags(value, FD_FLAGS),
        fcntl::F_SETFL => open_flags(p, value),
        fcntl::F_ADD_SEALS => p.flags(value, SEALS),
        fcntl::F_GETLK | fcntl::F_OFD_GETLK if known.failed() => p.address(value),
        fcntl::F_GETLK
        | fcntl::F_OFD_GETLK
        | fcntl::F_SETLK
        | fcntl::F_SETLKW
        | fcntl::F_OFD_SETLK
        | fcntl::F_OFD_SETLKW => record_lock(p, value),
        fcntl::F_SETSIG => p.signal(i32::try_from(value).unwrap_or(0)),
        fcntl::F_DUPFD | fcntl::F_DUPFD_CLOEXEC | fcntl::F_SETPIPE_SZ | fcntl::F_SETOWN => {
            p.put_fmt(format_args!("{}", known.word(2).cast_signed()));
        }
        _ => p.hex(value),
    }
}

fn ioctl_argument(p: &mut Printer<'_>, known: Known, value: u64) {
    match known.word(1) {
        _ if late(known) && known.failed() => p.address(value),
        ioctl::TIOCGWINSZ | ioctl::TIOCSWINSZ => {
            let Some(size) = p.fields::<8>(value) else { return p.address(value) };
            let (row, col, x, y) = (size.u16(0), size.u16(2), size.u16(4), size.u16(6));
            p.put_fmt(format_args!("{{ws_row={row}, ws_col={col}, ws_xpixel={x}, ws_ypixel={y}}}"));
        }
        ioctl::FIONREAD
        | ioctl::FIONBIO
        | ioctl::FIOASYNC
        | ioctl::TIOCOUTQ
        | ioctl::TIOCGPGRP
        | ioctl::TIOCSPGRP
        | ioctl::TIOCGSID
        | ioctl::TIOCGPTN
        | ioctl::TIOCSPTLCK => one(p, known, Struct::Int, value),
        ioctl::TIOCSCTTY | ioctl::TCSBRK | ioctl::TCFLSH | ioctl::TCXONC | ioctl::TIOCGPTPEER => {
            p.put_fmt(format_args!("{value}"));
        }
        _ => p.address(value),
    }
}

/// `struct flock`.
fn record_lock(p: &mut Printer<'_>, at: u64) {
    let Some(lock) = p.fields::<32>(at) else { return p.address(at) };
    p.put("{l_type=");
    p.value(u64::from(lock.u16(0)), LOCK_TYPE);
    p.put(", l_whence=");
    p.value(u64::from(lock.u16(2)), names(Set::Whence));
    p.put_fmt(format_args!(", l_start={}, l_len={}", lock.i64(8), lock.i64(16)));
    p.put("}");
}
