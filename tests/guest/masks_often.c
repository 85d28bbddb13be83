/* Masks, actions and robust lists that a program changes again and again: who looks at them must see the last change, and signals must
 * come when they may and never before. */
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/user.h>

#define OFTEN 300

typedef unsigned long long mask_t;

#define BIT(sig) (1ULL << ((sig)-1))

static long change(int how, const void *set, void *old)
{
	return syscall(SYS_rt_sigprocmask, how, set, old, 8);
}

static mask_t now_blocked(void)
{
	mask_t old = 0;
	CHECK_OK(change(SIG_BLOCK, NULL, &old));
	return old;
}

static mask_t set_mask(mask_t mask)
{
	mask_t old = 0;
	CHECK_OK(change(SIG_SETMASK, &mask, &old));
	return old;
}

/* Enough for whatever learns from being asked. Leaves `mask`. */
static void toggle(mask_t mask)
{
	mask_t usr2 = BIT(SIGUSR2), old;
	for (int i = 0; i < OFTEN; i++) {
		CHECK_OK(change(SIG_BLOCK, &usr2, NULL));
		CHECK_OK(change(SIG_UNBLOCK, &usr2, &old));
		CHECK(old & usr2);
	}
	set_mask(mask);
	CHECK_EQ(now_blocked(), mask);
}

static volatile sig_atomic_t seen, seen_tid;
static volatile mask_t mask_inside;

static void on_signal(int sig MAYBE_UNUSED)
{
	seen++;
	seen_tid = syscall(SYS_gettid);
	mask_inside = now_blocked();
}

static void handle(int sig, mask_t mask)
{
	struct sigaction sa = {.sa_handler = on_signal};
	memcpy(&sa.sa_mask, &mask, 8);
	CHECK_OK(sigaction(sig, &sa, NULL));
	seen = 0;
}

TEST(sets_are_added_taken_and_replaced)
{
	mask_t all = ~0ULL, old, a = BIT(SIGUSR1) | BIT(64), b = BIT(SIGUSR1) | BIT(SIGHUP);
	toggle(0);
	for (int i = 0; i < OFTEN; i++) {
		CHECK_OK(change(SIG_BLOCK, &a, &old));
		CHECK_EQ(old, 0);
		CHECK_OK(change(SIG_BLOCK, &b, &old));
		CHECK_EQ(old, a);
		CHECK_OK(change(SIG_UNBLOCK, &b, &old));
		CHECK_EQ(old, a | b);
		CHECK_OK(change(SIG_SETMASK, &all, &old));
		CHECK_EQ(old, BIT(64));
		CHECK_OK(change(SIG_SETMASK, NULL, &old));
		CHECK_EQ(old, all & ~(BIT(SIGKILL) | BIT(SIGSTOP)));
		/* One place for both. */
		old = b;
		CHECK_OK(change(SIG_SETMASK, &old, &old));
		CHECK_EQ(old, all & ~(BIT(SIGKILL) | BIT(SIGSTOP)));
		CHECK_EQ(now_blocked(), b);
		CHECK_EQ(set_mask(0), b);
	}
}

TEST(errors)
{
	mask_t usr1 = BIT(SIGUSR1), old = 77;
	toggle(0);
	for (int i = 0; i < 50; i++) {
		CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &usr1, &old, 4), EINVAL);
		CHECK_ERRNO(change(3, &usr1, &old), EINVAL);
		CHECK_ERRNO(change(-1, &usr1, &old), EINVAL);
		CHECK_ERRNO(change(SIG_BLOCK, BAD, &old), EFAULT);
		CHECK_EQ(now_blocked(), 0);
		CHECK_OK(change(9, NULL, &old));
		CHECK_EQ(old, 0);
		/* The mask has changed when the old one cannot be told. */
		CHECK_ERRNO(change(SIG_BLOCK, &usr1, BAD), EFAULT);
		CHECK_EQ(set_mask(0), usr1);
		/* The kernel takes an int. */
		CHECK_OK(syscall(SYS_rt_sigprocmask, 0x100000000 + SIG_BLOCK, &usr1, NULL, 8));
		CHECK_EQ(set_mask(0), usr1);
	}
}

