/* Sessions, process groups and job control on a terminal of the test's own. */
#include "check.h"
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static volatile sig_atomic_t got_hup, got_cont, got_ttou;

static void on_signal(int sig)
{
	if (sig == SIGHUP)
		got_hup++;
	if (sig == SIGCONT)
		got_cont++;
	if (sig == SIGTTOU)
		got_ttou++;
}

static pid_t pausing_child(void)
{
	pid_t pid = xfork();
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK_EQ(wait_exit(pid), 1000 + SIGKILL);
}

/* Makes the caller the leader of a new session with a new terminal; returns the terminal, sets *master. */
static int own_terminal(int *master)
{
	int m = CHECK_OK(posix_openpt(O_RDWR | O_NOCTTY)), number, unlock = 0;
	char name[64];
	CHECK_OK(ioctl(m, TIOCSPTLCK, &unlock));
	CHECK_OK(ioctl(m, TIOCGPTN, &number));
	snprintf(name, sizeof name, "/dev/pts/%d", number);
	CHECK_OK(setsid());
	int tty = CHECK_OK(open(name, O_RDWR | O_NOCTTY));
	CHECK_OK(ioctl(tty, TIOCSCTTY, 0));
	*master = m;
	return tty;
}

/* Tests with a terminal run in a child, as the test itself leads a group and cannot call setsid. */
#define IN_SESSION                                 \
	CHILD {                                    \
		int master, tty = own_terminal(&master); \
		(void)tty;
#define SESSION_END    \
	} CHILD_END

TEST(setsid_makes_leader_of_all)
{
	pid_t old = getsid(0);
	CHILD {
		CHECK_EQ(setsid(), getpid());
		CHECK_EQ(getsid(0), getpid());
		CHECK_EQ(getpgrp(), getpid());
		CHECK_NE(getsid(0), old);
	} CHILD_END;
}

TEST(setsid_of_group_leader_is_eperm)
{
	CHECK_EQ(getpgrp(), getpid()); /* the harness made this process a leader */
	CHECK_ERRNO(setsid(), EPERM);
	CHILD {
		CHECK_OK(setsid());
		CHECK_ERRNO(setsid(), EPERM);
	} CHILD_END;
}

TEST(setsid_eperm_when_own_pid_is_a_group)
{
	/* A group lives as long as any member: the child's pid stays a group after it moved away. */
	CHILD {
		CHECK_OK(setpgid(0, 0));
		pid_t other = pausing_child();
		CHECK_EQ(getpgid(other), getpid());
		CHECK_OK(setpgid(0, getppid()));
		CHECK_ERRNO(setsid(), EPERM);
		end(other);
	} CHILD_END;
}

TEST(setsid_drops_the_terminal)
{
	IN_SESSION {
		CHECK_OK(open("/dev/tty", O_RDWR));
		CHILD {
			CHECK_OK(setsid());
			CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
		} CHILD_END;
	} SESSION_END;
}

TEST(getsid_getpgid_errors)
{
	CHECK_ERRNO(getsid(-1), ESRCH);
	CHECK_ERRNO(getpgid(-1), ESRCH);
	CHECK_ERRNO(getsid(0x3ffffff), ESRCH);
	CHECK_ERRNO(getpgid(0x3ffffff), ESRCH);
	CHECK_EQ(getpgid(0), getpgrp());
	CHECK_EQ(getpgid(getpid()), getpgrp());
}

TEST(setpgid_of_child)
{
	pid_t pid = pausing_child();
	CHECK_EQ(getpgid(pid), getpgrp());
	CHECK_OK(setpgid(pid, pid));
	CHECK_EQ(getpgid(pid), pid);
	CHECK_OK(setpgid(pid, getpgrp()));
	CHECK_EQ(getpgid(pid), getpgrp());
	CHECK_OK(setpgid(pid, 0));
	CHECK_EQ(getpgid(pid), pid);
	end(pid);
}

TEST(setpgid_errors)
{
	pid_t pid = pausing_child();
	CHECK_ERRNO(setpgid(0, -1), EINVAL);
	CHECK_ERRNO(setpgid(pid, 0x3ffffff), EPERM);
	CHECK_ERRNO(setpgid(getppid(), 0), ESRCH);
	CHECK_ERRNO(setpgid(0x3ffffff, 0), ESRCH);
	end(pid);
}

TEST(setpgid_of_session_leader_is_eperm)
{
	CHILD {
		CHECK_OK(setsid());
		CHECK_ERRNO(setpgid(0, 0), EPERM);
		CHECK_ERRNO(setpgid(getpid(), getpid()), EPERM);
	} CHILD_END;
}

