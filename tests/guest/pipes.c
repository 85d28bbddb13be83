/* Pipes and FIFOs: capacity, atomicity, ends, nonblocking, poll states. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static int p[2];

static void open_pipe(int flags)
{
	CHECK_OK(pipe2(p, flags));
}

static int poll_now(int fd, short events)
{
	struct pollfd f = {fd, events, 0};
	CHECK_OK(poll(&f, 1, 0));
	return f.revents;
}

static size_t fill(int fd)
{
	static char buf[4096];
	size_t total = 0;
	ssize_t n;
	CHECK_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
	while ((n = write(fd, buf, sizeof buf)) > 0)
		total += n;
	CHECK_EQ(errno, EAGAIN);
	CHECK_OK(fcntl(fd, F_SETFL, 0));
	return total;
}

static volatile sig_atomic_t hits;

static void count(int sig MAYBE_UNUSED)
{
	hits++;
}

TEST(data_passes_in_order)
{
	char buf[16] = "";
	open_pipe(0);
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_EQ(write(p[1], "def", 3), 3);
	CHECK_EQ(read(p[0], buf, 4), 4);
	CHECK_STR(buf, "abcd");
	CHECK_EQ(read(p[0], buf, 16), 2);
}

TEST(ends_are_one_way)
{
	char c;
	open_pipe(0);
	CHECK_ERRNO(write(p[0], "x", 1), EBADF);
	CHECK_ERRNO(read(p[1], &c, 1), EBADF);
	CHECK_EQ(fcntl(p[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK_EQ(fcntl(p[1], F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST(pipe2_flags)
{
	int q[2];
	CHECK_OK(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(fcntl(p[i], F_GETFD), FD_CLOEXEC);
		CHECK_EQ(fcntl(p[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	}
	CHECK_ERRNO(pipe2(q, O_APPEND), EINVAL);
	CHECK_ERRNO(syscall(SYS_pipe2, BAD, 0), EFAULT);
	CHECK_EQ(dup(0), p[1] + 1); /* the failures took no descriptors */
}

TEST(end_of_file_when_writers_are_gone)
{
	char buf[4];
	open_pipe(0);
	int d = CHECK_OK(dup(p[1]));
	CHECK_EQ(write(p[1], "x", 1), 1);
	close(p[1]);
	CHECK_EQ(read(p[0], buf, 4), 1);
	CHECK_OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(p[0], buf, 4), EAGAIN);
	close(d);
	CHECK_EQ(read(p[0], buf, 4), 0);
	CHECK_EQ(read(p[0], buf, 4), 0);
}

TEST(reader_wakes_at_end_of_file)
{
	char c;
	open_pipe(0);
	pid_t pid = xfork();
	if (pid == 0) {
		close(p[1]);
		_exit(read(p[0], &c, 1) == 0 ? 0 : 1);
	}
	wait_asleep(pid);
	close(p[1]);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(writer_wakes_with_epipe)
{
	open_pipe(0);
	fill(p[1]);
	pid_t pid = xfork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_IGN);
		close(p[0]);
		_exit(write(p[1], "x", 1) < 0 ? errno : 0);
	}
	wait_asleep(pid);
	close(p[0]);
	CHECK_EQ(wait_exit(pid), EPIPE);
}

TEST(zero_bytes)
{
	char c;
	open_pipe(O_NONBLOCK);
	CHECK_EQ(write(p[1], "", 0), 0);
	CHECK_EQ(read(p[0], &c, 0), 0);
	CHECK_ERRNO(read(p[0], &c, 1), EAGAIN);
	close(p[0]);
	signal(SIGPIPE, count);
	CHECK_EQ(write(p[1], "", 0), 0); /* nothing to write: no error */
	CHECK_EQ(hits, 0);
}

TEST(default_capacity_is_64k)
{
	open_pipe(0);
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(fill(p[1]), 65536);
}

TEST(set_capacity)
{
	open_pipe(0);
	CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 8192), 8192);
	CHECK_EQ(fill(p[1]), 8192);
	CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
	CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 100000), 131072); /* rounded to a power of two pages */
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 131072);
	char buf[8192];
	CHECK_EQ(read(p[0], buf, sizeof buf), 8192);
	CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 1), 4096);
	CHECK_ERRNO(fcntl(0, F_GETPIPE_SZ), EBADF);
}

TEST(capacity_over_limit_needs_privilege)
{
	open_pipe(0);
	CHILD {
		become_user();
		CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
		CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 2 << 20), EPERM);
	} CHILD_END;
}

