/* Signals: sending, queueing, masks, handler flags, restart of interrupted calls, the calls that wait for signals. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

static volatile sig_atomic_t hits, order[64], order_len;

static void count(int sig MAYBE_UNUSED)
{
	hits++;
}

static void record(int sig)
{
	if (order_len < 64)
		order[order_len++] = sig;
}

static void handle(int sig, void (*fn)(int), int flags)
{
	struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};
	CHECK_OK(sigaction(sig, &sa, NULL));
}

static sigset_t set_of(int a, int b)
{
	sigset_t s;
	sigemptyset(&s);
	if (a)
		sigaddset(&s, a);
	if (b)
		sigaddset(&s, b);
	return s;
}

static void block(int a, int b)
{
	sigset_t s = set_of(a, b);
	CHECK_OK(sigprocmask(SIG_BLOCK, &s, NULL));
}

static void unblock(int a, int b)
{
	sigset_t s = set_of(a, b);
	CHECK_OK(sigprocmask(SIG_UNBLOCK, &s, NULL));
}

static int pending(int sig)
{
	sigset_t s;
	CHECK_OK(sigpending(&s));
	return sigismember(&s, sig);
}

/* Sends sig to the caller's thread `times` times, each time once it sleeps; the sender's pid. */
static pid_t signal_me_when_asleep(int sig, int times)
{
	pid_t me = gettid(), pid = xfork();
	if (pid == 0) {
		for (int i = 0; i < times; i++) {
			wait_asleep(me);
			kill(me, sig);
		}
		_exit(0);
	}
	return pid;
}

TEST(kill_self_is_handled_before_kill_returns)
{
	handle(SIGUSR1, count, 0);
	for (int i = 1; i <= 100; i++) {
		CHECK_OK(kill(getpid(), SIGUSR1));
		CHECK_EQ(hits, i);
	}
}

TEST(standard_signals_do_not_queue)
{
	handle(SIGUSR1, count, 0);
	block(SIGUSR1, 0);
	for (int i = 0; i < 5; i++)
		CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(hits, 0);
	CHECK_EQ(pending(SIGUSR1), 1);
	unblock(SIGUSR1, 0);
	CHECK_EQ(hits, 1);
	CHECK_EQ(pending(SIGUSR1), 0);
}

TEST(realtime_signals_queue)
{
	handle(SIGRTMIN, count, 0);
	block(SIGRTMIN, 0);
	for (int i = 0; i < 5; i++)
		CHECK_OK(kill(getpid(), SIGRTMIN));
	unblock(SIGRTMIN, 0);
	CHECK_EQ(hits, 5);
}

TEST(standard_signal_pends_once_per_thread_and_once_per_process)
{
	handle(SIGUSR1, count, 0);
	block(SIGUSR1, 0);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	unblock(SIGUSR1, 0);
	CHECK_EQ(hits, 2);
}

static volatile sig_atomic_t values[64], values_len;

static void record_value(int sig MAYBE_UNUSED, siginfo_t *si, void *uc MAYBE_UNUSED)
{
	if (values_len < 64)
		values[values_len++] = si->si_value.sival_int;
}

TEST(realtime_order_is_lowest_first_then_fifo)
{
	struct sigaction sa = {.sa_sigaction = record_value, .sa_flags = SA_SIGINFO};
	sigset_t all;
	sigfillset(&all);
	sa.sa_mask = all;
	CHECK_OK(sigaction(SIGRTMIN + 1, &sa, NULL));
	CHECK_OK(sigaction(SIGRTMIN + 2, &sa, NULL));
	block(SIGRTMIN + 1, SIGRTMIN + 2);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 20 + i}));
		CHECK_OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10 + i}));
	}
	unblock(SIGRTMIN + 1, SIGRTMIN + 2);
	int want[] = {10, 11, 12, 20, 21, 22};
	CHECK_EQ(values_len, 6);
	for (int i = 0; i < 6; i++)
		CHECK_EQ(values[i], want[i]);
}

