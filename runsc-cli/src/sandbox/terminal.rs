//! The user's terminal while a guest uses it: raw, and put back on every way out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::error::{Context, Result};

/// A terminal in raw mode. Dropping it puts the old mode back.
pub struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    /// Switches a terminal to raw mode: every byte is the guest's, whose own terminal does the editing and the signals.
    ///
    /// # Errors
    /// It is no terminal.
    pub fn new(terminal: BorrowedFd<'_>) -> Result<RawTerminal> {
        let terminal = terminal.try_clone_to_owned().context("copying a descriptor")?;
        let before = tcgetattr(&terminal).context("the input device is not a terminal")?;
        let raw = RawTerminal { terminal, before };
        raw.enter()?;
        Ok(raw)
    }

    /// Raw mode again, after [`RawTerminal::leave`].
    ///
    /// # Errors
    /// The terminal has hung up.
    pub fn enter(&self) -> Result<()> {
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&self.terminal, SetArg::TCSANOW, &raw).context("tcsetattr")
    }

    /// The mode it was found in.
    pub fn leave(&self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }

    /// Rows and columns.
    pub fn size(&self) -> (u16, u16) {
        size(self.terminal.as_fd())
    }
}

impl AsFd for RawTerminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.terminal.as_fd()
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Rows and columns of a terminal; 24 by 80 where it does not know.
pub fn size(terminal: BorrowedFd<'_>) -> (u16, u16) {
    match host::tty::window_size(terminal) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::termios::LocalFlags;

    use super::*;

    #[test]
    fn raw_mode_is_undone() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let flags = || tcgetattr(&pty.slave).unwrap().local_flags;
        let before = flags();
        assert!(before.contains(LocalFlags::ICANON | LocalFlags::ECHO));
        let raw = RawTerminal::new(pty.slave.as_fd()).unwrap();
        assert!(!flags().intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG));
        drop(raw);
        assert_eq!(flags(), before);
    }

    #[test]
    fn a_file_is_no_terminal() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(RawTerminal::new(null.as_fd()).is_err());
        assert_eq!(size(null.as_fd()), (24, 80));
    }
}
