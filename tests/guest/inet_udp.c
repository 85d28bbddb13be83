/* UDP over the loopback. */
#include "check.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int udp(void)
{
	return CHECK_OK(socket(AF_INET, SOCK_DGRAM, 0));
}

static int port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	return ntohs(a.sin_port);
}

static int bound(void)
{
	struct sockaddr_in a = local(0);
	int fd = udp();
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	return fd;
}

static ssize_t send_port(int fd, int port, const void *data, size_t n)
{
	struct sockaddr_in a = local(port);
	return sendto(fd, data, n, 0, (void *)&a, sizeof a);
}

static int connect_port(int fd, int port)
{
	struct sockaddr_in a = local(port);
	return connect(fd, (void *)&a, sizeof a);
}

static int poll_for(int fd, short events, int ms)
{
	struct pollfd f = {fd, events, 0};
	CHECK_OK(poll(&f, 1, ms));
	return f.revents;
}

TEST(datagrams_keep_boundaries_and_sender)
{
	char buf[16] = "";
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	int a = bound(), b = bound();
	CHECK_EQ(send_port(a, port_of(b), "one", 3), 3);
	CHECK_EQ(send_port(a, port_of(b), "", 0), 0);
	CHECK_EQ(send_port(a, port_of(b), "three", 5), 5);
	CHECK_EQ(recvfrom(b, buf, sizeof buf, 0, (void *)&from, &len), 3);
	CHECK_EQ(len, sizeof from);
	CHECK_EQ(ntohs(from.sin_port), port_of(a));
	CHECK_EQ(ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK);
	CHECK_EQ(recv(b, buf, sizeof buf, 0), 0);
	CHECK_EQ(recv(b, buf, sizeof buf, 0), 5);
}

TEST(sending_binds_a_port)
{
	int a = udp(), b = bound();
	CHECK_EQ(port_of(a), 0);
	CHECK_EQ(send_port(a, port_of(b), "x", 1), 1);
	CHECK_NE(port_of(a), 0);
}

TEST(truncation)
{
	char buf[4];
	struct iovec v = {buf, 4};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	int a = udp(), b = bound();
	for (int i = 0; i < 3; i++)
		CHECK_EQ(send_port(a, port_of(b), "abcdefgh", 8), 8);
	CHECK_EQ(recv(b, buf, 4, 0), 4);
	CHECK_EQ(recv(b, buf, 4, MSG_TRUNC), 8);
	CHECK_EQ(recvmsg(b, &m, 0), 4);
	CHECK_EQ(m.msg_flags, MSG_TRUNC);
}

TEST(peek)
{
	char buf[4];
	int a = udp(), b = bound();
	CHECK_EQ(send_port(a, port_of(b), "ab", 2), 2);
	CHECK_EQ(recv(b, buf, 4, MSG_PEEK), 2);
	CHECK_EQ(recv(b, buf, 4, 0), 2);
	CHECK_ERRNO(recv(b, buf, 4, MSG_DONTWAIT), EAGAIN);
}

