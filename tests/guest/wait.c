/* wait4, waitid, exit: who may wait for whom, what is told, who adopts orphans. */
#include "check.h"
#include <linux/wait.h>
#include <pthread.h>
#include <sys/resource.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static void exit_by_signal(int sig)
{
	signal(sig, SIG_DFL);
	kill(getpid(), sig);
	pause();
}

static volatile sig_atomic_t hits;

static void count(int sig MAYBE_UNUSED)
{
	hits++;
}

/* A child that waits for signals; it is asleep when this returns. */
static pid_t pausing_child(void)
{
	pid_t pid = xfork();
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

TEST(exit_codes_are_cut_to_a_byte)
{
	int codes[] = {0, 1, 42, 127, 128, 255, 256, 257, -1};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		pid_t pid = xfork();
		if (pid == 0)
			_exit(codes[i]);
		CHECK_EQ(wait_exit(pid), codes[i] & 255);
	}
}

TEST(status_word_layout)
{
	int st = -1;
	pid_t pid = xfork();
	if (pid == 0)
		_exit(3);
	CHECK_EQ(wait4(pid, &st, 0, NULL), pid);
	CHECK_EQ(st, 3 << 8);
	pid = xfork();
	if (pid == 0)
		exit_by_signal(SIGTERM);
	CHECK_EQ(wait4(pid, &st, 0, NULL), pid);
	CHECK_EQ(st, SIGTERM);
}

TEST(killed_by_each_signal)
{
	int sigs[] = {SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGPIPE, SIGALRM, SIGTERM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGRTMIN, SIGRTMAX, 32, 33};
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
		pid_t pid = xfork();
		if (pid == 0) {
			syscall(SYS_kill, getpid(), sigs[i]);
			pause();
		}
		CHECK_EQ(wait_exit(pid), 1000 + sigs[i]);
	}
}

TEST(ignored_by_default)
{
	int sigs[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
	CHILD {
		for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
			kill(getpid(), sigs[i]);
	} CHILD_END;
}

TEST(core_signals_without_core_limit)
{
	struct rlimit none = {0, 0};
	int sigs[] = {SIGQUIT, SIGILL, SIGABRT, SIGFPE, SIGSEGV, SIGBUS, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ};
	CHECK_OK(setrlimit(RLIMIT_CORE, &none));
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
		int st;
		pid_t pid = xfork();
		if (pid == 0)
			exit_by_signal(sigs[i]);
		CHECK_EQ(waitpid(pid, &st, 0), pid);
		CHECK_EQ(st & 0x7f, sigs[i]);
		CHECK_EQ(WCOREDUMP(st), 0);
	}
}

TEST(no_children_is_echild)
{
	siginfo_t si;
	int st = 77;
	CHECK_ERRNO(waitpid(-1, &st, 0), ECHILD);
	CHECK_ERRNO(waitpid(-1, &st, WNOHANG), ECHILD);
	CHECK_ERRNO(waitid(P_ALL, 0, &si, WEXITED), ECHILD);
	CHECK_ERRNO(waitpid(0, &st, 0), ECHILD);
	CHECK_ERRNO(waitpid(getpid(), &st, 0), ECHILD);
	CHECK_ERRNO(waitpid(getppid(), &st, 0), ECHILD);
	CHECK_EQ(st, 77);
}

TEST(bad_options)
{
	siginfo_t si;
	CHECK_ERRNO(wait4(-1, NULL, 0x100, NULL), EINVAL);
	CHECK_ERRNO(wait4(-1, NULL, WEXITED, NULL), EINVAL);
	CHECK_ERRNO(wait4(-1, NULL, WNOWAIT, NULL), EINVAL);
	CHECK_ERRNO(waitid(P_ALL, 0, &si, 0), EINVAL);
	CHECK_ERRNO(waitid(P_ALL, 0, &si, WNOHANG), EINVAL);
	CHECK_ERRNO(waitid(P_ALL, 0, &si, WEXITED | 0x100), EINVAL);
	CHECK_ERRNO(waitid(99, 0, &si, WEXITED), EINVAL);
	CHECK_ERRNO(waitid(P_PID, 0, &si, WEXITED), EINVAL);
	CHECK_ERRNO(waitid(P_PID, -5, &si, WEXITED), EINVAL);
}

