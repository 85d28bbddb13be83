/* inotify: which events come, with which names and cookies, and how watches end. */
#include "check.h"
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

static int create(const char *path)
{
	return CHECK_OK(open(path, O_RDWR | O_CREAT, 0644));
}

static char events[4096] __attribute__((aligned(8)));
static int at, filled;

/* The next event, NULL if there is none. */
static struct inotify_event *next(int fd)
{
	if (at == filled) {
		ssize_t n = read(fd, events, sizeof events);
		if (n < 0) {
			CHECK_EQ(errno, EAGAIN);
			return NULL;
		}
		at = 0;
		filled = n;
	}
	struct inotify_event *e = (void *)(events + at);
	at += sizeof *e + e->len;
	return e;
}

static void expect(int fd, int wd, uint32_t mask, const char *name)
{
	struct inotify_event *e = next(fd);
	CHECK(e != NULL);
	CHECK_EQ(e->mask, mask);
	CHECK_EQ(e->wd, wd);
	CHECK_STR(e->len ? e->name : "", name);
}

static int watcher(void)
{
	return CHECK_OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

TEST(init_flags)
{
	int fd = watcher();
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_ERRNO(inotify_init1(1), EINVAL);
	CHECK(next(fd) == NULL);
}

TEST(add_watch_errors)
{
	int fd = watcher();
	create("f");
	CHECK_ERRNO(inotify_add_watch(fd, "missing", IN_ALL_EVENTS), ENOENT);
	CHECK_ERRNO(inotify_add_watch(fd, "f", 0), EINVAL);
	CHECK_ERRNO(inotify_add_watch(fd, "f", IN_ONLYDIR | IN_MODIFY), ENOTDIR);
	CHECK_ERRNO(inotify_add_watch(999, "f", IN_MODIFY), EBADF);
	CHECK_ERRNO(inotify_add_watch(0, "f", IN_MODIFY), EINVAL);
	CHECK_ERRNO(inotify_rm_watch(fd, 77), EINVAL);
	CHECK_ERRNO(inotify_rm_watch(0, 1), EINVAL);
	CHECK_OK(inotify_add_watch(fd, "f", IN_MODIFY));
	CHECK_ERRNO(inotify_add_watch(fd, "f", IN_MODIFY | IN_MASK_CREATE), EEXIST);
}

TEST(same_file_same_descriptor)
{
	int fd = watcher();
	create("f");
	CHECK_OK(link("f", "g"));
	int a = CHECK_OK(inotify_add_watch(fd, "f", IN_MODIFY)), b = CHECK_OK(inotify_add_watch(fd, "g", IN_OPEN));
	CHECK_EQ(a, b);
	CHECK_EQ(a, 1);
	int o = CHECK_OK(open("f", O_WRONLY)); /* the second call replaced the mask */
	CHECK_EQ(write(o, "x", 1), 1);
	expect(fd, a, IN_OPEN, "");
	CHECK(next(fd) == NULL);
	CHECK_EQ(inotify_add_watch(fd, "f", IN_MODIFY | IN_MASK_ADD), a);
	CHECK_EQ(write(o, "x", 1), 1);
	expect(fd, a, IN_MODIFY, "");
}

TEST(file_events)
{
	int fd = watcher(), f = create("f"), wd = CHECK_OK(inotify_add_watch(fd, "f", IN_ALL_EVENTS));
	char c;
	int o = CHECK_OK(open("f", O_RDWR));
	expect(fd, wd, IN_OPEN, "");
	CHECK_EQ(write(o, "x", 1), 1);
	expect(fd, wd, IN_MODIFY, "");
	CHECK_EQ(pread(o, &c, 1, 0), 1);
	expect(fd, wd, IN_ACCESS, "");
	CHECK_OK(fchmod(o, 0600));
	expect(fd, wd, IN_ATTRIB, "");
	CHECK_OK(ftruncate(o, 0));
	expect(fd, wd, IN_MODIFY, "");
	close(o);
	expect(fd, wd, IN_CLOSE_WRITE, "");
	o = CHECK_OK(open("f", O_RDONLY));
	expect(fd, wd, IN_OPEN, "");
	close(o);
	expect(fd, wd, IN_CLOSE_NOWRITE, "");
	CHECK_OK(rename("f", "g"));
	expect(fd, wd, IN_MOVE_SELF, "");
	close(f);
	expect(fd, wd, IN_CLOSE_WRITE, "");
	CHECK_OK(unlink("g"));
	expect(fd, wd, IN_ATTRIB, ""); /* the link count */
	expect(fd, wd, IN_DELETE_SELF, "");
	expect(fd, wd, IN_IGNORED, "");
	CHECK(next(fd) == NULL);
}

TEST(directory_events)
{
	CHECK_OK(mkdir("d", 0700));
	int fd = watcher(), wd = CHECK_OK(inotify_add_watch(fd, "d", IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVE | IN_CLOSE_WRITE));
	int f = create("d/f");
	expect(fd, wd, IN_CREATE, "f");
	CHECK_EQ(write(f, "x", 1), 1);
	expect(fd, wd, IN_MODIFY, "f");
	close(f);
	expect(fd, wd, IN_CLOSE_WRITE, "f");
	CHECK_OK(mkdir("d/sub", 0700));
	expect(fd, wd, IN_CREATE | IN_ISDIR, "sub");
	CHECK_OK(symlink("x", "d/l"));
	expect(fd, wd, IN_CREATE, "l");
	CHECK_OK(link("d/f", "d/hard"));
	expect(fd, wd, IN_CREATE, "hard");
	CHECK_OK(rmdir("d/sub"));
	expect(fd, wd, IN_DELETE | IN_ISDIR, "sub");
	CHECK_OK(unlink("d/f"));
	expect(fd, wd, IN_DELETE, "f");
	CHECK(next(fd) == NULL);
}

TEST(move_events_share_a_cookie)
{
	CHECK_OK(mkdir("a", 0700));
	CHECK_OK(mkdir("b", 0700));
	create("a/f");
	int fd = watcher(), wa = CHECK_OK(inotify_add_watch(fd, "a", IN_MOVE)), wb = CHECK_OK(inotify_add_watch(fd, "b", IN_MOVE));
	CHECK_OK(rename("a/f", "b/g"));
	struct inotify_event *e = next(fd);
	CHECK(e != NULL);
	CHECK_EQ(e->mask, IN_MOVED_FROM);
	CHECK_EQ(e->wd, wa);
	CHECK_STR(e->name, "f");
	uint32_t cookie = e->cookie;
	CHECK_NE(cookie, 0);
	e = next(fd);
	CHECK(e != NULL);
	CHECK_EQ(e->mask, IN_MOVED_TO);
	CHECK_EQ(e->wd, wb);
	CHECK_STR(e->name, "g");
	CHECK_EQ(e->cookie, cookie);
}

TEST(removed_watch_says_ignored)
{
	create("f");
	int fd = watcher(), wd = CHECK_OK(inotify_add_watch(fd, "f", IN_OPEN));
	CHECK_OK(inotify_rm_watch(fd, wd));
	expect(fd, wd, IN_IGNORED, "");
	CHECK_OK(open("f", O_RDONLY));
	CHECK(next(fd) == NULL);
	CHECK_ERRNO(inotify_rm_watch(fd, wd), EINVAL);
	CHECK_EQ(inotify_add_watch(fd, "f", IN_OPEN), wd + 1); /* numbers are not reused */
}

TEST(oneshot)
{
	create("f");
	int fd = watcher(), wd = CHECK_OK(inotify_add_watch(fd, "f", IN_OPEN | IN_ONESHOT));
	CHECK_OK(open("f", O_RDONLY));
	expect(fd, wd, IN_OPEN, "");
	expect(fd, wd, IN_IGNORED, "");
	CHECK_OK(open("f", O_RDONLY));
	CHECK(next(fd) == NULL);
}

TEST(equal_neighbours_are_merged)
{
	int f = create("f"), fd = watcher(), wd = CHECK_OK(inotify_add_watch(fd, "f", IN_MODIFY | IN_ATTRIB));
	for (int i = 0; i < 5; i++)
		CHECK_EQ(write(f, "x", 1), 1);
	CHECK_OK(fchmod(f, 0600));
	CHECK_EQ(write(f, "x", 1), 1);
	expect(fd, wd, IN_MODIFY, "");
	expect(fd, wd, IN_ATTRIB, "");
	expect(fd, wd, IN_MODIFY, "");
	CHECK(next(fd) == NULL);
}

TEST(poll_fionread_and_short_buffer)
{
	int f = create("f"), fd = watcher(), n = -1;
	char small[8];
	struct pollfd p = {fd, POLLIN, 0};
	CHECK_OK(inotify_add_watch(fd, "f", IN_MODIFY));
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_EQ(write(f, "x", 1), 1);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_OK(ioctl(fd, FIONREAD, &n));
	CHECK_EQ(n, sizeof(struct inotify_event));
	CHECK_ERRNO(read(fd, small, sizeof small), EINVAL);
	CHECK(next(fd) != NULL);
	CHECK_ERRNO(write(fd, small, 1), EBADF);
}

TEST(blocking_read_wakes)
{
	int fd = CHECK_OK(inotify_init()), wd;
	create("f");
	wd = CHECK_OK(inotify_add_watch(fd, "f", IN_ATTRIB));
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		_exit(chmod("f", 0600) != 0);
	}
	expect(fd, wd, IN_ATTRIB, "");
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(deleted_directory)
{
	CHECK_OK(mkdir("d", 0700));
	int fd = watcher(), wd = CHECK_OK(inotify_add_watch(fd, "d", IN_DELETE_SELF));
	CHECK_OK(rmdir("d"));
	expect(fd, wd, IN_DELETE_SELF, "");
	expect(fd, wd, IN_IGNORED, "");
}

TEST(excluded_unlinked_children_and_masks)
{
	CHECK_OK(mkdir("d", 0700));
	int f = create("d/f"), fd = watcher(), wd = CHECK_OK(inotify_add_watch(fd, "d", IN_MODIFY | IN_EXCL_UNLINK));
	CHECK_EQ(write(f, "x", 1), 1);
	expect(fd, wd, IN_MODIFY, "f");
	CHECK_OK(unlink("d/f"));
	CHECK_EQ(write(f, "x", 1), 1);
	CHECK(next(fd) == NULL);
}

TEST(dont_follow)
{
	create("f");
	CHECK_OK(symlink("f", "l"));
	int fd = watcher();
	CHECK_OK(inotify_add_watch(fd, "l", IN_OPEN | IN_DONT_FOLLOW));
	CHECK_OK(open("l", O_RDONLY));
	CHECK(next(fd) == NULL); /* the link itself was not opened */
}
