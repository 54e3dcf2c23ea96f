/* Threads, and processes that share what threads do. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "use.h"

extern char **environ;

static int result;

static int in_thread(void *(*work)(void *words), char **words)
{
	pthread_t thread;

	result = -1;
	if (pthread_create(&thread, 0, work, words) || pthread_join(thread, 0))
		return -1;
	return result;
}

static void *open_it(void *words)
{
	result = open(*(char **)words, O_RDONLY);
	return 0;
}

static int opens_in_thread(char **words)
{
	return in_thread(open_it, words);
}

static void *execute_it(void *words)
{
	execve(*(char **)words, words, environ);
	return 0;
}

static int executes_in_thread(char **words)
{
	return in_thread(execute_it, words);
}

/* Bind words[0] on words[1] for this thread alone, and open words[2] there. */
static void *open_in_namespace(void *given)
{
	char **words = given;

	if (unshare(CLONE_FS | CLONE_NEWNS) || mount("none", "/", 0, MS_REC | MS_PRIVATE, 0) ||
	    mount(words[0], words[1], 0, MS_BIND, 0))
		return 0;
	result = open(words[2], O_RDONLY);
	pause_here();
	return 0;
}

static int thread_in_namespace(char **words)
{
	return in_thread(open_in_namespace, words);
}

/* The first thread ends; the other one opens, shows, and ends the process. */
static void *go_on_alone(void *given)
{
	char text[64];

	usleep(50000);
	open_in_namespace(given);
	exit(write(1, text, read(result, text, sizeof(text))) <= 0);
}

static int without_leader(char **words)
{
	pthread_t thread;

	pthread_create(&thread, 0, go_on_alone, words);
	pthread_exit(0);
}

static int open_in_child(void *words)
{
	result = open(*(char **)words, O_RDONLY);
	return 0;
}

/* A process of its own with its parent's memory, descriptors, root and working directory. */
static int shares_all(char **words)
{
	static char stack[65536] __attribute__((aligned(16)));
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD;
	pid_t child = clone(open_in_child, stack + sizeof(stack), flags, words);

	return waitpid(child, 0, 0) == child ? result : -1;
}

const struct way threads[] = {
	{ "thread-opens", opens_in_thread },
	{ "thread-executes", executes_in_thread },
	{ "thread-namespace", thread_in_namespace },
	{ "without-leader", without_leader },
	{ "shares-all", shares_all },
	{},
};
