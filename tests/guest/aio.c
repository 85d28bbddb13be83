/* Linux's own asynchronous I/O: io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2). */
#include "check.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>

static long io_setup(unsigned n, aio_context_t *ctx) { return syscall(SYS_io_setup, n, ctx); }
static long io_destroy(aio_context_t ctx) { return syscall(SYS_io_destroy, ctx); }
static long io_submit(aio_context_t ctx, long n, struct iocb **list) { return syscall(SYS_io_submit, ctx, n, list); }
static long io_cancel(aio_context_t ctx, struct iocb *cb, struct io_event *e) { return syscall(SYS_io_cancel, ctx, cb, e); }
static long io_getevents(aio_context_t ctx, long min, long n, struct io_event *e, struct timespec *t)
{
	return syscall(SYS_io_getevents, ctx, min, n, e, t);
}

static aio_context_t context(unsigned n)
{
	aio_context_t ctx = 0;
	CHECK_OK(io_setup(n, &ctx));
	return ctx;
}

static struct iocb request(int op, int fd, void *buf, size_t len, long long offset)
{
	return (struct iocb){.aio_lio_opcode = op, .aio_fildes = fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = len,
			     .aio_offset = offset, .aio_data = 0x1234, .aio_key = 99};
}

/* Submits one request and returns its result. */
static long long one(aio_context_t ctx, struct iocb *cb)
{
	struct io_event e;
	CHECK_EQ(io_submit(ctx, 1, &cb), 1);
	CHECK_EQ(io_getevents(ctx, 1, 1, &e, NULL), 1);
	CHECK_EQ(e.obj, (uintptr_t)cb);
	CHECK_EQ(e.data, cb->aio_data);
	CHECK_EQ(e.res2, 0);
	CHECK_EQ(cb->aio_key, 0);
	return e.res;
}

static long submit(aio_context_t ctx, struct iocb *cb)
{
	return io_submit(ctx, 1, &cb);
}

TEST(reads_and_writes)
{
	char buf[16] = "", a[4] = "", b[8] = "";
	aio_context_t ctx = context(4);
	int fd = CHECK_OK(open("file", O_RDWR | O_CREAT, 0600));
	struct iocb cb = request(IOCB_CMD_PWRITE, fd, "hello world", 11, 2);
	CHECK_EQ(one(ctx, &cb), 11);
	cb = request(IOCB_CMD_PREAD, fd, buf, 16, 0);
	CHECK_EQ(one(ctx, &cb), 13);
	CHECK_MEM(buf, "\0\0hello world", 13);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	struct iovec iov[2] = {{a, 3}, {b, 8}};
	cb = request(IOCB_CMD_PREADV, fd, iov, 2, 2);
	CHECK_EQ(one(ctx, &cb), 11);
	CHECK_MEM(a, "hel", 3);
	CHECK_MEM(b, "lo world", 8);
	cb = request(IOCB_CMD_PWRITEV, fd, iov, 2, 0);
	CHECK_EQ(one(ctx, &cb), 11);
	cb = request(IOCB_CMD_PREAD, fd, buf, 16, 100);
	CHECK_EQ(one(ctx, &cb), 0);
	cb = request(IOCB_CMD_PREAD, fd, BAD, 4, 0);
	CHECK_EQ(one(ctx, &cb), -EFAULT);
	cb = request(IOCB_CMD_FSYNC, fd, NULL, 0, 0);
	CHECK_EQ(one(ctx, &cb), 0);
	cb = request(IOCB_CMD_FDSYNC, fd, NULL, 0, 0);
	CHECK_EQ(one(ctx, &cb), 0);
	CHECK_OK(io_destroy(ctx));
}