TEST(pid_int_min_is_esrch)
{
	CHECK_ERRNO(wait4(INT_MIN, NULL, 0, NULL), ESRCH);
}

TEST(null_status_is_allowed)
{
	pid_t pid = xfork();
	if (pid == 0)
		_exit(0);
	CHECK_EQ(wait4(pid, NULL, 0, NULL), pid);
}

TEST(bad_status_pointer_still_reaps)
{
	pid_t pid = xfork();
	if (pid == 0)
		_exit(0);
	CHECK_ERRNO(syscall(SYS_wait4, pid, BAD, 0, NULL), EFAULT);
	CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
}

TEST(wnohang_with_running_child_is_zero)
{
	int st = 55;
	pid_t pid = pausing_child();
	CHECK_EQ(waitpid(pid, &st, WNOHANG), 0);
	CHECK_EQ(st, 55);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(waitid_wnohang_clears_info)
{
	siginfo_t si;
	pid_t pid = pausing_child();
	memset(&si, 0xff, sizeof si);
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED | WNOHANG), 0);
	CHECK_EQ(si.si_pid, 0);
	CHECK_EQ(si.si_signo, 0);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(wait_blocks_until_exit)
{
	long long t = now_ms();
	pid_t pid = xfork();
	if (pid == 0) {
		msleep(150);
		_exit(5);
	}
	CHECK_EQ(wait_exit(pid), 5);
	CHECK_GE(now_ms() - t, 140);
}

TEST(waitid_fields_of_exit)
{
	siginfo_t si = {0};
	pid_t pid = xfork();
	if (pid == 0)
		_exit(300);
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED), 0);
	CHECK_EQ(si.si_signo, SIGCHLD);
	CHECK_EQ(si.si_code, CLD_EXITED);
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_uid, getuid());
	CHECK_EQ(si.si_status, 300 & 255);
	CHECK_EQ(si.si_errno, 0);
}

TEST(waitid_fields_of_kill)
{
	siginfo_t si = {0};
	pid_t pid = xfork();
	if (pid == 0)
		exit_by_signal(SIGTERM);
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED), 0);
	CHECK_EQ(si.si_code, CLD_KILLED);
	CHECK_EQ(si.si_status, SIGTERM);
}

TEST(waitid_wnowait_leaves_the_child)
{
	siginfo_t si = {0};
	pid_t pid = xfork();
	if (pid == 0)
		_exit(9);
	for (int i = 0; i < 3; i++) {
		si.si_pid = 0;
		CHECK_EQ(waitid(P_PID, pid, &si, WEXITED | WNOWAIT), 0);
		CHECK_EQ(si.si_pid, pid);
		CHECK_EQ(si.si_status, 9);
	}
	CHECK_EQ(wait_exit(pid), 9);
	CHECK_ERRNO(waitid(P_PID, pid, &si, WEXITED), ECHILD);
}

TEST(waitid_without_wexited_ignores_zombies)
{
	siginfo_t si = {0};
	pid_t pid = xfork();
	if (pid == 0)
		_exit(9);
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED | WNOWAIT), 0);
	CHECK_ERRNO(waitid(P_PID, pid, &si, WSTOPPED | WNOHANG), ECHILD); /* a zombie will never stop */
	CHECK_EQ(wait_exit(pid), 9);
}

