/* Clocks, sleeps and timers. Lower bounds are exact; upper bounds are generous, for busy machines. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#define MS 1000000L

static volatile sig_atomic_t hits;

static void count(int sig MAYBE_UNUSED)
{
	hits++;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = {.sa_handler = count, .sa_flags = flags};
	CHECK_OK(sigaction(sig, &sa, NULL));
}

static void block(int sig)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, sig);
	CHECK_OK(sigprocmask(SIG_BLOCK, &s, NULL));
}

static long long ns(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct timespec ts(long long n)
{
	return (struct timespec){n / 1000000000, n % 1000000000};
}

static long long clock_ns(clockid_t c)
{
	struct timespec t;
	CHECK_OK(clock_gettime(c, &t));
	return ns(t);
}

static void burn(long ms)
{
	long long end = clock_ns(CLOCK_PROCESS_CPUTIME_ID) + ms * MS;
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < end)
		;
}

/* ---- clocks ---- */

TEST(all_clocks_tick)
{
	clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI};
	long long before[7];
	for (int i = 0; i < 7; i++)
		before[i] = clock_ns(ids[i]);
	msleep(60);
	for (int i = 0; i < 7; i++) {
		long long d = clock_ns(ids[i]) - before[i];
		CHECK_GE(d, 45 * MS);
		CHECK_LT(d, 10000 * MS);
	}
}

TEST(clock_system_calls_agree_with_the_fast_path)
{
	clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
	for (int i = 0; i < 3; i++) {
		struct timespec a, b, c;
		CHECK_OK(clock_gettime(ids[i], &a));
		CHECK_OK(syscall(SYS_clock_gettime, ids[i], &b));
		CHECK_OK(clock_gettime(ids[i], &c));
		CHECK_GE(ns(b), ns(a));
		CHECK_GE(ns(c), ns(b));
	}
}

TEST(clock_errors)
{
	struct timespec t;
	CHECK_ERRNO(syscall(SYS_clock_gettime, 99, &t), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_clock_getres, 99, &t), EINVAL);
	CHECK_OK(syscall(SYS_clock_getres, CLOCK_REALTIME, NULL));
	CHECK_ERRNO(syscall(SYS_gettimeofday, BAD, NULL), EFAULT);
	CHECK_OK(syscall(SYS_gettimeofday, NULL, NULL));
	t = (struct timespec){1, 0};
	CHECK_ERRNO(clock_settime(CLOCK_MONOTONIC, &t), EINVAL);
	t = (struct timespec){1, -1};
	CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &t), EINVAL);
}

TEST(setting_the_clock_needs_privilege)
{
	struct timespec t = {1, 0};
	struct timeval tv = {1, 0};
	CHILD {
		become_user();
		CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &t), EPERM);
		CHECK_ERRNO(settimeofday(&tv, NULL), EPERM);
	} CHILD_END;
}

