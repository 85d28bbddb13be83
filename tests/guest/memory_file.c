/* Files in memory: coherence of mappings with read and write, copy on write, ends of files, memfd and its seals. */
#include "check.h"
#include <linux/memfd.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#define PG 4096L
#define RW (PROT_READ | PROT_WRITE)

static sigjmp_buf back;

static void on_fault(int sig)
{
	siglongjmp(back, sig);
}

static int touch(volatile char *p, int write)
{
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	int sig = sigsetjmp(back, 1);
	if (sig == 0) {
		if (write)
			*p = 1;
		else
			(void)*p;
	}
	return sig;
}

static int file_of(off_t size)
{
	int fd = CHECK_OK(open("file", O_RDWR | O_CREAT | O_TRUNC, 0600));
	CHECK_OK(ftruncate(fd, size));
	return fd;
}

static char *map(int fd, size_t size, int prot, int flags)
{
	return CHECK_OK((char *)mmap(NULL, size, prot, flags, fd, 0));
}

TEST(shared_mapping_sees_write_and_back)
{
	int fd = file_of(2 * PG);
	char c, *p = map(fd, 2 * PG, RW, MAP_SHARED);
	CHECK_EQ(pwrite(fd, "w", 1, 100), 1);
	CHECK_EQ(p[100], 'w');
	p[PG + 1] = 'm';
	CHECK_EQ(pread(fd, &c, 1, PG + 1), 1);
	CHECK_EQ(c, 'm');
	CHECK_OK(msync(p, 2 * PG, MS_SYNC));
	CHECK_OK(munmap(p, 2 * PG));
	CHECK_EQ(pread(fd, &c, 1, PG + 1), 1);
	CHECK_EQ(c, 'm');
}

TEST(two_shared_mappings_are_one_memory)
{
	int fd = file_of(PG), fd2 = CHECK_OK(open("file", O_RDWR));
	char *p = map(fd, PG, RW, MAP_SHARED), *q = map(fd2, PG, RW, MAP_SHARED);
	CHECK_NE(p, q);
	for (int i = 0; i < 100; i++) {
		p[i] = i;
		CHECK_EQ(q[i], i);
	}
}

TEST(shared_mapping_between_processes)
{
	int fd = file_of(PG);
	volatile char *p = map(fd, PG, RW, MAP_SHARED);
	CHILD {
		p[0] = 'c';
		char *q = map(fd, PG, RW, MAP_SHARED);
		q[1] = 'd';
	} CHILD_END;
	CHECK_EQ(p[0], 'c');
	CHECK_EQ(p[1], 'd');
}

TEST(mapping_outlives_descriptor_and_name)
{
	int fd = file_of(PG);
	char *p = map(fd, PG, RW, MAP_SHARED);
	CHECK_OK(close(fd));
	CHECK_OK(unlink("file"));
	p[0] = 'x';
	CHILD {
		CHECK_EQ(p[0], 'x');
		p[0] = 'y';
	} CHILD_END;
	CHECK_EQ(p[0], 'y');
}

TEST(private_mapping_does_not_reach_the_file)
{
	int fd = file_of(PG);
	char c, *p = map(fd, PG, RW, MAP_PRIVATE);
	CHECK_EQ(pwrite(fd, "a", 1, 0), 1);
	CHECK_EQ(p[0], 'a');
	p[0] = 'b';
	CHECK_EQ(pread(fd, &c, 1, 0), 1);
	CHECK_EQ(c, 'a');
	CHECK_EQ(pwrite(fd, "c", 1, 0), 1);
	CHECK_EQ(p[0], 'b');
}

TEST(private_mapping_of_read_only_descriptor_is_writable)
{
	int fd = file_of(PG);
	CHECK_EQ(pwrite(fd, "a", 1, 5), 1);
	int ro = CHECK_OK(open("file", O_RDONLY));
	char *p = map(ro, PG, RW, MAP_PRIVATE);
	p[5]++;
	CHECK_EQ(p[5], 'b');
}

TEST(private_pages_over_fork)
{
	int fd = file_of(2 * PG);
	CHECK_EQ(pwrite(fd, "a", 1, 0), 1);
	char *p = map(fd, 2 * PG, RW, MAP_PRIVATE);
	p[PG] = 'p';
	CHILD {
		CHECK_EQ(p[0], 'a');
		CHECK_EQ(p[PG], 'p');
		p[0] = 'x';
		p[PG] = 'y';
	} CHILD_END;
	CHECK_EQ(p[0], 'a');
	CHECK_EQ(p[PG], 'p');
}

