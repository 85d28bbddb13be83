/* Netlink: routing, socket diagnosis, events. */
#include "check.h"
#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

static int route_socket(void)
{
	struct timeval t = {2, 0};
	int fd = CHECK_OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	return fd;
}

struct request {
	struct nlmsghdr h;
	union {
		struct rtgenmsg gen;
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
		char space[256];
	};
};

static struct request make(int type, int flags, size_t body)
{
	return (struct request){.h = {.nlmsg_len = NLMSG_LENGTH(body), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 77}};
}

static void add(struct request *r, int type, const void *data, size_t n)
{
	struct rtattr *a = (void *)((char *)r + NLMSG_ALIGN(r->h.nlmsg_len));
	a->rta_type = type;
	a->rta_len = RTA_LENGTH(n);
	memcpy(RTA_DATA(a), data, n);
	r->h.nlmsg_len = NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static char answer[65536];
static ssize_t answer_len;

static struct nlmsghdr *ask(int fd, struct request *r)
{
	CHECK_EQ(send(fd, r, r->h.nlmsg_len, 0), r->h.nlmsg_len);
	answer_len = CHECK_OK(recv(fd, answer, sizeof answer, 0));
	return (void *)answer;
}

/* The error in an acknowledgement. */
static int error_of(struct nlmsghdr *h)
{
	if (h->nlmsg_type != NLMSG_ERROR)
		FAIL("type got %d want NLMSG_ERROR", h->nlmsg_type);
	return -((struct nlmsgerr *)NLMSG_DATA(h))->error;
}

static int count_dump(int fd, struct request *r, int type)
{
	int n = 0;
	struct nlmsghdr *h = ask(fd, r);
	for (;;) {
		ssize_t left = answer_len;
		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			CHECK_EQ(h->nlmsg_seq, 77);
			if (h->nlmsg_type == NLMSG_DONE)
				return n;
			if (h->nlmsg_type == NLMSG_ERROR)
				FAIL("dump got error %s", errname(error_of(h)));
			CHECK(h->nlmsg_flags & NLM_F_MULTI);
			n += h->nlmsg_type == type;
		}
		answer_len = CHECK_OK(recv(fd, answer, sizeof answer, 0));
		h = (void *)answer;
	}
}

TEST(names)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK};
	socklen_t len = sizeof a;
	int fd = route_socket(), other = route_socket();
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(len, sizeof a);
	CHECK_EQ(a.nl_pid, getpid());
	CHECK_ERRNO(bind(other, (void *)&a, sizeof a), EADDRINUSE);
	a.nl_pid = 0;
	CHECK_OK(bind(other, (void *)&a, sizeof a));
	CHECK_OK(getsockname(other, (void *)&a, &len));
	CHECK_NE(a.nl_pid, getpid());
	a.nl_family = AF_INET;
	CHECK_ERRNO(bind(route_socket(), (void *)&a, sizeof a), EINVAL);
	CHECK_ERRNO(bind(route_socket(), (void *)&a, 4), EINVAL);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
	CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
}

TEST(dumps)
{
	int fd = route_socket();
	struct request r = make(RTM_GETLINK, NLM_F_DUMP, sizeof r.link);
	CHECK_GE(count_dump(fd, &r, RTM_NEWLINK), 1);
	r = make(RTM_GETADDR, NLM_F_DUMP, sizeof r.addr);
	CHECK_GE(count_dump(fd, &r, RTM_NEWADDR), 1);
	r = make(RTM_GETROUTE, NLM_F_DUMP, sizeof r.route);
	CHECK_GE(count_dump(fd, &r, RTM_NEWROUTE), 1);
	r = make(RTM_GETNEIGH, NLM_F_DUMP, 12);
	count_dump(fd, &r, RTM_NEWNEIGH);
	r = make(RTM_GETRULE, NLM_F_DUMP, sizeof r.route);
	CHECK_GE(count_dump(fd, &r, RTM_NEWRULE), 1);
}

TEST(link_by_name_and_index)
{
	int fd = route_socket();
	struct request r = make(RTM_GETLINK, 0, sizeof r.link);
	add(&r, IFLA_IFNAME, "lo", 3);
	struct nlmsghdr *h = ask(fd, &r);
	CHECK_EQ(h->nlmsg_type, RTM_NEWLINK);
	struct ifinfomsg *link = NLMSG_DATA(h);
	CHECK_EQ(link->ifi_index, (int)if_nametoindex("lo"));
	CHECK_EQ(link->ifi_type, 772);
	CHECK(link->ifi_flags & IFF_LOOPBACK);
	r = make(RTM_GETLINK, 0, sizeof r.link);
	r.link.ifi_index = 9999;
	CHECK_EQ(error_of(ask(fd, &r)), ENODEV);
	r = make(RTM_GETLINK, 0, sizeof r.link);
	CHECK_EQ(error_of(ask(fd, &r)), EINVAL);
}

