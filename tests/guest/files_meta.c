/* Attributes: stat, statx, chmod, chown, times, access, umask, statfs, extended attributes. */
#include "check.h"
#include <linux/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

static int create(const char *path)
{
	return CHECK_OK(open(path, O_RDWR | O_CREAT, 0644));
}

static struct stat stat_of(const char *path)
{
	struct stat st;
	CHECK_OK(lstat(path, &st));
	return st;
}

static int mode_of(const char *path)
{
	return stat_of(path).st_mode & 07777;
}

static long statx_(int dir, const char *path, int flags, unsigned mask, struct statx *x)
{
	return syscall(SYS_statx, dir, path, flags, mask, x);
}

TEST(stat_fields_of_file)
{
	struct stat st;
	write_file("f", "hello");
	time_t now = time(NULL);
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_EQ(st.st_size, 5);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_uid, geteuid());
	CHECK_EQ(st.st_gid, getegid());
	CHECK_GT(st.st_ino, 0);
	CHECK_GE(st.st_blksize, 512);
	CHECK_LE(llabs(st.st_mtime - now), 60);
	CHECK_LE(llabs(st.st_ctime - now), 60);
	CHECK_LE(llabs(st.st_atime - now), 60);
	CHECK_EQ(st.st_dev, stat_of(".").st_dev);
}

