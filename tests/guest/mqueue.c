/* POSIX message queues: mq_overview(7), mq_open(3), mq_send(3), mq_receive(3), mq_notify(3), mq_getattr(3), mq_unlink(3). */
#include "check.h"
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

static char name[64];

/* A queue of its own for each test; the name is gone at once unless it is kept. */
static mqd_t open_queue(int flags, long most, long size)
{
	struct mq_attr attr = {.mq_maxmsg = most, .mq_msgsize = size};
	snprintf(name, sizeof name, "/abi-%s-%d", check_name, getpid());
	mq_unlink(name);
	return CHECK_OK(mq_open(name, O_CREAT | O_EXCL | flags, 0600, &attr));
}

static mqd_t queue(int flags, long most, long size)
{
	mqd_t q = open_queue(flags, most, size);
	CHECK_OK(mq_unlink(name));
	return q;
}

static struct timespec in_ms(long ms)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

TEST(messages_come_by_priority_then_age)
{
	char buf[16];
	unsigned prio;
	mqd_t q = queue(O_RDWR, 8, 16);
	CHECK_OK(mq_send(q, "low", 3, 1));
	CHECK_OK(mq_send(q, "first", 5, 7));
	CHECK_OK(mq_send(q, "second", 6, 7));
	CHECK_OK(mq_send(q, "", 0, 32767));
	CHECK_EQ(mq_receive(q, buf, 16, &prio), 0);
	CHECK_EQ(prio, 32767);
	CHECK_EQ(mq_receive(q, buf, 16, &prio), 5);
	CHECK_EQ(prio, 7);
	CHECK_MEM(buf, "first", 5);
	CHECK_EQ(mq_receive(q, buf, 16, NULL), 6);
	CHECK_EQ(mq_receive(q, buf, 16, &prio), 3);
	CHECK_EQ(prio, 1);
}

TEST(names_and_open_errors)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
	char longest[300];
	CHECK_ERRNO(mq_open("noslash", O_RDONLY), EINVAL); /* the C library's */
	CHECK_ERRNO(syscall(SYS_mq_open, "", O_RDONLY, 0, NULL), ENOENT);
	CHECK_ERRNO(syscall(SYS_mq_open, "a/b", O_RDONLY, 0, NULL), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_open, "/a", O_RDONLY, 0, NULL), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_open, ".", O_RDONLY, 0, NULL), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_open, "..", O_RDONLY, 0, NULL), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_open, BAD, O_RDONLY, 0, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_open, "abi-none", O_RDONLY, 0, BAD), EFAULT);
	memset(longest, 'x', sizeof longest);
	longest[299] = 0;
	CHECK_ERRNO(syscall(SYS_mq_open, longest, O_RDONLY, 0, NULL), ENAMETOOLONG);
	longest[256] = '/';
	CHECK_ERRNO(syscall(SYS_mq_open, longest, O_RDONLY, 0, NULL), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_open, "abi-none", O_RDONLY, 0, NULL), ENOENT);
	CHECK_ERRNO(syscall(SYS_mq_unlink, "abi-none"), ENOENT);
	CHECK_ERRNO(syscall(SYS_mq_unlink, ""), ENOENT);
	CHECK_ERRNO(syscall(SYS_mq_unlink, "a/b"), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_unlink, BAD), EFAULT);

	open_queue(O_RDWR, 1, 1);
	CHECK_ERRNO(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr), EEXIST);
	CHECK_ERRNO(mq_open(name, O_ACCMODE), EINVAL);
	attr.mq_maxmsg = -1; /* not looked at: it exists */
	CHECK_OK(mq_open(name, O_CREAT | O_RDWR, 0600, &attr));
	CHECK_OK(mq_unlink(name));
	CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
	CHECK_ERRNO(mq_unlink(name), ENOENT);
}

