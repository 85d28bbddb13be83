/* execve and execveat: limits, refusals, scripts, what survives and what the new image finds. */
#include "check.h"
#include <elf.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

static char *no_env[] = {NULL};

/* Runs path in a child, collects its standard output; returns its exit code, 200 + errno if exec failed. */
static int run(const char *path, char **argv, char **envp, char *out, size_t size)
{
	int p[2];
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		CHECK_OK(dup2(p[1], 1));
		close(p[0]);
		close(p[1]);
		execve(path, argv, envp);
		_exit(200 + errno);
	}
	close(p[1]);
	read_all(p[0], out, size);
	close(p[0]);
	return wait_exit(pid);
}

/* The errno exec fails with in a child, 0 if it worked and the program ended with 0. */
static int exec_error(const char *path)
{
	char out[64], *argv[] = {(char *)path, "@nothing", NULL};
	int code = run(path, argv, no_env, out, sizeof out);
	return code >= 200 ? code - 200 : code;
}

HELPER(nothing)
{
	return 0;
}

/* Prints its arguments from the zeroth, then after a / its environment. */
HELPER(show)
{
	extern char **environ;
	for (int i = 0; i < argc; i++)
		printf("[%s]", argv[i]);
	printf("/");
	for (char **e = environ; *e; e++)
		printf("[%s]", *e);
	fflush(stdout);
	return 0;
}

HELPER(lengths)
{
	size_t total = 0;
	for (int i = 2; i < argc; i++)
		total += strlen(argv[i]);
	printf("%d %zu", argc, total);
	fflush(stdout);
	return 0;
}

static void make_file(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = CHECK_OK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	CHECK_EQ(write(fd, data, len), len);
	CHECK_OK(fchmod(fd, mode));
	CHECK_OK(close(fd));
}

static void make_script(const char *path, const char *text)
{
	make_file(path, text, strlen(text), 0755);
}

static void copy_self(const char *path)
{
	int in = CHECK_OK(open(self_exe, O_RDONLY)), out = CHECK_OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755));
	char buf[65536];
	ssize_t n;
	while ((n = read(in, buf, sizeof buf)) > 0)
		CHECK_EQ(write(out, buf, n), n);
	close(in);
	CHECK_OK(close(out));
}

/* A static program of one page that exits with 42. */
struct tiny {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	unsigned char code[16];
	char interp[64];
};

static struct tiny tiny_elf(void)
{
	struct tiny t = {
		.eh = {
			.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = 0x10000000 + offsetof(struct tiny, code),
			.e_phoff = offsetof(struct tiny, ph),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
		},
		.ph = {{PT_LOAD, PF_R | PF_X, 0, 0x10000000, 0x10000000, sizeof t, sizeof t, 4096}},
		.code = {0xb8, 60, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 0x05},
	};
	return t;
}

static int tiny_error(const struct tiny *t)
{
	make_file("tiny", t, sizeof *t, 0755);
	return exec_error("./tiny");
}

TEST(argv_and_envp_arrive)
{
	char out[512], *argv[] = {"zero", "@show", "", "two words", NULL}, *envp[] = {"A=1", "B=", "no_equals", NULL};
	CHECK_EQ(run(self_exe, argv, envp, out, sizeof out), 0);
	CHECK_STR(out, "[zero][@show][][two words]/[A=1][B=][no_equals]");
}

TEST(empty_argv_becomes_one_empty_string)
{
	char out[512], *argv[] = {NULL}, *envp[] = {"CHECK_HELPER=@show", NULL};
	CHECK_EQ(run(self_exe, argv, envp, out, sizeof out), 0);
	CHECK_STR(out, "[]/[CHECK_HELPER=@show]");
}

TEST(null_envp_is_empty)
{
	char out[512], *argv[] = {"x", "@show", NULL};
	CHECK_EQ(run(self_exe, argv, NULL, out, sizeof out), 0);
	CHECK_STR(out, "[x][@show]/");
}

