//! Lines that strace 6.1 printed, rebuilt from the same arguments and memory.

use super::Call;
use crate::nr;

/// A result that is an error.
const fn err(errno: i64) -> Option<u64> {
    Some((-errno).cast_unsigned())
}

const NONE: u64 = u64::MAX;
const AT_FDCWD: u64 = (-100i64).cast_unsigned();

fn reader<'a>(memory: &'a [(u64, Vec<u8>)]) -> impl FnMut(u64, &mut [u8]) -> usize + 'a {
    move |at, into| {
        for (start, bytes) in memory {
            let Some(offset) = at.checked_sub(*start).and_then(|offset| usize::try_from(offset).ok()) else {
                continue;
            };
            if let Some(here) = bytes.get(offset..).filter(|here| !here.is_empty()) {
                let count = here.len().min(into.len());
                into[..count].copy_from_slice(&here[..count]);
                return count;
            }
        }
        0
    }
}

/// The line for a call whose memory does not change.
fn line(nr: u64, args: &[u64], result: Option<u64>, memory: &[(u64, Vec<u8>)]) -> String {
    changed(nr, args, result, memory, memory)
}

/// The line for a call with the memory before and after it.
fn changed(
    nr: u64,
    args: &[u64],
    result: Option<u64>,
    before: &[(u64, Vec<u8>)],
    after: &[(u64, Vec<u8>)],
) -> String {
    let mut words = [0; 6];
    words[..args.len()].copy_from_slice(args);
    let call = Call::enter(nr, words, &mut reader(before));
    call.line(result, &mut reader(after))
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn halves(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn files() {
    let path = |text: &str| [text.as_bytes(), b"\0"].concat();
    let memory = [
        (0x1000, path("/tmp/st/file")),
        (0x2000, b"hello\n\x01\x019\"x\\ world, this is longer than thirty-two!".to_vec()),
        (0x3000, path("/nonexistent")),
        (0x4000, path("dev")),
        (0x5000, path("l")),
        (0x6000, path("/tmp/st")),
    ];
    assert_eq!(
        line(nr::openat, &[AT_FDCWD, 0x1000, 0o1102, 0o640], Some(3), &memory),
        r#"openat(AT_FDCWD, "/tmp/st/file", O_RDWR|O_CREAT|O_TRUNC, 0640) = 3"#
    );
    assert_eq!(
        line(nr::openat, &[AT_FDCWD, 0x3000, 0o2200000, 7], err(2), &memory),
        r#"openat(AT_FDCWD, "/nonexistent", O_RDONLY|O_CLOEXEC|O_DIRECTORY) = -1 ENOENT (No such file or directory)"#
    );
    assert_eq!(
        line(nr::write, &[3, 0x2000, 52], Some(52), &memory),
        r#"write(3, "hello\n\1\19\"x\\ world, this is long"..., 52) = 52"#
    );
    assert_eq!(
        line(nr::pread64, &[3, 0x2002, 20, 2], Some(20), &memory),
        r#"pread64(3, "llo\n\1\19\"x\\ world, th", 20, 2) = 20"#
    );
    assert_eq!(
        line(nr::read, &[4, 0x7fff0501e810, 10], err(11), &memory),
        "read(4, 0x7fff0501e810, 10)             = -1 EAGAIN (Resource temporarily unavailable)"
    );
    assert_eq!(
        line(nr::lseek, &[3, (-3i64).cast_unsigned(), 2], Some(49), &memory),
        "lseek(3, -3, SEEK_END)                  = 49"
    );
    assert_eq!(
        line(nr::close, &[99], err(9), &memory),
        "close(99)                               = -1 EBADF (Bad file descriptor)"
    );
    assert_eq!(
        line(nr::mknodat, &[AT_FDCWD, 0x4000, 0o20600, 0x103], Some(0), &memory),
        r#"mknodat(AT_FDCWD, "dev", S_IFCHR|0600, makedev(0x1, 0x3)) = 0"#
    );
    assert_eq!(
        line(nr::readlink, &[0x5000, 0x5000, 100], Some(1), &memory),
        r#"readlink("l", "l", 100)                 = 1"#
    );
    assert_eq!(
        line(nr::getcwd, &[0x6000, 256], Some(8), &memory),
        r#"getcwd("/tmp/st", 256)                  = 8"#
    );
    assert_eq!(
        line(nr::umask, &[0o22], Some(0o22), &memory),
        "umask(022)                              = 022"
    );
    assert_eq!(
        line(nr::fcntl, &[3, 3, 0], Some(0x8002), &memory),
        "fcntl(3, F_GETFL)                       = 0x8002 (flags O_RDWR|O_LARGEFILE)"
    );
    assert_eq!(
        line(nr::fcntl, &[3, 4, 0o6000], Some(0), &memory),
        "fcntl(3, F_SETFL, O_RDONLY|O_APPEND|O_NONBLOCK) = 0"
    );
    let lock = [(0x7000, [&halves(&[1, 0])[..], &words(&[0, 10, 0])].concat())];
    assert_eq!(
        line(nr::fcntl, &[3, 6, 0x7000], Some(0), &lock),
        "fcntl(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=10}) = 0"
    );
}

#[test]
fn stats() {
    let mut stat = vec![0; 144];
    stat[24..28].copy_from_slice(&0o100640u32.to_le_bytes());
    stat[48..56].copy_from_slice(&52u64.to_le_bytes());
    let mut null = vec![0; 144];
    null[24..28].copy_from_slice(&0o20666u32.to_le_bytes());
    null[40..48].copy_from_slice(&0x103u64.to_le_bytes());
    let memory =
        [(0x1000, b"\0".to_vec()), (0x2000, b"/dev/null\0".to_vec()), (0x3000, stat), (0x4000, null)];
    assert_eq!(
        line(nr::newfstatat, &[3, 0x1000, 0x3000, 0x1000], Some(0), &memory),
        r#"newfstatat(3, "", {st_mode=S_IFREG|0640, st_size=52, ...}, AT_EMPTY_PATH) = 0"#
    );
    assert_eq!(
        line(nr::newfstatat, &[AT_FDCWD, 0x2000, 0x4000, 0], Some(0), &memory),
        r#"newfstatat(AT_FDCWD, "/dev/null", {st_mode=S_IFCHR|0666, st_rdev=makedev(0x1, 0x3), ...}, 0) = 0"#
    );
    let mut statx = vec![0; 256];
    statx[..4].copy_from_slice(&0x1fffu32.to_le_bytes());
    statx[28..30].copy_from_slice(&0o41777u16.to_le_bytes());
    statx[40..48].copy_from_slice(&4096u64.to_le_bytes());
    let memory = [(0x1000, b"/tmp\0".to_vec()), (0x2000, statx)];
    assert_eq!(
        line(nr::statx, &[AT_FDCWD, 0x1000, 0x100, 0xfff, 0x2000], Some(0), &memory),
        "statx(AT_FDCWD, \"/tmp\", AT_STATX_SYNC_AS_STAT|AT_SYMLINK_NOFOLLOW, STATX_ALL, {stx_mask=STATX_ALL|STATX_MNT_ID, \
         stx_attributes=0, stx_mode=S_IFDIR|S_ISVTX|0777, stx_size=4096, ...}) = 0"
    );
}

#[test]
fn memory_calls() {
    assert_eq!(
        line(nr::mmap, &[0, 8192, 3, 0x22, NONE, 0], Some(0x7f3481e36000), &[]),
        "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f3481e36000"
    );
    assert_eq!(
        line(nr::mmap, &[0x7fdb021c1000, 1400832, 5, 0x812, 3, 0x26000], Some(0x7fdb021c1000), &[]),
        "mmap(0x7fdb021c1000, 1400832, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_FIXED|MAP_DENYWRITE, 3, 0x26000) = \
         0x7fdb021c1000"
    );
    assert_eq!(
        line(nr::mremap, &[0x7f3481e36000, 8192, 16384, 1, 5], err(14), &[]),
        "mremap(0x7f3481e36000, 8192, 16384, MREMAP_MAYMOVE) = -1 EFAULT (Bad address)"
    );
    assert_eq!(
        line(nr::brk, &[0], Some(0x55e543385000), &[]),
        "brk(NULL)                               = 0x55e543385000"
    );
}

#[test]
fn signals() {
    let act = words(&[0x55e53fc55759, 0x1400_0004, 0x7f3481c89050, 1 << 1 | 1 << 33]);
    let default = words(&[0, 0, 0, 0]);
    let memory =
        [(0x1000, act), (0x2000, default), (0x3000, words(&[!(1 << 31 | 1 << 32)])), (0x4000, words(&[0]))];
    assert_eq!(
        line(nr::rt_sigaction, &[10, 0x1000, 0, 8], Some(0), &memory),
        "rt_sigaction(SIGUSR1, {sa_handler=0x55e53fc55759, sa_mask=[INT RT_2], \
         sa_flags=SA_RESTORER|SA_RESTART|SA_SIGINFO, sa_restorer=0x7f3481c89050}, NULL, 8) = 0"
    );
    assert_eq!(
        line(nr::rt_sigaction, &[12, 0, 0x2000, 8], Some(0), &memory),
        "rt_sigaction(SIGUSR2, NULL, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, 8) = 0"
    );
    assert_eq!(
        line(nr::rt_sigprocmask, &[0, 0x3000, 0, 8], Some(0), &memory),
        "rt_sigprocmask(SIG_BLOCK, ~[RTMIN RT_1], NULL, 8) = 0"
    );
    assert_eq!(line(nr::kill, &[26992, 15], Some(0), &[]), "kill(26992, SIGTERM)                    = 0");
}

#[test]
fn waiting() {
    let entries = |revents: u32| halves(&[4, 1, 5, 4 | revents << 16]);
    assert_eq!(
        changed(nr::poll, &[0x1000, 2, 0], Some(1), &[(0x1000, entries(0))], &[(0x1000, entries(4))]),
        "poll([{fd=4, events=POLLIN}, {fd=5, events=POLLOUT}], 2, 0) = 1 ([{fd=5, revents=POLLOUT}])"
    );
    assert_eq!(
        line(nr::poll, &[0x1000, 1, 0], Some(0), &[(0x1000, entries(0))]),
        "poll([{fd=4, events=POLLIN}], 1, 0)     = 0 (Timeout)"
    );
    let set = (0x2000, words(&[1 << 5]));
    let before = [set.clone(), (0x3000, words(&[0, 1000000]))];
    let after = [set, (0x3000, words(&[0, 997906]))];
    assert_eq!(
        changed(nr::pselect6, &[6, 0, 0x2000, 0, 0x3000, 0], Some(1), &before, &after),
        "pselect6(6, NULL, [5], NULL, {tv_sec=0, tv_nsec=1000000}, NULL) = 1 (out [5], left {tv_sec=0, tv_nsec=997906})"
    );
    let event = [(0x1000, halves(&[1, 7, 0]))];
    assert_eq!(
        line(nr::epoll_wait, &[15, 0x1000, 4, 0], Some(1), &event),
        "epoll_wait(15, [{events=EPOLLIN, data={u32=7, u64=7}}], 4, 0) = 1"
    );
    assert_eq!(
        line(nr::wait4, &[NONE, 0x1000, 0, 0], Some(26991), &[(0x1000, halves(&[3 << 8]))]),
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 26991"
    );
    assert_eq!(
        line(nr::clock_nanosleep, &[1, 0, 0x1000, 0x7fff0501e490], Some(0), &[(0x1000, words(&[0, 1000]))]),
        "clock_nanosleep(CLOCK_MONOTONIC, 0, {tv_sec=0, tv_nsec=1000}, 0x7fff0501e490) = 0"
    );
    assert_eq!(
        line(nr::futex, &[0x7fff0501e40c, 393, 5, 0, 0, NONE], err(11), &[]),
        "futex(0x7fff0501e40c, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 5, NULL, FUTEX_BITSET_MATCH_ANY) = -1 \
         EAGAIN (Resource temporarily unavailable)"
    );
    assert_eq!(
        line(nr::futex, &[0x7fff0501e40c, 4, 1, 2, 0x7fff0501e1b4, 1], err(11), &[]),
        "futex(0x7fff0501e40c, FUTEX_CMP_REQUEUE, 1, 2, 0x7fff0501e1b4, 1) = -1 EAGAIN (Resource temporarily unavailable)"
    );
}

#[test]
fn sockets() {
    let inet = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    let mut inet6 = vec![10, 0, 0, 53];
    inet6.resize(28, 0);
    inet6[23] = 1;
    let memory = [
        (0x1000, inet),
        (0x2000, inet6),
        (0x3000, b"\x01\0\0abs".to_vec()),
        (0x4000, halves(&[1])),
        (0x5000, halves(&[12, 13])),
    ];
    assert_eq!(
        line(nr::socket, &[2, 0o2004001, 0], Some(6), &memory),
        "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, IPPROTO_IP) = 6"
    );
    assert_eq!(
        line(nr::socket, &[16, 3, 0], Some(8), &memory),
        "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 8"
    );
    assert_eq!(
        line(nr::setsockopt, &[6, 6, 1, 0x4000, 4], Some(0), &memory),
        "setsockopt(6, SOL_TCP, TCP_NODELAY, [1], 4) = 0"
    );
    assert_eq!(
        line(nr::connect, &[6, 0x1000, 16], err(115), &memory),
        "connect(6, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = -1 EINPROGRESS \
         (Operation now in progress)"
    );
    assert_eq!(
        line(nr::connect, &[6, 0x2000, 28], Some(0), &memory),
        "connect(6, {sa_family=AF_INET6, sin6_port=htons(53), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"::1\", \
         &sin6_addr), sin6_scope_id=0}, 28) = 0"
    );
    assert_eq!(
        line(nr::bind, &[9, 0x3000, 6], Some(0), &memory),
        r#"bind(9, {sa_family=AF_UNIX, sun_path=@"abs"}, 6) = 0"#
    );
    assert_eq!(
        line(nr::socketpair, &[1, 2, 0, 0x5000], Some(0), &memory),
        "socketpair(AF_UNIX, SOCK_DGRAM, 0, [12, 13]) = 0"
    );
    let name = (0x1000, memory[0].1.clone());
    let before = [name.clone(), (0x6000, halves(&[128]))];
    let after = [name, (0x6000, halves(&[16]))];
    assert_eq!(
        changed(nr::getsockname, &[6, 0x1000, 0x6000], Some(0), &before, &after),
        "getsockname(6, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, [128 => 16]) = 0"
    );
    assert_eq!(
        line(nr::accept4, &[6, 0, 0, 0o2000000], err(22), &[]),
        "accept4(6, NULL, NULL, SOCK_CLOEXEC)    = -1 EINVAL (Invalid argument)"
    );
    let message = [
        (0x1000, words(&[0, 0, 0x2000, 1, 0x3000, 24, 0])),
        (0x2000, words(&[0x4000, 2])),
        (0x3000, [&words(&[20])[..], &halves(&[1, 1, 3, 0])].concat()),
        (0x4000, b"ab".to_vec()),
    ];
    assert_eq!(
        line(nr::sendmsg, &[12, 0x1000, 0], Some(2), &message),
        "sendmsg(12, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"ab\", iov_len=2}], msg_iovlen=1, \
         msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[3]}], msg_controllen=24, \
         msg_flags=0}, 0) = 2"
    );
    assert_eq!(
        line(nr::recvfrom, &[13, 0x4000, 10, 0, 0, 0], Some(1), &message),
        r#"recvfrom(13, "a", 10, 0, NULL, NULL)    = 1"#
    );
}

#[test]
fn processes() {
    let memory = [
        (0x1000, b"/bin/true\0".to_vec()),
        (0x2000, words(&[0x1000, 0x3000, 0])),
        (0x3000, b"a\nb\0".to_vec()),
        (0x4000, words(&[8 << 20, u64::MAX])),
    ];
    assert_eq!(
        changed(nr::execve, &[0x1000, 0x2000, 0x2000], Some(0), &memory, &[]),
        r#"execve("/bin/true", ["/bin/true", "a\nb"], 0x2000 /* 2 vars */) = 0"#
    );
    assert_eq!(
        line(nr::clone, &[0x1200011, 0, 0, 0x7f3481c4aa10, 0], Some(26991), &[]),
        "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f3481c4aa10) = 26991"
    );
    assert_eq!(
        line(nr::prlimit64, &[0, 3, 0, 0x4000], Some(0), &memory),
        "prlimit64(0, RLIMIT_STACK, NULL, {rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}) = 0"
    );
    assert_eq!(line(nr::exit_group, &[0], None, &[]), "exit_group(0)                           = ?");
    assert_eq!(
        line(nr::rseq, &[0x7fdb02199060, 0x20, 0, 0x53053053], Some(0), &[]),
        "rseq(0x7fdb02199060, 0x20, 0, 0x53053053) = 0"
    );
    assert_eq!(
        line(nr::getrandom, &[0x5000, 4, 1], Some(4), &[(0x5000, vec![9, 0x22, 0x28, 0xe9])]),
        r#"getrandom("\x09\x22\x28\xe9", 4, GRND_NONBLOCK) = 4"#
    );
    assert_eq!(
        line(1000, &[1, 2, 3, 4, 5, 6], err(38), &[]),
        "syscall_0x3e8(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)"
    );
}

#[test]
fn overtaken_calls_come_in_two_parts() {
    let call = Call::enter(nr::read, [3, 0x1000, 10, 0, 0, 0], &mut reader(&[]));
    assert_eq!(call.head(), "read(3, ");
    let memory = [(0x1000, b"x".to_vec())];
    assert_eq!(call.resumed(Some(1), &mut reader(&memory)), "<... read resumed>\"x\", 10)              = 1");
}

/// Whatever the arguments and the memory, there is a line of bounded length.
#[test]
fn nothing_a_guest_does_is_too_much() {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 20
    };
    for row in crate::X86_64 {
        for round in 0..40u64 {
            let word = |word: u64| match (word + round) % 5 {
                0 => word % 64,
                1 => u64::MAX - word % 9000,
                2 => word % 100_000,
                3 => 1 << (word % 64),
                _ => word,
            };
            let args = std::array::from_fn(|_| word(random()));
            let mut memory = |at: u64, into: &mut [u8]| {
                let limit = if at.is_multiple_of(3) { into.len() } else { into.len() * 2 / 3 };
                into.iter_mut().take(limit).for_each(|byte| *byte = (at >> 3 ^ round) as u8);
                limit
            };
            let call = Call::enter(u64::from(row.nr), args, &mut memory);
            for result in [None, Some(0), Some(word(round << 8)), err(4), err(14)] {
                let line = call.line(result, &mut memory);
                assert!(
                    line.starts_with(row.name) && line.len() < 40_000,
                    "{} bytes: {line:.200}",
                    line.len()
                );
            }
        }
    }
}