TEST(attributes_are_checked)
{
	become_user();
	static const long bad[][2] = {{0, 1}, {1, 0}, {-1, 1}, {1, -1}, {LONG_MAX, LONG_MAX}, {11, 1}, {1, 8193}};
	snprintf(name, sizeof name, "/abi-%d", getpid());
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct mq_attr attr = {.mq_maxmsg = bad[i][0], .mq_msgsize = bad[i][1]};
		CHECK_ERRNO(mq_open(name, O_CREAT | O_RDWR, 0600, &attr), EINVAL);
	}
	struct mq_attr attr;
	mqd_t q = CHECK_OK(mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, NULL));
	CHECK_OK(mq_unlink(name));
	CHECK_OK(mq_getattr(q, &attr));
	CHECK_EQ(attr.mq_maxmsg, 10);
	CHECK_EQ(attr.mq_msgsize, 8192);
	CHECK_EQ(attr.mq_curmsgs, 0);
	CHECK_EQ(attr.mq_flags, O_NONBLOCK);
}

TEST(root_may_exceed_the_limits)
{
	NEED_ROOT();
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	if (setrlimit(RLIMIT_MSGQUEUE, &all) < 0)
		SKIP("needs CAP_SYS_RESOURCE");
	struct mq_attr attr;
	mqd_t q = queue(O_RDWR, 100, 20000);
	CHECK_OK(mq_getattr(q, &attr));
	CHECK_EQ(attr.mq_maxmsg, 100);
	attr.mq_maxmsg = 65537;
	CHECK_ERRNO(mq_open(name, O_CREAT | O_RDWR, 0600, &attr), EINVAL);
	attr.mq_maxmsg = 1;
	attr.mq_msgsize = (16 << 20) + 1;
	CHECK_ERRNO(mq_open(name, O_CREAT | O_RDWR, 0600, &attr), EINVAL);
}

TEST(rlimit_msgqueue)
{
	become_user();
	/* 10 messages of 100 bytes cost 10 * (100 + 48) + 10 * 48 */
	struct rlimit limit = {1960, 1960};
	struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 100};
	snprintf(name, sizeof name, "/abi-limit-%d", getpid());
	CHECK_OK(setrlimit(RLIMIT_MSGQUEUE, &limit));
	mqd_t q = CHECK_OK(mq_open(name, O_CREAT | O_RDWR, 0600, &attr));
	CHECK_OK(mq_unlink(name));
	char other[80];
	snprintf(other, sizeof other, "%s-2", name);
	CHECK_ERRNO(mq_open(other, O_CREAT | O_RDWR, 0600, &attr), EMFILE);
	CHECK_ERRNO(mq_open(other, O_RDWR), ENOENT);
	CHECK_OK(mq_close(q));
	q = CHECK_OK(mq_open(other, O_CREAT | O_RDWR, 0600, &attr));
	CHECK_OK(mq_unlink(other));
}