TEST(enoent)
{
	CHECK_EQ(exec_error("missing"), ENOENT);
	CHECK_EQ(exec_error(""), ENOENT);
	CHECK_OK(symlink("nowhere", "dangling"));
	CHECK_EQ(exec_error("dangling"), ENOENT);
}

TEST(enotdir)
{
	write_file("file", "x");
	CHECK_EQ(exec_error("file/x"), ENOTDIR);
}

TEST(eloop_of_symlinks)
{
	CHECK_OK(symlink("b", "a"));
	CHECK_OK(symlink("a", "b"));
	CHECK_EQ(exec_error("a"), ELOOP);
}

TEST(enametoolong)
{
	char name[300];
	memset(name, 'x', sizeof name);
	name[sizeof name - 1] = 0;
	CHECK_EQ(exec_error(name), ENAMETOOLONG);
}

TEST(eacces_without_x_bit_even_for_root)
{
	copy_self("prog");
	CHECK_OK(chmod("prog", 0644));
	CHECK_EQ(exec_error("./prog"), EACCES);
}

TEST(eacces_of_directory)
{
	CHECK_OK(mkdir("dir", 0755));
	CHECK_EQ(exec_error("dir"), EACCES);
}

TEST(eacces_of_fifo_and_device)
{
	CHECK_OK(mkfifo("fifo", 0755));
	CHECK_EQ(exec_error("./fifo"), EACCES);
	CHECK_EQ(exec_error("/dev/null"), EACCES);
}

TEST(eacces_when_path_cannot_be_searched)
{
	CHECK_OK(mkdir("shut", 0755));
	copy_self("shut/prog");
	CHECK_OK(chmod("shut", 0600));
	CHILD {
		become_user();
		CHECK_ERRNO(execl("shut/prog", "x", NULL), EACCES);
	} CHILD_END;
}

TEST(eacces_when_only_others_may_execute)
{
	NEED_ROOT();
	copy_self("prog");
	CHECK_OK(chown("prog", PLAIN_UID, PLAIN_GID));
	CHECK_OK(chmod("prog", 0077));
	CHILD {
		become_user();
		CHECK_ERRNO(execl("./prog", "x", NULL), EACCES);
	} CHILD_END;
	CHECK_EQ(exec_error("./prog"), 0);
}

TEST(execute_only_file_runs)
{
	copy_self("prog");
	CHECK_OK(chmod("prog", 0111));
	CHILD {
		become_user();
		CHECK_EQ(exec_error("./prog"), 0);
	} CHILD_END;
}

TEST(enoexec_of_unknown_formats)
{
	make_file("text", "hello\n", 6, 0755);
	CHECK_EQ(exec_error("./text"), ENOEXEC);
	make_file("empty", "", 0, 0755);
	CHECK_EQ(exec_error("./empty"), ENOEXEC);
	make_file("magic", "\177ELF", 4, 0755);
	CHECK_EQ(exec_error("./magic"), ENOEXEC);
}

TEST(etxtbsy_when_open_for_writing)
{
	copy_self("prog");
	int fd = CHECK_OK(open("prog", O_WRONLY | O_CLOEXEC));
	CHECK_EQ(exec_error("./prog"), ETXTBSY);
	close(fd);
	CHECK_EQ(exec_error("./prog"), 0);
}

HELPER(wait_for_input)
{
	char c;
	if (write(1, "!", 1) != 1)
		return 1;
	return read(0, &c, 1) == 0 ? 0 : 1;
}

TEST(etxtbsy_writing_a_running_program)
{
	int to[2], from[2];
	char c, *argv[] = {"./prog", "@wait_for_input", NULL};
	copy_self("prog");
	CHECK_OK(pipe2(to, O_CLOEXEC));
	CHECK_OK(pipe2(from, O_CLOEXEC));
	pid_t pid = xfork();
	if (pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		execve("./prog", argv, no_env);
		_exit(1);
	}
	CHECK_EQ(read(from[0], &c, 1), 1);
	CHECK_ERRNO(open("prog", O_WRONLY), ETXTBSY);
	CHECK_ERRNO(open("prog", O_RDONLY | O_TRUNC), ETXTBSY);
	CHECK_ERRNO(truncate("prog", 0), ETXTBSY);
	CHECK_OK(unlink("prog"));
	close(to[1]);
	CHECK_EQ(wait_exit(pid), 0);
}

