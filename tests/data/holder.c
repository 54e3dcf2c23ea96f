/* Holds files in every way that there is. One child for each way; a line "ready" from each. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static int hold(const char *path, int flags)
{
	int fd = open(path, flags, 0644);
	check(fd >= 0, path);
	return fd;
}

static void ready(void)
{
	check(write(1, "ready\n", 6) == 6, "write");
	for (;;)
		pause();
}

static void opened(void)
{
	hold("/etc/issue", O_RDONLY);
	hold("/opt/written", O_WRONLY | O_CREAT);
	hold("/var/cache", O_RDONLY | O_DIRECTORY);
}

static void mapped(void)
{
	int fd = hold("/opt/libmapped.so", O_RDONLY);
	check(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED, "mmap");
	close(fd);
}

static void deleted(void)
{
	hold("/etc/fstab", O_RDONLY);
	check(unlink("/etc/fstab") == 0, "unlink");
	hold("/opt/named (deleted)", O_RDONLY);
	hold("/opt/before", O_RDONLY);
	check(rename("/opt/before", "/opt/after") == 0, "rename");
}

static void in_memory(void)
{
	int fd = memfd_create("etc/secret", 0);
	check(ftruncate(fd, 4096) == 0, "ftruncate");
	check(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED, "mmap");
}

static void working_directory(void)
{
	check(chdir("/var/log") == 0, "chdir");
}

static void own_mounts(void)
{
	check(unshare(CLONE_NEWNS) == 0, "unshare");
	check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private");
	check(mount("/etc/security", "/mnt", NULL, MS_BIND, NULL) == 0, "bind");
	check(mount("tmpfs", "/srv", "tmpfs", 0, NULL) == 0, "tmpfs");
	hold("/mnt/limits.conf", O_RDONLY);
	hold("/srv/not-the-images", O_RDWR | O_CREAT);
}

static void changed_root(void)
{
	check(chroot("/var/lib") == 0 && chdir("/") == 0, "chroot");
	hold("/dpkg/status", O_RDONLY);
}

static void *own_table(void *unused)
{
	check(unshare(CLONE_FILES | CLONE_FS) == 0, "unshare");
	hold("/etc/shells", O_RDONLY);
	check(chdir("/var/spool") == 0, "chdir");
	ready();
	return unused;
}

static void *plain_thread(void *unused)
{
	ready();
	return unused;
}

static void thread(void *(*run)(void *))
{
	pthread_t thread;
	check(pthread_create(&thread, NULL, run, NULL) == 0, "pthread_create");
}

static void registered(void)
{
	struct io_uring_params parameters = {0};
	int ring = syscall(SYS_io_uring_setup, 4, &parameters);
	int fd = hold("/etc/debian_version", O_RDONLY);
	check(ring >= 0, "io_uring_setup");
	check(syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1) == 0, "register");
	close(fd);
}

static void passed_on(void)
{
	hold("/etc/gai.conf", O_RDONLY);
	check(write(1, "ready\n", 6) == 6, "write");
	for (;;) {
		if (fork())
			_exit(0);
		usleep(150000);
	}
}

static void start(const char *way, const char *self)
{
	if (!strcmp(way, "opened"))
		opened();
	else if (!strcmp(way, "mapped"))
		mapped();
	else if (!strcmp(way, "deleted"))
		deleted();
	else if (!strcmp(way, "in_memory"))
		in_memory();
	else if (!strcmp(way, "working_directory"))
		working_directory();
	else if (!strcmp(way, "own_mounts"))
		own_mounts();
	else if (!strcmp(way, "changed_root"))
		changed_root();
	else if (!strcmp(way, "registered"))
		registered();
	else if (!strcmp(way, "passed_on"))
		passed_on();
	else if (!strcmp(way, "deleted_program"))
		check(unlink(self) == 0, "unlink");
	else if (!strcmp(way, "own_table")) {
		thread(own_table);
		for (;;)
			pause();
	} else if (!strcmp(way, "ended_leader")) {
		hold("/etc/services", O_RDONLY);
		thread(plain_thread);
		pthread_exit(NULL);
	}
	ready();
}

int main(int count, char **words)
{
	const char *way = strrchr(words[0], '/') + 1;
	if (strcmp(way, "holder"))
		start(way, words[0]);
	for (int index = 1; index < count; index++) {
		char path[256];
		snprintf(path, sizeof path, "/opt/%s", words[index]);
		check(link("/opt/holder", path) == 0, "link");
		if (!fork()) {
			execl(path, path, NULL);
			check(0, "exec");
		}
	}
	for (;;)
		pause();
}