TEST(permissions)
{
	NEED_ROOT();
	open_queue(O_RDWR, 1, 1);
	CHILD {
		become_user();
		CHECK_ERRNO(mq_open(name, O_RDONLY), EACCES);
		CHECK_ERRNO(syscall(SYS_mq_unlink, name + 1), EPERM); /* a sticky directory */
	} CHILD_END;
	CHECK_OK(mq_unlink(name));
	umask(022);
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
	mqd_t q = CHECK_OK(mq_open(name, O_CREAT | O_RDWR, 0666, &attr));
	struct stat st;
	CHECK_OK(fstat(q, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_EQ(st.st_size, 80);
	CHECK_EQ(st.st_nlink, 1);
	CHILD {
		become_user();
		CHECK_ERRNO(mq_open(name, O_RDWR), EACCES);
		mqd_t mine = CHECK_OK(mq_open(name, O_RDONLY));
		CHECK_ERRNO(mq_send(mine, "x", 1, 0), EBADF);
	} CHILD_END;
	CHECK_OK(mq_unlink(name));
	CHECK_OK(fstat(q, &st));
	CHECK_EQ(st.st_nlink, 0);
}

TEST(send_and_receive_errors_in_order)
{
	char buf[16];
	struct timespec bad = {0, 1000000000}, negative = {-1, 0}, past = {0, 0};
	mqd_t q = queue(O_RDWR, 1, 8);
	int file = CHECK_OK(open("file", O_RDWR | O_CREAT, 0600));
	CHECK_ERRNO(mq_timedsend(-1, buf, 1, 32768, &bad), EINVAL);
	CHECK_ERRNO(syscall(SYS_mq_timedsend, -1, buf, 1, 0, BAD), EFAULT);
	CHECK_ERRNO(mq_timedsend(-1, buf, 1, 0, &bad), EINVAL);
	CHECK_ERRNO(mq_timedsend(-1, buf, 1, 0, &negative), EINVAL);
	CHECK_ERRNO(mq_send(-1, buf, 1, 32768), EINVAL);
	CHECK_ERRNO(mq_send(-1, buf, 1, 0), EBADF);
	CHECK_ERRNO(mq_send(file, buf, 1, 0), EBADF);
	CHECK_ERRNO(mq_send(q, BAD, 9, 0), EMSGSIZE);
	CHECK_ERRNO(mq_send(q, BAD, 8, 0), EFAULT);
	CHECK_ERRNO(mq_timedreceive(-1, buf, 8, NULL, &bad), EINVAL);
	CHECK_ERRNO(mq_receive(-1, buf, 8, NULL), EBADF);
	CHECK_ERRNO(mq_receive(file, buf, 8, NULL), EBADF);
	CHECK_ERRNO(mq_receive(q, buf, 7, NULL), EMSGSIZE);
	CHECK_ERRNO(mq_timedreceive(q, buf, 8, NULL, &past), ETIMEDOUT);
	CHECK_EQ(mq_timedsend(q, "a", 1, 0, &past), 0); /* there is room: the time does not matter */
	CHECK_ERRNO(mq_timedsend(q, "b", 1, 0, &past), ETIMEDOUT);
	CHECK_EQ(mq_timedreceive(q, buf, 8, NULL, &past), 1);
	/* what cannot be copied out is lost */
	CHECK_OK(mq_send(q, "a", 1, 0));
	CHECK_ERRNO(mq_receive(q, BAD, 8, NULL), EFAULT);
	struct mq_attr attr;
	CHECK_OK(mq_getattr(q, &attr));
	CHECK_EQ(attr.mq_curmsgs, 0);
}

TEST(nonblocking_and_setattr)
{
	char buf[8];
	struct mq_attr attr = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 99, .mq_msgsize = 99}, old;
	mqd_t q = queue(O_RDWR, 1, 8);
	CHECK_OK(mq_setattr(q, &attr, &old));
	CHECK_EQ(old.mq_flags, 0);
	CHECK_EQ(old.mq_maxmsg, 1);
	CHECK_EQ(fcntl(q, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_ERRNO(mq_receive(q, buf, 8, NULL), EAGAIN);
	CHECK_OK(mq_send(q, "a", 1, 0));
	CHECK_ERRNO(mq_send(q, "b", 1, 0), EAGAIN);
	CHECK_OK(mq_getattr(q, &attr));
	CHECK_EQ(attr.mq_flags, O_NONBLOCK);
	CHECK_EQ(attr.mq_maxmsg, 1);
	CHECK_EQ(attr.mq_curmsgs, 1);
	attr.mq_flags = O_NONBLOCK | O_APPEND;
	CHECK_ERRNO(mq_setattr(q, &attr, NULL), EINVAL);
	CHECK_ERRNO(mq_setattr(-1, &attr, NULL), EINVAL);
	CHECK_ERRNO(mq_getattr(-1, &attr), EBADF);
	CHECK_ERRNO(mq_getattr(0, &attr), EBADF);
	CHECK_ERRNO(syscall(SYS_mq_getsetattr, -1, BAD, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_getsetattr, q, NULL, BAD), EFAULT);
}

TEST(blocking_ends_for_messages_room_time_and_signals)
{
	char buf[8];
	mqd_t q = queue(O_RDWR, 1, 8);
	pid_t pid = xfork();
	if (pid == 0)
		_exit(mq_receive(q, buf, 8, NULL) == 2 && mq_receive(q, buf, 8, NULL) == 3 ? 0 : 1);
	wait_asleep(pid);
	CHECK_OK(mq_send(q, "ab", 2, 0));
	CHECK_OK(mq_send(q, "abc", 3, 0));
	CHECK_EQ(wait_exit(pid), 0);

	CHECK_OK(mq_send(q, "x", 1, 0));
	pid = xfork();
	if (pid == 0)
		_exit(mq_send(q, "yy", 2, 0) == 0 ? 0 : 1);
	wait_asleep(pid);
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 1);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 2);

	long long before = now_ms();
	struct timespec soon = in_ms(60);
	CHECK_ERRNO(mq_timedreceive(q, buf, 8, NULL, &soon), ETIMEDOUT);
	CHECK_GE(now_ms() - before, 50);
}

static volatile int caught;
static siginfo_t caught_info;
static void on_signal(int sig, siginfo_t *info, void *context MAYBE_UNUSED)
{
	caught = sig;
	caught_info = *info;
}

static void catch(int sig, int flags)
{
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
	CHECK_OK(sigaction(sig, &act, NULL));
}

TEST(signals_interrupt_unless_restarted)
{
	char buf[8];
	mqd_t q = queue(O_RDWR, 1, 8);
	catch(SIGALRM, 0);
	ualarm(50000, 0);
	CHECK_ERRNO(mq_receive(q, buf, 8, NULL), EINTR);
	CHECK_EQ(caught, SIGALRM);
	catch(SIGALRM, SA_RESTART);
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		kill(me, SIGALRM);
		msleep(50);
		_exit(mq_send(q, "abc", 3, 0) ? 1 : 0);
	}
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 3);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(poll_and_epoll)
{
	char buf[8];
	mqd_t q = queue(O_RDWR, 1, 8);
	struct pollfd p = {.fd = q, .events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM};
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT | POLLWRNORM);
	int ep = CHECK_OK(epoll_create1(0));
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, q, &event));
	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
	CHECK_OK(mq_send(q, "a", 1, 0));
	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 1);
	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLRDNORM);
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 1);
}

