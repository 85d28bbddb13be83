/* Options and ioctls of inet sockets beyond what everyday programs use. */
#include "check.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int tcp(void) { return CHECK_OK(socket(AF_INET, SOCK_STREAM, 0)); }
static int udp(void) { return CHECK_OK(socket(AF_INET, SOCK_DGRAM, 0)); }
static int udp6(void) { return CHECK_OK(socket(AF_INET6, SOCK_DGRAM, 0)); }

static int port_of(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port : ((struct sockaddr_in6 *)&a)->sin6_port);
}

static int bound(int fd)
{
	struct sockaddr_in a = local(0);
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	return fd;
}

static int s[2], listener;
static void connected(void)
{
	struct sockaddr_in a;
	listener = bound(tcp());
	CHECK_OK(listen(listener, 5));
	s[0] = tcp();
	a = local(port_of(listener));
	CHECK_OK(connect(s[0], (void *)&a, sizeof a));
	s[1] = CHECK_OK(accept(listener, NULL, NULL));
}

static int get(int fd, int level, int name)
{
	int v = -12345;
	socklen_t len = sizeof v;
	if (getsockopt(fd, level, name, &v, &len) < 0)
		FAIL("getsockopt(%d, %d) %s", level, name, errname(errno));
	return v;
}

static int set(int fd, int level, int name, int v)
{
	return setsockopt(fd, level, name, &v, sizeof v);
}

TEST(buffer_sizes_double_and_have_limits)
{
	int fd = udp();
	CHECK_OK(set(fd, SOL_SOCKET, SO_SNDBUF, 10000));
	CHECK_EQ(get(fd, SOL_SOCKET, SO_SNDBUF), 20000);
	CHECK_OK(set(fd, SOL_SOCKET, SO_SNDBUF, 1));
	CHECK_EQ(get(fd, SOL_SOCKET, SO_SNDBUF), 4608);
	CHECK_OK(set(fd, SOL_SOCKET, SO_RCVBUF, 10000));
	CHECK_EQ(get(fd, SOL_SOCKET, SO_RCVBUF), 20000);
	CHECK_OK(set(fd, SOL_SOCKET, SO_RCVBUF, 1));
	CHECK_EQ(get(fd, SOL_SOCKET, SO_RCVBUF), 2304);
	CHECK_OK(set(fd, SOL_SOCKET, SO_RCVBUF, -1));
	CHECK_GE(get(fd, SOL_SOCKET, SO_RCVBUF), 425984);
}

TEST(read_only_options)
{
	int fd = tcp();
	int names[] = {SO_TYPE, SO_ERROR, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_SNDLOWAT};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		CHECK_ERRNO(set(fd, SOL_SOCKET, names[i], 1), ENOPROTOOPT);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_SNDLOWAT), 1);
	CHECK_OK(listen(fd, 1));
	CHECK_EQ(get(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	CHECK_ERRNO(set(fd, SOL_SOCKET, 9999, 1), ENOPROTOOPT);
	CHECK_ERRNO(set(fd, 9999, 1, 1), ENOPROTOOPT);
}

TEST(lengths_of_values)
{
	int fd = tcp(), v = 1;
	char byte = 7;
	socklen_t len = 1;
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, 3), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, -1), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, BAD, 4), EFAULT);
	CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 1));
	CHECK_EQ(get(fd, IPPROTO_IP, IP_TTL), 7);
	CHECK_OK(getsockopt(fd, IPPROTO_IP, IP_TTL, &byte, &len));
	CHECK_EQ(len, 1);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &byte, 1), EINVAL);
	len = 2;
	v = -1;
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &len));
	CHECK_EQ(len, 2);
	CHECK_EQ(v & 0xffff, SOCK_STREAM);
	CHECK_EQ(v >> 16, -1);
	len = 100;
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &len));
	CHECK_EQ(len, 4);
	len = -1;
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &len), EINVAL);
	len = 4;
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_TYPE, BAD, &len), EFAULT);
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, BAD), EFAULT);
}