#define CALL(nr, a, b, c, d)                                                                                            \
	({                                                                                                              \
		long ret, rcx, r11;                                                                                     \
		register long r10 __asm__("r10") = (long)(d);                                                           \
		register long r8 __asm__("r8") = 0x88, r9 __asm__("r9") = 0x99, r12 __asm__("r12") = 0xcc;              \
		register long r13 __asm__("r13") = 0xdd, r14 __asm__("r14") = 0xee, r15 __asm__("r15") = 0xff;          \
		long rdi = (long)(a), rsi = (long)(b), rdx = (long)(c), rbx = 0xbb;                                     \
		__asm__ volatile("stc; std; syscall; pushf; pop %%r11; cld"                                             \
				 : "=a"(ret), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9), "+r"(r12), \
				   "+r"(r13), "+r"(r14), "+r"(r15), "+b"(rbx)                                           \
				 : "0"((long)(nr))                                                                      \
				 : "rcx", "r11", "memory");                                                             \
		__asm__ volatile("" : "=c"(rcx));                                                                       \
		(void)rcx, (void)r11;                                                                                   \
		CHECK(rdi == (long)(a) && rsi == (long)(b) && rdx == (long)(c) && r10 == (long)(d));                    \
		CHECK(r8 == 0x88 && r9 == 0x99 && rbx == 0xbb);                                                         \
		CHECK(r12 == 0xcc && r13 == 0xdd && r14 == 0xee && r15 == 0xff);                                        \
		ret;                                                                                                    \
	})

TEST(registers_are_kept)
{
	mask_t usr1 = BIT(SIGUSR1), old;
	long act[4], plain[4] = {0, 0x04000000, 0x1234, 0};
	for (int i = 0; i < OFTEN; i++) {
		CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_BLOCK, &usr1, &old, 8), 0);
		CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_UNBLOCK, &usr1, &old, 8), 0);
		CHECK_EQ(old, usr1);
		CHECK_EQ(CALL(SYS_rt_sigaction, SIGTERM, NULL, act, 8), 0);
		CHECK_EQ(CALL(SYS_rt_sigaction, SIGHUP, plain, act, 8), 0);
		CHECK_EQ(CALL(SYS_set_robust_list, 0, 24, 0, 8), 0);
	}
}

TEST(flags_and_red_zone_are_kept)
{
	mask_t usr1 = BIT(SIGUSR1);
	for (int i = 0; i < OFTEN; i++) {
		unsigned long flags, red, ret;
		__asm__ volatile("movq $0x5ced, -8(%%rsp); mov $0x7fffffff, %%ecx; add $1, %%ecx; mov %[nr], %%rax; syscall;"
				 "mov -8(%%rsp), %[red]; lea -128(%%rsp), %%rsp; pushf; pop %[flags]; lea 128(%%rsp), %%rsp"
				 : [flags] "=&r"(flags), [red] "=&r"(red), "=&a"(ret)
				 : [nr] "i"(SYS_rt_sigprocmask), "D"((long)SIG_BLOCK), "S"(&usr1), "d"(0L)
				 : "rcx", "r11", "memory", "r10");
		/* SF, OF and AF, no CF or ZF. The size is whatever r10 held, so the result does not matter. */
		CHECK_EQ(flags & 0x8d5, 0x894UL & 0x8d5);
		CHECK_EQ(red, 0x5cedUL);
	}
}

