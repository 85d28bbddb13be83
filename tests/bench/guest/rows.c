/* The microbenchmarks, run by the bench natively and in each sandbox.
 *
 *   rows ROW SECONDS DIR     measures one row for about SECONDS, with files left in DIR; prints the value
 *   rows --list              the names, one a line
 *   rows --command N SHELL   runs a shell command once to warm up, then N times; prints the median in milliseconds
 *
 * A value is nanoseconds an operation, or GB/s for the rows whose name ends so. Every row checks that its operation worked: a call that
 * fails quickly is no result. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds = 0.1;
static const char *directory = "/tmp";
static const char *self;
static char path[256];
static char buffer[1 << 18];

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "rows.c:%d: %s: %s\n", __LINE__, #condition, strerror(errno));                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

/* Nanoseconds an operation: `body` until the time is over, after a tenth of it to warm up. */
#define MEASURE(batch, body)                                                                                           \
    ({                                                                                                                 \
        double spent_ = 0;                                                                                             \
        long count_ = 0;                                                                                               \
        for (int warm_ = 1; warm_ >= 0; warm_--) {                                                                     \
            double start_ = now(), limit_ = seconds * (warm_ ? 1e8 : 1e9);                                             \
            count_ = 0;                                                                                                \
            do {                                                                                                       \
                for (int i_ = 0; i_ < (batch); i_++) {                                                                 \
                    body;                                                                                              \
                }                                                                                                      \
                count_ += (batch);                                                                                     \
                spent_ = now() - start_;                                                                               \
            } while (spent_ < limit_);                                                                                 \
        }                                                                                                              \
        spent_ / count_;                                                                                               \
    })

static int scratch_file(size_t size) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    MUST(fd >= 0);
    for (size_t done = 0; done < size; done += sizeof buffer) {
        size_t part = size - done < sizeof buffer ? size - done : sizeof buffer;
        MUST(write(fd, buffer, part) == (ssize_t)part);
    }
    return fd;
}

/* Calls */
static double row_getppid(void) { return MEASURE(64, MUST(syscall(SYS_getppid) >= 0)); }
static double row_getpid(void) { return MEASURE(64, MUST(syscall(SYS_getpid) > 0)); }
static double row_clock_gettime(void) {
    struct timespec time;
    return MEASURE(64, MUST(!clock_gettime(CLOCK_REALTIME, &time)));
}
static double row_sched_yield(void) { return MEASURE(64, MUST(!sched_yield())); }
static double row_cpu(void) {
    /* Arithmetic and memory, no calls: what a sandbox must not touch. */
    static uint64_t table[4096];
    uint64_t x = 88172645463325252ull;
    double time = MEASURE(1000, ({
                              for (int i = 0; i < 100; i++) {
                                  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                                  table[x & 4095] += x;
                              }
                          }));
    MUST(table[0] != 1);
    return time;
}

/* Files */
static double pread_of(size_t size) {
    int fd = scratch_file(sizeof buffer);
    return MEASURE(16, MUST(pread(fd, buffer, size, 0) == (ssize_t)size));
}
static double row_pread_1(void) { return pread_of(1); }
static double row_pread_4k(void) { return pread_of(4096); }
static double row_pread_64k(void) { return pread_of(65536); }
static double pwrite_of(size_t size) {
    int fd = scratch_file(sizeof buffer);
    return MEASURE(16, MUST(pwrite(fd, buffer, size, 0) == (ssize_t)size));
}
static double row_pwrite_4k(void) { return pwrite_of(4096); }
static double row_pwrite_64k(void) { return pwrite_of(65536); }
static double row_read_etc(void) {
    int fd = open("/bin/sh", O_RDONLY);
    MUST(fd >= 0);
    return MEASURE(16, MUST(pread(fd, buffer, 4096, 0) == 4096));
}
static double row_fstat(void) {
    struct stat st;
    int fd = scratch_file(1);
    return MEASURE(16, MUST(!fstat(fd, &st)));
}
static double row_stat(void) {
    struct stat st;
    close(scratch_file(1));
    return MEASURE(16, MUST(!stat(path, &st)));
}
static double row_stat_usr(void) {
    struct stat st;
    return MEASURE(16, MUST(!stat("/usr/bin/env", &st)));
}
static double row_stat_absent(void) {
    struct stat st;
    return MEASURE(16, MUST(stat("/usr/bin/no-such-program", &st) == -1 && errno == ENOENT));
}
static double row_stat_deep(void) {
    struct stat st;
    char deep[512];
    snprintf(deep, sizeof deep, "%s.d", path);
    for (int i = 0; i < 8; i++) {
        MUST(!mkdir(deep, 0700));
        strcat(deep, "/d");
    }
    MUST(!mkdir(deep, 0700));
    return MEASURE(16, MUST(!stat(deep, &st)));
}
static double row_open(void) {
    close(scratch_file(1));
    return MEASURE(16, ({
                       int fd = open(path, O_RDONLY);
                       MUST(fd >= 0 && !close(fd));
                   }));
}
static double row_open_etc(void) {
    return MEASURE(16, ({
                       int fd = open("/etc/passwd", O_RDONLY);
                       MUST(fd >= 0 && !close(fd));
                   }));
}
static double row_create(void) {
    return MEASURE(16, ({
                       int fd = open(path, O_CREAT | O_RDWR, 0600);
                       MUST(fd >= 0 && !close(fd) && !unlink(path));
                   }));
}
static double row_getdents(void) {
    char name[300];
    MUST(!mkdir(path, 0700));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%s/entry-%d", path, i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    return MEASURE(1, ({
                       int entries = 0;
                       DIR *dir = opendir(path);
                       MUST(dir);
                       while (readdir(dir))
                           entries++;
                       MUST(entries == 1002 && !closedir(dir));
                   })) /
           1000;
}