TEST(setpgid_into_other_session_is_eperm)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		setsid();
		if (write(p[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_ERRNO(setpgid(0, pid), EPERM);
	CHECK_ERRNO(setpgid(pid, getpgrp()), EPERM);
	end(pid);
}

TEST(setpgid_to_group_of_sibling)
{
	pid_t a = pausing_child(), b = pausing_child();
	CHECK_OK(setpgid(a, a));
	CHECK_OK(setpgid(b, a));
	CHECK_EQ(getpgid(b), a);
	end(a);
	CHECK_EQ(getpgid(b), a);
	CHECK_OK(kill(-a, SIGTERM));
	CHECK_EQ(wait_exit(b), 1000 + SIGTERM);
	CHECK_ERRNO(kill(-a, 0), ESRCH);
}

TEST(kill_of_group_reaches_all_members)
{
	pid_t kids[3];
	for (int i = 0; i < 3; i++) {
		kids[i] = pausing_child();
		CHECK_OK(setpgid(kids[i], kids[0]));
	}
	CHECK_OK(kill(-kids[0], SIGUSR1));
	for (int i = 0; i < 3; i++)
		CHECK_EQ(wait_exit(kids[i]), 1000 + SIGUSR1);
}

TEST(kill_zero_reaches_own_group)
{
	CHILD {
		CHECK_OK(setpgid(0, 0));
		pid_t pid = pausing_child();
		signal(SIGUSR1, SIG_IGN);
		CHECK_OK(kill(0, SIGUSR1));
		CHECK_EQ(wait_exit(pid), 1000 + SIGUSR1);
	} CHILD_END;
}

TEST(terminal_ids)
{
	IN_SESSION {
		pid_t sid = 0;
		CHECK_EQ(tcgetpgrp(tty), getpid());
		CHECK_OK(ioctl(tty, TIOCGSID, &sid));
		CHECK_EQ(sid, getpid());
		CHECK_EQ(tcgetsid(tty), getpid());
	} SESSION_END;
}

TEST(terminal_ids_without_control_are_enotty)
{
	int m, s, pgrp;
	CHECK_OK(openpty(&m, &s, NULL, NULL, NULL));
	CHECK_ERRNO(ioctl(s, TIOCGPGRP, &pgrp), ENOTTY);
	CHECK_ERRNO(ioctl(s, TIOCGSID, &pgrp), ENOTTY);
	pgrp = getpgrp();
	CHECK_ERRNO(ioctl(s, TIOCSPGRP, &pgrp), ENOTTY);
}

TEST(dev_tty_without_terminal_is_enxio)
{
	CHILD {
		CHECK_OK(setsid());
		CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
	} CHILD_END;
}

TEST(opening_a_terminal_takes_control_without_noctty)
{
	CHILD {
		int m, s;
		char name[64];
		CHECK_OK(openpty(&m, &s, name, NULL, NULL));
		CHECK_OK(setsid());
		CHECK_OK(open(name, O_RDWR | O_NOCTTY));
		CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
		int fd = CHECK_OK(open(name, O_RDWR));
		CHECK_OK(open("/dev/tty", O_RDWR));
		CHECK_EQ(tcgetpgrp(fd), getpid());
	} CHILD_END;
}

TEST(tiocsctty_rules)
{
	IN_SESSION {
		CHECK_OK(ioctl(tty, TIOCSCTTY, 0)); /* again: fine */
		CHILD {
			CHECK_ERRNO(ioctl(tty, TIOCSCTTY, 0), EPERM); /* not a session leader */
		} CHILD_END;
		CHILD {
			CHECK_OK(setsid());
			CHECK_ERRNO(ioctl(tty, TIOCSCTTY, 0), EPERM); /* belongs to another session */
		} CHILD_END;
	} SESSION_END;
}

TEST(tiocnotty)
{
	IN_SESSION {
		CHILD {
			CHECK_OK(ioctl(tty, TIOCNOTTY));
			CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
			CHECK_ERRNO(ioctl(tty, TIOCNOTTY), ENOTTY);
		} CHILD_END;
		CHECK_OK(open("/dev/tty", O_RDWR));
	} SESSION_END;
}

TEST(session_leader_giving_up_terminal_hangs_up_foreground)
{
	IN_SESSION {
		signal(SIGHUP, on_signal);
		signal(SIGCONT, on_signal);
		CHECK_OK(ioctl(tty, TIOCNOTTY));
		CHECK_EQ(got_hup, 1);
		CHECK_EQ(got_cont, 1);
	} SESSION_END;
}

TEST(tcsetpgrp_moves_the_foreground)
{
	IN_SESSION {
		pid_t pid = pausing_child();
		CHECK_OK(setpgid(pid, pid));
		CHECK_OK(tcsetpgrp(tty, pid));
		CHECK_EQ(tcgetpgrp(tty), pid);
		CHECK_EQ(write(master, "\003", 1), 1);
		CHECK_EQ(wait_exit(pid), 1000 + SIGINT);
	} SESSION_END;
}

TEST(tcsetpgrp_errors)
{
	IN_SESSION {
		pid_t other = pausing_child(), bad = -1;
		CHECK_ERRNO(ioctl(tty, TIOCSPGRP, &bad), EINVAL);
		CHECK_ERRNO(tcsetpgrp(tty, 0x3ffffff), ESRCH);
		CHECK_ERRNO(tcsetpgrp(tty, getppid()), EPERM);
		end(other);
	} SESSION_END;
}

static pid_t background_child(void (*act)(int), int tty)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		CHECK_EQ(read(p[0], &c, 1), 1);
		act(tty);
		_exit(0);
	}
	CHECK_OK(setpgid(pid, pid));
	CHECK_EQ(write(p[1], "x", 1), 1);
	close(p[0]);
	close(p[1]);
	return pid;
}

