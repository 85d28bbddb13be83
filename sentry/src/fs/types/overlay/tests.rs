//! An overlay over a tmpfs.

use linux_abi::fcntl::RENAME_EXCHANGE;

use super::*;
use crate::fs::{
    inode::{FileType, NewNode, SetAttr, same_inode},
    types::tmpfs::{TmpInode, TmpOptions},
};

fn node(kind: FileType) -> NewNode<'static> {
    NewNode { kind, perm: 0o755, uid: 0, gid: 0, rdev: 0, target: b"" }
}

/// A lower tree: `d/{x,y}`, `file` = "lower", `link` = another name of `file`, `empty/`.
fn lower() -> (Arc<TmpInode>, Arc<TmpFs>) {
    let fs = TmpFs::new(5, &TmpOptions::with_size(16 << 20));
    let root = fs.root_inode();
    let dir = root.create(b"d", &node(FileType::Directory)).unwrap();
    dir.create(b"x", &node(FileType::Regular)).unwrap();
    dir.create(b"y", &node(FileType::Regular)).unwrap();
    root.create(b"empty", &node(FileType::Directory)).unwrap();
    let file = root.create(b"file", &node(FileType::Regular)).unwrap();
    file.downcast_ref::<TmpInode>().unwrap().write_at(0, b"lower").unwrap();
    root.link(b"link", &file).unwrap();
    (root, fs)
}

struct Fixture {
    root: Arc<OverlayInode>,
    lower: Arc<TmpInode>,
    upper: Arc<TmpFs>,
    _fs: (Arc<TmpFs>, Arc<OverlayFs>),
}

fn fixture() -> Fixture {
    let (lower, lower_fs) = lower();
    let upper = TmpFs::new(6, &TmpOptions::with_size(16 << 20));
    let fs = OverlayFs::new(7, Arc::clone(&lower) as Arc<dyn Lower>, Arc::clone(&upper));
    let root = fs.root_inode().unwrap();
    Fixture { root, lower, upper, _fs: (lower_fs, fs) }
}

fn names(dir: &OverlayInode) -> Vec<String> {
    names_from(dir, 0).into_iter().map(|(name, _)| name).collect()
}

fn names_from(dir: &OverlayInode, from: u64) -> Vec<(String, u64)> {
    let mut names = Vec::new();
    dir.list_from(from, &mut |entry| {
        names.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.next));
        true
    })
    .unwrap();
    names
}

fn dynamic(inode: &Arc<OverlayInode>) -> Arc<dyn Inode> {
    Arc::clone(inode) as Arc<dyn Inode>
}

#[test]
fn attributes_change_without_bytes_and_keep_their_number() {
    let f = fixture();
    let file = f.root.find(b"file").unwrap();
    let before = file.attr().unwrap();
    file.set_attr(&SetAttr { perm: Some(0o600), ..SetAttr::default() }).unwrap();
    drop(file);
    let file = f.root.find(b"file").unwrap();
    let after = file.attr().unwrap();
    assert_eq!((after.perm, after.ino, after.size, after.mtime), (0o600, before.ino, 5, before.mtime));
    assert!(file.upper_data().is_none());
    assert_eq!(f.lower.find(b"file").unwrap().attr().unwrap().perm, 0o755);
    // The other name of the same file sees it, too.
    assert!(same_inode(&dynamic(&file), &dynamic(&f.root.find(b"link").unwrap())));
}

#[test]
fn bytes_are_copied_once_and_cut() {
    let f = fixture();
    let file = f.root.find(b"file").unwrap();
    let upper = file.copy_up_data(u64::MAX).unwrap();
    upper.write_at(0, b"U").unwrap();
    assert!(Arc::ptr_eq(&upper, &f.root.find(b"link").unwrap().copy_up_data(0).unwrap()));
    assert_eq!(file.attr().unwrap().size, 5);
    file.set_attr(&SetAttr { size: Some(2), ..SetAttr::default() }).unwrap();
    assert_eq!(f.root.find(b"link").unwrap().attr().unwrap().size, 2);
    assert_eq!(f.lower.find(b"file").unwrap().attr().unwrap().size, 5);
}