TEST(timeouts)
{
	int fd = tcp();
	struct timeval t = {0, 1000000}, got;
	socklen_t len = sizeof got;
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), EDOM);
	t = (struct timeval){3, 500000};
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t));
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &got, &len));
	CHECK_EQ(got.tv_sec, 3);
	CHECK_EQ(got.tv_usec, 500000);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, 8), EINVAL);
	t = (struct timeval){-1, 0};
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len));
	CHECK_EQ(got.tv_sec, 0);
}

TEST(bind_to_device)
{
	NEED_ROOT();
	char name[IFNAMSIZ] = "?";
	socklen_t len = sizeof name;
	int fd = udp();
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	CHECK_EQ(len, 0);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "none99", 6), ENODEV);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
	len = sizeof name;
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	CHECK_STR(name, "lo");
	CHECK_EQ(len, 3);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_BINDTOIFINDEX), (int)if_nametoindex("lo"));
	len = 2;
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len), EINVAL);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
	CHECK_EQ(get(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 0);
}

TEST(rcvlowat_holds_readiness_back)
{
	char buf[16];
	connected();
	CHECK_OK(set(s[1], SOL_SOCKET, SO_RCVLOWAT, 5));
	CHECK_EQ(get(s[1], SOL_SOCKET, SO_RCVLOWAT), 5);
	CHECK_EQ(write(s[0], "abc", 3), 3);
	struct pollfd p = {s[1], POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 50), 0);
	CHECK_EQ(write(s[0], "de", 2), 2);
	CHECK_EQ(poll(&p, 1, 2000), 1);
	CHECK_EQ(read(s[1], buf, sizeof buf), 5);
}

