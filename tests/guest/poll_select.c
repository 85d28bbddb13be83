/* poll, ppoll, select, pselect. */
#include "check.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>

static int p[2];

static void open_pipe(void)
{
	CHECK_OK(pipe(p));
}

static volatile sig_atomic_t hits;

static void count(int sig MAYBE_UNUSED)
{
	hits++;
}

static void block_usr1_and_raise(void)
{
	sigset_t s;
	signal(SIGUSR1, count);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &s, NULL));
	raise(SIGUSR1);
}

TEST(poll_reports_each)
{
	open_pipe();
	struct pollfd f[4] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {999, POLLIN, 0}, {-1, POLLIN, 99}};
	CHECK_EQ(poll(f, 4, 0), 2);
	CHECK_EQ(f[0].revents, 0);
	CHECK_EQ(f[1].revents, POLLOUT);
	CHECK_EQ(f[2].revents, POLLNVAL);
	CHECK_EQ(f[3].revents, 0);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(poll(f, 1, -1), 1);
	CHECK_EQ(f[0].revents, POLLIN);
}

TEST(poll_times_out)
{
	open_pipe();
	struct pollfd f = {p[0], POLLIN, 0};
	long long start = now_ms();
	CHECK_EQ(poll(&f, 1, 120), 0);
	CHECK_GE(now_ms() - start, 119);
	CHECK_EQ(poll(NULL, 0, 60), 0);
	CHECK_EQ(poll(NULL, 0, 0), 0);
}

