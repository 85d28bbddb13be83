/* clone, clone3, fork, vfork: what a child shares, what it copies, what is refused. */
#include "check.h"
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

static volatile int shared_word;

static char *new_stack(void)
{
	char *s = CHECK_OK(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	return s + 65536;
}

static pid_t raw_clone(unsigned long flags)
{
	return syscall(SYS_clone, flags, 0, NULL, NULL, 0);
}

static long clone3(struct clone_args *a, size_t size)
{
	return syscall(SYS_clone3, a, size);
}

TEST(fork_returns_child_pid)
{
	int p[2];
	pid_t seen = 0;
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		seen = getpid();
		CHECK_EQ(write(p[1], &seen, sizeof seen), sizeof seen);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &seen, sizeof seen), sizeof seen);
	CHECK_EQ(seen, pid);
	CHECK_NE(pid, getpid());
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(fork_child_sees_parent_pid)
{
	pid_t me = getpid();
	CHILD {
		CHECK_EQ(getppid(), me);
	} CHILD_END;
}

TEST(fork_memory_is_private)
{
	int local = 1;
	shared_word = 1;
	CHILD {
		CHECK_EQ(shared_word, 1);
		shared_word = 2;
		*(volatile int *)&local = 2;
	} CHILD_END;
	CHECK_EQ(shared_word, 1);
	CHECK_EQ(local, 1);
}

TEST(fork_parent_write_not_seen_by_child)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	shared_word = 1;
	pid_t pid = xfork();
	if (pid == 0) {
		CHECK_EQ(read(p[0], &c, 1), 1);
		CHECK_EQ(shared_word, 1);
		_exit(0);
	}
	shared_word = 7;
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(fork_file_offset_is_shared)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_EQ(write(fd, "0123456789", 10), 10);
	CHILD {
		CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
	} CHILD_END;
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
}

TEST(fork_fd_table_is_copied)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHILD {
		CHECK_OK(close(fd));
	} CHILD_END;
	CHECK_OK(fcntl(fd, F_GETFD));
	CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
	CHILD {
		CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
		CHECK_OK(fcntl(fd, F_SETFD, 0));
	} CHILD_END;
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

TEST(fork_copies_cwd_umask)
{
	CHECK_OK(mkdir("d", 0700));
	umask(027);
	CHILD {
		CHECK_EQ(umask(0), 027);
		CHECK_OK(chdir("d"));
	} CHILD_END;
	CHECK_EQ(umask(022), 027);
	CHECK_OK(access("d", F_OK));
}

