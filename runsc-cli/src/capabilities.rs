//! Names of capabilities (linux/capability.h), as numbers and sets.

use crate::error::{Error, Result};

/// In the order of their numbers.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The bit of a capability, named with or without `CAP_`, in any case.
///
/// # Errors
/// There is none of that name.
pub fn bit(name: &str) -> Result<u64> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let number = NAMES.iter().position(|known| *known == short);
    number.map(|number| 1 << number).ok_or_else(|| Error::new(format!("unknown capability {name}")))
}

/// The set of these capabilities.
///
/// # Errors
/// As [`bit`].
pub fn set<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Result<u64> {
    names.into_iter().try_fold(0, |set, name| Ok(set | bit(name.as_ref())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_default_set() {
        let names = "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw \
                     sys_chroot mknod audit_write setfcap";
        assert_eq!(set(names.split_whitespace()), Ok(0xa804_25fb));
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE"), Ok(1 << 40));
        assert!(bit("CAP_").is_err());
    }
}
