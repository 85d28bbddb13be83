//! N_TTY, the line discipline (`drivers/tty/n_tty.c`): what happens to characters on their way in and out.

use std::collections::VecDeque;

use super::termios::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP, IUTF8,
    IXANY, IXON, NOFLSH, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, Termios, VEOF, VEOL, VEOL2,
    VERASE, VINTR, VKILL, VLNEXT, VMIN, VQUIT, VREPRINT, VSTART, VSTOP, VSUSP, VWERASE, XTABS,
};
use crate::signal::{SIGINT, SIGQUIT, SIGTSTP};

/// The most input that waits to be read (`N_TTY_BUF_SIZE`).
const INPUT_LIMIT: usize = 4096;
/// The most output that waits at the master.
pub(super) const OUTPUT_LIMIT: usize = 64 << 10;

/// Input and output of one terminal.
#[derive(Default)]
pub(super) struct Discipline {
    /// Complete input: what a read may take. In canonical mode `Line` ends mark where reads stop.
    ready: VecDeque<Input>,
    /// The line being edited.
    line: Vec<u8>,
    /// The next character is taken literally (`VLNEXT`).
    literal: bool,
    /// What the master will read.
    output: VecDeque<u8>,
    column: usize,
    /// Stopped by `VSTOP` or `TCOOFF`.
    pub(super) stopped: bool,
    /// Where the line being edited started on the screen.
    line_column: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Byte(u8),
    /// A read ends after this one.
    Last(u8),
    /// End of file: a read ends before it.
    Eof,
}

/// What input led to, besides input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    /// Signals for the foreground process group.
    pub(super) signals: Vec<i32>,
}

impl Discipline {
    /// How much room there is for input.
    pub(super) fn input_room(&self, termios: &Termios) -> usize {
        // A full canonical buffer still takes characters, to be able to erase or end the line.
        let held = self.ready.len() + self.line.len();
        if termios.has_local(ICANON) && self.ready.is_empty() {
            return INPUT_LIMIT;
        }
        INPUT_LIMIT.saturating_sub(held)
    }

    /// Characters typed at the master.
    pub(super) fn receive(&mut self, termios: &Termios, bytes: &[u8]) -> Effects {
        let mut effects = Effects::default();
        for &byte in bytes {
            self.receive_one(termios, byte, &mut effects);
        }
        effects
    }

