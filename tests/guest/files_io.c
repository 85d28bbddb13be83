/* Reading and writing files: offsets, vectors, holes, truncation, allocation, copying between descriptors. */
#include "check.h"
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static int create(const char *path, const char *text)
{
	int fd = CHECK_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0644));
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static off_t size_of(int fd)
{
	struct stat st;
	CHECK_OK(fstat(fd, &st));
	return st.st_size;
}

TEST(read_and_write_move_the_offset)
{
	char buf[16] = "";
	int fd = create("f", "0123456789");
	CHECK_EQ(read(fd, buf, 4), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
	CHECK_EQ(write(fd, "XX", 2), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
	CHECK_EQ(read(fd, buf, 16), 4);
	CHECK_EQ(read(fd, buf, 16), 0);
	CHECK_EQ(pread(fd, buf, 16, 0), 10);
	CHECK_MEM(buf, "0123XX6789", 10);
}

TEST(read_write_errors)
{
	int fd = create("f", "abc");
	char c;
	CHECK_ERRNO(read(999, &c, 1), EBADF);
	CHECK_ERRNO(read(-1, &c, 1), EBADF);
	CHECK_ERRNO(read(fd, BAD, 1), EFAULT);
	CHECK_ERRNO(write(fd, BAD, 1), EFAULT);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(read(fd, &c, 0), 0);
	CHECK_EQ(write(fd, &c, 0), 0);
	CHECK_ERRNO(syscall(SYS_read, fd, &c, (size_t)-1), EFAULT); /* the range leaves user memory */
}

TEST(read_into_partly_unmapped_buffer)
{
	int fd = create("f", "");
	char *p = CHECK_OK((char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK_OK(munmap(p + 4096, 4096));
	memset(p, 'a', 4096);
	CHECK_EQ(write(fd, p, 4096), 4096);
	CHECK_EQ(write(fd, p, 4096), 4096);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	ssize_t n = read(fd, p + 4000, 200);
	CHECK(n == 96 || (n == -1 && errno == EFAULT)); /* both are seen, by file system */
}

TEST(lseek_rules)
{
	int fd = create("f", "0123456789"), p[2];
	CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
	CHECK_EQ(lseek(fd, -1, SEEK_CUR), 2);
	CHECK_EQ(lseek(fd, -1, SEEK_END), 9);
	CHECK_EQ(lseek(fd, 100, SEEK_END), 110);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, -200, SEEK_CUR), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 110);
	CHECK_ERRNO(lseek(999, 0, SEEK_SET), EBADF);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(lseek(p[0], 0, SEEK_SET), ESPIPE);
	CHECK_ERRNO(pread(p[0], &fd, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(p[1], &fd, 1, 0), ESPIPE);
}

TEST(write_past_end_leaves_a_hole_of_zeros)
{
	char buf[128];
	int fd = create("f", "abc");
	CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
	CHECK_EQ(read(fd, buf, 10), 0);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(size_of(fd), 101);
	CHECK_EQ(pread(fd, buf, sizeof buf, 0), 101);
	for (int i = 3; i < 100; i++)
		CHECK_EQ(buf[i], 0);
	CHECK_EQ(buf[100], 'x');
}

TEST(seek_data_and_hole)
{
	int fd = create("f", "");
	CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 0, SEEK_HOLE), ENXIO);
	CHECK_EQ(pwrite(fd, "x", 1, 1 << 20), 1);
	off_t d = CHECK_OK(lseek(fd, 0, SEEK_DATA));
	CHECK(d == 1 << 20 || d == 0); /* a file system may know no holes */
	off_t h = CHECK_OK(lseek(fd, 1 << 20, SEEK_HOLE));
	CHECK_EQ(h, (1 << 20) + 1);
	CHECK_ERRNO(lseek(fd, (1 << 20) + 1, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, -1, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 2 << 20, SEEK_HOLE), ENXIO);
}

TEST(pread_pwrite_leave_the_offset)
{
	char buf[8];
	int fd = create("f", "0123456789");
	CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
	CHECK_EQ(pread(fd, buf, 3, 1), 3);
	CHECK_MEM(buf, "123", 3);
	CHECK_EQ(pwrite(fd, "AB", 2, 8), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	CHECK_ERRNO(pread(fd, buf, 1, -1), EINVAL);
	CHECK_ERRNO(pwrite(fd, buf, 1, -1), EINVAL);
	CHECK_EQ(pread(fd, buf, 1, 1000), 0);
}

TEST(vectors)
{
	char a[4] = "", b[4] = "";
	struct iovec v[3] = {{a, 3}, {NULL, 0}, {b, 3}};
	int fd = create("f", "abcdef");
	CHECK_EQ(readv(fd, v, 3), 6);
	CHECK_STR(a, "abc");
	CHECK_STR(b, "def");
	CHECK_EQ(writev(fd, v, 3), 6);
	CHECK_EQ(size_of(fd), 12);
	CHECK_EQ(preadv(fd, v, 3, 9), 3);
	CHECK_STR(a, "def");
	CHECK_EQ(pwritev(fd, v, 1, 0), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
	CHECK_EQ(readv(fd, v, 0), 0);
}

TEST(vector_errors)
{
	char a[4] = "abc";
	struct iovec v[2] = {{a, 3}, {a, -1}}, bad[2] = {{a, 3}, {BAD, 3}};
	int fd = create("f", "");
	static struct iovec many[1025];
	CHECK_ERRNO(writev(fd, v, 2), EINVAL);
	CHECK_ERRNO(syscall(SYS_writev, fd, v, -1), EINVAL);
	CHECK_ERRNO(writev(fd, many, 1025), EINVAL);
	CHECK_EQ(writev(fd, many, 1024), 0);
	CHECK_ERRNO(writev(fd, BAD, 1), EFAULT);
	CHECK_ERRNO(readv(999, v, 1), EBADF);
	CHECK_EQ(size_of(fd), 0);
	ssize_t n = writev(fd, bad, 2);
	CHECK(n == 3 || (n == -1 && errno == EFAULT));
}

TEST(preadv2_flags)
{
	char buf[4] = "";
	struct iovec v = {buf, 3};
	int fd = create("f", "abcdef");
	CHECK_EQ(preadv2(fd, &v, 1, 2, 0), 3);
	CHECK_STR(buf, "cde");
	CHECK_EQ(preadv2(fd, &v, 1, -1, 0), 3); /* -1: the current offset, moved */
	CHECK_STR(buf, "abc");
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	CHECK_ERRNO(preadv2(fd, &v, 1, 0, 0x40000000), EOPNOTSUPP);
	CHECK_ERRNO(preadv2(fd, &v, 1, -2, 0), EINVAL);
	memcpy(buf, "XYZ", 3);
	CHECK_EQ(pwritev2(fd, &v, 1, 0, RWF_APPEND), 3);
	CHECK_EQ(size_of(fd), 9);
	CHECK_EQ(pwritev2(fd, &v, 1, 0, RWF_DSYNC), 3);
	ssize_t n = preadv2(fd, &v, 1, 0, RWF_NOWAIT);
	CHECK(n == 3 || (n == -1 && (errno == EAGAIN || errno == EOPNOTSUPP)));
}

TEST(truncate_and_ftruncate)
{
	char buf[32];
	int fd = create("f", "0123456789");
	CHECK_OK(ftruncate(fd, 4));
	CHECK_EQ(size_of(fd), 4);
	CHECK_OK(truncate("f", 20));
	CHECK_EQ(pread(fd, buf, sizeof buf, 0), 20);
	CHECK_MEM(buf, "0123\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
	CHECK_ERRNO(truncate("f", -1), EINVAL);
	CHECK_ERRNO(truncate("missing", 0), ENOENT);
	CHECK_ERRNO(truncate(".", 0), EISDIR);
	CHECK_ERRNO(truncate("f/x", 0), ENOTDIR);
	int ro = CHECK_OK(open("f", O_RDONLY)), dir = CHECK_OK(open(".", O_RDONLY)), p[2];
	CHECK_ERRNO(ftruncate(ro, 0), EINVAL);
	CHECK_ERRNO(ftruncate(dir, 0), EINVAL);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(ftruncate(p[1], 0), EINVAL);
	CHECK_ERRNO(ftruncate(999, 0), EBADF);
	CHECK_ERRNO(truncate(BAD, 0), EFAULT);
}

TEST(truncate_needs_write_permission)
{
	int fd = create("f", "abc");
	CHECK_OK(fchmod(fd, 0444));
	CHILD {
		become_user();
		CHECK_ERRNO(truncate("f", 0), EACCES);
	} CHILD_END;
	CHECK_OK(ftruncate(fd, 1)); /* the open descriptor decides */
}

TEST(fallocate_modes)
{
	char buf[4096];
	int fd = create("f", "abc");
	int r = fallocate(fd, 0, 0, 8192);
	if (r < 0 && errno == EOPNOTSUPP)
		SKIP("the file system has no fallocate");
	CHECK_OK(r);
	CHECK_EQ(size_of(fd), 8192);
	CHECK_EQ(pread(fd, buf, 4, 0), 4);
	CHECK_MEM(buf, "abc\0", 4);
	CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 65536));
	CHECK_EQ(size_of(fd), 8192);
	memset(buf, 'x', sizeof buf);
	CHECK_EQ(pwrite(fd, buf, 4096, 4096), 4096);
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
	CHECK_EQ(pread(fd, buf, 1, 5000), 1);
	CHECK_EQ(buf[0], 0);
	CHECK_EQ(size_of(fd), 8192);
}

/* Whatever a file is kept in as it grows, gets holes and shrinks: it reads as a plain array would. */
TEST(reads_as_an_array)
{
	enum { MAX = 3 << 19 };
	static unsigned char shadow[MAX], buf[MAX];
	unsigned seed = 12345;
	size_t size = 0;
	int fd = create("array", "");
	for (int i = 0; i < 600; i++) {
		seed = seed * 1103515245 + 12345;
		unsigned what = seed >> 28;
		seed = seed * 1103515245 + 12345;
		size_t at = what & 1 ? size : (seed >> 8) % MAX;
		seed = seed * 1103515245 + 12345;
		size_t len = (seed >> 8) % (what & 2 ? 200000 : 3000) + 1;
		/* Early rounds stay small. */
		if (i < 300)
			at %= 100000, len %= 20000;
		if (len == 0 || at + len > MAX)
			continue;
		if (what < 11) {
			memset(buf, i, len);
			CHECK_EQ(pwrite(fd, buf, len, at), (long)len);
			memset(shadow + at, i, len);
			if (at + len > size)
				size = at + len;
		} else if (what < 13) {
			CHECK_OK(ftruncate(fd, at));
			if (at < size)
				memset(shadow + at, 0, size - at);
			size = at;
		} else if (what < 14) {
			CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len));
			memset(shadow + at, 0, len);
		} else {
			size_t want = at >= size ? 0 : at + len > size ? size - at : len;
			CHECK_EQ(pread(fd, buf, len, at), (long)want);
			CHECK(memcmp(buf, shadow + at, want) == 0);
		}
		CHECK_EQ((size_t)size_of(fd), size);
	}
	CHECK_EQ((size_t)pread(fd, buf, MAX, 0), size);
	CHECK(memcmp(buf, shadow, size) == 0);
}