TEST(setup_and_destroy_errors)
{
	aio_context_t ctx = 0;
	CHECK_ERRNO(io_setup(1, BAD), EFAULT);
	CHECK_ERRNO(io_setup(0, &ctx), EINVAL);
	CHECK_ERRNO(io_setup(0xffffffff, &ctx), EINVAL);
	CHECK_ERRNO(io_setup(4000000, &ctx), EAGAIN);
	ctx = 1;
	CHECK_ERRNO(io_setup(1, &ctx), EINVAL);
	CHECK_ERRNO(io_destroy(0), EINVAL);
	CHECK_ERRNO(io_destroy(4096), EINVAL);
	ctx = context(1);
	CHECK_OK(io_destroy(ctx));
	CHECK_ERRNO(io_destroy(ctx), EINVAL);
	aio_context_t other[100];
	for (int i = 0; i < 100; i++)
		other[i] = context(1);
	for (int i = 0; i < 100; i++)
		CHECK_OK(io_destroy(other[i]));
}

TEST(submit_errors_in_order)
{
	char buf[8];
	aio_context_t ctx = context(4);
	int fd = CHECK_OK(open("file", O_RDWR | O_CREAT, 0600)), ro = CHECK_OK(open("file", O_RDONLY));
	struct iocb good = request(IOCB_CMD_PWRITE, fd, "x", 1, 0), cb, *list[2] = {&good, BAD};
	CHECK_ERRNO(io_submit(0, 1, list), EINVAL);
	CHECK_ERRNO(io_submit(ctx, -1, list), EINVAL);
	CHECK_EQ(io_submit(ctx, 0, BAD), 0);
	CHECK_ERRNO(io_submit(0, 0, BAD), EINVAL);
	CHECK_ERRNO(io_submit(ctx, 1, BAD), EFAULT);
	CHECK_ERRNO(submit(ctx, BAD), EFAULT);
	CHECK_EQ(io_submit(ctx, 2, list), 1); /* what came before an error counts */
	cb = request(77, -1, buf, 1, 0);
	CHECK_ERRNO(submit(ctx, &cb), EBADF);
	cb = request(77, fd, buf, 1, 0);
	cb.aio_reserved2 = 1;
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	cb = request(77, fd, buf, 1, 0);
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	CHECK_EQ(cb.aio_key, 0);
	cb = request(6, fd, buf, 1, 0); /* IOCB_CMD_NOOP never was */
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	cb = request(IOCB_CMD_PREAD, fd, buf, -1, 0);
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	cb = request(IOCB_CMD_PREAD, fd, buf, 1, -1);
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	cb = request(IOCB_CMD_PWRITE, ro, buf, 1, 0);
	CHECK_ERRNO(submit(ctx, &cb), EBADF);
	cb = request(IOCB_CMD_PREADV, fd, BAD, 1, 0);
	CHECK_ERRNO(submit(ctx, &cb), EFAULT);
	cb = request(IOCB_CMD_PREADV, fd, buf, 1025, 0);
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	cb = request(IOCB_CMD_PREAD, fd, buf, 1, 0);
	cb.aio_rw_flags = 0x4000;
	CHECK_ERRNO(submit(ctx, &cb), EOPNOTSUPP);
	cb = request(IOCB_CMD_PREAD, fd, buf, 1, 0);
	cb.aio_flags = IOCB_FLAG_RESFD;
	cb.aio_resfd = 999;
	CHECK_ERRNO(submit(ctx, &cb), EBADF);
	cb.aio_resfd = fd;
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	cb = request(IOCB_CMD_FSYNC, fd, buf, 0, 0);
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	cb = request(IOCB_CMD_POLL, fd, (void *)0x10001, 0, 0);
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
	cb = request(IOCB_CMD_POLL, fd, (void *)POLLIN, 1, 0);
	CHECK_ERRNO(submit(ctx, &cb), EINVAL);
}

