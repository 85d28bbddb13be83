/* Pseudo-terminals: the line discipline, signals from keys, window size, hang-up, packet mode. */
#include "check.h"
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;
static char name[64];

static void open_pair(void)
{
	int number = -1, unlock = 0;
	master = CHECK_OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
	CHECK_OK(ioctl(master, TIOCGPTN, &number));
	CHECK_OK(ioctl(master, TIOCSPTLCK, &unlock));
	snprintf(name, sizeof name, "/dev/pts/%d", number);
	slave = CHECK_OK(open(name, O_RDWR | O_NOCTTY));
}

static struct termios modes(void)
{
	struct termios t;
	CHECK_OK(tcgetattr(slave, &t));
	return t;
}

static void set_modes(struct termios t)
{
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
}

static void no_echo(void)
{
	struct termios t = modes();
	t.c_lflag &= ~(ECHO | ECHONL);
	set_modes(t);
}

static void raw(int vmin, int vtime)
{
	struct termios t = modes();
	cfmakeraw(&t);
	t.c_cc[VMIN] = vmin;
	t.c_cc[VTIME] = vtime;
	set_modes(t);
}

static void type(const char *keys)
{
	CHECK_EQ(write(master, keys, strlen(keys)), strlen(keys));
}

/* What the slave reads in one call. */
static const char *line(void)
{
	static char buf[256];
	ssize_t n = CHECK_OK(read(slave, buf, sizeof buf - 1));
	buf[n] = 0;
	return buf;
}

/* What the master has seen so far; waits until `n` bytes are there. */
static const char *screen(size_t n)
{
	static char buf[1024];
	size_t len = 0;
	while (len < n) {
		ssize_t r = CHECK_OK(read(master, buf + len, n - len));
		CHECK_GT(r, 0);
		len += r;
	}
	buf[len] = 0;
	return buf;
}

static int ready(int fd, short events)
{
	struct pollfd f = {fd, events, 0};
	CHECK_OK(poll(&f, 1, 0));
	return f.revents;
}

/* Keys reach the slave some time after they were typed (a kernel worker carries them): wait for them. */
static void await_input(void)
{
	struct pollfd f = {slave, POLLIN, 0};
	CHECK_EQ(poll(&f, 1, 10000), 1);
}

/* Nothing is to be read, although there was time for it to arrive. */
static void expect_nothing(void)
{
	msleep(60);
	CHECK_EQ(ready(slave, POLLIN), 0);
}

