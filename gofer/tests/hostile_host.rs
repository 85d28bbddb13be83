//! Nothing outside the roots can be reached: not by names, not by links, not while somebody on the host rearranges
//! the tree during the walk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::{
    fs,
    os::fd::OwnedFd,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use common::{Gofer, READ_ONLY, TempDir, WRITABLE, name, names, new, read};
use gofer_proto::{
    FileKind, MAX_MESSAGE, NodeId, OpenFlags, Opened, Request, SetAttr, WalkEnd, transport,
    wire::{Reader, Wire, Writer},
};
use linux_abi::Errno;

#[test]
fn gofer_process() {
    common::be_a_gofer();
}

/// Sends bytes and returns the errno of the answer.
fn send_raw(socket: &OwnedFd, bytes: &[u8]) -> Option<Errno> {
    transport::send(socket, bytes, None).unwrap();
    let mut reply = Vec::new();
    transport::receive(socket, &mut reply, MAX_MESSAGE).unwrap();
    let raw = i32::try_from(u32::get(&mut Reader::new(&reply)).unwrap()).unwrap();
    (raw != 0).then(|| Errno::from_raw(raw))
}

#[test]
fn names_that_lead_out_are_refused_by_the_server() {
    let dir = TempDir::new();
    dir.mkdir("in/sub");
    dir.write("secret", "secret");
    dir.write("in/PLACEHOLDR", "fine");
    let (socket, server) = common::start_thread(&[(&dir.join("in"), WRITABLE)], gofer::Limits::default());
    assert_eq!(send_raw(&socket, &[1, 0, 0, 0, 0, 0]), None, "attach gives node 1");
    let root = NodeId(1);
    let placeholder = name("PLACEHOLDR");
    let rename = gofer_proto::Rename {
        from_dir: root,
        from_name: placeholder,
        to_dir: root,
        to_name: name("x"),
        flags: gofer_proto::RenameFlags::empty(),
        moved: None,
        exchanged: None,
    };
    let requests = [
        Request::Walk { from: root, names: vec![placeholder], open: None },
        Request::Stat { from: root, names: vec![placeholder] },
        Request::Create { dir: root, name: placeholder, flags: OpenFlags::RDWR, new: new(0o644) },
        Request::Mkdir { dir: root, name: placeholder, new: new(0o755) },
        Request::Mknod { dir: root, name: placeholder, kind: FileKind::Fifo, new: new(0o644) },
        Request::Unlink { dir: root, name: placeholder, what: gofer_proto::Unlink::File },
        Request::Link { node: root, dir: root, name: placeholder },
        Request::Rename { rename },
        Request::Rename {
            rename: gofer_proto::Rename { from_name: name("x"), to_name: placeholder, ..rename },
        },
    ];
    for request in requests {
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes, MAX_MESSAGE);
        request.encode(&mut out);
        out.finish().unwrap();
        let at = bytes.windows(10).position(|window| window == b"PLACEHOLDR").unwrap();
        for evil in
            [&b".."[..], b".", b"", b"../secret", b"/etc/passwd", b"sub/../..", b"a\0b", b"sub/x", b"sub/"]
        {
            // The length in front of the name changes with it.
            let len = u32::try_from(evil.len()).unwrap().to_le_bytes();
            let patched = [&bytes[..at - 4], &len, evil, &bytes[at + 10..]].concat();
            assert_eq!(send_raw(&socket, &patched), Some(Errno::EINVAL), "{request:?} {evil:?}");
        }
    }
    assert_eq!(fs::read(dir.join("secret")).unwrap(), b"secret");
    drop(socket);
    server.join().unwrap();
}

#[test]
fn links_are_never_followed() {
    let dir = TempDir::new();
    dir.mkdir("outside/sub");
    dir.write("outside/secret", "secret");
    dir.mkdir("in");
    dir.symlink("../outside", "in/relative");
    dir.symlink(dir.join("outside"), "in/absolute");
    dir.symlink("../outside/secret", "in/file");
    dir.symlink("..", "in/dots");
    dir.symlink("/proc/self/root", "in/magic");
    dir.symlink("loop", "in/loop");
    for root in [WRITABLE, READ_ONLY] {
        let gofer = Gofer::in_jail(&[(&dir.join("in"), root)]);
        let client = gofer.client();
        for (link, next) in [
            ("relative", "secret"),
            ("absolute", "secret"),
            ("dots", "outside"),
            ("magic", "etc"),
            ("loop", "x"),
            ("file", "x"),
        ] {
            let walk = client
                .walk_open(gofer.root(), &names(&format!("{link}/{next}")), OpenFlags::empty())
                .unwrap();
            assert_eq!((walk.found.len(), walk.end), (1, WalkEnd::Symlink), "{link}");
            assert!(walk.opened.is_none());
            let node = walk.found[0].node;
            assert_eq!(client.open(node, OpenFlags::empty()).unwrap_err(), Errno::ELOOP);
            assert_eq!(client.open(node, OpenFlags::DIRECTORY).unwrap_err(), Errno::ELOOP);
            assert_eq!(client.walk(node, &[name(next)]).unwrap().end, WalkEnd::Failed(Errno::ENOTDIR));
            assert_eq!(client.mkdir(node, name("new"), new(0o755)).unwrap_err(), Errno::ENOTDIR);
            let created = client.create(node, name("new"), OpenFlags::RDWR, new(0o644));
            assert_eq!(created.unwrap_err(), Errno::ENOTDIR);
            let truncate = SetAttr { size: Some(0), ..SetAttr::default() };
            assert!(client.setattr(node, &truncate).is_err());
        }
        assert_eq!(fs::read(dir.join("outside/secret")).unwrap(), b"secret");
        assert!(!dir.join("outside/new").exists());
    }
}

