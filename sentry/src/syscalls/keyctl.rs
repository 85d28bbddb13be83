//! Keys: add_key(2), request_key(2), keyctl(2).

use std::sync::Arc;

use linux_abi::{Errno, PAGE_SIZE, Result, UserAddr};

use crate::{
    credentials::Caps,
    keys::{ALL_PERMISSIONS, Key, Kind, Lookup, Need, Reference, install},
    task::{ThreadCx, usermem::UserMemory},
};

/// Longest type and description, with their NULs (`KEY_MAX_DESC_SIZE`).
const TYPE_MAX: usize = 32;
const DESCRIPTION_MAX: usize = 4096;
/// Longest payload of add_key(2).
const PAYLOAD_MAX: usize = (1 << 20) - 1;

// Operations (keyctl(2)).
const GET_KEYRING_ID: i32 = 0;
const JOIN_SESSION_KEYRING: i32 = 1;
const UPDATE: i32 = 2;
const REVOKE: i32 = 3;
const CHOWN: i32 = 4;
const SETPERM: i32 = 5;
const DESCRIBE: i32 = 6;
const CLEAR: i32 = 7;
const LINK: i32 = 8;
const UNLINK: i32 = 9;
const SEARCH: i32 = 10;
const READ: i32 = 11;
const INSTANTIATE: i32 = 12;
const NEGATE: i32 = 13;
const SET_REQKEY_KEYRING: i32 = 14;
const SET_TIMEOUT: i32 = 15;
const ASSUME_AUTHORITY: i32 = 16;
const GET_SECURITY: i32 = 17;
const SESSION_TO_PARENT: i32 = 18;
const REJECT: i32 = 19;
const INSTANTIATE_IOV: i32 = 20;
const INVALIDATE: i32 = 21;
const RESTRICT_KEYRING: i32 = 29;
const MOVE: i32 = 30;
const CAPABILITIES: i32 = 31;
/// `KEYCTL_MOVE_EXCL`.
const MOVE_EXCL: u32 = 1;
/// What `CAPABILITIES` tells: that it is there itself, invalidating, restricting and moving.
const KNOWN: [u8; 2] = [0x01 | 0x20 | 0x40 | 0x80, 0];

/// `key_get_type_from_user`.
fn read_type(cx: &mut ThreadCx, at: UserAddr) -> Result<Vec<u8>> {
    let name = cx.read_cstring(at, TYPE_MAX).map_err(too_long)?;
    match name.first() {
        None => Err(Errno::EINVAL),
        Some(b'.') => Err(Errno::EPERM),
        Some(_) => Ok(name),
    }
}

/// `strndup_user`.
fn read_text(cx: &mut ThreadCx, at: UserAddr) -> Result<Vec<u8>> {
    cx.read_cstring(at, DESCRIPTION_MAX).map_err(too_long)
}

fn too_long(errno: Errno) -> Errno {
    if errno == Errno::ENAMETOOLONG { Errno::EINVAL } else { errno }
}

fn look_up(cx: &ThreadCx, id: i32, how: Lookup, need: Need) -> Result<Reference> {
    cx.task.kernel.keys.look_up(&cx.task, id, how, need)
}

/// A keyring to write to, made if it is one of the task's own.
fn keyring(cx: &ThreadCx, id: i32) -> Result<Arc<Key>> {
    Ok(look_up(cx, id, Lookup::CREATE, Need::Write)?.key)
}

fn read_payload(cx: &mut ThreadCx, at: UserAddr, len: usize) -> Result<Vec<u8>> {
    let mut payload = vec![0; len];
    if len > 0 {
        cx.read_bytes(at, &mut payload)?;
    }
    Ok(payload)
}

/// add_key(2).
pub fn add_key(
    cx: &mut ThreadCx,
    kind: UserAddr,
    description: UserAddr,
    payload: UserAddr,
    len: usize,
    ring: i32,
) -> Result<i32> {
    if len > PAYLOAD_MAX {
        return Err(Errno::EINVAL);
    }
    let kind = read_type(cx, kind)?;
    let description = if description.is_null() { Vec::new() } else { read_text(cx, description)? };
    if description.first() == Some(&b'.') && kind.starts_with(b"keyring") {
        return Err(Errno::EPERM);
    }
    let payload = read_payload(cx, payload, len)?;
    let ring = keyring(cx, ring)?;
    let kind = Kind::by_name(&kind)?;
    ring.check_is_keyring()?;
    kind.check_payload(&payload)?;
    if description.is_empty() {
        return Err(Errno::EINVAL);
    }
    let creds = cx.task.creds();
    Ok(cx.task.kernel.keys.add(&creds, &ring, kind, &description, payload)?.serial)
}

