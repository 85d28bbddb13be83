//! Keys and keyrings (keyrings(7), `security/keys/`): what programs leave with the kernel for each other.
//!
//! * [`Key`] is a key, or a keyring with links to others. It lives as long as something links to it: a keyring, or the
//!   credentials of a task ([`Keyrings`]).
//! * [`Keys`]: all keys of a sandbox by serial number, the keyrings of users, and quotas.
//! * `search.rs`: finding keys from a task's keyrings, which is also what possessing them means.
//!
//! There is nobody outside who could make a key (`/sbin/request-key`): what is not found is not there.
//!
//! Lock order: [`Keys::change`] (held over changes of links) → a key's state, one at a time → quotas. No key is dropped under a key's
//! state: its end gives its quota back.

mod search;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use linux_abi::{Errno, Result};
use parking_lot::Mutex;

pub(crate) use self::search::install;
pub use self::search::{Lookup, Need, Reference};
use crate::credentials::Credentials;

/// Permission bits of the possessor; the owner's, the group's and the others' are 8, 16 and 24 bits lower.
const POSSESSOR: u32 = 24;
const OWNER: u32 = 16;
/// All six permissions.
const ALL: u32 = 0x3f;
const READ: u32 = 0x02;
const WRITE: u32 = 0x04;
/// Every bit `KEYCTL_SETPERM` knows.
pub const ALL_PERMISSIONS: u32 = 0x3f3f_3f3f;
/// `KEYRING_SEARCH_MAX_DEPTH`.
const MAX_DEPTH: usize = 6;
/// `key_quota_maxkeys`, `key_quota_maxbytes`, and root's: fewer than on Linux, since they are memory of the sentry.
const USER_QUOTA: (usize, usize) = (200, 20_000);
const ROOT_QUOTA: (usize, usize) = (100_000, 25_000_000);
/// What a link costs (`KEYQUOTA_LINK_BYTES`).
const LINK_COST: usize = 4;
/// Users whose keyrings are kept though nothing is in them.
const MAX_IDLE_USERS: usize = 1024;

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes.
    User,
    /// Bytes that cannot be read back.
    Logon,
    /// Links to keys.
    Keyring,
}

impl Kind {
    /// By name.
    ///
    /// # Errors
    /// `ENODEV`.
    pub fn by_name(name: &[u8]) -> Result<Kind> {
        match name {
            b"user" => Ok(Kind::User),
            b"logon" => Ok(Kind::Logon),
            b"keyring" => Ok(Kind::Keyring),
            _ => Err(Errno::ENODEV),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Logon => "logon",
            Kind::Keyring => "keyring",
        }
    }

