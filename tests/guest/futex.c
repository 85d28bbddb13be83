/* futex: wait, wake, requeue, wake_op, bitsets, priority inheritance, robust lists, between threads and processes. */
#include "check.h"
#include <linux/futex.h>
#include <stddef.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>

#define PRIV FUTEX_PRIVATE_FLAG

/* Memory of the whole test, shared with the children it forks. */
static volatile uint32_t *words;

static void shared_words(void)
{
	words = CHECK_OK((uint32_t *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

static long futex(volatile uint32_t *w, int op, uint32_t val, const void *timeout_or_val2, volatile uint32_t *w2, uint32_t val3)
{
	return syscall(SYS_futex, w, op, val, timeout_or_val2, w2, val3);
}

static long wake(volatile uint32_t *w, int n)
{
	return futex(w, FUTEX_WAKE, n, NULL, NULL, 0);
}

/* Wakes until n have been woken in all; for waiters that may not sleep yet. */
static void wake_all(volatile uint32_t *w, int n)
{
	long long end = now_ms() + 10000;
	while (n > 0) {
		long r = CHECK_OK(wake(w, n));
		n -= r;
		if (r == 0)
			msleep(5);
		CHECK_LT(now_ms(), end);
	}
}

static pid_t waiting_child(volatile uint32_t *w, int op, uint32_t val3)
{
	pid_t pid = xfork();
	if (pid == 0)
		_exit(futex(w, op, 0, NULL, NULL, val3) == 0 ? 0 : errno);
	wait_asleep(pid);
	return pid;
}

static volatile sig_atomic_t hits;

static void count(int sig MAYBE_UNUSED)
{
	hits++;
}

static struct timespec in_ms(clockid_t clock, long ms)
{
	struct timespec t;
	clock_gettime(clock, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

TEST(wait_with_other_value_is_eagain)
{
	uint32_t w = 5;
	CHECK_ERRNO(futex(&w, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
	CHECK_ERRNO(futex(&w, FUTEX_WAIT | PRIV, 4, NULL, NULL, 0), EAGAIN);
}

TEST(wait_times_out)
{
	uint32_t w = 5;
	struct timespec t = {0, 120000000};
	long long start = now_ms();
	CHECK_ERRNO(futex(&w, FUTEX_WAIT | PRIV, 5, &t, NULL, 0), ETIMEDOUT);
	CHECK_GE(now_ms() - start, 119);
	t = (struct timespec){0, 0};
	CHECK_ERRNO(futex(&w, FUTEX_WAIT, 5, &t, NULL, 0), ETIMEDOUT);
}

TEST(argument_errors)
{
	uint32_t w[2] = {0, 0};
	struct timespec bad = {0, 1000000000}, negative = {-1, 0};
	CHECK_ERRNO(futex(w, 99, 0, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex((void *)((char *)w + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex((void *)((char *)w + 1), FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(BAD, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(w, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(w, FUTEX_WAIT, 0, &negative, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(w, FUTEX_WAIT, 0, BAD, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(w, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(w, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(w, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex(w, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS);
}

TEST(wake_without_waiters_is_zero)
{
	uint32_t w = 0;
	CHECK_EQ(futex(&w, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
	CHECK_EQ(futex(&w, FUTEX_WAKE | PRIV, INT_MAX, NULL, NULL, 0), 0);
}

TEST(private_wake_needs_no_mapping)
{
	CHECK_EQ(futex(BAD, FUTEX_WAKE | PRIV, 1, NULL, NULL, 0), 0);
	CHECK_ERRNO(futex(BAD, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
	uint32_t *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(none != MAP_FAILED);
	CHECK_ERRNO(futex(none, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
	CHECK_EQ(futex(none, FUTEX_WAKE | PRIV, 1, NULL, NULL, 0), 0);
	munmap(none, 4096);
}

TEST(wake_between_processes)
{
	shared_words();
	pid_t pid = waiting_child(words, FUTEX_WAIT, 0);
	wake_all(words, 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(wake_counts)
{
	pid_t pids[4];
	shared_words();
	for (int i = 0; i < 4; i++)
		pids[i] = waiting_child(words, FUTEX_WAIT, 0);
	wake_all(words, 1);
	wake_all(words, 2);
	wake_all(words, 1);
	CHECK_EQ(wake(words, 10), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(wait_exit(pids[i]), 0);
}

TEST(wake_is_first_come_first_served)
{
	pid_t a, b;
	shared_words();
	a = waiting_child(words, FUTEX_WAIT, 0);
	b = waiting_child(words, FUTEX_WAIT, 0);
	wake_all(words, 1);
	CHECK_EQ(wait_exit(a), 0);
	wake_all(words, 1);
	CHECK_EQ(wait_exit(b), 0);
}

TEST(private_and_shared_keys_differ)
{
	shared_words();
	pid_t pid = waiting_child(words, FUTEX_WAIT | PRIV, 0);
	CHECK_EQ(wake(words, 10), 0);
	CHECK_EQ(futex(words, FUTEX_WAKE | PRIV, 10, NULL, NULL, 0), 0); /* another address space */
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(shared_file_mapping_at_two_addresses)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_OK(ftruncate(fd, 8192));
	volatile uint32_t *a = CHECK_OK((uint32_t *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096));
	volatile uint32_t *b = CHECK_OK((uint32_t *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) + 1024;
	CHECK_NE(a, b);
	pid_t pid = waiting_child(a, FUTEX_WAIT, 0);
	wake_all(b, 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(memfd_mapped_separately_by_two_processes)
{
	int fd = CHECK_OK(memfd_create("f", 0));
	CHECK_OK(ftruncate(fd, 4096));
	pid_t pid = xfork();
	if (pid == 0) {
		volatile uint32_t *w = CHECK_OK((uint32_t *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
		_exit(futex(w + 9, FUTEX_WAIT, 0, NULL, NULL, 0) == 0 ? 0 : errno);
	}
	CHECK_OK(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	volatile uint32_t *w = CHECK_OK((uint32_t *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	wake_all(w + 9, 1);
	CHECK_EQ(wait_exit(pid), 0);
}

static volatile uint32_t thread_word;

static void *wait_private(void *arg MAYBE_UNUSED)
{
	while (thread_word == 0)
		if (futex(&thread_word, FUTEX_WAIT | PRIV, 0, NULL, NULL, 0) < 0 && errno != EAGAIN && errno != EINTR)
			return (void *)(long)errno;
	return NULL;
}

TEST(private_wake_between_threads)
{
	pthread_t t[4];
	void *r;
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, wait_private, NULL), 0);
	msleep(60);
	thread_word = 1;
	CHECK_OK(futex(&thread_word, FUTEX_WAKE | PRIV, INT_MAX, NULL, NULL, 0));
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(pthread_join(t[i], &r), 0);
		CHECK_EQ((long)r, 0);
	}
}

TEST(private_word_of_child_is_its_own)
{
	static volatile uint32_t w;
	pid_t pid = waiting_child(&w, FUTEX_WAIT | PRIV, 0);
	CHECK_EQ(futex(&w, FUTEX_WAKE | PRIV, 10, NULL, NULL, 0), 0);
	CHECK_EQ(futex(&w, FUTEX_WAKE, 10, NULL, NULL, 0), 0); /* private memory: copied, so another key */
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(wait_interrupted_is_eintr)
{
	uint32_t w = 0;
	struct sigaction sa = {.sa_handler = count};
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		_exit(kill(me, SIGUSR1));
	}
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	CHECK_ERRNO(futex(&w, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
	CHECK_EQ(hits, 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(wait_restarts_with_sa_restart)
{
	struct sigaction sa = {.sa_handler = count, .sa_flags = SA_RESTART};
	shared_words();
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		kill(me, SIGUSR1);
		wake_all(words, 1);
		_exit(0);
	}
	CHECK_EQ(futex(words, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
	CHECK_EQ(hits, 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(timed_wait_interrupted_is_eintr_even_with_restart)
{
	uint32_t w = 0;
	struct timespec t = {10, 0};
	struct sigaction sa = {.sa_handler = count, .sa_flags = SA_RESTART};
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		_exit(kill(me, SIGUSR1));
	}
	CHECK_ERRNO(futex(&w, FUTEX_WAIT, 0, &t, NULL, 0), EINTR);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(wait_bitset_timeout_is_absolute)
{
	uint32_t w = 0;
	struct timespec t = in_ms(CLOCK_MONOTONIC, 120), past = {1, 0};
	long long start = now_ms();
	CHECK_ERRNO(futex(&w, FUTEX_WAIT_BITSET | PRIV, 0, &t, NULL, ~0U), ETIMEDOUT);
	CHECK_GE(now_ms() - start, 119);
	t = in_ms(CLOCK_REALTIME, 120);
	start = now_ms();
	CHECK_ERRNO(futex(&w, FUTEX_WAIT_BITSET | PRIV | FUTEX_CLOCK_REALTIME, 0, &t, NULL, ~0U), ETIMEDOUT);
	CHECK_GE(now_ms() - start, 110);
	CHECK_ERRNO(futex(&w, FUTEX_WAIT_BITSET | PRIV, 0, &past, NULL, ~0U), ETIMEDOUT);
}

TEST(bitsets_select_waiters)
{
	shared_words();
	pid_t a = waiting_child(words, FUTEX_WAIT_BITSET, 1), b = waiting_child(words, FUTEX_WAIT_BITSET, 2);
	CHECK_EQ(futex(words, FUTEX_WAKE_BITSET, 10, NULL, NULL, 4), 0);
	CHECK_EQ(futex(words, FUTEX_WAKE_BITSET, 10, NULL, NULL, 2), 1);
	CHECK_EQ(wait_exit(b), 0);
	CHECK_EQ(wake(words, 10), 1); /* plain wake matches every bit */
	CHECK_EQ(wait_exit(a), 0);
}

TEST(requeue_moves_waiters)
{
	pid_t pids[3];
	shared_words();
	for (int i = 0; i < 3; i++)
		pids[i] = waiting_child(words, FUTEX_WAIT, 0);
	CHECK_EQ(futex(words, FUTEX_REQUEUE, 1, (void *)1, words + 8, 0), 2); /* woken and moved together */
	CHECK_EQ(wake(words + 8, 10), 1);
	CHECK_EQ(wake(words, 10), 1);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(wait_exit(pids[i]), 0);
}

TEST(cmp_requeue)
{
	pid_t pids[3];
	shared_words();
	words[0] = 0;
	for (int i = 0; i < 3; i++)
		pids[i] = waiting_child(words, FUTEX_WAIT, 0);
	CHECK_ERRNO(futex(words, FUTEX_CMP_REQUEUE, 1, (void *)10, words + 8, 7), EAGAIN);
	CHECK_EQ(futex(words, FUTEX_CMP_REQUEUE, 1, (void *)10, words + 8, 0), 3);
	CHECK_EQ(wake(words, 10), 0);
	CHECK_EQ(wake(words + 8, 10), 2);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(wait_exit(pids[i]), 0);
	CHECK_ERRNO(futex(words, FUTEX_CMP_REQUEUE, -1, (void *)1, words + 8, 0), EINVAL);
}

TEST(wake_op_on_second_word)
{
	shared_words();
	words[8] = 5;
	pid_t a = waiting_child(words, FUTEX_WAIT, 0);
	pid_t b = xfork();
	if (b == 0)
		_exit(futex(words + 8, FUTEX_WAIT, 5, NULL, NULL, 0) == 0 ? 0 : errno);
	wait_asleep(b);
	/* words[8] += 3; wake one of words; as the old value was 5, wake one of words + 8 too */
	CHECK_EQ(futex(words, FUTEX_WAKE_OP, 1, (void *)1, words + 8, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)), 2);
	CHECK_EQ(words[8], 8);
	CHECK_EQ(wait_exit(a), 0);
	CHECK_EQ(wait_exit(b), 0);
}

TEST(wake_op_operations)
{
	uint32_t a = 0, b = 0xf0;
	CHECK_EQ(futex(&a, FUTEX_WAKE_OP | PRIV, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_OR, 0xf, FUTEX_OP_CMP_EQ, 0)), 0);
	CHECK_EQ(b, 0xff);
	CHECK_OK(futex(&a, FUTEX_WAKE_OP | PRIV, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_ANDN, 0xf, FUTEX_OP_CMP_NE, 0)));
	CHECK_EQ(b, 0xf0);
	CHECK_OK(futex(&a, FUTEX_WAKE_OP | PRIV, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_XOR, 0xff, FUTEX_OP_CMP_LT, 0)));
	CHECK_EQ(b, 0x0f);
	CHECK_OK(futex(&a, FUTEX_WAKE_OP | PRIV, 1, (void *)1, &b, FUTEX_OP((FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT), 4, FUTEX_OP_CMP_GT, 0)));
	CHECK_EQ(b, 16);
	CHECK_ERRNO(futex(&a, FUTEX_WAKE_OP | PRIV, 1, (void *)1, &b, FUTEX_OP(7, 4, FUTEX_OP_CMP_GT, 0)), ENOSYS);
	CHECK_ERRNO(futex(&a, FUTEX_WAKE_OP | PRIV, 1, (void *)1, BAD, FUTEX_OP(FUTEX_OP_SET, 4, FUTEX_OP_CMP_GT, 0)), EFAULT);
}

/* ---- priority inheritance ---- */

TEST(pi_lock_uncontended)
{
	uint32_t w = 0;
	CHECK_EQ(futex(&w, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(w, gettid());
	CHECK_ERRNO(futex(&w, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
	CHECK_ERRNO(futex(&w, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EDEADLK);
	CHECK_EQ(futex(&w, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(w, 0);
}

TEST(pi_unlock_by_stranger_is_eperm)
{
	shared_words();
	words[0] = getpid();
	CHILD {
		CHECK_ERRNO(futex(words, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
	} CHILD_END;
	words[0] = 0;
	CHECK_ERRNO(futex(words, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
}

TEST(pi_lock_of_dead_owner_is_esrch)
{
	pid_t pid = xfork();
	if (pid == 0)
		_exit(0);
	CHECK_EQ(wait_exit(pid), 0);
	uint32_t w = pid;
	CHECK_ERRNO(futex(&w, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
}

TEST(pi_lock_waits_for_owner)
{
	shared_words();
	CHECK_EQ(futex(words, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
	pid_t pid = xfork();
	if (pid == 0) {
		CHECK_ERRNO(futex(words, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EAGAIN);
		CHECK_EQ(futex(words, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
		CHECK_EQ(words[0] & FUTEX_TID_MASK, getpid());
		words[1] = 1;
		CHECK_EQ(futex(words, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
		_exit(0);
	}
	wait_asleep(pid);
	CHECK_EQ(words[1], 0);
	CHECK_EQ(words[0], FUTEX_WAITERS | getpid());
	CHECK_EQ(futex(words, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(words[1], 1);
	CHECK_EQ(words[0], 0);
}

TEST(pi_lock_times_out)
{
	shared_words();
	CHECK_EQ(futex(words, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
	CHILD {
		struct timespec t = in_ms(CLOCK_REALTIME, 120);
		CHECK_ERRNO(futex(words, FUTEX_LOCK_PI, 0, &t, NULL, 0), ETIMEDOUT);
	} CHILD_END;
}

static void *pi_mutex_user(void *arg)
{
	pthread_mutex_t *m = arg;
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(m);
		uint32_t v = thread_word;
		sched_yield();
		thread_word = v + 1;
		pthread_mutex_unlock(m);
	}
	return NULL;
}

static void counted_by_threads(pthread_mutex_t *m)
{
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, pi_mutex_user, m), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
	CHECK_EQ(thread_word, 800);
}

TEST(pi_mutex_of_the_c_library)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;
	pthread_mutexattr_init(&a);
	CHECK_EQ(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT), 0);
	CHECK_EQ(pthread_mutex_init(&m, &a), 0);
	counted_by_threads(&m);
}

TEST(plain_mutex_of_the_c_library)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	counted_by_threads(&m);
}

/* ---- robust lists ---- */

TEST(robust_list_calls)
{
	struct robust_list_head *head = NULL, mine = {{&mine.list}, 0, NULL};
	size_t len = 0;
	CHECK_OK(syscall(SYS_get_robust_list, 0, &head, &len));
	CHECK_EQ(len, sizeof *head);
	CHECK_ERRNO(syscall(SYS_set_robust_list, &mine, sizeof mine - 1), EINVAL);
	CHECK_OK(syscall(SYS_set_robust_list, &mine, sizeof mine));
	CHECK_OK(syscall(SYS_get_robust_list, getpid(), &head, &len));
	CHECK_EQ(head, &mine);
	CHECK_ERRNO(syscall(SYS_get_robust_list, 0x3ffffff, &head, &len), ESRCH);
	CHECK_ERRNO(syscall(SYS_get_robust_list, 0, BAD, &len), EFAULT);
}

struct entry {
	struct robust_list list;
	volatile uint32_t word;
};

/* Leaves with the lock held and on its list. */
static void die_holding(struct entry *e)
{
	static struct robust_list_head head;
	head.list.next = &e->list;
	head.futex_offset = offsetof(struct entry, word);
	head.list_op_pending = NULL;
	e->list.next = &head.list;
	e->word |= getpid();
	if (syscall(SYS_set_robust_list, &head, sizeof head) < 0)
		_exit(1);
	_exit(0);
}

TEST(robust_owner_died_is_marked)
{
	shared_words();
	struct entry *e = (struct entry *)words;
	pid_t pid = xfork();
	if (pid == 0)
		die_holding(e);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(e->word, FUTEX_OWNER_DIED);
}

TEST(robust_waiters_bit_is_kept_and_one_is_woken)
{
	shared_words();
	struct entry *e = (struct entry *)words;
	e->word = FUTEX_WAITERS;
	pid_t owner = xfork();
	if (owner == 0) {
		while (words[100] == 0)
			msleep(5);
		die_holding(e);
	}
	pid_t waiter = xfork();
	if (waiter == 0)
		_exit(futex(&e->word, FUTEX_WAIT, FUTEX_WAITERS, NULL, NULL, 0) == 0 ? 0 : errno);
	wait_asleep(waiter);
	words[100] = 1;
	CHECK_EQ(wait_exit(owner), 0);
	CHECK_EQ(wait_exit(waiter), 0);
	CHECK_EQ(e->word, FUTEX_WAITERS | FUTEX_OWNER_DIED);
}

TEST(robust_foreign_lock_is_left_alone)
{
	shared_words();
	struct entry *e = (struct entry *)words;
	pid_t pid = xfork();
	if (pid == 0) {
		static struct robust_list_head head;
		head.list.next = &e->list;
		head.futex_offset = offsetof(struct entry, word);
		e->list.next = &head.list;
		e->word = 1;
		_exit(syscall(SYS_set_robust_list, &head, sizeof head) < 0);
	}
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(e->word, 1);
}

TEST(robust_bad_list_does_no_harm)
{
	pid_t pid = xfork();
	if (pid == 0) {
		static struct robust_list_head head;
		head.list.next = BAD;
		_exit(syscall(SYS_set_robust_list, &head, sizeof head) < 0);
	}
	CHECK_EQ(wait_exit(pid), 0);
	pid = xfork();
	if (pid == 0) { /* a cycle: bounded by ROBUST_LIST_LIMIT */
		static struct robust_list_head head;
		static struct entry e;
		head.list.next = &e.list;
		e.list.next = &e.list;
		_exit(syscall(SYS_set_robust_list, &head, sizeof head) < 0);
	}
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(robust_mutex_gives_eownerdead)
{
	pthread_mutex_t *m = CHECK_OK((pthread_mutex_t *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	CHECK_EQ(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST), 0);
	CHECK_EQ(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED), 0);
	CHECK_EQ(pthread_mutex_init(m, &a), 0);
	pid_t pid = xfork();
	if (pid == 0) {
		pthread_mutex_lock(m);
		kill(getpid(), SIGKILL);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
	CHECK_EQ(pthread_mutex_lock(m), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(m), 0);
	CHECK_EQ(pthread_mutex_unlock(m), 0);
	CHECK_EQ(pthread_mutex_lock(m), 0);
}

static void *lock_and_leave(void *arg)
{
	pthread_mutex_lock(arg);
	return NULL;
}

TEST(robust_mutex_of_ended_thread)
{
	pthread_mutex_t m;
	pthread_mutexattr_t a;
	pthread_t t;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	CHECK_EQ(pthread_mutex_init(&m, &a), 0);
	CHECK_EQ(pthread_create(&t, NULL, lock_and_leave, &m), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(pthread_mutex_lock(&m), EOWNERDEAD);
}

/* ---- CLEARTID ---- */

TEST(child_cleartid_zeroes_and_wakes)
{
	static volatile uint32_t tid = 1;
	char *stack = CHECK_OK((char *)mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	extern int just_return(void *);
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
	int pid = CHECK_OK(clone(just_return, stack + 65536, flags, NULL, &tid, NULL, &tid));
	struct timespec limit = {10, 0};
	for (uint32_t v; (v = tid) != 0;) {
		CHECK(v == 1 || v == (uint32_t)pid);
		if (futex(&tid, FUTEX_WAIT, v, &limit, NULL, 0) < 0)
			CHECK(errno == EAGAIN || errno == EINTR);
	}
	CHECK_EQ(tid, 0);
}

int just_return(void *arg MAYBE_UNUSED)
{
	msleep(60);
	return 0;
}

TEST(set_tid_address_returns_tid)
{
	static int word;
	CHECK_EQ(syscall(SYS_set_tid_address, &word), gettid());
}

TEST(exit_of_process_wakes_cleartid_in_shared_memory)
{
	shared_words();
	words[0] = 77;
	pid_t pid = CHECK_OK(syscall(SYS_clone, CLONE_CHILD_CLEARTID | SIGCHLD, 0, NULL, words, 0));
	if (pid == 0) {
		msleep(100);
		_exit(0);
	}
	/* The address space of the child was its own: the word is not cleared (only done if others share the memory map). */
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(words[0], 77);
}

/* ---- the newer calls ---- */

struct waitv {
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

TEST(futex_waitv)
{
	shared_words();
	struct waitv v[2] = {{0, (uintptr_t)words, 2, 0}, {0, (uintptr_t)(words + 8), 2, 0}};
	struct timespec t = in_ms(CLOCK_MONOTONIC, 120);
	long r = syscall(SYS_futex_waitv, v, 2, 0, &t, CLOCK_MONOTONIC);
	if (r < 0 && errno == ENOSYS)
		SKIP("no futex_waitv");
	CHECK_EQ(r, -1);
	CHECK_EQ(errno, ETIMEDOUT);
	pid_t pid = xfork();
	if (pid == 0) {
		wake_all(words + 8, 1);
		_exit(0);
	}
	CHECK_EQ(syscall(SYS_futex_waitv, v, 2, 0, NULL, CLOCK_MONOTONIC), 1);
	CHECK_EQ(wait_exit(pid), 0);
	v[1].val = 5;
	CHECK_ERRNO(syscall(SYS_futex_waitv, v, 2, 0, NULL, CLOCK_MONOTONIC), EAGAIN);
	CHECK_ERRNO(syscall(SYS_futex_waitv, v, 0, 0, NULL, CLOCK_MONOTONIC), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_waitv, v, 129, 0, NULL, CLOCK_MONOTONIC), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_waitv, v, 2, 1, NULL, CLOCK_MONOTONIC), EINVAL);
}

/* ---- conditions, for the mixture the C library makes ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int ready, done;

static void *cond_waiter(void *arg MAYBE_UNUSED)
{
	pthread_mutex_lock(&lock);
	while (!ready)
		pthread_cond_wait(&cond, &lock);
	done++;
	pthread_mutex_unlock(&lock);
	return NULL;
}

TEST(condition_broadcast)
{
	pthread_t t[8];
	for (int i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, cond_waiter, NULL), 0);
	msleep(60);
	pthread_mutex_lock(&lock);
	ready = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
	CHECK_EQ(done, 8);
}

TEST(condition_timedwait)
{
	struct timespec t = in_ms(CLOCK_REALTIME, 120);
	long long start = now_ms();
	pthread_mutex_lock(&lock);
	CHECK_EQ(pthread_cond_timedwait(&cond, &lock, &t), ETIMEDOUT);
	pthread_mutex_unlock(&lock);
	CHECK_GE(now_ms() - start, 110);
}

static void *ping(void *arg)
{
	volatile uint32_t *w = arg;
	for (uint32_t i = 0; i < 1000; i++) {
		while (w[0] != 2 * i + 1)
			futex(&w[0], FUTEX_WAIT | PRIV, 2 * i, NULL, NULL, 0);
		w[0] = 2 * i + 2;
		futex(&w[0], FUTEX_WAKE | PRIV, 1, NULL, NULL, 0);
	}
	return NULL;
}

TEST(ping_pong_loses_no_wake)
{
	static volatile uint32_t w[1];
	pthread_t t;
	CHECK_EQ(pthread_create(&t, NULL, ping, (void *)w), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		w[0] = 2 * i + 1;
		futex(&w[0], FUTEX_WAKE | PRIV, 1, NULL, NULL, 0);
		while (w[0] != 2 * i + 2)
			futex(&w[0], FUTEX_WAIT | PRIV, 2 * i + 1, NULL, NULL, 0);
	}
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(w[0], 2000);
}