TEST(route_to_loopback)
{
	int fd = route_socket();
	struct request r = make(RTM_GETROUTE, 0, sizeof r.route);
	uint32_t to = htonl(INADDR_LOOPBACK);
	r.route.rtm_family = AF_INET;
	r.route.rtm_dst_len = 32;
	add(&r, RTA_DST, &to, 4);
	struct nlmsghdr *h = ask(fd, &r);
	CHECK_EQ(h->nlmsg_type, RTM_NEWROUTE);
	struct rtmsg *m = NLMSG_DATA(h);
	CHECK_EQ(m->rtm_type, RTN_LOCAL);
	CHECK_EQ(m->rtm_table, RT_TABLE_MAIN);
	int left = RTM_PAYLOAD(h), oif = 0;
	for (struct rtattr *a = RTM_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == RTA_OIF)
			oif = *(int *)RTA_DATA(a);
	CHECK_EQ(oif, (int)if_nametoindex("lo"));
}

/* Only a network administrator may send to other ports than the kernel's. */
static int is_net_admin(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[2];
	CHECK_OK(syscall(SYS_capget, &header, caps));
	return caps[0].effective >> CAP_NET_ADMIN & 1;
}

TEST(acknowledgements_and_errors)
{
	int fd = route_socket();
	struct request r = make(NLMSG_NOOP, NLM_F_ACK, 0);
	CHECK_EQ(error_of(ask(fd, &r)), 0);
	r = make(RTM_GETLINK, NLM_F_ACK, sizeof r.link);
	add(&r, IFLA_IFNAME, "lo", 3);
	CHECK_EQ(ask(fd, &r)->nlmsg_type, RTM_NEWLINK);
	CHECK_OK(recv(fd, answer, sizeof answer, 0));
	CHECK_EQ(error_of((void *)answer), 0);
	r = make(1000, 0, 0);
	CHECK_EQ(error_of(ask(fd, &r)), EOPNOTSUPP);
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_pid = 0x7ffffff0};
	CHECK_ERRNO(sendto(fd, &r, r.h.nlmsg_len, 0, (void *)&a, sizeof a), is_net_admin() ? ECONNREFUSED : EPERM);
}

TEST(changes_need_privilege)
{
	become_user();
	int fd = route_socket();
	struct request r = make(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, sizeof r.addr);
	CHECK_EQ(error_of(ask(fd, &r)), EPERM);
	r = make(RTM_NEWLINK, NLM_F_ACK, sizeof r.link);
	CHECK_EQ(error_of(ask(fd, &r)), EPERM);
	r = make(RTM_DELROUTE, NLM_F_ACK, sizeof r.route);
	CHECK_EQ(error_of(ask(fd, &r)), EPERM);
}

TEST(peek_and_truncation)
{
	int fd = route_socket();
	struct request r = make(RTM_GETLINK, 0, sizeof r.link);
	add(&r, IFLA_IFNAME, "lo", 3);
	CHECK_EQ(send(fd, &r, r.h.nlmsg_len, 0), r.h.nlmsg_len);
	ssize_t whole = CHECK_OK(recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC));
	CHECK_GT(whole, 100);
	struct iovec iov = {answer, 20};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	CHECK_EQ(recvmsg(fd, &m, MSG_TRUNC), whole);
	CHECK(m.msg_flags & MSG_TRUNC);
	CHECK_ERRNO(recv(fd, answer, sizeof answer, MSG_DONTWAIT), EAGAIN);
}

TEST(user_to_user)
{
	char buf[16];
	struct sockaddr_nl a = {.nl_family = AF_NETLINK}, from;
	socklen_t len = sizeof a;
	int one = CHECK_OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK)), two = CHECK_OK(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_USERSOCK));
	CHECK_OK(bind(one, (void *)&a, sizeof a));
	CHECK_OK(getsockname(one, (void *)&a, &len));
	CHECK_EQ(sendto(two, "hello", 5, 0, (void *)&a, sizeof a), 5);
	len = sizeof from;
	CHECK_EQ(recvfrom(one, buf, sizeof buf, 0, (void *)&from, &len), 5);
	CHECK_MEM(buf, "hello", 5);
	len = sizeof a;
	CHECK_OK(getsockname(two, (void *)&a, &len));
	CHECK_EQ(from.nl_pid, a.nl_pid);
	close(one);
	CHECK_ERRNO(sendto(two, "x", 1, 0, (void *)&from, 4), EINVAL);
}

