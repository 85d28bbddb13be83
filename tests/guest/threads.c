/* Threads: identity, sharing, cancellation, thread-local storage, a leader that ends first. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

static pthread_t start(void *(*fn)(void *), void *arg)
{
	pthread_t t;
	CHECK_EQ(pthread_create(&t, NULL, fn, arg), 0);
	return t;
}

static void *join(pthread_t t)
{
	void *r;
	CHECK_EQ(pthread_join(t, &r), 0);
	return r;
}

static void *return_arg(void *arg)
{
	return arg;
}

static void *own_tid(void *arg MAYBE_UNUSED)
{
	return (void *)(long)gettid();
}

static void *own_pid(void *arg MAYBE_UNUSED)
{
	return (void *)(long)getpid();
}

TEST(create_and_join)
{
	CHECK_EQ((long)join(start(return_arg, (void *)1234)), 1234);
}

TEST(ids)
{
	CHECK_EQ(gettid(), getpid());
	long tid = (long)join(start(own_tid, NULL));
	CHECK_NE(tid, getpid());
	CHECK_GT(tid, 0);
	CHECK_EQ((long)join(start(own_pid, NULL)), getpid());
}

TEST(hundred_threads)
{
	pthread_t t[100];
	for (long i = 0; i < 100; i++)
		t[i] = start(return_arg, (void *)i);
	for (long i = 0; i < 100; i++)
		CHECK_EQ((long)join(t[i]), i);
}

TEST(thousand_in_turn)
{
	for (long i = 0; i < 1000; i++)
		CHECK_EQ((long)join(start(return_arg, (void *)i)), i);
}

static volatile int word;
static int *heap;

static void *write_word(void *arg MAYBE_UNUSED)
{
	word = 5;
	heap = malloc(sizeof *heap);
	*heap = 6;
	return NULL;
}

TEST(memory_is_shared)
{
	join(start(write_word, NULL));
	CHECK_EQ(word, 5);
	CHECK_EQ(*heap, 6);
}

static void *change_process_state(void *arg)
{
	umask(077);
	*(int *)arg = open("/dev/null", O_RDONLY);
	return (void *)(long)chdir("d");
}

TEST(files_cwd_umask_are_shared)
{
	int fd = -1;
	char cwd[PATH_MAX];
	CHECK_OK(mkdir("d", 0700));
	CHECK_EQ((long)join(start(change_process_state, &fd)), 0);
	CHECK_OK(fcntl(fd, F_GETFD));
	CHECK_EQ(umask(022), 077);
	CHECK(getcwd(cwd, sizeof cwd));
	CHECK_STR(strrchr(cwd, '/'), "/d");
}

static __thread int tls = 7;
static __thread char big_tls[10000];

static void *use_tls(void *arg MAYBE_UNUSED)
{
	int first = tls;
	tls = 100;
	big_tls[9999] = 1;
	return (void *)(long)(first + big_tls[0]);
}

TEST(thread_local_storage)
{
	tls = 8;
	CHECK_EQ((long)join(start(use_tls, NULL)), 7);
	CHECK_EQ(tls, 8);
	CHECK_EQ(big_tls[9999], 0);
}

static void *set_errno(void *arg MAYBE_UNUSED)
{
	close(-1);
	return NULL;
}

TEST(errno_is_per_thread)
{
	errno = 0;
	join(start(set_errno, NULL));
	CHECK_EQ(errno, 0);
}

static pthread_key_t key;
static volatile int destroyed;

static void destroy(void *v)
{
	destroyed += (int)(long)v;
}

static void *use_key(void *arg)
{
	pthread_setspecific(key, arg);
	return NULL;
}

TEST(key_destructors_run)
{
	CHECK_EQ(pthread_key_create(&key, destroy), 0);
	join(start(use_key, (void *)3));
	CHECK_EQ(destroyed, 3);
}

static void *wait_forever(void *arg MAYBE_UNUSED)
{
	for (;;)
		pause();
	return NULL;
}

TEST(cancel_in_blocking_call)
{
	pthread_t t = start(wait_forever, NULL);
	msleep(60);
	CHECK_EQ(pthread_cancel(t), 0);
	CHECK_EQ(join(t), PTHREAD_CANCELED);
}

static void *spin(void *arg MAYBE_UNUSED)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		;
	return NULL;
}

TEST(cancel_asynchronously)
{
	pthread_t t = start(spin, NULL);
	msleep(60);
	CHECK_EQ(pthread_cancel(t), 0);
	CHECK_EQ(join(t), PTHREAD_CANCELED);
}

static void cleanup(void *arg)
{
	*(int *)arg = 77;
}

static void *read_with_cleanup(void *arg)
{
	int *fds = arg;
	char c;
	pthread_cleanup_push(cleanup, &fds[2]);
	if (read(fds[0], &c, 1) < 0)
		return NULL;
	pthread_cleanup_pop(0);
	return NULL;
}

TEST(cancel_runs_cleanup)
{
	int fds[3] = {0};
	CHECK_OK(pipe(fds));
	pthread_t t = start(read_with_cleanup, fds);
	msleep(60);
	CHECK_EQ(pthread_cancel(t), 0);
	CHECK_EQ(join(t), PTHREAD_CANCELED);
	CHECK_EQ(fds[2], 77);
}

static void *detach_self(void *arg)
{
	pthread_detach(pthread_self());
	*(volatile int *)arg = 1;
	return NULL;
}

TEST(detached_threads_vanish)
{
	char path[64];
	struct dirent *e;
	for (int i = 0; i < 20; i++) {
		volatile int done = 0;
		start(detach_self, (void *)&done);
		while (!done)
			msleep(1);
	}
	snprintf(path, sizeof path, "/proc/self/task");
	for (int tries = 0, n = 2; n != 1; tries++) {
		CHECK_LT(tries, 500);
		DIR *d = opendir(path);
		n = 0;
		while ((e = readdir(d)))
			n += e->d_name[0] != '.';
		closedir(d);
		msleep(10);
	}
}

static volatile int phase;

static void *outlive_leader(void *arg MAYBE_UNUSED)
{
	char path[64], buf[512];
	msleep(100);
	snprintf(path, sizeof path, "/proc/%d/stat", getpid());
	if (read_file(path, buf, sizeof buf) <= 0 || strrchr(buf, ')')[2] != 'Z')
		_exit(1); /* the leader is a zombie as long as others live */
	if (kill(getpid(), 0) < 0)
		_exit(2);
	_exit(66);
}

