/* /proc: what programs read about themselves, their threads and the system. */
#include "check.h"
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/utsname.h>

static char buf[1 << 16];

static char *slurp(const char *path)
{
	ssize_t n = read_file(path, buf, sizeof buf);
	if (n < 0)
		FAIL("%s got %s want readable", path, errname(errno));
	return buf;
}

static char *link_of(const char *path)
{
	ssize_t n = readlink(path, buf, sizeof buf - 1);
	if (n < 0)
		FAIL("readlink %s got %s", path, errname(errno));
	buf[n] = 0;
	return buf;
}

/* The value of a "Name:\tvalue" line. */
static const char *field(const char *text, const char *name)
{
	static char value[256];
	char key[64];
	snprintf(key, sizeof key, "\n%s:", name);
	const char *p = strncmp(text, key + 1, strlen(key + 1)) == 0 ? text - 1 : strstr(text, key);
	if (!p)
		FAIL("no field %s", name);
	p += strlen(key);
	p += strspn(p, " \t");
	snprintf(value, sizeof value, "%.*s", (int)strcspn(p, "\n"), p);
	return value;
}

static pid_t pausing_child(void)
{
	pid_t pid = xfork();
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(proc_self_is_own_pid)
{
	char want[32];
	snprintf(want, sizeof want, "%d", getpid());
	CHECK_STR(link_of("/proc/self"), want);
	snprintf(want, sizeof want, "%d/task/%d", getpid(), gettid());
	CHECK_STR(link_of("/proc/thread-self"), want);
	CHILD {
		snprintf(want, sizeof want, "%d", getpid());
		CHECK_STR(link_of("/proc/self"), want);
	} CHILD_END;
}

TEST(stat_fields)
{
	long v[52] = {0};
	char comm[64], state;
	int pid, n, at;
	prctl(PR_SET_NAME, "odd ) name(");
	char *text = slurp("/proc/self/stat");
	CHECK_EQ(sscanf(text, "%d (%n", &pid, &at), 1);
	char *close_ = strrchr(text, ')');
	snprintf(comm, sizeof comm, "%.*s", (int)(close_ - text - at), text + at);
	CHECK_STR(comm, "odd ) name(");
	CHECK_EQ(pid, getpid());
	state = close_[2];
	CHECK_EQ(state, 'R');
	char *p = close_ + 3;
	for (n = 4; n < 53 && *p && *p != '\n'; n++)
		v[n - 1] = strtol(p, &p, 10);
	CHECK_GE(n, 53); /* 52 fields */
	CHECK_EQ(v[3], getppid());
	CHECK_EQ(v[4], getpgrp());
	CHECK_EQ(v[5], getsid(0));
	CHECK_EQ(v[18], getpriority(PRIO_PROCESS, 0)); /* nice */
	CHECK_EQ(v[17], 20 + v[18]); /* priority */
	CHECK_EQ(v[19], 1); /* threads */
	CHECK_GT(v[22], 0); /* vsize */
	CHECK_GT(v[23], 0); /* rss in pages */
	CHECK_LE(v[23] * 4096, v[22]);
	CHECK_EQ(strchr(p, '\n')[1], 0);
}

TEST(stat_of_child_changes_state)
{
	int st;
	siginfo_t si;
	pid_t pid = pausing_child();
	wait_asleep(pid);
	CHECK_EQ(task_state(pid), 'S');
	kill(pid, SIGSTOP);
	CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
	CHECK_EQ(task_state(pid), 'T');
	kill(pid, SIGKILL);
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED | WNOWAIT), 0);
	CHECK_EQ(task_state(pid), 'Z');
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
	CHECK_EQ(task_state(pid), 0);
}

TEST(stat_counts_time)
{
	struct rusage ru;
	long utime = 0, stime = 0;
	do
		getrusage(RUSAGE_SELF, &ru);
	while (ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec + ru.ru_stime.tv_usec < 300000);
	char *p = strrchr(slurp("/proc/self/stat"), ')');
	CHECK_EQ(sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &utime, &stime), 2);
	CHECK_GE(utime + stime, 25);
	CHECK_LE(utime + stime, 3000);
}

