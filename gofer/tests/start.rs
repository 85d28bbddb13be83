//! How gofers start, and why they do not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use common::{Gofer, READ_ONLY, TempDir, WRITABLE, config, name, names, new, read};
use gofer::{Config, Confinement, Error, Limits, OwnFds};
use gofer_proto::{Client, OpenFlags, WalkEnd, transport};
use linux_abi::Errno;

#[test]
fn gofer_process() {
    common::be_a_gofer();
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn configurations_arrive_as_they_were_sent() {
    let dir = TempDir::new();
    let limits = Limits { nodes: 1, open_nodes: 2, directories: 3, connections: 4 };
    let sent = config(&[(dir.path(), READ_ONLY), (dir.path(), WRITABLE)], limits);
    let (ours, theirs) = transport::pair().unwrap();
    sent.send(&ours).unwrap();
    let received = Config::receive(&theirs).unwrap();
    assert_eq!((received.limits, received.confinement), (limits, Confinement::IfPermitted));
    let policies: Vec<_> = received.roots.iter().map(|root| root.policy).collect();
    assert_eq!(policies, [READ_ONLY, WRITABLE]);
    let inode = fs::metadata(dir.path()).unwrap().ino();
    assert!(received.roots.iter().all(|root| rustix::fs::fstat(&root.fd).unwrap().st_ino == inode));
}

#[test]
fn nonsense_is_no_configuration() {
    for message in [&b"x"[..], b"gofer-00 and so on", &[0xff; 200], &[0; 300]] {
        let (ours, theirs) = transport::pair().unwrap();
        transport::send(&ours, message, None).unwrap();
        assert!(Config::receive(&theirs).is_err());
    }
    let (ours, theirs) = transport::pair().unwrap();
    drop(ours);
    assert!(matches!(Config::receive(&theirs), Err(Error::BadConfig)));
}

#[test]
fn without_openat2_there_is_no_gofer() {
    use seccompiler::{SeccompAction, SeccompFilter};
    let dir = TempDir::new();
    let config = config(&[(dir.path(), WRITABLE)], Limits::default());
    let (_ours, theirs) = transport::pair().unwrap();
    // The filter is for this thread only.
    let result = std::thread::spawn(|| {
        let rules = BTreeMap::from([(libc::SYS_openat2, Vec::new())]);
        let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, arch).unwrap();
        let program: seccompiler::BpfProgram = filter.try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        gofer::serve(config, theirs, OwnFds::in_proc())
    })
    .join()
    .unwrap();
    let error = result.unwrap_err();
    assert!(matches!(error, Error::NoOpenat2(_)), "{error}");
    assert!(error.to_string().contains("Linux 5.6"), "{error}");
}

#[test]
fn the_jail_holds() {
    let dir = TempDir::new();
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    gofer.root();
    let proc = format!("/proc/{}", gofer.pid());
    // The thread that went to jail, and those that it started. (The other one is the test harness's.)
    let jailed: Vec<_> = fs::read_dir(format!("{proc}/task"))
        .unwrap()
        .map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .filter(|status| status.contains("Seccomp:\t2"))
        .collect();
    assert!(!jailed.is_empty());
    for status in jailed {
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID.
        for set in ["CapPrm", "CapEff"] {
            let line = status.lines().find(|line| line.starts_with(set)).unwrap();
            let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
            assert_eq!(bits & !0b11111, 0, "{status}");
        }
    }
    if is_root() {
        assert!(!fs::exists(format!("{proc}/root/etc")).unwrap());
        assert_eq!(
            fs::read_link(format!("{proc}/cwd")).unwrap(),
            fs::read_link(format!("{proc}/root")).unwrap()
        );
    }
}

#[test]
fn a_gofer_that_must_be_confined_and_cannot_be_does_not_start() {
    let dir = TempDir::new();
    let required =
        Config { confinement: Confinement::Required, ..config(&[(dir.path(), WRITABLE)], Limits::default()) };
    for who in ["without capabilities", "nobody"] {
        if who == "nobody" && !is_root() {
            continue;
        }
        let (socket, mut child) = common::start_process_as(who, &required);
        assert_eq!(Client::new(socket, 1).attach(0).unwrap_err(), Errno::EIO);
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}

#[test]
fn a_gofer_without_privileges_does_what_its_user_may() {
    if !is_root() {
        eprintln!("skipped: only root can become someone else");
        return;
    }
    let dir = TempDir::new();
    dir.write("public", "public");
    dir.write("private", "private");
    dir.mkdir("own");
    fs::set_permissions(dir.join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(dir.join("own"), Some(65534), Some(65534)).unwrap();
    let (socket, mut child) =
        common::start_process_as("nobody", &config(&[(dir.path(), WRITABLE)], Limits::default()));
    let client = Client::new(socket, 2);
    let root = client.attach(0).unwrap().node;
    let open = |path: &str, flags| client.walk_open(root, &names(path), flags).unwrap().opened.unwrap();
    assert_eq!(read(open("public", OpenFlags::empty()).unwrap()), "public");
    assert_eq!(open("public", OpenFlags::RDWR).unwrap_err(), Errno::EACCES);
    assert_eq!(open("private", OpenFlags::empty()).unwrap_err(), Errno::EACCES);
    assert_eq!(client.mkdir(root, name("x"), new(0o755)).unwrap_err(), Errno::EACCES);
    let own = client.walk(root, &[name("own")]).unwrap();
    assert_eq!(own.end, WalkEnd::Complete);
    let own = own.found[0].node;
    let (made, _) = client.create(own, name("file"), OpenFlags::RDWR, new(0o640)).unwrap();
    assert_eq!((made.attr.uid, made.attr.mode & 0o7777), (65534, 0o640));
    // It cannot give files away, and then leaves none behind.
    let foreign =
        gofer_proto::NewFile { owner: gofer_proto::Owner { uid: Some(0), gid: None }, ..new(0o644) };
    assert_eq!(client.create(own, name("foreign"), OpenFlags::RDWR, foreign).unwrap_err(), Errno::EPERM);
    assert_eq!(client.mkdir(own, name("foreign"), foreign).unwrap_err(), Errno::EPERM);
    assert!(!dir.join("own/foreign").exists());
    drop(client);
    assert!(child.wait().unwrap().success());
}
