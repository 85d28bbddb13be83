/* TCP over the loopback: connections, ends, errors, options. No packets leave the machine. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int tcp(int flags)
{
	return CHECK_OK(socket(AF_INET, SOCK_STREAM | flags, 0));
}

static int port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(len, sizeof a);
	CHECK_EQ(a.sin_family, AF_INET);
	return ntohs(a.sin_port);
}

static int bind_port(int fd, int port)
{
	struct sockaddr_in a = local(port);
	return bind(fd, (void *)&a, sizeof a);
}

static int connect_port(int fd, int port)
{
	struct sockaddr_in a = local(port);
	return connect(fd, (void *)&a, sizeof a);
}

static int listener(void)
{
	int fd = tcp(0);
	CHECK_OK(bind_port(fd, 0));
	CHECK_OK(listen(fd, 10));
	return fd;
}

/* A connected pair: c the side that connected, t the accepted one. */
static int l, c, t;

static void connected(void)
{
	l = listener();
	c = tcp(0);
	CHECK_OK(connect_port(c, port_of(l)));
	t = CHECK_OK(accept(l, NULL, NULL));
}

static int option(int fd, int level, int name)
{
	int v = -1;
	socklen_t len = sizeof v;
	CHECK_OK(getsockopt(fd, level, name, &v, &len));
	return v;
}

static void set(int fd, int level, int name, int v)
{
	CHECK_OK(setsockopt(fd, level, name, &v, sizeof v));
}

static int poll_for(int fd, short events, int ms)
{
	struct pollfd f = {fd, events, 0};
	CHECK_OK(poll(&f, 1, ms));
	return f.revents;
}

static int tcp_state(int fd)
{
	struct tcp_info ti;
	socklen_t len = sizeof ti;
	CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len));
	return ti.tcpi_state;
}

/* Waits until the socket is in the state, for what the peer did may take a moment. */
static void await_state(int fd, int state)
{
	for (int i = 0; i < 500 && tcp_state(fd) != state; i++)
		msleep(10);
	CHECK_EQ(tcp_state(fd), state);
}

