//! What the tests of the command line share: bundles, commands, and a look at the host's /proc.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// A directory for one test, removed at its end together with the containers in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("runsc-test-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("bundle/rootfs")).unwrap();
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.0.join("bundle")
    }

    /// Where containers are remembered.
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// A `runsc` command.
    pub(crate) fn runsc(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runsc"));
        command.arg("--root").arg(self.state()).args(args).current_dir(self.bundle()).stdin(Stdio::null());
        command
    }

    /// Runs a `runsc` command that must succeed, and returns what it prints.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = run(self.runsc(args));
        assert!(output.status.success(), "runsc {args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a configuration that runs `args`.
    pub(crate) fn configure(&self, args: &[&str]) {
        let _ = fs::remove_file(self.bundle().join("config.json"));
        self.ok(&[&["spec", "--"], args].concat());
    }

    /// Creates a container and returns the sentry's process id.
    pub(crate) fn create(&self, id: &str) -> i32 {
        self.ok(&["create", id]);
        let state: serde_json::Value = serde_json::from_str(&self.ok(&["state", id])).unwrap();
        state["pid"].as_i64().and_then(|pid| pid.try_into().ok()).unwrap()
    }

    /// The gofer of a container.
    pub(crate) fn gofer(&self, id: &str) -> i32 {
        let text = fs::read(self.state().join(id).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&text).unwrap();
        state["gofer"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for id in entries(&self.state()) {
            let _ = run(self.runsc(&["delete", "--force", &id]));
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a command to its end, for at most 20 seconds. Its output goes to memory: containers that it leaves behind
/// hold its streams open.
pub(crate) fn run(mut command: Command) -> Output {
    let [mut out, mut err] =
        [c"stdout", c"stderr"].map(|name| File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC).unwrap()));
    command.stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() >= until => child.kill().unwrap(),
            None => sleep(Duration::from_millis(1)),
        }
    };
    let [stdout, stderr] = [&mut out, &mut err].map(|file| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    });
    Output { status, stdout, stderr }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Why sandboxes are impossible here; tests say so and pass.
pub(crate) fn impossible() -> Option<String> {
    let scratch = Scratch::new();
    scratch.configure(&["true"]);
    let output = run(scratch.runsc(&["create", "probe"]));
    let text = stderr(&output);
    (!output.status.success() && text.contains("namespace")).then(|| format!("skipped: {}", text.trim()))
}

/// `SIGKILL`.
pub(crate) fn kill(pid: i32) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
}

/// A field of /proc/PID/status.
pub(crate) fn status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Whether a process exists and is no zombie.
pub(crate) fn alive(pid: i32) -> bool {
    status(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// The children of a process, seen from the host.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|child| status(*child, "PPid") == Some(pid.to_string())).collect()
}

/// All descendants of a process.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let mut found = children(pid);
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        found.extend(children(*pid));
        at += 1;
    }
    found
}

/// Waits up to five seconds for something to be true.
pub(crate) fn eventually(what: impl Fn() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(5);
    while !what() {
        if Instant::now() >= until {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
    true
}

/// Names in a directory, sorted; none if there is no such directory.
pub(crate) fn entries(dir: &Path) -> Vec<String> {
    let Ok(all) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}
