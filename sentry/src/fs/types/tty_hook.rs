//! How sessions refer to terminals without knowing them.

use std::sync::Arc;

/// A terminal as the task tree sees it.
pub trait Terminal: Send + Sync {
    /// `tty_nr` of /proc/PID/stat.
    fn device(&self) -> u64;

    /// Its size changed on the outside.
    fn resize(&self, rows: u16, columns: u16);

    /// Opens it once more (/dev/tty).
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    fn open_slave(&self) -> linux_abi::Result<Box<dyn crate::fs::file::FileOps>>;

    /// The session leader has gone: hang up.
    fn hang_up(&self);
}

/// A session's controlling terminal.
pub type TtyRef = Arc<dyn Terminal>;
