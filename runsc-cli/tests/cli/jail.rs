//! What the host sees of a sandbox: the sentry, the gofer and the stubs have nothing but what docs/security.md lists.
//!
//! The processes are looked at through the host's /proc, while the container waits for `start`.

use std::fs;

use crate::common::{Scratch, children, entries, impossible, status};

const NAMESPACES: [&str; 6] = ["user", "pid", "mnt", "net", "ipc", "uts"];
const CAPABILITY_SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn namespace(pid: &str, name: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string()
}

fn check_no_privileges(pid: i32) {
    for set in CAPABILITY_SETS {
        assert_eq!(status(pid, set).as_deref(), Some("0000000000000000"), "{set} of {pid}");
    }
    assert_eq!(status(pid, "NoNewPrivs").as_deref(), Some("1"), "{pid}");
    assert_eq!(status(pid, "Seccomp").as_deref(), Some("2"), "{pid}");
}

/// Only root may look at descriptors and root directories of processes that have made themselves undumpable.
fn descriptors(pid: i32) -> Vec<(String, String)> {
    let dir = format!("/proc/{pid}/fd");
    let numbers = entries(dir.as_ref());
    assert!(!numbers.is_empty(), "cannot look at {dir}");
    let links = numbers.into_iter().filter_map(|number| {
        let link = fs::read_link(format!("{dir}/{number}")).ok()?;
        Some((number, link.display().to_string()))
    });
    links.collect()
}

fn check_empty_root(pid: i32) {
    assert_eq!(entries(format!("/proc/{pid}/root/").as_ref()), [""; 0], "root of {pid}");
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "mounts of {pid}:\n{mounts}");
    let fields: Vec<&str> = mounts.split(' ').collect();
    assert!(mounts.contains(" - tmpfs ") && fields[5].starts_with("ro,"), "{mounts}");
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(fields[5].contains(option), "{mounts}");
    }
}

#[test]
fn the_host_s_view() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure(&["true"]);
    let sentry = scratch.create("box");
    let gofer = scratch.gofer("box");

    for name in NAMESPACES {
        let [host, sentry, gofer] =
            ["self".to_owned(), sentry.to_string(), gofer.to_string()].map(|pid| namespace(&pid, name));
        assert_ne!(sentry, host, "the sentry's {name} namespace");
        assert_ne!(gofer, host, "the gofer's {name} namespace");
        assert_ne!(sentry, gofer, "the {name} namespaces of both");
    }
    check_no_privileges(sentry);
    // It is the first process of its pid namespace: whatever it leaves behind ends with it.
    assert!(status(sentry, "NSpid").is_some_and(|pids| pids.ends_with("\t1")));

    let stubs = children(sentry);
    assert!(!stubs.is_empty(), "no stub");
    for stub in &stubs {
        check_no_privileges(*stub);
    }
    if !is_root() {
        println!("skipped: descriptors and roots of jailed processes are visible to root only");
        return;
    }
    assert_eq!(status(sentry, "Uid").as_deref(), Some("65534\t65534\t65534\t65534"));
    assert_eq!(status(sentry, "Groups").as_deref(), Some(""));
    for pid in [sentry, gofer] {
        assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"", "environment of {pid}");
    }
    check_empty_root(sentry);
    let allowed = ["socket:", "anon_inode:[event", "/memfd:", "/dev/null", "pipe:"];
    for (number, link) in descriptors(sentry) {
        assert!(
            allowed.iter().any(|start| link.starts_with(start)),
            "descriptor {number} of the sentry: {link}"
        );
    }
    for stub in stubs {
        check_empty_root(stub);
        for (number, link) in descriptors(stub) {
            let fine = link.starts_with("socket:") || link.starts_with("/memfd:");
            assert!(fine, "descriptor {number} of stub {stub}: {link}");
        }
    }
}

#[test]
fn the_gofer_can_only_act_on_files() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure(&["true"]);
    scratch.create("box");
    let gofer = scratch.gofer("box");
    assert!(crate::common::eventually(|| status(gofer, "Seccomp").as_deref() == Some("2")), "no filter");
    assert_eq!(status(gofer, "NoNewPrivs").as_deref(), Some("1"));
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID.
    let files = 0b1_1111;
    for set in ["CapPrm", "CapEff"] {
        let set = u64::from_str_radix(&status(gofer, set).unwrap(), 16).unwrap();
        assert_eq!(set & !files, 0, "{set:x}");
    }
    assert!(status(gofer, "NSpid").is_some_and(|pids| pids.ends_with("\t1")));
}