TEST(standard_before_realtime)
{
	sigset_t s = set_of(SIGUSR2, SIGRTMIN + 3);
	block(SIGUSR2, SIGRTMIN + 3);
	CHECK_OK(kill(getpid(), SIGRTMIN + 3));
	CHECK_OK(kill(getpid(), SIGUSR2));
	CHECK_EQ(sigwaitinfo(&s, NULL), SIGUSR2);
	CHECK_EQ(sigwaitinfo(&s, NULL), SIGRTMIN + 3);
}

TEST(rlimit_sigpending_limits_sigqueue)
{
	struct rlimit r = {5, 5};
	union sigval v = {.sival_int = 1};
	CHILD {
		become_user();
		CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &r));
		block(SIGRTMIN, SIGUSR1);
		int n = 0;
		while (n < 100 && sigqueue(getpid(), SIGRTMIN, v) == 0)
			n++;
		CHECK_LE(n, 5);
		CHECK_EQ(errno, EAGAIN);
		CHECK_OK(kill(getpid(), SIGUSR1)); /* kill of a standard signal never fails for this */
		CHECK_EQ(pending(SIGUSR1), 1);
	} CHILD_END;
}

TEST(kill_errors)
{
	CHECK_ERRNO(kill(getpid(), 65), EINVAL);
	CHECK_ERRNO(kill(getpid(), -1), EINVAL);
	CHECK_ERRNO(kill(0x3ffffff, 0), ESRCH);
	CHECK_ERRNO(kill(-0x3ffffff, 0), ESRCH);
	CHECK_ERRNO(kill(INT_MIN, 0), ESRCH);
	CHECK_OK(kill(getpid(), 0));
}

TEST(kill_of_other_user_is_eperm)
{
	NEED_ROOT();
	pid_t parent = getpid();
	CHILD {
		become_user();
		CHECK_ERRNO(kill(parent, 0), EPERM);
		CHECK_ERRNO(kill(parent, SIGTERM), EPERM);
	} CHILD_END;
}

TEST(sigcont_is_allowed_within_session)
{
	/* kill(2): SIGCONT needs only a shared session. The parent is of the same session, so this is allowed in spite of the user. */
	NEED_ROOT();
	handle(SIGCONT, count, 0);
	pid_t parent = getpid();
	CHILD {
		become_user();
		CHECK_OK(kill(parent, SIGCONT));
	} CHILD_END;
	CHECK_EQ(hits, 1);
}

TEST(tgkill_tkill_errors)
{
	CHECK_ERRNO(syscall(SYS_tgkill, 0, gettid(), 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tgkill, -1, gettid(), 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 0x3ffffff, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tgkill, getppid(), gettid(), 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), gettid(), 65), EINVAL);
	CHECK_ERRNO(syscall(SYS_tkill, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tkill, 0x3ffffff, 0), ESRCH);
	CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), 0));
	CHECK_OK(syscall(SYS_tkill, gettid(), 0));
}

TEST(sigaction_errors)
{
	struct sigaction sa = {.sa_handler = count};
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGKILL, &sa, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGSTOP, &sa, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, NULL, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 16), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, BAD, NULL, 8), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BAD, 8), EFAULT);
	CHECK_OK(syscall(SYS_rt_sigaction, SIGKILL, NULL, &sa, 8));
}

TEST(sigaction_round_trip)
{
	struct sigaction sa = {.sa_handler = count, .sa_flags = SA_RESTART | SA_NODEFER | SA_ONSTACK}, got;
	sigaddset(&sa.sa_mask, SIGUSR2);
	sigaddset(&sa.sa_mask, SIGKILL);
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	CHECK_OK(sigaction(SIGUSR1, NULL, &got));
	CHECK(got.sa_handler == count);
	CHECK_EQ(got.sa_flags & ~0x04000000, SA_RESTART | SA_NODEFER | SA_ONSTACK);
	CHECK_EQ(sigismember(&got.sa_mask, SIGUSR2), 1);
	CHECK_EQ(sigismember(&got.sa_mask, SIGUSR1), 0);
	CHECK_EQ(sigismember(&got.sa_mask, SIGKILL), 0); /* cannot be masked: dropped */
}