static void read_tty(int tty)
{
	char c;
	_exit(read(tty, &c, 1) < 0 ? errno : 0);
}

static void write_tty(int tty)
{
	_exit(write(tty, "out", 3) < 0 ? errno : 0);
}

static void set_tty(int tty)
{
	struct termios t;
	tcgetattr(tty, &t);
	_exit(tcsetattr(tty, TCSANOW, &t) < 0 ? errno : 0);
}

static void take_foreground(int tty)
{
	_exit(tcsetpgrp(tty, getpid()) < 0 ? errno : 0);
}

TEST(background_read_stops_with_sigttin)
{
	IN_SESSION {
		int st;
		pid_t pid = background_child(read_tty, tty);
		CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
		CHECK(WIFSTOPPED(st));
		CHECK_EQ(WSTOPSIG(st), SIGTTIN);
		end(pid);
	} SESSION_END;
}

TEST(background_read_resumes_in_foreground)
{
	IN_SESSION {
		int st;
		pid_t pid = background_child(read_tty, tty);
		CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
		CHECK_EQ(WSTOPSIG(st), SIGTTIN);
		CHECK_OK(tcsetpgrp(tty, pid));
		CHECK_EQ(write(master, "line\n", 5), 5);
		CHECK_OK(kill(pid, SIGCONT));
		CHECK_EQ(wait_exit(pid), 0);
	} SESSION_END;
}

TEST(background_read_with_ttin_ignored_is_eio)
{
	IN_SESSION {
		signal(SIGTTIN, SIG_IGN);
		CHECK_EQ(wait_exit(background_child(read_tty, tty)), EIO);
	} SESSION_END;
}

TEST(background_read_with_ttin_blocked_is_eio)
{
	IN_SESSION {
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGTTIN);
		sigprocmask(SIG_BLOCK, &set, NULL);
		CHECK_EQ(wait_exit(background_child(read_tty, tty)), EIO);
	} SESSION_END;
}

TEST(background_write_passes_without_tostop)
{
	IN_SESSION {
		char buf[8];
		CHECK_EQ(wait_exit(background_child(write_tty, tty)), 0);
		CHECK_EQ(read(master, buf, sizeof buf), 3);
	} SESSION_END;
}

static void set_tostop(int tty)
{
	struct termios t;
	CHECK_OK(tcgetattr(tty, &t));
	t.c_lflag |= TOSTOP;
	CHECK_OK(tcsetattr(tty, TCSANOW, &t));
}

TEST(background_write_with_tostop_stops)
{
	IN_SESSION {
		int st;
		set_tostop(tty);
		pid_t pid = background_child(write_tty, tty);
		CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
		CHECK(WIFSTOPPED(st));
		CHECK_EQ(WSTOPSIG(st), SIGTTOU);
		end(pid);
	} SESSION_END;
}

TEST(background_write_with_tostop_and_ttou_ignored_passes)
{
	IN_SESSION {
		set_tostop(tty);
		signal(SIGTTOU, SIG_IGN);
		CHECK_EQ(wait_exit(background_child(write_tty, tty)), 0);
	} SESSION_END;
}

TEST(background_tcsetattr_stops_with_sigttou)
{
	IN_SESSION {
		int st;
		pid_t pid = background_child(set_tty, tty);
		CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
		CHECK(WIFSTOPPED(st));
		CHECK_EQ(WSTOPSIG(st), SIGTTOU);
		end(pid);
		signal(SIGTTOU, SIG_IGN);
		CHECK_EQ(wait_exit(background_child(set_tty, tty)), 0);
	} SESSION_END;
}