TEST(stat_errors)
{
	struct stat st;
	create("f");
	CHECK_ERRNO(stat("missing", &st), ENOENT);
	CHECK_ERRNO(stat("", &st), ENOENT);
	CHECK_ERRNO(stat("f/x", &st), ENOTDIR);
	CHECK_ERRNO(stat(BAD, &st), EFAULT);
	CHECK_ERRNO(syscall(SYS_stat, "f", BAD), EFAULT);
	CHECK_ERRNO(fstat(999, &st), EBADF);
	CHECK_ERRNO(fstatat(AT_FDCWD, "f", &st, 0x40000), EINVAL);
	CHECK_ERRNO(fstatat(999, "f", &st, 0), EBADF);
	CHECK_ERRNO(fstatat(AT_FDCWD, "", &st, 0), ENOENT);
	CHECK_OK(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
	CHECK(S_ISDIR(st.st_mode));
}

TEST(fstatat_variants)
{
	struct stat st;
	int fd = create("f");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(fstatat(AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_OK(fstatat(AT_FDCWD, "l", &st, 0));
	CHECK(S_ISREG(st.st_mode));
	CHECK_OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	CHECK_EQ(st.st_ino, stat_of("f").st_ino);
	CHECK_OK(fstatat(AT_FDCWD, "f", &st, AT_NO_AUTOMOUNT));
}

TEST(stat_kinds)
{
	struct stat st;
	int p[2];
	CHECK_OK(pipe(p));
	CHECK_OK(fstat(p[0], &st));
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(st.st_size, 0);
	CHECK_OK(stat("/dev/null", &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(major(st.st_rdev), 1);
	CHECK_EQ(minor(st.st_rdev), 3);
	CHECK_OK(stat("/proc", &st));
	CHECK(S_ISDIR(st.st_mode));
}

TEST(statx_fields)
{
	struct statx x;
	struct stat st;
	write_file("f", "hello");
	CHECK_OK(stat("f", &st));
	memset(&x, 0, sizeof x);
	CHECK_OK(statx_(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	CHECK_EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	CHECK_EQ(x.stx_mode, st.st_mode);
	CHECK_EQ(x.stx_size, 5);
	CHECK_EQ(x.stx_ino, st.st_ino);
	CHECK_EQ(x.stx_nlink, 1);
	CHECK_EQ(x.stx_uid, st.st_uid);
	CHECK_EQ(x.stx_gid, st.st_gid);
	CHECK_EQ(x.stx_blocks, st.st_blocks);
	CHECK_EQ(x.stx_mtime.tv_sec, st.st_mtim.tv_sec);
	CHECK_EQ(x.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
	CHECK_EQ(makedev(x.stx_dev_major, x.stx_dev_minor), st.st_dev);
	CHECK_EQ(x.stx_blksize, st.st_blksize);
}

TEST(statx_errors_and_flags)
{
	struct statx x;
	int fd = create("f");
	CHECK_ERRNO(statx_(AT_FDCWD, "f", 0, 0x80000000, &x), EINVAL);
	CHECK_ERRNO(statx_(AT_FDCWD, "f", 0x40000, STATX_MODE, &x), EINVAL);
	CHECK_ERRNO(statx_(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_MODE, &x), EINVAL);
	CHECK_ERRNO(statx_(AT_FDCWD, "f", 0, STATX_MODE, BAD), EFAULT);
	CHECK_ERRNO(statx_(AT_FDCWD, "missing", 0, STATX_MODE, &x), ENOENT);
	CHECK_ERRNO(statx_(AT_FDCWD, "", 0, STATX_MODE, &x), ENOENT);
	CHECK_OK(statx_(fd, "", AT_EMPTY_PATH, STATX_MODE, &x));
	CHECK_OK(statx_(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_MODE, &x));
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(statx_(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x));
	CHECK(S_ISLNK(x.stx_mode));
}

/* ---- chmod ---- */

TEST(chmod_family)
{
	int fd = create("f");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(chmod("f", 0123));
	CHECK_EQ(mode_of("f"), 0123);
	CHECK_OK(fchmod(fd, 0654));
	CHECK_EQ(mode_of("f"), 0654);
	CHECK_OK(fchmodat(AT_FDCWD, "l", 0600, 0)); /* follows */
	CHECK_EQ(mode_of("f"), 0600);
	CHECK_OK(chmod("f", 07777));
	CHECK_EQ(mode_of("f"), 07777);
	CHECK_OK(chmod("f", S_IFDIR | 0644)); /* the type is ignored */
	CHECK_EQ(stat_of("f").st_mode, S_IFREG | 0644);
	CHECK_ERRNO(chmod("missing", 0600), ENOENT);
	CHECK_ERRNO(fchmod(999, 0600), EBADF);
	CHECK_ERRNO(chmod("", 0600), ENOENT);
}

TEST(chmod_needs_ownership)
{
	CHILD {
		become_user();
		CHECK_ERRNO(chmod("/", 0777), EPERM);
		CHECK_ERRNO(chmod("/etc/passwd", 0777), EPERM);
	} CHILD_END;
}

TEST(chmod_changes_ctime_not_mtime)
{
	create("f");
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	CHECK_OK(utimensat(AT_FDCWD, "f", old, 0));
	CHECK_OK(chmod("f", 0600));
	CHECK_EQ(stat_of("f").st_mtime, 1000);
	CHECK_GT(stat_of("f").st_ctime, 1000000000);
}

TEST(setgid_of_foreign_group_is_dropped)
{
	NEED_ROOT();
	create("f");
	CHECK_OK(chown("f", PLAIN_UID, 4711));
	CHILD {
		become_user();
		CHECK_OK(chmod("f", 02755));
		CHECK_EQ(mode_of("f"), 0755);
	} CHILD_END;
}

/* ---- chown ---- */

TEST(chown_family)
{
	NEED_ROOT();
	int fd = create("f");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(chown("f", 5, 6));
	CHECK_EQ(stat_of("f").st_uid, 5);
	CHECK_EQ(stat_of("f").st_gid, 6);
	CHECK_OK(fchown(fd, -1, 7));
	CHECK_EQ(stat_of("f").st_uid, 5);
	CHECK_EQ(stat_of("f").st_gid, 7);
	CHECK_OK(lchown("l", 8, 9));
	CHECK_EQ(stat_of("l").st_uid, 8);
	CHECK_EQ(stat_of("f").st_uid, 5);
	CHECK_OK(fchownat(AT_FDCWD, "l", 10, 11, AT_SYMLINK_NOFOLLOW));
	CHECK_EQ(stat_of("l").st_gid, 11);
	CHECK_OK(fchownat(fd, "", 12, 13, AT_EMPTY_PATH));
	CHECK_EQ(stat_of("f").st_uid, 12);
	CHECK_ERRNO(fchownat(AT_FDCWD, "f", 1, 1, 0x40000), EINVAL);
	CHECK_ERRNO(chown("missing", 1, 1), ENOENT);
}

TEST(chown_clears_setid_bits)
{
	NEED_ROOT();
	create("f");
	CHECK_OK(chmod("f", 06755));
	CHECK_OK(chown("f", 5, 5));
	CHECK_EQ(mode_of("f"), 0755);
	CHECK_OK(chmod("f", 06655));
	CHECK_OK(chown("f", 6, 6));
	CHECK_EQ(mode_of("f"), 0655 | (mode_of("f") & 02000)); /* without group x, setgid means locking and may stay */
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(chmod("d", 06755));
	CHECK_OK(chown("d", 5, 5));
	CHECK_EQ(mode_of("d"), 06755); /* not on directories */
}

TEST(chown_by_ordinary_user)
{
	create("f");
	if (is_root())
		CHECK_OK(chown("f", PLAIN_UID, PLAIN_GID));
	CHILD {
		become_user();
		uid_t me = geteuid();
		CHECK_OK(chown("f", me, -1));
		CHECK_OK(chown("f", -1, getegid()));
		CHECK_ERRNO(chown("f", me + 1, -1), EPERM);
		CHECK_ERRNO(chown("f", -1, 4711), EPERM);
		CHECK_ERRNO(chown("/etc/passwd", me, -1), EPERM);
	} CHILD_END;
}

TEST(writing_clears_setid_bits)
{
	int fd = create("f");
	if (is_root())
		CHECK_OK(fchown(fd, PLAIN_UID, PLAIN_GID));
	CHILD {
		become_user();
		CHECK_OK(chmod("f", 06777));
		int mine = CHECK_OK(open("f", O_WRONLY));
		CHECK_EQ(write(mine, "x", 1), 1);
		CHECK_EQ(mode_of("f"), 0777);
		CHECK_OK(chmod("f", 06777));
		CHECK_OK(ftruncate(mine, 0));
		CHECK_EQ(mode_of("f"), 0777);
	} CHILD_END;
	if (is_root()) {
		CHECK_OK(chmod("f", 06777));
		CHECK_EQ(write(fd, "x", 1), 1);
		CHECK_EQ(mode_of("f"), 06777); /* with CAP_FSETID they stay */
	}
}

TEST(umask_rules)
{
	CHECK_EQ(umask(0), 022);
	CHECK_EQ(umask(07777), 0);
	CHECK_EQ(umask(022), 0777); /* only permission bits are kept */
	CHECK_OK(mkfifo("p", 0666));
	CHECK_EQ(mode_of("p"), 0644);
	CHECK_OK(symlink("x", "l"));
	CHECK_EQ(mode_of("l"), 0777);
}

/* ---- access ---- */

TEST(access_rules)
{
	create("f");
	CHECK_OK(access("f", F_OK));
	CHECK_OK(access("f", R_OK | W_OK));
	CHECK_ERRNO(access("f", X_OK), EACCES); /* root too: no x bit at all */
	CHECK_ERRNO(access("missing", F_OK), ENOENT);
	CHECK_ERRNO(access("f/x", F_OK), ENOTDIR);
	CHECK_ERRNO(access("f", 8), EINVAL);
	CHECK_ERRNO(access("f", -1), EINVAL);
	CHECK_OK(access(".", X_OK));
	CHECK_OK(symlink("missing", "dangling"));
	CHECK_ERRNO(access("dangling", F_OK), ENOENT);
	CHECK_OK(faccessat(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
	CHECK_ERRNO(syscall(439 /* faccessat2 */, AT_FDCWD, "f", F_OK, 0x40000), EINVAL);
	CHECK_OK(syscall(439, CHECK_OK(open("f", O_RDONLY)), "", R_OK, AT_EMPTY_PATH));
}

TEST(access_uses_real_ids)
{
	NEED_ROOT();
	create("f");
	CHECK_OK(chmod("f", 0600));
	CHILD {
		CHECK_OK(setresuid(PLAIN_UID, 0, 0));
		CHECK_ERRNO(access("f", R_OK), EACCES);
		CHECK_OK(open("f", O_RDONLY));
		CHECK_OK(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
	} CHILD_END;
}

TEST(access_by_ordinary_user)
{
	create("f");
	CHECK_OK(chmod("f", 0444));
	CHILD {
		become_user();
		CHECK_OK(access("f", R_OK));
		CHECK_ERRNO(access("f", W_OK), EACCES);
		CHECK_ERRNO(access("f", R_OK | W_OK), EACCES);
	} CHILD_END;
}

/* ---- times ---- */

TEST(utimensat_sets_nanoseconds)
{
	struct timespec t[2] = {{1111111111, 123456789}, {1222222222, 987654321}};
	int fd = create("f");
	CHECK_OK(utimensat(AT_FDCWD, "f", t, 0));
	struct stat st = stat_of("f");
	CHECK_EQ(st.st_atim.tv_sec, 1111111111);
	CHECK_EQ(st.st_atim.tv_nsec, 123456789);
	CHECK_EQ(st.st_mtim.tv_sec, 1222222222);
	CHECK_EQ(st.st_mtim.tv_nsec, 987654321);
	t[0].tv_sec = 5;
	t[1].tv_sec = 6;
	CHECK_OK(futimens(fd, t));
	CHECK_EQ(stat_of("f").st_mtime, 6);
}

TEST(utimensat_now_and_omit)
{
	struct timespec t[2] = {{1000, 0}, {2000, 0}}, now[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}}, none[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	create("f");
	CHECK_OK(utimensat(AT_FDCWD, "f", t, 0));
	CHECK_OK(utimensat(AT_FDCWD, "f", now, 0));
	CHECK_EQ(stat_of("f").st_mtime, 2000);
	CHECK_LE(llabs(stat_of("f").st_atime - time(NULL)), 60);
	CHECK_OK(utimensat(AT_FDCWD, "f", none, 0));
	CHECK_EQ(stat_of("f").st_mtime, 2000);
	CHECK_OK(utimensat(AT_FDCWD, "f", NULL, 0));
	CHECK_LE(llabs(stat_of("f").st_mtime - time(NULL)), 60);
	CHECK_OK(utimensat(AT_FDCWD, "missing", none, 0) == 0 || errno == ENOENT ? 0 : -1);
}

TEST(utimensat_errors)
{
	struct timespec bad[2] = {{0, 1000000000}, {0, 0}}, t[2] = {{1000, 0}, {1000, 0}};
	create("f");
	CHECK_ERRNO(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
	CHECK_ERRNO(utimensat(AT_FDCWD, "f", t, 0x40000), EINVAL);
	CHECK_ERRNO(utimensat(AT_FDCWD, "missing", t, 0), ENOENT);
	CHECK_ERRNO(utimensat(999, "f", t, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, "f", BAD, 0), EFAULT);
	CHECK_ERRNO(futimens(999, t), EBADF);
	CHILD {
		become_user();
		CHECK_ERRNO(utimensat(AT_FDCWD, "/etc/passwd", t, 0), EPERM);
		CHECK_ERRNO(utimensat(AT_FDCWD, "/etc/passwd", NULL, 0), EACCES);
	} CHILD_END;
}

TEST(utimensat_of_symlink)
{
	struct timespec t[2] = {{1000, 0}, {2000, 0}};
	create("f");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
	CHECK_EQ(stat_of("l").st_mtime, 2000);
	CHECK_GT(stat_of("f").st_mtime, 1000000000);
}

TEST(older_time_calls)
{
	struct utimbuf u = {111, 222};
	struct timeval tv[2] = {{333, 5}, {444, 6}};
	create("f");
	CHECK_OK(utime("f", &u));
	CHECK_EQ(stat_of("f").st_atime, 111);
	CHECK_EQ(stat_of("f").st_mtime, 222);
	CHECK_OK(utimes("f", tv));
	CHECK_EQ(stat_of("f").st_mtime, 444);
	CHECK_EQ(stat_of("f").st_mtim.tv_nsec, 6000);
	tv[0].tv_usec = 1000000;
	CHECK_ERRNO(syscall(SYS_utimes, "f", tv), EINVAL);
}

TEST(operations_move_the_right_times)
{
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	CHECK_OK(mkdir("d", 0700));
	int fd = create("d/f");
	CHECK_OK(utimensat(AT_FDCWD, "d", old, 0));
	CHECK_OK(utimensat(AT_FDCWD, "d/f", old, 0));
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_GT(stat_of("d/f").st_mtime, 1000);
	CHECK_EQ(stat_of("d").st_mtime, 1000);
	CHECK_OK(link("d/f", "d/g"));
	CHECK_GT(stat_of("d").st_mtime, 1000);
	CHECK_OK(utimensat(AT_FDCWD, "d", old, 0));
	CHECK_OK(unlink("d/g"));
	CHECK_GT(stat_of("d").st_mtime, 1000);
	CHECK_OK(utimensat(AT_FDCWD, "d", old, 0));
	CHECK_OK(rename("d/f", "d/h"));
	CHECK_GT(stat_of("d").st_mtime, 1000);
	CHECK_OK(utimensat(AT_FDCWD, "d/h", old, 0));
	CHECK_OK(ftruncate(fd, 0));
	CHECK_GT(stat_of("d/h").st_mtime, 1000);
}

TEST(reading_moves_atime_relatime)
{
	char c;
	struct timespec old[2] = {{1000, 0}, {2000, 0}};
	write_file("f", "x");
	CHECK_OK(utimensat(AT_FDCWD, "f", old, 0));
	int fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_EQ(read(fd, &c, 1), 1);
	time_t a = stat_of("f").st_atime;
	CHECK(a == 1000 || llabs(a - time(NULL)) < 60); /* noatime mounts leave it */
	CHECK_EQ(stat_of("f").st_mtime, 2000);
}

/* ---- statfs ---- */

TEST(statfs_values)
{
	struct statfs s, t;
	int fd = create("f");
	CHECK_OK(statfs(".", &s));
	CHECK_GT(s.f_bsize, 0);
	CHECK_GT(s.f_blocks, 0);
	CHECK_GE(s.f_blocks, s.f_bfree);
	CHECK_GE(s.f_bfree, s.f_bavail);
	CHECK_EQ(s.f_namelen, 255);
	CHECK_OK(fstatfs(fd, &t));
	CHECK_EQ(s.f_type, t.f_type);
	CHECK_OK(statfs("/proc", &s));
	CHECK_EQ(s.f_type, 0x9fa0);
	int p[2];
	CHECK_OK(pipe(p));
	CHECK_OK(fstatfs(p[0], &s));
	CHECK_EQ(s.f_type, 0x50495045);
	CHECK_ERRNO(statfs("missing", &s), ENOENT);
	CHECK_ERRNO(statfs("f/x", &s), ENOTDIR);
	CHECK_ERRNO(fstatfs(999, &s), EBADF);
	CHECK_ERRNO(syscall(SYS_statfs, ".", BAD), EFAULT);
}

/* ---- extended attributes ---- */

static void need_xattrs(void)
{
	create("probe");
	if (setxattr("probe", "user.x", "1", 1, 0) < 0 && (errno == EOPNOTSUPP || errno == ENOTSUP))
		SKIP("the file system has no user attributes");
}

TEST(xattr_set_get_list_remove)
{
	char buf[64];
	need_xattrs();
	int fd = create("f");
	CHECK_OK(setxattr("f", "user.one", "value", 5, 0));
	CHECK_OK(fsetxattr(fd, "user.two", "", 0, 0));
	CHECK_EQ(getxattr("f", "user.one", buf, sizeof buf), 5);
	CHECK_MEM(buf, "value", 5);
	CHECK_EQ(getxattr("f", "user.one", NULL, 0), 5);
	CHECK_EQ(fgetxattr(fd, "user.two", buf, sizeof buf), 0);
	CHECK_EQ(listxattr("f", NULL, 0), 18);
	CHECK_EQ(listxattr("f", buf, sizeof buf), 18);
	CHECK(memmem(buf, 18, "user.one", 9) != NULL);
	CHECK(memmem(buf, 18, "user.two", 9) != NULL);
	CHECK_OK(removexattr("f", "user.one"));
	CHECK_EQ(flistxattr(fd, buf, sizeof buf), 9);
}

TEST(xattr_errors)
{
	static char big[65537];
	char buf[64], name[300];
	need_xattrs();
	create("f");
	CHECK_ERRNO(getxattr("f", "user.none", buf, sizeof buf), ENODATA);
	CHECK_ERRNO(removexattr("f", "user.none"), ENODATA);
	CHECK_OK(setxattr("f", "user.x", "12345", 5, XATTR_CREATE));
	CHECK_ERRNO(setxattr("f", "user.x", "1", 1, XATTR_CREATE), EEXIST);
	CHECK_ERRNO(setxattr("f", "user.y", "1", 1, XATTR_REPLACE), ENODATA);
	CHECK_ERRNO(setxattr("f", "user.y", "1", 1, 0x100), EINVAL);
	CHECK_ERRNO(getxattr("f", "user.x", buf, 3), ERANGE);
	CHECK_ERRNO(listxattr("f", buf, 3), ERANGE);
	CHECK_ERRNO(setxattr("f", "nonamespace", "1", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("f", "", "1", 1, 0), ERANGE);
	memset(name, 'x', sizeof name);
	memcpy(name, "user.", 5);
	name[256] = 0;
	CHECK_ERRNO(setxattr("f", name, "1", 1, 0), ERANGE);
	CHECK_ERRNO(setxattr("f", "user.big", big, sizeof big, 0), E2BIG);
	CHECK_ERRNO(setxattr("missing", "user.x", "1", 1, 0), ENOENT);
	CHECK_ERRNO(fsetxattr(999, "user.x", "1", 1, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_setxattr, "f", BAD, "1", 1, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_setxattr, "f", "user.z", BAD, 1, 0), EFAULT);
}

TEST(xattr_on_symlink_and_fifo)
{
	need_xattrs();
	create("f");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(setxattr("l", "user.a", "1", 1, 0)); /* follows */
	CHECK_EQ(getxattr("f", "user.a", NULL, 0), 1);
	CHECK_ERRNO(lsetxattr("l", "user.a", "1", 1, 0), EPERM); /* user. is for files and directories */
	CHECK_OK(mkfifo("p", 0600));
	CHECK_ERRNO(setxattr("p", "user.a", "1", 1, 0), EPERM);
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(setxattr("d", "user.a", "1", 1, 0));
}

TEST(xattr_permissions)
{
	need_xattrs();
	create("f");
	CHECK_OK(setxattr("f", "user.a", "1", 1, 0));
	CHECK_OK(chmod("f", 0444));
	CHILD {
		char c;
		become_user();
		CHECK_EQ(getxattr("f", "user.a", &c, 1), 1);
		CHECK_ERRNO(setxattr("f", "user.a", "2", 1, 0), EACCES);
		CHECK_ERRNO(setxattr("f", "trusted.a", "2", 1, 0), EPERM);
	} CHILD_END;
}