TEST(receive_waits_for_lowat)
{
	char buf[16];
	connected();
	CHECK_OK(set(s[1], SOL_SOCKET, SO_RCVLOWAT, 4));
	pid_t pid = xfork();
	if (pid == 0) {
		for (int i = 0; i < 4; i++) {
			msleep(20);
			if (write(s[0], "x", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	CHECK_EQ(read(s[1], buf, sizeof buf), 4);
	CHECK_EQ(wait_exit(pid), 0);
}

/* The control message of `level` and `type` that comes with the next message. */
static ssize_t receive_cmsg(int fd, int level, int type, void *data, size_t size)
{
	char buf[64], control[256];
	struct iovec iov = {buf, sizeof buf};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	CHECK_OK(recvmsg(fd, &m, 0));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == level && c->cmsg_type == type) {
			size_t n = c->cmsg_len - CMSG_LEN(0);
			memcpy(data, CMSG_DATA(c), n < size ? n : size);
			return n;
		}
	return -1;
}

static int server, client;
static void udp_pair(void)
{
	server = bound(udp());
	client = bound(udp());
	struct sockaddr_in a = local(port_of(server));
	CHECK_OK(connect(client, (void *)&a, sizeof a));
}

TEST(timestamps)
{
	udp_pair();
	struct timeval tv = {0};
	struct timespec ts = {0};
	CHECK_OK(set(server, SOL_SOCKET, SO_TIMESTAMP, 1));
	CHECK_EQ(send(client, "x", 1, 0), 1);
	CHECK_EQ(receive_cmsg(server, SOL_SOCKET, SCM_TIMESTAMP, &tv, sizeof tv), sizeof tv);
	CHECK_LE(labs(tv.tv_sec - time(NULL)), 2);
	CHECK_OK(set(server, SOL_SOCKET, SO_TIMESTAMPNS, 1));
	CHECK_EQ(get(server, SOL_SOCKET, SO_TIMESTAMP), 0);
	CHECK_EQ(get(server, SOL_SOCKET, SO_TIMESTAMPNS), 1);
	CHECK_EQ(send(client, "x", 1, 0), 1);
	CHECK_EQ(receive_cmsg(server, SOL_SOCKET, SCM_TIMESTAMPNS, &ts, sizeof ts), sizeof ts);
	CHECK_LE(labs(ts.tv_sec - time(NULL)), 2);
	CHECK_OK(set(server, SOL_SOCKET, SO_TIMESTAMPNS, 0));
	CHECK_EQ(get(server, SOL_SOCKET, SO_TIMESTAMPNS), 0);
}

TEST(stamp_ioctls)
{
	udp_pair();
	char buf[8];
	struct timeval tv = {0};
	struct timespec ts = {0};
	CHECK_ERRNO(ioctl(server, 0x8906, &tv), ENOENT);
	CHECK_EQ(send(client, "x", 1, 0), 1);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 1);
	CHECK_OK(ioctl(server, 0x8906, &tv));
	CHECK_LE(labs(tv.tv_sec - time(NULL)), 2);
	CHECK_OK(ioctl(server, 0x8907, &ts));
	CHECK_LE(labs(ts.tv_sec - time(NULL)), 2);
}

TEST(tos_and_ttl)
{
	udp_pair();
	int v = 0;
	unsigned char byte = 0;
	CHECK_OK(set(server, IPPROTO_IP, IP_RECVTTL, 1));
	CHECK_OK(set(client, IPPROTO_IP, IP_TTL, 42));
	CHECK_EQ(send(client, "x", 1, 0), 1);
	CHECK_EQ(receive_cmsg(server, IPPROTO_IP, IP_TTL, &v, sizeof v), 4);
	CHECK_EQ(v, 42);
	CHECK_OK(set(server, IPPROTO_IP, IP_RECVTOS, 1));
	CHECK_OK(set(client, IPPROTO_IP, IP_TOS, 0x10));
	CHECK_EQ(get(client, IPPROTO_IP, IP_TOS), 0x10);
	CHECK_EQ(send(client, "x", 1, 0), 1);
	CHECK_EQ(receive_cmsg(server, IPPROTO_IP, IP_TOS, &byte, 1), 1);
	CHECK_EQ(byte, 0x10);
	CHECK_ERRNO(set(client, IPPROTO_IP, IP_TTL, 0), EINVAL);
	CHECK_ERRNO(set(client, IPPROTO_IP, IP_TTL, 256), EINVAL);
	CHECK_OK(set(client, IPPROTO_IP, IP_TTL, -1));
	CHECK_EQ(get(client, IPPROTO_IP, IP_TTL), 64);
	int t = tcp();
	CHECK_OK(set(t, IPPROTO_IP, IP_TOS, 0xff));
	CHECK_EQ(get(t, IPPROTO_IP, IP_TOS), 0xfc);
}

TEST(tos_sets_priority)
{
	int fd = udp();
	CHECK_OK(set(fd, IPPROTO_IP, IP_TOS, 0x10));
	CHECK_EQ(get(fd, SOL_SOCKET, SO_PRIORITY), 6);
	CHECK_OK(set(fd, SOL_SOCKET, SO_PRIORITY, 3));
	CHECK_EQ(get(fd, SOL_SOCKET, SO_PRIORITY), 3);
}

TEST(mtu_discover)
{
	int fd = udp();
	for (int v = IP_PMTUDISC_DONT; v <= IP_PMTUDISC_PROBE; v++) {
		CHECK_OK(set(fd, IPPROTO_IP, IP_MTU_DISCOVER, v));
		CHECK_EQ(get(fd, IPPROTO_IP, IP_MTU_DISCOVER), v);
	}
	CHECK_ERRNO(set(fd, IPPROTO_IP, IP_MTU_DISCOVER, 6), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_IP, IP_MTU_DISCOVER, -1), EINVAL);
	int v;
	socklen_t len = sizeof v;
	CHECK_ERRNO(getsockopt(fd, IPPROTO_IP, IP_MTU, &v, &len), ENOTCONN);
	udp_pair();
	CHECK_EQ(get(client, IPPROTO_IP, IP_MTU), 65535);
}

TEST(multicast_membership)
{
	int fd = udp();
	struct ip_mreqn m = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3"), .imr_ifindex = if_nametoindex("lo")};
	struct ip_mreq old = {.imr_multiaddr.s_addr = inet_addr("239.1.2.4"), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), EADDRINUSE);
	CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &old, sizeof old));
	CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m));
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m), EADDRNOTAVAIL);
	m.imr_multiaddr.s_addr = inet_addr("10.0.0.1");
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), EINVAL);
	m = (struct ip_mreqn){.imr_multiaddr.s_addr = inet_addr("239.1.2.3"), .imr_ifindex = 9999};
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), ENODEV);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, 4), EINVAL);
	CHECK_ERRNO(setsockopt(tcp(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &old, sizeof old), EPROTO);
}

