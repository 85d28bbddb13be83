/* Rarer rules of local sockets. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/uio.h>

static void pair(int type, int s[2])
{
	CHECK_OK(socketpair(AF_UNIX, type, 0, s));
}

TEST(out_of_band_byte)
{
	int s[2], mark = -1;
	char buf[16] = "";
	pair(SOCK_STREAM, s);
	CHECK_ERRNO(recv(s[1], buf, 1, MSG_OOB | MSG_DONTWAIT), EINVAL);
	CHECK_EQ(send(s[0], "abc", 3, MSG_OOB), 3);
	CHECK_EQ(send(s[0], "de", 2, 0), 2);
	struct pollfd p = {s[1], POLLPRI, 0};
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 2);
	CHECK_MEM(buf, "ab", 2);
	CHECK_OK(ioctl(s[1], SIOCATMARK, &mark));
	CHECK_EQ(mark, 1);
	CHECK_EQ(recv(s[1], buf, 1, MSG_OOB), 1);
	CHECK_EQ(buf[0], 'c');
	CHECK_ERRNO(recv(s[1], buf, 1, MSG_OOB | MSG_DONTWAIT), EINVAL);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 2);
	CHECK_MEM(buf, "de", 2);
}

TEST(out_of_band_inline)
{
	int s[2], on = 1;
	char buf[16] = "";
	pair(SOCK_STREAM, s);
	CHECK_OK(setsockopt(s[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
	CHECK_EQ(send(s[0], "xyz", 3, MSG_OOB), 3);
	CHECK_ERRNO(recv(s[1], buf, 1, MSG_OOB | MSG_DONTWAIT), EINVAL);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 2);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 1);
	CHECK_EQ(buf[0], 'z');
}

TEST(out_of_band_only_on_streams)
{
	int s[2];
	char c;
	pair(SOCK_DGRAM, s);
	CHECK_ERRNO(send(s[0], "x", 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(recv(s[0], &c, 1, MSG_OOB), EOPNOTSUPP);
	pair(SOCK_SEQPACKET, s);
	CHECK_ERRNO(send(s[0], "x", 1, MSG_OOB), EOPNOTSUPP);
}

TEST(peek_offset_of_datagrams)
{
	int s[2], off = 1;
	char buf[16];
	pair(SOCK_DGRAM, s);
	CHECK_OK(setsockopt(s[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off));
	CHECK_EQ(send(s[0], "abcd", 4, 0), 4);
	CHECK_EQ(recv(s[1], buf, 2, MSG_PEEK), 2);
	CHECK_MEM(buf, "bc", 2);
	CHECK_EQ(recv(s[1], buf, sizeof buf, MSG_PEEK), 1);
	CHECK_EQ(buf[0], 'd');
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 4);
}

TEST(listener_options_are_inherited)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
	int l = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0)), c = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0)), on = 1, v = 0;
	socklen_t len = sizeof v;
	CHECK_OK(setsockopt(l, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	CHECK_OK(bind(l, (void *)&a, sizeof a));
	CHECK_OK(listen(l, 1));
	CHECK_OK(connect(c, (void *)&a, sizeof a));
	int s = CHECK_OK(accept(l, NULL, NULL));
	CHECK_OK(getsockopt(s, SOL_SOCKET, SO_PASSCRED, &v, &len));
	CHECK_EQ(v, 1);
	CHECK_OK(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &v, &len));
	CHECK_EQ(v, 1);
	CHECK_OK(getsockopt(l, SOL_SOCKET, SO_DOMAIN, &v, &len));
	CHECK_EQ(v, AF_UNIX);
}

TEST(connection_survives_unlink)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
	int l = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0)), c = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
	char buf[4];
	CHECK_OK(bind(l, (void *)&a, sizeof a));
	CHECK_OK(listen(l, 1));
	CHECK_OK(connect(c, (void *)&a, sizeof a));
	CHECK_OK(rename("sock", "moved"));
	CHECK_ERRNO(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a), ENOENT);
	strcpy(a.sun_path, "moved");
	CHECK_OK(connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (void *)&a, sizeof a));
	CHECK_OK(unlink("moved"));
	int s = CHECK_OK(accept(l, NULL, NULL));
	CHECK_EQ(write(c, "hi", 2), 2);
	CHECK_EQ(read(s, buf, 4), 2);
	CHECK_ERRNO(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, 2 + 4000), EINVAL);
}

TEST(open_of_socket_file)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
	int l = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_OK(bind(l, (void *)&a, sizeof a));
	CHECK_ERRNO(open("sock", O_RDWR), ENXIO);
	int fd = CHECK_OK(open("sock", O_PATH));
	struct stat st;
	CHECK_OK(fstat(fd, &st));
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_ERRNO(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a), EADDRINUSE);
	write_file("plain", "x");
	strcpy(a.sun_path, "plain");
	CHECK_ERRNO(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a), ECONNREFUSED);
}

TEST(datagram_disconnect)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX}, b = {.sun_family = AF_UNSPEC};
	socklen_t len = sizeof a;
	int one = CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0)), two = CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
	CHECK_OK(bind(one, (void *)&a, sizeof(sa_family_t)));
	CHECK_OK(getsockname(one, (void *)&a, &len));
	CHECK_EQ(len, 8);
	CHECK_OK(connect(two, (void *)&a, len));
	CHECK_EQ(send(two, "x", 1, 0), 1);
	CHECK_OK(connect(two, (void *)&b, sizeof b));
	CHECK_ERRNO(send(two, "x", 1, 0), ENOTCONN);
	CHECK_ERRNO(getpeername(two, (void *)&a, &len), ENOTCONN);
}

TEST(seqpacket_end_and_boundaries)
{
	int s[2];
	char buf[16];
	pair(SOCK_SEQPACKET, s);
	CHECK_EQ(send(s[0], "abcdef", 6, 0), 6);
	CHECK_EQ(send(s[0], "", 0, 0), 0);
	CHECK_EQ(send(s[0], "gh", 2, MSG_EOR), 2);
	struct iovec iov = {buf, 3};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	CHECK_EQ(recvmsg(s[1], &m, 0), 3);
	CHECK(m.msg_flags & MSG_TRUNC);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 0);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 2);
	close(s[0]);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 0);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERRNO(send(s[1], "x", 1, 0), EPIPE);
}

static int send_fds(int sock, const int *fds, int n)
{
	char control[CMSG_SPACE(sizeof(int) * 300)] = {0};
	struct iovec iov = {"x", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	return sendmsg(sock, &m, MSG_DONTWAIT);
}

TEST(rights_are_limited)
{
	int s[2], fds[254];
	pair(SOCK_STREAM, s);
	for (int i = 0; i < 254; i++)
		fds[i] = s[0];
	CHECK_ERRNO(send_fds(s[0], fds, 254), EINVAL);
	CHECK_EQ(send_fds(s[0], fds, 253), 1);
	fds[0] = 9999;
	CHECK_ERRNO(send_fds(s[0], fds, 1), EBADF);
}

/* Sockets that only hold each other are let go of: making very many of them must not fail. */
TEST(cycles_are_collected)
{
	for (int i = 0; i < 3000; i++) {
		int a[2], b[2];
		pair(SOCK_DGRAM, a);
		pair(SOCK_DGRAM, b);
		int r1 = send_fds(a[0], b, 2), r2 = send_fds(b[0], a, 2);
		if (r1 < 0 || r2 < 0)
			FAIL("round %d: %s", i, errname(errno));
		close(a[0]);
		close(a[1]);
		close(b[0]);
		close(b[1]);
	}
}

