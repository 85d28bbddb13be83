/* What fits nowhere else: uname, sysinfo, random numbers, scheduling, priorities, unknown calls, bad pointers. */
#include "check.h"
#include <linux/reboot.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>

TEST(uname_fields)
{
	struct utsname u;
	int major = 0, minor = 0;
	CHECK_OK(uname(&u));
	CHECK_STR(u.sysname, "Linux");
	CHECK_STR(u.machine, "x86_64");
	CHECK_EQ(sscanf(u.release, "%d.%d", &major, &minor), 2);
	CHECK_GE(major, 4);
	CHECK_GT(strlen(u.nodename), 0);
	CHECK_GT(strlen(u.version), 0);
	char host[65];
	CHECK_OK(gethostname(host, sizeof host));
	CHECK_STR(host, u.nodename);
}

TEST(sethostname_needs_privilege)
{
	CHILD {
		become_user();
		CHECK_ERRNO(sethostname("x", 1), EPERM);
		CHECK_ERRNO(setdomainname("x", 1), EPERM);
	} CHILD_END;
}

TEST(sysinfo_values)
{
	struct sysinfo s;
	struct timespec t;
	CHECK_OK(sysinfo(&s));
	CHECK_OK(clock_gettime(CLOCK_BOOTTIME, &t));
	CHECK_LE(llabs(s.uptime - t.tv_sec), 2);
	CHECK_GT(s.totalram, 0);
	CHECK_LE(s.freeram, s.totalram);
	CHECK_GE(s.procs, 1);
	CHECK_GE(s.mem_unit, 1);
}

TEST(getrandom_rules)
{
	unsigned char a[32] = {0}, b[32] = {0}, big[300];
	CHECK_EQ(getrandom(a, 32, 0), 32);
	CHECK_EQ(getrandom(b, 32, 0), 32);
	CHECK(memcmp(a, b, 32) != 0);
	CHECK_EQ(getrandom(big, sizeof big, GRND_NONBLOCK), sizeof big);
	CHECK_EQ(getrandom(a, 32, GRND_RANDOM), 32);
	CHECK_EQ(getrandom(a, 0, 0), 0);
	CHECK_ERRNO(getrandom(a, 32, 0x80), EINVAL);
	CHECK_ERRNO(getrandom(a, 32, GRND_RANDOM | GRND_INSECURE), EINVAL);
	CHECK_ERRNO(getrandom(BAD, 32, 0), EFAULT);
}

/* ---- scheduling ---- */

TEST(affinity_rules)
{
	cpu_set_t s, none;
	CHECK_OK(sched_getaffinity(0, sizeof s, &s));
	CHECK_GE(CPU_COUNT(&s), 1);
	CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN) > 0, 1);
	CPU_ZERO(&none);
	CHECK_ERRNO(sched_setaffinity(0, sizeof none, &none), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 4, &s), EINVAL); /* not a multiple of a word */
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0x3ffffff, sizeof s, &s), ESRCH);
	CHECK_ERRNO(syscall(SYS_sched_setaffinity, 0, 8, BAD), EFAULT);
	long n = CHECK_OK(syscall(SYS_sched_getaffinity, 0, sizeof s, &s)); /* the raw call tells the size of the kernel's mask */
	CHECK_EQ(n % 8, 0);
	CHECK_OK(sched_setaffinity(0, sizeof s, &s));
}

TEST(affinity_over_fork_and_exec)
{
	cpu_set_t s, one;
	CHECK_OK(sched_getaffinity(0, sizeof s, &s));
	CPU_ZERO(&one);
	for (int i = CPU_SETSIZE - 1; i >= 0; i--)
		if (CPU_ISSET(i, &s)) {
			CPU_SET(i, &one);
			break;
		}
	CHECK_OK(sched_setaffinity(0, sizeof one, &one));
	pid_t pid = xfork();
	if (pid == 0) {
		execl(self_exe, "x", "@cpus", NULL);
		_exit(99);
	}
	CHECK_EQ(wait_exit(pid), 1);
}

HELPER(cpus)
{
	cpu_set_t s;
	return sched_getaffinity(0, sizeof s, &s) < 0 ? 98 : CPU_COUNT(&s);
}