TEST(blocked_signals_wait_until_unblocked)
{
	mask_t usr1 = BIT(SIGUSR1);
	handle(SIGUSR1, 0);
	toggle(0);
	for (int i = 1; i <= OFTEN; i++) {
		CHECK_OK(change(SIG_BLOCK, &usr1, NULL));
		CHECK_OK(i % 2 ? kill(getpid(), SIGUSR1) : syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1));
		CHECK_EQ(seen, i - 1);
		mask_t pending = 0;
		CHECK_OK(syscall(SYS_rt_sigpending, &pending, 8));
		CHECK_EQ(pending, usr1);
		CHECK_OK(change(SIG_UNBLOCK, &usr1, NULL));
		CHECK_EQ(seen, i);
		CHECK_EQ(mask_inside, usr1);
		CHECK_EQ(now_blocked(), 0);
	}
}

TEST(handlers_have_masks_of_their_own)
{
	handle(SIGUSR1, BIT(SIGHUP));
	for (int i = 1; i < 20; i++) {
		toggle(BIT(SIGTERM));
		CHECK_OK(raise(SIGUSR1));
		CHECK_EQ(seen, i);
		CHECK_EQ(mask_inside, BIT(SIGUSR1) | BIT(SIGHUP) | BIT(SIGTERM));
		CHECK_EQ(now_blocked(), BIT(SIGTERM));
	}
}

static void changes_inside(int sig MAYBE_UNUSED, siginfo_t *info MAYBE_UNUSED, void *uc)
{
	mask_t before = now_blocked();
	toggle(BIT(SIGINT));
	mask_t back, other = BIT(SIGQUIT) | BIT(SIGKILL);
	memcpy(&back, &((ucontext_t *)uc)->uc_sigmask, 8);
	CHECK_EQ(back, BIT(SIGTERM));
	if (seen++)
		memcpy(&((ucontext_t *)uc)->uc_sigmask, &other, 8);
	CHECK_EQ(before, BIT(SIGUSR1) | BIT(SIGTERM));
}

TEST(return_from_a_handler_puts_the_mask_back)
{
	struct sigaction sa = {.sa_sigaction = changes_inside, .sa_flags = SA_SIGINFO};
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	toggle(BIT(SIGTERM));
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(now_blocked(), BIT(SIGTERM));
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(now_blocked(), BIT(SIGQUIT));
}

TEST(timers_never_hit_what_is_blocked)
{
	struct itimerval every = {{0, 300}, {0, 300}}, never = {0};
	mask_t alarm_only = BIT(SIGALRM), old;
	handle(SIGALRM, 0);
	CHECK_OK(setitimer(ITIMER_REAL, &every, NULL));
	long long end = now_ms() + 700;
	int inside = 0;
	while (now_ms() < end) {
		CHECK_OK(change(SIG_BLOCK, &alarm_only, &old));
		CHECK_EQ(old, 0);
		int before = seen;
		for (volatile int spin = 0; spin < 500; spin++)
			;
		inside += seen != before;
		CHECK_OK(change(SIG_UNBLOCK, &alarm_only, &old));
		CHECK_EQ(old, alarm_only);
	}
	CHECK_OK(setitimer(ITIMER_REAL, &never, NULL));
	CHECK_EQ(inside, 0);
	CHECK_GT(seen, 20);
}

static volatile int stop_now;
static volatile sig_atomic_t hits, hits_inside, inside;

static void on_hit(int sig MAYBE_UNUSED)
{
	hits++;
	if (inside)
		hits_inside++;
}

static void *toggles(void *arg MAYBE_UNUSED)
{
	mask_t usr1 = BIT(SIGUSR1), old;
	while (!stop_now) {
		CHECK_OK(change(SIG_BLOCK, &usr1, &old));
		CHECK_EQ(old & usr1, 0);
		inside = 1;
		for (volatile int spin = 0; spin < 50; spin++)
			;
		inside = 0;
		CHECK_OK(change(SIG_UNBLOCK, &usr1, &old));
		CHECK_EQ(old & usr1, usr1);
	}
	return NULL;
}

TEST(other_threads_send_while_the_mask_changes)
{
	pthread_t thread;
	struct sigaction sa = {.sa_handler = on_hit};
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	CHECK_EQ(pthread_create(&thread, NULL, toggles, NULL), 0);
	for (int i = 0; i < 2000; i++) {
		int before = hits;
		CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
		for (long long end = now_ms() + 5000; hits == before;)
			CHECK_LT(now_ms(), end);
	}
	stop_now = 1;
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(hits, 2000);
	CHECK_EQ(hits_inside, 0);
}

