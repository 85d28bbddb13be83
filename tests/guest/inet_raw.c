/* Raw, ping and packet sockets, socket filters and error queues, over the loopback. */
#include "check.h"
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef ICMP_FILTER
#define ICMP_FILTER 1
#endif

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr_in6 local6(int port)
{
	return (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
}

static int with_timeout(int fd)
{
	struct timeval t = {2, 0};
	CHECK_OK(fd);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	return fd;
}

static int raw(int protocol)
{
	return with_timeout(socket(AF_INET, SOCK_RAW, protocol));
}

static int udp_at(int *port)
{
	struct sockaddr_in a = local(0);
	socklen_t len = sizeof a;
	int fd = with_timeout(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	*port = ntohs(a.sin_port);
	return fd;
}

static int closed_port(void)
{
	int port;
	close(udp_at(&port));
	return port;
}

static ssize_t send_port(int fd, int port, const void *data, size_t n)
{
	struct sockaddr_in a = local(port);
	return sendto(fd, data, n, 0, (void *)&a, sizeof a);
}

static uint16_t sum16(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint32_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

struct echo {
	struct icmphdr head;
	char text[8];
};

static struct echo request(int type, int id)
{
	struct echo e = {.head = {.type = type, .un.echo = {htons(id), htons(5)}}, .text = "echoed!"};
	e.head.checksum = sum16(&e, sizeof e);
	return e;
}

/* Other programs may ping too: only answers to `id` count. */
static ssize_t receive_icmp(int fd, int type, int id, char *buf, size_t size)
{
	for (;;) {
		ssize_t n = CHECK_OK(recv(fd, buf, size, 0));
		struct icmphdr *icmp = (void *)(buf + sizeof(struct iphdr));
		if (icmp->type == type && icmp->un.echo.id == htons(id))
			return n;
	}
}

TEST(raw_socket_errors)
{
	NEED_ROOT();
	CHECK_ERRNO(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
	int fd = raw(IPPROTO_ICMP);
	struct sockaddr_in a = local(0);
	CHECK_ERRNO(send(fd, "x", 1, 0), EDESTADDRREQ);
	CHECK_ERRNO(sendto(fd, "x", 1, MSG_OOB, (void *)&a, sizeof a), EOPNOTSUPP);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&a, 8), EINVAL);
	a.sin_family = AF_INET6;
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&a, sizeof a), EAFNOSUPPORT);
	static char big[70000];
	CHECK_ERRNO(send_port(fd, 0, big, sizeof big), EMSGSIZE);
	CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
	CHECK_ERRNO(accept(fd, NULL, NULL), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(fd, SHUT_RD), ENOTCONN);
	a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("203.0.113.7")};
	CHECK_ERRNO(bind(fd, (void *)&a, sizeof a), EADDRNOTAVAIL);
	CHECK_ERRNO(recv(fd, big, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(raw_needs_privilege)
{
	become_user();
	CHECK_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
	CHECK_ERRNO(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), EPERM);
	CHECK_ERRNO(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
	CHECK_ERRNO(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL)), EPERM);
}

