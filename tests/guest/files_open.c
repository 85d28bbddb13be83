/* open, openat, openat2 and path resolution: flags, order of errors, symlinks, trailing slashes, permissions. */
#include "check.h"
#include <linux/openat2.h>
#include <sys/ioctl.h>

#define PERMS 07777

static int create(const char *path)
{
	return CHECK_OK(open(path, O_RDWR | O_CREAT, 0644));
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	CHECK_OK(lstat(path, &st));
	return st.st_mode & PERMS;
}

static off_t size_of(const char *path)
{
	struct stat st;
	CHECK_OK(stat(path, &st));
	return st.st_size;
}

TEST(open_returns_lowest_free_descriptor)
{
	int a = create("f"), b = create("f"), c = create("f");
	CHECK_EQ(b, a + 1);
	CHECK_EQ(c, a + 2);
	close(b);
	close(a);
	CHECK_EQ(create("f"), a);
	CHECK_EQ(create("f"), b);
}

TEST(open_creates_with_umask)
{
	umask(027);
	CHECK_OK(open("a", O_CREAT | O_WRONLY, 0666));
	CHECK_EQ(mode_of("a"), 0640);
	umask(0);
	CHECK_OK(open("b", O_CREAT | O_WRONLY, 07777));
	CHECK_EQ(mode_of("b"), 07777);
	CHECK_OK(open("c", O_CREAT | O_RDWR, 0)); /* writable now although nobody may later */
	CHECK_EQ(mode_of("c"), 0);
	int fd = CHECK_OK(open("d", O_CREAT | O_RDWR, 0444));
	CHECK_EQ(write(fd, "x", 1), 1);
}

TEST(open_existing_keeps_mode)
{
	create("f");
	CHECK_OK(open("f", O_CREAT | O_RDWR, 0777));
	CHECK_EQ(mode_of("f"), 0644);
}