TEST(clock_resolutions)
{
	struct timespec t;
	clockid_t fine[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
	for (int i = 0; i < 5; i++) {
		CHECK_OK(clock_getres(fine[i], &t));
		CHECK_EQ(t.tv_sec, 0);
		CHECK_EQ(t.tv_nsec, 1);
	}
	CHECK_OK(clock_getres(CLOCK_MONOTONIC_COARSE, &t));
	CHECK_GE(t.tv_nsec, 1000000);
	CHECK_LE(t.tv_nsec, 10000000);
}

TEST(wall_clocks_agree)
{
	struct timeval tv;
	time_t t0 = time(NULL);
	CHECK_OK(gettimeofday(&tv, NULL));
	long long real = clock_ns(CLOCK_REALTIME);
	time_t t1 = syscall(SYS_time, NULL);
	CHECK_GE(tv.tv_sec, t0);
	CHECK_LE(tv.tv_sec - t0, 5);
	CHECK_LE(llabs(real / 1000000000 - tv.tv_sec), 5);
	CHECK_LE(llabs((long long)t1 - tv.tv_sec), 5);
	CHECK_GT(t1, 1600000000);
	time_t stored = 0;
	t1 = syscall(SYS_time, &stored);
	CHECK_EQ(t1, stored);
}

TEST(monotonic_never_goes_back)
{
	long long last = 0;
	for (int i = 0; i < 20000; i++) {
		long long n = clock_ns(CLOCK_MONOTONIC);
		CHECK_GE(n, last);
		last = n;
	}
}

TEST(cpu_clocks_count_work_not_sleep)
{
	long long p = clock_ns(CLOCK_PROCESS_CPUTIME_ID), t = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	msleep(200);
	CHECK_LT(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - p, 100 * MS);
	burn(100);
	CHECK_GE(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - p, 100 * MS);
	CHECK_GE(clock_ns(CLOCK_THREAD_CPUTIME_ID) - t, 90 * MS);
}

TEST(cpu_clock_of_other_process)
{
	clockid_t c;
	int p[2];
	char x;
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		burn(150);
		if (write(p[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	CHECK_EQ(clock_getcpuclockid(pid, &c), 0);
	CHECK_EQ(read(p[0], &x, 1), 1);
	CHECK_GE(clock_ns(c), 150 * MS);
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
	struct timespec t;
	CHECK_ERRNO(clock_gettime(c, &t), EINVAL);
}

TEST(times_and_rusage_grow)
{
	struct tms a, b;
	struct rusage ru;
	clock_t t0 = CHECK_OK(times(&a));
	burn(200);
	clock_t t1 = CHECK_OK(times(&b));
	CHECK_GE(b.tms_utime + b.tms_stime - a.tms_utime - a.tms_stime, 15);
	CHECK_GE(t1 - t0, 15);
	CHECK_OK(getrusage(RUSAGE_SELF, &ru));
	CHECK_GE(ru.ru_utime.tv_sec * 1000 + ru.ru_utime.tv_usec / 1000 + ru.ru_stime.tv_sec * 1000 + ru.ru_stime.tv_usec / 1000, 190);
}

/* ---- sleeps ---- */

TEST(nanosleep_sleeps_at_least)
{
	struct timespec t = {0, 100 * MS};
	long long start = clock_ns(CLOCK_MONOTONIC);
	CHECK_OK(nanosleep(&t, NULL));
	CHECK_GE(clock_ns(CLOCK_MONOTONIC) - start, 100 * MS);
	t = (struct timespec){0, 0};
	CHECK_OK(nanosleep(&t, NULL));
}

TEST(nanosleep_errors)
{
	struct timespec bad[] = {{-1, 0}, {0, -1}, {0, 1000000000}};
	for (int i = 0; i < 3; i++)
		CHECK_ERRNO(nanosleep(&bad[i], NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_nanosleep, BAD, NULL), EFAULT);
	CHECK_EQ(clock_nanosleep(99, 0, &bad[0], NULL), EINVAL);
	CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &(struct timespec){0, 1}, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &(struct timespec){0, 1}, NULL), EOPNOTSUPP);
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad[2], NULL), EINVAL);
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC_COARSE, 0, &(struct timespec){0, 1}, NULL), EOPNOTSUPP);
}

static pid_t signal_parent(int sig)
{
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		_exit(kill(me, sig));
	}
	return pid;
}

