/* Small calls, each with little to it: extended attributes at a directory, advice about other processes' memory, page cache
 * statistics, protection keys, calls of old, and prctl(2)'s odds and ends. */
#include "check.h"
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <netinet/in.h>

#define NR_setxattrat 463
#define NR_getxattrat 464
#define NR_listxattrat 465
#define NR_removexattrat 466
#define NR_cachestat 451

struct args {
	uint64_t value;
	uint32_t size, flags;
};

static struct args args_of(void *value, unsigned size, unsigned flags)
{
	return (struct args){(uintptr_t)value, size, flags};
}

TEST(attributes_at)
{
	char buf[64] = "", list[64];
	int dir = CHECK_OK(open(".", O_RDONLY)), fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	struct args in = args_of("value", 5, 0), out = args_of(buf, sizeof buf, 0), bad = args_of("v", 1, 4);
	if (syscall(NR_setxattrat, dir, "f", 0, "user.a", &in, sizeof in) < 0 && errno == EOPNOTSUPP)
		SKIP("no attributes here");
	CHECK_EQ(syscall(NR_getxattrat, dir, "f", 0, "user.a", &out, sizeof out), 5);
	CHECK_MEM(buf, "value", 5);
	CHECK_EQ(syscall(NR_getxattrat, fd, "", AT_EMPTY_PATH, "user.a", &out, sizeof out), 5);
	CHECK_EQ(syscall(NR_getxattrat, fd, NULL, AT_EMPTY_PATH, "user.a", &out, sizeof out), 5);
	CHECK_GE(syscall(NR_listxattrat, dir, "f", 0, list, sizeof list), 7);
	CHECK_ERRNO(syscall(NR_getxattrat, fd, "", 0, "user.a", &out, sizeof out), ENOENT);
	CHECK_ERRNO(syscall(NR_setxattrat, dir, "f", 0, "user.a", &in, 15), EINVAL);
	CHECK_ERRNO(syscall(NR_setxattrat, dir, "f", 0, "user.a", &in, 4097), E2BIG);
	CHECK_ERRNO(syscall(NR_setxattrat, dir, "f", 0, "user.a", BAD, 16), EFAULT);
	CHECK_ERRNO(syscall(NR_setxattrat, dir, "f", 1, "user.a", &in, 16), EINVAL);
	CHECK_ERRNO(syscall(NR_setxattrat, dir, "f", 0, "user.a", &bad, 16), EINVAL);
	CHECK_ERRNO(syscall(NR_getxattrat, dir, "f", 0, "user.a", &bad, 16), EINVAL);
	CHECK_ERRNO(syscall(NR_listxattrat, dir, "f", 1, list, sizeof list), EINVAL);
	CHECK_OK(syscall(NR_removexattrat, dir, "f", 0, "user.a"));
	CHECK_ERRNO(syscall(NR_removexattrat, dir, "f", 0, "user.a"), ENODATA);
	CHECK_ERRNO(syscall(NR_removexattrat, dir, "f", 1, "user.a"), EINVAL);
	/* a name needs more than its prefix */
	CHECK_ERRNO(setxattr("f", "user.", "x", 1, 0), EINVAL);
	CHECK_ERRNO(getxattr("f", "user.", buf, 1), EINVAL);
}

TEST(advice_about_a_process)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov[2] = {{p, 4096}, {p + 4096, 4096}};
	int me = CHECK_OK(syscall(SYS_pidfd_open, getpid(), 0));
	CHECK_EQ(syscall(SYS_process_madvise, me, iov, 2, MADV_COLD, 0), 8192);
	CHECK_EQ(syscall(SYS_process_madvise, me, iov, 1, MADV_WILLNEED, 0), 4096);
	CHECK_ERRNO(syscall(SYS_process_madvise, -1, iov, 2, MADV_COLD, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_madvise, -1, BAD, 2, MADV_COLD, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_process_madvise, -1, iov, 2, MADV_COLD, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_process_madvise, me, iov, 2, 9999, 0), EINVAL);
	pid_t pid = xfork();
	if (pid == 0)
		for (;;)
			pause();
	int other = CHECK_OK(syscall(SYS_pidfd_open, pid, 0));
	CHECK_ERRNO(syscall(SYS_process_madvise, other, iov, 2, 9999, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_mrelease, -1, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_process_mrelease, -1, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_mrelease, other, 0), EINVAL); /* it is not being killed */
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
	CHECK_ERRNO(syscall(SYS_process_mrelease, other, 0), ESRCH);
}

