//! Every call, its results and its errors, against a gofer in jail: what the system-call filter or the dropped
//! capabilities forbid by mistake fails here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::{
    fs,
    io::{Read, Seek, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
};

use common::{EVERYTHING, Gofer, READ_ONLY, TempDir, WRITABLE, file, list, name, names, new, read};
use gofer_proto::{
    DirWants, FileKind, HandleId, LinkTarget, NewFile, NodeId, OpenFlags, Opened, Owner, Rename, RenameFlags,
    SetAttr, SetTime, SocketType, Sync, Timestamp, Unlink, WalkEnd, XattrFlags, XattrName,
};
use linux_abi::Errno;

#[test]
fn gofer_process() {
    common::be_a_gofer();
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn attach_and_getattr() {
    let dir = TempDir::new();
    dir.write("file", "12345");
    let single = dir.join("file");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE), (&single, READ_ONLY)]);
    let client = gofer.client();
    let root = client.attach(0).unwrap();
    let host = fs::metadata(dir.path()).unwrap();
    assert_eq!(root.attr.kind(), FileKind::Directory);
    assert_eq!((root.attr.ino, root.attr.nlink), (host.ino(), u32::try_from(host.nlink()).unwrap()));
    assert_eq!(rustix::fs::makedev(root.attr.dev.major, root.attr.dev.minor), host.dev());
    assert_eq!((root.attr.mtime.sec, i64::from(root.attr.mtime.nsec)), (host.mtime(), host.mtime_nsec()));
    // A root may be a single file.
    let single = client.attach(1).unwrap();
    assert_eq!((single.attr.kind(), single.attr.size), (FileKind::Regular, 5));
    assert_eq!(read(client.open(single.node, OpenFlags::empty()).unwrap()), "12345");
    assert_eq!(client.open(single.node, OpenFlags::RDWR).unwrap_err(), Errno::EROFS);
    assert_eq!(client.walk(single.node, &[name("x")]).unwrap().end, WalkEnd::Failed(Errno::ENOTDIR));
    assert_eq!(client.attach(2).unwrap_err(), Errno::EINVAL);
    assert_eq!(client.getattr(NodeId(0)).unwrap_err(), Errno::EBADF);
    assert_eq!(client.getattr(NodeId(u64::MAX)).unwrap_err(), Errno::EBADF);
}

#[test]
fn walks_stop_where_they_must() {
    let dir = TempDir::new();
    dir.mkdir("a/b/c");
    dir.write("a/b/c/file", "content");
    dir.symlink("b", "a/link");
    dir.symlink("/etc/passwd", "a/absolute");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let root = gofer.root();

    let walk = gofer.walk("a/b/c/file");
    assert_eq!(walk.end, WalkEnd::Complete);
    assert_eq!(walk.found.len(), 4);
    assert_eq!(walk.found[3].attr.size, 7);
    assert!(walk.link.is_none() && walk.opened.is_none());

    let walk = gofer.walk("a/b/missing/file");
    assert_eq!((walk.found.len(), walk.end), (2, WalkEnd::Failed(Errno::ENOENT)));
    let walk = gofer.walk("a/b/c/file/x");
    assert_eq!((walk.found.len(), walk.end), (4, WalkEnd::Failed(Errno::ENOTDIR)));
    let walk = gofer.walk("missing");
    assert_eq!((walk.found.len(), walk.end), (0, WalkEnd::Failed(Errno::ENOENT)));

    // A link is found, and not followed, with names behind it or without.
    for (path, end, target) in [
        ("a/link", WalkEnd::Complete, "b"),
        ("a/link/c", WalkEnd::Symlink, "b"),
        ("a/absolute", WalkEnd::Complete, "/etc/passwd"),
        ("a/absolute/x", WalkEnd::Symlink, "/etc/passwd"),
    ] {
        let walk = gofer.walk(path);
        assert_eq!((walk.found.len(), walk.end), (2, end), "{path}");
        assert_eq!(walk.link.as_deref(), Some(target.as_bytes()), "{path}");
        assert_eq!(walk.found[1].attr.kind(), FileKind::Symlink);
        assert_eq!(&*client.readlink(walk.found[1].node).unwrap(), target.as_bytes());
        // From the link itself there is no way on.
        let walk = client.walk(walk.found[1].node, &[name("c")]).unwrap();
        assert_eq!((walk.found.len(), walk.end), (0, WalkEnd::Failed(Errno::ENOTDIR)));
    }
    assert_eq!(client.readlink(root).unwrap_err(), Errno::EINVAL);

    // No names: nothing found, nothing wrong.
    let walk = client.walk(root, &[]).unwrap();
    assert_eq!((walk.found.len(), walk.end), (0, WalkEnd::Complete));

    let stats = client.stat(root, &names("a/b/c/file")).unwrap();
    assert_eq!((stats.found.len(), stats.end), (4, WalkEnd::Complete));
    assert_eq!(stats.found[3].size, 7);
    let stats = client.stat(root, &names("a/link/c")).unwrap();
    assert_eq!((stats.found.len(), stats.end), (2, WalkEnd::Symlink));
    let stats = client.stat(root, &names("a/nothing/c")).unwrap();
    assert_eq!((stats.found.len(), stats.end), (1, WalkEnd::Failed(Errno::ENOENT)));
}

