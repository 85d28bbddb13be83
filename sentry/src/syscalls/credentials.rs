//! User and group ids (credentials(7)) and capabilities (capget(2), capset(2)).

use linux_abi::{Errno, Result, UserAddr};
use platform::Answer;

use crate::{
    credentials::{Caps, Credentials, SECBIT_KEEP_CAPS, SECBIT_NO_SETUID_FIXUP},
    error::SysResult,
    task::{ThreadCx, usermem::UserMemory},
};

/// "Leave it" in the calls that set several ids.
const KEEP: u32 = u32::MAX;
/// `NGROUPS_MAX`.
const NGROUPS_MAX: usize = 65_536;
const CAPS_V1: u32 = 0x1998_0330;
const CAPS_V2: u32 = 0x2007_1026;
const CAPS_V3: u32 = 0x2008_0522;

/// getuid(2).
pub fn getuid(cx: &mut ThreadCx) -> SysResult<u32> {
    let id = cx.task.creds().ruid;
    cx.remember(Answer::Uid, id);
    Ok(id)
}

/// geteuid(2).
pub fn geteuid(cx: &mut ThreadCx) -> SysResult<u32> {
    let id = cx.task.creds().euid;
    cx.remember(Answer::EffectiveUid, id);
    Ok(id)
}

/// getgid(2).
pub fn getgid(cx: &mut ThreadCx) -> SysResult<u32> {
    let id = cx.task.creds().rgid;
    cx.remember(Answer::Gid, id);
    Ok(id)
}

/// getegid(2).
pub fn getegid(cx: &mut ThreadCx) -> SysResult<u32> {
    let id = cx.task.creds().egid;
    cx.remember(Answer::EffectiveGid, id);
    Ok(id)
}

fn write_three(cx: &mut ThreadCx, at: [UserAddr; 3], ids: [u32; 3]) -> SysResult<()> {
    for (at, id) in at.into_iter().zip(ids) {
        cx.write_obj(at, &id)?;
    }
    Ok(())
}

/// getresuid(2).
pub fn getresuid(cx: &mut ThreadCx, ruid: UserAddr, euid: UserAddr, suid: UserAddr) -> SysResult<()> {
    let creds = cx.task.creds();
    write_three(cx, [ruid, euid, suid], [creds.ruid, creds.euid, creds.suid])
}

/// getresgid(2).
pub fn getresgid(cx: &mut ThreadCx, rgid: UserAddr, egid: UserAddr, sgid: UserAddr) -> SysResult<()> {
    let creds = cx.task.creds();
    write_three(cx, [rgid, egid, sgid], [creds.rgid, creds.egid, creds.sgid])
}

/// What a change of user ids does to capabilities (`cap_emulate_setxuid`), and to dumpability.
fn commit(cx: &ThreadCx, old: &Credentials, mut new: Credentials) {
    if new.securebits & SECBIT_NO_SETUID_FIXUP == 0 {
        let had_root = [old.ruid, old.euid, old.suid].contains(&0);
        let has_root = [new.ruid, new.euid, new.suid].contains(&0);
        if had_root && !has_root {
            if new.securebits & SECBIT_KEEP_CAPS == 0 {
                new.permitted = Caps::empty();
                new.effective = Caps::empty();
            }
            new.ambient = Caps::empty();
        }
        if old.euid == 0 && new.euid != 0 {
            new.effective = Caps::empty();
        }
        if old.euid != 0 && new.euid == 0 {
            new.effective = new.permitted;
        }
    }
    if old.euid != new.euid || old.egid != new.egid || old.fsuid != new.fsuid || old.fsgid != new.fsgid {
        cx.task.group.dumpable.store(false, std::sync::atomic::Ordering::Relaxed);
        cx.task.parent_death_signal.store(0, std::sync::atomic::Ordering::Relaxed);
    }
    cx.task.set_creds(new);
}

/// setuid(2).
pub fn setuid(cx: &mut ThreadCx, uid: u32) -> SysResult<()> {
    let old = cx.task.creds();
    let mut new = Credentials::clone(&old);
    if uid == KEEP {
        return Err(Errno::EINVAL.into());
    }
    if old.capable(Caps::SETUID) {
        new.ruid = uid;
        new.suid = uid;
    } else if uid != old.ruid && uid != old.suid {
        return Err(Errno::EPERM.into());
    }
    new.euid = uid;
    new.fsuid = uid;
    commit(cx, &old, new);
    Ok(())
}