    /// Checks a payload (`preparse`).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn check_payload(self, payload: &[u8]) -> Result<()> {
        let good = match self {
            Kind::Keyring => payload.is_empty(),
            _ => (1..=32767).contains(&payload.len()),
        };
        if good { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Checks a description: a logon key's says whose it is.
    fn check_description(self, description: &[u8]) -> Result<()> {
        let service = description.iter().position(|&byte| byte == b':').unwrap_or(0);
        if self == Kind::Logon && service == 0 { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// The permissions of a key that add_key(2) makes.
    fn permissions(self) -> u32 {
        let possessor = match self {
            Kind::User | Kind::Keyring => ALL,
            Kind::Logon => ALL & !READ,
        };
        possessor << POSSESSOR | 1 << OWNER
    }
}

/// A key.
pub struct Key {
    pub serial: i32,
    pub kind: Kind,
    pub description: Vec<u8>,
    /// The keyring of a user, which a session that wants one of its own does not use.
    of_user: bool,
    state: Mutex<State>,
    quota: Arc<Quota>,
    keys: Weak<Keys>,
}

struct State {
    uid: u32,
    gid: u32,
    perm: u32,
    payload: Vec<u8>,
    links: Vec<Arc<Key>>,
    revoked: bool,
    invalid: bool,
    /// `KEYCTL_RESTRICT_KEYRING`: nothing can be linked any more.
    restricted: bool,
    expires: Option<Instant>,
    /// What it counts for.
    charged: usize,
}

/// Keys and bytes by user.
#[derive(Default)]
struct Quota(Mutex<HashMap<u32, (usize, usize)>>);

impl Quota {
    fn change(&self, uid: u32, keys: usize, bytes: usize) -> Result<()> {
        let (most_keys, most_bytes) = if uid == 0 { ROOT_QUOTA } else { USER_QUOTA };
        let mut users = self.0.lock();
        let (used_keys, used_bytes) = users.get(&uid).copied().unwrap_or_default();
        let (keys, bytes) = (used_keys + keys, used_bytes + bytes);
        if keys > most_keys || bytes > most_bytes {
            return Err(Errno::EDQUOT);
        }
        users.insert(uid, (keys, bytes));
        Ok(())
    }

    fn give_back(&self, uid: u32, keys: usize, bytes: usize) {
        let mut users = self.0.lock();
        if let Some(used) = users.get_mut(&uid) {
            *used = (used.0.saturating_sub(keys), used.1.saturating_sub(bytes));
            if *used == (0, 0) {
                users.remove(&uid);
            }
        }
    }
}

impl Drop for Key {
    /// A loop, not a recursion: keyrings can be nested to any depth, one at a time.
    fn drop(&mut self) {
        let mut pending = self.finish();
        while let Some(key) = pending.pop() {
            if let Some(mut key) = Arc::into_inner(key) {
                pending.append(&mut key.finish());
            }
        }
    }
}

impl Key {
    /// Gives back what it holds, once.
    fn finish(&mut self) -> Vec<Arc<Key>> {
        let state = self.state.get_mut();
        let charged = std::mem::take(&mut state.charged);
        if charged > 0 {
            self.quota.give_back(state.uid, 1, charged);
            if let Some(keys) = self.keys.upgrade() {
                keys.by_serial.lock().remove(&self.serial);
            }
        }
        std::mem::take(&mut state.links)
    }

    /// Whether it can be used (`key_validate`).
    ///
    /// # Errors
    /// `ENOKEY`, `EKEYREVOKED`, `EKEYEXPIRED`.
    pub fn validate(&self) -> Result<()> {
        let state = self.state.lock();
        if state.invalid {
            return Err(Errno::ENOKEY);
        }
        if state.revoked {
            return Err(Errno::EKEYREVOKED);
        }
        if state.expires.is_some_and(|at| at <= Instant::now()) {
            return Err(Errno::EKEYEXPIRED);
        }
        Ok(())
    }

    /// `uid`, `gid` and permissions.
    pub fn access(&self) -> (u32, u32, u32) {
        let state = self.state.lock();
        (state.uid, state.gid, state.perm)
    }

    /// The bytes, or the serial numbers of what a keyring links to.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for keys that cannot be read.
    pub fn read(&self) -> Result<Vec<u8>> {
        let state = self.state.lock();
        match self.kind {
            Kind::User => Ok(state.payload.clone()),
            Kind::Keyring => Ok(state.links.iter().flat_map(|key| key.serial.to_ne_bytes()).collect()),
            Kind::Logon => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Replaces the bytes.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for keyrings, `EINVAL`, `EDQUOT`.
    pub fn update(&self, payload: Vec<u8>) -> Result<()> {
        if self.kind == Kind::Keyring {
            return Err(Errno::EOPNOTSUPP);
        }
        self.kind.check_payload(&payload)?;
        let mut state = self.state.lock();
        let before = state.payload.len();
        self.recharge(&mut state, before, payload.len())?;
        state.payload = payload;
        state.expires = None;
        Ok(())
    }

    fn recharge(&self, state: &mut State, before: usize, after: usize) -> Result<()> {
        if after > before {
            self.quota.change(state.uid, 0, after - before)?;
        } else {
            self.quota.give_back(state.uid, 0, before - after);
        }
        state.charged = state.charged - before + after;
        Ok(())
    }

    /// `KEYCTL_REVOKE`: its contents go, it stays.
    pub fn revoke(&self) {
        let gone = {
            let mut state = self.state.lock();
            state.revoked = true;
            let held = state.payload.len() + state.links.len() * LINK_COST;
            // What shrinks is never refused.
            let _ = self.recharge(&mut state, held, 0);
            state.payload = Vec::new();
            std::mem::take(&mut state.links)
        };
        drop(gone);
    }

    /// `KEYCTL_INVALIDATE`: nobody finds it any more.
    pub fn invalidate(&self) {
        self.state.lock().invalid = true;
    }

    /// `KEYCTL_SET_TIMEOUT`.
    pub fn set_timeout(&self, seconds: u32) {
        let after = Duration::from_secs(u64::from(seconds));
        self.state.lock().expires = if seconds == 0 { None } else { Instant::now().checked_add(after) };
    }

    /// `KEYCTL_SETPERM`.
    pub fn set_permissions(&self, perm: u32) {
        self.state.lock().perm = perm;
    }

    /// `KEYCTL_CHOWN`: its new owner pays for it.
    ///
    /// # Errors
    /// `EDQUOT`.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(uid) = uid.filter(|&uid| uid != state.uid) {
            self.quota.change(uid, 1, state.charged)?;
            self.quota.give_back(state.uid, 1, state.charged);
            state.uid = uid;
        }
        state.gid = gid.unwrap_or(state.gid);
        Ok(())
    }

    /// The keys a keyring links to. Invalid ones are as good as gone.
    fn links(&self) -> Vec<Arc<Key>> {
        self.state.lock().links.clone()
    }

    /// What a key is known by within a keyring.
    fn is(&self, kind: Kind, description: &[u8]) -> bool {
        self.kind == kind && self.description == description
    }

    /// Checks that it is a keyring.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn check_is_keyring(&self) -> Result<()> {
        if self.kind == Kind::Keyring { Ok(()) } else { Err(Errno::ENOTDIR) }
    }
}

/// The keyrings in a task's credentials.
#[derive(Clone, Default)]
pub struct Keyrings {
    pub thread: Option<Arc<Key>>,
    pub process: Option<Arc<Key>>,
    pub session: Option<Arc<Key>>,
    /// Where request_key(2) would put what it makes.
    pub request_default: i32,
}

impl std::fmt::Debug for Keyrings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let serial = |key: &Option<Arc<Key>>| key.as_ref().map(|key| key.serial);
        write!(f, "{:?}", [serial(&self.thread), serial(&self.process), serial(&self.session)])
    }
}

