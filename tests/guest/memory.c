/* Anonymous memory: mmap, munmap, mprotect, mremap, madvise, mlock, brk, the stack, limits and /proc/self/maps. */
#include "check.h"
#include <linux/mman.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define PG 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static sigjmp_buf back;

static void on_fault(int sig)
{
	siglongjmp(back, sig);
}

/* The signal that touching the byte brings, 0 if none. */
static int touch(volatile char *p, int write)
{
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	int sig = sigsetjmp(back, 1);
	if (sig == 0) {
		if (write)
			*p = 1;
		else
			(void)*p;
	}
	return sig;
}

static char *anon(size_t pages)
{
	return CHECK_OK((char *)mmap(NULL, pages * PG, RW, ANON, -1, 0));
}

/* A free range: mapped once and unmapped again. */
static char *hole(size_t pages)
{
	char *p = CHECK_OK((char *)mmap(NULL, pages * PG, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
	CHECK_OK(munmap(p, pages * PG));
	return p;
}

struct line {
	unsigned long start, end, offset;
	char perms[5], name[256];
};

/* The line of /proc/self/maps that holds the address; 0 if none does. */
static int maps_line(const void *addr, struct line *l)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char text[PATH_MAX + 128];
	CHECK(f != NULL);
	while (fgets(text, sizeof text, f)) {
		l->name[0] = 0;
		int n = sscanf(text, "%lx-%lx %4s %lx %*s %*s %255[^\n]", &l->start, &l->end, l->perms, &l->offset, l->name);
		CHECK_GE(n, 4);
		if ((unsigned long)addr >= l->start && (unsigned long)addr < l->end) {
			fclose(f);
			return 1;
		}
	}
	fclose(f);
	return 0;
}

static int mapped(const void *addr)
{
	struct line l;
	return maps_line(addr, &l);
}

/* ---- mmap ---- */

TEST(mmap_errors_in_order)
{
	int ro = CHECK_OK(open("f", O_RDONLY | O_CREAT, 0600)), wo = CHECK_OK(open("f", O_WRONLY)), p[2];
	int dir = CHECK_OK(open(".", O_RDONLY));
	CHECK_OK(pipe(p));
	CHECK_ERRNO(mmap(NULL, 0, RW, MAP_PRIVATE, 999, 1), EINVAL);          /* offset first */
	CHECK_ERRNO(mmap(NULL, 0, RW, MAP_PRIVATE, 999, 0), EBADF);           /* then the descriptor */
	CHECK_ERRNO(mmap(NULL, 0, RW, ANON, -1, 0), EINVAL);                  /* then the length */
	CHECK_ERRNO(mmap(NULL, -PG + 1, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(NULL, 1UL << 62, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(NULL, PG, RW, MAP_ANONYMOUS, -1, 0), EINVAL);        /* neither shared nor private */
	CHECK_ERRNO(mmap((void *)1, PG, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
	CHECK_ERRNO(mmap((void *)(1UL << 47), PG, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, wo, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_SHARED, wo, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PG, PROT_WRITE, MAP_SHARED, ro, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, p[0], 0), ENODEV);
	CHECK_ERRNO(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, dir, 0), ENODEV);
	CHECK_ERRNO(syscall(SYS_mmap, NULL, 2 * PG, PROT_READ, MAP_PRIVATE, ro, -PG), EOVERFLOW);
	CHECK_OK(mmap(NULL, PG, RW, MAP_PRIVATE, ro, 0));
}

TEST(mmap_anonymous_is_zero_and_ignores_fd)
{
	char *p = CHECK_OK((char *)mmap(NULL, 8 * PG, RW, ANON, 12345, 0));
	for (size_t i = 0; i < 8 * PG; i++)
		CHECK_EQ(p[i], 0);
}

TEST(mmap_length_is_rounded_up)
{
	char *p = CHECK_OK((char *)mmap(NULL, PG + 1, RW, ANON, -1, 0));
	CHECK_EQ(touch(p + 2 * PG - 1, 1), 0);
	CHECK_OK(munmap(p, PG + 1));
	CHECK(!mapped(p + PG));
}

TEST(mmap_hint_is_taken_if_free)
{
	char *h = hole(4);
	CHECK_EQ(mmap(h, PG, RW, ANON, -1, 0), h);
	char *other = CHECK_OK((char *)mmap(h, PG, RW, ANON, -1, 0));
	CHECK_NE(other, h);
	CHECK_OK(munmap(other, PG));
	CHECK_EQ(mmap(h + PG + 100, PG, RW, ANON, -1, 0), h + PG); /* rounded down */
}

TEST(mmap_fixed_replaces)
{
	char *p = anon(3);
	memset(p, 'a', 3 * PG);
	CHECK_EQ(mmap(p + PG, PG, RW, ANON | MAP_FIXED, -1, 0), p + PG);
	CHECK_EQ(p[PG - 1], 'a');
	CHECK_EQ(p[PG], 0);
	CHECK_EQ(p[2 * PG], 'a');
}

TEST(mmap_fixed_noreplace)
{
	char *p = anon(3);
	CHECK_ERRNO(mmap(p + PG, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	CHECK_ERRNO(mmap(p - PG, 5 * PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	CHECK_OK(munmap(p + PG, PG));
	CHECK_EQ(mmap(p + PG, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), p + PG);
}

TEST(mmap_shared_validate_refuses_unknown_flags)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_ERRNO(mmap(NULL, PG, RW, MAP_SHARED_VALIDATE | 0x200000, fd, 0), EOPNOTSUPP);
	CHECK_OK(mmap(NULL, PG, RW, MAP_SHARED_VALIDATE, fd, 0));
	CHECK_OK(mmap(NULL, PG, RW, MAP_SHARED | 0x200000, fd, 0)); /* the old type ignores them */
}

TEST(mmap_32bit)
{
	char *p = CHECK_OK((char *)mmap(NULL, PG, RW, ANON | MAP_32BIT, -1, 0));
	CHECK_LT((unsigned long)p, 1UL << 31);
	CHECK_EQ(touch(p, 1), 0);
}

TEST(mmap_of_address_zero_needs_privilege)
{
	CHILD {
		become_user();
		CHECK_ERRNO(mmap(NULL, PG, RW, ANON | MAP_FIXED, -1, 0), EPERM);
	} CHILD_END;
}

TEST(mmap_populate)
{
	unsigned char vec[16];
	char *p = CHECK_OK((char *)mmap(NULL, 16 * PG, RW, ANON | MAP_POPULATE, -1, 0));
	CHECK_OK(mincore(p, 16 * PG, vec));
	for (int i = 0; i < 16; i++)
		CHECK_EQ(vec[i] & 1, 1);
}

TEST(thousand_mappings)
{
	char *p[1000];
	for (int i = 0; i < 1000; i++) {
		p[i] = CHECK_OK((char *)mmap(NULL, PG, i & 1 ? RW : PROT_READ, ANON, -1, 0));
		if (i & 1)
			*p[i] = i % 100;
	}
	for (int i = 1; i < 1000; i += 2)
		CHECK_EQ(*p[i], i % 100);
	for (int i = 0; i < 1000; i++)
		CHECK_OK(munmap(p[i], PG));
}

TEST(prot_none_then_opened)
{
	char *p = CHECK_OK((char *)mmap(NULL, PG, PROT_NONE, ANON, -1, 0));
	CHECK_EQ(touch(p, 0), SIGSEGV);
	CHECK_OK(mprotect(p, PG, PROT_READ));
	CHECK_EQ(touch(p, 0), 0);
	CHECK_EQ(touch(p, 1), SIGSEGV);
	CHECK_OK(mprotect(p, PG, RW));
	CHECK_EQ(touch(p, 1), 0);
}

TEST(code_written_then_executed)
{
	unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
	char *p = anon(1);
	int (*fn)(void) = (int (*)(void))p;
	memcpy(p, code, sizeof code);
	CHECK_OK(mprotect(p, PG, PROT_READ | PROT_EXEC));
	CHECK_EQ(fn(), 42);
	CHECK_OK(mprotect(p, PG, RW));
	p[1] = 43;
	CHECK_OK(mprotect(p, PG, PROT_READ | PROT_EXEC));
	CHECK_EQ(fn(), 43);
	CHECK_OK(mprotect(p, PG, RW | PROT_EXEC));
	for (int i = 0; i < 100; i++) {
		((volatile char *)p)[1] = i;
		CHECK_EQ(((int (*volatile)(void))fn)(), i);
	}
}

/* ---- munmap ---- */

TEST(munmap_errors)
{
	char *p = anon(1);
	CHECK_ERRNO(munmap(p, 0), EINVAL);
	CHECK_ERRNO(munmap(p + 1, PG), EINVAL);
	CHECK_ERRNO(munmap(p, -PG), EINVAL);
	CHECK_ERRNO(munmap((void *)(1UL << 47), PG), EINVAL);
	CHECK_OK(munmap(p, PG));
	CHECK_OK(munmap(p, PG)); /* nothing there: fine */
}

TEST(munmap_splits)
{
	char *p = anon(5);
	memset(p, 'a', 5 * PG);
	CHECK_OK(munmap(p + 2 * PG, PG));
	CHECK_EQ(p[2 * PG - 1], 'a');
	CHECK_EQ(p[3 * PG], 'a');
	CHECK_EQ(touch(p + 2 * PG, 0), SIGSEGV);
	CHECK_EQ(mapped(p + PG), 1);
	CHECK_EQ(mapped(p + 2 * PG), 0);
	CHECK_EQ(mapped(p + 3 * PG), 1);
}

TEST(munmap_of_many_with_holes)
{
	char *p = anon(9);
	CHECK_OK(munmap(p + PG, PG));
	CHECK_OK(mprotect(p + 3 * PG, PG, PROT_READ));
	CHECK_OK(munmap(p + 5 * PG, PG));
	CHECK_OK(munmap(p, 9 * PG));
	for (int i = 0; i < 9; i++)
		CHECK_EQ(mapped(p + i * PG), 0);
}

/* ---- mprotect ---- */

TEST(mprotect_errors)
{
	char *p = anon(2);
	CHECK_ERRNO(mprotect(p + 1, PG, PROT_READ), EINVAL);
	CHECK_ERRNO(mprotect(p, PG, 0x100), EINVAL);
	CHECK_ERRNO(mprotect(p, PG, PROT_READ | PROT_GROWSDOWN), EINVAL);
	CHECK_ERRNO(mprotect(p, PG, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
	CHECK_ERRNO(mprotect(p, -PG + 1, PROT_READ), ENOMEM);
	CHECK_OK(mprotect(p, 0, PROT_NONE));
	CHECK_EQ(touch(p, 1), 0);
	CHECK_OK(munmap(p, 2 * PG));
	CHECK_ERRNO(mprotect(p, PG, PROT_READ), ENOMEM);
}

TEST(mprotect_across_a_hole_changes_the_first_part)
{
	char *p = anon(3);
	CHECK_OK(munmap(p + PG, PG));
	CHECK_ERRNO(mprotect(p, 3 * PG, PROT_READ), ENOMEM);
	CHECK_EQ(touch(p, 1), SIGSEGV);
	CHECK_EQ(touch(p + 2 * PG, 1), 0);
}

TEST(mprotect_shows_in_maps_and_merges_back)
{
	struct line l, whole;
	char *p = anon(5);
	CHECK_OK(mprotect(p, 5 * PG, PROT_READ | PROT_EXEC)); /* unlike anything around it */
	CHECK_EQ(maps_line(p, &whole), 1);
	CHECK_OK(mprotect(p + 2 * PG, PG, PROT_READ));
	CHECK_EQ(maps_line(p + 2 * PG, &l), 1);
	CHECK_EQ(l.start, p + 2 * PG);
	CHECK_EQ(l.end, p + 3 * PG);
	CHECK_STR(l.perms, "r--p");
	CHECK_EQ(maps_line(p, &l), 1);
	CHECK_EQ(l.end, p + 2 * PG);
	CHECK_STR(l.perms, "r-xp");
	CHECK_OK(mprotect(p + 2 * PG, PG, PROT_READ | PROT_EXEC));
	CHECK_EQ(maps_line(p, &l), 1);
	CHECK_EQ(l.start, whole.start);
	CHECK_EQ(l.end, whole.end);
}

TEST(mprotect_shared_read_only_file_is_eacces)
{
	int fd = CHECK_OK(open("f", O_RDONLY | O_CREAT, 0600));
	char *p = CHECK_OK((char *)mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 0));
	CHECK_ERRNO(mprotect(p, PG, RW), EACCES);
	p = CHECK_OK((char *)mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0));
	CHECK_OK(mprotect(p, PG, RW));
}

/* ---- brk and stack ---- */

TEST(brk_grows_zeroed_and_shrinks)
{
	char *start = CHECK_OK((char *)sbrk(0));
	char *base = (char *)(((unsigned long)start + PG - 1) & ~(PG - 1));
	CHECK_EQ(syscall(SYS_brk, base + 10 * PG), base + 10 * PG);
	for (size_t i = 0; i < 10 * PG; i += 64)
		CHECK_EQ(base[i], 0);
	memset(base, 'x', 10 * PG);
	CHECK_EQ(syscall(SYS_brk, base + PG), base + PG);
	CHECK_EQ(touch(base + 2 * PG, 0), SIGSEGV);
	CHECK_EQ(base[0], 'x');
	CHECK_EQ(syscall(SYS_brk, base + 3 * PG), base + 3 * PG);
	CHECK_EQ(base[2 * PG], 0);
	CHECK_EQ(syscall(SYS_brk, start), start);
}

TEST(brk_refusals_return_the_current_break)
{
	long now = syscall(SYS_brk, 0);
	CHECK_GT(now, 0);
	CHECK_EQ(syscall(SYS_brk, 1), now);
	CHECK_EQ(syscall(SYS_brk, 1UL << 62), now);
	CHECK_EQ(syscall(SYS_brk, 0), now);
}

TEST(brk_stops_at_a_mapping)
{
	char *now = (char *)syscall(SYS_brk, 0), *base = (char *)(((unsigned long)now + PG - 1) & ~(PG - 1));
	CHECK_OK(mmap(base + 16 * PG, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK_EQ(syscall(SYS_brk, base + 32 * PG), now);
}

TEST(heap_and_stack_in_maps)
{
	struct line l;
	int local;
	CHECK_EQ(maps_line(&local, &l), 1);
	CHECK_STR(l.name, "[stack]");
	CHECK_STR(l.perms, "rw-p");
	char *brk = sbrk(2 * PG);
	CHECK_EQ(maps_line(brk, &l), 1);
	CHECK_STR(l.name, "[heap]");
}

static __attribute__((noinline)) int use_stack(int pages)
{
	volatile char frame[4096];
	frame[0] = pages;
	return pages == 0 ? 0 : use_stack(pages - 1) + (frame[0] == (char)pages ? 0 : 1);
}

TEST(stack_grows_on_demand)
{
	struct line before, after;
	int local;
	CHECK_EQ(maps_line(&local, &before), 1);
	CHECK_EQ(use_stack(1000), 0); /* 4 MB */
	CHECK_EQ(maps_line(&local, &after), 1);
	CHECK_LE(after.start, before.start - (3UL << 20));
	CHECK_EQ(after.end, before.end);
}

TEST(stack_jump_far_below_is_allowed_within_limit)
{
	volatile char *far = (char *)__builtin_frame_address(0) - (5UL << 20);
	CHECK_EQ(touch(far, 1), 0);
}

TEST(stack_ends_at_its_limit)
{
	struct rlimit r = {1 << 20, 8 << 20};
	CHECK_OK(setrlimit(RLIMIT_STACK, &r));
	pid_t pid = xfork();
	if (pid == 0)
		_exit(use_stack(1000));
	CHECK_EQ(wait_exit(pid), 1000 + SIGSEGV);
}

/* 250 MB of stack, with as much room below it. */
HELPER(deep_stack)
{
	for (int i = 0; i < 64; i++)
		CHECK_OK(mmap(NULL, 1 << 20, RW, ANON, -1, 0));
	for (char *at = (char *)__builtin_frame_address(0), *end = at - (250L << 20); at > end; at -= 64 << 10)
		*(volatile char *)at = 1;
	return 0;
}

TEST(stack_has_the_room_its_limit_promises)
{
	struct rlimit r;
	CHECK_OK(getrlimit(RLIMIT_STACK, &r));
	if (r.rlim_max < 300UL << 20)
		SKIP("the stack may not be so large");
	r.rlim_cur = 300UL << 20;
	pid_t pid = xfork();
	if (pid == 0) {
		setrlimit(RLIMIT_STACK, &r);
		execl(self_exe, self_exe, "@deep_stack", NULL);
		_exit(99);
	}
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(growsdown_grows_and_keeps_its_distance)
{
	struct line l;
	char *h = hole(4096), *top = h + 4000 * PG;
	char *p = CHECK_OK((char *)mmap(top, PG, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
	CHECK_EQ(touch(p, 1), 0);
	CHECK_EQ(touch(p - 1, 1), 0);
	CHECK_EQ(touch(p - 10 * PG, 1), 0);
	CHECK_EQ(maps_line(p, &l), 1);
	CHECK_EQ(l.start, p - 10 * PG);
	CHECK_OK(mmap(p - 300 * PG, PG, PROT_READ, ANON | MAP_FIXED, -1, 0));
	CHECK_EQ(touch(p - 30 * PG, 1), 0);
	CHECK_EQ(touch(p - 60 * PG, 1), SIGSEGV); /* less than 256 pages above the mapping */
}

/* ---- mremap ---- */

TEST(mremap_errors)
{
	char *p = anon(4), *h = hole(8);
	CHECK_ERRNO(mremap(p + 1, PG, PG, 0), EINVAL);
	CHECK_ERRNO(mremap(p, PG, 0, 0), EINVAL);
	CHECK_ERRNO(mremap(p, PG, PG, 0x80), EINVAL);
	CHECK_ERRNO(mremap(p, PG, PG, MREMAP_FIXED, h), EINVAL); /* needs MAYMOVE */
	CHECK_ERRNO(mremap(p, PG, PG, MREMAP_FIXED | MREMAP_MAYMOVE, h + 1), EINVAL);
	CHECK_ERRNO(mremap(p, 2 * PG, 2 * PG, MREMAP_FIXED | MREMAP_MAYMOVE, p + PG), EINVAL); /* overlap */
	CHECK_ERRNO(mremap(h, PG, 2 * PG, MREMAP_MAYMOVE), EFAULT);
	CHECK_ERRNO(mremap(p, 0, PG, MREMAP_MAYMOVE), EINVAL); /* duplication is for shared mappings */
	CHECK_OK(munmap(p + PG, PG));
	CHECK_ERRNO(mremap(p, 4 * PG, 8 * PG, MREMAP_MAYMOVE), EFAULT);
}

TEST(mremap_shrinks_in_place)
{
	char *p = anon(4);
	memset(p, 'a', 4 * PG);
	CHECK_EQ(mremap(p, 4 * PG, PG, 0), p);
	CHECK_EQ(p[PG - 1], 'a');
	CHECK_EQ(mapped(p + PG), 0);
}

TEST(mremap_grows_in_place)
{
	char *p = CHECK_OK((char *)mmap(hole(8), PG, RW, ANON | MAP_FIXED, -1, 0));
	p[0] = 'a';
	CHECK_EQ(mremap(p, PG, 8 * PG, 0), p);
	CHECK_EQ(p[0], 'a');
	CHECK_EQ(p[7 * PG], 0);
	CHECK_EQ(touch(p + 7 * PG, 1), 0);
}

TEST(mremap_blocked_needs_maymove)
{
	char *p = anon(3);
	CHECK_OK(mprotect(p + PG, PG, PROT_NONE));
	memset(p, 'a', PG);
	CHECK_ERRNO(mremap(p, PG, 2 * PG, 0), ENOMEM);
	CHECK_EQ(p[5], 'a');
	char *q = CHECK_OK((char *)mremap(p, PG, 64 * PG, MREMAP_MAYMOVE));
	CHECK_NE(q, p);
	CHECK_EQ(q[5], 'a');
	CHECK_EQ(q[PG], 0);
	CHECK_EQ(mapped(p), 0);
}

TEST(mremap_fixed_replaces_the_target)
{
	char *p = anon(2), *target = anon(4);
	memset(p, 'p', 2 * PG);
	memset(target, 't', 4 * PG);
	CHECK_EQ(mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, target + PG), target + PG);
	CHECK_EQ(target[0], 't');
	CHECK_EQ(target[PG], 'p');
	CHECK_EQ(target[3 * PG - 1], 'p');
	CHECK_EQ(target[3 * PG], 't');
	CHECK_EQ(mapped(p), 0);
}

TEST(mremap_dontunmap)
{
	char *p = anon(2);
	memset(p, 'p', 2 * PG);
	char *q = CHECK_OK((char *)mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0));
	CHECK_NE(q, p);
	CHECK_EQ(q[PG], 'p');
	CHECK_EQ(p[PG], 0); /* still mapped, empty */
	CHECK_ERRNO(mremap(p, 2 * PG, 3 * PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0), EINVAL);
}

TEST(mremap_of_zero_length_duplicates_shared)
{
	char *p = CHECK_OK((char *)mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	char *q = CHECK_OK((char *)mremap(p, 0, PG, MREMAP_MAYMOVE));
	CHECK_NE(p, q);
	p[10] = 'x';
	CHECK_EQ(q[10], 'x');
	q[11] = 'y';
	CHECK_EQ(p[11], 'y');
}

TEST(mremap_part_of_a_mapping)
{
	char *p = anon(4);
	for (int i = 0; i < 4; i++)
		p[i * PG] = '0' + i;
	char *q = CHECK_OK((char *)mremap(p + PG, PG, 2 * PG, MREMAP_MAYMOVE));
	CHECK_EQ(q[0], '1');
	CHECK_EQ(q[PG], 0);
	CHECK_EQ(p[0], '0');
	CHECK_EQ(p[2 * PG], '2');
	CHECK_EQ(mapped(p + PG), 0);
}

/* ---- madvise ---- */

TEST(madvise_errors)
{
	char *p = anon(2);
	CHECK_ERRNO(madvise(p + 1, PG, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(madvise(p, PG, 12345), EINVAL);
	CHECK_ERRNO(madvise(p, -PG, MADV_DONTNEED), EINVAL);
	CHECK_OK(madvise(p, 0, MADV_DONTNEED));
	CHECK_OK(munmap(p + PG, PG));
	p[0] = 'a';
	CHECK_ERRNO(madvise(p, 2 * PG, MADV_DONTNEED), ENOMEM); /* but the mapped part is done */
	CHECK_EQ(p[0], 0);
}

TEST(madvise_hints_are_accepted)
{
	char *p = anon(2);
	p[5] = 'a';
	CHECK_OK(madvise(p, 2 * PG, MADV_NORMAL));
	CHECK_OK(madvise(p, 2 * PG, MADV_RANDOM));
	CHECK_OK(madvise(p, 2 * PG, MADV_SEQUENTIAL));
	CHECK_OK(madvise(p, 2 * PG, MADV_WILLNEED) == 0 || errno == EBADF ? 0 : -1);
	CHECK_OK(madvise(p, 2 * PG, MADV_DONTDUMP));
	CHECK_OK(madvise(p, 2 * PG, MADV_DODUMP));
	CHECK_EQ(p[5], 'a');
}

TEST(madvise_dontneed_zeroes)
{
	char *p = anon(4);
	memset(p, 'a', 4 * PG);
	CHECK_OK(madvise(p + PG, 2 * PG, MADV_DONTNEED));
	CHECK_EQ(p[PG - 1], 'a');
	CHECK_EQ(p[PG], 0);
	CHECK_EQ(p[3 * PG - 1], 0);
	CHECK_EQ(p[3 * PG], 'a');
}

TEST(madvise_free_keeps_what_is_written_after)
{
	char *p = anon(1);
	memset(p, 'a', PG);
	CHECK_OK(madvise(p, PG, MADV_FREE));
	p[1] = 'b';
	CHECK_EQ(p[1], 'b');
	CHECK(p[0] == 'a' || p[0] == 0);
}

TEST(madvise_wipeonfork)
{
	char *p = anon(2);
	memset(p, 'a', 2 * PG);
	CHECK_OK(madvise(p, PG, MADV_WIPEONFORK));
	CHILD {
		CHECK_EQ(p[0], 0);
		CHECK_EQ(p[PG], 'a');
	} CHILD_END;
	CHECK_EQ(p[0], 'a');
	CHECK_OK(madvise(p, PG, MADV_KEEPONFORK));
	CHILD {
		CHECK_EQ(p[0], 'a');
	} CHILD_END;
	char *s = CHECK_OK((char *)mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHECK_ERRNO(madvise(s, PG, MADV_WIPEONFORK), EINVAL);
}

TEST(madvise_dontfork)
{
	char *p = anon(3);
	memset(p, 'a', 3 * PG);
	CHECK_OK(madvise(p + PG, PG, MADV_DONTFORK));
	CHILD {
		CHECK_EQ(p[0], 'a');
		CHECK_EQ(p[2 * PG], 'a');
		CHECK_EQ(touch(p + PG, 0), SIGSEGV);
		CHECK_EQ(mapped(p + PG), 0);
	} CHILD_END;
	CHECK_OK(madvise(p + PG, PG, MADV_DOFORK));
	CHILD {
		CHECK_EQ(p[PG], 'a');
	} CHILD_END;
}

TEST(madvise_populate)
{
	unsigned char vec[4];
	char *p = anon(4);
	CHECK_OK(madvise(p, 2 * PG, MADV_POPULATE_WRITE));
	CHECK_OK(mincore(p, 4 * PG, vec));
	CHECK_EQ(vec[0] & 1, 1);
	CHECK_EQ(vec[1] & 1, 1);
	CHECK_OK(mprotect(p, PG, PROT_READ));
	CHECK_OK(madvise(p, PG, MADV_POPULATE_READ));
	CHECK_ERRNO(madvise(p, PG, MADV_POPULATE_WRITE), EINVAL);
	CHECK_OK(munmap(p, PG));
	CHECK_ERRNO(madvise(p, PG, MADV_POPULATE_READ), ENOMEM);
}

/* ---- mincore, mlock, msync ---- */

TEST(mincore_rules)
{
	unsigned char vec[4] = {9, 9, 9, 9};
	char *p = anon(4);
	CHECK_OK(madvise(p, 4 * PG, MADV_NOHUGEPAGE) == 0 || errno == EINVAL ? 0 : -1);
	p[PG] = 1;
	CHECK_OK(mincore(p, 3 * PG + 1, vec));
	CHECK_EQ(vec[0] & 1, 0);
	CHECK_EQ(vec[1] & 1, 1);
	CHECK_EQ(vec[2] & 1, 0);
	CHECK_EQ(vec[3] & 1, 0);
	CHECK_ERRNO(mincore(p + 1, PG, vec), EINVAL);
	CHECK_ERRNO(mincore(p, PG, BAD), EFAULT);
	CHECK_OK(munmap(p + 2 * PG, PG));
	CHECK_ERRNO(mincore(p, 4 * PG, vec), ENOMEM);
}

TEST(mlock_counts_and_refuses)
{
	char buf[4096], *p = anon(4);
	CHECK_OK(mlock(p + 10, PG)); /* rounded to two pages */
	CHECK_GT(read_file("/proc/self/status", buf, sizeof buf), 0);
	CHECK(strstr(buf, "VmLck:\t       8 kB") != NULL);
	CHECK_ERRNO(madvise(p, PG, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(msync(p, PG, MS_INVALIDATE), EBUSY);
	CHECK_OK(munlock(p, 2 * PG));
	CHECK_OK(madvise(p, PG, MADV_DONTNEED));
	CHECK_OK(munmap(p + PG, PG));
	CHECK_ERRNO(mlock(p, 3 * PG), ENOMEM);
	CHECK_ERRNO(munlock(p, 3 * PG), ENOMEM);
	CHECK_ERRNO(syscall(SYS_mlock2, p, PG, 0x80), EINVAL);
	CHECK_OK(syscall(SYS_mlock2, p, PG, 1));
	CHECK_ERRNO(mlockall(0), EINVAL);
	CHECK_ERRNO(mlockall(0x80), EINVAL);
	CHECK_ERRNO(mlockall(MCL_ONFAULT), EINVAL);
	CHECK_OK(munlockall());
}

TEST(mlock_limits)
{
	struct rlimit r = {4 * PG, 4 * PG}, none = {0, 0};
	char *p = anon(8);
	CHILD {
		become_user();
		CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &r));
		CHECK_OK(mlock(p, 4 * PG));
		CHECK_OK(mlock(p, 4 * PG)); /* the same again is not counted twice */
		CHECK_ERRNO(mlock(p + 4 * PG, PG), ENOMEM);
		CHECK_ERRNO(mmap(NULL, PG, RW, ANON | MAP_LOCKED, -1, 0), EAGAIN);
		CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &none));
		CHECK_OK(munlock(p, 4 * PG));
		CHECK_ERRNO(mlock(p, PG), EPERM);
		CHECK_ERRNO(mlockall(MCL_CURRENT), EPERM);
	} CHILD_END;
}

TEST(mlock_is_not_inherited)
{
	char buf[4096], *p = anon(2);
	CHECK_OK(mlock(p, 2 * PG));
	CHILD {
		CHECK_GT(read_file("/proc/self/status", buf, sizeof buf), 0);
		CHECK(strstr(buf, "VmLck:\t       0 kB") != NULL);
	} CHILD_END;
}

TEST(msync_errors)
{
	char *p = anon(3);
	CHECK_ERRNO(msync(p, PG, MS_SYNC | MS_ASYNC), EINVAL);
	CHECK_ERRNO(msync(p, PG, 0x100), EINVAL);
	CHECK_ERRNO(msync(p + 1, PG, MS_SYNC), EINVAL);
	CHECK_OK(msync(p, 0, MS_SYNC));
	CHECK_OK(msync(p, 3 * PG, MS_SYNC));
	CHECK_OK(munmap(p + PG, PG));
	CHECK_ERRNO(msync(p, 3 * PG, MS_SYNC), ENOMEM);
	CHECK_ERRNO(msync(p + PG, PG, MS_ASYNC), ENOMEM);
}

/* ---- fork ---- */

TEST(fork_copies_on_write_both_ways)
{
	char *p = anon(64);
	int up[2], down[2];
	char c;
	CHECK_OK(pipe(up));
	CHECK_OK(pipe(down));
	for (int i = 0; i < 64; i++)
		p[i * PG] = i;
	pid_t pid = xfork();
	if (pid == 0) {
		for (int i = 0; i < 32; i++)
			p[i * PG] = 100;
		CHECK_EQ(write(up[1], "x", 1), 1);
		CHECK_EQ(read(down[0], &c, 1), 1);
		for (int i = 32; i < 64; i++)
			CHECK_EQ(p[i * PG], i);
		_exit(0);
	}
	CHECK_EQ(read(up[0], &c, 1), 1);
	for (int i = 0; i < 32; i++)
		CHECK_EQ(p[i * PG], i);
	for (int i = 32; i < 64; i++)
		p[i * PG] = 120;
	CHECK_EQ(write(down[1], "x", 1), 1);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(shared_anonymous_is_shared_over_fork)
{
	volatile int *p = CHECK_OK((int *)mmap(NULL, 2 * PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	p[0] = 1;
	CHILD {
		CHECK_EQ(p[0], 1);
		p[0] = 2;
		p[PG / 4] = 3;
		CHILD {
			p[1] = 4;
		} CHILD_END;
	} CHILD_END;
	CHECK_EQ(p[0], 2);
	CHECK_EQ(p[1], 4);
	CHECK_EQ(p[PG / 4], 3);
}

TEST(protections_are_copied_by_fork)
{
	char *p = anon(2);
	CHECK_OK(mprotect(p, PG, PROT_READ));
	CHILD {
		CHECK_EQ(touch(p, 1), SIGSEGV);
		CHECK_OK(mprotect(p, PG, RW));
		CHECK_EQ(touch(p, 1), 0);
		CHECK_OK(munmap(p + PG, PG));
	} CHILD_END;
	CHECK_EQ(touch(p, 1), SIGSEGV);
	CHECK_EQ(touch(p + PG, 1), 0);
}

/* ---- limits ---- */

TEST(rlimit_as)
{
	struct rlimit r = {256 << 20, 256 << 20};
	CHILD {
		CHECK_OK(setrlimit(RLIMIT_AS, &r));
		CHECK_ERRNO(mmap(NULL, 512 << 20, RW, ANON, -1, 0), ENOMEM);
		CHECK_ERRNO(mmap(NULL, 512 << 20, PROT_NONE, ANON | MAP_NORESERVE, -1, 0), ENOMEM);
		char *p = CHECK_OK((char *)mmap(NULL, 64 << 20, RW, ANON, -1, 0));
		CHECK_ERRNO(mremap(p, 64 << 20, 512 << 20, MREMAP_MAYMOVE), ENOMEM);
		CHECK_OK(munmap(p, 64 << 20));
		CHECK_OK(mmap(NULL, 64 << 20, RW, ANON, -1, 0));
	} CHILD_END;
}

TEST(rlimit_data)
{
	struct rlimit r = {64 << 20, 64 << 20};
	CHILD {
		long now = syscall(SYS_brk, 0);
		CHECK_OK(setrlimit(RLIMIT_DATA, &r));
		CHECK_ERRNO(mmap(NULL, 128 << 20, RW, ANON, -1, 0), ENOMEM);
		CHECK_OK(mmap(NULL, 128 << 20, PROT_READ, ANON, -1, 0));
		CHECK_OK(mmap(NULL, 128 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
		CHECK_EQ(syscall(SYS_brk, now + (128 << 20)), now);
	} CHILD_END;
}

/* ---- maps and foreign memory ---- */

TEST(maps_is_sorted_and_disjoint)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char text[PATH_MAX + 128];
	unsigned long a, b, last = 0, lines = 0;
	CHECK(f != NULL);
	for (int i = 0; i < 50; i++)
		CHECK_OK(mmap(NULL, PG, i % 2 ? PROT_READ : RW, ANON, -1, 0));
	while (fgets(text, sizeof text, f)) {
		CHECK_EQ(sscanf(text, "%lx-%lx ", &a, &b), 2);
		if (strstr(text, "[vsyscall]"))
			continue;
		CHECK_LT(a, b);
		CHECK_GE(a, last);
		CHECK_EQ((a | b) % PG, 0);
		last = b;
		lines++;
	}
	CHECK_GT(lines, 10);
	fclose(f);
}

TEST(maps_shows_flags_offset_and_name)
{
	struct line l;
	char cwd[PATH_MAX], want[PATH_MAX + 32];
	int fd = CHECK_OK(open("file", O_RDWR | O_CREAT, 0600));
	CHECK_OK(ftruncate(fd, 4 * PG));
	char *p = CHECK_OK((char *)mmap(NULL, 2 * PG, RW, MAP_SHARED, fd, PG));
	CHECK_EQ(maps_line(p, &l), 1);
	CHECK_EQ(l.start, p);
	CHECK_EQ(l.end, p + 2 * PG);
	CHECK_STR(l.perms, "rw-s");
	CHECK_EQ(l.offset, PG);
	CHECK(getcwd(cwd, sizeof cwd));
	snprintf(want, sizeof want, "%s/file", cwd);
	CHECK_STR(l.name, want);
	CHECK_OK(unlink("file"));
	CHECK_EQ(maps_line(p, &l), 1);
	strcat(want, " (deleted)");
	CHECK_STR(l.name, want);
}

TEST(maps_of_program_text)
{
	struct line l;
	CHECK_EQ(maps_line((void *)maps_line, &l), 1);
	CHECK_STR(l.perms, "r-xp");
	CHECK_STR(l.name, self_exe);
}

TEST(process_vm_of_child)
{
	static char word[32] = "parent";
	int p[2];
	char c, got[32];
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		strcpy(word, "child");
		CHECK_EQ(write(p[1], "x", 1), 1);
		while (word[0] == 'c')
			msleep(5);
		_exit(strcmp(word, "Child"));
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	struct iovec local = {got, 6}, remote = {word, 6};
	CHECK_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), 6);
	CHECK_STR(got, "child");
	local = (struct iovec){"C", 1};
	remote.iov_len = 1;
	CHECK_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 1);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_STR(word, "parent");
	CHECK_ERRNO(process_vm_readv(pid, &local, 1, &remote, 1, 0), ESRCH);
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &remote, 1, 1), EINVAL);
	remote.iov_base = BAD;
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), EFAULT);
}

TEST(process_vm_stops_at_the_hole)
{
	char *p = anon(2), buf[2 * PG];
	memset(p, 'z', 2 * PG);
	CHECK_OK(munmap(p + PG, PG));
	struct iovec local = {buf, 2 * PG}, remote = {p, 2 * PG};
	CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), PG);
	CHECK_EQ(buf[PG - 1], 'z');
}

TEST(proc_self_mem_reads_and_writes)
{
	char *p = anon(1), got[4];
	strcpy(p, "abc");
	int fd = CHECK_OK(open("/proc/self/mem", O_RDWR));
	CHECK_EQ(pread(fd, got, 4, (off_t)p), 4);
	CHECK_STR(got, "abc");
	CHECK_EQ(pwrite(fd, "X", 1, (off_t)p), 1);
	CHECK_STR(p, "Xbc");
	CHECK_OK(munmap(p, PG));
	CHECK_ERRNO(pread(fd, got, 4, (off_t)p), EIO);
}