TEST(stopped_and_continued)
{
	int st;
	pid_t pid = pausing_child();
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
	CHECK(WIFSTOPPED(st));
	CHECK_EQ(WSTOPSIG(st), SIGSTOP);
	CHECK_EQ(st, SIGSTOP << 8 | 0x7f);
	CHECK_EQ(waitpid(pid, &st, WUNTRACED | WNOHANG), 0);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
	CHECK(WIFCONTINUED(st));
	CHECK_EQ(st, 0xffff);
	CHECK_EQ(waitpid(pid, &st, WCONTINUED | WNOHANG), 0);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(stop_is_not_told_without_wuntraced)
{
	siginfo_t si = {0};
	int st;
	pid_t pid = pausing_child();
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitid(P_PID, pid, &si, WSTOPPED | WNOWAIT), 0);
	CHECK_EQ(waitpid(pid, &st, WNOHANG), 0);
	CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(waitid_of_stop_and_continue)
{
	siginfo_t si = {0};
	pid_t pid = pausing_child();
	CHECK_OK(setpgid(pid, pid)); /* not in an orphaned group, whoever started us */
	CHECK_OK(kill(pid, SIGTSTP));
	CHECK_EQ(waitid(P_PID, pid, &si, WSTOPPED), 0);
	CHECK_EQ(si.si_code, CLD_STOPPED);
	CHECK_EQ(si.si_status, SIGTSTP);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitid(P_PID, pid, &si, WCONTINUED | WNOWAIT), 0);
	CHECK_EQ(si.si_code, CLD_CONTINUED);
	CHECK_EQ(si.si_status, SIGCONT);
	CHECK_EQ(waitid(P_PID, pid, &si, WCONTINUED), 0);
	kill(pid, SIGKILL);
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED | WSTOPPED | WCONTINUED), 0);
	CHECK_EQ(si.si_code, CLD_KILLED);
	CHECK_EQ(si.si_status, SIGKILL);
}