/// setgid(2).
pub fn setgid(cx: &mut ThreadCx, gid: u32) -> SysResult<()> {
    let old = cx.task.creds();
    let mut new = Credentials::clone(&old);
    if gid == KEEP {
        return Err(Errno::EINVAL.into());
    }
    if old.capable(Caps::SETGID) {
        new.rgid = gid;
        new.sgid = gid;
    } else if gid != old.rgid && gid != old.sgid {
        return Err(Errno::EPERM.into());
    }
    new.egid = gid;
    new.fsgid = gid;
    commit(cx, &old, new);
    Ok(())
}

/// setreuid(2).
pub fn setreuid(cx: &mut ThreadCx, ruid: u32, euid: u32) -> SysResult<()> {
    let old = cx.task.creds();
    let mut new = Credentials::clone(&old);
    let privileged = old.capable(Caps::SETUID);
    if ruid != KEEP {
        if !privileged && ![old.ruid, old.euid].contains(&ruid) {
            return Err(Errno::EPERM.into());
        }
        new.ruid = ruid;
    }
    if euid != KEEP {
        if !privileged && ![old.ruid, old.euid, old.suid].contains(&euid) {
            return Err(Errno::EPERM.into());
        }
        new.euid = euid;
    }
    if ruid != KEEP || (euid != KEEP && euid != old.ruid) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    commit(cx, &old, new);
    Ok(())
}

