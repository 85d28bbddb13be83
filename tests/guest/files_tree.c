/* Names: link, unlink, rename, mkdir, rmdir, symlink, readlink, mknod, directories read while they change, cwd, chroot. */
#include "check.h"
#include <linux/fs.h>
#include <sys/sysmacros.h>

static int create(const char *path)
{
	return CHECK_OK(open(path, O_RDWR | O_CREAT, 0644));
}

static int exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

static struct stat stat_of(const char *path)
{
	struct stat st;
	CHECK_OK(lstat(path, &st));
	return st;
}

static long renameat2_(const char *a, const char *b, unsigned flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

/* ---- link and unlink ---- */

TEST(link_counts)
{
	create("a");
	CHECK_OK(link("a", "b"));
	CHECK_OK(link("b", "c"));
	CHECK_EQ(stat_of("a").st_nlink, 3);
	CHECK_EQ(stat_of("a").st_ino, stat_of("c").st_ino);
	CHECK_OK(unlink("a"));
	CHECK_EQ(stat_of("b").st_nlink, 2);
	write_file("b", "text");
	CHECK_EQ(stat_of("c").st_size, 4);
}

TEST(link_errors)
{
	create("a");
	create("b");
	CHECK_OK(mkdir("d", 0700));
	CHECK_ERRNO(link("missing", "x"), ENOENT);
	CHECK_ERRNO(link("a", "b"), EEXIST);
	CHECK_ERRNO(link("a", "a"), EEXIST);
	CHECK_ERRNO(link("d", "x"), EPERM);
	CHECK_ERRNO(link("a", "missing/x"), ENOENT);
	CHECK_ERRNO(link("a", "b/x"), ENOTDIR);
	CHECK_ERRNO(link("a", "x/"), ENOENT);
	CHECK_ERRNO(link("a", ""), ENOENT);
	CHECK_ERRNO(link("/proc/self/stat", "x"), EXDEV);
	CHECK_ERRNO(linkat(AT_FDCWD, "a", AT_FDCWD, "x", 0x8000), EINVAL);
}

TEST(link_of_symlink)
{
	create("a");
	CHECK_OK(symlink("a", "s"));
	CHECK_OK(link("s", "hard"));
	CHECK(S_ISLNK(stat_of("hard").st_mode));
	CHECK_OK(linkat(AT_FDCWD, "s", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	CHECK(S_ISREG(stat_of("followed").st_mode));
}

TEST(linkat_empty_path)
{
	int fd = create("a");
	if (is_root()) {
		CHECK_OK(linkat(fd, "", AT_FDCWD, "x", AT_EMPTY_PATH));
		CHECK_EQ(stat_of("x").st_nlink, 2);
	}
	CHECK_ERRNO(linkat(fd, "", AT_FDCWD, "y", 0), ENOENT);
}

TEST(unlink_errors)
{
	CHECK_OK(mkdir("d", 0700));
	create("f");
	CHECK_ERRNO(unlink("missing"), ENOENT);
	CHECK_ERRNO(unlink("d"), EISDIR);
	CHECK_ERRNO(unlink("f/"), ENOTDIR);
	CHECK_ERRNO(unlink("f/x"), ENOTDIR);
	CHECK_ERRNO(unlink(""), ENOENT);
	CHECK_ERRNO(unlink("."), EISDIR);
	CHECK_ERRNO(unlink("missing/"), ENOENT);
	CHECK_ERRNO(unlink(BAD), EFAULT);
	CHECK_ERRNO(unlinkat(AT_FDCWD, "f", 0x8000), EINVAL);
	CHECK_ERRNO(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	CHECK_ERRNO(unlinkat(999, "f", 0), EBADF);
}

TEST(unlink_of_symlink_leaves_target)
{
	create("f");
	CHECK_OK(symlink("f", "s"));
	CHECK_OK(unlink("s"));
	CHECK(exists("f"));
}

TEST(unlink_needs_write_on_directory_only)
{
	CHECK_OK(mkdir("d", 0755));
	create("d/f");
	CHECK_OK(chmod("d/f", 0));
	if (is_root())
		CHECK_OK(chown("d", PLAIN_UID, PLAIN_GID));
	CHILD {
		become_user();
		CHECK_OK(unlink("d/f"));
	} CHILD_END;
	create("d/g");
	CHECK_OK(chmod("d/g", 0666));
	CHECK_OK(chmod("d", 0555));
	CHILD {
		become_user();
		CHECK_ERRNO(unlink("d/g"), EACCES);
		CHECK_ERRNO(rename("d/g", "d/h"), EACCES);
		CHECK_ERRNO(mkdir("d/x", 0700), EACCES);
		CHECK_ERRNO(symlink("x", "d/x"), EACCES);
		CHECK_ERRNO(link("d/g", "d/x"), EACCES);
	} CHILD_END;
}

TEST(sticky_directory)
{
	NEED_ROOT();
	CHECK_OK(mkdir("t", 0));
	CHECK_OK(chmod("t", 01777));
	create("t/root");
	CHECK_OK(chmod("t/root", 0666));
	CHILD {
		become_user();
		CHECK_ERRNO(unlink("t/root"), EPERM);
		CHECK_ERRNO(rename("t/root", "t/x"), EPERM);
		create("t/mine");
		CHECK_OK(rename("t/mine", "t/other"));
		CHECK_OK(unlink("t/other"));
	} CHILD_END;
}

/* ---- rename ---- */

TEST(rename_replaces_atomically)
{
	write_file("a", "new");
	write_file("b", "old");
	int old = CHECK_OK(open("b", O_RDONLY));
	ino_t ino = stat_of("a").st_ino;
	CHECK_OK(rename("a", "b"));
	CHECK(!exists("a"));
	CHECK_EQ(stat_of("b").st_ino, ino);
	char buf[8] = "";
	CHECK_EQ(read(old, buf, 3), 3);
	CHECK_STR(buf, "old");
}

TEST(rename_errors)
{
	create("f");
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(mkdir("e", 0700));
	create("e/x");
	CHECK_ERRNO(rename("missing", "x"), ENOENT);
	CHECK_ERRNO(rename("f", "missing/x"), ENOENT);
	CHECK_ERRNO(rename("f", "d"), EISDIR);
	CHECK_ERRNO(rename("d", "f"), ENOTDIR);
	CHECK_ERRNO(rename("d", "e"), ENOTEMPTY);
	CHECK_ERRNO(rename("d", "d/sub"), EINVAL);
	CHECK_ERRNO(rename("d", "d/x/y"), ENOENT);
	CHECK_ERRNO(rename("e/x", "f/y"), ENOTDIR);
	CHECK_ERRNO(rename(".", "x"), EBUSY);
	CHECK_ERRNO(rename("d/..", "x"), EBUSY);
	CHECK_ERRNO(rename("d", "."), EBUSY);
	CHECK_ERRNO(rename("f", "x/"), ENOTDIR);
	CHECK_ERRNO(rename("f/", "x"), ENOTDIR);
	CHECK_ERRNO(rename("", "x"), ENOENT);
	CHECK_ERRNO(rename("e/x", "e"), ENOTEMPTY);
	CHECK_ERRNO(rename("/proc/self/stat", "x"), EXDEV);
}

TEST(rename_of_directories)
{
	CHECK_OK(mkdir("a", 0700));
	create("a/f");
	CHECK_OK(mkdir("b", 0700));
	CHECK_OK(rename("a", "b")); /* over an empty one */
	CHECK(exists("b/f"));
	CHECK_OK(rename("b/", "c/"));
	CHECK(exists("c/f"));
	CHECK_OK(mkdir("p", 0700));
	CHECK_OK(rename("c", "p/c"));
	CHECK_EQ(stat_of("p/c/..").st_ino, stat_of("p").st_ino);
}

TEST(rename_to_itself_or_hard_link_does_nothing)
{
	create("a");
	CHECK_OK(link("a", "b"));
	CHECK_OK(rename("a", "a"));
	CHECK_OK(rename("a", "b"));
	CHECK(exists("a"));
	CHECK(exists("b"));
}

TEST(rename_does_not_follow_symlinks)
{
	create("f");
	CHECK_OK(symlink("f", "s"));
	CHECK_OK(rename("s", "t"));
	CHECK(S_ISLNK(stat_of("t").st_mode));
	create("g");
	CHECK_OK(rename("g", "t"));
	CHECK(S_ISREG(stat_of("t").st_mode));
	CHECK(exists("f"));
}

TEST(renameat2_noreplace)
{
	create("a");
	create("b");
	CHECK_ERRNO(renameat2_("a", "b", RENAME_NOREPLACE), EEXIST);
	CHECK_ERRNO(renameat2_("a", "a", RENAME_NOREPLACE), EEXIST);
	CHECK_OK(renameat2_("a", "c", RENAME_NOREPLACE));
	CHECK(exists("c"));
}

TEST(renameat2_exchange)
{
	write_file("a", "aa");
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(renameat2_("a", "d", RENAME_EXCHANGE));
	CHECK(S_ISDIR(stat_of("a").st_mode));
	CHECK_EQ(stat_of("d").st_size, 2);
	CHECK_ERRNO(renameat2_("a", "missing", RENAME_EXCHANGE), ENOENT);
	CHECK_ERRNO(renameat2_("a", "d", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
	CHECK_ERRNO(renameat2_("a", "d", 0x100), EINVAL);
	CHECK_OK(mkdir("a/sub", 0700));
	CHECK_ERRNO(renameat2_("a", "a/sub", RENAME_EXCHANGE), EINVAL);
}

/* ---- directories ---- */

TEST(mkdir_rules)
{
	umask(027);
	CHECK_OK(mkdir("a", 0777));
	CHECK_EQ(stat_of("a").st_mode, S_IFDIR | 0750);
	CHECK_OK(mkdir("s", 01777));
	CHECK_EQ(stat_of("s").st_mode, S_IFDIR | 01750);
	CHECK_ERRNO(mkdir("a", 0700), EEXIST);
	CHECK_ERRNO(mkdir("a/", 0700), EEXIST);
	CHECK_ERRNO(mkdir(".", 0700), EEXIST);
	CHECK_ERRNO(mkdir("/", 0700), EEXIST);
	CHECK_ERRNO(mkdir("", 0700), ENOENT);
	CHECK_ERRNO(mkdir("x/y", 0700), ENOENT);
	create("f");
	CHECK_ERRNO(mkdir("f", 0700), EEXIST);
	CHECK_ERRNO(mkdir("f/x", 0700), ENOTDIR);
	CHECK_OK(symlink("nowhere", "dangling"));
	CHECK_ERRNO(mkdir("dangling", 0700), EEXIST);
	CHECK_ERRNO(mkdir("dangling/", 0700), EEXIST);
	CHECK_ERRNO(mkdir(BAD, 0700), EFAULT);
	CHECK_OK(mkdir("b//", 0700));
}

TEST(directory_link_count)
{
	CHECK_OK(mkdir("d", 0700));
	nlink_t n = stat_of("d").st_nlink;
	CHECK(n == 2 || n == 1); /* a file system may not count */
	CHECK_OK(mkdir("d/a", 0700));
	CHECK_OK(mkdir("d/b", 0700));
	create("d/f");
	if (n == 2)
		CHECK_EQ(stat_of("d").st_nlink, 4);
	CHECK_OK(rmdir("d/a"));
	if (n == 2)
		CHECK_EQ(stat_of("d").st_nlink, 3);
}

TEST(rmdir_rules)
{
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(mkdir("d/sub", 0700));
	create("f");
	CHECK_OK(symlink("d", "s"));
	CHECK_ERRNO(rmdir("missing"), ENOENT);
	CHECK_ERRNO(rmdir("f"), ENOTDIR);
	CHECK_ERRNO(rmdir("s"), ENOTDIR);
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	CHECK_ERRNO(rmdir("d/sub/."), EINVAL);
	CHECK_ERRNO(rmdir("d/sub/.."), ENOTEMPTY);
	CHECK_ERRNO(rmdir("."), EINVAL);
	CHECK_ERRNO(rmdir(".."), ENOTEMPTY);
	CHECK_ERRNO(rmdir("/"), EBUSY);
	CHECK_OK(rmdir("d/sub/"));
	CHECK_OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	CHECK(!exists("d"));
}

TEST(setgid_directory_passes_its_group)
{
	NEED_ROOT();
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(chown("d", 0, PLAIN_GID));
	CHECK_OK(chmod("d", 02777));
	create("d/f");
	CHECK_OK(mkdir("d/sub", 0700));
	CHECK_EQ(stat_of("d/f").st_gid, PLAIN_GID);
	CHECK_EQ(stat_of("d/sub").st_gid, PLAIN_GID);
	CHECK_EQ(stat_of("d/sub").st_mode & 07777, 02700);
}

/* ---- symlinks, nodes ---- */

TEST(symlink_and_readlink)
{
	char buf[32];
	CHECK_OK(symlink("some/where", "s"));
	memset(buf, 'z', sizeof buf);
	CHECK_EQ(readlink("s", buf, sizeof buf), 10);
	CHECK_MEM(buf, "some/wherez", 11); /* no terminating 0 */
	CHECK_EQ(readlink("s", buf, 4), 4);
	CHECK_EQ(stat_of("s").st_size, 10);
	CHECK_EQ(stat_of("s").st_mode, S_IFLNK | 0777);
	create("f");
	CHECK_ERRNO(readlink("f", buf, 4), EINVAL);
	CHECK_ERRNO(readlink("missing", buf, 4), ENOENT);
	CHECK_ERRNO(syscall(SYS_readlink, "s", buf, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_readlink, "s", buf, -1), EINVAL);
	CHECK_ERRNO(syscall(SYS_readlink, "s", BAD, 10), EFAULT);
	CHECK_ERRNO(symlink("x", "s"), EEXIST);
	CHECK_ERRNO(symlink("x", "missing/s"), ENOENT);
	CHECK_ERRNO(symlink("", "t"), ENOENT);
	CHECK_ERRNO(symlink("x", ""), ENOENT);
}

TEST(symlink_of_4095_bytes)
{
	static char text[PATH_MAX + 1], back[PATH_MAX + 1];
	memset(text, 'y', PATH_MAX - 1);
	int r = symlink(text, "s");
	if (r < 0 && errno == ENAMETOOLONG)
		SKIP("the file system keeps shorter links");
	CHECK_OK(r);
	CHECK_EQ(readlink("s", back, sizeof back), PATH_MAX - 1);
	text[PATH_MAX - 1] = 'y';
	CHECK_ERRNO(symlink(text, "t"), ENAMETOOLONG);
}

TEST(relative_symlinks_start_at_their_directory)
{
	CHECK_OK(mkdir("a", 0700));
	CHECK_OK(mkdir("a/b", 0700));
	write_file("a/f", "x");
	CHECK_OK(symlink("../f", "a/b/up"));
	struct stat st;
	CHECK_OK(stat("a/b/up", &st));
	CHECK_EQ(st.st_size, 1);
	CHECK_OK(symlink("b/", "a/slash"));
	CHECK_OK(stat("a/slash/up", &st));
}

TEST(mknod_kinds)
{
	CHECK_OK(mknod("f", S_IFREG | 0640, 0));
	CHECK_EQ(stat_of("f").st_mode, S_IFREG | 0640);
	CHECK_OK(mknod("zero_type", 0600, 0));
	CHECK(S_ISREG(stat_of("zero_type").st_mode));
	CHECK_OK(mkfifo("p", 0600));
	CHECK(S_ISFIFO(stat_of("p").st_mode));
	CHECK_OK(mknod("s", S_IFSOCK | 0600, 0));
	CHECK(S_ISSOCK(stat_of("s").st_mode));
	CHECK_ERRNO(mknod("f", S_IFREG | 0600, 0), EEXIST);
	CHECK_ERRNO(mknod("d", S_IFDIR | 0600, 0), EPERM);
	CHECK_ERRNO(mknod("l", S_IFLNK | 0600, 0), EINVAL);
	CHECK_ERRNO(mknod("x/y", S_IFREG | 0600, 0), ENOENT);
	CHILD {
		become_user();
		CHECK_ERRNO(mknod("/tmp/abi-device-node", S_IFCHR | 0600, makedev(1, 3)), EPERM);
	} CHILD_END;
}

/* ---- reading directories ---- */

static int count_entries(DIR *d)
{
	int n = 0;
	struct dirent *e;
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	return n;
}

TEST(readdir_finds_all_with_types)
{
	create("f");
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(symlink("x", "l"));
	CHECK_OK(mkfifo("p", 0600));
	DIR *d = opendir(".");
	struct dirent *e;
	int seen = 0;
	while ((e = readdir(d))) {
		struct stat st = stat_of(e->d_name);
		int type = e->d_name[0] == '.' || e->d_name[0] == 'd' ? DT_DIR : e->d_name[0] == 'f' ? DT_REG : e->d_name[0] == 'l' ? DT_LNK : DT_FIFO;
		if (e->d_type != DT_UNKNOWN)
			CHECK_EQ(e->d_type, type);
		if (strcmp(e->d_name, ".."))
			CHECK_EQ(e->d_ino, st.st_ino);
		seen++;
	}
	CHECK_EQ(seen, 6);
	closedir(d);
}

TEST(readdir_thousand_names_once_each)
{
	static unsigned char seen[1000];
	char name[32];
	CHECK_OK(mkdir("d", 0700));
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "d/entry-%d", i);
		close(create(name));
	}
	DIR *d = opendir("d");
	struct dirent *e;
	int i;
	while ((e = readdir(d)))
		if (sscanf(e->d_name, "entry-%d", &i) == 1)
			seen[i]++;
	for (i = 0; i < 1000; i++)
		CHECK_EQ(seen[i], 1);
	rewinddir(d);
	CHECK_EQ(count_entries(d), 1000);
	closedir(d);
}

TEST(readdir_while_deleting_what_was_read)
{
	char name[32];
	CHECK_OK(mkdir("d", 0700));
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "d/%d", i);
		close(create(name));
	}
	DIR *d = opendir("d");
	struct dirent *e;
	int n = 0;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			CHECK_OK(unlinkat(dirfd(d), e->d_name, 0));
			n++;
		}
	CHECK_EQ(n, 500);
	rewinddir(d);
	CHECK_EQ(count_entries(d), 0);
	CHECK_OK(rmdir("d"));
	rewinddir(d);
	errno = 0;
	CHECK(readdir(d) == NULL); /* not even dots in a removed directory */
	CHECK_EQ(errno, 0); /* the library turns ENOENT into the end */
}

TEST(telldir_seekdir)
{
	char name[32], third[256];
	CHECK_OK(mkdir("d", 0700));
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof name, "d/%d", i);
		close(create(name));
	}
	DIR *d = opendir("d");
	readdir(d);
	readdir(d);
	long pos = telldir(d);
	snprintf(third, sizeof third, "%s", readdir(d)->d_name);
	while (readdir(d))
		;
	seekdir(d, pos);
	CHECK_STR(readdir(d)->d_name, third);
	closedir(d);
}

