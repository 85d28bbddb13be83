/* check.h: the frame every guest program of the ABI suite is written in.
 *
 * A program is a list of TESTs; each TEST makes CHECKs about the system-call ABI. Every TEST runs in a child of its own, in
 * an empty directory of its own, under a limit of 20 seconds, so a hang or a crash is one failure. The first failing CHECK
 * (of the test's process or of any process or thread it made) ends the test and is what gets printed.
 *
 *   prog            run all tests       prog -l         list them
 *   prog NAME...    run these           prog -n NAME    run without forking (for debuggers)
 *
 * Output: `ok NAME`, `ok NAME # SKIP reason` or `not ok NAME: file:line expr got X want Y`; last line `N passed, M failed`;
 * exit code 0 only if all passed. HELPERs are functions that a test reaches by executing this program again.
 */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))
#define TEST_LIMIT_SECONDS 20
#define SKIP_STATUS 77
#define PLAIN_UID 1000
#define PLAIN_GID 1000

struct check_test {
	const char *name;
	void (*run)(void);
};
struct check_helper {
	const char *name;
	int (*run)(int argc, char **argv);
};

/* The linker collects pointers to the entries in one section. */
#define TEST(id)                                                                                        \
	static void test_##id(void);                                                                    \
	static const struct check_test entry_##id = {#id, test_##id};                                   \
	__attribute__((used, no_reorder, section("check_tests"))) static const struct check_test *const ptr_##id = &entry_##id; \
	static void test_##id(void)

/* Reached by exec of self_exe with argv[1] = "@id" (up to the first space) or CHECK_HELPER=@id in the environment; the result
 * is the exit code. */
#define HELPER(id)                                                                                      \
	static int helper_##id(int argc, char **argv);                                                  \
	static const struct check_helper hentry_##id = {"@" #id, helper_##id};                          \
	__attribute__((used, no_reorder, section("check_helpers"))) static const struct check_helper *const hptr_##id = &hentry_##id; \
	static int helper_##id(int argc MAYBE_UNUSED, char **argv MAYBE_UNUSED)

extern const struct check_test *const __start_check_tests[] __attribute__((weak));
extern const struct check_test *const __stop_check_tests[] __attribute__((weak));
extern const struct check_helper *const __start_check_helpers[] __attribute__((weak));
extern const struct check_helper *const __stop_check_helpers[] __attribute__((weak));

static const char *check_name = "?"; /* the test that is running */
static int check_report = -1;        /* where a failure is told: a pipe to the parent, -1 without fork */
static char self_exe[PATH_MAX];      /* this program */

/* Tells the harness `text` and ends this process. */
static MAYBE_UNUSED _Noreturn void check_end(int status, const char *text)
{
	char line[2048];
	int n = snprintf(line, sizeof line, "%s\n", text);
	if (check_report >= 0 && write(check_report, line, n) >= 0)
		_exit(status);
	snprintf(line, sizeof line, status == SKIP_STATUS ? "ok %s # SKIP %s\n" : "not ok %s: %s\n", check_name, text);
	if (write(1, line, strlen(line)) < 0)
		_exit(status);
	_exit(status);
}

static MAYBE_UNUSED _Noreturn __attribute__((format(printf, 3, 4))) void check_fail(const char *file, int line, const char *fmt, ...)
{
	char text[1500];
	const char *base = strrchr(file, '/');
	int n = snprintf(text, sizeof text, "%s:%d ", base ? base + 1 : file, line);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof text - n, fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	check_end(1, text);
}

static MAYBE_UNUSED const char *errname(int e)
{
	const char *s = strerrorname_np(e);
	return e == 0 ? "0" : s ? s : "errno?";
}

#define FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(reason) check_end(SKIP_STATUS, reason)

