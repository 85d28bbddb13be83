//! The names of procfs outside the processes' directories.

use linux_abi::Result;

use super::{sysctl, system};
use crate::{fs::inode::FileType, ipc::show, kernel::Kernel, net::proc as net, task::Task};

/// A name and what is behind it.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) content: Content,
}

/// Makes the text of a sysctl.
pub(super) type Show = fn(&Kernel) -> Vec<u8>;
/// Takes what was written to a sysctl.
pub(super) type Store = fn(&Kernel, &[u8]) -> Result<()>;

/// What is behind a name.
pub(super) enum Content {
    Directory(&'static [Entry]),
    Text(fn(&Kernel, &Task) -> Vec<u8>),
    /// As `Text`; with a second function it can be written.
    Sysctl(Show, Option<Store>),
    Link(fn(&Task) -> Vec<u8>),
}

impl Entry {
    pub(super) fn kind(&self) -> FileType {
        match self.content {
            Content::Directory(_) => FileType::Directory,
            Content::Text(_) | Content::Sysctl(..) => FileType::Regular,
            Content::Link(_) => FileType::Symlink,
        }
    }

    pub(super) fn perm(&self) -> u32 {
        match self.content {
            Content::Directory(_) => 0o555,
            Content::Text(_) | Content::Sysctl(_, None) => 0o444,
            Content::Sysctl(_, Some(_)) => 0o644,
            Content::Link(_) => 0o777,
        }
    }
}

/// The entry `name` among `entries`.
pub(super) fn find(entries: &'static [Entry], name: &[u8]) -> Option<&'static Entry> {
    entries.iter().find(|entry| entry.name.as_bytes() == name)
}

const fn directory(name: &'static str, entries: &'static [Entry]) -> Entry {
    Entry { name, content: Content::Directory(entries) }
}

const fn text(name: &'static str, make: fn(&Kernel, &Task) -> Vec<u8>) -> Entry {
    Entry { name, content: Content::Text(make) }
}

const fn link(name: &'static str, make: fn(&Task) -> Vec<u8>) -> Entry {
    Entry { name, content: Content::Link(make) }
}

const fn sysctl(name: &'static str, show: Show) -> Entry {
    Entry { name, content: Content::Sysctl(show, None) }
}

const fn settable(name: &'static str, show: Show, store: Store) -> Entry {
    Entry { name, content: Content::Sysctl(show, Some(store)) }
}

macro_rules! constant {
    ($name:literal, $value:literal) => {
        sysctl($name, |_| concat!($value, "\n").as_bytes().to_vec())
    };
}

/// /proc itself, without the processes.
pub(super) static ROOT: &[Entry] = &[
    text("cgroups", |_, _| b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n".to_vec()),
    text("cmdline", |_, _| b"console=hvc0\n".to_vec()),
    text("cpuinfo", |kernel, _| kernel.host.cpuinfo.clone().into_bytes()),
    text("devices", |_, _| {
        b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n".to_vec()
    }),
    text("filesystems", system::filesystems),
    text("loadavg", system::loadavg),
    text("meminfo", system::meminfo),
    text("modules", |_, _| Vec::new()),
    link("mounts", |_| b"self/mounts".to_vec()),
    link("net", |_| b"self/net".to_vec()),
    text("partitions", |_, _| b"major minor  #blocks  name\n\n".to_vec()),
    link("self", |task| task.pid().to_string().into_bytes()),
    text("stat", system::stat),
    text("swaps", |_, _| b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec()),
    directory("sys", SYS),
    directory("sysvipc", SYSVIPC),
    link("thread-self", |task| format!("{}/task/{}", task.pid(), task.tid()).into_bytes()),
    text("uptime", system::uptime),
    text("version", system::version),
    text("vmstat", system::vmstat),
];

static SYSVIPC: &[Entry] = &[
    text("msg", |kernel, _| show::msg(kernel)),
    text("sem", |kernel, _| show::sem(kernel)),
    text("shm", |kernel, _| show::shm(kernel)),
];

/// /proc/PID/net.
pub(super) static NET: &[Entry] = &[
    text("arp", |_, _| net::arp().into_bytes()),
    text("dev", |_, _| net::dev().into_bytes()),
    text("dev_mcast", |_, _| Vec::new()),
    text("fib_trie", |_, _| net::fib_trie().into_bytes()),
    text("icmp", |kernel, _| net::icmp(kernel, false).into_bytes()),
    text("icmp6", |kernel, _| net::icmp(kernel, true).into_bytes()),
    text("if_inet6", |_, _| net::if_inet6().into_bytes()),
    text("igmp", |_, _| net::igmp().into_bytes()),
    text("ipv6_route", |_, _| net::ipv6_route().into_bytes()),
    text("netlink", |_, _| net::netlink().into_bytes()),
    text("netstat", |_, _| net::netstat().into_bytes()),
    text("packet", |_, _| net::packet().into_bytes()),
    text("protocols", |_, _| net::protocols().into_bytes()),
    text("ptype", |_, _| net::ptype().into_bytes()),
    text("raw", |kernel, _| net::raw(kernel, false).into_bytes()),
    text("raw6", |kernel, _| net::raw(kernel, true).into_bytes()),
    text("route", |_, _| net::route().into_bytes()),
    text("snmp", |_, _| net::snmp().into_bytes()),
    text("snmp6", |_, _| net::snmp6().into_bytes()),
    text("sockstat", |kernel, _| net::sockstat(kernel).into_bytes()),
    text("sockstat6", |kernel, _| net::sockstat6(kernel).into_bytes()),
    text("tcp", |kernel, _| net::tcp(kernel, false).into_bytes()),
    text("tcp6", |kernel, _| net::tcp(kernel, true).into_bytes()),
    text("udp", |kernel, _| net::udp(kernel, false).into_bytes()),
    text("udp6", |kernel, _| net::udp(kernel, true).into_bytes()),
    text("udplite", |_, _| net::udplite(false).into_bytes()),
    text("udplite6", |_, _| net::udplite(true).into_bytes()),
    text("unix", |kernel, _| net::unix(kernel).into_bytes()),
];

static SYS: &[Entry] = &[
    directory("debug", &[]),
    directory("dev", &[]),
    directory("fs", SYS_FS),
    directory("kernel", SYS_KERNEL),
    directory("net", SYS_NET),
    directory("user", SYS_USER),
    directory("vm", SYS_VM),
];

static SYS_FS: &[Entry] = &[
    constant!("aio-max-nr", "65536"),
    sysctl("aio-nr", |kernel| format!("{}\n", kernel.aio.get()).into_bytes()),
    directory("epoll", &[constant!("max_user_watches", "1048576")]),
    constant!("file-max", "1048576"),
    constant!("file-nr", "1024\t0\t1048576"),
    directory(
        "inotify",
        &[
            constant!("max_queued_events", "16384"),
            constant!("max_user_instances", "128"),
            constant!("max_user_watches", "1048576"),
        ],
    ),
    constant!("lease-break-time", "45"),
    directory(
        "mqueue",
        &[
            constant!("msg_default", "10"),
            constant!("msg_max", "10"),
            constant!("msgsize_default", "8192"),
            constant!("msgsize_max", "8192"),
            constant!("queues_max", "256"),
        ],
    ),
    constant!("nr_open", "1048576"),
    constant!("overflowgid", "65534"),
    constant!("overflowuid", "65534"),
    constant!("pipe-max-size", "1048576"),
    constant!("pipe-user-pages-hard", "0"),
    constant!("pipe-user-pages-soft", "16384"),
    constant!("protected_fifos", "1"),
    constant!("protected_hardlinks", "1"),
    constant!("protected_regular", "2"),
    constant!("protected_symlinks", "1"),
    constant!("suid_dumpable", "0"),
];

static SYS_KERNEL: &[Entry] = &[
    constant!("cap_last_cap", "40"),
    constant!("core_pattern", "core"),
    constant!("core_uses_pid", "0"),
    settable("domainname", sysctl::domainname, sysctl::set_domainname),
    settable("hostname", sysctl::hostname, sysctl::set_hostname),
    directory(
        "keys",
        &[
            constant!("gc_delay", "300"),
            constant!("maxbytes", "20000"),
            constant!("maxkeys", "200"),
            constant!("persistent_keyring_expiry", "259200"),
            constant!("root_maxbytes", "25000000"),
            constant!("root_maxkeys", "100000"),
        ],
    ),
    constant!("kptr_restrict", "1"),
    constant!("msgmax", "8192"),
    constant!("msgmnb", "16384"),
    constant!("msgmni", "32000"),
    constant!("ngroups_max", "65536"),
    sysctl("osrelease", sysctl::osrelease),
    constant!("ostype", "Linux"),
    constant!("overflowgid", "65534"),
    constant!("overflowuid", "65534"),
    constant!("perf_event_paranoid", "3"),
    sysctl("pid_max", sysctl::pid_max),
    constant!("printk", "4\t4\t1\t7"),
    directory(
        "random",
        &[
            sysctl("boot_id", sysctl::boot_id),
            constant!("entropy_avail", "256"),
            constant!("poolsize", "256"),
            sysctl("uuid", sysctl::uuid),
        ],
    ),
    constant!("randomize_va_space", "2"),
    constant!("sched_rr_timeslice_ms", "100"),
    constant!("seccomp", "0"),
    constant!("sem", "32000\t1024000\t500\t32000"),
    constant!("shmall", "18446744073692774399"),
    constant!("shmmax", "18446744073692774399"),
    constant!("shmmni", "4096"),
    constant!("tainted", "0"),
    constant!("threads-max", "131072"),
    sysctl("version", sysctl::version),
    directory("yama", &[constant!("ptrace_scope", "0")]),
];

static SYS_NET: &[Entry] = &[
    directory(
        "core",
        &[
            constant!("netdev_max_backlog", "1000"),
            constant!("optmem_max", "131072"),
            constant!("rmem_default", "212992"),
            constant!("rmem_max", "212992"),
            constant!("somaxconn", "4096"),
            constant!("wmem_default", "212992"),
            constant!("wmem_max", "212992"),
        ],
    ),
    directory(
        "ipv4",
        &[
            constant!("ip_default_ttl", "64"),
            constant!("ip_forward", "0"),
            settable("ip_local_port_range", sysctl::port_range, sysctl::set_port_range),
            constant!("ip_local_reserved_ports", ""),
            constant!("ip_nonlocal_bind", "0"),
            constant!("ip_unprivileged_port_start", "1024"),
            settable("ping_group_range", sysctl::ping_groups, sysctl::set_ping_groups),
            constant!("tcp_allowed_congestion_control", "reno cubic"),
            constant!("tcp_available_congestion_control", "reno cubic"),
            constant!("tcp_congestion_control", "cubic"),
            constant!("tcp_fin_timeout", "60"),
            constant!("tcp_keepalive_intvl", "75"),
            constant!("tcp_keepalive_probes", "9"),
            constant!("tcp_keepalive_time", "7200"),
            constant!("tcp_max_syn_backlog", "4096"),
            constant!("tcp_rmem", "4096\t131072\t6291456"),
            constant!("tcp_sack", "1"),
            constant!("tcp_syn_retries", "6"),
            constant!("tcp_syncookies", "1"),
            constant!("tcp_timestamps", "1"),
            constant!("tcp_window_scaling", "1"),
            constant!("tcp_wmem", "4096\t16384\t4194304"),
        ],
    ),
    directory(
        "ipv6",
        &[directory(
            "conf",
            &[
                directory("all", &[constant!("disable_ipv6", "0")]),
                directory("default", &[constant!("disable_ipv6", "0")]),
                directory("lo", &[constant!("disable_ipv6", "0")]),
            ],
        )],
    ),
    directory("unix", &[constant!("max_dgram_qlen", "10")]),
];

static SYS_USER: &[Entry] = &[
    constant!("max_mnt_namespaces", "0"),
    constant!("max_net_namespaces", "0"),
    constant!("max_pid_namespaces", "0"),
    constant!("max_user_namespaces", "0"),
];

static SYS_VM: &[Entry] = &[
    constant!("drop_caches", "0"),
    constant!("max_map_count", "65530"),
    constant!("min_free_kbytes", "67584"),
    constant!("mmap_min_addr", "65536"),
    constant!("nr_hugepages", "0"),
    constant!("overcommit_kbytes", "0"),
    constant!("overcommit_memory", "0"),
    constant!("overcommit_ratio", "50"),
    constant!("swappiness", "60"),
];
