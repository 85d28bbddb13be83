//! Capabilities and secure bits of the calling thread (capabilities(7)).
//!
//! [`drop_all`] is the last word of a jail. [`keep_only`] is for a process that needs a few (the gofer's rights
//! over files). Both must run while the process has one thread: capabilities are per thread.

use nix::errno::Errno;

/// `_LINUX_CAPABILITY_VERSION_3`: two 32-bit words per set.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The three sets that capget(2) tells, one bit per capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// Checked by the kernel.
    pub effective: u64,
    /// May be raised into the effective set.
    pub permitted: u64,
    /// May survive execve.
    pub inheritable: u64,
}

fn halves(set: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = set.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn whole(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// The calling thread's sets.
///
/// # Errors
/// As capget(2): none in practice.
pub fn get() -> Result<Sets, Errno> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads the header and fills two entries.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let [low, high] = data;
    Ok(Sets {
        effective: whole(low.effective, high.effective),
        permitted: whole(low.permitted, high.permitted),
        inheritable: whole(low.inheritable, high.inheritable),
    })
}

/// Replaces the calling thread's sets.
///
/// # Errors
/// `EPERM`: more than was permitted.
pub fn set(sets: Sets) -> Result<(), Errno> {
    let mut header = Header { version: VERSION, pid: 0 };
    let [effective, permitted, inheritable] =
        [halves(sets.effective), halves(sets.permitted), halves(sets.inheritable)];
    let data: [Data; 2] = std::array::from_fn(|half| Data {
        effective: effective[half],
        permitted: permitted[half],
        inheritable: inheritable[half],
    });
    // SAFETY: version 3 reads the header and two entries.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

/// Raises every permitted capability into the inheritable and ambient sets, so that execve keeps it. Makes only
/// system calls: may run between a vfork and its exec.
///
/// # Errors
/// `EPERM`: forbidden by the secure bits.
pub fn raise_ambient() -> Result<(), Errno> {
    let sets = get()?;
    set(Sets { inheritable: sets.permitted, ..sets })?;
    for capability in 0..u64::BITS {
        if sets.permitted >> capability & 1 == 1 {
            prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(capability))?;
        }
    }
    Ok(())
}

/// Gives up every capability for good: all five sets are empty and the secure bits are locked so that no user id
/// means anything. Without `CAP_SETPCAP` the bounding set and the secure bits stay; the other sets still go.
///
/// # Errors
/// As capset(2).
pub fn drop_all() -> Result<(), Errno> {
    keep_only(0)
}

/// As [`drop_all`], but keeps the capabilities in `mask` effective and permitted (of those that are permitted now).
/// They do not survive execve.
///
/// # Errors
/// As capset(2).
pub fn keep_only(mask: u64) -> Result<(), Errno> {
    shut_off(mask)?;
    let kept = get()?.permitted & mask;
    set(Sets { effective: kept, permitted: kept, inheritable: 0 })
}

/// Makes sure that no program this process executes has a capability, while it keeps its own.
///
/// # Errors
/// As capset(2).
pub fn keep_from_programs() -> Result<(), Errno> {
    shut_off(0)?;
    set(Sets { inheritable: 0, ..get()? })
}

/// Takes the capabilities that are not in `mask` out of the bounding set, empties the ambient set and locks the secure bits.
fn shut_off(mask: u64) -> Result<(), Errno> {
    for capability in 0..u64::BITS {
        if mask >> capability & 1 == 0 {
            match prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0) {
                Ok(()) => {}
                // EINVAL: past the kernel's last capability. EPERM: no CAP_SETPCAP.
                Err(Errno::EINVAL | Errno::EPERM) => break,
                Err(other) => return Err(other),
            }
        }
    }
    match prctl(libc::PR_SET_SECUREBITS, LOCKED_SECUREBITS, 0) {
        Ok(()) | Err(Errno::EPERM) => {}
        Err(other) => return Err(other),
    }
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)
}

/// `NOROOT`, `NO_SETUID_FIXUP` and `NO_CAP_AMBIENT_RAISE` set, `KEEP_CAPS` clear, all of them locked (linux/securebits.h).
const LOCKED_SECUREBITS: u64 = 0b1110_1111;

fn prctl(option: libc::c_int, first: u64, second: u64) -> Result<(), Errno> {
    // SAFETY: the options used here take numbers only.
    Errno::result(unsafe { libc::prctl(option, first, second, 0u64, 0u64) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_join_again() {
        for set in [0, 1, 1 << 31, 1 << 32, u64::MAX, 0x1ff_feff_ffff] {
            let [low, high] = halves(set);
            assert_eq!(whole(low, high), set);
        }
    }

    #[test]
    fn a_thread_that_dropped_all_has_none_and_gets_none_back() {
        // Capabilities are per thread: the other tests keep theirs.
        std::thread::spawn(|| {
            let before = get().unwrap();
            drop_all().unwrap();
            assert_eq!(get().unwrap(), Sets::default());
            if before.permitted != 0 {
                assert_eq!(set(before), Err(Errno::EPERM));
                assert_eq!(nix::unistd::sethostname("x"), Err(Errno::EPERM));
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn keep_only_keeps_only_that() {
        const DAC_OVERRIDE: u64 = 1 << 1;
        std::thread::spawn(|| {
            let before = get().unwrap().permitted;
            keep_only(DAC_OVERRIDE).unwrap();
            let kept = before & DAC_OVERRIDE;
            assert_eq!(get().unwrap(), Sets { effective: kept, permitted: kept, inheritable: 0 });
        })
        .join()
        .unwrap();
    }
}