TEST(getevents_rules)
{
	struct io_event e[4];
	struct timespec zero = {0, 0}, soon = {0, 50000000};
	aio_context_t ctx = context(4);
	CHECK_ERRNO(io_getevents(0, 0, 1, e, NULL), EINVAL);
	CHECK_ERRNO(io_getevents(0, 0, 1, e, BAD), EFAULT);
	CHECK_ERRNO(io_getevents(ctx, 2, 1, e, NULL), EINVAL);
	CHECK_ERRNO(io_getevents(ctx, -1, 1, e, NULL), EINVAL);
	CHECK_EQ(io_getevents(ctx, 0, 4, e, NULL), 0);
	CHECK_EQ(io_getevents(ctx, 1, 4, e, &zero), 0);
	long long before = now_ms();
	CHECK_EQ(io_getevents(ctx, 1, 4, e, &soon), 0);
	CHECK_GE(now_ms() - before, 45);
	int fd = CHECK_OK(open("file", O_RDWR | O_CREAT, 0600));
	struct iocb a = request(IOCB_CMD_PWRITE, fd, "x", 1, 0), b = a, c = a, *list[] = {&a, &b, &c};
	CHECK_EQ(io_submit(ctx, 3, list), 3);
	CHECK_EQ(io_getevents(ctx, 1, 1, e, NULL), 1);
	CHECK_EQ(io_getevents(ctx, 3, 4, e, &soon), 2);
	CHECK_EQ(io_submit(ctx, 1, list), 1);
	CHECK_ERRNO(io_getevents(ctx, 1, 1, BAD, NULL), EFAULT);
}