TEST(efault)
{
	char *argv[] = {"x", NULL}, *bad[] = {BAD, NULL};
	CHECK_ERRNO(execve(BAD, argv, no_env), EFAULT);
	CHECK_ERRNO(execve(self_exe, BAD, no_env), EFAULT);
	CHECK_ERRNO(execve(self_exe, bad, no_env), EFAULT);
	CHECK_ERRNO(execve(self_exe, argv, bad), EFAULT);
}

/* MAX_ARG_STRLEN: 32 pages with the final 0. */
TEST(e2big_of_one_string)
{
	static char s[131073];
	char out[64], *argv[] = {"x", "@lengths", s, NULL};
	memset(s, 'a', 131071);
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 0);
	CHECK_STR(out, "3 131071");
	s[131071] = 'a';
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 200 + E2BIG);
	char *envp[] = {s, NULL};
	argv[2] = NULL;
	CHECK_EQ(run(self_exe, argv, envp, out, sizeof out), 200 + E2BIG);
}

/* A quarter of the stack limit for all strings and pointers together. */
TEST(e2big_of_total)
{
	static char s[100001];
	char out[64], *argv[32] = {"x", "@lengths"};
	struct rlimit r = {8 << 20, 8 << 20};
	CHECK_OK(setrlimit(RLIMIT_STACK, &r));
	memset(s, 'a', sizeof s - 1);
	for (int i = 2; i < 22; i++)
		argv[i] = s;
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 0);
	CHECK_STR(out, "22 2000000");
	argv[22] = s;
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 200 + E2BIG);
}

TEST(e2big_follows_stack_limit)
{
	static char s[100001];
	char out[64], *argv[] = {"x", "@lengths", s, s, s, NULL};
	struct rlimit r = {1 << 20, 8 << 20};
	memset(s, 'a', sizeof s - 1);
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 0);
	CHECK_OK(setrlimit(RLIMIT_STACK, &r));
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 200 + E2BIG);
}

TEST(ten_thousand_arguments)
{
	static char *argv[10003] = {"x", "@lengths"};
	char out[64];
	for (int i = 2; i < 10002; i++)
		argv[i] = "arg";
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 0);
	CHECK_STR(out, "10002 30000");
}

TEST(script_gets_interpreter_argument_path_and_args)
{
	char text[PATH_MAX + 64], out[PATH_MAX * 2], want[PATH_MAX * 2], *argv[] = {"dropped", "one", "two", NULL};
	snprintf(text, sizeof text, "#!%s @show\nrest\n", self_exe);
	make_script("s", text);
	CHECK_EQ(run("./s", argv, no_env, out, sizeof out), 0);
	snprintf(want, sizeof want, "[%s][@show][./s][one][two]/", self_exe);
	CHECK_STR(out, want);
}

TEST(script_argument_is_one_word_with_inner_blanks)
{
	char text[PATH_MAX + 64], out[PATH_MAX * 2], want[PATH_MAX * 2], *argv[] = {"x", NULL};
	snprintf(text, sizeof text, "#! \t%s  @show  a  b \t \nrest\n", self_exe);
	make_script("s", text);
	CHECK_EQ(run("./s", argv, no_env, out, sizeof out), 0);
	snprintf(want, sizeof want, "[%s][@show  a  b][./s]/", self_exe);
	CHECK_STR(out, want);
}

TEST(script_without_argument_or_newline)
{
	char text[PATH_MAX + 64], out[PATH_MAX * 2], want[PATH_MAX * 2], *argv[] = {"x", "@show", NULL};
	char *envp[] = {"CHECK_HELPER=@show", NULL};
	snprintf(text, sizeof text, "#!%s", self_exe);
	make_script("s", text);
	CHECK_EQ(run("./s", argv, envp, out, sizeof out), 0);
	snprintf(want, sizeof want, "[%s][./s][@show]/[CHECK_HELPER=@show]", self_exe);
	CHECK_STR(out, want);
}

