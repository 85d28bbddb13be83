//! Telling waiters that an endpoint's readiness may have changed.

/// What became possible, with the values of poll(2)'s events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(pub u32);

impl Ready {
    /// Something to read (`POLLIN | POLLRDNORM`).
    pub const READ: Ready = Ready(0x041);
    /// Room to write (`POLLOUT | POLLWRNORM | POLLWRBAND`).
    pub const WRITE: Ready = Ready(0x304);
    /// Urgent data (`POLLPRI`).
    pub const URGENT: Ready = Ready(0x002);
    /// The peer will send no more (`POLLRDHUP`), which reads see too.
    pub const READ_CLOSED: Ready = Ready(0x2000 | 0x041);
    /// Everything: an error, or the end of the connection.
    pub const ALL: Ready = Ready(0x2000 | 0x041 | 0x304 | 0x018);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

/// Whoever waits for an endpoint. Called without any of the stack's locks held.
pub trait Notify: Send + Sync {
    /// `ready` may now be true. Spurious calls are allowed.
    fn notify(&self, ready: Ready);
}
