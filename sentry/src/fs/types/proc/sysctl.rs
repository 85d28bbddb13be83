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

/// Two numbers, as `proc_dointvec_minmax` reads them.
fn pair(bytes: &[u8]) -> Result<[u32; 2]> {
    let text = str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim_matches(['\0', '\n', ' ', '\t']);
    let numbers: Vec<u32> = text
        .split_ascii_whitespace()
        .map(|word| word.parse().map_err(|_| Errno::EINVAL))
        .collect::<Result<_>>()?;
    numbers.try_into().map_err(|_| Errno::EINVAL)
}

pub(super) fn port_range(kernel: &Kernel) -> Vec<u8> {
    let range = kernel.net.stack.port_range();
    line(format!("{}\t{}", range.low, range.high).as_bytes())
}

pub(super) fn set_port_range(kernel: &Kernel, bytes: &[u8]) -> Result<()> {
    let [low, high] = pair(bytes)?.map(u16::try_from);
    kernel.net.stack.set_port_range(low.map_err(|_| Errno::EINVAL)?, high.map_err(|_| Errno::EINVAL)?)
}

pub(super) fn ping_groups(kernel: &Kernel) -> Vec<u8> {
    let (low, high) = *kernel.net.ping_groups.lock();
    line(format!("{low}\t{high}").as_bytes())
}

/// A range that is none means nobody (`ipv4_ping_group_range`).
pub(super) fn set_ping_groups(kernel: &Kernel, bytes: &[u8]) -> Result<()> {
    let [low, high] = pair(bytes)?;
    if i32::try_from(low).is_err() || i32::try_from(high).is_err() {
        return Err(Errno::EINVAL);
    }
    *kernel.net.ping_groups.lock() = if low > high { (1, 0) } else { (low, high) };
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