TEST(leader_may_leave_first)
{
	pid_t pid = xfork();
	if (pid == 0) {
		start(outlive_leader, NULL);
		pthread_exit(NULL);
	}
	CHECK_EQ(wait_exit(pid), 66);
}

static void *fork_from_thread(void *arg MAYBE_UNUSED)
{
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		struct dirent *e;
		int n = 0;
		DIR *d = opendir("/proc/self/task");
		while ((e = readdir(d)))
			n += e->d_name[0] != '.';
		_exit(n == 1 && getpid() == gettid() && getppid() == parent ? 0 : 1);
	}
	return (void *)(long)pid;
}

TEST(fork_copies_only_the_caller)
{
	start(wait_forever, NULL);
	start(wait_forever, NULL);
	pid_t pid = (pid_t)(long)join(start(fork_from_thread, NULL));
	CHECK_EQ(wait_exit(pid), 0);
}

static pthread_barrier_t barrier;

static void *meet(void *arg MAYBE_UNUSED)
{
	int serial = 0;
	for (int i = 0; i < 50; i++)
		serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
	return (void *)(long)serial;
}

TEST(barriers)
{
	pthread_t t[4];
	long serial = 0;
	CHECK_EQ(pthread_barrier_init(&barrier, NULL, 4), 0);
	for (int i = 0; i < 4; i++)
		t[i] = start(meet, NULL);
	for (int i = 0; i < 4; i++)
		serial += (long)join(t[i]);
	CHECK_EQ(serial, 50);
}

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static volatile long counter;

static void *rw_user(void *arg)
{
	for (int i = 0; i < 500; i++) {
		if ((long)arg) {
			pthread_rwlock_wrlock(&rw);
			counter++;
		} else {
			pthread_rwlock_rdlock(&rw);
			word = counter;
		}
		pthread_rwlock_unlock(&rw);
	}
	return NULL;
}

