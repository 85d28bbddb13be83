//! Paths, names, mounts and permissions on a tmpfs, through the functions the system calls use. Nothing runs.

use std::sync::Arc;

use linux_abi::{
    Errno,
    fcntl::{
        AT_FDCWD, MS_NOEXEC, MS_NOSYMFOLLOW, MS_RDONLY, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH,
        O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY, RENAME_EXCHANGE, RENAME_NOREPLACE, RESOLVE_BENEATH,
        RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
    },
};
use platform::fake::{Fake, Script};

use super::{
    describe::path_of,
    entries::{self, Node},
    fd_table::FdTable,
    file::File,
    inode::FileType,
    mount::{Mount, MountNamespace},
    open::{self, OpenHow},
    types::tmpfs::{TmpFs, TmpOptions},
    walk::{Lookup, resolve},
};
use crate::{
    credentials::{Caps, Credentials},
    error::SysError,
    kernel::{HostInfo, Kernel, KernelInit},
    mm::Mm,
    task::{Scheduling, Task, TaskInit, ThreadGroup, fs_context::FsContext},
};

/// A thread that never runs, in a file tree of its own.
struct Fixture {
    task: Arc<Task>,
    namespace: Arc<MountNamespace>,
}

fn fixture() -> Fixture {
    let kernel = Kernel::new(KernelInit {
        platform: Arc::new(Fake::new([Script::new()])),
        host: HostInfo { cpus: 1, memory: 1 << 30, ..HostInfo::default() },
        hostname: b"test".to_vec(),
        pids_limit: None,
        strace: None,
    });
    let namespace = MountNamespace::new(tmpfs(&kernel, 0));
    let root = namespace.root().expect("a root");
    let process = kernel.platform.new_process().expect("a process");
    let creds = Credentials { effective: Caps::all(), ..Credentials::user(0, 0, &[]) };
    let task = Task::new(TaskInit {
        group: Arc::new(ThreadGroup::new(1)),
        tid: 1,
        creds: Arc::new(creds),
        files: FdTable::new(),
        fs: FsContext::new(root.clone(), root, 0o022),
        mm: Mm::new(process.space, kernel.platform.layout()),
        blocked: 0,
        name: [0; 16],
        no_new_privs: false,
        scheduling: Scheduling::default(),
        kernel,
    });
    Fixture { task, namespace }
}

fn tmpfs(kernel: &Arc<Kernel>, flags: u64) -> Arc<Mount> {
    Mount::new(TmpFs::new(kernel.new_dev(), &TmpOptions::with_size(64 << 20)), b"tmpfs", flags)
}

impl Fixture {
    fn mkdir(&self, path: &str) {
        let node = Node::plain(FileType::Directory, 0o755);
        entries::make(&self.task, AT_FDCWD, path.as_bytes(), &node).unwrap();
    }

    fn symlink(&self, target: &str, path: &str) {
        let node = Node { kind: FileType::Symlink, perm: 0o777, rdev: 0, target: target.as_bytes() };
        entries::make(&self.task, AT_FDCWD, path.as_bytes(), &node).unwrap();
    }

    fn open(&self, path: &str, flags: u32) -> Result<Arc<File>, Errno> {
        self.open_how(path, &OpenHow::from_open(flags, 0o666))
    }

    fn open_how(&self, path: &str, how: &OpenHow) -> Result<Arc<File>, Errno> {
        how.validate()?;
        open::open(&self.task, AT_FDCWD, path.as_bytes(), how).map_err(|error| match error {
            SysError::Errno(errno) => errno,
            SysError::Restart(_) => Errno::EINTR,
        })
    }

    fn scoped(&self, path: &str, resolve: u64) -> Result<(), Errno> {
        self.open_how(path, &OpenHow { flags: O_PATH, mode: 0, resolve }).map(drop)
    }

    fn touch(&self, path: &str) {
        self.open(path, O_CREAT | O_EXCL | O_WRONLY).unwrap();
    }

    /// Where a path leads, links followed.
    fn real(&self, path: &str) -> Result<String, Errno> {
        let place = resolve(&self.task, AT_FDCWD, path.as_bytes(), Lookup::FOLLOW)?;
        Ok(String::from_utf8(path_of(&place, &self.task.fs().root())).unwrap())
    }

    fn unlink(&self, path: &str) -> Result<(), Errno> {
        entries::unlink(&self.task, AT_FDCWD, path.as_bytes())
    }

    fn rmdir(&self, path: &str) -> Result<(), Errno> {
        entries::rmdir(&self.task, AT_FDCWD, path.as_bytes())
    }

