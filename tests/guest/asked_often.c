/* Questions that a program asks again and again: the answers must change when the truth does, and signals must come through. */
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/time.h>

#define OFTEN 200

/* Enough for whatever learns from being asked. */
static void ask_all(void)
{
	for (int i = 0; i < OFTEN; i++) {
		syscall(SYS_getpid);
		syscall(SYS_gettid);
		getppid();
		getuid();
		geteuid();
		getgid();
		getegid();
		sched_yield();
	}
}

TEST(ids_follow_setresuid_and_setresgid)
{
	NEED_ROOT();
	ask_all();
	for (int i = 0; i < OFTEN; i++) {
		CHECK_OK(syscall(SYS_setresgid, 100 + i, 2000 + i, 0));
		CHECK_EQ(getgid(), 100 + i);
		CHECK_EQ(getegid(), 2000 + i);
		CHECK_OK(syscall(SYS_setresuid, 3000 + i, -1, 0));
		CHECK_EQ(getuid(), 3000 + i);
		CHECK_EQ(geteuid(), 0);
	}
	ask_all();
	CHECK_OK(syscall(SYS_setresuid, -1, 7, 0));
	CHECK_EQ(geteuid(), 7);
}

TEST(fork_has_answers_of_its_own)
{
	pid_t me = getpid();
	ask_all();
	CHILD {
		CHECK_NE(syscall(SYS_getpid), me);
		CHECK_EQ(syscall(SYS_getpid), syscall(SYS_gettid));
		CHECK_EQ(getppid(), me);
		ask_all();
		CHECK_EQ(getppid(), me);
	} CHILD_END;
	pid_t child = vfork();
	if (child == 0)
		_exit(getppid() == me && syscall(SYS_getpid) != me ? 0 : 1);
	CHECK_EQ(wait_exit(child), 0);
	CHECK_EQ(syscall(SYS_getpid), me);
}

static void *thread_asks(void *main_tid)
{
	pid_t tid = syscall(SYS_gettid);
	CHECK_NE(tid, (pid_t)(long)main_tid);
	ask_all();
	CHECK_EQ(syscall(SYS_gettid), tid);
	CHECK_EQ(syscall(SYS_getpid), (pid_t)(long)main_tid);
	return NULL;
}

TEST(threads_have_answers_of_their_own)
{
	pid_t tid = syscall(SYS_gettid);
	ask_all();
	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		CHECK_EQ(pthread_create(&thread, NULL, thread_asks, (void *)(long)tid), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		CHECK_EQ(syscall(SYS_gettid), tid);
	}
}

TEST(parent_changes_while_it_is_asked_for)
{
	int pipe_fd[2];
	CHECK_OK(pipe(pipe_fd));
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid_t me = getpid(), middle = xfork();
	if (middle == 0) {
		pid_t parent = getpid();
		if (xfork() == 0) {
			ask_all();
			CHECK_EQ(getppid(), parent);
			CHECK_EQ(write(pipe_fd[1], "", 1), 1);
			while (getppid() == parent)
				;
			CHECK_EQ(getppid(), me);
			_exit(7);
		}
		char c;
		CHECK_EQ(read(pipe_fd[0], &c, 1), 1);
		_exit(0);
	}
	CHECK_EQ(wait_exit(middle), 0);
	int status;
	CHECK_GT(wait(&status), 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

HELPER(ids)
{
	return getpid() == atoi(argv[2]) && syscall(SYS_gettid) == getpid() ? 0 : 1;
}

static void *thread_execs(void *arg MAYBE_UNUSED)
{
	char pid[20];
	ask_all();
	snprintf(pid, sizeof pid, "%d", getpid());
	execl(self_exe, self_exe, "@ids", pid, NULL);
	_exit(9);
}

TEST(exec_by_a_thread_makes_it_the_leader)
{
	pid_t child = xfork();
	if (child == 0) {
		pthread_t thread;
		ask_all();
		pthread_create(&thread, NULL, thread_execs, NULL);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_exit(child), 0);
}

static volatile sig_atomic_t ticks;

static void on_tick(int sig MAYBE_UNUSED)
{
	ticks++;
}

static void tick_through(long (*ask)(void), long answer)
{
	struct itimerval every = {{0, 500}, {0, 500}}, never = {0};
	struct sigaction sa = {.sa_handler = on_tick};
	CHECK_OK(sigaction(SIGALRM, &sa, NULL));
	ticks = 0;
	CHECK_OK(setitimer(ITIMER_REAL, &every, NULL));
	while (ticks < 200)
		CHECK_EQ(ask(), answer);
	CHECK_OK(setitimer(ITIMER_REAL, &never, NULL));
}

static long ask_ppid(void)
{
	return getppid();
}

static long ask_yield(void)
{
	return sched_yield();
}

TEST(signals_come_while_asking)
{
	tick_through(ask_ppid, getppid());
	tick_through(ask_yield, 0);
}

TEST(a_filter_sees_every_question)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_yield, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTO),
	};
	struct sock_fprog prog = {sizeof f / sizeof *f, f};
	ask_all();
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		SKIP("no seccomp filters");
	for (int i = 0; i < OFTEN; i++) {
		CHECK_ERRNO(syscall(SYS_getppid), EPROTO);
		CHECK_ERRNO(sched_yield(), EPROTO);
		CHECK_GT(syscall(SYS_getpid), 0);
	}
}