TEST(fork_clears_timers)
{
	struct itimerval it = {{0, 0}, {100, 0}}, got;
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	pid_t pid = CHECK_OK(fork());
	if (pid == 0) {
		CHECK_OK(getitimer(ITIMER_REAL, &got));
		CHECK_EQ(got.it_value.tv_sec, 0);
		CHECK_EQ(got.it_value.tv_usec, 0);
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_OK(getitimer(ITIMER_REAL, &got));
	CHECK_GT(got.it_value.tv_sec, 0);
}

TEST(fork_clears_alarm)
{
	alarm(100);
	pid_t pid = CHECK_OK(fork());
	if (pid == 0) {
		CHECK_EQ(alarm(0), 0);
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_GT(alarm(0), 50);
}

TEST(fork_resets_rusage)
{
	struct rusage ru;
	for (volatile long i = 0; i < 100000000; i++)
		;
	CHILD {
		CHECK_OK(getrusage(RUSAGE_SELF, &ru));
		CHECK_LT(ru.ru_utime.tv_sec * 1000000L + ru.ru_utime.tv_usec, 50000);
		CHECK_OK(getrusage(RUSAGE_CHILDREN, &ru));
		CHECK_EQ(ru.ru_utime.tv_sec + ru.ru_utime.tv_usec, 0);
	} CHILD_END;
}

TEST(fork_keeps_session_and_group)
{
	pid_t group = getpgrp(), sid = getsid(0);
	CHILD {
		CHECK_EQ(getpgrp(), group);
		CHECK_EQ(getsid(0), sid);
	} CHILD_END;
}

TEST(fork_of_many_generations)
{
	int depth = 0;
	pid_t pid;
	while (depth < 20 && (pid = xfork()) == 0)
		depth++;
	if (depth == 20)
		_exit(20);
	int code = wait_exit(pid);
	CHECK_EQ(code, 20);
	if (depth > 0)
		_exit(code);
}

TEST(fork_fifty_children)
{
	pid_t pids[50];
	for (int i = 0; i < 50; i++)
		if ((pids[i] = xfork()) == 0)
			_exit(i);
	for (int i = 0; i < 50; i++)
		for (int j = 0; j < i; j++)
			CHECK_NE(pids[i], pids[j]);
	for (int i = 49; i >= 0; i--)
		CHECK_EQ(wait_exit(pids[i]), i);
}

TEST(vfork_shares_memory_and_suspends_parent)
{
	shared_word = 0;
	pid_t pid = vfork();
	if (pid == 0) {
		msleep(100);
		shared_word = 5;
		_exit(3);
	}
	CHECK_GT(pid, 0);
	CHECK_EQ(shared_word, 5);
	CHECK_EQ(wait_exit(pid), 3);
}

HELPER(sleep_then_exit)
{
	msleep(200);
	return 4;
}

TEST(vfork_parent_resumes_at_exec)
{
	char *args[] = {self_exe, "@sleep_then_exit", NULL};
	int st;
	pid_t pid = vfork();
	if (pid == 0) {
		execv(self_exe, args);
		_exit(99);
	}
	CHECK_GT(pid, 0);
	CHECK_EQ(waitpid(pid, &st, WNOHANG), 0);
	CHECK_EQ(wait_exit(pid), 4);
}

TEST(vfork_failed_exec_stays_in_child)
{
	int st;
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/nonexistent/file", "x", NULL);
		_exit(errno);
	}
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK_EQ(WEXITSTATUS(st), ENOENT);
}

TEST(vfork_fd_table_is_own)
{
	int fd = CHECK_OK(dup(0));
	pid_t pid = vfork();
	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_OK(fcntl(fd, F_GETFD));
}

TEST(vfork_child_killed_releases_parent)
{
	pid_t pid = vfork();
	if (pid == 0) {
		kill(getpid(), SIGKILL);
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

static int set_word_and_exit(void *arg)
{
	shared_word = (int)(long)arg;
	return 9;
}

TEST(clone_vm_shares_memory)
{
	shared_word = 0;
	pid_t pid = CHECK_OK(clone(set_word_and_exit, new_stack(), CLONE_VM | SIGCHLD, (void *)42));
	CHECK_EQ(wait_exit(pid), 9);
	CHECK_EQ(shared_word, 42);
}

TEST(clone_without_vm_copies_memory)
{
	shared_word = 0;
	pid_t pid = CHECK_OK(clone(set_word_and_exit, new_stack(), SIGCHLD, (void *)42));
	CHECK_EQ(wait_exit(pid), 9);
	CHECK_EQ(shared_word, 0);
}

static int open_a_file(void *arg)
{
	*(int *)arg = open("f", O_RDONLY | O_CREAT, 0600);
	return 0;
}

TEST(clone_files_shares_table)
{
	int fd = -1;
	pid_t pid = CHECK_OK(clone(open_a_file, new_stack(), CLONE_VM | CLONE_FILES | SIGCHLD, &fd));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_GE(fd, 0);
	CHECK_OK(fcntl(fd, F_GETFD));
}

TEST(clone_without_files_copies_table)
{
	int fd = -1;
	pid_t pid = CHECK_OK(clone(open_a_file, new_stack(), CLONE_VM | SIGCHLD, &fd));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_GE(fd, 0);
	CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);
}

static int change_fs(void *arg MAYBE_UNUSED)
{
	umask(077);
	return chdir("d");
}

TEST(clone_fs_shares_cwd_and_umask)
{
	char cwd[PATH_MAX];
	CHECK_OK(mkdir("d", 0700));
	pid_t pid = CHECK_OK(clone(change_fs, new_stack(), CLONE_FS | SIGCHLD, NULL));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK(getcwd(cwd, sizeof cwd));
	CHECK_STR(strrchr(cwd, '/'), "/d");
	CHECK_EQ(umask(022), 077);
}

static void handler_a(int sig MAYBE_UNUSED)
{
}

static int set_handler(void *arg MAYBE_UNUSED)
{
	signal(SIGUSR1, handler_a);
	return 0;
}

TEST(clone_sighand_shares_handlers)
{
	struct sigaction sa;
	pid_t pid = CHECK_OK(clone(set_handler, new_stack(), CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_OK(sigaction(SIGUSR1, NULL, &sa));
	CHECK(sa.sa_handler == handler_a);
}

TEST(clone_without_sighand_copies_handlers)
{
	struct sigaction sa;
	pid_t pid = CHECK_OK(clone(set_handler, new_stack(), CLONE_VM | SIGCHLD, NULL));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_OK(sigaction(SIGUSR1, NULL, &sa));
	CHECK(sa.sa_handler == SIG_DFL);
}

TEST(clone_sighand_needs_vm)
{
	CHECK_ERRNO(raw_clone(CLONE_SIGHAND | SIGCHLD), EINVAL);
}

TEST(clone_thread_needs_sighand)
{
	CHECK_ERRNO(raw_clone(CLONE_THREAD | CLONE_VM | SIGCHLD), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_THREAD | SIGCHLD), EINVAL);
}

TEST(clone_newns_with_fs_is_einval)
{
	CHECK_ERRNO(raw_clone(CLONE_NEWNS | CLONE_FS | SIGCHLD), EINVAL);
}

TEST(clone_newuser_with_fs_is_einval)
{
	CHECK_ERRNO(raw_clone(CLONE_NEWUSER | CLONE_FS | SIGCHLD), EINVAL);
}

TEST(clone_pidfd_and_parent_settid_is_einval)
{
	int word;
	CHECK_ERRNO(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &word, NULL, 0), EINVAL);
}

TEST(clone_parent_settid)
{
	pid_t word = 0;
	pid_t pid = CHECK_OK(syscall(SYS_clone, CLONE_PARENT_SETTID | SIGCHLD, 0, &word, NULL, 0));
	if (pid == 0)
		_exit(0);
	CHECK_EQ(word, pid);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(clone_child_settid)
{
	static pid_t word;
	pid_t pid = CHECK_OK(syscall(SYS_clone, CLONE_CHILD_SETTID | SIGCHLD, 0, NULL, &word, 0));
	if (pid == 0)
		_exit(word == (pid_t)syscall(SYS_getpid) ? 0 : 1);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(word, 0);
}

TEST(clone_parent_flag_makes_sibling)
{
	pid_t me = getpid();
	int p[2];
	pid_t inner = 0;
	CHECK_OK(pipe(p));
	pid_t outer = xfork();
	if (outer == 0) {
		inner = CHECK_OK(raw_clone(CLONE_PARENT | SIGCHLD));
		if (inner == 0)
			_exit((pid_t)syscall(SYS_getppid) == me ? 11 : 1);
		CHECK_EQ(write(p[1], &inner, sizeof inner), sizeof inner);
		CHECK_ERRNO(waitpid(inner, NULL, 0), ECHILD);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &inner, sizeof inner), sizeof inner);
	CHECK_EQ(wait_exit(outer), 0);
	CHECK_EQ(wait_exit(inner), 11);
}

static volatile sig_atomic_t got_signal, got_chld;

static void count_usr1(int sig MAYBE_UNUSED)
{
	got_signal++;
}

static void count_chld(int sig MAYBE_UNUSED)
{
	got_chld++;
}

TEST(clone_exit_signal_is_delivered)
{
	int st;
	signal(SIGUSR1, count_usr1);
	signal(SIGCHLD, count_chld);
	pid_t pid = CHECK_OK(raw_clone(SIGUSR1));
	if (pid == 0)
		_exit(6);
	while (waitpid(pid, &st, __WCLONE) != pid)
		CHECK(errno == EINTR);
	CHECK_EQ(WEXITSTATUS(st), 6);
	CHECK_EQ(got_signal, 1);
	CHECK_EQ(got_chld, 0);
}

TEST(clone_child_needs_wclone_or_wall)
{
	int st;
	pid_t pid = CHECK_OK(raw_clone(0));
	if (pid == 0)
		_exit(6);
	CHECK_ERRNO(waitpid(pid, &st, 0), ECHILD);
	CHECK_EQ(waitpid(pid, &st, __WALL), pid);
	CHECK_EQ(WEXITSTATUS(st), 6);
}

TEST(clone_vfork_suspends_parent)
{
	shared_word = 0;
	long long t = now_ms();
	pid_t pid = CHECK_OK(raw_clone(CLONE_VFORK | SIGCHLD));
	if (pid == 0) {
		msleep(150);
		_exit(0);
	}
	CHECK_GE(now_ms() - t, 140);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(clone_pidfd)
{
	int fd = -1;
	pid_t pid = CHECK_OK(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, NULL, 0));
	if (pid == 0) {
		pause();
		_exit(0);
	}
	CHECK_GE(fd, 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	CHECK_EQ(wait_exit(pid), 1000 + SIGTERM);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
}

TEST(clone3_basic)
{
	struct clone_args a = {.exit_signal = SIGCHLD};
	pid_t pid = CHECK_OK(clone3(&a, sizeof a));
	if (pid == 0)
		_exit(8);
	CHECK_EQ(wait_exit(pid), 8);
}

TEST(pidfd_that_cannot_be_stored_is_efault)
{
	int next = CHECK_OK(dup(0));
	close(next);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, BAD, NULL, 0), EFAULT);
	CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
	CHECK_EQ(dup(0), next); /* the descriptor was given back */
	close(next);
}

TEST(clone3_parent_tid_and_pidfd_together)
{
	pid_t tid = 0;
	int fd = -1;
	struct clone_args a = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .pidfd = (uintptr_t)&fd, .parent_tid = (uintptr_t)&tid, .exit_signal = SIGCHLD};
	pid_t pid = CHECK_OK(clone3(&a, sizeof a));
	if (pid == 0)
		_exit(8);
	CHECK_EQ(tid, pid);
	CHECK_GE(fd, 0);
	CHECK_EQ(wait_exit(pid), 8);
}