TEST(rwlocks)
{
	pthread_t t[4];
	for (long i = 0; i < 4; i++)
		t[i] = start(rw_user, (void *)(i % 2));
	for (int i = 0; i < 4; i++)
		join(t[i]);
	CHECK_EQ(counter, 1000);
}

static sem_t *sem;

static void *post(void *arg MAYBE_UNUSED)
{
	for (int i = 0; i < 100; i++)
		sem_post(sem);
	return NULL;
}

TEST(semaphores)
{
	sem_t mine;
	sem = &mine;
	CHECK_OK(sem_init(sem, 0, 0));
	pthread_t t = start(post, NULL);
	for (int i = 0; i < 100; i++)
		CHECK_OK(sem_wait(sem));
	join(t);
	CHECK_ERRNO(sem_trywait(sem), EAGAIN);
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 60000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	CHECK_ERRNO(sem_timedwait(sem, &ts), ETIMEDOUT);
}

TEST(semaphore_between_processes)
{
	sem = CHECK_OK((sem_t *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHECK_OK(sem_init(sem, 1, 0));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(sem_wait(sem) < 0);
	wait_asleep(pid);
	CHECK_OK(sem_post(sem));
	CHECK_EQ(wait_exit(pid), 0);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void once_only(void)
{
	msleep(20);
	word++;
}

static void *do_once(void *arg MAYBE_UNUSED)
{
	pthread_once(&once, once_only);
	return (void *)(long)word;
}

TEST(once_runs_once)
{
	pthread_t t[5];
	for (int i = 0; i < 5; i++)
		t[i] = start(do_once, NULL);
	for (int i = 0; i < 5; i++)
		CHECK_EQ((long)join(t[i]), 1);
}

TEST(stack_size_and_guard)
{
	pthread_attr_t a;
	pthread_t t;
	void *r;
	pthread_attr_init(&a);
	CHECK_EQ(pthread_attr_setstacksize(&a, 64 << 10), 0);
	CHECK_EQ(pthread_create(&t, &a, return_arg, NULL), 0);
	CHECK_EQ(pthread_join(t, &r), 0);
	CHECK_EQ(pthread_attr_setstacksize(&a, 64 << 20), 0);
	CHECK_EQ(pthread_create(&t, &a, return_arg, NULL), 0);
	CHECK_EQ(pthread_join(t, &r), 0);
}

static volatile int recursion;

static void *overflow(void *arg)
{
	volatile char frame[8192];
	frame[0] = recursion++;
	return recursion > 1 << 30 ? arg : overflow((void *)(frame + 1));
}

TEST(thread_stack_overflow_ends_the_process)
{
	pid_t pid = xfork();
	if (pid == 0) {
		join(start(overflow, NULL));
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGSEGV);
}

static void *nested(void *arg)
{
	long depth = (long)arg;
	return depth == 0 ? (void *)0 : (void *)((long)join(start(nested, (void *)(depth - 1))) + 1);
}

TEST(threads_of_threads)
{
	CHECK_EQ((long)join(start(nested, (void *)30)), 30);
}

static void *affinity(void *arg MAYBE_UNUSED)
{
	cpu_set_t s;
	return (void *)(long)(sched_getaffinity(0, sizeof s, &s) < 0 ? -1 : CPU_COUNT(&s));
}

TEST(affinity_is_inherited_by_threads)
{
	cpu_set_t s, one;
	CHECK_OK(sched_getaffinity(0, sizeof s, &s));
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &s)) {
			CPU_SET(i, &one);
			break;
		}
	CHECK_OK(sched_setaffinity(0, sizeof one, &one));
	CHECK_EQ((long)join(start(affinity, NULL)), 1);
}

static void *exec_storm(void *arg)
{
	for (int i = 0; i < 200; i++) {
		void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return (void *)1;
		memset(p, (int)(long)arg, 65536);
		for (int k = 0; k < 65536; k += 4096)
			if (((char *)p)[k] != (char)(long)arg)
				return (void *)2;
		munmap(p, 65536);
	}
	return NULL;
}

TEST(concurrent_memory_calls)
{
	pthread_t t[4];
	for (long i = 0; i < 4; i++)
		t[i] = start(exec_storm, (void *)(i + 1));
	for (int i = 0; i < 4; i++)
		CHECK_EQ((long)join(t[i]), 0);
}

static void *open_close(void *arg MAYBE_UNUSED)
{
	for (int i = 0; i < 500; i++) {
		int fd = open("/dev/null", O_RDONLY);
		if (fd < 0 || close(fd) < 0)
			return (void *)1;
	}
	return NULL;
}

TEST(concurrent_descriptors)
{
	pthread_t t[4];
	int before = CHECK_OK(dup(0));
	close(before);
	for (int i = 0; i < 4; i++)
		t[i] = start(open_close, NULL);
	for (int i = 0; i < 4; i++)
		CHECK_EQ((long)join(t[i]), 0);
	CHECK_EQ(dup(0), before);
}

TEST(setuid_reaches_all_threads)
{
	NEED_ROOT();
	CHILD {
		volatile pid_t tid = 0;
		char path[64], buf[4096];
		pthread_t t = start(wait_forever, NULL);
		(void)t;
		(void)tid;
		CHECK_OK(setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID)); /* the C library signals each thread */
		DIR *d = opendir("/proc/self/task");
		struct dirent *e;
		while ((e = readdir(d)))
			if (e->d_name[0] != '.') {
				snprintf(path, sizeof path, "/proc/self/task/%.20s/status", e->d_name);
				CHECK_GT(read_file(path, buf, sizeof buf), 0);
				CHECK(strstr(buf, "\nUid:\t1000\t1000\t1000") != NULL);
			}
		closedir(d);
	} CHILD_END;
}