TEST(sigprocmask_errors_and_how)
{
	sigset_t s = set_of(SIGUSR1, 0), got;
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 3, &s, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &s, NULL, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, BAD, 8), EFAULT);
	CHECK_OK(syscall(SYS_rt_sigprocmask, 99, NULL, &got, 8)); /* how is not looked at without a set */
	CHECK_OK(sigprocmask(SIG_BLOCK, &s, &got));
	CHECK_EQ(sigismember(&got, SIGUSR1), 0);
	s = set_of(SIGUSR2, 0);
	CHECK_OK(sigprocmask(SIG_SETMASK, &s, &got));
	CHECK_EQ(sigismember(&got, SIGUSR1), 1);
	CHECK_OK(sigprocmask(SIG_UNBLOCK, &s, &got));
	CHECK_EQ(sigismember(&got, SIGUSR2), 1);
	CHECK_EQ(sigismember(&got, SIGUSR1), 0);
}

TEST(kill_and_stop_cannot_be_blocked)
{
	sigset_t all, got;
	sigfillset(&all);
	CHECK_OK(sigprocmask(SIG_SETMASK, &all, NULL));
	CHECK_OK(sigprocmask(SIG_SETMASK, NULL, &got));
	CHECK_EQ(sigismember(&got, SIGKILL), 0);
	CHECK_EQ(sigismember(&got, SIGSTOP), 0);
	CHECK_EQ(sigismember(&got, SIGTERM), 1);
}

static sigset_t mask_in_handler;

static void save_mask(int sig MAYBE_UNUSED)
{
	sigprocmask(SIG_BLOCK, NULL, &mask_in_handler);
	hits++;
}

TEST(handler_blocks_itself_and_sa_mask)
{
	sigset_t after;
	struct sigaction sa = {.sa_handler = save_mask};
	sigaddset(&sa.sa_mask, SIGUSR2);
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	block(SIGHUP, 0);
	raise(SIGUSR1);
	CHECK_EQ(hits, 1);
	CHECK_EQ(sigismember(&mask_in_handler, SIGUSR1), 1);
	CHECK_EQ(sigismember(&mask_in_handler, SIGUSR2), 1);
	CHECK_EQ(sigismember(&mask_in_handler, SIGHUP), 1);
	CHECK_EQ(sigismember(&mask_in_handler, SIGTERM), 0);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &after));
	CHECK_EQ(sigismember(&after, SIGUSR1), 0);
	CHECK_EQ(sigismember(&after, SIGUSR2), 0);
	CHECK_EQ(sigismember(&after, SIGHUP), 1);
}

TEST(sa_nodefer_leaves_itself_open)
{
	handle(SIGUSR1, save_mask, SA_NODEFER);
	raise(SIGUSR1);
	CHECK_EQ(sigismember(&mask_in_handler, SIGUSR1), 0);
}

static void recurse(int sig)
{
	int depth = ++hits;
	if (depth < 5)
		raise(sig);
	record(depth);
}

TEST(sa_nodefer_nests)
{
	handle(SIGUSR1, recurse, SA_NODEFER);
	raise(SIGUSR1);
	CHECK_EQ(hits, 5);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(order[i], 5 - i);
}

TEST(without_nodefer_it_runs_afterwards)
{
	handle(SIGUSR1, recurse, 0);
	raise(SIGUSR1);
	CHECK_EQ(hits, 5);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(order[i], i + 1);
}

