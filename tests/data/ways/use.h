/* One way of using a file: `use NAME FILE [OTHER]` uses it so and prints what it holds. */
#ifndef USE_H
#define USE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the words behind the name; returns a descriptor to read, or -1 with errno. */
struct way {
	const char *name;
	int (*use)(char **words);
};

extern const struct way opens[], execs[], threads[];

/* Print "pause" and wait for a line: the recorder reads its events meanwhile. */
void pause_here(void);

#endif