    fn receive_one(&mut self, termios: &Termios, byte: u8, effects: &mut Effects) {
        let mut byte = byte;
        if termios.input & ISTRIP != 0 {
            byte &= 0x7f;
        }
        if std::mem::take(&mut self.literal) {
            self.accept(termios, byte);
            return;
        }
        if termios.input & IXON != 0 {
            if termios.char(VSTART) == Some(byte) {
                self.stopped = false;
                return;
            }
            if termios.char(VSTOP) == Some(byte) {
                self.stopped = true;
                return;
            }
            if termios.input & IXANY != 0 {
                self.stopped = false;
            }
        }
        if termios.has_local(ISIG) {
            for (index, signo) in [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)] {
                if termios.char(index) == Some(byte) {
                    if !termios.has_local(NOFLSH) {
                        self.ready.clear();
                        self.line.clear();
                        self.output.clear();
                    }
                    self.stopped = false;
                    self.echo_control(termios, byte);
                    effects.signals.push(signo);
                    return;
                }
            }
        }
        match byte {
            b'\r' if termios.input & IGNCR != 0 => return,
            b'\r' if termios.input & ICRNL != 0 => byte = b'\n',
            b'\n' if termios.input & INLCR != 0 => byte = b'\r',
            _ => {}
        }
        if termios.has_local(ICANON) && self.edit(termios, byte) {
            return;
        }
        self.accept(termios, byte);
    }

    /// Editing characters and ends of lines. Returns whether `byte` was one.
    fn edit(&mut self, termios: &Termios, byte: u8) -> bool {
        let is = |index: usize| termios.char(index) == Some(byte);
        let extended = termios.has_local(IEXTEN);
        if is(VERASE) {
            self.erase_one(termios);
        } else if is(VWERASE) && extended {
            let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
            while self.line.last().is_some_and(|last| !word(last)) {
                self.erase_one(termios);
            }
            while self.line.last().is_some_and(word) {
                self.erase_one(termios);
            }
        } else if is(VKILL) {
            if termios.has_local(ECHOKE | ECHOK | ECHOE) {
                while !self.line.is_empty() {
                    self.erase_one(termios);
                }
            } else {
                self.line.clear();
                self.echo_control(termios, byte);
                if termios.has_local(ECHOK) {
                    self.echo_raw(termios, b"\n");
                }
            }
        } else if is(VLNEXT) && extended {
            self.literal = true;
            if termios.has_local(ECHO | ECHOCTL) {
                self.echo_raw(termios, b"^\x08");
            }
        } else if is(VREPRINT) && extended {
            self.echo_control(termios, byte);
            self.echo_raw(termios, b"\n");
            let line = self.line.clone();
            for byte in line {
                self.echo(termios, byte);
            }
        } else if byte == b'\n' {
            if termios.has_local(ECHO) || termios.has_local(ECHONL) {
                self.echo_raw(termios, b"\n");
            }
            self.end_line(Some(byte));
        } else if is(VEOF) {
            self.end_line(None);
        } else if is(VEOL) || (is(VEOL2) && extended) {
            self.echo(termios, byte);
            self.end_line(Some(byte));
        } else {
            return false;
        }
        true
    }

    fn end_line(&mut self, terminator: Option<u8>) {
        let mut line = std::mem::take(&mut self.line);
        line.extend(terminator);
        match line.pop() {
            None => self.ready.push_back(Input::Eof),
            Some(last) => {
                self.ready.extend(line.into_iter().map(Input::Byte));
                self.ready.push_back(Input::Last(last));
            }
        }
        self.line_column = self.column;
    }

    fn accept(&mut self, termios: &Termios, byte: u8) {
        if termios.has_local(ICANON) {
            // One place is kept for the end of the line.
            if self.line.len() + self.ready.len() < INPUT_LIMIT - 1 {
                if self.line.is_empty() {
                    self.line_column = self.column;
                }
                self.line.push(byte);
                self.echo(termios, byte);
            }
        } else if self.ready.len() < INPUT_LIMIT {
            self.ready.push_back(Input::Byte(byte));
            self.echo(termios, byte);
        }
    }

    fn erase_one(&mut self, termios: &Termios) {
        let Some(mut byte) = self.line.pop() else { return };
        // All bytes of a UTF-8 character.
        while termios.input & IUTF8 != 0 && byte & 0xc0 == 0x80 {
            match self.line.pop() {
                Some(previous) => byte = previous,
                None => break,
            }
        }
        if !termios.has_local(ECHO) {
            return;
        }
        if !termios.has_local(ECHOE) {
            let erase = termios.char(VERASE).unwrap_or(0x7f);
            self.echo(termios, erase);
            return;
        }
        let width = match byte {
            b'\t' => {
                let before = self.width_of_line(termios);
                8 - (self.line_column + before) % 8
            }
            0..=31 | 127 if termios.has_local(ECHOCTL) => 2,
            0..=31 | 127 => 0,
            _ => 1,
        };
        for _ in 0..width {
            let rubout: &[u8] = if byte == b'\t' { b"\x08" } else { b"\x08 \x08" };
            self.echo_raw(termios, rubout);
        }
    }

    fn width_of_line(&self, termios: &Termios) -> usize {
        let mut width = 0;
        for &byte in &self.line {
            width += match byte {
                b'\t' => 8 - (self.line_column + width) % 8,
                0..=31 | 127 if termios.has_local(ECHOCTL) => 2,
                0..=31 | 127 => 0,
                byte if termios.input & IUTF8 != 0 && byte & 0xc0 == 0x80 => 0,
                _ => 1,
            };
        }
        width
    }

    fn echo(&mut self, termios: &Termios, byte: u8) {
        if !termios.has_local(ECHO) {
            return;
        }
        let control = byte < 32 || byte == 127;
        if control && byte != b'\n' && byte != b'\t' && termios.has_local(ECHOCTL) {
            self.echo_raw(termios, &[b'^', byte ^ 0x40]);
        } else {
            self.echo_raw(termios, &[byte]);
        }
    }

    fn echo_control(&mut self, termios: &Termios, byte: u8) {
        if termios.has_local(ECHO) {
            self.echo(termios, byte);
        }
    }

    fn echo_raw(&mut self, termios: &Termios, bytes: &[u8]) {
        for &byte in bytes {
            self.put(termios, byte);
        }
    }

    /// Characters written at the slave; returns how many were taken. Zero while stopped or full.
    pub(super) fn write(&mut self, termios: &Termios, bytes: &[u8]) -> usize {
        if self.stopped {
            return 0;
        }
        let mut taken = 0;
        for &byte in bytes {
            // A tab may become eight characters.
            if self.output.len() + 8 > OUTPUT_LIMIT {
                break;
            }
            self.put(termios, byte);
            taken += 1;
        }
        taken
    }

    /// Output processing of one character.
    fn put(&mut self, termios: &Termios, byte: u8) {
        if self.output.len() + 8 > OUTPUT_LIMIT {
            return;
        }
        if termios.output & OPOST == 0 {
            self.output.push_back(byte);
            return;
        }
        match byte {
            b'\n' => {
                if termios.output & ONLRET != 0 {
                    self.column = 0;
                }
                if termios.output & ONLCR != 0 {
                    self.output.push_back(b'\r');
                    self.column = 0;
                }
                self.output.push_back(b'\n');
            }
            b'\r' => {
                if termios.output & ONOCR != 0 && self.column == 0 {
                    return;
                }
                if termios.output & OCRNL != 0 {
                    if termios.output & ONLRET != 0 {
                        self.column = 0;
                    }
                    self.output.push_back(b'\n');
                } else {
                    self.column = 0;
                    self.output.push_back(b'\r');
                }
            }
            b'\t' => {
                let spaces = 8 - self.column % 8;
                self.column += spaces;
                if termios.output & TABDLY == XTABS {
                    self.output.extend(std::iter::repeat_n(b' ', spaces));
                } else {
                    self.output.push_back(b'\t');
                }
            }
            8 => {
                self.column = self.column.saturating_sub(1);
                self.output.push_back(byte);
            }
            _ => {
                let byte = if termios.output & OLCUC != 0 { byte.to_ascii_uppercase() } else { byte };
                if byte >= 32 && byte != 127 && (termios.input & IUTF8 == 0 || byte & 0xc0 != 0x80) {
                    self.column += 1;
                }
                self.output.push_back(byte);
            }
        }
    }

    /// What a read at the slave gets; `None` while there is nothing to get. `Some(empty)` is end of file.
    pub(super) fn read(&mut self, termios: &Termios, max: usize) -> Option<Vec<u8>> {
        if self.ready.is_empty() {
            return None;
        }
        let mut bytes = Vec::new();
        while bytes.len() < max {
            match self.ready.pop_front() {
                None => break,
                Some(Input::Byte(byte)) => bytes.push(byte),
                Some(Input::Last(byte)) => {
                    bytes.push(byte);
                    if termios.has_local(ICANON) {
                        break;
                    }
                }
                Some(Input::Eof) if termios.has_local(ICANON) => {
                    if !bytes.is_empty() {
                        // Belongs to this read: it ended the line just read.
                        break;
                    }
                    return Some(bytes);
                }
                Some(Input::Eof) => {}
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Bytes that can be read now (`FIONREAD`).
    pub(super) fn readable(&self) -> usize {
        self.ready.iter().filter(|input| !matches!(input, Input::Eof)).count()
    }

    /// Whether a read would return at once.
    pub(super) fn has_input(&self, termios: &Termios) -> bool {
        if termios.has_local(ICANON) {
            return !self.ready.is_empty();
        }
        let wanted =
            if termios.number(super::termios::VTIME) == 0 { usize::from(termios.number(VMIN)) } else { 1 };
        self.ready.len() >= wanted.max(1)
    }

    /// Settings changed: text typed in one mode becomes readable in the other.
    pub(super) fn mode_changed(&mut self, old: &Termios, new: &Termios) {
        if old.has_local(ICANON) && !new.has_local(ICANON) {
            let line = std::mem::take(&mut self.line);
            self.ready.extend(line.into_iter().map(Input::Byte));
        }
    }

    /// What the master gets; none while stopped.
    pub(super) fn take_output(&mut self, max: usize) -> Vec<u8> {
        if self.stopped {
            return Vec::new();
        }
        let count = max.min(self.output.len());
        self.output.drain(..count).collect()
    }

    /// Bytes that wait for the master.
    pub(super) fn output_len(&self) -> usize {
        if self.stopped { 0 } else { self.output.len() }
    }

    /// Room for output of the slave.
    pub(super) fn output_room(&self) -> usize {
        if self.stopped { 0 } else { OUTPUT_LIMIT.saturating_sub(self.output.len() + 8) }
    }

    /// `tcflush`.
    pub(super) fn flush_input(&mut self) {
        self.ready.clear();
        self.line.clear();
    }

    /// `tcflush`.
    pub(super) fn flush_output(&mut self) {
        self.output.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(discipline: &mut Discipline) -> String {
        String::from_utf8(discipline.take_output(1000)).unwrap()
    }

    #[test]
    fn a_line_is_edited_echoed_and_read_whole() {
        let (mut tty, termios) = (Discipline::default(), Termios::default());
        tty.receive(&termios, b"hellx\x7fo");
        assert_eq!(tty.read(&termios, 100), None);
        tty.receive(&termios, b"\r");
        assert_eq!(tty.read(&termios, 3).as_deref(), Some(b"hel".as_slice()));
        assert_eq!(tty.read(&termios, 100).as_deref(), Some(b"lo\n".as_slice()));
        assert_eq!(output(&mut tty), "hellx\x08 \x08o\r\n");
    }

    #[test]
    fn end_of_file_is_an_empty_read_once() {
        let (mut tty, termios) = (Discipline::default(), Termios::default());
        tty.receive(&termios, b"ab\x04\x04");
        assert_eq!(tty.read(&termios, 100).as_deref(), Some(b"ab".as_slice()));
        assert_eq!(tty.read(&termios, 100).as_deref(), Some(b"".as_slice()));
        assert_eq!(tty.read(&termios, 100), None);
    }

    #[test]
    fn control_c_flushes_and_signals() {
        let (mut tty, termios) = (Discipline::default(), Termios::default());
        let effects = tty.receive(&termios, b"abc\x03");
        assert_eq!(effects.signals, [SIGINT]);
        tty.receive(&termios, b"\r");
        assert_eq!(tty.read(&termios, 100).as_deref(), Some(b"\n".as_slice()));
        assert!(output(&mut tty).starts_with("^C"));
    }

    #[test]
    fn raw_mode_passes_everything() {
        let mut tty = Discipline::default();
        let raw = Termios { input: 0, output: 0, local: 0, ..Termios::default() };
        assert_eq!(tty.receive(&raw, b"\x03\r\x7f").signals, [0i32; 0]);
        assert_eq!(tty.read(&raw, 100).as_deref(), Some(b"\x03\r\x7f".as_slice()));
        assert_eq!(tty.write(&raw, b"a\nb"), 3);
        assert_eq!(output(&mut tty), "a\nb");
    }
}
