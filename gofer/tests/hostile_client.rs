//! A client that sends nonsense, hoards, stalls or dies hurts nobody but itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    process::Child,
    time::{Duration, Instant},
};

use common::{Gofer, TempDir, WRITABLE, descriptors, list, name, names, new};
use gofer::Limits;
use gofer_proto::{
    Client, DirWants, HandleId, MAX_MESSAGE, MAX_RELEASE, NodeId, OpenFlags, Opened, Request, SetAttr, Walk,
    WalkEnd, transport,
    wire::{Reader, Wire, Writer},
};
use linux_abi::Errno;

#[test]
fn gofer_process() {
    common::be_a_gofer();
}

/// How many descriptors the gofer has once they are as many as expected, or after a while.
fn settled(gofer: &Child, expected: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let now = descriptors(gofer.id());
        if now == expected || Instant::now() > deadline {
            return now;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn encode(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes, MAX_MESSAGE);
    request.encode(&mut out);
    out.finish().unwrap();
    bytes
}

/// Sends a message and waits for the answer's errno; `None` if the connection ended.
fn ask(socket: &OwnedFd, bytes: &[u8]) -> Option<i32> {
    transport::send(socket, bytes, None).ok()?;
    let mut reply = Vec::new();
    transport::receive(socket, &mut reply, MAX_MESSAGE).ok()?;
    Some(i32::try_from(u32::get(&mut Reader::new(&reply)).ok()?).unwrap())
}

/// One more connection over an existing one.
fn connect(through: &OwnedFd) -> Result<OwnedFd, i32> {
    let (ours, theirs) = transport::pair().unwrap();
    transport::send(through, &encode(&Request::AddConnection {}), None).unwrap();
    transport::send(through, &[0], Some(theirs.as_fd())).unwrap();
    let mut reply = Vec::new();
    transport::receive(through, &mut reply, MAX_MESSAGE).unwrap();
    match u32::get(&mut Reader::new(&reply)).unwrap() {
        0 => Ok(ours),
        errno => Err(i32::try_from(errno).unwrap()),
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}

/// Requests about things that exist, to be damaged.
fn plausible(random: &mut Random) -> Vec<u8> {
    let labels = [name("a"), name("b"), name("sub"), name("file"), name("link"), name("new")];
    let mut label = || labels[random.below(labels.len())];
    let (one, two) = (label(), label());
    let node = NodeId(1 + random.next() % 50);
    let dir = NodeId(1 + random.next() % 4);
    let flags = OpenFlags::from_bits_truncate(u32::try_from(random.next() & 0o1003).unwrap());
    let rename = gofer_proto::Rename {
        from_dir: dir,
        from_name: one,
        to_dir: dir,
        to_name: two,
        flags: gofer_proto::RenameFlags::empty(),
        moved: Some(node),
        exchanged: None,
    };
    encode(&match random.below(17) {
        0 => Request::Attach { root: 0 },
        1 | 2 => Request::Walk { from: dir, names: vec![one, two], open: Some(flags) },
        3 => Request::Stat { from: dir, names: vec![one, two] },
        4 => Request::Open { node, flags },
        5 => Request::Create { dir, name: one, flags, new: new(0o666) },
        6 => Request::SetAttr {
            node,
            change: SetAttr { size: Some(random.next() % 10_000), ..SetAttr::default() },
        },
        7 => Request::Mkdir { dir, name: one, new: new(0o777) },
        8 => Request::Link { node, dir, name: one },
        9 => Request::Unlink { dir, name: one, what: gofer_proto::Unlink::File },
        10 => Request::Rename { rename },
        11 => Request::ReadDir { handle: HandleId(node.0), cookie: 0, wants: DirWants::Attributes },
        12 => Request::ListXattr { node },
        13 => Request::Release { ids: vec![random.next() % 1000 + 10, random.next()] },
        15 => Request::Entries { dir, names: vec![one, two], open: true },
        14 => Request::Connect { node, kind: gofer_proto::SocketType::Stream },
        _ => Request::Fsync { node, sync: gofer_proto::Sync::Data },
    })
}

#[test]
fn twenty_thousand_messages_of_nonsense() {
    let dir = TempDir::new();
    dir.mkdir("in/sub/a");
    dir.write("in/file", "x");
    dir.write("in/sub/file", "x");
    dir.symlink("..", "in/link");
    dir.write("outside", "outside");
    let (first, mut gofer) = common::start_process(&[(&dir.join("in"), WRITABLE)], Limits::default());
    assert_eq!(ask(&first, &encode(&Request::Attach { root: 0 })), Some(0));
    let before = descriptors(gofer.id());
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut fuzz = connect(&first).unwrap();
    let mut answered = 0;
    let mut succeeded = 0;
    for round in 0..20_000 {
        let mut bytes = if round % 4 == 0 {
            let len = if round % 400 == 0 { random.below(MAX_MESSAGE + 5000) } else { random.below(200) };
            (0..len).map(|_| random.byte()).collect()
        } else {
            plausible(&mut random)
        };
        if round % 3 != 0 && !bytes.is_empty() {
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.byte();
            }
        }
        // A Release and a Follow have no answer, and AddConnection wants another message.
        match bytes.first_chunk().map(|number| u16::from_le_bytes(*number)) {
            Some(24 | 26) if Request::decode(&bytes).is_ok() => {
                transport::send(&fuzz, &bytes, Some(fuzz.as_fd())).unwrap();
                continue;
            }
            Some(25) if Request::decode(&bytes).is_ok() => continue,
            _ => {}
        }
        // Now and then with a descriptor that nobody wants.
        if round % 50 == 1 && !bytes.is_empty() {
            transport::send(&fuzz, &encode(&Request::Release { ids: vec![] }), Some(fuzz.as_fd())).unwrap();
        }
        match ask(&fuzz, &bytes) {
            Some(errno) => {
                answered += 1;
                succeeded += u32::from(errno == 0);
                assert!((0..4096).contains(&errno));
            }
            None => {
                assert!(bytes.is_empty(), "only an empty message is the end: {bytes:?}");
                fuzz = connect(&first).unwrap();
            }
        }
    }
    assert!(answered > 15_000 && succeeded > 500, "{answered} {succeeded}");
    // Everything given back, nothing is left open.
    let ids: Vec<u64> = (2..100_000).collect();
    for some in ids.chunks(MAX_RELEASE) {
        transport::send(&fuzz, &encode(&Request::Release { ids: some.to_vec() }), None).unwrap();
    }
    assert_eq!(ask(&fuzz, &encode(&Request::Attach { root: 0 })), Some(0), "still alive");
    drop(fuzz);
    assert_eq!(settled(&gofer, before), before);
    assert_eq!(fs::read(dir.join("outside")).unwrap(), b"outside");
    drop(first);
    assert!(gofer.wait().unwrap().success());
}

#[test]
fn a_client_that_dies_takes_nothing_with_it() {
    let dir = TempDir::new();
    dir.write("file", "");
    let (first, mut gofer) = common::start_process(&[(dir.path(), WRITABLE)], Limits::default());
    assert_eq!(ask(&first, &encode(&Request::Attach { root: 0 })), Some(0));
    let before = descriptors(gofer.id());
    for round in 0..50 {
        let socket = connect(&first).unwrap();
        let request = match round % 5 {
            // Answers that bring descriptors, answers that are long, and nobody to take them.
            0 => Request::Walk { from: NodeId(1), names: names("file"), open: Some(OpenFlags::RDWR) },
            1 => Request::Open { node: NodeId(1), flags: OpenFlags::empty() },
            2 => Request::AddConnection {},
            3 => Request::Stat { from: NodeId(1), names: names("file") },
            _ => Request::StatFs { node: NodeId(1) },
        };
        for _ in 0..1 + round % 3 {
            transport::send(&socket, &encode(&request), None).unwrap();
        }
        drop(socket);
    }
    // The dead connections are noticed; the nodes that they took are left, for all connections share them.
    let release = encode(&Request::Release { ids: (2..300).collect() });
    let deadline = Instant::now() + Duration::from_secs(5);
    while descriptors(gofer.id()) != before && Instant::now() < deadline {
        transport::send(&first, &release, None).unwrap();
        assert_eq!(ask(&first, &encode(&Request::GetAttr { node: NodeId(1) })), Some(0));
    }
    assert_eq!(descriptors(gofer.id()), before);
    drop(first);
    assert!(gofer.wait().unwrap().success());
}

#[test]
fn a_stalled_connection_stalls_no_other() {
    let dir = TempDir::new();
    dir.write("file", "");
    let (first, server) = common::start_thread(&[(dir.path(), WRITABLE)], Limits::default());
    assert_eq!(ask(&first, &encode(&Request::Attach { root: 0 })), Some(0));
    // Asks and never reads: at some point the server waits for room in this socket.
    let stalled = connect(&first).unwrap();
    rustix::io::ioctl_fionbio(&stalled, true).unwrap();
    let request = encode(&Request::StatFs { node: NodeId(1) });
    while transport::send(&stalled, &request, None).is_ok() {}
    // Promised a connection and did not send it.
    let promised = connect(&first).unwrap();
    transport::send(&promised, &encode(&Request::AddConnection {}), None).unwrap();
    let others = connect(&first).unwrap();
    for _ in 0..100 {
        assert_eq!(ask(&others, &encode(&Request::Stat { from: NodeId(1), names: names("file") })), Some(0));
    }
    drop((stalled, promised, others, first));
    server.join().unwrap();
}

#[test]
fn hoards_have_limits() {
    let dir = TempDir::new();
    dir.write("file", "");
    let limits = Limits { nodes: 100, open_nodes: 10, directories: 5, connections: 4 };
    let gofer = Gofer::in_thread_with(&[(dir.path(), WRITABLE)], limits);
    let client = gofer.client();
    let root = gofer.root();
    let mut nodes = Vec::new();
    let full = loop {
        let walk = client.walk(root, &[name("file")]).unwrap();
        match walk.end {
            WalkEnd::Complete => nodes.push(walk.found[0].node),
            end => break end,
        }
        assert!(nodes.len() < 1000);
    };
    assert_eq!(full, WalkEnd::Failed(Errno::ENFILE));
    assert!(nodes.len() > 90);
    assert_eq!(client.create(root, name("new"), OpenFlags::RDWR, new(0o644)).unwrap_err(), Errno::ENFILE);
    assert!(!dir.join("new").exists(), "what cannot be handed over is not left behind");
    assert_eq!(client.mkdir(root, name("new"), new(0o755)).unwrap_err(), Errno::ENFILE);
    assert!(!dir.join("new").exists());
    client.release(&nodes);
    client.flush_released();
    assert_eq!(client.walk(root, &[name("file")]).unwrap().end, WalkEnd::Complete);
    while client.attach(0).is_ok() {}
    assert_eq!(client.attach(0).unwrap_err(), Errno::ENFILE);

    let handles: Vec<_> =
        std::iter::from_fn(|| client.open(root, OpenFlags::empty()).ok()).take(100).collect();
    assert_eq!(handles.len(), 5);
    assert_eq!(client.open(root, OpenFlags::empty()).unwrap_err(), Errno::ENFILE);
    for handle in handles {
        let Opened::Directory(handle) = handle else { panic!() };
        client.close(handle);
    }
    client.flush_released();
    client.open(root, OpenFlags::empty()).unwrap();

    assert_eq!(client.grow(8).unwrap_err(), Errno::ENFILE, "four connections");
    client.getattr(root).unwrap();
}

#[test]
fn many_threads_share_a_client() {
    let dir = TempDir::new();
    for thread in 0..8 {
        dir.mkdir(format!("dir-{thread}"));
    }
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let (client, root) = (gofer.client(), gofer.root());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let label = format!("dir-{thread}");
                let own = client.walk(root, &[name(&label)]).unwrap().found[0].node;
                for round in 0..200 {
                    let label = format!("file-{round}");
                    let (made, fd) = client.create(own, name(&label), OpenFlags::RDWR, new(0o644)).unwrap();
                    rustix::io::write(&fd, label.as_bytes()).unwrap();
                    let walk = client.walk_open(own, &[name(&label)], OpenFlags::empty()).unwrap();
                    assert_eq!(walk.found[0].attr.ino, made.attr.ino);
                    assert_eq!(common::read(walk.opened.unwrap().unwrap()), label);
                    client.release(&[made.node, walk.found[0].node]);
                }
                assert_eq!(list(client, own).len(), 200);
            });
        }
    });
    assert_eq!(list(client, root).len(), 8);
}

