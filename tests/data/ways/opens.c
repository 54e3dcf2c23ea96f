/* Ways of opening. */
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "use.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

/* For what is used without being read. */
static int nothing_of_it(void)
{
	int fd = memfd_create("shown", 0);

	return write(fd, "used\n", 5) == 5 ? fd : -1;
}

static int by_open(char **words)
{
	return syscall(SYS_open, words[0], O_RDONLY);
}

static int by_openat(char **words)
{
	int directory = open(words[0], O_PATH | O_DIRECTORY);

	return syscall(SYS_openat, directory, words[1], O_RDONLY);
}

static int by_openat2(char **words)
{
	struct open_how how = { .flags = O_RDONLY, .resolve = RESOLVE_NO_MAGICLINKS };

	return syscall(SYS_openat2, AT_FDCWD, words[0], &how, sizeof(how));
}

static int by_creat(char **words)
{
	return syscall(SYS_creat, words[0], 0600) < 0 ? -1 : nothing_of_it();
}

static int for_both(char **words)
{
	return open(words[0], O_RDWR);
}

static int for_writing(char **words)
{
	return open(words[0], O_WRONLY | O_APPEND) < 0 ? -1 : nothing_of_it();
}

/* A 64-bit program that enters the kernel as 32-bit ones do; not PIE, so that addresses fit. */
static int by_int80(char **words)
{
	static char path[256];
	long result;

	strncpy(path, words[0], sizeof(path) - 1);
	asm volatile("int $0x80"
		     : "=a"(result)
		     : "a"(5), "b"(path), "c"(O_RDONLY), "d"(0)
		     : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static int by_handle(char **words)
{
	struct {
		struct file_handle head;
		char bytes[MAX_HANDLE_SZ];
	} handle = { .head.handle_bytes = MAX_HANDLE_SZ };
	int mount_id, mount = open(words[1], O_PATH | O_DIRECTORY);

	if (name_to_handle_at(AT_FDCWD, words[0], &handle.head, &mount_id, 0))
		return -1;
	mount = open(words[1], O_RDONLY | O_DIRECTORY);
	return open_by_handle_at(mount, &handle.head, O_RDONLY);
}

static int as_place(char **words)
{
	return open(words[0], O_PATH) < 0 ? -1 : nothing_of_it();
}

static int by_place(char **words)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", open(words[0], O_PATH));
	return open(name, O_RDONLY);
}

static int by_ring(const char *path, int operation, unsigned setup, unsigned char flags)
{
	struct io_uring_params p = { .flags = setup };
	struct open_how how = { .flags = O_RDONLY };
	int ring = syscall(SYS_io_uring_setup, 1, &p);
	size_t size = p.sq_off.array + 64;
	size_t other = p.cq_off.cqes + 64 * sizeof(struct io_uring_cqe);
	char *sq, *cq;
	struct io_uring_sqe *entry;

	if (ring < 0)
		return -1;
	sq = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	cq = mmap(0, other, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	entry = mmap(0, sizeof(*entry), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	entry->opcode = operation;
	entry->flags = flags;
	entry->fd = AT_FDCWD;
	entry->addr = (unsigned long)path;
	entry->open_flags = O_RDONLY;
	if (operation == IORING_OP_OPENAT2) {
		entry->open_flags = 0;
		entry->len = sizeof(how);
		entry->off = (unsigned long)&how;
	}
	((unsigned *)(sq + p.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP,
		    0, 0) < 0)
		return -1;
	errno = -((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
	return ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
}

static int by_ring_openat(char **words)
{
	return by_ring(words[0], IORING_OP_OPENAT, 0, 0);
}

static int by_ring_openat2(char **words)
{
	return by_ring(words[0], IORING_OP_OPENAT2, 0, 0);
}

static int by_ring_worker(char **words)
{
	return by_ring(words[0], IORING_OP_OPENAT, 0, IOSQE_ASYNC);
}

static int by_ring_poller(char **words)
{
	return by_ring(words[0], IORING_OP_OPENAT, IORING_SETUP_SQPOLL, 0);
}

static int deleted(char **words)
{
	int fd = open(words[0], O_RDONLY);

	return unlink(words[0]) ? -1 : fd;
}

static int renamed(char **words)
{
	int fd = open(words[0], O_RDONLY);

	return rename(words[0], words[1]) ? -1 : fd;
}

static int without_name(char **words)
{
	char name[64];
	int fd = open(words[0], O_TMPFILE | O_RDWR, 0600);

	if (write(fd, "used\n", 5) != 5)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, name, AT_FDCWD, words[1], AT_SYMLINK_FOLLOW) ? -1 : fd;
}

static int through(char **words, ssize_t (*copy)(int from, int to))
{
	int to = memfd_create("copy", 0);

	return copy(open(words[0], O_RDONLY), to) > 0 ? to : -1;
}

static ssize_t send_file(int from, int to)
{
	return sendfile(to, from, 0, 4096);
}

static ssize_t spliced(int from, int to)
{
	loff_t start = 0;
	int pipes[2];
	ssize_t size = pipe(pipes) ? -1 : splice(from, &start, pipes[1], 0, 4096, 0);

	return splice(pipes[0], 0, to, 0, size, 0);
}

static int by_sendfile(char **words)
{
	return through(words, send_file);
}

static int by_splice(char **words)
{
	return through(words, spliced);
}

/* By a socket, whose number is given, from somebody who has opened it. */
static int received(char **words)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(atoi(words[0]), &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* A copy of a mount that never is in any namespace. */
static int by_tree(char **words)
{
	int tree = syscall(SYS_open_tree, AT_FDCWD, words[0], OPEN_TREE_CLONE);

	return openat(tree, words[1], O_RDONLY);
}

static int detached(char **words)
{
	int directory = open(words[0], O_PATH | O_DIRECTORY);

	if (umount2(words[0], MNT_DETACH))
		return -1;
	return openat(directory, words[1], O_RDONLY);
}

static int mapped(char **words)
{
	int fd = open(words[0], O_RDONLY);
	char *text = mmap(0, 5, PROT_READ, MAP_PRIVATE, fd, 0);
	int copy = memfd_create("copy", 0);

	close(fd);
	if (text == MAP_FAILED || write(copy, text, 5) != 5)
		return -1;
	pause_here();
	return copy;
}

const struct way opens[] = {
	{ "open", by_open },
	{ "openat", by_openat },
	{ "openat2", by_openat2 },
	{ "creat", by_creat },
	{ "both", for_both },
	{ "writing", for_writing },
	{ "int80", by_int80 },
	{ "handle", by_handle },
	{ "as-place", as_place },
	{ "by-place", by_place },
	{ "ring-openat", by_ring_openat },
	{ "ring-openat2", by_ring_openat2 },
	{ "ring-worker", by_ring_worker },
	{ "ring-poller", by_ring_poller },
	{ "deleted", deleted },
	{ "renamed", renamed },
	{ "without-name", without_name },
	{ "sendfile", by_sendfile },
	{ "splice", by_splice },
	{ "received", received },
	{ "tree", by_tree },
	{ "detached", detached },
	{ "mapped", mapped },
	{},
};