TEST(outq_of_datagrams)
{
	int s[2], n = -1;
	char buf[8];
	pair(SOCK_DGRAM, s);
	CHECK_EQ(send(s[0], "abc", 3, 0), 3);
	CHECK_OK(ioctl(s[0], TIOCOUTQ, &n));
	CHECK_GT(n, 0);
	CHECK_OK(ioctl(s[1], FIONREAD, &n));
	CHECK_EQ(n, 3);
	CHECK_EQ(recv(s[1], buf, 8, 0), 3);
	CHECK_OK(ioctl(s[0], TIOCOUTQ, &n));
	CHECK_EQ(n, 0);
}

TEST(peer_groups)
{
	int s[2];
	gid_t groups[64];
	socklen_t len = sizeof groups;
	pair(SOCK_STREAM, s);
	int n = getgroups(64, groups);
	CHECK_OK(getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, groups, &len));
	CHECK_EQ(len, n * sizeof(gid_t));
	CHECK_ERRNO(getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERGROUPS, groups, &len), ENODATA);
}

TEST(epoll_edges_of_streams)
{
	int s[2], ep = CHECK_OK(epoll_create1(0));
	struct epoll_event e = {.events = EPOLLIN | EPOLLET | EPOLLRDHUP}, got;
	char buf[8];
	pair(SOCK_STREAM, s);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, s[1], &e));
	CHECK_EQ(write(s[0], "ab", 2), 2);
	CHECK_EQ(epoll_wait(ep, &got, 1, 1000), 1);
	CHECK_EQ(read(s[1], buf, 1), 1);
	CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
	CHECK_EQ(write(s[0], "c", 1), 1);
	CHECK_EQ(epoll_wait(ep, &got, 1, 1000), 1);
	CHECK_OK(shutdown(s[0], SHUT_WR));
	CHECK_EQ(epoll_wait(ep, &got, 1, 1000), 1);
	CHECK(got.events & EPOLLRDHUP);
	close(s[0]);
	CHECK_EQ(epoll_wait(ep, &got, 1, 1000), 1);
	CHECK(got.events & EPOLLHUP);
}
