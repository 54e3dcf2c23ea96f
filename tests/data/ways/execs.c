/* Ways of executing: the program prints by itself, so these return only in error. */
#include <spawn.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "use.h"

extern char **environ;

static int by_execve(char **words)
{
	return execve(words[0], words, environ);
}

static int by_execveat(char **words)
{
	int directory = open(words[0], O_PATH | O_DIRECTORY);

	return syscall(SYS_execveat, directory, words[1], words, environ, 0);
}

static int by_descriptor(char **words)
{
	int fd = open(words[0], O_RDONLY);

	return syscall(SYS_execveat, fd, "", words, environ, AT_EMPTY_PATH);
}

static int by_place(char **words)
{
	int fd = open(words[0], O_PATH);

	return syscall(SYS_execveat, fd, "", words, environ, AT_EMPTY_PATH);
}

static int from_memory(char **words)
{
	int from = open(words[0], O_RDONLY), fd = memfd_create("program", MFD_CLOEXEC);
	struct stat status;

	if (fstat(from, &status) || sendfile(fd, from, 0, status.st_size) != status.st_size)
		return -1;
	return syscall(SYS_execveat, fd, "", words, environ, AT_EMPTY_PATH);
}

static int ended_well(pid_t child)
{
	int status;

	exit(waitpid(child, &status, 0) != child || status);
}

static int by_vfork(char **words)
{
	pid_t child = vfork();

	if (child == 0) {
		execve(words[0], words, environ);
		_exit(1);
	}
	return ended_well(child);
}

static int by_spawn(char **words)
{
	pid_t child;

	return posix_spawn(&child, words[0], 0, 0, words, environ) ? -1 : ended_well(child);
}

const struct way execs[] = {
	{ "execve", by_execve },
	{ "execveat", by_execveat },
	{ "exec-descriptor", by_descriptor },
	{ "exec-place", by_place },
	{ "exec-memory", from_memory },
	{ "vfork", by_vfork },
	{ "spawn", by_spawn },
	{},
};
