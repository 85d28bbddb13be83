//! The sandbox's kernel: what exists once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use parking_lot::{Condvar, Mutex, RwLock};
use platform::Platform;

use crate::{
    fs::{
        dentry::DentryCache,
        device::Devices,
        inotify_hook::InotifyState,
        locks::LockWaits,
        registry::FileSystemTypes,
        types::{
            hostfile::HostPoller,
            mqueue::MqueueFs,
            pipe_inode::PipeFs,
            pipe_pages::PipePages,
            tmpfs::{FileMemory, TmpFs, TmpOptions},
        },
    },
    task::{Pid, futex::FutexTable, pool::ThreadPool, tree::TaskTree, wait::ExitStatus},
    time::timer_queue::TimerQueue,
};

/// The device number of [`Kernel::shmem`].
const SHMEM_DEV: u64 = 1;
/// The device number of [`Kernel::mqueue`].
const MQUEUE_DEV: u64 = 2;
/// Below are the numbers of filesystems that exist once.
const FIRST_DEV: u32 = 32;

/// One sandbox's kernel. Everything global hangs here: there are no statics with state.
pub struct Kernel {
    /// What runs guest code.
    pub platform: Arc<dyn Platform>,
    /// What was learned about the host before the jail closed.
    pub host: HostInfo,
    /// Who exists.
    pub tasks: Mutex<TaskTree>,
    /// Host and domain name.
    pub uts: RwLock<Uts>,
    /// Recently used names.
    pub dentries: DentryCache,
    /// Held over renames of directories, and over walks that must not see one (`s_vfs_rename_mutex`).
    pub rename_lock: Mutex<()>,
    /// Who waits for whose record lock.
    pub lock_waits: LockWaits,
    /// Watches inherited host descriptors.
    pub host_poller: Arc<HostPoller>,
    /// What can be mounted.
    pub filesystems: FileSystemTypes,
    /// The minor number of the next filesystem without a device.
    next_dev: AtomicU32,
    /// Files of memfd_create(2), and what else is shared memory without a name.
    pub shmem: Arc<TmpFs>,
    /// What all files in memory hold.
    pub file_memory: Arc<FileMemory>,
    /// Device drivers.
    pub devices: Devices,
    /// Held over changes of interest lists of epoll instances that watch each other.
    pub epoll_nesting: Mutex<()>,
    /// Who watches files.
    pub inotify: InotifyState,
    /// Host threads for guest threads.
    pub threads: Arc<ThreadPool>,
    /// What happens at a certain time.
    pub timers: TimerQueue,
    /// Who waits on which word of guest memory.
    pub futexes: FutexTable,
    /// Where anonymous pipes have their inodes.
    pub pipefs: Arc<PipeFs>,
    /// How many threads are traced by others.
    pub tracees: std::sync::atomic::AtomicUsize,
    /// System V IPC.
    pub ipc: crate::ipc::Ipc,
    /// Keys and keyrings.
    pub keys: Arc<crate::keys::Keys>,
    /// Requests of asynchronous input and output.
    pub aio: Arc<crate::aio::Usage>,
    /// POSIX message queues.
    pub mqueue: Arc<MqueueFs>,
    /// Sockets and interfaces.
    pub net: crate::net::NetNs,
    /// When the sandbox was started: the zero of uptime.
    pub started: Instant,
    /// Hashes what guests may compare but not know.
    pub secret: std::hash::RandomState,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: [u8; 16],
    /// The first devpts that was made: where terminals from outside get their names.
    pub devpts: parking_lot::Mutex<std::sync::Weak<crate::fs::types::tty::devpts::DevPts>>,
    /// Terminals whose master is outside.
    pub consoles: crate::fs::types::console::Consoles,
    /// `--strace`.
    pub strace: Option<crate::strace::Strace>,
    /// System calls that were asked for and do not exist yet.
    pub unimplemented: Unimplemented,
    /// Processes that ended and that somebody outside wants to know of.
    exits: Mutex<HashMap<Pid, Option<ExitStatus>>>,
    exited: Condvar,
}

/// uname(2)'s variable parts.
#[derive(Clone, Debug)]
pub struct Uts {
    pub hostname: Vec<u8>,
    pub domainname: Vec<u8>,
}

/// Facts about the host that guests may know.
#[derive(Clone, Debug, Default)]
pub struct HostInfo {
    /// `AT_HWCAP`, `AT_HWCAP2`, `AT_MINSIGSTKSZ`.
    pub hwcap: u64,
    pub hwcap2: u64,
    pub min_signal_stack: u64,
    /// /proc/cpuinfo, filtered to what identifies no host.
    pub cpuinfo: String,
    /// Processors the sandbox may use.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
}

impl HostInfo {
    /// Reads what is needed from the host's /proc. To be called before the jail closes.
    pub fn gather() -> HostInfo {
        let mut info = HostInfo { min_signal_stack: 2048, ..HostInfo::default() };
        let auxv = std::fs::read("/proc/self/auxv").unwrap_or_default();
        for pair in auxv.chunks_exact(16) {
            let word = |at: usize| {
                pair.get(at..at + 8).and_then(|w| w.try_into().ok()).map_or(0, u64::from_le_bytes)
            };
            match word(0) {
                16 => info.hwcap = word(8),
                26 => info.hwcap2 = word(8),
                51 => info.min_signal_stack = word(8),
                _ => {}
            }
        }
        info.cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        info.cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        info.memory = kib.unwrap_or(1 << 20) * 1024;
        info
    }
}