TEST(small_writes_share_pages)
{
	open_pipe(O_NONBLOCK);
	int n = 0;
	while (write(p[1], "x", 1) == 1)
		n++;
	CHECK_EQ(n, 65536);
}

TEST(nonblocking_write_is_all_or_nothing_up_to_pipe_buf)
{
	static char buf[PIPE_BUF * 2];
	open_pipe(O_NONBLOCK);
	fill(p[1]);
	CHECK_OK(fcntl(p[1], F_SETFL, O_NONBLOCK));
	CHECK_EQ(read(p[0], buf, 100), 100);
	CHECK_ERRNO(write(p[1], buf, PIPE_BUF), EAGAIN);
	CHECK_EQ(poll_now(p[1], POLLOUT), 0);
	CHECK_EQ(read(p[0], buf, PIPE_BUF - 100), PIPE_BUF - 100);
	CHECK_EQ(write(p[1], buf, PIPE_BUF), PIPE_BUF);
}

TEST(nonblocking_write_over_pipe_buf_is_partial)
{
	static char buf[200000];
	open_pipe(O_NONBLOCK);
	CHECK_EQ(write(p[1], buf, sizeof buf), 65536);
	CHECK_ERRNO(write(p[1], buf, sizeof buf), EAGAIN);
	CHECK_EQ(read(p[0], buf, 8192), 8192);
	CHECK_EQ(write(p[1], buf, sizeof buf), 8192);
}

TEST(blocking_write_of_more_than_capacity_completes)
{
	static char buf[300000];
	open_pipe(0);
	pid_t pid = xfork();
	if (pid == 0) {
		close(p[0]);
		_exit(write(p[1], buf, sizeof buf) == sizeof buf ? 0 : 1);
	}
	close(p[1]);
	size_t total = 0;
	ssize_t n;
	while ((n = read(p[0], buf, 10000)) > 0)
		total += n;
	CHECK_EQ(total, 300000);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(concurrent_small_writes_do_not_mix)
{
	char rec[64];
	open_pipe(0);
	for (int w = 0; w < 4; w++) {
		if (xfork() == 0) {
			close(p[0]);
			memset(rec, 'a' + w, sizeof rec);
			for (int i = 0; i < 300; i++)
				if (write(p[1], rec, sizeof rec) != sizeof rec)
					_exit(1);
			_exit(0);
		}
	}
	close(p[1]);
	int n = 0;
	ssize_t r;
	while ((r = read(p[0], rec, sizeof rec)) > 0) {
		CHECK_EQ(r, sizeof rec);
		for (size_t i = 1; i < sizeof rec; i++)
			CHECK_EQ(rec[i], rec[0]);
		n++;
	}
	CHECK_EQ(n, 1200);
}

TEST(fionread)
{
	int n = -1;
	open_pipe(0);
	CHECK_OK(ioctl(p[0], FIONREAD, &n));
	CHECK_EQ(n, 0);
	CHECK_EQ(write(p[1], "hello", 5), 5);
	CHECK_EQ(write(p[1], "world!", 6), 6);
	CHECK_OK(ioctl(p[0], FIONREAD, &n));
	CHECK_EQ(n, 11);
	CHECK_OK(ioctl(p[1], FIONREAD, &n));
	CHECK_EQ(n, 11);
}

TEST(poll_states)
{
	char c;
	open_pipe(0);
	CHECK_EQ(poll_now(p[0], POLLIN | POLLOUT), 0);
	CHECK_EQ(poll_now(p[1], POLLIN | POLLOUT), POLLOUT);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(poll_now(p[0], POLLIN | POLLRDNORM), POLLIN | POLLRDNORM);
	close(p[1]);
	CHECK_EQ(poll_now(p[0], POLLIN), POLLIN | POLLHUP);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(poll_now(p[0], POLLIN), POLLHUP);
	open_pipe(0);
	close(p[0]);
	CHECK_EQ(poll_now(p[1], POLLOUT), POLLOUT | POLLERR);
	open_pipe(0);
	fill(p[1]);
	CHECK_EQ(poll_now(p[1], POLLOUT), 0);
	close(p[0]);
	CHECK_EQ(poll_now(p[1], POLLOUT) & POLLERR, POLLERR);
}

TEST(packet_mode)
{
	char buf[16];
	open_pipe(O_DIRECT);
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_EQ(write(p[1], "defg", 4), 4);
	CHECK_EQ(read(p[0], buf, 2), 2);
	CHECK_EQ(read(p[0], buf, sizeof buf), 4); /* the rest of the first packet is lost */
	CHECK_MEM(buf, "defg", 4);
}

TEST(vectors_through_a_pipe)
{
	char a[3] = "", b[4] = "";
	struct iovec out[2] = {{"ab", 2}, {"cde", 3}}, in[2] = {{a, 2}, {b, 3}};
	open_pipe(0);
	CHECK_EQ(writev(p[1], out, 2), 5);
	CHECK_EQ(readv(p[0], in, 2), 5);
	CHECK_STR(a, "ab");
	CHECK_STR(b, "cde");
}

TEST(read_fault_keeps_data)
{
	char c;
	open_pipe(0);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_ERRNO(read(p[0], BAD, 1), EFAULT);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(c, 'x');
	CHECK_ERRNO(write(p[1], BAD, 1), EFAULT);
}

static void *read_one(void *arg)
{
	char c;
	return (void *)read(*(int *)arg, &c, 1);
}

TEST(two_readers_get_one_byte_each)
{
	pthread_t t[2];
	void *r[2];
	open_pipe(0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, read_one, &p[0]), 0);
	msleep(60);
	CHECK_EQ(write(p[1], "ab", 2), 2);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(pthread_join(t[i], &r[i]), 0);
		CHECK_EQ((long)r[i], 1);
	}
}