TEST(raw_icmp_echo)
{
	NEED_ROOT();
	char buf[256];
	int fd = raw(IPPROTO_ICMP), id = 0x1000 + getpid() % 10000;
	struct echo e = request(ICMP_ECHO, id);
	CHECK_EQ(send_port(fd, 0, &e, sizeof e), sizeof e);
	/* The request comes by first. */
	CHECK_EQ(receive_icmp(fd, ICMP_ECHO, id, buf, sizeof buf), 20 + sizeof e);
	CHECK_EQ(receive_icmp(fd, ICMP_ECHOREPLY, id, buf, sizeof buf), 20 + sizeof e);
	struct iphdr *ip = (void *)buf;
	struct echo *reply = (void *)(buf + 20);
	CHECK_EQ(ip->version, 4);
	CHECK_EQ(ip->ihl, 5);
	CHECK_EQ(ntohs(ip->tot_len), 20 + sizeof e);
	CHECK_EQ(ip->protocol, IPPROTO_ICMP);
	CHECK_EQ(ip->saddr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(sum16(ip, 20), 0);
	CHECK_EQ(sum16(reply, sizeof *reply), 0);
	CHECK_STR(reply->text, "echoed!");
}

TEST(raw_names_are_protocols)
{
	NEED_ROOT();
	int fd = raw(IPPROTO_ICMP);
	struct sockaddr_in a = local(77);
	socklen_t len = sizeof a;
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(a.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(ntohs(a.sin_port), IPPROTO_ICMP);
	CHECK_ERRNO(getpeername(fd, (void *)&a, &len), ENOTCONN);
	int value;
	len = sizeof value;
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &len));
	CHECK_EQ(value, IPPROTO_ICMP);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
	CHECK_EQ(value, SOCK_RAW);
}

TEST(raw_icmp_filter)
{
	NEED_ROOT();
	char buf[256];
	int fd = raw(IPPROTO_ICMP), id = 0x1000 + getpid() % 10000;
	uint32_t filter = ~(1u << ICMP_ECHOREPLY), got = 0;
	socklen_t len = sizeof got;
	CHECK_OK(setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter));
	CHECK_OK(getsockopt(fd, SOL_RAW, ICMP_FILTER, &got, &len));
	CHECK_EQ(got, filter);
	struct echo e = request(ICMP_ECHO, id);
	CHECK_EQ(send_port(fd, 0, &e, sizeof e), sizeof e);
	CHECK_OK(recv(fd, buf, sizeof buf, 0));
	CHECK_EQ(((struct icmphdr *)(buf + 20))->type, ICMP_ECHOREPLY);
	CHECK_ERRNO(setsockopt(raw(IPPROTO_UDP), SOL_RAW, ICMP_FILTER, &filter, sizeof filter), EOPNOTSUPP);
}

TEST(raw_sees_datagrams)
{
	NEED_ROOT();
	char buf[256];
	int port, server = udp_at(&port), fd = raw(IPPROTO_UDP), client = with_timeout(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_EQ(send_port(client, port, "hello", 5), 5);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 5);
	struct udphdr *udp = (void *)(buf + 20);
	ssize_t n;
	do
		n = CHECK_OK(recv(fd, buf, sizeof buf, 0));
	while (ntohs(udp->dest) != port);
	CHECK_EQ(n, 33);
	CHECK_EQ(ntohs(udp->len), 13);
	CHECK_MEM(buf + 28, "hello", 5);
}

TEST(raw_udp_reaches_sockets)
{
	NEED_ROOT();
	char buf[64] = {0};
	int port, server = udp_at(&port), fd = raw(IPPROTO_UDP);
	struct udphdr *udp = (void *)buf;
	udp->source = htons(7777);
	udp->dest = htons(port);
	udp->len = htons(12);
	memcpy(buf + 8, "raw!", 4);
	CHECK_EQ(send_port(fd, 0, buf, 12), 12);
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	memset(buf, 0, sizeof buf);
	CHECK_EQ(recvfrom(server, buf, sizeof buf, 0, (void *)&from, &len), 4);
	CHECK_STR(buf, "raw!");
	CHECK_EQ(ntohs(from.sin_port), 7777);
}

