//! Compares the constants and structures with the C headers of the machine, by asking its compiler.
//!
//! Without a compiler there is nothing to compare with, and the tests pass. Constants that the headers do not have
//! (they are older than some) are left out; there must not be many.

use std::{collections::BTreeMap, env, fs, mem::offset_of, path::PathBuf, process::Command};

use linux_abi::{
    capability, event, fcntl, futex, inet, ipc, mount, netlink, prctl, ptrace, resource, sched, sigframe,
    signal, socket, stat, system, termios, time,
};

/// The headers that define a module's constants.
const HEADERS: &[(&str, &[&str])] = &[
    ("auxv", &["elf.h"]),
    ("capability", &["linux/capability.h"]),
    (
        "event",
        &["poll.h", "sys/epoll.h", "sys/eventfd.h", "sys/timerfd.h", "sys/signalfd.h", "sys/inotify.h"],
    ),
    (
        "fcntl",
        &[
            "fcntl.h",
            "sys/file.h",
            "unistd.h",
            "stdio.h",
            "linux/openat2.h",
            "linux/fcntl.h",
            "linux/falloc.h",
            "sys/uio.h",
            "linux/close_range.h",
        ],
    ),
    ("futex", &["linux/futex.h"]),
    (
        "inet",
        &["netinet/in.h", "netinet/tcp.h", "netinet/udp.h", "net/if.h", "linux/errqueue.h", "net/if_arp.h"],
    ),
    ("ioctl", &["sys/ioctl.h", "linux/fs.h", "linux/sockios.h", "linux/if_tun.h", "linux/random.h"]),
    ("ipc", &["sys/ipc.h", "sys/shm.h", "sys/sem.h", "sys/msg.h"]),
    ("mman", &["sys/mman.h", "linux/memfd.h", "linux/mman.h"]),
    ("mount", &["sys/mount.h", "linux/mount.h", "sys/xattr.h", "linux/limits.h"]),
    (
        "netlink",
        &[
            "sys/socket.h",
            "linux/netlink.h",
            "linux/rtnetlink.h",
            "linux/if_link.h",
            "linux/if_addr.h",
            "linux/neighbour.h",
        ],
    ),
    ("prctl", &["sys/prctl.h", "asm/prctl.h", "linux/seccomp.h", "linux/securebits.h", "linux/audit.h"]),
    ("ptrace", &["sys/ptrace.h"]),
    ("resource", &["sys/resource.h"]),
    ("sched", &["sched.h", "linux/sched.h", "linux/ioprio.h", "linux/membarrier.h", "sys/resource.h"]),
    ("sigframe", &["asm/signal.h", "asm/sigcontext.h", "asm/ucontext.h"]),
    ("signal", &["signal.h"]),
    ("socket", &["sys/socket.h", "asm/socket.h"]),
    ("stat", &["sys/stat.h", "dirent.h", "linux/stat.h", "linux/magic.h", "sys/statvfs.h"]),
    ("system", &["sys/personality.h", "sys/random.h", "linux/rseq.h", "linux/kcmp.h"]),
    ("termios", &["asm/termbits.h"]),
    ("time", &["time.h", "signal.h", "sys/time.h", "sys/timex.h"]),
    ("wait", &["fcntl.h", "sys/wait.h", "linux/wait.h", "linux/pidfd.h"]),
];

/// Names that mean something else in the headers of a C library than in the kernel.
const DIFFERENT: &[&str] = &[
    // C libraries keep the first real-time signals, and round stacks up.
    "SIGRTMIN",
    "SIGRTMAX",
    "NSIG",
    "MINSIGSTKSZ",
    // 0 for programs that are 64-bit anyway.
    "O_LARGEFILE",
    // The kernel's own limits, of which the headers have old values.
    "SEMMNI",
    "SEMMSL",
    "MSGMNI",
    "AF_MAX",
    "AT_HANDLE_MNT_ID_UNIQUE",
];