TEST(stat_start_time_grows)
{
	unsigned long long a, b;
	char path[64];
	const char *skip = ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu";
	CHECK_EQ(sscanf(strrchr(slurp("/proc/self/stat"), ')'), skip, &a), 1);
	msleep(60);
	pid_t pid = pausing_child();
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	CHECK_EQ(sscanf(strrchr(slurp(path), ')'), skip, &b), 1);
	CHECK_GT(b, a);
	end(pid);
}

TEST(status_fields)
{
	char want[128];
	prctl(PR_SET_NAME, "status-test");
	char *s = slurp("/proc/self/status");
	CHECK_STR(field(s, "Name"), "status-test");
	CHECK_EQ(atoi(field(s, "Pid")), getpid());
	CHECK_EQ(atoi(field(s, "Tgid")), getpid());
	CHECK_EQ(atoi(field(s, "PPid")), getppid());
	CHECK_EQ(atoi(field(s, "TracerPid")), 0);
	CHECK_EQ(atoi(field(s, "Threads")), 1);
	CHECK_STR(field(s, "Umask"), "0022");
	CHECK_EQ(field(s, "State")[0], 'R');
	snprintf(want, sizeof want, "%d\t%d\t%d\t%d", getuid(), geteuid(), geteuid(), geteuid());
	CHECK_STR(field(s, "Uid"), want);
	CHECK_GT(atoi(field(s, "VmRSS")), 0);
	CHECK_GE(atoi(field(s, "VmSize")), atoi(field(s, "VmRSS")));
	CHECK_GT(atoi(field(s, "VmStk")), 0);
	CHECK_EQ(atoi(field(s, "NoNewPrivs")), 0);
	CHECK_EQ(atoi(field(s, "Seccomp")), 0);
	CHECK_GE(atoi(field(s, "FDSize")), 3);
	CHECK(strchr(field(s, "Cpus_allowed"), 'f') != NULL || strtoul(field(s, "Cpus_allowed"), NULL, 16) > 0);
}

TEST(status_signal_masks)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	kill(getpid(), SIGUSR1);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGHUP, check_on_alarm);
	char *s = slurp("/proc/self/status");
	CHECK_STR(field(s, "SigBlk"), "0000000000000200");
	CHECK_STR(field(s, "SigPnd"), "0000000000000200");
	CHECK_STR(field(s, "ShdPnd"), "0000000000000200");
	CHECK_STR(field(s, "SigIgn"), "0000000000000800");
	CHECK_STR(field(s, "SigCgt"), "0000000000000001");
}

TEST(statm_and_memory_use)
{
	long size, rss, size2, rss2;
	CHECK_EQ(sscanf(slurp("/proc/self/statm"), "%ld %ld", &size, &rss), 2);
	CHECK_GT(rss, 0);
	CHECK_LE(rss, size);
	char *p = CHECK_OK((char *)mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK_EQ(sscanf(slurp("/proc/self/statm"), "%ld %ld", &size2, &rss2), 2);
	CHECK_EQ(size2 - size, 8192);
	memset(p, 1, 32 << 20);
	CHECK_EQ(sscanf(slurp("/proc/self/statm"), "%ld %ld", &size2, &rss2), 2);
	CHECK_GE(rss2 - rss, 8000);
}

HELPER(cmdline)
{
	ssize_t n = read_file("/proc/self/cmdline", buf, sizeof buf);
	for (ssize_t i = 0; i < n; i++)
		if (!buf[i])
			buf[i] = '|';
	printf("%s", buf);
	n = read_file("/proc/self/environ", buf, sizeof buf);
	for (ssize_t i = 0; i < n; i++)
		if (!buf[i])
			buf[i] = '!';
	printf("%s", buf);
	fflush(stdout);
	return 0;
}

TEST(cmdline_and_environ)
{
	int p[2];
	char out[256], *argv[] = {"zero", "@cmdline", "", "two words", NULL}, *envp[] = {"A=1", "B=2", NULL};
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		dup2(p[1], 1);
		execve(self_exe, argv, envp);
		_exit(1);
	}
	close(p[1]);
	read_all(p[0], out, sizeof out);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_STR(out, "zero|@cmdline||two words|A=1!B=2!");
}

