/* Identity: user and group ids, supplementary groups, capabilities, setuid programs, who may do what. */
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/mman.h>

static struct __user_cap_data_struct caps[2];

static void get_caps(void)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	CHECK_OK(syscall(SYS_capget, &h, caps));
}

static long set_caps(void)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	return syscall(SYS_capset, &h, caps);
}

static uint64_t word(unsigned a, unsigned b)
{
	return a | (uint64_t)b << 32;
}

static uint64_t effective(void)
{
	get_caps();
	return word(caps[0].effective, caps[1].effective);
}

static uint64_t permitted(void)
{
	get_caps();
	return word(caps[0].permitted, caps[1].permitted);
}

static int has(int cap)
{
	return effective() >> cap & 1;
}

static void ids_are(uid_t r, uid_t e, uid_t s)
{
	uid_t a, b, c;
	CHECK_OK(getresuid(&a, &b, &c));
	CHECK_EQ(a, r);
	CHECK_EQ(b, e);
	CHECK_EQ(c, s);
}

static void copy_self(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	static char buf[65536];
	int in = CHECK_OK(open(self_exe, O_RDONLY)), out = CHECK_OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755));
	ssize_t n;
	while ((n = read(in, buf, sizeof buf)) > 0)
		CHECK_EQ(write(out, buf, n), n);
	CHECK_OK(fchown(out, uid, gid));
	CHECK_OK(fchmod(out, mode));
	close(in);
	CHECK_OK(close(out));
}

/* ---- user ids ---- */

TEST(id_calls_agree)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;
	CHECK_OK(getresuid(&r, &e, &s));
	CHECK_OK(getresgid(&rg, &eg, &sg));
	CHECK_EQ(r, getuid());
	CHECK_EQ(e, geteuid());
	CHECK_EQ(rg, getgid());
	CHECK_EQ(eg, getegid());
	CHECK_ERRNO(syscall(SYS_getresuid, BAD, &e, &s), EFAULT);
}

TEST(setuid_by_root_sets_all)
{
	NEED_ROOT();
	CHILD {
		CHECK_OK(setuid(PLAIN_UID));
		ids_are(PLAIN_UID, PLAIN_UID, PLAIN_UID);
		CHECK_ERRNO(setuid(0), EPERM);
		CHECK_EQ(setfsuid(-1), PLAIN_UID);
	} CHILD_END;
}

TEST(seteuid_and_back)
{
	NEED_ROOT();
	CHILD {
		CHECK_OK(seteuid(PLAIN_UID));
		ids_are(0, PLAIN_UID, 0);
		CHECK_OK(seteuid(0));
		ids_are(0, 0, 0);
	} CHILD_END;
}

TEST(setreuid_saves_effective)
{
	NEED_ROOT();
	CHILD {
		CHECK_OK(setreuid(PLAIN_UID, 2000));
		ids_are(PLAIN_UID, 2000, 2000); /* the saved id follows when the real one is set */
		CHECK_OK(setreuid(-1, PLAIN_UID));
		ids_are(PLAIN_UID, PLAIN_UID, 2000);
		CHECK_OK(setreuid(-1, 2000));
		ids_are(PLAIN_UID, 2000, 2000);
		CHECK_ERRNO(setreuid(-1, 3000), EPERM);
		CHECK_ERRNO(setreuid(3000, -1), EPERM);
	} CHILD_END;
}

TEST(setresuid_rules)
{
	NEED_ROOT();
	CHILD {
		CHECK_OK(setresuid(1, 2, 3));
		ids_are(1, 2, 3);
		CHECK_OK(setresuid(3, 1, 2)); /* any permutation of what one has */
		ids_are(3, 1, 2);
		CHECK_OK(setresuid(-1, -1, -1));
		CHECK_ERRNO(setresuid(-1, 4, -1), EPERM);
		CHECK_ERRNO(setresuid(0, -1, -1), EPERM);
		CHECK_OK(setuid(2));
		ids_are(3, 2, 2);
	} CHILD_END;
}