TEST(page_cache)
{
	uint64_t range[2] = {0, 0}, stat[5];
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	char page[4096] = "";
	for (int i = 0; i < 3; i++)
		CHECK_EQ(write(fd, page, sizeof page), sizeof page);
	CHECK_OK(syscall(NR_cachestat, fd, range, stat, 0));
	CHECK_EQ(stat[0], 3);
	range[0] = 4096;
	range[1] = 4096;
	CHECK_OK(syscall(NR_cachestat, fd, range, stat, 0));
	CHECK_EQ(stat[0], 1);
	CHECK_ERRNO(syscall(NR_cachestat, -1, range, stat, 0), EBADF);
	CHECK_ERRNO(syscall(NR_cachestat, fd, BAD, stat, 1), EFAULT);
	CHECK_ERRNO(syscall(NR_cachestat, fd, range, stat, 1), EINVAL);
	CHECK_ERRNO(syscall(NR_cachestat, fd, range, BAD, 0), EFAULT);
}

TEST(protection_keys)
{
	CHECK_ERRNO(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_pkey_alloc, 0, 99), EINVAL);
	CHECK_ERRNO(syscall(SYS_pkey_free, 99), EINVAL);
	CHECK_OK(syscall(SYS_pkey_mprotect, 0, 0, 0, 99)); /* nothing to do */
	CHECK_ERRNO(syscall(SYS_pkey_mprotect, 0, 4096, 0, 99), EINVAL);
}

TEST(calls_of_old)
{
	char buf[128] = "";
	struct stat st;
	int count = CHECK_OK(syscall(SYS_sysfs, 3)), index = CHECK_OK(syscall(SYS_sysfs, 1, "proc"));
	CHECK_GE(index, 0);
	CHECK_LT(index, count);
	CHECK_OK(syscall(SYS_sysfs, 2, index, buf));
	CHECK_STR(buf, "proc");
	CHECK_ERRNO(syscall(SYS_sysfs, 1, "no such"), EINVAL);
	CHECK_ERRNO(syscall(SYS_sysfs, 1, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_sysfs, 2, 9999, buf), EINVAL);
	CHECK_ERRNO(syscall(SYS_sysfs, 9), EINVAL);
	CHECK_ERRNO(syscall(SYS_ustat, 0, buf), EINVAL);
	CHECK_OK(stat("/proc", &st));
	CHECK_OK(syscall(SYS_ustat, st.st_dev, buf));
	CHECK_ERRNO(syscall(SYS_ustat, st.st_dev, BAD), EFAULT);
	CHECK_EQ(syscall(SYS_modify_ldt, 0, buf, sizeof buf), 0);
	CHECK_EQ((int)syscall(SYS_modify_ldt, 1, buf, 1), -EINVAL);
	CHECK_EQ((int)syscall(SYS_modify_ldt, 99, buf, 1), -ENOSYS);
	CHECK_OK(flock(-1, 32)); /* LOCK_MAND: was never of use, and is ignored */
	CHECK_OK(mlock((void *)1, -1)); /* wraps around to nothing */
}

TEST(prctl_odds_and_ends)
{
	CHECK_OK(prctl(PR_TASK_PERF_EVENTS_DISABLE, 1, 2, 3, 4));
	CHECK_OK(prctl(PR_TASK_PERF_EVENTS_ENABLE, 1, 2, 3, 4));
	CHECK_OK(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
	CHECK_ERRNO(prctl(PR_MCE_KILL, 9, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
	CHECK_ERRNO(prctl(PR_MCE_KILL_GET, 1, 0, 0, 0), EINVAL);
	CHECK_EQ(prctl(66 /* PR_GET_MDWE */, 0, 0, 0, 0), 0);
	CHECK_ERRNO(prctl(66, 1, 0, 0, 0), EINVAL);
	CHECK_OK(prctl(65 /* PR_SET_MDWE */, 0, 0, 0, 0));
	CHECK_ERRNO(prctl(65, 8, 0, 0, 0), EINVAL);
	CHECK_OK(prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 0, 0, 0, 0));
	CHECK_ERRNO(prctl(59, 0, 1, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(52 /* PR_GET_SPECULATION_CTRL */, 8, 0, 0, 0), ENODEV);
	CHECK_ERRNO(prctl(53 /* PR_SET_SPECULATION_CTRL */, 8, 0, 0, 0), ENODEV);
	become_user();
	CHECK_ERRNO(prctl(57 /* PR_SET_IO_FLUSHER */, 1, 0, 0, 0), EPERM);
	CHECK_ERRNO(prctl(58 /* PR_GET_IO_FLUSHER */, 0, 0, 0, 0), EPERM);
}

TEST(datagrams_have_no_urgent_data)
{
	char c;
	int s = CHECK_OK(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(recv(s, &c, 1, MSG_OOB | MSG_DONTWAIT), EAGAIN); /* ignored */
}