TEST(sa_resethand)
{
	struct sigaction got;
	handle(SIGUSR1, count, SA_RESETHAND);
	raise(SIGUSR1);
	CHECK_EQ(hits, 1);
	CHECK_OK(sigaction(SIGUSR1, NULL, &got));
	CHECK(got.sa_handler == SIG_DFL);
	pid_t pid = xfork();
	if (pid == 0) {
		raise(SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGUSR1);
}

TEST(ignoring_discards_pending)
{
	handle(SIGUSR1, count, 0);
	block(SIGUSR1, 0);
	raise(SIGUSR1);
	CHECK_EQ(pending(SIGUSR1), 1);
	signal(SIGUSR1, SIG_IGN);
	CHECK_EQ(pending(SIGUSR1), 0);
	handle(SIGUSR1, count, 0);
	unblock(SIGUSR1, 0);
	CHECK_EQ(hits, 0);
}

TEST(default_ignored_discards_pending)
{
	handle(SIGWINCH, count, 0);
	block(SIGWINCH, 0);
	raise(SIGWINCH);
	CHECK_EQ(pending(SIGWINCH), 1);
	signal(SIGWINCH, SIG_DFL);
	CHECK_EQ(pending(SIGWINCH), 0);
}

TEST(blocked_and_ignored_is_kept)
{
	/* A blocked signal is not dropped although it is ignored: sigwait may want it (kernel/signal.c sig_ignored). */
	block(SIGUSR1, 0);
	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
	CHECK_EQ(pending(SIGUSR1), 1);
}

TEST(sigcont_discards_pending_stops_and_back)
{
	block(SIGTSTP, SIGCONT);
	raise(SIGTSTP);
	CHECK_EQ(pending(SIGTSTP), 1);
	raise(SIGCONT);
	CHECK_EQ(pending(SIGTSTP), 0);
	CHECK_EQ(pending(SIGCONT), 1);
	raise(SIGTSTP);
	CHECK_EQ(pending(SIGCONT), 0);
}

TEST(pending_is_not_inherited_over_fork)
{
	block(SIGUSR1, 0);
	raise(SIGUSR1);
	CHILD {
		CHECK_EQ(pending(SIGUSR1), 0);
	} CHILD_END;
	CHECK_EQ(pending(SIGUSR1), 1);
}

/* ---- restart ---- */

static void send_byte_later(int fd)
{
	pid_t me = getpid();
	if (xfork() == 0) {
		wait_asleep(me);
		kill(me, SIGUSR1);
		msleep(100);
		_exit(write(fd, "x", 1) != 1);
	}
}

TEST(read_is_interrupted)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	handle(SIGUSR1, count, 0);
	send_byte_later(p[1]);
	CHECK_ERRNO(read(p[0], &c, 1), EINTR);
	CHECK_EQ(hits, 1);
}

TEST(read_restarts)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	handle(SIGUSR1, count, SA_RESTART);
	send_byte_later(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(hits, 1);
}

TEST(ignored_signal_does_not_interrupt)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	signal(SIGUSR1, SIG_IGN);
	send_byte_later(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 1);
}

TEST(blocked_signal_does_not_interrupt)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	handle(SIGUSR1, count, 0);
	block(SIGUSR1, 0);
	send_byte_later(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(hits, 0);
	CHECK_EQ(pending(SIGUSR1), 1);
}