TEST(background_tcsetpgrp_stops_unless_ttou_ignored)
{
	IN_SESSION {
		int st;
		pid_t pid = background_child(take_foreground, tty);
		CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
		CHECK_EQ(WSTOPSIG(st), SIGTTOU);
		end(pid);
		signal(SIGTTOU, SIG_IGN);
		CHECK_EQ(wait_exit(background_child(take_foreground, tty)), 0);
	} SESSION_END;
}

TEST(orphaned_group_does_not_stop_on_read)
{
	int p[2], code = -1;
	CHECK_OK(pipe(p));
	/* The parent of the reader is outside its session, so its group is orphaned and a stop would be forever: EIO. */
	CHILD {
		int master, tty = own_terminal(&master);
		pid_t middle = xfork();
		if (middle == 0) {
			CHECK_OK(setpgid(0, 0));
			pid_t mid = getpid();
			if (xfork() == 0) {
				char c;
				while (getppid() == mid)
					msleep(5);
				code = read(tty, &c, 1) < 0 ? errno : 0;
				if (write(p[1], &code, sizeof code) < 0)
					_exit(1);
			}
			_exit(0);
		}
		CHECK_EQ(wait_exit(middle), 0);
		CHECK_EQ(read(p[0], &code, sizeof code), sizeof code);
		CHECK_EQ(code, EIO);
	} CHILD_END;
}

TEST(stopped_orphaned_group_gets_hup_and_cont)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	pid_t middle = xfork();
	if (middle == 0) {
		int st;
		pid_t pid = xfork();
		if (pid == 0) {
			signal(SIGHUP, on_signal);
			signal(SIGCONT, on_signal);
			setpgid(0, 0);
			raise(SIGSTOP);
			c = '0' + got_hup * 2 + got_cont;
			if (write(p[1], &c, 1) < 0)
				_exit(1);
			_exit(0);
		}
		CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
		_exit(0); /* the stopped group of pid becomes orphaned now */
	}
	close(p[1]);
	CHECK_EQ(wait_exit(middle), 0);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(c, '3');
}

TEST(orphaned_group_ignores_sigtstp)
{
	CHILD {
		CHECK_OK(setsid()); /* nobody of this session is outside the group: orphaned */
		CHECK_OK(kill(getpid(), SIGTSTP));
		CHECK_OK(kill(getpid(), SIGTTIN));
		CHECK_OK(kill(getpid(), SIGTTOU));
	} CHILD_END;
}

TEST(leader_exit_hangs_up_foreground_group)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	pid_t leader = xfork();
	if (leader == 0) {
		int master, tty = own_terminal(&master);
		pid_t pid = xfork();
		if (pid == 0) {
			close(master);
			setpgid(0, 0);
			signal(SIGTTOU, SIG_IGN);
			tcsetpgrp(tty, getpid());
			signal(SIGTTOU, SIG_DFL);
			signal(SIGHUP, on_signal);
			if (write(p[1], "r", 1) < 0)
				_exit(1);
			while (!got_hup)
				msleep(5);
			c = read(tty, &c, 1) == 0 ? 'H' : '?';
			if (write(p[1], &c, 1) < 0)
				_exit(1);
			_exit(0);
		}
		CHECK_EQ(read(p[0], &c, 1), 1);
		_exit(0);
	}
	close(p[1]);
	CHECK_EQ(wait_exit(leader), 0);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(c, 'H');
}

TEST(suspend_character_stops_foreground)
{
	IN_SESSION {
		int st;
		pid_t pid = pausing_child();
		CHECK_OK(setpgid(pid, pid));
		CHECK_OK(tcsetpgrp(tty, pid));
		CHECK_EQ(write(master, "\032", 1), 1);
		CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
		CHECK(WIFSTOPPED(st));
		CHECK_EQ(WSTOPSIG(st), SIGTSTP);
		signal(SIGTTOU, SIG_IGN);
		CHECK_OK(tcsetpgrp(tty, getpid()));
		CHECK_OK(kill(-pid, SIGCONT));
		CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
		CHECK(WIFCONTINUED(st));
		end(pid);
	} SESSION_END;
}

TEST(proc_stat_shows_session_and_terminal)
{
	IN_SESSION {
		char buf[512];
		int ppid, pgrp, sid, tty_nr, tpgid;
		struct stat st;
		CHECK_GT(read_file("/proc/self/stat", buf, sizeof buf), 0);
		CHECK_EQ(sscanf(strrchr(buf, ')') + 4, "%d %d %d %d %d", &ppid, &pgrp, &sid, &tty_nr, &tpgid), 5);
		CHECK_EQ(ppid, getppid());
		CHECK_EQ(pgrp, getpid());
		CHECK_EQ(sid, getpid());
		CHECK_EQ(tpgid, getpid());
		CHECK_OK(fstat(tty, &st));
		CHECK_EQ(tty_nr, st.st_rdev);
	} SESSION_END;
}
