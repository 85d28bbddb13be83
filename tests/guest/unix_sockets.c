/* UNIX sockets: streams, datagrams, packets, names, passed descriptors and credentials. */
#include "check.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static int s[2];

static void pair(int type)
{
	CHECK_OK(socketpair(AF_UNIX, type, 0, s));
}

static struct sockaddr_un name_of(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	return a;
}

static int bind_path(int fd, const char *path)
{
	struct sockaddr_un a = name_of(path);
	return bind(fd, (void *)&a, sizeof a);
}

static int connect_path(int fd, const char *path)
{
	struct sockaddr_un a = name_of(path);
	return connect(fd, (void *)&a, sizeof a);
}

static int sock(int type)
{
	return CHECK_OK(socket(AF_UNIX, type, 0));
}

static int listener(const char *path, int type)
{
	int fd = sock(type);
	CHECK_OK(bind_path(fd, path));
	CHECK_OK(listen(fd, 5));
	return fd;
}

static int poll_now(int fd, short events)
{
	struct pollfd f = {fd, events, 0};
	CHECK_OK(poll(&f, 1, 0));
	return f.revents;
}

/* ---- creation and names ---- */

TEST(socket_errors)
{
	CHECK_ERRNO(socket(AF_UNIX, 99, 0), EINVAL);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM | 0x100, 0), EINVAL);
	CHECK_OK(socket(AF_UNIX, SOCK_STREAM, AF_UNIX));
	CHECK_ERRNO(socketpair(AF_INET, SOCK_STREAM, 0, s), EOPNOTSUPP);
	CHECK_ERRNO(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, BAD), EFAULT);
	int fd = CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

TEST(calls_on_other_descriptors)
{
	int p[2], n;
	CHECK_OK(pipe(p));
	CHECK_ERRNO(listen(p[0], 1), ENOTSOCK);
	CHECK_ERRNO(listen(999, 1), EBADF);
	CHECK_ERRNO(send(p[0], "x", 1, 0), ENOTSOCK);
	CHECK_ERRNO(getsockopt(p[0], SOL_SOCKET, SO_TYPE, &n, &(socklen_t){4}), ENOTSOCK);
	CHECK_ERRNO(accept(p[0], NULL, NULL), ENOTSOCK);
}

TEST(bind_creates_socket_file)
{
	struct stat st;
	struct sockaddr_un a;
	socklen_t len = sizeof a;
	int fd = sock(SOCK_STREAM);
	umask(027);
	CHECK_OK(bind_path(fd, "name"));
	CHECK_OK(stat("name", &st));
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_EQ(st.st_mode & 0777, 0750);
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(a.sun_family, AF_UNIX);
	CHECK_STR(a.sun_path, "name");
	CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 5);
	close(fd);
	CHECK_OK(stat("name", &st)); /* stays behind */
}

TEST(bind_errors)
{
	int a = sock(SOCK_STREAM), b = sock(SOCK_STREAM);
	struct sockaddr_un n = name_of("x");
	CHECK_OK(bind_path(a, "name"));
	CHECK_ERRNO(bind_path(b, "name"), EADDRINUSE);
	CHECK_ERRNO(bind_path(a, "other"), EINVAL);
	CHECK_ERRNO(bind_path(b, "missing/x"), ENOENT);
	CHECK_ERRNO(bind(b, (void *)&n, 1), EINVAL);
	CHECK_ERRNO(bind(b, (void *)&n, sizeof n + 1), EINVAL);
	n.sun_family = AF_INET;
	CHECK_ERRNO(bind(b, (void *)&n, sizeof n), EINVAL);
	CHECK_ERRNO(bind(b, BAD, sizeof n), EFAULT);
	CHECK_OK(unlink("name"));
	CHECK_OK(bind_path(b, "name"));
}

TEST(connect_errors)
{
	int fd = sock(SOCK_STREAM), d = sock(SOCK_DGRAM);
	CHECK_ERRNO(connect_path(fd, "missing"), ENOENT);
	CHECK_OK(bind_path(sock(SOCK_STREAM), "deaf"));
	CHECK_ERRNO(connect_path(fd, "deaf"), ECONNREFUSED); /* not listening */
	close(CHECK_OK(open("file", O_CREAT | O_RDWR, 0600)));
	CHECK_ERRNO(connect_path(fd, "file"), ECONNREFUSED);
	listener("stream", SOCK_STREAM);
	CHECK_ERRNO(connect_path(d, "stream"), EPROTOTYPE);
	CHECK_OK(connect_path(fd, "stream"));
	CHECK_ERRNO(connect_path(fd, "stream"), EISCONN);
	int l = listener("gone", SOCK_STREAM);
	close(l);
	CHECK_ERRNO(connect_path(sock(SOCK_STREAM), "gone"), ECONNREFUSED);
	struct sockaddr_un in = name_of("stream");
	in.sun_family = AF_INET;
	CHECK_ERRNO(connect(sock(SOCK_STREAM), (void *)&in, sizeof in), EINVAL);
}

