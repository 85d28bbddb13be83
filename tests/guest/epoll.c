/* epoll: triggering modes, changes while waiting, nesting, what close removes, errors. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static int p[2];
static struct epoll_event out[8];

static int new_epoll(void)
{
	CHECK_OK(pipe2(p, O_NONBLOCK));
	return CHECK_OK(epoll_create1(0));
}

static int ctl(int ep, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = {.events = events, .data.u64 = data};
	return epoll_ctl(ep, op, fd, &e);
}

static int wait_now(int ep)
{
	return CHECK_OK(epoll_wait(ep, out, 8, 0));
}

static void put(int fd)
{
	CHECK_EQ(write(fd, "x", 1), 1);
}

static void take(int fd)
{
	char c;
	CHECK_EQ(read(fd, &c, 1), 1);
}

TEST(create_rules)
{
	CHECK_ERRNO(epoll_create(0), EINVAL);
	CHECK_ERRNO(epoll_create(-1), EINVAL);
	CHECK_OK(epoll_create(1));
	CHECK_EQ(fcntl(CHECK_OK(epoll_create1(EPOLL_CLOEXEC)), F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(epoll_create1(1), EINVAL);
}

TEST(ctl_errors)
{
	int ep = new_epoll(), file = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, 999, EPOLLIN, 0), EBADF);
	CHECK_ERRNO(ctl(999, EPOLL_CTL_ADD, p[0], EPOLLIN, 0), EBADF);
	CHECK_ERRNO(ctl(p[0], EPOLL_CTL_ADD, p[1], EPOLLIN, 0), EINVAL);
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN, 0), EINVAL);
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, file, EPOLLIN, 0), EPERM);
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_MOD, p[0], EPOLLIN, 0), ENOENT);
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_DEL, p[0], EPOLLIN, 0), ENOENT);
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 0));
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 0), EEXIST);
	CHECK_ERRNO(ctl(ep, 99, p[0], EPOLLIN, 0), EINVAL);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], BAD), EFAULT);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, CHECK_OK(dup(p[0])), EPOLLIN, 0)); /* another number: another entry */
}

TEST(wait_errors)
{
	int ep = new_epoll();
	CHECK_ERRNO(epoll_wait(ep, out, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_epoll_wait, ep, out, -1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_epoll_wait, ep, out, INT_MAX, 0), EINVAL);
	CHECK_ERRNO(epoll_wait(999, out, 8, 0), EBADF);
	CHECK_ERRNO(epoll_wait(p[0], out, 8, 0), EINVAL);
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[1], EPOLLOUT, 0));
	CHECK_ERRNO(syscall(SYS_epoll_wait, ep, BAD, 8, 0), EFAULT);
}

TEST(level_triggered)
{
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 77));
	CHECK_EQ(wait_now(ep), 0);
	put(p[1]);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(wait_now(ep), 1);
		CHECK_EQ(out[0].events, EPOLLIN);
		CHECK_EQ(out[0].data.u64, 77);
	}
	take(p[0]);
	CHECK_EQ(wait_now(ep), 0);
}

TEST(edge_triggered)
{
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 1));
	put(p[1]);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(wait_now(ep), 0);
	put(p[1]); /* every write is an edge */
	CHECK_EQ(wait_now(ep), 1);
	take(p[0]);
	CHECK_EQ(wait_now(ep), 0);
}

TEST(edge_is_there_when_added_ready)
{
	int ep = new_epoll();
	put(p[1]);
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 1));
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(wait_now(ep), 0);
	CHECK_OK(ctl(ep, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 2)); /* a change arms it again */
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].data.u64, 2);
}

TEST(oneshot)
{
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLONESHOT, 1));
	put(p[1]);
	CHECK_EQ(wait_now(ep), 1);
	put(p[1]);
	CHECK_EQ(wait_now(ep), 0);
	CHECK_OK(ctl(ep, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 2));
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(wait_now(ep), 0);
}

TEST(exclusive_rules)
{
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLEXCLUSIVE, 1));
	put(p[1]);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_MOD, p[0], EPOLLIN, 1), EINVAL);
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, p[1], EPOLLOUT | EPOLLONESHOT | EPOLLEXCLUSIVE, 1), EINVAL);
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, CHECK_OK(epoll_create1(0)), EPOLLIN | EPOLLEXCLUSIVE, 1), EINVAL);
}

TEST(hup_and_err_come_unasked)
{
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], 0, 1));
	put(p[1]);
	CHECK_EQ(wait_now(ep), 0);
	close(p[1]);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].events, EPOLLHUP);
	ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[1], 0, 2));
	close(p[0]);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].events, EPOLLERR);
}

TEST(rdhup)
{
	int s[2], ep = CHECK_OK(epoll_create1(0));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLRDHUP, 1));
	CHECK_OK(shutdown(s[1], SHUT_WR));
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].events, EPOLLIN | EPOLLRDHUP);
	close(s[1]);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].events, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
}

