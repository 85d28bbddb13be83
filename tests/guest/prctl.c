/* prctl and arch_prctl, as far as other files do not cover them. */
#include "check.h"
#include <asm/prctl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

TEST(unknown_option)
{
	CHECK_ERRNO(prctl(99999, 0, 0, 0, 0), EINVAL);
}

TEST(name_round_trip)
{
	char name[17] = "", buf[64];
	CHECK_OK(prctl(PR_SET_NAME, "a-very-long-thread-name"));
	CHECK_OK(prctl(PR_GET_NAME, name));
	CHECK_STR(name, "a-very-long-thr");
	CHECK_GT(read_file("/proc/self/comm", buf, sizeof buf), 0);
	CHECK_STR(buf, "a-very-long-thr\n");
	CHECK_ERRNO(prctl(PR_SET_NAME, BAD), EFAULT);
	CHECK_ERRNO(prctl(PR_GET_NAME, BAD), EFAULT);
	write_file("/proc/self/comm", "via-proc");
	CHECK_OK(prctl(PR_GET_NAME, name));
	CHECK_STR(name, "via-proc");
}

static void *thread_name(void *arg)
{
	prctl(PR_SET_NAME, "worker");
	prctl(PR_GET_NAME, arg);
	return NULL;
}

TEST(name_is_per_thread)
{
	char mine[17] = "", its[17] = "";
	pthread_t t;
	CHECK_OK(prctl(PR_SET_NAME, "main"));
	CHECK_EQ(pthread_create(&t, NULL, thread_name, its), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_OK(prctl(PR_GET_NAME, mine));
	CHECK_STR(mine, "main");
	CHECK_STR(its, "worker");
}

TEST(dumpable)
{
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
	CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_DUMPABLE, -1), EINVAL);
	CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
}

TEST(pdeathsig_round_trip)
{
	int sig = -1;
	CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR2));
	CHECK_OK(prctl(PR_GET_PDEATHSIG, &sig));
	CHECK_EQ(sig, SIGUSR2);
	CHILD {
		CHECK_OK(prctl(PR_GET_PDEATHSIG, &sig));
		CHECK_EQ(sig, 0); /* not inherited */
	} CHILD_END;
	CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
	CHECK_ERRNO(prctl(PR_GET_PDEATHSIG, BAD), EFAULT);
}

TEST(timer_slack)
{
	long was = CHECK_OK(prctl(PR_GET_TIMERSLACK));
	CHECK_GT(was, 0);
	CHECK_OK(prctl(PR_SET_TIMERSLACK, 12345));
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 12345);
	CHECK_OK(prctl(PR_SET_TIMERSLACK, 0)); /* back to the default */
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), was);
}

TEST(seccomp_mode_is_readable)
{
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST(tid_address)
{
	int *addr = NULL;
	static int word;
	CHECK_EQ(syscall(SYS_set_tid_address, &word), gettid());
	if (prctl(40 /* PR_GET_TID_ADDRESS */, &addr) < 0)
		SKIP("no PR_GET_TID_ADDRESS");
	CHECK_EQ(addr, &word);
}

TEST(vma_names_are_accepted_or_refused_cleanly)
{
	char *p = CHECK_OK((char *)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	int r = prctl(0x53564d41 /* PR_SET_VMA */, 0, p, 4096, "name");
	CHECK(r == 0 || errno == EINVAL);
}

TEST(arch_prctl_fs_base)
{
	unsigned long fs = 0, self;
	CHECK_OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	__asm__("mov %%fs:0, %0" : "=r"(self));
	CHECK_EQ(fs, self);
	CHECK_OK(syscall(SYS_arch_prctl, ARCH_SET_FS, fs));
	CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, 1UL << 63), EPERM);
	CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_GET_FS, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
}

TEST(arch_prctl_gs_base)
{
	static unsigned long word = 0x1122334455667788;
	unsigned long got = 0, via;
	CHECK_OK(syscall(SYS_arch_prctl, ARCH_SET_GS, &word));
	CHECK_OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &got));
	CHECK_EQ(got, &word);
	__asm__ volatile("mov %%gs:0, %0" : "=r"(via));
	CHECK_EQ(via, 0x1122334455667788);
	for (int i = 0; i < 100; i++) { /* kept over many calls */
		getppid();
		__asm__ volatile("mov %%gs:0, %0" : "=r"(via));
		CHECK_EQ(via, 0x1122334455667788);
	}
	CHILD {
		__asm__ volatile("mov %%gs:0, %0" : "=r"(via));
		CHECK_EQ(via, 0x1122334455667788);
	} CHILD_END;
}

TEST(gs_base_set_after_many_calls)
{
	static unsigned long words[1000] = {0x1122334455667788};
	unsigned long via;
	for (int i = 0; i < 100; i++) {
		getppid();
		syscall(SYS_umask, 022);
		lseek(-1, 0, 0);
	}
	CHECK_OK(syscall(SYS_arch_prctl, ARCH_SET_GS, words));
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(getppid(), syscall(SYS_getppid));
		CHECK_EQ(syscall(SYS_umask, 022), 022);
		CHECK_ERRNO(lseek(-1, 0, 0), EBADF);
		__asm__ volatile("mov %%gs:0, %0" : "=r"(via));
		CHECK_EQ(via, 0x1122334455667788);
	}
	CHECK_EQ(words[45], 0);
}

/* ---- seccomp, for programs that sandbox themselves ---- */

static long load(struct sock_filter *f, int n)
{
	struct sock_fprog prog = {n, f};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static volatile int sys_nr, sys_code;

static void on_sys(int sig MAYBE_UNUSED, siginfo_t *si, void *uc MAYBE_UNUSED)
{
	sys_nr = si->si_syscall;
	sys_code = si->si_code;
}

TEST(seccomp_filter_errno_and_trap)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | 5),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	pid_t pid = xfork();
	if (pid == 0) {
		struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
		sigaction(SIGSYS, &sa, NULL);
		CHECK_OK(load(f, sizeof f / sizeof *f));
		CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
		CHECK_ERRNO(syscall(SYS_getppid), 77);
		syscall(SYS_getpgrp);
		CHECK_EQ(sys_nr, SYS_getpgrp);
		CHECK_EQ(sys_code, 1 /* SYS_SECCOMP */);
		CHILD {
			CHECK_ERRNO(syscall(SYS_getppid), 77); /* inherited */
		} CHILD_END;
		syscall(SYS_getuid);
		_exit(1);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGSYS);
}

TEST(seccomp_strict)
{
	pid_t pid = xfork();
	if (pid == 0) {
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		if (write(check_report, "", 0) != 0)
			syscall(SYS_exit, 1);
		syscall(SYS_exit, 33);
	}
	CHECK_EQ(wait_exit(pid), 33);
	pid = xfork();
	if (pid == 0) {
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		syscall(SYS_getpid);
		syscall(SYS_exit, 1);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(seccomp_errors)
{
	struct sock_filter ok[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}, bad[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 3)};
	struct sock_fprog prog = {1, ok};
	CHILD {
		become_user();
		CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), EACCES); /* without no_new_privs */
		CHECK_ERRNO(load(bad, 1), EINVAL);
		CHECK_ERRNO(load(ok, 0), EINVAL);
		CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, BAD), EFAULT);
		CHECK_OK(load(ok, 1));
		CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
	} CHILD_END;
}