TEST(options)
{
	int fd = route_socket(), on = 1, got = -1;
	socklen_t len = sizeof got;
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on));
	CHECK_OK(getsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &got, &len));
	CHECK_EQ(got, 1);
	CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, 99, &on, sizeof on), ENOPROTOOPT);
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_PKTINFO, &on, sizeof on));
	on = RTNLGRP_LINK;
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &on, sizeof on));
	struct sockaddr_nl a;
	len = sizeof a;
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(a.nl_groups, 1u << (RTNLGRP_LINK - 1));
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &on, sizeof on));
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(a.nl_groups, 0);
	on = 100000;
	CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &on, sizeof on), EINVAL);
}

TEST(credentials_of_the_kernel)
{
	int fd = route_socket(), on = 1;
	char control[64];
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	struct request r = make(RTM_GETLINK, 0, sizeof r.link);
	add(&r, IFLA_IFNAME, "lo", 3);
	CHECK_EQ(send(fd, &r, r.h.nlmsg_len, 0), r.h.nlmsg_len);
	struct iovec iov = {answer, sizeof answer};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	CHECK_OK(recvmsg(fd, &m, 0));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c != NULL);
	CHECK_EQ(c->cmsg_type, SCM_CREDENTIALS);
	struct ucred *u = (void *)CMSG_DATA(c);
	CHECK_EQ(u->pid, 0);
	CHECK_EQ(u->uid, 0);
}

static int diag_socket(void)
{
	struct timeval t = {2, 0};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	if (fd < 0 && errno == EPROTONOSUPPORT)
		SKIP("no NETLINK_SOCK_DIAG");
	CHECK_OK(setsockopt(CHECK_OK(fd), SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	return fd;
}

/* The state of the TCP or UDP socket with this local port in a dump; -1 if it is not there. */
static int diag_state(int protocol, int port, ino_t ino)
{
	int fd = diag_socket(), found = -1;
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = {
		.h = {.nlmsg_len = sizeof q, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 77},
		.r = {.sdiag_family = AF_INET, .sdiag_protocol = protocol, .idiag_states = -1},
	};
	CHECK_EQ(send(fd, &q, sizeof q, 0), sizeof q);
	for (;;) {
		ssize_t left = CHECK_OK(recv(fd, answer, sizeof answer, 0));
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE) {
				close(fd);
				return found;
			}
			if (h->nlmsg_type == NLMSG_ERROR && error_of(h) == ENOENT)
				SKIP("no inet_diag");
			CHECK_EQ(h->nlmsg_type, SOCK_DIAG_BY_FAMILY);
			struct inet_diag_msg *m = NLMSG_DATA(h);
			CHECK_EQ(m->idiag_family, AF_INET);
			if (ntohs(m->id.idiag_sport) == port && m->idiag_inode == ino)
				found = m->idiag_state;
		}
	}
}

static ino_t ino_of(int fd)
{
	struct stat st;
	CHECK_OK(fstat(fd, &st));
	return st.st_ino;
}

static int port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	return ntohs(a.sin_port);
}

TEST(diagnosis_of_tcp)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int l = CHECK_OK(socket(AF_INET, SOCK_STREAM, 0)), c = CHECK_OK(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_OK(bind(l, (void *)&a, sizeof a));
	CHECK_OK(listen(l, 5));
	a.sin_port = htons(port_of(l));
	CHECK_OK(connect(c, (void *)&a, sizeof a));
	CHECK_EQ(diag_state(IPPROTO_TCP, port_of(l), ino_of(l)), 10);
	CHECK_EQ(diag_state(IPPROTO_TCP, port_of(c), ino_of(c)), 1);
}

TEST(diagnosis_of_unix)
{
	int fd = diag_socket(), s[2], found = 0;
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} q = {
		.h = {.nlmsg_len = sizeof q, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 77},
		.r = {.sdiag_family = AF_UNIX, .udiag_states = -1, .udiag_show = UDIAG_SHOW_PEER},
	};
	CHECK_EQ(send(fd, &q, sizeof q, 0), sizeof q);
	for (int done = 0; !done;) {
		ssize_t left = CHECK_OK(recv(fd, answer, sizeof answer, 0));
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE) {
				done = 1;
				break;
			}
			if (h->nlmsg_type == NLMSG_ERROR && error_of(h) == ENOENT)
				SKIP("no unix_diag");
			struct unix_diag_msg *m = NLMSG_DATA(h);
			if (m->udiag_ino != ino_of(s[0]))
				continue;
			found = 1;
			CHECK_EQ(m->udiag_type, SOCK_STREAM);
			struct rtattr *at = (void *)(m + 1);
			CHECK_EQ(at->rta_type, UNIX_DIAG_PEER);
			CHECK_EQ(*(uint32_t *)RTA_DATA(at), ino_of(s[1]));
		}
	}
	CHECK_EQ(found, 1);
}

TEST(events_can_be_listened_for)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = CHECK_OK(socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_ERRNO(recv(fd, answer, sizeof answer, 0), EAGAIN);
}