/// A new key's owner and permissions.
struct Owner {
    uid: u32,
    gid: u32,
    perm: u32,
    of_user: bool,
}

/// A user's keyring and default session keyring.
type UserKeyrings = (Arc<Key>, Arc<Key>);

/// All keys of a sandbox.
pub struct Keys {
    by_serial: Mutex<BTreeMap<i32, Weak<Key>>>,
    /// The keyring and the default session keyring of each user.
    users: Mutex<HashMap<u32, UserKeyrings>>,
    quota: Arc<Quota>,
    next: AtomicI32,
    /// Held over changes of links, so that what was looked up is still true.
    change: Mutex<()>,
    this: Weak<Keys>,
}

impl Keys {
    /// No keys; the first gets a number that depends on `seed`.
    pub fn new(seed: u32) -> Arc<Keys> {
        Arc::new_cyclic(|this| Keys {
            by_serial: Mutex::default(),
            users: Mutex::default(),
            quota: Arc::default(),
            next: AtomicI32::new((seed & 0x3fff_ffff).cast_signed() + 16),
            change: Mutex::default(),
            this: Weak::clone(this),
        })
    }

    fn make(&self, kind: Kind, description: &[u8], owner: &Owner, payload: Vec<u8>) -> Result<Arc<Key>> {
        kind.check_description(description)?;
        let charged = description.len() + 1 + payload.len();
        self.quota.change(owner.uid, 1, charged)?;
        let mut serials = self.by_serial.lock();
        let serial = loop {
            let serial = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if serial > 2 && !serials.contains_key(&serial) {
                break serial;
            }
        };
        let key = Arc::new(Key {
            serial,
            kind,
            description: description.to_vec(),
            of_user: owner.of_user,
            state: Mutex::new(State {
                uid: owner.uid,
                gid: owner.gid,
                perm: owner.perm,
                payload,
                links: Vec::new(),
                revoked: false,
                invalid: false,
                restricted: false,
                expires: None,
                charged,
            }),
            quota: Arc::clone(&self.quota),
            keys: Weak::clone(&self.this),
        });
        serials.insert(serial, Arc::downgrade(&key));
        Ok(key)
    }