TEST(a_signal_tells_of_the_first_message_once)
{
	char buf[8];
	mqd_t q = queue(O_RDWR, 4, 8);
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
	catch(SIGUSR1, 0);
	CHECK_OK(mq_send(q, "a", 1, 0));
	CHECK_OK(mq_notify(q, &event));
	CHECK_ERRNO(mq_notify(q, &event), EBUSY);
	CHILD {
		CHECK_ERRNO(mq_notify(q, &event), EBUSY);
		CHECK_OK(mq_notify(q, NULL)); /* somebody else's: nothing happens */
	} CHILD_END;
	CHECK_OK(mq_send(q, "b", 1, 0)); /* the queue was not empty */
	CHECK_EQ(caught, 0);
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 1);
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 1);
	pid_t pid = xfork();
	if (pid == 0)
		_exit(mq_send(q, "c", 1, 0) ? 1 : 0);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(caught, SIGUSR1);
	CHECK_EQ(caught_info.si_code, SI_MESGQ);
	CHECK_EQ(caught_info.si_value.sival_int, 42);
	CHECK_EQ(caught_info.si_pid, pid);
	CHECK_EQ(caught_info.si_uid, getuid());
	caught = 0;
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 1);
	CHECK_OK(mq_send(q, "d", 1, 0));
	CHECK_EQ(caught, 0);
	CHECK_OK(mq_notify(q, &event));
	CHECK_OK(mq_notify(q, NULL));
	CHECK_OK(mq_notify(q, NULL));
	CHECK_OK(mq_notify(q, &event));
	mqd_t other = CHECK_OK(dup(q));
	CHECK_OK(mq_close(other)); /* any close of the owner's ends it */
	CHECK_OK(mq_notify(q, &event));
}

TEST(a_waiting_receiver_comes_before_notification)
{
	char buf[8];
	mqd_t q = queue(O_RDWR, 4, 8);
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	catch(SIGUSR1, 0);
	CHECK_OK(mq_notify(q, &event));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(mq_receive(q, buf, 8, NULL) == 1 ? 0 : 1);
	wait_asleep(pid);
	CHECK_OK(mq_send(q, "a", 1, 0));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(caught, 0);
	CHECK_OK(mq_send(q, "b", 1, 0));
	CHECK_EQ(caught, SIGUSR1);
}

