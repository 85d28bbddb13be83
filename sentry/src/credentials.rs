//! Who a task is: user and group ids, capabilities (credentials(7), capabilities(7)).
//!
//! A [`Credentials`] is immutable once shared; a change makes a new one (`prepare_creds`/`commit_creds`).

use std::sync::Arc;

bitflags::bitflags! {
    /// A capability set. Bit numbers are Linux's (`CAP_CHOWN` = 0 …).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Caps: u64 {
        const CHOWN = 1;
        const DAC_OVERRIDE = 1 << 1;
        const DAC_READ_SEARCH = 1 << 2;
        const FOWNER = 1 << 3;
        const FSETID = 1 << 4;
        const KILL = 1 << 5;
        const SETGID = 1 << 6;
        const SETUID = 1 << 7;
        const SETPCAP = 1 << 8;
        const LINUX_IMMUTABLE = 1 << 9;
        const NET_BIND_SERVICE = 1 << 10;
        const NET_BROADCAST = 1 << 11;
        const NET_ADMIN = 1 << 12;
        const NET_RAW = 1 << 13;
        const IPC_LOCK = 1 << 14;
        const IPC_OWNER = 1 << 15;
        const SYS_MODULE = 1 << 16;
        const SYS_RAWIO = 1 << 17;
        const SYS_CHROOT = 1 << 18;
        const SYS_PTRACE = 1 << 19;
        const SYS_PACCT = 1 << 20;
        const SYS_ADMIN = 1 << 21;
        const SYS_BOOT = 1 << 22;
        const SYS_NICE = 1 << 23;
        const SYS_RESOURCE = 1 << 24;
        const SYS_TIME = 1 << 25;
        const SYS_TTY_CONFIG = 1 << 26;
        const MKNOD = 1 << 27;
        const LEASE = 1 << 28;
        const AUDIT_WRITE = 1 << 29;
        const AUDIT_CONTROL = 1 << 30;
        const SETFCAP = 1 << 31;
        const MAC_OVERRIDE = 1 << 32;
        const MAC_ADMIN = 1 << 33;
        const SYSLOG = 1 << 34;
        const WAKE_ALARM = 1 << 35;
        const BLOCK_SUSPEND = 1 << 36;
        const AUDIT_READ = 1 << 37;
        const PERFMON = 1 << 38;
        const BPF = 1 << 39;
        const CHECKPOINT_RESTORE = 1 << 40;
    }
}

pub use linux_abi::capability::CAP_LAST_CAP;
pub use linux_abi::prctl::{
    SECBIT_KEEP_CAPS, SECBIT_NO_CAP_AMBIENT_RAISE, SECBIT_NO_SETUID_FIXUP, SECBIT_NOROOT,
};

/// `struct cred`.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    pub ruid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub rgid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    /// Supplementary groups, sorted.
    pub groups: Arc<[u32]>,
    pub inheritable: Caps,
    pub permitted: Caps,
    pub effective: Caps,
    pub bounding: Caps,
    pub ambient: Caps,
    pub securebits: u32,
    /// keyrings(7).
    pub keyrings: crate::keys::Keyrings,
}

impl Credentials {
    /// Credentials of a process that starts as `uid`:`gid`, without capabilities.
    pub fn user(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        let mut groups = groups.to_vec();
        groups.sort_unstable();
        Credentials {
            ruid: uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            rgid: gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: groups.into(),
            ..Credentials::default()
        }
    }

    /// Whether all of `caps` are in the effective set.
    pub fn capable(&self, caps: Caps) -> bool {
        self.effective.contains(caps)
    }

    /// Whether `gid` is the filesystem group or a supplementary one (`in_group_p`).
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.binary_search(&gid).is_ok()
    }

    /// Whether `gid` is the effective group or a supplementary one (`in_egroup_p`).
    pub fn in_effective_group(&self, gid: u32) -> bool {
        self.egid == gid || self.groups.binary_search(&gid).is_ok()
    }
}
