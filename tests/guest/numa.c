/* Memory policies: set_mempolicy(2), get_mempolicy(2), mbind(2), move_pages(2), migrate_pages(2). Node 0 is the only one sure to be there. */
#include "check.h"
#include <linux/mempolicy.h>
#include <sys/mman.h>

#define PG 4096

static long set(int mode, unsigned long *mask, unsigned long max) { return syscall(SYS_set_mempolicy, mode, mask, max); }
static long get(int *mode, unsigned long *mask, unsigned long max, void *addr, unsigned long flags)
{
	return syscall(SYS_get_mempolicy, mode, mask, max, addr, flags);
}
static long bind_range(void *p, unsigned long len, int mode, unsigned long *mask, unsigned long max, unsigned flags)
{
	return syscall(SYS_mbind, p, len, mode, mask, max, flags);
}

TEST(default_policy)
{
	int mode = 77;
	unsigned long mask[16];
	memset(mask, 0xff, sizeof mask);
	CHECK_OK(get(&mode, mask, 1024, NULL, 0));
	CHECK_EQ(mode, MPOL_DEFAULT);
	CHECK_EQ(mask[0], 0);
	CHECK_EQ(mask[15], 0);
	CHECK_OK(get(NULL, NULL, 0, NULL, 0));
	CHECK_ERRNO(get(&mode, mask, 0, NULL, 0), EINVAL);
	CHECK_ERRNO(get(BAD, NULL, 0, NULL, 0), EFAULT);
	CHECK_ERRNO(get(&mode, BAD, 1024, NULL, 0), EFAULT);
	CHECK_ERRNO(get(&mode, mask, 1024, mask, 0), EINVAL);
	CHECK_ERRNO(get(&mode, mask, 1024, NULL, 8), EINVAL);
	CHECK_ERRNO(get(&mode, mask, 1024, NULL, MPOL_F_NODE), EINVAL);
	CHECK_ERRNO(get(&mode, mask, 1024, NULL, MPOL_F_ADDR), EFAULT);
	CHECK_ERRNO(get(&mode, mask, 1024, NULL, MPOL_F_MEMS_ALLOWED | MPOL_F_NODE), EINVAL);
	CHECK_OK(get(&mode, mask, 1024, NULL, MPOL_F_MEMS_ALLOWED));
	CHECK_EQ(mask[0] & 1, 1);
}

TEST(set_and_get)
{
	int mode;
	unsigned long one = 1, none = 0, mask = 0;
	CHECK_OK(set(MPOL_BIND, &one, 2));
	CHECK_OK(get(&mode, &mask, 64, NULL, 0));
	CHECK_EQ(mode, MPOL_BIND);
	CHECK_EQ(mask, 1);
	CHILD {
		CHECK_OK(get(&mode, &mask, 64, NULL, 0));
		CHECK_EQ(mode, MPOL_BIND);
	} CHILD_END;
	CHECK_OK(set(MPOL_INTERLEAVE | MPOL_F_STATIC_NODES, &one, 64));
	CHECK_OK(get(&mode, &mask, 64, NULL, 0));
	CHECK_EQ(mode, MPOL_INTERLEAVE | MPOL_F_STATIC_NODES);
	CHECK_OK(get(&mode, NULL, 0, NULL, MPOL_F_NODE));
	CHECK_EQ(mode, 0);
	CHECK_OK(set(MPOL_PREFERRED, &none, 64)); /* is local */
	CHECK_OK(get(&mode, &mask, 64, NULL, 0));
	CHECK_EQ(mode, MPOL_LOCAL);
	CHECK_EQ(mask, 0);
	CHECK_OK(set(MPOL_LOCAL, NULL, 0));
	CHECK_OK(set(MPOL_DEFAULT, NULL, 0));
	CHECK_OK(get(&mode, NULL, 0, NULL, 0));
	CHECK_EQ(mode, MPOL_DEFAULT);
}