/* Waiting and waking */
static void *echo(void *argument) {
    int fd = (int)(long)argument;
    char byte;
    while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
        ;
    return 0;
}
static void start(void *(*function)(void *), long argument) {
    pthread_t thread;
    MUST(!pthread_create(&thread, 0, function, (void *)argument));
}
static double ping_pong(int fd) {
    return MEASURE(16, MUST(write(fd, buffer, 1) == 1 && read(fd, buffer, 1) == 1));
}
static double row_pipe(void) {
    int fds[2];
    MUST(!pipe(fds));
    return MEASURE(16, MUST(write(fds[1], buffer, 1) == 1 && read(fds[0], buffer, 1) == 1));
}
static double row_pipe_processes(void) {
    int there[2], back[2];
    MUST(!pipe(there) && !pipe(back));
    if (!fork()) {
        close(there[1]);
        while (read(there[0], buffer, 1) == 1 && write(back[1], buffer, 1) == 1)
            ;
        _exit(0);
    }
    return MEASURE(16, MUST(write(there[1], buffer, 1) == 1 && read(back[0], buffer, 1) == 1));
}
static double row_unix(void) {
    int fds[2];
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    start(echo, fds[1]);
    return ping_pong(fds[0]);
}
static double row_eventfd(void) {
    uint64_t value = 1;
    int fd = eventfd(0, 0);
    return MEASURE(16, MUST(write(fd, &value, 8) == 8 && read(fd, &value, 8) == 8));
}
static double epoll_of(int idle) {
    struct rlimit limit;
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), ready = eventfd(1, 0);
    MUST(!getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    MUST(!setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < idle; i++)
        MUST(!epoll_ctl(epoll, EPOLL_CTL_ADD, eventfd(0, 0), &event));
    MUST(!epoll_ctl(epoll, EPOLL_CTL_ADD, ready, &event));
    return MEASURE(16, MUST(epoll_wait(epoll, &event, 1, -1) == 1));
}
static double row_epoll_1(void) { return epoll_of(0); }
static double row_epoll_1000(void) { return epoll_of(999); }

static int turn;
static void futex_wait_while(int value) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == value)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}
static void futex_set(int value) {
    __atomic_store_n(&turn, value, __ATOMIC_RELEASE);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}