#[test]
fn deep_walks_are_split() {
    let dir = TempDir::new();
    let deep = ["d"; 100].join("/");
    dir.mkdir(&deep);
    dir.write(format!("{deep}/file"), "deep");
    dir.symlink("nowhere", ["d"; 31].join("/") + "/link");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let path = format!("{deep}/file");
    let walk = gofer.client().walk_open(gofer.root(), &names(&path), OpenFlags::empty()).unwrap();
    assert_eq!((walk.found.len(), walk.end), (101, WalkEnd::Complete));
    assert_eq!(read(walk.opened.unwrap().unwrap()), "deep");
    // The last name of the first message is a link.
    let walk = gofer.walk(&(["d"; 31].join("/") + "/link/x"));
    assert_eq!((walk.found.len(), walk.end), (32, WalkEnd::Symlink));
    assert_eq!(gofer.client().stat(gofer.root(), &names(&path)).unwrap_err(), Errno::E2BIG);
}

#[test]
fn entries_come_together() {
    let dir = TempDir::new();
    dir.write("one", "1");
    dir.write("two", "22");
    dir.mkdir("sub");
    dir.symlink("one", "link");
    let gofer = Gofer::in_jail(&[(dir.path(), READ_ONLY)]);
    let (client, root) = (gofer.client(), gofer.root());
    let wanted = ["one", "absent", "sub", "two", "link"].map(name);
    let kinds = [Some(FileKind::Regular), None, Some(FileKind::Directory), Some(FileKind::Regular)];
    for open in [false, true] {
        let found = client.entries(root, &wanted, open).unwrap();
        let found_kinds = found.iter().map(|entry| entry.as_ref().map(|(walked, _)| walked.attr.kind()));
        assert!(found_kinds.eq(kinds.into_iter().chain([Some(FileKind::Symlink)])));
        let contents = found.into_iter().flatten().filter_map(|(walked, descriptor)| {
            assert_eq!(descriptor.is_some(), open && walked.attr.kind() == FileKind::Regular);
            descriptor.map(|descriptor| read(Opened::File(descriptor)))
        });
        let contents: Vec<_> = contents.collect();
        assert_eq!(contents, if open { vec!["1", "22"] } else { vec![] });
    }
    let file = client.walk(root, &[name("one")]).unwrap().found[0].node;
    assert!(client.entries(file, &wanted, true).unwrap().iter().all(Option::is_none));
    assert_eq!(
        client.entries(root, &[name("x"); gofer_proto::MAX_WALK + 1], true).unwrap_err(),
        Errno::E2BIG
    );
}

#[test]
fn walk_open_takes_one_round_trip() {
    let dir = TempDir::new();
    dir.mkdir("a");
    dir.write("a/file", "content");
    dir.symlink("file", "a/link");
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("a/fifo"), rustix::fs::Mode::RWXU).unwrap();
    let gofer = Gofer::in_jail(&[(dir.path(), EVERYTHING)]);
    let open = |path, flags| gofer.client().walk_open(gofer.root(), &names(path), flags);
    assert_eq!(read(open("a/file", OpenFlags::empty()).unwrap().opened.unwrap().unwrap()), "content");
    assert!(matches!(open("a", OpenFlags::empty()).unwrap().opened, Some(Ok(Opened::Directory(_)))));
    let refused = open("a", OpenFlags::RDWR).unwrap();
    assert_eq!((refused.found.len(), refused.opened.unwrap().unwrap_err()), (1, Errno::EISDIR));
    // Opening these has effects or no meaning: the client has to ask.
    assert!(open("a/fifo", OpenFlags::empty()).unwrap().opened.is_none());
    assert!(open("a/link", OpenFlags::empty()).unwrap().opened.is_none());
    assert!(open("a/missing", OpenFlags::empty()).unwrap().opened.is_none());
    assert_eq!(open("a/file", OpenFlags::RDWR | OpenFlags::TRUNC).unwrap_err(), Errno::EINVAL);
    assert_eq!(fs::read(dir.join("a/file")).unwrap(), b"content");
}