TEST(errors)
{
	struct sockaddr_in a = local(1);
	char c;
	int fd = udp();
	CHECK_ERRNO(send(fd, "x", 1, 0), EDESTADDRREQ);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&a, 4), EINVAL);
	a.sin_port = 0;
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&a, sizeof a), EINVAL);
	a.sin_family = 77;
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&a, sizeof a), EAFNOSUPPORT);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, BAD, sizeof a), EFAULT);
	CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
	CHECK_ERRNO(accept(fd, NULL, NULL), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(fd, SHUT_RD), ENOTCONN);
	CHECK_ERRNO(recv(fd, &c, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(getpeername(fd, (void *)&a, &(socklen_t){sizeof a}), ENOTCONN);
	CHECK_ERRNO(send_port(fd, 9, BAD, 1), EFAULT);
}

TEST(message_size_limit)
{
	static char big[65536];
	int a = udp(), b = bound();
	CHECK_ERRNO(send_port(a, port_of(b), big, 65508), EMSGSIZE);
	CHECK_EQ(send_port(a, port_of(b), big, 65507), 65507);
	CHECK_EQ(recv(b, big, sizeof big, 0), 65507);
}

TEST(connected_pair)
{
	char buf[4];
	struct sockaddr_in peer;
	socklen_t len = sizeof peer;
	int a = bound(), b = bound(), stranger = udp();
	CHECK_OK(connect_port(a, port_of(b)));
	CHECK_OK(getpeername(a, (void *)&peer, &len));
	CHECK_EQ(ntohs(peer.sin_port), port_of(b));
	CHECK_EQ(write(a, "hi", 2), 2);
	CHECK_EQ(read(b, buf, 4), 2);
	CHECK_EQ(send_port(stranger, port_of(a), "no", 2), 2);
	CHECK_EQ(send_port(b, port_of(a), "ok", 2), 2);
	CHECK_EQ(read(a, buf, 4), 2);
	CHECK_MEM(buf, "ok", 2); /* the stranger's was dropped */
	CHECK_ERRNO(recv(a, buf, 4, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send_port(a, port_of(b), "to", 2), 2); /* another destination is allowed */
}

TEST(disconnect)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in peer;
	socklen_t len = sizeof peer;
	char buf[4];
	int a = bound(), b = bound();
	CHECK_OK(connect_port(a, port_of(b)));
	CHECK_OK(connect(a, &none, sizeof none));
	CHECK_ERRNO(getpeername(a, (void *)&peer, &len), ENOTCONN);
	CHECK_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
	CHECK_EQ(send_port(udp(), port_of(a), "y", 1), 1);
	CHECK_EQ(recv(a, buf, 4, 0), 1);
}

TEST(refused_is_told_to_connected_sockets)
{
	char c;
	int gone = bound(), port = port_of(gone), a = udp();
	CHECK_OK(connect_port(a, port));
	close(gone);
	CHECK_EQ(send(a, "x", 1, 0), 1);
	CHECK_EQ(poll_for(a, POLLIN, 5000) & POLLERR, POLLERR);
	CHECK_ERRNO(recv(a, &c, 1, MSG_DONTWAIT), ECONNREFUSED);
	CHECK_ERRNO(recv(a, &c, 1, MSG_DONTWAIT), EAGAIN); /* once */
	int b = udp();
	CHECK_EQ(send_port(b, port, "x", 1), 1);
	msleep(60);
	CHECK_ERRNO(recv(b, &c, 1, MSG_DONTWAIT), EAGAIN); /* not told without a connection */
}

TEST(address_in_use_and_reuse)
{
	struct sockaddr_in a;
	int fd = bound(), other = udp(), one = 1;
	a = local(port_of(fd));
	CHECK_ERRNO(bind(other, (void *)&a, sizeof a), EADDRINUSE);
	CHECK_OK(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	CHECK_ERRNO(bind(other, (void *)&a, sizeof a), EADDRINUSE);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	CHECK_OK(bind(other, (void *)&a, sizeof a)); /* both agree: for UDP they share */
}

TEST(reuseport)
{
	int a = udp(), b = udp(), one = 1;
	struct sockaddr_in addr = local(0);
	CHECK_OK(setsockopt(a, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one));
	CHECK_OK(setsockopt(b, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one));
	CHECK_OK(bind(a, (void *)&addr, sizeof addr));
	addr = local(port_of(a));
	CHECK_OK(bind(b, (void *)&addr, sizeof addr));
	for (int i = 0; i < 20; i++)
		CHECK_EQ(send_port(udp(), port_of(a), "x", 1), 1);
	int got = 0;
	char c;
	while (recv(a, &c, 1, MSG_DONTWAIT) == 1 || recv(b, &c, 1, MSG_DONTWAIT) == 1)
		got++;
	CHECK_EQ(got, 20);
}

TEST(broadcast_needs_permission)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7fffffff)};
	int fd = udp(), one = 1;
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&a, sizeof a), EACCES); /* 127.255.255.255: the loopback's own */
	CHECK_ERRNO(connect(fd, (void *)&a, sizeof a), EACCES);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof one));
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&a, sizeof a), 1);
}

TEST(blocking_receive_wakes)
{
	int fd = bound();
	pid_t pid = xfork();
	if (pid == 0) {
		char c;
		_exit(recv(fd, &c, 1, 0) == 1 ? 0 : 1);
	}
	wait_asleep(pid);
	CHECK_EQ(send_port(udp(), port_of(fd), "x", 1), 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(receive_timeout)
{
	struct timeval tv = {0, 120000};
	char c;
	int fd = bound();
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	long long start = now_ms();
	CHECK_ERRNO(recv(fd, &c, 1, 0), EAGAIN);
	CHECK_GE(now_ms() - start, 119);
}

TEST(poll_and_fionread)
{
	int fd = bound(), n = -1;
	CHECK_EQ(poll_for(fd, POLLIN | POLLOUT, 0), POLLOUT);
	CHECK_OK(ioctl(fd, FIONREAD, &n));
	CHECK_EQ(n, 0);
	CHECK_EQ(send_port(udp(), port_of(fd), "abc", 3), 3);
	CHECK_EQ(send_port(udp(), port_of(fd), "de", 2), 2);
	CHECK_EQ(poll_for(fd, POLLIN, 5000), POLLIN);
	CHECK_OK(ioctl(fd, FIONREAD, &n));
	CHECK_EQ(n, 3); /* the next datagram only */
}

TEST(receive_buffer_drops_when_full)
{
	int fd = bound(), size = 4096, a = udp(), n = 0;
	char buf[1000] = {0};
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
	for (int i = 0; i < 100; i++)
		CHECK_EQ(send_port(a, port_of(fd), buf, sizeof buf), sizeof buf); /* the sender never hears of it */
	while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) == sizeof buf)
		n++;
	CHECK_GE(n, 1);
	CHECK_LT(n, 50);
}