TEST(raw_hdrincl)
{
	NEED_ROOT();
	char buf[256] = {0};
	int sender = CHECK_OK(socket(AF_INET, SOCK_RAW, IPPROTO_RAW)), receiver = raw(253), on;
	socklen_t len = sizeof on;
	CHECK_OK(getsockopt(sender, IPPROTO_IP, IP_HDRINCL, &on, &len));
	CHECK_EQ(on, 1);
	CHECK_OK(getsockopt(receiver, IPPROTO_IP, IP_HDRINCL, &on, &len));
	CHECK_EQ(on, 0);
	struct iphdr *ip = (void *)buf;
	*ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 33, .protocol = 253, .daddr = htonl(INADDR_LOOPBACK)};
	memcpy(buf + 20, "body", 4);
	CHECK_EQ(send_port(sender, 0, buf, 24), 24);
	memset(buf, 0, sizeof buf);
	CHECK_EQ(recv(receiver, buf, sizeof buf, 0), 24);
	CHECK_EQ(ip->ttl, 33);
	CHECK_EQ(ntohs(ip->tot_len), 24);
	CHECK_EQ(ip->saddr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(sum16(ip, 20), 0);
	CHECK_MEM(buf + 20, "body", 4);
	CHECK_ERRNO(send_port(sender, 0, buf, 10), EINVAL);
	CHECK_ERRNO(recv(sender, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
}

TEST(raw_bound_and_connected_choose)
{
	NEED_ROOT();
	char buf[64];
	int a = raw(253), b = raw(253), sender = raw(253);
	struct sockaddr_in to = local(0);
	to.sin_addr.s_addr = inet_addr("127.0.0.9");
	CHECK_OK(bind(a, (void *)&to, sizeof to));
	CHECK_EQ(send_port(sender, 0, "one", 3), 3);
	CHECK_ERRNO(recv(a, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(recv(b, buf, sizeof buf, 0), 23);
	CHECK_EQ(sendto(sender, "two", 3, 0, (void *)&to, sizeof to), 3);
	CHECK_EQ(recv(a, buf, sizeof buf, 0), 23);
	CHECK_OK(connect(sender, (void *)&to, sizeof to));
	CHECK_EQ(send(sender, "three", 5, 0), 5);
	CHECK_EQ(recv(a, buf, sizeof buf, MSG_PEEK), 25);
	CHECK_EQ(recv(a, buf, 21, MSG_TRUNC), 25);
}

TEST(raw_unreachable_port_is_told)
{
	NEED_ROOT();
	char buf[256];
	int fd = raw(IPPROTO_ICMP), client = with_timeout(socket(AF_INET, SOCK_DGRAM, 0)), port = closed_port();
	CHECK_EQ(send_port(client, port, "lost", 4), 4);
	struct icmphdr *icmp = (void *)(buf + 20);
	ssize_t n;
	struct udphdr *udp = (void *)(buf + 20 + 8 + 20);
	do
		n = CHECK_OK(recv(fd, buf, sizeof buf, 0));
	while (icmp->type != ICMP_DEST_UNREACH || ntohs(udp->dest) != port);
	CHECK_EQ(icmp->code, ICMP_PORT_UNREACH);
	CHECK_EQ(n, 20 + 8 + 20 + 8 + 4);
	CHECK_EQ(sum16(icmp, n - 20), 0);
}

TEST(raw6_icmp_echo)
{
	NEED_ROOT();
	char buf[256];
	int fd = with_timeout(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	struct icmp6_filter filter;
	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
	CHECK_OK(setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter));
	struct icmp6_hdr h = {.icmp6_type = ICMP6_ECHO_REQUEST};
	h.icmp6_id = htons(0x4321);
	struct sockaddr_in6 to = local6(0), from;
	socklen_t len = sizeof from;
	CHECK_EQ(sendto(fd, &h, sizeof h, 0, (void *)&to, sizeof to), sizeof h);
	CHECK_EQ(recvfrom(fd, buf, sizeof buf, 0, (void *)&from, &len), sizeof h);
	struct icmp6_hdr *reply = (void *)buf;
	CHECK_EQ(reply->icmp6_type, ICMP6_ECHO_REPLY);
	CHECK_EQ(reply->icmp6_id, htons(0x4321));
	CHECK_NE(reply->icmp6_cksum, 0);
	CHECK_EQ(len, sizeof from);
	CHECK(IN6_IS_ADDR_LOOPBACK(&from.sin6_addr));
	int at = 0;
	len = sizeof at;
	CHECK_OK(getsockopt(fd, IPPROTO_RAW, IPV6_CHECKSUM, &at, &len));
	CHECK_EQ(at, 2);
}

static void allow_pings(void)
{
	NEED_ROOT();
	int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);
	if (fd < 0)
		SKIP("no ping_group_range");
	CHECK_EQ(write(fd, "0\t100\n", 6), 6);
	close(fd);
}

TEST(ping_sockets)
{
	allow_pings();
	char buf[64];
	int fd = with_timeout(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	struct echo e = request(ICMP_ECHO, 999);
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	CHECK_EQ(send_port(fd, 0, &e, sizeof e), sizeof e);
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_NE(a.sin_port, 0);
	CHECK_EQ(recvfrom(fd, buf, sizeof buf, 0, (void *)&a, &len), sizeof e);
	struct echo *reply = (void *)buf;
	CHECK_EQ(reply->head.type, ICMP_ECHOREPLY);
	CHECK_EQ(reply->head.un.echo.sequence, htons(5));
	CHECK_STR(reply->text, "echoed!");
	CHECK_EQ(a.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	len = sizeof a;
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(reply->head.un.echo.id, a.sin_port);
	CHECK_ERRNO(recv(fd, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
	e.head.type = ICMP_ECHOREPLY;
	CHECK_ERRNO(send_port(fd, 0, &e, sizeof e), EINVAL);
	CHECK_ERRNO(send_port(fd, 0, &e, 7), EINVAL);
}

TEST(ping_identifiers_are_ports)
{
	char buf[64];
	allow_pings();
	int a = CHECK_OK(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)), b = CHECK_OK(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	struct sockaddr_in addr = local(4711);
	CHECK_OK(bind(a, (void *)&addr, sizeof addr));
	CHECK_ERRNO(bind(a, (void *)&addr, sizeof addr), EINVAL);
	/* Identifiers can be shared: the last one to come gets the answers. */
	CHECK_OK(bind(b, (void *)&addr, sizeof addr));
	struct echo e = request(ICMP_ECHO, 0);
	CHECK_EQ(send_port(a, 0, &e, sizeof e), sizeof e);
	CHECK_EQ(recv(with_timeout(b), buf, sizeof buf, 0), sizeof e);
	CHECK_ERRNO(recv(a, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
	close(b);
	CHECK_EQ(send_port(a, 0, &e, sizeof e), sizeof e);
	CHECK_EQ(recv(with_timeout(a), buf, sizeof buf, 0), sizeof e);
}

TEST(ping6_sockets)
{
	allow_pings();
	char buf[64];
	int fd = with_timeout(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6));
	struct icmp6_hdr h = {.icmp6_type = ICMP6_ECHO_REQUEST};
	struct sockaddr_in6 to = local6(0);
	CHECK_OK(connect(fd, (void *)&to, sizeof to));
	CHECK_EQ(send(fd, &h, sizeof h, 0), sizeof h);
	CHECK_EQ(recv(fd, buf, sizeof buf, 0), sizeof h);
	CHECK_EQ(((struct icmp6_hdr *)buf)->icmp6_type, ICMP6_ECHO_REPLY);
}

static struct sockaddr_ll loopback(int protocol)
{
	return (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = if_nametoindex("lo")};
}

static int packet(int type, int protocol)
{
	int fd = with_timeout(socket(AF_PACKET, type, 0));
	struct sockaddr_ll a = loopback(protocol);
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	return fd;
}

/* The next frame that carries a datagram to `port`. */
static ssize_t next_frame(int fd, char *buf, size_t size, size_t link, int port, struct sockaddr_ll *from)
{
	for (;;) {
		socklen_t len = sizeof *from;
		ssize_t n = CHECK_OK(recvfrom(fd, buf, size, 0, (void *)from, &len));
		struct iphdr *ip = (void *)(buf + link);
		struct udphdr *udp = (void *)(buf + link + 20);
		CHECK_EQ(len, sizeof *from);
		if (ip->version == 4 && ip->protocol == IPPROTO_UDP && ntohs(udp->dest) == port)
			return n;
	}
}

TEST(packet_socket_sees_both_ways)
{
	NEED_ROOT();
	char buf[256];
	struct sockaddr_ll from;
	int port, server = udp_at(&port), fd = packet(SOCK_RAW, ETH_P_ALL), client = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(send_port(client, port, "frame", 5), 5);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 5);
	CHECK_EQ(next_frame(fd, buf, sizeof buf, 14, port, &from), 14 + 28 + 5);
	CHECK_EQ(from.sll_pkttype, PACKET_OUTGOING);
	CHECK_EQ(next_frame(fd, buf, sizeof buf, 14, port, &from), 14 + 28 + 5);
	CHECK_EQ(from.sll_pkttype, PACKET_HOST);
	CHECK_EQ(from.sll_hatype, 772);
	CHECK_EQ(from.sll_halen, 6);
	CHECK_EQ(from.sll_protocol, htons(ETH_P_IP));
	CHECK_EQ(from.sll_ifindex, (int)if_nametoindex("lo"));
	CHECK_MEM(buf + 12, "\x08\x00\x45", 3);
	CHECK_MEM(buf + 42, "frame", 5);
}

TEST(packet_socket_cooked)
{
	NEED_ROOT();
	char buf[256];
	struct sockaddr_ll from;
	int port, server = udp_at(&port), fd = packet(SOCK_DGRAM, ETH_P_IP), client = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(send_port(client, port, "cooked", 6), 6);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 6);
	CHECK_EQ(next_frame(fd, buf, sizeof buf, 0, port, &from), 28 + 6);
	CHECK_EQ(from.sll_pkttype, PACKET_HOST);
	CHECK_MEM(buf + 28, "cooked", 6);
}

TEST(packet_socket_sends)
{
	NEED_ROOT();
	char buf[256], got[64];
	struct sockaddr_ll from;
	int port, server = udp_at(&port), tap = packet(SOCK_RAW, ETH_P_IP), sender = packet(SOCK_RAW, 0);
	int client = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(send_port(client, port, "first", 5), 5);
	CHECK_EQ(recv(server, got, sizeof got, 0), 5);
	ssize_t n = next_frame(tap, buf, sizeof buf, 14, port, &from);
	/* Whoever listens to frames sees it again; as a packet from 127.0.0.1 it is a martian and goes no further. */
	CHECK_EQ(send(sender, buf, n, 0), n);
	CHECK_EQ(next_frame(tap, buf, sizeof buf, 14, port, &from), n);
	struct sockaddr_ll to = loopback(ETH_P_IP);
	int cooked = socket(AF_PACKET, SOCK_DGRAM, 0);
	CHECK_EQ(sendto(cooked, buf + 14, n - 14, 0, (void *)&to, sizeof to), n - 14);
	CHECK_EQ(next_frame(tap, buf, sizeof buf, 14, port, &from), n);
	CHECK_ERRNO(recv(server, got, sizeof got, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(send(cooked, buf + 14, n - 14, 0), ENXIO);
	CHECK_ERRNO(send(sender, buf, 4, 0), EINVAL);
}

TEST(packet_socket_rules)
{
	NEED_ROOT();
	int fd = CHECK_OK(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
	struct sockaddr_ll a = loopback(ETH_P_ALL);
	socklen_t len = sizeof a;
	CHECK_ERRNO(bind(fd, (void *)&a, 12), EINVAL);
	a.sll_ifindex = 9999;
	CHECK_ERRNO(bind(fd, (void *)&a, sizeof a), ENODEV);
	a = loopback(ETH_P_ALL);
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(len, 18);
	CHECK_EQ(a.sll_halen, 6);
	CHECK_EQ(a.sll_hatype, 772);
	CHECK_EQ(a.sll_protocol, htons(ETH_P_ALL));
	CHECK_ERRNO(connect(fd, (void *)&a, sizeof a), EOPNOTSUPP);
	CHECK_ERRNO(getpeername(fd, (void *)&a, &len), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(fd, SHUT_RD), EOPNOTSUPP);
	CHECK_ERRNO(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
	struct packet_mreq m = {.mr_ifindex = if_nametoindex("lo"), .mr_type = PACKET_MR_PROMISC};
	CHECK_OK(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m));
	m.mr_ifindex = 9999;
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m), ENODEV);
	struct tpacket_stats stats;
	len = sizeof stats;
	CHECK_OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len));
	CHECK_EQ(len, sizeof stats);
}

#define STATEMENT(c, k) {c, 0, 0, k}
#define JUMP(c, k, t, f) {c, t, f, k}

static int attach(int fd, struct sock_filter *code, int n)
{
	struct sock_fprog p = {n, code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p);
}

TEST(filter_on_udp)
{
	char buf[64];
	int port, server = udp_at(&port), client = socket(AF_INET, SOCK_DGRAM, 0);
	/* The first byte after the UDP header is 'y': keep ten bytes of the segment. */
	struct sock_filter code[] = {
		STATEMENT(BPF_LD | BPF_B | BPF_ABS, 8),
		JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1),
		STATEMENT(BPF_RET | BPF_K, 10),
		STATEMENT(BPF_RET | BPF_K, 0),
	};
	CHECK_OK(attach(server, code, 4));
	CHECK_EQ(send_port(client, port, "no", 2), 2);
	CHECK_EQ(send_port(client, port, "yes", 3), 3);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 2);
	CHECK_MEM(buf, "ye", 2);
	CHECK_ERRNO(recv(server, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
	CHECK_OK(setsockopt(server, SOL_SOCKET, SO_DETACH_FILTER, &port, sizeof port));
	CHECK_ERRNO(setsockopt(server, SOL_SOCKET, SO_DETACH_FILTER, &port, sizeof port), ENOENT);
	CHECK_EQ(send_port(client, port, "no", 2), 2);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 2);
}

TEST(filter_errors_and_lock)
{
	int port, fd = udp_at(&port), on = 1, off = 0;
	struct sock_filter good[] = {STATEMENT(BPF_RET | BPF_K, 100)};
	struct sock_filter no_return[] = {STATEMENT(BPF_LD | BPF_W | BPF_ABS, 0)};
	struct sock_filter far[] = {JUMP(BPF_JMP | BPF_JA, 5, 0, 0), STATEMENT(BPF_RET | BPF_K, 1)};
	struct sock_filter divides[] = {STATEMENT(BPF_ALU | BPF_DIV | BPF_K, 0), STATEMENT(BPF_RET | BPF_K, 1)};
	struct sock_filter got[4];
	socklen_t len = 0;
	CHECK_ERRNO(attach(fd, no_return, 1), EINVAL);
	CHECK_ERRNO(attach(fd, far, 2), EINVAL);
	CHECK_ERRNO(attach(fd, divides, 2), EINVAL);
	CHECK_ERRNO(attach(fd, good, 0), EINVAL);
	CHECK_ERRNO(attach(fd, BAD, 1), EFAULT);
	CHECK_OK(attach(fd, good, 1));
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &len));
	CHECK_EQ(len, 1);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, got, &len));
	CHECK_MEM(got, good, sizeof good);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on));
	CHECK_ERRNO(attach(fd, good, 1), EPERM);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof on), EPERM);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &off, sizeof off), EPERM);
}

