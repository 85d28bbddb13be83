//! Finding keys (`security/keys/process_keys.c`): by number, by name, and what a task possesses.

use std::{collections::HashSet, sync::Arc};

use linux_abi::{Errno, Result};

use super::{Key, Keys, Kind, MAX_DEPTH, OWNER, POSSESSOR};
use crate::{credentials::Credentials, task::Task};

/// `KEY_SPEC_*`.
const THREAD: i32 = -1;
const PROCESS: i32 = -2;
const SESSION: i32 = -3;
const USER: i32 = -4;
const USER_SESSION: i32 = -5;

/// A permission that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    View = 0x01,
    Read = 0x02,
    Write = 0x04,
    Search = 0x08,
    Link = 0x10,
    SetAttr = 0x20,
    /// None is asked for.
    Nothing = 0,
}

bitflags::bitflags! {
    /// How a key is looked up.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Lookup: u32 {
        /// A keyring of the task's own is made if it is not there.
        const CREATE = 1;
        /// Also keys that cannot be used.
        const PARTIAL = 2;
    }
}

/// A key as a task found it.
#[derive(Clone)]
pub struct Reference {
    pub key: Arc<Key>,
    /// Whether it was found from the task's keyrings.
    pub possessed: bool,
}

impl Reference {
    /// Whether its permissions allow `need` (`key_task_permission`).
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check(&self, creds: &Credentials, need: u32) -> Result<()> {
        let (uid, gid, perm) = self.key.access();
        let mut granted = if uid == creds.fsuid {
            perm >> OWNER
        } else if gid != u32::MAX && perm & 0x3f00 != 0 && creds.in_group(gid) {
            perm >> 8
        } else {
            perm
        };
        if self.possessed {
            granted |= perm >> POSSESSOR;
        }
        if granted & need == need { Ok(()) } else { Err(Errno::EACCES) }
    }
}

/// Checks that `below` may be linked into the keyring `above`.
pub(super) fn check_nesting(below: &Arc<Key>, above: i32) -> Result<()> {
    let mut seen = HashSet::new();
    let mut level = vec![Arc::clone(below)];
    for _ in 0..=MAX_DEPTH {
        let mut next = Vec::new();
        for ring in &level {
            if ring.serial == above {
                return Err(Errno::EDEADLK);
            }
            let links = ring.links();
            next.extend(links.into_iter().filter(|key| key.kind == Kind::Keyring && seen.insert(key.serial)));
        }
        if next.is_empty() {
            return Ok(());
        }
        level = next;
    }
    Err(Errno::ELOOP)
}

/// Looks through `start` and the keyrings in it that may be searched, the nearest first, for what `wanted` says.
fn search(creds: &Credentials, start: &Reference, wanted: &dyn Fn(&Key) -> bool) -> Result<Reference> {
    let possessed = start.possessed;
    let mut seen = HashSet::new();
    let mut level = vec![Arc::clone(&start.key)];
    let mut error = Errno::ENOKEY;
    for _ in 0..=MAX_DEPTH {
        let mut next = Vec::new();
        for ring in &level {
            for key in ring.links() {
                let found = Reference { key, possessed };
                if wanted(&found.key) {
                    match found.key.validate().and_then(|()| found.check(creds, Need::Search as u32)) {
                        Ok(()) => return Ok(found),
                        Err(errno) => error = errno,
                    }
                } else if found.key.kind == Kind::Keyring
                    && found.check(creds, Need::Search as u32).is_ok()
                    && found.key.validate().is_ok()
                    && seen.insert(found.key.serial)
                {
                    next.push(found.key);
                }
            }
        }
        level = next;
    }
    Err(error)
}

impl Keys {
    /// The keyrings of `task` that are searched for it, in order.
    fn keyrings_of(&self, creds: &Credentials) -> Vec<Reference> {
        let own = &creds.keyrings;
        let session =
            own.session.clone().or_else(|| self.of_user(creds.ruid).ok().map(|(_, session)| session));
        let all = [own.thread.clone(), own.process.clone(), session];
        all.into_iter().flatten().map(|key| Reference { key, possessed: true }).collect()
    }

    /// Searches all keyrings of `task` (`search_process_keyrings`).
    ///
    /// # Errors
    /// `ENOKEY`, `EACCES`, `EKEYREVOKED`, `EKEYEXPIRED`.
    pub fn search_task(&self, creds: &Credentials, kind: Kind, description: &[u8]) -> Result<Reference> {
        let mut error = Errno::ENOKEY;
        for ring in self.keyrings_of(creds) {
            match search(creds, &ring, &|key| key.is(kind, description)) {
                Err(Errno::ENOKEY) => {}
                Err(errno) => error = errno,
                found => return found,
            }
        }
        Err(error)
    }