#[test]
fn removed_names_stay_removed_and_links_count() {
    let f = fixture();
    let file = f.root.find(b"file").unwrap();
    f.root.unlink(b"file", &dynamic(&file)).unwrap();
    assert_eq!(f.root.find(b"file").map(drop), Err(Errno::ENOENT));
    assert_eq!(file.attr().unwrap().nlink, 1);
    drop(file);
    assert_eq!(f.root.find(b"link").unwrap().attr().unwrap().nlink, 1);
    assert_eq!(names(&f.root), ["d", "empty", "link"]);
    f.root.create(b"file", &node(FileType::Regular)).unwrap();
    assert_eq!(names(&f.root), ["d", "empty", "file", "link"]);
    assert_eq!(f.root.find(b"file").unwrap().attr().unwrap().size, 0);
}

#[test]
fn directories_are_removed_only_when_empty_and_come_back_empty() {
    let f = fixture();
    let dir = f.root.find(b"d").unwrap();
    assert_eq!(f.root.rmdir(b"d", &dynamic(&dir)), Err(Errno::ENOTEMPTY));
    for name in [b"x", b"y"] {
        let file = dir.find(name).unwrap();
        dir.unlink(name, &dynamic(&file)).unwrap();
    }
    f.root.rmdir(b"d", &dynamic(&dir)).unwrap();
    assert_eq!(dir.create(b"z", &node(FileType::Regular)).map(drop), Err(Errno::ENOENT));
    let again = f.root.make(b"d", &node(FileType::Directory)).unwrap();
    assert_eq!(names(&again), [""; 0]);
    assert_eq!(f.root.attr().unwrap().nlink, 4);
}

#[test]
fn lower_directories_are_renamed() {
    let f = fixture();
    let ino = f.root.find(b"d").unwrap().attr().unwrap().ino;
    let empty = f.root.find(b"empty").unwrap();
    f.root.rename(b"d", &dynamic(&empty), b"moved", 0).unwrap();
    assert_eq!(names(&f.root), ["empty", "file", "link"]);
    let moved = empty.find(b"moved").unwrap();
    assert_eq!(names(&moved), ["x", "y"]);
    assert_eq!(moved.attr().unwrap().ino, ino);
    assert_eq!((f.root.attr().unwrap().nlink, empty.attr().unwrap().nlink), (3, 3));
    drop((moved, empty));
    f.root.rename(b"empty", &dynamic(&f.root), b"file", RENAME_EXCHANGE).unwrap();
    assert_eq!(names(&f.root.find(b"file").unwrap().find(b"moved").unwrap()), ["x", "y"]);
    assert_eq!(f.root.rename(b"link", &dynamic(&f.root), b"file", 0), Err(Errno::EISDIR));
}

#[test]
fn listings_go_on_after_changes() {
    let f = fixture();
    f.root.create(b"new1", &node(FileType::Regular)).unwrap();
    f.root.create(b"new2", &node(FileType::Regular)).unwrap();
    let all = names_from(&f.root, 0);
    assert_eq!(all.len(), 6);
    let after = |name: &str| all.iter().find(|(known, _)| known == name).unwrap().1;
    // Copied up in the middle of a listing: neither missed nor repeated.
    f.root.find(b"link").unwrap().copy_up_data(u64::MAX).unwrap();
    let rest: Vec<_> = names_from(&f.root, after("empty")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(rest, ["file", "link", "new1", "new2"]);
    let new1 = f.root.find(b"new1").unwrap();
    f.root.unlink(b"new1", &dynamic(&new1)).unwrap();
    let rest: Vec<_> = names_from(&f.root, after("new1")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(rest, ["new2"]);
}

#[test]
fn what_was_charged_is_given_back() {
    let f = fixture();
    let free = f.upper.statfs().unwrap();
    let dir = f.root.make(b"dir", &node(FileType::Directory)).unwrap();
    let file = dir.make(b"file", &node(FileType::Regular)).unwrap();
    file.copy_up_data(0).unwrap().write_at(0, &[1; 5000]).unwrap();
    dir.unlink(b"file", &dynamic(&file)).unwrap();
    f.root.rmdir(b"dir", &dynamic(&dir)).unwrap();
    drop((file, dir));
    let now = f.upper.statfs().unwrap();
    // The root itself was copied up.
    assert_eq!((now.files_free + 1, now.blocks_free), (free.files_free, free.blocks_free));
    let mut deep: Arc<dyn Inode> = dynamic(&f.root);
    for _ in 0..1000 {
        deep = deep.create(b"d", &node(FileType::Directory)).unwrap_or(deep);
    }
}
