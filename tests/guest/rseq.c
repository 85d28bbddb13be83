/* Restartable sequences as the C library registers them, and membarrier. */
#include "check.h"
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/rseq.h>

static struct rseq *area(void)
{
	if (__rseq_size == 0)
		SKIP("the C library did not register rseq");
	return (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static long membarrier(int cmd, unsigned flags)
{
	return syscall(SYS_membarrier, cmd, flags, 0);
}

TEST(registered_cpu_is_valid)
{
	struct rseq *r = area();
	cpu_set_t set;
	CHECK_OK(sched_getaffinity(0, sizeof set, &set));
	CHECK_LT(r->cpu_id, CPU_SETSIZE);
	CHECK(CPU_ISSET(r->cpu_id, &set));
	CHECK_EQ(r->cpu_id_start, r->cpu_id);
}

TEST(cpu_follows_affinity)
{
	struct rseq *r = area();
	cpu_set_t set, one;
	CHECK_OK(sched_getaffinity(0, sizeof set, &set));
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set)) {
			CPU_ZERO(&one);
			CPU_SET(i, &one);
			CHECK_OK(sched_setaffinity(0, sizeof one, &one));
			CHECK_EQ(((volatile struct rseq *)r)->cpu_id, i);
			CHECK_EQ(sched_getcpu(), i);
		}
}

static void *thread_area(void *arg MAYBE_UNUSED)
{
	return area()->cpu_id < CPU_SETSIZE ? area() : NULL;
}

TEST(each_thread_has_its_own)
{
	pthread_t t;
	void *r;
	struct rseq *mine = area();
	CHECK_EQ(pthread_create(&t, NULL, thread_area, NULL), 0);
	CHECK_EQ(pthread_join(t, &r), 0);
	CHECK(r != NULL);
	CHECK(r != mine);
}

/* The stack of a thread that has ended is unmapped at once, and its area with it: nobody may look there any more. */
TEST(area_goes_with_its_thread)
{
	pthread_attr_t attr;
	area();
	CHECK_EQ(pthread_attr_init(&attr), 0);
	CHECK_EQ(pthread_attr_setstacksize(&attr, 64 << 20), 0);
	for (int i = 0; i < 300; i++) {
		pthread_t t;
		void *r;
		CHECK_EQ(pthread_create(&t, &attr, thread_area, NULL), 0);
		CHECK_EQ(pthread_join(t, &r), 0);
		CHECK(r != NULL);
	}
}

TEST(registration_rules)
{
	static struct rseq other __attribute__((aligned(32)));
	struct rseq *r = area();
	unsigned sig = RSEQ_SIG;
	CHECK_ERRNO(syscall(SYS_rseq, r, 32, 0, sig), EBUSY);
	CHECK_ERRNO(syscall(SYS_rseq, &other, 32, 0, sig), EINVAL); /* only one a thread */
	CHECK_ERRNO(syscall(SYS_rseq, r, 32, 0, sig + 1), EPERM);
	CHECK_ERRNO(syscall(SYS_rseq, r, 32, 1, sig + 1), EPERM);
	CHECK_ERRNO(syscall(SYS_rseq, r, 32, 2, sig), EINVAL);
	CHECK_OK(syscall(SYS_rseq, r, 32, 1, sig)); /* unregister */
	CHECK_EQ((int)r->cpu_id, -1);
	CHECK_ERRNO(syscall(SYS_rseq, r, 32, 1, sig), EINVAL);
	CHECK_ERRNO(syscall(SYS_rseq, (char *)r + 4, 32, 0, sig), EINVAL);
	CHECK_OK(syscall(SYS_rseq, r, 32, 0, sig));
	CHECK_LT(r->cpu_id, CPU_SETSIZE);
}

TEST(fork_keeps_registration)
{
	area();
	CHILD {
		CHECK_LT(area()->cpu_id, CPU_SETSIZE);
		CHECK_ERRNO(syscall(SYS_rseq, area(), 32, 0, RSEQ_SIG), EBUSY);
	} CHILD_END;
}

static volatile sig_atomic_t hits;

static void on_signal(int sig MAYBE_UNUSED)
{
	hits++;
}

/* Spins in a critical section until a handler has run: 1 if sent to the abort label, 0 if it fell out of the end. */
static __attribute__((noinline)) int section(struct rseq *r)
{
	__asm__ volatile goto(
		".pushsection __rseq_cs, \"aw\"\n\t.balign 32\n"
		"77: .long 0, 0\n\t.quad 1f, 2f - 1f, 4f\n\t.popsection\n\t"
		"leaq 77b(%%rip), %%rax\n\tmovq %%rax, 8(%0)\n"
		"1: movl (%1), %%eax\n\ttest %%eax, %%eax\n\tjz 1b\n"
		"2: jmp %l[fell_out]\n\t"
		".pushsection __rseq_failure, \"ax\"\n\t.byte 0x0f, 0xb9, 0x3d\n\t.long 0x53053053\n"
		"4: jmp %l[aborted]\n\t.popsection"
		:
		: "r"(r), "r"(&hits)
		: "rax", "memory", "cc"
		: aborted, fell_out);
fell_out:
	return 0;
aborted:
	return 1;
}

TEST(signal_aborts_a_critical_section)
{
	struct rseq *r = area();
	signal(SIGALRM, on_signal);
	alarm(1);
	while (!hits) {
		CHECK_EQ(section(r), 1); /* being preempted aborts as well: then once more */
		CHECK_EQ(((volatile struct rseq *)r)->rseq_cs, 0);
	}
	CHECK_EQ(hits, 1);
}

TEST(membarrier_query_and_registration)
{
	long all = membarrier(MEMBARRIER_CMD_QUERY, 0);
	if (all < 0 && errno == ENOSYS)
		SKIP("no membarrier");
	CHECK_GT(all, 0);
	CHECK_EQ(all & MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	CHECK_ERRNO(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), EPERM); /* not registered */
	CHECK_OK(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0));
	CHECK_OK(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
	CHECK_OK(membarrier(MEMBARRIER_CMD_GLOBAL, 0));
	CHECK_ERRNO(membarrier(1 << 30, 0), EINVAL);
	CHECK_ERRNO(membarrier(MEMBARRIER_CMD_QUERY, 77), EINVAL);
	CHILD {
		CHECK_OK(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0)); /* goes with the memory */
	} CHILD_END;
}
