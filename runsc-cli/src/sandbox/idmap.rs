//! Identity maps of the children's user namespaces (user_namespaces(7)).
//!
//! The sentry needs no identity: it becomes nobody (65534), inside and, where `runsc` may map it, outside too.
//!
//! The gofer acts on files for the guest. Started by root, it keeps every id that `runsc` has, so that it may
//! act on everybody's files, with no power over anything but files. Started by an ordinary user, it is root inside
//! and that user outside; ids from /etc/subuid come on top where `newuidmap` is installed and something is writable.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::{Pid, User, getegid, geteuid};

use crate::{
    control::protocol::Identity,
    error::{Context, Result},
};

/// Whom a namespace is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nobody.
    Sentry,
    /// Serves files; `writable`: it may have to change owners.
    Gofer {
        /// Some root is writable.
        writable: bool,
    },
}

const NOBODY: u32 = 65_534;

const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;

/// Writes the maps of `pid`'s namespace. Returns what the process has to do about it.
///
/// # Errors
/// The host refuses even the map of one id.
pub fn write(pid: Pid, role: Role) -> Result<Identity> {
    let proc = format!("/proc/{pid}");
    let put = |file: &str, map: &str| fs::write(format!("{proc}/{file}"), map);
    if may_map_any() {
        let maps = match role {
            Role::Sentry => (format!("{NOBODY} {NOBODY} 1"), format!("{NOBODY} {NOBODY} 1")),
            Role::Gofer { .. } => (identity_map("/proc/self/uid_map")?, identity_map("/proc/self/gid_map")?),
        };
        let id = (role == Role::Sentry).then_some(NOBODY);
        match put("gid_map", &maps.1).and_then(|()| put("uid_map", &maps.0)) {
            Ok(()) => return Ok(Identity { id, drop_groups: may_drop_groups() }),
            // A container whose own namespace has no nobody.
            Err(error) => log::debug!("mapping {maps:?}: {error}"),
        }
    }
    if role == (Role::Gofer { writable: true }) && map_subordinate(pid).is_some() {
        return Ok(Identity { id: None, drop_groups: false });
    }
    let inside = if role == Role::Sentry { NOBODY } else { 0 };
    // An ordinary user may map its own ids, after giving up setgroups(2).
    put("setgroups", "deny").context("writing setgroups")?;
    put("gid_map", &format!("{inside} {} 1", getegid())).context("writing gid_map")?;
    put("uid_map", &format!("{inside} {} 1", geteuid())).context("writing uid_map")?;
    Ok(Identity { id: None, drop_groups: false })
}

/// Whether setgroups(2) works in this process's user namespace, and so in those it makes: not in a container of a user's own.
fn may_drop_groups() -> bool {
    fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "allow")
}

fn may_map_any() -> bool {
    host::caps::get()
        .is_ok_and(|sets| [CAP_SETGID, CAP_SETUID].iter().all(|cap| sets.effective >> cap & 1 == 1))
}

/// Maps every id that exists in this process's namespace to itself.
fn identity_map(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).context(path)?;
    Ok(identity_of(&text))
}

/// From `inside outside count` lines to `inside inside count` lines.
fn identity_of(map: &str) -> String {
    map.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (inside, _outside, count) = (words.next()?, words.next()?, words.next()?);
            Some(format!("{inside} {inside} {count}\n"))
        })
        .collect()
}

/// Asks `newuidmap` and `newgidmap` for the user's subordinate ids. `None`: that does not work here.
fn map_subordinate(pid: Pid) -> Option<()> {
    let user = User::from_uid(geteuid()).ok()??;
    let line = |path: &str| {
        let text = fs::read_to_string(path).ok()?;
        subordinate_range(&text, &user.name, user.uid.as_raw())
    };
    let (uids, gids) = (line("/etc/subuid")?, line("/etc/subgid")?);
    for (tool, own, (first, count)) in
        [("newuidmap", user.uid.as_raw(), uids), ("newgidmap", getegid().as_raw(), gids)]
    {
        let path = ["/usr/bin", "/bin", "/usr/local/bin"]
            .iter()
            .map(|dir| Path::new(dir).join(tool))
            .find(|p| p.exists())?;
        let words = [pid.as_raw().into(), 0, i64::from(own), 1, 1, i64::from(first), i64::from(count)];
        let status = Command::new(path)
            .args(words.map(|word| OsString::from(word.to_string())))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            log::debug!("{tool} failed");
            return None;
        }
    }
    Some(())
}

/// The first range of a user in /etc/subuid: `name-or-id:first:count`.
fn subordinate_range(text: &str, name: &str, id: u32) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().splitn(3, ':');
        let owner = fields.next()?;
        let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (owner == name || owner.parse() == Ok(id)).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_maps() {
        assert_eq!(identity_of("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity_of("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }

    #[test]
    fn subordinate_ranges() {
        let text = "root:1:2\n# x\nalice:100000:65536\n1001:5:6\n";
        assert_eq!(subordinate_range(text, "alice", 7), Some((100_000, 65_536)));
        assert_eq!(subordinate_range(text, "bob", 1001), Some((5, 6)));
        assert_eq!(subordinate_range(text, "bob", 7), None);
        assert_eq!(subordinate_range("alice:x:1\n", "alice", 7), None);
    }
}
