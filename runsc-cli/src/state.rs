//! What `runsc` remembers of containers between two commands: one directory per container under `--root`.
//!
//! ```text
//! ROOT/ID/state.json    replaced atomically
//! ROOT/ID/control.sock  where the sentry listens
//! ROOT/ID/lock          held (flock) while a command changes the container
//! ```
//!
//! A container is *stopped* when its sentry is gone; nobody has to write that down.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::{
    control::protocol::Process,
    error::{Context, Error, Result},
};

/// Where containers are remembered.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// A process that may have ended: its number and when it began, which together are unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its process id on the host.
    pub pid: i32,
    /// Start time in clock ticks since boot (field 22 of /proc/PID/stat).
    pub started: u64,
}

/// OCI's container states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Set up; the user's program has not run.
    Created,
    /// The user's program runs.
    Running,
    /// It has ended.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Stopped => "stopped",
        })
    }
}

/// The contents of `state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its name.
    pub id: String,
    /// Absolute path of its bundle.
    pub bundle: PathBuf,
    /// Absolute path of its root.
    pub rootfs: PathBuf,
    /// When it was created.
    pub created: String,
    /// Who created it.
    pub owner: u32,
    /// OCI version of its configuration.
    pub oci_version: String,
    /// Its configuration's annotations.
    pub annotations: HashMap<String, String>,
    /// `start` has been called.
    pub started: bool,
    /// What its first process is: `exec` starts others like it.
    pub process: Process,
    /// The sentry.
    pub sentry: ProcessId,
    /// The gofer.
    pub gofer: ProcessId,
    /// Directory of its control group.
    pub cgroup: Option<PathBuf>,
}

impl State {
    /// Kills its processes: the sentry, with whom the guest ends, and the gofer.
    pub fn end(&self) {
        self.sentry.kill();
        self.gofer.kill();
    }

    /// Whether it runs.
    pub fn status(&self) -> Status {
        if !self.sentry.is_alive() {
            Status::Stopped
        } else if self.started {
            Status::Running
        } else {
            Status::Created
        }
    }
}

/// A container that only this process may change.
#[derive(Debug)]
pub struct Locked {
    dir: PathBuf,
    _lock: Flock<File>,
}

impl Store {
    /// The store in a directory that need not exist yet.
    pub fn new(root: PathBuf) -> Store {
        Store { root }
    }

    /// Its directory.
    pub fn into_root(self) -> PathBuf {
        self.root
    }

    /// Where a container's sentry listens.
    pub fn control_socket(&self, id: &str) -> PathBuf {
        self.root.join(id).join("control.sock")
    }

    /// Makes the directory of a new container and locks it.
    ///
    /// # Errors
    /// The id is malformed or in use.
    pub fn create(&self, id: &str) -> Result<Locked> {
        check_id(id)?;
        let mut dirs = DirBuilder::new();
        dirs.mode(0o711).recursive(true).create(&self.root).context(self.root.display())?;
        let dir = self.root.join(id);
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::new(format!("container with id {id} already exists")));
            }
            other => other.context(dir.display())?,
        }
        self.lock(id)
    }

    /// Locks a container, waiting for other commands.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn lock(&self, id: &str) -> Result<Locked> {
        check_id(id)?;
        let dir = self.root.join(id);
        let path = dir.join("lock");
        loop {
            let missing = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => Error::new(format!("container {id} does not exist")),
                _ => Error::new(format!("{}: {error}", path.display())),
            };
            let file = File::options().create(true).append(true).open(&path).map_err(missing)?;
            let lock = match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(lock) => lock,
                Err((_, Errno::EINTR)) => continue,
                Err((_, errno)) => return Err(errno).context(path.display()),
            };
            // Someone may have deleted the container, and created another one, while we waited.
            let ours = lock.metadata().context(path.display())?;
            match fs::metadata(&path) {
                Ok(now) if (now.dev(), now.ino()) == (ours.dev(), ours.ino()) => {
                    return Ok(Locked { dir, _lock: lock });
                }
                _ => {}
            }
        }
    }

    /// What is known of a container.
    ///
    /// # Errors
    /// There is none with this id, or its file is damaged.
    pub fn load(&self, id: &str) -> Result<State> {
        check_id(id)?;
        let path = self.root.join(id).join("state.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::new(format!("container {id} does not exist")));
            }
            other => other.context(path.display())?,
        };
        serde_json::from_slice(&text).context(path.display())
    }

    /// The ids of all containers, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn ids(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.context(self.root.display())?,
        };
        let mut ids: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|id| check_id(id).is_ok() && self.root.join(id).join("state.json").exists())
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Removes a container's directory, whatever is in it.
    pub fn forget(&self, id: &str) {
        if check_id(id).is_ok() {
            let _ = fs::remove_dir_all(self.root.join(id));
        }
    }
}

impl Locked {
    /// Where things of this container are kept.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes the state: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// The disk is full, or worse.
    pub fn save(&self, state: &State) -> Result<()> {
        let (new, path) = (self.dir.join("state.json.new"), self.dir.join("state.json"));
        let text = serde_json::to_vec(state).context("encoding the state")?;
        fs::write(&new, text).context(new.display())?;
        fs::rename(&new, &path).context(path.display())
    }