TEST(socket_creation)
{
	CHECK_OK(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, 77, 0), EINVAL);
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
	int fd = tcp(SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	CHECK_EQ(option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	CHECK_EQ(option(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
}

TEST(raw_sockets_need_privilege)
{
	CHILD {
		become_user();
		CHECK_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
	} CHILD_END;
}

TEST(bind_chooses_a_port)
{
	int fd = tcp(0);
	CHECK_EQ(port_of(fd), 0);
	CHECK_OK(bind_port(fd, 0));
	CHECK_GE(port_of(fd), 1024);
	CHECK_ERRNO(bind_port(fd, 0), EINVAL);
}

TEST(bind_errors)
{
	struct sockaddr_in a = local(0);
	int used = listener();
	CHECK_ERRNO(bind_port(tcp(0), port_of(used)), EADDRINUSE);
	a.sin_addr.s_addr = htonl(0x08080808);
	CHECK_ERRNO(bind(tcp(0), (void *)&a, sizeof a), EADDRNOTAVAIL);
	a = local(0);
	a.sin_family = AF_INET6;
	CHECK_ERRNO(bind(tcp(0), (void *)&a, sizeof a), EAFNOSUPPORT);
	CHECK_ERRNO(bind(tcp(0), (void *)&a, 4), EINVAL);
	CHECK_ERRNO(bind(tcp(0), BAD, sizeof a), EFAULT);
	CHECK_ERRNO(bind(999, (void *)&a, sizeof a), EBADF);
}

TEST(low_ports_need_privilege)
{
	char start[16] = "1024";
	read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", start, sizeof start);
	if (atoi(start) <= 81)
		SKIP("low ports are open to all here");
	CHILD {
		become_user();
		CHECK_ERRNO(bind_port(tcp(0), 81), EACCES);
	} CHILD_END;
}

TEST(connect_refused)
{
	int fd = tcp(0);
	CHECK_OK(bind_port(fd, 0)); /* bound but deaf: nobody else takes the port meanwhile */
	int s = tcp(0);
	CHECK_ERRNO(connect_port(s, port_of(fd)), ECONNREFUSED);
	CHECK_EQ(option(s, SOL_SOCKET, SO_ERROR), 0); /* it was told already */
	CHECK_ERRNO(connect_port(s, port_of(fd)), ECONNREFUSED); /* may be tried again */
}

TEST(connect_errors)
{
	struct sockaddr_in a = local(1);
	connected();
	CHECK_ERRNO(connect_port(c, port_of(l)), EISCONN);
	CHECK_ERRNO(connect_port(l, port_of(l)), EISCONN);
	CHECK_ERRNO(connect(tcp(0), (void *)&a, 4), EINVAL);
	a.sin_family = 77;
	CHECK_ERRNO(connect(tcp(0), (void *)&a, sizeof a), EAFNOSUPPORT);
	CHECK_ERRNO(connect(tcp(0), BAD, sizeof a), EFAULT);
}

TEST(names_of_both_ends)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	l = listener();
	c = tcp(0);
	CHECK_OK(connect_port(c, port_of(l)));
	t = CHECK_OK(accept(l, (void *)&a, &len));
	CHECK_EQ(len, sizeof a);
	CHECK_EQ(ntohs(a.sin_port), port_of(c));
	CHECK_EQ(ntohl(a.sin_addr.s_addr), INADDR_LOOPBACK);
	CHECK_EQ(port_of(t), port_of(l));
	CHECK_OK(getpeername(c, (void *)&a, &len));
	CHECK_EQ(ntohs(a.sin_port), port_of(l));
	CHECK_ERRNO(getpeername(l, (void *)&a, &len), ENOTCONN);
	CHECK_ERRNO(getsockname(c, BAD, &len), EFAULT);
	len = -1;
	CHECK_ERRNO(getsockname(c, (void *)&a, &len), EINVAL);
}

TEST(listen_without_bind_takes_a_port)
{
	int fd = tcp(0);
	CHECK_OK(listen(fd, 1));
	CHECK_NE(port_of(fd), 0);
	CHECK_OK(connect_port(tcp(0), port_of(fd)));
}

TEST(accept_rules)
{
	l = listener();
	CHECK_OK(fcntl(l, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
	CHECK_ERRNO(accept(tcp(0), NULL, NULL), EINVAL);
	CHECK_ERRNO(accept4(l, NULL, NULL, 0x1000000), EINVAL);
	c = tcp(0);
	CHECK_OK(connect_port(c, port_of(l)));
	CHECK_EQ(poll_for(l, POLLIN, 5000), POLLIN);
	t = CHECK_OK(accept4(l, NULL, NULL, SOCK_CLOEXEC));
	CHECK_EQ(fcntl(t, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(t, F_GETFL) & O_NONBLOCK, 0); /* not inherited */
}

TEST(accept_blocks_until_connected)
{
	l = listener();
	pid_t pid = xfork();
	if (pid == 0)
		_exit(accept(l, NULL, NULL) < 0);
	wait_asleep(pid);
	CHECK_OK(connect_port(tcp(0), port_of(l)));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(data_both_ways)
{
	char buf[16] = "";
	connected();
	CHECK_EQ(write(c, "hello", 5), 5);
	CHECK_EQ(recv(t, buf, 5, MSG_WAITALL), 5);
	CHECK_STR(buf, "hello");
	CHECK_EQ(send(t, "back", 4, 0), 4);
	CHECK_EQ(recv(c, buf, 4, MSG_WAITALL), 4);
	CHECK_MEM(buf, "back", 4);
}

TEST(data_sent_before_accept)
{
	char buf[8];
	l = listener();
	c = tcp(0);
	CHECK_OK(connect_port(c, port_of(l)));
	CHECK_EQ(write(c, "early", 5), 5);
	close(c);
	t = CHECK_OK(accept(l, NULL, NULL));
	CHECK_EQ(recv(t, buf, 8, MSG_WAITALL), 5);
	CHECK_EQ(read(t, buf, 8), 0);
}

TEST(end_of_stream)
{
	char b;
	connected();
	close(c);
	CHECK_EQ(read(t, &b, 1), 0);
	CHECK_EQ(read(t, &b, 1), 0);
	await_state(t, TCP_CLOSE_WAIT);
}

TEST(shutdown_write_half)
{
	char buf[8];
	connected();
	signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(write(c, "ab", 2), 2);
	CHECK_OK(shutdown(c, SHUT_WR));
	CHECK_ERRNO(write(c, "x", 1), EPIPE);
	CHECK_EQ(recv(t, buf, 8, MSG_WAITALL), 2);
	CHECK_EQ(read(t, buf, 8), 0);
	CHECK_EQ(write(t, "cd", 2), 2); /* the other half is open */
	CHECK_EQ(recv(c, buf, 2, MSG_WAITALL), 2);
	await_state(c, TCP_FIN_WAIT2);
	close(t);
	CHECK_EQ(read(c, buf, 8), 0);
}

TEST(shutdown_read_half)
{
	char b;
	connected();
	CHECK_OK(shutdown(c, SHUT_RD));
	CHECK_EQ(read(c, &b, 1), 0);
	CHECK_EQ(poll_for(c, POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP);
}

TEST(shutdown_errors)
{
	connected();
	CHECK_ERRNO(shutdown(c, 77), EINVAL);
	CHECK_ERRNO(shutdown(tcp(0), SHUT_RDWR), ENOTCONN);
	CHECK_OK(shutdown(c, SHUT_RDWR));
	close(t);
	await_state(c, TCP_CLOSE);
}

TEST(shutdown_of_listener_stops_it)
{
	l = listener();
	int port = port_of(l);
	CHECK_OK(shutdown(l, SHUT_RD));
	CHECK_ERRNO(accept(l, NULL, NULL), EINVAL);
	CHECK_ERRNO(connect_port(tcp(0), port), ECONNREFUSED);
}

TEST(shutdown_wakes_blocked_accept)
{
	l = listener();
	pid_t pid = xfork();
	if (pid == 0)
		_exit(accept(l, NULL, NULL) < 0 ? errno : 0);
	wait_asleep(pid);
	CHECK_OK(shutdown(l, SHUT_RD));
	CHECK_EQ(wait_exit(pid), EINVAL);
}

TEST(close_with_unread_data_resets)
{
	char b;
	connected();
	CHECK_EQ(write(c, "x", 1), 1);
	CHECK_EQ(poll_for(t, POLLIN, 5000), POLLIN);
	close(t);
	CHECK_EQ(poll_for(c, POLLIN | POLLRDHUP, 5000) & (POLLHUP | POLLERR), POLLHUP | POLLERR);
	CHECK_ERRNO(read(c, &b, 1), ECONNRESET);
	CHECK_EQ(read(c, &b, 1), 0);
	CHECK_ERRNO(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(linger_zero_resets)
{
	struct linger lg = {1, 0};
	char b;
	connected();
	CHECK_OK(setsockopt(t, SOL_SOCKET, SO_LINGER, &lg, sizeof lg));
	close(t);
	CHECK_EQ(poll_for(c, POLLIN, 5000) & POLLERR, POLLERR);
	CHECK_EQ(option(c, SOL_SOCKET, SO_ERROR), ECONNRESET);
	CHECK_EQ(read(c, &b, 1), 0);
}

TEST(write_to_closed_peer)
{
	connected();
	close(t);
	signal(SIGPIPE, SIG_IGN);
	await_state(c, TCP_CLOSE_WAIT);
	CHECK_EQ(write(c, "x", 1), 1); /* draws a reset */
	await_state(c, TCP_CLOSE);
	CHECK_ERRNO(write(c, "x", 1), EPIPE);
}

TEST(closed_listener_resets_unaccepted)
{
	char b;
	l = listener();
	c = tcp(0);
	CHECK_OK(connect_port(c, port_of(l)));
	close(l);
	CHECK_ERRNO(read(c, &b, 1), ECONNRESET);
}

TEST(nonblocking_connect)
{
	l = listener();
	c = tcp(SOCK_NONBLOCK);
	int r = connect_port(c, port_of(l));
	if (r < 0)
		CHECK_EQ(errno, EINPROGRESS);
	CHECK_EQ(poll_for(c, POLLOUT, 5000), POLLOUT);
	CHECK_EQ(option(c, SOL_SOCKET, SO_ERROR), 0);
	r = connect_port(c, port_of(l));
	CHECK(r == 0 || errno == EISCONN); /* the first call after an asynchronous success succeeds once */
	CHECK_ERRNO(connect_port(c, port_of(l)), EISCONN);
}

TEST(nonblocking_connect_refused)
{
	int deaf = tcp(0);
	CHECK_OK(bind_port(deaf, 0));
	c = tcp(SOCK_NONBLOCK);
	if (connect_port(c, port_of(deaf)) < 0 && errno == EINPROGRESS) {
		CHECK_EQ(poll_for(c, POLLOUT, 5000), POLLOUT | POLLERR | POLLHUP);
		CHECK_EQ(option(c, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
		CHECK_EQ(option(c, SOL_SOCKET, SO_ERROR), 0);
	} else {
		CHECK_EQ(errno, ECONNREFUSED);
	}
}

TEST(nonblocking_io)
{
	static char buf[65536];
	size_t total = 0, got = 0;
	ssize_t n;
	connected();
	CHECK_OK(fcntl(c, F_SETFL, O_NONBLOCK));
	CHECK_OK(fcntl(t, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(c, buf, 1), EAGAIN);
	while ((n = write(c, buf, sizeof buf)) > 0)
		total += n;
	CHECK_EQ(errno, EAGAIN);
	CHECK_GT(total, 60000);
	while (got < total) {
		n = read(t, buf, sizeof buf);
		if (n < 0) {
			CHECK_EQ(errno, EAGAIN);
			CHECK_EQ(poll_for(t, POLLIN, 5000), POLLIN);
			continue;
		}
		got += n;
	}
	CHECK_ERRNO(read(t, buf, 1), EAGAIN);
	CHECK_EQ(poll_for(c, POLLOUT, 5000), POLLOUT);
}

TEST(ten_megabytes_arrive_intact)
{
	static unsigned char buf[65536];
	connected();
	pid_t pid = xfork();
	if (pid == 0) {
		close(t);
		unsigned x = 7;
		for (int i = 0; i < 160; i++) {
			for (size_t j = 0; j < sizeof buf; j++)
				buf[j] = (x = x * 1103515245 + 12345) >> 16;
			for (size_t at = 0; at < sizeof buf;) {
				ssize_t n = write(c, buf + at, sizeof buf - at);
				if (n < 0)
					_exit(1);
				at += n;
			}
		}
		_exit(0);
	}
	close(c);
	unsigned x = 7;
	size_t total = 0;
	ssize_t n;
	while ((n = read(t, buf, sizeof buf)) > 0) {
		for (ssize_t j = 0; j < n; j++)
			CHECK_EQ(buf[j], ((x = x * 1103515245 + 12345) >> 16) & 255);
		total += n;
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(total, 160 * sizeof buf);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(reuse_after_close)
{
	char b;
	l = tcp(0);
	set(l, SOL_SOCKET, SO_REUSEADDR, 1); /* both old and new must agree */
	CHECK_OK(bind_port(l, 0));
	CHECK_OK(listen(l, 1));
	int port = port_of(l);
	c = tcp(0);
	CHECK_OK(connect_port(c, port));
	t = CHECK_OK(accept(l, NULL, NULL));
	close(t); /* this side closes first: TIME_WAIT holds the port */
	CHECK_EQ(read(c, &b, 1), 0);
	close(c);
	close(l);
	int again = tcp(0);
	msleep(60);
	CHECK_ERRNO(bind_port(again, port), EADDRINUSE);
	set(again, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_OK(bind_port(again, port));
	CHECK_OK(listen(again, 1));
}

TEST(reuseaddr_does_not_share_a_listener)
{
	int a = tcp(0), b = tcp(0);
	set(a, SOL_SOCKET, SO_REUSEADDR, 1);
	set(b, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_OK(bind_port(a, 0));
	CHECK_OK(bind_port(b, port_of(a)));
	CHECK_OK(listen(a, 1));
	CHECK_ERRNO(listen(b, 1), EADDRINUSE);
}

TEST(reuseport_shares_a_listener)
{
	int a = tcp(0), b = tcp(0), plain = tcp(0);
	set(a, SOL_SOCKET, SO_REUSEPORT, 1);
	set(b, SOL_SOCKET, SO_REUSEPORT, 1);
	CHECK_OK(bind_port(a, 0));
	CHECK_OK(bind_port(b, port_of(a)));
	CHECK_ERRNO(bind_port(plain, port_of(a)), EADDRINUSE);
	CHECK_OK(listen(a, 50));
	CHECK_OK(listen(b, 50));
	for (int i = 0; i < 20; i++)
		CHECK_OK(connect_port(tcp(0), port_of(a)));
	CHECK_OK(fcntl(a, F_SETFL, O_NONBLOCK));
	CHECK_OK(fcntl(b, F_SETFL, O_NONBLOCK));
	int na = 0, nb = 0;
	for (int i = 0; i < 200 && na + nb < 20; i++) {
		while (accept(a, NULL, NULL) >= 0)
			na++;
		while (accept(b, NULL, NULL) >= 0)
			nb++;
		msleep(5);
	}
	CHECK_EQ(na + nb, 20);
}

TEST(wildcard_and_specific_address)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int a = tcp(0);
	CHECK_OK(bind(a, (void *)&any, sizeof any));
	CHECK_OK(listen(a, 1));
	CHECK_OK(connect_port(tcp(0), port_of(a)));
	CHECK_ERRNO(bind_port(tcp(0), port_of(a)), EADDRINUSE);
}

TEST(other_loopback_addresses)
{
	struct sockaddr_in a = local(0), got;
	socklen_t len = sizeof got;
	a.sin_addr.s_addr = htonl(0x7f010203);
	int fd = tcp(0);
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_OK(listen(fd, 1));
	a.sin_port = htons(port_of(fd));
	c = tcp(0);
	CHECK_OK(connect(c, (void *)&a, sizeof a));
	CHECK_OK(getpeername(c, (void *)&got, &len));
	CHECK_EQ(ntohl(got.sin_addr.s_addr), 0x7f010203);
	CHECK_ERRNO(connect_port(tcp(0), port_of(fd)), ECONNREFUSED); /* only that address listens */
}

TEST(connect_to_any_is_loopback)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	l = listener();
	a.sin_port = htons(port_of(l));
	CHECK_OK(connect(tcp(0), (void *)&a, sizeof a));
}

TEST(self_connect)
{
	/* A socket may connect to itself: simultaneous open. */
	char b;
	int fd = tcp(0);
	CHECK_OK(bind_port(fd, 0));
	CHECK_OK(connect_port(fd, port_of(fd)));
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(read(fd, &b, 1), 1);
}

TEST(disconnect_with_unspec)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	connected();
	CHECK_OK(connect(c, &none, sizeof none));
	CHECK_EQ(tcp_state(c), TCP_CLOSE);
	CHECK_OK(connect_port(c, port_of(l)));
}

/* ---- messages ---- */

TEST(peek_waitall_trunc)
{
	char buf[16] = "";
	connected();
	CHECK_EQ(write(c, "abcdef", 6), 6);
	CHECK_EQ(recv(t, buf, 3, MSG_PEEK | MSG_WAITALL), 3);
	CHECK_EQ(recv(t, buf, 6, MSG_WAITALL), 6);
	CHECK_STR(buf, "abcdef");
	CHECK_EQ(write(c, "123456", 6), 6);
	CHECK_EQ(recv(t, buf, 4, MSG_TRUNC | MSG_WAITALL), 4); /* thrown away unread */
	CHECK_STR(buf, "abcdef");
	CHECK_EQ(recv(t, buf, 2, MSG_WAITALL), 2);
	CHECK_MEM(buf, "56", 2);
	CHECK_ERRNO(recv(t, buf, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(read(t, buf, 0), 0);
}

TEST(out_of_band)
{
	char b = 0;
	connected();
	CHECK_EQ(send(c, "ab", 2, MSG_OOB), 2);
	CHECK_EQ(poll_for(t, POLLPRI, 5000), POLLPRI);
	CHECK_EQ(recv(t, &b, 1, MSG_OOB), 1);
	CHECK_EQ(b, 'b');
	CHECK_ERRNO(recv(t, &b, 1, MSG_OOB), EINVAL);
	int mark = -1;
	CHECK_EQ(read(t, &b, 1), 1);
	CHECK_EQ(b, 'a');
	CHECK_OK(ioctl(t, SIOCATMARK, &mark));
	CHECK_EQ(mark, 1);
}

TEST(vectors_and_msg_more)
{
	char buf[16] = "";
	struct iovec v[2] = {{"he", 2}, {"llo", 3}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	connected();
	CHECK_EQ(sendmsg(c, &m, MSG_MORE), 5);
	CHECK_EQ(send(c, "!", 1, 0), 1);
	CHECK_EQ(recv(t, buf, 6, MSG_WAITALL), 6);
	CHECK_STR(buf, "hello!");
}

TEST(unconnected_io)
{
	char b;
	int fd = tcp(0);
	CHECK_ERRNO(read(fd, &b, 1), ENOTCONN);
	CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(poll_for(fd, POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
	l = listener();
	CHECK_ERRNO(read(l, &b, 1), ENOTCONN);
	CHECK_EQ(poll_for(l, POLLIN | POLLOUT, 0), 0);
}

TEST(sendto_address_is_ignored_when_connected)
{
	struct sockaddr_in a = local(1);
	char b;
	connected();
	ssize_t n = sendto(c, "x", 1, 0, (void *)&a, sizeof a);
	CHECK_EQ(n, 1);
	CHECK_EQ(read(t, &b, 1), 1);
}

TEST(ioctl_counts)
{
	int n = -1;
	connected();
	CHECK_EQ(write(c, "abcdef", 6), 6);
	CHECK_EQ(poll_for(t, POLLIN, 5000), POLLIN);
	CHECK_OK(ioctl(t, FIONREAD, &n));
	CHECK_EQ(n, 6);
	CHECK_ERRNO(ioctl(l, FIONREAD, &n), EINVAL);
	for (int i = 0; i < 500 && n != 0; i++) {
		CHECK_OK(ioctl(c, TIOCOUTQ, &n));
		msleep(5);
	}
	CHECK_EQ(n, 0); /* acknowledged */
}

TEST(sendfile_to_socket)
{
	char buf[8] = "";
	connected();
	write_file("f", "content");
	int fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_EQ(sendfile(c, fd, NULL, 100), 7);
	CHECK_EQ(recv(t, buf, 7, MSG_WAITALL), 7);
	CHECK_STR(buf, "content");
}

TEST(splice_through_socket)
{
	int p[2];
	char buf[8] = "";
	connected();
	CHECK_OK(pipe(p));
	CHECK_EQ(write(p[1], "splice", 6), 6);
	CHECK_EQ(splice(p[0], NULL, c, NULL, 100, 0), 6);
	CHECK_EQ(poll_for(t, POLLIN, 5000), POLLIN);
	CHECK_EQ(splice(t, NULL, p[1], NULL, 100, 0), 6);
	CHECK_EQ(read(p[0], buf, 8), 6);
	CHECK_STR(buf, "splice");
}

/* ---- timeouts and signals ---- */

TEST(receive_timeout)
{
	struct timeval tv = {0, 120000};
	char b;
	connected();
	CHECK_OK(setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	long long start = now_ms();
	CHECK_ERRNO(read(c, &b, 1), EAGAIN);
	CHECK_GE(now_ms() - start, 119);
	tv = (struct timeval){0, 2000000};
	CHECK_ERRNO(setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv), EDOM);
}

TEST(accept_timeout)
{
	struct timeval tv = {0, 120000};
	l = listener();
	CHECK_OK(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
}

TEST(send_timeout)
{
	static char buf[65536];
	struct timeval tv = {0, 120000};
	ssize_t n;
	connected();
	CHECK_OK(setsockopt(c, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
	while ((n = write(c, buf, sizeof buf)) > 0) /* the last but one may be partial */
		;
	CHECK_EQ(n, -1);
	CHECK_EQ(errno, EAGAIN);
}

static void nothing(int sig MAYBE_UNUSED)
{
}

TEST(read_interrupted)
{
	struct sigaction sa = {.sa_handler = nothing};
	char b;
	connected();
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	pid_t me = getpid(), pid = xfork();
	if (pid == 0) {
		wait_asleep(me);
		_exit(kill(me, SIGUSR1));
	}
	CHECK_ERRNO(read(t, &b, 1), EINTR);
	CHECK_EQ(wait_exit(pid), 0);
}

/* ---- options ---- */

TEST(option_round_trips)
{
	struct {
		int level, name, value;
	} o[] = {{SOL_SOCKET, SO_REUSEADDR, 1}, {SOL_SOCKET, SO_KEEPALIVE, 1}, {SOL_SOCKET, SO_BROADCAST, 1}, {SOL_SOCKET, SO_OOBINLINE, 1}, {SOL_SOCKET, SO_PRIORITY, 3},
		 {SOL_SOCKET, SO_TIMESTAMP, 1}, {IPPROTO_TCP, TCP_NODELAY, 1}, {IPPROTO_TCP, TCP_CORK, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 100}, {IPPROTO_TCP, TCP_KEEPINTVL, 20},
		 {IPPROTO_TCP, TCP_KEEPCNT, 5}, {IPPROTO_TCP, TCP_SYNCNT, 3}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 5000}, {IPPROTO_IP, IP_TTL, 33}, {IPPROTO_IP, IP_TOS, 0x10}};
	int fd = tcp(0);
	for (size_t i = 0; i < sizeof o / sizeof *o; i++) {
		set(fd, o[i].level, o[i].name, o[i].value);
		if (option(fd, o[i].level, o[i].name) != o[i].value)
			FAIL("option %d of level %d got %d want %d", o[i].name, o[i].level, option(fd, o[i].level, o[i].name), o[i].value);
	}
	set(fd, SOL_SOCKET, SO_RCVBUF, 20000);
	CHECK_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 40000);
	set(fd, IPPROTO_TCP, TCP_NODELAY, 0);
	CHECK_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST(option_errors)
{
	int v = 1;
	socklen_t len = 4;
	char buf[2];
	int fd = tcp(0);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, 9999, &v, 4), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, 9999, &v, 4), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, 9999, &v, 4), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, 2), EINVAL);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, BAD, 4), EFAULT);
	v = 0;
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &v, 4), EINVAL);
	v = 300;
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_TTL, &v, 4), EINVAL);
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, 9999, &v, &len), ENOPROTOOPT);
	len = 2; /* a short buffer gets a part */
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, &len));
	CHECK_EQ(len, 2);
}

TEST(linger_round_trip)
{
	struct linger a = {1, 7}, b;
	socklen_t len = sizeof b;
	int fd = tcp(0);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &a, sizeof a));
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &b, &len));
	CHECK_EQ(b.l_onoff, 1);
	CHECK_EQ(b.l_linger, 7);
}

TEST(tcp_info_states)
{
	CHECK_EQ(tcp_state(tcp(0)), TCP_CLOSE);
	connected();
	CHECK_EQ(tcp_state(l), TCP_LISTEN);
	CHECK_EQ(tcp_state(c), TCP_ESTABLISHED);
	CHECK_EQ(tcp_state(t), TCP_ESTABLISHED);
	struct tcp_info ti;
	socklen_t len = sizeof ti;
	CHECK_OK(getsockopt(c, IPPROTO_TCP, TCP_INFO, &ti, &len));
	CHECK_GT(ti.tcpi_snd_mss, 500);
	CHECK_GT(ti.tcpi_rto, 0);
	CHECK_GT(option(c, IPPROTO_TCP, TCP_MAXSEG), 500);
}

TEST(accepted_socket_inherits_options)
{
	l = listener();
	set(l, IPPROTO_TCP, TCP_NODELAY, 1);
	set(l, SOL_SOCKET, SO_KEEPALIVE, 1);
	c = tcp(0);
	CHECK_OK(connect_port(c, port_of(l)));
	t = CHECK_OK(accept(l, NULL, NULL));
	CHECK_EQ(option(t, IPPROTO_TCP, TCP_NODELAY), 1);
	CHECK_EQ(option(t, SOL_SOCKET, SO_KEEPALIVE), 1);
	CHECK_EQ(option(t, SOL_SOCKET, SO_ACCEPTCONN), 0);
	CHECK_EQ(option(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
}

TEST(poll_events_over_a_life)
{
	char b;
	connected();
	CHECK_EQ(poll_for(c, POLLIN | POLLOUT | POLLRDHUP, 0), POLLOUT);
	CHECK_EQ(write(t, "x", 1), 1);
	CHECK_EQ(poll_for(c, POLLIN, 5000), POLLIN);
	CHECK_EQ(read(c, &b, 1), 1);
	CHECK_OK(shutdown(t, SHUT_WR));
	CHECK_EQ(poll_for(c, POLLIN | POLLRDHUP, 5000), POLLIN | POLLRDHUP);
	CHECK_OK(shutdown(c, SHUT_WR));
	CHECK_EQ(poll_for(c, POLLIN | POLLRDHUP, 5000) & POLLHUP, POLLHUP);
}

TEST(two_hundred_connections)
{
	int cs[200], ts[200];
	l = tcp(0);
	CHECK_OK(bind_port(l, 0));
	CHECK_OK(listen(l, 250));
	for (int i = 0; i < 200; i++) {
		cs[i] = tcp(0);
		CHECK_OK(connect_port(cs[i], port_of(l)));
		CHECK_EQ(write(cs[i], &i, sizeof i), sizeof i);
	}
	for (int i = 0; i < 200; i++) {
		int v = -1;
		ts[i] = CHECK_OK(accept(l, NULL, NULL));
		CHECK_EQ(recv(ts[i], &v, sizeof v, MSG_WAITALL), sizeof v);
		CHECK_EQ(v, i);
		CHECK_EQ(write(ts[i], &v, sizeof v), sizeof v);
	}
	for (int i = 0; i < 200; i++) {
		int v = -1;
		CHECK_EQ(recv(cs[i], &v, sizeof v, MSG_WAITALL), sizeof v);
		CHECK_EQ(v, i);
	}
}

/* ---- IPv6 ---- */

static struct sockaddr_in6 local6(int port)
{
	return (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
}

static int tcp6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd < 0 && errno == EAFNOSUPPORT)
		SKIP("no IPv6");
	struct sockaddr_in6 a = local6(0);
	int probe = CHECK_OK(socket(AF_INET6, SOCK_DGRAM, 0));
	if (bind(probe, (void *)&a, sizeof a) < 0)
		SKIP("no IPv6 loopback address");
	close(probe);
	return CHECK_OK(fd);
}

static int port6_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof a;
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	return ntohs(a.sin6_port);
}

TEST(ipv6_loopback)
{
	struct sockaddr_in6 a = local6(0), got;
	socklen_t len = sizeof got;
	char b;
	l = tcp6();
	CHECK_OK(bind(l, (void *)&a, sizeof a));
	CHECK_OK(listen(l, 1));
	a.sin6_port = htons(port6_of(l));
	c = tcp6();
	CHECK_OK(connect(c, (void *)&a, sizeof a));
	t = CHECK_OK(accept(l, (void *)&got, &len));
	CHECK_EQ(len, sizeof got);
	CHECK_EQ(got.sin6_family, AF_INET6);
	CHECK_MEM(&got.sin6_addr, &in6addr_loopback, 16);
	CHECK_EQ(write(c, "6", 1), 1);
	CHECK_EQ(read(t, &b, 1), 1);
	CHECK_ERRNO(connect_port(tcp(0), port6_of(l)), ECONNREFUSED); /* ::1 alone is not 127.0.0.1 */
}

TEST(ipv6_dual_stack)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6}, got;
	socklen_t len = sizeof got;
	l = tcp6();
	CHECK_EQ(option(l, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	CHECK_OK(bind(l, (void *)&any, sizeof any));
	CHECK_OK(listen(l, 5));
	c = tcp(0);
	CHECK_OK(connect_port(c, port6_of(l)));
	t = CHECK_OK(accept(l, (void *)&got, &len));
	CHECK(IN6_IS_ADDR_V4MAPPED(&got.sin6_addr));
	CHECK_EQ(got.sin6_addr.s6_addr[12], 127);
	CHECK_ERRNO(bind_port(tcp(0), port6_of(l)), EADDRINUSE);
}

TEST(ipv6_only)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	l = tcp6();
	set(l, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	CHECK_OK(bind(l, (void *)&any, sizeof any));
	CHECK_OK(listen(l, 5));
	CHECK_ERRNO(connect_port(tcp(0), port6_of(l)), ECONNREFUSED);
	CHECK_OK(bind_port(tcp(0), port6_of(l)));
	int one = 1;
	CHECK_ERRNO(setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one), EINVAL); /* too late */
}

TEST(ipv6_connects_to_mapped_address)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	l = listener();
	a.sin6_addr.s6_addr[10] = a.sin6_addr.s6_addr[11] = 0xff;
	a.sin6_addr.s6_addr[12] = 127;
	a.sin6_addr.s6_addr[15] = 1;
	a.sin6_port = htons(port_of(l));
	c = tcp6();
	CHECK_OK(connect(c, (void *)&a, sizeof a));
	struct sockaddr_in got;
	socklen_t len = sizeof got;
	t = CHECK_OK(accept(l, (void *)&got, &len));
	CHECK_EQ(got.sin_family, AF_INET);
}