TEST(setresgid_rules)
{
	NEED_ROOT();
	CHILD {
		gid_t r, e, s;
		CHECK_OK(setresgid(5, 6, 7));
		CHECK_OK(getresgid(&r, &e, &s));
		CHECK_EQ(r, 5);
		CHECK_EQ(e, 6);
		CHECK_EQ(s, 7);
		CHECK_OK(setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID));
		CHECK_OK(setresgid(7, 5, 6));
		CHECK_ERRNO(setresgid(-1, 8, -1), EPERM);
		CHECK_OK(setegid(7));
		CHECK_ERRNO(setgid(0), EPERM);
	} CHILD_END;
}

TEST(ordinary_user_can_become_nobody_else)
{
	CHILD {
		become_user();
		uid_t me = getuid();
		CHECK_ERRNO(setuid(0), EPERM);
		CHECK_ERRNO(setuid(me + 1), EPERM);
		CHECK_OK(setuid(me));
		CHECK_ERRNO(setreuid(0, -1), EPERM);
		CHECK_ERRNO(setresuid(-1, 0, -1), EPERM);
		CHECK_ERRNO(setgid(0), EPERM);
		CHECK_ERRNO(syscall(SYS_setgroups, 0, NULL), EPERM);
		CHECK_ERRNO(setuid(-1), EINVAL);
		CHECK_ERRNO(setgid(-1), EINVAL);
	} CHILD_END;
}

TEST(fsuid_decides_about_files)
{
	NEED_ROOT();
	int fd = CHECK_OK(open("secret", O_CREAT | O_RDWR, 0600));
	close(fd);
	CHILD {
		CHECK_EQ(setfsuid(PLAIN_UID), 0);
		CHECK_EQ(setfsuid(-1), PLAIN_UID);
		CHECK_ERRNO(open("secret", O_RDONLY), EACCES);
		CHECK_EQ(geteuid(), 0);
		CHECK_EQ(setfsuid(0), PLAIN_UID);
		CHECK_OK(open("secret", O_RDONLY));
	} CHILD_END;
}

TEST(ids_are_inherited)
{
	NEED_ROOT();
	CHILD {
		CHECK_OK(setresuid(1, 2, 3));
		CHILD {
			ids_are(1, 2, 3);
		} CHILD_END;
	} CHILD_END;
}

/* ---- groups ---- */

TEST(setgroups_and_getgroups)
{
	NEED_ROOT();
	CHILD {
		gid_t set[3] = {30, 10, 20}, got[8];
		CHECK_OK(setgroups(3, set));
		CHECK_EQ(getgroups(0, NULL), 3);
		CHECK_EQ(getgroups(8, got), 3);
		CHECK_EQ(got[0] + got[1] + got[2], 60);
		CHECK_ERRNO(getgroups(2, got), EINVAL);
		CHECK_ERRNO(syscall(SYS_getgroups, -1, got), EINVAL);
		CHECK_ERRNO(syscall(SYS_setgroups, 65537, got), EINVAL);
		CHECK_ERRNO(syscall(SYS_setgroups, 3, BAD), EFAULT);
		CHECK_OK(setgroups(0, NULL));
		CHECK_EQ(getgroups(8, got), 0);
	} CHILD_END;
}

TEST(supplementary_group_gives_access)
{
	NEED_ROOT();
	gid_t g = 4711;
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0600));
	CHECK_OK(fchown(fd, 0, g));
	CHECK_OK(fchmod(fd, 0060));
	CHILD {
		CHECK_OK(setgroups(1, &g));
		CHECK_OK(setresgid(PLAIN_GID, PLAIN_GID, PLAIN_GID));
		CHECK_OK(setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID));
		CHECK_OK(open("f", O_RDWR));
	} CHILD_END;
	CHILD {
		become_user();
		CHECK_ERRNO(open("f", O_RDONLY), EACCES);
	} CHILD_END;
}

/* ---- capabilities ---- */