TEST(nanosleep_interrupted_tells_the_rest)
{
	struct timespec t = {10, 0}, rest = {0, 0};
	handle(SIGUSR1, SA_RESTART);
	pid_t pid = signal_parent(SIGUSR1);
	CHECK_ERRNO(nanosleep(&t, &rest), EINTR);
	CHECK_GT(rest.tv_sec * 1000 + rest.tv_nsec / 1000000, 1000);
	CHECK_LT(ns(rest), 10000 * MS);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(nanosleep_goes_on_after_stop)
{
	int st;
	pid_t pid = xfork();
	if (pid == 0) {
		struct timespec t = {0, 400 * MS};
		long long start = clock_ns(CLOCK_MONOTONIC);
		int r = nanosleep(&t, NULL);
		_exit(r == 0 && clock_ns(CLOCK_MONOTONIC) - start >= 400 * MS ? 0 : 1);
	}
	wait_asleep(pid);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(nanosleep_ignores_ignored_signals)
{
	struct timespec t = {0, 300 * MS};
	signal(SIGUSR1, SIG_IGN);
	pid_t pid = signal_parent(SIGUSR1);
	CHECK_OK(nanosleep(&t, NULL));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(clock_nanosleep_absolute)
{
	clockid_t ids[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
	for (int i = 0; i < 3; i++) {
		long long until = clock_ns(ids[i]) + 100 * MS;
		struct timespec t = ts(until), past = {1, 0};
		CHECK_EQ(clock_nanosleep(ids[i], TIMER_ABSTIME, &t, NULL), 0);
		CHECK_GE(clock_ns(ids[i]), until);
		CHECK_EQ(clock_nanosleep(ids[i], TIMER_ABSTIME, &past, NULL), 0);
	}
}

TEST(clock_nanosleep_absolute_interrupted_leaves_rest_alone)
{
	struct timespec t = ts(clock_ns(CLOCK_MONOTONIC) + 10000 * MS), rest = {77, 77};
	handle(SIGUSR1, 0);
	pid_t pid = signal_parent(SIGUSR1);
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, &rest), EINTR);
	CHECK_EQ(rest.tv_sec, 77);
	CHECK_EQ(wait_exit(pid), 0);
}

/* ---- alarm and interval timers ---- */

TEST(alarm_rounds_and_replaces)
{
	CHECK_EQ(alarm(100), 0);
	CHECK_EQ(alarm(50), 100);
	CHECK_EQ(alarm(0), 50);
	CHECK_EQ(alarm(0), 0);
}

TEST(alarm_fires_once)
{
	handle(SIGALRM, 0);
	alarm(1);
	long long start = now_ms();
	CHECK_ERRNO(pause(), EINTR);
	CHECK_GE(now_ms() - start, 950);
	CHECK_EQ(hits, 1);
	CHECK_EQ(alarm(0), 0);
}

TEST(alarm_and_itimer_real_are_one)
{
	struct itimerval it, old;
	alarm(100);
	CHECK_OK(getitimer(ITIMER_REAL, &it));
	CHECK_GE(it.it_value.tv_sec, 98);
	CHECK_EQ(it.it_interval.tv_sec, 0);
	it = (struct itimerval){{0, 0}, {200, 0}};
	CHECK_OK(setitimer(ITIMER_REAL, &it, &old));
	CHECK_GE(old.it_value.tv_sec, 98);
	CHECK_GE(alarm(0), 199);
}

TEST(itimer_errors)
{
	struct itimerval it = {{0, 0}, {0, 1000000}}, neg = {{0, 0}, {-1, 0}};
	CHECK_ERRNO(setitimer(3, &it, NULL), EINVAL);
	CHECK_ERRNO(getitimer(3, &it), EINVAL);
	CHECK_ERRNO(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
	CHECK_ERRNO(setitimer(ITIMER_REAL, &neg, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_setitimer, ITIMER_REAL, BAD, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_getitimer, ITIMER_REAL, BAD), EFAULT);
}

TEST(itimer_real_repeats)
{
	struct itimerval it = {{0, 20000}, {0, 20000}};
	handle(SIGALRM, 0);
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	long long start = now_ms();
	while (hits < 5)
		pause();
	CHECK_GE(now_ms() - start, 95);
	CHECK_OK(getitimer(ITIMER_REAL, &it));
	CHECK_EQ(it.it_interval.tv_usec, 20000);
}

TEST(itimer_virtual_counts_user_time)
{
	struct itimerval it = {{0, 0}, {0, 50000}};
	handle(SIGVTALRM, 0);
	CHECK_OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
	msleep(150);
	CHECK_EQ(hits, 0);
	long long end = now_ms() + 10000;
	while (!hits)
		CHECK_LT(now_ms(), end);
	CHECK_EQ(hits, 1);
}

TEST(itimer_prof_counts_cpu_time)
{
	struct itimerval it = {{0, 30000}, {0, 30000}};
	handle(SIGPROF, SA_RESTART);
	CHECK_OK(setitimer(ITIMER_PROF, &it, NULL));
	long long end = now_ms() + 15000;
	while (hits < 3)
		CHECK_LT(now_ms(), end);
	CHECK_GE(clock_ns(CLOCK_PROCESS_CPUTIME_ID), 70 * MS);
}

/* ---- POSIX timers ---- */

static timer_t new_timer(clockid_t clock, int sig, int value)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig, .sigev_value.sival_int = value};
	timer_t id;
	CHECK_OK(timer_create(clock, &ev, &id));
	return id;
}

static void arm(timer_t id, int flags, long long value, long long interval)
{
	struct itimerspec its = {ts(interval), ts(value)};
	CHECK_OK(timer_settime(id, flags, &its, NULL));
}

TEST(timer_errors)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
	struct itimerspec its = {{0, 0}, {0, 1000000000}};
	int id;
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
	ev.sigev_signo = SIGUSR1;
	ev.sigev_notify = 99;
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_create, 99, NULL, &id), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, BAD, &id), EFAULT);
	CHECK_ERRNO(syscall(SYS_timer_gettime, 4711, &its), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_delete, 4711), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_getoverrun, 4711), EINVAL);
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id));
	CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, &its, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
	CHECK_OK(syscall(SYS_timer_delete, id));
	CHECK_ERRNO(syscall(SYS_timer_delete, id), EINVAL);
}

