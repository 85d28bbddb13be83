/* Lists the directory ARGV[1] twice and says what is in it: how many names, and a sum that depends on every one of them. If it may be
 * changed, a new name must show and go again. Reading must not look like a change. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char buffer[32768];

struct entry {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

static long count;
static uint64_t sum;

static int list(int fd)
{
	count = 0;
	sum = 0;
	if (lseek(fd, 0, SEEK_SET) != 0)
		return -1;
	for (;;) {
		long len = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
		if (len <= 0)
			return (int)len;
		for (long at = 0; at < len;) {
			struct entry *entry = (struct entry *)(buffer + at);
			uint64_t hash = 14695981039346656037u;
			for (const char *c = entry->name; *c; c++)
				hash = (hash ^ (unsigned char)*c) * 1099511628211u;
			sum += hash * (entry->type + 1);
			count++;
			at += entry->reclen;
		}
	}
}

static int report(const char *what, int fd)
{
	struct stat before, after;
	if (fstat(fd, &before) || list(fd) || fstat(fd, &after)) {
		printf("%s: %s\n", what, strerror(errno));
		return 1;
	}
	int changed = before.st_ctim.tv_sec != after.st_ctim.tv_sec || before.st_ctim.tv_nsec != after.st_ctim.tv_nsec;
	printf("%s: %ld names, %016lx%s\n", what, count, sum, changed ? ", changed by reading" : "");
	return 0;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
	if (fd < 0 || report("first", fd) || report("again", fd))
		return 1;
	int made = openat(fd, "made here", O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (made < 0) {
		printf("%s\n", errno == EROFS ? "read-only" : strerror(errno));
		return 0;
	}
	close(made);
	int failed = report("with one more", fd);
	if (unlinkat(fd, "made here", 0))
		return 1;
	return failed || report("without it", fd);
}
