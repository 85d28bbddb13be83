use super::*;
use crate::{
    attr::{Attr, SetTime, Timestamp},
    name::LINK_MAX,
    types::{DirBatch, DirEntry, Stats},
};

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).unwrap()
}

fn encode(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes, crate::MAX_MESSAGE);
    request.encode(&mut out);
    out.finish().unwrap();
    bytes
}

/// At least one of each.
fn all() -> Vec<Request<'static>> {
    let owner = Owner { uid: Some(0), gid: None };
    let new = NewFile { mode: 0o7777, owner };
    let change = SetAttr {
        size: Some(u64::MAX),
        owner: Owner { uid: None, gid: Some(u32::MAX - 1) },
        mode: Some(0o644),
        atime: Some(SetTime::Now),
        mtime: Some(SetTime::At(Timestamp { sec: i64::MIN, nsec: 999_999_999 })),
    };
    let dir = NodeId(7);
    let node = NodeId(u64::MAX);
    let xattr = XattrName::new(b"user.x").unwrap();
    vec![
        Request::Attach { root: u32::MAX },
        Request::Walk { from: dir, names: vec![], open: None },
        Request::Walk {
            from: dir,
            names: vec![name(b"a"), name(&[b'b'; 255])],
            open: Some(OpenFlags::all() - OpenFlags::WRONLY),
        },
        Request::Walk {
            from: dir,
            names: vec![name(&[0xff; 255]); crate::MAX_WALK],
            open: Some(OpenFlags::WRONLY),
        },
        Request::Stat { from: dir, names: vec![name(b"...")] },
        Request::Open { node, flags: OpenFlags::empty() },
        Request::Create { dir, name: name(b"x"), flags: OpenFlags::RDWR, new },
        Request::GetAttr { node },
        Request::SetAttr { node, change },
        Request::SetAttr { node, change: SetAttr::default() },
        Request::Mkdir { dir, name: name(b"x"), new },
        Request::Symlink {
            dir,
            name: name(b"x"),
            target: LinkTarget::new(&[b'/'; LINK_MAX]).unwrap(),
            owner,
        },
        Request::Link { node, dir, name: name(b"x") },
        Request::Mknod { dir, name: name(b"x"), kind: FileKind::Fifo, new },
        Request::Unlink { dir, name: name(b"x"), what: Unlink::Directory },
        Request::Rename {
            rename: Rename {
                from_dir: dir,
                from_name: name(b"x"),
                to_dir: node,
                to_name: name(b"y"),
                flags: RenameFlags::all(),
                moved: Some(node),
                exchanged: None,
            },
        },
        Request::ReadDir { handle: HandleId(1), cookie: u64::MAX, wants: DirWants::Attributes },
        Request::ReadLink { node },
        Request::StatFs { node },
        Request::GetXattr { node, name: xattr },
        Request::SetXattr {
            node,
            name: xattr,
            value: XattrValue(&[1; MAX_XATTR]),
            flags: XattrFlags::CREATE,
        },
        Request::ListXattr { node },
        Request::RemoveXattr { node, name: xattr },
        Request::Fsync { node, sync: Sync::Data },
        Request::Fallocate { node, mode: u32::MAX, offset: 1, len: u64::MAX },
        Request::Connect { node, kind: SocketType::SeqPacket },
        Request::Release { ids: vec![1; crate::MAX_RELEASE] },
        Request::AddConnection {},
        Request::Follow { cpu: 3 },
        Request::Changes { root: 1 },
        Request::List { node },
        Request::Entries { dir: node, names: vec![name(b"x"), name(b"y")], open: true },
    ]
}

#[test]
fn requests_survive_the_trip() {
    for request in all() {
        let bytes = encode(&request);
        assert_eq!(Request::decode(&bytes).as_ref(), Ok(&request));
    }
}

