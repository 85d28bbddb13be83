/* seccomp(2): filters, their actions, inheritance and rules. */
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <ucontext.h>

#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ON(call, action)                                             \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1),       \
	BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LEN(f) (sizeof(f) / sizeof *(f))

static long seccomp(unsigned op, unsigned flags, void *args)
{
	return syscall(SYS_seccomp, op, flags, args);
}

static long add(struct sock_filter *f, int n, unsigned flags)
{
	struct sock_fprog prog = {n, f};
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return seccomp(SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static void status_line(const char *name, char *out, size_t size)
{
	char buf[8192], *p;
	CHECK_GT(read_file("/proc/thread-self/status", buf, sizeof buf), 0);
	CHECK((p = strstr(buf, name)) != NULL);
	snprintf(out, size, "%.*s", (int)strcspn(p, "\n"), p);
}

TEST(arguments_are_checked_in_order)
{
	unsigned action = SECCOMP_RET_TRAP;
	struct sock_filter f[] = {ALLOW};
	struct sock_fprog prog = {1, f}, none = {0, f}, bad = {1, BAD}, big = {4097, f};
	CHECK_ERRNO(seccomp(99, 0, NULL), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 0, &prog), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 1 << 20, &prog), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, BAD), EFAULT);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &none), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &big), EINVAL);
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &bad), EFAULT);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, 3, NULL), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, 0, NULL), EINVAL);
	CHECK_OK(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action));
	action = 0x12345678;
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action), EOPNOTSUPP);
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &action), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, BAD), EFAULT);
	struct seccomp_notif_sizes sizes = {0};
	CHECK_OK(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
	CHECK_EQ(sizes.seccomp_notif, sizeof(struct seccomp_notif));
	CHECK_EQ(sizes.seccomp_notif_resp, sizeof(struct seccomp_notif_resp));
	CHECK_EQ(sizes.seccomp_data, sizeof(struct seccomp_data));
}

TEST(needs_no_new_privs)
{
	struct sock_filter f[] = {ALLOW};
	struct sock_fprog prog = {1, f};
	become_user();
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &prog), EACCES);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), EACCES);
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_OK(seccomp(SECCOMP_SET_MODE_FILTER, 0, &prog));
}

TEST(bad_programs)
{
	struct sock_filter bad[][2] = {
		{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), ALLOW},
		{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), ALLOW},
		{BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), ALLOW},
		{BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), ALLOW},
		{BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), ALLOW},
		{BPF_STMT(BPF_ALU | 0x90 | BPF_K, 3), ALLOW}, /* MOD */
		{BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), ALLOW},
		{BPF_STMT(BPF_LD | BPF_MEM, 0), ALLOW},
		{BPF_STMT(BPF_ST, 16), ALLOW},
		{BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), ALLOW},
		{BPF_STMT(BPF_JMP | BPF_JA, 1), ALLOW},
		{ALLOW, NR},
	};
	for (unsigned i = 0; i < LEN(bad); i++)
		CHECK_ERRNO(add(bad[i], 2, 0), EINVAL);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST(errno_action)
{
	struct sock_filter f[] = {NR, ON(getppid, SECCOMP_RET_ERRNO | 0), ON(getuid, SECCOMP_RET_ERRNO | EXDEV),
				  ON(getgid, SECCOMP_RET_ERRNO | 0xffff), ALLOW};
	CHECK_OK(add(f, LEN(f), 0));
	CHECK_EQ(syscall(SYS_getppid), 0);
	CHECK_ERRNO(syscall(SYS_getuid), EXDEV);
	CHECK_ERRNO(syscall(SYS_getgid), 4095);
	for (int i = 0; i < 2000; i++) /* however the call is made, often or rarely */
		CHECK_ERRNO(syscall(SYS_getuid), EXDEV);
}

TEST(a_site_that_was_used_often_obeys_a_new_filter)
{
	struct sock_filter f[] = {NR, ON(getppid, SECCOMP_RET_ERRNO | EXDEV), ON(mmap, SECCOMP_RET_ERRNO | ENOTTY),
				  ON(futex, SECCOMP_RET_ERRNO | EDOM), ON(clock_gettime, SECCOMP_RET_ERRNO | EDOM), ALLOW};
	int word = 0;
	struct timespec t;
	for (int i = 0; i < 2000; i++) {
		CHECK_GT(syscall(SYS_getppid), 0);
		CHECK_EQ(syscall(SYS_futex, &word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0), 0);
		CHECK_OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
	}
	CHECK_OK(add(f, LEN(f), 0));
	CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
	CHECK_ERRNO(syscall(SYS_futex, &word, 1, 1, NULL, NULL, 0), EDOM);
	CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t), EDOM);
	CHECK_ERRNO(syscall(SYS_mmap, 0, 4096, 0, 0, -1, 0), ENOTTY);
}