#[test]
fn open_gives_the_host_file() {
    let dir = TempDir::new();
    dir.write("file", "0123456789");
    dir.symlink("file", "link");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let node = gofer.node("file");
    let mut opened = file(client.open(node, OpenFlags::RDWR).unwrap());
    opened.write_all(b"abc").unwrap();
    opened.rewind().unwrap();
    let mut all = String::new();
    opened.read_to_string(&mut all).unwrap();
    assert_eq!(all, "abc3456789");
    let flags = rustix::fs::fcntl_getfl(&opened).unwrap();
    assert!(!flags.intersects(rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::PATH));
    assert!(rustix::io::fcntl_getfd(&opened).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    // Reading only, writing only.
    assert!(file(client.open(node, OpenFlags::empty()).unwrap()).write(b"x").is_err());
    assert!(file(client.open(node, OpenFlags::WRONLY).unwrap()).read(&mut [0]).is_err());
    let mut append = file(client.open(node, OpenFlags::WRONLY | OpenFlags::APPEND).unwrap());
    append.write_all(b"!").unwrap();
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"abc3456789!");
    drop(client.open(node, OpenFlags::WRONLY | OpenFlags::TRUNC).unwrap());
    assert_eq!(fs::metadata(dir.join("file")).unwrap().len(), 0);

    assert_eq!(client.open(gofer.node("link"), OpenFlags::empty()).unwrap_err(), Errno::ELOOP);
    assert_eq!(client.open(node, OpenFlags::DIRECTORY).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(client.open(gofer.root(), OpenFlags::WRONLY).unwrap_err(), Errno::EISDIR);
    assert_eq!(client.open(gofer.root(), OpenFlags::TRUNC).unwrap_err(), Errno::EISDIR);
    assert_eq!(client.open(NodeId(0), OpenFlags::empty()).unwrap_err(), Errno::EBADF);
    let both = OpenFlags::WRONLY | OpenFlags::RDWR;
    assert_eq!(client.open(node, both).unwrap_err(), Errno::EINVAL);
}

#[test]
fn nodes_mean_the_file_and_not_the_name() {
    let dir = TempDir::new();
    dir.write("file", "old");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let node = gofer.node("file");
    // Replaced on the host, then removed: what was found before stays what it was.
    dir.write("other", "new");
    fs::rename(dir.join("file"), dir.join("kept")).unwrap();
    fs::rename(dir.join("other"), dir.join("file")).unwrap();
    assert_eq!(read(gofer.client().open(node, OpenFlags::empty()).unwrap()), "old");
    fs::remove_file(dir.join("kept")).unwrap();
    assert_eq!(read(gofer.client().open(node, OpenFlags::empty()).unwrap()), "old");
    assert_eq!(gofer.client().getattr(node).unwrap().nlink, 0);
    assert_eq!(read(gofer.client().open(gofer.node("file"), OpenFlags::empty()).unwrap()), "new");
}

#[test]
fn create_makes_exactly_what_was_asked() {
    let dir = TempDir::new();
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let root = gofer.root();
    let (walked, fd) = client.create(root, name("file"), OpenFlags::RDWR, new(0o666)).unwrap();
    fs::File::from(fd).write_all(b"hello").unwrap();
    assert_eq!(walked.attr.mode, libc::S_IFREG | 0o666, "no umask");
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"hello");
    assert_eq!(client.getattr(walked.node).unwrap().size, 5);
    assert_eq!(client.create(root, name("file"), OpenFlags::RDWR, new(0o666)).unwrap_err(), Errno::EEXIST);
    assert_eq!(
        client.create(walked.node, name("x"), OpenFlags::RDWR, new(0o666)).unwrap_err(),
        Errno::ENOTDIR
    );
    // A file that its owner may not write is still written by the one who makes it.
    let (_, fd) = client.create(root, name("read-only"), OpenFlags::WRONLY, new(0o400)).unwrap();
    fs::File::from(fd).write_all(b"x").unwrap();
    // A dangling link is not followed.
    dir.symlink("elsewhere", "dangling");
    assert_eq!(
        client.create(root, name("dangling"), OpenFlags::RDWR, new(0o666)).unwrap_err(),
        Errno::EEXIST
    );
    assert!(!dir.join("elsewhere").exists());

    if is_root() {
        let owner = Owner { uid: Some(1234), gid: Some(5678) };
        let setuid = NewFile { mode: 0o6755, owner };
        let (walked, _) = client.create(root, name("owned"), OpenFlags::WRONLY, setuid).unwrap();
        assert_eq!((walked.attr.uid, walked.attr.gid, walked.attr.mode & 0o7777), (1234, 5678, 0o6755));
        let host = fs::metadata(dir.join("owned")).unwrap();
        assert_eq!((host.uid(), host.gid(), host.mode() & 0o7777), (1234, 5678, 0o6755));
        let made = client.mkdir(root, name("dir"), NewFile { mode: 0o1777, owner }).unwrap();
        assert_eq!((made.attr.uid, made.attr.mode), (1234, libc::S_IFDIR | 0o1777));
        let made = client.symlink(root, name("link"), LinkTarget::new(b"x").unwrap(), owner).unwrap();
        assert_eq!((made.attr.uid, made.attr.gid), (1234, 5678));
    }
}

