//! OCI's life of a container whose program runs: create, start, exec, kill, delete.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixListener},
    process::Stdio,
};

use nix::sys::socket::MsgFlags;
use serde_json::{Value, json};

use crate::common::{Scratch, entries, eventually, impossible, run, stderr};

/// A bundle with busybox; `None` where that is impossible.
fn busybox(script: &str) -> Option<Scratch> {
    let scratch = Scratch::new();
    if let Some(reason) = impossible() {
        println!("{reason}");
        return None;
    }
    let bin = scratch.bundle().join("rootfs/bin");
    fs::create_dir_all(&bin).unwrap();
    if fs::copy("/bin/busybox", bin.join("busybox")).is_err() {
        println!("skipped: no busybox");
        return None;
    }
    for name in ["sh", "sleep", "id", "cat", "tty", "stty"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
    }
    scratch.configure(&["sh", "-c", script]);
    Some(scratch)
}

fn change(scratch: &Scratch, edit: impl FnOnce(&mut Value)) {
    let path = scratch.bundle().join("config.json");
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(&path, config.to_string()).unwrap();
}

fn status(scratch: &Scratch) -> String {
    let state: Value = serde_json::from_str(&scratch.ok(&["state", "box"])).unwrap();
    state["status"].as_str().unwrap().to_owned()
}

/// Exit code and standard output of an exec.
fn exec(scratch: &Scratch, args: &[&str]) -> (Option<i32>, String) {
    let output = run(scratch.runsc(&[&["exec"], args].concat()));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output))
}

#[test]
fn from_create_to_delete() {
    let Some(scratch) = busybox("trap 'exit 3' TERM; echo up > /tmp/up; while :; do sleep 0.05; done") else {
        return;
    };
    fs::create_dir(scratch.bundle().join("rootfs/tmp")).unwrap();
    change(&scratch, |config| config["root"]["readonly"] = false.into());
    scratch.create("box");
    assert_eq!(status(&scratch), "created");
    assert_eq!(scratch.ok(&["ps", "--format", "json", "box"]), "[]\n");
    scratch.ok(&["start", "box"]);
    assert_eq!(status(&scratch), "running");
    assert_eq!(run(scratch.runsc(&["start", "box"])).status.code(), Some(1));
    assert_eq!(run(scratch.runsc(&["delete", "box"])).status.code(), Some(1), "it runs");
    assert!(eventually(|| exec(&scratch, &["box", "cat", "/tmp/up"]) == (Some(0), "up\n".into())));
    assert_eq!(exec(&scratch, &["box", "sh", "-c", "exit 9"]).0, Some(9));
    assert_eq!(exec(&scratch, &["box", "sh", "-c", "kill -TERM $$"]).0, Some(143));
    let who = exec(
        &scratch,
        &["-u", "5:6", "-g", "7", "-e", "A=b", "--cwd", "/bin", "box", "sh", "-c", "id; pwd; echo $A"],
    );
    assert_eq!(who, (Some(0), "uid=5 gid=6 groups=7\n/bin\nb\n".into()));
    let (code, text) = exec(&scratch, &["box", "missing"]);
    assert_eq!((code, text.as_str()), (Some(127), "runsc: missing: No such file or directory\n"));
    let table = scratch.ok(&["ps", "box"]);
    assert!(table.starts_with("UID ") && table.lines().nth(1).unwrap().ends_with("sh"), "{table}");
    assert!(!scratch.bundle().join("rootfs/tmp/up").exists(), "writes reach the host");
    scratch.ok(&["kill", "box"]);
    assert!(eventually(|| status(&scratch) == "stopped"));
    scratch.ok(&["delete", "box"]);
    assert_eq!(entries(&scratch.state()), [""; 0]);
    assert_eq!(entries(&scratch.bundle().join("rootfs")), ["bin", "tmp"]);
}

#[test]
fn a_foreground_run() {
    let Some(scratch) = busybox("cat; id -u; exit 6") else { return };
    let mut child =
        scratch.runsc(&["run", "box"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()),
        (Some(6), "typed\n0\n")
    );
    assert_eq!(entries(&scratch.state()), [""; 0]);
}

#[test]
fn a_program_that_does_not_exist() {
    let Some(scratch) = busybox("") else { return };
    scratch.configure(&["/bin/missing"]);
    let output = run(scratch.runsc(&["run", "box"]));
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(127), "runsc: /bin/missing: No such file or directory\n")
    );
    assert_eq!(entries(&scratch.state()), [""; 0]);
    scratch.create("box");
    assert_ne!(run(scratch.runsc(&["start", "box"])).status.code(), Some(0));
    assert!(eventually(|| status(&scratch) == "stopped"));
    scratch.ok(&["delete", "box"]);
}

#[test]
fn a_terminal_for_somebody_else() {
    let Some(scratch) = busybox("tty; stty size; read line; echo \"<$line>\"; exit 2") else { return };
    change(&scratch, |config| {
        config["process"]["terminal"] = true.into();
        config["process"]["consoleSize"] = json!({ "height": 20, "width": 70 });
    });
    let socket = scratch.path().join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    scratch.ok(&["create", "--console-socket", socket.to_str().unwrap(), "box"]);
    let (stream, _) = listener.accept().unwrap();
    let (_, mut fds) = host::fdpass::receive(stream.as_fd(), &mut [0; 64], MsgFlags::empty()).unwrap();
    let mut master = File::from(fds.remove(0));
    scratch.ok(&["start", "box"]);
    master.write_all(b"hello\r").unwrap();
    let mut text = String::new();
    let mut buffer = [0; 256];
    while !text.contains("<hello>") {
        let length = master.read(&mut buffer).unwrap_or_else(|error| panic!("{error}: {text}"));
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(text.contains("/dev/pts/0") && text.contains("20 70"), "{text}");
    assert!(eventually(|| status(&scratch) == "stopped"));
}

#[test]
fn kill_ends_a_fork_bomb() {
    let Some(scratch) = busybox("bomb() { bomb | bomb & }; bomb; while :; do :; done") else { return };
    change(&scratch, |config| config["linux"]["resources"]["pids"] = json!({"limit": 100}));
    let pid = scratch.create("box");
    scratch.ok(&["start", "box"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let family = crate::common::descendants(pid);
    let began = std::time::Instant::now();
    scratch.ok(&["kill", "box", "KILL"]);
    assert!(eventually(|| status(&scratch) == "stopped"), "{:?}", status(&scratch));
    assert!(began.elapsed().as_secs() < 10);
    assert!(eventually(|| family.iter().all(|pid| !crate::common::alive(*pid))));
    scratch.ok(&["delete", "box"]);
}