static void *futex_echo(void *argument) {
    for (;;) {
        futex_wait_while(0);
        futex_set(0);
    }
    return argument;
}
static double row_futex(void) {
    start(futex_echo, 0);
    return MEASURE(16, ({
                       futex_set(1);
                       futex_wait_while(1);
                   }));
}
static double row_futex_wake(void) {
    static int word;
    return MEASURE(64, MUST(!syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0)));
}
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile long guarded;
static void *contend(void *argument) {
    for (;;) {
        pthread_mutex_lock(&mutex);
        guarded++;
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}
static double row_mutex(void) {
    start(contend, 0);
    return MEASURE(64, ({
                       pthread_mutex_lock(&mutex);
                       guarded++;
                       pthread_mutex_unlock(&mutex);
                   }));
}
static volatile int handled;
static void handler(int signal) { handled += signal; }
static double row_signal(void) {
    signal(SIGUSR1, handler);
    double time = MEASURE(16, MUST(!raise(SIGUSR1)));
    MUST(handled);
    return time;
}

/* Memory */
static char *map(size_t size) {
    char *at = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(at != MAP_FAILED);
    return at;
}
static double row_mmap(void) { return MEASURE(16, MUST(!munmap(map(4096), 4096))); }
static double row_mmap_touch(void) {
    return MEASURE(16, ({
                       char *at = map(65536);
                       for (int page = 0; page < 16; page++)
                           at[page * 4096] = 1;
                       MUST(!munmap(at, 65536));
                   }));
}
static double row_touch(void) {
    size_t size = 64 << 20;
    char *at = map(size);
    double begin = now();
    for (size_t i = 0; i < size; i += 4096)
        at[i] = 1;
    return (now() - begin) / (size / 4096);
}
static double row_mprotect(void) {
    char *at = map(65536);
    at[0] = 1;
    return MEASURE(16, MUST(!mprotect(at, 65536, PROT_READ) && !mprotect(at, 65536, PROT_READ | PROT_WRITE)));
}
static double row_file_fault(void) {
    close(scratch_file(1 << 20));
    return MEASURE(1, ({
                       int fd = open(path, O_RDONLY);
                       volatile char *at = mmap(0, 1 << 20, PROT_READ, MAP_SHARED, fd, 0);
                       MUST(at != MAP_FAILED);
                       for (int page = 0; page < 256; page++)
                           (void)at[page * 4096];
                       MUST(!munmap((void *)at, 1 << 20) && !close(fd));
                   })) /
           256;
}

/* Threads and processes */
static void *nothing(void *argument) { return argument; }
static double row_pthread(void) {
    return MEASURE(1, ({
                       pthread_t thread;
                       MUST(!pthread_create(&thread, 0, nothing, 0) && !pthread_join(thread, 0));
                   }));
}
static void fork_and_wait(void) {
    int status;
    pid_t child = fork();
    if (!child)
        _exit(0);
    MUST(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}
static double row_fork(void) { return MEASURE(1, fork_and_wait()); }
static double row_fork_1g(void) {
    size_t size = 1 << 30;
    char *at = map(size);
    for (size_t i = 0; i < size; i += 4096)
        at[i] = 1;
    return MEASURE(1, fork_and_wait());
}
static double exec_of(const char *program, const char *argument) {
    return MEASURE(1, ({
                       int status;
                       pid_t child = fork();
                       if (!child) {
                           execl(program, program, argument, (char *)0);
                           _exit(127);
                       }
                       MUST(child > 0 && waitpid(child, &status, 0) == child && status == 0);
                   }));
}
static double row_exec_static(void) { return exec_of(self, "--nothing"); }
static double row_exec_dynamic(void) { return exec_of("/bin/true", 0); }
static double row_spawn(void) {
    char *arguments[] = {"/bin/true", 0}, *environment[] = {0};
    return MEASURE(1, ({
                       int status;
                       pid_t child;
                       MUST(!posix_spawn(&child, "/bin/true", 0, 0, arguments, environment));
                       MUST(waitpid(child, &status, 0) == child && status == 0);
                   }));
}

/* Loopback */
static struct sockaddr_in address = {.sin_family = AF_INET};
static int inet(int type) {
    int fd = socket(AF_INET, type, 0), one = 1;
    MUST(fd >= 0);
    if (type == SOCK_STREAM)
        MUST(!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    return fd;
}
static int listener(void) {
    socklen_t length = sizeof address;
    int fd = inet(SOCK_STREAM);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = 0;
    MUST(!bind(fd, (void *)&address, sizeof address) && !listen(fd, 128));
    MUST(!getsockname(fd, (void *)&address, &length));
    return fd;
}
static int dial(void) {
    int fd = inet(SOCK_STREAM);
    MUST(!connect(fd, (void *)&address, sizeof address));
    return fd;
}
static double row_tcp(void) {
    int listening = listener(), fd = dial();
    start(echo, accept(listening, 0, 0));
    return ping_pong(fd);
}
static double row_udp(void) {
    socklen_t length = sizeof address;
    struct sockaddr_in peer;
    int one = inet(SOCK_DGRAM), two = inet(SOCK_DGRAM);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(!bind(one, (void *)&address, sizeof address) && !getsockname(one, (void *)&address, &length));
    MUST(!connect(two, (void *)&address, sizeof address) && !getsockname(two, (void *)&peer, &length));
    MUST(!connect(one, (void *)&peer, sizeof peer));
    start(echo, two);
    return ping_pong(one);
}
static double row_tcp_connect(void) {
    int listening = listener();
    return MEASURE(4, ({
                       int fd = dial(), accepted = accept(listening, 0, 0);
                       MUST(accepted >= 0 && !close(fd) && !close(accepted));
                   }));
}
static void *sink(void *argument) {
    static char data[1 << 18];
    while (read((int)(long)argument, data, sizeof data) > 0)
        ;
    return 0;
}
static double stream_into(int fd) {
    double begin = now(), total = 0, limit = seconds * 3e9;
    while (now() - begin < limit) {
        ssize_t wrote = write(fd, buffer, 65536);
        MUST(wrote > 0);
        total += wrote;
    }
    return total / (now() - begin);
}
static double row_tcp_stream(void) {
    int listening = listener(), fd = dial();
    start(sink, accept(listening, 0, 0));
    return stream_into(fd);
}
static double row_unix_stream(void) {
    int fds[2];
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    start(sink, fds[1]);
    return stream_into(fds[0]);
}
static double row_pipe_stream(void) {
    int fds[2];
    MUST(!pipe(fds));
    start(sink, fds[0]);
    return stream_into(fds[1]);
}

static const struct {
    const char *name;
    double (*measure)(void);
} rows[] = {
    {"getppid", row_getppid},
    {"getpid", row_getpid},
    {"clock_gettime", row_clock_gettime},
    {"sched_yield", row_sched_yield},
    {"cpu-only loop", row_cpu},
    {"pread 1B", row_pread_1},
    {"pread 4K", row_pread_4k},
    {"pread 64K", row_pread_64k},
    {"pread 4K of /bin/sh", row_read_etc},
    {"pwrite 4K", row_pwrite_4k},
    {"pwrite 64K", row_pwrite_64k},
    {"fstat", row_fstat},
    {"stat", row_stat},
    {"stat /usr/bin/env", row_stat_usr},
    {"stat, absent", row_stat_absent},
    {"stat, 10 deep", row_stat_deep},
    {"open+close", row_open},
    {"open+close /etc/passwd", row_open_etc},
    {"create+unlink", row_create},
    {"getdents, an entry", row_getdents},
    {"pipe w+r same thread", row_pipe},
    {"eventfd w+r", row_eventfd},
    {"epoll_wait, 1 fd", row_epoll_1},
    {"epoll_wait, 1000 fds", row_epoll_1000},
    {"signal to self", row_signal},
    {"futex wake, nobody", row_futex_wake},
    {"mutex, 2 threads", row_mutex},
    {"futex ping-pong", row_futex},
    {"pipe ping-pong, processes", row_pipe_processes},
    {"unix ping-pong", row_unix},
    {"tcp ping-pong", row_tcp},
    {"udp ping-pong", row_udp},
    {"tcp connect+accept+close", row_tcp_connect},
    {"mmap+munmap 4K", row_mmap},
    {"mmap+touch+munmap 64K", row_mmap_touch},
    {"first touch, a page", row_touch},
    {"mprotect pair 64K", row_mprotect},
    {"file mapping, a page", row_file_fault},
    {"pthread create+join", row_pthread},
    {"fork+exit+wait", row_fork},
    {"fork+exit+wait, 1 GB", row_fork_1g},
    {"fork+exec+wait static", row_exec_static},
    {"fork+exec+wait /bin/true", row_exec_dynamic},
    {"posix_spawn /bin/true", row_spawn},
    {"tcp stream GB/s", row_tcp_stream},
    {"unix stream GB/s", row_unix_stream},
    {"pipe stream GB/s", row_pipe_stream},
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int time_command(int count, const char *command) {
    double times[64];
    MUST(count > 0 && count <= 64);
    for (int i = -1; i < count; i++) {
        double begin = now();
        int status = system(command);
        if (status) {
            fprintf(stderr, "rows: %s: wait status %#x\n", command, status);
            return 1;
        }
        if (i >= 0)
            times[i] = (now() - begin) / 1e6;
    }
    qsort(times, count, sizeof *times, by_value);
    printf("%.3f\n", times[count / 2]);
    return 0;
}

int main(int count, char **arguments) {
    self = arguments[0];
    if (count == 2 && !strcmp(arguments[1], "--nothing"))
        return 0;
    if (count == 2 && !strcmp(arguments[1], "--list")) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            puts(rows[i].name);
        return 0;
    }
    if (count == 4 && !strcmp(arguments[1], "--command"))
        return time_command(atoi(arguments[2]), arguments[3]);
    if (count == 4) {
        seconds = atof(arguments[2]);
        directory = arguments[3];
        snprintf(path, sizeof path, "%s/rows.%d", directory, getpid());
        memset(buffer, 1, sizeof buffer);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (!strcmp(rows[i].name, arguments[1])) {
                printf("%.3f\n", rows[i].measure());
                return 0;
            }
    }
    fprintf(stderr, "usage: rows ROW SECONDS DIR | rows --list | rows --command N SHELL\n");
    return 2;
}