    /// Searches one keyring.
    ///
    /// # Errors
    /// As [`Keys::search_task`]; `ENOTDIR`.
    pub fn search_in(
        &self,
        creds: &Credentials,
        ring: &Reference,
        kind: Kind,
        description: &[u8],
    ) -> Result<Reference> {
        ring.key.check_is_keyring()?;
        search(creds, ring, &|key| key.is(kind, description))
    }

    fn possesses(&self, creds: &Credentials, wanted: &Key) -> bool {
        self.keyrings_of(creds).iter().any(|ring| {
            ring.key.serial == wanted.serial
                || search(creds, ring, &|key| key.serial == wanted.serial).is_ok()
        })
    }

    /// The key that `id` means to `task`, if it may be used for `need` (`lookup_user_key`).
    ///
    /// # Errors
    /// `ENOKEY`, `EINVAL` for an id that is none, `EACCES`, `EKEYREVOKED`, `EKEYEXPIRED`, `EDQUOT`.
    pub fn look_up(&self, task: &Task, id: i32, how: Lookup, need: Need) -> Result<Reference> {
        let found = if id < 0 { self.special(task, id, how)? } else { self.by_number(task, id)? };
        if need == Need::Nothing {
            return Ok(found);
        }
        if !how.contains(Lookup::PARTIAL) {
            found.key.validate()?;
        }
        found.check(&task.creds(), need as u32)?;
        Ok(found)
    }

    fn by_number(&self, task: &Task, id: i32) -> Result<Reference> {
        if id == 0 {
            return Err(Errno::EINVAL);
        }
        let key = self.get(id)?;
        let possessed = self.possesses(&task.creds(), &key);
        Ok(Reference { key, possessed })
    }

    fn special(&self, task: &Task, id: i32, how: Lookup) -> Result<Reference> {
        let creds = task.creds();
        let create = how.contains(Lookup::CREATE);
        let own = &creds.keyrings;
        let key = match id {
            THREAD => match &own.thread {
                Some(key) => Arc::clone(key),
                None if create => {
                    let key = self.keyring(&creds, b"_tid", 1)?;
                    install(task, |keyrings| keyrings.thread = Some(Arc::clone(&key)));
                    key
                }
                None => return Err(Errno::ENOKEY),
            },
            PROCESS => match &own.process {
                Some(key) => Arc::clone(key),
                None if create => {
                    let key = self.keyring(&creds, b"_pid", 1)?;
                    install(task, |keyrings| keyrings.process = Some(Arc::clone(&key)));
                    key
                }
                None => return Err(Errno::ENOKEY),
            },
            SESSION => match &own.session {
                Some(key) if !(create && key.of_user) => Arc::clone(key),
                _ if create => self.join_session(task, None)?,
                _ => {
                    let (_, key) = self.of_user(creds.ruid)?;
                    install(task, |keyrings| keyrings.session = Some(Arc::clone(&key)));
                    key
                }
            },
            USER => self.of_user(creds.ruid)?.0,
            USER_SESSION => self.of_user(creds.ruid)?.1,
            // Group keyrings never were; requests for keys come from nobody.
            -6 => return Err(Errno::EINVAL),
            -7 | -8 => return Err(Errno::ENOKEY),
            _ => return Err(Errno::EINVAL),
        };
        Ok(Reference { key, possessed: true })
    }

    /// Gives `task` another session keyring: a new one, or the one of this name (`join_session_keyring`).
    ///
    /// # Errors
    /// `EDQUOT`.
    pub fn join_session(&self, task: &Task, name: Option<&[u8]>) -> Result<Arc<Key>> {
        let creds = task.creds();
        let key = match name {
            None => self.keyring(&creds, b"_ses", 0x03)?,
            Some(name) => {
                let may_join = |key: &Arc<Key>| {
                    let found = Reference { key: Arc::clone(key), possessed: false };
                    key.is(Kind::Keyring, name)
                        && key.validate().is_ok()
                        && found.check(&creds, Need::Search as u32).is_ok()
                };
                let known = self.all().into_iter().find(may_join);
                match known {
                    Some(key) => key,
                    None => self.keyring(&creds, name, 0x13)?,
                }
            }
        };
        install(task, |keyrings| keyrings.session = Some(Arc::clone(&key)));
        Ok(key)
    }
}

/// Changes the keyrings in the credentials of the calling task.
pub(crate) fn install(task: &Task, change: impl FnOnce(&mut super::Keyrings)) {
    let mut creds = Credentials::clone(&task.creds());
    change(&mut creds.keyrings);
    task.set_creds(creds);
}