/// request_key(2). Nobody outside is asked for a key that is not there.
pub fn request_key(
    cx: &mut ThreadCx,
    kind: UserAddr,
    description: UserAddr,
    callout: UserAddr,
    destination: i32,
) -> Result<i32> {
    let kind = read_type(cx, kind)?;
    let description = read_text(cx, description)?;
    if !callout.is_null() {
        cx.read_cstring(callout, usize::try_from(PAGE_SIZE).unwrap_or(0)).map_err(too_long)?;
    }
    let destination = if destination == 0 { None } else { Some(keyring(cx, destination)?) };
    let kind = Kind::by_name(&kind)?;
    let keys = &cx.task.kernel.keys;
    let found = keys.search_task(&cx.task.creds(), kind, &description)?;
    if let Some(ring) = destination {
        keys.link(&ring, &found.key)?;
    }
    Ok(found.key.serial)
}

/// An argument that is an `int` or a serial number.
fn int(word: u64) -> i32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// keyctl(2).
pub fn keyctl(cx: &mut ThreadCx, operation: i32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) -> Result<u64> {
    let (id, second) = (int(arg2), int(arg3));
    let keys = Arc::clone(&cx.task.kernel.keys);
    let done = match operation {
        GET_KEYRING_ID => {
            let how = if second != 0 { Lookup::CREATE } else { Lookup::empty() };
            return Ok(serial(&look_up(cx, id, how, Need::Search)?.key));
        }
        JOIN_SESSION_KEYRING => return join_session(cx, UserAddr(arg2)),
        UPDATE => {
            if arg4 > PAGE_SIZE {
                return Err(Errno::EINVAL);
            }
            let payload = read_payload(cx, UserAddr(arg3), usize::try_from(arg4).unwrap_or(0))?;
            look_up(cx, id, Lookup::empty(), Need::Write)?.key.update(payload)
        }
        REVOKE => {
            let found = match look_up(cx, id, Lookup::empty(), Need::Write) {
                Err(Errno::EACCES) => look_up(cx, id, Lookup::empty(), Need::SetAttr),
                found => found,
            };
            found.map(|found| found.key.revoke())
        }
        INVALIDATE => look_up(cx, id, Lookup::empty(), Need::Search).map(|found| found.key.invalidate()),
        CHOWN => change_owner(cx, id, second.cast_unsigned(), int(arg4).cast_unsigned()),
        SETPERM => change_permissions(cx, id, second.cast_unsigned()),
        DESCRIBE => return describe(cx, id, UserAddr(arg3), arg4),
        CLEAR => keys.clear(&*keyring(cx, id)?),
        LINK => {
            let ring = keyring(cx, second)?;
            keys.link(&ring, &look_up(cx, id, Lookup::CREATE, Need::Link)?.key)
        }
        UNLINK => {
            let ring = look_up(cx, second, Lookup::empty(), Need::Write)?;
            keys.unlink(&ring.key, &look_up(cx, id, Lookup::PARTIAL, Need::Nothing)?.key)
        }
        SEARCH => return search(cx, id, UserAddr(arg3), UserAddr(arg4), int(arg5)),
        READ => return read(cx, id, UserAddr(arg3), arg4),
        // Only who was asked to make a key may: nobody is.
        INSTANTIATE | NEGATE | REJECT | INSTANTIATE_IOV => Err(Errno::EPERM),
        ASSUME_AUTHORITY => match id {
            0 => Ok(()),
            1.. => Err(Errno::ENOKEY),
            _ => Err(Errno::EINVAL),
        },
        SET_REQKEY_KEYRING => return set_request_default(cx, id),
        SET_TIMEOUT => look_up(cx, id, Lookup::CREATE | Lookup::PARTIAL, Need::SetAttr)
            .map(|found| found.key.set_timeout(second.cast_unsigned())),
        GET_SECURITY => {
            look_up(cx, id, Lookup::PARTIAL, Need::View)?;
            if arg4 > 0 && arg3 != 0 {
                cx.write_bytes(UserAddr(arg3), &[0])?;
            }
            return Ok(1);
        }
        SESSION_TO_PARENT => Err(Errno::EPERM),
        RESTRICT_KEYRING => {
            let ring = look_up(cx, id, Lookup::empty(), Need::SetAttr)?;
            // Restrictions other than "nothing more" are those of asymmetric keys.
            if arg3 == 0 { keys.restrict(&ring.key) } else { Err(Errno::ENOENT) }
        }
        MOVE => {
            let flags = int(arg5).cast_unsigned();
            if flags & !MOVE_EXCL != 0 {
                return Err(Errno::EINVAL);
            }
            let key = look_up(cx, id, Lookup::CREATE, Need::Link)?;
            let from = look_up(cx, second, Lookup::empty(), Need::Write)?;
            let to = keyring(cx, int(arg4))?;
            keys.relink(&key.key, &from.key, &to, flags & MOVE_EXCL != 0)
        }
        CAPABILITIES => return capabilities(cx, UserAddr(arg2), arg3),
        _ => Err(Errno::EOPNOTSUPP),
    };
    done.map(|()| 0)
}

fn serial(key: &Key) -> u64 {
    u64::from(key.serial.unsigned_abs())
}

