/* System V IPC: shared memory, semaphore sets, message queues (sysvipc(7)). */
#include "check.h"
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

/* A key that no other test uses. */
static key_t some_key(void)
{
	return 0x5e000000 + (getpid() & 0xffff) * 16;
}

/* ---- shared memory ---- */

TEST(shm_keys_and_sizes)
{
	key_t key = some_key();
	CHECK_ERRNO(shmget(key, 4096, 0600), ENOENT);
	CHECK_ERRNO(shmget(key, 0, IPC_CREAT | 0600), EINVAL);
	int id = CHECK_OK(shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0600));
	CHECK_EQ(shmget(key, 0, 0), id);
	CHECK_EQ(shmget(key, 5000, IPC_CREAT | 0600), id);
	CHECK_ERRNO(shmget(key, 5001, 0600), EINVAL);
	CHECK_ERRNO(shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	int other = CHECK_OK(shmget(IPC_PRIVATE, 1, 0600));
	CHECK_NE(other, id);
	CHECK_OK(shmctl(other, IPC_RMID, NULL));
	CHECK_ERRNO(shmctl(other, IPC_RMID, NULL), EINVAL);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_ERRNO(shmget(key, 0, 0), ENOENT);
	CHECK_ERRNO(shmctl(-1, IPC_STAT, NULL), EINVAL);
	CHECK_ERRNO(shmctl(id, 99, NULL), EINVAL);
}

TEST(shm_attach_rules)
{
	int id = CHECK_OK(shmget(IPC_PRIVATE, 8192, 0600));
	char *hole = CHECK_OK((char *)mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK_ERRNO(shmat(id, hole, 0), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, SHM_REMAP), EINVAL);
	CHECK_EQ(shmat(id, hole, SHM_REMAP), hole);
	hole[8191] = 'a';
	CHECK_OK(munmap(hole + 8192, 65536 - 8192));
	CHECK_ERRNO(shmat(id, hole + 16384 + 1, 0), EINVAL);
	CHECK_EQ(shmat(id, hole + 16384 + 1, SHM_RND), hole + 16384);
	CHECK_EQ(hole[16384 + 8191], 'a');
	CHECK_ERRNO(shmdt(hole + 1), EINVAL);
	CHECK_ERRNO(shmdt(hole + 4096), EINVAL);
	CHECK_OK(shmdt(hole + 16384));
	CHECK_OK(shmdt(hole));
	char *ro = CHECK_OK((char *)shmat(id, NULL, SHM_RDONLY));
	CHECK_EQ(ro[8191], 'a');
	CHECK_ERRNO(mprotect(ro, 4096, PROT_READ | PROT_WRITE), EACCES);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_ERRNO(shmat(-1, NULL, 0), EINVAL);
}

TEST(shm_lives_until_its_last_detach)
{
	struct shmid_ds ds;
	int id = CHECK_OK(shmget(some_key(), 4096, IPC_CREAT | 0600));
	char *a = CHECK_OK((char *)shmat(id, NULL, 0));
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 1);
	CHECK_EQ(ds.shm_cpid, getpid());
	CHECK_EQ(ds.shm_lpid, getpid());
	CHECK_EQ(ds.shm_perm.__key, some_key());
	CHECK_EQ(ds.shm_perm.mode, 0600);
	CHILD {
		struct shmid_ds in;
		CHECK_OK(shmctl(id, IPC_STAT, &in));
		CHECK_EQ(in.shm_nattch, 2); /* fork attaches */
		a[0] = 'c';
	} CHILD_END;
	CHECK_EQ(a[0], 'c');
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 1); /* exit detaches */
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_perm.mode, 0600 | SHM_DEST);
	CHECK_EQ(ds.shm_perm.__key, 0);
	CHECK_ERRNO(shmget(some_key(), 0, 0), ENOENT);
	char *b = CHECK_OK((char *)shmat(id, NULL, 0)); /* while attached, still possible */
	CHECK_OK(munmap(a, 4096)); /* as good as shmdt */
	CHECK_EQ(b[0], 'c');
	CHECK_OK(shmdt(b));
	CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, 0), EINVAL);
}

