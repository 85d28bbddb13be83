use std::{fs, path::PathBuf};

use rustix::fs::{Mode, OFlags};

use super::*;

/// A directory that goes away with the value, and its node.
struct Dir {
    path: PathBuf,
    node: Arc<Node>,
    stock: Arc<Stock>,
}

impl Dir {
    fn new(test: &str, max_open: u32) -> Dir {
        let path = std::env::temp_dir().join(format!("gofer-node-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let stock = Stock::new(1_000_000, max_open);
        let node = Node::root(0, open(&path), &stock).unwrap();
        Dir { path, node, stock }
    }

    fn open_nodes(&self) -> u32 {
        self.stock.open.load(Ordering::Relaxed)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn open(path: &PathBuf) -> Found {
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    Found::inspect(fd, None).unwrap()
}

fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

fn find(parent: &Arc<Node>, child: &str) -> Arc<Node> {
    let found = Found::look_up(&parent.fd().unwrap(), &parent.as_above(), name(child)).unwrap();
    Node::below(parent, name(child), found).unwrap()
}

#[test]
fn only_so_many_stay_open_and_all_can_be_used() {
    let dir = Dir::new("lru", 10);
    let nodes: Vec<_> = (0..100)
        .map(|number| {
            fs::write(dir.path.join(number.to_string()), number.to_string()).unwrap();
            find(&dir.node, &number.to_string())
        })
        .collect();
    assert!(dir.open_nodes() <= 10);
    for _ in 0..3 {
        for node in &nodes {
            assert_eq!(Identity::of(&resolve::attr(&*node.fd().unwrap()).unwrap()), node.identity);
            assert!(dir.open_nodes() <= 10);
        }
    }
    // What is used all the time stays open.
    let favourite = &nodes[50];
    let before = Arc::as_ptr(&favourite.fd().unwrap());
    for node in &nodes {
        node.fd().unwrap();
        assert_eq!(Arc::as_ptr(&favourite.fd().unwrap()), before);
    }
    drop(nodes);
    assert_eq!(dir.open_nodes(), 1);
    assert_eq!(dir.stock.nodes.load(Ordering::Relaxed), 1);
}

#[test]
fn the_ring_forgets_what_is_gone() {
    let dir = Dir::new("ring", 1000);
    fs::write(dir.path.join("file"), "").unwrap();
    for _ in 0..10_000 {
        find(&dir.node, "file");
    }
    assert!(dir.stock.ring.lock().len() < 100);
}

#[test]
fn another_file_of_the_same_name_is_not_the_same() {
    let dir = Dir::new("stale", 2);
    fs::create_dir(dir.path.join("sub")).unwrap();
    for file in ["sub/a", "sub/b", "sub/c", "sub/d"] {
        fs::write(dir.path.join(file), "").unwrap();
    }
    let sub = find(&dir.node, "sub");
    let nodes = ["a", "b", "c", "d"].map(|file| find(&sub, file));
    let close_all = || {
        drop(sub.evict());
        nodes.iter().for_each(|node| drop(node.evict()));
    };
    close_all();
    fs::remove_file(dir.path.join("sub/a")).unwrap();
    fs::rename(dir.path.join("sub/b"), dir.path.join("sub/a")).unwrap();
    std::os::unix::fs::symlink("c", dir.path.join("sub/b")).unwrap();
    assert_eq!(nodes[0].fd().unwrap_err(), Errno::ESTALE, "replaced");
    assert_eq!(nodes[1].fd().unwrap_err(), Errno::ESTALE, "moved, and a link in its place");
    nodes[2].fd().unwrap();
    // The inode number is likely to be used again at once.
    fs::remove_file(dir.path.join("sub/d")).unwrap();
    fs::write(dir.path.join("sub/d"), "").unwrap();
    drop(nodes[3].evict());
    assert_eq!(nodes[3].fd().unwrap_err(), Errno::ESTALE, "removed and made again");
    // An ancestor that is another directory now.
    close_all();
    fs::rename(dir.path.join("sub"), dir.path.join("old")).unwrap();
    assert_eq!(nodes[2].fd().unwrap_err(), Errno::ESTALE);
    fs::create_dir(dir.path.join("sub")).unwrap();
    fs::hard_link(dir.path.join("old/c"), dir.path.join("sub/c")).unwrap();
    assert_eq!(nodes[2].fd().unwrap_err(), Errno::ESTALE);
    // Once the node knows the new place, everything below is found again.
    sub.move_to(&dir.node, name("old"));
    nodes[2].fd().unwrap();
}

#[test]
fn places_never_form_a_circle() {
    let dir = Dir::new("circle", 100);
    fs::create_dir_all(dir.path.join("a/b")).unwrap();
    let a = find(&dir.node, "a");
    let b = find(&a, "b");
    // The host moves b out of a, and the client then moves a into b: b's place is outdated.
    fs::rename(dir.path.join("a/b"), dir.path.join("b")).unwrap();
    fs::rename(dir.path.join("a"), dir.path.join("b/a")).unwrap();
    a.move_to(&b, name("a"));
    assert!(a.place.lock().is_none());
    a.fd().unwrap();
    drop(a.evict());
    assert_eq!(a.fd().unwrap_err(), Errno::ESTALE);
    let _ = b.fd().unwrap();
    // A client may claim to have moved a root, even below what is not known to be below it.
    dir.node.move_to(&a, name("root"));
    assert!(dir.node.place.lock().is_none());
    let (weak_a, weak_b) = (Arc::downgrade(&a), Arc::downgrade(&b));
    drop((a, b));
    assert_eq!((weak_a.strong_count(), weak_b.strong_count()), (0, 0));
}

#[test]
fn deep_trees_need_no_deep_stack() {
    const DEPTH: u32 = 50_000;
    let dir = Dir::new("deep", 10);
    let (root, path) = (Arc::clone(&dir.node), dir.path.clone());
    std::thread::Builder::new()
        .stack_size(128 << 10)
        .spawn(move || {
            // No file system nests this deeply in a test's time; to the nodes, any file will do.
            let mut node = root;
            for _ in 0..DEPTH {
                node = Node::below(&node, name("d"), open(&path)).unwrap();
            }
            assert!(node.is_below(&node));
            drop(node.evict());
            assert_eq!(node.fd().unwrap_err(), Errno::ESTALE);
            drop(node);
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(dir.stock.nodes.load(Ordering::Relaxed), 1);
    assert_eq!(dir.open_nodes(), 1);
}

#[test]
fn there_is_an_end_to_nodes() {
    let dir = Dir::new("limit", 10);
    let stock = Stock::new(3, 10);
    let root = Node::root(0, open(&dir.path), &stock).unwrap();
    let one = Node::below(&root, name("d"), open(&dir.path)).unwrap();
    let _two = Node::below(&one, name("d"), open(&dir.path)).unwrap();
    assert_eq!(Node::below(&one, name("d"), open(&dir.path)).unwrap_err(), Errno::ENFILE);
    drop(_two);
    Node::below(&one, name("d"), open(&dir.path)).unwrap();
}