TEST(capget_versions)
{
	struct __user_cap_header_struct h = {0x12345678, 0};
	CHECK_ERRNO(syscall(SYS_capget, &h, caps), EINVAL);
	CHECK_EQ(h.version, _LINUX_CAPABILITY_VERSION_3); /* the kernel tells its own */
	h = (struct __user_cap_header_struct){0x12345678, 0};
	CHECK_OK(syscall(SYS_capget, &h, NULL)); /* that is how one asks */
	h = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, 0x3ffffff};
	CHECK_ERRNO(syscall(SYS_capget, &h, caps), ESRCH);
	h.pid = -1;
	CHECK_ERRNO(syscall(SYS_capget, &h, caps), EINVAL);
	h.pid = getpid();
	CHECK_OK(syscall(SYS_capget, &h, caps));
	CHECK_ERRNO(syscall(SYS_capget, BAD, caps), EFAULT);
}

TEST(ordinary_user_has_no_capabilities)
{
	CHILD {
		become_user();
		CHECK_EQ(effective(), 0);
		CHECK_EQ(permitted(), 0);
	} CHILD_END;
}

TEST(capabilities_follow_user_ids)
{
	NEED_ROOT();
	uint64_t all = permitted();
	CHECK_NE(all, 0);
	CHILD {
		CHECK_OK(seteuid(PLAIN_UID));
		CHECK_EQ(effective(), 0);
		CHECK_EQ(permitted(), all);
		CHECK_OK(seteuid(0));
		CHECK_EQ(effective(), all);
		CHECK_OK(setuid(PLAIN_UID));
		CHECK_EQ(permitted(), 0);
	} CHILD_END;
}

TEST(keepcaps)
{
	NEED_ROOT();
	uint64_t all = permitted();
	CHILD {
		CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
		CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
		CHECK_OK(setuid(PLAIN_UID));
		CHECK_EQ(permitted(), all);
		CHECK_EQ(effective(), 0);
		caps[0].effective = caps[0].permitted;
		CHECK_OK(set_caps());
		CHECK(has(CAP_SETUID));
		CHECK_OK(setuid(2000));
	} CHILD_END;
	CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
}

TEST(capset_only_shrinks)
{
	NEED_ROOT();
	CHILD {
		get_caps();
		caps[0].effective &= ~(1U << CAP_CHOWN);
		caps[0].permitted &= ~(1U << CAP_CHOWN);
		caps[0].inheritable = 0;
		CHECK_OK(set_caps());
		CHECK(!has(CAP_CHOWN));
		int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0600));
		CHECK_ERRNO(fchown(fd, 5, 5), EPERM);
		get_caps();
		caps[0].permitted |= 1U << CAP_CHOWN;
		CHECK_ERRNO(set_caps(), EPERM);
		get_caps();
		caps[0].effective |= 1U << CAP_CHOWN;
		CHECK_ERRNO(set_caps(), EPERM);
	} CHILD_END;
}

TEST(capset_of_other_process_is_eperm)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, getppid()};
	get_caps();
	CHECK_ERRNO(syscall(SYS_capset, &h, caps), EPERM);
}

static void drop(int cap)
{
	get_caps();
	caps[cap / 32].effective &= ~(1U << cap % 32);
	caps[cap / 32].permitted &= ~(1U << cap % 32);
	CHECK_OK(set_caps());
}

TEST(each_capability_guards_its_call)
{
	NEED_ROOT();
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0600));
	CHECK_OK(fchown(fd, PLAIN_UID, PLAIN_GID));
	CHILD {
		drop(CAP_SETUID);
		CHECK_ERRNO(setuid(5), EPERM);
		drop(CAP_SETGID);
		CHECK_ERRNO(setgid(5), EPERM);
		CHECK_ERRNO(setgroups(0, NULL), EPERM);
		drop(CAP_FOWNER);
		CHECK_ERRNO(chmod("f", 0644), EPERM);
		drop(CAP_DAC_OVERRIDE);
		if (has(CAP_DAC_READ_SEARCH))
			CHECK_OK(open("f", O_RDONLY));
		CHECK_ERRNO(open("f", O_WRONLY), EACCES);
		drop(CAP_DAC_READ_SEARCH);
		CHECK_ERRNO(open("f", O_RDONLY), EACCES);
		drop(CAP_SYS_CHROOT);
		CHECK_ERRNO(chroot("."), EPERM);
		drop(CAP_SYS_NICE);
		CHECK_ERRNO(nice(-1), EPERM);
		drop(CAP_KILL);
		CHILD {
			CHECK_EQ(kill(getppid(), 0), 0); /* same user: no need of it */
		} CHILD_END;
	} CHILD_END;
}