TEST(o_excl)
{
	CHECK_OK(open("f", O_CREAT | O_EXCL | O_RDWR, 0600));
	CHECK_ERRNO(open("f", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	CHECK_OK(symlink("nowhere", "dangling"));
	CHECK_ERRNO(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	CHECK_OK(mkdir("d", 0700));
	CHECK_ERRNO(open("d", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	CHECK_ERRNO(open(".", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	CHECK_ERRNO(open("/", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
}

TEST(o_creat_through_dangling_symlink_creates_target)
{
	CHECK_OK(symlink("target", "link"));
	CHECK_OK(open("link", O_CREAT | O_RDWR, 0600));
	CHECK_OK(access("target", F_OK));
}

TEST(o_creat_of_directory_is_eisdir)
{
	CHECK_OK(mkdir("d", 0700));
	CHECK_ERRNO(open("d", O_CREAT | O_RDWR, 0600), EISDIR);
	CHECK_ERRNO(open("d", O_CREAT | O_RDONLY, 0600), EISDIR);
	CHECK_ERRNO(open("new/", O_CREAT | O_RDWR, 0600), EISDIR);
	CHECK_ERRNO(open("d/", O_CREAT | O_RDWR, 0600), EISDIR);
}

TEST(directory_for_writing_is_eisdir)
{
	CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
	CHECK_ERRNO(open(".", O_RDWR), EISDIR);
	CHECK_ERRNO(open(".", O_RDONLY | O_TRUNC), EISDIR);
	int fd = CHECK_OK(open(".", O_RDONLY));
	char c;
	CHECK_ERRNO(read(fd, &c, 1), EISDIR);
	CHECK_ERRNO(write(fd, &c, 1), EBADF);
}

TEST(o_directory)
{
	create("f");
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(symlink("d", "l"));
	CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_OK(open("d", O_RDONLY | O_DIRECTORY));
	CHECK_OK(open("l", O_RDONLY | O_DIRECTORY));
	CHECK_ERRNO(open("x", O_RDONLY | O_DIRECTORY), ENOENT);
	CHECK_ERRNO(open("x", O_RDONLY | O_DIRECTORY | O_CREAT, 0600), EINVAL);
}

TEST(o_nofollow)
{
	create("f");
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(symlink("f", "lf"));
	CHECK_OK(symlink("d", "ld"));
	CHECK_ERRNO(open("lf", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_ERRNO(open("ld", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
	CHECK_OK(open("f", O_RDONLY | O_NOFOLLOW));
	create("d/x");
	CHECK_OK(open("ld/x", O_RDONLY | O_NOFOLLOW)); /* only the last part counts */
}

TEST(enoent_and_enotdir)
{
	create("f");
	CHECK_ERRNO(open("", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("x", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("x/y", O_RDONLY | O_CREAT, 0600), ENOENT);
	CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("f/x", O_RDONLY | O_CREAT, 0600), ENOTDIR);
	CHECK_ERRNO(open("f/", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("f/.", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("f/..", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("x/..", O_RDONLY), ENOENT);
	CHECK_ERRNO(symlink("", "e"), ENOENT);
}

TEST(trailing_slashes)
{
	struct stat st;
	create("f");
	CHECK_OK(mkdir("d/", 0700));
	CHECK_OK(symlink("d", "ld"));
	CHECK_OK(symlink("f", "lf"));
	CHECK_OK(open("d//", O_RDONLY));
	CHECK_OK(open("d/./.././d", O_RDONLY));
	CHECK_ERRNO(stat("f/", &st), ENOTDIR);
	CHECK_ERRNO(stat("lf/", &st), ENOTDIR);
	CHECK_OK(lstat("ld", &st));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_OK(lstat("ld/", &st));
	CHECK(S_ISDIR(st.st_mode));
	CHECK_ERRNO(lstat("lf/", &st), ENOTDIR);
}

TEST(eloop)
{
	char a[16], b[16];
	CHECK_OK(symlink("self", "self"));
	CHECK_ERRNO(open("self", O_RDONLY), ELOOP);
	CHECK_ERRNO(open("self/x", O_RDONLY), ELOOP);
	CHECK_OK(symlink("b", "a"));
	CHECK_OK(symlink("a", "b"));
	CHECK_ERRNO(open("a", O_RDONLY), ELOOP);
	create("l0");
	for (int i = 1; i <= 41; i++) {
		snprintf(a, sizeof a, "l%d", i - 1);
		snprintf(b, sizeof b, "l%d", i);
		CHECK_OK(symlink(a, b));
	}
	CHECK_OK(open("l40", O_RDONLY)); /* 40 links are the limit */
	CHECK_ERRNO(open("l41", O_RDONLY), ELOOP);
}

TEST(enametoolong)
{
	char name[PATH_MAX + 10];
	memset(name, 'x', sizeof name);
	name[255] = 0;
	CHECK_OK(open(name, O_RDWR | O_CREAT, 0600));
	name[255] = 'x';
	name[256] = 0;
	CHECK_ERRNO(open(name, O_RDWR | O_CREAT, 0600), ENAMETOOLONG);
	for (int i = 0; i < PATH_MAX + 9; i += 2)
		memcpy(name + i, "./", 2);
	name[PATH_MAX - 1] = 0;
	CHECK_OK(open(name, O_RDONLY));
	name[PATH_MAX - 1] = '/';
	name[PATH_MAX] = 0;
	CHECK_ERRNO(open(name, O_RDONLY), ENAMETOOLONG);
}

TEST(efault_of_path)
{
	CHECK_ERRNO(open(BAD, O_RDONLY), EFAULT);
	CHECK_ERRNO(openat(999, BAD, O_RDONLY), EFAULT); /* the path is fetched before the descriptor is looked at */
}

TEST(openat_rules)
{
	int f = create("f");
	CHECK_OK(mkdir("d", 0700));
	int d = CHECK_OK(open("d", O_RDONLY)), p = CHECK_OK(open("d", O_PATH));
	CHECK_OK(openat(d, "x", O_CREAT | O_RDWR, 0600));
	CHECK_OK(access("d/x", F_OK));
	CHECK_OK(openat(p, "x", O_RDONLY));
	CHECK_OK(openat(d, "../f", O_RDONLY));
	CHECK_ERRNO(openat(f, "x", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(openat(999, "x", O_RDONLY), EBADF);
	CHECK_ERRNO(openat(-1, "x", O_RDONLY), EBADF);
	CHECK_OK(openat(999, "/", O_RDONLY)); /* absolute: not looked at */
	CHECK_OK(openat(AT_FDCWD, "f", O_RDONLY));
	CHECK_ERRNO(openat(999, "", O_RDONLY), ENOENT);
}

TEST(openat_after_directory_moved)
{
	CHECK_OK(mkdir("d", 0700));
	int d = CHECK_OK(open("d", O_RDONLY));
	CHECK_OK(rename("d", "e"));
	CHECK_OK(openat(d, "x", O_CREAT | O_RDWR, 0600));
	CHECK_OK(access("e/x", F_OK));
	CHECK_OK(unlink("e/x"));
	CHECK_OK(rmdir("e"));
	CHECK_ERRNO(openat(d, "y", O_CREAT | O_RDWR, 0600), ENOENT);
	CHECK_ERRNO(openat(d, "y", O_RDONLY), ENOENT);
	CHECK_OK(openat(d, ".", O_RDONLY));
}

TEST(access_modes_are_kept)
{
	char c;
	create("f");
	int r = CHECK_OK(open("f", O_RDONLY)), w = CHECK_OK(open("f", O_WRONLY)), rw = CHECK_OK(open("f", O_RDWR));
	CHECK_ERRNO(write(r, "x", 1), EBADF);
	CHECK_EQ(write(w, "x", 1), 1);
	CHECK_ERRNO(read(w, &c, 1), EBADF);
	CHECK_EQ(read(rw, &c, 1), 1);
	CHECK_EQ(fcntl(r, F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK_EQ(fcntl(w, F_GETFL) & O_ACCMODE, O_WRONLY);
	CHECK_EQ(fcntl(rw, F_GETFL) & O_ACCMODE, O_RDWR);
}

TEST(o_append)
{
	int fd = CHECK_OK(open("f", O_WRONLY | O_CREAT | O_APPEND, 0600)), other = CHECK_OK(open("f", O_WRONLY));
	CHECK_EQ(write(fd, "ab", 2), 2);
	CHECK_EQ(write(other, "XYZ", 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(write(fd, "cd", 2), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	char buf[16] = "";
	CHECK_EQ(read_file("f", buf, sizeof buf), 5);
	CHECK_STR(buf, "XYZcd");
	CHECK_EQ(pwrite(fd, "e", 1, 0), 1); /* appends in spite of the offset (pwrite(2), BUGS) */
	CHECK_EQ(size_of("f"), 6);
	CHECK_OK(fcntl(fd, F_SETFL, 0));
	CHECK_EQ(pwrite(fd, "q", 1, 0), 1);
	CHECK_EQ(size_of("f"), 6);
}

TEST(o_trunc)
{
	write_file("f", "hello");
	CHECK_OK(open("f", O_RDONLY));
	CHECK_EQ(size_of("f"), 5);
	CHECK_OK(open("f", O_WRONLY | O_TRUNC));
	CHECK_EQ(size_of("f"), 0);
	write_file("f", "hello");
	CHECK_OK(open("f", O_RDONLY | O_TRUNC)); /* "unspecified", but Linux truncates */
	CHECK_EQ(size_of("f"), 0);
}

TEST(o_path)
{
	struct stat st;
	char c;
	write_file("f", "hello");
	CHECK_OK(chmod("f", 0));
	int fd = CHECK_OK(open("f", O_PATH | O_RDWR | O_TRUNC));
	CHECK_EQ(size_of("f"), 5);
	CHECK_ERRNO(read(fd, &c, 1), EBADF);
	CHECK_ERRNO(write(fd, &c, 1), EBADF);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
	CHECK_ERRNO(fchmod(fd, 0600), EBADF);
	CHECK_ERRNO(fchown(fd, -1, -1), EBADF);
	CHECK_ERRNO(ftruncate(fd, 0), EBADF);
	CHECK_ERRNO(ioctl(fd, 0x5401, &c), EBADF);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 5);
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_PATH | O_ACCMODE), O_PATH);
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	int d = CHECK_OK(dup(fd));
	CHECK_OK(fstat(d, &st));
	CHECK_ERRNO(open("missing", O_PATH), ENOENT);
}

TEST(o_path_of_symlink)
{
	struct stat st;
	char buf[16] = "";
	CHECK_OK(symlink("target", "l"));
	int fd = CHECK_OK(open("l", O_PATH | O_NOFOLLOW));
	CHECK_OK(fstat(fd, &st));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(readlinkat(fd, "", buf, sizeof buf), 6);
	CHECK_STR(buf, "target");
}

TEST(o_path_reopened_through_proc)
{
	char path[64], buf[16];
	write_file("f", "hello");
	int fd = CHECK_OK(open("f", O_PATH));
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	CHECK_OK(rename("f", "g"));
	int again = CHECK_OK(open(path, O_RDWR));
	CHECK_EQ(read(again, buf, sizeof buf), 5);
}

TEST(o_tmpfile)
{
	struct stat st;
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0 && errno == EOPNOTSUPP)
		SKIP("the file system has no O_TMPFILE");
	CHECK_OK(fd);
	CHECK_OK(fstat(fd, &st));
	CHECK(S_ISREG(st.st_mode));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(write(fd, "abc", 3), 3);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	CHECK_OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	CHECK_EQ(size_of("named"), 3);
	fd = CHECK_OK(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "other", AT_SYMLINK_FOLLOW), ENOENT);
	CHECK_ERRNO(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	CHECK_ERRNO(open("named", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
	CHECK_ERRNO(open("missing", O_TMPFILE | O_RDWR, 0600), ENOENT);
}

TEST(o_cloexec)
{
	create("f");
	CHECK_EQ(fcntl(CHECK_OK(open("f", O_RDONLY | O_CLOEXEC)), F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(CHECK_OK(open("f", O_RDONLY)), F_GETFD), 0);
	CHECK_EQ(fcntl(CHECK_OK(open("f", O_RDONLY | O_CLOEXEC)), F_GETFL) & O_CLOEXEC, 0);
}

TEST(f_getfl_shows_status_flags_only)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_NOFOLLOW, 0600));
	int fl = fcntl(fd, F_GETFL);
	CHECK_EQ(fl & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
	CHECK_EQ(fl & (O_CREAT | O_EXCL | O_TRUNC), 0);
	CHECK_OK(fcntl(fd, F_SETFL, O_NONBLOCK | O_CREAT | O_WRONLY));
	fl = fcntl(fd, F_GETFL);
	CHECK_EQ(fl & O_APPEND, 0);
	CHECK_EQ(fl & O_ACCMODE, O_RDWR);
}

TEST(permissions_for_ordinary_user)
{
	create("none");
	create("ro");
	create("wo");
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mkdir("closed", 0700));
	create("closed/f");
	CHECK_OK(mkdir("ronly", 0755));
	if (is_root()) {
		const char *all[] = {"none", "ro", "wo", "d", "closed"};
		for (int i = 0; i < 5; i++)
			CHECK_OK(chown(all[i], PLAIN_UID, PLAIN_GID));
	}
	CHECK_OK(chmod("none", 0));
	CHECK_OK(chmod("ro", 0400));
	CHECK_OK(chmod("wo", 0200));
	CHECK_OK(chmod("closed", 0600));
	CHECK_OK(chmod("ronly", 0555));
	CHILD {
		become_user();
		CHECK_ERRNO(open("none", O_RDONLY), EACCES);
		CHECK_OK(open("none", O_PATH));
		CHECK_OK(open("ro", O_RDONLY));
		CHECK_ERRNO(open("ro", O_WRONLY), EACCES);
		CHECK_ERRNO(open("ro", O_RDWR), EACCES);
		CHECK_ERRNO(open("ro", O_RDONLY | O_TRUNC), EACCES);
		CHECK_OK(open("wo", O_WRONLY));
		CHECK_ERRNO(open("wo", O_RDONLY), EACCES);
		CHECK_ERRNO(open("closed/f", O_RDONLY), EACCES);
		CHECK_ERRNO(open("closed/missing", O_RDONLY), EACCES);
		CHECK_OK(open("closed", O_RDONLY));
		CHECK_ERRNO(open("ronly/new", O_CREAT | O_RDWR, 0600), EACCES);
		CHECK_ERRNO(open("ronly/missing", O_RDONLY), ENOENT);
		CHECK_OK(open("d/new", O_CREAT | O_RDWR, 0600));
	} CHILD_END;
}

TEST(root_passes_permissions)
{
	NEED_ROOT();
	create("none");
	CHECK_OK(chmod("none", 0));
	CHECK_OK(open("none", O_RDWR));
	CHECK_OK(mkdir("closed", 0));
	CHECK_OK(open("closed/f", O_CREAT | O_RDWR, 0600));
}

TEST(group_bits_decide_for_group_members)
{
	NEED_ROOT();
	create("f");
	CHECK_OK(chown("f", 0, PLAIN_GID));
	CHECK_OK(chmod("f", 0607)); /* others may, the group may not */
	CHILD {
		become_user();
		CHECK_ERRNO(open("f", O_RDONLY), EACCES);
	} CHILD_END;
	CHECK_OK(chmod("f", 0070));
	CHILD {
		become_user();
		CHECK_OK(open("f", O_RDWR));
	} CHILD_END;
}

TEST(fifo_open_rules)
{
	CHECK_OK(mkfifo("p", 0600));
	CHECK_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	int r = CHECK_OK(open("p", O_RDONLY | O_NONBLOCK));
	int w = CHECK_OK(open("p", O_WRONLY | O_NONBLOCK));
	CHECK_EQ(write(w, "x", 1), 1);
	close(r);
	CHECK_ERRNO(open("p", O_WRONLY | O_NONBLOCK | O_TRUNC), ENXIO);
}

TEST(socket_file_cannot_be_opened)
{
	CHECK_OK(mknod("s", S_IFSOCK | 0600, 0));
	CHECK_ERRNO(open("s", O_RDONLY), ENXIO);
	CHECK_OK(open("s", O_PATH));
}

TEST(bad_access_mode_three)
{
	/* Access mode 3 asks for read and write permission and gives a descriptor good for ioctl only. */
	char c;
	create("f");
	int fd = CHECK_OK(open("f", 3));
	CHECK_ERRNO(read(fd, &c, 1), EBADF);
	CHECK_ERRNO(write(fd, &c, 1), EBADF);
}

TEST(creat_call)
{
	write_file("f", "hello");
	int fd = CHECK_OK(creat("f", 0600));
	CHECK_EQ(size_of("f"), 0);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST(unknown_open_flags_are_ignored)
{
	create("f");
	CHECK_OK(syscall(SYS_open, "f", O_RDONLY | 0x10000000, 0));
}

TEST(openat2_is_strict)
{
	struct open_how how = {.flags = O_RDONLY};
	create("f");
	CHECK_OK(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
	how.flags = O_RDONLY | (1ULL << 40);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how), EINVAL);
	how = (struct open_how){.flags = O_RDONLY, .mode = 0600};
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how), EINVAL);
	how = (struct open_how){.flags = O_CREAT | O_RDWR, .mode = 010000};
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "g", &how, sizeof how), EINVAL);
	how = (struct open_how){.flags = O_RDONLY, .resolve = 0x1000};
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how), EINVAL);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", BAD, sizeof how), EFAULT);
	struct {
		struct open_how h;
		uint64_t more;
	} big = {{.flags = O_RDONLY}, 1};
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof big), E2BIG);
}

static long resolve(int dir, const char *path, uint64_t flags)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = flags};
	return syscall(SYS_openat2, dir, path, &how, sizeof how);
}

TEST(openat2_resolve_flags)
{
	CHECK_OK(mkdir("d", 0700));
	create("d/f");
	create("outside");
	CHECK_OK(symlink("f", "d/l"));
	CHECK_OK(symlink("../outside", "d/up"));
	CHECK_OK(symlink("/f", "d/abs"));
	int d = CHECK_OK(open("d", O_RDONLY));
	CHECK_OK(resolve(d, "f", RESOLVE_BENEATH));
	CHECK_OK(resolve(d, "l", RESOLVE_BENEATH));
	CHECK_ERRNO(resolve(d, "../outside", RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(resolve(d, "up", RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(resolve(d, "/etc", RESOLVE_BENEATH), EXDEV);
	CHECK_OK(resolve(d, "../d/f", 0));
	CHECK_OK(resolve(d, "/f", RESOLVE_IN_ROOT));
	CHECK_OK(resolve(d, "abs", RESOLVE_IN_ROOT));
	CHECK_OK(resolve(d, "../../f", RESOLVE_IN_ROOT));
	CHECK_ERRNO(resolve(d, "l", RESOLVE_NO_SYMLINKS), ELOOP);
	CHECK_OK(resolve(d, "f", RESOLVE_NO_SYMLINKS));
	CHECK_ERRNO(resolve(d, "/proc/self/exe", RESOLVE_NO_MAGICLINKS), ELOOP);
	CHECK_ERRNO(resolve(AT_FDCWD, "/proc/self/stat", RESOLVE_NO_XDEV), EXDEV);
	CHECK_ERRNO(resolve(d, "f", RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
}

TEST(open_directory_descriptor_survives_rmdir)
{
	struct stat st;
	CHECK_OK(mkdir("d", 0700));
	int d = CHECK_OK(open("d", O_RDONLY));
	CHECK_OK(rmdir("d"));
	CHECK_OK(fstat(d, &st));
	CHECK_EQ(st.st_nlink, 0);
}

TEST(unlinked_file_lives_until_closed)
{
	char buf[8];
	struct stat st;
	int fd = create("f");
	CHECK_OK(unlink("f"));
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_EQ(pread(fd, buf, 3, 0), 3);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_size, 3);
	create("f");
	CHECK_EQ(size_of("f"), 0);
}
