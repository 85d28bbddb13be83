/* siginfo: what a handler is told about faults, senders and children. */
#include "check.h"
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile siginfo_t info;
static volatile unsigned long trap_no, error_code, fault_cr2, fault_rip;
static volatile int hits;

static void save(const siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	memcpy((void *)&info, si, sizeof info);
	trap_no = uc->uc_mcontext.gregs[REG_TRAPNO];
	error_code = uc->uc_mcontext.gregs[REG_ERR];
	fault_cr2 = uc->uc_mcontext.gregs[REG_CR2];
	fault_rip = uc->uc_mcontext.gregs[REG_RIP];
	hits++;
}

static void on_fault(int sig MAYBE_UNUSED, siginfo_t *si, void *context)
{
	save(si, context);
	siglongjmp(back, 1);
}

static void on_signal(int sig MAYBE_UNUSED, siginfo_t *si, void *context)
{
	save(si, context);
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *))
{
	struct sigaction sa = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO};
	CHECK_OK(sigaction(sig, &sa, NULL));
}

/* Runs the statement, which must fault with sig. */
#define FAULTS(sig, statement)                                            \
	do {                                                              \
		volatile int before_ = hits;                              \
		handle(sig, on_fault);                                    \
		if (sigsetjmp(back, 1) == 0) {                            \
			statement;                                        \
		}                                                         \
		CHECK_EQ(hits, before_ + 1);                              \
		CHECK_EQ(info.si_signo, sig);                             \
	} while (0)