TEST(filter_on_unix_datagrams)
{
	char buf[16];
	int s[2];
	struct sock_filter code[] = {
		STATEMENT(BPF_LD | BPF_W | BPF_LEN, 0),
		JUMP(BPF_JMP | BPF_JGT | BPF_K, 4, 1, 0),
		STATEMENT(BPF_RET | BPF_K, 0),
		STATEMENT(BPF_RET | BPF_K, 6),
	};
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	CHECK_OK(attach(s[1], code, 4));
	CHECK_EQ(send(s[0], "abcd", 4, 0), 4);
	CHECK_EQ(send(s[0], "abcdefgh", 8, 0), 8);
	CHECK_EQ(recv(s[1], buf, sizeof buf, 0), 6);
	CHECK_ERRNO(recv(s[1], buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
}

TEST(filter_on_packets)
{
	NEED_ROOT();
	char buf[256];
	int port, server = udp_at(&port), fd = packet(SOCK_RAW, ETH_P_IP), client = socket(AF_INET, SOCK_DGRAM, 0);
	/* The destination port, found past an IP header of whatever length, and by the network offset. */
	struct sock_filter code[] = {
		STATEMENT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_NET_OFF + 9)),
		JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 4),
		STATEMENT(BPF_LDX | BPF_B | BPF_MSH, 14),
		STATEMENT(BPF_LD | BPF_H | BPF_IND, 16),
		JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 1),
		STATEMENT(BPF_RET | BPF_K, 0x40000),
		STATEMENT(BPF_RET | BPF_K, 0),
	};
	CHECK_OK(attach(fd, code, 7));
	int port2, other = udp_at(&port2);
	CHECK_EQ(send_port(client, port2, "other", 5), 5);
	CHECK_EQ(send_port(client, port, "mine", 4), 4);
	CHECK_EQ(recv(other, buf, sizeof buf, 0), 5);
	CHECK_EQ(recv(server, buf, sizeof buf, 0), 4);
	CHECK_EQ(recv(fd, buf, sizeof buf, 0), 14 + 28 + 4);
	CHECK_MEM(buf + 42, "mine", 4);
}