#[test]
fn proc_is_a_closed_door() {
    // A sandbox whose root is the host's: the mounts below it are there, but not /proc.
    let gofer = Gofer::in_jail(&[(Path::new("/"), READ_ONLY), (Path::new("/proc"), READ_ONLY)]);
    let client = gofer.client();
    let mount = |node| client.getattr(node).unwrap().mount;
    let proc = gofer.node("proc");
    if client.getattr(proc).unwrap().dev == client.getattr(gofer.root()).unwrap().dev {
        eprintln!("skipped: /proc is not mounted");
        return;
    }
    assert_ne!(mount(proc), mount(gofer.root()), "crossing a mount shows");
    for proc in [proc, client.attach(1).unwrap().node] {
        for path in ["self/root/etc/passwd", "self/mem", "self/fd/0", "1/root", "sys/kernel/core_pattern"] {
            let walk = client.walk_open(proc, &names(path), OpenFlags::empty()).unwrap();
            assert_eq!((walk.found.len(), walk.end), (0, WalkEnd::Failed(Errno::EACCES)), "{path}");
            let stats = client.stat(proc, &names(path)).unwrap();
            assert_eq!((stats.found.len(), stats.end), (0, WalkEnd::Failed(Errno::EACCES)), "{path}");
        }
        assert_eq!(client.open(proc, OpenFlags::empty()).unwrap_err(), Errno::EACCES);
        let walk = client.walk_open(proc, &[], OpenFlags::empty()).unwrap();
        assert_eq!(walk.opened.unwrap().unwrap_err(), Errno::EACCES);
        assert_eq!(client.listxattr(proc).unwrap_err(), Errno::EACCES);
    }
    // Other mounts are part of the root.
    let walk = gofer.walk("dev/null");
    assert_eq!((walk.found.len(), walk.end), (2, WalkEnd::Complete));
}

/// Swaps a directory and a link to a place outside, over and over, while the client walks, lists, opens and
/// makes files there.
#[test]
fn swapping_in_a_link_does_not_help() {
    const SWAPS: u32 = 10_000;
    let dir = TempDir::new();
    dir.mkdir("outside");
    dir.write("outside/file", "outside");
    dir.mkdir("in/dir");
    dir.write("in/dir/file", "inside");
    dir.symlink("../outside", "in/link");
    let gofer = Gofer::in_jail(&[(&dir.join("in"), WRITABLE)]);
    let client = gofer.client();
    let root = gofer.root();
    let done = AtomicBool::new(false);
    let (mut as_link, mut as_dir) = (0_u32, 0_u32);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let swap = || {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let place = rustix::fs::CWD;
                rustix::fs::renameat_with(place, dir.join("in/dir"), place, dir.join("in/link"), flags)
                    .unwrap();
            };
            for _ in 0..SWAPS {
                swap();
                std::thread::yield_now();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut round = 0;
        while !done.load(Ordering::Relaxed) {
            round += 1;
            let walk = client.walk_open(root, &names("dir/file"), OpenFlags::RDWR).unwrap();
            match walk.end {
                WalkEnd::Complete => {
                    as_dir += 1;
                    assert_eq!(read(walk.opened.unwrap().unwrap()), "inside");
                }
                WalkEnd::Symlink => as_link += 1,
                WalkEnd::Failed(errno) => panic!("{errno}"),
            }
            let first = walk.found[0].node;
            // By its node, whatever "dir" is by now.
            let label = format!("made-{round}");
            match client.create(first, name(&label), OpenFlags::WRONLY, new(0o644)) {
                Ok((made, _)) => client.release(&[made.node]),
                Err(errno) => assert_eq!((errno, walk.end), (Errno::ENOTDIR, WalkEnd::Symlink)),
            }
            if let Ok(Opened::Directory(handle)) = client.open(first, OpenFlags::empty()) {
                client.close(handle);
            }
            client.release(&walk.found.iter().map(|walked| walked.node).collect::<Vec<_>>());
        }
    });
    assert!(as_link > 10 && as_dir > 10, "both were seen: {as_link} {as_dir}");
    assert_eq!(fs::read_dir(dir.join("outside")).unwrap().count(), 1, "nothing was made outside");
}

/// A file that is replaced by a link between lookup and change is not changed through the link.
#[test]
fn changes_go_to_the_file_that_was_found() {
    let dir = TempDir::new();
    dir.write("secret", "secret");
    dir.mkdir("in");
    dir.write("in/file", "inside");
    let gofer = Gofer::in_jail(&[(&dir.join("in"), WRITABLE)]);
    let client = gofer.client();
    let node = gofer.node("file");
    fs::rename(dir.join("in/file"), dir.join("in/moved")).unwrap();
    dir.symlink("../secret", "in/file");
    let change = SetAttr { mode: Some(0o600), size: Some(3), ..SetAttr::default() };
    client.setattr(node, &change).unwrap();
    assert_eq!(fs::read(dir.join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read(dir.join("in/moved")).unwrap(), b"ins");
}