TEST(cmdline_of_zombie_is_empty)
{
	char path[64];
	siginfo_t si;
	pid_t pid = xfork();
	if (pid == 0)
		_exit(0);
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED | WNOWAIT), 0);
	snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
	CHECK_EQ(read_file(path, buf, sizeof buf), 0);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(exe_cwd_root_links)
{
	char cwd[PATH_MAX];
	CHECK_STR(link_of("/proc/self/exe"), self_exe);
	CHECK(getcwd(cwd, sizeof cwd));
	CHECK_STR(link_of("/proc/self/cwd"), cwd);
	CHECK_STR(link_of("/proc/self/root"), "/");
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(chdir("d"));
	strcat(cwd, "/d");
	CHECK_STR(link_of("/proc/self/cwd"), cwd);
	CHECK_OK(rmdir("../d"));
	strcat(cwd, " (deleted)");
	CHECK_STR(link_of("/proc/self/cwd"), cwd);
}

TEST(cwd_of_child_can_be_walked)
{
	char path[64];
	struct stat a, b;
	write_file("marker", "x");
	pid_t pid = pausing_child();
	snprintf(path, sizeof path, "/proc/%d/cwd/marker", pid);
	CHECK_OK(stat(path, &a));
	CHECK_OK(stat("marker", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	end(pid);
}

TEST(fd_links)
{
	char path[64], cwd[PATH_MAX];
	struct stat st;
	int fd = CHECK_OK(open("f", O_RDONLY | O_CREAT, 0600)), s = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK(getcwd(cwd, sizeof cwd));
	strcat(cwd, "/f");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	CHECK_STR(link_of(path), cwd);
	CHECK_OK(lstat(path, &st));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(st.st_mode & 0700, 0500); /* read-only descriptor */
	CHECK_EQ(st.st_size, 64);
	snprintf(path, sizeof path, "/proc/self/fd/%d", s);
	CHECK_EQ(strncmp(link_of(path), "socket:[", 8), 0);
	CHECK_ERRNO(open(path, O_RDONLY), ENXIO);
	CHECK_STR(link_of("/proc/self/fd/0"), "/dev/null");
	CHECK_ERRNO(readlink("/proc/self/fd/999", buf, 10), ENOENT);
}

TEST(fd_directory_lists_exactly_the_open)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int n = 0;
	CHECK(d != NULL);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			CHECK_OK(fcntl(atoi(e->d_name), F_GETFD));
			n++;
		}
	CHECK_EQ(n, 5); /* 0, 1, 2, the report pipe and the directory */
	closedir(d);
}

TEST(fdinfo)
{
	char path[64];
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
	CHECK_EQ(write(fd, "hello", 5), 5);
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	char *s = slurp(path);
	CHECK_EQ(atoi(field(s, "pos")), 5);
	CHECK_EQ(strtol(field(s, "flags"), NULL, 8) & (O_ACCMODE | O_APPEND | O_CLOEXEC), O_RDWR | O_APPEND | O_CLOEXEC);
	CHECK_GT(atoi(field(s, "mnt_id")), 0);
}

static void *sleeper(void *arg)
{
	prctl(PR_SET_NAME, "sleeper");
	*(volatile pid_t *)arg = gettid();
	for (;;)
		pause();
	return NULL;
}

TEST(task_directory)
{
	pthread_t t;
	volatile pid_t tid = 0;
	char path[64];
	struct dirent *e;
	int n = 0;
	CHECK_EQ(pthread_create(&t, NULL, sleeper, (void *)&tid), 0);
	while (!tid)
		msleep(5);
	DIR *d = opendir("/proc/self/task");
	CHECK(d != NULL);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			pid_t id = atoi(e->d_name);
			CHECK(id == tid || id == getpid());
			n++;
		}
	CHECK_EQ(n, 2);
	snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
	CHECK_STR(slurp(path), "sleeper\n");
	snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
	char *s = slurp(path);
	CHECK_EQ(atoi(field(s, "Pid")), tid);
	CHECK_EQ(atoi(field(s, "Tgid")), getpid());
	CHECK_EQ(atoi(field(s, "Threads")), 2);
	snprintf(path, sizeof path, "/proc/%d/stat", tid); /* reachable, though not listed */
	CHECK_EQ(atoi(slurp(path)), tid);
	struct stat st;
	CHECK_OK(stat("/proc/self/task", &st));
	CHECK_EQ(st.st_nlink, 4);
	CHECK_ERRNO(stat("/proc/self/task/1073741", &st), ENOENT);
}