fn join_session(cx: &mut ThreadCx, name: UserAddr) -> Result<u64> {
    let name = if name.is_null() { None } else { Some(read_text(cx, name)?) };
    if name.as_ref().is_some_and(|name| name.first() == Some(&b'.')) {
        return Err(Errno::EPERM);
    }
    let before = cx.task.creds().keyrings.session.as_ref().map(|key| key.serial);
    let joined = cx.task.kernel.keys.join_session(&cx.task, name.as_deref())?;
    // To join what one is in already is told apart so.
    Ok(if Some(joined.serial) == before { 0 } else { serial(&joined) })
}

fn change_owner(cx: &ThreadCx, id: i32, uid: u32, gid: u32) -> Result<()> {
    let known = |id: u32| Some(id).filter(|&id| id != u32::MAX);
    let (uid, gid) = (known(uid), known(gid));
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    let key = look_up(cx, id, Lookup::CREATE | Lookup::PARTIAL, Need::SetAttr)?.key;
    let creds = cx.task.creds();
    let (owner, group, _) = key.access();
    let others_uid = uid.is_some_and(|uid| uid != owner);
    let others_gid = gid.is_some_and(|gid| gid != group && !creds.in_group(gid));
    if (others_uid || others_gid) && !creds.capable(Caps::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    key.set_owner(uid, gid)
}

fn change_permissions(cx: &ThreadCx, id: i32, perm: u32) -> Result<()> {
    if perm & !ALL_PERMISSIONS != 0 {
        return Err(Errno::EINVAL);
    }
    let key = look_up(cx, id, Lookup::CREATE | Lookup::PARTIAL, Need::SetAttr)?.key;
    let creds = cx.task.creds();
    if key.access().0 != creds.fsuid && !creds.capable(Caps::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    key.set_permissions(perm);
    Ok(())
}

fn describe(cx: &mut ThreadCx, id: i32, buffer: UserAddr, size: u64) -> Result<u64> {
    let key = look_up(cx, id, Lookup::PARTIAL, Need::View)?.key;
    let (uid, gid, perm) = key.access();
    // No group is shown as one that cannot be (`from_kgid_munged`).
    let gid = if gid == u32::MAX { 65534 } else { gid };
    let mut text = format!("{};{uid};{gid};{perm:08x};", key.kind.name()).into_bytes();
    text.extend_from_slice(&key.description);
    text.push(0);
    let len = text.len() as u64;
    if !buffer.is_null() && size >= len {
        cx.write_bytes(buffer, &text)?;
    }
    Ok(len)
}

fn search(
    cx: &mut ThreadCx,
    ring: i32,
    kind: UserAddr,
    description: UserAddr,
    destination: i32,
) -> Result<u64> {
    let kind = read_type(cx, kind)?;
    let description = read_text(cx, description)?;
    let ring = look_up(cx, ring, Lookup::empty(), Need::Search)?;
    let destination = if destination == 0 { None } else { Some(keyring(cx, destination)?) };
    let kind = Kind::by_name(&kind)?;
    let (keys, creds) = (&cx.task.kernel.keys, cx.task.creds());
    let found = keys.search_in(&creds, &ring, kind, &description)?;
    if let Some(destination) = destination {
        found.check(&creds, Need::Link as u32)?;
        keys.link(&destination, &found.key)?;
    }
    Ok(serial(&found.key))
}

fn read(cx: &mut ThreadCx, id: i32, buffer: UserAddr, size: u64) -> Result<u64> {
    let found = look_up(cx, id, Lookup::PARTIAL, Need::Nothing)?;
    found.key.validate()?;
    // Who possesses a key that may be searched for may also read it.
    if found.check(&cx.task.creds(), Need::Read as u32).is_err() && !found.possessed {
        return Err(Errno::EACCES);
    }
    let bytes = found.key.read()?;
    let len = bytes.len() as u64;
    if !buffer.is_null() && len > 0 && len <= size {
        cx.write_bytes(buffer, &bytes)?;
    }
    Ok(len)
}

/// The keyring that request_key(2) would link new keys to; returns the one before.
fn set_request_default(cx: &ThreadCx, which: i32) -> Result<u64> {
    const NO_CHANGE: i32 = -1;
    const THREAD_KEYRING: i32 = 1;
    const PROCESS_KEYRING: i32 = 2;
    const USER_SESSION_KEYRING: i32 = 5;
    let before = cx.task.creds().keyrings.request_default;
    match which {
        NO_CHANGE => return Ok(u64::from(before.unsigned_abs())),
        THREAD_KEYRING | PROCESS_KEYRING => {
            look_up(cx, -which, Lookup::CREATE, Need::Nothing)?;
        }
        0 | 3..=USER_SESSION_KEYRING => {}
        _ => return Err(Errno::EINVAL),
    }
    install(&cx.task, |keyrings| keyrings.request_default = which);
    Ok(u64::from(before.unsigned_abs()))
}

fn capabilities(cx: &mut ThreadCx, buffer: UserAddr, size: u64) -> Result<u64> {
    let size = usize::try_from(size.min(PAGE_SIZE)).unwrap_or(0);
    let mut bytes = KNOWN.to_vec();
    bytes.resize(size.max(KNOWN.len()), 0);
    if size > 0 {
        cx.write_bytes(buffer, bytes.get(..size).unwrap_or_default())?;
    }
    Ok(KNOWN.len() as u64)
}
