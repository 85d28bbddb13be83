/* File locks: flock, POSIX records, open-file-description locks. */
#include "check.h"
#include <pthread.h>
#include <sys/file.h>
#include <sys/wait.h>

static int create(const char *path)
{
	return CHECK_OK(open(path, O_RDWR | O_CREAT, 0644));
}

static struct flock range(short type, off_t start, off_t len)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

static int lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock l = range(type, start, len);
	return fcntl(fd, cmd, &l);
}

/* What another process would be told about the range. */
static struct flock seen_by_child(const char *path, short type, off_t start, off_t len)
{
	int p[2];
	struct flock l = range(type, start, len);
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		int fd = CHECK_OK(open(path, O_RDWR));
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		_exit(write(p[1], &l, sizeof l) != sizeof l);
	}
	CHECK_EQ(read(p[0], &l, sizeof l), sizeof l);
	CHECK_EQ(wait_exit(pid), 0);
	return l;
}

static volatile sig_atomic_t hits;

static void count(int sig MAYBE_UNUSED)
{
	hits++;
}

/* ---- flock ---- */

TEST(flock_exclusive_and_shared)
{
	int a = create("f"), b = create("f");
	CHECK_OK(flock(a, LOCK_SH));
	CHECK_OK(flock(b, LOCK_SH | LOCK_NB));
	CHECK_ERRNO(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_OK(flock(b, LOCK_UN));
	CHECK_OK(flock(a, LOCK_EX | LOCK_NB));
	CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	CHECK_OK(flock(a, LOCK_UN));
	CHECK_OK(flock(a, LOCK_UN));
	CHECK_OK(flock(b, LOCK_EX | LOCK_NB));
}

TEST(flock_errors)
{
	int a = create("f");
	CHECK_ERRNO(flock(999, LOCK_SH), EBADF);
	CHECK_ERRNO(flock(a, 0), EINVAL);
	CHECK_ERRNO(flock(a, LOCK_SH | LOCK_EX), EINVAL);
	CHECK_ERRNO(flock(CHECK_OK(open("f", O_PATH)), LOCK_SH), EBADF);
	CHECK_OK(flock(CHECK_OK(open("f", O_RDONLY)), LOCK_EX)); /* the access mode does not matter */
}

TEST(flock_belongs_to_the_open_file)
{
	int a = create("f"), d = CHECK_OK(dup(a)), b = create("f");
	CHECK_OK(flock(a, LOCK_EX));
	CHECK_OK(flock(d, LOCK_EX | LOCK_NB)); /* the same one */
	CHILD {
		CHECK_OK(flock(a, LOCK_EX | LOCK_NB));
		CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	} CHILD_END;
	close(a);
	CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK); /* d is still open */
	close(d);
	CHECK_OK(flock(b, LOCK_EX | LOCK_NB));
}

TEST(flock_blocks_until_released)
{
	int a = create("f");
	CHECK_OK(flock(a, LOCK_EX));
	pid_t pid = xfork();
	if (pid == 0) {
		close(a);
		int b = create("f");
		_exit(flock(b, LOCK_EX) < 0);
	}
	wait_asleep(pid);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	CHECK_OK(flock(a, LOCK_UN));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(flock_interrupted)
{
	int a = create("f"), b = create("f");
	struct sigaction sa = {.sa_handler = count};
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	CHECK_OK(flock(a, LOCK_EX));
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		_exit(kill(me, SIGUSR1));
	}
	CHECK_ERRNO(flock(b, LOCK_EX), EINTR);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(flock_and_posix_do_not_meet)
{
	int a = create("f");
	CHECK_OK(flock(a, LOCK_EX));
	CHILD {
		int b = create("f");
		CHECK_OK(lock(b, F_SETLK, F_WRLCK, 0, 0));
	} CHILD_END;
}

/* ---- POSIX ---- */

TEST(posix_lock_conflicts_between_processes_only)
{
	int a = create("f"), b = create("f");
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 10));
	CHECK_OK(lock(b, F_SETLK, F_WRLCK, 0, 10)); /* same process: no conflict */
	CHILD {
		int c = create("f");
		CHECK_ERRNO(lock(c, F_SETLK, F_WRLCK, 5, 1), EAGAIN);
		CHECK_ERRNO(lock(c, F_SETLK, F_RDLCK, 9, 5), EAGAIN);
		CHECK_OK(lock(c, F_SETLK, F_WRLCK, 10, 5));
		CHECK_ERRNO(lock(a, F_SETLK, F_WRLCK, 0, 1), EAGAIN); /* not inherited by fork */
	} CHILD_END;
}