TEST(script_interpreter_errors)
{
	make_script("gone", "#!/no/such/interpreter\n");
	CHECK_EQ(exec_error("./gone"), ENOENT);
	make_script("dir", "#!/\n");
	CHECK_EQ(exec_error("./dir"), EACCES);
	make_script("none", "#!\n");
	CHECK_EQ(exec_error("./none"), ENOEXEC);
	make_script("blank", "#!   \n");
	CHECK_EQ(exec_error("./blank"), ENOEXEC);
	write_file("data", "x");
	make_script("noexec", "#!./data\n");
	CHECK_EQ(exec_error("./noexec"), EACCES);
}

TEST(script_first_line_over_256_bytes)
{
	char text[400];
	memset(text, 'x', sizeof text);
	memcpy(text, "#!/", 3);
	text[399] = 0;
	make_script("long", text);
	CHECK_EQ(exec_error("./long"), ENOEXEC);
}

TEST(script_as_interpreter_of_script)
{
	char text[PATH_MAX + 64], out[PATH_MAX * 2], want[PATH_MAX * 2], *argv[] = {"x", "tail", NULL};
	snprintf(text, sizeof text, "#!%s @show\n", self_exe);
	make_script("s1", text);
	make_script("s2", "#!./s1 inner\n");
	CHECK_EQ(run("./s2", argv, no_env, out, sizeof out), 0);
	snprintf(want, sizeof want, "[%s][@show][./s1][inner][./s2][tail]/", self_exe);
	CHECK_STR(out, want);
}

TEST(script_nesting_has_a_limit)
{
	make_script("self", "#!./self\n");
	CHECK_EQ(exec_error("./self"), ELOOP);
}

TEST(tiny_elf_runs)
{
	struct tiny t = tiny_elf();
	CHECK_EQ(tiny_error(&t), 42);
}

TEST(elf_refusals)
{
	struct tiny t = tiny_elf();
	t.eh.e_machine = EM_AARCH64;
	CHECK_EQ(tiny_error(&t), ENOEXEC);
	t = tiny_elf();
	t.eh.e_type = ET_REL;
	CHECK_EQ(tiny_error(&t), ENOEXEC);
	t = tiny_elf();
	t.eh.e_phentsize = 8;
	CHECK_EQ(tiny_error(&t), ENOEXEC);
	t = tiny_elf();
	t.eh.e_phnum = 0;
	CHECK_EQ(tiny_error(&t), ENOEXEC);
	t = tiny_elf();
	t.eh.e_phnum = 0xffff;
	CHECK_EQ(tiny_error(&t), ENOEXEC);
}

TEST(elf_interpreter_errors)
{
	struct tiny t = tiny_elf();
	t.ph[1] = (Elf64_Phdr){PT_INTERP, PF_R, offsetof(struct tiny, interp), 0, 0, 16, 16, 1};
	t.eh.e_phnum = 2;
	strcpy(t.interp, "/no/such/ld.so.");
	CHECK_EQ(tiny_error(&t), ENOENT);
	memset(t.interp, 'x', 16); /* not 0-terminated */
	CHECK_EQ(tiny_error(&t), ENOEXEC);
	t.ph[1].p_filesz = 1;
	CHECK_EQ(tiny_error(&t), ENOEXEC);
}

TEST(failed_exec_changes_nothing)
{
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	signal(SIGUSR1, check_on_alarm);
	make_file("text", "hello\n", 6, 0755);
	CHECK_ERRNO(execl("./text", "x", NULL), ENOEXEC);
	CHECK_OK(fcntl(fd, F_GETFD));
	CHECK(signal(SIGUSR1, SIG_DFL) == check_on_alarm);
}

HELPER(fds)
{
	for (int i = 2; i < argc; i++)
		printf("%d", fcntl(atoi(argv[i]), F_GETFD));
	fflush(stdout);
	return 0;
}