TEST(names_and_locks)
{
	int m = CHECK_OK(posix_openpt(O_RDWR | O_NOCTTY)), number = -1, locked = -1, unlock = 0;
	char path[64];
	CHECK_OK(ioctl(m, TIOCGPTN, &number));
	snprintf(path, sizeof path, "/dev/pts/%d", number);
	CHECK_OK(ioctl(m, TIOCGPTLCK, &locked));
	CHECK_EQ(locked, 1);
	CHECK_ERRNO(open(path, O_RDWR | O_NOCTTY), EIO); /* locked at first */
	CHECK_OK(ioctl(m, TIOCSPTLCK, &unlock));
	int s = CHECK_OK(open(path, O_RDWR | O_NOCTTY));
	CHECK_STR(ttyname(s), path);
	CHECK(isatty(s));
	CHECK(isatty(m));
	struct stat st;
	CHECK_OK(fstat(s, &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_rdev, 136 << 8 | number);
	CHECK_EQ(st.st_uid, geteuid());
	CHECK_ERRNO(ioctl(s, TIOCGPTN, &number), ENOTTY); /* only of the master */
}

TEST(tiocgptpeer)
{
	int m = CHECK_OK(posix_openpt(O_RDWR | O_NOCTTY)), unlock = 0;
	CHECK_OK(ioctl(m, TIOCSPTLCK, &unlock));
	int s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	CHECK_OK(s);
	CHECK(isatty(s));
	CHECK_EQ(write(s, "x", 1), 1);
	char c;
	CHECK_EQ(read(m, &c, 1), 1);
}

TEST(default_modes)
{
	open_pair();
	struct termios t = modes();
	CHECK_EQ(t.c_iflag, ICRNL | IXON);
	CHECK_EQ(t.c_oflag, OPOST | ONLCR);
	CHECK_EQ(t.c_cflag & (CSIZE | CREAD), CS8 | CREAD);
	CHECK_EQ(t.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
	CHECK_EQ(t.c_cc[VINTR], 3);
	CHECK_EQ(t.c_cc[VQUIT], 28);
	CHECK_EQ(t.c_cc[VERASE], 127);
	CHECK_EQ(t.c_cc[VKILL], 21);
	CHECK_EQ(t.c_cc[VEOF], 4);
	CHECK_EQ(t.c_cc[VSUSP], 26);
	CHECK_EQ(t.c_cc[VMIN], 1);
	CHECK_EQ(cfgetospeed(&t), B38400);
}

TEST(termios_round_trip)
{
	open_pair();
	struct termios t = modes();
	t.c_iflag = IGNBRK | INLCR;
	t.c_oflag = OPOST | OCRNL;
	t.c_lflag = ICANON | ECHONL;
	t.c_cc[VINTR] = 'q';
	cfsetospeed(&t, B9600);
	set_modes(t);
	struct termios got = modes();
	CHECK_EQ(got.c_iflag, t.c_iflag);
	CHECK_EQ(got.c_oflag, t.c_oflag);
	CHECK_EQ(got.c_lflag, t.c_lflag);
	CHECK_EQ(got.c_cc[VINTR], 'q');
	CHECK_EQ(cfgetospeed(&got), B9600);
	CHECK_OK(tcgetattr(master, &got)); /* the master shows the slave's */
	CHECK_EQ(got.c_iflag, t.c_iflag);
}

TEST(ioctls_on_other_files_are_enotty)
{
	struct termios t;
	struct winsize w;
	int p[2];
	CHECK_OK(pipe(p));
	CHECK_ERRNO(tcgetattr(p[0], &t), ENOTTY);
	CHECK_ERRNO(ioctl(p[0], TIOCGWINSZ, &w), ENOTTY);
	CHECK(!isatty(p[0]));
	CHECK_EQ(errno, ENOTTY);
	open_pair();
	CHECK_ERRNO(ioctl(slave, TCGETS, BAD), EFAULT);
	CHECK_ERRNO(ioctl(slave, TCSETS, BAD), EFAULT);
	CHECK_ERRNO(lseek(slave, 0, SEEK_SET), ESPIPE);
}

/* ---- canonical mode ---- */

TEST(canonical_waits_for_newline)
{
	open_pair();
	no_echo();
	type("abc");
	expect_nothing();
	type("\n");
	await_input();
	CHECK_STR(line(), "abc\n");
}

TEST(canonical_gives_one_line_a_read)
{
	char c;
	open_pair();
	no_echo();
	type("one\ntwo\n");
	CHECK_STR(line(), "one\n");
	CHECK_EQ(read(slave, &c, 1), 1);
	CHECK_EQ(c, 't');
	CHECK_STR(line(), "wo\n");
}

TEST(carriage_return_becomes_newline)
{
	open_pair();
	no_echo();
	type("x\r");
	CHECK_STR(line(), "x\n");
	struct termios t = modes();
	t.c_iflag = IGNCR;
	set_modes(t);
	type("y\rz\n");
	CHECK_STR(line(), "yz\n");
}

TEST(erase_and_kill)
{
	open_pair();
	no_echo();
	type("abx\177c\n");
	CHECK_STR(line(), "abc\n");
	type("wrong\025right\n");
	CHECK_STR(line(), "right\n");
	type("one two\027three\n"); /* word erase */
	CHECK_STR(line(), "one three\n");
	type("\177\177ok\n"); /* nothing to erase */
	CHECK_STR(line(), "ok\n");
	type("a\026\177b\n"); /* the next key literally */
	CHECK_STR(line(), "a\177b\n");
}

TEST(end_of_file_key)
{
	char c;
	open_pair();
	no_echo();
	type("\004");
	CHECK_EQ(read(slave, &c, 1), 0);
	type("part\004");
	CHECK_STR(line(), "part");
	type("more\n");
	CHECK_STR(line(), "more\n");
}

TEST(extra_end_of_line_character)
{
	open_pair();
	no_echo();
	struct termios t = modes();
	t.c_cc[VEOL] = ';';
	set_modes(t);
	type("a;b\n");
	CHECK_STR(line(), "a;");
	CHECK_STR(line(), "b\n");
}

TEST(fionread_counts_complete_lines)
{
	int n = -1;
	open_pair();
	no_echo();
	type("ab");
	CHECK_OK(ioctl(slave, FIONREAD, &n));
	CHECK_EQ(n, 0);
	type("c\n");
	await_input();
	CHECK_OK(ioctl(slave, FIONREAD, &n));
	CHECK_EQ(n, 4);
}

TEST(line_length_limit)
{
	static char keys[5000], got[5000];
	open_pair();
	no_echo();
	memset(keys, 'k', sizeof keys);
	CHECK_OK(fcntl(master, F_SETFL, O_NONBLOCK));
	CHECK_OK(write(master, keys, sizeof keys));
	CHECK_OK(write(master, "\n", 1));
	CHECK_EQ(read(slave, got, sizeof got), 4096); /* the newline always finds room */
	CHECK_EQ(got[4095], '\n');
}

/* ---- echo ---- */

TEST(echo)
{
	open_pair();
	type("hi\n");
	CHECK_STR(screen(4), "hi\r\n");
	type("a\177");
	CHECK_STR(screen(4), "a\b \b");
	type("\025"); /* nothing is left to kill */
	type("\020");
	CHECK_STR(screen(2), "^P");
}

TEST(echo_of_control_characters)
{
	open_pair();
	struct termios t = modes();
	t.c_lflag &= ~ISIG;
	set_modes(t);
	type("\003x\n");
	CHECK_STR(screen(5), "^Cx\r\n");
	t.c_lflag &= ~ECHOCTL;
	set_modes(t);
	type("\003");
	CHECK_STR(screen(1), "\003");
}

TEST(no_echo_but_newline)
{
	open_pair();
	struct termios t = modes();
	t.c_lflag &= ~ECHO;
	t.c_lflag |= ECHONL;
	set_modes(t);
	type("secret\n");
	CHECK_STR(screen(2), "\r\n");
	CHECK_STR(line(), "secret\n");
}

TEST(output_processing)
{
	open_pair();
	CHECK_EQ(write(slave, "a\nb", 3), 3);
	CHECK_STR(screen(4), "a\r\nb");
	struct termios t = modes();
	t.c_oflag = 0;
	set_modes(t);
	CHECK_EQ(write(slave, "a\nb", 3), 3);
	CHECK_STR(screen(3), "a\nb");
	t.c_oflag = OPOST | OLCUC;
	set_modes(t);
	CHECK_EQ(write(slave, "Mix", 3), 3);
	CHECK_STR(screen(3), "MIX");
}

TEST(tab_expansion)
{
	open_pair();
	struct termios t = modes();
	t.c_oflag |= XTABS;
	set_modes(t);
	CHECK_EQ(write(slave, "ab\tc", 4), 4);
	CHECK_STR(screen(9), "ab      c");
}

/* ---- raw mode ---- */

TEST(raw_passes_everything)
{
	open_pair();
	raw(1, 0);
	type("\003\004\r\177x");
	CHECK_STR(line(), "\003\004\r\177x");
	CHECK_EQ(write(slave, "\n", 1), 1);
	CHECK_STR(screen(1), "\n");
}

TEST(raw_vmin_waits_for_so_many)
{
	open_pair();
	raw(3, 0);
	type("ab");
	expect_nothing();
	pid_t pid = xfork();
	if (pid == 0) {
		msleep(60);
		type("c");
		_exit(0);
	}
	CHECK_STR(line(), "abc");
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(raw_vtime_without_vmin)
{
	char c;
	open_pair();
	raw(0, 0);
	CHECK_EQ(read(slave, &c, 1), 0);
	raw(0, 2);
	long long start = now_ms();
	CHECK_EQ(read(slave, &c, 1), 0);
	CHECK_GE(now_ms() - start, 190);
	type("x");
	await_input();
	CHECK_EQ(read(slave, &c, 1), 1);
}

TEST(raw_vtime_between_bytes)
{
	open_pair();
	raw(10, 2);
	type("ab");
	long long start = now_ms();
	CHECK_STR(line(), "ab"); /* the timer starts with the first byte */
	CHECK_GE(now_ms() - start, 190);
}

TEST(switching_to_raw_shows_the_unfinished_line)
{
	open_pair();
	no_echo();
	type("half");
	expect_nothing();
	raw(1, 0);
	CHECK_STR(line(), "half");
}

TEST(nonblocking_read)
{
	char c;
	open_pair();
	no_echo();
	CHECK_OK(fcntl(slave, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(slave, &c, 1), EAGAIN);
	type("x");
	CHECK_ERRNO(read(slave, &c, 1), EAGAIN);
	CHECK_OK(fcntl(master, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(master, &c, 1), EAGAIN);
}

/* ---- flushing and flow ---- */

TEST(tcflush_drops_input)
{
	open_pair();
	no_echo();
	type("old\n");
	await_input();
	CHECK_OK(tcflush(slave, TCIFLUSH));
	expect_nothing();
	type("new\n");
	CHECK_STR(line(), "new\n");
	CHECK_ERRNO(tcflush(slave, 99), EINVAL);
	CHECK_OK(tcdrain(slave));
	CHECK_OK(tcsendbreak(slave, 0));
}

TEST(tcsaflush_drops_input_too)
{
	open_pair();
	no_echo();
	type("old\n");
	await_input();
	struct termios t = modes();
	CHECK_OK(tcsetattr(slave, TCSAFLUSH, &t));
	expect_nothing();
}

TEST(stop_and_start_keys)
{
	char c;
	open_pair();
	no_echo();
	CHECK_OK(fcntl(slave, F_SETFL, O_NONBLOCK));
	type("\023");
	int stopped = 0;
	for (int i = 0; i < 500 && !stopped; i++) {
		stopped = write(slave, "x", 1) < 0;
		msleep(10);
	}
	CHECK(stopped);
	CHECK_EQ(errno, EAGAIN);
	type("\021");
	int started = 0;
	for (int i = 0; i < 500 && !started; i++) {
		started = write(slave, "x", 1) == 1;
		msleep(10);
	}
	CHECK(started);
	CHECK_EQ(read(master, &c, 1), 1);
}

TEST(tiocsti)
{
	/* Switched off in many kernels, and then only for the privileged; what is not allowed changes nothing. */
	char c = 'z';
	open_pair();
	raw(1, 0);
	if (ioctl(slave, TIOCSTI, &c) == 0) {
		CHECK_STR(line(), "z");
	} else {
		CHECK(errno == EIO || errno == EPERM);
		expect_nothing();
	}
}

/* ---- hang-up ---- */

TEST(closing_slave_is_eio_at_master)
{
	char c;
	open_pair();
	CHECK_EQ(write(slave, "bye", 3), 3);
	close(slave);
	CHECK_STR(screen(3), "bye"); /* what was written is still read */
	CHECK_ERRNO(read(master, &c, 1), EIO);
	CHECK_EQ(ready(master, POLLIN) & POLLHUP, POLLHUP);
	slave = CHECK_OK(open(name, O_RDWR | O_NOCTTY)); /* and it can be opened again */
	CHECK_EQ(ready(master, POLLIN), 0);
}

TEST(closing_master_ends_slave)
{
	char c;
	open_pair();
	close(master);
	CHECK_EQ(read(slave, &c, 1), 0);
	CHECK_ERRNO(write(slave, "x", 1), EIO);
	CHECK_EQ(ready(slave, POLLIN) & POLLHUP, POLLHUP);
	struct stat st;
	CHECK_ERRNO(stat(name, &st), ENOENT);
	CHECK_ERRNO(open(name, O_RDWR), ENOENT);
	CHECK_ERRNO(ioctl(slave, TCGETS, &(struct termios){0}), EIO);
}

TEST(closing_master_wakes_reader)
{
	char c;
	open_pair();
	pid_t pid = xfork();
	if (pid == 0) {
		close(master);
		_exit(read(slave, &c, 1) < 0 ? errno : 0);
	}
	wait_asleep(pid);
	close(master);
	CHECK_EQ(wait_exit(pid), EIO);
}

static volatile sig_atomic_t winch, hup;

static void count(int sig)
{
	winch += sig == SIGWINCH;
	hup += sig == SIGHUP;
}

/* The child becomes leader of a session on the slave and runs fn; its exit code. */
static pid_t on_terminal(void (*fn)(void))
{
	pid_t pid = xfork();
	if (pid == 0) {
		close(master);
		if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
			_exit(90);
		fn();
		_exit(0);
	}
	return pid;
}

static void announce(void)
{
	if (write(slave, "r", 1) != 1)
		_exit(91);
}

static void wait_hup(void)
{
	signal(SIGHUP, count);
	announce();
	while (!hup)
		msleep(5);
	char c;
	_exit(read(slave, &c, 1) == 0 && write(slave, "x", 1) < 0 && errno == EIO ? 55 : 56);
}

TEST(hangup_sends_sighup_to_leader)
{
	open_pair();
	pid_t pid = on_terminal(wait_hup);
	close(slave);
	CHECK_STR(screen(1), "r");
	close(master);
	CHECK_EQ(wait_exit(pid), 55);
}

static void wait_forever(void)
{
	announce();
	for (;;)
		pause();
}

TEST(interrupt_and_quit_keys)
{
	open_pair();
	pid_t pid = on_terminal(wait_forever);
	CHECK_STR(screen(1), "r");
	type("\003");
	CHECK_EQ(wait_exit(pid), 1000 + SIGINT);
	open_pair();
	pid = on_terminal(wait_forever);
	CHECK_STR(screen(1), "r");
	type("\034");
	CHECK_EQ(wait_exit(pid), 1000 + SIGQUIT);
}

static void read_after_interrupt(void)
{
	char buf[16];
	signal(SIGINT, SIG_IGN);
	announce();
	ssize_t n = read(slave, buf, sizeof buf);
	_exit(n == 4 && memcmp(buf, "new\n", 4) == 0 ? 0 : 1);
}

TEST(interrupt_key_flushes_typed_text)
{
	open_pair();
	pid_t pid = on_terminal(read_after_interrupt);
	CHECK_STR(screen(1), "r");
	type("old\003new\n");
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(no_signals_without_isig)
{
	open_pair();
	struct termios t = modes();
	t.c_lflag &= ~(ISIG | ECHO);
	set_modes(t);
	type("\003\n");
	CHECK_STR(line(), "\003\n");
}

static void wait_winch(void)
{
	struct winsize w;
	signal(SIGWINCH, count);
	announce();
	while (!winch)
		msleep(5);
	_exit(ioctl(slave, TIOCGWINSZ, &w) == 0 && w.ws_row == 33 && w.ws_col == 77 ? 44 : 45);
}

TEST(window_size)
{
	struct winsize w = {24, 80, 1, 2}, got = {9, 9, 9, 9};
	open_pair();
	CHECK_OK(ioctl(slave, TIOCGWINSZ, &got));
	CHECK_EQ(got.ws_row, 0);
	CHECK_EQ(got.ws_col, 0);
	CHECK_OK(ioctl(master, TIOCSWINSZ, &w));
	CHECK_OK(ioctl(slave, TIOCGWINSZ, &got));
	CHECK_EQ(got.ws_row, 24);
	CHECK_EQ(got.ws_col, 80);
	CHECK_EQ(got.ws_xpixel, 1);
	CHECK_EQ(got.ws_ypixel, 2);
	CHECK_ERRNO(ioctl(master, TIOCGWINSZ, BAD), EFAULT);
}

TEST(window_change_sends_sigwinch)
{
	struct winsize w = {33, 77, 0, 0};
	open_pair();
	pid_t pid = on_terminal(wait_winch);
	CHECK_STR(screen(1), "r");
	CHECK_OK(ioctl(master, TIOCSWINSZ, &w));
	CHECK_EQ(wait_exit(pid), 44);
}

TEST(packet_mode)
{
	char buf[16];
	int on = 1;
	open_pair();
	raw(1, 0);
	CHECK_OK(ioctl(master, TIOCPKT, &on));
	CHECK_EQ(write(slave, "ab", 2), 2);
	CHECK_EQ(read(master, buf, sizeof buf), 3);
	CHECK_EQ(buf[0], TIOCPKT_DATA);
	CHECK_MEM(buf + 1, "ab", 2);
	CHECK_OK(tcflush(slave, TCIFLUSH));
	CHECK_EQ(ready(master, POLLIN | POLLPRI) & POLLPRI, POLLPRI);
	CHECK_EQ(read(master, buf, sizeof buf), 1);
	CHECK_EQ(buf[0] & TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHREAD);
	CHECK_OK(ioctl(master, TIOCGPKT, &on));
	CHECK_EQ(on, 1);
}

TEST(forkpty_of_the_c_library)
{
	int m;
	char buf[64];
	struct winsize w = {10, 20, 0, 0};
	pid_t pid = forkpty(&m, NULL, NULL, &w);
	if (pid == 0) {
		struct winsize got;
		ioctl(0, TIOCGWINSZ, &got);
		dprintf(1, "%d %d %d", got.ws_row, got.ws_col, tcgetpgrp(0) == getpid());
		_exit(3);
	}
	size_t len = 0;
	while (len < 7) {
		ssize_t n = CHECK_OK(read(m, buf + len, sizeof buf - 1 - len));
		len += n;
	}
	buf[len] = 0;
	CHECK_STR(buf, "10 20 1");
	CHECK_EQ(wait_exit(pid), 3);
}

TEST(blocked_writer_wakes_when_master_reads)
{
	static char chunk[4096];
	open_pair();
	raw(1, 0);
	pid_t pid = xfork();
	if (pid == 0) {
		close(master);
		for (int i = 0; i < 50; i++)
			for (size_t at = 0; at < sizeof chunk;) {
				ssize_t n = write(slave, chunk + at, sizeof chunk - at);
				if (n < 0)
					_exit(1);
				at += n;
			}
		_exit(0);
	}
	size_t total = 0;
	while (total < 50 * sizeof chunk) {
		ssize_t n = CHECK_OK(read(master, chunk, sizeof chunk));
		total += n;
	}
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(many_terminals)
{
	int fds[40], numbers[40];
	for (int i = 0; i < 40; i++) {
		fds[i] = CHECK_OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
		CHECK_OK(ioctl(fds[i], TIOCGPTN, &numbers[i]));
		for (int j = 0; j < i; j++)
			CHECK_NE(numbers[i], numbers[j]);
	}
}