TEST(posix_getlk_tells_holder)
{
	int a = create("f");
	CHECK_OK(lock(a, F_SETLK, F_RDLCK, 10, 20));
	struct flock l = seen_by_child("f", F_WRLCK, 0, 0);
	CHECK_EQ(l.l_type, F_RDLCK);
	CHECK_EQ(l.l_whence, SEEK_SET);
	CHECK_EQ(l.l_start, 10);
	CHECK_EQ(l.l_len, 20);
	CHECK_EQ(l.l_pid, getpid());
	l = seen_by_child("f", F_RDLCK, 0, 0);
	CHECK_EQ(l.l_type, F_UNLCK);
	l = seen_by_child("f", F_WRLCK, 30, 5);
	CHECK_EQ(l.l_type, F_UNLCK);
	CHECK_EQ(l.l_start, 30); /* otherwise untouched */
}

TEST(posix_split_merge_and_convert)
{
	int a = create("f");
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 100));
	CHECK_OK(lock(a, F_SETLK, F_UNLCK, 40, 20));
	struct flock l = seen_by_child("f", F_WRLCK, 0, 0);
	CHECK_EQ(l.l_start, 0);
	CHECK_EQ(l.l_len, 40);
	l = seen_by_child("f", F_WRLCK, 40, 0);
	CHECK_EQ(l.l_start, 60);
	CHECK_EQ(l.l_len, 40);
	CHECK_EQ(seen_by_child("f", F_WRLCK, 40, 20).l_type, F_UNLCK);
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 30, 40));
	l = seen_by_child("f", F_WRLCK, 0, 0);
	CHECK_EQ(l.l_len, 100);
	CHECK_OK(lock(a, F_SETLK, F_RDLCK, 50, 10));
	l = seen_by_child("f", F_RDLCK, 50, 0);
	CHECK_EQ(l.l_start, 60);
	CHECK_EQ(l.l_type, F_WRLCK);
}

TEST(posix_whence_and_length)
{
	int a = create("f");
	CHECK_EQ(write(a, "0123456789", 10), 10);
	CHECK_EQ(lseek(a, 4, SEEK_SET), 4);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 1, .l_len = 2};
	CHECK_OK(fcntl(a, F_SETLK, &l));
	struct flock s = seen_by_child("f", F_WRLCK, 0, 0);
	CHECK_EQ(s.l_start, 5);
	CHECK_EQ(s.l_len, 2);
	CHECK_OK(lock(a, F_SETLK, F_UNLCK, 0, 0));
	l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -3, .l_len = 0};
	CHECK_OK(fcntl(a, F_SETLK, &l));
	s = seen_by_child("f", F_WRLCK, 0, 0);
	CHECK_EQ(s.l_start, 7);
	CHECK_EQ(s.l_len, 0);
	CHECK_OK(lock(a, F_SETLK, F_UNLCK, 0, 0));
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 8, -3)); /* negative: what lies before */
	s = seen_by_child("f", F_WRLCK, 0, 0);
	CHECK_EQ(s.l_start, 5);
	CHECK_EQ(s.l_len, 3);
}

TEST(posix_errors)
{
	int a = create("f"), ro = CHECK_OK(open("f", O_RDONLY)), wo = CHECK_OK(open("f", O_WRONLY));
	CHECK_ERRNO(lock(a, F_SETLK, 99, 0, 1), EINVAL);
	CHECK_ERRNO(lock(a, F_SETLK, F_WRLCK, -1, 1), EINVAL);
	CHECK_ERRNO(lock(a, F_SETLK, F_WRLCK, 0, -1), EINVAL);
	CHECK_ERRNO(lock(ro, F_SETLK, F_WRLCK, 0, 1), EBADF);
	CHECK_ERRNO(lock(wo, F_SETLK, F_RDLCK, 0, 1), EBADF);
	CHECK_ERRNO(lock(999, F_SETLK, F_WRLCK, 0, 1), EBADF);
	CHECK_ERRNO(fcntl(a, F_SETLK, BAD), EFAULT);
	struct flock l = range(F_UNLCK, 0, 0);
	CHECK_ERRNO(fcntl(a, F_GETLK, &l), EINVAL);
	l = range(F_WRLCK, 0, 1);
	l.l_whence = 7;
	CHECK_ERRNO(fcntl(a, F_SETLK, &l), EINVAL);
}

TEST(posix_any_close_releases_all)
{
	int a = create("f");
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 0));
	close(create("f")); /* fcntl(2): the known trap */
	CHECK_EQ(seen_by_child("f", F_WRLCK, 0, 0).l_type, F_UNLCK);
}

TEST(posix_exit_releases)
{
	int a = create("f"), p[2], q[2];
	char c;
	CHECK_OK(pipe(p));
	CHECK_OK(pipe(q));
	pid_t pid = xfork();
	if (pid == 0) {
		CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 0));
		CHECK_EQ(write(p[1], "x", 1), 1);
		CHECK_EQ(read(q[0], &c, 1), 1);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_ERRNO(lock(a, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
	CHECK_EQ(write(q[1], "x", 1), 1);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 0));
}

