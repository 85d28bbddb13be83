use linux_abi::event::EFD_SEMAPHORE;

use super::*;
use crate::fs::types::eventfd::EventFd;

struct Set {
    nesting: Mutex<()>,
    file: Arc<File>,
}

fn epoll_file() -> Arc<File> {
    File::anonymous(Box::new(Epoll::new()), 2)
}

impl Set {
    fn new() -> Set {
        Set { nesting: Mutex::default(), file: epoll_file() }
    }

    fn add(&self, fd: i32, file: &Arc<File>, events: u32) -> Result<()> {
        add(&self.nesting, &self.file, fd, file, EpollEvent { events, data: fd as u64 })
    }

    fn epoll(&self) -> &Epoll {
        self.file.downcast().unwrap()
    }

    fn wait(&self, max: usize) -> Vec<(u64, u32)> {
        self.epoll().collect(max).into_iter().map(|e| (e.data, e.events)).collect()
    }
}

const IN: u32 = 1;
const OUT: u32 = 4;

fn event(count: u32) -> Arc<File> {
    EventFd::open(count, EFD_SEMAPHORE)
}

fn post(file: &Arc<File>) {
    file.downcast::<EventFd>().unwrap().add(1).unwrap();
}

#[test]
fn level_triggered_reports_as_long_as_it_is_ready() {
    let (set, file) = (Set::new(), event(0));
    set.add(5, &file, IN).unwrap();
    assert_eq!(set.wait(8), []);
    post(&file);
    assert_eq!(set.wait(8), [(5, IN)]);
    assert_eq!(set.wait(8), [(5, IN)]);
}

#[test]
fn edge_triggered_reports_each_change_once() {
    let (set, file) = (Set::new(), event(1));
    set.add(5, &file, IN | EPOLLET).unwrap();
    assert_eq!(set.wait(8), [(5, IN)]);
    assert_eq!(set.wait(8), []);
    post(&file);
    post(&file);
    assert_eq!(set.wait(8), [(5, IN)]);
    assert_eq!(set.wait(8), []);
}

#[test]
fn oneshot_waits_for_mod() {
    let (set, file) = (Set::new(), event(1));
    set.add(5, &file, IN | EPOLLONESHOT).unwrap();
    assert_eq!(set.wait(8), [(5, IN)]);
    post(&file);
    assert_eq!(set.wait(8), []);
    modify(&set.file, 5, &file, EpollEvent { events: OUT, data: 9 }).unwrap();
    assert_eq!(set.wait(8), [(9, OUT)]);
}

#[test]
fn ready_files_take_turns() {
    let set = Set::new();
    let files: Vec<_> = (0..3).map(|_| event(1)).collect();
    for (fd, file) in files.iter().enumerate() {
        set.add(fd as i32, file, IN).unwrap();
    }
    let order: Vec<u64> = (0..6).flat_map(|_| set.wait(1)).map(|(data, _)| data).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn errors_come_in_linux_order() {
    let (set, file) = (Set::new(), event(0));
    assert_eq!(remove(&set.file, 5, &file), Err(Errno::ENOENT));
    assert_eq!(modify(&set.file, 5, &file, EpollEvent::default()), Err(Errno::ENOENT));
    set.add(5, &file, IN).unwrap();
    assert_eq!(set.add(5, &file, IN), Err(Errno::EEXIST));
    assert_eq!(set.add(6, &file, IN), Ok(()), "another descriptor of the same file");
    assert_eq!(set.add(7, &set.file.clone(), IN), Err(Errno::EINVAL));
    assert_eq!(add(&set.nesting, &file, 5, &set.file, EpollEvent::default()), Err(Errno::EINVAL));
    assert_eq!(set.add(8, &file, IN | EPOLLEXCLUSIVE | EPOLLONESHOT), Err(Errno::EINVAL));
    set.add(8, &file, IN | EPOLLEXCLUSIVE).unwrap();
    assert_eq!(modify(&set.file, 8, &file, EpollEvent { events: IN, data: 0 }), Err(Errno::EINVAL));
    assert_eq!(remove(&set.file, 8, &file), Ok(()));
}

#[test]
fn closed_files_leave_by_themselves() {
    let (set, file) = (Set::new(), event(1));
    set.add(5, &file, IN).unwrap();
    drop(file);
    assert_eq!(set.file.poll(None), Events::empty());
    assert_eq!(set.wait(8), []);
    assert!(set.epoll().items.lock().is_empty());
}

#[test]
fn nested_sets_wake_and_loops_are_refused() {
    let (outer, inner, file) = (Set::new(), Set::new(), event(0));
    inner.add(5, &file, IN).unwrap();
    outer.add(6, &inner.file, IN).unwrap();
    assert_eq!(inner.add(7, &outer.file, IN), Err(Errno::ELOOP));
    assert_eq!(outer.wait(8), []);
    post(&file);
    assert_eq!(outer.wait(8), [(6, IN)]);
    assert_eq!(inner.wait(8), [(5, IN)]);
    file.downcast::<EventFd>().unwrap();
}

#[test]
fn rows_are_limited() {
    let nesting = Mutex::default();
    let files: Vec<_> = (0..7).map(|_| epoll_file()).collect();
    let link = |outer: usize, inner: usize| {
        add(&nesting, &files[outer], inner as i32, &files[inner], EpollEvent { events: IN, data: 0 })
    };
    for at in 0..4 {
        assert_eq!(link(at, at + 1), Ok(()), "{at}");
    }
    assert_eq!(link(4, 5), Err(Errno::ELOOP), "downwards");
    assert_eq!(link(6, 0), Err(Errno::ELOOP), "upwards");
}

#[test]
fn waiters_are_woken_one_at_a_time() {
    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicUsize);
    impl Wake for Count {
        fn wake(&self, _ready: Events) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (set, file) = (Set::new(), event(0));
    set.add(5, &file, IN | EPOLLET).unwrap();
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let watch = set.epoll().watch_exclusively(first.clone());
    let _second_watch = set.epoll().watch_exclusively(second.clone());
    post(&file);
    assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (1, 0));
    // The first leaves without having looked (a signal): the second is told.
    drop(watch);
    set.epoll().pass_on();
    assert_eq!(second.0.load(Ordering::SeqCst), 1);
}