TEST(close_on_exec)
{
	char out[64], *argv[] = {"x", "@fds", "50", "51", "52", NULL};
	CHECK_OK(dup3(0, 50, 0));
	CHECK_OK(dup3(0, 51, O_CLOEXEC));
	CHECK_OK(dup3(0, 52, O_CLOEXEC));
	CHECK_OK(fcntl(52, F_SETFD, 0));
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 0);
	CHECK_STR(out, "0-10");
}

HELPER(offset)
{
	return (int)lseek(60, 0, SEEK_CUR);
}

TEST(offset_survives)
{
	char out[64], *argv[] = {"x", "@offset", NULL};
	int fd = CHECK_OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_EQ(write(fd, "0123456789", 10), 10);
	CHECK_OK(lseek(fd, 7, SEEK_SET));
	CHECK_OK(dup2(fd, 60));
	CHECK_EQ(run(self_exe, argv, no_env, out, sizeof out), 7);
}

HELPER(ids)
{
	char cwd[PATH_MAX];
	printf("%d %d %d %d %o %s", getpid(), getppid(), getpgrp(), getsid(0), umask(0), getcwd(cwd, sizeof cwd));
	fflush(stdout);
	return 0;
}

TEST(pid_group_session_umask_cwd_survive)
{
	char out[PATH_MAX + 64], want[PATH_MAX + 64], cwd[PATH_MAX], *argv[] = {"x", "@ids", NULL};
	int p[2];
	umask(031);
	CHECK(getcwd(cwd, sizeof cwd));
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		dup2(p[1], 1);
		execve(self_exe, argv, no_env);
		_exit(1);
	}
	close(p[1]);
	read_all(p[0], out, sizeof out);
	CHECK_EQ(wait_exit(pid), 0);
	snprintf(want, sizeof want, "%d %d %d %d 31 %s", pid, getpid(), getpgrp(), getsid(0), cwd);
	CHECK_STR(out, want);
}

HELPER(signal_state)
{
	struct sigaction a, b;
	sigset_t mask, pending;
	stack_t ss;
	sigaction(SIGUSR1, NULL, &a);
	sigaction(SIGUSR2, NULL, &b);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigpending(&pending);
	sigaltstack(NULL, &ss);
	printf("%d%d%d%d%d", a.sa_handler == SIG_DFL, b.sa_handler == SIG_IGN, sigismember(&mask, SIGHUP), sigismember(&pending, SIGHUP), ss.ss_flags == SS_DISABLE);
	fflush(stdout);
	return 0;
}

TEST(signal_state_over_exec)
{
	static char stack[65536];
	char out[64], *argv[] = {"x", "@signal_state", NULL};
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
	sigset_t set;
	int p[2];
	CHECK_OK(pipe(p));
	pid_t pid = xfork();
	if (pid == 0) {
		signal(SIGUSR1, check_on_alarm);
		signal(SIGUSR2, SIG_IGN);
		sigemptyset(&set);
		sigaddset(&set, SIGHUP);
		sigprocmask(SIG_BLOCK, &set, NULL);
		sigaltstack(&ss, NULL);
		raise(SIGHUP);
		dup2(p[1], 1);
		execve(self_exe, argv, no_env);
		_exit(1);
	}
	close(p[1]);
	read_all(p[0], out, sizeof out);
	CHECK_EQ(wait_exit(pid), 0);
	CHECK_STR(out, "11111");
}

HELPER(timers)
{
	struct itimerval it;
	getitimer(ITIMER_REAL, &it);
	return it.it_value.tv_sec > 10 ? 33 : 0;
}

TEST(alarm_survives)
{
	pid_t pid = xfork();
	if (pid == 0) {
		alarm(TEST_LIMIT_SECONDS);
		execl(self_exe, "x", "@timers", NULL);
		_exit(1);
	}
	CHECK_EQ(wait_exit(pid), 33);
}