TEST(getcpu_values)
{
	unsigned cpu = 99999, node = 99999;
	cpu_set_t s;
	CHECK_OK(sched_getaffinity(0, sizeof s, &s));
	CHECK_OK(syscall(SYS_getcpu, &cpu, &node, NULL));
	CHECK(CPU_ISSET(cpu, &s));
	CHECK_LT(node, 1024);
	CHECK_OK(syscall(SYS_getcpu, NULL, NULL, NULL));
	CHECK_ERRNO(syscall(SYS_getcpu, BAD, NULL, NULL), EFAULT);
}

TEST(scheduler_policies)
{
	struct sched_param p = {0};
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	CHECK_OK(sched_getparam(0, &p));
	CHECK_EQ(p.sched_priority, 0);
	CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
	CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
	CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
	CHECK_ERRNO(sched_get_priority_max(77), EINVAL);
	CHECK_ERRNO(sched_getscheduler(0x3ffffff), ESRCH);
	CHECK_ERRNO(sched_getscheduler(-1), EINVAL);
	p.sched_priority = 5;
	CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
	p.sched_priority = 0;
	CHECK_ERRNO(sched_setscheduler(0, SCHED_FIFO, &p), EINVAL);
	CHECK_ERRNO(sched_setscheduler(0, 77, &p), EINVAL);
	CHECK_OK(sched_setscheduler(0, SCHED_BATCH, &p));
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	CHECK_OK(sched_yield());
	CHILD {
		struct rlimit none = {0, 0};
		become_user();
		CHECK_OK(setrlimit(RLIMIT_RTPRIO, &none));
		p.sched_priority = 5;
		CHECK_ERRNO(sched_setscheduler(0, SCHED_FIFO, &p), EPERM);
	} CHILD_END;
}

TEST(priorities)
{
	int start = getpriority(PRIO_PROCESS, 0), more = start < 15 ? start + 4 : 19;
	CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 20 - start); /* the raw call never answers below 1 */
	CHECK_OK(setpriority(PRIO_PROCESS, 0, more));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), more);
	CHECK_OK(setpriority(PRIO_PROCESS, 0, 100));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
	CHECK_ERRNO(getpriority(99, 0), EINVAL);
	CHECK_ERRNO(getpriority(PRIO_PROCESS, 0x3ffffff), ESRCH);
	CHECK_ERRNO(setpriority(PRIO_PROCESS, 0x3ffffff, 0), ESRCH);
	CHILD {
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
	} CHILD_END;
}

TEST(raising_priority_needs_privilege)
{
	CHILD {
		struct rlimit none = {0, 0};
		become_user();
		int start = getpriority(PRIO_PROCESS, 0);
		CHECK_OK(setrlimit(RLIMIT_NICE, &none));
		CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, start - 5), EACCES);
		CHECK_ERRNO(nice(-1), EPERM);
		CHECK_EQ(nice(3), start + 3 > 19 ? 19 : start + 3);
	} CHILD_END;
}

TEST(times_and_getrusage)
{
	struct tms t;
	struct rusage r;
	CHECK_OK(times(&t));
	CHECK_OK(syscall(SYS_times, NULL));
	CHECK_ERRNO(syscall(SYS_times, BAD), EFAULT);
	CHECK_OK(getrusage(RUSAGE_SELF, &r));
	CHECK_GT(r.ru_maxrss, 0);
	CHECK_OK(getrusage(RUSAGE_THREAD, &r));
	CHECK_OK(getrusage(RUSAGE_CHILDREN, &r));
	CHECK_ERRNO(getrusage(77, &r), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrusage, RUSAGE_SELF, BAD), EFAULT);
}

TEST(personality_round_trip)
{
	int was = CHECK_OK(personality(0xffffffff));
	CHECK_EQ(personality(was | ADDR_NO_RANDOMIZE), was);
	CHECK_EQ(personality(0xffffffff), was | ADDR_NO_RANDOMIZE);
	CHILD {
		CHECK_EQ(personality(0xffffffff), was | ADDR_NO_RANDOMIZE);
	} CHILD_END;
}