TEST(clone3_size_rules)
{
	struct {
		struct clone_args a;
		char more[64];
	} big = {.a = {.exit_signal = SIGCHLD}};
	CHECK_ERRNO(clone3(&big.a, 0), EINVAL);
	CHECK_ERRNO(clone3(&big.a, CLONE_ARGS_SIZE_VER0 - 1), EINVAL);
	CHECK_ERRNO(clone3(&big.a, 1 << 20), E2BIG);
	big.more[0] = 1;
	CHECK_ERRNO(clone3(&big.a, sizeof big), E2BIG);
	big.more[0] = 0;
	pid_t pid = CHECK_OK(clone3(&big.a, sizeof big));
	if (pid == 0)
		_exit(0);
	CHECK_EQ(wait_exit(pid), 0);
	pid = CHECK_OK(clone3(&big.a, CLONE_ARGS_SIZE_VER0));
	if (pid == 0)
		_exit(0);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(clone3_bad_arguments)
{
	struct clone_args a = {.exit_signal = 65};
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a = (struct clone_args){.exit_signal = SIGCHLD, .stack_size = 4096};
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a = (struct clone_args){.exit_signal = SIGCHLD, .stack = (uintptr_t)&a};
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a = (struct clone_args){.exit_signal = SIGCHLD, .flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM};
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a = (struct clone_args){.exit_signal = SIGCHLD, .flags = CLONE_DETACHED};
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	a = (struct clone_args){.exit_signal = SIGCHLD, .flags = 1ULL << 60};
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
	CHECK_ERRNO(clone3((void *)8, sizeof a), EFAULT);
}

TEST(clone3_clear_sighand)
{
	struct sigaction sa;
	struct clone_args a = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
	signal(SIGUSR1, handler_a);
	signal(SIGUSR2, SIG_IGN);
	pid_t pid = CHECK_OK(clone3(&a, sizeof a));
	if (pid == 0) {
		CHECK_OK(sigaction(SIGUSR1, NULL, &sa));
		CHECK(sa.sa_handler == SIG_DFL);
		CHECK_OK(sigaction(SIGUSR2, NULL, &sa));
		CHECK(sa.sa_handler == SIG_IGN);
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 0);
	a.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM;
	CHECK_ERRNO(clone3(&a, sizeof a), EINVAL);
}

TEST(clone_keeps_signal_mask_and_handlers)
{
	sigset_t set, got;
	struct sigaction sa;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	signal(SIGUSR1, handler_a);
	CHILD {
		CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &got));
		CHECK(sigismember(&got, SIGUSR2) == 1);
		CHECK_OK(sigaction(SIGUSR1, NULL, &sa));
		CHECK(sa.sa_handler == handler_a);
	} CHILD_END;
}

