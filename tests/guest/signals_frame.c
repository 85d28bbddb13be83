/* The signal frame: alternate stacks, registers kept and edited, jumps out of handlers. */
#include "check.h"
#include <cpuid.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile sig_atomic_t hits;
static volatile uintptr_t handler_sp;
static char alt[65536] __attribute__((aligned(16)));

static void note_sp(int sig MAYBE_UNUSED)
{
	handler_sp = (uintptr_t)__builtin_frame_address(0);
	hits++;
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = {.sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO};
	CHECK_OK(sigaction(sig, &sa, NULL));
}

static void handle_plain(int sig, void (*fn)(int), int flags)
{
	struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};
	CHECK_OK(sigaction(sig, &sa, NULL));
}

static int on_alt(uintptr_t sp)
{
	return sp >= (uintptr_t)alt && sp < (uintptr_t)alt + sizeof alt;
}

static void use_alt(int flags)
{
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt, .ss_flags = flags};
	CHECK_OK(sigaltstack(&ss, NULL));
}

TEST(handler_runs_on_alternate_stack)
{
	use_alt(0);
	handle_plain(SIGUSR1, note_sp, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK(on_alt(handler_sp));
	handle_plain(SIGUSR1, note_sp, 0);
	raise(SIGUSR1);
	CHECK(!on_alt(handler_sp));
	CHECK_EQ(hits, 2);
}

TEST(onstack_without_alternate_stack_uses_the_normal_one)
{
	handle_plain(SIGUSR1, note_sp, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK_EQ(hits, 1);
	CHECK(!on_alt(handler_sp));
}

TEST(sigaltstack_round_trip)
{
	stack_t got;
	CHECK_OK(sigaltstack(NULL, &got));
	CHECK_EQ(got.ss_flags, SS_DISABLE);
	use_alt(0);
	CHECK_OK(sigaltstack(NULL, &got));
	CHECK_EQ(got.ss_sp, alt);
	CHECK_EQ(got.ss_size, sizeof alt);
	CHECK_EQ(got.ss_flags, 0);
	got.ss_flags = SS_DISABLE;
	CHECK_OK(sigaltstack(&got, NULL));
	CHECK_OK(sigaltstack(NULL, &got));
	CHECK_EQ(got.ss_flags, SS_DISABLE);
}

TEST(sigaltstack_errors)
{
	stack_t ss = {.ss_sp = alt, .ss_size = 1024};
	CHECK_ERRNO(sigaltstack(&ss, NULL), ENOMEM);
	ss.ss_size = sizeof alt;
	ss.ss_flags = 0x1234;
	CHECK_ERRNO(sigaltstack(&ss, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_sigaltstack, BAD, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_sigaltstack, NULL, BAD), EFAULT);
	ss.ss_flags = SS_ONSTACK; /* accepted as 0 for old programs */
	CHECK_OK(sigaltstack(&ss, NULL));
}

static volatile int flags_in_handler, errno_in_handler;

static void try_to_change(int sig MAYBE_UNUSED)
{
	stack_t ss = {.ss_flags = SS_DISABLE}, got;
	sigaltstack(NULL, &got);
	flags_in_handler = got.ss_flags;
	errno_in_handler = sigaltstack(&ss, NULL) < 0 ? errno : 0;
}

TEST(sigaltstack_in_use_is_eperm)
{
	use_alt(0);
	handle_plain(SIGUSR1, try_to_change, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK_EQ(flags_in_handler, SS_ONSTACK);
	CHECK_EQ(errno_in_handler, EPERM);
}

TEST(autodisarm_disables_during_handler)
{
	stack_t got;
	use_alt((int)(1U << 31));
	handle_plain(SIGUSR1, try_to_change, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK_EQ(flags_in_handler, SS_DISABLE);
	CHECK_EQ(errno_in_handler, 0);
	CHECK_OK(sigaltstack(NULL, &got)); /* put back by the return from the handler */
	CHECK_EQ(got.ss_sp, alt);
	CHECK_EQ((unsigned)got.ss_flags, 1U << 31);
}

static void inner(int sig MAYBE_UNUSED)
{
	handler_sp = (uintptr_t)__builtin_frame_address(0);
}

static volatile uintptr_t outer_sp;

static void outer(int sig MAYBE_UNUSED)
{
	outer_sp = (uintptr_t)__builtin_frame_address(0);
	raise(SIGUSR2);
}

TEST(nested_handler_continues_below_on_the_same_stack)
{
	use_alt(0);
	handle_plain(SIGUSR1, outer, SA_ONSTACK);
	handle_plain(SIGUSR2, inner, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK(on_alt(outer_sp));
	CHECK(on_alt(handler_sp));
	CHECK_LT(handler_sp, outer_sp);
}

static void *altstack_of_thread(void *arg MAYBE_UNUSED)
{
	stack_t got;
	sigaltstack(NULL, &got);
	return (void *)(long)got.ss_flags;
}

TEST(threads_start_without_alternate_stack)
{
	pthread_t t;
	void *flags;
	use_alt(0);
	CHECK_EQ(pthread_create(&t, NULL, altstack_of_thread, NULL), 0);
	CHECK_EQ(pthread_join(t, &flags), 0);
	CHECK_EQ((long)flags, SS_DISABLE);
}

TEST(fork_keeps_alternate_stack)
{
	use_alt(0);
	CHILD {
		stack_t got;
		CHECK_OK(sigaltstack(NULL, &got));
		CHECK_EQ(got.ss_sp, alt);
	} CHILD_END;
}

static sigjmp_buf back;

static void jump_out(int sig MAYBE_UNUSED)
{
	siglongjmp(back, 1);
}

static volatile int depth;

static int recurse(volatile char *p)
{
	volatile char frame[4096];
	frame[0] = p ? p[0] : 0;
	return ++depth > 1 << 30 ? 0 : recurse(frame) + frame[0];
}

TEST(stack_overflow_is_caught_on_alternate_stack)
{
	use_alt(0);
	handle_plain(SIGSEGV, jump_out, SA_ONSTACK);
	if (sigsetjmp(back, 1) == 0)
		recurse(NULL);
	CHECK_GT(depth, 100);
	depth = 0;
	if (sigsetjmp(back, 1) == 0)
		recurse(NULL);
	CHECK_GT(depth, 100);
}

TEST(stack_overflow_without_alternate_stack_ends_the_process)
{
	pid_t pid = xfork();
	if (pid == 0) {
		handle_plain(SIGSEGV, jump_out, 0);
		recurse(NULL);
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGSEGV);
}

TEST(no_room_on_alternate_stack_is_segv)
{
	pid_t pid = xfork();
	if (pid == 0) {
		char *p = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		stack_t ss = {.ss_sp = p, .ss_size = 65536};
		sigaltstack(&ss, NULL);
		handle_plain(SIGUSR1, note_sp, SA_ONSTACK);
		raise(SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGSEGV);
}

TEST(siglongjmp_restores_mask)
{
	sigset_t s;
	for (int i = 0; i < 10; i++) {
		handle_plain(SIGUSR1, jump_out, 0);
		if (sigsetjmp(back, 1) == 0) {
			raise(SIGUSR1);
			FAIL("not reached");
		}
		CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &s));
		CHECK_EQ(sigismember(&s, SIGUSR1), 0);
	}
}

TEST(longjmp_without_mask_leaves_signal_blocked)
{
	sigset_t s;
	handle_plain(SIGUSR1, jump_out, 0);
	if (sigsetjmp(back, 0) == 0)
		raise(SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &s));
	CHECK_EQ(sigismember(&s, SIGUSR1), 1);
}

/* ---- registers ---- */

static void spoil_everything(int sig MAYBE_UNUSED)
{
	hits++;
	__asm__ volatile("pcmpeqb %%xmm0, %%xmm0\n\tpcmpeqb %%xmm1, %%xmm1\n\tpcmpeqb %%xmm7, %%xmm7\n\tpcmpeqb %%xmm15, %%xmm15\n\t"
			 "fninit\n\tfldpi\n\tfldl2e\n\tmov $-1, %%rax\n\tmov %%rax, %%rcx\n\tmov %%rax, %%rdx\n\tmov %%rax, %%rsi\n\tmov %%rax, %%rdi\n\t"
			 "mov %%rax, %%r8\n\tmov %%rax, %%r9\n\tmov %%rax, %%r10\n\tmov %%rax, %%r11\n\tstd\n\tcld"
			 :
			 :
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm7", "xmm15", "memory", "cc");
}

/* Spins with known values in every register until a timer's handler has run, then stores what it finds. */
static void registers_across_a_tick(unsigned long out[16])
{
	volatile sig_atomic_t *h = &hits;
	__asm__ volatile("push %%rbp\n\t"
			 "mov $0x1001, %%rcx\n\tmov $0x1002, %%rdx\n\tmov $0x1003, %%rbx\n\tmov $0x1006, %%rbp\n\t"
			 "mov $0x1008, %%r8\n\tmov $0x1009, %%r9\n\tmov $0x100a, %%r10\n\tmov $0x100b, %%r11\n\t"
			 "mov $0x100c, %%r12\n\tmov $0x100d, %%r13\n\tmov $0x100e, %%r14\n\tmov $0x100f, %%r15\n\t"
			 "stc\n"
			 "1: movl (%%rsi), %%eax\n\tjrcxz 2f\n\tinc %%eax\n\tdec %%eax\n\tjz 1b\n"
			 "2: mov %%rcx, 8(%%rdi)\n\tmov %%rdx, 16(%%rdi)\n\tmov %%rbx, 24(%%rdi)\n\tmov %%rbp, 48(%%rdi)\n\t"
			 "mov %%r8, 64(%%rdi)\n\tmov %%r9, 72(%%rdi)\n\tmov %%r10, 80(%%rdi)\n\tmov %%r11, 88(%%rdi)\n\t"
			 "mov %%r12, 96(%%rdi)\n\tmov %%r13, 104(%%rdi)\n\tmov %%r14, 112(%%rdi)\n\tmov %%r15, 120(%%rdi)\n\t"
			 "mov $0, %%eax\n\tsetc %%al\n\tmov %%rax, 0(%%rdi)\n\tpop %%rbp"
			 :
			 : "D"(out), "S"(h)
			 : "rax", "rcx", "rdx", "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
}

static void tick_in(int usec)
{
	struct itimerval it = {{0, 0}, {0, usec}};
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
}

TEST(general_registers_survive_an_asynchronous_handler)
{
	handle_plain(SIGALRM, spoil_everything, 0);
	for (int round = 0; round < 10; round++) {
		unsigned long out[16] = {0};
		hits = 0;
		tick_in(2000);
		registers_across_a_tick(out);
		CHECK_EQ(out[0], 1); /* the carry flag: inc and dec leave it alone */
		int regs[] = {1, 2, 3, 6, 8, 9, 10, 11, 12, 13, 14, 15};
		for (size_t i = 0; i < sizeof regs / sizeof *regs; i++)
			CHECK_EQ(out[regs[i]], 0x1000 + regs[i]);
	}
}

TEST(registers_survive_a_system_call)
{
	long rbx, rbp_, r12, r13, r14, r15, rdx, rsi, rdi, r8, r9, r10, rax;
	long out[13];
	__asm__ volatile("push %%rbp\n\tmov %0, %%rax\n\tpush %%rax\n\t"
			 "mov $0x11, %%rbx\n\tmov $0x12, %%rbp\n\tmov $0x13, %%r12\n\tmov $0x14, %%r13\n\tmov $0x15, %%r14\n\tmov $0x16, %%r15\n\t"
			 "mov $0x17, %%rdx\n\tmov $0x18, %%rsi\n\tmov $0x19, %%rdi\n\tmov $0x1a, %%r8\n\tmov $0x1b, %%r9\n\tmov $0x1c, %%r10\n\t"
			 "mov $39, %%eax\n\tsyscall\n\tpop %%rcx\n\t"
			 "mov %%rbx, 0(%%rcx)\n\tmov %%rbp, 8(%%rcx)\n\tmov %%r12, 16(%%rcx)\n\tmov %%r13, 24(%%rcx)\n\tmov %%r14, 32(%%rcx)\n\tmov %%r15, 40(%%rcx)\n\t"
			 "mov %%rdx, 48(%%rcx)\n\tmov %%rsi, 56(%%rcx)\n\tmov %%rdi, 64(%%rcx)\n\tmov %%r8, 72(%%rcx)\n\tmov %%r9, 80(%%rcx)\n\tmov %%r10, 88(%%rcx)\n\tmov %%rax, 96(%%rcx)\n\t"
			 "pop %%rbp"
			 :
			 : "r"(out)
			 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
	rbx = out[0], rbp_ = out[1], r12 = out[2], r13 = out[3], r14 = out[4], r15 = out[5], rdx = out[6], rsi = out[7], rdi = out[8], r8 = out[9], r9 = out[10], r10 = out[11], rax = out[12];
	CHECK_EQ(rbx, 0x11);
	CHECK_EQ(rbp_, 0x12);
	CHECK_EQ(r12, 0x13);
	CHECK_EQ(r13, 0x14);
	CHECK_EQ(r14, 0x15);
	CHECK_EQ(r15, 0x16);
	CHECK_EQ(rdx, 0x17);
	CHECK_EQ(rsi, 0x18);
	CHECK_EQ(rdi, 0x19);
	CHECK_EQ(r8, 0x1a);
	CHECK_EQ(r9, 0x1b);
	CHECK_EQ(r10, 0x1c);
	CHECK_EQ(rax, getpid());
}

TEST(red_zone_is_left_alone)
{
	/* 128 bytes below the stack pointer belong to the function: the frame goes below them. */
	long changed;
	handle_plain(SIGALRM, spoil_everything, 0);
	for (int round = 0; round < 5; round++) {
		hits = 0;
		tick_in(2000);
		__asm__ volatile("movq $0x5a5a5a5a, -8(%%rsp)\n\tmovq $0x3c3c3c3c, -128(%%rsp)\n"
				 "1: movl (%1), %%eax\n\ttest %%eax, %%eax\n\tjz 1b\n\t"
				 "xor %0, %0\n\tcmpq $0x5a5a5a5a, -8(%%rsp)\n\tje 2f\n\tinc %0\n"
				 "2: cmpq $0x3c3c3c3c, -128(%%rsp)\n\tje 3f\n\tinc %0\n3:"
				 : "=&r"(changed)
				 : "r"(&hits)
				 : "rax", "memory", "cc");
		CHECK_EQ(changed, 0);
	}
}

TEST(sse_and_x87_survive_a_handler)
{
	handle_plain(SIGALRM, spoil_everything, 0);
	for (int round = 0; round < 10; round++) {
		unsigned char in[16], out0[16], out15[16];
		double pi;
		unsigned short cw_in = 0x27f, cw_out;
		unsigned csr_in = 0x7f80, csr_out;
		for (int i = 0; i < 16; i++)
			in[i] = i * 3 + round;
		hits = 0;
		tick_in(2000);
		__asm__ volatile("fninit\n\tfldcw %6\n\tldmxcsr %7\n\tfldpi\n\tmovdqu (%8), %%xmm0\n\tmovdqu (%8), %%xmm15\n"
				 "1: movl (%9), %%eax\n\ttest %%eax, %%eax\n\tjz 1b\n\t"
				 "movdqu %%xmm0, %0\n\tmovdqu %%xmm15, %1\n\tfstpl %2\n\tfnstcw %3\n\tstmxcsr %4\n\tmovl $0x1f80, %5\n\tldmxcsr %5\n\tfninit"
				 : "=m"(out0), "=m"(out15), "=m"(pi), "=m"(cw_out), "=m"(csr_out), "=m"(*(unsigned *)alt)
				 : "m"(cw_in), "m"(csr_in), "r"(in), "r"(&hits)
				 : "rax", "xmm0", "xmm15", "memory", "cc");
		CHECK_MEM(out0, in, 16);
		CHECK_MEM(out15, in, 16);
		CHECK(pi > 3.14159265358979 && pi < 3.14159265358980);
		CHECK_EQ(cw_out, 0x27f);
		CHECK_EQ(csr_out & ~0x3f, 0x7f80);
	}
}

static int have_avx(void)
{
	return __builtin_cpu_supports("avx");
}

__attribute__((target("avx"))) static void spoil_ymm(int sig MAYBE_UNUSED)
{
	hits++;
	__asm__ volatile("vxorps %%ymm0, %%ymm0, %%ymm0\n\tvxorps %%ymm9, %%ymm9, %%ymm9" ::: "xmm0", "xmm9");
}

__attribute__((target("avx"))) static void ymm_across_a_tick(const unsigned char *in, unsigned char *a, unsigned char *b)
{
	__asm__ volatile("vmovdqu (%0), %%ymm0\n\tvmovdqu (%0), %%ymm9\n"
			 "1: movl (%3), %%eax\n\ttest %%eax, %%eax\n\tjz 1b\n\t"
			 "vmovdqu %%ymm0, (%1)\n\tvmovdqu %%ymm9, (%2)\n\tvzeroupper"
			 :
			 : "r"(in), "r"(a), "r"(b), "r"(&hits)
			 : "rax", "xmm0", "xmm9", "memory", "cc");
}

TEST(avx_survives_a_handler)
{
	if (!have_avx())
		SKIP("no AVX");
	handle_plain(SIGALRM, spoil_ymm, 0);
	for (int round = 0; round < 10; round++) {
		unsigned char in[32], a[32], b[32];
		for (int i = 0; i < 32; i++)
			in[i] = i * 5 + round;
		hits = 0;
		tick_in(2000);
		ymm_across_a_tick(in, a, b);
		CHECK_MEM(a, in, 32);
		CHECK_MEM(b, in, 32);
	}
}

__attribute__((target("avx512f"))) static void zmm_across_a_tick(const unsigned char *in, unsigned char *a, unsigned char *b, unsigned long *k)
{
	__asm__ volatile("vmovdqu64 (%0), %%zmm0\n\tvmovdqu64 (%0), %%zmm31\n\tmov $0x5a5a, %%eax\n\tkmovw %%eax, %%k3\n"
			 "1: movl (%4), %%eax\n\ttest %%eax, %%eax\n\tjz 1b\n\t"
			 "vmovdqu64 %%zmm0, (%1)\n\tvmovdqu64 %%zmm31, (%2)\n\tkmovw %%k3, %%eax\n\tmov %%rax, (%3)\n\tvzeroupper"
			 :
			 : "r"(in), "r"(a), "r"(b), "r"(k), "r"(&hits)
			 : "rax", "xmm0", "memory", "cc");
}

__attribute__((target("avx512f"))) static void spoil_zmm(int sig MAYBE_UNUSED)
{
	hits++;
	__asm__ volatile("vpxorq %%zmm0, %%zmm0, %%zmm0\n\tvpxorq %%zmm31, %%zmm31, %%zmm31\n\txor %%eax, %%eax\n\tkmovw %%eax, %%k3" ::: "rax", "xmm0");
}

TEST(avx512_survives_a_handler)
{
	if (!__builtin_cpu_supports("avx512f"))
		SKIP("no AVX-512");
	handle_plain(SIGALRM, spoil_zmm, 0);
	for (int round = 0; round < 10; round++) {
		unsigned char in[64], a[64], b[64];
		unsigned long k = 0;
		for (int i = 0; i < 64; i++)
			in[i] = i * 7 + round;
		hits = 0;
		tick_in(2000);
		zmm_across_a_tick(in, a, b, &k);
		CHECK_MEM(a, in, 64);
		CHECK_MEM(b, in, 64);
		CHECK_EQ(k, 0x5a5a);
	}
}

__attribute__((target("avx"))) static void ymm_across_calls(const unsigned char *in, unsigned char *out, long nr)
{
	__asm__ volatile("vmovdqu (%0), %%ymm12\n\tmov %2, %%rax\n\tsyscall\n\tvmovdqu %%ymm12, (%1)\n\tvzeroupper"
			 :
			 : "r"(in), "r"(out), "r"(nr)
			 : "rax", "rcx", "r11", "xmm12", "memory");
}

TEST(avx_survives_system_calls)
{
	unsigned char in[32], out[32];
	if (!have_avx())
		SKIP("no AVX");
	for (int i = 0; i < 32; i++)
		in[i] = i + 1;
	long calls[] = {SYS_getpid, SYS_sched_yield, SYS_gettid, SYS_getppid};
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
			memset(out, 0, sizeof out);
			ymm_across_calls(in, out, calls[i]);
			CHECK_MEM(out, in, 32);
		}
}

static void edit_registers(int sig MAYBE_UNUSED, siginfo_t *si MAYBE_UNUSED, void *context)
{
	ucontext_t *uc = context;
	uc->uc_mcontext.gregs[REG_RBX] = 0xabcdef;
	uc->uc_mcontext.gregs[REG_RIP] += 2; /* past ud2 */
	hits++;
}

TEST(handler_edits_registers_and_skips_instruction)
{
	long rbx;
	handle(SIGILL, edit_registers, 0);
	__asm__ volatile("xor %%ebx, %%ebx\n\tud2\n\tmov %%rbx, %0" : "=r"(rbx) : : "rbx");
	CHECK_EQ(hits, 1);
	CHECK_EQ(rbx, 0xabcdef);
}

static void edit_xmm(int sig MAYBE_UNUSED, siginfo_t *si MAYBE_UNUSED, void *context)
{
	ucontext_t *uc = context;
	uc->uc_mcontext.fpregs->_xmm[3].element[0] = 0x11223344;
	uc->uc_mcontext.gregs[REG_RIP] += 2;
}

TEST(handler_edits_vector_registers)
{
	unsigned out;
	handle(SIGILL, edit_xmm, 0);
	__asm__ volatile("pxor %%xmm3, %%xmm3\n\tud2\n\tmovd %%xmm3, %0" : "=r"(out) : : "xmm3");
	CHECK_EQ(out, 0x11223344);
}

static void edit_mask(int sig MAYBE_UNUSED, siginfo_t *si MAYBE_UNUSED, void *context)
{
	ucontext_t *uc = context;
	sigaddset(&uc->uc_sigmask, SIGUSR2);
	sigaddset(&uc->uc_sigmask, SIGKILL);
}

TEST(handler_edits_mask)
{
	sigset_t s;
	handle(SIGUSR1, edit_mask, 0);
	raise(SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &s));
	CHECK_EQ(sigismember(&s, SIGUSR2), 1);
	CHECK_EQ(sigismember(&s, SIGUSR1), 0);
	CHECK_EQ(sigismember(&s, SIGKILL), 0);
}

static void edit_result(int sig MAYBE_UNUSED, siginfo_t *si MAYBE_UNUSED, void *context)
{
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 12345;
}

TEST(handler_edits_result_of_interrupted_call)
{
	handle(SIGUSR1, edit_result, 0);
	long pid = getpid(), ret;
	/* The signal is delivered at the return of kill, whose result is in rax of the frame. */
	__asm__ volatile("syscall" : "=a"(ret) : "0"(SYS_kill), "D"(pid), "S"(SIGUSR1) : "rcx", "r11", "memory");
	CHECK_EQ(ret, 12345);
}

static volatile unsigned long frame_rsp, frame_rip, frame_flags;

static void inspect(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	frame_rsp = uc->uc_mcontext.gregs[REG_RSP];
	frame_rip = uc->uc_mcontext.gregs[REG_RIP];
	frame_flags = uc->uc_flags;
	handler_sp = (uintptr_t)__builtin_frame_address(0) + 8; /* where the return address lies */
	if (si->si_signo == sig && ((uintptr_t)context & 7) == 0)
		hits++;
}

TEST(frame_layout)
{
	extern char after_kill[];
	long pid = getpid(), ret;
	unsigned long rsp;
	handle(SIGUSR1, inspect, 0);
	__asm__ volatile("mov %%rsp, %1\n\tsyscall\n.globl after_kill\nafter_kill: nop" : "=a"(ret), "=&r"(rsp) : "0"(SYS_kill), "D"(pid), "S"(SIGUSR1) : "rcx", "r11", "memory");
	CHECK_EQ(ret, 0);
	CHECK_EQ(hits, 1);
	CHECK_EQ(frame_rsp, rsp);
	CHECK_EQ(frame_rip, after_kill);
	CHECK_EQ(handler_sp % 16, 8); /* as after a call instruction */
	CHECK_LT(handler_sp, rsp - 128);
}

static void inspect_xsave(int sig MAYBE_UNUSED, siginfo_t *si MAYBE_UNUSED, void *context)
{
	ucontext_t *uc = context;
	struct {
		unsigned magic1, size;
		unsigned long features;
		unsigned xstate_size;
	} sw;
	unsigned magic2;
	memcpy(&sw, (char *)uc->uc_mcontext.fpregs + 464, sizeof sw);
	CHECK_EQ((uintptr_t)uc->uc_mcontext.fpregs % 64, 0);
	CHECK_EQ(sw.magic1, 0x46505853);
	CHECK_EQ(sw.features & 3, 3);
	CHECK_GE(sw.xstate_size, 576);
	memcpy(&magic2, (char *)uc->uc_mcontext.fpregs + sw.xstate_size, 4);
	CHECK_EQ(magic2, 0x46505845);
	CHECK_EQ(uc->uc_flags & 1, 1);
	hits++;
}

TEST(frame_has_xsave_area)
{
	unsigned a, b, c, d;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		SKIP("no XSAVE");
	handle(SIGUSR1, inspect_xsave, 0);
	raise(SIGUSR1);
	CHECK_EQ(hits, 1);
}

static void check_flags(int sig MAYBE_UNUSED)
{
	unsigned long flags;
	__asm__ volatile("pushfq\n\tpop %0" : "=r"(flags));
	hits = flags & 0x400 ? 2 : 1;
}

TEST(handler_starts_with_direction_flag_clear)
{
	unsigned long flags;
	long ret, pid = getpid();
	handle_plain(SIGUSR1, check_flags, 0);
	__asm__ volatile("std\n\tsyscall\n\tpushfq\n\tpop %1\n\tcld" : "=a"(ret), "=r"(flags) : "0"(SYS_kill), "D"(pid), "S"(SIGUSR1) : "rcx", "r11", "memory", "cc");
	CHECK_EQ(hits, 1);
	CHECK_EQ(flags & 0x400, 0x400);
}

static ucontext_t *volatile kept;

static void keep_context(int sig MAYBE_UNUSED, siginfo_t *si MAYBE_UNUSED, void *context)
{
	kept = context;
	hits++;
}

TEST(errno_and_tls_are_the_threads_own)
{
	static __thread int tls = 7;
	handle(SIGUSR1, keep_context, 0);
	raise(SIGUSR1);
	CHECK_EQ(tls, 7);
	CHECK(kept != NULL);
}

TEST(many_ticks_during_computation)
{
	struct itimerval it = {{0, 1000}, {0, 1000}};
	handle_plain(SIGALRM, spoil_everything, SA_RESTART);
	CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
	double sum = 0;
	unsigned long check = 0;
	for (int i = 1; hits < 100; i++) {
		sum += 1.0 / ((double)i * i);
		check += i;
		CHECK_EQ(check, (unsigned long)i * (i + 1) / 2);
		if (i == 1000000)
			i = 0, sum = 0, check = 0;
	}
	CHECK(sum >= 0 && sum < 1.6449341);
}