static volatile siginfo_t seen;
static volatile long seen_rax, seen_arg;

static void on_sys(int sig MAYBE_UNUSED, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	memcpy((void *)&seen, si, sizeof seen);
	seen_rax = uc->uc_mcontext.gregs[REG_RAX];
	seen_arg = uc->uc_mcontext.gregs[REG_RDI];
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
}

TEST(trap_action)
{
	struct sock_filter f[] = {NR, ON(getpgid, SECCOMP_RET_TRAP | 0xabcd), ALLOW};
	struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
	CHECK_OK(sigaction(SIGSYS, &sa, NULL));
	CHECK_OK(add(f, LEN(f), 0));
	CHECK_EQ(syscall(SYS_getpgid, 1234), 4711); /* the handler's answer */
	CHECK_EQ(seen.si_signo, SIGSYS);
	CHECK_EQ(seen.si_code, 1 /* SYS_SECCOMP */);
	CHECK_EQ(seen.si_errno, 0xabcd);
	CHECK_EQ(seen.si_syscall, SYS_getpgid);
	CHECK_EQ(seen.si_arch, AUDIT_ARCH_X86_64);
	CHECK(seen.si_call_addr != NULL);
	CHECK_EQ(seen_rax, SYS_getpgid);
	CHECK_EQ(seen_arg, 1234);
	/* Blocked or ignored, it kills. */
	for (int way = 0; way < 2; way++) {
		pid_t pid = xfork();
		if (pid == 0) {
			sigset_t set;
			sigemptyset(&set);
			sigaddset(&set, SIGSYS);
			if (way)
				signal(SIGSYS, SIG_IGN);
			else
				sigprocmask(SIG_BLOCK, &set, NULL);
			syscall(SYS_getpgid, 0);
			_exit(0);
		}
		CHECK_EQ(wait_exit(pid), 1000 + SIGSYS);
	}
}

TEST(kill_process_and_unknown_actions)
{
	unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, 0x12340000};
	for (unsigned i = 0; i < LEN(actions); i++) {
		pid_t pid = xfork();
		if (pid == 0) {
			struct sock_filter f[] = {NR, ON(getppid, actions[i]), ALLOW};
			CHECK_OK(add(f, LEN(f), 0));
			syscall(SYS_getppid);
			_exit(0);
		}
		CHECK_EQ(wait_exit(pid), 1000 + SIGSYS);
	}
}

static void *killed_thread(void *arg)
{
	struct sock_filter f[] = {NR, ON(getppid, SECCOMP_RET_KILL_THREAD), ALLOW};
	add(f, LEN(f), 0);
	syscall(SYS_getppid);
	*(int *)arg = 1;
	return NULL;
}

TEST(kill_thread_leaves_the_others)
{
	int survived = 0;
	pthread_t t;
	CHECK_EQ(pthread_create(&t, NULL, killed_thread, &survived), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(survived, 0);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK_GT(syscall(SYS_getppid), 0);
}

TEST(trace_without_a_tracer_and_log)
{
	struct sock_filter f[] = {NR, ON(getppid, SECCOMP_RET_TRACE | 5), ON(getuid, SECCOMP_RET_LOG),
				  ON(getgid, SECCOMP_RET_USER_NOTIF), ALLOW};
	CHECK_OK(add(f, LEN(f), SECCOMP_FILTER_FLAG_LOG));
	CHECK_ERRNO(syscall(SYS_getppid), ENOSYS);
	CHECK_EQ(syscall(SYS_getuid), getuid());
	CHECK_ERRNO(syscall(SYS_getgid), ENOSYS);
}

TEST(the_strictest_filter_wins_and_the_newest_among_equals)
{
	struct sock_filter a[] = {NR, ON(getppid, SECCOMP_RET_ERRNO | 11), ON(getuid, SECCOMP_RET_ERRNO | 12), ALLOW};
	struct sock_filter b[] = {NR, ON(getppid, SECCOMP_RET_ERRNO | 21), ON(getuid, SECCOMP_RET_LOG),
				  ON(getgid, SECCOMP_RET_TRACE), ALLOW};
	char line[64];
	CHECK_OK(add(a, LEN(a), 0));
	CHECK_OK(add(b, LEN(b), SECCOMP_FILTER_FLAG_SPEC_ALLOW));
	CHECK_ERRNO(syscall(SYS_getppid), 21);
	CHECK_ERRNO(syscall(SYS_getuid), 12);
	CHECK_ERRNO(syscall(SYS_getgid), ENOSYS);
	status_line("Seccomp:", line, sizeof line);
	CHECK_STR(line, "Seccomp:\t2");
	status_line("Seccomp_filters:", line, sizeof line);
	CHECK_STR(line, "Seccomp_filters:\t2");
	status_line("NoNewPrivs:", line, sizeof line);
	CHECK_STR(line, "NoNewPrivs:\t1");
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL), EINVAL);
}