TEST(notify_errors)
{
	mqd_t q = queue(O_RDWR, 4, 8);
	struct sigevent event = {.sigev_notify = 77};
	char cookie[32];
	CHECK_ERRNO(syscall(SYS_mq_notify, -1, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_notify, -1, &event), EINVAL);
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = 65;
	CHECK_ERRNO(syscall(SYS_mq_notify, q, &event), EINVAL);
	event.sigev_signo = SIGUSR1;
	CHECK_ERRNO(syscall(SYS_mq_notify, -1, &event), EBADF);
	CHECK_ERRNO(syscall(SYS_mq_notify, 0, &event), EBADF);
	CHECK_ERRNO(syscall(SYS_mq_notify, -1, NULL), EBADF);
	event.sigev_notify = SIGEV_THREAD;
	event.sigev_signo = -1;
	event.sigev_value.sival_ptr = BAD;
	CHECK_ERRNO(syscall(SYS_mq_notify, q, &event), EFAULT);
	event.sigev_value.sival_ptr = cookie;
	CHECK_ERRNO(syscall(SYS_mq_notify, q, &event), EBADF);
	event.sigev_signo = 0;
	CHECK_ERRNO(syscall(SYS_mq_notify, q, &event), ENOTSOCK);
	event.sigev_notify = SIGEV_NONE;
	CHECK_OK(syscall(SYS_mq_notify, q, &event));
	CHECK_ERRNO(syscall(SYS_mq_notify, q, &event), EBUSY);
}

static volatile int thread_told;
static void on_message(union sigval value)
{
	thread_told = value.sival_int;
}

TEST(a_thread_tells_of_a_message)
{
	mqd_t q = queue(O_RDWR, 4, 8);
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_message, .sigev_value.sival_int = 9};
	CHECK_OK(mq_notify(q, &event));
	CHECK_OK(mq_send(q, "a", 1, 0));
	for (int i = 0; i < 200 && !thread_told; i++)
		msleep(10);
	CHECK_EQ(thread_told, 9);
}

TEST(reading_the_file_describes_the_queue)
{
	char buf[200], want[200];
	mqd_t q = queue(O_RDWR, 4, 8);
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	CHECK_OK(mq_send(q, "abcde", 5, 0));
	CHECK_OK(mq_notify(q, &event));
	CHECK_GT(read_all(q, buf, sizeof buf), 0);
	snprintf(want, sizeof want, "QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", 5, SIGEV_SIGNAL, SIGUSR1, getpid());
	CHECK_STR(buf, want);
	CHECK_EQ(lseek(q, 0, SEEK_END), 80);
	CHECK_ERRNO(write(q, "x", 1), EINVAL);
}

TEST(descriptors_close_on_exec)
{
	mqd_t q = queue(O_RDWR, 1, 1);
	CHECK_EQ(fcntl(q, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(q, F_GETFL) & O_ACCMODE, O_RDWR);
}

TEST(the_filesystem_shows_queues)
{
	NEED_ROOT();
	char path[128], buf[200];
	struct statfs fs;
	struct stat st;
	/* where it is mounted already, or a mount of our own */
	const char *at = "/dev/mqueue";
	if (statfs(at, &fs) < 0 || fs.f_type != 0x19800202) {
		at = "mnt";
		CHECK_OK(mkdir(at, 0700));
		if (mount("none", at, "mqueue", 0, NULL) < 0)
			SKIP("cannot mount");
	}
	CHECK_OK(statfs(at, &fs));
	CHECK_EQ(fs.f_type, 0x19800202);
	CHECK_OK(stat(at, &st));
	CHECK_EQ(st.st_mode, S_IFDIR | 01777);
	mqd_t q = open_queue(O_RDWR, 2, 8);
	snprintf(path, sizeof path, "%s/dir", at);
	CHECK_ERRNO(mkdir(path, 0700), EPERM);
	snprintf(path, sizeof path, "%s%s", at, name);
	CHECK_OK(stat(path, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
	CHECK_GT(read_file(path, buf, sizeof buf), 0);
	CHECK(strncmp(buf, "QSIZE:0 ", 8) == 0);
	CHECK_OK(unlink(path));
	CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
	/* a new file is a queue */
	int fd = CHECK_OK(open(path, O_CREAT | O_RDWR, 0600));
	CHECK_OK(mq_send(fd, "a", 1, 0));
	mqd_t same = CHECK_OK(mq_open(name, O_RDWR));
	char message[8192];
	CHECK_EQ(mq_receive(same, message, sizeof message, NULL), 1);
	CHECK_OK(mq_unlink(name));
	CHECK_OK(mq_close(q));
	if (at[0] != '/')
		CHECK_OK(umount2(at, MNT_DETACH));
}
