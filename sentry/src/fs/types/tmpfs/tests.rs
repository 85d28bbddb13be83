//! What a tmpfs promises, without a guest.

use linux_abi::{
    Errno,
    fcntl::{
        FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, RENAME_EXCHANGE, RENAME_NOREPLACE, SEEK_DATA, SEEK_HOLE,
    },
};

use super::{content::Content, *};
use crate::fs::inode::SetAttr;

fn fs() -> Arc<TmpFs> {
    TmpFs::new(7, &TmpOptions::with_size(1 << 20))
}

fn node(kind: FileType) -> NewNode<'static> {
    NewNode { kind, perm: 0o644, uid: 0, gid: 0, rdev: 0, target: b"target" }
}

fn nlink(inode: &dyn Inode) -> u32 {
    inode.attr().unwrap().nlink
}

fn list(directory: &Arc<TmpInode>) -> Vec<Vec<u8>> {
    directory.names_after(0)
}

#[test]
fn links_are_counted() {
    let root = fs().root_inode();
    let file = root.create(b"a", &node(FileType::Regular)).unwrap();
    assert_eq!(root.create(b"a", &node(FileType::Regular)).map(drop), Err(Errno::EEXIST));
    root.link(b"b", &file).unwrap();
    assert_eq!(nlink(&*file), 2);
    root.unlink(b"a", &file).unwrap();
    assert_eq!(nlink(&*file), 1);
    let dir = root.create(b"d", &node(FileType::Directory)).unwrap();
    assert_eq!((nlink(&*dir), nlink(&*root)), (2, 3));
    assert_eq!(root.unlink(b"d", &dir), Err(Errno::EISDIR));
    assert_eq!(root.rmdir(b"b", &file), Err(Errno::ENOTDIR));
    root.rmdir(b"d", &dir).unwrap();
    assert_eq!((nlink(&*dir), nlink(&*root)), (0, 2));
    assert_eq!(dir.create(b"x", &node(FileType::Regular)).map(drop), Err(Errno::ENOENT));
}

#[test]
fn rename_checks_kinds_and_moves_links() {
    let root = fs().root_inode();
    let as_inode = |inode: &Arc<TmpInode>| Arc::clone(inode) as Arc<dyn Inode>;
    let from = root.create(b"from", &node(FileType::Directory)).unwrap();
    let to = root.create(b"to", &node(FileType::Directory)).unwrap();
    let sub = from.create(b"sub", &node(FileType::Directory)).unwrap();
    let file = root.create(b"file", &node(FileType::Regular)).unwrap();
    assert_eq!(root.rename(b"file", &as_inode(&root), b"to", 0), Err(Errno::EISDIR));
    assert_eq!(root.rename(b"to", &as_inode(&root), b"file", 0), Err(Errno::ENOTDIR));
    assert_eq!(root.rename(b"to", &as_inode(&root), b"from", 0), Err(Errno::ENOTEMPTY));
    assert_eq!(root.rename(b"to", &as_inode(&root), b"file", RENAME_NOREPLACE), Err(Errno::EEXIST));
    from.rename(b"sub", &to, b"moved", 0).unwrap();
    assert_eq!((nlink(&*from), nlink(&*to)), (2, 3));
    to.rename(b"moved", &as_inode(&root), b"file", RENAME_EXCHANGE).unwrap();
    assert_eq!((nlink(&*to), nlink(&*root)), (2, 5));
    assert!(super::super::super::inode::same_inode(
        &to.clone().downcast::<TmpInode>().unwrap().entry(b"moved").unwrap(),
        &file
    ));
    assert_eq!(nlink(&*sub), 2);
}

#[test]
fn listing_survives_removal() {
    let root = fs().root_inode();
    for name in [&b"a"[..], b"b", b"c", b"d"] {
        root.create(name, &node(FileType::Regular)).unwrap();
    }
    assert_eq!(list(&root), [b"a", b"b", b"c", b"d"]);
    let b = root.entry(b"b").unwrap();
    root.unlink(b"b", &b).unwrap();
    assert_eq!(root.names_after(2), [b"c", b"d"]);
}