TEST(dontneed_of_private_shows_the_file_again)
{
	int fd = file_of(PG);
	CHECK_EQ(pwrite(fd, "a", 1, 0), 1);
	char *p = map(fd, PG, RW, MAP_PRIVATE);
	p[0] = 'b';
	CHECK_OK(madvise(p, PG, MADV_DONTNEED));
	CHECK_EQ(p[0], 'a');
	CHECK_ERRNO(madvise(p, PG, MADV_FREE), EINVAL);
}

TEST(dontneed_of_shared_keeps_data)
{
	int fd = file_of(PG);
	char *p = map(fd, PG, RW, MAP_SHARED);
	p[0] = 'b';
	CHECK_OK(madvise(p, PG, MADV_DONTNEED));
	CHECK_EQ(p[0], 'b');
}

TEST(rest_of_last_page_is_zero_and_not_written)
{
	int fd = file_of(10);
	char buf[32], *p = map(fd, PG, RW, MAP_SHARED);
	for (int i = 10; i < PG; i++)
		CHECK_EQ(p[i], 0);
	p[20] = 'x';
	struct stat st;
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 10);
	CHECK_EQ(read(fd, buf, sizeof buf), 10);
}

TEST(sigbus_past_end_until_it_grows)
{
	int fd = file_of(PG);
	char *p = map(fd, 3 * PG, RW, MAP_SHARED);
	CHECK_EQ(touch(p + PG, 0), SIGBUS);
	CHECK_EQ(touch(p + 2 * PG, 1), SIGBUS);
	CHECK_OK(ftruncate(fd, 3 * PG));
	CHECK_EQ(touch(p + PG, 1), 0);
	CHECK_EQ(touch(p + 2 * PG, 1), 0);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_EQ(touch(p, 0), SIGBUS);
}

TEST(empty_file_maps_but_faults)
{
	int fd = file_of(0);
	char *p = map(fd, PG, PROT_READ, MAP_PRIVATE);
	CHECK_EQ(touch(p, 0), SIGBUS);
}

TEST(truncation_drops_private_copies)
{
	int fd = file_of(2 * PG);
	char *p = map(fd, 2 * PG, RW, MAP_PRIVATE);
	p[PG] = 'x';
	CHECK_OK(ftruncate(fd, PG));
	CHECK_EQ(touch(p + PG, 0), SIGBUS); /* even the written page is gone */
	CHECK_OK(ftruncate(fd, 2 * PG));
	CHECK_EQ(p[PG], 0);
}

TEST(system_call_on_page_past_end_is_efault)
{
	int fd = file_of(PG), p[2];
	char *m = map(fd, 2 * PG, RW, MAP_SHARED);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(write(p[1], m + PG, 10), EFAULT);
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_ERRNO(read(p[0], m + PG, 3), EFAULT);
}

TEST(reading_a_file_into_its_own_mapping)
{
	int fd = file_of(2 * PG);
	char *p = map(fd, 2 * PG, RW, MAP_SHARED);
	memset(p, 'a', PG);
	CHECK_EQ(pread(fd, p + PG, PG, 0), PG);
	CHECK_EQ(p[2 * PG - 1], 'a');
	CHECK_EQ(pwrite(fd, p + PG, PG, 0), PG);
	CHECK_EQ(p[0], 'a');
}

TEST(mapping_at_an_offset)
{
	int fd = file_of(4 * PG);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pwrite(fd, &"wxyz"[i], 1, i * PG), 1);
	char *p = CHECK_OK((char *)mmap(NULL, 2 * PG, PROT_READ, MAP_PRIVATE, fd, 2 * PG));
	CHECK_EQ(p[0], 'y');
	CHECK_EQ(p[PG], 'z');
}

TEST(mremap_of_file_mapping_shows_more_of_the_file)
{
	int fd = file_of(3 * PG);
	CHECK_EQ(pwrite(fd, "q", 1, 2 * PG), 1);
	char *p = map(fd, PG, RW, MAP_SHARED);
	p[0] = 'a';
	char *q = CHECK_OK((char *)mremap(p, PG, 3 * PG, MREMAP_MAYMOVE));
	CHECK_EQ(q[0], 'a');
	CHECK_EQ(q[2 * PG], 'q');
}