TEST(getdents64_raw)
{
	char buf[4096];
	int fd = CHECK_OK(open(".", O_RDONLY | O_DIRECTORY));
	create("f");
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 8), EINVAL);
	long n = CHECK_OK(syscall(SYS_getdents64, fd, buf, sizeof buf)), entries = 0;
	for (long at = 0; at < n; entries++) {
		struct dirent64 *e = (void *)(buf + at);
		CHECK_EQ(e->d_reclen % 8, 0);
		CHECK_GE(e->d_reclen, 19 + strlen(e->d_name) + 1);
		at += e->d_reclen;
		CHECK_LE(at, n);
	}
	CHECK_EQ(entries, 3);
	CHECK_EQ(syscall(SYS_getdents64, fd, buf, sizeof buf), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(syscall(SYS_getdents64, fd, buf, sizeof buf), n);
	CHECK_ERRNO(syscall(SYS_getdents64, create("f"), buf, sizeof buf), ENOTDIR);
	CHECK_ERRNO(syscall(SYS_getdents64, 999, buf, sizeof buf), EBADF);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_ERRNO(syscall(SYS_getdents64, fd, BAD, sizeof buf), EFAULT);
}

/* ---- working directory and root ---- */

TEST(getcwd_and_chdir)
{
	char a[PATH_MAX], b[PATH_MAX], want[PATH_MAX + 8];
	CHECK(getcwd(a, sizeof a));
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(chdir("d"));
	CHECK(getcwd(b, sizeof b));
	snprintf(want, sizeof want, "%s/d", a);
	CHECK_STR(b, want);
	CHECK_OK(rename("../d", "../e"));
	CHECK(getcwd(b, sizeof b));
	CHECK_STR(strrchr(b, '/'), "/e");
	CHECK_ERRNO(syscall(SYS_getcwd, b, 3), ERANGE);
	CHECK_ERRNO(syscall(SYS_getcwd, BAD, PATH_MAX), EFAULT);
	CHECK_EQ(syscall(SYS_getcwd, b, PATH_MAX), strlen(a) + 3);
	CHECK_OK(chdir(".."));
	CHECK(getcwd(b, sizeof b));
	CHECK_STR(a, b);
}