#[test]
fn directories_links_and_nodes() {
    let dir = TempDir::new();
    dir.write("file", "x");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let root = gofer.root();
    let sub = client.mkdir(root, name("sub"), new(0o750)).unwrap();
    assert_eq!(sub.attr.mode, libc::S_IFDIR | 0o750);
    assert_eq!(client.mkdir(root, name("sub"), new(0o750)).unwrap_err(), Errno::EEXIST);
    assert_eq!(client.mkdir(gofer.node("file"), name("x"), new(0o750)).unwrap_err(), Errno::ENOTDIR);

    let target = LinkTarget::new(b"../../../etc/passwd").unwrap();
    let link = client.symlink(sub.node, name("link"), target, Owner::default()).unwrap();
    assert_eq!(link.attr.kind(), FileKind::Symlink);
    assert_eq!(fs::read_link(dir.join("sub/link")).unwrap().to_str(), Some("../../../etc/passwd"));
    assert_eq!(client.symlink(sub.node, name("link"), target, Owner::default()).unwrap_err(), Errno::EEXIST);

    let file_node = gofer.node("file");
    let linked = client.link(file_node, sub.node, name("hard")).unwrap();
    assert_eq!(linked.attr.ino, fs::metadata(dir.join("file")).unwrap().ino());
    assert_eq!(linked.attr.nlink, 2);
    assert_eq!(client.link(file_node, sub.node, name("hard")).unwrap_err(), Errno::EEXIST);
    assert_eq!(client.link(sub.node, root, name("dir-link")).unwrap_err(), Errno::EPERM);
    // The link itself, not what it leads to.
    let hard_symlink = client.link(link.node, root, name("hard-symlink")).unwrap();
    assert_eq!(hard_symlink.attr.ino, link.attr.ino);

    for (kind, label) in
        [(FileKind::Fifo, "fifo"), (FileKind::Socket, "socket"), (FileKind::Regular, "regular")]
    {
        let made = client.mknod(root, name(label), kind, new(0o622)).unwrap();
        assert_eq!((made.attr.kind(), made.attr.mode & 0o7777), (kind, 0o622));
    }
    assert!(fs::symlink_metadata(dir.join("fifo")).unwrap().file_type().is_fifo());
    for kind in [FileKind::CharDevice, FileKind::BlockDevice, FileKind::Directory] {
        assert_eq!(client.mknod(root, name("no"), kind, new(0o666)).unwrap_err(), Errno::EPERM);
    }
    assert_eq!(client.mknod(root, name("no"), FileKind::Symlink, new(0)).unwrap_err(), Errno::EINVAL);

    assert_eq!(client.unlink(root, name("sub"), Unlink::File).unwrap_err(), Errno::EISDIR);
    assert_eq!(client.unlink(root, name("sub"), Unlink::Directory).unwrap_err(), Errno::ENOTEMPTY);
    assert_eq!(client.unlink(root, name("fifo"), Unlink::Directory).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(client.unlink(root, name("missing"), Unlink::File).unwrap_err(), Errno::ENOENT);
    client.unlink(sub.node, name("link"), Unlink::File).unwrap();
    client.unlink(sub.node, name("hard"), Unlink::File).unwrap();
    client.unlink(root, name("sub"), Unlink::Directory).unwrap();
    assert!(!dir.join("sub").exists());
    // The directory is gone, the node is not.
    assert_eq!(client.mkdir(sub.node, name("x"), new(0o700)).unwrap_err(), Errno::ENOENT);
}

#[test]
fn setattr_changes_what_it_says() {
    let dir = TempDir::new();
    dir.write("file", "0123456789");
    dir.mkdir("sub");
    dir.symlink("file", "link");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let node = gofer.node("file");
    let set = |change: SetAttr| client.setattr(node, &change);

    let attr = set(SetAttr { mode: Some(0o4711), size: Some(4), ..SetAttr::default() }).unwrap();
    assert_eq!((attr.mode, attr.size), (libc::S_IFREG | 0o4711, 4));
    let time = Timestamp { sec: -5, nsec: 123_456_789 };
    let attr = set(SetAttr { mtime: Some(SetTime::At(time)), ..SetAttr::default() }).unwrap();
    assert_eq!(attr.mtime, time);
    let before = attr.atime;
    let attr = set(SetAttr { mtime: Some(SetTime::Now), ..SetAttr::default() }).unwrap();
    assert!(attr.mtime > time && attr.mtime.sec > 1_000_000_000);
    assert_eq!(attr.atime, before);
    let attr = set(SetAttr { atime: Some(SetTime::At(time)), ..SetAttr::default() }).unwrap();
    assert_eq!(attr.atime, time);
    let bad = SetTime::At(Timestamp { sec: 0, nsec: 1_000_000_000 });
    assert_eq!(set(SetAttr { atime: Some(bad), ..SetAttr::default() }).unwrap_err(), Errno::EINVAL);
    assert_eq!(set(SetAttr { mode: Some(0o10_000), ..SetAttr::default() }).unwrap_err(), Errno::EINVAL);
    assert_eq!(set(SetAttr { size: Some(u64::MAX), ..SetAttr::default() }).unwrap_err(), Errno::EINVAL);

    let sub = gofer.node("sub");
    let size = SetAttr { size: Some(0), ..SetAttr::default() };
    assert_eq!(client.setattr(sub, &size).unwrap_err(), Errno::EISDIR);
    client.setattr(sub, &SetAttr { mode: Some(0o700), ..SetAttr::default() }).unwrap();
    // Links have times and owners, but no mode and no size. The file stays as it is.
    let link = gofer.node("link");
    assert_eq!(client.setattr(link, &size).unwrap_err(), Errno::EINVAL);
    let mode = SetAttr { mode: Some(0o777), ..SetAttr::default() };
    assert_eq!(client.setattr(link, &mode).unwrap_err(), Errno::EOPNOTSUPP);
    let times = SetAttr { mtime: Some(SetTime::At(time)), ..SetAttr::default() };
    assert_eq!(client.setattr(link, &times).unwrap().mtime, time);
    assert_ne!(client.getattr(node).unwrap().mtime, time);

    let owner = |uid| SetAttr { owner: Owner { uid: Some(uid), gid: None }, ..SetAttr::default() };
    assert_eq!(client.setattr(node, &owner(u32::MAX)).unwrap_err(), Errno::EINVAL);
    if is_root() {
        let attr = client.setattr(node, &owner(77)).unwrap();
        assert_eq!((attr.uid, attr.mode & 0o7777), (77, 0o711), "chown(2) clears the set-user-id bit");
        let all = SetAttr { mode: Some(0o4755), ..owner(78) };
        assert_eq!(client.setattr(node, &all).unwrap().mode & 0o7777, 0o4755);
        assert_eq!(client.setattr(link, &owner(79)).unwrap().uid, 79);
        assert_eq!(fs::metadata(dir.join("file")).unwrap().uid(), 78);
        // The gofer reads and writes what belongs to others, as it says nothing about guests' permissions.
        fs::set_permissions(dir.join("file"), fs::Permissions::from_mode(0o000)).unwrap();
        client.open(node, OpenFlags::RDWR).unwrap();
    }
}

#[test]
fn renames_take_nodes_along() {
    let dir = TempDir::new();
    dir.mkdir("a");
    dir.mkdir("b");
    dir.write("a/one", "1");
    dir.write("b/two", "2");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let (a, b) = (gofer.node("a"), gofer.node("b"));
    let rename = Rename {
        from_dir: a,
        from_name: name("one"),
        to_dir: b,
        to_name: name("uno"),
        flags: RenameFlags::empty(),
        moved: None,
        exchanged: None,
    };
    client.rename(&Rename { moved: Some(gofer.node("a/one")), ..rename }).unwrap();
    assert_eq!(fs::read(dir.join("b/uno")).unwrap(), b"1");
    assert_eq!(client.rename(&rename).unwrap_err(), Errno::ENOENT);
    let back = Rename { from_dir: b, from_name: name("uno"), to_dir: b, to_name: name("two"), ..rename };
    let no_replace = Rename { flags: RenameFlags::NOREPLACE, ..back };
    assert_eq!(client.rename(&no_replace).unwrap_err(), Errno::EEXIST);
    client.rename(&Rename { flags: RenameFlags::EXCHANGE, ..back }).unwrap();
    assert_eq!(fs::read(dir.join("b/two")).unwrap(), b"1");
    client.rename(&back).unwrap();
    assert_eq!(fs::read(dir.join("b/two")).unwrap(), b"2");
    // Into itself.
    client.mkdir(a, name("sub"), new(0o755)).unwrap();
    let into = Rename {
        from_dir: gofer.root(),
        from_name: name("a"),
        to_dir: gofer.node("a/sub"),
        to_name: name("a"),
        ..rename
    };
    assert_eq!(client.rename(&into).unwrap_err(), Errno::EINVAL);
    assert_eq!(client.rename(&Rename { moved: Some(NodeId(0)), ..back }).unwrap_err(), Errno::EBADF);
}

#[test]
fn listings() {
    let dir = TempDir::new();
    for number in 0..3000 {
        dir.write(format!("file-{number:04}"), "");
    }
    dir.mkdir("sub");
    dir.symlink("x", "link");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let all = list(client, gofer.root());
    assert_eq!(all.len(), 3002);
    assert_eq!(all[17], ("file-0017".to_owned(), FileKind::Regular));
    assert_eq!(all[3000], ("link".to_owned(), FileKind::Symlink));
    assert_eq!(all[3001], ("sub".to_owned(), FileKind::Directory));
    assert!(list(client, gofer.node("sub")).is_empty());

    // Any position can be returned to, and the entries behind it are the same again; attributes come if wanted.
    let Opened::Directory(handle) = client.open(gofer.root(), OpenFlags::empty()).unwrap() else { panic!() };
    let first = client.readdir(handle, 0, DirWants::Names).unwrap();
    let entries: Vec<_> = first.iter().collect();
    assert!(entries.len() > 1000 && !first.end, "{}", entries.len());
    assert!(entries.iter().all(|entry| entry.attr.is_none()));
    let again = client.readdir(handle, entries[500].cookie, DirWants::Attributes).unwrap();
    let again: Vec<_> = again.iter().collect();
    assert!(again.len() > 300);
    for (before, after) in entries[501..].iter().zip(&again) {
        assert_eq!((before.name, before.ino), (after.name, after.ino));
        assert_eq!(after.attr.unwrap().ino, after.ino);
    }
    // Without a handle there are as many as fit, and the rest is behind the last of them.
    let listed = client.list(gofer.root()).unwrap();
    let names: Vec<_> = listed.iter().map(|entry| entry.name).collect();
    assert_eq!(names, entries.iter().map(|entry| entry.name).collect::<Vec<_>>());
    assert!(!listed.end && client.list(gofer.node("sub")).unwrap().end);
    assert_eq!(client.list(gofer.node("file-0017")).unwrap_err(), Errno::ENOTDIR);
    // Behind the end there is nothing, as often as one asks.
    let mut cookie = 0;
    loop {
        let batch = client.readdir(handle, cookie, DirWants::Names).unwrap();
        cookie = batch.iter().last().map_or(cookie, |entry| entry.cookie);
        if batch.end {
            break;
        }
    }
    for _ in 0..2 {
        let batch = client.readdir(handle, cookie, DirWants::Names).unwrap();
        assert!(batch.end && batch.iter().next().is_none());
    }
    client.close(handle);
    client.flush_released();
    assert_eq!(client.readdir(handle, 0, DirWants::Names).unwrap_err(), Errno::EBADF);
    assert_eq!(client.readdir(HandleId(gofer.root().0), 0, DirWants::Names).unwrap_err(), Errno::EBADF);
}

#[test]
fn changes_are_told_before_they_can_be_heard_of() {
    let dir = TempDir::new();
    dir.mkdir("sub");
    dir.write("sub/file", "");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    // Nothing is watched before somebody wants to know.
    let before = client.walk(gofer.root(), &[name("sub")]).unwrap();
    assert_eq!(before.found[0].watch, None);
    assert_eq!(client.changes(1).unwrap_err(), Errno::EINVAL);
    let queue = client.changes(0).unwrap();
    let events = || {
        let mut buffer = [0; 4096];
        let len = rustix::io::read(&queue, &mut buffer).unwrap_or(0);
        (len > 0).then(|| u32::from_ne_bytes(buffer[..4].try_into().unwrap()))
    };
    let walk = client.walk(gofer.root(), &[name("sub"), name("file")]).unwrap();
    let [sub, file] = [walk.found[0].watch.unwrap(), walk.found[1].watch.unwrap()];
    assert_eq!(events(), None);
    fs::write(dir.join("sub/other"), "").unwrap();
    assert_eq!(events(), Some(sub));
    fs::hard_link(dir.join("sub/file"), dir.join("link")).unwrap();
    assert_eq!(events(), Some(file));
    // Two references to a file share its watch, which ends with the last.
    let again = client.walk(gofer.root(), &[name("sub"), name("file")]).unwrap();
    assert_eq!(again.found[1].watch, Some(file));
    client.release(&[again.found[1].node]);
    client.flush_released();
    client.statfs(gofer.root()).unwrap();
    fs::write(dir.join("link"), "x").unwrap();
    assert_eq!(events(), Some(file));
    client.release(&[walk.found[1].node]);
    client.flush_released();
    client.statfs(gofer.root()).unwrap();
    while events().is_some() {}
    fs::write(dir.join("link"), "y").unwrap();
    assert_eq!(events(), None);
}

#[test]
fn extended_attributes() {
    let dir = TempDir::new();
    dir.write("file", "");
    dir.symlink("file", "link");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let node = gofer.node("file");
    let user = XattrName::new(b"user.test").unwrap();
    if client.setxattr(node, user, b"value", XattrFlags::empty()) == Err(Errno::EOPNOTSUPP) {
        eprintln!("skipped: no extended attributes in the directory for temporary files");
        return;
    }
    assert_eq!(client.getxattr(node, user).unwrap(), b"value");
    assert_eq!(client.listxattr(node).unwrap(), b"user.test\0");
    assert_eq!(client.setxattr(node, user, b"", XattrFlags::CREATE).unwrap_err(), Errno::EEXIST);
    client.setxattr(node, user, b"", XattrFlags::REPLACE).unwrap();
    assert_eq!(client.getxattr(node, user).unwrap(), b"");
    client.removexattr(node, user).unwrap();
    assert_eq!(client.getxattr(node, user).unwrap_err(), Errno::ENODATA);
    assert_eq!(client.removexattr(node, user).unwrap_err(), Errno::ENODATA);
    assert_eq!(client.listxattr(node).unwrap(), b"");
    for label in [&b"security.capability"[..], b"trusted.x"] {
        let label = XattrName::new(label).unwrap();
        assert_eq!(client.setxattr(node, label, b"x", XattrFlags::empty()).unwrap_err(), Errno::EPERM);
        assert_eq!(client.removexattr(node, label).unwrap_err(), Errno::EPERM);
    }
    let nonsense = XattrName::new(b"nonsense").unwrap();
    assert_eq!(client.setxattr(node, nonsense, b"", XattrFlags::empty()).unwrap_err(), Errno::EOPNOTSUPP);
    let too_long = vec![0; (64 << 10) + 1];
    assert_eq!(client.setxattr(node, user, &too_long, XattrFlags::empty()).unwrap_err(), Errno::E2BIG);
    // The longest there is arrives; few file systems take it.
    let longest = vec![7; 64 << 10];
    match client.setxattr(node, user, &longest, XattrFlags::empty()) {
        Ok(()) => assert_eq!(client.getxattr(node, user).unwrap(), longest),
        Err(errno) => assert!(matches!(errno, Errno::ENOSPC | Errno::E2BIG | Errno::ERANGE), "{errno}"),
    }
    // Links cannot have user attributes, and their file's are not theirs.
    client.setxattr(node, user, b"v", XattrFlags::empty()).unwrap();
    let link = gofer.node("link");
    assert_eq!(client.setxattr(link, user, b"x", XattrFlags::empty()).unwrap_err(), Errno::EPERM);
    assert!(client.getxattr(link, user).is_err());
}

#[test]
fn volumes_syncing_and_space() {
    let dir = TempDir::new();
    dir.write("file", "x");
    dir.symlink("file", "link");
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE)]);
    let client = gofer.client();
    let node = gofer.node("file");
    let volume = client.statfs(node).unwrap();
    let host = rustix::fs::statvfs(dir.path()).unwrap();
    assert_eq!((volume.blocks, volume.files, volume.namelen), (host.f_blocks, host.f_files, host.f_namemax));
    assert_eq!(volume.bsize, host.f_bsize);
    assert_ne!(volume.kind, 0);
    for sync in [Sync::All, Sync::Data] {
        client.fsync(node, sync).unwrap();
        client.fsync(gofer.root(), sync).unwrap();
        assert_eq!(client.fsync(gofer.node("link"), sync).unwrap_err(), Errno::EINVAL);
    }
    client.fallocate(node, 0, 0, 8192).unwrap();
    assert_eq!(client.getattr(node).unwrap().size, 8192);
    assert_eq!(client.fallocate(node, 0, 0, 0).unwrap_err(), Errno::EINVAL);
    assert_eq!(client.fallocate(node, 0, u64::MAX, 1).unwrap_err(), Errno::EINVAL);
    assert_eq!(client.fallocate(gofer.root(), 0, 0, 1).unwrap_err(), Errno::EISDIR);
    assert_eq!(client.fallocate(gofer.node("link"), 0, 0, 1).unwrap_err(), Errno::ENODEV);
}