TEST(wait_blocks_and_wakes)
{
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 5));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(epoll_wait(ep, out, 8, 10000) == 1 && out[0].data.u64 == 5 ? 0 : 1);
	wait_asleep(pid);
	put(p[1]);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(wait_times_out)
{
	int ep = new_epoll();
	long long start = now_ms();
	CHECK_EQ(epoll_wait(ep, out, 8, 120), 0);
	CHECK_GE(now_ms() - start, 119);
}

TEST(pwait2_timeout)
{
	int ep = new_epoll();
	struct timespec t = {0, 120000000}, bad = {0, 1000000000};
	long long start = now_ms();
	long r = syscall(SYS_epoll_pwait2, ep, out, 8, &t, NULL, 8);
	if (r < 0 && errno == ENOSYS)
		SKIP("no epoll_pwait2");
	CHECK_EQ(r, 0);
	CHECK_GE(now_ms() - start, 119);
	CHECK_ERRNO(syscall(SYS_epoll_pwait2, ep, out, 8, &bad, NULL, 8), EINVAL);
}

TEST(maxevents_and_fairness)
{
	int ep = new_epoll(), fd[6];
	for (int i = 0; i < 6; i++) {
		fd[i] = CHECK_OK(eventfd(1, 0));
		CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd[i], EPOLLIN, i));
	}
	int seen = 0;
	for (int round = 0; round < 3; round++) {
		CHECK_EQ(epoll_wait(ep, out, 2, 0), 2);
		seen |= 1 << out[0].data.u64 | 1 << out[1].data.u64;
	}
	CHECK_EQ(seen, 63); /* level-triggered ones go to the end of the list */
}

TEST(closed_descriptor_is_removed)
{
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	put(p[1]);
	CHECK_EQ(wait_now(ep), 1);
	close(p[0]);
	CHECK_EQ(wait_now(ep), 0);
}

TEST(dup_keeps_the_entry_alive)
{
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	int d = CHECK_OK(dup(p[0]));
	close(p[0]);
	put(p[1]);
	CHECK_EQ(wait_now(ep), 1); /* epoll(7): the open file lives on */
	CHECK_ERRNO(ctl(ep, EPOLL_CTL_DEL, p[0], 0, 0), EBADF);
	close(d);
	CHECK_EQ(wait_now(ep), 0);
}

TEST(number_reused_by_another_file)
{
	int ep = new_epoll(), old = p[0];
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, old, EPOLLIN, 1));
	close(old);
	int e = CHECK_OK(eventfd(1, 0));
	CHECK_EQ(dup2(e, old), old);
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, old, EPOLLIN, 2));
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].data.u64, 2);
}

static int shared_ep;

static void *add_later(void *arg)
{
	msleep(60);
	ctl(shared_ep, EPOLL_CTL_ADD, *(int *)arg, EPOLLIN, 9);
	return NULL;
}

TEST(added_while_waiting)
{
	pthread_t t;
	shared_ep = new_epoll();
	put(p[1]);
	CHECK_EQ(pthread_create(&t, NULL, add_later, &p[0]), 0);
	CHECK_EQ(epoll_wait(shared_ep, out, 8, 10000), 1);
	CHECK_EQ(out[0].data.u64, 9);
	CHECK_EQ(pthread_join(t, NULL), 0);
}

static void *mod_later(void *arg)
{
	msleep(60);
	ctl(shared_ep, EPOLL_CTL_MOD, *(int *)arg, EPOLLIN, 10);
	return NULL;
}

TEST(modified_while_waiting)
{
	pthread_t t;
	shared_ep = new_epoll();
	put(p[1]);
	CHECK_OK(ctl(shared_ep, EPOLL_CTL_ADD, p[0], 0, 1));
	CHECK_EQ(pthread_create(&t, NULL, mod_later, &p[0]), 0);
	CHECK_EQ(epoll_wait(shared_ep, out, 8, 10000), 1);
	CHECK_EQ(out[0].data.u64, 10);
	CHECK_EQ(pthread_join(t, NULL), 0);
}