TEST(shm_permissions)
{
	NEED_ROOT();
	struct shmid_ds ds;
	int id = CHECK_OK(shmget(some_key(), 4096, IPC_CREAT | 0640));
	key_t key = some_key();
	CHILD {
		become_user();
		CHECK_ERRNO(shmget(key, 0, 0400), EACCES);
		CHECK_EQ(shmget(key, 0, 0), id);
		CHECK_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
		CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EACCES);
		CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
		memset(&ds, 0, sizeof ds);
		CHECK_ERRNO(shmctl(id, IPC_SET, &ds), EPERM);
	} CHILD_END;
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	ds.shm_perm.mode = 0444;
	ds.shm_perm.gid = PLAIN_GID;
	CHECK_OK(shmctl(id, IPC_SET, &ds));
	CHILD {
		become_user();
		CHECK_OK(shmat(id, NULL, SHM_RDONLY));
		CHECK_ERRNO(shmat(id, NULL, 0), EACCES);
		CHECK_OK(shmctl(id, IPC_STAT, &ds));
		CHECK_EQ(ds.shm_perm.mode, 0444);
	} CHILD_END;
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(shm_info_and_proc)
{
	struct shminfo limits;
	struct shm_info usage;
	struct shmid_ds ds;
	char buf[65536], line[64];
	int id = CHECK_OK(shmget(some_key(), 12345, IPC_CREAT | 0600));
	int top = CHECK_OK(shmctl(0, IPC_INFO, (void *)&limits));
	CHECK_EQ(limits.shmmin, 1);
	CHECK_EQ(limits.shmmni, 4096);
	CHECK_GE(CHECK_OK(shmctl(0, SHM_INFO, (void *)&usage)), 0);
	CHECK_GE(usage.used_ids, 1);
	CHECK_GE(usage.shm_tot, 4);
	int found = 0;
	for (int i = 0; i <= top; i++)
		if (shmctl(i, SHM_STAT, &ds) == id) {
			found++;
			CHECK_EQ(ds.shm_segsz, 12345);
		}
	CHECK_EQ(found, 1);
	CHECK_GT(read_file("/proc/sysvipc/shm", buf, sizeof buf), 0);
	snprintf(line, sizeof line, "%10d %10d  %4o %21lu ", some_key(), id, 0600, 12345UL);
	CHECK(strstr(buf, line) != NULL);
	char *a = CHECK_OK((char *)shmat(id, NULL, 0));
	CHECK_GT(read_file("/proc/self/maps", buf, sizeof buf), 0);
	snprintf(line, sizeof line, "/SYSV%08x (deleted)", some_key());
	CHECK(strstr(buf, line) != NULL);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_OK(shmdt(a));
}

/* ---- semaphores ---- */

TEST(sem_keys_and_limits)
{
	key_t key = some_key();
	struct sembuf ops[501] = {{0}};
	CHECK_ERRNO(semget(key, 1, 0600), ENOENT);
	CHECK_ERRNO(semget(key, 0, IPC_CREAT | 0600), EINVAL);
	CHECK_ERRNO(semget(key, -1, IPC_CREAT | 0600), EINVAL);
	CHECK_ERRNO(semget(key, 32001, IPC_CREAT | 0600), EINVAL);
	int id = CHECK_OK(semget(key, 3, IPC_CREAT | 0600));
	CHECK_EQ(semget(key, 0, 0), id);
	CHECK_ERRNO(semget(key, 4, 0), EINVAL);
	CHECK_ERRNO(semop(id, ops, 0), EINVAL);
	CHECK_ERRNO(semop(id, ops, 501), E2BIG);
	CHECK_ERRNO(semop(id, BAD, 1), EFAULT);
	CHECK_ERRNO(semop(-1, ops, 1), EINVAL);
	ops[0].sem_num = 3;
	CHECK_ERRNO(semop(id, ops, 1), EFBIG);
	CHECK_ERRNO(semctl(id, 3, GETVAL), EINVAL);
	CHECK_ERRNO(semctl(id, -1, GETVAL), EINVAL);
	CHECK_ERRNO(semctl(id, 0, SETVAL, 32768), ERANGE);
	CHECK_ERRNO(semctl(id, 0, SETVAL, -1), ERANGE);
	CHECK_ERRNO(semctl(id, 0, 99), EINVAL);
	CHECK_OK(semctl(id, 0, SETVAL, 32767));
	ops[0] = (struct sembuf){0, 1, 0};
	CHECK_ERRNO(semop(id, ops, 1), ERANGE);
	CHECK_EQ(semctl(id, 0, GETVAL), 32767);
	CHECK_OK(semctl(id, 0, IPC_RMID));
}