TEST(multicast_over_loopback)
{
	char buf[8];
	int in = udp(), out = udp();
	struct timeval t = {2, 0};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	struct ip_mreqn m = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3"), .imr_ifindex = if_nametoindex("lo")};
	CHECK_OK(bind(in, (void *)&a, sizeof a));
	CHECK_OK(setsockopt(in, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	CHECK_OK(setsockopt(in, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	CHECK_OK(setsockopt(out, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof m));
	a.sin_port = htons(port_of(in));
	a.sin_addr.s_addr = inet_addr("239.1.2.3");
	CHECK_EQ(sendto(out, "group", 5, 0, (void *)&a, sizeof a), 5);
	CHECK_EQ(recv(in, buf, sizeof buf, 0), 5);
	CHECK_OK(set(out, IPPROTO_IP, IP_MULTICAST_TTL, 5));
	CHECK_EQ(get(out, IPPROTO_IP, IP_MULTICAST_TTL), 5);
	CHECK_ERRNO(set(out, IPPROTO_IP, IP_MULTICAST_TTL, 256), EINVAL);
	CHECK_ERRNO(set(tcp(), IPPROTO_IP, IP_MULTICAST_TTL, 1), EINVAL);
	CHECK_OK(set(out, IPPROTO_IP, IP_MULTICAST_LOOP, 0));
	CHECK_EQ(get(out, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
}

TEST(protocol_independent_groups)
{
	int fd = udp();
	struct group_req g = {.gr_interface = if_nametoindex("lo")};
	struct sockaddr_in *a = (void *)&g.gr_group;
	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("239.9.9.9")};
	CHECK_OK(setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &g, sizeof g));
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &g, sizeof g), EADDRINUSE);
	CHECK_OK(setsockopt(fd, IPPROTO_IP, MCAST_LEAVE_GROUP, &g, sizeof g));
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, MCAST_LEAVE_GROUP, &g, sizeof g), EADDRNOTAVAIL);
	int six = udp6();
	struct sockaddr_in6 *a6 = (void *)&g.gr_group;
	*a6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
	inet_pton(AF_INET6, "ff12::7", &a6->sin6_addr);
	CHECK_OK(setsockopt(six, IPPROTO_IPV6, MCAST_JOIN_GROUP, &g, sizeof g));
	CHECK_OK(setsockopt(six, IPPROTO_IPV6, MCAST_LEAVE_GROUP, &g, sizeof g));
}

TEST(ipv6_options)
{
	int fd = udp6();
	CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 64);
	CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 1);
	CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 1);
	CHECK_OK(set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9));
	CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 9);
	CHECK_ERRNO(set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256), EINVAL);
	CHECK_OK(set(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x20));
	CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_TCLASS), 0x20);
	CHECK_ERRNO(set(fd, IPPROTO_IPV6, IPV6_TCLASS, 256), EINVAL);
	CHECK_OK(set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
	CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
	CHECK_OK(set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1));
	CHECK_OK(set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1));
	CHECK_OK(set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1));
	CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_DONTFRAG), 1);
	CHECK_OK(set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, 2));
	CHECK_ERRNO(set(fd, IPPROTO_IPV6, 9999, 1), ENOPROTOOPT);
	CHECK_ERRNO(set(udp(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1), ENOPROTOOPT);
}

