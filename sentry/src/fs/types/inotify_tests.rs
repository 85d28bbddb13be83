use linux_abi::event::{IN_ACCESS, IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN};

use super::*;
use crate::fs::{
    inode::FileSystem,
    inode::{FileType, Inode, NewNode},
    inotify_hook,
    types::tmpfs::{TmpFs, TmpOptions},
};

const NODE: NewNode<'_> =
    NewNode { kind: FileType::Regular, perm: 0o644, uid: 0, gid: 0, rdev: 0, target: b"" };

struct Setup {
    sandbox: InotifyState,
    file: Arc<File>,
    dir: Arc<dyn Inode>,
    root: Arc<Dentry>,
}

fn setup() -> Setup {
    let sandbox = InotifyState::default();
    let file = Inotify::open(&sandbox, 0);
    let dir = TmpFs::new(99, &TmpOptions::with_size(1 << 20)).root();
    Setup { sandbox, file, root: Dentry::root(Arc::clone(&dir)), dir }
}

impl Setup {
    fn inotify(&self) -> &Inotify {
        self.file.downcast().unwrap()
    }

    /// wd, mask, cookie and name of all that is queued.
    fn events(&self) -> Vec<(i32, u32, u32, String)> {
        let mut events = Vec::new();
        while let Some(event) = self.inotify().0.state.lock().events.pop_front() {
            let name = String::from_utf8_lossy(&event.name).into_owned();
            events.push((event.wd, event.mask, event.cookie, name));
        }
        events
    }
}

fn plain(wd: i32, mask: u32, name: &str) -> (i32, u32, u32, String) {
    (wd, mask, 0, String::from(name))
}

#[test]
fn directories_hear_of_their_entries() {
    let s = setup();
    assert!(!s.sandbox.is_used());
    let wd = s.inotify().add_watch(&s.root, IN_ALL_EVENTS).unwrap();
    assert_eq!(wd, 1);
    let child = s.dir.create(b"a", &NODE).unwrap();
    let dentry = s.root.adopt(b"a", Arc::clone(&child));
    inotify_hook::created(&s.sandbox, &s.dir, b"a", &child);
    inotify_hook::attributes_changed(&s.sandbox, &dentry);
    s.dir.unlink(b"a", &child).unwrap();
    inotify_hook::removed(&s.sandbox, &s.dir, b"a", &child);
    let attrib = linux_abi::event::IN_ATTRIB;
    assert_eq!(s.events(), [plain(1, IN_CREATE, "a"), plain(1, attrib, "a"), plain(1, IN_DELETE, "a")]);
}

#[test]
fn the_end_of_a_file_ends_its_watch() {
    let s = setup();
    let child = s.dir.create(b"a", &NODE).unwrap();
    let dentry = s.root.adopt(b"a", Arc::clone(&child));
    let wd = s.inotify().add_watch(&dentry, IN_DELETE_SELF).unwrap();
    s.dir.unlink(b"a", &child).unwrap();
    inotify_hook::removed(&s.sandbox, &s.dir, b"a", &child);
    assert_eq!(s.events(), [plain(wd, IN_DELETE_SELF, ""), plain(wd, IN_IGNORED, "")]);
    assert_eq!(s.inotify().remove_watch(wd), Err(Errno::EINVAL));
    assert!(!s.sandbox.is_used());
}

#[test]
fn masks_add_replace_and_fire_once() {
    let s = setup();
    let inotify = s.inotify();
    let wd = inotify.add_watch(&s.root, IN_ACCESS).unwrap();
    assert_eq!(inotify.add_watch(&s.root, IN_MODIFY | IN_MASK_ADD), Ok(wd));
    assert_eq!(inotify.add_watch(&s.root, IN_MODIFY | IN_MASK_CREATE), Err(Errno::EEXIST));
    inotify_hook::truncated(&s.sandbox, &s.root);
    inotify_hook::truncated(&s.sandbox, &s.root);
    assert_eq!(s.events(), [plain(wd, IN_MODIFY | IN_ISDIR, "")], "the same twice in a row is one event");
    assert_eq!(inotify.add_watch(&s.root, IN_CREATE | IN_ONESHOT), Ok(wd));
    inotify_hook::truncated(&s.sandbox, &s.root);
    for name in [b"a", b"b"] {
        inotify_hook::created(&s.sandbox, &s.dir, name, &s.dir);
    }
    assert_eq!(s.events(), [plain(wd, IN_CREATE | IN_ISDIR, "a"), plain(wd, IN_IGNORED, "")]);
    assert_eq!(inotify.add_watch(&s.root, IN_OPEN), Ok(wd + 1), "descriptors are not used again");
}

#[test]
fn a_move_has_one_cookie() {
    let s = setup();
    s.inotify().add_watch(&s.root, IN_ALL_EVENTS).unwrap();
    let child = s.dir.create(b"a", &NODE).unwrap();
    inotify_hook::moved(&s.sandbox, (&s.dir, b"a"), (&s.dir, b"b"), &child, None);
    let events = s.events();
    assert_eq!(
        events.iter().map(|e| (e.1, e.3.as_str())).collect::<Vec<_>>(),
        [(IN_MOVED_FROM, "a"), (IN_MOVED_TO, "b")]
    );
    assert!(events[0].2 != 0 && events[0].2 == events[1].2);
}

#[test]
fn a_full_queue_says_so_once() {
    let s = setup();
    let wd = s.inotify().add_watch(&s.root, IN_CREATE).unwrap();
    for n in 0..MAX_QUEUED + 5 {
        inotify_hook::created(&s.sandbox, &s.dir, n.to_string().as_bytes(), &s.dir);
    }
    let events = s.events();
    assert_eq!(events.len(), MAX_QUEUED + 1);
    assert_eq!(events.last().unwrap(), &plain(-1, IN_Q_OVERFLOW, ""));
    assert_eq!(events[0].0, wd);
}

#[test]
fn events_are_read_whole() {
    let event = Event { wd: 1, mask: IN_CREATE, cookie: 0, name: b"0123456789abcdef".as_slice().into() };
    assert_eq!(event.len(), 16 + 32);
    let bytes = event.to_bytes();
    assert_eq!(bytes.len(), 48);
    assert_eq!(&bytes[12..20], b"\x20\0\0\x000123");
    let s = setup();
    s.inotify().0.push(event);
    assert_eq!(s.inotify().0.take(47), Err(Errno::EINVAL));
    assert_eq!(s.inotify().0.take(48).unwrap().unwrap(), bytes);
    assert_eq!(s.inotify().0.take(48), Ok(None));
}
