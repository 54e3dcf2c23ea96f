// One system call, or one pair, in a loop: prints ns per turn.
//   loops open PATH N | stat PATH N | mmap N | getppid N | fork PROGRAM N
//   loops count N: 1,000 instructions and a few more
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
    if (argc == 1) return 0;  // what a loop of forks executes
    if (argc < 3) return 2;
    const char *what = argv[1];
    const char *path = argc > 3 ? argv[2] : "";
    long n = atol(argv[argc - 1]);
    // What begins costs a recorder more than what goes on: it has read of this one by then.
    usleep(500 * 1000);
    long long start = now();
    for (long i = 0; i < n; i++) {
        if (!strcmp(what, "open")) {
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd < 0) return 1;
            close(fd);
        } else if (!strcmp(what, "stat")) {
            struct stat status;
            stat(path, &status);
        } else if (!strcmp(what, "mmap")) {
            void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (page == MAP_FAILED) return 1;
            munmap(page, 4096);
        } else if (!strcmp(what, "count")) {
            // A loop of known length, to see that a clock counts instructions.
            long left = 500;
            __asm__ volatile("1: dec %0; jnz 1b" : "+r"(left) : : "cc");
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