TEST(ipv6_group_membership)
{
	int fd = udp6();
	struct ipv6_mreq m = {.ipv6mr_interface = if_nametoindex("lo")};
	inet_pton(AF_INET6, "ff12::5", &m.ipv6mr_multiaddr);
	CHECK_OK(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof m));
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof m), EADDRINUSE);
	CHECK_OK(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &m, sizeof m));
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &m, sizeof m), EADDRNOTAVAIL);
	inet_pton(AF_INET6, "::1", &m.ipv6mr_multiaddr);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof m), EINVAL);
}

TEST(tcp_option_ranges)
{
	int fd = tcp();
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_NODELAY, 5));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_CORK, 1));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_CORK), 1);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 10);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 40000), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 0), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_KEEPCNT, 128), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_SYNCNT, 0), EINVAL);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1234));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1234);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, -1), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_MAXSEG, 10), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_MAXSEG, 40000), EINVAL);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_MAXSEG, 1000));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_QUICKACK), 1);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_QUICKACK, 0));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_QUICKACK), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), 60);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_LINGER2, 30));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), 30);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_LINGER2, -1));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), -1);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 1);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 4));
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 7);
	CHECK_OK(set(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 1));
	CHECK_GT(get(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP), 1);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, 9999, 1), ENOPROTOOPT);
	CHECK_ERRNO(set(udp(), IPPROTO_TCP, TCP_NODELAY, 1), ENOPROTOOPT);
}

TEST(congestion_and_ulp)
{
	char name[32] = "";
	socklen_t len = sizeof name;
	int fd = tcp();
	CHECK_OK(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	CHECK_STR(name, "reno");
	CHECK_EQ(len, 16);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8), ENOENT);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "nonesuch", 8), ENOENT);
	len = sizeof name;
	CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &len));
	CHECK_EQ(len, 0);
}

TEST(peek_offset_of_udp)
{
	udp_pair();
	char buf[8];
	CHECK_EQ(get(server, SOL_SOCKET, SO_PEEK_OFF), -1);
	CHECK_OK(set(server, SOL_SOCKET, SO_PEEK_OFF, 0));
	CHECK_EQ(send(client, "abcdef", 6, 0), 6);
	CHECK_EQ(recv(server, buf, 2, MSG_PEEK), 2);
	CHECK_MEM(buf, "ab", 2);
	CHECK_EQ(recv(server, buf, 2, MSG_PEEK), 2);
	CHECK_MEM(buf, "cd", 2);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 6);
	CHECK_EQ(get(server, SOL_SOCKET, SO_PEEK_OFF), 0);
}

TEST(cork_joins_datagrams)
{
	udp_pair();
	char buf[32];
	CHECK_EQ(send(client, "one ", 4, MSG_MORE), 4);
	CHECK_ERRNO(recv(server, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(client, "two", 3, 0), 3);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 7);
	CHECK_MEM(buf, "one two", 7);
}

TEST(iptables_options_are_unknown)
{
	NEED_ROOT();
	char buf[84] = "filter";
	socklen_t len = sizeof buf;
	int fd = CHECK_OK(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
	int r = getsockopt(fd, IPPROTO_IP, 64 /* IPT_SO_GET_INFO */, buf, &len);
	CHECK(r == 0 || errno == ENOPROTOOPT || errno == ENOENT);
}

TEST(urgent_data_raises_sigurg)
{
	connected();
	sigset_t set_;
	siginfo_t info;
	struct timespec t = {2, 0};
	sigemptyset(&set_);
	sigaddset(&set_, SIGURG);
	sigprocmask(SIG_BLOCK, &set_, NULL);
	signal(SIGURG, SIG_DFL);
	struct sigaction sa = {.sa_handler = (void (*)(int))abort};
	sigaction(SIGURG, &sa, NULL);
	CHECK_OK(fcntl(s[1], F_SETOWN, getpid()));
	CHECK_EQ(send(s[0], "x", 1, MSG_OOB), 1);
	CHECK_EQ(sigtimedwait(&set_, &info, &t), SIGURG);
}

TEST(async_io_raises_sigio)
{
	connected();
	sigset_t set_;
	siginfo_t info;
	struct timespec t = {2, 0};
	int on = 1;
	sigemptyset(&set_);
	sigaddset(&set_, SIGIO);
	sigprocmask(SIG_BLOCK, &set_, NULL);
	CHECK_OK(fcntl(s[1], F_SETOWN, getpid()));
	CHECK_OK(ioctl(s[1], FIOASYNC, &on));
	CHECK(fcntl(s[1], F_GETFL) & O_ASYNC);
	CHECK_EQ(write(s[0], "x", 1), 1);
	CHECK_EQ(sigtimedwait(&set_, &info, &t), SIGIO);
}

TEST(zerocopy)
{
	connected();
	int r = set(s[0], SOL_SOCKET, SO_ZEROCOPY, 1);
	CHECK_EQ(r, 0);
	CHECK_EQ(get(s[0], SOL_SOCKET, SO_ZEROCOPY), 1);
	char buf[8];
	CHECK_EQ(send(s[0], "zc", 2, 0), 2);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 2);
}