TEST(append_write_and_mapping_agree)
{
	int fd = file_of(0), ap = CHECK_OK(open("file", O_WRONLY | O_APPEND));
	CHECK_EQ(write(ap, "abc", 3), 3);
	char *p = map(fd, PG, PROT_READ, MAP_SHARED);
	CHECK_MEM(p, "abc", 4);
	CHECK_EQ(write(ap, "def", 3), 3);
	CHECK_MEM(p, "abcdef", 7);
}

TEST(hole_reads_as_zero_through_mapping)
{
	int fd = file_of(0);
	CHECK_EQ(pwrite(fd, "end", 3, 10 * PG), 3);
	char *p = map(fd, 11 * PG, PROT_READ, MAP_SHARED);
	for (long i = 0; i < 10 * PG; i += 512)
		CHECK_EQ(p[i], 0);
	CHECK_MEM(p + 10 * PG, "end", 3);
}

TEST(mtime_moves_when_written_through_mapping)
{
	int fd = file_of(PG);
	struct stat a, b;
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	CHECK_OK(futimens(fd, old));
	CHECK_OK(fstat(fd, &a));
	CHECK_EQ(a.st_mtime, 1000);
	char *p = map(fd, PG, RW, MAP_SHARED);
	p[0] = 'x';
	CHECK_OK(msync(p, PG, MS_SYNC));
	CHECK_OK(fstat(fd, &b));
	CHECK_GT(b.st_mtime, 1000);
}

/* ---- memfd ---- */

TEST(memfd_basic)
{
	int fd = CHECK_OK(memfd_create("name", MFD_CLOEXEC));
	struct stat st;
	char link[256], path[64];
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_OK(fstat(fd, &st));
	CHECK(S_ISREG(st.st_mode));
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_mode & 0777, 0777);
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ssize_t n = CHECK_OK(readlink(path, link, sizeof link - 1));
	link[n] = 0;
	CHECK_STR(link, "/memfd:name (deleted)");
	int again = CHECK_OK(open(path, O_RDONLY));
	CHECK_EQ(pread(again, link, 3, 0), 3);
	CHECK_MEM(link, "abc", 3);
}

TEST(memfd_errors)
{
	char name[300];
	memset(name, 'x', sizeof name);
	name[299] = 0;
	CHECK_ERRNO(memfd_create(name, 0), EINVAL);
	name[249] = 0;
	CHECK_OK(memfd_create(name, 0));
	CHECK_ERRNO(memfd_create("x", 0x8000), EINVAL);
	CHECK_ERRNO(memfd_create(BAD, 0), EFAULT);
}

TEST(memfd_shared_over_fork_and_mapping)
{
	int fd = CHECK_OK(memfd_create("m", 0));
	CHECK_OK(ftruncate(fd, PG));
	char c, *p = map(fd, PG, RW, MAP_SHARED);
	CHILD {
		CHECK_EQ(pwrite(fd, "c", 1, 7), 1);
	} CHILD_END;
	CHECK_EQ(p[7], 'c');
	p[8] = 'd';
	CHECK_EQ(pread(fd, &c, 1, 8), 1);
	CHECK_EQ(c, 'd');
}