TEST(chdir_errors)
{
	int fd = create("f");
	CHECK_ERRNO(chdir("f"), ENOTDIR);
	CHECK_ERRNO(chdir("missing"), ENOENT);
	CHECK_ERRNO(chdir(""), ENOENT);
	CHECK_ERRNO(chdir(BAD), EFAULT);
	CHECK_ERRNO(fchdir(fd), ENOTDIR);
	CHECK_ERRNO(fchdir(999), EBADF);
	CHECK_OK(mkdir("d", 0600));
	CHILD {
		become_user();
		CHECK_ERRNO(chdir("d"), EACCES);
	} CHILD_END;
}

TEST(fchdir)
{
	char a[PATH_MAX];
	int here = CHECK_OK(open(".", O_PATH));
	CHECK_OK(mkdir("d", 0700));
	int d = CHECK_OK(open("d", O_RDONLY));
	CHECK_OK(fchdir(d));
	create("inside");
	CHECK_OK(fchdir(here));
	CHECK(exists("d/inside"));
	CHECK(getcwd(a, sizeof a));
	CHECK_STR(strrchr(a, '/'), "/fchdir");
}

TEST(removed_working_directory)
{
	char buf[PATH_MAX];
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(chdir("d"));
	CHECK_OK(rmdir("../d"));
	CHECK_ERRNO(syscall(SYS_getcwd, buf, sizeof buf), ENOENT);
	CHECK_ERRNO(open("f", O_CREAT | O_RDWR, 0600), ENOENT);
	CHECK_ERRNO(mkdir("x", 0700), ENOENT);
	CHECK_OK(open(".", O_RDONLY));
	CHECK_OK(chdir(".."));
	CHECK(getcwd(buf, sizeof buf));
}