TEST(stop_and_continue_does_not_interrupt_read)
{
	int p[2], st;
	char c;
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(read(p[0], &c, 1) == 1 ? 0 : errno);
	wait_asleep(pid);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(partial_write_is_not_an_error)
{
	static char buf[1 << 20];
	int p[2];
	CHECK_OK(pipe(p));
	handle(SIGUSR1, count, 0);
	pid_t pid = signal_me_when_asleep(SIGUSR1, 1);
	CHECK_EQ(write(p[1], buf, sizeof buf), 65536); /* what fitted before the signal */
	CHECK_EQ(wait_exit(pid), 0);
	pid = signal_me_when_asleep(SIGUSR1, 1);
	CHECK_ERRNO(write(p[1], buf, 1), EINTR);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(never_restarted_calls)
{
	struct timespec long_time = {10, 0};
	struct pollfd none = {-1, 0, 0};
	struct epoll_event ev;
	sigset_t usr2 = set_of(SIGUSR2, 0);
	int ep = CHECK_OK(epoll_create1(0));
	handle(SIGUSR1, count, SA_RESTART);
	block(SIGUSR2, 0);
	pid_t pid = signal_me_when_asleep(SIGUSR1, 8);
	CHECK_ERRNO(pause(), EINTR);
	CHECK_ERRNO(poll(&none, 1, 10000), EINTR);
	CHECK_ERRNO(select(0, NULL, NULL, NULL, &(struct timeval){10, 0}), EINTR);
	CHECK_ERRNO(epoll_wait(ep, &ev, 1, 10000), EINTR);
	CHECK_ERRNO(sigtimedwait(&usr2, NULL, &long_time), EINTR);
	CHECK_ERRNO(nanosleep(&long_time, NULL), EINTR);
	CHECK_ERRNO(sigsuspend(&usr2), EINTR);
	CHECK_ERRNO(ppoll(&none, 1, &long_time, NULL), EINTR);
	CHECK_EQ(hits, 8);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(recv_with_timeout_is_not_restarted)
{
	int s[2];
	char c;
	struct timeval tv = {10, 0};
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	handle(SIGUSR1, count, SA_RESTART);
	CHECK_OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	pid_t pid = signal_me_when_asleep(SIGUSR1, 1);
	CHECK_ERRNO(recv(s[0], &c, 1, 0), EINTR);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(recv_without_timeout_restarts)
{
	int s[2];
	char c;
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	handle(SIGUSR1, count, SA_RESTART);
	send_byte_later(s[1]);
	CHECK_EQ(recv(s[0], &c, 1, 0), 1);
	CHECK_EQ(hits, 1);
}

TEST(poll_timeout_survives_stop)
{
	/* poll is restarted after a stop with what is left of its time. */
	int st;
	pid_t pid = xfork();
	if (pid == 0) {
		long long t = now_ms();
		int n = poll(NULL, 0, 400);
		_exit(n == 0 && now_ms() - t >= 390 ? 0 : 1);
	}
	wait_asleep(pid);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(wait_exit(pid), 0);
}

/* ---- waiting for signals ---- */

TEST(sigsuspend_swaps_mask_and_restores)
{
	sigset_t none, got;
	handle(SIGUSR1, save_mask, 0);
	block(SIGUSR1, SIGUSR2);
	raise(SIGUSR1);
	CHECK_EQ(hits, 0);
	none = set_of(0, 0);
	CHECK_ERRNO(sigsuspend(&none), EINTR);
	CHECK_EQ(hits, 1);
	CHECK_EQ(sigismember(&mask_in_handler, SIGUSR2), 0);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &got));
	CHECK_EQ(sigismember(&got, SIGUSR1), 1);
	CHECK_EQ(sigismember(&got, SIGUSR2), 1);
	CHECK_ERRNO(syscall(SYS_rt_sigsuspend, &none, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigsuspend, BAD, 8), EFAULT);
}

TEST(sigtimedwait_takes_pending)
{
	sigset_t s = set_of(SIGUSR1, SIGRTMIN);
	siginfo_t si = {0};
	struct timespec zero = {0, 0};
	block(SIGUSR1, SIGRTMIN);
	CHECK_ERRNO(sigtimedwait(&s, &si, &zero), EAGAIN);
	CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 77}));
	CHECK_EQ(sigtimedwait(&s, &si, &zero), SIGRTMIN);
	CHECK_EQ(si.si_signo, SIGRTMIN);
	CHECK_EQ(si.si_code, SI_QUEUE);
	CHECK_EQ(si.si_value.sival_int, 77);
	CHECK_EQ(si.si_pid, getpid());
	CHECK_EQ(pending(SIGRTMIN), 0);
}