TEST(kill_ends_a_stopped_process)
{
	int st;
	pid_t pid = pausing_child();
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
	CHECK_OK(kill(pid, SIGTERM)); /* held until it continues */
	msleep(60);
	CHECK_EQ(waitpid(pid, &st, WNOHANG), 0);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(wait_for_process_group)
{
	int st;
	pid_t a = pausing_child(), b = pausing_child();
	CHECK_OK(setpgid(a, a));
	kill(b, SIGTERM);
	CHECK_EQ(waitpid(-a, &st, WNOHANG), 0);
	kill(a, SIGTERM);
	CHECK_EQ(waitpid(-a, &st, 0), a);
	CHECK_ERRNO(waitpid(-a, &st, 0), ECHILD);
	CHECK_EQ(waitpid(0, &st, 0), b);
}

TEST(waitid_pgid_and_pgid_zero)
{
	siginfo_t si;
	pid_t a = pausing_child(), b = pausing_child();
	CHECK_OK(setpgid(a, a));
	kill(a, SIGTERM);
	kill(b, SIGTERM);
	CHECK_EQ(waitid(P_PGID, a, &si, WEXITED), 0);
	CHECK_EQ(si.si_pid, a);
	CHECK_EQ(waitid(P_PGID, 0, &si, WEXITED), 0);
	CHECK_EQ(si.si_pid, b);
}

TEST(waitid_pidfd)
{
	siginfo_t si = {0};
	pid_t pid = pausing_child();
	int fd = CHECK_OK(syscall(SYS_pidfd_open, pid, 0));
	CHECK_EQ(waitid(P_PIDFD, fd, &si, WEXITED | WNOHANG), 0);
	CHECK_EQ(si.si_pid, 0);
	kill(pid, SIGTERM);
	CHECK_EQ(waitid(P_PIDFD, fd, &si, WEXITED), 0);
	CHECK_EQ(si.si_pid, pid);
	CHECK_ERRNO(waitid(P_PIDFD, fd, &si, WEXITED), ECHILD);
	CHECK_ERRNO(waitid(P_PIDFD, 0, &si, WEXITED), EBADF);
	CHECK_ERRNO(waitid(P_PIDFD, 999, &si, WEXITED), EBADF);
}

TEST(waitid_nonblocking_pidfd_is_eagain)
{
	siginfo_t si;
	pid_t pid = pausing_child();
	int fd = CHECK_OK(syscall(SYS_pidfd_open, pid, O_NONBLOCK));
	CHECK_ERRNO(waitid(P_PIDFD, fd, &si, WEXITED), EAGAIN);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(raw_waitid_fills_rusage_and_null_info)
{
	struct rusage ru;
	memset(&ru, 0xff, sizeof ru);
	pid_t pid = xfork();
	if (pid == 0)
		_exit(0);
	CHECK_EQ(syscall(SYS_waitid, P_PID, pid, NULL, WEXITED, &ru), 0);
	CHECK_GE(ru.ru_utime.tv_sec, 0);
	CHECK_GE(ru.ru_maxrss, 0); /* what the kernel counts lazily may still be 0 */
	CHECK_LT(ru.ru_maxrss, 1 << 30);
}

TEST(wait4_rusage_has_child_time)
{
	struct rusage ru;
	pid_t pid = xfork();
	if (pid == 0) {
		struct rusage self;
		do
			getrusage(RUSAGE_SELF, &self);
		while (self.ru_utime.tv_sec == 0 && self.ru_utime.tv_usec + self.ru_stime.tv_usec < 200000);
		_exit(0);
	}
	CHECK_EQ(wait4(pid, NULL, 0, &ru), pid);
	CHECK_GE(ru.ru_utime.tv_sec * 1000000L + ru.ru_utime.tv_usec + ru.ru_stime.tv_sec * 1000000L + ru.ru_stime.tv_usec, 190000);
	CHECK_OK(getrusage(RUSAGE_CHILDREN, &ru));
	CHECK_GE(ru.ru_utime.tv_sec * 1000000L + ru.ru_utime.tv_usec + ru.ru_stime.tv_sec * 1000000L + ru.ru_stime.tv_usec, 190000);
}

TEST(sigchld_ignored_reaps_by_itself)
{
	signal(SIGCHLD, SIG_IGN);
	pid_t pid = xfork();
	if (pid == 0) {
		msleep(60);
		_exit(3);
	}
	CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
	CHECK_ERRNO(kill(pid, 0), ESRCH);
}

TEST(sa_nocldwait_reaps_but_signals)
{
	struct sigaction sa = {.sa_handler = count, .sa_flags = SA_NOCLDWAIT | SA_RESTART};
	CHECK_OK(sigaction(SIGCHLD, &sa, NULL));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(3);
	CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
	CHECK_EQ(hits, 1);
}

TEST(sa_nocldstop)
{
	siginfo_t si;
	struct sigaction sa = {.sa_handler = count, .sa_flags = SA_NOCLDSTOP | SA_RESTART};
	CHECK_OK(sigaction(SIGCHLD, &sa, NULL));
	pid_t pid = pausing_child();
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitid(P_PID, pid, &si, WSTOPPED), 0);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitid(P_PID, pid, &si, WCONTINUED), 0);
	CHECK_EQ(hits, 0);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
	CHECK_EQ(hits, 1);
}

TEST(zombie_can_be_signalled_and_has_state_z)
{
	siginfo_t si;
	pid_t pid = xfork();
	if (pid == 0)
		_exit(0);
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED | WNOWAIT), 0);
	CHECK_OK(kill(pid, 0));
	CHECK_OK(kill(pid, SIGTERM));
	CHECK_EQ(task_state(pid), 'Z');
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_ERRNO(kill(pid, 0), ESRCH);
}