TEST(syslog_and_reboot_need_privilege)
{
	char buf[64];
	CHILD {
		become_user();
		CHECK_ERRNO(klogctl(5, buf, sizeof buf), EPERM);
		CHECK_ERRNO(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL), EPERM);
		CHECK_ERRNO(syscall(SYS_swapon, "x", 0), EPERM);
		CHECK_ERRNO(syscall(SYS_mount, "none", ".", "tmpfs", 0, NULL), EPERM);
		CHECK_ERRNO(syscall(SYS_umount2, "/", 0), EPERM);
		CHECK_ERRNO(syscall(SYS_pivot_root, ".", "."), EPERM);
		CHECK_ERRNO(syscall(SYS_acct, NULL), EPERM);
		CHECK_ERRNO(syscall(SYS_vhangup), EPERM);
	} CHILD_END;
}

TEST(unknown_calls_are_enosys)
{
	long numbers[] = {500, 999, 2000, 100000, -1, 0x7fffffff};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		CHECK_ERRNO(syscall(numbers[i], 1, 2, 3, 4, 5, 6), ENOSYS);
}

TEST(calls_gone_from_linux_are_enosys)
{
	long numbers[] = {SYS_afs_syscall, SYS_tuxcall, SYS_security, SYS_getpmsg, SYS_putpmsg, SYS_vserver, SYS_create_module, SYS_get_kernel_syms, SYS_query_module,
			  SYS_epoll_ctl_old, SYS_epoll_wait_old, SYS_nfsservctl};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		CHECK_ERRNO(syscall(numbers[i], 0, 0, 0, 0, 0, 0), ENOSYS);
}

TEST(upper_half_of_number_is_ignored)
{
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "0"(0x1234567800000000 | SYS_getpid) : "rcx", "r11", "memory");
	CHECK_EQ(ret, getpid());
}

TEST(bad_pointers_are_efault)
{
	struct {
		const char *name;
		long nr, a, b, c, d, e;
	} calls[] = {
		{"read", SYS_read, 3, 8, 10},
		{"write", SYS_write, 4, 8, 10},
		{"open", SYS_open, 8, O_RDONLY},
		{"stat", SYS_stat, 8, 8},
		{"fstat", SYS_fstat, 0, 8},
		{"poll", SYS_poll, 8, 1, 0},
		{"access", SYS_access, 8, 0},
		{"pipe", SYS_pipe, 8},
		{"select", SYS_select, 10, 8, 0, 0, 0},
		{"nanosleep", SYS_nanosleep, 8, 0},
		{"getitimer", SYS_getitimer, 0, 8},
		{"setitimer", SYS_setitimer, 0, 8, 0},
		{"socketpair", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8},
		{"execve", SYS_execve, 8, 0, 0},
		{"uname", SYS_uname, 8},
		{"getcwd", SYS_getcwd, 8, 100},
		{"chdir", SYS_chdir, 8},
		{"rename", SYS_rename, 8, 8},
		{"mkdir", SYS_mkdir, 8, 0},
		{"rmdir", SYS_rmdir, 8},
		{"link", SYS_link, 8, 8},
		{"unlink", SYS_unlink, 8},
		{"symlink", SYS_symlink, 8, 8},
		{"readlink", SYS_readlink, 8, 8, 10},
		{"chmod", SYS_chmod, 8, 0},
		{"chown", SYS_chown, 8, 0, 0},
		{"getrlimit", SYS_getrlimit, 0, 8},
		{"getrusage", SYS_getrusage, 0, 8},
		{"sysinfo", SYS_sysinfo, 8},
		{"times", SYS_times, 8},
		{"rt_sigpending", SYS_rt_sigpending, 8, 8},
		{"rt_sigsuspend", SYS_rt_sigsuspend, 8, 8},
		{"sigaltstack", SYS_sigaltstack, 8, 0},
		{"utime", SYS_utime, 8, 0},
		{"mknod", SYS_mknod, 8, S_IFREG, 0},
		{"statfs", SYS_statfs, 8, 8},
		{"sched_getparam", SYS_sched_getparam, 0, 8},
		{"sched_rr_get_interval", SYS_sched_rr_get_interval, 0, 8},
		{"arch_prctl", SYS_arch_prctl, 0x1003, 8},
		{"time", SYS_time, 8},
		{"futex", SYS_futex, 8, 0, 0, 0, 0},
		{"sched_setaffinity", SYS_sched_setaffinity, 0, 8, 8},
		{"getdents64", SYS_getdents64, 5, 8, 1000},
		{"clock_gettime", SYS_clock_gettime, 0, 8},
		{"clock_getres", SYS_clock_getres, 0, 8},
		{"epoll_ctl", SYS_epoll_ctl, 6, 1, 3, 8},
		{"openat", SYS_openat, AT_FDCWD, 8, 0},
		{"newfstatat", SYS_newfstatat, AT_FDCWD, 8, 8, 0},
		{"ppoll", SYS_ppoll, 8, 1, 0, 0, 0},
		{"utimensat", SYS_utimensat, AT_FDCWD, 8, 0, 0},
		{"pipe2", SYS_pipe2, 8, 0},
		{"prlimit64", SYS_prlimit64, 0, 0, 0, 8},
		{"getrandom", SYS_getrandom, 8, 10, 0},
		{"memfd_create", SYS_memfd_create, 8, 0},
		{"statx", SYS_statx, AT_FDCWD, 8, 0, 0x7ff, 8},
		{"inotify_add_watch", SYS_inotify_add_watch, 7, 8, 2},
		{"setxattr", SYS_setxattr, 8, 8, 8, 1, 0},
		{"getxattr", SYS_getxattr, 8, 8, 8, 1},
		{"readv", SYS_readv, 3, 8, 1},
		{"writev", SYS_writev, 4, 8, 1},
		{"chroot", SYS_chroot, 8},
		{"truncate", SYS_truncate, 8, 0},
		{"timer_create", SYS_timer_create, 0, 0, 8},
		{"fcntl getlk", SYS_fcntl, 5, F_GETLK, 8},
		{"ioctl fionread", SYS_ioctl, 3, 0x541b, 8},
	};
	int p[2];
	CHECK_OK(pipe(p));
	CHECK_EQ(dup2(p[0], 3), 3);
	CHECK_EQ(dup2(p[1], 4), 4);
	CHECK_EQ(write(4, "data to read", 12), 12);
	CHECK_EQ(dup2(CHECK_OK(open(".", O_RDONLY)), 5), 5);
	CHECK_EQ(dup2(CHECK_OK(epoll_create1(0)), 6), 6);
	CHECK_EQ(dup2(CHECK_OK(syscall(SYS_inotify_init1, 0)), 7), 7);
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		errno = 0;
		long r = syscall(calls[i].nr, calls[i].a, calls[i].b, calls[i].c, calls[i].d, calls[i].e, 0);
		if (r != -1 || errno != EFAULT)
			FAIL("%s with a bad pointer got %ld %s want -1 EFAULT", calls[i].name, r, errname(errno));
	}
}