TEST(connect_needs_write_permission)
{
	NEED_ROOT();
	listener("l", SOCK_STREAM);
	CHECK_OK(chmod("l", 0700));
	CHILD {
		become_user();
		CHECK_ERRNO(connect_path(sock(SOCK_STREAM), "l"), EACCES);
	} CHILD_END;
}

TEST(accept_and_names)
{
	struct sockaddr_un a;
	socklen_t len = sizeof a;
	int l = listener("l", SOCK_STREAM), c = sock(SOCK_STREAM);
	char buf[8];
	CHECK_OK(connect_path(c, "l"));
	CHECK_EQ(write(c, "early", 5), 5); /* before it is accepted */
	int t = CHECK_OK(accept(l, (void *)&a, &len));
	CHECK_EQ(len, 2); /* the client has no name */
	CHECK_EQ(a.sun_family, AF_UNIX);
	CHECK_EQ(read(t, buf, 8), 5);
	len = sizeof a;
	CHECK_OK(getpeername(c, (void *)&a, &len));
	CHECK_STR(a.sun_path, "l");
	len = sizeof a;
	CHECK_OK(getsockname(t, (void *)&a, &len));
	CHECK_STR(a.sun_path, "l");
	len = 3;
	CHECK_OK(getpeername(c, (void *)&a, &len)); /* cut, but the true length is told */
	CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 2);
}