static char *page(int prot)
{
	return CHECK_OK((char *)mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

TEST(segv_of_unmapped_is_maperr)
{
	volatile char *p = page(PROT_READ);
	CHECK_OK(munmap((void *)p, 4096));
	FAULTS(SIGSEGV, (void)p[5]);
	CHECK_EQ(info.si_code, SEGV_MAPERR);
	CHECK_EQ(info.si_addr, p + 5);
	CHECK_EQ(info.si_errno, 0);
	CHECK_EQ(trap_no, 14);
	CHECK_EQ(fault_cr2, p + 5);
	CHECK_EQ(error_code & 7, 4); /* user, read, not present */
}

TEST(segv_of_write_to_read_only_is_accerr)
{
	volatile char *p = page(PROT_READ);
	CHECK_EQ(p[7], 0);
	FAULTS(SIGSEGV, p[7] = 1);
	CHECK_EQ(info.si_code, SEGV_ACCERR);
	CHECK_EQ(info.si_addr, p + 7);
	CHECK_EQ(error_code & 2, 2); /* write */
}

TEST(segv_of_prot_none_is_accerr)
{
	volatile char *p = page(PROT_NONE);
	FAULTS(SIGSEGV, (void)p[9]);
	CHECK_EQ(info.si_code, SEGV_ACCERR);
	CHECK_EQ(info.si_addr, p + 9);
}

TEST(segv_of_null)
{
	volatile char *volatile p = NULL;
	FAULTS(SIGSEGV, (void)*p);
	CHECK_EQ(info.si_code, SEGV_MAPERR);
	CHECK_EQ(info.si_addr, 0);
}

TEST(segv_of_kernel_address)
{
	volatile char *volatile p = (char *)0xffffffff81000000;
	FAULTS(SIGSEGV, (void)*p);
	CHECK_EQ(info.si_code, SEGV_MAPERR);
	CHECK_EQ(info.si_addr, 0xffffffff81000000);
}

TEST(segv_of_non_canonical_address)
{
	volatile char *volatile p = (char *)0x8000000000000000;
	FAULTS(SIGSEGV, (void)*p);
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK_EQ(info.si_addr, 0);
	CHECK_EQ(trap_no, 13);
}

TEST(segv_of_executing_data)
{
	char *p = page(PROT_READ | PROT_WRITE);
	p[0] = 0xc3;
	void (*volatile fn)(void) = (void (*)(void))p;
	FAULTS(SIGSEGV, fn());
	CHECK_EQ(info.si_code, SEGV_ACCERR);
	CHECK_EQ(info.si_addr, p);
	CHECK_EQ(fault_rip, p);
}

TEST(segv_of_jump_to_unmapped)
{
	char *p = page(PROT_READ);
	CHECK_OK(munmap(p, 4096));
	void (*volatile fn)(void) = (void (*)(void))p;
	FAULTS(SIGSEGV, fn());
	CHECK_EQ(info.si_code, SEGV_MAPERR);
	CHECK_EQ(info.si_addr, p);
	CHECK_EQ(fault_rip, p);
}

TEST(segv_of_privileged_instruction)
{
	FAULTS(SIGSEGV, __asm__ volatile("hlt"));
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK_EQ(trap_no, 13);
}

TEST(ill_of_ud2)
{
	extern char ud2_here[];
	FAULTS(SIGILL, __asm__ volatile(".globl ud2_here\nud2_here: ud2"));
	CHECK_EQ(info.si_code, ILL_ILLOPN);
	CHECK_EQ(info.si_addr, ud2_here);
	CHECK_EQ(fault_rip, ud2_here);
	CHECK_EQ(trap_no, 6);
}

TEST(fpe_of_integer_division_by_zero)
{
	extern char div_here[];
	FAULTS(SIGFPE, __asm__ volatile("xor %%edx, %%edx\n\txor %%ecx, %%ecx\n\tmov $1, %%eax\n.globl div_here\ndiv_here: div %%ecx" ::: "rax", "rcx", "rdx"));
	CHECK_EQ(info.si_code, FPE_INTDIV);
	CHECK_EQ(info.si_addr, div_here);
	CHECK_EQ(trap_no, 0);
}

TEST(fpe_of_sse_division)
{
	unsigned mxcsr = 0x1f80 & ~(1 << 9), normal = 0x1f80; /* unmask division by zero */
	FAULTS(SIGFPE, __asm__ volatile("ldmxcsr %0\n\txorps %%xmm1, %%xmm1\n\tmovl $0x3f800000, %%eax\n\tmovd %%eax, %%xmm0\n\tdivss %%xmm1, %%xmm0" ::"m"(mxcsr)
					: "rax", "xmm0", "xmm1"));
	__asm__ volatile("ldmxcsr %0" ::"m"(normal));
	CHECK_EQ(info.si_code, FPE_FLTDIV);
	CHECK_EQ(trap_no, 19);
}

TEST(fpe_of_x87)
{
	unsigned short cw = 0x37f & ~4; /* unmask division by zero */
	FAULTS(SIGFPE, __asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait" ::"m"(cw)));
	__asm__ volatile("fninit");
	CHECK_EQ(info.si_code, FPE_FLTDIV);
	CHECK_EQ(trap_no, 16);
}

TEST(trap_of_int3)
{
	extern char after_int3[];
	handle(SIGTRAP, on_signal);
	__asm__ volatile("int3\n.globl after_int3\nafter_int3: nop");
	CHECK_EQ(hits, 1);
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK_EQ(trap_no, 3);
	CHECK_EQ(fault_rip, after_int3);
}

TEST(trap_of_single_step)
{
	handle(SIGTRAP, on_signal);
	__asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tpushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq" ::: "cc", "memory");
	CHECK_GE(hits, 1);
	CHECK_EQ(info.si_code, TRAP_TRACE);
	CHECK_EQ(trap_no, 1);
}

TEST(bus_past_end_of_file)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_OK(ftruncate(fd, 100));
	volatile char *p = CHECK_OK((char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	CHECK_EQ(p[4095], 0);
	FAULTS(SIGBUS, (void)p[4100]);
	CHECK_EQ(info.si_code, BUS_ADRERR);
	CHECK_EQ(info.si_addr, p + 4100);
	FAULTS(SIGBUS, p[4096] = 1);
	CHECK_EQ(info.si_addr, p + 4096);
}

TEST(bus_of_private_mapping_past_end)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_OK(ftruncate(fd, 100));
	volatile char *p = CHECK_OK((char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	FAULTS(SIGBUS, p[4096] = 1);
	CHECK_EQ(info.si_code, BUS_ADRERR);
}

TEST(bus_after_truncation)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_OK(ftruncate(fd, 8192));
	volatile char *p = CHECK_OK((char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	p[5000] = 1;
	CHECK_OK(ftruncate(fd, 4096));
	FAULTS(SIGBUS, (void)p[5000]);
	CHECK_OK(ftruncate(fd, 8192));
	CHECK_EQ(p[5000], 0);
}

TEST(bus_of_unaligned_with_ac)
{
	char *p = page(PROT_READ | PROT_WRITE);
	FAULTS(SIGBUS, __asm__ volatile("pushfq\n\torl $0x40000, (%%rsp)\n\tpopfq\n\tmovl 1(%0), %%eax\n\tpushfq\n\tandl $~0x40000, (%%rsp)\n\tpopfq" ::"r"(p)
					: "rax", "cc", "memory"));
	__asm__ volatile("pushfq\n\tandl $~0x40000, (%%rsp)\n\tpopfq" ::: "cc", "memory");
	CHECK_EQ(info.si_code, BUS_ADRALN);
	CHECK_EQ(trap_no, 17);
}

TEST(kill_info)
{
	handle(SIGUSR1, on_signal);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(info.si_code, SI_USER);
	CHECK_EQ(info.si_pid, getpid());
	CHECK_EQ(info.si_uid, getuid());
}

TEST(kill_info_names_the_sender)
{
	handle(SIGUSR1, on_signal);
	pid_t me = getpid(), pid = xfork();
	if (pid == 0)
		_exit(kill(me, SIGUSR1));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(hits, 1);
	CHECK_EQ(info.si_pid, pid);
}

TEST(tgkill_info)
{
	handle(SIGUSR1, on_signal);
	CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	CHECK_EQ(info.si_code, SI_TKILL);
	CHECK_EQ(info.si_pid, getpid());
	CHECK_EQ(info.si_uid, getuid());
}

TEST(sigqueue_info)
{
	handle(SIGUSR1, on_signal);
	CHECK_OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_ptr = (void *)0x123456789a}));
	CHECK_EQ(info.si_code, SI_QUEUE);
	CHECK_EQ(info.si_pid, getpid());
	CHECK_EQ(info.si_uid, getuid());
	CHECK_EQ(info.si_value.sival_ptr, 0x123456789a);
}

TEST(rt_sigqueueinfo_rules)
{
	siginfo_t si = {0};
	handle(SIGUSR1, on_signal);
	si.si_code = -99;
	si.si_pid = 4711;
	si.si_uid = 4712;
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &si));
	CHECK_EQ(info.si_signo, SIGUSR1); /* set by the kernel */
	CHECK_EQ(info.si_code, -99);
	CHECK_EQ(info.si_pid, 4711);
	CHECK_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &si));
	CHECK_EQ(hits, 2);
	si.si_code = SI_USER; /* to oneself anything goes, to others only negative codes but SI_TKILL */
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &si));
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &si), EPERM);
	si.si_code = SI_TKILL;
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &si), EPERM);
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0, SIGUSR1, &si), EINVAL);
}