TEST(filters_see_arguments_and_architecture)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		NR,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x11, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x80000000, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 42),
		ALLOW,
	};
	CHECK_OK(add(f, LEN(f), 0));
	CHECK_ERRNO(syscall(SYS_lseek, -1, 0x1180000000, 0), 42);
	CHECK_ERRNO(syscall(SYS_lseek, -1, 0x1170000000, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_lseek, -1, 0x1280000000, 0), EBADF);
}

HELPER(getppid_fails)
{
	return syscall(SYS_getppid) == -1 && errno == EXDEV ? 0 : 1;
}

TEST(inherited_by_fork_threads_and_exec)
{
	struct sock_filter f[] = {NR, ON(getppid, SECCOMP_RET_ERRNO | EXDEV), ALLOW};
	CHECK_OK(add(f, LEN(f), 0));
	CHILD {
		CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
		execl(self_exe, self_exe, "@getppid_fails", NULL);
		_exit(9);
	} CHILD_END;
}

static pthread_barrier_t gate;

static void *synced_thread(void *arg)
{
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	*(int *)arg = syscall(SYS_getppid) == -1 ? errno : 0;
	pthread_barrier_wait(&gate);
	return NULL;
}

TEST(tsync_reaches_all_threads)
{
	struct sock_filter f[] = {NR, ON(getppid, SECCOMP_RET_ERRNO | EXDEV), ALLOW};
	pthread_t t[3];
	int errors[3] = {0};
	pthread_barrier_init(&gate, NULL, 4);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, synced_thread, &errors[i]), 0);
	pthread_barrier_wait(&gate);
	CHECK_EQ(add(f, LEN(f), SECCOMP_FILTER_FLAG_TSYNC), 0);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(errors[i], EXDEV);
}

static volatile pid_t other_tid;

static void *diverging_thread(void *arg MAYBE_UNUSED)
{
	struct sock_filter f[] = {ALLOW};
	other_tid = gettid();
	add(f, LEN(f), 0);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	return NULL;
}

TEST(tsync_refuses_a_thread_with_filters_of_its_own)
{
	struct sock_filter f[] = {NR, ON(getppid, SECCOMP_RET_ERRNO | EXDEV), ALLOW};
	pthread_t t;
	pthread_barrier_init(&gate, NULL, 2);
	CHECK_EQ(pthread_create(&t, NULL, diverging_thread, NULL), 0);
	pthread_barrier_wait(&gate);
	CHECK_EQ(add(f, LEN(f), SECCOMP_FILTER_FLAG_TSYNC), other_tid);
	CHECK_ERRNO(add(f, LEN(f), SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH), ESRCH);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK_GT(syscall(SYS_getppid), 0);
	pthread_barrier_wait(&gate);
	CHECK_EQ(pthread_join(t, NULL), 0);
}

TEST(filters_are_limited_in_length)
{
	static struct sock_filter f[4096];
	int n = 0;
	for (int i = 0; i < 4096; i++)
		f[i] = (struct sock_filter)ALLOW;
	while (add(f, 4096, 0) == 0)
		n++;
	CHECK_EQ(errno, ENOMEM);
	CHECK(n >= 3 && n <= 7); /* Linux counts what it makes of the instructions */
}

TEST(strict_mode_leaves_four_calls)
{
	int fd[2];
	char byte;
	CHECK_OK(pipe(fd));
	pid_t pid = xfork();
	if (pid == 0) {
		alarm(0);
		CHECK_OK(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL));
		if (write(fd[1], "x", 1) == 1 && read(fd[0], &byte, 1) == 1)
			syscall(SYS_exit, 7);
		syscall(SYS_exit, 1);
	}
	CHECK_EQ(wait_exit(pid), 7);
	pid = xfork();
	if (pid == 0) {
		CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
		syscall(SYS_getpid);
		syscall(SYS_exit, 1);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}
