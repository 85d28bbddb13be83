/* Descriptors: dup, fcntl, limits, close_range, what close means. */
#include "check.h"
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/select.h>

static int create(const char *path)
{
	return CHECK_OK(open(path, O_RDWR | O_CREAT, 0644));
}

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

TEST(dup_takes_lowest)
{
	int a = create("f"), b = CHECK_OK(dup(a)), c = CHECK_OK(dup(a));
	CHECK_EQ(b, a + 1);
	CHECK_EQ(c, a + 2);
	close(b);
	CHECK_EQ(dup(a), b);
	CHECK_ERRNO(dup(999), EBADF);
	CHECK_ERRNO(dup(-1), EBADF);
}

TEST(dup_shares_offset_and_status_but_not_cloexec)
{
	int a = CHECK_OK(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600)), b = CHECK_OK(dup(a));
	CHECK_EQ(fcntl(b, F_GETFD), 0);
	CHECK_EQ(lseek(a, 7, SEEK_SET), 7);
	CHECK_EQ(lseek(b, 0, SEEK_CUR), 7);
	CHECK_OK(fcntl(a, F_SETFL, O_APPEND));
	CHECK_EQ(fcntl(b, F_GETFL) & O_APPEND, O_APPEND);
}

TEST(dup2_rules)
{
	int a = create("f"), b = create("g");
	CHECK_OK(fcntl(a, F_SETFD, FD_CLOEXEC));
	CHECK_EQ(dup2(a, a), a);
	CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC); /* untouched */
	CHECK_EQ(dup2(a, b), b);
	CHECK_EQ(fcntl(b, F_GETFD), 0);
	CHECK_EQ(dup2(a, 500), 500);
	CHECK_ERRNO(dup2(999, b), EBADF);
	CHECK_ERRNO(dup2(999, 999), EBADF);
	CHECK(is_open(b)); /* a failed dup2 closes nothing */
	CHECK_ERRNO(dup2(a, -1), EBADF);
	CHECK_ERRNO(dup2(a, 1 << 30), EBADF);
}