TEST(sem_arrays_are_all_or_nothing)
{
	unsigned short v[3] = {1, 0, 5}, got[3];
	struct semid_ds ds;
	int id = CHECK_OK(semget(IPC_PRIVATE, 3, 0600));
	CHECK_OK(semctl(id, 0, SETALL, (union semun){.array = v}));
	struct sembuf ops[] = {{0, -1, IPC_NOWAIT}, {2, -5, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
	CHECK_ERRNO(semop(id, ops, 3), EAGAIN);
	CHECK_OK(semctl(id, 0, GETALL, (union semun){.array = got}));
	CHECK_MEM(got, v, sizeof v);
	struct sembuf both[] = {{1, 2, 0}, {1, -1, 0}, {2, -5, 0}, {2, 0, 0}};
	CHECK_OK(semop(id, both, 4));
	CHECK_OK(semctl(id, 0, GETALL, (union semun){.array = got}));
	CHECK_EQ(got[0], 1);
	CHECK_EQ(got[1], 1);
	CHECK_EQ(got[2], 0);
	CHECK_EQ(semctl(id, 1, GETPID), getpid());
	CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
	CHECK_EQ(ds.sem_nsems, 3);
	CHECK_GT(ds.sem_otime, 0);
	v[1] = 40000;
	CHECK_ERRNO(semctl(id, 0, SETALL, (union semun){.array = v}), ERANGE);
	CHECK_OK(semctl(id, 0, IPC_RMID));
}

TEST(sem_waits)
{
	int id = CHECK_OK(semget(IPC_PRIVATE, 2, 0600));
	struct sembuf down = {0, -1, 0}, up = {0, 1, 0}, zero = {1, 0, 0};
	struct timespec soon = {0, 50000000}, bad = {0, 1000000000};
	CHECK_ERRNO(semtimedop(id, &down, 1, &bad), EINVAL);
	long long start = now_ms();
	CHECK_ERRNO(semtimedop(id, &down, 1, &soon), EAGAIN);
	CHECK_GE(now_ms() - start, 45);
	CHECK_OK(semctl(id, 1, SETVAL, 1));
	pid_t a = xfork();
	if (a == 0)
		_exit(semop(id, &down, 1) == 0 ? 3 : 4);
	pid_t b = xfork();
	if (b == 0)
		_exit(semop(id, &zero, 1) == 0 ? 5 : 6);
	wait_asleep(a);
	wait_asleep(b);
	CHECK_EQ(semctl(id, 0, GETNCNT), 1);
	CHECK_EQ(semctl(id, 0, GETZCNT), 0);
	CHECK_EQ(semctl(id, 1, GETZCNT), 1);
	CHECK_OK(semop(id, &up, 1));
	CHECK_EQ(wait_exit(a), 3);
	CHECK_OK(semctl(id, 1, SETVAL, 0));
	CHECK_EQ(wait_exit(b), 5);
	CHECK_EQ(semctl(id, 0, GETNCNT), 0);
	a = xfork();
	if (a == 0)
		_exit(semop(id, &down, 1) < 0 ? errno : 0);
	wait_asleep(a);
	CHECK_OK(semctl(id, 0, IPC_RMID));
	CHECK_EQ(wait_exit(a), EIDRM);
}

static void nothing(int sig MAYBE_UNUSED)
{
}

TEST(sem_waits_are_never_restarted)
{
	int id = CHECK_OK(semget(IPC_PRIVATE, 1, 0600));
	struct sigaction sa = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	struct sembuf down = {0, -1, 0};
	pid_t pid = xfork();
	if (pid == 0) {
		sigaction(SIGUSR1, &sa, NULL);
		_exit(semop(id, &down, 1) < 0 ? errno : 0);
	}
	wait_asleep(pid);
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EQ(wait_exit(pid), EINTR);
	CHECK_OK(semctl(id, 0, IPC_RMID));
}

TEST(sem_undo)
{
	int id = CHECK_OK(semget(IPC_PRIVATE, 2, 0600));
	struct sembuf ops[] = {{0, 3, SEM_UNDO}, {0, -1, SEM_UNDO}, {1, 4, SEM_UNDO}};
	CHILD {
		CHECK_OK(semop(id, ops, 3));
		CHECK_EQ(semctl(id, 0, GETVAL), 2);
		CHECK_OK(semctl(id, 1, SETVAL, 9)); /* forgets what was to be undone */
		CHILD {
			/* fork inherits nothing to undo */
		} CHILD_END;
		CHECK_EQ(semctl(id, 0, GETVAL), 2);
	} CHILD_END;
	CHECK_EQ(semctl(id, 0, GETVAL), 0);
	CHECK_EQ(semctl(id, 1, GETVAL), 9);
	/* A waiter hears of what an exit gives back. */
	CHECK_OK(semctl(id, 0, SETVAL, 1));
	struct sembuf take = {0, -1, SEM_UNDO}, down = {0, -1, 0};
	pid_t pid = xfork();
	if (pid == 0) {
		CHECK_OK(semop(id, &take, 1));
		msleep(100);
		_exit(0);
	}
	msleep(50);
	CHECK_OK(semop(id, &down, 1));
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_OK(semctl(id, 0, IPC_RMID));
}

/* ---- messages ---- */

struct message {
	long type;
	char text[64];
};

static void put(int id, long type, const char *text)
{
	struct message m = {.type = type};
	strcpy(m.text, text);
	CHECK_OK(msgsnd(id, &m, strlen(text) + 1, IPC_NOWAIT));
}

static void want(int id, long type, int flags, long got, const char *text)
{
	struct message m;
	CHECK_EQ(msgrcv(id, &m, sizeof m.text, type, flags | IPC_NOWAIT), strlen(text) + 1);
	CHECK_EQ(m.type, got);
	CHECK_STR(m.text, text);
}

TEST(msg_types_choose)
{
	struct message m;
	int id = CHECK_OK(msgget(IPC_PRIVATE, 0600));
	put(id, 5, "five");
	put(id, 3, "three");
	put(id, 7, "seven");
	put(id, 3, "three too");
	want(id, 1, 040000 /* MSG_COPY */, 3, "three");
	CHECK_ERRNO(msgrcv(id, &m, 64, 9, 040000 | IPC_NOWAIT), ENOMSG);
	CHECK_ERRNO(msgrcv(id, &m, 64, 0, 040000), EINVAL);
	CHECK_ERRNO(msgrcv(id, &m, 64, 2, IPC_NOWAIT), ENOMSG);
	CHECK_ERRNO(msgrcv(id, &m, 64, -2, IPC_NOWAIT), ENOMSG);
	want(id, -6, 0, 3, "three");
	want(id, 5, MSG_EXCEPT, 7, "seven");
	want(id, 0, 0, 5, "five");
	CHECK_ERRNO(msgrcv(id, &m, 3, 3, IPC_NOWAIT), E2BIG);
	CHECK_EQ(msgrcv(id, &m, 3, 3, MSG_NOERROR), 3);
	CHECK_MEM(m.text, "thr", 3);
	CHECK_ERRNO(msgrcv(id, &m, 64, 0, IPC_NOWAIT), ENOMSG);
	CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(msg_argument_errors)
{
	struct message m = {.type = 0};
	int id = CHECK_OK(msgget(IPC_PRIVATE, 0600));
	CHECK_ERRNO(msgsnd(id, &m, 1, 0), EINVAL);
	m.type = 1;
	CHECK_ERRNO(msgsnd(id, &m, 8193, 0), EINVAL);
	CHECK_ERRNO(msgsnd(id, &m, (size_t)-1, 0), EINVAL);
	CHECK_ERRNO(msgsnd(-1, &m, 1, 0), EINVAL);
	CHECK_ERRNO(msgsnd(id, BAD, 1, 0), EFAULT);
	CHECK_ERRNO(msgrcv(id, &m, (size_t)-1, 0, 0), EINVAL);
	CHECK_ERRNO(msgctl(id, 99, NULL), EINVAL);
	CHECK_ERRNO(msgctl(id, IPC_STAT, BAD), EFAULT);
	CHECK_OK(msgctl(id, IPC_RMID, NULL));
	CHECK_ERRNO(msgsnd(id, &m, 1, 0), EINVAL);
	CHECK_ERRNO(msgrcv(id, &m, 1, 0, 0), EINVAL);
}

TEST(msg_queue_fills_and_waits)
{
	static struct {
		long type;
		char text[8192];
	} big = {.type = 1};
	struct msqid_ds ds;
	struct message m;
	int id = CHECK_OK(msgget(IPC_PRIVATE, 0600));
	CHECK_OK(msgsnd(id, &big, 8192, 0));
	CHECK_OK(msgsnd(id, &big, 8192, 0));
	CHECK_ERRNO(msgsnd(id, &big, 1, IPC_NOWAIT), EAGAIN);
	CHECK_OK(msgctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.msg_qnum, 2);
	CHECK_EQ(ds.__msg_cbytes, 16384);
	CHECK_EQ(ds.msg_qbytes, 16384);
	CHECK_EQ(ds.msg_lspid, getpid());
	pid_t pid = xfork();
	if (pid == 0)
		_exit(msgsnd(id, &big, 1, 0) < 0);
	wait_asleep(pid);
	CHECK_EQ(msgrcv(id, &big, 8192, 0, 0), 8192);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_EQ(msgrcv(id, &big, 8192, 0, 0), 8192);
	CHECK_EQ(msgrcv(id, &big, 8192, 0, 0), 1);
	pid = xfork();
	if (pid == 0)
		_exit(msgrcv(id, &m, 64, 4, 0) == 6 && strcmp(m.text, "hello") == 0 ? 0 : 1);
	wait_asleep(pid);
	put(id, 3, "not you");
	put(id, 4, "hello");
	CHECK_EQ(wait_exit(pid), 0);
	pid = xfork();
	if (pid == 0)
		_exit(msgrcv(id, &m, 64, 99, 0) < 0 ? errno : 0);
	wait_asleep(pid);
	CHECK_OK(msgctl(id, IPC_RMID, NULL));
	CHECK_EQ(wait_exit(pid), EIDRM);
}

TEST(msg_permissions_and_limits)
{
	struct msqid_ds ds;
	struct msginfo info;
	struct message m = {.type = 1};
	int id = CHECK_OK(msgget(some_key(), IPC_CREAT | 0600));
	CHECK_ERRNO(msgget(some_key(), IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	CHECK_OK(msgctl(0, IPC_INFO, (void *)&info));
	CHECK_EQ(info.msgmax, 8192);
	CHECK_EQ(info.msgmnb, 16384);
	CHECK_OK(msgctl(id, IPC_STAT, &ds));
	ds.msg_qbytes = 100;
	CHECK_OK(msgctl(id, IPC_SET, &ds));
	CHECK_OK(msgsnd(id, &m, 64, IPC_NOWAIT));
	CHECK_ERRNO(msgsnd(id, &m, 64, IPC_NOWAIT), EAGAIN);
	if (is_root()) {
		CHILD {
			key_t key = some_key();
			(void)key;
			become_user();
			CHECK_ERRNO(msgsnd(id, &m, 1, IPC_NOWAIT), EACCES);
			CHECK_ERRNO(msgrcv(id, &m, 1, 0, IPC_NOWAIT), EACCES);
			CHECK_ERRNO(msgctl(id, IPC_STAT, &ds), EACCES);
			CHECK_ERRNO(msgctl(id, IPC_RMID, NULL), EPERM);
		} CHILD_END;
	} else {
		ds.msg_qbytes = 16385;
		CHECK_ERRNO(msgctl(id, IPC_SET, &ds), EPERM);
	}
	CHECK_OK(msgctl(id, IPC_RMID, NULL));
}
