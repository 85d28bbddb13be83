/* bombs: takes as much of one thing as the kernel gives, says with which error it stopped and what it had by then, gives
 * everything back and sees that the thing can be had again.
 *
 *   bombs NAME           to the limit and back; prints `NAME: COUNT ERRNO`, exit code 0
 *   bombs NAME forever   keeps at it until it is killed
 *
 * Run by tests/hostile.rs, in the sandbox only: natively some of these would be rude to the machine. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX (1 << 21)
static int forever;
static int fds[MAX];

static void die(const char *what)
{
	printf("not ok: %s: %s\n", what, strerrorname_np(errno));
	exit(1);
}

static void done(const char *name, long count, int error)
{
	printf("%s: %ld %s\n", name, count, error ? strerrorname_np(error) : "0");
	exit(0);
}

/* The highest limit on descriptors this process may have. */
static void many_files(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit");
}

/* Opens until it fails or there are `most`; closes all and opens again. */
static void descriptors(const char *name, int (*make)(long), long most)
{
	long n = 0;
	int error;
	many_files();
	do {
		for (n = 0; n < most && (fds[n] = make(n)) >= 0; n++)
			;
		error = n < most ? errno : 0;
		for (long i = 0; i < n; i++)
			close(fds[i]);
	} while (forever);
	if ((fds[0] = make(0)) < 0)
		die("after giving all back");
	done(name, n, error);
}

static int make_dup(long i)
{
	(void)i;
	return dup(1);
}

static int make_file(long i)
{
	(void)i;
	return open("/dev/zero", O_RDONLY);
}

static int make_host_file(long i)
{
	(void)i;
	return open("/abi/bombs", O_RDONLY);
}

static int make_memfd(long i)
{
	(void)i;
	int fd = memfd_create("bomb", 0);
	if (fd >= 0 && write(fd, "x", 1) < 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int make_eventfd(long i)
{
	(void)i;
	return eventfd(0, 0);
}

static int make_epoll(long i)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = epoll_create1(0);
	if (fd >= 0)
		epoll_ctl(fd, EPOLL_CTL_ADD, i ? fds[i - 1] : 0, &event);
	return fd;
}

static int make_inotify(long i)
{
	(void)i;
	return inotify_init1(0);
}

static int make_timerfd(long i)
{
	(void)i;
	struct itimerspec spec = {{100, 0}, {100, 0}};
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	if (fd >= 0)
		timerfd_settime(fd, 0, &spec, NULL);
	return fd;
}

/* A listening socket each, on a port of its own. */
static int make_tcp(long i)
{
	(void)i;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd >= 0 && listen(fd, 1) < 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static char filler[1 << 20];

/* Pairs are kept as two consecutive descriptors; what is filled is the first's. */
static void filled_pairs(const char *name, int (*make)(int pair[2]), long most)
{
	long n, bytes;
	int error;
	many_files();
	do {
		bytes = 0;
		for (n = 0; n + 1 < most && make(fds + n) == 0; n += 2) {
			fcntl(fds[n], F_SETFL, O_NONBLOCK);
			for (ssize_t got; (got = write(fds[n], filler, sizeof filler)) > 0;)
				bytes += got;
		}
		error = n + 1 < most ? errno : 0;
		for (long i = 0; i < n; i++)
			close(fds[i]);
	} while (forever);
	if (make(fds) < 0 || write(fds[0], "x", 1) != 1)
		die("after giving all back");
	fprintf(stderr, "%ld bytes in %ld\n", bytes, n / 2);
	done(name, n / 2, error);
}

static int make_pipe(int pair[2])
{
	int made = pipe(pair), reader = pair[0];
	pair[0] = pair[1];
	pair[1] = reader;
	if (made == 0)
		fcntl(pair[0], F_SETPIPE_SZ, 1 << 20);
	return made;
}

static int make_stream(int pair[2])
{
	int size = 64 << 20, made = socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	if (made == 0)
		setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return made;
}

static int make_datagram(int pair[2])
{
	int size = 64 << 20, made = socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	if (made == 0)
		setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return made;
}

static int make_connection(int pair[2])
{
	static int listener = -1;
	static struct sockaddr_in a;
	socklen_t len = sizeof a;
	int size = 64 << 20;
	if (listener < 0) {
		listener = socket(AF_INET, SOCK_STREAM, 0);
		if (listen(listener, 100) < 0 || getsockname(listener, (void *)&a, &len) < 0)
			die("listen");
	}
	if ((pair[0] = socket(AF_INET, SOCK_STREAM, 0)) < 0)
		return -1;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(pair[0], (void *)&a, sizeof a) < 0 || (pair[1] = accept(listener, NULL, NULL)) < 0) {
		int error = errno;
		close(pair[0]);
		errno = error;
		return -1;
	}
	return 0;
}

/* Sockets that only messages in flight to each other hold. */
static void in_flight(const char *name)
{
	long n = 0;
	int error = 0;
	do {
		int base[2], last = -1;
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, base) < 0)
			die("socketpair");
		for (n = 0; n < 200000; n++) {
			int pair[2];
			char control[CMSG_SPACE(sizeof pair)] = {0};
			struct iovec one = {"x", 1};
			struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
			struct cmsghdr *header = CMSG_FIRSTHDR(&message);
			if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
				error = errno;
				break;
			}
			*header = (struct cmsghdr){CMSG_LEN(sizeof pair), SOL_SOCKET, SCM_RIGHTS};
			memcpy(CMSG_DATA(header), pair, sizeof pair);
			int to = last < 0 ? base[0] : last;
			last = dup(pair[0]);
			ssize_t sent = sendmsg(to, &message, MSG_DONTWAIT);
			error = errno;
			close(pair[0]);
			close(pair[1]);
			close(to);
			if (sent < 0)
				break;
		}
		close(last);
		close(base[1]);
	} while (forever);
	done(name, n, error);
}