TEST(unshare_files_and_fs)
{
	CHECK_OK(unshare(CLONE_FILES));
	CHECK_OK(unshare(CLONE_FS));
	CHECK_OK(unshare(0));
	CHECK_ERRNO(unshare(CLONE_PARENT), EINVAL);
}

static int unshare_then_close(void *arg)
{
	if (unshare(CLONE_FILES) < 0)
		return 1;
	return close(*(int *)arg) < 0;
}

TEST(unshare_files_splits_a_shared_table)
{
	int fd = CHECK_OK(dup(0));
	pid_t pid = CHECK_OK(clone(unshare_then_close, new_stack(), CLONE_FILES | SIGCHLD, &fd));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_OK(fcntl(fd, F_GETFD));
}

TEST(getpid_after_raw_clone)
{
	pid_t pid = CHECK_OK(raw_clone(SIGCHLD));
	if (pid == 0)
		_exit(syscall(SYS_getpid) == syscall(SYS_gettid) ? 0 : 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(fork_preserves_registers_and_stack)
{
	register long a __asm__("r12") = 0x1234567812345678;
	register long b __asm__("r15") = 0x0fedcba987654321;
	register long ret __asm__("rax") = SYS_fork;
	__asm__ volatile("syscall" : "+r"(ret), "+r"(a), "+r"(b) : : "rcx", "r11", "memory");
	long pid = ret, x = a, y = b;
	if (pid == 0)
		_exit(x == 0x1234567812345678 && y == 0x0fedcba987654321 ? 0 : 1);
	CHECK_EQ(x, 0x1234567812345678);
	CHECK_EQ(y, 0x0fedcba987654321);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(fork_preserves_vector_registers)
{
	long in[2] = {0x1122334455667788, -0x1122334455667788}, out[2] = {0, 0};
	long pid;
	__asm__ volatile("movdqu %2, %%xmm7\n\tsyscall\n\tmovdqu %%xmm7, %1"
			 : "=a"(pid), "=m"(out)
			 : "m"(in), "0"(SYS_fork)
			 : "rcx", "r11", "xmm7", "memory");
	if (pid == 0)
		_exit(memcmp(in, out, sizeof in) ? 1 : 0);
	CHECK_MEM(out, in, sizeof in);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(nproc_limit_gives_eagain)
{
	struct rlimit r = {1, 1};
	become_user();
	CHILD {
		CHECK_OK(setrlimit(RLIMIT_NPROC, &r));
		CHECK_ERRNO(fork(), EAGAIN);
	} CHILD_END;
}
