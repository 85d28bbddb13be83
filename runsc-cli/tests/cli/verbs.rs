//! The verbs of `runsc` on containers that are created, and the ways they fail: one line, the right exit code, nothing left.

use std::{fs, os::unix::fs::symlink};

use crate::common::{Scratch, entries, impossible, run, stderr};
use serde_json::{Value, json};

/// Runs a command that must fail with `code` and one line that has `words` in it.
fn fails(scratch: &Scratch, args: &[&str], code: i32, words: &str) {
    let output = run(scratch.runsc(args));
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(words), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(text.starts_with("runsc: "), "{text}");
}

#[test]
fn a_created_container() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure(&["true"]);
    let pid_file = scratch.path().join("pid");
    scratch.ok(&["create", "--pid-file", pid_file.to_str().unwrap(), "box"]);
    let state: Value = serde_json::from_str(&scratch.ok(&["state", "box"])).unwrap();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], "box");
    assert_eq!(state["ociVersion"], "1.0.2");
    assert_eq!(state["bundle"], json!(fs::canonicalize(scratch.bundle()).unwrap()));
    assert_eq!(state["pid"].to_string(), fs::read_to_string(&pid_file).unwrap());
    assert_eq!(scratch.ok(&["list", "-q"]), "box\n");
    let list: Value = serde_json::from_str(&scratch.ok(&["list", "--format", "json"])).unwrap();
    assert_eq!(list[0]["status"], "created");
    assert_eq!(scratch.ok(&["ps", "--format", "json", "box"]), "[]\n");
    fails(&scratch, &["create", "box"], 125, "already exists");
    fails(&scratch, &["kill", "box", "USR1"], 1, "created");
    scratch.ok(&["kill", "box", "KILL"]);
    assert!(crate::common::eventually(|| scratch.ok(&["state", "box"]).contains("\"stopped\"")));
    fails(&scratch, &["start", "box"], 1, "stopped");
    fails(&scratch, &["exec", "box", "true"], 125, "stopped");
    fails(&scratch, &["kill", "box", "TERM"], 1, "stopped");
    scratch.ok(&["kill", "--all", "box", "TERM"]);
    scratch.ok(&["delete", "box"]);
    assert_eq!(entries(&scratch.state()), [""; 0]);
    fails(&scratch, &["state", "box"], 1, "container box does not exist");
    fails(&scratch, &["delete", "box"], 1, "does not exist");
    scratch.ok(&["delete", "--force", "box"]);
    fails(&scratch, &["state", "../box"], 1, "invalid container id");
}

#[test]
fn bad_bundles_leave_nothing() {
    let scratch = Scratch::new();
    fails(&scratch, &["create", "box"], 125, "config.json: No such file");
    fails(&scratch, &["create", "--bundle", "/nowhere", "box"], 125, "bundle /nowhere: No such file");
    scratch.configure(&["true"]);
    let good: Value =
        serde_json::from_slice(&fs::read(scratch.bundle().join("config.json")).unwrap()).unwrap();
    symlink("/etc", scratch.bundle().join("rootfs/evil")).unwrap();
    let evil = |destination: &str| json!([{ "destination": destination, "type": "bind", "source": "/tmp" }]);
    let cases: &[(&str, Value, &str)] = &[
        ("/root/path", json!("missing"), "No such file"),
        ("/root/path", json!("../../../etc"), ".."),
        ("/mounts", evil("/../../etc"), ".."),
        ("/mounts", evil("/evil"), "symbolic link"),
        ("/linux/namespaces", json!([{ "type": "ipc" }, { "type": "ipc" }]), "twice"),
        ("/process/args", json!(7), "invalid type"),
        ("/ociVersion", json!("0.1"), "ociVersion"),
    ];
    for verb in ["create", "run"] {
        for (pointer, value, words) in cases {
            let mut config = good.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[key] = value.clone();
            fs::write(scratch.bundle().join("config.json"), config.to_string()).unwrap();
            fails(&scratch, &[verb, "box"], 125, words);
            assert_eq!(entries(&scratch.state()), [""; 0]);
        }
    }
    fs::write(scratch.bundle().join("config.json"), good.to_string()).unwrap();
    fails(&scratch, &["create", "a/b"], 125, "invalid container id");
    fails(&scratch, &["--network", "host", "create", "box"], 125, "only none exists");
    fails(
        &scratch,
        &["create", "--console-socket", "/nowhere", "--pid-file", "/nowhere/x", "box"],
        125,
        "/nowhere",
    );
    assert_eq!(entries(&scratch.state()), [""; 0]);
}

#[test]
fn wants_a_terminal_without_one() {
    let scratch = Scratch::new();
    scratch.configure(&[]);
    fails(&scratch, &["create", "box"], 125, "--console-socket");
    fails(&scratch, &["run", "box"], 125, "not a terminal");
    assert_eq!(entries(&scratch.state()), [""; 0]);
}

#[test]
fn errors_go_to_the_log_as_json() {
    let scratch = Scratch::new();
    let log = scratch.path().join("log.json");
    let log_option = log.to_str().unwrap();
    run(scratch.runsc(&["--log", log_option, "--log-format", "json", "state", "nobody"]));
    let text = fs::read_to_string(&log).unwrap();
    let line: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], "container nobody does not exist");
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
}