TEST(connect_twice_and_while_listening)
{
	connected();
	struct sockaddr_in a = local(port_of(listener));
	CHECK_ERRNO(connect(s[0], (void *)&a, sizeof a), EISCONN);
	CHECK_ERRNO(connect(listener, (void *)&a, sizeof a), EISCONN);
	CHECK_ERRNO(listen(s[0], 1), EINVAL);
	CHECK_ERRNO(bind(s[0], (void *)&a, sizeof a), EINVAL);
}

TEST(reuseport_spreads_connections)
{
	int l[4], got[4] = {0};
	struct sockaddr_in a = local(0);
	for (int i = 0; i < 4; i++) {
		l[i] = CHECK_OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
		CHECK_OK(set(l[i], SOL_SOCKET, SO_REUSEPORT, 1));
		CHECK_OK(bind(l[i], (void *)&a, sizeof a));
		a = local(port_of(l[0]));
		CHECK_OK(listen(l[i], 200));
	}
	for (int i = 0; i < 200; i++)
		CHECK_OK(connect(tcp(), (void *)&a, sizeof a));
	int all = 0;
	for (int i = 0; i < 4; i++)
		while (accept(l[i], NULL, NULL) >= 0)
			got[i]++, all++;
	CHECK_EQ(all, 200);
	for (int i = 0; i < 4; i++)
		CHECK_GT(got[i], 10);
}

TEST(interface_requests)
{
	struct ifreq r = {0};
	int fd = udp();
	strcpy(r.ifr_name, "lo");
	CHECK_OK(ioctl(fd, SIOCGIFINDEX, &r));
	CHECK_EQ(r.ifr_ifindex, (int)if_nametoindex("lo"));
	CHECK_OK(ioctl(fd, SIOCGIFFLAGS, &r));
	CHECK_EQ(r.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING), IFF_UP | IFF_LOOPBACK | IFF_RUNNING);
	CHECK_OK(ioctl(fd, SIOCGIFADDR, &r));
	CHECK_EQ(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_OK(ioctl(fd, SIOCGIFNETMASK, &r));
	CHECK_EQ(((struct sockaddr_in *)&r.ifr_netmask)->sin_addr.s_addr, htonl(0xff000000));
	CHECK_OK(ioctl(fd, SIOCGIFMTU, &r));
	CHECK_EQ(r.ifr_mtu, 65536);
	CHECK_OK(ioctl(fd, SIOCGIFHWADDR, &r));
	CHECK_EQ(r.ifr_hwaddr.sa_family, 772);
	CHECK_OK(ioctl(fd, SIOCGIFMETRIC, &r));
	CHECK_EQ(r.ifr_metric, 0);
	strcpy(r.ifr_name, "none99");
	CHECK_ERRNO(ioctl(fd, SIOCGIFFLAGS, &r), ENODEV);
	CHECK_ERRNO(ioctl(fd, SIOCGIFADDR, &r), ENODEV);
	CHECK_ERRNO(ioctl(fd, SIOCGIFINDEX, BAD), EFAULT);
	CHECK_ERRNO(ioctl(fd, 0x12345, 0), ENOTTY);
}

