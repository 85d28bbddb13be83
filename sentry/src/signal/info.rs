//! `siginfo_t`: why a signal was sent.

use linux_abi::UserAddr;

pub use linux_abi::signal::{
    CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, CLD_TRAPPED, SI_ASYNCIO, SI_KERNEL,
    SI_MESGQ, SI_QUEUE, SI_SIGIO, SI_TIMER, SI_TKILL, SI_USER,
};

/// A signal with its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo {
    pub signo: i32,
    pub errno: i32,
    pub code: i32,
    pub fields: Fields,
}

/// The part of `siginfo_t` that depends on `si_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// kill, tgkill: who sent it.
    Kill { pid: i32, uid: u32 },
    /// rt_sigqueueinfo: with a value.
    Queue { pid: i32, uid: u32, value: u64 },
    /// A POSIX timer.
    Timer { id: i32, overrun: i32, value: u64 },
    /// A child changed state. Times in clock ticks.
    Child { pid: i32, uid: u32, status: i32, utime: i64, stime: i64 },
    /// A fault.
    Fault { addr: UserAddr },
    /// SIGIO.
    Poll { band: i64, fd: i32 },
    /// SIGSYS.
    Sys { call_addr: UserAddr, syscall: i32, arch: u32 },
    /// What a guest passed to rt_sigqueueinfo, byte for byte (from offset 12).
    Raw([u8; 116]),
}

impl SigInfo {
    /// Sent by the kernel for no stated reason (`SEND_SIG_PRIV`).
    pub fn kernel(signo: i32) -> SigInfo {
        SigInfo { signo, errno: 0, code: SI_KERNEL, fields: Fields::Kill { pid: 0, uid: 0 } }
    }

    /// Sent by kill(2) and friends.
    pub fn user(signo: i32, code: i32, pid: i32, uid: u32) -> SigInfo {
        SigInfo { signo, errno: 0, code, fields: Fields::Kill { pid, uid } }
    }

    /// A fault at `addr`.
    pub fn fault(signo: i32, code: i32, addr: UserAddr) -> SigInfo {
        SigInfo { signo, errno: 0, code, fields: Fields::Fault { addr } }
    }

    /// The 128 bytes a guest sees.
    pub fn to_bytes(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        let mut put = |at: usize, value: &[u8]| {
            for (to, from) in bytes.iter_mut().skip(at).zip(value) {
                *to = *from;
            }
        };
        put(0, &self.signo.to_le_bytes());
        put(4, &self.errno.to_le_bytes());
        put(8, &self.code.to_le_bytes());
        match self.fields {
            Fields::Kill { pid, uid } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
            }
            Fields::Queue { pid, uid, value } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            Fields::Timer { id, overrun, value } => {
                put(16, &id.to_le_bytes());
                put(20, &overrun.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            Fields::Child { pid, uid, status, utime, stime } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
                put(24, &status.to_le_bytes());
                put(32, &utime.to_le_bytes());
                put(40, &stime.to_le_bytes());
            }
            Fields::Fault { addr } => put(16, &addr.0.to_le_bytes()),
            Fields::Poll { band, fd } => {
                put(16, &band.to_le_bytes());
                put(24, &fd.to_le_bytes());
            }
            Fields::Sys { call_addr, syscall, arch } => {
                put(16, &call_addr.0.to_le_bytes());
                put(24, &syscall.to_le_bytes());
                put(28, &arch.to_le_bytes());
            }
            Fields::Raw(raw) => put(12, &raw),
        }
        bytes
    }

    /// What a guest passed to rt_sigqueueinfo(2).
    pub fn from_bytes(bytes: &[u8; 128]) -> SigInfo {
        let word = |at: usize| {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(bytes.iter().skip(at)) {
                *to = *from;
            }
            i32::from_le_bytes(word)
        };
        let mut raw = [0; 116];
        for (to, from) in raw.iter_mut().zip(bytes.iter().skip(12)) {
            *to = *from;
        }
        SigInfo { signo: word(0), errno: word(4), code: word(8), fields: Fields::Raw(raw) }
    }

    /// The sender's pid and uid, where the kind of signal has them.
    pub fn sender(&self) -> (i32, u32) {
        match self.fields {
            Fields::Kill { pid, uid } | Fields::Queue { pid, uid, .. } | Fields::Child { pid, uid, .. } => {
                (pid, uid)
            }
            _ => (0, 0),
        }
    }
}