TEST(sigtimedwait_times_out)
{
	sigset_t s = set_of(SIGUSR1, 0);
	struct timespec t = {0, 120000000}, bad = {0, 1000000000};
	block(SIGUSR1, 0);
	long long start = now_ms();
	CHECK_ERRNO(sigtimedwait(&s, NULL, &t), EAGAIN);
	CHECK_GE(now_ms() - start, 119);
	CHECK_ERRNO(sigtimedwait(&s, NULL, &bad), EINVAL);
	bad = (struct timespec){-1, 0};
	CHECK_ERRNO(sigtimedwait(&s, NULL, &bad), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &s, NULL, NULL, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, BAD, NULL, NULL, 8), EFAULT);
}

TEST(sigtimedwait_wakes_for_late_signal)
{
	sigset_t s = set_of(SIGUSR1, 0);
	siginfo_t si;
	block(SIGUSR1, 0);
	pid_t pid = signal_me_when_asleep(SIGUSR1, 1);
	CHECK_EQ(sigwaitinfo(&s, &si), SIGUSR1);
	CHECK_EQ(si.si_code, SI_USER);
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_uid, getuid());
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(sigwait_takes_unblocked_signal_too)
{
	/* While waiting the set is not delivered to handlers even if it is not blocked. */
	sigset_t s = set_of(SIGUSR1, 0);
	handle(SIGUSR1, count, 0);
	pid_t pid = signal_me_when_asleep(SIGUSR1, 1);
	CHECK_EQ(sigwaitinfo(&s, NULL), SIGUSR1);
	CHECK_EQ(hits, 0);
	CHECK_EQ(wait_exit(pid), 0);
}

/* ---- signalfd ---- */

TEST(signalfd_reads_records)
{
	sigset_t s = set_of(SIGUSR1, SIGRTMIN);
	struct signalfd_siginfo si[4];
	block(SIGUSR1, SIGRTMIN);
	int fd = CHECK_OK(signalfd(-1, &s, SFD_CLOEXEC | SFD_NONBLOCK));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_ERRNO(read(fd, si, sizeof si), EAGAIN);
	raise(SIGUSR1);
	CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5}));
	CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 6}));
	CHECK_EQ(read(fd, si, sizeof si), 3 * sizeof si[0]);
	CHECK_EQ(si[0].ssi_signo, SIGUSR1);
	CHECK_EQ(si[0].ssi_pid, getpid());
	CHECK_EQ(si[1].ssi_signo, SIGRTMIN);
	CHECK_EQ(si[1].ssi_int, 5);
	CHECK_EQ(si[1].ssi_code, SI_QUEUE);
	CHECK_EQ(si[2].ssi_int, 6);
	CHECK_EQ(pending(SIGRTMIN), 0);
}

TEST(signalfd_short_buffer_and_bad_arguments)
{
	sigset_t s = set_of(SIGUSR1, 0);
	struct signalfd_siginfo si;
	block(SIGUSR1, 0);
	int fd = CHECK_OK(signalfd(-1, &s, SFD_NONBLOCK));
	raise(SIGUSR1);
	CHECK_ERRNO(read(fd, &si, sizeof si - 1), EINVAL);
	CHECK_EQ(read(fd, &si, sizeof si), sizeof si);
	CHECK_ERRNO(signalfd(-1, &s, 1), EINVAL);
	CHECK_ERRNO(signalfd(999, &s, 0), EBADF);
	CHECK_ERRNO(signalfd(0, &s, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_signalfd4, -1, &s, 4, 0), EINVAL);
	CHECK_ERRNO(write(fd, "x", 1), EINVAL);
}

TEST(signalfd_polls_and_changes_mask)
{
	sigset_t a = set_of(SIGUSR1, 0), b = set_of(SIGUSR2, 0);
	struct signalfd_siginfo si;
	block(SIGUSR1, SIGUSR2);
	int fd = CHECK_OK(signalfd(-1, &a, SFD_NONBLOCK));
	struct pollfd p = {fd, POLLIN, 0};
	raise(SIGUSR2);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_EQ(signalfd(fd, &b, 0), fd);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_EQ(read(fd, &si, sizeof si), sizeof si);
	CHECK_EQ(si.ssi_signo, SIGUSR2);
}