HELPER(auxv)
{
	unsigned char *r = (void *)getauxval(AT_RANDOM);
	printf("page=%ld clk=%ld secure=%ld uid=%d%d%d%d phent=%ld entry=%d execfn=%s platform=%s random=", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK),
	       getauxval(AT_SECURE), getauxval(AT_UID) == getuid(), getauxval(AT_EUID) == geteuid(), getauxval(AT_GID) == getgid(), getauxval(AT_EGID) == getegid(),
	       getauxval(AT_PHENT), getauxval(AT_ENTRY) != 0, (char *)getauxval(AT_EXECFN), (char *)getauxval(AT_PLATFORM));
	for (int i = 0; i < 16; i++)
		printf("%02x", r[i]);
	fflush(stdout);
	return 0;
}

TEST(auxv_contents)
{
	char a[PATH_MAX + 256], b[PATH_MAX + 256], want[PATH_MAX + 256], *argv[] = {"x", "@auxv", NULL};
	CHECK_EQ(run(self_exe, argv, no_env, a, sizeof a), 0);
	CHECK_EQ(run(self_exe, argv, no_env, b, sizeof b), 0);
	snprintf(want, sizeof want, "page=4096 clk=100 secure=0 uid=1111 phent=56 entry=1 execfn=%s platform=x86_64 random=", self_exe);
	size_t n = strlen(want);
	CHECK_EQ(strlen(a), n + 32);
	CHECK(strcmp(a + n, b + n) != 0);
	a[n] = 0;
	CHECK_STR(a, want);
}

TEST(auxv_execfn_is_the_name_given)
{
	char out[PATH_MAX + 256], *argv[] = {"x", "@auxv", NULL};
	copy_self("prog");
	CHECK_EQ(run("./prog", argv, no_env, out, sizeof out), 0);
	CHECK(strstr(out, "execfn=./prog platform") != NULL);
}

TEST(auxv_program_headers_are_mapped)
{
	Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);
	long n = getauxval(AT_PHNUM), loads = 0;
	CHECK_GT(n, 0);
	for (long i = 0; i < n; i++)
		loads += ph[i].p_type == PT_LOAD;
	CHECK_GE(loads, 2);
}

TEST(auxv_of_proc_matches)
{
	Elf64_auxv_t aux[64];
	int fd = CHECK_OK(open("/proc/self/auxv", O_RDONLY));
	ssize_t n = CHECK_OK(read(fd, aux, sizeof aux)) / (ssize_t)sizeof aux[0];
	CHECK_GT(n, 10);
	CHECK_EQ(aux[n - 1].a_type, AT_NULL);
	for (ssize_t i = 0; i < n - 1; i++)
		if (aux[i].a_type != AT_HWCAP) /* the C library keeps its own */
			CHECK_EQ(aux[i].a_un.a_val, getauxval(aux[i].a_type));
}

TEST(auxv_vdso_is_an_elf)
{
	unsigned long at = getauxval(AT_SYSINFO_EHDR);
	if (!at)
		SKIP("no vDSO");
	CHECK_MEM(at, "\177ELF", 4);
}

HELPER(stack_layout)
{
	extern char **environ;
	CHECK_EQ((uintptr_t)argv % 16, 8);
	CHECK_EQ(((long *)argv)[-1], argc);
	CHECK(argv[argc] == NULL);
	CHECK(environ == argv + argc + 1);
	for (int i = 0; i + 1 < argc; i++)
		CHECK(argv[i + 1] == argv[i] + strlen(argv[i]) + 1);
	CHECK(environ[0] == argv[argc - 1] + strlen(argv[argc - 1]) + 1);
	Elf64_auxv_t *aux = (void *)(environ + 2);
	CHECK(environ[1] == NULL);
	for (; aux->a_type != AT_NULL; aux++)
		if (aux->a_type != AT_HWCAP) /* the C library keeps its own */
			CHECK_EQ(aux->a_un.a_val, getauxval(aux->a_type));
	return 0;
}

TEST(initial_stack_layout)
{
	char out[512], *argv[] = {"x", "@stack_layout", "a", "bcd", "", "e", NULL}, *envp[] = {"E=1", NULL};
	run(self_exe, argv, envp, out, sizeof out);
	CHECK_STR(out, "");
	argv[5] = NULL;
	run(self_exe, argv, envp, out, sizeof out);
	CHECK_STR(out, "");
}