#[test]
fn everything_is_charged_and_given_back() {
    let fs = fs();
    let root = fs.root_inode();
    let before = fs.statfs().unwrap();
    let mut dir: Arc<dyn Inode> = Arc::clone(&root) as Arc<dyn Inode>;
    let mut depth = 0;
    let error = loop {
        match dir.create(b"deeper", &node(FileType::Directory)) {
            Ok(child) => dir = child,
            Err(errno) => break errno,
        }
        depth += 1;
    };
    assert_eq!(error, Errno::ENOSPC);
    assert!(depth >= 500);
    drop(dir);
    let first = root.entry(b"deeper").unwrap();
    root.set_xattr(b"user.a", Some(b"value"), 0).unwrap();
    assert_eq!(root.set_xattr(b"system.a", Some(b""), 0), Err(Errno::EOPNOTSUPP));
    // Not what rmdir would do, but what unmounting does.
    drop(first);
    root.drop_children();
    root.set_xattr(b"user.a", None, 0).unwrap();
    let after = fs.statfs().unwrap();
    assert_eq!((before.files_free, before.blocks_free), (after.files_free, after.blocks_free));
}

#[test]
fn a_very_deep_tree_is_dropped() {
    let fs = TmpFs::new(7, &TmpOptions { inodes: 1 << 20, ..TmpOptions::with_size(1 << 20) });
    let root = fs.root_inode();
    let mut dir: Arc<dyn Inode> = Arc::clone(&root) as Arc<dyn Inode>;
    for _ in 0..200_000 {
        dir = dir.create(b"d", &node(FileType::Directory)).unwrap();
    }
    drop((dir, root, fs));
}

#[test]
fn content_is_sparse_bounded_and_exact() {
    let budget = Budget::new(256 << 10, 10);
    let mut content = Content::new();
    content.set_size(&budget, 1 << 40).unwrap();
    assert_eq!(budget.bytes().1, 0);
    content.write(&budget, 10, b"hello").unwrap();
    assert_eq!(budget.bytes().1, 4096);
    assert_eq!(content.seek(0, SEEK_HOLE), Ok(15));
    // Out of the small form, sparsely.
    content.write(&budget, 1 << 30, &[1; 8192]).unwrap();
    assert_eq!(budget.bytes().1, 3 * 4096);
    assert_eq!(content.seek(4096, SEEK_DATA), Ok(1 << 30));
    assert_eq!(content.seek(0, SEEK_HOLE), Ok(4096));
    // A write that does not fit is cut at the limit.
    let big = vec![7; 512 << 10];
    assert_eq!(content.write(&budget, 1 << 20, &big), Ok((256 << 10) - 3 * 4096));
    assert_eq!(content.write(&budget, 3 << 30, &big), Err(Errno::ENOSPC));
    content.allocate(&budget, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20).unwrap();
    assert_eq!(budget.bytes().1, 3 * 4096);
    content.allocate(&budget, 0, (1 << 40) - 4096, 8192).unwrap();
    assert_eq!((content.size(), budget.bytes().1), ((1 << 40) + 4096, 5 * 4096));
    content.set_size(&budget, 12).unwrap();
    assert_eq!(budget.bytes().1, 4096);
    content.release(&budget);
    assert_eq!(budget.bytes().1, 0);
}

#[test]
fn unlinked_files_give_their_memory_back() {
    let fs = fs();
    let root = fs.root_inode();
    let file = root.create(b"f", &node(FileType::Regular)).unwrap().downcast::<TmpInode>().unwrap();
    file.content().unwrap().write().write(&fs.budget, 0, &[1; 100_000]).unwrap();
    file.set_attr(&SetAttr { size: Some(200_000), ..SetAttr::default() }).unwrap();
    assert_eq!(file.attr().unwrap().blocks, 100_000_u64.div_ceil(4096) * 8);
    let dynamic = Arc::clone(&file) as Arc<dyn Inode>;
    root.unlink(b"f", &dynamic).unwrap();
    drop(dynamic);
    assert_ne!(fs.budget.bytes().1, 0);
    drop(file);
    assert_eq!(fs.budget.bytes().1, 0);
}
