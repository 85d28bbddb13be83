//! What a gofer costs: time to start, memory, and microseconds for the calls that matter.
//!
//! `cargo run --release -p gofer --example measure`. Starts itself again as the gofer, in its jail, on the host's root.
#![allow(clippy::unwrap_used, reason = "a measurement has nothing better to do than to stop")]

use std::{
    fs,
    os::fd::AsFd,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use gofer::{Config, Confinement, Limits, Policy, Root};
use gofer_proto::{Client, DirWants, Name, NodeId, OpenFlags, Opened, transport};

fn main() {
    if std::env::args().nth(1).is_some() {
        return be_the_gofer();
    }
    let dir = std::env::temp_dir().join(format!("gofer-measure-{}", std::process::id()));
    fs::create_dir_all(dir.join("usr/share/things")).unwrap();
    for number in 0..5000 {
        fs::write(dir.join(format!("usr/share/things/{number}")), "content").unwrap();
    }
    measure(&dir);
    fs::remove_dir_all(dir).unwrap();
}

/// What [`gofer::run`] does, with a watch in the hand.
fn be_the_gofer() {
    let control = gofer::control_from_stdin().unwrap();
    let config = Config::receive(&control).unwrap();
    let start = Instant::now();
    let own_fds = gofer::jail::enter(&config, &[control.as_fd()]).unwrap();
    eprintln!("of which going to jail {:>9.1?}", start.elapsed());
    gofer::serve(config, control, own_fds).unwrap();
}

fn measure(dir: &Path) {
    let start = Instant::now();
    let root = Root::open(dir, Policy::default()).unwrap();
    println!("opening a root         {:>9.1?}", start.elapsed());
    let config =
        Config { roots: vec![root], limits: Limits::default(), confinement: Confinement::IfPermitted };

    let start = Instant::now();
    let (ours, theirs) = transport::pair().unwrap();
    let mut gofer = Command::new(std::env::current_exe().unwrap())
        .arg("gofer")
        .stdin(theirs)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    config.send(&ours).unwrap();
    let client = Client::new(ours, 8);
    let root = client.attach(0).unwrap().node;
    println!("start to first answer  {:>9.1?}", start.elapsed());
    println!("memory, idle           {:>6} KiB", pss(gofer.id()));
    client.grow(8).unwrap();
    println!("with 8 connections     {:>6} KiB", pss(gofer.id()));

    let path = names("usr/share/things/42");
    each("getattr", || assert!(client.getattr(root).is_ok()));
    each("walk, 4 names", || {
        let walk = client.walk(root, &path).unwrap();
        release(&client, walk.found.iter().map(|walked| walked.node));
    });
    each("stat, 4 names", || drop(client.stat(root, &path).unwrap()));
    each("walk and open, 4 names", || {
        let walk = client.walk_open(root, &path, OpenFlags::empty()).unwrap();
        release(&client, walk.found.iter().map(|walked| walked.node));
        assert!(matches!(walk.opened, Some(Ok(Opened::File(_)))));
    });
    let file = client.walk(root, &path).unwrap().found[3].node;
    each("open", || drop(client.open(file, OpenFlags::empty()).unwrap()));
    let things = client.walk(root, &names("usr/share/things")).unwrap().found[2].node;
    each("list 5000 entries", || {
        let Ok(Opened::Directory(handle)) = client.open(things, OpenFlags::empty()) else { return };
        let (mut cookie, mut count) = (0, 0);
        loop {
            let batch = client.readdir(handle, cookie, DirWants::Names).unwrap();
            count += batch.iter().inspect(|entry| cookie = entry.cookie).count();
            if batch.end {
                break;
            }
        }
        assert_eq!(count, 5000);
        client.close(handle);
    });
    each("on the host: open", || drop(fs::File::open(dir.join("usr/share/things/42")).unwrap()));
    println!("memory afterwards      {:>6} KiB", pss(gofer.id()));
    drop(client);
    assert!(gofer.wait().unwrap().success());
}

fn names(path: &str) -> Vec<Name<'_>> {
    path.split('/').map(|name| Name::new(name.as_bytes()).unwrap()).collect()
}

fn release(client: &Client, nodes: impl Iterator<Item = NodeId>) {
    client.release(&nodes.collect::<Vec<_>>());
}

/// The best of five runs of a fifth of a second each: the machine may have other work.
fn each(what: &str, mut call: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let mut calls = 0_u32;
        while start.elapsed() < Duration::from_millis(200) {
            call();
            calls += 1;
        }
        best = best.min(start.elapsed() / calls);
    }
    println!("{what:<22} {best:>9.1?}");
}

/// Memory of a process, shared pages counted by its share.
fn pss(pid: u32) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = smaps.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