HELPER(comm)
{
	char name[17] = "";
	prctl(PR_GET_NAME, name);
	printf("%s", name);
	fflush(stdout);
	return 0;
}

TEST(comm_is_cut_basename)
{
	char out[64], *argv[] = {"x", "@comm", NULL};
	copy_self("a-name-of-more-than-fifteen");
	CHECK_EQ(run("./a-name-of-more-than-fifteen", argv, no_env, out, sizeof out), 0);
	CHECK_STR(out, "a-name-of-more-");
}

TEST(comm_of_script_is_the_script)
{
	char out[64], text[PATH_MAX + 64], *argv[] = {"x", NULL};
	snprintf(text, sizeof text, "#!%s @comm\n", self_exe);
	make_script("tool", text);
	CHECK_EQ(run("./tool", argv, no_env, out, sizeof out), 0);
	CHECK_STR(out, "tool");
}

TEST(execveat_rules)
{
	char *argv[] = {"x", "@nothing", NULL};
	copy_self("prog");
	CHECK_OK(symlink("prog", "link"));
	int dir = CHECK_OK(open(".", O_RDONLY | O_DIRECTORY));
	int file = CHECK_OK(open("prog", O_PATH));
	CHECK_ERRNO(syscall(SYS_execveat, 999, "prog", argv, no_env, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_execveat, dir, "missing", argv, no_env, 0), ENOENT);
	CHECK_ERRNO(syscall(SYS_execveat, file, "prog", argv, no_env, 0), ENOTDIR);
	CHECK_ERRNO(syscall(SYS_execveat, file, "", argv, no_env, 0), ENOENT);
	CHECK_ERRNO(syscall(SYS_execveat, dir, "link", argv, no_env, AT_SYMLINK_NOFOLLOW), ELOOP);
	CHECK_ERRNO(syscall(SYS_execveat, dir, "prog", argv, no_env, 0x40000000), EINVAL);
	CHECK_ERRNO(syscall(SYS_execveat, dir, "", argv, no_env, AT_EMPTY_PATH), EACCES);
	CHILD {
		syscall(SYS_execveat, dir, "prog", argv, no_env, 0);
		_exit(errno);
	} CHILD_END;
	CHILD {
		syscall(SYS_execveat, file, "", argv, no_env, AT_EMPTY_PATH);
		_exit(errno);
	} CHILD_END;
}

TEST(execveat_script_of_cloexec_fd)
{
	char text[PATH_MAX + 64], *argv[] = {"x", NULL};
	snprintf(text, sizeof text, "#!%s @nothing\n", self_exe);
	make_script("s", text);
	int fd = CHECK_OK(open("s", O_RDONLY | O_CLOEXEC));
	CHILD {
		CHECK_ERRNO(syscall(SYS_execveat, fd, "", argv, no_env, AT_EMPTY_PATH), ENOENT);
	} CHILD_END;
}

TEST(execveat_script_gets_dev_fd_path)
{
	char text[PATH_MAX + 64], out[PATH_MAX * 2], want[PATH_MAX * 2], *argv[] = {"x", NULL};
	int p[2];
	snprintf(text, sizeof text, "#!%s @show\n", self_exe);
	make_script("s", text);
	CHECK_OK(pipe(p));
	int fd = CHECK_OK(open("s", O_RDONLY));
	pid_t pid = xfork();
	if (pid == 0) {
		dup2(p[1], 1);
		syscall(SYS_execveat, fd, "", argv, no_env, AT_EMPTY_PATH);
		_exit(errno);
	}
	close(p[1]);
	read_all(p[0], out, sizeof out);
	CHECK_EQ(wait_exit(pid), 0);
	snprintf(want, sizeof want, "[%s][@show][/dev/fd/%d]/", self_exe, fd);
	CHECK_STR(out, want);
}