TEST(seals_default_and_forbidden)
{
	int fd = CHECK_OK(memfd_create("m", 0)), open_fd = CHECK_OK(memfd_create("m", MFD_ALLOW_SEALING)), file = file_of(0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	CHECK_EQ(fcntl(open_fd, F_GET_SEALS), 0);
	CHECK_ERRNO(fcntl(open_fd, F_ADD_SEALS, 0x1000), EINVAL);
	CHECK_OK(fcntl(open_fd, F_ADD_SEALS, F_SEAL_SEAL));
	CHECK_ERRNO(fcntl(open_fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	int errno_of_file = fcntl(file, F_GET_SEALS) < 0 ? errno : 0;
	CHECK(errno_of_file == EINVAL || errno_of_file == 0); /* tmpfs files have seals too */
}

TEST(seal_grow_and_shrink)
{
	int fd = CHECK_OK(memfd_create("m", MFD_ALLOW_SEALING));
	CHECK_OK(ftruncate(fd, 100));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	CHECK_ERRNO(ftruncate(fd, 200), EPERM);
	CHECK_ERRNO(pwrite(fd, "abc", 3, PG), EPERM);
	CHECK_ERRNO(fallocate(fd, 0, 0, PG), EPERM);
	CHECK_OK(ftruncate(fd, 50));
	CHECK_EQ(pwrite(fd, "a", 1, 10), 1);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	CHECK_ERRNO(ftruncate(fd, 40), EPERM);
	CHECK_OK(ftruncate(fd, 50));
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK);
}

TEST(seal_write)
{
	int fd = CHECK_OK(memfd_create("m", MFD_ALLOW_SEALING));
	CHECK_OK(ftruncate(fd, PG));
	char c, *p = map(fd, PG, RW, MAP_SHARED);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK_OK(munmap(p, PG));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CHECK_ERRNO(write(fd, "x", 1), EPERM);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PG), EPERM);
	CHECK_ERRNO(mmap(NULL, PG, RW, MAP_SHARED, fd, 0), EPERM);
	p = map(fd, PG, RW, MAP_PRIVATE);
	p[0] = 'x';
	CHECK_EQ(pread(fd, &c, 1, 0), 1);
	CHECK_EQ(c, 0);
	CHECK_OK(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0));
}

TEST(seal_future_write)
{
	int fd = CHECK_OK(memfd_create("m", MFD_ALLOW_SEALING));
	CHECK_OK(ftruncate(fd, PG));
	char *p = map(fd, PG, RW, MAP_SHARED);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	p[0] = 'x'; /* the old mapping keeps its right */
	CHECK_ERRNO(write(fd, "x", 1), EPERM);
	CHECK_ERRNO(mmap(NULL, PG, RW, MAP_SHARED, fd, 0), EPERM);
	char *ro = map(fd, PG, PROT_READ, MAP_SHARED);
	CHECK_EQ(ro[0], 'x');
	CHECK_ERRNO(mprotect(ro, PG, RW), EACCES);
}

TEST(memfd_punch_hole)
{
	int fd = CHECK_OK(memfd_create("m", 0));
	char *p;
	struct stat st;
	CHECK_OK(ftruncate(fd, 4 * PG));
	p = map(fd, 4 * PG, RW, MAP_SHARED);
	memset(p, 'a', 4 * PG);
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PG, 2 * PG));
	CHECK_EQ(p[PG - 1], 'a');
	CHECK_EQ(p[PG], 0);
	CHECK_EQ(p[3 * PG], 'a');
	CHECK_OK(madvise(p + 3 * PG, PG, MADV_REMOVE));
	CHECK_EQ(p[3 * PG], 0);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 4 * PG);
}

TEST(memfd_sendfile_and_seek_data)
{
	int in = CHECK_OK(memfd_create("a", 0)), out = CHECK_OK(memfd_create("b", 0));
	char buf[16];
	CHECK_EQ(write(in, "hello world", 11), 11);
	off_t off = 6;
	CHECK_EQ(sendfile(out, in, &off, 100), 5);
	CHECK_EQ(off, 11);
	CHECK_EQ(pread(out, buf, sizeof buf, 0), 5);
	CHECK_MEM(buf, "world", 5);
	CHECK_OK(ftruncate(in, 100 * PG));
	CHECK_EQ(pwrite(in, "x", 1, 50 * PG), 1);
	CHECK_EQ(lseek(in, PG, SEEK_DATA), 50 * PG);
	CHECK_EQ(lseek(in, 50 * PG, SEEK_HOLE), 51 * PG);
	CHECK_ERRNO(lseek(in, 60 * PG, SEEK_DATA), ENXIO);
}

TEST(dev_zero_and_null_mappings)
{
	int zero = CHECK_OK(open("/dev/zero", O_RDWR)), null = CHECK_OK(open("/dev/null", O_RDWR));
	char *p = map(zero, PG, RW, MAP_PRIVATE), *s = map(zero, PG, RW, MAP_SHARED);
	CHECK_EQ(p[5], 0);
	p[5] = 1;
	s[0] = 'a';
	CHILD {
		CHECK_EQ(s[0], 'a');
		s[0] = 'b';
	} CHILD_END;
	CHECK_EQ(s[0], 'b'); /* shared like anonymous memory */
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, null, 0), ENODEV);
}