TEST(signalfd_wakes_blocked_reader)
{
	sigset_t s = set_of(SIGUSR1, 0);
	struct signalfd_siginfo si;
	block(SIGUSR1, 0);
	int fd = CHECK_OK(signalfd(-1, &s, 0));
	pid_t pid = signal_me_when_asleep(SIGUSR1, 1);
	CHECK_EQ(read(fd, &si, sizeof si), sizeof si);
	CHECK_EQ(si.ssi_pid, pid);
	CHECK_EQ(si.ssi_uid, getuid());
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(signalfd_of_parent_in_child_reads_childs_signals)
{
	sigset_t s = set_of(SIGUSR1, 0);
	struct signalfd_siginfo si;
	block(SIGUSR1, 0);
	int fd = CHECK_OK(signalfd(-1, &s, SFD_NONBLOCK));
	raise(SIGUSR1);
	CHILD {
		CHECK_ERRNO(read(fd, &si, sizeof si), EAGAIN);
	} CHILD_END;
	CHECK_EQ(read(fd, &si, sizeof si), sizeof si);
}

TEST(signalfd_sigchld_has_status)
{
	sigset_t s = set_of(SIGCHLD, 0);
	struct signalfd_siginfo si;
	block(SIGCHLD, 0);
	int fd = CHECK_OK(signalfd(-1, &s, 0));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(19);
	CHECK_EQ(read(fd, &si, sizeof si), sizeof si);
	CHECK_EQ(si.ssi_signo, SIGCHLD);
	CHECK_EQ(si.ssi_code, CLD_EXITED);
	CHECK_EQ(si.ssi_pid, pid);
	CHECK_EQ(si.ssi_status, 19);
}

/* ---- which thread ---- */

static volatile pid_t handled_by;

static void save_tid(int sig MAYBE_UNUSED)
{
	handled_by = gettid();
	hits++;
}

static void *open_thread(void *arg)
{
	sigset_t s = set_of(SIGUSR1, 0);
	sigprocmask(SIG_UNBLOCK, &s, NULL);
	*(volatile pid_t *)arg = gettid();
	while (!hits)
		msleep(5);
	return NULL;
}

TEST(process_signal_goes_to_a_thread_that_takes_it)
{
	pthread_t t;
	volatile pid_t tid = 0;
	handle(SIGUSR1, save_tid, 0);
	block(SIGUSR1, 0);
	CHECK_EQ(pthread_create(&t, NULL, open_thread, (void *)&tid), 0);
	while (!tid)
		msleep(5);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(handled_by, tid);
}

static void *blocked_thread(void *arg MAYBE_UNUSED)
{
	sigset_t s;
	while (hits == 0)
		msleep(5);
	sigpending(&s);
	return (void *)(long)sigismember(&s, SIGUSR2);
}

TEST(thread_signal_stays_with_its_thread)
{
	pthread_t t;
	void *r;
	block(SIGUSR2, 0);
	CHECK_EQ(pthread_create(&t, NULL, blocked_thread, NULL), 0);
	CHECK_EQ(pthread_kill(t, SIGUSR2), 0);
	CHECK_EQ(pending(SIGUSR2), 0);
	hits = 1;
	CHECK_EQ(pthread_join(t, &r), 0);
	CHECK_EQ((long)r, 1);
}

static void *inherit_mask(void *arg MAYBE_UNUSED)
{
	sigset_t s;
	sigprocmask(SIG_BLOCK, NULL, &s);
	return (void *)(long)sigismember(&s, SIGUSR2);
}

TEST(thread_inherits_mask_not_pending)
{
	pthread_t t;
	void *r;
	block(SIGUSR2, 0);
	CHECK_EQ(pthread_create(&t, NULL, inherit_mask, NULL), 0);
	CHECK_EQ(pthread_join(t, &r), 0);
	CHECK_EQ((long)r, 1);
}

static void *pause_thread(void *arg MAYBE_UNUSED)
{
	for (;;)
		pause();
	return NULL;
}

TEST(fatal_signal_to_thread_ends_the_process)
{
	pid_t pid = xfork();
	if (pid == 0) {
		pthread_t t;
		pthread_create(&t, NULL, pause_thread, NULL);
		pthread_kill(t, SIGTERM);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGTERM);
}

TEST(stop_stops_all_threads)
{
	int st, p[2];
	char c;
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		pthread_t t;
		pthread_create(&t, NULL, pause_thread, NULL);
		if (write(p[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
	char path[64];
	int stopped = 0;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *d = opendir(path);
	CHECK(d != NULL);
	struct dirent *e;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			CHECK_EQ(task_state(atoi(e->d_name)), 'T');
			stopped++;
		}
	CHECK_EQ(stopped, 2);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

/* ---- SIGPIPE ---- */

TEST(sigpipe_on_pipe_and_socket)
{
	int p[2], s[2];
	handle(SIGPIPE, count, 0);
	CHECK_OK(pipe(p));
	close(p[0]);
	CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
	CHECK_EQ(hits, 1);
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	close(s[0]);
	CHECK_ERRNO(write(s[1], "x", 1), EPIPE);
	CHECK_EQ(hits, 2);
	CHECK_ERRNO(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(hits, 2);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
}

TEST(sigpipe_ends_by_default)
{
	int p[2];
	CHECK_OK(pipe(p));
	close(p[0]);
	pid_t pid = xfork();
	if (pid == 0)
		_exit(write(p[1], "x", 1) < 0 ? 1 : 2);
	CHECK_EQ(wait_exit(pid), 1000 + SIGPIPE);
}

/* ---- SIGIO ---- */

TEST(fasync_sends_sigio)
{
	int p[2];
	CHECK_OK(pipe(p));
	handle(SIGIO, count, 0);
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
	CHECK_OK(fcntl(p[0], F_SETFL, O_ASYNC));
	CHECK_EQ(fcntl(p[0], F_GETFL) & O_ASYNC, O_ASYNC);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(hits, 1);
}

static volatile int io_fd, io_band;

static void save_io(int sig MAYBE_UNUSED, siginfo_t *si, void *uc MAYBE_UNUSED)
{
	io_fd = si->si_fd;
	io_band = si->si_band;
}

TEST(setsig_carries_fd)
{
	int p[2];
	struct sigaction sa = {.sa_sigaction = save_io, .sa_flags = SA_SIGINFO};
	CHECK_OK(pipe(p));
	CHECK_OK(sigaction(SIGRTMIN, &sa, NULL));
	CHECK_OK(fcntl(p[0], F_SETSIG, SIGRTMIN));
	CHECK_EQ(fcntl(p[0], F_GETSIG), SIGRTMIN);
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	CHECK_OK(fcntl(p[0], F_SETFL, O_ASYNC));
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(io_fd, p[0]);
	CHECK_EQ(io_band & POLLIN, POLLIN);
	CHECK_ERRNO(fcntl(p[0], F_SETSIG, 65), EINVAL);
}

TEST(setown_ex_targets_a_thread)
{
	int p[2];
	struct f_owner_ex o = {F_OWNER_TID, gettid()}, got;
	CHECK_OK(pipe(p));
	CHECK_OK(fcntl(p[0], F_SETOWN_EX, &o));
	CHECK_OK(fcntl(p[0], F_GETOWN_EX, &got));
	CHECK_EQ(got.type, F_OWNER_TID);
	CHECK_EQ(got.pid, gettid());
	o.type = 99;
	CHECK_ERRNO(fcntl(p[0], F_SETOWN_EX, &o), EINVAL);
	o = (struct f_owner_ex){F_OWNER_PID, 0x3ffffff};
	CHECK_ERRNO(fcntl(p[0], F_SETOWN_EX, &o), ESRCH);
}
