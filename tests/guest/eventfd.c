/* eventfd: counter, semaphore mode, blocking, poll. */
#include "check.h"
#include <poll.h>
#include <sys/eventfd.h>

static uint64_t value;

static int poll_now(int fd)
{
	struct pollfd f = {fd, POLLIN | POLLOUT, 0};
	CHECK_OK(poll(&f, 1, 0));
	return f.revents;
}

static long get(int fd)
{
	value = 0;
	return read(fd, &value, 8);
}

static long add(int fd, uint64_t v)
{
	return write(fd, &v, 8);
}

TEST(counter_adds_and_clears)
{
	int fd = CHECK_OK(eventfd(5, EFD_NONBLOCK));
	CHECK_EQ(add(fd, 3), 8);
	CHECK_EQ(get(fd), 8);
	CHECK_EQ(value, 8);
	CHECK_ERRNO(get(fd), EAGAIN);
}

TEST(semaphore_counts_down)
{
	int fd = CHECK_OK(eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE));
	CHECK_EQ(get(fd), 8);
	CHECK_EQ(value, 1);
	CHECK_EQ(get(fd), 8);
	CHECK_EQ(value, 1);
	CHECK_ERRNO(get(fd), EAGAIN);
}

TEST(flags_and_errors)
{
	int fd = CHECK_OK(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	char small[4];
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_ERRNO(eventfd(0, 0x10), EINVAL);
	CHECK_ERRNO(read(fd, small, 4), EINVAL);
	CHECK_ERRNO(write(fd, small, 4), EINVAL);
	CHECK_ERRNO(add(fd, UINT64_MAX), EINVAL);
	CHECK_ERRNO(read(fd, BAD, 8), EAGAIN); /* nothing there yet: not looked at */
	CHECK_ERRNO(write(fd, BAD, 8), EFAULT);
	CHECK_ERRNO(pread(fd, &value, 8, 0), ESPIPE);
}

TEST(overflow)
{
	int fd = CHECK_OK(eventfd(0, EFD_NONBLOCK));
	CHECK_EQ(add(fd, UINT64_MAX - 1), 8);
	CHECK_ERRNO(add(fd, 1), EAGAIN);
	CHECK_EQ(poll_now(fd), POLLIN);
	CHECK_EQ(add(fd, 0), 8);
	CHECK_EQ(get(fd), 8);
	CHECK_EQ(value, UINT64_MAX - 1);
}

TEST(poll_states)
{
	int fd = CHECK_OK(eventfd(0, 0));
	CHECK_EQ(poll_now(fd), POLLOUT);
	CHECK_EQ(add(fd, 1), 8);
	CHECK_EQ(poll_now(fd), POLLIN | POLLOUT);
	CHECK_EQ(get(fd), 8);
	CHECK_EQ(poll_now(fd), POLLOUT);
}

TEST(read_blocks_until_written)
{
	int fd = CHECK_OK(eventfd(0, 0));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(get(fd) == 8 ? (int)value : 99);
	wait_asleep(pid);
	CHECK_EQ(add(fd, 7), 8);
	CHECK_EQ(wait_exit(pid), 7);
}

TEST(write_blocks_until_read)
{
	int fd = CHECK_OK(eventfd(0, 0));
	CHECK_EQ(add(fd, UINT64_MAX - 1), 8);
	pid_t pid = xfork();
	if (pid == 0)
		_exit(add(fd, 5) == 8 ? 0 : 1);
	wait_asleep(pid);
	CHECK_EQ(get(fd), 8);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(get(fd), 8);
	CHECK_EQ(value, 5);
}

TEST(semaphore_wakes_as_many_as_it_holds)
{
	int fd = CHECK_OK(eventfd(0, EFD_SEMAPHORE));
	pid_t pids[3];
	for (int i = 0; i < 3; i++) {
		pids[i] = xfork();
		if (pids[i] == 0)
			_exit(get(fd) == 8 && value == 1 ? 0 : 1);
		wait_asleep(pids[i]);
	}
	CHECK_EQ(add(fd, 3), 8);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(wait_exit(pids[i]), 0);
	CHECK_EQ(poll_now(fd), POLLOUT);
}

TEST(fdinfo_shows_count)
{
	char path[64], buf[512];
	int fd = CHECK_OK(eventfd(0x2a, 0));
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	CHECK_GT(read_file(path, buf, sizeof buf), 0);
	CHECK(strstr(buf, "eventfd-count:               2a") != NULL);
}