static void forks(const char *name)
{
	static pid_t pids[MAX];
	long n;
	int error;
	if (forever)
		for (;;)
			if (fork() < 0)
				sched_yield();
	for (n = 0; (pids[n] = fork()) > 0; n++)
		;
	error = errno;
	if (n < MAX && pids[n] == 0)
		for (;;)
			pause();
	for (long i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	for (long i = 0; i < n; i++)
		if (waitpid(pids[i], NULL, 0) != pids[i])
			die("waitpid");
	pid_t again = fork();
	if (again < 0)
		die("fork after giving all back");
	if (again == 0)
		_exit(0);
	waitpid(again, NULL, 0);
	done(name, n, error);
}

static void *rest(void *gate)
{
	pthread_mutex_lock(gate);
	pthread_mutex_unlock(gate);
	return NULL;
}

static void threads(const char *name)
{
	static pthread_t all[MAX];
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	pthread_attr_t small;
	long n;
	int error = 0;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	do {
		pthread_mutex_lock(&gate);
		for (n = 0; (error = pthread_create(all + n, &small, rest, &gate)) == 0; n++)
			;
		pthread_mutex_unlock(&gate);
		for (long i = 0; i < n; i++)
			pthread_join(all[i], NULL);
	} while (forever);
	if (pthread_create(all, &small, rest, &gate))
		die("thread after giving all back");
	pthread_join(all[0], NULL);
	done(name, n, error);
}

/* Touches memory until the process is killed. */
static void touch(int flags, const char *file)
{
	int fd = -1;
	size_t step = 16 << 20, at = 0;
	if (file && ((fd = memfd_create(file, 0)) < 0 || ftruncate(fd, 1L << 40) < 0))
		die("memfd");
	for (;; at += step) {
		char *memory = mmap(NULL, step, PROT_READ | PROT_WRITE, flags, fd, fd < 0 ? 0 : at);
		if (memory == MAP_FAILED)
			_exit(forever ? 0 : 12);
		memset(memory, 1, step);
	}
}

static void memory(const char *name, int flags, const char *file)
{
	do {
		int status;
		pid_t child = fork();
		if (child == 0)
			touch(flags, file);
		if (waitpid(child, &status, 0) != child)
			die("waitpid");
		if (!forever) {
			printf("%s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			exit(0);
		}
	} while (forever);
}

/* Writes to files until the filesystem is full. */
static void full(const char *name, const char *directory)
{
	char path[PATH_MAX];
	long bytes = 0;
	int error = 0;
	do {
		bytes = 0;
		error = 0;
		for (int i = 0; !error && i < 100000; i++) {
			snprintf(path, sizeof path, "%s/full-%d", directory, i);
			int fd = open(path, O_CREAT | O_WRONLY, 0600);
			if (fd < 0) {
				error = errno;
				break;
			}
			for (int j = 0; j < 256; j++) {
				ssize_t got = write(fd, filler, sizeof filler);
				if (got < 0) {
					error = errno;
					break;
				}
				bytes += got;
			}
			close(fd);
		}
		for (int i = 0; i < 100000; i++) {
			snprintf(path, sizeof path, "%s/full-%d", directory, i);
			if (unlink(path) < 0)
				break;
		}
	} while (forever);
	snprintf(path, sizeof path, "%s/again", directory);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	if (fd < 0 || write(fd, filler, sizeof filler) != sizeof filler)
		die("after giving all back");
	unlink(path);
	done(name, bytes >> 20, error);
}

/* Empty files until there can be no more of them. */
static void inodes(const char *name, const char *directory, long most)
{
	char path[PATH_MAX];
	long n;
	int error = 0;
	do {
		for (n = 0; n < most; n++) {
			snprintf(path, sizeof path, "%s/inode-%ld", directory, n);
			if (mknod(path, S_IFREG | 0600, 0) < 0) {
				error = errno;
				break;
			}
		}
		for (long i = 0; i < n; i++) {
			snprintf(path, sizeof path, "%s/inode-%ld", directory, i);
			if (unlink(path) < 0)
				die("unlink");
		}
	} while (forever);
	done(name, n, error);
}

static void mappings(const char *name)
{
	long n;
	int error;
	do {
		char *area = mmap(NULL, 400L << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (area == MAP_FAILED)
			die("mmap");
		error = 0;
		for (n = 0; n < 50000; n++)
			if (mprotect(area + n * 8192, 4096, PROT_READ) < 0) {
				error = errno;
				break;
			}
		munmap(area, 400L << 20);
	} while (forever);
	done(name, n, error);
}

static void mounts(const char *name)
{
	long n;
	int error = 0;
	mkdir("/tmp/mount", 0700);
	do {
		for (n = 0; n < 200000; n++)
			if (mount("bomb", "/tmp/mount", "tmpfs", 0, NULL) < 0) {
				error = errno;
				break;
			}
		for (long i = 0; i < n; i++)
			if (umount2("/tmp/mount", 0) < 0)
				die("umount");
	} while (forever);
	done(name, n, error);
}

static void signals(const char *name)
{
	sigset_t set;
	long n;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	do {
		int error;
		for (n = 0; sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0; n++)
			;
		error = errno;
		for (long i = 0; i < n; i++)
			if (sigwaitinfo(&set, NULL) != SIGRTMIN)
				die("sigwaitinfo");
		if (!forever)
			done(name, n, error);
	} while (forever);
}

static void timers(const char *name)
{
	static timer_t all[MAX];
	struct sigevent none = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	struct itimerspec spec = {{1000, 0}, {1000, 0}};
	long n;
	int error;
	do {
		for (n = 0; n < MAX && timer_create(CLOCK_MONOTONIC, &none, all + n) == 0; n++)
			timer_settime(all[n], 0, &spec, NULL);
		error = errno;
		for (long i = 0; i < n; i++)
			timer_delete(all[i]);
	} while (forever);
	if (timer_create(CLOCK_MONOTONIC, &none, all) < 0)
		die("after giving all back");
	done(name, n, error);
}

static void watches(const char *name)
{
	char path[64];
	long n;
	int error = 0;
	do {
		int fd = inotify_init1(IN_NONBLOCK);
		for (n = 0; n < 200000; n++) {
			snprintf(path, sizeof path, "/tmp/watch-%ld", n);
			close(open(path, O_CREAT | O_WRONLY, 0600));
			if (inotify_add_watch(fd, path, IN_ALL_EVENTS) < 0) {
				error = errno;
				unlink(path);
				break;
			}
		}
		for (long i = 0; i < n; i++) {
			snprintf(path, sizeof path, "/tmp/watch-%ld", i);
			unlink(path);
		}
		close(fd);
	} while (forever);
	done(name, n, error);
}

/* Names that do not exist: the kernel may remember them, but not all. */
static void names(const char *name)
{
	char path[64];
	struct stat st;
	long n;
	do {
		for (n = 0; n < 100000; n++) {
			snprintf(path, sizeof path, "/%s/absent-%ld", n & 1 ? "tmp" : "usr", n);
			if (stat(path, &st) == 0 || errno != ENOENT)
				die("stat");
		}
	} while (forever);
	done(name, n, ENOENT);
}

/* Record locks, every other byte: no two can be merged. */
static void locks(const char *name)
{
	long n;
	int error = 0, fd = open("/tmp/locks", O_CREAT | O_RDWR, 0600);
	do {
		for (n = 0; n < 20000; n++) {
			struct flock lock = {.l_type = F_WRLCK, .l_start = n * 2, .l_len = 1};
			if (fcntl(fd, F_SETLK, &lock) < 0) {
				error = errno;
				break;
			}
		}
		struct flock all = {.l_type = F_UNLCK};
		if (fcntl(fd, F_SETLK, &all) < 0)
			die("unlock");
	} while (forever);
	done(name, n, error);
}

/* One directory with very many names: made, listed with small and large buffers, removed. */
static void directory(const char *name, const char *parent, long most)
{
	char path[PATH_MAX];
	static char buffer[64 << 10], seen[MAX];
	struct timespec a, b;
	snprintf(path, sizeof path, "%s/big", parent);
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (mkdir(path, 0700) < 0 || chdir(path) < 0)
		die("mkdir");
	for (long i = 0; i < most; i++) {
		snprintf(path, sizeof path, "%ld", i);
		int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
		if (fd < 0)
			die("create");
		close(fd);
	}
	int sizes[] = {sizeof buffer, 300};
	for (int round = 0; round < 2; round++) {
		long got, count = 0;
		int fd = open(".", O_RDONLY | O_DIRECTORY);
		memset(seen, 0, sizeof seen);
		while ((got = syscall(SYS_getdents64, fd, buffer, sizes[round])) > 0)
			for (long at = 0; at < got;) {
				struct {
					unsigned long ino, off;
					unsigned short len;
					unsigned char type;
					char name[];
				} *entry = (void *)(buffer + at);
				if (entry->name[0] != '.') {
					count++;
					seen[atol(entry->name)]++;
				}
				at += entry->len;
			}
		if (got < 0)
			die("getdents64");
		for (long i = 0; i < most; i++)
			if (seen[i] != 1) {
				printf("not ok: %ld listed %d times\n", i, seen[i]);
				exit(1);
			}
		if (count != most)
			die("count");
		close(fd);
	}
	/* Remove while listing, as rm does. */
	int fd = open(".", O_RDONLY | O_DIRECTORY);
	long got, removed = 0;
	while ((got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
		for (long at = 0; at < got;) {
			unsigned short len;
			memcpy(&len, buffer + at + 16, 2);
			if (buffer[at + 19] != '.' && unlink(buffer + at + 19) == 0)
				removed++;
			at += len;
		}
	if (removed != most || rmdir("../big") < 0)
		die("remove");
	clock_gettime(CLOCK_MONOTONIC, &b);
	fprintf(stderr, "%ld ms\n", (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
	done(name, most, 0);
}

/* Directories in directories, far beyond what a path can name. */
static void deep(const char *name)
{
	char path[PATH_MAX];
	long n;
	int error = 0;
	if (chdir("/tmp") < 0)
		die("chdir");
	for (n = 0; n < 20000; n++)
		if (mkdir("d", 0700) < 0 || chdir("d") < 0) {
			error = errno;
			break;
		}
	if (syscall(SYS_getcwd, path, sizeof path) >= 0)
		die("getcwd has a path longer than PATH_MAX");
	int getcwd_error = errno;
	for (long i = 0; i < n; i++)
		if (chdir("..") < 0 || rmdir("d") < 0)
			die("rmdir");
	if (getcwd_error != ENAMETOOLONG && getcwd_error != ERANGE)
		die("getcwd");
	done(name, n, error);
}

/* The same, thrown away by unmounting it: the sentry must not recurse into it. */
static void deep_mount(const char *name)
{
	mkdir("/tmp/m", 0700);
	if (mount("deep", "/tmp/m", "tmpfs", 0, NULL) < 0 || chdir("/tmp/m") < 0)
		die("mount");
	long n;
	for (n = 0; n < 50000; n++)
		if (mkdir("d", 0700) < 0 || chdir("d") < 0)
			die("mkdir");
	if (chdir("/") < 0 || umount2("/tmp/m", MNT_DETACH) < 0)
		die("umount");
	done(name, n, 0);
}

static void loops(const char *name)
{
	char path[64], target[64];
	if (symlink("loop", "/tmp/loop") < 0 || open("/tmp/loop", O_RDONLY) >= 0 || errno != ELOOP)
		die("a link to itself");
	if (symlink("b/x", "/tmp/a") < 0 || symlink("a/x", "/tmp/b") < 0 || chdir("/tmp/a") == 0 || errno != ELOOP)
		die("two links");
	/* 2^40 ways through 40 links of two steps each. */
	for (int i = 0; i < 41; i++) {
		snprintf(path, sizeof path, "/tmp/l%d", i);
		snprintf(target, sizeof target, "l%d/../l%d", i + 1, i + 1);
		if (symlink(i < 40 ? target : "/tmp", path) < 0)
			die("symlink");
	}
	if (chdir("/tmp/l0") == 0 || errno != ELOOP)
		die("links that double");
	done(name, 0, ELOOP);
}

static void iovecs(const char *name)
{
	static struct iovec many[IOV_MAX + 1];
	static char byte;
	for (int i = 0; i <= IOV_MAX; i++)
		many[i] = (struct iovec){&byte, 1};
	int fd = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
	if (writev(fd, many, IOV_MAX) != IOV_MAX || readv(zero, many, IOV_MAX) != IOV_MAX)
		die("IOV_MAX vectors");
	if (writev(fd, many, IOV_MAX + 1) != -1 || errno != EINVAL)
		die("too many vectors");
	for (int i = 0; i < IOV_MAX; i++)
		many[i].iov_len = SSIZE_MAX / IOV_MAX;
	if (readv(zero, many, IOV_MAX) > 0x7ffff000)
		die("read more than MAX_RW_COUNT");
	many[1].iov_len = -1;
	if (readv(zero, many, 2) != -1 || errno != EINVAL)
		die("negative length");
	/* The same 64 MiB given 32 times. */
	char *big = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 32; i++)
		many[i] = (struct iovec){big, 64 << 20};
	long got = readv(zero, many, 32);
	if (got != 0x7ffff000)
		die("2 GiB from /dev/zero");
	int pipes[2];
	if (pipe(pipes) < 0)
		die("pipe");
	fcntl(pipes[1], F_SETFL, O_NONBLOCK);
	if (writev(pipes[1], many, 32) != 65536)
		die("writev to a pipe");
	done(name, 0, EINVAL);
}

/* Every call with words that mean nothing, by children; only the kernel must survive. */
static void nonsense(const char *name)
{
	unsigned long state = 88172645463325252UL;
	for (int round = 0; round < 24 || forever; round++) {
		pid_t child = fork();
		if (child == 0) {
			close(1);
			close(2);
			/* Half of them may do less, which leads elsewhere. */
			if (round & 1 && setuid(1000) < 0)
				_exit(1);
			state += round * 0x9e3779b97f4a7c15UL;
			for (int i = 0; i < 1000; i++) {
				unsigned long word[7];
				for (int j = 0; j < 7; j++) {
					state ^= state << 13;
					state ^= state >> 7;
					state ^= state << 17;
					unsigned long pick[] = {state, state % 64, -1UL, -(state % 4096), (unsigned long)filler + state % sizeof filler, state % 3, 1UL << state % 64, (unsigned long)&word};
					word[j] = pick[state >> 40 & 7];
				}
				long nr = word[6] % 470;
				/* Not the ones that would end, stop or silence this child, or change what the next round needs. */
				if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_pause || nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill ||
				    nr == SYS_rt_sigsuspend || nr == SYS_vfork || nr == SYS_fork || nr == SYS_clone || nr == SYS_clone3 || nr == SYS_alarm ||
				    nr == SYS_munmap || nr == SYS_mprotect || nr == SYS_mremap || nr == SYS_mmap || nr == SYS_brk || nr == SYS_rt_sigreturn ||
				    nr == SYS_chroot || nr == SYS_pivot_root || nr == SYS_umount2 || nr == SYS_unlink || nr == SYS_rename)
					continue;
				syscall(nr, word[0], word[1], word[2], word[3], word[4], word[5]);
			}
			_exit(0);
		}
		/* It may have silenced its alarm and gone to sleep. */
		for (int i = 0; i < 50 && waitpid(child, NULL, WNOHANG) == 0; i++)
			usleep(10000);
		if (child < 0 || (kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) != child && errno != ECHILD))
			die("nonsense");
	}
	done(name, 24, 0);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	forever = argc > 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(name, "dup")) descriptors(name, make_dup, 200000);
	if (!strcmp(name, "open")) descriptors(name, make_file, 100000);
	if (!strcmp(name, "open_host")) descriptors(name, make_host_file, 50000);
	if (!strcmp(name, "memfd")) descriptors(name, make_memfd, 100000);
	if (!strcmp(name, "eventfd")) descriptors(name, make_eventfd, 100000);
	if (!strcmp(name, "epoll")) descriptors(name, make_epoll, 100000);
	if (!strcmp(name, "inotify")) descriptors(name, make_inotify, 100000);
	if (!strcmp(name, "timerfd")) descriptors(name, make_timerfd, 100000);
	if (!strcmp(name, "listeners")) descriptors(name, make_tcp, 10000);
	if (!strcmp(name, "pipes")) filled_pairs(name, make_pipe, 4000);
	if (!strcmp(name, "streams")) filled_pairs(name, make_stream, 4000);
	if (!strcmp(name, "datagrams")) filled_pairs(name, make_datagram, 4000);
	if (!strcmp(name, "connections")) filled_pairs(name, make_connection, 4000);
	if (!strcmp(name, "in_flight")) in_flight(name);
	if (!strcmp(name, "fork")) forks(name);
	if (!strcmp(name, "threads")) threads(name);
	if (!strcmp(name, "memory")) memory(name, MAP_PRIVATE | MAP_ANONYMOUS, NULL);
	if (!strcmp(name, "shared")) memory(name, MAP_SHARED | MAP_ANONYMOUS, NULL);
	if (!strcmp(name, "memfd_map")) memory(name, MAP_SHARED, "bomb");
	if (!strcmp(name, "tmpfs")) full(name, "/tmp");
	if (!strcmp(name, "shm")) full(name, "/dev/shm");
	if (!strcmp(name, "overlay")) full(name, "/var");
	if (!strcmp(name, "inodes")) inodes(name, "/dev/shm", 400000);
	if (!strcmp(name, "mappings")) mappings(name);
	if (!strcmp(name, "mounts")) mounts(name);
	if (!strcmp(name, "signals")) signals(name);
	if (!strcmp(name, "timers")) timers(name);
	if (!strcmp(name, "watches")) watches(name);
	if (!strcmp(name, "names")) names(name);
	if (!strcmp(name, "locks")) locks(name);
	if (!strcmp(name, "directory")) directory(name, "/dev/shm", 100000);
	if (!strcmp(name, "directory_overlay")) directory(name, "/var", 100000);
	if (!strcmp(name, "directory_bind")) directory(name, "/bind", 100000);
	if (!strcmp(name, "deep")) deep(name);
	if (!strcmp(name, "deep_mount")) deep_mount(name);
	if (!strcmp(name, "loops")) loops(name);
	if (!strcmp(name, "iovecs")) iovecs(name);
	if (!strcmp(name, "nonsense")) nonsense(name);
	printf("not ok: no bomb %s\n", name);
	return 2;
}