TEST(poll_wakes)
{
	open_pipe();
	pid_t pid = xfork();
	if (pid == 0) {
		struct pollfd f = {p[0], POLLIN, 0};
		_exit(poll(&f, 1, -1) == 1 && f.revents == POLLIN ? 0 : 1);
	}
	wait_asleep(pid);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(poll_wakes_on_hangup)
{
	open_pipe();
	pid_t pid = xfork();
	if (pid == 0) {
		struct pollfd f = {p[0], 0, 0};
		close(p[1]);
		_exit(poll(&f, 1, -1) == 1 && f.revents == POLLHUP ? 0 : 1);
	}
	wait_asleep(pid);
	close(p[1]);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(poll_of_regular_file_is_always_ready)
{
	struct pollfd f = {CHECK_OK(open("f", O_RDWR | O_CREAT, 0600)), POLLIN | POLLOUT | POLLPRI, 0};
	CHECK_EQ(poll(&f, 1, 0), 1);
	CHECK_EQ(f.revents, POLLIN | POLLOUT);
}

TEST(poll_socket_states)
{
	int s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	struct pollfd f = {s[0], POLLIN | POLLOUT | POLLRDHUP, 0};
	CHECK_EQ(poll(&f, 1, 0), 1);
	CHECK_EQ(f.revents, POLLOUT);
	CHECK_OK(shutdown(s[1], SHUT_WR));
	CHECK_EQ(poll(&f, 1, 0), 1);
	CHECK_EQ(f.revents, POLLIN | POLLOUT | POLLRDHUP);
	close(s[1]);
	CHECK_EQ(poll(&f, 1, 0), 1);
	CHECK_EQ(f.revents, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}

TEST(poll_errors)
{
	struct rlimit r = {100, 100};
	CHECK_ERRNO(syscall(SYS_poll, BAD, 1, 0), EFAULT);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	static struct pollfd many[200];
	for (int i = 0; i < 200; i++)
		many[i].fd = -1;
	CHECK_EQ(poll(many, 100, 0), 0);
	CHECK_ERRNO(poll(many, 101, 0), EINVAL);
}

TEST(same_descriptor_twice)
{
	open_pipe();
	struct pollfd f[2] = {{p[1], POLLOUT, 0}, {p[1], POLLOUT | POLLIN, 0}};
	CHECK_EQ(poll(f, 2, 0), 2);
	CHECK_EQ(f[0].revents, POLLOUT);
	CHECK_EQ(f[1].revents, POLLOUT);
}

TEST(ppoll_timeout_and_mask)
{
	struct timespec t = {0, 120000000}, bad = {0, 1000000000}, neg = {-1, 0};
	sigset_t none;
	long long start = now_ms();
	sigemptyset(&none);
	CHECK_EQ(ppoll(NULL, 0, &t, NULL), 0);
	CHECK_GE(now_ms() - start, 119);
	CHECK_EQ(t.tv_nsec, 120000000); /* the library hides what the kernel writes back */
	CHECK_ERRNO(ppoll(NULL, 0, &bad, NULL), EINVAL);
	CHECK_ERRNO(ppoll(NULL, 0, &neg, NULL), EINVAL);
	block_usr1_and_raise();
	CHECK_ERRNO(ppoll(NULL, 0, NULL, &none), EINTR);
	CHECK_EQ(hits, 1);
	raise(SIGUSR1);
	CHECK_EQ(hits, 1);
}

TEST(raw_ppoll_writes_remaining_time)
{
	struct timespec t = {0, 60000000};
	CHECK_EQ(syscall(SYS_ppoll, NULL, 0, &t, NULL, 8), 0);
	CHECK_EQ(t.tv_sec, 0);
	CHECK_EQ(t.tv_nsec, 0);
	open_pipe();
	CHECK_EQ(write(p[1], "x", 1), 1);
	struct pollfd f = {p[0], POLLIN, 0};
	t = (struct timespec){10, 0};
	CHECK_EQ(syscall(SYS_ppoll, &f, 1, &t, NULL, 8), 1);
	CHECK_GE(t.tv_sec, 5);
	sigset_t none;
	sigemptyset(&none);
	CHECK_ERRNO(syscall(SYS_ppoll, &f, 1, &t, &none, 4), EINVAL);
}

TEST(select_sets)
{
	fd_set r, w, e;
	open_pipe();
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&e);
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	FD_SET(p[0], &e);
	CHECK_EQ(select(p[1] + 1, &r, &w, &e, NULL), 1);
	CHECK(!FD_ISSET(p[0], &r));
	CHECK(FD_ISSET(p[1], &w));
	CHECK(!FD_ISSET(p[0], &e));
	CHECK_EQ(write(p[1], "x", 1), 1);
	FD_SET(p[0], &r);
	CHECK_EQ(select(p[1] + 1, &r, &w, NULL, &(struct timeval){0, 0}), 2);
}

TEST(select_end_of_file_is_readable)
{
	fd_set r;
	open_pipe();
	close(p[1]);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	CHECK_EQ(select(p[0] + 1, &r, NULL, NULL, &(struct timeval){0, 0}), 1);
}

TEST(select_errors)
{
	fd_set r;
	FD_ZERO(&r);
	FD_SET(200, &r);
	CHECK_ERRNO(select(201, &r, NULL, NULL, &(struct timeval){0, 0}), EBADF);
	CHECK_ERRNO(select(-1, NULL, NULL, NULL, &(struct timeval){0, 0}), EINVAL);
	CHECK_ERRNO(select(0, NULL, NULL, NULL, &(struct timeval){-1, 0}), EINVAL);
	CHECK_ERRNO(syscall(SYS_select, 10, BAD, NULL, NULL, NULL), EFAULT);
	CHECK_EQ(select(200, &r, NULL, NULL, &(struct timeval){0, 0}), 0); /* 200 itself is outside */
	CHECK_EQ(select(1 << 20, NULL, NULL, NULL, &(struct timeval){0, 0}), 0); /* cut to what the process has */
}

TEST(select_times_out_and_writes_remaining_time)
{
	struct timeval t = {0, 120000};
	long long start = now_ms();
	CHECK_EQ(syscall(SYS_select, 0, NULL, NULL, NULL, &t), 0);
	CHECK_GE(now_ms() - start, 119);
	CHECK_EQ(t.tv_sec, 0);
	CHECK_EQ(t.tv_usec, 0);
	open_pipe();
	fd_set w;
	FD_ZERO(&w);
	FD_SET(p[1], &w);
	t = (struct timeval){10, 0};
	CHECK_EQ(syscall(SYS_select, p[1] + 1, NULL, &w, NULL, &t), 1);
	CHECK_GE(t.tv_sec * 1000000 + t.tv_usec, 5000000);
}

TEST(pselect_mask)
{
	sigset_t none;
	struct timespec t = {10, 0};
	sigemptyset(&none);
	block_usr1_and_raise();
	CHECK_ERRNO(pselect(0, NULL, NULL, NULL, &t, &none), EINTR);
	CHECK_EQ(hits, 1);
	raise(SIGUSR1);
	CHECK_EQ(hits, 1);
	CHECK_EQ(t.tv_sec, 10);
}

TEST(ready_descriptor_wins_over_pending_signal)
{
	sigset_t none;
	sigemptyset(&none);
	open_pipe();
	CHECK_EQ(write(p[1], "x", 1), 1);
	block_usr1_and_raise();
	struct pollfd f = {p[0], POLLIN, 0};
	CHECK_EQ(ppoll(&f, 1, NULL, &none), 1);
	CHECK_EQ(hits, 0); /* the call succeeded, so the old mask was restored before delivery */
}

TEST(select_high_descriptor)
{
	fd_set w;
	open_pipe();
	CHECK_EQ(dup2(p[1], 700), 700);
	FD_ZERO(&w);
	FD_SET(700, &w);
	CHECK_EQ(select(701, NULL, &w, NULL, NULL), 1);
	CHECK(FD_ISSET(700, &w));
}

TEST(many_descriptors)
{
	struct pollfd f[200];
	open_pipe();
	for (int i = 0; i < 200; i++)
		f[i] = (struct pollfd){CHECK_OK(dup(i % 2 ? p[0] : p[1])), POLLIN | POLLOUT, 0};
	CHECK_EQ(poll(f, 200, 0), 100);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(poll(f, 200, 0), 200);
}