static int ready_pipe[2], go_pipe[2];

static void *unblocks_later(void *arg MAYBE_UNUSED)
{
	char c = 0;
	toggle(BIT(SIGUSR1));
	CHECK_EQ(write(ready_pipe[1], &c, 1), 1);
	CHECK_EQ(read(go_pipe[0], &c, 1), 1);
	CHECK_EQ(seen, 0);
	toggle(BIT(SIGUSR1));
	CHECK_EQ(seen, 0);
	mask_t usr1 = BIT(SIGUSR1);
	CHECK_OK(change(SIG_UNBLOCK, &usr1, NULL));
	CHECK_EQ(seen, 1);
	CHECK_EQ(seen_tid, syscall(SYS_gettid));
	return NULL;
}

TEST(the_process_signal_goes_to_who_unblocks_it)
{
	pthread_t thread;
	char c = 0;
	CHECK_OK(pipe(ready_pipe));
	CHECK_OK(pipe(go_pipe));
	handle(SIGUSR1, 0);
	toggle(BIT(SIGUSR1));
	CHECK_EQ(pthread_create(&thread, NULL, unblocks_later, NULL), 0);
	CHECK_EQ(read(ready_pipe[0], &c, 1), 1);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(write(go_pipe[1], &c, 1), 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(seen, 1);
}

static void *inherits(void *mask)
{
	CHECK_EQ(now_blocked(), *(mask_t *)mask);
	toggle(0);
	return NULL;
}

HELPER(mask_is)
{
	return now_blocked() == strtoull(argv[2], NULL, 0) ? 0 : 1;
}

TEST(children_and_programs_inherit)
{
	char text[30];
	for (int i = 0; i < 10; i++) {
		mask_t mask = BIT(SIGHUP) | BIT(1 + i * 5 % 8);
		toggle(mask);
		CHILD {
			CHECK_EQ(now_blocked(), mask);
			toggle(0);
		} CHILD_END;
		pthread_t thread;
		CHECK_EQ(pthread_create(&thread, NULL, inherits, &mask), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		snprintf(text, sizeof text, "%llu", mask);
		pid_t child = vfork();
		if (child == 0) {
			if (now_blocked() != mask)
				_exit(3);
			toggle(mask);
			execl(self_exe, self_exe, "@mask_is", text, NULL);
			_exit(4);
		}
		CHECK_EQ(wait_exit(child), 0);
		child = xfork();
		if (child == 0) {
			toggle(mask);
			execl(self_exe, self_exe, "@mask_is", text, NULL);
			_exit(4);
		}
		CHECK_EQ(wait_exit(child), 0);
		char *argv[] = {self_exe, "@mask_is", text, NULL}, *envp[] = {NULL};
		CHECK_EQ(posix_spawn(&child, self_exe, NULL, NULL, argv, envp), 0);
		CHECK_EQ(wait_exit(child), 0);
		CHECK_EQ(now_blocked(), mask);
	}
}

static mask_t status_mask(pid_t pid)
{
	char path[40], text[4096];
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	ssize_t n = read_file(path, text, sizeof text - 1);
	CHECK_GT(n, 0);
	char *line = strstr(text, "SigBlk:");
	CHECK(line);
	return strtoull(line + 7, NULL, 16);
}

TEST(proc_shows_the_last_mask)
{
	int told[2], asked[2];
	char c = 0;
	for (int i = 0; i < 20; i++) {
		toggle(BIT(SIGHUP) | BIT(i + 32));
		CHECK_EQ(status_mask(getpid()), BIT(SIGHUP) | BIT(i + 32));
	}
	CHECK_OK(pipe(told));
	CHECK_OK(pipe(asked));
	pid_t child = xfork();
	if (child == 0) {
		toggle(BIT(SIGQUIT));
		CHECK_EQ(write(told[1], &c, 1), 1);
		CHECK_EQ(read(asked[0], &c, 1), 1);
		CHECK_EQ(now_blocked(), BIT(SIGQUIT));
		toggle(BIT(SIGINT));
		CHECK_EQ(write(told[1], &c, 1), 1);
		CHECK_EQ(read(asked[0], &c, 1), 1);
		_exit(0);
	}
	CHECK_EQ(read(told[0], &c, 1), 1);
	CHECK_EQ(status_mask(child), BIT(SIGQUIT));
	CHECK_EQ(write(asked[1], &c, 1), 1);
	CHECK_EQ(read(told[0], &c, 1), 1);
	CHECK_EQ(status_mask(child), BIT(SIGINT));
	CHECK_EQ(write(asked[1], &c, 1), 1);
	CHECK_EQ(wait_exit(child), 0);
}

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

TEST(a_tracer_sees_masks_and_every_call)
{
	int told[2];
	char c = 0;
	CHECK_OK(pipe(told));
	pid_t child = xfork();
	if (child == 0) {
		toggle(BIT(SIGQUIT));
		CHECK_EQ(write(told[1], &c, 1), 1);
		for (;;) {
			set_mask(BIT(SIGQUIT));
			syscall(SYS_set_robust_list, NULL, 24);
		}
	}
	CHECK_EQ(read(told[0], &c, 1), 1);
	msleep(5);
	CHECK_OK(ptrace(PTRACE_ATTACH, child, 0, 0));
	int status, calls = 0, lists = 0;
	CHECK_EQ(waitpid(child, &status, 0), child);
	mask_t mask = 0;
	CHECK_OK(ptrace(PTRACE_GETSIGMASK, child, (void *)8, &mask));
	CHECK_EQ(mask, BIT(SIGQUIT));
	for (int i = 0; i < 40; i++) {
		struct user_regs_struct regs;
		CHECK_OK(ptrace(PTRACE_SYSCALL, child, 0, 0));
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		CHECK_OK(ptrace(PTRACE_GETREGS, child, 0, &regs));
		calls += regs.orig_rax == SYS_rt_sigprocmask;
		lists += regs.orig_rax == SYS_set_robust_list;
	}
	CHECK_GE(calls, 19);
	CHECK_GE(lists, 19);
	mask = BIT(SIGQUIT) | BIT(SIGHUP);
	CHECK_OK(ptrace(PTRACE_SETSIGMASK, child, (void *)8, &mask));
	CHECK_OK(ptrace(PTRACE_GETSIGMASK, child, (void *)8, &mask));
	CHECK_EQ(mask, BIT(SIGQUIT) | BIT(SIGHUP));
	CHECK_OK(ptrace(PTRACE_DETACH, child, 0, 0));
	msleep(5);
	CHECK_EQ(status_mask(child), BIT(SIGQUIT));
	CHECK_OK(kill(child, SIGKILL));
	CHECK_EQ(waitpid(child, &status, 0), child);
}

TEST(kill_and_stop_come_through_a_full_mask)
{
	int told[2], status;
	char c = 0;
	CHECK_OK(pipe(told));
	pid_t child = xfork();
	if (child == 0) {
		toggle(~0ULL & ~(BIT(SIGKILL) | BIT(SIGSTOP)));
		CHECK_EQ(write(told[1], &c, 1), 1);
		for (;;)
			set_mask(~0ULL);
	}
	CHECK_EQ(read(told[0], &c, 1), 1);
	msleep(5);
	CHECK_OK(kill(child, SIGTERM));
	CHECK_OK(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK(WIFSTOPPED(status));
	CHECK_OK(kill(child, SIGCONT));
	msleep(5);
	CHECK_OK(kill(child, SIGKILL));
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(temporary_masks_go_back_to_the_last)
{
	struct timespec soon = {0, 1000000};
	handle(SIGUSR1, 0);
	for (int i = 1; i < 20; i++) {
		mask_t none = 0, before = BIT(SIGUSR1) | BIT(i + 32);
		toggle(before);
		CHECK_EQ(syscall(SYS_ppoll, NULL, 0, &soon, &none, 8), 0);
		CHECK_EQ(now_blocked(), before);
		CHECK_OK(raise(SIGUSR1));
		CHECK_EQ(seen, i - 1);
		CHECK_ERRNO(syscall(SYS_rt_sigsuspend, &none, 8), EINTR);
		CHECK_EQ(seen, i);
		CHECK_EQ(mask_inside, BIT(SIGUSR1));
		CHECK_EQ(now_blocked(), before);
		toggle(before);
	}
}

TEST(blocked_signals_can_be_waited_for_and_read)
{
	mask_t usr1 = BIT(SIGUSR1);
	handle(SIGUSR1, 0);
	int fd = syscall(SYS_signalfd4, -1, &usr1, 8, SFD_NONBLOCK);
	CHECK_OK(fd);
	struct signalfd_siginfo info;
	for (int i = 0; i < 30; i++) {
		toggle(usr1);
		CHECK_OK(raise(SIGUSR1));
		CHECK_EQ(read(fd, &info, sizeof info), (ssize_t)sizeof info);
		toggle(usr1);
		CHECK_ERRNO(read(fd, &info, sizeof info), EAGAIN);
		CHECK_OK(kill(getpid(), SIGUSR1));
		CHECK_EQ(syscall(SYS_rt_sigtimedwait, &usr1, NULL, NULL, 8), SIGUSR1);
		set_mask(0);
	}
	CHECK_EQ(seen, 0);
}

static long filtered(int nr)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof f / sizeof *f, f};
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

TEST(a_filter_sees_every_change)
{
	long act[4];
	toggle(BIT(SIGHUP));
	for (int i = 0; i < OFTEN; i++) {
		CHECK_OK(syscall(SYS_rt_sigaction, SIGTERM, NULL, act, 8));
		CHECK_OK(syscall(SYS_set_robust_list, NULL, 24));
	}
	if (filtered(SYS_rt_sigaction) < 0)
		SKIP("no seccomp filters");
	for (int i = 0; i < 20; i++)
		CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGTERM, NULL, act, 8), EPROTO);
	CHECK_OK(filtered(SYS_set_robust_list));
	CHECK_OK(filtered(SYS_rt_sigprocmask));
	mask_t none = 0;
	for (int i = 0; i < 20; i++) {
		CHECK_ERRNO(syscall(SYS_set_robust_list, NULL, 24), EPROTO);
		CHECK_ERRNO(change(SIG_SETMASK, &none, NULL), EPROTO);
	}
	CHECK_EQ(status_mask(getpid()), BIT(SIGHUP));
}

struct list_head {
	struct list_head *next;
	long offset;
	struct list_head *pending;
};

static void *finds_list(void *of_leader)
{
	struct list_head *head, own;
	size_t len;
	for (int i = 0; i < OFTEN; i++) {
		CHECK_OK(syscall(SYS_set_robust_list, &own, 24));
		CHECK_OK(syscall(SYS_get_robust_list, getpid(), &head, &len));
		CHECK(head == of_leader);
	}
	CHECK_OK(syscall(SYS_get_robust_list, 0, &head, &len));
	CHECK(head == &own);
	CHECK_OK(syscall(SYS_set_robust_list, NULL, 24));
	return NULL;
}

TEST(robust_lists_are_the_last_ones_set)
{
	static struct list_head heads[8];
	struct list_head *head;
	size_t len;
	for (int i = 0; i < OFTEN; i++) {
		CHECK_OK(syscall(SYS_set_robust_list, &heads[i % 8], 24));
		CHECK_ERRNO(syscall(SYS_set_robust_list, &heads[(i + 1) % 8], 20), EINVAL);
		if (i % 7)
			continue;
		CHECK_OK(syscall(SYS_get_robust_list, 0, &head, &len));
		CHECK(head == &heads[i % 8]);
		CHECK_EQ(len, 24);
	}
	CHECK_OK(syscall(SYS_set_robust_list, &heads[3], 24));
	pthread_t thread;
	CHECK_EQ(pthread_create(&thread, NULL, finds_list, &heads[3]), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_OK(syscall(SYS_set_robust_list, NULL, 24));
}

struct lock {
	struct list_head list;
	uint32_t word;
};

static struct lock lock;

static void *dies_with_the_lock(void *arg MAYBE_UNUSED)
{
	static struct list_head empty;
	static struct list_head head = {&lock.list, offsetof(struct lock, word), NULL};
	for (int i = 0; i < OFTEN; i++) {
		empty.next = &empty;
		CHECK_OK(syscall(SYS_set_robust_list, &empty, 24));
	}
	lock.list.next = &head;
	lock.word = syscall(SYS_gettid);
	CHECK_OK(syscall(SYS_set_robust_list, &head, 24));
	syscall(SYS_exit, 0);
	return NULL;
}

TEST(locks_of_a_thread_that_set_its_list_often)
{
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		CHECK_EQ(pthread_create(&thread, NULL, dies_with_the_lock, NULL), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		CHECK_EQ(lock.word & FUTEX_OWNER_DIED, FUTEX_OWNER_DIED);
	}
}

struct action {
	unsigned long handler, flags, restorer, mask;
};

static void act(int sig, unsigned long handler, unsigned long flags, unsigned long restorer, struct action *old)
{
	struct action new = {handler, flags, restorer, 0};
	CHECK_OK(syscall(SYS_rt_sigaction, sig, &new, old, 8));
}

static void is(int sig, unsigned long handler, unsigned long flags, unsigned long restorer)
{
	struct action now = {1, 2, 3, 4};
	CHECK_OK(syscall(SYS_rt_sigaction, sig, NULL, &now, 8));
	CHECK_EQ(now.handler, handler);
	CHECK_EQ(now.flags, flags);
	CHECK_EQ(now.restorer, restorer);
	CHECK_EQ(now.mask, 0);
}

#define RESTORER 0x04000000UL

/* As in a program that has done nothing yet. */
static void none_set(void)
{
	for (int sig = 1; sig <= 64; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			act(sig, 0, 0, 0, NULL);
}

static void all_plain(unsigned long restorer)
{
	struct action old;
	for (int sig = 1; sig <= 64; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		is(sig, 0, 0, 0);
		act(sig, 0, RESTORER, restorer, &old);
		CHECK(!old.handler && !old.flags && !old.restorer && !old.mask);
		act(sig, 0, RESTORER, restorer, &old);
		CHECK_EQ(old.restorer, restorer);
	}
}

TEST(actions_are_told_as_they_were_set)
{
	struct action old;
	none_set();
	for (int round = 0; round < 5; round++) {
		CHILD {
			all_plain(0x1000 + round);
			for (int sig = 1; sig <= 64; sig++)
				is(sig, 0, sig == SIGKILL || sig == SIGSTOP ? 0 : RESTORER, sig == SIGKILL || sig == SIGSTOP ? 0 : 0x1000 + round);
			/* Other ones than the first. */
			act(SIGTERM, 0, RESTORER, 0x77, &old);
			CHECK_EQ(old.restorer, 0x1000UL + round);
			is(SIGTERM, 0, RESTORER, 0x77);
			is(SIGHUP, 0, RESTORER, 0x1000 + round);
			act(SIGHUP, (unsigned long)SIG_IGN, 0, 0, &old);
			CHECK_EQ(old.flags, RESTORER);
			is(SIGHUP, (unsigned long)SIG_IGN, 0, 0);
			CHECK_OK(raise(SIGHUP));
			act(SIGHUP, 0, 0, 0, NULL);
			is(SIGHUP, 0, 0, 0);
			CHILD {
				is(SIGINT, 0, RESTORER, 0x1000 + round);
				is(SIGTERM, 0, RESTORER, 0x77);
				is(SIGHUP, 0, 0, 0);
				act(SIGHUP, 0, RESTORER, 5, NULL);
			} CHILD_END;
			is(SIGHUP, 0, 0, 0);
		} CHILD_END;
		is(SIGINT, 0, 0, 0);
	}
}

TEST(errors_of_actions)
{
	struct action old, new = {0, RESTORER, 1, 0};
	is(SIGUSR1, 0, 0, 0);
	for (int i = 0; i < 50; i++) {
		CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGKILL, &new, NULL, 8), EINVAL);
		CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGSTOP, &new, NULL, 8), EINVAL);
		is(SIGKILL, 0, 0, 0);
		is(SIGSTOP, 0, 0, 0);
		CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, NULL, &old, 8), EINVAL);
		CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, NULL, &old, 8), EINVAL);
		CHECK_ERRNO(syscall(SYS_rt_sigaction, -1, &new, &old, 8), EINVAL);
		CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 4), EINVAL);
		CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, BAD, &old, 8), EFAULT);
		CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BAD, 8), EFAULT);
		CHECK_OK(syscall(SYS_rt_sigaction, 0x100000000L + SIGUSR1, NULL, &old, 8));
	}
	is(SIGUSR1, 0, 0, 0);
}