TEST(kill_needs_matching_user_or_cap_kill)
{
	NEED_ROOT();
	pid_t victim = xfork();
	if (victim == 0) {
		become_user();
		for (;;)
			pause();
	}
	while (1) {
		char path[64], buf[4096];
		snprintf(path, sizeof path, "/proc/%d/status", victim);
		CHECK_GT(read_file(path, buf, sizeof buf), 0);
		if (strstr(buf, "Uid:\t1000\t1000\t1000"))
			break;
		msleep(10);
	}
	CHILD {
		CHECK_OK(setresuid(2000, 2000, 2000));
		CHECK_ERRNO(kill(victim, 0), EPERM);
	} CHILD_END;
	CHILD {
		CHECK_OK(setresuid(PLAIN_UID, 2000, 2000)); /* the real id of the sender is enough */
		CHECK_OK(kill(victim, 0));
	} CHILD_END;
	CHILD {
		drop(CAP_KILL);
		CHECK_ERRNO(kill(victim, 0), EPERM);
	} CHILD_END;
	CHECK_OK(kill(victim, SIGKILL));
	CHECK_EQ(wait_exit(victim), 1000 + SIGKILL);
}

TEST(bounding_set)
{
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN) & ~1, 0);
	CHECK_ERRNO(prctl(PR_CAPBSET_READ, 999), EINVAL);
	CHECK_ERRNO(prctl(PR_CAPBSET_DROP, 999), is_root() ? EINVAL : EPERM);
	CHILD {
		become_user();
		CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_CHOWN), EPERM);
	} CHILD_END;
	NEED_ROOT();
	CHILD {
		CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME));
		CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_TIME), 0);
		pid_t pid = xfork();
		if (pid == 0) {
			execl(self_exe, "x", "@has_cap", "25", NULL); /* CAP_SYS_TIME */
			_exit(9);
		}
		CHECK_EQ(wait_exit(pid), 0); /* an exec by root gives what the bounding set leaves */
	} CHILD_END;
}

HELPER(has_cap)
{
	return has(atoi(argv[2]));
}

TEST(ambient_set)
{
	CHECK_ERRNO(prctl(PR_CAP_AMBIENT, 99, 0, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0);
	CHILD {
		become_user();
		CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM);
	} CHILD_END;
	NEED_ROOT();
	CHILD {
		get_caps();
		caps[0].inheritable |= 1 << CAP_CHOWN;
		CHECK_OK(set_caps());
		CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
		CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 1);
		CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
		CHECK_OK(setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID));
		CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0); /* leaving root clears it */
		CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
		pid_t pid = xfork();
		if (pid == 0) {
			execl(self_exe, "x", "@has_cap", "0", NULL);
			_exit(9);
		}
		CHECK_EQ(wait_exit(pid), 1); /* survives an exec by an ordinary user */
		CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
		CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0);
	} CHILD_END;
}

TEST(securebits)
{
	CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
	CHILD {
		become_user();
		CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT), EPERM);
	} CHILD_END;
	NEED_ROOT();
	CHILD {
		uint64_t all = permitted();
		CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
		CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP);
		CHECK_OK(setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID));
		CHECK_EQ(effective(), all);
	} CHILD_END;
}

/* ---- setuid programs ---- */

HELPER(show_ids)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;
	getresuid(&r, &e, &s);
	getresgid(&rg, &eg, &sg);
	printf("%d %d %d %d %d %d dump%d", r, e, s, rg, eg, sg, prctl(PR_GET_DUMPABLE) == 1);
	fflush(stdout);
	return 0;
}

static void run_as_user(const char *prog, int no_new_privs, char *out, size_t size)
{
	int p[2];
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		become_user();
		if (no_new_privs)
			CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		dup2(p[1], 1);
		execl(prog, "x", "@show_ids", NULL);
		_exit(9);
	}
	close(p[1]);
	read_all(p[0], out, size);
	CHECK_EQ(wait_exit(pid), 0);
	close(p[0]);
}