TEST(fallocate_errors)
{
	int fd = create("f", "abc"), ro = CHECK_OK(open("f", O_RDONLY)), dir = CHECK_OK(open(".", O_RDONLY)), p[2];
	CHECK_OK(pipe(p));
	CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, -1), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0x4000, 0, 10), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP); /* needs KEEP_SIZE */
	CHECK_ERRNO(fallocate(ro, 0, 0, 10), EBADF);
	CHECK_ERRNO(fallocate(dir, 0, 0, 10), EBADF);
	CHECK_ERRNO(fallocate(p[1], 0, 0, 10), ESPIPE);
	CHECK_ERRNO(fallocate(999, 0, 0, 10), EBADF);
}

TEST(fsize_limit)
{
	static char buf[8192];
	struct rlimit r = {10000, 10000};
	CHILD {
		int fd = create("f", "");
		CHECK_OK(setrlimit(RLIMIT_FSIZE, &r));
		signal(SIGXFSZ, SIG_IGN);
		CHECK_EQ(write(fd, buf, 8192), 8192);
		CHECK_EQ(write(fd, buf, 8192), 10000 - 8192); /* what fits */
		CHECK_ERRNO(write(fd, buf, 1), EFBIG);
		CHECK_ERRNO(ftruncate(fd, 10001), EFBIG);
		CHECK_OK(ftruncate(fd, 10000));
		CHECK_ERRNO(pwrite(fd, buf, 1, 10000), EFBIG);
	} CHILD_END;
	pid_t pid = xfork();
	if (pid == 0) {
		int fd = create("f", "");
		setrlimit(RLIMIT_FSIZE, &r);
		_exit(pwrite(fd, buf, 1, 20000) < 0 ? errno : 0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGXFSZ);
}

TEST(sendfile_rules)
{
	char buf[16] = "";
	int in = create("a", "hello world"), out = create("b", ""), p[2];
	CHECK_EQ(sendfile(out, in, NULL, 5), 5);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 5);
	off_t off = 6;
	CHECK_EQ(sendfile(out, in, &off, 100), 5);
	CHECK_EQ(off, 11);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 5);
	CHECK_EQ(pread(out, buf, sizeof buf, 0), 10);
	CHECK_STR(buf, "helloworld");
	CHECK_EQ(sendfile(out, in, &off, 100), 0);
	CHECK_OK(pipe(p));
	off = 0;
	CHECK_EQ(sendfile(p[1], in, &off, 5), 5);
	CHECK_EQ(read(p[0], buf, sizeof buf), 5);
	off = -1;
	CHECK_ERRNO(sendfile(out, in, &off, 1), EINVAL);
	CHECK_ERRNO(sendfile(out, p[0], NULL, 1), EINVAL);
	CHECK_ERRNO(sendfile(999, in, NULL, 1), EBADF);
	CHECK_ERRNO(sendfile(out, 999, NULL, 1), EBADF);
	int ap = CHECK_OK(open("b", O_WRONLY | O_APPEND)), ro = CHECK_OK(open("b", O_RDONLY));
	CHECK_ERRNO(sendfile(ap, in, NULL, 1), EINVAL);
	CHECK_ERRNO(sendfile(ro, in, NULL, 1), EBADF);
	CHECK_ERRNO(syscall(SYS_sendfile, out, in, BAD, 1), EFAULT);
}