/* The news of a stop or continue may come after the wait has returned: the child sends it when it runs. */
static void await_hits(int n)
{
	for (int i = 0; i < 500 && hits < n; i++)
		msleep(10);
	CHECK_EQ(hits, n);
}

TEST(sigchld_info_of_exit_kill_stop_continue)
{
	siginfo_t si;
	handle(SIGCHLD, on_signal);
	pid_t pid = xfork();
	if (pid == 0)
		_exit(23);
	while (waitid(P_PID, pid, &si, WEXITED) < 0)
		CHECK_EQ(errno, EINTR);
	CHECK_EQ(hits, 1);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_pid, pid);
	CHECK_EQ(info.si_status, 23);
	CHECK_EQ(info.si_uid, getuid());
	pid = xfork();
	if (pid == 0)
		for (;;)
			pause();
	CHECK_OK(kill(pid, SIGSTOP));
	while (waitid(P_PID, pid, &si, WSTOPPED) < 0)
		CHECK_EQ(errno, EINTR);
	await_hits(2);
	CHECK_EQ(info.si_code, CLD_STOPPED);
	CHECK_EQ(info.si_status, SIGSTOP);
	CHECK_OK(kill(pid, SIGCONT));
	while (waitid(P_PID, pid, &si, WCONTINUED) < 0)
		CHECK_EQ(errno, EINTR);
	await_hits(3);
	CHECK_EQ(info.si_code, CLD_CONTINUED);
	CHECK_EQ(info.si_status, SIGCONT);
	CHECK_OK(kill(pid, SIGTERM));
	while (waitid(P_PID, pid, &si, WEXITED) < 0)
		CHECK_EQ(errno, EINTR);
	CHECK_EQ(hits, 4);
	CHECK_EQ(info.si_code, CLD_KILLED);
	CHECK_EQ(info.si_status, SIGTERM);
	CHECK_EQ(info.si_pid, pid);
}

TEST(sigchld_comes_before_wait_returns)
{
	handle(SIGCHLD, on_signal);
	for (int i = 1; i <= 20; i++) {
		pid_t pid = xfork();
		if (pid == 0)
			_exit(0);
		while (waitpid(pid, NULL, 0) < 0)
			CHECK_EQ(errno, EINTR);
		CHECK_EQ(hits, i);
	}
}