#[test]
fn what_is_cut_off_or_too_long_is_no_request() {
    for request in all() {
        let mut bytes = encode(&request);
        // For long ones, the interesting places are at the start.
        for len in (0..bytes.len().min(300)).chain([bytes.len() - 1]) {
            assert!(Request::decode(&bytes[..len]).is_err(), "{request:?} cut to {len}");
        }
        bytes.push(0);
        assert_eq!(Request::decode(&bytes), Err(Errno::EPROTO), "{request:?}");
    }
}

/// Replaces the only occurrence of `from`.
fn patch(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn bad_names_do_not_get_through() {
    let good = encode(&Request::Walk { from: NodeId(1), names: vec![name(b"ok"), name(b"XX")], open: None });
    for bad in [b"..", b"a/", b"/a", b"a\0"] {
        assert_eq!(Request::decode(&patch(&good, b"XX", bad)), Err(Errno::EINVAL), "{bad:?}");
    }
    assert_eq!(Request::decode(&patch(&good, b"\x02\0\0\0XX", b"\x01\0\0\0.")), Err(Errno::EINVAL));
    assert_eq!(Request::decode(&patch(&good, b"\x02\0\0\0XX", b"\0\0\0\0")), Err(Errno::EINVAL));
    let long = [&b"\0\x01\0\0"[..], &[b'a'; 256]].concat();
    assert_eq!(Request::decode(&patch(&good, b"\x02\0\0\0XX", &long)), Err(Errno::ENAMETOOLONG));
    let longer = [&b"\x01\x01\0\0"[..], &[b'a'; 257]].concat();
    assert_eq!(Request::decode(&patch(&good, b"\x02\0\0\0XX", &longer)), Err(Errno::EPROTO));
    // A length that promises more than there is.
    assert_eq!(Request::decode(&patch(&good, b"\x02\0\0\0XX", b"\xff\0\0\0XX")), Err(Errno::EPROTO));
}

#[test]
fn values_out_of_range_have_their_errno() {
    let open = |bits: u32| [&4_u16.to_le_bytes()[..], &1_u64.to_le_bytes(), &bits.to_le_bytes()].concat();
    assert!(Request::decode(&open(0)).is_ok());
    for bits in [3, u32::MAX, libc::O_PATH.cast_unsigned(), libc::O_CREAT.cast_unsigned()] {
        assert_eq!(Request::decode(&open(bits)), Err(Errno::EINVAL), "{bits:#o}");
    }
    let new = NewFile { mode: 0o10_000, owner: Owner::default() };
    let bytes = encode(&Request::Mkdir { dir: NodeId(1), name: name(b"x"), new });
    assert_eq!(Request::decode(&bytes), Err(Errno::EINVAL));
    let owner = Owner { uid: Some(u32::MAX), gid: None };
    let bytes = encode(&Request::Mkdir { dir: NodeId(1), name: name(b"x"), new: NewFile { mode: 0, owner } });
    assert_eq!(Request::decode(&bytes), Err(Errno::EINVAL));
    for number in [0_u16, 26, u16::MAX] {
        assert_eq!(Request::decode(&number.to_le_bytes()), Err(Errno::EPROTO));
    }
    // More names, more ids than allowed.
    let names = Request::Walk { from: NodeId(1), names: vec![name(b"a"); crate::MAX_WALK + 1], open: None };
    assert_eq!(Request::decode(&encode(&names)), Err(Errno::EPROTO));
    let ids = Request::Release { ids: vec![0; crate::MAX_RELEASE + 1] };
    assert_eq!(Request::decode(&encode(&ids)), Err(Errno::EPROTO));
}

#[test]
fn random_bytes_never_panic_and_never_mean_two_things() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let pick = |random: u64, len: usize| usize::try_from(random % u64::try_from(len).unwrap()).unwrap();
    let all: Vec<_> = all().iter().map(encode).filter(|bytes| bytes.len() < 1000).collect();
    let mut understood = 0;
    for _ in 0..100_000 {
        let mut bytes = all[pick(random(), all.len())].clone();
        for _ in 0..1 + random() % 3 {
            let at = pick(random(), bytes.len());
            bytes[at] = u8::try_from(random() & 0xff).unwrap();
        }
        if let Ok(request) = Request::decode(&bytes) {
            understood += 1;
            assert_eq!(encode(&request), bytes, "one form for every request");
        }
    }
    assert!(understood > 1000, "the test is about something");
}