TEST(reopen_through_proc)
{
	char path[64], c;
	open_pipe(0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
	int w = CHECK_OK(open(path, O_WRONLY)); /* the other direction of the same pipe */
	CHECK_EQ(write(w, "z", 1), 1);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(c, 'z');
}

/* ---- FIFOs ---- */

TEST(fifo_open_waits_for_the_other_side)
{
	char c;
	CHECK_OK(mkfifo("f", 0600));
	pid_t pid = xfork();
	if (pid == 0) {
		int w = CHECK_OK(open("f", O_WRONLY));
		_exit(write(w, "x", 1) != 1);
	}
	wait_asleep(pid);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	int r = CHECK_OK(open("f", O_RDONLY));
	CHECK_EQ(read(r, &c, 1), 1);
	CHECK_EQ(read(r, &c, 1), 0);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(fifo_nonblocking_open)
{
	char c;
	CHECK_OK(mkfifo("f", 0600));
	CHECK_ERRNO(open("f", O_WRONLY | O_NONBLOCK), ENXIO);
	int r = CHECK_OK(open("f", O_RDONLY | O_NONBLOCK));
	CHECK_EQ(read(r, &c, 1), 0); /* no writer: end of file, not EAGAIN */
	CHECK_EQ(poll_now(r, POLLIN), 0); /* and no hang-up before the first writer */
	int w = CHECK_OK(open("f", O_WRONLY | O_NONBLOCK));
	CHECK_ERRNO(read(r, &c, 1), EAGAIN);
	close(w);
	CHECK_EQ(poll_now(r, POLLIN), POLLHUP);
	w = CHECK_OK(open("f", O_WRONLY));
	CHECK_EQ(poll_now(r, POLLIN), 0);
}

TEST(fifo_read_write_open_never_waits)
{
	char c;
	CHECK_OK(mkfifo("f", 0600));
	int rw = CHECK_OK(open("f", O_RDWR));
	CHECK_EQ(write(rw, "x", 1), 1);
	CHECK_EQ(read(rw, &c, 1), 1);
	CHECK_OK(fcntl(rw, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(rw, &c, 1), EAGAIN);
}

TEST(fifo_data_is_gone_when_all_close)
{
	char c;
	CHECK_OK(mkfifo("f", 0600));
	int rw = CHECK_OK(open("f", O_RDWR | O_NONBLOCK));
	CHECK_EQ(write(rw, "x", 1), 1);
	close(rw);
	rw = CHECK_OK(open("f", O_RDWR | O_NONBLOCK));
	CHECK_ERRNO(read(rw, &c, 1), EAGAIN);
}

TEST(fifo_open_interrupted)
{
	struct sigaction sa = {.sa_handler = count};
	CHECK_OK(mkfifo("f", 0600));
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		_exit(kill(me, SIGUSR1));
	}
	CHECK_ERRNO(open("f", O_RDONLY), EINTR);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(fifo_names_one_pipe)
{
	char c;
	CHECK_OK(mkfifo("f", 0600));
	CHECK_OK(link("f", "g"));
	int a = CHECK_OK(open("f", O_RDWR)), b = CHECK_OK(open("g", O_RDWR));
	CHECK_EQ(write(a, "q", 1), 1);
	CHECK_EQ(read(b, &c, 1), 1);
	CHECK_EQ(c, 'q');
}
