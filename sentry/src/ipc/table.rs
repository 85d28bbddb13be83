//! Identifiers and keys (`ipc/util.c`).

use std::collections::{BTreeMap, HashMap};

use linux_abi::{
    Errno, Result,
    ipc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE},
};

use super::{Name, Perm};
use crate::credentials::Credentials;

/// `IPCMNI`: identifiers are a place below this, and a sequence number times this.
const PLACES: i32 = 32_768;

/// Something that can be in a table.
pub trait Object {
    /// Who owns it.
    fn perm(&self) -> &Perm;
    /// The same, to change it.
    fn perm_mut(&mut self) -> &mut Perm;
    /// Whether nobody can reach it any more (a removed segment that nothing has attached).
    fn is_gone(&self) -> bool {
        false
    }
}

/// The objects of one kind.
pub struct Table<T> {
    places: BTreeMap<i32, T>,
    keys: HashMap<i32, i32>,
    last: i32,
    sequence: u16,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { places: BTreeMap::new(), keys: HashMap::new(), last: -1, sequence: 0 }
    }
}

/// What a `*get` call found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Get {
    /// This object, which the caller may use.
    Found(i32),
    /// One is to be made.
    Make,
}

impl<T: Object> Table<T> {
    /// How many there are.
    pub fn count(&mut self) -> usize {
        self.sweep();
        self.places.len()
    }

    /// The highest place in use.
    pub fn highest(&mut self) -> i32 {
        self.sweep();
        self.places.last_key_value().map_or(0, |(&place, _)| place)
    }

    fn sweep(&mut self) {
        self.places.retain(|_, object| !object.is_gone());
    }

    /// All, by identifier.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &T)> {
        self.places
            .iter()
            .filter(|(_, object)| !object.is_gone())
            .map(|(&place, object)| (id_of(place, object), object))
    }

    /// The object with the key of a `*get` call, as its flags allow (`ipcget`). `fits` is what else is asked of it.
    ///
    /// # Errors
    /// `ENOENT`, `EEXIST`, `EACCES`, that of `fits`.
    pub fn get(
        &self,
        key: i32,
        flags: i32,
        creds: &Credentials,
        fits: impl FnOnce(&T) -> Result<()>,
    ) -> Result<Get> {
        if key == IPC_PRIVATE {
            return Ok(Get::Make);
        }
        let found = self.keys.get(&key).and_then(|place| Some((*place, self.places.get(place)?)));
        let Some((place, object)) = found else {
            return if flags & IPC_CREAT == 0 { Err(Errno::ENOENT) } else { Ok(Get::Make) };
        };
        if flags & (IPC_CREAT | IPC_EXCL) == IPC_CREAT | IPC_EXCL {
            return Err(Errno::EEXIST);
        }
        fits(object)?;
        object.perm().check(creds, flags)?;
        Ok(Get::Found(id_of(place, object)))
    }

    /// Adds an object; returns its identifier.
    ///
    /// # Errors
    /// `ENOSPC` if there are `limit` already.
    pub fn add(&mut self, mut object: T, limit: usize) -> Result<i32> {
        if self.count() >= limit {
            return Err(Errno::ENOSPC);
        }
        // Places are given out in turn; each time round, identifiers have the next sequence number.
        let place = (1..=PLACES)
            .map(|step| (self.last + step) % PLACES)
            .find(|place| !self.places.contains_key(place))
            .ok_or(Errno::ENOSPC)?;
        if place <= self.last {
            self.sequence = (self.sequence + 1) % 0x7fff;
        }
        self.last = place;
        let perm = object.perm_mut();
        perm.seq = self.sequence;
        if perm.key != IPC_PRIVATE {
            self.keys.insert(perm.key, place);
        }
        let id = id_of(place, &object);
        self.places.insert(place, object);
        Ok(id)
    }

    fn place_of(&self, id: i32) -> Result<i32> {
        let place = id.rem_euclid(PLACES);
        let object = self.places.get(&place).filter(|object| !object.is_gone()).ok_or(Errno::EINVAL)?;
        if id < 0 || id_of(place, object) != id {
            return Err(Errno::EINVAL);
        }
        Ok(place)
    }

    /// The object with this identifier.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn find(&mut self, id: i32) -> Result<&mut T> {
        let place = self.place_of(id)?;
        self.places.get_mut(&place).ok_or(Errno::EINVAL)
    }

    /// The object that a `*ctl` command means, and its identifier; the caller may read it.
    ///
    /// # Errors
    /// `EINVAL`, `EACCES`.
    pub fn look_at(&mut self, name: Name, creds: &Credentials) -> Result<(i32, &mut T)> {
        const READ: i32 = 0o444;
        let id = match name {
            Name::Id(id) => id,
            Name::Index(place) | Name::AnyIndex(place) => {
                let place = if place < 0 { return Err(Errno::EINVAL) } else { place % PLACES };
                id_of(place, self.places.get(&place).ok_or(Errno::EINVAL)?)
            }
        };
        let object = self.find(id)?;
        if !matches!(name, Name::AnyIndex(_)) {
            object.perm().check(creds, READ)?;
        }
        Ok((id, object))
    }

    /// The object with this identifier, which `creds` may change.
    ///
    /// # Errors
    /// `EINVAL`, `EPERM`.
    pub fn find_owned(&mut self, id: i32, creds: &Credentials) -> Result<&mut T> {
        let object = self.find(id)?;
        object.perm().check_owner(creds)?;
        Ok(object)
    }

    /// Nobody finds the object by its key any more.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn forget_key(&mut self, id: i32) -> Result<()> {
        let perm = self.find(id)?.perm_mut();
        let key = std::mem::replace(&mut perm.key, IPC_PRIVATE);
        if key != IPC_PRIVATE {
            self.keys.remove(&key);
        }
        Ok(())
    }

    /// Takes the object out.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn remove(&mut self, id: i32) -> Result<T> {
        self.forget_key(id)?;
        let place = self.place_of(id)?;
        self.places.remove(&place).ok_or(Errno::EINVAL)
    }
}

fn id_of<T: Object>(place: i32, object: &T) -> i32 {
    i32::from(object.perm().seq) * PLACES + place
}