TEST(accept_errors_and_flags)
{
	int l = listener("l", SOCK_STREAM), c = sock(SOCK_STREAM);
	CHECK_OK(fcntl(l, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
	CHECK_ERRNO(accept(c, NULL, NULL), EINVAL);
	CHECK_ERRNO(accept4(l, NULL, NULL, 0x100), EINVAL);
	CHECK_ERRNO(accept(sock(SOCK_DGRAM), NULL, NULL), EOPNOTSUPP);
	CHECK_ERRNO(listen(sock(SOCK_DGRAM), 1), EOPNOTSUPP);
	CHECK_ERRNO(listen(sock(SOCK_STREAM), 1), EINVAL); /* no name yet */
	CHECK_OK(connect_path(c, "l"));
	int t = CHECK_OK(accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
	CHECK_EQ(fcntl(t, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(t, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

TEST(accept_blocks)
{
	int l = listener("l", SOCK_STREAM);
	pid_t pid = xfork();
	if (pid == 0)
		_exit(accept(l, NULL, NULL) < 0);
	wait_asleep(pid);
	CHECK_OK(connect_path(sock(SOCK_STREAM), "l"));
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(backlog_full_is_eagain)
{
	int l = sock(SOCK_STREAM), n = 0, r = 0;
	CHECK_OK(bind_path(l, "l"));
	CHECK_OK(listen(l, 2));
	for (; n < 20; n++) {
		int c = CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
		r = connect_path(c, "l");
		if (r < 0)
			break;
	}
	CHECK_EQ(r, -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(n, 3);
	CHECK_OK(accept(l, NULL, NULL));
	CHECK_OK(connect_path(CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), "l"));
}

TEST(closing_listener_resets_waiting_clients)
{
	int l = listener("l", SOCK_STREAM), c = sock(SOCK_STREAM);
	char b;
	CHECK_OK(connect_path(c, "l"));
	close(l);
	ssize_t n = read(c, &b, 1);
	CHECK(n == 0 || (n == -1 && errno == ECONNRESET));
}

TEST(abstract_names)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX}, got;
	char name[64];
	socklen_t len, glen = sizeof got;
	int n = snprintf(name, sizeof name, "%cabi-%d", 0, getpid());
	memcpy(a.sun_path, name, n);
	len = offsetof(struct sockaddr_un, sun_path) + n;
	int l = sock(SOCK_STREAM), c = sock(SOCK_STREAM);
	CHECK_OK(bind(l, (void *)&a, len));
	CHECK_ERRNO(bind(sock(SOCK_STREAM), (void *)&a, len), EADDRINUSE);
	CHECK_OK(listen(l, 1));
	CHECK_ERRNO(connect(c, (void *)&a, len - 1), ECONNREFUSED); /* the length is part of the name */
	CHECK_OK(connect(c, (void *)&a, len));
	CHECK_OK(getsockname(l, (void *)&got, &glen));
	CHECK_EQ(glen, len);
	CHECK_MEM(got.sun_path, a.sun_path, n);
	close(l);
	CHECK_OK(bind(sock(SOCK_STREAM), (void *)&a, len)); /* gone with the socket */
}

TEST(autobind)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX}, got;
	socklen_t len = sizeof got;
	int fd = sock(SOCK_STREAM);
	CHECK_OK(bind(fd, (void *)&a, sizeof(sa_family_t)));
	CHECK_OK(getsockname(fd, (void *)&got, &len));
	CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 6);
	CHECK_EQ(got.sun_path[0], 0);
	for (int i = 1; i < 6; i++)
		CHECK(strchr("0123456789abcdef", got.sun_path[i]) != NULL);
}

TEST(unlink_and_rebind)
{
	int old = listener("l", SOCK_STREAM);
	CHECK_OK(unlink("l"));
	int l = listener("l", SOCK_STREAM), c = sock(SOCK_STREAM);
	CHECK_OK(connect_path(c, "l"));
	CHECK_EQ(poll_now(l, POLLIN), POLLIN);
	CHECK_EQ(poll_now(old, POLLIN), 0);
	CHECK_OK(rename("l", "m"));
	CHECK_OK(connect_path(sock(SOCK_STREAM), "m"));
}

/* ---- streams ---- */

TEST(stream_has_no_boundaries)
{
	char buf[16] = "";
	pair(SOCK_STREAM);
	CHECK_EQ(write(s[0], "ab", 2), 2);
	CHECK_EQ(send(s[0], "cd", 2, 0), 2);
	CHECK_EQ(read(s[1], buf, 3), 3);
	CHECK_STR(buf, "abc");
	CHECK_EQ(read(s[1], buf, 16), 1);
	CHECK_EQ(write(s[1], "back", 4), 4);
	CHECK_EQ(recv(s[0], buf, 16, 0), 4);
}

TEST(stream_end_and_epipe)
{
	char c;
	pair(SOCK_STREAM);
	signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(write(s[0], "x", 1), 1);
	close(s[0]);
	CHECK_EQ(read(s[1], &c, 1), 1);
	CHECK_EQ(read(s[1], &c, 1), 0);
	CHECK_ERRNO(write(s[1], "x", 1), EPIPE);
	CHECK_ERRNO(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(stream_unread_data_at_close_is_econnreset)
{
	char c;
	pair(SOCK_STREAM);
	CHECK_EQ(write(s[0], "x", 1), 1);
	close(s[1]);
	CHECK_ERRNO(read(s[0], &c, 1), ECONNRESET);
	CHECK_EQ(read(s[0], &c, 1), 0);
}

TEST(shutdown_halves)
{
	char c;
	signal(SIGPIPE, SIG_IGN);
	pair(SOCK_STREAM);
	CHECK_OK(shutdown(s[0], SHUT_WR));
	CHECK_ERRNO(write(s[0], "x", 1), EPIPE);
	CHECK_EQ(read(s[1], &c, 1), 0);
	CHECK_EQ(write(s[1], "x", 1), 1);
	CHECK_EQ(read(s[0], &c, 1), 1);
	CHECK_EQ(poll_now(s[1], POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
	CHECK_OK(shutdown(s[0], SHUT_RD));
	CHECK_EQ(read(s[0], &c, 1), 0);
	CHECK_ERRNO(write(s[1], "x", 1), EPIPE);
	CHECK_EQ(poll_now(s[0], POLLIN), POLLIN | POLLHUP);
	CHECK_ERRNO(shutdown(s[0], 99), EINVAL);
}

TEST(unconnected_stream)
{
	char c;
	int fd = sock(SOCK_STREAM);
	struct sockaddr_un a;
	socklen_t len = sizeof a;
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERRNO(write(fd, "x", 1), ENOTCONN);
	CHECK_ERRNO(read(fd, &c, 1), EINVAL);
	CHECK_ERRNO(getpeername(fd, (void *)&a, &len), ENOTCONN);
	CHECK_EQ(poll_now(fd, POLLIN | POLLOUT), POLLOUT | POLLHUP);
}

TEST(stream_flow_control)
{
	static char buf[65536];
	ssize_t n, total = 0, drained = 0;
	pair(SOCK_STREAM);
	CHECK_OK(fcntl(s[0], F_SETFL, O_NONBLOCK));
	while ((n = write(s[0], buf, sizeof buf)) > 0)
		total += n;
	CHECK_EQ(errno, EAGAIN);
	CHECK_GT(total, 50000);
	CHECK_EQ(poll_now(s[0], POLLOUT), 0);
	CHECK_OK(fcntl(s[1], F_SETFL, O_NONBLOCK));
	while ((n = read(s[1], buf, sizeof buf)) > 0)
		drained += n;
	CHECK_EQ(drained, total);
	CHECK_EQ(poll_now(s[0], POLLOUT), POLLOUT);
}

TEST(blocking_writer_continues)
{
	static char buf[1 << 20];
	pair(SOCK_STREAM);
	pid_t pid = xfork();
	if (pid == 0) {
		close(s[1]);
		_exit(write(s[0], buf, sizeof buf) == sizeof buf ? 0 : 1);
	}
	close(s[0]);
	size_t total = 0;
	ssize_t n;
	while ((n = read(s[1], buf, sizeof buf)) > 0)
		total += n;
	CHECK_EQ(total, sizeof buf);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(peek_waitall_dontwait)
{
	char buf[8] = "";
	pair(SOCK_STREAM);
	CHECK_ERRNO(recv(s[1], buf, 8, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(write(s[0], "abcdef", 6), 6);
	CHECK_EQ(recv(s[1], buf, 3, MSG_PEEK), 3);
	CHECK_EQ(recv(s[1], buf, 8, MSG_PEEK), 6);
	CHECK_EQ(recv(s[1], buf, 2, 0), 2);
	CHECK_MEM(buf, "ab", 2);
	pid_t pid = xfork();
	if (pid == 0) {
		msleep(60);
		_exit(write(s[0], "gh", 2) != 2);
	}
	CHECK_EQ(recv(s[1], buf, 6, MSG_WAITALL), 6);
	CHECK_MEM(buf, "cdefgh", 6);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(write(s[0], "xy", 2), 2);
	close(s[0]);
	CHECK_EQ(recv(s[1], buf, 6, MSG_WAITALL), 2); /* the end cuts it short */
}

TEST(peek_offset)
{
	int off = 0;
	char buf[4] = "";
	pair(SOCK_STREAM);
	CHECK_EQ(write(s[0], "abcdef", 6), 6);
	CHECK_OK(setsockopt(s[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off));
	CHECK_EQ(recv(s[1], buf, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(s[1], buf, 2, MSG_PEEK), 2);
	CHECK_STR(buf, "cd");
}

TEST(siocinq_and_outq)
{
	int n = -1;
	pair(SOCK_STREAM);
	CHECK_EQ(write(s[0], "abcdef", 6), 6);
	CHECK_OK(ioctl(s[1], FIONREAD, &n));
	CHECK_EQ(n, 6);
	CHECK_OK(ioctl(s[0], TIOCOUTQ, &n));
	CHECK_GT(n, 0);
	CHECK_OK(ioctl(s[1], TIOCOUTQ, &n));
	CHECK_EQ(n, 0);
}

TEST(receive_timeout)
{
	char c;
	struct timeval tv = {0, 120000}, got;
	socklen_t len = sizeof got;
	pair(SOCK_STREAM);
	CHECK_OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	CHECK_OK(getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len));
	CHECK_GE(got.tv_usec, 120000);
	long long start = now_ms();
	CHECK_ERRNO(recv(s[0], &c, 1, 0), EAGAIN);
	CHECK_GE(now_ms() - start, 119);
}

TEST(seek_and_sendto_on_streams)
{
	struct sockaddr_un a = name_of("x");
	pair(SOCK_STREAM);
	CHECK_ERRNO(lseek(s[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERRNO(sendto(s[0], "x", 1, 0, (void *)&a, sizeof a), EISCONN);
	CHECK_ERRNO(sendto(sock(SOCK_STREAM), "x", 1, 0, (void *)&a, sizeof a), EOPNOTSUPP);
}

/* ---- datagrams ---- */

TEST(datagram_keeps_boundaries)
{
	char buf[16] = "";
	pair(SOCK_DGRAM);
	CHECK_EQ(write(s[0], "abc", 3), 3);
	CHECK_EQ(write(s[0], "", 0), 0);
	CHECK_EQ(write(s[0], "de", 2), 2);
	CHECK_EQ(read(s[1], buf, 2), 2); /* the rest is lost */
	CHECK_EQ(read(s[1], buf, 16), 0);
	CHECK_EQ(read(s[1], buf, 16), 2);
}

TEST(datagram_trunc_flag)
{
	char buf[2];
	struct iovec v = {buf, 2};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	pair(SOCK_DGRAM);
	CHECK_EQ(write(s[0], "abcd", 4), 4);
	CHECK_EQ(write(s[0], "abcd", 4), 4);
	CHECK_EQ(recvmsg(s[1], &m, 0), 2);
	CHECK_EQ(m.msg_flags & MSG_TRUNC, MSG_TRUNC);
	CHECK_EQ(recv(s[1], buf, 2, MSG_TRUNC), 4); /* the real length */
}

TEST(datagram_addresses)
{
	struct sockaddr_un a = name_of("server"), from;
	socklen_t len = sizeof from;
	char buf[8];
	int server = sock(SOCK_DGRAM), client = sock(SOCK_DGRAM);
	CHECK_OK(bind_path(server, "server"));
	CHECK_EQ(sendto(client, "hi", 2, 0, (void *)&a, sizeof a), 2);
	CHECK_EQ(recvfrom(server, buf, 8, 0, (void *)&from, &len), 2);
	CHECK_EQ(len, 0); /* from nobody with a name */
	CHECK_OK(bind_path(client, "client"));
	CHECK_OK(connect_path(client, "server"));
	CHECK_EQ(send(client, "hi", 2, 0), 2);
	len = sizeof from;
	CHECK_EQ(recvfrom(server, buf, 8, 0, (void *)&from, &len), 2);
	CHECK_STR(from.sun_path, "client");
	CHECK_EQ(sendto(server, "ok", 2, 0, (void *)&from, len), 2);
	CHECK_EQ(recv(client, buf, 8, 0), 2);
}

TEST(datagram_errors)
{
	char buf[8];
	struct sockaddr_un a = name_of("gone");
	int fd = sock(SOCK_DGRAM);
	CHECK_ERRNO(send(fd, "x", 1, 0), ENOTCONN);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&a, sizeof a), ENOENT);
	int server = sock(SOCK_DGRAM);
	CHECK_OK(bind_path(server, "gone"));
	CHECK_OK(connect_path(fd, "gone"));
	close(server);
	CHECK_ERRNO(send(fd, "x", 1, 0), ECONNREFUSED);
	CHECK_ERRNO(recv(fd, buf, 8, MSG_DONTWAIT), EAGAIN);
	pair(SOCK_DGRAM);
	static char big[1 << 20];
	CHECK_ERRNO(send(s[0], big, sizeof big, 0), EMSGSIZE);
}

TEST(datagram_connected_filters_senders)
{
	struct sockaddr_un a = name_of("one");
	char buf[8];
	int one = sock(SOCK_DGRAM), two = sock(SOCK_DGRAM), three = sock(SOCK_DGRAM);
	CHECK_OK(bind_path(one, "one"));
	CHECK_OK(bind_path(two, "two"));
	CHECK_OK(connect_path(one, "two"));
	CHECK_ERRNO(sendto(three, "x", 1, 0, (void *)&a, sizeof a), EPERM);
	CHECK_EQ(sendto(two, "x", 1, 0, (void *)&a, sizeof a), 1);
	CHECK_EQ(recv(one, buf, 8, 0), 1);
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	CHECK_OK(connect(one, &none, sizeof none));
	CHECK_EQ(sendto(three, "x", 1, 0, (void *)&a, sizeof a), 1);
}

TEST(datagram_queue_limit)
{
	int n = 0;
	pair(SOCK_DGRAM);
	CHECK_OK(fcntl(s[0], F_SETFL, O_NONBLOCK));
	while (n < 10000 && send(s[0], "x", 1, 0) == 1)
		n++;
	CHECK_EQ(errno, EAGAIN);
	CHECK_GE(n, 1);
	CHECK_LT(n, 10000);
	CHECK_EQ(poll_now(s[0], POLLOUT), 0);
	char c;
	for (int i = 0; i < n; i++)
		CHECK_EQ(recv(s[1], &c, 1, 0), 1);
	CHECK_EQ(poll_now(s[0], POLLOUT), POLLOUT);
}

/* ---- packets ---- */

TEST(seqpacket)
{
	char buf[8];
	int l = listener("l", SOCK_SEQPACKET), c = sock(SOCK_SEQPACKET);
	CHECK_OK(connect_path(c, "l"));
	int t = CHECK_OK(accept(l, NULL, NULL));
	CHECK_EQ(write(c, "abc", 3), 3);
	CHECK_EQ(write(c, "de", 2), 2);
	CHECK_EQ(read(t, buf, 2), 2);
	CHECK_EQ(read(t, buf, 8), 2);
	CHECK_MEM(buf, "de", 2);
	close(c);
	CHECK_EQ(read(t, buf, 8), 0);
	CHECK_ERRNO(send(t, "x", 1, MSG_NOSIGNAL), EPIPE);
}

/* ---- options ---- */

static int option(int fd, int name)
{
	int v = -1;
	socklen_t len = sizeof v;
	CHECK_OK(getsockopt(fd, SOL_SOCKET, name, &v, &len));
	CHECK_EQ(len, 4);
	return v;
}

TEST(socket_options)
{
	int l = listener("l", SOCK_STREAM), v;
	pair(SOCK_SEQPACKET);
	CHECK_EQ(option(s[0], SO_TYPE), SOCK_SEQPACKET);
	CHECK_EQ(option(s[0], SO_DOMAIN), AF_UNIX);
	CHECK_EQ(option(s[0], SO_PROTOCOL), 0);
	CHECK_EQ(option(l, SO_ACCEPTCONN), 1);
	CHECK_EQ(option(s[0], SO_ACCEPTCONN), 0);
	CHECK_EQ(option(s[0], SO_ERROR), 0);
	v = 5000;
	CHECK_OK(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof v));
	CHECK_EQ(option(s[0], SO_SNDBUF), 10000); /* doubled: socket(7) */
	v = 1;
	CHECK_OK(setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &v, sizeof v));
	CHECK_EQ(option(s[0], SO_PASSCRED), 1);
	CHECK_ERRNO(setsockopt(s[0], SOL_SOCKET, 9999, &v, sizeof v), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(s[0], 9999, 1, &v, sizeof v), EOPNOTSUPP);
	CHECK_ERRNO(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, 2), EINVAL);
	CHECK_ERRNO(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, BAD, 4), EFAULT);
	CHECK_ERRNO(setsockopt(s[0], SOL_SOCKET, SO_TYPE, &v, sizeof v), ENOPROTOOPT);
}

TEST(peercred)
{
	struct ucred c;
	socklen_t len = sizeof c;
	pair(SOCK_STREAM);
	CHECK_OK(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &c, &len));
	CHECK_EQ(c.pid, getpid());
	CHECK_EQ(c.uid, geteuid());
	CHECK_EQ(c.gid, getegid());
}

TEST(peercred_of_connection)
{
	struct ucred c;
	socklen_t len = sizeof c;
	int l = listener("l", SOCK_STREAM), p[2];
	char b;
	CHECK_OK(pipe(p));
	CHECK_OK(chmod("l", 0777));
	pid_t pid = xfork();
	if (pid == 0) {
		become_user();
		int fd = sock(SOCK_STREAM);
		CHECK_OK(connect_path(fd, "l"));
		CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len));
		CHECK_EQ(c.pid, getppid()); /* who listens */
		CHECK_EQ(read(p[0], &b, 1), 1);
		_exit(0);
	}
	int t = CHECK_OK(accept(l, NULL, NULL));
	CHECK_OK(getsockopt(t, SOL_SOCKET, SO_PEERCRED, &c, &len));
	CHECK_EQ(c.pid, pid);
	CHECK_EQ(c.uid, is_root() ? PLAIN_UID : getuid());
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(wait_exit(pid), 0);
}

/* ---- passing descriptors and credentials ---- */

union control {
	char buf[CMSG_SPACE(sizeof(int) * 300) + CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

static ssize_t send_fds(int via, const int *fds, int n, int flags)
{
	static union control u;
	struct iovec v = {"m", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	memset(&u, 0, sizeof u);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	return sendmsg(via, &m, flags);
}

/* Receives a message; fds get what came (at most max), *flags the message flags; the number of descriptors. */
static int recv_fds(int via, int *fds, size_t room, int how, int *flags)
{
	static union control u;
	char b;
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = room};
	CHECK_EQ(recvmsg(via, &m, how), 1);
	if (flags)
		*flags = m.msg_flags;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (!c)
		return 0;
	CHECK_EQ(c->cmsg_level, SOL_SOCKET);
	CHECK_EQ(c->cmsg_type, SCM_RIGHTS);
	int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	return n;
}

TEST(rights_pass_open_files)
{
	int p[2], got[4];
	char c;
	CHECK_OK(pipe(p));
	pair(SOCK_STREAM);
	CHECK_EQ(send_fds(s[0], p, 2, 0), 1);
	CHECK_EQ(recv_fds(s[1], got, sizeof(union control), 0, NULL), 2);
	CHECK_NE(got[0], p[0]);
	CHECK_EQ(fcntl(got[0], F_GETFD), 0);
	CHECK_EQ(write(got[1], "z", 1), 1);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(c, 'z');
}

TEST(rights_between_processes)
{
	int got[4];
	char buf[8] = "";
	pair(SOCK_STREAM);
	write_file("f", "hello");
	pid_t pid = xfork();
	if (pid == 0) {
		int fd = CHECK_OK(open("f", O_RDONLY));
		CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
		_exit(send_fds(s[0], &fd, 1, 0) != 1);
	}
	CHECK_EQ(wait_exit(pid), 0); /* closed by the sender before it is received */
	CHECK_EQ(recv_fds(s[1], got, sizeof(union control), 0, NULL), 1);
	CHECK_EQ(read(got[0], buf, 8), 3); /* offset and all */
	CHECK_STR(buf, "llo");
}

TEST(rights_cmsg_cloexec)
{
	int got[4], fd = CHECK_OK(dup(0));
	pair(SOCK_DGRAM);
	CHECK_EQ(send_fds(s[0], &fd, 1, 0), 1);
	CHECK_EQ(recv_fds(s[1], got, sizeof(union control), MSG_CMSG_CLOEXEC, NULL), 1);
	CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
}

TEST(rights_not_received_are_closed)
{
	int p[2], flags;
	char c;
	CHECK_OK(pipe(p));
	pair(SOCK_STREAM);
	CHECK_EQ(send_fds(s[0], &p[1], 1, 0), 1);
	close(p[1]);
	CHECK_EQ(recv_fds(s[1], &flags, 0, 0, &flags), 0); /* no room for control data */
	CHECK_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
	CHECK_EQ(read(p[0], &c, 1), 0);
	CHECK_OK(pipe(p));
	CHECK_EQ(send_fds(s[0], &p[1], 1, 0), 1);
	close(p[1]);
	CHECK_EQ(read(s[1], &c, 1), 1); /* plain read drops them too */
	CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(rights_in_flight_close_with_the_socket)
{
	int p[2];
	char c;
	CHECK_OK(pipe(p));
	pair(SOCK_STREAM);
	CHECK_EQ(send_fds(s[0], &p[1], 1, 0), 1);
	close(p[1]);
	CHECK_OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(p[0], &c, 1), EAGAIN);
	close(s[1]);
	close(s[0]);
	CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(rights_partly_received)
{
	int fds[3] = {0, 1, 2}, got[4], flags;
	pair(SOCK_STREAM);
	CHECK_EQ(send_fds(s[0], fds, 3, 0), 1);
	CHECK_EQ(recv_fds(s[1], got, CMSG_LEN(2 * sizeof(int)), 0, &flags), 2);
	CHECK_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
}

TEST(rights_errors)
{
	int bad[2] = {0, 999}, many[254];
	pair(SOCK_STREAM);
	CHECK_ERRNO(send_fds(s[0], bad, 2, 0), EBADF);
	for (int i = 0; i < 254; i++)
		many[i] = 0;
	CHECK_ERRNO(send_fds(s[0], many, 254, 0), EINVAL); /* SCM_MAX_FD is 253 */
	CHECK_EQ(send_fds(s[0], many, 253, 0), 1);
	int got[253];
	CHECK_EQ(recv_fds(s[1], got, sizeof(union control), 0, NULL), 253);
}

TEST(rights_at_descriptor_limit)
{
	struct rlimit r = {30, 30};
	int fds[3] = {0, 1, 2}, got[4], flags, n = 0;
	pair(SOCK_STREAM);
	CHECK_EQ(send_fds(s[0], fds, 3, 0), 1);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	while (dup(0) >= 0)
		n++;
	close(29);
	CHECK_EQ(recv_fds(s[1], got, sizeof(union control), 0, &flags), 1);
	CHECK_EQ(got[0], 29);
	CHECK_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
}

TEST(rights_split_stream_reads)
{
	/* Data with descriptors is a barrier: one read does not go past it. */
	int fd = 0, got[4];
	char buf[8];
	pair(SOCK_STREAM);
	CHECK_EQ(write(s[0], "aa", 2), 2);
	CHECK_EQ(send_fds(s[0], &fd, 1, 0), 1);
	CHECK_EQ(write(s[0], "bb", 2), 2);
	union control u;
	struct iovec v = {buf, 8};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof u.buf};
	ssize_t first = CHECK_OK(recvmsg(s[1], &m, 0));
	CHECK(first == 2 || first == 3);
	if (first == 2)
		CHECK_EQ(recv_fds(s[1], got, sizeof(union control), 0, NULL), 1);
	else
		CHECK(CMSG_FIRSTHDR(&m) != NULL);
	CHECK_EQ(read(s[1], buf, 8), 2);
}

TEST(unix_socket_can_carry_itself)
{
	pair(SOCK_STREAM);
	for (int i = 0; i < 5; i++) {
		int fds[2] = {s[0], s[1]};
		CHECK_EQ(send_fds(s[0], fds, 2, 0), 1);
		CHECK_EQ(send_fds(s[1], fds, 2, 0), 1);
	}
	close(s[0]);
	close(s[1]); /* a cycle only the collector can free */
	for (int i = 0; i < 50; i++) {
		pair(SOCK_STREAM);
		CHECK_EQ(send_fds(s[0], &s[1], 1, 0), 1);
		close(s[0]);
		close(s[1]);
	}
}

TEST(credentials_are_filled_in_with_passcred)
{
	int on = 1;
	char b;
	union control u;
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof u.buf};
	struct ucred cred;
	pair(SOCK_STREAM);
	CHECK_OK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(write(s[0], "x", 1) != 1);
	CHECK_EQ(recvmsg(s[1], &m, 0), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c != NULL);
	CHECK_EQ(c->cmsg_type, SCM_CREDENTIALS);
	memcpy(&cred, CMSG_DATA(c), sizeof cred);
	CHECK_EQ(cred.pid, pid);
	CHECK_EQ(cred.uid, getuid());
	CHECK_EQ(cred.gid, getgid());
	CHECK_EQ(wait_exit(pid), 0);
}

static ssize_t send_cred(struct ucred cred)
{
	union control u;
	struct iovec v = {"m", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = CMSG_SPACE(sizeof cred)};
	memset(&u, 0, sizeof u);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof cred);
	memcpy(CMSG_DATA(c), &cred, sizeof cred);
	return sendmsg(s[0], &m, 0);
}

TEST(credentials_are_checked)
{
	pair(SOCK_DGRAM);
	pid_t parent = getpid();
	CHILD {
		become_user();
		CHECK_EQ(send_cred((struct ucred){getpid(), getuid(), getgid()}), 1);
		CHECK_ERRNO(send_cred((struct ucred){parent, getuid(), getgid()}), EPERM);
		CHECK_ERRNO(send_cred((struct ucred){getpid(), getuid() + 1, getgid()}), EPERM);
		CHECK_ERRNO(send_cred((struct ucred){getpid(), getuid(), getgid() + 1}), EPERM);
	} CHILD_END;
}

TEST(mmsg_calls)
{
	char a[4] = "", b[4] = "";
	struct iovec o[2] = {{"ab", 2}, {"cde", 3}}, i[2] = {{a, 4}, {b, 4}};
	struct mmsghdr out[2] = {{.msg_hdr = {.msg_iov = &o[0], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &o[1], .msg_iovlen = 1}}};
	struct mmsghdr in[3] = {{.msg_hdr = {.msg_iov = &i[0], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &i[1], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &i[1], .msg_iovlen = 1}}};
	pair(SOCK_DGRAM);
	CHECK_EQ(sendmmsg(s[0], out, 2, 0), 2);
	CHECK_EQ(out[1].msg_len, 3);
	CHECK_EQ(recvmmsg(s[1], in, 3, MSG_DONTWAIT, NULL), 2);
	CHECK_EQ(in[0].msg_len, 2);
	CHECK_EQ(in[1].msg_len, 3);
	CHECK_STR(a, "ab");
	CHECK_STR(b, "cde");
	CHECK_ERRNO(recvmmsg(s[1], in, 3, MSG_DONTWAIT, NULL), EAGAIN);
}

TEST(msghdr_errors)
{
	struct msghdr m = {.msg_iov = BAD, .msg_iovlen = 1};
	pair(SOCK_STREAM);
	CHECK_ERRNO(sendmsg(s[0], &m, 0), EFAULT);
	m = (struct msghdr){.msg_iovlen = 1025};
	CHECK_ERRNO(sendmsg(s[0], &m, 0), EMSGSIZE);
	CHECK_ERRNO(sendmsg(s[0], BAD, 0), EFAULT);
	CHECK_ERRNO(recvmsg(s[0], BAD, MSG_DONTWAIT), EFAULT);
	union control u;
	struct iovec v = {"x", 1};
	memset(&u, 0, sizeof u);
	m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = CMSG_SPACE(4)};
	CMSG_FIRSTHDR(&m)->cmsg_len = 3; /* shorter than its own header */
	CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
	CHECK_ERRNO(sendmsg(s[0], &m, 0), EINVAL);
	CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(4);
	CMSG_FIRSTHDR(&m)->cmsg_type = 99;
	CHECK_ERRNO(sendmsg(s[0], &m, 0), EINVAL);
}

TEST(poll_of_listener)
{
	int l = listener("l", SOCK_STREAM);
	CHECK_EQ(poll_now(l, POLLIN | POLLOUT), 0);
	int c = sock(SOCK_STREAM);
	CHECK_OK(connect_path(c, "l"));
	CHECK_EQ(poll_now(l, POLLIN), POLLIN);
	CHECK_EQ(poll_now(c, POLLIN | POLLOUT), POLLOUT);
}
