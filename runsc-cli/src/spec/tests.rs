//! Configurations, good and hostile.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use super::*;
use crate::control::protocol::MountKind;

/// A bundle that is removed again.
struct Bundle(PathBuf);

impl Bundle {
    fn new(name: &str) -> Bundle {
        let path = std::env::temp_dir().join(format!("runsc-spec-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("rootfs/etc")).unwrap();
        Bundle(path)
    }

    fn load(&self, config: &Value) -> Result<Container, String> {
        self.load_text(&config.to_string())
    }

    fn load_text(&self, text: &str) -> Result<Container, String> {
        fs::write(self.0.join("config.json"), text).unwrap();
        load(&self.0, Overlay::Root).map_err(|error| error.to_string())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "box",
        "process": {
            "user": { "uid": 5, "gid": 6, "additionalGids": [7], "umask": 63 },
            "args": ["sh", "-c", "id"],
            "env": ["PATH=/bin", "A=b"],
            "cwd": "/tmp/",
            "capabilities": { "bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"] },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 2048, "soft": 1024 }],
            "noNewPrivileges": true,
            "terminal": true,
            "consoleSize": { "height": 30, "width": 90 }
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/data", "type": "bind", "source": "rootfs/etc", "options": ["rbind", "ro"] }
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }],
            "resources": { "pids": { "limit": 100 }, "memory": { "limit": 67108864 } },
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"]
        },
        "annotations": { "a": "b" }
    })
}

#[test]
fn everything_arrives() {
    let bundle = Bundle::new("good");
    let container = bundle.load(&config()).unwrap();
    assert_eq!(container.rootfs, fs::canonicalize(bundle.0.join("rootfs")).unwrap());
    let process = &container.process;
    assert_eq!(process.argv, ["sh", "-c", "id"].map(Into::into));
    assert_eq!(process.cwd, "/tmp".into());
    assert_eq!((process.uid, process.gid, process.umask), (5, 6, 63));
    assert_eq!(process.additional_gids, [7]);
    assert_eq!((process.capabilities.bounding, process.capabilities.effective), (0x21, 0x20));
    assert_eq!(process.rlimits, [(libc::RLIMIT_NOFILE, 1024, 2048)]);
    assert!(process.no_new_privileges && container.terminal);
    assert_eq!(container.console_size, Some((30, 90)));
    assert_eq!(container.sandbox.pids_limit, Some(100));
    assert_eq!(container.sandbox.memory_limit, Some(64 << 20));
    assert_eq!(container.sandbox.hostname, "box".into());
    let mounts: Vec<_> =
        container.tree.mounts.iter().map(|mount| (&mount.destination, &mount.kind)).collect();
    assert_eq!(
        mounts,
        [
            (&"/".into(), &MountKind::Gofer { root: 0, overlay: true, file: false }),
            (&"/proc".into(), &MountKind::Proc),
            (&"/dev".into(), &MountKind::Dev),
            (&"/data".into(), &MountKind::Gofer { root: 1, overlay: false, file: false }),
            (&"/proc/kcore".into(), &MountKind::Masked),
            (&"/proc/sys".into(), &MountKind::ReadOnly),
        ]
    );
    assert!(container.tree.mounts[0].flags.read_only && container.tree.mounts[3].flags.read_only);
    assert_eq!(container.annotations["a"], "b");
}

/// Each edit of the good configuration must be refused, with a line that has the words in it.
#[test]
fn hostile_configurations_are_one_line() {
    let bundle = Bundle::new("bad");
    symlink("/etc", bundle.0.join("rootfs/evil")).unwrap();
    symlink("../../../../etc", bundle.0.join("rootfs/climb")).unwrap();
    let mount = |destination: &str, source: &str| json!([{ "destination": destination, "type": "bind", "source": source }]);
    let cases: &[(&str, Value, &str)] = &[
        ("/ociVersion", json!("2.0"), "ociVersion"),
        ("/ociVersion", json!(5), "invalid type"),
        ("/root/path", json!("nowhere"), "No such file"),
        ("/root/path", json!("config.json"), "not a directory"),
        ("/root/path", json!("../../etc"), "\"..\""),
        ("/root", Value::Null, "no root"),
        ("/process", Value::Null, "no process"),
        ("/process/args", json!([]), "must name a program"),
        ("/process/args", json!([""]), "must name a program"),
        ("/process/args", json!(["a\0b"]), "zero byte"),
        ("/process/args", json!("sh"), "invalid type"),
        ("/process/env", json!(["x"]), "NAME=VALUE"),
        ("/process/cwd", json!("relative"), "not an absolute path"),
        ("/process/cwd", json!("/a/../b"), "\"..\""),
        ("/process/user/uid", json!(-1), "invalid value"),
        ("/process/capabilities/bounding", json!(["CAP_WORLD"]), "CAP_WORLD"),
        ("/process/rlimits", json!([{ "type": "RLIMIT_X", "hard": 1, "soft": 1 }]), "RLIMIT_X"),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_NOFILE", "hard": 1, "soft": 2 }]),
            "above the hard one",
        ),
        ("/mounts", mount("/../../x", "rootfs"), "\"..\""),
        ("/mounts", mount("relative", "rootfs"), "not an absolute path"),
        ("/mounts", mount("/", "rootfs"), "root.path"),
        ("/mounts", mount("/evil", "rootfs"), "symbolic link out of the root"),
        ("/mounts", mount("/climb", "rootfs"), "symbolic link out of the root"),
        ("/mounts", mount("/x", "/nowhere/at/all"), "No such file"),
        ("/mounts", json!([{ "destination": "/x", "type": "ext4", "source": "/dev/sda" }]), "ext4"),
        ("/mounts", json!({}), "invalid type"),
        ("/linux/namespaces", json!([{ "type": "pid" }, { "type": "pid" }]), "twice"),
        ("/linux/namespaces", json!([{ "type": "user", "path": "/proc/1/ns/user" }]), "not supported"),
        ("/linux/namespaces", json!([{ "type": "x" }]), "unknown variant"),
    ];
    for (pointer, value, expected) in cases {
        let mut config = config();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value.clone();
        let error = bundle.load(&config).err().unwrap_or_else(|| panic!("accepted {pointer} = {value}"));
        assert!(error.contains(expected), "{pointer} = {value}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    for text in ["", "{", "[]", "null", "\u{0}"] {
        bundle.load_text(text).unwrap_err();
    }
    fs::remove_file(bundle.0.join("config.json")).unwrap();
    assert!(load(&bundle.0, Overlay::Root).unwrap_err().to_string().contains("No such file"));
}
