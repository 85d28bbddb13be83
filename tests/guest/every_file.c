/* What calls that are not for a kind of file say about it: every kind of file, one line each. */
#include "check.h"
#include <linux/fs.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/timex.h>

enum { PIPE_READ, PIPE_WRITE, TCP, UNIX_STREAM, UNIX_DGRAM, REGULAR, DIRECTORY, EVENTFD, TIMERFD, EPOLL, INOTIFY, NULL_DEVICE, SIGNALFD, MEMFD, KINDS };
static int fds[KINDS];

static void open_all(void)
{
	int p[2];
	sigset_t none;
	sigemptyset(&none);
	CHECK_OK(pipe(p));
	fds[PIPE_READ] = p[0];
	fds[PIPE_WRITE] = p[1];
	fds[TCP] = CHECK_OK(socket(AF_INET, SOCK_STREAM, 0));
	fds[UNIX_STREAM] = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
	fds[UNIX_DGRAM] = CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
	fds[REGULAR] = CHECK_OK(open("file", O_RDWR | O_CREAT, 0600));
	fds[DIRECTORY] = CHECK_OK(open(".", O_RDONLY));
	fds[EVENTFD] = CHECK_OK(eventfd(0, EFD_NONBLOCK));
	fds[TIMERFD] = CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	fds[EPOLL] = CHECK_OK(epoll_create1(0));
	fds[INOTIFY] = CHECK_OK(inotify_init1(IN_NONBLOCK));
	fds[NULL_DEVICE] = CHECK_OK(open("/dev/null", O_RDWR));
	fds[SIGNALFD] = CHECK_OK(signalfd(-1, &none, SFD_NONBLOCK));
	fds[MEMFD] = CHECK_OK(memfd_create("m", 0));
}

