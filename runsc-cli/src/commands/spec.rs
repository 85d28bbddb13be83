//! `runsc spec`: writes a configuration to start from.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};

use crate::error::{Context, Error, Result};

/// Write a config.json that runs a shell.
#[derive(Args, Debug)]
pub struct SpecArgs {
    /// Directory to write it to.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Working directory of the program.
    #[arg(long, value_name = "DIR", default_value = "/")]
    cwd: String,
    /// The program and its arguments.
    #[arg(value_name = "ARGS", trailing_var_arg = true)]
    args: Vec<String>,
}

/// Writes it.
///
/// # Errors
/// There is one already.
pub fn spec(args: &SpecArgs) -> Result<()> {
    let path = args.bundle.join("config.json");
    let mut file = match File::options().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::new(format!("{} exists: remove it first", path.display())));
        }
        other => other.context(path.display())?,
    };
    let text = serde_json::to_string_pretty(&configuration(args)).context("encoding the configuration")?;
    writeln!(file, "{text}").context(path.display())
}

fn configuration(args: &SpecArgs) -> Value {
    let command = if args.args.is_empty() { vec!["sh".to_owned()] } else { args.args.clone() };
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": args.args.is_empty(),
            "user": { "uid": 0, "gid": 0 },
            "args": command,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": args.cwd,
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "inheritable": capabilities,
                "permitted": capabilities
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }]
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "runsc",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
            {
                "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
            },
            {
                "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]
            },
            {
                "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                "options": ["nosuid", "noexec", "nodev"]
            },
            {
                "destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"]
            }
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }
            ]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_writes_can_be_run() {
        let bundle = std::env::temp_dir().join(format!("runsc-newspec-{}", std::process::id()));
        std::fs::create_dir_all(bundle.join("rootfs")).unwrap();
        let args = SpecArgs { bundle: bundle.clone(), cwd: "/".into(), args: vec!["ls".into(), "-l".into()] };
        spec(&args).unwrap();
        let container = crate::spec::load(&bundle, crate::spec::Overlay::Root).unwrap();
        assert_eq!(container.process.argv, ["ls", "-l"].map(Into::into));
        assert!(spec(&args).unwrap_err().to_string().ends_with("remove it first"));
        std::fs::remove_dir_all(bundle).unwrap();
    }
}