HELPER(actions_are_new)
{
	for (int sig = 1; sig <= 64; sig++)
		is(sig, sig == SIGHUP ? (unsigned long)SIG_IGN : 0, 0, 0);
	return 0;
}

TEST(programs_begin_with_new_actions)
{
	none_set();
	pid_t child = xfork();
	if (child == 0) {
		all_plain(0x99);
		act(SIGHUP, (unsigned long)SIG_IGN, RESTORER, 0x99, NULL);
		execl(self_exe, self_exe, "@actions_are_new", NULL);
		_exit(9);
	}
	CHECK_EQ(wait_exit(child), 0);
	act(SIGHUP, (unsigned long)SIG_IGN, 0, 0, NULL);
	child = vfork();
	if (child == 0) {
		struct action new = {0, RESTORER, 1, 0}, old;
		for (int sig = 32; sig <= 64; sig++)
			syscall(SYS_rt_sigaction, sig, &new, &old, 8);
		execl(self_exe, self_exe, "@actions_are_new", NULL);
		_exit(9);
	}
	CHECK_EQ(wait_exit(child), 0);
	is(40, 0, 0, 0);
}

static void *sees_actions(void *arg MAYBE_UNUSED)
{
	is(SIGINT, 0, RESTORER, 0x55);
	struct action old;
	act(SIGTERM, (unsigned long)SIG_IGN, 0, 0, &old);
	CHECK_EQ(old.restorer, 0x55);
	return NULL;
}

TEST(threads_share_actions_that_were_set_before)
{
	none_set();
	CHILD {
		for (int sig = 1; sig < 32; sig++)
			if (sig != SIGKILL && sig != SIGSTOP)
				act(sig, 0, RESTORER, 0x55, NULL);
		pthread_t thread;
		CHECK_EQ(pthread_create(&thread, NULL, sees_actions, NULL), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		is(SIGTERM, (unsigned long)SIG_IGN, 0, 0);
		is(SIGINT, 0, RESTORER, 0x55);
	} CHILD_END;
}

TEST(a_default_action_forgets_what_it_ignores)
{
	mask_t pending = 0;
	for (int i = 0; i < 20; i++) {
		is(SIGURG, 0, i ? RESTORER : 0, i ? 6 : 0);
		set_mask(BIT(SIGURG) | BIT(SIGWINCH));
		CHECK_OK(raise(SIGURG));
		CHECK_OK(syscall(SYS_rt_sigpending, &pending, 8));
		CHECK_EQ(pending, BIT(SIGURG));
		act(SIGURG, 0, RESTORER, 6, NULL);
		CHECK_OK(syscall(SYS_rt_sigpending, &pending, 8));
		CHECK_EQ(pending, 0);
	}
}