TEST(timer_fires_once)
{
	handle(SIGUSR1, 0);
	timer_t id = new_timer(CLOCK_MONOTONIC, SIGUSR1, 0);
	long long start = clock_ns(CLOCK_MONOTONIC);
	arm(id, 0, 80 * MS, 0);
	CHECK_ERRNO(pause(), EINTR);
	CHECK_GE(clock_ns(CLOCK_MONOTONIC) - start, 80 * MS);
	struct itimerspec its;
	CHECK_OK(timer_gettime(id, &its));
	CHECK_EQ(ns(its.it_value), 0);
	CHECK_EQ(hits, 1);
}

TEST(timer_absolute)
{
	clockid_t ids[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
	block(SIGRTMIN);
	for (int i = 0; i < 3; i++) {
		sigset_t s;
		siginfo_t si;
		sigemptyset(&s);
		sigaddset(&s, SIGRTMIN);
		timer_t id = new_timer(ids[i], SIGRTMIN, 50 + i);
		long long until = clock_ns(ids[i]) + 80 * MS;
		arm(id, TIMER_ABSTIME, until, 0);
		CHECK_EQ(sigwaitinfo(&s, &si), SIGRTMIN);
		CHECK_GE(clock_ns(ids[i]), until);
		CHECK_EQ(si.si_code, SI_TIMER);
		CHECK_EQ(si.si_value.sival_int, 50 + i);
		arm(id, TIMER_ABSTIME, 1, 0); /* long past: at once */
		CHECK_EQ(sigwaitinfo(&s, &si), SIGRTMIN);
		CHECK_OK(timer_delete(id));
	}
}

TEST(timer_default_event_is_sigalrm_with_id)
{
	sigset_t s;
	siginfo_t si;
	int id;
	block(SIGALRM);
	sigemptyset(&s);
	sigaddset(&s, SIGALRM);
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id));
	struct itimerspec its = {{0, 0}, {0, 20 * MS}};
	CHECK_OK(syscall(SYS_timer_settime, id, 0, &its, NULL));
	CHECK_EQ(sigwaitinfo(&s, &si), SIGALRM);
	CHECK_EQ(si.si_value.sival_int, id);
}

TEST(timer_overrun_is_counted)
{
	sigset_t s;
	siginfo_t si;
	block(SIGRTMIN);
	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN);
	timer_t id = new_timer(CLOCK_MONOTONIC, SIGRTMIN, 0);
	arm(id, 0, 10 * MS, 10 * MS);
	msleep(200);
	CHECK_EQ(sigwaitinfo(&s, &si), SIGRTMIN);
	CHECK_GE(si.si_overrun, 10);
	CHECK_EQ(timer_getoverrun(id), si.si_overrun);
	CHECK_OK(timer_delete(id));
}

TEST(timer_gettime_counts_down)
{
	struct itimerspec its;
	timer_t id = new_timer(CLOCK_MONOTONIC, SIGUSR1, 0);
	CHECK_OK(timer_gettime(id, &its));
	CHECK_EQ(ns(its.it_value), 0);
	arm(id, 0, 100000 * MS, 5 * MS);
	CHECK_OK(timer_gettime(id, &its));
	CHECK_GT(ns(its.it_value), 90000 * MS);
	CHECK_LE(ns(its.it_value), 100000 * MS);
	CHECK_EQ(ns(its.it_interval), 5 * MS);
	struct itimerspec off = {{0, 0}, {0, 0}}, old;
	CHECK_OK(timer_settime(id, 0, &off, &old));
	CHECK_GT(ns(old.it_value), 90000 * MS);
	CHECK_OK(timer_gettime(id, &its));
	CHECK_EQ(ns(its.it_value), 0);
}