TEST(kernel_pointers_are_efault)
{
	char *kernel = (char *)0xffff888000000000, *edge = (char *)0x7fffffffffff;
	int p[2];
	CHECK_OK(pipe(p));
	CHECK_ERRNO(syscall(SYS_write, p[1], kernel, 10), EFAULT);
	CHECK_ERRNO(syscall(SYS_write, p[1], edge, 10), EFAULT);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_ERRNO(syscall(SYS_read, p[0], kernel, 1), EFAULT);
	CHECK_ERRNO(syscall(SYS_open, kernel, O_RDONLY), EFAULT);
	CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, kernel), EFAULT);
}

TEST(string_at_the_end_of_a_mapping)
{
	char *m = CHECK_OK((char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK_OK(munmap(m + 4096, 4096));
	memcpy(m + 4096 - 5, "/tmp", 5);
	CHECK_OK(access(m + 4096 - 5, F_OK));
	m[4095] = 'x'; /* no terminating 0 any more */
	CHECK_ERRNO(access(m + 4096 - 5, F_OK), EFAULT);
}

/* ---- System V IPC ---- */

TEST(shared_memory)
{
	int id = shmget(IPC_PRIVATE, 8192, 0600);
	if (id < 0 && errno == ENOSYS)
		SKIP("no System V IPC");
	CHECK_OK(id);
	char *a = CHECK_OK((char *)shmat(id, NULL, 0)), *b = CHECK_OK((char *)shmat(id, NULL, SHM_RDONLY));
	CHECK_NE(a, b);
	a[5000] = 'x';
	CHECK_EQ(b[5000], 'x');
	CHILD {
		a[1] = 'c';
	} CHILD_END;
	CHECK_EQ(a[1], 'c');
	struct shmid_ds ds;
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_segsz, 8192);
	CHECK_EQ(ds.shm_nattch, 2);
	CHECK_EQ(ds.shm_cpid, getpid());
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_EQ(a[1], 'c'); /* lives while attached */
	CHECK_OK(shmdt(a));
	CHECK_OK(shmdt(b));
	CHECK_ERRNO(shmdt(b), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
}

TEST(semaphore_sets)
{
	int id = semget(IPC_PRIVATE, 2, 0600);
	if (id < 0 && errno == ENOSYS)
		SKIP("no System V IPC");
	CHECK_OK(id);
	struct sembuf up = {0, 2, 0}, down = {0, -1, IPC_NOWAIT}, wait_zero = {0, 0, IPC_NOWAIT};
	CHECK_OK(semctl(id, 0, SETVAL, 1));
	CHECK_OK(semop(id, &up, 1));
	CHECK_EQ(semctl(id, 0, GETVAL), 3);
	CHECK_ERRNO(semop(id, &wait_zero, 1), EAGAIN);
	for (int i = 0; i < 3; i++)
		CHECK_OK(semop(id, &down, 1));
	CHECK_ERRNO(semop(id, &down, 1), EAGAIN);
	CHECK_OK(semop(id, &wait_zero, 1));
	pid_t pid = xfork();
	if (pid == 0) {
		struct sembuf block = {1, -1, 0};
		_exit(semop(id, &block, 1) < 0);
	}
	wait_asleep(pid);
	CHECK_EQ(semctl(id, 1, GETNCNT), 1);
	up = (struct sembuf){1, 1, 0};
	CHECK_OK(semop(id, &up, 1));
	CHECK_EQ(wait_exit(pid), 0);
	pid = xfork();
	if (pid == 0) {
		struct sembuf undo = {0, 5, SEM_UNDO};
		_exit(semop(id, &undo, 1) < 0);
	}
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(semctl(id, 0, GETVAL), 0);
	CHECK_OK(semctl(id, 0, IPC_RMID));
	CHECK_ERRNO(semop(id, &up, 1), EINVAL);
}

struct message {
	long type;
	char text[16];
};

TEST(message_queues)
{
	int id = msgget(IPC_PRIVATE, 0600);
	if (id < 0 && errno == ENOSYS)
		SKIP("no System V IPC");
	CHECK_OK(id);
	struct message m = {3, "three"}, n = {1, "one"}, got;
	CHECK_OK(msgsnd(id, &m, 6, 0));
	CHECK_OK(msgsnd(id, &n, 4, 0));
	CHECK_EQ(msgrcv(id, &got, sizeof got.text, 1, 0), 4);
	CHECK_STR(got.text, "one");
	CHECK_ERRNO(msgrcv(id, &got, sizeof got.text, 1, IPC_NOWAIT), ENOMSG);
	CHECK_ERRNO(msgrcv(id, &got, 2, 0, 0), E2BIG);
	CHECK_EQ(msgrcv(id, &got, 2, 0, MSG_NOERROR), 2);
	m.type = 0;
	CHECK_ERRNO(msgsnd(id, &m, 6, 0), EINVAL);
	CHECK_OK(msgctl(id, IPC_RMID, NULL));
	CHECK_ERRNO(msgsnd(id, &n, 4, 0), EINVAL);
}

TEST(vdso_and_raw_time_agree)
{
	struct timeval a, b;
	CHECK_OK(gettimeofday(&a, NULL));
	CHECK_OK(syscall(SYS_gettimeofday, &b, NULL));
	CHECK_GE(b.tv_sec * 1000000L + b.tv_usec, a.tv_sec * 1000000L + a.tv_usec);
	CHECK_LE(b.tv_sec - a.tv_sec, 5);
}

TEST(cpuid_and_tsc_work)
{
	unsigned lo1, hi1, lo2, hi2, a = 0, b, c, d;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	CHECK_GE(a, 1);
	__asm__ volatile("rdtsc" : "=a"(lo1), "=d"(hi1));
	msleep(1);
	__asm__ volatile("rdtsc" : "=a"(lo2), "=d"(hi2));
	CHECK(((uint64_t)hi2 << 32 | lo2) > ((uint64_t)hi1 << 32 | lo1));
}