    /// A keyring for the credentials of a task: possessors may do all, the owner what `owner` says.
    ///
    /// # Errors
    /// `EDQUOT`.
    pub fn keyring(&self, creds: &Credentials, description: &[u8], owner: u32) -> Result<Arc<Key>> {
        let perm = ALL << POSSESSOR | owner << OWNER;
        let owner = Owner { uid: creds.fsuid, gid: creds.fsgid, perm, of_user: false };
        self.make(Kind::Keyring, description, &owner, Vec::new())
    }

    /// The credentials of a child of somebody with `creds` (`copy_creds`).
    ///
    /// # Errors
    /// `EDQUOT`.
    pub fn for_child(&self, creds: &Arc<Credentials>, thread: bool) -> Result<Arc<Credentials>> {
        let own = &creds.keyrings;
        if own.thread.is_none() && (thread || own.process.is_none()) {
            return Ok(Arc::clone(creds));
        }
        let mut new = Credentials::clone(creds);
        // Who has a keyring of its own gives the threads it makes one each.
        new.keyrings.thread =
            if thread && own.thread.is_some() { Some(self.keyring(creds, b"_tid", 1)?) } else { None };
        if !thread {
            new.keyrings.process = None;
        }
        Ok(Arc::new(new))
    }

    /// The keyring and the default session keyring of a user.
    ///
    /// # Errors
    /// `EDQUOT`.
    pub fn of_user(&self, uid: u32) -> Result<(Arc<Key>, Arc<Key>)> {
        if let Some((own, session)) = self.users.lock().get(&uid) {
            return Ok((Arc::clone(own), Arc::clone(session)));
        }
        let perm = (ALL & !0x20) << POSSESSOR | ALL << OWNER;
        let owner = Owner { uid, gid: u32::MAX, perm, of_user: true };
        let own = self.make(Kind::Keyring, format!("_uid.{uid}").as_bytes(), &owner, Vec::new())?;
        let session = self.make(Kind::Keyring, format!("_uid_ses.{uid}").as_bytes(), &owner, Vec::new())?;
        self.link(&session, &own)?;
        let mut users = self.users.lock();
        let mut idle = Vec::new();
        if users.len() >= MAX_IDLE_USERS {
            // Whose keyrings are empty and unused gets new ones the next time.
            idle.extend(users.extract_if(|_, (own, session)| {
                Arc::strong_count(session) == 1 && Arc::strong_count(own) == 2 && own.links().is_empty()
            }));
        }
        let (own, session) = users.entry(uid).or_insert((own, session));
        let found = (Arc::clone(own), Arc::clone(session));
        drop(users);
        drop(idle);
        Ok(found)
    }

    /// The key with this number.
    ///
    /// # Errors
    /// `ENOKEY`.
    pub fn get(&self, serial: i32) -> Result<Arc<Key>> {
        self.by_serial.lock().get(&serial).and_then(Weak::upgrade).ok_or(Errno::ENOKEY)
    }

    /// All keys, in order.
    pub fn all(&self) -> Vec<Arc<Key>> {
        let found: Vec<Weak<Key>> = self.by_serial.lock().values().cloned().collect();
        found.iter().filter_map(Weak::upgrade).collect()
    }