TEST(timer_sigev_none_only_counts)
{
	struct sigevent ev = {.sigev_notify = SIGEV_NONE};
	struct itimerspec its = {{0, 0}, {0, 50 * MS}};
	timer_t id;
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &id));
	CHECK_OK(timer_settime(id, 0, &its, NULL));
	CHECK_OK(timer_gettime(id, &its));
	CHECK_GT(ns(its.it_value), 0);
	msleep(100);
	CHECK_OK(timer_gettime(id, &its));
	CHECK_EQ(ns(its.it_value), 0);
}

static volatile pid_t handled_by;

static void save_tid(int sig MAYBE_UNUSED)
{
	handled_by = gettid();
	hits++;
}

static void *timer_for_me(void *arg MAYBE_UNUSED)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	struct itimerspec its = {{0, 0}, {0, 20 * MS}};
	timer_t id;
	ev._sigev_un._tid = gettid();
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &id));
	CHECK_OK(timer_settime(id, 0, &its, NULL));
	while (!hits)
		msleep(10);
	return (void *)(long)gettid();
}

TEST(timer_sigev_thread_id)
{
	struct sigaction sa = {.sa_handler = save_tid};
	pthread_t t;
	void *tid;
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	CHECK_EQ(pthread_create(&t, NULL, timer_for_me, NULL), 0);
	CHECK_EQ(pthread_join(t, &tid), 0);
	CHECK_EQ(handled_by, (long)tid);
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	int id;
	ev._sigev_un._tid = getppid();
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
}

static volatile int thread_value;

static void notify(union sigval v)
{
	thread_value = v.sival_int;
}

TEST(timer_sigev_thread_of_the_c_library)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 99};
	timer_t id;
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &id));
	arm(id, 0, 20 * MS, 0);
	for (int i = 0; i < 500 && !thread_value; i++)
		msleep(10);
	CHECK_EQ(thread_value, 99);
}

TEST(timer_on_cpu_clock)
{
	handle(SIGUSR1, 0);
	timer_t id = new_timer(CLOCK_PROCESS_CPUTIME_ID, SIGUSR1, 0);
	arm(id, 0, 60 * MS, 0);
	msleep(120);
	CHECK_EQ(hits, 0);
	long long end = now_ms() + 15000;
	while (!hits)
		CHECK_LT(now_ms(), end);
}

TEST(timers_are_not_inherited)
{
	timer_t id = new_timer(CLOCK_MONOTONIC, SIGUSR1, 0);
	arm(id, 0, 100 * MS, 0);
	handle(SIGUSR1, 0);
	CHILD {
		struct itimerspec its;
		CHECK_ERRNO(timer_gettime(id, &its), EINVAL);
		msleep(200);
		CHECK_EQ(hits, 0);
	} CHILD_END;
	CHECK_EQ(hits, 1);
}

TEST(deleting_a_timer_drops_its_pending_signal)
{
	sigset_t s;
	struct timespec zero = {0, 0};
	block(SIGRTMIN);
	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN);
	timer_t id = new_timer(CLOCK_MONOTONIC, SIGRTMIN, 0);
	arm(id, 0, 10 * MS, 0);
	msleep(60);
	CHECK_OK(timer_delete(id));
	CHECK_ERRNO(sigtimedwait(&s, NULL, &zero), EAGAIN);
}

/* ---- timerfd ---- */

static int new_timerfd(int flags)
{
	return CHECK_OK(timerfd_create(CLOCK_MONOTONIC, flags));
}