TEST(subreaper_adopts_orphans)
{
	int p[2], flag = 0;
	pid_t orphan = 0;
	CHECK_OK(pipe(p));
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &flag));
	CHECK_EQ(flag, 1);
	pid_t me = getpid(), middle = xfork();
	if (middle == 0) {
		pid_t mid = getpid();
		orphan = xfork();
		if (orphan == 0) {
			while (getppid() == mid)
				msleep(5);
			_exit(getppid() == me ? 21 : 1);
		}
		CHECK_EQ(write(p[1], &orphan, sizeof orphan), sizeof orphan);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &orphan, sizeof orphan), sizeof orphan);
	CHECK_EQ(wait_exit(middle), 0);
	CHECK_EQ(wait_exit(orphan), 21);
}

TEST(subreaper_is_not_inherited)
{
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CHILD {
		int flag = 5;
		CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &flag));
		CHECK_EQ(flag, 0);
	} CHILD_END;
}

TEST(orphan_zombie_is_passed_on)
{
	int p[2], st;
	pid_t zombie = 0;
	CHECK_OK(pipe(p));
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid_t middle = xfork();
	if (middle == 0) {
		siginfo_t si;
		zombie = xfork();
		if (zombie == 0)
			_exit(31);
		CHECK_EQ(waitid(P_PID, zombie, &si, WEXITED | WNOWAIT), 0);
		CHECK_EQ(write(p[1], &zombie, sizeof zombie), sizeof zombie);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &zombie, sizeof zombie), sizeof zombie);
	CHECK_EQ(wait_exit(middle), 0);
	CHECK_EQ(waitpid(zombie, &st, 0), zombie);
	CHECK_EQ(WEXITSTATUS(st), 31);
}

TEST(orphans_leave_their_parent)
{
	int p[2];
	pid_t parent_after = 0;
	CHECK_OK(pipe(p));
	pid_t middle = xfork();
	if (middle == 0) {
		pid_t mid = getpid();
		if (xfork() == 0) {
			while (getppid() == mid)
				msleep(5);
			parent_after = getppid();
			if (write(p[1], &parent_after, sizeof parent_after) < 0)
				_exit(1);
		}
		_exit(0);
	}
	CHECK_EQ(read(p[0], &parent_after, sizeof parent_after), sizeof parent_after);
	CHECK_NE(parent_after, middle);
	CHECK_NE(parent_after, getpid());
	CHECK_EQ(wait_exit(middle), 0);
}

TEST(pdeathsig)
{
	int p[2], sig = -1;
	char c;
	CHECK_OK(pipe(p));
	pid_t middle = xfork();
	if (middle == 0) {
		pid_t child = xfork();
		if (child == 0) {
			signal(SIGUSR1, SIG_IGN);
			CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGTERM));
			CHECK_OK(prctl(PR_GET_PDEATHSIG, &sig));
			CHECK_EQ(sig, SIGTERM);
			CHECK_EQ(write(p[1], "x", 1), 1);
			pause();
			_exit(0);
		}
		close(p[1]);
		CHECK_EQ(read(p[0], &c, 1), 1);
		_exit(0);
	}
	close(p[1]);
	CHECK_EQ(wait_exit(middle), 0);
	CHECK_EQ(read(p[0], &c, 1), 0); /* the child is gone: end of file */
	CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
}

static void *exit_group_soon(void *arg MAYBE_UNUSED)
{
	msleep(60);
	_exit(44);
}

TEST(exit_group_from_thread_ends_all)
{
	pid_t pid = xfork();
	if (pid == 0) {
		pthread_t t;
		pthread_create(&t, NULL, exit_group_soon, NULL);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_exit(pid), 44);
}

TEST(leader_exit_leaves_process_until_last_thread)
{
	siginfo_t si = {0};
	pid_t pid = xfork();
	if (pid == 0) {
		pthread_t t;
		pthread_create(&t, NULL, exit_group_soon, NULL);
		syscall(SYS_exit, 7); /* only this thread */
	}
	CHECK_EQ(waitid(P_PID, pid, &si, WEXITED | WNOHANG), 0);
	CHECK_EQ(si.si_pid, 0);
	CHECK_EQ(wait_exit(pid), 44);
}

