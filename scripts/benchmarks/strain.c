// Much at once. Prints "up", waits for a line, does it, prints ns per turn, ends with its input.
//   strain open DIR N     open and close N files, a thousand to a directory: DIR/0/0, DIR/0/1...
//                         They are looked up before, so that it is opening that takes the time.
//   strain exec DIR N     execute each of them, one after the other
//   strain make DIR N     make them
//   strain fork - N       N processes that end at once, one after the other
//   strain end            end at once
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int use(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0755);
    return fd < 0 ? -1 : close(fd);
}

static int child(const char *path) {
    int status;
    pid_t pid = vfork();
    if (pid == 0) {
        if (path) execl(path, path, "end", (char *)NULL);
        _exit(path ? 127 : 0);
    }
    return waitpid(pid, &status, 0) < 0 || status ? -1 : 0;
}

static int turn(const char *what, const char *directory, long i) {
    char path[4096];
    if (!strcmp(what, "fork")) return child(NULL);
    snprintf(path, sizeof(path), "%s/%ld", directory, i / 1000);
    if (!strcmp(what, "make") && i % 1000 == 0 && mkdir(path, 0755)) return -1;
    snprintf(path, sizeof(path), "%s/%ld/%ld", directory, i / 1000, i % 1000);
    struct stat s;
    if (!strcmp(what, "stat")) return stat(path, &s);
    if (!strcmp(what, "make")) return use(path, O_WRONLY | O_CREAT);
    return !strcmp(what, "open") ? use(path, O_RDONLY) : child(path);
}

int main(int argc, char **argv) {
    if (argc < 4) return 0;
    long n = atol(argv[3]);
    for (long i = 0; i < n && !strcmp(argv[1], "open"); i++)
        if (turn("stat", argv[2], i)) return perror("stat"), 1;
    puts("up");
    fflush(stdout);
    int c = getchar();
    long long start = now();
    for (long i = 0; i < n; i++)
        if (turn(argv[1], argv[2], i)) return perror(argv[1]), 1;
    printf("%.1f\n", (double)(now() - start) / n);
    fflush(stdout);
    while (c != EOF) c = getchar();
    return 0;
}
