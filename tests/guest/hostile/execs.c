/* execs: executes every file of a directory, in the order of their names, and prints what came of it:
 *
 *   NAME errno ENOEXEC      execve(2) failed
 *   NAME exit 7             the program ran and ended so
 *   NAME signal SIGSEGV     it was killed
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void try(const char *directory, const char *name)
{
	char path[PATH_MAX], *argv[] = {path, NULL}, *envp[] = {NULL};
	int failed[2], error = 0, status;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	if (pipe2(failed, O_CLOEXEC) < 0)
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		alarm(5);
		execve(path, argv, envp);
		error = errno;
		_exit(write(failed[1], &error, sizeof error) < 0);
	}
	close(failed[1]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		exit(1);
	if (read(failed[0], &error, sizeof error) == sizeof error)
		printf("%s errno %s\n", name, strerrorname_np(error));
	else if (WIFSIGNALED(status))
		printf("%s signal SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
	else
		printf("%s exit %d\n", name, WEXITSTATUS(status));
	close(failed[0]);
}

int main(int argc, char **argv)
{
	struct dirent **names;
	int n = argc == 2 ? scandir(argv[1], &names, NULL, alphasort) : -1;
	for (int i = 0; i < n; i++)
		if (names[i]->d_name[0] != '.')
			try(argv[1], names[i]->d_name);
	return n < 0;
}
