// One system call, or one pair, in a loop: prints ns per turn.
//   loops open PATH N | getppid N | fork PROGRAM N
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *what = argv[1];
    const char *path = argc > 3 ? argv[2] : "";
    long n = atol(argv[argc - 1]);
    long long start = now();
    for (long i = 0; i < n; i++) {
        if (!strcmp(what, "open")) {
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd < 0) return 1;
            close(fd);
        } else if (!strcmp(what, "getppid")) {
            syscall(SYS_getppid);
        } else {
            pid_t child = fork();
            if (child == 0) {
                execl(path, path, (char *)NULL);
                _exit(127);
            }
            int status;
            if (waitpid(child, &status, 0) < 0 || status) return 1;
        }
    }
    printf("%.1f\n", (double)(now() - start) / n);
    return 0;
}
