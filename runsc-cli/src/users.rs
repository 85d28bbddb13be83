//! Users and groups of a guest: names are looked up in the guest's own `/etc/passwd` and `/etc/group`.
//!
//! The files are the guest's and may be anything: they are opened beneath its root without blocking, and read up to a bound.

use std::{fs::File, io::Read, os::fd::AsFd, path::Path};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::Mode,
};

use crate::error::{Error, Result};

/// More than any real file of users.
const MAX_FILE: u64 = 4 << 20;

/// Who a guest process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// Home directory; `/` for who is not in the file.
    pub home: String,
}

/// The contents of the two files, empty if there are none.
#[derive(Clone, Debug, Default)]
pub struct Users {
    passwd: String,
    group: String,
}

impl Users {
    /// Reads the files below `root`.
    pub fn read(root: &Path) -> Users {
        Users { passwd: read_below(root, "etc/passwd"), group: read_below(root, "etc/group") }
    }

    /// Looks up `USER[:GROUP]`, each a name or a number. Numbers need not be in the files.
    ///
    /// # Errors
    /// A name is not in its file.
    pub fn find(&self, wanted: &str) -> Result<User> {
        let (user, group) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (wanted, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let number = user.parse().ok();
        let line = self.passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|line| {
            line.first() == Some(&user)
                || number.is_some() && line.get(2).and_then(|id| id.parse().ok()) == number
        });
        let field = |at: usize| line.as_ref().and_then(|line| line.get(at)).copied();
        let id = |at| field(at).and_then(|id| id.parse::<u32>().ok());
        let uid = match id(2).or(number) {
            Some(uid) => uid,
            None => {
                return Err(Error::new(format!(
                    "unable to find user {user}: no matching entries in passwd file"
                )));
            }
        };
        let mut found = User {
            uid,
            gid: id(3).unwrap_or(0),
            additional_gids: Vec::new(),
            home: field(5).filter(|home| !home.is_empty()).unwrap_or("/").to_owned(),
        };
        match group {
            Some(group) => found.gid = self.group_id(group)?,
            None => found.additional_gids = field(0).map(|name| self.groups_of(name)).unwrap_or_default(),
        }
        Ok(found)
    }

    fn group_id(&self, wanted: &str) -> Result<u32> {
        self.groups()
            .find(|(name, ..)| *name == wanted)
            .map(|(_, id, _)| id)
            .or_else(|| wanted.parse().ok())
            .ok_or_else(|| {
                Error::new(format!("unable to find group {wanted}: no matching entries in group file"))
            })
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        self.groups()
            .filter(|(_, _, members)| members.split(',').any(|member| member == user))
            .map(|(_, id, _)| id)
            .collect()
    }

    /// Name, id and members.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, id) = (fields.next()?, fields.nth(1)?);
            Some((name, id.parse().ok()?, fields.next().unwrap_or("")))
        })
    }
}

fn read_below(root: &Path, path: &str) -> String {
    let read = || -> std::io::Result<String> {
        let root = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = File::from(openat2(root.as_fd(), path, how)?);
        if !file.metadata()?.is_file() {
            return Ok(String::new());
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        Users {
            passwd: "root:x:0:0:root:/root:/bin/sh\n\n:::\nwww:x:33:34:www:/var/www:/x\nnohome:x:5:5::\n"
                .into(),
            group: "root:x:0:\nwww:x:34:\nlogs:x:4:adm,www\nadm:x:44:www\nbad:x:y:www\n".into(),
        }
    }

    fn user(uid: u32, gid: u32, additional_gids: &[u32], home: &str) -> User {
        User { uid, gid, additional_gids: additional_gids.to_vec(), home: home.into() }
    }

    #[test]
    fn as_docker_has_it() {
        let find = |wanted: &str| users().find(wanted).map_err(|error| error.to_string());
        assert_eq!(find("root"), Ok(user(0, 0, &[], "/root")));
        assert_eq!(find("www"), Ok(user(33, 34, &[4, 44], "/var/www")));
        assert_eq!(find("33"), Ok(user(33, 34, &[4, 44], "/var/www")));
        assert_eq!(find("www:adm"), Ok(user(33, 44, &[], "/var/www")));
        assert_eq!(find("1000"), Ok(user(1000, 0, &[], "/")));
        assert_eq!(find("1000:1001"), Ok(user(1000, 1001, &[], "/")));
        assert_eq!(find("nohome"), Ok(user(5, 5, &[], "/")));
        assert_eq!(find(":adm"), Ok(user(0, 44, &[], "/root")));
        assert!(find("bob").unwrap_err().contains("unable to find user bob"));
        assert!(find("www:bob").unwrap_err().contains("unable to find group bob"));
        assert!(find("-1").is_err());
    }

    #[test]
    fn hostile_files_are_no_files() {
        let root = std::env::temp_dir().join(format!("runsc-users-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        nix::unistd::mkfifo(&root.join("etc/passwd"), Mode::S_IRWXU).unwrap();
        // Resolved inside the root, where there is no such file.
        std::os::unix::fs::symlink("/etc/group", root.join("etc/group")).unwrap();
        let users = Users::read(&root);
        assert_eq!((users.passwd.as_str(), users.group.as_str()), ("", ""));
        std::fs::remove_dir_all(root).unwrap();
    }
}