/// Runs a C program and returns what it prints; `None` without a compiler, an error with its complaints.
fn run_c(name: &str, source: &str) -> Option<Result<String, String>> {
    let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (file, program) = (base.with_extension("c"), base.with_extension("bin"));
    fs::write(&file, source).expect("the directory for temporary files can be written");
    let compiled = Command::new("cc").arg("-w").arg("-o").arg(&program).arg(&file).output().ok()?;
    if !compiled.status.success() {
        return Some(Err(String::from_utf8_lossy(&compiled.stderr).into_owned()));
    }
    let output = Command::new(&program).output().expect("what was compiled can be run");
    Some(Ok(String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn preamble(headers: &[&str]) -> String {
    // The C library's fcntl.h and the kernel's define the same structures.
    let mut source = String::from(
        "#define _GNU_SOURCE\n#define _ASM_GENERIC_FCNTL_H\n#define F_LINUX_SPECIFIC_BASE 1024\n",
    );
    for header in headers {
        source += &format!("#if __has_include(<{header}>)\n#include <{header}>\n#endif\n");
    }
    source + "int printf(const char *, ...);\nint main(void) {\n"
}

/// The value of a literal as it is written here, cut to its type.
fn literal(ty: &str, text: &str) -> Option<u64> {
    let (inverted, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let digits = text.replace('_', "");
    let value = match digits.get(..2) {
        Some("0x") => u64::from_str_radix(&digits[2..], 16),
        Some("0o") => u64::from_str_radix(&digits[2..], 8),
        _ => digits.parse(),
    };
    let value = value.ok()?;
    let value = if negative { value.wrapping_neg() } else { value };
    Some((if inverted { !value } else { value }) & mask(ty))
}

fn mask(ty: &str) -> u64 {
    match ty {
        "u8" | "i8" => 0xff,
        "u16" | "i16" => 0xffff,
        "u32" | "i32" => 0xffff_ffff,
        _ => u64::MAX,
    }
}

#[test]
fn constants_have_the_values_of_the_headers() {
    let (mut compared, mut unknown, mut wrong) = (0, Vec::new(), Vec::new());
    for (module, headers) in HEADERS {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src").join(module).with_extension("rs");
        let source = fs::read_to_string(file).expect("every module listed has a file");
        let mut constants = BTreeMap::new();
        for line in source.lines().filter_map(|line| line.strip_prefix("pub const ")) {
            let Some((name, rest)) = line.split_once(": ") else { continue };
            let Some((ty, value)) = rest.trim_end_matches(';').split_once(" = ") else { continue };
            if let Some(value) = literal(ty, value).filter(|_| !DIFFERENT.contains(&name)) {
                constants.insert(name, (ty, value));
            }
        }
        let mut asked: Vec<&str> = constants.keys().copied().collect();
        let output = loop {
            let before: Vec<String> = preamble(headers).lines().map(str::to_owned).collect();
            let mut program = before.join("\n") + "\n";
            for name in &asked {
                program += &format!("printf(\"{name} %llu\\n\", (unsigned long long)({name}));\n");
            }
            match run_c(module, &(program + "return 0; }\n")) {
                None => return,
                Some(Ok(output)) => break output,
                Some(Err(complaints)) => {
                    // A name that the headers do not have: ask again without it.
                    let lines = complaints.lines().filter(|line| line.contains(" error: "));
                    let mut bad: Vec<usize> = lines
                        .filter_map(|line| line.split(".c:").nth(1)?.split(':').next()?.parse::<usize>().ok())
                        .filter_map(|line| line.checked_sub(before.len() + 1))
                        .filter(|&index| index < asked.len())
                        .collect();
                    bad.sort_unstable();
                    bad.dedup();
                    assert!(!bad.is_empty(), "{module}: {complaints}");
                    for index in bad.into_iter().rev() {
                        unknown.push(asked.remove(index).to_owned());
                    }
                }
            }
        };
        for line in output.lines() {
            let (name, value) = line.split_once(' ').expect("the program prints a name and a value");
            let (ty, ours) = constants[name];
            let theirs = value.parse::<u64>().expect("the program prints numbers") & mask(ty);
            compared += 1;
            if ours != theirs {
                wrong.push(format!("{module}::{name} is {ours:#x}, the headers say {theirs:#x}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 1200, "only {compared} constants were compared");
    assert!(unknown.len() < 120, "{} constants are not in the headers: {unknown:?}", unknown.len());
}

/// A structure's size and fields' offsets here, and the C expressions that must be equal to them.
struct Layout {
    headers: &'static [&'static str],
    name: &'static str,
    numbers: Vec<(String, usize)>,
}

macro_rules! layouts {
    ($($headers:expr => $c:literal: $ours:path { $($field:ident $(= $c_field:literal)?),* $(,)? })*) => {
        vec![$({
            let mut numbers = vec![(format!("sizeof({})", $c), size_of::<$ours>())];
            $(
                let c_field = [$($c_field,)? stringify!($field)][0];
                numbers.push((format!("__builtin_offsetof({}, {c_field})", $c), offset_of!($ours, $field)));
            )*
            Layout { headers: &$headers, name: $c, numbers }
        }),*]
    };
}

#[test]
fn structures_have_the_layout_of_the_headers() {
    let layouts = layouts! {
        ["asm/stat.h"] => "struct stat": stat::Stat {
            st_dev, st_ino, st_nlink, st_mode, st_uid, st_gid, st_rdev, st_size, st_blksize, st_blocks, st_atime,
            st_atime_nsec, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec
        }
        ["linux/stat.h"] => "struct statx": stat::Statx {
            stx_mask, stx_blksize, stx_attributes, stx_nlink, stx_uid, stx_gid, stx_mode, stx_ino, stx_size, stx_blocks,
            stx_attributes_mask, stx_atime, stx_btime, stx_ctime, stx_mtime, stx_rdev_major, stx_rdev_minor,
            stx_dev_major, stx_dev_minor, stx_mnt_id, stx_dio_mem_align, stx_dio_offset_align
        }
        ["asm/statfs.h"] => "struct statfs": stat::Statfs {
            f_type, f_bsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_fsid, f_namelen, f_frsize, f_flags
        }
        ["fcntl.h"] => "struct flock": fcntl::Flock { l_type, l_whence, l_start, l_len, l_pid }
        ["fcntl.h"] => "struct f_owner_ex": fcntl::FOwnerEx { pid }
        ["linux/openat2.h"] => "struct open_how": fcntl::OpenHow { flags, mode, resolve }
        ["sys/uio.h"] => "struct iovec": fcntl::Iovec { iov_base, iov_len }
        ["linux/mount.h"] => "struct mount_attr": mount::MountAttr { attr_set, attr_clr, propagation, userns_fd }
        ["linux/sched.h"] => "struct clone_args": sched::CloneArgs {
            flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
        }
        ["sched.h"] => "struct sched_param": sched::SchedParam { sched_priority }
        ["asm/signal.h"] => "struct sigaction": signal::SigAction { sa_handler, sa_flags, sa_restorer, sa_mask }
        ["signal.h"] => "stack_t": signal::StackT { ss_sp, ss_flags, ss_size }
        ["signal.h"] => "siginfo_t": signal::SigInfo { si_signo, si_errno, si_code, _sifields = "si_pid" }
        ["signal.h"] => "struct sigevent": time::Sigevent {
            value = "sigev_value", signo = "sigev_signo", notify = "sigev_notify", tid = "_sigev_un._tid"
        }
        ["sys/signalfd.h"] => "struct signalfd_siginfo": event::SignalfdSiginfo {
            signo = "ssi_signo", code = "ssi_code", pid = "ssi_pid", tid = "ssi_tid", overrun = "ssi_overrun",
            status = "ssi_status", int = "ssi_int", ptr = "ssi_ptr", utime = "ssi_utime", addr = "ssi_addr",
            addr_lsb = "ssi_addr_lsb", call_addr = "ssi_call_addr", arch = "ssi_arch"
        }
        ["asm/sigcontext.h"] => "struct sigcontext": sigframe::Sigcontext {
            r8, r15, di = "rdi", si = "rsi", bp = "rbp", bx = "rbx", dx = "rdx", ax = "rax", cx = "rcx", sp = "rsp",
            ip = "rip", flags = "eflags", cs, ss = "__pad0", err, trapno, oldmask, cr2, fpstate, reserved1
        }
        ["asm/sigcontext.h"] => "struct _fpstate_64": sigframe::Fpstate {
            cwd, swd, twd, fop, rip, rdp, mxcsr, mxcsr_mask, st_space, xmm_space, sw_reserved
        }
        ["asm/sigcontext.h"] => "struct _fpx_sw_bytes": sigframe::FpxSwBytes {
            magic1, extended_size, xfeatures, xstate_size
        }
        ["asm/sigcontext.h"] => "struct _header": sigframe::XstateHeader { xfeatures }
        ["poll.h"] => "struct pollfd": event::PollFd { fd, events, revents }
        ["sys/epoll.h"] => "struct epoll_event": event::EpollEvent { events, data }
        ["sys/inotify.h"] => "struct inotify_event": event::InotifyEvent { wd, mask, cookie, len }
        ["linux/futex.h"] => "struct robust_list_head": futex::RobustListHead {
            next = "list", futex_offset, pending = "list_op_pending"
        }
        ["linux/futex.h"] => "struct futex_waitv": futex::FutexWaitv { val, uaddr, flags }
        ["linux/filter.h"] => "struct sock_fprog": prctl::SockFprog { len, filter }
        ["linux/filter.h"] => "struct sock_filter": prctl::SockFilter { code, jt, jf, k }
        ["linux/seccomp.h"] => "struct seccomp_data": prctl::SeccompData { nr, arch, instruction_pointer, args }
        ["sys/prctl.h"] => "struct prctl_mm_map": prctl::PrctlMmMap { start_code, brk, arg_start, auxv, auxv_size, exe_fd }
        ["sys/resource.h"] => "struct rlimit": resource::Rlimit { rlim_cur, rlim_max }
        ["sys/resource.h"] => "struct rusage": resource::Rusage {
            ru_utime, ru_stime, ru_maxrss, ru_minflt, ru_majflt, ru_inblock, ru_oublock, ru_nvcsw, ru_nivcsw
        }
        ["time.h"] => "struct timespec": time::Timespec { sec = "tv_sec", nsec = "tv_nsec" }
        ["sys/time.h"] => "struct timeval": time::Timeval { sec = "tv_sec", usec = "tv_usec" }
        ["time.h"] => "struct itimerspec": time::Itimerspec { interval = "it_interval", value = "it_value" }
        ["sys/time.h"] => "struct itimerval": time::Itimerval { interval = "it_interval", value = "it_value" }
        ["utime.h"] => "struct utimbuf": time::Utimbuf { actime, modtime }
        ["sys/times.h"] => "struct tms": time::Tms { utime = "tms_utime", cstime = "tms_cstime" }
        ["sys/timex.h"] => "struct timex": time::Timex {
            modes, offset, freq, maxerror, esterror, status, constant, precision, tolerance, time, tick, ppsfreq,
            jitter, shift, stabil, jitcnt, calcnt, errcnt, stbcnt, tai
        }
        ["linux/capability.h"] => "struct __user_cap_header_struct": capability::UserCapHeader { version, pid }
        ["linux/capability.h"] => "struct __user_cap_data_struct": capability::UserCapData {
            effective, permitted, inheritable
        }
        ["linux/capability.h"] => "struct vfs_ns_cap_data": capability::VfsCapData { magic_etc, data, rootid }
        ["sys/utsname.h"] => "struct utsname": system::Utsname { sysname, nodename, release, version, machine }
        ["sys/sysinfo.h"] => "struct sysinfo": system::Sysinfo {
            uptime, loads, totalram, freeram, sharedram, bufferram, totalswap, freeswap, procs, totalhigh, freehigh,
            mem_unit
        }
        ["linux/rseq.h"] => "struct rseq_cs": system::RseqCs { version, flags, start_ip, post_commit_offset, abort_ip }
        ["sys/ipc.h"] => "struct ipc_perm": ipc::IpcPerm { key = "__key", uid, gid, cuid, cgid, mode, seq = "__seq" }
        ["sys/shm.h"] => "struct shmid_ds": ipc::ShmidDs {
            shm_perm, shm_segsz, shm_atime, shm_dtime, shm_ctime, shm_cpid, shm_lpid, shm_nattch
        }
        ["sys/shm.h"] => "struct shminfo": ipc::Shminfo { shmmax, shmmin, shmmni, shmseg, shmall }
        ["sys/shm.h"] => "struct shm_info": ipc::ShmInfo { used_ids, shm_tot, shm_rss, shm_swp, swap_attempts }
        ["sys/sem.h"] => "struct semid_ds": ipc::SemidDs { sem_perm, sem_otime, sem_ctime, sem_nsems }
        ["sys/sem.h"] => "struct sembuf": ipc::Sembuf { sem_num, sem_op, sem_flg }
        ["sys/sem.h"] => "struct seminfo": ipc::Seminfo { semmap, semmni, semvmx, semaem }
        ["sys/msg.h"] => "struct msqid_ds": ipc::MsqidDs {
            msg_perm, msg_stime, msg_rtime, msg_ctime, msg_cbytes = "__msg_cbytes", msg_qnum, msg_qbytes, msg_lspid,
            msg_lrpid
        }
        ["sys/msg.h"] => "struct msginfo": ipc::Msginfo { msgpool, msgmax, msgmnb, msgmni, msgtql, msgseg }
        ["linux/mqueue.h"] => "struct mq_attr": ipc::MqAttr { mq_flags, mq_maxmsg, mq_msgsize, mq_curmsgs }
        ["sys/user.h"] => "struct user_regs_struct": ptrace::UserRegs {
            r15, rbp, rax, rdi, orig_rax, rip, eflags, rsp, ss, fs_base, gs_base, gs
        }
        ["asm/termbits.h"] => "struct termios": termios::Termios { c_iflag, c_lflag, c_line, c_cc }
        ["asm/termbits.h"] => "struct termios2": termios::Termios2 { c_iflag, c_line, c_cc, c_ispeed, c_ospeed }
        ["sys/ioctl.h"] => "struct winsize": termios::Winsize { ws_row, ws_col, ws_xpixel, ws_ypixel }
        ["sys/un.h"] => "struct sockaddr_un": socket::SockaddrUn { sun_family, sun_path }
        ["sys/socket.h"] => "struct msghdr": socket::Msghdr {
            msg_name, msg_namelen, msg_iov, msg_iovlen, msg_control, msg_controllen, msg_flags
        }
        ["sys/socket.h"] => "struct mmsghdr": socket::Mmsghdr { msg_hdr, msg_len }
        ["sys/socket.h"] => "struct cmsghdr": socket::Cmsghdr { cmsg_len, cmsg_level, cmsg_type }
        ["sys/socket.h"] => "struct ucred": socket::Ucred { pid, uid, gid }
        ["sys/socket.h"] => "struct linger": socket::Linger { l_onoff, l_linger }
        ["netinet/in.h"] => "struct sockaddr_in": inet::SockaddrIn { sin_family, sin_port, sin_addr }
        ["netinet/in.h"] => "struct sockaddr_in6": inet::SockaddrIn6 {
            sin6_family, sin6_port, sin6_flowinfo, sin6_addr, sin6_scope_id
        }
        ["netpacket/packet.h"] => "struct sockaddr_ll": inet::SockaddrLl {
            sll_family, sll_protocol, sll_ifindex, sll_hatype, sll_pkttype, sll_halen, sll_addr
        }
        ["netinet/in.h"] => "struct ip_mreq": inet::IpMreq { imr_multiaddr, imr_interface }
        ["netinet/in.h"] => "struct ip_mreqn": inet::IpMreqn { imr_multiaddr, imr_address, imr_ifindex }
        ["netinet/in.h"] => "struct ipv6_mreq": inet::Ipv6Mreq { ipv6mr_multiaddr, ipv6mr_interface }
        ["netinet/in.h"] => "struct in_pktinfo": inet::InPktinfo { ipi_ifindex, ipi_spec_dst, ipi_addr }
        ["netinet/in.h"] => "struct in6_pktinfo": inet::In6Pktinfo { ipi6_addr, ipi6_ifindex }
        ["netinet/in.h"] => "struct ip6_mtuinfo": inet::Ip6Mtuinfo { ip6m_addr, ip6m_mtu }
        ["time.h", "linux/errqueue.h"] => "struct sock_extended_err": inet::SockExtendedErr {
            ee_errno, ee_origin, ee_type, ee_code, ee_info, ee_data
        }
        ["netinet/tcp.h"] => "struct tcp_info": inet::TcpInfo {
            tcpi_state, tcpi_options, tcpi_rto, tcpi_unacked, tcpi_last_data_sent, tcpi_pmtu, tcpi_rtt, tcpi_snd_cwnd,
            tcpi_rcv_space, tcpi_total_retrans
        }
        ["net/if.h"] => "struct ifreq": inet::Ifreq { ifr_name = "ifr_ifrn", ifr_ifru }
        ["net/if.h"] => "struct ifconf": inet::Ifconf { ifc_len, ifc_buf = "ifc_ifcu" }
        ["linux/netlink.h"] => "struct sockaddr_nl": netlink::SockaddrNl { nl_family, nl_pid, nl_groups }
        ["linux/netlink.h"] => "struct nlmsghdr": netlink::Nlmsghdr {
            nlmsg_len, nlmsg_type, nlmsg_flags, nlmsg_seq, nlmsg_pid
        }
        ["linux/netlink.h"] => "struct nlmsgerr": netlink::Nlmsgerr { error, msg }
        ["linux/rtnetlink.h"] => "struct rtattr": netlink::Rtattr { rta_len, rta_type }
        ["linux/rtnetlink.h"] => "struct rtgenmsg": netlink::Rtgenmsg { rtgen_family }
        ["linux/rtnetlink.h"] => "struct ifinfomsg": netlink::Ifinfomsg {
            ifi_family, ifi_type, ifi_index, ifi_flags, ifi_change
        }
        ["linux/if_addr.h"] => "struct ifaddrmsg": netlink::Ifaddrmsg {
            ifa_family, ifa_prefixlen, ifa_flags, ifa_scope, ifa_index
        }
        ["linux/rtnetlink.h"] => "struct rtmsg": netlink::Rtmsg {
            rtm_family, rtm_dst_len, rtm_table, rtm_protocol, rtm_scope, rtm_type, rtm_flags
        }
        ["linux/neighbour.h"] => "struct ndmsg": netlink::Ndmsg { ndm_family, ndm_ifindex, ndm_state, ndm_flags, ndm_type }
    };
    let mut wrong = Vec::new();
    for (number, Layout { headers, name, numbers }) in layouts.iter().enumerate() {
        let mut program = preamble(headers);
        for (expression, _) in numbers {
            program += &format!("printf(\"%llu\\n\", (unsigned long long){expression});\n");
        }
        let output = match run_c(&format!("layout{number}"), &(program + "return 0; }\n")) {
            None => return,
            Some(output) => output.unwrap_or_else(|complaints| panic!("{name}: {complaints}")),
        };
        assert_eq!(output.lines().count(), numbers.len());
        for (theirs, (expression, ours)) in output.lines().zip(numbers) {
            if theirs.parse() != Ok(*ours) {
                wrong.push(format!("{expression} is {theirs}, here {ours}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The parts of a signal frame that no header describes as a whole.
#[test]
fn signal_frames_have_their_parts_in_place() {
    assert_eq!(size_of::<sigframe::Ucontext>(), 304);
    assert_eq!(offset_of!(sigframe::Ucontext, uc_mcontext), 40);
    assert_eq!(offset_of!(sigframe::Ucontext, uc_sigmask), 296);
    assert_eq!(offset_of!(sigframe::RtSigframe, info), 312);
    assert_eq!(size_of::<sigframe::RtSigframe>(), 440);
    // struct rseq, of which the headers say only how it is aligned.
    assert_eq!(offset_of!(system::Rseq, rseq_cs), 8);
    assert_eq!(size_of::<system::Rseq>(), 32);
}

#[test]
fn signal_information_holds_what_it_is_given() {
    let child =
        signal::SigInfoChild { si_pid: 7, si_uid: 8, si_status: 9, _pad: 0, si_utime: 10, si_stime: 11 };
    let info = signal::SigInfo::new(signal::SIGCHLD, signal::CLD_EXITED, child);
    assert_eq!((info.si_signo, info.si_code), (17, 1));
    assert_eq!(info.fields::<signal::SigInfoChild>(), child);
    assert_eq!(info.fields::<signal::SigInfoKill>(), signal::SigInfoKill { si_pid: 7, si_uid: 8 });
}

#[test]
fn device_numbers_come_apart_as_they_went_together() {
    for (major, minor) in [(1, 3), (136, 0), (8, 300), (0xfff, 0xfffff), (5, 2)] {
        let dev = stat::makedev(major, minor);
        assert_eq!((stat::major(dev), stat::minor(dev)), (major, minor));
    }
    assert_eq!(stat::makedev(8, 300), 0x10082c);
}