/// What a kernel is made from.
pub struct KernelInit {
    pub platform: Arc<dyn Platform>,
    pub host: HostInfo,
    pub hostname: Vec<u8>,
    pub pids_limit: Option<usize>,
    pub strace: Option<crate::strace::Strace>,
}

impl Kernel {
    /// A kernel without processes.
    pub fn new(init: KernelInit) -> Arc<Kernel> {
        let memory = init.host.memory;
        let file_memory = FileMemory::of_memory(memory);
        let devices = Devices::default();
        crate::fs::types::dev::register(&devices);
        let mut boot_id = [0; 16];
        host::random::fill(&mut boot_id);
        let mut key_seed = [0; 4];
        host::random::fill(&mut key_seed);
        Arc::new(Kernel {
            boot_id,
            secret: std::hash::RandomState::new(),
            platform: init.platform,
            host: init.host,
            tasks: Mutex::new(TaskTree::new(init.pids_limit)),
            uts: RwLock::new(Uts { hostname: init.hostname, domainname: b"(none)".to_vec() }),
            dentries: DentryCache::new(16 << 10),
            rename_lock: Mutex::default(),
            lock_waits: LockWaits::default(),
            devices,
            host_poller: Arc::default(),
            filesystems: FileSystemTypes::default(),
            next_dev: AtomicU32::new(FIRST_DEV),
            shmem: TmpFs::new(SHMEM_DEV, &TmpOptions::with_size(memory / 2)).sharing(&file_memory),
            file_memory,
            epoll_nesting: Mutex::default(),
            inotify: InotifyState::default(),
            threads: Arc::default(),
            timers: TimerQueue::default(),
            futexes: FutexTable::default(),
            pipefs: PipeFs::new(PipePages::of_memory(memory)),
            tracees: std::sync::atomic::AtomicUsize::new(0),
            ipc: crate::ipc::Ipc::default(),
            keys: crate::keys::Keys::new(u32::from_ne_bytes(key_seed)),
            aio: Arc::default(),
            mqueue: MqueueFs::new(MQUEUE_DEV, memory),
            net: crate::net::NetNs::with_memory(memory),
            started: Instant::now(),
            devpts: Mutex::default(),
            consoles: crate::fs::types::console::Consoles::default(),
            strace: init.strace,
            unimplemented: Unimplemented::default(),
            exits: Mutex::default(),
            exited: Condvar::new(),
        })
    }

    /// A device number for a new filesystem without a device (`get_anon_bdev`).
    pub fn new_dev(&self) -> u64 {
        linux_abi::stat::makedev(0, self.next_dev.fetch_add(1, Ordering::Relaxed))
    }

    /// Fills `bytes` from the host's generator.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        host::random::fill(bytes);
    }

    /// A random number.
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// `CLOCK_BOOTTIME`, which guests read from the vDSO: the host's.
    pub fn uptime(&self) -> std::time::Duration {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
            .map_or_else(|_| self.started.elapsed(), std::time::Duration::from)
    }

    /// Somebody outside will ask for the end of `pid`.
    pub fn watch_exit(&self, pid: Pid) {
        self.exits.lock().insert(pid, None);
    }

    /// Waits for the end of a process that [`Kernel::watch_exit`] was called for. For the control server's threads, not for
    /// tasks.
    pub fn wait_exit(&self, pid: Pid) -> Option<ExitStatus> {
        let mut exits = self.exits.lock();
        loop {
            match exits.get(&pid) {
                None => return None,
                Some(Some(status)) => return Some(*status),
                Some(None) => self.exited.wait(&mut exits),
            }
        }
    }

    /// Nobody will ask any more.
    pub fn forget_exit(&self, pid: Pid) {
        self.exits.lock().remove(&pid);
    }

    /// A process has ended. The end of the first one ends all others.
    pub(crate) fn process_ended(&self, pid: Pid, status: ExitStatus) {
        if pid == 1 {
            crate::task::exit::kill_all(self, pid);
        }
        if let Some(slot) = self.exits.lock().get_mut(&pid) {
            *slot = Some(status);
            self.exited.notify_all();
        }
    }
}

/// Counts what guests asked for in vain; each thing is logged once.
#[derive(Default)]
pub struct Unimplemented {
    counts: Mutex<std::collections::BTreeMap<&'static str, u64>>,
}

impl Unimplemented {
    /// A guest asked for `what`.
    pub fn note(&self, what: &'static str) {
        let mut counts = self.counts.lock();
        let count = counts.entry(what).or_insert(0);
        *count += 1;
        if *count == 1 {
            log::warn!("not implemented: {what}");
        }
    }

    /// How often each thing was asked for.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.counts.lock().iter().map(|(&what, &count)| (what, count)).collect()
    }
}