TEST(copy_file_range_rules)
{
	char buf[16] = "";
	int in = create("a", "hello world"), out = create("b", "");
	CHECK_EQ(copy_file_range(in, NULL, out, NULL, 5, 0), 5);
	off64_t from = 6, to = 100;
	CHECK_EQ(copy_file_range(in, &from, out, &to, 100, 0), 5);
	CHECK_EQ(from, 11);
	CHECK_EQ(to, 105);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 5);
	CHECK_EQ(lseek(out, 0, SEEK_CUR), 5);
	CHECK_EQ(size_of(out), 105);
	CHECK_EQ(pread(out, buf, 5, 100), 5);
	CHECK_STR(buf, "world");
	CHECK_EQ(copy_file_range(in, &from, out, &to, 100, 0), 0);
	CHECK_ERRNO(copy_file_range(in, NULL, out, NULL, 5, 1), EINVAL);
	from = 0, to = 2;
	CHECK_ERRNO(copy_file_range(in, &from, in, &to, 5, 0), EINVAL); /* overlap */
	int dir = CHECK_OK(open(".", O_RDONLY)), ro = CHECK_OK(open("b", O_RDONLY)), ap = CHECK_OK(open("b", O_WRONLY | O_APPEND)), p[2];
	CHECK_OK(pipe(p));
	CHECK_ERRNO(copy_file_range(dir, NULL, out, NULL, 5, 0), EISDIR);
	CHECK_ERRNO(copy_file_range(in, NULL, ro, NULL, 5, 0), EBADF);
	CHECK_ERRNO(copy_file_range(in, NULL, ap, NULL, 5, 0), EBADF);
	CHECK_ERRNO(copy_file_range(in, NULL, p[1], NULL, 5, 0), EINVAL);
}

