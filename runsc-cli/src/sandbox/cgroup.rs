//! The control group that limits a sandbox's memory on the host: version 1 or 2, made under the caller's own, removed
//! with the sandbox.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::error::{Context, Error, Result};

/// How long the kernel may take to let go of a group whose processes have ended.
const REMOVAL: Duration = Duration::from_secs(2);

/// A control group of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    dir: PathBuf,
}

/// Where groups can be made.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    /// This process's own group, relative to the mount.
    own: PathBuf,
    unified: bool,
}

impl Cgroup {
    /// The group `name` under the caller's own, or at `path` from the top, which is OCI's `cgroupsPath`.
    ///
    /// # Errors
    /// There is no memory controller, or the caller may not use it.
    pub fn plan(name: &str, path: Option<&Path>) -> Result<Cgroup> {
        let read = |path: &str| fs::read_to_string(path).context(path);
        let hierarchy = find(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
            .ok_or_else(|| Error::new("this host has no memory controller"))?;
        let relative = match path {
            Some(path) => normal(path)?,
            // Version 2 allows no processes next to groups (cgroups(7), "no internal processes"): be a sibling.
            None if hierarchy.unified => hierarchy.own.parent().unwrap_or(&hierarchy.own).join(name),
            None => hierarchy.own.join(name),
        };
        Ok(Cgroup { dir: hierarchy.mount.join(relative) })
    }

    /// The group in this directory.
    pub fn at(dir: PathBuf) -> Cgroup {
        Cgroup { dir }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes it, with a limit in bytes, swap included.
    ///
    /// # Errors
    /// The caller may not.
    pub fn create(&self, memory: u64) -> Result<()> {
        let dir = self.dir.display();
        fs::create_dir_all(&self.dir).context(format!("creating {dir}"))?;
        let set = |file: &str, value: &str| fs::write(self.dir.join(file), value);
        let memory = memory.to_string();
        if self.dir.join("memory.max").exists() {
            set("memory.max", &memory).context(format!("{dir}/memory.max"))?;
            // Not there without swap.
            let _ = set("memory.swap.max", "0");
        } else {
            set("memory.limit_in_bytes", &memory).context(format!("{dir}/memory.limit_in_bytes"))?;
            let _ = set("memory.memsw.limit_in_bytes", &memory);
        }
        Ok(())
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// The caller may not.
    pub fn add(&self, pid: Pid) -> Result<()> {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string())
            .context(format!("moving a process to {}", self.dir.display()))
    }

    /// Kills what is left in it and removes it. Best effort, for at most two seconds.
    pub fn remove(&self) {
        let until = Instant::now() + REMOVAL;
        loop {
            match fs::remove_dir(&self.dir) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(error) if Instant::now() >= until => {
                    log::warn!("removing {}: {error}", self.dir.display());
                    return;
                }
                Err(_) => {}
            }
            for pid in fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default().lines() {
                if let Ok(pid @ 1..) = pid.parse() {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            sleep(Duration::from_millis(2));
        }
    }
}

/// A path below the top of the hierarchy.
fn normal(path: &Path) -> Result<PathBuf> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            _ => return Err(Error::new(format!("linux.cgroupsPath {} has a \"..\" in it", path.display()))),
        }
    }
    Ok(relative)
}

/// The hierarchy with the memory controller, from /proc/self/mountinfo and /proc/self/cgroup.
fn find(mountinfo: &str, own: &str) -> Option<Hierarchy> {
    let mut unified = None;
    for line in mountinfo.lines() {
        let (front, back) = line.split_once(" - ")?;
        let mount = PathBuf::from(front.split(' ').nth(4)?);
        let mut back = back.split(' ');
        match (back.next()?, back.nth(1)) {
            ("cgroup", Some(options)) if options.split(',').any(|option| option == "memory") => {
                let own = own_group(own, |controllers| controllers.split(',').any(|name| name == "memory"))?;
                return Some(Hierarchy { mount, own, unified: false });
            }
            ("cgroup2", _) => unified = Some(mount),
            _ => {}
        }
    }
    let own = own_group(own, str::is_empty)?;
    Some(Hierarchy { mount: unified?, own, unified: true })
}

fn own_group(own: &str, mut wanted: impl FnMut(&str) -> bool) -> Option<PathBuf> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        wanted(controllers).then(|| PathBuf::from(path.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "29 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
30 25 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn version_1_wins_where_it_has_the_controller() {
        let found = find(V1, "3:cpu:/a\n2:memory:/jobs/7\n0::/u\n").unwrap();
        let mount = PathBuf::from("/sys/fs/cgroup/memory");
        assert_eq!(found, Hierarchy { mount, own: "jobs/7".into(), unified: false });
    }

    #[test]
    fn version_2_otherwise() {
        let found =
            find("31 25 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice/x\n").unwrap();
        let own = PathBuf::from("user.slice/x");
        assert_eq!(found, Hierarchy { mount: "/sys/fs/cgroup".into(), own, unified: true });
        assert_eq!(find("1 2 3:4 / / rw - ext4 /dev/x rw\n", "0::/\n"), None);
    }

    #[test]
    fn paths_stay_below_the_top() {
        assert_eq!(normal(Path::new("/docker/x")).unwrap(), PathBuf::from("docker/x"));
        assert!(normal(Path::new("/docker/../../x")).is_err());
    }
}