    fn rename(&self, old: &str, new: &str, flags: u32) -> Result<(), Errno> {
        entries::rename(&self.task, (AT_FDCWD, old.as_bytes()), (AT_FDCWD, new.as_bytes()), flags)
    }

    fn become_user(&self, uid: u32) {
        self.task.set_creds(Credentials::user(uid, uid, &[]));
    }

    fn chmod(&self, path: &str, perm: u32) {
        let place = resolve(&self.task, AT_FDCWD, path.as_bytes(), Lookup::FOLLOW).unwrap();
        place.inode().set_attr(&super::inode::SetAttr { perm: Some(perm), ..Default::default() }).unwrap();
    }
}

#[test]
fn paths_lead_where_linux_says() {
    let f = fixture();
    f.mkdir("/a");
    f.mkdir("/a/b");
    f.touch("/a/f");
    f.symlink("b", "/a/to_b");
    f.symlink("/a/to_b/", "/absolute");
    f.symlink("nowhere", "/dangling");
    f.symlink("loop", "/loop");
    assert_eq!(f.real("//a/.//b/../b/").as_deref(), Ok("/a/b"));
    assert_eq!(f.real("/../../a").as_deref(), Ok("/a"));
    assert_eq!(f.real("/absolute/..").as_deref(), Ok("/a"));
    assert_eq!(f.real("/absolute/../f").as_deref(), Ok("/a/f"));
    assert_eq!(f.real("").unwrap_err(), Errno::ENOENT);
    assert_eq!(f.real("/a/f/").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(f.real("/a/f/.").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(f.real("/a/f/x").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(f.real("/a/x/y").unwrap_err(), Errno::ENOENT);
    assert_eq!(f.real("/dangling").unwrap_err(), Errno::ENOENT);
    assert_eq!(f.real("/loop").unwrap_err(), Errno::ELOOP);
    assert_eq!(f.real(&format!("/{}", "n".repeat(256))).unwrap_err(), Errno::ENAMETOOLONG);
    assert_eq!(f.real(&format!("/a/f/{}", "n".repeat(256))).unwrap_err(), Errno::ENOTDIR);
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let f = fixture();
    f.touch("/l0");
    for n in 1..=41 {
        f.symlink(&format!("l{}", n - 1), &format!("/l{n}"));
    }
    assert_eq!(f.real("/l40").as_deref(), Ok("/l0"));
    assert_eq!(f.real("/l41").unwrap_err(), Errno::ELOOP);
}

#[test]
fn opening_makes_follows_and_refuses() {
    let f = fixture();
    f.mkdir("/d");
    f.symlink("d/made", "/through");
    f.symlink("d", "/to_d");
    f.touch("/f");
    assert_eq!(f.open("/d", O_WRONLY).map(drop), Err(Errno::EISDIR));
    assert_eq!(f.open("/d", O_CREAT | O_RDONLY).map(drop), Err(Errno::EISDIR));
    assert_eq!(f.open("/new/", O_CREAT | O_WRONLY).map(drop), Err(Errno::EISDIR));
    assert_eq!(f.open("/f", O_CREAT | O_EXCL).map(drop), Err(Errno::EEXIST));
    assert_eq!(f.open("/through", O_CREAT | O_EXCL).map(drop), Err(Errno::EEXIST));
    assert_eq!(f.open("/through", O_NOFOLLOW).map(drop), Err(Errno::ELOOP));
    assert_eq!(f.open("/to_d", O_NOFOLLOW | O_DIRECTORY).map(drop), Err(Errno::ENOTDIR));
    assert_eq!(f.open("/f", O_DIRECTORY).map(drop), Err(Errno::ENOTDIR));
    assert_eq!(f.open("/f", O_CREAT | O_DIRECTORY).map(drop), Err(Errno::EINVAL));
    f.open("/through", O_CREAT | O_WRONLY).unwrap();
    assert_eq!(f.real("/through").as_deref(), Ok("/d/made"));
    let temporary = f.open("/d", O_TMPFILE | O_RDWR).unwrap();
    let shown = path_of(temporary.path().unwrap(), &f.task.fs().root());
    assert!(shown.starts_with(b"/d/#") && shown.ends_with(b" (deleted)"));
    entries::link(&f.task, temporary.path().unwrap(), AT_FDCWD, b"/d/named").unwrap();
    assert_eq!(f.real("/d/named").as_deref(), Ok("/d/named"));
}

#[test]
fn a_program_cannot_be_written_nor_a_written_file_run() {
    let f = fixture();
    f.touch("/p");
    f.chmod("/p", 0o755);
    let run = || open::open_exec(&f.task, AT_FDCWD, b"/p", Lookup::FOLLOW);
    let running = run().unwrap();
    assert_eq!(f.open("/p", O_WRONLY).map(drop), Err(Errno::ETXTBSY));
    assert_eq!(f.open("/p", O_RDONLY | O_TRUNC).map(drop), Err(Errno::ETXTBSY));
    drop(running);
    let writer = f.open("/p", O_WRONLY).unwrap();
    assert_eq!(run().map(drop), Err(Errno::ETXTBSY));
    drop(writer);
    assert!(run().is_ok());
    f.chmod("/p", 0o644);
    assert_eq!(run().map(drop), Err(Errno::EACCES));
}

#[test]
fn scopes_hold() {
    let f = fixture();
    f.mkdir("/jail");
    f.mkdir("/jail/in");
    f.symlink("/in", "/jail/absolute");
    f.symlink("../..", "/jail/in/out");
    let jail = resolve(&f.task, AT_FDCWD, b"/jail", Lookup::FOLLOW).unwrap();
    f.task.fs().set_cwd(jail);
    assert_eq!(f.scoped("in", RESOLVE_BENEATH), Ok(()));
    assert_eq!(f.scoped("in/../in", RESOLVE_BENEATH), Ok(()));
    assert_eq!(f.scoped("..", RESOLVE_BENEATH), Err(Errno::EXDEV));
    assert_eq!(f.scoped("/jail", RESOLVE_BENEATH), Err(Errno::EXDEV));
    assert_eq!(f.scoped("absolute", RESOLVE_BENEATH), Err(Errno::EXDEV));
    assert_eq!(f.scoped("in/out", RESOLVE_BENEATH), Err(Errno::EXDEV));
    assert_eq!(f.scoped("absolute", RESOLVE_IN_ROOT), Ok(()));
    assert_eq!(f.scoped("/in", RESOLVE_IN_ROOT), Ok(()));
    assert_eq!(f.scoped("in/out/in", RESOLVE_IN_ROOT), Ok(()));
    assert_eq!(f.scoped("absolute", RESOLVE_NO_SYMLINKS), Err(Errno::ELOOP));
    assert_eq!(f.scoped("in", RESOLVE_BENEATH | RESOLVE_IN_ROOT), Err(Errno::EINVAL));
}

#[test]
fn mounts_are_crossed_both_ways() {
    let f = fixture();
    f.mkdir("/m");
    f.mkdir("/m/hidden");
    let on = resolve(&f.task, AT_FDCWD, b"/m", Lookup::FOLLOW).unwrap();
    let mounted = tmpfs(&f.task.kernel, MS_NOEXEC);
    f.namespace.attach(&on, &mounted).unwrap();
    assert_eq!(f.real("/m/hidden").unwrap_err(), Errno::ENOENT);
    f.mkdir("/m/sub");
    assert_eq!(f.real("/m/sub/../..").as_deref(), Ok("/"));
    assert_eq!(f.real("/m/sub").as_deref(), Ok("/m/sub"));
    assert_eq!(f.scoped("/m/sub", RESOLVE_NO_XDEV), Err(Errno::EXDEV));
    assert_eq!(f.rmdir("/m"), Err(Errno::EBUSY));
    assert_eq!(f.rename("/m/sub", "/elsewhere", 0), Err(Errno::EXDEV));
    f.touch("/m/p");
    f.chmod("/m/p", 0o755);
    let run = open::open_exec(&f.task, AT_FDCWD, b"/m/p", Lookup::FOLLOW);
    assert_eq!(run.map(drop), Err(Errno::EACCES));
    mounted.set_flags(MS_RDONLY | MS_NOSYMFOLLOW);
    assert_eq!(f.open("/m/p", O_WRONLY).map(drop), Err(Errno::EROFS));
    assert_eq!(f.unlink("/m/p"), Err(Errno::EROFS));
    assert_eq!(f.open("/m/new", O_CREAT).map(drop), Err(Errno::EROFS));
    // Something is open there: it can only be detached lazily.
    let open = f.open("/m/p", O_RDONLY).unwrap();
    assert_eq!(f.namespace.detach(&mounted, Some(1)).map(drop), Err(Errno::EBUSY));
    f.namespace.detach(&mounted, None).unwrap();
    assert_eq!(f.real("/m/hidden").as_deref(), Ok("/m/hidden"));
    drop(open);
}

#[test]
fn names_are_removed_and_renamed_in_linux_order() {
    let f = fixture();
    f.mkdir("/d");
    f.mkdir("/d/e");
    f.touch("/f");
    f.touch("/g");
    assert_eq!(f.unlink("/d"), Err(Errno::EISDIR));
    assert_eq!(f.unlink("/f/"), Err(Errno::ENOTDIR));
    assert_eq!(f.rmdir("/f"), Err(Errno::ENOTDIR));
    assert_eq!(f.rmdir("/d"), Err(Errno::ENOTEMPTY));
    assert_eq!(f.rmdir("/d/e/."), Err(Errno::EINVAL));
    assert_eq!(f.rmdir("/d/e/.."), Err(Errno::ENOTEMPTY));
    assert_eq!(f.rmdir("/"), Err(Errno::EBUSY));
    assert_eq!(f.rename("/d", "/d/e/below", 0), Err(Errno::EINVAL));
    assert_eq!(f.rename("/d/e", "/d", 0), Err(Errno::ENOTEMPTY));
    assert_eq!(f.rename("/f", "/g", RENAME_NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(f.rename("/f", "/new/", 0), Err(Errno::ENOTDIR));
    assert_eq!(f.rename("/f", "/g", RENAME_NOREPLACE | RENAME_EXCHANGE), Err(Errno::EINVAL));
    assert_eq!(f.rename("/d/.", "/x", 0), Err(Errno::EBUSY));
    let inside = resolve(&f.task, AT_FDCWD, b"/d/e", Lookup::FOLLOW).unwrap();
    f.rename("/d", "/moved", 0).unwrap();
    assert_eq!(path_of(&inside, &f.task.fs().root()), b"/moved/e");
    f.rename("/moved", "/f", RENAME_EXCHANGE).unwrap();
    assert_eq!(path_of(&inside, &f.task.fs().root()), b"/f/e");
    assert_eq!(f.real("/moved").as_deref(), Ok("/moved"));
    let open = f.open("/g", O_RDONLY).unwrap();
    f.rename("/moved", "/g", 0).unwrap();
    assert_eq!(path_of(open.path().unwrap(), &f.task.fs().root()), b"/g (deleted)");
    f.rmdir("/f/e").unwrap();
    f.task.fs().set_cwd(inside);
    assert_eq!(f.open("new", O_CREAT).map(drop), Err(Errno::ENOENT));
}

#[test]
fn permissions_are_asked_of_every_directory() {
    let f = fixture();
    f.mkdir("/closed");
    f.touch("/closed/f");
    f.chmod("/closed", 0o600);
    f.mkdir("/plain");
    f.mkdir("/sticky");
    f.chmod("/sticky", 0o1777);
    f.touch("/sticky/roots");
    f.become_user(7);
    assert_eq!(f.real("/closed/f").unwrap_err(), Errno::EACCES);
    assert_eq!(f.real(&format!("/closed/{}", "n".repeat(256))).unwrap_err(), Errno::EACCES);
    assert_eq!(f.open("/plain/new", O_CREAT).map(drop), Err(Errno::EACCES));
    assert_eq!(f.unlink("/sticky/roots"), Err(Errno::EPERM));
    f.touch("/sticky/mine");
    f.become_user(8);
    assert_eq!(f.unlink("/sticky/mine"), Err(Errno::EPERM));
    f.become_user(7);
    assert_eq!(f.unlink("/sticky/mine"), Ok(()));
}

/// Guests make such chains with mkdir and chdir; taking one apart must not use the stack.
#[test]
fn a_hundred_thousand_nested_directories() {
    let f = fixture();
    let deep = TmpOptions { inodes: 1 << 20, ..TmpOptions::with_size(1 << 20) };
    f.mkdir("/m");
    let on = resolve(&f.task, AT_FDCWD, b"/m", Lookup::FOLLOW).unwrap();
    let mounted = Mount::new(TmpFs::new(f.task.kernel.new_dev(), &deep), b"tmpfs", 0);
    f.namespace.attach(&on, &mounted).unwrap();
    f.task.fs().set_cwd(mounted.root_path());
    for _ in 0..100_000 {
        f.mkdir("d");
        let next = resolve(&f.task, AT_FDCWD, b"d", Lookup::FOLLOW).unwrap();
        f.task.fs().set_cwd(next);
    }
    let bottom = f.task.fs().cwd();
    let shown = path_of(&bottom, &f.task.fs().root());
    assert_eq!(shown.len(), 2 + 200_000);
    f.task.fs().set_cwd(f.task.fs().root());
    drop(bottom);
    f.task.kernel.dentries.discard_if(|_| true);
}