fn attr() -> Attr {
    let time = Timestamp { sec: -1, nsec: 7 };
    Attr {
        mode: 0o100_644,
        nlink: 1,
        uid: 2,
        gid: 3,
        ino: u64::MAX,
        size: 1 << 40,
        blocks: 8,
        blksize: 4096,
        dev: crate::Dev { major: 8, minor: 1 },
        rdev: crate::Dev::default(),
        mount: 77,
        atime: time,
        mtime: time,
        ctime: time,
        btime: None,
    }
}

#[test]
fn answers_survive_the_trip() {
    fn trip<T: for<'a> Wire<'a> + PartialEq + core::fmt::Debug>(value: &T) -> usize {
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes, crate::MAX_MESSAGE);
        value.put(&mut out);
        out.finish().unwrap();
        let mut from = Reader::new(&bytes);
        assert_eq!(&T::get(&mut from).unwrap(), value);
        from.finish().unwrap();
        bytes.len()
    }
    let walked = Walked {
        node: NodeId(1),
        attr: Attr { btime: Some(Timestamp::default()), ..attr() },
        watch: Some(1),
    };
    let longest = WalkReply {
        found: vec![walked; crate::MAX_WALK],
        end: WalkEnd::Failed(Errno::ENOENT),
        link: Some(LinkText([b'x'; LINK_MAX + 1].into())),
        opened: Some(OpenReply::Failed(Errno::EACCES)),
    };
    assert!(trip(&longest) + 4 <= crate::MAX_SMALL_REPLY);
    for end in [WalkEnd::Complete, WalkEnd::Symlink] {
        for opened in [None, Some(OpenReply::File), Some(OpenReply::Directory(HandleId(3)))] {
            trip(&WalkReply { found: vec![], end, link: None, opened });
        }
    }
    trip(&Stats { found: vec![attr(); crate::MAX_WALK], end: WalkEnd::Complete });
    trip(&crate::VolumeStat::default());
}

#[test]
fn directory_batches() {
    let entries = [
        DirEntry { ino: 1, cookie: 2, kind: FileKind::Directory, name: name(b"a"), attr: None },
        DirEntry {
            ino: 3,
            cookie: u64::MAX,
            kind: FileKind::Unknown,
            name: name(&[b'b'; 255]),
            attr: Some(attr()),
        },
    ];
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes, crate::MAX_MESSAGE);
    entries.iter().for_each(|entry| entry.put(&mut out));
    true.put(&mut out);
    let batch = DirBatch::new(Reader::new(&bytes)).unwrap();
    assert!(batch.end);
    assert_eq!(batch.iter().collect::<Vec<_>>(), entries);
    for len in 0..bytes.len() {
        if let Ok(batch) = DirBatch::new(Reader::new(&bytes[..len])) {
            // Cut between entries, with a byte left over that may pass for the end mark.
            assert!(batch.iter().count() < 2);
        }
    }
    assert!(DirBatch::new(Reader::new(&[])).is_err());
    assert!(DirBatch::new(Reader::new(&[0])).unwrap().iter().next().is_none());
}

#[test]
fn writers_stop_at_their_limit() {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes, 10);
    1_u64.put(&mut out);
    let mark = out.mark();
    1_u32.put(&mut out);
    assert!(out.overflowed());
    // Nothing is appended after an overflow, even if it would fit.
    1_u8.put(&mut out);
    assert_eq!(out.mark(), mark);
    out.rewind(mark);
    1_u16.put(&mut out);
    assert_eq!(out.finish().unwrap().len(), 10);
    let mut out = Writer::new(&mut bytes, 3);
    1_u32.put(&mut out);
    assert_eq!(out.finish(), Err(Errno::EMSGSIZE));
}