/// The largest trees fit: nodes for all files, descriptors for some.
#[test]
fn a_hundred_thousand_files() {
    const DIRS: usize = 1000;
    const FILES: usize = 100;
    let dir = TempDir::in_memory();
    for sub in 0..DIRS {
        dir.mkdir(format!("d/{sub}"));
        for number in 0..FILES {
            drop(fs::File::create(dir.join(format!("d/{sub}/{number}"))).unwrap());
        }
    }
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let top = gofer.node("d");
    let mut dirs = Vec::new();
    let mut files = Vec::new();
    for sub in 0..DIRS {
        let label = sub.to_string();
        let node = client.walk(top, &[name(&label)]).unwrap().found[0].node;
        for number in 0..FILES {
            let label = number.to_string();
            let Walk { found, end, .. } = client.walk(node, &[name(&label)]).unwrap();
            assert_eq!(end, WalkEnd::Complete);
            files.push((found[0].node, found[0].attr.ino));
        }
        dirs.push(node);
    }
    assert_eq!(files.len(), 100_000);
    let open = descriptors(gofer.pid());
    assert!((1000..8300).contains(&open), "{open} descriptors");
    // All of them can be used, in any order.
    let mut random = Random(42);
    for _ in 0..20_000 {
        let (node, ino) = files[random.below(files.len())];
        assert_eq!(client.getattr(node).unwrap().ino, ino);
    }
    // Nodes stay valid through renames that the client made, at any depth.
    let renamed = gofer_proto::Rename {
        from_dir: gofer.root(),
        from_name: name("d"),
        to_dir: gofer.root(),
        to_name: name("e"),
        flags: gofer_proto::RenameFlags::empty(),
        moved: Some(top),
        exchanged: None,
    };
    client.rename(&renamed).unwrap();
    for (node, ino) in files.iter().step_by(10) {
        assert_eq!(client.getattr(*node).unwrap().ino, *ino);
    }
    // The directories may go before the files: the gofer keeps what it needs.
    client.release(&dirs);
    client.release(&[top]);
    client.flush_released();
    for (node, ino) in files.iter().step_by(17) {
        assert_eq!(client.getattr(*node).unwrap().ino, *ino);
    }
    assert!(descriptors(gofer.pid()) < 8300);
    client.release(&files.iter().map(|(node, _)| *node).collect::<Vec<_>>());
    client.flush_released();
    client.getattr(gofer.root()).unwrap();
    let open = descriptors(gofer.pid());
    assert!(open < 30, "{open} descriptors");
}

#[test]
fn a_gofer_that_is_gone_is_an_error() {
    let dir = TempDir::new();
    let (socket, server) = common::start_thread(&[(dir.path(), WRITABLE)], Limits::default());
    let (near, far) = transport::pair().unwrap();
    let client = Client::new(near, 4);
    drop(far);
    for _ in 0..3 {
        assert_eq!(client.attach(0).unwrap_err(), Errno::EIO);
    }
    client.release(&[NodeId(1); 100]);
    assert_eq!(client.grow(4).unwrap_err(), Errno::EIO);
    drop(socket);
    server.join().unwrap();
}