TEST(exec_of_memfd)
{
	char *argv[] = {"x", "@nothing", NULL}, buf[65536];
	int in = CHECK_OK(open(self_exe, O_RDONLY)), fd = CHECK_OK(memfd_create("program", MFD_CLOEXEC));
	ssize_t n;
	while ((n = read(in, buf, sizeof buf)) > 0)
		CHECK_EQ(write(fd, buf, n), n);
	snprintf(buf, sizeof buf, "/proc/self/fd/%d", fd);
	int ro = CHECK_OK(open(buf, O_RDONLY | O_CLOEXEC));
	close(fd);
	CHILD {
		syscall(SYS_execveat, ro, "", argv, no_env, AT_EMPTY_PATH);
		_exit(errno);
	} CHILD_END;
}

TEST(exec_through_symlink_and_proc_self_exe)
{
	CHECK_OK(symlink(self_exe, "link"));
	CHECK_EQ(exec_error("link"), 0);
	CHECK_EQ(exec_error("/proc/self/exe"), 0);
}

static void *wait_forever(void *arg MAYBE_UNUSED)
{
	for (;;)
		pause();
	return NULL;
}

HELPER(am_leader)
{
	struct dirent *e;
	int tasks = 0;
	DIR *d = opendir("/proc/self/task");
	while ((e = readdir(d)))
		tasks += e->d_name[0] != '.';
	return getpid() == gettid() && tasks == 1 && getpid() == atoi(argv[2]) ? 17 : 1;
}

TEST(exec_ends_other_threads)
{
	pid_t pid = xfork();
	if (pid == 0) {
		pthread_t t;
		char me[16];
		snprintf(me, sizeof me, "%d", getpid());
		for (int i = 0; i < 5; i++)
			pthread_create(&t, NULL, wait_forever, NULL);
		execl(self_exe, "x", "@am_leader", me, NULL);
		_exit(1);
	}
	CHECK_EQ(wait_exit(pid), 17);
}

static void *exec_from_thread(void *arg)
{
	execl(self_exe, "x", "@am_leader", (char *)arg, NULL);
	_exit(1);
}

TEST(exec_by_thread_takes_over_the_pid)
{
	pid_t pid = xfork();
	if (pid == 0) {
		pthread_t t;
		char me[16];
		snprintf(me, sizeof me, "%d", getpid());
		pthread_create(&t, NULL, exec_from_thread, me);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_exit(pid), 17);
}

static void *mmap_hint;

HELPER(is_mapped)
{
	unsigned char vec;
	return mincore((void *)strtoul(argv[2], NULL, 0), 4096, &vec) < 0 && errno == ENOMEM ? 5 : 1;
}

TEST(old_memory_is_gone)
{
	char addr[32];
	mmap_hint = CHECK_OK(mmap((void *)0x200000000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	snprintf(addr, sizeof addr, "%p", mmap_hint);
	pid_t pid = xfork();
	if (pid == 0) {
		execl(self_exe, "x", "@is_mapped", addr, NULL);
		_exit(1);
	}
	CHECK_EQ(wait_exit(pid), 5);
}

TEST(dumpable_and_keepcaps_are_reset)
{
	CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
	pid_t pid = xfork();
	if (pid == 0) {
		char *argv[] = {"x", "@dumpable", NULL};
		prctl(PR_SET_KEEPCAPS, 1);
		execve(self_exe, argv, no_env);
		_exit(1);
	}
	CHECK_EQ(wait_exit(pid), 10);
}

HELPER(dumpable)
{
	return prctl(PR_GET_DUMPABLE) * 10 + prctl(PR_GET_KEEPCAPS);
}

TEST(child_setpgid_after_exec_is_eacces)
{
	int to[2], from[2];
	char c, *argv[] = {"x", "@wait_for_input", NULL};
	CHECK_OK(pipe2(to, O_CLOEXEC));
	CHECK_OK(pipe2(from, O_CLOEXEC));
	pid_t pid = xfork();
	if (pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		execve(self_exe, argv, no_env);
		_exit(1);
	}
	CHECK_EQ(read(from[0], &c, 1), 1);
	CHECK_ERRNO(setpgid(pid, pid), EACCES);
	close(to[1]);
	CHECK_EQ(wait_exit(pid), 0);
}