TEST(set_errors)
{
	unsigned long one = 1, none = 0;
	CHECK_ERRNO(set(7, &one, 64), EINVAL);
	CHECK_ERRNO(set(-1, &one, 64), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, &one, 64), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, &none, 64), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, NULL, 0), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, &one, 1), EINVAL); /* the last bit does not count */
	CHECK_ERRNO(set(MPOL_DEFAULT, &one, 64), EINVAL);
	CHECK_ERRNO(set(MPOL_LOCAL, &one, 64), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, BAD, 64), EFAULT);
	CHECK_ERRNO(set(MPOL_BIND, &one, 0), EINVAL);
	CHECK_ERRNO(set(MPOL_BIND, &one, 4096 * 8 + 2), EINVAL);
	CHECK_ERRNO(set(MPOL_PREFERRED | MPOL_F_STATIC_NODES, &none, 64), EINVAL);
	CHECK_ERRNO(set(MPOL_INTERLEAVE | MPOL_F_NUMA_BALANCING, &one, 64), EINVAL);
}

TEST(ranges)
{
	int mode;
	unsigned long one = 1, mask = 0;
	char *p = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_OK(bind_range(p + PG, PG + 1, MPOL_BIND, &one, 64, 0));
	CHECK_OK(get(&mode, &mask, 64, p, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_DEFAULT);
	for (int i = 1; i < 3; i++) {
		CHECK_OK(get(&mode, &mask, 64, p + i * PG + 5, MPOL_F_ADDR));
		CHECK_EQ(mode, MPOL_BIND);
		CHECK_EQ(mask, 1);
	}
	CHECK_OK(get(&mode, &mask, 64, p + 3 * PG, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_DEFAULT);
	CHECK_OK(get(&mode, NULL, 0, p, MPOL_F_ADDR | MPOL_F_NODE));
	CHECK_EQ(mode, 0);
	CHECK_ERRNO(bind_range(p + 1, PG, MPOL_BIND, &one, 64, 0), EINVAL);
	CHECK_ERRNO(bind_range(p, PG, MPOL_BIND, &one, 64, 8), EINVAL);
	CHECK_ERRNO(bind_range(p, PG, MPOL_BIND, NULL, 0, 0), EINVAL);
	CHECK_OK(bind_range(p, 0, MPOL_BIND, NULL, 0, 0));
	CHECK_OK(bind_range(p, 4 * PG, MPOL_DEFAULT, NULL, 0, MPOL_MF_STRICT | MPOL_MF_MOVE));
	CHECK_OK(get(&mode, NULL, 0, p + PG, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_DEFAULT);
	CHECK_OK(munmap(p + 2 * PG, PG));
	CHECK_ERRNO(bind_range(p, 4 * PG, MPOL_BIND, &one, 64, 0), EFAULT);
	become_user();
	CHECK_ERRNO(bind_range(p, PG, MPOL_BIND, &one, 64, MPOL_MF_MOVE_ALL), EPERM);
}

TEST(where_pages_are)
{
	char *p = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	CHECK_OK(munmap(p + PG, PG));
	void *pages[2] = {p, p + PG};
	int status[2] = {9, 9}, nodes[2] = {0, 0};
	CHECK_OK(syscall(SYS_move_pages, 0, 2L, pages, NULL, status, 0));
	CHECK_EQ(status[0], 0);
	CHECK_EQ(status[1], -EFAULT);
	CHECK_OK(syscall(SYS_move_pages, 0, 1L, pages, nodes, status, MPOL_MF_MOVE));
	CHECK_EQ(status[0], 0);
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, pages, NULL, status, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, pages, NULL, BAD, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_move_pages, 99999999, 1L, pages, NULL, status, 0), ESRCH);
	nodes[0] = 63;
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, pages, nodes, status, 0), ENODEV);
	unsigned long one = 1;
	CHECK_OK(syscall(SYS_migrate_pages, 0, 64, &one, &one));
	CHECK_ERRNO(syscall(SYS_migrate_pages, 99999999, 64, &one, &one), ESRCH);
	CHECK_ERRNO(syscall(SYS_migrate_pages, 0, 64, BAD, &one), EFAULT);
}