TEST(children_file)
{
	char path[64];
	pid_t pid = pausing_child();
	snprintf(path, sizeof path, "/proc/self/task/%d/children", gettid());
	if (read_file(path, buf, sizeof buf) < 0)
		SKIP("no children file");
	CHECK_EQ(atoi(buf), pid);
	end(pid);
}

TEST(pids_are_listed_and_vanish)
{
	char path[64], name[16];
	struct stat st;
	struct dirent *e;
	int seen = 0;
	pid_t pid = pausing_child();
	snprintf(name, sizeof name, "%d", pid);
	DIR *d = opendir("/proc");
	while ((e = readdir(d)))
		seen += strcmp(e->d_name, name) == 0;
	closedir(d);
	CHECK_EQ(seen, 1);
	snprintf(path, sizeof path, "/proc/%d", pid);
	CHECK_OK(stat(path, &st));
	CHECK(S_ISDIR(st.st_mode));
	CHECK_EQ(st.st_uid, geteuid());
	int fd = CHECK_OK(open(path, O_RDONLY | O_DIRECTORY));
	end(pid);
	CHECK_ERRNO(stat(path, &st), ENOENT);
	CHECK_ERRNO(openat(fd, "stat", O_RDONLY), ESRCH); /* the directory remembers whose it was */
}

TEST(read_of_ended_process_is_esrch)
{
	char path[64], c;
	pid_t pid = pausing_child();
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int fd = CHECK_OK(open(path, O_RDONLY));
	end(pid);
	CHECK_ERRNO(read(fd, &c, 1), ESRCH);
}

TEST(proc_files_are_seekable)
{
	char a[16], b[16];
	int fd = CHECK_OK(open("/proc/version", O_RDONLY));
	CHECK_EQ(read(fd, a, 5), 5);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(read(fd, b, 5), 5);
	CHECK_MEM(a, b, 5);
	CHECK_EQ(pread(fd, b, 3, 2), 3);
	CHECK_MEM(b, a + 2, 3);
}

TEST(proc_refuses_changes)
{
	CHECK_ERRNO(mkdir("/proc/x", 0700), ENOENT);
	CHECK_ERRNO(open("/proc/x", O_CREAT | O_RDWR, 0600), ENOENT);
	CHECK_ERRNO(unlink("/proc/version"), is_root() ? EPERM : EACCES);
	struct statfs s;
	CHECK_OK(statfs("/proc", &s));
	CHECK_EQ(s.f_type, 0x9fa0);
	struct stat st;
	CHECK_OK(stat("/proc/version", &st));
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0444);
}

/* ---- the system ---- */

TEST(version_and_uname)
{
	struct utsname u;
	char want[256];
	CHECK_OK(uname(&u));
	snprintf(want, sizeof want, "Linux version %s ", u.release);
	CHECK_EQ(strncmp(slurp("/proc/version"), want, strlen(want)), 0);
	snprintf(want, sizeof want, "%s\n", u.release);
	CHECK_STR(slurp("/proc/sys/kernel/osrelease"), want);
	snprintf(want, sizeof want, "%s\n", u.nodename);
	CHECK_STR(slurp("/proc/sys/kernel/hostname"), want);
	CHECK_STR(slurp("/proc/sys/kernel/ostype"), "Linux\n");
}

TEST(meminfo)
{
	char *s = slurp("/proc/meminfo");
	long total = atol(field(s, "MemTotal")), avail = atol(field(s, "MemAvailable"));
	CHECK_GT(total, 1000);
	CHECK_GT(avail, 0);
	CHECK_LE(avail, total);
	CHECK_LE(atol(field(s, "MemFree")), total);
	CHECK_GE(atol(field(s, "SwapTotal")), 0);
	CHECK_GE(atol(field(s, "Cached")), 0);
	CHECK_GE(atol(field(s, "Buffers")), 0);
}