TEST(interface_changes_need_privilege)
{
	become_user();
	struct ifreq r = {0};
	int fd = udp();
	strcpy(r.ifr_name, "lo");
	CHECK_ERRNO(ioctl(fd, SIOCSIFFLAGS, &r), EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &r), EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCSIFMTU, &r), EPERM);
}

TEST(queue_sizes)
{
	connected();
	int n = -1;
	CHECK_EQ(write(s[0], "12345", 5), 5);
	CHECK_OK(ioctl(s[1], FIONREAD, &n));
	CHECK_EQ(n, 5);
	CHECK_OK(ioctl(s[0], TIOCOUTQ, &n));
	CHECK_EQ(n, 0);
	CHECK_ERRNO(ioctl(listener, FIONREAD, &n), EINVAL);
	udp_pair();
	CHECK_EQ(send(client, "123", 3, 0), 3);
	CHECK_EQ(send(client, "12345", 5, 0), 5);
	CHECK_OK(ioctl(server, FIONREAD, &n));
	CHECK_EQ(n, 3);
}

TEST(recvmmsg_limits)
{
	udp_pair();
	struct mmsghdr m[4] = {0};
	char buf[4][8];
	struct iovec iov[4];
	for (int i = 0; i < 4; i++) {
		iov[i] = (struct iovec){buf[i], 8};
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	CHECK_EQ(send(client, "a", 1, 0), 1);
	CHECK_EQ(send(client, "bc", 2, 0), 2);
	CHECK_EQ(recvmmsg(server, m, 4, MSG_WAITFORONE, NULL), 2);
	CHECK_EQ(m[0].msg_len, 1);
	CHECK_EQ(m[1].msg_len, 2);
	struct timespec bad = {-1, 0}, t = {0, 100000000};
	CHECK_ERRNO(recvmmsg(server, m, 1, 0, &bad), EINVAL);
	bad = (struct timespec){0, 1000000000};
	CHECK_ERRNO(recvmmsg(server, m, 1, 0, &bad), EINVAL);
	CHECK_ERRNO(recvmmsg(server, m, 1, MSG_DONTWAIT, &t), EAGAIN);
	CHECK_EQ(recvmmsg(server, m, 0, 0, NULL), 0);
	CHECK_EQ(sendmmsg(client, m, 0, 0), 0);
	CHECK_EQ(sendmmsg(client, m, 2, 0), 2);
	CHECK_EQ(m[0].msg_len, 8);
}

TEST(proc_net_tables)
{
	char buf[16384], want[64];
	connected();
	int port = port_of(listener), u = bound(udp());
	snprintf(want, sizeof want, "0100007F:%04X 00000000:0000 0A", port);
	CHECK_GT(read_file("/proc/net/tcp", buf, sizeof buf), 0);
	CHECK(strstr(buf, want));
	snprintf(want, sizeof want, "0100007F:%04X 00000000:0000 07", port_of(u));
	CHECK_GT(read_file("/proc/net/udp", buf, sizeof buf), 0);
	CHECK(strstr(buf, want));
	const char *files[] = {"tcp6", "udp6", "raw", "raw6", "icmp", "icmp6", "unix", "packet", "netlink", "dev", "route", "if_inet6",
		"ipv6_route", "snmp", "snmp6", "netstat", "sockstat", "sockstat6", "protocols", "arp", "dev_mcast", "igmp", "ptype", "udplite", "fib_trie"};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(want, sizeof want, "/proc/net/%s", files[i]);
		if (access(want, R_OK) < 0)
			FAIL("%s is not there", want);
	}
	CHECK_GT(read_file("/proc/net/netstat", buf, sizeof buf), 0);
	CHECK(strstr(buf, "TcpExt: "));
	CHECK(strstr(buf, "IpExt: "));
	CHECK_GT(read_file("/proc/net/dev", buf, sizeof buf), 0);
	CHECK(strstr(buf, "    lo:"));
}