    /// Lets other commands change the container.
    pub fn unlock(self) -> Unlocked {
        Unlocked(self.dir)
    }

    /// Removes the container's directory.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.dir).context(self.dir.display())
    }
}

/// A container that this process made and will remove.
#[derive(Debug)]
pub struct Unlocked(PathBuf);

impl Unlocked {
    /// Removes the container's directory, if nobody else has.
    pub fn remove(self) {
        let _ = fs::remove_dir_all(self.0);
    }
}

impl ProcessId {
    /// The identity of a process that exists.
    ///
    /// # Errors
    /// It does not.
    pub fn of(pid: Pid) -> Result<ProcessId> {
        let (started, _) = read_stat(pid.as_raw()).context(format!("process {pid}"))?;
        Ok(ProcessId { pid: pid.as_raw(), started })
    }

    /// Whether it still runs: a zombie does not.
    pub fn is_alive(&self) -> bool {
        read_stat(self.pid).is_ok_and(|(started, running)| started == self.started && running)
    }

    /// Kills it. Nothing happens to another process that got its number.
    pub fn kill(&self) {
        // Opened before the check: from then on it is the process that was checked.
        if let Ok(pidfd) = host::spawn::open_pidfd(Pid::from_raw(self.pid))
            && self.is_alive()
        {
            let _ = host::spawn::send_signal(std::os::fd::AsFd::as_fd(&pidfd), Signal::SIGKILL);
        }
    }
}

/// Start time of a process and whether it still runs.
fn read_stat(pid: i32) -> io::Result<(u64, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::other("malformed /proc/PID/stat"))
}

fn parse_stat(text: &str) -> Option<(u64, bool)> {
    // The name may contain anything, parentheses and spaces included: fields are counted from the last one.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let running = !matches!(fields.next()?, "Z" | "X");
    Some((fields.nth(18)?.parse().ok()?, running))
}

/// Names of containers are names of directories.
fn check_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || id.len() > 255 || id == "." || id == ".." || !id.chars().all(allowed) {
        return Err(Error::new(format!("invalid container id {id:?}: use letters, digits and _ + - .")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> Store {
        let root = std::env::temp_dir().join(format!("runsc-state-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        Store::new(root)
    }

    fn state(id: &str) -> State {
        let me = ProcessId::of(nix::unistd::getpid()).unwrap();
        State {
            id: id.into(),
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "now".into(),
            owner: 0,
            oci_version: "1.0.2".into(),
            annotations: HashMap::new(),
            started: false,
            process: Process::default(),
            sentry: me,
            gofer: me,
            cgroup: None,
        }
    }

    #[test]
    fn a_container_comes_and_goes() {
        let store = store("life");
        assert!(store.ids().unwrap().is_empty());
        let locked = store.create("a").unwrap();
        assert!(store.ids().unwrap().is_empty(), "not listed before it has a state");
        locked.save(&state("a")).unwrap();
        drop(locked);
        assert_eq!(store.load("a").unwrap(), state("a"));
        assert_eq!(store.load("a").unwrap().status(), Status::Created);
        assert_eq!(store.ids().unwrap(), ["a"]);
        assert_eq!(store.create("a").unwrap_err().to_string(), "container with id a already exists");
        store.lock("a").unwrap().remove().unwrap();
        assert_eq!(store.lock("a").unwrap_err().to_string(), "container a does not exist");
        assert_eq!(store.load("a").unwrap_err().to_string(), "container a does not exist");
        fs::remove_dir_all(&store.root).unwrap();
    }

    #[test]
    fn a_deleted_container_is_not_locked_by_those_who_waited() {
        let store = store("race");
        let first = store.create("a").unwrap();
        let waiting = {
            let store = store.clone();
            std::thread::spawn(move || store.lock("a").map(drop).map_err(|error| error.to_string()))
        };
        std::thread::sleep(std::time::Duration::from_millis(30));
        first.remove().unwrap();
        assert_eq!(waiting.join().unwrap(), Err("container a does not exist".to_owned()));
        fs::remove_dir_all(&store.root).unwrap();
    }

    #[test]
    fn ids_are_names() {
        for bad in ["", ".", "..", "a/b", "../x", "a b", "ä", &"x".repeat(256)] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "A-1_2.3+4", "...", "-x"] {
            assert!(check_id(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn stat_lines_with_hostile_names() {
        let line = "7 (a) R 1 ) (b) S 1 1 1 0 -1 4194560 1 1 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        assert_eq!(parse_stat(line), Some((4242, true)));
        assert_eq!(parse_stat(&line.replace(") S", ") Z")), Some((4242, false)));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_recycled_number_is_not_the_process() {
        let mut me = ProcessId::of(nix::unistd::getpid()).unwrap();
        assert!(me.is_alive());
        me.started += 1;
        assert!(!me.is_alive());
        me.kill();
    }
}