#[test]
fn special_files_only_where_allowed() {
    let dir = TempDir::new();
    let gofer = Gofer::in_jail(&[(dir.path(), WRITABLE), (dir.path(), EVERYTHING)]);
    let client = gofer.client();
    let listener = UnixListener::bind(dir.join("socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    dir.write("file", "");
    let find =
        |root, path| client.walk(client.attach(root).unwrap().node, &[name(path)]).unwrap().found[0].node;
    assert_eq!(client.open(find(0, "fifo"), OpenFlags::empty()).unwrap_err(), Errno::EACCES);
    assert_eq!(client.open(find(0, "socket"), OpenFlags::empty()).unwrap_err(), Errno::ENXIO);
    assert_eq!(client.connect(find(0, "socket"), SocketType::Stream).unwrap_err(), Errno::EACCES);

    let fifo = find(1, "fifo");
    assert_eq!(client.open(fifo, OpenFlags::WRONLY).unwrap_err(), Errno::ENXIO, "nobody reads");
    let mut reader = file(client.open(fifo, OpenFlags::empty()).unwrap());
    file(client.open(fifo, OpenFlags::WRONLY).unwrap()).write_all(b"through").unwrap();
    let mut text = [0; 7];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"through");

    let socket = find(1, "socket");
    assert_eq!(client.open(socket, OpenFlags::empty()).unwrap_err(), Errno::ENXIO);
    let mut connected = fs::File::from(client.connect(socket, SocketType::Stream).unwrap());
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.write_all(b"hi").unwrap();
    let mut text = [0; 2];
    connected.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hi");
    assert_eq!(client.connect(socket, SocketType::Datagram).unwrap_err(), Errno::EPROTOTYPE);
    assert_eq!(client.connect(find(1, "file"), SocketType::Stream).unwrap_err(), Errno::ECONNREFUSED);
    drop(listener);
    assert_eq!(client.connect(socket, SocketType::Stream).unwrap_err(), Errno::ECONNREFUSED);

    if is_root() {
        let null = rustix::fs::makedev(1, 3);
        let kind = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, dir.join("null"), kind, rustix::fs::Mode::RWXU, null).unwrap();
        assert_eq!(client.open(find(0, "null"), OpenFlags::empty()).unwrap_err(), Errno::EACCES);
        match client.open(find(1, "null"), OpenFlags::RDWR) {
            Ok(opened) => file(opened).write_all(b"x").unwrap(),
            Err(errno) => assert_eq!(errno, Errno::EACCES, "unless the host says nodev"),
        }
    }
}

