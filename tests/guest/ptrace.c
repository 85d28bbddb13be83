/* ptrace(2): attaching, stops, registers, memory, events. */
#include "check.h"
#include <elf.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

static long trace(long request, pid_t pid, long addr, long data)
{
	return syscall(SYS_ptrace, request, pid, addr, data);
}

/* Waits for a stop of pid: its status shifted right by eight. */
static int wait_stop(pid_t pid)
{
	int st;
	CHECK_EQ(waitpid(pid, &st, __WALL), pid);
	if (!WIFSTOPPED(st))
		FAIL("status %#x is no stop", st);
	return st >> 8;
}

/* A child that traces itself and has stopped by SIGSTOP. */
#define TRACED                                             \
	pid_t pid = xfork();                               \
	if (pid == 0) {                                    \
		if (trace(PTRACE_TRACEME, 0, 0, 0) < 0)    \
			_exit(99);                         \
		raise(SIGSTOP);
#define TRACED_END                                         \
		_exit(0);                                  \
	}                                                  \
	CHECK_EQ(wait_stop(pid), SIGSTOP)

HELPER(nothing)
{
	return 0;
}

TEST(errors)
{
	pid_t pid = xfork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	CHECK_ERRNO(trace(PTRACE_CONT, pid, 0, 0), ESRCH);
	CHECK_ERRNO(trace(PTRACE_PEEKDATA, pid, 0, 0), ESRCH);
	CHECK_ERRNO(trace(PTRACE_ATTACH, 999999, 0, 0), ESRCH);
	CHECK_ERRNO(trace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
	CHECK_ERRNO(trace(PTRACE_SEIZE, pid, 1, 0), EIO);
	CHECK_ERRNO(trace(PTRACE_SEIZE, pid, 0, 1 << 30), EIO);
	CHECK_OK(trace(PTRACE_SEIZE, pid, 0, 0));
	CHECK_ERRNO(trace(PTRACE_SEIZE, pid, 0, 0), EPERM);
	CHECK_ERRNO(trace(PTRACE_CONT, pid, 0, 0), ESRCH); /* runs */
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(traceme_signal_stops)
{
	siginfo_t si;
	TRACED {
		raise(SIGUSR1); /* the tracer takes it away */
		raise(SIGUSR2); /* and makes SIGTERM of this one */
	} TRACED_END;
	CHECK_EQ(task_state(pid), 't');
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_stop(pid), SIGUSR1);
	CHECK_OK(trace(PTRACE_GETSIGINFO, pid, 0, (long)&si));
	CHECK_EQ(si.si_signo, SIGUSR1);
	CHECK_EQ(si.si_code, SI_TKILL);
	CHECK_EQ(si.si_pid, pid);
	CHECK_ERRNO(trace(PTRACE_CONT, pid, 0, 65), EIO);
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_stop(pid), SIGUSR2);
	CHECK_OK(trace(PTRACE_CONT, pid, 0, SIGTERM));
	CHECK_EQ(wait_exit(pid), 1000 + SIGTERM);
}

static volatile long word = 0x1122334455667788;

