//! The contents of /proc/sys that are not constants.

use linux_abi::{Errno, Result};

use crate::{
    kernel::Kernel,
    syscalls::identity::{RELEASE, VERSION},
    task::tree::PID_MAX,
};

fn line(text: &[u8]) -> Vec<u8> {
    [text, b"\n"].concat()
}

pub(super) fn hostname(kernel: &Kernel) -> Vec<u8> {
    line(&kernel.uts.read().hostname)
}

pub(super) fn domainname(kernel: &Kernel) -> Vec<u8> {
    line(&kernel.uts.read().domainname)
}

fn name(bytes: &[u8]) -> Result<Vec<u8>> {
    let name: Vec<u8> = bytes.iter().copied().take_while(|byte| !matches!(byte, b'\n' | 0)).collect();
    if name.len() > 64 { Err(Errno::EINVAL) } else { Ok(name) }
}

pub(super) fn set_hostname(kernel: &Kernel, bytes: &[u8]) -> Result<()> {
    kernel.uts.write().hostname = name(bytes)?;
    Ok(())
}

pub(super) fn set_domainname(kernel: &Kernel, bytes: &[u8]) -> Result<()> {
    kernel.uts.write().domainname = name(bytes)?;
    Ok(())
}

pub(super) fn osrelease(_kernel: &Kernel) -> Vec<u8> {
    line(RELEASE.as_bytes())
}

pub(super) fn version(_kernel: &Kernel) -> Vec<u8> {
    line(VERSION.as_bytes())
}

pub(super) fn pid_max(_kernel: &Kernel) -> Vec<u8> {
    line(PID_MAX.to_string().as_bytes())
}

/// A version-4 UUID from sixteen bytes.
fn format_uuid(mut bytes: [u8; 16]) -> Vec<u8> {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    line([part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-").as_bytes())
}

pub(super) fn uuid(kernel: &Kernel) -> Vec<u8> {
    let mut bytes = [0; 16];
    kernel.fill_random(&mut bytes);
    format_uuid(bytes)
}

pub(super) fn boot_id(kernel: &Kernel) -> Vec<u8> {
    format_uuid(kernel.boot_id)
}