/* Receives from the error queue: what the control message says. */
static ssize_t take_error(int fd, void *buf, size_t size, void *name, socklen_t namelen, struct msghdr *m, int level, int type,
	char *control, size_t room)
{
	struct iovec iov = {buf, size};
	*m = (struct msghdr){.msg_name = name, .msg_namelen = namelen, .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = room};
	ssize_t n = recvmsg(fd, m, MSG_ERRQUEUE);
	if (n < 0)
		return n;
	CHECK(m->msg_flags & MSG_ERRQUEUE);
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	CHECK(c != NULL);
	CHECK_EQ(c->cmsg_level, level);
	CHECK_EQ(c->cmsg_type, type);
	return n;
}

TEST(error_queue_of_udp)
{
	char buf[64] = "", control[256];
	int fd = with_timeout(socket(AF_INET, SOCK_DGRAM, 0)), on = 1, port = closed_port();
	struct sockaddr_in to;
	struct msghdr m;
	CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
	CHECK_ERRNO(recv(fd, buf, sizeof buf, MSG_ERRQUEUE), EAGAIN);
	CHECK_EQ(send_port(fd, port, "lost", 4), 4);
	struct pollfd p = {fd, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 2000), 1);
	CHECK(p.revents & POLLERR);
	CHECK_EQ(take_error(fd, buf, sizeof buf, &to, sizeof to, &m, IPPROTO_IP, IP_RECVERR, control, sizeof control), 4);
	CHECK_STR(buf, "lost");
	CHECK_EQ(ntohs(to.sin_port), port);
	struct sock_extended_err *e = (void *)CMSG_DATA(CMSG_FIRSTHDR(&m));
	CHECK_EQ(e->ee_errno, ECONNREFUSED);
	CHECK_EQ(e->ee_origin, SO_EE_ORIGIN_ICMP);
	CHECK_EQ(e->ee_type, ICMP_DEST_UNREACH);
	CHECK_EQ(e->ee_code, ICMP_PORT_UNREACH);
	struct sockaddr_in *offender = (void *)SO_EE_OFFENDER(e);
	CHECK_EQ(offender->sin_family, AF_INET);
	CHECK_EQ(offender->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	/* With the queue empty the error is gone. */
	CHECK_ERRNO(recv(fd, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
	p.revents = 0;
	CHECK_EQ(poll(&p, 1, 0), 0);
}

TEST(error_queue_is_reported_once_without_it)
{
	char buf[64];
	int fd = with_timeout(socket(AF_INET, SOCK_DGRAM, 0)), on = 1, port = closed_port(), error = 0;
	socklen_t len = sizeof error;
	CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
	CHECK_EQ(send_port(fd, port, "a", 1), 1);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	CHECK_EQ(error, ECONNREFUSED);
	CHECK_EQ(send_port(fd, port, "b", 1), 1);
	CHECK_EQ(recv(fd, buf, sizeof buf, MSG_ERRQUEUE), 1);
	CHECK_EQ(buf[0], 'a');
	CHECK_EQ(recv(fd, buf, sizeof buf, MSG_ERRQUEUE), 1);
	CHECK_EQ(buf[0], 'b');
	CHECK_ERRNO(recv(fd, buf, sizeof buf, MSG_ERRQUEUE), EAGAIN);
	on = 0;
	CHECK_EQ(send_port(fd, port, "c", 1), 1);
	CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
	CHECK_ERRNO(recv(fd, buf, sizeof buf, MSG_ERRQUEUE), EAGAIN);
}

TEST(error_queue_of_udp6)
{
	char buf[64] = "", control[256];
	int fd = with_timeout(socket(AF_INET6, SOCK_DGRAM, 0)), on = 1;
	struct sockaddr_in6 to = local6(closed_port()), name;
	struct msghdr m;
	CHECK_OK(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on));
	CHECK_EQ(sendto(fd, "six", 3, 0, (void *)&to, sizeof to), 3);
	CHECK_EQ(take_error(fd, buf, sizeof buf, &name, sizeof name, &m, IPPROTO_IPV6, IPV6_RECVERR, control, sizeof control), 3);
	struct sock_extended_err *e = (void *)CMSG_DATA(CMSG_FIRSTHDR(&m));
	CHECK_EQ(e->ee_errno, ECONNREFUSED);
	CHECK_EQ(e->ee_origin, SO_EE_ORIGIN_ICMP6);
	CHECK_EQ(e->ee_type, 1);
	CHECK_EQ(e->ee_code, 4);
	CHECK_EQ(name.sin6_port, to.sin6_port);
	struct sockaddr_in6 *offender = (void *)SO_EE_OFFENDER(e);
	CHECK(IN6_IS_ADDR_LOOPBACK(&offender->sin6_addr));
}

TEST(port_range_is_settable)
{
	NEED_ROOT();
	char saved[64] = "";
	CHECK_GT(read_file("/proc/sys/net/ipv4/ip_local_port_range", saved, sizeof saved), 0);
	int fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
	if (fd < 0)
		SKIP("ip_local_port_range is read-only");
	CHECK_EQ(pwrite(fd, "41000 41003", 11, 0), 11);
	char now[64] = "";
	read_file("/proc/sys/net/ipv4/ip_local_port_range", now, sizeof now);
	int ports[4], bad = 0, socks[4];
	for (int i = 0; i < 4; i++)
		socks[i] = udp_at(&ports[i]);
	for (int i = 0; i < 4; i++)
		bad += ports[i] < 41000 || ports[i] > 41003;
	struct sockaddr_in a = local(0);
	int more = socket(AF_INET, SOCK_DGRAM, 0), r = bind(more, (void *)&a, sizeof a), e = errno;
	CHECK_ERRNO(pwrite(fd, "50 40", 5, 0), EINVAL);
	CHECK_EQ(pwrite(fd, saved, strlen(saved), 0), strlen(saved));
	CHECK_STR(now, "41000\t41003\n");
	CHECK_EQ(bad, 0);
	CHECK_EQ(r, -1);
	CHECK_EQ(e, EADDRINUSE);
	close(socks[0]);
}
