/* Resource limits: the calls, their rules, and the limits that are not tested elsewhere. */
#include "check.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

static struct rlimit get(int what)
{
	struct rlimit r;
	CHECK_OK(getrlimit(what, &r));
	return r;
}

TEST(errors)
{
	struct rlimit r = {10, 5};
	CHECK_ERRNO(syscall(SYS_getrlimit, 16, &r), EINVAL);
	CHECK_ERRNO(syscall(SYS_setrlimit, 16, &r), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrlimit, RLIMIT_CORE, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_CORE, BAD), EFAULT);
	CHECK_ERRNO(setrlimit(RLIMIT_CORE, &r), EINVAL); /* soft above hard */
	CHECK_ERRNO(prlimit(0x3ffffff, RLIMIT_CORE, NULL, &r), ESRCH);
	CHECK_ERRNO(prlimit(0, 99, NULL, &r), EINVAL);
}

TEST(all_limits_are_readable)
{
	for (int i = 0; i < 16; i++) {
		struct rlimit r = get(i);
		CHECK(r.rlim_cur <= r.rlim_max);
	}
	CHECK_GT(get(RLIMIT_STACK).rlim_cur, 65536);
	CHECK_GE(get(RLIMIT_NOFILE).rlim_cur, 64);
}

TEST(soft_moves_below_hard)
{
	struct rlimit r = get(RLIMIT_NOFILE);
	r.rlim_cur = 50;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK_EQ(get(RLIMIT_NOFILE).rlim_cur, 50);
	r.rlim_cur = r.rlim_max;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK_EQ(get(RLIMIT_NOFILE).rlim_cur, r.rlim_max);
}

static int has_cap(int cap)
{
	char buf[4096], *p;
	if (read_file("/proc/self/status", buf, sizeof buf) <= 0 || !(p = strstr(buf, "CapEff:")))
		return 0;
	return strtoull(p + 7, NULL, 16) >> cap & 1;
}

TEST(raising_hard_needs_privilege)
{
	struct rlimit r = {100, 100}, more = {100, 101};
	CHILD {
		become_user();
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
		CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &more), EPERM);
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	} CHILD_END;
	if (has_cap(24 /* CAP_SYS_RESOURCE */)) {
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &more));
	}
}

TEST(nofile_has_a_ceiling)
{
	struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};
	CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &r), EPERM); /* above fs.nr_open, for root as well */
}

TEST(limits_are_inherited)
{
	struct rlimit r = {77, 78};
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHILD {
		CHECK_EQ(get(RLIMIT_NOFILE).rlim_cur, 77);
		CHECK_EQ(get(RLIMIT_NOFILE).rlim_max, 78);
		r.rlim_cur = 70;
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	} CHILD_END;
	CHECK_EQ(get(RLIMIT_NOFILE).rlim_cur, 77);
}

HELPER(nofile)
{
	return get(RLIMIT_NOFILE).rlim_cur;
}

TEST(limits_survive_exec)
{
	struct rlimit r = {79, 80};
	pid_t pid = xfork();
	if (pid == 0) {
		setrlimit(RLIMIT_NOFILE, &r);
		execl(self_exe, "x", "@nofile", NULL);
		_exit(1);
	}
	CHECK_EQ(wait_exit(pid), 79);
}

TEST(prlimit_gets_and_sets_at_once)
{
	struct rlimit r = {60, 90}, old;
	struct rlimit before = get(RLIMIT_NOFILE);
	CHECK_OK(prlimit(0, RLIMIT_NOFILE, &r, &old));
	CHECK_EQ(old.rlim_cur, before.rlim_cur);
	CHECK_OK(prlimit(getpid(), RLIMIT_NOFILE, NULL, &old));
	CHECK_EQ(old.rlim_cur, 60);
	CHECK_OK(prlimit(0, RLIMIT_NOFILE, NULL, NULL));
}

TEST(prlimit_of_child)
{
	struct rlimit r = {55, 66}, got;
	int p[2], q[2];
	char c;
	CHECK_OK(pipe(p));
	CHECK_OK(pipe(q));
	pid_t pid = xfork();
	if (pid == 0) {
		if (read(p[0], &c, 1) != 1)
			_exit(1);
		_exit(get(RLIMIT_NOFILE).rlim_cur);
	}
	CHECK_OK(prlimit(pid, RLIMIT_NOFILE, &r, NULL));
	CHECK_OK(prlimit(pid, RLIMIT_NOFILE, NULL, &got));
	CHECK_EQ(got.rlim_max, 66);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(wait_exit(pid), 55);
}

TEST(prlimit_of_other_user_is_eperm)
{
	struct rlimit r;
	NEED_ROOT();
	pid_t parent = getpid();
	CHILD {
		become_user();
		CHECK_ERRNO(prlimit(parent, RLIMIT_NOFILE, NULL, &r), EPERM);
	} CHILD_END;
}

TEST(fsize_signal_and_errno)
{
	struct rlimit r = {1000, 1000};
	pid_t pid = xfork();
	if (pid == 0) {
		int fd = open("f", O_CREAT | O_RDWR, 0600);
		setrlimit(RLIMIT_FSIZE, &r);
		_exit(ftruncate(fd, 2000) < 0 ? errno : 0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGXFSZ);
}

TEST(cpu_limit)
{
	struct rlimit r = {1, 2};
	pid_t pid = xfork();
	if (pid == 0) {
		setrlimit(RLIMIT_CPU, &r);
		for (;;)
			;
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGXCPU);
}

TEST(cpu_hard_limit_kills)
{
	struct rlimit r = {1, 2};
	pid_t pid = xfork();
	if (pid == 0) {
		signal(SIGXCPU, SIG_IGN);
		setrlimit(RLIMIT_CPU, &r);
		for (;;)
			;
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(nice_limit_for_ordinary_user)
{
	struct rlimit r = {0, 0};
	CHILD {
		become_user();
		CHECK_OK(setrlimit(RLIMIT_NICE, &r));
		int start = getpriority(PRIO_PROCESS, 0);
		CHECK_OK(setpriority(PRIO_PROCESS, 0, 19));
		if (start < 19)
			CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, start), EACCES);
	} CHILD_END;
}

TEST(core_limit_zero_means_no_core_bit)
{
	struct rlimit r = {0, 0};
	int st;
	CHECK_OK(setrlimit(RLIMIT_CORE, &r));
	pid_t pid = xfork();
	if (pid == 0)
		abort();
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK_EQ(WTERMSIG(st), SIGABRT);
	CHECK_EQ(WCOREDUMP(st), 0);
}

TEST(proc_limits_shows_them)
{
	char buf[4096], want[128];
	struct rlimit r = {123, 234};
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK_GT(read_file("/proc/self/limits", buf, sizeof buf), 0);
	snprintf(want, sizeof want, "%-25s %-20s %-20s %-10s", "Max open files", "123", "234", "files");
	CHECK(strstr(buf, want) != NULL);
	CHECK(strstr(buf, "Max stack size") != NULL);
}

TEST(memlock_limit_readback)
{
	struct rlimit r = get(RLIMIT_MEMLOCK);
	r.rlim_cur = 4096;
	CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &r));
	CHECK_EQ(get(RLIMIT_MEMLOCK).rlim_cur, 4096);
}