TEST(chroot_rules)
{
	CHECK_OK(mkdir("jail", 0755));
	CHECK_OK(mkdir("jail/sub", 0755));
	write_file("jail/f", "inside");
	CHILD {
		become_user();
		CHECK_ERRNO(chroot("jail"), EPERM);
	} CHILD_END;
	NEED_ROOT();
	CHILD {
		char cwd[PATH_MAX];
		CHECK_ERRNO(chroot("missing"), ENOENT);
		CHECK_ERRNO(chroot("jail/f"), ENOTDIR);
		CHECK_OK(chroot("jail"));
		CHECK_OK(chdir("/sub"));
		CHECK(getcwd(cwd, sizeof cwd));
		CHECK_STR(cwd, "/sub");
		CHECK(exists("/f"));
		CHECK(exists("/../../f"));
		CHECK(!exists("/etc"));
		CHECK_OK(symlink("/f", "abs"));
		struct stat st;
		CHECK_OK(stat("abs", &st));
		CHECK_EQ(st.st_size, 6);
	} CHILD_END;
	CHECK(exists("jail/sub/abs"));
}

TEST(cwd_outside_of_chroot_is_unreachable)
{
	NEED_ROOT();
	CHECK_OK(mkdir("jail", 0755));
	CHILD {
		char cwd[PATH_MAX];
		CHECK_OK(chroot("jail"));
		long n = CHECK_OK(syscall(SYS_getcwd, cwd, sizeof cwd));
		CHECK_GT(n, 0);
		CHECK_EQ(strncmp(cwd, "(unreachable)", 13), 0);
	} CHILD_END;
}

TEST(dot_dot_of_root_is_root)
{
	CHECK_EQ(stat_of("/").st_ino, stat_of("/..").st_ino);
	CHECK_EQ(stat_of("/").st_ino, stat_of("/../../.").st_ino);
}

TEST(deep_tree)
{
	char cwd[PATH_MAX];
	for (int i = 0; i < 100; i++) {
		CHECK_OK(mkdir("dir", 0700));
		CHECK_OK(chdir("dir"));
	}
	CHECK(getcwd(cwd, sizeof cwd));
	CHECK_GT(strlen(cwd), 400);
	for (int i = 0; i < 100; i++) {
		CHECK_OK(chdir(".."));
		CHECK_OK(rmdir("dir"));
	}
}