HELPER(still_locked)
{
	return seen_by_child("f", F_WRLCK, 0, 0).l_type == F_WRLCK ? 0 : 1;
}

TEST(posix_survives_exec)
{
	pid_t pid = xfork();
	if (pid == 0) {
		int a = create("f");
		CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 0));
		execl(self_exe, "x", "@still_locked", NULL);
		_exit(9);
	}
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(posix_setlkw_waits)
{
	int a = create("f");
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 0));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(lock(a, F_SETLKW, F_WRLCK, 5, 1) < 0 ? errno : 0);
	wait_asleep(pid);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	CHECK_OK(lock(a, F_SETLK, F_UNLCK, 0, 5)); /* not yet */
	msleep(60);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	CHECK_OK(lock(a, F_SETLK, F_UNLCK, 0, 0));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(posix_setlkw_interrupted)
{
	int a = create("f"), p[2];
	char c;
	CHECK_OK(pipe(p));
	pid_t holder = xfork();
	if (holder == 0) {
		CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 0));
		CHECK_EQ(write(p[1], "x", 1), 1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	struct sigaction sa = {.sa_handler = count};
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		_exit(kill(me, SIGUSR1));
	}
	CHECK_ERRNO(lock(a, F_SETLKW, F_WRLCK, 0, 0), EINTR);
	CHECK_EQ(wait_exit(pid), 0);
	kill(holder, SIGKILL);
	CHECK_EQ(wait_exit(holder), 1000 + SIGKILL);
}

TEST(posix_deadlock_is_edeadlk)
{
	int a = create("f"), p[2];
	char c;
	CHECK_OK(pipe(p));
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 1));
	pid_t pid = xfork();
	if (pid == 0) {
		CHECK_OK(lock(a, F_SETLK, F_WRLCK, 1, 1));
		CHECK_EQ(write(p[1], "x", 1), 1);
		CHECK_OK(lock(a, F_SETLKW, F_WRLCK, 0, 1));
		_exit(0);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	wait_asleep(pid);
	CHECK_ERRNO(lock(a, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	CHECK_OK(lock(a, F_SETLK, F_UNLCK, 0, 1));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(lockf_of_the_c_library)
{
	int a = create("f");
	CHECK_OK(lockf(a, F_LOCK, 10));
	CHECK_OK(lockf(a, F_TEST, 10));
	CHILD {
		CHECK_ERRNO(lockf(a, F_TEST, 10), EACCES);
		CHECK_ERRNO(lockf(a, F_TLOCK, 10), EAGAIN);
	} CHILD_END;
	CHECK_OK(lockf(a, F_ULOCK, 10));
}

/* ---- open file description locks ---- */

TEST(ofd_conflicts_within_a_process)
{
	int a = create("f"), b = create("f"), d = CHECK_OK(dup(a));
	CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
	CHECK_OK(lock(d, F_OFD_SETLK, F_WRLCK, 5, 1));
	CHECK_OK(lock(b, F_OFD_SETLK, F_WRLCK, 10, 1));
	struct flock l = range(F_WRLCK, 0, 5);
	CHECK_OK(fcntl(b, F_OFD_GETLK, &l));
	CHECK_EQ(l.l_type, F_WRLCK);
	CHECK_EQ(l.l_pid, -1);
}

TEST(ofd_lives_with_the_description)
{
	int a = create("f"), b = create("f"), d = CHECK_OK(dup(a));
	CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
	close(create("f"));
	close(a);
	CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN);
	CHILD {
		CHECK_OK(lock(d, F_OFD_SETLK, F_WRLCK, 0, 0)); /* inherited */
	} CHILD_END;
	close(d);
	CHECK_OK(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
}

TEST(ofd_meets_posix)
{
	int a = create("f"), b = create("f");
	CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
	CHECK_ERRNO(lock(b, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
	struct flock l = range(F_WRLCK, 0, 0);
	l.l_pid = 5;
	CHECK_ERRNO(fcntl(a, F_OFD_SETLK, &l), EINVAL);
}

static void *ofd_wait(void *arg)
{
	return (void *)(long)lock(*(int *)arg, F_OFD_SETLKW, F_WRLCK, 0, 0);
}

TEST(ofd_setlkw_between_threads)
{
	int a = create("f"), b = create("f");
	pthread_t t;
	void *r;
	CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
	CHECK_EQ(pthread_create(&t, NULL, ofd_wait, &b), 0);
	msleep(60);
	CHECK_OK(lock(a, F_OFD_SETLK, F_UNLCK, 0, 0));
	CHECK_EQ(pthread_join(t, &r), 0);
	CHECK_EQ((long)r, 0);
}

TEST(leases)
{
	int fd = create("f");
	close(fd);
	fd = CHECK_OK(open("f", O_RDONLY));
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) {
		CHECK(errno == EINVAL || errno == EAGAIN); /* a file system may have none */
		SKIP("no leases");
	}
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
	CHECK_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
}