TEST(fault_in_system_call_is_efault_not_signal)
{
	char *p = page(PROT_READ);
	int pipe_fds[2];
	handle(SIGSEGV, on_signal);
	CHECK_OK(pipe(pipe_fds));
	CHECK_EQ(write(pipe_fds[1], "x", 1), 1);
	CHECK_ERRNO(read(pipe_fds[0], p, 1), EFAULT);
	CHECK_OK(munmap(p, 4096));
	CHECK_ERRNO(write(pipe_fds[1], p, 1), EFAULT);
	CHECK_EQ(hits, 0);
}

TEST(blocked_fault_ends_the_process)
{
	pid_t pid = xfork();
	if (pid == 0) {
		sigset_t s;
		sigemptyset(&s);
		sigaddset(&s, SIGSEGV);
		sigprocmask(SIG_BLOCK, &s, NULL);
		handle(SIGSEGV, on_fault);
		*(volatile char *)BAD = 1;
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGSEGV);
}

TEST(ignored_fault_ends_the_process)
{
	pid_t pid = xfork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_IGN);
		*(volatile char *)BAD = 1;
		_exit(0);
	}
	CHECK_EQ(wait_exit(pid), 1000 + SIGSEGV);
}

TEST(sent_segv_can_be_ignored_and_blocked)
{
	signal(SIGSEGV, SIG_IGN);
	CHECK_OK(kill(getpid(), SIGSEGV));
	handle(SIGSEGV, on_signal);
	CHECK_OK(kill(getpid(), SIGSEGV));
	CHECK_EQ(hits, 1);
	CHECK_EQ(info.si_code, SI_USER);
}

static char *volatile guarded;

static void unprotect(int sig MAYBE_UNUSED, siginfo_t *si, void *context)
{
	save(si, context);
	if (mprotect(guarded, 4096, PROT_READ | PROT_WRITE) < 0)
		_exit(1);
}

TEST(handler_repairs_fault_and_instruction_is_retried)
{
	guarded = page(PROT_NONE);
	handle(SIGSEGV, unprotect);
	for (int i = 1; i <= 20; i++) {
		((volatile char *)guarded)[i] = i;
		CHECK_EQ(hits, i);
		CHECK_EQ(info.si_addr, guarded + i);
		CHECK_EQ(guarded[i], i);
		CHECK_OK(mprotect(guarded, 4096, PROT_NONE));
	}
}

static void map_page(int sig MAYBE_UNUSED, siginfo_t *si, void *context)
{
	save(si, context);
	void *at = (void *)((uintptr_t)si->si_addr & ~4095UL);
	if (mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
		_exit(1);
}

TEST(handler_maps_the_missing_page)
{
	char *p = CHECK_OK((char *)mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	CHECK_OK(munmap(p, 1 << 20));
	handle(SIGSEGV, map_page);
	for (int i = 0; i < 64; i++)
		((volatile char *)p)[i * 4096] = i;
	CHECK_EQ(hits, 64);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(p[i * 4096], i);
}

static void *fault_in_thread(void *arg)
{
	*(volatile char *)arg = 1;
	return (void *)(long)gettid();
}

static volatile pid_t faulting_tid;

static void unprotect_and_note(int sig, siginfo_t *si, void *context)
{
	faulting_tid = gettid();
	unprotect(sig, si, context);
}

TEST(fault_is_delivered_to_the_faulting_thread)
{
	pthread_t t;
	void *tid;
	guarded = page(PROT_NONE);
	handle(SIGSEGV, unprotect_and_note);
	CHECK_EQ(pthread_create(&t, NULL, fault_in_thread, guarded), 0);
	CHECK_EQ(pthread_join(t, &tid), 0);
	CHECK_EQ(faulting_tid, (long)tid);
	CHECK_EQ(hits, 1);
}

TEST(abort_and_sys_raise)
{
	pid_t pid = xfork();
	if (pid == 0)
		abort();
	CHECK_EQ(wait_exit(pid), 1000 + SIGABRT);
	handle(SIGSYS, on_signal);
	raise(SIGSYS);
	CHECK_EQ(info.si_code, SI_TKILL);
}

TEST(timer_signal_info)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 31337};
	struct itimerspec its = {{0, 0}, {0, 10000000}};
	timer_t id;
	sigset_t s;
	siginfo_t si;
	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN);
	CHECK_OK(sigprocmask(SIG_BLOCK, &s, NULL));
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &id));
	CHECK_OK(timer_settime(id, 0, &its, NULL));
	CHECK_EQ(sigwaitinfo(&s, &si), SIGRTMIN);
	CHECK_EQ(si.si_code, SI_TIMER);
	CHECK_EQ(si.si_value.sival_int, 31337);
	CHECK_EQ(si.si_overrun, 0);
}