TEST(memory_and_registers)
{
	struct user_regs_struct regs, set;
	long got = 0;
	TRACED {
		if (word != 4711)
			_exit(1);
	} TRACED_END;
	CHECK_OK(trace(PTRACE_PEEKDATA, pid, (long)&word, (long)&got));
	CHECK_EQ(got, 0x1122334455667788);
	CHECK_ERRNO(trace(PTRACE_PEEKDATA, pid, 8, (long)&got), EIO);
	CHECK_OK(trace(PTRACE_POKEDATA, pid, (long)&word, 4711));
	CHECK_OK(trace(PTRACE_GETREGS, pid, 0, (long)&regs));
	CHECK_EQ(regs.orig_rax, SYS_tgkill);
	CHECK_EQ(regs.cs, 0x33);
	struct iovec iov = {&set, sizeof set};
	CHECK_OK(trace(PTRACE_GETREGSET, pid, NT_PRSTATUS, (long)&iov));
	CHECK_EQ(iov.iov_len, sizeof set);
	CHECK_MEM(&regs, &set, sizeof regs);
	CHECK_OK(trace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), (long)&got));
	CHECK_EQ(got, regs.rip);
	CHECK_ERRNO(trace(PTRACE_PEEKUSER, pid, 3, (long)&got), EIO);
	CHECK_ERRNO(trace(PTRACE_GETREGSET, pid, 0x7777, (long)&iov), EINVAL);
	regs.r15 ^= 1;
	CHECK_OK(trace(PTRACE_SETREGS, pid, 0, (long)&regs));
	CHECK_OK(trace(PTRACE_GETREGS, pid, 0, (long)&set));
	CHECK_EQ(set.r15, regs.r15);
	regs.r15 ^= 1;
	CHECK_OK(trace(PTRACE_SETREGS, pid, 0, (long)&regs));
	struct user_fpregs_struct fp;
	CHECK_OK(trace(PTRACE_GETFPREGS, pid, 0, (long)&fp));
	CHECK_EQ(fp.mxcsr, 0x1f80);
	CHECK_OK(trace(PTRACE_SETFPREGS, pid, 0, (long)&fp));
	/* Read-only memory too. */
	CHECK_OK(trace(PTRACE_PEEKTEXT, pid, (long)&trace, (long)&got));
	CHECK_OK(trace(PTRACE_POKETEXT, pid, (long)&trace, got ^ 0xff));
	long now;
	CHECK_OK(trace(PTRACE_PEEKTEXT, pid, (long)&trace, (long)&now));
	CHECK_EQ(now, got ^ 0xff);
	CHECK_EQ(*(long *)&trace, got); /* its own copy */
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	int mem = CHECK_OK(open(path, O_RDWR));
	CHECK_EQ(pwrite(mem, &got, sizeof got, (long)&trace), sizeof got); /* as debuggers do */
	CHECK_OK(trace(PTRACE_PEEKTEXT, pid, (long)&trace, (long)&now));
	CHECK_EQ(now, got);
	unsigned char area[4096];
	iov = (struct iovec){area, sizeof area};
	CHECK_OK(trace(PTRACE_GETREGSET, pid, 0x202 /* NT_X86_XSTATE */, (long)&iov));
	CHECK_EQ(area[464] & 3, 3); /* XCR0 */
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(system_call_stops)
{
	struct user_regs_struct regs;
	struct __ptrace_syscall_info info;
	TRACED {
		for (int i = 0; i < 3; i++)
			if (syscall(SYS_getpgid, 77777) != (i == 2 ? 4242 : -1))
				_exit(1 + i);
	} TRACED_END;
	CHECK_OK(trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
	CHECK_ERRNO(trace(PTRACE_SETOPTIONS, pid, 0, 1 << 30), EINVAL);
	CHECK_OK(trace(PTRACE_SYSCALL, pid, 0, 0));
	int calls = 0;
	for (;;) {
		int st;
		CHECK_EQ(waitpid(pid, &st, 0), pid);
		if (!WIFSTOPPED(st)) {
			CHECK_EQ(st, 0);
			break;
		}
		CHECK_EQ(st >> 8, SIGTRAP | 0x80);
		CHECK_OK(trace(PTRACE_GETREGS, pid, 0, (long)&regs));
		long size = CHECK_OK(trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, (long)&info));
		if (regs.orig_rax == SYS_getpgid && info.op == 1) {
			CHECK_EQ(regs.rax, -ENOSYS);
			CHECK_EQ(info.entry.nr, SYS_getpgid);
			CHECK_EQ(info.entry.args[0], 77777);
			CHECK_EQ(size, offsetof(struct __ptrace_syscall_info, entry.args) + sizeof info.entry.args);
			if (calls == 1) { /* another call */
				regs.orig_rax = SYS_getppid + 100000;
				CHECK_OK(trace(PTRACE_SETREGS, pid, 0, (long)&regs));
			}
		} else if (info.op == 2 && calls < 3 && (regs.orig_rax == SYS_getpgid || regs.orig_rax > 100000)) {
			CHECK_EQ(info.exit.rval, calls == 1 ? -ENOSYS : -ESRCH);
			CHECK_EQ(info.exit.is_error, 1);
			if (calls == 2) { /* another result */
				regs.rax = 4242;
				CHECK_OK(trace(PTRACE_SETREGS, pid, 0, (long)&regs));
			}
			calls++;
		}
		CHECK_OK(trace(PTRACE_SYSCALL, pid, 0, 0));
	}
	CHECK_EQ(calls, 3);
}

