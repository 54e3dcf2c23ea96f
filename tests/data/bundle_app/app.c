/* A server of a few lines, for images without a shell: reads its configuration through a library, says so, and
 * on SIGTERM reads what it needs to end, and exits with 7.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int read_settings(const char *path);

static void on_term(int number)
{
	(void)number;
}

int main(void)
{
	sigset_t term, before;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &before);
	signal(SIGTERM, on_term);
	if (!read_settings("/etc/app.conf"))
		return 1;
	printf("pid %d, LD_PRELOAD %s, LC_CTYPE %s\n", getpid(), getenv("LD_PRELOAD"),
	       getenv("LC_CTYPE") ? "set" : "unset");
	fflush(stdout);
	sigsuspend(&before);
	read_settings("/etc/at-the-end.conf");
	sleep(2); /* the recorder writes once in a while, and ends with this process */
	return 7;
}