TEST(pktinfo_and_ttl_control_messages)
{
	int fd = bound(), one = 1;
	char b;
	union {
		char buf[256];
		struct cmsghdr align;
	} u;
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof u.buf};
	CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one));
	CHECK_EQ(send_port(udp(), port_of(fd), "x", 1), 1);
	CHECK_EQ(recvmsg(fd, &m, 0), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c != NULL);
	CHECK_EQ(c->cmsg_level, IPPROTO_IP);
	CHECK_EQ(c->cmsg_type, IP_PKTINFO);
	struct in_pktinfo *info = (void *)CMSG_DATA(c);
	CHECK_EQ(ntohl(info->ipi_addr.s_addr), INADDR_LOOPBACK);
	CHECK_EQ(info->ipi_ifindex, if_nametoindex("lo"));
}

TEST(mmsg)
{
	int a = udp(), b = bound();
	char buf[3][4];
	struct iovec o[3] = {{"1", 1}, {"22", 2}, {"333", 3}}, i[3] = {{buf[0], 4}, {buf[1], 4}, {buf[2], 4}};
	struct mmsghdr out[3], in[3];
	memset(out, 0, sizeof out);
	memset(in, 0, sizeof in);
	for (int k = 0; k < 3; k++) {
		out[k].msg_hdr.msg_iov = &o[k];
		in[k].msg_hdr.msg_iov = &i[k];
		out[k].msg_hdr.msg_iovlen = in[k].msg_hdr.msg_iovlen = 1;
	}
	CHECK_OK(connect_port(a, port_of(b)));
	CHECK_EQ(sendmmsg(a, out, 3, 0), 3);
	CHECK_EQ(recvmmsg(b, in, 3, MSG_WAITFORONE, NULL), 3);
	for (int k = 0; k < 3; k++)
		CHECK_EQ(in[k].msg_len, k + 1);
}

TEST(shutdown_of_connected)
{
	char c;
	int a = bound(), b = bound();
	CHECK_OK(connect_port(a, port_of(b)));
	CHECK_OK(shutdown(a, SHUT_RD));
	CHECK_EQ(recv(a, &c, 1, 0), 0);
	CHECK_OK(shutdown(a, SHUT_WR));
	CHECK_ERRNO(send(a, "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(loopback_interface)
{
	struct ifreq r = {.ifr_name = "lo"};
	int fd = udp();
	CHECK_OK(ioctl(fd, SIOCGIFFLAGS, &r));
	CHECK_EQ(r.ifr_flags & (IFF_UP | IFF_LOOPBACK), IFF_UP | IFF_LOOPBACK);
	CHECK_OK(ioctl(fd, SIOCGIFADDR, &r));
	CHECK_EQ(ntohl(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr), INADDR_LOOPBACK);
	CHECK_OK(ioctl(fd, SIOCGIFINDEX, &r));
	CHECK_EQ(r.ifr_ifindex, 1);
	CHECK_OK(ioctl(fd, SIOCGIFMTU, &r));
	CHECK_GE(r.ifr_mtu, 1500);
	strcpy(r.ifr_name, "nosuch0");
	CHECK_ERRNO(ioctl(fd, SIOCGIFFLAGS, &r), ENODEV);
}

TEST(ipv6_datagrams)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, from;
	socklen_t len = sizeof from;
	char c;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd < 0 && errno == EAFNOSUPPORT)
		SKIP("no IPv6");
	CHECK_OK(fd);
	if (bind(fd, (void *)&a, sizeof a) < 0)
		SKIP("no IPv6 loopback address");
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	int s = CHECK_OK(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_EQ(sendto(s, "6", 1, 0, (void *)&a, sizeof a), 1);
	len = sizeof from;
	CHECK_EQ(recvfrom(fd, &c, 1, 0, (void *)&from, &len), 1);
	CHECK_EQ(len, sizeof from);
	CHECK_EQ(from.sin6_family, AF_INET6);
	CHECK_MEM(&from.sin6_addr, &in6addr_loopback, 16);
}

TEST(ipv6_receives_mapped)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6}, from;
	socklen_t len = sizeof from;
	char c;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd < 0 && errno == EAFNOSUPPORT)
		SKIP("no IPv6");
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(send_port(udp(), ntohs(a.sin6_port), "4", 1), 1);
	CHECK_EQ(recvfrom(fd, &c, 1, 0, (void *)&from, &len), 1);
	CHECK(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
}