TEST(fork_and_exec_events)
{
	unsigned long child = 0;
	TRACED {
		pid_t c = fork();
		if (c == 0) {
			execl(self_exe, self_exe, "@nothing", NULL);
			_exit(1);
		}
		int st;
		_exit(waitpid(c, &st, 0) == c && st == 0 ? 7 : 8);
	} TRACED_END;
	CHECK_OK(trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_stop(pid), SIGTRAP | PTRACE_EVENT_FORK << 8);
	CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, (long)&child));
	CHECK_GT(child, 0);
	CHECK_EQ(wait_stop(child), SIGSTOP);
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_OK(trace(PTRACE_CONT, child, 0, 0));
	CHECK_EQ(wait_stop(child), SIGTRAP | PTRACE_EVENT_EXEC << 8);
	CHECK_OK(trace(PTRACE_CONT, child, 0, 0));
	int ended = 0, st;
	for (int i = 0; i < 4 && ended < 2; i++) {
		pid_t got = CHECK_OK(waitpid(-1, &st, __WALL));
		if (WIFSTOPPED(st)) {
			CHECK_EQ(got, pid); /* hears of its child */
			CHECK_EQ(st >> 8, SIGCHLD);
			CHECK_OK(trace(PTRACE_CONT, pid, 0, SIGCHLD));
		} else {
			CHECK_EQ(WEXITSTATUS(st), got == pid ? 7 : 0);
			ended++;
		}
	}
	CHECK_EQ(ended, 2);
}

TEST(exec_traps_without_the_option)
{
	TRACED {
		execl(self_exe, self_exe, "@nothing", NULL);
	} TRACED_END;
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_stop(pid), SIGTRAP);
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(attach_and_detach)
{
	char buf[8192], line[64];
	pid_t pid = xfork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	CHECK_OK(trace(PTRACE_ATTACH, pid, 0, 0));
	CHECK_EQ(wait_stop(pid), SIGSTOP);
	snprintf(line, sizeof line, "/proc/%d/status", pid);
	CHECK_GT(read_file(line, buf, sizeof buf), 0);
	snprintf(line, sizeof line, "TracerPid:\t%d\n", getpid());
	CHECK(strstr(buf, line) != NULL);
	CHECK_OK(trace(PTRACE_DETACH, pid, 0, 0));
	wait_asleep(pid);
	CHECK_EQ(task_state(pid), 'S');
	CHECK_ERRNO(trace(PTRACE_DETACH, pid, 0, 0), ESRCH);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(seize_interrupt_and_listen)
{
	pid_t pid = xfork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	CHECK_OK(trace(PTRACE_SEIZE, pid, 0, 0));
	CHECK_OK(trace(PTRACE_INTERRUPT, pid, 0, 0));
	CHECK_EQ(wait_stop(pid), SIGTRAP | PTRACE_EVENT_STOP << 8);
	CHECK_ERRNO(trace(PTRACE_GETREGSET, pid, 0x7777, 0), EFAULT);
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(wait_stop(pid), SIGSTOP); /* delivery */
	CHECK_OK(trace(PTRACE_CONT, pid, 0, SIGSTOP));
	CHECK_EQ(wait_stop(pid), SIGSTOP | PTRACE_EVENT_STOP << 8); /* the group stop */
	CHECK_OK(trace(PTRACE_LISTEN, pid, 0, 0));
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(wait_stop(pid), SIGTRAP | PTRACE_EVENT_STOP << 8);
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_stop(pid), SIGCONT);
	CHECK_OK(trace(PTRACE_CONT, pid, 0, SIGKILL));
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(single_steps)
{
	struct user_regs_struct regs;
	unsigned long last = 0;
	TRACED {
		volatile int n = 0;
		for (int i = 0; i < 1000; i++)
			n++;
	} TRACED_END;
	for (int i = 0; i < 20; i++) {
		CHECK_OK(trace(PTRACE_SINGLESTEP, pid, 0, 0));
		CHECK_EQ(wait_stop(pid), SIGTRAP);
		CHECK_OK(trace(PTRACE_GETREGS, pid, 0, (long)&regs));
		CHECK_NE(regs.rip, last);
		last = regs.rip;
	}
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(killed_while_stopped)
{
	TRACED {
	} TRACED_END;
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(tracees_outlive_a_tracer_that_lets_them)
{
	pid_t pid = xfork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	CHILD {
		CHECK_OK(trace(PTRACE_SEIZE, pid, 0, 0));
		CHECK_OK(trace(PTRACE_INTERRUPT, pid, 0, 0));
		wait_stop(pid);
	} CHILD_END;
	wait_asleep(pid);
	CHECK_EQ(task_state(pid), 'S');
	CHILD {
		CHECK_OK(trace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL));
	} CHILD_END;
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

TEST(exit_event)
{
	unsigned long status = 0;
	TRACED {
		_exit(5);
	} TRACED_END;
	CHECK_OK(trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT));
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_stop(pid), SIGTRAP | PTRACE_EVENT_EXIT << 8);
	CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, (long)&status));
	CHECK_EQ(status, 5 << 8);
	CHECK_OK(trace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(wait_exit(pid), 5);
}