#define CHECK(cond)                                                     \
	do {                                                            \
		if (!(cond))                                            \
			FAIL("%s got false want true", #cond);          \
	} while (0)

#define CHECK_OP(a, op, b)                                                                    \
	do {                                                                                  \
		long long a_ = (long long)(a), b_ = (long long)(b);                           \
		if (!(a_ op b_))                                                              \
			FAIL("%s got %lld (%#llx) want %s %lld (%#llx)", #a, a_, a_, #op, b_, b_); \
	} while (0)
#define CHECK_EQ(a, b) CHECK_OP(a, ==, b)
#define CHECK_NE(a, b) CHECK_OP(a, !=, b)
#define CHECK_GE(a, b) CHECK_OP(a, >=, b)
#define CHECK_GT(a, b) CHECK_OP(a, >, b)
#define CHECK_LE(a, b) CHECK_OP(a, <=, b)
#define CHECK_LT(a, b) CHECK_OP(a, <, b)

#define CHECK_STR(a, b)                                                     \
	do {                                                                \
		const char *a_ = (a), *b_ = (b);                            \
		if (strcmp(a_, b_))                                         \
			FAIL("%s got \"%.300s\" want \"%.300s\"", #a, a_, b_); \
	} while (0)
#define CHECK_MEM(a, b, n)                                                                             \
	do {                                                                                           \
		const unsigned char *a_ = (const void *)(a), *b_ = (const void *)(b);                  \
		for (size_t i_ = 0; i_ < (size_t)(n); i_++)                                            \
			if (a_[i_] != b_[i_])                                                          \
				FAIL("%s[%zu] got %#x want %#x", #a, i_, a_[i_], b_[i_]);              \
	} while (0)
/* The call succeeds; its value is the value of the expression. */
#define CHECK_OK(call)                                                                   \
	({                                                                               \
		__auto_type r_ = (call);                                                 \
		if ((long long)r_ == -1)                                                 \
			FAIL("%s got -1 %s want success", #call, errname(errno));        \
		r_;                                                                      \
	})
#define CHECK_ERRNO(call, want)                                                              \
	do {                                                                                 \
		errno = 0;                                                                   \
		long long r_ = (long long)(call);                                            \
		int e_ = errno;                                                              \
		if (r_ != -1)                                                                \
			FAIL("%s got %lld want -1 %s", #call, r_, errname(want));            \
		if (e_ != (want))                                                            \
			FAIL("%s got -1 %s want %s", #call, errname(e_), errname(want));     \
	} while (0)

/* ---- small things many tests need ---- */

/* An address nothing is ever mapped at, hidden from the compiler. */
static void *volatile bad_address MAYBE_UNUSED = (void *)8;
#define BAD ((void *)bad_address)

static MAYBE_UNUSED long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static MAYBE_UNUSED void msleep(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* fork for tests; should everything go wrong, the child still ends by itself. */
static MAYBE_UNUSED pid_t xfork(void)
{
	pid_t pid = CHECK_OK(fork());
	if (pid == 0)
		alarm(TEST_LIMIT_SECONDS);
	return pid;
}

/* Waits for pid: its exit code, or 1000 + the signal that ended it. */
static MAYBE_UNUSED int wait_exit(pid_t pid)
{
	int st;
	pid_t got;
	while ((got = waitpid(pid, &st, 0)) < 0 && errno == EINTR)
		;
	if (got != pid)
		FAIL("waitpid(%d) got %d %s", pid, got, errname(errno));
	return WIFEXITED(st) ? WEXITSTATUS(st) : 1000 + WTERMSIG(st);
}

/* Runs the following block in a child and wants it to end with exit code 0: CHILD { ... } CHILD_END */
#define CHILD                              \
	do {                               \
		pid_t child_ = xfork();    \
		if (child_ == 0) {
#define CHILD_END                                  \
			_exit(0);                  \
		}                                  \
		CHECK_EQ(wait_exit(child_), 0);    \
	} while (0)

/* Reads fd to its end or to the size of buf, 0-terminates; returns the length. */
static MAYBE_UNUSED ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	while (len < size - 1 && ((n = read(fd, buf + len, size - 1 - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? n : 0;
	buf[len] = 0;
	return len;
}

/* Fills buf with the file (cut to size, 0-terminated); returns the length. */
static MAYBE_UNUSED ssize_t read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t len = read_all(fd, buf, size);
	close(fd);
	return len;
}

static MAYBE_UNUSED void write_file(const char *path, const char *text)
{
	int fd = CHECK_OK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* The state letter of a thread (or process) from /proc, 0 if it is gone. */
static MAYBE_UNUSED char task_state(pid_t tid)
{
	char path[64], buf[512], *p;
	snprintf(path, sizeof path, "/proc/%d/stat", tid);
	if (read_file(path, buf, sizeof buf) <= 0 || !(p = strrchr(buf, ')')))
		return 0;
	return p[2];
}

/* Waits until the thread sleeps, as far as that can be seen from outside; gives up quietly after five seconds. */
static MAYBE_UNUSED void wait_asleep(pid_t tid)
{
	for (int seen = 0, i = 0; i < 500 && seen < 3; i++) {
		msleep(10);
		seen = task_state(tid) == 'S' ? seen + 1 : 0;
	}
}

static MAYBE_UNUSED int is_root(void)
{
	return geteuid() == 0;
}

#define NEED_ROOT()                              \
	do {                                     \
		if (!is_root())                  \
			SKIP("needs root");      \
	} while (0)

/* From here on the caller is an ordinary user; nothing to do if it was one. */
static MAYBE_UNUSED void become_user(void)
{
	if (!is_root())
		return;
	CHECK_OK(syscall(SYS_setgroups, 0, NULL));
	CHECK_OK(setresgid(PLAIN_GID, PLAIN_GID, PLAIN_GID));
	CHECK_OK(setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID));
}

/* ---- the harness ---- */

static volatile pid_t check_child;
static volatile sig_atomic_t check_timed_out;

static void check_on_alarm(int sig MAYBE_UNUSED)
{
	check_timed_out = 1;
	kill(check_child, SIGKILL);
}

static void check_remove_tree(const char *path)
{
	char sub[PATH_MAX];
	struct dirent *e;
	if (unlink(path) == 0 || errno == ENOENT)
		return;
	chmod(path, 0700);
	DIR *d = opendir(path);
	if (d) {
		while ((e = readdir(d)))
			if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
			    snprintf(sub, sizeof sub, "%s/%s", path, e->d_name) < (int)sizeof sub)
				check_remove_tree(sub);
		closedir(d);
	}
	rmdir(path);
}

/* Runs one test in a child; 0 passed, 1 failed, 2 skipped. */
static int check_run(const struct check_test *t, const char *base)
{
	char dir[PATH_MAX], text[2048] = "", line[PATH_MAX];
	int report[2], st = 0;
	pid_t got;
	snprintf(dir, sizeof dir, "%s/%s", base, t->name);
	if (mkdir(dir, 0755) < 0 || pipe2(report, O_CLOEXEC) < 0) {
		snprintf(line, sizeof line, "not ok %s: cannot prepare: %s\n", t->name, errname(errno));
		goto out;
	}
	check_timed_out = 0;
	check_child = fork();
	if (check_child == 0) {
		signal(SIGALRM, SIG_DFL);
		setpgid(0, 0);
		check_name = t->name;
		check_report = fcntl(report[1], F_DUPFD_CLOEXEC, 800);
		close(report[0]);
		close(report[1]);
		if (check_report < 0 || chdir(dir) < 0)
			FAIL("cannot prepare: %s", errname(errno));
		t->run();
		_exit(0);
	}
	alarm(TEST_LIMIT_SECONDS);
	while ((got = waitpid(-1, &st, 0)) != check_child && (got > 0 || errno == EINTR))
		;
	alarm(0);
	kill(-check_child, SIGKILL); /* whatever the test left behind */
	fcntl(report[0], F_SETFL, O_NONBLOCK);
	ssize_t n = read(report[0], text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0; /* what follows the first failure are its consequences */
	close(report[0]);
	close(report[1]);
	if (WIFEXITED(st) && WEXITSTATUS(st) == SKIP_STATUS)
		snprintf(line, sizeof line, "ok %s # SKIP %s\n", t->name, text);
	else if (check_timed_out)
		snprintf(line, sizeof line, "not ok %s: no end after %d seconds\n", t->name, TEST_LIMIT_SECONDS);
	else if (text[0])
		snprintf(line, sizeof line, "not ok %s: %s\n", t->name, text);
	else if (got != check_child || !WIFEXITED(st) || WEXITSTATUS(st) != 0)
		snprintf(line, sizeof line, "not ok %s: ended with wait status %#x\n", t->name, st);
	else
		snprintf(line, sizeof line, "ok %s\n", t->name);
	check_remove_tree(dir);
out:
	if (write(1, line, strlen(line)) < 0)
		return 1;
	return line[0] == 'n' ? 1 : strstr(line, "# SKIP") ? 2 : 0;
}

/* Known state, whatever this was started from: signals default and unblocked, only fds 0-2, stdin empty. */
static void check_clean_start(char *argv0)
{
	sigset_t none;
	unsigned long dfl[4] = {0}; /* the kernel's struct: the C library refuses to touch signals 32 and 33 */
	for (int sig = 1; sig < 65; sig++)
		syscall(SYS_rt_sigaction, sig, dfl, NULL, 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	int null = open("/dev/null", O_RDONLY);
	if (null > 0) {
		dup2(null, 0);
		close(null);
	}
	ssize_t n = readlink("/proc/self/exe", self_exe, sizeof self_exe - 1);
	if (n > 0)
		self_exe[n] = 0;
	else
		snprintf(self_exe, sizeof self_exe, "%s", argv0);
}

static int check_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-' && strcmp(argv[i], name) == 0)
			return 1;
	return argc == 1 || (argc == 2 && argv[1][0] == '-');
}

int main(int argc, char **argv)
{
	char base[PATH_MAX - NAME_MAX], line[64];
	int count[3] = {0}, no_fork = argc > 1 && strcmp(argv[1], "-n") == 0;
	const char *tmp = getenv("TMPDIR");

	const char *helper = argc > 1 && argv[1][0] == '@' ? argv[1] : getenv("CHECK_HELPER");
	if (helper) {
		size_t len = strcspn(helper, " ");
		if (readlink("/proc/self/exe", self_exe, sizeof self_exe - 1) < 0)
			self_exe[0] = 0;
		for (const struct check_helper *const *h = __start_check_helpers; h < __stop_check_helpers; h++)
			if (strlen((*h)->name) == len && memcmp((*h)->name, helper, len) == 0)
				_exit((*h)->run(argc, argv));
		_exit(125);
	}
	if (argc > 1 && strcmp(argv[1], "-l") == 0) {
		for (const struct check_test *const *t = __start_check_tests; t < __stop_check_tests; t++)
			puts((*t)->name);
		return 0;
	}
	check_clean_start(argv[0]);
	snprintf(base, sizeof base, "%s/abi.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(base)) {
		perror(base);
		return 2;
	}
	chmod(base, 0755);
	struct sigaction sa = {.sa_handler = check_on_alarm};
	sigaction(SIGALRM, &sa, NULL);
	for (const struct check_test *const *t = __start_check_tests; t < __stop_check_tests; t++) {
		if (!check_wanted((*t)->name, argc, argv))
			continue;
		if (no_fork) {
			check_name = (*t)->name;
			if (chdir(base) < 0)
				return 2;
			(*t)->run();
			printf("ok %s\n", check_name);
			fflush(stdout);
			count[0]++;
		} else {
			count[check_run(*t, base)]++;
		}
	}
	if (chdir("/") == 0)
		check_remove_tree(base);
	if (count[2]) {
		snprintf(line, sizeof line, "# %d skipped\n", count[2]);
		if (write(1, line, strlen(line)) < 0)
			return 1;
	}
	snprintf(line, sizeof line, "%d passed, %d failed\n", count[0], count[1]);
	if (write(1, line, strlen(line)) < 0)
		return 1;
	return count[1] ? 1 : 0;
}
#endif