static void *exit_thread_soon(void *arg MAYBE_UNUSED)
{
	msleep(60);
	syscall(SYS_exit, 9);
	return NULL;
}

/* Since Linux 5.17 (synchronize_group_exit); before, the code of the leader counted. */
TEST(code_of_last_thread_counts_when_all_exit_singly)
{
	pid_t pid = xfork();
	if (pid == 0) {
		pthread_t t;
		pthread_create(&t, NULL, exit_thread_soon, NULL);
		syscall(SYS_exit, 7);
	}
	CHECK_EQ(wait_exit(pid), 9);
}

static pid_t wanted_child;

static void *wait_in_thread(void *arg MAYBE_UNUSED)
{
	return (void *)(long)wait_exit(wanted_child);
}

TEST(any_thread_may_wait_for_children)
{
	pthread_t t;
	void *code;
	wanted_child = xfork();
	if (wanted_child == 0) {
		msleep(60);
		_exit(12);
	}
	CHECK_EQ(pthread_create(&t, NULL, wait_in_thread, NULL), 0);
	CHECK_EQ(pthread_join(t, &code), 0);
	CHECK_EQ((long)code, 12);
}

static void *fork_in_thread(void *arg MAYBE_UNUSED)
{
	pid_t pid = xfork();
	if (pid == 0)
		_exit(getppid() == *(pid_t *)arg ? 13 : 1);
	return (void *)(long)pid;
}

TEST(wnothread_sees_only_own_children)
{
	pthread_t t;
	void *pid;
	pid_t me = getpid();
	CHECK_EQ(pthread_create(&t, NULL, fork_in_thread, &me), 0);
	CHECK_EQ(pthread_join(t, &pid), 0);
	/* The thread is gone; its children belong to another thread of the process, here the only one. */
	CHECK_EQ(waitpid((pid_t)(long)pid, NULL, __WNOTHREAD), (pid_t)(long)pid);
}

TEST(wait_interrupted_by_signal)
{
	struct sigaction sa = {.sa_handler = count};
	pid_t me = getpid(), pid = pausing_child();
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	pid_t sender = xfork();
	if (sender == 0) {
		wait_asleep(me);
		kill(me, SIGUSR1);
		_exit(0);
	}
	CHECK_ERRNO(waitpid(pid, NULL, 0), EINTR);
	CHECK_EQ(hits, 1);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
	CHECK_EQ(wait_exit(sender), 0);
}

TEST(wait_restarts_with_sa_restart)
{
	struct sigaction sa = {.sa_handler = count, .sa_flags = SA_RESTART};
	pid_t me = getpid(), pid = pausing_child();
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	pid_t sender = xfork();
	if (sender == 0) {
		wait_asleep(me);
		kill(me, SIGUSR1);
		msleep(60);
		kill(pid, SIGTERM);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(hits, 1);
	CHECK_EQ(wait_exit(sender), 0);
}

TEST(wall_reaps_any)
{
	int st;
	pid_t a = xfork();
	if (a == 0)
		_exit(1);
	pid_t b = CHECK_OK(syscall(SYS_clone, 0, 0, 0, 0, 0));
	if (b == 0)
		_exit(2);
	int sum = 0;
	for (int i = 0; i < 2; i++) {
		CHECK_OK(waitpid(-1, &st, __WALL));
		sum += WEXITSTATUS(st);
	}
	CHECK_EQ(sum, 3);
	CHECK_ERRNO(waitpid(-1, &st, __WALL), ECHILD);
}

TEST(pids_are_not_reused_at_once)
{
	pid_t a = xfork();
	if (a == 0)
		_exit(0);
	CHECK_EQ(wait_exit(a), 0);
	pid_t b = xfork();
	if (b == 0)
		_exit(0);
	CHECK_EQ(wait_exit(b), 0);
	CHECK_NE(a, b);
}