TEST(poll_waits)
{
	int p[2];
	struct io_event e;
	struct timespec zero = {0, 0};
	aio_context_t ctx = context(4);
	CHECK_OK(pipe(p));
	struct iocb cb = request(IOCB_CMD_POLL, p[1], (void *)POLLOUT, 0, 0);
	CHECK_EQ(one(ctx, &cb), POLLOUT);
	cb = request(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
	CHECK_EQ(submit(ctx, &cb), 1);
	CHECK_EQ(io_getevents(ctx, 1, 1, &e, &zero), 0);
	pid_t pid = xfork();
	if (pid == 0) {
		msleep(50);
		_exit(write(p[1], "x", 1) == 1 ? 0 : 1);
	}
	CHECK_EQ(io_getevents(ctx, 1, 1, &e, NULL), 1);
	CHECK_EQ(e.res & ~POLLRDNORM, POLLIN);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(io_getevents(ctx, 0, 1, &e, &zero), 0); /* once */
}

TEST(cancel_a_poll)
{
	int p[2];
	struct io_event e = {0};
	aio_context_t ctx = context(4);
	CHECK_OK(pipe(p));
	struct iocb cb = request(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
	CHECK_ERRNO(io_cancel(ctx, BAD, &e), EFAULT);
	CHECK_ERRNO(io_cancel(ctx, &cb, &e), EINVAL); /* its key is not ours */
	CHECK_EQ(submit(ctx, &cb), 1);
	CHECK_ERRNO(io_cancel(0, &cb, &e), EINVAL);
	CHECK_ERRNO(io_cancel(ctx, &cb, &e), EINPROGRESS);
	CHECK_EQ(io_getevents(ctx, 1, 1, &e, NULL), 1);
	CHECK_EQ(e.res, 0);
	CHECK_ERRNO(io_cancel(ctx, &cb, &e), EINVAL);
	CHECK_EQ(submit(ctx, &cb), 1);
	CHECK_OK(io_destroy(ctx));
}

TEST(an_eventfd_tells_of_completions)
{
	int p[2], ev = CHECK_OK(eventfd(0, EFD_NONBLOCK)), fd = CHECK_OK(open("file", O_RDWR | O_CREAT, 0600));
	uint64_t count;
	struct io_event e;
	aio_context_t ctx = context(4);
	struct iocb cb = request(IOCB_CMD_PWRITE, fd, "x", 1, 0);
	cb.aio_flags = IOCB_FLAG_RESFD;
	cb.aio_resfd = ev;
	CHECK_EQ(one(ctx, &cb), 1);
	CHECK_EQ(read(ev, &count, 8), 8);
	CHECK_EQ(count, 1);
	CHECK_OK(pipe(p));
	cb = request(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
	cb.aio_flags = IOCB_FLAG_RESFD;
	cb.aio_resfd = ev;
	CHECK_EQ(submit(ctx, &cb), 1);
	CHECK_ERRNO(read(ev, &count, 8), EAGAIN);
	CHECK_EQ(write(p[1], "x", 1), 1);
	struct pollfd wait = {.fd = ev, .events = POLLIN};
	CHECK_EQ(poll(&wait, 1, 5000), 1);
	CHECK_EQ(io_getevents(ctx, 1, 1, &e, NULL), 1);
	CHECK_EQ(e.res & ~POLLRDNORM, POLLIN);
	/* an eventfd that tells of itself */
	CHECK_EQ(read(ev, &count, 8), 8);
	cb = request(IOCB_CMD_POLL, ev, (void *)POLLIN, 0, 0);
	cb.aio_flags = IOCB_FLAG_RESFD;
	cb.aio_resfd = ev;
	CHECK_EQ(submit(ctx, &cb), 1);
	count = 1;
	CHECK_EQ(write(ev, &count, 8), 8);
	CHECK_EQ(io_getevents(ctx, 1, 1, &e, NULL), 1);
	CHECK_EQ(e.res & ~POLLRDNORM, POLLIN);
}

static void nothing(int sig MAYBE_UNUSED)
{
}

TEST(signals_interrupt_waiting)
{
	struct io_event e;
	struct sigaction act = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	sigset_t none, alarm_only;
	aio_context_t ctx = context(4);
	CHECK_OK(sigaction(SIGALRM, &act, NULL));
	ualarm(50000, 0);
	CHECK_ERRNO(io_getevents(ctx, 1, 1, &e, NULL), EINTR);
	sigemptyset(&none);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	CHECK_OK(sigprocmask(SIG_BLOCK, &alarm_only, NULL));
	struct { const void *set; size_t size; } mask = {&none, 8};
	ualarm(50000, 0);
	CHECK_ERRNO(syscall(SYS_io_pgetevents, ctx, 1, 1, &e, NULL, &mask), EINTR);
	mask.size = 4;
	CHECK_ERRNO(syscall(SYS_io_pgetevents, ctx, 1, 1, &e, NULL, &mask), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_pgetevents, ctx, 1, 1, &e, NULL, BAD), EFAULT);
	mask.size = 8;
	struct timespec zero = {0, 0};
	CHECK_EQ(syscall(SYS_io_pgetevents, ctx, 0, 1, &e, &zero, &mask), 0);
}

TEST(pipes_and_devices)
{
	int p[2];
	char buf[8];
	aio_context_t ctx = context(4);
	CHECK_OK(pipe(p));
	struct iocb cb = request(IOCB_CMD_PWRITE, p[1], "abc", 3, 0);
	CHECK_EQ(one(ctx, &cb), 3);
	cb = request(IOCB_CMD_PREAD, p[0], buf, 8, 0);
	CHECK_EQ(one(ctx, &cb), 3);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	cb = request(IOCB_CMD_PWRITE, p[1], "abc", 3, 0);
	CHECK_EQ(one(ctx, &cb), -EPIPE);
	int zero = CHECK_OK(open("/dev/zero", O_RDONLY));
	cb = request(IOCB_CMD_PREAD, zero, buf, 8, 0);
	CHECK_EQ(one(ctx, &cb), 8);
}

TEST(a_child_has_no_contexts)
{
	struct io_event e;
	aio_context_t ctx = context(4);
	CHILD {
		CHECK_ERRNO(io_getevents(ctx, 0, 1, &e, NULL), EINVAL);
	} CHILD_END;
	CHECK_EQ(io_getevents(ctx, 0, 1, &e, NULL), 0);
}

TEST(slots_run_out)
{
	aio_context_t ctx = context(1);
	int p[2], n = 0;
	CHECK_OK(pipe(p));
	static struct iocb cb[4096];
	for (; n < 4096; n++) {
		cb[n] = request(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
		if (submit(ctx, &cb[n]) < 0)
			break;
	}
	CHECK_EQ(errno, EAGAIN);
	CHECK_GE(n, 1);
	CHECK_LT(n, 4096);
}