TEST(timerfd_errors)
{
	struct itimerspec its = {{0, 0}, {0, 1000000000}};
	uint64_t n;
	CHECK_ERRNO(timerfd_create(99, 0), EINVAL);
	CHECK_ERRNO(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
	CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
	int fd = new_timerfd(TFD_NONBLOCK | TFD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(timerfd_settime(fd, 0, &its, NULL), EINVAL);
	its.it_value.tv_nsec = 1;
	CHECK_ERRNO(timerfd_settime(fd, 8, &its, NULL), EINVAL);
	CHECK_ERRNO(timerfd_settime(0, 0, &its, NULL), EINVAL);
	CHECK_ERRNO(timerfd_settime(999, 0, &its, NULL), EBADF);
	CHECK_ERRNO(timerfd_gettime(0, &its), EINVAL);
	CHECK_ERRNO(read(fd, &n, 4), EINVAL);
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN);
	CHECK_ERRNO(write(fd, &n, 8), EINVAL);
}

TEST(timerfd_reads_expirations)
{
	int fd = new_timerfd(0);
	uint64_t n = 0;
	struct itimerspec its = {{0, 20 * MS}, {0, 20 * MS}};
	CHECK_OK(timerfd_settime(fd, 0, &its, NULL));
	CHECK_EQ(read(fd, &n, sizeof n), 8);
	CHECK_GE(n, 1);
	msleep(110);
	CHECK_EQ(read(fd, &n, sizeof n), 8);
	CHECK_GE(n, 5);
}

TEST(timerfd_polls)
{
	int fd = new_timerfd(TFD_NONBLOCK);
	uint64_t n;
	struct pollfd p = {fd, POLLIN, 0};
	struct itimerspec its = {{0, 0}, {0, 60 * MS}};
	CHECK_EQ(poll(&p, 1, 0), 0);
	long long start = now_ms();
	CHECK_OK(timerfd_settime(fd, 0, &its, NULL));
	CHECK_EQ(poll(&p, 1, 10000), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_GE(now_ms() - start, 59);
	CHECK_EQ(read(fd, &n, 8), 8);
	CHECK_EQ(n, 1);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN);
}

TEST(timerfd_absolute)
{
	int fd = CHECK_OK(timerfd_create(CLOCK_REALTIME, 0));
	uint64_t n;
	long long until = clock_ns(CLOCK_REALTIME) + 80 * MS;
	struct itimerspec its = {{0, 0}, ts(until)};
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL));
	CHECK_EQ(read(fd, &n, 8), 8);
	CHECK_GE(clock_ns(CLOCK_REALTIME), until);
	its.it_value = (struct timespec){1, 0};
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL));
	CHECK_EQ(read(fd, &n, 8), 8);
	CHECK_EQ(n, 1);
}

TEST(timerfd_cancel_on_set_is_accepted)
{
	int fd = CHECK_OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
	struct itimerspec its = {{0, 0}, ts(clock_ns(CLOCK_REALTIME) + 100000 * MS)};
	uint64_t n;
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL));
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN);
}

TEST(timerfd_gettime_and_disarm)
{
	int fd = new_timerfd(TFD_NONBLOCK);
	struct itimerspec its = {{3, 0}, {100, 0}}, got, off = {{0, 0}, {0, 0}};
	CHECK_OK(timerfd_gettime(fd, &got));
	CHECK_EQ(ns(got.it_value), 0);
	CHECK_OK(timerfd_settime(fd, 0, &its, NULL));
	CHECK_OK(timerfd_gettime(fd, &got));
	CHECK_GT(ns(got.it_value), 90000 * MS);
	CHECK_EQ(got.it_interval.tv_sec, 3);
	CHECK_OK(timerfd_settime(fd, 0, &off, &got));
	CHECK_GT(ns(got.it_value), 90000 * MS);
	CHECK_OK(timerfd_gettime(fd, &got));
	CHECK_EQ(ns(got.it_value), 0);
}

TEST(timerfd_setting_again_clears_expirations)
{
	int fd = new_timerfd(TFD_NONBLOCK);
	struct itimerspec soon = {{0, 0}, {0, 1 * MS}}, late = {{0, 0}, {100, 0}};
	uint64_t n;
	CHECK_OK(timerfd_settime(fd, 0, &soon, NULL));
	msleep(60);
	CHECK_OK(timerfd_settime(fd, 0, &late, NULL));
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN);
}

TEST(timerfd_is_shared_over_fork)
{
	int fd = new_timerfd(0);
	struct itimerspec its = {{0, 0}, {0, 60 * MS}};
	uint64_t n;
	CHILD {
		CHECK_OK(timerfd_settime(fd, 0, &its, NULL));
	} CHILD_END;
	CHECK_EQ(read(fd, &n, 8), 8);
	CHECK_EQ(n, 1);
}

TEST(thirty_timers_at_once)
{
	struct pollfd p[30];
	for (int i = 0; i < 30; i++) {
		struct itimerspec its = {{0, 0}, {0, (30 - i) * 5 * MS}};
		p[i] = (struct pollfd){new_timerfd(TFD_NONBLOCK), POLLIN, 0};
		CHECK_OK(timerfd_settime(p[i].fd, 0, &its, NULL));
	}
	for (int i = 0; i < 30; i++)
		CHECK_EQ(poll(&p[i], 1, 10000), 1);
	CHECK_EQ(poll(p, 30, 0), 30);
}