    /// add_key(2): updates the key in `ring` that is known by this, or makes one.
    ///
    /// # Errors
    /// `ENOTDIR`, `EINVAL`, `EDQUOT`, `EACCES`.
    pub fn add(
        &self,
        creds: &Credentials,
        ring: &Key,
        kind: Kind,
        description: &[u8],
        payload: Vec<u8>,
    ) -> Result<Arc<Key>> {
        ring.check_is_keyring()?;
        kind.check_payload(&payload)?;
        if kind != Kind::Keyring
            && let Some(old) = ring.links().into_iter().find(|key| key.is(kind, description))
            && old.validate().is_ok()
        {
            // Found in a keyring that the caller may write: it possesses the key.
            Reference { key: Arc::clone(&old), possessed: true }.check(creds, WRITE)?;
            old.update(payload)?;
            return Ok(old);
        }
        let owner = Owner { uid: creds.fsuid, gid: creds.fsgid, perm: kind.permissions(), of_user: false };
        let key = self.make(kind, description, &owner, payload)?;
        self.link(ring, &key)?;
        Ok(key)
    }

    /// Links `key` into `ring`, in place of one that is known by the same.
    ///
    /// # Errors
    /// `ENOTDIR`; `EPERM` for a restricted keyring; `EDEADLK` for a cycle, `ELOOP` for keyrings nested too deeply; `EDQUOT`.
    pub fn link(&self, ring: &Key, key: &Arc<Key>) -> Result<()> {
        ring.check_is_keyring()?;
        let _change = self.change.lock();
        ring.validate()?;
        if key.kind == Kind::Keyring {
            search::check_nesting(key, ring.serial)?;
        }
        let mut state = ring.state.lock();
        if state.restricted {
            return Err(Errno::EPERM);
        }
        let same = state.links.iter_mut().find(|old| old.is(key.kind, &key.description));
        let displaced = if let Some(same) = same {
            Some(std::mem::replace(same, Arc::clone(key)))
        } else {
            let held = state.links.len() * LINK_COST;
            ring.recharge(&mut state, held, held + LINK_COST)?;
            state.links.push(Arc::clone(key));
            None
        };
        drop(state);
        drop(displaced);
        Ok(())
    }

    /// Removes the link to `key` from `ring`.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`.
    pub fn unlink(&self, ring: &Key, key: &Key) -> Result<()> {
        ring.check_is_keyring()?;
        let _change = self.change.lock();
        let mut state = ring.state.lock();
        let at = state.links.iter().position(|old| old.serial == key.serial).ok_or(Errno::ENOENT)?;
        let held = state.links.len() * LINK_COST;
        ring.recharge(&mut state, held, held - LINK_COST)?;
        let gone = state.links.remove(at);
        drop(state);
        drop(gone);
        Ok(())
    }

    /// Moves the link to `key` (`KEYCTL_MOVE`); `exclusive`: not in place of another.
    ///
    /// # Errors
    /// Those of [`Keys::link`] and [`Keys::unlink`]; `EEXIST`.
    pub fn relink(&self, key: &Arc<Key>, from: &Key, to: &Key, exclusive: bool) -> Result<()> {
        from.check_is_keyring()?;
        to.check_is_keyring()?;
        if from.serial == to.serial {
            return Ok(());
        }
        if !from.links().iter().any(|old| old.serial == key.serial) {
            return Err(Errno::ENOENT);
        }
        if exclusive && to.links().iter().any(|old| old.is(key.kind, &key.description)) {
            return Err(Errno::EEXIST);
        }
        self.link(to, key)?;
        self.unlink(from, key)
    }

    /// Removes all links from `ring`.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn clear(&self, ring: &Key) -> Result<()> {
        ring.check_is_keyring()?;
        let _change = self.change.lock();
        let mut state = ring.state.lock();
        let held = state.links.len() * LINK_COST;
        ring.recharge(&mut state, held, 0)?;
        let gone = std::mem::take(&mut state.links);
        drop(state);
        drop(gone);
        Ok(())
    }

    /// Lets nothing more be linked into `ring`.
    ///
    /// # Errors
    /// `ENOTDIR`; `EEXIST` if that is so already.
    pub fn restrict(&self, ring: &Key) -> Result<()> {
        ring.check_is_keyring()?;
        if std::mem::replace(&mut ring.state.lock().restricted, true) { Err(Errno::EEXIST) } else { Ok(()) }
    }
}
