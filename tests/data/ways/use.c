#include "use.h"

void pause_here(void)
{
	char answer;

	if (write(1, "pause\n", 6) != 6 || read(0, &answer, 1) != 1)
		exit(1);
}

static int show(int fd)
{
	char text[4096];
	ssize_t size = fd < 0 ? -1 : pread(fd, text, sizeof(text), 0);

	return size > 0 && write(1, text, size) == size ? 0 : -1;
}

static int use(const struct way *ways, char **words)
{
	for (; ways->name; ways++) {
		if (strcmp(ways->name, words[0]))
			continue;
		if (show(ways->use(words + 1)) == 0)
			exit(0);
		perror(words[0]);
		exit(1);
	}
	return -1;
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return puts("used") < 0;
	if (argc < 3 || (use(opens, argv + 1) && use(execs, argv + 1) && use(threads, argv + 1)))
		fprintf(stderr, "use: no such way\n");
	return 2;
}