TEST(nested)
{
	int inner = new_epoll(), outer = CHECK_OK(epoll_create1(0));
	struct pollfd f = {inner, POLLIN, 0};
	CHECK_OK(ctl(inner, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	CHECK_OK(ctl(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2));
	CHECK_EQ(wait_now(outer), 0);
	CHECK_EQ(poll(&f, 1, 0), 0);
	put(p[1]);
	CHECK_EQ(wait_now(outer), 1);
	CHECK_EQ(out[0].data.u64, 2);
	CHECK_EQ(out[0].events, EPOLLIN);
	CHECK_EQ(poll(&f, 1, 0), 1);
	CHECK_EQ(f.revents, POLLIN);
	take(p[0]);
	CHECK_EQ(wait_now(outer), 0);
}

TEST(nesting_wakes_blocked_waiter)
{
	int inner = new_epoll(), outer = CHECK_OK(epoll_create1(0));
	CHECK_OK(ctl(inner, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	CHECK_OK(ctl(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(epoll_wait(outer, out, 8, 10000) == 1 ? 0 : 1);
	wait_asleep(pid);
	put(p[1]);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(loops_are_refused)
{
	int a = new_epoll(), b = CHECK_OK(epoll_create1(0)), eps[7];
	CHECK_OK(ctl(a, EPOLL_CTL_ADD, b, EPOLLIN, 0));
	CHECK_ERRNO(ctl(b, EPOLL_CTL_ADD, a, EPOLLIN, 0), ELOOP);
	for (int i = 0; i < 7; i++)
		eps[i] = CHECK_OK(epoll_create1(0));
	int failed = 0;
	for (int i = 0; i < 6 && !failed; i++)
		failed = ctl(eps[i], EPOLL_CTL_ADD, eps[i + 1], EPOLLIN, 0) < 0;
	CHECK(failed); /* five levels are the limit */
	CHECK_EQ(errno, ELOOP);
}

static volatile sig_atomic_t hits;

static void count(int sig MAYBE_UNUSED)
{
	hits++;
}

TEST(pwait_mask_lets_pending_signal_through)
{
	int ep = new_epoll();
	sigset_t usr1, none;
	signal(SIGUSR1, count);
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &usr1, NULL));
	raise(SIGUSR1);
	CHECK_EQ(epoll_wait(ep, out, 8, 0), 0);
	CHECK_EQ(hits, 0);
	CHECK_ERRNO(epoll_pwait(ep, out, 8, 10000, &none), EINTR);
	CHECK_EQ(hits, 1);
	raise(SIGUSR1);
	CHECK_EQ(hits, 1); /* the old mask is back */
	CHECK_ERRNO(syscall(SYS_epoll_pwait, ep, out, 8, 0, &none, 4), EINVAL);
}

TEST(socket_timer_event_together)
{
	int ep = new_epoll(), s[2], ev = CHECK_OK(eventfd(0, 0)), tm = CHECK_OK(timerfd_create(CLOCK_MONOTONIC, 0));
	struct itimerspec its = {{0, 0}, {0, 1}};
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLOUT, 1));
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, ev, EPOLLIN, 2));
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, tm, EPOLLIN, 3));
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].events, EPOLLOUT);
	put(s[1]);
	CHECK_OK(timerfd_settime(tm, 0, &its, NULL));
	uint64_t one = 1;
	CHECK_EQ(write(ev, &one, 8), 8);
	msleep(60);
	CHECK_EQ(wait_now(ep), 3);
	int seen = 0;
	for (int i = 0; i < 3; i++) {
		seen |= 1 << out[i].data.u64;
		if (out[i].data.u64 == 1)
			CHECK_EQ(out[i].events, EPOLLIN | EPOLLOUT);
	}
	CHECK_EQ(seen, 14);
}

TEST(survives_fork_and_shares_interest)
{
	int ep = new_epoll();
	CHILD {
		CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 6));
	} CHILD_END;
	put(p[1]);
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].data.u64, 6);
}

TEST(pidfd_and_signal_wakeups)
{
	int ep = new_epoll();
	pid_t pid = xfork();
	if (pid == 0)
		for (;;)
			pause();
	int fd = CHECK_OK(syscall(SYS_pidfd_open, pid, 0));
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
	CHECK_EQ(wait_now(ep), 0);
	kill(pid, SIGKILL);
	CHECK_EQ(epoll_wait(ep, out, 8, 10000), 1);
	CHECK_EQ(out[0].events & EPOLLIN, EPOLLIN);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(thousand_descriptors)
{
	int ep = CHECK_OK(epoll_create1(0)), first = -1;
	for (int i = 0; i < 500; i++) {
		int fd = CHECK_OK(eventfd(0, 0));
		if (first < 0)
			first = fd;
		CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN, fd));
	}
	uint64_t one = 1;
	for (int i = 0; i < 500; i += 100)
		CHECK_EQ(write(first + i, &one, 8), 8);
	CHECK_EQ(wait_now(ep), 5);
	for (int i = 0; i < 5; i++)
		CHECK_EQ((out[i].data.u64 - first) % 100, 0);
}

TEST(packed_layout)
{
	CHECK_EQ(sizeof(struct epoll_event), 12);
	int ep = new_epoll();
	CHECK_OK(ctl(ep, EPOLL_CTL_ADD, p[1], EPOLLOUT, 0x1122334455667788));
	CHECK_EQ(wait_now(ep), 1);
	CHECK_EQ(out[0].data.u64, 0x1122334455667788);
}