TEST(setuid_program)
{
	char out[128];
	NEED_ROOT();
	copy_self("prog", 0, 0, 04755);
	run_as_user("./prog", 0, out, sizeof out);
	CHECK_STR(out, "1000 0 0 1000 1000 1000 dump0");
	copy_self("other", 2000, 0, 04755);
	run_as_user("./other", 0, out, sizeof out);
	CHECK_STR(out, "1000 2000 2000 1000 1000 1000 dump0");
}

TEST(setgid_program)
{
	char out[128];
	NEED_ROOT();
	copy_self("prog", 0, 4711, 02755);
	run_as_user("./prog", 0, out, sizeof out);
	CHECK_STR(out, "1000 1000 1000 1000 4711 4711 dump0");
	copy_self("locked", 0, 4711, 02745); /* without group x it means something else */
	run_as_user("./locked", 0, out, sizeof out);
	CHECK_STR(out, "1000 1000 1000 1000 1000 1000 dump1");
}

TEST(setuid_is_ignored_with_no_new_privs)
{
	char out[128];
	NEED_ROOT();
	copy_self("prog", 0, 0, 06755);
	run_as_user("./prog", 1, out, sizeof out);
	CHECK_STR(out, "1000 1000 1000 1000 1000 1000 dump1");
}

TEST(setuid_bit_of_script_is_ignored)
{
	char out[128], text[PATH_MAX + 32];
	NEED_ROOT();
	snprintf(text, sizeof text, "#!%s @show_ids\n", self_exe);
	write_file("s", text);
	CHECK_OK(chmod("s", 04755));
	run_as_user("./s", 0, out, sizeof out);
	CHECK_STR(out, "1000 1000 1000 1000 1000 1000 dump1");
}

TEST(at_secure_for_setuid_program)
{
	NEED_ROOT();
	copy_self("prog", 0, 0, 04755);
	pid_t pid = xfork();
	if (pid == 0) {
		become_user();
		execl("./prog", "x", "@at_secure", NULL);
		_exit(9);
	}
	CHECK_EQ(wait_exit(pid), 1);
}

HELPER(at_secure)
{
	return (int)getauxval(AT_SECURE);
}

TEST(no_new_privs_rules)
{
	CHILD {
		CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
		CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0), EINVAL);
		CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
		CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
		CHILD {
			CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		} CHILD_END;
	} CHILD_END;
}

TEST(changing_ids_clears_dumpable_and_pdeathsig)
{
	NEED_ROOT();
	CHILD {
		int sig = -1;
		CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
		CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
		CHECK_OK(seteuid(PLAIN_UID));
		CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
		CHECK_OK(prctl(PR_GET_PDEATHSIG, &sig));
		CHECK_EQ(sig, 0);
	} CHILD_END;
}

TEST(undumpable_process_hides_proc_files)
{
	int p[2];
	char c, path[64], link[64];
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		become_user();
		prctl(PR_SET_DUMPABLE, 0);
		if (write(p[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHILD {
		become_user();
		snprintf(path, sizeof path, "/proc/%d/exe", pid);
		CHECK_ERRNO(readlink(path, link, sizeof link), EACCES);
		snprintf(path, sizeof path, "/proc/%d/maps", pid);
		char buf[16];
		int fd = open(path, O_RDONLY);
		CHECK(fd < 0 || read(fd, buf, 16) <= 0);
	} CHILD_END;
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(status_shows_ids_and_capabilities)
{
	char buf[4096], want[128];
	CHECK_GT(read_file("/proc/self/status", buf, sizeof buf), 0);
	snprintf(want, sizeof want, "\nUid:\t%d\t%d\t%d\t%d\n", getuid(), geteuid(), geteuid(), geteuid());
	CHECK(strstr(buf, want) != NULL);
	snprintf(want, sizeof want, "\nGid:\t%d\t%d\t%d\t%d\n", getgid(), getegid(), getegid(), getegid());
	CHECK(strstr(buf, want) != NULL);
	snprintf(want, sizeof want, "\nCapEff:\t%016lx\n", effective());
	CHECK(strstr(buf, want) != NULL);
	snprintf(want, sizeof want, "\nCapPrm:\t%016lx\n", permitted());
	CHECK(strstr(buf, want) != NULL);
}
