//! How processes end, and how their parents hear of it (wait(2)).

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By exit(2), with the low eight bits of its code.
    Exited(u8),
    /// By a signal; `core` is the flag `WCOREDUMP` shows.
    Signaled { signo: i32, core: bool },
}

impl ExitStatus {
    /// The status word of wait4(2).
    pub fn wait_status(self) -> i32 {
        match self {
            ExitStatus::Exited(code) => i32::from(code) << 8,
            ExitStatus::Signaled { signo, core } => signo | if core { 0x80 } else { 0 },
        }
    }
}