TEST(splice_between_file_and_pipe)
{
	char buf[16] = "";
	int in = create("a", "hello world"), out = create("b", ""), p[2];
	CHECK_OK(pipe(p));
	CHECK_EQ(splice(in, NULL, p[1], NULL, 5, 0), 5);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 5);
	off64_t off = 6;
	CHECK_EQ(splice(in, &off, p[1], NULL, 100, 0), 5);
	CHECK_EQ(off, 11);
	CHECK_EQ(splice(p[0], NULL, out, NULL, 100, 0), 10);
	CHECK_EQ(pread(out, buf, sizeof buf, 0), 10);
	CHECK_STR(buf, "helloworld");
	CHECK_ERRNO(splice(p[0], NULL, out, NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_ERRNO(splice(in, NULL, out, NULL, 5, 0), EINVAL); /* neither is a pipe */
	CHECK_ERRNO(splice(p[0], &off, out, NULL, 5, 0), ESPIPE);
	CHECK_ERRNO(splice(in, NULL, p[1], NULL, 5, 0x100), EINVAL);
	CHECK_EQ(splice(in, NULL, p[1], NULL, 0, 0), 0);
	close(p[1]);
	CHECK_EQ(splice(p[0], NULL, out, NULL, 5, 0), 0);
}

TEST(splice_pipe_to_pipe_and_tee)
{
	char buf[16] = "";
	int a[2], b[2];
	CHECK_OK(pipe(a));
	CHECK_OK(pipe(b));
	CHECK_EQ(write(a[1], "hello", 5), 5);
	CHECK_EQ(tee(a[0], b[1], 100, 0), 5);
	CHECK_EQ(read(b[0], buf, sizeof buf), 5);
	CHECK_STR(buf, "hello");
	CHECK_EQ(splice(a[0], NULL, b[1], NULL, 3, 0), 3); /* tee left it there */
	CHECK_EQ(read(b[0], buf, sizeof buf), 3);
	CHECK_EQ(read(a[0], buf, sizeof buf), 2);
	CHECK_ERRNO(tee(a[0], b[1], 100, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_ERRNO(tee(a[0], a[1], 100, 0), EINVAL);
	CHECK_ERRNO(splice(a[0], NULL, a[1], NULL, 100, 0), EINVAL);
	CHECK_EQ(write(a[1], "x", 1), 1);
	int f = create("f", "");
	CHECK_ERRNO(tee(a[0], f, 100, 0), EINVAL);
}

TEST(vmsplice_into_and_from_pipe)
{
	char buf[16] = "", text[] = "vm";
	int p[2];
	struct iovec v = {text, 2}, w = {buf, sizeof buf};
	CHECK_OK(pipe(p));
	CHECK_EQ(vmsplice(p[1], &v, 1, 0), 2);
	CHECK_EQ(vmsplice(p[0], &w, 1, 0), 2);
	CHECK_STR(buf, "vm");
	CHECK_ERRNO(vmsplice(create("f", ""), &v, 1, 0), EBADF);
}

TEST(fsync_and_friends)
{
	int fd = create("f", "abc"), p[2], dir = CHECK_OK(open(".", O_RDONLY));
	CHECK_OK(fsync(fd));
	CHECK_OK(fdatasync(fd));
	CHECK_OK(fsync(dir));
	CHECK_OK(syncfs(fd));
	CHECK_OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	CHECK_ERRNO(sync_file_range(fd, -1, 0, 0), EINVAL);
	CHECK_ERRNO(sync_file_range(fd, 0, 0, 0x100), EINVAL);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(fsync(p[0]), EINVAL);
	CHECK_ERRNO(fsync(999), EBADF);
	CHECK_ERRNO(syncfs(999), EBADF);
}

TEST(fadvise_and_readahead)
{
	int fd = create("f", "abc"), p[2];
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
	CHECK_EQ(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL), EINVAL);
	CHECK_EQ(posix_fadvise(999, 0, 0, POSIX_FADV_NORMAL), EBADF);
	CHECK_OK(pipe(p));
	CHECK_EQ(posix_fadvise(p[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
	CHECK_OK(readahead(fd, 0, 100));
	CHECK_ERRNO(readahead(p[0], 0, 100), EINVAL);
}

TEST(fionread_of_file)
{
	int n = -1, fd = create("f", "0123456789");
	CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
	CHECK_OK(ioctl(fd, FIONREAD, &n));
	CHECK_EQ(n, 7);
	CHECK_ERRNO(ioctl(fd, 0x5401 /* TCGETS */, &n), ENOTTY);
	CHECK_ERRNO(ioctl(999, FIONREAD, &n), EBADF);
}

TEST(fionbio_and_fioclex)
{
	int on = 1, p[2];
	CHECK_OK(pipe(p));
	CHECK_OK(ioctl(p[0], FIONBIO, &on));
	CHECK_EQ(fcntl(p[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	on = 0;
	CHECK_OK(ioctl(p[0], FIONBIO, &on));
	CHECK_EQ(fcntl(p[0], F_GETFL) & O_NONBLOCK, 0);
	CHECK_OK(ioctl(p[0], FIOCLEX));
	CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	CHECK_OK(ioctl(p[0], FIONCLEX));
	CHECK_EQ(fcntl(p[0], F_GETFD), 0);
}

TEST(device_files)
{
	char buf[64];
	int null = CHECK_OK(open("/dev/null", O_RDWR)), zero = CHECK_OK(open("/dev/zero", O_RDWR)), full = CHECK_OK(open("/dev/full", O_RDWR));
	int rnd = CHECK_OK(open("/dev/urandom", O_RDONLY));
	CHECK_EQ(write(null, buf, 64), 64);
	CHECK_EQ(read(null, buf, 64), 0);
	memset(buf, 'x', 64);
	CHECK_EQ(read(zero, buf, 64), 64);
	CHECK_EQ(buf[63], 0);
	CHECK_EQ(write(zero, buf, 64), 64);
	CHECK_ERRNO(write(full, buf, 1), ENOSPC);
	CHECK_EQ(read(full, buf, 64), 64);
	CHECK_EQ(read(rnd, buf, 64), 64);
	int nonzero = 0;
	for (int i = 0; i < 64; i++)
		nonzero += buf[i] != 0;
	CHECK_GT(nonzero, 30);
	CHECK_EQ(lseek(null, 5, SEEK_SET), 0);
	struct stat st;
	CHECK_OK(fstat(null, &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_rdev, 0x103);
	CHECK_OK(stat("/dev/zero", &st));
	CHECK_EQ(st.st_rdev, 0x105);
	CHECK_OK(stat("/dev/full", &st));
	CHECK_EQ(st.st_rdev, 0x107);
	CHECK_OK(stat("/dev/random", &st));
	CHECK_EQ(st.st_rdev, 0x108);
	CHECK_OK(stat("/dev/urandom", &st));
	CHECK_EQ(st.st_rdev, 0x109);
	CHECK_OK(stat("/dev/tty", &st));
	CHECK_EQ(st.st_rdev, 0x500);
}

TEST(big_file_offsets)
{
	char c;
	int fd = create("f", "");
	off_t far = 5LL << 32;
	CHECK_EQ(pwrite(fd, "x", 1, far), 1);
	CHECK_EQ(size_of(fd), far + 1);
	CHECK_EQ(pread(fd, &c, 1, far), 1);
	CHECK_EQ(c, 'x');
	CHECK_EQ(pread(fd, &c, 1, far - 1), 1);
	CHECK_EQ(c, 0);
	struct stat st;
	CHECK_OK(fstat(fd, &st));
	CHECK_LT(st.st_blocks, 10000); /* it is a hole */
}

TEST(shared_offset_of_dup_and_own_of_open)
{
	char c;
	int a = create("f", "0123456789"), b = CHECK_OK(dup(a)), o = CHECK_OK(open("f", O_RDONLY));
	CHECK_EQ(lseek(a, 5, SEEK_SET), 5);
	CHECK_EQ(read(b, &c, 1), 1);
	CHECK_EQ(c, '5');
	CHECK_EQ(read(o, &c, 1), 1);
	CHECK_EQ(c, '0');
}

TEST(megabyte_round_trip)
{
	static unsigned char out[1 << 20], in[1 << 20];
	unsigned x = 1;
	for (size_t i = 0; i < sizeof out; i++)
		out[i] = (x = x * 1103515245 + 12345) >> 16;
	int fd = create("f", "");
	CHECK_EQ(write(fd, out, sizeof out), sizeof out);
	CHECK_EQ(pread(fd, in, sizeof in, 0), sizeof in);
	CHECK(memcmp(in, out, sizeof in) == 0);
	CHECK_EQ(pread(fd, in, sizeof in, 4097), sizeof in - 4097);
	CHECK(memcmp(in, out + 4097, sizeof in - 4097) == 0);
}
