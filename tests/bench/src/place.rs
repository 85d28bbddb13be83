//! Where a program is run: natively, in the sandbox on each platform, in other OCI runtimes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use crate::Result;

/// The host directories that a bundle shows read-only, where they exist.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/opt"];

enum Kind {
    Native,
    /// `sandbox run --platform …`: the host's root read-only under an overlay.
    Sandbox {
        binary: PathBuf,
        platform: &'static str,
    },
    /// `RUNTIME … run --bundle DIR ID`.
    Runtime {
        command: Vec<String>,
        bundles: PathBuf,
    },
}

/// One column of the tables.
pub(crate) struct Place {
    pub(crate) name: String,
    /// What the bench prepared; every place sees it under the same path.
    data: PathBuf,
    kind: Kind,
}

/// Native first, then what is there: the sandbox beside this binary, and the runtimes of `PEER` (separated by `;`).
pub(crate) fn all(data: &Path) -> Result<Vec<Place>> {
    let place = |name: &str, kind| Place { name: name.to_owned(), data: data.to_owned(), kind };
    let mut places = vec![place("native", Kind::Native)];
    let binary = match env::var_os("SANDBOX_BIN") {
        Some(path) => PathBuf::from(path),
        None => build_sandbox()?,
    };
    for platform in ["systrap", "ptrace"] {
        places.push(place(platform, Kind::Sandbox { binary: binary.clone(), platform }));
    }
    let peers = env::var("PEER").unwrap_or_default();
    for peer in peers.split(';').map(str::trim).filter(|peer| !peer.is_empty()) {
        let command: Vec<String> = peer.split_whitespace().map(str::to_owned).collect();
        let name = command.first().map_or(peer, |path| path.rsplit('/').next().unwrap_or(path)).to_owned();
        let bundles = data.join(format!("bundles-{name}"));
        places.push(place(&name, Kind::Runtime { command, bundles }));
    }
    places.retain(|place| match place.run(&["/bin/true".to_owned()]) {
        Ok(_) => true,
        Err(reason) => {
            println!("{}: left out: {reason}", place.name);
            false
        }
    });
    if places.first().is_none_or(|place| !matches!(place.kind, Kind::Native)) {
        return Err("nothing runs natively".to_owned());
    }
    Ok(places)
}

/// The release binary, built now if it is not the newest.
fn build_sandbox() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--quiet", "--package", "runsc-cli"]).current_dir(&root);
    match command.status() {
        Ok(status) if status.success() => {}
        other => return Err(format!("cargo build --release -p runsc-cli: {other:?}; or set SANDBOX_BIN")),
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let binary = target.join("release/sandbox");
    fs::canonicalize(&binary).map_err(|error| format!("{}: {error}", binary.display()))
}

impl Place {
    /// Runs a program in `/` with a writable `/tmp` and returns what it printed.
    ///
    /// # Errors
    /// It could not be started, or did not end with 0: its last line of standard error.
    pub(crate) fn run(&self, program: &[String]) -> Result<String> {
        let mut command = match &self.kind {
            Kind::Native => {
                let mut command = Command::new(program.first().ok_or("no program")?);
                command.args(&program[1..]);
                command
            }
            Kind::Sandbox { binary, platform } => {
                let mut command = Command::new(binary);
                command.args(["run", "--platform", platform, "-w", "/", "--"]).args(program);
                command
            }
            Kind::Runtime { command, bundles } => self.bundle(command, bundles, program)?,
        };
        let output = command
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "{}: {}",
                output.status,
                errors.lines().last().unwrap_or("nothing on standard error")
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The directory for a program's own files: on the host natively, else in the sandbox's memory.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        match self.kind {
            Kind::Native => {
                let path = self.data.join("scratch");
                fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(path)
            }
            _ => Ok(PathBuf::from("/tmp")),
        }
    }

    fn bundle(&self, runtime: &[String], bundles: &Path, program: &[String]) -> Result<Command> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let describe = |error: std::io::Error| format!("{}: {error}", bundles.display());
        fs::create_dir_all(bundles.join("rootfs")).map_err(describe)?;
        fs::write(bundles.join("config.json"), self.config(program).to_string()).map_err(describe)?;
        let (binary, options) = runtime.split_first().ok_or("PEER names no runtime")?;
        let mut command = Command::new(binary);
        command.args(options).arg("run").arg("--bundle").arg(bundles).arg(id);
        Ok(command)
    }

    fn config(&self, program: &[String]) -> Value {
        let data = self.data.display().to_string();
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}),
            json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}),
        ];
        for directory in SYSTEM.iter().filter(|directory| Path::new(directory).exists()) {
            mounts.push(bind(directory));
        }
        mounts.push(bind(&data));
        json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs", "readonly": false},
            "process": {
                "args": program,
                "cwd": "/",
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "user": {"uid": 0, "gid": 0},
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 4096, "hard": 4096}],
            },
            "hostname": "bench",
            "mounts": mounts,
            "linux": {"namespaces": [
                {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"},
            ]},
        })
    }
}

fn bind(directory: &str) -> Value {
    json!({"destination": directory, "type": "bind", "source": directory, "options": ["rbind", "ro"]})
}
