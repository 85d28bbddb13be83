/* alone: runs a program in network, IPC and UTS namespaces of its own, the loopback device up, so that what other programs on
 * this machine do (ports, abstract socket names, System V objects) is nothing to it.
 *
 *   alone UID PROGRAM [ARG...]     UID 0: stay what we are; otherwise become that user, with no other groups
 *
 * Exit code 125 and a reason on standard error if the machine does not allow it. The program keeps our process id. */
#define _GNU_SOURCE
#include <net/if.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 125;
}

int main(int argc, char **argv)
{
	struct ifreq lo = {.ifr_name = "lo"};
	if (argc < 3)
		return 125;
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return fail("unshare");
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0 || ioctl(s, SIOCGIFFLAGS, &lo) < 0)
		return fail("lo");
	lo.ifr_flags |= IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &lo) < 0)
		return fail("lo up");
	close(s);
	unsigned uid = atoi(argv[1]);
	if (uid && (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
		return fail("setuid");
	execvp(argv[2], argv + 2);
	return fail(argv[2]);
}