/// setregid(2).
pub fn setregid(cx: &mut ThreadCx, rgid: u32, egid: u32) -> SysResult<()> {
    let old = cx.task.creds();
    let mut new = Credentials::clone(&old);
    let privileged = old.capable(Caps::SETGID);
    if rgid != KEEP {
        if !privileged && ![old.rgid, old.egid].contains(&rgid) {
            return Err(Errno::EPERM.into());
        }
        new.rgid = rgid;
    }
    if egid != KEEP {
        if !privileged && ![old.rgid, old.egid, old.sgid].contains(&egid) {
            return Err(Errno::EPERM.into());
        }
        new.egid = egid;
    }
    if rgid != KEEP || (egid != KEEP && egid != old.rgid) {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    commit(cx, &old, new);
    Ok(())
}

fn check_three(wanted: [u32; 3], allowed: [u32; 3], privileged: bool) -> Result<()> {
    let fine = |id: &u32| *id == KEEP || allowed.contains(id);
    if privileged || wanted.iter().all(fine) { Ok(()) } else { Err(Errno::EPERM) }
}

/// setresuid(2).
pub fn setresuid(cx: &mut ThreadCx, ruid: u32, euid: u32, suid: u32) -> SysResult<()> {
    let old = cx.task.creds();
    check_three([ruid, euid, suid], [old.ruid, old.euid, old.suid], old.capable(Caps::SETUID))?;
    let mut new = Credentials::clone(&old);
    for (slot, id) in [(&mut new.ruid, ruid), (&mut new.euid, euid), (&mut new.suid, suid)] {
        if id != KEEP {
            *slot = id;
        }
    }
    new.fsuid = new.euid;
    commit(cx, &old, new);
    Ok(())
}

/// setresgid(2).
pub fn setresgid(cx: &mut ThreadCx, rgid: u32, egid: u32, sgid: u32) -> SysResult<()> {
    let old = cx.task.creds();
    check_three([rgid, egid, sgid], [old.rgid, old.egid, old.sgid], old.capable(Caps::SETGID))?;
    let mut new = Credentials::clone(&old);
    for (slot, id) in [(&mut new.rgid, rgid), (&mut new.egid, egid), (&mut new.sgid, sgid)] {
        if id != KEEP {
            *slot = id;
        }
    }
    new.fsgid = new.egid;
    commit(cx, &old, new);
    Ok(())
}

/// setfsuid(2): returns the old id, never fails.
pub fn setfsuid(cx: &mut ThreadCx, uid: u32) -> SysResult<u32> {
    let old = cx.task.creds();
    if uid != KEEP && ([old.ruid, old.euid, old.suid, old.fsuid].contains(&uid) || old.capable(Caps::SETUID))
    {
        let file_caps = Caps::CHOWN
            | Caps::DAC_OVERRIDE
            | Caps::DAC_READ_SEARCH
            | Caps::FOWNER
            | Caps::FSETID
            | Caps::LINUX_IMMUTABLE
            | Caps::MKNOD
            | Caps::MAC_OVERRIDE;
        let mut new = Credentials { fsuid: uid, ..Credentials::clone(&old) };
        if old.fsuid == 0 && uid != 0 {
            new.effective.remove(file_caps);
        } else if old.fsuid != 0 && uid == 0 {
            new.effective |= new.permitted & file_caps;
        }
        cx.task.set_creds(new);
    }
    Ok(old.fsuid)
}

/// setfsgid(2): returns the old id, never fails.
pub fn setfsgid(cx: &mut ThreadCx, gid: u32) -> SysResult<u32> {
    let old = cx.task.creds();
    if gid != KEEP && ([old.rgid, old.egid, old.sgid, old.fsgid].contains(&gid) || old.capable(Caps::SETGID))
    {
        cx.task.set_creds(Credentials { fsgid: gid, ..Credentials::clone(&old) });
    }
    Ok(old.fsgid)
}

/// getgroups(2).
pub fn getgroups(cx: &mut ThreadCx, size: i32, list: UserAddr) -> SysResult<usize> {
    let groups = std::sync::Arc::clone(&cx.task.creds().groups);
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size != 0 {
        if size < groups.len() {
            return Err(Errno::EINVAL.into());
        }
        let bytes: Vec<u8> = groups.iter().flat_map(|gid| gid.to_le_bytes()).collect();
        cx.write_bytes(list, &bytes)?;
    }
    Ok(groups.len())
}

/// setgroups(2).
pub fn setgroups(cx: &mut ThreadCx, size: i32, list: UserAddr) -> SysResult<()> {
    let old = cx.task.creds();
    if !old.capable(Caps::SETGID) {
        return Err(Errno::EPERM.into());
    }
    let size = usize::try_from(size).ok().filter(|size| *size <= NGROUPS_MAX).ok_or(Errno::EINVAL)?;
    let mut groups: Vec<u32> = cx.read_array(list, size)?;
    groups.sort_unstable();
    cx.task.set_creds(Credentials { groups: groups.into(), ..Credentials::clone(&old) });
    Ok(())
}

/// How many 32-bit words each set has in this version of the header; `None` asks for the version.
fn words(cx: &mut ThreadCx, header: UserAddr, version: u32) -> SysResult<Option<usize>> {
    match version {
        CAPS_V1 => Ok(Some(1)),
        CAPS_V2 | CAPS_V3 => Ok(Some(2)),
        _ => {
            cx.write_obj(header, &CAPS_V3)?;
            Ok(None)
        }
    }
}

/// capget(2).
pub fn capget(cx: &mut ThreadCx, header: UserAddr, data: UserAddr) -> SysResult<()> {
    let version: u32 = cx.read_obj(header)?;
    let Some(words) = words(cx, header, version)? else {
        return if data.is_null() { Ok(()) } else { Err(Errno::EINVAL.into()) };
    };
    let pid: i32 = cx.read_obj(header.wrapping_add(4))?;
    if pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let creds = if pid == 0 || pid == cx.task.tid() {
        cx.task.creds()
    } else {
        cx.task.kernel.tasks.lock().thread(pid).ok_or(Errno::ESRCH)?.creds()
    };
    if data.is_null() {
        return Ok(());
    }
    let mut bytes = Vec::new();
    for word in 0..words {
        for set in [creds.effective, creds.permitted, creds.inheritable] {
            bytes.extend_from_slice(set.bits().to_le_bytes().get(4 * word..4 * word + 4).unwrap_or_default());
        }
    }
    Ok(cx.write_bytes(data, &bytes)?)
}

/// capset(2).
pub fn capset(cx: &mut ThreadCx, header: UserAddr, data: UserAddr) -> SysResult<()> {
    let version: u32 = cx.read_obj(header)?;
    let Some(words) = words(cx, header, version)? else { return Err(Errno::EINVAL.into()) };
    let pid: i32 = cx.read_obj(header.wrapping_add(4))?;
    if pid != 0 && pid != cx.task.tid() {
        return Err(Errno::EPERM.into());
    }
    let raw: Vec<[u32; 3]> = cx.read_array(data, words)?;
    let set = |index: usize| {
        let word = |at: usize| u64::from(raw.get(at).and_then(|w| w.get(index)).copied().unwrap_or(0));
        Caps::from_bits_truncate(word(0) | word(1) << 32)
    };
    let (effective, permitted, inheritable) = (set(0), set(1), set(2));
    let old = cx.task.creds();
    let may_inherit = old.inheritable | if old.capable(Caps::SETPCAP) { old.bounding } else { old.permitted };
    if !may_inherit.contains(inheritable)
        || !(old.inheritable | old.bounding).contains(inheritable)
        || !old.permitted.contains(permitted)
        || !permitted.contains(effective)
    {
        return Err(Errno::EPERM.into());
    }
    let ambient = old.ambient & permitted & inheritable;
    cx.task.set_creds(Credentials { effective, permitted, inheritable, ambient, ..Credentials::clone(&old) });
    Ok(())
}