TEST(dup3_rules)
{
	int a = create("f");
	CHECK_EQ(dup3(a, 600, O_CLOEXEC), 600);
	CHECK_EQ(fcntl(600, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dup3(a, 600, 0), 600);
	CHECK_EQ(fcntl(600, F_GETFD), 0);
	CHECK_ERRNO(dup3(a, a, 0), EINVAL);
	CHECK_ERRNO(dup3(a, 601, O_NONBLOCK), EINVAL);
	CHECK_ERRNO(dup3(999, 601, 0), EBADF);
}

TEST(dup2_over_pipe_end_closes_it)
{
	int p[2], a = create("f");
	char c;
	CHECK_OK(pipe(p));
	CHECK_EQ(dup2(a, p[1]), p[1]);
	CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(f_dupfd)
{
	int a = create("f"), b = CHECK_OK(fcntl(a, F_DUPFD, 100));
	CHECK_EQ(b, 100);
	CHECK_EQ(fcntl(a, F_DUPFD, 100), 101);
	CHECK_EQ(fcntl(a, F_DUPFD_CLOEXEC, 100), 102);
	CHECK_EQ(fcntl(101, F_GETFD), 0);
	CHECK_EQ(fcntl(102, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(fcntl(a, F_DUPFD, -1), EINVAL);
	CHECK_ERRNO(fcntl(a, F_DUPFD, 1 << 30), EINVAL);
	CHECK_ERRNO(fcntl(999, F_DUPFD, 0), EBADF);
}

TEST(fcntl_errors)
{
	int a = create("f");
	CHECK_ERRNO(fcntl(a, 9999), EINVAL);
	CHECK_ERRNO(fcntl(999, 9999), EBADF);
	CHECK_OK(fcntl(a, F_SETFD, 0xff));
	CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC); /* only one bit is known */
}

TEST(close_rules)
{
	int a = create("f");
	CHECK_OK(close(a));
	CHECK_ERRNO(close(a), EBADF);
	CHECK_ERRNO(close(-1), EBADF);
	CHECK_ERRNO(close(INT_MAX), EBADF);
}

TEST(nofile_limit_gives_emfile)
{
	struct rlimit r = {20, 20};
	int p[2], fd = -1, n = 0;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	while ((fd = open("/dev/null", O_RDONLY)) >= 0) {
		CHECK_LT(fd, 20);
		n++;
	}
	CHECK_EQ(errno, EMFILE);
	CHECK_EQ(n, 17);
	CHECK_ERRNO(dup(0), EMFILE);
	CHECK_ERRNO(pipe(p), EMFILE);
	CHECK_ERRNO(fcntl(0, F_DUPFD, 10), EMFILE);
	CHECK_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
	CHECK_ERRNO(dup2(0, 20), EBADF);
	CHECK_ERRNO(open("missing", O_RDONLY), EMFILE); /* before the path is walked */
	CHECK_EQ(dup2(0, 19), 19);
	close(19);
	CHECK_ERRNO(pipe(p), EMFILE); /* one is not enough, and none leaks */
	CHECK_EQ(dup(0), 19);
}

TEST(lowering_the_limit_keeps_open_ones)
{
	struct rlimit r = {10, 100}, back = {100, 100};
	CHECK_EQ(dup2(0, 50), 50);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK(is_open(50));
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &back));
	CHECK_EQ(dup2(0, 51), 51);
}

TEST(close_range_rules)
{
	CHILD {
		for (int fd = 100; fd < 120; fd++)
			CHECK_EQ(dup2(0, fd), fd);
		CHECK_OK(close_range(105, 110, 0));
		for (int fd = 100; fd < 120; fd++)
			CHECK_EQ(is_open(fd), fd < 105 || fd > 110);
		CHECK_OK(close_range(105, 110, 0)); /* nothing there: fine */
		CHECK_OK(close_range(115, 117, CLOSE_RANGE_CLOEXEC));
		CHECK_EQ(fcntl(114, F_GETFD), 0);
		CHECK_EQ(fcntl(115, F_GETFD), FD_CLOEXEC);
		CHECK_EQ(fcntl(117, F_GETFD), FD_CLOEXEC);
		CHECK_EQ(fcntl(118, F_GETFD), 0);
		CHECK_ERRNO(close_range(110, 100, 0), EINVAL);
		CHECK_ERRNO(close_range(100, 110, 0x80), EINVAL);
		CHECK_OK(close_range(118, ~0U, CLOSE_RANGE_CLOEXEC));
		CHECK_OK(close_range(116, ~0U, 0));
		CHECK(!is_open(116));
		CHECK(is_open(115));
	} CHILD_END;
}

static int close_all_unshared(void *arg MAYBE_UNUSED)
{
	return close_range(100, ~0U, CLOSE_RANGE_UNSHARE) < 0;
}

TEST(close_range_unshare)
{
	static char stack[65536] __attribute__((aligned(16)));
	CHECK_EQ(dup2(0, 100), 100);
	pid_t pid = CHECK_OK(clone(close_all_unshared, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK(is_open(100));
}

TEST(proc_self_fd_lists_descriptors)
{
	char path[64], link[256];
	int a = create("f"), seen = 0;
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	CHECK(d != NULL);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && atoi(e->d_name) == a)
			seen++;
	CHECK_EQ(seen, 1);
	closedir(d);
	snprintf(path, sizeof path, "/proc/self/fd/%d", a);
	ssize_t n = CHECK_OK(readlink(path, link, sizeof link - 1));
	link[n] = 0;
	CHECK_STR(strrchr(link, '/'), "/f");
	CHECK_OK(unlink("f"));
	n = CHECK_OK(readlink(path, link, sizeof link - 1));
	link[n] = 0;
	CHECK_STR(strrchr(link, '/'), "/f (deleted)");
	close(a);
	CHECK_ERRNO(readlink(path, link, sizeof link), ENOENT);
}

TEST(names_of_anonymous_descriptors)
{
	char path[64], link[256], want[64];
	int p[2];
	struct stat st;
	CHECK_OK(pipe(p));
	CHECK_OK(fstat(p[0], &st));
	snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
	ssize_t n = CHECK_OK(readlink(path, link, sizeof link - 1));
	link[n] = 0;
	snprintf(want, sizeof want, "pipe:[%lu]", st.st_ino);
	CHECK_STR(link, want);
}

TEST(dev_fd_and_stdin_names)
{
	char c;
	int a = create("f"), again;
	char path[64];
	CHECK_EQ(write(a, "x", 1), 1);
	snprintf(path, sizeof path, "/dev/fd/%d", a);
	again = CHECK_OK(open(path, O_RDONLY));
	CHECK_EQ(read(again, &c, 1), 1); /* a new open: own offset */
	CHECK_EQ(c, 'x');
	CHECK_EQ(dup2(a, 0), 0);
	CHECK_OK(open("/dev/stdin", O_RDONLY));
}

TEST(fds_above_1024_work)
{
	struct rlimit r;
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &r));
	if (r.rlim_max < 4000)
		SKIP("descriptor limit below 4000");
	r.rlim_cur = 4000;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK_EQ(dup2(0, 3999), 3999);
	CHECK(is_open(3999));
	CHECK_EQ(fcntl(0, F_DUPFD, 3000), 3000);
}

TEST(kcmp_tells_same_files)
{
	int a = create("f"), b = CHECK_OK(dup(a)), c = create("f");
	long r = syscall(SYS_kcmp, getpid(), getpid(), 0, a, b);
	if (r < 0 && errno == ENOSYS)
		SKIP("no kcmp");
	CHECK_EQ(r, 0);
	CHECK_NE(syscall(SYS_kcmp, getpid(), getpid(), 0, a, c), 0);
}

TEST(pidfd_getfd)
{
	int p[2], ready[2];
	char c;
	CHECK_OK(pipe(ready));
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		dup2(p[0], 200);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	int pfd = CHECK_OK(syscall(SYS_pidfd_open, pid, 0));
	CHECK_EQ(fcntl(pfd, F_GETFD), FD_CLOEXEC);
	int mine = CHECK_OK(syscall(SYS_pidfd_getfd, pfd, 200, 0));
	CHECK_EQ(write(p[1], "y", 1), 1);
	CHECK_EQ(read(mine, &c, 1), 1);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, pfd, 999, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, pfd, 200, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_pidfd_open, pid, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_pidfd_open, 0x3ffffff, 0), ESRCH);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}
