/* kcmp(2). */
#include "check.h"
#include <linux/kcmp.h>
#include <sys/epoll.h>

static long kcmp(pid_t a, pid_t b, int kind, unsigned long x, unsigned long y)
{
	return syscall(SYS_kcmp, a, b, kind, x, y);
}

TEST(files)
{
	int p[2], d;
	pid_t me = getpid();
	CHECK_OK(pipe(p));
	d = CHECK_OK(dup(p[0]));
	CHECK_EQ(kcmp(me, me, KCMP_FILE, p[0], d), 0);
	long one = kcmp(me, me, KCMP_FILE, p[0], p[1]), other = kcmp(me, me, KCMP_FILE, p[1], p[0]);
	CHECK((one == 1 && other == 2) || (one == 2 && other == 1));
	CHECK_ERRNO(kcmp(me, me, KCMP_FILE, p[0], 999), EBADF);
	CHECK_ERRNO(kcmp(me, me, KCMP_FILE, -1, p[0]), EBADF);
	CHECK_ERRNO(kcmp(me, me, 99, 0, 0), EINVAL);
	CHECK_ERRNO(kcmp(me, 99999999, 99, 0, 0), ESRCH);
	CHECK_ERRNO(kcmp(0, me, 99, 0, 0), ESRCH);
}

static int wait_for_end(void *arg)
{
	char c;
	return read(*(int *)arg, &c, 1) == 1 ? 0 : 1;
}

TEST(what_clone_shares)
{
	static char stack[65536] __attribute__((aligned(16)));
	static const struct { int kind, flag; } parts[] = {
		{KCMP_VM, CLONE_VM}, {KCMP_FILES, CLONE_FILES}, {KCMP_FS, CLONE_FS}, {KCMP_SIGHAND, CLONE_SIGHAND | CLONE_VM},
	};
	for (unsigned i = 0; i < 4; i++) {
		int p[2];
		CHECK_OK(pipe(p));
		CHECK_EQ(kcmp(getpid(), getpid(), parts[i].kind, 0, 0), 0);
		for (int shared = 0; shared < 2; shared++) {
			pid_t pid = CHECK_OK(clone(wait_for_end, stack + sizeof stack, (shared ? parts[i].flag : 0) | SIGCHLD, p));
			long same = kcmp(getpid(), pid, parts[i].kind, 0, 0);
			CHECK_EQ(same == 0, shared);
			CHECK_EQ(kcmp(getpid(), pid, KCMP_FILE, p[0], p[0]), 0);
			CHECK_EQ(write(p[1], "x", 1), 1);
			CHECK_EQ(wait_exit(pid), 0);
		}
	}
}

TEST(others_are_refused)
{
	NEED_ROOT();
	pid_t root = getpid();
	CHILD {
		become_user();
		CHECK_ERRNO(kcmp(root, getpid(), KCMP_VM, 0, 0), EPERM);
		CHECK_ERRNO(kcmp(root, getpid(), 99, 0, 0), EPERM);
	} CHILD_END;
}

TEST(epoll_targets)
{
	int p[2], ep = CHECK_OK(epoll_create1(0));
	pid_t me = getpid();
	struct epoll_event e = {.events = EPOLLIN};
	struct kcmp_epoll_slot slot;
	CHECK_OK(pipe(p));
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
	slot = (struct kcmp_epoll_slot){.efd = ep, .tfd = p[0], .toff = 0};
	CHECK_EQ(kcmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), 0);
	CHECK_NE(kcmp(me, me, KCMP_EPOLL_TFD, p[1], (uintptr_t)&slot), 0);
	slot.toff = 1;
	CHECK_ERRNO(kcmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), ENOENT);
	slot.toff = 0;
	slot.tfd = p[1];
	CHECK_ERRNO(kcmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), ENOENT);
	slot.efd = p[0];
	CHECK_ERRNO(kcmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), EINVAL);
	CHECK_ERRNO(kcmp(me, me, KCMP_EPOLL_TFD, p[0], 8), EFAULT);
}