static void *raw_setuid(void *arg MAYBE_UNUSED)
{
	syscall(SYS_setresuid, PLAIN_UID, PLAIN_UID, PLAIN_UID);
	return (void *)(long)syscall(SYS_getuid);
}

TEST(raw_credentials_are_per_thread)
{
	NEED_ROOT();
	CHILD {
		CHECK_EQ((long)join(start(raw_setuid, NULL)), PLAIN_UID);
		CHECK_EQ(getuid(), 0);
	} CHILD_END;
}

/* Maps, writes, looks and unmaps, over and over: what another thread has unmapped meanwhile must not take this away. */
static void *map_and_unmap(void *arg)
{
	char mark = (char)(long)arg;
	for (int i = 0; i < 3000; i++) {
		size_t len = 4096UL << i % 3;
		char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || p[0] || p[len - 1])
			return "mmap";
		p[0] = p[len - 1] = mark;
		if (i % 8 == 0)
			sched_yield();
		if (mprotect(p, len, PROT_READ) || p[0] != mark || p[len - 1] != mark)
			return "content";
		if (munmap(p, len))
			return "munmap";
	}
	return NULL;
}

TEST(threads_map_at_the_same_time)
{
	pthread_t t[4];
	for (long i = 0; i < 4; i++)
		t[i] = start(map_and_unmap, (void *)(i + 1));
	for (int i = 0; i < 4; i++) {
		char *failed = join(t[i]);
		CHECK_STR(failed ? failed : "nothing", "nothing");
	}
}

/* Its own processor time in milliseconds, before and after using some. */
static void *use_time(void *arg)
{
	struct timespec t[2];
	long ms;
	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t[0]))
		return (void *)-1;
	do {
		if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t[1]))
			return (void *)-1;
		ms = (t[1].tv_sec - t[0].tv_sec) * 1000 + (t[1].tv_nsec - t[0].tv_nsec) / 1000000;
	} while (ms < (long)arg);
	return (void *)(t[0].tv_sec * 1000 + t[0].tv_nsec / 1000000);
}

TEST(thread_clock_starts_with_the_thread)
{
	for (int i = 0; i < 4; i++)
		CHECK_LT((long)join(start(use_time, (void *)60)), 40);
}

static void *call_often(void *arg)
{
	while (arg == NULL)
		sched_yield();
	return NULL;
}

/* No thread goes on after one has killed the process, wherever the others are. */
TEST(killing_oneself_is_final)
{
	for (int i = 0; i < 100; i++) {
		pid_t pid = xfork();
		if (pid == 0) {
			for (int n = 0; n < 3; n++)
				start(call_often, NULL);
			kill(getpid(), SIGKILL);
			_exit(8);
		}
		CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
	}
}
