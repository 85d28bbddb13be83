//! Text: quoting, flags, errors and the reader of guest memory.

use std::fmt::Write as _;

use linux_abi::Errno;

use super::names::{Names, SIGNALS};

/// How much of a buffer is shown (strace's `-s`).
pub(super) const SHOWN: usize = 32;
/// How much of a path is shown.
const PATH_SHOWN: usize = 4096;
/// How many elements of an array are shown.
pub(super) const ELEMENTS: u64 = 32;

/// Text under construction, and the memory it is about.
pub(super) struct Printer<'a> {
    pub(super) text: String,
    memory: &'a mut dyn FnMut(u64, &mut [u8]) -> usize,
}

/// The bytes of a structure. Fields past the end are zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Fields<N> {
    fn word<const W: usize>(&self, at: usize) -> [u8; W] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; W])
    }

    pub(super) fn u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.word(at))
    }

    pub(super) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.word(at))
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.word(at))
    }

    pub(super) fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.word(at))
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.word(at))
    }

    pub(super) fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.word(at))
    }
}

impl<'a> Printer<'a> {
    pub(super) fn new(memory: &'a mut dyn FnMut(u64, &mut [u8]) -> usize) -> Printer<'a> {
        Printer { text: String::new(), memory }
    }

    pub(super) fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn put_fmt(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(text);
    }

    /// Reads up to `into.len()` bytes of guest memory.
    pub(super) fn read(&mut self, at: u64, into: &mut [u8]) -> usize {
        (self.memory)(at, into).min(into.len())
    }

    /// Reads a structure whole.
    pub(super) fn fields<const N: usize>(&mut self, at: u64) -> Option<Fields<N>> {
        let mut bytes = [0; N];
        (at != 0 && self.read(at, &mut bytes) == N).then_some(Fields(bytes))
    }

    /// `NULL` or an address.
    pub(super) fn address(&mut self, at: u64) {
        if at == 0 { self.put("NULL") } else { self.put_fmt(format_args!("{at:#x}")) }
    }

    /// A number in hexadecimal; zero without a prefix.
    pub(super) fn hex(&mut self, number: u64) {
        if number == 0 { self.put("0") } else { self.put_fmt(format_args!("{number:#x}")) }
    }

    /// Commas between what `each` prints, in brackets.
    pub(super) fn list(&mut self, count: u64, mut each: impl FnMut(&mut Self, u64)) {
        self.put("[");
        for index in 0..count.min(ELEMENTS) {
            if index > 0 {
                self.put(", ");
            }
            each(self, index);
        }
        self.put(if count > ELEMENTS { ", ...]" } else { "]" });
    }

    /// A NUL-terminated string of guest memory, of which `limit` bytes are shown.
    fn c_string(&mut self, at: u64, limit: usize) {
        if at == 0 {
            return self.put("NULL");
        }
        let mut bytes = Vec::new();
        let mut chunk = [0; 256];
        let mut ended = false;
        while !ended && bytes.len() <= limit {
            // Not past the page: the next one may not be there, and need not be.
            let from = at.wrapping_add(bytes.len() as u64);
            let in_page = usize::try_from(4096 - from % 4096).unwrap_or(1).min(chunk.len());
            let got = chunk.get_mut(..in_page).map_or(0, |room| (self.memory)(from, room).min(in_page));
            let new = chunk.get(..got).unwrap_or_default();
            let end = new.iter().position(|&byte| byte == 0);
            bytes.extend_from_slice(new.get(..end.unwrap_or(got)).unwrap_or_default());
            ended = end.is_some();
            if !ended && got < in_page {
                return self.address(at);
            }
        }
        let cut = bytes.len() > limit;
        bytes.truncate(limit);
        self.quoted(&bytes, cut);
    }

    /// A path.
    pub(super) fn path(&mut self, at: u64) {
        self.c_string(at, PATH_SHOWN);
    }

    /// A string that is no path.
    pub(super) fn string(&mut self, at: u64) {
        self.c_string(at, SHOWN);
    }

    /// `len` bytes of guest memory.
    pub(super) fn buffer(&mut self, at: u64, len: u64) {
        let mut bytes = [0; SHOWN];
        let shown = usize::try_from(len).unwrap_or(usize::MAX).min(SHOWN);
        let room = bytes.get_mut(..shown).unwrap_or_default();
        if at == 0 || (self.memory)(at, room) < shown {
            return self.address(at);
        }
        self.quoted(bytes.get(..shown).unwrap_or_default(), len > SHOWN as u64);
    }

    /// `len` bytes of guest memory, each in hexadecimal.
    pub(super) fn buffer_hex(&mut self, at: u64, len: u64) {
        let mut bytes = [0; SHOWN];
        let shown = usize::try_from(len).unwrap_or(usize::MAX).min(SHOWN);
        let room = bytes.get_mut(..shown).unwrap_or_default();
        if at == 0 || (self.memory)(at, room) < shown {
            return self.address(at);
        }
        self.put("\"");
        for byte in bytes.get(..shown).unwrap_or_default() {
            self.put_fmt(format_args!("\\x{byte:02x}"));
        }
        self.put(if len > SHOWN as u64 { "\"..." } else { "\"" });
    }

    /// Bytes as a C string literal.
    pub(super) fn quoted(&mut self, bytes: &[u8], cut: bool) {
        self.put("\"");
        let mut rest = bytes.iter().copied().peekable();
        while let Some(byte) = rest.next() {
            match byte {
                b'"' => self.put("\\\""),
                b'\\' => self.put("\\\\"),
                b'\n' => self.put("\\n"),
                b'\t' => self.put("\\t"),
                b'\r' => self.put("\\r"),
                0x0b => self.put("\\v"),
                0x0c => self.put("\\f"),
                b' '..=b'~' => self.text.push(char::from(byte)),
                // As short as it can be without swallowing a digit that follows.
                _ if rest.peek().is_some_and(|next| (b'0'..=b'7').contains(next)) => {
                    self.put_fmt(format_args!("\\{byte:03o}"));
                }
                _ => self.put_fmt(format_args!("\\{byte:o}")),
            }
        }
        self.put(if cut { "\"..." } else { "\"" });
    }

    /// One of a set's values.
    pub(super) fn value(&mut self, value: u64, names: Names) {
        // Values are 32 bits wide, some signed.
        let name = names.known.iter().find(|(known, _)| *known & 0xffff_ffff == value & 0xffff_ffff);
        match name {
            Some((_, name)) => self.put(name),
            None => {
                self.hex(value & 0xffff_ffff);
                self.put_fmt(format_args!(" /* {} */", names.unknown));
            }
        }
    }

    /// A set's flags.
    pub(super) fn flags(&mut self, flags: u64, names: Names) {
        let start = self.text.len();
        let left = self.some_flags(flags, names, start);
        if self.text.len() == start {
            match names.known.iter().find(|(known, _)| *known == 0) {
                Some((_, zero)) if flags == 0 => self.put(zero),
                _ => {
                    self.hex(left);
                    if left != 0 {
                        self.put_fmt(format_args!(" /* {} */", names.unknown));
                    }
                }
            }
        } else if left != 0 {
            self.put_fmt(format_args!("|{left:#x}"));
        }
    }

    /// The flags that have names, each after a bar if there is text since `start`. Returns those without.
    pub(super) fn some_flags(&mut self, flags: u64, names: Names, start: usize) -> u64 {
        let mut left = flags;
        for (known, name) in names.known {
            if *known != 0 && left & known == *known {
                left &= !known;
                if self.text.len() > start {
                    self.put("|");
                }
                self.put(name);
            }
        }
        left
    }

    /// A signal's number.
    pub(super) fn signal(&mut self, number: i32) {
        match number {
            1..=32 => {
                let name =
                    usize::try_from(number - 1).ok().and_then(|at| SIGNALS.get(at)).copied().unwrap_or("");
                self.put_fmt(format_args!("SIG{name}"));
            }
            33..=64 => self.put_fmt(format_args!("SIGRT_{}", number - 32)),
            _ => self.put_fmt(format_args!("{number}")),
        }
    }

    /// A set of signals. One that has most of them is shown by those that it lacks.
    pub(super) fn signal_set(&mut self, set: u64) {
        let inverted = set.count_ones() >= 64 * 2 / 3;
        let shown = if inverted { !set } else { set };
        self.put(if inverted { "~[" } else { "[" });
        let mut first = true;
        for number in 1..=64 {
            if shown >> (number - 1) & 1 == 0 {
                continue;
            }
            if !first {
                self.put(" ");
            }
            first = false;
            match SIGNALS.get(number - 1) {
                Some(name) => self.put(name),
                None => self.put_fmt(format_args!("RT_{}", number - 32)),
            }
        }
        self.put("]");
    }

    /// Permission bits.
    pub(super) fn mode(&mut self, mode: u32) {
        match mode {
            0 => self.put("000"),
            1..=7 => self.put_fmt(format_args!("00{mode:o}")),
            _ => self.put_fmt(format_args!("0{mode:o}")),
        }
    }

    /// A user or group id.
    pub(super) fn id(&mut self, id: u32) {
        if id == u32::MAX { self.put("-1") } else { self.put_fmt(format_args!("{id}")) }
    }
}

/// The error in a return value.
pub(super) fn error(result: u64) -> Option<Errno> {
    let result = result.cast_signed();
    (-4095..0).contains(&result).then(|| Errno::from_raw(i32::try_from(-result).unwrap_or(0)))
}
