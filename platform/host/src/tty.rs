//! Window sizes of terminals (`ioctl_tty(2)`); the rest of termios is in nix.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::{errno::Errno, pty::Winsize};

/// The size of a terminal's window (`TIOCGWINSZ`).
///
/// # Errors
/// `ENOTTY`.
pub fn window_size(terminal: BorrowedFd<'_>) -> Result<Winsize, Errno> {
    let mut size = Winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills one struct winsize.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(size)
}

/// Sets the size of a terminal's window (`TIOCSWINSZ`); its foreground process group gets `SIGWINCH`.
///
/// # Errors
/// `ENOTTY`, `EIO`.
pub fn set_window_size(terminal: BorrowedFd<'_>, size: &Winsize) -> Result<(), Errno> {
    // SAFETY: TIOCSWINSZ reads one struct winsize.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const *size) }).map(drop)
}

/// How many bytes can be read at once (`FIONREAD`).
///
/// # Errors
/// `ENOTTY` for files that do not know.
pub fn input_available(file: BorrowedFd<'_>) -> Result<i32, Errno> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD fills one int.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn size_of_a_pty_round_trips() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let size = Winsize { ws_row: 41, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
        set_window_size(pty.master.as_fd(), &size).unwrap();
        assert_eq!(window_size(pty.slave.as_fd()).unwrap(), size);
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(window_size(null.as_fd()), Err(Errno::ENOTTY));
    }
}
