//! Starts gofers for tests: in a thread of the test, or in a process of their own that is in jail.
#![allow(dead_code, reason = "every test file uses some of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread::JoinHandle,
};

use gofer::{Config, Confinement, Limits, OwnFds, Policy, Root};
use gofer_proto::{
    Client, FileKind, Name, NewFile, NodeId, OpenFlags, Opened, Owner, Walk, WalkEnd, transport,
};

/// A directory that goes away with the value.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        TempDir::below(&std::env::temp_dir())
    }

    /// Where making very many files is quick.
    pub(crate) fn in_memory() -> TempDir {
        let shm = Path::new("/dev/shm");
        if shm.is_dir() { TempDir::below(shm) } else { TempDir::new() }
    }

    fn below(dir: &Path) -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gofer-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = dir.join(name);
        fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        fs::write(self.join(path), content).unwrap();
    }

    pub(crate) fn mkdir(&self, path: impl AsRef<Path>) {
        fs::create_dir_all(self.join(path)).unwrap();
    }

    pub(crate) fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.join(path)).unwrap();
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) const WRITABLE: Policy = Policy { read_only: false, sockets: false, fifos: false, devices: false };
pub(crate) const READ_ONLY: Policy = Policy { read_only: true, ..WRITABLE };
pub(crate) const EVERYTHING: Policy = Policy { read_only: false, sockets: true, fifos: true, devices: true };

/// A running gofer and its client.
pub(crate) struct Gofer {
    client: Option<Client>,
    server: Option<Server>,
}

enum Server {
    Thread(JoinHandle<()>),
    Process(Child),
}

pub(crate) fn config(roots: &[(&Path, Policy)], limits: Limits) -> Config {
    let roots = roots.iter().map(|(path, policy)| Root::open(path, *policy).unwrap()).collect();
    Config { roots, limits, confinement: Confinement::IfPermitted }
}

/// A server in a thread, and the client's end of its socket.
pub(crate) fn start_thread(roots: &[(&Path, Policy)], limits: Limits) -> (OwnedFd, JoinHandle<()>) {
    let config = config(roots, limits);
    let (ours, theirs) = transport::pair().unwrap();
    let thread = std::thread::spawn(|| gofer::serve(config, theirs, OwnFds::in_proc()).unwrap());
    (ours, thread)
}

/// A server in a process of its own, in jail, and the client's end of its socket. The test file needs a test called
/// `gofer_process` that calls [`be_a_gofer`].
pub(crate) fn start_process(roots: &[(&Path, Policy)], limits: Limits) -> (OwnedFd, Child) {
    start_process_as("root", &config(roots, limits))
}

/// The same, where the process gives up what `who` says before it goes to jail.
pub(crate) fn start_process_as(who: &str, config: &Config) -> (OwnedFd, Child) {
    let (ours, theirs) = transport::pair().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "gofer_process", "--nocapture", "--test-threads=1"])
        .env("BE_A_GOFER", who)
        .stdin(theirs)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    config.send(&ours).unwrap();
    (ours, child)
}

impl Gofer {
    /// In a thread of this process.
    pub(crate) fn in_thread(roots: &[(&Path, Policy)]) -> Gofer {
        Gofer::in_thread_with(roots, Limits::default())
    }

    pub(crate) fn in_thread_with(roots: &[(&Path, Policy)], limits: Limits) -> Gofer {
        let (socket, thread) = start_thread(roots, limits);
        Gofer { client: Some(Client::new(socket, 8)), server: Some(Server::Thread(thread)) }
    }

    /// In a process, in jail.
    pub(crate) fn in_jail(roots: &[(&Path, Policy)]) -> Gofer {
        let (socket, child) = start_process(roots, Limits::default());
        Gofer { client: Some(Client::new(socket, 8)), server: Some(Server::Process(child)) }
    }

    pub(crate) fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    pub(crate) fn root(&self) -> NodeId {
        self.client().attach(0).unwrap().node
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.server {
            Some(Server::Process(child)) => child.id(),
            _ => std::process::id(),
        }
    }

    /// The node at a path below the root, which is there.
    pub(crate) fn node(&self, path: &str) -> NodeId {
        let walk = self.walk(path);
        assert_eq!(walk.end, WalkEnd::Complete, "{path}");
        walk.found.last().map_or_else(|| self.root(), |walked| walked.node)
    }

    pub(crate) fn walk(&self, path: &str) -> Walk {
        self.client().walk(self.root(), &names(path)).unwrap()
    }
}

impl Drop for Gofer {
    /// The server ends when its last connection does, and it ends well.
    fn drop(&mut self) {
        self.client = None;
        let well = match self.server.take() {
            Some(Server::Thread(thread)) => thread.join().is_ok(),
            Some(Server::Process(mut child)) => child.wait().unwrap().success(),
            None => true,
        };
        assert!(well || std::thread::panicking(), "the gofer failed");
    }
}

/// The body of the test `gofer_process`: nothing, unless this process is to be one.
pub(crate) fn be_a_gofer() {
    let Some(who) = std::env::var_os("BE_A_GOFER") else { return };
    match who.to_str() {
        Some("without capabilities") => host::caps::drop_all().unwrap(),
        Some("nobody") => {
            nix::unistd::setgid(65534.into()).unwrap();
            nix::unistd::setuid(65534.into()).unwrap();
        }
        _ => {}
    }
    let control = gofer::control_from_stdin().unwrap();
    if let Err(error) = gofer::run(control) {
        eprintln!("{error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

pub(crate) fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

pub(crate) fn names(path: &str) -> Vec<Name<'_>> {
    path.split('/').filter(|part| !part.is_empty()).map(name).collect()
}

pub(crate) fn new(mode: u32) -> NewFile {
    NewFile { mode, owner: Owner::default() }
}

pub(crate) fn file(opened: Opened) -> fs::File {
    match opened {
        Opened::File(fd) => fs::File::from(fd),
        Opened::Directory(_) => panic!("a directory"),
    }
}

pub(crate) fn read(opened: Opened) -> String {
    std::io::read_to_string(file(opened)).unwrap()
}

/// All entries of a directory, sorted.
pub(crate) fn list(client: &Client, dir: NodeId) -> Vec<(String, FileKind)> {
    let Opened::Directory(handle) = client.open(dir, OpenFlags::empty()).unwrap() else {
        panic!("no directory")
    };
    let mut entries = Vec::new();
    let mut cookie = 0;
    loop {
        let batch = client.readdir(handle, cookie, gofer_proto::DirWants::Names).unwrap();
        for entry in batch.iter() {
            entries.push((String::from_utf8_lossy(entry.name.as_bytes()).into_owned(), entry.kind));
            cookie = entry.cookie;
        }
        if batch.end {
            break;
        }
    }
    client.close(handle);
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

/// How many descriptors a process has.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}