TEST(uptime_and_loadavg)
{
	double up, idle, a, b, c;
	int run, all, last;
	struct timespec t;
	CHECK_EQ(sscanf(slurp("/proc/uptime"), "%lf %lf", &up, &idle), 2);
	CHECK_OK(clock_gettime(CLOCK_BOOTTIME, &t));
	CHECK(up > 0 && up <= t.tv_sec + 2 && up >= t.tv_sec - 5);
	CHECK_EQ(sscanf(slurp("/proc/loadavg"), "%lf %lf %lf %d/%d %d", &a, &b, &c, &run, &all, &last), 6);
	CHECK(a >= 0);
	CHECK_GE(all, 1);
}

TEST(stat_of_system)
{
	char *s = slurp("/proc/stat");
	CHECK_EQ(strncmp(s, "cpu  ", 5), 0);
	CHECK(strstr(s, "\ncpu0 ") != NULL);
	CHECK(strstr(s, "\nbtime ") != NULL);
	long btime = atol(strstr(s, "\nbtime ") + 7);
	CHECK_LE(btime, time(NULL));
	CHECK(strstr(s, "\nprocesses ") != NULL);
	CHECK(strstr(s, "\nctxt ") != NULL);
}

TEST(cpuinfo_matches_affinity)
{
	cpu_set_t set;
	int n = 0;
	CHECK_OK(sched_getaffinity(0, sizeof set, &set));
	for (char *p = slurp("/proc/cpuinfo"); (p = strstr(p, "processor\t: ")); p++)
		n++;
	CHECK_GE(n, CPU_COUNT(&set));
	CHECK(strstr(buf, "flags\t\t: ") != NULL);
	CHECK(strstr(buf, "model name") != NULL);
}

TEST(mounts_has_root_and_proc)
{
	char *s = slurp("/proc/self/mounts");
	CHECK(strstr(s, " / ") != NULL);
	CHECK(strstr(s, " /proc proc ") != NULL);
	s = slurp("/proc/mounts");
	CHECK(strstr(s, " /proc proc ") != NULL);
	CHECK(strstr(slurp("/proc/filesystems"), "\tproc\n") != NULL);
	CHECK(strstr(buf, "\ttmpfs\n") != NULL);
}