#[test]
fn read_only_roots_do_not_change() {
    let dir = TempDir::new();
    dir.mkdir("sub");
    dir.write("sub/file", "content");
    dir.symlink("file", "sub/link");
    // The second root is the same place, writable: it must not be a way around the first.
    let gofer = Gofer::in_jail(&[(dir.path(), READ_ONLY), (dir.path(), WRITABLE)]);
    let client = gofer.client();
    let root = gofer.root();
    let (sub, node) = (gofer.node("sub"), gofer.node("sub/file"));
    let before = client.getattr(node).unwrap();

    for flags in [OpenFlags::WRONLY, OpenFlags::RDWR, OpenFlags::TRUNC, OpenFlags::RDWR | OpenFlags::APPEND] {
        assert_eq!(client.open(node, flags).unwrap_err(), Errno::EROFS, "{flags:?}");
    }
    let walk = client.walk_open(root, &names("sub/file"), OpenFlags::RDWR).unwrap();
    assert_eq!(walk.opened.unwrap().unwrap_err(), Errno::EROFS);
    // What is given out for reading cannot be turned into anything else: the host's kernel itself refuses.
    let donated = file(client.open(node, OpenFlags::empty()).unwrap());
    assert!((&donated).write(b"x").is_err());
    if is_root() {
        assert_eq!(rustix::fs::fchmod(&donated, rustix::fs::Mode::RWXU), Err(rustix::io::Errno::ROFS));
    }

    let rofs = Errno::EROFS;
    assert_eq!(client.create(sub, name("n"), OpenFlags::RDWR, new(0o644)).unwrap_err(), rofs);
    assert_eq!(client.mkdir(sub, name("n"), new(0o755)).unwrap_err(), rofs);
    assert_eq!(client.mknod(sub, name("n"), FileKind::Fifo, new(0o755)).unwrap_err(), rofs);
    let target = LinkTarget::new(b"x").unwrap();
    assert_eq!(client.symlink(sub, name("n"), target, Owner::default()).unwrap_err(), rofs);
    assert_eq!(client.link(node, sub, name("n")).unwrap_err(), rofs);
    // Linux looks whether it is there first.
    assert_eq!(client.mkdir(sub, name("file"), new(0o755)).unwrap_err(), Errno::EEXIST);
    assert_eq!(client.create(sub, name("file"), OpenFlags::RDWR, new(0)).unwrap_err(), Errno::EEXIST);
    assert_eq!(client.unlink(sub, name("file"), Unlink::File).unwrap_err(), rofs);
    assert_eq!(client.unlink(root, name("sub"), Unlink::Directory).unwrap_err(), rofs);
    let rename = Rename {
        from_dir: sub,
        from_name: name("file"),
        to_dir: sub,
        to_name: name("n"),
        flags: RenameFlags::empty(),
        moved: None,
        exchanged: None,
    };
    assert_eq!(client.rename(&rename).unwrap_err(), rofs);
    for change in [
        SetAttr { mode: Some(0o777), ..SetAttr::default() },
        SetAttr { size: Some(0), ..SetAttr::default() },
        SetAttr { mtime: Some(SetTime::Now), ..SetAttr::default() },
        SetAttr { owner: Owner { uid: Some(1), gid: None }, ..SetAttr::default() },
    ] {
        assert_eq!(client.setattr(node, &change).unwrap_err(), rofs);
    }
    let user = XattrName::new(b"user.test").unwrap();
    assert_eq!(client.setxattr(node, user, b"", XattrFlags::empty()).unwrap_err(), rofs);
    assert_eq!(client.removexattr(node, user).unwrap_err(), rofs);
    assert_eq!(client.fallocate(node, 0, 0, 100).unwrap_err(), rofs);
    client.fsync(node, Sync::All).unwrap();

    let writable = client.attach(1).unwrap().node;
    assert_eq!(client.link(node, writable, name("n")).unwrap_err(), Errno::EXDEV);
    let across = Rename { to_dir: writable, ..rename };
    assert_eq!(client.rename(&across).unwrap_err(), rofs);
    let across = Rename { from_dir: writable, from_name: name("sub"), ..rename };
    assert_eq!(client.rename(&across).unwrap_err(), rofs);
    assert_eq!(client.getattr(node).unwrap(), before);
    assert_eq!(list(client, sub).len(), 2);
}

#[test]
fn nothing_but_read_only_roots() {
    // The gofer then has a narrower filter and fewer capabilities; reading works all the same.
    let dir = TempDir::new();
    dir.mkdir("sub");
    dir.write("sub/file", "content");
    dir.symlink("file", "sub/link");
    if is_root() {
        fs::set_permissions(dir.join("sub/file"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(dir.join("sub"), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let gofer = Gofer::in_jail(&[(dir.path(), READ_ONLY)]);
    let client = gofer.client();
    assert_eq!(list(client, gofer.node("sub")).len(), 2);
    let walk = client.walk_open(gofer.root(), &names("sub/file"), OpenFlags::empty()).unwrap();
    assert_eq!(read(walk.opened.unwrap().unwrap()), "content");
    assert_eq!(&*client.readlink(gofer.node("sub/link")).unwrap(), b"file");
    assert_eq!(client.mkdir(gofer.root(), name("n"), new(0o755)).unwrap_err(), Errno::EROFS);
    client.listxattr(gofer.node("sub/file")).unwrap();
}