/* Checks the results of `call` (with `fd`) for all kinds: 0 or an errno, in the order of the enum. */
#define FOR_ALL(call, ...)                                                                            \
	do {                                                                                          \
		static const int want[KINDS] = {__VA_ARGS__};                                         \
		for (int kind = 0; kind < KINDS; kind++) {                                            \
			int fd = fds[kind];                                                           \
			errno = 0;                                                                    \
			long got = (call) == -1 ? errno : 0;                                          \
			if (got != want[kind])                                                        \
				FAIL("%s of kind %d got %s want %s", #call, kind, errname(got), errname(want[kind])); \
		}                                                                                     \
	} while (0)

TEST(seeking)
{
	open_all();
	FOR_ALL(lseek(fd, 0, SEEK_CUR), ESPIPE, ESPIPE, ESPIPE, ESPIPE, ESPIPE, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	CHECK_EQ(lseek(fds[EVENTFD], 77, SEEK_SET), 0);
	CHECK_ERRNO(lseek(fds[EVENTFD], 0, 9), EINVAL);
}

TEST(positions_come_before_access_modes)
{
	char c;
	open_all();
	CHECK_ERRNO(pread(fds[PIPE_WRITE], &c, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(fds[PIPE_READ], &c, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(fds[INOTIFY], &c, 1, 0), ESPIPE);
	CHECK_ERRNO(pread(CHECK_OK(open("file", O_WRONLY)), &c, 1, 0), EBADF);
}

TEST(cloning)
{
	open_all();
	FOR_ALL(ioctl(fd, FICLONE, 999), EBADF, EBADF, EBADF, EBADF, EBADF, EBADF, EBADF, EBADF, EBADF, EBADF, EBADF, EBADF, EBADF, EBADF);
	int other = CHECK_OK(open("other", O_RDWR | O_CREAT, 0600)), ro = CHECK_OK(open("other", O_RDONLY));
	int kinds[] = {PIPE_READ, PIPE_WRITE, TCP, UNIX_STREAM, EVENTFD, TIMERFD, EPOLL, INOTIFY, SIGNALFD, MEMFD};
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
		CHECK_ERRNO(ioctl(fds[kinds[i]], FICLONE, other), EXDEV);
	CHECK_ERRNO(ioctl(fds[DIRECTORY], FICLONE, other), EISDIR);
	CHECK_ERRNO(ioctl(ro, FICLONE, fds[REGULAR]), EBADF);
	CHECK_ERRNO(ioctl(fds[REGULAR], FICLONERANGE, BAD), EFAULT);
}

TEST(asynchronous_notification)
{
	int on = 1, off = 0;
	open_all();
	signal(SIGIO, SIG_IGN);
	FOR_ALL(ioctl(fd, FIOASYNC, &off), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	FOR_ALL(ioctl(fd, FIOASYNC, &on), 0, 0, 0, 0, 0, ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY, 0, ENOTTY, ENOTTY, ENOTTY);
	CHECK_OK(fcntl(fds[EVENTFD], F_SETFL, O_ASYNC));
	CHECK_EQ(fcntl(fds[EVENTFD], F_GETFL) & O_ASYNC, 0);
	CHECK_EQ(fcntl(fds[PIPE_READ], F_GETFL) & O_ASYNC, O_ASYNC);
}

TEST(unknown_ioctls)
{
	int n;
	open_all();
	FOR_ALL(ioctl(fd, 0x12345678, &n), ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY, EINVAL, ENOTTY, ENOTTY, ENOTTY, ENOTTY);
	CHECK_ERRNO(ioctl(fds[EPOLL], FIONREAD, &n), EINVAL);
	CHECK_ERRNO(ioctl(fds[UNIX_DGRAM], 0x8905 /* SIOCATMARK */, &n), EOPNOTSUPP);
}

TEST(space)
{
	open_all();
	FOR_ALL(fallocate(fd, 0, 0, 1), EBADF, ESPIPE, ENODEV, ENODEV, ENODEV, 0, EBADF, ENODEV, ENODEV, ENODEV, EBADF, ENODEV, ENODEV, 0);
	CHECK_ERRNO(fallocate(fds[PIPE_READ], 0x100, 0, 1), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fds[PIPE_READ], 0, 0, 0), EINVAL);
	CHECK_ERRNO(sync_file_range(fds[NULL_DEVICE], 0, 0, 0), ESPIPE);
	CHECK_ERRNO(sync_file_range(fds[EVENTFD], 0, 0, 0), ESPIPE);
}

TEST(leases_and_notes_that_are_not_there)
{
	open_all();
	FOR_ALL(fcntl(fd, F_NOTIFY, 0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	CHECK_ERRNO(fcntl(fds[REGULAR], F_NOTIFY, DN_CREATE), ENOTDIR);
	CHECK_ERRNO(fcntl(fds[REGULAR], F_SETLEASE, F_UNLCK), EAGAIN);
	CHECK_EQ(fcntl(fds[REGULAR], F_GETLEASE), F_UNLCK);
	CHECK_ERRNO(fcntl(fds[PIPE_READ], F_SETLEASE, F_UNLCK), EINVAL);
}

TEST(levels_of_socket_options)
{
	int value;
	socklen_t len = sizeof value;
	int tcp = CHECK_OK(socket(AF_INET, SOCK_STREAM, 0)), udp = CHECK_OK(socket(AF_INET, SOCK_DGRAM, 0));
	int tcp6 = CHECK_OK(socket(AF_INET6, SOCK_STREAM, 0));
	static const int other[] = {-1, 2, 41, 99, 255, 300};
	for (unsigned i = 0; i < sizeof other / sizeof *other; i++) {
		CHECK_ERRNO(getsockopt(tcp, other[i], 9999, &value, &len), EOPNOTSUPP);
		CHECK_ERRNO(getsockopt(udp, other[i], 9999, &value, &len), EOPNOTSUPP);
		CHECK_ERRNO(setsockopt(tcp, other[i], 9999, &value, len), ENOPROTOOPT);
		CHECK_ERRNO(setsockopt(udp, other[i], 9999, &value, len), ENOPROTOOPT);
		CHECK_ERRNO(getsockopt(tcp6, other[i], 9999, &value, &len), ENOPROTOOPT);
	}
	CHECK_ERRNO(getsockopt(tcp, IPPROTO_UDP, 1, &value, &len), EOPNOTSUPP);
	CHECK_ERRNO(getsockopt(udp, IPPROTO_TCP, 1, &value, &len), EOPNOTSUPP);
	CHECK_ERRNO(getsockopt(tcp, IPPROTO_TCP, 9999, &value, &len), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(tcp, IPPROTO_IP, 9999, &value, &len), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(tcp, SOL_SOCKET, 9999, &value, &len), ENOPROTOOPT);
}

TEST(adjusting_the_clock)
{
	become_user();
	struct timex t = {.modes = ADJ_FREQUENCY};
	CHECK_ERRNO(adjtimex(&t), EPERM);
	t.modes = 0x8000; /* adjtime(3)'s, without its companion */
	CHECK_ERRNO(adjtimex(&t), EINVAL);
	t.modes = ADJ_OFFSET_SINGLESHOT;
	CHECK_ERRNO(adjtimex(&t), EPERM);
	t.modes = ADJ_OFFSET_SS_READ;
	CHECK_OK(adjtimex(&t) >= 0 ? 0 : -1);
	CHECK_ERRNO(adjtimex(BAD), EFAULT);
}