TEST(mountinfo_format)
{
	int id, parent, maj, min, lines = 0, roots = 0;
	char point[256], *save = NULL, *s = slurp("/proc/self/mountinfo");
	for (char *line = strtok_r(s, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		CHECK_EQ(sscanf(line, "%d %d %d:%d %*s %255s", &id, &parent, &maj, &min, point), 5);
		CHECK(strstr(line, " - ") != NULL);
		roots += strcmp(point, "/") == 0;
		lines++;
	}
	CHECK_GE(lines, 2);
	CHECK_GE(roots, 1);
}

TEST(kernel_settings)
{
	CHECK_GE(atoi(slurp("/proc/sys/kernel/pid_max")), 4096);
	CHECK_GE(atoi(slurp("/proc/sys/kernel/threads-max")), 100);
	CHECK_GE(atoi(slurp("/proc/sys/kernel/cap_last_cap")), 37);
	CHECK_GE(atoi(slurp("/proc/sys/fs/file-max")), 100);
	CHECK_GE(atoi(slurp("/proc/sys/fs/nr_open")), 1024);
	CHECK_GE(atoi(slurp("/proc/sys/vm/overcommit_memory")), 0);
	CHECK_GE(atoi(slurp("/proc/sys/vm/max_map_count")), 1000);
	CHECK_GE(atoi(slurp("/proc/sys/net/core/somaxconn")), 128);
	CHECK_GE(atoi(slurp("/proc/sys/kernel/ngroups_max")), 32);
	CHECK_EQ(strlen(slurp("/proc/sys/kernel/random/uuid")), 37);
	CHECK_EQ(strlen(slurp("/proc/sys/kernel/random/boot_id")), 37);
}

TEST(random_uuid_changes)
{
	char a[64];
	snprintf(a, sizeof a, "%.60s", slurp("/proc/sys/kernel/random/uuid"));
	CHECK(strcmp(a, slurp("/proc/sys/kernel/random/uuid")) != 0);
	snprintf(a, sizeof a, "%.60s", slurp("/proc/sys/kernel/random/boot_id"));
	CHECK_STR(slurp("/proc/sys/kernel/random/boot_id"), a);
}

TEST(namespaces)
{
	const char *names[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
	char path[64], text[64];
	for (int i = 0; i < 7; i++) {
		snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
		snprintf(text, sizeof text, "%s:[", names[i]);
		CHECK_EQ(strncmp(link_of(path), text, strlen(text)), 0);
		int fd = CHECK_OK(open(path, O_RDONLY));
		struct statfs s;
		CHECK_OK(fstatfs(fd, &s));
		CHECK_EQ(s.f_type, 0x6e736673);
		close(fd);
	}
}

TEST(smaps_and_rollup_if_there)
{
	if (read_file("/proc/self/smaps", buf, sizeof buf) < 0)
		SKIP("no smaps");
	CHECK(strstr(buf, "\nRss:") != NULL);
	CHECK(strstr(buf, "\nSize:") != NULL);
}

TEST(maps_agree_with_program)
{
	unsigned long a, b;
	char perms[8];
	int local, heap = 0, stack = 0, text = 0;
	char *save = NULL;
	void *brk = sbrk(4096);
	for (char *line = strtok_r(slurp("/proc/self/maps"), "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		CHECK_EQ(sscanf(line, "%lx-%lx %7s", &a, &b, perms), 3);
		if ((unsigned long)&local >= a && (unsigned long)&local < b)
			stack = strstr(line, "[stack]") != NULL;
		if ((unsigned long)brk >= a && (unsigned long)brk < b)
			heap = strstr(line, "[heap]") != NULL;
		if ((unsigned long)slurp >= a && (unsigned long)slurp < b)
			text = strstr(line, self_exe) != NULL && strcmp(perms, "r-xp") == 0;
	}
	CHECK(stack);
	CHECK(heap);
	CHECK(text);
}

TEST(oom_score_adj)
{
	CHECK_GE(atoi(slurp("/proc/self/oom_score_adj")), -1000);
	write_file("/proc/self/oom_score_adj", "500");
	CHECK_STR(slurp("/proc/self/oom_score_adj"), "500\n");
	int fd = CHECK_OK(open("/proc/self/oom_score_adj", O_WRONLY));
	CHECK_ERRNO(write(fd, "5000", 4), EINVAL);
}

TEST(uid_maps_and_groups)
{
	unsigned in, out, n;
	CHECK_EQ(sscanf(slurp("/proc/self/uid_map"), "%u %u %u", &in, &out, &n), 3);
	CHECK_EQ(in, 0);
	CHECK_EQ(sscanf(slurp("/proc/self/gid_map"), "%u %u %u", &in, &out, &n), 3);
	CHECK_STR(slurp("/proc/self/setgroups"), "allow\n");
}

TEST(self_net_files)
{
	CHECK(strstr(slurp("/proc/net/dev"), "lo:") != NULL);
	CHECK(strstr(slurp("/proc/net/tcp"), "local_address") != NULL);
	CHECK(strstr(slurp("/proc/net/udp"), "local_address") != NULL);
	CHECK(strstr(slurp("/proc/net/unix"), "Num") != NULL);
}

TEST(io_and_other_files_of_self)
{
	const char *paths[] = {"/proc/self/limits", "/proc/self/mountstats", "/proc/self/cgroup", "/proc/self/oom_score", "/proc/self/wchan", "/proc/self/personality"};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		struct stat st;
		CHECK_OK(lstat(paths[i], &st));
		CHECK(S_ISREG(st.st_mode));
	}
	CHECK(strstr(slurp("/proc/self/cgroup"), ":") != NULL);
}

TEST(small_reads_give_the_same_text)
{
	char whole[4096], parts[4096], c;
	size_t n = 0;
	ssize_t len = CHECK_OK(read_file("/proc/cpuinfo", whole, sizeof whole));
	int fd = CHECK_OK(open("/proc/cpuinfo", O_RDONLY));
	while (n < (size_t)len && read(fd, &c, 1) == 1)
		parts[n++] = c;
	CHECK_EQ(n, len);
	/* The frequency line may move between reads. */
	char *a = strstr(whole, "flags"), *b = strstr(parts, "flags");
	CHECK(a != NULL && b != NULL);
	CHECK_MEM(a, b, 100);
}
